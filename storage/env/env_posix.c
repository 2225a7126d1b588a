// The real system: env over POSIX and Linux calls.
//
// A directory is a descriptor, and all names are looked up from it: what becomes of its own name,
// or of the mount that it is below, does not matter to whoever has it open.
//
// Files are opened close-on-exec and created readable by their owner only: a store holds what its
// users protected with modes of their own. EINTR and short transfers are handled here.
//
// Thread safety: as env.h says. On failure outputs are untouched. Locks: env_posix_lock.c.
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/status.h"
#include "base/waits.h"
#include "env/env_posix_impl.h"

#define FILE_MODE      0600
#define DIRECTORY_MODE 0700
#define TRANSFER_MAX   ((size_t)1 << 30)

// These file systems write to a new place what is overwritten. So a store into a mapping may find
// no room on the disk although the file's space is allocated.
#define BTRFS_MAGIC    0x9123683eL
#define BCACHEFS_MAGIC 0xca451a4eL

struct posix_file {
    struct env_file base;
    int fd;
};

static int file_fd(const struct env_file *file)
{
    return ((const struct posix_file *)file)->fd;
}

static int fail(const char *what, const char *path)
{
    return status_from_errno(errno, what, path);
}

int posix_fail_at(const char *what, const struct env *env, const char *name)
{
    int error = errno;
    char path[STATUS_DETAIL_MAX];
    env_full_name(env, name, path, sizeof(path));
    return status_from_errno(error, what, path);
}

// ------------------------------------------------------------------------------------------ files

static int check_range(const struct env_file *file, uint64_t offset, uint64_t size)
{
    if (offset > INT64_MAX || size > (uint64_t)INT64_MAX - offset)
        return status_fail(LSM_INVALID, "%s: offset out of range", file->path);
    return 0;
}

static int posix_pread(struct env_file *file, void *data, size_t size, uint64_t offset,
                       size_t *ret_size)
{
    int rc = check_range(file, offset, size);
    if (rc)
        return rc;
    size_t done = 0;
    while (done < size) {
        size_t part = size - done < TRANSFER_MAX ? size - done : TRANSFER_MAX;
        uint64_t began = clock_ns();
        ssize_t n = pread(file_fd(file), (char *)data + done, part, (off_t)(offset + done));
        wait_end(WAIT_READ, began);
        if (n < 0) {
            if (errno == EINTR)
                continue;
            return fail("read", file->path);
        }
        if (n == 0)
            break;
        done += (size_t)n;
    }
    *ret_size = done;
    return 0;
}

static int posix_pwrite(struct env_file *file, const void *data, size_t size, uint64_t offset)
{
    int rc = check_range(file, offset, size);
    if (rc)
        return rc;
    size_t done = 0;
    while (done < size) {
        size_t part = size - done < TRANSFER_MAX ? size - done : TRANSFER_MAX;
        ssize_t n = pwrite(file_fd(file), (const char *)data + done, part, (off_t)(offset + done));
        if (n < 0) {
            if (errno == EINTR)
                continue;
            return fail("write", file->path);
        }
        done += (size_t)n;
    }
    return 0;
}

static uint64_t pieces_size(const struct iovec *pieces, int count)
{
    uint64_t size = 0;
    assert(count <= ENV_PIECES_MAX);
    for (int i = 0; i < count; i++)
        size += pieces[i].iov_len;
    return size;
}

static int posix_preadv(struct env_file *file, const struct iovec *pieces, int count,
                        uint64_t offset, size_t *ret_size)
{
    uint64_t size = pieces_size(pieces, count);
    int rc = check_range(file, offset, size);
    if (rc)
        return rc;
    uint64_t began = clock_ns();
    ssize_t n = preadv(file_fd(file), pieces, count, (off_t)offset);
    wait_end(WAIT_READ, began);
    if (n < 0 && errno != EINTR)
        return fail("read", file->path);
    size_t done = n > 0 ? (size_t)n : 0, before = 0;
    // What a short transfer left, piece by piece.
    for (int i = 0; i < count && done < size; before += pieces[i++].iov_len) {
        size_t skip = done - before, got;
        if (skip >= pieces[i].iov_len)
            continue;
        rc = posix_pread(file, (char *)pieces[i].iov_base + skip, pieces[i].iov_len - skip,
                         offset + done, &got);
        if (rc)
            return rc;
        done += got;
        if (got < pieces[i].iov_len - skip)
            break;
    }
    *ret_size = done;
    return 0;
}

