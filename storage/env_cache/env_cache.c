// The functions of env over another env and a cache.
//
// Reading goes block by block: from the cache, or, for a run of blocks that it does not have, by
// one read of the other env.
//
// Writing. What was written to the other env successfully, in one go from a block's beginning to
// its end, is put into the cache at once. Bytes of the present block are gathered for that; a write
// that begins elsewhere begins with the next block there. After a failed write the bytes of its
// range may be written again, with others: then all copies of the file go, and none are made as
// long as it is written. A file may be read while it is written: blocks in the cache are good, but
// what is read from the other env is not kept, until ENV_ADVISE_COMPLETE says that it does not
// change any more. No byte is written twice but after a failure, or in a file that was there
// before it was opened: all its copies go then, too.
//
// Thread safety: as env.h says. A written file has a mutex for what is gathered; it comes before
// the cache's.
#include "env_cache/env_cache.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/lock_check.h"
#include "base/numbers.h"
#include "base/status.h"
#include "env_cache/cache_format.h"

#define RUN_MAX 16u // blocks that are read at once

struct cache_env {
    struct env base;
    struct env *inner;
    struct disk_cache *cache;
    env_cache_wanted_fn *wanted;
};

extern struct lock_role gather_mutex; // of a file that is written

struct cached_file {
    struct env_file base; // path: the inner file's
    struct env_file *inner;
    struct disk_cache *cache;
    struct cached_id id;
    bool writable;
    bool fresh;            // the file was empty when it was opened
    _Atomic bool complete; // the file does not change any more; stored with release, after `size`
    uint64_t size;         // in bytes, valid once it is complete
    pthread_mutex_t mutex; // of writable files
    uint8_t *gathered GUARDED_BY(gather_mutex); // CACHE_BLOCK bytes, from a block's beginning
    uint64_t end GUARDED_BY(gather_mutex);      // of what is gathered, in the file
    uint64_t most GUARDED_BY(gather_mutex);     // end of the furthest write
    bool spoiled GUARDED_BY(gather_mutex);      // no copies of the file are made any more
};

LOCK_FUNCTIONS(gather, struct cached_file, mutex, gather_mutex)

static const struct env_ops cache_ops;

static struct cache_env *env_of(struct env *env)
{
    return (struct cache_env *)env;
}

static struct env *inner_of(struct env *env)
{
    return env_of(env)->inner;
}

static struct cached_file *file_of(struct env_file *file)
{
    return (struct cached_file *)file;
}

static uint64_t pieces_size(const struct iovec *pieces, int count)
{
    uint64_t size = 0;
    for (int i = 0; i < count; i++)
        size += pieces[i].iov_len;
    return size;
}

// ------------------------------------------------------------------------------------- reading

// How many blocks from `block` on, up to that of byte `end` - 1, the cache does not have.
static unsigned missing_run(struct cached_file *file, uint64_t block, uint64_t end)
{
    unsigned run = 1;
    while (run < RUN_MAX && (block + run) * CACHE_BLOCK < end &&
           !disk_cache_has(file->cache, file->id, block + run))
        run++;
    return run;
}

// Reads from the inner file what is missing, from `offset` in `block` on, and at most to `end`.
// Whole blocks, which are kept, of a file that is complete. *ret_size: less at the file's end only.
static int read_missing(struct cached_file *file, uint64_t block, uint64_t offset, uint64_t end,
                        struct spread *to, uint64_t *ret_size)
{
    bool keep = atomic_load_explicit(&file->complete, memory_order_acquire);
    uint64_t from = keep ? block * CACHE_BLOCK : offset;
    uint64_t until = (block + missing_run(file, block, end)) * CACHE_BLOCK;
    uint64_t most = keep ? file->size : end;
    until = until < most ? until : most;
    size_t size = (size_t)(until - from), got;
    uint8_t *data = malloc(size);
    assert(from <= offset && offset < until);
    if (!data)
        return status_no_memory(size);
    int rc = env_pread(file->inner, data, size, from, &got);
    if (!rc && from + got > offset) {
        uint64_t wanted = (from + got < end ? from + got : end) - offset;
        spread_put(to, data + (offset - from), (size_t)wanted);
        *ret_size = wanted;
    } else {
        *ret_size = 0;
    }
    for (size_t at = 0; !rc && keep && at < got; at += CACHE_BLOCK, block++) {
        size_t n = got - at < CACHE_BLOCK ? got - at : CACHE_BLOCK;
        if (n == CACHE_BLOCK || from + at + n == file->size)
            disk_cache_write(file->cache, file->id, block, data + at, n);
    }
    free(data);
    return rc;
}

