// Taking in the changes that another store's snapshot has over one that this store has too.
//
// They are read with lsm_ingest_read(), each one checked by intake_check(); then intake_apply()
// makes them the present, and the new snapshot, in one step.
//
// Thread safety: one thread.
#ifndef NS_INTAKE_H
#define NS_INTAKE_H

#include "ns/namespace.h"

// Whether a key of the store holds something that a mount shows: names, attributes, what files
// hold. A file's content does not change without its record; other keys change by themselves. What
// the base has of files without a name a mount deletes. True if the base cannot be read.
bool intake_is_shown(struct lsm *db, const struct lsm_snapshot *base, const void *key, size_t size);

struct intake {
    uint64_t reserved; // the inode numbers below it are used up by the changes; 0: as in the base
    uint64_t reserved_here;
    struct lsm *db; // while they are applied, as is the base
    const struct lsm_snapshot *base;
};

// Whether a change may be made: that ns_open() takes what it leads to. LSM_OK, or a status as of
// ns_open().
int intake_check(struct intake *intake, const struct lsm_change *change);

enum {
    INTAKE_CHANGED = 1,  // what the store shows was changed since the base: nothing is done
    INTAKE_NAMELESS = 2, // a file without a name is open, whose number the changes might use, or
                         // whose content: nothing is done
    INTAKE_HALF = 3,     // it is done, but memory is not up to date: live inodes may be EIO
};

// Applies them to a store that is used for nothing else meanwhile. Of what was written here since
// the base the inode numbers that were given out stay used up, here or there; all else is undone.
// 0, INTAKE_CHANGED, or a failure of lsm_ingest_apply().
int intake_apply(struct lsm *db, struct intake *intake, struct lsm_ingest *ingest, const char *base,
                 const struct lsm_snapshot_info *origin);

// The same for a tree that is in use: operations wait while it is done. Or one of the others.
int intake_apply_live(struct ns *ns, struct intake *intake, struct lsm_ingest *ingest,
                      const char *base, const struct lsm_snapshot_info *origin);

// Tells what the snapshot shows otherwise than the base: names in live directories (`inode` is
// NULL), then each live inode (`name` is NULL), and whether it has another size or mtime. Called
// without locks. An lsm_status or -errno.
typedef void intake_fn(void *arg, struct ns_inode *dir, const void *name, size_t name_size,
                       struct ns_inode *inode, bool is_other);
int intake_tell(struct ns *ns, const char *base, const char *snapshot, intake_fn *fn, void *arg);

#endif
