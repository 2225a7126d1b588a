// Open files: CREATE (TMPFILE too), OPEN, RELEASE, READ, WRITE, FSYNC, FALLOCATE, LSEEK,
// COPY_FILE_RANGE.
//
// OPEN and RELEASE are not sent, nor CREATE, which becomes MKNOD, if fs->no_open: the first of each
// is answered with ENOSYS, and the kernel then opens files by itself. What needs to be known of
// open files is known without them: the kernel's references keep the content of an unlinked file
// (ns_keep_unlinked), O_TRUNC comes as a SETATTR, and reading as READ.
//
// Where they are sent, a handle is a pointer to the inode, which holds one reference and counts as
// open until RELEASE. No other request looks at it. Nothing is known here of access modes: the
// kernel checks them, and with the write-back cache it reads through files opened for writing only,
// and writes pages through any handle of the inode. O_APPEND is the kernel's business too: it knows
// the size.
//
// Times. With the write-back cache the kernel owns mtime and ctime of regular files: it sets them
// with its own, coarser, clock when the program makes the call, and sends them in a SETATTR, which
// may arrive before the data, and does not arrive if two calls fall into one tick of that clock. So
// WRITE, OPEN with O_TRUNC, FALLOCATE and COPY_FILE_RANGE leave the times alone: what a program has
// seen is what the store gets.
//
// O_DIRECT. Without the write-back cache such a file is direct for the kernel too, and its writes
// go side by side. With it that must not be: the kernel, which then owns the times, does not set
// them in such writes. Direct writes beside readers through the page cache: see pages.h.
//
// Times of access. The kernel keeps none for FUSE; it asks again for them after each READ, but says
// nothing of reads that its cache serves. So READ counts as reading; and opening a file to read it
// does, where OPEN is sent: then the kernel is told if that moved the time.
//
// What is lost. With the write-back cache write(2) succeeds before a WRITE is sent, and one that
// fails is reported by fsync and close. That some of a file is lost is remembered (ns_lose), so
// that it does not read as zeros later; who goes on writing is told too: after a loss the kernel's
// attributes are made invalid, write(2) asks for them, and that GETATTR fails (serve_attr.c).
//
// setuid and setgid. WRITE and OPEN say whether they are to be cleared. FALLOCATE and
// COPY_FILE_RANGE do not; there the caller's capabilities decide.
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "mount/caller.h"
#include "mount/flusher.h"
#include "mount/messages.h"
#include "mount/node.h"
#include "mount/pages.h"
#include "mount/protocol.h"
#include "mount/relist.h"
#include "mount/scratch.h"
#include "mount/serve.h"
#include "mount/syncer.h"

static bool may_write(const struct fuse_file_info *fi)
{
    return (fi->flags & O_ACCMODE) != O_RDONLY;
}

// Makes `inode`'s reference that of a handle in `fi`. 0 or -errno.
static int handle_open(struct lsmfs *fs, struct ns_inode *inode, struct fuse_file_info *fi)
{
    int rc = ns_inode_opened(fs->ns, inode);
    if (rc == 0 && may_write(fi))
        ns_inode_writers(inode, 1);
    fi->fh = (uintptr_t)inode;
    fi->keep_cache = 1; // changes go through the kernel, or it is told of them
    fi->direct_io = fi->flags & O_DIRECT && !fs->writeback && protocol_maps_direct_files();
    assert(!fs->no_open);
    return rc;
}

static void handle_close(struct lsmfs *fs, const struct fuse_file_info *fi)
{
    struct ns_inode *inode = (struct ns_inode *)(uintptr_t)fi->fh;
    assert(ns_inode_refs(inode) > 0);
    if (may_write(fi))
        ns_inode_writers(inode, -1);
    ns_inode_closed(fs->ns, inode);
    ns_inode_put(fs->ns, inode, 1);
}

