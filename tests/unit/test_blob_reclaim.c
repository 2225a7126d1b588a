// What becomes of the space of large values in a store, on a simulated disk: deletion, steady state
// under overwriting, draining beside readers, writers and snapshots, the logs of such stores.
#include "blob_util.h"
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "base/clock.h"
#include "engine_util.h"

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

// A file of which all is live is none to reclaim, however small: its header would be moved for
// ever.
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

// A file as the file system keeps it: extents are slices of what was written at once, named by
// their first page; a page written and synced by itself is a value in the log. A drained blob file
// that nothing but slices in the memtable keeps must not slow writers down until that is full.
#define PAGES  4096u
#define EXTENT 32u
#define PAGE   ((size_t)4096)

static struct lsm_batch *page_batch;
static unsigned page_mark[PAGES], extent_of[PAGES], extent_pages[PAGES];

static void page_key(char *key, unsigned page)
{
    snprintf(key, 16, "f%05u", page);
}

// Pages [page, page + count) of the extent that begins at `from` become one of their own.
static void cut(unsigned from, unsigned page, unsigned count)
{
    char key[16], source[16];
    if (count == 0)
        return;
    page_key(key, page);
    page_key(source, from);
    ck_assert_int_eq(lsm_batch_put_part(page_batch, key, strlen(key), source, strlen(source),
                                        (page - from) * PAGE, count * PAGE),
                     0);
    for (unsigned i = page; i < page + count; i++)
        extent_of[i] = page;
    extent_pages[page] = count;
}

static void page_write(unsigned page, unsigned mark)
{
    uint8_t data[PAGE];
    char key[16];
    const struct lsm_write_options wo = {.sync_soon = true};
    unsigned from = extent_of[page], end = from + extent_pages[from];
    fill(data, PAGE, mark);
    lsm_batch_clear(page_batch);
    cut(from, page + 1, end - page - 1);
    cut(from, from, page - from);
    page_key(key, page);
    ck_assert_int_eq(lsm_batch_put(page_batch, key, strlen(key), data, PAGE), 0);
    int rc = lsm_write(db, &wo, page_batch);
    ck_assert_msg(rc == 0, "write: %s", lsm_error_detail());
    extent_of[page] = page;
    extent_pages[page] = 1;
    page_mark[page] = mark;
}

START_TEST(test_little_keeps_files)
{
    struct random random = {seed_from_env()};
    printf("little: LSM_SEED=%" PRIu64 "\n", random.state);
    options.blob_file_size = 512 << 10;
    options.blob_garbage_ratio = 12;
    options.write_buffer_size = 8 << 20;
    open_db();
    ck_assert_int_eq(lsm_batch_new(&page_batch), 0);
    for (unsigned page = 0; page < PAGES; page += EXTENT) {
        char key[16];
        page_key(key, page);
        put_sized(key, 2 * page + 1, EXTENT * PAGE);
        for (unsigned i = 0; i < EXTENT; i++)
            extent_of[page + i] = page;
        extent_pages[page] = EXTENT;
    }
    ck_assert_int_eq(lsm_compact_range(db, NULL, 0, NULL, 0), 0);
    ck_assert_int_eq(lsm_wait_idle(db), 0);
    uint64_t slowed = number("slowdown-us"), most = 0, start = clock_us();
    for (unsigned n = 1; n <= 12000; n++) {
        page_write(random_below(&random, PAGES), 2 * n + 1);
        if (number("blob-bytes") > most)
            most = number("blob-bytes");
    }
    slowed = number("slowdown-us") - slowed;
    uint64_t took = clock_us() - start;
    printf("little: slowed %" PRIu64 " of %" PRIu64
           " ms, blob files at most %.2f times the live data\n",
           slowed / 1000, took / 1000, (double)most / (PAGES * PAGE));
    ck_assert_uint_le(slowed * 4, took * 3); // it was nine tenths, with nothing going on meanwhile
    ck_assert_uint_le(most, 2 * PAGES * PAGE);
    lsm_batch_free(page_batch);
    for (unsigned page = 0; page < PAGES; page++) {
        char key[16];
        page_key(key, page);
        if (extent_of[page] == page && page_mark[page])
            expect_sized(key, page_mark[page], PAGE);
    }
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
            lsm_batch_put_part(batch, key, strlen(key), source, strlen(source), offset, v.size), 0);
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
    TCase *tc = tcase_create("blob reclaim");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, test_all_deleted_all_gone);
    tcase_add_test(tc, test_small_files_rest);
    tcase_add_test(tc, test_steady_state);
    tcase_add_test(tc, test_little_keeps_files);
    tcase_add_test(tc, test_logs_fit_their_use);
    tcase_add_test(tc, test_drain_with_snapshots);
    tcase_add_test(tc, test_race);
    tcase_add_test(tc, test_live_bytes_after_reopening);
    return run_case("blob reclaim", tc, 300);
}
