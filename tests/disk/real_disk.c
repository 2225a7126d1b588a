// See real_disk.h. The names of the functions are the linker's (--wrap).
//
// The mutex is held over each call and its note, so that the model sees them in the order in which
// the file system has made them. Bytes are taken from the real files when they are synced, and at
// the cut.
#include "disk/real_disk.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "disk/fault_disk.h"

#pragma GCC diagnostic ignored "-Wmissing-prototypes" // the linker calls them

#define MAPPINGS 256

struct mapping { // of a file in the model
    char *addr;
    size_t size, offset;
    struct inode *inode;
    int fd; // the file's, ours
};

static struct {
    pthread_mutex_t mutex;
    char root[PATH_MAX];
    size_t root_size; // 0: not begun
    struct disk *disk;
    uint64_t calls, cut_at; // 0: never
    struct mapping mappings[MAPPINGS];
} real = {.mutex = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP}; // the model maps memory itself

int __real_open64(const char *path, int flags, ...);
int __real_openat64(int dir, const char *path, int flags, ...);
int __real_mkdirat(int dir, const char *path, mode_t mode);
int __real_unlinkat(int dir, const char *path, int flags);
int __real_renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags);
int __real_linkat(int from_dir, const char *from, int to_dir, const char *to, int flags);
void *__real_mmap64(void *addr, size_t size, int prot, int flags, int fd, off_t offset);
int __real_munmap(void *addr, size_t size);
ssize_t __real_write(int fd, const void *data, size_t size);
ssize_t __real_pwrite64(int fd, const void *data, size_t size, off_t offset);
ssize_t __real_pwritev64(int fd, const struct iovec *pieces, int count, off_t offset);
int __real_ftruncate64(int fd, off_t size);
int __real_fallocate64(int fd, int mode, off_t offset, off_t size);

// ------------------------------------------------------------------------------- paths

// The model's name for a path of the system; false: it does not lie below the directory.
static bool model_path(int dir, const char *path, char ret_path[PATH_MAX])
{
    char whole[2 * PATH_MAX], link[64];
    size_t size = 0;
    if (!real.root_size)
        return false;
    if (*path != '/') {
        snprintf(link, sizeof link, "/proc/self/fd/%d", dir);
        ssize_t n = dir == AT_FDCWD ? (getcwd(whole, PATH_MAX) ? (ssize_t)strlen(whole) : -1)
                                    : readlink(link, whole, PATH_MAX);
        if (n < 0)
            return false;
        size = (size_t)n;
        whole[size++] = '/';
    }
    snprintf(whole + size, sizeof whole - size, "%s", path);
    for (size = strlen(whole); size > 1 && whole[size - 1] == '/';)
        whole[--size] = 0;
    size_t up = strlen("/..");
    if (size > up && strcmp(whole + size - up, "/..") == 0) { // at the end only
        whole[size - up] = 0;
        *strrchr(whole, '/') = 0;
    }
    if (size > 2 && strcmp(whole + strlen(whole) - 2, "/.") == 0)
        whole[strlen(whole) - 2] = 0;
    if (strncmp(whole, real.root, real.root_size) != 0 ||
        (whole[real.root_size] && whole[real.root_size] != '/'))
        return false;
    snprintf(ret_path, PATH_MAX, "%s", whole[real.root_size] ? whole + real.root_size : "/");
    return true;
}

static bool model_path_of(int fd, char ret_path[PATH_MAX])
{
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n < 0 || *path != '/')
        return false;
    path[n] = 0;
    return model_path(AT_FDCWD, path, ret_path);
}

static struct inode *inode_of(int fd)
{
    char path[PATH_MAX];
    return model_path_of(fd, path) ? disk_lookup(real.disk, path) : NULL;
}

static struct dir_change change_of(const char *path, struct inode *inode)
{
    struct dir_change change = {.inode = inode};
    change.dir = disk_parent(real.disk, path, &change.name);
    assert(change.dir);
    return change;
}

static void change_name(const char *path, struct inode *inode)
{
    struct dir_change change = change_of(path, inode);
    disk_change(real.disk, &change, 1);
}

static void add(const char *path, bool is_dir)
{
    struct inode *inode = disk_inode_new(real.disk, is_dir);
    inode->mapped_writable = true; // all pages are compared
    change_name(path, inode);
    inode_unref(real.disk, inode);
}

