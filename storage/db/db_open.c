// Opening and closing a store.
//
// Before anything is written the directory is looked at: it must be absent or empty (a new store is
// made), or hold a store. The lock is taken next, and what counts is what is there then. If the
// opening of a new store fails, or the caller discards it (lsm_discard()), it is removed under the
// same lock, so nobody else's work can be in it.
#include <assert.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cond.h"
#include "db/db.h"
#include "db/db_blob.h"
#include "db/db_place.h"
#include "env_rados/env_rados.h"

// The largest sizes are shares of the disk (1/128 of it for a blob file), but never below these
// bytes.
#define BLOB_DISK_SHARE   128
#define BLOB_LEAST        ((uint64_t)512 << 10)
#define BUFFER_DISK_SHARE 16 // a memtable
#define BUFFER_LEAST      ((uint64_t)256 << 10)
#define TABLE_DISK_SHARE  64
#define TABLE_LEAST       ((uint64_t)256 << 10)
#define FILES_SPARE       128 // open files for logs, for writing, and for the library's user
#define FILES_LEAST       8   // tables that may be open, and blob files, whatever the limit is
#define ENTER_TRIES       100
#define ENTER_PAUSE_US    1000

// ------------------------------------------------------------------------------------- the place

// Opens the directory, or makes it if it may be made.
static int place_open(struct lsm *db)
{
    struct env *base = db->base;
    bool may_create = db->options.create_if_missing && !db->options.read_only;
    db->claim.made_dir = false;
    int rc = base->ops->open_dir(base, db->dir, &db->env);
    if (rc != LSM_NOT_FOUND)
        return rc;
    if (!may_create)
        return status_fail(LSM_NOT_A_STORE, "%s does not exist", db->dir);
    rc = base->ops->mkdir(base, db->dir);
    db->claim.made_dir = !rc;
    if (!rc || rc == LSM_EXISTS) // somebody else has just made the directory: that is as good
        rc = base->ops->open_dir(base, db->dir, &db->env);
    return rc;
}

// Tells a store from a place for a new one.
static int place_judge(struct lsm *db, bool *ret_fresh)
{
    const struct lsm_options *options = &db->options;
    struct db_place place;
    int rc = db_place_look(db->env, &place);
    if (rc)
        return rc;
    // The lock is not held yet: another process may be making a store there.
    bool takes_unfinished = options->unfinished && !options->error_if_exists;
    if (place.unfinished && !takes_unfinished && (db->claim.lock || !place.lock))
        return db_place_unfinished(db->env);
    bool fresh = !place.current && !place.data && !place.unfinished;
    if (fresh && place.foreign)
        return status_fail(LSM_NOT_A_STORE, "%s: not a store, and not empty", db->dir);
    if (fresh && (!options->create_if_missing || options->read_only))
        return status_fail(LSM_NOT_A_STORE, "%s: empty, not a store", db->dir);
    if (!fresh && options->error_if_exists)
        return status_fail(LSM_EXISTS, "%s: a store already", db->dir);
    *ret_fresh = fresh;
    return LSM_OK;
}

// The first manifest of a new store: no tables, no logs. Until CURRENT is there, opening starts
// over. The directory is made durable also if it was there: whoever made it may have died before.
// In a parent that this process may not read it is as durable as it was.
static int create_store(struct lsm *db)
{
    struct manifest_state state = {.log_number = 2, .next_file = 2};
    struct manifest *manifest;
    int rc = db_sync_parent(db->base, db->dir);
    if (!rc || rc == LSM_PERMISSION)
        rc = version_new(&state.version);
    if (rc)
        return rc;
    rc = manifest_create(db->env, 1, &state, &manifest);
    version_unref(state.version);
    if (!rc)
        manifest_free(manifest);
    return rc;
}

// ------------------------------------------------------------------------------------- the handle

static void locks_init(struct lsm *db)
{
    pthread_mutex_init(&db->mutex, NULL);
    pthread_mutex_init(&db->queue.mutex, NULL);
    pthread_mutex_init(&db->files.mutex, NULL);
    pthread_mutex_init(&db->space.hold_mutex, NULL);
    pthread_mutex_init(&db->claim.note_mutex, NULL);
    cond_init(&db->work);
    cond_init(&db->changed);
    cond_init(&db->behind.work);
}

