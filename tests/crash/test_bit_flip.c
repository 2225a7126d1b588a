// A flipped bit in every byte of a small store, on a simulated disk.
//
// The store has tables on two levels, each hiding older values in the one below, in all
// compressions, and a log whose first part is synced. For each byte of each of its files one bit is
// flipped, the store is opened, everything is read by get and by scans both ways, and it is
// checked. Whatever is read is right, or an error; damage to tables, manifest and CURRENT is always
// reported, with the file's name; of the log only a tail that was not synced may be lost. Without
// checksums (LSM_CHECKSUMS_NEVER) the data may be wrong, but nothing else may happen.
//
// Opened read-only, so that one store serves all flips; sampled, opened for writing as well.
// LSM_STEP visits every n-th byte only, LSM_SEED chooses the bits.
#include "engine_util.h"

#define KEYS      240
#define LOG_SYNC  20 // records of the log before the sync
#define LOG_TAIL  6  // and after it
#define FILES_MAX 32

struct file_image {
    char path[64];
    uint64_t size;
    enum { OTHER, TABLE, MANIFEST, CURRENT, LOG } kind;
};

struct store {
    struct env *env;
    struct lsm_options options;
    struct file_image files[FILES_MAX];
    unsigned file_count;
    uint64_t log_end; // bytes of the log in use
    struct lsm_buf buf;
};

static char what[160]; // the flip, for messages

// ------------------------------------------------------------------------------------- the store

static size_t key_of(char *key, int i)
{
    return (size_t)sprintf(key, "key-%05d", i * 3);
}

static struct value value_of(int i, int generation)
{
    return (struct value){.seed = (uint64_t)(i * 8 + generation), .size = 20 + (uint32_t)i % 50};
}

static void put(struct lsm *db, int i, int generation)
{
    char key[32];
    uint8_t data[80];
    struct value v = value_of(i, generation);
    value_bytes(&v, data);
    EXPECT(lsm_put(db, NULL, key, key_of(key, i), data, v.size) == 0, "%s", lsm_error_detail());
}

static void delete_one(struct lsm *db, int i)
{
    char key[32];
    EXPECT(lsm_delete(db, NULL, key, key_of(key, i)) == 0, "%s", lsm_error_detail());
}

// The key that record n of the log overwrites.
static int logged_key(int n)
{
    return n * 8 + 1;
}

// What key i is: 0: absent, else the generation of its value. `records` of the log count.
static int generation_of(int i, int records)
{
    if (i % 8 == 1 && i / 8 < records)
        return 3;
    if (i % 5 == 0)
        return 0; // deleted in the second generation
    return i % 2 == 0 ? 2 : 1;
}

static int list_one(void *arg, const char *name)
{
    struct store *store = arg;
    struct file_image *file = &store->files[store->file_count++];
    EXPECT(store->file_count < FILES_MAX, "too many files");
    snprintf(file->path, sizeof file->path, "/db/%s", name);
    size_t size = strlen(name);
    file->kind = size > 4 && !strcmp(name + size - 4, ".sst")   ? TABLE
                 : size > 4 && !strcmp(name + size - 4, ".log") ? LOG
                 : !strncmp(name, "MANIFEST", 8)                ? MANIFEST
                 : !strcmp(name, "CURRENT")                     ? CURRENT
                                                                : OTHER;
    return 0;
}

// By kind and number: so a store made anew has its files in the same places, whatever their
// numbers.
static int compare_files(const void *a, const void *b)
{
    const struct file_image *x = a, *y = b;
    return x->kind != y->kind ? (int)x->kind - (int)y->kind : strcmp(x->path, y->path);
}

