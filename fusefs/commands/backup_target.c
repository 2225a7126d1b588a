// A backup's directory: making, opening, locking; reading and writing generations; the pool.
//
// What a crash may leave: half written files, which are in tmp/ alone, and files of the pool that
// no generation needs yet. A generation is written to tmp/, synced, and then renamed, when all that
// it needs is in the pool, durably. So whatever is in generations/ is whole; and a file is taken
// from the pool only after the generations that needed it are gone, durably.
//
// Thread safety: one thread; other processes are kept off by the lock.
#include "commands/backup_target.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/numbers.h"
#include "common/nested.h"

#define SIGN            "lsmfs backup 1\n" // of version 1
#define SIGN_ANY        "lsmfs backup "
#define SIGN_NAME       "BACKUP"
#define LOCK_WAIT_MS    3000u
#define LOCK_POLL_MS    50u
#define SIGN_TEMPORARY  "BACKUP.tmp"
#define GENERATION_MOST ((size_t)1 << 32) // bytes

// ------------------------------------------------------------------------------- messages

bool backup_failed(const struct backup *backup, const char *name)
{
    complain(backup->ctl, "%s%s%s: %s", backup->shown, *name ? "/" : "", name, strerror(errno));
    return false;
}

bool backup_sync(const struct backup *backup, int dir)
{
    return fsync(dir) == 0 || backup_failed(backup, "");
}

// ------------------------------------------------------------------------------- names

// Calls `fn` for each name in a directory until it returns false. False: it has, or errno says why.
static bool each_name(int dir, bool (*fn)(void *arg, int dir, const char *name), void *arg)
{
    int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = fd >= 0 ? fdopendir(fd) : NULL;
    bool goes_on = true;
    if (!stream) {
        if (fd >= 0)
            close(fd);
        return false;
    }
    errno = 0;
    for (struct dirent *entry; goes_on && (entry = readdir(stream)); errno = 0)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            goes_on = fn(arg, dir, entry->d_name);
    int error = errno;
    closedir(stream);
    errno = error;
    return goes_on && !error;
}

// A directory among temporary files holds only files.
static bool remove_name(void *arg, int dir, const char *name)
{
    (void)arg;
    if (unlinkat(dir, name, 0) == 0 || errno == ENOENT)
        return true;
    if (errno != EISDIR && errno != EPERM)
        return false;
    int inner = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    bool done = inner >= 0 && each_name(inner, remove_name, NULL);
    if (inner >= 0)
        close(inner);
    return done && unlinkat(dir, name, AT_REMOVEDIR) == 0;
}

// ------------------------------------------------------------------------------- opening

static bool is_remains(void *arg, int dir, const char *name)
{
    (void)arg;
    (void)dir;
    return strcmp(name, SIGN_TEMPORARY) == 0 || strcmp(name, "LOCK") == 0 ||
           strcmp(name, "lost+found") == 0;
}

// Whether there is a backup. False: *ret_usable tells whether one can be made.
static bool has_sign(int dir, char *text, size_t size, bool *ret_usable)
{
    int fd = openat(dir, SIGN_NAME, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        *ret_usable = errno == ENOENT && each_name(dir, is_remains, NULL);
        return false;
    }
    ssize_t n = read(fd, text, size - 1);
    close(fd);
    text[n > 0 ? n : 0] = 0;
    *ret_usable = false;
    return strncmp(text, SIGN_ANY, strlen(SIGN_ANY)) == 0;
}

