// The tree as a named snapshot has it: every name, attribute, byte and extended attribute of then,
// whatever happens to the present; nothing of it can be changed; its files can be copied back,
// sharing bytes.
#include "ns_util.h"

#include <stdarg.h>

#include "base/hash.h"
#include "base/slice.h"

static struct env *env;
static struct ns *live;
static uint64_t random_state;

static void setup(void)
{
    env = env_fault_new();
    live = ns_test_open(env);
    random_state = 7;
}

static void teardown(void)
{
    ck_assert_int_eq(ns_close(live), 0);
    env_fault_free(env);
}

static unsigned draw(unsigned n)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(random_state >> 33) % n;
}

// ------------------------------------------------------------------------------- the whole as text

struct walk {
    struct ns *ns;
    struct buf *out;
    char path[1024];
};

static void add_text(struct buf *out, const char *format, ...)
{
    char text[2048];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    ck_assert_int_eq(buf_append(out, text, (size_t)n), 0);
}

static void add_content(struct walk *walk, struct ns_inode *inode, const struct ns_attr *attr)
{
    uint8_t *data = malloc(attr->size + 1);
    ssize_t n = ns_read(walk->ns, inode, data, attr->size + 1, 0);
    ck_assert_int_eq(n, (ssize_t)attr->size);
    add_text(walk->out, " %llx", (unsigned long long)hash64(data, (size_t)n));
    free(data);
}

static void add_xattrs(struct walk *walk, struct ns_inode *inode)
{
    char list[256], value[256];
    ssize_t size = ns_listxattr(walk->ns, inode, list, sizeof list);
    ck_assert_int_ge(size, 0);
    for (char *name = list; name < list + size; name += strlen(name) + 1) {
        ssize_t n = ns_getxattr(walk->ns, inode, name, value, sizeof value);
        ck_assert_int_ge(n, 0);
        add_text(walk->out, " %s=%.*s", name, (int)n, value);
    }
}

static void add_dir(struct walk *walk, struct ns_inode *dir);

static int add_entry(void *arg, const struct ns_dirent *entry)
{
    struct walk *walk = arg;
    size_t before = strlen(walk->path);
    if (!entry->inode)
        return 0;
    snprintf(walk->path + before, sizeof walk->path - before, "/%.*s", (int)entry->name_size,
             entry->name);
    const struct ns_attr *a = entry->attr;
    add_text(walk->out, "%s %llu %o %u %u:%u %llu %lld.%09ld %lld.%09ld", walk->path,
             (unsigned long long)a->ino, a->mode, a->nlink, a->uid, a->gid,
             (unsigned long long)a->size, (long long)a->mtime.tv_sec, a->mtime.tv_nsec,
             (long long)a->ctime.tv_sec, a->ctime.tv_nsec);
    if (S_ISREG(a->mode))
        add_content(walk, entry->inode, a);
    add_xattrs(walk, entry->inode);
    add_text(walk->out, "\n");
    if (S_ISDIR(a->mode))
        add_dir(walk, entry->inode);
    ns_inode_put(walk->ns, entry->inode, 1);
    walk->path[before] = '\0';
    return 0;
}

static void add_dir(struct walk *walk, struct ns_inode *inode)
{
    ck_assert_int_eq(ns_list(walk->ns, inode, 0, true, add_entry, walk), 0);
}

static void tree_text(struct ns *ns, struct buf *out)
{
    struct walk walk = {.ns = ns, .out = out};
    struct ns_inode *root = ns_test_get(ns, "");
    out->size = 0;
    add_dir(&walk, root);
    ns_inode_put(ns, root, 1);
    ck_assert_int_eq(buf_append(out, "", 1), 0);
}

// ------------------------------------------------------------------------------- changes

static void file_path(char path[64])
{
    snprintf(path, 64, "/d%u/f%u", draw(4), draw(12));
}

