// Copying a tree inside the store, sharing the content of its files.
#ifndef NS_CLONE_H
#define NS_CLONE_H

#include "ns/namespace.h"

// Makes `name` in `dir`, which must not be there, a copy of the path `from` as it is now, with all
// that is below it: modes, owners, times, attributes, access control lists; names of one file in
// the tree are names of one file in the copy. Not kept: ctime and btime, which are now, what
// fallocate promised, and the flags immutable and append-only. The copy appears at once, in one
// batch; if it fails or is cut off, there is none, and what was made of it is removed: at once, or
// when the store is opened next. `progress` (may be NULL) is called with names copied.
//
// Takes next to no space for content in blob files. Memory: some 400 bytes for each directory that
// is waiting, 24 bytes for each file with several names. 0; -ECANCELED: progress said so; -errno.
//
// `source` is a snapshot of `ns` (ns_open_snapshot): "now".
int ns_clone(struct ns *ns, struct ns *source, const char *from, struct ns_inode *dir,
             const char *name, size_t name_size, lsm_progress_fn *progress, void *arg);

#endif
