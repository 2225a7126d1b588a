// Random histories of the whole engine against a sorted map in memory, on a simulated disk.
//
// A history draws its options, its set of keys and its mix of operations from its seed: writes of
// all kinds, gets, iterators that live across writes, snapshots, flush, compaction, checkpoint,
// repair, and the ends of a store: closed, killed, power cut, opened read-only. After every step
// that reads, what the engine says is what the model says. After a power cut the store has to hold
// a prefix of the writes that were not synced; the model is taken back to it. The same in a
// simulated cluster, where a process that dies, however it does, loses nothing that was
// acknowledged; there with a cache on the local disk or without it, and whatever is done to its
// files.
//
// The operations of a history are fixed by its seed; how its background threads interleave is not.
// LSM_SEED replays one history (with LSM_HISTORIES=1); LSM_HISTORIES sets how many there are.
#include <sys/mman.h>

#include "model/engine_history.h"

#define HISTORY_S 300 // one that takes longer hangs

// ------------------------------------------------------------------------------------- writing

static struct value draw_value(struct history *h)
{
    struct value v = {.seed = random_next(rnd(h)), .size = random_below(rnd(h), h->value_max + 1)};
    if (one_in(rnd(h), 10))
        v.size = 0;
    return v;
}

static const uint8_t *bytes_of(const struct value *v)
{
    static uint8_t data[VALUE_MAX];
    value_bytes(v, data);
    return data;
}

static unsigned draw_key(struct history *h)
{
    return random_below(rnd(h), h->key_count);
}

static struct lsm_write_options draw_write_options(struct history *h)
{
    return (struct lsm_write_options){.sync = one_in(rnd(h), 20),
                                      .use_reserve = one_in(rnd(h), 9),
                                      .sync_soon = one_in(rnd(h), 6)};
}

static void do_put(struct history *h)
{
    struct lsm_write_options wo = draw_write_options(h);
    unsigned key = draw_key(h);
    struct value v = draw_value(h);
    h->writes++;
    if (one_in(rnd(h), 3)) {
        v.size = NO_VALUE;
        OK(lsm_delete(h->db, &wo, h->keys[key], h->key_sizes[key]));
    } else {
        OK(lsm_put(h->db, &wo, h->keys[key], h->key_sizes[key], bytes_of(&v), v.size));
    }
    model_set(h, key, v);
    if (wo.sync)
        all_durable(h);
}

// One random operation into the batch; `after` is what the store will be. Slices are of `h->map`.
static void batch_one(struct history *h, struct lsm_batch *batch, struct map *after)
{
    unsigned key = draw_key(h), source = draw_key(h);
    const struct value *from = &h->map.values[source];
    struct value v = draw_value(h);
    unsigned what = random_below(rnd(h), 4);
    if (what == 0) {
        v.size = NO_VALUE;
        OK(lsm_batch_delete(batch, h->keys[key], h->key_sizes[key]));
    } else if (what == 1 && from->size != NO_VALUE) {
        uint32_t start = random_below(rnd(h), (uint64_t)from->size + 1);
        v = (struct value){from->seed, from->offset + start,
                           random_below(rnd(h), (uint64_t)from->size - start + 1)};
        OK(lsm_batch_put_part(batch, h->keys[key], h->key_sizes[key], h->keys[source],
                              h->key_sizes[source], start, v.size));
    } else {
        OK(lsm_batch_put(batch, h->keys[key], h->key_sizes[key], bytes_of(&v), v.size));
    }
    after->values[key] = v;
}

// `count` operations, some of them staged ahead, some by way of a second batch.
static void build_batch(struct history *h, struct lsm_batch *batch, unsigned count,
                        struct map *after)
{
    unsigned ahead = one_in(rnd(h), 3) ? random_below(rnd(h), count + 1) : 0;
    unsigned apart = one_in(rnd(h), 3) ? random_below(rnd(h), count - ahead + 1) : 0;
    struct lsm_batch *other;
    for (unsigned i = 0; i < ahead; i++)
        batch_one(h, batch, after);
    if (ahead)
        OK(lsm_stage(h->db, batch));
    for (unsigned i = ahead + apart; i < count; i++)
        batch_one(h, batch, after);
    if (!apart)
        return;
    OK(lsm_batch_new(&other));
    for (unsigned i = 0; i < apart; i++)
        batch_one(h, other, after);
    if (one_in(rnd(h), 2))
        OK(lsm_stage(h->db, other));
    OK(lsm_batch_append(batch, other));
    lsm_batch_free(other);
}

