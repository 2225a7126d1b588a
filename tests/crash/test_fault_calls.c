// A failure of each system call of a workload, one after another, on a simulated disk.
//
// The workload writes numbered batches, some synced, deletes what it wrote earlier, flushes,
// compacts, makes a checkpoint and opens the store again on the way. For each call there are six
// runs: an I/O error once, and from then on; a full disk once, and until the error was seen a while
// (these two count only calls that may take space); a failure that may pass (too many open files,
// no memory, an interrupted call), once and for a while. Then:
//  - every failing function says what failed, with a status that fits;
//  - what can be read meanwhile is right: an error, or the value;
//  - after an I/O error the store may be read-only; after the others it writes again;
//  - opened again, it checks clean, every acknowledged batch is there, every other one is there as
//    a whole or not at all.
// LSM_STEP visits every n-th call only.
#include <unistd.h>

#include "base/status.h"
#include "engine_util.h"
#include "small_options.h"

#define BATCHES    140
#define DELETE_LAG 40
#define VALUE_SIZE 900

enum fate { NOT_WRITTEN, ACKNOWLEDGED, FAILED };

struct run {
    struct env *env;
    struct lsm_options options;
    struct lsm *db;
    bool full;         // the failure is a full disk
    int passing;       // ... or this one, which may pass; else 0
    int failures_seen; // calls of the interface that failed
    enum fate fate[BATCHES + 1];
    int synced; // all up to this batch are durable
    struct lsm_buf buf;
};

static char what[128];  // the run, for messages
static size_t blob_min; // of the test that runs: values are in the tree or in blob files

static struct lsm_options options_of(struct env *env, enum lsm_wal_mode mode)
{
    struct lsm_options options = small_options(env);
    options.wal_mode = mode;
    options.l0_compact = 2;
    options.compression = LSM_COMPRESSION_NONE;
    options.blob_min = blob_min;
    options.blob_file_size = 16 << 10;
    return options;
}

// Judges the result of a call of the interface while failures are possible.
static bool failed(struct run *run, int rc, const char *call)
{
    if (rc == 0)
        return false;
    run->failures_seen++;
    bool fits = run->passing ? rc == run->passing
                             : rc == LSM_IO_ERROR || rc == LSM_READ_ONLY ||
                                   (run->full && rc == LSM_NO_SPACE);
    EXPECT(fits, "%s: %s: %s: %s", what, call, lsm_strerror(rc), lsm_error_detail());
    EXPECT(*lsm_error_detail(), "%s: %s: %s without a detail", what, call, lsm_strerror(rc));
    return true;
}

// ------------------------------------------------------------------------------------- the model

static size_t batch_key(char *key, const char *kind, int i)
{
    return (size_t)sprintf(key, "%s%06d", kind, i);
}

static struct value batch_value(int i)
{
    return (struct value){.seed = (uint64_t)i, .size = VALUE_SIZE};
}

static int write_batch(struct run *run, int i, bool sync)
{
    char key[32];
    uint8_t data[VALUE_SIZE];
    struct lsm_batch *batch;
    struct lsm_write_options wo = {.sync = sync};
    struct value v = batch_value(i);
    value_bytes(&v, data);
    ck_assert_int_eq(lsm_batch_new(&batch), 0);
    ck_assert_int_eq(lsm_batch_put(batch, key, batch_key(key, "twin", i), &i, sizeof i), 0);
    ck_assert_int_eq(lsm_batch_put(batch, key, batch_key(key, "batch", i), data, sizeof data), 0);
    if (i > DELETE_LAG)
        ck_assert_int_eq(lsm_batch_delete(batch, key, batch_key(key, "batch", i - DELETE_LAG)), 0);
    ck_assert_int_eq(lsm_batch_put(batch, "counter", 7, &i, sizeof i), 0);
    int rc = lsm_write(run->db, &wo, batch);
    lsm_batch_free(batch);
    run->fate[i] = rc ? FAILED : ACKNOWLEDGED;
    if (!rc && sync)
        run->synced = i;
    return rc;
}

static bool present(struct run *run, const char *kind, int i)
{
    char key[32];
    int rc = lsm_get(run->db, NULL, key, batch_key(key, kind, i), &run->buf);
    EXPECT(rc == 0 || rc == LSM_NOT_FOUND, "%s: get: %s", what, lsm_error_detail());
    return rc == 0;
}

