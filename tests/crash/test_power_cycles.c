// Many lives of one store on one simulated disk, each ended by a power cut, a kill or a close.
//
// In each life a few threads write streams of numbered batches, some of them synced, while the main
// thread flushes, compacts, syncs and makes checkpoints; logs are recycled. The power goes at a
// random system call, in some lives while the store is being opened or repaired. Then:
//  - each stream is a prefix of what was written, with whole batches, up to what was synced at
//    least (after a kill or a close: all that was acknowledged);
//  - a checkpoint that was reported as made is there, whole, and a store;
//  - a store without CURRENT is repaired to the same, also if the repair is cut off and begun anew.
// LSM_SEED and LSM_HISTORIES (each of 10 lives) as in the model tests.
#include <pthread.h>
#include <stdatomic.h>

#include "engine_util.h"
#include "small_options.h"

#define STREAMS 3
#define LIVES   10
#define LAG     25 // a batch deletes what that many before it wrote
#define COPIES  4
#define SIZE    700

struct life {
    struct env *env;
    struct lsm_options options;
    struct lsm *db;
    struct random random;
    uint64_t seed;
    unsigned number;
    // Of each stream; its thread's while threads run.
    struct stream {
        struct life *life;
        struct random random;
        unsigned id;
        unsigned batches; // to write in this life
        _Atomic unsigned acknowledged, synced;
        unsigned tried;
        pthread_t thread;
    } streams[STREAMS];
    struct {
        char path[32]; // empty: none
        unsigned least[STREAMS];
    } copies[COPIES];
    unsigned copy_number;
    struct lsm_buf buf;
};

#define CHECK(condition, ...)                                                                      \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            char message_[512];                                                                    \
            snprintf(message_, sizeof message_, __VA_ARGS__);                                      \
            expect_failed(__FILE__, __LINE__, #condition,                                          \
                          "%s (seed %" PRIu64 ", life %u; the engine's last word: %s)", message_,  \
                          l->seed, l->number, lsm_error_detail());                                 \
        }                                                                                          \
    } while (0)

static size_t stream_key(char *key, unsigned stream, unsigned i)
{
    return (size_t)sprintf(key, "s%u-%07u", stream, i);
}

static struct value value_of(unsigned stream, unsigned i)
{
    return (struct value){.seed = (uint64_t)stream << 40 | i, .size = SIZE};
}

// ------------------------------------------------------------------------------------- writing

static int write_one(struct stream *s, unsigned i, bool sync)
{
    struct life *l = s->life;
    char key[32];
    uint8_t data[SIZE];
    struct lsm_batch *batch;
    struct lsm_write_options wo = {.sync = sync};
    struct value v = value_of(s->id, i);
    value_bytes(&v, data);
    int rc = lsm_batch_new(&batch);
    if (!rc)
        rc = lsm_batch_put(batch, key, stream_key(key, s->id, i), data, sizeof data);
    if (!rc && i > LAG)
        rc = lsm_batch_delete(batch, key, stream_key(key, s->id, i - LAG));
    if (!rc)
        rc = lsm_batch_put(batch, key, (size_t)sprintf(key, "count%u", s->id), &i, sizeof i);
    CHECK(rc == 0, "batch");
    rc = lsm_write(l->db, &wo, batch);
    lsm_batch_free(batch);
    return rc;
}

static void *run_stream(void *arg)
{
    struct stream *s = arg;
    for (unsigned n = 0; n < s->batches; n++) {
        bool sync = one_in(&s->random, 6);
        s->tried = s->acknowledged + 1;
        if (write_one(s, s->tried, sync))
            return NULL;
        atomic_store(&s->acknowledged, s->tried);
        if (sync)
            atomic_store(&s->synced, s->tried);
    }
    return NULL;
}

static void note_durable(struct life *l, const unsigned least[STREAMS])
{
    for (unsigned i = 0; i < STREAMS; i++) {
        unsigned synced = atomic_load(&l->streams[i].synced);
        while (synced < least[i] &&
               !atomic_compare_exchange_weak(&l->streams[i].synced, &synced, least[i]))
            ;
    }
}

