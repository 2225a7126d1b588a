// Following a store: whatever the writer does beneath, each refresh shows what was acknowledged.
//
// A writer and a follower in one process on a simulated disk. Batches are numbered, and the batch's
// number is in each; so what the follower shows names a prefix of what was written, and all keys
// are compared with that prefix. LSM_SEED replays a seed, LSM_HISTORIES says how many histories are
// run.
//
//  histories    random writes, syncs, flushes, compactions, snapshots, rollbacks, new openings,
//  deaths
//               and power cuts; refreshes in between; some views are kept for long
//  blobs late   the follower opens the store while blobs of unsynced records cannot be read
//  every call   the follower refreshes before every system call that the writer makes, also while
//               writes fail for lack of space
//  made anew    a log cannot be made for lack of space and is made again; the follower has looked
//  at
//               the first attempt
//  threads      both work at the same time
//  cluster      the same histories in a simulated cluster, the writer and the follower as two
//               processes; a death is that of the writer's process
#include "engine_util.h"

#include <pthread.h>
#include <stdatomic.h>

#include "base/status.h"
#include "disk/cluster_store.h"
#include "small_options.h"
#include "version/store_files.h"

#define KEYS    40
#define BATCHES 3000
#define OPS_MAX 4

struct op {
    unsigned key;
    struct value value; // size 0: a delete
};

struct batch {
    struct op ops[OPS_MAX];
    unsigned count;
    int rollback; // > 0: all is again as it was after that batch
};

struct world {
    const char *path;
    struct env *env;             // a simulated disk; or NULL, and
    struct cluster_store store;  // the writer's process
    struct fake_process *reader; // the follower's
    struct env *following;
    struct random random;
    uint64_t seed;
    struct lsm_options options;
    struct lsm *writer, *follower;
    struct batch *batches;           // from 1 on
    _Atomic int written;             // acknowledged
    _Atomic int attempted;           // the last one that may be there
    int synced;                      // all up to here survive a power cut
    int snapshot;                    // of the named snapshot; 0: there is none
    const struct lsm_snapshot *kept; // of the follower
    int kept_at;
    uint64_t checks;
    bool keeps_nothing; // the writer removes files at once; on a full disk it always does
    unsigned missed;    // files that were gone when they were read
};

static void state_at(const struct world *w, int at, struct value state[KEYS])
{
    memset(state, 0, KEYS * sizeof *state);
    for (int i = 1; i <= at; i++) {
        const struct batch *b = &w->batches[i];
        if (b->rollback)
            state_at(w, b->rollback, state);
        for (unsigned k = 0; k < b->count; k++)
            state[b->ops[k].key] = b->ops[k].value;
    }
}

static void key_text(char text[16], unsigned key)
{
    snprintf(text, 16, "key%03u", key);
}

// A writer that keeps nothing may have removed what is read; it is to be refreshed then.
static bool is_gone(struct world *w, int rc)
{
    return rc == LSM_CORRUPTION && w->keeps_nothing && ++w->missed < 10000;
}

// The number of the batch that a reader shows last; all keys are as they were then.
static int shown(struct world *w, const struct lsm_snapshot *snapshot, const char *what)
{
    struct lsm_read_options ro = {.snapshot = snapshot};
    struct lsm_buf buf = {0};
    struct value state[KEYS];
    const struct lsm_snapshot *own = NULL;
    int at = 0;
    bool gone = false;
    if (!snapshot) {
        EXPECT(lsm_snapshot_brief(w->follower, &own) == 0, "%s", lsm_error_detail());
        ro.snapshot = own;
    }
    int rc = lsm_get(w->follower, &ro, "counter", 7, &buf);
    gone = own && is_gone(w, rc);
    EXPECT(gone || rc == 0 || rc == LSM_NOT_FOUND, "seed %" PRIu64 ", %s: %s", w->seed, what,
           lsm_error_detail());
    if (!rc)
        memcpy(&at, buf.data, sizeof at);
    EXPECT(at <= w->attempted, "seed %" PRIu64 ", %s: batch %d of %d", w->seed, what, at,
           w->attempted);
    state_at(w, at, state);
    for (unsigned key = 0; key < KEYS && !gone; key++) {
        char text[16];
        key_text(text, key);
        rc = lsm_get(w->follower, &ro, text, strlen(text), &buf);
        gone = own && is_gone(w, rc);
        EXPECT(gone || rc == (state[key].size ? 0 : LSM_NOT_FOUND),
               "seed %" PRIu64 ", %s: key %u after batch %d: %d %s", w->seed, what, key, at, rc,
               rc ? lsm_error_detail() : "");
        if (!rc)
            EXPECT(value_equal(&state[key], buf.data, buf.size),
                   "seed %" PRIu64 ", %s: key %u after batch %d", w->seed, what, key, at);
    }
    lsm_snapshot_free(w->follower, own);
    lsm_buf_release(&buf);
    if (gone) {
        EXPECT(lsm_refresh(w->follower, NULL, NULL) >= 0, "%s", lsm_error_detail());
        return shown(w, NULL, what);
    }
    w->checks++;
    return at;
}

