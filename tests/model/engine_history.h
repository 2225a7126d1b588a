// One random history of the engine, for test_engine_model.c: the store and the options it is opened
// with, the keys, the model (a sorted map in memory), what can be taken back from the model after a
// power cut, and the comparison of both.
//
// Everything a history draws comes from its own random numbers, in the order of the calls.
#ifndef LSM_TESTS_ENGINE_HISTORY_H
#define LSM_TESTS_ENGINE_HISTORY_H

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include "disk/cluster_store.h"
#include "engine_util.h"

#define KEYS_MAX     256
#define KEY_SIZE_MAX 3000
#define VALUE_MAX    (40u << 10)
#define SNAPSHOTS    4
#define ITERATORS    3
#define NO_VALUE     UINT32_MAX

// What each key's value is; size NO_VALUE: absent. Indexed as the history's keys, which are sorted.
struct map {
    struct value values[KEYS_MAX];
};

struct undo {
    unsigned key;
    unsigned write; // number of the write
    struct value before;
};

struct cursor {
    struct lsm_iter *iter;
    struct map map; // as of its making
    int low, end;   // keys within its bounds
    int at;         // -1: not valid
};

struct history {
    struct random random;
    const char *path;
    bool in_cluster; // else on a simulated disk
    bool held;       // the log of `db`: a death loses what was not synced
    struct cluster_store cluster;
    char cache[4096]; // a directory for a store in a cluster
    struct env *env;
    struct lsm *db;
    struct lsm_options options;
    uint8_t *keys[KEYS_MAX];
    size_t key_sizes[KEYS_MAX];
    unsigned key_count;
    unsigned value_max;
    struct map map;
    struct {
        const struct lsm_snapshot *snapshot;
        struct map map;
    } snapshots[SNAPSHOTS];
    struct cursor cursors[ITERATORS];
    // What was written since all was durable.
    struct undo *undo;
    size_t undo_count, undo_capacity;
    unsigned writes;
    unsigned copies; // checkpoints made
    struct lsm_buf buf;
};

// Shared with the parent, which tells of it if the child dies.
static struct {
    uint64_t seed;
    uint64_t step;
    char last[64];
} * running;

#define CHECK(condition, ...)                                                                      \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            char message_[512];                                                                    \
            snprintf(message_, sizeof message_, __VA_ARGS__);                                      \
            expect_failed(                                                                         \
                __FILE__, __LINE__, #condition,                                                    \
                "%s (seed %" PRIu64 ", step %" PRIu64 " %s; the engine's last word: %s)",          \
                message_, running->seed, running->step, running->last, lsm_error_detail());        \
        }                                                                                          \
    } while (0)

#define OK(call) CHECK((call) == LSM_OK, "failed")

// ------------------------------------------------------------------------------------- the history

static inline struct random *rnd(struct history *h)
{
    return &h->random;
}

static inline int compare_bytes(const void *a, size_t a_size, const void *b, size_t b_size)
{
    size_t n = a_size < b_size ? a_size : b_size;
    int c = n ? memcmp(a, b, n) : 0;
    return c ? c : a_size < b_size ? -1 : a_size > b_size;
}

static inline size_t make_key(struct history *h, unsigned kind, unsigned i, uint8_t *key)
{
    static const uint8_t few[] = {0x00, 0x01, 0x02, 'a', 'b', 0xfe, 0xff};
    size_t size = 0;
    switch (kind) {
    case 0: // ascending text
        return (size_t)sprintf((char *)key, "key%08u", i * 7);
    case 1: // spread
        for (; size < 8; size++)
            key[size] = (uint8_t)random_next(rnd(h));
        return size;
    case 2: // each the beginning of the next
        memset(key, 'p', i + 1);
        return i + 1;
    case 3: // few different bytes, 1 to 5 of them
        size = 1 + random_below(rnd(h), 5);
        for (size_t k = 0; k < size; k++)
            key[k] = few[random_below(rnd(h), sizeof few)];
        return size;
    default: // long, alike for the most part
        size = 100 + random_below(rnd(h), KEY_SIZE_MAX - 100);
        memset(key, 'L', size);
        key[90 + random_below(rnd(h), 10)] = (uint8_t)random_next(rnd(h));
        key[size - 1] = (uint8_t)i;
        return size;
    }
}

