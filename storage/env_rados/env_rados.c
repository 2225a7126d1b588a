// The functions of env over a store in a cluster: names to files, files to stripes.
//
// Directories: the base env opens stores by their paths. In a store there may be directories of
// names; a name in one is the text "DIRECTORY/NAME" in the index.
//
// Thread safety: as env.h says. See remote.h for the locks.
#include "env_rados/env_rados.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "env_rados/env_rados_impl.h"
#include "env_rados/remote.h"

#define SCHEME   "rados:"
#define TEXT_MAX 512 // of a name in the index
#define PART_MAX 128 // of a pool's or a store's name

struct rados_env {
    struct env base;
    struct remote *store;  // NULL: the base env
    char *prefix;          // of the names in this directory: "" or "DIRECTORY/"
    cluster_open_fn *open; // of a base env, as the rest
    void *arg;
    uint64_t stripe;
    bool threaded;
};

struct rados_file {
    struct env_file base;
    struct remote *store;
    struct remote_file *file;
    bool writable;
};

struct env_lock {
    struct remote *store;
    bool of_followers; // taken to see that there is none
};

static const struct env_ops rados_ops;

bool env_rados_named(const char *path)
{
    return strncmp(path, SCHEME, sizeof SCHEME - 1) == 0;
}

static struct rados_env *env_of(struct env *env)
{
    return (struct rados_env *)env;
}

static struct remote *store_of(struct env *env)
{
    return env_of(env)->store;
}

static struct rados_file *file_of(struct env_file *file)
{
    return (struct rados_file *)file;
}

// The name in the index.
static int full(struct env *env, const char *name, char text[TEXT_MAX])
{
    struct rados_env *dir = env_of(env);
    if (!dir->store)
        return status_fail(LSM_INVALID, "%s: not in a store", name);
    int n = snprintf(text, TEXT_MAX, "%s%s", dir->prefix, name);
    return n < 0 || n >= TEXT_MAX ? status_fail(LSM_INVALID, "%s: a name is too long", name) : 0;
}

// --------------------------------------------------------------------------------- directories

static bool is_plain(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if ((unsigned char)text[i] <= ' ' || strchr("/\"\\", text[i]))
            return false;
    return size > 0 && size < PART_MAX;
}

// The parts of "rados:POOL/NAME".
static int take_apart(const char *path, char pool[PART_MAX], char name[PART_MAX])
{
    const char *rest = path + sizeof SCHEME - 1;
    const char *slash = env_rados_named(path) ? strchr(rest, '/') : NULL;
    if (!slash || !is_plain(rest, (size_t)(slash - rest)) ||
        !is_plain(slash + 1, strlen(slash + 1)))
        return status_fail(LSM_INVALID, "%s: a store in a cluster is rados:POOL/NAME", path);
    snprintf(pool, PART_MAX, "%.*s", (int)(slash - rest), rest);
    snprintf(name, PART_MAX, "%s", slash + 1);
    return 0;
}

static int open_failed(const char *path, int answer, const char *text)
{
    if (!text)
        return status_fail(LSM_NO_MEMORY, "%s: out of memory", path);
    if (answer == -ENOSYS || answer == -ENOENT)
        return status_fail(LSM_INVALID, "%s: %s", path, text);
    return status_fail(answer == -EPERM || answer == -EACCES ? LSM_PERMISSION : LSM_IO_ERROR,
                       "%s: %s: %s", path, text, strerror(-answer));
}

int remote_connect(cluster_open_fn *open, void *arg, const char *path, struct cluster **ret_cluster)
{
    char pool[PART_MAX], name[PART_MAX];
    const char *text = NULL;
    int rc = take_apart(path, pool, name);
    if (rc)
        return rc;
    int answer = open(arg, pool, name, ret_cluster, &text);
    return answer ? open_failed(path, answer, text) : 0;
}

int env_rados_key(const char *path, char *key, size_t size)
{
    char pool[PART_MAX], name[PART_MAX], fsid[37];
    const char *text = NULL;
    int rc = take_apart(path, pool, name);
    if (rc)
        return rc;
    int answer = cluster_fsid_librados(fsid, &text);
    if (answer)
        return open_failed(path, answer, text);
    snprintf(key, size, "%s,%s,%s", fsid, pool, name);
    return 0;
}

