// Operations on the whole store: manual compaction, check.
//
// A manual compaction runs in its caller's thread. It sets jobs.manual_running, which keeps
// automatic compactions off, waits for those that run, and then compacts the range level by level,
// from the top down. With a progress function it goes in pieces, and lets automatic compactions go
// on between two of them while level 0 needs them (manual_pause).
//
// A check reads the manifest, and all tables and blobs that a view of the store refers to. It goes
// on after a problem. While it reads the manifest no edit is appended; nothing else waits for a
// check.
//
// Thread safety: any thread. Lock: the store's mutex, which is released during I/O; a second manual
// compaction waits for the first. Failure: a compaction that fails or is cancelled leaves a store
// that is compacted in part, and automatic compactions go on. A check changes nothing.
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cond.h"
#include "compaction/level_iter.h"
#include "db/db.h"
#include "db/db_blob.h"
#include "db/db_pick.h"

// ------------------------------------------------------------------------------------- compaction

static void manual_end(struct lsm *db)
{
    db_lock(db);
    assert(db->jobs.manual_running);
    db->jobs.manual_running = false;
    pthread_cond_broadcast(&db->changed);
    pthread_cond_broadcast(&db->work);
    db_unlock(db);
    db_remove_obsolete(db);
}

#define PIECE_TABLES 2u      // of a level that one job merges which tells its progress
#define WATCH_US     100000u // from one call of the progress function to the next, while waiting

// Waits for a change, mutex held. False: whoever is told has cancelled.
static bool wait_change(struct lsm *db, struct db_progress *progress) REQUIRES(db_mutex)
{
    if (!progress) {
        db_wait(db, &db->changed);
        return true;
    }
    struct timespec until = time_after_us(WATCH_US);
    pthread_cond_timedwait(&db->changed, &db->mutex, &until);
    db_unlock(db);
    bool goes_on = progress->tell(progress->arg, progress->done, 0) == 0;
    db_lock(db);
    return goes_on;
}

// Keeps automatic compactions off and waits for running ones.
static int manual_begin(struct lsm *db, struct db_progress *progress)
{
    bool goes_on = true;
    db_lock(db);
    while (goes_on && db->jobs.manual_running && !db_has_failed(db) && !db->jobs.stopping)
        goes_on = wait_change(db, progress);
    int rc = goes_on ? db_check_error(db) : LSM_CANCELLED;
    if (!rc)
        db->jobs.manual_running = true;
    while (!rc && goes_on && db->jobs.compactions_running && !db->jobs.stopping)
        goes_on = wait_change(db, progress);
    db_unlock(db);
    if (!rc && !goes_on)
        manual_end(db);
    return goes_on ? rc : status_fail(LSM_CANCELLED, "cancelled");
}

// Compacts what overlaps the range from `level` to `output`, if anything does.
static int compact_level(struct lsm *db, unsigned level, unsigned output, struct slice lower,
                         struct slice upper, struct db_progress *progress)
{
    struct compaction *compaction = NULL;
    db_lock(db);
    assert(db->jobs.manual_running);
    struct pick_options options = db_pick_options(db);
    struct version *version = db_version(db);
    int rc = compact_pick_range(version, &options, level, output, lower, upper, &compaction);
    if (!rc && compaction) {
        version_ref(version);
        for (unsigned side = 0; side < 2; side++)
            for (unsigned i = 0; i < compaction->input_count[side]; i++)
                compaction->inputs[side][i]->compacting = true;
    }
    db_unlock(db);
    if (rc || !compaction)
        return rc;
    return db_run_compaction(db, version, compaction, progress);
}

// The smallest key of the table that comes PIECE_TABLES after the first one that is not before
// `lower`, into *ret_key; false: there is none, or no memory, and all that is left is one piece.
static bool piece_end(struct lsm *db, unsigned level, struct slice lower, struct buf *ret_key)
{
    bool found = false;
    db_lock(db);
    const struct version_level *l = &db_version(db)->levels[level];
    for (unsigned i = 0, seen = 0; i < l->count && !found; i++) {
        const struct file_meta *file = l->files[i];
        if (lower.size && slice_compare(file->smallest, lower) < 0)
            continue;
        found = seen++ == PIECE_TABLES &&
                !buf_assign(ret_key, file->smallest.data, file->smallest.size);
    }
    db_unlock(db);
    return found;
}

// Whether level 0 has as many tables as start a compaction.
static bool level_0_due(struct lsm *db) REQUIRES(db_mutex)
{
    struct level_targets targets;
    struct pick_options options = db_pick_options(db);
    pick_targets(db_version(db), &options, &targets);
    return db_level0_tables(db) >= targets.l0_compact;
}

// Lets automatic compactions go on until level 0 needs none.
static int manual_pause(struct lsm *db, struct db_progress *progress)
{
    db_lock(db);
    bool due = level_0_due(db);
    if (due) {
        db->jobs.manual_running = false;
        pthread_cond_broadcast(&db->changed);
        pthread_cond_broadcast(&db->work);
    }
    bool goes_on = true;
    while (due && goes_on && !db_has_failed(db) && !db->jobs.stopping && level_0_due(db))
        goes_on = wait_change(db, progress);
    db_unlock(db);
    if (!due)
        return LSM_OK;
    return goes_on ? manual_begin(db, progress) : status_fail(LSM_CANCELLED, "cancelled");
}

