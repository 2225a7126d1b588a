// Node ids and the kernel's references. See request.h.
//
// Counting: LOOKUP, CREATE, MKNOD, MKDIR, SYMLINK, LINK and every entry of READDIRPLUS that carries
// an inode give the kernel one reference when their reply is accepted; FORGET gives back any number
// of them. After a successful reply the reference is not ours any more: the kernel may have
// forgotten it, on another thread, before the reply call returns.
//
// The kernel does not forget what it holds when the mount ends: ns_close() drops it.
#include "mount/request.h"

#include "mount/caller.h"
#include "mount/snapdir.h"
#include "mount/transport.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

struct ns_inode *request_inode(fuse_req_t req, fuse_ino_t ino)
{
    struct lsmfs *fs = lsmfs_of(req);
    bool shown = is_shown(fs, ino);
    struct ns_inode *inode = shown ? NULL : ns_inode_find(fs->ns, ino);
    if (!inode)
        fuse_reply_err(req, shown ? EROFS : ESTALE);
    return inode;
}

struct ns_inode *request_dir(fuse_req_t req, fuse_ino_t ino, const char *name)
{
    if (!is_snapdir_name(lsmfs_of(req), ino, name, strlen(name)))
        return request_inode(req, ino);
    fuse_reply_err(req, EROFS);
    return NULL;
}

struct ns_cred cred_of(fuse_req_t req)
{
    const struct fuse_ctx *ctx = fuse_req_ctx(req);
    // Without access control lists the kernel has applied the umask.
    return (struct ns_cred){
        .uid = ctx->uid, .gid = ctx->gid, .umask = lsmfs_of(req)->acl ? ctx->umask : 0};
}

void request_done(fuse_req_t req, struct ns_inode *inode)
{
    ns_inode_put(lsmfs_of(req)->ns, inode, 1);
}

static_assert(sizeof(off_t) == 8, "NS_FILE_MAX fits");

void attr_to_stat(const struct ns_attr *attr, struct stat *ret_stat)
{
    *ret_stat = (struct stat){
        .st_ino = attr->ino,
        .st_mode = attr->mode,
        .st_nlink = attr->nlink,
        .st_uid = attr->uid,
        .st_gid = attr->gid,
        .st_rdev = attr->rdev,
        .st_size = (off_t)attr->size,
        .st_blocks = (blkcnt_t)attr->blocks,
        .st_blksize = 4096,
        .st_atim = attr->atime,
        .st_mtim = attr->mtime,
        .st_ctim = attr->ctime,
    };
}

void fill_entry(struct lsmfs *fs, const struct ns_attr *attr, struct fuse_entry_param *ret_entry)
{
    *ret_entry = (struct fuse_entry_param){
        .ino = attr->ino,
        .generation = generations_of(&fs->generations, attr->ino),
        .attr_timeout = fs->keep_s,
        .entry_timeout = fs->keep_s,
    };
    attr_to_stat(attr, &ret_entry->attr);
    if (S_ISREG(attr->mode))
        transport_note_file(attr->ino);
}

void reply_inode(fuse_req_t req, struct ns_inode *inode, const struct ns_attr *attr)
{
    assert(ns_inode_refs(inode) > 0);
    struct ns *ns = lsmfs_of(req)->ns; // the request is gone once it has been answered
    struct fuse_entry_param entry;
    fill_entry(lsmfs_of(req), attr, &entry);
    if (fuse_reply_entry(req, &entry))
        ns_inode_put(ns, inode, 1);
}

void request_mode_changed(struct lsmfs *fs, const struct ns_attr *attr)
{
    if (attr->mode_cleared) // offset -1: only the attributes become invalid, no pages
        fuse_lowlevel_notify_inval_inode(fs->session, attr->ino, -1, 0);
}

void request_content_changed(fuse_req_t req, struct ns_inode *inode, struct ns_attr *attr)
{
    struct lsmfs *fs = lsmfs_of(req);
    uint32_t cleared = attr->mode_cleared;
    struct ns_attr now;
    if ((attr->mode & (S_ISGID | S_IXGRP)) == S_ISGID && !caller_in_group(req, attr->gid) &&
        ns_setattr(fs->ns, inode, attr, NS_SET_KILL_SGID | NS_SET_KEEP_TIMES, &now) == 0) {
        *attr = now;
        attr->mode_cleared |= cleared;
    }
    request_mode_changed(fs, attr);
}

enum ns_access access_by(const struct lsmfs *fs, const struct ns_inode *inode, int open_flags)
{
    const struct mount_options *options = &fs->options;
    if (options->read_only || options->atime == ATIME_NEVER || open_flags & O_NOATIME ||
        (open_flags & O_ACCMODE) == O_WRONLY)
        return NS_ACCESS_IGNORED;
    if (options->no_dir_atime && S_ISDIR(ns_inode_type(inode)))
        return NS_ACCESS_IGNORED;
    return options->atime == ATIME_ALWAYS ? NS_ACCESS_ALWAYS : NS_ACCESS_RELATIVE;
}

bool request_accessed(struct lsmfs *fs, struct ns_inode *inode, int open_flags)
{
    // If the time of access cannot be kept, reading goes on all the same.
    return ns_accessed(fs->ns, inode, access_by(fs, inode, open_flags)) > 0;
}

int commit_names(struct lsmfs *fs)
{
    return fs->options.dirsync ? ns_sync(fs->ns) : 0;
}
