// What the files of the namespace share: the open namespace, an operation's context, and the
// helpers that read, change and write records.
//
// Inside the namespace every function returns 0 (or a count) or a negative errno; engine statuses
// are translated where the engine is called (ns_err).
#ifndef NS_INTERNAL_H
#define NS_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/lock_check.h"
#include "base/slice.h"
#include "lsm.h"
#include "ns/inodes/atimes.h"
#include "ns/inodes/inode.h"
#include "ns/inodes/reclaim_queue.h"
#include "ns/keys/pathkey.h"
#include "ns/keys/record.h"
#include "ns/namespace.h"
#include "ns/operation/promise.h"

// Bytes of an extent at most, and the grid on which long writes are cut into extents.
#define NS_EXTENT_MAX (1u << 20)

#define NS_COUNTER_STRIPES 16u
#define NS_MARKER_BUCKETS  4096u
#define NS_INO_RANGE       4096u
#define NS_FORMAT_VERSION  1u

// A part of the count of files that have names. The count is spread over several counters, so that
// threads which create files do not wait for each other. The mutex is held during lsm_write(), so
// that values reach the store in order. A write may wait for the disk; so the value is read without
// it.
struct counter {
    pthread_mutex_t mutex;
    const struct op *holder; // of the mutex, for assertions: clang cannot follow it; NULL: nobody
    _Atomic int64_t value;   // changed under mutex
};

extern struct lock_role ns_rename_mutex, ns_ino_mutex, ns_op_mutex, ns_follow_mutex;

// A function to be called after the next commit. While `wanted` is not set, a commit only reads
// that.
struct ns_watch {
    _Atomic bool wanted; // `tell` may be needed; set before `armed` is set for the first time
    _Atomic bool armed;  // the next commit clears this and calls `tell`
    // Called without locks by the thread that has committed. Constant while `wanted` is set.
    void (*tell)(void *arg);
    void *arg;
};

struct ns {
    struct lsm *db;
    struct lsm_read_options at; // what reads without a snapshot of their own see: the snapshot that
                                // was opened, or the present
    bool shares_db;             // db belongs to another namespace, which closes it
    char *path;                 // of the store
    unsigned inline_max, cut_extents, merge_delay_ms;
    bool keep_unlinked; // see ns_keep_unlinked(); constant once there are threads
    bool read_only;
    bool follows;                 // another process changes the store (changes/follow.c)
    pthread_mutex_t follow_mutex; // held while its changes are taken in; before inode locks
    struct ns_inode *root;
    struct inode_table table;

    // Renames of a directory to another parent; before all inode locks.
    pthread_mutex_t rename_mutex;

    pthread_mutex_t ino_mutex;                  // leaf, held over an engine put
    uint32_t features GUARDED_BY(ns_ino_mutex); // what the superblock says
    // Numbers [next, reserved) are free to use.
    uint64_t ino_next GUARDED_BY(ns_ino_mutex);
    uint64_t ino_reserved GUARDED_BY(ns_ino_mutex);

    struct counter counters[NS_COUNTER_STRIPES]; // after the inode locks

    // How many markers hash to each bucket; 0: none. Raised before a marker is written, lowered
    // after one was removed. `all_marked`: there were too many to count them at ns_open.
    _Atomic uint32_t markers[NS_MARKER_BUCKETS];
    bool all_marked;

    struct listings *listings;
    _Atomic bool labels; // see ns_may_have_labels()

    pthread_mutex_t op_mutex; // leaf
    struct op *idle_ops GUARDED_BY(ns_op_mutex);
    unsigned idle_op_count GUARDED_BY(ns_op_mutex);
    // The gate (op_pass): how many are behind it, and whether it is closed. gate_changed is
    // signalled when nobody is behind a closed gate any more, and when the gate is opened.
    pthread_cond_t gate_changed;
    unsigned passed GUARDED_BY(ns_op_mutex);
    bool gate_closed GUARDED_BY(ns_op_mutex);

    struct ns_watch watch; // who wants to know of commits

    struct promise promise;

    // What operations leave to the background; NULL if read-only. Constant once there are threads.
    struct reclaim_queue *to_reclaim;
    struct fragments *fragments;
    struct atimes *atimes;
    struct upkeep *upkeep; // its threads
};

LOCK_FUNCTIONS(numbers, struct ns, ino_mutex, ns_ino_mutex)
LOCK_FUNCTIONS(tree_shape, struct ns, rename_mutex, ns_rename_mutex)
LOCK_FUNCTIONS(following, struct ns, follow_mutex, ns_follow_mutex)

