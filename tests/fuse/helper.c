// System calls that the shell has no command for, for tests/fuse/*.sh, which compile this file:
//   helper TEST PATH [ARGUMENT]
// Status 0 if the file system did what it should; otherwise a line says what was wrong.
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "must.h"

// Creation flags: O_EXCL, O_TRUNC, O_APPEND, O_DIRECTORY, O_NOFOLLOW.
static void test_open(const char *path)
{
    int fd = must_open(path, O_WRONLY | O_CREAT | O_EXCL);
    MUST(write(fd, "0123456789", 10) == 10);
    MUST(read(fd, &fd, 1) < 0 && errno == EBADF);
    close(fd);
    MUST(open(path, O_WRONLY | O_CREAT | O_EXCL, 0644) < 0 && errno == EEXIST);
    MUST(open(path, O_RDONLY | O_DIRECTORY) < 0 && errno == ENOTDIR);
    fd = must_open(path, O_WRONLY | O_APPEND);
    MUST(lseek(fd, 0, SEEK_SET) == 0);
    MUST(write(fd, "ab", 2) == 2);
    MUST(lseek(fd, 0, SEEK_CUR) == 12);
    close(fd);
    fd = must_open(path, O_RDONLY);
    must_hold(fd, "0123456789ab", 12, 0);
    MUST(write(fd, "x", 1) < 0 && errno == EBADF);
    int trunc = must_open(path, O_RDWR | O_TRUNC);
    struct stat st;
    MUST(fstat(fd, &st) == 0 && st.st_size == 0);
    MUST(pread(fd, &st, 1, 0) == 0);
    MUST(pwrite(trunc, "z", 1, 5) == 1);
    must_hold(fd, "\0\0\0\0\0z", 6, 0);
    close(trunc);
    close(fd);
}

// Reads and writes at odd offsets and sizes, against the same bytes in memory.
static void test_offsets(const char *path)
{
    enum { SIZE = 3 << 20 };
    char *mirror = calloc(1, SIZE), *data = pattern(SIZE, 7);
    int fd = must_open(path, O_RDWR | O_CREAT | O_TRUNC);
    unsigned seed = 42;
    size_t end = 0;
    MUST(mirror);
    for (int i = 0; i < 400; i++) {
        seed = seed * 1103515245 + 12345;
        size_t at = seed % SIZE, n = 1 + (seed >> 8) % (i % 10 ? 5000 : 1200000);
        if (n > SIZE - at)
            n = SIZE - at;
        if (i % 7 == 3 && at < end) {
            MUST(ftruncate(fd, (off_t)at) == 0);
            memset(mirror + at, 0, SIZE - at);
            end = at;
        } else {
            MUST(pwrite(fd, data + at, n, (off_t)at) == (ssize_t)n);
            memcpy(mirror + at, data + at, n);
            end = at + n > end ? at + n : end;
        }
        if (i % 50 == 0)
            MUST(fdatasync(fd) == 0);
    }
    must_hold(fd, mirror, end, 0);
    MUST(fsync(fd) == 0 && posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) == 0);
    must_hold(fd, mirror, end, 0); // from the store this time
    struct stat st;
    MUST(fstat(fd, &st) == 0 && st.st_size == (off_t)end);
    close(fd);
    free(mirror);
    free(data);
}

static void test_mmap(const char *path)
{
    enum { SIZE = 1 << 20 };
    char *data = pattern(SIZE, 3);
    int fd = must_open(path, O_RDWR | O_CREAT | O_TRUNC);
    MUST(ftruncate(fd, SIZE) == 0);
    char *map = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    MUST(map != MAP_FAILED);
    for (size_t i = 0; i < SIZE; i++)
        MUST(map[i] == 0);
    memcpy(map, data, SIZE);
    must_hold(fd, data, SIZE, 0);
    MUST(msync(map, SIZE, MS_SYNC) == 0);
    MUST(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) == 0);
    must_hold(fd, data, SIZE, 0);
    MUST(pwrite(fd, "seen", 4, 4096) == 4);
    MUST(memcmp(map + 4096, "seen", 4) == 0);
    MUST(munmap(map, SIZE) == 0);
    map = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    MUST(map != MAP_FAILED);
    close(fd);
    memcpy(map + SIZE - 4, "last", 4); // after the last close
    MUST(munmap(map, SIZE) == 0);
    fd = must_open(path, O_RDONLY);
    must_hold(fd, "last", 4, SIZE - 4);
    close(fd);
    free(data);
}

