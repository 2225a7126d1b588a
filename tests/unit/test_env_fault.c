// The simulated disk: what survives a cut, what fails when told to.
#include "quick_check.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "disk/env_fault.h"

static struct env *env;

static void setup(void)
{
    env = env_fault_new();
    ck_assert_ptr_nonnull(env);
    ck_assert_int_eq(env->ops->mkdir(env, "/db"), 0);
    ck_assert_int_eq(env->ops->sync_dir(env, "/"), 0);
}

static void teardown(void)
{
    env_fault_free(env);
}

static struct env_file *create(const char *path)
{
    struct env_file *file;
    ck_assert_int_eq(env_open(env, path, ENV_WRITE | ENV_CREATE, &file), 0);
    return file;
}

static bool exists(const char *path)
{
    struct env_stat st;
    int rc = env->ops->stat(env, path, &st);
    ck_assert(rc == 0 || rc == LSM_NOT_FOUND);
    return rc == 0;
}

static void expect(const char *path, const char *text)
{
    char *data;
    size_t size;
    ck_assert_int_eq(env_read_file(env, path, 1 << 20, &data, &size), 0);
    ck_assert_uint_eq(size, strlen(text));
    ck_assert_mem_eq(data, text, size);
    free(data);
}

START_TEST(test_cut_keeps_what_was_synced)
{
    struct env_file *a = create("/db/a"), *b = create("/db/b"), *c = create("/db/c");
    ck_assert_int_eq(env_pwrite(a, "one", 3, 0), 0);
    ck_assert_int_eq(env_sync(a), 0);
    ck_assert_int_eq(env_pwrite(a, "two", 3, 3), 0);
    ck_assert_int_eq(env_pwrite(b, "lost", 4, 0), 0);
    ck_assert_int_eq(env->ops->sync_dir(env, "/db"), 0);
    struct env_file *d = create("/db/d");
    ck_assert_int_eq(env_pwrite(d, "synced, not linked", 18, 0), 0);
    ck_assert_int_eq(env_sync(d), 0);
    env_fault_power_cut(env, 0);
    expect("/db/a", "one");
    expect("/db/b", "");
    ck_assert(exists("/db/c"));
    ck_assert(!exists("/db/d"));
    ck_assert_int_eq(env_pwrite(a, "x", 1, 0), LSM_IO_ERROR);
    ck_assert_int_eq(env_close(a), LSM_IO_ERROR);
    ck_assert_int_eq(env_close(b), LSM_IO_ERROR);
    ck_assert_int_eq(env_close(c), LSM_IO_ERROR);
    ck_assert_int_eq(env_close(d), LSM_IO_ERROR);
}
END_TEST

START_TEST(test_kill_keeps_everything)
{
    void *map;
    struct env_file *a = create("/db/a");
    ck_assert_int_eq(a->ops->allocate(a, 0, 4096), 0);
    ck_assert_int_eq(a->ops->map(a, 0, 4096, true, &map), 0);
    memcpy(map, "mapped", 7);
    env_fault_kill(env);
    memcpy(map, "ghost!", 7);
    char *data;
    size_t size;
    ck_assert_int_eq(env_read_file(env, "/db/a", 4096, &data, &size), 0);
    ck_assert_uint_eq(size, 4096);
    ck_assert_str_eq(data, "mapped");
    free(data);
    a->ops->unmap(a, map, 4096);
    ck_assert_int_eq(env_close(a), LSM_IO_ERROR);
    env_fault_power_cut(env, 0);
    ck_assert(!exists("/db/a"));
}
END_TEST

START_TEST(test_mapping_and_msync)
{
    void *map;
    struct env_file *a = create("/db/a");
    ck_assert_int_eq(a->ops->allocate(a, 0, 3 * 4096), 0);
    ck_assert_int_eq(a->ops->map(a, 0, 3 * 4096, true, &map), 0);
    ck_assert_int_eq(env_sync(a), 0);
    ck_assert_int_eq(env->ops->sync_dir(env, "/db"), 0);
    char *p = map;
    strcpy(p, "zero");
    strcpy(p + 4096, "one");
    strcpy(p + 8192, "two");
    ck_assert_int_eq(a->ops->msync(a, p + 4096, 10), 0);
    char byte;
    size_t got;
    ck_assert_int_eq(env_pread(a, &byte, 1, 8192, &got), 0);
    ck_assert_int_eq(byte, 't');
    env_fault_power_cut(env, 0);
    strcpy(p, "ghost");
    char *data;
    ck_assert_int_eq(env_read_file(env, "/db/a", 1 << 20, &data, &got), 0);
    ck_assert_uint_eq(got, 3 * 4096);
    ck_assert_str_eq(data, "");
    ck_assert_str_eq(data + 4096, "one");
    ck_assert_str_eq(data + 8192, "");
    free(data);
    a->ops->unmap(a, map, 3 * 4096);
    ck_assert_int_ne(env_close(a), 0);
}
END_TEST

