// restore: a store made of a generation of a backup.
//
// The new directory holds UNFINISHED until everything else is there, verified and synced: what a
// crash leaves cannot be opened, and 'lsmfsctl destroy' removes it (docs/format.md, section 1).
//
// Thread safety: one thread.
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "commands/backup_copy.h"
#include "commands/backup_target.h"

#define UNFINISHED "UNFINISHED"

struct restoring {
    struct ctl *ctl;
    struct backup backup;
    struct copier copier;
    struct buf bytes;
    struct generation generation;
    const char *db;
    char *where; // the pool, for messages
    int dir;     // of the new store
};

static bool failed(const struct restoring *r, const char *name)
{
    complain(r->ctl, "%s%s%s: %s", r->db, *name ? "/" : "", name, strerror(errno));
    return false;
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
    return copy_file(&r->copier, &from.source, r->dir, r->db, file->name, &size, hash);
}

static bool restore_pooled(struct restoring *r, const struct generation_file *file)
{
    char name[POOL_NAME_MAX + 1];
    uint8_t hash[HASH128_SIZE];
    uint64_t size;
    struct copy_from_file from;
    backup_pool_name(file, name);
    bool done = copy_from_file_open(&from, r->ctl, r->backup.files, r->where, name) &&
                copy_file(&r->copier, &from.source, r->dir, r->db, file->name, &size, hash);
    copy_from_file_close(&from);
    if (!done)
        return false;
    if (size == file->size && memcmp(hash, file->hash, HASH128_SIZE) == 0)
        return true;
    complain(r->ctl, "%s/%s is damaged", r->where, name);
    return false;
}

// Makes the directory, which must be new, with the mark that it is not complete.
static bool make_directory(struct restoring *r)
{
    if (mkdir(r->db, 0700))
        return failed(r, "");
    r->dir = open(r->db, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int fd = r->dir < 0 ? -1 : openat(r->dir, UNFINISHED, O_WRONLY | O_CREAT | O_EXCL, 0600);
    if (fd < 0 || close(fd) || fsync(r->dir))
        return failed(r, UNFINISHED);
    return true;
}

static bool sync_parent(const struct restoring *r)
{
    int fd = openat(r->dir, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool done = fd >= 0 && fsync(fd) == 0;
    if (fd >= 0)
        close(fd);
    return done || failed(r, "..");
}

static bool fill(struct restoring *r)
{
    uint64_t total = 0;
    assert(r->dir >= 0); // it has the mark
    for (size_t i = 0; i < r->generation.count; i++)
        total += r->generation.files[i].size;
    progress_unit(r->ctl->front, PROGRESS_BYTES);
    progress_set(r->ctl->front, 0, total);
    for (size_t i = 0; i < r->generation.count; i++) {
        const struct generation_file *file = &r->generation.files[i];
        if (!(file->is_here ? restore_here(r, file) : restore_pooled(r, file)))
            return false;
    }
    if (fsync(r->dir) || unlinkat(r->dir, UNFINISHED, 0) || fsync(r->dir))
        return failed(r, "");
    return sync_parent(r);
}

// Removes what was made, in an order in which what is left at any moment cannot be opened.
static void remove_made(struct restoring *r)
{
    if (r->dir < 0)
        return;
    for (size_t i = r->generation.count; i-- > 0;)
        unlinkat(r->dir, r->generation.files[i].name, 0);
    unlinkat(r->dir, UNFINISHED, 0);
    rmdir(r->db);
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
    bool done = make_directory(r) && fill(r);
    if (!done) {
        if (is_cancelled(r->ctl->front))
            complain(r->ctl, "%s: cancelled", r->db);
        remove_made(r);
    }
    return done && try_open(r);
}

enum exit_status command_restore(struct ctl *ctl)
{
    struct restoring r = {.ctl = ctl, .db = ctl->args[0], .dir = -1};
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
    if (r.dir >= 0)
        close(r.dir);
    copier_release(&r.copier);
    generation_release(&r.generation);
    buf_release(&r.bytes);
    free(r.where);
    free(path);
    return done ? EXIT_OK : EXIT_FAILED;
}