static void test_sparse(const char *path)
{
    const off_t far = (off_t)5 << 30;
    struct stat st;
    int fd = must_open(path, O_RDWR | O_CREAT | O_TRUNC);
    MUST(pwrite(fd, "far", 3, far) == 3 && fsync(fd) == 0);
    MUST(fstat(fd, &st) == 0 && st.st_size == far + 3);
    MUST(st.st_blocks * 512 < 1 << 20);
    must_hold(fd, "\0\0\0\0", 4, far / 2);
    must_hold(fd, "\0far", 4, far - 1);
    off_t data = lseek(fd, 0, SEEK_DATA);
    MUST(data > 0 && data <= far);
    MUST(lseek(fd, 0, SEEK_HOLE) == 0 && lseek(fd, far, SEEK_HOLE) == far + 3);
    MUST(lseek(fd, far + 3, SEEK_DATA) < 0 && errno == ENXIO);
    MUST(ftruncate(fd, 10) == 0 && ftruncate(fd, 1 << 20) == 0);
    must_hold(fd, "\0\0\0\0", 4, 8);
    MUST(fstat(fd, &st) == 0 && st.st_size == 1 << 20);
    MUST(ftruncate(fd, 0) == 0 && fstat(fd, &st) == 0 && st.st_size == 0);
    close(fd);
}

static void test_fallocate(const char *path)
{
    char *data = pattern(256 << 10, 9), zeros[4096] = {0};
    struct stat st;
    int fd = must_open(path, O_RDWR | O_CREAT | O_TRUNC);
    MUST(write(fd, data, 256 << 10) == 256 << 10);
    MUST(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 8192, 4096) == 0);
    must_hold(fd, zeros, 4096, 8192);
    must_hold(fd, data + 12288, 4096, 12288);
    MUST(fallocate(fd, FALLOC_FL_ZERO_RANGE, 100, 50) == 0);
    must_hold(fd, zeros, 50, 100);
    must_hold(fd, data + 150, 100, 150);
    MUST(fallocate(fd, 0, 0, 300 << 10) == 0);
    MUST(fstat(fd, &st) == 0 && st.st_size == 300 << 10);
    MUST(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 400 << 10) == 0);
    MUST(fstat(fd, &st) == 0 && st.st_size == 300 << 10);
    MUST(fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, 0, 4096) < 0 && errno == EOPNOTSUPP);
    close(fd);
    free(data);
}

static void test_copy(const char *path)
{
    enum { SIZE = 700000 };
    char *data = pattern(SIZE, 5), name[4096];
    snprintf(name, sizeof name, "%s.copy", path);
    int from = must_open(path, O_RDWR | O_CREAT | O_TRUNC);
    int to = must_open(name, O_RDWR | O_CREAT | O_TRUNC);
    MUST(write(from, data, SIZE) == SIZE);
    loff_t in = 1000, out = 12345;
    size_t left = SIZE - 1000;
    while (left) {
        ssize_t n = copy_file_range(from, &in, to, &out, left, 0);
        MUST(n > 0);
        left -= (size_t)n;
    }
    must_hold(to, data + 1000, SIZE - 1000, 12345);
    MUST(pwrite(to, "mine", 4, 20000) == 4);
    must_hold(from, data, SIZE, 0);
    MUST(copy_file_range(from, &in, to, &out, 10, 0) == 0); // at the end
    close(from);
    close(to);
    MUST(unlink(name) == 0);
    free(data);
}

