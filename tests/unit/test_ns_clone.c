// ns_clone: the copy is what the tree was; cut off anywhere it is complete or absent, and nothing
// of it is left after the store was opened again.
#include <inttypes.h>

#include "base/hash.h"
#include "ns/changes/clone.h"
#include "ns/changes/diff.h"
#include "ns_util.h"

static struct env *env;
static struct ns *ns;

static void write_large(const char *path, size_t size)
{
    for (size_t at = 0; at < size; at += 1 << 20)
        ck_assert_int_eq(ns_test_write(ns, path, at, 1 << 20, (int)(at >> 20)), 1 << 20);
}

static void set(const char *path, const char *attribute)
{
    struct ns_inode *inode = ns_test_get(ns, path);
    const struct ns_attr attr = {.mode = 0640, .uid = 3, .mtime = {.tv_sec = 1000}};
    ck_assert_int_eq(ns_setxattr(ns, inode, attribute, "value", 5, 0), 0);
    ck_assert_int_eq(ns_setattr(ns, inode, &attr, NS_SET_MODE | NS_SET_UID | NS_SET_MTIME, NULL),
                     0);
    ns_inode_put(ns, inode, 1);
}

// More names than one batch has, links in and out of the tree, a directory away from home.
static void make_tree(unsigned files)
{
    char path[64];
    ck_assert_int_eq(ns_test_mkdir(ns, "/t"), 0);
    ck_assert_int_eq(ns_test_mkdir(ns, "/t/many"), 0);
    for (unsigned i = 0; i < files; i++) {
        snprintf(path, sizeof path, "/t/many/f%u", i);
        ck_assert_int_eq(ns_test_create(ns, path), 0);
        if (i % 7 == 0)
            ck_assert_int_eq(ns_test_write(ns, path, 0, 10 + i, 'x'), 10 + (int)i);
    }
    ck_assert_int_eq(ns_test_mkdir(ns, "/t/old"), 0);
    ck_assert_int_eq(ns_test_create(ns, "/t/old/file"), 0);
    ck_assert_int_eq(ns_test_write(ns, "/t/old/file", 3, 300000, 'y'), 300000);
    ck_assert_int_eq(ns_test_rename(ns, "/t/old", "/t/many/away", 0), 0);
    ck_assert_int_eq(ns_test_mkdir(ns, "/t/old"), 0); // with a fresh prefix
    ck_assert_int_eq(ns_test_create(ns, "/t/old/new"), 0);
    ck_assert_int_eq(ns_test_create(ns, "/t/one"), 0);
    ck_assert_int_eq(ns_test_write(ns, "/t/one", 0, 9000, 'z'), 9000);
    ck_assert_int_eq(ns_test_link(ns, "/t/one", "/t/old/two"), 0);
    ck_assert_int_eq(ns_test_link(ns, "/t/one", "/outside"), 0);
    ck_assert_int_eq(ns_test_symlink(ns, "one", "/t/symlink"), 0);
    ck_assert_int_eq(ns_test_mknod(ns, "/t/pipe", S_IFIFO | 0600), 0);
    set("/t/one", "user.a");
    set("/t/many", "user.b");
}

static int clone_tree(const char *from, const char *to, lsm_progress_fn *progress)
{
    const char *name;
    struct ns_inode *dir = ns_test_dir_of(ns, to, &name);
    struct ns *source = NULL;
    int rc = -ns_errno(ns_open_snapshot(ns, NULL, &source));
    if (!rc)
        rc = ns_clone(ns, source, from, dir, name, strlen(name), progress, NULL);
    if (source)
        ck_assert_int_eq(ns_close(source), 0);
    ns_inode_put(ns, dir, 1);
    return rc;
}

// ------------------------------------------------------------------------------- comparing

static uint64_t content_of(struct ns_inode *inode)
{
    static uint8_t data[1 << 20];
    uint64_t hash = 0;
    ssize_t n;
    if (ns_inode_type(inode) == S_IFLNK)
        return (uint64_t)ns_readlink(ns, inode, (char *)data, sizeof data);
    if (ns_inode_type(inode) != S_IFREG)
        return 0;
    for (uint64_t at = 0; (n = ns_read(ns, inode, data, sizeof data, at)) > 0; at += (uint64_t)n)
        hash = hash * 31 + hash64(data, (size_t)n);
    ck_assert_int_eq(n, 0);
    return hash;
}

