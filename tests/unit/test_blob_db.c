// Large values in a store, on a simulated disk: separation, slices, recovery, snapshots, iterators,
// checkpoint, repair, check, reclaim.
#include "quick_check.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/env_fault.h"
#include "base/status.h"
#include "engine_util.h"
#include "lsm.h"

#define BIG 5000

static struct env *env;
static struct lsm *db;
static struct lsm_options options;

static void setup(void)
{
    env = env_fault_new();
    ck_assert_ptr_nonnull(env);
    lsm_options_init(&options);
    options.env = env;
    options.write_buffer_size = 64 << 10;
    options.table_size = 64 << 10;
    options.level_base_size = 256 << 10;
    options.block_cache_size = 256 << 10;
    options.blob_min = 1024;
    options.blob_file_size = 64 << 10;
    db = NULL;
}

static void teardown(void)
{
    if (db)
        ck_assert_int_eq(lsm_close(db), 0);
    env_fault_free(env);
}

static void open_db(void)
{
    int rc = lsm_open("/db", &options, &db);
    ck_assert_msg(rc == 0, "open: %s", lsm_error_detail());
}

static void reopen_db(void)
{
    ck_assert_int_eq(lsm_close(db), 0);
    db = NULL;
    open_db();
}

// Bytes that depend on the mark and the position; even marks compress, odd ones do not.
static void fill(uint8_t *data, size_t size, unsigned mark)
{
    uint64_t x = mark * UINT64_C(0x9E3779B97F4A7C15) + 1;
    for (size_t i = 0; i < size; i++) {
        if (mark % 2 || i % 16 == 0)
            x = x * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        data[i] = (uint8_t)(x >> 56);
    }
}

static void put_sized(const char *key, unsigned mark, size_t size)
{
    uint8_t *data = malloc(size + 1);
    fill(data, size, mark);
    int rc = lsm_put(db, NULL, key, strlen(key), data, size);
    ck_assert_msg(rc == 0, "put: %s", lsm_error_detail());
    free(data);
}

static void expect_range(const struct lsm_snapshot *snapshot, const char *key, unsigned mark,
                         size_t value_size, size_t from, size_t size)
{
    struct lsm_buf got = {0};
    struct lsm_read_options ro = {.snapshot = snapshot};
    uint8_t *data = malloc(value_size + 1);
    fill(data, value_size, mark);
    int rc = lsm_get(db, &ro, key, strlen(key), &got);
    ck_assert_msg(rc == 0, "get %s: %d %s", key, rc, lsm_error_detail());
    ck_assert_uint_eq(got.size, size);
    ck_assert_mem_eq(got.data, data + from, size);
    lsm_buf_release(&got);
    free(data);
}

static void expect_sized(const char *key, unsigned mark, size_t size)
{
    expect_range(NULL, key, mark, size, 0, size);
}

static void expect_none(const char *key)
{
    struct lsm_buf got = {0};
    ck_assert_int_eq(lsm_get(db, NULL, key, strlen(key), &got), LSM_NOT_FOUND);
}

static uint64_t number(const char *name)
{
    uint64_t value;
    ck_assert_msg(lsm_property_uint(db, name, &value), "%s", name);
    return value;
}

static void expect_sound(void)
{
    int rc = lsm_check(db, NULL, NULL, NULL);
    ck_assert_msg(rc == 0, "check: %s", lsm_error_detail());
}

static const size_t sizes[] = {1,    1023,  1024,  1025,  4095,       4096,   4097,
                               8192, 65535, 65536, 65537, (1u << 20), 2500000};
#define SIZES (sizeof sizes / sizeof sizes[0])

START_TEST(test_sizes)
{
    options.blob_compression = (enum lsm_compression)_i;
    open_db();
    for (int round = 0; round < 4; round++) {
        for (unsigned i = 0; i < 2 * SIZES; i++) {
            char key[16];
            snprintf(key, sizeof key, "k%02u", i);
            if (round == 0)
                put_sized(key, i, sizes[i / 2]);
            expect_sized(key, i, sizes[i / 2]);
        }
        expect_sound();
        if (round == 0)
            ck_assert_uint_gt(number("num-blobs"), 3);
        if (round == 0)
            ck_assert_int_eq(lsm_flush(db), 0);
        else if (round == 1)
            ck_assert_int_eq(lsm_compact_range(db, NULL, 0, NULL, 0), 0);
        else
            reopen_db();
    }
}
END_TEST

