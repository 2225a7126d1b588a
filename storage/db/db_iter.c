// The user's iterator: the newest visible version of each key, deletes left out, within bounds.
//
// It stands on a merge of iterators over everything in one read view, to which it holds a
// reference, so it sees the store as of its making however long it lives. Two states:
//
//  forward   the merge stands at the entry that is shown; key and value point into it. `key` keeps
//            a copy of the shown key, to skip its older versions with.
//  backward  the merge stands before all versions of the shown key; key and value are copies, since
//            the newest visible version is the last one met going backwards.
//
// A value in a blob file is read when it is asked for. The view holds the file: whatever the
// pointer was found in is part of it.
//
// Belongs to one thread. A failure ends the iteration; lsm_iter_status() tells.
#include <stdlib.h>

#include "compaction/level_iter.h"
#include "compaction/merge_iter.h"
#include "db/db.h"

struct lsm_iter {
    struct lsm *db;
    struct iter *merge;
    struct read_view *view;
    uint64_t sequence;
    bool backward;
    bool valid;
    int status;
    struct slice shown_key, shown_value;
    bool is_blob;     // shown_value is a pointer
    bool blob_loaded; // `blob` has what it points to
    struct buf blob;
    struct buf key, value;
    bool has_lower, has_upper;
    struct buf lower, upper;
};

// ------------------------------------------------------------------------------------- sources

struct sources {
    struct iter **iters;
    size_t count;
};

static int add_memtable(struct sources *sources, struct memtable *memtable)
{
    if (memtable_entries(memtable) == 0)
        return LSM_OK;
    int rc = memtable_iter_new(memtable, &sources->iters[sources->count]);
    if (!rc)
        sources->count++;
    return rc;
}

static int add_levels(struct lsm *db, struct sources *sources, struct version *version,
                      const struct sst_iter_options *options)
{
    int rc = LSM_OK;
    struct version_level *level = &version->levels[0];
    for (unsigned i = 0; i < level->count && !rc; i++) {
        rc = table_iter_new(db->table_cache, level->files[i], options,
                            &sources->iters[sources->count]);
        if (!rc)
            sources->count++;
    }
    for (unsigned n = 1; n < VERSION_LEVELS && !rc; n++) {
        level = &version->levels[n];
        if (level->count == 0)
            continue;
        rc = level_iter_new(db->table_cache, level->files, level->count, options,
                            &sources->iters[sources->count]);
        if (!rc)
            sources->count++;
    }
    return rc;
}

int db_internal_iter(struct lsm *db, struct read_view *view, const struct sst_iter_options *options,
                     struct iter **ret_iter)
{
    size_t most = 1 + view->immutable_count + view->version->levels[0].count + VERSION_LEVELS;
    struct sources sources = {.iters = calloc(most, sizeof *sources.iters)};
    if (!sources.iters)
        return status_no_memory(most * sizeof *sources.iters);
    int rc = add_memtable(&sources, view->active);
    for (unsigned i = 0; i < view->immutable_count && !rc; i++)
        rc = add_memtable(&sources, view->immutables[i]);
    if (!rc)
        rc = add_levels(db, &sources, view->version, options);
    if (rc) {
        for (size_t i = 0; i < sources.count; i++)
            iter_free(sources.iters[i]);
    } else {
        rc = merge_iter_new(sources.iters, sources.count, ret_iter);
    }
    free(sources.iters);
    return rc;
}

// ------------------------------------------------------------------------------------- stepping

static void iter_end(struct lsm_iter *it)
{
    it->valid = false;
    it->status = it->merge->valid ? LSM_OK : it->merge->status;
}

static void iter_fail_memory(struct lsm_iter *it, size_t size)
{
    it->valid = false;
    it->status = status_no_memory(size);
}

static bool visible(const struct lsm_iter *it)
{
    return tag_sequence(it->merge->entry.tag) <= it->sequence;
}

// From where the merge stands, on to the first entry to show. With `skip`, entries of it->key are
// passed over.
static void find_forward(struct lsm_iter *it, bool skip)
{
    struct iter *merge = it->merge;
    it->backward = false;
    for (; merge->valid; iter_next(merge)) {
        const struct entry *entry = &merge->entry;
        if (!visible(it) || (skip && slice_equal(entry->key, buf_slice(&it->key))))
            continue;
        if (it->has_upper && slice_compare(entry->key, buf_slice(&it->upper)) >= 0)
            break;
        if (buf_assign(&it->key, entry->key.data, entry->key.size)) {
            iter_fail_memory(it, entry->key.size);
            return;
        }
        skip = true;
        if (tag_type(entry->tag) == ENTRY_DELETE)
            continue;
        it->shown_key = entry->key;
        it->shown_value = entry->value;
        it->is_blob = tag_type(entry->tag) == ENTRY_BLOB;
        it->blob_loaded = false;
        it->valid = true;
        it->status = LSM_OK;
        return;
    }
    iter_end(it);
}

