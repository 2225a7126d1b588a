// Compaction picking: chosen cases. What becomes of many picks is test_compact_sim.c's.
#include "pick_util.h"

static const struct pick_options small = {.l0_compact = 4,
                                          .level_base_size = 1000,
                                          .level_ratio = 10,
                                          .table_size = 100,
                                          .oldest_snapshot = SEQUENCE_MAX};

static struct version *build(struct version_edit *edit)
{
    struct version *empty, *version;
    ck_assert_int_eq(version_new(&empty), 0);
    ck_assert_int_eq(version_apply(empty, edit, &version), 0);
    version_unref(empty);
    version_edit_release(edit);
    return version;
}

// A level of `count` tables of `size` bytes in key ranges 100 apart.
static void add_level(struct version_edit *edit, unsigned level, unsigned count, uint64_t size)
{
    for (unsigned i = 0; i < count; i++)
        edit_add_new(edit, level,
                     make_file(level * 1000 + i + 1, i * 100 + 10, i * 100 + 90, size, 1));
}

START_TEST(test_targets)
{
    struct version_edit edit = {0};
    struct level_targets t;
    struct version *v = build(&edit);
    find_targets(v, &small, &t); // empty
    ck_assert_uint_eq(t.base_level, 6);
    version_unref(v);

    add_level(&edit, 6, 10, 100); // just the base size
    v = build(&edit);
    find_targets(v, &small, &t);
    ck_assert_uint_eq(t.base_level, 6);
    ck_assert_uint_eq(t.target[6], 1000);
    version_unref(v);

    add_level(&edit, 6, 50, 1000);
    v = build(&edit);
    find_targets(v, &small, &t);
    ck_assert_uint_eq(t.base_level, 4);
    ck_assert_uint_eq(t.target[5], 5000);
    ck_assert_uint_eq(t.target[4], 500);
    ck_assert(t.score[5] == 0 && t.score[6] == 0);
    version_unref(v);

    add_level(&edit, 6, 10, 90); // shrunk a little: the level above stays in use
    add_level(&edit, 5, 1, 9);
    v = build(&edit);
    find_targets(v, &small, &t);
    ck_assert_uint_eq(t.base_level, 5);
    ck_assert_uint_eq(t.target[5], 90);
    ck_assert(t.score[5] < 1);
    version_unref(v);

    add_level(&edit, 6, 10, 10); // shrunk a lot: it is to be emptied
    add_level(&edit, 3, 1, 9);
    v = build(&edit);
    find_targets(v, &small, &t);
    ck_assert_uint_eq(t.base_level, 3);
    ck_assert_uint_eq(t.target[3], 0);
    ck_assert(t.score[3] >= 1);
    version_unref(v);
}
END_TEST

START_TEST(test_level_0)
{
    struct buf cursors[VERSION_LEVELS] = {{0}};
    struct version_edit edit = {0};
    add_level(&edit, 6, 5, 100);
    for (unsigned i = 0; i < 3; i++)
        edit_add_new(&edit, 0, make_file(10 + i, 120, 180, 10, 10 + i));
    struct version *v = build(&edit);
    ck_assert_ptr_null(pick(v, &small, cursors)); // three are too few
    version_unref(v);

    add_level(&edit, 6, 5, 100);
    for (unsigned i = 0; i < 4; i++)
        edit_add_new(&edit, 0, make_file(10 + i, 120 + i * 40, 180 + i * 40, 10, 10 + i));
    v = build(&edit);
    struct compaction *c = pick(v, &small, cursors);
    ck_assert_ptr_nonnull(c);
    ck_assert_uint_eq(c->level, 0);
    ck_assert_uint_eq(c->output_level, 6);
    ck_assert_uint_eq(c->input_count[0], 4);
    ck_assert_uint_eq(c->inputs[0][0]->number, 13); // newest first
    ck_assert_uint_eq(c->input_count[1], 2);        // 110.., 210..
    ck_assert(c->bottom && !c->trivial_move);
    ck_assert_uint_eq(c->input_bytes, 240);
    mark(c, true);
    ck_assert_ptr_null(pick(v, &small, cursors));
    mark(c, false);
    compaction_free(c);
    version_unref(v);

    // Tables that overlap nothing are moved, oldest first, until there are few enough.
    for (unsigned i = 0; i < 5; i++)
        edit_add_new(&edit, 0, make_file(10 + i, i * 10, i * 10 + 5, 10, 10 + i));
    v = build(&edit);
    c = pick(v, &small, cursors);
    ck_assert(c && c->trivial_move && c->output_level == 6 && c->inputs[0][0]->number == 10);
    compaction_free(c);
    version_unref(v);
    release_cursors(cursors);
}
END_TEST

