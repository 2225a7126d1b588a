// The namespace, case by case: names, moved directories, links, orphans, opening. Content is in
// test_ns_content.c, listings are in test_ns_listing.c.
#include "base/coding.h"
#include "ns/keys/pathkey.h"
#include "ns/keys/record.h"
#include "ns_fixture.h"

static void reopen(bool killed)
{
    if (killed)
        env_fault_kill(env);
    int status = ns_close(ns);
    ck_assert(killed || status == 0);
    ns = ns_test_open(env);
}

static bool has_key(const struct pathkey *key)
{
    size_t got;
    int status = lsm_get_range(ns_engine(ns), NULL, key->data, key->size, 0, NULL, 0, &got, NULL);
    ck_assert(status == 0 || status == LSM_NOT_FOUND);
    return status == 0;
}

static bool has_entry(const char *prefix, const char *name)
{
    struct pathkey key;
    pathkey_entry(&key, slice_str(prefix), slice_str(name));
    return has_key(&key);
}

static bool has_marker(const char *prefix)
{
    struct pathkey key;
    pathkey_marker(&key, slice_str(prefix));
    return has_key(&key);
}

static unsigned keys_of(enum pathkey_type type)
{
    return ns_test_count_keys(ns, type);
}

static uint64_t changes(void)
{
    uint64_t sequence;
    ck_assert(lsm_property_uint(ns_engine(ns), "last-sequence", &sequence));
    return sequence;
}

// ------------------------------------------------------------------------------- moved directories

START_TEST(test_directory_rename_is_small)
{
    char path[64];
    ck_assert_int_eq(ns_test_mkdir(ns, "/d"), 0);
    ck_assert_int_eq(ns_test_mkdir(ns, "/e"), 0);
    ck_assert_int_eq(ns_test_mkdir(ns, "/d/sub"), 0);
    for (int i = 0; i < 500; i++) {
        snprintf(path, sizeof path, "/d/sub/f%d", i);
        ck_assert_int_eq(ns_test_create(ns, path), 0);
    }
    struct ns_inode *held = ns_test_get(ns, "/d/sub/f7");
    uint64_t before = changes();
    ck_assert_int_eq(ns_test_rename(ns, "/d", "/e/moved", 0), 0);
    ck_assert_uint_le(changes() - before, 7); // once with the superblock, for the first place
    ck_assert(has_entry("d\001sub", "f499") && has_marker("d"));
    ck_assert(ns_test_exists(ns, "/e/moved/sub/f499") && !ns_test_exists(ns, "/d/sub/f499"));
    struct ns_inode *again = ns_test_get(ns, "/e/moved/sub/f7");
    ck_assert_ptr_eq(again, held);
    ns_inode_put(ns, held, 1);
    ns_inode_put(ns, again, 1);
    reopen(true);
    ck_assert(ns_test_exists(ns, "/e/moved/sub/f499"));
    ck_assert_int_eq(ns_test_rename(ns, "/e/moved", "/d", 0), 0);
    ck_assert(!has_marker("d") && ns_test_exists(ns, "/d/sub/f0"));
}
END_TEST

START_TEST(test_a_new_directory_in_the_old_place)
{
    ck_assert_int_eq(ns_test_mkdir(ns, "/d"), 0);
    ck_assert_int_eq(ns_test_create(ns, "/d/old"), 0);
    ck_assert_int_eq(ns_test_rename(ns, "/d", "/away", 0), 0);
    ck_assert_int_eq(ns_test_mkdir(ns, "/d"), 0);
    ck_assert_int_eq(ns_test_create(ns, "/d/new"), 0);
    struct pathkey_prefix fresh;
    pathkey_fresh_prefix(ns_test_stat(ns, "/d").ino, &fresh);
    struct pathkey key;
    pathkey_entry(&key, pathkey_prefix_slice(&fresh), slice_str("new"));
    ck_assert(has_key(&key));
    ck_assert(ns_test_exists(ns, "/away/old") && !ns_test_exists(ns, "/d/old"));
    ck_assert(ns_test_exists(ns, "/d/new") && !ns_test_exists(ns, "/away/new"));
    // The fresh one never gets a marker, wherever it goes.
    ck_assert_int_eq(ns_test_rename(ns, "/d", "/away/d", 0), 0);
    ck_assert_uint_eq(keys_of(KEY_MARKER), 1);
    ck_assert_int_eq(ns_test_rename(ns, "/away/d", "/d2", 0), 0);
    // Home is free again, but another directory's home is not that of this one.
    ck_assert_int_eq(ns_test_rename(ns, "/d2", "/d", 0), 0);
    ck_assert(has_marker("d"));
    ns_expect_clean(ns, "before the end of the moved one");
    ck_assert_int_eq(ns_test_unlink(ns, "/away/old"), 0);
    ck_assert_int_eq(ns_test_rmdir(ns, "/away"), 0);
    ck_assert(!has_marker("d"));
    ck_assert_int_eq(ns_test_unlink(ns, "/d/new"), 0);
    ck_assert_int_eq(ns_test_rmdir(ns, "/d"), 0);
    ck_assert_int_eq(ns_test_mkdir(ns, "/d"), 0);
    ck_assert_int_eq(ns_test_create(ns, "/d/x"), 0);
    ck_assert(has_entry("d", "x"));
}
END_TEST

