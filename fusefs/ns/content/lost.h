// What programs take for written and the store could not take: with a write-back cache write(2)
// succeeds first, and the data comes, and may fail, later. It must not pass for zeros.
//
//   inside the file   lost ranges, keys 'L' (ranges.h): of what failed, all that is no extent. What
//                     an extent holds keeps its old bytes. The record's lost_bytes is their sum;
//                     while it is 0 none of this is looked at. A file with lost ranges is not
//                     inline; none lies beyond the size.
//   beyond the end    a note in memory (lost_note.h), of one range: the file ends where it did.
//                     If the file becomes longer later, the part of the note that is inside it
//                     then becomes lost ranges. The note goes with the live inode: whoever looks
//                     at the file after that sees where it ends.
//
// Reading a lost range is EIO. SEEK_DATA finds it as data, so that programs which copy only data
// meet the error. A range is not lost any more when it is written, punched, zeroed or cut off. Lost
// ranges may overlap unwritten ones. If a loss inside the file cannot be stored, it is noted in
// memory too
// (`unsaved`): then holes inside the noted range count as lost.
//
// Locks: changes under the inode's exclusive lock. All return 0 or a negative errno.
#ifndef NS_LOST_H
#define NS_LOST_H

#include "ns/inodes/lost_note.h"
#include "ns/operation/ns_internal.h"

// lost_before(): whether anything is lost between the file's end and `to`. lost_grow(): adds that
// to the batch as lost ranges; for a file that becomes longer, before rec->size changes.
bool lost_before(struct ns_inode *inode, const struct record *rec, uint64_t to);
int lost_grow(struct ns *ns, struct op *op, struct ns_inode *inode, struct record *rec, uint64_t to)
    REQUIRES(inode_held);

// Lost ranges, as in ranges.h.
int lost_list(struct ns *ns, const struct lsm_snapshot *snapshot, uint64_t ino, uint64_t from,
              uint64_t to, size_t most, struct extent_list *list);
int lost_put(struct op *op, struct record *rec, uint64_t start, uint64_t size);
int lost_trim(struct op *op, struct record *rec, const struct extent_list *list, uint64_t from,
              uint64_t to);

#endif
