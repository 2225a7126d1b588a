// What is to be done next, and whether there is anything.
//
// Mutex held in all of it.
#include "db/db_pick.h"

#include <assert.h>

#include "base/clock.h"
#include "db/db.h"

#define IDLE_US 4000000

void db_note_writes(struct lsm *db)
{
    uint64_t visible = atomic_load_explicit(&db->readers.visible, memory_order_relaxed);
    if (visible == db->jobs.idle_sequence && db->jobs.idle_since_us)
        return;
    db->jobs.idle_sequence = visible;
    db->jobs.idle_since_us = clock_us();
}

bool db_nothing_written(const struct lsm *db)
{
    return db->jobs.idle_since_us &&
           atomic_load_explicit(&db->readers.visible, memory_order_relaxed) ==
               db->jobs.idle_sequence &&
           clock_us() - db->jobs.idle_since_us >= IDLE_US;
}

struct pick_options db_pick_options(struct lsm *db)
{
    return (struct pick_options){
        .l0_compact = db->options.l0_compact,
        .l0_most = (db->options.l0_compact + db->options.l0_slowdown) / 2,
        .level_base_size = db->options.level_base_size,
        .level_ratio = db->options.level_ratio,
        .table_size = db->options.table_size,
        .idle = db_nothing_written(db),
        .reclaim = db_space_short(db),
        .small = db->jobs.no_room_bytes > 0,
        .oldest_snapshot = db_oldest_snapshot(db),
    };
}

// db_pick(); `drain`: there are files to drain.
static int pick(struct lsm *db, bool drain, struct buf cursors[VERSION_LEVELS], bool *drain_first,
                struct compaction **ret_compaction) REQUIRES(db_mutex)
{
    struct pick_options options = db_pick_options(db);
    int rc = db_count_dead(db);
    *ret_compaction = NULL;
    if (!rc && options.reclaim)
        rc = compact_pick_kept(db_version(db), &options, ret_compaction);
    if (rc || *ret_compaction)
        return rc;
    // While space is short, what is deleted is to reach the values first: they need not be moved
    // then.
    bool drain_waits = (options.reclaim || options.small) && !db->jobs.no_way;
    *drain_first = drain && !drain_waits && !*drain_first;
    if (*drain_first)
        rc = compact_pick_drain(db_version(db), &options, ret_compaction);
    if (!rc && !*ret_compaction)
        rc = compact_pick(db_version(db), &options, cursors, ret_compaction);
    if (!rc && !*ret_compaction && drain)
        rc = compact_pick_drain(db_version(db), &options, ret_compaction);
    if (!rc && !*ret_compaction)
        rc = compact_pick_kept(db_version(db), &options, ret_compaction);
    assert(!*ret_compaction || (!rc && !(*ret_compaction)->inputs[0][0]->compacting));
    assert(!*ret_compaction || (*ret_compaction)->level <= (*ret_compaction)->output_level);
    return rc;
}

int db_pick(struct lsm *db, struct buf cursors[VERSION_LEVELS], bool *drain_first,
            struct compaction **ret_compaction)
{
    bool drain = blob_store_choose_drain(db->blobs, db->options.blob_garbage_ratio);
    return pick(db, drain, cursors, drain_first, ret_compaction);
}

bool db_jobs_done(struct lsm *db)
{
    if (db_has_failed(db))
        return true;
    if (db_immutables(db) || db->jobs.flush_running || db->jobs.compactions_running ||
        db->jobs.manual_running)
        return false;
    // While nothing runs, a table that refers to a file to drain can be picked.
    if (blob_store_wants_drain(db->blobs, db->options.blob_garbage_ratio))
        return false;
    struct buf cursors[VERSION_LEVELS] = {{0}};
    struct compaction *compaction = NULL;
    bool drain_first = false;
    int rc = pick(db, false, cursors, &drain_first, &compaction);
    for (unsigned i = 0; i < VERSION_LEVELS; i++)
        buf_release(&cursors[i]);
    compaction_free(compaction);
    return rc || !compaction;
}