START_TEST(test_ranges)
{
    options.blob_compression = (enum lsm_compression)_i;
    open_db();
    size_t size = 300000;
    uint8_t *data = malloc(size), *part = malloc(size);
    for (unsigned mark = 0; mark < 2; mark++) {
        fill(data, size, mark);
        put_sized("v", mark, size);
        uint64_t x = 7;
        for (int i = 0; i < 2000; i++) {
            x = x * UINT64_C(6364136223846793005) + 1;
            size_t from = (x >> 33) % (size + 10), want = (x >> 20) % 20000, got;
            uint64_t whole;
            if (i % 3 == 0)
                from &= ~(size_t)4095;
            ck_assert_int_eq(lsm_get_range(db, NULL, "v", 1, from, part, want, &got, &whole), 0);
            ck_assert_uint_eq(whole, size);
            size_t left = from < size ? size - from : 0;
            ck_assert_uint_eq(got, want < left ? want : left);
            ck_assert_mem_eq(part, data + (got ? from : 0), got);
        }
    }
    free(data);
    free(part);
}
END_TEST

START_TEST(test_borrowed)
{
    struct lsm_batch *batch;
    uint8_t big[BIG], small[100];
    open_db();
    fill(big, sizeof big, 3);
    fill(small, sizeof small, 5);
    ck_assert_int_eq(lsm_batch_new(&batch), 0);
    ck_assert_int_eq(lsm_batch_put_borrowed(batch, "big", 3, big, sizeof big), 0);
    ck_assert_int_eq(lsm_batch_put_borrowed(batch, "small", 5, small, sizeof small), 0);
    ck_assert_int_eq(lsm_batch_put_borrowed(batch, "empty", 5, NULL, 0), 0);
    ck_assert_int_eq(lsm_batch_delete(batch, "none", 4), 0);
    ck_assert_int_eq(lsm_write(db, NULL, batch), 0);
    ck_assert_int_eq(lsm_write(db, NULL, batch), 0); // unchanged, usable again
    lsm_batch_free(batch);
    for (int round = 0; round < 2; round++) {
        expect_sized("big", 3, sizeof big);
        expect_sized("small", 5, sizeof small);
        expect_sized("empty", 0, 0);
        reopen_db();
    }
}
END_TEST

static int slice(struct lsm_batch *batch, const char *key, const char *source, uint64_t offset,
                 uint64_t length)
{
    return lsm_batch_put_slice(batch, key, strlen(key), source, strlen(source), offset, length);
}

// A batch that is written to blob files before it is written to the store.
START_TEST(test_staged)
{
    struct lsm_batch *batch, *other;
    uint8_t *data = malloc(BIG);
    open_db();
    put_sized("old", 8, BIG);
    ck_assert_int_eq(lsm_batch_new(&batch), 0);
    ck_assert_int_eq(lsm_batch_new(&other), 0);
    fill(data, BIG, 1);
    ck_assert_int_eq(lsm_batch_put_borrowed(batch, "a", 1, data, BIG), 0);
    ck_assert_int_eq(lsm_batch_put_borrowed(batch, "s", 1, data, 10), 0);
    ck_assert_int_eq(lsm_batch_put_slice(batch, "c", 1, "old", 3, 0, BIG), 0);
    uint64_t written = number("blob-bytes-written");
    ck_assert_int_eq(lsm_stage(db, batch), 0);
    ck_assert_uint_ge(number("blob-bytes-written"), written + BIG);
    ck_assert_int_eq(lsm_stage(db, batch), LSM_INVALID);
    memset(data, 0, BIG); // not needed any more
    put_sized("old", 9, BIG);
    expect_none("a");

    fill(data, BIG, 3);
    ck_assert_int_eq(lsm_batch_put_borrowed(other, "b", 1, data, BIG), 0);
    ck_assert_int_eq(lsm_stage(db, other), 0);
    ck_assert_int_eq(lsm_batch_delete(batch, "old", 3), 0);
    ck_assert_int_eq(lsm_batch_append(batch, other), 0);
    ck_assert_uint_eq(lsm_batch_count(batch), 5);
    lsm_batch_free(other);
    // The files stay while the batch needs them, whatever else happens.
    for (unsigned i = 0; i < 100; i++)
        put_sized("churn", i, BIG);
    ck_assert_int_eq(lsm_compact_range(db, NULL, 0, NULL, 0), 0);
    ck_assert_int_eq(lsm_wait_idle(db), 0);
    written = number("blob-bytes-written");
    ck_assert_int_eq(lsm_write(db, NULL, batch), 0);
    ck_assert_uint_eq(number("blob-bytes-written"), written);
    lsm_batch_clear(batch);
    for (int round = 0; round < 2; round++) {
        expect_sized("a", 1, BIG);
        expect_sized("b", 3, BIG);
        expect_sized("c", 8, BIG);
        expect_range(NULL, "s", 1, BIG, 0, 10);
        expect_none("old");
        expect_sound();
        reopen_db();
    }
    // One that is dropped is garbage.
    ck_assert_int_eq(lsm_batch_put_borrowed(batch, "d", 1, data, BIG), 0);
    ck_assert_int_eq(lsm_stage(db, batch), 0);
    lsm_batch_free(batch);
    ck_assert_int_eq(lsm_compact_range(db, NULL, 0, NULL, 0), 0);
    expect_none("d");
    expect_sound();
    free(data);
}
END_TEST