static void manage_one(struct life *l)
{
    unsigned least[STREAMS], slot = l->copy_number % COPIES;
    char path[32];
    for (unsigned i = 0; i < STREAMS; i++)
        least[i] = atomic_load(&l->streams[i].acknowledged);
    switch (random_below(&l->random, 5)) {
    case 0:
        if (lsm_sync(l->db) == 0)
            note_durable(l, least);
        break;
    case 1:
        if (l->copies[slot].path[0])
            break;
        snprintf(path, sizeof path, "/copy%u", l->copy_number++);
        if (lsm_checkpoint(l->db, path) == 0) {
            strcpy(l->copies[slot].path, path);
            memcpy(l->copies[slot].least, least, sizeof least);
            note_durable(l, least);
        }
        break;
    case 2:
        (void)!lsm_compact_range(l->db, NULL, 0, NULL, 0);
        break;
    default:
        if (lsm_flush(l->db) == 0)
            note_durable(l, least);
    }
}

static void run_life(struct life *l)
{
    for (unsigned i = 0; i < STREAMS; i++) {
        struct stream *s = &l->streams[i];
        s->batches = one_in(&l->random, 4) ? 0 : random_below(&l->random, 150);
        s->random.state = random_next(&l->random);
        CHECK(pthread_create(&s->thread, NULL, run_stream, s) == 0, "no thread");
    }
    for (unsigned n = random_below(&l->random, 8); n > 0; n--)
        manage_one(l);
    for (unsigned i = 0; i < STREAMS; i++)
        pthread_join(l->streams[i].thread, NULL);
}

// ------------------------------------------------------------------------------------- looking

// How far a stream goes in `db`; it is whole up to there.
static unsigned expect_stream(struct life *l, struct lsm *db, unsigned id, unsigned tried)
{
    char key[32];
    unsigned last = 0;
    int rc = lsm_get(db, NULL, key, (size_t)sprintf(key, "count%u", id), &l->buf);
    CHECK(rc == 0 || rc == LSM_NOT_FOUND, "counter of stream %u", id);
    if (rc == 0)
        memcpy(&last, l->buf.data, sizeof last);
    CHECK(last <= tried, "stream %u: batch %u from nowhere, %u were tried", id, last, tried);
    for (unsigned i = 1; i <= tried + 1; i++) {
        struct value v = value_of(id, i);
        bool want = i <= last && i + LAG > last;
        rc = lsm_get(db, NULL, key, stream_key(key, id, i), &l->buf);
        CHECK(want ? rc == 0 : rc == LSM_NOT_FOUND, "stream %u: batch %u of %u: %d", id, i, last,
              rc);
        CHECK(!want || value_equal(&v, l->buf.data, l->buf.size), "stream %u: wrong bytes", id);
    }
    return last;
}

static void expect_store(struct life *l, bool all)
{
    for (unsigned i = 0; i < STREAMS; i++) {
        struct stream *s = &l->streams[i];
        unsigned last = expect_stream(l, l->db, i, s->tried);
        CHECK(last >= (all ? s->acknowledged : s->synced),
              "stream %u ends at %u, %u were acknowledged, %u synced", i, last, s->acknowledged,
              s->synced);
        s->acknowledged = s->synced = s->tried = last; // opening made all of it durable
    }
    int rc = lsm_check(l->db, NULL, NULL, NULL);
    CHECK(rc == 0, "check");
}

static void expect_copies(struct life *l)
{
    for (unsigned c = 0; c < COPIES; c++) {
        struct lsm *copy;
        struct lsm_options options = l->options;
        options.read_only = one_in(&l->random, 2);
        if (!l->copies[c].path[0])
            continue;
        int rc = lsm_open(l->copies[c].path, &options, &copy);
        CHECK(rc == 0, "open of %s", l->copies[c].path);
        for (unsigned i = 0; i < STREAMS; i++) {
            unsigned last = expect_stream(l, copy, i, l->streams[i].tried);
            CHECK(last >= l->copies[c].least[i], "%s: stream %u ends at %u, not %u",
                  l->copies[c].path, i, last, l->copies[c].least[i]);
        }
        rc = lsm_check(copy, NULL, NULL, NULL);
        CHECK(rc == 0, "check of %s", l->copies[c].path);
        rc = lsm_close(copy);
        CHECK(rc == 0, "close of %s", l->copies[c].path);
        rc = lsm_destroy(l->copies[c].path, &options);
        CHECK(rc == 0, "destroy %s", l->copies[c].path);
        l->copies[c].path[0] = 0;
    }
}

