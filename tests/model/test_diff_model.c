// The difference of two snapshots against two full walks.
//
// Random operations on a small tree with hard links, moved directories and odd names; snapshots in
// between. For pairs of snapshots, what ns_diff tells has to be what two walks show: which names
// went and came, whose they were, and which files behind names that stayed are other than before.
// In some histories all places are deleted now and then: so stores look that an older version made.
//
// LSM_SEED replays one history; there are a tenth as many as LSM_HISTORIES says.
#include <inttypes.h>

#include "base/hash.h"
#include "ns/changes/diff.h"
#include "ns/keys/pathkey.h"
#include "ns_util.h"

#define SNAPSHOTS 6u
#define STEPS     120u
#define TREE_MAX  4096u

struct name { // of a walk
    uint64_t dir, ino;
    char name[32], path[512];
    struct ns_attr attr;
    uint64_t content, xattrs; // hashes
    bool told;
};

struct tree {
    size_t count;
    struct name at[TREE_MAX];
};

struct history {
    uint64_t seed, rng;
    struct env *env;
    struct ns *ns;
};

static struct tree trees[2];

static uint64_t below(struct history *h, uint64_t n)
{
    h->rng = h->rng * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (h->rng >> 33) % n;
}

// ------------------------------------------------------------------------------- operations

static void pick_name(struct history *h, char *out)
{
    static const char *const names[] = {"a", "b", "c", "d", "\001", "x\001y", "\002\0051", "\377"};
    strcpy(out, names[below(h, sizeof names / sizeof *names)]);
}

static int note_path(void *arg, const struct ns_dirent *entry)
{
    struct name *out = arg;
    if (entry->name[0] == '.' && (entry->name_size == 1 || entry->name[1] == '.'))
        return 0;
    if (out->ino++ == out->dir) // the one that was drawn
        snprintf(out->name, sizeof out->name, "%.*s", (int)entry->name_size, entry->name);
    return 0;
}

// Goes down a few times into what is there. The result may be any file.
static void pick_path(struct history *h, char *path)
{
    *path = 0;
    for (uint64_t depth = below(h, 5); depth; depth--) {
        struct ns_attr attr = ns_test_stat(h->ns, path);
        if (!S_ISDIR(attr.mode) || !attr.size)
            return;
        struct name drawn = {.dir = below(h, attr.size)};
        struct ns_inode *dir = ns_test_get(h->ns, path);
        ck_assert_int_eq(ns_list(h->ns, dir, 0, false, note_path, &drawn), 0);
        ns_inode_put(h->ns, dir, 1);
        strcat(path, "/");
        strcat(path, drawn.name);
    }
}

// A path whose last name may not be there; its directory is.
static void pick_new(struct history *h, char *path)
{
    char name[32];
    pick_path(h, path);
    if (!S_ISDIR(ns_test_stat(h->ns, path).mode))
        *strrchr(path, '/') = 0;
    pick_name(h, name);
    strcat(path, "/");
    strcat(path, name);
}

static void set_attr(struct history *h, const char *path)
{
    struct ns_inode *inode = ns_test_get(h->ns, path);
    struct ns_attr attr = {.mode = (uint32_t)below(h, 0777),
                           .uid = (uint32_t)below(h, 3),
                           .mtime = {.tv_sec = (time_t)below(h, 3)},
                           .size = below(h, 9000)};
    static const unsigned masks[] = {NS_SET_MODE, NS_SET_UID, NS_SET_MTIME, NS_SET_SIZE};
    unsigned mask = masks[below(h, 4)];
    int rc = ns_setattr(h->ns, inode, &attr, mask, NULL);
    ck_assert(rc == 0 || (mask == NS_SET_SIZE && ns_inode_type(inode) != S_IFREG));
    ns_inode_put(h->ns, inode, 1);
}

static void set_xattr(struct history *h, const char *path)
{
    struct ns_inode *inode = ns_test_get(h->ns, path);
    char value = (char)('0' + below(h, 3));
    int rc = below(h, 3) ? ns_setxattr(h->ns, inode, "user.a", &value, 1, 0)
                         : ns_removexattr(h->ns, inode, "user.a");
    ck_assert(rc == 0 || rc == -ENODATA);
    ns_inode_put(h->ns, inode, 1);
}

