// The skip list: structure on all levels, hints, and inserts and reads from many threads at once.
#include "memtable/skiplist.h"

#include "quick_check.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/coding.h"

static uint64_t seed;

static uint64_t rnd(uint64_t *state, uint64_t below)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (*state >> 33) % below;
}

static void list_new(struct skiplist *list, struct arena *arena)
{
    ck_assert_int_eq(arena_init(arena, 64 << 10, NULL), 0);
    ck_assert_int_eq(skiplist_init(list, arena, arena), 0);
}

static void insert(struct skiplist *list, uint64_t number, struct memtable_hint *hint)
{
    uint8_t key[8], value[8];
    struct memtable_hint none = {.height = 0};

    put_big64(key, number);
    put_fixed64(value, ~number);
    struct entry entry = {slice_of(key, 8), tag_make(number + 1, ENTRY_PUT), slice_of(value, 8)};
    ck_assert_int_eq(skiplist_insert(list, &entry, hint ? hint : &none), 0);
}

static uint64_t number_of(const struct skiplist_node *node)
{
    uint64_t number = get_big64(skiplist_key(node).data);

    ck_assert_uint_eq(skiplist_key(node).size, 8);
    ck_assert_uint_eq(skiplist_value(node).size, 8);
    ck_assert_uint_eq(get_fixed64(skiplist_value(node).data), ~number);
    ck_assert_uint_eq(node->tag, tag_make(number + 1, ENTRY_PUT));
    return number;
}

static struct skiplist_node *seek(const struct skiplist *list, uint64_t number)
{
    uint8_t key[8];

    put_big64(key, number);
    return skiplist_seek(list, slice_of(key, 8), TAG_MAX);
}

// Every level must be strictly ascending and every node on it be on the level below too.
static void check_levels(const struct skiplist *list, uint64_t count)
{
    for (int level = 0; level < atomic_load(&list->height); level++) {
        struct skiplist_node *node = atomic_load(&list->head->next - level);
        struct skiplist_node *below = level ? atomic_load(&list->head->next - (level - 1)) : NULL;
        uint64_t nodes = 0;
        for (; node; node = atomic_load(&node->next - level), nodes++) {
            struct skiplist_node *next = atomic_load(&node->next - level);
            if (next)
                ck_assert_uint_lt(number_of(node), number_of(next));
            while (level && below != node) {
                ck_assert_ptr_nonnull(below);
                below = atomic_load(&below->next - (level - 1));
            }
        }
        if (level == 0)
            ck_assert_uint_eq(nodes, count);
    }
}

START_TEST(ascending_descending_and_mixed_runs_with_one_hint)
{
    enum { RUN = 500 };
    struct arena arena;
    struct skiplist list;
    struct memtable_hint hint = {.height = 0};

    list_new(&list, &arena);
    for (uint64_t i = 0; i < RUN; i++) // ascending
        insert(&list, 1000000 + i * 10, &hint);
    for (uint64_t i = RUN; i-- > 0;) // descending, between the others
        insert(&list, 1000000 + i * 10 + 5, &hint);
    for (uint64_t i = 0; i < RUN; i++) { // two interleaved runs, one before and one after all
        insert(&list, i, &hint);
        insert(&list, 2000000 + i, &hint);
    }
    for (uint64_t i = 0; i < RUN; i++) // some without the hint that comes next
        insert(&list, 3000000 + i, i % 3 ? &hint : NULL);
    check_levels(&list, 5 * RUN);
    ck_assert_uint_eq(number_of(skiplist_first(&list)), 0);
    ck_assert_uint_eq(number_of(skiplist_last(&list)), 3000000 + RUN - 1);
    ck_assert_uint_eq(number_of(seek(&list, 1000001)), 1000005);
    ck_assert_ptr_null(seek(&list, 4000000));
    arena_release(&arena);
}
END_TEST

START_TEST(a_failed_insert_changes_nothing)
{
    struct arena arena;
    struct skiplist list;
    struct memtable_hint hint = {.height = 0};
    uint8_t byte = 'x';

    list_new(&list, &arena);
    insert(&list, 1, &hint);
    struct memtable_hint before = hint;
    // No system has this much; the bytes are not touched before the allocation.
    struct entry entry = {slice_of(&byte, 1), 1, slice_of(&byte, SIZE_MAX / 2)};
    ck_assert_int_eq(skiplist_insert(&list, &entry, &hint), LSM_NO_MEMORY);
    ck_assert_mem_eq(&before, &hint, sizeof(hint));
    insert(&list, 2, &hint);
    check_levels(&list, 2);
    arena_release(&arena);
}
END_TEST