// Draws the keys, in order and without doubles.
static inline void make_keys(struct history *h)
{
    static const unsigned counts[] = {1, 3, 12, 40, 120, KEYS_MAX};
    unsigned wanted = counts[random_below(rnd(h), 6)], kind = random_below(rnd(h), 5);
    if (kind == 4 && wanted > 40)
        kind = 3;
    for (unsigned i = 0; i < wanted; i++) {
        uint8_t key[KEY_SIZE_MAX];
        size_t size = make_key(h, kind, i, key);
        unsigned at = h->key_count;
        while (at > 0 && compare_bytes(h->keys[at - 1], h->key_sizes[at - 1], key, size) > 0)
            at--;
        if (at > 0 && compare_bytes(h->keys[at - 1], h->key_sizes[at - 1], key, size) == 0)
            continue;
        memmove(h->keys + at + 1, h->keys + at, (h->key_count - at) * sizeof *h->keys);
        memmove(h->key_sizes + at + 1, h->key_sizes + at,
                (h->key_count - at) * sizeof *h->key_sizes);
        h->keys[at] = malloc(size);
        memcpy(h->keys[at], key, size);
        h->key_sizes[at] = size;
        h->key_count++;
    }
}

// To some files of the cache: they go, or have other bytes.
static inline void harm_cache(struct history *h)
{
    DIR *dir = opendir(h->cache);
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        uint8_t bytes[64];
        if (entry->d_name[0] == '.' || !one_in(rnd(h), 4))
            continue;
        if (one_in(rnd(h), 2)) {
            (void)!unlinkat(dirfd(dir), entry->d_name, 0);
            continue;
        }
        int fd = openat(dirfd(dir), entry->d_name, O_WRONLY | O_CLOEXEC);
        for (unsigned i = 0; i < sizeof bytes; i++)
            bytes[i] = (uint8_t)random_next(rnd(h));
        (void)!pwrite(fd, bytes, sizeof bytes, random_below(rnd(h), 200000));
        if (one_in(rnd(h), 2))
            (void)!ftruncate(fd, random_below(rnd(h), 200000));
        close(fd);
    }
    if (dir)
        closedir(dir);
}

static inline void remove_cache(struct history *h)
{
    DIR *dir = opendir(h->cache);
    for (struct dirent *entry; dir && (entry = readdir(dir));)
        (void)!unlinkat(dirfd(dir), entry->d_name, 0);
    if (dir)
        closedir(dir);
    (void)!rmdir(h->cache);
}

// Every option anew, at each opening: nothing that is on disk depends on those of an earlier one.
static inline void draw_options(struct history *h)
{
    static const size_t blocks[] = {512, 512, 1024, 4096, 65536};
    static const unsigned restarts[] = {1, 2, 16, 1024};
    static const unsigned blooms[] = {0, 1, 10, 32};
    static const size_t caches[] = {0, 2048, 64 << 10, 8 << 20};
    static const unsigned intervals[] = {0, 0, 0, 1, 1000};
    static const size_t buffers[] = {64 << 10, 64 << 10, 64 << 10, 256 << 10, 4 << 20};
    static const size_t tables[] = {64 << 10, 64 << 10, 200000, 1 << 20};
    static const size_t blob_sizes[] = {0, 0, 1, 64, 500, 2000, VALUE_MAX, 1 << 30};
    struct lsm_options *o = &h->options;
    lsm_options_init(o);
    o->env = h->env;
    o->write_buffer_size = buffers[random_below(rnd(h), 5)];
    o->max_write_buffers = 2 + random_below(rnd(h), 3);
    o->block_cache_size = caches[random_below(rnd(h), 4)];
    o->max_open_tables = one_in(rnd(h), 2) ? 16 : 1000;
    static const uint64_t map_budgets[] = {0, 64 << 10, 256 << 20};
    o->map_budget = map_budgets[random_below(rnd(h), 3)];
    o->block_size = blocks[random_below(rnd(h), 5)];
    o->restart_interval = restarts[random_below(rnd(h), 4)];
    o->bloom_bits_per_key = blooms[random_below(rnd(h), 4)];
    o->compression = random_below(rnd(h), 3);
    o->bottom_compression = random_below(rnd(h), 3);
    o->checksums = random_below(rnd(h), 3);
    o->table_size = tables[random_below(rnd(h), 4)];
    o->level_base_size = one_in(rnd(h), 2) ? 128 << 10 : 1 << 20;
    o->level_ratio = 2 + random_below(rnd(h), 9);
    o->l0_compact = 1 + random_below(rnd(h), 4);
    o->l0_slowdown = o->l0_compact + 1 + random_below(rnd(h), 8);
    o->l0_stop = o->l0_slowdown + 1 + random_below(rnd(h), 8);
    o->compaction_threads = 1 + random_below(rnd(h), 2);
    o->wal_mode = random_below(rnd(h), 4);
    if (h->in_cluster && o->wal_mode == LSM_WAL_MAPPED) // a cluster cannot
        o->wal_mode = LSM_WAL_AUTO;
    o->sync_interval_ms = intervals[random_below(rnd(h), 5)];
    o->blob_file_size = one_in(rnd(h), 2) ? 4 << 10 : 64 << 10;
    o->blob_garbage_ratio = 5 + random_below(rnd(h), 60);
    o->blob_min = blob_sizes[random_below(rnd(h), 8)];
    o->blob_compression = random_below(rnd(h), 3);
    if (h->in_cluster && one_in(rnd(h), 2)) {
        harm_cache(h);
        o->disk_cache_dir = h->cache;
        o->disk_cache_size = one_in(rnd(h), 2) ? 1 << 20 : 64 << 20;
    }
}