START_TEST(test_children_of_a_moved_directory)
{
    ck_assert_int_eq(ns_test_mkdir(ns, "/a"), 0);
    ck_assert_int_eq(ns_test_mkdir(ns, "/a/b"), 0);
    ck_assert_int_eq(ns_test_rename(ns, "/a/b", "/b", 0), 0); // marker a/b
    ck_assert_int_eq(ns_test_rename(ns, "/a", "/c", 0), 0);   // marker a
    ck_assert_int_eq(ns_test_mkdir(ns, "/a"), 0);             // fresh
    ck_assert_int_eq(ns_test_mkdir(ns, "/a/b"), 0);           // below the fresh one
    ck_assert_int_eq(ns_test_create(ns, "/a/b/here"), 0);
    ck_assert_int_eq(ns_test_create(ns, "/b/there"), 0);
    ck_assert(has_entry("a\001b", "there"));
    ck_assert(!ns_test_exists(ns, "/b/here") && !ns_test_exists(ns, "/a/b/there"));
    ck_assert_int_eq(ns_test_mkdir(ns, "/c/b"), 0); // its home is b's
    ck_assert_int_eq(ns_test_create(ns, "/c/b/third"), 0);
    ck_assert(!ns_test_exists(ns, "/b/third"));
    ck_assert_int_eq(ns_test_rename(ns, "/b", "/c/b", NS_RENAME_EXCHANGE), 0);
    ck_assert(ns_test_exists(ns, "/c/b/there") && ns_test_exists(ns, "/b/third"));
    ck_assert(!has_marker("a\001b") && has_marker("a"));
}
END_TEST

START_TEST(test_exchange_of_homes)
{
    ck_assert_int_eq(ns_test_mkdir(ns, "/x"), 0);
    ck_assert_int_eq(ns_test_mkdir(ns, "/y"), 0);
    ck_assert_int_eq(ns_test_mkdir(ns, "/x/in"), 0);
    ck_assert_int_eq(ns_test_create(ns, "/y/f"), 0);
    ck_assert_int_eq(ns_test_rename(ns, "/x", "/y", NS_RENAME_EXCHANGE), 0);
    ck_assert(has_marker("x") && has_marker("y"));
    ck_assert_uint_eq(ns_test_stat(ns, "/y").nlink, 3);
    ck_assert_int_eq(ns_test_rename(ns, "/x", "/y/in", NS_RENAME_EXCHANGE), 0);
    ck_assert(ns_test_exists(ns, "/y/in/f") && ns_test_exists(ns, "/x"));
    ck_assert_int_eq(ns_test_rename(ns, "/y", "/y/in", NS_RENAME_EXCHANGE), -EINVAL);
    ck_assert_int_eq(ns_test_rename(ns, "/y/in", "/y", NS_RENAME_EXCHANGE), -EINVAL);
    ck_assert_int_eq(ns_test_rename(ns, "/y", "/y/in/deeper", 0), -EINVAL);
    ns_expect_clean(ns, "after the exchanges");
    ck_assert_int_eq(ns_test_rename(ns, "/x", "/y/in", NS_RENAME_EXCHANGE), 0);
    ck_assert_int_eq(ns_test_rename(ns, "/x", "/y", NS_RENAME_EXCHANGE), 0);
    ck_assert_uint_eq(keys_of(KEY_MARKER), 0);
}
END_TEST

// A live directory's parent follows it.
START_TEST(test_parent)
{
    ck_assert_int_eq(ns_test_mkdir(ns, "/a"), 0);
    ck_assert_int_eq(ns_test_mkdir(ns, "/b"), 0);
    ck_assert_int_eq(ns_test_mkdir(ns, "/a/x"), 0);
    struct ns_inode *x = ns_test_get(ns, "/a/x"), *parent;
    ck_assert_int_eq(ns_test_rename(ns, "/a/x", "/b/x", 0), 0);
    ck_assert_int_eq(ns_parent(ns, x, &parent), 0);
    ck_assert_uint_eq(ns_inode_ino(parent), ns_test_stat(ns, "/b").ino);
    ns_inode_put(ns, parent, 1);
    ns_inode_put(ns, x, 1);
    ck_assert_int_eq(ns_parent(ns, ns_root(ns), &parent), 0);
    ck_assert_ptr_eq(parent, ns_root(ns));
    ns_inode_put(ns, parent, 1);
}
END_TEST

START_TEST(test_prefixes_past_the_limit_start_afresh)
{
    char path[4000] = "", component[202];
    memset(component, 'n', sizeof component);
    component[0] = '/';
    component[sizeof component - 1] = 0;
    for (int depth = 0; depth < 14; depth++) {
        strcat(path, component);
        ck_assert_int_eq(ns_test_mkdir(ns, path), 0);
    }
    size_t length = strlen(path);
    strcpy(path + length, "/file");
    ck_assert_int_eq(ns_test_create(ns, path), 0);
    ck_assert_int_eq(ns_test_write(ns, path, 0, 10, 'x'), 10);
    reopen(false);
    ck_assert_uint_eq(ns_test_stat(ns, path).size, 10);
    // 1024 bytes hold five components; the sixth starts afresh, and so on.
    path[6 * 201] = 0;
    struct pathkey_prefix fresh;
    pathkey_fresh_prefix(ns_test_stat(ns, path).ino, &fresh);
    struct pathkey key;
    pathkey_entry(&key, pathkey_prefix_slice(&fresh), slice_of(component + 1, 200));
    ck_assert(has_key(&key));
    ck_assert_int_eq(ns_test_rename(ns, path, "/short", 0), 0);
    ck_assert_uint_eq(keys_of(KEY_MARKER), 0);
    ck_assert_int_eq(ns_test_rename(ns, "/short", path, 0), 0);
    ns_expect_clean(ns, "there and back");
}
END_TEST

