// What can be wrong before anything is touched: the mount point, the store's place, the system.
#ifndef LSMFS_MOUNT_PREFLIGHT_H
#define LSMFS_MOUNT_PREFLIGHT_H

#include "mount/options.h"

// Makes options->db and options->mountpoint absolute and checks all that can be checked without
// changing anything. False: one line on stderr has said what is wrong.
bool preflight(struct mount_options *options);

#endif
