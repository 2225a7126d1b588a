// The file that describes one generation of a backup (docs/format.md, section 9).
#ifndef COMMANDS_BACKUP_FORMAT_H
#define COMMANDS_BACKUP_FORMAT_H

#include <stddef.h>
#include <stdint.h>

#include "base/hash.h"
#include "base/slice.h"

#define GENERATION_VERSION  1u
#define GENERATION_NAME_MAX 31u // bytes of a file's name

// A file of the store: its content is in the pool, or here.
struct generation_file {
    char name[GENERATION_NAME_MAX + 1];
    bool is_here;
    uint64_t size;              // of the content
    uint8_t hash[HASH128_SIZE]; // of what is in the pool
    struct slice content;       // of what is here; in the bytes that were decoded or added
};

struct generation {
    uint64_t number; // from 1 on
    uint64_t created_us;
    struct generation_file *files; // in the order in which a restored store gets them
    size_t count, capacity;
};

void generation_release(struct generation *generation);

// Puts a file behind the others. The content of one that is here has to stay. LSM_NO_MEMORY,
// LSM_INVALID for a name that cannot be.
int generation_add(struct generation *generation, const struct generation_file *file);

// Appends the bytes. LSM_NO_MEMORY.
int generation_encode(const struct generation *generation, struct buf *out);
// `data` has to stay while *ret_generation is used. LSM_CORRUPTION, LSM_NEWER_FORMAT,
// LSM_NO_MEMORY.
int generation_decode(struct slice data, struct generation *ret_generation);

// Whether a file of a store may be called this: letters, digits, '-' and '.', not first a '.'.
bool generation_name_legal(struct slice name);

#endif
