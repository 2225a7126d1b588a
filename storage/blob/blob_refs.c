// The set is a sorted array: it is small (the blob files that one table refers to), built mostly by
// repeated additions to one element, and read in order.
#include "blob/blob_refs.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/numbers.h"
#include "base/status.h"

// Index of the first element whose number is >= `number`.
static size_t find(const struct blob_refs *set, uint64_t number)
{
    return numbers_find(set->refs, set->count, sizeof *set->refs, offsetof(struct blob_ref, number),
                        number);
}

static int insert(struct blob_refs *set, size_t at, uint64_t number)
{
    if (!array_grow(&set->refs, &set->capacity, set->count, sizeof *set->refs))
        return status_no_memory((set->count + 1) * sizeof *set->refs);
    memmove(set->refs + at + 1, set->refs + at, (set->count - at) * sizeof *set->refs);
    set->refs[at] = (struct blob_ref){.number = number};
    set->count++;
    assert(at == 0 || set->refs[at - 1].number < number);
    assert(at + 1 == set->count || set->refs[at + 1].number > number);
    return LSM_OK;
}

int blob_refs_add(struct blob_refs *set, uint64_t number, uint64_t bytes, struct blob_ref **ret_ref)
{
    if (set->last >= set->count || set->refs[set->last].number != number) {
        size_t at = find(set, number);
        if (at == set->count || set->refs[at].number != number) {
            int rc = insert(set, at, number);
            if (rc)
                return rc;
        }
        set->last = at;
    }
    set->refs[set->last].bytes += bytes;
    if (ret_ref)
        *ret_ref = &set->refs[set->last];
    return LSM_OK;
}

void blob_refs_release(struct blob_refs *set)
{
    free(set->refs);
    *set = (struct blob_refs){0};
}