static void write_some(struct history *h, const char *path)
{
    if (S_ISREG(ns_test_stat(h->ns, path).mode))
        ns_test_write(h->ns, path, below(h, 3) * 3000, 1 + below(h, 7000), (int)below(h, 256));
}

static void step(struct history *h)
{
    static const unsigned flags[] = {0, 0, NS_RENAME_EXCHANGE, NS_RENAME_NOREPLACE};
    char path[4096], to[4096];
    unsigned what = (unsigned)below(h, 16);
    pick_path(h, path);
    if (strlen(path) > 200) // it stays small
        what = 5;
    if (what <= 3) {
        pick_new(h, path);
        (void)ns_test_mknod(h->ns, path, what < 2 ? S_IFDIR | 0755 : S_IFREG | 0644);
    } else if (what == 4) {
        pick_new(h, path);
        (void)ns_test_symlink(h->ns, "somewhere", path);
    } else if (what <= 6) {
        if (*path)
            (void)ns_test_remove(h->ns, path, S_ISDIR(ns_test_stat(h->ns, path).mode));
    } else if (what <= 9) {
        pick_new(h, to);
        if (*path)
            (void)ns_test_rename(h->ns, path, to, flags[below(h, 4)]);
    } else if (what <= 11) {
        pick_new(h, to);
        if (*path)
            (void)ns_test_link(h->ns, path, to);
    } else if (what <= 13) {
        write_some(h, path);
    } else if (what == 14) {
        set_attr(h, path);
    } else {
        set_xattr(h, path);
    }
}

static void forget_places(struct history *h)
{
    struct lsm *db = ns_engine(h->ns);
    struct lsm_iter_options options = {.prefix = "B", .prefix_size = 1};
    struct lsm_iter *iter;
    ck_assert_int_eq(lsm_iter_new(db, &options, &iter), 0);
    for (lsm_iter_seek_first(iter); lsm_iter_valid(iter); lsm_iter_next(iter)) {
        size_t size;
        const void *key = lsm_iter_key(iter, &size);
        ck_assert_int_eq(lsm_delete(db, NULL, key, size), 0);
    }
    ck_assert_int_eq(lsm_iter_status(iter), 0);
    lsm_iter_free(iter);
}

// ------------------------------------------------------------------------------- walking

static uint64_t hash_content(struct ns *ns, struct ns_inode *inode)
{
    static uint8_t data[65536];
    char target[64];
    if (ns_inode_type(inode) == S_IFLNK)
        return hash64(target, (size_t)ns_readlink(ns, inode, target, sizeof target));
    if (ns_inode_type(inode) != S_IFREG)
        return 0;
    ssize_t n = ns_read(ns, inode, data, sizeof data, 0);
    ck_assert_int_ge(n, 0);
    return hash64(data, (size_t)n);
}

static uint64_t hash_xattrs(struct ns *ns, struct ns_inode *inode)
{
    char value[16];
    ssize_t n = ns_getxattr(ns, inode, "user.a", value, sizeof value);
    return n < 0 ? 0 : hash64(value, (size_t)n);
}

struct walking {
    struct ns *ns;
    struct tree *tree;
    uint64_t dir;
    char path[512];
};

static int walk_entry(void *arg, const struct ns_dirent *entry)
{
    struct walking *walking = arg;
    if (!entry->inode)
        return 0;
    ck_assert_int_lt((int)walking->tree->count, (int)TREE_MAX);
    struct name *name = &walking->tree->at[walking->tree->count++];
    *name = (struct name){.dir = walking->dir, .ino = entry->ino, .attr = *entry->attr};
    snprintf(name->name, sizeof name->name, "%.*s", (int)entry->name_size, entry->name);
    size_t size = strlen(walking->path);
    ck_assert_int_lt((int)(size + 1 + entry->name_size), (int)sizeof name->path);
    memcpy(name->path, walking->path, size);
    name->path[size] = '/';
    memcpy(name->path + size + 1, entry->name, entry->name_size);
    name->content = hash_content(walking->ns, entry->inode);
    name->xattrs = hash_xattrs(walking->ns, entry->inode);
    ns_inode_put(walking->ns, entry->inode, 1);
    return 0;
}

