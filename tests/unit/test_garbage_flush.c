// A memtable of mostly superseded versions is flushed early, so that the logs of a small store stay
// small; one of a large store is not.
#include <stdio.h>

#include <unistd.h>

#include "store_util.h"

#define BUFFER (16u << 20)
#define VALUE  1000u

static void setup(void)
{
    store_setup();
    options.write_buffer_size = BUFFER; // an eighth: 2 MiB
    options.compression = LSM_COMPRESSION_NONE;
}

static void put(unsigned key, unsigned version)
{
    char name[32], value[VALUE];
    memset(value, (int)version, sizeof value);
    snprintf(name, sizeof name, "key%08u", key);
    ck_assert_int_eq(lsm_put(db, NULL, name, strlen(name), value, sizeof value), 0);
}

// 64 MB put on top of each other: never much more than two memtables' worth of 2 MiB in logs.
START_TEST(test_logs_stay_small)
{
    uint64_t most = 0;
    open_db();
    for (unsigned i = 0; i < 64000; i++) {
        put(i % 10, i);
        uint64_t logs = i % 500 ? 0 : number("wal-bytes");
        // The flush that is under way may not have had the processor yet.
        for (int tries = 0; tries < 10000 && logs > 8u << 20; tries++) {
            usleep(1000);
            logs = number("wal-bytes");
        }
        if (logs > most)
            most = logs;
    }
    ck_assert_uint_ge(number("flushes"), 3);
    ck_assert_uint_le(most, 12u << 20);
    ck_assert_int_eq(lsm_wait_idle(db), 0);
    ck_assert_uint_le(number("table-bytes"), 1u << 20);
}
END_TEST

// What a flush would save must be worth it: a quarter of the store.
START_TEST(test_a_large_store_waits_for_a_full_memtable)
{
    open_db();
    for (unsigned i = 0; i < 40000; i++)
        put(i, i);
    ck_assert_int_eq(lsm_flush(db), 0);
    ck_assert_int_eq(lsm_wait_idle(db), 0);
    uint64_t flushes = number("flushes");
    for (unsigned i = 0; i < 8000; i++) // 8 MB, of which nearly all is superseded
        put(i % 10, i);
    ck_assert_uint_eq(number("flushes"), flushes);
    for (unsigned i = 0; i < 4000; i++) // more than a quarter
        put(i % 10, i);
    ck_assert_int_eq(lsm_wait_idle(db), 0);
    ck_assert_uint_gt(number("flushes"), flushes);
}
END_TEST

// Different keys supersede nothing.
START_TEST(test_new_keys_are_no_garbage)
{
    open_db();
    for (unsigned i = 0; i < 10000; i++)
        put(i, i);
    ck_assert_uint_eq(number("flushes"), 0);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("garbage_flush");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, test_logs_stay_small);
    tcase_add_test(t, test_a_large_store_waits_for_a_full_memtable);
    tcase_add_test(t, test_new_keys_are_no_garbage);
    return run_case("garbage_flush", t, 60);
}
