// mkdir, rm, mv, ln: names come, go and move.
//
// Thread safety: one thread.
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands/command.h"
#include "commands/walk.h"

// ------------------------------------------------------------------------------- mkdir

struct mkdir_args {
    struct ns_cred cred; // for the directory itself
    uint32_t mode;
};

static int make_one(struct ctl *ctl, const struct mkdir_args *args, const char *path)
{
    struct path_name name;
    struct ns_inode *parent, *inode;
    int rc = path_name_init(&name, path);
    if (rc)
        return rc;
    if (name.name_size == 0)
        rc = -EEXIST;
    if (!rc)
        rc = ns_resolve(ctl->ns, name.parent, &parent, NULL);
    if (!rc) {
        rc = ns_mkdir(ctl->ns, &args->cred, parent, name.name, name.name_size, args->mode, &inode,
                      NULL);
        if (!rc) {
            ctl_name_changed(ctl, parent, name.name, name.name_size);
            ns_inode_put(ctl->ns, inode, 1);
        }
        ns_inode_put(ctl->ns, parent, 1);
    }
    path_name_release(&name);
    return rc;
}

// The directory that a component of a path names, made if it is not there.
static int step_into(struct ctl *ctl, const struct mkdir_args *args, struct ns_inode *dir,
                     const char *name, size_t size, bool is_last, struct ns_inode **ret_inode)
{
    if (size == 1 && name[0] == '.') {
        ns_inode_ref(dir);
        *ret_inode = dir;
        return 0;
    }
    if (size == 2 && name[0] == '.' && name[1] == '.')
        return ns_parent(ctl->ns, dir, ret_inode);
    int rc = ns_lookup(ctl->ns, dir, name, size, ret_inode, NULL);
    if (rc == -ENOENT) {
        struct ns_cred cred = ctl->front->cred; // parents have to be writable for their owner
        cred.umask &= ~0300u;
        rc = ns_mkdir(ctl->ns, is_last ? &args->cred : &cred, dir, name, size,
                      is_last ? args->mode : 0777, ret_inode, NULL);
        if (!rc)
            ctl_name_changed(ctl, dir, name, size);
        return rc;
    }
    if (!rc && ns_inode_type(*ret_inode) != S_IFDIR) {
        ns_inode_put(ctl->ns, *ret_inode, 1);
        return is_last ? -EEXIST : -ENOTDIR;
    }
    return rc;
}

static int make_all(struct ctl *ctl, const struct mkdir_args *args, const char *path)
{
    struct ns_inode *dir = ns_root(ctl->ns), *next;
    int rc = 0;
    ns_inode_ref(dir);
    for (const char *p = path + strspn(path, "/"); *p && !rc;) {
        size_t size = strcspn(p, "/");
        const char *after = p + size + strspn(p + size, "/");
        rc = step_into(ctl, args, dir, p, size, !*after, &next);
        p = after;
        if (!rc) {
            ns_inode_put(ctl->ns, dir, 1);
            dir = next;
        }
    }
    ns_inode_put(ctl->ns, dir, 1);
    return rc;
}

enum exit_status command_mkdir(struct ctl *ctl)
{
    uint64_t mode = 0777;
    if (!ctl_number(ctl, 'm', 8, 07777, &mode))
        return EXIT_USAGE;
    struct mkdir_args args = {.cred = ctl->front->cred, .mode = (uint32_t)mode};
    if (ctl_has(ctl, 'm'))
        args.cred.umask = 0;
    if (!tree_open(ctl, ctl_has(ctl, 'c') ? OPEN_CREATE : OPEN_WRITE))
        return EXIT_FAILED;
    enum exit_status status = EXIT_OK;
    for (int i = 0; i < ctl->arg_count; i++) {
        const char *path = ctl->args[i];
        int rc = ctl_has(ctl, 'p') ? make_all(ctl, &args, path) : make_one(ctl, &args, path);
        if (rc)
            status = path_failed(ctl, path, rc);
    }
    return ctl_store_close(ctl, status);
}

// ------------------------------------------------------------------------------- rm

static void removed(struct ctl *ctl, struct ns_inode *dir, const char *name, size_t name_size,
                    struct ns_inode *inode)
{
    ctl_name_changed(ctl, dir, name, name_size);
    ctl_inode_changed(ctl, inode);
}

static int unlink_one(struct ctl *ctl, struct ns_inode *dir, const char *name, size_t name_size,
                      struct ns_inode *inode)
{
    int rc = ns_unlink(ctl->ns, dir, name, name_size);
    if (!rc)
        removed(ctl, dir, name, name_size, inode);
    return rc;
}

// A tree that is being removed: what it hangs on.
struct rm_tree {
    struct ctl *ctl;
    struct ns_inode *parent;
    const struct path_name *name;
};

