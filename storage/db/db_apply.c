// Changes that come from elsewhere, and the snapshot that they end in, in one step.
//
// They are written to one table of level 0, large values to blob files, under a sequence number
// beyond all others; one version edit makes the table part of the present, and the snapshot too.
// Before that nothing of it can be seen, and what a crash leaves is removed as what any flush left.
//
// The write lead is held from the last flush on: nothing can be written in between.
#include <assert.h>
#include <stddef.h>
#include <string.h>

#include "db/db.h"

// The changes as an internal iterator that can only be walked forward.
struct applying {
    struct iter iter; // first: what the merge loop sees
    lsm_change_fn *next;
    void *arg;
    uint64_t sequence;
    struct buf last; // the key before
    bool any;
};

static_assert(offsetof(struct applying, iter) == 0, "apply_next() finds the rest by it");

static void apply_next(struct iter *it)
{
    struct applying *applying = (struct applying *)it;
    struct lsm_change change = {0};
    int rc = applying->next(applying->arg, &change);
    struct slice key = slice_of(change.key, change.key_size);
    it->valid = false;
    it->status = rc < 0 ? rc : LSM_OK;
    if (rc <= 0)
        return;
    if (!key.size || key.size > LSM_MAX_KEY || change.value_size > LSM_MAX_VALUE ||
        (applying->any && slice_compare(buf_slice(&applying->last), key) >= 0)) {
        it->status = status_fail(LSM_INVALID,
                                 "a change of a key that is no key, too large, or out of order");
        return;
    }
    if (buf_assign(&applying->last, key.data, key.size)) {
        it->status = status_no_memory(key.size);
        return;
    }
    it->entry = (struct entry){
        .key = key,
        .tag = tag_make(applying->sequence, change.value ? ENTRY_PUT : ENTRY_DELETE),
        .value = slice_of(change.value ? change.value : "", change.value ? change.value_size : 0)};
    applying->any = it->valid = true;
}

static const struct iter_ops apply_ops = {.seek_first = apply_next, .next = apply_next};

// The table or none, and the snapshot. With the lead, all memtables empty.
static int install(struct lsm *db, struct applying *applying, struct snapshot_creation *creation)
    REQUIRES(db_lead)
{
    struct version_edit edit = {0};
    assert(memtable_entries(db->active) == 0);
    int rc = db_write_level0_from(db, &applying->iter, &edit);
    creation->sequence = edit.added_count ? applying->sequence : db->last_sequence;
    edit.has_last_sequence = true;
    edit.last_sequence = creation->sequence;
    if (!rc)
        rc = db_apply_edit_with(db, &edit, db_snapshot_edit, creation);
    if (rc)
        db_remove_added(db, &edit);
    if (!rc && edit.added_count) {
        db->last_sequence = applying->sequence;
        atomic_store_explicit(&db->visible, applying->sequence, memory_order_release);
    }
    version_edit_release(&edit);
    return rc;
}

int lsm_apply(struct lsm *db, lsm_change_fn *next, void *arg, const char *name,
              const struct lsm_snapshot_info *origin)
{
    struct snapshot_creation creation = {.name = name, .created_us = origin->created_us};
    struct applying applying = {.iter.ops = &apply_ops, .next = next, .arg = arg};
    struct writer writer;
    if (db->options.read_only)
        return status_fail(LSM_READ_ONLY, "the store is open read-only");
    int rc = db_named_check(db, name); // so that nothing is written for a name that cannot be
    if (rc)
        return rc;
    memcpy(creation.identity, origin->identity, sizeof creation.identity);
    if (db_lead_when_flushed(db, &writer, &rc)) {
        applying.sequence = db->last_sequence + 1;
        rc = install(db, &applying, &creation);
        db_lead_release(db, &writer);
    }
    buf_release(&applying.last);
    return rc;
}