static void do_batch(struct history *h)
{
    struct lsm_write_options wo = draw_write_options(h);
    struct lsm_batch *batch;
    struct map after = h->map;
    unsigned count = random_below(rnd(h), one_in(rnd(h), 8) ? 60 : 8);
    OK(lsm_batch_new(&batch));
    build_batch(h, batch, count, &after);
    CHECK(lsm_batch_count(batch) == count, "%zu operations", lsm_batch_count(batch));
    if (one_in(rnd(h), 10)) { // one that must be refused as a whole
        unsigned source = draw_key(h);
        uint32_t size = h->map.values[source].size;
        OK(lsm_batch_put_part(batch, "x", 1, h->keys[source], h->key_sizes[source],
                              size == NO_VALUE ? 0 : size, 1));
        int rc = lsm_write(h->db, &wo, batch);
        CHECK(rc == (size == NO_VALUE ? LSM_NOT_FOUND : LSM_INVALID), "bad slice: %d", rc);
    } else {
        h->writes++;
        OK(lsm_write(h->db, &wo, batch));
        for (unsigned i = 0; i < h->key_count; i++)
            if (memcmp(&after.values[i], &h->map.values[i], sizeof after.values[i]))
                model_set(h, i, after.values[i]);
        if (wo.sync)
            all_durable(h);
    }
    lsm_batch_free(batch);
}

// ------------------------------------------------------------------------------------- reading

static void do_get(struct history *h)
{
    int which = (int)random_below(rnd(h), SNAPSHOTS + 2);
    for (unsigned n = 1 + random_below(rnd(h), 8); n > 0; n--) {
        if (which < SNAPSHOTS && h->snapshots[which].snapshot)
            compare_get(h, h->snapshots[which].snapshot, &h->snapshots[which].map, draw_key(h));
        else
            compare_get(h, NULL, &h->map, draw_key(h));
    }
}

static void do_get_range(struct history *h)
{
    static uint8_t data[VALUE_MAX + 8];
    unsigned key = draw_key(h);
    struct value v = h->map.values[key];
    size_t size = random_below(rnd(h), h->value_max + 8), got = 77;
    uint64_t offset = random_below(rnd(h), h->value_max + 4), whole = 77;
    int rc = lsm_get_range(h->db, NULL, h->keys[key], h->key_sizes[key], offset, data, size, &got,
                           &whole);
    if (v.size == NO_VALUE) {
        CHECK(rc == LSM_NOT_FOUND && got == 77, "range of absent key %u: %d", key, rc);
        return;
    }
    CHECK(rc == 0 && whole == v.size, "range of key %u: %d", key, rc);
    uint32_t want = offset >= v.size ? 0 : v.size - (uint32_t)offset;
    v = (struct value){v.seed, v.offset + (uint32_t)offset, want < size ? want : (uint32_t)size};
    CHECK(value_equal(&v, data, got), "range [%" PRIu64 ", +%zu) of key %u", offset, size, key);
}

static void do_snapshot(struct history *h)
{
    unsigned i = random_below(rnd(h), SNAPSHOTS);
    if (h->snapshots[i].snapshot) {
        lsm_snapshot_free(h->db, h->snapshots[i].snapshot);
        h->snapshots[i].snapshot = NULL;
    } else {
        OK(lsm_snapshot_new(h->db, &h->snapshots[i].snapshot));
        h->snapshots[i].map = h->map;
    }
}

// A key to seek to: one of the history's, or one near it. Returns the index of the first key that
// is not less; *ret_equal if it is that.
static int draw_target(struct history *h, uint8_t *target, size_t *ret_size, bool *ret_equal)
{
    unsigned key = draw_key(h);
    size_t size = h->key_sizes[key];
    memcpy(target, h->keys[key], size);
    switch (random_below(rnd(h), 6)) {
    case 0:
        target[size++] = (uint8_t)random_next(rnd(h));
        break;
    case 1:
        size = 1 + random_below(rnd(h), size);
        break;
    case 2:
        target[random_below(rnd(h), size)] += (uint8_t)(random_below(rnd(h), 3) - 1);
        break;
    default:
        break;
    }
    int at = 0;
    while (at < (int)h->key_count && compare_bytes(h->keys[at], h->key_sizes[at], target, size) < 0)
        at++;
    *ret_equal =
        at < (int)h->key_count && compare_bytes(h->keys[at], h->key_sizes[at], target, size) == 0;
    *ret_size = size;
    return at;
}

