// Rolling back: the present becomes what a named snapshot shows.
//
// What was written since is undone by one table of level 0: for each key of the difference, the
// version that the snapshot sees, or a delete, under a sequence number beyond all others. Values in
// blob files are pointed to, not copied. One version edit makes it the present, so a crash finds
// either the one or the other; snapshots go on showing what they showed.
//
// The write lead is held from the last flush on: nothing can be written in between. The snapshot of
// now keeps the view, and so the blob files, until the table is in the version.
#include <assert.h>
#include <stdlib.h>

#include "compaction/compact_job.h"
#include "db/db.h"

// The entries; an internal iterator that can only be walked forward.
struct undo_iter {
    struct iter iter; // first: what the merge loop sees
    struct lsm *db;
    struct db_undo *undo;
    struct lsm_diff *diff;
    struct buf value;
    struct lsm_buf values[2]; // of a fixed key, then and now
};

static int undo_entry(struct undo_iter *it, struct slice key)
{
    const struct lsm_read_options options = {.snapshot = it->undo->shown};
    struct slice value = {0};
    uint64_t tag = 0;
    epoch_pin();
    int rc = db_lookup(it->db, &options, key, &tag, &value);
    if (!rc && buf_assign(&it->value, value.data, value.size))
        rc = status_no_memory(value.size);
    epoch_unpin();
    enum entry_type type = rc == LSM_NOT_FOUND ? ENTRY_DELETE : tag_type(tag);
    if (rc == LSM_NOT_FOUND) {
        it->value.size = 0;
        rc = LSM_OK;
    }
    it->iter.entry = (struct entry){
        .key = key, .tag = tag_make(it->undo->sequence, type), .value = buf_slice(&it->value)};
    return rc;
}

// LSM_CANCELLED, and undo->has_changed: the key has another value now than then.
static int check_fixed(struct undo_iter *it, struct slice key)
{
    const struct lsm_read_options then = {.snapshot = it->undo->then},
                                  now = {.snapshot = it->undo->now};
    int before = lsm_get(it->db, &then, key.data, key.size, &it->values[0]);
    int after = lsm_get(it->db, &now, key.data, key.size, &it->values[1]);
    if (before && before != LSM_NOT_FOUND)
        return before;
    if (after && after != LSM_NOT_FOUND)
        return after;
    it->undo->has_changed =
        before != after ||
        (!after && !slice_equal(slice_of(it->values[0].data, it->values[0].size),
                                slice_of(it->values[1].data, it->values[1].size)));
    return it->undo->has_changed ? status_fail(LSM_CANCELLED, "a key was changed") : LSM_OK;
}

static void undo_next(struct iter *iter)
{
    struct undo_iter *it = (struct undo_iter *)iter;
    const struct db_undo *undo = it->undo;
    struct slice key;
    int rc;
    bool skip = true;
    do {
        rc = lsm_diff_next(it->diff);
        if (rc <= 0)
            break;
        key.data = lsm_diff_key(it->diff, &key.size);
        skip = undo->skip && undo->skip(undo->arg, key.data, key.size);
        if (!skip && undo->fixed && undo->fixed(undo->arg, key.data, key.size))
            rc = check_fixed(it, key);
    } while (rc >= 0 && skip);
    iter->valid = false;
    iter->status = rc < 0 ? rc : LSM_OK;
    if (rc < 0 || skip)
        return;
    iter->status = undo_entry(it, key);
    iter->valid = iter->status == LSM_OK;
}

static const struct iter_ops undo_ops = {.seek_first = undo_next, .next = undo_next};

int db_undo_write(struct lsm *db, struct db_undo *undo, struct version_edit *edit)
{
    assert(undo->shown == undo->then || undo->shown == undo->now);
    assert(undo->sequence > db_last_sequence(db));
    struct undo_iter it = {.iter.ops = &undo_ops, .db = db, .undo = undo};
    int rc = lsm_diff_new(db, undo->then, undo->now, &it.diff);
    if (!rc)
        rc = db_write_level0_from(db, &it.iter, edit);
    struct status_kept kept;
    status_keep(&kept);
    lsm_diff_free(it.diff);
    buf_release(&it.value);
    lsm_buf_release(&it.values[0]);
    lsm_buf_release(&it.values[1]);
    status_restore(&kept);
    return rc;
}

// Not checked: clang cannot say of a function's own body that it comes out with a lock or without.
bool db_lead_when_flushed(struct lsm *db, struct writer *writer, int *ret_status) NOT_CHECKED
{
    for (;;) {
        *ret_status = lsm_flush(db);
        if (*ret_status)
            return false;
        db_lead_acquire(db, writer);
        db_lock(db);
        bool empty = db_immutables(db) == 0 && memtable_entries(db_active(db)) == 0;
        db_unlock(db);
        if (empty)
            return true;
        db_lead_release(db, writer); // somebody has written since the flush: once more
    }
}

// Writes the table and makes it the newest. With the lead, all memtables empty.
static int rollback_to(struct lsm *db, struct db_undo *undo) REQUIRES(db_lead)
{
    struct version_edit edit = {0};
    undo->sequence = db_last_sequence(db) + 1;
    undo->shown = undo->then;
    int rc = lsm_snapshot_brief(db, &undo->now); // one of another kind would wait for writers
    if (!rc)
        rc = db_undo_write(db, undo, &edit);
    if (!rc && edit.added_count)
        rc = db_publish(db, &edit, undo->sequence, NULL, NULL);
    if (rc)
        db_remove_added(db, &edit);
    struct status_kept kept;
    status_keep(&kept);
    version_edit_release(&edit);
    lsm_snapshot_free(db, undo->now);
    status_restore(&kept);
    return rc;
}

int lsm_snapshot_rollback(struct lsm *db, const char *name, lsm_keep_fn *keep, void *arg)
{
    struct db_undo undo = {.skip = keep, .arg = arg};
    struct writer writer;
    if (db->options.read_only)
        return status_fail(LSM_READ_ONLY, "the store is open read-only");
    int rc = lsm_snapshot_open(db, name, &undo.then);
    if (rc)
        return rc;
    if (db_lead_when_flushed(db, &writer, &rc)) {
        rc = rollback_to(db, &undo);
        db_lead_release(db, &writer);
    }
    struct status_kept kept;
    status_keep(&kept);
    lsm_snapshot_free(db, undo.then);
    status_restore(&kept);
    return rc;
}
