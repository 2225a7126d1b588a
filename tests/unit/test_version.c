// file_meta, file names, and versions: random edits against a plain model.
#include "version/store_files.h"
#include "version/version.h"
#include "version_util.h"

static unsigned hook_calls;

static void count_hook(struct file_meta *file, void *owner)
{
    ck_assert_ptr_eq(owner, &hook_calls);
    ck_assert_uint_eq(file->number, 7);
    hook_calls++;
}

START_TEST(test_file_meta_last_reference_calls_the_hook)
{
    hook_calls = 0;
    struct file_meta *file = make_file(7, 1, 9, 100, 5);
    file->on_last_unref = count_hook;
    file->owner = &hook_calls;
    ck_assert_uint_eq(get_big64(file->smallest.data), 1);
    ck_assert_uint_eq(get_big64(file->largest.data), 9);
    file_meta_ref(file);
    file_meta_unref(file);
    ck_assert_uint_eq(hook_calls, 0);
    file_meta_unref(file);
    ck_assert_uint_eq(hook_calls, 1);
}
END_TEST

START_TEST(test_tombstone_heavy)
{
    struct file_meta *file = make_file(7, 1, 10, 100, 5);
    file->deletes = 5;
    ck_assert(!file_meta_tombstone_heavy(file));
    file->deletes = 6;
    ck_assert(file_meta_tombstone_heavy(file));
    file_meta_unref(file);
}
END_TEST

START_TEST(test_names_round_trip)
{
    static const struct {
        enum store_file kind;
        uint64_t number;
        const char *name;
    } cases[] = {
        {STORE_TABLE, 1, "000001.sst"},
        {STORE_LOG, 999999, "999999.log"},
        {STORE_TABLE, 1000000, "1000000.sst"},
        {STORE_MANIFEST, 5, "MANIFEST-000005"},
        {STORE_CURRENT, 0, "CURRENT"},
        {STORE_LOCK, 0, "LOCK"},
        {STORE_TEMP, 3, "000003.tmp"},
        {STORE_RECYCLED, 12, "000012.old"},
        {STORE_TABLE, UINT64_MAX, "18446744073709551615.sst"},
    };
    char name[STORE_NAME_MAX];
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint64_t number;
        store_file_name(name, cases[i].kind, cases[i].number);
        ck_assert_str_eq(name, cases[i].name);
        ck_assert_int_eq((int)store_file_parse(name, &number), (int)cases[i].kind);
        ck_assert_uint_eq(number, cases[i].number);
    }
}
END_TEST

START_TEST(test_names_that_are_not_ours)
{
    static const char *const names[] = {"",
                                        ".",
                                        "..",
                                        "1.sst",
                                        "0000001.sst",
                                        "00000a.sst",
                                        "000001.sst2",
                                        ".sst",
                                        "-00001.sst",
                                        "000001",
                                        "MANIFEST-",
                                        "MANIFEST-5",
                                        "MANIFEST-0000005",
                                        "current",
                                        "LOCK2",
                                        "000001.LOG",
                                        "18446744073709551616.sst",
                                        "MANIFEST-000005.bak",
                                        "lost",
                                        " 00001.sst",
                                        "+00001.sst"};
    uint64_t number;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        ck_assert_msg(store_file_parse(names[i], &number) == STORE_UNKNOWN, "%s", names[i]);
    ck_assert_int_eq((int)store_file_parse("CURRENT.tmp", &number), (int)STORE_TEMP);
    ck_assert_uint_eq(number, 0);
}
END_TEST

static struct version *apply(const struct version *base, struct version_edit *edit)
{
    struct version *version = NULL;
    ck_assert_int_eq(version_apply(base, edit, &version), 0);
    version_edit_release(edit);
    return version;
}

static struct version *empty_version(void)
{
    struct version *version;
    ck_assert_int_eq(version_new(&version), 0);
    return version;
}

START_TEST(test_level_0_is_newest_first)
{
    struct version *empty = empty_version();
    struct version_edit edit = {0};
    edit_add_new(&edit, 0, make_file(1, 0, 9, 10, 100));
    edit_add_new(&edit, 0, make_file(2, 0, 9, 10, 300));
    edit_add_new(&edit, 0, make_file(3, 5, 9, 10, 200));
    edit_add_new(&edit, 0, make_file(4, 5, 9, 10, 200));
    struct version *v = apply(empty, &edit);
    static const uint64_t wanted[] = {2, 4, 3, 1};
    for (unsigned i = 0; i < 4; i++)
        ck_assert_uint_eq(v->levels[0].files[i]->number, wanted[i]);
    ck_assert_uint_eq(version_bytes(v), 40);
    ck_assert_uint_eq(version_files(v), 4);
    version_unref(v);
    version_unref(empty);
}
END_TEST