START_TEST(test_slices_of_a_snapshot)
{
    const struct lsm_snapshot *snapshot;
    struct lsm_batch *batch;
    open_db();
    put_sized("v", 1, BIG);
    put_sized("w", 2, 500);
    ck_assert_int_eq(lsm_snapshot_new(db, &snapshot), 0);
    put_sized("v", 3, BIG);
    ck_assert_int_eq(lsm_delete(db, NULL, "w", 1), 0);
    ck_assert_int_eq(lsm_compact_range(db, NULL, 0, NULL, 0), 0);
    ck_assert_int_eq(lsm_batch_new(&batch), 0);
    ck_assert_int_eq(lsm_batch_put_slice_at(batch, "a", 1, snapshot, "v", 1, 100, 2000), 0);
    ck_assert_int_eq(lsm_batch_put_slice_at(batch, "b", 1, snapshot, "w", 1, 5, 400), 0);
    ck_assert_int_eq(lsm_batch_put_slice_at(batch, "c", 1, NULL, "v", 1, 7, 2000), 0);
    ck_assert_int_eq(lsm_write(db, NULL, batch), 0);
    lsm_snapshot_free(db, snapshot);
    lsm_batch_free(batch);
    ck_assert_int_eq(lsm_compact_range(db, NULL, 0, NULL, 0), 0);
    expect_range(NULL, "a", 1, BIG, 100, 2000);
    expect_range(NULL, "b", 2, 500, 5, 400);
    expect_range(NULL, "c", 3, BIG, 7, 2000);
    expect_sound();
}
END_TEST

START_TEST(test_slices)
{
    options.blob_compression = (enum lsm_compression)_i;
    open_db();
    struct lsm_batch *batch;
    size_t size = 200000;
    put_sized("source", 8, size);
    uint64_t bytes = number("blob-bytes");
    ck_assert_int_eq(lsm_batch_new(&batch), 0);
    ck_assert_int_eq(slice(batch, "left", "source", 0, 70000), 0);
    ck_assert_int_eq(slice(batch, "right", "source", 70000, 130000), 0);
    ck_assert_int_eq(slice(batch, "short", "source", 99, 10), 0);
    ck_assert_int_eq(slice(batch, "none", "source", size, 0), 0);
    ck_assert_int_eq(lsm_batch_delete(batch, "source", 6), 0);
    ck_assert_int_eq(lsm_write(db, NULL, batch), 0);
    lsm_batch_clear(batch);
    ck_assert_int_eq(slice(batch, "middle", "right", 10000, 60000), 0); // a slice of a slice
    ck_assert_int_eq(slice(batch, "copy", "left", 0, 70000), 0);
    ck_assert_int_eq(lsm_write(db, NULL, batch), 0);
    ck_assert_uint_eq(number("blob-bytes"), bytes); // nothing was copied
    for (int round = 0; round < 4; round++) {
        expect_none("source");
        expect_range(NULL, "left", 8, size, 0, 70000);
        expect_range(NULL, "copy", 8, size, 0, 70000);
        expect_range(NULL, "right", 8, size, 70000, 130000);
        expect_range(NULL, "middle", 8, size, 80000, 60000);
        expect_range(NULL, "short", 8, size, 99, 10);
        expect_range(NULL, "none", 8, size, 0, 0);
        expect_sound();
        if (round == 1)
            ck_assert_int_eq(lsm_compact_range(db, NULL, 0, NULL, 0), 0);
        else
            reopen_db();
    }
    lsm_batch_clear(batch);
    ck_assert_int_eq(lsm_batch_put(batch, "other", 5, "x", 1), 0);
    ck_assert_int_eq(slice(batch, "bad", "left", 1, 70000), 0);
    ck_assert_int_eq(lsm_write(db, NULL, batch), LSM_INVALID);
    expect_none("other");
    lsm_batch_free(batch);
}
END_TEST

