// The merge: random sources walked in random directions against a sorted array, failures of a
// source at every step, and which sources a step moves.
#include "compaction/merge_iter.h"

#include "quick_check.h"
#include <stdio.h>
#include <stdlib.h>

#include "lsm.h"

static uint64_t random_state;

static uint64_t rnd(uint64_t below)
{
    random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (random_state >> 33) % below;
}

struct item {
    char key[8];
    uint64_t tag;
    unsigned source;
};

static int compare_items(const void *a, const void *b)
{
    const struct item *x = a, *y = b;
    int c = entry_compare(slice_str(x->key), x->tag, slice_str(y->key), y->tag);
    return c ? c : (x->source > y->source) - (x->source < y->source);
}

// An iterator over a sorted array that can be told to fail.
struct array_iter {
    struct iter iter;
    const struct item *items;
    long count, at;
    unsigned moves;           // next and prev
    long fail_after;          // calls until one fails; <0: never
    const struct item *grown; // what the items become, one more at the front, after a search
};

static unsigned freed;

static void array_set(struct iter *it, long at)
{
    struct array_iter *a = (struct array_iter *)it;

    if (a->fail_after == 0) {
        it->valid = false;
        it->status = LSM_CORRUPTION;
        return;
    }
    if (a->fail_after > 0)
        a->fail_after--;
    a->at = at;
    it->status = 0;
    it->valid = at >= 0 && at < a->count;
    // Whatever is at hand when there is no entry must not be looked at.
    it->entry = (struct entry){{NULL, SIZE_MAX}, 0, {NULL, 0}};
    if (it->valid) {
        it->entry.key = slice_str(a->items[at].key);
        it->entry.tag = a->items[at].tag;
        it->entry.value = slice_of(&a->items[at].source, sizeof(unsigned));
    }
}

static long lower_bound(const struct item *items, long count, struct slice key, uint64_t tag)
{
    long at = 0;
    while (at < count && entry_compare(slice_str(items[at].key), items[at].tag, key, tag) < 0)
        at++;
    return at;
}

static void array_seek(struct iter *it, struct slice key, uint64_t tag)
{
    struct array_iter *a = (struct array_iter *)it;
    array_set(it, lower_bound(a->items, a->count, key, tag));
    if (a->grown) {
        a->items = a->grown;
        a->count++;
        a->at++;
    }
}

static void array_seek_before(struct iter *it, struct slice key, uint64_t tag)
{
    struct array_iter *a = (struct array_iter *)it;
    array_set(it, lower_bound(a->items, a->count, key, tag) - 1);
}

static void array_seek_first(struct iter *it)
{
    array_set(it, 0);
}

static void array_seek_last(struct iter *it)
{
    array_set(it, ((struct array_iter *)it)->count - 1);
}

static void array_next(struct iter *it)
{
    ck_assert(it->valid);
    ((struct array_iter *)it)->moves++;
    array_set(it, ((struct array_iter *)it)->at + 1);
}

static void array_prev(struct iter *it)
{
    ck_assert(it->valid);
    ((struct array_iter *)it)->moves++;
    array_set(it, ((struct array_iter *)it)->at - 1);
}

static void array_free(struct iter *it)
{
    free(it);
    freed++;
}

static const struct iter_ops array_ops = {array_seek,      array_seek_before, array_seek_first,
                                          array_seek_last, array_next,        array_prev,
                                          array_free};

static struct iter *array_new(const struct item *items, long count)
{
    struct array_iter *a = calloc(1, sizeof(*a));

    ck_assert_ptr_nonnull(a);
    a->iter.ops = &array_ops;
    a->items = items;
    a->count = count;
    a->fail_after = -1;
    return &a->iter;
}

#define SOURCES_MAX 12
#define ITEMS_MAX   40

struct world {
    struct item items[SOURCES_MAX][ITEMS_MAX];
    long counts[SOURCES_MAX];
    struct item all[SOURCES_MAX * ITEMS_MAX]; // sorted
    long total;
    struct iter *sources[SOURCES_MAX];
    unsigned count;
    struct iter *merge;
};

