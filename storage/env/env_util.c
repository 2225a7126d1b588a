// What is built on an env without being part of one: whole-file reading, atomic replacement, a
// buffered sequential writer.
//
// Thread-safe as the env is; an env_writer belongs to one thread at a time. Each function cleans up
// after itself on failure, except that env_write_file_atomic() may fail after the new content is in
// place: when the directory could not be synced, either content may be found after a power loss.
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "env/env.h"

#define WRITER_ROOM_MIN ((size_t)16 << 10)

void env_full_name(const struct env *env, const char *name, char *path, size_t size)
{
    int n = env->path ? snprintf(path, size, "%s/%s", env->path, name)
                      : snprintf(path, size, "%s", name);
    (void)n; // a longer name is cut off
}

int env_read_file(struct env *env, const char *path, size_t max_size, char **ret_data,
                  size_t *ret_size)
{
    struct env_file *file;
    int rc = env_open(env, path, ENV_READ, &file);
    if (rc)
        return rc;
    char *data = NULL;
    uint64_t size;
    size_t got;
    rc = file->ops->size(file, &size);
    if (rc)
        goto out;
    if (size > max_size) {
        rc = status_fail(LSM_INVALID, "%s: %" PRIu64 " bytes, at most %zu expected", path, size,
                         max_size);
        goto out;
    }
    data = malloc((size_t)size + 1);
    if (!data) {
        rc = status_no_memory((size_t)size + 1);
        goto out;
    }
    rc = env_pread(file, data, (size_t)size, 0, &got);
    if (rc)
        goto out;
    data[got] = 0;
    *ret_data = data;
    *ret_size = got;
    data = NULL;
out:
    free(data);
    // Nothing was written: a failing close loses nothing.
    (void)env_close(file);
    return rc;
}

static int write_synced(struct env *env, const char *path, const void *data, size_t size)
{
    struct env_file *file;
    int rc = env_open(env, path, ENV_WRITE | ENV_CREATE | ENV_TRUNCATE, &file);
    if (rc)
        return rc;
    rc = env_pwrite(file, data, size, 0);
    if (!rc)
        rc = env_sync(file);
    int close_rc = env_close(file);
    return rc ? rc : close_rc;
}

int env_write_file_atomic(struct env *env, const char *name, const void *data, size_t size)
{
    char *temporary;
    struct status_kept kept;
    if (asprintf(&temporary, "%s.tmp", name) < 0)
        return status_no_memory(strlen(name) + 5);
    int rc = write_synced(env, temporary, data, size);
    if (!rc)
        rc = env->ops->rename(env, temporary, name);
    if (rc) {
        status_keep(&kept);
        (void)env->ops->unlink(env, temporary);
        status_restore(&kept);
    } else {
        rc = env->ops->sync_dir(env, ENV_HERE);
        rc = status_final(rc); // the rename was made: no status may say that nothing has changed
    }
    free(temporary);
    return rc;
}

struct env_writer {
    struct env_file *file; // borrowed
    uint64_t offset;       // of the buffer's first byte in the file
    size_t used;
    size_t room;     // allocated: doubled as it fills
    size_t capacity; // what `room` grows to
    int status;      // the first failure; sticky
    uint8_t *buffer;
};

int env_writer_new(struct env_file *file, size_t buffer_size, uint64_t offset,
                   struct env_writer **ret_writer)
{
    assert(buffer_size > 0);
    struct env_writer *writer = malloc(sizeof(*writer));
    if (!writer)
        return status_no_memory(sizeof(*writer));
    *writer = (struct env_writer){.file = file, .offset = offset, .capacity = buffer_size};
    *ret_writer = writer;
    return 0;
}

static int writer_failed(const struct env_writer *writer)
{
    return status_fail(writer->status, "%s: an earlier write failed (%s)", writer->file->path,
                       lsm_strerror(writer->status));
}

static int writer_write(struct env_writer *writer, const void *data, size_t size)
{
    int rc = env_pwrite(writer->file, data, size, writer->offset);
    if (rc) {
        writer->status = rc;
        return rc;
    }
    writer->offset += size;
    return 0;
}

int env_writer_flush(struct env_writer *writer)
{
    if (writer->status)
        return writer_failed(writer);
    if (writer->used == 0)
        return 0;
    int rc = writer_write(writer, writer->buffer, writer->used);
    if (!rc)
        writer->used = 0;
    return rc;
}

// Room for `size` bytes more, or for as many as the buffer is to hold.
static int writer_grow(struct env_writer *writer, size_t size)
{
    size_t wanted = writer->used + size, room = writer->room ? writer->room : WRITER_ROOM_MIN;
    while (room < wanted && room < writer->capacity)
        room *= 2;
    if (room > writer->capacity)
        room = writer->capacity;
    if (room == writer->room)
        return 0;
    uint8_t *buffer = realloc(writer->buffer, room);
    if (!buffer)
        return writer->status = status_no_memory(room);
    writer->buffer = buffer;
    writer->room = room;
    return 0;
}

int env_writer_append(struct env_writer *writer, const void *data, size_t size)
{
    if (writer->status)
        return writer_failed(writer);
    const uint8_t *from = data;
    int rc = size > writer->room - writer->used ? writer_grow(writer, size) : 0;
    while (!rc && size > writer->capacity - writer->used) {
        size_t n = writer->capacity - writer->used;
        if (writer->used) {
            memcpy(writer->buffer + writer->used, from, n);
            writer->used += n;
            rc = env_writer_flush(writer);
        } else { // a write of a whole buffer or more goes to the file directly
            n = size / writer->capacity * writer->capacity;
            rc = writer_write(writer, from, n);
        }
        from += n;
        size -= n;
    }
    if (rc)
        return rc;
    assert(writer->room <= writer->capacity && size <= writer->room - writer->used);
    if (size)
        memcpy(writer->buffer + writer->used, from, size);
    writer->used += size;
    return 0;
}

uint64_t env_writer_offset(const struct env_writer *writer)
{
    return writer->offset + writer->used;
}

void env_writer_free(struct env_writer *writer)
{
    if (writer)
        free(writer->buffer);
    free(writer);
}
