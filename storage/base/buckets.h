// Buckets of a histogram of durations, or other numbers: eight for each power of two, so that a
// quantile, given as the upper end of its bucket, is at most an eighth too high. Pure functions.
#ifndef LSM_BASE_BUCKETS_H
#define LSM_BASE_BUCKETS_H

#include <stdint.h>

#define BUCKETS 496u

static inline unsigned bucket_of(uint64_t value)
{
    if (value < 8)
        return (unsigned)value;
    unsigned exponent = 63 - (unsigned)__builtin_clzll(value);
    return (exponent - 2) * 8 + (unsigned)(value >> (exponent - 3) & 7);
}

// The largest value of a bucket.
static inline uint64_t bucket_end(unsigned bucket)
{
    if (bucket < 8)
        return bucket;
    unsigned exponent = bucket / 8 + 2;
    return (((uint64_t)(bucket % 8 + 8) + 1) << (exponent - 3)) - 1;
}

// Of `total` values in all: the end of the bucket in which the per_mille-th part of them ends. 0 if
// there are none.
static inline uint64_t buckets_quantile(const uint64_t counts[BUCKETS], uint64_t total,
                                        unsigned per_mille)
{
    uint64_t seen = 0, wanted = (total * per_mille + 999) / 1000;
    for (unsigned i = 0; i < BUCKETS; i++) {
        seen += counts[i];
        if (seen >= wanted && seen)
            return bucket_end(i);
    }
    return 0;
}

#endif
