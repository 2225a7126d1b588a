// Shared by the tests of the namespace: stores on a simulated disk, names as C strings, a report of
// ns_check as text.
#ifndef LSM_TESTS_NS_UTIL_H
#define LSM_TESTS_NS_UTIL_H

#include "quick_check.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "disk/env_fault.h"
#include "from_env.h"
#include "ns/keys/pathkey.h"
#include "ns/namespace.h"
#include "small_options.h"

// Small everything, so that short tests flush and compact.
static inline struct ns_options ns_small_options(struct env *env)
{
    struct ns_options options;
    ns_options_init(&options);
    options.engine = small_options(env);
    options.engine.block_cache_size = 1 << 20;
    options.engine.l0_compact = 2;
    return options;
}

static inline struct ns *ns_test_open(struct env *env)
{
    struct ns_options options = ns_small_options(env);
    struct ns *ns = NULL;
    int status = ns_open("/fs", &options, &ns);
    ck_assert_msg(status == 0, "ns_open: %d %s", status, lsm_error_detail());
    return ns;
}

static const struct ns_cred test_cred = {.uid = 7, .gid = 8};

// The inode at `path`; fails the test if there is none.
static inline struct ns_inode *ns_test_get(struct ns *ns, const char *path)
{
    struct ns_inode *inode = NULL;
    int rc = ns_resolve(ns, path, &inode, NULL);
    ck_assert_msg(rc == 0, "%s: %d", path, rc);
    return inode;
}

// The directory of `path` (one reference) and the last name in it.
static inline struct ns_inode *ns_test_dir_of(struct ns *ns, const char *path,
                                              const char **ret_name)
{
    char dir[4096];
    const char *slash = strrchr(path, '/');
    ck_assert_ptr_nonnull(slash);
    snprintf(dir, sizeof dir, "%.*s", (int)(slash - path), path);
    *ret_name = slash + 1;
    return ns_test_get(ns, dir);
}

static inline int ns_test_mknod(struct ns *ns, const char *path, uint32_t mode)
{
    const char *name;
    struct ns_inode *dir = ns_test_dir_of(ns, path, &name), *inode;
    int rc = S_ISDIR(mode)
                 ? ns_mkdir(ns, &test_cred, dir, name, strlen(name), mode & 07777, &inode, NULL)
                 : ns_mknod(ns, &test_cred, dir, name, strlen(name), mode, 0, &inode, NULL);
    if (!rc)
        ns_inode_put(ns, inode, 1);
    ns_inode_put(ns, dir, 1);
    return rc;
}

static inline int ns_test_mkdir(struct ns *ns, const char *path)
{
    return ns_test_mknod(ns, path, S_IFDIR | 0755);
}

static inline int ns_test_create(struct ns *ns, const char *path)
{
    return ns_test_mknod(ns, path, S_IFREG | 0644);
}

static inline int ns_test_symlink(struct ns *ns, const char *target, const char *path)
{
    const char *name;
    struct ns_inode *dir = ns_test_dir_of(ns, path, &name), *inode;
    int rc =
        ns_symlink(ns, &test_cred, dir, name, strlen(name), target, strlen(target), &inode, NULL);
    if (!rc)
        ns_inode_put(ns, inode, 1);
    ns_inode_put(ns, dir, 1);
    return rc;
}

static inline int ns_test_link(struct ns *ns, const char *from, const char *to)
{
    const char *name;
    struct ns_inode *inode = ns_test_get(ns, from), *dir = ns_test_dir_of(ns, to, &name);
    int rc = ns_link(ns, inode, dir, name, strlen(name), NULL);
    ns_inode_put(ns, inode, 1);
    ns_inode_put(ns, dir, 1);
    return rc;
}

static inline int ns_test_remove(struct ns *ns, const char *path, bool is_dir)
{
    const char *name;
    struct ns_inode *dir = ns_test_dir_of(ns, path, &name);
    int rc =
        is_dir ? ns_rmdir(ns, dir, name, strlen(name)) : ns_unlink(ns, dir, name, strlen(name));
    ns_inode_put(ns, dir, 1);
    return rc;
}

static inline int ns_test_unlink(struct ns *ns, const char *path)
{
    return ns_test_remove(ns, path, false);
}

