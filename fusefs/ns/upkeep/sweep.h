// Removing a whole tree, and what clones that were cut off have left (operation/unfinished.h).
#ifndef NS_SWEEP_H
#define NS_SWEEP_H

#include "ns/operation/ns_internal.h"

// Removes clones that were cut off. Called when the store is opened for writing, before anybody
// else uses it, so no kernel has to be told. 0 or -errno.
int sweep_leftovers(struct ns *ns);

// Removes the directory `name` of `dir` with all that is below it. 0 or -errno.
int sweep_tree(struct ns *ns, struct ns_inode *dir, const char *name, size_t name_size);

#endif
