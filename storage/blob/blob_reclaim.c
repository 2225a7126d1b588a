// What is in use of each blob file, and which files to drain.
//
// A file's live bytes are those that tables of the current version reference plus those of
// memtables; a range that several values share counts for each. So the garbage of a file is never
// overestimated, and what is live in it, which is what draining copies, never underestimated.
//
// Draining goes in rounds. A round begins when the garbage of all files is more than the given
// share; the files with the largest share of garbage are marked, until they have ROUND_SHARE of all
// bytes as garbage, so that rewriting the tables that refer to them is worth it however many there
// are. Compactions then move the live parts elsewhere. The next round begins when no table refers
// to a marked file. Within a file less than half of the share is never worth it.
//
// Greedy choice among uniformly overwritten files: at 1.4 times the live data the fullest victims
// are under half live, so that at most one byte is copied for each that is written.
#include <assert.h>
#include <stdlib.h>

#include "blob/blob_internal.h"

#define ROUND_SHARE 64

static uint64_t file_live(const struct blob_file *file) REQUIRES(blob_mutex)
{
    int64_t live = atomic_load_explicit(&file->live, memory_order_relaxed) +
                   atomic_load_explicit(&file->mem, memory_order_relaxed);
    if (live < 0)
        live = 0;
    return (uint64_t)live < file->size ? (uint64_t)live : file->size;
}

// The file's header does not count as garbage: moving a small file's values to another file would
// leave a header there as well.
static uint64_t file_garbage(const struct blob_file *file) REQUIRES(blob_mutex)
{
    uint64_t kept = file_live(file) + BLOB_FILE_HEADER;
    return kept < file->size ? file->size - kept : 0;
}

bool blob_file_draining(const struct blob_file *file)
{
    return atomic_load_explicit(&file->draining, memory_order_relaxed);
}

void blob_file_set_damaged(struct blob_file *file)
{
    atomic_store_explicit(&file->damaged, true, memory_order_relaxed);
    atomic_store_explicit(&file->draining, false, memory_order_relaxed);
}

uint64_t blob_refs_draining(const struct blob_ref *refs, size_t count)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < count; i++)
        if (refs[i].file && blob_file_draining(refs[i].file))
            bytes += refs[i].bytes;
    return bytes;
}

void blob_file_add_live(struct blob_file *file, int64_t bytes)
{
    atomic_fetch_add_explicit(&file->live, bytes, memory_order_relaxed);
}

void blob_file_add_level0(struct blob_file *file, int64_t bytes)
{
    atomic_fetch_add_explicit(&file->level0, bytes, memory_order_relaxed);
}

void blob_file_add_mem(struct blob_file *file, int64_t bytes)
{
    atomic_fetch_add_explicit(&file->mem, bytes, memory_order_relaxed);
}

static void add_stats(const struct blob_file *file, struct blob_stats *stats) REQUIRES(blob_mutex)
{
    uint64_t live = file_live(file);
    int64_t tables = atomic_load_explicit(&file->live, memory_order_relaxed);
    int64_t mem = atomic_load_explicit(&file->mem, memory_order_relaxed);
    int64_t sorted = tables - atomic_load_explicit(&file->level0, memory_order_relaxed);
    stats->files++;
    stats->bytes += file->size;
    stats->live += live;
    stats->draining += blob_file_draining(file);
    if (live == 0)
        return;
    stats->in_use += file->size;
    stats->mem += mem > 0 ? (uint64_t)mem : 0;
    if (sorted < (int64_t)file->size)
        stats->unsettled += sorted < 0 ? file->size : file->size - (uint64_t)sorted;
    if (blob_file_draining(file) && tables <= 0)
        stats->waiting += file->size;
}

void blob_store_stats(struct blob_store *store, struct blob_stats *ret_stats)
{
    struct blob_stats stats = {0};
    store_lock(store);
    for (size_t i = 0; i < store->bucket_count; i++)
        for (struct blob_file *file = store->buckets[i]; file; file = file->next)
            add_stats(file, &stats);
    assert(stats.live <= stats.bytes);
    stats.garbage = stats.bytes - stats.live;
    stats.written = store->written[BLOB_WRITES];
    stats.moved = store->written[BLOB_MOVES];
    store_unlock(store);
    *ret_stats = stats;
}

uint64_t blob_store_bytes(struct blob_store *store)
{
    return atomic_load_explicit(&store->bytes, memory_order_relaxed);
}

struct drain_candidate {
    struct blob_file *file;
    uint64_t garbage;
    double share;
};

