// Growing arrays. See array.h.
#include "base/array.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_ITEMS 16u

bool array_double(void *ret_items, size_t *capacity, size_t item_size)
{
    assert(item_size > 0);
    if (*capacity > SIZE_MAX / 2 / item_size)
        return false;
    size_t wanted = *capacity ? 2 * *capacity : FIRST_ITEMS;
    void *items;
    memcpy(&items, ret_items, sizeof items); // a pointer to some other type
    assert(!items == !*capacity);
    items = realloc(items, wanted * item_size);
    if (!items)
        return false;
    memcpy(ret_items, &items, sizeof items);
    *capacity = wanted;
    return true;
}
