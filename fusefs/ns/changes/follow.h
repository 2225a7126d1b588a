// A tree that another process changes (ns_options.engine.follow).
#ifndef NS_FOLLOW_H
#define NS_FOLLOW_H

#include "base/slice.h"
#include "ns/namespace.h"

struct loaded;

// Told the numbers of inodes of which something may have changed, some of them more than once; 0:
// of any. Called without locks.
typedef void ns_stale_fn(void *arg, uint64_t ino);

// Shows what the writer has changed since (lsm_refresh): 1, or 0: nothing, or -errno, as it was
// then. One thread at a time.
int ns_refresh(struct ns *ns, ns_stale_fn *fn, void *arg);

// Calls `fn` for the number of each live inode, as far as there is memory.
void ns_live_numbers(struct ns *ns, ns_stale_fn *fn, void *arg);

// Notes where the live inode is that an entry, whose key has changed, leads to now. *ret_ino: its
// number, 0 if there is no entry. `rec` is space. 0 or -errno.
int follow_entry(struct ns *ns, struct slice key, struct loaded *rec, uint64_t *ret_ino);
// The number of the inode that a key of another kind belongs to; 0: none.
uint64_t follow_ino_of(struct slice key);

#endif
