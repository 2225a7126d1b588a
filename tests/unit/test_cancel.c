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

static int told_and_writes(void *arg, uint64_t done, uint64_t total)
{
    static char value[16 << 10];
    struct watch *watch = arg;
    char key[16];
    (void)done, (void)total;
    for (size_t i = 0; i < sizeof value; i++) // which cannot be compressed
        value[i] = (char)(watch->calls * 2654435761u * (i + 1) >> 13);
    snprintf(key, sizeof key, "new%06u", watch->calls++);
    ck_assert_int_eq(lsm_put(db, NULL, key, 9, value, sizeof value), 0);
    return 0;
}

// What is written meanwhile gets to level 0, and from there on: it does not wait for the end of the
// whole, which it could not outlast here. The writer is the compaction itself: if that kept level 0
// from being emptied, the two would wait for each other.
START_TEST(test_compact_holds_up_nobody)
{
    static char value[200];
    options.blob_min = 0;
    options.compression = options.bottom_compression = LSM_COMPRESSION_NONE;
    open_db();
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < 30000; i++) {
            char key[16];
            snprintf(key, sizeof key, "%06u", i * 7919 % 30000);
            ck_assert_int_eq(lsm_put(db, NULL, key, 6, value, sizeof value), 0);
        }
        ck_assert_int_eq(lsm_wait_idle(db), 0);
    }
    struct watch watch = {0};
    ck_assert_int_eq(lsm_compact_range_with(db, NULL, 0, NULL, 0, told_and_writes, &watch), 0);
    ck_assert_uint_gt(watch.calls, 120); // more than level 0 may hold
    ck_assert_int_eq(lsm_check(db, NULL, NULL, NULL), 0);
    struct lsm_iter *iter;
    unsigned count = 0;
    ck_assert_int_eq(lsm_iter_new(db, NULL, &iter), 0);
    for (lsm_iter_seek_first(iter); lsm_iter_valid(iter); lsm_iter_next(iter))
        count++;
    ck_assert_int_eq(lsm_iter_status(iter), 0);
    lsm_iter_free(iter);
    ck_assert_uint_eq(count, 30000 + watch.calls);
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
