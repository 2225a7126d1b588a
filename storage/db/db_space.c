// Whether there is room on the disk, and who may write while there is not.
//
// Writes are refused before the disk is full to the last byte: what is in memory has to fit into
// tables, and deleting needs room of its own (db_reserve.c). So space is *low* when what is free
// might not hold all memtables, and *short* while it is low or the reserve is given back.
#include "db/db.h"

#include <assert.h>

#define DISK_SHARE 8 // at most 1/8 of the disk, since a small disk cannot spare more

// `size`, or less on a small disk.
uint64_t db_space_bounded(uint64_t size, uint64_t total)
{
    if (size > total / DISK_SHARE)
        size = total / DISK_SHARE;
    return size < DB_SPACE_MIN ? DB_SPACE_MIN : size;
}

// A compaction that finds no room is no reason to refuse writes before level 0 grows for it.
bool db_disk_is_full(const struct lsm *db)
{
    assert(!(db->space.full & ~(DB_FULL_JOBS | DB_FULL_LOW)));
    return (db->space.full & (DB_FULL_FLUSH | DB_FULL_LOW)) || db->space.reserve == RESERVE_SPENT ||
           (db->space.full && db_level0_tables(db) >= db->options.l0_slowdown);
}

bool db_space_short(const struct lsm *db)
{
    assert(db->space.reserve != RESERVE_HELD || db->space.reserve_number);
    return db->space.reserve == RESERVE_SPENT || db->space.full & DB_FULL_LOW;
}

void db_little_end(struct lsm *db)
{
    db->space.little.counting = false;
    db->space.little.unsettled = false;
    db->space.little.left = 0;
    db->space.little.again_us = 0;
}

// How much has to be free so that everything in memory will fit. No locks held.
static uint64_t low_mark(struct lsm *db, uint64_t total)
{
    db_lock(db);
    unsigned memtables = db_immutables(db) + 1;
    db_unlock(db);
    return db_space_bounded((uint64_t)(memtables + 1) * db->options.write_buffer_size, total);
}

bool db_low_after_giving_back(struct lsm *db)
{
    uint64_t free_bytes, total;
    if (db->env->ops->space(db->env, ENV_HERE, &free_bytes, &total))
        return false;
    uint64_t mark = low_mark(db, total);
    if (free_bytes >= mark)
        return false;
    return !blob_store_give_back(db->blobs) ||
           db->env->ops->space(db->env, ENV_HERE, &free_bytes, &total) || free_bytes < mark;
}

uint64_t db_space_available(struct lsm *db, uint64_t free_bytes, uint64_t total)
{
    uint64_t mark = low_mark(db, total);
    db_lock(db);
    bool refused = db_disk_is_full(db) || db_has_failed(db);
    db_unlock(db);
    return refused || free_bytes < mark ? 0 : free_bytes - mark;
}

int db_check_space(struct lsm *db)
{
    if (atomic_load_explicit(&db->pace.pressure, memory_order_relaxed) < DB_PRESSURE_STOP)
        return LSM_OK;
    db_lock(db);
    bool full = db_disk_is_full(db);
    db_unlock(db);
    return full ? status_fail(LSM_NO_SPACE, "%s: the disk is full; delete something or make room",
                              db->dir)
                : LSM_OK;
}
