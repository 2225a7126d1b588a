// The block cache: what it keeps and forgets, its byte budget, its hit rate against an exact LRU,
// and lookups, inserts and references from many threads.
#include "cache/block_cache.h"

#include "quick_check.h"
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/coding.h"
#include "memtable/epoch.h"

#define BLOCK 4096

static uint64_t seed;

static uint64_t rnd(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *state >> 33;
}

static struct cached_block *make_data(struct block_cache *cache, uint64_t file, uint64_t offset,
                                      size_t size)
{
    struct cached_block *block = cached_block_new(cache, size);

    ck_assert_ptr_nonnull(block);
    put_fixed64(cached_block_room(block), file);
    put_fixed64(cached_block_room(block) + size - 8, ~offset);
    return block;
}

static void check_data(const struct cached_block *block, uint64_t file, uint64_t offset)
{
    struct slice data = cached_block_data(block);

    ck_assert_uint_eq(get_fixed64(data.data), file);
    ck_assert_uint_eq(get_fixed64(data.data + data.size - 8), ~offset);
}

// Looks up, and inserts if absent. Returns whether it was there.
static bool touch(struct block_cache *cache, uint64_t file, uint64_t offset, size_t size)
{
    epoch_pin();
    struct cached_block *block = block_cache_lookup(cache, file, offset);
    bool hit = block != NULL;
    if (!hit)
        block = block_cache_insert(cache, file, offset, make_data(cache, file, offset, size), size,
                                   true);
    ck_assert_ptr_nonnull(block);
    check_data(block, file, offset);
    epoch_unpin();
    return hit;
}

// The same for a reader that keeps only what the cache admits.
static bool touch_admitted(struct block_cache *cache, uint64_t file, uint64_t offset, size_t size)
{
    epoch_pin();
    bool hit = block_cache_lookup(cache, file, offset) != NULL;
    bool keep = !hit && block_cache_admits(cache, file, offset, size);
    epoch_unpin();
    if (keep)
        ck_assert(!touch(cache, file, offset, size));
    return hit;
}

static size_t bytes_of(const struct block_cache *cache)
{
    struct block_cache_stats stats;
    block_cache_stats(cache, &stats);
    ck_assert_uint_le(stats.bytes, stats.capacity);
    return stats.bytes;
}

START_TEST(keeps_what_fits_and_counts)
{
    struct block_cache *cache;
    struct block_cache_stats stats;

    ck_assert_int_eq(block_cache_new(1 << 20, &cache), 0);
    for (uint64_t i = 0; i < 200; i++)
        ck_assert(!touch(cache, 1 + i % 2, i * BLOCK, BLOCK));
    for (uint64_t i = 0; i < 200; i++)
        ck_assert(touch(cache, 1 + i % 2, i * BLOCK, BLOCK));
    ck_assert(!touch(cache, 2, 0, BLOCK)); // the same offset of the other file
    block_cache_stats(cache, &stats);
    ck_assert_uint_eq(stats.hits, 200);
    ck_assert_uint_eq(stats.misses, 201);
    ck_assert_uint_eq(stats.inserts, 201);
    ck_assert_uint_eq(stats.evictions, 0);
    ck_assert_uint_ge(stats.bytes, 201 * BLOCK);
    block_cache_free(cache);
    block_cache_free(NULL);
}
END_TEST

START_TEST(admits_what_has_room_or_comes_again)
{
    struct block_cache *cache;
    uint64_t i;

    ck_assert_int_eq(block_cache_new(1 << 20, &cache), 0);
    for (i = 0; block_cache_has_room(cache, 1, i, BLOCK); i++)
        ck_assert(!touch_admitted(cache, 1, i, BLOCK));
    size_t full = bytes_of(cache);
    ck_assert_uint_ge(i, 200);
    ck_assert(touch(cache, 1, i - 1, BLOCK));
    for (int round = 0; round < 2; round++) { // forgotten once it is admitted
        ck_assert(!block_cache_admits(cache, 2, 7, BLOCK));
        ck_assert(block_cache_admits(cache, 2, 7, BLOCK));
    }
    for (i = 0; i < 100; i++) // a scan over other blocks leaves the cache as it was
        ck_assert(!touch_admitted(cache, 3, i, BLOCK));
    ck_assert(touch(cache, 1, 0, BLOCK));
    ck_assert_uint_eq(bytes_of(cache), full);
    block_cache_free(cache);
    epoch_barrier();
}
END_TEST

