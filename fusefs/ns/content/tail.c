// Leaving, deleting and settling tails (tail.h).
//
// Invariants, under the inode's lock: an extent that begins at or after the tail's offset is
// part of the tail, and no extent reaches across it; size <= that offset; data_bytes does not count
// the tail. inode->no_tail is only set if there is no key; tail_leave clears it.
//
// Crash: the key is in the batch that sets the size, and goes with the last extents; so whatever
// is left of a tail is known to be one. Failure: the key stays, and the tail.
#include "ns/content/tail.h"

#include <assert.h>
#include <errno.h>

#include "ns/content/extents.h"

#define TAIL_BATCH_EXTENTS 1024u

// The sum of the extents that begin at or after `from`, as stored: the batch is not applied yet.
static int live_bytes(struct ns *ns, const struct record *rec, uint64_t from, uint64_t *ret_bytes)
{
    struct extent_walk walk;
    uint64_t bytes = 0;
    int rc = extent_walk_start(ns, NULL, rec->ino, from, rec->size, &walk);
    if (rc)
        return rc;
    while (!rc && extent_walk_valid(&walk)) {
        if (walk.at.start >= from)
            bytes += walk.at.size;
        rc = extent_walk_next(&walk);
    }
    extent_walk_end(&walk);
    *ret_bytes = bytes;
    return rc;
}

int tail_leave(struct ns *ns, struct op *op, struct ns_inode *inode, struct record *rec,
               uint64_t size)
{
    assert(inode_is_held(&ns->table.locks, inode->ino, true));
    assert(size < rec->size);
    uint64_t bytes = rec->data_bytes;
    struct pathkey key;
    int rc = size ? live_bytes(ns, rec, size, &bytes) : 0;
    if (!rc) // the extent across the edge, if there is one
        rc = extents_list(ns, rec->ino, size, size + 1, 1, &op->extents);
    if (!rc && op->extents.count && op->extents.at[0].start < size)
        rc = extents_trim(op, rec, size, UINT64_MAX);
    if (rc)
        return rc;
    uint8_t offset[8];
    put_big64(offset, size);
    pathkey_number(&key, KEY_TAIL, rec->ino);
    rc = op_put(op, &key, slice_of(offset, sizeof offset));
    if (rc)
        return rc;
    rec->data_bytes -= bytes;
    rec->size = size;
    op->frees_space = true;
    inode->no_tail = false;
    // The thread needs the inode's lock, so it starts after the commit.
    reclaim_queue_add(ns->to_reclaim, (struct reclaim_job){.ino = rec->ino, .is_tail = true});
    return 0;
}

int tail_begin(struct ns *ns, uint64_t ino, uint64_t *ret_begin)
{
    struct pathkey key;
    uint8_t offset[8];
    size_t got;
    uint64_t size;
    pathkey_number(&key, KEY_TAIL, ino);
    int rc =
        lsm_get_range(ns->db, &ns->at, key.data, key.size, 0, offset, sizeof offset, &got, &size);
    *ret_begin = UINT64_MAX;
    if (rc)
        return rc == LSM_NOT_FOUND ? 0 : ns_err(rc);
    if (size != sizeof offset)
        return -EIO;
    *ret_begin = get_big64(offset);
    return 0;
}

static int step(struct ns *ns, uint64_t ino, uint64_t begin, struct lsm_batch *batch,
                bool *ret_done)
{
    struct pathkey lower, upper;
    unsigned count;
    pathkey_ino_bounds(KEY_EXTENT, ino, &lower, &upper);
    pathkey_extent(&lower, ino, begin);
    lsm_batch_clear(batch);
    int rc = ns_delete_keys(ns, batch, &lower, &upper, TAIL_BATCH_EXTENTS, &count);
    *ret_done = count < TAIL_BATCH_EXTENTS;
    if (!rc && *ret_done) {
        pathkey_number(&lower, KEY_TAIL, ino);
        rc = lsm_batch_delete(batch, lower.data, lower.size);
    }
    struct lsm_write_options options = {.use_reserve = true};
    return rc ? rc : lsm_write(ns->db, &options, batch);
}

void tail_fetch(struct ns *ns, uint64_t ino, struct lsm_batch *batch)
{
    struct pathkey lower, upper;
    uint64_t begin;
    unsigned count;
    if (tail_begin(ns, ino, &begin) || begin == UINT64_MAX)
        return;
    pathkey_ino_bounds(KEY_EXTENT, ino, &lower, &upper);
    pathkey_extent(&lower, ino, begin);
    lsm_batch_clear(batch);
    (void)ns_delete_keys(ns, batch, &lower, &upper, TAIL_BATCH_EXTENTS, &count);
}

int tail_step(struct ns *ns, uint64_t ino, struct lsm_batch *batch, bool *ret_done)
{
    assert(inode_is_held(&ns->table.locks, ino, true));
    uint64_t begin;
    int rc = tail_begin(ns, ino, &begin);
    *ret_done = begin == UINT64_MAX;
    return rc || *ret_done ? rc : ns_err(step(ns, ino, begin, batch, ret_done));
}

int tail_settle(struct ns *ns, struct ns_inode *inode)
{
    assert(inode_is_held(&ns->table.locks, inode->ino, true));
    if (inode->no_tail)
        return 0;
    uint64_t begin;
    int rc = tail_begin(ns, inode->ino, &begin);
    bool done = begin == UINT64_MAX;
    if (!rc && !done) {
        struct lsm_batch *batch;
        rc = ns_err(lsm_batch_new(&batch));
        if (rc)
            return rc;
        while (!rc && !done)
            rc = ns_err(step(ns, inode->ino, begin, batch, &done));
        lsm_batch_free(batch);
    }
    inode->no_tail = !rc;
    return rc;
}
