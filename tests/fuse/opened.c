// What must hold of files while they are open, however the daemon learns of it, for
// tests/fuse/test_opened.sh:
//   opened TEST DIRECTORY
// Each test works in an empty directory. Status 0 if the file system did what it should; otherwise
// a line says what was wrong.
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "must.h"

#define FAILS(error, call) MUST((errno = 0, (call) < 0 && errno == (error)))

static void make_file(const char *path, const char *data, size_t size, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, mode);
    MUST(fd >= 0 && write(fd, data, size) == (ssize_t)size && fchmod(fd, mode) == 0);
    MUST(fsync(fd) == 0 && close(fd) == 0);
}

// The next read is the daemon's.
static void drop_pages(int fd)
{
    MUST(fdatasync(fd) == 0 && posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) == 0);
}

static struct stat must_fstat(int fd)
{
    struct stat st;
    MUST(fstat(fd, &st) == 0);
    return st;
}

// Runs `run` as somebody without privileges; its directory is everybody's.
static void as_user(void (*run)(void))
{
    int status;
    MUST(chmod(".", 0777) == 0);
    pid_t child = fork();
    if (child == 0) {
        MUST(geteuid() != 0 || (setgid(1234) == 0 && setuid(1234) == 0));
        run();
        _exit(0);
    }
    MUST(waitpid(child, &status, 0) == child && status == 0);
}

// ------------------------------------------------------------------------------ without a name

// A file of `size` bytes loses its name while it is open, by unlink or by a rename over it.
static void lose_name(size_t size, bool by_rename)
{
    char *data = pattern(size, (unsigned)size), path[64];
    make_file("file", data, size, 0644);
    int fd = must_open("file", O_RDWR), reader = must_open("file", O_RDONLY);
    drop_pages(fd);
    if (by_rename) {
        make_file("other", "other", 5, 0644);
        MUST(rename("other", "file") == 0);
    } else {
        MUST(unlink("file") == 0);
    }
    MUST(must_fstat(fd).st_nlink == 0 && must_fstat(fd).st_size == (off_t)size);
    must_hold(reader, data, size, 0);
    drop_pages(fd);
    must_hold(reader, data, size, 0);
    MUST(close(reader) == 0);
    // opened once more, by its descriptor; written to; made shorter and longer
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    reader = must_open(path, O_RDONLY);
    MUST(pwrite(fd, "written", 7, (off_t)size) == 7);
    drop_pages(fd);
    must_hold(reader, data, size, 0);
    must_hold(reader, "written", 7, (off_t)size);
    MUST(ftruncate(fd, 10) == 0 && ftruncate(fd, 20000) == 0);
    drop_pages(fd);
    must_hold(reader, data, 10, 0);
    must_hold(reader, "\0\0\0\0", 4, 10);
    MUST(fchmod(fd, 0600) == 0 && (must_fstat(reader).st_mode & 07777) == 0600);
    MUST(close(fd) == 0 && close(reader) == 0);
    if (by_rename)
        MUST(unlink("file") == 0);
    free(data);
}

static void test_unlinked(void)
{
    static const size_t sizes[] = {100, 3000, 100000, 6000000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        lose_name(sizes[i], false);
        lose_name(sizes[i], true);
    }
    // one of two names; a mapping that outlives the descriptor
    char *data = pattern(50000, 9);
    make_file("file", data, 50000, 0644);
    MUST(link("file", "second") == 0);
    int fd = must_open("file", O_RDONLY);
    MUST(unlink("file") == 0 && must_fstat(fd).st_nlink == 1);
    char *map = mmap(NULL, 50000, PROT_READ, MAP_SHARED, fd, 0);
    drop_pages(fd);
    MUST(map != MAP_FAILED && close(fd) == 0 && unlink("second") == 0);
    MUST(memcmp(map, data, 50000) == 0 && munmap(map, 50000) == 0);
    free(data);
}

// ------------------------------------------------------------------------------ O_TRUNC

static void test_truncated(void)
{
    char *data = pattern(200000, 5);
    make_file("file", data, 200000, 0644);
    int fd = must_open("file", O_RDWR);
    char *map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    MUST(map != MAP_FAILED && map[0] == data[0]);
    struct stat before = must_fstat(fd);
    nanosleep(&(struct timespec){0, 20000000}, NULL);
    int cut = must_open("file", O_WRONLY | O_TRUNC);
    struct stat after = must_fstat(fd);
    MUST(after.st_size == 0 && after.st_mtim.tv_sec * 1000000000l + after.st_mtim.tv_nsec >
                                   before.st_mtim.tv_sec * 1000000000l + before.st_mtim.tv_nsec);
    MUST(read(fd, data, 10) == 0 && write(cut, "new", 3) == 3 && close(cut) == 0);
    must_hold(fd, "new", 3, 0);
    drop_pages(fd);
    must_hold(fd, "new", 3, 0);
    MUST(must_fstat(fd).st_size == 3 && ftruncate(fd, 4096) == 0);
    must_hold(fd, "new\0\0\0", 6, 0); // nothing of the old content comes back
    MUST(munmap(map, 4096) == 0 && close(fd) == 0);
    // what does not exist yet, what must not, and what may not be written to
    MUST(close(must_open("fresh", O_WRONLY | O_CREAT | O_TRUNC)) == 0);
    FAILS(EEXIST, open("fresh", O_WRONLY | O_CREAT | O_EXCL | O_TRUNC, 0644));
    int readonly = open("readonly", O_RDWR | O_CREAT | O_EXCL, 0444); // who makes it may write
    MUST(readonly >= 0 && write(readonly, "kept", 4) == 4 && close(readonly) == 0);
    if (geteuid() != 0)
        FAILS(EACCES, open("readonly", O_WRONLY | O_TRUNC));
    free(data);
}

