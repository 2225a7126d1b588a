// Compaction picking: chosen cases, and a simulation in which picks are carried out on made-up
// tables that hold real entries, several at a time and finishing in any order, until nothing is
// left to do. It checks that versions stay legal, that reads find the newest version, that it ends,
// and what it costs.
#include "compaction/compact_pick.h"
#include "version_util.h"

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

static struct compaction *pick(const struct version *v, const struct pick_options *options,
                               struct buf *cursors)
{
    struct compaction *c;
    ck_assert_int_eq(compact_pick(v, options, cursors, &c), 0);
    return c;
}

static void mark(const struct compaction *c, bool compacting)
{
    for (unsigned side = 0; side < 2; side++)
        for (unsigned i = 0; i < c->input_count[side]; i++) {
            if (c->inputs[side][i]->compacting == compacting)
                ck_abort_msg("table %" PRIu64, c->inputs[side][i]->number);
            c->inputs[side][i]->compacting = compacting;
        }
}

static void release_cursors(struct buf *cursors)
{
    for (unsigned level = 0; level < VERSION_LEVELS; level++)
        buf_release(&cursors[level]);
}

START_TEST(test_targets)
{
    struct version_edit edit = {0};
    struct level_targets t;
    struct version *v = build(&edit);
    pick_targets(v, &small, &t); // empty
    ck_assert_uint_eq(t.base_level, 6);
    version_unref(v);

    add_level(&edit, 6, 10, 100); // just the base size
    v = build(&edit);
    pick_targets(v, &small, &t);
    ck_assert_uint_eq(t.base_level, 6);
    ck_assert_uint_eq(t.target[6], 1000);
    version_unref(v);

    add_level(&edit, 6, 50, 1000);
    v = build(&edit);
    pick_targets(v, &small, &t);
    ck_assert_uint_eq(t.base_level, 4);
    ck_assert_uint_eq(t.target[5], 5000);
    ck_assert_uint_eq(t.target[4], 500);
    ck_assert(t.score[5] == 0 && t.score[6] == 0);
    version_unref(v);

    add_level(&edit, 6, 10, 90); // shrunk a little: the level above stays in use
    add_level(&edit, 5, 1, 9);
    v = build(&edit);
    pick_targets(v, &small, &t);
    ck_assert_uint_eq(t.base_level, 5);
    ck_assert_uint_eq(t.target[5], 90);
    ck_assert(t.score[5] < 1);
    version_unref(v);

    add_level(&edit, 6, 10, 10); // shrunk a lot: it is to be emptied
    add_level(&edit, 3, 1, 9);
    v = build(&edit);
    pick_targets(v, &small, &t);
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
    ck_assert_int_eq(compact_pick_range(v, &small, 5, 6, slice_of(key, 8), slice_of(key, 8), &c),
                     0);
    ck_assert_uint_eq(c->input_count[0], 4);
    ck_assert_uint_eq(c->input_count[1], 3);
    ck_assert(c->bottom);
    compaction_free(c);
    put_big64(key, 50);
    ck_assert_int_eq(compact_pick_range(v, &small, 6, 6, slice_of(key, 8), none, &c), 0);
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
    ck_assert_int_eq(compact_pick_range(v, &small, 0, 6, none, none, &c), 0);
    ck_assert_uint_eq(c->output_level, 5); // there is data on the way
    ck_assert(!c->exclusive);
    compaction_free(c);
    put_big64(low, 390);
    put_big64(high, 405);
    ck_assert_int_eq(compact_pick_range(v, &small, 0, 6, slice_of(low, 8), slice_of(high, 8), &c),
                     0);
    ck_assert_uint_eq(c->output_level, 5); // 410..420 would sink below level 5's 410..490
    compaction_free(c);
    ck_assert_int_eq(compact_pick_range(v, &small, 0, 0, none, none, &c), LSM_INVALID);
    ck_assert_int_eq(compact_pick_range(v, &small, 5, 4, none, none, &c), LSM_INVALID);
    ck_assert_int_eq(compact_pick_range(v, &small, 6, 7, none, none, &c), LSM_INVALID);
    ck_assert_int_eq(compact_pick_range(v, &small, 0, 5, none, none, &c), 0);
    ck_assert_uint_eq(c->input_count[0], 3);
    ck_assert_uint_eq(c->input_count[1], 5);
    compaction_free(c);
    put_big64(low, 35);
    ck_assert_int_eq(compact_pick_range(v, &small, 0, 5, none, slice_of(low, 8), &c), 0);
    ck_assert_uint_eq(c->input_count[0], 2);
    compaction_free(c);
    ck_assert_int_eq(compact_pick_range(v, &small, 0, 5, slice_of(low, 8), none, &c), 0);
    ck_assert_uint_eq(c->input_count[0], 3); // 0-20 came along
    compaction_free(c);
    put_big64(low, 195);
    put_big64(high, 205);
    ck_assert_int_eq(compact_pick_range(v, &small, 5, 6, slice_of(low, 8), slice_of(high, 8), &c),
                     0);
    ck_assert_ptr_null(c);
    put_big64(high, 211);
    ck_assert_int_eq(compact_pick_range(v, &small, 5, 6, slice_of(low, 8), slice_of(high, 8), &c),
                     0);
    ck_assert_uint_eq(c->input_count[0], 1);
    mark(c, true);
    struct compaction *d;
    ck_assert_int_eq(compact_pick_range(v, &small, 5, 6, none, none, &d), LSM_BUSY);
    ck_assert_int_eq(compact_pick_range(v, &small, 6, 6, none, none, &d), LSM_BUSY);
    ck_assert_int_eq(compact_pick_range(v, &small, 0, 5, none, none, &d), LSM_BUSY);
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
    ck_assert_int_eq(compact_pick_range(v, &small, 0, 6, none, none, &c), 0);
    ck_assert_uint_eq(c->output_level, 5);
    ck_assert(c->exclusive && !c->bottom);
    mark(c, true);
    put_big64(key, 150);
    ck_assert_int_eq(compact_pick_range(v, &small, 3, 6, slice_of(key, 8), none, &d), LSM_BUSY);
    mark(c, false);
    compaction_free(c);
    ck_assert_int_eq(compact_pick_range(v, &small, 3, 6, slice_of(key, 8), none, &c), 0);
    ck_assert_uint_eq(c->output_level, 5);
    ck_assert(c->exclusive);
    compaction_free(c);
    ck_assert_int_eq(compact_pick_range(v, &small, 3, 4, none, none, &c), 0);
    ck_assert(c->trivial_move && !c->exclusive);
    mark(c, true);
    ck_assert_int_eq(compact_pick_range(v, &small, 0, 5, none, none, &d), LSM_BUSY);
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
    ck_assert_int_eq(compact_pick_range(v, &small, 6, 6, none, none, &c), 0);
    mark(c, true);
    ck_assert_int_eq(compact_pick_range(v, &small, 5, 6, none, none, &d), LSM_BUSY);
    mark(c, false);
    compaction_free(c);
    ck_assert_int_eq(compact_pick_range(v, &small, 5, 6, none, none, &c), 0);
    mark(c, true);
    ck_assert_int_eq(compact_pick_range(v, &small, 6, 6, none, none, &d), LSM_BUSY);
    compaction_free(c);
    version_unref(v);
}
END_TEST

