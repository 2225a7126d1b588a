// Locks of the real system: flock()s, which vanish with the process.
//
// Some file systems emulate flock with locks that belong to a process and not to an open file:
// there one process would get the same lock twice. So a list of the lock files that this process
// holds is looked at first. A lock file's text names its holders: a line with the process, a line
// with its note, and so on.
//
// Thread safety: any thread; the list has a mutex.
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/lock_check.h"
#include "base/status.h"
#include "env/env_posix_impl.h"

#define HOLDERS_MAX 4096
#define NOTE_MAX    1024

extern struct lock_role posix_lock_mutex; // held across calls for lock files; no other is taken

struct env_lock {
    struct env_lock *next GUARDED_BY(posix_lock_mutex);
    bool shared;
    int fd; // -1: a reader's on a read-only file system that has no lock file
    char note[NOTE_MAX] GUARDED_BY(posix_lock_mutex); // as written
    dev_t device;
    ino_t inode;
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct env_lock *lock_list GUARDED_BY(posix_lock_mutex); // held by this process

STATIC_LOCK_FUNCTIONS(list, mutex, posix_lock_mutex)

static bool is_alive(long pid)
{
    return kill((pid_t)pid, 0) == 0 || errno == EPERM;
}

// Takes the next holder from the text of a lock file, which is changed. False at its end.
static bool next_holder(char **text, long *ret_pid, char **ret_note)
{
    char *note;
    long pid = strtol(*text, &note, 10);
    if (pid <= 0 || *note != '\n')
        return false;
    char *end = strchrnul(++note, '\n');
    *text = *end ? end + 1 : end;
    *end = 0;
    *ret_pid = pid;
    *ret_note = note;
    return true;
}

static void read_holders(int fd, char text[HOLDERS_MAX])
{
    ssize_t n = pread(fd, text, HOLDERS_MAX - 1, 0);
    text[n > 0 ? n : 0] = 0;
}

static int lock_busy(int fd, const char *path)
{
    char text[HOLDERS_MAX], *rest = text, *note;
    long pid;
    read_holders(fd, text);
    while (next_holder(&rest, &pid, &note)) {
        if (!is_alive(pid))
            continue;
        if (!*note)
            return status_fail(LSM_BUSY, "%s is in use by process %ld", path, pid);
        return status_fail(LSM_BUSY, "%s is in use by process %ld (%s)", path, pid, note);
    }
    return status_fail(LSM_BUSY, "%s is in use by another process", path);
}

static size_t add_holder(char *text, size_t size, long pid, const char *note)
{
    assert(pid > 0 && !strchr(note, '\n')); // else it could not be taken apart again
    int n = snprintf(text + size, HOLDERS_MAX - size, "%ld\n%s\n", pid, note);
    return n > 0 && (size_t)n < HOLDERS_MAX - size ? size + (size_t)n : size; // if it fits
}

// Puts this holder first in the list (`note` NULL: takes it out) and drops those that are gone. A
// full disk must not keep a store from being opened, so failures do no harm. Overwrites before it
// cuts, as that needs no new block. Two readers that write at once may lose one entry.
static void lock_describe(struct env_lock *lock, const char *note) REQUIRES(posix_lock_mutex)
{
    assert(lock->fd >= 0 || lock->shared);
    char text[HOLDERS_MAX], old[HOLDERS_MAX], line[NOTE_MAX] = "", *rest = old, *other;
    long pid, self = getpid();
    if (note)
        snprintf(line, sizeof line, "%.*s", (int)strcspn(note, "\n"), note);
    size_t size = note ? add_holder(text, 0, self, line) : 0;
    if (lock->shared) {
        read_holders(lock->fd, old);
        while (next_holder(&rest, &pid, &other))
            if (is_alive(pid) && (pid != self || strcmp(other, lock->note) != 0))
                size = add_holder(text, size, pid, other);
    }
    off_t end = pwrite(lock->fd, text, size, 0) == (ssize_t)size ? (off_t)size : 0;
    if (ftruncate(lock->fd, end))
        return;
    memcpy(lock->note, line, sizeof line);
}

static bool lock_excluded_here(dev_t device, ino_t inode, bool shared) REQUIRES(posix_lock_mutex)
{
    for (const struct env_lock *lock = lock_list; lock; lock = lock->next) {
        if (lock->device == device && lock->inode == inode && !(shared && lock->shared))
            return true;
    }
    return false;
}

// The descriptor, or -1 with errno. A reader is content with a file that cannot be written.
static int open_lock(const struct env *env, const char *name, bool shared)
{
    int fd = posix_open_fd(env, name, O_RDWR | O_CLOEXEC | (shared ? 0 : O_CREAT));
    if (fd < 0 && shared && errno != ENOENT)
        fd = posix_open_fd(env, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && shared && errno == ENOENT)
        fd = posix_open_fd(env, name, O_RDWR | O_CREAT | O_CLOEXEC);
    return fd;
}

// Locks the open `fd`. *ret_stale if `name` names another file by now: whoever held the lock before
// has removed this one.
static int lock_fd(const struct env *env, int fd, const char *name, struct env_lock *lock,
                   bool *ret_stale) REQUIRES(posix_lock_mutex)
{
    struct stat here, there;
    char path[STATUS_DETAIL_MAX];
    env_full_name(env, name, path, sizeof(path));
    if (fstat(fd, &here))
        return status_from_errno(errno, "stat", path);
    if (lock_excluded_here(here.st_dev, here.st_ino, lock->shared))
        return lock_busy(fd, path);
    while (flock(fd, (lock->shared ? LOCK_SH : LOCK_EX) | LOCK_NB)) {
        if (errno == EWOULDBLOCK)
            return lock_busy(fd, path);
        if (errno != EINTR)
            return status_from_errno(errno, "lock", path);
    }
    *ret_stale = fstatat(posix_dir_fd(env), name, &there, 0) || there.st_dev != here.st_dev ||
                 there.st_ino != here.st_ino;
    lock->fd = fd;
    lock->device = here.st_dev;
    lock->inode = here.st_ino;
    return 0;
}

static int lock_file(const struct env *env, const char *path, struct env_lock *lock)
    REQUIRES(posix_lock_mutex)
{
    bool stale;
    do {
        stale = false;
        int fd = open_lock(env, path, lock->shared);
        if (fd < 0 && errno == EROFS && lock->shared)
            return 0; // on a read-only file system without a lock file nobody else can write either
        if (fd < 0)
            return posix_fail_at("open", env, path);
        int rc = lock_fd(env, fd, path, lock, &stale);
        if (rc || stale)
            close(fd);
        if (rc)
            return rc;
    } while (stale);
    return 0;
}

int posix_lock(struct env *env, const char *path, bool shared, const char *note,
               struct env_lock **ret_lock)
{
    struct env_lock *lock = calloc(1, sizeof(*lock));
    if (!lock)
        return status_no_memory(sizeof(*lock));
    lock->shared = shared;
    lock->fd = -1;
    list_lock();
    int rc = lock_file(env, path, lock);
    if (!rc) {
        lock_describe(lock, note ? note : "");
        lock->next = lock_list;
        lock_list = lock;
        *ret_lock = lock;
    }
    list_unlock();
    if (rc)
        free(lock);
    return rc;
}

void posix_lock_note(struct env *env, struct env_lock *lock, const char *note)
{
    (void)env;
    list_lock();
    lock_describe(lock, note);
    list_unlock();
}

void posix_unlock(struct env *env, struct env_lock *lock)
{
    (void)env;
    if (!lock)
        return;
    list_lock();
    struct env_lock **link = &lock_list;
    while (*link && *link != lock)
        link = &(*link)->next;
    assert(*link);
    *link = lock->next;
    if (lock->shared)
        lock_describe(lock, NULL);
    if (lock->fd >= 0)
        close(lock->fd);
    list_unlock();
    free(lock);
}