// ------------------------------------------------------------------------------ setuid

static void write_to_it(void)
{
    int fd = must_open("prog", O_WRONLY);
    MUST(write(fd, "x", 1) == 1 && close(fd) == 0);
}

static void truncate_it(void)
{
    MUST(truncate("prog", 1) == 0);
}

static void open_and_cut_it(void)
{
    MUST(close(must_open("prog", O_WRONLY | O_TRUNC)) == 0);
}

static void only_read_it(void)
{
    char byte;
    int fd = must_open("prog", O_RDONLY);
    MUST(read(fd, &byte, 1) == 1 && close(fd) == 0);
}

static void test_setuid(void)
{
    static const struct {
        void (*run)(void);
        mode_t left;
    } ways[] = {{write_to_it, 0}, {truncate_it, 0}, {open_and_cut_it, 0}, {only_read_it, 06000}};
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        struct stat st;
        make_file("prog", "program", 7, 06777);
        MUST(stat("prog", &st) == 0 && (st.st_mode & 07777) == 06777);
        as_user(ways[i].run);
        MUST(stat("prog", &st) == 0 && (st.st_mode & 06000) == ways[i].left);
        MUST(unlink("prog") == 0);
    }
}

// ------------------------------------------------------------------------------ O_DIRECT

enum { THREADS = 4, BLOCK = 4096, BLOCKS = 64 };
static int direct_fd;

static void *write_blocks(void *arg)
{
    int thread = (int)(intptr_t)arg;
    char *data;
    MUST(posix_memalign((void **)&data, BLOCK, BLOCK) == 0);
    for (int i = thread; i < THREADS * BLOCKS; i += THREADS) {
        memset(data, 'a' + i % 26, BLOCK);
        MUST(pwrite(direct_fd, data, BLOCK, (off_t)i * BLOCK) == BLOCK);
        MUST(pread(direct_fd, data, BLOCK, (off_t)i * BLOCK) == BLOCK && data[7] == 'a' + i % 26);
    }
    free(data);
    return NULL;
}

static void test_direct(void)
{
    pthread_t threads[THREADS];
    char data[BLOCK];
    direct_fd = open("file", O_RDWR | O_CREAT | O_DIRECT, 0644);
    MUST(direct_fd >= 0 && ftruncate(direct_fd, THREADS * BLOCKS * BLOCK) == 0);
    int buffered = must_open("file", O_RDONLY);
    for (int i = 0; i < THREADS; i++)
        MUST(pthread_create(&threads[i], NULL, write_blocks, (void *)(intptr_t)i) == 0);
    for (int i = 0; i < THREADS; i++)
        MUST(pthread_join(threads[i], NULL) == 0);
    for (int i = 0; i < THREADS * BLOCKS; i++) {
        memset(data, 'a' + i % 26, BLOCK);
        must_hold(buffered, data, BLOCK, (off_t)i * BLOCK);
    }
    MUST(unlink("file") == 0 && pread(buffered, data, BLOCK, 0) == BLOCK && data[0] == 'a');
    MUST(close(direct_fd) == 0 && close(buffered) == 0);
}

// ------------------------------------------------------------------------------ a running program