static void walk(struct history *h, const char *snapshot, struct tree *tree)
{
    struct ns *ns;
    struct ns_attr attr;
    ck_assert_int_eq(ns_open_snapshot(h->ns, snapshot, &ns), 0);
    ck_assert_int_eq(ns_getattr(ns, ns_root(ns), &attr), 0);
    tree->count = 1;
    tree->at[0] = (struct name){.ino = NS_ROOT_INO, .path = "/", .attr = attr};
    tree->at[0].xattrs = hash_xattrs(ns, ns_root(ns));
    for (size_t i = 0; i < tree->count; i++) {
        struct walking walking = {ns, tree, tree->at[i].ino, ""};
        if (i)
            strcpy(walking.path, tree->at[i].path);
        if (!S_ISDIR(tree->at[i].attr.mode))
            continue;
        struct ns_inode *dir = ns_test_get(ns, walking.path);
        ck_assert_int_eq(ns_list(ns, dir, 0, true, walk_entry, &walking), 0);
        ns_inode_put(ns, dir, 1);
    }
    ck_assert_int_eq(ns_close(ns), 0);
}

static struct name *find_path(struct tree *tree, const char *path)
{
    for (size_t i = 0; i < tree->count; i++)
        if (strcmp(tree->at[i].path, path) == 0)
            return &tree->at[i];
    return NULL;
}

// The same name in the same directory, of the same file.
static struct name *find_same(struct tree *tree, const struct name *name)
{
    for (size_t i = 0; i < tree->count; i++)
        if (tree->at[i].dir == name->dir && tree->at[i].ino == name->ino &&
            strcmp(tree->at[i].name, name->name) == 0)
            return &tree->at[i];
    return NULL;
}

static struct name *find_ino(struct tree *tree, uint64_t ino)
{
    for (size_t i = 0; i < tree->count; i++)
        if (tree->at[i].ino == ino)
            return &tree->at[i];
    return NULL;
}

// ------------------------------------------------------------------------------- comparing

#define WRONG(h, ...)                                                                              \
    do {                                                                                           \
        char text_[1200];                                                                          \
        snprintf(text_, sizeof text_, __VA_ARGS__);                                                \
        ck_abort_msg("LSM_SEED=%" PRIu64 ": %s", (h)->seed, text_);                                \
    } while (0)

