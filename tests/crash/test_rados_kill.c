// The engine over a simulated cluster: its process dies at a random write, or an answer gets lost,
// and the next one takes over. All that was acknowledged before a death is there, whole; after a
// failure that is not a death the store can only be read until it is opened again, and then holds
// all that was acknowledged.
//
// LSM_HISTORIES sets the number of stores, LSM_SEED the first one's seed.
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "disk/fake_cluster.h"
#include "env_rados/env_rados_impl.h"
#include "from_env.h"
#include "lsm.h"
#include "quick_check.h"
#include "small_options.h"

#define PATH   "rados:pool/store"
#define STRIPE 16384
#define KEYS   200
#define LIVES  5
#define WRITES 250

struct world {
    uint64_t seed, random;
    struct fake_cluster *cluster;
    struct fake_process *process;
    struct env *base;
    struct lsm *db;
    uint32_t value[KEYS]; // acknowledged: 0: none
    uint32_t maybe[KEYS]; // the value of a write that has failed; UINT32_MAX: none
    uint32_t next;
};

#define CHECK(w, condition)                                                                        \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "seed %" PRIu64 ": %s (%s)\n", (w)->seed, #condition,                  \
                    lsm_error_detail());                                                           \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static uint64_t draw(struct world *w, uint64_t below)
{
    w->random = w->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (w->random >> 33) % below;
}

static size_t value_of(uint32_t number, char value[9000])
{
    size_t size = 4 + number % 7 * number % 8000; // some in blob files
    memset(value, (int)(number % 251), size);
    memcpy(value, &number, 4);
    return size;
}

static void open_store(struct world *w)
{
    w->process = fake_process_new(w->cluster);
    w->base = env_rados_new(fake_process_open, w->process, STRIPE, false);
    struct lsm_options options = small_options(w->base);
    options.blob_file_size = 64 << 10;
    int rc = lsm_open(PATH, &options, &w->db);
    CHECK(w, rc == 0);
}

static void close_store(struct world *w)
{
    (void)!lsm_close(w->db);
    env_rados_free(w->base);
    fake_process_free(w->process);
}

static void expect_all(struct world *w)
{
    struct lsm_buf buf = {0};
    static char wanted[9000];
    for (unsigned i = 0; i < KEYS; i++) {
        char key[16];
        uint32_t number = 0;
        size_t n = (size_t)snprintf(key, sizeof key, "key %u", i);
        int rc = lsm_get(w->db, NULL, key, n, &buf);
        CHECK(w, rc == 0 || rc == LSM_NOT_FOUND);
        if (!rc) {
            CHECK(w, buf.size >= 4);
            memcpy(&number, buf.data, 4);
            CHECK(w, value_of(number, wanted) == buf.size);
            CHECK(w, memcmp(wanted, buf.data, buf.size) == 0);
        }
        if (number != w->value[i] && number != w->maybe[i])
            fprintf(stderr, "key %u: %u instead of %u\n", i, number, w->value[i]);
        CHECK(w, number == w->value[i] || number == w->maybe[i]);
        w->value[i] = number;
        w->maybe[i] = UINT32_MAX;
    }
    lsm_buf_release(&buf);
}

static void write_some(struct world *w)
{
    static char value[9000];
    for (unsigned i = 0; i < WRITES; i++) {
        char key[16];
        unsigned k = (unsigned)draw(w, KEYS);
        size_t n = (size_t)snprintf(key, sizeof key, "key %u", k);
        uint32_t number = draw(w, 6) ? ++w->next : 0;
        int rc = number ? lsm_put(w->db, NULL, key, n, value, value_of(number, value))
                        : lsm_delete(w->db, NULL, key, n);
        if (!rc && draw(w, 10) == 0)
            rc = lsm_sync(w->db);
        if (rc) {
            w->maybe[k] = number;
            return;
        }
        w->value[k] = number;
    }
}

static void run_world(uint64_t seed)
{
    struct world *w = calloc(1, sizeof *w);
    w->seed = w->random = seed;
    w->cluster = fake_cluster_new(seed);
    memset(w->maybe, 0xff, sizeof w->maybe);
    for (unsigned life = 0; life < LIVES; life++) {
        open_store(w);
        expect_all(w);
        uint64_t at = 1 + draw(w, 400);
        switch (draw(w, 4)) {
        case 0:
            fake_process_fail_at(w->process, at, -ETIMEDOUT, draw(w, 2));
            break;
        case 1: // closed
            break;
        default:
            fake_process_kill_at(w->process, at);
        }
        write_some(w);
        close_store(w);
    }
    open_store(w);
    expect_all(w);
    close_store(w);
    fake_cluster_free(w->cluster);
    free(w);
}

START_TEST(test_lives)
{
    uint64_t count = from_env("LSM_HISTORIES", 60), seed = from_env("LSM_SEED", 1);
    for (uint64_t i = 0; i < count; i++)
        run_world(seed + i);
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("lives");
    tcase_add_test(tc, test_lives);
    return run_case("rados kill", tc, 3600);
}