// ------------------------------------------------------------------------------- the simulation

#define ENTRY_BYTES 100

struct item {
    uint64_t key, tag;
};

struct table {
    struct item *items;
    unsigned count;
};

#define MAX_RUNNING 4

struct sim {
    struct pick_options options;
    struct version *version;
    struct buf cursors[VERSION_LEVELS];
    struct table *tables; // by number
    uint64_t next_file, table_capacity;
    uint64_t sequence;
    uint64_t *snapshots; // ascending; held sequences
    unsigned snapshot_count;
    uint64_t seed;
    uint64_t *newest; // by key: the tag of its newest version, 0 if never written
    uint64_t keys;
    uint64_t user_bytes, written_bytes;
    unsigned compactions, moves;
    struct compaction *running[MAX_RUNNING];
    unsigned running_count;
    unsigned max_l0;
    int64_t credit; // bytes that compactions may still read before the next table is written
};

static void sim_init(struct sim *sim, uint64_t seed, uint64_t keys)
{
    *sim = (struct sim){.options = {.l0_compact = 4,
                                    .level_base_size = 256 << 10,
                                    .level_ratio = 10,
                                    .table_size = 32 << 10},
                        .next_file = 1,
                        .seed = seed,
                        .keys = keys};
    ck_assert_int_eq(version_new(&sim->version), 0);
    sim->newest = calloc(keys, sizeof(*sim->newest));
    ck_assert_ptr_nonnull(sim->newest);
}

