// Power cuts and process deaths during a namespace workload, on a simulated disk.
//
// The workload does the same operations in the same order every time: creates, writes, links,
// renames of files and directories, exchanges, truncations, removals, with an fsync now and then.
// After each operation it notes what the tree looks like: a text with every path, type, size, link
// count, attribute and a hash of the content. A cut then comes at one of its system calls. After it
// the store must open, ns_check must be clean, and the tree must be one of those noted: since every
// operation is one batch, each has happened whole or not at all, and none without those before it.
// It must be one from the last acknowledged fsync on; after the death of the process alone, the one
// after the last operation. Now and then the workload makes a named snapshot and deletes an older
// one. Those made are there after the cut, those deleted are not, and each shows the tree as it was
// noted.
//
// LSM_SEED is the seed of what a power cut keeps; LSM_STEP visits every n-th call only.
#include <linux/falloc.h>

#include "base/hash.h"
#include "base/slice.h"
#include "ns_util.h"
#include "version_util.h"

#define OPERATIONS     300
#define SNAPSHOT_EVERY 37 // operations
#define SNAPSHOTS_KEPT 3
#define SNAPSHOTS      (OPERATIONS / SNAPSHOT_EVERY + 1)

struct note {
    uint64_t hash;
};

struct notes {
    struct note after[OPERATIONS + 1]; // after[i]: after i operations
};

struct outcome {
    int done;   // operations acknowledged
    int synced; // of these, acknowledged as durable
    uint64_t calls;
    // Of snapshot n, made after operation n * SNAPSHOT_EVERY; one that was asked for, but not
    // acknowledged, may be there or not.
    enum { ABSENT, PRESENT, EITHER } snapshots[SNAPSHOTS];
};

static struct ns_options crash_options(struct env *env, enum lsm_wal_mode mode)
{
    struct ns_options options = ns_small_options(env);
    options.engine.wal_mode = mode;
    options.inline_max = 500;
    options.cut_extents = 1;
    return options;
}

// ------------------------------------------------------------------------------- the tree as text

static int describe_entry(void *arg, const struct ns_dirent *entry);

struct description {
    struct ns *ns;
    struct buf text, path;
    int rc;
};

static void describe_content(struct description *d, struct ns_inode *inode, uint64_t size)
{
    static uint8_t bytes[1 << 20];
    char line[64], value[16];
    ssize_t n = ns_read(d->ns, inode, bytes, sizeof bytes, 0);
    ck_assert_int_eq(n, (ssize_t)size);
    ssize_t v = ns_getxattr(d->ns, inode, "user.x", value, sizeof value);
    int length = snprintf(line, sizeof line, " %016llx %.*s",
                          (unsigned long long)hash64(bytes, (size_t)n), v > 0 ? (int)v : 0, value);
    ck_assert_int_eq(buf_append(&d->text, line, (size_t)length), 0);
}

static void describe_dir(struct description *d, struct ns_inode *inode)
{
    ck_assert_int_eq(ns_list(d->ns, inode, 0, true, describe_entry, d), 0);
}

static int describe_entry(void *arg, const struct ns_dirent *entry)
{
    struct description *d = arg;
    char line[128];
    if (!entry->inode)
        return 0;
    size_t before = d->path.size;
    ck_assert_int_eq(buf_append(&d->path, "/", 1), 0);
    ck_assert_int_eq(buf_append(&d->path, entry->name, entry->name_size), 0);
    ck_assert_int_eq(buf_append(&d->text, d->path.data, d->path.size), 0);
    int n = snprintf(line, sizeof line, " %llu %o %u %llu", (unsigned long long)entry->attr->ino,
                     entry->attr->mode, entry->attr->nlink, (unsigned long long)entry->attr->size);
    ck_assert_int_eq(buf_append(&d->text, line, (size_t)n), 0);
    if (S_ISREG(entry->attr->mode))
        describe_content(d, entry->inode, entry->attr->size);
    ck_assert_int_eq(buf_append(&d->text, "\n", 1), 0);
    if (S_ISDIR(entry->attr->mode))
        describe_dir(d, entry->inode);
    d->path.size = before;
    ns_inode_put(d->ns, entry->inode, 1);
    return 0;
}

