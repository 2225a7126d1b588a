// Taking in changes (lsm_ingest_*): what is seen before and after, refusals, and power cuts and
// failures at every call. Random histories: test_snapshot_model.
#include "store_util.h"

#include <stdio.h>

#define LARGE 4000

struct source {
    const struct lsm_change *at;
    size_t count, given;
    int fails; // instead of the end
};

static int next_change(void *arg, struct lsm_change *ret_change)
{
    struct source *source = arg;
    if (source->given == source->count)
        return source->fails;
    *ret_change = source->at[source->given++];
    return 1;
}

static struct lsm_change put_of(const char *key, const char *value)
{
    return (struct lsm_change){key, value, strlen(key), strlen(value), false};
}

static struct lsm_change delete_of(const char *key)
{
    return (struct lsm_change){.key = key, .key_size = strlen(key), .is_delete = true};
}

static void put(const char *key, const char *value)
{
    ck_assert_int_eq(lsm_put(db, NULL, key, strlen(key), value, strlen(value)), 0);
}

static void check_at(const char *snapshot, const char *key, const char *want)
{
    struct lsm_read_options ro = {0};
    struct lsm_buf buf = {0};
    if (snapshot)
        ck_assert_int_eq(lsm_snapshot_open(db, snapshot, &ro.snapshot), 0);
    int rc = lsm_get(db, &ro, key, strlen(key), &buf);
    ck_assert_msg(rc == (want ? 0 : LSM_NOT_FOUND), "%s at %s: %d", key, snapshot, rc);
    if (want) {
        ck_assert_uint_eq(buf.size, strlen(want));
        ck_assert_mem_eq(buf.data, want, buf.size);
    }
    lsm_buf_release(&buf);
    if (snapshot)
        lsm_snapshot_free(db, ro.snapshot);
}

static char large[LARGE + 1], other[LARGE + 1];

// The base shows a, b, large; after it b, kept, new were written, and large was overwritten.
static void prepare(void)
{
    store_setup();
    options.blob_min = 1024;
    memset(large, 'L', LARGE);
    memset(other, 'O', LARGE);
    open_db();
    put("a", "1");
    put("b", "1");
    put("large", large);
    ck_assert_int_eq(lsm_snapshot_create(db, "base"), 0);
    put("b", "2");
    put("kept", "2");
    put("large", "now small");
    put("new", other);
    ck_assert_int_eq(lsm_sync(db), 0);
    ck_assert_int_eq(lsm_wait_idle(db), 0);
}

static struct lsm_change changes[4];

static int read_changes(struct lsm_ingest **ret_ingest)
{
    changes[0] = put_of("a", "3");
    changes[1] = delete_of("absent");
    changes[2] = put_of("kept", "3");
    changes[3] = put_of("more", large);
    struct source source = {.at = changes, .count = 4};
    return lsm_ingest_read(db, next_change, &source, ret_ingest);
}

static bool is_key(void *arg, const void *key, size_t size)
{
    return strlen(arg) == size && memcmp(key, arg, size) == 0;
}

static const struct lsm_snapshot_info origin = {.name = "next", .created_us = 77, .identity = "id"};

static int take_in(void)
{
    struct lsm_ingest_rules rules = {.keep = is_key, .arg = "kept"};
    struct lsm_ingest *ingest = NULL;
    int rc = read_changes(&ingest);
    if (!rc)
        rc = lsm_ingest_apply(db, ingest, "base", &origin, &rules);
    lsm_ingest_free(db, ingest);
    return rc;
}

static void check_before(void)
{
    check_at(NULL, "a", "1");
    check_at(NULL, "b", "2");
    check_at(NULL, "kept", "2");
    check_at(NULL, "large", "now small");
    check_at(NULL, "more", NULL);
    check_at(NULL, "new", other);
}

static void check_after(void)
{
    static const char *const both[] = {NULL, "next"};
    for (int i = 0; i < 2; i++) {
        check_at(both[i], "a", "3");
        check_at(both[i], "b", "1");
        check_at(both[i], "large", large);
        check_at(both[i], "more", large);
        check_at(both[i], "new", NULL);
    }
    check_at(NULL, "kept", "2");
    check_at("next", "kept", "3");
}

static void check_base(void)
{
    check_at("base", "a", "1");
    check_at("base", "b", "1");
    check_at("base", "large", large);
    check_at("base", "new", NULL);
}

static int find_origin(void *arg, const struct lsm_snapshot_info *info)
{
    bool *found = arg;
    if (strcmp(info->name, "next") == 0) {
        ck_assert_uint_eq(info->created_us, 77);
        ck_assert_mem_eq(info->identity, origin.identity, LSM_SNAPSHOT_IDENTITY);
        *found = true;
    }
    return 0;
}

static bool has_next(void)
{
    bool found = false;
    ck_assert_int_eq(lsm_snapshot_list(db, find_origin, &found), 0);
    return found;
}

