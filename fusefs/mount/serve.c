// The table of handlers, and the terms agreed with the kernel when the mount begins.
//
// What is left out on purpose:
//  - flush: libfuse answers ENOSYS and the kernel stops sending it. With the write-back cache the
//    kernel itself writes out dirty pages and times when a file is closed.
//  - access: permissions are checked in the kernel (default_permissions), or not at all.
//  - getlk, setlk, flock: locks stay in the kernel, which sees all users of the mount.
//  - lookups of "." and ".." by number alone (FUSE_CAP_EXPORT_SUPPORT, for NFS): a file's key is
//    its path, so a file that is not live cannot be found by its number.
#include "mount/serve.h"

#include <assert.h>

#include "mount/lsmfs.h"
#include "mount/protocol.h"

#define MAX_WRITE     (1u << 20)
#define MAX_READAHEAD (1u << 20)

static void want(struct fuse_conn_info *conn, unsigned capability, bool on)
{
    conn->want &= ~capability;
    if (on)
        conn->want |= conn->capable & capability;
    assert((conn->want & ~conn->capable & capability) == 0);
}

// OPEN is needed for times of access that count every open, and for files that are to be direct for
// the kernel too. (OPENDIR: see serve_dir.c.)
static bool may_do_without_open(const struct lsmfs *fs)
{
    const struct mount_options *options = &fs->options;
    if (options->open_requests || options->atime == ATIME_ALWAYS)
        return false;
    return fs->writeback || options->read_only;
}

static void serve_init(void *userdata, struct fuse_conn_info *conn)
{
    struct lsmfs *fs = userdata;
    assert(fs->options.read_only || !fs->options.follow);
    want(conn, FUSE_CAP_WRITEBACK_CACHE, !fs->options.no_writeback && !fs->options.read_only);
    fs->writeback = conn->want & FUSE_CAP_WRITEBACK_CACHE;
    // With access control lists comes that the kernel leaves applying the umask to us.
    fs->acl = !fs->options.no_acl && !fs->options.no_permissions &&
              conn->capable & FUSE_CAP_POSIX_ACL && conn->capable & FUSE_CAP_DONT_MASK;
    want(conn, FUSE_CAP_POSIX_ACL | FUSE_CAP_DONT_MASK, fs->acl);
    // libfuse itself looks at who makes a request for allow_root, and with mapped owners most
    // requests do not say.
    if (!fs->options.no_permissions && !fs->options.allow_root)
        protocol_want_idmap();
    want(conn, FUSE_CAP_CACHE_SYMLINKS, true);
    // What opens without asking us can truncate only by a request of its own.
    fs->no_open = may_do_without_open(fs) && conn->capable & FUSE_CAP_NO_OPEN_SUPPORT;
    if (fs->no_open)
        ns_keep_unlinked(fs->ns);
    fs->no_opendir = fs->no_open && conn->capable & FUSE_CAP_NO_OPENDIR_SUPPORT;
    want(conn, FUSE_CAP_ATOMIC_O_TRUNC, !fs->no_open);
    want(conn, FUSE_CAP_READDIRPLUS | FUSE_CAP_READDIRPLUS_AUTO, true);
    // Pages never go stale behind the kernel's back: a changed mtime is no reason to drop them.
    // Unless another process writes.
    want(conn, FUSE_CAP_AUTO_INVAL_DATA, fs->options.follow);
    want(conn, FUSE_CAP_EXPLICIT_INVAL_DATA, !fs->options.follow);
    // Requests and replies pass through memory; the data is copied into or out of the store anyway.
    want(conn, FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE, false);
    if (conn->max_write > MAX_WRITE)
        conn->max_write = MAX_WRITE;
    if (conn->max_readahead > MAX_READAHEAD)
        conn->max_readahead = MAX_READAHEAD;
    conn->max_background = 64;
    conn->congestion_threshold = 48;
    conn->time_gran = 1;
}

const struct fuse_lowlevel_ops lsmfs_ops = {
    .init = serve_init,
    .lookup = serve_lookup,
    .forget = serve_forget,
    .forget_multi = serve_forget_multi,
    .getattr = serve_getattr,
    .setattr = serve_setattr,
    .readlink = serve_readlink,
    .mknod = serve_mknod,
    .mkdir = serve_mkdir,
    .unlink = serve_unlink,
    .rmdir = serve_rmdir,
    .symlink = serve_symlink,
    .rename = serve_rename,
    .link = serve_link,
    .open = serve_open,
    .read = serve_read,
    .write = serve_write,
    .release = serve_release,
    .fsync = serve_fsync,
    .opendir = serve_opendir,
    .readdir = serve_readdir,
    .readdirplus = serve_readdirplus,
    .releasedir = serve_releasedir,
    .fsyncdir = serve_fsyncdir,
    .statfs = serve_statfs,
    .setxattr = serve_setxattr,
    .getxattr = serve_getxattr,
    .listxattr = serve_listxattr,
    .removexattr = serve_removexattr,
    .create = serve_create,
    .fallocate = serve_fallocate,
    .lseek = serve_lseek,
    .copy_file_range = serve_copy_file_range,
    .ioctl = serve_ioctl,
};
