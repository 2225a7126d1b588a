// The bloom filter: no false negatives, few false positives, damaged ones refused.
#include "unit/sst_util.h"

#include <stdio.h>

#include "base/coding.h"
#include "sstable/filter.h"

static uint64_t hash_number(uint64_t n)
{
    char key[32];
    int size = snprintf(key, sizeof(key), "key%016llu", (unsigned long long)n);
    return hash64(key, (size_t)size);
}

static uint8_t *build(uint64_t keys, unsigned bits, struct filter *ret_filter)
{
    struct filter_builder builder = {0};
    for (uint64_t i = 0; i < keys; i++)
        ck_assert_int_eq(filter_builder_add(&builder, hash_number(i)), 0);
    size_t size = filter_builder_size(&builder, bits);
    uint8_t *bytes = malloc(size);
    filter_builder_finish(&builder, bits, bytes);
    ck_assert_int_eq(filter_init(ret_filter, slice_of(bytes, size)), 0);
    filter_builder_release(&builder);
    return bytes;
}

static double false_positives(const struct filter *filter, uint64_t keys, uint64_t tries)
{
    uint64_t hits = 0;
    for (uint64_t i = 0; i < keys; i++)
        ck_assert(filter_may_contain(filter, hash_number(i)));
    for (uint64_t i = 0; i < tries; i++)
        hits += filter_may_contain(filter, hash_number(keys + i));
    return 100.0 * (double)hits / (double)tries;
}

START_TEST(test_rates)
{
    static const struct {
        unsigned bits;
        double most; // per cent
    } rates[] = {{1, 80}, {5, 12}, {8, 2.8}, {10, 1.2}, {16, 0.2}, {20, 0.1}, {32, 0.02}};
    for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
        uint64_t keys = rates[i].bits == 10 ? 1000000 : 100000;
        struct filter filter;
        uint8_t *bytes = build(keys, rates[i].bits, &filter);
        double rate = false_positives(&filter, keys, 1000000);
        printf("%2u bits, %7llu keys: %.3f %% false positives\n", rates[i].bits,
               (unsigned long long)keys, rate);
        ck_assert_double_lt(rate, rates[i].most);
        free(bytes);
    }
}
END_TEST

START_TEST(test_few_keys)
{
    for (uint64_t keys = 1; keys < 300; keys += 7) {
        struct filter filter;
        uint8_t *bytes = build(keys, 10, &filter);
        ck_assert_double_lt(false_positives(&filter, keys, 10000), 4);
        free(bytes);
    }
}
END_TEST

START_TEST(test_none)
{
    struct filter_builder builder = {0};
    ck_assert_uint_eq(filter_builder_size(&builder, 10), 0);
    ck_assert_int_eq(filter_builder_add(&builder, 1), 0);
    ck_assert_uint_eq(filter_builder_size(&builder, 0), 0);
    filter_builder_release(&builder);
    struct filter none = {0};
    ck_assert(filter_may_contain(&none, 42));
}
END_TEST

START_TEST(test_malformed)
{
    uint8_t bytes[2 * FILTER_LINE + 4] = {0};
    struct filter filter;
    put_fixed32(bytes + FILTER_LINE, 6);
    for (size_t size = 0; size < sizeof(bytes); size++) {
        int want = size == FILTER_LINE + 4 ? 0 : LSM_CORRUPTION;
        ck_assert_int_eq(filter_init(&filter, slice_of(bytes, size)), want);
    }
    const uint32_t bad[] = {0, FILTER_PROBES_MAX + 1, UINT32_MAX};
    for (size_t i = 0; i < 3; i++) {
        put_fixed32(bytes + FILTER_LINE, bad[i]);
        ck_assert_int_eq(filter_init(&filter, slice_of(bytes, FILTER_LINE + 4)), LSM_CORRUPTION);
    }
}
END_TEST

START_TEST(test_golden)
{
    struct filter_builder builder = {0};
    ck_assert_int_eq(filter_builder_add(&builder, UINT64_C(0xC000000000000001)), 0);
    for (int i = 0; i < 60; i++) // the same hash again: two lines of nearly nothing
        ck_assert_int_eq(filter_builder_add(&builder, 0), 0);
    uint8_t want[2 * FILTER_LINE + 4] = {0}, got[sizeof(want)];
    want[0] = 1;
    uint32_t h = 1;
    for (int i = 0; i < 6; i++) {
        h *= 0x9E3779B9u;
        want[FILTER_LINE + (h >> 23) / 8] |= (uint8_t)(1 << (h >> 23) % 8);
    }
    put_fixed32(want + 2 * FILTER_LINE, 6);
    ck_assert_uint_eq(filter_builder_size(&builder, 10), sizeof(want));
    filter_builder_finish(&builder, 10, got);
    ck_assert_mem_eq(got, want, sizeof(want));
    filter_builder_release(&builder);
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("all");
    tcase_add_test(tc, test_rates);
    tcase_add_test(tc, test_few_keys);
    tcase_add_test(tc, test_none);
    tcase_add_test(tc, test_malformed);
    tcase_add_test(tc, test_golden);
    return run_case("filter", tc, 120);
}
