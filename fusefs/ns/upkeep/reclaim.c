// Background reclaiming: gives back the space of files without names and without users.
//
// A file that lost its last name while it was open, or with much content, has its record at 'O' ino
// (see ns_remove.c). When its last reference goes its number is queued (reclaim_queue.h); what a
// crash or an unmount left is found by a scan at the start. One thread works off the queue: extents
// and extended attributes in batches of bounded size, the 'O' key with the last; many small orphans
// go with one batch. A crash in between leaves a shorter orphan.
//
// Tails of truncated files (tail.h) are queued and deleted in the same way, each batch under the
// lock of the inode. Orphans are queued when nobody can reach them any more, so need no lock.
// Failure: the orphan stays for the next start; after a full disk, and what else may pass, it is
// tried again after a pause.
#include "ns/upkeep/reclaim.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "ns/content/tail.h"
#include "ns/content/unwritten.h"
#include "ns/operation/ns_internal.h"

#define RECLAIM_BATCH_KEYS 1024u

struct reclaim {
    struct ns *ns;
    struct reclaim_queue *queue;
    pthread_t thread;
    // Used by the thread alone; made before it starts, so that it never lacks memory for the batch.
    struct lsm_batch *batch;
    // What the thread works on, a tail or orphans. Used by the thread alone.
    struct reclaim_job jobs[RECLAIM_AT_ONCE];
    size_t count;
};

struct orphan_parts {
    bool unwritten, lost, xattrs;
};

// Which kinds of keys an orphan may have, by its record. -ENOENT: it is no orphan any more.
static int orphan_parts(struct ns *ns, uint64_t ino, struct orphan_parts *ret_parts)
{
    struct loaded orphan = {0};
    struct pathkey key;
    pathkey_number(&key, KEY_ORPHAN, ino);
    int rc = op_load_key(ns, &key, &orphan);
    if (!rc)
        *ret_parts = (struct orphan_parts){.unwritten = orphan.rec.unwritten_bytes,
                                           .lost = orphan.rec.lost_bytes,
                                           .xattrs = orphan.rec.has_xattrs};
    lsm_buf_release(&orphan.raw);
    return rc;
}

// Adds the deletion of up to *left of the orphan's keys to the batch: extents, unwritten ranges
// (*ret_promised is their sum), lost ranges, attributes. When nothing else is left the orphan's own
// key is deleted too, and *ret_done is set.
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
    if (rc == -ENOENT) { // changes that were taken in (intake.h) use the number for another file
        *ret_done = true;
        return 0;
    }
    if (!rc) {
        rc = ns_err(ns_delete_keys(ns, batch, &lower, &upper, *left, &count));
        assert(count <= *left);
        *left -= count;
    }
    if (!rc && *left > 0 && parts.unwritten) {
        rc = unwritten_take(ns, batch, ino, *left, &count, ret_promised);
        *left -= count;
    }
    if (!rc && *left > 0 && parts.lost) {
        pathkey_ino_bounds(KEY_LOST, ino, &lower, &upper);
        rc = ns_err(ns_delete_keys(ns, batch, &lower, &upper, *left, &count));
        *left -= count;
    }
    if (!rc && *left > 0 && parts.xattrs) {
        pathkey_ino_bounds(KEY_XATTR, ino, &lower, &upper);
        rc = ns_err(ns_delete_keys(ns, batch, &lower, &upper, *left, &count));
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

// Reclaims orphans from the end of `jobs` with one batch; *count becomes how many are left.
static int orphans_step(struct ns *ns, const struct reclaim_job *jobs, size_t *count,
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
    assert(at < *count || !done);
    promise_changed(ns, -(int64_t)all_promised);
    *count = at;
    return 0;
}

static int locked_tail_step(struct ns *ns, uint64_t ino, struct lsm_batch *batch, bool *ret_done)
{
    struct inode_lock lock;
    tail_fetch(ns, ino, batch); // reads ahead what tail_step() reads under the lock
    inode_hold(&ns->table.locks, &lock, ino);
    int rc = tail_step(ns, ino, batch, ret_done);
    inode_release(&ns->table.locks, &lock);
    return rc;
}

// Does the jobs that were taken; those that are not done are in `jobs` afterwards.
static int reclaim_jobs(struct reclaim *reclaim)
{
    int rc = 0;
    while (!rc && reclaim->count && !reclaim_queue_is_stopping(reclaim->queue)) {
        bool done = false;
        if (reclaim->jobs[0].is_tail) {
            op_pass(reclaim->ns);
            rc = locked_tail_step(reclaim->ns, reclaim->jobs[0].ino, reclaim->batch, &done);
            op_passed(reclaim->ns);
            reclaim->count -= done;
        } else {
            op_pass(reclaim->ns);
            rc = orphans_step(reclaim->ns, reclaim->jobs, &reclaim->count, reclaim->batch);
            op_passed(reclaim->ns);
        }
    }
    return rc;
}

static void *reclaim_thread(void *arg)
{
    struct reclaim *reclaim = arg;
    while (reclaim_queue_take(reclaim->queue, reclaim->jobs, &reclaim->count)) {
        int rc = reclaim_jobs(reclaim);
        reclaim_queue_done(reclaim->queue, reclaim->jobs, reclaim->count, rc);
    }
    return NULL;
}

static int queue_leftovers(struct ns *ns, enum pathkey_type type)
{
    struct pathkey lower, upper;
    struct lsm_iter *iter;
    pathkey_type_bounds(type, &lower, &upper);
    struct lsm_iter_options options = ns_between(NULL, &lower, &upper);
    int rc = lsm_iter_new(ns->db, &options, &iter);
    if (rc)
        return ns_err(rc);
    for (lsm_iter_seek_first(iter); lsm_iter_valid(iter); lsm_iter_next(iter)) {
        size_t size;
        struct reclaim_job job = {.is_tail = type == KEY_TAIL};
        const void *key = lsm_iter_key(iter, &size);
        if (pathkey_parse_number(slice_of(key, size), type, &job.ino))
            reclaim_queue_add(ns->to_reclaim, job);
    }
    rc = lsm_iter_status(iter);
    lsm_iter_free(iter);
    return ns_err(rc);
}

int reclaim_leftovers(struct ns *ns)
{
    int rc = queue_leftovers(ns, KEY_ORPHAN);
    return rc ? rc : queue_leftovers(ns, KEY_TAIL);
}

int reclaim_start(struct ns *ns, struct reclaim **ret_reclaim)
{
    struct reclaim *reclaim = calloc(1, sizeof *reclaim);
    if (!reclaim)
        return -ENOMEM;
    reclaim->ns = ns;
    reclaim->queue = ns->to_reclaim;
    int rc = ns_err(lsm_batch_new(&reclaim->batch));
    if (!rc)
        rc = reclaim_leftovers(ns);
    if (!rc)
        rc = -pthread_create(&reclaim->thread, NULL, reclaim_thread, reclaim);
    if (rc) {
        lsm_batch_free(reclaim->batch);
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
    reclaim_queue_stop(reclaim->queue);
    pthread_join(reclaim->thread, NULL);
    lsm_batch_free(reclaim->batch);
    free(reclaim);
}
