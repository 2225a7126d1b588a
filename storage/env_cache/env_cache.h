// An env that keeps copies of another env's files on the local disk: of those that do not change
// once they are written, tables and blob files. All else goes to the other env as it is.
//
// A file takes part if the other env tells its identity (env_stat) and, to be read, that nobody
// writes it any more. What is read comes from the local disk where that has it, in blocks of about
// 64 KiB; what is missing there is read from the other env, and kept. What is written goes to both.
// Copies are verified when they are read and never trusted: see disk_cache.h for what happens to
// those that are damaged or removed, and for what fails locally.
//
// Thread safety: as env.h says.
#ifndef LSM_ENV_CACHE_ENV_CACHE_H
#define LSM_ENV_CACHE_ENV_CACHE_H

#include "env_cache/disk_cache.h"

// Whether a file of this name does not change once it is written.
typedef bool env_cache_wanted_fn(const char *name);

// Over `inner`, a directory, and with `cache`. Both belong to the new env if it succeeds. Copies of
// files that `inner` does not list any more are dropped.
int env_cache_new(struct env *inner, struct disk_cache *cache, env_cache_wanted_fn *wanted,
                  struct logger logger, struct env **ret_env);
// Closes the cache. After all files were closed. Returns the inner env. close_dir closes that too.
struct env *env_cache_free(struct env *env);

void env_cache_stats(struct env *env, struct disk_cache_stats *ret_stats);

#endif
