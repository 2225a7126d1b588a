// Background work: its threads, what runs, what is to be done next, what failed and is tried again.
//
// Lock: the store's mutex. Threads sleep on its `work`.
//
// Touched by: db_background db_compact db_error db_little db_log db_manage db_open db_pace
//   db_pick db_property
#ifndef LSM_DB_DB_JOBS_H
#define LSM_DB_DB_JOBS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "base/status.h"
#include "compaction/compact_pick.h"
#include "db/db_roles.h"
#include "version/version.h"

struct iter;
struct lsm;
struct memtable;

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
    bool drain_first GUARDED_BY(db_mutex); // whose turn it was: reclaim's
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

// ---- db_pick.c: mutex held
// Looks whether anything has been written since the last look. The flush thread does whenever it
// wakes.
void db_note_writes(struct lsm *db) REQUIRES(db_mutex);
bool db_nothing_written(const struct lsm *db) REQUIRES(db_mutex); // for a while, as far as noted
struct pick_options db_pick_options(struct lsm *db) REQUIRES(db_mutex);
// What is to be done next, by size or for the sake of blobs, which take turns when there is both:
// *drain_first. NULL: nothing.
int db_pick(struct lsm *db, struct buf cursors[VERSION_LEVELS], bool *drain_first,
            struct compaction **ret_compaction) REQUIRES(db_mutex);
bool db_jobs_done(struct lsm *db) REQUIRES(db_mutex); // nothing is running or due, or nothing can

// ---- db_compact.c
// One flush of the oldest immutable memtable.
int db_flush_oldest(struct lsm *db) EXCLUDES(db_mutex);
// Removes the tables that a flush which failed has added.
void db_remove_added(struct lsm *db, const struct version_edit *edit);
// Runs a picked compaction; its inputs are marked compacting. Takes it over.
// `watch` (NULL: nobody) is told how many entries have been merged, and may cancel it.
struct db_watch {
    lsm_progress_fn *progress;
    void *arg;
    uint64_t done; // entries of the jobs that have ended
};
int db_run_compaction(struct lsm *db, struct version *version, struct compaction *compaction,
                      struct db_watch *watch) EXCLUDES(db_mutex);
// Writes a memtable to a level-0 table; the edit gets it added. For flush and recovery.
int db_write_level0(struct lsm *db, struct memtable *memtable, struct version_edit *edit)
    EXCLUDES(db_mutex);
// The same of what an iterator yields, which is not freed.
int db_write_level0_from(struct lsm *db, struct iter *input, struct version_edit *edit)
    EXCLUDES(db_mutex);

#endif
