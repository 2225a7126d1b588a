// Background reclaiming: gives back the space of files without names and without users.
//
// A file that lost its last name while it was open, or with much content, has its record at 'O' ino
// (see ns_remove.c). When its last reference goes its number is queued here; what a crash or an
// unmount left is found by a scan at the start. One thread works off the queue: extents and
// extended attributes in batches of bounded size, the 'O' key with the last; many small orphans go
// with one batch. A crash in between leaves a shorter orphan.
//
// Tails of truncated files (tail.h) are queued and deleted in the same way, each batch under the
// lock of the inode. Orphans are queued when nobody can reach them any more, so need no lock. Lock:
// the queue's mutex, a leaf, not held during engine calls. Failure: the orphan stays for the next
// start; after a full disk, and what else may pass, it is tried again after a pause.
#include "ns/upkeep/reclaim.h"

#include <errno.h>
#include <stdlib.h>

#include "base/cond.h"
#include "ns/content/tail.h"
#include "ns/content/unwritten.h"
#include "ns/operation/ns_internal.h"

#define RECLAIM_BATCH_KEYS 1024u
#define JOBS_AT_ONCE       64u
#define GATHER_US          3000u

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
    bool idle;        // the thread waits for a first job
    unsigned waiters; // of reclaim_wait(); nothing is put off then
    int error;        // of the last attempt, negative errno
    // What the thread works on: a tail, or orphans. The thread's.
    struct job taken[JOBS_AT_ONCE];
    size_t taken_count;
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

struct orphan_parts {
    bool unwritten, lost, xattrs;
};

// What of an orphan there may be to delete, by its record; all of it if there is none.
static int orphan_parts(struct ns *ns, uint64_t ino, struct orphan_parts *ret_parts)
{
    struct loaded orphan = {0};
    struct pathkey key;
    pathkey_number(&key, KEY_ORPHAN, ino);
    int rc = op_load_key(ns, &key, &orphan);
    ret_parts->unwritten = rc || orphan.rec.unwritten_bytes;
    ret_parts->lost = rc || orphan.rec.lost_bytes;
    ret_parts->xattrs = rc || orphan.rec.has_xattrs;
    lsm_buf_release(&orphan.raw);
    return rc == -ENOENT ? 0 : rc;
}

// Adds up to *left of the orphan's keys to the batch: extents, unwritten ranges (of *ret_promised
// bytes), lost ones, attributes, and with the last of them its own; *ret_done then.
static int orphan_keys(struct ns *ns, uint64_t ino, struct lsm_batch *batch, unsigned *left,
                       uint64_t *ret_promised, bool *ret_done)
{
    struct pathkey lower, upper;
    unsigned count;
    struct orphan_parts parts;
    *ret_promised = 0;
    *ret_done = false;
    pathkey_ino_bounds(KEY_EXTENT, ino, &lower, &upper);
    int rc = orphan_parts(ns, ino, &parts);
    if (!rc) {
        rc = ns_err(reclaim_keys(ns, batch, &lower, &upper, *left, &count));
        *left -= count;
    }
    if (!rc && *left > 0 && parts.unwritten) {
        rc = unwritten_take(ns, batch, ino, *left, &count, ret_promised);
        *left -= count;
    }
    if (!rc && *left > 0 && parts.lost) {
        pathkey_ino_bounds(KEY_LOST, ino, &lower, &upper);
        rc = ns_err(reclaim_keys(ns, batch, &lower, &upper, *left, &count));
        *left -= count;
    }
    if (!rc && *left > 0 && parts.xattrs) {
        pathkey_ino_bounds(KEY_XATTR, ino, &lower, &upper);
        rc = ns_err(reclaim_keys(ns, batch, &lower, &upper, *left, &count));
        *left -= count;
    }
    if (rc || *left == 0)
        return rc;
    pathkey_number(&lower, KEY_ORPHAN, ino);
    rc = ns_err(lsm_batch_delete(batch, lower.data, lower.size));
    *ret_done = !rc;
    --*left;
    return rc;
}

