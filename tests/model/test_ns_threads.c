// The namespace from several threads at once.
//
// Linearizability: four threads run a few random operations on six names in three directories,
// which may be renamed and removed themselves, through inodes looked up before. Each call and its
// result are recorded with the order of their begins and ends. Then a sequential model searches for
// an order of all operations that keeps every operation after those that had ended before it began
// and gives every result (Wing and Gong's search, with a table of the states already tried).
// Listings are checked the same way, as one operation, which is stronger than what is promised.
//
// A log write waits a little until another operation has begun, so that operations do overlap also
// where there are few processors.
//
// LSM_HISTORIES sets the number of histories, LSM_SEED the first one's seed.
#include "base/hash.h"
#include "model/ns_threads.h"

#define PER_THREAD 6
#define OPS        (THREADS * PER_THREAD + 4) // and a look at everything at the end

enum { TOP, DIR_0, DIR_1, FILE_0, FIRST_NEW }; // nodes; a node made by operation i is FIRST_NEW + i

enum kind { CREATE, MKDIR, LINK, UNLINK, RMDIR, RENAME, LOOKUP, LIST, STAT, KINDS };

// A name is directory * 2 + 0 or 1.
struct call {
    enum kind kind;
    unsigned name, to; // LIST, STAT: a directory in name
    unsigned flags;
    int rc;                  // result
    uint64_t ino;            // of CREATE, MKDIR, LOOKUP
    uint64_t listed[2];      // of LIST: inode numbers under the two names, 0: not there
    uint64_t size, nlink;    // of STAT
    uint64_t began, ended;   // order
    unsigned node, nodes[2]; // ino and listed as nodes
};

struct state {
    uint8_t at[6]; // node under each name; 0: none (TOP has no name)
};

struct history {
    uint64_t seed;
    unsigned number;
    struct ns *ns;
    struct ns_inode *dirs[3], *file;
    struct call calls[OPS];
};

static const char *const names[2] = {"a", "b"};

// ------------------------------------------------------------------------------- running

static int list_two(void *arg, const struct ns_dirent *entry)
{
    struct call *call = arg;
    if (entry->name_size != 1 || entry->name[0] == '.')
        return 0;
    call->listed[entry->name[0] - 'a'] += entry->ino; // twice would be no inode's number
    return 0;
}

static int list(struct history *h, struct call *call)
{
    return ns_list(h->ns, h->dirs[call->name], 0, false, list_two, call);
}

static int run_call(struct history *h, struct call *call)
{
    struct ns *ns = h->ns;
    struct ns_inode *inode = NULL, *dir = h->dirs[call->name / 2 % 3];
    const char *name = names[call->name % 2];
    struct ns_attr attr = {0};
    int rc = 0;
    switch (call->kind) {
    case CREATE:
        rc = ns_mknod(ns, &test_cred, dir, name, 1, S_IFREG | 0644, 0, &inode, &attr);
        break;
    case MKDIR:
        rc = ns_mkdir(ns, &test_cred, dir, name, 1, 0755, &inode, &attr);
        break;
    case LOOKUP:
        rc = ns_lookup(ns, dir, name, 1, &inode, &attr);
        break;
    case LINK:
        return ns_link(ns, h->file, dir, name, 1, NULL);
    case UNLINK:
        return ns_unlink(ns, dir, name, 1);
    case RMDIR:
        return ns_rmdir(ns, dir, name, 1);
    case RENAME:
        return ns_rename(ns, dir, name, 1, h->dirs[call->to / 2], names[call->to % 2], 1,
                         call->flags);
    case LIST:
        return list(h, call);
    default:
        rc = ns_getattr(ns, call->name == 3 ? h->file : h->dirs[call->name], &attr);
        call->size = call->name == 3 ? 0 : attr.size;
        call->nlink = attr.nlink;
        return rc;
    }
    if (!rc) {
        call->ino = attr.ino;
        ns_inode_put(ns, inode, 1);
    }
    return rc;
}

