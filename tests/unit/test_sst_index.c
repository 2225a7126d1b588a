// The index of a table against a look at every separator, and the search over prefixes beneath it.
#include <stdio.h>
#include <stdlib.h>

#include "base/status.h"
#include "entry/key_prefix.h"
#include "quick_check.h"
#include "sstable/block_builder.h"
#include "sstable/sst_format.h"
#include "sstable/sst_index.h"

#define BLOCKS_MAX 1100
#define BLOCK_SIZE 1000

// Separator `i`, in order; kinds differ in where the 8 bytes past what is common lie.
static size_t make_key(unsigned kind, size_t i, char *key)
{
    switch (kind) {
    case 0: // numbers of the same length
        return (size_t)sprintf(key, "user%08zu", i * 37);
    case 1: // the 8 bytes past what all share are the same for 100 in a row
        return (size_t)sprintf(key, "dir/%02zuabcdefgh%06zu", i / 100, i);
    case 2: // shorter and longer than 8, one the beginning of the next
        memset(key, 'a', i / 2 + 1);
        key[i / 2 + 1] = 'b';
        return i / 2 + 1 + i % 2;
    default: // all but the last bytes alike, and the highest prefix there is
        memset(key, 0xff, 12);
        put_big64((uint8_t *)key + 12, i);
        return 20;
    }
}

static int order(const void *a, const void *b)
{
    const struct slice *x = a, *y = b;
    return slice_compare(*x, *y);
}

struct separators {
    char bytes[BLOCKS_MAX][BLOCKS_MAX];
    struct slice keys[BLOCKS_MAX];
    size_t count;
};

static struct separators *separators_new(unsigned kind, size_t count)
{
    struct separators *s = malloc(sizeof(*s));
    ck_assert_ptr_nonnull(s);
    s->count = count;
    for (size_t i = 0; i < count; i++)
        s->keys[i] = slice_of(s->bytes[i], make_key(kind, i, s->bytes[i]));
    qsort(s->keys, count, sizeof(*s->keys), order);
    return s;
}

static void build(const struct separators *s, struct sst_index *index)
{
    struct block_builder builder;
    uint8_t value[CODING_VARINT64_MAX + 1], *end = put_varint64(value, BLOCK_SIZE);
    *end++ = LSM_COMPRESSION_NONE;
    block_builder_init(&builder, 128);
    for (size_t i = 0; i < s->count; i++)
        ck_assert_int_eq(
            block_builder_add(&builder, s->keys[i], 0, slice_of(value, (size_t)(end - value))), 0);
    ck_assert_int_eq(block_builder_finish(&builder, 0), 0);
    uint64_t data_end = s->count * (BLOCK_SIZE + SST_TRAILER_SIZE);
    ck_assert_int_eq(sst_index_new(buf_slice(&builder.data), s->count, data_end, index), 0);
    block_builder_release(&builder);
}

// The first separator at or after `key`.
static size_t look_at_all(const struct separators *s, struct slice key)
{
    size_t i = 0;
    while (i < s->count && slice_compare(s->keys[i], key) < 0)
        i++;
    return i;
}

static void check_around(const struct separators *s, const struct sst_index *index,
                         struct slice key)
{
    char changed[BLOCKS_MAX + 1];
    memcpy(changed, key.data, key.size);
    struct slice other = slice_of(changed, key.size);
    ck_assert_uint_eq(sst_index_seek(index, key, 0), look_at_all(s, key));
    for (int step = -1; step <= 1; step += 2) {
        changed[key.size - 1] = (char)(((const char *)key.data)[key.size - 1] + step);
        ck_assert_uint_eq(sst_index_seek(index, other, 0), look_at_all(s, other));
    }
    memcpy(changed, key.data, key.size);
    changed[key.size] = 0;
    other.size = key.size + 1;
    ck_assert_uint_eq(sst_index_seek(index, other, 0), look_at_all(s, other));
    other.size = key.size - 1;
    ck_assert_uint_eq(sst_index_seek(index, other, 0), look_at_all(s, other));
}

START_TEST(test_seek)
{
    static const size_t counts[] = {1, 2, 31, 32, 33, 63, 64, 65, 1000, 1024, 1087};
    unsigned kind = (unsigned)_i;
    for (size_t c = 0; c < sizeof(counts) / sizeof(counts[0]); c++) {
        struct separators *s = separators_new(kind, counts[c]);
        struct sst_index index;
        build(s, &index);
        ck_assert_uint_eq(index.count, s->count);
        for (size_t i = 0; i < s->count; i += 1 + s->count / 100)
            check_around(s, &index, s->keys[i]);
        check_around(s, &index, s->keys[s->count - 1]);
        ck_assert_uint_eq(sst_index_seek(&index, slice_str("\001"), 0), 0);
        uint8_t last[30];
        memset(last, 0xff, sizeof(last));
        ck_assert_uint_eq(sst_index_seek(&index, slice_of(last, sizeof(last)), 0), s->count);
        ck_assert_uint_eq(sst_index_offset(&index, s->count - 1),
                          (s->count - 1) * (BLOCK_SIZE + SST_TRAILER_SIZE));
        ck_assert_uint_ge(sst_index_memory(&index), s->count * 24);
        sst_index_release(&index);
        free(s);
    }
}
END_TEST

START_TEST(test_lower_bound)
{
    uint64_t prefixes[70];
    for (size_t count = 0; count <= 70; count++) {
        for (size_t i = 0; i < count; i++)
            prefixes[i] = i / 3 * 10 + 5; // runs of three
        for (uint64_t prefix = 0; prefix < 260; prefix++) {
            size_t below = 0;
            while (below < count && prefixes[below] < prefix)
                below++;
            ck_assert_uint_eq(key_prefix_lower_bound(prefixes, count, prefix), below);
        }
    }
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("sst_index");
    tcase_add_loop_test(tc, test_seek, 0, 4);
    tcase_add_test(tc, test_lower_bound);
    return run_case("sst_index", tc, 120);
}