START_TEST(test_rename_is_whole_or_not)
{
    struct env *at;
    ck_assert_int_eq(env->ops->open_dir(env, "/db", &at), 0);
    ck_assert_int_eq(env_write_file_atomic(at, "CURRENT", "old", 3), 0);
    env->ops->close_dir(at);
    struct env_file *a = create("/db/new");
    ck_assert_int_eq(env_pwrite(a, "new", 3, 0), 0);
    ck_assert_int_eq(env_sync(a), 0);
    ck_assert_int_eq(env_close(a), 0);
    ck_assert_int_eq(env->ops->sync_dir(env, "/db"), 0);
    ck_assert_int_eq(env->ops->rename(env, "/db/new", "/db/CURRENT"), 0);
    expect("/db/CURRENT", "new");
    env_fault_power_cut(env, 0);
    expect("/db/CURRENT", "old");
    expect("/db/new", "new");
    ck_assert_int_eq(env->ops->rename(env, "/db/new", "/db/CURRENT"), 0);
    ck_assert_int_eq(env->ops->sync_dir(env, "/db"), 0);
    env_fault_power_cut(env, 0);
    expect("/db/CURRENT", "new");
    ck_assert(!exists("/db/new"));
}
END_TEST

START_TEST(test_rename_across_directories)
{
    ck_assert_int_eq(env->ops->mkdir(env, "/db/lost"), 0);
    ck_assert_int_eq(env_close(create("/db/a")), 0);
    ck_assert_int_eq(env->ops->rename(env, "/db/a", "/db/lost/a"), 0);
    ck_assert_int_eq(env->ops->sync_dir(env, "/db/lost"), 0);
    env_fault_power_cut(env, 0);
    ck_assert(!exists("/db/a"));
    ck_assert(exists("/db/lost/a"));
    ck_assert_int_eq(env->ops->rmdir(env, "/db/lost"), LSM_IO_ERROR);
    ck_assert_int_eq(env->ops->unlink(env, "/db/lost/a"), 0);
    ck_assert_int_eq(env->ops->rmdir(env, "/db/lost"), 0);
}
END_TEST

START_TEST(test_cut_with_seed_leaks_some)
{
    bool seen_old = false, seen_new = false, seen_entry = false, seen_no_entry = false;
    for (uint64_t seed = 1; seed <= 64; seed++) {
        struct env_file *a = create("/db/a");
        char page[4096];
        memset(page, 'o', sizeof(page));
        for (int i = 0; i < 4; i++)
            ck_assert_int_eq(env_pwrite(a, page, sizeof(page), 4096u * (unsigned)i), 0);
        ck_assert_int_eq(env_sync(a), 0);
        ck_assert_int_eq(env->ops->sync_dir(env, "/db"), 0);
        memset(page, 'n', sizeof(page));
        for (int i = 0; i < 4; i++)
            ck_assert_int_eq(env_pwrite(a, page, sizeof(page), 4096u * (unsigned)i), 0);
        ck_assert_int_eq(env_close(create("/db/e")), 0);
        env_fault_power_cut(env, seed);
        char *data;
        size_t size;
        ck_assert_int_eq(env_read_file(env, "/db/a", 1 << 20, &data, &size), 0);
        ck_assert_uint_eq(size, sizeof(page) * 4);
        for (int i = 0; i < 4; i++) {
            seen_old |= data[4096 * i] == 'o';
            seen_new |= data[4096 * i] == 'n';
            ck_assert_int_eq(data[4096 * i], data[4096 * i + 4095]);
        }
        free(data);
        *(exists("/db/e") ? &seen_entry : &seen_no_entry) = true;
        if (exists("/db/e"))
            ck_assert_int_eq(env->ops->unlink(env, "/db/e"), 0);
        ck_assert_int_ne(env_close(a), 0);
    }
    ck_assert(seen_old && seen_new && seen_entry && seen_no_entry);
}
END_TEST

