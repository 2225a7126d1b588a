// Blocks: building, searching, walking, and what is made of damaged ones.
#include "unit/sst_util.h"

#include <stdio.h>

#include "base/coding.h"
#include "sstable/block.h"
#include "sstable/block_builder.h"
#include "sstable/sst_format.h"

static uint64_t seed = 1;

static struct slice build(struct block_builder *builder, const struct model *m)
{
    for (size_t i = 0; i < m->count; i++) {
        struct entry *e = &m->entries[i];
        size_t most = block_builder_size_with(builder, e->key.size, e->value.size);
        ck_assert_int_eq(block_builder_add(builder, e->key, e->tag, e->value), 0);
        ck_assert_uint_le(block_builder_size(builder), most);
    }
    size_t size = block_builder_size(builder);
    ck_assert_int_eq(block_builder_finish(builder, 0), 0);
    ck_assert_uint_eq(builder->data.size, size);
    return buf_slice(&builder->data);
}

static void check_get(const struct block *block, const struct model *m, struct slice key,
                      uint64_t tag)
{
    uint64_t got_tag = 77;
    struct slice value;
    size_t i = model_seek(m, key, tag);
    int status = block_get(block, key, tag, &got_tag, &value);
    if (i < m->count && slice_equal(m->entries[i].key, key)) {
        ck_assert_int_eq(status, 0);
        ck_assert_uint_eq(got_tag, m->entries[i].tag);
        ck_assert(slice_equal(value, m->entries[i].value));
    } else {
        ck_assert_int_eq(status, LSM_NOT_FOUND);
        ck_assert_uint_eq(got_tag, 77);
    }
}

// Moves at random beside the model.
static void check_walk(struct block_iter *it, const struct model *m, struct random *r)
{
    struct entry e;
    size_t at = m->count; // count: not positioned
    for (int step = 0; step < 300; step++) {
        uint64_t move = random_below(r, at == m->count ? 3 : 10);
        int status;
        if (move == 0) {
            status = block_iter_seek_first(it, &e);
            at = 0;
        } else if (move == 1) {
            status = block_iter_seek_last(it, &e);
            at = m->count - 1;
        } else if (move == 2) {
            uint8_t key[512];
            size_t size = random_key(r, key, true);
            struct slice target = slice_of(key, size);
            uint64_t tag = random_below(r, 2) ? TAG_MAX : random_below(r, 1000) << 8;
            if (at != m->count && random_below(r, 2))
                target = e.key; // the iterator's own bytes
            at = model_seek(m, target, tag);
            status = block_iter_seek(it, target, tag, &e);
        } else if (move < 6) {
            status = block_iter_next(it, &e);
            at++;
        } else {
            status = block_iter_prev(it, &e);
            at = at ? at - 1 : m->count;
        }
        ck_assert_int_eq(status, at == m->count ? 1 : 0);
        if (!status)
            assert_entry(&e, &m->entries[at]);
    }
}

static int count_entry(void *arg, const struct entry *e)
{
    (void)e;
    ++*(size_t *)arg;
    return 0;
}

START_TEST(test_random_blocks)
{
    struct random r = {seed};
    for (int round = 0; round < 300; round++) {
        struct model m =
            model_random(&r, 1 + random_below(&r, 200), random_below(&r, 300), round % 2);
        struct block_builder builder;
        block_builder_init(&builder, 1 + (unsigned)random_below(&r, 20));
        struct slice bytes = build(&builder, &m);
        uint8_t *exact = malloc(bytes.size); // so that a sanitizer sees any step outside
        memcpy(exact, bytes.data, bytes.size);
        bytes.data = exact;
        struct block block;
        ck_assert_int_eq(block_init(&block, bytes), 0);
        size_t count = 0;
        ck_assert_int_eq(block_check(&block, count_entry, &count), 0);
        ck_assert_uint_eq(count, m.count);
        for (size_t i = 0; i < m.count; i++) {
            check_get(&block, &m, m.entries[i].key, TAG_MAX);
            check_get(&block, &m, m.entries[i].key, m.entries[i].tag);
            check_get(&block, &m, m.entries[i].key, m.entries[i].tag - 1);
            uint8_t key[512];
            check_get(&block, &m, slice_of(key, random_key(&r, key, true)), TAG_MAX);
        }
        struct block_iter it;
        block_iter_init(&it);
        ck_assert_int_eq(block_iter_set(&it, bytes), 0);
        check_walk(&it, &m, &r);
        struct entry e;
        ck_assert_int_eq(block_iter_seek_last(&it, &e), 0);
        for (size_t i = m.count; i-- > 0;) {
            assert_entry(&e, &m.entries[i]);
            ck_assert_int_eq(block_iter_prev(&it, &e), i ? 0 : 1);
        }
        block_iter_release(&it);
        block_builder_release(&builder);
        free(exact);
        model_free(&m);
    }
}
END_TEST

