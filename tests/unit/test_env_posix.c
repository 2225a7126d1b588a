// The real system behind env, and what env_util builds on it.
#include "quick_check.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/status.h"
#include "env/env.h"

static struct env *env;
static char dir[64];

static void setup(void)
{
    env = env_posix();
    strcpy(dir, "/tmp/test_env.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
}

static int remove_name(void *arg, const char *name)
{
    char path[512];
    (void)arg;
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    return env->ops->unlink(env, path);
}

static void teardown(void)
{
    ck_assert_int_eq(env->ops->list(env, dir, remove_name, NULL), 0);
    ck_assert_int_eq(env->ops->rmdir(env, dir), 0);
}

// Two at a time.
static const char *in_dir(const char *name)
{
    static char paths[2][128];
    static unsigned turn;
    char *path = paths[turn++ % 2];
    snprintf(path, sizeof(paths[0]), "%s/%s", dir, name);
    return path;
}

static struct env_file *open_new(const char *name)
{
    struct env_file *file;
    ck_assert_int_eq(env_open(env, in_dir(name), ENV_WRITE | ENV_CREATE | ENV_EXCL, &file), 0);
    return file;
}

START_TEST(test_files)
{
    struct env_file *file = open_new("a"), *other = NULL;
    char data[32];
    size_t got = 99;
    uint64_t size;
    struct env_stat st;
    struct stat real;
    ck_assert_int_eq(env_pwrite(file, "hello world", 11, 5), 0);
    ck_assert_int_eq(env_pread(file, data, 32, 5, &got), 0);
    ck_assert_uint_eq(got, 11);
    ck_assert_mem_eq(data, "hello world", 11);
    ck_assert_int_eq(env_pread(file, data, 32, 500, &got), 0);
    ck_assert_uint_eq(got, 0);
    ck_assert_int_eq(env_pread(file, data, 1, UINT64_MAX, &got), LSM_INVALID);
    ck_assert_int_eq(env_sync(file), 0);
    ck_assert_int_eq(file->ops->truncate(file, 8), 0);
    ck_assert_int_eq(file->ops->size(file, &size), 0);
    ck_assert_uint_eq(size, 8);
    ck_assert_int_eq(stat(in_dir("a"), &real), 0);
    ck_assert_uint_eq(real.st_mode & 0777, 0600);
    ck_assert_int_eq(env_close(file), 0);
    ck_assert_int_eq(env_close(NULL), 0);
    ck_assert_int_eq(env_open(env, in_dir("a"), ENV_WRITE | ENV_CREATE | ENV_EXCL, &other),
                     LSM_EXISTS);
    ck_assert_int_eq(env_open(env, in_dir("b"), ENV_READ, &other), LSM_NOT_FOUND);
    ck_assert_ptr_null(other);
    ck_assert_int_eq(env_open(env, in_dir("a"), ENV_READ, &other), 0);
    ck_assert_int_eq(env_pwrite(other, "x", 1, 0), LSM_IO_ERROR);
    ck_assert_ptr_nonnull(strstr(lsm_error_detail(), dir));
    ck_assert_int_eq(env_close(other), 0);
    ck_assert_int_eq(env_open(env, in_dir("a"), ENV_WRITE | ENV_TRUNCATE, &other), 0);
    ck_assert_int_eq(env_close(other), 0);
    ck_assert_int_eq(env->ops->stat(env, in_dir("a"), &st), 0);
    ck_assert_uint_eq(st.size, 0);
    ck_assert(!st.is_dir);
    ck_assert_int_eq(env->ops->stat(env, dir, &st), 0);
    ck_assert(st.is_dir);
    ck_assert_int_eq(env->ops->stat(env, in_dir("b"), &st), LSM_NOT_FOUND);
}
END_TEST

START_TEST(test_mapping)
{
    struct env_file *file = open_new("a");
    void *map, *view;
    struct env_stat st;
    ck_assert_int_eq(file->ops->allocate(file, 0, 65536), 0);
    ck_assert_int_eq(env->ops->stat(env, in_dir("a"), &st), 0);
    ck_assert_uint_eq(st.size, 65536);
    ck_assert_uint_ge(st.allocated_bytes, 65536);
    ck_assert_int_eq(file->ops->map(file, 4096, 8192, true, &map), 0);
    ck_assert_int_eq(file->ops->map(file, 0, 65536, false, &view), 0);
    file->ops->advise_map(file, view, 65536, ENV_ADVISE_RANDOM);
    file->ops->advise(file, 0, 65536, ENV_ADVISE_WILLNEED);
    memcpy((char *)map + 100, "mapped", 6);
    ck_assert_int_eq(file->ops->msync(file, (char *)map + 100, 6), 0);
    ck_assert_mem_eq((char *)view + 4196, "mapped", 6);
    char data[6];
    size_t got;
    ck_assert_int_eq(env_pread(file, data, 6, 4196, &got), 0);
    ck_assert_mem_eq(data, "mapped", 6);
    // What is ahead is brought into memory and made writable, and stays what it is.
    unsigned char there[16];
    file->ops->advise(file, 0, 0, ENV_ADVISE_RANDOM);
    file->ops->advise(file, 4100, 8000, ENV_ADVISE_PRESENT);
    ck_assert_int_eq(mincore(view, 65536, there), 0);
    ck_assert(there[1] & 1 && there[2] & 1);
    file->ops->advise_map(file, (char *)map + 4096 + 50, 2000, ENV_ADVISE_WRITE);
    ck_assert_mem_eq((char *)view + 4196, "mapped", 6);
    for (size_t i = 4202; i < 65536; i++)
        ck_assert_int_eq(((char *)view)[i], 0);
    file->ops->unmap(file, map, 8192);
    file->ops->unmap(file, view, 65536);
    ck_assert_int_eq(file->ops->map(file, 0, 0, false, &map), LSM_IO_ERROR);
    ck_assert_int_eq(env_close(file), 0);
}
END_TEST

static int count_names(void *arg, const char *name)
{
    (void)name;
    return ++*(int *)arg == 2 ? 55 : 0;
}

// A directory that is open stays the same one wherever it goes, and says when it is gone.
START_TEST(test_open_directory)
{
    struct env *at, *lost;
    struct env_file *file;
    struct env_lock *lock, *other;
    struct env_stat st;
    uint64_t available, total;
    ck_assert_int_eq(env->ops->open_dir(env, in_dir("d"), &at), LSM_NOT_FOUND);
    ck_assert_int_eq(env_close(open_new("a")), 0);
    ck_assert_int_eq(env->ops->open_dir(env, in_dir("a"), &at), LSM_NOT_A_STORE);
    ck_assert_int_eq(env->ops->mkdir(env, in_dir("d")), 0);
    ck_assert_int_eq(env->ops->open_dir(env, in_dir("d"), &at), 0);
    ck_assert_int_eq(at->ops->check_dir(at), 0);
    ck_assert_int_eq(env->ops->rename(env, in_dir("d"), in_dir("e")), 0);
    ck_assert_int_eq(env->ops->mkdir(env, in_dir("d")), 0);
    ck_assert_int_eq(at->ops->check_dir(at), 0);
    ck_assert_int_eq(env_open(at, "f", ENV_WRITE | ENV_CREATE | ENV_EXCL, &file), 0);
    ck_assert_int_eq(env_close(file), 0);
    ck_assert_int_eq(at->ops->rename(at, "f", "g"), 0);
    ck_assert_int_eq(at->ops->mkdir(at, "lost"), 0);
    ck_assert_int_eq(at->ops->open_dir(at, "lost", &lost), 0);
    ck_assert_int_eq(at->ops->link(at, "g", lost, "h"), 0);
    ck_assert_int_eq(at->ops->sync_dir(at, ENV_HERE), 0);
    ck_assert_int_eq(at->ops->space(at, ENV_HERE, &available, &total), 0);
    ck_assert_int_eq(env->ops->stat(env, in_dir("e/lost/h"), &st), 0);
    ck_assert_int_eq(at->ops->lock(at, "LOCK", false, NULL, &lock), 0);
    ck_assert_int_eq(env->ops->lock(env, in_dir("e/LOCK"), false, NULL, &other), LSM_BUSY);
    at->ops->unlock(at, lock);
    ck_assert_int_eq(lost->ops->unlink(lost, "h"), 0);
    env->ops->close_dir(lost);
    ck_assert_int_eq(at->ops->rmdir(at, "lost"), 0);
    ck_assert_int_eq(at->ops->unlink(at, "g"), 0);
    ck_assert_int_eq(at->ops->unlink(at, "LOCK"), 0);
    ck_assert_int_eq(env->ops->rmdir(env, in_dir("e")), 0);
    ck_assert_int_eq(at->ops->check_dir(at), LSM_NOT_FOUND);
    ck_assert_int_eq(env_open(at, "f", ENV_WRITE | ENV_CREATE, &file), LSM_NOT_FOUND);
    env->ops->close_dir(at);
    ck_assert_int_eq(env->ops->rmdir(env, in_dir("d")), 0);
}
END_TEST

START_TEST(test_directories)
{
    int count = 0;
    uint64_t available, total;
    ck_assert_int_eq(env_close(open_new("a")), 0);
    ck_assert_int_eq(env->ops->link(env, in_dir("a"), env, in_dir("b")), 0);
    ck_assert_int_eq(env->ops->link(env, in_dir("a"), env, in_dir("b")), LSM_EXISTS);
    ck_assert_int_eq(env->ops->rename(env, in_dir("a"), in_dir("c")), 0);
    ck_assert_int_eq(env->ops->rename(env, in_dir("a"), in_dir("c")), LSM_NOT_FOUND);
    ck_assert_int_eq(env->ops->mkdir(env, in_dir("d")), 0);
    ck_assert_int_eq(env->ops->mkdir(env, in_dir("d")), LSM_EXISTS);
    ck_assert_int_eq(env->ops->list(env, dir, count_names, &count), 55);
    ck_assert_int_eq(count, 2);
    ck_assert_int_eq(env->ops->list(env, in_dir("d"), count_names, &count), 0);
    ck_assert_int_eq(env->ops->list(env, in_dir("e"), count_names, &count), LSM_NOT_FOUND);
    ck_assert_int_eq(env->ops->rmdir(env, in_dir("d")), 0);
    ck_assert_int_eq(env->ops->sync_dir(env, dir), 0);
    ck_assert_int_eq(env->ops->sync_dir(env, in_dir("d")), LSM_NOT_FOUND);
    ck_assert_int_eq(env->ops->space(env, dir, &available, &total), 0);
    ck_assert_uint_gt(total, 0);
    ck_assert_uint_le(available, total);
}
END_TEST

START_TEST(test_lock_in_process)
{
    struct env_lock *lock, *other = NULL;
    char expected[256];
    ck_assert_int_eq(env->ops->lock(env, in_dir("LOCK"), false, "mounted on /mnt", &lock), 0);
    const char *path = in_dir("LOCK");
    ck_assert_int_eq(env->ops->lock(env, path, false, NULL, &other), LSM_BUSY);
    ck_assert_ptr_null(other);
    snprintf(expected, sizeof(expected), "%s is in use by process %ld (mounted on /mnt)", path,
             (long)getpid());
    ck_assert_str_eq(lsm_error_detail(), expected);
    // The refused attempt has not let go of the first lock.
    ck_assert_int_eq(env->ops->lock(env, path, false, NULL, &other), LSM_BUSY);
    env->ops->unlock(env, lock);
    env->ops->unlock(env, NULL);
    ck_assert_int_eq(env->ops->lock(env, path, false, NULL, &lock), 0);
    ck_assert_int_eq(env->ops->lock(env, path, false, NULL, &other), LSM_BUSY);
    ck_assert_ptr_null(strchr(lsm_error_detail(), '('));
    // A removed lock file does not lock the new one of its name.
    ck_assert_int_eq(env->ops->unlink(env, path), 0);
    ck_assert_int_eq(env->ops->lock(env, path, false, NULL, &other), 0);
    env->ops->unlock(env, lock);
    env->ops->unlock(env, other);
}
END_TEST

START_TEST(test_shared_locks)
{
    struct env_lock *one, *two, *writer = NULL;
    char *path = strdup(in_dir("LOCK")), *data, expected[256];
    size_t size;
    ck_assert_int_eq(env->ops->lock(env, path, true, "one", &one), 0);
    ck_assert_int_eq(env->ops->lock(env, path, true, "two", &two), 0);
    ck_assert_int_eq(env->ops->lock(env, path, false, NULL, &writer), LSM_BUSY);
    snprintf(expected, sizeof expected, "process %ld (two)", (long)getpid());
    ck_assert_ptr_nonnull(strstr(lsm_error_detail(), expected));
    env->ops->lock_note(env, two, "closing: two");
    env->ops->unlock(env, two);
    ck_assert_int_eq(env->ops->lock(env, path, false, NULL, &writer), LSM_BUSY);
    snprintf(expected, sizeof expected, "%ld\none\n", (long)getpid());
    ck_assert_int_eq(env_read_file(env, path, 4096, &data, &size), 0);
    ck_assert_str_eq(data, expected);
    free(data);
    env->ops->unlock(env, one);
    ck_assert_int_eq(env->ops->lock(env, path, false, "writer", &writer), 0);
    ck_assert_int_eq(env->ops->lock(env, path, true, NULL, &one), LSM_BUSY);
    ck_assert_ptr_nonnull(strstr(lsm_error_detail(), "(writer)"));
    env->ops->unlock(env, writer);
    free(path);
}
END_TEST

// Of holders that are gone nothing is said, whatever the file says.
START_TEST(test_lock_text_of_the_dead)
{
    struct env_lock *one, *writer;
    char path[256];
    snprintf(path, sizeof path, "%s", in_dir("LOCK"));
    pid_t child = fork();
    if (child == 0)
        _exit(env->ops->lock(env, path, true, "child", &one) ? 1 : 0);
    ck_assert_int_eq(waitpid(child, NULL, 0), child);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    ck_assert_int_eq(flock(fd, LOCK_SH), 0);
    ck_assert_int_eq(env->ops->lock(env, path, false, NULL, &writer), LSM_BUSY);
    ck_assert_ptr_nonnull(strstr(lsm_error_detail(), "another process"));
    ck_assert_int_eq(env->ops->lock(env, path, true, "one", &one), 0);
    ck_assert_int_eq(env->ops->lock(env, path, false, NULL, &writer), LSM_BUSY);
    ck_assert_ptr_nonnull(strstr(lsm_error_detail(), "(one)"));
    env->ops->unlock(env, one);
    close(fd);
}
END_TEST

START_TEST(test_lock_of_another_process)
{
    int ready[2], go[2];
    char byte;
    ck_assert_int_eq(pipe(ready), 0);
    ck_assert_int_eq(pipe(go), 0);
    const char *path = in_dir("LOCK");
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        struct env_lock *mine;
        close(go[1]);
        int rc = env->ops->lock(env, path, false, "child", &mine);
        if (write(ready[1], rc ? "n" : "y", 1) != 1 || read(go[0], &byte, 1) < 0)
            _exit(1);
        _exit(0); // without unlocking
    }
    ck_assert_int_eq(read(ready[0], &byte, 1), 1);
    ck_assert_int_eq(byte, 'y');
    struct env_lock *lock;
    char expected[64];
    ck_assert_int_eq(env->ops->lock(env, path, false, NULL, &lock), LSM_BUSY);
    snprintf(expected, sizeof(expected), "process %ld (child)", (long)child);
    ck_assert_ptr_nonnull(strstr(lsm_error_detail(), expected));
    close(go[1]);
    ck_assert_int_eq(waitpid(child, NULL, 0), child);
    ck_assert_int_eq(env->ops->lock(env, path, false, NULL, &lock), 0);
    env->ops->unlock(env, lock);
    close(go[0]);
    close(ready[0]);
    close(ready[1]);
}
END_TEST

