// The arena: alignment, distinct memory, many threads, requests larger than a chunk, the pool.
#include "quick_check.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "memory/arena.h"

START_TEST(test_alignment_and_bytes)
{
    struct arena arena;
    ck_assert_int_eq(arena_init(&arena, 65536, NULL), 0);
    ck_assert_uint_eq(arena_bytes(&arena), 65536);
    for (size_t size = 0; size < 300; size++) {
        char *p = arena_alloc(&arena, size);
        ck_assert_ptr_nonnull(p);
        ck_assert_uint_eq((uintptr_t)p % 8, 0);
        memset(p, 1, size);
    }
    ck_assert_uint_eq(arena_bytes(&arena), 65536);
    // Beyond a quarter of a chunk: room of its own, the current chunk stays.
    char *large = arena_alloc(&arena, 1 << 20);
    ck_assert_ptr_nonnull(large);
    memset(large, 2, 1 << 20);
    ck_assert_uint_ge(arena_bytes(&arena), 65536 + (1 << 20));
    size_t bytes = arena_bytes(&arena);
    ck_assert_ptr_nonnull(arena_alloc(&arena, 100));
    ck_assert_uint_eq(arena_bytes(&arena), bytes);
    ck_assert_ptr_null(arena_alloc(&arena, SIZE_MAX));
    ck_assert_ptr_null(arena_alloc(&arena, SIZE_MAX / 2));
    ck_assert_ptr_nonnull(arena_alloc(&arena, 100));
    arena_release(&arena);
}
END_TEST

START_TEST(test_huge_page_chunks)
{
    struct arena arena;
    ck_assert_int_eq(arena_init(&arena, 4 << 20, NULL), 0);
    for (int i = 0; i < 1000; i++) {
        char *p = arena_alloc(&arena, 10000);
        ck_assert_ptr_nonnull(p);
        p[0] = p[9999] = 1;
    }
    ck_assert_uint_ge(arena_bytes(&arena), 10000000);
    ck_assert_uint_le(arena_bytes(&arena), 16 << 20);
    arena_release(&arena);
}
END_TEST

// Nobody else has the pool.
static size_t kept_by(const struct arena_pool *pool) NOT_CHECKED
{
    return pool->bytes;
}

// What an arena leaves is what the next one gets, up to the limit; a chunk of another size is not
// kept.
START_TEST(test_pool)
{
    const size_t size = 64 << 10;
    struct arena_pool pool;
    struct arena arena;
    arena_pool_init(&pool, 3 * size);
    ck_assert_int_eq(arena_init(&arena, size, &pool), 0);
    for (int i = 0; i < 40; i++) // five chunks
        ck_assert_ptr_nonnull(memset(arena_alloc(&arena, 8000), 1, 8000));
    ck_assert_ptr_nonnull(arena_alloc(&arena, 5 * size));
    ck_assert_uint_gt(arena_bytes(&arena), 10 * size);
    size_t kept = pool.limit; // none under AddressSanitizer
    arena_release(&arena);
    ck_assert_uint_eq(kept_by(&pool), kept);

    ck_assert_int_eq(arena_init(&arena, size, &pool), 0);
    ck_assert_uint_eq(arena_bytes(&arena), size);
    ck_assert_uint_eq(kept_by(&pool), kept ? kept - size : 0);
    for (int i = 0; i < 40; i++) {
        ck_assert_ptr_nonnull(memset(arena_alloc(&arena, 8000), 2, 8000));
        ck_assert_uint_le(kept_by(&pool), kept);
    }
    ck_assert_uint_eq(kept_by(&pool), 0);

    struct arena other; // of another size: its chunks go back to the system
    ck_assert_int_eq(arena_init(&other, 2 * size, &pool), 0);
    arena_release(&arena);
    arena_release(&other);
    ck_assert_uint_eq(kept_by(&pool), kept);
    arena_pool_trim(&pool);
    ck_assert_uint_eq(kept_by(&pool), 0);
    ck_assert_int_eq(arena_init(&arena, size, &pool), 0);
    arena_release(&arena);
    arena_pool_free(&pool);
}
END_TEST

#define THREADS 4
#define EACH    20000

struct worker {
    struct arena *arena;
    uint64_t id;
    uint64_t **blocks;
};

static size_t words_of(uint64_t i)
{
    return i % 997 == 0 ? 600 : 1 + i % 13;
}

static void *work(void *arg)
{
    struct worker *worker = arg;
    for (uint64_t i = 0; i < EACH; i++) {
        uint64_t *p = arena_alloc(worker->arena, words_of(i) * 8);
        if (!p)
            return NULL;
        for (size_t k = 0; k < words_of(i); k++)
            p[k] = worker->id << 32 | i;
        worker->blocks[i] = p;
    }
    return worker;
}

static void run_threads(struct arena_pool *pool)
{
    struct arena arena;
    struct worker workers[THREADS];
    pthread_t threads[THREADS];
    ck_assert_int_eq(arena_init(&arena, 8192, pool), 0);
    for (uint64_t t = 0; t < THREADS; t++) {
        workers[t] = (struct worker){&arena, t, calloc(EACH, sizeof(uint64_t *))};
        ck_assert_ptr_nonnull(workers[t].blocks);
        ck_assert_int_eq(pthread_create(&threads[t], NULL, work, &workers[t]), 0);
    }
    for (uint64_t t = 0; t < THREADS; t++) {
        void *result;
        pthread_join(threads[t], &result);
        ck_assert_ptr_nonnull(result);
    }
    for (uint64_t t = 0; t < THREADS; t++) {
        for (uint64_t i = 0; i < EACH; i++) {
            for (size_t k = 0; k < words_of(i); k++)
                ck_assert(workers[t].blocks[i][k] == (t << 32 | i));
        }
        free(workers[t].blocks);
    }
    arena_release(&arena);
}

START_TEST(test_threads)
{
    struct arena_pool pool;
    arena_pool_init(&pool, 4 << 20);
    run_threads(&pool);
    run_threads(&pool); // in what the first left
    arena_pool_free(&pool);
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("all");
    tcase_add_test(tc, test_alignment_and_bytes);
    tcase_add_test(tc, test_huge_page_chunks);
    tcase_add_test(tc, test_pool);
    tcase_add_test(tc, test_threads);
    return run_case("arena", tc, 120);
}