static void timed_call(struct history *h, struct call *call)
{
    call->began = atomic_fetch_add(&clock_now, 1);
    call->rc = run_call(h, call);
    call->ended = atomic_fetch_add(&clock_now, 1);
}

static void choose(struct history *h, uint64_t *seed, struct call *call)
{
    static const uint8_t weights[KINDS] = {5, 3, 3, 4, 3, 8, 3, 3, 2};
    unsigned at = (unsigned)random_below(seed, 34), kind = 0;
    while (at >= weights[kind])
        at -= weights[kind++];
    (void)h;
    *call = (struct call){.kind = (enum kind)kind,
                          .name = (unsigned)random_below(seed, 6),
                          .to = (unsigned)random_below(seed, 6),
                          .flags = (unsigned)random_below(seed, 5)};
    call->flags = call->flags == 2   ? NS_RENAME_NOREPLACE
                  : call->flags >= 3 ? NS_RENAME_EXCHANGE
                                     : 0;
    if (kind == LIST)
        call->name %= 3;
    if (kind == STAT)
        call->name %= 4;
}

// ------------------------------------------------------------------------------- the model

static bool is_dir_node(const struct history *h, unsigned node)
{
    return node <= DIR_1 || (node >= FIRST_NEW && h->calls[node - FIRST_NEW].kind == MKDIR);
}

static unsigned names_of(const struct state *s, unsigned node)
{
    unsigned count = 0;
    for (unsigned i = 0; i < 6; i++)
        count += s->at[i] == node;
    return count;
}

static bool is_linked(const struct state *s, unsigned dir)
{
    return dir == TOP || names_of(s, dir);
}

static bool is_empty(const struct state *s, unsigned node)
{
    return node > DIR_1 || (!s->at[node * 2] && !s->at[node * 2 + 1]);
}

static bool is_within(const struct state *s, unsigned dir, unsigned top)
{
    while (dir != top && dir != TOP) {
        unsigned i = 0;
        while (i < 6 && s->at[i] != dir)
            i++;
        if (i == 6)
            return false;
        dir = i / 2;
    }
    return dir == top;
}

static int apply_rename(const struct history *h, const struct call *c, struct state *s)
{
    unsigned from = s->at[c->name], to = s->at[c->to], from_dir = c->name / 2, to_dir = c->to / 2;
    bool exchange = c->flags & NS_RENAME_EXCHANGE;
    if (!is_linked(s, from_dir) || !from || !is_linked(s, to_dir) || (exchange && !to))
        return -ENOENT;
    if (to && c->flags & NS_RENAME_NOREPLACE)
        return -EEXIST;
    if (from_dir != to_dir && is_dir_node(h, from) && is_within(s, to_dir, from))
        return -EINVAL;
    if (exchange) {
        if (from_dir != to_dir && is_dir_node(h, to) && is_within(s, from_dir, to))
            return -EINVAL;
        s->at[c->name] = (uint8_t)to;
        s->at[c->to] = (uint8_t)from;
        return 0;
    }
    if (from == to)
        return 0;
    if (to && is_dir_node(h, from) != is_dir_node(h, to))
        return is_dir_node(h, to) ? -EISDIR : -ENOTDIR;
    if (to && is_dir_node(h, to) && !is_empty(s, to))
        return -ENOTEMPTY;
    s->at[c->name] = 0;
    s->at[c->to] = (uint8_t)from;
    return 0;
}

static int apply_remove(const struct history *h, const struct call *c, struct state *s)
{
    unsigned node = s->at[c->name];
    if (!is_linked(s, c->name / 2) || !node)
        return -ENOENT;
    if (c->kind == RMDIR && !is_dir_node(h, node))
        return -ENOTDIR;
    if (c->kind == UNLINK && is_dir_node(h, node))
        return -EISDIR;
    if (c->kind == RMDIR && !is_empty(s, node))
        return -ENOTEMPTY;
    s->at[c->name] = 0;
    return 0;
}

