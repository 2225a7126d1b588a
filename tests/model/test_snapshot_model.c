// Random histories of named snapshots against maps in memory, on a simulated disk.
//
// A history writes, overwrites and deletes, makes, renames and deletes snapshots, rolls back, takes
// in changes, compacts, copies the store, closes it, kills it and cuts its power. Every snapshot
// has to go on showing what the store held when it was made; the difference of two has to name
// every key whose value differs, in order, and none that was not written in between. What is to be
// seen of the present after a power cut is the engine model's matter: here everything is synced
// before.
//
// LSM_SEED replays one history (with LSM_HISTORIES=1); there are a tenth as many as LSM_HISTORIES
// says.
#include "engine_util.h"
#include "small_options.h"

#define KEYS      160
#define SNAPSHOTS 12
#define NO_VALUE  UINT32_MAX

struct map {
    struct value values[KEYS];
    uint64_t written[KEYS]; // number of the last write
};

struct named {
    char name[16]; // empty: none
    uint64_t id;
    struct map map;
    uint64_t writes;
};

struct history {
    struct random random;
    struct env *env;
    struct lsm *db;
    struct lsm_options options;
    struct map map;
    uint64_t writes;
    struct named named[SNAPSHOTS];
    uint64_t last_id;
    unsigned names, copies;
    struct lsm_buf buf;
};

static uint64_t current_seed;

#define OK(call)                                                                                   \
    do {                                                                                           \
        int rc_ = (call);                                                                          \
        EXPECT(rc_ == LSM_OK, "%d, seed %" PRIu64 ": %s", rc_, current_seed, lsm_error_detail());  \
    } while (0)
#define CHECK(condition) EXPECT(condition, "seed %" PRIu64, current_seed)

static size_t key_of(unsigned i, char key[16])
{
    return (size_t)snprintf(key, 16, "k%05u", i * 37 % 9973);
}

// The keys' order is not that of their numbers.
static unsigned number_of(const void *key, size_t size)
{
    char text[16];
    for (unsigned i = 0; i < KEYS; i++)
        if (key_of(i, text) == size && memcmp(text, key, size) == 0)
            return i;
    CHECK(!"a key from nowhere");
    return 0;
}

static void draw_options(struct history *h)
{
    struct random *r = &h->random;
    struct lsm_options *o = &h->options;
    *o = small_options(h->env);
    o->level_ratio = 2 + random_below(r, 4);
    o->l0_compact = 1 + random_below(r, 3);
    o->block_size = 512;
    o->block_cache_size = one_in(r, 2) ? 0 : 1 << 20;
    o->compression = random_below(r, 3);
    o->compaction_threads = 1 + random_below(r, 2);
    o->wal_mode = random_below(r, 3);
    o->blob_min = one_in(r, 3) ? 0 : 200;
    o->blob_file_size = 16 << 10;
    o->blob_garbage_ratio = 5 + random_below(r, 30);
}

// ------------------------------------------------------------------------------------- comparing

static void compare_map(struct history *h, struct lsm *db, const struct lsm_snapshot *snapshot,
                        const struct map *map)
{
    struct lsm_iter *it;
    struct lsm_iter_options io = {.snapshot = snapshot};
    unsigned present = 0, seen = 0;
    for (unsigned i = 0; i < KEYS; i++)
        present += map->values[i].size != NO_VALUE;
    OK(lsm_iter_new(db, &io, &it));
    for (lsm_iter_seek_first(it); lsm_iter_valid(it); lsm_iter_next(it), seen++) {
        size_t size;
        const void *key = lsm_iter_key(it, &size);
        const struct value *want = &map->values[number_of(key, size)];
        const void *value = lsm_iter_value(it, &size);
        CHECK(want->size != NO_VALUE && value && value_equal(want, value, size));
    }
    OK(lsm_iter_status(it));
    CHECK(seen == present);
    lsm_iter_free(it);
    struct lsm_read_options ro = {.snapshot = snapshot};
    for (unsigned n = 0; n < 8; n++) {
        char key[16];
        unsigned i = random_below(&h->random, KEYS);
        int rc = lsm_get(db, &ro, key, key_of(i, key), &h->buf);
        if (map->values[i].size == NO_VALUE)
            CHECK(rc == LSM_NOT_FOUND);
        else
            CHECK(rc == 0 && value_equal(&map->values[i], h->buf.data, h->buf.size));
    }
}

struct listing {
    struct history *h;
    unsigned seen;
    uint64_t last_id;
};

