// The kernel's switch for FUSE over io_uring.
#ifndef LSMFS_MOUNT_URING_SWITCH_H
#define LSMFS_MOUNT_URING_SWITCH_H

#include <stdbool.h>

#define URING_SWITCH "/sys/module/fuse/parameters/enable_uring"

bool uring_switch_exists(void); // the kernel knows of it: 6.14 and later
bool uring_switch_is_on(void);

// Turns it on, for every mount of the machine that comes. 0 or an errno: only root may.
int uring_switch_turn_on(void);

#endif
