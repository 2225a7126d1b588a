// File content as extents: random writes, truncations, holes and copies against a flat buffer, with
// background merging at random moments; fragmented files are merged; holes stay.
#include <fcntl.h>
#include <linux/falloc.h>
#include <unistd.h>

#include "base/hash.h"
#include "ns_util.h"

#define FILE_MAX (6u << 20)

static uint64_t seed;

static uint64_t next_random(void)
{
    seed += UINT64_C(0x9e3779b97f4a7c15);
    return hash64(&seed, sizeof seed);
}

static uint64_t pick(uint64_t below)
{
    return next_random() % below;
}

struct world {
    struct env *env;
    struct ns *ns;
    struct ns_inode *file;
};

static struct ns_options options_of(struct env *env)
{
    struct ns_options options;
    ns_options_init(&options);
    options.engine.env = env;
    options.engine.write_buffer_size = 1 << 20;
    options.engine.table_size = 256 << 10;
    options.engine.level_base_size = 1 << 20;
    options.cut_extents = 20;
    return options;
}

// With `calm` nothing is merged in the background before it is asked for.
static void world_open(struct world *w, bool calm)
{
    seed = from_env("LSM_SEED", (uint64_t)getpid());
    printf("seed %llu\n", (unsigned long long)seed);
    w->env = env_fault_new();
    struct ns_options options = options_of(w->env);
    if (calm)
        options.merge_delay_ms = 1000000;
    struct ns_cred cred = {0};
    ck_assert_int_eq(ns_open("/db", &options, &w->ns), 0);
    ck_assert_int_eq(
        ns_mknod(w->ns, &cred, ns_root(w->ns), "file", 4, S_IFREG | 0644, 0, &w->file, NULL), 0);
}

static void world_close(struct world *w)
{
    ns_inode_put(w->ns, w->file, 1);
    ck_assert_int_eq(ns_close(w->ns), 0);
    env_fault_free(w->env);
}

static void world_reopen(struct world *w)
{
    struct ns_options options = options_of(w->env);
    ns_inode_put(w->ns, w->file, 1);
    ck_assert_int_eq(ns_close(w->ns), 0);
    ck_assert_int_eq(ns_open("/db", &options, &w->ns), 0);
    ck_assert_int_eq(ns_lookup(w->ns, ns_root(w->ns), "file", 4, &w->file, NULL), 0);
}

static void fill(uint8_t *data, size_t size)
{
    uint64_t word = next_random();
    for (size_t i = 0; i < size; i++)
        data[i] = (uint8_t)(word >> (i % 8 * 8)) ^ (uint8_t)(i / 8);
}

static void expect_content(struct world *w, const uint8_t *want, size_t size, uint8_t *space)
{
    struct ns_attr attr;
    ck_assert_int_eq(ns_getattr(w->ns, w->file, &attr), 0);
    ck_assert_uint_eq(attr.size, size);
    ck_assert_int_eq(ns_read(w->ns, w->file, space, FILE_MAX, 0), (ssize_t)size);
    size_t same = 0;
    while (same < size && space[same] == want[same])
        same++;
    ck_assert_msg(same == size, "byte %zu of %zu is wrong", same, size);
    for (int k = 0; k < 20 && size; k++) {
        size_t from = pick(size), n = 1 + pick(9000);
        size_t got = from + n > size ? size - from : n;
        ck_assert_int_eq(ns_read(w->ns, w->file, space, n, from), (ssize_t)got);
        ck_assert_mem_eq(space, want + from, got);
    }
}

static void on_problem(void *arg, const char *problem)
{
    (void)arg;
    printf("check: %s\n", problem);
}

