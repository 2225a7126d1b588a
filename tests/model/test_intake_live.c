// Taking in changes while the tree is in use (intake_apply_live), against the tree that they are
// of.
//
// Random operations on one tree, with a snapshot after each round. A copy of it gets each round's
// changes while other threads read all over it, and while inodes of it are held, some of them open.
// Afterwards the copy shows what the other tree does, by path and by what is held: an inode that
// the other tree has still shows what it shows there, any other has no name and no content. Each
// held inode of which something has changed is told, and whether its size or mtime has. What the
// copy then creates has a number of its own; and changes for a tree that was changed are not taken
// in.
//
// LSM_SEED replays one history; there are a 50th as many as LSM_HISTORIES says.
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include "base/hash.h"
#include "ns/changes/intake.h"
#include "ns_util.h"

#define ROUNDS    4u
#define STEPS     60u
#define READERS   2u
#define HELD      12u
#define FILES_MAX 1024u

struct file { // of a walk
    char path[64];
    struct ns_attr attr;
    uint64_t content;
};

struct tree {
    size_t count;
    struct file at[FILES_MAX];
};

struct held {
    struct ns_inode *inode;
    struct ns_attr before;
    bool opened, told, is_other;
};

struct history {
    uint64_t seed, rng;
    struct env *env;
    struct ns *source, *copy;
    struct held held[HELD];
    size_t held_count;
};

struct reader {
    pthread_t thread;
    struct ns *ns;
    uint64_t rng;
    _Atomic bool *stop;
    int failed;
};

static struct tree source_tree, copy_tree;

static uint64_t draw(uint64_t *rng, uint64_t n)
{
    *rng = *rng * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (*rng >> 33) % n;
}

static uint64_t below(struct history *h, uint64_t n)
{
    return draw(&h->rng, n);
}

static void pick_path(uint64_t *rng, char path[64])
{
    static const char *const names[] = {"a", "b", "c", "d", "e"};
    *path = 0;
    for (uint64_t depth = 1 + draw(rng, 3); depth; depth--) {
        strcat(path, "/");
        strcat(path, names[draw(rng, 5)]);
    }
}

// ------------------------------------------------------------------------------- changing

static bool has_dir(struct ns *ns, const char *path)
{
    char dir[64];
    snprintf(dir, sizeof dir, "%.*s", (int)(strrchr(path, '/') - path), path);
    return !*dir || (ns_test_exists(ns, dir) && S_ISDIR(ns_test_stat(ns, dir).mode));
}

static void set_attr(struct history *h, const char *path)
{
    struct ns_inode *inode = ns_test_get(h->source, path);
    struct ns_attr attr = {.mode = (uint32_t)below(h, 0777), .size = below(h, 9000)};
    bool cut = ns_inode_type(inode) == S_IFREG && below(h, 2);
    ck_assert_int_eq(ns_setattr(h->source, inode, &attr, cut ? NS_SET_SIZE : NS_SET_MODE, NULL), 0);
    ck_assert_int_eq(ns_setxattr(h->source, inode, "user.a", &h->rng, 1, 0), 0);
    ns_inode_put(h->source, inode, 1);
}

static void step(struct history *h)
{
    struct ns *ns = h->source;
    char path[64], to[64];
    pick_path(&h->rng, path);
    pick_path(&h->rng, to);
    if (!has_dir(ns, path) || !has_dir(ns, to))
        return;
    uint64_t what = below(h, 10);
    if (!ns_test_exists(ns, path)) {
        (void)ns_test_mknod(ns, path, what < 4 ? S_IFDIR | 0755 : S_IFREG | 0644);
        return;
    }
    struct ns_attr attr = ns_test_stat(ns, path);
    if (what < 2)
        (void)ns_test_remove(ns, path, S_ISDIR(attr.mode));
    else if (what < 5)
        (void)ns_test_rename(ns, path, to, what == 4 ? NS_RENAME_EXCHANGE : 0);
    else if (what == 5)
        (void)ns_test_link(ns, path, to);
    else if (what == 6)
        set_attr(h, path);
    else if (S_ISREG(attr.mode))
        ns_test_write(ns, path, below(h, 3) * 3000, 1 + below(h, 7000), (int)below(h, 256));
}

