// Long operations that end when their progress function says so: nothing else changes.
#include "store_util.h"

#include <stdio.h>

struct watch {
    unsigned calls, stop_at; // the call from which on the answer is to stop; 0: never
};

static int told(void *arg, uint64_t done, uint64_t total)
{
    struct watch *watch = arg;
    ck_assert(total == 0 || done <= total);
    return ++watch->calls >= watch->stop_at && watch->stop_at ? 1 : 0;
}

static void fill(void)
{
    static char value[900];
    memset(value, 'v', sizeof value);
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < 4000; i++) {
            char key[16];
            snprintf(key, sizeof key, "%06u", i * 7919 % 4000);
            ck_assert_int_eq(lsm_put(db, NULL, key, 6, value, 100 + i % 800), 0);
        }
        ck_assert_int_eq(lsm_flush(db), 0);
    }
}

// Nothing in the background changes how much there is.
static void open_quiet(void)
{
    options.l0_compact = 998;
    options.l0_slowdown = 999;
    options.l0_stop = 1000;
    open_db();
}

START_TEST(test_check)
{
    struct watch all = {0}, first = {.stop_at = 2};
    open_db();
    fill();
    ck_assert_int_eq(lsm_check(db, NULL, told, &all), 0);
    ck_assert_uint_ge(all.calls, 2);
    ck_assert_int_eq(lsm_check(db, NULL, told, &first), LSM_CANCELLED);
    ck_assert_uint_eq(first.calls, 2);
    ck_assert_int_eq(lsm_check(db, NULL, NULL, NULL), 0);
}
END_TEST

// The store is sound and can be compacted afterwards.
START_TEST(test_compact)
{
    open_quiet();
    fill();
    uint64_t tables = number("num-tables");
    struct watch stop = {.stop_at = 3}, all = {0};
    ck_assert_int_eq(lsm_compact_range_with(db, NULL, 0, NULL, 0, told, &stop), LSM_CANCELLED);
    ck_assert_uint_eq(stop.calls, 3);
    ck_assert_uint_eq(number("num-tables"), tables);
    ck_assert_int_eq(lsm_check(db, NULL, NULL, NULL), 0);
    ck_assert_int_eq(lsm_compact_range_with(db, NULL, 0, NULL, 0, told, &all), 0);
    ck_assert_uint_gt(all.calls, 8);
    ck_assert_uint_lt(number("num-tables"), tables);
    ck_assert_int_eq(lsm_check(db, NULL, NULL, NULL), 0);
}
END_TEST

#ifdef __SANITIZE_THREAD__ // each file of the simulated disk is a mapping, of which there are not
                           // as many
#define KEYS 6000u
#else
#define KEYS 30000u
#endif
#define FULL 9u // tables, beyond l0_compact and what may be flushed in a moment

struct crowd {
    unsigned calls, level_0, after_jobs;
    uint64_t done, jobs;
    bool ended; // a job, while level 0 was full
};

// Writes with each call. Where one job has ended and the next begins, level 0 has been emptied, if
// it was full: but for what has been flushed since then.
static int told_and_writes(void *arg, uint64_t done, uint64_t total)
{
    static char value[16 << 10];
    struct crowd *crowd = arg;
    char key[16];
    (void)total;
    uint64_t jobs = number("compactions");
    unsigned level_0 = (unsigned)number("num-tables-at-level0");
    // The first call with more done comes at the end of a job, while it waits or when the next
    // begins; the second one, when that goes on.
    if (done > crowd->done) {
        if (crowd->ended) {
            ck_assert_uint_lt(level_0, FULL);
            crowd->after_jobs++;
        }
        crowd->ended = !crowd->ended && jobs > crowd->jobs && crowd->level_0 >= FULL;
        crowd->done = done;
        crowd->jobs = jobs;
        crowd->level_0 = level_0;
    }
    for (size_t i = 0; i < sizeof value; i++)
        value[i] = (char)(crowd->calls * 2654435761u * (i + 1) >> 13);
    snprintf(key, sizeof key, "new%06u", crowd->calls++);
    ck_assert_int_eq(lsm_put(db, NULL, key, 9, value, sizeof value), 0);
    return 0;
}

// What is written meanwhile gets to level 0, and on from there between two jobs.
START_TEST(test_compact_holds_up_nobody)
{
    static char value[200];
    options.blob_min = 0;
    options.compression = options.bottom_compression = LSM_COMPRESSION_NONE;
    options.l0_slowdown = 999; // it would be itself that it waits for
    options.l0_stop = 1000;
    open_db();
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < KEYS; i++) {
            char key[16];
            snprintf(key, sizeof key, "%06u", i * 7919 % KEYS);
            ck_assert_int_eq(lsm_put(db, NULL, key, 6, value, sizeof value), 0);
        }
        ck_assert_int_eq(lsm_flush(db), 0);
    }
    struct crowd crowd = {0};
    ck_assert_int_eq(lsm_compact_range_with(db, NULL, 0, NULL, 0, told_and_writes, &crowd), 0);
    printf("%u calls, level 0 full at the end of %u jobs\n", crowd.calls, crowd.after_jobs);
    ck_assert_int_eq(lsm_check(db, NULL, NULL, NULL), 0);
    struct lsm_iter *iter;
    unsigned count = 0;
    ck_assert_int_eq(lsm_iter_new(db, NULL, &iter), 0);
    for (lsm_iter_seek_first(iter); lsm_iter_valid(iter); lsm_iter_next(iter))
        count++;
    ck_assert_int_eq(lsm_iter_status(iter), 0);
    lsm_iter_free(iter);
    ck_assert_uint_eq(count, KEYS + crowd.calls);
}
END_TEST

static int nothing(void *arg, const struct lsm_snapshot_info *info, uint64_t refers, uint64_t own)
{
    (void)arg, (void)info, (void)refers, (void)own;
    ck_abort_msg("told of a snapshot after all");
    return 0;
}

START_TEST(test_usage)
{
    struct watch first = {.stop_at = 1};
    open_quiet();
    fill();
    ck_assert_int_eq(lsm_snapshot_create(db, "one"), 0);
    ck_assert_int_eq(lsm_snapshot_usage(db, nothing, told, &first), LSM_CANCELLED);
    ck_assert_uint_eq(first.calls, 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cancel");
    TCase *tc = tcase_create("cancel");
    tcase_add_checked_fixture(tc, store_setup, teardown);
    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, test_check);
    tcase_add_test(tc, test_compact);
    tcase_add_test(tc, test_compact_holds_up_nobody);
    tcase_add_test(tc, test_usage);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
