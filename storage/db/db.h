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
//   manifest lead               not a lock: `manifest_busy` under mutex. Owns the manifest's
//                               writing side; held across its I/O
//   hold_mutex                  the file of held space (db_hold.c); held across that file's calls
//   mutex                       all other shared state; never held across I/O
//   obsolete_mutex              the list of files to remove; a leaf, taken in epoch callbacks
//
// Readers take none of them: they pin an epoch and load `view`.
#ifndef LSM_DB_DB_H
#define LSM_DB_DB_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/arena.h"
#include "base/env.h"
#include "base/iter.h"
#include "base/logger.h"
#include "base/status.h"
#include "blob/blob_store.h"
#include "cache/block_cache.h"
#include "compaction/compact_pick.h"
#include "db/db_latency.h"
#include "lsm.h"
#include "memtable/epoch.h"
#include "memtable/memtable.h"
#include "version/manifest.h"
#include "version/table_cache.h"
#include "wal/wal_writer.h"

#define DB_MAX_IMMUTABLES 16
#define DB_BLOB_HANDLES   512 // blob files that stay open for reading, if the system allows

#define DB_FULL_FLUSH      1u
#define DB_FULL_COMPACTION 2u
#define DB_FULL_JOBS       (DB_FULL_FLUSH | DB_FULL_COMPACTION)
#define DB_FULL_LOW        4u // a write met a full disk, or memtables might not fit any more

// A log and the memtable whose entries it holds share their number.
struct db_log {
    struct wal_writer *wal; // NULL: logs of an earlier run, number .. last, durable as they are
    uint64_t number, last;
    _Atomic uint32_t refs; // the store's, and those of running syncs
    bool remove;           // with the last reference the file goes; set before that one is dropped
    char name[STORE_NAME_MAX];
};

// What readers look at: one consistent set of memtables and tables. Immutable.
struct read_view {
    struct epoch_node retire;
    _Atomic uint32_t refs; // the current pointer's, and iterators'
    struct memtable *active;
    struct memtable *immutables[DB_MAX_IMMUTABLES]; // newest first
    unsigned immutable_count;
    struct version *version;
};

// A brief snapshot holds the view it is read from and is in no list: what compaction drops after
// its making is still in that view. For all other snapshots compaction keeps what they see.
struct lsm_snapshot {
    uint64_t sequence;
    struct read_view *view;           // a reference; NULL unless brief
    struct lsm_snapshot *prev, *next; // list ordered by sequence, unless brief; mutex
    bool collected;                   // a flush or compaction has kept something for it; mutex
};

// A batch whose large values have been written to blob files, and what it refers to there.
struct db_blob_write {
    struct lsm_batch *batch;
    struct blob_refs pins; // with a reference each, until the memtable has its own
    uint64_t written;      // bytes appended for it
    uint64_t value_bytes;  // of the values that were separated
    size_t min;            // values of this size or more are separated
};

// How much of the reserve a write may use.
enum reserve_use { RESERVE_USE_NOT, RESERVE_USE_LITTLE, RESERVE_USE_ALL };

// One thread waiting in the write queue; lives on its stack.
struct writer {
    const struct lsm_batch *batch;     // NULL: only wants to become leader
    const struct db_blob_write *blobs; // large values of the batch; NULL: there are none
    enum reserve_use reserve;
    bool sync;
    bool done; // queue.mutex; someone else wrote the batch: `status` is the result
    int status;
    struct db_log *sync_log; // the log with the record of a writer that syncs (one reference)
    uint64_t sync_end;
    char *detail;        // STATUS_DETAIL_MAX bytes of the waiting thread, for a failure
    pthread_cond_t wake; // done, or became head
    struct writer *next;
};

// What a file_meta's owner points to, and later the entry in the list of files to remove.
struct obsolete_file {
    struct lsm *db;
    struct obsolete_file *next;
    uint64_t number;
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
    struct env *env;  // the directory
    struct lsm_options options;
    struct logger logger;
    struct env_lock *lock;
    bool made_dir;   // the directory was made by this handle
    bool fresh;      // the store was made by this handle; decided under the lock
    char *lock_note; // what LOCK says of this holder; NULL: nothing. mutex
    struct block_cache *block_cache;
    struct sst_map_budget map_budget;
    struct table_cache *table_cache;
    struct blob_store *blobs;
    struct arena_pool arenas; // what flushed memtables leave to the next

    // Readers. `view` is stored with release under mutex, loaded with acquire while pinned.
    // `visible`: sequence of the last write readers may see; stored with release by the leader
    // after its inserts, loaded with acquire, after the view, by readers.
    _Atomic(struct read_view *) view;
    _Atomic uint64_t visible;

