// Times of access on their way to the store. See atimes.c.
#ifndef NS_ATIMES_H
#define NS_ATIMES_H

#include <time.h>

#include "ns/inodes/inode.h"
#include "ns/keys/record.h"

struct ns;
struct atimes;

int atimes_start(struct ns *ns, struct atimes **ret_atimes); // 0 or -errno
void atimes_stop(struct atimes *atimes);                     // writes what is left; NULL is legal
void atimes_wait(struct atimes *atimes);                     // until nothing is left; NULL is legal

// The inode, to which the caller has a reference, was read at `now`. Never waits for the store.
void atimes_note(struct atimes *atimes, struct ns_inode *inode, struct timespec now);

// Puts a time of access that is not in the store yet into `rec`, the inode's record as it was
// loaded.
void atimes_apply(const struct ns_inode *inode, struct record *rec);

// For whoever sets the time of access: atimes_mark() before the record is loaded; atimes_passed()
// with its result after the commit, so that an older time of reading is not written later.
int64_t atimes_mark(const struct ns_inode *inode);
void atimes_passed(struct ns_inode *inode, int64_t mark);

#endif
