// backup: a new generation of a backup.
//
// The engine keeps the files of one moment while they are copied, and everything goes on meanwhile.
// A file of the pool that had the same name in the store is taken for the same if size, time of
// change and the last bytes are equal: a copy has the time of change of its source. Where the time
// differs the source is read, and what has the same hash is not copied either. What is in the pool
// is complete and has been verified, also if no generation has got it: so a backup that is
// interrupted is resumed.
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
#include <time.h>
#include <unistd.h>

#include "commands/backup_copy.h"
#include "commands/backup_target.h"
#include "common/mounts.h"

#define TAIL      4096u   // bytes at the end that are compared
#define MANIFESTS "store" // in tmp/: where the engine writes manifest and CURRENT

struct backing_up {
    struct ctl *ctl;
    struct backup backup;
    struct copier copier;
    struct backup_pool pool;
    struct lsm_files *files;
    struct generation generation;
    struct buf kept[2]; // what the generation holds itself
    unsigned kept_count;
    bool *copied; // by index of the store's file: it was copied in this run
    uint64_t bytes, copied_files, copied_bytes, damaged;
};

// ------------------------------------------------------------------------------- the store's files

struct copy_from_store {
    struct copy_source source; // first
    struct backing_up *b;
    size_t index;
};

static_assert(offsetof(struct copy_from_store, source) == 0, "read_source() finds the rest by it");

static bool read_stored(struct backing_up *b, size_t index, uint64_t offset, void *data,
                        size_t size, size_t *ret_size)
{
    if (lsm_files_read(b->files, index, offset, data, size, ret_size) == 0)
        return true;
    complain(b->ctl, "%s", ctl_store_words(b->ctl, lsm_error_detail()));
    return false;
}

// Reads no further than the size that the file had at the moment of the backup.
static bool read_source(struct copy_source *source, uint64_t offset, void *data, size_t size,
                        size_t *ret_size)
{
    struct copy_from_store *from = (struct copy_from_store *)source;
    uint64_t end = lsm_files_info(from->b->files, from->index)->size;
    uint64_t left = offset < end ? end - offset : 0;
    return read_stored(from->b, from->index, offset, data, size < left ? size : (size_t)left,
                       ret_size);
}

// ------------------------------------------------------------------------------- one file

// Whether the last bytes of a file of the pool are those of the store's.
static bool same_tail(struct backing_up *b, size_t index, const char *name, uint64_t size,
                      bool *ret_same)
{
    uint8_t stored[TAIL], copied[TAIL];
    size_t n = size < TAIL ? (size_t)size : TAIL, got;
    if (!read_stored(b, index, size - n, stored, n, &got))
        return false;
    int fd = openat(b->backup.files, name, O_RDONLY | O_CLOEXEC);
    *ret_same = fd >= 0 && got == n && pread(fd, copied, n, (off_t)(size - n)) == (ssize_t)n &&
                memcmp(stored, copied, n) == 0;
    if (fd >= 0)
        close(fd);
    return true;
}

static void hash_of_name(const char *name, uint8_t ret_hash[HASH128_SIZE])
{
    const char *digits = name + strlen(name) - 2 * HASH128_SIZE;
    for (unsigned i = 0; i < HASH128_SIZE; i++) {
        const char byte[3] = {digits[2 * i], digits[2 * i + 1], 0};
        ret_hash[i] = (uint8_t)strtoul(byte, NULL, 16);
    }
}

// Looks for the file in the pool. *ret_file's hash is set if *ret_found. False, with a message.
static bool find_copy(struct backing_up *b, size_t index, struct generation_file *file,
                      bool *ret_found)
{
    const struct lsm_file_info *info = lsm_files_info(b->files, index);
    size_t first, count = backup_pool_find_all(&b->pool, info->name, &first);
    bool worth_reading = false;
    *ret_found = false;
    for (size_t i = first; i < first + count && !*ret_found; i++) {
        const struct backup_pool_file *candidate = &b->pool.files[i];
        if (candidate->size != info->size)
            continue;
        worth_reading = true;
        if (candidate->modified_ns != info->modified_ns || !info->modified_ns)
            continue;
        if (!same_tail(b, index, candidate->name, info->size, ret_found))
            return false;
        if (*ret_found)
            hash_of_name(candidate->name, file->hash);
    }
    if (*ret_found || !worth_reading) {
        if (*ret_found)
            progress_add(b->ctl->front, info->size);
        return true;
    }
    struct copy_from_store from = {.source.read = read_source, .b = b, .index = index};
    char name[POOL_NAME_MAX + 1];
    if (!copy_read(&b->copier, &from.source, &file->size, file->hash))
        return false;
    backup_pool_name(file, name);
    *ret_found = backup_pool_find(&b->pool, name) != NULL;
    if (!*ret_found)
        b->ctl->front->total += info->size; // it is read again
    return true;
}