START_TEST(test_fail_at)
{
    struct env_file *a = create("/db/a");
    uint64_t calls = env_fault_calls(env);
    env_fault_fail_at(env, 2, LSM_IO_ERROR, false);
    ck_assert_int_eq(env_pwrite(a, "abc", 3, 0), 0);
    ck_assert_int_eq(env_sync(a), LSM_IO_ERROR);
    ck_assert_ptr_nonnull(strstr(lsm_error_detail(), "/db/a"));
    ck_assert_int_eq(env_sync(a), 0);
    ck_assert_uint_eq(env_fault_calls(env), calls + 3);
    env_fault_fail_at(env, 1, LSM_NO_SPACE, true);
    ck_assert_int_eq(env_sync(a), LSM_NO_SPACE);
    ck_assert_int_eq(env_sync(a), LSM_NO_SPACE);
    env_fault_fail_at(env, 0, 0, false);
    ck_assert_int_eq(env_sync(a), 0);
    ck_assert_int_eq(env_close(a), 0);
    env_fault_seed(env, 7);
    struct env_file *b = create("/db/b");
    env_fault_fail_at(env, 1, LSM_IO_ERROR, false);
    ck_assert_int_eq(env_pwrite(b, "0123456789", 10, 0), LSM_IO_ERROR);
    uint64_t size;
    ck_assert_int_eq(b->ops->size(b, &size), 0);
    ck_assert_uint_lt(size, 10);
    ck_assert_int_eq(env_close(b), 0);
}
END_TEST

START_TEST(test_cut_at)
{
    struct env_file *a = create("/db/a");
    void *map;
    ck_assert_int_eq(a->ops->allocate(a, 0, 4096), 0);
    ck_assert_int_eq(a->ops->map(a, 0, 4096, true, &map), 0);
    ck_assert_int_eq(env->ops->sync_dir(env, "/db"), 0);
    env_fault_cut_at(env, 2);
    strcpy(map, "before");
    ck_assert_int_eq(env_sync(a), 0);
    ck_assert_int_eq(env_sync(a), LSM_IO_ERROR);
    strcpy(map, "after!");
    ck_assert_int_eq(env_sync(a), LSM_IO_ERROR);
    struct env_file *b;
    ck_assert_int_eq(env_open(env, "/db/a", ENV_READ, &b), LSM_IO_ERROR);
    env_fault_power_cut(env, 99);
    char *data;
    size_t size;
    ck_assert_int_eq(env_read_file(env, "/db/a", 4096, &data, &size), 0);
    ck_assert_str_eq(data, "before");
    free(data);
    a->ops->unmap(a, map, 4096);
    ck_assert_int_ne(env_close(a), 0);
}
END_TEST

START_TEST(test_limit)
{
    env_fault_limit(env, 4 * 4096);
    struct env_file *a = create("/db/a");
    ck_assert_int_eq(a->ops->allocate(a, 0, 5 * 4096), LSM_NO_SPACE);
    uint64_t size, available, total;
    ck_assert_int_eq(a->ops->size(a, &size), 0);
    ck_assert_uint_eq(size, 0);
    ck_assert_int_eq(a->ops->allocate(a, 0, 3 * 4096), 0);
    ck_assert_int_eq(env->ops->space(env, "/db", &available, &total), 0);
    ck_assert_uint_eq(available, 4096);
    ck_assert_uint_eq(total, 4 * 4096);
    ck_assert_int_eq(env_pwrite(a, "x", 1, 4 * 4096), LSM_NO_SPACE);
    ck_assert_int_eq(env->ops->unlink(env, "/db/a"), 0);
    ck_assert_int_eq(env->ops->space(env, "/db", &available, &total), 0);
    ck_assert_uint_eq(available, 0);
    ck_assert_int_eq(env_close(a), 0);
    ck_assert_int_eq(env->ops->space(env, "/db", &available, &total), 0);
    ck_assert_uint_eq(available, 4 * 4096);
}
END_TEST

START_TEST(test_locks)
{
    struct env_lock *lock, *other;
    ck_assert_int_eq(env->ops->lock(env, "/db/LOCK", false, "mounted on /mnt", &lock), 0);
    ck_assert_int_eq(env->ops->lock(env, "/db/LOCK", false, "other", &other), LSM_BUSY);
    ck_assert_ptr_nonnull(strstr(lsm_error_detail(), "(mounted on /mnt)"));
    env_fault_kill(env);
    ck_assert_int_eq(env->ops->lock(env, "/db/LOCK", false, NULL, &other), 0);
    env->ops->unlock(env, lock);
    ck_assert_int_eq(env->ops->lock(env, "/db/LOCK", false, NULL, &lock), LSM_BUSY);
    env->ops->unlock(env, other);
    ck_assert_int_eq(env->ops->lock(env, "/db/LOCK", false, NULL, &lock), 0);
    ck_assert_int_eq(env->ops->lock(env, "/db/LOCK", true, NULL, &other), LSM_BUSY);
    env->ops->unlock(env, lock);
    ck_assert_int_eq(env->ops->lock(env, "/db/LOCK", true, "reader", &lock), 0);
    ck_assert_int_eq(env->ops->lock(env, "/db/LOCK", true, NULL, &other), 0);
    env->ops->unlock(env, other);
    ck_assert_int_eq(env->ops->lock(env, "/db/LOCK", false, NULL, &other), LSM_BUSY);
    env->ops->unlock(env, lock);
}
END_TEST