static void change_one(void)
{
    char path[64], other[64];
    file_path(path);
    file_path(other);
    switch (draw(9)) {
    case 0:
    case 1:
        (void)ns_test_create(live, path);
        break;
    case 2:
    case 3:
        if (ns_test_exists(live, path))
            ck_assert_int_gt(ns_test_write(live, path, draw(3) ? 0 : draw(9000),
                                           1 + draw(draw(3) ? 3000 : 200000), (int)draw(256)),
                             0);
        break;
    case 4:
        (void)!ns_test_rename(live, path, other, 0);
        break;
    case 5:
        if (ns_test_exists(live, path))
            (void)ns_test_link(live, path, other);
        break;
    case 6:
        if (ns_test_exists(live, path))
            ck_assert_int_eq(ns_test_unlink(live, path), 0);
        break;
    case 7:
        if (ns_test_exists(live, path)) {
            struct ns_inode *inode = ns_test_get(live, path);
            struct ns_attr set = {.mode = draw(01000)};
            ck_assert_int_eq(ns_setattr(live, inode, &set, NS_SET_MODE, NULL), 0);
            ck_assert_int_eq(ns_setxattr(live, inode, "user.x", path, strlen(path), 0), 0);
            ns_inode_put(live, inode, 1);
        }
        break;
    default: // a whole directory moves, away or home
        snprintf(path, sizeof path, "/d%u", draw(4));
        snprintf(other, sizeof other, "/d%u/moved", draw(4));
        if (draw(2))
            (void)!ns_test_rename(live, path, other, 0);
        else
            (void)!ns_test_rename(live, other, path, 0);
    }
}

static void make_dirs(void)
{
    char path[64];
    for (unsigned i = 0; i < 4; i++) {
        snprintf(path, sizeof path, "/d%u", i);
        if (!ns_test_exists(live, path))
            ck_assert_int_eq(ns_test_mkdir(live, path), 0);
    }
}

// ------------------------------------------------------------------------------- tests

static void check_snapshot(const char *name, const struct buf *want)
{
    struct ns *then;
    struct buf text = {0};
    ck_assert_int_eq(ns_open_snapshot(live, name, &then), 0);
    tree_text(then, &text);
    ck_assert_str_eq((const char *)text.data, (const char *)want->data);
    ns_expect_clean(then, name);
    ck_assert_int_eq(ns_close(then), 0);
    buf_release(&text);
}

START_TEST(test_stays_as_it_was)
{
    enum { ROUNDS = 12 };
    struct buf texts[ROUNDS] = {{0}};
    char name[16];
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned i = 0; i < 120; i++) {
            make_dirs();
            change_one();
        }
        snprintf(name, sizeof name, "s%u", round);
        ck_assert_int_eq(lsm_snapshot_create(ns_engine(live), name), 0);
        tree_text(live, &texts[round]);
        if (round % 4 == 3) {
            ck_assert_int_eq(lsm_compact_range(ns_engine(live), NULL, 0, NULL, 0), 0);
            ck_assert_int_eq(ns_close(live), 0);
            live = ns_test_open(env);
        }
        for (unsigned i = 0; i <= round; i++) {
            snprintf(name, sizeof name, "s%u", i);
            check_snapshot(name, &texts[i]);
        }
    }
    // The same alone, as `ro,snapshot=` has it.
    ck_assert_int_eq(ns_close(live), 0);
    struct ns_options options = ns_small_options(env);
    options.engine.read_only = true;
    options.snapshot = "s3";
    struct buf text = {0};
    ck_assert_int_eq(ns_open("/fs", &options, &live), 0);
    tree_text(live, &text);
    ck_assert_str_eq((const char *)text.data, (const char *)texts[3].data);
    options.snapshot = "absent";
    struct ns *none;
    ck_assert_int_eq(ns_open("/fs", &options, &none), LSM_NOT_FOUND);
    buf_release(&text);
    for (unsigned i = 0; i < ROUNDS; i++)
        buf_release(&texts[i]);
}
END_TEST

