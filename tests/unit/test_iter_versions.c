// Iterators over keys with many versions: each movement costs a few searches and steps in what lies
// below, however many versions it passes. Counted by "iter-searches" and "iter-steps".
#include <stdio.h>

#include "store_util.h"

#define MANY 100000u
// What one movement may cost, whatever it passes: searches and steps together.
#define COST_MAX 16u

static struct lsm_iter *iter;

static void setup(void)
{
    store_setup();
    options.write_buffer_size = 64u << 20; // all versions stay in one memtable
}

static void put(const char *key, unsigned version)
{
    ck_assert_int_eq(lsm_put(db, NULL, key, strlen(key), &version, sizeof version), 0);
}

static void put_versions(const char *key, unsigned count)
{
    for (unsigned i = 1; i <= count; i++)
        put(key, i);
}

// `version` 0: there is no entry.
static void expect_at(const char *key, unsigned version)
{
    size_t size;
    ck_assert_int_eq(lsm_iter_status(iter), 0);
    ck_assert_int_eq(lsm_iter_valid(iter), version != 0);
    if (!version)
        return;
    const char *got = lsm_iter_key(iter, &size);
    ck_assert_msg(size == strlen(key) && !memcmp(got, key, size), "%.*s instead of %s", (int)size,
                  got, key);
    const void *value = lsm_iter_value(iter, &size);
    ck_assert_uint_eq(size, sizeof version);
    ck_assert_mem_eq(value, &version, size);
}

static void begin(const struct lsm_snapshot *snapshot)
{
    const struct lsm_iter_options io = {.snapshot = snapshot};
    ck_assert_int_eq(lsm_iter_new(db, &io, &iter), 0);
}

static uint64_t moves(void)
{
    return number("iter-searches") + number("iter-steps");
}

// Ends the iterator, which was moved `count` times since `before`.
static void end(uint64_t before, unsigned count)
{
    lsm_iter_free(iter);
    uint64_t cost = moves() - before;
    ck_assert_msg(cost > 0 && cost <= count * COST_MAX, "%u movements cost %llu", count,
                  (unsigned long long)cost);
}

static void walk_all(const struct lsm_snapshot *snapshot, unsigned a, unsigned b, unsigned c)
{
    uint64_t before = moves();
    begin(snapshot);
    lsm_iter_seek(iter, "a", 1);
    expect_at("a", a);
    lsm_iter_next(iter);
    expect_at("b", b);
    lsm_iter_next(iter);
    expect_at("c", c);
    lsm_iter_prev(iter);
    expect_at("b", b);
    lsm_iter_prev(iter);
    expect_at("a", a);
    lsm_iter_next(iter);
    expect_at("b", b);
    lsm_iter_prev(iter);
    expect_at("a", a);
    lsm_iter_prev(iter);
    expect_at("", 0);
    end(before, 8);

    before = moves();
    begin(snapshot);
    lsm_iter_seek_prev(iter, "bb", 2);
    expect_at("b", b);
    lsm_iter_next(iter);
    expect_at("c", c);
    lsm_iter_next(iter);
    expect_at("", 0);
    lsm_iter_seek_prev(iter, "b", 1);
    expect_at("b", b);
    lsm_iter_seek_last(iter);
    expect_at("c", c);
    lsm_iter_seek_first(iter);
    expect_at("a", a);
    end(before, 6);
}

static void fill(unsigned first, unsigned count)
{
    for (unsigned i = first; i < first + count; i++) {
        put("a", i);
        put("b", i);
        put("c", i);
    }
}

// _i: where a snapshot is taken, in eighths of the versions; 0: none is.
START_TEST(test_a_movement_passes_any_number_of_versions)
{
    const struct lsm_snapshot *snapshot = NULL;
    unsigned visible = _i ? MANY / 8 * (unsigned)_i : MANY;
    open_db();
    fill(1, visible);
    if (_i)
        ck_assert_int_eq(lsm_snapshot_new(db, &snapshot), 0);
    fill(visible + 1, MANY - visible);
    walk_all(snapshot, visible, visible, visible);
    walk_all(NULL, MANY, MANY, MANY);
    ck_assert_int_eq(lsm_flush(db), 0); // with the snapshot the table has two versions of each
    fill(1, MANY / 4);
    if (snapshot)
        walk_all(snapshot, visible, visible, visible);
    walk_all(NULL, MANY / 4, MANY / 4, MANY / 4);
    lsm_snapshot_free(db, snapshot);
}
END_TEST