static ssize_t attribute_of(struct ns_inode *inode, char *value, size_t size)
{
    ssize_t n = ns_getxattr(ns, inode, "user.a", value, size);
    return n < 0 ? ns_getxattr(ns, inode, "user.b", value, size) : n;
}

struct names {
    size_t count;
    char at[2000][32];
};

static int note_name(void *arg, const struct ns_dirent *entry)
{
    struct names *names = arg;
    ck_assert_int_lt((int)names->count, 2000);
    if (entry->name[0] != '.')
        snprintf(names->at[names->count++], sizeof names->at[0], "%.*s", (int)entry->name_size,
                 entry->name);
    return 0;
}

static void expect_same(const char *a, const char *b)
{
    struct ns_attr x, y;
    struct ns_inode *from = NULL, *to = NULL;
    char values[2][16] = {"", ""};
    ck_assert_int_eq(ns_resolve(ns, a, &from, &x), 0);
    ck_assert_msg(ns_resolve(ns, b, &to, &y) == 0, "%s is missing", b);
    ck_assert_msg(x.mode == y.mode && x.uid == y.uid && x.gid == y.gid && x.size == y.size, "%s",
                  b);
    ck_assert_msg(x.mtime.tv_sec == y.mtime.tv_sec && x.mtime.tv_nsec == y.mtime.tv_nsec, "%s", b);
    ck_assert_msg(content_of(from) == content_of(to), "%s", b);
    ck_assert_int_eq(attribute_of(from, values[0], 16), attribute_of(to, values[1], 16));
    ck_assert_str_eq(values[0], values[1]);
    if (S_ISDIR(x.mode)) {
        struct names *names = calloc(1, sizeof *names);
        ck_assert_int_eq(ns_list(ns, from, 0, false, note_name, names), 0);
        ck_assert_uint_eq(x.nlink, y.nlink);
        for (size_t i = 0; i < names->count; i++) {
            char inner[2][256];
            snprintf(inner[0], sizeof inner[0], "%s/%s", a, names->at[i]);
            snprintf(inner[1], sizeof inner[1], "%s/%s", b, names->at[i]);
            expect_same(inner[0], inner[1]);
        }
        free(names);
    }
    ns_inode_put(ns, from, 1);
    ns_inode_put(ns, to, 1);
}

static void expect_no_leftover(void)
{
    struct names *names = calloc(1, sizeof *names);
    ck_assert_int_eq(ns_wait_idle(ns), 0);
    ck_assert_uint_eq(ns_test_stat(ns, "/").nlink, ns_test_exists(ns, "/copy") ? 4 : 3);
    free(names);
    ns_expect_clean(ns, "after cloning");
}

// ------------------------------------------------------------------------------- tests

START_TEST(test_copy)
{
    env = env_fault_new();
    ns = ns_test_open(env);
    make_tree(1200);
    ck_assert_int_eq(clone_tree("/t", "/copy", NULL), 0);
    expect_same("/t", "/copy");
    ck_assert_uint_eq(ns_test_stat(ns, "/copy/one").nlink, 2); // not that outside
    ck_assert_uint_eq(ns_test_stat(ns, "/copy/one").ino, ns_test_stat(ns, "/copy/old/two").ino);
    ck_assert_uint_eq(ns_test_stat(ns, "/t/one").nlink, 3);
    expect_no_leftover();
    ck_assert_int_eq(clone_tree("/t", "/copy", NULL), -EEXIST);
    ck_assert_int_eq(clone_tree("/nothing", "/copy2", NULL), -ENOENT);
    expect_no_leftover();
    // Into itself; and independent of what becomes of the original.
    ck_assert_int_eq(clone_tree("/t", "/t/old/inner", NULL), 0);
    ck_assert_int_eq(ns_test_write(ns, "/t/one", 0, 5, 'q'), 5);
    expect_same("/copy/many", "/t/old/inner/many");
    ck_assert(!ns_test_exists(ns, "/t/old/inner/old/inner"));
    ck_assert_int_eq(clone_tree("/copy/one", "/file", NULL), 0);
    ck_assert_uint_eq(ns_test_stat(ns, "/file").nlink, 1);
    ck_assert_uint_eq(ns_test_stat(ns, "/file").size, 9000);
    ck_assert_int_eq(ns_close(ns), 0);
    ns = ns_test_open(env);
    expect_same("/copy/many", "/t/old/inner/many");
    ns_expect_clean(ns, "opened again");
    ck_assert_int_eq(ns_close(ns), 0);
    env_fault_free(env);
}
END_TEST