// ------------------------------------------------------------------------------- walking

static uint64_t hash_content(struct ns *ns, struct ns_inode *inode)
{
    static uint8_t data[65536];
    char value[8];
    ssize_t n = 0;
    if (ns_inode_type(inode) == S_IFREG)
        n = ns_read(ns, inode, data, sizeof data, 0);
    ck_assert_msg(n >= 0, "ns_read: %zd", n);
    uint64_t hash = hash64(data, (size_t)n);
    n = ns_getxattr(ns, inode, "user.a", value, sizeof value);
    return n == 1 ? hash + (uint64_t)(uint8_t)value[0] : hash;
}

struct walking {
    struct ns *ns;
    struct tree *tree;
    const char *dir;
};

static int walk_entry(void *arg, const struct ns_dirent *entry)
{
    struct walking *walking = arg;
    if (!entry->inode)
        return 0;
    ck_assert_uint_lt(walking->tree->count, FILES_MAX);
    struct file *file = &walking->tree->at[walking->tree->count++];
    file->attr = *entry->attr;
    snprintf(file->path, sizeof file->path, "%s/%.*s", walking->dir, (int)entry->name_size,
             entry->name);
    file->content = hash_content(walking->ns, entry->inode);
    ns_inode_put(walking->ns, entry->inode, 1);
    return 0;
}

static void walk(struct ns *ns, struct tree *tree)
{
    tree->count = 1;
    tree->at[0] = (struct file){.path = "", .attr = ns_test_stat(ns, "/")};
    for (size_t i = 0; i < tree->count; i++) {
        char path[64];
        strcpy(path, tree->at[i].path);
        struct walking walking = {ns, tree, path};
        if (!S_ISDIR(tree->at[i].attr.mode))
            continue;
        struct ns_inode *dir = ns_test_get(ns, path);
        ck_assert_int_eq(ns_list(ns, dir, 0, true, walk_entry, &walking), 0);
        ns_inode_put(ns, dir, 1);
    }
}

