// What the tests of tables share: seeded random entries, tables on a simulated disk.
#ifndef TEST_SST_UTIL_H
#define TEST_SST_UTIL_H

#include "quick_check.h"
#include <stdlib.h>

#include "base/hash.h"
#include "disk/env_fault.h"
#include "entry/iter.h"
#include "memtable/epoch.h"
#include "sstable/sst_builder.h"
#include "sstable/sst_reader.h"

struct random {
    uint64_t state;
};

static inline uint64_t random_next(struct random *r)
{
    uint64_t z = r->state += UINT64_C(0x9E3779B97F4A7C15); // splitmix64
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

static inline uint64_t random_below(struct random *r, uint64_t n)
{
    return random_next(r) % n;
}

// Entries in table order; each owns its key and value.
struct model {
    struct entry *entries;
    size_t count;
};

static inline struct slice copy_slice(const void *data, size_t size)
{
    uint8_t *copy = malloc(size + 1);
    ck_assert_ptr_nonnull(copy);
    if (size)
        memcpy(copy, data, size);
    return slice_of(copy, size);
}

static inline int compare_entries(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    return entry_compare(x->key, x->tag, y->key, y->tag);
}

static inline void model_free(struct model *m)
{
    for (size_t i = 0; i < m->count; i++) {
        free((void *)m->entries[i].key.data);
        free((void *)m->entries[i].value.data);
    }
    free(m->entries);
}

// A key from a small alphabet, so that prefixes are shared and zeros and 0xff occur; sometimes with
// a long common beginning.
static inline size_t random_key(struct random *r, uint8_t *key, bool long_keys)
{
    static const uint8_t alphabet[] = {0, 1, 'a', 'b', 0xfe, 0xff};
    size_t size = 1 + random_below(r, 8);
    size_t begin = 0;
    if (long_keys && random_below(r, 2)) {
        begin = 1 + random_below(r, 300);
        memset(key, 'p', begin);
    }
    for (size_t i = 0; i < size; i++)
        key[begin + i] = alphabet[random_below(r, sizeof(alphabet))];
    return begin + size;
}

// About `count` entries: keys as above, several versions of some, values of 0 .. max_value bytes,
// half of them compressible.
static inline struct model model_random(struct random *r, size_t count, size_t max_value,
                                        bool long_keys)
{
    struct model m = {malloc(count * sizeof(struct entry)), 0};
    uint8_t *value = malloc(max_value + 1);
    while (m.count < count) {
        uint8_t key[512];
        size_t size = random_key(r, key, long_keys);
        uint64_t versions = random_below(r, 4) ? 1 : 1 + random_below(r, 12);
        for (; versions && m.count < count; versions--) {
            uint64_t sequence =
                random_below(r, 8) ? random_below(r, 1000) : random_next(r) & SEQUENCE_MAX;
            size_t value_size = random_below(r, max_value + 1);
            bool noise = random_below(r, 2);
            for (size_t i = 0; i < value_size; i++)
                value[i] = noise ? (uint8_t)random_next(r) : (uint8_t)(i / 7);
            m.entries[m.count++] =
                (struct entry){copy_slice(key, size),
                               tag_make(sequence, random_below(r, 5) ? ENTRY_PUT : ENTRY_DELETE),
                               copy_slice(value, value_size)};
        }
    }
    free(value);
    qsort(m.entries, m.count, sizeof(struct entry), compare_entries);
    size_t kept = 0;
    for (size_t i = 0; i < m.count; i++) {
        if (kept && compare_entries(&m.entries[kept - 1], &m.entries[i]) == 0) {
            free((void *)m.entries[i].key.data);
            free((void *)m.entries[i].value.data);
        } else {
            m.entries[kept++] = m.entries[i];
        }
    }
    m.count = kept;
    return m;
}

// Index of the first entry >= (key, tag).
static inline size_t model_seek(const struct model *m, struct slice key, uint64_t tag)
{
    size_t low = 0, high = m->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (entry_compare(m->entries[middle].key, m->entries[middle].tag, key, tag) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static inline void assert_entry(const struct entry *got, const struct entry *want)
{
    ck_assert(slice_equal(got->key, want->key));
    ck_assert_uint_eq(got->tag, want->tag);
    ck_assert(slice_equal(got->value, want->value));
}

#define TABLE_PATH "/t.sst"

// Writes the model as table `number` at TABLE_PATH.
static inline void build_table(struct env *env, const struct model *m, uint64_t number,
                               const struct sst_build_options *options, struct sst_info *ret_info)
{
    struct env_file *file;
    struct sst_builder *builder;
    ck_assert_int_eq(env_open(env, TABLE_PATH, ENV_WRITE | ENV_CREATE | ENV_TRUNCATE, &file), 0);
    ck_assert_int_eq(sst_builder_new(file, number, options, &builder), 0);
    for (size_t i = 0; i < m->count; i++)
        ck_assert_int_eq(
            sst_builder_add(builder, m->entries[i].key, m->entries[i].tag, m->entries[i].value), 0);
    ck_assert_int_eq(sst_builder_finish(builder, ret_info), 0);
    sst_builder_free(builder);
    ck_assert_int_eq(env_close(file), 0);
}

#endif
