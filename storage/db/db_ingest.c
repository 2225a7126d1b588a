// Taking in changes that were made elsewhere to what a named snapshot shows, the base.
//
// They are written to one table of level 0 as they come, while the store goes on being used. Its
// entries have a sequence number that is far ahead of all writes; nobody sees it, since it is in no
// version. A crash leaves a file in no version, which the next opening removes.
//
// Then, with the write lead and all memtables empty, one version edit makes it the present:
//
//     sequence      table
//     last + 1      what was written here since the base, undone
//     ahead         the changes: the new snapshot is of this number
//     ahead + 1     what was written here since the base, and is kept
//
// The numbers in between are never given out. The last one is that of the edit, so the log goes on
// behind it; a crash finds all of it or nothing. The table that undoes, and that which does again,
// point to values in blob files.
//
// Thread safety: an ingest belongs to one thread; the store may be used by any.
#include <assert.h>
#include <stddef.h>
#include <stdlib.h>

#include "db/db.h"

// Writes that there may be while the changes are read. Sequence numbers last for 2^26 times that.
#define AHEAD (UINT64_C(1) << 30)

struct lsm_ingest {
    struct version_edit edit; // adds the table
    uint64_t sequence;
    bool applied;
};

// The changes as entries; an internal iterator that can only be walked forward.
struct change_iter {
    struct iter iter; // first: what the merge loop sees
    lsm_change_fn *next;
    void *arg;
    uint64_t sequence;
    struct buf last; // key
};

static_assert(offsetof(struct change_iter, iter) == 0, "change_next() finds the rest by it");

// LSM_OK or LSM_INVALID.
static int check_change(const struct change_iter *it, const struct lsm_change *change)
{
    struct slice key = slice_of(change->key, change->key_size);
    if (key.size == 0 || key.size > LSM_MAX_KEY || change->value_size > LSM_MAX_VALUE)
        return status_fail(LSM_INVALID, "a change of a key or value that cannot be");
    if (slice_compare(key, buf_slice(&it->last)) <= 0)
        return status_fail(LSM_INVALID, "changes that are not in the order of keys");
    return LSM_OK;
}

static void change_next(struct iter *iter)
{
    struct change_iter *it = (struct change_iter *)iter;
    struct lsm_change change = {0};
    int rc = it->next(it->arg, &change);
    iter->valid = rc > 0;
    if (rc > 0)
        rc = check_change(it, &change);
    if (!rc && iter->valid && buf_assign(&it->last, change.key, change.key_size))
        rc = status_no_memory(change.key_size);
    iter->status = rc;
    iter->valid = iter->valid && !rc;
    if (!iter->valid)
        return;
    enum entry_type type = change.is_delete ? ENTRY_DELETE : ENTRY_PUT;
    iter->entry = (struct entry){.key = slice_of(change.key, change.key_size),
                                 .tag = tag_make(it->sequence, type)};
    if (!change.is_delete)
        iter->entry.value = slice_of(change.value, change.value_size);
}

static const struct iter_ops change_ops = {.seek_first = change_next, .next = change_next};

int lsm_ingest_read(struct lsm *db, lsm_change_fn *next, void *arg, struct lsm_ingest **ret_ingest)
{
    if (db->options.read_only)
        return status_fail(LSM_READ_ONLY, "the store is open read-only");
    struct lsm_ingest *ingest = calloc(1, sizeof *ingest);
    if (!ingest)
        return status_no_memory(sizeof *ingest);
    ingest->sequence = lsm_sequence(db) + AHEAD;
    struct change_iter it = {
        .iter.ops = &change_ops, .next = next, .arg = arg, .sequence = ingest->sequence};
    int rc = db_check_space(db);
    if (!rc)
        rc = db_write_level0_from(db, &it.iter, &ingest->edit);
    buf_release(&it.last);
    if (rc) {
        struct status_kept kept;
        status_keep(&kept);
        lsm_ingest_free(db, ingest);
        status_restore(&kept);
        return rc;
    }
    *ret_ingest = ingest;
    return LSM_OK;
}

void lsm_ingest_free(struct lsm *db, struct lsm_ingest *ingest)
{
    if (!ingest)
        return;
    if (!ingest->applied)
        db_remove_added(db, &ingest->edit);
    version_edit_release(&ingest->edit);
    free(ingest);
}