// ------------------------------------------------------------------------------------- the writer

static void batch_make(struct world *w, struct batch *b)
{
    *b = (struct batch){.count = 1 + random_below(&w->random, OPS_MAX)};
    for (unsigned i = 0; i < b->count; i++) {
        struct op *op = &b->ops[i];
        op->key = (random_below(&w->random, KEYS) & ~3u) | i; // a key once in a batch
        op->value = (struct value){.seed = random_next(&w->random)};
        if (!one_in(&w->random, 4))
            op->value.size = 1 + random_below(&w->random, one_in(&w->random, 3) ? 6000 : 200);
    }
}

static int batch_write(struct world *w, bool sync)
{
    struct lsm_write_options wo = {.sync = sync, .use_reserve = false};
    struct lsm_batch *batch;
    uint8_t *bytes = malloc(6000);
    int number = w->attempted + 1;
    struct batch *b = &w->batches[number];
    EXPECT(number < BATCHES, "too many batches");
    batch_make(w, b);
    w->attempted = number;
    EXPECT(lsm_batch_new(&batch) == 0 && bytes, "no memory");
    int rc = lsm_batch_put(batch, "counter", 7, &number, sizeof number);
    for (unsigned i = 0; i < b->count && !rc; i++) {
        char text[16];
        key_text(text, b->ops[i].key);
        value_bytes(&b->ops[i].value, bytes);
        rc = b->ops[i].value.size
                 ? lsm_batch_put(batch, text, strlen(text), bytes, b->ops[i].value.size)
                 : lsm_batch_delete(batch, text, strlen(text));
    }
    EXPECT(rc == 0, "%s", lsm_error_detail());
    rc = lsm_write(w->writer, &wo, batch);
    lsm_batch_free(batch);
    free(bytes);
    if (rc) {
        w->attempted = number - 1;
        return rc;
    }
    w->written = number;
    if (sync)
        w->synced = number;
    return 0;
}

static void draw_wal_mode(struct world *w)
{
    bool mapped = one_in(&w->random, 2) && w->env; // objects cannot be mapped
    w->options.wal_mode = mapped ? LSM_WAL_MAPPED : LSM_WAL_WRITTEN;
}

static void writer_open(struct world *w)
{
    EXPECT(lsm_open(w->path, &w->options, &w->writer) == 0, "seed %" PRIu64 ": %s", w->seed,
           lsm_error_detail());
}

static void follower_open(struct world *w)
{
    struct lsm_options options = w->options;
    options.follow = true;
    if (w->following)
        options.env = w->following;
    EXPECT(lsm_open(w->path, &options, &w->follower) == 0, "seed %" PRIu64 ": %s", w->seed,
           lsm_error_detail());
}

static void kept_free(struct world *w)
{
    if (w->kept)
        lsm_snapshot_free(w->follower, w->kept);
    w->kept = NULL;
}

static void follower_close(struct world *w)
{
    kept_free(w);
    (void)!lsm_close(w->follower);
    w->follower = NULL;
}

// ------------------------------------------------------------------------------------- histories

static void refresh(struct world *w, const char *what)
{
    int rc = lsm_refresh(w->follower, NULL, NULL);
    EXPECT(rc >= 0, "seed %" PRIu64 ", %s: %s", w->seed, what, lsm_error_detail());
    int at = shown(w, NULL, what);
    EXPECT(at == w->written, "seed %" PRIu64 ", %s: shows batch %d, %d is written", w->seed, what,
           at, w->written);
    EXPECT(lsm_refresh(w->follower, NULL, NULL) >= 0, "%s", lsm_error_detail());
}

