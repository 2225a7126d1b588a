// The keys and values of the bench: the same sequence for every engine, from the seed alone.
#ifndef BENCH_DATA_H
#define BENCH_DATA_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define BENCH_KEY_MAX 256u

struct random {
    uint64_t state;
};

// splitmix64: one multiplication chain a number, any seed will do.
static inline uint64_t random_next(struct random *random)
{
    uint64_t z = random->state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

// Uniform in [0, bound).
static inline uint64_t random_below(struct random *random, uint64_t bound)
{
    return (uint64_t)(((unsigned __int128)random_next(random) * bound) >> 64);
}

// Eight decimal digits of `n` (below 10^8) at once, in the bytes of a word.
static inline void key_digits8(char *out, uint32_t n)
{
    uint64_t high = n / 10000, low = n % 10000;
    uint64_t x = high | low << 32;                                    // 4 digits in 32 bits each
    uint64_t hundreds = ((x * 10486) >> 20) & 0x7f0000007fULL;        // / 100
    x = hundreds | (x - 100 * hundreds) << 16;                        // 2 digits in 16 bits each
    uint64_t tens = ((x * 103) >> 10) & 0x000f000f000f000fULL;        // / 10
    x = (tens | (x - 10 * tens) << 8) + UINT64_C(0x3030303030303030); // 1 digit in 8 bits each
    memcpy(out, &x, 8);
}

// As db_bench: "%016llu", in the last 16 of `size` bytes; the rest was filled with '0' by
// key_init().
static inline void key_format(char *key, size_t size, uint64_t number)
{
    key_digits8(key + size - 16, (uint32_t)(number / 100000000u));
    key_digits8(key + size - 8, (uint32_t)(number % 100000000u));
}

static inline void key_init(char *key, size_t size)
{
    memset(key, '0', size);
}

// Values as db_bench makes them: slices of a megabyte of pieces of 100 bytes, each half random
// printable characters and half their repetition.
#define VALUE_POOL (1u << 20)

struct values {
    const char *pool; // VALUE_POOL bytes and `size` more
    size_t size;
    size_t position;
};

// The shared pool; malloc'd. NULL if out of memory.
char *values_pool_new(uint64_t seed, size_t value_size);

static inline const char *values_next(struct values *values)
{
    const char *value = values->pool + values->position;
    values->position += values->size;
    if (values->position >= VALUE_POOL)
        values->position -= VALUE_POOL;
    return value;
}

// What a workload remembers of the bytes it saw. Order does not matter, so threads' sums add up.
static inline uint64_t bytes_sum(const char *data, size_t size)
{
    uint64_t head = 0, tail = 0;
    if (size >= 8) {
        memcpy(&head, data, 8);
        memcpy(&tail, data + size - 8, 8);
    } else {
        memcpy(&head, data, size);
    }
    return (head ^ tail >> 7) + size;
}

#endif
