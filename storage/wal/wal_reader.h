// The write-ahead log, reading side: recovery, and following a log that another process appends to.
// See wal_format.h for the layout and what ends a log.
#ifndef LSM_WAL_READER_H
#define LSM_WAL_READER_H

#include "base/slice.h"
#include "env/env.h"

// Called for each valid record in order; non-zero stops and is returned.
typedef int wal_record_fn(void *arg, uint64_t sequence, struct slice payload, uint64_t offset);

struct wal_read_result {
    uint64_t end; // offset after the last valid record
    uint64_t records;
    bool torn;            // unsynced bytes followed that are no record
    uint64_t max_durable; // highest durable offset seen in any record of this log
};

// Replays the log at `path`. A log whose header is missing, or is that of another log (a file that
// was about to be recycled), was never used: torn, with no records and `end` 0. A damaged header,
// or damage before a point that a later record says was synced: LSM_CORRUPTION with path and
// offset, after the records before it have been handed out. LSM_TRY_AGAIN: whoever writes the log
// has cut it meanwhile, as at its end. Only reads.
int wal_read(struct env *env, const char *path, uint64_t number, wal_record_fn *fn, void *arg,
             struct wal_read_result *ret_result);

// A log that another process may be appending to. One thread at a time.
struct wal_tail;

// Opens the log at `path`, which may not have become log `number` yet.
int wal_tail_open(struct env *env, const char *path, uint64_t number, struct wal_tail **ret_tail);
void wal_tail_free(struct wal_tail *tail); // NULL is allowed
// Hands out the records that have come since the last call: the first that is not whole is one that
// is being written. *ret_count gets how many it were. LSM_NOT_FOUND: what was handed out before is
// not in the file any more, since the log was cut or its file has become another's. What the log
// says of synced bytes that are damaged is not looked at. If `fn` returns more than 0, that is
// returned, and the record is handed out again the next time. After a failure, that of `fn`
// included, the tail is good for nothing but being freed.
int wal_tail_read(struct wal_tail *tail, wal_record_fn *fn, void *arg, uint64_t *ret_count);
uint64_t wal_tail_number(const struct wal_tail *tail);
// Up to where the log says that it was synced: the highest durable offset in any record that there
// is, also of those that wal_tail_read() has still to hand out. Fails as wal_tail_read() does.
int wal_tail_ahead(struct wal_tail *tail, uint64_t *ret_durable);

#endif
