// Searching sorted keys by the first 8 bytes in which they differ, kept in an array of integers.
#ifndef LSM_ENTRY_KEY_PREFIX_H
#define LSM_ENTRY_KEY_PREFIX_H

#include "base/coding.h"

// The first 8 bytes, big-endian, padded with zeros. Different prefixes are in the order of the
// keys; of equal ones the keys have to be compared.
static inline uint64_t key_prefix(struct slice key)
{
    if (key.size >= 8)
        return get_big64(key.data);
    uint8_t bytes[8] = {0};
    if (key.size)
        memcpy(bytes, key.data, key.size);
    return get_big64(bytes);
}

// Where a key lies among keys that all begin with `common`, if it does not: before all (<0) or
// after all (>0); else 0.
static inline int key_prefix_compare_common(struct slice common, struct slice key)
{
    size_t n = key.size < common.size ? key.size : common.size;
    int c = n ? memcmp(key.data, common.data, n) : 0;
    return c ? c : -(key.size < common.size);
}

// The number of prefixes below `prefix` among the first `count` >= 0, without branches on their
// values; asks for both places that the next step may look at, so that misses overlap.
static inline size_t key_prefix_lower_bound(const uint64_t *prefixes, size_t count, uint64_t prefix)
{
    if (count == 0)
        return 0;
    const uint64_t *at = prefixes;
    while (count > 1) {
        size_t half = count / 2, next = (count - half) / 2;
        __builtin_prefetch(at + next);
        __builtin_prefetch(at + half + next);
        at += at[half - 1] < prefix ? half : 0;
        count -= half;
    }
    return (size_t)(at - prefixes) + (*at < prefix);
}

#endif