START_TEST(test_bad_edits_are_refused)
{
    struct version *empty = empty_version(), *other = NULL;
    struct version_edit edit = {0};
    edit_add_new(&edit, 1, make_file(1, 0, 9, 10, 1));
    edit_add_new(&edit, 1, make_file(2, 20, 29, 10, 1));
    struct version *v = apply(empty, &edit);

    ck_assert_int_eq(version_edit_remove(&edit, 1, 3), 0); // not there
    ck_assert_int_eq(version_apply(v, &edit, &other), LSM_CORRUPTION);
    version_edit_release(&edit);
    ck_assert_int_eq(version_edit_remove(&edit, 2, 1), 0); // at another level
    ck_assert_int_eq(version_apply(v, &edit, &other), LSM_CORRUPTION);
    version_edit_release(&edit);
    ck_assert_int_eq(version_edit_remove(&edit, 1, 1), 0); // twice
    ck_assert_int_eq(version_edit_remove(&edit, 1, 1), 0);
    ck_assert_int_eq(version_apply(v, &edit, &other), LSM_CORRUPTION);
    version_edit_release(&edit);
    edit_add_new(&edit, 3, make_file(1, 50, 59, 10, 1)); // there already
    ck_assert_int_eq(version_apply(v, &edit, &other), LSM_CORRUPTION);
    version_edit_release(&edit);
    edit_add_new(&edit, 3, make_file(5, 50, 59, 10, 1)); // added twice
    edit_add_new(&edit, 4, make_file(5, 50, 59, 10, 1));
    ck_assert_int_eq(version_apply(v, &edit, &other), LSM_CORRUPTION);
    version_edit_release(&edit);
    static const uint64_t overlaps[][2] = {{5, 6}, {9, 12}, {15, 20}, {0, 40}, {10, 20}, {29, 30}};
    for (size_t i = 0; i < sizeof(overlaps) / sizeof(overlaps[0]); i++) {
        edit_add_new(&edit, 1, make_file(6, overlaps[i][0], overlaps[i][1], 10, 1));
        ck_assert_int_eq(version_apply(v, &edit, &other), LSM_CORRUPTION);
        version_edit_release(&edit);
    }
    ck_assert_ptr_null(other);
    edit_add_new(&edit, 1, make_file(6, 10, 19, 10, 1)); // fits exactly
    other = apply(v, &edit);
    ck_assert_uint_eq(other->levels[1].count, 3);
    version_unref(other);
    version_unref(v);
    version_unref(empty);
}
END_TEST

START_TEST(test_one_key_in_two_tables)
{
    struct version *empty = empty_version();
    struct version_edit edit = {0};
    edit_add_new(&edit, 2, make_file(1, 0, 9, 10, 50));
    edit_add_new(&edit, 2, make_file(2, 9, 20, 10, 40)); // older versions of 9
    struct version *v = apply(empty, &edit);
    ck_assert(version_next_shares(&v->levels[2], 0));
    ck_assert(!version_next_shares(&v->levels[2], 1));
    uint8_t key[8];
    put_big64(key, 9);
    ck_assert_uint_eq(version_find(&v->levels[2], slice_of(key, 8)), 0);
    version_unref(v);
    version_unref(empty);
}
END_TEST

// Keys that their first 8 bytes past what all share do not tell apart.
START_TEST(test_find_among_like_keys)
{
    struct version *empty = empty_version();
    struct version_edit edit = {0};
    char key[64];
    const unsigned tables = 60;
    for (unsigned i = 0; i < tables; i++) { // 20 in a row differ after "x/0abcdefgh" only
        size_t size = (size_t)sprintf(key, "x/%uabcdefghijkl%04u", i / 20, i * 10);
        char end[64];
        size_t end_size = (size_t)sprintf(end, "x/%uabcdefghijkl%04u", i / 20, i * 10 + 5);
        struct file_meta *file = file_meta_new(slice_of(key, size), slice_of(end, end_size));
        file->number = i + 1;
        file->entries = 10;
        edit_add_new(&edit, 2, file);
    }
    struct version *v = apply(empty, &edit);
    for (unsigned i = 0; i < tables; i++)
        for (unsigned k = 0; k < 10; k++) {
            size_t size = (size_t)sprintf(key, "x/%uabcdefghijkl%04u", i / 20, i * 10 + k);
            ck_assert_uint_eq(version_find(&v->levels[2], slice_of(key, size)), k <= 5 ? i : i + 1);
        }
    ck_assert_uint_eq(version_find(&v->levels[2], slice_str("x")), 0);
    ck_assert_uint_eq(version_find(&v->levels[2], slice_str("x/")), 0);
    ck_assert_uint_eq(version_find(&v->levels[2], slice_str("x/1")), 20);
    ck_assert_uint_eq(version_find(&v->levels[2], slice_str("x/9")), tables);
    ck_assert_uint_eq(version_find(&v->levels[2], slice_str("y")), tables);
    version_unref(v);
    version_unref(empty);
}
END_TEST