START_TEST(test_whole_files)
{
    char *data = NULL;
    size_t size;
    struct env *at;
    ck_assert_int_eq(env->ops->open_dir(env, dir, &at), 0);
    ck_assert_int_eq(env_write_file_atomic(at, "CURRENT", "one", 3), 0);
    ck_assert_int_eq(env_write_file_atomic(at, "CURRENT", "three", 5), 0);
    ck_assert_int_eq(env_write_file_atomic(at, "none/CURRENT", "x", 1), LSM_NOT_FOUND);
    env->ops->close_dir(at);
    ck_assert_int_eq(env_read_file(env, in_dir("CURRENT"), 4, &data, &size), LSM_INVALID);
    ck_assert_ptr_null(data);
    ck_assert_int_eq(env_read_file(env, in_dir("CURRENT"), 5, &data, &size), 0);
    ck_assert_uint_eq(size, 5);
    ck_assert_str_eq(data, "three");
    free(data);
    struct env_stat st;
    ck_assert_int_eq(env->ops->stat(env, in_dir("CURRENT.tmp"), &st), LSM_NOT_FOUND);
}
END_TEST

// A file of somebody else's can be read: it is opened without leaving out access times, which only
// its owner may.
START_TEST(test_file_of_another)
{
    pid_t child = fork();
    if (child == 0) {
        struct env_file *file;
        char byte;
        size_t size = 0;
        if (geteuid() == 0 && setuid(65534))
            _exit(1);
        if (env_open(env, "/etc/passwd", ENV_READ, &file) || // root's
            env_pread(file, &byte, 1, 0, &size) || size != 1)
            _exit(2);
        _exit(env_close(file) ? 3 : 0);
    }
    int status;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
}
END_TEST

