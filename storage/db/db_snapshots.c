// Named snapshots: a name and a sequence number in the manifest.
//
// Making one: a snapshot in memory fixes the sequence number and holds back flushes and
// compactions; the log is synced, so that the manifest never names a state that a power cut could
// take back; then one version edit makes it lasting. What it costs does not depend on the store's
// size. Removing one is an edit too; the space comes back as compaction rewrites what only it could
// see (compact_pick_kept).
//
// The set is changed by whoever has the manifest lead, with the mutex; so it may be read with
// either. What compaction keeps are the set's sequences and those of the snapshots in memory.
#include "db/db_snapshots.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

#include "base/coding.h"
#include "base/hash.h"
#include "base/numbers.h"
#include "db/db.h"

static uint64_t wall_clock_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static int no_snapshot(const char *name)
{
    return status_fail(LSM_NOT_FOUND, "there is no snapshot %s", name);
}

static int check_new_name(const struct snapshot_set *set, const char *name)
{
    if (!snapshot_name_legal(slice_str(name)))
        return status_fail(LSM_INVALID,
                           "a snapshot cannot be called \"%s\": 1 to %u bytes, no '/', no control "
                           "characters, not '.' or '..'",
                           name, LSM_SNAPSHOT_NAME_MAX);
    if (snapshot_set_find(set, slice_str(name)))
        return status_fail(LSM_EXISTS, "there is a snapshot %s already", name);
    return LSM_OK;
}

// ------------------------------------------------------------------------------------- changing

int db_edit_create(const struct snapshot_set *set, struct version_edit *edit,
                   const struct lsm_snapshot_info *creation)
{
    int rc = check_new_name(set, creation->name);
    uint64_t id = set->next_id ? set->next_id : 1;
    if (!rc && id >= LSM_SNAPSHOT_ID_MAX)
        rc = status_fail(LSM_INVALID, "all numbers for snapshots are used up");
    if (!rc)
        rc = snapshot_set_add(&edit->snapshots_added, id, creation->sequence, creation->created_us,
                              slice_str(creation->name));
    if (!rc)
        snapshot_set_identify(&edit->snapshots_added, id, creation->identity);
    return rc;
}

static int edit_create(const struct snapshot_set *set, struct version_edit *edit, void *arg)
{
    return db_edit_create(set, edit, arg);
}

static int snapshot_create(struct lsm *db, const char *name, struct lsm_snapshot_info *creation)
{
    const struct lsm_snapshot *held;
    if (db->options.read_only)
        return status_fail(LSM_READ_ONLY, "the store is open read-only");
    // Checked first, so that nothing is synced for a name that cannot be.
    int rc = db_named_check(db, name);
    if (!rc)
        rc = lsm_snapshot_new(db, &held);
    if (rc)
        return rc;
    creation->name = name;
    creation->sequence = held->sequence;
    rc = lsm_sync(db);
    if (!rc)
        rc = db_change_snapshots(db, edit_create, creation);
    struct status_kept kept;
    status_keep(&kept);
    lsm_snapshot_free(db, held);
    status_restore(&kept);
    return rc;
}

int lsm_snapshot_create(struct lsm *db, const char *name)
{
    struct lsm_snapshot_info creation = {.created_us = wall_clock_us()};
    uint8_t identity[LSM_SNAPSHOT_IDENTITY];
    // Without random bytes the identity is made of what else is known of the snapshot
    // (db_snapshot_info).
    if (getrandom(identity, sizeof identity, GRND_NONBLOCK) == (ssize_t)sizeof identity)
        memcpy(creation.identity, identity, sizeof identity);
    return snapshot_create(db, name, &creation);
}

int lsm_snapshot_create_as(struct lsm *db, const char *name, const struct lsm_snapshot_info *origin)
{
    struct lsm_snapshot_info creation = {.created_us = origin->created_us};
    memcpy(creation.identity, origin->identity, sizeof creation.identity);
    return snapshot_create(db, name, &creation);
}

static int edit_delete(const struct snapshot_set *set, struct version_edit *edit, void *arg)
{
    const struct snapshot_record *r = snapshot_set_find(set, slice_str(arg));
    return r ? version_edit_remove_snapshot(edit, r->id) : no_snapshot(arg);
}

int lsm_snapshot_delete(struct lsm *db, const char *name)
{
    if (db->options.read_only)
        return status_fail(LSM_READ_ONLY, "the store is open read-only");
    return db_change_snapshots(db, edit_delete, (void *)(uintptr_t)name);
}

struct snapshot_renaming {
    const char *from, *to;
};

static int edit_rename(const struct snapshot_set *set, struct version_edit *edit, void *arg)
{
    const struct snapshot_renaming *renaming = arg;
    const struct snapshot_record *r = snapshot_set_find(set, slice_str(renaming->from));
    if (!r)
        return no_snapshot(renaming->from);
    int rc = check_new_name(set, renaming->to);
    if (!rc)
        rc = version_edit_remove_snapshot(edit, r->id);
    if (!rc)
        rc = snapshot_set_add(&edit->snapshots_added, r->id, r->sequence, r->created_us,
                              slice_str(renaming->to));
    if (!rc)
        snapshot_set_identify(&edit->snapshots_added, r->id, r->identity);
    edit->snapshots_added.next_id = 0; // 0: the edit does not change it
    return rc;
}