// Level 0 with `count` tables over a table of 1,000 bytes of which only snapshots see `kept`.
static struct version *with_kept(unsigned count, uint64_t kept)
{
    struct version_edit edit = {0};
    struct file_meta *base = make_file(1, 0, 999, 1000, 1);
    if (kept)
        ck_assert_int_eq(file_meta_set_kept(base, &(struct kept_range){1, 1, kept}, 1), 0);
    edit_add_new(&edit, 6, base);
    for (unsigned i = 0; i < count; i++)
        edit_add_new(&edit, 0, make_file(10 + i, 0, 999, 10, 10 + i));
    return build(&edit);
}

static unsigned l0_compact(struct version *v, const struct pick_options *options)
{
    struct level_targets t;
    find_targets(v, options, &t);
    return t.l0_compact;
}

static void set_dead(struct version *v, uint64_t bytes) NOT_CHECKED
{
    v->levels[6].files[0]->dead_bytes = bytes;
}

START_TEST(test_level_0_gathers_for_snapshots)
{
    const struct {
        uint64_t kept;
        unsigned count;
    } cases[] = {{0, 4}, {100, 4}, {200, 5}, {400, 6}, {500, 8}, {900, 8}, {1000, 8}, {2000, 8}};
    struct buf cursors[VERSION_LEVELS] = {{0}};
    struct pick_options options = small;
    options.l0_most = 8;
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct version *v = with_kept(0, cases[i].kept);
        ck_assert_uint_eq(l0_compact(v, &options), cases[i].count);
        version_unref(v);
        v = with_kept(cases[i].count - 1, cases[i].kept);
        ck_assert_ptr_null(pick(v, &options, cursors));
        version_unref(v);
        v = with_kept(cases[i].count, cases[i].kept);
        struct compaction *c = pick(v, &options, cursors);
        ck_assert(c && c->level == 0 && c->input_count[0] == cases[i].count);
        compaction_free(c);
        version_unref(v);
    }

    struct version *v = with_kept(4, 500);
    ck_assert_uint_eq(l0_compact(v, &options), 8);
    set_dead(v, 400); // that goes with the next merge
    ck_assert_uint_eq(l0_compact(v, &options), 4);
    set_dead(v, 0);
    options.l0_most = 3;
    ck_assert_uint_eq(l0_compact(v, &options), 4);
    options.l0_most = 8;
    bool *const now[] = {&options.idle, &options.reclaim, &options.small};
    for (unsigned i = 0; i < 3; i++) { // there is time, or no room
        *now[i] = true;
        ck_assert_uint_eq(l0_compact(v, &options), 4);
        *now[i] = false;
    }
    version_unref(v);
    release_cursors(cursors);
}
END_TEST

START_TEST(test_oldest_of_many_level_0_tables)
{
    struct buf cursors[VERSION_LEVELS] = {{0}};
    struct version_edit edit = {0};
    for (unsigned i = 0; i < 500; i++)
        edit_add_new(&edit, 0, make_file(10 + i, 0, 1000, 10, 10 + i));
    struct version *v = build(&edit);
    struct compaction *c = pick(v, &small, cursors);
    ck_assert_ptr_nonnull(c);
    ck_assert_uint_eq(c->input_count[0], 64);
    ck_assert_uint_eq(c->inputs[0][63]->number, 10);
    ck_assert_uint_eq(c->inputs[0][0]->number, 73);
    compaction_free(c);
    version_unref(v);
}
END_TEST