static inline int ns_test_rmdir(struct ns *ns, const char *path)
{
    return ns_test_remove(ns, path, true);
}

static inline int ns_test_rename(struct ns *ns, const char *from, const char *to, unsigned flags)
{
    const char *from_name, *to_name;
    struct ns_inode *from_dir = ns_test_dir_of(ns, from, &from_name);
    struct ns_inode *to_dir = ns_test_dir_of(ns, to, &to_name);
    int rc = ns_rename(ns, from_dir, from_name, strlen(from_name), to_dir, to_name, strlen(to_name),
                       flags);
    ns_inode_put(ns, from_dir, 1);
    ns_inode_put(ns, to_dir, 1);
    return rc;
}

static inline ssize_t ns_test_write(struct ns *ns, const char *path, uint64_t offset, size_t size,
                                    int byte)
{
    struct ns_inode *inode = ns_test_get(ns, path);
    char *data = malloc(size);
    memset(data, byte, size);
    ssize_t n = ns_write(ns, inode, data, size, offset, 0, NULL);
    free(data);
    ns_inode_put(ns, inode, 1);
    return n;
}

static inline int ns_test_fallocate(struct ns *ns, struct ns_inode *inode, int mode,
                                    uint64_t offset, uint64_t length)
{
    return ns_fallocate_with(ns, inode, mode, offset, length, 0, NULL);
}

static inline ssize_t ns_test_copy_range(struct ns *ns, struct ns_inode *from, uint64_t from_offset,
                                         struct ns_inode *to, uint64_t to_offset, uint64_t size)
{
    return ns_copy_range_from(ns, ns, from, from_offset, to, to_offset, size, 0, NULL);
}

static inline int ns_test_fsync(struct ns *ns, struct ns_inode *inode)
{
    ns_fsync_begins(inode);
    return ns_sync(ns);
}

static inline struct ns_attr ns_test_stat(struct ns *ns, const char *path)
{
    struct ns_attr attr = {0};
    struct ns_inode *inode = NULL;
    int rc = ns_resolve(ns, path, &inode, &attr);
    ck_assert_msg(rc == 0, "%s: %d", path, rc);
    ns_inode_put(ns, inode, 1);
    return attr;
}

static inline bool ns_test_exists(struct ns *ns, const char *path)
{
    struct ns_inode *inode = NULL;
    if (ns_resolve(ns, path, &inode, NULL))
        return false;
    ns_inode_put(ns, inode, 1);
    return true;
}

// How many keys of the type the store has.
static inline unsigned ns_test_count_keys(struct ns *ns, enum pathkey_type type)
{
    struct pathkey lower, upper;
    struct lsm_iter *iter;
    unsigned count = 0;
    pathkey_type_bounds(type, &lower, &upper);
    struct lsm_iter_options options = {.lower = lower.data,
                                       .lower_size = lower.size,
                                       .upper = upper.data,
                                       .upper_size = upper.size};
    ck_assert_int_eq(lsm_iter_new(ns_engine(ns), &options, &iter), 0);
    for (lsm_iter_seek_first(iter); lsm_iter_valid(iter); lsm_iter_next(iter))
        count++;
    ck_assert_int_eq(lsm_iter_status(iter), 0);
    lsm_iter_free(iter);
    return count;
}

// What ns_check has to say, a line for each problem.
struct ns_report {
    int64_t problems;
    size_t size;
    char text[16384];
};

static inline void ns_report_line(void *arg, const char *problem)
{
    struct ns_report *report = arg;
    size_t room = sizeof report->text - report->size;
    int n = snprintf(report->text + report->size, room, "%s\n", problem);
    report->size += (size_t)n < room ? (size_t)n : room - 1;
}

static inline void ns_test_check(struct ns *ns, struct ns_report *ret_report)
{
    ret_report->size = 0;
    ret_report->text[0] = 0;
    ret_report->problems = ns_check(ns, ns_report_line, NULL, ret_report);
}

static inline void ns_expect_clean(struct ns *ns, const char *what)
{
    struct ns_report report;
    ns_test_check(ns, &report);
    ck_assert_msg(report.problems == 0, "%s: ns_check: %lld\n%s", what, (long long)report.problems,
                  report.text);
}

#endif
