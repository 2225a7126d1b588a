// Races in the namespace: long runs of several threads, and pairs of operations that must not both
// succeed or must not disturb each other.
//
// Renames and exchanges across directories under a watchdog; listings beside changes; content that
// must never be seen half written; files unlinked while in use; directories moved into each other;
// lookups while a record moves. Some runs are on a disk on which a commit waits for other
// operations to begin.
//
// LSM_RENAMES, LSM_LISTINGS, LSM_LIVES and LSM_ROUNDS set the sizes.
#include "model/ns_threads.h"

// ------------------------------------------------------------------------------- long runs

struct run {
    struct ns *ns;
    struct ns_inode *dirs[8], *files[2];
    uint64_t each; // operations of a thread
    _Atomic uint64_t progress;
    _Atomic int64_t stamps[THREADS]; // mtime of a file of each thread, from when it was set on
    _Atomic unsigned running;
    pthread_mutex_t mutex;
    pthread_cond_t ended;
};

struct runner {
    struct run *run;
    uint64_t seed;
    unsigned number;
    pthread_t thread;
};

static void runner_done(struct run *run)
{
    pthread_mutex_lock(&run->mutex);
    atomic_fetch_sub(&run->running, 1);
    pthread_cond_broadcast(&run->ended);
    pthread_mutex_unlock(&run->mutex);
}

// Waits for all threads; aborts if there is no progress for a minute.
static void watch(struct run *run)
{
    uint64_t last = UINT64_MAX;
    time_t since = time(NULL);
    pthread_mutex_lock(&run->mutex);
    while (atomic_load(&run->running)) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec++;
        pthread_cond_timedwait(&run->ended, &run->mutex, &until);
        uint64_t progress = atomic_load(&run->progress);
        if (progress != last)
            since = time(NULL);
        last = progress;
        if (time(NULL) - since > 60) {
            fprintf(stderr, "deadlock after %" PRIu64 " operations\n", progress);
            abort();
        }
    }
    pthread_mutex_unlock(&run->mutex);
}

static void run_threads(struct run *run, unsigned count, void *(*body)(void *), uint64_t seed)
{
    struct runner runners[8];
    pthread_mutex_init(&run->mutex, NULL);
    pthread_cond_init(&run->ended, NULL);
    atomic_store(&run->running, count);
    for (unsigned i = 0; i < count; i++) {
        runners[i] = (struct runner){.run = run, .seed = seed + i, .number = i};
        ck_assert_int_eq(pthread_create(&runners[i].thread, NULL, body, &runners[i]), 0);
    }
    watch(run);
    for (unsigned i = 0; i < count; i++)
        pthread_join(runners[i].thread, NULL);
    pthread_cond_destroy(&run->ended);
    pthread_mutex_destroy(&run->mutex);
}

static bool is_expected(int rc)
{
    return rc == 0 || rc == -ENOENT || rc == -EEXIST || rc == -EINVAL || rc == -ENOTEMPTY ||
           rc == -EISDIR || rc == -ENOTDIR;
}

static void *rename_thread(void *arg)
{
    struct runner *self = arg;
    struct run *run = self->run;
    static const unsigned flags[] = {0, 0, NS_RENAME_NOREPLACE, NS_RENAME_EXCHANGE};
    for (uint64_t i = 0; i < run->each; i++) {
        struct ns_inode *from = run->dirs[random_below(&self->seed, 8)];
        struct ns_inode *to = run->dirs[random_below(&self->seed, 8)], *inode;
        char a[2] = {(char)('a' + random_below(&self->seed, 4)), 0};
        char b[2] = {(char)('a' + random_below(&self->seed, 4)), 0};
        atomic_fetch_add(&clock_now, 1);
        int rc = ns_rename(run->ns, from, a, 1, to, b, 1, flags[random_below(&self->seed, 4)]);
        if (!is_expected(rc))
            ck_abort_msg("rename: %d", rc);
        if (i % 8 == 0) {
            rc = i % 16 ? ns_mkdir(run->ns, &test_cred, from, b, 1, 0755, &inode, NULL)
                        : ns_mknod(run->ns, &test_cred, from, b, 1, S_IFREG, 0, &inode, NULL);
            if (!rc)
                ns_inode_put(run->ns, inode, 1);
        }
        if (i % 32 == 0) {
            struct ns_inode *x = run->files[i / 32 % 2], *y = run->files[1 - i / 32 % 2];
            (void)!ns_test_copy_range(run->ns, x, 0, y, 100, 5000);
            (void)!ns_link(run->ns, x, to, a, 1, NULL);
        }
        atomic_fetch_add_explicit(&run->progress, 1, memory_order_relaxed);
    }
    runner_done(run);
    return NULL;
}

