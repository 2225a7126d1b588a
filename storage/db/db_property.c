// Properties: what the store tells about itself. Numbers are relaxed counters or are taken under
// mutex; the texts are for people.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/numbers.h"
#include "db/db.h"

struct totals { // gathered once under mutex
    bool disk_full, stalled;
    uint64_t tables, table_bytes, memtable_bytes, entries, wal_bytes, snapshots, writers, retries;
};

static struct totals totals_gather(struct lsm *db)
{
    struct totals t = {0};
    db_queue_lock(db);
    for (const struct writer *w = db->queue.head; w; w = w->next)
        t.writers++;
    db_queue_unlock(db);
    db_lock(db);
    t.disk_full = db_disk_is_full(db);
    t.stalled = db->pace.stalled;
    t.retries = db->jobs.retry.count;
    t.tables = version_files(db_version(db));
    t.table_bytes = version_bytes(db_version(db));
    t.memtable_bytes = memtable_bytes(db_active(db));
    t.entries = memtable_entries(db_active(db));
    t.wal_bytes = db_log_bytes(db_active_log(db));
    for (unsigned i = 0; i < db_immutables(db); i++) {
        t.memtable_bytes += memtable_bytes(db_immutable(db, i));
        t.entries += memtable_entries(db_immutable(db, i));
        t.wal_bytes += db_log_bytes(db_immutable_log(db, i));
    }
    for (unsigned n = 0; n < VERSION_LEVELS; n++)
        t.entries += version_level_entries(&db_version(db)->levels[n]);
    for (struct lsm_snapshot *s = db->snapshots.list.next; s != &db->snapshots.list; s = s->next)
        t.snapshots++;
    db_unlock(db);
    return t;
}

struct disk_scan {
    struct lsm *db;
    uint64_t bytes;
};

static int disk_name(void *arg, const char *name)
{
    struct disk_scan *scan = arg;
    struct env_stat stat;
    if (scan->db->env->ops->stat(scan->db->env, name, &stat) == LSM_OK && !stat.is_dir)
        scan->bytes += stat.allocated_bytes;
    return LSM_OK;
}

static uint64_t disk_bytes(struct lsm *db)
{
    struct disk_scan scan = {.db = db};
    (void)!db->env->ops->list(db->env, ENV_HERE, disk_name, &scan);
    return scan.bytes;
}

static uint64_t counter(const _Atomic uint64_t *c)
{
    return atomic_load_explicit(c, memory_order_relaxed);
}

// The sum of all tallies.
static struct db_tally tally_sum(const struct lsm *db)
{
    struct db_tally sum = {0};
    for (unsigned i = 0; i < DB_TALLIES; i++) {
        sum.gets += counter(&db->tallies[i].gets);
        sum.iters += counter(&db->tallies[i].iters);
        sum.searches += counter(&db->tallies[i].searches);
        sum.steps += counter(&db->tallies[i].steps);
    }
    return sum;
}

static uint64_t write_amp_x100(struct lsm *db)
{
    const struct db_counters *c = &db->counters;
    uint64_t user = counter(&c->user_bytes);
    struct blob_stats blobs;
    blob_store_stats(db->blobs, &blobs);
    uint64_t all = counter(&c->wal_bytes) + counter(&c->flush_bytes) +
                   counter(&c->compact_written) + blobs.written + blobs.moved;
    return user ? all * 100 / user : 0;
}

// Bytes of tables and blob files, divided by those of the largest level and of live blobs.
static uint64_t space_amp_x100(struct lsm *db, uint64_t table_bytes)
{
    struct blob_stats blobs;
    blob_store_stats(db->blobs, &blobs);
    uint64_t largest = 0;
    db_lock(db);
    for (unsigned n = 0; n < VERSION_LEVELS; n++)
        if (db_version(db)->levels[n].bytes > largest)
            largest = db_version(db)->levels[n].bytes;
    db_unlock(db);
    uint64_t wanted = largest + blobs.live;
    return wanted ? (table_bytes + blobs.bytes) * 100 / wanted : 100;
}

// ------------------------------------------------------------------------------------- figures

struct figure {
    const char *name;
    uint64_t value;
};

static bool find_figure(const struct figure *figures, size_t count, const char *name,
                        uint64_t *ret_value)
{
    for (size_t i = 0; i < count; i++) {
        if (!strcmp(name, figures[i].name)) {
            *ret_value = figures[i].value;
            return true;
        }
    }
    return false;
}