static void drop_table(struct file_meta *file, void *owner)
{
    struct sim *sim = owner;
    free(sim->tables[file->number].items);
    sim->tables[file->number].items = NULL;
}

static void sim_free(struct sim *sim)
{
    version_unref(sim->version);
    for (uint64_t i = 0; i < sim->next_file; i++)
        if (sim->tables)
            ck_assert_ptr_null(sim->tables[i].items);
    free(sim->tables);
    free(sim->newest);
    free(sim->snapshots);
    release_cursors(sim->cursors);
}

// A table of items[0..count), which are in order.
static struct file_meta *sim_table(struct sim *sim, const struct item *items, unsigned count)
{
    if (sim->next_file >= sim->table_capacity) {
        uint64_t capacity = sim->table_capacity ? sim->table_capacity * 2 : 1024;
        sim->tables = realloc(sim->tables, capacity * sizeof(*sim->tables));
        ck_assert_ptr_nonnull(sim->tables);
        memset(sim->tables + sim->table_capacity, 0,
               (capacity - sim->table_capacity) * sizeof(*sim->tables));
        sim->table_capacity = capacity;
    }
    struct file_meta *file = make_file(sim->next_file++, items[0].key, items[count - 1].key,
                                       (uint64_t)count * ENTRY_BYTES, 0);
    struct table *table = &sim->tables[file->number];
    table->items = malloc(count * sizeof(*items));
    ck_assert_ptr_nonnull(table->items);
    memcpy(table->items, items, count * sizeof(*items));
    table->count = count;
    file->entries = count;
    file->smallest_tag = items[0].tag;
    file->largest_tag = items[count - 1].tag;
    for (unsigned i = 0; i < count; i++) {
        file->deletes += tag_type(items[i].tag) == ENTRY_DELETE;
        if (tag_sequence(items[i].tag) > file->max_sequence)
            file->max_sequence = tag_sequence(items[i].tag);
    }
    file->on_last_unref = drop_table;
    file->owner = sim;
    sim->written_bytes += file->size;
    return file;
}

static int compare_items(const void *a, const void *b)
{
    const struct item *x = a, *y = b;
    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    return x->tag > y->tag ? -1 : x->tag < y->tag;
}

static void sim_apply(struct sim *sim, struct version_edit *edit)
{
    struct version *next;
    int rc = version_apply(sim->version, edit, &next);
    ck_assert_msg(rc == 0, "%s", lsm_error_detail());
    version_edit_release(edit);
    version_unref(sim->version);
    sim->version = next;
    if (next->levels[0].count > sim->max_l0)
        sim->max_l0 = next->levels[0].count;
}

static uint64_t oldest_snapshot(const struct sim *sim)
{
    return sim->snapshot_count ? sim->snapshots[0] : sim->sequence;
}

// Whether a version with `newer` above it (0: none) is still seen by anyone.
static bool still_seen(const struct sim *sim, uint64_t sequence, uint64_t newer)
{
    if (newer == 0)
        return true;
    for (unsigned i = 0; i < sim->snapshot_count; i++)
        if (sim->snapshots[i] >= sequence && sim->snapshots[i] < newer)
            return true;
    return false;
}

