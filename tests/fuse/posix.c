// What POSIX and Linux promise of files beyond the everyday, for tests/fuse/test_posix.sh:
//   posix TEST DIRECTORY [NUMBER]
// Each test works in an empty directory. Status 0 if the file system did what it should; otherwise
// a line says what was wrong.
#define _GNU_SOURCE
#include <dirent.h>
#include <linux/falloc.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>

#include "must.h"

#define FAILS(error, call) MUST((errno = 0, (call) < 0 && errno == (error)))

static long number; // the third argument; 0: the test's default

static bool is_later(struct timespec a, struct timespec b)
{
    return a.tv_sec > b.tv_sec || (a.tv_sec == b.tv_sec && a.tv_nsec > b.tv_nsec);
}

static bool is_same(struct timespec a, struct timespec b)
{
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static void must_write(const char *path, const char *text)
{
    int fd = must_open(path, O_WRONLY | O_CREAT | O_TRUNC);
    MUST(write(fd, text, strlen(text)) == (ssize_t)strlen(text) && close(fd) == 0);
}

static struct stat must_stat(const char *path)
{
    struct stat st;
    MUST(lstat(path, &st) == 0);
    return st;
}

static void pause_ms(long ms)
{
    nanosleep(&(struct timespec){0, ms * 1000000}, NULL);
}

// Names of every byte but '/' and NUL, alone and all together, and of the greatest length.
static void test_names(void)
{
    char name[257], all[256];
    int count = 0, seen = 0;
    for (int c = 1; c < 256; c++) {
        name[0] = (char)c, name[1] = 0;
        if (c == '/' || c == '.')
            continue;
        must_write(name, name);
        count++;
    }
    for (int c = 1, n = 0; c < 256; c++) {
        all[n] = c == '/' ? 'x' : (char)c;
        all[++n] = 0;
    }
    MUST(mkdir(all, 0755) == 0 && strlen(all) == 255);
    snprintf(name, sizeof name, "%s", all);
    DIR *dir = opendir(".");
    const struct dirent *entry;
    MUST(dir);
    while ((entry = readdir(dir))) {
        if (strcmp(entry->d_name, all) == 0)
            seen += 1000;
        else if (strlen(entry->d_name) == 1 && entry->d_name[0] != '.')
            seen++;
    }
    closedir(dir);
    MUST(seen == 1000 + count);
    for (int c = 1; c < 256; c++) { // each is its own file
        if (c == '/' || c == '.')
            continue;
        name[0] = (char)c, name[1] = 0;
        int fd = must_open(name, O_RDONLY);
        must_hold(fd, name, 1, 0);
        close(fd);
    }
    memset(name, 'y', 256), name[256] = 0;
    FAILS(ENAMETOOLONG, open(name, O_WRONLY | O_CREAT, 0644));
    FAILS(ENAMETOOLONG, mkdir(name, 0755));
    FAILS(ENAMETOOLONG, rename(all, name));
    FAILS(ENAMETOOLONG, symlink("x", name));
    FAILS(ENAMETOOLONG, lstat(name, &(struct stat){0}));
    MUST(rename(all, name + 1) == 0 && rmdir(name + 1) == 0);
    // The longest target of a symlink.
    char target[4097];
    memset(target, 't', 4096), target[4096] = 0;
    FAILS(ENAMETOOLONG, symlink(target, "link"));
    MUST(symlink(target + 1, "link") == 0 && must_stat("link").st_size == 4095);
    MUST(readlink("link", target, sizeof target) == 4095);
}

// A tree so deep that no path reaches its bottom.
static void test_deep(void)
{
    enum { DEPTH = 120 };
    char name[101], path[8192];
    memset(name, 'd', 100), name[100] = 0;
    for (int i = 0; i < DEPTH; i++)
        MUST(mkdir(name, 0755) == 0 && chdir(name) == 0);
    must_write("bottom", "deep");
    FAILS(ENAMETOOLONG, readlink("/proc/self/cwd", path, sizeof path) == 0 ? 0 : -1);
    MUST(rename("bottom", "renamed") == 0 && must_stat("renamed").st_size == 4);
    MUST(mkdir("sub", 0755) == 0 && rename("sub", "../moved") == 0 && rmdir("../moved") == 0);
    MUST(unlink("renamed") == 0);
    for (int i = 0; i < DEPTH; i++)
        MUST(chdir("..") == 0 && rmdir(name) == 0);
}

static void test_links(void)
{
    long links = number ? number : 1000;
    char name[32];
    must_write("file", "x");
    for (long i = 1; i < links; i++) {
        snprintf(name, sizeof name, "l%ld", i);
        MUST(link("file", name) == 0);
    }
    MUST(must_stat("file").st_nlink == (nlink_t)links);
    if (links == 65000)
        FAILS(EMLINK, link("file", "one-more"));
    MUST(unlink("file") == 0 && must_stat("l1").st_nlink == (nlink_t)links - 1);
    for (long i = 1; i < links; i++) {
        snprintf(name, sizeof name, "l%ld", i);
        MUST(unlink(name) == 0);
    }
}

// Content at the far end of what an offset can say.
static void test_offsets(void)
{
    const off_t max = INT64_MAX;
    struct stat st;
    int fd = must_open("far", O_RDWR | O_CREAT);
    MUST(pwrite(fd, "near", 4, 0) == 4 && pwrite(fd, "far", 3, max - 3) == 3);
    MUST(fsync(fd) == 0 && fstat(fd, &st) == 0 && st.st_size == max && st.st_blocks < 100);
    FAILS(EINVAL, pwrite(fd, "x", 1, max)); // as on every file system
    FAILS(EFBIG, fallocate(fd, 0, max - 5, 10));
    must_hold(fd, "far", 3, max - 3);
    must_hold(fd, "\0\0\0", 3, max / 2);
    MUST(lseek(fd, 1 << 20, SEEK_DATA) / 4096 == (max - 3) / 4096);
    MUST(lseek(fd, 0, SEEK_HOLE) <= 1 << 20 && ftruncate(fd, 5) == 0);
    must_hold(fd, "near", 5, 0);
    MUST(ftruncate(fd, max) == 0 && fstat(fd, &st) == 0 && st.st_size == max);
    close(fd);
    MUST(unlink("far") == 0);
}

// Data is data as soon as it is written, for whoever asks, also while it is only in the kernel.
static void test_seek_unsynced(void)
{
    char data[8192];
    memset(data, 'x', sizeof data);
    int fd = must_open("file", O_RDWR | O_CREAT), reader = must_open("file", O_RDONLY);
    for (off_t at = 1 << 20; at < 20 << 20; at += 3 << 20) {
        off_t hole = at + (off_t)sizeof data;
        MUST(pwrite(fd, data, sizeof data, at) == sizeof data);
        MUST(lseek(fd, at, SEEK_DATA) == at && lseek(reader, at, SEEK_HOLE) == hole);
        MUST(lseek(reader, at - 100000, SEEK_DATA) == at);
        FAILS(ENXIO, lseek(reader, hole, SEEK_DATA));
    }
    char *map = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 512 << 10);
    MUST(map != MAP_FAILED);
    map[5000] = 'm';
    MUST(lseek(reader, 0, SEEK_DATA) == (512 << 10) + 4096);
    MUST(munmap(map, 8192) == 0 && close(fd) == 0);
    MUST(lseek(reader, 0, SEEK_DATA) == (512 << 10) + 4096);
    close(reader);
}

