// The slab: blocks do not overlap, keep what is in them, come back, outlive the slab's owner.
#include "memory/slab.h"

#include "from_env.h"
#include "quick_check.h"
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t rnd(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *state >> 33;
}

START_TEST(blocks_are_as_large_as_asked_and_little_larger)
{
    for (size_t size = 1; size < 70000; size += 1 + size / 1000) {
        size_t block = slab_block_size(size);
        ck_assert_uint_ge(block, size);
        ck_assert_uint_eq(block % 64, 0);
        if (size > 640)
            ck_assert_uint_le(block, size + size / 8 + 64);
    }
#ifndef __SANITIZE_ADDRESS__
    ck_assert_uint_eq(slab_block_size(4096 + 64), 4096 + 64);
#endif
}
END_TEST

#define HELD 3000

struct held {
    uint8_t *block;
    size_t size;
    uint8_t mark;
};

// Every byte of every block keeps its mark while others come and go.
static void use(struct slab *slab, uint64_t seed, int rounds)
{
    struct held *held = calloc(HELD, sizeof(*held));
    ck_assert_ptr_nonnull(held);
    for (int i = 0; i < rounds; i++) {
        struct held *h = &held[rnd(&seed) % HELD];
        if (h->block) {
            ck_assert_uint_eq(h->block[0], h->mark);
            ck_assert_int_eq(memcmp(h->block, h->block + 1, h->size - 1), 0);
            slab_dealloc(h->block, h->size);
        }
        h->size = 1 + rnd(&seed) % (rnd(&seed) % 16 ? 6000 : 40000);
        h->mark = (uint8_t)rnd(&seed);
        h->block = slab_alloc(slab, h->size);
        ck_assert_ptr_nonnull(h->block);
        ck_assert_uint_eq((uintptr_t)h->block % 64, 0);
        memset(h->block, h->mark, h->size);
    }
    for (int i = 0; i < HELD; i++)
        slab_dealloc(held[i].block, held[i].size);
    free(held);
}

START_TEST(random_sizes_keep_their_bytes)
{
    struct slab *slab;
    uint64_t seed = from_env("LSM_SEED", 1);
    printf("seed %llu\n", (unsigned long long)seed);
    ck_assert_int_eq(slab_new(false, &slab), 0);
    use(slab, seed, 8000);
    slab_free(slab);
}
END_TEST

START_TEST(freed_memory_is_used_again)
{
    struct slab *slab;
    void *blocks[400];
    ck_assert_int_eq(slab_new(true, &slab), 0);
    for (int round = 0; round < 200; round++) { // 200 times 1.6 MB, were it not
        for (int i = 0; i < 400; i++) {
            blocks[i] = slab_alloc(slab, 4000);
            ck_assert_ptr_nonnull(blocks[i]);
#ifndef __SANITIZE_ADDRESS__
            ck_assert_uint_eq((uintptr_t)blocks[i] >> 21, (uintptr_t)blocks[0] >> 21);
#endif
        }
        for (int i = 0; i < 400; i++)
            slab_dealloc(blocks[(i * 7) % 400], 4000);
    }
    slab_free(slab);
}
END_TEST

START_TEST(blocks_outlive_the_owner)
{
    struct slab *slab;
    ck_assert_int_eq(slab_new(true, &slab), 0);
    uint8_t *small = slab_alloc(slab, 1000), *large = slab_alloc(slab, 100000);
    slab_dealloc(slab_alloc(slab, 3000), 3000); // leaves an empty chunk
    ck_assert(small && large);
    slab_free(slab);
    memset(small, 1, 1000);
    memset(large, 1, 100000);
    slab_dealloc(small, 1000);
    slab_dealloc(large, 100000);
    slab_free(NULL);
    slab_dealloc(NULL, 10);
}
END_TEST

static void *use_in_thread(void *arg)
{
    use(arg, (uint64_t)pthread_self(), 3000);
    return NULL;
}

START_TEST(threads_share_a_slab)
{
    struct slab *slab;
    pthread_t threads[4];
    ck_assert_int_eq(slab_new(false, &slab), 0);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, use_in_thread, slab), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    slab_free(slab);
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("slab");
    tcase_add_test(tc, blocks_are_as_large_as_asked_and_little_larger);
    tcase_add_test(tc, random_sizes_keep_their_bytes);
    tcase_add_test(tc, freed_memory_is_used_again);
    tcase_add_test(tc, blocks_outlive_the_owner);
    tcase_add_test(tc, threads_share_a_slab);
    return run_case("slab", tc, 120);
}
