// Copies of parts of a store's files in a directory on the local disk: bounded, checksummed, found
// again by the next process. For files that do not change, named by what tells them from all
// others; their blocks have CACHE_BLOCK bytes (cache_format.h), the last one of a file fewer.
//
// Nothing here can make a read wrong or fail: what is damaged, cannot be read, or was removed by
// somebody, is not there. The first local failure is logged. One of writing, other than a full
// disk, ends the filling of the cache; a full disk makes it smaller. Both until it is opened again.
//
// Thread-safe. Memory: some 150 bytes for each local file, at most one for each block of the limit.
#ifndef LSM_ENV_CACHE_DISK_CACHE_H
#define LSM_ENV_CACHE_DISK_CACHE_H

#include <sys/uio.h>

#include "env/env.h"
#include "env/logger.h"

#define DISK_CACHE_LEAST (UINT64_C(1) << 20) // bytes; db_options.c refuses a smaller limit

struct disk_cache;

struct cached_id { // a file, as env_stat tells it from all others
    uint64_t store, file;
};

struct disk_cache_stats {
    uint64_t hits, misses;           // blocks asked for
    uint64_t hit_bytes, miss_bytes;  // of what was asked for
    uint64_t written, evicted;       // bytes
    uint64_t evictions, damaged;     // local files that went for lack of room, and for damage
    uint64_t bytes, capacity, files; // now
};

// Where bytes that were read go: into pieces of memory, one after another.
struct spread {
    const struct iovec *pieces;
    int count;
    size_t skip; // of the first piece
};
void spread_put(struct spread *to, const uint8_t *data, size_t size);

// In directory `path` of `local` (made if it is absent, but not its parent), up to `size` bytes.
// What is there already counts, other stores' copies too. LSM_BUSY if another process has it.
// `note` says for what the directory is used, for whoever meets its lock.
int disk_cache_open(struct env *local, const char *path, uint64_t size, const char *note,
                    struct logger logger, struct disk_cache **ret_cache);
void disk_cache_close(struct disk_cache *cache); // NULL is allowed

// Bytes [offset, offset + size) of a block into `to`, false (and nothing) if they are not there.
bool disk_cache_read(struct disk_cache *cache, struct cached_id id, uint64_t block, size_t offset,
                     size_t size, struct spread *to);
// Whether the block, or a part of it, may be there.
bool disk_cache_has(struct disk_cache *cache, struct cached_id id, uint64_t block);
// Keeps a copy of a block: all of it, as it is in the file for ever.
void disk_cache_write(struct disk_cache *cache, struct cached_id id, uint64_t block,
                      const uint8_t *data, size_t size);
// Drops all of a file that had `size` bytes at most. `durably`: it does not come back after a power
// cut.
void disk_cache_drop(struct disk_cache *cache, struct cached_id id, uint64_t size, bool durably);
// Drops what belongs to files of the store that are not among these; `files` in ascending order.
void disk_cache_keep(struct disk_cache *cache, uint64_t store, const uint64_t *files, size_t count);

void disk_cache_stats(struct disk_cache *cache, struct disk_cache_stats *ret_stats);

#endif
