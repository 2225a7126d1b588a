// Reading ahead across requests: what the kernel is asked for, for walks and for jumps.
#include "unit/sst_util.h"

#include <stdio.h>

#include "sstable/sst_ahead.h"

#define DATA_END ((uint64_t)100 << 20)
#define BLOCK    3000u
#define LARGEST  ((uint64_t)512 << 10)
#define ENOUGH   4 // blocks before anything is asked for
#define NEAR_GAP 30000u
#define FAR_AWAY ((uint64_t)1 << 20)

static uint64_t seed = 1;

// The calls of `advise`.
static struct {
    uint64_t from, to; // of the last one
    uint64_t bytes;
    unsigned calls;
} asked;

static void note_advice(struct env_file *file, uint64_t offset, uint64_t size,
                        enum env_advice advice)
{
    (void)file;
    ck_assert_int_eq(advice, ENV_ADVISE_WILLNEED);
    ck_assert_uint_gt(size, 0);
    ck_assert_uint_le(offset + size, DATA_END);
    asked.from = offset;
    asked.to = offset + size;
    asked.bytes += size;
    asked.calls++;
}

static const struct env_ops ops = {.advise = note_advice};
static struct env_file file = {.ops = &ops};
static struct sst_ahead ahead;

static void setup(void)
{
    ahead = (struct sst_ahead){0};
    asked.from = asked.to = asked.bytes = asked.calls = 0;
}

// Reads a block; returns where it ends.
static uint64_t read_block(uint64_t begin)
{
    sst_ahead_note(&ahead, &file, begin, begin + BLOCK, DATA_END);
    return begin + BLOCK;
}

START_TEST(test_walk)
{
    uint64_t at = 12345;
    for (int i = 1; i < ENOUGH; i++)
        at = read_block(at);
    ck_assert_uint_eq(asked.calls, 0);
    uint64_t first = at;
    // From now on whatever is read was asked for before, but for the first block.
    at = read_block(at);
    ck_assert_uint_eq(asked.calls, 1);
    ck_assert_uint_eq(asked.from, at);
    while (at + BLOCK <= DATA_END) {
        ck_assert_uint_le(at + BLOCK, asked.to);
        ck_assert_uint_le(asked.to - at, 2 * LARGEST);
        at = read_block(at);
    }
    // Nothing twice, and as a whole.
    ck_assert_uint_eq(asked.bytes, DATA_END - first - BLOCK);
    ck_assert_uint_le(asked.calls, DATA_END / LARGEST + 8);
}
END_TEST

// Blocks in between were in the cache.
START_TEST(test_gaps)
{
    uint64_t at = 0;
    for (int i = 0; i < 100; i++) {
        ck_assert(i < ENOUGH || at + BLOCK <= asked.to);
        at = read_block(at) + NEAR_GAP;
    }
    ck_assert_uint_gt(asked.calls, 0);
}
END_TEST

START_TEST(test_jumps)
{
    struct random r = {seed};
    for (int i = 0; i < 10000; i++)
        read_block(random_below(&r, DATA_END / FAR_AWAY) * FAR_AWAY);
    ck_assert_uint_eq(asked.calls, 0);
    // Backward is no walk either.
    for (uint64_t at = FAR_AWAY; at >= BLOCK; at -= BLOCK)
        read_block(at - BLOCK);
    ck_assert_uint_eq(asked.calls, 0);
}
END_TEST

// As many walks as are told apart, in turn, while somebody else jumps.
START_TEST(test_together)
{
    uint64_t at[SST_AHEAD_STREAMS - 1];
    for (size_t s = 0; s < SST_AHEAD_STREAMS - 1; s++)
        at[s] = (s + 1) * 20 * FAR_AWAY;
    for (int i = 0; i < 1000; i++) {
        for (size_t s = 0; s < SST_AHEAD_STREAMS - 1; s++)
            at[s] = read_block(at[s]);
        read_block((uint64_t)(i % 7) * FAR_AWAY);
    }
    ck_assert_uint_ge(asked.bytes, (SST_AHEAD_STREAMS - 1) * (1000 - ENOUGH) * BLOCK);
    ck_assert_uint_le(asked.bytes, (SST_AHEAD_STREAMS - 1) * (1000 * BLOCK + 2 * LARGEST));
}
END_TEST

int main(int argc, char **argv)
{
    if (argc > 1)
        seed = strtoull(argv[1], NULL, 0);
    printf("seed %llu\n", (unsigned long long)seed);
    Suite *suite = suite_create("sst_ahead");
    TCase *tc = tcase_create("all");
    tcase_add_checked_fixture(tc, setup, NULL);
    tcase_add_test(tc, test_walk);
    tcase_add_test(tc, test_gaps);
    tcase_add_test(tc, test_jumps);
    tcase_add_test(tc, test_together);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
