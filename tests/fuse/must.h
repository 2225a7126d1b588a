// What the C helpers of tests/fuse have in common: a check that ends the program with a line.
#ifndef LSMFS_TESTS_MUST_H
#define LSMFS_TESTS_MUST_H

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            printf("%s:%d: %s (errno: %s)\n", __FILE__, __LINE__, #condition, strerror(errno));    \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

static inline int must_open(const char *path, int flags)
{
    int fd = open(path, flags, 0644);
    MUST(fd >= 0);
    return fd;
}

static inline void *pattern(size_t size, unsigned seed)
{
    unsigned char *data = malloc(size);
    MUST(data);
    for (size_t i = 0; i < size; i++) {
        seed = seed * 1103515245 + 12345;
        data[i] = (unsigned char)(seed >> 16);
    }
    return data;
}

static inline void must_hold(int fd, const void *data, size_t size, off_t offset)
{
    char *got = malloc(size);
    MUST(got);
    MUST(pread(fd, got, size, offset) == (ssize_t)size);
    MUST(memcmp(got, data, size) == 0);
    free(got);
}

#endif