// Times far outside of 32 bits, and one before 1970 with nanoseconds.
static void test_far_times(void)
{
    static const struct timespec times[] = {{-1, 999999999},   {-2147483649, 1},
                                            {4294967296, 2},   {15032385536, 999999},
                                            {253402300799, 0}, {0, 0}};
    must_write("file", "x");
    MUST(symlink("x", "link") == 0 && mkdir("dir", 0755) == 0);
    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        static const char *const names[] = {"file", "link", "dir"};
        for (size_t n = 0; n < 3; n++) {
            const struct timespec set[2] = {times[i], times[(i + 1) % 6]};
            MUST(utimensat(AT_FDCWD, names[n], set, AT_SYMLINK_NOFOLLOW) == 0);
            struct stat st = must_stat(names[n]);
            MUST(is_same(st.st_atim, set[0]) && is_same(st.st_mtim, set[1]));
        }
    }
    FAILS(EINVAL, utimensat(AT_FDCWD, "file", (struct timespec[]){{0, 1000000000}, {0, 0}}, 0));
}

static void read_all(const char *path, int flags)
{
    char data[64];
    int fd = must_open(path, O_RDONLY | flags);
    MUST(read(fd, data, sizeof data) >= 0 && close(fd) == 0);
}

static void list_all(void)
{
    DIR *dir = opendir("dir");
    MUST(dir);
    while (readdir(dir))
        ;
    closedir(dir);
}