// One batch of the orphans at the end of `jobs`; *count is how many are left.
static int orphans_step(struct ns *ns, const struct job *jobs, size_t *count,
                        struct lsm_batch *batch)
{
    struct lsm_write_options options = {.use_reserve = true};
    unsigned left = RECLAIM_BATCH_KEYS;
    uint64_t all_promised = 0;
    size_t at = *count;
    bool done = true;
    int rc = 0;
    lsm_batch_clear(batch);
    while (!rc && done && at > 0 && left > 0) {
        uint64_t promised;
        rc = orphan_keys(ns, jobs[at - 1].ino, batch, &left, &promised, &done);
        all_promised += promised;
        at -= done;
    }
    if (!rc)
        rc = ns_err(lsm_write(ns->db, &options, batch));
    if (rc)
        return rc;
    promise_changed(ns, -(int64_t)all_promised);
    *count = at;
    return 0;
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

// Works off what was taken; what is left is in `taken` afterwards.
static int reclaim_taken(struct reclaim *reclaim)
{
    int rc = 0;
    while (!rc && reclaim->taken_count) {
        pthread_mutex_lock(&reclaim->mutex);
        bool stopping = reclaim->stopping, done = false;
        pthread_mutex_unlock(&reclaim->mutex);
        if (stopping)
            return 0;
        if (reclaim->taken[0].is_tail) {
            rc = locked_tail_step(reclaim->ns, reclaim->taken[0].ino, reclaim->batch, &done);
            reclaim->taken_count -= done;
        } else {
            rc = orphans_step(reclaim->ns, reclaim->taken, &reclaim->taken_count, reclaim->batch);
        }
    }
    return rc;
}

// Takes a tail, or several orphans. Mutex held.
static void take_jobs(struct reclaim *reclaim)
{
    bool goes_on = true;
    while (goes_on && reclaim->count && reclaim->taken_count < JOBS_AT_ONCE) {
        struct job job = reclaim->queue[reclaim->count - 1];
        if (job.is_tail && reclaim->taken_count)
            break;
        reclaim->taken[reclaim->taken_count++] = job;
        reclaim->count--;
        goes_on = !job.is_tail;
    }
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

// Until there is something to do. A little later there is mostly more. Mutex held.
static void wait_for_jobs(struct reclaim *reclaim)
{
    if (reclaim->count == 0) {
        reclaim->idle = true;
        while (reclaim->count == 0 && !reclaim->stopping)
            pthread_cond_wait(&reclaim->changed, &reclaim->mutex);
        reclaim->idle = false;
    }
    if (reclaim->count < JOBS_AT_ONCE && !reclaim->waiters && !reclaim->stopping)
        cond_wait_us(&reclaim->changed, &reclaim->mutex, GATHER_US);
}

static void *reclaim_thread(void *arg)
{
    struct reclaim *reclaim = arg;
    pthread_mutex_lock(&reclaim->mutex);
    for (;;) {
        wait_for_jobs(reclaim);
        if (reclaim->stopping)
            break;
        take_jobs(reclaim);
        reclaim->working = true;
        pthread_mutex_unlock(&reclaim->mutex);
        int rc = reclaim_taken(reclaim);
        pthread_mutex_lock(&reclaim->mutex);
        // There is room: queue_job() keeps it free.
        while (is_passing(rc) && reclaim->taken_count)
            reclaim->queue[reclaim->count++] = reclaim->taken[--reclaim->taken_count];
        reclaim->taken_count = 0; // else they stay for the next start
        reclaim->working = false;
        reclaim->error = rc;
        pthread_cond_broadcast(&reclaim->changed);
        if (is_passing(rc))
            pause_second(reclaim);
    }
    pthread_mutex_unlock(&reclaim->mutex);
    return NULL;
}

static void queue_job(struct reclaim *reclaim, struct job job)
{
    pthread_mutex_lock(&reclaim->mutex);
    // Room is kept free for the jobs that the thread works on, which may have to be queued again.
    if (reclaim->count + JOBS_AT_ONCE >= reclaim->capacity) {
        size_t capacity = 2 * (reclaim->capacity + JOBS_AT_ONCE);
        struct job *queue = realloc(reclaim->queue, capacity * sizeof *queue);
        if (queue) {
            reclaim->queue = queue;
            reclaim->capacity = capacity;
        }
    }
    if (reclaim->count + JOBS_AT_ONCE < reclaim->capacity)
        reclaim->queue[reclaim->count++] = job;
    if (reclaim->idle || reclaim->count == JOBS_AT_ONCE)
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
    reclaim->waiters++;
    pthread_cond_broadcast(&reclaim->changed);
    while ((reclaim->count || reclaim->working) && !is_passing(reclaim->error))
        pthread_cond_wait(&reclaim->changed, &reclaim->mutex);
    reclaim->waiters--;
    int rc = reclaim->error;
    pthread_mutex_unlock(&reclaim->mutex);
    return rc;
}