static void test_unlinked(const char *path)
{
    struct stat st;
    char *data = pattern(200000, 1);
    int fd = must_open(path, O_RDWR | O_CREAT | O_TRUNC);
    MUST(write(fd, data, 100000) == 100000);
    MUST(unlink(path) == 0);
    MUST(access(path, F_OK) < 0 && errno == ENOENT);
    MUST(fstat(fd, &st) == 0 && st.st_nlink == 0 && st.st_size == 100000);
    MUST(pwrite(fd, data + 100000, 100000, 100000) == 100000 && fsync(fd) == 0);
    MUST(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) == 0);
    must_hold(fd, data, 200000, 0);
    MUST(fchmod(fd, 0600) == 0 && ftruncate(fd, 5) == 0);
    MUST(fstat(fd, &st) == 0 && st.st_size == 5 && (st.st_mode & 0777) == 0600);
    int other = must_open(path, O_RDWR | O_CREAT | O_EXCL); // the name is free
    struct stat st2;
    MUST(fstat(other, &st2) == 0 && st2.st_ino != st.st_ino && st2.st_size == 0);
    close(other);
    close(fd);
    // A file that was replaced by rename while it was open.
    char name[4096];
    snprintf(name, sizeof name, "%s.new", path);
    fd = must_open(path, O_RDWR);
    MUST(write(fd, "old", 3) == 3);
    other = must_open(name, O_RDWR | O_CREAT);
    MUST(write(other, "new", 3) == 3 && rename(name, path) == 0);
    must_hold(fd, "old", 3, 0);
    MUST(fstat(fd, &st) == 0 && st.st_nlink == 0);
    must_hold(other, "new", 3, 0);
    MUST(fstat(other, &st2) == 0 && stat(path, &st) == 0 && st.st_ino == st2.st_ino);
    close(fd);
    close(other);
    free(data);
}

static void test_rename2(const char *path)
{
    char a[4096], b[4096], c[4096];
    struct stat sa, sb, now;
    snprintf(a, sizeof a, "%s.a", path);
    snprintf(b, sizeof b, "%s.b", path);
    snprintf(c, sizeof c, "%s.c", path);
    close(must_open(a, O_RDWR | O_CREAT));
    MUST(mkdir(b, 0755) == 0 && stat(a, &sa) == 0 && stat(b, &sb) == 0);
    MUST(renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_NOREPLACE) < 0 && errno == EEXIST);
    MUST(renameat2(AT_FDCWD, a, AT_FDCWD, c, RENAME_NOREPLACE) == 0);
    MUST(access(a, F_OK) < 0 && stat(c, &now) == 0 && now.st_ino == sa.st_ino);
    MUST(renameat2(AT_FDCWD, b, AT_FDCWD, c, RENAME_EXCHANGE) == 0);
    MUST(stat(c, &now) == 0 && now.st_ino == sb.st_ino && S_ISDIR(now.st_mode));
    MUST(stat(b, &now) == 0 && now.st_ino == sa.st_ino && S_ISREG(now.st_mode));
    MUST(renameat2(AT_FDCWD, a, AT_FDCWD, c, RENAME_EXCHANGE) < 0 && errno == ENOENT);
    if (geteuid() == 0) { // who may make devices
        MUST(renameat2(AT_FDCWD, c, AT_FDCWD, a, RENAME_WHITEOUT) == 0);
        MUST(stat(a, &now) == 0 && now.st_ino == sb.st_ino);
        MUST(stat(c, &now) == 0 && now.st_mode == S_IFCHR && now.st_rdev == 0);
        MUST(renameat2(AT_FDCWD, c, AT_FDCWD, a, RENAME_EXCHANGE) == 0 && unlink(a) == 0);
    } else {
        MUST(renameat2(AT_FDCWD, c, AT_FDCWD, a, RENAME_WHITEOUT) < 0 && errno == EPERM);
    }
    MUST(unlink(b) == 0 && rmdir(c) == 0);
}

enum { LISTED = 3000 };

// Every file that was never removed was seen once; of the others some, not twice.
static void check_seen(const int seen[LISTED])
{
    for (int i = 0; i < LISTED; i++)
        MUST(seen[i] == 1 || (seen[i] == 0 && i % 3 == 0));
}