// From where the merge stands, back to the next key that has a visible version that is no delete;
// the merge then stands before all of its versions.
static void find_backward(struct lsm_iter *it)
{
    struct iter *merge = it->merge;
    bool have = false; // it->key / it->value hold the newest visible version met of a key
    it->backward = true;
    for (; merge->valid; iter_prev(merge)) {
        const struct entry *entry = &merge->entry;
        if (have && !slice_equal(entry->key, buf_slice(&it->key)))
            break;
        if (!have && it->has_lower && slice_compare(entry->key, buf_slice(&it->lower)) < 0)
            break;
        if (!visible(it))
            continue;
        if (tag_type(entry->tag) == ENTRY_DELETE) {
            have = false;
            continue;
        }
        if ((!have && buf_assign(&it->key, entry->key.data, entry->key.size)) ||
            buf_assign(&it->value, entry->value.data, entry->value.size)) {
            iter_fail_memory(it, entry->key.size + entry->value.size);
            return;
        }
        it->is_blob = tag_type(entry->tag) == ENTRY_BLOB;
        it->blob_loaded = false;
        have = true;
    }
    if (!have || (!merge->valid && merge->status)) {
        iter_end(it);
        return;
    }
    it->shown_key = buf_slice(&it->key);
    it->shown_value = buf_slice(&it->value);
    it->valid = true;
    it->status = LSM_OK;
}

void lsm_iter_next(struct lsm_iter *it)
{
    if (it->backward) {
        // The merge stands before the versions of the shown key, or before everything.
        if (it->merge->valid)
            iter_next(it->merge);
        else
            iter_seek(it->merge, buf_slice(&it->key), TAG_MAX);
        find_forward(it, true);
        return;
    }
    iter_next(it->merge);
    find_forward(it, true);
}

void lsm_iter_prev(struct lsm_iter *it)
{
    if (!it->backward) {
        // Before all versions of the shown key, visible or not.
        while (it->merge->valid && slice_equal(it->merge->entry.key, buf_slice(&it->key)))
            iter_prev(it->merge);
    }
    find_backward(it);
}

// ------------------------------------------------------------------------------------- positioning

void lsm_iter_seek(struct lsm_iter *it, const void *key, size_t key_size)
{
    struct slice target = slice_of(key, key_size);
    if (it->has_lower && slice_compare(target, buf_slice(&it->lower)) < 0)
        target = buf_slice(&it->lower);
    uint64_t start = latency_begin();
    iter_seek(it->merge, target, tag_make(it->sequence, (enum entry_type)0xff));
    find_forward(it, false);
    latency_end(&it->db->latency[LATENCY_SEEK], start);
}

void lsm_iter_seek_first(struct lsm_iter *it)
{
    if (it->has_lower)
        iter_seek(it->merge, buf_slice(&it->lower), TAG_MAX);
    else
        iter_seek_first(it->merge);
    find_forward(it, false);
}

// To the last entry before (key, tag).
static void seek_before(struct lsm_iter *it, struct slice key, uint64_t tag)
{
    iter_seek(it->merge, key, tag);
    if (it->merge->valid)
        iter_prev(it->merge);
    else if (!it->merge->status)
        iter_seek_last(it->merge);
    find_backward(it);
}

void lsm_iter_seek_last(struct lsm_iter *it)
{
    if (it->has_upper) {
        seek_before(it, buf_slice(&it->upper), TAG_MAX);
    } else {
        iter_seek_last(it->merge);
        find_backward(it);
    }
}

void lsm_iter_seek_prev(struct lsm_iter *it, const void *key, size_t key_size)
{
    struct slice target = slice_of(key, key_size);
    if (it->has_upper && slice_compare(target, buf_slice(&it->upper)) >= 0)
        seek_before(it, buf_slice(&it->upper), TAG_MAX);
    else
        seek_before(it, target, 0); // behind every version: a put at sequence 0 has tag 1
}

bool lsm_iter_valid(const struct lsm_iter *it)
{
    return it->valid;
}

int lsm_iter_status(const struct lsm_iter *it)
{
    return it->valid ? LSM_OK : it->status;
}

const void *lsm_iter_key(const struct lsm_iter *it, size_t *ret_size)
{
    *ret_size = it->shown_key.size;
    return it->shown_key.data;
}

size_t lsm_iter_value_size(const struct lsm_iter *it)
{
    struct blob_pointer pointer;
    if (!it->is_blob)
        return it->shown_value.size;
    return blob_pointer_decode(it->shown_value, &pointer) ? 0 : pointer.length;
}