static void cursor_open(struct history *h, struct cursor *c)
{
    uint8_t lower[KEY_SIZE_MAX + 1], upper[KEY_SIZE_MAX + 1];
    struct lsm_iter_options io = {.no_fill_cache = one_in(rnd(h), 3),
                                  .readahead = one_in(rnd(h), 4) ? 65536 : 0};
    bool equal;
    c->low = 0;
    c->end = (int)h->key_count;
    if (one_in(rnd(h), 2)) {
        io.lower = lower;
        c->low = draw_target(h, lower, &io.lower_size, &equal);
    }
    if (one_in(rnd(h), 2)) {
        io.upper = upper;
        c->end = draw_target(h, upper, &io.upper_size, &equal);
    }
    unsigned which = random_below(rnd(h), SNAPSHOTS);
    c->map = h->map;
    if (h->snapshots[which].snapshot) {
        io.snapshot = h->snapshots[which].snapshot;
        c->map = h->snapshots[which].map;
    }
    OK(lsm_iter_new(h->db, &io, &c->iter));
    CHECK(!lsm_iter_valid(c->iter), "a new iterator has no position");
    c->at = -1;
}

static void cursor_move(struct history *h, struct cursor *c)
{
    uint8_t target[KEY_SIZE_MAX + 1];
    size_t size;
    bool equal;
    unsigned what = random_below(rnd(h), c->at < 0 ? 4 : 12);
    int at, last = c->end - 1;
    switch (what) {
    case 0:
        lsm_iter_seek_first(c->iter);
        c->at = next_present(&c->map, c->low, 1, c->low, c->end);
        break;
    case 1:
        lsm_iter_seek_last(c->iter);
        c->at = next_present(&c->map, last, -1, c->low, c->end);
        break;
    case 2:
        at = draw_target(h, target, &size, &equal);
        lsm_iter_seek(c->iter, target, size);
        c->at = next_present(&c->map, at > c->low ? at : c->low, 1, c->low, c->end);
        break;
    case 3:
        at = draw_target(h, target, &size, &equal);
        at = equal ? at : at - 1;
        lsm_iter_seek_prev(c->iter, target, size);
        c->at = next_present(&c->map, at < last ? at : last, -1, c->low, c->end);
        break;
    case 4:
    case 5:
    case 6:
    case 7:
        lsm_iter_next(c->iter);
        c->at = next_present(&c->map, c->at + 1, 1, c->low, c->end);
        break;
    default:
        lsm_iter_prev(c->iter);
        c->at = next_present(&c->map, c->at - 1, -1, c->low, c->end);
        break;
    }
    OK(lsm_iter_status(c->iter));
    CHECK(lsm_iter_valid(c->iter) == (c->at >= 0), "move %u: key %d expected", what, c->at);
    if (c->at >= 0)
        compare_entry(h, c->iter, &c->map, c->at);
}

static void do_iterate(struct history *h)
{
    struct cursor *c = &h->cursors[random_below(rnd(h), ITERATORS)];
    if (c->iter && one_in(rnd(h), 6)) {
        lsm_iter_free(c->iter);
        c->iter = NULL;
        return;
    }
    if (!c->iter)
        cursor_open(h, c);
    for (unsigned n = 1 + random_below(rnd(h), 20); n > 0; n--)
        cursor_move(h, c);
}

// ------------------------------------------------------------------------------------- management

static void do_compact(struct history *h)
{
    uint8_t lower[KEY_SIZE_MAX + 1], upper[KEY_SIZE_MAX + 1];
    size_t lower_size = 0, upper_size = 0;
    bool equal, low = one_in(rnd(h), 2), high = one_in(rnd(h), 2);
    if (low)
        draw_target(h, lower, &lower_size, &equal);
    if (high)
        draw_target(h, upper, &upper_size, &equal);
    OK(lsm_compact_range(h->db, low ? lower : NULL, lower_size, high ? upper : NULL, upper_size));
    all_durable(h);
}

static void do_maintain(struct history *h)
{
    switch (random_below(rnd(h), 6)) {
    case 0:
        OK(lsm_sync(h->db));
        all_durable(h);
        break;
    case 1:
        OK(lsm_wait_idle(h->db));
        break;
    case 2:
        do_compact(h);
        break;
    default:
        OK(lsm_flush(h->db));
        all_durable(h);
    }
}