// Removes the directory that the walk is in. Not if something in it could not be removed, which has
// been said.
static int remove_emptied(void *arg, struct walk *walk)
{
    const struct rm_tree *tree = arg;
    struct ns_inode *parent = tree->parent;
    const char *name = tree->name->name;
    size_t name_size = tree->name->name_size;
    progress_add(tree->ctl->front, 1);
    if (walk_top(walk)->failed)
        return 0;
    if (walk->depth > 1) {
        size_t start = walk->levels[walk->depth - 2].path_size;
        parent = walk->levels[walk->depth - 2].dir;
        walk_path(walk, "", 0); // leaves the path of the deepest level in walk->path
        assert(start < walk->path.size);
        name = (const char *)walk->path.data + start;
        name += *name == '/';
        name_size = strlen(name);
    }
    int rc = ns_rmdir(walk->ns, parent, name, name_size);
    if (!rc)
        removed(tree->ctl, parent, name, name_size, walk_top(walk)->dir);
    return rc;
}

static int remove_entry(void *arg, struct walk *walk, const struct dir_entry *entry)
{
    struct ctl *ctl = ((const struct rm_tree *)arg)->ctl;
    struct ns_inode *dir = walk_top(walk)->dir, *child;
    progress_add(ctl->front, 1);
    if (entry->type != S_IFDIR && !ctl->live) // no kernel has to be told which inode it was
        return ns_unlink(walk->ns, dir, entry->name, entry->name_size);
    int rc = ns_lookup(walk->ns, dir, entry->name, entry->name_size, &child, NULL);
    if (rc)
        return rc;
    if (ns_inode_type(child) == S_IFDIR)
        rc = walk_enter(walk, child, entry->name, entry->name_size);
    else
        rc = unlink_one(ctl, dir, entry->name, entry->name_size, child);
    ns_inode_put(walk->ns, child, 1);
    return rc;
}

// Removes the directory `name` of `parent` and all below it, from the leaves up.
static enum exit_status remove_tree(struct ctl *ctl, const char *path, struct ns_inode *parent,
                                    const struct path_name *name, struct ns_inode *dir)
{
    static const struct walk_steps steps = {remove_entry, remove_emptied};
    struct rm_tree tree = {ctl, parent, name};
    return walk_tree(ctl, dir, path, &steps, &tree);
}

static enum exit_status remove_name(struct ctl *ctl, const char *path, struct ns_inode *parent,
                                    const struct path_name *name)
{
    struct ns_inode *inode;
    assert(name->name_size > 0); // not the root
    int rc = ns_lookup(ctl->ns, parent, name->name, name->name_size, &inode, NULL);
    if (rc)
        return rc == -ENOENT && ctl_has(ctl, 'f') ? EXIT_OK : path_failed(ctl, path, rc);
    enum exit_status status = EXIT_OK;
    bool is_dir = ns_inode_type(inode) == S_IFDIR;
    if (is_dir && ctl_has(ctl, 'r')) {
        status = remove_tree(ctl, path, parent, name, inode);
    } else {
        rc = is_dir ? -EISDIR : name->slash ? -ENOTDIR : 0;
        if (!rc)
            rc = unlink_one(ctl, parent, name->name, name->name_size, inode);
        if (rc)
            status = path_failed(ctl, path, rc);
    }
    ns_inode_put(ctl->ns, inode, 1);
    return status;
}

static enum exit_status remove_path(struct ctl *ctl, const char *path)
{
    struct path_name name;
    struct ns_inode *parent;
    int rc = path_name_init(&name, path);
    if (rc)
        return path_failed(ctl, path, rc);
    enum exit_status status = EXIT_OK;
    if (name.name_size == 0)
        rc = -EBUSY; // the root
    if (!rc)
        rc = ns_resolve(ctl->ns, name.parent, &parent, NULL);
    if (!rc) {
        status = remove_name(ctl, path, parent, &name);
        ns_inode_put(ctl->ns, parent, 1);
    } else if (!ctl_has(ctl, 'f') || (rc != -ENOENT && rc != -ENOTDIR)) {
        status = path_failed(ctl, path, rc);
    }
    path_name_release(&name);
    return status;
}

enum exit_status command_rm(struct ctl *ctl)
{
    if (!tree_open(ctl, OPEN_WRITE))
        return EXIT_FAILED;
    progress_unit(ctl->front, PROGRESS_NAMES);
    return ctl_store_close(ctl, for_each_path(ctl, remove_path));
}

// ------------------------------------------------------------------------------- mv, ln

// Where a file is put: the directory and the name in it.
struct destination {
    struct ns_inode *dir; // a reference
    const char *name;
    size_t name_size;
    bool slash; // it has to be a directory
};