// A moment for several reads that belong together, to be ended soon: now, or the snapshot that was
// opened. 0 or -errno.
int ns_moment_begin(struct ns *ns, const struct lsm_snapshot **ret_snapshot);
void ns_moment_end(struct ns *ns, const struct lsm_snapshot *snapshot); // NULL is allowed

// For an iterator over the keys in [lower, upper), as of a snapshot (NULL: now). The bounds are
// borrowed.
static inline struct lsm_iter_options ns_between(const struct lsm_snapshot *snapshot,
                                                 const struct pathkey *lower,
                                                 const struct pathkey *upper)
{
    return (struct lsm_iter_options){.snapshot = snapshot,
                                     .lower = lower->data,
                                     .lower_size = lower->size,
                                     .upper = upper->data,
                                     .upper_size = upper->size};
}

static inline int ns_err(int status)
{
    return status ? -ns_errno(status) : 0;
}

// ---- one operation

struct loaded {
    struct record rec; // slices point into raw
    struct lsm_buf raw;
};

struct extent {
    uint64_t start;
    uint64_t size;
};

struct extent_list {
    struct extent *at;
    size_t count, capacity;
};

// What an operation needs while it runs; reused, so that the usual one allocates nothing.
struct op {
    struct op *next;
    struct lsm_batch *batch;
    struct lsm_batch *staged; // a long write's extents, in blob files already; else empty
    // The records that the operation holds.
    struct loaded file;  // of the file that the operation is about
    struct loaded entry; // under the file's name: its record, or one that leads to it
    struct loaded dir;   // of the directory with that name
    // The same for the target of a copy or a rename.
    struct loaded target_file, target_entry, target_dir;
    struct lsm_buf acl; // an access control list (ns_acl.c)
    struct buf out;     // a record being encoded
    struct buf content; // file content being put together
    struct extent_list extents, source, unwritten, lost;
    int64_t unwritten_change; // how many bytes more are unwritten after the batch
    struct counter *counter;  // locked by op_count, released by op_commit or op_end
    int64_t counter_delta;
    uint32_t mode_cleared; // by ns_content_changed
    bool batch_was_large;  // do not keep it for later
    bool sync_soon;        // op_commit's batch is likely to be synced at once
    bool is_zeroed;        // the file grows by zeros: no loss noted there counts any more
    bool frees_space;      // op_commit may use the engine's reserve for a full disk
    bool small_change;     // ... a little of it: no more than records are changed
    bool ends_later;       // op_commit does not wait for the log; op_commit_end() follows
    struct lsm_pending pending;
};

// The gate: an operation that may change the tree passes it first, and comes back at its end.
// Closing the gate waits until nobody is behind it, and keeps others out until it is opened again.
// A thread that is behind the gate, or has closed it, may pass it again. No inode's lock and no
// rename mutex may be held when it is passed.
void op_pass(struct ns *ns);
void op_passed(struct ns *ns); // comes back from behind the gate
void op_gate_close(struct ns *ns);
void op_gate_open(struct ns *ns);

struct op *op_begin(struct ns *ns); // passes the gate. NULL: no memory
void op_end(struct ns *ns, struct op *op);
void op_free_idle(struct ns *ns); // at close

// Load the record under `key`, or that of a live inode whose lock is held. -ENOENT: there is none;
// only op_load_key() returns that.
int op_load_key(struct ns *ns, const struct pathkey *key, struct loaded *ret_rec);
// The record under `key` as of a snapshot; NULL: as it is now. 0, -ENOENT or another negative
// errno.
int op_load_at(struct lsm *db, const struct lsm_snapshot *snapshot, struct slice key,
               struct loaded *ret_rec);
int op_load(struct ns *ns, const struct ns_inode *inode, struct loaded *ret_rec)
    REQUIRES_SHARED(inode_held);

// Loads a live inode's record without its lock, as it was at some moment during the call.
// *ret_snapshot, unless that is NULL: a snapshot of that moment, for reading what belongs to the
// record; to be ended by the caller with ns_moment_end(); NULL on failure. So an operation that
// changes the file need not wait for another one that reads it from disk.
int op_peek(struct ns *ns, struct ns_inode *inode, struct loaded *ret_rec,
            const struct lsm_snapshot **ret_snapshot);

// These add to the batch. op_store() writes the inode's record to its place. If the record is only
// in memory (AT_NONE) it is stored as an orphan; then op_stored() must follow the commit.
int op_store_key(struct op *op, const struct pathkey *key, const struct record *rec);
int op_store(struct op *op, const struct ns_inode *inode, const struct record *rec)
    REQUIRES(inode_held);