// Makes a file and a directory and reads them twice: in `moved` how often their times of access
// moved, as a bit each.
static void read_twice(unsigned moved[2])
{
    must_write("file", "content");
    MUST(mkdir("dir", 0755) == 0);
    must_write("dir/inside", "x");
    pause_ms(20);
    for (int i = 0; i < 2; i++) {
        struct stat file = must_stat("file"), dir = must_stat("dir");
        read_all("file", 0);
        list_all();
        moved[0] |= (unsigned)is_later(must_stat("file").st_atim, file.st_atim) << i;
        moved[1] |= (unsigned)is_later(must_stat("dir").st_atim, dir.st_atim) << i;
        MUST(is_same(must_stat("file").st_mtim, file.st_mtim));
        MUST(is_same(must_stat("file").st_ctim, file.st_ctim));
        pause_ms(20);
    }
}

static void test_relatime(void)
{
    unsigned moved[2] = {0};
    read_twice(moved);
    MUST(moved[0] == 1 && moved[1] == 1);
    // due again after a change; not for those who ask to leave it
    must_write("file", "changed");
    pause_ms(20);
    struct stat before = must_stat("file");
    read_all("file", O_NOATIME);
    MUST(is_same(must_stat("file").st_atim, before.st_atim));
    read_all("file", 0);
    MUST(is_later(must_stat("file").st_atim, before.st_mtim));
    // or when it is more than a day old
    const time_t now = time(NULL);
    const struct timespec old[2] = {{now - 86000, 0}, {now - 90000, 0}};
    MUST(utimensat(AT_FDCWD, "file", old, 0) == 0);
    read_all("file", 0); // ctime is later
    MUST(must_stat("file").st_atim.tv_sec >= now);
    // what a program sets stays
    MUST(symlink("file", "link") == 0);
    char target[8];
    MUST(readlink("link", target, sizeof target) == 4);
    // writing is not reading
    MUST(utimensat(AT_FDCWD, "file", old, 0) == 0);
    int fd = must_open("file", O_WRONLY);
    MUST(write(fd, "w", 1) == 1 && close(fd) == 0);
    MUST(must_stat("file").st_atim.tv_sec == old[0].tv_sec);
}

static void test_strictatime(void)
{
    unsigned moved[2] = {0};
    read_twice(moved);
    MUST(moved[0] == 3 && moved[1] == 3);
}

static void test_noatime(void)
{
    unsigned moved[2] = {0};
    read_twice(moved);
    MUST(moved[0] == 0 && moved[1] == 0);
}

static void test_nodiratime(void)
{
    unsigned moved[2] = {0};
    read_twice(moved);
    MUST(moved[0] == 1 && moved[1] == 0);
}

static void test_tmpfile(void)
{
    char self[64], *data = pattern(300000, 3);
    struct stat st;
    umask(027);
    int fd = open(".", O_TMPFILE | O_RDWR, 0666);
    MUST(fd >= 0 && fstat(fd, &st) == 0 && st.st_nlink == 0 && (st.st_mode & 07777) == 0640);
    MUST(write(fd, data, 300000) == 300000 && fsync(fd) == 0);
    MUST(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) == 0);
    must_hold(fd, data, 300000, 0);
    DIR *dir = opendir(".");
    int names = 0;
    while (readdir(dir))
        names++;
    closedir(dir);
    MUST(names == 2);
    snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
    MUST(linkat(AT_FDCWD, self, AT_FDCWD, "named", AT_SYMLINK_FOLLOW) == 0);
    MUST(fstat(fd, &st) == 0 && st.st_nlink == 1);
    FAILS(EEXIST, linkat(AT_FDCWD, self, AT_FDCWD, "named", AT_SYMLINK_FOLLOW));
    MUST(linkat(AT_FDCWD, self, AT_FDCWD, "again", AT_SYMLINK_FOLLOW) == 0);
    close(fd);
    fd = must_open("named", O_RDONLY);
    must_hold(fd, data, 300000, 0);
    close(fd);
    MUST(must_stat("named").st_nlink == 2 && unlink("again") == 0);
    fd = open(".", O_TMPFILE | O_RDWR | O_EXCL, 0600); // never to be linked
    MUST(fd >= 0);
    snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
    FAILS(ENOENT, linkat(AT_FDCWD, self, AT_FDCWD, "other", AT_SYMLINK_FOLLOW));
    close(fd);
    free(data);
}