// ------------------------------------------------------------------------------- names

START_TEST(test_names_with_separator_bytes)
{
    static const char bytes[] = "\001\002\003\004\005z";
    char path[64];
    for (int i = 0; i < 36; i++) {
        snprintf(path, sizeof path, "/%c%c", bytes[i / 6], bytes[i % 6]);
        ck_assert_int_eq(ns_test_mkdir(ns, path), 0);
        snprintf(path + 3, sizeof path - 3, "/%c", bytes[i % 6]);
        ck_assert_int_eq(ns_test_mkdir(ns, path), 0);
        snprintf(path + 5, sizeof path - 5, "/file%d", i);
        ck_assert_int_eq(ns_test_create(ns, path), 0);
    }
    for (int i = 0; i < 36; i++) {
        snprintf(path, sizeof path, "/%c%c/%c", bytes[i / 6], bytes[i % 6], bytes[i % 6]);
        struct ns_attr attr = ns_test_stat(ns, path);
        ck_assert_uint_eq(attr.size, 1);
        snprintf(path + 5, sizeof path - 5, "/file%d", i);
        ck_assert(ns_test_exists(ns, path));
    }
}
END_TEST

static int lookup_bytes(const char *name, size_t size)
{
    struct ns_inode *inode;
    int rc = ns_lookup(ns, ns_root(ns), name, size, &inode, NULL);
    if (!rc)
        ns_inode_put(ns, inode, 1);
    return rc;
}

START_TEST(test_which_names_are_names)
{
    char path[300] = "/";
    memset(path + 1, 'n', 256);
    ck_assert_int_eq(ns_test_create(ns, path), -ENAMETOOLONG);
    path[256] = 0;
    ck_assert_int_eq(ns_test_create(ns, path), 0);
    ck_assert_int_eq(lookup_bytes(path + 1, 255), 0);
    ck_assert_int_eq(lookup_bytes("", 0), -EINVAL);
    ck_assert_int_eq(lookup_bytes(".", 1), -EINVAL);
    ck_assert_int_eq(lookup_bytes("..", 2), -EINVAL);
    ck_assert_int_eq(lookup_bytes("a/b", 3), -EINVAL);
    ck_assert_int_eq(lookup_bytes("a\0b", 3), -EINVAL);
    ck_assert_int_eq(lookup_bytes("...", 3), -ENOENT);
    struct ns_inode *inode;
    ck_assert_int_eq(ns_mkdir(ns, &test_cred, ns_root(ns), "..", 2, 0755, &inode, NULL), -EINVAL);
    ck_assert_int_eq(ns_rename(ns, ns_root(ns), path + 1, 255, ns_root(ns), ".", 1, 0), -EINVAL);
}
END_TEST

START_TEST(test_resolve)
{
    ck_assert_int_eq(ns_test_mkdir(ns, "/d"), 0);
    ck_assert_int_eq(ns_test_mkdir(ns, "/d/e"), 0);
    ck_assert_int_eq(ns_test_create(ns, "/d/f"), 0);
    ck_assert_int_eq(ns_test_symlink(ns, "/d", "/link"), 0);
    static const char *const same[] = {"/d/f", "d/f", "//d//f", "/./d/./f", "/d/e/../f", "/../d/f"};
    for (size_t i = 0; i < sizeof same / sizeof same[0]; i++)
        ck_assert_uint_eq(ns_test_stat(ns, same[i]).ino, ns_test_stat(ns, "/d/f").ino);
    ck_assert_uint_eq(ns_test_stat(ns, "").ino, NS_ROOT_INO);
    ck_assert_uint_eq(ns_test_stat(ns, "/d/..").ino, NS_ROOT_INO);
    ck_assert_uint_eq(ns_test_stat(ns, "/d/e/").ino, ns_test_stat(ns, "/d/e").ino);
    static const struct {
        const char *path;
        int rc;
    } wrong[] = {{"/d/f/", -ENOTDIR},   {"/d/f/x", -ENOTDIR},    {"/d/f/.", -ENOTDIR},
                 {"/nothing", -ENOENT}, {"/nothing/x", -ENOENT}, {"/link/f", -ENOTDIR}};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct ns_inode *inode;
        int rc = ns_resolve(ns, wrong[i].path, &inode, NULL);
        ck_assert_msg(rc == wrong[i].rc, "%s: %d", wrong[i].path, rc);
    }
    ck_assert_uint_eq(ns_live_inodes(ns), 1);
}
END_TEST

