// Listings while names come and go, for tests/fuse/test_listing.sh:
//   listing TEST DIRECTORY
// Each test works in an empty directory. Status 0 if the file system did what it should; otherwise
// a line says what was wrong.
#define _GNU_SOURCE
#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "must.h"

#define READERS 3
#define WRITERS 2

struct entry {
    uint64_t ino;
    int64_t offset;
    unsigned short size;
    unsigned char type;
    char name[];
};

static unsigned step(unsigned *seed)
{
    *seed = *seed * 1103515245 + 12345;
    return *seed >> 8;
}

static void touch(const char *name)
{
    MUST(close(must_open(name, O_WRONLY | O_CREAT | O_EXCL)) == 0);
}

// ------------------------------------------------------------------------------ names that stay

struct reader {
    unsigned char *seen;
    unsigned stable;
    int64_t offset; // behind what was taken last
};

// Takes up to `most` of the entries; false if there were none.
static bool read_some(struct reader *reader, int fd, size_t buffer, unsigned most)
{
    static char data[65536];
    long n = syscall(SYS_getdents64, fd, data, buffer);
    MUST(n >= 0);
    for (long at = 0; at < n && most; most--) {
        const struct entry *entry = (const void *)(data + at);
        unsigned number;
        if (sscanf(entry->name, "stays%u", &number) == 1 && !strchr(entry->name, '.')) {
            MUST(number < reader->stable);
            reader->seen[number]++;
        }
        reader->offset = entry->offset;
        at += entry->size;
    }
    return n > 0;
}

// One listing, in pieces of changing size: read on, sought to where it was, kept and thrown out of
// the kernel's memory between.
static void list_once(unsigned stable, unsigned *seed)
{
    struct reader reader = {.seen = calloc(stable, 1), .stable = stable};
    int fd = must_open(".", O_RDONLY | O_DIRECTORY);
    bool seeks = step(seed) % 3 == 0;
    size_t buffer = step(seed) % 2 ? 32768 : 300 + step(seed) % 2000;
    while (read_some(&reader, fd, buffer, seeks ? 1 + step(seed) % 60 : UINT32_MAX)) {
        if (seeks)
            MUST(lseek(fd, reader.offset, SEEK_SET) == reader.offset);
        if (step(seed) % 64 == 0)
            posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
        if (step(seed) % 256 == 0)
            usleep(2000);
    }
    for (unsigned i = 0; i < stable; i++)
        if (reader.seen[i] != 1) {
            printf("stays%u was listed %u times\n", i, reader.seen[i]);
            exit(1);
        }
    free(reader.seen);
    MUST(close(fd) == 0);
}

// Names next to those that stay, and far from them.
static void change_once(unsigned stable, unsigned *seed)
{
    char a[64], b[64];
    snprintf(a, sizeof a, "stays%u.%u", step(seed) % stable, step(seed) % 3);
    snprintf(b, sizeof b, step(seed) % 2 ? "stays%u.%u" : "a%u.%u", step(seed) % stable,
             step(seed) % 3);
    switch (step(seed) % 4) {
    case 0:
        (void)!mknod(a, S_IFREG | 0644, 0);
        break;
    case 1:
        unlink(b);
        break;
    case 2:
        (void)!link(a, b);
        break;
    default:
        rename(a, b);
    }
}

static void changing(unsigned stable, unsigned lists)
{
    char name[32];
    unsigned *done = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    MUST(done != MAP_FAILED);
    for (unsigned i = 0; i < stable; i++) {
        snprintf(name, sizeof name, "stays%u", i);
        touch(name);
    }
    for (unsigned p = 0; p < READERS + WRITERS; p++) {
        unsigned seed = p * 7919 + stable;
        if (fork())
            continue;
        for (unsigned i = 0; p < READERS && i < lists; i++)
            list_once(stable, &seed);
        while (p >= READERS && !__atomic_load_n(done, __ATOMIC_RELAXED))
            change_once(stable, &seed);
        _exit(0);
    }
    int status, failed = 0;
    for (unsigned p = 0; p < READERS + WRITERS; p++) {
        MUST(wait(&status) > 0);
        failed |= status;
        if (status || p == READERS - 1)
            __atomic_store_n(done, 1, __ATOMIC_RELAXED);
    }
    MUST(failed == 0);
}

