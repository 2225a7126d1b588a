// Unwritten ranges: what fallocate has promised to a file and no write has taken yet. They read as
// zeros, like any hole, and may lie beyond the end of the file.
//
// Key 'U' ino start, value: length, 8 bytes big-endian. The ranges of a file do not overlap each
// other or its extents (but for a tail). The record's unwritten_bytes is their sum; while it is 0
// none of this is looked at. A file with unwritten ranges is not inline. The space for them:
// promise.h.
#ifndef NS_UNWRITTEN_H
#define NS_UNWRITTEN_H

#include "ns/operation/ns_internal.h"

// The ranges that overlap [from, to), ascending, at most `most`. Lock held. 0 or a negative errno.
int unwritten_list(struct ns *ns, uint64_t ino, uint64_t from, uint64_t to, size_t most,
                   struct extent_list *list);

// Adds to the batch what takes [from, to) out of the listed ranges, which overlap it.
int unwritten_trim(struct op *op, struct record *rec, const struct extent_list *list, uint64_t from,
                   uint64_t to);
// Adds a range to the batch; it overlaps nothing.
int unwritten_put(struct op *op, struct record *rec, uint64_t start, uint64_t size);

// Adds to the batch the deletion of up to `most` of the file's ranges: how many, and their sum.
int unwritten_take(struct ns *ns, struct lsm_batch *batch, uint64_t ino, unsigned most,
                   unsigned *ret_count, uint64_t *ret_bytes);

// The sum of all ranges in the store. An lsm_status.
int unwritten_sum(struct ns *ns, uint64_t *ret_bytes);

#endif
