// A store in a cluster: its names, its files, its lease. Shared by the parts of this folder.
//
// docs/scale-out.md shows the objects and proves why at most one writer's work counts. In short:
//  - all names and the lease are in one object, the index. Its attribute `epoch` grows with each
//    writer, and no change of the index is made but under the writer's own epoch (a follower's sign
//    aside, which is no part of the store);
//  - a file's bytes are in objects of 4 MiB, each with the epoch of the last writer that
//    touched it. No later epoch's object takes a write of an earlier one. Numbers of files begin
//    with the epoch that made them, so no two writers ever make the same object;
//  - who becomes writer raises the epoch of the index first, and then of all objects of files that
//    were being written (remote_file_seal()), and reads only after that.
//
// Names: `rc` is an lsm_status; `answer` is what the cluster has returned, 0 or a negative errno.
// remote_failed() makes the one of the other.
//
// Locks: `mutex` guards all that can change here. It is not held while the cluster works. During
// index_load() nobody but the lease's thread uses the store.
// `change_mutex` is held around each change of the index, and taken before `mutex`.
#ifndef LSM_ENV_RADOS_REMOTE_H
#define LSM_ENV_RADOS_REMOTE_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/lock_check.h"
#include "base/status.h"
#include "env/env.h"
#include "env_rados/cluster.h"

#define STRIPE_SIZE    (UINT64_C(4) << 20) // but in tests
#define STRIPES_AT_ONE 4u                  // of a file that may be missing below one that is there
#define EPOCH_DIGITS   16
#define INDEX_OBJECT   "index"
#define HOLDER_MAX     2048
#define BEAT_US        1000000u
#define LEASE_US       5000000u
#define LOOK_US        500000u // a look at the lease that took longer says nothing
#define LOOK_AGAIN_US  200000u
#define FOLLOWED_US    60000000u
#define SIGN_MAX       24
#define FOLLOWERS_LOCK "FOLLOWERS" // the name whose lock a follower takes, and its writer tries

extern struct lock_role remote_mutex;  // a store's mutex
extern struct lock_role remote_change; // its change_mutex

struct hash_node { // of a table; first in its struct
    struct hash_node *next;
    uint64_t hash;
};

struct hash_table {
    struct hash_node **buckets;
    size_t size, count;
};

enum stripe_state {
    STRIPE_OTHER = 0, // not there, or of an earlier epoch, or not known
    STRIPE_MADE,      // it has this epoch
    STRIPE_BEGUN,     // a write that gives it this epoch is on its way
};

struct remote_file {
    struct hash_node node; // by number
    uint64_t number;
    _Atomic uint64_t size;
    uint32_t high;   // stripes that may exist
    uint32_t loaded; // of these, those that were there when it was opened: of other epochs perhaps
    unsigned links GUARDED_BY(remote_mutex);
    unsigned handles GUARDED_BY(remote_mutex);
    unsigned writers GUARDED_BY(remote_mutex);
    bool writing;                           // the index says so: its size is what its objects say
    uint8_t *made GUARDED_BY(remote_mutex); // by stripe: an enum stripe_state
    size_t made_count GUARDED_BY(remote_mutex);
    uint32_t touched GUARDED_BY(remote_mutex);            // the stripes below have this epoch
    struct joined_write *writes GUARDED_BY(remote_mutex); // that have not ended (joining.c)
};

struct index_name {
    struct hash_node node;    // by text
    struct remote_file *file; // NULL: a directory
    char text[];
};

// Objects that nobody refers to any more.
struct trash {
    struct trash *next;
    uint64_t number;
    uint32_t high, done;
};

struct remote {
    struct cluster *cluster;
    char *path;                             // "rados:POOL/NAME"
    uint64_t stripe;                        // bytes of an object
    unsigned refs GUARDED_BY(remote_mutex); // envs
    pthread_mutex_t change_mutex;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    struct hash_table names,
        files;           // mutex; loaded by who opens and locks, when nobody else uses them
    struct trash *trash; // the same
    uint64_t next_number GUARDED_BY(remote_mutex);
    char epoch[EPOCH_DIGITS + 1];
    uint64_t identity;  // tells the store from others, also of its name; 0: it has none yet
    bool holds, shares; // a lock: to write, to read
    bool threaded;      // a thread looks after the lease and the trash
    bool running;       // that thread; the opener's
    bool stopping GUARDED_BY(remote_mutex);
    bool settled GUARDED_BY(remote_mutex); // as a writer: what the last one left is sealed
    pthread_t thread;
    char nonce[17];
    char note[1024] GUARDED_BY(remote_mutex);
    uint64_t beat GUARDED_BY(remote_mutex);
    char sign[SIGN_MAX] GUARDED_BY(remote_mutex); // a follower's, as seen last
    uint64_t sign_us GUARDED_BY(remote_mutex);    // when it was new
    _Atomic int status;                           // nothing is changed any more, and why; set once
    struct status_kept kept;                      // its detail
};

