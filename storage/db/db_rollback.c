// Rolling back: the present becomes what a named snapshot shows.
//
// What was written since is undone by one table of level 0: for each key of the difference, the
// version that the snapshot sees, or a delete, under a sequence number beyond all others. Values in
// blob files are pointed to, not copied. One version edit makes it the present, so a crash finds
// either the one or the other; snapshots go on showing what they showed.
//
// The write lead is held from the last flush on: nothing can be written in between. The difference
// keeps the view, and so the blob files, until the table is in the version.
#include <assert.h>
#include <stdlib.h>

#include "compaction/compact_job.h"
#include "db/db.h"

// The entries that undo; an internal iterator that can only be walked forward.
struct undo {
    struct iter iter; // first: what the merge loop sees
    struct lsm *db;
    struct lsm_diff *diff;
    struct lsm_read_options then; // the snapshot
    lsm_keep_fn *keep;
    void *arg;
    uint64_t sequence;
    struct buf value;
    uint64_t count;
};

static int undo_entry(struct undo *undo, struct slice key)
{
    struct slice value = {0};
    uint64_t tag = 0;
    epoch_pin();
    int rc = db_lookup(undo->db, &undo->then, key, &tag, &value);
    if (!rc && buf_assign(&undo->value, value.data, value.size))
        rc = status_no_memory(value.size);
    epoch_unpin();
    enum entry_type type = rc == LSM_NOT_FOUND ? ENTRY_DELETE : tag_type(tag);
    if (rc == LSM_NOT_FOUND) {
        undo->value.size = 0;
        rc = LSM_OK;
    }
    undo->iter.entry = (struct entry){
        .key = key, .tag = tag_make(undo->sequence, type), .value = buf_slice(&undo->value)};
    return rc;
}

static void undo_next(struct iter *it)
{
    struct undo *undo = (struct undo *)it;
    int rc;
    struct slice key;
    do {
        rc = lsm_diff_next(undo->diff);
        if (rc > 0)
            key.data = lsm_diff_key(undo->diff, &key.size);
    } while (rc > 0 && undo->keep && undo->keep(undo->arg, key.data, key.size));
    it->valid = false;
    it->status = rc < 0 ? rc : LSM_OK;
    if (rc <= 0)
        return;
    it->status = undo_entry(undo, key);
    it->valid = it->status == LSM_OK;
    undo->count += it->valid;
}

static const struct iter_ops undo_ops = {.seek_first = undo_next, .next = undo_next};

// Writes the table and makes it the newest. With the lead, all memtables empty.
static int undo_install(struct lsm *db, struct undo *undo) REQUIRES(db_lead)
{
    struct version_edit edit = {0};
    assert(memtable_entries(db->active) == 0);
    assert(undo->sequence == db->last_sequence + 1);
    int rc = db_write_level0_from(db, &undo->iter, &edit);
    if (!rc && edit.added_count)
        rc = db_apply_edit(db, &edit, false);
    if (rc)
        db_remove_added(db, &edit);
    if (!rc && edit.added_count) {
        db->last_sequence = undo->sequence;
        atomic_store_explicit(&db->visible, undo->sequence, memory_order_release);
    }
    version_edit_release(&edit);
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
        bool empty = db->immutable_count == 0 && memtable_entries(db->active) == 0;
        db_unlock(db);
        if (empty)
            return true;
        db_lead_release(db, writer); // somebody has written since the flush: once more
    }
}

static int rollback_to(struct lsm *db, const struct lsm_snapshot *then, lsm_keep_fn *keep,
                       void *arg) REQUIRES(db_lead)
{
    const struct lsm_snapshot *now = NULL;
    struct undo undo = {.iter.ops = &undo_ops,
                        .db = db,
                        .then.snapshot = then,
                        .keep = keep,
                        .arg = arg,
                        .sequence = db->last_sequence + 1};
    int rc = lsm_snapshot_brief(db, &now); // one of another kind would wait for writers
    if (!rc)
        rc = lsm_diff_new(db, then, now, &undo.diff);
    if (!rc)
        rc = undo_install(db, &undo);
    struct status_kept kept;
    status_keep(&kept);
    lsm_diff_free(undo.diff);
    lsm_snapshot_free(db, now);
    buf_release(&undo.value);
    status_restore(&kept);
    return rc;
}

int lsm_snapshot_rollback(struct lsm *db, const char *name, lsm_keep_fn *keep, void *arg)
{
    const struct lsm_snapshot *then;
    struct writer writer;
    if (db->options.read_only)
        return status_fail(LSM_READ_ONLY, "the store is open read-only");
    int rc = lsm_snapshot_open(db, name, &then);
    if (rc)
        return rc;
    if (db_lead_when_flushed(db, &writer, &rc)) {
        rc = rollback_to(db, then, keep, arg);
        db_lead_release(db, &writer);
    }
    struct status_kept kept;
    status_keep(&kept);
    lsm_snapshot_free(db, then);
    status_restore(&kept);
    return rc;
}