START_TEST(test_move_between_levels)
{
    struct version *empty = empty_version();
    struct version_edit edit = {0};
    edit_add_new(&edit, 1, make_file(1, 0, 9, 10, 1));
    struct version *v = apply(empty, &edit);
    ck_assert_int_eq(version_edit_remove(&edit, 1, 1), 0);
    ck_assert_int_eq(version_edit_add(&edit, 2, v->levels[1].files[0]), 0);
    struct version *moved = apply(v, &edit);
    ck_assert_uint_eq(moved->levels[1].count, 0);
    ck_assert_ptr_eq(moved->levels[2].files[0], v->levels[1].files[0]);
    version_unref(v);
    ck_assert_uint_eq(atomic_load(&moved->levels[2].files[0]->refs), 1);
    version_unref(moved);
    version_unref(empty);
}
END_TEST

// ------------------------------------------------------------------------------ the random model

#define SLOTS 64 // a sorted level is this many key ranges of width 10, each with a table or none

struct model {
    uint64_t l0[SLOTS]; // numbers, oldest first; the number is the sequence too
    unsigned l0_count;
    uint64_t sorted[VERSION_LEVELS][SLOTS]; // 0: none
};

static void model_check(const struct model *model, const struct version *v)
{
    ck_assert_uint_eq(v->levels[0].count, model->l0_count);
    for (unsigned i = 0; i < model->l0_count; i++)
        ck_assert_uint_eq(v->levels[0].files[i]->number, model->l0[model->l0_count - 1 - i]);
    for (unsigned level = 1; level < VERSION_LEVELS; level++) {
        unsigned at = 0;
        for (unsigned slot = 0; slot < SLOTS; slot++) {
            uint8_t low[8], high[8];
            put_big64(low, slot * 10 + 3);
            put_big64(high, slot * 10 + 9);
            bool there = model->sorted[level][slot] != 0;
            ck_assert_uint_eq(version_find(&v->levels[level], slice_of(low, 8)), at);
            ck_assert(version_overlaps(v, level, slice_of(low, 8), slice_of(high, 8)) == there);
            if (there)
                ck_assert_uint_eq(v->levels[level].files[at++]->number, model->sorted[level][slot]);
        }
        ck_assert_uint_eq(v->levels[level].count, at);
        struct slice open = {0};
        ck_assert(version_overlaps(v, level, open, open) == (at > 0));
    }
}

static void model_random_edit(struct model *model, struct version_edit *edit, uint64_t *number,
                              uint64_t *seed)
{
    unsigned changes = (unsigned)random_below(seed, 8);
    bool touched[VERSION_LEVELS][SLOTS] = {{0}};
    if (random_below(seed, 4) == 0 && model->l0_count) {
        for (unsigned i = 0; i < model->l0_count; i++)
            ck_assert_int_eq(version_edit_remove(edit, 0, model->l0[i]), 0);
        model->l0_count = 0;
    }
    for (unsigned i = 0; i < changes; i++) {
        unsigned level = (unsigned)random_below(seed, VERSION_LEVELS);
        unsigned slot = (unsigned)random_below(seed, SLOTS);
        if (level == 0 && model->l0_count < SLOTS) {
            uint64_t n = (*number)++;
            edit_add_new(edit, 0, make_file(n, slot * 10, slot * 10 + 25, 1, n));
            model->l0[model->l0_count++] = n;
        } else if (level > 0 && !touched[level][slot]) {
            uint64_t *there = &model->sorted[level][slot];
            touched[level][slot] = true;
            if (*there)
                ck_assert_int_eq(version_edit_remove(edit, level, *there), 0);
            *there = 0;
            if (random_below(seed, 3)) {
                *there = (*number)++;
                edit_add_new(edit, level, make_file(*there, slot * 10 + 2, slot * 10 + 9, 1, 1));
            }
        }
    }
}

START_TEST(test_random_edits_against_a_model)
{
    uint64_t seed = test_seed("version model", 1), number = 1;
    struct model model = {0};
    struct version *v = empty_version();
    for (unsigned i = 0; i < 600; i++) {
        struct version_edit edit = {0};
        model_random_edit(&model, &edit, &number, &seed);
        struct version *next = apply(v, &edit);
        version_unref(v);
        v = next;
        model_check(&model, v);
    }
    version_unref(v);
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("all");
    tcase_add_test(tc, test_file_meta_last_reference_calls_the_hook);
    tcase_add_test(tc, test_tombstone_heavy);
    tcase_add_test(tc, test_names_round_trip);
    tcase_add_test(tc, test_names_that_are_not_ours);
    tcase_add_test(tc, test_level_0_is_newest_first);
    tcase_add_test(tc, test_bad_edits_are_refused);
    tcase_add_test(tc, test_one_key_in_two_tables);
    tcase_add_test(tc, test_find_among_like_keys);
    tcase_add_test(tc, test_move_between_levels);
    tcase_add_test(tc, test_random_edits_against_a_model);
    return run_case("version", tc, 300);
}
