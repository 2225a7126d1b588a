// RocksDB through its C interface.
//
// Gets use the pinned variant, which does not copy a value out of the block cache.
#include "engines.h"

#include <rocksdb/c.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct engine {
    rocksdb_t *db;
    rocksdb_options_t *options;
    rocksdb_block_based_table_options_t *table;
    rocksdb_cache_t *cache;
    rocksdb_readoptions_t *read;
    rocksdb_writeoptions_t *write;
};

struct session {
    struct engine *engine;
    rocksdb_pinnableslice_t *value; // latest got, or NULL
};

struct cursor {
    rocksdb_iterator_t *iter;
};

static void check(char *error, const char *what)
{
    if (error)
        bench_fail("rocksdb: %s: %s", what, error);
}

static int compression_of(const struct bench_config *config)
{
    switch (config->compression) {
    case BENCH_COMPRESSION_NONE:
        return rocksdb_no_compression;
    case BENCH_COMPRESSION_SNAPPY:
        return rocksdb_snappy_compression;
    case BENCH_COMPRESSION_ZLIB:
        return rocksdb_zlib_compression;
    case BENCH_COMPRESSION_DEFAULT:
    case BENCH_COMPRESSION_LZ4:
        break;
    }
    return rocksdb_lz4_compression;
}

static void rocksdb_describe(const struct bench_config *config, char *text, size_t size)
{
    static const char *const names[] = {"no compression", "Snappy", "zlib", "bzip2", "LZ4"};
    snprintf(text, size, "RocksDB %s, %s", BENCH_ROCKSDB_VERSION, names[compression_of(config)]);
}

static struct engine *rocksdb_engine_open(const struct bench_config *config, bool sync)
{
    struct engine *engine = calloc(1, sizeof(*engine));
    char *error = NULL;
    if (!engine)
        bench_fail("out of memory");
    engine->cache = rocksdb_cache_create_lru(config->cache_size);
    engine->table = rocksdb_block_based_options_create();
    rocksdb_block_based_options_set_block_cache(engine->table, engine->cache);
    rocksdb_block_based_options_set_block_size(engine->table, config->block_size);
    if (config->bloom_bits)
        rocksdb_block_based_options_set_filter_policy(
            engine->table, rocksdb_filterpolicy_create_bloom_full((double)config->bloom_bits));
    engine->options = rocksdb_options_create();
    rocksdb_options_set_create_if_missing(engine->options, 1);
    rocksdb_options_set_block_based_table_factory(engine->options, engine->table);
    rocksdb_options_set_write_buffer_size(engine->options, config->write_buffer);
    rocksdb_options_set_compression(engine->options, compression_of(config));
    engine->read = rocksdb_readoptions_create();
    engine->write = rocksdb_writeoptions_create();
    rocksdb_writeoptions_set_sync(engine->write, sync);
    engine->db = rocksdb_open(engine->options, config->dir, &error);
    check(error, "open");
    return engine;
}

static void rocksdb_engine_close(struct engine *engine)
{
    rocksdb_close(engine->db);
    rocksdb_readoptions_destroy(engine->read);
    rocksdb_writeoptions_destroy(engine->write);
    rocksdb_options_destroy(engine->options);
    rocksdb_block_based_options_destroy(engine->table); // and the filter policy
    rocksdb_cache_destroy(engine->cache);
    free(engine);
}

static struct session *rocksdb_session_new(struct engine *engine)
{
    struct session *session = calloc(1, sizeof(*session));
    if (!session)
        bench_fail("out of memory");
    session->engine = engine;
    return session;
}

static void rocksdb_session_free(struct session *session)
{
    if (session->value)
        rocksdb_pinnableslice_destroy(session->value);
    free(session);
}

static void rocksdb_engine_put(struct session *session, const char *key, size_t key_size,
                               const char *value, size_t value_size)
{
    char *error = NULL;
    rocksdb_put(session->engine->db, session->engine->write, key, key_size, value, value_size,
                &error);
    check(error, "put");
}

static void rocksdb_engine_del(struct session *session, const char *key, size_t key_size)
{
    char *error = NULL;
    rocksdb_delete(session->engine->db, session->engine->write, key, key_size, &error);
    check(error, "delete");
}

