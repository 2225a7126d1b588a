// Paths below a mount point instead of a store and paths in it.
#ifndef CTL_MOUNT_PATHS_H
#define CTL_MOUNT_PATHS_H

#include "commands/command.h"

// Takes two paths below a mount point, of which the second need not exist, and sets ctl->db and
// ctl->args to the store's directory and the two paths in the store, for as long as the program
// runs.
// Symbolic links on the way are followed, the last name is not. False, with a message.
bool mount_paths(struct ctl *ctl, char *from, char *to);

#endif
