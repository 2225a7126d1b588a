// What the FUSE protocol has and libfuse 3.14 does not offer: seen in the bytes of requests before
// libfuse takes them apart, and of replies before they leave.
//
// Whoever receives requests calls protocol_request() for each before fuse_session_process_buf(),
// and whoever sends what libfuse hands to the custom writev calls protocol_reply() first. The other
// functions tell a handler about the request that the calling thread serves: they hold from
// protocol_request() to the next one on that thread.
#ifndef LSMFS_MOUNT_PROTOCOL_H
#define LSMFS_MOUNT_PROTOCOL_H

#include <stdbool.h>
#include <sys/uio.h>

#include "mount/fuse_api.h"
#include "ns/namespace.h"

// Notes what libfuse does not pass on, and rewrites requests that it does not know.
void protocol_request(struct fuse_buf *buf);

// Amends the reply, which is not longer afterwards than before.
void protocol_reply(const struct iovec *iov, int count);

// Whether the kernel has agreed on the terms: the reply to INIT has passed, on this thread.
bool protocol_init_done(void);

// For the handler of INIT: mounts with mapped owners (MOUNT_ATTR_IDMAP) are wanted. The kernel
// fails the whole mount if that is asked for without default_permissions.
void protocol_want_idmap(void);

// Before INIT: requests over io_uring are wanted (FUSE_OVER_IO_URING). After it: whether the kernel
// has agreed.
void protocol_want_uring(void);
bool protocol_has_uring(void);

// Whether WRITE or OPEN asks for setuid and setgid to be cleared (libfuse passes SETATTR's wish on
// itself).
bool protocol_kills_suid(void);

// Whether a SETXATTR, of an access control list, asks for setgid to be cleared.
bool protocol_kills_sgid(void);

// Whether READ or WRITE is between the program and us, and not between the kernel's page cache and
// us.
bool protocol_is_direct(void);

// Whether a WRITE is of pages that were written some time ago.
bool protocol_is_written_back(void);

// Whether a CREATE is of a file without a name (O_TMPFILE).
bool protocol_is_tmpfile(void);

// Whether a GETATTR is a STATX, which protocol_reply_statx() has to answer.
bool protocol_is_statx(void);
void protocol_reply_statx(fuse_req_t req, const struct ns_attr *attr, double timeout_s);

// Whether the kernel can map files that were opened as direct (fuse_file_info.direct_io); their
// writes are let go side by side.
bool protocol_maps_direct_files(void);

#endif