static int compare_candidates(const void *a, const void *b)
{
    const struct drain_candidate *x = a, *y = b;
    return x->share < y->share ? 1 : x->share > y->share ? -1 : 0;
}

static bool is_live_in_tables(const struct blob_file *file)
{
    return atomic_load_explicit(&file->live, memory_order_relaxed) > 0;
}

static bool is_worth_draining(const struct blob_store *store, const struct blob_file *file,
                              unsigned percent) REQUIRES(blob_mutex)
{
    if (file->size == 0 || file_garbage(file) * 200 < file->size * percent ||
        blob_file_draining(file) || atomic_load_explicit(&file->damaged, memory_order_relaxed))
        return false;
    return !file->current || (!file->writing && file->size >= store->file_size / 8);
}

// All files worth draining, the ones with the largest share of garbage first; the first *ret_first
// of them are for a round. The array is the caller's. NULL: no memory. Mutex held.
static struct drain_candidate *find_candidates(const struct blob_store *store, unsigned percent,
                                               uint64_t bytes, size_t *ret_count, size_t *ret_first)
    REQUIRES(blob_mutex)
{
    struct drain_candidate *found = calloc(store->file_count + 1, sizeof *found);
    size_t count = 0, first = 0;
    if (!found)
        return NULL;
    for (size_t i = 0; i < store->bucket_count; i++) {
        for (struct blob_file *file = store->buckets[i]; file; file = file->next) {
            if (!is_worth_draining(store, file, percent))
                continue;
            uint64_t garbage = file_garbage(file);
            assert(count < store->file_count);
            found[count++] =
                (struct drain_candidate){file, garbage, (double)garbage / (double)file->size};
        }
    }
    qsort(found, count, sizeof *found, compare_candidates);
    for (uint64_t sum = 0; first < count && sum < bytes / ROUND_SHARE + 1; first++)
        sum += found[first].garbage;
    *ret_count = count;
    *ret_first = first;
    return found;
}

// Ends a stream's current file.
static void end_current(struct blob_store *store, struct blob_file *file) REQUIRES(blob_mutex)
{
    for (int k = 0; k < BLOB_STREAMS; k++)
        if (store->streams[k].current == file)
            store->streams[k].current = NULL;
    file->current = false;
    // Drops the stream's reference. The list of dirty files holds another one: a current file does
    // not leave it.
    uint64_t before = atomic_fetch_sub_explicit(&file->refs, 1, memory_order_acq_rel);
    assert(before > 1);
    (void)before;
}

// The files for the next round, as find_candidates() gives them. NULL: one is under way
// (*ret_running), none is due, or there is no memory; the counts are 0 then.
static struct drain_candidate *next_round(const struct blob_store *store, unsigned percent,
                                          bool *ret_running, size_t *ret_count, size_t *ret_first)
    REQUIRES(blob_mutex)
{
    bool running = false;
    uint64_t bytes = 0, garbage = 0;
    for (size_t i = 0; i < store->bucket_count; i++) {
        for (struct blob_file *file = store->buckets[i]; file; file = file->next) {
            bool draining = blob_file_draining(file);
            running = running || (draining && is_live_in_tables(file));
            if (!draining) { // the garbage of a draining file is already on its way out
                bytes += file->size;
                garbage += file_garbage(file);
            }
        }
    }
    *ret_running = running;
    *ret_count = *ret_first = 0;
    if (running || garbage * 100 <= bytes * percent)
        return NULL;
    return find_candidates(store, percent, bytes, ret_count, ret_first);
}

bool blob_store_wants_drain(struct blob_store *store, unsigned percent)
{
    bool wanted;
    size_t count, first;
    store_lock(store);
    struct drain_candidate *found = next_round(store, percent, &wanted, &count, &first);
    for (size_t i = 0; i < first && !wanted; i++)
        wanted = is_live_in_tables(found[i].file);
    store_unlock(store);
    free(found);
    return wanted;
}

// Without memory, the files are looked at again the next time.
bool blob_store_choose_drain(struct blob_store *store, unsigned percent)
{
    bool running;
    size_t count, first;
    store_lock(store);
    struct drain_candidate *found = next_round(store, percent, &running, &count, &first);
    for (size_t i = 0; i < count; i++)
        if (found[i].file->current)
            end_current(store, found[i].file);
    for (size_t i = 0; i < first; i++) {
        atomic_store_explicit(&found[i].file->draining, true, memory_order_relaxed);
        running = running || is_live_in_tables(found[i].file);
    }
    store_unlock(store);
    free(found);
    return running;
}
