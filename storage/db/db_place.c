// A store's place: what a directory holds, taking its lock, removing what is in it.
//
// Whatever is decided about a directory counts only under its lock: before that another process may
// make, fill, close or remove a store there. It is looked at before as well, but only to refuse: so
// that nothing, not even LOCK, is written into a directory that is none of ours.
//
// A directory that is being filled by a copy, or emptied, has a file UNFINISHED. That file is made
// durable before anything else is changed, and is removed when all is done. A store with UNFINISHED
// is neither opened nor repaired: part of it may be missing without a trace. It can only be
// removed. During the removal LOCK is held; LOCK is removed last but one, UNFINISHED last. So
// whoever makes and takes a new LOCK finds UNFINISHED, or an empty directory.
//
// Thread-safe: no state. On failure outputs are untouched.
#include "db/db_place.h"

#include <assert.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "db/db.h"
#include "env_rados/env_rados.h"
#include "sstable/sst_format.h"
#include "version/manifest_format.h"
#include "wal/wal_format.h"

// ------------------------------------------------------------------------------------- looking

static int note_name(void *arg, const char *name)
{
    struct db_place *place = arg;
    uint64_t number;
    if (!strcmp(name, "lost+found") || !strcmp(name, "lost"))
        return LSM_OK;
    switch (store_file_parse(name, &number)) {
    case STORE_CURRENT:
        place->current = true;
        break;
    case STORE_UNFINISHED:
        place->unfinished = true;
        break;
    case STORE_TABLE:
    case STORE_LOG:
        place->sources = true;
        place->data = true;
        break;
    case STORE_BLOB:
        place->data = true;
        break;
    case STORE_LOCK:
        place->lock = true;
        break;
    case STORE_CONTROL:
    case STORE_FOLLOWERS:
        break;
    case STORE_UNKNOWN:
        place->foreign = true;
        break;
    default: // temporary files and a first manifest may be left of an interrupted creation
        place->rest = true;
        break;
    }
    return LSM_OK;
}

struct env *db_base_env(const struct lsm_options *options, const char *path)
{
    if (options && options->env)
        return options->env;
    if (!env_rados_named(path))
        return env_posix();
    return options && options->follow ? env_rados_following() : env_rados();
}

struct env *db_env_for(const struct lsm *db, const char *path)
{
    if (env_rados_named(path) == env_rados_named(db->dir))
        return db->base;
    return db_base_env(NULL, path);
}

int lsm_place_key(const char *path, char key[LSM_PLACE_KEY_MAX])
{
    return env_rados_key(path, key, LSM_PLACE_KEY_MAX);
}

int db_place_look(struct env *dir, struct db_place *ret_place)
{
    struct db_place place = {0};
    int rc = dir->ops->list(dir, ENV_HERE, note_name, &place);
    if (!rc)
        *ret_place = place;
    return rc;
}

int db_place_unfinished(const struct env *dir)
{
    return status_fail(LSM_NOT_A_STORE,
                       "%s: a store that was not copied or removed to the end: 'lsmfsctl destroy' "
                       "removes what is there",
                       dir->path);
}

struct magic_search {
    struct env *dir;
    bool has_other; // a file of which something else has been written
};

static_assert(sizeof SST_MAGIC == 9 && sizeof WAL_MAGIC == 9, "find_magic() compares 8 bytes");
static_assert(sizeof BLOB_MAGIC == 9 && sizeof MANIFEST_MAGIC == 9, "and these too");

// Stops with 1 at a file that has the magic bytes of its kind: at its beginning or, in a table,
// near its end.
static int find_magic(void *arg, const char *name)
{
    static const char nothing[12];
    struct magic_search *search = arg;
    struct env *dir = search->dir;
    struct env_file *file;
    uint64_t number, size;
    size_t got = 0;
    char bytes[sizeof nothing] = {0};
    enum store_file kind = store_file_parse(name, &number);
    const char *magic = kind == STORE_TABLE      ? SST_MAGIC
                        : kind == STORE_LOG      ? WAL_MAGIC
                        : kind == STORE_BLOB     ? BLOB_MAGIC
                        : kind == STORE_MANIFEST ? MANIFEST_MAGIC
                                                 : NULL;
    if (!magic)
        return 0;
    int rc = env_open(dir, name, ENV_READ, &file);
    if (rc)
        return rc;
    rc = file->ops->size(file, &size);
    uint64_t offset = kind == STORE_TABLE && size >= sizeof bytes ? size - sizeof bytes : 0;
    if (!rc)
        rc = env_pread(file, bytes, sizeof bytes, offset, &got);
    (void)env_close(file);
    search->has_other |= memcmp(bytes, nothing, sizeof bytes) != 0;
    return rc ? rc : got >= 8 && memcmp(bytes, magic, 8) == 0 ? 1 : 0;
}

