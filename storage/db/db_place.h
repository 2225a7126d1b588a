// The place of a store: a directory, or a name in a cluster; what is in it, and how a store gets
// there and away. Without a store that is open (db_place.c).
#ifndef LSM_DB_DB_PLACE_H
#define LSM_DB_DB_PLACE_H

#include <stdbool.h>

#include "env/env.h"
#include "lsm.h"

struct db_place {
    bool current, unfinished, lock;
    bool data;    // tables, logs, blob files
    bool sources; // tables, logs: repair makes a store of them
    bool rest;    // other files of a store
    bool foreign; // names that no store uses
};
// What directories are looked up from: the options' env, or the one that the path means.
struct env *db_base_env(const struct lsm_options *options, const char *path);
// What directories beside an open store are looked up from: the store's own env, if `path` and the
// store's path are of one kind (local, or in a cluster).
struct env *db_env_for(const struct lsm *db, const char *path);
int db_place_look(struct env *dir, struct db_place *ret_place);
int db_place_unfinished(const struct env *dir); // LSM_NOT_A_STORE, with what to do
// Opens and locks the directory `path` if `check` allows it, before and under the lock.
int db_place_lock(struct env *base, const char *path, int (*check)(struct env *dir),
                  struct env **ret_dir, struct env_lock **ret_lock);
// Marks a directory that is locked as UNFINISHED, durably, and takes the mark away.
int db_place_begin(struct env *dir);
int db_place_end(struct env *dir);
// Removes the store from a directory that is locked, LOCK included, and `directory` itself, if it
// is then empty. After a failure it is UNFINISHED, or was so all along.
int db_place_remove(struct env *base, const char *path, struct env *dir, bool directory);
// A new directory, locked, with nothing in it but LOCK and UNFINISHED. Between making and locking
// it somebody else may have made a store there: that stays.
int db_place_make(struct env *base, const char *path, const char *note, struct env **ret_dir,
                  struct env_lock **ret_lock);
// Unlocks and closes the directory; with `failed` removes it, as far as that can be done.
void db_place_leave(struct env *base, const char *path, bool failed, struct env *dir,
                    struct env_lock *lock);

#endif