static void test_xattrs(void)
{
    const bool as_root = geteuid() == 0;
    char *value = pattern(65536, 4), *got = malloc(70000), name[300] = "user.";
    must_write("file", "x");
    MUST(mkdir("dir", 0755) == 0 && mkfifo("fifo", 0644) == 0 && symlink("x", "link") == 0);
    FAILS(ENODATA, getxattr("file", "user.none", got, 10));
    FAILS(ENODATA, removexattr("file", "user.none"));
    FAILS(ENODATA, setxattr("file", "user.a", "v", 1, XATTR_REPLACE));
    MUST(setxattr("file", "user.a", "v", 1, XATTR_CREATE) == 0);
    FAILS(EEXIST, setxattr("file", "user.a", "w", 1, XATTR_CREATE));
    MUST(setxattr("file", "user.a", "longer", 6, XATTR_REPLACE) == 0);
    FAILS(ERANGE, getxattr("file", "user.a", got, 3));
    MUST(getxattr("file", "user.a", NULL, 0) == 6);
    MUST(getxattr("file", "user.a", got, 70000) == 6 && memcmp(got, "longer", 6) == 0);
    MUST(setxattr("dir", "user.big", value, 65536, 0) == 0);
    MUST(getxattr("dir", "user.big", got, 70000) == 65536 && memcmp(got, value, 65536) == 0);
    FAILS(E2BIG, setxattr("dir", "user.big", got, 65537, 0));
    MUST(setxattr("file", "user.empty", NULL, 0, 0) == 0);
    MUST(getxattr("file", "user.empty", got, 10) == 0);
    memset(name + 5, 'n', 250), name[255] = 0;
    MUST(setxattr("file", name, "x", 1, 0) == 0);
    name[255] = 'n', name[256] = 0;
    FAILS(ERANGE, setxattr("file", name, "x", 1, 0));
    FAILS(EPERM, setxattr("fifo", "user.a", "x", 1, 0));
    FAILS(EOPNOTSUPP, setxattr("file", "unknown.a", "x", 1, 0));
    FAILS(EINVAL, setxattr("file", "user.", "x", 1, 0));
    FAILS(EINVAL, getxattr("file", "user.", got, 10));
    FAILS(EINVAL, removexattr("file", "user."));
    FAILS(EOPNOTSUPP, setxattr("file", "system.unknown", "x", 1, 0));
    if (as_root) {
        FAILS(EINVAL, setxattr("file", "trusted.", "x", 1, 0));
        FAILS(EINVAL, setxattr("file", "security.", "x", 1, 0));
        MUST(setxattr("file", "trusted.t", "1", 1, 0) == 0);
        MUST(setxattr("file", "security.s", "2", 1, 0) == 0);
        MUST(lsetxattr("link", "trusted.t", "3", 1, 0) == 0);
        MUST(lgetxattr("link", "trusted.t", got, 10) == 1 && *got == '3');
    }
    ssize_t size = listxattr("file", NULL, 0);
    MUST(size == (ssize_t)(7 + 11 + 256 + (as_root ? 10 + 11 : 0)));
    FAILS(ERANGE, listxattr("file", got, (size_t)size - 1));
    MUST(listxattr("file", got, 70000) == size);
    MUST(removexattr("file", "user.a") == 0);
    FAILS(ENODATA, getxattr("file", "user.a", got, 10));
    free(value);
    free(got);
}

// Each error that POSIX names, for the case that it names it for.
static struct statx must_statx(const char *path)
{
    struct statx st;
    MUST(statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS | STATX_BTIME, &st) == 0);
    MUST(st.stx_mask & STATX_BTIME);
    return st;
}

