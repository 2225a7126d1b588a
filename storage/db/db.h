// The open store: its shared state, who may touch what, and the interfaces between the files of
// this folder.
//
// Threads: user threads; one flush thread; one that makes logs; options.compaction_threads
// compaction threads; one that syncs the log (in a cluster with sync_interval_ms).
//
// Locks, in the order they are taken:
//   write queue  (queue.mutex)  who leads the next group of writers; held for a few instructions
//   the lead                    not a lock: being the write leader. Owns the active log's append
//                               side, the active memtable's insert hint and queue.last_sequence
//   manifest lead               not a lock: `manifest.busy` under mutex. Owns the manifest's
//                               writing side; held across its I/O
//   follow->mutex               reading a store that is followed (db_follow.c); held across I/O
//   space.hold_mutex            the file of held space (db_hold.c); held across that file's calls
//   claim.note_mutex            what LOCK says of the holder; held across the writing of LOCK
//   mutex                       all other shared state; never held across I/O
//   files.mutex                 the list of files to remove; a leaf, taken in epoch callbacks
//
// Readers take none of them: they pin an epoch and load `readers.view`.
#ifndef LSM_DB_DB_H
#define LSM_DB_DB_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/cond.h"
#include "base/status.h"
#include "cache/block_cache.h"
#include "compaction/compact_pick.h"
#include "db/db_behind.h"
#include "db/db_claim.h"
#include "db/db_compact.h"
#include "db/db_error.h"
#include "db/db_files.h"
#include "db/db_follow.h"
#include "db/db_jobs.h"
#include "db/db_latency.h"
#include "db/db_log.h"
#include "db/db_manifest.h"
#include "db/db_memtables.h"
#include "db/db_pace.h"
#include "db/db_queue.h"
#include "db/db_snapshots.h"
#include "db/db_space.h"
#include "db/db_view.h"
#include "entry/iter.h"
#include "env/env.h"
#include "env/logger.h"
#include "env_cache/env_cache.h"
#include "lsm.h"
#include "memory/arena.h"
#include "memtable/epoch.h"
#include "version/manifest.h"
#include "version/table_cache.h"
#include "wal/wal_writer.h"

struct db_counters { // relaxed; for properties
    _Atomic uint64_t user_bytes, wal_bytes, flush_bytes, compact_read, compact_written;
    _Atomic uint64_t flushes, compactions, trivial_moves, stall_us, slowdown_us, writes, groups;
};

// What readers count, spread so that threads do not share a line; relaxed; for properties.
#define DB_TALLIES 16
struct db_tally {
    _Atomic uint64_t gets;
    _Atomic uint64_t iters, searches, steps; // of iterators, in the sources under them
    uint64_t unused[4];
};

struct lsm {
    // Constant after open.
    char *dir;        // the directory's name as the opening gave it; for messages
    struct env *base; // what the directory was opened from
    struct env *env;  // the directory, perhaps with a cache in between (db_cache.c)
    bool cached;      // there is one
    struct lsm_options options;
    struct logger logger;
    struct block_cache *block_cache;
    struct sst_map_budget map_budget;
    struct table_cache *table_cache;
    struct blob_store *blobs;
    struct db_follow *follow; // NULL: the store is not followed but opened
    struct arena_pool arenas; // what flushed memtables leave to the next

    // The parts, each with the lock that its header names.
    struct db_claim claim;
    struct db_readers readers;
    struct db_memtables memtables;
    struct db_queue queue;
    struct db_logs logs;
    struct db_manifest manifest;
    struct db_files files;
    struct db_space space;
    struct db_pace pace;
    struct db_jobs jobs;
    struct db_behind behind;
    struct db_snapshots snapshots;
    struct db_failure failure;

    // The lock of most parts, and what is waited for with it.
    pthread_mutex_t mutex;
    pthread_cond_t work;    // background threads wait: something may be due
    pthread_cond_t changed; // users wait: a flush or compaction ended, state moved on

    // Figures.
    struct db_counters counters;
    struct db_tally tallies[DB_TALLIES];
    struct latency latency[LATENCY_OPS];
};

LOCK_FUNCTIONS(db, struct lsm, mutex, db_mutex)
LOCK_FUNCTIONS(db_queue, struct lsm, queue.mutex, db_queue_mutex)
LOCK_FUNCTIONS(db_files, struct lsm, files.mutex, db_files_mutex)
LOCK_FUNCTIONS(db_hold, struct lsm, space.hold_mutex, db_hold_mutex)
LOCK_FUNCTIONS(db_note, struct lsm, claim.note_mutex, db_note_mutex)

static inline void db_wait(struct lsm *db, pthread_cond_t *cond) REQUIRES(db_mutex)
{
    pthread_cond_wait(cond, &db->mutex);
}

static inline int db_wait_us(struct lsm *db, pthread_cond_t *cond, uint64_t us) REQUIRES(db_mutex)
{
    return cond_wait_us(cond, &db->mutex, us);
}

// Whether the store is read-only after a failure.
static inline bool db_has_failed(const struct lsm *db) REQUIRES(db_mutex)
{
    return db->failure.status != LSM_OK;
}

// The current version; no reference is taken.
static inline struct version *db_version(const struct lsm *db) REQUIRES(db_mutex)
{
    return db->manifest.version;
}

// How many tables level 0 has, by which writers are slowed and compactions begun.
static inline unsigned db_level0_tables(const struct lsm *db) REQUIRES(db_mutex)
{
    return db->manifest.version->levels[0].count;
}

