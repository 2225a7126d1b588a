// What a full disk leaves of a file, page by page; for tests/fuse/test_full_cache.sh, which
// compiles this file:
//   lost check FILE REF [OLD]   each page is that of REF (or of OLD), or cannot be read (EIO).
//                               Prints the size and how many pages cannot be read.
//   lost map FILE REF           writes REF through a mapping
//   lost random FILE REF SEED   writes REF in pieces of 64 KiB in random order
//   lost drop FILE              the kernel is to drop the pages
// `map` and `random` print what msync and fsync say. Status 0, or a line that says what is wrong.
#define _GNU_SOURCE
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "must.h"

enum { PAGE = 4096, PIECE = 65536 };

static char *load(const char *path, size_t *ret_size)
{
    struct stat st;
    int fd = must_open(path, O_RDONLY);
    MUST(fstat(fd, &st) == 0);
    char *data = malloc((size_t)st.st_size + 1);
    MUST(data && read(fd, data, (size_t)st.st_size) == st.st_size);
    close(fd);
    *ret_size = (size_t)st.st_size;
    return data;
}

static bool holds(const char *page, size_t n, const char *data, size_t size, size_t at)
{
    return at + n <= size && memcmp(page, data + at, n) == 0;
}

static int check(const char *path, const char *ref_path, const char *old_path)
{
    size_t ref_size, old_size = 0, lost = 0;
    char *ref = load(ref_path, &ref_size), *old = old_path ? load(old_path, &old_size) : NULL;
    struct stat st;
    int fd = must_open(path, O_RDONLY);
    MUST(fstat(fd, &st) == 0);
    for (size_t at = 0; at < (size_t)st.st_size; at += PAGE) {
        char page[PAGE];
        ssize_t n = pread(fd, page, PAGE, (off_t)at);
        if (n < 0 && errno == EIO) {
            lost++;
        } else if (n <= 0 || (!holds(page, (size_t)n, ref, ref_size, at) &&
                              !holds(page, (size_t)n, old, old_size, at))) {
            printf("%s of %lld bytes: read %zd at %zu, and it is something else (%s)\n", path,
                   (long long)st.st_size, n, at, n < 0 ? strerror(errno) : "");
            return 1;
        }
    }
    printf("%lld %zu\n", (long long)st.st_size, lost);
    return 0;
}

static int map(const char *path, const char *ref_path)
{
    size_t size;
    char *ref = load(ref_path, &size);
    int fd = must_open(path, O_RDWR | O_CREAT | O_TRUNC);
    MUST(ftruncate(fd, (off_t)size) == 0);
    char *mapped = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    MUST(mapped != MAP_FAILED);
    memcpy(mapped, ref, size);
    printf("%s\n", msync(mapped, size, MS_SYNC) ? strerror(errno) : "ok");
    return 0;
}

static int write_randomly(const char *path, const char *ref_path, unsigned seed)
{
    size_t size;
    char *ref = load(ref_path, &size);
    int fd = must_open(path, O_RDWR | O_CREAT | O_TRUNC);
    size_t count = size / PIECE, *order = calloc(count, sizeof *order);
    MUST(order);
    srand(seed);
    for (size_t i = 0; i < count; i++) {
        size_t k = (size_t)rand() % (i + 1);
        order[i] = order[k];
        order[k] = i;
    }
    bool full = false;
    for (size_t i = 0; i < count && !full; i++) {
        off_t at = (off_t)(order[i] * PIECE);
        full = pwrite(fd, ref + at, PIECE, at) != PIECE;
        MUST(!full || errno == ENOSPC);
    }
    printf("%s\n", fsync(fd) || full ? "No space left on device" : "ok");
    return 0;
}

static int drop(const char *path)
{
    int fd = must_open(path, O_RDONLY);
    MUST(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) == 0);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc > 3 && !strcmp(argv[1], "check"))
        return check(argv[2], argv[3], argv[4]);
    if (argc == 4 && !strcmp(argv[1], "map"))
        return map(argv[2], argv[3]);
    if (argc == 5 && !strcmp(argv[1], "random"))
        return write_randomly(argv[2], argv[3], (unsigned)atoi(argv[4]));
    if (argc == 3 && !strcmp(argv[1], "drop"))
        return drop(argv[2]);
    return 2;
}
