// The block cache: one hash table of chains, divided into shards that evict on their own.
//
// Layout. `buckets` is one array; a shard is a contiguous part of it with a lock, a byte budget and
// a list of its blocks, the oldest at the tail. A lookup touches the bucket and the blocks of its
// chain, nothing else that is written. Most that find nothing touch neither, but a 16-bit Bloom
// filter of the chain: all of these together stay in the processor's cache, buckets and blocks do
// not.
//
// Replacement. A hit sets the block's mark, if it is not set yet. To make room, the tail of the
// list is looked at: a marked block loses the mark and goes to the head, an unmarked one is
// evicted. So the lock is taken for misses only. A test sees to it that the hit rate is not below
// that of an exact LRU. After CHANCES_MAX marked blocks the next one goes whatever its mark, which
// bounds the time under the lock.
//
// Admission. A full cache takes only blocks that were missed before: `missed` remembers 16 bits of
// each missed block's hash (block_cache_admits). So a block that is read once pushes nothing out.
//
// Lifetime. A block has one reference for being in the cache. It is unlinked first, then retired;
// when all readers that could have found it have unpinned, that reference is dropped. Whoever took
// one of his own while pinned drops the last. A block does not point to its cache, so references
// may outlive it.
//
// Thread safety. Chains are changed under the shard's lock by release stores and walked with
// acquire loads under a pin; an unlinked block keeps its link, so that a reader standing on it
// finds the rest of the chain. Shard locks are taken one at a time, and nothing is freed or retired
// under them.
//
// Invariant: a shard's bytes never exceed its capacity. Failure: what cannot be kept for lack of
// memory is NULL for the caller to report; the cache is unchanged but for evictions.
#include "cache/block_cache.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/lock_check.h"
#include "base/status.h"
#include "memory/slab.h"
#include "memtable/epoch.h"

#define SHARD_BYTES_MIN  ((size_t)4 << 20) // smaller ones divide unevenly and hit less
#define SHARDS_MAX       64
#define BLOCK_BYTES      4096              // a typical block: sizes the hash table
#define HUGE_PAGES_FROM  ((size_t)8 << 20) // capacity; below, memory is worth more than speed
#define CHANCES_MAX      256               // marked blocks passed over in one eviction
#define FORGET_MAX       ((size_t)1 << 20) // buckets; above, a deleted file's blocks age out
#define FORGET_PIN       1024              // buckets looked at under one pin
#define COUNTER_STRIPES  16
#define MISSES_PER_BLOCK 2 // remembered, for each block that the cache has room for

extern struct lock_role cache_shard; // the lock of a shard; a leaf, taken one at a time

// Header and data in one piece, so that a hit touches few lines and pages.
struct cached_block {
    _Atomic(struct cached_block *) chain; // written under the lock, release; read with acquire
    uint64_t file;
    uint64_t offset;
    uint32_t size;         // of the data
    uint32_t room;         // bytes allocated for it
    _Atomic uint32_t refs; // acq_rel at zero
    _Atomic bool mark;     // used since it was last looked at; relaxed
    union {
        struct { // in the shard's list; `older` also of blocks that one thread has unlinked
            struct cached_block *newer GUARDED_BY(cache_shard);
            struct cached_block *older GUARDED_BY(cache_shard);
        };
        struct epoch_node retired; // once unlinked
    };
    uint8_t data[];
};

// What a block takes of the capacity.
static size_t charge_of(const struct cached_block *block)
{
    return slab_block_size(sizeof(*block) + block->room);
}

struct shard {
    pthread_mutex_t lock;
    size_t capacity;                                     // constant
    struct cached_block *newest GUARDED_BY(cache_shard); // the lock
    struct cached_block *oldest GUARDED_BY(cache_shard);
    // Written under the lock, read by stats without it; relaxed.
    _Atomic size_t bytes;
    _Atomic uint64_t inserts, evictions;
} __attribute__((aligned(64)));

LOCK_FUNCTIONS(shard, struct shard, lock, cache_shard)

// Lookups count on one of several lines, by thread. Relaxed.
struct cache_counters {
    _Atomic uint64_t hits, misses;
} __attribute__((aligned(64)));

