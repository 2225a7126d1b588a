// Taking in changes from another store: those between a snapshot that both stores have (the base)
// and a newer snapshot of the other store.
//
// The changes are read with lsm_ingest_read(), and each one is checked by intake_check(). Then
// intake_apply() applies them all in one step, which makes the new snapshot too.
//
// Thread safety: one thread.
#ifndef NS_INTAKE_H
#define NS_INTAKE_H

#include "ns/namespace.h"

// Whether a key holds something that a mount shows: a name, attributes, or content. Keys of content
// are not looked at: content does not change without the file's record. Of files that have no name
// in the base nothing is shown: a mount deletes what is left of them. True if the base cannot be
// read.
bool intake_is_shown(struct lsm *db, const struct lsm_snapshot *base, const void *key, size_t size);

struct intake {
    uint64_t reserved; // the changes use inode numbers below this one; 0: only those that the base
                       // uses
    uint64_t reserved_here; // the same for this store
    struct lsm *db;         // this and the base are set while the changes are applied
    const struct lsm_snapshot *base;
};

// Whether ns_open() will accept the store after the change. LSM_OK, or the status with which
// ns_open() would fail.
int intake_check(struct intake *intake, const struct lsm_change *change);

enum {
    INTAKE_CHANGED = 1,  // nothing is done: what the store shows was changed since the base
    INTAKE_NAMELESS = 2, // nothing is done: a file without a name is open, and the changes might
                         // use its number or remove its content
    INTAKE_HALF = 3,     // the changes are applied, but memory is not up to date: live inodes may
                         // fail with EIO
};

// Applies the changes to a store that is used for nothing else meanwhile. What was written here
// since the base is undone; but an inode number that either store has given out is not given out
// again. 0, INTAKE_CHANGED, or a failure of lsm_ingest_apply().
int intake_apply(struct lsm *db, struct intake *intake, struct lsm_ingest *ingest, const char *base,
                 const struct lsm_snapshot_info *origin);

// The same for a tree that is in use: operations wait meanwhile. It may also return INTAKE_NAMELESS
// or INTAKE_HALF.
int intake_apply_live(struct ns *ns, struct intake *intake, struct lsm_ingest *ingest,
                      const char *base, const struct lsm_snapshot_info *origin);

// Tells what differs between the base and the snapshot: first names in live directories (`inode` is
// NULL), then live inodes (`dir` and `name` are NULL); `is_other`: the inode's size or mtime
// differs. `fn` is called without locks. An lsm_status or -errno.
typedef void intake_fn(void *arg, struct ns_inode *dir, const void *name, size_t name_size,
                       struct ns_inode *inode, bool is_other);
int intake_tell(struct ns *ns, const char *base, const char *snapshot, intake_fn *fn, void *arg);

#endif
