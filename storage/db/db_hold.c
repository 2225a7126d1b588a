// Disk space held for its user's later writes (lsm_hold_space).
//
// A file of an allocated size that holds nothing, with the name of a recycled log, so that whoever
// opens the store next sweeps it away; it stays when the store is closed, and holds the space until
// then. Lock: hold_mutex, held over the file's calls; it is taken before the store's mutex.
#include "db/db.h"

#include <assert.h>

static int hold_open(struct lsm *db, struct env_file **ret_file) REQUIRES(db_hold_mutex)
{
    char name[STORE_NAME_MAX];
    uint64_t number = db->space.hold_number ? db->space.hold_number : db_new_file_number(db);
    int flags = ENV_WRITE | (db->space.hold_number ? 0 : ENV_CREATE | ENV_EXCL);
    store_file_name(name, STORE_RECYCLED, number);
    int rc = env_open(db->env, name, flags, ret_file);
    if (!rc)
        db->space.hold_number = number;
    return rc;
}

static void hold_drop(struct lsm *db) REQUIRES(db_hold_mutex)
{
    struct status_kept kept;
    char name[STORE_NAME_MAX];
    store_file_name(name, STORE_RECYCLED, db->space.hold_number);
    status_keep(&kept);
    if (db->space.hold_number)
        (void)!db->env->ops->unlink(db->env, name);
    db->space.hold_number = db->space.hold_bytes = 0;
    status_restore(&kept);
}

// Makes the file hold `bytes` bytes. After an allocation that failed the file is cut to its old
// length, so that no space stays taken.
static int hold_resize(struct lsm *db, uint64_t bytes) REQUIRES(db_hold_mutex)
{
    assert(bytes > 0 && bytes != db->space.hold_bytes);
    struct env_file *file;
    int rc = hold_open(db, &file);
    if (rc)
        return rc;
    bool grow = bytes > db->space.hold_bytes;
    rc = grow ? file->ops->allocate(file, db->space.hold_bytes, bytes - db->space.hold_bytes)
              : file->ops->truncate(file, bytes);
    struct status_kept kept;
    status_keep(&kept);
    if (rc && grow)
        (void)!file->ops->truncate(file, db->space.hold_bytes);
    (void)env_close(file);
    status_restore(&kept);
    return rc;
}

int lsm_hold_space(struct lsm *db, uint64_t bytes)
{
    if (db->options.read_only)
        return status_fail(LSM_READ_ONLY, "%s was opened read-only", db->dir);
    int rc = LSM_OK;
    db_hold_lock(db);
    if (bytes == 0)
        hold_drop(db);
    else if (bytes != db->space.hold_bytes)
        rc = hold_resize(db, bytes);
    if (!rc)
        db->space.hold_bytes = bytes;
    else if (db->space.hold_bytes == 0)
        hold_drop(db);
    assert(!db->space.hold_bytes == !db->space.hold_number);
    db_hold_unlock(db);
    return rc;
}
