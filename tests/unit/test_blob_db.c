// Large values in a store, on a simulated disk: separation, slices, recovery, snapshots, iterators,
// checkpoint, repair, check. Their reclaim is in test_blob_reclaim.c.
#include "blob_util.h"
#include "from_env.h"

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
    return lsm_batch_put_part(batch, key, strlen(key), source, strlen(source), offset, length);
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
    ck_assert_int_eq(lsm_batch_put_part(batch, "c", 1, "old", 3, 0, BIG), 0);
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
    ck_assert_int_eq(lsm_batch_put_part_at(batch, "a", 1, snapshot, "v", 1, 100, 2000), 0);
    ck_assert_int_eq(lsm_batch_put_part_at(batch, "b", 1, snapshot, "w", 1, 5, 400), 0);
    ck_assert_int_eq(lsm_batch_put_part_at(batch, "c", 1, NULL, "v", 1, 7, 2000), 0);
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

// Values on their way into a memtable are not garbage: what no table and no memtable refers to yet
// must not be drained, which would write it twice.
START_TEST(test_staged_is_no_garbage)
{
    struct lsm_batch *batch, *copy;
    uint8_t *data = malloc(200000);
    fill(data, 200000, 7);
    open_db();
    ck_assert_int_eq(lsm_batch_new(&batch), 0);
    ck_assert_int_eq(lsm_batch_new(&copy), 0);
    ck_assert_int_eq(lsm_batch_put_borrowed(batch, "v", 1, data, 200000), 0);
    ck_assert_int_eq(lsm_stage(db, batch), 0);
    ck_assert_int_eq(lsm_wait_idle(db), 0); // asks what is to be drained
    ck_assert_uint_eq(number("blobs-draining"), 0);
    ck_assert_uint_eq(number("blob-garbage-bytes"), 32); // the file's header
    ck_assert_int_eq(lsm_batch_append(copy, batch), 0);
    lsm_batch_free(batch);
    ck_assert_int_eq(lsm_wait_idle(db), 0);
    ck_assert_uint_eq(number("blobs-draining"), 0);
    ck_assert_int_eq(lsm_write(db, NULL, copy), 0);
    lsm_batch_free(copy);
    ck_assert_uint_eq(number("blob-live-bytes"), number("blob-bytes") - 32);
    uint64_t bytes = number("blob-bytes");
    ck_assert_int_eq(lsm_flush(db), 0);
    ck_assert_int_eq(lsm_wait_idle(db), 0);
    ck_assert_uint_eq(number("blob-bytes"), bytes);
    expect_sized("v", 7, 200000);
    // What is given up is garbage.
    ck_assert_int_eq(lsm_batch_new(&batch), 0);
    ck_assert_int_eq(lsm_batch_put_borrowed(batch, "w", 1, data, 200000), 0);
    ck_assert_int_eq(lsm_stage(db, batch), 0);
    lsm_batch_free(batch);
    ck_assert_uint_gt(number("blob-garbage-bytes"), 200000);
    free(data);
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
    uint64_t step = from_env("LSM_STEP", 61);
    for (uint64_t at = 0; at < stat.size; at += step) {
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

// Values that went with the log for the sake of a sync go to blob files when the memtable is
// flushed, or when the log is replayed, and are rewritten no more; in between they are with the log
// alone.
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

int main(void)
{
    TCase *tc = tcase_create("blob db");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, test_sizes, 0, 3);
    tcase_add_loop_test(tc, test_ranges, 0, 3);
    tcase_add_test(tc, test_borrowed);
    tcase_add_test(tc, test_staged);
    tcase_add_test(tc, test_slices_of_a_snapshot);
    tcase_add_test(tc, test_staged_is_no_garbage);
    tcase_add_loop_test(tc, test_slices, 0, 3);
    tcase_add_test(tc, test_iterators);
    tcase_add_test(tc, test_snapshots);
    tcase_add_test(tc, test_checkpoint);
    tcase_add_test(tc, test_repair);
    tcase_add_test(tc, test_repair_without_blobs);
    tcase_add_test(tc, test_bit_flips);
    tcase_add_test(tc, test_small_sync_is_one_sync);
    tcase_add_loop_test(tc, test_synced_values_are_separated, 0, 2);
    return run_case("blob db", tc, 300);
}
