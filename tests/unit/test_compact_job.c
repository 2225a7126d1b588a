// The merge loop: what it keeps for snapshots, and what it says of a table whose versions of a key
// are in the wrong order, which no checksum tells.
#include "quick_check.h"

#include "compaction/compact_job.h"
#include "disk/env_fault.h"

struct list_iter {
    struct iter base;
    const struct entry *entries;
    size_t count, at;
};

static void stand(struct iter *base)
{
    struct list_iter *it = (struct list_iter *)base;
    base->valid = it->at < it->count;
    if (base->valid)
        base->entry = it->entries[it->at];
}

static void list_first(struct iter *base)
{
    ((struct list_iter *)base)->at = 0;
    stand(base);
}

static void list_next(struct iter *base)
{
    ((struct list_iter *)base)->at++;
    stand(base);
}

static uint64_t next_number(void *arg)
{
    return ++*(uint64_t *)arg;
}

// Merges versions of one key with these sequence numbers, with snapshots at 10 and 20.
static int merge(const uint64_t *sequences, size_t count, uint64_t *ret_entries)
{
    static const struct iter_ops ops = {.seek_first = list_first, .next = list_next};
    static const uint64_t snapshots[] = {10, 20};
    struct entry entries[8];
    for (size_t i = 0; i < count; i++)
        entries[i] =
            (struct entry){slice_str("key"), tag_make(sequences[i], ENTRY_PUT), slice_str("value")};
    struct list_iter it = {.base.ops = &ops, .entries = entries, .count = count};
    struct env *env = env_fault_new(), *dir;
    uint64_t number = 0;
    ck_assert_int_eq(env->ops->mkdir(env, "/t"), 0);
    ck_assert_int_eq(env->ops->open_dir(env, "/t", &dir), 0);
    struct compact_job job = {.env = dir,
                              .build = {.block_size = 4096, .restart_interval = 16},
                              .table_size = UINT64_MAX,
                              .snapshots = snapshots,
                              .snapshot_count = 2,
                              .new_number = next_number,
                              .arg = &number};
    list_first(&it.base);
    int rc = compact_job_run(&job, &it.base);
    *ret_entries = job.entries_out;
    compact_job_release(&job, true);
    env->ops->close_dir(dir);
    env_fault_free(env);
    return rc;
}

START_TEST(test_snapshots_keep)
{
    uint64_t kept;
    ck_assert_int_eq(merge((uint64_t[]){30, 25, 15, 12, 3, 2}, 6, &kept), 0);
    ck_assert_uint_eq(kept, 3); // 30 for now, 15 for snapshot 20, 3 for snapshot 10
}
END_TEST

START_TEST(test_wrong_order)
{
    uint64_t kept;
    ck_assert_int_eq(merge((uint64_t[]){3, 15}, 2, &kept), LSM_CORRUPTION);
    ck_assert_int_eq(merge((uint64_t[]){30, 3, 15}, 3, &kept), LSM_CORRUPTION);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("compact_job");
    TCase *tc = tcase_create("compact_job");
    tcase_add_test(tc, test_snapshots_keep);
    tcase_add_test(tc, test_wrong_order);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
