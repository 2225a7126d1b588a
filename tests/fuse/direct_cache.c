// Direct writes beside buffered readers, for tests/fuse/test_direct_cache.sh:
//   direct_cache FILE LOOPS
// In each loop one asynchronous direct write goes to a file that two processes open and read
// through the page cache all the while. Once it is complete a buffered read must see it. Prints how
// many did not; status 1 if any.
#define _GNU_SOURCE
#include <linux/aio_abi.h>
#include <signal.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "must.h"

#define SIZE    65536
#define READERS 2

static void read_on(const char *path)
{
    static char data[SIZE];
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;) {
        int fd = must_open(path, O_RDONLY);
        MUST(read(fd, data, sizeof data) == sizeof data);
        close(fd);
    }
}

static void write_async(aio_context_t context, int fd, const char *data, size_t size, off_t offset)
{
    struct iocb cb = {.aio_lio_opcode = IOCB_CMD_PWRITE,
                      .aio_fildes = (uint32_t)fd,
                      .aio_buf = (uintptr_t)data,
                      .aio_nbytes = size,
                      .aio_offset = offset};
    struct iocb *list[] = {&cb};
    struct io_event event;
    MUST(syscall(SYS_io_submit, context, 1, list) == 1);
    MUST(syscall(SYS_io_getevents, context, 1, 1, &event, NULL) == 1);
    MUST(event.res == (int64_t)size);
}

// How many bytes of [offset, offset + size) are not `byte`.
static size_t count_others(const char *path, char byte, size_t size, off_t offset)
{
    static char data[SIZE];
    size_t others = 0;
    int fd = must_open(path, O_RDONLY);
    MUST(pread(fd, data, size, offset) == (ssize_t)size);
    close(fd);
    for (size_t i = 0; i < size; i++)
        others += data[i] != byte;
    return others;
}

int main(int argc, char **argv)
{
    MUST(argc == 3);
    const char *path = argv[1];
    long loops = strtol(argv[2], NULL, 0), stale = 0;
    char *data = aligned_alloc(4096, SIZE);
    aio_context_t context = 0;
    pid_t readers[READERS];
    int fd = open(path, O_RDWR | O_CREAT | O_DIRECT, 0644);
    MUST(data && fd >= 0);
    memset(data, 0, SIZE);
    MUST(pwrite(fd, data, SIZE, 0) == SIZE);
    MUST(syscall(SYS_io_setup, 1, &context) == 0);
    for (int i = 0; i < READERS; i++) {
        readers[i] = fork();
        MUST(readers[i] >= 0);
        if (readers[i] == 0)
            read_on(path);
    }
    for (long i = 1; i <= loops; i++) {
        size_t size = i % 3 ? 4096 : SIZE;
        off_t offset = i % 3 ? (i * 7 % 16) * 4096 : 0;
        memset(data, (int)(i % 251), size);
        write_async(context, fd, data, size, offset);
        stale += count_others(path, (char)(i % 251), size, offset) > 0;
    }
    for (int i = 0; i < READERS; i++) {
        int status;
        kill(readers[i], SIGKILL);
        MUST(waitpid(readers[i], &status, 0) == readers[i] && WIFSIGNALED(status));
    }
    printf("%ld of %ld stale\n", stale, loops);
    return stale > 0;
}
