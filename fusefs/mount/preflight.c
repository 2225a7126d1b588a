// Refusals. Everything that can be known to be wrong is said here, before a store is created and
// before anything is mounted: one line with the path, what is wrong, and what to do about it.
#include "mount/preflight.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/mounts.h"
#include "common/nested.h"
#include "common/say.h"
#include "common/store_place.h"
#include "mount/uring_switch.h"

#define FUSE_DEVICE "/dev/fuse"
#define FUSE_CONF   "/etc/fuse.conf"

__attribute__((format(printf, 1, 2))) static bool refuse(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say_args("lsmfs", format, args);
    va_end(args);
    return false;
}

// ----------------------------------------------------------------------------------- mount point

static bool check_mountpoint(struct mount_options *options)
{
    const char *given = options->mountpoint;
    struct stat st;
    struct mount_info info;
    char *resolved = realpath(given, NULL);
    if (!resolved || stat(resolved, &st)) {
        int error = errno;
        free(resolved);
        if (error == ENOENT)
            return refuse("%s: no such directory: make it first (mkdir)", given);
        // ECANCELED: the daemon is dead, and the kernel is still taking back its io_uring.
        if (error == ENOTCONN || error == ECONNABORTED || error == ECANCELED)
            return refuse("%s: the daemon of the file system mounted there is gone: unmount it "
                          "first (umount, fusermount3 -u)",
                          given);
        if (error == ENOTDIR)
            return refuse("%s: not a directory: a mount point must be one", given);
        return refuse("%s: cannot be used as mount point: %s", given, strerror(error));
    }
    free(options->mountpoint);
    options->mountpoint = resolved;
    if (!S_ISDIR(st.st_mode))
        return refuse("%s: not a directory: a mount point must be one", resolved);
    if (mount_info_find(resolved, &info) && strcmp(info.type, LSMFS_TYPE) == 0)
        return refuse("%s: already mounted by lsmfs (store %s): unmount it first", resolved,
                      info.source);
    if (geteuid() != 0 && access(resolved, W_OK) != 0)
        return refuse("%s: no permission to mount there: only root may mount on a directory it "
                      "cannot write to",
                      resolved);
    return true;
}

// ------------------------------------------------------------------------------------- the store

// The absolute path of what `path` names, which need not exist; NULL with errno if its parent does
// not, or with ENOMEM.
static char *absolute(const char *path)
{
    char *resolved = realpath(path, NULL);
    if (resolved || errno != ENOENT)
        return resolved;
    char *copy = strdup(path);
    if (!copy)
        return NULL;
    size_t n = strlen(copy);
    while (n > 1 && copy[n - 1] == '/')
        copy[--n] = 0;
    char *slash = strrchr(copy, '/');
    const char *name = slash ? slash + 1 : copy;
    char *parent = NULL, *result = NULL;
    if (slash)
        *slash = 0;
    parent = realpath(!slash ? "." : *copy ? copy : "/", NULL);
    if (parent && asprintf(&result, "%s/%s", strcmp(parent, "/") ? parent : "", name) < 0) {
        result = NULL;
        errno = ENOMEM;
    }
    int error = errno;
    free(parent);
    free(copy);
    errno = error;
    return result;
}

// Whether `path` is `directory` or lies below it; both absolute.
static bool is_within(const char *path, const char *directory)
{
    size_t n = strlen(directory);
    assert(path[0] == '/' && directory[0] == '/');
    if (strcmp(directory, "/") == 0)
        return true;
    return strncmp(path, directory, n) == 0 && (path[n] == 0 || path[n] == '/');
}

static bool directory_is_empty(const char *path)
{
    DIR *dir = opendir(path);
    if (!dir)
        return false; // opening the store will report why
    const struct dirent *entry;
    bool empty = true;
    while (empty && (entry = readdir(dir)))
        empty = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
    closedir(dir);
    return empty;
}

static bool check_absent_store(const struct mount_options *options)
{
    assert(options->db[0] == '/');
    char *parent = strdup(options->db);
    if (!parent)
        return refuse("%s: out of memory", options->db);
    *strrchr(parent, '/') = 0;
    bool may_create = access(*parent ? parent : "/", W_OK | X_OK) == 0;
    int error = errno;
    free(parent);
    if (options->read_only)
        return refuse("%s: no such store: mount it once without 'ro' to create it", options->db);
    if (!may_create)
        return refuse("%s: cannot create the store: %s", options->db, strerror(error));
    return true;
}