START_TEST(test_random)
{
    struct world w;
    world_open(&w, false);
    uint8_t *want = calloc(1, FILE_MAX), *space = malloc(FILE_MAX), *data = malloc(2 << 20);
    size_t size = 0;
    for (int i = 0; i < 600; i++) {
        size_t max = pick(4) ? 9000 : 1500000, n = 1 + pick(max), from = pick(FILE_MAX - n);
        switch (pick(12)) {
        case 0: { // truncate or extend
            struct ns_attr attr = {.size = pick(FILE_MAX)};
            ck_assert_int_eq(ns_setattr(w.ns, w.file, &attr, NS_SET_SIZE, NULL), 0);
            if (attr.size < size)
                memset(want + attr.size, 0, size - attr.size);
            size = attr.size;
            break;
        }
        case 1:
            ck_assert_int_eq(ns_test_fallocate(w.ns, w.file,
                                               FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, from, n),
                             0);
            memset(want + from, 0, from < size ? (from + n > size ? size - from : n) : 0);
            break;
        case 2: { // copy within the file
            size_t to = pick(FILE_MAX - n);
            if (from >= size || (from < to + n && to < from + n))
                break;
            n = from + n > size ? size - from : n;
            ck_assert_int_eq(ns_test_copy_range(w.ns, w.file, from, w.file, to, n), (ssize_t)n);
            memcpy(want + to, want + from, n);
            size = to + n > size ? to + n : size;
            break;
        }
        case 3:
            if (pick(8) == 0)
                ck_assert_int_eq(ns_wait_idle(w.ns), 0);
            break;
        case 4:
            if (pick(20) == 0)
                world_reopen(&w);
            break;
        default: // write, every other time at the end
            if (pick(2) && size + n <= FILE_MAX)
                from = size;
            fill(data, n);
            ck_assert_int_eq(ns_write(w.ns, w.file, data, n, from, 0, NULL), (ssize_t)n);
            memcpy(want + from, data, n);
            size = from + n > size ? from + n : size;
        }
        if (i % 50 == 0)
            expect_content(&w, want, size, space);
    }
    ck_assert_int_eq(ns_wait_idle(w.ns), 0);
    expect_content(&w, want, size, space);
    ck_assert_int_eq(ns_check(w.ns, on_problem, NULL, NULL), 0);
    free(want);
    free(space);
    free(data);
    world_close(&w);
}
END_TEST

// A file overwritten in short pieces is merged again; a hole in it stays one.
START_TEST(test_merged)
{
    struct world w;
    enum { SIZE = 4 << 20, HOLE = 1 << 20 };
    world_open(&w, true);
    uint8_t *want = calloc(1, SIZE), *space = malloc(FILE_MAX);
    fill(want, SIZE);
    ck_assert_int_eq(ns_write(w.ns, w.file, want, SIZE, 0, 0, NULL), SIZE);
    unsigned fresh = ns_test_count_keys(w.ns, KEY_EXTENT);
    for (int i = 0; i < 1500; i++) {
        size_t at = pick(SIZE / 4096) * 4096;
        fill(want + at, 4096);
        ck_assert_int_eq(ns_write(w.ns, w.file, want + at, 4096, at, 0, NULL), 4096);
    }
    ck_assert_int_eq(
        ns_test_fallocate(w.ns, w.file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, HOLE, 65536),
        0);
    memset(want + HOLE, 0, 65536);
    ck_assert_uint_gt(ns_test_count_keys(w.ns, KEY_EXTENT), 10 * fresh);
    struct ns_attr before, after;
    ck_assert_int_eq(ns_getattr(w.ns, w.file, &before), 0);
    ck_assert_int_eq(ns_wait_idle(w.ns), 0);
    ck_assert_uint_le(ns_test_count_keys(w.ns, KEY_EXTENT), fresh + 8);
    ck_assert_int_eq(ns_getattr(w.ns, w.file, &after), 0);
    ck_assert_mem_eq(&before, &after, sizeof before);
    ck_assert_int_eq(ns_seek(w.ns, w.file, 0, SEEK_HOLE), HOLE);
    ck_assert_int_eq(ns_seek(w.ns, w.file, HOLE, SEEK_DATA), HOLE + 65536);
    expect_content(&w, want, SIZE, space);
    ck_assert_int_eq(ns_check(w.ns, on_problem, NULL, NULL), 0);
    free(want);
    free(space);
    world_close(&w);
}
END_TEST

