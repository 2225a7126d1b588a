// Attributes as they are, and the time of access that reading moves, which is left to atimes.c.
//
// Locks: none. Failure: nothing has changed.
#include <errno.h>

#include "ns/operation/ns_internal.h"

int ns_getattr(struct ns *ns, struct ns_inode *inode, struct ns_attr *ret_attr)
{
    struct op *op = op_begin(ns);
    if (!op)
        return -ENOMEM;
    int rc = op_peek(ns, inode, &op->file, NULL);
    if (!rc)
        ns_attr_from(&op->file.rec, ret_attr);
    op_end(ns, op);
    return rc;
}

// ------------------------------------------------------------------------------- access

#define ATIME_MAX_AGE_S 86400

static bool is_before(struct timespec a, struct timespec b)
{
    return a.tv_sec < b.tv_sec || (a.tv_sec == b.tv_sec && a.tv_nsec < b.tv_nsec);
}

static bool atime_is_due(const struct record *rec, struct timespec now)
{
    return !is_before(rec->mtime, rec->atime) || !is_before(rec->ctime, rec->atime) ||
           now.tv_sec - rec->atime.tv_sec >= ATIME_MAX_AGE_S;
}

int ns_note_access(struct ns *ns, struct ns_inode *inode, const struct record *rec,
                   enum ns_access access)
{
    struct timespec now = ns_now();
    if (!ns->atimes || access == NS_ACCESS_IGNORED || rec->flags & NS_NOATIME ||
        (access == NS_ACCESS_RELATIVE && !atime_is_due(rec, now)))
        return 0;
    atimes_note(ns->atimes, inode, now);
    return 1;
}

int ns_accessed(struct ns *ns, struct ns_inode *inode, enum ns_access access)
{
    if (access == NS_ACCESS_IGNORED)
        return 0;
    struct op *op = op_begin(ns);
    if (!op)
        return -ENOMEM;
    int rc = op_peek(ns, inode, &op->file, NULL);
    if (!rc)
        rc = ns_note_access(ns, inode, &op->file.rec, access);
    op_end(ns, op);
    return rc;
}