struct block_cache {
    // Constant after block_cache_new().
    size_t bucket_mask;
    unsigned shard_shift; // bucket index >> this: its shard
    unsigned shard_count;
    size_t capacity;
    struct slab *slab; // of the blocks
    _Atomic(struct cached_block *) *buckets;
    _Atomic uint16_t *filters; // of the buckets; written under the shard's lock; relaxed
    struct shard *shards;
    // Blocks missed lately: at the place that their hash picks, other bits of it. Relaxed, and lost
    // when another takes the place.
    _Atomic uint16_t *missed;
    size_t missed_mask;
    struct cache_counters counters[COUNTER_STRIPES];
};

static size_t hash_of(uint64_t file, uint64_t offset)
{
    uint64_t h = file * UINT64_C(0x9E3779B97F4A7C15) + offset;

    // The finalizer of MurmurHash3: every bit of the input reaches every bit of the index.
    h ^= h >> 33;
    h *= UINT64_C(0xFF51AFD7ED558CCD);
    h ^= h >> 33;
    h *= UINT64_C(0xC4CEB9FE1A85EC53);
    h ^= h >> 33;
    return (size_t)h;
}

static struct cache_counters *my_counters(struct block_cache *cache)
{
    static _Atomic unsigned threads;
    static __thread unsigned number; // from 1 on

    if (!number)
        number = 1 + atomic_fetch_add_explicit(&threads, 1, memory_order_relaxed);
    return &cache->counters[number % COUNTER_STRIPES];
}

// ------------------------------------------------------------------------------------------- life

static size_t power_of_two_from(size_t n)
{
    size_t p = 1;

    while (p < n)
        p <<= 1;
    return p;
}

int block_cache_new(size_t capacity, struct block_cache **ret_cache)
{
    size_t shards = 1;
    while (shards < SHARDS_MAX && capacity / (shards * 2) >= SHARD_BYTES_MIN)
        shards *= 2;
    size_t buckets = power_of_two_from(2 * capacity / BLOCK_BYTES);
    if (buckets < shards)
        buckets = shards;

    struct block_cache *cache = aligned_alloc(_Alignof(struct block_cache), sizeof(*cache));
    if (!cache)
        return status_no_memory(sizeof(*cache));
    memset(cache, 0, sizeof(*cache));
    size_t missed = power_of_two_from(MISSES_PER_BLOCK * capacity / BLOCK_BYTES);
    cache->buckets = calloc(buckets, sizeof(*cache->buckets));
    cache->filters = calloc(buckets, sizeof(*cache->filters));
    cache->missed = calloc(missed, sizeof(*cache->missed));
    cache->missed_mask = missed - 1;
    cache->shards = aligned_alloc(_Alignof(struct shard), shards * sizeof(struct shard));
    int rc = cache->buckets && cache->filters && cache->missed && cache->shards
                 ? slab_new(capacity >= HUGE_PAGES_FROM, &cache->slab)
                 : status_no_memory(buckets * sizeof(*cache->buckets));
    if (rc) {
        free(cache->buckets);
        free(cache->filters);
        free(cache->missed);
        free(cache->shards);
        free(cache);
        return rc;
    }
    memset(cache->shards, 0, shards * sizeof(struct shard));
    cache->bucket_mask = buckets - 1;
    cache->shard_shift = (unsigned)__builtin_ctzll(buckets / shards);
    cache->shard_count = (unsigned)shards;
    cache->capacity = capacity;
    for (size_t i = 0; i < shards; i++) {
        pthread_mutex_init(&cache->shards[i].lock, NULL);
        cache->shards[i].capacity = capacity / shards;
    }
    *ret_cache = cache;
    return 0;
}

// Nobody else has the cache any more.
void block_cache_free(struct block_cache *cache) NOT_CHECKED
{
    if (!cache)
        return;
    for (unsigned i = 0; i < cache->shard_count; i++) {
        struct cached_block *block = cache->shards[i].newest;
        while (block) {
            struct cached_block *older = block->older;
            cached_block_unref(block);
            block = older;
        }
        pthread_mutex_destroy(&cache->shards[i].lock);
    }
    free(cache->shards);
    free(cache->buckets);
    free(cache->filters);
    free(cache->missed);
    slab_free(cache->slab);
    free(cache);
}

