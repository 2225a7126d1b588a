// What other rooms need of attributes: flags, access control lists, labels.
#ifndef NS_ATTRIBUTES_H
#define NS_ATTRIBUTES_H

#include "ns/operation/ns_internal.h"

// At ns_open: sets ns->labels. An lsm_status.
int ns_look_for_labels(struct ns *ns);

// ---- flags (ns_flags.c)

// Whether flags forbid that a name of `rec` goes from `dir`, or, with `rec` NULL, is added to it.
bool ns_name_is_fixed(const struct record *dir, const struct record *rec);
// Whether flags forbid the setattr.
bool ns_setattr_is_forbidden(const struct record *rec, const struct ns_attr *attr, unsigned mask);

// ---- access control lists (ns_acl.c); the first two use op->acl

// Sets a new file's permissions: the mode that was asked for, less the umask or, if the directory
// has a default list, less what that does not allow. Adds the lists that the file inherits to the
// batch.
int ns_acl_inherit(struct ns *ns, struct op *op, const struct record *dir, struct record *rec,
                   uint32_t umask);
// The file's mode was changed: adds the access control list that fits it to the batch.
int ns_acl_chmod(struct ns *ns, struct op *op, struct record *rec) REQUIRES(inode_held);
// Whether the extended attribute of that name is an access control list.
bool ns_acl_is(const char *name);
// Changes the record as setting such an attribute does. *ret_keep: the list itself has to be
// stored.
int ns_acl_set(struct record *rec, const char *name, struct slice list, bool kill_sgid,
               bool *ret_keep);

#endif
