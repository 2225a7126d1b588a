// Ranges of files as keys: a type ('U' or 'L'), ino and start; the value is the length, 8 bytes
// big-endian. Those of one type in one file do not overlap. What they mean: unwritten.h, lost.h.
//
// The inode's lock is the caller's, unless it reads as of a snapshot. All return 0 or a negative
// errno, -EIO if what is stored makes no sense; on failure the batch may hold part of the change.
#ifndef NS_RANGES_H
#define NS_RANGES_H

#include "ns/operation/ns_internal.h"

// The ranges that overlap [from, to), ascending, at most `most`. `snapshot` NULL: as it is.
int ranges_list(struct ns *ns, const struct lsm_snapshot *snapshot, enum pathkey_type type,
                uint64_t ino, uint64_t from, uint64_t to, size_t most, struct extent_list *list);

// Adds a range to the batch; it overlaps nothing.
int ranges_put(struct op *op, enum pathkey_type type, uint64_t ino, uint64_t start, uint64_t size);

// Adds to the batch what takes [from, to) out of the listed ranges, which overlap it. *ret_taken:
// so many bytes.
int ranges_trim(struct op *op, enum pathkey_type type, uint64_t ino, const struct extent_list *list,
                uint64_t from, uint64_t to, uint64_t *ret_taken);

// Adds to the batch the deletion of up to `most` of the file's ranges: how many, and their sum.
int ranges_take(struct ns *ns, struct lsm_batch *batch, enum pathkey_type type, uint64_t ino,
                unsigned most, unsigned *ret_count, uint64_t *ret_bytes);

// The sum of all ranges of the type in the store. An lsm_status.
int ranges_sum(struct ns *ns, enum pathkey_type type, uint64_t *ret_bytes);

#endif