// Content that does not go with the name's batch, under two names, and with a hole at its end.
START_TEST(test_large_file)
{
    const struct ns_attr longer = {.size = 40 << 20};
    env = env_fault_new();
    ns = ns_test_open(env);
    ck_assert_int_eq(ns_test_mkdir(ns, "/t"), 0);
    ck_assert_int_eq(ns_test_create(ns, "/t/a"), 0);
    write_large("/t/a", 34 << 20);
    struct ns_inode *inode = ns_test_get(ns, "/t/a");
    ck_assert_int_eq(ns_setattr(ns, inode, &longer, NS_SET_SIZE, NULL), 0);
    ns_inode_put(ns, inode, 1);
    ck_assert_int_eq(ns_test_link(ns, "/t/a", "/t/b"), 0);
    ck_assert_int_eq(clone_tree("/t", "/copy", NULL), 0);
    expect_same("/t", "/copy");
    ck_assert_uint_eq(ns_test_stat(ns, "/copy/a").ino, ns_test_stat(ns, "/copy/b").ino);
    ck_assert_int_eq(clone_tree("/t/b", "/t/c", NULL), 0);
    expect_same("/t/b", "/t/c");
    expect_no_leftover();
    ck_assert_int_eq(ns_close(ns), 0);
    env_fault_free(env);
}
END_TEST

static int cancel_soon(void *arg, uint64_t done, uint64_t total)
{
    (void)arg;
    (void)total;
    return done > 600;
}

START_TEST(test_cancelled)
{
    env = env_fault_new();
    ns = ns_test_open(env);
    make_tree(1200);
    ck_assert_int_eq(clone_tree("/t", "/copy", cancel_soon), -ECANCELED);
    ck_assert(!ns_test_exists(ns, "/copy"));
    expect_no_leftover();
    ck_assert_int_eq(ns_close(ns), 0);
    env_fault_free(env);
}
END_TEST

// ---- nobody sees an unfinished one

struct seen {
    size_t count;
    char at[4000][64];
};

static int note_change(void *arg, const struct ns_change *change)
{
    struct seen *seen = arg;
    ck_assert_uint_lt(seen->count, 4000);
    ck_assert_msg(!strstr(change->path, ".lsmfs-clone-"), "%s", change->path);
    ck_assert_ptr_null(change->old_path);
    if (change->kind == NS_CREATED)
        snprintf(seen->at[seen->count++], sizeof seen->at[0], "%s", change->path);
    else // the directories that a name has come to, and those of the outer names
        ck_assert_int_eq(change->type, S_IFDIR);
    return 0;
}

static int compare_text(const void *a, const void *b)
{
    return strcmp(a, b);
}

static struct seen *changes_between(const struct lsm_snapshot *from, const struct lsm_snapshot *to)
{
    struct seen *seen = calloc(1, sizeof *seen);
    ck_assert_int_eq(ns_diff(ns_engine(ns), from, to, SIZE_MAX, note_change, seen), 0);
    qsort(seen->at, seen->count, sizeof seen->at[0], compare_text);
    for (size_t i = 1; i < seen->count; i++)
        ck_assert_msg(strcmp(seen->at[i - 1], seen->at[i]) != 0, "%s twice", seen->at[i]);
    return seen;
}

static int note_unfinished(void *arg, const struct ns_dirent *entry)
{
    bool *found = arg;
    *found = *found || (entry->name_size > 10 && memcmp(entry->name, ".lsmfs-clo", 10) == 0);
    if (entry->inode)
        ns_inode_put(ns, entry->inode, 1);
    return 0;
}

