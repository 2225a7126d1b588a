// Extended attributes: one key 'X' ino name each.
//
// The record says whether a file may have any (has_xattrs), so that asking a file without them
// costs what its record costs. The flag stays set when the last attribute goes.
//
// A change is one batch: the attribute and the record with its ctime. Names are whatever the caller
// allows; who may touch which is the caller's business.
//
// Locks: changes take the inode's exclusively; reading goes by a snapshot, without any.
// Failure: nothing has changed.
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "ns/attributes/attributes.h"

#define SMALL_VALUE 256u  // may be set on a full disk
#define LOOK_MOST   4096u // attributes that are looked at when the store is opened
#define LABEL       "security.selinux"

static int xattr_key(const struct ns_inode *inode, const char *name, struct pathkey *ret_key)
{
    size_t size = strlen(name);
    if (size == 0 || size > PATHKEY_NAME_MAX)
        return -ERANGE;
    pathkey_xattr(ret_key, inode->ino, slice_of(name, size));
    return 0;
}

static int xattr_exists(struct ns *ns, const struct pathkey *key, bool *ret_exists)
{
    size_t got;
    int rc = lsm_get_range(ns->db, &ns->at, key->data, key->size, 0, NULL, 0, &got, NULL);
    *ret_exists = !rc;
    return rc == LSM_NOT_FOUND ? 0 : ns_err(rc);
}

// Adds the record to the batch, which has the change of the attribute already, and commits both.
static int xattr_commit(struct ns *ns, struct op *op, struct ns_inode *inode) REQUIRES(inode_held)
{
    struct record *rec = &op->file.rec;
    rec->ctime = ns_now();
    int rc = op_store(op, inode, rec);
    if (!rc)
        rc = op_commit(ns, op);
    if (!rc)
        op_stored(ns, inode);
    return rc;
}

static bool is_label(struct slice name)
{
    return slice_equal(name, slice_of(LABEL, strlen(LABEL)));
}

int ns_look_for_labels(struct ns *ns)
{
    struct pathkey lower, upper;
    struct lsm_iter *iter;
    pathkey_type_bounds(KEY_XATTR, &lower, &upper);
    struct lsm_iter_options options = ns_between(ns->at.snapshot, &lower, &upper);
    int rc = lsm_iter_new(ns->db, &options, &iter);
    if (rc)
        return rc;
    unsigned count = 0;
    bool found = false;
    lsm_iter_seek_first(iter);
    for (; !found && count < LOOK_MOST && lsm_iter_valid(iter); count++) {
        size_t size;
        uint64_t ino;
        struct slice name;
        const void *key = lsm_iter_key(iter, &size);
        found = !pathkey_parse_xattr(slice_of(key, size), &ino, &name) || is_label(name);
        lsm_iter_next(iter);
    }
    rc = lsm_iter_status(iter);
    atomic_store(&ns->labels, found || count == LOOK_MOST || ns->follows);
    lsm_iter_free(iter);
    return rc;
}

bool ns_may_have_labels(struct ns *ns)
{
    return atomic_load_explicit(&ns->labels, memory_order_relaxed);
}

static int set_locked(struct ns *ns, struct op *op, struct ns_inode *inode, const char *name,
                      const struct pathkey *key, struct slice value, unsigned flags)
    REQUIRES(inode_held)
{
    bool exists = false, keep = true;
    int rc = op_load(ns, inode, &op->file);
    if (!rc && flags & (NS_XATTR_CREATE | NS_XATTR_REPLACE) && op->file.rec.has_xattrs)
        rc = xattr_exists(ns, key, &exists);
    if (rc)
        return rc;
    if (op->file.rec.flags & (NS_IMMUTABLE | NS_APPEND))
        return -EPERM;
    if (flags & NS_XATTR_CREATE && exists)
        return -EEXIST;
    if (flags & NS_XATTR_REPLACE && !exists)
        return -ENODATA;
    const uint32_t mode = op->file.rec.mode;
    if (ns_acl_is(name))
        rc = ns_acl_set(&op->file.rec, name, value, flags & NS_XATTR_KILL_SGID, &keep);
    // A list that says no more than the mode (cp sets such lists) changes nothing, not even ctime.
    // ext4 does the same.
    if (rc || (!keep && !op->file.rec.has_xattrs && op->file.rec.mode == mode))
        return rc;
    op->file.rec.has_xattrs |= keep;
    if (is_label(slice_of(name, strlen(name))))
        atomic_store(&ns->labels, true);
    op->small_change = value.size <= SMALL_VALUE;
    rc = keep ? op_put(op, key, value) : op_delete(op, key);
    return rc ? rc : xattr_commit(ns, op, inode);
}

