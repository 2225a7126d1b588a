// 64-bit numbers, such as file numbers and sequence numbers: arrays of them, and digits in a text.
#ifndef LSM_BASE_NUMBERS_H
#define LSM_BASE_NUMBERS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

static inline int numbers_compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

// Sorts the numbers in ascending order. `numbers` may be NULL if there are none.
static inline void numbers_sort(uint64_t *numbers, size_t count)
{
    if (count)
        qsort(numbers, count, sizeof *numbers, numbers_compare);
}

// Of `count` items of `item_size` bytes, ascending by the 64-bit number that each has at `offset`:
// the index of the first whose number is not below `number`; `count` if there is none.
static inline size_t numbers_find(const void *items, size_t count, size_t item_size, size_t offset,
                                  uint64_t number)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const char *item = (const char *)items + middle * item_size;
        if (*(const uint64_t *)(item + offset) < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

// A list of them. Starts as {0}; 8 bytes a number, up to 16 while it grows.
struct number_list {
    uint64_t *at;
    size_t count, capacity;
};

int number_list_add(struct number_list *list, uint64_t number);        // 0 or LSM_NO_MEMORY
bool number_list_has(const struct number_list *list, uint64_t number); // of a sorted list
void number_list_release(struct number_list *list);

// Reads the digits that `text` begins with; `base` is 8 or 10. Returns what is behind them. NULL,
// and *ret_number as it was: there are none (a sign and a space are no digits), or the number has
// more than 64 bits.
const char *number_read(const char *text, unsigned base, uint64_t *ret_number);

#endif
