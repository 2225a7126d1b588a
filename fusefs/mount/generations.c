// See generations.h.
#include "mount/generations.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/numbers.h"

LOCK_FUNCTIONS(generations, struct generations, mutex, generations_mutex)

void generations_init(struct generations *generations)
{
    memset(generations, 0, sizeof *generations);
    pthread_mutex_init(&generations->mutex, NULL);
}

// Nobody else has it any more.
NOT_CHECKED void generations_release(struct generations *generations)
{
    free(generations->files);
    pthread_mutex_destroy(&generations->mutex);
}

// Where the file is, or has to be put in.
static size_t place_of(const struct generations *generations, uint64_t ino)
    REQUIRES(generations_mutex)
{
    return numbers_find(generations->files, generations->count, sizeof *generations->files,
                        offsetof(struct file_generation, ino), ino);
}

uint64_t generations_of(struct generations *generations, uint64_t ino)
{
    uint64_t number = 0;
    if (!atomic_load_explicit(&generations->last, memory_order_acquire))
        return 0;
    generations_lock(generations);
    size_t i = place_of(generations, ino);
    if (i < generations->count && generations->files[i].ino == ino)
        number = generations->files[i].number;
    generations_unlock(generations);
    return number;
}

void generations_renew(struct generations *generations, uint64_t ino)
{
    assert(ino > 0);
    generations_lock(generations);
    size_t i = place_of(generations, ino);
    bool known = i < generations->count && generations->files[i].ino == ino;
    if (known || array_grow(&generations->files, &generations->capacity, generations->count,
                            sizeof *generations->files)) {
        struct file_generation *at = generations->files + i;
        if (!known)
            memmove(at + 1, at, (generations->count++ - i) * sizeof *at);
        at->ino = ino;
        at->number = atomic_fetch_add(&generations->last, 1) + 1;
        assert(at->number > 0);
    }
    generations_unlock(generations);
}
