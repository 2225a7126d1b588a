// Unfinished clones: where they grow, and how they are kept out of sight.
//
// A clone is made in a directory of the root that has the name UNFINISHED_NAME and its own number,
// decimal, and an attribute that nobody else can set. It is found neither by its name nor in a
// listing, neither in the present nor in a snapshot. A clone that was cut off is removed when the
// store is opened next (upkeep/sweep.h).
//
// Thread safety: any thread.
#ifndef NS_UNFINISHED_H
#define NS_UNFINISHED_H

#include "ns/operation/ns_internal.h"

#define UNFINISHED_NAME      ".lsmfs-clone-"
#define UNFINISHED_NAME_SIZE 40u
#define UNFINISHED_ATTRIBUTE "lsmfs.clone"

// The name for the directory with that number, and the key of its attribute.
void unfinished_name(uint64_t ino, char name[UNFINISHED_NAME_SIZE]);
void unfinished_key(uint64_t ino, struct pathkey *ret_key);

// Whether the root has an unfinished clone of that name, as of `at`. 0 or -errno. Costs nothing
// for other names.
int unfinished_is(struct lsm *db, const struct lsm_read_options *at, struct slice name,
                  bool *ret_is);

// Whether a name of the root that was read a moment ago is not to be shown: an unfinished clone, or
// one that has gone since. 0 or -errno.
int unfinished_hides(struct ns *ns, struct slice name, bool *ret_hides);

// Calls `fn` with the names of all of them, as of `at`. 0, what fn returned, or -errno.
typedef int unfinished_fn(void *arg, struct slice name);
int unfinished_each(struct lsm *db, const struct lsm_read_options *at, unfinished_fn *fn,
                    void *arg);

#endif
