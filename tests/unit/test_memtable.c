// The memtable: versions, deletes, iteration both ways against a sorted model, lifetime, limits.
#include "memtable/memtable.h"

#include "quick_check.h"
#include <stdio.h>
#include <stdlib.h>

#include "memtable/epoch.h"

static uint64_t random_state;

static uint64_t rnd(uint64_t below)
{
    random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (random_state >> 33) % below;
}

static void add(struct memtable *mt, const char *key, uint64_t seq, enum entry_type type,
                const char *value)
{
    ck_assert_int_eq(memtable_add(mt, slice_str(key), tag_make(seq, type), slice_str(value), NULL),
                     0);
}

static void expect(struct memtable *mt, const char *key, uint64_t seq, const char *value)
{
    uint64_t tag;
    struct slice got;
    bool found = memtable_get(mt, slice_str(key), seq, &tag, &got);

    ck_assert_int_eq(found, value != NULL);
    if (value)
        ck_assert(slice_equal(got, slice_str(value)));
}

START_TEST(get_finds_the_version_of_the_sequence)
{
    struct memtable *mt;

    ck_assert_int_eq(memtable_new(1 << 20, NULL, &mt), 0);
    add(mt, "k", 10, ENTRY_PUT, "ten");
    add(mt, "k", 30, ENTRY_DELETE, "");
    add(mt, "k", 20, ENTRY_PUT, "twenty");
    add(mt, "ka", 5, ENTRY_PUT, "other");
    add(mt, "", 7, ENTRY_PUT, "empty");
    expect(mt, "k", 9, NULL);
    expect(mt, "k", 10, "ten");
    expect(mt, "k", 19, "ten");
    expect(mt, "k", 29, "twenty");
    expect(mt, "ka", SEQUENCE_MAX, "other");
    expect(mt, "", 7, "empty");
    expect(mt, "j", SEQUENCE_MAX, NULL);
    expect(mt, "z", SEQUENCE_MAX, NULL);

    uint64_t tag;
    struct slice value;
    ck_assert(memtable_get(mt, slice_str("k"), SEQUENCE_MAX, &tag, &value));
    ck_assert_uint_eq(tag, tag_make(30, ENTRY_DELETE));
    ck_assert_uint_eq(value.size, 0);
    ck_assert_uint_eq(memtable_entries(mt), 5);
    ck_assert_uint_eq(memtable_deletes(mt), 1);
    memtable_unref(mt);
    epoch_barrier();
}
END_TEST

START_TEST(sizes_from_nothing_to_more_than_a_chunk)
{
    static uint8_t key[LSM_MAX_KEY];
    size_t size = 3 << 20;
    uint8_t *value = malloc(size);
    struct memtable *mt;
    uint64_t tag;
    struct slice got;

    ck_assert_ptr_nonnull(value);
    memset(value, 'v', size);
    memset(key, 0xff, sizeof(key));
    ck_assert_int_eq(memtable_new(64 << 10, NULL, &mt), 0);
    ck_assert_uint_le(memtable_bytes(mt), 64 << 10);
    ck_assert_int_eq(memtable_add(mt, slice_of(key, sizeof(key)), tag_make(1, ENTRY_PUT),
                                  slice_of(value, size), NULL),
                     0);
    ck_assert_int_eq(
        memtable_add(mt, slice_of(key, 1), tag_make(2, ENTRY_PUT), slice_of(NULL, 0), NULL), 0);
    ck_assert(memtable_get(mt, slice_of(key, sizeof(key)), 5, &tag, &got));
    ck_assert(slice_equal(got, slice_of(value, size)));
    ck_assert(memtable_get(mt, slice_of(key, 1), 5, &tag, &got));
    ck_assert_uint_eq(got.size, 0);
    ck_assert_uint_ge(memtable_bytes(mt), size);
    memtable_unref(mt);
    free(value);
}
END_TEST

// A zero byte and the end of a short key look the same in the node's key prefix.
START_TEST(short_keys_and_zero_bytes_are_told_apart)
{
    static const struct {
        const char *data;
        size_t size;
    } keys[] = {{"", 0},
                {"\0", 1},
                {"\0\0", 2},
                {"a", 1},
                {"a\0", 2},
                {"a\0\0", 3},
                {"a\0\0\0\0\0\0", 7},
                {"a\0\0\0\0\0\0\0", 8},
                {"a\0\0\0\0\0\0\0\0", 9},
                {"a\0\0\0\0\0\0\0\1", 9},
                {"a\0\0\0\0\0\1", 7},
                {"a\1", 2},
                {"\377", 1},
                {"\377\377\377\377\377\377\377\377", 8},
                {"\377\377\377\377\377\377\377\377\377", 9}};
    unsigned count = sizeof(keys) / sizeof(keys[0]);
    struct memtable *mt;
    struct iter *it;

    ck_assert_int_eq(memtable_new(1 << 20, NULL, &mt), 0);
    for (unsigned i = 0; i < count; i++) {
        unsigned k = (i * 7) % count;
        ck_assert_int_eq(memtable_add(mt, slice_of(keys[k].data, keys[k].size), tag_make(1, 1),
                                      slice_of(&k, sizeof(k)), NULL),
                         0);
    }
    ck_assert_int_eq(memtable_iter_new(mt, &it), 0);
    memtable_unref(mt); // the iterator's reference keeps it
    epoch_barrier();
    iter_seek_first(it);
    for (unsigned i = 0; i < count; i++) {
        ck_assert(it->valid);
        ck_assert(slice_equal(it->entry.key, slice_of(keys[i].data, keys[i].size)));
        iter_next(it);
    }
    ck_assert(!it->valid && it->status == 0);
    iter_free(it);
    epoch_barrier();
}
END_TEST