static bool same_time(struct timespec a, struct timespec b)
{
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static bool same_attr(const struct ns_attr *a, const struct ns_attr *b)
{
    return a->ino == b->ino && a->mode == b->mode && a->nlink == b->nlink && a->size == b->size &&
           a->blocks == b->blocks && same_time(a->mtime, b->mtime) && same_time(a->ctime, b->ctime);
}

static const struct file *find_ino(const struct tree *tree, uint64_t ino)
{
    for (size_t i = 0; i < tree->count; i++)
        if (tree->at[i].attr.ino == ino)
            return &tree->at[i];
    return NULL;
}

#define WRONG(h, ...)                                                                              \
    do {                                                                                           \
        char text_[1200];                                                                          \
        snprintf(text_, sizeof text_, __VA_ARGS__);                                                \
        ck_abort_msg("LSM_SEED=%" PRIu64 ": %s", (h)->seed, text_);                                \
    } while (0)

static void compare_trees(struct history *h)
{
    walk(h->source, &source_tree);
    walk(h->copy, &copy_tree);
    if (source_tree.count != copy_tree.count)
        WRONG(h, "%zu names instead of %zu", copy_tree.count, source_tree.count);
    for (size_t i = 0; i < source_tree.count; i++) {
        const struct file *a = &source_tree.at[i], *b = &copy_tree.at[i];
        if (strcmp(a->path, b->path) || !same_attr(&a->attr, &b->attr) || a->content != b->content)
            WRONG(h, "%s is other than %s", b->path, a->path);
    }
}

// ------------------------------------------------------------------------------- what is held

static void hold_some(struct history *h)
{
    while (h->held_count < HELD && below(h, 20)) {
        char path[64];
        struct held *held = &h->held[h->held_count];
        *held = (struct held){0};
        pick_path(&h->rng, path);
        if (ns_resolve(h->copy, path, &held->inode, &held->before))
            continue;
        held->opened = below(h, 2) && S_ISREG(held->before.mode);
        if (held->opened)
            ck_assert_int_eq(ns_inode_opened(h->copy, held->inode), 0);
        h->held_count++;
    }
}

static void let_go(struct history *h)
{
    for (size_t i = 0; i < h->held_count; i++) {
        if (h->held[i].opened)
            ns_inode_closed(h->copy, h->held[i].inode);
        ns_inode_put(h->copy, h->held[i].inode, 1);
    }
    h->held_count = 0;
}

static void check_parent(struct history *h, struct ns_inode *dir, const char *path)
{
    struct ns_inode *parent;
    const char *slash = strrchr(path, '/');
    char above[64];
    snprintf(above, sizeof above, "%.*s", slash ? (int)(slash - path) : 0, path);
    ck_assert_int_eq(ns_parent(h->copy, dir, &parent), 0);
    uint64_t is = ns_inode_ino(parent), wanted = ns_test_stat(h->copy, above).ino;
    if (is != wanted)
        WRONG(h, "above %s is %" PRIu64 " instead of %" PRIu64, path, is, wanted);
    ns_inode_put(h->copy, parent, 1);
}

static void check_gone(struct history *h, const struct held *held, const struct ns_attr *attr)
{
    char byte;
    if (attr->nlink)
        WRONG(h, "%" PRIu64 " has a name still", attr->ino);
    if (S_ISREG(attr->mode) && ns_read(h->copy, held->inode, &byte, 1, 0) != -ESTALE)
        WRONG(h, "%" PRIu64 " has content still", attr->ino);
    if (S_ISREG(attr->mode) && ns_write(h->copy, held->inode, "x", 1, 0, 0, NULL) >= 0)
        WRONG(h, "%" PRIu64 " can be written", attr->ino);
}

static void check_held(struct history *h)
{
    for (size_t i = 0; i < h->held_count; i++) {
        const struct held *held = &h->held[i];
        struct ns_attr now, then = held->before;
        int rc = ns_getattr(h->copy, held->inode, &now);
        if (rc)
            WRONG(h, "%" PRIu64 ": %d", then.ino, rc);
        const struct file *file = find_ino(&source_tree, then.ino);
        if (!file) {
            check_gone(h, held, &now);
            continue;
        }
        if (!same_attr(&now, &file->attr) || hash_content(h->copy, held->inode) != file->content)
            WRONG(h, "%s: what is held of it is other", file->path);
        if (S_ISDIR(now.mode))
            check_parent(h, held->inode, file->path);
        if (!same_attr(&now, &then) && !held->told)
            WRONG(h, "%s: nobody is told", file->path);
        if (held->told &&
            held->is_other != (now.size != then.size || !same_time(now.mtime, then.mtime)) &&
            S_ISREG(now.mode))
            WRONG(h, "%s: told that it is%s other", file->path, held->is_other ? "" : " not");
    }
}

static void was_taken(void *arg, struct ns_inode *dir, const void *name, size_t name_size,
                      struct ns_inode *inode, bool is_other)
{
    struct history *h = arg;
    ck_assert((inode != NULL) == (dir == NULL));
    ck_assert(inode || (name && name_size));
    for (size_t i = 0; inode && i < h->held_count; i++) {
        if (h->held[i].inode == inode) {
            h->held[i].told = true;
            h->held[i].is_other = is_other;
        }
    }
}

// ------------------------------------------------------------------------------- readers

static bool is_answer(int64_t rc)
{
    return rc >= 0 || rc == -ENOENT || rc == -ENOTDIR || rc == -ESTALE || rc == -ENODATA;
}

static int drop_entry(void *arg, const struct ns_dirent *entry)
{
    if (entry->inode)
        ns_inode_put(arg, entry->inode, 1);
    return 0;
}

static int64_t read_one(struct reader *r)
{
    char path[64], bytes[500];
    struct ns_inode *inode;
    struct ns_attr attr;
    pick_path(&r->rng, path);
    int64_t rc = ns_resolve(r->ns, path, &inode, &attr);
    if (rc)
        return rc;
    rc = ns_getattr(r->ns, inode, &attr);
    if (!rc && S_ISREG(attr.mode))
        rc = ns_read(r->ns, inode, bytes, sizeof bytes, draw(&r->rng, 9000));
    else if (!rc)
        rc = ns_list(r->ns, inode, 0, true, drop_entry, r->ns);
    if (is_answer(rc))
        rc = ns_getxattr(r->ns, inode, "user.a", bytes, sizeof bytes);
    ns_inode_put(r->ns, inode, 1);
    return rc;
}

static void *reader_thread(void *arg)
{
    struct reader *r = arg;
    while (!atomic_load(r->stop) && !r->failed) {
        int64_t rc = read_one(r);
        if (!is_answer(rc))
            r->failed = (int)rc;
    }
    return NULL;
}

// ------------------------------------------------------------------------------- taking in

struct changes {
    struct lsm *db;
    const struct lsm_snapshot *from, *to;
    struct lsm_diff *diff;
    struct lsm_buf value;
    struct intake intake;
};

static int next_change(void *arg, struct lsm_change *ret_change)
{
    struct changes *c = arg;
    const struct lsm_read_options at = {.snapshot = c->to};
    int rc = lsm_diff_next(c->diff);
    if (rc <= 0)
        return rc;
    *ret_change = (struct lsm_change){0};
    ret_change->key = lsm_diff_key(c->diff, &ret_change->key_size);
    rc = lsm_get(c->db, &at, ret_change->key, ret_change->key_size, &c->value);
    if (rc && rc != LSM_NOT_FOUND)
        return rc;
    ret_change->is_delete = rc == LSM_NOT_FOUND;
    if (!rc) {
        ret_change->value = c->value.data;
        ret_change->value_size = c->value.size;
    }
    rc = intake_check(&c->intake, ret_change);
    return rc ? rc : 1;
}

static int take_in(struct history *h, const char *base, const char *name)
{
    const struct lsm_snapshot_info origin = {.name = name, .created_us = 5, .identity = "id"};
    struct changes c = {.db = ns_engine(h->source)};
    struct lsm_ingest *ingest = NULL;
    ck_assert_int_eq(lsm_snapshot_open(c.db, base, &c.from), 0);
    ck_assert_int_eq(lsm_snapshot_open(c.db, name, &c.to), 0);
    ck_assert_int_eq(lsm_diff_new(c.db, c.from, c.to, &c.diff), 0);
    int rc = lsm_ingest_read(ns_engine(h->copy), next_change, &c, &ingest);
    if (!rc)
        rc = intake_apply_live(h->copy, &c.intake, ingest, base, &origin);
    lsm_ingest_free(ns_engine(h->copy), ingest);
    lsm_diff_free(c.diff);
    lsm_snapshot_free(c.db, c.from);
    lsm_snapshot_free(c.db, c.to);
    lsm_buf_release(&c.value);
    return rc;
}

static void take_in_beside_readers(struct history *h, const char *base, const char *name)
{
    struct reader readers[READERS];
    _Atomic bool stop = false;
    for (size_t i = 0; i < READERS; i++) {
        readers[i] = (struct reader){.ns = h->copy, .rng = h->rng + i, .stop = &stop};
        ck_assert_int_eq(pthread_create(&readers[i].thread, NULL, reader_thread, &readers[i]), 0);
    }
    int rc = take_in(h, base, name);
    if (!rc)
        rc = intake_tell(h->copy, base, name, was_taken, h);
    atomic_store(&stop, true);
    for (size_t i = 0; i < READERS; i++)
        pthread_join(readers[i].thread, NULL);
    if (rc)
        WRONG(h, "%s: %d %s", name, rc, lsm_error_detail());
    for (size_t i = 0; i < READERS; i++)
        if (readers[i].failed)
            WRONG(h, "a reader: %d", readers[i].failed);
}

static void next_snapshot(struct history *h, unsigned round, char name[16])
{
    for (uint64_t n = below(h, STEPS); n; n--)
        step(h);
    snprintf(name, 16, "s%u", round);
    ck_assert_int_eq(lsm_snapshot_create(ns_engine(h->source), name), 0);
}

// What the copy creates is nothing that the other tree has; then no changes are for it.
static void change_copy(struct history *h, const char *base)
{
    char name[16];
    struct ns_inode *nameless;
    next_snapshot(h, ROUNDS, name);
    ck_assert_int_eq(ns_tmpfile(h->copy, &test_cred, ns_root(h->copy), 0600, &nameless, NULL), 0);
    if (find_ino(&source_tree, ns_inode_ino(nameless)))
        WRONG(h, "number %" PRIu64 " is given out twice", ns_inode_ino(nameless));
    ck_assert_int_eq(take_in(h, base, name), INTAKE_NAMELESS);
    ns_inode_put(h->copy, nameless, 1);
    ck_assert_int_eq(ns_test_mkdir(h->copy, "/here"), 0);
    if (find_ino(&source_tree, ns_test_stat(h->copy, "/here").ino))
        WRONG(h, "the number of /here is given out twice");
    ck_assert_int_eq(take_in(h, base, name), INTAKE_CHANGED);
    ck_assert(ns_test_exists(h->copy, "/here"));
}

static struct ns *open_copy(struct history *h)
{
    struct ns_options options = ns_small_options(h->env);
    struct ns *ns = NULL;
    ck_assert_int_eq(ns_open("/copy", &options, &ns), 0);
    return ns;
}

static void run_history(uint64_t seed)
{
    char base[16], name[16];
    struct history h = {.seed = seed, .rng = seed * UINT64_C(0x9e3779b97f4a7c15)};
    h.env = env_fault_new();
    h.source = ns_test_open(h.env);
    next_snapshot(&h, 0, base);
    ck_assert_int_eq(lsm_checkpoint(ns_engine(h.source), "/copy"), 0);
    h.copy = open_copy(&h);
    for (unsigned round = 1; round < ROUNDS; round++) {
        hold_some(&h);
        next_snapshot(&h, round, name);
        take_in_beside_readers(&h, base, name);
        compare_trees(&h);
        check_held(&h);
        ns_expect_clean(h.copy, name);
        if (below(&h, 2))
            let_go(&h);
        for (size_t i = 0; i < h.held_count; i++) // those that are gone may come to life again
            ck_assert_int_eq(ns_getattr(h.copy, h.held[i].inode, &h.held[i].before), 0);
        for (size_t i = 0; i < h.held_count; i++)
            h.held[i].told = false;
        strcpy(base, name);
    }
    change_copy(&h, base);
    let_go(&h);
    ns_expect_clean(h.copy, "at the end");
    ck_assert_int_eq(ns_close(h.copy), 0);
    h.copy = open_copy(&h);
    ns_expect_clean(h.copy, "opened again");
    ck_assert_int_eq(ns_close(h.copy), 0);
    ck_assert_int_eq(ns_close(h.source), 0);
    env_fault_free(h.env);
}

START_TEST(test_random_histories)
{
    run_random_histories("intake_live", 10000, 50, run_history);
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("histories");
    tcase_add_test(tc, test_random_histories);
    return run_case("changes taken in while in use", tc, 0);
}
