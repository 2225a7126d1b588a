// The table cache: which tables are open, and closing the ones least in use.
//
// A table's file_meta points to its open reader. The cache is a clock (second chance) over the
// files that have a reader. `slots` has room for `capacity` files from the start, [0, count) are
// taken, and file->cache_slot is the file's index plus one. An opening that finds the clock full
// turns it: a file marked as used loses the mark and stays, the first without one is closed and its
// slot reused. A forgotten file's slot is filled with the last one.
//
// Invariants, under the mutex: file->reader is not NULL exactly if the file has a slot; the cache
// holds one reference of each reader; `memory` is the sum over the slots.
//
// Thread safety: a hit takes no lock. file->reader is stored with release under the mutex and
// loaded with acquire by pinned threads; a reader that was unlinked is retired through the epoch,
// so what a pinned thread loaded stays open until it unpins. Opening does its I/O outside of the
// mutex: two threads may open one table at once, the second to finish drops its own. A reader is
// never dropped under the mutex: that may run due frees, of file_metas too, which take it.
//
// Failure: nothing changes.
#include "version/table_cache.h"

#include <assert.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/lock_check.h"
#include "base/status.h"
#include "memtable/epoch.h"

struct slot {
    struct file_meta *file;
    size_t memory; // of its reader
};

struct table_cache {
    struct env *env;
    struct sst_read_options options;
    unsigned capacity;

    pthread_mutex_t mutex; // protects what follows
    unsigned count GUARDED_BY(table_cache_mutex);
    unsigned hand GUARDED_BY(table_cache_mutex); // where the clock stands
    size_t memory GUARDED_BY(table_cache_mutex);
    struct slot *slots GUARDED_BY(table_cache_mutex);
};

LOCK_FUNCTIONS(cache, struct table_cache, mutex, table_cache_mutex)

// Nobody else has the cache yet.
int table_cache_new(struct env *env, unsigned capacity, const struct sst_read_options *options,
                    struct table_cache **ret_cache) NOT_CHECKED
{
    assert(capacity > 0);
    struct table_cache *cache = calloc(1, sizeof(*cache));
    if (!cache)
        return status_no_memory(sizeof(*cache));
    cache->slots = calloc(capacity, sizeof(*cache->slots));
    if (!cache->slots || pthread_mutex_init(&cache->mutex, NULL)) {
        free(cache->slots);
        free(cache);
        return status_no_memory(capacity * sizeof(*cache->slots));
    }
    cache->env = env;
    cache->options = *options;
    cache->capacity = capacity;
    *ret_cache = cache;
    return 0;
}

// Nobody else has the cache any more.
void table_cache_free(struct table_cache *cache) NOT_CHECKED
{
    if (!cache)
        return;
    assert(cache->count == 0);
    pthread_mutex_destroy(&cache->mutex);
    free(cache->slots);
    free(cache);
}

static void set_slot(struct table_cache *cache, unsigned index, struct slot slot)
    REQUIRES(table_cache_mutex)
{
    cache->slots[index] = slot;
    slot.file->cache_slot = (void *)(uintptr_t)(index + 1);
}

// Detaches the reader of the file in a slot, and returns it. The caller fills the slot and drops
// the reader.
static struct sst_reader *unlink_reader(struct table_cache *cache, unsigned index)
    REQUIRES(table_cache_mutex)
{
    struct file_meta *file = cache->slots[index].file;
    struct sst_reader *reader = atomic_load_explicit(&file->reader, memory_order_relaxed);
    assert(reader && file->cache_slot && cache->memory >= cache->slots[index].memory);
    atomic_store_explicit(&file->reader, NULL, memory_order_release);
    file->cache_slot = NULL;
    cache->memory -= cache->slots[index].memory;
    return reader;
}

