// libfuse's low-level interface, at the version this daemon is written for.
#ifndef LSMFS_MOUNT_FUSE_API_H
#define LSMFS_MOUNT_FUSE_API_H

#define FUSE_USE_VERSION 312
#include <fuse_lowlevel.h>

#endif