// The sign is there before anything else, so that what an interrupted command leaves is a backup.
static bool write_sign(const struct backup *backup)
{
    int fd = openat(backup->dir, SIGN_TEMPORARY, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bool done = fd >= 0 && write(fd, SIGN, strlen(SIGN)) == (ssize_t)strlen(SIGN) && fsync(fd) == 0;
    if (fd >= 0)
        close(fd);
    done = done && renameat(backup->dir, SIGN_TEMPORARY, backup->dir, SIGN_NAME) == 0;
    return done ? backup_sync(backup, backup->dir) : backup_failed(backup, SIGN_NAME);
}

static bool check_sign(const struct backup *backup, enum backup_mode mode)
{
    char text[64];
    bool usable;
    if (has_sign(backup->dir, text, sizeof text, &usable)) {
        if (strcmp(text, SIGN) == 0)
            return true;
        complain(backup->ctl, "%s: a backup of another version: a newer lsmfs is needed",
                 backup->shown);
        return false;
    }
    if (mode == BACKUP_CREATE && usable)
        return backup->lock < 0 || write_sign(backup);
    complain(backup->ctl, "%s: is not a backup%s", backup->shown,
             mode == BACKUP_CREATE ? ", and not empty" : "");
    return false;
}

// Waits a while, since a command that was cancelled needs a moment to end.
static bool take_lock(struct backup *backup, enum backup_mode mode)
{
    const struct timespec moment = {.tv_nsec = LOCK_POLL_MS * 1000000L};
    int flags = mode == BACKUP_READ ? O_RDONLY : O_RDWR | O_CREAT;
    int kind = mode == BACKUP_READ ? LOCK_SH : LOCK_EX;
    backup->lock = openat(backup->dir, "LOCK", flags | O_CLOEXEC, 0600);
    if (backup->lock < 0)
        return (mode == BACKUP_READ && errno == ENOENT) || backup_failed(backup, "LOCK");
    for (unsigned i = 0; i * LOCK_POLL_MS < LOCK_WAIT_MS; i++) {
        if (flock(backup->lock, kind | LOCK_NB) == 0)
            return true;
        if (errno != EWOULDBLOCK && errno != EINTR)
            return backup_failed(backup, "LOCK");
        if (is_cancelled(backup->ctl->front))
            return false;
        nanosleep(&moment, NULL);
    }
    complain(backup->ctl, "%s: another command is using the backup", backup->shown);
    return false;
}

// Also of a directory that is there already: who has made it may have been interrupted before.
static bool sync_parent(const struct backup *backup)
{
    int fd = openat(backup->dir, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool done = fd >= 0 && fsync(fd) == 0;
    // A directory above that may not be read has not been made by whoever may not.
    done = done || (fd < 0 && errno == EACCES) || backup_failed(backup, "..");
    if (fd >= 0)
        close(fd);
    return done;
}

static int open_inner(const struct backup *backup, const char *name, enum backup_mode mode)
{
    if (mode != BACKUP_READ && mkdirat(backup->dir, name, 0700) && errno != EEXIST)
        return -1;
    return openat(backup->dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static bool open_all(struct backup *backup, enum backup_mode mode)
{
    backup->files = open_inner(backup, "files", mode);
    if (backup->files < 0)
        return backup_failed(backup, "files");
    backup->generations = open_inner(backup, "generations", mode);
    if (backup->generations < 0)
        return backup_failed(backup, "generations");
    if (mode == BACKUP_READ)
        return true;
    backup->temporary = open_inner(backup, "tmp", mode);
    if (backup->temporary < 0 || !each_name(backup->temporary, remove_name, NULL))
        return backup_failed(backup, "tmp");
    return backup_sync(backup, backup->dir);
}

bool backup_open(struct ctl *ctl, const char *path, const char *shown, enum backup_mode mode,
                 struct backup *ret_backup)
{
    struct backup backup = {.ctl = ctl,
                            .path = path,
                            .shown = shown,
                            .dir = -1,
                            .lock = -1,
                            .files = -1,
                            .generations = -1,
                            .temporary = -1};
    bool done = true;
    if (mode == BACKUP_CREATE && mkdir(path, 0700) && errno != EEXIST)
        done = backup_failed(&backup, "");
    if (done) {
        backup.dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        done = backup.dir >= 0 || backup_failed(&backup, "");
    }
    if (done && mode == BACKUP_CREATE)
        done = sync_parent(&backup);
    // Before the lock as well, so that nothing is written into a directory that is no backup.
    done = done && check_sign(&backup, mode) && take_lock(&backup, mode) &&
           check_sign(&backup, mode) && open_all(&backup, mode);
    if (done)
        *ret_backup = backup;
    else
        backup_close(&backup);
    return done;
}

void backup_close(struct backup *backup)
{
    const int fds[] = {backup->files, backup->generations, backup->temporary, backup->lock,
                       backup->dir};
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++)
        if (fds[i] >= 0)
            close(fds[i]);
}

// ------------------------------------------------------------------------------- generations

static void generation_name(uint64_t number, char name[32])
{
    assert(number > 0);
    snprintf(name, 32, "%06" PRIu64, number);
}

static bool note_number(void *arg, int dir, const char *name)
{
    struct number_list *numbers = arg;
    char again[32], *end;
    (void)dir;
    uint64_t number = strtoull(name, &end, 10);
    generation_name(number, again);
    if (strcmp(name, again) != 0 || number == 0)
        return true; // none of ours
    return number_list_add(numbers, number) == 0;
}

bool backup_numbers(const struct backup *backup, uint64_t **ret_numbers, size_t *ret_count)
{
    struct number_list numbers = {0};
    if (!each_name(backup->generations, note_number, &numbers)) {
        backup_failed(backup, "generations");
        free(numbers.at);
        return false;
    }
    numbers_sort(numbers.at, numbers.count);
    *ret_numbers = numbers.at;
    *ret_count = numbers.count;
    return true;
}

// False: errno says why.
static bool read_file(int dir, const char *name, struct buf *bytes)
{
    struct stat st;
    int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
    bool done = fd >= 0 && fstat(fd, &st) == 0;
    bytes->size = 0;
    if (done &&
        ((uint64_t)st.st_size > GENERATION_MOST || buf_reserve(bytes, (size_t)st.st_size))) {
        errno = ENOMEM;
        done = false;
    }
    while (done && bytes->size < (size_t)st.st_size) {
        ssize_t n = read(fd, bytes->data + bytes->size, (size_t)st.st_size - bytes->size);
        if (n == 0)
            break;
        if (n > 0)
            bytes->size += (size_t)n;
        else if (errno != EINTR)
            done = false;
    }
    int error = errno;
    if (fd >= 0)
        close(fd);
    errno = error;
    return done;
}

bool backup_read(const struct backup *backup, uint64_t number, struct buf *bytes,
                 struct generation *ret_generation)
{
    char name[32];
    generation_name(number, name);
    if (!read_file(backup->generations, name, bytes)) {
        if (errno == ENOENT)
            complain(backup->ctl, "%s: there is no generation %" PRIu64, backup->shown, number);
        else
            complain(backup->ctl, "%s/generations/%s: %s", backup->shown, name, strerror(errno));
        return false;
    }
    int rc = generation_decode(buf_slice(bytes), ret_generation);
    if (!rc && ret_generation->number != number) {
        generation_release(ret_generation);
        rc = LSM_CORRUPTION;
    }
    if (rc)
        complain(backup->ctl, "%s/generations/%s: %s", backup->shown, name,
                 rc == LSM_CORRUPTION     ? "is damaged"
                 : rc == LSM_NEWER_FORMAT ? "of another version: a newer lsmfs is needed"
                                          : lsm_strerror(rc));
    return rc == LSM_OK;
}

bool backup_read_all(const struct backup *backup, struct generation_set *ret_set)
{
    uint64_t *numbers = NULL;
    size_t count = 0;
    *ret_set = (struct generation_set){0};
    bool done = backup_numbers(backup, &numbers, &count);
    if (done && !(ret_set->at = calloc(count + 1, sizeof *ret_set->at)))
        done = backup_failed(backup, "generations");
    for (size_t i = 0; i < count && ret_set->at; i++) {
        struct loaded_generation *loaded = &ret_set->at[ret_set->count];
        if (backup_read(backup, numbers[i], &loaded->bytes, &loaded->generation))
            ret_set->count++;
        else
            done = false; // the next one uses its memory
    }
    free(numbers);
    return done;
}

void generation_set_release(struct generation_set *set)
{
    for (size_t i = 0; i < set->count; i++)
        generation_release(&set->at[i].generation);
    // One more than `count`: reading that one may have failed halfway.
    for (size_t i = 0; set->at && i <= set->count; i++)
        buf_release(&set->at[i].bytes);
    free(set->at);
    *set = (struct generation_set){0};
}

static bool write_file(int dir, const char *name, const struct buf *bytes)
{
    int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    bool done = fd >= 0;
    for (size_t at = 0; done && at < bytes->size;) {
        ssize_t n = write(fd, bytes->data + at, bytes->size - at);
        if (n > 0)
            at += (size_t)n;
        else
            done = n < 0 && errno == EINTR;
    }
    done = done && fsync(fd) == 0;
    int error = errno;
    if (fd >= 0)
        (void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    if (fd >= 0 && close(fd) && done) {
        error = errno;
        done = false;
    }
    errno = error;
    return done;
}

bool backup_commit(const struct backup *backup, const struct generation *generation)
{
    assert(backup->lock >= 0 && backup->temporary >= 0);
    char name[32];
    struct buf bytes = {0}, again = {0};
    generation_name(generation->number, name);
    bool done = generation_encode(generation, &bytes) == LSM_OK;
    if (!done)
        errno = ENOMEM;
    done = done && write_file(backup->temporary, name, &bytes) &&
           read_file(backup->temporary, name, &again);
    if (done && !slice_equal(buf_slice(&bytes), buf_slice(&again))) {
        errno = EIO;
        done = false;
    }
    done = done && renameat(backup->temporary, name, backup->generations, name) == 0;
    if (!done) {
        int error = errno;
        unlinkat(backup->temporary, name, 0);
        errno = error;
        backup_failed(backup, "generations");
    }
    buf_release(&bytes);
    buf_release(&again);
    return done && backup_sync(backup, backup->generations);
}

bool backup_remove(const struct backup *backup, uint64_t number)
{
    char name[32];
    generation_name(number, name);
    if (unlinkat(backup->generations, name, 0) == 0)
        return backup_sync(backup, backup->generations);
    if (errno == ENOENT)
        complain(backup->ctl, "%s: there is no generation %" PRIu64, backup->shown, number);
    else
        backup_failed(backup, "generations");
    return false;
}