// Entries that exist throughout are listed exactly once while others come and go.
static void list_while_changing(const char *path, int round)
{
    char name[4200];
    int seen[LISTED] = {0}, n = 0, i, dots = 0;
    const struct dirent *entry;
    DIR *dir = opendir(path);
    MUST(dir);
    while ((entry = readdir(dir))) {
        if (sscanf(entry->d_name, "file-%d", &i) == 1) {
            MUST(i < LISTED);
            seen[i]++;
        } else if (entry->d_name[0] == '.') {
            dots++;
        }
        if (++n % 100 == 0) { // remove every third, add new ones on both sides
            int gone = (n / 100 * 71 + round * 997) % LISTED / 3 * 3;
            snprintf(name, sizeof name, "%s/file-%05d", path, gone);
            MUST(unlink(name) == 0 || errno == ENOENT);
            snprintf(name, sizeof name, "%s/new-%d-%d", path, round, n);
            close(must_open(name, O_RDWR | O_CREAT | O_EXCL));
            snprintf(name, sizeof name, "%s/a-%d-%d", path, round, n);
            close(must_open(name, O_RDWR | O_CREAT | O_EXCL));
        }
    }
    MUST(dots == 2);
    check_seen(seen);
    closedir(dir);
}

// A listing begun from the kernel's cache of an earlier one goes on with the daemon when the cache
// is dropped, from a position that another handle was given.
static void list_from_dropped_cache(const char *path)
{
    char name[4200];
    int seen[LISTED] = {0}, n = 0, i;
    const struct dirent *entry;
    DIR *dir = opendir(path), *again;
    MUST(dir);
    while (readdir(dir))
        ;
    closedir(dir);
    MUST((dir = opendir(path)));
    while ((entry = readdir(dir))) {
        if (sscanf(entry->d_name, "file-%d", &i) == 1) {
            MUST(i < LISTED);
            seen[i]++;
        }
        if (++n == 10) {
            snprintf(name, sizeof name, "%s/a-first", path);
            close(must_open(name, O_RDWR | O_CREAT | O_EXCL));
            MUST((again = opendir(path)));
            while (readdir(again))
                ;
            closedir(again);
        }
    }
    closedir(dir);
    check_seen(seen);
}

// What follows a position is the same after going back to it.
static void list_from_position(DIR *dir)
{
    char name[4200];
    const struct dirent *entry;
    for (int i = 0; i < 777; i++)
        MUST(readdir(dir));
    long at = telldir(dir);
    MUST((entry = readdir(dir)));
    snprintf(name, sizeof name, "%s", entry->d_name);
    while (readdir(dir))
        ;
    seekdir(dir, at);
    entry = readdir(dir);
    MUST(entry && strcmp(entry->d_name, name) == 0);
}

static void test_readdir(const char *path)
{
    char name[4200];
    const struct dirent *entry;
    int n = 0;
    MUST(mkdir(path, 0755) == 0);
    for (int i = 0; i < LISTED; i++) {
        snprintf(name, sizeof name, "%s/file-%05d", path, i);
        close(must_open(name, O_RDWR | O_CREAT | O_EXCL));
    }
    for (int round = 0; round < 3; round++) // the second and third from the kernel's cache, maybe
        list_while_changing(path, round);
    list_from_dropped_cache(path);
    DIR *dir = opendir(path);
    MUST(dir);
    list_from_position(dir);
    rewinddir(dir);
    while ((entry = readdir(dir)))
        if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..")) {
            MUST(unlinkat(dirfd(dir), entry->d_name, 0) == 0); // rm -r does this
            n++;
        }
    closedir(dir);
    MUST(n > LISTED / 2 && rmdir(path) == 0);
}