START_TEST(test_renames_that_do_nothing_or_are_refused)
{
    ck_assert_int_eq(ns_test_mkdir(ns, "/d"), 0);
    ck_assert_int_eq(ns_test_create(ns, "/d/f"), 0);
    ck_assert_int_eq(ns_test_link(ns, "/d/f", "/g"), 0);
    ck_assert_int_eq(ns_test_rename(ns, "/d", "/d", 0), 0);
    ck_assert_int_eq(ns_test_rename(ns, "/d/f", "/d/f", 0), 0);
    ck_assert_int_eq(ns_test_rename(ns, "/d/f", "/g", 0), 0); // two names of one file: both stay
    ck_assert(ns_test_exists(ns, "/d/f") && ns_test_exists(ns, "/g"));
    ck_assert_int_eq(ns_test_rename(ns, "/d", "/d", NS_RENAME_NOREPLACE), -EEXIST);
    ck_assert_int_eq(ns_test_rename(ns, "/d/f", "/d", 0), -EISDIR);
    ck_assert_int_eq(ns_test_rename(ns, "/d", "/g", 0), -ENOTDIR);
    ck_assert_int_eq(ns_test_mkdir(ns, "/e"), 0);
    ck_assert_int_eq(ns_test_rename(ns, "/e", "/d", 0), -ENOTEMPTY);
    ck_assert_int_eq(ns_test_rename(ns, "/none", "/d", 0), -ENOENT);
    ck_assert_int_eq(ns_test_rename(ns, "/d", "/none", NS_RENAME_EXCHANGE), -ENOENT);
    for (unsigned flags = 0; flags < 16; flags++) // a whiteout's owner is not named here
        ck_assert_int_eq(ns_test_rename(ns, "/none", "/x", flags),
                         flags == 3 || flags > 3 ? -EINVAL : -ENOENT);
    ck_assert_int_eq(ns_rename_as(ns, &test_cred, ns_root(ns), "d", 1, ns_root(ns), "none", 4,
                                  NS_RENAME_WHITEOUT | NS_RENAME_EXCHANGE),
                     -EINVAL);
    struct ns_inode *file = ns_test_get(ns, "/g");
    ck_assert_int_eq(ns_rename(ns, file, "x", 1, ns_root(ns), "y", 1, 0), -ENOTDIR);
    ns_inode_put(ns, file, 1);
}
END_TEST

static int rename_whiteout(const char *from, const char *to)
{
    const char *from_name, *to_name;
    struct ns_inode *from_dir = ns_test_dir_of(ns, from, &from_name);
    struct ns_inode *to_dir = ns_test_dir_of(ns, to, &to_name);
    uint64_t before = changes();
    int rc = ns_rename_as(ns, &test_cred, from_dir, from_name, strlen(from_name), to_dir, to_name,
                          strlen(to_name), NS_RENAME_WHITEOUT);
    ck_assert(changes() - before <= 9); // whatever is moved
    ns_inode_put(ns, from_dir, 1);
    ns_inode_put(ns, to_dir, 1);
    return rc;
}

static void expect_whiteout(const char *path)
{
    struct ns_attr attr = ns_test_stat(ns, path);
    ck_assert_uint_eq(attr.mode, S_IFCHR);
    ck_assert_uint_eq(attr.rdev, 0);
    ck_assert_uint_eq(attr.nlink, 1);
    ck_assert(attr.uid == test_cred.uid && attr.gid == test_cred.gid);
}

static uint64_t count_files(void)
{
    struct statvfs stat;
    ck_assert_int_eq(ns_statfs(ns, &stat), 0);
    return stat.f_files - stat.f_ffree;
}

START_TEST(test_whiteouts)
{
    ck_assert_int_eq(ns_test_mkdir(ns, "/d"), 0);
    ck_assert_int_eq(ns_test_mkdir(ns, "/d/sub"), 0);
    ck_assert_int_eq(ns_test_create(ns, "/d/sub/f"), 0);
    ck_assert_int_eq(ns_test_create(ns, "/d/g"), 0);
    ck_assert_int_eq(ns_test_create(ns, "/old"), 0);
    ck_assert_int_eq(ns_test_link(ns, "/d/g", "/g"), 0);
    uint64_t files = count_files();
    // A file to a free name: one more.
    ck_assert_int_eq(rename_whiteout("/d/g", "/d/h"), 0);
    expect_whiteout("/d/g");
    ck_assert_uint_eq(count_files(), files + 1);
    ck_assert_uint_eq(ns_test_stat(ns, "/d").size, 3);
    // Over a file: as many as before.
    ck_assert_int_eq(rename_whiteout("/d/h", "/old"), 0);
    expect_whiteout("/d/h");
    ck_assert_uint_eq(count_files(), files + 1);
    ck_assert_uint_eq(ns_test_stat(ns, "/old").ino, ns_test_stat(ns, "/g").ino);
    // Two names of one file: nothing happens.
    ck_assert_int_eq(rename_whiteout("/old", "/g"), 0);
    ck_assert_uint_eq(ns_test_stat(ns, "/old").nlink, 2);
    // A directory: its prefix stays with it, and its old name is a whiteout, then anything.
    ck_assert_int_eq(rename_whiteout("/d/sub", "/moved"), 0);
    expect_whiteout("/d/sub");
    ck_assert_uint_eq(ns_test_stat(ns, "/d").nlink, 2);
    ck_assert_uint_eq(ns_test_stat(ns, "/").nlink, 4);
    ck_assert(ns_test_exists(ns, "/moved/f") && has_marker("d\1sub"));
    ck_assert_int_eq(ns_test_unlink(ns, "/d/sub"), 0);
    ck_assert_int_eq(ns_test_mkdir(ns, "/d/sub"), 0);
    ck_assert(!ns_test_exists(ns, "/d/sub/f"));
    reopen(true);
    expect_whiteout("/d/g");
    expect_whiteout("/d/h");
    ck_assert(ns_test_exists(ns, "/moved/f") && !ns_test_exists(ns, "/d/sub/f"));
    // A whiteout can be moved like any file, and leave one itself.
    ck_assert_int_eq(rename_whiteout("/d/g", "/d/i"), 0);
    expect_whiteout("/d/g");
    expect_whiteout("/d/i");
    ck_assert_uint_eq(count_files(), files + 3);
}
END_TEST