LOCK_FUNCTIONS(remote, struct remote, mutex, remote_mutex)
LOCK_FUNCTIONS(change, struct remote, change_mutex, remote_change)

static inline struct slice remote_epoch(const struct remote *store)
{
    return slice_of(store->epoch, EPOCH_DIGITS);
}

// ---- remote.c
// 0 if changes can be made; else a status that says why not.
int remote_check(struct remote *store);
// The status for a failed operation of the cluster. If the operation may have been done all the
// same, or its answer says that the lease is lost, this store makes no changes any more.
int remote_failed(struct remote *store, int answer, const char *what);
// A store whose index is not loaded. That is enough to look at the lease, at names as they are now,
// and at files of known numbers. On success the store owns `cluster`; so it does for remote_open().
int remote_new(struct cluster *cluster, const char *path, uint64_t stripe, bool threaded,
               struct remote **ret_store);
// Makes a store as remote_new() does, and loads the index.
int remote_open(struct cluster *cluster, const char *path, uint64_t stripe, bool threaded,
                struct remote **ret_store);
void remote_ref(struct remote *store);
void remote_unref(struct remote *store); // NULL is allowed

// ---- env_rados.c
// A client for the store that "rados:POOL/NAME" names.
int remote_connect(cluster_open_fn *open, void *arg, const char *path,
                   struct cluster **ret_cluster);

// ---- index.c
struct index_change; // of the index
// Replaces names, files and trash by what the index holds. LSM_NOT_FOUND without an index.
int index_load(struct remote *store);
void index_drop(struct remote *store);
struct index_name *index_find(struct remote *store, const char *text) REQUIRES(remote_mutex);
// The names below a directory (prefix ""), copied. *ret_names to be freed with free() each.
int index_list(struct remote *store, const char *prefix, char ***ret_names, size_t *ret_count);
int index_create(struct remote *store, const char *text, bool directory,
                 struct remote_file **ret_file);
int index_link(struct remote *store, const char *from, const char *to);
int index_rename(struct remote *store, const char *from, const char *to);
int index_unlink(struct remote *store, const char *text);
int index_rmdir(struct remote *store, const char *text);
int index_note_file(struct remote *store, struct remote_file *file, bool writing);
int index_forget_trash(struct remote *store, uint64_t number);
// A handle's end: the last one of a file without a name has its objects removed.
void index_release(struct remote *store, struct remote_file *file);

// What somebody who holds nothing sees, of this moment.
struct index_seen {
    uint64_t number;
    uint64_t size; // of a file that nobody is writing
    bool is_dir;
};
int index_see(const struct remote *store, const char *text, struct index_seen *ret_seen);
// All names that are in no directory, each with a zero byte behind it. To be released by the
// caller, also after a failure.
int index_see_names(const struct remote *store, struct buf *names);

// ---- joining.c
// Writes; in one operation with what other threads write beside it at the same time.
int remote_file_write(struct remote *store, struct remote_file *file, const struct iovec *pieces,
                      int count, uint64_t offset);

// ---- stripes.c
void stripe_name(char object[CLUSTER_NAME_MAX], uint64_t number, uint32_t stripe);
struct write_part {
    const struct iovec *pieces;
    int count;
    struct write_part *next; // the bytes behind
};
// Writes `size` bytes, more than none. Nobody else writes to the same stripes meanwhile. `force`:
// also in a full pool.
int stripes_write(struct remote *store, struct remote_file *file, const struct write_part *parts,
                  uint64_t offset, uint64_t size, bool force);
int remote_file_read(struct remote *store, struct remote_file *file, const struct iovec *pieces,
                     int count, uint64_t offset, size_t *ret_size);
int remote_file_truncate(struct remote *store, struct remote_file *file, uint64_t size);
// Makes the objects of a file that an earlier writer was writing refuse that writer, and finds out
// how long it is. Nothing that writer is told afterwards can be that a write has been done.
int remote_file_seal(struct remote *store, struct remote_file *file);
// Removes the next object; *ret_done: that was the last.
int trash_step(struct remote *store, struct trash *trash, bool *ret_done);

// ---- lease.c
int lease_make(struct remote *store); // an index with nobody in it; LSM_EXISTS
int lease_take(struct remote *store, bool shared, const char *lock_name, const char *note);
void lease_drop(struct remote *store);
// The index, if it is empty and nobody else has it. Of a store that was opened just for that.
int lease_remove(struct remote *store);
void lease_note(struct remote *store, const char *note);
// Followers hold nothing. Each leaves a sign now and then, another one each time; a writer that
// finds a new sign counts as followed for FOLLOWED_US.
void lease_say_follower(struct remote *store);
bool lease_is_followed(struct remote *store);
// Whether the index is there and can be read; and its identity, "" if it has none yet.
int lease_look(struct remote *store, char ret_identity[EPOCH_DIGITS + 1]);
int lease_check(struct remote *store); // whether the index is there and ours
// One beat, and some trash: what the thread does all the time.
void lease_tick(struct remote *store);

#endif
