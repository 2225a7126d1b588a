// Background threads.
//
//  flush       writes immutable memtables to level 0, oldest first. When nothing has been written
//              for a while, makes the active memtable immutable if its flush may free space, and
//              gives back what only a busy store needs
//  log         makes the next log while the active one fills: making one takes syncs, and flushes
//              do not wait for them
//  compaction  asks compact_pick what to do and does it; as many threads as the options say
//  sync        syncs the log though nobody asks for it (db_behind.c)
//
// They sleep on `work`. What a failed job leads to:
//  - a failure that may pass: the job is tried again soon, and then ever more seldom; writers are
//    slowed meanwhile;
//  - a full disk: the reserve is given back and the job is tried again at once, then every second.
//    A compaction, which costs more to try, is tried in small steps first (db_compact.c), and then
//    waits for up to 16 seconds unless there is more room or something else to compact;
//  - any other failure is sticky: the store is read-only from then on.
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "db/db.h"
#include "db/db_pick.h"
#include "env_rados/env_rados.h"

#define IDLE_WAKE_S       5  // idle threads look for garbage this often
#define IDLE_SHARE        64 // an idle store flushes deletes of 1/64 of all its entries
#define RETRY_MS          1000
#define RETRY_COMPACTIONS 16 // pauses of RETRY_MS after a compaction that found no room
#define RETRY_FIRST_MS    10 // after a failure that may pass; doubled while below RETRY_MS
#define RESERVE_RETRY_MS  200

// Waits on `work` for at most `ms`; mutex held.
static void wait_work(struct lsm *db, unsigned ms) REQUIRES(db_mutex)
{
    db_wait_us(db, &db->work, (uint64_t)ms * 1000);
}

// Notes that a job failed for a reason that may pass. Mutex held.
static void retry_begin(struct lsm *db, int rc, unsigned job, const char *what) REQUIRES(db_mutex)
{
    if (!db->jobs.retry.jobs) {
        db->jobs.retry.since_us = clock_us();
        db->jobs.retry.pause_ms = RETRY_FIRST_MS;
    } else if (db->jobs.retry.pause_ms < RETRY_MS) {
        db->jobs.retry.pause_ms *= 2;
    }
    if (!(db->jobs.retry.jobs & job))
        logger_log(&db->logger, LSM_LOG_WARN, "%s, is tried again: %s", what, lsm_error_detail());
    db->jobs.retry.jobs |= job;
    db->jobs.retry.count++;
    db->jobs.retry.status = rc;
    status_describe(rc, what, db->jobs.retry.detail);
}

// Mutex held.
static void retry_end(struct lsm *db, unsigned job, const char *what) REQUIRES(db_mutex)
{
    if (!(db->jobs.retry.jobs & job))
        return;
    db->jobs.retry.jobs &= ~job;
    if (!db->jobs.retry.jobs)
        logger_log(&db->logger, LSM_LOG_INFO, "%s no more", what ? what : "background work waits");
}

// Sleeps until a job that failed for a reason that may pass is to be tried again, also if `work` is
// signalled before that. Mutex held, released meanwhile.
static void retry_pause(struct lsm *db) REQUIRES(db_mutex)
{
    uint64_t until_us = clock_us() + (uint64_t)db->jobs.retry.pause_ms * 1000;
    for (uint64_t now; !db->jobs.stopping && (now = clock_us()) < until_us;)
        db_wait_us(db, &db->work, until_us - now);
}

// Takes note of how a background job has ended: `full` is DB_FULL_FLUSH or DB_FULL_COMPACTION, `rc`
// its status. Mutex held. True if the thread should pause before it tries again.
static bool job_ended(struct lsm *db, int rc, unsigned full, const char *what) REQUIRES(db_mutex)
{
    bool pause = false;
    if (status_is_passing(rc))
        retry_begin(db, rc, full, what);
    else
        retry_end(db, full, what);
    if (rc == LSM_NO_SPACE) {
        if (!(db->space.full & full))
            logger_log(&db->logger, LSM_LOG_ERROR, "%s: %s", what, lsm_error_detail());
        db->space.full |= full;
        pause = true;
    } else if (status_is_passing(rc)) {
        pause = true;
    } else if (rc && rc != LSM_CLOSED) {
        db_set_error(db, rc, what);
    } else {
        db->space.full &= ~full;
    }
    db_update_pressure(db);
    pthread_cond_broadcast(&db->changed);
    pthread_cond_broadcast(&db->work);
    return pause;
}

bool db_flush_due(struct lsm *db)
{
    return db_immutables(db) > 0 && !db_has_failed(db);
}