START_TEST(stays_within_its_capacity_with_any_block_size)
{
    static const size_t capacities[] = {0, 1, 5000, 64 << 10, 1 << 20, 20 << 20};
    struct block_cache *cache;
    uint64_t state = seed;

    ck_assert_int_eq(block_cache_new(capacities[_i], &cache), 0);
    for (uint64_t i = 0; i < 3000; i++) {
        touch(cache, 1, rnd(&state) % 1000 * 65536, 16 + rnd(&state) % 40000);
        bytes_of(cache);
    }
    if (capacities[_i] >= 1 << 20)
        ck_assert_uint_ge(bytes_of(cache), capacities[_i] / 2);
    block_cache_free(cache);
    epoch_barrier();
}
END_TEST

START_TEST(blocks_not_kept_are_valid_while_pinned_or_referenced)
{
    struct block_cache *cache;

    ck_assert_int_eq(block_cache_new(1 << 20, &cache), 0);
    epoch_pin();
    struct cached_block *plain =
        block_cache_insert(cache, 1, 0, make_data(cache, 1, 0, BLOCK), BLOCK, false);
    struct cached_block *held =
        block_cache_insert(cache, 1, 1, make_data(cache, 1, 1, 2 << 20), 2 << 20, true); // too big
    ck_assert_ptr_null(block_cache_lookup(cache, 1, 0));
    ck_assert_ptr_null(block_cache_lookup(cache, 1, 1));
    epoch_reclaim();
    check_data(plain, 1, 0);
    cached_block_ref(held);
    epoch_unpin();
    epoch_barrier();
    check_data(held, 1, 1);
    ck_assert_uint_eq(bytes_of(cache), 0);
    block_cache_free(cache);
    cached_block_unref(held); // outlives the cache
}
END_TEST

START_TEST(an_evicted_block_lives_while_referenced)
{
    struct block_cache *cache;

    ck_assert_int_eq(block_cache_new(64 << 10, &cache), 0);
    epoch_pin();
    struct cached_block *held =
        block_cache_insert(cache, 7, 0, make_data(cache, 7, 0, BLOCK), BLOCK, true);
    cached_block_ref(held);
    epoch_unpin();
    for (uint64_t i = 1; i < 100; i++)
        touch(cache, 7, i, BLOCK);
    epoch_barrier();
    epoch_pin();
    ck_assert_ptr_null(block_cache_lookup(cache, 7, 0));
    epoch_unpin();
    check_data(held, 7, 0);
    cached_block_unref(held);
    block_cache_free(cache);
}
END_TEST

START_TEST(a_second_insert_returns_the_first_block)
{
    struct block_cache *cache;

    ck_assert_int_eq(block_cache_new(1 << 20, &cache), 0);
    epoch_pin();
    struct cached_block *a =
        block_cache_insert(cache, 1, 0, make_data(cache, 1, 0, BLOCK), BLOCK, true);
    struct cached_block *b =
        block_cache_insert(cache, 1, 0, make_data(cache, 1, 0, BLOCK), BLOCK, true);
    ck_assert_ptr_eq(a, b);
    epoch_unpin();
    block_cache_free(cache);
}
END_TEST