static int cache_preadv(struct env_file *base, const struct iovec *pieces, int count,
                        uint64_t offset, size_t *ret_size)
{
    struct cached_file *file = file_of(base);
    struct spread to = {pieces, count, 0};
    uint64_t left = pieces_size(pieces, count), done = 0, size;
    int rc = 0;
    if (atomic_load_explicit(&file->complete, memory_order_acquire))
        size = file->size;
    else
        rc = file->inner->ops->size(file->inner, &size);
    if (rc)
        return rc;
    left = offset >= size ? 0 : left < size - offset ? left : size - offset;
    while (left && !rc) {
        uint64_t block = offset / CACHE_BLOCK, n = CACHE_BLOCK - offset % CACHE_BLOCK;
        n = n < left ? n : left;
        if (!disk_cache_read(file->cache, file->id, block, offset % CACHE_BLOCK, (size_t)n, &to)) {
            rc = read_missing(file, block, offset, offset + left, &to, &n);
            if (!rc && n == 0)
                break; // shorter than it was said to be
        }
        offset += n;
        done += n;
        left -= n;
    }
    if (!rc)
        *ret_size = (size_t)done;
    return rc;
}

static int cache_pread(struct env_file *file, void *data, size_t size, uint64_t offset,
                       size_t *ret_size)
{
    const struct iovec piece = {data, size};
    return cache_preadv(file, &piece, 1, offset, ret_size);
}

// ------------------------------------------------------------------------------------- writing

// Puts what is gathered into the cache: a whole block, or the file's last one.
static void keep_gathered(struct cached_file *file) REQUIRES(gather_mutex)
{
    assert(file->end > 0 && file->gathered);
    uint64_t block = (file->end - 1) / CACHE_BLOCK;
    disk_cache_write(file->cache, file->id, block, file->gathered,
                     (size_t)(file->end - block * CACHE_BLOCK));
}

// Gathers the bytes that come next in the file, behind those that are gathered already.
static void gather_bytes(struct cached_file *file, const uint8_t *data, size_t size)
    REQUIRES(gather_mutex)
{
    while (size) {
        size_t at = (size_t)(file->end % CACHE_BLOCK), left = CACHE_BLOCK - at;
        size_t n = left < size ? left : size;
        memcpy(file->gathered + at, data, n);
        file->end += n;
        data += n;
        size -= n;
        if (n == left)
            keep_gathered(file);
    }
}

// Gathers what the inner file has just taken.
static void gather(struct cached_file *file, const struct iovec *pieces, int count, uint64_t offset)
    REQUIRES(gather_mutex)
{
    uint64_t skip = 0, size = pieces_size(pieces, count);
    if (file->most < offset + size)
        file->most = offset + size;
    if (file->spoiled)
        return;
    if (!file->gathered && !(file->gathered = malloc(CACHE_BLOCK)))
        return;
    if (file->end != offset) {
        file->end = (offset + CACHE_BLOCK - 1) / CACHE_BLOCK * CACHE_BLOCK;
        skip = file->end - offset;
    }
    for (int i = 0; i < count; i++) {
        size_t length = pieces[i].iov_len, n = skip < length ? (size_t)skip : length;
        skip -= n;
        gather_bytes(file, (const uint8_t *)pieces[i].iov_base + n, length - n);
    }
    if (skip)
        file->end = UINT64_MAX; // has not come to the next block: nothing is gathered
}

