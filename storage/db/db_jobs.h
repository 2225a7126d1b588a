// Background work: its threads, what runs, what is to be done next, what failed and is tried again.
//
// Lock: the store's mutex. Threads sleep on its `work`.
//
// Touched by: db_background db_behind db_compact db_error db_little db_log db_manage db_open
//   db_pace db_pick db_property db_reserve
#ifndef LSM_DB_DB_JOBS_H
#define LSM_DB_DB_JOBS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "base/status.h"
#include "db/db_roles.h"
#include "version/version.h"

struct lsm;

#define DB_COMPACTION_THREADS_MAX 16u
#define DB_MAX_THREADS            (3 + DB_COMPACTION_THREADS_MAX) // flush, log, sync

struct db_jobs {
    bool stopping GUARDED_BY(db_mutex);
    unsigned thread_count;
    pthread_t threads[DB_MAX_THREADS];
    bool flush_running GUARDED_BY(db_mutex);
    unsigned compactions_running GUARDED_BY(db_mutex);
    bool manual_running GUARDED_BY(db_mutex);    // a manual compaction keeps automatic ones off
    _Atomic bool cancel;                         // stops running compactions
    uint64_t no_room_bytes GUARDED_BY(db_mutex); // of a compaction's inputs that found no room,
                                                 // until there is as much: they are smaller, and go
                                                 // in steps (db_compact.c)
    bool no_way GUARDED_BY(db_mutex);      // small steps and the reserve have not helped either
    bool drain_first GUARDED_BY(db_mutex); // the latest one chosen was reclaim's
    struct buf cursors[VERSION_LEVELS] GUARDED_BY(db_mutex);
    uint64_t idle_sequence GUARDED_BY(db_mutex); // the last one seen (db_note_writes)
    uint64_t idle_since_us GUARDED_BY(db_mutex); // since when; 0: never looked
    struct {           // jobs that failed for a reason that may pass, and are tried again
        unsigned jobs; // DB_FULL_FLUSH, DB_FULL_COMPACTION
        unsigned pause_ms;
        uint64_t since_us; // the first one of them
        uint64_t count;    // in all
        int status;        // of the latest, with its detail
        char detail[STATUS_DETAIL_MAX];
    } retry GUARDED_BY(db_mutex);
};

int db_background_start(struct lsm *db);
void db_background_stop(struct lsm *db) EXCLUDES(db_mutex);
bool db_flush_due(struct lsm *db) REQUIRES(db_mutex); // mutex held

#endif
