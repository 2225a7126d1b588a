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

#define BLOCK (4u << 20) // an object of a cluster

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

// Through the source to its end, into `sink` unless that is NULL; with `counts`, as progress.
static bool pass(struct copier *copier, struct copy_source *source, struct copy_sink *sink,
                 bool counts, uint64_t *ret_size, uint8_t ret_hash[HASH128_SIZE])
{
    uint64_t offset = 0;
    bool done = true;
    for (size_t got = BLOCK; done && got; offset += got) {
        done = !is_cancelled(copier->ctl->front) &&
               source->read(source, offset, copier->block, BLOCK, &got) &&
               (!sink || !got || sink->write(sink, offset, copier->block, got));
        if (!done)
            break;
        hash128_add(copier->hash, copier->block, got);
        if (counts)
            progress_add(copier->ctl->front, got);
    }
    hash128_take(copier->hash, ret_hash); // also after a failure: it begins anew
    *ret_size = offset;
    return done;
}

bool copy_read(struct copier *copier, struct copy_source *source, uint64_t *ret_size,
               uint8_t ret_hash[HASH128_SIZE])
{
    return pass(copier, source, NULL, true, ret_size, ret_hash);
}

bool copy_to(struct copier *copier, struct copy_source *source, struct copy_sink *sink,
             uint64_t *ret_size, uint8_t ret_hash[HASH128_SIZE])
{
    uint8_t found[HASH128_SIZE];
    uint64_t size;
    if (!pass(copier, source, sink, true, ret_size, ret_hash) || !sink->sync(sink) ||
        !pass(copier, &sink->back, NULL, false, &size, found))
        return false;
    if (size == *ret_size && memcmp(found, ret_hash, HASH128_SIZE) == 0)
        return true;
    complain(copier->ctl, "%s/%s: the disk has not kept what was written", sink->where, sink->name);
    return false;
}

// ------------------------------------------------------------------------------- a new file

// False: an error, which errno tells.
static bool read_at(int fd, uint64_t offset, void *data, size_t size, size_t *ret_size)
{
    ssize_t n;
    do
        n = pread(fd, data, size, (off_t)offset);
    while (n < 0 && errno == EINTR);
    *ret_size = n > 0 ? (size_t)n : 0;
    return n >= 0;
}

struct copy_into_file {
    struct copy_sink sink; // first
    struct ctl *ctl;
    int fd;
};

static_assert(offsetof(struct copy_into_file, sink) == 0, "write_file() finds the file by it");

static bool failed(const struct copy_into_file *file)
{
    complain(file->ctl, "%s/%s: %s", file->sink.where, file->sink.name, strerror(errno));
    return false;
}

static bool write_file(struct copy_sink *sink, uint64_t offset, const void *data, size_t size)
{
    struct copy_into_file *file = (struct copy_into_file *)sink;
    for (size_t done = 0; done < size;) {
        ssize_t n =
            pwrite(file->fd, (const char *)data + done, size - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return failed(file);
        done += (size_t)n;
    }
    return true;
}

static bool sync_file(struct copy_sink *sink)
{
    struct copy_into_file *file = (struct copy_into_file *)sink;
    if (fsync(file->fd))
        return failed(file);
    (void)posix_fadvise(file->fd, 0, 0, POSIX_FADV_DONTNEED);
    (void)posix_fadvise(file->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    return true;
}

static bool read_back(struct copy_source *back, uint64_t offset, void *data, size_t size,
                      size_t *ret_size)
{
    struct copy_into_file *file =
        (struct copy_into_file *)((char *)back - offsetof(struct copy_into_file, sink.back));
    return read_at(file->fd, offset, data, size, ret_size) || failed(file);
}

bool copy_file(struct copier *copier, struct copy_source *source, int dir, const char *where,
               const char *name, uint64_t *ret_size, uint8_t ret_hash[HASH128_SIZE])
{
    struct copy_into_file file = {
        .sink = {write_file, sync_file, {read_back}, where, name},
        .ctl = copier->ctl,
        .fd = openat(dir, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600),
    };
    if (file.fd < 0)
        return failed(&file);
    bool done = copy_to(copier, source, &file.sink, ret_size, ret_hash);
    (void)posix_fadvise(file.fd, 0, 0, POSIX_FADV_DONTNEED);
    if (close(file.fd) && done)
        done = failed(&file);
    if (!done)
        unlinkat(dir, name, 0);
    return done;
}

// ------------------------------------------------------------------------------- files as sources

static_assert(offsetof(struct copy_from_file, source) == 0, "read_file() finds the file by it");

static bool read_file(struct copy_source *source, uint64_t offset, void *data, size_t size,
                      size_t *ret_size)
{
    struct copy_from_file *file = (struct copy_from_file *)source;
    if (read_at(file->fd, offset, data, size, ret_size))
        return true;
    complain(file->ctl, "%s/%s: %s", file->where, file->name, strerror(errno));
    return false;
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
