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
// Flushes and compactions may take long on a slow disk. A user who changes a mode is not told that
// the disk is full for that: once between two looks, half as much is granted without one, as long
// as the reserve is there. After that small changes wait as those do that free space.
//
// The lead is held in all of it, so one thread at a time is here. db_little_end() is in db_space.c.
#include <assert.h>

#include "base/clock.h"
#include "db/db.h"
#include "db/db_pick.h"

#define SETTLE_US    500000  // how long to wait for flushes and compactions to give space back
#define SETTLE_MAX   5000000 // where as much as may be granted without that is used up
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
    *ret_bytes = free_bytes + db_reserve_bytes(db);
    db_unlock(db);
    return true;
}

// Whether nothing is under way that takes space or gives it back; mutex held.
static bool is_settled(struct lsm *db) REQUIRES(db_mutex)
{
    // Such a compaction is tried again only now and then, so it is not waited for.
    if (db->space.full & DB_FULL_COMPACTION)
        return !db_immutables(db) && !db->jobs.flush_running && !db->jobs.compactions_running;
    return db_jobs_done(db);
}

// Flushes the memtable and waits for all that follows. False: that takes too long.
static bool settle(struct lsm *db, uint64_t wait_us) REQUIRES(db_lead)
{
    uint64_t give_up_us = clock_us() + wait_us, now;
    db_log_give_back(db);
    db_lock(db);
    bool due = memtable_entries(db_active(db)) > 0;
    bool settled = true;
    for (int round = 0; round < 2 && settled; round++) { // before the flush, and after it
        while (!(settled = is_settled(db)) && !db_has_failed(db) && (now = clock_us()) < give_up_us)
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

// How much small changes may take from now on; `bytes` were measured. Mutex held.
static void grant(struct lsm *db, uint64_t bytes, uint64_t wanted, bool settled) REQUIRES(db_mutex)
{
    struct db_little *little = &db->space.little;
    uint64_t least = wanted / FLOOR_SHARE, share = DB_LITTLE_STEPS * db_reserve_step(db);
    if (share > wanted / 4)
        share = wanted / 4;
    if (!little->counting && settled) { // not while a job's output makes it too low
        little->floor = bytes > least + share ? bytes - share : least;
        assert(little->floor >= least);
        little->counting = true;
    }
    uint64_t floor = little->counting ? little->floor : least;
    uint64_t above = bytes > floor ? bytes - floor : 0;
    little->left = (above < share ? above : share) / (settled ? 2 : 4);
    assert(little->left <= above / 2);
    little->unsettled = !settled;
}

// Looks how much is left. False: nothing, or nobody can say. True too if space is not short any
// more: what was measured then is no floor for the next time that it is.
static bool look(struct lsm *db, bool *ret_full) REQUIRES(db_lead)
{
    uint64_t bytes;
    db_lock(db);
    bool again = db->space.little.unsettled;
    db_unlock(db);
    bool settled = settle(db, again ? SETTLE_MAX : SETTLE_US);
    if ((!settled && again) || !measure(db, &bytes))
        return false;
    uint64_t wanted = db_reserve_wanted(db);
    db_lock(db);
    *ret_full = db_disk_is_full(db);
    bool known = settled || db->space.reserve == RESERVE_HELD;
    if (*ret_full && known)
        grant(db, bytes, wanted, settled);
    db_unlock(db);
    return known;
}

bool db_little_take(struct lsm *db, size_t bytes)
{
    bool full = true;
    bytes += RECORD_BYTES;
    db_lock(db);
    bool enough = db->space.little.left >= bytes;
    bool wait = !enough && clock_us() >= db->space.little.again_us;
    db_unlock(db);
    if (wait)
        enough = look(db, &full);
    if (enough && !full)
        return true;
    db_lock(db);
    enough = enough && db->space.little.left >= bytes;
    if (enough)
        db->space.little.left -= bytes;
    else if (wait)
        db->space.little.again_us = clock_us() + AGAIN_US;
    db_unlock(db);
    return enough;
}
