// Access control lists in the tree: inheritance, chmod, and what setting one does to the mode.
//
// The lists are extended attributes and are checked against by the kernel; this keeps them and the
// modes in step, and hands a directory's default list to what is made in it, each in the batch of
// the operation that causes it. Files without extended attributes cost nothing here.
//
// Locks: the exclusive lock of the file, and for inheritance of its directory, is the
// caller's. Failure: the caller drops the batch.
#include <assert.h>
#include <errno.h>

#include "ns/attributes/attributes.h"
#include "ns/keys/acl.h"

// The list into `ret_list`; *ret_found tells whether there is one.
static int acl_load(struct ns *ns, uint64_t ino, const char *name, struct lsm_buf *ret_list,
                    bool *ret_found)
{
    struct pathkey key;
    pathkey_xattr(&key, ino, slice_of(name, strlen(name)));
    int rc = lsm_get(ns->db, &ns->at, key.data, key.size, ret_list);
    *ret_found = !rc;
    if (rc)
        return rc == LSM_NOT_FOUND ? 0 : ns_err(rc);
    return acl_is_valid(slice_of(ret_list->data, ret_list->size)) ? 0 : -EIO;
}

static int acl_put(struct op *op, struct record *rec, const char *name, struct slice list)
{
    struct pathkey key;
    assert(ns_acl_is(name) && acl_is_valid(list));
    pathkey_xattr(&key, rec->ino, slice_of(name, strlen(name)));
    rec->has_xattrs = true;
    return op_put(op, &key, list);
}

int ns_acl_inherit(struct ns *ns, struct op *op, const struct record *dir, struct record *rec,
                   uint32_t umask)
{
    struct lsm_buf *list = &op->acl;
    bool found = false, minimal;
    if (S_ISLNK(rec->mode))
        return 0;
    int rc = dir->has_xattrs ? acl_load(ns, dir->ino, ACL_DEFAULT, list, &found) : 0;
    if (rc)
        return rc;
    if (!found) {
        rec->mode &= ~(umask & 0777);
        return 0;
    }
    if (S_ISDIR(rec->mode))
        rc = acl_put(op, rec, ACL_DEFAULT, slice_of(list->data, list->size));
    if (rc)
        return rc;
    rec->mode = acl_restrict((uint8_t *)list->data, list->size, rec->mode);
    acl_to_mode(slice_of(list->data, list->size), rec->mode, &minimal);
    return minimal ? 0 : acl_put(op, rec, ACL_ACCESS, slice_of(list->data, list->size));
}

int ns_acl_chmod(struct ns *ns, struct op *op, struct record *rec)
{
    struct lsm_buf *list = &op->acl;
    bool found = false;
    int rc = rec->has_xattrs ? acl_load(ns, rec->ino, ACL_ACCESS, list, &found) : 0;
    if (rc || !found)
        return rc;
    acl_chmod((uint8_t *)list->data, list->size, rec->mode);
    return acl_put(op, rec, ACL_ACCESS, slice_of(list->data, list->size));
}

bool ns_acl_is(const char *name)
{
    return strcmp(name, ACL_ACCESS) == 0 || strcmp(name, ACL_DEFAULT) == 0;
}

int ns_acl_set(struct record *rec, const char *name, struct slice list, bool kill_sgid,
               bool *ret_keep)
{
    bool minimal;
    assert(ns_acl_is(name));
    *ret_keep = !acl_is_empty(list);
    if (S_ISLNK(rec->mode))
        return -EOPNOTSUPP;
    if (*ret_keep && !acl_is_valid(list))
        return -EINVAL;
    if (strcmp(name, ACL_DEFAULT) == 0)
        return S_ISDIR(rec->mode) || !*ret_keep ? 0 : -EACCES;
    if (!*ret_keep)
        return 0;
    rec->mode = acl_to_mode(list, rec->mode, &minimal);
    if (kill_sgid)
        rec->mode &= ~(uint32_t)S_ISGID;
    *ret_keep = !minimal;
    return 0;
}