static void make_store(struct store *store, enum lsm_compression compression)
{
    struct lsm *db;
    *store = (struct store){.env = env_fault_new()};
    lsm_options_init(&store->options);
    store->options.env = store->env;
    store->options.write_buffer_size = 64 << 10;
    store->options.table_size = 64 << 10;
    store->options.block_size = 512;
    store->options.compression = store->options.bottom_compression = compression;
    store->options.wal_mode = LSM_WAL_MAPPED;
    store->options.block_cache_size = 0;
    EXPECT(lsm_open("/db", &store->options, &db) == 0, "%s", lsm_error_detail());
    for (int i = 0; i < KEYS; i++)
        put(db, i, 1);
    EXPECT(lsm_compact_range(db, NULL, 0, NULL, 0) == 0, "%s", lsm_error_detail());
    for (int i = 0; i < KEYS; i += 2)
        put(db, i, 2);
    for (int i = 0; i < KEYS; i += 5)
        delete_one(db, i);
    EXPECT(lsm_flush(db) == 0, "%s", lsm_error_detail());
    for (int n = 0; n < LOG_SYNC; n++)
        put(db, logged_key(n), 3);
    EXPECT(lsm_sync(db) == 0, "%s", lsm_error_detail());
    for (int n = LOG_SYNC; n < LOG_SYNC + LOG_TAIL; n++)
        put(db, logged_key(n), 3);
    EXPECT(lsm_property_uint(db, "wal-bytes", &store->log_end), "no wal-bytes");
    env_fault_kill(store->env); // a close would sync
    (void)!lsm_close(db);
    EXPECT(store->env->ops->list(store->env, "/db", list_one, store) == 0, "list");
    for (unsigned i = 0; i < store->file_count; i++) {
        struct env_stat stat;
        EXPECT(store->env->ops->stat(store->env, store->files[i].path, &stat) == 0, "stat");
        store->files[i].size = stat.size;
    }
    qsort(store->files, store->file_count, sizeof *store->files, compare_files);
}

static void free_store(struct store *store)
{
    lsm_buf_release(&store->buf);
    env_fault_free(store->env);
}

// ------------------------------------------------------------------------------------- looking

struct seen {
    const char *name; // of the file with the flip
    int errors;       // calls that failed
    bool named;       // a message had the file's name
    int records;      // of the log that count
    bool trust;       // data must be right
};

static void note_error(struct seen *seen, int rc)
{
    if (rc == 0)
        return;
    EXPECT(rc == LSM_CORRUPTION || rc == LSM_IO_ERROR || rc == LSM_NEWER_FORMAT ||
               rc == LSM_NOT_A_STORE,
           "%s: %s: %s", what, lsm_strerror(rc), lsm_error_detail());
    seen->errors++;
    seen->named = seen->named || strstr(lsm_error_detail(), seen->name);
}

static void get_all(struct store *store, struct lsm *db, struct seen *seen)
{
    for (int i = 0; i < KEYS; i++) {
        char key[32];
        int rc = lsm_get(db, NULL, key, key_of(key, i), &store->buf);
        int generation = generation_of(i, seen->records);
        if (rc == LSM_NOT_FOUND) {
            EXPECT(!seen->trust || generation == 0, "%s: key %d has vanished", what, i);
        } else if (rc) {
            note_error(seen, rc);
        } else {
            struct value v = value_of(i, generation);
            EXPECT(!seen->trust ||
                       (generation && value_equal(&v, store->buf.data, store->buf.size)),
                   "%s: get of key %d gives wrong bytes", what, i);
        }
    }
}

static int next_key(int i, int step, int records)
{
    do
        i += step;
    while (i >= 0 && i < KEYS && generation_of(i, records) == 0);
    return i;
}

static void scan_all(struct lsm *db, struct seen *seen, bool forward)
{
    struct lsm_iter *it;
    int rc = lsm_iter_new(db, NULL, &it);
    if (rc) {
        note_error(seen, rc);
        return;
    }
    int i = next_key(forward ? -1 : KEYS, forward ? 1 : -1, seen->records), met = 0;
    forward ? lsm_iter_seek_first(it) : lsm_iter_seek_last(it);
    for (; lsm_iter_valid(it) && met < 10 * KEYS; met++) {
        if (seen->trust) {
            char key[32];
            size_t size, key_size = key_of(key, i);
            EXPECT(i >= 0 && i < KEYS, "%s: a scan gives too much", what);
            const void *data = lsm_iter_key(it, &size);
            EXPECT(size == key_size && !memcmp(data, key, size), "%s: not key %d", what, i);
            data = lsm_iter_value(it, &size);
            struct value v = value_of(i, generation_of(i, seen->records));
            EXPECT(value_equal(&v, data, size), "%s: scan: wrong bytes of key %d", what, i);
        }
        i = next_key(i, forward ? 1 : -1, seen->records);
        forward ? lsm_iter_next(it) : lsm_iter_prev(it);
    }
    rc = lsm_iter_status(it);
    note_error(seen, rc);
    EXPECT(rc || !seen->trust || i < 0 || i >= KEYS, "%s: a scan ends at key %d", what, i);
    lsm_iter_free(it);
}

static void report(void *arg, const char *problem)
{
    struct seen *seen = arg;
    seen->named = seen->named || strstr(problem, seen->name);
}