// ------------------------------------------------------------------------------------- lives

static void draw_options(struct life *l)
{
    l->options = small_options(l->env);
    l->options.wal_mode = random_below(&l->random, 3);
    l->options.l0_compact = 1 + random_below(&l->random, 4);
    l->options.max_write_buffers = 2 + random_below(&l->random, 3);
    l->options.sync_interval_ms = one_in(&l->random, 4);
}

// CURRENT is lost. The power goes in the middle of the repair, or after it; in the latter case it
// need not be made again.
static void repair(struct life *l)
{
    int rc = l->env->ops->unlink(l->env, "/db/CURRENT");
    CHECK(rc == 0, "unlink CURRENT");
    env_fault_cut_at(l->env, 1 + random_below(&l->random, 60));
    rc = lsm_repair("/db", &l->options);
    env_fault_power_cut(l->env, random_next(&l->random));
    if (rc)
        rc = lsm_repair("/db", &l->options);
    CHECK(rc == 0, "second repair");
}

// Returns whether everything acknowledged must be there.
static bool end_life(struct life *l)
{
    unsigned how = random_below(&l->random, 6);
    if (how == 0) {
        env_fault_kill(l->env);
        (void)!lsm_close(l->db);
        return true;
    }
    if (how > 2) {
        env_fault_power_cut(l->env, one_in(&l->random, 4) ? 0 : random_next(&l->random));
        (void)!lsm_close(l->db);
        return false;
    }
    int rc = l->db ? lsm_close(l->db) : LSM_IO_ERROR;
    env_fault_power_cut(l->env, random_next(&l->random)); // after a close it takes nothing away
    return rc == 0;
}

static void run_lives(uint64_t seed)
{
    struct life life = {.env = env_fault_new(), .random = {seed}, .seed = seed}, *l = &life;
    for (unsigned i = 0; i < STREAMS; i++) {
        l->streams[i].life = l;
        l->streams[i].id = i;
    }
    env_fault_seed(l->env, seed);
    for (l->number = 0; l->number < LIVES; l->number++) {
        draw_options(l);
        bool cut = !one_in(&l->random, 3);
        if (cut)
            env_fault_cut_at(l->env,
                             1 + random_below(&l->random, one_in(&l->random, 3) ? 60 : 900));
        l->db = NULL;
        if (lsm_open("/db", &l->options, &l->db) == 0)
            run_life(l);
        else
            CHECK(cut, "open");
        bool all = end_life(l) && !cut;
        int rc = lsm_open("/db", &l->options, &l->db);
        CHECK(rc == 0, "open after the end");
        expect_store(l, all);
        expect_copies(l);
        rc = lsm_close(l->db);
        CHECK(rc == 0, "close");
        if (one_in(&l->random, 4)) {
            repair(l);
            rc = lsm_open("/db", &l->options, &l->db);
            CHECK(rc == 0, "open after repair");
            expect_store(l, true);
            rc = lsm_close(l->db);
            CHECK(rc == 0, "close after repair");
        }
    }
    lsm_buf_release(&l->buf);
    env_fault_free(l->env);
}

START_TEST(test_lives)
{
    uint64_t seed = seed_from_env(), count = from_env("LSM_HISTORIES", 200);
    printf("%" PRIu64 " stores from seed %" PRIu64 "\n", count, seed);
    fflush(stdout);
    for (uint64_t i = 0; i < count; i++)
        run_lives(seed + i);
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("lives");
    tcase_add_test(tc, test_lives);
    return run_case("power cycles", tc, 3600);
}
