// From a record of the log to the entries of a memtable. See db_replay.h.
//
// The memtable gets its references to blob files before any entry that points into them.
//
// Thread safety: one thread for each memtable; its readers may read meanwhile.
#include "db/db_replay.h"

#include <assert.h>

#include "db/batch.h"
#include "db/db.h"
#include "db/db_blob.h"

// References the blob files that the pointers name and, with `verify`, reads what they point to.
// *ret_there: whether all of it is there.
static int replay_blobs(struct lsm *db, struct memtable *memtable, struct slice payload,
                        bool verify, bool *ret_there)
{
    struct blob_refs refs = {0};
    uint32_t count;
    const uint8_t *p = batch_begin(payload, &count), *end = payload.data + payload.size;
    int rc = LSM_OK;
    *ret_there = true;
    while (p < end && !rc && *ret_there) {
        struct batch_op op;
        struct blob_pointer pointer;
        struct blob_file *file = NULL; // stays NULL if the file cannot be referenced
        rc = batch_next(&p, end, &op);
        if (rc || op.type != BATCH_PUT_BLOB)
            continue;
        rc = db_blob_open(db, op.value, &pointer, &file);
        if (!rc && verify)
            rc = blob_file_verify(file, &pointer);
        if (rc == LSM_CORRUPTION) {
            *ret_there = false;
            rc = LSM_OK;
        }
        struct blob_ref *ref = NULL;
        if (!rc && file)
            rc = blob_refs_add(&refs, pointer.file, blob_pointer_bytes(&pointer), &ref);
        if (!ref || rc || ref->file)
            blob_file_unref(file);
        else
            ref->file = file;
    }
    if (!rc && *ret_there)
        rc = db_blob_register(memtable, &refs, 0);
    blob_refs_unref(&refs);
    blob_refs_release(&refs);
    return rc;
}

int db_replay_batch(struct lsm *db, struct memtable *memtable, struct memtable_hint *hint,
                    struct slice payload, uint64_t sequence, bool verify, uint64_t *ret_last)
{
    bool blobs, there = true;
    uint32_t count;
    if (!batch_valid(payload, &blobs))
        return status_fail(LSM_CORRUPTION, "is not a batch");
    int rc = blobs ? replay_blobs(db, memtable, payload, verify, &there) : LSM_OK;
    if (rc || !there)
        return rc ? rc : 1;
    const uint8_t *p = batch_begin(payload, &count), *end = payload.data + payload.size;
    const uint64_t after = sequence + count;
    while (p < end && !rc) {
        struct batch_op op;
        rc = batch_next(&p, end, &op);
        if (rc)
            break;
        assert(blobs || op.type != BATCH_PUT_BLOB);
        enum entry_type type = batch_entry_type(op.type);
        rc = memtable_add(memtable, op.key, tag_make(sequence++, type), op.value, hint);
    }
    assert(rc || sequence == after);
    (void)after;
    if (!rc)
        *ret_last = sequence - 1;
    return rc;
}
