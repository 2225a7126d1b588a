// The named snapshots of a store, as the manifest keeps them: a name for a sequence number.
//
// A set has no lock of its own: whoever shares it guards it.
#ifndef LSM_VERSION_SNAPSHOT_SET_H
#define LSM_VERSION_SNAPSHOT_SET_H

#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"
#include "lsm.h"

struct snapshot_record {
    uint64_t id;         // from 1 on, in the order of creation; never used again
    uint64_t sequence;   // the snapshot sees what was written up to this sequence number
    uint64_t created_us; // since 1970, UTC
    char *name;          // owned; see snapshot_name_legal
    uint64_t name_hash;
    uint8_t identity[LSM_SNAPSHOT_IDENTITY]; // of what it shows; zero: of an older program
};

struct snapshot_set {
    struct snapshot_record *at; // ascending by id
    size_t count, capacity;
    uint64_t next_id; // 0 counts as 1
};

// Whether a snapshot may be called this: 1 to LSM_SNAPSHOT_NAME_MAX bytes, no '/', no control
// characters, neither "." nor "..".
bool snapshot_name_legal(struct slice name);

void snapshot_set_release(struct snapshot_set *set); // leaves an empty one

// Adds a copy of the record and its name, and raises next_id above its id. LSM_CORRUPTION if id,
// sequence or name are impossible; LSM_EXISTS if the id or the name is taken; LSM_NO_MEMORY.
int snapshot_set_add(struct snapshot_set *set, uint64_t id, uint64_t sequence, uint64_t created_us,
                     struct slice name);
// Sets a record's identity; false: no record has that id.
bool snapshot_set_identify(struct snapshot_set *set, uint64_t id,
                           const uint8_t identity[LSM_SNAPSHOT_IDENTITY]);
bool snapshot_set_remove(struct snapshot_set *set, uint64_t id); // false: there is none

// NULL if there is none. Valid until the set is changed.
const struct snapshot_record *snapshot_set_find(const struct snapshot_set *set, struct slice name);

// The sequence of the oldest, or `none` if the set is empty.
uint64_t snapshot_set_oldest(const struct snapshot_set *set, uint64_t none);

// All sequences, ascending; the array is the caller's. LSM_NO_MEMORY.
int snapshot_set_sequences(const struct snapshot_set *set, uint64_t **ret_sequences);

// `ret_copy` becomes a copy. LSM_NO_MEMORY.
int snapshot_set_copy(const struct snapshot_set *set, struct snapshot_set *ret_copy);

#endif
