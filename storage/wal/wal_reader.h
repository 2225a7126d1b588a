// The write-ahead log, reading side: recovery. See wal_format.h for the layout and what ends a log.
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
// offset, after the records before it have been handed out. Only reads.
int wal_read(struct env *env, const char *path, uint64_t number, wal_record_fn *fn, void *arg,
             struct wal_read_result *ret_result);

#endif
