// The content of a regular file, whose bytes are in one of two places:
//
//   inline   in the record, while the file is short; no extents, but perhaps a tail (tail.h)
//   extents  under keys of their own (extents.h); fallocate may have promised space for more
//            (unwritten.h), and what could not be stored may be lost (lost.h)
//
// Only here does content go from one place to the other, so only here is it known when it may. What
// is inline may be longer than this mount's inline_max: another mount may have had a larger one.
//
// Functions that change content take the loaded record and change it; the change goes into
// op->batch, and the caller stores the record and commits, unless it says otherwise. The inode's
// exclusive lock is held. On failure the batch holds part of the change, and the caller drops it
// and the record. Functions that only read go by a snapshot, without a lock. All return 0 or a
// negative errno.
#ifndef NS_CONTENT_H
#define NS_CONTENT_H

#include "ns/operation/ns_internal.h"

#define CONTENT_SHORT_WRITE (64u << 10) // writes below this fragment a file

// Reads up to `size` bytes at `offset`, fewer only at the end of the file; returns how many. Holes
// are read as zeros. Whether something of the range is lost (lost.h), the caller has to look.
ssize_t content_read(struct ns *ns, const struct lsm_snapshot *snapshot, const struct record *rec,
                     uint8_t *data, size_t size, uint64_t offset);

// The first offset from `offset` on (which is below the file's size) at which there is data, or a
// hole. Inline content and lost ranges count as data, the end of the file as a hole. -ENXIO: no
// data follows.
int64_t content_seek(struct ns *ns, const struct lsm_snapshot *snapshot, struct op *op,
                     const struct record *rec, uint64_t offset, bool want_data);

// Before a write of `data`, without the lock: writes to blob files now what will go there anyway.
int content_stage(struct ns *ns, struct op *op, uint64_t ino, struct slice data, uint64_t offset);

// Writes `data`, or what was staged of it, and changes the record's size. The bytes must stay where
// they are until the commit.
int content_write(struct ns *ns, struct op *op, struct ns_inode *inode, struct record *rec,
                  struct slice data, uint64_t offset) REQUIRES(inode_held);

// Cuts the file, or makes it longer with zeros. If very many extents have to be deleted they become
// a tail. Promised space behind the end is given up, unless the file becomes longer.
int content_resize(struct ns *ns, struct op *op, struct ns_inode *inode, struct record *rec,
                   uint64_t size) REQUIRES(inode_held);

// Makes [from, to), as far as the file reaches, read as zeros: extents become holes. Promised space
// stays promised. A long range is committed in parts, each with the record.
int content_zero(struct ns *ns, struct op *op, struct ns_inode *inode, struct record *rec,
                 uint64_t from, uint64_t to) REQUIRES(inode_held);

// Promises space for what [from, to), widened to whole PROMISE_UNITs, does not store yet; the
// content does not change. Inline content is moved out, unless it covers all of the range. A long
// range is committed in parts, each with the record. -ENOSPC: there is not so much space.
// *ret_promised, also on failure, is to be passed to promise_end(): after the commit, or when there
// is none.
#define PROMISE_UNIT 4096u
int content_promise(struct ns *ns, struct op *op, struct ns_inode *inode, struct record *rec,
                    uint64_t from, uint64_t to, uint64_t *ret_promised) REQUIRES(inode_held);

// *ret_bytes: how many bytes of [from, to) lie neither in an extent nor in a promised
// (GAP_PROMISED) or lost (GAP_LOST) range. With `fill` they become such ranges; a lot is committed
// in parts, each with the record.
enum content_gap { GAP_PROMISED, GAP_LOST };
int content_gaps(struct ns *ns, struct op *op, struct ns_inode *inode, struct record *rec,
                 uint64_t from, uint64_t to, enum content_gap kind, bool fill, uint64_t *ret_bytes)
    REQUIRES(inode_held);

// Gives up what is promised of [from, to). Very many ranges are committed in parts, each with the
// record.
int content_unpromise(struct ns *ns, struct op *op, struct ns_inode *inode, struct record *rec,
                      uint64_t from, uint64_t to) REQUIRES(inode_held);

// Whether all of [from, to) is promised, and not written yet.
int content_is_promised(struct ns *ns, struct op *op, const struct record *rec, uint64_t from,
                        uint64_t to, bool *ret_promised) REQUIRES_SHARED(inode_held);

// A piece of a copy between two files that share their bytes.
struct content_copy {
    struct ns_inode *from, *to;
    const struct lsm_snapshot *snapshot; // of `from`
    uint64_t from_offset, to_offset, size;
};
// Copies the beginning of the piece, as much as one batch takes: copy->size becomes its size. The
// source must not be inline (inline content is read and written as any other data). `to` is the
// record of the target, which is locked; if it is inline its content is moved out first, with a
// commit.
int content_copy(struct ns *ns, struct op *op, struct content_copy *copy, struct record *to)
    REQUIRES(inode_held);

// Adds the deletion of all content to the batch if there is little of it; *ret_done tells whether.
int content_remove(struct ns *ns, struct op *op, const struct record *rec, bool *ret_done)
    REQUIRES(inode_held);

// Commits the batch, with the record added.
int content_commit(struct ns *ns, struct op *op, struct ns_inode *inode, struct record *rec)
    REQUIRES(inode_held);

// For content_write.c and content_copy.c.

// Makes inline content `size` bytes long and puts it into op->content, where it can be changed.
int content_edit_inline(struct op *op, struct record *rec, size_t size);
// Moves inline content to extents. [from, to) is left a hole, which the caller fills. The size does
// not change. The tail, if there is one, is settled.
int content_move_out(struct ns *ns, struct op *op, struct ns_inode *inode, struct record *rec,
                     uint64_t from, uint64_t to) REQUIRES(inode_held);

#endif
