// Compaction picking, simulated: picks are carried out on made-up tables that hold real entries,
// several at a time and finishing in any order, until nothing is left to do. It checks that
// versions stay legal, that reads find the newest version, that it ends, and what it costs.
#include "pick_util.h"

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
    find_targets(sim->version, &sim->options, &targets);
    for (unsigned level = 0; level < VERSION_LEVELS; level++)
        ck_assert(targets.score[level] < 1);
}

START_TEST(test_random_fill)
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

START_TEST(test_ascending_fill)
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

START_TEST(test_skewed_with_deletes_and_snapshots)
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
START_TEST(test_delete_everything)
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
START_TEST(test_odd_shapes)
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
    tcase_add_test(tc, test_random_fill);
    tcase_add_test(tc, test_ascending_fill);
    tcase_add_test(tc, test_skewed_with_deletes_and_snapshots);
    tcase_add_test(tc, test_delete_everything);
    tcase_add_test(tc, test_odd_shapes);
    return run_case("compact_sim", tc, 300);
}