static int env_new(struct remote *store, const char *prefix, struct env **ret_env)
{
    struct rados_env *dir = calloc(1, sizeof *dir);
    char *copy = strdup(prefix);
    if (!dir || !copy) {
        free(dir);
        free(copy);
        return status_no_memory(sizeof *dir);
    }
    dir->base = (struct env){.ops = &rados_ops, .path = store->path};
    dir->store = store;
    dir->prefix = copy;
    *ret_env = &dir->base;
    return 0;
}

static int open_store(struct rados_env *base, const char *path, struct remote **ret_store)
{
    struct cluster *cluster;
    int rc = remote_connect(base->open, base->arg, path, &cluster);
    if (rc)
        return rc;
    rc = remote_open(cluster, path, base->stripe, base->threaded, ret_store);
    if (rc)
        cluster->ops->close(cluster);
    return rc;
}

static int rados_open_dir(struct env *env, const char *path, struct env **ret_dir)
{
    struct remote *store = store_of(env);
    char text[TEXT_MAX];
    int rc;
    if (!store) {
        rc = open_store(env_of(env), path, &store);
        if (!rc && (rc = env_new(store, "", ret_dir)))
            remote_unref(store);
        return rc;
    }
    rc = full(env, path, text);
    if (rc)
        return rc;
    remote_lock(store);
    struct index_name *name = index_find(store, text);
    if (!name)
        rc = status_fail(LSM_NOT_FOUND, "%s/%s: No such directory", store->path, text);
    else if (name->file)
        rc = status_fail(LSM_NOT_A_STORE, "%s/%s: not a directory", store->path, text);
    remote_unlock(store);
    if (rc)
        return rc;
    strncat(text, "/", sizeof text - strlen(text) - 1);
    rc = env_new(store, text, ret_dir);
    if (!rc)
        remote_ref(store);
    return rc;
}

static void rados_close_dir(struct env *env)
{
    if (!env)
        return;
    struct rados_env *dir = env_of(env);
    remote_unref(dir->store);
    free(dir->prefix);
    free(dir);
}

static int rados_check_dir(struct env *env)
{
    struct remote *store = store_of(env);
    int rc = remote_check(store);
    return rc || !store->holds ? rc : lease_check(store);
}

static int rados_mkdir(struct env *env, const char *path)
{
    struct rados_env *dir = env_of(env);
    char text[TEXT_MAX];
    if (dir->store) {
        int rc = full(env, path, text);
        return rc ? rc : index_create(dir->store, text, true, NULL);
    }
    struct remote fresh = {.path = (char *)path};
    int rc = remote_connect(dir->open, dir->arg, path, &fresh.cluster);
    if (rc)
        return rc;
    pthread_mutex_init(&fresh.mutex, NULL);
    pthread_cond_init(&fresh.changed, NULL);
    rc = lease_make(&fresh);
    fresh.cluster->ops->close(fresh.cluster);
    pthread_cond_destroy(&fresh.changed);
    pthread_mutex_destroy(&fresh.mutex);
    return rc;
}

static int rados_rmdir(struct env *env, const char *path)
{
    struct rados_env *dir = env_of(env);
    char text[TEXT_MAX];
    struct remote *store;
    if (dir->store) {
        int rc = full(env, path, text);
        return rc ? rc : index_rmdir(dir->store, text);
    }
    int rc = open_store(dir, path, &store);
    if (rc)
        return rc;
    rc = lease_remove(store);
    struct status_kept kept;
    status_keep(&kept);
    remote_unref(store);
    status_restore(&kept);
    return rc;
}

static int rados_list(struct env *env, const char *path, env_list_fn *fn, void *arg)
{
    char prefix[TEXT_MAX + 1] = "";
    char **names;
    size_t count;
    struct rados_env *dir = env_of(env);
    int rc = full(env, strcmp(path, ENV_HERE) ? path : "", prefix);
    if (rc)
        return rc;
    if (strcmp(path, ENV_HERE))
        strncat(prefix, "/", sizeof prefix - strlen(prefix) - 1);
    rc = index_list(dir->store, prefix, &names, &count);
    if (rc)
        return rc;
    for (size_t i = 0; i < count; i++) {
        if (!rc)
            rc = fn(arg, names[i]);
        free(names[i]);
    }
    free(names);
    return rc;
}

