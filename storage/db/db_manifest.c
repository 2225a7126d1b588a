// Changing the current version: log the edit in the manifest, then show readers the result.
//
// One change at a time (the manifest lead); its I/O runs outside of the mutex. Order: memory for
// the view first, the new version next (which validates the edit), then the manifest, then the
// switch, which cannot fail. A full disk leaves everything as it was. Any other failed manifest
// write leaves it unknown which version a restart would find, so from then on nothing is removed
// and the store is read-only.
#include <assert.h>
#include <stdlib.h>

#include "db/db.h"
#include "db/db_blob.h"

#define MANIFEST_MAX_BYTES (4u << 20) // beyond it a new one is started with a snapshot

// Starts a new manifest with `version` and `snapshots` as they will be. Manifest lead held.
static int manifest_roll(struct lsm *db, struct version *version,
                         const struct snapshot_set *snapshots, const struct version_edit *edit)
    REQUIRES(db_manifest_lead)
{
    struct manifest_state state = {
        .version = version,
        .log_number = edit->has_log_number ? edit->log_number : db_manifest_log_as_lead(db),
        .next_file = atomic_load(&db->files.next),
        .last_sequence =
            edit->has_last_sequence ? edit->last_sequence : db_manifest_sequence_as_lead(db),
        .snapshots = *snapshots,
    };
    uint64_t number = db_new_file_number(db), old_number = manifest_number(db->manifest.writer);
    assert(number > old_number);
    state.next_file = atomic_load(&db->files.next);
    struct manifest *manifest;
    char name[STORE_NAME_MAX];
    int rc = manifest_create(db->env, number, &state, &manifest);
    if (status_is_clean(rc)) // the old manifest is still in force
        return manifest_append(db->manifest.writer, edit);
    if (rc)
        return rc;
    manifest_free(db->manifest.writer);
    db->manifest.writer = manifest;
    store_file_name(name, STORE_MANIFEST, old_number);
    (void)!db->env->ops->unlink(db->env, name);
    return LSM_OK;
}

// Tables the edit removes and does not put back on another level.
static void mark_obsolete(const struct version *base, const struct version_edit *edit)
{
    for (unsigned i = 0; i < edit->removed_count; i++) {
        const struct version_level *level = &base->levels[edit->removed[i].level];
        uint64_t number = edit->removed[i].number;
        bool moved = false;
        for (unsigned k = 0; k < edit->added_count && !moved; k++)
            moved = edit->added[k].file->number == number;
        for (unsigned k = 0; k < level->count && !moved; k++)
            if (level->files[k]->number == number)
                atomic_store_explicit(&level->files[k]->obsolete, true, memory_order_release);
    }
}

// The lead is no lock that clang knows.
void db_manifest_begin(struct lsm *db) NOT_CHECKED
{
    while (db->manifest.busy)
        db_wait(db, &db->changed);
    db->manifest.busy = true;
}

void db_manifest_end(struct lsm *db) NOT_CHECKED
{
    assert(db->manifest.busy);
    db->manifest.busy = false;
    pthread_cond_broadcast(&db->changed);
}

// Takes the lead for a change of the current version, which gets a reference. False: *ret_status
// says why the store takes no changes.
static bool lead_take(struct lsm *db, struct version **ret_base, int *ret_status)
    TRY_ACQUIRES(db_manifest_lead)
{
    db_lock(db);
    db_manifest_begin(db);
    *ret_status = db_check_error(db);
    bool usable = !*ret_status;
    if (usable) {
        *ret_base = db->manifest.version;
        version_ref(db->manifest.version);
    } else {
        db_manifest_end(db);
    }
    db_unlock(db);
    return usable;
}

// What an edit is going to change, made before it is logged.
struct view_change {
    struct version *base, *version;
    struct read_view *view;
    struct snapshot_set named; // as they will be, if the edit changes them
    bool drop_immutable;       // the oldest immutable memtable goes
    bool publish;              // see db_publish()
};

// Readers see the change from here on.
static void install(struct lsm *db, const struct view_change *change,
                    const struct version_edit *edit) REQUIRES(db_mutex) REQUIRES(db_manifest_lead)
{
    db_manifest_set(db, edit->has_log_number ? edit->log_number : db_manifest_log_as_lead(db),
                    edit->has_last_sequence ? edit->last_sequence : db_manifest_sequence(db));
    db->manifest.version = change->version;
    if (change->drop_immutable)
        db_drop_oldest_immutable(db);
    db_view_install(db, change->view);
    if (change->publish) { // before a compaction or a snapshot can come in: they need the mutex
        atomic_fetch_add(&db->readers.snapshots_taken, 1); // as lsm_snapshot_new() does
        atomic_store_explicit(&db->readers.visible, edit->last_sequence, memory_order_release);
    }
    db_update_pressure(db);
}