START_TEST(forgets_a_file)
{
    struct block_cache *cache;

    ck_assert_int_eq(block_cache_new(16 << 20, &cache), 0);
    for (uint64_t i = 0; i < 2000; i++)
        touch(cache, 1 + i % 3, i, BLOCK);
    size_t before = bytes_of(cache);
    block_cache_forget_file(cache, 2);
    block_cache_forget_file(cache, 99);
    ck_assert_uint_lt(bytes_of(cache), before * 68 / 100);
    epoch_pin();
    for (uint64_t i = 0; i < 2000; i++)
        ck_assert_int_eq(block_cache_lookup(cache, 1 + i % 3, i) != NULL, i % 3 != 1);
    epoch_unpin();
    block_cache_forget_file(cache, 1);
    block_cache_forget_file(cache, 3);
    ck_assert_uint_eq(bytes_of(cache), 0);
    block_cache_free(cache);
    epoch_barrier();
}
END_TEST

// -------------------------------------------------------------------------- against an exact LRU

#define KEYS  20000
#define STEPS 120000

// Zipfian ranks by inversion of the cumulative distribution, scattered over the keys.
static uint32_t zipf(const double *cumulative, uint64_t *state)
{
    double u = (double)(rnd(state) & 0x3fffffff) / 0x40000000 * cumulative[KEYS - 1];
    uint32_t low = 0, high = KEYS - 1;

    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (cumulative[middle] < u)
            low = middle + 1;
        else
            high = middle;
    }
    return (uint32_t)((uint64_t)low * 7919 % KEYS);
}

// An exact LRU of `slots` keys: a ring of neighbours with a sentinel at KEYS.
struct exact_lru {
    uint32_t newer[KEYS + 1], older[KEYS + 1];
    bool present[KEYS];
    uint32_t count, slots;
};

static bool exact_touch(struct exact_lru *lru, uint32_t key)
{
    bool hit = lru->present[key];

    if (!hit && lru->count == lru->slots) {
        uint32_t victim = lru->newer[KEYS];
        lru->newer[lru->older[victim]] = lru->newer[victim];
        lru->older[lru->newer[victim]] = lru->older[victim];
        lru->present[victim] = false;
        lru->count--;
    }
    if (hit) {
        lru->newer[lru->older[key]] = lru->newer[key];
        lru->older[lru->newer[key]] = lru->older[key];
    } else {
        lru->present[key] = true;
        lru->count++;
    }
    lru->newer[key] = KEYS;
    lru->older[key] = lru->older[KEYS];
    lru->newer[lru->older[KEYS]] = key;
    lru->older[KEYS] = key;
    return hit;
}

START_TEST(hits_as_often_as_an_exact_lru)
{
    static const size_t capacities[] = {64 << 10, 256 << 10, 1 << 20, 4 << 20, 8 << 20, 32 << 20};
    static const double skews[] = {0.7, 0.99, 1.2};
    size_t capacity = capacities[_i % 6];
    double skew = skews[_i / 6 % 3];
    bool (*const read)(struct block_cache *, uint64_t, uint64_t, size_t) =
        _i < 18 ? touch : touch_admitted;
    double *cumulative = malloc(KEYS * sizeof(double)), sum = 0;
    struct exact_lru *lru = calloc(1, sizeof(*lru));
    struct block_cache *cache;
    uint64_t state = seed, hits = 0, exact_hits = 0;

    ck_assert_int_eq(block_cache_new(capacity, &cache), 0);
    touch(cache, 0, 0, BLOCK);
    lru->slots = (uint32_t)(capacity / bytes_of(cache)); // what an exact one would have room for
    lru->newer[KEYS] = lru->older[KEYS] = KEYS;
    for (int i = 0; i < KEYS; i++)
        cumulative[i] = sum += pow(i + 1, -skew);
    for (int i = 0; i < STEPS; i++) {
        uint32_t key = zipf(cumulative, &state);
        bool hit = read(cache, 1, key, BLOCK), exact = exact_touch(lru, key);
        if (i > STEPS / 4) {
            hits += hit;
            exact_hits += exact;
        }
    }
    double rate = 100.0 * (double)hits / (STEPS * 3 / 4);
    double exact_rate = 100.0 * (double)exact_hits / (STEPS * 3 / 4);
    printf("skew %.2f, %5zu KiB, %s: hit rate %.2f %%, exact LRU %.2f %%\n", skew, capacity >> 10,
           _i < 18 ? "all kept" : "admitted", rate, exact_rate);
    ck_assert_double_ge(rate, exact_rate - 1.0);
    block_cache_free(cache);
    epoch_barrier();
    free(lru);
    free(cumulative);
}
END_TEST