static void expect_unseen(struct ns *view, const char *name)
{
    struct ns_inode *root = ns_root(view), *inode;
    char path[80];
    bool found = false;
    ck_assert_int_eq(ns_list(view, root, 0, false, note_unfinished, &found), 0);
    if (view == ns)
        ck_assert_int_eq(ns_list(view, root, 0, true, note_unfinished, &found), 0);
    ck_assert(!found);
    ck_assert_int_eq(ns_lookup(view, root, name, strlen(name), &inode, NULL), -ENOENT);
    snprintf(path, sizeof path, "/%s", name);
    ck_assert_int_eq(ns_resolve(view, path, &inode, NULL), -ENOENT);
    snprintf(path, sizeof path, "/%s/tree/one", name);
    ck_assert_int_eq(ns_resolve(view, path, &inode, NULL), -ENOENT);
}

static const struct lsm_snapshot *middle; // taken while a clone is under way

static int look_around(void *arg, uint64_t done, uint64_t total)
{
    char name[40] = "";
    struct ns *view;
    struct lsm_iter *iter;
    size_t size;
    (void)arg;
    (void)total;
    if (done < 600 || middle)
        return 0;
    ck_assert_int_eq(lsm_snapshot_new(ns_engine(ns), &middle), 0);
    // The only entry of that beginning, in the root.
    ck_assert_int_eq(lsm_iter_new(ns_engine(ns), NULL, &iter), 0);
    lsm_iter_seek(iter, "E\0.lsmfs-clone-", 15);
    const char *key = lsm_iter_key(iter, &size);
    ck_assert(size > 15 && memcmp(key, "E\0.lsmfs-clone-", 15) == 0);
    memcpy(name, key + 2, size - 2);
    lsm_iter_free(iter);
    expect_unseen(ns, name);
    ck_assert_int_eq(ns_open_snapshot(ns, NULL, &view), 0);
    expect_unseen(view, name);
    ck_assert_int_eq(ns_close(view), 0);
    // Nor is it in a clone of the root.
    ck_assert_int_eq(clone_tree("/", "/all", NULL), 0);
    struct ns_inode *all = ns_test_get(ns, "/all");
    bool found = false;
    ck_assert_int_eq(ns_list(ns, all, 0, false, note_unfinished, &found), 0);
    ck_assert(!found);
    ns_inode_put(ns, all, 1);
    return 0;
}

START_TEST(test_unseen)
{
    const struct lsm_snapshot *before, *after;
    env = env_fault_new();
    ns = ns_test_open(env);
    make_tree(1200);
    ck_assert_int_eq(lsm_snapshot_new(ns_engine(ns), &before), 0);
    middle = NULL;
    ck_assert_int_eq(clone_tree("/t", "/copy", look_around), 0);
    ck_assert_ptr_nonnull(middle);
    expect_same("/t", "/copy");
    expect_same("/t", "/all/t");
    ck_assert_int_eq(lsm_snapshot_new(ns_engine(ns), &after), 0);
    // What comes out of it is told as a whole, as if nothing had been there.
    struct seen *whole = changes_between(before, after);
    struct seen *first = changes_between(before, middle), *second = changes_between(middle, after);
    ck_assert_uint_eq(first->count, 0);
    ck_assert_uint_gt(whole->count, 2400);
    ck_assert_uint_eq(second->count, whole->count);
    for (size_t i = 0; i < whole->count; i++)
        ck_assert_str_eq(second->at[i], whole->at[i]);
    free(whole);
    free(first);
    free(second);
    lsm_snapshot_free(ns_engine(ns), before);
    lsm_snapshot_free(ns_engine(ns), middle);
    lsm_snapshot_free(ns_engine(ns), after);
    ck_assert_int_eq(ns_close(ns), 0);
    env_fault_free(env);
}
END_TEST

#define MOMENTS 400

static const struct lsm_snapshot *moments[MOMENTS];
static unsigned moment_count;