// The daemon works in another directory than where it was started.
static bool check_cache(struct mount_options *options)
{
    if (!store_place_is_remote(options->db))
        return refuse("%s: cache_dir is for stores in a cluster only (rados:POOL/NAME)",
                      options->db);
    char *path = absolute(options->cache_dir);
    if (!path)
        return refuse("cache_dir: %s: %s", options->cache_dir,
                      errno == ENOENT ? "the directory it would be created in does not exist"
                                      : strerror(errno));
    free(options->cache_dir);
    options->cache_dir = path;
    options->ns.engine.disk_cache_dir = path;
    if (is_within(path, options->mountpoint))
        return refuse("%s: the cache must not lie under the mount point %s", path,
                      options->mountpoint);
    return true;
}

static bool check_store(struct mount_options *options)
{
    if (options->cache_dir && !check_cache(options))
        return false;
    if (store_place_is_remote(options->db))
        return true; // opening it will say what is wrong
    char *path = absolute(options->db);
    if (!path)
        return refuse("%s: %s", options->db,
                      errno == ENOENT ? "the directory it would be created in does not exist"
                                      : strerror(errno));
    free(options->db);
    options->db = path;
    struct stat st;
    bool exists = stat(path, &st) == 0;
    if (!exists && errno != ENOENT)
        return refuse("%s: %s", path, strerror(errno));
    if (exists && !S_ISDIR(st.st_mode))
        return refuse("%s: not a directory: a store is a directory of its own", path);
    if (is_within(path, options->mountpoint))
        return refuse("%s: the store must not lie under its own mount point %s", path,
                      options->mountpoint);
    if (is_within(options->mountpoint, path))
        return refuse("%s: the mount point must not lie inside the store %s", options->mountpoint,
                      path);
    char outer[PATH_MAX];
    if (is_nested_store(path, outer))
        return refuse("%s: lies inside the store %s: a store needs a directory of its own", path,
                      outer);
    if (!exists)
        return check_absent_store(options);
    if (options->read_only && directory_is_empty(path))
        return refuse("%s: an empty directory, not a store: mount it once without 'ro' to create "
                      "one",
                      path);
    return true;
}

// ------------------------------------------------------------------------------------- the system

static bool find_fusermount(void)
{
    const char *path = getenv("PATH");
    char *dirs = strdup(path ? path : ""), *save = NULL;
    bool found = access("/usr/bin/fusermount3", X_OK) == 0;
    for (char *dir = dirs ? strtok_r(dirs, ":", &save) : NULL; dir && !found;
         dir = strtok_r(NULL, ":", &save)) {
        char candidate[PATH_MAX];
        snprintf(candidate, sizeof candidate, "%s/fusermount3", dir);
        found = access(candidate, X_OK) == 0;
    }
    free(dirs);
    return found;
}

static bool conf_allows_other(void)
{
    FILE *f = fopen(FUSE_CONF, "re");
    if (!f)
        return false;
    char line[256];
    bool allowed = false;
    while (!allowed && fgets(line, sizeof line, f)) {
        char *save = NULL;
        const char *word = strtok_r(line, " \t\n", &save);
        allowed = word && strcmp(word, "user_allow_other") == 0;
    }
    fclose(f);
    return allowed;
}

static bool check_system(const struct mount_options *options)
{
    int fd = open(FUSE_DEVICE, O_RDWR | O_CLOEXEC);
    if (fd < 0 && (errno == EACCES || errno == EPERM))
        return refuse(FUSE_DEVICE ": permission denied: ask the administrator for access to it "
                                  "(usually mode 0666)");
    if (fd < 0)
        return refuse(FUSE_DEVICE ": %s: the kernel's FUSE module is needed (modprobe fuse)",
                      strerror(errno));
    close(fd);
    if (geteuid() == 0)
        return true;
    if (!find_fusermount())
        return refuse("fusermount3 not found: ordinary users need it to mount (package fuse3)");
    if ((options->allow_other || options->allow_root) && !conf_allows_other())
        return refuse("option '%s': users may give it only if " FUSE_CONF
                      " has a line 'user_allow_other'",
                      options->allow_other ? "allow_other" : "allow_root");
    return true;
}

static bool check_transport(const struct mount_options *options)
{
    if (options->transport != TRANSPORT_URING)
        return true;
#ifndef LSMFS_URING
    return refuse("option 'transport=uring': this lsmfs was built without liburing");
#endif
    if (!uring_switch_exists())
        return refuse("option 'transport=uring': this kernel has no FUSE over io_uring (Linux "
                      "6.14 and later can have it)");
    if (!uring_switch_is_on() && !options->enable_uring)
        return refuse("option 'transport=uring': the kernel's FUSE over io_uring is turned off: "
                      "root turns it on with 'echo Y >" URING_SWITCH "' or option enable_uring");
    return true;
}

bool preflight(struct mount_options *options)
{
    return check_mountpoint(options) && check_store(options) && check_system(options) &&
           check_transport(options);
}
