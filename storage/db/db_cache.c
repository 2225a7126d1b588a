// The cache on the local disk between a store in a cluster and the engine.
//
// The cache is opened after the store's lock has been taken: copies in it are named after the
// store's identity, which a new store gets when its first writer takes the lock. It is closed
// before the lock is given up: whoever takes the lock next may use the same directory.
//
// Failure: a directory that cannot be used is a wrong option, and opening fails. But a process that
// has waited for the store (lock_wait) goes on without a cache.
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "db/db.h"
#include "version/store_files.h"

static bool is_written_once(const char *name)
{
    uint64_t number;
    enum store_file kind = store_file_parse(name, &number);
    return kind == STORE_TABLE || kind == STORE_BLOB;
}

static int begin(struct lsm *db)
{
    const struct lsm_options *options = &db->options;
    struct disk_cache *cache;
    struct env *env;
    struct status_kept kept;
    char *note = NULL;
    assert(db->claim.lock && !db->cached);
    if (asprintf(&note, "a cache for %s", db->dir) < 0)
        return status_no_memory(strlen(db->dir));
    int rc = disk_cache_open(env_posix(), options->disk_cache_dir, options->disk_cache_size, note,
                             db->logger, &cache);
    free(note);
    if (rc == LSM_BUSY) { // the cache's directory is busy, not the store: waiting is of no use
        status_keep(&kept);
        return status_fail(LSM_INVALID, "%s: each mount needs a directory of its own for its cache",
                           kept.detail);
    }
    if (rc)
        return rc;
    rc = env_cache_new(db->env, cache, is_written_once, db->logger, &env);
    if (rc) {
        status_keep(&kept);
        disk_cache_close(cache);
        status_restore(&kept);
        return rc;
    }
    db->env = env;
    db->cached = true;
    return LSM_OK;
}

int db_cache_begin(struct lsm *db)
{
    int rc = db->options.disk_cache_dir ? begin(db) : LSM_OK;
    if (rc && db->options.lock_wait) {
        logger_log(&db->logger, LSM_LOG_WARN, "%s; going on without a cache", lsm_error_detail());
        rc = LSM_OK;
    }
    db->options.disk_cache_dir = NULL; // the string is the caller's and must not be kept
    return rc;
}

void db_cache_end(struct lsm *db)
{
    assert(!db->cached || db->claim.lock);
    if (db->cached)
        db->env = env_cache_free(db->env);
    db->cached = false;
}

struct disk_cache_stats db_cache_stats(struct lsm *db)
{
    struct disk_cache_stats stats = {0};
    if (db->cached)
        env_cache_stats(db->env, &stats);
    return stats;
}