// ------------------------------------------------------------------------------- flags

static void set_flags(const char *path, uint32_t flags)
{
    struct ns_inode *inode = ns_test_get(ns, path);
    ck_assert_int_eq(ns_set_flags(ns, inode, flags, false), 0);
    ns_inode_put(ns, inode, 1);
}

static int set_mtime(const char *path, time_t mtime, unsigned mask)
{
    const struct ns_attr attr = {.mtime = {mtime, 0}, .ctime = {mtime, 1}};
    struct ns_inode *inode = ns_test_get(ns, path);
    int rc = ns_setattr(ns, inode, &attr, mask, NULL);
    ns_inode_put(ns, inode, 1);
    return rc;
}

// (What they forbid is in the model.)
START_TEST(test_flags_are_kept)
{
    ck_assert_int_eq(ns_test_mkdir(ns, "/d"), 0);
    set_flags("/d", NS_FLAGS & ~NS_IMMUTABLE);
    ck_assert_int_eq(ns_test_create(ns, "/d/f"), 0);
    ck_assert_int_eq(ns_test_symlink(ns, "x", "/d/l"), 0);
    ck_assert_int_eq(ns_test_create(ns, "/f"), 0);
    set_flags("/f", NS_IMMUTABLE);
    struct ns_inode *inode = ns_test_get(ns, "/f");
    ck_assert_int_eq(ns_set_flags(ns, inode, NS_FLAGS + 1, false), -EINVAL);
    ns_inode_put(ns, inode, 1);
    reopen(true);
    ck_assert_uint_eq(ns_test_stat(ns, "/d").flags, NS_FLAGS & ~NS_IMMUTABLE);
    ck_assert_uint_eq(ns_test_stat(ns, "/d/f").flags, NS_NODUMP | NS_NOATIME);
    ck_assert_uint_eq(ns_test_stat(ns, "/d/l").flags, NS_NODUMP | NS_NOATIME);
    ck_assert_uint_eq(ns_test_stat(ns, "/f").flags, NS_IMMUTABLE);
    ck_assert_int_eq(ns_test_unlink(ns, "/f"), -EPERM);
    set_flags("/f", 0);
    ck_assert_int_eq(ns_test_unlink(ns, "/f"), 0);
}
END_TEST

START_TEST(test_noatime)
{
    ck_assert_int_eq(ns_test_create(ns, "/f"), 0);
    struct ns_inode *inode = ns_test_get(ns, "/f");
    ck_assert_int_eq(ns_accessed(ns, inode, true), 1);
    set_flags("/f", NS_NOATIME);
    ck_assert_int_eq(ns_accessed(ns, inode, true), 0);
    ck_assert_int_eq(ns_accessed(ns, inode, false), 0);
    set_flags("/f", NS_IMMUTABLE); // is read as any
    ck_assert_int_eq(ns_accessed(ns, inode, true), 1);
    ns_inode_put(ns, inode, 1);
}
END_TEST

// The kernel's cache passes times on late: a ctime alone always, an mtime only where it says so.
START_TEST(test_times_of_an_immutable_file)
{
    const unsigned both = NS_SET_MTIME | NS_SET_CTIME | NS_SET_KEEP_TIMES;
    ck_assert_int_eq(ns_test_create(ns, "/f"), 0);
    ck_assert_int_eq(set_mtime("/f", 1000, both), 0);
    set_flags("/f", NS_IMMUTABLE);
    ck_assert_int_eq(set_mtime("/f", 2000, both), -EPERM);
    ck_assert_int_eq(set_mtime("/f", 1000, both), 0);
    ck_assert_int_eq(set_mtime("/f", 1000, NS_SET_MTIME), -EPERM);
    ck_assert_int_eq(set_mtime("/f", 3000, both | NS_SET_EARLIER), 0);
    ck_assert_int_eq(ns_test_stat(ns, "/f").mtime.tv_sec, 3000);
}
END_TEST

// ------------------------------------------------------------------------------- links

START_TEST(test_hard_link_limit)
{
    char path[32];
    ck_assert_int_eq(ns_test_create(ns, "/f"), 0);
    struct ns_inode *inode = ns_test_get(ns, "/f");
    struct ns_attr attr;
    int rc = 0, links = 1;
    for (; links < NS_LINK_MAX && !rc; links += !rc) {
        int n = snprintf(path, sizeof path, "link%d", links);
        rc = ns_link(ns, inode, ns_root(ns), path, (size_t)n, &attr);
    }
    ck_assert_int_eq(rc, 0);
    ck_assert_uint_eq(attr.nlink, NS_LINK_MAX);
    ck_assert_int_eq(ns_link(ns, inode, ns_root(ns), "more", 4, NULL), -EMLINK);
    ck_assert_int_eq(ns_unlink(ns, ns_root(ns), "f", 1), 0);
    ck_assert_int_eq(ns_link(ns, inode, ns_root(ns), "more", 4, NULL), 0);
    ck_assert_int_eq(ns_link(ns, inode, ns_root(ns), "another", 7, NULL), -EMLINK);
    ns_inode_put(ns, inode, 1);
}
END_TEST