static uint64_t describe(struct ns *ns, char **ret_text)
{
    struct description d = {.ns = ns};
    describe_dir(&d, ns_root(ns));
    uint64_t hash = hash64(d.text.data, d.text.size);
    if (ret_text) {
        ck_assert_int_eq(buf_append(&d.text, "", 1), 0);
        *ret_text = (char *)d.text.data;
    } else {
        buf_release(&d.text);
    }
    buf_release(&d.path);
    return hash;
}

// ------------------------------------------------------------------------------- the workload

// Names depend on the step alone; what fails because a name is or is not there changes nothing.
static void name_of(uint64_t *seed, char *path, size_t size)
{
    static const char *const dirs[] = {"", "", "/d1", "/d2", "/d1/d3", "/d4"};
    snprintf(path, size, "%s/%s%u", dirs[random_below(seed, 6)], "f",
             (unsigned)random_below(seed, 4));
}

static void dir_name_of(uint64_t *seed, char *path, size_t size)
{
    static const char *const dirs[] = {"/d1", "/d2", "/d1/d3", "/d4", "/d2/d5"};
    snprintf(path, size, "%s", dirs[random_below(seed, 5)]);
}

// The directory of a path, NULL if there is none. A failing disk is an error, not an absent name:
// what the workload does must not depend on it.
static int find_parent(struct ns *ns, const char *path, struct ns_inode **ret_dir)
{
    char dir[64];
    *ret_dir = NULL;
    snprintf(dir, sizeof dir, "%.*s", (int)(strrchr(path, '/') - path), path);
    int rc = ns_resolve(ns, dir, ret_dir, NULL);
    if (rc == -ENOENT || rc == -ENOTDIR)
        return 0;
    if (!rc && !S_ISDIR(ns_inode_type(*ret_dir))) {
        ns_inode_put(ns, *ret_dir, 1);
        *ret_dir = NULL;
    }
    return rc;
}

static int change_content(struct ns *ns, uint64_t *seed, const char *path)
{
    struct ns_inode *inode;
    struct ns_attr attr;
    static uint8_t bytes[150000];
    int found = ns_resolve(ns, path, &inode, &attr);
    if (found)
        return found;
    size_t size = 1 + random_below(seed, random_below(seed, 4) ? 900 : sizeof bytes);
    uint64_t offset = random_below(seed, random_below(seed, 3) ? 500 : 200000);
    memset(bytes, (int)random_below(seed, 256), size);
    uint64_t what = random_below(seed, 6);
    ssize_t rc = 0;
    if (!S_ISREG(attr.mode))
        rc = 0;
    else if (what == 0)
        rc = ns_setattr(ns, inode, &(struct ns_attr){.size = offset}, NS_SET_SIZE, NULL);
    else if (what == 1)
        rc = ns_test_fallocate(ns, inode, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, size);
    else if (what == 2)
        rc = ns_setxattr(ns, inode, "user.x", bytes, 1 + offset % 9, 0);
    else
        rc = ns_write(ns, inode, bytes, size, offset, 0, NULL);
    ns_inode_put(ns, inode, 1);
    return rc < 0 ? (int)rc : 0;
}

static int link_file(struct ns *ns, const char *path, struct ns_inode *to_dir, const char *to)
{
    struct ns_inode *inode;
    int rc = ns_resolve(ns, path, &inode, NULL);
    if (rc)
        return rc;
    rc = ns_link(ns, inode, to_dir, to, strlen(to), NULL);
    ns_inode_put(ns, inode, 1);
    return rc;
}

static int change_names(struct ns *ns, uint64_t what, struct ns_inode *a_dir, const char *a_path,
                        struct ns_inode *b_dir, const char *b_path)
{
    const char *a = strrchr(a_path, '/') + 1, *b = strrchr(b_path, '/') + 1;
    struct ns_inode *inode = NULL;
    int rc;
    switch (what) {
    case 0:
    case 1:
    case 2:
        rc = ns_mknod(ns, &test_cred, a_dir, a, strlen(a), S_IFREG | 0644, 0, &inode, NULL);
        break;
    case 7:
        return link_file(ns, a_path, b_dir, b);
    case 8:
    case 9:
        return ns_unlink(ns, a_dir, a, strlen(a));
    case 10:
        return ns_rename(ns, a_dir, a, strlen(a), b_dir, b, strlen(b), NS_RENAME_EXCHANGE);
    case 11:
    case 12:
        return ns_rename(ns, a_dir, a, strlen(a), b_dir, b, strlen(b), 0);
    case 16:
        return ns_rename_as(ns, &test_cred, a_dir, a, strlen(a), b_dir, b, strlen(b),
                            NS_RENAME_WHITEOUT);
    case 13:
        return ns_rmdir(ns, a_dir, a, strlen(a));
    default:
        rc = ns_mkdir(ns, &test_cred, a_dir, a, strlen(a), 0755, &inode, NULL);
        break;
    }
    if (!rc)
        ns_inode_put(ns, inode, 1);
    return rc;
}

