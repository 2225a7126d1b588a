// Background reclaiming: gives back the space of files without names and without users.
//
// A file that lost its last name while it was open, or with much content, has its record at 'O' ino
// (see ns_remove.c). When its last reference goes its number is queued here; what a crash or an
// unmount left is found by a scan at the start. One thread works off the queue: extents and
// extended attributes in batches of bounded size, the 'O' key with the last. A crash in between
// leaves a shorter orphan.
//
// Tails of truncated files (tail.h) are queued and deleted in the same way, each batch under the
// lock of the inode. Orphans are queued when nobody can reach them any more, so need no lock. Lock:
// the queue's mutex, a leaf, not held during engine calls. Failure: the orphan stays for the next
// start; after a full disk, and what else may pass, it is tried again after a pause.
#include "ns/reclaim.h"

#include <errno.h>
#include <stdlib.h>

#include "base/cond.h"
#include "ns/ns_internal.h"
#include "ns/tail.h"
#include "ns/unwritten.h"

#define RECLAIM_BATCH_KEYS 1024u

struct job {
    uint64_t ino;
    bool is_tail; // of a file; else an orphan
};

struct reclaim {
    struct ns *ns;
    pthread_t thread;
    // The thread's; made before it starts, so that it never lacks memory for the batch.
    struct lsm_batch *batch;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    struct job *queue; // mutex, as all below
    size_t count, capacity;
    bool working, stopping;
    int error; // of the last attempt, negative errno
};

int reclaim_keys(struct ns *ns, struct lsm_batch *batch, const struct pathkey *lower,
                 const struct pathkey *upper, unsigned most, unsigned *ret_count)
{
    struct lsm_iter_options options = {.lower = lower->data,
                                       .lower_size = lower->size,
                                       .upper = upper->data,
                                       .upper_size = upper->size,
                                       .no_fill_cache = true};
    struct lsm_iter *iter;
    int status = lsm_iter_new(ns->db, &options, &iter);
    unsigned count = 0;
    *ret_count = 0;
    if (status)
        return status;
    for (lsm_iter_seek_first(iter); !status && count < most && lsm_iter_valid(iter);
         lsm_iter_next(iter)) {
        size_t size;
        const void *key = lsm_iter_key(iter, &size);
        status = lsm_batch_delete(batch, key, size);
        count++;
    }
    if (!status && !lsm_iter_valid(iter))
        status = lsm_iter_status(iter);
    lsm_iter_free(iter);
    *ret_count = count;
    return status;
}

// Adds one batch of the orphan's keys: extents, unwritten ranges (of *ret_promised bytes),
// attributes, and with the last of them its own; *ret_done then.
static int orphan_keys(struct ns *ns, uint64_t ino, struct lsm_batch *batch, uint64_t *ret_promised,
                       bool *ret_done)
{
    struct pathkey lower, upper;
    unsigned left = RECLAIM_BATCH_KEYS, count;
    pathkey_ino_bounds(KEY_EXTENT, ino, &lower, &upper);
    int rc = ns_err(reclaim_keys(ns, batch, &lower, &upper, left, &count));
    if (!rc && (left -= count) > 0) {
        rc = unwritten_take(ns, batch, ino, left, &count, ret_promised);
        left -= count;
    }
    if (!rc && left > 0) {
        pathkey_ino_bounds(KEY_XATTR, ino, &lower, &upper);
        rc = ns_err(reclaim_keys(ns, batch, &lower, &upper, left, &count));
        left -= count;
    }
    *ret_done = left > 0;
    if (rc || !*ret_done)
        return rc;
    pathkey_number(&lower, KEY_ORPHAN, ino);
    return ns_err(lsm_batch_delete(batch, lower.data, lower.size));
}

static int orphan_step(struct ns *ns, uint64_t ino, struct lsm_batch *batch, bool *ret_done)
{
    uint64_t promised = 0;
    lsm_batch_clear(batch);
    int rc = orphan_keys(ns, ino, batch, &promised, ret_done);
    struct lsm_write_options options = {.use_reserve = true};
    if (!rc)
        rc = ns_err(lsm_write(ns->db, &options, batch));
    if (!rc)
        promise_changed(ns, -(int64_t)promised);
    return rc;
}

static int locked_tail_step(struct ns *ns, uint64_t ino, struct lsm_batch *batch, bool *ret_done)
{
    struct inode_lock lock;
    tail_fetch(ns, ino, batch); // reads ahead what tail_step() reads under the lock
    inode_lock(&ns->table.locks, &lock, ino, true);
    int rc = tail_step(ns, ino, batch, ret_done);
    inode_unlock(&ns->table.locks, &lock);
    return rc;
}

static int reclaim_one(struct reclaim *reclaim, struct job job, struct lsm_batch *batch)
{
    bool done = false;
    int rc = 0;
    while (!rc && !done) {
        pthread_mutex_lock(&reclaim->mutex);
        bool stopping = reclaim->stopping;
        pthread_mutex_unlock(&reclaim->mutex);
        if (stopping)
            return 0;
        rc = job.is_tail ? locked_tail_step(reclaim->ns, job.ino, batch, &done)
                         : orphan_step(reclaim->ns, job.ino, batch, &done);
    }
    return rc;
}

static bool is_passing(int rc)
{
    return rc == -ENOSPC || rc == -ENOMEM || rc == -ENFILE || rc == -EAGAIN;
}

