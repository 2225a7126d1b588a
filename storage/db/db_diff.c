// What differs between two snapshots: the keys that were written after the older one and not after
// the newer one.
//
// A merge of all that may hold such a version. A table whose newest sequence number is not beyond
// the older snapshot has nothing to say and is not opened: so the cost follows what was written
// since, and what compaction has put into one table with it. Nothing that matters can be missing:
// a compaction keeps, for the newer snapshot, the newest version at or below it, and a delete stays
// as long as the older snapshot sees what it deletes.
//
// Holds a reference to the view as of its making, and both snapshots' versions through it. Belongs
// to one thread.
#include <assert.h>
#include <stdlib.h>

#include "compaction/level_iter.h"
#include "compaction/merge_iter.h"
#include "db/db.h"

#define STEPS_BEFORE_SEEK 8 // over versions of one key

struct lsm_diff {
    struct read_view *view;
    // The tables of sorted levels that may hold a difference, level by level.
    struct file_meta **files;
    struct iter *merge;
    uint64_t from, to;
    struct buf key; // the last one shown
    bool started, shown;
};

struct diff_sources {
    struct iter **iters;
    size_t count;
};

static int add_memtable(struct diff_sources *sources, struct memtable *memtable)
{
    int rc = memtable_entries(memtable)
                 ? memtable_iter_new(memtable, &sources->iters[sources->count])
                 : LSM_NOT_FOUND;
    sources->count += rc == LSM_OK;
    return rc == LSM_NOT_FOUND ? LSM_OK : rc;
}

static bool counts(const struct lsm_diff *diff, const struct file_meta *file)
{
    return file->max_sequence > diff->from;
}

static int add_level_0(struct lsm *db, struct lsm_diff *diff, struct diff_sources *sources,
                       const struct sst_iter_options *options)
{
    const struct version_level *level = &diff->view->version->levels[0];
    int rc = LSM_OK;
    for (unsigned i = 0; i < level->count && !rc; i++) {
        if (!counts(diff, level->files[i]))
            continue;
        rc = level_iter_of_table(db->table_cache, level->files[i], options,
                                 &sources->iters[sources->count]);
        sources->count += rc == LSM_OK;
    }
    return rc;
}

static int add_sorted_levels(struct lsm *db, struct lsm_diff *diff, struct diff_sources *sources,
                             const struct sst_iter_options *options)
{
    struct file_meta **next = diff->files;
    int rc = LSM_OK;
    for (unsigned n = 1; n < VERSION_LEVELS && !rc; n++) {
        const struct version_level *level = &diff->view->version->levels[n];
        unsigned count = 0;
        for (unsigned i = 0; i < level->count; i++)
            if (counts(diff, level->files[i]))
                next[count++] = level->files[i];
        if (count == 0)
            continue;
        rc = level_iter_new(db->table_cache, next, count, options, &sources->iters[sources->count]);
        sources->count += rc == LSM_OK;
        next += count;
        assert(next <= diff->files + version_files(diff->view->version));
    }
    return rc;
}

static int open_sources(struct lsm *db, struct lsm_diff *diff)
{
    const struct read_view *view = diff->view;
    size_t most = 1 + view->immutable_count + view->version->levels[0].count + VERSION_LEVELS;
    size_t files = version_files(view->version) + 1;
    struct sst_iter_options options = {.fill_cache = false, .readahead = 0};
    struct diff_sources sources = {.iters = calloc(most, sizeof *sources.iters)};
    diff->files = malloc(files * sizeof(struct file_meta *));
    int rc = LSM_OK;
    if (!sources.iters || !diff->files)
        rc = status_no_memory(most * sizeof *sources.iters + files * sizeof(struct file_meta *));
    if (!rc)
        rc = add_memtable(&sources, view->active);
    for (unsigned i = 0; i < view->immutable_count && !rc; i++)
        rc = add_memtable(&sources, view->immutables[i]);
    if (!rc)
        rc = add_level_0(db, diff, &sources, &options);
    if (!rc)
        rc = add_sorted_levels(db, diff, &sources, &options);
    assert(sources.count <= most);
    if (!rc)
        rc = merge_iter_new(sources.iters, sources.count, &diff->merge);
    else
        for (size_t i = 0; i < sources.count; i++)
            iter_free(sources.iters[i]);
    free(sources.iters);
    return rc;
}

int lsm_diff_new(struct lsm *db, const struct lsm_snapshot *from, const struct lsm_snapshot *to,
                 struct lsm_diff **ret_diff)
{
    if (!from || from->view || !to || from->sequence > to->sequence)
        return status_fail(LSM_INVALID, "a difference is from an older snapshot to a newer one");
    struct lsm_diff *diff = calloc(1, sizeof *diff);
    if (!diff)
        return status_no_memory(sizeof *diff);
    diff->from = from->sequence;
    diff->to = to->sequence;
    diff->view = db_view_ref(db, to);
    int rc = open_sources(db, diff);
    if (rc) {
        lsm_diff_free(diff);
        return rc;
    }
    *ret_diff = diff;
    return LSM_OK;
}

void lsm_diff_free(struct lsm_diff *diff)
{
    if (!diff)
        return;
    iter_free(diff->merge);
    db_view_unref(diff->view);
    free(diff->files);
    buf_release(&diff->key);
    free(diff);
}

// Moves past the versions of the key that was shown.
static void skip_shown(struct lsm_diff *diff)
{
    struct iter *merge = diff->merge;
    struct slice key = buf_slice(&diff->key);
    unsigned steps = 0;
    while (merge->valid && slice_equal(merge->entry.key, key)) {
        if (++steps % STEPS_BEFORE_SEEK == 0)
            iter_seek(merge, key, 0); // to its last possible version, and past it
        else
            iter_next(merge);
    }
}

int lsm_diff_next(struct lsm_diff *diff)
{
    struct iter *merge = diff->merge;
    if (!diff->started)
        iter_seek_first(merge);
    diff->started = true;
    if (diff->shown)
        skip_shown(diff);
    diff->shown = false;
    while (merge->valid) {
        uint64_t sequence = tag_sequence(merge->entry.tag);
        if (sequence > diff->from && sequence <= diff->to) {
            if (buf_assign(&diff->key, merge->entry.key.data, merge->entry.key.size))
                return status_no_memory(merge->entry.key.size);
            diff->shown = true;
            return 1;
        }
        iter_next(merge);
    }
    return merge->status;
}

const void *lsm_diff_key(const struct lsm_diff *diff, size_t *ret_size)
{
    *ret_size = diff->key.size;
    return diff->key.data;
}