// Before each write to the log: between any two changes.
static void take_moment(void *arg, const char *what, const char *path)
{
    size_t size = strlen(path);
    (void)arg;
    if (strcmp(what, "write") || size < 4 || strcmp(path + size - 4, ".log"))
        return;
    ck_assert_uint_lt(moment_count, MOMENTS);
    ck_assert_int_eq(lsm_snapshot_new(ns_engine(ns), &moments[moment_count]), 0);
    moment_count++;
}

static void expect_told(const struct lsm_snapshot *from, const struct lsm_snapshot *to,
                        const struct seen *whole)
{
    struct seen *seen = changes_between(from, to);
    ck_assert_uint_eq(seen->count, whole->count);
    for (size_t i = 0; i < whole->count; i++)
        ck_assert_str_eq(seen->at[i], whole->at[i]);
    free(seen);
}

// Also where a directory is moved out of the copy before anybody looks.
START_TEST(test_told_from_any_moment)
{
    const struct lsm_snapshot *done, *after;
    env = env_fault_new();
    struct ns_options options = ns_small_options(env);
    options.engine.wal_mode = LSM_WAL_WRITTEN;
    options.engine.write_buffer_size = 64 << 20; // one log
    ck_assert_int_eq(ns_open("/fs", &options, &ns), 0);
    make_tree(40);
    moment_count = 0;
    env_fault_on_call(env, take_moment, NULL);
    ck_assert_int_eq(clone_tree("/t", "/copy", NULL), 0);
    env_fault_on_call(env, NULL, NULL);
    ck_assert_int_eq(lsm_snapshot_new(ns_engine(ns), &done), 0);
    ck_assert_int_eq(ns_test_rename(ns, "/copy/many", "/many", 0), 0);
    ck_assert_int_eq(lsm_snapshot_new(ns_engine(ns), &after), 0);
    struct seen *whole = changes_between(moments[0], done);
    struct seen *moved = changes_between(moments[0], after), *left;
    ck_assert_uint_gt(whole->count, 48);
    ck_assert_uint_eq(moved->count, whole->count);
    unsigned told = 0;
    for (; told < moment_count; told++) {
        left = changes_between(moments[told], done);
        bool there = left->count == 0; // the copy is
        free(left);
        if (there)
            break;
        expect_told(moments[told], done, whole);
        expect_told(moments[told], after, moved);
    }
    printf("told from %u of %u moments\n", told, moment_count);
    ck_assert_uint_gt(told, 4);
    free(whole);
    free(moved);
    for (unsigned i = 0; i < moment_count; i++)
        lsm_snapshot_free(ns_engine(ns), moments[i]);
    lsm_snapshot_free(ns_engine(ns), done);
    lsm_snapshot_free(ns_engine(ns), after);
    ck_assert_int_eq(ns_close(ns), 0);
    env_fault_free(env);
}
END_TEST

// The power goes at each call in turn.
START_TEST(test_cut_off)
{
    unsigned complete = 0, absent = 0;
    for (uint64_t cut = 1; !complete; cut += 1 + cut / 8) {
        env = env_fault_new();
        ns = ns_test_open(env);
        make_tree(700);
        ck_assert_int_eq(ns_sync(ns), 0);
        env_fault_cut_at(env, cut);
        int rc = clone_tree("/t", "/copy", NULL);
        if (!rc)
            rc = ns_sync(ns);
        (void)!ns_close(ns);
        env_fault_power_cut(env, cut);
        ns = ns_test_open(env);
        ck_assert_int_eq(ns_wait_idle(ns), 0);
        bool there = ns_test_exists(ns, "/copy");
        ck_assert_msg(there || rc, "cut %" PRIu64 ": done, but lost", cut);
        if (there)
            expect_same("/t", "/copy");
        complete += !rc;
        absent += !there;
        expect_no_leftover();
        ck_assert_int_eq(ns_close(ns), 0);
        env_fault_free(env);
    }
    ck_assert_uint_gt(absent, 5);
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("clone");
    tcase_add_test(tc, test_copy);
    tcase_add_test(tc, test_large_file);
    tcase_add_test(tc, test_cancelled);
    tcase_add_test(tc, test_unseen);
    tcase_add_test(tc, test_told_from_any_moment);
    tcase_add_test(tc, test_cut_off);
    return run_case("ns_clone", tc, 120);
}