// The time of birth is that of the first stat, and stays while all other times change; what comes
// with it is what stat tells.
static void test_birth(void)
{
    static const char *const names[] = {"file", "dir", "link", "fifo", "moved"};
    const struct timespec old[2] = {{1000, 0}, {1000, 0}};
    struct timespec before;
    clock_gettime(CLOCK_REALTIME, &before);
    must_write("file", "x");
    MUST(mkdir("dir", 0750) == 0 && symlink("file", "link") == 0 && mkfifo("fifo", 0600) == 0);
    for (int i = 0; i < 4; i++) {
        struct statx born = must_statx(names[i]);
        struct timespec birth = {born.stx_btime.tv_sec, born.stx_btime.tv_nsec}, now;
        clock_gettime(CLOCK_REALTIME, &now);
        MUST(birth.tv_sec >= before.tv_sec - 1 && !is_later(birth, now));
        pause_ms(20);
        if (i == 0)
            must_write("file", "longer");
        else if (i == 1)
            must_write("dir/f", "x");
        if (i != 2)
            MUST(chmod(names[i], 0640) == 0 && utimensat(AT_FDCWD, names[i], old, 0) == 0);
        MUST(rename(names[i], "moved") == 0);
        struct statx st = must_statx("moved");
        struct stat plain = must_stat("moved");
        MUST(memcmp(&st.stx_btime, &born.stx_btime, sizeof born.stx_btime) == 0);
        MUST(st.stx_ino == plain.st_ino && st.stx_mode == plain.st_mode &&
             st.stx_nlink == plain.st_nlink && st.stx_uid == plain.st_uid &&
             st.stx_size == (uint64_t)plain.st_size && st.stx_blocks == (uint64_t)plain.st_blocks);
        MUST(st.stx_mtime.tv_sec == plain.st_mtim.tv_sec &&
             st.stx_ctime.tv_nsec == (uint32_t)plain.st_ctim.tv_nsec);
        MUST(i == 2 || st.stx_mtime.tv_sec == 1000);
        MUST(rename("moved", names[i]) == 0);
    }
    int fd = must_open("file", O_RDWR), again = must_open("fifo", O_RDWR);
    struct statx named = must_statx("file"), st;
    MUST(unlink("file") == 0 && unlink("fifo") == 0);
    MUST(statx(fd, "", AT_EMPTY_PATH, STATX_BTIME, &st) == 0 && st.stx_mask & STATX_BTIME);
    MUST(memcmp(&st.stx_btime, &named.stx_btime, sizeof named.stx_btime) == 0);
    MUST(statx(again, "", AT_EMPTY_PATH, STATX_BTIME, &st) == 0 && st.stx_mask & STATX_BTIME);
    close(fd), close(again);
    if (geteuid() == 0) {
        MUST(mknod("device", S_IFBLK | 0600, makedev(259, 70000)) == 0);
        st = must_statx("device");
        MUST(st.stx_rdev_major == 259 && st.stx_rdev_minor == 70000);
    }
}