// The whole store against what was written. With `cut`, unsynced batches may be missing, but only
// a tail of them.
static void expect_all(struct run *run, bool cut)
{
    int last = 0, lost = 0;
    for (int i = 1; i <= BATCHES; i++) {
        bool there = present(run, "twin", i);
        EXPECT(there || run->fate[i] != ACKNOWLEDGED || (cut && i > run->synced),
               "%s: batch %d of those acknowledged is lost", what, i);
        EXPECT(!there || run->fate[i] != NOT_WRITTEN, "%s: batch %d from nowhere", what, i);
        EXPECT(!there || !lost, "%s: batch %d is there, %d before it is not", what, i, lost);
        if (there)
            last = i;
        else if (run->fate[i] == ACKNOWLEDGED && !lost)
            lost = i;
    }
    for (int i = 1; i <= BATCHES; i++) {
        bool written = present(run, "twin", i);
        bool deleted = i + DELETE_LAG <= BATCHES && present(run, "twin", i + DELETE_LAG);
        bool there = present(run, "batch", i);
        EXPECT(there == (written && !deleted), "%s: batch %d is there in part", what, i);
        struct value v = batch_value(i);
        EXPECT(!there || value_equal(&v, run->buf.data, run->buf.size), "%s: wrong bytes", what);
    }
    if (last) {
        int counter = 0;
        EXPECT(lsm_get(run->db, NULL, "counter", 7, &run->buf) == 0, "%s: no counter", what);
        memcpy(&counter, run->buf.data, sizeof counter);
        EXPECT(counter == last, "%s: counter %d, last batch %d", what, counter, last);
    }
}

// While calls fail: a read gives an error or what was written.
static void expect_readable(struct run *run, int upto)
{
    for (int i = upto > 50 ? upto - 50 : 1; i <= upto; i += 7) {
        char key[32];
        int rc = lsm_get(run->db, NULL, key, batch_key(key, "twin", i), &run->buf);
        if (rc == LSM_NOT_FOUND)
            EXPECT(run->fate[i] != ACKNOWLEDGED, "%s: batch %d has vanished", what, i);
        else if (!failed(run, rc, "get"))
            EXPECT(run->buf.size == sizeof i && !memcmp(run->buf.data, &i, sizeof i),
                   "%s: wrong bytes of batch %d", what, i);
    }
    struct lsm_iter *it;
    if (failed(run, lsm_iter_new(run->db, NULL, &it), "iter_new"))
        return;
    size_t size, before = 0;
    char last[64];
    for (lsm_iter_seek_first(it); lsm_iter_valid(it); lsm_iter_next(it)) {
        const char *key = lsm_iter_key(it, &size);
        EXPECT(size < sizeof last && (!before || memcmp(last, key, size < before ? size : before)),
               "%s: keys out of order", what);
        memcpy(last, key, size);
        before = size;
    }
    failed(run, lsm_iter_status(it), "scan");
    lsm_iter_free(it);
}

// ------------------------------------------------------------------------------------- the
// workload

static void stop_failures(struct run *run)
{
    env_fault_fail_at(run->env, 0, 0, false);
    env_fault_full_at(run->env, 0, false);
}

// Opens the store; on failure once more without failures.
static void open_store(struct run *run)
{
    if (!failed(run, lsm_open("/db", &run->options, &run->db), "open"))
        return;
    stop_failures(run);
    int rc = lsm_open("/db", &run->options, &run->db);
    EXPECT(rc == 0, "%s: second open: %s", what, lsm_error_detail());
}

// A flush, or a close, makes all durable that was acknowledged.
static void durable_up_to(struct run *run, int i, int rc)
{
    if (rc == 0)
        run->synced = i;
}

static void special_step(struct run *run, int i)
{
    int rc = 0;
    if (i == 40 || i == 75)
        durable_up_to(run, i, rc = lsm_flush(run->db));
    if (i == 90)
        rc = lsm_compact_range(run->db, NULL, 0, NULL, 0);
    if (i == 105) {
        rc = lsm_checkpoint(run->db, "/copy");
        if (rc == 0) {
            struct run copy = *run;
            memset(&copy.buf, 0, sizeof copy.buf);
            if (!failed(run, lsm_open("/copy", &run->options, &copy.db), "open of the copy")) {
                (void)!lsm_close(copy.db);
            }
        }
    }
    failed(run, rc, "special step");
    if (i == 120) {
        rc = lsm_close(run->db);
        run->db = NULL;
        failed(run, rc, "close");
        durable_up_to(run, i, rc);
        open_store(run);
    }
}

static void run_workload(struct run *run)
{
    int after = 0; // batches since the first failure
    open_store(run);
    for (int i = 1; i <= BATCHES; i++) {
        failed(run, write_batch(run, i, i % 23 == 0), "write");
        special_step(run, i);
        if (run->failures_seen && after++ % 4 == 0)
            expect_readable(run, i);
        if (after == 12)
            stop_failures(run);
    }
    stop_failures(run);
}

