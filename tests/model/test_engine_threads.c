// The engine under many threads at once, on a simulated disk and in a simulated cluster, with
// invariants that hold at every moment:
//
//  transfers   each batch moves an amount between two accounts: every reader that looks at one
//              moment (a snapshot, an iterator) sees the same sum
//  counters    each writer counts its own key up: no reader ever sees it go down, and a read that
//              begins after a write returned sees that write or a later one
//  sets        each batch sets a group of keys to the same value: an iterator sees them equal
//
// Beside them run flushes, compactions, checkpoints, properties, and readers that come and go.
// LSM_SEED seeds the threads; LSM_SECONDS (default 2) says for how long each mix runs.
#include <pthread.h>
#include <stdatomic.h>

#include "disk/cluster_store.h"
#include "engine_util.h"
#include "env_rados/env_rados.h"
#include "small_options.h"

#define ACCOUNTS 64
#define START    1000
#define COUNTERS 4
#define GROUPS   8
#define GROUP    12
#define THREADS  16

struct shared {
    struct env *env;
    struct lsm *db;
    _Atomic bool stop;
    _Atomic uint64_t acknowledged[COUNTERS]; // stored after the write returned
    _Atomic uint64_t operations;
    bool sync, in_cluster;
};

struct thread {
    struct shared *shared;
    struct random random;
    unsigned id;
    void (*round)(struct thread *);
    pthread_t handle;
};

static pthread_mutex_t transfer_mutex = PTHREAD_MUTEX_INITIALIZER; // read, then write, accounts

#define OK(call) EXPECT((call) == LSM_OK, "%s", lsm_error_detail())

// Some writes leave it to lsm_write_end() to wait for the log, which only in a cluster has to be.
static void write_batch(struct thread *t, struct lsm_batch *batch)
{
    struct lsm_pending pending = {0};
    bool later = one_in(&t->random, 2);
    const struct lsm_write_options wo = {.sync = t->shared->sync && one_in(&t->random, 10),
                                         .pending = later ? &pending : NULL};
    OK(lsm_write(t->shared->db, &wo, batch));
    OK(lsm_write_end(t->shared->db, &pending));
}

static size_t name(char *key, const char *kind, unsigned i)
{
    return (size_t)sprintf(key, "%s%04u", kind, i);
}

// ------------------------------------------------------------------------------------- transfers

static void put_number(struct lsm_batch *batch, const char *kind, unsigned i, uint64_t number)
{
    char key[32];
    uint64_t padded[12] = {number, i}; // so that there is something to flush
    OK(lsm_batch_put(batch, key, name(key, kind, i), padded, sizeof padded));
}

static uint64_t get_number(struct thread *t, const struct lsm_snapshot *snapshot, const char *kind,
                           unsigned i)
{
    char key[32];
    uint64_t padded[12] = {0};
    size_t got = 0;
    struct lsm_read_options ro = {.snapshot = snapshot};
    OK(lsm_get_range(t->shared->db, &ro, key, name(key, kind, i), 0, padded, sizeof padded, &got,
                     NULL));
    EXPECT(got == sizeof padded && padded[1] == i, "wrong bytes in %s%u", kind, i);
    return padded[0];
}

static void transfer(struct thread *t)
{
    struct lsm_batch *batch;
    unsigned from = random_below(&t->random, ACCOUNTS), to = random_below(&t->random, ACCOUNTS);
    if (from == to)
        return;
    OK(lsm_batch_new(&batch));
    pthread_mutex_lock(&transfer_mutex);
    uint64_t have = get_number(t, NULL, "account", from);
    uint64_t amount = random_below(&t->random, have + 1);
    put_number(batch, "account", from, have - amount);
    put_number(batch, "account", to, get_number(t, NULL, "account", to) + amount);
    write_batch(t, batch);
    pthread_mutex_unlock(&transfer_mutex);
    lsm_batch_free(batch);
}

static void sum_by_snapshot(struct thread *t)
{
    const struct lsm_snapshot *snapshot;
    uint64_t sums[2] = {0};
    OK(lsm_snapshot_new(t->shared->db, &snapshot));
    for (unsigned round = 0; round < 2; round++)
        for (unsigned i = 0; i < ACCOUNTS; i++)
            sums[round] += get_number(t, snapshot, "account", i);
    lsm_snapshot_free(t->shared->db, snapshot);
    EXPECT(sums[0] == ACCOUNTS * START && sums[1] == sums[0],
           "the accounts of a snapshot sum up to %" PRIu64 ", then %" PRIu64, sums[0], sums[1]);
}

static uint64_t number_at(struct lsm_iter *it)
{
    size_t size;
    uint64_t number;
    const void *value = lsm_iter_value(it, &size);
    EXPECT(size >= sizeof number, "a value of %zu bytes", size);
    memcpy(&number, value, sizeof number);
    return number;
}

