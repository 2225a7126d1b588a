// What of the flags of chattr(1) the shell has no command for, for tests/fuse/test_chattr.sh:
//   chattr forms|exchange|tmpfile|earlier PATH [PATH]
#define _GNU_SOURCE
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <termios.h>

#include "must.h"

// The two forms of flags are of one thing.
static int forms(const char *path)
{
    struct fsxattr x;
    int fd = must_open(path, O_RDWR | O_CREAT), flags = FS_NODUMP_FL | FS_IMMUTABLE_FL;
    MUST(ioctl(fd, FS_IOC_FSGETXATTR, &x) == 0 && x.fsx_xflags == 0 && x.fsx_projid == 0);
    MUST(ioctl(fd, FS_IOC_SETFLAGS, &flags) == 0);
    MUST(ioctl(fd, FS_IOC_FSGETXATTR, &x) == 0);
    MUST(x.fsx_xflags == (FS_XFLAG_NODUMP | FS_XFLAG_IMMUTABLE));
    x.fsx_xflags = FS_XFLAG_NOATIME | FS_XFLAG_APPEND;
    MUST(ioctl(fd, FS_IOC_FSSETXATTR, &x) == 0);
    MUST(ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0 && flags == (FS_NOATIME_FL | FS_APPEND_FL));
    x.fsx_xflags = FS_XFLAG_REALTIME;
    MUST(ioctl(fd, FS_IOC_FSSETXATTR, &x) < 0);
    MUST(ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0 && flags == (FS_NOATIME_FL | FS_APPEND_FL));
    flags = 0;
    MUST(ioctl(fd, FS_IOC_SETFLAGS, &flags) == 0);
    MUST(ioctl(fd, FS_IOC_FSGETXATTR, &x) == 0 && x.fsx_xflags == 0);
    MUST(ioctl(fd, TCGETS, &x) < 0 && errno == ENOTTY);
    return close(fd);
}

// Bytes written before the file became immutable arrive, wherever they were at that moment.
static int earlier(const char *path)
{
    enum { SIZE = 300000 };
    char *data = pattern(SIZE, 5);
    int fd = must_open(path, O_RDWR | O_CREAT), flags = FS_IMMUTABLE_FL;
    MUST(write(fd, data, SIZE) == SIZE);
    MUST(ioctl(fd, FS_IOC_SETFLAGS, &flags) == 0);
    MUST(open(path, O_WRONLY) < 0 && errno == EPERM);
    MUST(ftruncate(fd, 5) < 0 && errno == EPERM);
    MUST(fsync(fd) == 0);
    must_hold(fd, data, SIZE, 0);
    MUST(close(fd) == 0);
    fd = must_open(path, O_RDONLY);
    must_hold(fd, data, SIZE, 0);
    return close(fd);
}

static int result(int rc)
{
    if (rc < 0)
        perror("chattr");
    return rc < 0;
}

int main(int argc, char **argv)
{
    MUST(argc >= 3);
    if (strcmp(argv[1], "forms") == 0)
        return forms(argv[2]);
    if (strcmp(argv[1], "earlier") == 0)
        return earlier(argv[2]);
    if (strcmp(argv[1], "tmpfile") == 0)
        return result(open(argv[2], O_TMPFILE | O_RDWR, 0600));
    MUST(strcmp(argv[1], "exchange") == 0 && argc == 4);
    return result(renameat2(AT_FDCWD, argv[2], AT_FDCWD, argv[3], RENAME_EXCHANGE));
}
