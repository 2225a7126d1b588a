// The write-ahead log, writing side. Three ways behind one interface:
//
//  mapped   the file is pre-allocated (or recycled) and mapped; an append is a checksum and a
//           memcpy into the page cache. Survives the death of the process at once.
//  written  an append is a pwrite. For file systems that cannot pre-allocate, or on request.
//  held     an append is a copy in memory. A sync writes what has gathered, and so does an append
//           that finds much of it. The death of the process loses what was not written. In a
//           cluster all writers sync.
//
// AUTO takes mapped and falls back to written when allocation is not supported. A mapped log never
// stores to a page whose disk space is not allocated: a full disk shows as LSM_NO_SPACE from
// append (growing), with nothing appended, and never as SIGBUS.
//
// Threads: appends are made by one thread at a time (the write leader). wal_sync() may be called by
// many, at any time, also while appending: it is a group commit of its own. Errors of sync are
// sticky: after one, every append and sync fails with it.
#ifndef LSM_WAL_WRITER_H
#define LSM_WAL_WRITER_H

#include "base/slice.h"
#include "env/env.h"

struct wal_writer;

struct wal_options {
    struct env *env;
    enum lsm_wal_mode mode;
    size_t capacity; // bytes to pre-allocate
    size_t growth;   // to allocate at a time when these are full; 0: capacity
    // NULL, or called before each sync of the log, once it is settled up to where: makes durable
    // what the records up to there need. A failure is one of the sync.
    int (*before_sync)(void *arg);
    void *arg;
};

// Creates log `number` at `path`, its header written and synced; the file must not exist. If
// `recycle_path` names an old log, that is renamed into place (its content is worthless). The
// caller syncs the directory before it relies on wal_sync(). On failure nothing is left behind,
// except that a recycled file may be gone.
int wal_writer_new(const struct wal_options *options, const char *path, uint64_t number,
                   const char *recycle_path, struct wal_writer **ret_wal);

struct wal_record {
    uint64_t sequence;
    struct slice payload;
};

// Appends `count` records as one write. *ret_end gets the log's end after them, for wal_sync().
// On failure none of them will be seen by recovery. A failed write that cannot be undone is sticky.
int wal_append(struct wal_writer *wal, const struct wal_record *records, size_t count,
               uint64_t *ret_end);

// Returns when everything up to offset `end` is durable.
int wal_sync(struct wal_writer *wal, uint64_t end);

// Makes what is appended durable though nobody has asked for it. To appending, it is no sign that
// syncs are frequent. Called by one thread at a time.
int wal_sync_behind(struct wal_writer *wal);

// Has the disk begin with what is appended up to `end` and not durable, because a sync of it
// follows at once: that has less to wait for. Only a hint: does nothing while there is a sync under
// way, whose successor writes all, or if there is much to write.
void wal_write_out(struct wal_writer *wal, uint64_t end);

// Gives back the disk space that is allocated ahead and not used. False if there is none. By the
// thread that appends; later appends allocate again.
bool wal_give_back(struct wal_writer *wal);

uint64_t wal_end(const struct wal_writer *wal);     // bytes appended, header included
uint64_t wal_durable(const struct wal_writer *wal); // bytes known to be durable

// Closes without syncing. NULL is allowed. Cuts the file to its end if `trim`.
void wal_writer_free(struct wal_writer *wal, bool trim);

#endif