static int posix_pwritev(struct env_file *file, const struct iovec *pieces, int count,
                         uint64_t offset)
{
    uint64_t size = pieces_size(pieces, count);
    int rc = check_range(file, offset, size);
    if (rc)
        return rc;
    ssize_t n = pwritev(file_fd(file), pieces, count, (off_t)offset);
    if (n < 0 && errno != EINTR)
        return fail("write", file->path);
    size_t done = n > 0 ? (size_t)n : 0, before = 0;
    for (int i = 0; i < count && done < size; before += pieces[i++].iov_len) {
        size_t skip = done - before;
        if (skip >= pieces[i].iov_len)
            continue;
        rc = posix_pwrite(file, (const char *)pieces[i].iov_base + skip, pieces[i].iov_len - skip,
                          offset + done);
        if (rc)
            return rc;
        done += pieces[i].iov_len - skip;
    }
    return 0;
}

// For failures that are final whatever the errno says: after a failed sync the page cache may have
// dropped what it could not write, and what could not be cut off is still in the file.
static int fail_finally(const char *what, const char *path)
{
    int rc = fail(what, path);
    return status_is_passing(rc) ? LSM_IO_ERROR : rc;
}

// Not repeated after EINTR: a failed sync may have dropped the dirty state, so that the second call
// would succeed without having written anything.
static int posix_sync(struct env_file *file)
{
    return fdatasync(file_fd(file)) ? fail_finally("sync", file->path) : 0;
}

static int posix_truncate(struct env_file *file, uint64_t size)
{
    int rc = check_range(file, size, 0);
    if (rc)
        return rc;
    while (ftruncate(file_fd(file), (off_t)size)) {
        if (errno != EINTR)
            return fail_finally("truncate", file->path);
    }
    return 0;
}

// ext4 keeps the blocks that it found for an allocation that failed. Cutting the file to the length
// that it has already gives back what lies behind its end.
static int allocate_failed(const struct env_file *file, off_t size)
{
    int rc = fail("allocate", file->path);
    while (ftruncate(file_fd(file), size) && errno == EINTR)
        ;
    return rc;
}

static int posix_allocate(struct env_file *file, uint64_t offset, uint64_t size)
{
    int rc = check_range(file, offset, size);
    if (rc)
        return rc;
    struct statfs fs;
    if (fstatfs(file_fd(file), &fs))
        return fail("statfs", file->path);
    if ((uint32_t)fs.f_type == BTRFS_MAGIC || (uint32_t)fs.f_type == BCACHEFS_MAGIC)
        return status_fail(LSM_INVALID, "%s: the file system cannot reserve space", file->path);
    struct stat before;
    if (fstat(file_fd(file), &before))
        return fail("stat", file->path);
    while (fallocate(file_fd(file), 0, (off_t)offset, (off_t)size)) {
        if (errno == EOPNOTSUPP || errno == ENOSYS)
            return status_fail(LSM_INVALID, "%s: the file system cannot pre-allocate", file->path);
        if (errno != EINTR)
            return allocate_failed(file, before.st_size);
    }
    return 0;
}

static int posix_size(struct env_file *file, uint64_t *ret_size)
{
    struct stat st;
    if (fstat(file_fd(file), &st))
        return fail("stat", file->path);
    *ret_size = (uint64_t)st.st_size;
    return 0;
}

static int posix_map(struct env_file *file, uint64_t offset, size_t size, bool writable,
                     void **ret_addr)
{
    int rc = check_range(file, offset, size);
    if (rc)
        return rc;
    int prot = writable ? PROT_READ | PROT_WRITE : PROT_READ;
    void *addr = mmap(NULL, size, prot, MAP_SHARED, file_fd(file), (off_t)offset);
    if (addr == MAP_FAILED)
        return fail("map", file->path);
    *ret_addr = addr;
    return 0;
}

static void posix_unmap(struct env_file *file, void *addr, size_t size)
{
    (void)file;
    munmap(addr, size);
}

static int posix_msync(struct env_file *file, void *addr, size_t size)
{
    size_t before = (uintptr_t)addr % (size_t)sysconf(_SC_PAGESIZE);
    return msync((char *)addr - before, size + before, MS_SYNC) ? fail_finally("sync", file->path)
                                                                : 0;
}

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 // Linux 5.14; an older kernel refuses it, which does no harm
#endif