// ------------------------------------------------------------------------------- calls

// Begins a call; it is over with end_call(). False: it fails, errno is set.
static bool begin_call(bool counted)
{
    pthread_mutex_lock(&real.mutex);
    if (!counted)
        return true;
    real.calls++;
    if (!real.cut_at || real.calls < real.cut_at)
        return true;
    errno = EIO;
    return false;
}

static void end_call(void)
{
    int error = errno;
    pthread_mutex_unlock(&real.mutex);
    errno = error;
}

static void load(struct inode *inode, int fd)
{
    struct stat st;
    char block[65536];
    if (fstat(fd, &st))
        abort();
    inode_resize(inode, (size_t)st.st_size);
    // What is a hole has been one all the time: logs are large, and mostly that.
    for (off_t at = lseek(fd, 0, SEEK_DATA); at >= 0; at = lseek(fd, at, SEEK_DATA)) {
        ssize_t n = pread(fd, block, sizeof block, at);
        if (n <= 0)
            abort();
        inode_write(inode, block, (size_t)n, (size_t)at);
        at += n;
    }
}

// The file's bytes, read through a handle of its own: `fd` may be for writing only.
static void load_again(struct inode *inode, int fd)
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    int again = __real_open64(link, O_RDONLY | O_CLOEXEC);
    if (again < 0)
        abort();
    load(inode, again);
    close(again);
}

static int open_at(int dir, const char *path, int flags, mode_t mode)
{
    char name[PATH_MAX];
    bool is_ours = model_path(dir, path, name);
    bool makes = is_ours && (flags & O_CREAT) && !disk_lookup(real.disk, name);
    if (!begin_call(makes || (is_ours && (flags & O_TRUNC)))) {
        end_call();
        return -1;
    }
    int fd = __real_openat64(dir, path, flags, mode);
    if (fd >= 0 && makes)
        add(name, false);
    end_call();
    return fd;
}

int __wrap_openat64(int dir, const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    mode_t mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;
    va_end(args);
    return open_at(dir, path, flags, mode);
}

int __wrap_open64(const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    mode_t mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;
    va_end(args);
    return open_at(AT_FDCWD, path, flags, mode);
}

int __wrap_mkdirat(int dir, const char *path, mode_t mode)
{
    char name[PATH_MAX];
    bool is_ours = model_path(dir, path, name);
    int rc = begin_call(is_ours) ? __real_mkdirat(dir, path, mode) : -1;
    if (!rc && is_ours)
        add(name, true);
    end_call();
    return rc;
}

int __wrap_mkdir(const char *path, mode_t mode)
{
    return __wrap_mkdirat(AT_FDCWD, path, mode);
}

int __wrap_unlinkat(int dir, const char *path, int flags)
{
    char name[PATH_MAX];
    bool is_ours = model_path(dir, path, name);
    int rc = begin_call(is_ours) ? __real_unlinkat(dir, path, flags) : -1;
    if (!rc && is_ours)
        change_name(name, NULL);
    end_call();
    return rc;
}

int __wrap_rmdir(const char *path)
{
    return __wrap_unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
}

int __wrap_renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
    char old[PATH_MAX], new[PATH_MAX];
    bool is_ours = model_path(from_dir, from, old) && model_path(to_dir, to, new);
    int rc = begin_call(is_ours) ? __real_renameat2(from_dir, from, to_dir, to, flags) : -1;
    if (!rc && is_ours) {
        struct inode *moved = disk_lookup(real.disk, old), *other = disk_lookup(real.disk, new);
        struct dir_change changes[] = {change_of(old, flags & RENAME_EXCHANGE ? other : NULL),
                                       change_of(new, moved)};
        disk_change(real.disk, changes, 2);
    }
    end_call();
    return rc;
}

int __wrap_renameat(int from_dir, const char *from, int to_dir, const char *to)
{
    return __wrap_renameat2(from_dir, from, to_dir, to, 0);
}

int __wrap_rename(const char *from, const char *to)
{
    return __wrap_renameat2(AT_FDCWD, from, AT_FDCWD, to, 0);
}