struct model_entry {
    uint8_t key[12];
    size_t key_size;
    uint64_t tag;
};

static int compare_model(const void *a, const void *b)
{
    const struct model_entry *x = a, *y = b;
    return entry_compare(slice_of(x->key, x->key_size), x->tag, slice_of(y->key, y->key_size),
                         y->tag);
}

static void check_at(const struct iter *it, const struct model_entry *model, long count, long at)
{
    bool in = at >= 0 && at < count;

    ck_assert_int_eq(it->valid, in);
    ck_assert_int_eq(it->status, 0);
    if (!in)
        return;
    ck_assert(slice_equal(it->entry.key, slice_of(model[at].key, model[at].key_size)));
    ck_assert_uint_eq(it->entry.tag, model[at].tag);
    ck_assert(slice_equal(it->entry.value, slice_of(&model[at].tag, sizeof(uint64_t))));
}

static void walk(struct iter *it, const struct model_entry *model, long count)
{
    long at = -1;

    for (int step = 0; step < 3000; step++) {
        uint64_t what = rnd(100);
        if (what < 2) {
            iter_seek_first(it);
            at = 0;
        } else if (what < 4) {
            iter_seek_last(it);
            at = count - 1;
        } else if (what < 30 || at < 0 || at >= count) {
            struct model_entry t = {.key_size = rnd(12), .tag = rnd(2) ? TAG_MAX : rnd(5000) << 8};
            for (size_t i = 0; i < t.key_size; i++)
                t.key[i] = (uint8_t)rnd(3);
            for (at = 0; at < count && compare_model(&model[at], &t) < 0; at++)
                ;
            if (rnd(2)) {
                iter_seek_before(it, slice_of(t.key, t.key_size), t.tag);
                at--;
            } else {
                iter_seek(it, slice_of(t.key, t.key_size), t.tag);
            }
        } else if (what < 65) {
            iter_next(it);
            at++;
        } else {
            iter_prev(it);
            at--;
        }
        check_at(it, model, count, at);
    }
}

START_TEST(a_random_memtable_agrees_with_a_sorted_array)
{
    enum { COUNT = 2000 };
    struct model_entry *model = calloc(COUNT, sizeof(*model));
    struct memtable_hint hint = {.height = 0};
    struct memtable *mt;
    struct iter *it;

    ck_assert_int_eq(memtable_new(64 << 10, NULL, &mt), 0);
    for (int i = 0; i < COUNT; i++) {
        struct model_entry *e = &model[i];
        e->key_size = rnd(sizeof(e->key));
        for (size_t k = 0; k < e->key_size; k++)
            e->key[k] = (uint8_t)rnd(3);
        e->tag = tag_make((uint64_t)i + 1, rnd(4) ? ENTRY_PUT : ENTRY_DELETE);
        ck_assert_int_eq(memtable_add(mt, slice_of(e->key, e->key_size), e->tag,
                                      slice_of(&e->tag, sizeof(e->tag)), &hint),
                         0);
    }
    qsort(model, COUNT, sizeof(*model), compare_model);
    ck_assert_int_eq(memtable_iter_new(mt, &it), 0);
    walk(it, model, COUNT);
    iter_free(it);
    memtable_unref(mt);
    free(model);
}
END_TEST

START_TEST(an_empty_memtable)
{
    struct memtable *mt;
    struct iter *it;
    uint64_t tag;
    struct slice value;

    ck_assert_int_eq(memtable_new(0, NULL, &mt), 0);
    ck_assert(!memtable_get(mt, slice_str("a"), SEQUENCE_MAX, &tag, &value));
    ck_assert_int_eq(memtable_iter_new(mt, &it), 0);
    iter_seek_first(it);
    ck_assert(!it->valid);
    iter_seek_last(it);
    ck_assert(!it->valid);
    iter_seek(it, slice_str("a"), TAG_MAX);
    ck_assert(!it->valid && it->status == 0);
    iter_free(it);
    iter_free(NULL);
    memtable_unref(mt);
    epoch_barrier();
}
END_TEST

int main(int argc, char **argv)
{
    Suite *suite = suite_create("memtable");
    TCase *tc = tcase_create("memtable");

    random_state = argc > 1 ? strtoull(argv[1], NULL, 0) : 20240607;
    printf("seed %llu\n", (unsigned long long)random_state);
    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, get_finds_the_version_of_the_sequence);
    tcase_add_test(tc, sizes_from_nothing_to_more_than_a_chunk);
    tcase_add_test(tc, short_keys_and_zero_bytes_are_told_apart);
    tcase_add_test(tc, a_random_memtable_agrees_with_a_sorted_array);
    tcase_add_test(tc, an_empty_memtable);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
