// LMDB.
//
// Each write is a transaction of its own. "No sync" is MDB_NOSYNC: like the others' unsynced logs
// it survives the death of the process; unlike theirs it may lose the whole store with the power.
// MDB_WRITEMAP is off unless asked for: stray writes of the program would go into the store.
// Reads take LMDB's fast path: values are seen in the map without a copy, in a read transaction
// that is renewed every `view_ops` operations only, where the other engines take the latest state
// each time.
#include "engines.h"

#include <errno.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct engine {
    MDB_env *env;
    MDB_dbi dbi;
    uint64_t view_ops;
};

struct session {
    struct engine *engine;
    MDB_txn *read; // NULL: none yet
    uint64_t left; // operations the transaction's view is good for; 0: it is reset
};

struct cursor {
    MDB_txn *txn;
    MDB_cursor *cursor;
};

static void check(int status, const char *what)
{
    if (status != MDB_SUCCESS)
        bench_fail("lmdb: %s: %s", what, mdb_strerror(status));
}

static void lmdb_describe(const struct bench_config *config, char *text, size_t size)
{
    int major = 0, minor = 0, patch = 0;
    mdb_version(&major, &minor, &patch);
    snprintf(text, size, "LMDB %d.%d.%d, MDB_NOSYNC%s", major, minor, patch,
             config->lmdb_writemap ? " | MDB_WRITEMAP" : "");
}

static struct engine *lmdb_open(const struct bench_config *config, bool sync)
{
    struct engine *engine = calloc(1, sizeof(*engine));
    // Random inserts leave pages half full; the map is virtual, so far too large costs nothing.
    size_t map_size = (size_t)1 << 30;
    unsigned flags = (sync ? 0 : (unsigned)MDB_NOSYNC) | MDB_NOTLS;
    MDB_txn *txn = NULL;

    if (!engine)
        bench_fail("out of memory");
    map_size += config->num * (config->key_size + config->value_size) * 8;
    if (config->lmdb_writemap)
        flags |= MDB_WRITEMAP;
    engine->view_ops = config->view_ops;
    if (mkdir(config->dir, 0777) < 0 && errno != EEXIST)
        bench_fail("mkdir %s: %s", config->dir, strerror(errno));
    check(mdb_env_create(&engine->env), "create");
    check(mdb_env_set_mapsize(engine->env, map_size), "map size");
    check(mdb_env_open(engine->env, config->dir, flags, 0664), "open");
    check(mdb_txn_begin(engine->env, NULL, 0, &txn), "begin");
    check(mdb_dbi_open(txn, NULL, 0, &engine->dbi), "open database");
    check(mdb_txn_commit(txn), "commit");
    return engine;
}

static void lmdb_close(struct engine *engine)
{
    mdb_env_close(engine->env);
    free(engine);
}

static struct session *lmdb_session_new(struct engine *engine)
{
    struct session *session = calloc(1, sizeof(*session));
    if (!session)
        bench_fail("out of memory");
    session->engine = engine;
    return session;
}

static void lmdb_session_free(struct session *session)
{
    if (session->read)
        mdb_txn_abort(session->read);
    free(session);
}

static void lmdb_put(struct session *session, const char *key, size_t key_size, const char *value,
                     size_t value_size)
{
    MDB_val k = {key_size, (void *)(uintptr_t)key};
    MDB_val v = {value_size, (void *)(uintptr_t)value};
    MDB_txn *txn;
    check(mdb_txn_begin(session->engine->env, NULL, 0, &txn), "begin");
    check(mdb_put(txn, session->engine->dbi, &k, &v, 0), "put");
    check(mdb_txn_commit(txn), "commit");
}

static void lmdb_del(struct session *session, const char *key, size_t key_size)
{
    MDB_val k = {key_size, (void *)(uintptr_t)key};
    MDB_txn *txn;
    check(mdb_txn_begin(session->engine->env, NULL, 0, &txn), "begin");
    int rc = mdb_del(txn, session->engine->dbi, &k, NULL);
    if (rc != MDB_NOTFOUND)
        check(rc, "delete");
    check(mdb_txn_commit(txn), "commit");
}