static void test_small(void)
{
    changing(30, 300);
}

static void test_large(void)
{
    changing(3000, 40);
}

// ------------------------------------------------------------------------------ at once

static bool is_listed(const char *name)
{
    DIR *dir = opendir(".");
    bool found = false;
    MUST(dir);
    for (struct dirent *entry; (entry = readdir(dir));)
        found |= strcmp(entry->d_name, name) == 0;
    MUST(closedir(dir) == 0);
    return found;
}

// A listing that begins after a change has returned shows it, by whatever call it was made.
static void test_at_once(void)
{
    MUST(mkdir("other", 0755) == 0);
    for (unsigned i = 0; i < 200; i++) {
        MUST(!is_listed("a") && !is_listed("b"));
        switch (i % 5) {
        case 0:
            touch("a");
            break;
        case 1:
            MUST(mkdir("a", 0755) == 0);
            break;
        case 2:
            MUST(symlink("x", "a") == 0);
            break;
        case 3:
            touch("other/a");
            MUST(rename("other/a", "a") == 0);
            break;
        default:
            touch("other/l");
            MUST(link("other/l", "a") == 0 && unlink("other/l") == 0);
        }
        MUST(is_listed("a"));
        MUST(rename("a", "b") == 0);
        MUST(is_listed("b") && !is_listed("a"));
        if (i % 2)
            MUST((i % 5 == 1 ? rmdir("b") : unlink("b")) == 0);
        else
            MUST(rename("b", "other/b") == 0 && remove("other/b") == 0);
    }
}

static void must_be_gone(int fd)
{
    char data[4096];
    MUST(lseek(fd, 0, SEEK_SET) == 0);
    MUST(syscall(SYS_getdents64, fd, data, sizeof data) < 0 && errno == ENOENT);
}

// A directory that is removed while it is open has no names; another of its name is another one.
static void test_removed(void)
{
    struct reader reader = {.stable = 0};
    MUST(mkdir("d", 0755) == 0);
    int fd = must_open("d", O_RDONLY | O_DIRECTORY);
    touch("d/x");
    MUST(read_some(&reader, fd, 32768, UINT32_MAX) && unlink("d/x") == 0 && rmdir("d") == 0);
    must_be_gone(fd);
    MUST(mkdir("d", 0755) == 0);
    touch("d/y");
    must_be_gone(fd);
}

// What is read in pieces goes while it is read: each piece is emptied before the next is read, as
// rm -r does.
static void test_emptied(void)
{
    enum { FILES = 3000 };
    char name[32], *names[FILES + 2];
    unsigned total = 0;
    for (unsigned i = 0; i < FILES; i++) {
        snprintf(name, sizeof name, "f%u", i);
        touch(name);
    }
    int fd = must_open(".", O_RDONLY | O_DIRECTORY);
    static char data[4096];
    for (long n; (n = syscall(SYS_getdents64, fd, data, sizeof data)) > 0;) {
        unsigned count = 0;
        for (long at = 0; at < n; at += ((const struct entry *)(const void *)(data + at))->size)
            names[count++] = ((struct entry *)(void *)(data + at))->name;
        for (unsigned i = 0; i < count; i++)
            if (names[i][0] != '.') {
                MUST(unlink(names[i]) == 0);
                total++;
            }
    }
    MUST(total == FILES);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } tests[] = {
        {"small", test_small},     {"large", test_large},     {"at_once", test_at_once},
        {"removed", test_removed}, {"emptied", test_emptied},
    };
    MUST(argc == 3);
    MUST(mkdir(argv[2], 0777) == 0 && chdir(argv[2]) == 0);
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++)
        if (strcmp(tests[i].name, argv[1]) == 0) {
            tests[i].run();
            return 0;
        }
    printf("no test %s\n", argv[1]);
    return 2;
}