static void test_busy(void)
{
    char command[] = "cp /bin/sleep prog && chmod 755 prog";
    int status;
    MUST(system(command) == 0);
    int fd = must_open("prog", O_RDWR);
    pid_t child = fork();
    if (child == 0) {
        execl("./prog", "prog", "0", NULL);
        _exit(errno == ETXTBSY ? 42 : 1);
    }
    MUST(waitpid(child, &status, 0) == child && WEXITSTATUS(status) == 42 && close(fd) == 0);
    int started[2];
    char byte;
    MUST(pipe2(started, O_CLOEXEC) == 0);
    child = fork();
    if (child == 0) {
        execl("./prog", "prog", "1000", NULL);
        _exit(1);
    }
    MUST(close(started[1]) == 0 && read(started[0], &byte, 1) == 0); // exec has closed its end
    FAILS(ETXTBSY, open("prog", O_WRONLY));
    FAILS(ETXTBSY, open("prog", O_WRONLY | O_TRUNC));
    MUST(unlink("prog") == 0); // it runs on
    MUST(kill(child, SIGKILL) == 0 && waitpid(child, &status, 0) == child);
    MUST(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

// ------------------------------------------------------------------------------ leases, locks

static volatile sig_atomic_t lease_broken;

static void on_break(int sig)
{
    (void)sig;
    lease_broken = 1;
}

static void test_leases(void)
{
    sigset_t none, io;
    int status;
    make_file("file", "x", 1, 0644);
    int fd = must_open("file", O_RDONLY), writer = must_open("file", O_WRONLY);
    FAILS(EAGAIN, fcntl(fd, F_SETLEASE, F_RDLCK)); // somebody has it open for writing
    MUST(close(writer) == 0 && fcntl(fd, F_SETLEASE, F_RDLCK) == 0);
    MUST(fcntl(fd, F_GETLEASE) == F_RDLCK && fcntl(fd, F_SETLEASE, F_UNLCK) == 0);
    MUST(fcntl(fd, F_SETLEASE, F_WRLCK) == 0); // nobody else has it open
    signal(SIGIO, on_break);
    sigemptyset(&io);
    sigaddset(&io, SIGIO);
    MUST(sigprocmask(SIG_BLOCK, &io, &none) == 0);
    FAILS(EAGAIN, open("file", O_RDONLY | O_NONBLOCK)); // which breaks it
    pid_t child = fork();
    if (child == 0) {
        int mine = must_open("file", O_WRONLY | O_TRUNC); // until it is given back
        _exit(close(mine) != 0);
    }
    while (!lease_broken)
        sigsuspend(&none);
    MUST(must_fstat(fd).st_size == 1); // not cut before that
    MUST(fcntl(fd, F_SETLEASE, F_UNLCK) == 0);
    MUST(waitpid(child, &status, 0) == child && status == 0 && must_fstat(fd).st_size == 0);
    close(fd);
}

static void test_locks(void)
{
    struct flock range = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 10, .l_len = 10};
    int status, go[2];
    char byte;
    MUST(pipe(go) == 0);
    int fd = must_open("file", O_RDWR | O_CREAT);
    MUST(fcntl(fd, F_SETLK, &range) == 0 && unlink("file") == 0); // the name is nothing to a lock
    pid_t child = fork();
    if (child == 0) {
        char path[64];
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        int mine = must_open(path, O_RDWR);
        struct flock lock = range;
        FAILS(EAGAIN, fcntl(mine, F_SETLK, &lock));
        MUST(flock(mine, LOCK_EX) == 0 && write(go[1], "x", 1) == 1);
        MUST(fcntl(mine, F_SETLKW, &lock) == 0); // until the parent closes one of its descriptors
        pause();
    }
    MUST(read(go[0], &byte, 1) == 1);
    FAILS(EWOULDBLOCK, flock(fd, LOCK_SH | LOCK_NB));
    MUST(close(dup(fd)) == 0); // POSIX: that drops all of the process's locks
    range.l_type = F_WRLCK;
    for (struct flock seen = range;; seen = range) {
        MUST(fcntl(fd, F_GETLK, &seen) == 0);
        if (seen.l_type == F_WRLCK && seen.l_pid == child)
            break;
    }
    MUST(kill(child, SIGKILL) == 0 && waitpid(child, &status, 0) == child);
    MUST(fcntl(fd, F_SETLKW, &range) == 0 && flock(fd, LOCK_EX) == 0); // death drops them too
    close(fd);
}

// ------------------------------------------------------------------------------ time of access

// Reading what the kernel has to fetch counts, after a change.
static void test_accessed(void)
{
    char byte;
    make_file("file", "content", 7, 0644);
    int fd = must_open("file", O_RDONLY), writer = must_open("file", O_WRONLY);
    nanosleep(&(struct timespec){0, 20000000}, NULL);
    MUST(write(writer, "changed", 7) == 7 && close(writer) == 0);
    nanosleep(&(struct timespec){0, 20000000}, NULL);
    struct stat before = must_fstat(fd);
    drop_pages(fd);
    MUST(read(fd, &byte, 1) == 1);
    struct stat after = must_fstat(fd);
    MUST(after.st_atim.tv_sec * 1000000000l + after.st_atim.tv_nsec >
         before.st_atim.tv_sec * 1000000000l + before.st_atim.tv_nsec);
    close(fd);
}

static const struct {
    const char *name;
    void (*run)(void);
} tests[] = {
    {"unlinked", test_unlinked}, {"truncated", test_truncated}, {"setuid", test_setuid},
    {"direct", test_direct},     {"busy", test_busy},           {"leases", test_leases},
    {"locks", test_locks},       {"accessed", test_accessed},
};

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: opened TEST DIRECTORY\n");
        return 2;
    }
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++)
        if (strcmp(argv[1], tests[i].name) == 0) {
            MUST(mkdir(argv[2], 0755) == 0 && chdir(argv[2]) == 0);
            tests[i].run();
            return 0;
        }
    fprintf(stderr, "opened: no test '%s'\n", argv[1]);
    return 2;
}