static void renew_view(struct session *session)
{
    if (!session->read) {
        check(mdb_txn_begin(session->engine->env, NULL, MDB_RDONLY, &session->read), "begin");
    } else {
        mdb_txn_reset(session->read);
        check(mdb_txn_renew(session->read), "renew");
    }
    session->left = session->engine->view_ops;
}

static bool lmdb_get(struct session *session, const char *key, size_t key_size,
                     struct seen *ret_seen)
{
    MDB_val k = {key_size, (void *)(uintptr_t)key};
    MDB_val v;
    if (session->left == 0)
        renew_view(session);
    session->left--;
    int rc = mdb_get(session->read, session->engine->dbi, &k, &v);
    if (rc == MDB_NOTFOUND)
        return false;
    check(rc, "get");
    ret_seen->value = v.mv_data;
    ret_seen->value_size = v.mv_size;
    return true;
}

static struct cursor *lmdb_cursor_new(struct session *session)
{
    struct cursor *cursor = malloc(sizeof(*cursor));
    if (!cursor)
        bench_fail("out of memory");
    check(mdb_txn_begin(session->engine->env, NULL, MDB_RDONLY, &cursor->txn), "begin");
    check(mdb_cursor_open(cursor->txn, session->engine->dbi, &cursor->cursor), "cursor");
    return cursor;
}

static void lmdb_cursor_free(struct cursor *cursor)
{
    mdb_cursor_close(cursor->cursor);
    mdb_txn_abort(cursor->txn);
    free(cursor);
}

static inline bool move(struct cursor *cursor, MDB_val *k, MDB_cursor_op op, struct seen *ret_seen)
{
    MDB_val v;
    int rc = mdb_cursor_get(cursor->cursor, k, &v, op);
    if (rc == MDB_NOTFOUND)
        return false;
    check(rc, "iterate");
    ret_seen->key = k->mv_data;
    ret_seen->key_size = k->mv_size;
    ret_seen->value = v.mv_data;
    ret_seen->value_size = v.mv_size;
    return true;
}

static bool lmdb_first(struct cursor *cursor, struct seen *ret_seen)
{
    MDB_val k;
    return move(cursor, &k, MDB_FIRST, ret_seen);
}

static bool lmdb_last(struct cursor *cursor, struct seen *ret_seen)
{
    MDB_val k;
    return move(cursor, &k, MDB_LAST, ret_seen);
}

static bool lmdb_seek(struct cursor *cursor, const char *key, size_t key_size,
                      struct seen *ret_seen)
{
    MDB_val k = {key_size, (void *)(uintptr_t)key};
    return move(cursor, &k, MDB_SET_RANGE, ret_seen);
}

static bool lmdb_next(struct cursor *cursor, struct seen *ret_seen)
{
    MDB_val k;
    return move(cursor, &k, MDB_NEXT, ret_seen);
}

static bool lmdb_prev(struct cursor *cursor, struct seen *ret_seen)
{
    MDB_val k;
    return move(cursor, &k, MDB_PREV, ret_seen);
}

static void lmdb_wait_idle(struct engine *engine)
{
    (void)engine; // there is no background work
}

static void lmdb_stats(struct engine *engine)
{
    MDB_stat stat;
    check(mdb_env_stat(engine->env, &stat), "stat");
    printf("lmdb: %zu entries, depth %u, pages: %zu branch, %zu leaf, %zu overflow\n",
           stat.ms_entries, stat.ms_depth, stat.ms_branch_pages, stat.ms_leaf_pages,
           stat.ms_overflow_pages);
}

const struct engine_ops engine_lmdb = {
    .name = "lmdb",
    .describe = lmdb_describe,
    .open = lmdb_open,
    .close = lmdb_close,
    .session_new = lmdb_session_new,
    .session_free = lmdb_session_free,
    .put = lmdb_put,
    .del = lmdb_del,
    .get = lmdb_get,
    .cursor_new = lmdb_cursor_new,
    .cursor_free = lmdb_cursor_free,
    .first = lmdb_first,
    .last = lmdb_last,
    .seek = lmdb_seek,
    .next = lmdb_next,
    .prev = lmdb_prev,
    .compact = NULL,
    .wait_idle = lmdb_wait_idle,
    .stats = lmdb_stats,
};
