// What a table keeps for snapshots: adding up, merging when there are too many, what is dead.
#include "quick_check.h"

#include "version/kept.h"

static uint64_t sum(const struct kept_ranges *kept)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < kept->count; i++)
        bytes += kept->at[i].bytes;
    return bytes;
}

START_TEST(test_dead)
{
    struct kept_ranges kept = {.count = 0};
    kept_add(&kept, 10, 20, 5);
    kept_add(&kept, 10, 10, 7);
    kept_add(&kept, 10, 20, 1);
    kept_add(&kept, 5, 5, 2);
    ck_assert_uint_eq(kept.count, 3);
    ck_assert(kept_legal(kept.at, kept.count));
    ck_assert_uint_eq(kept_dead_bytes(kept.at, kept.count, (uint64_t[]){5, 10, 20}, 3), 0);
    ck_assert_uint_eq(kept_dead_bytes(kept.at, kept.count, (uint64_t[]){5, 20}, 2), 7);
    ck_assert_uint_eq(kept_dead_bytes(kept.at, kept.count, (uint64_t[]){10}, 1), 2);
    ck_assert_uint_eq(kept_dead_bytes(kept.at, kept.count, (uint64_t[]){21}, 1), 15);
    ck_assert_uint_eq(kept_dead_bytes(kept.at, kept.count, (uint64_t[]){4}, 1), 15);
    ck_assert_uint_eq(kept_dead_bytes(kept.at, kept.count, NULL, 0), 15);
}
END_TEST

// However many ranges there are: no byte is lost, the rules hold, and nothing counts as dead that a
// snapshot may see.
START_TEST(test_many)
{
    struct kept_ranges kept = {.count = 0};
    uint64_t all = 0;
    for (uint64_t i = 0; i < 5000; i++) {
        uint64_t first = i * 7919 % 1000, last = first + i * 31 % 50;
        kept_add(&kept, first, last, 1 + i % 9);
        all += 1 + i % 9;
        ck_assert_uint_le(kept.count, KEPT_RANGES_MAX);
        ck_assert(kept_legal(kept.at, kept.count));
        ck_assert_uint_eq(sum(&kept), all);
        uint64_t one[] = {first};
        ck_assert_uint_le(kept_dead_bytes(kept.at, kept.count, one, 1), all - (1 + i % 9));
    }
    ck_assert_uint_eq(kept_dead_bytes(kept.at, kept.count, (uint64_t[]){2000}, 1), all);
}
END_TEST

START_TEST(test_legal)
{
    ck_assert(!kept_legal(NULL, 0));
    ck_assert(!kept_legal((struct kept_range[]){{2, 1, 1}}, 1));
    ck_assert(!kept_legal((struct kept_range[]){{1, 2, 0}}, 1));
    ck_assert(!kept_legal((struct kept_range[]){{1, 2, 1}, {1, 2, 1}}, 2));
    ck_assert(!kept_legal((struct kept_range[]){{2, 2, 1}, {1, 2, 1}}, 2));
    ck_assert(!kept_legal((struct kept_range[]){{1, UINT64_MAX, 1}}, 1));
    ck_assert(kept_legal((struct kept_range[]){{1, 2, 1}, {1, 3, 1}}, 2));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("kept");
    TCase *tc = tcase_create("kept");
    tcase_add_test(tc, test_dead);
    tcase_add_test(tc, test_many);
    tcase_add_test(tc, test_legal);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
