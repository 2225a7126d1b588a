// A memtable: the newest entries, in memory, in a lock-free skip list.
//
// Any number of threads may add and read at once. A reader that holds an epoch pin, or a reference,
// sees every entry whose add finished before it looked. Entries are never changed or removed; the
// whole memtable is freed at once when its last reference goes.
#ifndef LSM_MEMTABLE_MEMTABLE_H
#define LSM_MEMTABLE_MEMTABLE_H

#include "entry/iter.h"
#include "lsm.h"

struct memtable;
struct arena_pool;

// One reference, the caller's. `size_hint`: bytes it is expected to hold (write_buffer_size).
// `pool`, or NULL, must outlive it.
int memtable_new(size_t size_hint, struct arena_pool *pool, struct memtable **ret_memtable);
void memtable_ref(struct memtable *mt);
void memtable_unref(struct memtable *mt); // at zero, freed through epoch_retire

// Where the last insert was; makes runs of ascending keys cheap. One per writing thread, zeroed for
// each memtable.
#define MEMTABLE_MAX_HEIGHT 16
struct memtable_hint {
    void *prev[MEMTABLE_MAX_HEIGHT];
    void *next[MEMTABLE_MAX_HEIGHT];
    int height;
};

// Ties something to the memtable's life: `release(owner)` is called when it is freed, from an epoch
// callback. At most once, before the memtable is shared. memtable_owner() is NULL if there is none.
void memtable_set_owner(struct memtable *mt, void *owner, void (*release)(void *owner));
void *memtable_owner(const struct memtable *mt);

// Copies key and value into the arena. `hint` may be NULL. 0 or LSM_NO_MEMORY (nothing added).
// (key, tag) must be unique.
int memtable_add(struct memtable *mt, struct slice key, uint64_t tag, struct slice value,
                 struct memtable_hint *hint);

// Sets memory aside so that adding so many entries with so many bytes of keys and values cannot
// fail, if nobody else adds meanwhile. For each entry that memtable_is_large(),
// memtable_reserve_large() says how many of its bytes count there. 0 or LSM_NO_MEMORY.
int memtable_reserve(struct memtable *mt, size_t count, size_t bytes);
int memtable_reserve_large(struct memtable *mt, size_t bytes, size_t *ret_counted);
bool memtable_is_large(const struct memtable *mt, size_t bytes);

// The newest version of `key` with sequence <= `sequence`: true if there is one (a delete too).
// The value points into the arena: valid while pinned or referenced.
bool memtable_get(struct memtable *mt, struct slice key, uint64_t sequence, uint64_t *ret_tag,
                  struct slice *ret_value);

// Bytes of the arena; entries; of these, deletes.
size_t memtable_bytes(const struct memtable *mt);
uint64_t memtable_entries(const struct memtable *mt);
uint64_t memtable_deletes(const struct memtable *mt);
// Bytes, of what memtable_bytes() counts, of entries that a newer version was put on top of.
uint64_t memtable_superseded(const struct memtable *mt);

// An iterator; holds a reference until freed. Sees entries added after it was made.
int memtable_iter_new(struct memtable *mt, struct iter **ret_iter);

#endif
