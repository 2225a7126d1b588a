// What a request that changes nothing names: an inode of the present or of a snapshot, with the
// namespace that it belongs to. (What changes something names one of the present: request_inode.)
//
//     struct node node;
//     if (!node_get(req, ino, &node)) // has replied
//         return;
//     ...
//     node_done(&node); // before or after the reply
#ifndef LSMFS_MOUNT_NODE_H
#define LSMFS_MOUNT_NODE_H

#include "mount/request.h"
#include "mount/snapdir.h"

struct node {
    struct lsmfs *fs;
    struct ns *ns;
    struct ns_inode *inode;         // one reference
    uint64_t base;                  // added to a number in the tree it gives that in the mount
    struct snapdir_snapshot *shown; // NULL: it is of the present
};

// False, after a reply: ESTALE, if the kernel named an inode that it does not hold, and EINVAL for
// the directory of snapshots, which is no inode.
bool node_get(fuse_req_t req, fuse_ino_t ino, struct node *ret_node);
void node_done(struct node *node);
void node_forget(struct lsmfs *fs, fuse_ino_t ino, uint64_t count);

// As the functions of the namespace, but with the number in the mount.
int node_attr(const struct node *node, struct ns_attr *ret_attr);
int node_lookup(const struct node *dir, const char *name, struct ns_inode **ret_inode,
                struct ns_attr *ret_attr);

// Replies with an inode of the node's namespace. The caller's reference to it becomes the kernel's.
void node_reply_entry(fuse_req_t req, const struct node *node, struct ns_inode *inode,
                      const struct ns_attr *attr);

// Writing to files of snapshots. Where the kernel opens files without a request (fs->no_open),
// nobody is there to say EROFS, and write(2) would go into the page cache and be lost later. But
// before each write it asks for the size of the file's capabilities, unless it knows that there are
// none, and removes them; and that can be refused. So a file of a snapshot claims to have some when
// their size is asked for, which shows nowhere else: getxattr(2) reads them too. (A store through a
// mapping is not caught. It is refused when the kernel passes it on, and the page is dropped.)
bool node_claims_capabilities(const struct node *node, const char *name, size_t size);

// What reading the node does to its time of access.
enum ns_access node_access(const struct node *node, int open_flags);

#endif