// Nobody else has the handle yet.
static int handle_new(const char *path, const struct lsm_options *options,
                      struct lsm **ret_db) NOT_CHECKED
{
    struct lsm *db = calloc(1, sizeof *db);
    if (!db)
        return status_no_memory(sizeof *db);
    locks_init(db);
    db->options = *options;
    db->options.read_only = options->read_only || options->follow;
    db->logger = (struct logger){options->log, options->log_arg};
    db->base = db_base_env(options, path);
    // a memtable, which ends up to a chunk over its size in each of its arenas
    arena_pool_init(&db->arenas, options->write_buffer_size + options->write_buffer_size / 4);
    db->snapshots.list.next = db->snapshots.list.prev = &db->snapshots.list;
    atomic_init(&db->pace.garbage_max, UINT64_MAX); // until there is a version
    db->dir = strdup(path);
    if (!db->dir) {
        arena_pool_free(&db->arenas);
        free(db);
        return status_no_memory(strlen(path) + 1);
    }
    *ret_db = db;
    return LSM_OK;
}

// How many tables and blob files may stay open: what the process may open, less what it needs
// besides, is shared out between them.
static void fit_to_limit(struct lsm *db, unsigned *ret_tables, unsigned *ret_blobs)
{
    uint64_t tables = db->options.max_open_tables, blobs = DB_BLOB_HANDLES, all = tables + blobs;
    uint64_t limit, file_size;
    db->env->ops->limits(db->env, &limit, &file_size);
    uint64_t spare = limit / 4 < FILES_SPARE ? limit / 4 : FILES_SPARE;
    uint64_t most = limit / 4 * 3 - spare;
    if (all > most) {
        tables = tables * most / all;
        blobs = blobs * most / all;
        tables = tables < FILES_LEAST ? FILES_LEAST : tables;
        blobs = blobs < FILES_LEAST ? FILES_LEAST : blobs;
        logger_log(&db->logger, LSM_LOG_INFO,
                   "%" PRIu64 " files may be open: %" PRIu64 " tables, %" PRIu64 " blob files stay",
                   limit, tables, blobs);
    }
    *ret_tables = (unsigned)tables;
    *ret_blobs = (unsigned)blobs;
}

// On a full disk there must be room for a memtable's table beside its log, for one more table and
// for the live values of a blob file that are copied before its garbage is free. All are small on a
// small disk, so that what counts as low (db_space.c) is enough for them.
static void fit_to_disk(struct lsm *db)
{
    uint64_t free_bytes, total;
    if (db->env->ops->space(db->env, ENV_HERE, &free_bytes, &total))
        return;
    uint64_t blob = total / BLOB_DISK_SHARE < BLOB_LEAST ? BLOB_LEAST : total / BLOB_DISK_SHARE;
    if (db->options.blob_file_size > blob)
        db->options.blob_file_size = (size_t)blob;
    uint64_t buffer =
        total / BUFFER_DISK_SHARE < BUFFER_LEAST ? BUFFER_LEAST : total / BUFFER_DISK_SHARE;
    if (db->options.write_buffer_size > buffer)
        db->options.write_buffer_size = (size_t)buffer;
    uint64_t table =
        total / TABLE_DISK_SHARE < TABLE_LEAST ? TABLE_LEAST : total / TABLE_DISK_SHARE;
    if (db->options.table_size > table)
        db->options.table_size = table;
}

static int caches_new(struct lsm *db)
{
    unsigned tables, blobs;
    fit_to_limit(db, &tables, &blobs);
    fit_to_disk(db);
    int rc = block_cache_new(db->options.block_cache_size, &db->block_cache);
    if (!rc)
        rc = db_blob_store_new(db->env, &db->options, blobs, db->logger, db_new_file_number, db,
                               &db->blobs);
    if (rc)
        return rc;
    atomic_init(&db->map_budget.left, db->options.map_budget);
    struct sst_read_options options = {.checksums = db->options.checksums,
                                       .cache = db->block_cache,
                                       .map_budget = &db->map_budget,
                                       .unmapped = db->options.map_budget == 0};
    return table_cache_new(db->env, tables, &options, &db->table_cache);
}

// From handle_close(), as is the next one.
static void free_obsolete_list(struct lsm *db) NOT_CHECKED
{
    db_remove_obsolete(db);
    while (db->files.obsolete) { // what is left are files that are to be kept
        struct obsolete_file *next = db->files.obsolete->next;
        free(db->files.obsolete);
        db->files.obsolete = next;
    }
}

static void free_logs(struct lsm *db) NOT_CHECKED
{
    for (; db_immutables(db); db_drop_oldest_immutable(db)) {
        memtable_unref(db_immutable(db, 0));
        db_log_unref(db, db_immutable_log(db, 0));
    }
    if (db->logs.spare)
        db->logs.spare->remove = true;
    db_log_unref(db, db->logs.spare);
    db_log_unref(db, db->logs.active);
    db_log_drop_recyclable(db);
}

