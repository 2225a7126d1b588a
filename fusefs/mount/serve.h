// The request handlers: decode, call the namespace, reply exactly once.
#ifndef LSMFS_MOUNT_SERVE_H
#define LSMFS_MOUNT_SERVE_H

#include <stdbool.h>

#include "mount/fuse_api.h"

extern const struct fuse_lowlevel_ops lsmfs_ops;

// serve_attr.c
void serve_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void serve_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *st, int to_set,
                   struct fuse_file_info *fi);
void serve_statfs(fuse_req_t req, fuse_ino_t ino);

// serve_name.c
void serve_lookup(fuse_req_t req, fuse_ino_t parent, const char *name);
void serve_forget(fuse_req_t req, fuse_ino_t ino, uint64_t count);
void serve_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets);
void serve_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev);
void serve_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode);
void serve_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name);
void serve_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name);
void serve_unlink(fuse_req_t req, fuse_ino_t parent, const char *name);
void serve_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name);
void serve_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
                  const char *new_name, unsigned flags);
void serve_readlink(fuse_req_t req, fuse_ino_t ino);

// serve_file.c
void serve_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
                  struct fuse_file_info *fi);
void serve_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void serve_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void serve_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                struct fuse_file_info *fi);
void serve_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t offset,
                 struct fuse_file_info *fi);
void serve_fsync(fuse_req_t req, fuse_ino_t ino, int data_only, struct fuse_file_info *fi);
void serve_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset, off_t length,
                     struct fuse_file_info *fi);
void serve_lseek(fuse_req_t req, fuse_ino_t ino, off_t offset, int whence,
                 struct fuse_file_info *fi);
void serve_copy_file_range(fuse_req_t req, fuse_ino_t from, off_t from_offset,
                           struct fuse_file_info *from_fi, fuse_ino_t to, off_t to_offset,
                           struct fuse_file_info *to_fi, size_t size, int flags);

// serve_ioctl.c
void serve_ioctl(fuse_req_t req, fuse_ino_t ino, unsigned cmd, void *arg, struct fuse_file_info *fi,
                 unsigned flags, const void *in, size_t in_size, size_t out_size);

// serve_dir.c
void serve_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void serve_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void serve_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t cookie,
                   struct fuse_file_info *fi);
void serve_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t cookie,
                       struct fuse_file_info *fi);
void serve_fsyncdir(fuse_req_t req, fuse_ino_t ino, int data_only, struct fuse_file_info *fi);

// serve_snapdir.c: parts of the handlers
void serve_snapdir_getattr(fuse_req_t req);
void serve_snapdir_lookup_itself(fuse_req_t req);
void serve_snapdir_lookup(fuse_req_t req, const char *name);
void serve_snapdir_readdir(fuse_req_t req, size_t size, off_t cookie, bool plus);

// serve_xattr.c
void serve_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value,
                    size_t size, int flags);
void serve_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size);
void serve_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size);
void serve_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name);

#endif
