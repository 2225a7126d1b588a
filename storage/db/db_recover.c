// Recovery: from what is on disk to the state at the last acknowledged write.
//
// The manifest gives the tables and the first log that still matters. The logs are replayed in the
// order of their numbers; their records must continue each other's sequence numbers without a gap.
// A log ends at its first invalid record. Then:
//  - nothing after it, or only unsynced bytes: the normal end after a crash;
//  - a record that points at blob bytes which are not there: it was not synced, and counts as the
//    torn end of its log. Records that were synced are not looked at: their blobs were synced
//    first;
//  - a gap at the start of a later log (an older log's unsynced tail was lost in a power cut): that
//    log and all after it are dropped, unless something in them was synced, which makes it
//    corruption, since a sync covers all older logs.
//
// What was replayed is written to level 0, and a new manifest and log are started, so old logs are
// never appended to. On a disk that has no room for the tables the entries stay in memory as an
// immutable memtable, and their logs count until it is flushed: then opening takes no more than a
// manifest and the first page of a log. Read-only opening keeps the replayed entries in memory and
// writes nothing.
//
// Nobody else has the store yet, so the locks are not taken, and clang does not check them here.
//
// An opening that fails removes what it has made, and gives the reserve that it has swept away back
// its space. Nothing is removed if CURRENT may name the new manifest.
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/numbers.h"
#include "db/db.h"
#include "db/db_blob.h"
#include "db/db_replay.h"
#include "wal/wal_format.h"
#include "wal/wal_reader.h"

struct found_files {
    struct number_list logs, recycled;
    bool blobs;          // there are blob files
    uint64_t max_number; // of any file
};

struct replay {
    struct lsm *db;
    struct memtable *memtable;
    struct memtable_hint hint;
    struct version_edit edit;
    uint64_t sequence; // of the last operation replayed
    const char *path;  // of the log being read
    bool gap;          // its first record does not continue the one before
    bool blob_torn;    // a record's blobs are not there: it ends the log
    bool in_memory;    // no tables are written
    uint64_t gap_log;  // the log that the gap is before; what it has is dropped
    uint64_t durable;  // what lies before this offset of the log was synced
    uint64_t records;
};

static int scan_name(void *arg, const char *name)
{
    struct found_files *found = arg;
    uint64_t number;
    enum store_file kind = store_file_parse(name, &number);
    if (kind == STORE_TABLE || kind == STORE_LOG || kind == STORE_MANIFEST ||
        kind == STORE_RECYCLED || kind == STORE_BLOB)
        found->max_number = number > found->max_number ? number : found->max_number;
    found->blobs = found->blobs || kind == STORE_BLOB;
    if (kind == STORE_LOG)
        return number_list_add(&found->logs, number);
    if (kind == STORE_RECYCLED)
        return number_list_add(&found->recycled, number);
    return LSM_OK;
}

// ------------------------------------------------------------------------------------- replay

static int replay_flush(struct replay *replay)
{
    if (memtable_entries(replay->memtable) == 0)
        return LSM_OK;
    // The blobs may be in the page cache only: the process that wrote them may have died before it
    // synced them.
    int rc = blob_refs_sync(db_memtable_blobs(replay->memtable));
    if (!rc)
        rc = db_write_level0(replay->db, replay->memtable, &replay->edit);
    if (rc)
        return rc;
    struct memtable *fresh;
    rc = db_memtable_new(replay->db, &fresh);
    if (rc)
        return rc;
    db_blob_flushed(replay->memtable);
    memtable_unref(replay->memtable);
    replay->memtable = fresh;
    memset(&replay->hint, 0, sizeof replay->hint);
    return LSM_OK;
}

static int replay_record(void *arg, uint64_t sequence, struct slice payload, uint64_t offset)
{
    struct replay *replay = arg;
    uint64_t last;
    if (replay->gap || replay->blob_torn)
        return LSM_OK;
    if (sequence != replay->sequence + 1) {
        if (sequence > replay->sequence && replay->records == 0) {
            replay->gap = true;
            return LSM_OK;
        }
        return status_fail(LSM_CORRUPTION,
                           "%s: record at %" PRIu64 " has sequence %" PRIu64 ", expected %" PRIu64,
                           replay->path, offset, sequence, replay->sequence + 1);
    }
    int rc = db_replay_batch(replay->db, replay->memtable, &replay->hint, payload, sequence,
                             offset >= replay->durable, &last);
    if (rc > 0) {
        replay->blob_torn = true;
        logger_log(&replay->db->logger, LSM_LOG_INFO,
                   "%s: the unsynced record at %" PRIu64 " lacks its blobs: %s", replay->path,
                   offset, lsm_error_detail());
        return LSM_OK;
    }
    if (rc == LSM_CORRUPTION)
        return status_fail(rc, "%s: record at %" PRIu64 " %s", replay->path, offset,
                           lsm_error_detail());
    if (rc)
        return rc;
    replay->sequence = last;
    replay->records++;
    if (!replay->in_memory && !replay->db->options.read_only &&
        memtable_bytes(replay->memtable) >= replay->db->options.write_buffer_size)
        rc = replay_flush(replay);
    return rc;
}