static int operate(struct ns *ns, uint64_t *seed)
{
    char a[64], b[64];
    uint64_t what = random_below(seed, 17);
    bool dirs = what >= 12;
    struct ns_inode *a_dir = NULL, *b_dir = NULL;
    (dirs ? dir_name_of : name_of)(seed, a, sizeof a);
    (dirs ? dir_name_of : name_of)(seed, b, sizeof b);
    if (what >= 3 && what <= 6)
        return change_content(ns, seed, a);
    int rc = find_parent(ns, a, &a_dir);
    if (!rc)
        rc = find_parent(ns, b, &b_dir);
    if (!rc && a_dir && b_dir)
        rc = change_names(ns, what, a_dir, a, b_dir, b);
    if (a_dir)
        ns_inode_put(ns, a_dir, 1);
    if (b_dir)
        ns_inode_put(ns, b_dir, 1);
    return rc;
}

static bool is_refusal(int rc)
{
    return rc == -ENOENT || rc == -EEXIST || rc == -EINVAL || rc == -ENOTEMPTY || rc == -EISDIR ||
           rc == -ENOTDIR || rc == -EPERM;
}

static void snapshot_name(int n, char name[16])
{
    snprintf(name, 16, "s%d", n);
}

// Makes snapshot n, and deletes the one that is too much. 0 or a negative lsm_status.
static int take_snapshot(struct ns *ns, int n, struct outcome *out)
{
    char name[16];
    snapshot_name(n, name);
    out->snapshots[n] = EITHER;
    int status = lsm_snapshot_create(ns_engine(ns), name);
    if (status)
        return status;
    out->snapshots[n] = PRESENT;
    out->synced = out->done;
    if (n <= SNAPSHOTS_KEPT)
        return 0;
    snapshot_name(n - SNAPSHOTS_KEPT, name);
    out->snapshots[n - SNAPSHOTS_KEPT] = EITHER;
    status = lsm_snapshot_delete(ns_engine(ns), name);
    if (!status)
        out->snapshots[n - SNAPSHOTS_KEPT] = ABSENT;
    return status;
}

// Runs until an operation fails for another reason than its own. `notes` may be NULL.
static struct outcome run_workload(struct env *env, enum lsm_wal_mode mode, uint64_t workload,
                                   uint64_t cut_at, int kill_at, struct notes *notes)
{
    struct ns_options options = crash_options(env, mode);
    struct outcome out = {0};
    struct ns *ns;
    uint64_t before = env_fault_calls(env), seed = workload;
    if (cut_at)
        env_fault_cut_at(env, cut_at);
    if (ns_open("/fs", &options, &ns))
        return out;
    if (notes)
        notes->after[0].hash = describe(ns, NULL);
    for (int i = 1; i <= OPERATIONS; i++) {
        if (i == kill_at) {
            env_fault_kill(env);
            break;
        }
        int rc = operate(ns, &seed);
        if (rc && !is_refusal(rc))
            break;
        out.done = i;
        if (i % 13 == 0 && ns_test_fsync(ns, ns_root(ns)) == 0)
            out.synced = i;
        if (notes)
            notes->after[i].hash = describe(ns, NULL);
        if (i % SNAPSHOT_EVERY == 0 && take_snapshot(ns, i / SNAPSHOT_EVERY, &out))
            break;
    }
    out.calls = env_fault_calls(env) - before;
    (void)!ns_close(ns);
    return out;
}