// A sorted level in pieces, so that level 0 need not wait for all of it. *held: manual_begin() is
// in force.
static int compact_pieces(struct lsm *db, unsigned level, unsigned output, struct slice lower,
                          struct slice upper, struct db_progress *progress, bool *held)
{
    struct buf start = {0}, end = {0};
    int rc = LSM_OK;
    if (lower.size && buf_assign(&start, lower.data, lower.size))
        rc = status_no_memory(lower.size);
    for (bool more = true; more && !rc;) {
        more = piece_end(db, level, buf_slice(&start), &end) &&
               (!upper.size || slice_compare(buf_slice(&end), upper) < 0);
        rc = compact_level(db, level, output, buf_slice(&start), more ? buf_slice(&end) : upper,
                           progress);
        if (!rc && more) {
            rc = manual_pause(db, progress);
            *held = !rc;
            struct buf used = start;
            start = end;
            end = used;
        }
    }
    buf_release(&start);
    buf_release(&end);
    return rc;
}

// Where a manual compaction ends: the deepest level with data in the range, or where level 0 goes.
static unsigned last_level(struct lsm *db, struct slice lower, struct slice upper,
                           bool *ret_rewrite)
{
    struct level_targets targets;
    unsigned last = 0, levels = 0;
    db_lock(db);
    struct pick_options options = db_pick_options(db);
    pick_targets(db_version(db), &options, &targets);
    for (unsigned n = 0; n < VERSION_LEVELS; n++) {
        if (version_overlaps(db_version(db), n, lower, upper)) {
            last = n;
            levels++;
        }
    }
    bool deletes = false;
    for (unsigned i = 0; i < db_version(db)->levels[last].count; i++)
        deletes = deletes || db_version(db)->levels[last].files[i]->deletes;
    db_unlock(db);
    *ret_rewrite = levels == 1 && last > 0 && deletes;
    return last ? last : targets.base_level;
}

static unsigned next_level(struct lsm *db, unsigned level, unsigned last, struct slice lower,
                           struct slice upper)
{
    unsigned next = level + 1;
    db_lock(db);
    while (level == 0 && next < last && !version_overlaps(db_version(db), next, lower, upper))
        next++;
    db_unlock(db);
    return next;
}

int lsm_compact_range(struct lsm *db, const void *lower, size_t lower_size, const void *upper,
                      size_t upper_size)
{
    return lsm_compact_range_with(db, lower, lower_size, upper, upper_size, NULL, NULL);
}

int lsm_compact_range_with(struct lsm *db, const void *lower, size_t lower_size, const void *upper,
                           size_t upper_size, lsm_progress_fn *progress, void *arg)
{
    struct db_progress merged = {.tell = progress, .arg = arg}, *told = progress ? &merged : NULL;
    struct slice low = slice_of(lower, lower ? lower_size : 0);
    struct slice high = slice_of(upper, upper ? upper_size : 0);
    int rc = lsm_flush(db);
    if (!rc)
        rc = manual_begin(db, told);
    if (rc)
        return rc;
    bool rewrite, held = true;
    unsigned last = last_level(db, low, high, &rewrite);
    // From the top down, each level into the next (level 0 into the first that has data), so that
    // newer never gets below older and the large levels are rewritten once.
    for (unsigned n = 0; n < last && !rc; n++) {
        unsigned next = next_level(db, n, last, low, high);
        rc = n && told ? compact_pieces(db, n, next, low, high, told, &held)
                       : compact_level(db, n, next, low, high, told);
        if (!rc && told) {
            rc = manual_pause(db, told);
            held = !rc;
        }
    }
    if (!rc && rewrite)
        rc = told ? compact_pieces(db, last, last, low, high, told, &held)
                  : compact_level(db, last, last, low, high, told);
    if (held)
        manual_end(db);
    return rc;
}

// ------------------------------------------------------------------------------------- check

#define CHECK_STEP (1u << 20) // bytes from one call of the progress function to the next

struct engine_check {
    struct lsm *db;
    lsm_check_fn *report;
    lsm_progress_fn *progress;
    void *arg;
    uint64_t done, total, told; // bytes; `told` when progress was told last
    int first;
    bool cancelled;
};

static void engine_check_problem(struct engine_check *check, int rc)
{
    if (!check->first)
        check->first = rc;
    if (check->report)
        check->report(check->arg, lsm_error_detail());
}

// False: the caller does not want to know the rest.
static bool engine_check_goes_on(struct engine_check *check, uint64_t step)
{
    if (check->progress && !check->cancelled && check->done - check->told >= step) {
        check->told = check->done;
        // Bytes that several values share count for each, so more may be done than there is in all.
        if (check->total < check->done)
            check->total = check->done;
        check->cancelled = check->progress(check->arg, check->done, check->total);
    }
    return !check->cancelled;
}

