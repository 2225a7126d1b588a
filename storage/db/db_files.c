// The store's files: their numbers, and the removal of tables that no version refers to any more.
//
// A table's file_meta is owned by a node here. When the last reference to it goes, the node joins
// the list of files to remove, unless the table was only moved or the store is closing; removing is
// left to background threads, since it may wait for the disk.
//
// Thread safety: all functions may be called by any thread without locks.
#include <stdlib.h>

#include "db/db.h"

uint64_t db_new_file_number(void *arg)
{
    struct lsm *db = arg;
    return atomic_fetch_add_explicit(&db->files.next, 1, memory_order_relaxed);
}

static void file_last_unref(struct file_meta *file, void *owner)
{
    struct obsolete_file *node = owner;
    struct lsm *db = node->db;
    table_cache_forget(db->table_cache, file);
    db_blob_abandon(file);
    if (!atomic_load_explicit(&file->obsolete, memory_order_acquire)) {
        free(node);
        return;
    }
    block_cache_forget_file(db->block_cache, file->number);
    db_files_lock(db);
    node->next = db->files.obsolete;
    db->files.obsolete = node;
    db_files_unlock(db);
}

int db_adopt_file(struct lsm *db, struct file_meta *file)
{
    if (file->owner)
        return LSM_OK;
    struct obsolete_file *node = malloc(sizeof *node);
    if (!node)
        return status_no_memory(sizeof *node);
    int rc = db_blob_adopt(db, file);
    if (rc) {
        free(node);
        return rc;
    }
    *node = (struct obsolete_file){.db = db, .number = file->number};
    file->owner = node;
    file->on_last_unref = file_last_unref;
    return LSM_OK;
}

void db_remove_obsolete(struct lsm *db)
{
    epoch_reclaim();
    if (db->blobs)
        blob_store_trim(db->blobs);
    if (atomic_load_explicit(&db->files.keep, memory_order_acquire))
        return;
    db_files_lock(db);
    struct obsolete_file *node = db->files.obsolete;
    db->files.obsolete = NULL;
    db_files_unlock(db);
    struct status_kept kept;
    status_keep(&kept);
    if (db->blobs)
        blob_store_remove_unused(db->blobs);
    while (node) {
        struct obsolete_file *next = node->next;
        char name[STORE_NAME_MAX];
        store_file_name(name, STORE_TABLE, node->number);
        if (db->env->ops->unlink(db->env, name))
            logger_log(&db->logger, LSM_LOG_WARN, "%s", lsm_error_detail());
        free(node);
        node = next;
    }
    status_restore(&kept);
}
