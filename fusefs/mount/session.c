// Mounting and unmounting.
//
// The mount's source is the store's absolute path and its type fuse.lsmfs: that is how
// umount.lsmfs, and whoever reads /proc/self/mountinfo, finds the store that belongs to a mount.
//
// libfuse and fusermount3 say on stderr why they could not mount, in one to three lines. stderr is
// caught in memory meanwhile, so that the user gets one line that names the mount point; what else
// was written there during a successful mount is passed on.
#include "mount/session.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/mounts.h"
#include "common/store_place.h"
#include "mount/messages.h"

#define READAHEAD_KIB 1024
// Of a store in a cluster: several reads of 1 MiB on the way.
#define READAHEAD_REMOTE_KIB 8192
// Half for the mount's pages, half for those of the disk that the store is on.
#define DIRTY_RATIO 50

extern char **environ;

// stderr goes to a memory file between catch_begin() and catch_end(), which returns what was
// written (malloc'd), NULL if nothing could be caught.
struct catch
{
    int saved, memory;
};

static void catch_begin(struct catch *c)
{
    c->memory = memfd_create("lsmfs-stderr", MFD_CLOEXEC);
    c->saved = c->memory < 0 ? -1 : fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    if (c->saved >= 0)
        dup2(c->memory, STDERR_FILENO);
}

static char *catch_end(struct catch *c)
{
    char *text = NULL;
    if (c->saved >= 0) {
        dup2(c->saved, STDERR_FILENO);
        close(c->saved);
        off_t size = lseek(c->memory, 0, SEEK_END);
        text = size > 0 ? calloc(1, (size_t)size + 1) : NULL;
        if (text && pread(c->memory, text, (size_t)size, 0) != size) {
            free(text);
            text = NULL;
        }
    }
    if (c->memory >= 0)
        close(c->memory);
    return text;
}

// The last line of `text`, without the name of the program that wrote it.
static const char *last_line(char *text)
{
    size_t n = strlen(text);
    while (n && text[n - 1] == '\n')
        text[--n] = 0;
    char *newline = strrchr(text, '\n');
    const char *line = newline ? newline + 1 : text;
    static const char *const prefixes[] = {"lsmfs: ", "fuse: ", "fusermount3: "};
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++)
        if (strncmp(line, prefixes[i], strlen(prefixes[i])) == 0)
            line += strlen(prefixes[i]);
    return line;
}

static bool add_option(struct fuse_args *args, const char *option)
{
    return fuse_opt_add_arg(args, "-o") == 0 && fuse_opt_add_arg(args, option) == 0;
}

static bool build_args(struct fuse_args *args, const struct mount_options *options)
{
    char *source = NULL, *list = NULL;
    bool ok = asprintf(&source, "fsname=%s", options->db) >= 0 &&
              fuse_opt_add_opt_escaped(&list, source) == 0 &&
              fuse_opt_add_arg(args, "lsmfs") == 0 && add_option(args, list) &&
              add_option(args, "subtype=lsmfs");
    free(source);
    free(list);
    if (ok && !options->no_permissions)
        ok = add_option(args, "default_permissions");
    if (ok && options->allow_root)
        ok = add_option(args, "allow_root");
    else if (ok && options->allow_other)
        ok = add_option(args, "allow_other");
    if (ok && options->read_only)
        ok = add_option(args, "ro");
    if (ok && options->debug)
        ok = add_option(args, "debug");
    if (ok && options->kernel)
        ok = add_option(args, options->kernel);
    return ok;
}

struct fuse_session *session_mount(const struct mount_options *options,
                                   const struct fuse_lowlevel_ops *ops, void *userdata)
{
    struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
    struct fuse_session *session = NULL;
    bool mounted = false;
    struct catch caught;
    catch_begin(&caught);
    if (build_args(&args, options))
        session = fuse_session_new(&args, ops, sizeof *ops, userdata);
    if (session)
        mounted = fuse_session_mount(session, options->mountpoint) == 0;
    char *text = catch_end(&caught);
    if (mounted) {
        if (text)
            fputs(text, stderr);
    } else {
        messages_write(LOG_ERR, "%s: cannot be mounted on: %s", options->mountpoint,
                       text ? last_line(text) : "libfuse gave no reason");
        if (session)
            fuse_session_destroy(session);
        session = NULL;
    }
    free(text);
    fuse_opt_free_args(&args);
    assert(mounted == (session != NULL));
    return session;
}

// Whether the topmost mount at the mount point is this store's.
static bool is_ours(const struct mount_options *options, struct mount_info *info)
{
    return mount_info_find(options->mountpoint, info) && strcmp(info->type, LSMFS_TYPE) == 0 &&
           strcmp(info->source, options->db) == 0;
}

static int run_fusermount(const char *mountpoint, bool lazy)
{
    const char *argv[] = {"fusermount3", "-q", "-u", lazy ? "-z" : "--", mountpoint, NULL};
    posix_spawn_file_actions_t actions;
    pid_t pid;
    int wait_status = 1;
    if (posix_spawn_file_actions_init(&actions))
        return ENOMEM;
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    if (posix_spawnp(&pid, argv[0], &actions, NULL, (char **)argv, environ) == 0)
        while (waitpid(pid, &wait_status, 0) < 0 && errno == EINTR)
            ;
    posix_spawn_file_actions_destroy(&actions);
    return wait_status == 0 ? 0 : EBUSY;
}

int session_unmount(const struct mount_options *options, bool lazy)
{
    struct mount_info info;
    if (!is_ours(options, &info))
        return EINVAL;
    if (umount2(options->mountpoint, UMOUNT_NOFOLLOW | (lazy ? MNT_DETACH : 0)) == 0)
        return 0;
    return errno == EPERM ? run_fusermount(options->mountpoint, lazy) : errno;
}

void session_sync(const struct mount_options *options)
{
    int fd = open(options->mountpoint, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || syncfs(fd))
        messages_write(LOG_WARNING, "%s: could not be synced: %s", options->mountpoint,
                       strerror(errno));
    if (fd >= 0)
        close(fd);
}

// One of the kernel's settings for the mount's pages.
static void set_bdi(const struct mount_options *options, const char *name, unsigned number,
                    int priority)
{
    struct mount_info info;
    char path[128], value[16];
    if (!is_ours(options, &info))
        return;
    snprintf(path, sizeof path, "/sys/class/bdi/%s/%s", info.device, name);
    int n = snprintf(value, sizeof value, "%u", number);
    assert(n > 0 && (size_t)n < sizeof value);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, value, (size_t)n) != n)
        messages_write(priority, "%s cannot be set to %u: %s", path, number, strerror(errno));
    if (fd >= 0)
        close(fd);
}

void session_set_kernel(const struct mount_options *options)
{
    unsigned asked = options->dirty_ratio;
    unsigned ahead = store_place_is_remote(options->db) ? READAHEAD_REMOTE_KIB : READAHEAD_KIB;
    set_bdi(options, "read_ahead_kb", ahead, LOG_INFO);
    set_bdi(options, "max_ratio", asked ? asked : DIRTY_RATIO, asked ? LOG_WARNING : LOG_INFO);
}
