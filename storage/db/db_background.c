// Background threads.
//
//  flush       writes immutable memtables to level 0, oldest first; prepares the next log
//  compaction  asks compact_pick what to do and does it; as many as the options say
//  sync        with sync_interval_ms: syncs the log that often
//
// They sleep on `work`. A failure is sticky, except a full disk: then the job is tried again every
// second, or as soon as something else ends, and writers are refused meanwhile.
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "db/db.h"

#define IDLE_WAKE_S 5 // idle threads look for garbage this often

uint64_t db_new_file_number(void *arg)
{
    struct lsm *db = arg;
    return atomic_fetch_add_explicit(&db->next_file, 1, memory_order_relaxed);
}

struct pick_options db_pick_options(struct lsm *db)
{
    const struct lsm_snapshot *oldest = db->snapshots.next;
    return (struct pick_options){
        .l0_compact = db->options.l0_compact,
        .level_base_size = db->options.level_base_size,
        .level_ratio = db->options.level_ratio,
        .table_size = db->options.table_size,
        .oldest_snapshot = oldest == &db->snapshots
                               ? atomic_load_explicit(&db->visible, memory_order_relaxed)
                               : oldest->sequence,
    };
}

// Waits on `work` for at most `ms`; mutex held.
static void wait_work(struct lsm *db, unsigned ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += ms / 1000;
    until.tv_nsec += (long)(ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_cond_timedwait(&db->work, &db->mutex, &until);
}

void db_update_pressure(struct lsm *db)
{
    unsigned count = db->version->levels[0].count, pressure = 0;
    unsigned slow = db->options.l0_slowdown, stop = db->options.l0_stop;
    if (count >= slow)
        pressure = count >= stop ? 1000 : 1 + (count - slow) * 998 / (stop - slow);
    if (db->background_error || db->space_error)
        pressure = 1000;
    atomic_store_explicit(&db->pressure, pressure, memory_order_release);
}

// What became of a background job; mutex held. True if the thread should pause before trying again.
static bool job_ended(struct lsm *db, int rc, const char *what)
{
    bool pause = false;
    if (rc == LSM_NO_SPACE) {
        if (!db->space_error)
            logger_log(&db->logger, LSM_LOG_ERROR, "%s: %s; writes are refused until there is room",
                       what, lsm_error_detail());
        db->space_error = rc;
        pause = true;
    } else if (rc) {
        db_set_error(db, rc, what);
    } else {
        db->space_error = LSM_OK;
    }
    db_update_pressure(db);
    pthread_cond_broadcast(&db->changed);
    pthread_cond_broadcast(&db->work);
    return pause;
}

bool db_flush_due(struct lsm *db)
{
    return db->immutable_count > 0 && !db->background_error;
}

// Mutex held; released meanwhile.
static void prepare_spare(struct lsm *db)
{
    struct db_log *log = NULL;
    db->spare_state = SPARE_MAKING;
    pthread_mutex_unlock(&db->mutex);
    int rc = db_log_new(db, &log);
    pthread_mutex_lock(&db->mutex);
    db->spare = rc ? NULL : log; // a failure is met again, and reported, when the log is needed
    db->spare_state = SPARE_NONE;
    pthread_cond_broadcast(&db->changed);
}

static void *flush_thread(void *arg)
{
    struct lsm *db = arg;
    pthread_mutex_lock(&db->mutex);
    while (!db->stopping) {
        if (db_flush_due(db)) {
            db->flush_running = true;
            pthread_mutex_unlock(&db->mutex);
            int rc = db_flush_oldest(db);
            db_remove_obsolete(db);
            pthread_mutex_lock(&db->mutex);
            db->flush_running = false;
            if (job_ended(db, rc, "flush failed") && !db->stopping)
                wait_work(db, 1000);
        } else if (db->spare_state == SPARE_WANTED) {
            prepare_spare(db);
        } else {
            pthread_mutex_unlock(&db->mutex);
            db_remove_obsolete(db);
            pthread_mutex_lock(&db->mutex);
            if (!db->stopping && !db_flush_due(db) && db->spare_state != SPARE_WANTED)
                wait_work(db, IDLE_WAKE_S * 1000);
        }
    }
    pthread_mutex_unlock(&db->mutex);
    return NULL;
}

// A compaction with its inputs marked, or NULL; mutex held. The version gets a reference.
static struct compaction *next_compaction(struct lsm *db, struct version **ret_version)
{
    if (db->background_error || db->manual_running)
        return NULL;
    struct pick_options options = db_pick_options(db);
    struct compaction *compaction = NULL;
    int rc = compact_pick(db->version, &options, db->cursors, &compaction);
    if (rc)
        db_set_error(db, rc, "picking a compaction failed");
    if (rc || !compaction)
        return NULL;
    for (unsigned side = 0; side < 2; side++)
        for (unsigned i = 0; i < compaction->input_count[side]; i++)
            compaction->inputs[side][i]->compacting = true;
    *ret_version = db->version;
    version_ref(db->version);
    return compaction;
}

static void *compaction_thread(void *arg)
{
    struct lsm *db = arg;
    pthread_mutex_lock(&db->mutex);
    while (!db->stopping) {
        struct version *version;
        struct compaction *compaction = next_compaction(db, &version);
        if (!compaction) {
            wait_work(db, IDLE_WAKE_S * 1000);
            continue;
        }
        db->compactions_running++;
        pthread_mutex_unlock(&db->mutex);
        int rc = db_run_compaction(db, version, compaction);
        db_remove_obsolete(db);
        pthread_mutex_lock(&db->mutex);
        db->compactions_running--;
        if (job_ended(db, rc == LSM_CLOSED ? LSM_OK : rc, "compaction failed") && !db->stopping)
            wait_work(db, 1000);
    }
    pthread_mutex_unlock(&db->mutex);
    return NULL;
}

static void *sync_thread(void *arg)
{
    struct lsm *db = arg;
    uint64_t interval_us = (uint64_t)db->options.sync_interval_ms * 1000;
    uint64_t next_us = env_now_us() + interval_us;
    pthread_mutex_lock(&db->mutex);
    while (!db->stopping) {
        uint64_t now_us = env_now_us();
        if (now_us < next_us) {
            wait_work(db, (unsigned)((next_us - now_us) / 1000 + 1));
            continue;
        }
        pthread_mutex_unlock(&db->mutex);
        (void)!lsm_sync(db); // a failure is sticky
        next_us = env_now_us() + interval_us;
        pthread_mutex_lock(&db->mutex);
    }
    pthread_mutex_unlock(&db->mutex);
    return NULL;
}

static int start_thread(struct lsm *db, void *(*run)(void *))
{
    int error = pthread_create(&db->threads[db->thread_count], NULL, run, db);
    if (error)
        return status_from_errno(error, "starting a thread for", db->dir);
    db->thread_count++;
    return LSM_OK;
}

int db_background_start(struct lsm *db)
{
    int rc = start_thread(db, flush_thread);
    for (unsigned i = 0; i < db->options.compaction_threads && !rc; i++)
        rc = start_thread(db, compaction_thread);
    if (!rc && db->options.sync_interval_ms)
        rc = start_thread(db, sync_thread);
    return rc;
}

void db_background_stop(struct lsm *db)
{
    pthread_mutex_lock(&db->mutex);
    db->stopping = true;
    atomic_store(&db->cancel, true);
    pthread_cond_broadcast(&db->work);
    pthread_cond_broadcast(&db->changed);
    pthread_mutex_unlock(&db->mutex);
    for (unsigned i = 0; i < db->thread_count; i++)
        pthread_join(db->threads[i], NULL);
    db->thread_count = 0;
}

// Whether there is nothing to do; mutex held.
static bool idle(struct lsm *db)
{
    if (db->background_error)
        return true;
    if (db->immutable_count || db->flush_running || db->compactions_running || db->manual_running)
        return false;
    struct pick_options options = db_pick_options(db);
    struct buf cursors[VERSION_LEVELS] = {{0}};
    struct compaction *compaction = NULL;
    int rc = compact_pick(db->version, &options, cursors, &compaction);
    for (unsigned i = 0; i < VERSION_LEVELS; i++)
        buf_release(&cursors[i]);
    compaction_free(compaction);
    return rc || !compaction;
}

int lsm_wait_idle(struct lsm *db)
{
    pthread_mutex_lock(&db->mutex);
    while (!db->options.read_only && !db->space_error && !idle(db)) {
        pthread_cond_broadcast(&db->work);
        pthread_cond_wait(&db->changed, &db->mutex);
    }
    int rc = db_check_error(db);
    if (!rc && db->space_error)
        rc = status_fail(LSM_NO_SPACE, "%s: the disk is full", db->dir);
    pthread_mutex_unlock(&db->mutex);
    return rc;
}
