// What a difference of two snapshots makes of clones that were unfinished in one of them: nothing
// of an unfinished clone is told, and a tree that has come out of one is told as created, name by
// name. Usually there are none, and nothing is done.
//
// Thread safety: one thread.
#ifndef NS_MOVED_IN_H
#define NS_MOVED_IN_H

#include "base/slice.h"
#include "ns/changes/diff.h"

// Paths, each with its size before it.
struct path_set {
    struct buf paths;
    unsigned count;
};
static inline void path_set_release(struct path_set *set)
{
    buf_release(&set->paths);
}
int path_set_add(struct path_set *set, const char *path, size_t size); // 0 or -ENOMEM
// Whether the path is one of them or below one.
bool path_set_covers(const struct path_set *set, const char *path, size_t size);
// Whether the prefix is that of a directory that was made below one of them, which are in the root;
// and whether the entry is in such a directory.
bool path_set_made(const struct path_set *set, struct slice prefix);
bool path_set_owns(const struct path_set *set, struct slice entry_key);

// Adds the paths of all unfinished clones that the root has in the snapshot. 0 or -errno.
int path_set_add_unfinished(struct lsm *db, const struct lsm_snapshot *snapshot,
                            struct path_set *set);

// Tells that the entry, of the path, and all that is below it in the snapshot was created. 0, what
// fn returned, or -errno.
int tell_created(struct lsm *db, const struct lsm_snapshot *snapshot, struct slice entry_key,
                 struct slice path, ns_change_fn *fn, void *arg);

#endif