static int count_names(void *arg, const char *name)
{
    *(unsigned *)arg += (unsigned)strlen(name);
    return 0;
}

START_TEST(test_directories)
{
    struct env_file *file;
    unsigned names = 0;
    ck_assert_int_eq(env->ops->mkdir(env, "/db"), LSM_EXISTS);
    ck_assert_int_eq(env->ops->mkdir(env, "/no/such"), LSM_NOT_FOUND);
    ck_assert_int_eq(env_open(env, "/db/a", ENV_WRITE, &file), LSM_NOT_FOUND);
    ck_assert_int_eq(env_close(create("/db/a")), 0);
    ck_assert_int_eq(env_open(env, "/db/a", ENV_WRITE | ENV_CREATE | ENV_EXCL, &file), LSM_EXISTS);
    ck_assert_int_eq(env->ops->link(env, "/db/a", env, "/db/bb"), 0);
    ck_assert_int_eq(env->ops->link(env, "/db/a", env, "/db/bb"), LSM_EXISTS);
    ck_assert_int_eq(env->ops->list(env, "/db", count_names, &names), 0);
    ck_assert_uint_eq(names, 3);
    ck_assert_int_eq(env->ops->list(env, "/db/", count_names, &names), 0);
    ck_assert_int_eq(env->ops->unlink(env, "/db"), LSM_IO_ERROR);
    ck_assert_int_eq(env->ops->unlink(env, "/db/zz"), LSM_NOT_FOUND);
    ck_assert_int_eq(env->ops->unlink(env, "/db/a"), 0);
    ck_assert(exists("/db/bb"));
    ck_assert_int_eq(env->ops->list(env, "/db/bb", count_names, &names), LSM_NOT_FOUND);
}
END_TEST

START_TEST(test_truncate_and_flip)
{
    struct env_file *a = create("/db/a");
    ck_assert_int_eq(env_pwrite(a, "0123456789", 10, 0), 0);
    ck_assert_int_eq(a->ops->truncate(a, 4), 0);
    ck_assert_int_eq(a->ops->truncate(a, 8), 0);
    char data[16];
    size_t got;
    ck_assert_int_eq(env_pread(a, data, sizeof(data), 0, &got), 0);
    ck_assert_uint_eq(got, 8);
    ck_assert_mem_eq(data, "0123\0\0\0\0", 8);
    ck_assert_int_eq(env_sync(a), 0);
    ck_assert_int_eq(env->ops->sync_dir(env, "/db"), 0);
    ck_assert_int_eq(env_fault_flip(env, "/db/a", 0, 1), 0);
    ck_assert_int_eq(env_fault_flip(env, "/db/a", 8, 1), LSM_INVALID);
    env_fault_power_cut(env, 0);
    ck_assert_int_ne(env_close(a), 0);
    ck_assert_int_eq(env_open(env, "/db/a", ENV_READ, &a), 0);
    ck_assert_int_eq(env_pread(a, data, 2, 0, &got), 0);
    ck_assert_mem_eq(data, "21", 2);
    ck_assert_int_eq(env_pwrite(a, "x", 1, 0), LSM_IO_ERROR);
    ck_assert_int_eq(env_close(a), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("env_fault");
    TCase *tc = tcase_create("all");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, test_cut_keeps_what_was_synced);
    tcase_add_test(tc, test_kill_keeps_everything);
    tcase_add_test(tc, test_mapping_and_msync);
    tcase_add_test(tc, test_rename_is_whole_or_not);
    tcase_add_test(tc, test_rename_across_directories);
    tcase_add_test(tc, test_cut_with_seed_leaks_some);
    tcase_add_test(tc, test_fail_at);
    tcase_add_test(tc, test_cut_at);
    tcase_add_test(tc, test_limit);
    tcase_add_test(tc, test_locks);
    tcase_add_test(tc, test_directories);
    tcase_add_test(tc, test_truncate_and_flip);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
