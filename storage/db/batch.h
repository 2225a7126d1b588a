// Batches: the operations of one atomic write, in the bytes that go to the log.
//
//   fixed32 count, then per operation
//     0x00  slice key                                       delete
//     0x01  slice key, slice value                          put
//     0x02  slice key, slice source, varint offset, length  put a slice (in memory only: resolved
//                                                           to a put before it is logged)
//
// Operation i of a batch whose log record says sequence s has sequence s + i.
#ifndef LSM_DB_BATCH_H
#define LSM_DB_BATCH_H

#include "base/iter.h"
#include "base/slice.h"
#include "lsm.h"

#define BATCH_HEADER   4u
#define BATCH_MAX_SIZE UINT32_C(0x7fff0000)

enum batch_op_type { BATCH_DELETE = 0, BATCH_PUT = 1, BATCH_PUT_SLICE = 2 };

struct lsm_batch {
    struct buf payload;
    uint32_t count;
    uint32_t slices; // operations of type BATCH_PUT_SLICE
};

struct batch_op {
    enum batch_op_type type;
    struct slice key;
    struct slice value;  // put
    struct slice source; // put slice
    uint64_t offset, length;
};

// Walks the operations of a payload: batch_begin() gives the position of the first and the count
// (NULL: malformed); batch_next() returns LSM_CORRUPTION for malformed bytes (no detail: the caller
// knows the place).
const uint8_t *batch_begin(struct slice payload, uint32_t *ret_count);
int batch_next(const uint8_t **position, const uint8_t *end, struct batch_op *ret_op);

// Whether the whole payload decodes, has `count` operations and no slices: for recovery.
bool batch_valid(struct slice payload);

// Checks the sizes a user passed; LSM_INVALID with detail.
int batch_check_key(size_t key_size);
int batch_check_value(uint64_t value_size);

#endif
