// Extended attributes: SETXATTR, GETXATTR, LISTXATTR, REMOVEXATTR.
//
// The kernel checks who may touch which namespace (user, trusted, security). Of "system" there are
// the POSIX ACLs, which the kernel enforces if that was agreed at INIT. Otherwise they are refused,
// because nobody would enforce a list that is only stored. Namespaces that do not exist are refused
// too: the kernel passes them on for FUSE.
//
// ls asks every file for its SELinux label, until it hears that the file system has none: that is
// the answer (EOPNOTSUPP, not ENODATA) as long as no file has one.
#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/xattr.h>

#include "mount/node.h"
#include "mount/protocol.h"
#include "mount/scratch.h"
#include "mount/serve.h"

static_assert((int)NS_XATTR_CREATE == (int)XATTR_CREATE, "serve_setxattr() passes it on");
static_assert((int)NS_XATTR_REPLACE == (int)XATTR_REPLACE, "and this");

// 0 or the errno for names that are not kept: of no known namespace, or with nothing behind it.
static int name_error(fuse_req_t req, const char *name)
{
    static const char *const known[] = {"user.", "trusted.", "security."};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        size_t size = strlen(known[i]);
        if (strncmp(name, known[i], size) == 0)
            return name[size] ? 0 : EINVAL;
    }
    bool is_acl = strcmp(name, "system.posix_acl_access") == 0 ||
                  strcmp(name, "system.posix_acl_default") == 0;
    return lsmfs_of(req)->acl && is_acl ? 0 : EOPNOTSUPP;
}

// The inode whose attribute of that name is to be changed; ends with request_done(). NULL: the
// request has been answered.
static struct ns_inode *inode_to_change(fuse_req_t req, fuse_ino_t ino, const char *name)
{
    struct ns_inode *inode = request_inode(req, ino);
    int error = inode ? name_error(req, name) : 0;
    if (!error)
        return inode;
    request_done(req, inode);
    fuse_reply_err(req, error);
    return NULL;
}

void serve_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value,
                    size_t size, int flags)
{
    struct ns_inode *inode = inode_to_change(req, ino, name);
    if (!inode)
        return;
    // XATTR_CREATE and XATTR_REPLACE have the namespace's values; the kernel passes on nothing
    // else.
    unsigned how = (unsigned)flags | (protocol_kills_sgid() ? NS_XATTR_KILL_SGID : 0u);
    int rc = ns_setxattr(lsmfs_of(req)->ns, inode, name, value, size, how);
    request_done(req, inode);
    fuse_reply_err(req, -rc);
}

// Answers a question for the size (`asked` 0) or for the bytes.
static void reply_bytes(fuse_req_t req, ssize_t result, const void *data, size_t asked)
{
    if (result < 0)
        fuse_reply_err(req, (int)-result);
    else if (asked == 0)
        fuse_reply_xattr(req, (size_t)result);
    else
        fuse_reply_buf(req, data, (size_t)result);
}

void serve_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
    struct node node;
    int error = name_error(req, name);
    if (!error && is_snapdir(lsmfs_of(req), ino))
        error = ENODATA;
    if (error) {
        fuse_reply_err(req, error);
        return;
    }
    if (!node_get(req, ino, &node))
        return;
    void *value = size ? scratch_get(size) : NULL;
    ssize_t result = size && !value ? -ENOMEM : ns_getxattr(node.ns, node.inode, name, value, size);
    if (result == -ENODATA && strcmp(name, "security.selinux") == 0 && !ns_may_have_labels(node.ns))
        result = -EOPNOTSUPP;
    if (result == -ENODATA && node_claims_capabilities(&node, name, size))
        result = 1;
    node_done(&node);
    reply_bytes(req, result, value, size);
}

void serve_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
    struct node node;
    if (is_snapdir(lsmfs_of(req), ino)) {
        reply_bytes(req, 0, NULL, size);
        return;
    }
    if (!node_get(req, ino, &node))
        return;
    char *list = size ? scratch_get(size) : NULL;
    ssize_t result = size && !list ? -ENOMEM : ns_listxattr(node.ns, node.inode, list, size);
    node_done(&node);
    reply_bytes(req, result, list, size);
}

void serve_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
    struct ns_inode *inode = inode_to_change(req, ino, name);
    if (!inode)
        return;
    int rc = ns_removexattr(lsmfs_of(req)->ns, inode, name);
    request_done(req, inode);
    fuse_reply_err(req, -rc);
}