// On a frozen file system a thread that makes a page writable stops. In madvise(), or in the fault
// of a page that is not in memory, it holds the lock on the process's memory meanwhile: no other
// thread can start a thread or get memory, so not even readers are answered. In the fault of a page
// that is in memory it holds no lock (Linux 6.7 and later). So the first page, which is in memory,
// is stored to before madvise() makes the others writable. (A freeze that begins while madvise() is
// at work is not covered.)
static void make_writable(char *addr, size_t size)
{
    size_t before = (uintptr_t)addr % (size_t)sysconf(_SC_PAGESIZE);
    __atomic_fetch_or(addr, 0, __ATOMIC_RELAXED);
    (void)madvise(addr - before, size + before, MADV_POPULATE_WRITE);
}

static void posix_advise_map(struct env_file *file, void *addr, size_t size, enum env_advice advice)
{
    static const int how[] = {
        [ENV_ADVISE_NORMAL] = MADV_NORMAL,         [ENV_ADVISE_RANDOM] = MADV_RANDOM,
        [ENV_ADVISE_SEQUENTIAL] = MADV_SEQUENTIAL, [ENV_ADVISE_WILLNEED] = MADV_WILLNEED,
        [ENV_ADVISE_DONTNEED] = MADV_DONTNEED,     [ENV_ADVISE_PRESENT] = MADV_POPULATE_READ,
    };
    (void)file;
    if (advice == ENV_ADVISE_COMPLETE)
        return;
    if (advice == ENV_ADVISE_WRITE) {
        make_writable(addr, size);
        return;
    }
    size_t before = (uintptr_t)addr % (size_t)sysconf(_SC_PAGESIZE);
    (void)madvise((char *)addr - before, size + before, how[advice]);
}

// Brings the range's pages into the page cache before it returns. Until they are mapped, they go
// when somebody asks the kernel to drop its caches.
static void read_pages(struct env_file *file, uint64_t offset, uint64_t size)
{
    const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    char byte;
    for (uint64_t at = offset; at < offset + size; at += page - at % page)
        if (pread(file_fd(file), &byte, 1, (off_t)at) < 0)
            return;
}

static void posix_advise(struct env_file *file, uint64_t offset, uint64_t size,
                         enum env_advice advice)
{
    static const int how[] = {
        [ENV_ADVISE_NORMAL] = POSIX_FADV_NORMAL,
        [ENV_ADVISE_RANDOM] = POSIX_FADV_RANDOM,
        [ENV_ADVISE_SEQUENTIAL] = POSIX_FADV_SEQUENTIAL,
        [ENV_ADVISE_WILLNEED] = POSIX_FADV_WILLNEED,
        [ENV_ADVISE_DONTNEED] = POSIX_FADV_DONTNEED,
        [ENV_ADVISE_WRITE] = POSIX_FADV_NORMAL,
    };
    if (advice == ENV_ADVISE_COMPLETE)
        return;
    if (advice == ENV_ADVISE_PRESENT) {
        read_pages(file, offset, size);
        return;
    }
    if (advice == ENV_ADVISE_WRITE_OUT) { // a failure is the sync's to report
        (void)sync_file_range(file_fd(file), (off_t)offset, (off_t)size, SYNC_FILE_RANGE_WRITE);
        return;
    }
    (void)posix_fadvise(file_fd(file), (off_t)offset, (off_t)size, how[advice]);
}

static int posix_close(struct env_file *file)
{
    int rc = 0;
    // After EINTR Linux has closed the descriptor; a second close might hit someone else's.
    if (close(file_fd(file)) && errno != EINTR)
        rc = fail("close", file->path);
    free(file->path);
    free(file);
    return rc;
}

static const struct env_ops posix_ops;

static int open_flags(int flags)
{
    assert(flags & ENV_WRITE || !(flags & (ENV_CREATE | ENV_TRUNCATE)));
    assert(flags & ENV_CREATE || !(flags & ENV_EXCL));
    int posix_flags = O_CLOEXEC | (flags & ENV_WRITE ? O_RDWR : O_RDONLY);
    if (flags & ENV_CREATE)
        posix_flags |= O_CREAT;
    if (flags & ENV_EXCL)
        posix_flags |= O_EXCL;
    if (flags & ENV_TRUNCATE)
        posix_flags |= O_TRUNC;
    return posix_flags;
}

