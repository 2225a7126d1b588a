// Unfinished clones in a difference of two snapshots. What is inside an unfinished clone is not
// told. A tree that was moved out of one, because the clone was finished, is told as created, name
// by name. Usually there are no such clones, and nothing is done.
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
// Whether the path is in the set, or below a path of the set.
bool path_set_covers(const struct path_set *set, const char *path, size_t size);
// For a set of directories in the root. path_set_made(): whether the prefix belongs to a directory
// that was made below one of them. path_set_owns(): whether the entry is in such a directory.
bool path_set_made(const struct path_set *set, struct slice prefix);
bool path_set_owns(const struct path_set *set, struct slice entry_key);

// Adds the paths of all unfinished clones that the root has in the snapshot. 0 or -errno.
int path_set_add_unfinished(struct lsm *db, const struct lsm_snapshot *snapshot,
                            struct path_set *set);

// Tells that the entry, whose path is `path`, was created, and all that is below it in the
// snapshot. 0, what fn returned, or -errno.
int tell_created(struct lsm *db, const struct lsm_snapshot *snapshot, struct slice entry_key,
                 struct slice path, ns_change_fn *fn, void *arg);

#endif
