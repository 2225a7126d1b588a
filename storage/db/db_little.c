// Small changes while space is short.
//
// What changes no more than a record (chmod, mv; use_little) works on a full disk too. Its bytes go
// to the log, and to tables, like any others, until flushes and compactions find them superseded,
// so it may have a part of what is kept for deleting, but never more: deleting comes first.
//
// The bound is on what the store could have, which is the free space and the reserve. It is taken
// when the first small change comes while space is short (`floor`), and small changes may go on as
// long as more than that is left. It is only measured when the memtable was flushed and nothing
// runs, since space comes and goes with every log and every compaction. In between, the bytes of
// small changes are counted, up to half of what was left above the floor: they are in the log, and
// then for a moment in a table as well. So what replaces itself goes on for ever, and what grows is
// refused at last. The count ends when space is not short any more.
//
// The lead is held in all of it but db_little_end(), so one thread at a time is here.
#include "base/clock.h"
#include "db/db.h"

#define SETTLE_US    500000  // how long to wait for flushes and compactions to give space back
#define AGAIN_US     1000000 // for so long after a refusal others are refused without waiting
#define RECORD_BYTES 64      // about what a small change takes on the disk beside its batch
#define FLOOR_SHARE  2       // half of the reserve is never for small changes

// What the store could have: free space and the reserve. False: it is not known.
static bool measure(struct lsm *db, uint64_t *ret_bytes)
{
    uint64_t free_bytes, total;
    if (db->env->ops->space(db->env, ENV_HERE, &free_bytes, &total))
        return false;
    db_lock(db);
    *ret_bytes = free_bytes + (db->space.reserve == RESERVE_HELD ? db->space.reserve_size : 0);
    db_unlock(db);
    return true;
}

// Whether nothing is under way that takes space or gives it back; mutex held.
static bool is_settled(struct lsm *db) REQUIRES(db_mutex)
{
    // Such a compaction is tried again only now and then, so it is not waited for.
    if (db->space.full & DB_FULL_COMPACTION)
        return !db->immutable_count && !db->jobs.flush_running && !db->jobs.compactions_running;
    return db_jobs_done(db);
}

// Flushes the memtable and waits for all that follows. False: that takes too long.
static bool settle(struct lsm *db) REQUIRES(db_lead)
{
    uint64_t give_up_us = clock_us() + SETTLE_US, now;
    db_log_drop_recyclable(db); // a log that is kept for recycling is only a convenience
    db_lock(db);
    bool due = memtable_entries(db->active) > 0;
    bool settled = true;
    for (int round = 0; round < 2 && settled; round++) { // before the flush, and after it
        while (!(settled = is_settled(db)) && !db->background_error &&
               (now = clock_us()) < give_up_us)
            db_wait_us(db, &db->changed, give_up_us - now);
        if (!settled || !due || round)
            continue;
        db_unlock(db);
        int rc = db_switch_memtable(db);
        if (rc == LSM_NO_SPACE && db_reserve_release(db))
            rc = db_switch_memtable(db);
        db_lock(db);
        settled = rc == LSM_OK;
    }
    db_unlock(db);
    return settled;
}

// Looks how much is left. False: nothing, or nobody can say.
static bool look(struct lsm *db) REQUIRES(db_lead)
{
    uint64_t bytes;
    if (!settle(db) || !measure(db, &bytes))
        return false;
    uint64_t wanted = db_reserve_wanted(db), share = DB_LITTLE_STEPS * db_reserve_step(db);
    if (share > wanted / 4)
        share = wanted / 4;
    db_lock(db);
    if (!db->space.little.counting) {
        db->space.little.floor = bytes > share ? bytes - share : 0;
        if (db->space.little.floor < wanted / FLOOR_SHARE)
            db->space.little.floor = wanted / FLOOR_SHARE;
        db->space.little.counting = true;
    }
    uint64_t above = bytes > db->space.little.floor ? bytes - db->space.little.floor : 0;
    db->space.little.left = (above < share ? above : share) / 2;
    db_unlock(db);
    return true;
}

bool db_little_take(struct lsm *db, size_t bytes)
{
    bytes += RECORD_BYTES;
    db_lock(db);
    bool enough = db->space.little.counting && db->space.little.left >= bytes;
    bool wait = !enough && clock_us() >= db->space.little.again_us;
    db_unlock(db);
    if (wait)
        enough = look(db);
    db_lock(db);
    enough = enough && db->space.little.left >= bytes;
    if (enough)
        db->space.little.left -= bytes;
    else if (wait)
        db->space.little.again_us = clock_us() + AGAIN_US;
    db_unlock(db);
    return enough;
}

void db_little_end(struct lsm *db)
{
    db->space.little.counting = false;
    db->space.little.left = 0;
    db->space.little.again_us = 0;
}
