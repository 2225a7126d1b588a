// Power cuts and process deaths at every system call of a workload, on a simulated disk.
//
// The workload writes numbered batches (key of the batch's number, and a counter key), syncing
// some, with flushes and compactions on the way. After the cut the store must open, hold everything
// up to the last acknowledged sync, and be a prefix of what was written: the counter names a batch,
// all batches up to it are there whole, and none after it. In a simulated cluster the process dies
// at every write to an object, which is done or not; nothing that was acknowledged is lost.
// LSM_SEED replays one seed, LSM_STEP visits every n-th call only.
#include "quick_check.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "disk/cluster_store.h"
#include "disk/env_fault.h"
#include "from_env.h"
#include "lsm.h"
#include "small_options.h"

#define BATCHES 400

struct outcome {
    int acknowledged; // batches whose write returned 0
    int synced;       // last batch that was acknowledged as durable
    uint64_t calls;
};

static size_t blob_min;          // of the test that runs
static const char *path = "/db"; // too

static struct lsm_options options_of(struct env *env, enum lsm_wal_mode mode)
{
    struct lsm_options options = small_options(env);
    options.wal_mode = mode;
    options.l0_compact = 2;
    options.blob_min = blob_min;
    options.blob_file_size = 64 << 10;
    return options;
}

static int write_one(struct lsm *db, struct lsm_batch *batch, int i, bool sync)
{
    char key[32], value[1024];
    struct lsm_write_options wo = {.sync = sync};
    memset(value, 'a' + i % 26, sizeof value);
    snprintf(key, sizeof key, "batch%06d", i);
    lsm_batch_clear(batch);
    ck_assert_int_eq(lsm_batch_put(batch, key, strlen(key), value, sizeof value), 0);
    ck_assert_int_eq(lsm_batch_put(batch, "counter", 7, &i, sizeof i), 0);
    snprintf(key, sizeof key, "twin%06d", i);
    ck_assert_int_eq(lsm_batch_put(batch, key, strlen(key), &i, sizeof i), 0);
    return lsm_write(db, &wo, batch);
}

static struct outcome work(struct env *env, enum lsm_wal_mode mode)
{
    struct outcome out = {0, 0, 0};
    struct lsm_options options = options_of(env, mode);
    struct lsm *db;
    struct lsm_batch *batch;
    ck_assert_int_eq(lsm_batch_new(&batch), 0);
    if (lsm_open(path, &options, &db) == 0) {
        for (int i = 1; i <= BATCHES; i++) {
            bool sync = i % 37 == 0;
            if (write_one(db, batch, i, sync))
                break;
            out.acknowledged = i;
            if (sync)
                out.synced = i;
            if (i % 150 == 0 && lsm_flush(db) == 0)
                out.synced = i;
        }
        (void)!lsm_close(db);
    }
    lsm_batch_free(batch);
    return out;
}

static struct outcome run_workload(struct env *env, enum lsm_wal_mode mode, uint64_t cut_at)
{
    uint64_t before = env_fault_calls(env);
    if (cut_at)
        env_fault_cut_at(env, cut_at);
    struct outcome out = work(env, mode);
    out.calls = env_fault_calls(env) - before;
    return out;
}

