// Extents: where the content of a file is that is not inline in its record (content.h).
//
// An extent is a key 'D' ino start with the bytes from `start` on. Extents of a file do not
// overlap, do not reach beyond its size (but for a tail: tail.h), and do not cross a multiple of
// NS_EXTENT_MAX. What no extent covers is a hole and reads as zeros. A record's data_bytes is the
// sum of its extents.
#ifndef NS_EXTENTS_H
#define NS_EXTENTS_H

#include "ns/operation/ns_internal.h"

int extent_list_add(struct extent_list *list, struct extent extent); // 0 or -ENOMEM

// The extents that overlap [from, to), ascending, at most `most` of them. Lock held (or
// nobody can reach the inode).
int extents_list(struct ns *ns, uint64_t ino, uint64_t from, uint64_t to, size_t most,
                 struct extent_list *list);
// The extents as of a snapshot, for which no lock is needed.
int extents_list_at(struct ns *ns, const struct lsm_snapshot *snapshot, uint64_t ino, uint64_t from,
                    uint64_t to, size_t most, struct extent_list *list);

// A walk over extents, one by one: `at` is the current extent (size 0 at the end), whose value is
// the iterator's. On failure there is nothing to end.
struct extent_walk {
    struct lsm_iter *iter;
    struct extent at;
};
int extent_walk_start(struct ns *ns, const struct lsm_snapshot *snapshot, uint64_t ino,
                      uint64_t from, uint64_t to, struct extent_walk *ret_walk);
int extent_walk_next(struct extent_walk *walk);
void extent_walk_end(struct extent_walk *walk);
static inline bool extent_walk_valid(const struct extent_walk *walk)
{
    return walk->at.size != 0;
}

// Reads [from, to) as of the snapshot, holes as zeros. NULL: as it is; lock held.
int extents_read(struct ns *ns, const struct lsm_snapshot *snapshot, uint64_t ino, uint8_t *data,
                 uint64_t from, uint64_t to);

// Reads one extent that is known to be there: one get. Lock held.
int extents_get(struct ns *ns, uint64_t ino, struct extent extent, uint8_t *data);

// Whether the file has just that extent.
int extents_has(struct ns *ns, uint64_t ino, struct extent extent, bool *ret_has);

// Adds to the batch what makes [from, to) a hole: deletes extents inside, trims those across an
// edge. op->extents holds the extents that overlap. data_bytes follows.
int extents_trim(struct op *op, struct record *rec, uint64_t from, uint64_t to);

// Adds extents for `data` at `offset` to the batch, cut on the grid; the bytes must stay where they
// are until the commit. data_bytes follows.
int extents_put(struct op *op, struct record *rec, uint64_t offset, struct slice data);

// extents_put() in two steps: the bytes go to blob files, for which no lock is needed; then their
// extents, `size` bytes in all, into the batch.
int extents_stage(struct ns *ns, struct op *op, uint64_t ino, uint64_t offset, struct slice data);
int extents_put_staged(struct op *op, struct record *rec, size_t size);

#endif