static inline struct history *history_new(uint64_t seed, bool in_cluster)
{
    static const unsigned sizes[] = {10, 100, 500, 3000, VALUE_MAX};
    struct history *h = calloc(1, sizeof *h);
    CHECK(h, "no memory");
    h->random.state = seed;
    h->in_cluster = in_cluster;
    h->path = in_cluster ? CLUSTER_STORE_PATH : "/db";
    if (in_cluster) {
        const char *tmp = getenv("TMPDIR");
        snprintf(h->cache, sizeof h->cache, "%s/engine-model-XXXXXX", tmp ? tmp : "/tmp");
        CHECK(mkdtemp(h->cache), "no directory");
        cluster_store_init(&h->cluster, seed);
        h->env = h->cluster.env;
    } else {
        h->env = env_fault_new();
        env_fault_seed(h->env, seed);
    }
    make_keys(h);
    h->value_max = sizes[random_below(rnd(h), one_in(rnd(h), 4) ? 5 : 4)];
    for (unsigned i = 0; i < KEYS_MAX; i++)
        h->map.values[i].size = NO_VALUE;
    return h;
}

static inline void history_free(struct history *h)
{
    lsm_buf_release(&h->buf);
    if (h->in_cluster) {
        remove_cache(h);
        cluster_store_release(&h->cluster);
    } else {
        env_fault_free(h->env);
    }
    for (unsigned i = 0; i < h->key_count; i++)
        free(h->keys[i]);
    free(h->undo);
    free(h);
}

// What was written so far survives a power cut: nothing of it will be taken back.
static inline void all_durable(struct history *h)
{
    h->undo_count = 0;
}

// ------------------------------------------------------------------------------------- comparing

static inline void compare_entry(struct history *h, struct lsm_iter *it, const struct map *map,
                                 int at)
{
    size_t size;
    const void *data = lsm_iter_key(it, &size);
    CHECK(compare_bytes(data, size, h->keys[at], h->key_sizes[at]) == 0, "key %d expected", at);
    if (one_in(rnd(h), 8)) { // a part of it, without the rest
        uint8_t part[64];
        uint32_t from = random_below(rnd(h), (uint64_t)map->values[at].size + 2);
        struct value v = map->values[at];
        OK(lsm_iter_read(it, from, part, sizeof part, &size));
        v.size = from > v.size ? 0 : v.size - from < sizeof part ? v.size - from : sizeof part;
        v.offset += from;
        CHECK(value_equal(&v, part, size), "wrong part of key %d", at);
        CHECK(lsm_iter_value_size(it) == map->values[at].size, "size of key %d", at);
    }
    data = lsm_iter_value(it, &size);
    CHECK(value_equal(&map->values[at], data, size), "wrong value of key %d (%zu bytes, not %u)",
          at, size, map->values[at].size);
}

// The next present key from `at` on in [low, end), in steps of 1 or -1; -1 if there is none.
static inline int next_present(const struct map *map, int at, int step, int low, int end)
{
    for (; at >= low && at < end; at += step)
        if (map->values[at].size != NO_VALUE)
            return at;
    return -1;
}

