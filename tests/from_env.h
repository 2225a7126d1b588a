// What a run of a test reads from its environment: how much to do, and which seed to repeat.
// docs/testing.md lists the variables.
#ifndef LSM_TESTS_FROM_ENV_H
#define LSM_TESTS_FROM_ENV_H

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

// The number in the variable `name`; `fallback` if it is not set, or empty.
static inline uint64_t from_env(const char *name, uint64_t fallback)
{
    const char *text = getenv(name);
    return text && *text ? strtoull(text, NULL, 0) : fallback;
}

// LSM_SEED or `otherwise`; printed, so that a failure can be replayed.
static inline uint64_t test_seed(const char *test, uint64_t otherwise)
{
    uint64_t seed = from_env("LSM_SEED", otherwise);
    printf("%s: LSM_SEED=%" PRIu64 "\n", test, seed);
    fflush(stdout);
    return seed;
}

// How many random histories to run: LSM_HISTORIES, or `usual`; one, if only the seed is given: that
// history is to be repeated.
static inline uint64_t histories_from_env(uint64_t usual)
{
    return from_env("LSM_HISTORIES", getenv("LSM_SEED") ? 1 : usual);
}

// Runs as many histories as histories_from_env() says, divided by `cost` and rounded up: one takes
// `cost` times as long as one of the plainest model. Their seeds follow each other.
static inline void run_random_histories(const char *test, uint64_t usual, uint64_t cost,
                                        void (*run)(uint64_t seed))
{
    uint64_t count = (histories_from_env(usual) + cost - 1) / cost, first = test_seed(test, 1);
    for (uint64_t i = 0; i < count; i++)
        run(first + i);
}

#endif