// After a death or a power cut the follower is there first, as on a machine that only reads.
static void crash(struct world *w, bool power)
{
    if (!w->env)
        fake_process_kill(w->store.process);
    else if (power)
        env_fault_power_cut(w->env, random_next(&w->random) | 1);
    else
        env_fault_kill(w->env);
    (void)!lsm_close(w->writer);
    if (!w->env) {
        cluster_store_end(&w->store);
        cluster_store_start(&w->store);
        w->options.env = w->store.env;
    }
    follower_close(w);
    follower_open(w);
    int at = shown(w, NULL, "after a crash");
    EXPECT(at >= (power ? w->synced : w->written), "seed %" PRIu64 ": %d after a crash, %d synced",
           w->seed, at, w->synced);
    writer_open(w);
    EXPECT(lsm_refresh(w->follower, NULL, NULL) >= 0, "%s", lsm_error_detail());
    at = shown(w, NULL, "after a crash and recovery");
    EXPECT(at >= (power ? w->synced : w->written), "seed %" PRIu64 ": %d after a crash, %d synced",
           w->seed, at, w->synced);
    w->attempted = at;
    w->written = w->synced = at;
    if (w->snapshot > at)
        w->snapshot = 0;
}

static void reopen(struct world *w)
{
    EXPECT(lsm_close(w->writer) == 0, "%s", lsm_error_detail());
    w->synced = w->written;
    if (one_in(&w->random, 2))
        refresh(w, "while nobody writes");
    draw_wal_mode(w);
    writer_open(w);
}

static void snapshot_change(struct world *w)
{
    if (!w->snapshot) {
        if (!w->written)
            return;
        EXPECT(lsm_snapshot_create(w->writer, "s") == 0, "%s", lsm_error_detail());
        w->snapshot = w->synced = w->written;
    } else if (one_in(&w->random, 2)) {
        const struct lsm_snapshot *named;
        refresh(w, "before a named snapshot is read");
        EXPECT(lsm_snapshot_open(w->follower, "s", &named) == 0, "%s", lsm_error_detail());
        int at = shown(w, named, "a named snapshot");
        EXPECT(at == w->snapshot, "seed %" PRIu64 ": snapshot of %d shows %d", w->seed, w->snapshot,
               at);
        lsm_snapshot_free(w->follower, named);
    } else {
        EXPECT(lsm_snapshot_delete(w->writer, "s") == 0, "%s", lsm_error_detail());
        w->snapshot = 0;
    }
}

// The counter goes back too: a batch that follows brings the numbers on.
static void rollback(struct world *w)
{
    if (!w->snapshot)
        return;
    EXPECT(lsm_snapshot_rollback(w->writer, "s", NULL, NULL) == 0, "%s", lsm_error_detail());
    EXPECT(lsm_refresh(w->follower, NULL, NULL) >= 0, "%s", lsm_error_detail());
    int at = shown(w, NULL, "rolled back");
    EXPECT(at == w->snapshot, "seed %" PRIu64 ": rolled back to %d, shows %d", w->seed, w->snapshot,
           at);
    w->batches[++w->attempted] = (struct batch){.rollback = w->snapshot};
    w->written = w->attempted;
    EXPECT(batch_write(w, true) == 0, "%s", lsm_error_detail());
}

// A view that is kept shows the same for as long as the writer keeps its files.
static void keep_view(struct world *w)
{
    if (w->kept) {
        int at = shown(w, w->kept, "a view that was kept");
        EXPECT(at == w->kept_at, "seed %" PRIu64 ": a view of %d shows %d", w->seed, w->kept_at,
               at);
        kept_free(w);
    } else {
        w->kept_at = shown(w, NULL, "a view to be kept");
        EXPECT(lsm_snapshot_new(w->follower, &w->kept) == 0, "%s", lsm_error_detail());
    }
}