static void test_errors(void)
{
    must_write("file", "x");
    MUST(mkdir("dir", 0755) == 0 && mkdir("dir/sub", 0755) == 0 && mkdir("empty", 0755) == 0);
    FAILS(ENOTDIR, open("file/x", O_RDONLY));
    FAILS(ENOTDIR, mkdir("file/x", 0755));
    FAILS(ENOTDIR, rmdir("file"));
    FAILS(ENOTDIR, rename("dir", "file"));
    FAILS(EISDIR, rename("file", "empty"));
    FAILS(EISDIR, open("dir", O_WRONLY));
    FAILS(EISDIR, unlink("dir"));
    FAILS(EISDIR, truncate("dir", 0));
    FAILS(ENOTEMPTY, rmdir("dir"));
    FAILS(ENOTEMPTY, rename("empty", "dir"));
    FAILS(EINVAL, rename("dir", "dir/sub/in-itself"));
    FAILS(ENOTEMPTY, rename("dir/sub", "dir"));
    FAILS(EINVAL, rmdir("dir/."));
    FAILS(EEXIST, mkdir("file", 0755));
    FAILS(EEXIST, link("file", "dir"));
    FAILS(EEXIST, symlink("x", "file"));
    FAILS(EEXIST, mknod("file", S_IFIFO | 0644, 0));
    FAILS(EPERM, link("dir", "link"));
    FAILS(ENOENT, open("none", O_RDONLY));
    FAILS(ENOENT, rename("none", "file"));
    FAILS(ENOENT, symlink("", "s"));
    FAILS(EXDEV, link("file", "/dev/shm/lsmfs-test-link"));
    FAILS(EXDEV, rename("file", "/dev/shm/lsmfs-test-link"));
    MUST(symlink("loop", "loop") == 0);
    FAILS(ELOOP, open("loop", O_RDONLY));
    FAILS(ELOOP, open("loop", O_RDONLY | O_NOFOLLOW));
    int fd = must_open("file", O_RDWR);
    FAILS(EINVAL, ftruncate(fd, -1));
    FAILS(ENXIO, lseek(fd, 100, SEEK_DATA));
    FAILS(ENXIO, lseek(fd, 100, SEEK_HOLE));
    FAILS(EINVAL, lseek(fd, -1, SEEK_SET));
    FAILS(EOPNOTSUPP, fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, 0, 4096));
    FAILS(EOPNOTSUPP, fallocate(fd, FALLOC_FL_INSERT_RANGE, 0, 4096));
    FAILS(EOPNOTSUPP, fallocate(fd, 0x80, 0, 4096));
    FAILS(EOPNOTSUPP, fallocate(fd, FALLOC_FL_PUNCH_HOLE, 0, 4096)); // needs KEEP_SIZE
    FAILS(EINVAL, fallocate(fd, 0, 0, 0));
    FAILS(EINVAL, copy_file_range(fd, NULL, fd, NULL, 1, 1));
    FAILS(EINVAL, renameat2(AT_FDCWD, "file", AT_FDCWD, "f2", RENAME_WHITEOUT | RENAME_EXCHANGE));
    FAILS(EINVAL, renameat2(AT_FDCWD, "file", AT_FDCWD, "f2", 0x100));
    FAILS(EINVAL, renameat2(AT_FDCWD, "file", AT_FDCWD, "f2", RENAME_NOREPLACE | RENAME_EXCHANGE));
    FAILS(ENOTTY, isatty(fd) ? 0 : -1);
    MUST(mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 1) == MAP_FAILED && errno == EINVAL);
    close(fd);
    // a running program
    char command[] = "cp /bin/true prog && chmod 755 prog";
    MUST(system(command) == 0);
    fd = must_open("prog", O_RDWR);
    pid_t child = fork();
    if (child == 0) {
        execl("./prog", "prog", NULL);
        _exit(errno == ETXTBSY ? 42 : 1);
    }
    int status;
    MUST(waitpid(child, &status, 0) == child && WEXITSTATUS(status) == 42);
    close(fd);
}

// A directory and a file that were removed, or renamed over, while somebody had them open.
static void test_gone(void)
{
    struct stat st;
    MUST(mkdir("dir", 0755) == 0 && mkdir("new", 0755) == 0);
    must_write("new/x", "x");
    int fd = must_open("dir", O_RDONLY | O_DIRECTORY);
    MUST(rename("new", "dir") == 0);
    MUST(fstat(fd, &st) == 0 && st.st_nlink == 0 && st.st_ino != must_stat("dir").st_ino);
    FAILS(ENOENT, openat(fd, "y", O_WRONLY | O_CREAT, 0644));
    FAILS(ENOENT, mkdirat(fd, "y", 0755));
    FAILS(ENOENT, linkat(AT_FDCWD, "dir/x", fd, "y", 0));
    FAILS(ENOENT, renameat(AT_FDCWD, "dir/x", fd, "y"));
    DIR *dir = fdopendir(fd);
    const struct dirent *entry;
    while ((entry = readdir(dir)))
        MUST(entry->d_name[0] == '.');
    closedir(dir);
    MUST(access("dir/x", F_OK) == 0);
    // An open file that a name is moved onto, and one that is exchanged.
    must_write("a", "a");
    must_write("b", "b");
    int a = must_open("a", O_RDONLY), b = must_open("b", O_RDONLY);
    MUST(renameat2(AT_FDCWD, "a", AT_FDCWD, "b", RENAME_EXCHANGE) == 0);
    must_hold(a, "a", 1, 0);
    must_hold(b, "b", 1, 0);
    MUST(fstat(a, &st) == 0 && st.st_ino == must_stat("b").st_ino);
    MUST(rename("a", "b") == 0); // b's content over a's
    must_hold(a, "a", 1, 0);
    MUST(fstat(a, &st) == 0 && st.st_nlink == 0);
    MUST(fstat(b, &st) == 0 && st.st_nlink == 1 && st.st_ino == must_stat("b").st_ino);
    close(a);
    close(b);
}