START_TEST(test_least_overlap_and_round_robin)
{
    struct buf cursors[VERSION_LEVELS] = {{0}};
    struct version_edit edit = {0};
    // Level 5: 20 tables; level 6 is dense but below 300..399.
    add_level(&edit, 5, 20, 500);
    for (unsigned i = 0; i < 200; i++)
        if (i < 30 || i > 39)
            edit_add_new(&edit, 6, make_file(100000 + i, i * 10, i * 10 + 9, 100, 1));
    struct version *v = build(&edit);
    struct compaction *c = pick(v, &small, cursors);
    ck_assert(c && c->level == 5 && c->trivial_move);
    ck_assert_uint_eq(c->inputs[0][0]->number, 5004);
    ck_assert_uint_eq(get_big64(cursors[5].data), 390);
    mark(c, true);
    struct compaction *d = pick(v, &small, cursors); // goes on from there, equal ones in order
    ck_assert(d && d->level == 5 && !d->trivial_move && d->bottom);
    ck_assert_uint_ge(d->inputs[0][0]->number, 5005);
    ck_assert_uint_le(d->inputs[0][0]->number, 5012);
    ck_assert_uint_eq(d->input_count[1], 9);
    compaction_free(c);
    compaction_free(d);
    version_unref(v);
    release_cursors(cursors);
}
END_TEST

START_TEST(test_inputs_grow_for_the_same_output)
{
    struct buf cursors[VERSION_LEVELS] = {{0}};
    struct version_edit edit = {0};
    for (unsigned i = 0; i < 8; i++)
        edit_add_new(&edit, 5, make_file(10 + i, i * 10, i * 10 + 5, 200, 2));
    edit_add_new(&edit, 6, make_file(100, 0, 35, 1000, 1));
    edit_add_new(&edit, 6, make_file(101, 36, 1000, 2000, 1));
    struct version *v = build(&edit);
    struct compaction *c = pick(v, &small, cursors);
    ck_assert(c && c->level == 5);
    ck_assert_uint_eq(c->input_count[1], 1);
    ck_assert_uint_eq(c->input_count[0], 4);
    ck_assert_uint_eq(c->inputs[0][0]->number, 10);
    compaction_free(c);
    version_unref(v);
    release_cursors(cursors);
}
END_TEST

START_TEST(test_one_key_in_several_tables)
{
    struct compaction *c;
    struct slice none = {0};
    uint8_t key[8];
    struct version_edit edit = {0};
    for (unsigned i = 0; i < 4; i++) // 0-10, 10-20, 20-30, 30-40: each shares a key with the next
        edit_add_new(&edit, 5, make_file(10 + i, i * 10, i * 10 + 10, 200, 50 - i));
    edit_add_new(&edit, 5, make_file(14, 41, 49, 200, 40));
    for (unsigned i = 0; i < 3; i++) // 35-45, 45-55, 55-65
        edit_add_new(&edit, 6, make_file(100 + i, 35 + i * 10, 45 + i * 10, 100, 30 - i));
    struct version *v = build(&edit);
    put_big64(key, 5);
    ck_assert_int_eq(pick_range(v, &small, 5, 6, slice_of(key, 8), slice_of(key, 8), &c), 0);
    ck_assert_uint_eq(c->input_count[0], 4);
    ck_assert_uint_eq(c->input_count[1], 3);
    ck_assert(c->bottom);
    compaction_free(c);
    put_big64(key, 50);
    ck_assert_int_eq(pick_range(v, &small, 6, 6, slice_of(key, 8), none, &c), 0);
    ck_assert_uint_eq(c->input_count[0], 3);
    ck_assert_uint_eq(c->input_count[1], 0);
    compaction_free(c);
    version_unref(v);
}
END_TEST