struct cached_block *cached_block_new(struct block_cache *cache, size_t size)
{
    struct cached_block *block = NULL;

    if (size <= UINT32_MAX)
        block = slab_alloc(cache->slab, sizeof(*block) + size);
    if (!block)
        return NULL;
    atomic_init(&block->chain, NULL);
    block->size = 0;
    block->room = (uint32_t)size;
    atomic_init(&block->refs, 1);
    atomic_init(&block->mark, false);
    return block;
}

uint8_t *cached_block_room(struct cached_block *block)
{
    return block->data;
}

void cached_block_discard(struct cached_block *block)
{
    if (block)
        slab_dealloc(block, sizeof(*block) + block->room);
}

struct slice cached_block_data(const struct cached_block *block)
{
    return slice_of(block->data, block->size);
}

void cached_block_ref(struct cached_block *block)
{
    uint32_t before = atomic_fetch_add_explicit(&block->refs, 1, memory_order_relaxed);
    assert(before > 0);
    (void)before;
}

void cached_block_unref(struct cached_block *block)
{
    uint32_t before = atomic_fetch_sub_explicit(&block->refs, 1, memory_order_acq_rel);
    assert(before > 0);
    if (before != 1)
        return;
    cached_block_discard(block);
}

static void drop_cache_reference(struct epoch_node *node)
{
    cached_block_unref(
        (struct cached_block *)(void *)((char *)node - offsetof(struct cached_block, retired)));
}

// ------------------------------------------------------------------------------------- hash table

// The block in `bucket`, or NULL. Pinned, or under the shard's lock.
static struct cached_block *find(_Atomic(struct cached_block *) *bucket, uint64_t file,
                                 uint64_t offset)
{
    struct cached_block *block = atomic_load_explicit(bucket, memory_order_acquire);

    while (block && (block->offset != offset || block->file != file))
        block = atomic_load_explicit(&block->chain, memory_order_acquire);
    return block;
}

// A block's bit in its bucket's filter.
static uint16_t filter_bit(size_t hash)
{
    return (uint16_t)(1u << (hash >> 60));
}

// Sets the mark; a line that all readers share is written once for each round of the evictor.
static void mark_used(struct cached_block *block)
{
    if (!atomic_load_explicit(&block->mark, memory_order_relaxed))
        atomic_store_explicit(&block->mark, true, memory_order_relaxed);
}

struct cached_block *block_cache_lookup(struct block_cache *cache, uint64_t file, uint64_t offset)
{
    assert(epoch_is_pinned());
    struct cache_counters *counters = my_counters(cache);
    size_t hash = hash_of(file, offset), bucket = hash & cache->bucket_mask;
    struct cached_block *block = NULL;

    if (atomic_load_explicit(&cache->filters[bucket], memory_order_relaxed) & filter_bit(hash))
        block = find(&cache->buckets[bucket], file, offset);
    if (!block) {
        atomic_fetch_add_explicit(&counters->misses, 1, memory_order_relaxed);
        return NULL;
    }
    mark_used(block);
    atomic_fetch_add_explicit(&counters->hits, 1, memory_order_relaxed);
    return block;
}

static void list_remove(struct shard *shard, struct cached_block *block) REQUIRES(cache_shard)
{
    *(block->newer ? &block->newer->older : &shard->newest) = block->older;
    *(block->older ? &block->older->newer : &shard->oldest) = block->newer;
}

static void list_push(struct shard *shard, struct cached_block *block) REQUIRES(cache_shard)
{
    block->newer = NULL;
    block->older = shard->newest;
    *(shard->newest ? &shard->newest->newer : &shard->oldest) = block;
    shard->newest = block;
}

static void add_bytes(struct shard *shard, size_t bytes) REQUIRES(cache_shard)
{
    size_t sum = atomic_load_explicit(&shard->bytes, memory_order_relaxed) + bytes;
    assert(sum <= shard->capacity);
    atomic_store_explicit(&shard->bytes, sum, memory_order_relaxed);
}