// Walks the whole store both ways; it holds exactly what the map says.
static inline void compare_all(struct history *h, struct lsm *db, const struct map *map)
{
    struct lsm_iter *it;
    OK(lsm_iter_new(db, NULL, &it));
    int count = (int)h->key_count, at = next_present(map, 0, 1, 0, count);
    for (lsm_iter_seek_first(it); lsm_iter_valid(it); lsm_iter_next(it)) {
        CHECK(at >= 0, "an entry too many");
        compare_entry(h, it, map, at);
        at = next_present(map, at + 1, 1, 0, count);
    }
    OK(lsm_iter_status(it));
    CHECK(at < 0, "key %d is missing", at);
    at = next_present(map, count - 1, -1, 0, count);
    for (lsm_iter_seek_last(it); lsm_iter_valid(it); lsm_iter_prev(it)) {
        CHECK(at >= 0, "an entry too many, going back");
        compare_entry(h, it, map, at);
        at = next_present(map, at - 1, -1, 0, count);
    }
    OK(lsm_iter_status(it));
    CHECK(at < 0, "key %d is missing, going back", at);
    lsm_iter_free(it);
}

static inline void compare_get(struct history *h, const struct lsm_snapshot *snapshot,
                               const struct map *map, unsigned key)
{
    struct lsm_read_options ro = {.snapshot = snapshot, .no_fill_cache = one_in(rnd(h), 4)};
    int rc = lsm_get(h->db, &ro, h->keys[key], h->key_sizes[key], &h->buf);
    if (map->values[key].size == NO_VALUE)
        CHECK(rc == LSM_NOT_FOUND, "get of absent key %u: %d", key, rc);
    else
        CHECK(rc == 0 && value_equal(&map->values[key], h->buf.data, h->buf.size),
              "get of key %u: %d", key, rc);
}

static inline void check_store(struct lsm *db)
{
    int rc = lsm_check(db, NULL, NULL, NULL);
    CHECK(rc == LSM_OK, "check: %d", rc);
}

// ------------------------------------------------------------------------------------- the model

// Sets the key's value (NO_VALUE: it is deleted) in the model, and notes what it was before, so
// that find_prefix() can take the change back. `h->writes` is the number of the write.
static inline void model_set(struct history *h, unsigned key, struct value value)
{
    if (h->undo_count == h->undo_capacity) {
        h->undo_capacity = h->undo_capacity ? 2 * h->undo_capacity : 64;
        h->undo = realloc(h->undo, h->undo_capacity * sizeof *h->undo);
    }
    h->undo[h->undo_count++] = (struct undo){key, h->writes, h->map.values[key]};
    h->map.values[key] = value;
}

// Takes the model back to the write that the store ends with: the newest state of it since all was
// durable that equals the store.
static inline void find_prefix(struct history *h)
{
    struct map found;
    struct lsm_iter *it;
    unsigned at = 0;
    OK(lsm_iter_new(h->db, NULL, &it));
    bool present[KEYS_MAX] = {false};
    for (lsm_iter_seek_first(it); lsm_iter_valid(it); lsm_iter_next(it)) {
        size_t size;
        const void *key = lsm_iter_key(it, &size);
        while (at < h->key_count && compare_bytes(h->keys[at], h->key_sizes[at], key, size) < 0)
            at++;
        CHECK(at < h->key_count, "a key from nowhere");
        present[at] = true;
    }
    OK(lsm_iter_status(it));
    lsm_iter_free(it);
    for (;;) {
        bool equal = true;
        found = h->map;
        for (unsigned i = 0; i < h->key_count && equal; i++) {
            equal = present[i] == (found.values[i].size != NO_VALUE);
            if (equal && present[i]) {
                OK(lsm_get(h->db, NULL, h->keys[i], h->key_sizes[i], &h->buf));
                equal = value_equal(&found.values[i], h->buf.data, h->buf.size);
            }
        }
        if (equal)
            return;
        CHECK(h->undo_count > 0, "the store is no prefix of what was written since it was synced");
        unsigned write = h->undo[h->undo_count - 1].write;
        while (h->undo_count > 0 && h->undo[h->undo_count - 1].write == write) {
            h->undo_count--;
            h->map.values[h->undo[h->undo_count].key] = h->undo[h->undo_count].before;
        }
    }
}

// Closes the iterators and snapshots that the history has open.
static inline void release_readers(struct history *h)
{
    for (unsigned i = 0; i < ITERATORS; i++) {
        lsm_iter_free(h->cursors[i].iter);
        h->cursors[i].iter = NULL;
    }
    for (unsigned i = 0; i < SNAPSHOTS; i++) {
        lsm_snapshot_free(h->db, h->snapshots[i].snapshot);
        h->snapshots[i].snapshot = NULL;
    }
}

#endif