// Drops the copies of the file, and makes no more: what was copied may not be in the file any more.
static void spoil(struct cached_file *file)
{
    struct status_kept kept;
    uint64_t size;
    status_keep(&kept);
    gather_lock(file);
    file->spoiled = true;
    if (file->inner->ops->size(file->inner, &size))
        size = file->most;
    disk_cache_drop(file->cache, file->id, size < file->most ? file->most : size, true);
    gather_unlock(file);
    status_restore(&kept);
}

static int cache_pwritev(struct env_file *base, const struct iovec *pieces, int count,
                         uint64_t offset)
{
    struct cached_file *file = file_of(base);
    if (!file->fresh)
        spoil(file);
    int rc = file->inner->ops->pwritev(file->inner, pieces, count, offset);
    if (rc) {
        spoil(file);
        return rc;
    }
    gather_lock(file);
    gather(file, pieces, count, offset);
    gather_unlock(file);
    return 0;
}

static int cache_pwrite(struct env_file *file, const void *data, size_t size, uint64_t offset)
{
    const struct iovec piece = {(void *)(uintptr_t)data, size};
    return cache_pwritev(file, &piece, 1, offset);
}

static int cache_truncate(struct env_file *base, uint64_t size)
{
    struct cached_file *file = file_of(base);
    uint64_t before;
    int rc = file->inner->ops->size(file->inner, &before);
    if (rc)
        return rc;
    if (size < before)
        spoil(file);
    return file->inner->ops->truncate(file->inner, size);
}

// Keeps a copy of the last block of a file that nobody writes to any more.
static void keep_last(struct cached_file *file) NOT_CHECKED
{
    uint64_t size;
    gather_lock(file);
    if (!file->spoiled && file->gathered && file->end % CACHE_BLOCK &&
        !file->inner->ops->size(file->inner, &size) && size == file->end)
        keep_gathered(file);
    free(file->gathered);
    file->gathered = NULL;
    file->spoiled = true;
    gather_unlock(file);
}

static void complete(struct cached_file *file)
{
    uint64_t size;
    if (!file->writable || atomic_load(&file->complete) ||
        file->inner->ops->size(file->inner, &size))
        return;
    keep_last(file);
    file->size = size;
    atomic_store_explicit(&file->complete, true, memory_order_release);
}

// ------------------------------------------------------------------------------------- files

static int cache_sync(struct env_file *file)
{
    return env_sync(file_of(file)->inner);
}

static int cache_allocate(struct env_file *base, uint64_t offset, uint64_t size)
{
    struct env_file *inner = file_of(base)->inner;
    return inner->ops->allocate(inner, offset, size);
}

static int cache_size(struct env_file *base, uint64_t *ret_size)
{
    struct env_file *inner = file_of(base)->inner;
    return inner->ops->size(inner, ret_size);
}

static int cache_map(struct env_file *base, uint64_t offset, size_t size, bool writable,
                     void **ret_addr)
{
    struct env_file *inner = file_of(base)->inner;
    return inner->ops->map(inner, offset, size, writable, ret_addr);
}

static void cache_unmap(struct env_file *base, void *addr, size_t size)
{
    struct env_file *inner = file_of(base)->inner;
    inner->ops->unmap(inner, addr, size);
}

static int cache_msync(struct env_file *base, void *addr, size_t size)
{
    struct env_file *inner = file_of(base)->inner;
    return inner->ops->msync(inner, addr, size);
}

static void cache_advise_map(struct env_file *base, void *addr, size_t size, enum env_advice advice)
{
    struct env_file *inner = file_of(base)->inner;
    inner->ops->advise_map(inner, addr, size, advice);
}

static void cache_advise(struct env_file *base, uint64_t offset, uint64_t size,
                         enum env_advice advice)
{
    struct env_file *inner = file_of(base)->inner;
    if (advice == ENV_ADVISE_COMPLETE)
        complete(file_of(base));
    inner->ops->advise(inner, offset, size, advice);
}

static int cache_close(struct env_file *base)
{
    struct cached_file *file = file_of(base);
    struct env_file *inner = file->inner;
    if (file->writable)
        keep_last(file);
    pthread_mutex_destroy(&file->mutex);
    free(file);
    return env_close(inner);
}

