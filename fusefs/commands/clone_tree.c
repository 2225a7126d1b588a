// lsmfsctl clone: a copy of a tree that shares the content of its files.
//
// Thread safety: one thread.
#include "ns/changes/clone.h"

#include <errno.h>
#include <string.h>

#include "commands/command.h"

static int show_progress(void *arg, uint64_t done, uint64_t total)
{
    return ctl_progress(arg, done, total);
}

static int clone(struct ctl *ctl, const char *from, const struct path_name *to)
{
    struct ns_inode *dir;
    struct ns *source;
    if (to->name_size == 0)
        return -EEXIST; // the root
    int rc = ns_resolve(ctl->ns, to->parent, &dir, NULL);
    if (rc)
        return rc;
    int engine_rc = ns_open_snapshot(ctl->ns, NULL, &source);
    if (engine_rc) {
        ns_inode_put(ctl->ns, dir, 1);
        return -ns_errno(engine_rc);
    }
    rc = ns_clone(ctl->ns, source, from, dir, to->name, to->name_size, show_progress, ctl);
    engine_rc = ns_close(source);
    if (!rc && engine_rc)
        rc = -ns_errno(engine_rc);
    if (!rc)
        ctl_name_changed(ctl, dir, to->name, to->name_size);
    ns_inode_put(ctl->ns, dir, 1);
    return rc;
}

enum exit_status command_clone(struct ctl *ctl)
{
    struct path_name to;
    const char *from = ctl->args[0];
    int rc = path_name_init(&to, ctl->args[1]);
    if (rc)
        return path_failed(ctl, ctl->args[1], rc);
    if (!tree_open(ctl, OPEN_WRITE)) {
        path_name_release(&to);
        return EXIT_FAILED;
    }
    if (ctl->live) // what programs have written is to be in the copy
        ctl->live->snapshot_begin(ctl->live);
    progress_unit(ctl->front, PROGRESS_NAMES);
    rc = clone(ctl, from, &to);
    path_name_release(&to);
    return ctl_store_close(ctl, rc ? paths_failed(ctl, from, ctl->args[1], rc) : EXIT_OK);
}
