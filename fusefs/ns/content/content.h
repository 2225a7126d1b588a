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

// Reads up to `size` bytes at `offset`, fewer only at the end; holes as zeros. How many. What is
// lost (lost.h) is for the caller to look at.
ssize_t content_read(struct ns *ns, const struct lsm_snapshot *snapshot, const struct record *rec,
                     uint8_t *data, size_t size, uint64_t offset);

// The first offset at or after `offset`, which is below the size, that is data, or a hole; the end
// of the file is a hole. -ENXIO: there is no data any more. Inline content is data throughout, and
// what is lost is data.
int64_t content_seek(struct ns *ns, const struct lsm_snapshot *snapshot, struct op *op,
                     const struct record *rec, uint64_t offset, bool want_data);

// Before a write of `data`, without the lock: what goes to blob files anyway is written there now.
int content_stage(struct ns *ns, struct op *op, uint64_t ino, struct slice data, uint64_t offset);

// Writes `data`, which stays where it is until the commit, or what was staged of it. The size
// follows.
int content_write(struct ns *ns, struct op *op, struct ns_inode *inode, struct record *rec,
                  struct slice data, uint64_t offset) REQUIRES(inode_held);

// Cuts the file or makes it longer, with zeros. Very many extents that have to go become a tail.
// What is promised behind the end goes, unless the file becomes longer.
int content_resize(struct ns *ns, struct op *op, struct ns_inode *inode, struct record *rec,
                   uint64_t size) REQUIRES(inode_held);

// Makes [from, to), as far as the file goes, zeros: where there are extents, a hole. What is
// promised stays so. Commits parts of long ranges, with the record.
int content_zero(struct ns *ns, struct op *op, struct ns_inode *inode, struct record *rec,
                 uint64_t from, uint64_t to) REQUIRES(inode_held);

// Promises space for what [from, to), widened to whole PROMISE_UNITs, does not store yet; the
// content does not change. -ENOSPC: there is not that much. Commits long ranges in parts, with the
// record, and moves inline content out, unless all of the range is in it. *ret_promised is for
// promise_end, after the commit or without it.
#define PROMISE_UNIT 4096u
int content_promise(struct ns *ns, struct op *op, struct ns_inode *inode, struct record *rec,
                    uint64_t from, uint64_t to, uint64_t *ret_promised) REQUIRES(inode_held);

// What of [from, to) is no extent and not a range of the kind yet: so many bytes; with `fill` it
// becomes ranges of the kind. Commits long ranges in parts, with the record.
enum content_gap { GAP_PROMISED, GAP_LOST };
int content_gaps(struct ns *ns, struct op *op, struct ns_inode *inode, struct record *rec,
                 uint64_t from, uint64_t to, enum content_gap kind, bool fill, uint64_t *ret_bytes)
    REQUIRES(inode_held);

// Gives up what is promised of [from, to). Commits parts, with the record, if that is very much.
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
// Copies the beginning of the piece, as much as one batch takes: copy->size becomes that. `from`,
// the source's record, has extents (what is inline is read and written as any other data); `to` is
// that of the target, locked, which gets extents if it had none: committed at once.
int content_copy(struct ns *ns, struct op *op, struct content_copy *copy, struct record *to)
    REQUIRES(inode_held);

// Adds to the batch the deletion of all content, if that is little; *ret_done tells.
int content_remove(struct ns *ns, struct op *op, const struct record *rec, bool *ret_done)
    REQUIRES(inode_held);

// Stores the record with what the batch holds.
int content_commit(struct ns *ns, struct op *op, struct ns_inode *inode, struct record *rec)
    REQUIRES(inode_held);

// For content_write.c and content_copy.c.

// Makes inline content `size` bytes long, and a copy in op->content that can be written to.
int content_edit_inline(struct op *op, struct record *rec, size_t size);
// Inline content becomes extents, but for [from, to), which is left a hole for what the caller puts
// there. The size stays. The tail, if there is one, is settled.
int content_move_out(struct ns *ns, struct op *op, struct ns_inode *inode, struct record *rec,
                     uint64_t from, uint64_t to) REQUIRES(inode_held);

#endif
