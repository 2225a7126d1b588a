// Paths below a mount point instead of a store and paths in it.
#ifndef CTL_MOUNT_PATHS_H
#define CTL_MOUNT_PATHS_H

#include "commands/command.h"

// Takes two paths that are in a mounted store, of which the second need not be there, as the
// store's directory and paths in the store: sets ctl->db and ctl->args, which stay for good.
// Symbolic links on the way are followed, the last name is not. False, with a message.
bool mount_paths(struct ctl *ctl, char *from, char *to);

#endif