// 8 processes append lines; none is lost, none is torn.
static void test_append(const char *path)
{
    enum { WRITERS = 8, LINES = 500 };
    for (int w = 0; w < WRITERS; w++) {
        if (fork() == 0) {
            int fd = must_open(path, O_WRONLY | O_APPEND | O_CREAT);
            for (int i = 0; i < LINES; i++) {
                char line[64];
                int n = snprintf(line, sizeof line, "writer %d line %d\n", w, i);
                MUST(write(fd, line, (size_t)n) == n);
            }
            exit(0);
        }
    }
    for (int w = 0; w < WRITERS; w++) {
        int status;
        MUST(wait(&status) > 0 && status == 0);
    }
    static int seen[WRITERS];
    FILE *f = fopen(path, "r");
    char line[128];
    MUST(f);
    while (fgets(line, sizeof line, f)) {
        int w, i;
        MUST(sscanf(line, "writer %d line %d\n", &w, &i) == 2 && w < WRITERS && i == seen[w]);
        seen[w]++;
    }
    for (int w = 0; w < WRITERS; w++)
        MUST(seen[w] == LINES);
    fclose(f);
}

// Locks live in the kernel.
static void test_locks(const char *path)
{
    int fd = must_open(path, O_RDWR | O_CREAT), other = must_open(path, O_RDWR);
    MUST(flock(fd, LOCK_EX) == 0);
    MUST(flock(other, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK);
    MUST(flock(fd, LOCK_UN) == 0 && flock(other, LOCK_EX | LOCK_NB) == 0);
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 10};
    MUST(fcntl(fd, F_SETLK, &lock) == 0);
    pid_t child = fork();
    if (child == 0) {
        struct flock mine = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 5, .l_len = 10};
        int third = must_open(path, O_RDWR);
        MUST(fcntl(third, F_SETLK, &mine) < 0 && (errno == EAGAIN || errno == EACCES));
        mine.l_start = 20;
        MUST(fcntl(third, F_SETLK, &mine) == 0);
        exit(0);
    }
    int status;
    MUST(waitpid(child, &status, 0) == child && status == 0);
    MUST(!isatty(fd) && errno == ENOTTY);
    close(fd);
    close(other);
}

// Times: set by writing, changing, renaming; left alone by reading.
static void test_times(const char *path)
{
    struct stat before, after;
    struct timespec pause = {0, 20000000};
    int fd = must_open(path, O_RDWR | O_CREAT | O_TRUNC);
    MUST(write(fd, "x", 1) == 1 && fstat(fd, &before) == 0);
#define NEWER(field)                                                                               \
    (after.field.tv_sec > before.field.tv_sec ||                                                   \
     (after.field.tv_sec == before.field.tv_sec && after.field.tv_nsec > before.field.tv_nsec))
#define SAME(field)                                                                                \
    (after.field.tv_sec == before.field.tv_sec && after.field.tv_nsec == before.field.tv_nsec)
#define STEP(action)                                                                               \
    do {                                                                                           \
        before = after;                                                                            \
        nanosleep(&pause, NULL);                                                                   \
        MUST(action);                                                                              \
        MUST(stat(path, &after) == 0);                                                             \
    } while (0)
    after = before;
    STEP(pwrite(fd, "y", 1, 1) == 1);
    MUST(NEWER(st_mtim) && NEWER(st_ctim));
    STEP(pread(fd, &pause, 0, 0) == 0 && fsync(fd) == 0);
    MUST(SAME(st_mtim) && SAME(st_ctim));
    STEP(fchmod(fd, 0600) == 0);
    MUST(SAME(st_mtim) && NEWER(st_ctim));
    STEP(ftruncate(fd, 0) == 0);
    MUST(NEWER(st_mtim) && NEWER(st_ctim));
    char other[4096];
    snprintf(other, sizeof other, "%s.link", path);
    STEP(link(path, other) == 0);
    MUST(SAME(st_mtim) && NEWER(st_ctim) && after.st_nlink == 2);
    STEP(unlink(other) == 0);
    MUST(SAME(st_mtim) && NEWER(st_ctim) && after.st_nlink == 1);
    const struct timespec set[2] = {{12345, 987654321}, {54321, 123456789}};
    STEP(futimens(fd, set) == 0);
    MUST(after.st_atim.tv_sec == 12345 && after.st_atim.tv_nsec == 987654321);
    MUST(after.st_mtim.tv_sec == 54321 && after.st_mtim.tv_nsec == 123456789 && NEWER(st_ctim));
    STEP(pwrite(fd, "late", 4, 0) == 4);
    MUST(NEWER(st_mtim));
    STEP(futimens(fd, set) == 0); // after data that is still in the kernel
    MUST(after.st_mtim.tv_sec == 54321);
    close(fd);
    MUST(stat(path, &after) == 0 && after.st_mtim.tv_sec == 54321);
    const struct timespec omit[2] = {{0, UTIME_OMIT}, {0, UTIME_NOW}};
    STEP(utimensat(AT_FDCWD, path, omit, 0) == 0);
    MUST(after.st_atim.tv_sec == 12345 && NEWER(st_mtim));
    STEP(close(must_open(path, O_WRONLY | O_TRUNC)) == 0);
    MUST(NEWER(st_mtim) && NEWER(st_ctim));
}