static void test_statfs(void)
{
    struct statvfs before, after;
    char name[32];
    MUST(statvfs(".", &before) == 0);
    MUST(before.f_blocks > 0 && before.f_bfree <= before.f_blocks && before.f_namemax == 255);
    for (int i = 0; i < 10; i++) {
        snprintf(name, sizeof name, "f%d", i);
        must_write(name, "x");
    }
    MUST(link("f0", "same") == 0 && mkdir("d", 0755) == 0 && symlink("x", "s") == 0);
    MUST(statvfs(".", &after) == 0);
    MUST(after.f_files - after.f_ffree == before.f_files - before.f_ffree + 12);
    MUST(unlink("f1") == 0 && unlink("same") == 0 && statvfs(".", &after) == 0);
    MUST(after.f_files - after.f_ffree == before.f_files - before.f_ffree + 11);
}

// O_DIRECT beside a shared mapping of the same file.
static void test_direct_mmap(void)
{
    enum { SIZE = 64 << 10 };
    char *data;
    int fd = open("file", O_RDWR | O_CREAT | O_DIRECT, 0644);
    MUST(fd >= 0 && posix_memalign((void **)&data, 4096, SIZE) == 0);
    memset(data, 'a', SIZE);
    MUST(pwrite(fd, data, SIZE, 0) == SIZE);
    char *map = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    MUST(map != MAP_FAILED && map[0] == 'a' && map[SIZE - 1] == 'a');
    for (int round = 0; round < 20; round++) {
        memset(map + 4096, 'b' + round % 20, 4096);
        MUST(pread(fd, data, 4096, 4096) == 4096 && data[0] == 'b' + round % 20);
        memset(data, 'B' + round % 20, 4096);
        MUST(pwrite(fd, data, 4096, 8192) == 4096);
        MUST(map[8192] == 'B' + round % 20 && map[12287] == 'B' + round % 20);
    }
    MUST(munmap(map, SIZE) == 0);
    struct stat before, after;
    MUST(fstat(fd, &before) == 0);
    pause_ms(20);
    MUST(pwrite(fd, data, 4096, 0) == 4096 && fstat(fd, &after) == 0);
    MUST(is_later(after.st_mtim, before.st_mtim) && is_later(after.st_ctim, before.st_ctim));
    close(fd);
    free(data);
}

static void test_sync_flags(void)
{
    static const int flags[] = {O_SYNC, O_DSYNC};
    for (int i = 0; i < 2; i++) {
        int fd = must_open("file", O_RDWR | O_CREAT | flags[i]);
        MUST((fcntl(fd, F_GETFL) & flags[i]) == flags[i]);
        MUST(pwrite(fd, "synced", 6, 100 * i) == 6);
        must_hold(fd, "synced", 6, 100 * i);
        MUST(fdatasync(fd) == 0 && sync_file_range(fd, 0, 0, 7) == 0 && syncfs(fd) == 0);
        close(fd);
    }
    int dir = must_open(".", O_RDONLY | O_DIRECTORY);
    MUST(fsync(dir) == 0 && close(dir) == 0);
}

// Locks of open file descriptions, of processes, and flock, against another process.
static void test_process_locks(void)
{
    struct flock range = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 10, .l_len = 10};
    int pipes[2], fd = must_open("file", O_RDWR | O_CREAT);
    char byte;
    MUST(pipe(pipes) == 0);
    MUST(fcntl(fd, F_OFD_SETLK, &range) == 0 && flock(fd, LOCK_EX) == 0);
    pid_t child = fork();
    if (child == 0) {
        int mine = must_open("file", O_RDWR);
        struct flock lock = range;
        MUST(fcntl(mine, F_OFD_GETLK, &lock) == 0 && lock.l_type == F_WRLCK);
        lock = range;
        FAILS(EAGAIN, fcntl(mine, F_OFD_SETLK, &lock));
        FAILS(EAGAIN, fcntl(mine, F_SETLK, &lock));
        FAILS(EWOULDBLOCK, flock(mine, LOCK_SH | LOCK_NB));
        lock.l_start = 100;
        MUST(fcntl(mine, F_SETLK, &lock) == 0);
        MUST(write(pipes[1], "x", 1) == 1);
        lock = range;
        MUST(fcntl(mine, F_OFD_SETLKW, &lock) == 0); // until the parent lets go
        _exit(0);
    }
    MUST(read(pipes[0], &byte, 1) == 1);
    range.l_type = F_UNLCK;
    MUST(fcntl(fd, F_OFD_SETLK, &range) == 0);
    int status;
    MUST(waitpid(child, &status, 0) == child && status == 0);
    close(fd);
}

// ------------------------------------------------------------------------------- storm

