// The names of a store's files: one place that makes and reads them.
#ifndef LSM_VERSION_STORE_FILES_H
#define LSM_VERSION_STORE_FILES_H

#include <stddef.h>
#include <stdint.h>

enum store_file {
    STORE_TABLE,      // <number>.sst
    STORE_LOG,        // <number>.log
    STORE_BLOB,       // <number>.blob
    STORE_MANIFEST,   // MANIFEST-<number>
    STORE_CURRENT,    // CURRENT
    STORE_LOCK,       // LOCK
    STORE_UNFINISHED, // UNFINISHED: being filled by a copy, or emptied
    STORE_FOLLOWERS,  // FOLLOWERS: locked, shared, by those that follow the store
    STORE_CONTROL,    // control: the socket of who has the store open; without them, worthless
    STORE_TEMP,       // <anything>.tmp: worthless after a crash
    STORE_RECYCLED,   // <number>.old: a log kept for its disk space
    STORE_UNKNOWN     // no name of a store's file
};

#define STORE_NAME_MAX 32

// The name of a file of a kind other than STORE_UNKNOWN; numbers have at least 6 digits and are
// ignored by names without one.
void store_file_name(char name[STORE_NAME_MAX], enum store_file kind, uint64_t number);

// What a file of this name is. *ret_number gets its number, 0 if the name has none. Only names that
// store_file_name() makes are recognised (and all that end in ".tmp").
enum store_file store_file_parse(const char *name, uint64_t *ret_number);

#endif
