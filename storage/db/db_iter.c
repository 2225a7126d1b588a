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
// A key may have any number of versions: a file that is appended to has one for each write until
// its memtable is flushed. A few of them are stepped over; for more, one search finds where they
// end, or the one to show (going backward that leads to the state `forward`).
//
// A value in a blob file is read when it is asked for. The view holds the file: whatever the
// pointer was found in is part of it.
//
// Belongs to one thread. A failure ends the iteration; lsm_iter_status() tells.
#include <assert.h>
#include <stdlib.h>

#include "compaction/level_iter.h"
#include "compaction/merge_iter.h"
#include "db/db.h"
#include "db/db_blob.h"

// Versions of one key that are stepped over before a search is made instead. A step back in a
// memtable is a search itself.
#define STEPS_MAX      4
#define STEPS_BACK_MAX 2

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
    struct buf hidden;        // a key whose newest versions are too new to be seen
    uint64_t searches, steps; // moves of the merge, for the store's figures
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
        rc = level_iter_of_table(db->table_cache, level->files[i], options,
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

// Moves of the merge, counted. The keys that searches get must not point into the merge's current
// entry.

static void step_next(struct lsm_iter *it)
{
    it->steps++;
    iter_next(it->merge);
}

static void step_prev(struct lsm_iter *it)
{
    it->steps++;
    iter_prev(it->merge);
}

static void search(struct lsm_iter *it, struct slice key, uint64_t tag)
{
    it->searches++;
    iter_seek(it->merge, key, tag);
}

static void search_before(struct lsm_iter *it, struct slice key, uint64_t tag)
{
    it->searches++;
    iter_seek_before(it->merge, key, tag);
}

// With this tag a search leads to the newest version of its key that may be seen.
static uint64_t newest_tag(const struct lsm_iter *it)
{
    return tag_seek(it->sequence);
}

static bool at_key(const struct lsm_iter *it, const struct buf *key)
{
    return it->merge->valid && slice_equal(it->merge->entry.key, buf_slice(key));
}

// Shows the entry at which the merge stands.
static void show(struct lsm_iter *it)
{
    const struct entry *entry = &it->merge->entry;
    it->backward = false;
    it->shown_key = entry->key;
    it->shown_value = entry->value;
    it->is_blob = tag_type(entry->tag) == ENTRY_BLOB;
    it->blob_loaded = false;
    it->valid = true;
    it->status = LSM_OK;
}

// Moves past one version of it->key; *steps versions were passed before.
static void pass_old(struct lsm_iter *it, unsigned *steps)
{
    assert(at_key(it, &it->key));
    if ((*steps)++ < STEPS_MAX)
        step_next(it);
    else
        search(it, buf_slice(&it->key), 0); // a put at sequence 0 has tag 1
}

// Moves past a version that is too new, of a key of which *steps versions were passed before.
// False: no memory.
static bool pass_hidden(struct lsm_iter *it, unsigned *steps)
{
    struct slice key = it->merge->entry.key;
    if (*steps == 0 || !slice_equal(key, buf_slice(&it->hidden))) {
        *steps = 0;
        if (buf_assign(&it->hidden, key.data, key.size)) {
            iter_fail_memory(it, key.size);
            return false;
        }
    }
    if ((*steps)++ < STEPS_MAX)
        step_next(it);
    else
        search(it, buf_slice(&it->hidden), newest_tag(it));
    return true;
}

// Goes on from where the merge stands to the first entry to show. With `skip`, entries of it->key
// are passed over.
static void find_forward(struct lsm_iter *it, bool skip)
{
    struct iter *merge = it->merge;
    unsigned old = 0, hidden = 0;
    it->backward = false;
    while (merge->valid) {
        const struct entry *entry = &merge->entry;
        if (skip && slice_equal(entry->key, buf_slice(&it->key))) {
            pass_old(it, &old);
            continue;
        }
        if (!visible(it)) {
            if (!pass_hidden(it, &hidden))
                return;
            continue;
        }
        if (it->has_upper && slice_compare(entry->key, buf_slice(&it->upper)) >= 0)
            break;
        if (buf_assign(&it->key, entry->key.data, entry->key.size)) {
            iter_fail_memory(it, entry->key.size);
            return;
        }
        if (tag_type(entry->tag) != ENTRY_DELETE) {
            show(it);
            return;
        }
        skip = true;
        old = 0;
    }
    iter_end(it);
}

// Moves the merge back over the versions of it->key, if it stands at any.
static void pass_back(struct lsm_iter *it)
{
    for (unsigned steps = 0; at_key(it, &it->key); steps++) {
        if (steps == STEPS_BACK_MAX) {
            search_before(it, buf_slice(&it->key), TAG_MAX);
            return;
        }
        step_prev(it);
    }
}

// The newest visible version of it->key, at whose oldest version the merge stands: 1 if it is to be
// shown, which is set up, with the merge at it or before all versions; 0 if there is none or it is
// a delete; <0 on failure, which is noted.
static int find_newest(struct lsm_iter *it)
{
    bool found = false;
    bool at = true; // a version of the key
    for (unsigned steps = 0; at && visible(it); steps++) {
        const struct entry *entry = &it->merge->entry;
        if (steps == STEPS_BACK_MAX) {
            search(it, buf_slice(&it->key), newest_tag(it));
            if (it->merge->valid && tag_type(it->merge->entry.tag) != ENTRY_DELETE) {
                show(it);
                return 1;
            }
            found = false;
            break;
        }
        found = tag_type(entry->tag) != ENTRY_DELETE;
        if (found && buf_assign(&it->value, entry->value.data, entry->value.size)) {
            iter_fail_memory(it, entry->value.size);
            return LSM_NO_MEMORY;
        }
        it->is_blob = tag_type(entry->tag) == ENTRY_BLOB;
        it->blob_loaded = false;
        step_prev(it);
        at = at_key(it, &it->key);
    }
    if (at)
        pass_back(it);
    if (!it->merge->valid && it->merge->status) {
        iter_end(it);
        return it->merge->status;
    }
    if (!found)
        return 0;
    it->backward = true;
    it->shown_key = buf_slice(&it->key);
    it->shown_value = buf_slice(&it->value);
    it->valid = true;
    it->status = LSM_OK;
    return 1;
}

// From where the merge stands, the oldest version of some key, back to the first key that has a
// visible version that is no delete.
static void find_backward(struct lsm_iter *it)
{
    struct iter *merge = it->merge;
    it->backward = true;
    while (merge->valid) {
        struct slice key = merge->entry.key;
        if (it->has_lower && slice_compare(key, buf_slice(&it->lower)) < 0)
            break;
        if (buf_assign(&it->key, key.data, key.size)) {
            iter_fail_memory(it, key.size);
            return;
        }
        if (find_newest(it))
            return;
    }
    iter_end(it);
}

void lsm_iter_next(struct lsm_iter *it)
{
    assert(it->valid);
    if (it->backward) {
        // The merge stands before the versions of the shown key, or before everything.
        if (it->merge->valid)
            step_next(it);
        else
            search(it, buf_slice(&it->key), TAG_MAX);
        find_forward(it, true);
        return;
    }
    step_next(it);
    find_forward(it, true);
}

void lsm_iter_prev(struct lsm_iter *it)
{
    assert(it->valid);
    if (!it->backward)
        pass_back(it); // all versions of the shown key, visible or not
    find_backward(it);
}

// ------------------------------------------------------------------------------------- positioning

void lsm_iter_seek(struct lsm_iter *it, const void *key, size_t key_size)
{
    struct slice target = slice_of(key, key_size);
    if (it->has_lower && slice_compare(target, buf_slice(&it->lower)) < 0)
        target = buf_slice(&it->lower);
    uint64_t start = latency_begin();
    search(it, target, newest_tag(it));
    find_forward(it, false);
    latency_end(&it->db->latency[LATENCY_SEEK], start);
}

void lsm_iter_seek_first(struct lsm_iter *it)
{
    if (it->has_lower)
        search(it, buf_slice(&it->lower), TAG_MAX);
    else
        iter_seek_first(it->merge);
    find_forward(it, false);
}

void lsm_iter_seek_last(struct lsm_iter *it)
{
    if (it->has_upper)
        search_before(it, buf_slice(&it->upper), TAG_MAX);
    else
        iter_seek_last(it->merge);
    find_backward(it);
}

void lsm_iter_seek_prev(struct lsm_iter *it, const void *key, size_t key_size)
{
    struct slice target = slice_of(key, key_size);
    if (it->has_upper && slice_compare(target, buf_slice(&it->upper)) >= 0)
        search_before(it, buf_slice(&it->upper), TAG_MAX);
    else
        search_before(it, target, 0); // behind every version: a put at sequence 0 has tag 1
    find_backward(it);
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

const void *lsm_iter_value(struct lsm_iter *it, size_t *ret_size)
{
    if (it->is_blob)
        return load_blob(it, ret_size);
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
        return LSM_OK; // no key lies beyond the prefix, so there is no upper bound
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
    it->db = db;
    int rc = set_bounds(it, options);
    if (!rc) {
        it->view = db_view_ref(db, options->snapshot);
        it->sequence = db_read_sequence(db, it->view, options->snapshot);
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
    struct db_tally *tally = db_tally(it->db);
    counter_add(&tally->iters, 1);
    counter_add(&tally->searches, it->searches);
    counter_add(&tally->steps, it->steps);
    iter_free(it->merge);
    db_view_unref(it->view);
    buf_release(&it->key);
    buf_release(&it->value);
    buf_release(&it->hidden);
    buf_release(&it->blob);
    buf_release(&it->lower);
    buf_release(&it->upper);
    free(it);
}