static int open_repeatedly(int dir, const char *name, int flags)
{
    int fd;
    do {
        fd = openat(dir, name, flags, FILE_MODE);
    } while (fd < 0 && errno == EINTR);
    return fd;
}

int posix_open_fd(const struct env *env, const char *name, int flags)
{
    int fd = open_repeatedly(posix_dir_fd(env), name, flags | O_NOATIME);
    return fd < 0 && errno == EPERM ? open_repeatedly(posix_dir_fd(env), name, flags) : fd;
}

static char *copy_full_name(const struct env *env, const char *name)
{
    char *copy;
    int n = env->path ? asprintf(&copy, "%s/%s", env->path, name) : asprintf(&copy, "%s", name);
    return n < 0 ? NULL : copy;
}

static int posix_open(struct env *env, const char *path, int flags, struct env_file **ret_file)
{
    struct posix_file *file = malloc(sizeof(*file));
    char *copy = copy_full_name(env, path);
    int rc;
    if (!file || !copy) {
        rc = status_no_memory(sizeof(*file) + strlen(path));
        goto fail;
    }
    file->fd = posix_open_fd(env, path, open_flags(flags));
    if (file->fd < 0) {
        rc = fail("open", copy);
        goto fail;
    }
    file->base.ops = &posix_ops;
    file->base.path = copy;
    *ret_file = &file->base;
    return 0;
fail:
    free(copy);
    free(file);
    return rc;
}

// ------------------------------------------------------------------------------------ directories

static int posix_open_dir(struct env *env, const char *path, struct env **ret_dir)
{
    struct posix_dir *dir = malloc(sizeof(*dir));
    char *copy = copy_full_name(env, path);
    int rc;
    if (!dir || !copy) {
        rc = status_no_memory(sizeof(*dir) + strlen(path));
        goto fail;
    }
    dir->fd = posix_open_fd(env, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir->fd < 0) {
        rc = errno == ENOTDIR ? status_fail(LSM_NOT_A_STORE, "%s: not a directory", copy)
                              : fail("open", copy);
        goto fail;
    }
    dir->base = (struct env){.ops = &posix_ops, .path = copy};
    *ret_dir = &dir->base;
    return 0;
fail:
    free(copy);
    free(dir);
    return rc;
}

static void posix_close_dir(struct env *env)
{
    if (!env)
        return;
    close(posix_dir_fd(env));
    free((char *)env->path);
    free((struct posix_dir *)env);
}

// The kernel knows the name of an open directory, also after the directory was moved. Below a mount
// that was detached no name leads to the directory: the name that the kernel gives leads elsewhere
// or nowhere.
static int posix_check_dir(struct env *env)
{
    char link[64], path[PATH_MAX];
    struct stat here, there;
    if (fstat(posix_dir_fd(env), &here))
        return fail("stat", env->path);
    if (here.st_nlink == 0)
        return status_fail(LSM_NOT_FOUND, "%s was removed while it was in use", env->path);
    snprintf(link, sizeof(link), "/proc/self/fd/%d", posix_dir_fd(env));
    ssize_t n = readlink(link, path, sizeof(path) - 1);
    if (n < 0 || n >= (ssize_t)sizeof(path) - 1)
        return 0; // no /proc, or a long name: nobody can tell
    path[n] = 0;
    if (path[0] == '/' && !stat(path, &there) && there.st_dev == here.st_dev &&
        there.st_ino == here.st_ino)
        return 0;
    return status_fail(LSM_NOT_FOUND,
                       "%s: the file system that holds it was detached while it was in use",
                       env->path);
}