// The number of the last operation written.
static inline uint64_t db_last_sequence(const struct lsm *db) REQUIRES(db_lead)
{
    return db->queue.last_sequence;
}

// ---- what two locks are held to change, and either one to read
// But for opening and closing, when nobody else has the store, only these touch it. Which lock they
// need is the whole difference between a function and the same ..._as_lead().

static inline struct memtable *db_active(const struct lsm *db) REQUIRES(db_mutex) NOT_CHECKED
{
    return db->memtables.active;
}

static inline struct memtable *db_active_as_lead(const struct lsm *db) REQUIRES(db_lead) NOT_CHECKED
{
    return db->memtables.active;
}

static inline struct db_log *db_active_log(const struct lsm *db) REQUIRES(db_mutex) NOT_CHECKED
{
    return db->logs.active;
}

static inline struct db_log *db_active_log_as_lead(const struct lsm *db)
    REQUIRES(db_lead) NOT_CHECKED
{
    return db->logs.active;
}

static inline uint64_t db_manifest_sequence(const struct lsm *db) REQUIRES(db_mutex) NOT_CHECKED
{
    return db->manifest.last_sequence;
}

static inline uint64_t db_manifest_sequence_as_lead(const struct lsm *db)
    REQUIRES(db_manifest_lead) NOT_CHECKED
{
    return db->manifest.last_sequence;
}

static inline uint64_t db_manifest_log_as_lead(const struct lsm *db)
    REQUIRES(db_manifest_lead) NOT_CHECKED
{
    return db->manifest.log_number;
}

static inline void db_manifest_set(struct lsm *db, uint64_t log_number, uint64_t last_sequence)
    REQUIRES(db_manifest_lead) REQUIRES(db_mutex)
{
    db->manifest.log_number = log_number;
    db->manifest.last_sequence = last_sequence;
}

static inline const struct snapshot_set *db_named(const struct lsm *db)
    REQUIRES(db_mutex) NOT_CHECKED
{
    return &db->snapshots.named;
}

static inline const struct snapshot_set *db_named_as_lead(const struct lsm *db)
    REQUIRES(db_manifest_lead) NOT_CHECKED
{
    return &db->snapshots.named;
}

// The caller gets the set that was there.
static inline void db_swap_named(struct lsm *db, struct snapshot_set *named)
    REQUIRES(db_manifest_lead) REQUIRES(db_mutex)
{
    struct snapshot_set old = db->snapshots.named;
    db->snapshots.named = *named;
    *named = old;
}

static inline void counter_add(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

// ---- db_tally.c
extern _Thread_local unsigned db_tally_index; // of this thread, plus 1; 0: not chosen yet
unsigned db_tally_choose(void);

// The calling thread's.
static inline struct db_tally *db_tally(struct lsm *db)
{
    unsigned index = db_tally_index ? db_tally_index : db_tally_choose();
    return &db->tallies[index % DB_TALLIES];
}

// ---- db_cache.c
int db_cache_begin(struct lsm *db); // with the lock, before anything else is opened
void db_cache_end(struct lsm *db);  // after everything was closed
struct disk_cache_stats db_cache_stats(struct lsm *db); // zeros without a cache

// ---- db_read.c
// The newest version of `key` that is visible: its tag and value, which may be a pointer. Pinned.
// LSM_NOT_FOUND also for a delete.
int db_lookup(struct lsm *db, const struct lsm_read_options *ro, struct slice key,
              uint64_t *ret_tag, struct slice *ret_value);

// ---- db_resolve.c
// Resolves a batch before it is logged: writes its values of `min` bytes or more to blob files and
// makes batch->resolved, the batch to log, which holds what its pointers name. It is emptied when
// it is in a memtable, or given up.
int db_resolve(struct lsm *db, struct lsm_batch *batch, size_t min);
void db_resolve_end(struct lsm_batch *batch);

// ---- db_rollback.c
// Entries that undo what was written from `then` to `now`, or do it again, as a table of level 0.
struct db_undo {
    const struct lsm_snapshot *then, *now;
    const struct lsm_snapshot *shown; // one of them: the entries' values are as it has them
    uint64_t sequence;                // of all entries
    lsm_keep_fn *skip;                // keys to leave out; NULL: none
    lsm_keep_fn *fixed; // NULL, or keys that must not have changed: LSM_CANCELLED, has_changed
    void *arg;
    bool has_changed;
};
int db_undo_write(struct lsm *db, struct db_undo *undo, struct version_edit *edit)
    REQUIRES(db_lead);
// Waits until nothing is in memtables, and holds the lead then. False: *ret_status says why.
bool db_lead_when_flushed(struct lsm *db, struct writer *writer, int *ret_status)
    TRY_ACQUIRES(db_lead);

// ---- db_manage.c
int db_check_table(struct lsm *db, struct file_meta *file); // all bytes of a table

// ---- db_open.c
int db_sync_parent(struct env *env, const char *dir); // makes the directory's own name durable

// ---- db_recover.c
int db_recover(struct lsm *db);

// ---- db_options.c
int db_options_check(const struct lsm_options *options);

// ---- db_iter.c
// An internal iterator over everything in the view; holds no reference to it.
int db_internal_iter(struct lsm *db, struct read_view *view, const struct sst_iter_options *options,
                     struct iter **ret_iter);

#endif