// --------------------------------------------------------------------------------------
// concurrency

#define THREADS 4
#define HELD    4

struct worker {
    struct block_cache *cache;
    uint64_t state;
};

static void *use_cache(void *arg)
{
    struct worker *w = arg;
    struct cached_block *held[HELD] = {NULL};
    uint64_t keys[HELD];

    for (int i = 0; i < 20000; i++) {
        uint64_t key = rnd(&w->state) % 600, file = 1 + key % 5;
        bool keep = rnd(&w->state) % 10 > 0;
        epoch_pin();
        struct cached_block *block = block_cache_lookup(w->cache, file, key);
        if (!block)
            block = block_cache_insert(w->cache, file, key, make_data(w->cache, file, key, BLOCK),
                                       BLOCK, keep);
        check_data(block, file, key);
        if (rnd(&w->state) % 8 == 0) {
            unsigned slot = rnd(&w->state) % HELD;
            if (held[slot]) {
                check_data(held[slot], 1 + keys[slot] % 5, keys[slot]);
                cached_block_unref(held[slot]);
            }
            cached_block_ref(block);
            held[slot] = block;
            keys[slot] = key;
        }
        check_data(block, file, key);
        epoch_unpin();
        if (i % 997 == 0)
            block_cache_forget_file(w->cache, 1 + rnd(&w->state) % 5);
        if (i % 64 == 0)
            bytes_of(w->cache);
    }
    for (int i = 0; i < HELD; i++) {
        if (held[i])
            cached_block_unref(held[i]);
    }
    return NULL;
}

START_TEST(many_threads)
{
    pthread_t threads[THREADS];
    struct worker workers[THREADS];
    struct block_cache_stats stats;
    struct block_cache *cache;

    ck_assert_int_eq(block_cache_new(_i ? 16 << 20 : 512 << 10, &cache), 0);
    for (int i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){cache, seed + (uint64_t)i};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, use_cache, &workers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    block_cache_stats(cache, &stats);
    ck_assert_uint_eq(stats.hits + stats.misses, THREADS * 20000);
    for (uint64_t file = 1; file <= 5; file++)
        block_cache_forget_file(cache, file);
    ck_assert_uint_eq(bytes_of(cache), 0);
    block_cache_free(cache);
    epoch_barrier();
}
END_TEST

int main(int argc, char **argv)
{
    Suite *suite = suite_create("block_cache");
    TCase *tc = tcase_create("block_cache");

    seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 99;
    printf("seed %llu\n", (unsigned long long)seed);
    tcase_set_timeout(tc, 300);
    tcase_add_test(tc, keeps_what_fits_and_counts);
    tcase_add_test(tc, admits_what_has_room_or_comes_again);
    tcase_add_loop_test(tc, stays_within_its_capacity_with_any_block_size, 0, 6);
    tcase_add_test(tc, blocks_not_kept_are_valid_while_pinned_or_referenced);
    tcase_add_test(tc, an_evicted_block_lives_while_referenced);
    tcase_add_test(tc, a_second_insert_returns_the_first_block);
    tcase_add_test(tc, forgets_a_file);
    tcase_add_loop_test(tc, hits_as_often_as_an_exact_lru, 0, 36);
    tcase_add_loop_test(tc, many_threads, 0, 2);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