static void expect_prefix(struct env *env, enum lsm_wal_mode mode, struct outcome out, bool all,
                          const char *what)
{
    struct lsm_options options = options_of(env, mode);
    struct lsm *db;
    struct lsm_buf value = {0};
    int rc = lsm_open(path, &options, &db), last = 0;
    ck_assert_msg(rc == 0, "%s: open: %d %s", what, rc, lsm_error_detail());
    rc = lsm_get(db, NULL, "counter", 7, &value);
    ck_assert_msg(rc == 0 || rc == LSM_NOT_FOUND, "%s: %s", what, lsm_error_detail());
    if (rc == 0)
        memcpy(&last, value.data, sizeof last);
    ck_assert_msg(last >= (all ? out.acknowledged : out.synced),
                  "%s: lost writes: up to %d there, %d acknowledged, %d synced", what, last,
                  out.acknowledged, out.synced);
    ck_assert_msg(last <= out.acknowledged + 1, "%s: batch %d from nowhere", what, last);
    for (int i = 1; i <= last + 2; i++) {
        char key[32];
        snprintf(key, sizeof key, "batch%06d", i);
        rc = lsm_get(db, NULL, key, strlen(key), &value);
        ck_assert_msg(rc == (i <= last ? 0 : LSM_NOT_FOUND), "%s: batch %d of %d: %d", what, i,
                      last, rc);
        if (rc == 0)
            ck_assert_msg(value.size == 1024 && *(char *)value.data == 'a' + i % 26,
                          "%s: wrong bytes", what);
        snprintf(key, sizeof key, "twin%06d", i);
        rc = lsm_get(db, NULL, key, strlen(key), &value);
        ck_assert_msg(rc == (i <= last ? 0 : LSM_NOT_FOUND), "%s: half of batch %d of %d", what, i,
                      last);
    }
    ck_assert_msg(lsm_check(db, NULL, NULL, NULL) == 0, "%s: %s", what, lsm_error_detail());
    ck_assert_int_eq(lsm_close(db), 0);
    lsm_buf_release(&value);
}

static void sweep(enum lsm_wal_mode mode)
{
    uint64_t seed = from_env("LSM_SEED", 1), step = from_env("LSM_STEP", 3), visited = 0;
    struct env *env = env_fault_new();
    struct outcome whole = run_workload(env, mode, 0);
    ck_assert_int_eq(whole.acknowledged, BATCHES);
    expect_prefix(env, mode, whole, true, "no cut");
    env_fault_free(env);
    for (uint64_t n = 1; n <= whole.calls + 20; n += step, visited++) {
        char what[64];
        snprintf(what, sizeof what, "mode %d, cut at call %llu, seed %llu", mode,
                 (unsigned long long)n, (unsigned long long)seed);
        env = env_fault_new();
        struct outcome out = run_workload(env, mode, n);
        env_fault_power_cut(env, n % 4 ? seed + n : 0);
        expect_prefix(env, mode, out, false, what);
        env_fault_free(env);
    }
    printf("mode %d: %llu cuts among %llu calls\n", mode, (unsigned long long)visited,
           (unsigned long long)whole.calls);
}

START_TEST(test_power_cut_mapped)
{
    sweep(LSM_WAL_MAPPED);
}
END_TEST

START_TEST(test_power_cut_written)
{
    sweep(LSM_WAL_WRITTEN);
}
END_TEST

START_TEST(test_power_cut_held)
{
    sweep(LSM_WAL_HELD);
}
END_TEST

// Whatever was acknowledged survives the death of the process; with a held log, what was synced.
static void kill_sweep(enum lsm_wal_mode mode)
{
    for (int stop = 1; stop <= BATCHES; stop += 7) {
        struct env *env = env_fault_new();
        struct lsm_options options = options_of(env, mode);
        struct lsm *db;
        struct lsm_batch *batch;
        struct outcome out = {0};
        char what[64];
        ck_assert_int_eq(lsm_batch_new(&batch), 0);
        ck_assert_int_eq(lsm_open("/db", &options, &db), 0);
        for (int i = 1; i <= stop; i++) {
            bool sync = mode == LSM_WAL_HELD && i % 5 == 0;
            ck_assert_int_eq(write_one(db, batch, i, sync), 0);
            out.synced = sync ? i : out.synced;
        }
        out.acknowledged = stop;
        env_fault_kill(env);
        (void)!lsm_close(db); // its handles are dead: only memory is given back
        lsm_batch_free(batch);
        snprintf(what, sizeof what, "mode %d, killed after batch %d", mode, stop);
        expect_prefix(env, mode, out, mode != LSM_WAL_HELD, what);
        env_fault_free(env);
    }
}