// --------------------------------------------------------------------------------------
// concurrency

#define WRITERS    4
#define READERS    2
#define PER_WRITER 6000

struct shared {
    struct skiplist list;
    _Atomic uint64_t done[WRITERS]; // inserts of each writer that have returned
    _Atomic int writing;
    int pattern;
};

struct worker {
    struct shared *shared;
    int id;
};

// Writer w's i-th number; each number belongs to one writer and can be computed by readers.
// Patterns: 0 spread all over, 1 interleaved ascending (all writers meet at one place), 2 runs.
static uint64_t number_at(int pattern, int writer, uint64_t i)
{
    uint64_t n = i * WRITERS + (uint64_t)writer;

    switch (pattern) {
    case 0:
        return (n * UINT64_C(0x9E3779B97F4A7C15)) >> 8; // odd factor: distinct before the shift
    case 1:
        return n;
    default:
        return (i / 100) * 1000000 + (uint64_t)writer * 1000 + i % 100;
    }
}

static void *write_numbers(void *arg)
{
    struct worker *w = arg;
    struct shared *s = w->shared;
    struct memtable_hint hint = {.height = 0};

    for (uint64_t i = 0; i < PER_WRITER; i++) {
        insert(&s->list, number_at(s->pattern, w->id, i), &hint);
        atomic_store_explicit(&s->done[w->id], i + 1, memory_order_release);
    }
    atomic_fetch_sub(&s->writing, 1);
    return NULL;
}

static void *read_numbers(void *arg)
{
    struct worker *w = arg;
    struct shared *s = w->shared;
    uint64_t random = seed + (uint64_t)w->id;

    do {
        int writer = (int)rnd(&random, WRITERS);
        uint64_t done = atomic_load_explicit(&s->done[writer], memory_order_acquire);
        if (done) {
            uint64_t number = number_at(s->pattern, writer, rnd(&random, done));
            struct skiplist_node *node = seek(&s->list, number);
            ck_assert_ptr_nonnull(node);
            ck_assert_uint_eq(number_of(node), number);
            for (int i = 0; i < 20 && (node = skiplist_next(node)) != NULL; i++) {
                ck_assert_uint_gt(number_of(node), number);
                number = number_of(node);
            }
            uint8_t key[8];
            put_big64(key, number);
            node = skiplist_seek_before(&s->list, slice_of(key, 8), TAG_MAX);
            ck_assert(!node || number_of(node) < number);
        }
    } while (atomic_load(&s->writing));
    return NULL;
}

START_TEST(concurrent_inserts_and_reads)
{
    struct arena arena;
    struct shared s = {.writing = WRITERS, .pattern = _i};
    pthread_t threads[WRITERS + READERS];
    struct worker workers[WRITERS + READERS];

    list_new(&s.list, &arena);
    for (int i = 0; i < WRITERS + READERS; i++) {
        workers[i] = (struct worker){&s, i};
        ck_assert_int_eq(pthread_create(&threads[i], NULL,
                                        i < WRITERS ? write_numbers : read_numbers, &workers[i]),
                         0);
    }
    for (int i = 0; i < WRITERS + READERS; i++)
        pthread_join(threads[i], NULL);
    check_levels(&s.list, WRITERS * PER_WRITER);
    for (int w = 0; w < WRITERS; w++) {
        for (uint64_t i = 0; i < PER_WRITER; i++) {
            uint64_t number = number_at(s.pattern, w, i);
            struct skiplist_node *node = seek(&s.list, number);
            ck_assert(node && number_of(node) == number);
        }
    }
    arena_release(&arena);
}
END_TEST

int main(int argc, char **argv)
{
    Suite *suite = suite_create("skiplist");
    TCase *tc = tcase_create("skiplist");

    seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 4711;
    printf("seed %llu\n", (unsigned long long)seed);
    tcase_set_timeout(tc, 300);
    tcase_add_test(tc, ascending_descending_and_mixed_runs_with_one_hint);
    tcase_add_test(tc, a_failed_insert_changes_nothing);
    tcase_add_loop_test(tc, concurrent_inserts_and_reads, 0, 3);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