int db_check_table(struct lsm *db, struct file_meta *file)
{
    struct sst_reader *reader;
    struct sst_properties properties;
    epoch_pin();
    int rc = table_cache_get(db->table_cache, file, &reader);
    if (!rc)
        sst_reader_ref(reader);
    epoch_unpin();
    if (rc)
        return rc;
    sst_reader_properties(reader, &properties);
    rc = sst_verify(reader);
    if (!rc && (properties.entries != file->entries || properties.deletes != file->deletes))
        rc = status_fail(LSM_CORRUPTION,
                         "table %" PRIu64 " has %" PRIu64 " entries, the manifest says %" PRIu64,
                         file->number, properties.entries, file->entries);
    sst_reader_unref(reader);
    return rc;
}

// Verifies what the pointers of a source lead to, and adds up what they reference.
static void engine_check_pointers(struct engine_check *check, struct iter *it,
                                  struct blob_refs *refs)
{
    for (iter_seek_first(it); it->valid && engine_check_goes_on(check, CHECK_STEP); iter_next(it)) {
        struct blob_pointer pointer;
        struct blob_file *file;
        if (tag_type(it->entry.tag) != ENTRY_BLOB)
            continue;
        int rc = db_blob_open(check->db, it->entry.value, &pointer, &file);
        if (!rc) {
            rc = blob_file_verify(file, &pointer);
            blob_file_unref(file);
            check->done += blob_pointer_bytes(&pointer);
            if (blob_refs_add(refs, pointer.file, blob_pointer_bytes(&pointer), NULL))
                rc = LSM_NO_MEMORY;
        }
        if (rc)
            engine_check_problem(check, rc);
    }
    if (it->status)
        engine_check_problem(check, it->status);
}

static bool refs_equal(const struct file_meta *file, const struct blob_refs *refs)
{
    if (file->blob_count != refs->count)
        return false;
    for (size_t i = 0; i < refs->count; i++)
        if (file->blobs[i].number != refs->refs[i].number ||
            file->blobs[i].bytes != refs->refs[i].bytes)
            return false;
    return true;
}

static void engine_check_table_blobs(struct engine_check *check, struct file_meta *file)
{
    struct iter *it;
    struct blob_refs refs = {0};
    struct sst_iter_options options = {.fill_cache = false};
    int rc = level_iter_of_table(check->db->table_cache, file, &options, &it);
    if (rc) {
        engine_check_problem(check, rc);
        return;
    }
    engine_check_pointers(check, it, &refs);
    iter_free(it);
    if (!check->cancelled && !refs_equal(file, &refs))
        engine_check_problem(check, status_fail(LSM_CORRUPTION,
                                                "table %" PRIu64
                                                " refers to other blobs than the manifest says",
                                                file->number));
    blob_refs_release(&refs);
}

static void engine_check_memtable_blobs(struct engine_check *check, struct memtable *memtable)
{
    struct iter *it;
    struct blob_refs refs = {0};
    if (db_memtable_blobs(memtable)->count == 0)
        return;
    int rc = memtable_iter_new(memtable, &it);
    if (rc) {
        engine_check_problem(check, rc);
        return;
    }
    engine_check_pointers(check, it, &refs);
    iter_free(it);
    blob_refs_release(&refs);
}

static int check_manifest(struct lsm *db)
{
    struct manifest_state state = {0};
    db_lock(db);
    db_manifest_begin(db); // no edit is being appended meanwhile
    db_unlock(db);
    int rc = manifest_recover(db->env, &state);
    db_lock(db);
    db_manifest_end(db);
    db_unlock(db);
    manifest_state_release(&state);
    return rc;
}

int lsm_check(struct lsm *db, lsm_check_fn *report, lsm_progress_fn *progress, void *arg)
{
    struct engine_check check = {.db = db, .report = report, .progress = progress, .arg = arg};
    int rc = check_manifest(db);
    if (rc)
        engine_check_problem(&check, rc);
    struct read_view *view = db_view_ref(db, NULL);
    check.total = version_bytes(view->version);
    for (unsigned n = 0; n < VERSION_LEVELS; n++)
        check.total += view->version->levels[n].blob_bytes;
    for (unsigned n = 0; n < VERSION_LEVELS; n++) {
        for (unsigned i = 0; i < view->version->levels[n].count && !check.cancelled; i++) {
            struct file_meta *file = view->version->levels[n].files[i];
            rc = db_check_table(db, file);
            if (rc)
                engine_check_problem(&check, rc);
            else
                engine_check_table_blobs(&check, file);
            check.done += file->size;
            engine_check_goes_on(&check, 0);
        }
    }
    engine_check_memtable_blobs(&check, view->active);
    for (unsigned i = 0; i < view->immutable_count; i++)
        engine_check_memtable_blobs(&check, view->immutables[i]);
    db_view_unref(view);
    return check.cancelled ? status_fail(LSM_CANCELLED, "cancelled") : check.first;
}
