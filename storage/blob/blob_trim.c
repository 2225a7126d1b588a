// Space that the file system keeps behind the ends of blob files.
//
// XFS allocates up to as much again behind the end of a file that grows, and keeps it until the
// file is closed or has not been written for minutes. Readers keep blob files open, so a store of
// fresh files took twice its length. Cutting a file at its own length gives that back.
//
// A file is cut once, when it is no stream's current one, its last write has ended, and it is
// synced: XFS writes out what is not when a file is cut. When space is low all that is given up
// (blob_store_give_back()). Until it is cut a file stays on the list `dirty`, which keeps its
// handle. Then the env is told that it is complete, too.
//
// Failure: what cannot be cut off stays; that is no reason not to use the file.
#include "base/status.h"

#include <assert.h>

#include "blob/blob_internal.h"

#define SLACK   (64u << 10) // behind the end, not worth a call: a block, the file's extents
#define END_MIN (1u << 20)  // for this much a current file is ended

// Bytes on disk behind the end of a file of `size` bytes; 0 if that is not known. No locks held.
static uint64_t behind_end(struct blob_store *store, uint64_t number, uint64_t size)
{
    char name[BLOB_NAME_MAX];
    struct env_stat stat;
    store->name(number, name);
    if (store->env->ops->stat(store->env, name, &stat) || stat.allocated_bytes < size)
        return 0;
    return stat.allocated_bytes - size;
}

bool blob_file_cut(struct blob_file *file)
{
    struct blob_store *store = file->store;
    struct status_kept kept;
    uint64_t size = file->size;
    struct env_file *handle = file->handle;
    bool complete = !file->current;
    assert(handle && !file->writing && !file->trimming);
    file->trimming = true;
    store_unlock(store);
    status_keep(&kept);
    bool found = behind_end(store, file->number, size) > SLACK;
    if (found && handle->ops->truncate(handle, size)) {
        logger_log(&store->logger, LSM_LOG_WARN, "%s", lsm_error_detail());
        found = false;
    }
    if (complete)
        handle->ops->advise(handle, 0, size, ENV_ADVISE_COMPLETE);
    status_restore(&kept);
    store_lock(store);
    file->trimming = false;
    pthread_cond_broadcast(&store->sync_done);
    return found;
}

// The first file of the list that no stream writes to any more and that is not trimmed yet. Only
// files with numbers up to `number` count and, with `ready`, only those that can be trimmed without
// waiting. Mutex held.
static struct blob_file *next_untrimmed(struct blob_store *store, uint64_t number, bool ready)
    REQUIRES(blob_mutex)
{
    struct blob_file *file = store->dirty;
    while (file && (file->current || file->trimmed || file->number > number ||
                    (ready && (file->writing || file->trimming || file->written != file->synced))))
        file = file->next_dirty;
    return file;
}

static bool trim(struct blob_file *file) REQUIRES(blob_mutex)
{
    assert(!file->current && !file->trimmed);
    bool found = blob_file_cut(file);
    file->trimmed = true;
    return found;
}

void blob_store_trim(struct blob_store *store)
{
    struct blob_file *file;
    store_lock(store);
    while ((file = next_untrimmed(store, UINT64_MAX, true)))
        (void)trim(file);
    store_unlock(store);
}

// Ends the current file of each stream that has much space behind its end. Mutex held, released
// meanwhile.
static void end_streams(struct blob_store *store) REQUIRES(blob_mutex)
{
    for (int i = 0; i < BLOB_STREAMS; i++) {
        struct blob_file *file = store->streams[i].current;
        if (!file)
            continue;
        uint64_t size = file->size;
        blob_file_ref(file);
        store_unlock(store);
        bool much = behind_end(store, file->number, size) > END_MIN;
        store_lock(store);
        if (much && store->streams[i].current == file)
            blob_stream_end(store, (enum blob_stream)i);
        blob_file_unref_locked(file);
    }
}

bool blob_store_give_back(struct blob_store *store)
{
    uint64_t last = 0; // files that are ended later are not waited for
    bool found = false;
    struct blob_file *file;
    store_lock(store);
    end_streams(store);
    for (file = store->dirty; file; file = file->next_dirty)
        if (file->number > last)
            last = file->number;
    while ((file = next_untrimmed(store, last, false))) {
        if (file->writing || file->trimming)
            blob_store_wait(store);
        else if (trim(file))
            found = true;
    }
    store_unlock(store);
    return found;
}