static void open_writer(struct history *h)
{
    draw_options(h);
    OK(lsm_open(h->path, &h->options, &h->db));
    h->held = h->options.wal_mode == LSM_WAL_HELD;
}

static void open_store(struct history *h)
{
    open_writer(h);
    all_durable(h); // recovery writes to tables what it replays
}

// The copy holds what the store held, and is a store of its own.
static void do_checkpoint(struct history *h)
{
    char path[32];
    struct lsm *copy;
    if (h->in_cluster) // that is refused
        return;
    draw_options(h);
    struct lsm_options options = h->options;
    snprintf(path, sizeof path, "/copy%u", h->copies++);
    OK(lsm_checkpoint(h->db, path));
    all_durable(h);
    options.error_if_exists = false;
    options.create_if_missing = false;
    options.read_only = one_in(rnd(h), 2);
    OK(lsm_open(path, &options, &copy));
    compare_all(h, copy, &h->map);
    if (!options.read_only) {
        OK(lsm_put(copy, NULL, h->keys[0], h->key_sizes[0], "copy", 4));
        OK(lsm_flush(copy));
    }
    check_store(copy);
    OK(lsm_close(copy));
    compare_get(h, NULL, &h->map, 0);
    OK(lsm_destroy(path, &h->options));
}

// The process dies, and `h->db` with it.
static void do_kill(struct history *h)
{
    if (!h->in_cluster) {
        env_fault_kill(h->env);
        (void)!lsm_close(h->db);
        return;
    }
    // Now, or at one of the next writes, which background threads make.
    if (one_in(rnd(h), 2))
        fake_process_kill(h->cluster.process);
    else
        fake_process_kill_at(h->cluster.process, 1 + random_below(rnd(h), 10));
    (void)!lsm_close(h->db);
    fake_process_kill(h->cluster.process);
    cluster_store_end(&h->cluster);
    cluster_store_start(&h->cluster);
    h->env = h->cluster.env;
}

static void do_power_cut(struct history *h)
{
    uint64_t seed = one_in(rnd(h), 3) ? 0 : random_next(rnd(h));
    release_readers(h);
    env_fault_power_cut(h->env, seed);
    (void)!lsm_close(h->db);
    open_writer(h);
    find_prefix(h);
    all_durable(h);
}

static void open_read_only(struct history *h)
{
    draw_options(h);
    struct lsm_options options = h->options;
    options.read_only = true;
    OK(lsm_open(h->path, &options, &h->db));
    compare_all(h, h->db, &h->map);
    int rc = lsm_put(h->db, NULL, "x", 1, "", 0);
    CHECK(rc == LSM_READ_ONLY, "put: %d", rc);
    for (unsigned n = 0; n < 5; n++) {
        do_get(h);
        do_iterate(h);
    }
    check_store(h->db);
    release_readers(h);
    OK(lsm_close(h->db));
}

static int unlink_manifest(void *arg, const char *name)
{
    struct env *dir = arg;
    return strncmp(name, "MANIFEST", 8) ? 0 : dir->ops->unlink(dir, name);
}

// CURRENT is gone and, if nothing of a crash is left that only the manifest tells from what is
// live, the manifest too.
static void lose_manifest(struct history *h, bool killed)
{
    struct env *dir;
    struct env_lock *lock;
    OK(h->env->ops->open_dir(h->env, h->path, &dir));
    OK(dir->ops->lock(dir, "LOCK", false, "", &lock));
    OK(dir->ops->unlink(dir, "CURRENT"));
    if (!killed && one_in(rnd(h), 2))
        OK(dir->ops->list(dir, ENV_HERE, unlink_manifest, dir));
    dir->ops->unlock(dir, lock);
    dir->ops->close_dir(dir);
    draw_options(h);
    OK(lsm_repair(h->path, &h->options));
}

static void do_reopen(struct history *h)
{
    unsigned what = random_below(rnd(h), 8);
    bool killed = what < 3;
    if (what == 0 && !h->in_cluster) {
        do_power_cut(h);
        return;
    }
    release_readers(h);
    if (killed && h->held) {
        do_kill(h);
        open_writer(h);
        find_prefix(h);
        all_durable(h);
        return;
    }
    if (killed) {
        do_kill(h);
    } else {
        OK(lsm_close(h->db));
        all_durable(h);
    }
    if (one_in(rnd(h), 4))
        open_read_only(h);
    if (one_in(rnd(h), 4))
        lose_manifest(h, killed);
    open_store(h);
    if (one_in(rnd(h), 2))
        compare_all(h, h->db, &h->map);
}

