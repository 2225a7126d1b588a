// Lists of 64-bit numbers. See numbers.h.
#include "base/numbers.h"

#include "base/array.h"
#include "base/status.h"

int number_list_add(struct number_list *list, uint64_t number)
{
    if (!array_grow(&list->at, &list->capacity, list->count, sizeof *list->at))
        return status_no_memory((list->count + 1) * sizeof *list->at);
    list->at[list->count++] = number;
    return 0;
}

bool number_list_has(const struct number_list *list, uint64_t number)
{
    return list->count &&
           bsearch(&number, list->at, list->count, sizeof *list->at, numbers_compare);
}

void number_list_release(struct number_list *list)
{
    free(list->at);
    *list = (struct number_list){0};
}