// Changes of names are durable when they are made.
static int rados_sync_dir(struct env *env, const char *path)
{
    (void)path;
    return store_of(env) ? remote_check(store_of(env)) : 0;
}

static int rados_stat(struct env *env, const char *path, struct env_stat *ret_stat)
{
    struct remote *store = store_of(env);
    char text[TEXT_MAX];
    int rc = full(env, path, text);
    if (rc)
        return rc;
    remote_lock(store);
    struct index_name *name = index_find(store, text);
    if (name) {
        const struct remote_file *file = name->file;
        uint64_t size = file ? atomic_load(&file->size) : 0;
        *ret_stat = (struct env_stat){.size = size, .allocated_bytes = size, .is_dir = !file};
        if (file && store->identity) {
            // With its name, since a pool can be copied.
            ret_stat->identity[0] =
                hash64_seeded(store->path, strlen(store->path), store->identity);
            ret_stat->identity[1] = file->number;
            ret_stat->is_written = file->writing || file->writers;
        }
    } else if (store->holds && strcmp(text, FOLLOWERS_LOCK) == 0) {
        *ret_stat = (struct env_stat){0}; // its lock tells, not its name
    } else {
        rc = status_fail(LSM_NOT_FOUND, "stat %s/%s: No such file or directory", store->path, text);
    }
    remote_unlock(store);
    return rc;
}

static int rados_unlink(struct env *env, const char *path)
{
    char text[TEXT_MAX];
    int rc = full(env, path, text);
    if (!rc && strcmp(text, FOLLOWERS_LOCK) == 0)
        return 0;
    return rc ? rc : index_unlink(store_of(env), text);
}

static int rados_rename(struct env *env, const char *from, const char *to)
{
    char source[TEXT_MAX], target[TEXT_MAX];
    int rc = full(env, from, source);
    if (!rc)
        rc = full(env, to, target);
    return rc ? rc : index_rename(store_of(env), source, target);
}

static int rados_link(struct env *env, const char *from, struct env *to_dir, const char *to)
{
    char source[TEXT_MAX], target[TEXT_MAX];
    int rc = full(env, from, source);
    if (!rc && (to_dir->ops != &rados_ops || store_of(to_dir) != store_of(env)))
        return status_fail(LSM_INVALID,
                           "%s: files of a store in a cluster cannot be linked into "
                           "another place",
                           env->path);
    if (!rc)
        rc = full(to_dir, to, target);
    return rc ? rc : index_link(store_of(env), source, target);
}

static void rados_limits(struct env *env, uint64_t *ret_files, uint64_t *ret_file_size)
{
    (void)env;
    *ret_files = *ret_file_size = UINT64_MAX;
}

static int rados_space(struct env *env, const char *path, uint64_t *ret_free, uint64_t *ret_total)
{
    struct remote *store = store_of(env);
    (void)path;
    int answer = store->cluster->ops->space(store->cluster, ret_free, ret_total);
    return answer ? status_fail(LSM_IO_ERROR, "%s: asking for free space: %s", store->path,
                                strerror(-answer))
                  : 0;
}

// ---------------------------------------------------------------------------------------- locks

static int rados_lock(struct env *env, const char *path, bool shared, const char *note,
                      struct env_lock **ret_lock)
{
    struct remote *store = store_of(env);
    char text[TEXT_MAX];
    int rc = full(env, path, text);
    bool of_followers = !rc && store->holds && !shared && strcmp(text, FOLLOWERS_LOCK) == 0;
    struct env_lock *lock = rc ? NULL : malloc(sizeof *lock);
    if (!lock)
        return rc ? rc : status_no_memory(sizeof *lock);
    if (of_followers && lease_is_followed(store))
        rc = status_fail(LSM_BUSY, "%s is followed", store->path);
    else if (!of_followers && (store->holds || store->shares))
        rc = status_fail(LSM_BUSY, "%s is locked already", store->path);
    else if (!of_followers)
        rc = lease_take(store, shared, text, note);
    if (rc) {
        free(lock);
        return rc;
    }
    *lock = (struct env_lock){store, of_followers};
    *ret_lock = lock;
    return 0;
}

