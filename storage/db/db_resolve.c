// From a batch as a caller makes it to one that is logged.
//
// Before a batch queues for the log it is resolved, in the writer's own thread, so that many write
// their bytes at once: values of `blob_min` bytes or more are appended to a blob file and replaced
// by pointers, borrowed values taken in, parts of other values looked up. A part of a value that is
// in a blob file becomes a pointer into that file, unless it is shorter than `inline_size`; all
// other parts are copied.
//
// The result is a second payload, which the batch keeps for its memory: the operations themselves
// stay as they are, since the batch may be used again, and a copied part or a pointer can be longer
// than what it replaces. Operations that stay as they are are copied, not encoded again.
//
// Each pointer keeps its file: from the append, or from the moment a part's source is found (while
// still pinned, so that the table or memtable it is in holds the file), the batch has a reference,
// which the write leader hands to the active memtable (db_blob.c).
#include <assert.h>
#include <stdlib.h>

#include "db/batch.h"
#include "db/db.h"
#include "db/db_blob.h"

#define KEPT_MAX ((size_t)1 << 20) // a batch that resolved into more does not keep the memory

// Where resolved operations go.
struct resolving {
    struct lsm_batch *batch;
    size_t min; // values of this size or more are separated
};

// Adds a pointer's file and bytes to the batch's pins. Takes over the caller's reference to `file`.
// `appended`: blob_store_append() has counted the bytes as referenced from memory already.
static int pin(struct resolving *to, struct blob_file *file, const struct blob_pointer *pointer,
               bool appended)
{
    struct blob_ref *ref = NULL;
    int64_t bytes = (int64_t)blob_pointer_bytes(pointer);
    int rc = blob_refs_add(&to->batch->pins, pointer->file, blob_pointer_bytes(pointer), &ref);
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

static int put_pointer(struct resolving *to, struct slice key, struct blob_file *file,
                       const struct blob_pointer *pointer, bool appended)
{
    uint8_t bytes[BLOB_POINTER_MAX];
    int rc = pin(to, file, pointer, appended);
    if (!rc)
        rc = batch_put_blob(to->batch, key, slice_of(bytes, blob_pointer_encode(pointer, bytes)));
    return rc;
}

static int resolve_put(struct lsm *db, struct slice key, struct slice value, struct resolving *to)
{
    struct blob_pointer pointer;
    struct blob_file *file;
    if (value.size < to->min)
        return lsm_batch_put(to->batch, key.data, key.size, value.data, value.size);
    int rc = blob_store_append(db->blobs, BLOB_WRITES, value, &pointer, &file);
    if (rc)
        return rc;
    to->batch->resolved_bytes += blob_pointer_bytes(&pointer);
    to->batch->resolved_values += value.size;
    return put_pointer(to, key, file, &pointer, true);
}

static int check_part(const struct batch_op *op, uint64_t size)
{
    if (op->offset > size || op->length > size - op->offset)
        return status_fail(LSM_INVALID, "a part reaches beyond its source's value");
    return LSM_OK;
}

// A part of a value in a blob file; takes over the reference to the file.
static int share(const struct batch_op *op, struct blob_file *file, struct blob_pointer *pointer,
                 size_t inline_size, struct resolving *to)
{
    int rc = check_part(op, pointer->length);
    if (!rc && op->length && op->length >= inline_size) {
        pointer->start += (uint32_t)op->offset;
        pointer->length = (uint32_t)op->length;
        return put_pointer(to, op->key, file, pointer, false);
    }
    uint8_t *room;
    if (!rc)
        rc = batch_put_room(to->batch, op->key, (size_t)op->length, &room);
    if (!rc)
        rc = blob_file_read(file, pointer, (uint32_t)op->offset, room, (size_t)op->length);
    blob_file_unref(file);
    return rc;
}

static int resolve_part(struct lsm *db, const struct batch_op *op, struct resolving *to)
{
    struct slice value;
    uint64_t tag;
    struct blob_pointer pointer;
    struct blob_file *file = NULL;
    epoch_pin();
    const struct lsm_read_options options = {.snapshot = op->snapshot};
    int rc = db_lookup(db, &options, op->source, &tag, &value);
    if (rc == LSM_NOT_FOUND)
        rc = status_fail(rc, "the source of a part does not exist");
    else if (!rc && tag_type(tag) == ENTRY_BLOB)
        rc = db_blob_open(db, value, &pointer, &file);
    else if (!rc && !(rc = check_part(op, value.size)))
        rc = lsm_batch_put(to->batch, op->key.data, op->key.size, value.data + op->offset,
                           (size_t)op->length);
    epoch_unpin();
    return file ? share(op, file, &pointer, db_blob_inline_size(&db->options), to) : rc;
}

// Whether the operation is logged as the batch has it.
static bool stays(const struct batch_op *op, const struct resolving *to)
{
    return op->type == BATCH_DELETE || op->type == BATCH_PUT_BLOB || // batch_pin() has its file
           (op->type == BATCH_PUT && op->value.size < to->min);
}

static int replace(struct lsm *db, const struct batch_op *op, struct resolving *to)
{
    if (op->type == BATCH_PUT_PART)
        return resolve_part(db, op, to);
    assert(op->type == BATCH_PUT_BORROWED || op->type == BATCH_PUT);
    return resolve_put(db, op->key, op->value, to);
}

// What stays is not encoded again, but copied: each run of such operations at once.
static int resolve_all(struct lsm *db, struct slice payload, struct resolving *to)
{
    uint32_t count, run_count = 0;
    const uint8_t *p = batch_begin(payload, &count), *end = payload.data + payload.size;
    const uint8_t *run = p;
    int rc = LSM_OK;
    while (!rc && p < end) {
        struct batch_op op;
        const uint8_t *begin = p;
        if (batch_next(&p, end, &op))
            return status_fail(LSM_CORRUPTION, "malformed batch in memory");
        if (stays(&op, to)) {
            run_count++;
            if (op.type == BATCH_PUT && op.value.size > to->batch->largest)
                to->batch->largest = op.value.size;
            continue;
        }
        rc = batch_put_encoded(to->batch, slice_of(run, (size_t)(begin - run)), run_count);
        if (!rc)
            rc = replace(db, &op, to);
        run = p;
        run_count = 0;
    }
    return rc ? rc : batch_put_encoded(to->batch, slice_of(run, (size_t)(end - run)), run_count);
}

int db_resolve(struct lsm *db, struct lsm_batch *batch, size_t min)
{
    int rc = batch->resolved ? LSM_OK : lsm_batch_new(&batch->resolved);
    if (rc)
        return rc;
    struct lsm_batch *resolved = batch->resolved;
    lsm_batch_clear(resolved);
    resolved->resolved_in = db;
    resolved->resolved_bytes = batch->resolved_bytes;
    resolved->resolved_values = batch->resolved_values;
    rc = batch_pin(&resolved->pins, &batch->pins);
    if (!rc)
        rc = resolve_all(db, buf_slice(&batch->payload),
                         &(struct resolving){.batch = resolved, .min = min});
    assert(rc || (resolved->count == batch->count && resolved->unresolved == 0));
    if (rc)
        db_resolve_end(batch);
    return rc;
}

void db_resolve_end(struct lsm_batch *batch)
{
    if (batch->resolved->payload.capacity > KEPT_MAX) {
        lsm_batch_free(batch->resolved);
        batch->resolved = NULL;
    } else {
        lsm_batch_clear(batch->resolved);
    }
}

int lsm_stage(struct lsm *db, struct lsm_batch *batch)
{
    if (db->options.read_only)
        return status_fail(LSM_READ_ONLY, "%s was opened read-only", db->dir);
    if (batch->resolved_in)
        return status_fail(LSM_INVALID, "the batch has been staged already");
    int rc = db_check_space(db);
    if (rc)
        return rc;
    rc = db_resolve(db, batch, db_blob_min(db, NULL));
    if (rc == LSM_NO_SPACE)
        db_note_full(db);
    if (rc)
        return rc;
    struct lsm_batch *resolved = batch->resolved, before = *batch;
    *batch = *resolved; // the batch as it was is kept in its place, for the memory
    *resolved = before;
    batch->resolved = resolved;
    resolved->resolved = NULL;
    db_resolve_end(batch);
    return LSM_OK;
}