// Two chains of four directories, so that two threads can try to move one into the other and back.
// The second time commits wait for other operations, as above.
START_TEST(test_renames_do_not_deadlock)
{
    bool slow = _i;
    struct env *env = env_fault_new();
    struct run run = {.ns = slow ? open_slowly(env) : ns_test_open(env)};
    run.each = count_from_env("LSM_RENAMES", 200000, 2000000) / THREADS / (slow ? 10 : 1);
    for (unsigned i = 0; i < 8; i++) {
        char name[8];
        snprintf(name, sizeof name, "%c", 'a' + i % 4);
        run.dirs[i] = make(run.ns, i < 2 ? ns_root(run.ns) : run.dirs[i - 2], name, S_IFDIR);
    }
    for (unsigned i = 0; i < 2; i++) {
        run.files[i] = make(run.ns, ns_root(run.ns), i ? "x" : "y", S_IFREG | 0644);
        char bytes[10000] = "some";
        ck_assert_int_eq(ns_write(run.ns, run.files[i], bytes, sizeof bytes, 0, 0, NULL),
                         sizeof bytes);
    }
    run_threads(&run, THREADS, rename_thread, test_seed("ns_races renames", 1));
    for (unsigned i = 0; i < 8; i++)
        ns_inode_put(run.ns, run.dirs[i], 1);
    for (unsigned i = 0; i < 2; i++)
        ns_inode_put(run.ns, run.files[i], 1);
    ns_expect_clean(run.ns, "after the renames");
    ck_assert_uint_eq(ns_live_inodes(run.ns), 1);
    ck_assert_int_eq(ns_close(run.ns), 0);
    if (slow)
        env->ops = &fast_ops;
    env_fault_free(env);
}
END_TEST

#define STABLE_NAMES 1200u

struct listing {
    unsigned char seen[STABLE_NAMES];
    unsigned budget, count;
    uint64_t cookie;
    struct ns *ns;
    int64_t stamps[THREADS]; // run.stamps before the call
};

static int list_stable(void *arg, const struct ns_dirent *entry)
{
    struct listing *l = arg;
    if (l->budget-- == 0)
        return 1;
    if (entry->inode)
        ns_inode_put(l->ns, entry->inode, 1);
    if (entry->name_size == 5 && entry->name[0] == 's') {
        char number[5] = {0};
        memcpy(number, entry->name + 1, 4);
        unsigned long i = strtoul(number, NULL, 10);
        l->seen[i]++;
        if (entry->attr && i < THREADS && entry->attr->mtime.tv_sec < l->stamps[i])
            ck_abort_msg("%.5s is listed with attributes of before", entry->name);
    }
    l->cookie = entry->cookie;
    l->count++;
    return 0;
}

static void list_once(struct run *run, uint64_t *seed)
{
    static _Thread_local struct listing l;
    int rc = 0;
    memset(&l, 0, sizeof l);
    l.ns = run->ns;
    for (unsigned before = UINT32_MAX; !rc && l.count != before;) {
        before = l.count;
        l.budget = 1 + (unsigned)random_below(seed, 400);
        for (unsigned i = 0; i < THREADS; i++)
            l.stamps[i] = atomic_load(&run->stamps[i]);
        rc = ns_list(run->ns, run->dirs[0], l.cookie, random_below(seed, 2), list_stable, &l);
    }
    for (unsigned i = 0; i < STABLE_NAMES; i++)
        if (rc || l.seen[i] != 1)
            ck_abort_msg("listing: %d, s%04u is there %u times", rc, i, l.seen[i]);
}