#define FIND_FIGURE(figures, name, ret_value)                                                      \
    find_figure(figures, sizeof(figures) / sizeof(figures)[0], name, ret_value)

static bool level_property(struct lsm *db, const char *name, uint64_t *ret_value)
{
    static const char prefix[] = "num-tables-at-level";
    uint64_t level;
    if (strncmp(name, prefix, sizeof prefix - 1))
        return false;
    const char *end = number_read(name + sizeof prefix - 1, 10, &level);
    if (!end || *end || level >= VERSION_LEVELS)
        return false;
    db_lock(db);
    *ret_value = db_version(db)->levels[level].count;
    db_unlock(db);
    return true;
}

// "<operation>-<figure>"
static bool latency_property(struct lsm *db, const char *name, uint64_t *ret_value)
{
    for (unsigned op = 0; op < LATENCY_OPS; op++) {
        size_t size = strlen(latency_name(op));
        if (strncmp(name, latency_name(op), size) || name[size] != '-')
            continue;
        struct latency_summary summary;
        latency_summarize(&db->latency[op], &summary);
        const struct figure figures[] = {
            {"p50-ns", summary.p50_ns}, {"p99-ns", summary.p99_ns}, {"p999-ns", summary.p999_ns},
            {"max-ns", summary.max_ns}, {"timed", summary.count},
        };
        if (FIND_FIGURE(figures, name + size + 1, ret_value))
            return true;
    }
    return false;
}

// What the store holds, and what it is doing.
static bool state_property(struct lsm *db, const char *name, uint64_t *ret_value)
{
    struct totals t = totals_gather(db);
    const struct figure figures[] = {
        {"num-tables", t.tables},
        {"table-bytes", t.table_bytes},
        {"entries", t.entries},
        {"memtable-bytes", t.memtable_bytes},
        {"wal-bytes", t.wal_bytes},
        {"last-sequence", atomic_load(&db->readers.visible)},
        {"snapshots", t.snapshots},
        {"writers-waiting", t.writers},
        {"stalled", t.stalled},
        {"disk-full", t.disk_full},
        {"retries", t.retries},
        {"write-amp-x100", write_amp_x100(db)},
        {"space-amp-x100", space_amp_x100(db, t.table_bytes)},
    };
    return FIND_FIGURE(figures, name, ret_value);
}

// What it has done since it was opened.
static bool work_property(struct lsm *db, const char *name, uint64_t *ret_value)
{
    const struct db_counters *c = &db->counters;
    const struct db_tally reads = tally_sum(db);
    const struct figure figures[] = {
        {"gets", reads.gets},
        {"iterators", reads.iters},
        {"iter-searches", reads.searches},
        {"iter-steps", reads.steps},
        {"writes", counter(&c->writes)},
        {"user-bytes-written", counter(&c->user_bytes)},
        {"wal-bytes-written", counter(&c->wal_bytes)},
        {"flush-bytes-written", counter(&c->flush_bytes)},
        {"compact-bytes-read", counter(&c->compact_read)},
        {"compact-bytes-written", counter(&c->compact_written)},
        {"flushes", counter(&c->flushes)},
        {"compactions", counter(&c->compactions)},
        {"trivial-moves", counter(&c->trivial_moves)},
        {"stall-us", counter(&c->stall_us)},
        {"slowdown-us", counter(&c->slowdown_us)},
    };
    return FIND_FIGURE(figures, name, ret_value);
}

static bool cache_property(struct lsm *db, const char *name, uint64_t *ret_value)
{
    struct block_cache_stats cache;
    block_cache_stats(db->block_cache, &cache);
    const struct figure figures[] = {
        {"cache-bytes", cache.bytes},
        {"cache-capacity", cache.capacity},
        {"cache-hits", cache.hits},
        {"cache-misses", cache.misses},
        {"open-tables", table_cache_open_tables(db->table_cache)},
        {"table-mem-bytes", table_cache_memory(db->table_cache)},
    };
    return FIND_FIGURE(figures, name, ret_value);
}