// ------------------------------------------------------------------------------------- running

struct operation {
    const char *name;
    void (*run)(struct history *);
    unsigned most; // its weight is drawn up to this
};

static const struct operation operations[] = {
    {"put", do_put, 40},          {"batch", do_batch, 15},
    {"get", do_get, 20},          {"get_range", do_get_range, 8},
    {"iterate", do_iterate, 20},  {"snapshot", do_snapshot, 6},
    {"maintain", do_maintain, 5}, {"checkpoint", do_checkpoint, 1},
    {"reopen", do_reopen, 2},
};
#define OPERATIONS (sizeof operations / sizeof *operations)

static void run_steps(struct history *h, unsigned steps)
{
    unsigned weights[OPERATIONS], total = 0;
    for (unsigned i = 0; i < OPERATIONS; i++)
        total += weights[i] = random_below(rnd(h), operations[i].most + 1);
    if (total == 0)
        total = weights[0] = 1;
    for (unsigned i = 0; i < steps; i++) {
        unsigned draw = random_below(rnd(h), total), which = 0;
        while (draw >= weights[which])
            draw -= weights[which++];
        running->step = i;
        snprintf(running->last, sizeof running->last, "%s", operations[which].name);
        operations[which].run(h);
    }
}

// Nothing is left of the store.
static void expect_nothing(struct history *h)
{
    struct env_stat stat;
    if (h->in_cluster)
        CHECK(fake_cluster_objects(h->cluster.cluster) == 0, "objects are left");
    else
        CHECK(h->env->ops->stat(h->env, "/db", &stat) == LSM_NOT_FOUND, "something is left");
}

static void run_history(uint64_t seed, bool in_cluster)
{
    running->seed = seed;
    alarm(HISTORY_S); // kills this process; the parent says which history it was
    struct history *h = history_new(seed, in_cluster);
    open_store(h);
    run_steps(h, 10 + random_below(rnd(h), one_in(rnd(h), 20) ? 600 : 80));
    snprintf(running->last, sizeof running->last, "%s", "the end");
    compare_all(h, h->db, &h->map);
    for (unsigned i = 0; i < SNAPSHOTS; i++)
        for (unsigned k = 0; k < h->key_count && h->snapshots[i].snapshot; k++)
            compare_get(h, h->snapshots[i].snapshot, &h->snapshots[i].map, k);
    check_store(h->db);
    release_readers(h);
    OK(lsm_close(h->db));
    OK(lsm_destroy(h->path, &h->options));
    expect_nothing(h);
    history_free(h);
}

START_TEST(test_histories)
{
    uint64_t seed = seed_from_env(), count = from_env("LSM_HISTORIES", 10000);
    printf("%" PRIu64 " histories from seed %" PRIu64 "\n", count, seed);
    fflush(stdout);
    for (uint64_t i = 0; i < count; i++)
        run_history(seed + i, false);
}
END_TEST

START_TEST(test_cluster_histories)
{
    uint64_t seed = seed_from_env(), count = (from_env("LSM_HISTORIES", 10000) + 9) / 10;
    printf("%" PRIu64 " histories in a cluster from seed %" PRIu64 "\n", count, seed);
    fflush(stdout);
    for (uint64_t i = 0; i < count; i++)
        run_history(seed + i, true);
}
END_TEST

int main(void)
{
    running =
        mmap(NULL, sizeof *running, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    Suite *suite = suite_create("engine model");
    TCase *tc = tcase_create("histories");
    tcase_set_timeout(tc, 3600);
    tcase_add_test(tc, test_histories);
    suite_add_tcase(suite, tc);
    tc = tcase_create("cluster");
    tcase_set_timeout(tc, 3600);
    tcase_add_test(tc, test_cluster_histories);
    suite_add_tcase(suite, tc);
    int failed = run_suite(suite);
    if (failed)
        fprintf(stderr,
                "failed in the history of seed %" PRIu64 ", step %" PRIu64 " (%s); "
                "to run it again: LSM_HISTORIES=1 LSM_SEED=%" PRIu64 "\n",
                running->seed, running->step, running->last, running->seed);
    return failed;
}
