// The snapshots in the mount: the directory .snapshots in its root, in which each named snapshot is
// a directory that shows the tree as it was.
//
// A node id, which is the inode's number in the mount too, is the number of a snapshot (0: the
// present), shifted by NS_INO_BITS, and the number that the inode has in the tree. So no two are
// the same, and each stays what it is over remounts.
//
// Snapshots are opened when they are looked up, and closed when the kernel holds nothing of them
// any more. If very many are open, the kernel is made to forget those that were not used for the
// longest time.
#ifndef LSMFS_MOUNT_SNAPDIR_H
#define LSMFS_MOUNT_SNAPDIR_H

#include "base/lock_check.h"
#include "mount/fuse_api.h"
#include "mount/lsmfs.h"

#define SNAPDIR_NAME ".snapshots"
#define SNAPDIR_INO  NS_INO_LAST // of the directory
#define SNAPDIR_MOST 64u         // open snapshots, unless more are in use

struct snapdir;

extern struct lock_role snapdir_mutex;

// A snapshot that is open. What is public is constant from snapdir_open() or snapdir_use() on, to
// snapdir_done().
struct snapdir_snapshot {
    struct snapdir_snapshot *next GUARDED_BY(snapdir_mutex);
    struct ns *ns; // NULL: being opened
    uint64_t id;   // of the snapshot
    struct fuse_session *session;
    unsigned users GUARDED_BY(snapdir_mutex);   // requests that are being served
    uint64_t used_us GUARDED_BY(snapdir_mutex); // when the last one ended
    // When the kernel is asked again to forget what it holds of the snapshot.
    uint64_t push_us GUARDED_BY(snapdir_mutex);
    uint64_t push_wait_us GUARDED_BY(snapdir_mutex);
    bool is_gone GUARDED_BY(snapdir_mutex); // the snapshot was deleted
    // The kernel was asked to forget the snapshot, and nobody has looked it up since.
    bool is_sent_away GUARDED_BY(snapdir_mutex);
};

int snapdir_start(struct lsmfs *fs, struct snapdir **ret_snapdir); // 0 or a negative errno
void snapdir_stop(struct snapdir *snapdir); // when no request is served any more; NULL is legal
void snapdir_free(struct snapdir *snapdir); // stopped; closes the snapshots

// The snapshot called `name`, opened if it is not; for one request, until snapdir_done(). 0 or a
// negative errno.
int snapdir_open(struct snapdir *snapdir, const char *name, struct snapdir_snapshot **ret_shown);
// The snapshot of that number if it is open, until snapdir_done(); NULL: it is not.
struct snapdir_snapshot *snapdir_use(struct snapdir *snapdir, uint64_t id);
void snapdir_done(struct snapdir *snapdir, struct snapdir_snapshot *shown);

// A command has made, deleted or renamed the snapshot `name`: the kernel forgets the name. To be
// called without locks, by a thread that serves no requests.
void snapdir_changed(struct snapdir *snapdir, const char *name);

// Makes the kernel drop pages that somebody has written to, soon.
void snapdir_drop_pages(struct snapdir *snapdir, uint64_t ino);

static inline bool is_snapdir(const struct lsmfs *fs, uint64_t ino)
{
    return fs->snapdir && ino == SNAPDIR_INO;
}

// Whether the number is one of the directory or below.
static inline bool is_shown(const struct lsmfs *fs, uint64_t ino)
{
    return ino > SNAPDIR_INO || is_snapdir(fs, ino);
}

// Whether the entry is the directory, which hides what the tree has under that name.
bool is_snapdir_name(const struct lsmfs *fs, uint64_t parent, const char *name, size_t name_size);

#endif