int lsm_iter_read(const struct lsm_iter *it, uint64_t offset, void *data, size_t size,
                  size_t *ret_size)
{
    struct blob_pointer pointer;
    struct blob_file *file = NULL;
    int rc = it->is_blob ? db_blob_open(it->db, it->shown_value, &pointer, &file) : LSM_OK;
    if (rc)
        return rc;
    size_t whole = it->is_blob ? pointer.length : it->shown_value.size, n = 0;
    if (offset < whole)
        n = whole - offset < size ? whole - (size_t)offset : size;
    if (it->is_blob)
        rc = blob_file_read(file, &pointer, (uint32_t)offset, data, n);
    else if (n)
        memcpy(data, it->shown_value.data + offset, n);
    blob_file_unref(file);
    if (!rc)
        *ret_size = n;
    return rc;
}

static const void *load_blob(struct lsm_iter *it, size_t *ret_size)
{
    size_t size = lsm_iter_value_size(it), got = 0;
    if (!it->blob_loaded) {
        it->blob.size = 0;
        int rc = buf_reserve(&it->blob, size ? size : 1);
        if (!rc)
            rc = lsm_iter_read(it, 0, it->blob.data, size, &got);
        if (rc) {
            it->valid = false;
            it->status = rc;
            *ret_size = 0;
            return NULL;
        }
        it->blob.size = got;
        it->blob_loaded = true;
    }
    *ret_size = it->blob.size;
    return it->blob.data;
}

const void *lsm_iter_value(const struct lsm_iter *it, size_t *ret_size)
{
    if (it->is_blob)
        return load_blob((struct lsm_iter *)(uintptr_t)it, ret_size);
    *ret_size = it->shown_value.size;
    return it->shown_value.data;
}

// ------------------------------------------------------------------------------------- lifetime

// Narrows the bounds to keys that begin with `prefix`.
static int set_prefix(struct lsm_iter *it, struct slice prefix)
{
    if (!it->has_lower || slice_compare(prefix, buf_slice(&it->lower)) > 0) {
        it->has_lower = true;
        if (buf_assign(&it->lower, prefix.data, prefix.size))
            return status_no_memory(prefix.size);
    }
    while (prefix.size && prefix.data[prefix.size - 1] == 0xff)
        prefix.size--;
    if (prefix.size == 0)
        return LSM_OK; // no key is beyond
    struct buf end = {0};
    if (buf_assign(&end, prefix.data, prefix.size))
        return status_no_memory(prefix.size);
    end.data[end.size - 1]++;
    if (it->has_upper && slice_compare(buf_slice(&it->upper), buf_slice(&end)) <= 0) {
        buf_release(&end);
        return LSM_OK;
    }
    buf_release(&it->upper);
    it->upper = end;
    it->has_upper = true;
    return LSM_OK;
}

static int set_bounds(struct lsm_iter *it, const struct lsm_iter_options *options)
{
    it->has_lower = options->lower != NULL;
    it->has_upper = options->upper != NULL;
    if ((it->has_lower && buf_assign(&it->lower, options->lower, options->lower_size)) ||
        (it->has_upper && buf_assign(&it->upper, options->upper, options->upper_size)))
        return status_no_memory(options->lower_size + options->upper_size);
    if (options->prefix)
        return set_prefix(it, slice_of(options->prefix, options->prefix_size));
    return LSM_OK;
}

int lsm_iter_new(struct lsm *db, const struct lsm_iter_options *options, struct lsm_iter **ret_iter)
{
    static const struct lsm_iter_options defaults;
    if (!options)
        options = &defaults;
    struct lsm_iter *it = calloc(1, sizeof *it);
    if (!it)
        return status_no_memory(sizeof *it);
    int rc = set_bounds(it, options);
    if (!rc) {
        it->db = db;
        it->view = db_view_ref(db);
        it->sequence = db_read_sequence(db, options->snapshot);
        struct sst_iter_options table_options = {.fill_cache = !options->no_fill_cache,
                                                 .readahead = options->readahead};
        rc = db_internal_iter(db, it->view, &table_options, &it->merge);
    }
    if (rc) {
        lsm_iter_free(it);
        return rc;
    }
    *ret_iter = it;
    return LSM_OK;
}

void lsm_iter_free(struct lsm_iter *it)
{
    if (!it)
        return;
    iter_free(it->merge);
    db_view_unref(it->view);
    buf_release(&it->key);
    buf_release(&it->value);
    buf_release(&it->blob);
    buf_release(&it->lower);
    buf_release(&it->upper);
    free(it);
}