// The file's identity, if there can be copies of it.
static bool can_be_cached(struct cache_env *env, const char *name, int flags,
                          struct env_stat *ret_stat)
{
    struct status_kept kept;
    if (!env->wanted(name))
        return false;
    status_keep(&kept);
    bool can = !env->inner->ops->stat(env->inner, name, ret_stat) && ret_stat->identity[0] &&
               (flags & ENV_WRITE || !ret_stat->is_written);
    status_restore(&kept);
    return can;
}

static int cache_open(struct env *base, const char *name, int flags, struct env_file **ret_file)
{
    struct cache_env *env = env_of(base);
    struct env_stat stat;
    struct env_file *inner;
    if (flags & ENV_TRUNCATE && can_be_cached(env, name, flags, &stat)) // what was there before
        disk_cache_drop(env->cache, (struct cached_id){stat.identity[0], stat.identity[1]},
                        stat.size, true);
    int rc = env_open(env->inner, name, flags, &inner);
    if (rc || !can_be_cached(env, name, flags, &stat)) {
        if (!rc)
            *ret_file = inner;
        return rc;
    }
    struct cached_file *file = calloc(1, sizeof *file);
    if (!file) { // no memory: the file is used without the cache
        *ret_file = inner;
        return 0;
    }
    file->base = (struct env_file){.ops = &cache_ops, .path = inner->path};
    file->inner = inner;
    file->cache = env->cache;
    file->id = (struct cached_id){stat.identity[0], stat.identity[1]};
    file->writable = flags & ENV_WRITE;
    file->fresh = stat.size == 0;
    file->size = stat.size;
    atomic_init(&file->complete, !file->writable);
    pthread_mutex_init(&file->mutex, NULL);
    *ret_file = &file->base;
    return 0;
}

// ------------------------------------------------------------------------------------- names

static int cache_unlink(struct env *base, const char *name)
{
    struct cache_env *env = env_of(base);
    struct env_stat stat;
    bool cached = can_be_cached(env, name, ENV_WRITE, &stat);
    int rc = env->inner->ops->unlink(env->inner, name);
    if (!rc && cached)
        disk_cache_drop(env->cache, (struct cached_id){stat.identity[0], stat.identity[1]},
                        stat.size, false);
    return rc;
}

static int cache_open_dir(struct env *env, const char *path, struct env **ret_dir)
{
    struct env *inner = inner_of(env);
    return inner->ops->open_dir(inner, path, ret_dir);
}

static void cache_close_dir(struct env *env)
{
    if (!env)
        return;
    struct env *inner = env_cache_free(env);
    inner->ops->close_dir(inner);
}

static int cache_check_dir(struct env *env)
{
    struct env *inner = inner_of(env);
    return inner->ops->check_dir(inner);
}

static int cache_stat(struct env *env, const char *path, struct env_stat *ret_stat)
{
    struct env *inner = inner_of(env);
    return inner->ops->stat(inner, path, ret_stat);
}

static int cache_rename(struct env *env, const char *from, const char *to)
{
    struct env *inner = inner_of(env);
    return inner->ops->rename(inner, from, to);
}

static int cache_link(struct env *env, const char *from, struct env *to_dir, const char *to)
{
    struct env *inner = inner_of(env);
    if (to_dir->ops == &cache_ops)
        to_dir = inner_of(to_dir);
    return inner->ops->link(inner, from, to_dir, to);
}

static int cache_mkdir(struct env *env, const char *path)
{
    struct env *inner = inner_of(env);
    return inner->ops->mkdir(inner, path);
}

static int cache_rmdir(struct env *env, const char *path)
{
    struct env *inner = inner_of(env);
    return inner->ops->rmdir(inner, path);
}

static int cache_list(struct env *env, const char *path, env_list_fn *fn, void *arg)
{
    struct env *inner = inner_of(env);
    return inner->ops->list(inner, path, fn, arg);
}

static int cache_sync_dir(struct env *env, const char *path)
{
    struct env *inner = inner_of(env);
    return inner->ops->sync_dir(inner, path);
}