static bool same_time(struct timespec a, struct timespec b)
{
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static bool content_differs(const struct name *a, const struct name *b)
{
    return S_ISREG(b->attr.mode) && (a->attr.size != b->attr.size || a->content != b->content ||
                                     !same_time(a->attr.mtime, b->attr.mtime));
}

static bool attributes_differ(const struct name *a, const struct name *b)
{
    bool time = !same_time(a->attr.mtime, b->attr.mtime) && !S_ISREG(b->attr.mode) &&
                (!S_ISDIR(b->attr.mode) || !same_time(b->attr.mtime, b->attr.ctime));
    return time || a->attr.mode != b->attr.mode || a->attr.uid != b->attr.uid ||
           a->xattrs != b->xattrs;
}

// A name that both walks must or must not have: marks it.
static void expect_moved(struct history *h, int side, const char *path, uint64_t ino)
{
    struct name *name = find_path(&trees[side], path);
    if (!name || name->ino != ino || name->told || find_same(&trees[!side], name))
        WRONG(h, "%s of inode %" PRIu64 " is told %s, which is not so", path, ino,
              side ? "to have come" : "to be gone");
    name->told = true;
}

static void expect_changed(struct history *h, const struct ns_change *change)
{
    struct name *is = find_path(&trees[1], change->path);
    struct name *was = find_ino(&trees[0], change->ino);
    if (!is || is->ino != change->ino || !was)
        WRONG(h, "%s is told to be changed, which is not so", change->path);
    unsigned must = (content_differs(was, is) ? NS_CHANGED_CONTENT : 0u) |
                    (attributes_differ(was, is) ? NS_CHANGED_ATTRIBUTES : 0u);
    // Written with the bytes that were there, or set to what it was.
    bool may = !same_time(was->attr.ctime, is->attr.ctime);
    if ((change->what & must) != must || (change->what != must && !may) || !change->what)
        WRONG(h, "%s: told %u, wanted %u", change->path, change->what, must);
    is->attr.mode = 0; // seen
}

static int on_change(void *arg, const struct ns_change *change)
{
    struct history *h = arg;
    ck_assert(change->path[change->path_size] == 0);
    switch (change->kind) {
    case NS_REMOVED:
        expect_moved(h, 0, change->path, change->ino);
        break;
    case NS_CREATED:
        expect_moved(h, 1, change->path, change->ino);
        break;
    case NS_RENAMED:
        expect_moved(h, 0, change->old_path, change->ino);
        expect_moved(h, 1, change->path, change->ino);
        break;
    default:
        expect_changed(h, change);
    }
    return 0;
}

static void expect_all_told(struct history *h)
{
    for (int side = 0; side < 2; side++) {
        for (size_t i = 0; i < trees[side].count; i++) {
            struct name *name = &trees[side].at[i];
            struct name *was = side ? find_ino(&trees[0], name->ino) : NULL;
            if (!name->told && !find_same(&trees[!side], name))
                WRONG(h, "%s is not told to have %s", name->path, side ? "come" : "gone");
            if (was && name->attr.mode && find_same(&trees[0], name) &&
                (content_differs(was, name) || attributes_differ(was, name)))
                WRONG(h, "%s is not told to be changed", name->path);
        }
    }
}

static void compare(struct history *h, unsigned from, unsigned to)
{
    char names[2][16];
    const struct lsm_snapshot *snapshots[2];
    struct lsm *db = ns_engine(h->ns);
    snprintf(names[0], sizeof names[0], "s%u", from);
    snprintf(names[1], sizeof names[1], "s%u", to);
    for (int i = 0; i < 2; i++) {
        walk(h, names[i], &trees[i]);
        ck_assert_int_eq(lsm_snapshot_open(db, names[i], &snapshots[i]), 0);
    }
    int rc = ns_diff(db, snapshots[0], snapshots[1], SIZE_MAX, on_change, h);
    if (rc)
        WRONG(h, "ns_diff: %d %s", rc, lsm_error_detail());
    expect_all_told(h);
    rc = ns_diff(db, snapshots[0], snapshots[1], 0, on_change, h);
    ck_assert(rc == 0 || rc == -EOVERFLOW);
    for (int i = 0; i < 2; i++)
        lsm_snapshot_free(db, snapshots[i]);
}

// Overwriting in place within one tick of the clock writes no record, so a snapshot between two
// such writes could not tell: the clock moves on first.
static void next_tick(void)
{
    struct timespec then, now;
    clock_gettime(CLOCK_REALTIME_COARSE, &then);
    do
        clock_gettime(CLOCK_REALTIME_COARSE, &now);
    while (same_time(then, now));
}

static void run_history(uint64_t seed)
{
    struct history h = {.seed = seed, .rng = seed * UINT64_C(0x9e3779b97f4a7c15)};
    bool forgetful = below(&h, 3) == 0;
    h.env = env_fault_new();
    h.ns = ns_test_open(h.env);
    for (unsigned i = 0; i < SNAPSHOTS; i++) {
        char name[16];
        for (unsigned n = (unsigned)below(&h, STEPS); n; n--)
            step(&h);
        if (forgetful && below(&h, 2))
            forget_places(&h);
        if (below(&h, 4) == 0)
            ck_assert_int_eq(below(&h, 2) ? lsm_flush(ns_engine(h.ns)) : ns_wait_idle(h.ns), 0);
        next_tick();
        snprintf(name, sizeof name, "s%u", i);
        ck_assert_int_eq(lsm_snapshot_create(ns_engine(h.ns), name), 0);
        if (i)
            compare(&h, (unsigned)below(&h, i), i);
    }
    ns_expect_clean(h.ns, "at the end");
    ck_assert_int_eq(ns_close(h.ns), 0);
    env_fault_free(h.env);
}

START_TEST(test_random_histories)
{
    run_random_histories("diff_model", 1500, 10, run_history);
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("histories");
    tcase_add_test(tc, test_random_histories);
    return run_case("difference of namespaces", tc, 0);
}
