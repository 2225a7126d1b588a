// How much writers are slowed, and what that is computed from.
//
// Lock: the lead for what it owes; the others are atomics, set under the store's mutex and read
// without.
//
// Touched by: db_blob db_compact db_error db_open db_pace db_property db_queue db_space
//   db_write
#ifndef LSM_DB_DB_PACE_H
#define LSM_DB_DB_PACE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "db/db_roles.h"

struct lsm;

#define DB_PRESSURE_STOP 1000u // writers are stopped, or as slow as they get

struct db_pace {
    // The lead's.
    uint64_t debt_ns GUARDED_BY(db_lead); // slow-down owed, not yet slept
    // memtable_bytes(active) up to which the flush is not too far behind.
    size_t bytes GUARDED_BY(db_lead);
    // db_memtable_blob_bytes(active) when the pressure was last computed.
    uint64_t watched_blobs GUARDED_BY(db_lead);
    bool stalled GUARDED_BY(db_mutex); // the leader waits for a flush or a compaction

    _Atomic unsigned pressure;                // 0 .. DB_PRESSURE_STOP: how much writers are slowed
    _Atomic uint64_t garbage_max;             // superseded bytes that make a memtable full
    _Atomic bool flush_soon;                  // a flush is wanted so that blob files can go
    _Atomic uint64_t flush_done, flush_total; // entries of the running flush; relaxed
};

// Owes the time `bytes` take under `pressure` (0: none), and sleeps when it is worth it.
void db_slow_down(struct lsm *db, unsigned pressure, size_t bytes) REQUIRES(db_lead);
// Sleeps for a millisecond if the active memtable fills faster than the flush proceeds that must
// end before it can be switched.
void db_keep_pace(struct lsm *db) REQUIRES(db_lead);
// Recomputes the write pressure from the current version; mutex held.
void db_update_pressure(struct lsm *db) REQUIRES(db_mutex);

#endif
