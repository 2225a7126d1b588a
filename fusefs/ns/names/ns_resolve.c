// Paths to inodes, for tools.
//
// While no directory on a path has moved, its key follows from the path alone: prefixes are unique,
// and one without a marker belongs to the directory that is at home there, whose parent owns the
// shorter prefix, and so on up to the root. So an entry found at that key is the file, and that
// costs one get. What is left walks component by component: misses (which have to tell ENOENT from
// ENOTDIR), directories (whose live inodes need their parents), and paths on which there may be a
// marker. Markers are counted by hash in memory; a rename that adds one bumps table.moves, which
// ns_lookup_key checks.
//
// Thread safety: any thread. Failure: no reference is kept.
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ns/names/names.h"
#include "ns/operation/unfinished.h"

struct path {
    struct slice *names; // point into the path
    size_t count;
    bool must_be_dir; // it ends in a slash or a dot
};

static int path_split(const char *text, struct path *ret_path)
{
    size_t slashes = 0;
    for (const char *p = text; *p; p++)
        slashes += *p == '/';
    struct path path = {calloc(slashes + 1, sizeof(struct slice)), 0, true};
    if (!path.names)
        return -ENOMEM;
    for (const char *p = text; *p;) {
        size_t size = strcspn(p, "/");
        path.must_be_dir = true;
        if (size == 2 && p[0] == '.' && p[1] == '.') {
            path.count -= path.count > 0;
        } else if (size > NS_NAME_MAX) {
            free(path.names);
            return -ENAMETOOLONG;
        } else if (size && !(size == 1 && p[0] == '.')) {
            path.names[path.count++] = slice_of(p, size);
            path.must_be_dir = p[size] == '/';
        }
        p += size + (p[size] == '/');
    }
    assert(path.count <= slashes + 1);
    *ret_path = path;
    return 0;
}

// One get of the whole path's key. -ESTALE or -ENOENT: walk.
static int resolve_direct(struct ns *ns, const struct path *path, struct ns_inode **ret_inode,
                          struct ns_attr *ret_attr, struct lookup_content *head)
{
    assert(path->count > 0);
    uint64_t moves = atomic_load_explicit(&ns->table.moves, memory_order_acquire);
    struct pathkey_prefix prefix[2];
    unsigned now = 0;
    prefix[0].size = 0;
    for (size_t i = 0; i + 1 < path->count; i++, now ^= 1) {
        struct slice parent = pathkey_prefix_slice(&prefix[now]);
        if (!pathkey_child_prefix(parent, path->names[i], &prefix[now ^ 1]) ||
            ns_may_be_marked(ns, pathkey_prefix_slice(&prefix[now ^ 1])))
            return -ESTALE;
    }
    struct prefix *dir_prefix = prefix_new(pathkey_prefix_slice(&prefix[now]), 0);
    if (!dir_prefix)
        return -ENOMEM;
    int rc = ns_lookup_key(ns, dir_prefix, path->names[path->count - 1], moves, ret_inode, ret_attr,
                           head);
    prefix_put(dir_prefix);
    return rc;
}

static int resolve_walk(struct ns *ns, const struct path *path, struct ns_inode **ret_inode,
                        struct ns_attr *ret_attr)
{
    struct ns_inode *inode = ns->root;
    ns_inode_ref(inode);
    int rc = 0;
    for (size_t i = 0; i < path->count && !rc; i++) {
        struct ns_inode *child;
        struct ns_attr *attr = i + 1 == path->count ? ret_attr : NULL;
        rc = ns_lookup_name(ns, inode, path->names[i], &child, attr);
        if (!rc) {
            ns_inode_drop(ns, inode);
            inode = child;
        }
    }
    if (!rc && path->must_be_dir && !inode_is_dir(inode))
        rc = -ENOTDIR;
    if (!rc && path->count == 0 && ret_attr)
        rc = ns_getattr(ns, inode, ret_attr);
    if (rc)
        ns_inode_drop(ns, inode);
    else
        *ret_inode = inode;
    return rc;
}

static int resolve_path(struct ns *ns, const struct path *path, struct ns_inode **ret_inode,
                        struct ns_attr *ret_attr, struct lookup_content *head)
{
    bool is_unfinished = false;
    int rc = 0;
    if (path->count)
        rc = unfinished_is(ns->db, &ns->at, path->names[0], &is_unfinished);
    if (rc || is_unfinished)
        return rc ? rc : -ENOENT;
    rc = -ESTALE;
    if (path->count && !path->must_be_dir)
        rc = resolve_direct(ns, path, ret_inode, ret_attr, head);
    if (rc == -ESTALE || rc == -ENOENT)
        rc = resolve_walk(ns, path, ret_inode, ret_attr);
    return rc;
}

// The whole way is in one tree: none comes in its place meanwhile.
static int resolve(struct ns *ns, const char *path_text, struct ns_inode **ret_inode,
                   struct ns_attr *ret_attr, struct lookup_content *head)
{
    struct path path;
    int rc = path_split(path_text, &path);
    if (rc)
        return rc;
    op_pass(ns);
    rc = resolve_path(ns, &path, ret_inode, ret_attr, head);
    op_passed(ns);
    free(path.names);
    return rc;
}

int ns_resolve(struct ns *ns, const char *path, struct ns_inode **ret_inode,
               struct ns_attr *ret_attr)
{
    return resolve(ns, path, ret_inode, ret_attr, NULL);
}

ssize_t ns_resolve_read(struct ns *ns, const char *path, void *data, size_t size,
                        struct ns_inode **ret_inode, struct ns_attr *ret_attr)
{
    struct lookup_content head = {.data = data, .size = size};
    struct ns_inode *inode;
    int rc = resolve(ns, path, &inode, ret_attr, &head);
    if (rc)
        return rc;
    ssize_t got = (ssize_t)head.got;
    if (!head.found && inode_is_regular(inode))
        got = ns_read(ns, inode, data, size, 0);
    if (got < 0)
        ns_inode_drop(ns, inode);
    else
        *ret_inode = inode;
    return got;
}