// Mutex held; released meanwhile.
static void make_spare(struct lsm *db) REQUIRES(db_mutex)
{
    struct db_log *log = NULL;
    assert(db->logs.spare_state == SPARE_WANTED && !db->logs.spare);
    db->logs.spare_state = SPARE_MAKING;
    db_unlock(db);
    int rc = db_log_new(db, &log);
    db_lock(db);
    db->logs.spare = rc ? NULL : log; // a failure is not reported here: the writer that needs the
                                      // log tries again and reports it
    db->logs.spare_state = SPARE_NONE;
    pthread_cond_broadcast(&db->changed);
}

// Whether nothing is written, and all that was is in tables but for the active memtable; mutex
// held.
static bool is_quiet(struct lsm *db) REQUIRES(db_mutex)
{
    // A compaction that found no room may wait for just the deletes that the memtable holds.
    return db_nothing_written(db) && db_immutables(db) == 0 && !db_has_failed(db) &&
           !(db->space.full & ~(unsigned)DB_FULL_COMPACTION);
}

// Whether the memtable may hold deletes or overwrites that would free space, and nobody is going to
// fill it up; mutex held.
static bool idle_flush_due(struct lsm *db) REQUIRES(db_mutex)
{
    if (!is_quiet(db))
        return false;
    if (blob_store_bytes(db->blobs) > 0)
        return memtable_entries(db_active(db)) > 0;
    uint64_t entries = 0;
    for (unsigned level = 0; level < VERSION_LEVELS; level++)
        entries += version_level_entries(&db_version(db)->levels[level]);
    return memtable_deletes(db_active(db)) > entries / IDLE_SHARE;
}

// Makes the memtable immutable if that is due, so that the flush thread flushes it. Failures are
// not reported: the next try meets them again.
static void idle_switch(struct lsm *db)
{
    struct writer writer;
    if (!db_lead_try(db, &writer)) // a writer leads, and may be waiting for this thread
        return;
    db_lock(db);
    bool due = !db->jobs.stopping && idle_flush_due(db);
    db_unlock(db);
    if (due && !db_switch_memtable(db)) {
        db_lock(db);
        // What was written before the pause says nothing about what comes after it.
        db->logs.used = 0;
        db_unlock(db);
    }
    db_lead_release(db, &writer);
}

// On a full disk deletes have to reach the tables to make room. Not if a writer leads just now: it
// may be waiting for this thread.
static void push_deletes(struct lsm *db)
{
    struct writer writer;
    db_lock(db);
    bool wait = db->jobs.compactions_running || db_immutables(db) || db->jobs.manual_running ||
                db_level0_tables(db) >= db->options.l0_compact;
    db_unlock(db);
    if (wait || !db_lead_try(db, &writer))
        return;
    // A failure is not reported: the flush thread tries again soon. If there is no room for the
    // next log, it gets that of the reserve, which is kept for just this.
    if (memtable_deletes(db_active_as_lead(db)) && db_switch_memtable(db) == LSM_NO_SPACE &&
        db_reserve_release(db))
        (void)!db_switch_memtable(db);
    db_lead_release(db, &writer);
}

// While the disk counts as full: makes the reserve again if there is room, lets writes go on if
// there is room for them, and else has deletes flushed, which makes room.
static void ease_full_disk(struct lsm *db)
{
    db_reserve_renew(db, 0);
    bool low = db_low_after_giving_back(db);
    db_lock(db);
    if (!low && db->space.full & DB_FULL_LOW) {
        db->space.full &= ~DB_FULL_LOW;
        db_update_pressure(db);
        pthread_cond_broadcast(&db->changed);
    }
    bool still = db_space_short(db);
    db_unlock(db);
    if (still)
        push_deletes(db);
}

static void *flush_thread(void *arg)
{
    struct lsm *db = arg;
    db_lock(db);
    while (!db->jobs.stopping) {
        db_note_writes(db);
        if (db_flush_due(db)) {
            db->jobs.flush_running = true;
            db_unlock(db);
            int rc = db_flush_oldest(db);
            db_remove_obsolete(db);
            if (!rc)
                db_reserve_renew(db, 1);
            if (rc == LSM_NO_SPACE && db_reserve_release(db))
                rc = LSM_OK; // there is room: the flush is tried once more
            else if (!rc)
                db_reserve_grow(db);
            db_lock(db);
            db->jobs.flush_running = false;
            bool pause = job_ended(db, rc, DB_FULL_FLUSH, "flush failed") && !db->jobs.stopping;
            if (pause && status_is_passing(rc))
                retry_pause(db);
            else if (pause)
                wait_work(db, RETRY_MS);
        } else {
            bool space_short = db_space_short(db), quiet = is_quiet(db);
            db_unlock(db);
            db_remove_obsolete(db);
            if (space_short) {
                ease_full_disk(db);
            } else if (quiet) {
                db_log_settle(db);
                idle_switch(db);
                db_reserve_shrink(db);
                arena_pool_trim(&db->arenas);
            }
            db_lock(db);
            if (!db->jobs.stopping && !db_flush_due(db))
                wait_work(db, db_space_short(db) ? RESERVE_RETRY_MS : IDLE_WAKE_S * 1000);
        }
    }
    db_unlock(db);
    return NULL;
}

