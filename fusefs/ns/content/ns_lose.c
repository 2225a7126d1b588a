// Losses: data that the kernel has accepted from programs and the store could not take (lost.h).
//
// Locks: the inode's, exclusively. Failure: what cannot be stored as lost is noted in memory.
#include <assert.h>
#include <errno.h>

#include "ns/content/content.h"
#include "ns/content/lost.h"
#include "ns/operation/ns_internal.h"

// Stores the part of a loss that is inside the file.
static int lose_inside(struct ns *ns, struct op *op, struct ns_inode *inode, uint64_t from,
                       uint64_t to) REQUIRES(inode_held)
{
    struct record *rec = &op->file.rec;
    uint64_t bytes;
    assert(from <= to && to <= rec->size);
    op->small_change = true; // no more than a record and a few keys
    int rc = content_gaps(ns, op, inode, rec, from, to, GAP_LOST, false, &bytes);
    if (rc || !bytes)
        return rc;
    rc = ns_err(ns_mark_feature(ns, FEATURE_LOST));
    if (!rc)
        rc = content_gaps(ns, op, inode, rec, from, to, GAP_LOST, true, &bytes);
    return rc ? rc : content_commit(ns, op, inode, rec);
}

static int lose_locked(struct ns *ns, struct op *op, struct ns_inode *inode, uint64_t from,
                       uint64_t to) REQUIRES(inode_held)
{
    assert(from <= to && to <= (uint64_t)NS_FILE_MAX);
    if (inode_content_is_gone(inode))
        return 0;
    const struct record *rec = &op->file.rec;
    int rc = op_load(ns, inode, &op->file);
    uint64_t size = rc ? 0 : rec->size, inside = to < size ? to : size;
    if (!rc && !rec->is_inline && from < size) {
        rc = lose_inside(ns, op, inode, from, inside);
        // The share of the reserve that small changes may use is spent, or its flush takes long.
        // Now the reserve for deletes is used: lost bytes that read as zeros would be worse.
        op->frees_space = rc == -ENOSPC;
        if (op->frees_space && !(rc = op_load(ns, inode, &op->file)))
            rc = lose_inside(ns, op, inode, from, inside);
    }
    if (rc)
        return lost_note_add(inode, from, to, true);
    return lost_note_add(inode, from > size ? from : size, to, false);
}

int ns_lose(struct ns *ns, struct ns_inode *inode, uint64_t offset, uint64_t size)
{
    if (!inode_is_regular(inode) || offset > (uint64_t)NS_FILE_MAX ||
        size > (uint64_t)NS_FILE_MAX - offset)
        return -EINVAL;
    struct op *op = op_begin(ns);
    struct inode_lock lock;
    inode_hold(&ns->table.locks, &lock, inode->ino);
    int rc = op ? lose_locked(ns, op, inode, offset, offset + size)
                : lost_note_add(inode, offset, offset + size, true);
    inode_release(&ns->table.locks, &lock);
    op_end(ns, op);
    return rc;
}
