// What has failed: the failure that stays, after which the store is read-only, and jobs that are
// tried again.
//
// Lock: the store's mutex.
//
// Touched by: db_error db_property
#ifndef LSM_DB_DB_ERROR_H
#define LSM_DB_DB_ERROR_H

#include <stdint.h>

#include "base/status.h"
#include "db/db_roles.h"

struct lsm;

struct db_failure {
    int status GUARDED_BY(db_mutex); // of the first one; stays. 0: nothing has failed
    char detail[STATUS_DETAIL_MAX] GUARDED_BY(db_mutex);
};

// Records the first failure of background work or logging; the store is read-only from then on.
// Mutex held.
void db_set_error(struct lsm *db, int status, const char *what) REQUIRES(db_mutex);
// The sticky failure as a status of this call, or 0. Mutex held.
int db_check_error(struct lsm *db) REQUIRES(db_mutex);

// For whoever waits for the jobs `jobs` (DB_FULL_*): the status of one that has been failing for so
// long for a reason that may pass, or 0. Mutex held.
int db_check_retry(struct lsm *db, unsigned jobs, uint64_t patience_us) REQUIRES(db_mutex);
#define DB_RETRY_WRITE_US 5000000 // of writes
#define DB_RETRY_FLUSH_US 200000  // of calls that ask for the job

#endif
