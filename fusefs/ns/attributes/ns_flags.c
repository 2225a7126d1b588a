// The flags of chattr(1): setting them, and what they forbid. The kernel keeps none for FUSE, so
// every operation that changes a file looks at its record's, which it has loaded anyway.
//
// Writing is special. Whether a write goes to the end of an append-only file is known only to who
// has opened the file. With a write-back cache, writes and times come late: those that were made
// before the file became immutable are not refused (NS_WRITE_EARLIER, NS_SET_EARLIER).
//
// Locks: the inode's exclusively. Failure: nothing has changed.
#include <assert.h>
#include <errno.h>

#include "ns/attributes/attributes.h"

static_assert(NS_FLAGS == (NS_IMMUTABLE | NS_APPEND | NS_NODUMP | NS_NOATIME), "all flags");

bool ns_name_is_fixed(const struct record *dir, const struct record *rec)
{
    if (!rec)
        return dir->flags & NS_IMMUTABLE;
    return (dir->flags | rec->flags) & (NS_IMMUTABLE | NS_APPEND);
}

bool ns_setattr_is_forbidden(const struct record *rec, const struct ns_attr *attr, unsigned mask)
{
    bool same_mtime =
        attr->mtime.tv_sec == rec->mtime.tv_sec && attr->mtime.tv_nsec == rec->mtime.tv_nsec;
    if (mask & NS_SET_EARLIER)
        return false;
    // The kernel passes on the ctime of other changes by a request of this form, sooner or later.
    if (mask & NS_SET_CTIME && same_mtime &&
        !(mask & ~(unsigned)(NS_SET_MTIME | NS_SET_CTIME | NS_SET_KEEP_TIMES)))
        return false;
    if (rec->flags & NS_IMMUTABLE)
        return true;
    // An append-only file may get the present time. With the write-back cache the kernel sends the
    // present mtime as a value, together with ATIME_NOW.
    bool old_times = mask & NS_SET_ATIME || (mask & NS_SET_MTIME && !(mask & NS_SET_ATIME_NOW));
    return rec->flags & NS_APPEND &&
           (old_times || mask & (NS_SET_MODE | NS_SET_UID | NS_SET_GID | NS_SET_SIZE));
}

static int set_locked(struct ns *ns, struct op *op, struct ns_inode *inode, uint32_t flags,
                      bool keep_times) REQUIRES(inode_held)
{
    struct record *rec = &op->file.rec;
    assert(!(flags & ~(uint32_t)NS_FLAGS));
    int rc = op_load(ns, inode, &op->file);
    if (rc)
        return rc;
    rec->flags = flags;
    op->small_change = true;
    if (!keep_times)
        rec->ctime = ns_now();
    rc = op_store(op, inode, rec);
    if (!rc)
        rc = op_commit(ns, op);
    if (!rc)
        op_stored(ns, inode);
    return rc;
}

int ns_set_flags(struct ns *ns, struct ns_inode *inode, uint32_t flags, bool keep_times)
{
    if (flags & ~(uint32_t)NS_FLAGS)
        return -EINVAL;
    struct op *op = op_begin(ns);
    if (!op)
        return -ENOMEM;
    struct inode_lock lock;
    inode_hold(&ns->table.locks, &lock, inode->ino);
    int rc = set_locked(ns, op, inode, flags, keep_times);
    inode_release(&ns->table.locks, &lock);
    op_end(ns, op);
    return rc;
}
