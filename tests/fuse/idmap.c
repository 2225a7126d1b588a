// Mounts FROM once more on TO with mapped owners: the ids 0 to 999 of the file system appear as
// 1000 to 1999 there, and nobody else's do. For tests/fuse/test_idmap.sh:
//   idmap FROM TO
#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "must.h"

static void write_map(pid_t pid, const char *file)
{
    static const char map[] = "0 1000 1000";
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", pid, file);
    int fd = must_open(path, O_WRONLY);
    MUST(write(fd, map, sizeof map - 1) == sizeof map - 1 && close(fd) == 0);
}

// A user namespace with the map, as a file descriptor.
static int make_namespace(void)
{
    int ready[2];
    char path[64], byte = 0;
    MUST(pipe(ready) == 0);
    pid_t pid = fork();
    MUST(pid >= 0);
    if (pid == 0) {
        if (unshare(CLONE_NEWUSER) == 0 && write(ready[1], &byte, 1) == 1)
            pause();
        _exit(1);
    }
    close(ready[1]);
    MUST(read(ready[0], &byte, 1) == 1);
    write_map(pid, "uid_map");
    write_map(pid, "gid_map");
    snprintf(path, sizeof path, "/proc/%d/ns/user", pid);
    int fd = must_open(path, O_RDONLY);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    return fd;
}

int main(int argc, char **argv)
{
    MUST(argc == 3);
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (__u64)make_namespace()};
    int tree = open_tree(AT_FDCWD, argv[1], OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    MUST(tree >= 0);
    MUST(mount_setattr(tree, "", AT_EMPTY_PATH, &attr, sizeof attr) == 0);
    MUST(move_mount(tree, "", AT_FDCWD, argv[2], MOVE_MOUNT_F_EMPTY_PATH) == 0);
    return 0;
}