static int posix_stat(struct env *env, const char *path, struct env_stat *ret_stat)
{
    struct stat st;
    if (fstatat(posix_dir_fd(env), path, &st, 0))
        return posix_fail_at("stat", env, path);
    *ret_stat = (struct env_stat){.size = (uint64_t)st.st_size,
                                  .allocated_bytes = (uint64_t)st.st_blocks * 512,
                                  .modified_ns =
                                      (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec,
                                  .is_dir = S_ISDIR(st.st_mode)};
    return 0;
}

static int posix_unlink(struct env *env, const char *path)
{
    return unlinkat(posix_dir_fd(env), path, 0) ? posix_fail_at("unlink", env, path) : 0;
}

static int posix_rename(struct env *env, const char *from, const char *to)
{
    return renameat(posix_dir_fd(env), from, posix_dir_fd(env), to)
               ? posix_fail_at("rename", env, from)
               : 0;
}

static int posix_link(struct env *env, const char *from, struct env *to_dir, const char *to)
{
    return linkat(posix_dir_fd(env), from, posix_dir_fd(to_dir), to, 0)
               ? posix_fail_at("link", to_dir, to)
               : 0;
}

static int posix_mkdir(struct env *env, const char *path)
{
    return mkdirat(posix_dir_fd(env), path, DIRECTORY_MODE) ? posix_fail_at("mkdir", env, path) : 0;
}

static int posix_rmdir(struct env *env, const char *path)
{
    return unlinkat(posix_dir_fd(env), path, AT_REMOVEDIR) ? posix_fail_at("rmdir", env, path) : 0;
}

static int posix_list(struct env *env, const char *path, env_list_fn *fn, void *arg)
{
    // A descriptor of its own, since a descriptor has the place that reading has reached.
    int fd = posix_open_fd(env, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir) {
        int rc = posix_fail_at("list", env, path);
        if (fd >= 0)
            close(fd);
        return rc;
    }
    int rc = 0;
    while (rc == 0) {
        errno = 0;
        struct dirent *entry = readdir(dir);
        if (!entry) {
            if (errno)
                rc = posix_fail_at("list", env, path);
            break;
        }
        if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
            rc = fn(arg, entry->d_name);
    }
    closedir(dir);
    return rc;
}

// The env's own directory is synced through the descriptor that is open already.
static int posix_sync_dir(struct env *env, const char *path)
{
    bool here = !strcmp(path, ENV_HERE) && posix_dir_fd(env) != AT_FDCWD;
    int fd =
        here ? posix_dir_fd(env) : posix_open_fd(env, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return posix_fail_at("open", env, path);
    int rc = fsync(fd) ? posix_fail_at("sync", env, path) : 0;
    if (status_is_passing(rc))
        rc = LSM_IO_ERROR; // a failed sync is final, as in fail_finally()
    if (!here)
        close(fd);
    return rc;
}

static uint64_t limit_of(__rlimit_resource_t resource)
{
    struct rlimit limit;
    bool unlimited = getrlimit(resource, &limit) || limit.rlim_cur == RLIM_INFINITY;
    return unlimited ? UINT64_MAX : limit.rlim_cur;
}

static void posix_limits(struct env *env, uint64_t *ret_files, uint64_t *ret_file_size)
{
    (void)env;
    *ret_files = limit_of(RLIMIT_NOFILE);
    *ret_file_size = limit_of(RLIMIT_FSIZE);
}

static int posix_space(struct env *env, const char *path, uint64_t *ret_free, uint64_t *ret_total)
{
    struct statvfs fs;
    bool here = !strcmp(path, ENV_HERE) && posix_dir_fd(env) != AT_FDCWD;
    while (here ? fstatvfs(posix_dir_fd(env), &fs) : statvfs(path, &fs)) {
        if (errno != EINTR)
            return posix_fail_at("statfs", env, path);
    }
    *ret_free = (uint64_t)fs.f_bavail * fs.f_frsize;
    *ret_total = (uint64_t)fs.f_blocks * fs.f_frsize;
    return 0;
}

static const struct env_ops posix_ops = {
    .open_dir = posix_open_dir,
    .close_dir = posix_close_dir,
    .check_dir = posix_check_dir,
    .open = posix_open,
    .stat = posix_stat,
    .unlink = posix_unlink,
    .rename = posix_rename,
    .link = posix_link,
    .mkdir = posix_mkdir,
    .rmdir = posix_rmdir,
    .list = posix_list,
    .sync_dir = posix_sync_dir,
    .lock = posix_lock,
    .lock_note = posix_lock_note,
    .unlock = posix_unlock,
    .limits = posix_limits,
    .space = posix_space,
    .pread = posix_pread,
    .pwrite = posix_pwrite,
    .preadv = posix_preadv,
    .pwritev = posix_pwritev,
    .sync = posix_sync,
    .truncate = posix_truncate,
    .allocate = posix_allocate,
    .size = posix_size,
    .map = posix_map,
    .unmap = posix_unmap,
    .msync = posix_msync,
    .advise_map = posix_advise_map,
    .advise = posix_advise,
    .close = posix_close,
};

struct env *env_posix(void)
{
    static struct posix_dir here = {.base = {.ops = &posix_ops}, .fd = AT_FDCWD};
    return &here.base;
}