START_TEST(test_reuse_and_extremes)
{
    struct block_builder builder;
    struct block_iter it;
    struct entry e;
    block_builder_init(&builder, 16);
    block_iter_init(&it);
    uint8_t *key = malloc(LSM_MAX_KEY);
    uint8_t *value = malloc(3 << 20);
    memset(key, 0xff, LSM_MAX_KEY);
    memset(value, 'v', 3 << 20);
    for (size_t round = 0; round < 3; round++) {
        struct slice small = slice_of("k", 1);
        struct slice large = slice_of(key, LSM_MAX_KEY - round);
        struct slice bytes = slice_of(value, (3 << 20) - round);
        ck_assert_int_eq(block_builder_add(&builder, small, TAG_MAX, slice_of(NULL, 0)), 0);
        ck_assert_int_eq(block_builder_add(&builder, large, UINT64_C(1) << 62, bytes), 0);
        ck_assert_int_eq(block_builder_add(&builder, large, 0, slice_of(NULL, 0)), 0);
        ck_assert_int_eq(block_builder_finish(&builder, 0), 0);
        ck_assert_int_eq(block_iter_set(&it, buf_slice(&builder.data)), 0);
        ck_assert_int_eq(block_iter_seek(&it, slice_of("z", 1), 0, &e), 0);
        assert_entry(&e, &(struct entry){large, UINT64_C(1) << 62, bytes});
        ck_assert_int_eq(block_iter_next(&it, &e), 0);
        assert_entry(&e, &(struct entry){large, 0, slice_of(NULL, 0)});
        ck_assert_int_eq(block_iter_prev(&it, &e), 0);
        ck_assert_int_eq(block_iter_prev(&it, &e), 0);
        assert_entry(&e, &(struct entry){small, TAG_MAX, slice_of(NULL, 0)});
        ck_assert_int_eq(block_iter_prev(&it, &e), 1);
        ck_assert_int_eq(block_iter_seek(&it, large, TAG_MAX, &e), 0);
        ck_assert_int_eq(block_iter_seek(&it, slice_of(key, LSM_MAX_KEY), 0, &e), round ? 1 : 0);
        block_builder_reset(&builder, 1 << 20);
        ck_assert_uint_le(builder.data.capacity, 1 << 20);
    }
    block_iter_release(&it);
    block_builder_release(&builder);
    free(key);
    free(value);
}
END_TEST

START_TEST(test_golden)
{
    static const uint8_t golden[] = {
        0, 3, 1, 0x80, 0x02, 'a', 'b', 'c', '1', // "abc" tag 256 "1"
        2, 2, 0, 0,    'x',  'y',                // "abxy" tag 0 ""
        0, 1, 2, 0x81, 0x06, 'b', '2', '2',      // restart: "b" tag 769 "22"
        0, 0, 0, 0,    15,   0,   0,   0,        // restarts
        2, 0, 0, 0,
    };
    struct block_builder builder;
    block_builder_init(&builder, 2);
    ck_assert_int_eq(block_builder_add(&builder, slice_str("abc"), 256, slice_str("1")), 0);
    ck_assert_int_eq(block_builder_add(&builder, slice_str("abxy"), 0, slice_str("")), 0);
    ck_assert_int_eq(block_builder_add(&builder, slice_str("b"), 769, slice_str("22")), 0);
    ck_assert_int_eq(block_builder_finish(&builder, 5), 0);
    ck_assert_uint_ge(builder.data.capacity, builder.data.size + 5);
    ck_assert_uint_eq(builder.data.size, sizeof(golden));
    ck_assert_mem_eq(builder.data.data, golden, sizeof(golden));
    block_builder_release(&builder);
}
END_TEST

// All one can do with a block, whatever its bytes are: every call must come back.
static void use(struct slice bytes, struct slice key)
{
    struct block block;
    if (block_init(&block, bytes))
        return;
    uint64_t tag;
    struct slice value;
    (void)block_get(&block, key, 500, &tag, &value);
    (void)block_check(&block, NULL, NULL);
    struct block_iter it;
    struct entry e;
    block_iter_init(&it);
    ck_assert_int_eq(block_iter_set(&it, bytes), 0);
    size_t steps = 0;
    for (int s = block_iter_seek_first(&it, &e); s == 0; s = block_iter_next(&it, &e))
        ck_assert_uint_le(++steps, bytes.size);
    for (int s = block_iter_seek_last(&it, &e); s == 0; s = block_iter_prev(&it, &e))
        ck_assert_uint_le(++steps, 3 * bytes.size);
    if (block_iter_seek(&it, key, 500, &e) == 0 && block_iter_prev(&it, &e) == 0)
        (void)block_iter_next(&it, &e);
    block_iter_release(&it);
}