// `path` itself, or `base` in it if it is a directory.
static int destination_find(struct ctl *ctl, const char *path, const struct path_name *name,
                            const struct path_name *base, struct destination *ret_place)
{
    struct ns_inode *inode = NULL;
    int rc = ns_resolve(ctl->ns, path, &inode, NULL);
    if (!rc && ns_inode_type(inode) == S_IFDIR) {
        *ret_place = (struct destination){inode, base->name, base->name_size, false};
        return base->name_size ? 0 : -EEXIST;
    }
    if (inode)
        ns_inode_put(ctl->ns, inode, 1);
    if (rc && rc != -ENOENT)
        return rc;
    if (!name->parent) // the path ends in a dot
        return rc ? rc : -ENOTDIR;
    *ret_place = (struct destination){NULL, name->name, name->name_size, name->slash};
    return ns_resolve(ctl->ns, name->parent, &ret_place->dir, NULL);
}

static int rename_to(struct ctl *ctl, const struct path_name *from, const struct destination *place)
{
    unsigned flags = ctl_has(ctl, 'n') ? NS_RENAME_NOREPLACE : 0;
    struct ns_inode *dir, *inode = NULL, *replaced = NULL;
    int rc = ns_resolve(ctl->ns, from->parent, &dir, NULL);
    if (rc)
        return rc;
    rc = ns_lookup(ctl->ns, dir, from->name, from->name_size, &inode, NULL);
    if (!rc && (from->slash || place->slash) && ns_inode_type(inode) != S_IFDIR)
        rc = -ENOTDIR;
    if (!rc && ctl->live &&
        ns_lookup(ctl->ns, place->dir, place->name, place->name_size, &replaced, NULL))
        replaced = NULL;
    if (!rc)
        rc = ns_rename(ctl->ns, dir, from->name, from->name_size, place->dir, place->name,
                       place->name_size, flags);
    if (!rc) {
        ctl_name_changed(ctl, dir, from->name, from->name_size);
        ctl_name_changed(ctl, place->dir, place->name, place->name_size);
        ctl_inode_changed(ctl, inode);
        if (replaced)
            ctl_inode_changed(ctl, replaced);
    }
    if (inode)
        ns_inode_put(ctl->ns, inode, 1);
    if (replaced)
        ns_inode_put(ctl->ns, replaced, 1);
    ns_inode_put(ctl->ns, dir, 1);
    return rc;
}

static int link_to(struct ctl *ctl, const char *target, const struct destination *place)
{
    struct ns_inode *inode;
    if (place->slash)
        return -ENOTDIR;
    if (ctl_has(ctl, 's')) {
        struct ns_cred cred = ctl->front->cred;
        int rc = ns_symlink(ctl->ns, &cred, place->dir, place->name, place->name_size, target,
                            strlen(target), &inode, NULL);
        if (!rc) {
            ctl_name_changed(ctl, place->dir, place->name, place->name_size);
            ns_inode_put(ctl->ns, inode, 1);
        }
        return rc;
    }
    int rc = ns_resolve(ctl->ns, target, &inode, NULL);
    if (rc)
        return rc;
    rc = ns_link(ctl->ns, inode, place->dir, place->name, place->name_size, NULL);
    if (!rc) {
        ctl_name_changed(ctl, place->dir, place->name, place->name_size);
        ctl_inode_changed(ctl, inode);
    }
    ns_inode_put(ctl->ns, inode, 1);
    return rc;
}

// What mv and ln have in common: FROM and TO found, then one operation.
static int move_or_link(struct ctl *ctl, bool is_move)
{
    const char *from = ctl->args[0], *to = ctl->args[1];
    struct path_name from_name = {0}, to_name = {0};
    struct destination place = {0};
    int rc = path_name_init(&from_name, from);
    if (rc == -EINVAL && !is_move) // a link's target may be any text; then it has no name to give
        rc = 0;
    if (!rc && is_move && from_name.name_size == 0)
        rc = -EBUSY; // the root
    if (!rc)
        rc = path_name_init(&to_name, to);
    if (rc == -EINVAL && from_name.name_size) // a directory to go into may be named by dots
        rc = 0;
    if (!rc)
        rc = destination_find(ctl, to, &to_name, &from_name, &place);
    if (!rc)
        rc = is_move ? rename_to(ctl, &from_name, &place) : link_to(ctl, from, &place);
    if (place.dir)
        ns_inode_put(ctl->ns, place.dir, 1);
    path_name_release(&from_name);
    path_name_release(&to_name);
    return rc;
}

static enum exit_status move_or_link_command(struct ctl *ctl, bool is_move)
{
    if (!tree_open(ctl, OPEN_WRITE))
        return EXIT_FAILED;
    int rc = move_or_link(ctl, is_move);
    return ctl_store_close(ctl, rc ? paths_failed(ctl, ctl->args[0], ctl->args[1], rc) : EXIT_OK);
}

enum exit_status command_mv(struct ctl *ctl)
{
    return move_or_link_command(ctl, true);
}

enum exit_status command_ln(struct ctl *ctl)
{
    return move_or_link_command(ctl, false);
}
