// Syncing the log though nobody asks for it.
//
// Lock: the store's mutex; `told` is the lead's.
//
// Touched by: db_behind db_open
#ifndef LSM_DB_DB_BEHIND_H
#define LSM_DB_DB_BEHIND_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "db/db_roles.h"

struct lsm;

struct db_behind {
    uint64_t told GUARDED_BY(db_lead); // bytes appended when the thread was woken last
    bool wanted GUARDED_BY(db_mutex);  // the thread is to look
    pthread_cond_t work;               // it waits for that
};

// After an append, when `appended` bytes have been appended since the store was opened: wakes the
// thread if these are many more than when it was woken last.
void db_behind_appended(struct lsm *db, uint64_t appended) REQUIRES(db_lead) EXCLUDES(db_mutex);
// The thread, until the store's jobs are stopping; then it has to be woken.
void *db_behind_run(void *db);
void db_behind_wake(struct lsm *db) REQUIRES(db_mutex);

#endif