static bool blob_property(struct lsm *db, const char *name, uint64_t *ret_value)
{
    struct blob_stats blobs;
    blob_store_stats(db->blobs, &blobs);
    const struct figure figures[] = {
        {"num-blobs", blobs.files},
        {"blob-bytes", blobs.bytes},
        {"blob-live-bytes", blobs.live},
        {"blob-garbage-bytes", blobs.garbage},
        {"blob-bytes-written", blobs.written},
        {"blob-bytes-moved", blobs.moved},
        {"blobs-draining", blobs.draining},
    };
    return FIND_FIGURE(figures, name, ret_value);
}

static bool disk_cache_property(struct lsm *db, const char *name, uint64_t *ret_value)
{
    const struct disk_cache_stats disk = db_cache_stats(db);
    const struct figure figures[] = {
        {"disk-cache-bytes", disk.bytes},           {"disk-cache-capacity", disk.capacity},
        {"disk-cache-files", disk.files},           {"disk-cache-hits", disk.hits},
        {"disk-cache-misses", disk.misses},         {"disk-cache-hit-bytes", disk.hit_bytes},
        {"disk-cache-miss-bytes", disk.miss_bytes}, {"disk-cache-bytes-written", disk.written},
        {"disk-cache-evictions", disk.evictions},   {"disk-cache-damaged", disk.damaged},
    };
    return FIND_FIGURE(figures, name, ret_value);
}

bool lsm_property_uint(struct lsm *db, const char *name, uint64_t *ret_value)
{
    if (!strcmp(name, "disk-bytes")) {
        *ret_value = disk_bytes(db);
        return true;
    }
    return level_property(db, name, ret_value) || latency_property(db, name, ret_value) ||
           state_property(db, name, ret_value) || work_property(db, name, ret_value) ||
           cache_property(db, name, ret_value) || blob_property(db, name, ret_value) ||
           disk_cache_property(db, name, ret_value);
}

// ------------------------------------------------------------------------------------- texts

static void print_levels(struct lsm *db, FILE *out)
{
    struct read_view *view = db_view_ref(db, NULL);
    fprintf(out, "level  tables        bytes      entries   deletes\n");
    for (unsigned n = 0; n < VERSION_LEVELS; n++) {
        const struct version_level *level = &view->version->levels[n];
        uint64_t entries = 0, deletes = 0;
        for (unsigned i = 0; i < level->count; i++) {
            entries += level->files[i]->entries;
            deletes += level->files[i]->deletes;
        }
        if (level->count || n == 0)
            fprintf(out, "%5u %7u %12" PRIu64 " %12" PRIu64 " %9" PRIu64 "\n", n, level->count,
                    level->bytes, entries, deletes);
    }
    db_view_unref(view);
}

// What is kept for deleting (db_reserve.c), and who has met a full disk.
static void print_space(struct lsm *db, FILE *out)
{
    db_lock(db);
    unsigned full = db->space.full;
    bool spent = db->space.reserve == RESERVE_SPENT;
    uint64_t bytes = db_reserve_bytes(db);
    db_unlock(db);
    fprintf(out, "space        %" PRIu64 " bytes are kept for deleting%s%s%s%s\n", bytes,
            spent ? ", which is not enough" : "", full & DB_FULL_LOW ? "; writes find no room" : "",
            full & DB_FULL_FLUSH ? "; flushes find no room" : "",
            full & DB_FULL_COMPACTION ? "; compactions find no room" : "");
}

static void print_latency(struct lsm *db, FILE *out)
{
    fprintf(out, "latency       timed      p50 us      p99 us    p99.9 us      max us\n");
    for (unsigned op = 0; op < LATENCY_OPS; op++) {
        struct latency_summary s;
        latency_summarize(&db->latency[op], &s);
        if (s.count)
            fprintf(out, "%-7s %11" PRIu64 " %11.1f %11.1f %11.1f %11.1f\n", latency_name(op),
                    s.count, (double)s.p50_ns / 1e3, (double)s.p99_ns / 1e3,
                    (double)s.p999_ns / 1e3, (double)s.max_ns / 1e3);
    }
}

static void print_disk_cache(struct lsm *db, FILE *out)
{
    const struct disk_cache_stats s = db_cache_stats(db);
    uint64_t lookups = s.hits + s.misses;
    if (!db->cached)
        return;
    fprintf(out,
            "disk cache   %" PRIu64 " of %" PRIu64 " bytes, %.1f %% of %" PRIu64
            " look-ups hit; evicted %" PRIu64 ", damaged %" PRIu64 " files\n",
            s.bytes, s.capacity, lookups ? 100.0 * (double)s.hits / (double)lookups : 0.0, lookups,
            s.evictions, s.damaged);
}

