// Lists of 64-bit numbers, and digits. See numbers.h.
#include "base/numbers.h"

#include <assert.h>

#include "base/array.h"
#include "base/status.h"

int number_list_add(struct number_list *list, uint64_t number)
{
    if (!array_grow(&list->at, &list->capacity, list->count, sizeof *list->at))
        return status_no_memory((list->count + 1) * sizeof *list->at);
    assert(list->count < list->capacity);
    list->at[list->count++] = number;
    return 0;
}

bool number_list_has(const struct number_list *list, uint64_t number)
{
    assert(!list->count || list->at[0] <= list->at[list->count - 1]); // sorted
    return list->count &&
           bsearch(&number, list->at, list->count, sizeof *list->at, numbers_compare);
}

void number_list_release(struct number_list *list)
{
    free(list->at);
    *list = (struct number_list){0};
}

const char *number_read(const char *text, unsigned base, uint64_t *ret_number)
{
    assert(base == 8 || base == 10);
    const char *p = text;
    uint64_t number = 0;
    for (; *p >= '0' && *p < (char)('0' + base); p++) {
        unsigned digit = (unsigned)(*p - '0');
        if (number > (UINT64_MAX - digit) / base)
            return NULL;
        number = number * base + digit;
    }
    if (p == text)
        return NULL;
    *ret_number = number;
    return p;
}