static bool rocksdb_engine_get(struct session *session, const char *key, size_t key_size,
                               struct seen *ret_seen)
{
    char *error = NULL;
    if (session->value)
        rocksdb_pinnableslice_destroy(session->value);
    session->value =
        rocksdb_get_pinned(session->engine->db, session->engine->read, key, key_size, &error);
    check(error, "get");
    if (!session->value)
        return false;
    ret_seen->value = rocksdb_pinnableslice_value(session->value, &ret_seen->value_size);
    return true;
}

static struct cursor *rocksdb_cursor_new(struct session *session)
{
    struct cursor *cursor = malloc(sizeof(*cursor));
    if (!cursor)
        bench_fail("out of memory");
    cursor->iter = rocksdb_create_iterator(session->engine->db, session->engine->read);
    return cursor;
}

static void rocksdb_cursor_free(struct cursor *cursor)
{
    rocksdb_iter_destroy(cursor->iter);
    free(cursor);
}

static inline bool show(struct cursor *cursor, struct seen *ret_seen)
{
    if (!rocksdb_iter_valid(cursor->iter)) {
        char *error = NULL;
        rocksdb_iter_get_error(cursor->iter, &error);
        check(error, "iterate");
        return false;
    }
    ret_seen->key = rocksdb_iter_key(cursor->iter, &ret_seen->key_size);
    ret_seen->value = rocksdb_iter_value(cursor->iter, &ret_seen->value_size);
    return true;
}

static bool rocksdb_first(struct cursor *cursor, struct seen *ret_seen)
{
    rocksdb_iter_seek_to_first(cursor->iter);
    return show(cursor, ret_seen);
}

static bool rocksdb_last(struct cursor *cursor, struct seen *ret_seen)
{
    rocksdb_iter_seek_to_last(cursor->iter);
    return show(cursor, ret_seen);
}

static bool rocksdb_seek(struct cursor *cursor, const char *key, size_t key_size,
                         struct seen *ret_seen)
{
    rocksdb_iter_seek(cursor->iter, key, key_size);
    return show(cursor, ret_seen);
}

static bool rocksdb_next(struct cursor *cursor, struct seen *ret_seen)
{
    rocksdb_iter_next(cursor->iter);
    return show(cursor, ret_seen);
}

static bool rocksdb_prev(struct cursor *cursor, struct seen *ret_seen)
{
    rocksdb_iter_prev(cursor->iter);
    return show(cursor, ret_seen);
}

static void rocksdb_compact(struct engine *engine)
{
    rocksdb_compact_range(engine->db, NULL, 0, NULL, 0);
}

static void rocksdb_wait_idle(struct engine *engine)
{
    static const char *const busy[] = {"rocksdb.mem-table-flush-pending",
                                       "rocksdb.num-running-flushes", "rocksdb.compaction-pending",
                                       "rocksdb.num-running-compactions"};
    for (size_t i = 0; i < sizeof(busy) / sizeof(busy[0]);) {
        uint64_t value = 0;
        if (rocksdb_property_int(engine->db, busy[i], &value) || value == 0) {
            i++;
        } else {
            usleep(10000);
            i = 0;
        }
    }
}

static void rocksdb_stats(struct engine *engine)
{
    char *text = rocksdb_property_value(engine->db, "rocksdb.levelstats");
    if (text)
        printf("%s\n", text);
    rocksdb_free(text);
}

const struct engine_ops engine_rocksdb = {
    .name = "rocksdb",
    .describe = rocksdb_describe,
    .open = rocksdb_engine_open,
    .close = rocksdb_engine_close,
    .session_new = rocksdb_session_new,
    .session_free = rocksdb_session_free,
    .put = rocksdb_engine_put,
    .del = rocksdb_engine_del,
    .get = rocksdb_engine_get,
    .cursor_new = rocksdb_cursor_new,
    .cursor_free = rocksdb_cursor_free,
    .first = rocksdb_first,
    .last = rocksdb_last,
    .seek = rocksdb_seek,
    .next = rocksdb_next,
    .prev = rocksdb_prev,
    .compact = rocksdb_compact,
    .wait_idle = rocksdb_wait_idle,
    .stats = rocksdb_stats,
};