static int skip_record(void *arg, uint64_t sequence, struct slice payload, uint64_t offset)
{
    (void)arg, (void)sequence, (void)payload, (void)offset;
    return LSM_OK;
}

static int replay_logs(struct replay *replay, const struct found_files *found, uint64_t first)
{
    struct lsm *db = replay->db;
    for (size_t i = 0; i < found->logs.count; i++) {
        char name[STORE_NAME_MAX], path[STATUS_DETAIL_MAX];
        struct wal_read_result result;
        if (found->logs.at[i] < first)
            continue;
        store_file_name(name, STORE_LOG, found->logs.at[i]);
        env_full_name(db->env, name, path, sizeof path);
        int rc = LSM_OK;
        bool gap_before = replay->gap;
        replay->path = path;
        replay->records = 0;
        replay->blob_torn = false;
        replay->durable = 0;
        if (found->blobs) {
            rc = wal_read(db->env, name, found->logs.at[i], skip_record, NULL, &result);
            replay->durable = rc ? 0 : result.max_durable;
        }
        if (!rc)
            rc = wal_read(db->env, name, found->logs.at[i], replay_record, replay, &result);
        if (rc)
            return rc;
        if (replay->gap && result.records && result.max_durable > WAL_HEADER_SIZE)
            return status_fail(LSM_CORRUPTION,
                               "%s: synced records follow a gap after sequence %" PRIu64
                               ": an older log was damaged",
                               path, replay->sequence);
        if (replay->gap && !gap_before) {
            replay->gap_log = found->logs.at[i];
            logger_log(&db->logger, LSM_LOG_WARN,
                       "%s: dropped unsynced writes that followed a torn log", path);
        } else if (result.torn)
            logger_log(&db->logger, LSM_LOG_INFO,
                       "%s: ends with a torn unsynced record at %" PRIu64, path, result.end);
    }
    return LSM_OK;
}

// ------------------------------------------------------------------------------------- leftovers

// Removes what a crash left behind: logs that were replayed, tables in no version, old manifests,
// temporary files, recycled logs.
static int sweep_name(void *arg, const char *name) NOT_CHECKED
{
    struct lsm *db = arg;
    uint64_t number;
    enum store_file kind = store_file_parse(name, &number);
    bool keep = kind == STORE_UNKNOWN || kind == STORE_CURRENT || kind == STORE_LOCK ||
                kind == STORE_FOLLOWERS || kind == STORE_UNFINISHED;
    if (kind == STORE_MANIFEST)
        keep = number == manifest_number(db->manifest.writer);
    if (kind == STORE_LOG)
        keep = number >= db->manifest.log_number;
    if (kind == STORE_BLOB) // a blob file that the registry knows goes when nothing refers to it
        keep = blob_store_knows(db->blobs, number);
    if (kind == STORE_TABLE) {
        for (unsigned n = 0; n < VERSION_LEVELS && !keep; n++)
            for (unsigned i = 0; i < db->manifest.version->levels[n].count && !keep; i++)
                keep = db->manifest.version->levels[n].files[i]->number == number;
    }
    if (keep)
        return LSM_OK;
    if ((kind == STORE_TABLE || kind == STORE_BLOB) && db->files.followed)
        return db_note_obsolete(db, kind, number);
    (void)!db->env->ops->unlink(db->env, name);
    return LSM_OK;
}

// ------------------------------------------------------------------------------------- the whole

// Replays the logs and puts all entries into tables; a store that is opened read-only keeps them in
// the memtable.
static int replay_to_tables(struct replay *replay, const struct found_files *found,
                            const struct manifest_state *state)
{
    int rc = replay_logs(replay, found, state->log_number);
    return rc || replay->db->options.read_only ? rc : replay_flush(replay);
}