START_TEST(test_links_share_a_record_that_goes_with_the_last)
{
    ck_assert_int_eq(ns_test_mkdir(ns, "/d"), 0);
    ck_assert_int_eq(ns_test_create(ns, "/a"), 0);
    ck_assert_uint_eq(keys_of(KEY_INODE), 0);
    struct ns_inode *inode = ns_test_get(ns, "/a");
    ck_assert_int_eq(ns_test_link(ns, "/a", "/d/b"), 0);
    ck_assert_int_eq(ns_test_write(ns, "/d/b", 0, 5000, 'q'), 5000);
    ck_assert_uint_eq(ns_test_stat(ns, "/a").size, 5000);
    ck_assert_uint_eq(ns_test_stat(ns, "/a").nlink, 2);
    ck_assert_int_eq(ns_link(ns, ns_root(ns), ns_root(ns), "r", 1, NULL), -EPERM);
    ck_assert_int_eq(ns_test_link(ns, "/a", "/d"), -EEXIST);
    ck_assert_int_eq(ns_test_unlink(ns, "/a"), 0);
    ck_assert_uint_eq(ns_test_stat(ns, "/d/b").nlink, 1);
    ck_assert_uint_eq(keys_of(KEY_INODE), 1);
    ns_expect_clean(ns, "one name left");
    ck_assert_int_eq(ns_test_unlink(ns, "/d/b"), 0);
    ck_assert_uint_eq(keys_of(KEY_INODE), 0);
    ck_assert_uint_eq(keys_of(KEY_EXTENT), 0);
    struct ns_attr attr;
    ck_assert_int_eq(ns_getattr(ns, inode, &attr), 0);
    ck_assert_uint_eq(attr.nlink, 0);
    ck_assert_int_eq(ns_link(ns, inode, ns_root(ns), "back", 4, NULL), -ENOENT);
    ns_inode_put(ns, inode, 1);
}
END_TEST

// ------------------------------------------------------------------------------- orphans

static struct ns_inode *make_orphan(const char *path)
{
    ck_assert_int_eq(ns_test_create(ns, path), 0);
    for (int i = 0; i < 20; i++)
        ck_assert_int_eq(ns_test_write(ns, path, (uint64_t)i * 300000, 200000, 'o'), 200000);
    struct ns_inode *inode = ns_test_get(ns, path);
    ck_assert_int_eq(ns_setxattr(ns, inode, "user.x", "v", 1, 0), 0);
    ns_inode_opened(ns, inode);
    ck_assert_int_eq(ns_test_unlink(ns, path), 0);
    return inode;
}

static void expect_nothing_left(const char *when)
{
    ck_assert_int_eq(ns_wait_idle(ns), 0);
    ck_assert_msg(keys_of(KEY_EXTENT) + keys_of(KEY_ORPHAN) + keys_of(KEY_XATTR) == 0,
                  "%s: %u extents, %u orphans, %u attributes", when, keys_of(KEY_EXTENT),
                  keys_of(KEY_ORPHAN), keys_of(KEY_XATTR));
}

static struct ns_inode *labels_reopen(struct ns_inode *inode)
{
    ns_inode_put(ns, inode, 1);
    reopen(false);
    return ns_test_get(ns, "/f");
}

START_TEST(test_labels)
{
    char path[32];
    ck_assert_int_eq(ns_test_create(ns, "/f"), 0);
    struct ns_inode *inode = ns_test_get(ns, "/f");
    ck_assert_int_eq(ns_setxattr(ns, inode, "security.selinux.x", "1", 1, 0), 0);
    ck_assert(!ns_may_have_labels(ns));
    ck_assert_int_eq(ns_setxattr(ns, inode, "security.selinux", "1", 1, 0), 0);
    ck_assert(ns_may_have_labels(ns));
    inode = labels_reopen(inode);
    ck_assert(ns_may_have_labels(ns));
    ck_assert_int_eq(ns_removexattr(ns, inode, "security.selinux"), 0);
    inode = labels_reopen(inode);
    ck_assert(!ns_may_have_labels(ns));
    for (unsigned i = 0; i < 4096; i++) { // too many to look at
        snprintf(path, sizeof path, "user.%u", i);
        ck_assert_int_eq(ns_setxattr(ns, inode, path, "1", 1, 0), 0);
    }
    inode = labels_reopen(inode);
    ck_assert(ns_may_have_labels(ns));
    ns_inode_put(ns, inode, 1);
}
END_TEST

START_TEST(test_an_open_file_outlives_its_name)
{
    char bytes[100];
    struct ns_inode *inode = make_orphan("/f");
    ck_assert_int_eq(ns_read(ns, inode, bytes, sizeof bytes, 300000), sizeof bytes);
    ck_assert_int_eq(bytes[99], 'o');
    ck_assert_int_eq(ns_write(ns, inode, "new", 3, 1 << 23, 0, NULL), 3);
    ck_assert_int_eq(ns_getxattr(ns, inode, "user.x", bytes, sizeof bytes), 1);
    ck_assert_uint_eq(keys_of(KEY_ORPHAN), 1);
    ns_expect_clean(ns, "while it is open");
    ns_inode_closed(ns, inode);
    ns_inode_put(ns, inode, 1);
    expect_nothing_left("after the last reference went");
}
END_TEST