enum { STORM_THREADS = 4, STORM_DIRS = 6, STORM_NAMES = 3 };
static char storm_root[4096];

struct storm {
    pthread_t thread;
    unsigned seed;
    long count;
};

static unsigned storm_random(struct storm *s, unsigned below)
{
    s->seed = s->seed * 1103515245 + 12345;
    return (s->seed >> 16) % below;
}

// A path of one to three levels below the root of the storm.
static void storm_path(struct storm *s, char *path, size_t size)
{
    unsigned depth = 1 + storm_random(s, 3);
    int n = snprintf(path, size, "%s", storm_root);
    for (unsigned i = 0; i < depth; i++)
        n += snprintf(path + n, size - (size_t)n, "/%u", storm_random(s, STORM_DIRS));
}

// Directories and files change places all over the tree. Any of the errors is right for some order
// of the operations; what is wanted is that the storm ends, and the tree is one afterwards.
static void *storm_run(void *arg)
{
    struct storm *s = arg;
    char from[4200], to[4200];
    for (long i = 0; i < s->count; i++) {
        storm_path(s, from, sizeof from);
        storm_path(s, to, sizeof to);
        unsigned what = storm_random(s, 16), flags = 0;
        if (what < 6)
            flags = RENAME_EXCHANGE;
        else if (what < 10)
            flags = RENAME_NOREPLACE;
        int result = renameat2(AT_FDCWD, from, AT_FDCWD, to, flags);
        MUST(result == 0 || errno == ENOENT || errno == EEXIST || errno == EINVAL ||
             errno == ENOTEMPTY || errno == ENOTDIR || errno == EISDIR);
        if (what == 15)
            MUST(mkdir(from, 0755) == 0 || errno == EEXIST || errno == ENOENT || errno == ENOTDIR);
        else if (what == 14)
            close(open(from, O_WRONLY | O_CREAT, 0644));
    }
    return NULL;
}

static void test_storm(void)
{
    struct storm storms[STORM_THREADS];
    const char *seed = getenv("LSM_SEED");
    unsigned base = seed ? (unsigned)strtoul(seed, NULL, 0) : (unsigned)time(NULL);
    char path[4200];
    printf("seed %u\n", base);
    MUST(getcwd(storm_root, sizeof storm_root));
    for (int i = 0; i < STORM_DIRS; i++)
        for (int j = 0; j < STORM_NAMES; j++) {
            snprintf(path, sizeof path, "%d", i);
            MUST(mkdir(path, 0755) == 0 || errno == EEXIST);
            snprintf(path, sizeof path, "%d/%d", i, j);
            MUST(mkdir(path, 0755) == 0);
        }
    for (int i = 0; i < STORM_THREADS; i++) {
        storms[i].seed = base + (unsigned)i * 7919;
        storms[i].count = (number ? number : 200000) / STORM_THREADS;
        MUST(pthread_create(&storms[i].thread, NULL, storm_run, &storms[i]) == 0);
    }
    for (int i = 0; i < STORM_THREADS; i++)
        MUST(pthread_join(storms[i].thread, NULL) == 0);
}

static const struct {
    const char *name;
    void (*run)(void);
} tests[] = {
    {"names", test_names},
    {"deep", test_deep},
    {"links", test_links},
    {"offsets", test_offsets},
    {"seek_unsynced", test_seek_unsynced},
    {"far_times", test_far_times},
    {"relatime", test_relatime},
    {"strictatime", test_strictatime},
    {"noatime", test_noatime},
    {"nodiratime", test_nodiratime},
    {"tmpfile", test_tmpfile},
    {"xattrs", test_xattrs},
    {"birth", test_birth},
    {"errors", test_errors},
    {"gone", test_gone},
    {"statfs", test_statfs},
    {"direct_mmap", test_direct_mmap},
    {"sync_flags", test_sync_flags},
    {"process_locks", test_process_locks},
    {"storm", test_storm},
};

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: posix TEST DIRECTORY [NUMBER]\n");
        return 2;
    }
    number = argc > 3 ? strtol(argv[3], NULL, 0) : 0;
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++)
        if (strcmp(argv[1], tests[i].name) == 0) {
            MUST(mkdir(argv[2], 0755) == 0 && chdir(argv[2]) == 0);
            tests[i].run();
            return 0;
        }
    fprintf(stderr, "posix: no test '%s'\n", argv[1]);
    return 2;
}