START_TEST(test_damage)
{
    struct random r = {seed};
    for (int round = 0; round < 10; round++) {
        struct model m = model_random(&r, 40, 20, false);
        struct block_builder builder;
        block_builder_init(&builder, 8);
        struct slice good = build(&builder, &m);
        for (size_t size = 0; size <= good.size; size++) {
            uint8_t *bytes = malloc(size + 1);
            memcpy(bytes, good.data, size);
            use(slice_of(bytes, size), m.entries[m.count / 2].key);
            free(bytes);
        }
        uint8_t *bytes = malloc(good.size);
        for (size_t i = 0; i < good.size * 8; i++) {
            memcpy(bytes, good.data, good.size);
            bytes[i / 8] ^= (uint8_t)(1 << i % 8);
            if (round % 2)
                bytes[random_below(&r, good.size)] = (uint8_t)random_next(&r);
            use(slice_of(bytes, good.size), m.entries[m.count / 2].key);
        }
        free(bytes);
        block_builder_release(&builder);
        model_free(&m);
    }
}
END_TEST

START_TEST(test_malformed)
{
    struct block block;
    const uint8_t no_restart[] = {0, 1, 0, 0, 'a', 0, 0, 0, 0};
    ck_assert_int_eq(block_init(&block, slice_of(no_restart, 9)), LSM_CORRUPTION);
    const uint8_t no_entry[] = {0, 0, 0, 0, 1, 0, 0, 0};
    ck_assert_int_eq(block_init(&block, slice_of(no_entry, 8)), LSM_CORRUPTION);
    const uint8_t many[] = {0, 1, 0, 0, 'a', 0, 0, 0, 0, 3, 0, 0, 0};
    ck_assert_int_eq(block_init(&block, slice_of(many, 13)), LSM_CORRUPTION);
    const uint8_t most[] = {0, 1, 0, 0, 'a', 0, 0, 0, 0, 255, 255, 255, 255};
    ck_assert_int_eq(block_init(&block, slice_of(most, 13)), LSM_CORRUPTION);
    // Out of order, a restart point inside an entry, and one whose key is not whole.
    uint8_t order[] = {0, 1, 0, 0, 'b', 0, 1, 0, 0, 'a', 0, 0, 0, 0, 1, 0, 0, 0};
    ck_assert_int_eq(block_init(&block, slice_of(order, sizeof(order))), 0);
    ck_assert_int_eq(block_check(&block, NULL, NULL), LSM_CORRUPTION);
    uint8_t inside[] = {0, 1, 0, 0, 'a', 0, 1, 0, 0, 'b', 0, 0, 0, 0, 4, 0, 0, 0, 2, 0, 0, 0};
    ck_assert_int_eq(block_init(&block, slice_of(inside, sizeof(inside))), 0);
    ck_assert_int_eq(block_check(&block, NULL, NULL), LSM_CORRUPTION);
    inside[14] = 5;
    ck_assert_int_eq(block_check(&block, NULL, NULL), 0);
    inside[5] = 1;
    ck_assert_int_eq(block_check(&block, NULL, NULL), LSM_CORRUPTION);
}
END_TEST

// More entries in one interval than there may be: going back must not collect them all.
START_TEST(test_endless_interval)
{
    struct block_builder builder;
    struct block_iter it;
    struct entry e;
    for (unsigned extra = 0; extra < 2; extra++) {
        block_builder_init(&builder, 1 << 20);
        for (uint32_t i = 0; i < SST_RESTART_MAX + extra; i++) {
            uint8_t key[8];
            put_big64(key, i);
            ck_assert_int_eq(block_builder_add(&builder, slice_of(key, 8), 1, slice_str("")), 0);
        }
        ck_assert_int_eq(block_builder_finish(&builder, 0), 0);
        block_iter_init(&it);
        ck_assert_int_eq(block_iter_set(&it, buf_slice(&builder.data)), 0);
        ck_assert_int_eq(block_iter_seek_last(&it, &e), extra ? LSM_CORRUPTION : 0);
        ck_assert_int_eq(block_check(&it.block, NULL, NULL), extra ? LSM_CORRUPTION : 0);
        block_iter_release(&it);
        block_builder_release(&builder);
    }
}
END_TEST

START_TEST(test_common_prefix)
{
    uint8_t a[40], b[40];
    memset(a, 'x', sizeof(a));
    for (size_t n = 0; n <= sizeof(a); n++) {
        for (size_t d = 0; d <= n; d++) {
            memcpy(b, a, sizeof(b));
            if (d < n)
                b[d] = 'y';
            ck_assert_uint_eq(common_prefix(a, b, n), d);
        }
    }
}
END_TEST

int main(int argc, char **argv)
{
    if (argc > 1)
        seed = strtoull(argv[1], NULL, 0);
    printf("seed %llu\n", (unsigned long long)seed);
    Suite *suite = suite_create("block");
    TCase *tc = tcase_create("all");
    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, test_random_blocks);
    tcase_add_test(tc, test_reuse_and_extremes);
    tcase_add_test(tc, test_golden);
    tcase_add_test(tc, test_damage);
    tcase_add_test(tc, test_malformed);
    tcase_add_test(tc, test_endless_interval);
    tcase_add_test(tc, test_common_prefix);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