// Answers a CREATE with `inode`, of which the caller has one reference.
static void reply_created(fuse_req_t req, struct ns_inode *inode, const struct ns_attr *attr,
                          struct fuse_file_info *fi)
{
    struct lsmfs *fs = lsmfs_of(req);
    struct fuse_entry_param entry;
    fill_entry(lsmfs_of(req), attr, &entry);
    fi->fh = 0;
    if (!fs->no_open) {
        ns_inode_ref(inode);
        int rc = handle_open(fs, inode, fi);
        if (rc < 0) {
            ns_inode_put(fs->ns, inode, 2);
            fuse_reply_err(req, -rc);
            return;
        }
    }
    if (fuse_reply_create(req, &entry, fi)) {
        if (fi->fh)
            handle_close(fs, fi);
        ns_inode_put(fs->ns, inode, 1);
    }
}

void serve_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
                  struct fuse_file_info *fi)
{
    struct lsmfs *fs = lsmfs_of(req);
    const struct ns_cred cred = cred_of(req);
    struct ns_attr attr;
    if (fs->no_open && !protocol_is_tmpfile()) {
        fuse_reply_err(req, ENOSYS);
        return;
    }
    struct ns_inode *dir = request_dir(req, parent, protocol_is_tmpfile() ? "" : name), *inode;
    if (!dir)
        return;
    mode = (mode & ~(mode_t)S_IFMT) | S_IFREG;
    int rc = protocol_is_tmpfile()
                 ? ns_tmpfile(fs->ns, &cred, dir, mode, &inode, &attr)
                 : ns_mknod(fs->ns, &cred, dir, name, strlen(name), mode, 0, &inode, &attr);
    ns_inode_put(fs->ns, dir, 1);
    if (rc == 0) {
        rc = commit_names(fs);
        if (rc < 0)
            ns_inode_put(fs->ns, inode, 1);
    }
    if (rc < 0) {
        fuse_reply_err(req, -rc);
        return;
    }
    reply_created(req, inode, &attr, fi);
}

// What OPEN does beside opening: O_TRUNC, and the time of access. 0 or -errno.
static int open_effects(fuse_req_t req, struct ns_inode *inode, int flags)
{
    struct lsmfs *fs = lsmfs_of(req);
    if (!(flags & O_TRUNC)) {
        if (request_accessed(fs, inode, flags))
            fuse_lowlevel_notify_inval_inode(fs->session, ns_inode_ino(inode), -1, 0);
        return 0;
    }
    const struct ns_attr empty = {.size = 0};
    struct ns_attr now;
    unsigned mask = NS_SET_SIZE | (fs->writeback ? NS_SET_KEEP_TIMES : NS_SET_MTIME_NOW);
    if (protocol_kills_suid())
        mask |= NS_SET_KILL_SUID;
    int rc = ns_setattr(fs->ns, inode, &empty, mask, &now);
    if (rc == 0 && mask & NS_SET_KILL_SUID)
        request_content_changed(req, inode, &now);
    return rc;
}

// Whether the file's own flags let it be opened for writing. 0 or -errno.
static int check_flags(struct lsmfs *fs, struct ns_inode *inode, int flags)
{
    struct ns_attr attr;
    int rc = ns_getattr(fs->ns, inode, &attr);
    if (rc < 0)
        return rc;
    bool appends = flags & O_APPEND && !(flags & O_TRUNC);
    return attr.flags & NS_IMMUTABLE || (attr.flags & NS_APPEND && !appends) ? -EPERM : 0;
}

// A file of a snapshot. The kernel holds it while it is open, and there is nothing else to know.
static void open_shown(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct node node;
    if (may_write(fi) || fi->flags & O_TRUNC) {
        fuse_reply_err(req, EROFS);
        return;
    }
    if (!node_get(req, ino, &node))
        return;
    fi->fh = 0;
    fi->keep_cache = 1;
    fuse_reply_open(req, fi);
    node_done(&node);
}