// Replays all logs from the start into one memtable: the disk had no room for tables.
static int replay_to_memory(struct replay *replay, const struct found_files *found,
                            const struct manifest_state *state)
{
    struct memtable *fresh;
    struct lsm *db = replay->db;
    logger_log(&db->logger, LSM_LOG_WARN, "%s; the logs are kept until there is room",
               lsm_error_detail());
    db_remove_added(db, &replay->edit);
    version_edit_release(&replay->edit);
    int rc = db_memtable_new(db, &fresh);
    if (rc)
        return rc;
    memtable_unref(replay->memtable);
    *replay = (struct replay){
        .db = db, .memtable = fresh, .in_memory = true, .sequence = state->last_sequence};
    return replay_logs(replay, found, state->log_number);
}

static int sync_file(struct lsm *db, const char *name)
{
    struct env_file *file;
    int rc = env_open(db->env, name, ENV_WRITE, &file);
    if (rc)
        return rc;
    rc = env_sync(file);
    (void)env_close(file);
    return rc;
}

// Prepares the logs that were read into memory for the new log to come after them. They are made
// durable, since a sync of the new log promises that all older logs are; those behind a gap, whose
// records were dropped, are removed.
static int settle_logs(struct replay *replay, const struct found_files *found, uint64_t first)
{
    struct lsm *db = replay->db;
    int rc = blob_refs_sync(db_memtable_blobs(replay->memtable));
    for (size_t i = 0; i < found->logs.count && !rc; i++) {
        char name[STORE_NAME_MAX];
        uint64_t number = found->logs.at[i];
        if (number < first)
            continue;
        store_file_name(name, STORE_LOG, number);
        rc = replay->gap && number >= replay->gap_log ? db->env->ops->unlink(db->env, name)
                                                      : sync_file(db, name);
    }
    return rc;
}

// Makes the replayed memtable the oldest immutable one, and an empty one the active one.
static int make_immutable(struct lsm *db, struct replay *replay, uint64_t first) NOT_CHECKED
{
    struct memtable *fresh;
    struct db_log *old;
    int rc = db_memtable_new(db, &fresh);
    if (rc)
        return rc;
    rc = db_log_old(first, db->logs.active->number - 1, &old);
    if (rc) {
        memtable_unref(fresh);
        return rc;
    }
    assert(db_immutables(db) == 0);
    db_add_immutable(db, replay->memtable, old);
    replay->memtable = fresh;
    return LSM_OK;
}

// Starts a manifest and a log. The old ones stay valid until the new manifest is in force.
static int start_writing(struct lsm *db, struct replay *replay, const struct found_files *found,
                         const struct manifest_state *old) NOT_CHECKED
{
    struct version *version;
    assert(!db->manifest.writer && !db->logs.active);
    int rc = replay->in_memory ? settle_logs(replay, found, old->log_number) : LSM_OK;
    for (unsigned i = 0; i < replay->edit.added_count && !rc; i++)
        rc = db_adopt_file(db, replay->edit.added[i].file);
    if (!rc)
        rc = version_apply(db->manifest.version, &replay->edit, &version);
    if (rc)
        return rc;
    version_unref(db->manifest.version);
    db->manifest.version = version;
    rc = db_log_new(db, &db->logs.active);
    if (!rc && replay->in_memory)
        rc = make_immutable(db, replay, old->log_number);
    if (rc)
        return rc;
    db->manifest.log_number = replay->in_memory ? old->log_number : db->logs.active->number;
    db->manifest.last_sequence = replay->in_memory ? old->last_sequence : replay->sequence;
    db->manifest.new_number = db_new_file_number(db);
    struct manifest_state state = {.version = db->manifest.version,
                                   .log_number = db->manifest.log_number,
                                   .next_file = atomic_load(&db->files.next),
                                   .last_sequence = db->manifest.last_sequence,
                                   .snapshots = db->snapshots.named};
    return manifest_create(db->env, db->manifest.new_number, &state, &db->manifest.writer);
}

// A snapshot is in the manifest only after the log was synced up to it.
static int check_snapshots(const struct lsm *db, uint64_t last) NOT_CHECKED
{
    for (size_t i = 0; i < db->snapshots.named.count; i++)
        if (db->snapshots.named.at[i].sequence > last)
            return status_fail(LSM_CORRUPTION,
                               "%s: the logs end at sequence %" PRIu64
                               ", snapshot %s is of %" PRIu64 ": run lsmfsctl repair",
                               db->dir, last, db->snapshots.named.at[i].name,
                               db->snapshots.named.at[i].sequence);
    return LSM_OK;
}

