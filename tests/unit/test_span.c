// Spans: they do not overlap, keep what is in them, come back, share chunks.
#include "memory/span.h"

#include "from_env.h"
#include "quick_check.h"
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HELD 60

struct held {
    uint8_t *span;
    size_t size;
    uint8_t mark;
};

static uint64_t rnd(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *state >> 33;
}

static void let_go(struct held *h)
{
    for (size_t i = 0; h->span && i < h->size; i += i < 64 ? 1 : 1021)
        ck_assert_uint_eq(h->span[i], h->mark);
    ck_assert(!h->span || h->span[h->size - 1] == h->mark);
    span_free(h->span, h->size);
    h->span = NULL;
}

// Every byte looked at keeps its mark while others come and go.
static void use(uint64_t seed, int rounds)
{
    static const size_t most[] = {100, 20 << 10, 500 << 10, 2 << 20, 3 << 20};
    struct held held[HELD] = {{0}};
    for (int i = 0; i < rounds; i++) {
        struct held *h = &held[rnd(&seed) % HELD];
        let_go(h);
        h->size = 1 + rnd(&seed) % most[rnd(&seed) % 5];
        h->mark = (uint8_t)rnd(&seed);
        h->span = span_alloc(h->size);
        ck_assert_ptr_nonnull(h->span);
        ck_assert_uint_eq((uintptr_t)h->span % 64, 0);
        memset(h->span, h->mark, h->size);
    }
    for (int i = 0; i < HELD; i++)
        let_go(&held[i]);
}

START_TEST(random_sizes_keep_their_bytes)
{
    uint64_t seed = from_env("LSM_SEED", 1);
    printf("seed %llu\n", (unsigned long long)seed);
    use(seed, 500);
    span_free(NULL, 5);
}
END_TEST

#if !ASAN_BUILD
static uintptr_t page_of(const void *span)
{
    return (uintptr_t)span / HUGE_PAGE;
}

START_TEST(neighbours_share_a_huge_page)
{
    const size_t size = 500 << 10; // 16 of 64 units
    void *spans[4], *whole, *other;
    for (int i = 0; i < 4; i++) {
        spans[i] = span_alloc(size);
        ck_assert_uint_eq(page_of(spans[i]), page_of(spans[0]));
    }
    whole = span_alloc(HUGE_PAGE); // exactly one
    ck_assert_uint_eq((uintptr_t)whole % HUGE_PAGE, 0);
    span_free(spans[1], size);
    other = span_alloc(size + (32 << 10)); // does not fit the gap
    ck_assert_uint_ne(page_of(other), page_of(spans[0]));
    ck_assert_uint_ne(page_of(other), page_of(whole));
    void *again = span_alloc(size);
    ck_assert_ptr_eq(again, spans[1]);
    span_free(again, size);
    span_free(spans[2], size); // two gaps become one
    again = span_alloc(2 * size);
    ck_assert_ptr_eq(again, spans[1]);
    span_free(again, 2 * size);
    span_free(other, size + (32 << 10));
    span_free(whole, HUGE_PAGE);
    span_free(spans[0], size);
    span_free(spans[3], size);
}
END_TEST
#endif

static void *use_in_thread(void *arg)
{
    use((uint64_t)(uintptr_t)arg, 150);
    return NULL;
}

START_TEST(threads_share_the_chunks)
{
    pthread_t threads[4];
    for (uintptr_t i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, use_in_thread, (void *)(i + 2)), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("span");
    TCase *tc = tcase_create("span");
    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, random_sizes_keep_their_bytes);
#if !ASAN_BUILD
    tcase_add_test(tc, neighbours_share_a_huge_page);
#endif
    tcase_add_test(tc, threads_share_the_chunks);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
