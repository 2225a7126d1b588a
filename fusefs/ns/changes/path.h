// The path of a live inode, for messages.
#ifndef NS_PATH_H
#define NS_PATH_H

#include "ns/namespace.h"

// *ret_path (malloc'd) is one of the paths that lead to the inode at this moment. -ENOENT: there is
// none. 0 or another negative errno.
int ns_path(struct ns *ns, struct ns_inode *inode, char **ret_path);

#endif