static bool stat_matches(const struct history *h, const struct call *c, const struct state *s)
{
    if (c->name == 3)
        return c->nlink == names_of(s, FILE_0);
    unsigned size = 0, subdirs = 0;
    for (unsigned i = 0; i < 2; i++) {
        unsigned node = s->at[c->name * 2 + i];
        size += node != 0;
        subdirs += node && is_dir_node(h, node);
    }
    if (!is_linked(s, c->name))
        return c->nlink == 0 && c->size == 0;
    return c->size == size && c->nlink == 2 + subdirs;
}

// Whether the call's result is right in state `s`, which then becomes the one after it.
static bool apply(const struct history *h, unsigned index, struct state *s)
{
    const struct call *c = &h->calls[index];
    unsigned dir = c->name / 2;
    bool linked = c->kind < LIST && is_linked(s, dir);
    switch (c->kind) {
    case CREATE:
    case MKDIR:
        if (c->rc != (!linked ? -ENOENT : s->at[c->name] ? -EEXIST : 0))
            return false;
        if (!c->rc)
            s->at[c->name] = (uint8_t)(FIRST_NEW + index);
        return true;
    case LINK:
        if (c->rc != (!linked || !names_of(s, FILE_0) ? -ENOENT : s->at[c->name] ? -EEXIST : 0))
            return false;
        if (!c->rc)
            s->at[c->name] = FILE_0;
        return true;
    case LOOKUP:
        if (!linked || !s->at[c->name])
            return c->rc == -ENOENT;
        return c->rc == 0 && c->node == s->at[c->name];
    case UNLINK:
    case RMDIR:
        return c->rc == apply_remove(h, c, s);
    case RENAME:
        return c->rc == apply_rename(h, c, s);
    case LIST:
        linked = is_linked(s, c->name);
        return c->rc == 0 && c->nodes[0] == (linked ? s->at[c->name * 2] : 0) &&
               c->nodes[1] == (linked ? s->at[c->name * 2 + 1] : 0);
    default:
        return c->rc == 0 && stat_matches(h, c, s);
    }
}

// ------------------------------------------------------------------------------- the search

#define TRIED_SLOTS (1u << 16)

struct tried {
    uint32_t done;
    struct state state;
    uint32_t run; // of which search
};

static struct tried tried_table[TRIED_SLOTS];
static uint32_t tried_run;
static uint64_t searched; // states, for the report

// True if the state was met before with the same operations done.
static bool was_tried(uint32_t done, const struct state *state)
{
    uint8_t bytes[10];
    memcpy(bytes, &done, 4);
    memcpy(bytes + 4, state->at, 6);
    size_t slot = hash64(bytes, sizeof bytes) % TRIED_SLOTS;
    for (unsigned i = 0; i < 64; i++, slot = (slot + 1) % TRIED_SLOTS) {
        struct tried *entry = &tried_table[slot];
        if (entry->run != tried_run) {
            *entry = (struct tried){done, *state, tried_run};
            return false;
        }
        if (entry->done == done && !memcmp(entry->state.at, state->at, sizeof state->at))
            return true;
    }
    return false; // no room: it may be tried again
}

static bool search_order(const struct history *h, uint32_t done, struct state state)
{
    if (done == (1u << OPS) - 1)
        return true;
    if (was_tried(done, &state))
        return false;
    searched++;
    uint64_t first_end = UINT64_MAX;
    for (unsigned i = 0; i < OPS; i++)
        if (!(done >> i & 1) && h->calls[i].ended < first_end)
            first_end = h->calls[i].ended;
    for (unsigned i = 0; i < OPS; i++) {
        struct state next = state;
        if (!(done >> i & 1) && h->calls[i].began < first_end && apply(h, i, &next) &&
            search_order(h, done | 1u << i, next))
            return true;
    }
    return false;
}

