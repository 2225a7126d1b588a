// Requests that need what only the kernel has, or that change it: they wait, on a thread of their
// own, until the kernel has written out or dropped pages of a file.
#ifndef LSMFS_MOUNT_FLUSHER_H
#define LSMFS_MOUNT_FLUSHER_H

#include "mount/fuse_api.h"
#include "mount/lsmfs.h"

struct flusher;

int flusher_start(struct lsmfs *fs, struct flusher **ret_flusher); // 0 or a negative errno

// Waits for what is under way; later LSEEKs are answered with EIO, WRITEs at once. To be called
// while there are threads that serve requests, or when the connection is closed. NULL is legal, and
// so is twice.
void flusher_stop(struct flusher *flusher);
void flusher_free(struct flusher *flusher); // stopped

// Answers the LSEEK once the kernel has passed on the file's pages. Takes a reference of its own.
void flusher_seek(struct flusher *flusher, fuse_req_t req, struct ns_inode *inode, uint64_t offset,
                  int whence);

// Answers an LSEEK with what ns_seek() has returned.
void flusher_reply_seek(fuse_req_t req, int64_t result);

// Answers the WRITE, whose bytes are in the store, once the kernel has dropped the pages of its
// range (pages.h). Takes a reference of its own.
void flusher_written(struct flusher *flusher, fuse_req_t req, struct ns_inode *inode,
                     uint64_t offset, size_t size);

// Makes the kernel forget the directory's listing, soon. The caller's reference is its own.
void flusher_forget_listing(struct flusher *flusher, struct ns_inode *dir);

#endif
