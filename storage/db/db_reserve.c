// The reserve: disk space kept so that what frees space still works on a full disk.
//
// It is a file of an allocated size that holds nothing, with the name of a recycled log: whoever
// opens the store next sweeps it away. It is made when the store is opened, and given back to the
// file system, with the logs kept for recycling, when a flush, a compaction or a write that may use
// it (use_reserve) has met a full disk. From then on other writes are refused, until it has been
// made again: what deleting frees goes to the reserve first. So that data does not use it up, these
// are refused already when what is in memory might not fit on the disk any more (DB_FULL_LOW).
//
//  NONE   the file system cannot allocate, or nothing is written: there is no reserve
//  HELD   the file is there
//  SPENT  it was given back, or there was no room to make it; the flush thread tries again
//
// State is under mutex; the file is only touched by whoever has just changed the state, outside of
// it. Without a reserve the store works as it would otherwise.
#include <stdlib.h>
#include <string.h>

#include "db/db.h"

#define RESERVE_DISK_SHARE 8 // at most one part in so many of the disk
#define RESERVE_MIN        4096

// That much, or less on a small disk.
static uint64_t bounded(uint64_t size, uint64_t total)
{
    if (size > total / RESERVE_DISK_SHARE)
        size = total / RESERVE_DISK_SHARE;
    return size < RESERVE_MIN ? RESERVE_MIN : size;
}

// Room for a flush, and for what deletes add to the log until it has been made: flushing begins a
// fraction of a second after the disk was full. The written log may be that of a whole memtable.
static uint64_t reserve_size(struct lsm *db)
{
    uint64_t free_bytes, total;
    if (db->env->ops->space(db->env, db->dir, &free_bytes, &total))
        total = UINT64_MAX;
    uint64_t buffer = db->options.write_buffer_size;
    return bounded(buffer + (db->options.wal_mode == LSM_WAL_WRITTEN ? buffer : buffer / 32), total);
}

bool db_space_low(struct lsm *db)
{
    uint64_t free_bytes, total;
    if (db->env->ops->space(db->env, db->dir, &free_bytes, &total))
        return false;
    pthread_mutex_lock(&db->mutex);
    unsigned memtables = db->immutable_count + 1;
    pthread_mutex_unlock(&db->mutex);
    return free_bytes < bounded((uint64_t)(memtables + 1) * db->options.write_buffer_size, total);
}

void db_note_full(struct lsm *db)
{
    pthread_mutex_lock(&db->mutex);
    db->disk_full |= DB_FULL_LOW;
    db_update_pressure(db);
    pthread_cond_broadcast(&db->work);
    pthread_mutex_unlock(&db->mutex);
}

bool db_space_short(const struct lsm *db)
{
    return db->reserve == RESERVE_SPENT || db->disk_full & DB_FULL_LOW;
}

// Makes the file. On failure it is not there.
static int make_file(struct lsm *db, const char *path)
{
    struct env_file *file;
    int rc = env_open(db->env, path, ENV_WRITE | ENV_CREATE | ENV_EXCL, &file);
    if (rc)
        return rc;
    rc = file->ops->allocate(file, 0, reserve_size(db));
    (void)env_close(file);
    if (rc) {
        struct status_kept kept;
        status_keep(&kept);
        (void)!db->env->ops->unlink(db->env, path);
        status_restore(&kept);
    }
    return rc;
}

void db_reserve_make(struct lsm *db)
{
    char path[STORE_PATH_MAX];
    char *copy = NULL;
    int rc = store_path(path, sizeof path, db->dir, STORE_RECYCLED, db_new_file_number(db));
    if (!rc)
        rc = (copy = strdup(path)) ? LSM_OK : status_no_memory(strlen(path) + 1);
    if (!rc)
        rc = make_file(db, path);
    pthread_mutex_lock(&db->mutex);
    if (rc == LSM_OK) {
        if (db->reserve == RESERVE_SPENT)
            logger_log(&db->logger, LSM_LOG_WARN, "%s: there is room again", db->dir);
        db->reserve = RESERVE_HELD;
        db->reserve_path = copy;
        copy = NULL;
    } else if (rc == LSM_NO_SPACE) {
        db->reserve = RESERVE_SPENT;
    } else { // does without: the disk is no fuller for it
        logger_log(&db->logger, LSM_LOG_INFO, "no reserve: %s", lsm_error_detail());
        db->reserve = RESERVE_NONE;
    }
    db_update_pressure(db);
    pthread_cond_broadcast(&db->changed);
    pthread_mutex_unlock(&db->mutex);
    free(copy);
}

bool db_reserve_release(struct lsm *db)
{
    pthread_mutex_lock(&db->mutex);
    char *path = db->reserve_path;
    bool held = db->reserve == RESERVE_HELD;
    if (held) {
        db->reserve = RESERVE_SPENT;
        db->reserve_path = NULL;
        db_update_pressure(db);
        pthread_cond_broadcast(&db->changed);
        logger_log(&db->logger, LSM_LOG_WARN,
                   "%s: the disk is full; only what frees space may write until there is room",
                   db->dir);
    }
    char *logs[2] = {NULL, NULL};
    for (int i = 0; held && i < 2; i++) {
        logs[i] = db->recyclable[i];
        db->recyclable[i] = NULL;
    }
    pthread_mutex_unlock(&db->mutex);
    if (!held)
        return false;
    (void)!db->env->ops->unlink(db->env, path);
    free(path);
    for (int i = 0; i < 2; i++) {
        if (logs[i])
            (void)!db->env->ops->unlink(db->env, logs[i]);
        free(logs[i]);
    }
    return true;
}

void db_reserve_free(struct lsm *db)
{
    if (db->reserve_path)
        (void)!db->env->ops->unlink(db->env, db->reserve_path);
    free(db->reserve_path);
}
