// IOCTL: the flags of chattr(1), in both of their forms.
//
// The kernel opens the file or directory for it (so that the handle is of no use here), has checked
// who may change which flag, and knows the sizes: FS_IOC_GETFLAGS and SETFLAGS are declared with a
// long and carry an int. Everything else is refused with ENOTTY, which is what programs expect that
// ask whether a file is a terminal.
#include <assert.h>
#include <errno.h>
#include <linux/fs.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#include "mount/messages.h"
#include "mount/node.h"
#include "mount/serve.h"

static const struct {
    uint32_t ns, flag, xflag;
} bits[] = {
    {NS_IMMUTABLE, FS_IMMUTABLE_FL, FS_XFLAG_IMMUTABLE},
    {NS_APPEND, FS_APPEND_FL, FS_XFLAG_APPEND},
    {NS_NODUMP, FS_NODUMP_FL, FS_XFLAG_NODUMP},
    {NS_NOATIME, FS_NOATIME_FL, FS_XFLAG_NOATIME},
};
#define BITS (sizeof bits / sizeof *bits)
static_assert(BITS == (size_t)__builtin_popcount(NS_FLAGS), "all flags");
static_assert(sizeof(struct fsxattr) == 28, "linux/fs.h");

static void get_flags(fuse_req_t req, const struct node *node, bool extended, size_t out_size)
{
    struct ns_attr attr;
    uint32_t flags = 0;
    struct fsxattr x = {0};
    uint8_t reply[sizeof x] = {0};
    int rc = node_attr(node, &attr);
    if (rc == 0 &&
        (out_size < sizeof flags || out_size > sizeof reply || (extended && out_size != sizeof x)))
        rc = -EINVAL;
    if (rc < 0) {
        fuse_reply_err(req, -rc);
        return;
    }
    for (size_t i = 0; i < BITS; i++)
        if (attr.flags & bits[i].ns) {
            flags |= bits[i].flag;
            x.fsx_xflags |= bits[i].xflag;
        }
    if (extended)
        memcpy(reply, &x, sizeof x);
    else
        memcpy(reply, &flags, sizeof flags);
    fuse_reply_ioctl(req, 0, reply, out_size);
}

// 0 or -errno.
static int decode_flags(bool extended, const void *in, size_t in_size, uint32_t *ret_flags)
{
    struct fsxattr x = {0};
    uint32_t asked = 0;
    *ret_flags = 0;
    if (in_size < (extended ? sizeof x : sizeof asked))
        return -EINVAL;
    if (extended) {
        memcpy(&x, in, sizeof x);
        asked = x.fsx_xflags;
        if (x.fsx_extsize || x.fsx_projid || x.fsx_cowextsize)
            return -EOPNOTSUPP;
    } else {
        memcpy(&asked, in, sizeof asked);
    }
    for (size_t i = 0; i < BITS; i++) {
        uint32_t bit = extended ? bits[i].xflag : bits[i].flag;
        if (asked & bit)
            *ret_flags |= bits[i].ns;
        asked &= ~bit;
    }
    return asked ? -EOPNOTSUPP : 0;
}

// Whoever opens an immutable or append-only file for writing has to be refused then; later would be
// too late, with what he has written in the page cache. 0 or -errno.
static int check_enforced(struct lsmfs *fs, struct ns_inode *inode, uint32_t flags)
{
    struct ns_attr attr;
    if (!fs->no_open || !S_ISREG(ns_inode_type(inode)))
        return 0;
    int rc = ns_getattr(fs->ns, inode, &attr);
    if (rc == 0 && flags & ~attr.flags & (NS_IMMUTABLE | NS_APPEND)) {
        messages_write(LOG_WARNING,
                       "immutable and append-only files need the mount option open_requests");
        rc = -EOPNOTSUPP;
    }
    return rc;
}

static void set_flags(fuse_req_t req, struct ns_inode *inode, bool extended, const void *in,
                      size_t in_size)
{
    struct lsmfs *fs = lsmfs_of(req);
    uint32_t flags;
    int rc = decode_flags(extended, in, in_size, &flags);
    if (rc == 0)
        rc = check_enforced(fs, inode, flags);
    if (rc == 0)
        rc = ns_set_flags(fs->ns, inode, flags, fs->writeback && S_ISREG(ns_inode_type(inode)));
    if (rc == 0) // the kernel's attributes are stale: ctime has moved
        fuse_lowlevel_notify_inval_inode(fs->session, ns_inode_ino(inode), -1, 0);
    if (rc < 0)
        fuse_reply_err(req, -rc);
    else
        fuse_reply_ioctl(req, 0, NULL, 0);
}

void serve_ioctl(fuse_req_t req, fuse_ino_t ino, unsigned cmd, void *arg, struct fuse_file_info *fi,
                 unsigned flags, const void *in, size_t in_size, size_t out_size)
{
    (void)arg, (void)fi, (void)flags;
    bool gets = cmd == FS_IOC_GETFLAGS || cmd == FS_IOC_FSGETXATTR;
    bool sets = cmd == FS_IOC_SETFLAGS || cmd == FS_IOC_FSSETXATTR;
    if (!gets && !sets) {
        fuse_reply_err(req, ENOTTY);
        return;
    }
    struct node node;
    if (sets && is_shown(lsmfs_of(req), ino)) {
        fuse_reply_err(req, EROFS);
        return;
    }
    if (!node_get(req, ino, &node))
        return;
    if (gets)
        get_flags(req, &node, cmd == FS_IOC_FSGETXATTR, out_size);
    else
        set_flags(req, node.inode, cmd == FS_IOC_FSSETXATTR, in, in_size);
    node_done(&node);
}