// Sleeps a second or until stopped; mutex held.
static void pause_second(struct reclaim *reclaim)
{
    if (!reclaim->stopping)
        cond_wait_us(&reclaim->changed, &reclaim->mutex, 1000000);
}

static void *reclaim_thread(void *arg)
{
    struct reclaim *reclaim = arg;
    struct lsm_batch *batch = reclaim->batch;
    pthread_mutex_lock(&reclaim->mutex);
    while (!reclaim->stopping) {
        if (reclaim->count == 0) {
            pthread_cond_wait(&reclaim->changed, &reclaim->mutex);
            continue;
        }
        struct job job = reclaim->queue[--reclaim->count];
        reclaim->working = true;
        pthread_mutex_unlock(&reclaim->mutex);
        int rc = reclaim_one(reclaim, job, batch);
        pthread_mutex_lock(&reclaim->mutex);
        reclaim->working = false;
        reclaim->error = rc;
        pthread_cond_broadcast(&reclaim->changed);
        if (is_passing(rc)) {
            // There is room: queue_job() keeps one place free.
            reclaim->queue[reclaim->count++] = job;
            pause_second(reclaim);
        }
    }
    pthread_mutex_unlock(&reclaim->mutex);
    return NULL;
}

static void queue_job(struct reclaim *reclaim, struct job job)
{
    pthread_mutex_lock(&reclaim->mutex);
    // One place is kept free for the job that the thread works on, which may have to be queued
    // again.
    if (reclaim->count + 1 >= reclaim->capacity) {
        size_t capacity = reclaim->capacity ? 2 * reclaim->capacity : 64;
        struct job *queue = realloc(reclaim->queue, capacity * sizeof *queue);
        if (queue) {
            reclaim->queue = queue;
            reclaim->capacity = capacity;
        }
    }
    if (reclaim->count + 1 < reclaim->capacity)
        reclaim->queue[reclaim->count++] = job;
    pthread_cond_broadcast(&reclaim->changed);
    pthread_mutex_unlock(&reclaim->mutex);
}

static int queue_leftovers(struct reclaim *reclaim, enum pathkey_type type)
{
    struct pathkey lower, upper;
    struct lsm_iter *iter;
    pathkey_type_bounds(type, &lower, &upper);
    struct lsm_iter_options options = {.lower = lower.data,
                                       .lower_size = lower.size,
                                       .upper = upper.data,
                                       .upper_size = upper.size};
    int status = lsm_iter_new(reclaim->ns->db, &options, &iter);
    if (status)
        return ns_err(status);
    for (lsm_iter_seek_first(iter); lsm_iter_valid(iter); lsm_iter_next(iter)) {
        size_t size;
        struct job job = {.is_tail = type == KEY_TAIL};
        const void *key = lsm_iter_key(iter, &size);
        if (pathkey_parse_number(slice_of(key, size), type, &job.ino))
            queue_job(reclaim, job);
    }
    status = lsm_iter_status(iter);
    lsm_iter_free(iter);
    return ns_err(status);
}

int reclaim_start(struct ns *ns, struct reclaim **ret_reclaim)
{
    struct reclaim *reclaim = calloc(1, sizeof *reclaim);
    if (!reclaim)
        return -ENOMEM;
    reclaim->ns = ns;
    pthread_mutex_init(&reclaim->mutex, NULL);
    cond_init(&reclaim->changed);
    int rc = ns_err(lsm_batch_new(&reclaim->batch));
    if (!rc)
        rc = queue_leftovers(reclaim, KEY_ORPHAN);
    if (!rc)
        rc = queue_leftovers(reclaim, KEY_TAIL);
    if (!rc)
        rc = -pthread_create(&reclaim->thread, NULL, reclaim_thread, reclaim);
    if (rc) {
        lsm_batch_free(reclaim->batch);
        free(reclaim->queue);
        free(reclaim);
        return rc;
    }
    pthread_setname_np(reclaim->thread, "lsmfs-reclaim");
    *ret_reclaim = reclaim;
    return 0;
}

void reclaim_stop(struct reclaim *reclaim)
{
    if (!reclaim)
        return;
    pthread_mutex_lock(&reclaim->mutex);
    reclaim->stopping = true;
    pthread_cond_broadcast(&reclaim->changed);
    pthread_mutex_unlock(&reclaim->mutex);
    pthread_join(reclaim->thread, NULL);
    pthread_cond_destroy(&reclaim->changed);
    pthread_mutex_destroy(&reclaim->mutex);
    lsm_batch_free(reclaim->batch);
    free(reclaim->queue);
    free(reclaim);
}

void reclaim_queue(struct reclaim *reclaim, uint64_t ino)
{
    queue_job(reclaim, (struct job){.ino = ino});
}

void reclaim_queue_tail(struct reclaim *reclaim, uint64_t ino)
{
    queue_job(reclaim, (struct job){.ino = ino, .is_tail = true});
}

int reclaim_wait(struct reclaim *reclaim)
{
    pthread_mutex_lock(&reclaim->mutex);
    while ((reclaim->count || reclaim->working) && !is_passing(reclaim->error))
        pthread_cond_wait(&reclaim->changed, &reclaim->mutex);
    int rc = reclaim->error;
    pthread_mutex_unlock(&reclaim->mutex);
    return rc;
}