// LSM_OK if everything in `dir` that has the name of a store's file may go.
static int is_ours(struct env *dir)
{
    struct db_place place;
    struct manifest_state state = {0};
    int rc = db_place_look(dir, &place);
    if (rc || place.unfinished)
        return rc;
    if (place.current) { // CURRENT may be another engine's; damage of it is no reason to keep it
        rc = manifest_recover(dir, &state);
        if (!rc)
            manifest_state_release(&state);
        return rc == LSM_CORRUPTION || rc == LSM_NEWER_FORMAT ? LSM_OK : rc;
    }
    struct magic_search search = {.dir = dir};
    if (place.data) {
        rc = dir->ops->list(dir, ENV_HERE, find_magic, &search);
        if (rc)
            return rc == 1 ? LSM_OK : rc;
    }
    // What is left of a creation that was interrupted: a power cut may leave files without bytes.
    if ((place.data || place.lock || place.rest) && !place.foreign && !search.has_other)
        return LSM_OK;
    return status_fail(LSM_NOT_A_STORE, "%s is not a store", dir->path);
}

// ------------------------------------------------------------------------------------- locking

// Nothing is written into what `check` refuses.
int db_place_lock(struct env *base, const char *path, int (*check)(struct env *dir),
                  struct env **ret_dir, struct env_lock **ret_lock)
{
    char name[STORE_NAME_MAX];
    struct env *dir;
    struct env_lock *lock = NULL;
    int rc = base->ops->open_dir(base, path, &dir);
    if (rc == LSM_NOT_FOUND)
        return status_fail(LSM_NOT_A_STORE, "%s does not exist", path);
    if (rc)
        return rc;
    store_file_name(name, STORE_LOCK, 0);
    rc = check(dir);
    if (!rc)
        rc = dir->ops->lock(dir, name, false, "", &lock);
    if (rc == LSM_NOT_FOUND)
        rc = status_fail(LSM_NOT_A_STORE, "%s does not exist", path); // any more
    if (!rc)
        rc = check(dir);
    if (!rc) {
        assert(lock);
        *ret_dir = dir;
        *ret_lock = lock;
        return LSM_OK;
    }
    dir->ops->unlock(dir, lock);
    base->ops->close_dir(dir);
    return rc;
}

// ------------------------------------------------------------------------------------- removing

int db_place_begin(struct env *dir)
{
    char name[STORE_NAME_MAX];
    struct env_file *file;
    store_file_name(name, STORE_UNFINISHED, 0);
    int rc = env_open(dir, name, ENV_WRITE | ENV_CREATE, &file);
    if (!rc)
        rc = env_close(file);
    return rc ? rc : dir->ops->sync_dir(dir, ENV_HERE);
}

int db_place_end(struct env *dir)
{
    char name[STORE_NAME_MAX];
    store_file_name(name, STORE_UNFINISHED, 0);
    int rc = dir->ops->unlink(dir, name);
    return rc ? rc : dir->ops->sync_dir(dir, ENV_HERE);
}

// From here on the directory is no store any more: CURRENT is renamed to UNFINISHED, for which even
// a full disk has room. Where there is no CURRENT, UNFINISHED is made; if the disk has no room for
// it, the directory holds nothing that could be taken for a store.
static int begin_removal(struct env *dir)
{
    char current[STORE_NAME_MAX], unfinished[STORE_NAME_MAX];
    store_file_name(current, STORE_CURRENT, 0);
    store_file_name(unfinished, STORE_UNFINISHED, 0);
    int rc = dir->ops->rename(dir, current, unfinished);
    if (!rc)
        return dir->ops->sync_dir(dir, ENV_HERE);
    if (rc == LSM_NOT_FOUND)
        rc = db_place_begin(dir);
    return rc == LSM_NO_SPACE ? LSM_OK : rc;
}

static int unlink_if_there(struct env *dir, const char *name)
{
    int rc = dir->ops->unlink(dir, name);
    return rc == LSM_NOT_FOUND ? LSM_OK : rc;
}

static int remove_name(void *arg, const char *name)
{
    uint64_t number;
    enum store_file kind = store_file_parse(name, &number);
    if (kind == STORE_UNKNOWN || kind == STORE_LOCK || kind == STORE_UNFINISHED)
        return LSM_OK;
    return unlink_if_there(arg, name);
}

int db_sync_parent(struct env *env, const char *dir)
{
    char parent[PATH_MAX];
    size_t size = strlen(dir);
    while (size > 1 && dir[size - 1] == '/')
        size--;
    while (size > 0 && dir[size - 1] != '/')
        size--;
    while (size > 1 && dir[size - 1] == '/')
        size--;
    if (size >= sizeof parent)
        return status_fail(LSM_INVALID, "%s: path too long", dir);
    memcpy(parent, dir, size);
    parent[size] = 0;
    return env->ops->sync_dir(env, size ? parent : ".");
}