// `unique` false: sources may hold entries equal in key and tag.
static void world_make(struct world *w, unsigned count, bool unique)
{
    w->count = count;
    w->total = 0;
    for (unsigned s = 0; s < count; s++) {
        long n = (long)rnd(4) ? (long)rnd(ITEMS_MAX) : 0;
        w->counts[s] = 0;
        for (long i = 0; i < n; i++) {
            struct item item = {.source = s};
            snprintf(item.key, sizeof(item.key), "%03u", (unsigned)rnd(60));
            // A source holds an entry once; sources share them only if not unique.
            item.tag = (rnd(20) * SOURCES_MAX + (unique ? s : 0)) << 8 | 1;
            bool dup = false;
            for (long k = 0; k < w->counts[s]; k++)
                dup |= compare_items(&w->items[s][k], &item) == 0;
            if (dup)
                continue;
            w->items[s][w->counts[s]++] = item;
            w->all[w->total++] = item;
        }
        qsort(w->items[s], (size_t)w->counts[s], sizeof(struct item), compare_items);
        w->sources[s] = array_new(w->items[s], w->counts[s]);
    }
    qsort(w->all, (size_t)w->total, sizeof(struct item), compare_items);
    ck_assert_int_eq(merge_iter_new(w->sources, count, &w->merge), 0);
}

static void check_at(const struct world *w, long at)
{
    const struct iter *it = w->merge;
    bool in = at >= 0 && at < w->total;

    ck_assert_int_eq(it->valid, in);
    ck_assert_int_eq(it->status, 0);
    if (!in)
        return;
    ck_assert(slice_equal(it->entry.key, slice_str(w->all[at].key)));
    ck_assert_uint_eq(it->entry.tag, w->all[at].tag);
    ck_assert_mem_eq(it->entry.value.data, &w->all[at].source, sizeof(unsigned));
}

// One random movement; returns the new place. `bias` of 100 steps go forward.
static long move(struct world *w, long at, unsigned bias)
{
    uint64_t what = rnd(40);

    if (what == 0) {
        iter_seek_first(w->merge);
        return 0;
    }
    if (what == 1) {
        iter_seek_last(w->merge);
        return w->total - 1;
    }
    if (what <= 3 || at < 0 || at >= w->total) {
        char key[8];
        uint64_t tag = rnd(2) ? TAG_MAX : (rnd(20) * SOURCES_MAX) << 8 | 1;
        snprintf(key, sizeof(key), "%03u", (unsigned)rnd(62));
        at = lower_bound(w->all, w->total, slice_str(key), tag);
        if (rnd(2)) {
            iter_seek_before(w->merge, slice_str(key), tag);
            return at - 1;
        }
        iter_seek(w->merge, slice_str(key), tag);
        return at;
    }
    if (rnd(100) < bias) {
        iter_next(w->merge);
        return at + 1;
    }
    iter_prev(w->merge);
    return at - 1;
}

START_TEST(random_walks_agree_with_a_sorted_array)
{
    static struct world w;

    for (int round = 0; round < 300; round++) {
        world_make(&w, (unsigned)rnd(SOURCES_MAX + 1), _i == 0);
        unsigned bias = (unsigned[]){50, 90, 10}[round % 3];
        long at = -1;
        for (int step = 0; step < 300; step++) {
            at = move(&w, at, bias);
            check_at(&w, at);
        }
        iter_free(w.merge);
    }
}
END_TEST

START_TEST(whole_passes_both_ways)
{
    static struct world w;

    for (int round = 0; round < 200; round++) {
        world_make(&w, 1 + (unsigned)rnd(SOURCES_MAX), true);
        long at = 0;
        for (iter_seek_first(w.merge); at < w.total; iter_next(w.merge))
            check_at(&w, at++);
        check_at(&w, at);
        at = w.total - 1;
        for (iter_seek_last(w.merge); at >= 0; iter_prev(w.merge))
            check_at(&w, at--);
        check_at(&w, at);
        iter_free(w.merge);
    }
}
END_TEST