static void expect_snapshots(struct ns *ns, const struct notes *notes, const struct outcome *out,
                             const char *what)
{
    for (int n = 1; n < SNAPSHOTS; n++) {
        struct ns *then;
        char name[16];
        snapshot_name(n, name);
        int status = ns_open_snapshot(ns, name, &then);
        ck_assert_msg(out->snapshots[n] == EITHER ||
                          (status == 0) == (out->snapshots[n] == PRESENT),
                      "%s: snapshot %d: %d %s", what, n, status, lsm_error_detail());
        if (status) {
            ck_assert_int_eq(status, LSM_NOT_FOUND);
            continue;
        }
        ck_assert_msg(describe(then, NULL) == notes->after[n * SNAPSHOT_EVERY].hash,
                      "%s: snapshot %d is another tree", what, n);
        ns_expect_clean(then, what);
        ck_assert_int_eq(ns_close(then), 0);
    }
}

// The tree is that after some operation from `first` to `last`.
static void expect_tree(struct env *env, enum lsm_wal_mode mode, const struct notes *notes,
                        const struct outcome *out, int first, int last, const char *what)
{
    struct ns_options options = crash_options(env, mode);
    struct ns *ns;
    int status = ns_open("/fs", &options, &ns);
    ck_assert_msg(status == 0, "%s: open: %d %s", what, status, lsm_error_detail());
    ns_expect_clean(ns, what);
    char *text;
    uint64_t hash = describe(ns, &text);
    int i = first;
    while (i <= last && notes->after[i].hash != hash)
        i++;
    if (i > last) {
        int where = 0;
        while (where <= OPERATIONS && notes->after[where].hash != hash)
            where++;
        ck_abort_msg("%s: not a tree from after operations %d to %d, but %d:\n%s", what, first,
                     last, where, text);
    }
    free(text);
    expect_snapshots(ns, notes, out, what);
    ck_assert_int_eq(ns_test_create(ns, "/after"), 0);
    ns_expect_clean(ns, what);
    ck_assert_int_eq(ns_close(ns), 0);
}

static void sweep(enum lsm_wal_mode mode, uint64_t workload)
{
    uint64_t step = from_env("LSM_STEP", 5), seed = from_env("LSM_SEED", 1), visited = 0;
    struct notes notes;
    struct env *env = env_fault_new();
    struct outcome whole = run_workload(env, mode, workload, 0, 0, &notes);
    ck_assert_int_eq(whole.done, OPERATIONS);
    expect_tree(env, mode, &notes, &whole, OPERATIONS, OPERATIONS, "no cut");
    env_fault_free(env);
    for (uint64_t n = 1; n <= whole.calls + 10; n += step, visited++) {
        char what[96];
        snprintf(what, sizeof what, "mode %d, workload %d, cut at call %d, LSM_SEED=%d", mode,
                 (int)workload, (int)n, (int)seed);
        env = env_fault_new();
        struct outcome out = run_workload(env, mode, workload, n, 0, NULL);
        env_fault_power_cut(env, n % 4 ? seed + n : 0);
        expect_tree(env, mode, &notes, &out, out.synced,
                    out.done < OPERATIONS ? out.done + 1 : out.done, what);
        env_fault_free(env);
    }
    printf("mode %d, workload %d: %d cuts among %d calls\n", mode, (int)workload, (int)visited,
           (int)whole.calls);
}

START_TEST(test_power_cut)
{
    sweep(_i % 2 ? LSM_WAL_MAPPED : LSM_WAL_WRITTEN, 1 + (uint64_t)_i / 2);
}
END_TEST

START_TEST(test_kill)
{
    enum lsm_wal_mode mode = _i % 2 ? LSM_WAL_MAPPED : LSM_WAL_WRITTEN;
    uint64_t step = from_env("LSM_STEP", 7), workload = 10 + (uint64_t)_i / 2;
    struct notes notes;
    struct env *env = env_fault_new();
    struct outcome whole = run_workload(env, mode, workload, 0, 0, &notes);
    ck_assert_int_eq(whole.done, OPERATIONS);
    env_fault_free(env);
    for (int at = 1; at <= OPERATIONS; at += (int)step) {
        char what[64];
        snprintf(what, sizeof what, "mode %d, killed before operation %d", mode, at);
        env = env_fault_new();
        struct outcome out = run_workload(env, mode, workload, 0, at, NULL);
        expect_tree(env, mode, &notes, &out, at - 1, at - 1, what);
        env_fault_free(env);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("namespace crash");
    TCase *tc = tcase_create("crash");
    int loops = getenv("LSMFS_LONG") ? 80 : 8;
    tcase_set_timeout(tc, 0);
    tcase_add_loop_test(tc, test_power_cut, 0, loops);
    tcase_add_loop_test(tc, test_kill, 0, loops);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