int db_place_remove(struct env *base, const char *path, struct env *dir, bool directory)
{
    char name[STORE_NAME_MAX];
    int rc = begin_removal(dir);
    if (!rc)
        rc = dir->ops->list(dir, ENV_HERE, remove_name, dir);
    if (!rc)
        rc = dir->ops->sync_dir(dir, ENV_HERE);
    store_file_name(name, STORE_LOCK, 0);
    if (!rc)
        rc = unlink_if_there(dir, name);
    store_file_name(name, STORE_UNFINISHED, 0);
    if (!rc)
        rc = unlink_if_there(dir, name);
    if (rc)
        return rc;
    // The directory stays if something of the user's is in it. A power cut may bring it back; then
    // it is empty.
    if (directory && base->ops->rmdir(base, path) == LSM_OK)
        (void)!db_sync_parent(base, path);
    else
        (void)!dir->ops->sync_dir(dir, ENV_HERE);
    return LSM_OK;
}

// ------------------------------------------------------------------------------------- making

int db_place_make(struct env *base, const char *path, const char *note, struct env **ret_dir,
                  struct env_lock **ret_lock)
{
    struct env *dir = NULL;
    struct env_lock *lock = NULL;
    struct db_place place = {0};
    char name[STORE_NAME_MAX];
    store_file_name(name, STORE_LOCK, 0);
    int rc = base->ops->mkdir(base, path);
    bool made = !rc;
    // In a cluster one that is empty may be left of a process that has died, and nobody sees it.
    if (rc == LSM_EXISTS && env_rados_named(path))
        rc = LSM_OK;
    if (rc)
        return rc == LSM_EXISTS ? status_fail(rc, "%s exists already", path) : rc;
    rc = base->ops->open_dir(base, path, &dir);
    if (!rc)
        rc = dir->ops->lock(dir, name, false, note, &lock);
    if (!rc)
        rc = db_place_look(dir, &place);
    // What was there before stays, whatever happens.
    bool empty =
        !rc && !place.unfinished && !place.current && !place.data && !place.rest && !place.foreign;
    if (!rc && place.unfinished)
        rc = status_fail(LSM_EXISTS,
                         "%s exists already, not copied or removed to the end: 'lsmfsctl destroy' "
                         "removes it",
                         path);
    else if (!rc && !empty)
        rc = status_fail(LSM_EXISTS, "%s exists already", path);
    else if (!rc)
        rc = db_place_begin(dir);
    if (!rc) {
        *ret_dir = dir;
        *ret_lock = lock;
        return LSM_OK;
    }
    if (lock) {
        db_place_leave(base, path, empty, dir, lock);
        return rc;
    }
    struct status_kept kept;
    status_keep(&kept);
    if (made)
        (void)!base->ops->rmdir(base, path); // it stays if something is in it
    base->ops->close_dir(dir);
    status_restore(&kept);
    return rc;
}

// A client of a cluster that has met a failure can change nothing any more: then a new client
// removes the store.
void db_place_leave(struct env *base, const char *path, bool failed, struct env *dir,
                    struct env_lock *lock)
{
    struct lsm_options options = {.env = base, .unfinished = true};
    struct status_kept kept;
    status_keep(&kept);
    int rc = failed ? db_place_remove(base, path, dir, true) : LSM_OK;
    dir->ops->unlock(dir, lock);
    base->ops->close_dir(dir);
    if (rc && env_rados_named(path))
        (void)!lsm_destroy(path, &options);
    status_restore(&kept);
}

static int is_unfinished(struct env *dir)
{
    struct db_place place;
    int rc = db_place_look(dir, &place);
    if (rc || place.unfinished)
        return rc;
    return status_fail(LSM_NOT_A_STORE, "%s: no store that is still to be completed", dir->path);
}

int lsm_complete(const char *path, const struct lsm_options *options)
{
    struct env *base = db_base_env(options, path);
    struct env *dir;
    struct env_lock *lock;
    int rc = db_place_lock(base, path, is_unfinished, &dir, &lock);
    if (rc)
        return rc;
    rc = db_place_end(dir);
    db_place_leave(base, path, false, dir, lock);
    return rc;
}

int lsm_destroy(const char *path, const struct lsm_options *options)
{
    struct env *base = db_base_env(options, path);
    struct env *dir;
    struct env_lock *lock;
    int rc = db_place_lock(base, path, options && options->unfinished ? is_unfinished : is_ours,
                           &dir, &lock);
    if (rc)
        return rc;
    rc = db_place_remove(base, path, dir, true);
    dir->ops->unlock(dir, lock);
    base->ops->close_dir(dir);
    return rc;
}
