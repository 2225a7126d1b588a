// Names, attributes and content that commands change, and what the kernel has of them.
//
// The kernel keeps names and attributes for ever, because all changes go through it. Those of a
// command do not: after each the kernel is told to forget. It takes a directory's lock for that,
// for which it may wait until requests have been served; so only threads that serve none, and hold
// no lock, may be here.
//
// With the write-back cache the kernel does not believe us about the size and times of a regular
// file that it knows: it would keep the old ones as long as it knows the file. So before a file is
// given new content it is made to forget it, with its name. It cannot while the file is open, or
// known by another name; then only the kernel itself can cut it. That a file has grown it can be
// told: bytes that are stored in its page cache beyond the end move the end.
//
// Thread safety: any thread that serves no requests; no state.
#include "mount/control_kernel.h"

#include <assert.h>
#include <string.h>
#include <time.h>

#include "mount/counts.h"
#include "mount/fuse_api.h"
#include "mount/session.h"
#include "mount/snapdir.h"
#include "mount/transport.h"
#include "ns/changes/intake.h"

#define FORGET_TRIES 100
#define FORGET_MS    2

static struct lsmfs *fs_of(struct live *live)
{
    return ((struct kernel_live *)live)->fs;
}

static void forget_name(struct lsmfs *fs, struct ns_inode *dir, const char *name, size_t name_size)
{
    char text[NS_NAME_MAX + 1];
    assert(!transport_is_serving());
    if (name_size > NS_NAME_MAX)
        return;
    memcpy(text, name, name_size);
    text[name_size] = 0;
    // A failure does not matter: it says that the kernel does not know the name.
    fuse_lowlevel_notify_inval_entry(fs->session, ns_inode_ino(dir), text, name_size);
}

// Makes the kernel write out the file's pages, and then drop them and the attributes.
static void forget_pages(struct lsmfs *fs, struct ns_inode *inode)
{
    assert(!transport_is_serving());
    fuse_lowlevel_notify_inval_inode(fs->session, ns_inode_ino(inode), 0, 0);
}

static void kernel_name_changed(struct live *live, struct ns_inode *dir, const char *name,
                                size_t name_size)
{
    struct lsmfs *fs = fs_of(live);
    forget_name(fs, dir, name, name_size);
    forget_pages(fs, dir); // of a directory: its attributes and listing
}

static void kernel_inode_changed(struct live *live, struct ns_inode *inode)
{
    fuse_lowlevel_notify_inval_inode(fs_of(live)->session, ns_inode_ino(inode), -1, 0);
}

static bool kernel_content_begin(struct live *live, struct ns_inode *dir, const char *name,
                                 size_t name_size, struct ns_inode *inode)
{
    const struct timespec moment = {.tv_nsec = FORGET_MS * 1000000L};
    struct lsmfs *fs = fs_of(live);
    forget_pages(fs, inode);
    if (!fs->writeback)
        return true;
    forget_name(fs, dir, name, name_size);
    // The kernel sends a FORGET by itself, soon after it has dropped the name.
    for (int i = 0; i < FORGET_TRIES && ns_inode_refs(inode) > 1; i++)
        nanosleep(&moment, NULL);
    return ns_inode_refs(inode) <= 1;
}

// Raises the size that the kernel has of the file to that in the store, and makes the kernel drop
// the file's pages.
static void tell_size(struct lsmfs *fs, struct ns_inode *inode)
{
    struct ns_attr attr;
    char last;
    if (fs->writeback && ns_getattr(fs->ns, inode, &attr) == 0 && attr.size &&
        ns_read(fs->ns, inode, &last, 1, attr.size - 1) == 1) {
        struct fuse_bufvec bytes = FUSE_BUFVEC_INIT(1);
        bytes.buf[0].mem = &last;
        fuse_lowlevel_notify_store(fs->session, attr.ino, (off_t)attr.size - 1, &bytes, 0);
    }
    forget_pages(fs, inode);
}

// The kernel forgets a name only when the lookups under way have ended. One of these may have
// brought the file back as it was before its new content, and somebody may hold it: so its size is
// told again after that.
static void kernel_content_end(struct live *live, struct ns_inode *dir, const char *name,
                               size_t name_size, struct ns_inode *inode)
{
    struct lsmfs *fs = fs_of(live);
    tell_size(fs, inode);
    forget_name(fs, dir, name, name_size);
    tell_size(fs, inode);
    forget_pages(fs, dir);
}

// Makes the kernel pass on what programs have written: it is to be in the snapshot.
static void kernel_snapshot_begin(struct live *live)
{
    session_sync(&fs_of(live)->options);
}

static void kernel_snapshot_changed(struct live *live, const char *name)
{
    snapdir_changed(fs_of(live)->snapdir, name);
}

struct taken {
    struct lsmfs *fs;
    bool renews, renewed;
};

static void was_taken(void *arg, struct ns_inode *dir, const void *name, size_t name_size,
                      struct ns_inode *inode, bool is_other)
{
    struct taken *taken = arg;
    if (inode) {
        forget_pages(taken->fs, inode);
        if (is_other && taken->renews && S_ISREG(ns_inode_type(inode))) {
            generations_renew(&taken->fs->generations, ns_inode_ino(inode));
            taken->renewed = true;
        }
    } else {
        forget_name(taken->fs, dir, name, name_size);
        forget_pages(taken->fs, dir);
    }
}

// The kernel forgets a name only when the lookups under way have ended. So after the first round no
// lookup is left that was answered from before the changes. A file that the kernel still knows then
// is open, or the kernel may have its old size and times: the file gets another generation, and in
// a second round its names are forgotten once more.
static int kernel_changes_taken(struct live *live, const char *base, const char *snapshot)
{
    struct lsmfs *fs = fs_of(live);
    struct taken taken = {.fs = fs, .renews = fs->writeback};
    int rc = intake_tell(fs->ns, base, snapshot, was_taken, &taken);
    taken.renews = false;
    if (!rc && taken.renewed)
        rc = intake_tell(fs->ns, base, snapshot, was_taken, &taken);
    snapdir_changed(fs->snapdir, snapshot);
    return rc;
}

static void kernel_figures(struct live *live, struct mount_figures *ret_figures)
{
    counts_figures(fs_of(live), ret_figures);
}

void kernel_live_init(struct kernel_live *kernel, struct lsmfs *fs)
{
    *kernel = (struct kernel_live){
        .live = {.ns = fs->ns,
                 .directory = fs->options.db,
                 .name_changed = kernel_name_changed,
                 .inode_changed = kernel_inode_changed,
                 .content_begin = kernel_content_begin,
                 .content_end = kernel_content_end,
                 .snapshot_begin = kernel_snapshot_begin,
                 .snapshot_changed = kernel_snapshot_changed,
                 .changes_taken = kernel_changes_taken,
                 .watch = &fs->watch,
                 .figures = kernel_figures},
        .fs = fs,
    };
}