static void change_once(struct run *run, uint64_t *seed)
{
    struct ns_inode *inode;
    char a[16], b[16];
    size_t an = (size_t)snprintf(a, sizeof a, "s%04u.x", (unsigned)random_below(seed, 500));
    size_t bn = (size_t)snprintf(b, sizeof b, "s%04u.y", (unsigned)random_below(seed, 500));
    switch (random_below(seed, 3)) {
    case 0:
        if (!ns_mknod(run->ns, &test_cred, run->dirs[0], a, an, S_IFREG, 0, &inode, NULL))
            ns_inode_put(run->ns, inode, 1);
        break;
    case 1:
        (void)!ns_unlink(run->ns, run->dirs[0], b, bn);
        break;
    default:
        (void)!ns_rename(run->ns, run->dirs[0], a, an, run->dirs[0], b, bn, 0);
        break;
    }
}

// A later time for the thread's own file, which the listings must show from then on.
static void stamp(struct run *run, unsigned number)
{
    char name[8];
    struct ns_inode *inode;
    const struct ns_attr attr = {.mtime.tv_sec = atomic_load(&run->stamps[number]) + 1};
    size_t size = (size_t)snprintf(name, sizeof name, "s%04u", number);
    if (ns_lookup(run->ns, run->dirs[0], name, size, &inode, NULL) ||
        ns_setattr(run->ns, inode, &attr, NS_SET_MTIME, NULL))
        ck_abort_msg("setting the time of %s", name);
    ns_inode_put(run->ns, inode, 1);
    atomic_store(&run->stamps[number], attr.mtime.tv_sec);
}

static void *list_thread(void *arg)
{
    struct runner *self = arg;
    for (uint64_t i = 0; i < self->run->each; i++) {
        if (self->number < 2)
            list_once(self->run, &self->seed);
        for (unsigned j = 0; self->number >= 2 && j < 100; j++) {
            change_once(self->run, &self->seed);
            if (j % 4 == 0)
                stamp(self->run, self->number);
        }
        atomic_fetch_add_explicit(&self->run->progress, 1, memory_order_relaxed);
    }
    runner_done(self->run);
    return NULL;
}

START_TEST(test_listings_beside_changes)
{
    struct env *env = env_fault_new();
    struct run run = {.ns = ns_test_open(env)};
    run.each = count_from_env("LSM_LISTINGS", 200, 5000);
    run.dirs[0] = make(run.ns, ns_root(run.ns), "d", S_IFDIR);
    for (unsigned i = 0; i < STABLE_NAMES; i++) {
        char name[8];
        snprintf(name, sizeof name, "s%04u", i);
        ns_inode_put(run.ns, make(run.ns, run.dirs[0], name, S_IFREG | 0644), 1);
    }
    run_threads(&run, THREADS, list_thread, test_seed("ns_races listings", 1));
    ns_inode_put(run.ns, run.dirs[0], 1);
    ns_expect_clean(run.ns, "after the listings");
    ck_assert_int_eq(ns_close(run.ns), 0);
    env_fault_free(env);
}
END_TEST

// Whole writes and whole reads of one file: never a mixture.
static void content_once(struct run *run, uint64_t *seed, bool writes)
{
    static _Thread_local uint8_t bytes[40000];
    if (writes) {
        memset(bytes, (int)random_below(seed, 256), sizeof bytes);
        if (ns_write(run->ns, run->files[0], bytes, sizeof bytes, 0, 0, NULL) != sizeof bytes)
            ck_abort_msg("write");
        return;
    }
    ssize_t n = ns_read(run->ns, run->files[0], bytes, sizeof bytes, 0);
    if (n != sizeof bytes || memcmp(bytes, bytes + 1, sizeof bytes - 1))
        ck_abort_msg("read: %zd, or a mixture of writes", n);
}

