// Named snapshots in memory: an array by id. There are at most some thousands, and they change
// seldom, so a name is found by a walk over the array, which compares hashes.
//
// On failure a set is as it was. One thread at a time.
#include "version/snapshot_set.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/hash.h"
#include "base/numbers.h"
#include "base/status.h"
#include "entry/iter.h"

bool snapshot_name_legal(struct slice name)
{
    if (name.size == 0 || name.size > LSM_SNAPSHOT_NAME_MAX)
        return false;
    for (size_t i = 0; i < name.size; i++)
        if (name.data[i] < 0x20 || name.data[i] == 0x7f || name.data[i] == '/')
            return false;
    return !slice_equal(name, slice_str(".")) && !slice_equal(name, slice_str(".."));
}

void snapshot_set_release(struct snapshot_set *set)
{
    for (size_t i = 0; i < set->count; i++)
        free(set->at[i].name);
    free(set->at);
    *set = (struct snapshot_set){0};
}

static int reserve(struct snapshot_set *set)
{
    return array_grow(&set->at, &set->capacity, set->count, sizeof *set->at)
               ? LSM_OK
               : status_no_memory((set->count + 1) * sizeof *set->at);
}

// The index of the first record whose id is at least `id`.
static size_t find_id(const struct snapshot_set *set, uint64_t id)
{
    size_t at = set->count;
    while (at > 0 && set->at[at - 1].id >= id)
        at--;
    return at;
}

int snapshot_set_add(struct snapshot_set *set, uint64_t id, uint64_t sequence, uint64_t created_us,
                     struct slice name)
{
    if (id == 0 || id >= LSM_SNAPSHOT_ID_MAX || sequence > SEQUENCE_MAX ||
        !snapshot_name_legal(name))
        return status_fail(LSM_CORRUPTION, "an impossible snapshot %" PRIu64, id);
    size_t at = find_id(set, id);
    if ((at < set->count && set->at[at].id == id) || snapshot_set_find(set, name))
        return status_fail(LSM_EXISTS, "there is a snapshot %.*s already", (int)name.size,
                           (const char *)name.data);
    int rc = reserve(set);
    char *copy = rc ? NULL : malloc(name.size + 1);
    if (rc || !copy)
        return rc ? rc : status_no_memory(name.size + 1);
    memcpy(copy, name.data, name.size);
    copy[name.size] = '\0';
    memmove(set->at + at + 1, set->at + at, (set->count - at) * sizeof *set->at);
    set->at[at] = (struct snapshot_record){.id = id,
                                           .sequence = sequence,
                                           .created_us = created_us,
                                           .name = copy,
                                           .name_hash = hash64(name.data, name.size)};
    set->count++;
    if (set->next_id <= id)
        set->next_id = id + 1;
    assert(at == 0 || set->at[at - 1].id < id);
    assert(at + 1 == set->count || set->at[at + 1].id > id);
    return LSM_OK;
}

bool snapshot_set_identify(struct snapshot_set *set, uint64_t id,
                           const uint8_t identity[LSM_SNAPSHOT_IDENTITY])
{
    size_t at = find_id(set, id);
    if (at == set->count || set->at[at].id != id)
        return false;
    memcpy(set->at[at].identity, identity, LSM_SNAPSHOT_IDENTITY);
    return true;
}

bool snapshot_set_remove(struct snapshot_set *set, uint64_t id)
{
    size_t at = find_id(set, id);
    if (at == set->count || set->at[at].id != id)
        return false;
    free(set->at[at].name);
    set->count--;
    memmove(set->at + at, set->at + at + 1, (set->count - at) * sizeof *set->at);
    return true;
}

const struct snapshot_record *snapshot_set_find(const struct snapshot_set *set, struct slice name)
{
    uint64_t hash = hash64(name.data, name.size);
    for (size_t i = 0; i < set->count; i++)
        if (set->at[i].name_hash == hash && slice_equal(slice_str(set->at[i].name), name))
            return &set->at[i];
    return NULL;
}

uint64_t snapshot_set_oldest(const struct snapshot_set *set, uint64_t none)
{
    uint64_t oldest = none;
    for (size_t i = 0; i < set->count; i++)
        if (i == 0 || set->at[i].sequence < oldest)
            oldest = set->at[i].sequence;
    return oldest;
}

int snapshot_set_sequences(const struct snapshot_set *set, uint64_t **ret_sequences)
{
    uint64_t *sequences = malloc((set->count + 1) * sizeof *sequences);
    if (!sequences)
        return status_no_memory((set->count + 1) * sizeof *sequences);
    for (size_t i = 0; i < set->count; i++)
        sequences[i] = set->at[i].sequence;
    numbers_sort(sequences, set->count);
    *ret_sequences = sequences;
    return LSM_OK;
}

// Records are not added one by one, because each addition looks through all names.
int snapshot_set_copy(const struct snapshot_set *set, struct snapshot_set *ret_copy)
{
    struct snapshot_set copy = {.next_id = set->next_id, .capacity = set->count};
    copy.at = set->count ? calloc(set->count, sizeof *copy.at) : NULL;
    if (set->count && !copy.at)
        return status_no_memory(set->count * sizeof *copy.at);
    for (; copy.count < set->count; copy.count++) {
        struct snapshot_record *r = &copy.at[copy.count];
        *r = set->at[copy.count];
        r->name = strdup(r->name);
        if (!r->name) {
            snapshot_set_release(&copy);
            return status_no_memory(LSM_SNAPSHOT_NAME_MAX + 1);
        }
    }
    *ret_copy = copy;
    return LSM_OK;
}