static int see_snapshot(void *arg, const struct lsm_snapshot_info *info)
{
    struct listing *listing = arg;
    CHECK(info->id > listing->last_id);
    listing->last_id = info->id;
    for (unsigned i = 0; i < SNAPSHOTS; i++)
        if (strcmp(listing->h->named[i].name, info->name) == 0) {
            CHECK(info->id == listing->h->named[i].id && info->created_us > 0);
            listing->seen++;
        }
    return 0;
}

static void compare_named(struct history *h, struct lsm *db, const struct named *named)
{
    const struct lsm_snapshot *snapshot;
    OK(lsm_snapshot_open(db, named->name, &snapshot));
    compare_map(h, db, snapshot, &named->map);
    lsm_snapshot_free(db, snapshot);
}

static void compare_all(struct history *h, struct lsm *db)
{
    struct listing listing = {.h = h};
    unsigned count = 0;
    OK(lsm_snapshot_list(db, see_snapshot, &listing));
    for (unsigned i = 0; i < SNAPSHOTS; i++) {
        if (!h->named[i].name[0])
            continue;
        count++;
        compare_named(h, db, &h->named[i]);
    }
    CHECK(listing.seen == count);
    compare_map(h, db, NULL, &h->map);
}

// ------------------------------------------------------------------------------------- operations

static void do_write(struct history *h)
{
    struct random *r = &h->random;
    struct lsm_batch *batch;
    unsigned count = 1 + random_below(r, one_in(r, 4) ? 40 : 4);
    OK(lsm_batch_new(&batch));
    h->writes++;
    for (unsigned n = 0; n < count; n++) {
        unsigned i = random_below(r, KEYS);
        char key[16];
        size_t size = key_of(i, key);
        struct value v = {.seed = random_next(r),
                          .size = random_below(r, one_in(r, 5) ? 3000 : 300)};
        if (one_in(r, 3)) {
            v.size = NO_VALUE;
            OK(lsm_batch_delete(batch, key, size));
        } else {
            static uint8_t data[3000];
            value_bytes(&v, data);
            OK(lsm_batch_put(batch, key, size, data, v.size));
        }
        h->map.values[i] = v;
        h->map.written[i] = h->writes;
    }
    OK(lsm_write(h->db, NULL, batch));
    lsm_batch_free(batch);
}

static struct named *draw_named(struct history *h)
{
    return &h->named[random_below(&h->random, SNAPSHOTS)];
}

static int see_id(void *arg, const struct lsm_snapshot_info *info)
{
    struct history *h = arg;
    h->last_id = info->id; // the last one is the newest
    return 0;
}

static void do_snapshot(struct history *h)
{
    struct named *named = draw_named(h);
    if (named->name[0] && one_in(&h->random, 3)) {
        char name[16];
        snprintf(name, sizeof name, "s%u", h->names++);
        CHECK(lsm_snapshot_rename(h->db, named->name, named->name) == LSM_EXISTS);
        OK(lsm_snapshot_rename(h->db, named->name, name));
        memcpy(named->name, name, sizeof name);
    } else if (named->name[0]) {
        OK(lsm_snapshot_delete(h->db, named->name));
        CHECK(lsm_snapshot_delete(h->db, named->name) == LSM_NOT_FOUND);
        named->name[0] = '\0';
    } else {
        uint64_t before = h->last_id;
        snprintf(named->name, sizeof named->name, "s%u", h->names++);
        OK(lsm_snapshot_create(h->db, named->name));
        CHECK(lsm_snapshot_create(h->db, named->name) == LSM_EXISTS);
        OK(lsm_snapshot_list(h->db, see_id, h));
        CHECK(h->last_id > before);
        named->id = h->last_id;
        named->map = h->map;
        named->writes = h->writes;
    }
}

static void do_diff(struct history *h)
{
    struct named *a = draw_named(h), *b = draw_named(h);
    if (!a->name[0] || !b->name[0])
        return;
    if (a->writes > b->writes) {
        struct named *swap = a;
        a = b;
        b = swap;
    }
    const struct lsm_snapshot *from, *to;
    struct lsm_diff *diff;
    bool found[KEYS] = {false};
    char last[16] = "";
    OK(lsm_snapshot_open(h->db, a->name, &from));
    OK(lsm_snapshot_open(h->db, b->name, &to));
    OK(lsm_diff_new(h->db, from, to, &diff));
    int rc;
    while ((rc = lsm_diff_next(diff)) > 0) {
        size_t size;
        const void *key = lsm_diff_key(diff, &size);
        unsigned i = number_of(key, size);
        char text[16];
        memcpy(text, key, size);
        text[size] = '\0';
        CHECK(strcmp(text, last) > 0);
        memcpy(last, text, size + 1);
        CHECK(b->map.written[i] > a->writes);
        found[i] = true;
    }
    CHECK(rc == 0);
    for (unsigned i = 0; i < KEYS; i++) {
        struct value x = a->map.values[i], y = b->map.values[i];
        bool same = x.size == y.size && (x.size == NO_VALUE || x.seed == y.seed);
        CHECK(same || found[i]);
    }
    lsm_diff_free(diff);
    lsm_snapshot_free(h->db, from);
    lsm_snapshot_free(h->db, to);
}

