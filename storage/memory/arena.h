// A bump allocator for a memtable's nodes: allocate from many threads, free all at once.
//
// Memory comes in chunks, from a pool of those that earlier arenas gave back, else from the system.
// arena_alloc() is thread-safe and lock-free except when a new chunk is needed. Nothing is returned
// before arena_release().
#ifndef LSM_MEMORY_ARENA_H
#define LSM_MEMORY_ARENA_H

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/lock_check.h"

struct arena_chunk;

extern struct lock_role arena_pool_mutex, arena_grow_mutex; // both leaves

// Chunks that earlier arenas gave back, kept for later arenas of the same chunk size, so that
// writers need not wait for the system to zero memory. All of its functions but init and free may
// be called from any thread.
struct arena_pool {
    pthread_mutex_t lock; // arena_pool_mutex
    struct arena_chunk *chunks GUARDED_BY(arena_pool_mutex);
    // Size of the chunks that are kept; if none is kept, of the next one that is given back.
    size_t chunk_size GUARDED_BY(arena_pool_mutex);
    size_t bytes GUARDED_BY(arena_pool_mutex);
    size_t limit; // of `bytes`; constant
};

void arena_pool_init(struct arena_pool *pool, size_t limit);
// Gives all back to the system.
void arena_pool_trim(struct arena_pool *pool);
// After the last arena that uses it was released.
void arena_pool_free(struct arena_pool *pool);

struct arena {
    _Atomic(struct arena_chunk *) current; // chunk that allocations come from; release/acquire
    _Atomic size_t allocated_bytes;        // bytes of all chunks; relaxed
    size_t chunk_size;
    struct arena_pool *pool;   // borrowed; or NULL
    pthread_mutex_t grow_lock; // arena_grow_mutex: held while a chunk is added
    // Chunks set aside by arena_reserve().
    struct arena_chunk *spare GUARDED_BY(arena_grow_mutex);
};

// `chunk_size` bytes a chunk; larger requests get a chunk of their own. `pool` may be NULL.
// 0 or LSM_NO_MEMORY.
int arena_init(struct arena *arena, size_t chunk_size, struct arena_pool *pool);
void arena_release(struct arena *arena);

// `size` bytes aligned to 8, or NULL. Uninitialised.
void *arena_alloc(struct arena *arena, size_t size);

// Sets memory aside so that what is allocated next succeeds, if the caller is the only one who
// allocates: requests of at most arena_chunk_share() each and `size` bytes in all, alignment
// included. 0 or LSM_NO_MEMORY.
int arena_reserve(struct arena *arena, size_t size);
// The same for one request above arena_chunk_share(), of `size` bytes or up to a page less.
int arena_reserve_large(struct arena *arena, size_t size);
// Larger requests get a chunk of their own.
static inline size_t arena_chunk_share(const struct arena *arena)
{
    return arena->chunk_size / 4;
}

// Bytes of its chunks so far, without those set aside.
size_t arena_bytes(const struct arena *arena);

#endif
