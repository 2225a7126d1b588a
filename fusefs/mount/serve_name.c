// Names: LOOKUP, FORGET, and everything that makes, moves or removes a name.
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "mount/node.h"
#include "mount/serve.h"

void serve_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct lsmfs *fs = lsmfs_of(req);
    struct ns_inode *inode;
    struct ns_attr attr;
    struct node dir;
    if (is_snapdir_name(fs, parent, name, strlen(name))) {
        serve_snapdir_lookup_itself(req);
        return;
    }
    if (is_snapdir(fs, parent)) {
        serve_snapdir_lookup(req, name);
        return;
    }
    if (!node_get(req, parent, &dir))
        return;
    int rc = node_lookup(&dir, name, &inode, &attr);
    if (rc == -ENOENT) {
        // Inode 0 with a timeout: the kernel remembers that there is no such name.
        const struct fuse_entry_param none = {.entry_timeout = lsmfs_of(req)->keep_s};
        fuse_reply_entry(req, &none);
    } else if (rc < 0) {
        fuse_reply_err(req, -rc);
    } else {
        node_reply_entry(req, &dir, inode, &attr);
    }
    node_done(&dir);
}

void serve_forget(fuse_req_t req, fuse_ino_t ino, uint64_t count)
{
    node_forget(lsmfs_of(req), ino, count);
    fuse_reply_none(req);
}

void serve_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
    for (size_t i = 0; i < count; i++)
        node_forget(lsmfs_of(req), forgets[i].ino, forgets[i].nlookup);
    fuse_reply_none(req);
}

// The end of every handler that has made `inode` (one reference) unless `result` says otherwise.
static void reply_made(fuse_req_t req, int rc, struct ns_inode *inode, const struct ns_attr *attr)
{
    assert(rc || inode);
    if (rc == 0) {
        rc = commit_names(lsmfs_of(req));
        if (rc < 0)
            request_done(req, inode);
    }
    if (rc < 0)
        fuse_reply_err(req, -rc);
    else
        reply_inode(req, inode, attr);
}

static void reply_done(fuse_req_t req, int result)
{
    if (result == 0)
        result = commit_names(lsmfs_of(req));
    fuse_reply_err(req, -result);
}

void serve_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
    const struct ns_cred cred = cred_of(req);
    struct ns_inode *dir = request_dir(req, parent, name), *inode = NULL;
    struct ns_attr attr;
    if (!dir)
        return;
    int rc = ns_mknod(lsmfs_of(req)->ns, &cred, dir, name, strlen(name), mode, rdev, &inode, &attr);
    request_done(req, dir);
    reply_made(req, rc, inode, &attr);
}

void serve_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
    const struct ns_cred cred = cred_of(req);
    struct ns_inode *dir = request_dir(req, parent, name), *inode = NULL;
    struct ns_attr attr;
    if (!dir)
        return;
    int rc = ns_mkdir(lsmfs_of(req)->ns, &cred, dir, name, strlen(name), mode, &inode, &attr);
    request_done(req, dir);
    reply_made(req, rc, inode, &attr);
}

void serve_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
    const struct ns_cred cred = cred_of(req);
    struct ns_inode *dir = request_dir(req, parent, name), *inode = NULL;
    struct ns_attr attr;
    if (!dir)
        return;
    int rc = ns_symlink(lsmfs_of(req)->ns, &cred, dir, name, strlen(name), target, strlen(target),
                        &inode, &attr);
    request_done(req, dir);
    reply_made(req, rc, inode, &attr);
}

void serve_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name)
{
    struct lsmfs *fs = lsmfs_of(req);
    struct ns *ns = fs->ns;
    struct ns_inode *inode, *dir;
    struct ns_attr attr;
    if (is_shown(fs, ino) && !is_shown(fs, parent)) {
        fuse_reply_err(req, EXDEV);
        return;
    }
    inode = request_inode(req, ino);
    if (!inode)
        return;
    dir = request_dir(req, parent, name);
    if (!dir) {
        ns_inode_put(ns, inode, 1);
        return;
    }
    int rc = ns_link(ns, inode, dir, name, strlen(name), &attr);
    ns_inode_put(ns, dir, 1);
    if (rc < 0) {
        ns_inode_put(ns, inode, 1);
        fuse_reply_err(req, -rc);
        return;
    }
    reply_made(req, 0, inode, &attr); // our reference becomes the kernel's
}

void serve_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct ns_inode *dir = request_dir(req, parent, name);
    if (!dir)
        return;
    int rc = ns_unlink(lsmfs_of(req)->ns, dir, name, strlen(name));
    request_done(req, dir);
    reply_done(req, rc);
}

void serve_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct ns_inode *dir = request_dir(req, parent, name);
    if (!dir)
        return;
    int rc = ns_rmdir(lsmfs_of(req)->ns, dir, name, strlen(name));
    request_done(req, dir);
    reply_done(req, rc);
}

static_assert(NS_RENAME_NOREPLACE == RENAME_NOREPLACE && NS_RENAME_EXCHANGE == RENAME_EXCHANGE &&
                  NS_RENAME_WHITEOUT == RENAME_WHITEOUT,
              "serve_rename() passes them on");

void serve_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
                  const char *new_name, unsigned flags)
{
    struct ns *ns = lsmfs_of(req)->ns;
    struct ns_inode *from = request_dir(req, parent, name), *to;
    if (!from)
        return;
    to = request_dir(req, new_parent, new_name);
    if (!to) {
        ns_inode_put(ns, from, 1);
        return;
    }
    // The flags have the namespace's values. Whose a whiteout is, is in the request.
    const struct ns_cred cred = cred_of(req);
    int rc =
        ns_rename_as(ns, &cred, from, name, strlen(name), to, new_name, strlen(new_name), flags);
    ns_inode_put(ns, from, 1);
    ns_inode_put(ns, to, 1);
    reply_done(req, rc);
}

void serve_readlink(fuse_req_t req, fuse_ino_t ino)
{
    char target[NS_SYMLINK_MAX + 1];
    struct node node;
    if (!node_get(req, ino, &node))
        return;
    ssize_t size =
        ns_readlink_with(node.ns, node.inode, target, NS_SYMLINK_MAX, node_access(&node, 0));
    node_done(&node);
    if (size < 0) {
        fuse_reply_err(req, (int)-size);
        return;
    }
    target[size] = 0;
    fuse_reply_readlink(req, target);
}
