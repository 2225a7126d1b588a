// The engines as the workloads see them: one table of functions each.
//
// Each engine file defines its own `struct engine` (an open store), `struct session` (what one
// thread keeps: transactions, buffers) and `struct cursor` (an iterator). Errors end the program
// (bench_fail), so that no workload has to look for them.
#ifndef BENCH_ENGINES_H
#define BENCH_ENGINES_H

#include "bench.h"

struct engine;
struct session;
struct cursor;

// What a read saw; valid until the session's or cursor's next call.
struct seen {
    const char *key; // cursors only
    size_t key_size;
    const char *value;
    size_t value_size;
};

struct engine_ops {
    const char *name;
    // One line: version and the settings that are not the same for all.
    void (*describe)(const struct bench_config *config, char *text, size_t size);
    // Opens, creating if need be. With `sync` every write is durable when it returns.
    struct engine *(*open)(const struct bench_config *config, bool sync);
    void (*close)(struct engine *engine);
    struct session *(*session_new)(struct engine *engine);
    void (*session_free)(struct session *session);

    void (*put)(struct session *session, const char *key, size_t key_size, const char *value,
                size_t value_size);
    void (*del)(struct session *session, const char *key, size_t key_size);
    bool (*get)(struct session *session, const char *key, size_t key_size, struct seen *ret_seen);

    // All positioning returns whether there is an entry, and shows it.
    struct cursor *(*cursor_new)(struct session *session);
    void (*cursor_free)(struct cursor *cursor);
    bool (*first)(struct cursor *cursor, struct seen *ret_seen);
    bool (*last)(struct cursor *cursor, struct seen *ret_seen);
    bool (*seek)(struct cursor *cursor, const char *key, size_t key_size, struct seen *ret_seen);
    bool (*next)(struct cursor *cursor, struct seen *ret_seen);
    bool (*prev)(struct cursor *cursor, struct seen *ret_seen);

    void (*compact)(struct engine *engine);   // everything to one sorted run; waits. NULL: no such
                                              // thing
    void (*snapshot)(struct engine *engine);  // makes one that keeps what is there. NULL: no such
                                              // thing
    void (*wait_idle)(struct engine *engine); // until background work has ended
    void (*stats)(struct engine *engine);     // prints what the engine tells about itself
};

extern const struct engine_ops engine_tinylsm;
extern const struct engine_ops engine_leveldb;
extern const struct engine_ops engine_rocksdb;
extern const struct engine_ops engine_lmdb;

#endif
