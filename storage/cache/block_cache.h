// A sharded cache of decompressed blocks, bounded by bytes.
//
// LRU with lazy promotion: a hit sets a mark and takes no lock; eviction, under the shard's lock,
// gives marked entries another round. Lookups walk hash chains under an epoch pin; evicted entries
// are retired through the epoch, so what a pinned reader found stays valid until it unpins. A
// reader that keeps a block longer takes a reference.
#ifndef LSM_CACHE_BLOCK_CACHE_H
#define LSM_CACHE_BLOCK_CACHE_H

#include "base/slice.h"

struct block_cache;

struct cached_block; // opaque; data and size through the accessor

// `capacity` bytes in all (entries' own overhead counts); 0: nothing is kept.
int block_cache_new(size_t capacity, struct block_cache **ret_cache);
void block_cache_free(struct block_cache *cache); // no reader may be left

// The caller must be pinned. NULL if absent.
struct cached_block *block_cache_lookup(struct block_cache *cache, uint64_t file, uint64_t offset);

// A block of the caller's own, with room for `size` bytes, that nobody else can see; NULL if out of
// memory. To be inserted or, after a failure, discarded.
struct cached_block *cached_block_new(struct block_cache *cache, size_t size);
uint8_t *cached_block_room(struct cached_block *block);
void cached_block_discard(struct cached_block *block); // NULL is allowed

// Takes over `block`, whose room begins with `size` bytes of data. If the block is there already
// (another thread was faster), discards `block` and returns the one that is there. The caller must
// be pinned. With capacity 0, or when the block alone exceeds a shard, or if `keep` is false, the
// entry is valid while pinned or referenced but is not found by later lookups.
struct cached_block *block_cache_insert(struct block_cache *cache, uint64_t file, uint64_t offset,
                                        struct cached_block *block, size_t size, bool keep);

// Whether a block of `size` bytes that was looked up and missed is worth keeping: there is room, or
// it was missed before, not long ago. So a full cache makes room only for blocks that come again,
// and a block that is read once costs no insertion (the doorkeeper of TinyLFU: Einziger, Friedman,
// Manes 2017). Remembers the miss. The answer is a guess, since no lock is taken.
bool block_cache_admits(struct block_cache *cache, uint64_t file, uint64_t offset, size_t size);

// Whether a block of `size` bytes could be kept without pushing another one out. The answer is a
// guess, since no lock is taken.
bool block_cache_has_room(const struct block_cache *cache, uint64_t file, uint64_t offset,
                          size_t size);

struct slice cached_block_data(const struct cached_block *block);
void cached_block_ref(struct cached_block *block); // while pinned or referenced
void cached_block_unref(struct cached_block *block);

// Forgets all blocks of a deleted file. To be called for every deleted table: in a very large cache
// it does nothing and lets the blocks age out, which is safe because file numbers are never reused.
void block_cache_forget_file(struct block_cache *cache, uint64_t file);

struct block_cache_stats {
    uint64_t hits, misses, inserts, evictions;
    size_t bytes, capacity;
};
void block_cache_stats(const struct block_cache *cache, struct block_cache_stats *ret_stats);

#endif