static unsigned merge_inputs(const struct sim *sim, const struct compaction *c,
                             struct item **ret_items)
{
    unsigned count = 0, kept = 0;
    for (unsigned side = 0; side < 2; side++)
        for (unsigned i = 0; i < c->input_count[side]; i++)
            count += sim->tables[c->inputs[side][i]->number].count;
    struct item *items = malloc(count * sizeof(*items));
    ck_assert_ptr_nonnull(items);
    count = 0;
    for (unsigned side = 0; side < 2; side++)
        for (unsigned i = 0; i < c->input_count[side]; i++) {
            const struct table *table = &sim->tables[c->inputs[side][i]->number];
            memcpy(items + count, table->items, table->count * sizeof(*items));
            count += table->count;
        }
    qsort(items, count, sizeof(*items), compare_items);
    uint64_t newer = 0;
    for (unsigned i = 0; i < count; i++) {
        uint64_t sequence = tag_sequence(items[i].tag);
        if (i > 0 && items[i].key != items[i - 1].key)
            newer = 0;
        bool keep = still_seen(sim, sequence, newer);
        newer = sequence;
        if (keep && c->bottom && tag_type(items[i].tag) == ENTRY_DELETE &&
            sequence <= oldest_snapshot(sim))
            keep = false; // what is older of this key goes too: it is hidden from all
        if (keep)
            items[kept++] = items[i];
    }
    *ret_items = items;
    return kept;
}

static void sim_finish(struct sim *sim, struct compaction *c)
{
    struct version_edit edit = {0};
    for (unsigned i = 0; i < c->input_count[0]; i++)
        ck_assert_int_eq(version_edit_remove(&edit, c->level, c->inputs[0][i]->number), 0);
    for (unsigned i = 0; i < c->input_count[1]; i++)
        ck_assert_int_eq(version_edit_remove(&edit, c->output_level, c->inputs[1][i]->number), 0);
    if (c->trivial_move) {
        ck_assert_int_eq(version_edit_add(&edit, c->output_level, c->inputs[0][0]), 0);
        sim->moves++;
    } else {
        struct item *items;
        unsigned count = merge_inputs(sim, c, &items);
        // Cut without regard to keys: neighbours may share one.
        unsigned per_table = (unsigned)(sim->options.table_size / ENTRY_BYTES);
        for (unsigned at = 0; at < count; at += per_table)
            edit_add_new(
                &edit, c->output_level,
                sim_table(sim, items + at, count - at < per_table ? count - at : per_table));
        free(items);
        sim->compactions++;
    }
    sim->credit -= c->trivial_move ? 0 : (int64_t)c->input_bytes;
    mark(c, false);
    compaction_free(c);
    sim_apply(sim, &edit);
}

static void sim_start_some(struct sim *sim, unsigned threads)
{
    sim->options.oldest_snapshot = oldest_snapshot(sim);
    while (sim->running_count < threads) {
        struct compaction *c = pick(sim->version, &sim->options, sim->cursors);
        if (!c)
            return;
        mark(c, true);
        sim->running[sim->running_count++] = c;
    }
}

static bool sim_finish_one(struct sim *sim)
{
    if (!sim->running_count)
        return false;
    unsigned i = (unsigned)random_below(&sim->seed, sim->running_count);
    struct compaction *c = sim->running[i];
    sim->running[i] = sim->running[--sim->running_count];
    sim_finish(sim, c);
    return true;
}

static void sim_until_idle(struct sim *sim, unsigned threads)
{
    for (unsigned rounds = 0;; rounds++) {
        ck_assert_uint_lt(rounds, 100000);
        sim_start_some(sim, threads);
        if (!sim_finish_one(sim))
            return;
    }
}

// What compactions get done while one more level-0 table is written: they read this many times as
// much. Writers wait for them at 12 tables.
#define COMPACTION_SPEED 4
#define L0_STOP          12

