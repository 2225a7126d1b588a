// ns_diff: content that was overwritten in place is found, though the record says the same, also by
// writes that run while the snapshots are taken.
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>

#include "ns/changes/diff.h"
#include "ns/keys/pathkey.h"
#include "ns_util.h"

#define FILE_SIZE 20000
#define SNAPSHOTS 60

static struct env *env;
static struct ns *ns;
static struct ns_inode *file;

static void overwrite(uint64_t round)
{
    uint64_t bytes[8];
    for (unsigned i = 0; i < 8; i++)
        bytes[i] = round;
    // As the kernel writes pages: it sends the times by themselves.
    ck_assert_int_eq(
        ns_write(ns, file, bytes, sizeof bytes, round % 3 * 4096, NS_WRITE_KEEP_TIMES, NULL),
        sizeof bytes);
}

static void set_up(void)
{
    env = env_fault_new();
    struct ns_options options = ns_small_options(env);
    options.merge_delay_ms = UINT_MAX; // only writes write
    ck_assert_int_eq(ns_open("/fs", &options, &ns), 0);
    ck_assert_int_eq(ns_test_create(ns, "/f"), 0);
    ck_assert_int_eq(ns_test_write(ns, "/f", 0, FILE_SIZE, 'x'), FILE_SIZE);
    file = ns_test_get(ns, "/f");
}

static void tear_down(void)
{
    ns_inode_put(ns, file, 1);
    ck_assert_int_eq(ns_close(ns), 0);
    env_fault_free(env);
}

static int note_change(void *arg, const struct ns_change *change)
{
    unsigned *changes = arg;
    ck_assert_str_eq(change->path, "/f");
    ck_assert_int_eq(change->kind, NS_CHANGED);
    ck_assert_int_eq(change->what, NS_CHANGED_CONTENT);
    ++*changes;
    return 0;
}

static unsigned changes_between(const struct lsm_snapshot *from, const struct lsm_snapshot *to)
{
    unsigned changes = 0;
    ck_assert_int_eq(ns_diff(ns_engine(ns), from, to, SIZE_MAX, note_change, &changes), 0);
    return changes;
}

static const struct lsm_snapshot *now(void)
{
    const struct lsm_snapshot *snapshot;
    ck_assert_int_eq(lsm_snapshot_new(ns_engine(ns), &snapshot), LSM_OK);
    return snapshot;
}

START_TEST(test_overwritten_in_place)
{
    const struct lsm_snapshot *at[4];
    overwrite(1);
    at[0] = now();
    overwrite(2);
    at[1] = now();
    at[2] = now();
    overwrite(3);
    overwrite(4); // without another snapshot in between
    at[3] = now();
    ck_assert_uint_eq(changes_between(at[0], at[1]), 1);
    ck_assert_uint_eq(changes_between(at[1], at[2]), 0);
    ck_assert_uint_eq(changes_between(at[2], at[3]), 1);
    ck_assert_uint_eq(changes_between(at[0], at[3]), 1);
    for (unsigned i = 0; i < 4; i++)
        lsm_snapshot_free(ns_engine(ns), at[i]);
}
END_TEST

static _Atomic bool stop;

static void *overwrite_all_the_time(void *arg)
{
    for (uint64_t round = 1; !atomic_load(&stop); round++)
        overwrite(round);
    return arg;
}

START_TEST(test_beside_snapshots)
{
    const struct lsm_snapshot *at[SNAPSHOTS];
    pthread_t writer;
    atomic_store(&stop, false);
    ck_assert_int_eq(pthread_create(&writer, NULL, overwrite_all_the_time, NULL), 0);
    for (unsigned i = 0; i < SNAPSHOTS; i++)
        at[i] = now();
    atomic_store(&stop, true);
    pthread_join(writer, NULL);
    for (unsigned i = 1; i < SNAPSHOTS; i++) {
        struct lsm_diff *keys;
        ck_assert_int_eq(lsm_diff_new(ns_engine(ns), at[i - 1], at[i], &keys), LSM_OK);
        bool differs = false;
        int more;
        while ((more = lsm_diff_next(keys)) > 0) {
            size_t size;
            const uint8_t *key = lsm_diff_key(keys, &size);
            differs |= size && *key == KEY_EXTENT;
        }
        ck_assert_int_eq(more, 0);
        lsm_diff_free(keys);
        ck_assert_uint_eq(changes_between(at[i - 1], at[i]), differs);
    }
    for (unsigned i = 0; i < SNAPSHOTS; i++)
        lsm_snapshot_free(ns_engine(ns), at[i]);
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("ns_diff");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, test_overwritten_in_place);
    tcase_add_loop_test(tc, test_beside_snapshots, 0, 5);
    return run_case("ns_diff", tc, 60);
}