START_TEST(test_iterators)
{
    open_db();
    put_sized("a", 1, BIG);
    put_sized("b", 2, 10);
    put_sized("c", 3, 100000);
    put_sized("d", 4, BIG);
    const size_t expected[] = {BIG, 10, 100000, BIG};
    for (int round = 0; round < 2; round++) {
        struct lsm_iter *it;
        uint8_t *data = malloc(100000), part[100];
        ck_assert_int_eq(lsm_iter_new(db, NULL, &it), 0);
        if (round == 0) { // it sees the store as of its making
            for (int i = 0; i < 40; i++)
                put_sized("c", 9, 100000);
            ck_assert_int_eq(lsm_delete(db, NULL, "a", 1), 0);
            ck_assert_int_eq(lsm_compact_range(db, NULL, 0, NULL, 0), 0);
        }
        int n = 0;
        for (lsm_iter_seek_first(it); lsm_iter_valid(it); lsm_iter_next(it), n++) {
            size_t size, got;
            ck_assert_uint_eq(lsm_iter_value_size(it), expected[n]);
            fill(data, expected[n], n + 1);
            ck_assert_int_eq(lsm_iter_read(it, 5, part, sizeof part, &got), 0);
            ck_assert_uint_eq(got, expected[n] < 105 ? expected[n] - 5 : 100);
            ck_assert_mem_eq(part, data + 5, got);
            const void *value = lsm_iter_value(it, &size);
            ck_assert_uint_eq(size, expected[n]);
            ck_assert_mem_eq(value, data, size);
        }
        ck_assert_int_eq(lsm_iter_status(it), 0);
        ck_assert_int_eq(n, 4);
        for (lsm_iter_seek_last(it); lsm_iter_valid(it); lsm_iter_prev(it)) {
            size_t size;
            n--;
            fill(data, expected[n], n + 1);
            const void *value = lsm_iter_value(it, &size);
            ck_assert_uint_eq(size, expected[n]);
            ck_assert_mem_eq(value, data, size);
        }
        ck_assert_int_eq(n, 0);
        lsm_iter_free(it);
        free(data);
        put_sized("a", 1, BIG);
        put_sized("c", 3, 100000);
    }
}
END_TEST

START_TEST(test_snapshots)
{
    open_db();
    const struct lsm_snapshot *one;
    put_sized("k", 1, BIG);
    ck_assert_int_eq(lsm_snapshot_new(db, &one), 0);
    for (int i = 0; i < 100; i++)
        put_sized("k", 3, BIG);
    for (int round = 0; round < 3; round++) {
        expect_range(one, "k", 1, BIG, 0, BIG);
        expect_sized("k", 3, BIG);
        ck_assert_int_eq(round == 0 ? lsm_flush(db) : lsm_compact_range(db, NULL, 0, NULL, 0), 0);
    }
    lsm_snapshot_free(db, one);
}
END_TEST

START_TEST(test_checkpoint)
{
    open_db();
    for (int i = 0; i < 50; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%d", i);
        put_sized(key, i, BIG + i);
    }
    ck_assert_int_eq(lsm_checkpoint(db, "/copy"), 0);
    for (int i = 0; i < 50; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%d", i);
        put_sized(key, 99, BIG);
    }
    ck_assert_int_eq(lsm_compact_range(db, NULL, 0, NULL, 0), 0);
    ck_assert_int_eq(lsm_close(db), 0);
    ck_assert_int_eq(lsm_open("/copy", &options, &db), 0);
    for (int i = 0; i < 50; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%d", i);
        expect_sized(key, i, BIG + i);
    }
    expect_sound();
}
END_TEST

START_TEST(test_repair)
{
    open_db();
    for (int i = 0; i < 60; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%d", i);
        put_sized(key, i, BIG + i);
        if (i == 30)
            ck_assert_int_eq(lsm_flush(db), 0);
    }
    struct lsm_batch *batch;
    ck_assert_int_eq(lsm_batch_new(&batch), 0);
    ck_assert_int_eq(slice(batch, "part", "k7", 100, 4000), 0);
    ck_assert_int_eq(lsm_write(db, NULL, batch), 0);
    lsm_batch_free(batch);
    ck_assert_int_eq(lsm_close(db), 0);
    db = NULL;
    ck_assert_int_eq(env->ops->unlink(env, "/db/CURRENT"), 0);
    ck_assert_int_eq(lsm_open("/db", &options, &db), LSM_CORRUPTION);
    db = NULL;
    ck_assert_int_eq(lsm_repair("/db", &options), 0);
    open_db();
    for (int i = 0; i < 60; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%d", i);
        expect_sized(key, i, BIG + i);
    }
    expect_range(NULL, "part", 7, BIG + 7, 100, 4000);
    expect_sound();
}
END_TEST

static int find_blob(void *arg, const char *name)
{
    size_t size = strlen(name);
    if (size > 5 && !strcmp(name + size - 5, ".blob") && !*(char *)arg)
        snprintf(arg, 64, "/db/%s", name);
    return 0;
}