START_TEST(test_kill_mapped)
{
    kill_sweep(LSM_WAL_MAPPED);
}
END_TEST

// A store that was made in the second attempt, since the process died in the first, is as durable
// as any.
START_TEST(test_killed_at_creation)
{
    bool created = false;
    for (uint64_t call = 1; !created; call++) {
        struct env *env = env_fault_new();
        struct lsm_options options = options_of(env, LSM_WAL_AUTO);
        struct lsm *db = NULL;
        struct lsm_buf value = {0};
        env_fault_fail_at(env, call, LSM_IO_ERROR, true);
        created = lsm_open("/db", &options, &db) == 0;
        env_fault_kill(env);
        (void)!lsm_close(db);
        env_fault_fail_at(env, 0, 0, false);
        ck_assert_msg(lsm_open("/db", &options, &db) == 0, "%s", lsm_error_detail());
        ck_assert_int_eq(lsm_put(db, &(struct lsm_write_options){.sync = true}, "k", 1, "v", 1), 0);
        env_fault_power_cut(env, 0);
        (void)!lsm_close(db);
        options.create_if_missing = false;
        ck_assert_msg(lsm_open("/db", &options, &db) == 0, "death at call %d: %s", (int)call,
                      lsm_error_detail());
        ck_assert_int_eq(lsm_get(db, NULL, "k", 1, &value), 0);
        ck_assert_int_eq(lsm_close(db), 0);
        lsm_buf_release(&value);
        env_fault_free(env);
    }
}
END_TEST

// The same with every value of a batch in a blob file: a log record whose blobs are not there is
// the torn end.
START_TEST(test_power_cut_blobs)
{
    blob_min = 1024;
    sweep(LSM_WAL_MAPPED + _i);
}
END_TEST

START_TEST(test_kill_blobs)
{
    blob_min = 1024;
    kill_sweep(LSM_WAL_MAPPED + _i);
}
END_TEST

START_TEST(test_kill_written)
{
    kill_sweep(LSM_WAL_WRITTEN);
}
END_TEST

START_TEST(test_kill_held)
{
    kill_sweep(LSM_WAL_HELD);
}
END_TEST

START_TEST(test_cluster_kill)
{
    uint64_t seed = from_env("LSM_SEED", 1), step = from_env("LSM_STEP", 7), writes = 0;
    path = CLUSTER_STORE_PATH;
    blob_min = _i ? 1024 : 0;
    for (uint64_t n = 0; n <= writes; n += n ? step : 1) {
        struct cluster_store store;
        char what[64];
        cluster_store_init(&store, seed + n);
        if (n)
            fake_process_kill_at(store.process, n);
        struct outcome out = work(store.env, LSM_WAL_AUTO);
        if (!n)
            writes = fake_process_writes(store.process);
        fake_process_kill(store.process);
        cluster_store_end(&store);
        cluster_store_start(&store);
        snprintf(what, sizeof what, "killed at write %llu, seed %llu", (unsigned long long)n,
                 (unsigned long long)seed);
        if (!n)
            ck_assert_int_eq(out.acknowledged, BATCHES);
        expect_prefix(store.env, LSM_WAL_AUTO, out, true, what);
        cluster_store_release(&store);
    }
    printf("in a cluster: %llu writes\n", (unsigned long long)writes);
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("power cut");
    tcase_add_test(tc, test_power_cut_mapped);
    tcase_add_test(tc, test_power_cut_written);
    tcase_add_test(tc, test_power_cut_held);
    tcase_add_test(tc, test_kill_mapped);
    tcase_add_test(tc, test_kill_written);
    tcase_add_test(tc, test_kill_held);
    tcase_add_loop_test(tc, test_cluster_kill, 0, 2);
    tcase_add_test(tc, test_killed_at_creation);
    tcase_add_loop_test(tc, test_power_cut_blobs, 0, 3);
    tcase_add_loop_test(tc, test_kill_blobs, 0, 3);
    return run_case("power cut", tc, 600);
}
