// Taking in changes of another store (intake.h): inode numbers stay used up, here and there; what
// makes no file system is refused; a tree that was changed here stays as it is.
#include "ns_util.h"

#include <sys/stat.h>

#include "base/coding.h"
#include "base/slice.h"
#include "base/status.h"
#include "ns/changes/intake.h"
#include "ns/keys/pathkey.h"

static struct env *env;
static struct lsm *db;
static const struct lsm_snapshot_info origin = {.name = "next", .created_us = 5, .identity = "id"};

static void open_engine(void)
{
    struct ns_options options = ns_small_options(env);
    ck_assert_int_eq(lsm_open("/fs", &options.engine, &db), 0);
}

static void close_engine(void)
{
    ck_assert_int_eq(lsm_close(db), 0);
}

// A store with a snapshot "base", after which numbers have been given out to a file without a name.
static void setup(void)
{
    env = env_fault_new();
    struct ns *ns = ns_test_open(env);
    struct ns_inode *nameless;
    ck_assert_int_eq(ns_test_create(ns, "/file"), 0);
    ck_assert_int_eq(lsm_snapshot_create(ns_engine(ns), "base"), 0);
    ck_assert_int_eq(ns_close(ns), 0);
    ns = ns_test_open(env); // goes on behind the numbers that were reserved
    ck_assert_int_eq(ns_tmpfile(ns, &test_cred, ns_root(ns), 0600, &nameless, NULL), 0);
    ns_inode_put(ns, nameless, 1);
    ck_assert_int_eq(ns_close(ns), 0);
}

static void teardown(void)
{
    env_fault_free(env);
}

static uint64_t reserved(const char *snapshot)
{
    const uint8_t key = KEY_RESERVED;
    struct lsm_read_options at = {0};
    struct lsm_buf value = {0};
    if (snapshot)
        ck_assert_int_eq(lsm_snapshot_open(db, snapshot, &at.snapshot), 0);
    ck_assert_int_eq(lsm_get(db, &at, &key, 1, &value), 0);
    ck_assert_uint_eq(value.size, 8);
    uint64_t number = get_fixed64(value.data);
    lsm_buf_release(&value);
    if (snapshot)
        lsm_snapshot_free(db, at.snapshot);
    return number;
}

// One change, checked as it is taken; a value of 8 bytes that is a number, or none at all.
struct source {
    struct intake intake;
    struct lsm_change change;
    bool given;
};

static int next_change(void *arg, struct lsm_change *ret_change)
{
    struct source *source = arg;
    if (source->given)
        return 0;
    source->given = true;
    *ret_change = source->change;
    int rc = intake_check(&source->intake, ret_change);
    return rc ? rc : 1;
}

static int take_in(struct lsm_change change)
{
    struct source source = {.change = change, .given = !change.key};
    struct lsm_ingest *ingest = NULL;
    int rc = lsm_ingest_read(db, next_change, &source, &ingest);
    if (!rc)
        rc = intake_apply(db, &source.intake, ingest, "base", &origin);
    lsm_ingest_free(db, ingest);
    return rc;
}

static int take_in_reserved(uint64_t number)
{
    static const uint8_t key = KEY_RESERVED;
    uint8_t value[8];
    put_fixed64(value, number);
    return take_in((struct lsm_change){&key, value, 1, sizeof value, false});
}

// A number that was given out is not given out again.
static void check_next_number(uint64_t least)
{
    struct ns *ns = ns_test_open(env);
    ck_assert_int_eq(ns_test_create(ns, "/after"), 0);
    struct ns_inode *inode = ns_test_get(ns, "/after");
    ck_assert_uint_ge(ns_inode_ino(inode), least);
    ns_inode_put(ns, inode, 1);
    inode = ns_test_get(ns, "/file");
    ns_inode_put(ns, inode, 1);
    ck_assert_int_eq(ns_close(ns), 0);
}

START_TEST(test_numbers)
{
    static const struct lsm_change none = {0};
    for (int kind = 0; kind < 3; kind++) {
        open_engine();
        uint64_t here = reserved(NULL), base = reserved("base");
        uint64_t there = kind == 1 ? base + 1 : here + 1000;
        ck_assert_uint_gt(here, base);
        ck_assert_int_eq(kind ? take_in_reserved(there) : take_in(none), 0);
        for (int i = 0; i < 2; i++) {
            ck_assert_uint_eq(reserved(NULL), kind == 2 ? there : here);
            ck_assert_uint_eq(reserved("next"), kind ? there : base);
            close_engine();
            open_engine();
        }
        close_engine();
        check_next_number(kind == 2 ? there : here);
        env_fault_free(env);
        setup();
    }
}
END_TEST

START_TEST(test_refused)
{
    static const uint8_t super = KEY_SUPER, root = KEY_ROOT, number = KEY_RESERVED,
                         counter[] = {KEY_COUNTER, 0};
    static const struct lsm_change wrong[] = {
        {&super, "lsmfs ns", 1, 8, false},
        {&super, NULL, 1, 0, true},
        {&root, "x", 1, 1, false},
        {&root, NULL, 1, 0, true},
        {&number, "\1\0\0\0\0\0\0", 1, 8, false},
        {&number, "1234567", 1, 7, false},
        {&number, NULL, 1, 0, true},
        {counter, "1", 2, 1, false},
    };
    open_engine();
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        ck_assert_msg(take_in(wrong[i]) < 0, "change %zu", i);
    ck_assert_int_eq(take_in_reserved(0), LSM_CORRUPTION);
    close_engine();
    check_next_number(0); // it is a store still
}
END_TEST

START_TEST(test_changed_here)
{
    struct ns *ns = ns_test_open(env);
    ck_assert_int_eq(ns_test_create(ns, "/here"), 0);
    ck_assert_int_eq(ns_close(ns), 0);
    open_engine();
    ck_assert_int_eq(take_in_reserved(1u << 20), 1);
    close_engine();
    ns = ns_test_open(env);
    ns_inode_put(ns, ns_test_get(ns, "/here"), 1);
    ck_assert_int_eq(ns_close(ns), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("intake");
    TCase *tc = tcase_create("intake");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, test_numbers);
    tcase_add_test(tc, test_refused);
    tcase_add_test(tc, test_changed_here);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