// Without a blob file, repair drops what pointed into it and keeps the rest.
START_TEST(test_repair_without_blobs)
{
    char path[64] = "";
    open_db();
    put_sized("small", 1, 100);
    put_sized("big", 1, BIG);
    ck_assert_int_eq(lsm_flush(db), 0);
    ck_assert_int_eq(lsm_close(db), 0);
    db = NULL;
    ck_assert_int_eq(env->ops->list(env, "/db", find_blob, path), 0);
    ck_assert_int_eq(env->ops->unlink(env, path), 0);
    open_db();
    struct lsm_buf got = {0};
    ck_assert_int_eq(lsm_get(db, NULL, "big", 3, &got), LSM_CORRUPTION);
    ck_assert_ptr_nonnull(strstr(lsm_error_detail(), ".blob"));
    ck_assert_int_eq(lsm_check(db, NULL, NULL, NULL), LSM_CORRUPTION);
    lsm_buf_release(&got);
    expect_sized("small", 1, 100);
    ck_assert_int_eq(lsm_close(db), 0);
    db = NULL;
    ck_assert_int_eq(lsm_repair("/db", &options), 0);
    open_db();
    expect_none("big");
    expect_sized("small", 1, 100);
    expect_sound();
}
END_TEST

// Each flipped bit of a blob file gives an error for what it hits, or nothing: never wrong bytes.
START_TEST(test_bit_flips)
{
    char path[64] = "";
    struct env_stat stat;
    open_db();
    for (int i = 0; i < 4; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%d", i);
        put_sized(key, i, 6000);
    }
    ck_assert_int_eq(lsm_flush(db), 0);
    ck_assert_int_eq(lsm_close(db), 0);
    db = NULL;
    ck_assert_int_eq(env->ops->list(env, "/db", find_blob, path), 0);
    ck_assert_int_eq(env->ops->stat(env, path, &stat), 0);
    uint8_t data[6000];
    struct lsm_buf got = {0};
    unsigned errors = 0;
    const char *step = getenv("LSM_STEP");
    for (uint64_t at = 0; at < stat.size; at += step ? strtoul(step, NULL, 10) : 61) {
        ck_assert_int_eq(env_fault_flip(env, path, at, at % 8), 0);
        open_db();
        unsigned failed = 0;
        for (int i = 0; i < 4; i++) {
            char key[16];
            snprintf(key, sizeof key, "k%d", i);
            int rc = lsm_get(db, NULL, key, strlen(key), &got);
            ck_assert(rc == 0 || rc == LSM_CORRUPTION);
            failed += rc != 0;
            fill(data, sizeof data, i);
            if (!rc)
                ck_assert(got.size == sizeof data && !memcmp(got.data, data, sizeof data));
        }
        ck_assert_uint_le(failed, at < 32 ? 4 : 1);
        errors += failed > 0;
        ck_assert_int_eq(lsm_check(db, NULL, NULL, NULL), LSM_CORRUPTION);
        ck_assert_int_eq(lsm_close(db), 0);
        db = NULL;
        ck_assert_int_eq(env_fault_flip(env, path, at, at % 8), 0);
    }
    ck_assert_uint_gt(errors, 0);
    lsm_buf_release(&got);
}
END_TEST

START_TEST(test_small_sync_is_one_sync)
{
    struct lsm_write_options sync = {.sync = true};
    open_db();
    put_sized("big", 1, BIG);
    ck_assert_int_eq(lsm_sync(db), 0);
    // The fewest of some, since background threads make calls too (the next log's, once).
    uint64_t calls = UINT64_MAX;
    for (int i = 0; i < 5; i++) {
        uint64_t before = env_fault_calls(env);
        ck_assert_int_eq(lsm_put(db, &sync, "a", 1, "1", 1), 0);
        uint64_t these = env_fault_calls(env) - before;
        calls = these < calls ? these : calls;
    }
    ck_assert_msg(calls <= 2, "%lu calls", (unsigned long)calls); // the log's, if written: a write
    put_sized("big", 3, BIG);
    ck_assert_int_eq(lsm_sync(db), 0);
    env_fault_power_cut(env, 0);
    (void)!lsm_close(db);
    open_db();
    expect_sized("big", 3, BIG);
}
END_TEST

// Values that went with the log for the sake of a sync go to blob files when the memtable is flushed,
// or when the log is replayed, and are rewritten no more; in between they are with the log alone.
START_TEST(test_synced_values_are_separated)
{
    struct lsm_write_options sync = {.sync = true};
    uint8_t data[BIG];
    options.write_buffer_size = 1 << 20;
    open_db();
    for (unsigned i = 0; i < 20; i++) {
        char key[16];
        fill(data, sizeof data, 2 * i + 1);
        ck_assert_int_eq(lsm_put(db, &sync, key, (size_t)sprintf(key, "k%02u", i), data, BIG), 0);
    }
    ck_assert_int_eq(lsm_put(db, &sync, "small", 5, data, 1000), 0);
    ck_assert_uint_eq(number("blob-bytes-written"), 0);
    if (_i)
        reopen_db();
    else
        ck_assert_int_eq(lsm_flush(db), 0);
    ck_assert_uint_ge(number("blob-bytes-written"), 20 * BIG);
    ck_assert_uint_le(number("blob-bytes-written"), 20 * (BIG + 200));
    uint64_t written = number("blob-bytes-written");
    for (int life = 0; life < 2; life++) {
        ck_assert_int_eq(lsm_compact_range(db, NULL, 0, NULL, 0), 0);
        ck_assert_uint_eq(number("blob-garbage-bytes"), number("num-blobs") * 32); // headers
        ck_assert_uint_eq(number("blob-bytes-written"), life ? 0 : written);
        ck_assert_uint_eq(number("blob-bytes-moved"), 0);
        for (unsigned i = 0; i < 20; i++) {
            char key[16];
            sprintf(key, "k%02u", i);
            expect_sized(key, 2 * i + 1, BIG);
        }
        expect_sound();
        env_fault_power_cut(env, 0);
        (void)!lsm_close(db);
        open_db();
    }
}
END_TEST

