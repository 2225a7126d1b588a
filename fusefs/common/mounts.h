// What is mounted where, by the kernel's lists.
#ifndef COMMON_MOUNTS_H
#define COMMON_MOUNTS_H

#include <limits.h>
#include <stdbool.h>

#define LSMFS_TYPE "fuse.lsmfs"

// A mount as the kernel lists it.
struct mount_info {
    char device[32]; // major:minor
    char type[64];
    char source[PATH_MAX];
    char root[PATH_MAX]; // what of the file system is mounted: "/" but for bind mounts
    char mountpoint[PATH_MAX];
    bool is_read_only; // the file system, wherever it is mounted
};

// The mount on top at `mountpoint` (absolute, resolved); false if nothing is mounted there.
bool mount_info_find(const char *mountpoint, struct mount_info *ret_info);

// A mount of the store in directory `db` (absolute, resolved) in the mount namespace of process
// `pid`, 0 for this one's; false if there is none, or it may not be known. A read-only one, as of
// somebody who follows the store, counts only if its mount point is `reader` (NULL: none is).
bool mount_info_of_store(long pid, const char *db, const char *reader, struct mount_info *ret_info);

// The mount of a store that the path (absolute, resolved) is in, which is on `device`, major:minor;
// false if it is in none.
bool mount_info_of_path(const char *path, const char *device, struct mount_info *ret_info);

// As mount_info_of_store(), in the namespace of any process that can be seen. *ret_pid: a process
// in it.
bool mount_info_anywhere(const char *db, const char *reader, struct mount_info *ret_info,
                         long *ret_pid);

#endif
