// The functions of env for who follows a store in a cluster.
//
// The writer may be on any machine and knows nothing of its followers but a sign (lease.c), for
// which it keeps files a while after it has let them go. Each function asks the cluster: names and
// numbers of files are the index's as of the call, and sizes the objects', because the index does
// not know how long a file is that is being written. An open file is a number, so it stays the same
// file when its name goes to another one; but its objects may be removed.
//
// A store has one level of names here. Nothing can be changed.
//
// Thread safety: as env.h says.
#include "env_rados/env_rados.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "env_rados/env_rados_impl.h"
#include "env_rados/remote.h"

#define SAY_US 1000000u // between two signs

extern struct lock_role following_mutex;

struct following_env {
    struct env base;
    struct remote *store; // of which nothing is loaded; NULL: a base env, which has the next three
    uint64_t stripe;
    cluster_open_fn *open;
    void *arg;
    pthread_mutex_t mutex;
    // Of the store that was opened; "": not known yet.
    char identity[EPOCH_DIGITS + 1] GUARDED_BY(following_mutex);
    _Atomic uint64_t said_us; // when the last sign was left; 0: none was
};

LOCK_FUNCTIONS(identity, struct following_env, mutex, following_mutex)

struct following_file {
    struct env_file base;
    struct following_env *dir;
    struct remote_file file; // number and size
    _Atomic uint32_t last;   // the object in which it has ended lately
};

static const struct env_ops following_ops;

static struct following_env *env_of(struct env *env)
{
    return (struct following_env *)env;
}

static struct following_file *file_of(struct env_file *file)
{
    return (struct following_file *)file;
}

static int no_changes(const char *name)
{
    return status_fail(LSM_READ_ONLY, "%s: the store is followed, and cannot be changed", name);
}

// ------------------------------------------------------------------------------------ directories

// Nobody else has the env yet.
static int following_open_dir(struct env *env, const char *path, struct env **ret_dir) NOT_CHECKED
{
    struct following_env *from = env_of(env);
    struct cluster *cluster;
    if (from->store)
        return status_fail(LSM_NOT_FOUND, "%s/%s: not in a store that is followed", env->path,
                           path);
    struct following_env *dir = calloc(1, sizeof *dir);
    if (!dir)
        return status_no_memory(sizeof *dir);
    int rc = remote_connect(from->open, from->arg, path, &cluster);
    if (!rc) {
        rc = remote_new(cluster, path, from->stripe, false, &dir->store);
        if (rc)
            cluster->ops->close(cluster);
    }
    if (!rc)
        rc = lease_look(dir->store, dir->identity);
    if (rc) {
        remote_unref(dir->store);
        free(dir);
        return rc;
    }
    dir->base = (struct env){.ops = &following_ops, .path = dir->store->path};
    pthread_mutex_init(&dir->mutex, NULL);
    *ret_dir = &dir->base;
    return 0;
}

static void following_close_dir(struct env *env)
{
    if (!env)
        return;
    struct following_env *dir = env_of(env);
    assert(dir->store); // a base env is not closed
    remote_unref(dir->store);
    pthread_mutex_destroy(&dir->mutex);
    free(dir);
}

// Whether the store is still the one that was opened: another one of the same name has other files
// under the same numbers.
static int following_check_dir(struct env *env)
{
    struct following_env *dir = env_of(env);
    char identity[EPOCH_DIGITS + 1];
    int rc = lease_look(dir->store, identity);
    if (rc)
        return rc;
    identity_lock(dir);
    if (!*dir->identity)
        memcpy(dir->identity, identity, sizeof identity);
    bool same = strcmp(dir->identity, identity) == 0;
    identity_unlock(dir);
    return same ? 0
                : status_fail(LSM_NOT_FOUND,
                              "%s: another store is in its place: open it again, or mount it again",
                              env->path);
}

// Two threads may both leave a sign: it is the same one.
static void leave_sign(struct following_env *dir)
{
    uint64_t now = dir->store->cluster->ops->now_us(dir->store->cluster);
    uint64_t said = atomic_load(&dir->said_us);
    if (said && now - said < SAY_US)
        return;
    atomic_store(&dir->said_us, now ? now : 1);
    lease_say_follower(dir->store);
}

static int following_list(struct env *env, const char *path, env_list_fn *fn, void *arg)
{
    struct buf names = {0};
    if (strcmp(path, ENV_HERE) != 0)
        return status_fail(LSM_NOT_FOUND, "%s/%s: No such directory", env->path, path);
    int rc = index_see_names(env_of(env)->store, &names);
    for (size_t at = 0; at < names.size && !rc; at += strlen((char *)names.data + at) + 1)
        rc = fn(arg, (char *)names.data + at);
    buf_release(&names);
    return rc;
}

// --------------------------------------------------------------------------------------- files