int ns_setxattr(struct ns *ns, struct ns_inode *inode, const char *name, const void *value,
                size_t size, unsigned flags)
{
    struct pathkey key;
    const unsigned both = NS_XATTR_CREATE | NS_XATTR_REPLACE;
    const unsigned known = ns_acl_is(name) ? both | NS_XATTR_KILL_SGID : both;
    if (flags & ~known || (flags & both) == both)
        return -EINVAL;
    if (size > NS_XATTR_SIZE_MAX)
        return -E2BIG;
    int rc = xattr_key(inode, name, &key);
    if (rc)
        return rc;
    struct op *op = op_begin(ns);
    if (!op)
        return -ENOMEM;
    struct inode_lock lock;
    inode_hold(&ns->table.locks, &lock, inode->ino);
    rc = set_locked(ns, op, inode, name, &key, slice_of(value, size), flags);
    inode_release(&ns->table.locks, &lock);
    op_end(ns, op);
    return rc;
}

static int remove_locked(struct ns *ns, struct op *op, struct ns_inode *inode, const char *name,
                         const struct pathkey *key) REQUIRES(inode_held)
{
    bool exists = false;
    int rc = op_load(ns, inode, &op->file);
    if (!rc && op->file.rec.flags & (NS_IMMUTABLE | NS_APPEND))
        rc = -EPERM;
    if (!rc && op->file.rec.has_xattrs)
        rc = xattr_exists(ns, key, &exists);
    if (!rc && !exists)
        return ns_acl_is(name) ? 0 : -ENODATA;
    assert(rc || op->file.rec.has_xattrs); // stays set
    op->small_change = true;
    if (!rc)
        rc = op_delete(op, key);
    return rc ? rc : xattr_commit(ns, op, inode);
}

int ns_removexattr(struct ns *ns, struct ns_inode *inode, const char *name)
{
    struct pathkey key;
    int rc = xattr_key(inode, name, &key);
    if (rc)
        return rc;
    struct op *op = op_begin(ns);
    if (!op)
        return -ENOMEM;
    struct inode_lock lock;
    inode_hold(&ns->table.locks, &lock, inode->ino);
    rc = remove_locked(ns, op, inode, name, &key);
    inode_release(&ns->table.locks, &lock);
    op_end(ns, op);
    return rc;
}

static ssize_t get_value(struct ns *ns, const struct lsm_snapshot *snapshot,
                         const struct pathkey *key, void *value, size_t size)
{
    struct lsm_read_options options = {.snapshot = snapshot};
    size_t got;
    uint64_t whole;
    int rc = lsm_get_range(ns->db, &options, key->data, key->size, 0, value, size, &got, &whole);
    if (rc)
        return rc == LSM_NOT_FOUND ? -ENODATA : ns_err(rc);
    assert(got == (size < whole ? size : whole));
    return size && whole > size ? -ERANGE : (ssize_t)whole;
}

ssize_t ns_getxattr(struct ns *ns, struct ns_inode *inode, const char *name, void *value,
                    size_t size)
{
    struct pathkey key;
    int rc = xattr_key(inode, name, &key);
    if (rc)
        return rc;
    struct op *op = op_begin(ns);
    if (!op)
        return -ENOMEM;
    const struct lsm_snapshot *snapshot;
    ssize_t result = op_peek(ns, inode, &op->file, &snapshot);
    if (!result)
        result = op->file.rec.has_xattrs ? get_value(ns, snapshot, &key, value, size) : -ENODATA;
    ns_moment_end(ns, snapshot);
    op_end(ns, op);
    return result;
}

// Copies the names that fit, and returns how much all of them take.
static ssize_t list_names(struct ns *ns, const struct lsm_snapshot *snapshot, uint64_t ino,
                          char *list, size_t size)
{
    struct pathkey lower, upper;
    struct lsm_iter *iter;
    pathkey_ino_bounds(KEY_XATTR, ino, &lower, &upper);
    struct lsm_iter_options options = ns_between(snapshot, &lower, &upper);
    int rc = ns_err(lsm_iter_new(ns->db, &options, &iter));
    if (rc)
        return rc;
    size_t used = 0;
    for (lsm_iter_seek_first(iter); lsm_iter_valid(iter) && !rc; lsm_iter_next(iter)) {
        size_t key_size;
        uint64_t key_ino;
        struct slice name;
        const void *key = lsm_iter_key(iter, &key_size);
        if (!pathkey_parse_xattr(slice_of(key, key_size), &key_ino, &name)) {
            rc = -EIO;
            break;
        }
        if (used + name.size + 1 <= size) {
            memcpy(list + used, name.data, name.size);
            list[used + name.size] = 0;
        }
        used += name.size + 1;
    }
    if (!rc)
        rc = ns_err(lsm_iter_status(iter));
    lsm_iter_free(iter);
    return rc ? rc : (ssize_t)used;
}

ssize_t ns_listxattr(struct ns *ns, struct ns_inode *inode, char *list, size_t size)
{
    struct op *op = op_begin(ns);
    if (!op)
        return -ENOMEM;
    const struct lsm_snapshot *snapshot;
    ssize_t result = op_peek(ns, inode, &op->file, &snapshot);
    if (!result && op->file.rec.has_xattrs)
        result = list_names(ns, snapshot, inode->ino, list, size);
    ns_moment_end(ns, snapshot);
    op_end(ns, op);
    return size && result > (ssize_t)size ? -ERANGE : result;
}
