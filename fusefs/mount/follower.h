// A mount beside the one that writes (option follow): looks for changes, and makes the kernel drop
// what they made stale.
#ifndef LSMFS_MOUNT_FOLLOWER_H
#define LSMFS_MOUNT_FOLLOWER_H

#include "mount/lsmfs.h"

struct follower;

// How long the kernel may keep entries and attributes.
double follower_keep_s(const struct mount_options *options);

int follower_start(struct lsmfs *fs, struct follower **ret_follower); // 0 or -errno
// No more refreshes; requests do not wait any more. NULL is allowed, as below.
void follower_stop(struct follower *follower);
void follower_free(struct follower *follower);

// For requests: returns when what they are going to see is not older than it may be, or if it
// cannot be had.
void follower_wait(struct follower *follower);

#endif
