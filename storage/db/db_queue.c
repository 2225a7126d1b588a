// The write queue, and what only its head may do: switching memtables.
//
// Writers queue; the one at the head leads until it ends the lead, for itself and for those behind
// it whose batches it has written (LevelDB's write queue; db_write.c). Others than writers lead
// too, to switch the memtable.
#include <assert.h>

#include "base/waits.h"
#include "db/db.h"
#include "db/db_blob.h"

// The lead is no lock that clang knows, so what takes it and gives it up is not checked.
bool db_lead_or_wait(struct lsm *db, struct writer *writer) NOT_CHECKED
{
    db_queue_lock(db);
    writer->next = NULL;
    if (db->queue.head) {
        pthread_cond_init(&writer->wake, NULL);
        db->queue.tail->next = writer;
        db->queue.tail = writer;
        uint64_t began = clock_ns();
        while (!writer->done && db->queue.head != writer)
            pthread_cond_wait(&writer->wake, &db->queue.mutex);
        wait_end(WAIT_QUEUE, began);
        pthread_cond_destroy(&writer->wake);
    } else {
        db->queue.head = db->queue.tail = writer;
    }
    bool leads = !writer->done;
    assert(!leads || db->queue.head == writer);
    db_queue_unlock(db);
    return leads;
}

void db_lead_end(struct lsm *db, struct writer *leader, struct writer *last) NOT_CHECKED
{
    db_queue_lock(db);
    struct writer *next = last->next, *each = leader->next;
    assert(db->queue.head == leader && (next || db->queue.tail == last));
    db->queue.head = next;
    if (!next)
        db->queue.tail = NULL;
    if (leader != last) {
        for (;;) {
            struct writer *following = each->next; // once done, it may return and be gone
            bool end = each == last;
            each->done = true;
            pthread_cond_signal(&each->wake);
            if (end)
                break;
            each = following;
        }
    }
    if (next)
        pthread_cond_signal(&next->wake);
    db_queue_unlock(db);
}

void db_lead_acquire(struct lsm *db, struct writer *writer) NOT_CHECKED
{
    *writer = (struct writer){0};
    (void)db_lead_or_wait(db, writer); // true: nobody else can lead for one without a batch
}

bool db_lead_try(struct lsm *db, struct writer *writer) NOT_CHECKED
{
    *writer = (struct writer){0};
    db_queue_lock(db);
    bool ours = !db->queue.head;
    if (ours)
        db->queue.head = db->queue.tail = writer;
    db_queue_unlock(db);
    return ours;
}

void db_lead_release(struct lsm *db, struct writer *writer) NOT_CHECKED
{
    db_lead_end(db, writer, writer);
}

// The log that was made ahead, or a new one. If the disk has no room for it, the active log gives
// back what it has allocated ahead.
static int take_next_log(struct lsm *db, struct db_log **ret_log) REQUIRES(db_lead)
{
    db_lock(db);
    while (db->logs.spare_state ==
           SPARE_MAKING) // numbers must be used in the order they are given out
        db_wait(db, &db->changed);
    struct db_log *log = db->logs.spare;
    db->logs.spare = NULL;
    db->logs.spare_state = SPARE_NONE;
    db_unlock(db);
    if (log) {
        *ret_log = log;
        return LSM_OK;
    }
    int rc = db_log_new(db, ret_log);
    if (rc == LSM_NO_SPACE && wal_give_back(db_active_log_as_lead(db)->wal))
        rc = db_log_new(db, ret_log);
    return rc;
}

int db_switch_memtable(struct lsm *db)
{
    struct db_log *log;
    struct memtable *memtable;
    struct read_view *view;
    int rc = db_view_new(&view);
    if (rc)
        return rc;
    rc = db_memtable_new(db, &memtable);
    if (rc) {
        db_view_unref(view);
        return rc;
    }
    rc = take_next_log(db, &log);
    if (rc) {
        memtable_unref(memtable);
        db_view_unref(view);
        return rc;
    }
    db_lock(db);
    bool space_short = db_space_short(db);
    db_unlock(db);
    if (space_short) // the flush may need what the old log has allocated ahead
        (void)wal_give_back(db_active_log_as_lead(db)->wal);
    db_lock(db);
    assert(log->number > db_active_log(db)->number);
    db_add_immutable(db, db_active(db), db_active_log(db));
    db_log_note_used(db, wal_end(db_active_log(db)->wal));
    db_set_active(db, memtable, log);
    db->pace.watched_blobs = 0;
    db->space.spent_end = wal_end(log->wal);
    db_view_install(db, view);
    db->logs.spare_state = SPARE_WANTED;
    db_update_pressure(db);
    pthread_cond_broadcast(&db->work);
    db_unlock(db);
    return LSM_OK;
}