static void do_rollback(struct history *h)
{
    struct named *named = draw_named(h);
    if (!named->name[0])
        return;
    OK(lsm_snapshot_rollback(h->db, named->name, NULL, NULL));
    h->writes++;
    for (unsigned i = 0; i < KEYS; i++)
        if (h->map.written[i] > named->writes)
            h->map.written[i] = h->writes;
    memcpy(h->map.values, named->map.values, sizeof h->map.values);
    if (one_in(&h->random, 2)) { // what was acknowledged is durable
        env_fault_power_cut(h->env, one_in(&h->random, 2) ? 0 : random_next(&h->random));
        (void)!lsm_close(h->db);
        OK(lsm_open("/db", &h->options, &h->db));
    }
    compare_all(h, h->db);
}

// Every fifth key is kept as it is here; in some histories every seventh must not have changed.
static bool is_kept(void *arg, const void *key, size_t size)
{
    (void)arg;
    return number_of(key, size) % 5 == 0;
}

static bool is_fixed(void *arg, const void *key, size_t size)
{
    (void)arg;
    return number_of(key, size) % 7 == 0;
}

struct incoming {
    struct history *h;
    struct map map;   // what the base shows, with the changes
    bool given[KEYS]; // or to be left out
    uint8_t data[3000];
    char key[16];
};

// The least key that was not given yet; in between the store is written.
static int next_change(void *arg, struct lsm_change *ret_change)
{
    struct incoming *in = arg;
    struct random *r = &in->h->random;
    unsigned least = KEYS;
    char text[16];
    for (unsigned i = 0; i < KEYS; i++)
        if (!in->given[i]) {
            key_of(i, text);
            if (least == KEYS || strcmp(text, in->key) < 0) {
                strcpy(in->key, text);
                least = i;
            }
        }
    if (least == KEYS)
        return 0;
    in->given[least] = true;
    if (one_in(r, 30))
        do_write(in->h);
    struct value v = {.seed = random_next(r),
                      .size = one_in(r, 3)   ? NO_VALUE
                              : one_in(r, 5) ? random_below(r, sizeof in->data)
                                             : random_below(r, 300)};
    in->map.values[least] = v;
    *ret_change = (struct lsm_change){.key = in->key, .key_size = strlen(in->key)};
    ret_change->is_delete = v.size == NO_VALUE;
    if (v.size != NO_VALUE) {
        value_bytes(&v, in->data);
        ret_change->value = in->data;
        ret_change->value_size = v.size;
    }
    return 1;
}

static bool same_value(const struct value *a, const struct value *b)
{
    static uint8_t bytes[3000];
    if (a->size != b->size || a->size == NO_VALUE)
        return a->size == b->size;
    value_bytes(a, bytes);
    return value_equal(b, bytes, a->size);
}

// What the store is to show after the changes to `base` were taken in.
static void ingested(struct history *h, const struct named *base, const struct incoming *in,
                     struct named *named)
{
    uint64_t changes = ++h->writes, again = ++h->writes;
    for (unsigned i = 0; i < KEYS; i++) {
        bool since = h->map.written[i] > base->writes;
        named->map.values[i] = in->map.values[i];
        if (since || in->map.written[i])
            named->map.written[i] = changes;
        else
            named->map.written[i] = h->map.written[i];
        if (since && i % 5 == 0) {
            h->map.written[i] = again;
        } else {
            h->map.values[i] = in->map.values[i];
            h->map.written[i] = named->map.written[i];
        }
    }
    named->writes = changes;
}

