// What programs take for written and the store could not take: with a write-back cache write(2)
// succeeds first, and the data comes, and may fail, later. It must not pass for zeros.
//
//   inside the file   lost ranges, keys 'L' (ranges.h): of what failed, all that is no extent. What
//                     an extent holds keeps its old bytes. The record's lost_bytes is their sum;
//                     while it is 0 none of this is looked at. A file with lost ranges is not
//                     inline; none lies beyond the size.
//   beyond the end    a note in memory, of one range: the file ends where it did. If it becomes
//                     longer later, what of the note is inside then becomes lost ranges. The note
//                     goes with the live inode, when nobody believes any more that the file is
//                     longer.
//
// Reading what is lost is EIO; SEEK_DATA takes it for data, so that whoever copies by that meets
// the error. Writing, punching, zeroing and cutting it off end the loss. Lost ranges may overlap
// unwritten ones. What cannot even be stored as lost is noted too (`unsaved`): then holes inside
// the note are lost as well.
//
// Locks: changes under the inode's exclusive lock; notes have a mutex of their own, a leaf, since
// readers take no lock. All return 0 or a negative errno.
#ifndef NS_LOST_H
#define NS_LOST_H

#include "ns/operation/ns_internal.h"

// What is noted.
struct lost_note {
    uint64_t from, to; // from >= to: nothing
    bool unsaved;
};
// A copy. Who takes no lock takes it before the record, so that what goes from the one to the other
// is in one of them at least.
struct lost_note lost_noted(struct ns_inode *inode);

// From where on, up to note.to, what is noted counts in a file of that size.
static inline uint64_t lost_from(struct lost_note note, uint64_t size)
{
    return note.unsaved || note.from > size ? note.from : size;
}

// Whether a write at `offset` is beyond what has just been lost: what was buffered with that had
// better not be stored behind it.
bool lost_just_before(struct ns_inode *inode, uint64_t offset);

// Adds to the note. -ENOMEM.
int lost_note(struct ns_inode *inode, uint64_t from, uint64_t to, bool unsaved);
void lost_note_free(struct inode_lost *lost); // NULL is legal

// After a commit that left the file `size` bytes long; or that has set its size, so that there is
// nothing beyond.
void lost_stored(struct ns_inode *inode, uint64_t size);
void lost_cut(struct ns_inode *inode);

// Whether a file that becomes longer has lost anything between its old end and `to`; and what adds
// that to the batch as lost ranges, before rec->size changes.
bool lost_before(struct ns_inode *inode, const struct record *rec, uint64_t to);
int lost_grow(struct ns *ns, struct op *op, struct ns_inode *inode, struct record *rec,
              uint64_t to);

// Lost ranges, as in ranges.h.
int lost_list(struct ns *ns, const struct lsm_snapshot *snapshot, uint64_t ino, uint64_t from,
              uint64_t to, size_t most, struct extent_list *list);
int lost_put(struct op *op, struct record *rec, uint64_t start, uint64_t size);
int lost_trim(struct op *op, struct record *rec, const struct extent_list *list, uint64_t from,
              uint64_t to);

// -EIO: some of [offset, offset + size) is lost, by what is stored or by the note. op->file is
// the file's record, as of the snapshot.
int lost_check(struct ns *ns, const struct lsm_snapshot *snapshot, struct op *op,
               struct lost_note note, uint64_t offset, size_t size);

#endif
