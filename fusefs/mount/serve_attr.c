// Attributes: GETATTR (STATX too), SETATTR, STATFS.
//
// With the write-back cache the kernel is the owner of size, mtime and ctime of regular files while
// it holds the inode: it sends them here explicitly (SETATTR with MTIME and CTIME) before it lets
// go of the inode and at close and fsync, and does not take them from replies. What it does not
// send stays as it is. For everything else times are set here, and the kernel asks again after each
// operation that changes them.
#include <errno.h>

#include "mount/node.h"
#include "mount/protocol.h"
#include "mount/relist.h"
#include "mount/serve.h"

void serve_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct ns_attr attr;
    struct node node;
    if (is_snapdir(lsmfs_of(req), ino)) {
        serve_snapdir_getattr(req);
        return;
    }
    if (!node_get(req, ino, &node))
        return;
    // With a handle it is write(2) who asks, or a read or seek at the end.
    int rc = fi && ns_loss_to_tell(node.inode) ? -ENOSPC : node_attr(&node, &attr);
    if (!node.shown)
        relist_used(lsmfs_of(req), node.inode, false);
    node_done(&node);
    if (rc < 0) {
        fuse_reply_err(req, -rc);
        return;
    }
    if (protocol_is_statx()) {
        protocol_reply_statx(req, &attr, lsmfs_of(req)->keep_s);
        return;
    }
    struct stat st;
    attr_to_stat(&attr, &st);
    fuse_reply_attr(req, &st, lsmfs_of(req)->keep_s);
}

// The namespace's mask for what the kernel wants set.
static unsigned set_mask(int to_set)
{
    static const struct {
        int fuse;
        unsigned ns;
    } bits[] = {
        {FUSE_SET_ATTR_MODE, NS_SET_MODE},   {FUSE_SET_ATTR_UID, NS_SET_UID},
        {FUSE_SET_ATTR_GID, NS_SET_GID},     {FUSE_SET_ATTR_SIZE, NS_SET_SIZE},
        {FUSE_SET_ATTR_CTIME, NS_SET_CTIME}, {FUSE_SET_ATTR_KILL_SUID, NS_SET_KILL_SUID},
    };
    unsigned mask = 0;
    for (size_t i = 0; i < sizeof bits / sizeof *bits; i++)
        if (to_set & bits[i].fuse)
            mask |= bits[i].ns;
    // NOW comes together with a time that does not count.
    if (to_set & FUSE_SET_ATTR_ATIME_NOW)
        mask |= NS_SET_ATIME_NOW;
    else if (to_set & FUSE_SET_ATTR_ATIME)
        mask |= NS_SET_ATIME;
    if (to_set & FUSE_SET_ATTR_MTIME_NOW)
        mask |= NS_SET_MTIME_NOW;
    else if (to_set & FUSE_SET_ATTR_MTIME)
        mask |= NS_SET_MTIME;
    return mask;
}

void serve_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *st, int to_set,
                   struct fuse_file_info *fi)
{
    (void)fi;
    struct ns_inode *inode = request_inode(req, ino);
    if (!inode)
        return;
    const struct ns_attr wanted = {
        .mode = st->st_mode,
        .uid = st->st_uid,
        .gid = st->st_gid,
        .size = (uint64_t)st->st_size,
        .atime = st->st_atim,
        .mtime = st->st_mtim,
        .ctime = st->st_ctim,
    };
    struct ns_attr attr;
    unsigned mask = set_mask(to_set);
    if (lsmfs_of(req)->writeback && S_ISREG(ns_inode_type(inode)))
        mask |= NS_SET_KEEP_TIMES;
    // By such a request the kernel passes on times of writes that may have been made before the
    // file became immutable.
    // It passes on the ctime of every file that it has just removed, too.
    if (to_set == (FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_CTIME)) {
        if (ns_inode_writers(inode, 0))
            mask |= NS_SET_EARLIER;
        if (mask & NS_SET_KEEP_TIMES)
            mask |= NS_SET_CALLERS;
    }
    int rc = ns_setattr(lsmfs_of(req)->ns, inode, &wanted, mask, &attr);
    if (rc == 0 && mask & NS_SET_KILL_SUID)
        request_content_changed(req, inode, &attr);
    request_done(req, inode);
    if (rc < 0) {
        fuse_reply_err(req, -rc);
        return;
    }
    struct stat reply;
    attr_to_stat(&attr, &reply);
    fuse_reply_attr(req, &reply, lsmfs_of(req)->keep_s);
}

void serve_statfs(fuse_req_t req, fuse_ino_t ino)
{
    (void)ino;
    struct statvfs st;
    int rc = ns_statfs(lsmfs_of(req)->ns, &st);
    if (rc < 0)
        fuse_reply_err(req, -rc);
    else
        fuse_reply_statfs(req, &st);
}
