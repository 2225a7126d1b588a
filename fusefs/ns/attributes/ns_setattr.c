// Changing attributes: mode, owner, size, times.
//
// One batch; a truncation leaves very many extents to the background (tail.h).
// Locks: the inode's, exclusively. Failure: nothing has changed.
#include <assert.h>
#include <errno.h>

#include "ns/attributes/attributes.h"
#include "ns/content/content.h"
#include "ns/inodes/lost_note.h"

static void set_owner(struct record *rec, const struct ns_attr *attr, unsigned mask)
{
    if (mask & NS_SET_UID)
        rec->uid = attr->uid;
    if (mask & NS_SET_GID)
        rec->gid = attr->gid;
    if (mask & (NS_SET_UID | NS_SET_GID) && !(mask & NS_SET_MODE))
        ns_kill_suid(rec);
}

static void set_times(struct record *rec, const struct ns_attr *attr, unsigned mask,
                      struct timespec now)
{
    if (mask & NS_SET_ATIME)
        rec->atime = attr->atime;
    if (mask & NS_SET_MTIME)
        rec->mtime = attr->mtime;
    if (mask & NS_SET_ATIME_NOW)
        rec->atime = now;
    if (mask & NS_SET_MTIME_NOW)
        rec->mtime = now;
    if (mask & NS_SET_CTIME)
        rec->ctime = attr->ctime;
    else if (!(mask & NS_SET_KEEP_TIMES))
        rec->ctime = now;
}

static int check_times(const struct ns_attr *attr, unsigned mask)
{
    bool bad = (mask & NS_SET_ATIME && (unsigned long)attr->atime.tv_nsec > 999999999) ||
               (mask & NS_SET_MTIME && (unsigned long)attr->mtime.tv_nsec > 999999999) ||
               (mask & NS_SET_CTIME && (unsigned long)attr->ctime.tv_nsec > 999999999);
    return bad ? -EINVAL : 0;
}

// A file that is in memory only (AT_NONE): its new record is kept there, as the inode's ghost.
static int keep_in_ghost(struct ns *ns, struct op *op, struct ns_inode *inode) REQUIRES(inode_held)
{
    struct inode_ghost *ghost;
    assert(inode_location(inode) == AT_NONE);
    int rc = ns_ghost_make(op, &op->file.rec, &ghost);
    if (!rc)
        inode_set_ghost(&ns->table, inode, ghost);
    return rc;
}

static int setattr_store(struct ns *ns, struct op *op, struct ns_inode *inode, unsigned mask)
    REQUIRES(inode_held)
{
    if (mask & NS_SET_CALLERS && inode_is_unlinked(inode) && !inode->is_nameless)
        return 0; // nobody will ask for these times any more
    if (inode_location(inode) == AT_NONE && !(mask & NS_SET_SIZE))
        return keep_in_ghost(ns, op, inode);
    int rc = op_store(op, inode, &op->file.rec);
    if (!rc)
        rc = op_commit(ns, op);
    if (!rc)
        op_stored(ns, inode);
    return rc;
}

static int setattr_locked(struct ns *ns, struct op *op, struct ns_inode *inode,
                          const struct ns_attr *attr, unsigned mask) REQUIRES(inode_held)
{
    struct record *rec = &op->file.rec;
    int64_t mark = atimes_mark(inode);
    int rc = op_load(ns, inode, &op->file);
    if (rc)
        return rc;
    if (rec->flags && ns_setattr_is_forbidden(rec, attr, mask))
        return -EPERM;
    struct timespec now = ns_now();
    op->small_change = true; // allowed on a full disk: a longer file gets a hole
    if (mask & NS_SET_SIZE) {
        op->frees_space = attr->size < rec->size;
        if (attr->size != rec->size && !(mask & NS_SET_KEEP_TIMES))
            rec->mtime = now;
        rc = content_resize(ns, op, inode, rec, attr->size);
        if (rc)
            return rc;
        assert(rec->size == attr->size);
    }
    if (mask & NS_SET_MODE) {
        rec->mode = (rec->mode & S_IFMT) | (attr->mode & 07777);
        rc = ns_acl_chmod(ns, op, rec);
        if (rc)
            return rc;
    }
    set_owner(rec, attr, mask);
    if (mask & NS_SET_KILL_SUID)
        ns_content_changed(op, rec, NS_WRITE_KEEP_TIMES);
    if (mask & NS_SET_KILL_SGID && rec->gid == attr->gid && S_ISREG(rec->mode) &&
        (rec->mode & (S_ISGID | S_IXGRP)) == S_ISGID) {
        rec->mode &= ~(uint32_t)S_ISGID;
        op->mode_cleared |= S_ISGID;
    }
    set_times(rec, attr, mask, now);
    rc = setattr_store(ns, op, inode, mask);
    if (rc)
        return rc;
    if (mask & NS_SET_SIZE)
        lost_note_cut(inode);
    if (mask & (NS_SET_ATIME | NS_SET_ATIME_NOW))
        atimes_passed(inode, mark);
    return 0;
}

int ns_setattr(struct ns *ns, struct ns_inode *inode, const struct ns_attr *attr, unsigned mask,
               struct ns_attr *ret_attr)
{
    if (mask & NS_SET_SIZE && !inode_is_regular(inode))
        return inode_is_dir(inode) ? -EISDIR : -EINVAL;
    int rc = check_times(attr, mask);
    if (rc)
        return rc;
    struct op *op = op_begin(ns);
    if (!op)
        return -ENOMEM;
    struct inode_lock lock;
    inode_hold(&ns->table.locks, &lock, inode->ino);
    rc = setattr_locked(ns, op, inode, attr, mask);
    inode_release(&ns->table.locks, &lock);
    if (!rc)
        ns_changed_attr(op, &op->file.rec, ret_attr);
    op_end(ns, op);
    return rc;
}
