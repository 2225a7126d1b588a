// A tree that another process changes (ns_options.engine.follow).
#ifndef NS_FOLLOW_H
#define NS_FOLLOW_H

#include "base/slice.h"
#include "ns/namespace.h"

struct loaded;

// Is told the numbers of inodes that may have changed, some of them more than once. 0: any inode
// may have changed. Called without locks.
typedef void ns_stale_fn(void *arg, uint64_t ino);

// Shows what the writer has changed since the last call (lsm_refresh). Returns 1; 0 if nothing has
// changed; or -errno, and the tree is shown as it was before. One thread at a time.
int ns_refresh(struct ns *ns, ns_stale_fn *fn, void *arg);

// Calls `fn` for the number of each live inode, as far as there is memory.
void ns_live_numbers(struct ns *ns, ns_stale_fn *fn, void *arg);

// After a change of the entry `key`: if the entry leads to a live inode, notes the inode's new
// place. *ret_ino: the number of the inode that the entry leads to; 0 if there is no entry. `rec`
// is space for the record. 0 or -errno.
int follow_entry(struct ns *ns, struct slice key, struct loaded *rec, uint64_t *ret_ino);
// The number of the inode that a key belongs to which is no entry; 0: it belongs to none.
uint64_t follow_ino_of(struct slice key);

#endif