static void sum_by_iterator(struct thread *t)
{
    struct lsm_iter *it;
    struct lsm_iter_options io = {
        .lower = "account", .lower_size = 7, .upper = "accounu", .upper_size = 7};
    OK(lsm_iter_new(t->shared->db, &io, &it));
    for (unsigned round = 0; round < 2; round++) {
        uint64_t sum = 0;
        unsigned count = 0;
        round ? lsm_iter_seek_last(it) : lsm_iter_seek_first(it);
        for (; lsm_iter_valid(it); round ? lsm_iter_prev(it) : lsm_iter_next(it), count++)
            sum += number_at(it);
        OK(lsm_iter_status(it));
        EXPECT(count == ACCOUNTS && sum == ACCOUNTS * START,
               "%u accounts of an iterator sum up to %" PRIu64, count, sum);
    }
    lsm_iter_free(it);
}

// ------------------------------------------------------------------------------------- counters

static void count_up(struct thread *t)
{
    struct lsm_batch *batch;
    unsigned i = t->id % COUNTERS;
    uint64_t next = atomic_load(&t->shared->acknowledged[i]) + 1;
    OK(lsm_batch_new(&batch));
    put_number(batch, "counter", i, next);
    write_batch(t, batch);
    atomic_store(&t->shared->acknowledged[i], next);
    lsm_batch_free(batch);
}

static void watch_counters(struct thread *t)
{
    unsigned i = random_below(&t->random, COUNTERS);
    uint64_t last = 0;
    for (unsigned n = 0; n < 20; n++) {
        uint64_t least = atomic_load(&t->shared->acknowledged[i]);
        uint64_t seen = get_number(t, NULL, "counter", i);
        uint64_t most = atomic_load(&t->shared->acknowledged[i]) + 1;
        EXPECT(seen >= last && seen >= least && seen <= most,
               "counter %u: %" PRIu64 " after %" PRIu64 ", %" PRIu64 " .. %" PRIu64 " written", i,
               seen, last, least, most);
        last = seen;
    }
}

// ------------------------------------------------------------------------------------- groups

static void set_group(struct thread *t)
{
    struct lsm_batch *batch;
    unsigned group = random_below(&t->random, GROUPS);
    uint64_t number = random_next(&t->random);
    bool remove = one_in(&t->random, 5);
    OK(lsm_batch_new(&batch));
    for (unsigned i = 0; i < GROUP; i++) {
        char key[32];
        if (remove)
            OK(lsm_batch_delete(batch, key, name(key, "group", group * GROUP + i)));
        else
            put_number(batch, "group", group * GROUP + i, number);
    }
    write_batch(t, batch);
    lsm_batch_free(batch);
}

static void look_at_group(struct thread *t)
{
    unsigned group = random_below(&t->random, GROUPS), count = 0;
    char lower[32], upper[32];
    uint64_t first = 0;
    struct lsm_iter *it;
    struct lsm_iter_options io = {.lower = lower, .upper = upper};
    io.lower_size = name(lower, "group", group * GROUP);
    io.upper_size = name(upper, "group", group * GROUP + GROUP);
    OK(lsm_iter_new(t->shared->db, &io, &it));
    for (lsm_iter_seek_first(it); lsm_iter_valid(it); lsm_iter_next(it), count++) {
        if (count == 0)
            first = number_at(it);
        EXPECT(number_at(it) == first, "half of a batch in group %u", group);
    }
    OK(lsm_iter_status(it));
    EXPECT(count == 0 || count == GROUP, "%u of %u keys of group %u", count, GROUP, group);
    lsm_iter_free(it);
}

// ------------------------------------------------------------------------------------- disturbance

static void fill(struct thread *t)
{
    char key[32];
    uint8_t data[2000];
    struct value v = {.seed = random_next(&t->random), .size = random_below(&t->random, 2000)};
    value_bytes(&v, data);
    OK(lsm_put(t->shared->db, NULL, key, name(key, "noise", random_below(&t->random, 500)), data,
               v.size));
}

static void checkpoint(struct thread *t)
{
    static _Atomic unsigned number;
    char path[32];
    struct lsm *copy;
    struct lsm_options options;
    if (t->shared->in_cluster) // that is refused
        return;
    snprintf(path, sizeof path, "/copy%u", atomic_fetch_add(&number, 1));
    OK(lsm_checkpoint(t->shared->db, path));
    lsm_options_init(&options);
    options.env = t->shared->env;
    options.write_buffer_size = 64 << 10;
    options.read_only = true;
    OK(lsm_open(path, &options, &copy));
    struct shared of_copy = {.env = t->shared->env, .db = copy};
    struct thread reader = {.shared = &of_copy, .random = t->random};
    sum_by_iterator(&reader);
    for (unsigned i = 0; i < 4; i++)
        look_at_group(&reader);
    OK(lsm_check(copy, NULL, NULL, NULL));
    OK(lsm_close(copy));
    OK(lsm_destroy(path, &options));
}