static void count(_Atomic uint64_t *counter) REQUIRES(cache_shard)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + 1,
                          memory_order_relaxed);
}

static void filter_remake(struct block_cache *cache, size_t bucket) REQUIRES(cache_shard)
{
    unsigned bits = 0;
    const struct cached_block *block =
        atomic_load_explicit(&cache->buckets[bucket], memory_order_relaxed);
    for (; block; block = atomic_load_explicit(&block->chain, memory_order_relaxed))
        bits |= filter_bit(hash_of(block->file, block->offset));
    atomic_store_explicit(&cache->filters[bucket], (uint16_t)bits, memory_order_relaxed);
}

// Takes the block out of table and list and puts it in front of *out, linked by `older`.
static void unlink_block(struct block_cache *cache, struct shard *shard, struct cached_block *block,
                         struct cached_block **out) REQUIRES(cache_shard)
{
    size_t bucket = hash_of(block->file, block->offset) & cache->bucket_mask;
    _Atomic(struct cached_block *) *link = &cache->buckets[bucket];
    struct cached_block *at;

    while ((at = atomic_load_explicit(link, memory_order_relaxed)) != block)
        link = &at->chain;
    atomic_store_explicit(link, atomic_load_explicit(&block->chain, memory_order_relaxed),
                          memory_order_release);
    filter_remake(cache, bucket);
    list_remove(shard, block);
    add_bytes(shard, 0 - charge_of(block));
    block->older = *out;
    *out = block;
}

// Makes room for `charge` bytes (at most the shard's capacity).
static void evict(struct block_cache *cache, struct shard *shard, size_t charge,
                  struct cached_block **out) REQUIRES(cache_shard)
{
    unsigned chances = 0;
    assert(charge <= shard->capacity);

    while (atomic_load_explicit(&shard->bytes, memory_order_relaxed) > shard->capacity - charge) {
        struct cached_block *block = shard->oldest;
        assert(block); // bytes are those of the blocks of the list
        if (chances < CHANCES_MAX && atomic_load_explicit(&block->mark, memory_order_relaxed)) {
            atomic_store_explicit(&block->mark, false, memory_order_relaxed);
            list_remove(shard, block);
            list_push(shard, block);
            chances++;
            continue;
        }
        unlink_block(cache, shard, block, out);
        count(&shard->evictions);
    }
    // The next to go: the lines that its unlinking will touch.
    if (*out && shard->oldest) {
        const struct cached_block *next = shard->oldest;
        __builtin_prefetch(next->newer, 1);
        __builtin_prefetch(&cache->buckets[hash_of(next->file, next->offset) & cache->bucket_mask]);
    }
}

// -------------------------------------------------------------------------------------------------

// The blocks were unlinked by the calling thread, so nobody else has their list, and no lock is
// held.
static void retire_all(struct cached_block *block) NOT_CHECKED
{
    while (block) {
        struct cached_block *older = block->older; // shares its place with `retired`
        epoch_retire(&block->retired, drop_cache_reference);
        block = older;
    }
}

static struct shard *shard_of(struct block_cache *cache, size_t bucket)
{
    return &cache->shards[bucket >> cache->shard_shift];
}

struct cached_block *block_cache_insert(struct block_cache *cache, uint64_t file, uint64_t offset,
                                        struct cached_block *block, size_t size, bool keep)
{
    assert(size <= block->room && epoch_is_pinned());
    block->file = file;
    block->offset = offset;
    block->size = (uint32_t)size;
    size_t hash = hash_of(file, offset), bucket = hash & cache->bucket_mask;
    struct shard *shard = shard_of(cache, bucket);
    size_t charge = charge_of(block);
    if (!keep || charge > shard->capacity) {
        epoch_retire(&block->retired, drop_cache_reference); // lives on while the caller is pinned
        return block;
    }

