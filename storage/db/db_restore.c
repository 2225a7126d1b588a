// A store that is made of the files of a copy (lsm_files): the other way of db_copy.c.
//
// The directory is new and locked, and holds UNFINISHED until everything else is there, durably:
// what a crash leaves cannot be opened. Whoever makes it reads back what has arrived before that.
//
// Thread safety: a struct lsm_restore belongs to one thread.
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "db/db.h"
#include "db/db_place.h"

struct lsm_restore {
    struct env *base, *dir;
    struct env_lock *lock;
    char *path;
    struct env_file *file; // the one that is being made
    bool complete;
};

int lsm_restore_new(const char *path, const struct lsm_options *options,
                    struct lsm_restore **ret_restore)
{
    struct lsm_restore *restore = calloc(1, sizeof *restore);
    char *copy = strdup(path);
    int rc = restore && copy ? LSM_OK : status_no_memory(sizeof *restore);
    if (!rc) {
        restore->path = copy;
        restore->base = db_base_env(options, path);
        rc = db_place_make(restore->base, path, "restoring", &restore->dir, &restore->lock);
    }
    if (rc) {
        free(restore);
        free(copy);
        return rc;
    }
    *ret_restore = restore;
    return LSM_OK;
}

static int end_file(struct lsm_restore *restore)
{
    struct env_file *file = restore->file;
    restore->file = NULL;
    return env_close(file);
}

int lsm_restore_file(struct lsm_restore *restore, const char *name)
{
    uint64_t number;
    enum store_file kind = store_file_parse(name, &number);
    if (kind != STORE_TABLE && kind != STORE_BLOB && kind != STORE_MANIFEST &&
        kind != STORE_CURRENT)
        return status_fail(LSM_INVALID, "%s/%s: no file of a copy", restore->path, name);
    int rc = end_file(restore);
    return rc ? rc
              : env_open(restore->dir, name, ENV_WRITE | ENV_CREATE | ENV_EXCL, &restore->file);
}

int lsm_restore_write(struct lsm_restore *restore, uint64_t offset, const void *data, size_t size)
{
    assert(restore->file && !restore->complete);
    return env_pwrite(restore->file, data, size, offset);
}

int lsm_restore_sync(struct lsm_restore *restore)
{
    int rc = env_sync(restore->file);
    if (!rc)
        restore->file->ops->advise(restore->file, 0, 0, ENV_ADVISE_DONTNEED);
    return rc;
}

int lsm_restore_read(struct lsm_restore *restore, uint64_t offset, void *data, size_t size,
                     size_t *ret_size)
{
    return env_pread(restore->file, data, size, offset, ret_size);
}

int lsm_restore_end(struct lsm_restore *restore)
{
    assert(restore->lock && !restore->complete);
    int rc = end_file(restore);
    if (!rc)
        rc = restore->dir->ops->sync_dir(restore->dir, ENV_HERE);
    if (!rc)
        rc = db_place_end(restore->dir);
    if (!rc)
        rc = db_sync_parent(restore->base, restore->path);
    restore->complete = !rc;
    return rc;
}

void lsm_restore_free(struct lsm_restore *restore)
{
    if (!restore)
        return;
    struct status_kept kept;
    status_keep(&kept);
    (void)!end_file(restore);
    db_place_leave(restore->base, restore->path, !restore->complete, restore->dir, restore->lock);
    status_restore(&kept);
    free(restore->path);
    free(restore);
}
