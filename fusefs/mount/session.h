// The FUSE session: mounting, unmounting.
#ifndef LSMFS_MOUNT_SESSION_H
#define LSMFS_MOUNT_SESSION_H

#include "mount/fuse_api.h"
#include "mount/options.h"

// Creates a session that serves `ops` and mounts it. NULL: one line on stderr has said why; nothing
// is mounted.
struct fuse_session *session_mount(const struct mount_options *options,
                                   const struct fuse_lowlevel_ops *ops, void *userdata);

// Takes the mount away; `lazy` also while it is in use. 0, or a positive errno: EBUSY, or EINVAL if
// the mount is not there any more or something else is mounted over it.
int session_unmount(const struct mount_options *options, bool lazy);

// Writes what the kernel has not passed on yet. Best effort.
void session_sync(const struct mount_options *options);

// Lets the kernel read ahead as far as one request reaches, and gather writes up to
// options->dirty_ratio. Only root may; best effort.
void session_set_kernel(const struct mount_options *options);

#endif