static void sim_compact_for(struct sim *sim, unsigned buffer, unsigned threads)
{
    sim->credit += (int64_t)buffer * ENTRY_BYTES * COMPACTION_SPEED;
    while (sim->credit > 0 || sim->version->levels[0].count >= L0_STOP) {
        sim_start_some(sim, threads);
        if (!sim_finish_one(sim)) {
            sim->credit = 0;
            return;
        }
    }
}

typedef uint64_t next_key_fn(struct sim *sim, uint64_t i);

static uint64_t random_key(struct sim *sim, uint64_t i)
{
    (void)i;
    return random_below(&sim->seed, sim->keys);
}

static uint64_t ascending_key(struct sim *sim, uint64_t i)
{
    return i % sim->keys;
}

static uint64_t skewed_key(struct sim *sim, uint64_t i)
{
    (void)i;
    return random_below(&sim->seed, 1 + random_below(&sim->seed, sim->keys));
}

// Writes `count` entries, a level-0 table for each `buffer`, with compactions beside. One in
// `delete_one_in` is a delete (0: none).
static void sim_write(struct sim *sim, uint64_t count, unsigned buffer, unsigned delete_one_in,
                      next_key_fn *next_key, unsigned threads)
{
    struct item *items = malloc(buffer * sizeof(*items));
    ck_assert_ptr_nonnull(items);
    unsigned used = 0;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t key = next_key(sim, i);
        bool delete = delete_one_in && random_below(&sim->seed, delete_one_in) == 0;
        items[used++] =
            (struct item){key, tag_make(++sim->sequence, delete ? ENTRY_DELETE : ENTRY_PUT)};
        sim->newest[key] = items[used - 1].tag;
        if (used < buffer && i + 1 < count)
            continue;
        struct version_edit edit = {0};
        qsort(items, used, sizeof(*items), compare_items);
        edit_add_new(&edit, 0, sim_table(sim, items, used));
        sim_apply(sim, &edit);
        sim->user_bytes += (uint64_t)used * ENTRY_BYTES;
        used = 0;
        sim_compact_for(sim, buffer, threads);
    }
    free(items);
}

static uint64_t find_in(const struct sim *sim, const struct file_meta *file, uint64_t key)
{
    const struct table *table = &sim->tables[file->number];
    unsigned low = 0, high = table->count;
    while (low < high) {
        unsigned middle = low + (high - low) / 2;
        if (table->items[middle].key < key)
            low = middle + 1;
        else
            high = middle;
    }
    return low < table->count && table->items[low].key == key ? table->items[low].tag : 0;
}

static uint64_t sim_get(const struct sim *sim, uint64_t key)
{
    uint8_t bytes[8];
    uint64_t tag = 0;
    put_big64(bytes, key);
    const struct version_level *l0 = &sim->version->levels[0];
    for (unsigned i = 0; i < l0->count && !tag; i++)
        tag = find_in(sim, l0->files[i], key);
    for (unsigned level = 1; level < VERSION_LEVELS && !tag; level++) {
        const struct version_level *l = &sim->version->levels[level];
        unsigned i = version_find(l, slice_of(bytes, 8));
        if (i < l->count)
            tag = find_in(sim, l->files[i], key);
    }
    return tag;
}

// Every key's newest version is what a reader finds first; a delete may be gone altogether.
static void sim_check(const struct sim *sim)
{
    for (uint64_t key = 0; key < sim->keys; key++) {
        uint64_t found = sim_get(sim, key), wanted = sim->newest[key];
        bool gone = found == 0 && wanted && tag_type(wanted) == ENTRY_DELETE;
        if (found != wanted && !gone)
            ck_abort_msg("key %" PRIu64 ": found %" PRIx64 ", not %" PRIx64, key, found, wanted);
    }
}

static double space_amplification(const struct sim *sim)
{
    uint64_t live = 0;
    for (uint64_t key = 0; key < sim->keys; key++)
        live += sim->newest[key] && tag_type(sim->newest[key]) == ENTRY_PUT;
    return (double)version_bytes(sim->version) / (double)(live * ENTRY_BYTES);
}