static void rados_lock_note(struct env *env, struct env_lock *lock, const char *note)
{
    assert(lock->store == store_of(env));
    (void)env;
    lease_note(lock->store, note);
}

static void rados_unlock(struct env *env, struct env_lock *lock)
{
    (void)env;
    if (!lock)
        return;
    assert(lock->store == store_of(env));
    if (!lock->of_followers)
        lease_drop(lock->store);
    free(lock);
}

// ---------------------------------------------------------------------------------------- files

static int rados_close(struct env_file *base)
{
    struct rados_file *handle = file_of(base);
    struct remote *store = handle->store;
    struct remote_file *file = handle->file;
    int rc = 0;
    if (handle->writable) {
        remote_lock(store);
        assert(file->writers > 0);
        bool due = --file->writers == 0 && file->writing;
        remote_unlock(store);
        // After a failure that ended all changes it is left to the next writer.
        if (due && !atomic_load(&store->status))
            rc = index_note_file(store, file, false);
    }
    index_release(store, file);
    remote_unref(store);
    free(base->path);
    free(handle);
    return rc;
}

// The file with a handle more, made if it may be.
static int find_or_make(struct remote *store, const char *text, int flags,
                        struct remote_file **ret_file)
{
    remote_lock(store);
    struct index_name *name = index_find(store, text);
    int rc = 0;
    if (name && !name->file)
        rc = status_fail(LSM_IO_ERROR, "open %s/%s: Is a directory", store->path, text);
    else if (name && flags & ENV_EXCL)
        rc = status_fail(LSM_EXISTS, "open %s/%s: File exists", store->path, text);
    else if (name)
        (*ret_file = name->file)->handles++;
    else if (!(flags & ENV_CREATE))
        rc = status_fail(LSM_NOT_FOUND, "open %s/%s: No such file or directory", store->path, text);
    remote_unlock(store);
    if (!rc && !name)
        rc = index_create(store, text, false, ret_file);
    return rc;
}

static int rados_open(struct env *env, const char *path, int flags, struct env_file **ret_file)
{
    struct remote *store = store_of(env);
    char text[TEXT_MAX];
    int rc = full(env, path, text);
    if (rc)
        return rc;
    struct rados_file *handle = calloc(1, sizeof *handle);
    char *copy = NULL;
    if (!handle || asprintf(&copy, "%s/%s", store->path, text) < 0) {
        free(handle);
        return status_no_memory(sizeof *handle);
    }
    *handle = (struct rados_file){
        .base = {.ops = &rados_ops, .path = copy}, .store = store, .writable = flags & ENV_WRITE};
    if (flags & ENV_WRITE && !store->holds)
        rc = status_fail(LSM_READ_ONLY, "%s is not open to be written", store->path);
    if (!rc)
        rc = find_or_make(store, text, flags, &handle->file);
    if (rc) {
        free(copy);
        free(handle);
        return rc;
    }
    remote_ref(store);
    remote_lock(store);
    handle->file->writers += handle->writable;
    remote_unlock(store);
    if (flags & ENV_TRUNCATE)
        rc = remote_file_truncate(store, handle->file, 0);
    if (rc) {
        struct status_kept kept;
        status_keep(&kept);
        (void)rados_close(&handle->base);
        status_restore(&kept);
        return rc;
    }
    *ret_file = &handle->base;
    return 0;
}

static int rados_preadv(struct env_file *file, const struct iovec *pieces, int count,
                        uint64_t offset, size_t *ret_size)
{
    return remote_file_read(file_of(file)->store, file_of(file)->file, pieces, count, offset,
                            ret_size);
}

static int rados_pread(struct env_file *file, void *data, size_t size, uint64_t offset,
                       size_t *ret_size)
{
    const struct iovec piece = {data, size};
    return rados_preadv(file, &piece, 1, offset, ret_size);
}