// A directory's times and link count follow its entries.
static void test_dir_attr(const char *path)
{
    struct stat before, after;
    struct timespec pause = {0, 20000000};
    char file[4200], dir[4200];
    MUST(mkdir(path, 0755) == 0 && stat(path, &after) == 0 && after.st_nlink == 2);
    snprintf(file, sizeof file, "%s/file", path);
    snprintf(dir, sizeof dir, "%s/dir", path);
    STEP(close(must_open(file, O_WRONLY | O_CREAT)) == 0);
    MUST(NEWER(st_mtim) && NEWER(st_ctim) && after.st_nlink == 2);
    STEP(mkdir(dir, 0755) == 0);
    MUST(NEWER(st_mtim) && after.st_nlink == 3);
    STEP(rmdir(dir) == 0);
    MUST(NEWER(st_mtim) && after.st_nlink == 2);
    STEP(close(must_open(file, O_WRONLY | O_TRUNC)) == 0);
    MUST(SAME(st_mtim) && SAME(st_ctim));
    STEP(unlink(file) == 0);
    MUST(NEWER(st_mtim) && NEWER(st_ctim));
    int fd = must_open(path, O_RDONLY | O_DIRECTORY);
    MUST(fsync(fd) == 0 && rmdir(path) == 0);
    MUST(fstat(fd, &after) == 0 && after.st_nlink == 0);
    MUST(openat(fd, "x", O_WRONLY | O_CREAT, 0644) < 0 && errno == ENOENT);
    close(fd);
}

static void test_direct(const char *path)
{
    enum { SIZE = 256 << 10 };
    void *data;
    char *want = pattern(SIZE, 8);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_DIRECT, 0644);
    MUST(fd >= 0 && posix_memalign(&data, 4096, SIZE) == 0);
    memcpy(data, want, SIZE);
    MUST(write(fd, data, SIZE) == SIZE);
    int buffered = must_open(path, O_RDWR);
    must_hold(buffered, want, SIZE, 0);
    MUST(pwrite(buffered, "new", 3, 4096) == 3);
    MUST(pread(fd, data, 4096, 4096) == 4096 && memcmp(data, "new", 3) == 0);
    close(fd);
    close(buffered);
    free(data);
    free(want);
}

static const struct {
    const char *name;
    void (*run)(const char *path);
} tests[] = {
    {"open", test_open},         {"offsets", test_offsets},     {"mmap", test_mmap},
    {"sparse", test_sparse},     {"fallocate", test_fallocate}, {"copy", test_copy},
    {"unlinked", test_unlinked}, {"rename2", test_rename2},     {"readdir", test_readdir},
    {"append", test_append},     {"locks", test_locks},         {"times", test_times},
    {"dir_attr", test_dir_attr}, {"direct", test_direct},
};

int main(int argc, char **argv)
{
    for (size_t i = 0; argc == 3 && i < sizeof tests / sizeof *tests; i++)
        if (strcmp(argv[1], tests[i].name) == 0) {
            tests[i].run(argv[2]);
            return 0;
        }
    if (argc == 1)
        for (size_t i = 0; i < sizeof tests / sizeof *tests; i++)
            puts(tests[i].name);
    return argc != 1;
}
