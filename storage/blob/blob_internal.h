// The structs behind blob_store.h. Internal to this folder.
#ifndef LSM_BLOB_INTERNAL_H
#define LSM_BLOB_INTERNAL_H

#include <pthread.h>

#include "base/lock_check.h"
#include "base/status.h"
#include "blob/blob_store.h"

extern struct lock_role blob_mutex; // of a blob store; a leaf
extern struct lock_role blob_roll;  // being who makes the next file of a stream; before blob_mutex

struct blob_file {
    struct blob_store *store; // constant
    uint64_t number;          // constant
    _Atomic uint64_t refs;    // 0 only under the store's mutex
    _Atomic int64_t live;     // bytes referenced by tables of the current version; relaxed
    _Atomic int64_t level0;   // of these, by tables of level 0; relaxed
    _Atomic int64_t mem;      // by memtables not flushed yet; relaxed
    _Atomic bool draining;    // relaxed
    _Atomic bool damaged;     // relaxed

    struct blob_file *next GUARDED_BY(blob_mutex); // of its bucket
    struct blob_file *next_unused GUARDED_BY(blob_mutex);
    struct blob_file *next_dirty GUARDED_BY(blob_mutex);
    // Bytes, ranges reserved but not written included.
    uint64_t size GUARDED_BY(blob_mutex);
    uint64_t written GUARDED_BY(blob_mutex); // finished writes
    uint64_t synced GUARDED_BY(blob_mutex);  // finished writes that are known to be durable
    unsigned writing GUARDED_BY(blob_mutex); // writes under way
    // NULL: not open. Stays while there are users; a dirty file is one of its own.
    struct env_file *handle GUARDED_BY(blob_mutex);
    unsigned users GUARDED_BY(blob_mutex); // of the handle
    bool used GUARDED_BY(blob_mutex);      // has been read since the clock (evict_handle()) passed
    bool current GUARDED_BY(blob_mutex);   // of a stream
    bool syncing GUARDED_BY(blob_mutex);   // a thread syncs the file
    bool trimming GUARDED_BY(blob_mutex);  // a thread cuts the file; no append begins then
    // Nothing is kept on disk behind its end, as far as can be done.
    bool trimmed GUARDED_BY(blob_mutex);
    bool listed GUARDED_BY(blob_mutex);        // on the list of unused files
    uint64_t unused_us GUARDED_BY(blob_mutex); // since when
};

struct blob_tail {                                    // of a stream
    pthread_mutex_t mutex;                            // blob_roll
    struct blob_file *current GUARDED_BY(blob_mutex); // one reference
};

struct blob_store {
    // Constant.
    struct env *env;
    void (*name)(uint64_t number, char name[BLOB_NAME_MAX]);
    enum lsm_compression compression;
    bool read_only;
    uint64_t file_size;
    unsigned handles_max;
    uint64_t (*new_number)(void *arg);
    void *arg;
    struct logger logger;

    _Atomic uint64_t bytes;      // of all files; changed under mutex, read without
    _Atomic bool unsynced;       // some file may have unsynced writes: set before the writer
                                 // returns, cleared under mutex
    _Atomic unsigned probe_rest; // values to take unprobed
    _Atomic unsigned probe_step;

    pthread_mutex_t mutex; // blob_mutex: guards what follows
    struct blob_file **buckets GUARDED_BY(blob_mutex);
    size_t bucket_count GUARDED_BY(blob_mutex);
    size_t file_count GUARDED_BY(blob_mutex);
    struct blob_file *unused GUARDED_BY(blob_mutex); // lost their last reference
    // May have unsynced writes, or space behind their ends; one reference and one use of the
    // handle.
    struct blob_file *dirty GUARDED_BY(blob_mutex);
    bool held GUARDED_BY(blob_mutex);
    unsigned handles GUARDED_BY(blob_mutex);
    size_t hand GUARDED_BY(blob_mutex); // of the clock over the buckets
    uint64_t written[BLOB_STREAMS] GUARDED_BY(blob_mutex);
    int sync_status GUARDED_BY(blob_mutex); // the first failed sync; final
    struct status_kept sync_kept;           // its detail
    pthread_cond_t sync_done; // or trimming, or the last write to a file that was ended

    struct blob_tail streams[BLOB_STREAMS];
};

LOCK_FUNCTIONS(store, struct blob_store, mutex, blob_mutex)
LOCK_FUNCTIONS(roll, struct blob_tail, mutex, blob_roll)

static inline void blob_store_wait(struct blob_store *store) REQUIRES(blob_mutex) // for sync_done
{
    pthread_cond_wait(&store->sync_done, &store->mutex);
}

// No more appends to the stream's current file; mutex held.
void blob_stream_end(struct blob_store *store, enum blob_stream stream) REQUIRES(blob_mutex);
// Drops a reference; mutex held.
void blob_file_unref_locked(struct blob_file *file) REQUIRES(blob_mutex);
// Cuts off what is on disk behind the end of the file, to which nobody writes. Mutex held, released
// meanwhile. Returns whether there was anything.
bool blob_file_cut(struct blob_file *file) REQUIRES(blob_mutex);

#endif