static int put_again(struct lsm *db)
{
    return lsm_put(db, NULL, "again", 5, "1", 1);
}

static int flush_again(struct lsm *db)
{
    return lsm_flush(db);
}

// The call's result once the store knows that there is room: the background tries again once a
// second.
static int with_room(struct run *run, int (*call)(struct lsm *))
{
    int rc = call(run->db);
    for (int tries = 0; tries < 6000 && rc && (rc == LSM_NO_SPACE || rc == run->passing); tries++) {
        usleep(10000);
        rc = call(run->db);
    }
    return rc;
}

// The store writes again once there is room.
static void expect_writable(struct run *run)
{
    EXPECT(with_room(run, put_again) == 0, "%s: after there was room again: %s", what,
           lsm_error_detail());
    EXPECT(with_room(run, flush_again) == 0, "%s: flush: %s", what, lsm_error_detail());
}

static uint64_t calls_of(struct run *run)
{
    return run->full ? env_fault_space_calls(run->env) : env_fault_calls(run->env);
}

// One run; call 0: without failures. Returns how many calls there were.
static uint64_t run_once(enum lsm_wal_mode mode, int status, bool sticky, uint64_t call)
{
    bool full = status == LSM_NO_SPACE;
    struct run run = {.env = env_fault_new(),
                      .full = full,
                      .passing = full || status == LSM_IO_ERROR ? 0 : status};
    bool cut = call % 3 == 1;
    snprintf(what, sizeof what, "log mode %d, blob_min %zu, %s %s call %" PRIu64, mode, blob_min,
             lsm_strerror(status), sticky ? "from" : "at", call);
    env_fault_seed(run.env, call);
    run.options = options_of(run.env, mode);
    if (full)
        env_fault_full_at(run.env, call, sticky);
    else
        env_fault_fail_at(run.env, call, status, sticky);
    run_workload(&run);
    if (full || run.passing)
        expect_writable(&run);
    uint64_t calls = calls_of(&run);
    expect_all(&run, false);
    if (cut)
        env_fault_power_cut(run.env, call);
    int rc = lsm_close(run.db);
    EXPECT(cut || call || rc == 0, "%s: close: %s", what, lsm_error_detail());
    rc = lsm_open("/db", &run.options, &run.db);
    EXPECT(rc == 0, "%s: open at last: %s", what, lsm_error_detail());
    expect_all(&run, cut);
    rc = lsm_check(run.db, NULL, NULL, NULL);
    EXPECT(rc == 0, "%s: check: %s", what, lsm_error_detail());
    rc = lsm_close(run.db);
    EXPECT(rc == 0, "%s: last close: %s", what, lsm_error_detail());
    lsm_buf_release(&run.buf);
    env_fault_free(run.env);
    return calls;
}

static void sweep(enum lsm_wal_mode mode, int status, bool sticky)
{
    uint64_t step = from_env("LSM_STEP", blob_min ? 29 : 7), visited = 0;
    if (status_is_passing(status) && sticky)
        step *= 7; // writers wait for seconds
    uint64_t calls = run_once(mode, status, sticky, 0);
    for (uint64_t call = 1; call <= calls; call += step, visited++)
        run_once(mode, status, sticky, call);
    printf("mode %d, %s, %s: %" PRIu64 " of %" PRIu64 " calls\n", mode, lsm_strerror(status),
           sticky ? "from there on" : "once", visited, calls);
}

START_TEST(test_io_error)
{
    blob_min = _i / 4 ? 512 : 0;
    sweep(_i % 2 ? LSM_WAL_WRITTEN : LSM_WAL_MAPPED, LSM_IO_ERROR, _i / 2 % 2);
}
END_TEST

START_TEST(test_full_disk)
{
    blob_min = _i / 4 ? 512 : 0;
    sweep(_i % 2 ? LSM_WAL_WRITTEN : LSM_WAL_MAPPED, LSM_NO_SPACE, _i / 2 % 2);
}
END_TEST

START_TEST(test_passing)
{
    static const int statuses[] = {LSM_NO_FILES, LSM_NO_MEMORY, LSM_TRY_AGAIN};
    blob_min = _i / 4 ? 512 : 0;
    sweep(_i % 2 ? LSM_WAL_WRITTEN : LSM_WAL_MAPPED, statuses[_i % 3], _i / 2 % 2);
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("failing calls");
    tcase_add_loop_test(tc, test_io_error, 0, 8);
    tcase_add_loop_test(tc, test_full_disk, 0, 8);
    tcase_add_loop_test(tc, test_passing, 0, 8);
    return run_case("failing calls", tc, 3600);
}
