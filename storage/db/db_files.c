// The store's files: their numbers, and the removal of tables that no version refers to any more.
//
// A table's file_meta is owned by a node here. When the last reference to it goes, the node joins
// the list of files to remove, unless the table was only moved or the store is closing; removing is
// left to background threads, since it may wait for the disk.
//
// Whoever follows the store (db_follow.c) has FOLLOWERS locked, shared. While somebody has, files
// are removed follow_keep_ms after they were let go; on a full disk at once. Whether somebody has
// is looked at only when there is something to remove, by trying to lock FOLLOWERS.
//
// Thread safety: all functions may be called by any thread without locks.
#include <assert.h>
#include <stdlib.h>

#include "base/clock.h"
#include "db/db.h"
#include "db/db_blob.h"

uint64_t db_new_file_number(void *arg)
{
    struct lsm *db = arg;
    return atomic_fetch_add_explicit(&db->files.next, 1, memory_order_relaxed);
}

static void list_obsolete(struct lsm *db, struct obsolete_file *node)
{
    db_files_lock(db);
    node->since_us = clock_us();
    node->next = db->files.obsolete;
    db->files.obsolete = node;
    db_files_unlock(db);
}

int db_note_obsolete(struct lsm *db, enum store_file kind, uint64_t number)
{
    assert(kind != STORE_UNKNOWN);
    struct obsolete_file *node = malloc(sizeof *node);
    if (!node)
        return status_no_memory(sizeof *node);
    *node = (struct obsolete_file){.db = db, .number = number, .kind = kind};
    list_obsolete(db, node);
    return LSM_OK;
}

static void file_last_unref(struct file_meta *file, void *owner)
{
    struct obsolete_file *node = owner;
    struct lsm *db = node->db;
    assert(node->number == file->number && !node->next);
    table_cache_forget(db->table_cache, file);
    db_blob_abandon(file);
    if (!atomic_load_explicit(&file->obsolete, memory_order_acquire)) {
        free(node);
        return;
    }
    block_cache_forget_file(db->block_cache, file->number);
    if (db->options.read_only) {
        free(node);
        return;
    }
    list_obsolete(db, node);
}

int db_adopt_file(struct lsm *db, struct file_meta *file)
{
    if (file->owner)
        return LSM_OK;
    assert(!file->on_last_unref);
    struct obsolete_file *node = malloc(sizeof *node);
    if (!node)
        return status_no_memory(sizeof *node);
    int rc = db_blob_adopt(db, file);
    if (rc) {
        free(node);
        return rc;
    }
    *node = (struct obsolete_file){.db = db, .number = file->number, .kind = STORE_TABLE};
    file->owner = node;
    file->on_last_unref = file_last_unref;
    return LSM_OK;
}

int db_adopt_tables(struct lsm *db, const struct version *version)
{
    int rc = LSM_OK;
    for (unsigned n = 0; n < VERSION_LEVELS; n++)
        for (unsigned i = 0; i < version->levels[n].count && !rc; i++)
            rc = db_adopt_file(db, version->levels[n].files[i]);
    return rc;
}

// The lock is held for a moment only; who begins to follow just then tries again (take_lock() in
// db_open.c).
bool db_look_for_followers(struct lsm *db)
{
    char name[STORE_NAME_MAX];
    struct env_stat stat;
    struct env_lock *lock;
    struct status_kept kept;
    status_keep(&kept);
    store_file_name(name, STORE_FOLLOWERS, 0);
    int rc = db->env->ops->stat(db->env, name, &stat);
    if (!rc)
        rc = db->env->ops->lock(db->env, name, false, NULL, &lock);
    bool followed = rc == LSM_BUSY;
    if (!rc) {
        (void)!db->env->ops->unlink(db->env, name); // the next one makes it again
        db->env->ops->unlock(db->env, lock);
    }
    status_restore(&kept);
    return followed;
}

// Files that were let go before this moment (of clock_us()) can be removed; 0: none can.
static uint64_t removable_until(struct lsm *db)
{
    uint64_t now = clock_us(), keep = (uint64_t)db->options.follow_keep_ms * 1000;
    if (keep == 0 || db->options.read_only)
        return UINT64_MAX;
    db_files_lock(db);
    bool any = db->files.obsolete;
    db_files_unlock(db);
    any = any || (db->blobs && blob_store_has_unused(db->blobs));
    if (!any) // what is let go from here on stays until it was found out whether somebody follows
        return 0;
    // Whoever comes from here on does not see what was let go before.
    if (!db_look_for_followers(db))
        return now;
    db_lock(db);
    bool space_short = db_space_short(db);
    db_unlock(db);
    return space_short ? UINT64_MAX : now > keep ? now - keep : 0;
}

// Takes those that can go from the list.
static struct obsolete_file *take_removable(struct lsm *db, uint64_t until_us)
{
    struct obsolete_file *gone = NULL;
    db_files_lock(db);
    struct obsolete_file **link = &db->files.obsolete;
    while (*link) {
        struct obsolete_file *node = *link;
        if (node->since_us > until_us) {
            link = &node->next;
            continue;
        }
        *link = node->next;
        node->next = gone;
        gone = node;
    }
    db_files_unlock(db);
    return gone;
}

void db_remove_obsolete(struct lsm *db)
{
    epoch_reclaim();
    if (db->blobs)
        blob_store_trim(db->blobs);
    if (atomic_load_explicit(&db->files.keep, memory_order_acquire))
        return;
    uint64_t until_us = removable_until(db);
    struct obsolete_file *node = take_removable(db, until_us);
    struct status_kept kept;
    status_keep(&kept);
    if (db->blobs)
        blob_store_remove_unused(db->blobs, until_us);
    while (node) {
        struct obsolete_file *next = node->next;
        char name[STORE_NAME_MAX];
        store_file_name(name, node->kind, node->number);
        if (db->env->ops->unlink(db->env, name))
            logger_log(&db->logger, LSM_LOG_WARN, "%s", lsm_error_detail());
        free(node);
        node = next;
    }
    status_restore(&kept);
}