static void put_numbered(unsigned from, unsigned to)
{
    for (unsigned i = from; i < to; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%u", i);
        put_sized(key, i, BIG);
    }
}

// Whoever opens the store, to write or only to read it, counts the same as live.
START_TEST(test_live_bytes_after_reopening)
{
    open_db();
    put_numbered(0, 10);
    ck_assert_int_eq(lsm_compact_range(db, NULL, 0, NULL, 0), 0);
    put_numbered(10, 20);
    uint64_t live = number("blob-live-bytes");
    ck_assert_uint_gt(live, 20 * BIG / 4);
    options.read_only = true;
    reopen_db();
    ck_assert_uint_eq(number("blob-live-bytes"), live);
    options.read_only = false;
    reopen_db();
    ck_assert_uint_eq(number("blob-live-bytes"), live);
}
END_TEST

START_TEST(test_all_deleted_all_gone)
{
    open_db();
    put_numbered(0, 200);
    ck_assert_int_eq(lsm_compact_range(db, NULL, 0, NULL, 0), 0);
    ck_assert_uint_gt(number("num-blobs"), 5);
    for (int i = 0; i < 200; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%d", i);
        ck_assert_int_eq(lsm_delete(db, NULL, key, strlen(key)), 0);
    }
    ck_assert_int_eq(lsm_compact_range(db, NULL, 0, NULL, 0), 0);
    ck_assert_uint_le(number("blob-live-bytes"), 0);
    // What a background thread is just freeing goes when it is done.
    for (int tries = 0; tries < 1000 && number("num-blobs") > 1; tries++)
        ck_assert_int_eq(lsm_compact_range(db, NULL, 0, NULL, 0), 0);
    ck_assert_uint_le(number("num-blobs"), 1); // the one that is being written
    reopen_db();
    ck_assert_uint_eq(number("num-blobs"), 0);
}
END_TEST

// A file of which all is live is none to reclaim, however small: its header would be moved for ever.
START_TEST(test_small_files_rest)
{
    options.blob_min = 1;
    options.blob_file_size = 4 << 10;
    options.blob_garbage_ratio = 5;
    open_db();
    for (unsigned i = 0; i < 40; i++) { // from nothing to more than a file
        char key[16];
        snprintf(key, sizeof key, "k%u", i);
        put_sized(key, i, 100);
        put_sized(key, i, 100);
        ck_assert_int_eq(lsm_compact_range(db, NULL, 0, NULL, 0), 0);
        ck_assert_int_eq(lsm_wait_idle(db), 0);
    }
    ck_assert_uint_le(number("blob-bytes-moved"), 40 * number("blob-live-bytes"));
    expect_sound();
}
END_TEST

// Random overwrites for ever take bounded space, and bounded writing.
START_TEST(test_steady_state)
{
    const unsigned keys = 150, size = 32 << 10, rounds = 8;
    options.blob_file_size = 256 << 10;
    struct random random = {seed_from_env()};
    printf("steady state: LSM_SEED=%" PRIu64 "\n", random.state);
    open_db();
    uint64_t live = (uint64_t)keys * size, most = 0;
    for (unsigned i = 0; i < keys * rounds; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%u", i < keys ? i : random_below(&random, keys));
        put_sized(key, 2 * i + 1, size);
        if (i > 3 * keys && i % 8 == 0 && number("blob-bytes") > most)
            most = number("blob-bytes");
    }
    ck_assert_int_eq(lsm_compact_range(db, NULL, 0, NULL, 0), 0);
    ck_assert_int_eq(lsm_wait_idle(db), 0);
    uint64_t amplification = number("write-amp-x100");
    printf("at most %.2f times the live data, %.2f at rest, written %.2f times\n",
           (double)most / (double)live, (double)number("blob-bytes") / (double)live,
           (double)amplification / 100);
    ck_assert_uint_le(most, live * 2);
    ck_assert_uint_le(number("blob-bytes"), live * 3 / 2);
    ck_assert_uint_le(amplification, 240); // a small store: logs and tables weigh more
    expect_sound();
}
END_TEST

