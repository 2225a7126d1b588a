// Changes of a file of a snapshot that only a program can try:
//   snapdir write FILE  write(2) of one byte and of whole pages, through descriptors of both kinds,
//                       and by splice(2): EROFS each time
//   snapdir map FILE    a store through a shared mapping: refused when it is passed on, and nobody
//                       sees it then
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static int failed(const char *what, ssize_t result)
{
    fprintf(stderr, "%s: %zd, %s\n", what, result, strerror(errno));
    return 1;
}

static int refused(const char *what, ssize_t result)
{
    return result < 0 && errno == EROFS ? 0 : failed(what, result);
}

// Where the kernel asks before it opens, opening is refused.
static int try_writes(const char *path, int flags)
{
    static char pages[8192];
    int pipe_fds[2];
    int fd = open(path, flags);
    if (fd < 0)
        return refused("open", fd);
    loff_t offset = 0;
    int bad = refused("write of a byte", pwrite(fd, pages, 1, 5));
    bad |= refused("write of pages", pwrite(fd, pages, sizeof pages, 0));
    bad |= refused("write behind the end", pwrite(fd, pages, 1, 100000000));
    bad |= refused("truncate", ftruncate(fd, 1));
    bad |= refused("allocate", fallocate(fd, 0, 0, 100000000));
    if (pipe(pipe_fds) || write(pipe_fds[1], pages, 4096) != 4096)
        return failed("pipe", -1);
    if (!(flags & O_APPEND)) // EINVAL
        bad |= refused("splice", splice(pipe_fds[0], NULL, fd, &offset, 4096, 0));
    return close(fd) ? failed("close", -1) : bad;
}

static int try_mapping(const char *path)
{
    const struct timespec moment = {.tv_nsec = 10000000};
    int fd = open(path, O_RDWR);
    if (fd < 0)
        return refused("open", fd);
    char *bytes = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (bytes == MAP_FAILED)
        return failed("mmap", -1);
    char before = bytes[0], now = (char)(before + 1);
    bytes[0] = now;
    int synced = msync(bytes, 4096, MS_SYNC);
    munmap(bytes, 4096);
    close(fd);
    if (synced == 0)
        return failed("msync succeeds", 0);
    fd = open(path, O_RDONLY);
    for (int i = 0; i < 1000 && pread(fd, &now, 1, 0) == 1 && now != before; i++)
        nanosleep(&moment, NULL);
    return now == before ? 0 : failed("the store stays", now);
}

int main(int argc, char **argv)
{
    if (argc > 2 && strcmp(argv[1], "map") == 0)
        return try_mapping(argv[2]);
    if (argc > 2 && strcmp(argv[1], "write") == 0)
        return try_writes(argv[2], O_WRONLY) | try_writes(argv[2], O_RDWR) |
               try_writes(argv[2], O_WRONLY | O_APPEND);
    return 2;
}
