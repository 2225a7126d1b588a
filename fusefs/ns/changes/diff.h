// What differs between two snapshots of a namespace, told name by name.
//
// A name is created, removed, or renamed; a file behind a name that both have is changed. A
// directory that was renamed is one change: what is in it goes along. The cost follows the change:
// the keys that were written in between (lsm_diff_new), and for each change a few gets.
//
// What counts as a change of content: size, time of modification, bytes in the record, lost ranges,
// or extents that were written, if the record was too (defragmenting writes no record). Of
// attributes: mode, owner, group, device, flags, extended attributes; the time of modification of
// what is neither file nor directory, and of a directory if it was set rather than moved on by a
// name that came or went. Times of access and status change, and link counts, are no changes by
// themselves.
#ifndef NS_DIFF_H
#define NS_DIFF_H

#include <stdint.h>

#include "lsm.h"

enum ns_change_kind { NS_REMOVED, NS_RENAMED, NS_CREATED, NS_CHANGED };

enum { NS_CHANGED_CONTENT = 1, NS_CHANGED_ATTRIBUTES = 2 };

struct ns_change {
    enum ns_change_kind kind;
    unsigned what; // for NS_CHANGED: what has changed; else 0
    uint64_t ino;
    uint32_t type;    // S_IFMT bits
    const char *path; // absolute; in the older snapshot for NS_REMOVED, else in the newer one
    size_t path_size;
    const char *old_path; // for NS_RENAMED: in the older snapshot; else NULL
    size_t old_path_size;
};

// What `change` points to is valid during the call. A result that is not 0 ends the diff, which
// returns it.
typedef int ns_change_fn(void *arg, const struct ns_change *change);

// Calls `fn` for each change from one snapshot to a newer one, in the order of keys, which is
// roughly by directory. If a name is removed and another file takes it, the removal is told first.
// Neither snapshot may be a brief one. Memory: about 100 bytes a change. If more than `most` names
// and records differ, nothing is told and the result is -EOVERFLOW. Returns 0, or another -errno,
// after which some changes may have been told.
int ns_diff(struct lsm *db, const struct lsm_snapshot *from, const struct lsm_snapshot *to,
            size_t most, ns_change_fn *fn, void *arg);

#endif