// Whether the next log has to wait for a flush that may need the space, or for room: on a full disk
// it is made when it is needed. Mutex held, released meanwhile.
static bool flush_goes_first(struct lsm *db) REQUIRES(db_mutex)
{
    if (db_space_short(db))
        return true;
    if (!db_flush_due(db))
        return false;
    db_unlock(db);
    bool low = db_low_after_giving_back(db);
    db_lock(db);
    return low && db_flush_due(db);
}

static void *log_thread(void *arg)
{
    struct lsm *db = arg;
    db_lock(db);
    while (!db->jobs.stopping) {
        if (db->logs.spare_state == SPARE_WANTED && !flush_goes_first(db)) {
            if (db->logs.spare_state == SPARE_WANTED && !db->jobs.stopping)
                make_spare(db);
        } else if (!db->jobs.stopping) {
            wait_work(db, IDLE_WAKE_S * 1000);
        }
    }
    db_unlock(db);
    return NULL;
}

// A compaction with its inputs marked, or NULL; mutex held. The version gets a reference.
// *ret_picked is false if picking failed and is to be tried again at once: the pause has been made.
static struct compaction *next_compaction(struct lsm *db, struct version **ret_version,
                                          bool *ret_picked) REQUIRES(db_mutex)
{
    *ret_picked = true;
    if (db_has_failed(db) || db->jobs.manual_running)
        return NULL;
    struct compaction *compaction = NULL;
    int rc = db_pick(db, db->jobs.cursors, &db->jobs.drain_first, &compaction);
    if (status_is_passing(rc)) {
        job_ended(db, rc, DB_FULL_COMPACTION, "picking a compaction failed");
        retry_pause(db);
        *ret_picked = false;
    } else if (rc) {
        db_set_error(db, rc, "picking a compaction failed");
    }
    if (rc || !compaction)
        return NULL;
    for (unsigned side = 0; side < 2; side++)
        for (unsigned i = 0; i < compaction->input_count[side]; i++)
            compaction->inputs[side][i]->compacting = true;
    *ret_version = db_version(db);
    version_ref(db_version(db));
    return compaction;
}

static uint64_t free_space(struct lsm *db)
{
    uint64_t free_bytes, total;
    return db->env->ops->space(db->env, ENV_HERE, &free_bytes, &total) ? 0 : free_bytes;
}

// After a compaction that found no room: until it may fare better, since there is more room, or
// another compaction has changed the version, or it may have the reserve now. Mutex held, released
// meanwhile.
static void wait_for_room(struct lsm *db) REQUIRES(db_mutex)
{
    const struct version *tried =
        db_version(db); // no reference is held: only the pointer is compared
    uint64_t before = 0, now = 0;
    bool urgent = db_disk_is_full(db);
    for (unsigned i = 0; i <= RETRY_COMPACTIONS && now <= before; i++) {
        if (db->jobs.stopping || db_version(db) != tried || db_has_failed(db))
            break;
        if (i)
            wait_work(db, RETRY_MS);
        db_unlock(db);
        now = free_space(db);
        db_lock(db);
        now += db_reserve_bytes(db);
        if (!i)
            before = now;
        if (!urgent && db_disk_is_full(db))
            break;
    }
}

// Ends the small steps that a compaction without room has begun, if there is room for it now. Mutex
// held, released meanwhile.
static void look_for_room(struct lsm *db) REQUIRES(db_mutex)
{
    if (!db->jobs.no_room_bytes)
        return;
    db_unlock(db);
    uint64_t now = free_space(db);
    db_lock(db);
    if (now > db->jobs.no_room_bytes) {
        db->jobs.no_room_bytes = 0;
        db->jobs.no_way = false;
    }
}

// Gives back what the active log has allocated ahead. Not if a writer leads just now: it may be
// waiting for this thread.
static void give_back_active(struct lsm *db)
{
    struct writer writer;
    if (!db_lead_try(db, &writer))
        return;
    (void)wal_give_back(db_active_log_as_lead(db)->wal);
    db_lead_release(db, &writer);
}

// Whether the reserve was given back for a compaction that found no room in small steps either, or
// for another one. The reserve is not made again until these have ended. Mutex held, released
// meanwhile.
static bool lend_reserve(struct lsm *db) REQUIRES(db_mutex)
{
    if (!db_disk_is_full(db))
        return false;
    if (db->space.lent++)
        return true;
    db_unlock(db);
    bool released = db_reserve_release(db);
    if (released)
        give_back_active(db);
    db_lock(db);
    if (!released)
        db->space.lent--;
    return released;
}