    struct {
        pthread_mutex_t mutex;
        struct writer *head, *tail; // head leads
    } queue;

    // The lead's.
    struct memtable *active; // changed under mutex as well
    struct memtable_hint hint;
    uint64_t last_sequence;
    uint64_t delay_debt_ns; // slow-down owed, not yet slept
    size_t paced_bytes;     // memtable_bytes(active) up to which the flush is not too far behind
    uint64_t watched_blobs; // db_memtable_blob_bytes(active) when the pressure was last computed

    // mutex
    pthread_mutex_t mutex;
    pthread_cond_t work;    // background threads wait: something may be due
    pthread_cond_t changed; // users wait: a flush or compaction ended, state moved on
    struct db_log *log;     // active log
    struct db_log *spare;   // prepared next log, or NULL
    enum { SPARE_NONE, SPARE_WANTED, SPARE_MAKING } spare_state;
    uint64_t log_used; // bytes that recent logs have used
    struct {
        struct memtable *memtable;
        struct db_log *log;
    } immutables[DB_MAX_IMMUTABLES]; // oldest first
    unsigned immutable_count;
    struct version *version; // current; also in the view
    uint64_t manifest_log_number, manifest_last_sequence;
    uint64_t recyclable[2];        // numbers of old logs to reuse, or 0
    struct lsm_snapshot snapshots; // list head
    struct snapshot_set named;     // changed with the manifest lead as well
    bool dead_stale;               // the tables' dead_bytes have to be counted anew
    struct buf cursors[VERSION_LEVELS];
    struct manifest *manifest; // manifest lead
    bool manifest_busy;
    uint64_t idle_sequence, idle_since_us; // last sequence seen, and since when
    bool drain_first;                      // whose turn it was: reclaim's
    bool manual_running;                   // a manual compaction keeps automatic ones off
    unsigned compactions_running;
    bool flush_running;
    bool stalled;         // the write leader waits for a flush or a compaction
    int background_error; // sticky
    char background_detail[STATUS_DETAIL_MAX];
    unsigned disk_full; // DB_FULL_*: what cannot proceed for lack of space
    struct {            // jobs that failed for a reason that may pass, and are tried again
        unsigned jobs;  // DB_FULL_FLUSH, DB_FULL_COMPACTION
        unsigned pause_ms;
        uint64_t since_us; // the first one of them
        uint64_t count;    // in all
        int status;        // of the latest, with its detail
        char detail[STATUS_DETAIL_MAX];
    } retry;
    enum { RESERVE_NONE, RESERVE_HELD, RESERVE_SPENT } reserve; // db_reserve.c
    uint64_t reserve_number;                                    // of the file that is held
    uint64_t reserve_size;                                      // its bytes
    bool reserve_busy;                                          // somebody changes its size
    uint64_t spent_end;              // of the active log, when the reserve was given back
    _Atomic uint64_t reserve_covers; // bytes of a flush that fit into it; set under mutex
    struct { // what small changes may take while space is short; db_little.c
        bool counting;
        uint64_t floor;    // as much has to stay free, or in the reserve
        uint64_t left;     // bytes until the next look
        uint64_t again_us; // until then the last refusal stands
    } little;
    bool stopping;
    bool trim_logs; // after a clean close: the logs are cut to their length
    unsigned thread_count;
    pthread_t threads[20];

    pthread_mutex_t hold_mutex; // db_hold.c
    uint64_t hold_number;       // hold_mutex; of the file; 0: nothing is held
    uint64_t hold_bytes;        // hold_mutex

    _Atomic bool cancel;    // stops running compactions
    uint64_t first_file;    // numbers from here on were given out since opening; constant then
    uint64_t manifest_new;  // of the manifest that opening starts; 0: not that far yet
    uint64_t reserve_swept; // bytes that opening gave back; its own
    uint64_t reserve_left;  // bytes for the next opening; closing's own
    _Atomic uint64_t next_file;
    _Atomic uint64_t flush_done, flush_total; // entries of the running flush; relaxed
    _Atomic unsigned pressure;    // 0 .. 1000: how much writers are slowed; set under mutex
    _Atomic uint64_t garbage_max; // superseded bytes that make a memtable full; set under mutex
    _Atomic bool flush_soon;      // a flush is wanted so that blob files can go; set under mutex

    pthread_mutex_t obsolete_mutex;
    struct obsolete_file *obsolete;
    _Atomic bool keep_files; // after a failed manifest write nothing may be removed

