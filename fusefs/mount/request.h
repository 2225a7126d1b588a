// Node ids. A FUSE node id is the inode number, looked up in the namespace's table of live inodes
// for each request; the kernel's lookup counts are references there. The root's id is 1 on both
// sides, and it stays live whatever the kernel forgets. (Those of snapshots: node.h.)
//
// A handler that needs an inode does
//     struct ns_inode *inode = request_inode(req, ino);   // replied with an error if NULL
//     ...
//     request_done(req, inode);
// and the inode cannot go away between the two, even if the kernel forgets it meanwhile.
#ifndef LSMFS_MOUNT_REQUEST_H
#define LSMFS_MOUNT_REQUEST_H

#include "mount/fuse_api.h"
#include "mount/lsmfs.h"

// How long the kernel may keep entries and attributes: 31 years. Changes go through the kernel, or
// it is told of them (those that lsmfsctl makes). Of a store that is followed: fs->keep_s.
#define CACHE_FOREVER_S 1e9

static inline struct lsmfs *lsmfs_of(fuse_req_t req)
{
    return fuse_req_userdata(req);
}

// An inode of the present, for what changes something (other requests: node.h). With one reference
// more, or NULL after replying ESTALE, if the kernel named an inode that it does not hold, or
// EROFS, if it is not of the present.
struct ns_inode *request_inode(fuse_req_t req, fuse_ino_t ino);
// As request_inode(), for a directory in which `name` is changed; also EROFS if `name` is the
// directory of snapshots.
struct ns_inode *request_dir(fuse_req_t req, fuse_ino_t ino, const char *name);
// Who makes the request, for what it creates.
struct ns_cred cred_of(fuse_req_t req);

void request_done(fuse_req_t req, struct ns_inode *inode);

void attr_to_stat(const struct ns_attr *attr, struct stat *ret_stat);

// What the kernel is told about an inode that it may keep without asking again: changes go through
// it, or it is told of them.
void fill_entry(struct lsmfs *fs, const struct ns_attr *attr, struct fuse_entry_param *ret_entry);

// Replies with the inode, whose one reference becomes the kernel's; if the kernel does not take the
// reply (the caller was killed), the reference is given back.
void reply_inode(fuse_req_t req, struct ns_inode *inode, const struct ns_attr *attr);

// To be called before the reply, after a change that may have cleared setuid or setgid by itself.
// The kernel expects that only of SETATTR, and would go on showing the old mode.
void request_mode_changed(struct lsmfs *fs, const struct ns_attr *attr);

// request_mode_changed() after a change of content by a caller without CAP_FSETID; *attr: the
// attributes after it. Setgid of a file that its group cannot execute is cleared too if the caller
// is not in the group, which the namespace cannot know.
void request_content_changed(fuse_req_t req, struct ns_inode *inode, struct ns_attr *attr);

// What reading the inode does to its time of access, by the mount's options and the handle's flags.
enum ns_access access_by(const struct lsmfs *fs, const struct ns_inode *inode, int open_flags);

// For handlers by which `inode` is read: moves its time of access if the mount's options and the
// handle's flags say so. True: it moved.
bool request_accessed(struct lsmfs *fs, struct ns_inode *inode, int open_flags);

// For handlers that changed a name: makes it durable when the mount asks for that. 0 or -errno.
int commit_names(struct lsmfs *fs);

#endif
