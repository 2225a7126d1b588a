// The pool that values are cut from.
#include "data.h"

#include <stdlib.h>

#define PIECE 100u

char *values_pool_new(uint64_t seed, size_t value_size)
{
    struct random random = {seed ^ 0x76616c756573u};
    size_t size = VALUE_POOL + value_size;
    char *pool = malloc(size + PIECE);
    if (!pool)
        return NULL;
    for (size_t at = 0; at < size; at += PIECE) {
        for (size_t i = 0; i < PIECE / 2; i++)
            pool[at + i] = (char)(' ' + random_below(&random, 95));
        memcpy(pool + at + PIECE / 2, pool + at, PIECE / 2);
    }
    return pool;
}