static int add_log_size(void *arg, const char *name)
{
    const char *dot = strrchr(name, '.');
    char path[64];
    struct env_stat st;
    if (!dot || strcmp(dot, ".log") != 0)
        return 0;
    snprintf(path, sizeof path, "/db/%s", name);
    if (env->ops->stat(env, path, &st) == 0)
        *(uint64_t *)arg += st.size;
    return 0;
}

static uint64_t log_bytes(void)
{
    uint64_t bytes = 0;
    ck_assert_int_eq(env->ops->list(env, "/db", add_log_size, &bytes), 0);
    return bytes;
}

// Logs are allocated for what recent ones have used, not for what a memtable could hold.
START_TEST(test_logs_fit_their_use)
{
    options.write_buffer_size = 32 << 20;
    options.blob_file_size = 1 << 20;
    open_db();
    ck_assert_uint_le(log_bytes(), 4 << 20);
    for (unsigned i = 0; i < 200; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%u", i);
        put_sized(key, 2 * i + 1, 32 << 10);
    }
    ck_assert_int_eq(lsm_wait_idle(db), 0);
    ck_assert_uint_le(log_bytes(), 4 << 20);
    for (unsigned i = 0; i < 20000; i++) { // in the log, several allocations of it
        char key[16];
        snprintf(key, sizeof key, "s%u", i);
        put_sized(key, 2 * i + 1, 1000);
    }
    uint64_t grown = log_bytes();
    ck_assert_uint_ge(grown, 20000 * 1000);
    ck_assert_uint_le(grown, 20000 * 1100 + (9 << 20) + (2 << 20));
    reopen_db();
    expect_sized("s19999", 2 * 19999 + 1, 1000);
    expect_sized("k199", 2 * 199 + 1, 32 << 10);
}
END_TEST

// Threads overwrite, slice and delete keys of their own while everything is being compacted and
// drained; each knows what its keys hold.
#define RACE_KEYS 24
static _Atomic bool race_over;

struct racer {
    pthread_t thread;
    struct random random;
    unsigned id;
};

static void race_write(struct racer *r, struct value *values, struct lsm_batch *batch)
{
    char key[16], source[16];
    unsigned k = random_below(&r->random, RACE_KEYS), from = random_below(&r->random, RACE_KEYS);
    struct value v = {.seed = random_next(&r->random), .size = random_below(&r->random, 20000)};
    snprintf(key, sizeof key, "%u-%u", r->id, k);
    snprintf(source, sizeof source, "%u-%u", r->id, from);
    lsm_batch_clear(batch);
    if (one_in(&r->random, 8)) {
        v.size = UINT32_MAX;
        ck_assert_int_eq(lsm_batch_delete(batch, key, strlen(key)), 0);
    } else if (one_in(&r->random, 2) && values[from].size != UINT32_MAX && values[from].size) {
        uint32_t offset = random_below(&r->random, values[from].size);
        v = values[from];
        v.offset += offset;
        v.size = 1 + random_below(&r->random, v.size - offset);
        ck_assert_int_eq(
            lsm_batch_put_slice(batch, key, strlen(key), source, strlen(source), offset, v.size),
            0);
    } else {
        uint8_t *data = malloc(v.size + 1);
        value_bytes(&v, data);
        ck_assert_int_eq(lsm_batch_put(batch, key, strlen(key), data, v.size), 0);
        free(data);
    }
    int rc = lsm_write(db, NULL, batch);
    EXPECT(rc == 0, "write: %s", lsm_error_detail());
    values[k] = v;
}

static void *race_run(void *arg)
{
    struct racer *r = arg;
    struct value values[RACE_KEYS];
    struct lsm_batch *batch;
    struct lsm_buf got = {0};
    for (unsigned k = 0; k < RACE_KEYS; k++)
        values[k].size = UINT32_MAX;
    ck_assert_int_eq(lsm_batch_new(&batch), 0);
    for (int i = 0; i < 400; i++) {
        char key[16];
        unsigned k = random_below(&r->random, RACE_KEYS);
        race_write(r, values, batch);
        snprintf(key, sizeof key, "%u-%u", r->id, k);
        int rc = lsm_get(db, NULL, key, strlen(key), &got);
        bool absent = values[k].size == UINT32_MAX;
        EXPECT(rc == (absent ? LSM_NOT_FOUND : 0), "get: %d %s", rc, lsm_error_detail());
        EXPECT(absent || value_equal(&values[k], got.data, got.size), "wrong bytes");
    }
    lsm_batch_free(batch);
    lsm_buf_release(&got);
    return NULL;
}

