// Batches: the operations of one atomic write, in the bytes that go to the log.
//
//   fixed32 count, then per operation a type byte and
//
//     0x00  delete: slice key
//     0x01  put: slice key, slice value
//     0x02  put a part of a value: slice key, slice source, varint offset, varint length,
//           fixed64 snapshot
//     0x03  put borrowed bytes: slice key, fixed64 address, varint size
//     0x04  put a value that is in a blob file: slice key, slice pointer
//
// Types 0x02 and 0x03 are in memory only: db_resolve.c replaces them before the batch is logged.
//
// Operation i of a batch whose log record says sequence s has sequence s + i.
#ifndef LSM_DB_BATCH_H
#define LSM_DB_BATCH_H

#include "base/slice.h"
#include "blob/blob_refs.h"
#include "entry/iter.h"
#include "lsm.h"

#define BATCH_HEADER   4u
#define BATCH_MAX_SIZE UINT32_C(0x7fff0000)

enum batch_op_type {
    BATCH_DELETE = 0,
    BATCH_PUT = 1,
    BATCH_PUT_PART = 2,
    BATCH_PUT_BORROWED = 3,
    BATCH_PUT_BLOB = 4
};

// The type of the entry that a logged operation makes.
static inline enum entry_type batch_entry_type(enum batch_op_type type)
{
    return type == BATCH_PUT ? ENTRY_PUT : type == BATCH_PUT_BLOB ? ENTRY_BLOB : ENTRY_DELETE;
}

struct lsm_batch {
    struct buf payload;
    uint32_t count;
    uint32_t unresolved; // operations of the types that are not logged
    size_t largest;      // size of the largest value put

    // Of a batch that was resolved (db_resolve.c), by lsm_stage() or to be logged: the store whose
    // blob files its pointers name. Not resolved: NULL and zeros.
    const struct lsm *resolved_in;
    struct blob_refs pins;                    // of the pointers in the payload, a reference each
    uint64_t resolved_bytes, resolved_values; // written to the files; of the values

    struct lsm_batch
        *resolved; // what lsm_write() logs instead; kept for its memory. NULL: none yet
};

struct batch_op {
    enum batch_op_type type;
    struct slice key;
    struct slice value;  // put; borrowed bytes; pointer
    struct slice source; // put part: the key of the value
    uint64_t offset, length;
    const struct lsm_snapshot *snapshot; // as of which `source` is read; NULL: now
};

// Walks the operations of a payload: batch_begin() gives the position of the first and the count
// (NULL: malformed); batch_next() returns LSM_CORRUPTION for malformed bytes (no detail: the caller
// knows the place).
const uint8_t *batch_begin(struct slice payload, uint32_t *ret_count);
int batch_next(const uint8_t **position, const uint8_t *end, struct batch_op *ret_op);

// Whether the whole payload decodes, has `count` operations and only such as are logged: for
// recovery. *ret_blobs: there are pointers among them.
bool batch_valid(struct slice payload, bool *ret_blobs);

// Gives the set a reference to each of the files of `pins`, whose bytes count as referenced from
// memory until blob_refs_drop().
int batch_pin(struct blob_refs *set, const struct blob_refs *pins);

// Appends a put of an encoded pointer.
int batch_put_blob(struct lsm_batch *batch, struct slice key, struct slice pointer);

// Appends a put of `size` bytes, to be filled in at *ret_value before anything else is done with
// the batch.
int batch_put_room(struct lsm_batch *batch, struct slice key, size_t size, uint8_t **ret_value);

// Appends `count` operations as they are encoded in another batch, one behind the other.
int batch_put_encoded(struct lsm_batch *batch, struct slice encoded, uint32_t count);

// Frees what the batch holds, but not the batch.
void batch_release(struct lsm_batch *batch);

// Checks the sizes a user passed; LSM_INVALID with detail.
int batch_check_key(size_t key_size);
int batch_check_value(uint64_t value_size);

#endif
