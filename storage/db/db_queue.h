// The write queue: who waits to write, who leads, and which number the leader has come to.
//
// Lock: `mutex`, held for a few instructions; the lead for the number. A writer's fields are its
// own until it is in the queue, then the leader's until `done`.
//
// Touched by: db_follow db_manifest db_open db_property db_queue db_recover db_write
#ifndef LSM_DB_DB_QUEUE_H
#define LSM_DB_DB_QUEUE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "db/batch.h"
#include "db/db_roles.h"

struct db_log;

// How much of the reserve a write may use.
enum reserve_use { RESERVE_USE_NOT, RESERVE_USE_LITTLE, RESERVE_USE_ALL };

// One thread waiting in the write queue; lives on its stack.
struct writer {
    const struct lsm_batch *batch; // resolved; NULL: only wants to become leader
    enum reserve_use reserve;
    bool sync, sync_soon;
    bool done GUARDED_BY(db_queue_mutex); // someone else wrote the batch: `status` is the result
    int status;
    struct db_log *sync_log; // the log with the record of one that syncs, or will (one reference)
    uint64_t sync_end;
    struct status_kept *kept; // of the waiting thread, for the detail of a failure
    pthread_cond_t wake;      // done, or became head
    struct writer *next;
};

struct db_queue {
    pthread_mutex_t mutex;
    struct writer *head GUARDED_BY(db_queue_mutex); // leads
    struct writer *tail GUARDED_BY(db_queue_mutex);
    uint64_t last_sequence GUARDED_BY(db_lead); // of the last operation written
};

// Waits until the writer leads, or another leader has written its batch (false).
bool db_lead_or_wait(struct lsm *db, struct writer *writer) TRY_ACQUIRES(db_lead);
// Ends the lead: the writers from the head to `last` are done, the one after it leads.
void db_lead_end(struct lsm *db, struct writer *leader, struct writer *last) RELEASES(db_lead);
// Waits until the caller is the write leader, and gives the lead up again. For switching memtables
// from outside a write.
void db_lead_acquire(struct lsm *db, struct writer *writer) ACQUIRES(db_lead);
void db_lead_release(struct lsm *db, struct writer *writer) RELEASES(db_lead);
bool db_lead_try(struct lsm *db, struct writer *writer)
    TRY_ACQUIRES(db_lead); // false: somebody leads
// Makes the active memtable immutable and starts a new one. Lead held.
int db_switch_memtable(struct lsm *db) REQUIRES(db_lead) EXCLUDES(db_mutex);

#endif
