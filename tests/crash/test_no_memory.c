// A failure of each allocation of a workload, one after another, on a real directory.
//
// malloc and its like, and mmap, are wrapped by the linker. The workload opens a store, writes
// numbered batches with values in the tree and in blob files, deletes, flushes, compacts, makes a
// checkpoint, closes and opens again on the way, with background work beside it. In each run one
// allocation fails, whoever makes it, or a burst of them. Then:
//  - what fails says so with LSM_NO_MEMORY and a detail;
//  - the store goes on: nothing is read-only, and all can be written and flushed;
//  - opened again it checks clean, every acknowledged batch is there, and every other one as a
//    whole or not at all.
// LSM_RUNS sets how many allocations are visited.
#include <errno.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/status.h"
#include "engine_util.h"
#include "small_options.h"

#define BATCHES    90
#define DELETE_LAG 30
#define BURST      40

// -------------------------------------------------------------------------------- failing

static _Atomic uint64_t allocations; // since the run began
static _Atomic uint64_t fail_from, fail_to;
static bool maps_only; // only mappings count: there are few of them, for memtables among others

static bool fails(bool map)
{
    if (maps_only && !map)
        return false;
    uint64_t n = atomic_fetch_add(&allocations, 1) + 1;
    if (n < atomic_load(&fail_from) || n >= atomic_load(&fail_to))
        return false;
    errno = ENOMEM;
    return true;
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *p, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
char *__real_strdup(const char *text);
void *__real_mmap64(void *addr, size_t size, int prot, int flags, int fd, off_t offset);

void *__wrap_malloc(size_t size)
{
    return fails(false) ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails(false) ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *p, size_t size)
{
    return fails(false) ? NULL : __real_realloc(p, size);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    return fails(false) ? NULL : __real_aligned_alloc(alignment, size);
}

char *__wrap_strdup(const char *text)
{
    return fails(false) ? NULL : __real_strdup(text);
}

void *__wrap_mmap64(void *addr, size_t size, int prot, int flags, int fd, off_t offset)
{
    return fails(true) ? MAP_FAILED : __real_mmap64(addr, size, prot, flags, fd, offset);
}

// ------------------------------------------------------------------------------------- the store

struct run {
    char dir[64], copy[80];
    struct lsm_options options;
    struct lsm *db;
    bool acknowledged[BATCHES + 1], tried[BATCHES + 1];
    struct lsm_buf buf;
};

static char what[128]; // the run, for messages

static bool failed(int rc, const char *call)
{
    if (rc == 0)
        return false;
    EXPECT(rc == LSM_NO_MEMORY, "%s: %s: %s: %s", what, call, lsm_strerror(rc), lsm_error_detail());
    EXPECT(*lsm_error_detail(), "%s: %s without a detail", what, call);
    return true;
}

static void open_store(struct run *run)
{
    for (int tries = 0; failed(lsm_open(run->dir, &run->options, &run->db), "open"); tries++)
        EXPECT(tries < 2 * BURST, "%s: the store does not open", what);
}

static size_t batch_key(char *key, const char *kind, int i)
{
    return (size_t)sprintf(key, "%s%06d", kind, i);
}

// Small values, some for blob files, and now and then one that has a chunk of the memtable to
// itself.
static struct value batch_value(int i)
{
    return (struct value){.seed = (uint64_t)i, .size = i % 10 == 9 ? 20000 : i % 3 ? 300 : 900};
}

static int fill_batch(struct lsm_batch *batch, int i)
{
    static uint8_t data[20000];
    char key[32];
    struct value v = batch_value(i);
    value_bytes(&v, data);
    int rc = lsm_batch_put(batch, key, batch_key(key, "twin", i), &i, sizeof i);
    if (!rc)
        rc = lsm_batch_put(batch, key, batch_key(key, "batch", i), data, v.size);
    if (!rc && i > DELETE_LAG)
        rc = lsm_batch_delete(batch, key, batch_key(key, "batch", i - DELETE_LAG));
    return rc;
}

static void write_batch(struct run *run, int i)
{
    struct lsm_batch *batch;
    struct lsm_write_options wo = {.sync = i % 23 == 0};
    if (failed(lsm_batch_new(&batch), "batch_new"))
        return;
    int rc = fill_batch(batch, i);
    if (!rc) {
        run->tried[i] = true;
        rc = lsm_write(run->db, &wo, batch);
    }
    run->acknowledged[i] = rc == 0;
    failed(rc, "write");
    lsm_batch_free(batch);
}

static void special_step(struct run *run, int i)
{
    if (i == 25 || i == 50)
        failed(lsm_flush(run->db), "flush");
    if (i == 60)
        failed(lsm_compact_range(run->db, NULL, 0, NULL, 0), "compact");
    if (i == 70)
        failed(lsm_checkpoint(run->db, run->copy), "checkpoint");
    if (i == 75) {
        failed(lsm_close(run->db), "close");
        open_store(run);
    }
}

static bool present(struct run *run, const char *kind, int i)
{
    char key[32];
    int rc = lsm_get(run->db, NULL, key, batch_key(key, kind, i), &run->buf);
    EXPECT(rc == 0 || rc == LSM_NOT_FOUND, "%s: get: %s", what, lsm_error_detail());
    return rc == 0;
}

static void expect_all(struct run *run)
{
    for (int i = 1; i <= BATCHES; i++) {
        bool there = present(run, "twin", i);
        EXPECT(there || !run->acknowledged[i], "%s: batch %d of those acknowledged is lost", what,
               i);
        EXPECT(!there || run->tried[i], "%s: batch %d from nowhere", what, i);
        bool deleted = i + DELETE_LAG <= BATCHES && present(run, "twin", i + DELETE_LAG);
        struct value v = batch_value(i);
        bool value = present(run, "batch", i);
        EXPECT(value == (there && !deleted), "%s: batch %d is there in part", what, i);
        EXPECT(!value || value_equal(&v, run->buf.data, run->buf.size), "%s: wrong bytes", what);
    }
}

static void remove_tree(struct run *run)
{
    char command[200];
    snprintf(command, sizeof command, "rm -rf '%s' '%s'", run->dir, run->copy);
    EXPECT(system(command) == 0, "rm");
}

// The background may still have to try again what has failed.
static int flush_at_last(struct run *run)
{
    int rc = lsm_flush(run->db);
    for (int tries = 0; tries < 2000 && failed(rc, "flush"); tries++) {
        usleep(10000);
        rc = lsm_flush(run->db);
    }
    return rc;
}

static void expect_sound(struct run *run)
{
    char *error = lsm_property(run->db, "background-error");
    EXPECT(error && !*error, "%s: %s", what, error ? error : "?");
    free(error);
    EXPECT(lsm_put(run->db, NULL, "again", 5, "1", 1) == 0, "%s: put: %s", what,
           lsm_error_detail());
    EXPECT(flush_at_last(run) == 0, "%s: flush: %s", what, lsm_error_detail());
    expect_all(run);
    EXPECT(lsm_check(run->db, NULL, NULL, NULL) == 0, "%s: check: %s", what, lsm_error_detail());
}

// One run; without failures if `at` is 0. Returns how many allocations there were.
static uint64_t run_once(uint64_t at, unsigned length)
{
    static struct run run;
    run = (struct run){0};
    snprintf(what, sizeof what, "%u allocations from %" PRIu64, length, at);
    strcpy(run.dir, "/tmp/lsm_no_memory.XXXXXX");
    EXPECT(mkdtemp(run.dir) != NULL, "mkdtemp");
    snprintf(run.copy, sizeof run.copy, "%s.copy", run.dir);
    run.options = small_options(NULL);
    run.options.block_cache_size = 64 << 10;
    run.options.l0_compact = 2;
    run.options.wal_mode = at % 2 ? LSM_WAL_WRITTEN : LSM_WAL_MAPPED;
    run.options.blob_min = at % 3 ? 512 : 0;
    run.options.blob_file_size = 16 << 10;
    atomic_store(&allocations, 0);
    atomic_store(&fail_to, at ? at + length : 0);
    atomic_store(&fail_from, at ? at : UINT64_MAX);
    open_store(&run);
    for (int i = 1; i <= BATCHES; i++) {
        write_batch(&run, i);
        special_step(&run, i);
    }
    uint64_t count = atomic_load(&allocations);
    atomic_store(&fail_from, UINT64_MAX);
    expect_sound(&run);
    failed(lsm_close(run.db), "close");
    open_store(&run);
    expect_sound(&run);
    EXPECT(lsm_close(run.db) == 0, "%s: last close: %s", what, lsm_error_detail());
    lsm_buf_release(&run.buf);
    remove_tree(&run);
    return count;
}

START_TEST(test_allocations)
{
    unsigned length = _i == 1 ? BURST : 1;
    maps_only = _i == 2;
    uint64_t runs = from_env("LSM_RUNS", _i == 1 ? 25 : 100), count = run_once(0, 0),
             step = count / runs + 1;
    for (uint64_t at = 1 + step / 2; at <= count; at += step)
        run_once(at, length);
    printf("%u of %" PRIu64 " %s fail, every %" PRIu64 ". tried\n", length, count,
           maps_only ? "mappings" : "allocations", step);
}
END_TEST

// An ordinary write allocates nothing: a batch keeps what it needed the first time. Small values,
// borrowed ones for blob files, slices that share and short ones that are copied.
START_TEST(test_writes_allocate_nothing)
{
    enum { KEYS = 32, WRITES = 2000 };
    static uint8_t data[8192];
    static struct run run;
    struct lsm_batch *batch;
    uint64_t before = 0;
    atomic_store(&fail_from, UINT64_MAX);
    strcpy(run.dir, "/tmp/lsm_no_memory.XXXXXX");
    EXPECT(mkdtemp(run.dir) != NULL, "mkdtemp");
    snprintf(run.copy, sizeof run.copy, "%s.copy", run.dir);
    lsm_options_init(&run.options);
    run.options.blob_min = 4096;
    open_store(&run);
    EXPECT(lsm_batch_new(&batch) == 0, "batch");
    for (int i = 0; i < KEYS + WRITES; i++) {
        char key[32], source[32];
        size_t key_size = batch_key(key, "key", i % KEYS), source_size;
        if (i == KEYS + WRITES / 10) // the first ones fill what is kept
            before = atomic_load(&allocations);
        value_bytes(&(struct value){.seed = (uint64_t)i, .size = sizeof data}, data);
        int rc = lsm_batch_put_borrowed(batch, key, key_size, data, sizeof data);
        rc = rc ? rc : lsm_batch_put(batch, key, batch_key(key, "small", i % KEYS), data, 100);
        source_size = batch_key(source, "key", (i + 1) % KEYS);
        if (!rc && i >= KEYS)
            rc = lsm_batch_put_part(batch, key, batch_key(key, "slice", i % KEYS), source,
                                    source_size, 100, 4000);
        if (!rc && i >= KEYS)
            rc = lsm_batch_put_part(batch, key, batch_key(key, "short", i % KEYS), source,
                                    source_size, 7, 50);
        EXPECT(rc == 0, "batch: %s", lsm_error_detail());
        EXPECT(lsm_write(run.db, NULL, batch) == 0, "write: %s", lsm_error_detail());
        lsm_batch_clear(batch);
    }
    uint64_t count = atomic_load(&allocations) - before;
    printf("%" PRIu64 " allocations in %d writes\n", count, WRITES * 9 / 10);
    EXPECT(count * 100 < WRITES, "%" PRIu64 " allocations in %d writes", count, WRITES * 9 / 10);
    lsm_batch_free(batch);
    EXPECT(lsm_close(run.db) == 0, "close: %s", lsm_error_detail());
    remove_tree(&run);
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("failing allocations");
    tcase_add_loop_test(tc, test_allocations, 0, 3);
    tcase_add_test(tc, test_writes_allocate_nothing);
    return run_case("failing allocations", tc, 3600);
}
