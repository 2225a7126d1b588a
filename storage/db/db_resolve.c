// From a batch as a caller makes it to one that is logged.
//
// Before a batch queues for the log it is resolved, in the writer's own thread, so that many write
// their bytes at once: values of `blob_min` bytes or more are appended to a blob file and replaced
// by pointers, borrowed values taken in, slices looked up. A slice of a separated value is a
// pointer to a part of it, unless it is shorter than `inline_size`; all else is copied.
//
// Each pointer keeps its file: from the append, or from the moment a slice's source is found (while
// still pinned, so that the table or memtable it is in holds the file), the batch has a reference,
// which the write leader hands to the active memtable (db_blob.c).
#include <stdlib.h>

#include "db/batch.h"
#include "db/db.h"

// Takes over the caller's reference to `file`, and with `appended` its bytes, which count already.
static int pin(struct db_blob_write *write, struct blob_file *file,
               const struct blob_pointer *pointer, bool appended)
{
    struct blob_ref *ref = NULL;
    int64_t bytes = (int64_t)blob_pointer_bytes(pointer);
    int rc = blob_refs_add(&write->pins, pointer->file, blob_pointer_bytes(pointer), &ref);
    if (!rc && !appended)
        blob_file_add_mem(file, bytes);
    if (rc && appended)
        blob_file_add_mem(file, -bytes);
    if (rc || ref->file)
        blob_file_unref(file);
    else
        ref->file = file;
    return rc;
}

static int put_pointer(struct db_blob_write *write, struct slice key, struct blob_file *file,
                       const struct blob_pointer *pointer, bool appended)
{
    uint8_t bytes[BLOB_POINTER_MAX];
    int rc = pin(write, file, pointer, appended);
    if (!rc)
        rc =
            batch_put_blob(write->batch, key, slice_of(bytes, blob_pointer_encode(pointer, bytes)));
    return rc;
}

static int resolve_put(struct lsm *db, struct slice key, struct slice value,
                       struct db_blob_write *write)
{
    struct blob_pointer pointer;
    struct blob_file *file;
    if (value.size < write->min)
        return lsm_batch_put(write->batch, key.data, key.size, value.data, value.size);
    int rc = blob_store_append(db->blobs, BLOB_WRITES, value, &pointer, &file);
    if (rc)
        return rc;
    write->written += blob_pointer_bytes(&pointer);
    write->value_bytes += value.size;
    return put_pointer(write, key, file, &pointer, true);
}

static int check_slice(const struct batch_op *op, uint64_t size)
{
    if (op->offset > size || op->length > size - op->offset)
        return status_fail(LSM_INVALID, "a slice reaches beyond its source's value");
    return LSM_OK;
}

// A slice of a value in a blob file; takes over the reference to it.
static int share(const struct batch_op *op, struct blob_file *file, struct blob_pointer *pointer,
                 size_t inline_size, struct db_blob_write *write)
{
    int rc = check_slice(op, pointer->length);
    if (!rc && op->length && op->length >= inline_size) {
        pointer->start += (uint32_t)op->offset;
        pointer->length = (uint32_t)op->length;
        return put_pointer(write, op->key, file, pointer, false);
    }
    uint8_t *data = rc ? NULL : malloc(op->length ? (size_t)op->length : 1);
    if (!rc && !data)
        rc = status_no_memory((size_t)op->length);
    if (!rc)
        rc = blob_file_read(file, pointer, (uint32_t)op->offset, data, (size_t)op->length);
    if (!rc)
        rc = lsm_batch_put(write->batch, op->key.data, op->key.size, data, (size_t)op->length);
    free(data);
    blob_file_unref(file);
    return rc;
}

static int resolve_slice(struct lsm *db, const struct batch_op *op, struct db_blob_write *write)
{
    struct slice value;
    uint64_t tag;
    struct blob_pointer pointer;
    struct blob_file *file = NULL;
    epoch_pin();
    const struct lsm_read_options options = {.snapshot = op->snapshot};
    int rc = db_lookup(db, &options, op->source, &tag, &value);
    if (rc == LSM_NOT_FOUND)
        rc = status_fail(rc, "the source of a slice does not exist");
    else if (!rc && tag_type(tag) == ENTRY_BLOB)
        rc = db_blob_open(db, value, &pointer, &file);
    else if (!rc && !(rc = check_slice(op, value.size)))
        rc = lsm_batch_put(write->batch, op->key.data, op->key.size, value.data + op->offset,
                           (size_t)op->length);
    epoch_unpin();
    return file ? share(op, file, &pointer, db_blob_inline_size(&db->options), write) : rc;
}

static int resolve_op(struct lsm *db, const struct batch_op *op, struct db_blob_write *write)
{
    switch (op->type) {
    case BATCH_PUT:
    case BATCH_PUT_BORROWED:
        return resolve_put(db, op->key, op->value, write);
    case BATCH_PUT_SLICE:
        return resolve_slice(db, op, write);
    case BATCH_PUT_BLOB:
        return batch_put_blob(write->batch, op->key, op->value); // batch_pin() has its file
    default:
        return lsm_batch_delete(write->batch, op->key.data, op->key.size);
    }
}

int db_resolve(struct lsm *db, const struct lsm_batch *batch, size_t min,
               struct db_blob_write *ret_write)
{
    struct db_blob_write write = {
        .min = min, .written = batch->staged_bytes, .value_bytes = batch->staged_values};
    int rc = lsm_batch_new(&write.batch);
    if (!rc)
        rc = batch_pin(&write.pins, &batch->pins);
    if (rc) {
        db_resolve_release(&write);
        return rc;
    }
    uint32_t count;
    struct slice payload = buf_slice(&batch->payload);
    const uint8_t *p = batch_begin(payload, &count), *end = payload.data + payload.size;
    while (!rc && p < end) {
        struct batch_op op;
        rc = batch_next(&p, end, &op);
        rc = rc ? status_fail(rc, "malformed batch in memory") : resolve_op(db, &op, &write);
    }
    if (rc)
        db_resolve_release(&write);
    else
        *ret_write = write;
    return rc;
}

int lsm_stage(struct lsm *db, struct lsm_batch *batch)
{
    struct db_blob_write write;
    if (db->options.read_only)
        return status_fail(LSM_READ_ONLY, "%s was opened read-only", db->dir);
    if (batch->staged_in)
        return status_fail(LSM_INVALID, "the batch has been staged already");
    int rc = db_check_space(db);
    if (rc)
        return rc;
    rc = db_resolve(db, batch, db_blob_min(db, NULL), &write);
    if (rc == LSM_NO_SPACE)
        db_note_full(db);
    if (rc)
        return rc;
    struct lsm_batch *staged = write.batch;
    struct buf payload = batch->payload;
    batch->payload = staged->payload;
    staged->payload = payload;
    batch->unresolved = 0;
    batch->largest = staged->largest;
    batch->staged_in = db;
    batch->pins = write.pins;
    batch->staged_bytes = write.written;
    batch->staged_values = write.value_bytes;
    lsm_batch_free(staged);
    return LSM_OK;
}

void db_resolve_release(struct db_blob_write *write)
{
    lsm_batch_free(write->batch);
    blob_refs_drop(&write->pins);
    blob_refs_release(&write->pins);
}
