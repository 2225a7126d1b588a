// Times of access on their way to the store. See atimes.c.
#ifndef NS_ATIMES_H
#define NS_ATIMES_H

#include <time.h>

#include "ns/inodes/inode.h"
#include "ns/keys/record.h"

struct atimes;

struct atimes *atimes_new(void);         // NULL: no memory
void atimes_free(struct atimes *atimes); // NULL is legal
void atimes_wait(struct atimes *atimes); // until nothing is left to be written

// The inode, to which the caller has a reference, was read at `now`. Never waits for the store.
void atimes_note(struct atimes *atimes, struct ns_inode *inode, struct timespec now);

// Puts a time of access that is not in the store yet into `rec`, the inode's record as it was
// loaded.
void atimes_apply(const struct ns_inode *inode, struct record *rec);

// For whoever sets the time of access: atimes_mark() before the record is loaded; atimes_passed()
// with its result after the commit, so that an older time of reading is not written later.
int64_t atimes_mark(const struct ns_inode *inode);
void atimes_passed(struct ns_inode *inode, int64_t mark);

// For the thread that writes them: takes the list, after waiting a little for more; NULL: the end.
// The list taken before is done. atimes_next() says what follows the inode, whose reference is the
// thread's, and is called before the inode's time is looked at.
struct ns_inode *atimes_take(struct atimes *atimes);
struct ns_inode *atimes_next(struct ns_inode *inode);
void atimes_stop(struct atimes *atimes); // the thread is to end when nothing is left

#endif
