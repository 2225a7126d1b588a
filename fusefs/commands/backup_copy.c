// Copying with a hash, and reading back.
//
// What was written is synced, then the kernel is told to forget it, then it is read again and has
// to have the hash of what was written. Thread safety: one thread a copier.
#include "commands/backup_copy.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BLOCK (1u << 20)

bool copier_init(struct copier *copier, struct ctl *ctl)
{
    *copier = (struct copier){.ctl = ctl, .hash = hash128_new(), .block = malloc(BLOCK)};
    if (copier->hash && copier->block)
        return true;
    complain(ctl, "out of memory");
    copier_release(copier);
    return false;
}

void copier_release(struct copier *copier)
{
    hash128_free(copier->hash);
    free(copier->block);
    *copier = (struct copier){0};
}

static bool failed(struct copier *copier, const char *where, const char *name)
{
    complain(copier->ctl, "%s/%s: %s", where, name, strerror(errno));
    return false;
}

static bool write_all(int fd, const uint8_t *data, size_t size, uint64_t offset)
{
    while (size) {
        ssize_t n = pwrite(fd, data, size, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        data += n;
        size -= (size_t)n;
        offset += (uint64_t)n;
    }
    return true;
}

// Through the source to its end, into `fd` unless that is -1.
static bool pass(struct copier *copier, struct copy_source *source, int fd, const char *where,
                 const char *name, uint64_t *ret_size, uint8_t ret_hash[HASH128_SIZE])
{
    uint64_t offset = 0;
    for (size_t got = BLOCK; got; offset += got) {
        if (is_cancelled(copier->ctl->front) ||
            !source->read(source, offset, copier->block, BLOCK, &got))
            return false;
        if (fd >= 0 && !write_all(fd, copier->block, got, offset))
            return failed(copier, where, name);
        hash128_add(copier->hash, copier->block, got);
        progress_add(copier->ctl->front, got);
    }
    *ret_size = offset;
    hash128_take(copier->hash, ret_hash);
    return true;
}

bool copy_read(struct copier *copier, struct copy_source *source, uint64_t *ret_size,
               uint8_t ret_hash[HASH128_SIZE])
{
    bool done = pass(copier, source, -1, "", "", ret_size, ret_hash);
    uint8_t rest[HASH128_SIZE];
    if (!done)
        hash128_take(copier->hash, rest);
    return done;
}

// Compares what the disk has with what was written to it.
static bool read_back(struct copier *copier, int fd, const char *where, const char *name,
                      uint64_t size, const uint8_t hash[HASH128_SIZE])
{
    uint8_t found[HASH128_SIZE];
    uint64_t offset = 0;
    (void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    (void)posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    for (;;) {
        if (is_cancelled(copier->ctl->front))
            return false;
        ssize_t n = pread(fd, copier->block, BLOCK, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return failed(copier, where, name);
        if (n == 0)
            break;
        hash128_add(copier->hash, copier->block, (size_t)n);
        offset += (uint64_t)n;
    }
    (void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    hash128_take(copier->hash, found);
    if (offset == size && memcmp(found, hash, HASH128_SIZE) == 0)
        return true;
    complain(copier->ctl, "%s/%s: the disk has not kept what was written", where, name);
    return false;
}

bool copy_file(struct copier *copier, struct copy_source *source, int dir, const char *where,
               const char *name, uint64_t *ret_size, uint8_t ret_hash[HASH128_SIZE])
{
    uint8_t rest[HASH128_SIZE];
    int fd = openat(dir, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return failed(copier, where, name);
    bool done = pass(copier, source, fd, where, name, ret_size, ret_hash);
    if (done && fsync(fd))
        done = failed(copier, where, name);
    done = done && read_back(copier, fd, where, name, *ret_size, ret_hash);
    if (close(fd) && done)
        done = failed(copier, where, name);
    if (!done) {
        hash128_take(copier->hash, rest); // begins anew
        unlinkat(dir, name, 0);
    }
    return done;
}

// ------------------------------------------------------------------------------- files as sources

static_assert(offsetof(struct copy_from_file, source) == 0, "read_file() finds the file by it");

static bool read_file(struct copy_source *source, uint64_t offset, void *data, size_t size,
                      size_t *ret_size)
{
    struct copy_from_file *file = (struct copy_from_file *)source;
    ssize_t n;
    do
        n = pread(file->fd, data, size, (off_t)offset);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        complain(file->ctl, "%s/%s: %s", file->where, file->name, strerror(errno));
    *ret_size = n > 0 ? (size_t)n : 0;
    return n >= 0;
}

bool copy_from_file_open(struct copy_from_file *file, struct ctl *ctl, int dir, const char *where,
                         const char *name)
{
    *file = (struct copy_from_file){.source.read = read_file,
                                    .ctl = ctl,
                                    .fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC),
                                    .where = where,
                                    .name = name};
    if (file->fd < 0) {
        complain(ctl, "%s/%s: %s", where, name, strerror(errno));
        return false;
    }
    (void)posix_fadvise(file->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    return true;
}

void copy_from_file_close(struct copy_from_file *file)
{
    if (file->fd < 0)
        return;
    (void)posix_fadvise(file->fd, 0, 0, POSIX_FADV_DONTNEED);
    close(file->fd);
    file->fd = -1;
}