START_TEST(test_tombstones)
{
    struct buf cursors[VERSION_LEVELS] = {{0}};
    struct pick_options options = small;
    struct version_edit edit = {0};
    struct file_meta *file = make_file(10, 0, 9, 50, 100);
    file->deletes = 6;
    edit_add_new(&edit, 6, file);
    struct version *v = build(&edit);
    options.oldest_snapshot = 99; // some tombstone is still seen as such
    ck_assert_ptr_null(pick(v, &options, cursors));
    options.oldest_snapshot = 100;
    struct compaction *c = pick(v, &options, cursors);
    ck_assert(c && c->level == 6 && c->output_level == 6 && c->bottom && !c->trivial_move);
    ck_assert_uint_eq(c->input_count[0], 1);
    compaction_free(c);
    version_unref(v);

    // Above: goes down, rewritten if that drops them, moved if not.
    file = make_file(10, 0, 9, 50, 100);
    file->deletes = 6;
    edit_add_new(&edit, 5, file);
    edit_add_new(&edit, 6, make_file(11, 20, 29, 1000, 100));
    v = build(&edit);
    c = pick(v, &options, cursors);
    ck_assert(c && c->level == 5 && c->output_level == 6 && c->bottom && !c->trivial_move);
    compaction_free(c);
    options.oldest_snapshot = 99;
    c = pick(v, &options, cursors);
    ck_assert(c && c->level == 5 && c->trivial_move);
    compaction_free(c);
    version_unref(v);
    release_cursors(cursors);
}
END_TEST

START_TEST(test_ranges)
{
    struct compaction *c;
    struct slice none = {0};
    struct version_edit edit = {0};
    uint8_t low[8], high[8];
    add_level(&edit, 5, 5, 100);
    add_level(&edit, 6, 5, 100);
    edit_add_new(&edit, 0, make_file(50, 0, 20, 10, 10));
    edit_add_new(&edit, 0, make_file(51, 20, 40, 10, 11));
    edit_add_new(&edit, 0, make_file(52, 400, 420, 10, 12));
    struct version *v = build(&edit);
    ck_assert_int_eq(pick_range(v, &small, 0, 6, none, none, &c), 0);
    ck_assert_uint_eq(c->output_level, 5); // there is data on the way
    ck_assert(!c->exclusive);
    compaction_free(c);
    put_big64(low, 390);
    put_big64(high, 405);
    ck_assert_int_eq(pick_range(v, &small, 0, 6, slice_of(low, 8), slice_of(high, 8), &c), 0);
    ck_assert_uint_eq(c->output_level, 5); // 410..420 would sink below level 5's 410..490
    compaction_free(c);
    ck_assert_int_eq(pick_range(v, &small, 0, 0, none, none, &c), LSM_INVALID);
    ck_assert_int_eq(pick_range(v, &small, 5, 4, none, none, &c), LSM_INVALID);
    ck_assert_int_eq(pick_range(v, &small, 6, 7, none, none, &c), LSM_INVALID);
    ck_assert_int_eq(pick_range(v, &small, 0, 5, none, none, &c), 0);
    ck_assert_uint_eq(c->input_count[0], 3);
    ck_assert_uint_eq(c->input_count[1], 5);
    compaction_free(c);
    put_big64(low, 35);
    ck_assert_int_eq(pick_range(v, &small, 0, 5, none, slice_of(low, 8), &c), 0);
    ck_assert_uint_eq(c->input_count[0], 2);
    compaction_free(c);
    ck_assert_int_eq(pick_range(v, &small, 0, 5, slice_of(low, 8), none, &c), 0);
    ck_assert_uint_eq(c->input_count[0], 3); // 0-20 came along
    compaction_free(c);
    put_big64(low, 195);
    put_big64(high, 205);
    ck_assert_int_eq(pick_range(v, &small, 5, 6, slice_of(low, 8), slice_of(high, 8), &c), 0);
    ck_assert_ptr_null(c);
    put_big64(high, 211);
    ck_assert_int_eq(pick_range(v, &small, 5, 6, slice_of(low, 8), slice_of(high, 8), &c), 0);
    ck_assert_uint_eq(c->input_count[0], 1);
    mark(c, true);
    struct compaction *d;
    ck_assert_int_eq(pick_range(v, &small, 5, 6, none, none, &d), LSM_BUSY);
    ck_assert_int_eq(pick_range(v, &small, 6, 6, none, none, &d), LSM_BUSY);
    ck_assert_int_eq(pick_range(v, &small, 0, 5, none, none, &d), LSM_BUSY);
    compaction_free(c);
    version_unref(v);
}
END_TEST

