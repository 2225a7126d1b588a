// Inodes of the present and of snapshots. See node.h.
#include "mount/node.h"

#include "mount/follower.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

static_assert((SNAPDIR_INO & (SNAPDIR_INO + 1)) == 0, "numbers are taken apart with it as mask");

bool node_get(fuse_req_t req, fuse_ino_t ino, struct node *ret_node)
{
    struct lsmfs *fs = lsmfs_of(req);
    struct node node = {.fs = fs, .ns = fs->ns};
    int error = ESTALE;
    follower_wait(fs->follower);
    if (is_snapdir(fs, ino)) {
        error = EINVAL;
    } else if (ino > SNAPDIR_INO) {
        node.shown = snapdir_use(fs->snapdir, ino >> NS_INO_BITS);
        node.ns = node.shown ? node.shown->ns : NULL;
        node.base = ino & ~SNAPDIR_INO;
    }
    if (error == ESTALE && node.ns)
        node.inode = ns_inode_find(node.ns, ino - node.base);
    if (node.inode) {
        *ret_node = node;
        return true;
    }
    if (node.shown)
        snapdir_done(fs->snapdir, node.shown);
    fuse_reply_err(req, error);
    return false;
}

void node_done(struct node *node)
{
    assert(node->inode && (node->shown || node->ns == node->fs->ns));
    ns_inode_put(node->ns, node->inode, 1);
    if (node->shown)
        snapdir_done(node->fs->snapdir, node->shown);
}

void node_forget(struct lsmfs *fs, fuse_ino_t ino, uint64_t count)
{
    struct snapdir_snapshot *shown = NULL;
    struct ns *ns = fs->ns;
    uint64_t base = 0;
    if (is_snapdir(fs, ino) || ino == NS_ROOT_INO)
        return;
    if (ino > SNAPDIR_INO) {
        shown = snapdir_use(fs->snapdir, ino >> NS_INO_BITS);
        if (!shown)
            return;
        ns = shown->ns;
        base = ino & ~SNAPDIR_INO;
    }
    struct ns_inode *inode = ns_inode_find(ns, ino - base);
    if (inode)
        ns_inode_put(ns, inode, count + 1);
    if (shown)
        snapdir_done(fs->snapdir, shown);
}

int node_attr(const struct node *node, struct ns_attr *ret_attr)
{
    int rc = ns_getattr(node->ns, node->inode, ret_attr);
    if (rc == 0)
        ret_attr->ino += node->base;
    return rc;
}

int node_lookup(const struct node *dir, const char *name, struct ns_inode **ret_inode,
                struct ns_attr *ret_attr)
{
    int rc = ns_lookup(dir->ns, dir->inode, name, strlen(name), ret_inode, ret_attr);
    if (rc == 0)
        ret_attr->ino += dir->base;
    return rc;
}

void node_reply_entry(fuse_req_t req, const struct node *node, struct ns_inode *inode,
                      const struct ns_attr *attr)
{
    struct fuse_entry_param entry;
    fill_entry(node->fs, attr, &entry);
    if (fuse_reply_entry(req, &entry))
        ns_inode_put(node->ns, inode, 1);
}

bool node_claims_capabilities(const struct node *node, const char *name, size_t size)
{
    return size == 0 && node->shown && node->fs->no_open && S_ISREG(ns_inode_type(node->inode)) &&
           strcmp(name, "security.capability") == 0;
}

enum ns_access node_access(const struct node *node, int open_flags)
{
    return node->shown ? NS_ACCESS_IGNORED : access_by(node->fs, node->inode, open_flags);
}