// Logs the edit, by a new manifest if the present one is long.
static int manifest_log(struct lsm *db, struct version *version,
                        const struct snapshot_set *snapshots, const struct version_edit *edit)
    REQUIRES(db_manifest_lead)
{
    if (manifest_size(db->manifest.writer) > MANIFEST_MAX_BYTES)
        return manifest_roll(db, version, snapshots, edit);
    return manifest_append(db->manifest.writer, edit);
}

static int view_change_prepare(struct lsm *db, struct version_edit *edit,
                               struct view_change *change) REQUIRES(db_manifest_lead)
{
    edit->has_next_file = true;
    edit->next_file = atomic_load(&db->files.next);
    int rc = db_view_new(&change->view);
    for (unsigned i = 0; i < edit->added_count && !rc; i++)
        rc = db_adopt_file(db, edit->added[i].file);
    if (!rc && version_edit_has_snapshots(edit)) {
        rc = snapshot_set_copy(db_named_as_lead(db), &change->named);
        if (!rc)
            rc = version_edit_apply_snapshots(edit, &change->named);
    }
    if (!rc)
        rc = version_apply(change->base, edit, &change->version);
    return rc;
}

// Ends the manifest lead: shows the change, or gives it up after the failure `rc`. Takes over what
// `change` has.
static int view_change_end(struct lsm *db, struct version_edit *edit, struct view_change *change,
                           int rc, bool unknown) RELEASES(db_manifest_lead)
{
    struct memtable *memtable = NULL;
    struct db_log *log = NULL;
    db_lock(db);
    if (!rc) {
        mark_obsolete(change->base, edit);
        db_blob_account(change->base, edit);
        if (change->drop_immutable) {
            memtable = db_immutable(db, 0);
            db_blob_flushed(memtable);
            log = db_immutable_log(db, 0);
        }
        if (version_edit_has_snapshots(edit))
            db_swap_named(db, &change->named);
        install(db, change, edit);
    } else if (unknown) {
        atomic_store_explicit(&db->files.keep, true, memory_order_release);
        db_set_error(db, rc, "writing the manifest failed");
    }
    db_manifest_end(db);
    for (unsigned i = 0; i < edit->added_count && !rc; i++)
        db->snapshots.dead_stale = db->snapshots.dead_stale || edit->added[i].file->kept_count > 0;
    db->snapshots.dead_stale = db->snapshots.dead_stale || edit->snapshots_removed_count > 0;
    if (edit->snapshots_removed_count)
        pthread_cond_broadcast(&db->work); // there may be something to compact now
    db_unlock(db);

    snapshot_set_release(&change->named);
    version_unref(change->base);
    if (rc) {
        if (change->version)
            version_unref(change->version);
        db_view_unref(change->view);
        return rc;
    }
    version_unref(change->base); // the store's own reference to the replaced version
    if (change->drop_immutable) {
        memtable_unref(memtable);
        db_log_retire(db, log);
    }
    return LSM_OK;
}

// Applies the edit. The caller has the manifest lead, which ends here.
static int apply_edit(struct lsm *db, struct version_edit *edit, struct view_change *change)
    RELEASES(db_manifest_lead)
{
    bool unknown = false; // whether the edit is in the manifest
    int rc = view_change_prepare(db, edit, change);
    if (!rc) {
        const struct snapshot_set *named =
            version_edit_has_snapshots(edit) ? &change->named : db_named_as_lead(db);
        rc = manifest_log(db, change->version, named, edit);
        unknown = rc && !status_is_clean(rc);
    }
    return view_change_end(db, edit, change, rc, unknown);
}

int db_apply_edit(struct lsm *db, struct version_edit *edit, bool drop_immutable)
{
    struct view_change change = {.drop_immutable = drop_immutable};
    int rc;
    if (lead_take(db, &change.base, &rc))
        rc = apply_edit(db, edit, &change);
    return rc;
}

// `add` may be NULL.
static int apply_edit_with(struct lsm *db, struct version_edit *edit, db_edit_fn *add, void *arg,
                           bool publish)
{
    struct view_change change = {.publish = publish};
    int rc;
    if (!lead_take(db, &change.base, &rc))
        return rc;
    rc = add ? add(db_named_as_lead(db), edit, arg) : LSM_OK;
    return rc ? view_change_end(db, edit, &change, rc, false) : apply_edit(db, edit, &change);
}

int db_publish(struct lsm *db, struct version_edit *edit, uint64_t sequence, db_edit_fn *add,
               void *arg)
{
    assert(memtable_entries(db_active_as_lead(db)) == 0);
    assert(sequence > db->queue.last_sequence);
    edit->has_last_sequence = true;
    edit->last_sequence = sequence;
    int rc = apply_edit_with(db, edit, add, arg, true);
    if (!rc)
        db->queue.last_sequence = sequence;
    return rc;
}

int db_change_snapshots(struct lsm *db, db_edit_fn *change, void *arg)
{
    struct version_edit edit = {0};
    int rc = apply_edit_with(db, &edit, change, arg, false);
    version_edit_release(&edit);
    return rc;
}
