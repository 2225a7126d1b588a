// Tails: what a truncation cut off a file of very many extents, until it is deleted.
//
// The key 'T' ino holds the offset from which on the file's extents are no content any more; the
// file is not longer than that. Reads, which end at the size, do not meet them. Background batches
// (reclaim.h) delete them; what makes the file longer has to settle the tail first, which deletes
// what is left at once.
#ifndef NS_TAIL_H
#define NS_TAIL_H

#include "ns/operation/ns_internal.h"

// Adds to the batch what leaves the extents behind `size` as a tail; `rec` is the loaded record,
// whose size and data_bytes follow. Exclusive lock held; the caller commits.
int tail_leave(struct ns *ns, struct op *op, struct ns_inode *inode, struct record *rec,
               uint64_t size) REQUIRES(inode_held);

// Makes sure that the file has no tail: to be called before the file grows and before extents
// beyond its size are looked at. Exclusive lock held. Commits a batch of its own if there is a
// tail. Costs one get the first time, then none while the inode is live.
int tail_settle(struct ns *ns, struct ns_inode *inode) REQUIRES(inode_held);

// Reads what the next tail_step will, so that it finds it in memory. No lock needed.
void tail_fetch(struct ns *ns, uint64_t ino, struct lsm_batch *batch);

// Deletes up to one batch of the tail, with all of it the key; *ret_done once there is none.
// Exclusive lock of the inode held; its record is not touched. 0 or a negative errno.
int tail_step(struct ns *ns, uint64_t ino, struct lsm_batch *batch, bool *ret_done)
    REQUIRES(inode_held);

// Where the file's tail begins; UINT64_MAX if it has none. 0 or a negative errno.
int tail_begin(struct ns *ns, uint64_t ino, uint64_t *ret_begin);

#endif