static double write_amplification(const struct sim *sim)
{
    return (double)sim->written_bytes / (double)sim->user_bytes;
}

static void sim_print(const struct sim *sim, const char *name)
{
    printf("  %-22s write amp %5.2f  space amp %4.2f  max L0 %2u  %5u compactions %5u moves  ",
           name, write_amplification(sim), space_amplification(sim), sim->max_l0, sim->compactions,
           sim->moves);
    for (unsigned level = 0; level < VERSION_LEVELS; level++)
        printf(" %" PRIu64 "K", sim->version->levels[level].bytes >> 10);
    printf("\n");
}

static void expect_idle(const struct sim *sim)
{
    struct level_targets targets;
    pick_targets(sim->version, &sim->options, &targets);
    for (unsigned level = 0; level < VERSION_LEVELS; level++)
        ck_assert(targets.score[level] < 1);
}

START_TEST(test_sim_random_fill)
{
    for (unsigned threads = 1; threads <= 3; threads += 2) {
        struct sim sim;
        sim_init(&sim, test_seed("random fill", 3), 100000); // 10 MB in the last level
        sim_write(&sim, 600000, 650, 0, random_key, threads);
        sim_print(&sim, threads == 1 ? "random, 1 thread" : "random, 3 threads");
        ck_assert(space_amplification(&sim) < 1.6);
        ck_assert_uint_le(sim.max_l0, L0_STOP);
        sim_until_idle(&sim, threads);
        sim_print(&sim, "  and idle");
        expect_idle(&sim);
        sim_check(&sim);
        // Three sorted levels, each costs about half the ratio at most.
        ck_assert(write_amplification(&sim) < 10);
        ck_assert(space_amplification(&sim) < 1.15);
        sim_free(&sim);
    }
}
END_TEST

START_TEST(test_sim_ascending_fill)
{
    struct sim sim;
    sim_init(&sim, test_seed("ascending fill", 4), 400000);
    sim_write(&sim, 400000, 650, 0, ascending_key, 1);
    sim_until_idle(&sim, 1);
    sim_print(&sim, "ascending");
    sim_check(&sim);
    ck_assert(write_amplification(&sim) < 1.01); // all moved
    ck_assert(space_amplification(&sim) < 1.01);
    sim_free(&sim);
}
END_TEST

START_TEST(test_sim_skewed_with_deletes_and_snapshots)
{
    struct sim sim;
    sim_init(&sim, test_seed("skewed", 5), 50000);
    sim.snapshots = calloc(64, sizeof(*sim.snapshots));
    ck_assert_ptr_nonnull(sim.snapshots);
    for (unsigned round = 0; round < 40; round++) {
        sim_write(&sim, 8000, 500, 3, round % 3 ? skewed_key : random_key, 1 + round % 3);
        if (round % 2 && sim.snapshot_count < 8)
            sim.snapshots[sim.snapshot_count++] = sim.sequence;
        if (round % 5 == 4) {
            memmove(sim.snapshots, sim.snapshots + 1, 63 * sizeof(*sim.snapshots));
            sim.snapshot_count--;
        }
        if (round % 10 == 9) {
            sim_until_idle(&sim, 3);
            sim_check(&sim);
        }
    }
    sim_print(&sim, "skewed, snapshots");
    sim.snapshot_count = 0;
    sim_until_idle(&sim, 1);
    sim_print(&sim, "  without");
    sim_check(&sim);
    sim_free(&sim);
}
END_TEST