static unsigned node_of(const struct history *h, uint64_t ino)
{
    if (ino == 0)
        return 0;
    for (unsigned i = 0; i < 3; i++)
        if (ns_inode_ino(h->dirs[i]) == ino)
            return i;
    if (ns_inode_ino(h->file) == ino)
        return FILE_0;
    for (unsigned i = 0; i < OPS; i++)
        if ((h->calls[i].kind == CREATE || h->calls[i].kind == MKDIR) && !h->calls[i].rc &&
            h->calls[i].ino == ino)
            return FIRST_NEW + i;
    return 255;
}

static void print_history(const struct history *h)
{
    static const char *const kinds[] = {"create", "mkdir",  "link", "unlink", "rmdir",
                                        "rename", "lookup", "list", "stat"};
    for (unsigned i = 0; i < OPS; i++) {
        const struct call *c = &h->calls[i];
        fprintf(stderr, "%2u thread %u [%3" PRIu64 " %3" PRIu64 "] %s %u/%s", i, i / PER_THREAD,
                c->began - h->calls[0].began, c->ended - h->calls[0].began, kinds[c->kind],
                c->kind < LIST ? c->name / 2 : c->name, c->kind < LIST ? names[c->name % 2] : "");
        if (c->kind == RENAME)
            fprintf(stderr, " to %u/%s flags %u", c->to / 2, names[c->to % 2], c->flags);
        fprintf(stderr, " = %d node %u, listed %u %u, size %" PRIu64 " nlink %" PRIu64 "\n", c->rc,
                c->node, c->nodes[0], c->nodes[1], c->size, c->nlink);
    }
}

static void check_history(struct history *h)
{
    struct state start = {{DIR_0, DIR_1, FILE_0, 0, 0, 0}};
    for (unsigned i = 0; i < OPS; i++) {
        struct call *c = &h->calls[i];
        c->node = c->rc ? 0 : node_of(h, c->ino);
        c->nodes[0] = node_of(h, c->listed[0]);
        c->nodes[1] = node_of(h, c->listed[1]);
    }
    tried_run++;
    if (search_order(h, 0, start))
        return;
    print_history(h);
    ck_abort_msg("no order explains history %u: LSM_SEED=%" PRIu64, h->number, h->seed);
}

// ------------------------------------------------------------------------------- histories

struct crew {
    struct history *history;
    pthread_barrier_t start, end;
    bool stop;
};

struct member {
    struct crew *crew;
    unsigned number;
};

static void *crew_thread(void *arg)
{
    struct member *member = arg;
    struct crew *crew = member->crew;
    for (;;) {
        pthread_barrier_wait(&crew->start);
        if (crew->stop)
            return NULL;
        struct history *h = crew->history;
        for (unsigned i = 0; i < PER_THREAD; i++)
            timed_call(h, &h->calls[member->number * PER_THREAD + i]);
        pthread_barrier_wait(&crew->end);
    }
}

static void prepare(struct history *h)
{
    char name[32];
    uint64_t seed = h->seed;
    snprintf(name, sizeof name, "h%u", h->number);
    h->dirs[TOP] = make(h->ns, ns_root(h->ns), name, S_IFDIR);
    h->dirs[DIR_0] = make(h->ns, h->dirs[TOP], "a", S_IFDIR);
    h->dirs[DIR_1] = make(h->ns, h->dirs[TOP], "b", S_IFDIR);
    h->file = make(h->ns, h->dirs[DIR_0], "a", S_IFREG | 0644);
    for (unsigned i = 0; i < THREADS * PER_THREAD; i++)
        choose(h, &seed, &h->calls[i]);
    for (unsigned i = THREADS * PER_THREAD; i < OPS; i++)
        h->calls[i] = i + 1 < OPS ? (struct call){.kind = LIST, .name = i - THREADS * PER_THREAD}
                                  : (struct call){.kind = STAT, .name = 3};
}