int __wrap_linkat(int from_dir, const char *from, int to_dir, const char *to, int flags)
{
    char old[PATH_MAX], new[PATH_MAX];
    bool is_ours = model_path(from_dir, from, old) && model_path(to_dir, to, new);
    int rc = begin_call(is_ours) ? __real_linkat(from_dir, from, to_dir, to, flags) : -1;
    if (!rc && is_ours)
        change_name(new, disk_lookup(real.disk, old));
    end_call();
    return rc;
}

// Nothing is really synced: the model is what counts.
static int sync_fd(int fd)
{
    char name[PATH_MAX];
    bool is_ours = model_path_of(fd, name);
    int rc = begin_call(is_ours) ? 0 : -1;
    struct inode *inode = !rc && is_ours ? disk_lookup(real.disk, name) : NULL;
    if (inode && inode->is_dir) {
        disk_sync_dir(real.disk, inode);
    } else if (inode) {
        load_again(inode, fd);
        inode_sync(inode);
    }
    end_call();
    return rc;
}

int __wrap_fsync(int fd)
{
    return sync_fd(fd);
}

int __wrap_fdatasync(int fd)
{
    return sync_fd(fd);
}

// ------------------------------------------------------------------------------- content

// Content is looked at later; the calls only have to fail after a cut.
#define CONTENT_CALL(fd, call)                                                                     \
    char name[PATH_MAX];                                                                           \
    bool goes_on = begin_call(model_path_of(fd, name));                                            \
    end_call();                                                                                    \
    return goes_on ? (call) : -1

ssize_t __wrap_write(int fd, const void *data, size_t size)
{
    CONTENT_CALL(fd, __real_write(fd, data, size));
}

ssize_t __wrap_pwrite64(int fd, const void *data, size_t size, off_t offset)
{
    CONTENT_CALL(fd, __real_pwrite64(fd, data, size, offset));
}

ssize_t __wrap_pwritev64(int fd, const struct iovec *pieces, int count, off_t offset)
{
    CONTENT_CALL(fd, __real_pwritev64(fd, pieces, count, offset));
}

int __wrap_ftruncate64(int fd, off_t size)
{
    CONTENT_CALL(fd, __real_ftruncate64(fd, size));
}

int __wrap_fallocate64(int fd, int mode, off_t offset, off_t size)
{
    CONTENT_CALL(fd, __real_fallocate64(fd, mode, offset, size));
}

void *__wrap_mmap64(void *addr, size_t size, int prot, int flags, int fd, off_t offset)
{
    (void)begin_call(false);
    void *mapped = __real_mmap64(addr, size, prot, flags, fd, offset);
    struct inode *inode =
        mapped != MAP_FAILED && fd >= 0 && prot & PROT_WRITE ? inode_of(fd) : NULL;
    for (size_t i = 0; inode; i++) {
        assert(i < MAPPINGS);
        if (real.mappings[i].addr)
            continue;
        inode_ref(inode);
        real.mappings[i] = (struct mapping){mapped, size, (size_t)offset, inode, dup(fd)};
        break;
    }
    end_call();
    return mapped;
}

static struct mapping *mapping_find(const char *addr)
{
    for (size_t i = 0; i < MAPPINGS; i++) {
        struct mapping *mapping = &real.mappings[i];
        if (mapping->addr && addr >= mapping->addr && addr < mapping->addr + mapping->size)
            return mapping;
    }
    return NULL;
}

int __wrap_munmap(void *addr, size_t size)
{
    (void)begin_call(false);
    struct mapping *mapping = mapping_find(addr);
    int rc = __real_munmap(addr, size);
    if (mapping && mapping->addr == addr && mapping->size == size) {
        inode_unref(real.disk, mapping->inode);
        close(mapping->fd);
        mapping->addr = NULL;
    }
    end_call();
    return rc;
}

int __wrap_msync(void *addr, size_t size, int flags)
{
    (void)flags;
    pthread_mutex_lock(&real.mutex);
    struct mapping *mapping = mapping_find(addr);
    pthread_mutex_unlock(&real.mutex);
    int rc = begin_call(mapping != NULL) ? 0 : -1;
    if (!rc && mapping) {
        load_again(mapping->inode, mapping->fd);
        inode_sync_range(mapping->inode, mapping->offset + (size_t)((char *)addr - mapping->addr),
                         size);
    }
    end_call();
    return rc;
}

// ------------------------------------------------------------------------------- the whole