// Writes `count` pieces that do not touch, all over the file.
static size_t fill_sparsely(struct world *w, uint8_t *want, unsigned count)
{
    const size_t stride = FILE_MAX / count;
    memset(want, 0, FILE_MAX);
    for (size_t i = 0; i < count; i++) {
        fill(want + i * stride, 100);
        ck_assert_int_eq(ns_write(w->ns, w->file, want + i * stride, 100, i * stride, 0, NULL),
                         100);
    }
    return (count - 1) * stride + 100;
}

static void truncate_file(struct world *w, uint8_t *want, size_t *size, size_t to)
{
    struct ns_attr attr = {.size = to}, after;
    ck_assert_int_eq(ns_setattr(w->ns, w->file, &attr, NS_SET_SIZE, &after), 0);
    ck_assert_uint_le(after.blocks * 512, to + 4096);
    if (to < *size)
        memset(want + to, 0, *size - to);
    *size = to;
}

// What a truncation leaves to the background never shows: not after growing again in one way or
// another, nor after a shorter truncation, a remount in the middle or a look at the store that
// must not change it.
START_TEST(test_tail)
{
    struct world w;
    world_open(&w, false);
    uint8_t *want = calloc(1, FILE_MAX), *space = malloc(FILE_MAX);
    for (int round = 0; round < 12; round++) {
        size_t size = fill_sparsely(&w, want, 3000);
        truncate_file(&w, want, &size, pick(4) ? pick(size) : 0);
        if (pick(2))
            truncate_file(&w, want, &size, pick(size + 1));
        if (pick(2))
            world_reopen(&w);
        if (pick(2)) {
            struct ns_options options = options_of(w.env);
            options.engine.read_only = true;
            ns_inode_put(w.ns, w.file, 1);
            ck_assert_int_eq(ns_close(w.ns), 0);
            ck_assert_int_eq(ns_open("/db", &options, &w.ns), 0);
            ck_assert_int_eq(ns_check(w.ns, on_problem, NULL, NULL), 0);
            ck_assert_int_eq(ns_lookup(w.ns, ns_root(w.ns), "file", 4, &w.file, NULL), 0);
            expect_content(&w, want, size, space);
            world_reopen(&w);
        }
        if (pick(2)) {
            truncate_file(&w, want, &size, FILE_MAX / 2 + pick(FILE_MAX / 2));
        } else {
            size_t at = size + pick(FILE_MAX - size - 5000);
            fill(want + at, 5000);
            ck_assert_int_eq(ns_write(w.ns, w.file, want + at, 5000, at, 0, NULL), 5000);
            size = at + 5000;
        }
        expect_content(&w, want, size, space);
        ck_assert_int_eq(ns_check(w.ns, on_problem, NULL, NULL), 0);
        if (pick(3) == 0) { // a file that is removed with its tail
            truncate_file(&w, want, &size, 0);
            ns_inode_put(w.ns, w.file, 1);
            struct ns_cred cred = {0};
            ck_assert_int_eq(ns_unlink(w.ns, ns_root(w.ns), "file", 4), 0);
            ck_assert_int_eq(ns_check(w.ns, on_problem, NULL, NULL), 0);
            ck_assert_uint_eq(ns_test_count_keys(w.ns, KEY_EXTENT), 0);
            ck_assert_int_eq(
                ns_mknod(w.ns, &cred, ns_root(w.ns), "file", 4, S_IFREG | 0644, 0, &w.file, NULL),
                0);
        } else {
            truncate_file(&w, want, &size, 0);
        }
    }
    free(want);
    free(space);
    world_close(&w);
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("file data");
    tcase_add_test(tc, test_random);
    tcase_add_test(tc, test_merged);
    tcase_add_test(tc, test_tail);
    return run_case("file data", tc, 300);
}