// Everything deleted, with a snapshot that keeps it all, then without.
START_TEST(test_sim_delete_everything)
{
    struct sim sim;
    sim_init(&sim, test_seed("delete everything", 6), 60000);
    sim_write(&sim, 60000, 650, 0, ascending_key, 2);
    sim.snapshots = calloc(1, sizeof(*sim.snapshots));
    ck_assert_ptr_nonnull(sim.snapshots);
    sim.snapshots[sim.snapshot_count++] = sim.sequence;
    sim_write(&sim, 60000, 650, 1, ascending_key, 2);
    sim_until_idle(&sim, 2);
    sim_check(&sim);
    ck_assert_uint_ge(version_bytes(sim.version), 60000 * ENTRY_BYTES);
    sim.snapshot_count = 0;
    sim_until_idle(&sim, 2);
    sim_check(&sim);
    for (unsigned level = 1; level < VERSION_LEVELS; level++)
        ck_assert_uint_eq(sim.version->levels[level].tombstone_heavy, 0);
    // Half tombstones, half what they hide may remain of the tables that were not heavy.
    printf("  deleted: %" PRIu64 " of %u bytes left\n", version_bytes(sim.version),
           60000 * ENTRY_BYTES);
    // With nothing else to do, none of it.
    sim.options.idle = true;
    sim_until_idle(&sim, 2);
    sim_check(&sim);
    ck_assert_uint_eq(version_bytes(sim.version), 0);
    sim_free(&sim);
}
END_TEST

// Levels far off their targets, in every direction.
START_TEST(test_sim_odd_shapes)
{
    uint64_t seed = test_seed("odd shapes", 7);
    for (unsigned shape = 0; shape < 200; shape++) {
        struct sim sim;
        sim_init(&sim, random_next(&seed), 20000);
        sim.options.level_base_size = 4096u << random_below(&seed, 8);
        sim.options.level_ratio = 2 + (unsigned)random_below(&seed, 12);
        sim.options.table_size = 1000u << random_below(&seed, 6);
        sim.options.l0_compact = 1 + (unsigned)random_below(&seed, 8);
        // Deepest level first, so that sequences are older below.
        for (unsigned level = VERSION_LEVELS - 1; level > 0; level--) {
            struct version_edit edit = {0};
            uint64_t key = random_below(&seed, 100);
            unsigned tables = random_below(&seed, 2) ? (unsigned)random_below(&seed, 60) : 0;
            for (unsigned i = 0; i < tables && key < sim.keys; i++) {
                struct item items[200];
                unsigned count = 1 + (unsigned)random_below(&seed, 200);
                unsigned n = 0;
                uint64_t step = 1 + random_below(&seed, 10), deletes = random_below(&seed, 4);
                for (; n < count && key < sim.keys; n++, key += step) {
                    enum entry_type type =
                        random_below(&seed, 4) < deletes ? ENTRY_DELETE : ENTRY_PUT;
                    items[n] = (struct item){key, tag_make(++sim.sequence, type)};
                    sim.newest[key] = items[n].tag;
                }
                edit_add_new(&edit, level, sim_table(&sim, items, n));
            }
            sim_apply(&sim, &edit);
        }
        sim_check(&sim);
        sim_until_idle(&sim, 1 + shape % MAX_RUNNING);
        sim_check(&sim);
        sim_write(&sim, 5000, 100, 4, random_key, 1 + shape % MAX_RUNNING);
        sim_until_idle(&sim, 1 + shape % MAX_RUNNING);
        sim_check(&sim);
        expect_idle(&sim);
        sim_free(&sim);
    }
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("all");
    tcase_add_test(tc, test_targets);
    tcase_add_test(tc, test_level_0);
    tcase_add_test(tc, test_oldest_of_many_level_0_tables);
    tcase_add_test(tc, test_least_overlap_and_round_robin);
    tcase_add_test(tc, test_inputs_grow_for_the_same_output);
    tcase_add_test(tc, test_one_key_in_several_tables);
    tcase_add_test(tc, test_tombstones);
    tcase_add_test(tc, test_ranges);
    tcase_add_test(tc, test_passing_over_a_level);
    tcase_add_test(tc, test_gap_in_a_rewrite);
    tcase_add_test(tc, test_sim_random_fill);
    tcase_add_test(tc, test_sim_ascending_fill);
    tcase_add_test(tc, test_sim_skewed_with_deletes_and_snapshots);
    tcase_add_test(tc, test_sim_delete_everything);
    tcase_add_test(tc, test_sim_odd_shapes);
    return run_case("compact_pick", tc);
}
