// A bump allocator for a memtable's nodes: allocate from many threads, free all at once.
//
// Memory comes in chunks from mmap/malloc. arena_alloc() is thread-safe and lock-free except when a
// new chunk is needed. Nothing is returned before arena_release().
#ifndef LSM_BASE_ARENA_H
#define LSM_BASE_ARENA_H

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

struct arena_chunk;

struct arena {
    _Atomic(struct arena_chunk *) current; // chunk that allocations come from; release/acquire
    _Atomic size_t allocated_bytes;        // bytes of all chunks; relaxed
    size_t chunk_size;
    pthread_mutex_t grow_lock; // held while a chunk is added
};

// `chunk_size` bytes a chunk; larger requests get a chunk of their own. 0 or LSM_NO_MEMORY.
int arena_init(struct arena *arena, size_t chunk_size);
void arena_release(struct arena *arena);

// `size` bytes aligned to 8, or NULL. Uninitialised.
void *arena_alloc(struct arena *arena, size_t size);

// Bytes taken from the system so far.
size_t arena_bytes(const struct arena *arena);

#endif