static int recover_run(struct lsm *db, struct found_files *found,
                       struct manifest_state *state) NOT_CHECKED
{
    struct replay replay = {.db = db, .sequence = state->last_sequence};
    db->manifest.version = state->version;
    db->snapshots.named = state->snapshots;
    db->snapshots.dead_stale = true;
    int rc = db_adopt_tables(db, db->manifest.version);
    if (!rc)
        rc = db_memtable_new(db, &replay.memtable);
    if (rc)
        return rc;
    rc = replay_to_tables(&replay, found, state);
    if (rc == LSM_NO_SPACE && !db->options.read_only)
        rc = replay_to_memory(&replay, found, state);
    if (!rc)
        rc = check_snapshots(db, replay.sequence);
    if (!rc && !db->options.read_only)
        rc = start_writing(db, &replay, found, state);
    if (!rc) {
        db_set_active(db, replay.memtable, db->logs.active);
        db->queue.last_sequence = replay.sequence;
        atomic_store(&db->readers.visible, replay.sequence);
        struct read_view *view;
        rc = db_view_new(&view);
        if (!rc) {
            db_view_install(db, view);
            db_update_pressure(db);
        }
    } else {
        memtable_unref(replay.memtable);
    }
    if (!rc)
        db_blob_account_version(db->manifest.version);
    if (!rc && !db->options.read_only) {
        db->logs.spare_state = SPARE_WANTED;
        db->files.followed = db_look_for_followers(db);
        rc = db->env->ops->list(db->env, ENV_HERE, sweep_name, db);
        blob_store_hold(db->blobs, false);
    }
    version_edit_release(&replay.edit);
    return rc;
}

static int discard_name(void *arg, const char *name)
{
    struct lsm *db = arg;
    uint64_t number = 0;
    if (store_file_parse(name, &number) != STORE_UNKNOWN && number >= db->files.first)
        (void)!db->env->ops->unlink(db->env, name);
    return LSM_OK;
}

// Whether CURRENT may name the manifest of this opening.
static bool may_be_in_force(struct lsm *db) NOT_CHECKED
{
    char name[STORE_NAME_MAX];
    struct env_stat stat;
    if (db->manifest.writer)
        return true;
    store_file_name(name, STORE_MANIFEST, db->manifest.new_number);
    return db->manifest.new_number && db->env->ops->stat(db->env, name, &stat) != LSM_NOT_FOUND;
}

// After a failure: removes what this opening has made. Nobody else has the handle yet.
static void discard(struct lsm *db) NOT_CHECKED
{
    struct status_kept kept;
    status_keep(&kept);
    if (!may_be_in_force(db)) {
        db_log_unref(db,
                     db->logs.active); // closed, so that its space is free once the file is removed
        db->logs.active = NULL;
        (void)!db->env->ops->list(db->env, ENV_HERE, discard_name, db);
        db_reserve_file(db->env, db_new_file_number(db), db->space.reserve_swept);
    }
    status_restore(&kept);
}

// Gives back the reserve, and logs that a crash has left: recovery may need their space.
static void remove_recycled(struct lsm *db, const struct found_files *found)
{
    for (size_t i = 0; i < found->recycled.count; i++) {
        char name[STORE_NAME_MAX];
        struct env_stat stat;
        store_file_name(name, STORE_RECYCLED, found->recycled.at[i]);
        if (!db->env->ops->stat(db->env, name, &stat))
            db->space.reserve_swept += stat.allocated_bytes;
        (void)!db->env->ops->unlink(db->env, name);
    }
}

int db_recover(struct lsm *db)
{
    struct found_files found = {0};
    struct manifest_state state = {0};
    int rc = db->env->ops->list(db->env, ENV_HERE, scan_name, &found);
    if (!rc)
        rc = manifest_recover(db->env, &state);
    if (!rc) {
        numbers_sort(found.logs.at, found.logs.count);
        db->files.first =
            found.max_number + 1 > state.next_file ? found.max_number + 1 : state.next_file;
        atomic_store(&db->files.next, db->files.first);
        if (!db->options.read_only)
            remove_recycled(db, &found);
        rc = recover_run(db, &found, &state);
        if (rc && !db->options.read_only)
            discard(db);
    }
    number_list_release(&found.logs);
    number_list_release(&found.recycled);
    return rc;
}
