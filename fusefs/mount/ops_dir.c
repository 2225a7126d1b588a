// Directories: OPENDIR, READDIR, READDIRPLUS, RELEASEDIR, FSYNCDIR.
//
// A handle holds the namespace's open directory, one reference of the inode, and a lock: the kernel
// reads one handle from one place at a time, but a reader that was killed may leave its request
// running while the next one begins.
//
// The kernel is not asked to cache listings (FOPEN_CACHE_DIR): it would serve one handle from what
// another one has read, and then come back here with a position of that other, perhaps long closed,
// handle; positions are exact only in the listing they belong to.
//
// READDIRPLUS gives the kernel one reference for every entry that carries an inode. An entry that
// does not fit is refused, and the namespace keeps its reference; when the kernel does not take the
// reply, the references in it are found again by reading the buffer.
#include <errno.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "mount/inode_table.h"
#include "mount/ops.h"
#include "mount/scratch.h"
#include "mount/syncer.h"

struct dir_handle {
    pthread_mutex_t lock; // guards dir
    struct ns_dir *dir;
    struct ns_inode *inode;
};

static struct dir_handle *handle_of(const struct fuse_file_info *fi)
{
    return (struct dir_handle *)(uintptr_t)fi->fh;
}

static void handle_close(struct lsmfs *fs, struct dir_handle *handle)
{
    ns_dir_close(handle->dir);
    ns_inode_put(fs->ns, handle->inode, 1);
    pthread_mutex_destroy(&handle->lock);
    free(handle);
}

// Takes over the reference of `inode` on success.
static int handle_open(struct lsmfs *fs, struct ns_inode *inode, struct dir_handle **ret_handle)
{
    struct dir_handle *handle = calloc(1, sizeof *handle);
    if (!handle)
        return -ENOMEM;
    int result = ns_dir_open(fs->ns, inode, &handle->dir);
    if (result < 0) {
        free(handle);
        return result;
    }
    pthread_mutex_init(&handle->lock, NULL);
    handle->inode = inode;
    *ret_handle = handle;
    return 0;
}

void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct lsmfs *fs = lsmfs_of(req);
    struct dir_handle *handle;
    struct ns_inode *inode = inode_get(req, ino);
    if (!inode)
        return;
    int result = handle_open(fs, inode, &handle);
    if (result < 0) {
        inode_done(req, inode);
        fuse_reply_err(req, -result);
        return;
    }
    fi->fh = (uintptr_t)handle;
    if (fuse_reply_open(req, fi))
        handle_close(fs, handle);
}

void op_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)ino;
    handle_close(lsmfs_of(req), handle_of(fi));
    fuse_reply_err(req, 0);
}

struct listing {
    fuse_req_t req;
    char *data;
    size_t size, used;
    bool plus;
};

// Appends one entry; 1 if it does not fit.
static int listing_add(void *arg, const struct ns_dirent *entry)
{
    struct listing *list = arg;
    char name[NS_NAME_MAX + 1];
    memcpy(name, entry->name, entry->name_size);
    name[entry->name_size] = 0;
    char *data = list->data + list->used;
    size_t room = list->size - list->used, n;
    struct fuse_entry_param param = {0};
    if (list->plus && entry->inode) {
        entry_fill(entry->attr, &param);
    } else { // inode 0: a name only
        param.attr.st_ino = entry->ino;
        param.attr.st_mode = entry->type;
    }
    if (list->plus)
        n = fuse_add_direntry_plus(list->req, data, room, name, &param, (off_t)entry->cookie);
    else
        n = fuse_add_direntry(list->req, data, room, name, &param.attr, (off_t)entry->cookie);
    if (n > room)
        return 1;
    list->used += n;
    return 0;
}

// Gives back the references in a READDIRPLUS reply that was not taken.
static void listing_forget(struct lsmfs *fs, const char *data, size_t size)
{
    size_t at = 0;
    while (at < size) {
        const struct fuse_direntplus *entry = (const void *)(data + at);
        if (entry->entry_out.nodeid)
            inode_forget(fs, entry->entry_out.nodeid, 1);
        at += FUSE_DIRENTPLUS_SIZE(entry);
    }
}

static void read_directory(fuse_req_t req, size_t size, off_t cookie, struct fuse_file_info *fi,
                           bool plus)
{
    struct lsmfs *fs = lsmfs_of(req);
    struct dir_handle *handle = handle_of(fi);
    struct listing list = {.req = req, .data = scratch_get(size), .size = size, .plus = plus};
    if (!list.data) {
        fuse_reply_err(req, ENOMEM);
        return;
    }
    if (cookie == 0)
        inode_accessed(fs, handle->inode, fi->flags);
    pthread_mutex_lock(&handle->lock);
    int result = ns_dir_read(handle->dir, (uint64_t)cookie, plus, listing_add, &list);
    pthread_mutex_unlock(&handle->lock);
    // What was read before an error is delivered; the next read meets the error again.
    if (result < 0 && list.used == 0)
        fuse_reply_err(req, -result);
    else if (fuse_reply_buf(req, list.data, list.used) && plus)
        listing_forget(fs, list.data, list.used);
}

void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t cookie,
                struct fuse_file_info *fi)
{
    (void)ino;
    read_directory(req, size, cookie, fi, false);
}

void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t cookie,
                    struct fuse_file_info *fi)
{
    (void)ino;
    read_directory(req, size, cookie, fi, true);
}

void op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int data_only, struct fuse_file_info *fi)
{
    (void)ino, (void)data_only, (void)fi;
    syncer_sync(lsmfs_of(req)->syncer, req);
}