static void step(struct world *w)
{
    unsigned what = random_below(&w->random, 100);
    if (getenv("LSM_TRACE"))
        fprintf(stderr, "step %u, batch %d, synced %d\n", what, w->written, w->synced);
    if (what < 55)
        for (unsigned n = 1 + random_below(&w->random, 8); n && w->attempted < BATCHES - 10; n--)
            EXPECT(batch_write(w, one_in(&w->random, 8)) == 0, "%s", lsm_error_detail());
    else if (what < 75)
        refresh(w, "a refresh");
    else if (what < 82)
        EXPECT(lsm_flush(w->writer) == 0, "%s", lsm_error_detail());
    else if (what < 86)
        EXPECT(lsm_compact_range(w->writer, NULL, 0, NULL, 0) == 0, "%s", lsm_error_detail());
    else if (what < 91)
        keep_view(w);
    else if (what < 94)
        reopen(w);
    else if (what < 97)
        snapshot_change(w);
    else if (what < 98)
        rollback(w);
    else
        crash(w, w->env && one_in(&w->random, 2));
}

static void world_init(struct world *w, uint64_t seed, bool in_cluster)
{
    *w = (struct world){.path = "/db", .random.state = seed, .seed = seed};
    if (in_cluster) {
        w->path = CLUSTER_STORE_PATH;
        cluster_store_init(&w->store, seed);
        w->reader = fake_process_new(w->store.cluster);
        w->following = env_rados_following_new(fake_process_open, w->reader, CLUSTER_STORE_STRIPE);
    } else {
        w->env = env_fault_new();
    }
    w->options = small_options(in_cluster ? w->store.env : w->env);
    draw_wal_mode(w);
    w->options.l0_compact = 2;
    w->options.block_cache_size = 64 << 10;
    w->options.blob_min = one_in(&w->random, 2) ? 1000 : 0;
    w->options.blob_file_size = 32 << 10;
    w->batches = calloc(BATCHES + 1, sizeof *w->batches);
    EXPECT(w->batches, "no memory");
}

static void world_release(struct world *w)
{
    if (w->follower)
        follower_close(w);
    EXPECT(lsm_close(w->writer) == 0, "%s", lsm_error_detail());
    if (w->env) {
        env_fault_free(w->env);
    } else {
        env_rados_following_free(w->following);
        fake_process_free(w->reader);
        cluster_store_release(&w->store);
    }
    free(w->batches);
}

static void run_histories(bool in_cluster, uint64_t count)
{
    uint64_t seed = seed_from_env(), checks = 0;
    for (uint64_t i = 0; i < count; i++) {
        struct world w;
        world_init(&w, seed + i, in_cluster);
        writer_open(&w);
        follower_open(&w);
        for (int n = 0; n < 150 && w.attempted < BATCHES - 20; n++)
            step(&w);
        refresh(&w, "the end");
        checks += w.checks;
        world_release(&w);
    }
    printf("%" PRIu64 " histories from seed %" PRIu64 ", %" PRIu64 " states compared\n", count,
           seed, checks);
}

START_TEST(test_histories)
{
    run_histories(false, from_env("LSM_HISTORIES", 10000) / 300 + 1);
}
END_TEST

START_TEST(test_cluster)
{
    run_histories(true, from_env("LSM_HISTORIES", 10000) / 300 + 1);
}
END_TEST

// A writer that keeps nothing: the follower shows the right state after a refresh all the same, or
// after the next one if a file was removed meanwhile.
START_TEST(test_nothing_kept)
{
    struct world w;
    uint64_t seed = seed_from_env();
    world_init(&w, seed, false);
    w.options.follow_keep_ms = 0;
    w.keeps_nothing = true;
    writer_open(&w);
    follower_open(&w);
    for (int n = 0; n < 40; n++) {
        for (int i = 0; i < 30; i++)
            EXPECT(batch_write(&w, false) == 0, "%s", lsm_error_detail());
        EXPECT(lsm_compact_range(w.writer, NULL, 0, NULL, 0) == 0, "%s", lsm_error_detail());
        EXPECT(lsm_wait_idle(w.writer) == 0, "%s", lsm_error_detail());
        refresh(&w, "after a compaction");
    }
    world_release(&w);
}
END_TEST

struct renaming {
    struct env *dir;
    unsigned count;
    bool back;
};

static int rename_blobs(void *arg, const char *name)
{
    struct renaming *renaming = arg;
    uint64_t number;
    char hidden[64], plain[64];
    snprintf(hidden, sizeof hidden, "hidden-%s", name);
    snprintf(plain, sizeof plain, "%s", name);
    if (renaming->back ? strncmp(name, "hidden-", 7) == 0
                       : store_file_parse(name, &number) == STORE_BLOB) {
        EXPECT(renaming->dir->ops->rename(renaming->dir, name,
                                          renaming->back ? plain + 7 : hidden) == 0,
               "%s", lsm_error_detail());
        renaming->count++;
    }
    return 0;
}