// Turns the clock to a file that has not been used since the last turn. Ends within two rounds,
// unless readers mark files as fast as the hand moves: then the third visit takes any.
static unsigned find_victim(struct table_cache *cache) REQUIRES(table_cache_mutex)
{
    for (uint64_t steps = 0;; steps++) {
        unsigned index = cache->hand;
        cache->hand = (cache->hand + 1) % cache->count;
        struct file_meta *file = cache->slots[index].file;
        if (steps >= 2 * (uint64_t)cache->count ||
            !atomic_load_explicit(&file->used, memory_order_relaxed))
            return index;
        atomic_store_explicit(&file->used, 0, memory_order_relaxed);
    }
}

// Gives the file its reader, unless another thread has done so meanwhile. Returns the reader to
// use. *ret_drop: a reader to unref after the mutex is released, or NULL.
static struct sst_reader *install(struct table_cache *cache, struct file_meta *file,
                                  struct sst_reader *reader, struct sst_reader **ret_drop)
    REQUIRES(table_cache_mutex)
{
    struct sst_reader *there = atomic_load_explicit(&file->reader, memory_order_relaxed);
    if (there) {
        *ret_drop = reader;
        return there;
    }
    unsigned index = cache->count;
    *ret_drop = NULL;
    if (cache->count < cache->capacity) {
        cache->count++;
    } else {
        index = find_victim(cache);
        *ret_drop = unlink_reader(cache, index);
    }
    struct slot slot = {.file = file, .memory = sst_reader_memory(reader)};
    set_slot(cache, index, slot);
    cache->memory += slot.memory;
    atomic_store_explicit(&file->used, 1, memory_order_relaxed);
    atomic_store_explicit(&file->reader, reader, memory_order_release);
    return reader;
}

static int open_table(struct table_cache *cache, const struct file_meta *file,
                      struct sst_reader **ret_reader)
{
    char name[STORE_NAME_MAX], path[STATUS_DETAIL_MAX];
    store_file_name(name, STORE_TABLE, file->number);
    int rc = sst_open(cache->env, name, file->number, file->size, &cache->options, ret_reader);
    // A missing file must not look like a key that is not there.
    if (rc == LSM_NOT_FOUND) {
        env_full_name(cache->env, name, path, sizeof(path));
        return status_fail(LSM_CORRUPTION, "%s: the table is missing", path);
    }
    return rc;
}

static int get_slowly(struct table_cache *cache, struct file_meta *file,
                      struct sst_reader **ret_reader)
{
    struct sst_reader *reader, *drop;
    int rc = open_table(cache, file, &reader);
    if (rc)
        return rc;
    cache_lock(cache);
    *ret_reader = install(cache, file, reader, &drop);
    cache_unlock(cache);
    if (drop)
        sst_reader_retire(drop);
    return 0;
}

int table_cache_get(struct table_cache *cache, struct file_meta *file,
                    struct sst_reader **ret_reader)
{
    assert(epoch_is_pinned());
    struct sst_reader *reader = atomic_load_explicit(&file->reader, memory_order_acquire);
    if (!reader)
        return get_slowly(cache, file, ret_reader);
    // A store only when it changes something: the line stays shared between readers.
    if (!atomic_load_explicit(&file->used, memory_order_relaxed))
        atomic_store_explicit(&file->used, 1, memory_order_relaxed);
    *ret_reader = reader;
    return 0;
}

void table_cache_forget(struct table_cache *cache, struct file_meta *file)
{
    struct sst_reader *reader = NULL;
    cache_lock(cache);
    if (file->cache_slot) {
        unsigned index = (unsigned)((uintptr_t)file->cache_slot - 1);
        assert(index < cache->count && cache->slots[index].file == file);
        reader = unlink_reader(cache, index);
        cache->count--;
        if (index != cache->count)
            set_slot(cache, index, cache->slots[cache->count]);
        if (cache->hand >= cache->count)
            cache->hand = 0;
    }
    cache_unlock(cache);
    if (reader)
        sst_reader_retire(reader);
}

unsigned table_cache_open_tables(struct table_cache *cache)
{
    cache_lock(cache);
    unsigned count = cache->count;
    cache_unlock(cache);
    return count;
}

size_t table_cache_memory(struct table_cache *cache)
{
    cache_lock(cache);
    size_t memory = cache->memory;
    cache_unlock(cache);
    return memory;
}
