// What operations cost in the store: point gets, iterators and batches. The table is that of
// docs/reference.md; a number that goes up is a failure, and one that goes down has to be written
// there.
#include <fcntl.h>
#include <stdatomic.h>

#include "ns_util.h"

static struct env *env;
static struct ns *ns;
static struct ns_inode *dir, *file, *large, *symlink_inode;

static uint64_t number(const char *name)
{
    uint64_t value;
    ck_assert_msg(lsm_property_uint(ns_engine(ns), name, &value), "%s", name);
    return value;
}

struct cost {
    uint64_t gets, iterators, writes;
};

static struct cost cost_now(void)
{
    return (struct cost){number("gets"), number("iterators"), number("writes")};
}

static void expect_cost(const char *what, struct cost before, uint64_t gets, uint64_t iterators,
                        uint64_t writes)
{
    struct cost now = cost_now();
    now.gets -= before.gets;
    now.iterators -= before.iterators;
    now.writes -= before.writes;
    ck_assert_msg(now.gets == gets && now.iterators == iterators && now.writes == writes,
                  "%s: %d gets, %d iterators, %d batches", what, (int)now.gets, (int)now.iterators,
                  (int)now.writes);
}

// Runs `call`, which must return `result`.
#define COSTS(call, result, gets, iterators, writes)                                               \
    do {                                                                                           \
        struct cost before_ = cost_now();                                                          \
        ck_assert_int_eq(call, result);                                                            \
        expect_cost(#call, before_, gets, iterators, writes);                                      \
    } while (0)

static void open_store(void)
{
    struct ns_options options;
    ns_options_init(&options); // a large write buffer: nothing goes on in the background
    options.engine.env = env;
    ck_assert_int_eq(ns_open("/fs", &options, &ns), 0);
}

static void open_files(void)
{
    dir = ns_test_get(ns, "/d");
    file = ns_test_get(ns, "/d/f");
    large = ns_test_get(ns, "/d/large");
    symlink_inode = ns_test_get(ns, "/d/symlink");
}

static void setup(void)
{
    env = env_fault_new();
    open_store();
    ck_assert_int_eq(ns_test_mkdir(ns, "/d"), 0);
    ck_assert_int_eq(ns_test_create(ns, "/d/f"), 0);
    ck_assert_int_eq(ns_test_create(ns, "/d/large"), 0);
    ck_assert_int_eq(ns_test_create(ns, "/d/linked"), 0);
    ck_assert_int_eq(ns_test_link(ns, "/d/linked", "/d/link"), 0);
    ck_assert_int_eq(ns_test_symlink(ns, "target", "/d/symlink"), 0);
    ck_assert_int_eq(ns_test_write(ns, "/d/f", 0, 100, 'a'), 100);
    ck_assert_int_eq(ns_test_write(ns, "/d/large", 0, 100000, 'a'), 100000);
    open_files();
    ck_assert_int_eq(ns_wait_idle(ns), 0);
}

static void teardown(void)
{
    ns_inode_put(ns, dir, 1);
    ns_inode_put(ns, file, 1);
    ns_inode_put(ns, large, 1);
    ns_inode_put(ns, symlink_inode, 1);
    ck_assert_int_eq(ns_close(ns), 0);
    env_fault_free(env);
}

static int lookup(const char *name)
{
    struct ns_inode *inode;
    struct ns_attr attr;
    int rc = ns_lookup(ns, dir, name, strlen(name), &inode, &attr);
    if (!rc)
        ns_inode_put(ns, inode, 1);
    return rc;
}

static int ignore(void *arg, const struct ns_dirent *entry)
{
    (void)arg;
    if (entry->inode)
        ns_inode_put(ns, entry->inode, 1);
    return 0;
}

static int list(bool plus)
{
    return ns_list(ns, dir, 0, plus, ignore, NULL);
}

START_TEST(test_reading)
{
    struct ns_attr attr;
    struct statvfs st;
    static uint8_t data[131072];
    char target[16];
    COSTS(lookup("f"), 0, 1, 0, 0);
    COSTS(lookup("linked"), 0, 2, 0, 0); // the name, and what it leads to
    COSTS(lookup("missing"), -ENOENT, 1, 0, 0);
    COSTS(ns_getattr(ns, file, &attr), 0, 1, 0, 0);
    COSTS(ns_read(ns, file, data, sizeof data, 0), 100, 1, 0, 0);
    COSTS(ns_read(ns, large, data, sizeof data, 0), 100000, 2, 0, 0);
    COSTS(ns_readlink(ns, symlink_inode, target, sizeof target), 6, 1, 0, 0);
    COSTS(ns_seek(ns, file, 0, SEEK_HOLE), 100, 1, 0, 0);
    COSTS(ns_seek(ns, large, 0, SEEK_HOLE), 100000, 1, 1, 0);
    COSTS(ns_getxattr(ns, file, "user.a", NULL, 0), -ENODATA, 1, 0, 0);
    COSTS(ns_listxattr(ns, file, NULL, 0), 0, 1, 0, 0);
    COSTS(ns_statfs(ns, &st), 0, 0, 0, 0);
    COSTS(list(false), 0, 0, 1, 0);
    COSTS(list(false), 0, 0, 0, 0); // it is kept, until a name changes
    COSTS(list(true), 0, 4, 1, 0);  // two for each name of a file with two
}
END_TEST

// What a first `cat` asks for: LOOKUP, OPEN, READ. The time of access is written later, once.
START_TEST(test_a_first_cat)
{
    static uint8_t data[4096];
    const struct timespec old = {.tv_sec = 1000};
    const struct ns_attr attr = {.atime = old, .mtime = old, .ctime = old};
    unsigned times = NS_SET_ATIME | NS_SET_MTIME | NS_SET_CTIME;
    ck_assert_int_eq(ns_setattr(ns, file, &attr, times, NULL), 0);
    struct cost before = cost_now();
    ck_assert_int_eq(lookup("f"), 0);
    ck_assert_int_eq(ns_accessed(ns, file, NS_ACCESS_RELATIVE), 1);
    ck_assert_int_eq(ns_read_with(ns, file, data, sizeof data, 0, NS_ACCESS_RELATIVE), 100);
    struct ns_attr now;
    expect_cost("cat", before, 3, 0, 0);
    before = cost_now();
    ck_assert_int_eq(ns_wait_idle(ns), 0);
    expect_cost("the time of access", before, 1, 0, 1);
    COSTS(ns_accessed(ns, file, NS_ACCESS_RELATIVE), 0, 1, 0, 0);
    ck_assert_int_eq(ns_getattr(ns, file, &now), 0);
    ck_assert_int_gt(now.atime.tv_sec, 1000);
    ck_assert_int_eq(now.mtime.tv_sec, 1000);
    // What sets the time comes after what was read before.
    COSTS(ns_accessed(ns, file, NS_ACCESS_ALWAYS), 1, 1, 0, 0);
    ck_assert_int_eq(ns_setattr(ns, file, &attr, times, NULL), 0);
    ck_assert_int_eq(ns_wait_idle(ns), 0);
    ck_assert_int_eq(ns_getattr(ns, file, &now), 0);
    ck_assert_int_eq(now.atime.tv_sec, 1000);
}
END_TEST

static int create(const char *name, uint32_t mode)
{
    struct ns_inode *inode;
    int rc = S_ISDIR(mode)
                 ? ns_mkdir(ns, &test_cred, dir, name, strlen(name), 0755, &inode, NULL)
                 : ns_mknod(ns, &test_cred, dir, name, strlen(name), mode, 0, &inode, NULL);
    if (!rc)
        ns_inode_put(ns, inode, 1);
    return rc;
}

// A list that says what mode 0600, or 0640, says.
static int set_list(uint8_t group)
{
    const uint8_t list[] = {2,  0, 0,     0,                          // version
                            1,  0, 6,     0, 0xff, 0xff, 0xff, 0xff,  // user
                            4,  0, group, 0, 0xff, 0xff, 0xff, 0xff,  // group
                            32, 0, 0,     0, 0xff, 0xff, 0xff, 0xff}; // others
    return ns_setxattr(ns, file, "system.posix_acl_access", list, sizeof list, 0);
}

START_TEST(test_changing)
{
    const struct ns_attr attr = {.mode = 0600};
    static uint8_t data[4096];
    ck_assert_int_eq(create("first", S_IFREG | 0644), 0);
    COSTS(create("new", S_IFREG | 0644), 0, 2, 0, 1); // that there is no such name; the directory
    COSTS(create("sub", S_IFDIR), 0, 2, 0, 1);
    COSTS(ns_setattr(ns, file, &attr, NS_SET_MODE, NULL), 0, 1, 0, 1);
    COSTS(set_list(0), 0, 1, 0, 0); // as cp -a does
    COSTS(set_list(4), 0, 1, 0, 1);
    COSTS(ns_write(ns, file, "b", 1, 0, 0, NULL), 1, 1, 0, 1);
    COSTS(ns_write(ns, large, data, 1, 100000, 0, NULL), 1, 2, 1, 1); // that it has no tail: once
    COSTS(ns_write(ns, large, data, 1, 100001, 0, NULL), 1, 2, 1, 1); // joined with the one before
    COSTS(ns_write(ns, large, data, 4096, 4096, 0, NULL), 4096, 2, 1, 1);
    COSTS(ns_write(ns, large, data, 4096, 4096, 0, NULL), 4096, 2, 0, 1); // just the same place
    COSTS(ns_setxattr(ns, file, "user.a", "1", 1, 0), 0, 1, 0, 1);
    COSTS(ns_link(ns, file, dir, "f2", 2, NULL), 0, 3, 0, 1);
    COSTS(ns_rename(ns, dir, "new", 3, dir, "new2", 4, 0), 0, 3, 0, 1);
    COSTS(ns_rename(ns, dir, "sub", 3, dir, "sub2", 4, 0), 0, 3, 0, 1);
    COSTS(ns_unlink(ns, dir, "new2", 4), 0, 2, 0, 1);
    COSTS(ns_unlink(ns, dir, "f2", 2), 0, 3, 0, 1);
    COSTS(ns_rmdir(ns, dir, "sub2", 4), 0, 2, 0, 1);
}
END_TEST

// What has lost its last name and is small is nowhere but in memory, whatever is changed of it.
START_TEST(test_removed)
{
    const struct timespec time = {.tv_sec = 1000};
    const struct ns_attr attr = {.mode = 0600, .uid = 7, .mtime = time, .ctime = time};
    const unsigned times = NS_SET_MTIME | NS_SET_CTIME;
    struct ns_attr now;
    char data[100];
    ck_assert_int_eq(ns_unlink(ns, dir, "f", 1), 0);
    COSTS(ns_setattr(ns, file, &attr, times, NULL), 0, 0, 0, 0);
    COSTS(ns_setattr(ns, file, &attr, NS_SET_MODE | NS_SET_UID | NS_SET_KEEP_TIMES, NULL), 0, 0, 0,
          0);
    COSTS(ns_getattr(ns, file, &now), 0, 0, 0, 0);
    ck_assert_uint_eq(now.nlink, 0);
    ck_assert_uint_eq(now.mode, S_IFREG | 0600);
    ck_assert_uint_eq(now.uid, 7);
    ck_assert_int_eq(now.mtime.tv_sec, 1000);
    ck_assert_int_eq(now.ctime.tv_sec, 1000);
    ck_assert_int_eq(ns_read(ns, file, data, sizeof data, 0), 100);
    ck_assert_int_eq(data[99], 'a');
    // with more content it is in the store again, and what was set stays
    static char more[50000];
    ck_assert_int_eq(ns_write(ns, file, more, sizeof more, 100, 0, NULL), sizeof more);
    ck_assert_int_eq(ns_getattr(ns, file, &now), 0);
    ck_assert_uint_eq(now.mode, S_IFREG | 0600);
    ck_assert_uint_eq(now.uid, 7);
    // then the kernel's times are not worth a batch
    COSTS(ns_setattr(ns, file, &attr, times | NS_SET_KEEP_TIMES | NS_SET_CALLERS, NULL), 0, 1, 0,
          0);
}
END_TEST

#define ORPHANS 200u

// Many unlinked files with content are reclaimed at once; one iterator each.
START_TEST(test_reclaimed)
{
    char path[32];
    for (unsigned i = 0; i < ORPHANS; i++) {
        snprintf(path, sizeof path, "/d/many%u", i);
        ck_assert_int_eq(ns_test_create(ns, path), 0);
        ck_assert_int_eq(ns_test_write(ns, path, 0, 5000, 'a'), 5000);
        struct ns_inode *inode = ns_test_get(ns, path);
        ck_assert_int_eq(ns_inode_opened(ns, inode), 0);
        ck_assert_int_eq(ns_test_unlink(ns, path), 0);
    }
    ck_assert_int_eq(ns_close(ns), 0); // which nobody has closed
    open_store();
    ck_assert_int_eq(ns_wait_idle(ns), 0);
    struct cost now = cost_now();
    ck_assert_uint_ge(now.iterators, ORPHANS);
    ck_assert_uint_le(now.iterators, ORPHANS + 20);
    ck_assert_uint_ge(now.writes, 1);
    ck_assert_uint_le(now.writes, 10);
    ns_expect_clean(ns, "after reclaiming");
    open_files();
}
END_TEST

#define APPENDS 20000u

// Small appends: what one costs does not depend on how many there were.
START_TEST(test_appends)
{
    uint64_t moves[2], first_bytes = number("user-bytes-written");
    for (unsigned i = 0; i < APPENDS; i++) {
        uint64_t before = number("iter-searches") + number("iter-steps");
        ck_assert_int_eq(ns_write(ns, file, "1234", 4, 100 + 4 * i, 0, NULL), 4);
        uint64_t cost = number("iter-searches") + number("iter-steps") - before;
        moves[i >= APPENDS / 2] =
            i % (APPENDS / 2) && moves[i >= APPENDS / 2] > cost ? moves[i >= APPENDS / 2] : cost;
    }
    ck_assert_msg(moves[1] <= moves[0] && moves[1] <= 10, "an append moves iterators %d times, %d",
                  (int)moves[0], (int)moves[1]);
    // The record, and a last extent that is joined until it has 4 KiB.
    uint64_t bytes = (number("user-bytes-written") - first_bytes) / APPENDS;
    ck_assert_msg(bytes <= 2048 + 256, "%d bytes an append", (int)bytes);
    struct ns_attr attr;
    ck_assert_int_eq(ns_getattr(ns, file, &attr), 0);
    ck_assert_uint_eq(attr.size, 100 + 4 * APPENDS);
    ck_assert_int_eq(ns_wait_idle(ns), 0);
    ns_expect_clean(ns, "after the appends");
}
END_TEST

// How often tables were read with pread, and mapped.
struct table_calls {
    atomic_uint reads, maps;
};

static void note_table_call(void *arg, const char *what, const char *path)
{
    struct table_calls *calls = arg;
    if (!strstr(path, ".sst"))
        return;
    if (strcmp(what, "map") == 0)
        atomic_fetch_add(&calls->maps, 1);
    else if (strcmp(what, "read") == 0)
        atomic_fetch_add(&calls->reads, 1);
}

// No table is mapped, also not one whose blocks do not compress: a page of a mapping that the disk
// cannot return would end the process, and each would be a request to the disk of its own.
START_TEST(test_no_table_is_mapped)
{
    enum { FILES = 40, SIZE = 2000 };
    static struct table_calls calls;
    uint8_t data[FILES][SIZE], back[SIZE];
    uint64_t state = 1;
    for (size_t i = 0; i < sizeof data; i++) {
        state = state * UINT64_C(6364136223846793005) + 1442695040888963407u;
        ((uint8_t *)data)[i] = (uint8_t)(state >> 56);
    }
    env_fault_on_call(env, note_table_call, &calls);
    for (int i = 0; i < FILES; i++) {
        char path[32];
        snprintf(path, sizeof path, "/d/noise%d", i);
        ck_assert_int_eq(ns_test_create(ns, path), 0);
        struct ns_inode *inode = ns_test_get(ns, path);
        ck_assert_int_eq(ns_write(ns, inode, data[i], SIZE, 0, 0, NULL), SIZE);
        ns_inode_put(ns, inode, 1);
    }
    ck_assert_int_eq(lsm_flush(ns_engine(ns)), LSM_OK);
    unsigned reads = atomic_load(&calls.reads);
    for (int i = 0; i < FILES; i++) {
        char path[32];
        snprintf(path, sizeof path, "/d/noise%d", i);
        struct ns_inode *inode = ns_test_get(ns, path);
        ck_assert_int_eq(ns_read(ns, inode, back, SIZE, 0), SIZE);
        ck_assert_mem_eq(back, data[i], SIZE);
        ns_inode_put(ns, inode, 1);
    }
    ck_assert_uint_gt(atomic_load(&calls.reads), reads); // they came from the table
    ck_assert_uint_eq(atomic_load(&calls.maps), 0);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("ns_costs");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, test_reading);
    tcase_add_test(t, test_a_first_cat);
    tcase_add_test(t, test_changing);
    tcase_add_test(t, test_removed);
    tcase_add_test(t, test_reclaimed);
    tcase_add_test(t, test_appends);
    tcase_add_test(t, test_no_table_is_mapped);
    return run_case("ns_costs", t, 60);
}