static void *race_compact(void *arg)
{
    (void)arg;
    while (!atomic_load(&race_over)) {
        struct lsm_iter *it;
        ck_assert_int_eq(lsm_compact_range(db, NULL, 0, NULL, 0), 0);
        ck_assert_int_eq(lsm_iter_new(db, NULL, &it), 0);
        for (lsm_iter_seek_first(it); lsm_iter_valid(it); lsm_iter_next(it)) {
            size_t size;
            EXPECT(lsm_iter_value(it, &size), "iterator: %s", lsm_error_detail());
        }
        EXPECT(lsm_iter_status(it) == 0, "iterator: %s", lsm_error_detail());
        lsm_iter_free(it);
    }
    return NULL;
}

START_TEST(test_race)
{
    struct racer racers[3];
    pthread_t compacter;
    struct random random = {seed_from_env()};
    printf("race: LSM_SEED=%" PRIu64 "\n", random.state);
    options.blob_garbage_ratio = 5;
    options.blob_file_size = 32 << 10;
    options.compaction_threads = 2;
    open_db();
    atomic_store(&race_over, false);
    for (unsigned i = 0; i < 3; i++) {
        racers[i] = (struct racer){.random = {random_next(&random)}, .id = i};
        pthread_create(&racers[i].thread, NULL, race_run, &racers[i]);
    }
    pthread_create(&compacter, NULL, race_compact, NULL);
    for (unsigned i = 0; i < 3; i++)
        pthread_join(racers[i].thread, NULL);
    atomic_store(&race_over, true);
    pthread_join(compacter, NULL);
    ck_assert_uint_gt(number("blob-bytes-moved"), 0);
    expect_sound();
}
END_TEST

// What is only a little worse than the ratio says is drained, also when snapshots hold old
// versions.
START_TEST(test_drain_with_snapshots)
{
    const struct lsm_snapshot *snapshot;
    open_db();
    for (unsigned i = 0; i < 100; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%u", i);
        put_sized(key, 2 * i + 1, BIG);
    }
    ck_assert_int_eq(lsm_snapshot_new(db, &snapshot), 0);
    for (unsigned round = 0; round < 4; round++) {
        for (unsigned i = 0; i < 100; i++) {
            char key[16];
            snprintf(key, sizeof key, "k%u", i);
            if (i % 3 != round % 3)
                put_sized(key, 1000 * (round + 1) + i, BIG);
        }
        ck_assert_int_eq(lsm_compact_range(db, NULL, 0, NULL, 0), 0);
        ck_assert_int_eq(lsm_wait_idle(db), 0);
        for (unsigned i = 0; i < 100; i++) {
            char key[16];
            snprintf(key, sizeof key, "k%u", i);
            expect_range(snapshot, key, 2 * i + 1, BIG, 0, BIG);
        }
        expect_sound();
    }
    lsm_snapshot_free(db, snapshot);
    put_sized("k0", 7, BIG); // so that there is something to merge with
    put_sized("k99", 7, BIG);
    ck_assert_int_eq(lsm_compact_range(db, NULL, 0, NULL, 0), 0);
    ck_assert_int_eq(lsm_wait_idle(db), 0);
    // Files go once the last version that refers to them has gone, which readers may hold a moment.
    for (int i = 0; i < 500 && number("blob-bytes") >= 100 * BIG * 2; i++)
        usleep(10000);
    ck_assert_uint_lt(number("blob-bytes"), 100 * BIG * 2);
    reopen_db();
    expect_sound();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("blob db");
    TCase *tc = tcase_create("blob db");
    tcase_set_timeout(tc, 300);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, test_sizes, 0, 3);
    tcase_add_loop_test(tc, test_ranges, 0, 3);
    tcase_add_test(tc, test_borrowed);
    tcase_add_test(tc, test_staged);
    tcase_add_test(tc, test_slices_of_a_snapshot);
    tcase_add_loop_test(tc, test_slices, 0, 3);
    tcase_add_test(tc, test_iterators);
    tcase_add_test(tc, test_snapshots);
    tcase_add_test(tc, test_checkpoint);
    tcase_add_test(tc, test_repair);
    tcase_add_test(tc, test_repair_without_blobs);
    tcase_add_test(tc, test_bit_flips);
    tcase_add_test(tc, test_small_sync_is_one_sync);
    tcase_add_loop_test(tc, test_synced_values_are_separated, 0, 2);
    tcase_add_test(tc, test_all_deleted_all_gone);
    tcase_add_test(tc, test_small_files_rest);
    tcase_add_test(tc, test_steady_state);
    tcase_add_test(tc, test_logs_fit_their_use);
    tcase_add_test(tc, test_drain_with_snapshots);
    tcase_add_test(tc, test_race);
    tcase_add_test(tc, test_live_bytes_after_reopening);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
