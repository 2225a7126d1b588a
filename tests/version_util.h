// Shared by the tests of versions, manifests and compaction picking: made-up tables, random
// numbers.
#ifndef LSM_TESTS_VERSION_UTIL_H
#define LSM_TESTS_VERSION_UTIL_H

#include "quick_check.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/coding.h"
#include "from_env.h"
#include "version/version.h"

// splitmix64
static inline uint64_t random_next(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

static inline uint64_t random_below(uint64_t *state, uint64_t n)
{
    return random_next(state) % n;
}

// A table of keys [low, high], as 8 big-endian bytes, its tags at sequence `sequence`.
static inline struct file_meta *make_file(uint64_t number, uint64_t low, uint64_t high,
                                          uint64_t size, uint64_t sequence)
{
    uint8_t smallest[8], largest[8];
    put_big64(smallest, low);
    put_big64(largest, high);
    struct file_meta *file = file_meta_new(slice_of(smallest, 8), slice_of(largest, 8));
    ck_assert_ptr_nonnull(file);
    file->number = number;
    file->size = size;
    file->entries = high - low + 1 ? high - low + 1 : 1;
    file->raw_bytes = size;
    file->max_sequence = sequence;
    file->smallest_tag = file->largest_tag = tag_make(sequence, ENTRY_PUT);
    return file;
}

// Adds it to an edit, which then holds the only reference.
static inline void edit_add_new(struct version_edit *edit, unsigned level, struct file_meta *file)
{
    ck_assert_int_eq(version_edit_add(edit, level, file), 0);
    file_meta_unref(file);
}

static inline bool file_equal(const struct file_meta *a, const struct file_meta *b)
{
    return a->number == b->number && a->size == b->size && a->entries == b->entries &&
           a->deletes == b->deletes && a->raw_bytes == b->raw_bytes &&
           a->max_sequence == b->max_sequence && a->smallest_tag == b->smallest_tag &&
           a->largest_tag == b->largest_tag && slice_equal(a->smallest, b->smallest) &&
           slice_equal(a->largest, b->largest);
}

static inline bool version_equal(const struct version *a, const struct version *b)
{
    for (unsigned level = 0; level < VERSION_LEVELS; level++) {
        const struct version_level *x = &a->levels[level], *y = &b->levels[level];
        if (x->count != y->count || x->bytes != y->bytes ||
            x->tombstone_heavy != y->tombstone_heavy)
            return false;
        for (unsigned i = 0; i < x->count; i++)
            if (!file_equal(x->files[i], y->files[i]))
                return false;
    }
    return true;
}

#endif