static int rados_pwritev(struct env_file *file, const struct iovec *pieces, int count,
                         uint64_t offset)
{
    return remote_file_write(file_of(file)->store, file_of(file)->file, pieces, count, offset);
}

static int rados_pwrite(struct env_file *file, const void *data, size_t size, uint64_t offset)
{
    const struct iovec piece = {(void *)data, size};
    return rados_pwritev(file, &piece, 1, offset);
}

// What was written is on the disks already; a write that may have failed has ended all changes.
static int rados_sync(struct env_file *file)
{
    return remote_check(file_of(file)->store);
}

static int rados_truncate(struct env_file *file, uint64_t size)
{
    return remote_file_truncate(file_of(file)->store, file_of(file)->file, size);
}

static int rados_allocate(struct env_file *file, uint64_t offset, uint64_t size)
{
    (void)offset;
    (void)size;
    return status_fail(LSM_INVALID, "%s: a cluster cannot pre-allocate", file->path);
}

static int rados_size(struct env_file *file, uint64_t *ret_size)
{
    *ret_size = atomic_load(&file_of(file)->file->size);
    return 0;
}

static int rados_map(struct env_file *file, uint64_t offset, size_t size, bool writable,
                     void **ret_addr)
{
    (void)offset;
    (void)size;
    (void)writable;
    (void)ret_addr;
    return status_fail(LSM_INVALID, "%s: objects cannot be mapped", file->path);
}

static void rados_unmap(struct env_file *file, void *addr, size_t size)
{
    (void)file;
    (void)addr;
    (void)size;
}

static int rados_msync(struct env_file *file, void *addr, size_t size)
{
    (void)addr;
    (void)size;
    return rados_sync(file);
}

static void rados_advise_map(struct env_file *file, void *addr, size_t size, enum env_advice advice)
{
    (void)file;
    (void)addr;
    (void)size;
    (void)advice;
}

static void rados_advise(struct env_file *file, uint64_t offset, uint64_t size,
                         enum env_advice advice)
{
    (void)file;
    (void)offset;
    (void)size;
    (void)advice;
}

static const struct env_ops rados_ops = {
    .open_dir = rados_open_dir,
    .close_dir = rados_close_dir,
    .check_dir = rados_check_dir,
    .open = rados_open,
    .stat = rados_stat,
    .unlink = rados_unlink,
    .rename = rados_rename,
    .link = rados_link,
    .mkdir = rados_mkdir,
    .rmdir = rados_rmdir,
    .list = rados_list,
    .sync_dir = rados_sync_dir,
    .lock = rados_lock,
    .lock_note = rados_lock_note,
    .unlock = rados_unlock,
    .limits = rados_limits,
    .space = rados_space,
    .pread = rados_pread,
    .pwrite = rados_pwrite,
    .preadv = rados_preadv,
    .pwritev = rados_pwritev,
    .sync = rados_sync,
    .truncate = rados_truncate,
    .allocate = rados_allocate,
    .size = rados_size,
    .map = rados_map,
    .unmap = rados_unmap,
    .msync = rados_msync,
    .advise_map = rados_advise_map,
    .advise = rados_advise,
    .close = rados_close,
};

// ----------------------------------------------------------------------------------------- bases

struct env *env_rados(void)
{
    static struct rados_env base = {.base = {.ops = &rados_ops},
                                    .open = cluster_open_librados,
                                    .stripe = STRIPE_SIZE,
                                    .threaded = true};
    return &base.base;
}

struct env *env_rados_new(cluster_open_fn *open, void *arg, uint64_t stripe, bool threaded)
{
    struct rados_env *base = calloc(1, sizeof *base);
    if (!base)
        return NULL;
    *base = (struct rados_env){.base = {.ops = &rados_ops},
                               .open = open,
                               .arg = arg,
                               .stripe = stripe,
                               .threaded = threaded};
    return &base->base;
}

void env_rados_free(struct env *env)
{
    free(env ? env_of(env) : NULL);
}

void env_rados_tick(struct env *dir)
{
    lease_tick(store_of(dir));
}

uint64_t env_rados_epoch(struct env *dir)
{
    return strtoull(store_of(dir)->epoch, NULL, 16);
}