static unsigned overlaps(const struct history *h)
{
    unsigned count = 0;
    for (unsigned i = 0; i < OPS; i++)
        for (unsigned j = 0; j < i; j++)
            count += h->calls[i].began < h->calls[j].ended && h->calls[j].began < h->calls[i].ended;
    return count;
}

static void finish(struct history *h)
{
    for (unsigned i = THREADS * PER_THREAD; i < OPS; i++)
        timed_call(h, &h->calls[i]);
    check_history(h);
    for (unsigned i = 0; i < 3; i++)
        ns_inode_put(h->ns, h->dirs[i], 1);
    ns_inode_put(h->ns, h->file, 1);
    if (h->number % 500 == 0)
        ns_expect_clean(h->ns, "in between");
}

START_TEST(test_linearizable)
{
    uint64_t count = count_from_env("LSM_HISTORIES", 4000, 500000), overlapping = 0;
    uint64_t first = test_seed("ns_threads", 1);
    struct env *env = env_fault_new();
    struct ns *ns = open_slowly(env);
    struct history history;
    struct crew crew = {.history = &history};
    struct member members[THREADS];
    pthread_t threads[THREADS];
    pthread_barrier_init(&crew.start, NULL, THREADS + 1);
    pthread_barrier_init(&crew.end, NULL, THREADS + 1);
    for (unsigned i = 0; i < THREADS; i++) {
        members[i] = (struct member){&crew, i};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, crew_thread, &members[i]), 0);
    }
    for (uint64_t i = 0; i < count; i++) {
        history = (struct history){.seed = first + i, .number = (unsigned)i, .ns = ns};
        prepare(&history);
        pthread_barrier_wait(&crew.start);
        pthread_barrier_wait(&crew.end);
        finish(&history);
        overlapping += overlaps(&history);
    }
    crew.stop = true;
    pthread_barrier_wait(&crew.start);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    pthread_barrier_destroy(&crew.start);
    pthread_barrier_destroy(&crew.end);
    printf("ns_threads: %" PRIu64 " histories, %" PRIu64 " overlapping pairs, %" PRIu64
           " states searched\n",
           count, overlapping, searched);
    ck_assert_msg(overlapping >= count, "the threads do not overlap");
    ns_expect_clean(ns, "at the end");
    ck_assert_int_eq(ns_close(ns), 0);
    env->ops = &fast_ops;
    env_fault_free(env);
}
END_TEST

// The checker must reject what no order explains.
START_TEST(test_the_checker_can_fail)
{
    struct env *env = env_fault_new();
    struct ns *ns = ns_test_open(env);
    struct history h = {.ns = ns, .seed = 1};
    struct state start = {{DIR_0, DIR_1, FILE_0, 0, 0, 0}};
    prepare(&h);
    for (unsigned i = 0; i < OPS; i++) {
        h.calls[i] = (struct call){.kind = LOOKUP, .name = 3, .rc = -ENOENT};
        h.calls[i].began = 10 * i;
        h.calls[i].ended = 10 * i + 5;
    }
    tried_run++;
    ck_assert(search_order(&h, 0, start));
    h.calls[3] = (struct call){.kind = CREATE, .name = 3, .began = 30, .ended = 35};
    tried_run++;
    ck_assert(!search_order(&h, 0, start)); // the lookups after it do not see it
    h.calls[3].ended = 1000;
    tried_run++;
    ck_assert(search_order(&h, 0, start)); // unless it is under way all the time
    h.calls[20].rc = 0;
    h.calls[20].node = FIRST_NEW + 3;
    tried_run++;
    ck_assert(!search_order(&h, 0, start)); // there, and not there again
    for (unsigned i = 0; i < 3; i++)
        ns_inode_put(ns, h.dirs[i], 1);
    ns_inode_put(ns, h.file, 1);
    ck_assert_int_eq(ns_close(ns), 0);
    env_fault_free(env);
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("threads");
    tcase_add_test(tc, test_the_checker_can_fail);
    tcase_add_test(tc, test_linearizable);
    return run_case("namespace threads", tc, 0);
}