START_TEST(test_orphans_are_reclaimed_at_the_next_start)
{
    for (int killed = 0; killed < 2; killed++) {
        make_orphan("/f");
        make_orphan("/g");
        ck_assert_uint_eq(keys_of(KEY_ORPHAN), 2);
        reopen(killed);
        expect_nothing_left(killed ? "after a kill" : "after a close");
    }
}
END_TEST

START_TEST(test_a_read_only_store_keeps_its_orphans)
{
    make_orphan("/f");
    ck_assert_int_eq(ns_test_create(ns, "/other"), 0);
    ck_assert_int_eq(ns_close(ns), 0);
    struct ns_options options = ns_small_options(env);
    options.engine.read_only = true;
    ck_assert_int_eq(ns_open("/fs", &options, &ns), 0);
    ck_assert_uint_eq(keys_of(KEY_ORPHAN), 1);
    ns_expect_clean(ns, "read-only");
    ck_assert_int_eq(ns_test_create(ns, "/new"), -EROFS);
    ck_assert_int_eq(ns_test_unlink(ns, "/other"), -EROFS);
    ck_assert(ns_test_exists(ns, "/other"));
    reopen(false);
    expect_nothing_left("writable again");
}
END_TEST

START_TEST(test_a_removed_directory_that_is_held)
{
    ck_assert_int_eq(ns_test_mkdir(ns, "/d"), 0);
    struct ns_inode *dir = ns_test_get(ns, "/d"), *inode;
    struct ns_attr attr;
    ck_assert_int_eq(ns_test_rmdir(ns, "/d"), 0);
    ck_assert_int_eq(ns_test_mkdir(ns, "/d"), 0); // takes over the prefix
    ck_assert_int_eq(ns_test_create(ns, "/d/f"), 0);
    ck_assert_int_eq(ns_getattr(ns, dir, &attr), 0);
    ck_assert_uint_eq(attr.nlink, 0);
    ck_assert_int_eq(ns_lookup(ns, dir, "f", 1, &inode, NULL), -ENOENT);
    ck_assert_int_eq(ns_unlink(ns, dir, "f", 1), -ENOENT);
    ck_assert_int_eq(ns_mknod(ns, &test_cred, dir, "g", 1, S_IFREG, 0, &inode, NULL), -ENOENT);
    ck_assert_int_eq(ns_rename(ns, dir, "f", 1, ns_root(ns), "x", 1, 0), -ENOENT);
    ck_assert_int_eq(ns_rename(ns, ns_root(ns), "d", 1, dir, "x", 1, 0), -ENOENT);
    ns_inode_put(ns, dir, 1);
    ck_assert(ns_test_exists(ns, "/d/f"));
}
END_TEST

// ------------------------------------------------------------------------------- the store

START_TEST(test_numbers_are_never_used_again)
{
    uint64_t highest = 1;
    for (int i = 0; i < 6; i++) {
        ck_assert_int_eq(ns_test_create(ns, "/f"), 0);
        uint64_t ino = ns_test_stat(ns, "/f").ino;
        ck_assert_uint_gt(ino, highest);
        highest = ino;
        ck_assert_int_eq(ns_test_unlink(ns, "/f"), 0);
        reopen(i % 2);
    }
}
END_TEST

START_TEST(test_files_are_counted)
{
    struct statvfs stat;
    ck_assert_int_eq(ns_test_mkdir(ns, "/d"), 0);
    ck_assert_int_eq(ns_test_create(ns, "/d/f"), 0);
    ck_assert_int_eq(ns_test_link(ns, "/d/f", "/g"), 0);
    ck_assert_int_eq(ns_test_create(ns, "/d/h"), 0);
    ck_assert_int_eq(ns_test_rename(ns, "/d/h", "/g", 0), 0);
    reopen(true);
    ck_assert_int_eq(ns_statfs(ns, &stat), 0);
    ck_assert_uint_eq(stat.f_files - stat.f_ffree, 4); // the root, d, f, what was h
    ck_assert_uint_eq(stat.f_namemax, 255);
}
END_TEST

// Puts one value into the store and tells how ns_open likes it.
static int open_with(const char *key, const void *value, size_t size)
{
    struct ns_options options = ns_small_options(env);
    struct lsm *db;
    struct ns *opened;
    struct lsm_buf old = {0};
    ck_assert_int_eq(lsm_open("/fs", &options.engine, &db), 0);
    ck_assert_int_eq(lsm_get(db, NULL, key, strlen(key), &old), 0);
    ck_assert_int_eq(value ? lsm_put(db, NULL, key, strlen(key), value, size)
                           : lsm_delete(db, NULL, key, strlen(key)),
                     0);
    ck_assert_int_eq(lsm_close(db), 0);
    int status = ns_open("/fs", &options, &opened);
    if (!status)
        ck_assert_int_eq(ns_close(opened), 0);
    ck_assert_int_eq(lsm_open("/fs", &options.engine, &db), 0);
    ck_assert_int_eq(lsm_put(db, NULL, key, strlen(key), old.data, old.size), 0);
    ck_assert_int_eq(lsm_close(db), 0);
    lsm_buf_release(&old);
    return status;
}

