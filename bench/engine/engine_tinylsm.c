// tinylsm behind the bench's table of functions.
//
// One growable buffer a session receives values, as an application would do it.
#include "engines.h"

#include <stdio.h>
#include <stdlib.h>

#include "lsm.h"

struct engine {
    struct lsm *db;
    struct lsm_write_options write;
};

struct session {
    struct engine *engine;
    struct lsm_buf value;
};

struct cursor {
    struct lsm_iter *iter;
};

static void check(int status, const char *what)
{
    if (status < 0)
        bench_fail("tinylsm: %s: %s: %s", what, lsm_strerror(status), lsm_error_detail());
}

static enum lsm_compression compression_of(const struct bench_config *config)
{
    switch (config->compression) {
    case BENCH_COMPRESSION_NONE:
        return LSM_COMPRESSION_NONE;
    case BENCH_COMPRESSION_ZLIB:
        return LSM_COMPRESSION_ZLIB;
    case BENCH_COMPRESSION_DEFAULT:
    case BENCH_COMPRESSION_LZ4:
        return LSM_COMPRESSION_LZ4;
    case BENCH_COMPRESSION_SNAPPY:
        break;
    }
    bench_fail("tinylsm has no Snappy");
}

static void log_message(void *arg, enum lsm_log_level level, const char *message)
{
    (void)arg;
    if (level <= LSM_LOG_WARN)
        fprintf(stderr, "tinylsm: %s\n", message);
}

static void tinylsm_describe(const struct bench_config *config, char *text, size_t size)
{
    static const char *const names[] = {"no compression", "LZ4", "zlib"};
    snprintf(text, size, "tinylsm %s, %s", LSMFS_VERSION, names[compression_of(config)]);
}

static struct engine *tinylsm_open(const struct bench_config *config, bool sync)
{
    struct lsm_options options;
    struct engine *engine = calloc(1, sizeof(*engine));
    if (!engine)
        bench_fail("out of memory");
    engine->write.sync = sync;
    lsm_options_init(&options);
    options.write_buffer_size = config->write_buffer;
    options.block_cache_size = config->cache_size;
    options.block_size = config->block_size;
    options.map_budget = config->map_budget;
    options.bloom_bits_per_key = config->bloom_bits;
    options.compression = compression_of(config);
    options.bottom_compression = options.compression;
    options.log = log_message;
    check(lsm_open(config->dir, &options, &engine->db), "open");
    return engine;
}

static void tinylsm_close(struct engine *engine)
{
    check(lsm_close(engine->db), "close");
    free(engine);
}

static struct session *tinylsm_session_new(struct engine *engine)
{
    struct session *session = calloc(1, sizeof(*session));
    if (!session)
        bench_fail("out of memory");
    session->engine = engine;
    return session;
}

static void tinylsm_session_free(struct session *session)
{
    lsm_buf_release(&session->value);
    free(session);
}

static void tinylsm_put(struct session *session, const char *key, size_t key_size,
                        const char *value, size_t value_size)
{
    struct engine *engine = session->engine;
    int rc = lsm_put(engine->db, &engine->write, key, key_size, value, value_size);
    if (rc < 0)
        check(rc, "put");
}

static void tinylsm_del(struct session *session, const char *key, size_t key_size)
{
    struct engine *engine = session->engine;
    int rc = lsm_delete(engine->db, &engine->write, key, key_size);
    if (rc < 0)
        check(rc, "delete");
}

static bool tinylsm_get(struct session *session, const char *key, size_t key_size,
                        struct seen *ret_seen)
{
    int rc = lsm_get(session->engine->db, NULL, key, key_size, &session->value);
    if (rc == LSM_NOT_FOUND)
        return false;
    if (rc < 0)
        check(rc, "get");
    ret_seen->value = session->value.data;
    ret_seen->value_size = session->value.size;
    return true;
}

static struct cursor *tinylsm_cursor_new(struct session *session)
{
    struct cursor *cursor = malloc(sizeof(*cursor));
    if (!cursor)
        bench_fail("out of memory");
    check(lsm_iter_new(session->engine->db, NULL, &cursor->iter), "new iterator");
    return cursor;
}

static void tinylsm_cursor_free(struct cursor *cursor)
{
    lsm_iter_free(cursor->iter);
    free(cursor);
}

static inline bool show(struct cursor *cursor, struct seen *ret_seen)
{
    if (!lsm_iter_valid(cursor->iter)) {
        check(lsm_iter_status(cursor->iter), "iterate");
        return false;
    }
    ret_seen->key = lsm_iter_key(cursor->iter, &ret_seen->key_size);
    ret_seen->value = lsm_iter_value(cursor->iter, &ret_seen->value_size);
    return true;
}

static bool tinylsm_first(struct cursor *cursor, struct seen *ret_seen)
{
    lsm_iter_seek_first(cursor->iter);
    return show(cursor, ret_seen);
}

static bool tinylsm_last(struct cursor *cursor, struct seen *ret_seen)
{
    lsm_iter_seek_last(cursor->iter);
    return show(cursor, ret_seen);
}

static bool tinylsm_seek(struct cursor *cursor, const char *key, size_t key_size,
                         struct seen *ret_seen)
{
    lsm_iter_seek(cursor->iter, key, key_size);
    return show(cursor, ret_seen);
}

static bool tinylsm_next(struct cursor *cursor, struct seen *ret_seen)
{
    lsm_iter_next(cursor->iter);
    return show(cursor, ret_seen);
}

static bool tinylsm_prev(struct cursor *cursor, struct seen *ret_seen)
{
    lsm_iter_prev(cursor->iter);
    return show(cursor, ret_seen);
}

static void tinylsm_compact(struct engine *engine)
{
    check(lsm_compact_range(engine->db, NULL, 0, NULL, 0), "compact");
}

static void tinylsm_snapshot(struct engine *engine)
{
    char name[32];
    snprintf(name, sizeof name, "s%llu", (unsigned long long)bench_now_ns());
    check(lsm_snapshot_create(engine->db, name), "snapshot");
}

static void tinylsm_wait_idle(struct engine *engine)
{
    check(lsm_wait_idle(engine->db), "wait");
}

static void tinylsm_stats(struct engine *engine)
{
    char *text = lsm_property(engine->db, "stats");
    if (text)
        printf("%s\n", text);
    free(text);
}

const struct engine_ops engine_tinylsm = {
    .name = "tinylsm",
    .describe = tinylsm_describe,
    .open = tinylsm_open,
    .close = tinylsm_close,
    .session_new = tinylsm_session_new,
    .session_free = tinylsm_session_free,
    .put = tinylsm_put,
    .del = tinylsm_del,
    .get = tinylsm_get,
    .cursor_new = tinylsm_cursor_new,
    .cursor_free = tinylsm_cursor_free,
    .first = tinylsm_first,
    .last = tinylsm_last,
    .seek = tinylsm_seek,
    .next = tinylsm_next,
    .prev = tinylsm_prev,
    .compact = tinylsm_compact,
    .snapshot = tinylsm_snapshot,
    .wait_idle = tinylsm_wait_idle,
    .stats = tinylsm_stats,
};