START_TEST(no_source_and_one_source)
{
    static const struct item items[] = {{"a", 1, 0}, {"b", 1, 0}};
    struct iter *source = array_new(items, 2), *it;

    ck_assert_int_eq(merge_iter_new(&source, 1, &it), 0);
    ck_assert_ptr_eq(it, source);
    iter_free(it);
    ck_assert_int_eq(merge_iter_new(NULL, 0, &it), 0);
    iter_seek_first(it);
    ck_assert(!it->valid && it->status == 0);
    iter_seek_last(it);
    ck_assert(!it->valid && it->status == 0);
    iter_seek(it, slice_str("a"), TAG_MAX);
    ck_assert(!it->valid && it->status == 0);
    iter_free(it);
}
END_TEST

START_TEST(frees_its_sources)
{
    static struct world w;

    world_make(&w, 7, true);
    freed = 0;
    iter_free(w.merge);
    ck_assert_uint_eq(freed, 7);
}
END_TEST

// Only the leader moves while it leads.
START_TEST(a_leading_source_moves_alone)
{
    static const struct item low[] = {{"a", 1, 0}, {"b", 1, 0}, {"c", 1, 0}, {"d", 1, 0}};
    static const struct item high[] = {{"x", 1, 1}, {"y", 1, 1}};
    struct iter *sources[2] = {array_new(high, 2), array_new(low, 4)}, *it;
    struct array_iter *high_iter = (struct array_iter *)sources[0];

    ck_assert_int_eq(merge_iter_new(sources, 2, &it), 0);
    iter_seek_first(it);
    for (int i = 0; i < 4; i++)
        iter_next(it);
    ck_assert(it->valid && slice_equal(it->entry.key, slice_str("x")));
    ck_assert_uint_eq(high_iter->moves, 0);
    iter_free(it);
}
END_TEST

// A source fails at its n-th call, for every n: the merge gives right entries until then, ends with
// the status, and works again when the source does.
START_TEST(a_failing_source_ends_the_merge)
{
    static struct world w;

    for (long call = 0; call < 200; call++) {
        world_make(&w, 2 + (unsigned)rnd(5), true);
        struct array_iter *bad = (struct array_iter *)w.sources[rnd(w.count)];
        bad->fail_after = call;
        long at = -1;
        for (int step = 0; step < 200; step++) {
            at = move(&w, at, 60);
            if (bad->iter.status < 0)
                break;
            check_at(&w, at);
        }
        if (bad->iter.status < 0) {
            ck_assert(!w.merge->valid);
            ck_assert_int_eq(w.merge->status, LSM_CORRUPTION);
            iter_seek_first(w.merge); // still failing
            ck_assert(!w.merge->valid && w.merge->status == LSM_CORRUPTION);
            bad->fail_after = -1;
            iter_seek_first(w.merge);
            check_at(&w, 0);
        }
        iter_free(w.merge);
    }
}
END_TEST

// Somebody adds to a source between the entry at which the merge turns and that source's next one:
// what is new is behind, for who goes back.
START_TEST(turning_passes_nothing_again)
{
    const struct item low[] = {{.key = "a", .tag = 1}, {.key = "b", .tag = 1}};
    const struct item high[] = {{.key = "bb", .tag = 9}, {.key = "c", .tag = 1}};
    struct iter *sources[2] = {array_new(low, 2), array_new(high + 1, 1)}, *it;
    struct array_iter *growing = (struct array_iter *)sources[1];

    ck_assert_int_eq(merge_iter_new(sources, 2, &it), 0);
    iter_seek(it, slice_str("b"), TAG_MAX);
    ck_assert(it->valid && slice_equal(it->entry.key, slice_str("b")));
    growing->grown = high;
    iter_prev(it);
    ck_assert(it->valid && slice_equal(it->entry.key, slice_str("a")));
    iter_free(it);
}
END_TEST

int main(int argc, char **argv)
{
    Suite *suite = suite_create("merge_iter");
    TCase *tc = tcase_create("merge_iter");

    random_state = argc > 1 ? strtoull(argv[1], NULL, 0) : 31337;
    printf("seed %llu\n", (unsigned long long)random_state);
    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, turning_passes_nothing_again);
    tcase_add_loop_test(tc, random_walks_agree_with_a_sorted_array, 0, 2);
    tcase_add_test(tc, whole_passes_both_ways);
    tcase_add_test(tc, no_source_and_one_source);
    tcase_add_test(tc, frees_its_sources);
    tcase_add_test(tc, a_leading_source_moves_alone);
    tcase_add_test(tc, a_failing_source_ends_the_merge);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