// Takes the names of all blob files away, or gives them back.
static void hide_blobs(struct world *w, bool back)
{
    struct renaming renaming = {.back = back};
    EXPECT(w->env->ops->open_dir(w->env, w->path, &renaming.dir) == 0, "%s", lsm_error_detail());
    EXPECT(renaming.dir->ops->list(renaming.dir, ENV_HERE, rename_blobs, &renaming) == 0, "%s",
           lsm_error_detail());
    renaming.dir->ops->close_dir(renaming.dir);
    EXPECT(renaming.count > 0, "no blob file");
}

// A follower that opens the store while blobs of unsynced records cannot be read shows what is
// before them, and the rest when they can be: at once (0), when more has been written and synced
// (1), when tables have it (2).
START_TEST(test_blobs_come_late)
{
    struct world w;
    world_init(&w, seed_from_env(), false);
    w.options.blob_min = 1;
    w.options.write_buffer_size = 16 << 20; // nothing goes to tables by itself
    w.options.blob_file_size = 16 << 20;
    writer_open(&w);
    for (int i = 0; i < 10; i++)
        EXPECT(batch_write(&w, false) == 0, "%s", lsm_error_detail());
    hide_blobs(&w, false);
    follower_open(&w);
    int at = shown(&w, NULL, "without blobs");
    EXPECT(at < w.written, "shows %d of %d batches without their blobs", at, w.written);
    EXPECT(lsm_refresh(w.follower, NULL, NULL) >= 0, "%s", lsm_error_detail());
    EXPECT(shown(&w, NULL, "without blobs still") == at, "it has changed");
    hide_blobs(&w, true);
    if (_i == 1)
        EXPECT(batch_write(&w, true) == 0, "%s", lsm_error_detail());
    if (_i == 2)
        EXPECT(lsm_flush(w.writer) == 0, "%s", lsm_error_detail());
    refresh(&w, "with blobs");
    EXPECT(batch_write(&w, false) == 0, "%s", lsm_error_detail());
    refresh(&w, "and one more batch");
    world_release(&w);
}
END_TEST

// ------------------------------------------------------------------------------------- every call

static struct world *called;
static pthread_mutex_t calling = PTHREAD_MUTEX_INITIALIZER;
static _Thread_local bool inside;
static uint64_t calls, every;

static void refresh_at_call(void *arg, const char *what, const char *path)
{
    struct world *w = arg;
    (void)path;
    if (inside || pthread_mutex_trylock(&calling))
        return;
    inside = true;
    if (called && ++calls % every == 0) {
        int before = w->written, rc = lsm_refresh(w->follower, NULL, NULL);
        EXPECT(rc >= 0, "seed %" PRIu64 ", call %" PRIu64 " (%s): %s", w->seed, calls, what,
               lsm_error_detail());
        int at = shown(w, NULL, what);
        EXPECT(at >= before, "seed %" PRIu64 ", call %" PRIu64 " (%s): shows %d, %d is written",
               w->seed, calls, what, at, before);
    }
    inside = false;
    pthread_mutex_unlock(&calling);
}

static void stop_calling(struct world *w)
{
    env_fault_on_call(w->env, NULL, NULL);
    pthread_mutex_lock(&calling);
    called = NULL;
    pthread_mutex_unlock(&calling);
}

START_TEST(test_every_call)
{
    struct world w;
    uint64_t seed = seed_from_env() + (uint64_t)_i;
    world_init(&w, seed, false);
    w.options.wal_mode = _i % 2 ? LSM_WAL_WRITTEN : LSM_WAL_MAPPED;
    every = _i < 2 ? 1 : 3;
    w.keeps_nothing = _i < 2;
    writer_open(&w);
    follower_open(&w);
    called = &w;
    env_fault_on_call(w.env, refresh_at_call, &w);
    for (int n = 0; n < 400; n++) {
        if (_i < 2 && n % 5 == 0) // a write that fails, perhaps in part
            env_fault_full_at(w.env, 1 + random_below(&w.random, 3), false);
        int rc = batch_write(&w, n % 10 == 0);
        env_fault_full_at(w.env, 0, false);
        EXPECT(rc == 0 || rc == LSM_NO_SPACE, "%d %s", rc, lsm_error_detail());
        if (n % 60 == 59) {
            rc = lsm_flush(w.writer);
            EXPECT(rc == 0 || rc == LSM_NO_SPACE, "%s", lsm_error_detail());
        }
    }
    stop_calling(&w);
    refresh(&w, "the end");
    printf("%" PRIu64 " calls, %" PRIu64 " states compared\n", calls, w.checks);
    world_release(&w);
}
END_TEST