// How long the file is: where its objects end. *last is the object in which the end was found
// before, and is found now.
static int look_at_end(const struct remote *store, uint64_t number, _Atomic uint32_t *last,
                       uint64_t *ret_size)
{
    uint32_t stripe = atomic_load(last), first = stripe;
    uint64_t size = 0;
    for (;;) {
        char object[CLUSTER_NAME_MAX];
        uint64_t bytes = 0;
        stripe_name(object, number, stripe);
        int answer = store->cluster->ops->size(store->cluster, object, &bytes);
        if (answer && answer != -ENOENT)
            return status_fail(LSM_IO_ERROR, "%s: asking for object %s: %s", store->path, object,
                               strerror(-answer));
        if (bytes == 0 && stripe > 0 && stripe == first) { // it was cut, or is gone
            stripe = first = 0;
            continue;
        }
        if (bytes)
            atomic_store(last, stripe);
        size = stripe * store->stripe + bytes;
        if (bytes < store->stripe)
            break;
        stripe++;
    }
    *ret_size = size;
    return 0;
}

// A name's file, with its present size.
static int find(struct following_env *dir, const char *name, struct index_seen *ret_seen,
                uint32_t *ret_last)
{
    int rc = index_see(dir->store, name, ret_seen);
    if (rc || ret_seen->is_dir)
        return rc;
    _Atomic uint32_t last = (uint32_t)(ret_seen->size / dir->store->stripe);
    rc = look_at_end(dir->store, ret_seen->number, &last, &ret_seen->size);
    *ret_last = atomic_load(&last);
    return rc;
}

static int following_stat(struct env *env, const char *path, struct env_stat *ret_stat)
{
    struct index_seen seen;
    uint32_t last;
    int rc = find(env_of(env), path, &seen, &last);
    if (!rc)
        *ret_stat = (struct env_stat){
            .size = seen.size, .allocated_bytes = seen.size, .is_dir = seen.is_dir};
    return rc;
}

static int following_open(struct env *env, const char *path, int flags, struct env_file **ret_file)
{
    struct following_env *dir = env_of(env);
    struct index_seen seen;
    uint32_t last = 0;
    if (!dir->store || flags & ENV_WRITE)
        return no_changes(path);
    leave_sign(dir);
    int rc = following_check_dir(env);
    if (!rc)
        rc = find(dir, path, &seen, &last);
    if (!rc && seen.is_dir)
        rc = status_fail(LSM_IO_ERROR, "open %s/%s: Is a directory", env->path, path);
    if (rc)
        return rc;
    struct following_file *handle = calloc(1, sizeof *handle);
    char *copy = NULL;
    if (!handle || asprintf(&copy, "%s/%s", env->path, path) < 0) {
        free(handle);
        return status_no_memory(sizeof *handle);
    }
    handle->base = (struct env_file){.ops = &following_ops, .path = copy};
    handle->dir = dir;
    handle->file.number = seen.number;
    atomic_init(&handle->file.size, seen.size);
    atomic_init(&handle->last, last);
    *ret_file = &handle->base;
    return 0;
}

static int following_close(struct env_file *base)
{
    free(base->path);
    free(file_of(base));
    return 0;
}

static int following_size(struct env_file *base, uint64_t *ret_size)
{
    struct following_file *handle = file_of(base);
    int rc = look_at_end(handle->dir->store, handle->file.number, &handle->last, ret_size);
    if (!rc)
        atomic_store(&handle->file.size, *ret_size);
    return rc;
}

// The file may have grown up to `end`. An object may be complete while one below it is still being
// written: what it holds was acknowledged all the same.
static int look_behind(struct following_file *handle, uint64_t end, uint64_t *ret_known)
{
    const struct remote *store = handle->dir->store;
    char object[CLUSTER_NAME_MAX];
    uint64_t bytes = 0, first = (end - 1) / store->stripe * store->stripe;
    int rc = following_size(&handle->base, ret_known);
    if (rc || end <= *ret_known || first < *ret_known)
        return rc;
    stripe_name(object, handle->file.number, (uint32_t)((end - 1) / store->stripe));
    int answer = store->cluster->ops->size(store->cluster, object, &bytes);
    if (answer && answer != -ENOENT)
        return status_fail(LSM_IO_ERROR, "%s: asking for object %s: %s", store->path, object,
                           strerror(-answer));
    if (!answer && first + bytes >= end) {
        *ret_known = end;
        atomic_store(&handle->file.size, end);
    }
    return 0;
}

static int following_preadv(struct env_file *base, const struct iovec *pieces, int count,
                            uint64_t offset, size_t *ret_size)
{
    struct following_file *handle = file_of(base);
    uint64_t end = offset, known = atomic_load(&handle->file.size);
    for (int i = 0; i < count; i++)
        end += pieces[i].iov_len;
    int rc = end > known ? look_behind(handle, end, &known) : 0;
    if (rc)
        return rc;
    return remote_file_read(handle->dir->store, &handle->file, pieces, count, offset, ret_size);
}

static int following_pread(struct env_file *file, void *data, size_t size, uint64_t offset,
                           size_t *ret_size)
{
    const struct iovec piece = {data, size};
    return following_preadv(file, &piece, 1, offset, ret_size);
}

static int following_map(struct env_file *file, uint64_t offset, size_t size, bool writable,
                         void **ret_addr)
{
    (void)offset, (void)size, (void)writable, (void)ret_addr;
    return status_fail(LSM_INVALID, "%s: objects cannot be mapped", file->path);
}