// Nobody sees the changes before; then all of them, and what comes after is found again.
START_TEST(test_whole)
{
    const struct lsm_snapshot *before;
    struct lsm_ingest_rules rules = {.keep = is_key, .arg = "kept"};
    struct lsm_ingest *ingest;
    prepare();
    ck_assert_int_eq(lsm_snapshot_new(db, &before), 0);
    ck_assert_int_eq(read_changes(&ingest), 0);
    check_before();
    put("b", "25"); // the store goes on meanwhile
    ck_assert_int_eq(lsm_flush(db), 0);
    ck_assert_int_eq(lsm_snapshot_create(db, "meanwhile"), 0);
    ck_assert_int_eq(lsm_ingest_apply(db, ingest, "base", &origin, &rules), 0);
    lsm_ingest_free(db, ingest);
    check_after();
    check_base();
    check_at("meanwhile", "b", "25");
    check_at("meanwhile", "a", "1");
    lsm_snapshot_free(db, before);
    put("a", "4");
    for (int i = 0; i < 2; i++) {
        check_at(NULL, "a", "4");
        check_at("next", "a", "3");
        ck_assert_int_eq(lsm_compact_range(db, NULL, 0, NULL, 0), 0);
        ck_assert_int_eq(lsm_check(db, NULL, NULL, NULL), 0);
        check_at("meanwhile", "b", "25");
        check_base();
        reopen_db();
    }
    put("a", "1");
    teardown();
}
END_TEST

// What was read and is not applied leaves nothing.
START_TEST(test_given_up)
{
    struct lsm_ingest *ingest;
    prepare();
    uint64_t tables = number("num-tables");
    ck_assert_int_eq(read_changes(&ingest), 0);
    lsm_ingest_free(db, ingest);
    check_before();
    ck_assert_uint_eq(number("num-tables"), tables);
    struct source source = {.at = changes, .count = 4, .fails = LSM_CORRUPTION};
    ck_assert_int_eq(lsm_ingest_read(db, next_change, &source, &ingest), LSM_CORRUPTION);
    struct lsm_change wrong[] = {put_of("b", "1"), put_of("a", "1")};
    source = (struct source){.at = wrong, .count = 2};
    ck_assert_int_eq(lsm_ingest_read(db, next_change, &source, &ingest), LSM_INVALID);
    wrong[1] = delete_of("b"); // twice
    source = (struct source){.at = wrong, .count = 2};
    ck_assert_int_eq(lsm_ingest_read(db, next_change, &source, &ingest), LSM_INVALID);
    check_before();
    reopen_db();
    check_before();
    teardown();
}
END_TEST

START_TEST(test_refused)
{
    struct lsm_ingest_rules rules = {.fixed = is_key, .arg = "b"};
    struct lsm_ingest *ingest;
    prepare();
    ck_assert_int_eq(read_changes(&ingest), 0);
    ck_assert_int_eq(lsm_ingest_apply(db, ingest, "base", &origin, &rules), 1);
    ck_assert_int_eq(lsm_ingest_apply(db, ingest, "none", &origin, &rules), LSM_NOT_FOUND);
    struct lsm_snapshot_info taken = {.name = "base"};
    ck_assert_int_eq(lsm_ingest_apply(db, ingest, "base", &taken, &rules), LSM_EXISTS);
    check_before();
    ck_assert(!has_next());
    put("b", "1"); // as it was
    rules.arg = "b";
    ck_assert_int_eq(lsm_ingest_apply(db, ingest, "base", &origin, &rules), 0);
    lsm_ingest_free(db, ingest);
    check_at(NULL, "b", "1");
    check_at(NULL, "kept", "3");
    teardown();
}
END_TEST

// No changes are a snapshot all the same.
START_TEST(test_nothing)
{
    struct lsm_ingest_rules rules = {0};
    struct lsm_ingest *ingest;
    struct source source = {0};
    prepare();
    ck_assert_int_eq(lsm_ingest_read(db, next_change, &source, &ingest), 0);
    ck_assert_int_eq(lsm_ingest_apply(db, ingest, "base", &origin, &rules), 0);
    lsm_ingest_free(db, ingest);
    check_at("next", "b", "1");
    put("b", "5");
    reopen_db();
    check_at("next", "b", "1");
    check_at(NULL, "b", "5");
    teardown();
}
END_TEST

static void check_one_of_both(bool done)
{
    bool is_in = has_next();
    ck_assert(is_in || !done);
    if (is_in)
        check_after();
    else
        check_before();
    check_base();
    put("a", "9");
    ck_assert_int_eq(lsm_compact_range(db, NULL, 0, NULL, 0), 0);
    reopen_db();
    check_at(NULL, "a", "9");
    check_base();
    ck_assert_int_eq(lsm_check(db, NULL, NULL, NULL), 0);
}

START_TEST(test_power_cuts)
{
    for (uint64_t call = 1, done = false; !done; call++) {
        prepare();
        env_fault_cut_at(env, call);
        done = take_in() == 0;
        env_fault_power_cut(env, call % 3);
        (void)!lsm_close(db);
        open_db();
        check_one_of_both(done);
        teardown();
    }
}
END_TEST

// A failure changes nothing that was acknowledged; after a full disk it can be done again.
START_TEST(test_failing_calls)
{
    static const int failures[] = {LSM_NO_SPACE, LSM_IO_ERROR};
    for (int kind = 0; kind < 2; kind++) {
        for (uint64_t call = 1, done = false; !done || call < 20; call++) {
            prepare();
            env_fault_fail_at(env, call, failures[kind], false);
            done = take_in() == 0;
            env_fault_fail_at(env, 0, 0, false);
            (void)!lsm_close(db);
            open_db();
            if (!done && !has_next())
                ck_assert_int_eq(take_in(), 0);
            check_one_of_both(true);
            teardown();
        }
    }
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("ingest");
    tcase_add_test(tc, test_whole);
    tcase_add_test(tc, test_given_up);
    tcase_add_test(tc, test_refused);
    tcase_add_test(tc, test_nothing);
    tcase_add_test(tc, test_power_cuts);
    tcase_add_test(tc, test_failing_calls);
    return run_case("ingest", tc, 120);
}