// Lets go of all files; background threads have ended, so no lock is taken. Works on a partly
// opened handle.
static void handle_close(struct lsm *db) NOT_CHECKED
{
    assert(db->jobs.thread_count == 0);
    if (db->blobs)
        blob_store_hold(db->blobs, true); // what is let go of from here on is still needed
    db_follow_close(db);
    struct read_view *view = atomic_exchange(&db->readers.view, NULL);
    db_view_unref(view);
    if (db_active(db))
        memtable_unref(db_active(db));
    free_logs(db);
    if (db->manifest.version)
        version_unref(db->manifest.version);
    manifest_free(db->manifest.writer);
    epoch_barrier();
    free_obsolete_list(db);
    if (db->table_cache)
        table_cache_free(db->table_cache);
    epoch_barrier();
    blob_store_free(db->blobs);
    if (db->block_cache)
        block_cache_free(db->block_cache);
    db_reserve_free(db); // last, so that it can use all the space that the rest has given back
}

// After handle_close(). Nobody else has the handle any more.
static void handle_free(struct lsm *db) NOT_CHECKED
{
    assert(!atomic_load(&db->readers.view));
    db_cache_end(db);
    if (db->claim.lock)
        db->env->ops->unlock(db->env, db->claim.lock);
    db->base->ops->close_dir(db->env);
    free(db->claim.note);
    for (unsigned i = 0; i < VERSION_LEVELS; i++)
        buf_release(&db->jobs.cursors[i]);
    snapshot_set_release(&db->snapshots.named);
    arena_pool_free(&db->arenas);
    pthread_cond_destroy(&db->behind.work);
    pthread_cond_destroy(&db->changed);
    pthread_cond_destroy(&db->work);
    pthread_mutex_destroy(&db->files.mutex);
    pthread_mutex_destroy(&db->claim.note_mutex);
    pthread_mutex_destroy(&db->space.hold_mutex);
    pthread_mutex_destroy(&db->queue.mutex);
    pthread_mutex_destroy(&db->mutex);
    free(db->dir);
    free(db);
}

// Takes the lock. Whoever follows takes none of the store's, but a shared one of FOLLOWERS, by
// which the writer sees that there is somebody; the writer has that file locked for a moment when
// it looks (db_look_for_followers). *ret_waited: somebody else had the store.
static int take_lock(struct lsm *db, bool *ret_waited)
{
    char name[STORE_NAME_MAX];
    const struct lsm_options *options = &db->options;
    store_file_name(name, options->follow ? STORE_FOLLOWERS : STORE_LOCK, 0);
    int rc;
    bool again;
    unsigned tries = 0;
    do {
        rc = db->env->ops->lock(db->env, name, options->read_only, options->lock_note,
                                &db->claim.lock);
        again = rc == LSM_BUSY;
        if (again && options->follow && (again = ++tries < ENTER_TRIES))
            usleep(ENTER_PAUSE_US);
        else if (again && !options->follow)
            *ret_waited = again = options->lock_wait && options->lock_wait(options->lock_wait_arg);
    } while (again);
    if (!rc && options->lock_note) {
        db_note_lock(db);
        db->claim.note = strdup(options->lock_note);
        db_note_unlock(db);
    }
    return rc;
}

// Opens or makes the directory and takes its lock; claim.fresh is decided under the lock. A
// directory that is removed in between is looked for, or made, again; but a store that was waited
// for is not made anew.
static int place_enter(struct lsm *db)
{
    bool fresh = false, waited = false, awaited = false;
    int rc;
    for (unsigned tries = 0; tries < ENTER_TRIES; tries++) {
        rc = place_open(db);
        if (!rc)
            rc = place_judge(db, &fresh);
        if (!rc)
            rc = take_lock(db, &waited);
        awaited = awaited || (waited && !fresh);
        db->options.create_if_missing = db->options.create_if_missing && !awaited;
        if (rc != LSM_NOT_FOUND)
            break;
        db->base->ops->close_dir(db->env);
        db->env = NULL;
    }
    db->options.lock_note = NULL; // the string is the caller's and must not be kept
    if (!rc)
        rc = place_judge(db, &db->claim.fresh);
    if (awaited && (rc == LSM_NOT_FOUND || rc == LSM_NOT_A_STORE))
        return status_fail(LSM_NOT_FOUND, "%s: the store was removed while it was waited for",
                           db->dir);
    return rc;
}

void lsm_lock_note(struct lsm *db, const char *note)
{
    db_note_lock(db);
    free(db->claim.note);
    db->claim.note = note ? strdup(note) : NULL;
    db->env->ops->lock_note(db->env, db->claim.lock, note ? note : "");
    db_note_unlock(db);
}