static bool set_modified(const struct backup *backup, int dir, const char *name, int64_t ns)
{
    if (!ns) // not known: in a cluster files have none
        return true;
    const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT},
                                      {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000}};
    return utimensat(dir, name, times, 0) == 0 || backup_failed(backup, "files");
}

static bool copy_to_pool(struct backing_up *b, size_t index, struct generation_file *file)
{
    const struct lsm_file_info *info = lsm_files_info(b->files, index);
    struct copy_from_store from = {.source.read = read_source, .b = b, .index = index};
    const struct backup *backup = &b->backup;
    char name[POOL_NAME_MAX + 1];
    if (!copy_file(&b->copier, &from.source, backup->temporary, backup->shown, info->name,
                   &file->size, file->hash))
        return false;
    backup_pool_name(file, name);
    if (!set_modified(backup, backup->temporary, info->name, info->modified_ns))
        return false;
    if (renameat(backup->temporary, info->name, backup->files, name))
        return backup_failed(backup, "files");
    b->copied[index] = true;
    b->copied_files++;
    b->copied_bytes += file->size;
    return true;
}

static bool back_up_file(struct backing_up *b, size_t index)
{
    const struct lsm_file_info *info = lsm_files_info(b->files, index);
    struct generation_file file = {.size = info->size};
    bool found;
    assert(strlen(info->name) <= GENERATION_NAME_MAX);
    strcpy(file.name, info->name);
    if (!find_copy(b, index, &file, &found) || (!found && !copy_to_pool(b, index, &file)))
        return false;
    char name[POOL_NAME_MAX + 1];
    backup_pool_name(&file, name);
    if (found && !set_modified(&b->backup, b->backup.files, name, info->modified_ns))
        return false;
    b->bytes += file.size;
    if (generation_add(&b->generation, &file) == 0)
        return true;
    complain(b->ctl, "out of memory");
    return false;
}

// ------------------------------------------------------------------------------- the rest

// A file that the engine has written for the copy, into the generation.
static bool keep_file(struct backing_up *b, int dir, const char *name)
{
    struct generation_file file = {.is_here = true};
    assert(b->kept_count < sizeof b->kept / sizeof *b->kept);
    struct buf *bytes = &b->kept[b->kept_count++];
    struct copy_from_file from;
    size_t got = 1;
    if (!copy_from_file_open(&from, b->ctl, dir, b->backup.shown, name))
        return false;
    bool done = true;
    while (done && got) {
        if (buf_reserve(bytes, 65536)) {
            complain(b->ctl, "out of memory");
            done = false;
        } else if ((done = from.source.read(&from.source, bytes->size, bytes->data + bytes->size,
                                            65536, &got))) {
            bytes->size += got;
        }
    }
    copy_from_file_close(&from);
    file.content = buf_slice(bytes);
    file.size = bytes->size;
    assert(strlen(name) <= GENERATION_NAME_MAX);
    strcpy(file.name, name);
    return done && generation_add(&b->generation, &file) == 0;
}