    struct cached_block *evicted = NULL;
    shard_lock(shard);
    struct cached_block *present = find(&cache->buckets[bucket], file, offset);
    if (!present) {
        evict(cache, shard, charge, &evicted);
        atomic_store_explicit(&block->chain,
                              atomic_load_explicit(&cache->buckets[bucket], memory_order_relaxed),
                              memory_order_relaxed);
        atomic_store_explicit(&cache->buckets[bucket], block, memory_order_release);
        atomic_fetch_or_explicit(&cache->filters[bucket], filter_bit(hash), memory_order_relaxed);
        list_push(shard, block);
        add_bytes(shard, charge);
        count(&shard->inserts);
    }
    shard_unlock(shard);

    retire_all(evicted);
    if (present) {
        cached_block_discard(block); // nobody else has seen it
        mark_used(present);
        return present;
    }
    return block;
}

bool block_cache_admits(struct block_cache *cache, uint64_t file, uint64_t offset, size_t size)
{
    if (block_cache_has_room(cache, file, offset, size))
        return true;
    size_t hash = hash_of(file, offset);
    uint16_t mark = (uint16_t)(hash >> 48 | 1); // 0: nothing
    _Atomic uint16_t *place = &cache->missed[hash & cache->missed_mask];
    bool again = atomic_load_explicit(place, memory_order_relaxed) == mark;
    atomic_store_explicit(place, again ? 0 : mark, memory_order_relaxed);
    return again;
}

bool block_cache_has_room(const struct block_cache *cache, uint64_t file, uint64_t offset,
                          size_t size)
{
    size_t bucket = hash_of(file, offset) & cache->bucket_mask;
    const struct shard *shard = &cache->shards[bucket >> cache->shard_shift];
    size_t charge = slab_block_size(sizeof(struct cached_block) + size);

    return atomic_load_explicit(&shard->bytes, memory_order_relaxed) + charge <= shard->capacity;
}

// Takes the file's blocks out of one bucket.
static void forget_in_bucket(struct block_cache *cache, size_t bucket, uint64_t file,
                             struct cached_block **out)
{
    struct shard *shard = shard_of(cache, bucket);

    shard_lock(shard);
    struct cached_block *block =
        atomic_load_explicit(&cache->buckets[bucket], memory_order_relaxed);
    while (block) {
        struct cached_block *next = atomic_load_explicit(&block->chain, memory_order_relaxed);
        if (block->file == file)
            unlink_block(cache, shard, block, out);
        block = next;
    }
    shard_unlock(shard);
}

// Looks through the table without locks, at about a nanosecond a bucket, and takes one only where
// there is a block of the file.
void block_cache_forget_file(struct block_cache *cache, uint64_t file)
{
    if (cache->bucket_mask >= FORGET_MAX)
        return;
    for (size_t start = 0; start <= cache->bucket_mask; start += FORGET_PIN) {
        struct cached_block *out = NULL;
        epoch_pin();
        for (size_t i = start; i < start + FORGET_PIN && i <= cache->bucket_mask; i++) {
            struct cached_block *block =
                atomic_load_explicit(&cache->buckets[i], memory_order_acquire);
            while (block && block->file != file)
                block = atomic_load_explicit(&block->chain, memory_order_acquire);
            if (block)
                forget_in_bucket(cache, i, file, &out);
        }
        epoch_unpin();
        retire_all(out);
    }
}

void block_cache_stats(const struct block_cache *cache, struct block_cache_stats *ret_stats)
{
    struct block_cache_stats stats = {.capacity = cache->capacity};

    for (unsigned i = 0; i < COUNTER_STRIPES; i++) {
        stats.hits += atomic_load_explicit(&cache->counters[i].hits, memory_order_relaxed);
        stats.misses += atomic_load_explicit(&cache->counters[i].misses, memory_order_relaxed);
    }
    for (unsigned i = 0; i < cache->shard_count; i++) {
        const struct shard *shard = &cache->shards[i];
        stats.inserts += atomic_load_explicit(&shard->inserts, memory_order_relaxed);
        stats.evictions += atomic_load_explicit(&shard->evictions, memory_order_relaxed);
        stats.bytes += atomic_load_explicit(&shard->bytes, memory_order_relaxed);
    }
    *ret_stats = stats;
}