void op_stored(struct ns *ns, struct ns_inode *inode) REQUIRES(inode_held);
// A copy of the record for inode_set_ghost(), malloc'd. Uses op->out.
int ns_ghost_make(struct op *op, const struct record *rec, struct inode_ghost **ret_ghost);
int op_put(struct op *op, const struct pathkey *key, struct slice value);
int op_put_borrowed(struct op *op, const struct pathkey *key, struct slice value); // not copied
int op_delete(struct op *op, const struct pathkey *key);
// Adds deletions of up to `most` keys in the range to the batch; *ret_count tells how many. An
// lsm_status.
int ns_delete_keys(struct ns *ns, struct lsm_batch *batch, const struct pathkey *lower,
                   const struct pathkey *upper, unsigned most, unsigned *ret_count);
// Changes the count of files. At most once in an operation, as the last call before the commit.
int op_count(struct ns *ns, struct op *op, int64_t delta);
int op_commit(struct ns *ns, struct op *op); // the batch is empty afterwards
// After op_commit with `ends_later`, failed or not, without the inode's lock: waits for the log.
// The change can be seen since op_commit.
int op_commit_end(struct ns *ns, struct op *op);
void op_tell_watcher(struct ns *ns); // that something was committed
// op_commit() for a batch that changes names of the two directories, which may be one.
int op_commit_names(struct ns *ns, struct op *op, struct ns_inode *dir, struct ns_inode *other)
    REQUIRES(inode_held);

// ---- helpers

// The kernel's clock for files, one tick exact: behind a FUSE mount with a write-back cache the
// kernel stamps some files itself, and ours must not look newer than what it stamps later.
struct timespec ns_now(void);
int ns_ino_new(struct ns *ns, uint64_t *ret_ino); // takes ino_mutex; may write to the engine
void ns_attr_from(const struct record *rec, struct ns_attr *ret_attr);
// Says in the superblock, unless it does already, that the store uses the incompatible feature. An
// lsm_status.
enum ns_feature {
    FEATURE_UNWRITTEN = 1, // there may be unwritten ranges
    FEATURE_LOST = 2,      // there may be lost ranges
    FEATURE_PLACES = 4,    // there may be places
    FEATURES_KNOWN = 7,
};
int ns_mark_feature(struct ns *ns, enum ns_feature feature);

// The superblock (docs/format.md). super_read() checks it and sets what it says; LSM_NOT_FOUND:
// there is none. An lsm_status.
#define NS_SUPER_SIZE 20u // magic, format version u32, incompatible features u32, reserved u32
void super_make(uint8_t *ret_super, uint32_t features);
int super_read(struct ns *ns);
int super_check(const char *path, struct slice value); // a superblock's bytes; `path`: for messages
bool super_has(struct ns *ns, enum ns_feature feature);
// The value of a key that is a number; the counters of files. Lsm_statuses.
int ns_number_read(struct ns *ns, const struct pathkey *key, uint64_t *ret_value);
int counters_read(struct ns *ns);

int ns_name_check(const char *name, size_t name_size);     // 0, -EINVAL or -ENAMETOOLONG
void ns_inode_drop(struct ns *ns, struct ns_inode *inode); // puts one reference; NULL is legal

// Changes a directory's record after it has gained or lost entries.
void ns_touch_parent(struct record *dir, struct timespec now, int entries, int subdirs);

// Clears setuid, and setgid if the group may execute the file. Does nothing to a directory.
void ns_kill_suid(struct record *rec);

// ns_content_changed() does to the record what every change of content does, as far as `flags`
// (ns_write_flags) allow. ns_changed_attr() gives the attributes afterwards.
void ns_content_changed(struct op *op, struct record *rec, unsigned flags);
void ns_changed_attr(const struct op *op, const struct record *rec, struct ns_attr *ret_attr);

// Markers: whether there may be one for the prefix (from memory), and whether there is.
bool ns_may_be_marked(struct ns *ns, struct slice prefix);
int ns_is_marked(struct ns *ns, struct slice prefix, bool *ret_marked);
void ns_marker_added(struct ns *ns, struct slice prefix);
void ns_marker_removed(struct ns *ns, struct slice prefix);
int markers_count(struct ns *ns); // while no operation is under way. An lsm_status

// The inode was read when its record was `rec`: as ns_accessed().
int ns_note_access(struct ns *ns, struct ns_inode *inode, const struct record *rec,
                   enum ns_access access);

#endif
