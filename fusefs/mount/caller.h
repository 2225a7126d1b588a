// What a request's caller may do, where the request does not say.
#ifndef LSMFS_MOUNT_CALLER_H
#define LSMFS_MOUNT_CALLER_H

#include <stdbool.h>
#include <sys/types.h>

#include "mount/fuse_api.h"

// Whether the caller has CAP_FSETID in the daemon's user namespace: what it changes keeps setuid
// and setgid. False also when that cannot be found out.
bool caller_keeps_suid(fuse_req_t req);

// Whether the caller is in the group. False also when that cannot be found out.
bool caller_in_group(fuse_req_t req, gid_t gid);

#endif