// The end of a compaction, or of a loan for which there is none: the reserve is made again before
// anything else, while `jobs` (0 or 1) of this thread count as running. No locks held.
static void return_loan(struct lsm *db, bool *lent, unsigned jobs) EXCLUDES(db_mutex)
{
    if (*lent) {
        db_lock(db);
        assert(db->space.lent > 0);
        db->space.lent--;
        db_unlock(db);
        *lent = false;
    }
    db_reserve_renew(db, jobs);
}

static void *compaction_thread(void *arg)
{
    struct lsm *db = arg;
    bool lent = false; // the reserve, to this thread
    db_lock(db);
    while (!db->jobs.stopping) {
        struct version *version;
        bool picked;
        look_for_room(db);
        struct compaction *compaction = next_compaction(db, &version, &picked);
        if (!compaction) {
            if (picked && (db->space.full | db->jobs.retry.jobs) & DB_FULL_COMPACTION &&
                !db->jobs.compactions_running)
                job_ended(db, LSM_OK, DB_FULL_COMPACTION, NULL);
            if (picked && !db->jobs.compactions_running) {
                db->jobs.no_room_bytes = 0;
                db->jobs.no_way = false;
            }
            if (picked && lent) {
                db_unlock(db);
                return_loan(db, &lent, 0);
                db_lock(db);
            } else if (picked) {
                wait_work(db, IDLE_WAKE_S * 1000);
            }
            continue;
        }
        uint64_t input_bytes = compaction->input_bytes;
        db->jobs.compactions_running++;
        db_unlock(db);
        int rc = db_run_compaction(db, version, compaction, NULL);
        db_remove_obsolete(db);
        bool had_reserve = lent;
        return_loan(db, &lent, 1);
        if (!rc)
            db_reserve_grow(db);
        db_lock(db);
        assert(db->jobs.compactions_running > 0);
        db->jobs.compactions_running--;
        bool pause = job_ended(db, rc, DB_FULL_COMPACTION, "compaction failed");
        if (pause && !db->jobs.stopping && status_is_passing(rc)) {
            retry_pause(db);
            continue;
        }
        if (!pause || db->jobs.stopping)
            continue;
        if (!db->jobs.no_room_bytes) { // once more, in small steps
            db->jobs.no_room_bytes = input_bytes;
            continue;
        }
        lent = !had_reserve && lend_reserve(db); // not again before there is more room
        db->jobs.no_way = !lent;
        if (!lent)
            wait_for_room(db);
    }
    db_unlock(db);
    if (lent)
        return_loan(db, &lent, 0);
    return NULL;
}

static int start_thread(struct lsm *db, void *(*run)(void *), const char *name)
{
    assert(db->jobs.thread_count < DB_MAX_THREADS);
    int error = pthread_create(&db->jobs.threads[db->jobs.thread_count], NULL, run, db);
    if (error)
        return status_from_errno(error, "starting a thread for", db->dir);
    pthread_setname_np(db->jobs.threads[db->jobs.thread_count], name); // for top -H
    db->jobs.thread_count++;
    return LSM_OK;
}

int db_background_start(struct lsm *db)
{
    int rc = start_thread(db, flush_thread, "lsm-flush");
    if (!rc)
        rc = start_thread(db, log_thread, "lsm-log");
    for (unsigned i = 0; i < db->options.compaction_threads && !rc; i++)
        rc = start_thread(db, compaction_thread, "lsm-compact");
    if (!rc && (db->options.sync_interval_ms || !env_rados_named(db->dir)))
        rc = start_thread(db, db_behind_run, "lsm-sync");
    return rc;
}

void db_background_stop(struct lsm *db)
{
    db_lock(db);
    db->jobs.stopping = true;
    atomic_store(&db->jobs.cancel, true);
    pthread_cond_broadcast(&db->work);
    pthread_cond_broadcast(&db->changed);
    db_behind_wake(db);
    db_unlock(db);
    for (unsigned i = 0; i < db->jobs.thread_count; i++)
        pthread_join(db->jobs.threads[i], NULL);
    db->jobs.thread_count = 0;
}

int lsm_wait_idle(struct lsm *db)
{
    int rc = LSM_OK;
    db_lock(db);
    while (!rc && !db->options.read_only && (!(db->space.full & DB_FULL_JOBS) || db->space.lent) &&
           !db_jobs_done(db)) {
        pthread_cond_broadcast(&db->work);
        db_wait(db, &db->changed);
        rc = db_check_retry(db, DB_FULL_JOBS, DB_RETRY_FLUSH_US);
    }
    if (!rc)
        rc = db_check_error(db);
    if (!rc && db->space.full & DB_FULL_JOBS)
        rc = status_fail(LSM_NO_SPACE, "%s: the disk is full", db->dir);
    db_unlock(db);
    return rc;
}
