// From a record of the log to the entries of a memtable: what recovery and following share.
#ifndef LSM_DB_DB_REPLAY_H
#define LSM_DB_DB_REPLAY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "memtable/memtable.h"

struct lsm;

// Adds the batch `payload`, whose first operation has number `sequence`, to the memtable, with
// references to the blob files that it points into. *ret_last: the number of the last one. With
// `verify` what it points to is read; 1: it is not there, and nothing was added. LSM_CORRUPTION: it
// is no batch. After other failures the memtable may have a part of it.
int db_replay_batch(struct lsm *db, struct memtable *memtable, struct memtable_hint *hint,
                    struct slice payload, uint64_t sequence, bool verify, uint64_t *ret_last);

#endif