static bool is_dots(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

// Calls `fn` for what is in the real directory, with paths of the model.
static void each_real(const char *path, void (*fn)(const char *path, bool is_dir))
{
    char whole[2 * PATH_MAX], inner[PATH_MAX];
    snprintf(whole, sizeof whole, "%s%s", real.root, path);
    DIR *dir = opendir(whole);
    if (!dir)
        abort();
    for (struct dirent *entry; (entry = readdir(dir));) {
        if (is_dots(entry->d_name))
            continue;
        if (snprintf(inner, sizeof inner, "%s/%s", strcmp(path, "/") ? path : "", entry->d_name) >=
            (int)sizeof inner)
            abort();
        fn(inner, entry->d_type == DT_DIR);
    }
    closedir(dir);
}

static void note_real(const char *path, bool is_dir)
{
    char whole[2 * PATH_MAX];
    struct inode *inode = disk_lookup(real.disk, path);
    if (!inode) {
        add(path, is_dir);
        inode = disk_lookup(real.disk, path);
    }
    if (is_dir) {
        each_real(path, note_real);
        return;
    }
    snprintf(whole, sizeof whole, "%s%s", real.root, path);
    int fd = __real_open64(whole, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        abort();
    load(inode, fd);
    close(fd);
}

static void sync_all(struct inode *inode)
{
    if (!inode->is_dir) {
        inode_sync(inode);
        return;
    }
    disk_sync_dir(real.disk, inode);
    for (size_t i = 0; i < inode->entries.count; i++)
        sync_all(inode->entries.entries[i].inode);
}

static void remove_real(const char *path, bool is_dir)
{
    char whole[2 * PATH_MAX];
    if (is_dir)
        each_real(path, remove_real);
    snprintf(whole, sizeof whole, "%s%s", real.root, path);
    if (__real_unlinkat(AT_FDCWD, whole, is_dir ? AT_REMOVEDIR : 0))
        abort();
}

static void write_bytes(int fd, const struct image *image)
{
    static const char zeros[DISK_PAGE];
    if (__real_ftruncate64(fd, (off_t)image->size))
        abort();
    for (size_t at = 0; at < image->size; at += DISK_PAGE) {
        size_t size = image->size - at < DISK_PAGE ? image->size - at : DISK_PAGE;
        if (memcmp(image->base + at, zeros, size) != 0 &&
            __real_pwrite64(fd, image->base + at, size, (off_t)at) != (ssize_t)size)
            abort();
    }
}

// What the model has, into the real directory. Hard links become files of their own.
static void write_real(const char *whole, const struct inode *dir)
{
    char inner[2 * PATH_MAX];
    for (size_t i = 0; i < dir->entries.count; i++) {
        const struct inode *inode = dir->entries.entries[i].inode;
        if (snprintf(inner, sizeof inner, "%s/%s", whole, dir->entries.entries[i].name) >=
            (int)sizeof inner)
            abort();
        if (inode->is_dir) {
            if (__real_mkdirat(AT_FDCWD, inner, 0700))
                abort();
            write_real(inner, inode);
            continue;
        }
        int fd = __real_open64(inner, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd < 0)
            abort();
        write_bytes(fd, inode->current);
        close(fd);
    }
}

static void forget_disk(void)
{
    for (size_t i = 0; i < MAPPINGS; i++)
        assert(!real.mappings[i].addr); // something is open
    disk_free(real.disk);
    real.disk = NULL;
}

static void take_real(void)
{
    real.disk = disk_new();
    each_real("/", note_real);
    sync_all(disk_root(real.disk));
}

void real_disk_begin(const char *directory)
{
    real.root_size = strlen(directory);
    assert(*directory == '/' && real.root_size > 1 && real.root_size < sizeof real.root);
    strcpy(real.root, directory);
    take_real();
}

void real_disk_end(void)
{
    forget_disk();
    real.root_size = 0;
    real.cut_at = 0;
}

uint64_t real_disk_cut_at(uint64_t call)
{
    pthread_mutex_lock(&real.mutex);
    uint64_t before = real.calls;
    real.cut_at = call ? before + call : 0;
    pthread_mutex_unlock(&real.mutex);
    return before;
}

void real_disk_power_cut(uint64_t seed)
{
    each_real("/", note_real); // what was not synced
    disk_crash(real.disk, seed);
    each_real("/", remove_real);
    write_real(real.root, disk_root(real.disk));
    forget_disk();
    take_real();
    real.cut_at = 0;
}