static int cache_lock(struct env *env, const char *path, bool shared, const char *note,
                      struct env_lock **ret_lock)
{
    struct env *inner = inner_of(env);
    return inner->ops->lock(inner, path, shared, note, ret_lock);
}

static void cache_lock_note(struct env *env, struct env_lock *lock, const char *note)
{
    struct env *inner = inner_of(env);
    inner->ops->lock_note(inner, lock, note);
}

static void cache_unlock(struct env *env, struct env_lock *lock)
{
    struct env *inner = inner_of(env);
    inner->ops->unlock(inner, lock);
}

static void cache_limits(struct env *env, uint64_t *ret_files, uint64_t *ret_file_size)
{
    struct env *inner = inner_of(env);
    inner->ops->limits(inner, ret_files, ret_file_size);
}

static int cache_space(struct env *env, const char *path, uint64_t *ret_free, uint64_t *ret_total)
{
    struct env *inner = inner_of(env);
    return inner->ops->space(inner, path, ret_free, ret_total);
}

static const struct env_ops cache_ops = {
    .open_dir = cache_open_dir,
    .close_dir = cache_close_dir,
    .check_dir = cache_check_dir,
    .open = cache_open,
    .stat = cache_stat,
    .unlink = cache_unlink,
    .rename = cache_rename,
    .link = cache_link,
    .mkdir = cache_mkdir,
    .rmdir = cache_rmdir,
    .list = cache_list,
    .sync_dir = cache_sync_dir,
    .lock = cache_lock,
    .lock_note = cache_lock_note,
    .unlock = cache_unlock,
    .limits = cache_limits,
    .space = cache_space,
    .pread = cache_pread,
    .pwrite = cache_pwrite,
    .preadv = cache_preadv,
    .pwritev = cache_pwritev,
    .sync = cache_sync,
    .truncate = cache_truncate,
    .allocate = cache_allocate,
    .size = cache_size,
    .map = cache_map,
    .unmap = cache_unmap,
    .msync = cache_msync,
    .advise_map = cache_advise_map,
    .advise = cache_advise,
    .close = cache_close,
};

// ------------------------------------------------------------------------------------- opening

// The files that the inner env has.
struct census {
    struct cache_env *env;
    uint64_t store;
    struct number_list files;
    bool nameless; // there is one whose identity nobody knows
};

static int count_file(void *arg, const char *name)
{
    struct census *census = arg;
    struct env_stat stat;
    struct env *inner = census->env->inner;
    if (!census->env->wanted(name) || inner->ops->stat(inner, name, &stat))
        return 0;
    if (!stat.identity[0]) {
        census->nameless = true;
        return 0;
    }
    census->store = stat.identity[0];
    return number_list_add(&census->files, stat.identity[1]);
}

int env_cache_new(struct env *inner, struct disk_cache *cache, env_cache_wanted_fn *wanted,
                  struct logger logger, struct env **ret_env)
{
    struct cache_env *env = calloc(1, sizeof *env);
    if (!env)
        return status_no_memory(sizeof *env);
    *env = (struct cache_env){.base = {.ops = &cache_ops, .path = inner->path},
                              .inner = inner,
                              .cache = cache,
                              .wanted = wanted};
    struct census census = {.env = env};
    int rc = inner->ops->list(inner, ENV_HERE, count_file, &census);
    if (!rc && census.files.count) {
        numbers_sort(census.files.at, census.files.count);
        disk_cache_keep(cache, census.store, census.files.at, census.files.count);
    }
    number_list_release(&census.files);
    if (rc) {
        free(env);
        return rc;
    }
    if (census.nameless)
        logger_log(&logger, LSM_LOG_WARN,
                   "%s: the store cannot tell its files from another store's: nothing is cached "
                   "before it was mounted to be written once",
                   inner->path);
    *ret_env = &env->base;
    return 0;
}

struct env *env_cache_free(struct env *base)
{
    struct cache_env *env = env_of(base);
    struct env *inner = env->inner;
    disk_cache_close(env->cache);
    free(env);
    return inner;
}

void env_cache_stats(struct env *env, struct disk_cache_stats *ret_stats)
{
    disk_cache_stats(env_of(env)->cache, ret_stats);
}
