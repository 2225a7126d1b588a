// What commands change behind the kernel's back: its caches are told.
#ifndef LSMFS_MOUNT_CONTROL_KERNEL_H
#define LSMFS_MOUNT_CONTROL_KERNEL_H

#include "commands/command.h"
#include "mount/lsmfs.h"

struct kernel_live {
    struct live live; // first
    struct lsmfs *fs;
};

// The store of a mount, for commands that run on threads that serve no requests.
void kernel_live_init(struct kernel_live *kernel, struct lsmfs *fs);

#endif