void serve_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct lsmfs *fs = lsmfs_of(req);
    if (fs->no_open) {
        fuse_reply_err(req, ENOSYS);
        return;
    }
    if (is_shown(fs, ino)) {
        open_shown(req, ino, fi);
        return;
    }
    struct ns_inode *inode = request_inode(req, ino);
    if (!inode)
        return;
    // The kernel answers ESTALE, of a file that has just been removed, with another lookup.
    int rc = may_write(fi) ? check_flags(fs, inode, fi->flags) : 0;
    if (rc == 0)
        rc = handle_open(fs, inode, fi);
    if (rc < 0) {
        request_done(req, inode);
        fuse_reply_err(req, -rc);
        return;
    }
    rc = open_effects(req, inode, fi->flags);
    if (rc < 0) {
        handle_close(fs, fi);
        fuse_reply_err(req, -rc);
    } else if (fuse_reply_open(req, fi)) {
        handle_close(fs, fi);
    }
}

void serve_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)ino;
    if (fi->fh) // 0 for O_TMPFILE where OPEN is not sent, and for files of snapshots
        handle_close(lsmfs_of(req), fi);
    fuse_reply_err(req, 0);
}

void serve_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                struct fuse_file_info *fi)
{
    struct lsmfs *fs = lsmfs_of(req);
    struct node node;
    if (!node_get(req, ino, &node))
        return;
    void *data = scratch_get(size);
    if (!protocol_is_direct() && !node.shown)
        pages_cached(node.inode);
    if (offset == 0 && !node.shown)
        relist_used(fs, node.inode, true);
    ssize_t n = data ? ns_read_with(node.ns, node.inode, data, size, (uint64_t)offset,
                                    node_access(&node, fi->flags))
                     : -ENOMEM;
    // The kernel fills the page around a write. At the end of the file nobody could write any more
    // if that were refused because of what is lost there.
    if (n == -EIO && (fi->flags & O_ACCMODE) == O_WRONLY)
        n = ns_read_end(node.ns, node.inode, data, size, (uint64_t)offset);
    node_done(&node);
    if (n < 0)
        fuse_reply_err(req, (int)-n);
    else
        fuse_reply_buf(req, data, (size_t)n);
}

static unsigned change_flags(const struct lsmfs *fs, bool keep_suid)
{
    return (keep_suid ? NS_WRITE_KEEP_SUID : 0u) | (fs->writeback ? NS_WRITE_KEEP_TIMES : 0u);
}

// For requests that do not say whether setuid and setgid go; most files have neither.
static bool keeps_suid(fuse_req_t req, struct ns_inode *inode)
{
    struct ns_attr attr;
    return ns_getattr(lsmfs_of(req)->ns, inode, &attr) == 0 &&
           (!(attr.mode & (S_ISUID | S_ISGID)) || caller_keeps_suid(req));
}

// Pages that could not be stored are clean for the kernel all the same; what they were to bring is
// noted as lost, before it is told. What flags of the file forbid is not lost.
static void lose_pages(struct lsmfs *fs, struct ns_inode *inode, uint64_t offset, size_t size,
                       int rc)
{
    if (rc == -EPERM || rc == -ESTALE)
        return;
    if (ns_lose(fs->ns, inode, offset, size) < 0)
        messages_write(LOG_ERR,
                       "inode %llu: %zu bytes at offset %llu were lost, and may read as zeros",
                       (unsigned long long)ns_inode_ino(inode), size, (unsigned long long)offset);
    fuse_lowlevel_notify_inval_inode(fs->session, ns_inode_ino(inode), -1,
                                     0); // serve_getattr tells
}