int lsm_snapshot_rename(struct lsm *db, const char *from, const char *to)
{
    if (db->options.read_only)
        return status_fail(LSM_READ_ONLY, "the store is open read-only");
    struct snapshot_renaming renaming = {from, to};
    return db_change_snapshots(db, edit_rename, &renaming);
}

// ------------------------------------------------------------------------------------- reading

int db_named_check(struct lsm *db, const char *name)
{
    db_lock(db);
    int rc = check_new_name(db_named(db), name);
    db_unlock(db);
    return rc;
}

struct lsm_snapshot_info db_snapshot_info(const struct snapshot_record *r)
{
    static const uint8_t none[LSM_SNAPSHOT_IDENTITY];
    struct lsm_snapshot_info info = {
        .name = r->name, .id = r->id, .sequence = r->sequence, .created_us = r->created_us};
    const uint64_t known[3] = {r->id, r->sequence, r->created_us};
    memcpy(info.identity, r->identity, sizeof info.identity);
    if (memcmp(r->identity, none, sizeof none) == 0) {
        put_fixed64(info.identity, hash64_seeded(known, sizeof known, 1));
        put_fixed64(info.identity + 8, hash64_seeded(known, sizeof known, 2));
    }
    return info;
}

int lsm_snapshot_list(struct lsm *db, lsm_snapshot_fn *fn, void *arg)
{
    struct snapshot_set copy;
    db_lock(db);
    int rc = snapshot_set_copy(db_named(db), &copy);
    db_unlock(db);
    if (rc)
        return rc;
    for (size_t i = 0; i < copy.count && !rc; i++) {
        const struct lsm_snapshot_info info = db_snapshot_info(&copy.at[i]);
        rc = fn(arg, &info);
    }
    snapshot_set_release(&copy);
    return rc;
}

// Puts the snapshot where it belongs in the list by sequence; mutex held.
static void list_insert(struct lsm *db, struct lsm_snapshot *snapshot) REQUIRES(db_mutex)
{
    struct lsm_snapshot *before = db->snapshots.list.prev;
    while (before != &db->snapshots.list && before->sequence > snapshot->sequence)
        before = before->prev;
    snapshot->prev = before;
    snapshot->next = before->next;
    assert(snapshot->next == &db->snapshots.list || snapshot->next->sequence > snapshot->sequence);
    snapshot->prev->next = snapshot;
    snapshot->next->prev = snapshot;
}

int lsm_snapshot_open(struct lsm *db, const char *name, const struct lsm_snapshot **ret_snapshot)
{
    struct lsm_snapshot *snapshot = malloc(sizeof *snapshot);
    if (!snapshot)
        return status_no_memory(sizeof *snapshot);
    db_lock(db);
    const struct snapshot_record *r = snapshot_set_find(db_named(db), slice_str(name));
    if (r) {
        *snapshot = (struct lsm_snapshot){.sequence = r->sequence, .id = r->id};
        if (db->options.follow) // the writer may delete it at any time
            snapshot->view = db_view_ref(db, NULL);
        else
            list_insert(db, snapshot);
    }
    db_unlock(db);
    if (!r) {
        free(snapshot);
        return no_snapshot(name);
    }
    *ret_snapshot = snapshot;
    return LSM_OK;
}

uint64_t lsm_snapshot_id(const struct lsm_snapshot *snapshot)
{
    return snapshot->id;
}

int db_snapshots_collect(struct lsm *db, uint64_t **ret_sequences, size_t *ret_count)
{
    size_t count = db_named(db)->count, i = 0;
    for (struct lsm_snapshot *s = db->snapshots.list.next; s != &db->snapshots.list; s = s->next)
        count++;
    uint64_t *sequences = malloc((count ? count : 1) * sizeof *sequences);
    if (!sequences)
        return status_no_memory(count * sizeof *sequences);
    for (size_t n = 0; n < db_named(db)->count; n++)
        sequences[i++] = db_named(db)->at[n].sequence;
    for (struct lsm_snapshot *s = db->snapshots.list.next; s != &db->snapshots.list; s = s->next)
        sequences[i++] = s->sequence;
    assert(i == count);
    numbers_sort(sequences, count);
    *ret_sequences = sequences;
    *ret_count = count;
    return LSM_OK;
}

int db_count_dead(struct lsm *db)
{
    if (!db->snapshots.dead_stale)
        return LSM_OK;
    uint64_t *sequences;
    size_t count;
    int rc = db_snapshots_collect(db, &sequences, &count);
    if (rc)
        return rc;
    for (unsigned n = 0; n < VERSION_LEVELS; n++) {
        const struct version_level *level = &db_version(db)->levels[n];
        for (unsigned i = 0; i < level->count; i++) {
            struct file_meta *file = level->files[i];
            file->dead_bytes = kept_dead_bytes(file->kept, file->kept_count, sequences, count);
        }
    }
    free(sequences);
    db->snapshots.dead_stale = false;
    return LSM_OK;
}

uint64_t db_oldest_snapshot(struct lsm *db)
{
    const struct lsm_snapshot *first = db->snapshots.list.next;
    uint64_t oldest = first == &db->snapshots.list
                          ? atomic_load_explicit(&db->readers.visible, memory_order_relaxed)
                          : first->sequence;
    uint64_t named = snapshot_set_oldest(db_named(db), oldest);
    return named < oldest ? named : oldest;
}
