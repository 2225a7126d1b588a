// Requests that need what only the kernel has: they wait, on a thread of their own, until the pages
// that were written to a file but not passed on have been.
#ifndef LSMFS_MOUNT_FLUSHER_H
#define LSMFS_MOUNT_FLUSHER_H

#include "mount/fuse_api.h"
#include "mount/lsmfs.h"

struct flusher;

int flusher_start(struct lsmfs *fs, struct flusher **ret_flusher); // 0 or a negative errno

// Waits for what is under way; what comes later is answered with EIO. To be called while there are
// threads that serve requests, or when the connection is closed. NULL is legal, and so is twice.
void flusher_stop(struct flusher *flusher);
void flusher_free(struct flusher *flusher); // stopped

// Answers the LSEEK once the file's pages are here. The caller's reference is its own.
void flusher_seek(struct flusher *flusher, fuse_req_t req, struct ns_inode *inode, uint64_t offset,
                  int whence);

// The answer.
void reply_seek(fuse_req_t req, struct ns_inode *inode, uint64_t offset, int whence);

#endif
