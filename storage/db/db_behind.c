// The sync thread: syncs the log though nobody asks for it.
//
// With sync_interval_ms that often. And when STEP bytes are only in memory, so that the next who
// asks (a snapshot, an fsync after much was written) waits for a moment, and not for a whole log.
// To have the disk begin with these bytes would not be enough: they would be in a cache of the
// disk's own then, and a sync has to empty that.
//
// It costs the writes of a log that might never reach the disk, since it is used again before the
// kernel writes it. So it is bounded: after a sync the thread rests REST times as long as that has
// taken. A writer who is too fast for that is left alone until he pauses.
//
// Failures are sticky, and reported by whoever writes next.
#include "db/db_behind.h"

#include <assert.h>

#include "base/clock.h"
#include "db/db.h"
#include "env_rados/env_rados.h"

#define STEP    ((uint64_t)1 << 20)
#define MANY    (4 * STEP) // that little steps do not keep up with
#define REST    16u
#define LOOK_US 50000u // whether a fast writer still writes a STEP in that time

void db_behind_appended(struct lsm *db, uint64_t appended)
{
    if (appended - db->behind.told < STEP)
        return;
    db->behind.told = appended; // the thread is woken once for many appends
    if (env_rados_named(db->dir))
        return; // there a sync costs several disks' time
    db_lock(db);
    db->behind.wanted = true;
    db_behind_wake(db);
    db_unlock(db);
}

void db_behind_wake(struct lsm *db)
{
    pthread_cond_signal(&db->behind.work);
}

// What the thread knows of its last look.
struct look {
    uint64_t appended; // then
    uint64_t next_us;  // not before that
};

// Whether the log is to be synced now because of what is only in memory.
static bool is_behind(struct lsm *db, struct look *look, uint64_t now_us) REQUIRES(db_mutex)
{
    if (!db->behind.wanted || now_us < look->next_us)
        return false;
    uint64_t appended = atomic_load_explicit(&db->counters.wal_bytes, memory_order_relaxed);
    assert(appended >= look->appended);
    uint64_t grown = appended - look->appended, unsynced = db_log_unsynced(db);
    look->appended = appended;
    look->next_us = now_us + LOOK_US;
    if (unsynced >= MANY && grown >= STEP)
        return false;
    db->behind.wanted = false;
    return unsynced >= STEP / 2; // else somebody has asked meanwhile
}

// Until the next look, or `next_us` if that comes first.
static void wait_look(struct lsm *db, const struct look *look, uint64_t next_us, uint64_t now_us)
    REQUIRES(db_mutex)
{
    uint64_t until_us = next_us;
    if (db->behind.wanted && look->next_us < until_us)
        until_us = look->next_us;
    if (until_us == UINT64_MAX)
        db_wait(db, &db->behind.work);
    else if (until_us > now_us)
        db_wait_us(db, &db->behind.work, until_us - now_us);
}

void *db_behind_run(void *arg)
{
    struct lsm *db = arg;
    assert(!db->options.read_only);
    uint64_t interval_us = (uint64_t)db->options.sync_interval_ms * 1000;
    uint64_t next_us = interval_us ? clock_us() + interval_us : UINT64_MAX;
    struct look look = {0};
    db_lock(db);
    while (!db->jobs.stopping) {
        uint64_t now_us = clock_us();
        if (now_us >= next_us) {
            db_unlock(db);
            (void)!lsm_sync(db);
            next_us = clock_us() + interval_us;
            db_lock(db);
        } else if (is_behind(db, &look, now_us)) {
            db_unlock(db);
            (void)!db_log_sync_active(db, false);
            uint64_t end_us = clock_us();
            look.next_us = end_us + (end_us - now_us) * REST;
            db_lock(db);
        } else {
            wait_look(db, &look, next_us, now_us);
        }
    }
    db_unlock(db);
    return NULL;
}