// A file with content that is opened, unlinked, used and let go.
static void short_life(struct run *run, uint64_t *seed)
{
    char name[16], bytes[6000] = "x";
    size_t size = (size_t)snprintf(name, sizeof name, "t%u", (unsigned)random_below(seed, 3));
    struct ns_inode *inode;
    if (ns_mknod(run->ns, &test_cred, run->dirs[0], name, size, S_IFREG | 0644, 0, &inode, NULL) &&
        ns_lookup(run->ns, run->dirs[0], name, size, &inode, NULL))
        return;
    bool opened = random_below(seed, 2);
    if (random_below(seed, 4) == 0)
        (void)!ns_link(run->ns, inode, run->dirs[0], "t9", 2, NULL);
    if (random_below(seed, 4) == 0)
        (void)!ns_unlink(run->ns, run->dirs[0], "t9", 2);
    if (opened) // not if somebody has just removed it
        opened = ns_inode_opened(run->ns, inode) == 0;
    ssize_t n = ns_write(run->ns, inode, bytes, sizeof bytes, random_below(seed, 9000), 0, NULL);
    if (random_below(seed, 2))
        (void)!ns_unlink(run->ns, run->dirs[0], name, size);
    struct ns_inode *again = ns_inode_find(run->ns, ns_inode_ino(inode));
    if (again != inode)
        ck_abort_msg("a live inode is not found");
    ssize_t got = ns_read(run->ns, again, bytes, sizeof bytes, 0);
    if ((n < 0 && n != -ESTALE) || (got < 0 && got != -ESTALE))
        ck_abort_msg("write %zd, read %zd", n, got);
    if (opened)
        ns_inode_closed(run->ns, inode);
    ns_inode_put(run->ns, inode, 2);
}

static void *content_thread(void *arg)
{
    struct runner *self = arg;
    for (uint64_t i = 0; i < self->run->each; i++) {
        content_once(self->run, &self->seed, self->number == 0 || self->number == 1);
        for (unsigned j = 0; j < 4; j++)
            short_life(self->run, &self->seed);
        atomic_fetch_add_explicit(&self->run->progress, 1, memory_order_relaxed);
    }
    runner_done(self->run);
    return NULL;
}

START_TEST(test_content_and_short_lives)
{
    struct env *env = env_fault_new();
    struct run run = {.ns = ns_test_open(env)};
    uint64_t seed = 1;
    run.each = count_from_env("LSM_LIVES", 700, 100000);
    run.dirs[0] = make(run.ns, ns_root(run.ns), "d", S_IFDIR);
    run.files[0] = make(run.ns, ns_root(run.ns), "f", S_IFREG | 0644);
    content_once(&run, &seed, true);
    run_threads(&run, THREADS, content_thread, test_seed("ns_races content", 1));
    ns_inode_put(run.ns, run.dirs[0], 1);
    ns_inode_put(run.ns, run.files[0], 1);
    ns_expect_clean(run.ns, "after the short lives");
    ck_assert_uint_eq(ns_live_inodes(run.ns), 1);
    ck_assert_int_eq(ns_close(run.ns), 0);
    env_fault_free(env);
}
END_TEST

// ------------------------------------------------------------------------------- two at a time

struct pair {
    struct ns *ns;
    pthread_barrier_t start;
    struct ns_inode *dirs[6]; // p, p/a, p/a/deep; q, q/b, q/b/deep
    int rc[2];
    unsigned rounds;
};

static void *opposite_thread(void *arg)
{
    struct pair *pair = arg;
    for (unsigned i = 0; i < pair->rounds; i++) {
        pthread_barrier_wait(&pair->start);
        atomic_fetch_add(&clock_now, 1);
        pair->rc[1] = ns_rename(pair->ns, pair->dirs[3], "b", 1, pair->dirs[2], "b", 1, 0);
        pthread_barrier_wait(&pair->start);
    }
    return NULL;
}

static void open_pair(struct env *env, struct pair *pair, void *(*body)(void *), pthread_t *thread)
{
    pair->ns = open_slowly(env);
    pair->rounds = (unsigned)count_from_env("LSM_ROUNDS", 300, 20000);
    pthread_barrier_init(&pair->start, NULL, 2);
    ck_assert_int_eq(pthread_create(thread, NULL, body, pair), 0);
}

