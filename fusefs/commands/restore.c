// restore: a store made of a generation of a backup.
//
// The engine makes it (lsm_restore), in a directory or in a cluster: it cannot be opened until
// everything is there, verified and synced. What a crash leaves 'lsmfsctl destroy' removes
// (docs/format.md, section 1).
//
// Thread safety: one thread.
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "commands/backup_copy.h"
#include "commands/backup_target.h"

struct restoring {
    struct ctl *ctl;
    struct backup backup;
    struct copier copier;
    struct buf bytes;
    struct generation generation;
    const char *db;
    char *where; // the pool, for messages
    struct lsm_restore *made;
};

static bool engine_failed(const struct restoring *r)
{
    complain(r->ctl, "%s", lsm_error_detail());
    return false;
}

// A file of the new store.
struct copy_into_store {
    struct copy_sink sink; // first
    struct restoring *r;
};

static bool write_made(struct copy_sink *sink, uint64_t offset, const void *data, size_t size)
{
    struct restoring *r = ((struct copy_into_store *)sink)->r;
    return lsm_restore_write(r->made, offset, data, size) == 0 || engine_failed(r);
}

static bool sync_made(struct copy_sink *sink)
{
    struct restoring *r = ((struct copy_into_store *)sink)->r;
    return lsm_restore_sync(r->made) == 0 || engine_failed(r);
}

static bool read_made(struct copy_source *back, uint64_t offset, void *data, size_t size,
                      size_t *ret_size)
{
    const struct copy_into_store *into =
        (struct copy_into_store *)((char *)back - offsetof(struct copy_into_store, sink.back));
    struct restoring *r = into->r;
    return lsm_restore_read(r->made, offset, data, size, ret_size) == 0 || engine_failed(r);
}

static bool copy_made(struct restoring *r, struct copy_source *source, const char *name,
                      uint64_t *ret_size, uint8_t ret_hash[HASH128_SIZE])
{
    struct copy_into_store into = {.sink = {write_made, sync_made, {read_made}, r->db, name},
                                   .r = r};
    if (lsm_restore_file(r->made, name))
        return engine_failed(r);
    return copy_to(&r->copier, source, &into.sink, ret_size, ret_hash);
}

// Bytes in memory as a source.
struct copy_from_memory {
    struct copy_source source; // first
    struct slice bytes;
};

static_assert(offsetof(struct copy_from_memory, source) == 0, "read_memory() finds the rest by it");

static bool read_memory(struct copy_source *source, uint64_t offset, void *data, size_t size,
                        size_t *ret_size)
{
    struct slice bytes = ((struct copy_from_memory *)source)->bytes;
    size_t left = offset < bytes.size ? bytes.size - (size_t)offset : 0;
    size_t n = size < left ? size : left;
    if (n)
        memcpy(data, bytes.data + offset, n);
    *ret_size = n;
    return true;
}

static bool restore_here(struct restoring *r, const struct generation_file *file)
{
    struct copy_from_memory from = {.source.read = read_memory, .bytes = file->content};
    uint8_t hash[HASH128_SIZE];
    uint64_t size;
    return copy_made(r, &from.source, file->name, &size, hash);
}

static bool restore_pooled(struct restoring *r, const struct generation_file *file)
{
    char name[POOL_NAME_MAX + 1];
    uint8_t hash[HASH128_SIZE];
    uint64_t size;
    struct copy_from_file from;
    backup_pool_name(file, name);
    bool done = copy_from_file_open(&from, r->ctl, r->backup.files, r->where, name) &&
                copy_made(r, &from.source, file->name, &size, hash);
    copy_from_file_close(&from);
    if (!done)
        return false;
    if (size == file->size && memcmp(hash, file->hash, HASH128_SIZE) == 0)
        return true;
    complain(r->ctl, "%s/%s is damaged", r->where, name);
    return false;
}

static bool fill(struct restoring *r)
{
    uint64_t total = 0;
    assert(r->made);
    for (size_t i = 0; i < r->generation.count; i++)
        total += r->generation.files[i].size;
    progress_unit(r->ctl->front, PROGRESS_BYTES);
    progress_set(r->ctl->front, 0, total);
    for (size_t i = 0; i < r->generation.count; i++) {
        const struct generation_file *file = &r->generation.files[i];
        if (!(file->is_here ? restore_here(r, file) : restore_pooled(r, file)))
            return false;
    }
    return lsm_restore_end(r->made) == 0 || engine_failed(r);
}

// The generation with that number, or the newest.
static bool choose(struct restoring *r, uint64_t number)
{
    uint64_t *numbers;
    size_t count;
    if (!backup_numbers(&r->backup, &numbers, &count))
        return false;
    if (!number && count)
        number = numbers[count - 1];
    free(numbers);
    if (!number) {
        complain(r->ctl, "%s: has no generation", r->backup.shown);
        return false;
    }
    return backup_read(&r->backup, number, &r->bytes, &r->generation);
}

// Checks that the store opens.
static bool try_open(struct restoring *r)
{
    const char *backup = r->ctl->db;
    r->ctl->db = r->db;
    bool done = tree_open(r->ctl, OPEN_READ) && ctl_store_close(r->ctl, EXIT_OK) == EXIT_OK;
    r->ctl->db = backup;
    return done;
}

static bool restore(struct restoring *r, uint64_t number)
{
    if (!choose(r, number) || !copier_init(&r->copier, r->ctl))
        return false;
    if (asprintf(&r->where, "%s/files", r->backup.shown) < 0) {
        r->where = NULL;
        complain(r->ctl, "out of memory");
        return false;
    }
    if (lsm_restore_new(r->db, NULL, &r->made))
        return engine_failed(r);
    bool done = fill(r);
    if (!done && is_cancelled(r->ctl->front))
        complain(r->ctl, "%s: cancelled", r->db);
    lsm_restore_free(r->made);
    return done && try_open(r);
}

enum exit_status command_restore(struct ctl *ctl)
{
    struct restoring r = {.ctl = ctl, .db = ctl->args[0]};
    uint64_t number;
    char *path = strdup(ctl->db);
    if (!path || !*r.db) {
        complain(ctl, path ? "DB is empty" : "out of memory");
        free(path);
        return EXIT_FAILED;
    }
    backup_parse(path, &number);
    bool done =
        ctl_store_may_create(ctl, r.db) && backup_open(ctl, path, path, BACKUP_READ, &r.backup);
    if (done) {
        ctl->front->ops->hold_signals(ctl->front);
        done = restore(&r, number);
        backup_close(&r.backup);
    }
    copier_release(&r.copier);
    generation_release(&r.generation);
    buf_release(&r.bytes);
    free(r.where);
    free(path);
    return done ? EXIT_OK : EXIT_FAILED;
}
