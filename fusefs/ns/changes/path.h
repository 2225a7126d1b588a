// The path of a live inode, for messages.
#ifndef NS_PATH_H
#define NS_PATH_H

#include "ns/namespace.h"

// One of the paths that lead to the inode at this moment; malloc'd. 0; -ENOENT: none does; another
// negative errno.
int ns_path(struct ns *ns, struct ns_inode *inode, char **ret_path);

#endif
