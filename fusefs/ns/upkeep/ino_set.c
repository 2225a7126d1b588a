// Compact sets of inode numbers: see ino_set.h.
//
// The numbers are cut into chunks of 65,536. A chunk holds the low 16 bits of its members as a
// sorted array, or, once that would be larger, as a bitmap. Files made one after the other have
// neighbouring numbers, so most additions go to the end of an array.
//
// Thread safety: one thread at a time. Failure: -ENOMEM leaves the set as it was.
#include "ns/upkeep/ino_set.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/numbers.h"

#define CHUNK_BITS   16
#define BITMAP_BYTES ((size_t)8192)
#define ARRAY_MAX    ((uint32_t)(BITMAP_BYTES / sizeof(uint16_t)))

struct ino_chunk {
    uint64_t number;
    union {
        uint16_t *array; // sorted
        uint8_t *bitmap;
        void *members;
    };
    uint32_t count;
    size_t capacity; // of the array; 0: it is a bitmap
};

// The index of the first chunk whose number is not lower.
static size_t chunk_index(const struct ino_set *set, uint64_t number)
{
    return numbers_find(set->chunks, set->count, sizeof *set->chunks,
                        offsetof(struct ino_chunk, number), number);
}

static uint32_t array_index(const struct ino_chunk *chunk, uint16_t low_bits)
{
    uint32_t low = 0, high = chunk->count;
    if (high && chunk->array[high - 1] < low_bits)
        return high;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (chunk->array[middle] < low_bits)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool chunk_has(const struct ino_chunk *chunk, uint16_t low_bits)
{
    if (!chunk->capacity)
        return chunk->bitmap[low_bits / 8] >> (low_bits % 8) & 1;
    uint32_t i = array_index(chunk, low_bits);
    return i < chunk->count && chunk->array[i] == low_bits;
}

static int chunk_to_bitmap(struct ino_chunk *chunk)
{
    uint8_t *bitmap = calloc(1, BITMAP_BYTES);
    if (!bitmap)
        return -ENOMEM;
    for (uint32_t i = 0; i < chunk->count; i++)
        bitmap[chunk->array[i] / 8] |= (uint8_t)(1u << (chunk->array[i] % 8));
    free(chunk->array);
    chunk->bitmap = bitmap;
    chunk->capacity = 0;
    return 0;
}

static int chunk_make_room(struct ino_chunk *chunk)
{
    if (chunk->count == ARRAY_MAX)
        return chunk_to_bitmap(chunk);
    return array_grow(&chunk->array, &chunk->capacity, chunk->count, sizeof *chunk->array)
               ? 0
               : -ENOMEM;
}

static int chunk_add(struct ino_chunk *chunk, uint16_t low_bits)
{
    int rc = chunk->capacity ? chunk_make_room(chunk) : 0;
    if (rc)
        return rc;
    if (chunk->capacity) {
        uint32_t i = array_index(chunk, low_bits);
        memmove(&chunk->array[i + 1], &chunk->array[i],
                (chunk->count - i) * sizeof(chunk->array[0]));
        assert(i == 0 || chunk->array[i - 1] < low_bits);
        chunk->array[i] = low_bits;
    } else {
        chunk->bitmap[low_bits / 8] |= (uint8_t)(1u << (low_bits % 8));
    }
    chunk->count++;
    return 0;
}

// Makes an empty chunk at `index`.
static int chunk_insert(struct ino_set *set, size_t index, uint64_t number)
{
    if (!array_grow(&set->chunks, &set->capacity, set->count, sizeof *set->chunks))
        return -ENOMEM;
    struct ino_chunk chunk = {.number = number};
    if (!array_grow(&chunk.array, &chunk.capacity, 0, sizeof *chunk.array))
        return -ENOMEM;
    memmove(&set->chunks[index + 1], &set->chunks[index],
            (set->count - index) * sizeof(set->chunks[0]));
    assert(index == 0 || set->chunks[index - 1].number < number);
    set->chunks[index] = chunk;
    set->count++;
    return 0;
}

int ino_set_add(struct ino_set *set, uint64_t ino, bool *ret_added)
{
    uint64_t number = ino >> CHUNK_BITS;
    size_t index = chunk_index(set, number);
    bool present = index < set->count && set->chunks[index].number == number;
    if (present && chunk_has(&set->chunks[index], (uint16_t)ino)) {
        *ret_added = false;
        return 0;
    }
    int rc = present ? 0 : chunk_insert(set, index, number);
    if (!rc)
        rc = chunk_add(&set->chunks[index], (uint16_t)ino);
    if (!rc)
        *ret_added = true;
    return rc;
}

bool ino_set_has(const struct ino_set *set, uint64_t ino)
{
    uint64_t number = ino >> CHUNK_BITS;
    size_t index = chunk_index(set, number);
    return index < set->count && set->chunks[index].number == number &&
           chunk_has(&set->chunks[index], (uint16_t)ino);
}

void ino_set_release(struct ino_set *set)
{
    for (size_t i = 0; i < set->count; i++)
        free(set->chunks[i].members);
    free(set->chunks);
    *set = (struct ino_set){0};
}
