// How much named snapshots refer to, and how much each holds alone.
//
// One walk over all versions of all keys. A version is seen by those that stand between it and the
// next newer version of its key: it belongs to what each of them refers to and, if that is one
// snapshot and not the present, to what that one holds alone. Sums over ranges of snapshots are
// kept as differences at the ranges' ends, so that the cost does not grow with the number of
// snapshots.
//
// Sizes are those of keys and values before compression; bytes that several values share count for
// each. Exact as of the view that is walked; one thread.
#include <assert.h>
#include <stdlib.h>

#include "base/numbers.h"
#include "db/db.h"

#define PROGRESS_ENTRIES 4096

struct usage {
    struct snapshot_set set; // in the order of sequences
    uint64_t visible;
    uint64_t *sequences;
    int64_t *refers; // differences: [i] is what snapshot i refers to more than i - 1
    uint64_t *own;
    struct buf key;
    bool has_key;
    uint64_t newer; // sequence of the next newer version of `key`; beyond all: there is none
};

// The first snapshot that is not older than `sequence`.
static size_t first_at(const struct usage *usage, uint64_t sequence)
{
    return numbers_find(usage->sequences, usage->set.count, sizeof *usage->sequences, 0, sequence);
}

static uint64_t entry_bytes(const struct entry *entry)
{
    struct blob_pointer pointer;
    uint64_t bytes = entry->key.size + entry->value.size;
    if (tag_type(entry->tag) == ENTRY_BLOB && !blob_pointer_decode(entry->value, &pointer))
        bytes += blob_pointer_bytes(&pointer);
    return bytes;
}

static int count_entry(struct usage *usage, const struct entry *entry)
{
    uint64_t sequence = tag_sequence(entry->tag);
    if (sequence > usage->visible)
        return LSM_OK;
    if (!usage->has_key || !slice_equal(buf_slice(&usage->key), entry->key)) {
        if (buf_assign(&usage->key, entry->key.data, entry->key.size))
            return status_no_memory(entry->key.size);
        usage->has_key = true;
        usage->newer = UINT64_MAX;
    }
    size_t first = first_at(usage, sequence);
    size_t end = usage->newer == UINT64_MAX ? usage->set.count : first_at(usage, usage->newer);
    bool present = usage->newer == UINT64_MAX;
    usage->newer = sequence;
    if (first == end || tag_type(entry->tag) == ENTRY_DELETE)
        return LSM_OK;
    uint64_t bytes = entry_bytes(entry);
    usage->refers[first] += (int64_t)bytes;
    usage->refers[end] -= (int64_t)bytes;
    if (end - first == 1 && !present)
        usage->own[first] += bytes;
    return LSM_OK;
}

static int usage_walk(struct lsm *db, struct usage *usage, lsm_progress_fn *progress, void *arg)
{
    struct read_view *view = db_view_ref(db, NULL);
    struct sst_iter_options options = {.fill_cache = false};
    struct iter *it;
    uint64_t done = 0, total = memtable_entries(view->active);
    for (unsigned i = 0; i < view->immutable_count; i++)
        total += memtable_entries(view->immutables[i]);
    for (unsigned n = 0; n < VERSION_LEVELS; n++)
        total += version_level_entries(&view->version->levels[n]);
    usage->visible = db_read_sequence(db, view, NULL);
    int rc = db_internal_iter(db, view, &options, &it);
    if (!rc) {
        for (iter_seek_first(it); it->valid && !rc; iter_next(it)) {
            rc = count_entry(usage, &it->entry);
            if (++done % PROGRESS_ENTRIES == 0 && progress && !rc && progress(arg, done, total))
                rc = status_fail(LSM_CANCELLED, "cancelled");
        }
        if (!rc)
            rc = it->status;
        iter_free(it);
    }
    db_view_unref(view);
    return rc;
}

static int compare_records(const void *a, const void *b)
{
    uint64_t x = ((const struct snapshot_record *)a)->sequence;
    uint64_t y = ((const struct snapshot_record *)b)->sequence;
    return x < y ? -1 : x > y;
}

static int usage_init(struct lsm *db, struct usage *usage)
{
    db_lock(db);
    int rc = snapshot_set_copy(db_named(db), &usage->set);
    db_unlock(db);
    if (rc)
        return rc;
    size_t count = usage->set.count;
    if (count)
        qsort(usage->set.at, count, sizeof *usage->set.at, compare_records);
    usage->refers = calloc(count + 1, sizeof *usage->refers);
    usage->own = calloc(count + 1, sizeof *usage->own);
    usage->sequences = calloc(count + 1, sizeof *usage->sequences);
    if (!usage->refers || !usage->own || !usage->sequences)
        return status_no_memory(3 * (count + 1) * sizeof(uint64_t));
    for (size_t i = 0; i < count; i++) {
        usage->sequences[i] = usage->set.at[i].sequence;
        assert(i == 0 || usage->sequences[i - 1] <= usage->sequences[i]);
    }
    return LSM_OK;
}

int lsm_snapshot_usage(struct lsm *db, lsm_snapshot_usage_fn *fn, lsm_progress_fn *progress,
                       void *arg)
{
    struct usage usage = {.newer = UINT64_MAX};
    int rc = usage_init(db, &usage);
    if (!rc && usage.set.count)
        rc = usage_walk(db, &usage, progress, arg);
    int64_t refers = 0;
    for (size_t i = 0; i < usage.set.count && !rc; i++) {
        const struct snapshot_record *r = &usage.set.at[i];
        const struct lsm_snapshot_info info = db_snapshot_info(r);
        refers += usage.refers[i];
        rc = fn(arg, &info, (uint64_t)refers, usage.own[i]);
    }
    assert(rc || refers + usage.refers[usage.set.count] == 0); // each range that began has ended
    buf_release(&usage.key);
    free(usage.refers);
    free(usage.own);
    free(usage.sequences);
    snapshot_set_release(&usage.set);
    return rc;
}
