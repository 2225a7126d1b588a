// LevelDB through its C interface.
//
// The C interface's get copies the value to the heap (about 50 ns that C++ callers do not pay).
// There is no call that waits for background work; its end is seen by the process using no CPU.
#include "engines.h"

#include <leveldb/c.h>
#include <stdio.h>
#include <stdlib.h>

struct engine {
    leveldb_t *db;
    leveldb_options_t *options;
    leveldb_cache_t *cache;
    leveldb_filterpolicy_t *filter;
    leveldb_readoptions_t *read;
    leveldb_writeoptions_t *write;
};

struct session {
    struct engine *engine;
    char *value; // latest got, or NULL
};

struct cursor {
    leveldb_iterator_t *iter;
};

static void check(char *error, const char *what)
{
    if (error)
        bench_fail("leveldb: %s: %s", what, error);
}

static int compression_of(const struct bench_config *config)
{
    switch (config->compression) {
    case BENCH_COMPRESSION_NONE:
        return leveldb_no_compression;
    case BENCH_COMPRESSION_DEFAULT:
    case BENCH_COMPRESSION_SNAPPY:
        return leveldb_snappy_compression;
    case BENCH_COMPRESSION_LZ4:
    case BENCH_COMPRESSION_ZLIB:
        break;
    }
    bench_fail("leveldb has Snappy only");
}

static void leveldb_describe(const struct bench_config *config, char *text, size_t size)
{
    snprintf(text, size, "LevelDB %d.%d, %s", leveldb_major_version(), leveldb_minor_version(),
             compression_of(config) == leveldb_no_compression ? "no compression" : "Snappy");
}

static struct engine *leveldb_engine_open(const struct bench_config *config, bool sync)
{
    struct engine *engine = calloc(1, sizeof(*engine));
    char *error = NULL;
    if (!engine)
        bench_fail("out of memory");
    engine->options = leveldb_options_create();
    engine->cache = leveldb_cache_create_lru(config->cache_size);
    leveldb_options_set_create_if_missing(engine->options, 1);
    leveldb_options_set_cache(engine->options, engine->cache);
    leveldb_options_set_write_buffer_size(engine->options, config->write_buffer);
    leveldb_options_set_block_size(engine->options, config->block_size);
    leveldb_options_set_compression(engine->options, compression_of(config));
    if (config->bloom_bits) {
        engine->filter = leveldb_filterpolicy_create_bloom((int)config->bloom_bits);
        leveldb_options_set_filter_policy(engine->options, engine->filter);
    }
    engine->read = leveldb_readoptions_create();
    engine->write = leveldb_writeoptions_create();
    leveldb_writeoptions_set_sync(engine->write, sync);
    engine->db = leveldb_open(engine->options, config->dir, &error);
    check(error, "open");
    return engine;
}

static void leveldb_engine_close(struct engine *engine)
{
    leveldb_close(engine->db);
    leveldb_readoptions_destroy(engine->read);
    leveldb_writeoptions_destroy(engine->write);
    leveldb_options_destroy(engine->options);
    if (engine->filter)
        leveldb_filterpolicy_destroy(engine->filter);
    leveldb_cache_destroy(engine->cache);
    free(engine);
}

static struct session *leveldb_session_new(struct engine *engine)
{
    struct session *session = calloc(1, sizeof(*session));
    if (!session)
        bench_fail("out of memory");
    session->engine = engine;
    return session;
}

static void leveldb_session_free(struct session *session)
{
    leveldb_free(session->value);
    free(session);
}

static void leveldb_engine_put(struct session *session, const char *key, size_t key_size,
                               const char *value, size_t value_size)
{
    char *error = NULL;
    leveldb_put(session->engine->db, session->engine->write, key, key_size, value, value_size,
                &error);
    check(error, "put");
}

static void leveldb_engine_del(struct session *session, const char *key, size_t key_size)
{
    char *error = NULL;
    leveldb_delete(session->engine->db, session->engine->write, key, key_size, &error);
    check(error, "delete");
}

static bool leveldb_engine_get(struct session *session, const char *key, size_t key_size,
                               struct seen *ret_seen)
{
    char *error = NULL;
    leveldb_free(session->value);
    session->value = leveldb_get(session->engine->db, session->engine->read, key, key_size,
                                 &ret_seen->value_size, &error);
    check(error, "get");
    ret_seen->value = session->value;
    return session->value != NULL;
}

static struct cursor *leveldb_cursor_new(struct session *session)
{
    struct cursor *cursor = malloc(sizeof(*cursor));
    if (!cursor)
        bench_fail("out of memory");
    cursor->iter = leveldb_create_iterator(session->engine->db, session->engine->read);
    return cursor;
}

static void leveldb_cursor_free(struct cursor *cursor)
{
    leveldb_iter_destroy(cursor->iter);
    free(cursor);
}

static inline bool show(struct cursor *cursor, struct seen *ret_seen)
{
    if (!leveldb_iter_valid(cursor->iter)) {
        char *error = NULL;
        leveldb_iter_get_error(cursor->iter, &error);
        check(error, "iterate");
        return false;
    }
    ret_seen->key = leveldb_iter_key(cursor->iter, &ret_seen->key_size);
    ret_seen->value = leveldb_iter_value(cursor->iter, &ret_seen->value_size);
    return true;
}

static bool leveldb_first(struct cursor *cursor, struct seen *ret_seen)
{
    leveldb_iter_seek_to_first(cursor->iter);
    return show(cursor, ret_seen);
}

static bool leveldb_last(struct cursor *cursor, struct seen *ret_seen)
{
    leveldb_iter_seek_to_last(cursor->iter);
    return show(cursor, ret_seen);
}

static bool leveldb_seek(struct cursor *cursor, const char *key, size_t key_size,
                         struct seen *ret_seen)
{
    leveldb_iter_seek(cursor->iter, key, key_size);
    return show(cursor, ret_seen);
}

static bool leveldb_next(struct cursor *cursor, struct seen *ret_seen)
{
    leveldb_iter_next(cursor->iter);
    return show(cursor, ret_seen);
}

static bool leveldb_prev(struct cursor *cursor, struct seen *ret_seen)
{
    leveldb_iter_prev(cursor->iter);
    return show(cursor, ret_seen);
}

static void leveldb_compact(struct engine *engine)
{
    leveldb_compact_range(engine->db, NULL, 0, NULL, 0);
}

static void leveldb_wait_idle(struct engine *engine)
{
    (void)engine;
    bench_wait_quiet();
}

static void leveldb_stats(struct engine *engine)
{
    char *text = leveldb_property_value(engine->db, "leveldb.stats");
    if (text)
        printf("%s\n", text);
    leveldb_free(text);
}

const struct engine_ops engine_leveldb = {
    .name = "leveldb",
    .describe = leveldb_describe,
    .open = leveldb_engine_open,
    .close = leveldb_engine_close,
    .session_new = leveldb_session_new,
    .session_free = leveldb_session_free,
    .put = leveldb_engine_put,
    .del = leveldb_engine_del,
    .get = leveldb_engine_get,
    .cursor_new = leveldb_cursor_new,
    .cursor_free = leveldb_cursor_free,
    .first = leveldb_first,
    .last = leveldb_last,
    .seek = leveldb_seek,
    .next = leveldb_next,
    .prev = leveldb_prev,
    .compact = leveldb_compact,
    .wait_idle = leveldb_wait_idle,
    .stats = leveldb_stats,
};