static void close_pair(struct env *env, struct pair *pair, pthread_t thread)
{
    pthread_join(thread, NULL);
    pthread_barrier_destroy(&pair->start);
    ns_expect_clean(pair->ns, "at the end");
    ck_assert_uint_eq(ns_live_inodes(pair->ns), 1);
    ck_assert_int_eq(ns_close(pair->ns), 0);
    env->ops = &fast_ops;
    env_fault_free(env);
}

// p/a goes below q/b while q/b goes below p/a: one of them must be refused.
START_TEST(test_opposite_moves)
{
    struct env *env = env_fault_new();
    struct pair pair;
    pthread_t thread;
    open_pair(env, &pair, opposite_thread, &thread);
    for (unsigned i = 0; i < pair.rounds; i++) {
        char name[32];
        for (unsigned j = 0; j < 6; j++) {
            snprintf(name, sizeof name, "%c%u", j < 3 ? 'p' : 'q', i);
            pair.dirs[j] = make(pair.ns, j % 3 ? pair.dirs[j - 1] : ns_root(pair.ns),
                                j % 3 == 0   ? name
                                : j % 3 == 2 ? "deep"
                                : j == 1     ? "a"
                                             : "b",
                                S_IFDIR);
        }
        pthread_barrier_wait(&pair.start);
        atomic_fetch_add(&clock_now, 1);
        pair.rc[0] = ns_rename(pair.ns, pair.dirs[0], "a", 1, pair.dirs[5], "a", 1, 0);
        pthread_barrier_wait(&pair.start);
        if (pair.rc[0] + pair.rc[1] != -EINVAL)
            ck_abort_msg("round %u: %d and %d", i, pair.rc[0], pair.rc[1]);
        for (unsigned j = 0; j < 6; j++)
            ns_inode_put(pair.ns, pair.dirs[j], 1);
    }
    close_pair(env, &pair, thread);
}
END_TEST

// Looks the file up that the other thread links and lets go of.
static void *looking_thread(void *arg)
{
    struct pair *pair = arg;
    for (unsigned i = 0; i < pair->rounds; i++) {
        struct ns_inode *inode;
        struct ns_attr attr;
        pthread_barrier_wait(&pair->start);
        atomic_fetch_add(&clock_now, 1);
        int rc = ns_lookup(pair->ns, ns_root(pair->ns), "a", 1, &inode, &attr);
        if (!rc) {
            rc = ns_getattr(pair->ns, inode, &attr);
            ns_inode_put(pair->ns, inode, 1);
        }
        if (rc)
            ck_abort_msg("round %u: %d", i, rc);
        pthread_barrier_wait(&pair->start);
    }
    return NULL;
}

START_TEST(test_lookups_beside_links)
{
    struct env *env = env_fault_new();
    struct pair pair;
    pthread_t thread;
    open_pair(env, &pair, looking_thread, &thread);
    struct ns_inode *root = ns_root(pair.ns);
    for (unsigned i = 0; i < pair.rounds; i++) {
        struct ns_inode *inode = make(pair.ns, root, "a", S_IFREG | 0644);
        pthread_barrier_wait(&pair.start);
        atomic_fetch_add(&clock_now, 1);
        int rc = ns_link(pair.ns, inode, root, "b", 1, NULL);
        ns_inode_put(pair.ns, inode, 1);
        pthread_barrier_wait(&pair.start);
        if (rc || ns_unlink(pair.ns, root, "a", 1) || ns_unlink(pair.ns, root, "b", 1))
            ck_abort_msg("round %u: %d", i, rc);
    }
    close_pair(env, &pair, thread);
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("threads");
    tcase_add_loop_test(tc, test_renames_do_not_deadlock, 0, 2);
    tcase_add_test(tc, test_listings_beside_changes);
    tcase_add_test(tc, test_content_and_short_lives);
    tcase_add_test(tc, test_opposite_moves);
    tcase_add_test(tc, test_lookups_beside_links);
    return run_case("namespace races", tc, 0);
}
