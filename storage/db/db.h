// The open store: its shared state, who may touch what, and the interfaces between the files of
// this folder.
//
// Threads: user threads; one flush thread; one that makes logs; options.compaction_threads
// compaction threads; with sync_interval_ms one sync thread.
//
// Locks, in the order they are taken:
//   write queue  (queue.mutex)  who leads the next group of writers; held for a few instructions
//   the lead                    not a lock: being the write leader. Owns the active log's append
//                               side, the active memtable's insert hint and last_sequence
//   manifest lead               not a lock: `manifest.busy` under mutex. Owns the manifest's
//                               writing side; held across its I/O
//   follow->mutex               reading a store that is followed (db_follow.c); held across I/O
//   space.hold_mutex            the file of held space (db_hold.c); held across that file's calls
//   mutex                       all other shared state; never held across I/O
//   files.mutex                 the list of files to remove; a leaf, taken in epoch callbacks
//
// Readers take none of them: they pin an epoch and load `view`.
#ifndef LSM_DB_DB_H
#define LSM_DB_DB_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/cond.h"
#include "base/status.h"
#include "blob/blob_store.h"
#include "cache/block_cache.h"
#include "compaction/compact_pick.h"
#include "db/db_files.h"
#include "db/db_follow.h"
#include "db/db_jobs.h"
#include "db/db_latency.h"
#include "db/db_log.h"
#include "db/db_manifest.h"
#include "db/db_pace.h"
#include "db/db_queue.h"
#include "db/db_space.h"
#include "entry/iter.h"
#include "env/env.h"
#include "env/logger.h"
#include "env_cache/env_cache.h"
#include "lsm.h"
#include "memory/arena.h"
#include "memtable/epoch.h"
#include "memtable/memtable.h"
#include "version/manifest.h"
#include "version/table_cache.h"
#include "wal/wal_writer.h"

#define DB_MAX_IMMUTABLES 16
#define DB_BLOB_HANDLES   512 // blob files that stay open for reading, if the system allows

// What readers look at: one consistent set of memtables and tables. Immutable.
struct read_view {
    struct epoch_node retire;
    _Atomic uint32_t refs; // the current pointer's, and iterators'
    struct memtable *active;
    struct memtable *immutables[DB_MAX_IMMUTABLES]; // newest first
    unsigned immutable_count;
    struct version *version;
    uint64_t sequence; // of a store that is followed: of the last write in it; else 0
};

// A brief snapshot holds the view it is read from and is in no list: what compaction drops after
// its making is still in that view. For all other snapshots compaction keeps what they see.
struct lsm_snapshot {
    uint64_t sequence;
    uint64_t id;            // of the named one that was opened, or 0
    struct read_view *view; // a reference; NULL unless brief
    // The list ordered by sequence, unless brief.
    struct lsm_snapshot *prev GUARDED_BY(db_mutex);
    struct lsm_snapshot *next GUARDED_BY(db_mutex);
    bool collected GUARDED_BY(db_mutex); // a flush or compaction has kept something for it
};

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
    struct env_lock *lock;
    bool made_dir; // the directory was made by this handle
    bool fresh;    // the store was made by this handle; decided under the lock
    // What LOCK says of this holder; NULL: nothing.
    char *lock_note GUARDED_BY(db_mutex);
    struct block_cache *block_cache;
    struct sst_map_budget map_budget;
    struct table_cache *table_cache;
    struct blob_store *blobs;
    struct db_follow *follow; // NULL: the store is not followed but opened
    struct arena_pool arenas; // what flushed memtables leave to the next

    // Readers. `view` is stored with release under mutex, loaded with acquire while pinned.
    // `visible`: sequence of the last write readers may see; stored with release by the leader
    // after its inserts, loaded with acquire, after the view, by readers.
    _Atomic(struct read_view *) view;
    _Atomic uint64_t visible;
    _Atomic uint64_t snapshots_taken; // of lsm_snapshots_taken(); rises before `visible` is read
    // Who is between lsm_snapshots_enter() and _leave(): in the place of `snapshots_taken` modulo 2
    // as it was at the entering. How many snapshots wait for one of the places.
    _Atomic uint32_t entered[2], entered_waits;

    // The lead's.
    struct memtable *active; // changed under mutex as well
    struct memtable_hint hint GUARDED_BY(db_lead);
    uint64_t last_sequence GUARDED_BY(db_lead);

    // mutex
    pthread_mutex_t mutex;
    pthread_cond_t work;    // background threads wait: something may be due
    pthread_cond_t changed; // users wait: a flush or compaction ended, state moved on
    struct {
        struct memtable *memtable;
        struct db_log *log;
    } immutables[DB_MAX_IMMUTABLES] GUARDED_BY(db_mutex); // oldest first
    unsigned immutable_count GUARDED_BY(db_mutex);
    struct version *version GUARDED_BY(db_mutex); // current; also in the view
    struct {
        struct lsm_snapshot list;  // list head
        struct snapshot_set named; // changed with the manifest lead as well
        bool dead_stale;           // the tables' dead_bytes have to be counted anew
    } snapshots GUARDED_BY(db_mutex);
    int background_error GUARDED_BY(db_mutex); // sticky
    char background_detail[STATUS_DETAIL_MAX] GUARDED_BY(db_mutex);

    // The parts, each with the lock that its header names.
    struct db_queue queue;
    struct db_logs logs;
    struct db_manifest manifest;
    struct db_files files;
    struct db_space space;
    struct db_pace pace;
    struct db_jobs jobs;

    // Figures.
    struct db_counters counters;
    struct db_tally tallies[DB_TALLIES];
    struct latency latency[LATENCY_OPS];
};