START_TEST(test_writer)
{
    struct env_file *file = open_new("a");
    struct env_writer *writer;
    char chunk[100], *data;
    size_t size, total = 0;
    uint64_t written;
    ck_assert_int_eq(env_writer_new(file, 64, 0, &writer), 0);
    for (unsigned i = 0; i < 100; i++) {
        memset(chunk, (int)i, i);
        ck_assert_int_eq(env_writer_append(writer, chunk, i), 0);
        total += i;
        ck_assert_uint_eq(env_writer_offset(writer), total);
        ck_assert_int_eq(file->ops->size(file, &written), 0);
        ck_assert_uint_eq(written % 64, 0); // whole buffers
        ck_assert_uint_le(total - written, 64);
    }
    ck_assert_int_eq(env_writer_flush(writer), 0);
    ck_assert_int_eq(env_writer_flush(writer), 0);
    env_writer_free(writer);
    env_writer_free(NULL);
    ck_assert_int_eq(env_close(file), 0);
    ck_assert_int_eq(env_read_file(env, in_dir("a"), 1 << 20, &data, &size), 0);
    ck_assert_uint_eq(size, total);
    const char *p = data;
    for (unsigned i = 0; i < 100; i++) {
        for (unsigned k = 0; k < i; k++)
            ck_assert_int_eq(*p++, (char)i);
    }
    free(data);
    // A failure stays.
    ck_assert_int_eq(env_open(env, in_dir("a"), ENV_READ, &file), 0);
    ck_assert_int_eq(env_writer_new(file, 8, 0, &writer), 0);
    ck_assert_int_eq(env_writer_append(writer, "12345678", 8), 0);
    ck_assert_int_eq(env_writer_flush(writer), LSM_IO_ERROR);
    ck_assert_int_eq(env_writer_append(writer, "1", 1), LSM_IO_ERROR);
    ck_assert_int_eq(env_writer_flush(writer), LSM_IO_ERROR);
    env_writer_free(writer);
    ck_assert_int_eq(env_close(file), 0);
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("all");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, test_files);
    tcase_add_test(tc, test_mapping);
    tcase_add_test(tc, test_open_directory);
    tcase_add_test(tc, test_directories);
    tcase_add_test(tc, test_lock_in_process);
    tcase_add_test(tc, test_shared_locks);
    tcase_add_test(tc, test_lock_text_of_the_dead);
    tcase_add_test(tc, test_lock_of_another_process);
    tcase_add_test(tc, test_whole_files);
    tcase_add_test(tc, test_file_of_another);
    tcase_add_test(tc, test_writer);
    return run_case("env_posix", tc, 120);
}