    struct db_counters counters;
    struct db_tally tallies[DB_TALLIES];
    struct latency latency[LATENCY_OPS];
};

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
void db_view_install(struct lsm *db, struct read_view *view);
// The one to read from, with a reference: the snapshot's, or the current one.
struct read_view *db_view_ref(struct lsm *db, const struct lsm_snapshot *snapshot);
void db_view_unref(struct read_view *view);
uint64_t db_read_sequence(struct lsm *db, const struct lsm_snapshot *snapshot); // after the view

// ---- db_error.c
// Records the first failure of background work or logging; the store is read-only from then on.
// Mutex held.
void db_set_error(struct lsm *db, int status, const char *what);
// The sticky failure as a status of this call, or 0. Mutex held.
int db_check_error(struct lsm *db);

// For whoever waits for the jobs `jobs` (DB_FULL_*): the status of one that has been failing for so
// long for a reason that may pass, or 0. Mutex held.
int db_check_retry(struct lsm *db, unsigned jobs, uint64_t patience_us);
#define DB_RETRY_WRITE_US 5000000 // of writes
#define DB_RETRY_FLUSH_US 200000  // of calls that ask for the job

// ---- db_space.c
// Whether writes are refused for lack of space, unless they may use the reserve. Mutex held.
bool db_disk_is_full(const struct lsm *db);
// LSM_NO_SPACE if they are: for what takes space before it queues. No locks held.
int db_check_space(struct lsm *db);
bool db_space_short(const struct lsm *db); // whether to make room; mutex held
bool db_space_low(struct lsm *db); // whether what is in memory might not fit on the disk; no locks
void db_note_full(struct lsm *db); // sets DB_FULL_LOW; the flush thread clears it. No locks held
// Bytes that writes may take before they are refused, of those free on the disk. No locks held.
uint64_t db_space_available(struct lsm *db, uint64_t free_bytes, uint64_t total);
// `size`, or less on a disk of `total` bytes on which that would be too much, but DB_SPACE_MIN.
#define DB_SPACE_MIN 4096
uint64_t db_space_bounded(uint64_t size, uint64_t total);

// ---- db_reserve.c
// In steps, beside what is to be flushed: for the log of deletes, and for small changes.
#define DB_DELETE_STEPS 2
#define DB_LITTLE_STEPS 2
uint64_t db_reserve_step(const struct lsm *db); // bytes
uint64_t db_reserve_wanted(struct lsm *db);     // bytes it should have now; no locks held
void db_reserve_make(struct lsm *db);           // when there is none, or it is spent; no locks held
// Makes the reserve as large as the store needs it. No locks held.
void db_reserve_follow(struct lsm *db);
void db_reserve_shrink(struct lsm *db);   // back to what they need; no locks held
bool db_reserve_exceeded(struct lsm *db); // the active memtable is larger than it covers
// Whether space is short and the active memtable had better be flushed. Lead and mutex held.
bool db_reserve_cramped(struct lsm *db);
bool db_reserve_release(struct lsm *db); // false: there was nothing to give back. No locks held
// A clean end: db_reserve_free(), which comes last, leaves what the next opening may need.
void db_reserve_leave(struct lsm *db);
void db_reserve_free(struct lsm *db);
// Makes a file of `size` bytes, or as large as there is room for, that whoever opens the store next
// sweeps away. For a store that is not open; a failure leaves none.
void db_reserve_file(struct env *env, uint64_t number, uint64_t size);

// ---- db_little.c
// Whether a write that may use a little of the reserve, of so many bytes, may go on; if it may,
// that is noted. Lead held, mutex not; may wait for flushes and compactions for up to a second.
bool db_little_take(struct lsm *db, size_t bytes);
void db_little_end(struct lsm *db); // space is not short any more; mutex held

// ---- db_log.c
int db_log_new(struct lsm *db, struct db_log **ret_log); // creates the file; no locks held
// Stands for the logs first .. last, which recovery has read into a memtable without a table.
int db_log_old(uint64_t first, uint64_t last, struct db_log **ret_log);
uint64_t db_log_bytes(const struct db_log *log); // of records; 0 for NULL and logs of earlier runs
void db_log_ref(struct db_log *log);
void db_log_unref(struct lsm *db, struct db_log *log);
// The log is not needed any more: kept for recycling or removed. No locks held. Drops the
// reference.
void db_log_retire(struct lsm *db, struct db_log *log);
// Tells that a log of `bytes` was filled, for the size of later ones; mutex held.
void db_log_note_used(struct lsm *db, uint64_t bytes);
void db_log_drop_recyclable(struct lsm *db); // no locks held
// Gives back what logs only take in a busy store. No locks held; by the flush thread.
void db_log_settle(struct lsm *db);
// Makes everything up to `end` of `log` durable, and all logs before it.
int db_log_sync(struct lsm *db, struct db_log *log, uint64_t end);