START_TEST(test_passing_over_a_level)
{
    struct compaction *c, *d;
    struct slice none = {0};
    struct version_edit edit = {0};
    uint8_t key[8];
    edit_add_new(&edit, 0, make_file(1, 0, 50, 10, 9));
    edit_add_new(&edit, 3, make_file(2, 100, 200, 10, 5));
    edit_add_new(&edit, 5, make_file(3, 0, 200, 10, 3));
    edit_add_new(&edit, 6, make_file(4, 0, 200, 10, 1));
    struct version *v = build(&edit);
    ck_assert_int_eq(pick_range(v, &small, 0, 6, none, none, &c), 0);
    ck_assert_uint_eq(c->output_level, 5);
    ck_assert(c->exclusive && !c->bottom);
    mark(c, true);
    put_big64(key, 150);
    ck_assert_int_eq(pick_range(v, &small, 3, 6, slice_of(key, 8), none, &d), LSM_BUSY);
    mark(c, false);
    compaction_free(c);
    ck_assert_int_eq(pick_range(v, &small, 3, 6, slice_of(key, 8), none, &c), 0);
    ck_assert_uint_eq(c->output_level, 5);
    ck_assert(c->exclusive);
    compaction_free(c);
    ck_assert_int_eq(pick_range(v, &small, 3, 4, none, none, &c), 0);
    ck_assert(c->trivial_move && !c->exclusive);
    mark(c, true);
    ck_assert_int_eq(pick_range(v, &small, 0, 5, none, none, &d), LSM_BUSY);
    compaction_free(c);
    version_unref(v);
}
END_TEST

START_TEST(test_gap_in_a_rewrite)
{
    struct compaction *c, *d;
    struct slice none = {0};
    struct version_edit edit = {0};
    uint8_t key[8];
    edit_add_new(&edit, 6, make_file(1, 0, 100, 10, 1));
    edit_add_new(&edit, 6, make_file(2, 200, 300, 10, 1));
    edit_add_new(&edit, 5, make_file(3, 120, 180, 10, 2)); // between the two
    struct version *v = build(&edit);
    put_big64(key, 150);
    ck_assert_int_eq(pick_range(v, &small, 6, 6, none, none, &c), 0);
    mark(c, true);
    ck_assert_int_eq(pick_range(v, &small, 5, 6, none, none, &d), LSM_BUSY);
    mark(c, false);
    compaction_free(c);
    ck_assert_int_eq(pick_range(v, &small, 5, 6, none, none, &c), 0);
    mark(c, true);
    ck_assert_int_eq(pick_range(v, &small, 6, 6, none, none, &d), LSM_BUSY);
    compaction_free(c);
    version_unref(v);
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("all");
    tcase_add_test(tc, test_targets);
    tcase_add_test(tc, test_level_0);
    tcase_add_test(tc, test_level_0_gathers_for_snapshots);
    tcase_add_test(tc, test_oldest_of_many_level_0_tables);
    tcase_add_test(tc, test_least_overlap_and_round_robin);
    tcase_add_test(tc, test_inputs_grow_for_the_same_output);
    tcase_add_test(tc, test_one_key_in_several_tables);
    tcase_add_test(tc, test_tombstones);
    tcase_add_test(tc, test_ranges);
    tcase_add_test(tc, test_passing_over_a_level);
    tcase_add_test(tc, test_gap_in_a_rewrite);
    return run_case("compact_pick", tc, 300);
}