// How much of the log the store has, which may be less than was written only if a bit of it was
// flipped: then all of it up to there, and at least what was synced.
static void count_records(struct store *store, struct lsm *db, const struct file_image *file,
                          struct seen *seen)
{
    seen->records = LOG_SYNC + LOG_TAIL;
    if (file->kind != LOG)
        return;
    for (int n = LOG_SYNC + LOG_TAIL; n > LOG_SYNC; n--) {
        char key[32];
        struct value v = value_of(logged_key(n - 1), 3);
        int rc = lsm_get(db, NULL, key, key_of(key, logged_key(n - 1)), &store->buf);
        if (rc == 0 && value_equal(&v, store->buf.data, store->buf.size))
            return;
        seen->records = n - 1;
    }
}

// Opens the store, with one bit of `file` flipped, and looks at everything.
static void look(struct store *store, const struct file_image *file, enum lsm_checksums checksums,
                 bool read_only)
{
    struct lsm *db;
    struct lsm_options options = store->options;
    struct seen seen = {.name = file->path + 4, .trust = checksums != LSM_CHECKSUMS_NEVER};
    options.checksums = checksums;
    options.read_only = read_only;
    int rc = lsm_open("/db", &options, &db);
    if (rc == 0) {
        count_records(store, db, file, &seen);
        get_all(store, db, &seen);
        scan_all(db, &seen, true);
        scan_all(db, &seen, false);
        rc = lsm_check(db, report, NULL, &seen);
        note_error(&seen, rc);
        EXPECT(read_only || file->kind == TABLE || rc == 0, "%s: taken, then damaged: %s", what,
               lsm_error_detail());
        (void)!lsm_close(db);
    } else {
        note_error(&seen, rc);
    }
    bool must = file->kind == TABLE || file->kind == MANIFEST || file->kind == CURRENT;
    EXPECT(!must || seen.errors, "%s: nobody has noticed", what);
    EXPECT(!seen.errors || seen.named, "%s: the file is not named: %s", what, lsm_error_detail());
}

// ------------------------------------------------------------------------------------- the sweep

static void flip(struct store *store, const struct file_image *file, uint64_t offset, unsigned bit)
{
    int rc = env_fault_flip(store->env, file->path, offset, bit);
    EXPECT(rc == 0, "%s: %s", what, lsm_error_detail());
}

// Bytes of the file that are worth a visit: of a log, those in use and a few beyond.
static uint64_t end_of(const struct store *store, const struct file_image *file)
{
    if (file->kind == LOG && file->size > store->log_end + 64)
        return store->log_end + 64;
    return file->kind == OTHER ? 0 : file->size;
}

static void sweep(enum lsm_compression compression, enum lsm_checksums checksums)
{
    uint64_t seed = from_env("LSM_SEED", 1), step = from_env("LSM_STEP", 11), flips = 0;
    struct random random = {seed};
    struct store store;
    make_store(&store, compression);
    for (unsigned i = 0; i < store.file_count; i++) {
        for (uint64_t at = seed % step; at < end_of(&store, &store.files[i]); at += step, flips++) {
            const struct file_image *file = &store.files[i];
            unsigned bit = random_below(&random, 8);
            snprintf(what, sizeof what,
                     "%s, bit %u of byte %" PRIu64 " (compression %d, seed %" PRIu64 ")",
                     file->path, bit, at, compression, seed);
            flip(&store, file, at, bit);
            look(&store, file, checksums, true);
            if (flips % 16 == 0) {
                look(&store, file, checksums, false);
                free_store(&store);
                make_store(&store, compression);
            } else {
                flip(&store, file, at, bit);
            }
        }
    }
    what[0] = 0;
    struct file_image none = {.path = "/db/none"};
    look(&store, &none, checksums, true); // the flips were all taken back
    free_store(&store);
    printf("compression %d, checksums %d: %" PRIu64 " flips\n", compression, checksums, flips);
}

START_TEST(test_flips)
{
    sweep((enum lsm_compression)_i, LSM_CHECKSUMS_ONCE);
}
END_TEST

START_TEST(test_flips_always)
{
    sweep(LSM_COMPRESSION_NONE, LSM_CHECKSUMS_ALWAYS);
}
END_TEST

START_TEST(test_flips_without_checksums)
{
    sweep((enum lsm_compression)_i, LSM_CHECKSUMS_NEVER);
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("bit flips");
    tcase_add_loop_test(tc, test_flips, 0, 3);
    tcase_add_test(tc, test_flips_always);
    tcase_add_loop_test(tc, test_flips_without_checksums, 0, 3);
    return run_case("bit flips", tc, 3600);
}
