// The logs: the active one, the next, and old files to be used again.
//
// Lock: the store's mutex. The active log's appending side belongs to the lead.
//
// Touched by: db_background db_log db_memtables db_open db_queue db_recover
#ifndef LSM_DB_DB_LOG_H
#define LSM_DB_DB_LOG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "db/db_roles.h"
#include "version/store_files.h"
#include "wal/wal_writer.h"

struct lsm;

// A log and the memtable whose entries it holds share their number.
struct db_log {
    struct wal_writer *wal; // NULL: logs of an earlier run, number .. last, durable as they are
    uint64_t number, last;
    _Atomic uint32_t refs; // the store's, and those of running syncs
    bool remove;           // with the last reference the file goes; set before that one is dropped
    char name[STORE_NAME_MAX];
};

struct db_logs {
    // db_active_log(), db_active_log_as_lead(), db_set_active()
    struct db_log *active GUARDED_BY_BOTH(db_lead, db_mutex);
    struct db_log *spare GUARDED_BY(db_mutex); // prepared next log, or NULL
    enum { SPARE_NONE, SPARE_WANTED, SPARE_MAKING } spare_state GUARDED_BY(db_mutex);
    uint64_t used GUARDED_BY(db_mutex);          // bytes that recent logs have used
    uint64_t recyclable[2] GUARDED_BY(db_mutex); // numbers of old logs to reuse, or 0
    bool trim; // after a clean close: the logs are cut to their length
};

int db_log_new(struct lsm *db, struct db_log **ret_log)
    EXCLUDES(db_mutex); // creates the file; no locks held
// Stands for the logs first .. last, which recovery has read into a memtable without a table.
int db_log_old(uint64_t first, uint64_t last, struct db_log **ret_log);
// Whether appends gather in memory, so that whoever has written waits for the log to be written.
bool db_log_gathers(const struct lsm *db);
uint64_t db_log_bytes(const struct db_log *log); // of records; 0 for NULL and logs of earlier runs
void db_log_ref(struct db_log *log);
void db_log_unref(struct lsm *db, struct db_log *log);
// The log is not needed any more: kept for recycling or removed. No locks held. Drops the
// reference.
void db_log_retire(struct lsm *db, struct db_log *log) EXCLUDES(db_mutex);
// Tells that a log of `bytes` was filled, for the size of later ones; mutex held.
void db_log_note_used(struct lsm *db, uint64_t bytes) REQUIRES(db_mutex);
void db_log_drop_recyclable(struct lsm *db) EXCLUDES(db_mutex); // no locks held
// Gives back what logs only take for speed: old files, and what the next log has allocated ahead.
// No locks held.
void db_log_give_back(struct lsm *db) EXCLUDES(db_mutex);
// Gives back what logs only take in a busy store. No locks held; by the flush thread.
void db_log_settle(struct lsm *db) EXCLUDES(db_mutex);
// Makes everything up to `end` of `log` durable, and all logs before it.
int db_log_sync(struct lsm *db, struct db_log *log, uint64_t end) EXCLUDES(db_mutex);
// The same with all that was appended; `asked`: somebody waits for it.
int db_log_sync_active(struct lsm *db, bool asked) EXCLUDES(db_mutex);
uint64_t db_log_unsynced(const struct lsm *db) REQUIRES(db_mutex); // bytes, of all logs

#endif