// ---- db_queue.c
// Waits until the writer leads, or another leader has written its batch: `done`.
void db_lead_or_wait(struct lsm *db, struct writer *writer);
// Ends the lead: the writers from the head to `last` are done, the one after it leads.
void db_lead_end(struct lsm *db, struct writer *leader, struct writer *last);
// Waits until the caller is the write leader, and gives the lead up again. For switching memtables
// from outside a write.
void db_lead_acquire(struct lsm *db, struct writer *writer);
void db_lead_release(struct lsm *db, struct writer *writer);
bool db_lead_try(struct lsm *db, struct writer *writer); // false: somebody leads
// Makes the active memtable immutable and starts a new one. Lead held.
int db_switch_memtable(struct lsm *db);

// ---- db_pace.c: slowing writers, lead held
// Owes the time `bytes` take under `pressure` (0: none), and sleeps when it is worth it.
void db_slow_down(struct lsm *db, unsigned pressure, size_t bytes);
// Sleeps for a millisecond if the active memtable fills faster than the flush proceeds that must
// end before it can be switched.
void db_pace(struct lsm *db);
// Recomputes the write pressure from the current version; mutex held.
void db_update_pressure(struct lsm *db);

// ---- db_files.c
uint64_t db_new_file_number(void *db);
void db_remove_obsolete(struct lsm *db); // no locks held
// Ties a table that is going to be part of a version to this store: when its last reference goes,
// its reader is closed and, if it is obsolete, its file is put on the list of files to remove.
int db_adopt_file(struct lsm *db, struct file_meta *file);

// ---- db_pick.c: mutex held
bool db_nothing_written(struct lsm *db); // for a while
struct pick_options db_pick_options(struct lsm *db);
// What is to be done next, by size or for the sake of blobs, which take turns when there is both:
// *drain_first. NULL: nothing.
int db_pick(struct lsm *db, struct buf cursors[VERSION_LEVELS], bool *drain_first,
            struct compaction **ret_compaction);
bool db_jobs_done(struct lsm *db); // nothing is running or due, or nothing can

// ---- db_background.c
int db_background_start(struct lsm *db);
void db_background_stop(struct lsm *db);
bool db_flush_due(struct lsm *db); // mutex held

// ---- db_manifest.c
// Logs the edit, applies it and installs the new version and view. Called without locks. With
// `drop_immutable` the oldest immutable memtable, which the edit makes superfluous, goes as well.
int db_apply_edit(struct lsm *db, struct version_edit *edit, bool drop_immutable);
// The same for an edit that `change` makes of the named snapshots as they are then. It is called
// with the manifest lead, without locks; a failure of its own changes nothing and is returned.
int db_change_snapshots(struct lsm *db,
                        int (*change)(const struct snapshot_set *set, struct version_edit *edit,
                                      void *arg),
                        void *arg);

// ---- db_snapshots.c
int db_named_check(struct lsm *db, const char *name); // whether a new snapshot can be called this
// The sequences of all snapshots, named ones and others, ascending; the array is the caller's.
// Mutex held.
int db_snapshots_collect(struct lsm *db, uint64_t **ret_sequences, size_t *ret_count);
// Counts what tables keep for snapshots that are gone, if that may have changed. Mutex held.
int db_count_dead(struct lsm *db);
// The last visible sequence if there is no snapshot; mutex held.
uint64_t db_oldest_snapshot(struct lsm *db);

// ---- db_compact.c
// One flush of the oldest immutable memtable.
int db_flush_oldest(struct lsm *db);
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
                      struct db_watch *watch);
// Writes a memtable to a level-0 table; the edit gets it added. For flush and recovery.
int db_write_level0(struct lsm *db, struct memtable *memtable, struct version_edit *edit);
// The same of what an iterator yields, which is not freed.
int db_write_level0_from(struct lsm *db, struct iter *input, struct version_edit *edit);

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
// makes the batch to log. Release when that is in a memtable, or given up.
int db_resolve(struct lsm *db, const struct lsm_batch *batch, size_t min,
               struct db_blob_write *ret_write);
void db_resolve_release(struct db_blob_write *write);

// ---- db_place.c
struct db_place {
    bool current, unfinished, lock;
    bool data;    // tables, logs, blob files
    bool sources; // tables, logs: what repair works from
    bool rest;    // other names of ours
    bool foreign; // names that are no store's
};
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
