// Growing arrays: an array on the heap, how many items it has room for, how many there are.
#ifndef LSM_BASE_ARRAY_H
#define LSM_BASE_ARRAY_H

#include <stdbool.h>
#include <stddef.h>

bool array_double(void *ret_items, size_t *capacity, size_t item_size); // for array_grow()

// Makes room for one more item than `count`. `ret_items` is the address of the pointer to the first
// item, which is NULL while *capacity is 0. The room doubles, so that adding is amortised O(1).
// False: no memory, and nothing has changed.
static inline bool array_grow(void *ret_items, size_t *capacity, size_t count, size_t item_size)
{
    return count < *capacity || array_double(ret_items, capacity, item_size);
}

// Makes room for `count` items in all. False: no memory; the items are there still.
static inline bool array_reserve(void *ret_items, size_t *capacity, size_t count, size_t item_size)
{
    while (*capacity < count)
        if (!array_double(ret_items, capacity, item_size))
            return false;
    return true;
}

#endif