static void following_unmap(struct env_file *file, void *addr, size_t size)
{
    (void)file, (void)addr, (void)size;
}

static void following_advise_map(struct env_file *file, void *addr, size_t size,
                                 enum env_advice advice)
{
    (void)file, (void)addr, (void)size, (void)advice;
}

static void following_advise(struct env_file *file, uint64_t offset, uint64_t size,
                             enum env_advice advice)
{
    (void)file, (void)offset, (void)size, (void)advice;
}

// --------------------------------------------------------------------------------- locks, space

// Whoever follows excludes nobody: its lock is a sign.
static int following_lock(struct env *env, const char *path, bool shared, const char *note,
                          struct env_lock **ret_lock)
{
    (void)note;
    if (!shared || strcmp(path, FOLLOWERS_LOCK) != 0)
        return no_changes(path);
    leave_sign(env_of(env));
    *ret_lock = (struct env_lock *)env;
    return 0;
}

static void following_lock_note(struct env *env, struct env_lock *lock, const char *note)
{
    (void)env, (void)lock, (void)note;
}

static void following_unlock(struct env *env, struct env_lock *lock)
{
    assert((struct env *)lock == env);
    (void)env, (void)lock;
}

static void following_limits(struct env *env, uint64_t *ret_files, uint64_t *ret_file_size)
{
    (void)env;
    *ret_files = *ret_file_size = UINT64_MAX;
}

static int following_space(struct env *env, const char *path, uint64_t *ret_free,
                           uint64_t *ret_total)
{
    struct cluster *cluster = env_of(env)->store->cluster;
    (void)path;
    int answer = cluster->ops->space(cluster, ret_free, ret_total);
    return answer ? status_fail(LSM_IO_ERROR, "%s: asking for free space: %s", env->path,
                                strerror(-answer))
                  : 0;
}

// ------------------------------------------------------------------------------ what is refused

static int following_unlink(struct env *env, const char *path)
{
    (void)env;
    return no_changes(path);
}

static int following_rename(struct env *env, const char *from, const char *to)
{
    (void)env, (void)to;
    return no_changes(from);
}

static int following_link(struct env *env, const char *from, struct env *to_dir, const char *to)
{
    (void)env, (void)to_dir, (void)to;
    return no_changes(from);
}

static int following_mkdir(struct env *env, const char *path)
{
    (void)env;
    return no_changes(path);
}

static int following_sync_dir(struct env *env, const char *path)
{
    (void)env, (void)path;
    return 0;
}

static int following_pwrite(struct env_file *file, const void *data, size_t size, uint64_t offset)
{
    (void)data, (void)size, (void)offset;
    return no_changes(file->path);
}

static int following_pwritev(struct env_file *file, const struct iovec *pieces, int count,
                             uint64_t offset)
{
    (void)pieces, (void)count, (void)offset;
    return no_changes(file->path);
}

static int following_sync(struct env_file *file)
{
    (void)file;
    return 0;
}

static int following_truncate(struct env_file *file, uint64_t size)
{
    (void)size;
    return no_changes(file->path);
}

static int following_allocate(struct env_file *file, uint64_t offset, uint64_t size)
{
    (void)offset, (void)size;
    return no_changes(file->path);
}

static int following_msync(struct env_file *file, void *addr, size_t size)
{
    (void)addr, (void)size;
    return no_changes(file->path);
}

static const struct env_ops following_ops = {
    .open_dir = following_open_dir,
    .close_dir = following_close_dir,
    .check_dir = following_check_dir,
    .open = following_open,
    .stat = following_stat,
    .unlink = following_unlink,
    .rename = following_rename,
    .link = following_link,
    .mkdir = following_mkdir,
    .rmdir = following_unlink,
    .list = following_list,
    .sync_dir = following_sync_dir,
    .lock = following_lock,
    .lock_note = following_lock_note,
    .unlock = following_unlock,
    .limits = following_limits,
    .space = following_space,
    .pread = following_pread,
    .pwrite = following_pwrite,
    .preadv = following_preadv,
    .pwritev = following_pwritev,
    .sync = following_sync,
    .truncate = following_truncate,
    .allocate = following_allocate,
    .size = following_size,
    .map = following_map,
    .unmap = following_unmap,
    .msync = following_msync,
    .advise_map = following_advise_map,
    .advise = following_advise,
    .close = following_close,
};

// ----------------------------------------------------------------------------------------- bases

struct env *env_rados_following(void)
{
    static struct following_env base = {
        .base = {.ops = &following_ops}, .stripe = STRIPE_SIZE, .open = cluster_open_librados};
    return &base.base;
}

struct env *env_rados_following_new(cluster_open_fn *open, void *arg, uint64_t stripe)
{
    struct following_env *base = calloc(1, sizeof *base);
    if (!base)
        return NULL;
    base->base.ops = &following_ops;
    base->stripe = stripe;
    base->open = open;
    base->arg = arg;
    return &base->base;
}

void env_rados_following_free(struct env *env)
{
    free(env ? env_of(env) : NULL);
}
