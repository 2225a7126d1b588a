// See mount_paths.h. Which mount a path is in is known by its device; where it is in there, by the
// longest mount point that the path begins with. What is in .snapshots, and the directory itself,
// have inode numbers that nothing of the tree has.
//
// Thread safety: one thread.
#include "ctl/mount_paths.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "common/mounts.h"
#include "ns/namespace.h"

static char store_path[PATH_MAX];
static char paths[2][PATH_MAX];
static char *args[2] = {paths[0], paths[1]};

// The absolute path, with the directories on the way resolved. 0 or -errno.
static int resolve(const char *path, char absolute[PATH_MAX])
{
    char parent[PATH_MAX], above[PATH_MAX];
    struct stat st;
    size_t size = strlen(path);
    while (size > 1 && path[size - 1] == '/')
        size--;
    const char *slash = memrchr(path, '/', size);
    const char *name = slash ? slash + 1 : path;
    size_t name_size = size - (size_t)(name - path);
    bool is_name = name_size > 0 && !(name_size <= 2 && memcmp(name, "..", name_size) == 0);
    // A directory may be a mount point itself.
    if (!is_name || (lstat(path, &st) == 0 && S_ISDIR(st.st_mode)))
        return realpath(path, absolute) ? 0 : -errno;
    if (size >= sizeof parent)
        return -ENAMETOOLONG;
    snprintf(parent, sizeof parent, "%.*s", slash ? (int)(name - path) : 1, slash ? path : ".");
    if (!realpath(parent, above))
        return -errno;
    const char *between = strcmp(above, "/") == 0 ? "" : "/";
    int n = snprintf(absolute, PATH_MAX, "%s%s%.*s", above, between, (int)name_size, name);
    return n < PATH_MAX ? 0 : -ENAMETOOLONG;
}

// The device of what is there, or of the directory in which it would be; whether that is in
// .snapshots.
static int device_of(const char *absolute, char device[32], bool *ret_in_snapshots)
{
    char parent[PATH_MAX];
    struct stat st;
    assert(absolute[0] == '/');
    if (lstat(absolute, &st)) {
        if (errno != ENOENT)
            return -errno;
        size_t size = (size_t)(strrchr(absolute, '/') - absolute);
        snprintf(parent, sizeof parent, "%.*s", size ? (int)size : 1, absolute);
        if (lstat(parent, &st))
            return -errno;
    }
    snprintf(device, 32, "%u:%u", major(st.st_dev), minor(st.st_dev));
    *ret_in_snapshots = st.st_ino >= NS_INO_LAST;
    return 0;
}

// One of the two paths: its place in the mount's store.
static bool find(struct ctl *ctl, const char *path, char inside[PATH_MAX],
                 struct mount_info *ret_info, bool *ret_in_snapshots)
{
    char absolute[PATH_MAX], device[32];
    int rc = resolve(path, absolute);
    if (!rc)
        rc = device_of(absolute, device, ret_in_snapshots);
    if (rc) {
        complain(ctl, "%s: %s", path, strerror(-rc));
        return false;
    }
    if (!mount_info_of_path(absolute, device, ret_info)) {
        complain(ctl, "%s is not in a mounted store", path);
        return false;
    }
    assert(strncmp(absolute, ret_info->mountpoint, strlen(ret_info->mountpoint)) == 0);
    const char *root = strcmp(ret_info->root, "/") == 0 ? "" : ret_info->root;
    const char *rest =
        absolute + (strcmp(ret_info->mountpoint, "/") == 0 ? 0 : strlen(ret_info->mountpoint));
    int n = snprintf(inside, PATH_MAX, "%s%s", root, rest);
    if (n >= PATH_MAX) {
        complain(ctl, "%s: %s", path, strerror(ENAMETOOLONG));
        return false;
    }
    if (n == 0)
        strcpy(inside, "/");
    return true;
}

// Refuses, with a message, what the command cannot do: it works on the present of the store, knows
// nothing of .snapshots, and would not mind a mount that is read-only.
static bool may_clone(struct ctl *ctl, const char *from, const char *to, bool from_snapshot,
                      bool to_read_only)
{
    if (to_read_only)
        complain(ctl, "%s: %s", to, strerror(EROFS));
    else if (from_snapshot)
        complain(ctl, "%s: is of a snapshot: 'cp -a' copies it, and shares its content", from);
    return !to_read_only && !from_snapshot;
}

bool mount_paths(struct ctl *ctl, char *from, char *to)
{
    struct mount_info info[2];
    bool in_snapshots[2];
    if (!find(ctl, from, paths[0], &info[0], &in_snapshots[0]) ||
        !find(ctl, to, paths[1], &info[1], &in_snapshots[1]))
        return false;
    if (strcmp(info[0].device, info[1].device) != 0) {
        complain(ctl, "%s and %s are not in one store", from, to);
        return false;
    }
    if (!may_clone(ctl, from, to, in_snapshots[0], in_snapshots[1] || info[1].is_read_only))
        return false;
    snprintf(store_path, sizeof store_path, "%s", info[0].source);
    ctl->db = store_path;
    ctl->args = args;
    ctl->arg_count = 2;
    return true;
}
