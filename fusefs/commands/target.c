// Where a path of the client's is for the daemon: the target of a checkpoint or a backup.
//
// The daemon opens it only if it has no more rights than the client, and if it leads to the same
// place for both. Thread safety: one thread.
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "commands/command.h"

static bool same_place(struct ctl *ctl, const char *theirs, const char *ours, bool *ret_is_there)
{
    struct stat here;
    uint64_t device, inode;
    *ret_is_there = ctl->front->ops->ask_place(ctl->front, theirs, &device, &inode) == 0;
    return *ret_is_there && stat(ours, &here) == 0 && here.st_dev == device && here.st_ino == inode;
}

// For a target that is not there yet: whether its directory is the same for both. True as well if
// the client sees no such directory: then the daemon's message about it is the one to give.
static bool same_parent(struct ctl *ctl, const char *shown)
{
    const char *slash = strrchr(shown, '/');
    char *parent = NULL, *last = strrchr(ctl->target, '/');
    if (asprintf(&parent, "%.*s", slash ? (int)(slash - shown) + 1 : 1, slash ? shown : ".") < 0)
        return false;
    bool is_there;
    assert(last); // it is absolute
    char kept = last[1];
    last[1] = 0;
    bool same = same_place(ctl, parent, ctl->target, &is_there) || !is_there;
    last[1] = kept;
    free(parent);
    return same;
}

bool target_find(struct ctl *ctl)
{
    struct front *front = ctl->front;
    const char *shown = ctl->args[0];
    bool is_there;
    assert(ctl->live && !ctl->target);
    if (front->cred.uid != 0 && front->cred.uid != geteuid()) {
        complain(ctl, "%s: the store is mounted by user %u: only they and root can make one", shown,
                 (unsigned)geteuid());
        return false;
    }
    if (asprintf(&ctl->target, "%s%s%s", *shown == '/' ? "" : ctl->cwd, *shown == '/' ? "" : "/",
                 shown) < 0) {
        ctl->target = NULL;
        complain(ctl, "out of memory");
        return false;
    }
    bool same = same_place(ctl, shown, ctl->target, &is_there);
    if (!is_there)
        same = same_parent(ctl, shown);
    if (!same)
        complain(ctl, "%s: is not the same place for the daemon that has the store", shown);
    return same;
}

void target_release(struct ctl *ctl)
{
    free(ctl->target);
    ctl->target = NULL;
}
