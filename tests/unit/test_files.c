// The list of a store's files (lsm_files_new): they stay while all is rewritten, and copies of them
// are the store as it was.
#include "store_util.h"

#include <stdio.h>
#include <unistd.h>

#include "env/env.h"

static struct lsm_files *files;

static void put_all(char fill)
{
    static char value[20000];
    char key[16];
    memset(value, fill, sizeof value);
    for (int i = 0; i < 200; i++) {
        snprintf(key, sizeof key, "key%03d", i);
        size_t size = i % 10 ? 100 : sizeof value; // some in blob files
        ck_assert_int_eq(lsm_put(db, NULL, key, strlen(key), value, size), 0);
    }
}

static void check_all(char fill)
{
    struct lsm_buf buf = {0};
    char key[16];
    for (int i = 0; i < 200; i++) {
        snprintf(key, sizeof key, "key%03d", i);
        ck_assert_int_eq(lsm_get(db, NULL, key, strlen(key), &buf), 0);
        ck_assert_uint_eq(buf.size, i % 10 ? 100 : 20000);
        for (size_t n = 0; n < buf.size; n++)
            ck_assert_int_eq(((char *)buf.data)[n], fill);
    }
    lsm_buf_release(&buf);
}

static void copy_file(struct env *dir, size_t index)
{
    static uint8_t block[7000];
    const struct lsm_file_info *info = lsm_files_info(files, index);
    struct env_file *file;
    size_t got = 1;
    ck_assert_int_eq(env_open(dir, info->name, ENV_WRITE | ENV_CREATE | ENV_EXCL, &file), 0);
    for (uint64_t at = 0; at < info->size; at += got) {
        ck_assert_int_eq(lsm_files_read(files, index, at, block, sizeof block, &got), 0);
        ck_assert_uint_gt(got, 0);
        ck_assert_int_eq(env_pwrite(file, block, got, at), 0);
    }
    ck_assert_int_eq(env_sync(file), 0);
    ck_assert_int_eq(env_close(file), 0);
}

static void copy_all(void)
{
    struct env *dir;
    ck_assert_int_eq(env->ops->mkdir(env, "/copy"), 0);
    ck_assert_int_eq(env->ops->open_dir(env, "/copy", &dir), 0);
    for (size_t i = 0; i < lsm_files_count(files); i++)
        copy_file(dir, i);
    ck_assert_int_eq(lsm_files_finish(files, "/copy"), 0);
    struct env_stat stat;
    ck_assert_int_eq(dir->ops->stat(dir, lsm_files_manifest(files), &stat), 0);
    ck_assert_int_eq(dir->ops->stat(dir, "CURRENT", &stat), 0);
    env->ops->close_dir(dir);
}

START_TEST(test_copies)
{
    open_db();
    put_all('a');
    ck_assert_int_eq(lsm_snapshot_create(db, "then"), 0);
    ck_assert_int_eq(lsm_files_new(db, &files), 0);
    ck_assert_uint_ge(lsm_files_count(files), 2);
    ck_assert_int_eq(lsm_snapshot_delete(db, "then"), 0);
    for (int i = 0; i < 5; i++)
        put_all((char)('b' + i));
    ck_assert_int_eq(lsm_compact_range(db, NULL, 0, NULL, 0), 0);
    copy_all();
    lsm_files_free(files);
    check_all('f');
    ck_assert_int_eq(lsm_close(db), 0);

    ck_assert_int_eq(lsm_open("/copy", &options, &db), 0);
    check_all('a');
    ck_assert_int_eq(lsm_check(db, NULL, NULL, NULL), 0);
    const struct lsm_snapshot *snapshot;
    ck_assert_int_eq(lsm_snapshot_open(db, "then", &snapshot), 0);
    lsm_snapshot_free(db, snapshot);
    put_all('g');
    check_all('g');
}
END_TEST

static bool all_wanted(void *arg, const char *name)
{
    return arg || strstr(name, ".blob");
}

static bool none_wanted(void *arg, const char *name)
{
    (void)arg;
    (void)name;
    return false;
}

static unsigned damaged(lsm_files_wanted_fn *wanted)
{
    unsigned count = 0;
    for (size_t i = 0; i < lsm_files_count(files); i++) {
        int rc = lsm_files_check(files, i, wanted, NULL);
        ck_assert(rc == 0 || rc == LSM_CORRUPTION);
        count += rc != 0;
    }
    return count;
}

// The one file with that ending.
static const char *file_like(const char *ending)
{
    for (size_t i = 0; i < lsm_files_count(files); i++)
        if (strstr(lsm_files_info(files, i)->name, ending))
            return lsm_files_info(files, i)->name;
    ck_abort_msg("no %s", ending);
}

START_TEST(test_damage)
{
    char path[64];
    open_db();
    put_all('a');
    ck_assert_int_eq(lsm_files_new(db, &files), 0);
    ck_assert_uint_eq(damaged(all_wanted), 0);
    snprintf(path, sizeof path, "/db/%s", file_like(".blob"));
    env_fault_flip(env, path, 100, 3);
    ck_assert_uint_eq(damaged(none_wanted), 0);
    ck_assert_uint_eq(damaged(all_wanted), 1);
    env_fault_flip(env, path, 100, 3);
    snprintf(path, sizeof path, "/db/%s", file_like(".sst"));
    env_fault_flip(env, path, 100, 3);
    ck_assert_uint_eq(damaged(none_wanted), 1);
    env_fault_flip(env, path, 100, 3);
    lsm_files_free(files);
}
END_TEST

static int add_size(void *arg, const char *name)
{
    const char *end = strrchr(name, '.');
    char path[64];
    struct env_stat stat;
    if (end && (!strcmp(end, ".sst") || !strcmp(end, ".blob"))) {
        snprintf(path, sizeof path, "/db/%s", name);
        if (env->ops->stat(env, path, &stat) == 0)
            *(uint64_t *)arg += stat.size;
    }
    return 0;
}

// Of tables and blob files: logs come and go by themselves.
static uint64_t bytes_on_disk(void)
{
    uint64_t bytes = 0;
    ck_assert_int_eq(lsm_wait_idle(db), 0);
    ck_assert_int_eq(env->ops->list(env, "/db", add_size, &bytes), 0);
    return bytes;
}

// What was kept for the list alone goes with it.
START_TEST(test_space)
{
    open_db();
    put_all('a');
    ck_assert_int_eq(lsm_files_new(db, &files), 0);
    uint64_t held = 0;
    for (size_t i = 0; i < lsm_files_count(files); i++)
        held += lsm_files_info(files, i)->size;
    put_all('b');
    ck_assert_int_eq(lsm_compact_range(db, NULL, 0, NULL, 0), 0);
    uint64_t before = bytes_on_disk();
    ck_assert_uint_ge(before, held);
    lsm_files_free(files);
    // A background thread may have them a moment longer.
    for (int tries = 0; tries < 2000 && bytes_on_disk() + held > before; tries++)
        usleep(5000);
    ck_assert_uint_le(bytes_on_disk() + held, before);
}
END_TEST

START_TEST(test_read_only)
{
    open_db();
    put_all('a');
    ck_assert_int_eq(lsm_close(db), 0);
    options.read_only = true;
    open_db();
    ck_assert_int_eq(lsm_files_new(db, &files), LSM_READ_ONLY);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("files");
    TCase *tc = tcase_create("files");
    tcase_add_checked_fixture(tc, store_setup, teardown);
    tcase_add_test(tc, test_copies);
    tcase_add_test(tc, test_damage);
    tcase_add_test(tc, test_space);
    tcase_add_test(tc, test_read_only);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
