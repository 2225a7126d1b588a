// Sticky failures. The first failed background write or sync turns the store read-only, so that
// nothing is built on top of a write of which nobody knows whether it is on disk.
#include "db/db_error.h"

#include <assert.h>

#include "base/clock.h"
#include "db/db.h"

void db_set_error(struct lsm *db, int status, const char *what)
{
    assert(status < 0);
    if (db->failure.status || status == LSM_CLOSED)
        return;
    db->failure.status = status;
    status_describe(status, what, db->failure.detail);
    atomic_store_explicit(&db->pace.pressure, DB_PRESSURE_STOP, memory_order_release);
    logger_log(&db->logger, LSM_LOG_ERROR, "the store is read-only from now on: %s",
               db->failure.detail);
    pthread_cond_broadcast(&db->changed);
    pthread_cond_broadcast(&db->work);
}

int db_check_retry(struct lsm *db, unsigned jobs, uint64_t patience_us)
{
    if (!(db->jobs.retry.jobs & jobs) || clock_us() - db->jobs.retry.since_us < patience_us)
        return LSM_OK;
    assert(status_is_passing(db->jobs.retry.status));
    return status_fail(db->jobs.retry.status, "%s", db->jobs.retry.detail);
}

int db_check_error(struct lsm *db)
{
    if (!db->failure.status)
        return LSM_OK;
    return status_fail(LSM_READ_ONLY, "read-only after a failure: %s", db->failure.detail);
}
