// A set of blob files with the bytes that somebody references of each: a table, a memtable, a batch
// on its way. Ordered by file number. Not synchronised.
#ifndef LSM_BLOB_REFS_H
#define LSM_BLOB_REFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct blob_file;

struct blob_ref {
    uint64_t number;
    uint64_t bytes;
    struct blob_file *file; // NULL, or a counted reference of the set's owner
};

// Zero-initialise.
struct blob_refs {
    struct blob_ref *refs;
    size_t count, capacity;
    size_t last; // where the last one was found: most look-ups are for the same file
};

// Adds `bytes` to what is referenced of file `number`. *ret_ref (may be NULL) gets the element,
// valid until the next call; its file is NULL if the set had none of that number. 0 or
// LSM_NO_MEMORY.
int blob_refs_add(struct blob_refs *set, uint64_t number, uint64_t bytes,
                  struct blob_ref **ret_ref);

void blob_refs_release(struct blob_refs *set); // references first, with blob_refs_unref()

#endif