LOCK_FUNCTIONS(db, struct lsm, mutex, db_mutex)
LOCK_FUNCTIONS(db_queue, struct lsm, queue.mutex, db_queue_mutex)
LOCK_FUNCTIONS(db_files, struct lsm, files.mutex, db_files_mutex)
LOCK_FUNCTIONS(db_hold, struct lsm, space.hold_mutex, db_hold_mutex)

static inline void db_wait(struct lsm *db, pthread_cond_t *cond) REQUIRES(db_mutex)
{
    pthread_cond_wait(cond, &db->mutex);
}

static inline int db_wait_us(struct lsm *db, pthread_cond_t *cond, uint64_t us) REQUIRES(db_mutex)
{
    return cond_wait_us(cond, &db->mutex, us);
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

// ---- db_view.c
// Installing a view has two steps, so that it cannot fail after a change was made: memory first;
// then, with mutex held, a view of the current memtables and version replaces the current view.
int db_view_new(struct read_view **ret_view);
void db_view_install(struct lsm *db, struct read_view *view) REQUIRES(db_mutex);
// The one to read from, with a reference: the snapshot's, or the current one.
struct read_view *db_view_ref(struct lsm *db, const struct lsm_snapshot *snapshot);
void db_view_unref(struct read_view *view);
// That of the view that reads the snapshot. To be asked after the view.
uint64_t db_read_sequence(struct lsm *db, const struct read_view *view,
                          const struct lsm_snapshot *snapshot);

// ---- db_cache.c
int db_cache_begin(struct lsm *db); // with the lock, before anything else is opened
void db_cache_end(struct lsm *db);  // after everything was closed
struct disk_cache_stats db_cache_stats(struct lsm *db); // zeros without a cache

// ---- db_error.c
// Records the first failure of background work or logging; the store is read-only from then on.
// Mutex held.
void db_set_error(struct lsm *db, int status, const char *what) REQUIRES(db_mutex);
// The sticky failure as a status of this call, or 0. Mutex held.
int db_check_error(struct lsm *db) REQUIRES(db_mutex);

// For whoever waits for the jobs `jobs` (DB_FULL_*): the status of one that has been failing for so
// long for a reason that may pass, or 0. Mutex held.
int db_check_retry(struct lsm *db, unsigned jobs, uint64_t patience_us) REQUIRES(db_mutex);
#define DB_RETRY_WRITE_US 5000000 // of writes
#define DB_RETRY_FLUSH_US 200000  // of calls that ask for the job

// ---- db_snapshots.c
struct snapshot_creation {
    const char *name;
    uint64_t sequence, created_us;
    uint8_t identity[LSM_SNAPSHOT_IDENTITY];
};
// Has the edit add the snapshot (`arg`) that is to be made, if it can be called so.
int db_snapshot_edit(const struct snapshot_set *set, struct version_edit *edit, void *arg);
struct lsm_snapshot_info db_snapshot_info(const struct snapshot_record *r); // names r's name
int db_named_check(struct lsm *db, const char *name); // whether a new snapshot can be called this
// The sequences of all snapshots, named ones and others, ascending; the array is the caller's.
// Mutex held.
int db_snapshots_collect(struct lsm *db, uint64_t **ret_sequences, size_t *ret_count)
    REQUIRES(db_mutex);
// Counts what tables keep for snapshots that are gone, if that may have changed. Mutex held.
int db_count_dead(struct lsm *db) REQUIRES(db_mutex);
// The last visible sequence if there is no snapshot; mutex held.
uint64_t db_oldest_snapshot(struct lsm *db) REQUIRES(db_mutex);

// ---- db_blob.c
int db_blob_store_new(struct env *env, const struct lsm_options *options, unsigned handles_max,
                      struct logger logger, uint64_t (*new_number)(void *arg), void *arg,
                      struct blob_store **ret_store);
// Values shorter than this are kept in the tree when they are sliced or moved.
size_t db_blob_inline_size(const struct lsm_options *options);
// From which size on values go to blob files in this write; SIZE_MAX: none do.
size_t db_blob_min(const struct lsm *db, const struct lsm_write_options *wo);
// Decodes a pointer and references its file. The caller is pinned, or otherwise holds whatever the
// pointer was found in.
int db_blob_open(struct lsm *db, struct slice encoded, struct blob_pointer *ret_pointer,
                 struct blob_file **ret_file);
// A memtable that keeps references to the blob files its entries point into. They are registered
// before the entries are added; db_blob_flushed() says that its table counts instead.
int db_memtable_new(struct lsm *db, struct memtable **ret_memtable);
int db_blob_register(struct memtable *memtable, const struct blob_refs *refs, uint64_t written);
uint64_t db_memtable_blob_bytes(const struct memtable *memtable); // appended for it
uint64_t db_blob_flush_bytes(struct lsm *db); // ... beyond which it had better be flushed
const struct blob_refs *db_memtable_blobs(const struct memtable *memtable);
void db_blob_flushed(struct memtable *memtable);
// Takes and drops a table's references to blob files.
int db_blob_adopt(struct lsm *db, struct file_meta *file);
void db_blob_abandon(struct file_meta *file);
// Keeps count of what the current version references. Mutex held.
void db_blob_account_version(const struct version *version);
void db_blob_account(const struct version *base, const struct version_edit *edit);
int db_blob_before_sync(void *db);

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
// Waits until nothing is in memtables, and holds the lead then. False: *ret_status says why.
bool db_lead_when_flushed(struct lsm *db, struct writer *writer, int *ret_status)
    TRY_ACQUIRES(db_lead);

// ---- db_place.c
struct db_place {
    bool current, unfinished, lock;
    bool data;    // tables, logs, blob files
    bool sources; // tables, logs: what repair works from
    bool rest;    // other names of ours
    bool foreign; // names that are no store's
};
// What directories are looked up from: the options' env, or the one that the path means.
struct env *db_base_env(const struct lsm_options *options, const char *path);
// The same beside a store that is open: its own, for a path of the same kind.
struct env *db_env_for(const struct lsm *db, const char *path);
int db_place_look(struct env *dir, struct db_place *ret_place);
int db_place_unfinished(const struct env *dir); // LSM_NOT_A_STORE, with what to do
// Opens and locks the directory `path` if `check` allows it, before and under the lock.
int db_place_lock(struct env *base, const char *path, int (*check)(struct env *dir),
                  struct env **ret_dir, struct env_lock **ret_lock);
// Marks a directory that is locked as UNFINISHED, durably, and takes the mark away.
int db_place_begin(struct env *dir);
int db_place_end(struct env *dir);
// Removes the store from a directory that is locked, LOCK included, and `directory` itself, if it
// is then empty. After a failure it is UNFINISHED, or was so all along.
int db_place_remove(struct env *base, const char *path, struct env *dir, bool directory);
// A new directory, locked, with nothing in it but LOCK and UNFINISHED. Between making and locking
// it somebody else may have made a store there: that stays.
int db_place_make(struct env *base, const char *path, const char *note, struct env **ret_dir,
                  struct env_lock **ret_lock);
// Lets go of it; with `failed` it is removed, as far as that can be done.
void db_place_leave(struct env *base, const char *path, bool failed, struct env *dir,
                    struct env_lock *lock);

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