START_TEST(test_stores_that_are_refused)
{
    ck_assert_int_eq(ns_close(ns), 0);
    uint8_t super[20] = "lsmfs ns\2";
    ck_assert_int_eq(open_with("S", super, 20), LSM_NEWER_FORMAT);
    super[8] = 1;
    ck_assert_int_eq(open_with("S", super, 20), 0);
    super[12] = 1; // unwritten ranges
    ck_assert_int_eq(open_with("S", super, 20), 0);
    super[12] = 3; // lost ones too
    ck_assert_int_eq(open_with("S", super, 20), 0);
    super[12] = 7; // places too
    ck_assert_int_eq(open_with("S", super, 20), 0);
    super[12] = 8;
    ck_assert_int_eq(open_with("S", super, 20), LSM_NEWER_FORMAT);
    super[12] = 0;
    ck_assert_int_eq(open_with("S", super, 19), LSM_CORRUPTION);
    ck_assert_int_eq(open_with("S", "something else", 14), LSM_NOT_A_STORE);
    ck_assert_int_eq(open_with("S", NULL, 0), LSM_NOT_A_STORE);
    ck_assert_int_eq(open_with("R", NULL, 0), LSM_CORRUPTION);
    ck_assert_int_eq(open_with("R", "\1\377z", 3), LSM_CORRUPTION);
    ck_assert_int_eq(open_with("N", NULL, 0), LSM_CORRUPTION);
    ck_assert_int_eq(open_with("N", "\0\0\0\0\0\0\0\0", 8), LSM_CORRUPTION);
    ck_assert_int_eq(open_with("N", "short", 5), LSM_CORRUPTION);
    struct ns_options options = ns_small_options(env);
    options.inline_max = 65537;
    ck_assert_int_eq(ns_open("/fs", &options, &ns), LSM_INVALID);
    ck_assert_ptr_nonnull(strstr(lsm_error_detail(), "inline_max"));
    options.inline_max = 65536;
    ck_assert_int_eq(ns_open("/fs", &options, &ns), 0);
}
END_TEST

// Bytes of the superblock and of a new store's other keys, as in docs/format.md.
START_TEST(test_golden_new_store)
{
    struct lsm_buf value = {0};
    ck_assert_int_eq(lsm_get(ns_engine(ns), NULL, "S", 1, &value), 0);
    ck_assert_uint_eq(value.size, 20);
    ck_assert_mem_eq(value.data, "lsmfs ns\1\0\0\0\0\0\0\0\0\0\0\0", 20);
    ck_assert_int_eq(lsm_get(ns_engine(ns), NULL, "N", 1, &value), 0);
    ck_assert_uint_eq(value.size, 8);
    ck_assert_mem_eq(value.data, "\2\0\0\0\0\0\0\0", 8);
    ck_assert_int_eq(lsm_get(ns_engine(ns), NULL, "C\0", 2, &value), 0);
    ck_assert_uint_eq(value.size, 8);
    ck_assert_mem_eq(value.data, "\1\0\0\0\0\0\0\0", 8);
    struct record root;
    ck_assert_int_eq(lsm_get(ns_engine(ns), NULL, "R", 1, &value), 0);
    ck_assert_int_eq(record_decode(value.data, value.size, &root), 0);
    ck_assert_uint_eq(root.ino, NS_ROOT_INO);
    ck_assert_uint_eq(root.mode, S_IFDIR | 0755);
    lsm_buf_release(&value);
    ck_assert_int_eq(ns_test_mkdir(ns, "/d"), 0);
    ck_assert_int_eq(ns_test_rename(ns, "/d", "/e", 0), 0);
    ck_assert_int_eq(lsm_get(ns_engine(ns), NULL, "Pd", 2, &value), 0);
    ck_assert_uint_eq(value.size, 8);
    ck_assert_mem_eq(value.data, "\2\0\0\0\0\0\0\0", 8);
    lsm_buf_release(&value);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("namespace");
    TCase *tc = tcase_create("namespace");
    tcase_add_checked_fixture(tc, ns_setup, ns_teardown);
    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, test_directory_rename_is_small);
    tcase_add_test(tc, test_a_new_directory_in_the_old_place);
    tcase_add_test(tc, test_children_of_a_moved_directory);
    tcase_add_test(tc, test_exchange_of_homes);
    tcase_add_test(tc, test_parent);
    tcase_add_test(tc, test_prefixes_past_the_limit_start_afresh);
    tcase_add_test(tc, test_names_with_separator_bytes);
    tcase_add_test(tc, test_which_names_are_names);
    tcase_add_test(tc, test_resolve);
    tcase_add_test(tc, test_renames_that_do_nothing_or_are_refused);
    tcase_add_test(tc, test_whiteouts);
    tcase_add_test(tc, test_flags_are_kept);
    tcase_add_test(tc, test_noatime);
    tcase_add_test(tc, test_times_of_an_immutable_file);
    tcase_add_test(tc, test_hard_link_limit);
    tcase_add_test(tc, test_links_share_a_record_that_goes_with_the_last);
    tcase_add_test(tc, test_an_open_file_outlives_its_name);
    tcase_add_test(tc, test_orphans_are_reclaimed_at_the_next_start);
    tcase_add_test(tc, test_a_read_only_store_keeps_its_orphans);
    tcase_add_test(tc, test_a_removed_directory_that_is_held);
    tcase_add_test(tc, test_labels);
    tcase_add_test(tc, test_numbers_are_never_used_again);
    tcase_add_test(tc, test_files_are_counted);
    tcase_add_test(tc, test_stores_that_are_refused);
    tcase_add_test(tc, test_golden_new_store);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