START_TEST(test_nothing_can_be_changed)
{
    struct ns *then;
    struct ns_inode *file;
    struct ns_attr set = {.mode = 0600};
    char data[5000] = "";
    ck_assert_int_eq(ns_test_mkdir(live, "/d"), 0);
    ck_assert_int_eq(ns_test_create(live, "/d/f"), 0);
    ck_assert_int_eq(lsm_snapshot_create(ns_engine(live), "s"), 0);
    ck_assert_int_eq(ns_open_snapshot(live, "s", &then), 0);
    ck_assert_int_eq(ns_test_create(then, "/d/g"), -EROFS);
    ck_assert_int_eq(ns_test_mkdir(then, "/e"), -EROFS);
    ck_assert_int_eq(ns_test_symlink(then, "x", "/l"), -EROFS);
    ck_assert_int_eq(ns_test_link(then, "/d/f", "/g"), -EROFS);
    ck_assert_int_eq(ns_test_rename(then, "/d/f", "/g", 0), -EROFS);
    ck_assert_int_eq(ns_test_unlink(then, "/d/f"), -EROFS);
    file = ns_test_get(then, "/d/f");
    ck_assert_int_eq(ns_write(then, file, data, 10, 0, 0, NULL), -EROFS);
    ck_assert_int_eq(ns_write(then, file, data, sizeof data, 0, 0, NULL), -EROFS);
    ck_assert_int_eq(ns_setattr(then, file, &set, NS_SET_MODE, NULL), -EROFS);
    ck_assert_int_eq(ns_setxattr(then, file, "user.x", "1", 1, 0), -EROFS);
    ck_assert_int_eq(ns_test_fallocate(then, file, 0, 0, 10000), -EROFS);
    ns_inode_put(then, file, 1);
    ck_assert_int_eq(ns_close(then), 0);
    ns_expect_clean(live, "afterwards");
}
END_TEST

// A file comes back without its bytes being written again.
START_TEST(test_copies_back)
{
    enum { SIZE = 3 << 20 };
    struct ns *then;
    uint8_t *data = malloc(SIZE), *got = malloc(SIZE);
    for (unsigned i = 0; i < SIZE; i++)
        data[i] = (uint8_t)draw(256);
    ck_assert_int_eq(ns_test_create(live, "/large"), 0);
    ck_assert_int_eq(ns_test_create(live, "/small"), 0);
    struct ns_inode *file = ns_test_get(live, "/large");
    ck_assert_int_eq(ns_write(live, file, data, SIZE, 0, 0, NULL), SIZE);
    ns_inode_put(live, file, 1);
    ck_assert_int_eq(ns_test_write(live, "/small", 0, 100, 's'), 100);
    ck_assert_int_eq(lsm_snapshot_create(ns_engine(live), "s"), 0);
    ck_assert_int_eq(ns_test_unlink(live, "/large"), 0);
    ck_assert_int_eq(ns_test_unlink(live, "/small"), 0);
    ck_assert_int_eq(ns_wait_idle(live), 0);
    ck_assert_int_eq(lsm_compact_range(ns_engine(live), NULL, 0, NULL, 0), 0);

    uint64_t before, after;
    ck_assert(lsm_property_uint(ns_engine(live), "blob-bytes-written", &before));
    ck_assert_int_eq(ns_open_snapshot(live, "s", &then), 0);
    static const char *const names[] = {"/large", "/small"};
    for (unsigned i = 0; i < 2; i++) {
        struct ns_inode *from = ns_test_get(then, names[i]), *to;
        ck_assert_int_eq(ns_test_create(live, names[i]), 0);
        to = ns_test_get(live, names[i]);
        ssize_t size = i ? 100 : SIZE;
        ck_assert_int_eq(ns_copy_range_from(live, then, from, 0, to, 0, SIZE, 0, NULL), size);
        ck_assert_int_eq(ns_read(live, to, got, SIZE, 0), size);
        if (i == 0)
            ck_assert_mem_eq(got, data, SIZE);
        else
            ck_assert_int_eq(got[99], 's');
        ns_inode_put(then, from, 1);
        ns_inode_put(live, to, 1);
    }
    ck_assert_int_eq(ns_close(then), 0);
    ck_assert(lsm_property_uint(ns_engine(live), "blob-bytes-written", &after));
    ck_assert_uint_eq(after, before);
    ck_assert_int_eq(lsm_snapshot_delete(ns_engine(live), "s"), 0);
    ns_expect_clean(live, "copied back");
    free(data);
    free(got);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ns_snapshots");
    TCase *tc = tcase_create("ns_snapshots");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, test_stays_as_it_was);
    tcase_add_test(tc, test_nothing_can_be_changed);
    tcase_add_test(tc, test_copies_back);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