static void manage(struct thread *t)
{
    char *text = NULL;
    switch (random_below(&t->random, 7)) {
    case 0:
        OK(lsm_compact_range(t->shared->db, NULL, 0, NULL, 0));
        break;
    case 1:
        OK(lsm_compact_range(t->shared->db, "group", 5, "noise", 5));
        break;
    case 2:
        text = lsm_property(t->shared->db, "stats");
        EXPECT(text, "no stats");
        free(text);
        break;
    case 3:
        OK(lsm_sync(t->shared->db));
        break;
    case 4:
        OK(lsm_check(t->shared->db, NULL, NULL, NULL));
        break;
    case 5:
        checkpoint(t);
        break;
    default:
        OK(lsm_flush(t->shared->db));
    }
}

// ------------------------------------------------------------------------------------- running

static void *run_thread(void *arg)
{
    struct thread *t = arg;
    while (!atomic_load(&t->shared->stop)) {
        t->round(t);
        atomic_fetch_add(&t->shared->operations, 1);
    }
    return NULL;
}

static void set_up(struct shared *shared)
{
    struct lsm_batch *batch;
    OK(lsm_batch_new(&batch));
    for (unsigned i = 0; i < ACCOUNTS; i++)
        put_number(batch, "account", i, START);
    for (unsigned i = 0; i < COUNTERS; i++)
        put_number(batch, "counter", i, 0);
    OK(lsm_write(shared->db, NULL, batch));
    lsm_batch_free(batch);
}

static void run_mix(const char *path, struct lsm_options *options, bool sync)
{
    static void (*const rounds[THREADS])(struct thread *) = {
        transfer,       transfer,        count_up,        count_up,
        count_up,       count_up,        set_group,       set_group,
        fill,           sum_by_snapshot, sum_by_iterator, watch_counters,
        watch_counters, look_at_group,   look_at_group,   manage};
    uint64_t seed = seed_from_env();
    struct timespec time = {.tv_sec = (time_t)from_env("LSM_SECONDS", 2)};
    struct shared shared = {.env = options->env, .sync = sync, .in_cluster = env_rados_named(path)};
    struct thread threads[THREADS];
    OK(lsm_open(path, options, &shared.db));
    set_up(&shared);
    for (unsigned i = 0; i < THREADS; i++) {
        threads[i] =
            (struct thread){.shared = &shared, .random = {seed + i}, .id = i, .round = rounds[i]};
        EXPECT(pthread_create(&threads[i].handle, NULL, run_thread, &threads[i]) == 0, "no thread");
    }
    nanosleep(&time, NULL);
    atomic_store(&shared.stop, true);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i].handle, NULL);
    // Everything acknowledged is there when the store is opened again.
    OK(lsm_close(shared.db));
    OK(lsm_open(path, options, &shared.db));
    sum_by_snapshot(&threads[0]);
    for (unsigned i = 0; i < COUNTERS; i++)
        EXPECT(get_number(&threads[0], NULL, "counter", i) == atomic_load(&shared.acknowledged[i]),
               "counter %u", i);
    OK(lsm_check(shared.db, NULL, NULL, NULL));
    printf("seed %" PRIu64 ": %" PRIu64 " operations\n", seed, atomic_load(&shared.operations));
    OK(lsm_close(shared.db));
}

static void run_with(void (*change)(struct lsm_options *), bool sync, struct cluster_store *cluster)
{
    struct lsm_options options = small_options(cluster ? cluster->env : env_fault_new());
    options.block_cache_size = 64 << 10;
    options.max_open_tables = 16;
    options.compaction_threads = 2;
    change(&options);
    run_mix(cluster ? CLUSTER_STORE_PATH : "/db", &options, sync);
    if (!cluster)
        env_fault_free(options.env);
}

static void mapped(struct lsm_options *options)
{
    options->wal_mode = LSM_WAL_MAPPED;
    options->l0_compact = 1;
}

static void written(struct lsm_options *options)
{
    options->wal_mode = LSM_WAL_WRITTEN;
    options->compression = LSM_COMPRESSION_NONE;
    options->max_write_buffers = 4;
    options->sync_interval_ms = 1;
}

START_TEST(test_mapped)
{
    run_with(mapped, false, NULL);
}
END_TEST

START_TEST(test_written_and_synced)
{
    run_with(written, true, NULL);
}
END_TEST

static void gathered(struct lsm_options *options)
{
    options->wal_mode = LSM_WAL_AUTO;
    options->blob_file_size = 256 << 10;
}

START_TEST(test_in_a_cluster)
{
    struct cluster_store cluster;
    cluster_store_init(&cluster, 1);
    run_with(gathered, true, &cluster);
    cluster_store_release(&cluster);
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("threads");
    tcase_add_test(tc, test_mapped);
    tcase_add_test(tc, test_written_and_synced);
    tcase_add_test(tc, test_in_a_cluster);
    return run_case("engine threads", tc, 600);
}
