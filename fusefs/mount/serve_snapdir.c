// Requests about the directory of snapshots itself: what is in it, and its attributes.
//
// The directory lists the named snapshots by their numbers, so positions are numbers too. Entries
// of a listing bring no inodes: that would open every snapshot. Thread safety: any thread.
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "mount/node.h"
#include "mount/protocol.h"
#include "mount/scratch.h"
#include "mount/serve.h"

#define COOKIE_DOT  1
#define COOKIE_DOTS 2 // and those of snapshots are this plus their number

struct sum {
    uint64_t count, newest_us;
};

static int add_up(void *arg, const struct lsm_snapshot_info *info)
{
    struct sum *sum = arg;
    sum->count++;
    if (info->created_us > sum->newest_us)
        sum->newest_us = info->created_us;
    return 0;
}

// 0, 1 if `fn` stopped, or a negative errno.
static int list_snapshots(struct lsmfs *fs, lsm_snapshot_fn *fn, void *arg)
{
    int rc = lsm_snapshot_list(ns_engine(fs->ns), fn, arg);
    return rc < 0 ? -ns_errno(rc) : rc;
}

// The directory has the root's owner, and the time of its newest snapshot.
static int attributes(struct lsmfs *fs, struct ns_attr *ret_attr)
{
    struct ns_attr root;
    struct sum sum = {0};
    int rc = ns_getattr(fs->ns, ns_root(fs->ns), &root);
    if (rc == 0)
        rc = list_snapshots(fs, add_up, &sum);
    if (rc)
        return rc;
    struct timespec time = root.btime;
    if (sum.count)
        time = (struct timespec){.tv_sec = (time_t)(sum.newest_us / 1000000),
                                 .tv_nsec = (long)(sum.newest_us % 1000000) * 1000};
    *ret_attr = (struct ns_attr){
        .ino = SNAPDIR_INO,
        .mode = S_IFDIR | 0555,
        .nlink = 2 + (uint32_t)sum.count,
        .uid = root.uid,
        .gid = root.gid,
        .size = sum.count,
        .atime = time,
        .mtime = time,
        .ctime = time,
        .btime = root.btime,
    };
    return 0;
}

void serve_snapdir_getattr(fuse_req_t req)
{
    struct ns_attr attr;
    struct stat st;
    int rc = attributes(lsmfs_of(req), &attr);
    if (rc) {
        fuse_reply_err(req, -rc);
    } else if (protocol_is_statx()) {
        protocol_reply_statx(req, &attr, CACHE_FOREVER_S);
    } else {
        attr_to_stat(&attr, &st);
        fuse_reply_attr(req, &st, CACHE_FOREVER_S);
    }
}

// The directory, as an entry of the root.
void serve_snapdir_lookup_itself(fuse_req_t req)
{
    struct ns_attr attr;
    struct fuse_entry_param entry;
    int rc = attributes(lsmfs_of(req), &attr);
    if (rc) {
        fuse_reply_err(req, -rc);
        return;
    }
    fill_entry(lsmfs_of(req), &attr, &entry);
    fuse_reply_entry(req, &entry); // nothing is kept that would have to be given back
}

void serve_snapdir_lookup(fuse_req_t req, const char *name)
{
    struct lsmfs *fs = lsmfs_of(req);
    struct snapdir_snapshot *shown;
    struct ns_attr attr;
    int rc = snapdir_open(fs->snapdir, name, &shown);
    if (rc) {
        fuse_reply_err(req, -rc); // and the kernel does not keep that there is none
        return;
    }
    assert(shown->ns);
    struct node root = {.fs = fs,
                        .ns = shown->ns,
                        .inode = ns_root(shown->ns),
                        .base = shown->id << NS_INO_BITS,
                        .shown = shown};
    ns_inode_ref(root.inode);
    rc = node_attr(&root, &attr);
    if (rc) {
        fuse_reply_err(req, -rc);
    } else {
        ns_inode_ref(root.inode);
        node_reply_entry(req, &root, root.inode, &attr);
    }
    node_done(&root);
}

// ------------------------------------------------------------------------------- listing

struct names {
    fuse_req_t req;
    char *data;
    size_t size, used;
    uint64_t cookie; // of the last entry that was delivered before
    bool plus;
};

// 1 if it does not fit.
static int add_name(struct names *names, const char *name, uint64_t ino, uint64_t cookie)
{
    struct fuse_entry_param entry = {.attr = {.st_ino = ino, .st_mode = S_IFDIR}};
    char *data = names->data + names->used;
    size_t room = names->size - names->used, n;
    assert(names->used <= names->size && cookie > 0);
    if (cookie <= names->cookie)
        return 0;
    if (names->plus)
        n = fuse_add_direntry_plus(names->req, data, room, name, &entry, (off_t)cookie);
    else
        n = fuse_add_direntry(names->req, data, room, name, &entry.attr, (off_t)cookie);
    if (n > room)
        return 1;
    names->used += n;
    return 0;
}

static int add_snapshot(void *arg, const struct lsm_snapshot_info *info)
{
    return add_name(arg, info->name, (info->id << NS_INO_BITS) + NS_ROOT_INO,
                    COOKIE_DOTS + info->id);
}

void serve_snapdir_readdir(fuse_req_t req, size_t size, off_t cookie, bool plus)
{
    struct lsmfs *fs = lsmfs_of(req);
    struct names names = {.req = req,
                          .data = scratch_get(size),
                          .size = size,
                          .cookie = (uint64_t)cookie,
                          .plus = plus};
    int rc = names.data ? add_name(&names, ".", SNAPDIR_INO, COOKIE_DOT) : -ENOMEM;
    if (!rc)
        rc = add_name(&names, "..", NS_ROOT_INO, COOKIE_DOTS);
    if (!rc)
        rc = list_snapshots(fs, add_snapshot, &names);
    if (rc < 0)
        fuse_reply_err(req, -rc);
    else
        fuse_reply_buf(req, names.data, names.used);
}
