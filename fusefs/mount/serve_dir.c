// Directories: OPENDIR, READDIR, READDIRPLUS, RELEASEDIR, FSYNCDIR.
//
// Nothing is kept for an open directory: a position means the same in every listing of a directory
// (ns_list). So OPENDIR and RELEASEDIR need not be sent, and the kernel may serve one process from
// what another one has read, and come here with a position of a listing that is long over. That is
// what happens where files are opened without a request too (fs->no_open): the first OPENDIR is
// answered with ENOSYS, and the kernel keeps listings until a name in the directory changes, or we
// make it forget them (relist.h). Where each listing is to count as an access, it asks each time.
//
// READDIRPLUS gives the kernel one reference for every entry that carries an inode. An entry that
// does not fit is refused, and the namespace keeps its reference; when the kernel does not take the
// reply, the references in it are found again by reading the buffer.
#include <assert.h>
#include <errno.h>
#include <linux/fuse.h>
#include <string.h>

#include "mount/node.h"
#include "mount/relist.h"
#include "mount/scratch.h"
#include "mount/serve.h"
#include "mount/syncer.h"

void serve_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)ino;
    if (lsmfs_of(req)->no_opendir)
        fuse_reply_err(req, ENOSYS);
    else
        fuse_reply_open(req, fi);
}

void serve_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)ino, (void)fi;
    fuse_reply_err(req, 0);
}

#define COOKIE_SNAPDIR INT64_MAX // those of ns_list() are less than half of that

struct dir_reply {
    fuse_req_t req;
    char *data;
    size_t size, used;
    uint64_t dir;
    uint64_t base; // of node.h
    bool plus;     // entries have room for an inode
    bool is_full;  // one did not fit
};

// Above the root of a snapshot is the directory of all.
static uint64_t number_of(const struct dir_reply *list, const struct ns_dirent *entry)
{
    bool is_above = entry->name_size == 2 && memcmp(entry->name, "..", 2) == 0;
    if (list->base && is_above && list->dir == list->base + NS_ROOT_INO)
        return SNAPDIR_INO;
    return entry->ino + list->base;
}

// Appends one entry; 1 if it does not fit.
static int listing_add(void *arg, const struct ns_dirent *entry)
{
    struct dir_reply *list = arg;
    struct lsmfs *fs = lsmfs_of(list->req);
    char name[NS_NAME_MAX + 1];
    if (is_snapdir_name(fs, list->dir, entry->name, entry->name_size)) { // hidden by ours
        if (entry->inode)
            ns_inode_put(fs->ns, entry->inode, 1);
        return 0;
    }
    assert(entry->name_size < sizeof name && list->used <= list->size);
    memcpy(name, entry->name, entry->name_size);
    name[entry->name_size] = 0;
    char *data = list->data + list->used;
    size_t room = list->size - list->used, n;
    struct fuse_entry_param param = {0};
    if (list->plus && entry->inode) {
        fill_entry(fs, entry->attr, &param);
        param.ino += list->base;
        param.attr.st_ino = param.ino;
    } else { // inode 0: a name only
        param.attr.st_ino = number_of(list, entry);
        param.attr.st_mode = entry->type;
    }
    if (list->plus)
        n = fuse_add_direntry_plus(list->req, data, room, name, &param, (off_t)entry->cookie);
    else
        n = fuse_add_direntry(list->req, data, room, name, &param.attr, (off_t)entry->cookie);
    list->is_full = n > room;
    if (!list->is_full)
        list->used += n;
    return list->is_full;
}

// The root's last entry, if it is to be seen, is the directory of snapshots.
static void add_snapdir(struct dir_reply *list, off_t cookie)
{
    const struct ns_dirent entry = {.name = SNAPDIR_NAME,
                                    .name_size = strlen(SNAPDIR_NAME),
                                    .ino = SNAPDIR_INO,
                                    .type = S_IFDIR,
                                    .cookie = COOKIE_SNAPDIR};
    const struct lsmfs *fs = lsmfs_of(list->req);
    if (!fs->snapdir || fs->options.snapdir != SNAPDIR_VISIBLE || list->dir != NS_ROOT_INO ||
        list->is_full || cookie == COOKIE_SNAPDIR)
        return;
    list->dir = 0; // this one is not hidden
    listing_add(list, &entry);
}

// Gives back the references in a READDIRPLUS reply that was not taken.
static void listing_forget(struct lsmfs *fs, const char *data, size_t size)
{
    size_t at = 0;
    while (at < size) {
        const struct fuse_direntplus *entry = (const void *)(data + at);
        if (entry->entry_out.nodeid)
            node_forget(fs, entry->entry_out.nodeid, 1);
        at += FUSE_DIRENTPLUS_SIZE(entry);
    }
    assert(at == size);
}

static void read_directory(fuse_req_t req, fuse_ino_t ino, size_t size, off_t cookie, bool plus)
{
    struct lsmfs *fs = lsmfs_of(req);
    struct node node;
    if (is_snapdir(fs, ino)) {
        serve_snapdir_readdir(req, size, cookie, plus);
        return;
    }
    if (!node_get(req, ino, &node))
        return;
    struct dir_reply list = {.req = req,
                             .data = scratch_get(size),
                             .size = size,
                             .dir = ino,
                             .base = node.base,
                             .plus = plus};
    int rc = list.data ? 0 : -ENOMEM;
    if (cookie == 0 && !node.shown) {
        relist_begins(fs, node.inode);
        request_accessed(fs, node.inode, 0);
    }
    if (rc == 0 && cookie != COOKIE_SNAPDIR)
        rc = ns_list(node.ns, node.inode, (uint64_t)cookie, plus, listing_add, &list);
    if (rc == 0)
        add_snapdir(&list, cookie);
    if (rc == 0 && list.used == 0 && !node.shown)
        relist_ends(fs, node.inode);
    node_done(&node);
    // What was read before an error is delivered; the next read meets the error again.
    if (rc < 0 && list.used == 0)
        fuse_reply_err(req, -rc);
    else if (fuse_reply_buf(req, list.data, list.used) && plus)
        listing_forget(fs, list.data, list.used);
}

void serve_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t cookie,
                   struct fuse_file_info *fi)
{
    (void)fi;
    read_directory(req, ino, size, cookie, false);
}

void serve_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t cookie,
                       struct fuse_file_info *fi)
{
    (void)fi;
    read_directory(req, ino, size, cookie, true);
}

void serve_fsyncdir(fuse_req_t req, fuse_ino_t ino, int data_only, struct fuse_file_info *fi)
{
    (void)ino, (void)data_only, (void)fi; // of a snapshot too: it is durable already
    syncer_sync(lsmfs_of(req)->syncer, req);
}
