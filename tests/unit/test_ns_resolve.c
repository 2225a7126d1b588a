// Resolving paths: one point get while no directory on the path has moved. Gets are counted by the
// blocks they look up in the cache: everything is in one sorted level of compressed blocks.
#include "ns_fixture.h"

static const char leaf[] = "/a/b/c/d/e/f/leaf";

static void reopen(bool read_only)
{
    struct ns_options options = ns_small_options(env);
    ck_assert_int_eq(ns_close(ns), 0);
    options.engine.read_only = read_only;
    ck_assert_int_eq(ns_open("/fs", &options, &ns), 0);
}

static void compact(void)
{
    ck_assert_int_eq(lsm_compact_range(ns_engine(ns), NULL, 0, NULL, 0), 0);
    reopen(true);
}

static void setup(void)
{
    char path[sizeof leaf];
    ns_setup();
    for (size_t i = 1; leaf[i]; i++) {
        if (leaf[i] == '/') {
            snprintf(path, i + 1, "%s", leaf);
            ck_assert_int_eq(ns_test_mkdir(ns, path), 0);
        }
    }
    ck_assert_int_eq(ns_test_create(ns, leaf), 0);
    ck_assert_int_eq(ns_test_write(ns, leaf, 0, 1000, 'x'), 1000);
    for (int i = 0; i < 100; i++) { // so that there is something to compress
        snprintf(path, sizeof path, "/other%d", i);
        ck_assert_int_eq(ns_test_create(ns, path), 0);
        ck_assert_int_eq(ns_test_write(ns, path, 0, 1000, 'y'), 1000);
    }
}

static uint64_t lookups(void)
{
    uint64_t hits, misses;
    ck_assert(lsm_property_uint(ns_engine(ns), "cache-hits", &hits));
    ck_assert(lsm_property_uint(ns_engine(ns), "cache-misses", &misses));
    return hits + misses;
}

// The number of gets that resolving and reading the path took.
static uint64_t read_cost(const char *path, size_t want)
{
    char data[2000];
    struct ns_inode *inode;
    struct ns_attr attr;
    uint64_t before = lookups();
    ck_assert_int_eq(ns_resolve_read(ns, path, data, sizeof data, &inode, &attr), (int)want);
    uint64_t cost = lookups() - before;
    ck_assert_uint_eq(attr.size, want);
    for (size_t i = 0; i < want; i++)
        ck_assert_int_eq(data[i], 'x');
    ns_inode_put(ns, inode, 1);
    return cost;
}

START_TEST(test_one_get)
{
    struct ns_inode *inode;
    compact();
    uint64_t before = lookups();
    ck_assert_int_eq(ns_resolve(ns, leaf, &inode, NULL), 0);
    ck_assert_uint_eq(lookups() - before, 1);
    ns_inode_put(ns, inode, 1);
    ck_assert_uint_eq(read_cost(leaf, 1000), 1);
    ck_assert_uint_eq(read_cost("a//b/./c/d/../d/e/f/leaf", 1000), 1);
    ck_assert_uint_eq(ns_live_inodes(ns), 1); // the root
}
END_TEST

START_TEST(test_read)
{
    char data[4000];
    struct ns_inode *inode;
    struct ns_attr attr;
    ck_assert_int_eq(ns_test_write(ns, leaf, 1000, 5000, 'x'), 5000); // no longer in the entry
    ck_assert_int_eq(ns_test_link(ns, "/other1", "/link"), 0);
    ck_assert_int_eq(ns_test_symlink(ns, "link", "/soft"), 0);
    compact();
    ck_assert_int_eq(ns_resolve_read(ns, leaf, data, sizeof data, &inode, &attr), sizeof data);
    ck_assert_uint_eq(attr.size, 6000);
    ns_inode_put(ns, inode, 1);
    ck_assert_int_eq(ns_resolve_read(ns, "/link", data, sizeof data, &inode, &attr), 1000);
    ck_assert_int_eq(data[999], 'y');
    ns_inode_put(ns, inode, 1);
    ck_assert_int_eq(ns_resolve_read(ns, "/link", data, 10, &inode, &attr), 10);
    ns_inode_put(ns, inode, 1);
    ck_assert_int_eq(ns_resolve_read(ns, "/soft", data, sizeof data, &inode, &attr), 0);
    ck_assert(S_ISLNK(attr.mode));
    ns_inode_put(ns, inode, 1);
    ck_assert_int_eq(ns_resolve_read(ns, "/a/b", data, sizeof data, &inode, &attr), 0);
    ck_assert(S_ISDIR(attr.mode));
    ns_inode_put(ns, inode, 1);
    ck_assert_int_eq(ns_resolve_read(ns, "/a/x", data, sizeof data, &inode, &attr), -ENOENT);
    ck_assert_int_eq(ns_resolve_read(ns, "/link/x", data, sizeof data, &inode, &attr), -ENOTDIR);
    ck_assert_int_eq(ns_resolve_read(ns, "/link/", data, sizeof data, &inode, &attr), -ENOTDIR);
}
END_TEST

START_TEST(test_moved)
{
    char data[10];
    struct ns_inode *inode;
    ck_assert_int_eq(ns_test_rename(ns, "/a/b", "/z", 0), 0);
    ck_assert_int_eq(ns_test_mkdir(ns, "/a/b"), 0);
    compact();
    ck_assert_uint_gt(read_cost("/z/c/d/e/f/leaf", 1000), 1);
    ck_assert_int_eq(ns_resolve_read(ns, leaf, data, sizeof data, &inode, NULL), -ENOENT);
    reopen(false);
    ck_assert_int_eq(ns_test_rmdir(ns, "/a/b"), 0);
    ck_assert_int_eq(ns_test_rename(ns, "/z", "/a/b", 0), 0); // back home
    compact();
    ck_assert_uint_eq(read_cost(leaf, 1000), 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ns_resolve");
    TCase *tc = tcase_create("all");
    tcase_add_checked_fixture(tc, setup, ns_end);
    tcase_add_test(tc, test_one_get);
    tcase_add_test(tc, test_read);
    tcase_add_test(tc, test_moved);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