static bool add_manifest(struct backing_up *b)
{
    const struct backup *backup = &b->backup;
    const char *name = lsm_files_manifest(b->files);
    char *path = NULL;
    if (mkdirat(backup->temporary, MANIFESTS, 0700))
        return backup_failed(backup, "tmp");
    if (asprintf(&path, "%s/tmp/" MANIFESTS, backup->path) < 0) {
        complain(b->ctl, "out of memory");
        return false;
    }
    bool done = lsm_files_finish(b->files, path) == 0;
    if (!done)
        complain(b->ctl, "%s", ctl_store_words(b->ctl, lsm_error_detail()));
    free(path);
    if (!done)
        return false;
    int dir = openat(backup->temporary, MANIFESTS, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return backup_failed(backup, "tmp");
    done = keep_file(b, dir, name) && keep_file(b, dir, "CURRENT");
    unlinkat(dir, name, 0);
    unlinkat(dir, "CURRENT", 0);
    close(dir);
    unlinkat(backup->temporary, MANIFESTS, AT_REMOVEDIR);
    return done;
}

static bool begin(struct backing_up *b)
{
    struct front *front = b->ctl->front;
    struct timespec now;
    uint64_t *numbers, total = 0;
    size_t count;
    if (!copier_init(&b->copier, b->ctl) || !backup_pool_scan(&b->backup, &b->pool) ||
        !backup_numbers(&b->backup, &numbers, &count))
        return false;
    clock_gettime(CLOCK_REALTIME, &now);
    b->generation.number = count ? numbers[count - 1] + 1 : 1;
    b->generation.created_us = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
    free(numbers);
    int rc = lsm_files_new(b->ctl->engine, &b->files);
    if (rc) {
        ctl_store_failed(b->ctl, rc);
        return false;
    }
    b->copied = calloc(lsm_files_count(b->files) + 1, sizeof *b->copied);
    if (!b->copied) {
        complain(b->ctl, "out of memory");
        return false;
    }
    for (size_t i = 0; i < lsm_files_count(b->files); i++)
        total += lsm_files_info(b->files, i)->size;
    progress_unit(front, PROGRESS_BYTES);
    progress_set(front, 0, total);
    return true;
}

// Names of the files that were copied in this run, in order.
struct copied_names {
    const char **at;
    size_t count;
};

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool was_copied(void *arg, const char *name)
{
    const struct copied_names *names = arg;
    return bsearch(&name, names->at, names->count, sizeof *names->at, compare_names);
}

// A copy is as good as what it was made of: that, too, is verified, by the store's own checksums.
// What is damaged stays in the generation, with all that is not. False, with a message: no memory.
static bool check_copied(struct backing_up *b)
{
    size_t count = lsm_files_count(b->files);
    struct copied_names names = {.at = malloc((count + 1) * sizeof *names.at)};
    if (!names.at) {
        complain(b->ctl, "out of memory");
        return false;
    }
    for (size_t i = 0; i < count; i++)
        if (b->copied[i])
            names.at[names.count++] = lsm_files_info(b->files, i)->name;
    qsort(names.at, names.count, sizeof *names.at, compare_names);
    for (size_t i = 0; i < count && !is_cancelled(b->ctl->front); i++) {
        if (!b->copied[i] || !lsm_files_check(b->files, i, was_copied, &names))
            continue;
        b->damaged++;
        complain(b->ctl, "the store is damaged, and its copy: %s",
                 ctl_store_words(b->ctl, lsm_error_detail()));
    }
    free(names.at);
    return true;
}

static void print_sum(struct backing_up *b)
{
    struct front *front = b->ctl->front;
    front->ops->print_begin(front);
    fprintf(b->ctl->out,
            "generation %" PRIu64 ": %zu files, %" PRIu64 " bytes; copied %" PRIu64
            " files, %" PRIu64 " bytes\n",
            b->generation.number, lsm_files_count(b->files), b->bytes, b->copied_files,
            b->copied_bytes);
    front->ops->print_end(front);
}

static bool back_up(struct backing_up *b)
{
    if (!begin(b))
        return false;
    for (size_t i = 0; i < lsm_files_count(b->files); i++)
        if (!back_up_file(b, i))
            return false;
    if (!check_copied(b) || !add_manifest(b) || !backup_sync(&b->backup, b->backup.files) ||
        is_cancelled(b->ctl->front) || !backup_commit(&b->backup, &b->generation))
        return false;
    print_sum(b);
    return backup_pool_free_unneeded(&b->backup) && !b->damaged;
}

static void release(struct backing_up *b)
{
    lsm_files_free(b->files);
    free(b->copied);
    backup_pool_release(&b->pool);
    generation_release(&b->generation);
    buf_release(&b->kept[0]);
    buf_release(&b->kept[1]);
    copier_release(&b->copier);
}

// A backup of a mounted store into its own mount would have to copy itself.
static bool is_own_mount(struct ctl *ctl, const char *path)
{
    struct mount_info info;
    struct stat target, mount;
    if (!ctl->live || !mount_info_of_store(0, ctl->live->directory, NULL, &info) ||
        stat(info.mountpoint, &mount))
        return false;
    if (stat(path, &target)) {
        char *parent = strdup(path), *slash = parent ? strrchr(parent, '/') : NULL;
        if (slash)
            slash[1] = 0;
        bool found = slash && stat(parent, &target) == 0;
        free(parent);
        if (!found)
            return false;
    }
    return target.st_dev == mount.st_dev;
}

static enum exit_status run(struct ctl *ctl)
{
    const char *path = ctl->target ? ctl->target : ctl->args[0];
    struct backing_up b = {.ctl = ctl};
    if (!ctl_store_may_create(ctl, ctl->args[0]))
        return EXIT_FAILED;
    if (is_own_mount(ctl, path)) {
        complain(ctl, "%s: lies in the mount of the store itself", ctl->args[0]);
        return EXIT_FAILED;
    }
    if (!engine_open(ctl, OPEN_WRITE))
        return EXIT_FAILED;
    if (!backup_open(ctl, path, ctl->args[0], BACKUP_CREATE, &b.backup))
        return ctl_store_close(ctl, EXIT_FAILED);
    if (!ctl->live)
        ctl->front->ops->hold_signals(ctl->front);
    bool done = back_up(&b);
    if (!done && is_cancelled(ctl->front))
        complain(ctl, "%s: cancelled; the next backup goes on from here", ctl->args[0]);
    release(&b);
    backup_close(&b.backup);
    return ctl_store_close(ctl, done ? EXIT_OK : EXIT_FAILED);
}

enum exit_status command_backup(struct ctl *ctl)
{
    enum exit_status status = EXIT_FAILED;
    if (!ctl->live || target_find(ctl))
        status = run(ctl);
    target_release(ctl);
    return status;
}