static void print_stats(struct lsm *db, FILE *out)
{
    struct totals t = totals_gather(db);
    struct block_cache_stats cache;
    const struct db_counters *c = &db->counters;
    block_cache_stats(db->block_cache, &cache);
    uint64_t lookups = cache.hits + cache.misses;
    print_levels(db, out);
    fprintf(out, "memtables    %" PRIu64 " bytes, log %" PRIu64 " bytes\n", t.memtable_bytes,
            t.wal_bytes);
    fprintf(out, "block cache  %zu of %zu bytes, %.1f %% of %" PRIu64 " look-ups hit\n",
            cache.bytes, cache.capacity,
            lookups ? 100.0 * (double)cache.hits / (double)lookups : 0.0, lookups);
    print_disk_cache(db, out);
    fprintf(out, "open tables  %u, %zu bytes of index and filters\n",
            table_cache_open_tables(db->table_cache), table_cache_memory(db->table_cache));
    struct blob_stats blobs;
    blob_store_stats(db->blobs, &blobs);
    fprintf(out,
            "blob files   %" PRIu64 ", %" PRIu64 " bytes, %" PRIu64 " live, %" PRIu64
            " garbage; written %" PRIu64 ", moved %" PRIu64 "\n",
            blobs.files, blobs.bytes, blobs.live, blobs.garbage, blobs.written, blobs.moved);
    const struct db_tally reads = tally_sum(db);
    fprintf(out,
            "reads        %" PRIu64 " gets, %" PRIu64 " iterators (%" PRIu64 " searches, %" PRIu64
            " steps)\n",
            reads.gets, reads.iters, reads.searches, reads.steps);
    fprintf(out, "disk         %" PRIu64 " bytes in all files\n", disk_bytes(db));
    print_space(db, out);
    fprintf(out,
            "written      user %" PRIu64 ", log %" PRIu64 ", flush %" PRIu64 ", compaction %" PRIu64
            " bytes (write amplification %.2f)\n",
            counter(&c->user_bytes), counter(&c->wal_bytes), counter(&c->flush_bytes),
            counter(&c->compact_written), (double)write_amp_x100(db) / 100);
    fprintf(out, "jobs         %" PRIu64 " flushes, %" PRIu64 " compactions, %" PRIu64 " moves\n",
            counter(&c->flushes), counter(&c->compactions), counter(&c->trivial_moves));
    fprintf(out, "waits        %" PRIu64 " ms stalled, %" PRIu64 " ms slowed down\n",
            counter(&c->stall_us) / 1000, counter(&c->slowdown_us) / 1000);
    fprintf(out, "sequence     %" PRIu64 ", %" PRIu64 " snapshots\n",
            (uint64_t)atomic_load(&db->readers.visible), t.snapshots);
    print_latency(db, out);
}

char *lsm_property(struct lsm *db, const char *name)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    uint64_t value;
    if (!out)
        return NULL;
    bool known = true;
    if (!strcmp(name, "stats")) {
        print_stats(db, out);
    } else if (!strcmp(name, "levels")) {
        print_levels(db, out);
    } else if (!strcmp(name, "latency")) {
        print_latency(db, out);
    } else if (!strcmp(name, "background-error")) {
        db_lock(db);
        fputs(db_has_failed(db) ? db->failure.detail : "", out);
        db_unlock(db);
    } else if (!strcmp(name, "background-retry")) {
        db_lock(db);
        fputs(db->jobs.retry.jobs ? db->jobs.retry.detail : "", out);
        db_unlock(db);
    } else if (lsm_property_uint(db, name, &value)) {
        fprintf(out, "%" PRIu64, value);
    } else {
        known = false;
    }
    if (fclose(out) || !known) {
        free(text);
        return NULL;
    }
    return text;
}

int lsm_space(struct lsm *db, uint64_t *ret_free, uint64_t *ret_available, uint64_t *ret_total)
{
    int rc = db->env->ops->space(db->env, ENV_HERE, ret_free, ret_total);
    if (!rc)
        *ret_available =
            db->options.read_only ? *ret_free : db_space_available(db, *ret_free, *ret_total);
    return rc;
}