void serve_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t offset,
                 struct fuse_file_info *fi)
{
    (void)fi;
    struct lsmfs *fs = lsmfs_of(req);
    unsigned flags = change_flags(fs, !protocol_kills_suid());
    if (fs->no_open)
        flags |= NS_WRITE_UNOPENED;
    if (protocol_is_written_back())
        flags |= NS_WRITE_LATE | (fs->no_open ? 0u : NS_WRITE_EARLIER);
    struct ns_attr attr;
    if (is_shown(fs, ino)) // it was opened without us, and written to before it was guarded
        snapdir_drop_pages(fs->snapdir, ino);
    struct ns_inode *inode = request_inode(req, ino);
    if (!inode)
        return;
    if (!protocol_is_direct())
        pages_cached(inode);
    ssize_t n = ns_write(fs->ns, inode, data, size, (uint64_t)offset, flags, &attr);
    if (n < 0) {
        if (flags & NS_WRITE_LATE)
            lose_pages(fs, inode, (uint64_t)offset, size, (int)n);
        fuse_reply_err(req, (int)-n);
    } else {
        if (!(flags & NS_WRITE_KEEP_SUID))
            request_content_changed(req, inode, &attr);
        if (n && protocol_is_direct() && pages_may_be_stale(inode))
            flusher_written(fs->flusher, req, inode, (uint64_t)offset, (size_t)n);
        else
            fuse_reply_write(req, (size_t)n);
    }
    ns_inode_put(fs->ns, inode, 1);
}

void serve_fsync(fuse_req_t req, fuse_ino_t ino, int data_only, struct fuse_file_info *fi)
{
    (void)data_only, (void)fi; // data and metadata are in one log
    struct node node;
    if (!node_get(req, ino, &node))
        return;
    if (!node.shown)
        ns_fsync_begins(node.inode);
    node_done(&node);
    syncer_sync(lsmfs_of(req)->syncer, req);
}

void serve_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset, off_t length,
                     struct fuse_file_info *fi)
{
    (void)fi;
    struct lsmfs *fs = lsmfs_of(req);
    struct ns_attr attr;
    struct ns_inode *inode = request_inode(req, ino);
    if (!inode)
        return;
    unsigned flags = change_flags(fs, keeps_suid(req, inode));
    int rc =
        ns_fallocate_with(fs->ns, inode, mode, (uint64_t)offset, (uint64_t)length, flags, &attr);
    if (rc == 0 && !(flags & NS_WRITE_KEEP_SUID))
        request_content_changed(req, inode, &attr);
    request_done(req, inode);
    fuse_reply_err(req, -rc);
}

void serve_lseek(fuse_req_t req, fuse_ino_t ino, off_t offset, int whence,
                 struct fuse_file_info *fi)
{
    (void)fi;
    struct lsmfs *fs = lsmfs_of(req);
    struct node node;
    if (!node_get(req, ino, &node))
        return;
    if (node.shown)
        flusher_reply_seek(req, ns_seek(node.ns, node.inode, (uint64_t)offset, whence));
    else
        flusher_seek(fs->flusher, req, node.inode, (uint64_t)offset, whence);
    node_done(&node);
}

void serve_copy_file_range(fuse_req_t req, fuse_ino_t from_ino, off_t from_offset,
                           struct fuse_file_info *from_fi, fuse_ino_t to_ino, off_t to_offset,
                           struct fuse_file_info *to_fi, size_t size, int flags)
{
    (void)from_fi, (void)to_fi;
    struct lsmfs *fs = lsmfs_of(req);
    struct ns_attr attr = {0};
    struct node from;
    struct ns_inode *to = request_inode(req, to_ino);
    if (!to)
        return;
    if (!node_get(req, from_ino, &from)) {
        ns_inode_put(fs->ns, to, 1);
        return;
    }
    unsigned how = change_flags(fs, keeps_suid(req, to));
    ssize_t n = flags ? -EINVAL
                      : ns_copy_range_from(fs->ns, from.ns, from.inode, (uint64_t)from_offset, to,
                                           (uint64_t)to_offset, size, how, &attr);
    if (n > 0 && !(how & NS_WRITE_KEEP_SUID))
        request_content_changed(req, to, &attr);
    ns_inode_put(fs->ns, to, 1);
    node_done(&from);
    if (n < 0) {
        fuse_reply_err(req, (int)-n);
        return;
    }
    fuse_reply_write(req, (size_t)n);
}