// ------------------------------------------------------------------------------------- made anew

static const struct env_ops *real_ops;
static struct env_ops scarce_ops;
static _Atomic unsigned scarce; // so often a log was made anew

// No log gets the file of another one: it is there under its name, the follower looks, and it is
// not made after all for lack of space.
static int scarce_open(struct env *env, const char *path, int flags, struct env_file **ret_file)
{
    size_t size = strlen(path);
    if (flags != ENV_WRITE || size < 4 || strcmp(path + size - 4, ".log") != 0)
        return real_ops->open(env, path, flags, ret_file);
    pthread_mutex_lock(&calling); // a thread of the writer may be here while the test ends
    if (called) {
        EXPECT(lsm_refresh(called->follower, NULL, NULL) >= 0, "%s", lsm_error_detail());
        scarce++;
    }
    pthread_mutex_unlock(&calling);
    return status_fail(LSM_NO_SPACE, "%s: is to be made anew", path);
}

START_TEST(test_made_anew)
{
    struct world w;
    world_init(&w, seed_from_env(), false);
    w.options.wal_mode = LSM_WAL_MAPPED;
    w.options.max_write_buffers = 4;
    real_ops = w.env->ops;
    scarce_ops = *real_ops;
    scarce_ops.open = scarce_open;
    w.env->ops = &scarce_ops;
    writer_open(&w);
    follower_open(&w);
    pthread_mutex_lock(&calling);
    called = &w;
    pthread_mutex_unlock(&calling);
    while (w.attempted < BATCHES - 10) {
        EXPECT(batch_write(&w, false) == 0, "%s", lsm_error_detail());
        refresh(&w, "after a batch");
    }
    stop_calling(&w);
    EXPECT(scarce > 0, "no log was made anew");
    world_release(&w);
}
END_TEST

// ------------------------------------------------------------------------------------- threads

static void *write_all(void *arg)
{
    struct world *w = arg;
    while (w->attempted < BATCHES - 10)
        EXPECT(batch_write(w, one_in(&w->random, 50)) == 0, "%s", lsm_error_detail());
    return NULL;
}

// The batches are made by the thread that writes; so only the counter is looked at while it does.
START_TEST(test_threads)
{
    struct world w;
    pthread_t thread;
    struct lsm_buf buf = {0};
    int last = 0, at = 0;
    world_init(&w, seed_from_env(), _i == 1);
    writer_open(&w);
    follower_open(&w);
    ck_assert_int_eq(pthread_create(&thread, NULL, write_all, &w), 0);
    while (last < BATCHES - 10) {
        int before = w.written;
        EXPECT(lsm_refresh(w.follower, NULL, NULL) >= 0, "%s", lsm_error_detail());
        int rc = lsm_get(w.follower, NULL, "counter", 7, &buf);
        EXPECT(rc == 0 || (rc == LSM_NOT_FOUND && !before), "%s", lsm_error_detail());
        if (!rc)
            memcpy(&at, buf.data, sizeof at);
        EXPECT(at >= before && at >= last, "shows %d after %d, %d was written", at, last, before);
        last = at;
    }
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    refresh(&w, "the end");
    lsm_buf_release(&buf);
    world_release(&w);
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("follow");
    tcase_add_test(tc, test_histories);
    tcase_add_test(tc, test_cluster);
    tcase_add_test(tc, test_nothing_kept);
    tcase_add_loop_test(tc, test_blobs_come_late, 0, 3);
    tcase_add_loop_test(tc, test_every_call, 0, 4);
    tcase_add_test(tc, test_made_anew);
    tcase_add_loop_test(tc, test_threads, 0, 2);
    return run_case("follow", tc, 300);
}
