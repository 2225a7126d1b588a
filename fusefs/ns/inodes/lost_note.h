// What is noted with a live inode about writes that were lost beyond the end of the file (lost.h).
//
// Locks: changes under the inode's exclusive lock; notes have a mutex of their own, a leaf, since
// readers take no lock.
#ifndef NS_LOST_NOTE_H
#define NS_LOST_NOTE_H

#include "ns/inodes/inode.h"

// A range that was lost. `unsaved`: a loss inside the file too, which could not be stored.
struct lost_note {
    uint64_t from, to; // from >= to: nothing
    bool unsaved;
};
// A copy of the note. Who holds no lock copies it before reading the record: a loss that moves from
// the note into the store meanwhile is then seen at least once.
struct lost_note lost_note_get(struct ns_inode *inode);

// Where the lost range begins in a file of that size; it ends at note.to. What the file has by now
// is not lost, unless it is unsaved.
static inline uint64_t lost_note_from(struct lost_note note, uint64_t size)
{
    return note.unsaved || note.from > size ? note.from : size;
}

// Whether a write at `offset` is beyond something that has just been lost. Bytes that were buffered
// together with what was lost should not be stored behind it.
bool lost_note_just_before(struct ns_inode *inode, uint64_t offset);

// Widens the note to [from, to). 0 or -ENOMEM.
int lost_note_add(struct ns_inode *inode, uint64_t from, uint64_t to, bool unsaved)
    REQUIRES(inode_held);
void lost_note_free(struct inode_lost *lost); // NULL is legal

// lost_note_stored: after a commit that left the file `size` bytes long. lost_note_cut: after one
// that has set the file's size, so that nothing is lost beyond it any more.
void lost_note_stored(struct ns_inode *inode, uint64_t size) REQUIRES(inode_held);
void lost_note_cut(struct ns_inode *inode) REQUIRES(inode_held);

#endif