static void do_ingest(struct history *h)
{
    struct random *r = &h->random;
    struct named *base = draw_named(h), *named = draw_named(h);
    static struct incoming in;
    struct lsm_ingest *ingest;
    struct lsm_ingest_rules rules = {.keep = is_kept, .fixed = one_in(r, 3) ? is_fixed : NULL};
    if (!base->name[0] || named->name[0])
        return;
    in = (struct incoming){.h = h, .map = base->map};
    unsigned share = 1 + random_below(r, 8);
    for (unsigned i = 0; i < KEYS; i++) {
        in.given[i] = random_below(r, 8) >= share;
        in.map.written[i] = !in.given[i]; // by the changes
    }
    OK(lsm_ingest_read(h->db, next_change, &in, &ingest));
    if (one_in(r, 2))
        do_write(h);
    bool refused = false;
    for (unsigned i = 0; rules.fixed && i < KEYS; i += 7)
        refused = refused || (i % 5 && h->map.written[i] > base->writes &&
                              !same_value(&h->map.values[i], &base->map.values[i]));
    char name[16];
    snprintf(name, sizeof name, "s%u", h->names++);
    struct lsm_snapshot_info origin = {.name = name, .created_us = 1};
    int rc = lsm_ingest_apply(h->db, ingest, base->name, &origin, &rules);
    EXPECT(rc == (refused ? 1 : 0), "%d, seed %" PRIu64 ": %s", rc, current_seed,
           lsm_error_detail());
    lsm_ingest_free(h->db, ingest);
    if (!refused) {
        OK(lsm_snapshot_list(h->db, see_id, h));
        strcpy(named->name, name);
        named->id = h->last_id;
        ingested(h, base, &in, named);
    }
    if (!refused && one_in(r, 2)) { // what was acknowledged is durable
        env_fault_power_cut(h->env, one_in(r, 2) ? 0 : random_next(r));
        (void)!lsm_close(h->db);
        OK(lsm_open("/db", &h->options, &h->db));
    }
    compare_all(h, h->db);
}

static void do_maintain(struct history *h)
{
    switch (random_below(&h->random, 4)) {
    case 0:
        OK(lsm_compact_range(h->db, NULL, 0, NULL, 0));
        break;
    case 1:
        OK(lsm_wait_idle(h->db));
        break;
    default:
        OK(lsm_flush(h->db));
    }
}

static void do_checkpoint(struct history *h)
{
    char path[32];
    struct lsm *copy;
    snprintf(path, sizeof path, "/copy%u", h->copies++);
    OK(lsm_checkpoint(h->db, path));
    OK(lsm_open(path, &h->options, &copy));
    compare_all(h, copy);
    OK(lsm_close(copy));
    OK(lsm_destroy(path, &h->options));
}

static void do_reopen(struct history *h)
{
    struct random *r = &h->random;
    unsigned how = random_below(r, 4);
    if (how == 0) {
        OK(lsm_sync(h->db));
        env_fault_power_cut(h->env, one_in(r, 2) ? 0 : random_next(r));
    } else if (how == 1) {
        env_fault_kill(h->env);
    }
    int rc = lsm_close(h->db);
    CHECK(how < 2 || rc == LSM_OK);
    if (one_in(r, 3))
        draw_options(h);
    if (one_in(r, 4)) { // the manifest is whole: repair keeps its snapshots
        OK(lsm_repair("/db", &h->options));
    }
    OK(lsm_open("/db", &h->options, &h->db));
    compare_all(h, h->db);
}

static void run_history(uint64_t seed)
{
    struct history *h = calloc(1, sizeof *h);
    current_seed = seed;
    h->random.state = seed;
    h->env = env_fault_new();
    env_fault_seed(h->env, seed);
    draw_options(h);
    for (unsigned i = 0; i < KEYS; i++)
        h->map.values[i].size = NO_VALUE;
    OK(lsm_open("/db", &h->options, &h->db));
    unsigned steps = 20 + random_below(&h->random, 100);
    for (unsigned n = 0; n < steps; n++) {
        unsigned what = random_below(&h->random, 42);
        if (what < 20)
            do_write(h);
        else if (what < 28)
            do_snapshot(h);
        else if (what < 32)
            do_diff(h);
        else if (what < 36)
            do_maintain(h);
        else if (what < 37)
            do_checkpoint(h);
        else if (what < 38)
            do_reopen(h);
        else if (what < 39)
            do_rollback(h);
        else if (what < 41)
            do_ingest(h);
        else if (draw_named(h)->name[0])
            compare_all(h, h->db);
    }
    compare_all(h, h->db);
    OK(lsm_check(h->db, NULL, NULL, NULL));
    OK(lsm_close(h->db));
    lsm_buf_release(&h->buf);
    env_fault_free(h->env);
    free(h);
}

START_TEST(test_histories)
{
    // A history here takes ten times as long as one of the engine model.
    uint64_t seed = seed_from_env(), count = (from_env("LSM_HISTORIES", 10000) + 9) / 10;
    printf("%" PRIu64 " histories from seed %" PRIu64 "\n", count, seed);
    fflush(stdout);
    for (uint64_t i = 0; i < count; i++)
        run_history(seed + i);
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("histories");
    tcase_add_test(tc, test_histories);
    return run_case("snapshot model", tc, 3600);
}