// The number of versions makes no difference: 100,000 cost no more than ten.
START_TEST(test_a_hundred_thousand_cost_what_a_few_do)
{
    uint64_t cost[2][2];
    const unsigned counts[2] = {10, MANY};
    for (unsigned round = 0; round < 2; round++) {
        open_db();
        put("a", 1);
        put_versions("b", counts[round]);
        put("c", 1);
        for (unsigned back = 0; back < 2; back++) {
            uint64_t before = moves();
            begin(NULL);
            if (back)
                lsm_iter_seek_prev(iter, "bb", 2);
            else
                lsm_iter_seek(iter, "aa", 2);
            expect_at("b", counts[round]);
            if (back)
                lsm_iter_prev(iter);
            else
                lsm_iter_next(iter);
            expect_at(back ? "a" : "c", 1);
            lsm_iter_free(iter);
            cost[round][back] = moves() - before;
        }
        ck_assert_int_eq(lsm_close(db), 0);
        ck_assert_int_eq(lsm_destroy("/db", &options), 0);
        db = NULL;
    }
    ck_assert_uint_ge(cost[0][0], cost[1][0]);
    ck_assert_uint_ge(cost[0][1], cost[1][1]);
}
END_TEST

// A key that is there no more, under as many versions: passed as well.
START_TEST(test_deleted_keys)
{
    const struct lsm_snapshot *snapshot;
    open_db();
    fill(1, MANY / 4);
    ck_assert_int_eq(lsm_snapshot_new(db, &snapshot), 0);
    for (unsigned i = 0; i < MANY / 4; i++)
        ck_assert_int_eq(lsm_delete(db, NULL, "b", 1), 0);
    uint64_t before = moves();
    begin(NULL);
    lsm_iter_seek(iter, "b", 1);
    expect_at("c", MANY / 4);
    lsm_iter_prev(iter);
    expect_at("a", MANY / 4);
    lsm_iter_next(iter);
    expect_at("c", MANY / 4);
    lsm_iter_seek_prev(iter, "b", 1);
    expect_at("a", MANY / 4);
    end(before, 4);
    walk_all(snapshot, MANY / 4, MANY / 4, MANY / 4);
    lsm_snapshot_free(db, snapshot);
}
END_TEST

// All moves at every number of versions around the limits of stepping, against what must be there.
START_TEST(test_every_small_number_of_versions)
{
    for (unsigned hidden = 0; hidden < 8; hidden++) {
        for (unsigned visible = 1; visible < 8; visible++) {
            const struct lsm_snapshot *snapshot;
            open_db();
            fill(1, visible);
            if (_i & 1)
                ck_assert_int_eq(lsm_flush(db), 0);
            ck_assert_int_eq(lsm_snapshot_new(db, &snapshot), 0);
            fill(visible + 1, hidden);
            if (_i & 2)
                ck_assert_int_eq(lsm_flush(db), 0);
            put("bx", 1); // seen by no snapshot
            walk_all(snapshot, visible, visible, visible);
            ck_assert_int_eq(lsm_delete(db, NULL, "bx", 2), 0);
            walk_all(NULL, visible + hidden, visible + hidden, visible + hidden);
            lsm_snapshot_free(db, snapshot);
            ck_assert_int_eq(lsm_close(db), 0);
            ck_assert_int_eq(lsm_destroy("/db", &options), 0);
            db = NULL;
        }
    }
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("versions");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_loop_test(t, test_a_movement_passes_any_number_of_versions, 0, 8);
    tcase_add_test(t, test_a_hundred_thousand_cost_what_a_few_do);
    tcase_add_test(t, test_deleted_keys);
    tcase_add_loop_test(t, test_every_small_number_of_versions, 0, 4);
    return run_case("iter_versions", t, 60);
}
