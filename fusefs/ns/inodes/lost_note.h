// What is noted with a live inode of writes that were lost beyond the end of the file (lost.h).
//
// Locks: changes under the inode's exclusive lock; notes have a mutex of their own, a leaf, since
// readers take no lock.
#ifndef NS_LOST_NOTE_H
#define NS_LOST_NOTE_H

#include "ns/inodes/inode.h"

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
int lost_note(struct ns_inode *inode, uint64_t from, uint64_t to, bool unsaved)
    REQUIRES(inode_held);
void lost_note_free(struct inode_lost *lost); // NULL is legal

// After a commit that left the file `size` bytes long; or that has set its size, so that there is
// nothing beyond.
void lost_stored(struct ns_inode *inode, uint64_t size) REQUIRES(inode_held);
void lost_cut(struct ns_inode *inode) REQUIRES(inode_held);

#endif