// Writes into LOCK that the store is being closed: whoever finds it in use then may wait for it.
static void say_closing(struct lsm *db)
{
    static const char closing[] = "closing";
    char *note = NULL;
    db_note_lock(db);
    bool said = db->claim.note && strncmp(db->claim.note, closing, sizeof closing - 1) == 0;
    if (!said && db->claim.note && asprintf(&note, "%s; %s", closing, db->claim.note) < 0)
        note = NULL;
    db_note_unlock(db);
    if (!said)
        lsm_lock_note(db, note ? note : closing);
    free(note);
}

static int open_run(struct lsm *db)
{
    int rc = place_enter(db);
    if (!rc)
        rc = db_cache_begin(db);
    if (!rc && db->claim.fresh && db->options.unfinished)
        rc = db_place_begin(db->env);
    if (!rc && db->claim.fresh)
        rc = create_store(db);
    if (!rc)
        rc = caches_new(db);
    if (!rc)
        rc = db->options.follow ? db_follow_open(db) : db_recover(db);
    if (!rc && !db->options.read_only) {
        db_reserve_make(db);
        rc = db_background_start(db);
    }
    return rc;
}

// Removes the store that this handle has made: nobody else has had it open, since the lock has been
// held all the time. After handle_close().
static int undo_creation(struct lsm *db)
{
    char name[STORE_NAME_MAX];
    if (db->claim.fresh)
        return db_place_remove(db->base, db->dir, db->env, db->claim.made_dir);
    store_file_name(name, STORE_LOCK, 0);
    if (db->claim.lock)
        (void)!db->env->ops->unlink(db->env, name);
    // The directory stays if somebody has put something there.
    return db->base->ops->rmdir(db->base, db->dir);
}

int lsm_open(const char *path, const struct lsm_options *options, struct lsm **ret_db)
{
    struct lsm_options defaults;
    if (!options) {
        lsm_options_init(&defaults);
        options = &defaults;
    }
    struct lsm *db = NULL;
    int rc = db_options_check(options);
    if (!rc && options->disk_cache_dir && !options->env && !env_rados_named(path))
        rc = status_fail(LSM_INVALID,
                         "%s: a cache on the local disk is for stores in a cluster only", path);
    if (!rc && options->disk_cache_dir && options->follow)
        rc = status_fail(LSM_INVALID,
                         "%s: a store that is followed cannot have a cache on the "
                         "local disk yet",
                         path);
    if (!rc)
        rc = handle_new(path, options, &db);
    if (rc)
        return rc;
    rc = open_run(db);
    if (rc) {
        struct status_kept kept; // the first failure is reported, not those of cleaning up
        status_keep(&kept);
        db_background_stop(db);
        handle_close(db);
        if (db->claim.fresh || db->claim.made_dir)
            (void)!undo_creation(db);
        handle_free(db);
        status_restore(&kept);
        return rc;
    }
    *ret_db = db;
    return LSM_OK;
}

// LOCK keeps the note for whoever waits for the end of this process.
static void say_failed(struct lsm *db, const char *detail)
{
    char note[STATUS_DETAIL_MAX + 16];
    snprintf(note, sizeof note, "failed: %s", detail);
    lsm_lock_note(db, note);
}

// Whether the next opening finds the store: syncing files that have been removed succeeds. From
// lsm_close(), when nobody else uses the store.
static int check_place(struct lsm *db) NOT_CHECKED
{
    char name[STORE_NAME_MAX];
    struct env_stat stat;
    int rc = db->env->ops->check_dir(db->env);
    if (rc)
        return rc;
    store_file_name(name, STORE_CURRENT, 0);
    rc = db->env->ops->stat(db->env, name, &stat);
    if (!rc)
        rc = db->env->ops->stat(db->env, db->logs.active->name, &stat);
    if (rc != LSM_NOT_FOUND)
        return rc;
    return status_fail(LSM_NOT_FOUND, "%s: the store's files were removed while it was in use",
                       db->dir);
}

int lsm_close(struct lsm *db)
{
    if (!db)
        return LSM_OK;
    say_closing(db);
    db_background_stop(db);
    int rc = lsm_sync(db);
    if (!rc && !db->options.read_only)
        rc = check_place(db);
    db->logs.trim = rc == LSM_OK;
    struct status_kept kept;
    status_keep(&kept);
    db_remove_obsolete(db);
    if (!db->options.read_only)
        db_reserve_leave(db);
    if (rc && !db->options.read_only)
        say_failed(db, kept.detail);
    handle_close(db);
    handle_free(db);
    status_restore(&kept);
    return rc;
}

int lsm_discard(struct lsm *db)
{
    if (!db || !db->claim.fresh)
        return lsm_close(db);
    say_closing(db);
    db_background_stop(db);
    handle_close(db);
    int rc = undo_creation(db);
    struct status_kept kept;
    status_keep(&kept);
    handle_free(db);
    status_restore(&kept);
    return rc;
}
