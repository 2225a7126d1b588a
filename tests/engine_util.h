// What the tests of the whole engine share: random numbers, values that need not be stored to be
// compared, a sorted map in memory as the model, and a check that costs nothing while it holds.
#ifndef TEST_ENGINE_UTIL_H
#define TEST_ENGINE_UTIL_H

#include "quick_check.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "disk/env_fault.h"
#include "from_env.h"
#include "lsm.h"

// ck_assert_msg() notes its place through a pipe each time; in loops of millions that is all it
// does.
#define EXPECT(condition, ...)                                                                     \
    do {                                                                                           \
        if (!(condition))                                                                          \
            expect_failed(__FILE__, __LINE__, #condition, __VA_ARGS__);                            \
    } while (0)

__attribute__((noreturn, format(printf, 4, 5))) static void
expect_failed(const char *file, int line, const char *condition, const char *format, ...)
{
    char text[2048];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    fprintf(stderr, "%s:%d: %s: %s\n", file, line, condition, text);
    ck_abort_msg("%s:%d: %s: %s", file, line, condition, text);
    abort();
}

// A sanitizer's, in builds that have one: `say` has its last words.
__attribute__((weak)) void __sanitizer_set_death_callback(void (*say)(void));

static uint64_t seed_used __attribute__((unused));

static inline void say_seed(void)
{
    fprintf(stderr, "LSM_SEED=%" PRIu64 "\n", seed_used);
}

// LSM_SEED, or one that differs from run to run. It is said at once, and again behind what a
// sanitizer reports: a test that crashes or hangs cannot say it.
static inline uint64_t seed_from_env(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    seed_used =
        from_env("LSM_SEED", (uint64_t)now.tv_sec * 1000003u + (uint64_t)now.tv_nsec % 1000003u);
    say_seed();
    if (__sanitizer_set_death_callback)
        __sanitizer_set_death_callback(say_seed);
    return seed_used;
}

// ---------------------------------------------------------------------------------------- random

struct random {
    uint64_t state;
};

static inline uint64_t mix(uint64_t z) // splitmix64's finisher
{
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

static inline uint64_t random_next(struct random *r)
{
    return mix(r->state += UINT64_C(0x9E3779B97F4A7C15));
}

static inline uint32_t random_below(struct random *r, uint64_t n)
{
    return (uint32_t)(random_next(r) % n);
}

static inline bool one_in(struct random *r, unsigned n)
{
    return random_below(r, n) == 0;
}

// ---------------------------------------------------------------------------------------- values

// A value is bytes [offset, offset + size) of the endless string of a seed; so a slice of a value
// is one too. Every second seed gives bytes that compress.
struct value {
    uint64_t seed;
    uint32_t offset, size;
};

static inline void value_bytes(const struct value *v, uint8_t *data)
{
    unsigned shift = v->seed & 1 ? 3 : 6;
    for (uint32_t i = 0; i < v->size; i++) {
        uint32_t at = v->offset + i;
        data[i] = (uint8_t)(mix(v->seed + (at >> shift)) >> (at % 8 * 8));
    }
}

static inline bool value_equal(const struct value *v, const void *data, size_t size)
{
    unsigned shift = v->seed & 1 ? 3 : 6;
    const uint8_t *p = data;
    if (size != v->size)
        return false;
    for (uint32_t i = 0; i < v->size;) {
        uint32_t at = v->offset + i;
        uint64_t word = mix(v->seed + (at >> shift));
        for (uint32_t end = (at >> shift) + 1; i < v->size && (at >> shift) < end; at++)
            if (p[i++] != (uint8_t)(word >> (at % 8 * 8)))
                return false;
    }
    return true;
}

#endif