// ------------------------------------------------------------------------------------- applying

struct applying {
    struct lsm_ingest *ingest;
    const struct lsm_ingest_rules *rules;
    struct lsm_snapshot_info snapshot; // that is made
    const struct lsm_snapshot *base, *now;
    struct version_edit local; // adds what undoes and what is kept
    bool has_changed;          // of fixed keys
};

static bool is_kept(void *arg, const void *key, size_t size)
{
    const struct lsm_ingest_rules *rules = arg;
    return rules->keep && rules->keep(rules->arg, key, size);
}

static bool is_not_kept(void *arg, const void *key, size_t size)
{
    return !is_kept(arg, key, size);
}

static bool is_fixed(void *arg, const void *key, size_t size)
{
    const struct lsm_ingest_rules *rules = arg;
    return !is_kept(arg, key, size) && rules->fixed && rules->fixed(rules->arg, key, size);
}

// The two tables of what was written here.
static int write_local(struct lsm *db, struct applying *a) REQUIRES(db_lead)
{
    struct db_undo undo = {.then = a->base,
                           .now = a->now,
                           .shown = a->base,
                           .sequence = db_last_sequence(db) + 1,
                           .fixed = is_fixed,
                           .arg = (void *)(uintptr_t)a->rules};
    struct db_undo again = {.then = a->base,
                            .now = a->now,
                            .shown = a->now,
                            .sequence = a->ingest->sequence + 1,
                            .skip = is_not_kept,
                            .arg = (void *)(uintptr_t)a->rules};
    int rc = db_undo_write(db, &undo, &a->local);
    a->has_changed = undo.has_changed;
    return rc ? rc : db_undo_write(db, &again, &a->local);
}

static int add_tables(const struct version_edit *from, struct version_edit *edit)
{
    int rc = LSM_OK;
    for (unsigned i = 0; i < from->added_count && !rc; i++)
        rc = version_edit_add(edit, from->added[i].level, from->added[i].file);
    return rc;
}

static int edit_ingest(const struct snapshot_set *set, struct version_edit *edit, void *arg)
{
    const struct applying *a = arg;
    int rc = db_edit_create(set, edit, &a->snapshot);
    if (!rc)
        rc = add_tables(&a->local, edit);
    if (!rc)
        rc = add_tables(&a->ingest->edit, edit);
    return rc;
}

// With the lead, all memtables empty.
static int apply(struct lsm *db, struct applying *a) REQUIRES(db_lead)
{
    if (db_last_sequence(db) + 1 >= a->ingest->sequence)
        return status_fail(LSM_TRY_AGAIN, "too much was written while the changes were read");
    // A brief snapshot: the making of any other waits for writers, and they may wait for the lead.
    int rc = lsm_snapshot_brief(db, &a->now);
    if (!rc)
        rc = write_local(db, a);
    struct version_edit edit = {0};
    if (!rc)
        rc = db_publish(db, &edit, a->ingest->sequence + 1, edit_ingest, a);
    version_edit_release(&edit);
    if (rc)
        db_remove_added(db, &a->local);
    a->ingest->applied = !rc;
    return rc;
}

int lsm_ingest_apply(struct lsm *db, struct lsm_ingest *ingest, const char *base,
                     const struct lsm_snapshot_info *origin, const struct lsm_ingest_rules *rules)
{
    struct applying a = {.ingest = ingest, .rules = rules, .snapshot = *origin};
    struct writer writer;
    assert(!ingest->applied);
    a.snapshot.sequence = ingest->sequence;
    int rc = db_named_check(db, origin->name);
    if (!rc)
        rc = lsm_snapshot_open(db, base, &a.base);
    if (rc)
        return rc;
    if (db_lead_when_flushed(db, &writer, &rc)) {
        rc = apply(db, &a);
        db_lead_release(db, &writer);
    }
    struct status_kept kept;
    status_keep(&kept);
    version_edit_release(&a.local);
    if (a.now)
        lsm_snapshot_free(db, a.now);
    lsm_snapshot_free(db, a.base);
    status_restore(&kept);
    return a.has_changed ? 1 : rc;
}
