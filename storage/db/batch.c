// Building and walking batches. The layout is in batch.h. Not synchronised: a batch belongs to one
// thread. A failed append leaves the batch as it was.
#include "db/batch.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/coding.h"
#include "base/status.h"
#include "blob/blob_format.h"
#include "blob/blob_store.h"

int batch_check_key(size_t key_size)
{
    if (key_size == 0 || key_size > LSM_MAX_KEY)
        return status_fail(LSM_INVALID, "key of %zu bytes: must be 1 to %u", key_size, LSM_MAX_KEY);
    return LSM_OK;
}

int batch_check_value(uint64_t value_size)
{
    if (value_size > LSM_MAX_VALUE)
        return status_fail(LSM_INVALID, "value of %" PRIu64 " bytes: must be at most %u",
                           value_size, LSM_MAX_VALUE);
    return LSM_OK;
}

int lsm_batch_new(struct lsm_batch **ret_batch)
{
    struct lsm_batch *batch = calloc(1, sizeof *batch);
    if (!batch)
        return status_no_memory(sizeof *batch);
    if (buf_reserve(&batch->payload, 256)) {
        free(batch);
        return status_no_memory(256);
    }
    lsm_batch_clear(batch);
    *ret_batch = batch;
    return LSM_OK;
}

// Drops the references; their memory is kept.
static void drop_pins(struct lsm_batch *batch)
{
    blob_refs_drop(&batch->pins);
    batch->pins.count = batch->pins.last = 0;
    batch->resolved_in = NULL;
    batch->resolved_bytes = batch->resolved_values = 0;
}

void batch_release(struct lsm_batch *batch)
{
    drop_pins(batch);
    blob_refs_release(&batch->pins);
    buf_release(&batch->payload);
    lsm_batch_free(batch->resolved);
    batch->resolved = NULL;
}

void lsm_batch_free(struct lsm_batch *batch)
{
    if (!batch)
        return;
    batch_release(batch);
    free(batch);
}

void lsm_batch_clear(struct lsm_batch *batch)
{
    put_fixed32(batch->payload.data, 0);
    batch->payload.size = BATCH_HEADER;
    batch->count = 0;
    batch->unresolved = 0;
    batch->largest = 0;
    if (batch->resolved_in)
        drop_pins(batch);
}

size_t lsm_batch_count(const struct lsm_batch *batch)
{
    return batch->count;
}

size_t lsm_batch_size(const struct lsm_batch *batch)
{
    return batch->payload.size;
}

// Room for an operation whose keys and values are `bytes` in all; 64 covers type and lengths.
static int batch_grow(struct lsm_batch *batch, uint64_t bytes)
{
    if (batch->payload.size + bytes + 64 > BATCH_MAX_SIZE)
        return status_fail(LSM_INVALID, "batch of more than %u bytes", BATCH_MAX_SIZE);
    if (batch->payload.capacity - batch->payload.size >= bytes + 64)
        return LSM_OK;
    size_t extra = (size_t)bytes + 64;
    if (extra < batch->payload.capacity)
        extra = batch->payload.capacity; // double
    if (buf_reserve(&batch->payload, extra))
        return status_no_memory(extra);
    return LSM_OK;
}

static void batch_finish(struct lsm_batch *batch, uint8_t *end)
{
    batch->payload.size = (size_t)(end - batch->payload.data);
    assert(batch->payload.size <= batch->payload.capacity && batch->payload.size <= BATCH_MAX_SIZE);
    put_fixed32(batch->payload.data, ++batch->count);
}

int batch_put_room(struct lsm_batch *batch, struct slice key, size_t size, uint8_t **ret_value)
{
    int rc = batch_check_key(key.size);
    if (!rc)
        rc = batch_check_value(size);
    if (!rc)
        rc = batch_grow(batch, (uint64_t)key.size + size);
    if (rc)
        return rc;
    uint8_t *p = batch->payload.data + batch->payload.size;
    *p++ = BATCH_PUT;
    p = put_slice(p, key);
    p = put_varint64(p, size);
    *ret_value = p;
    batch_finish(batch, p + size);
    if (size > batch->largest)
        batch->largest = size;
    return LSM_OK;
}

int lsm_batch_put(struct lsm_batch *batch, const void *key, size_t key_size, const void *value,
                  size_t value_size)
{
    uint8_t *room;
    int rc = batch_put_room(batch, slice_of(key, key_size), value_size, &room);
    if (!rc && value_size)
        memcpy(room, value, value_size);
    return rc;
}

int batch_put_encoded(struct lsm_batch *batch, struct slice encoded, uint32_t count)
{
    int rc = count ? batch_grow(batch, encoded.size) : LSM_OK;
    if (rc || !count)
        return rc;
    uint8_t *p = batch->payload.data + batch->payload.size;
    memcpy(p, encoded.data, encoded.size);
    batch->count += count - 1; // batch_finish() counts one
    batch_finish(batch, p + encoded.size);
    return LSM_OK;
}

int lsm_batch_put_borrowed(struct lsm_batch *batch, const void *key, size_t key_size,
                           const void *value, size_t value_size)
{
    int rc = batch_check_key(key_size);
    if (!rc)
        rc = batch_check_value(value_size);
    if (!rc)
        rc = batch_grow(batch, key_size);
    if (rc)
        return rc;
    uint8_t *p = batch->payload.data + batch->payload.size;
    *p++ = BATCH_PUT_BORROWED;
    p = put_slice(p, slice_of(key, key_size));
    p = put_fixed64(p, (uint64_t)(uintptr_t)value);
    p = put_varint64(p, value_size);
    batch_finish(batch, p);
    batch->unresolved++;
    return LSM_OK;
}

int batch_put_blob(struct lsm_batch *batch, struct slice key, struct slice pointer)
{
    int rc = batch_grow(batch, key.size + pointer.size);
    if (rc)
        return rc;
    uint8_t *p = batch->payload.data + batch->payload.size;
    *p++ = BATCH_PUT_BLOB;
    p = put_slice(p, key);
    p = put_slice(p, pointer);
    batch_finish(batch, p);
    return LSM_OK;
}

int lsm_batch_delete(struct lsm_batch *batch, const void *key, size_t key_size)
{
    int rc = batch_check_key(key_size);
    if (!rc)
        rc = batch_grow(batch, key_size);
    if (rc)
        return rc;
    uint8_t *p = batch->payload.data + batch->payload.size;
    *p++ = BATCH_DELETE;
    p = put_slice(p, slice_of(key, key_size));
    batch_finish(batch, p);
    return LSM_OK;
}

int lsm_batch_put_part(struct lsm_batch *batch, const void *key, size_t key_size,
                       const void *src_key, size_t src_key_size, uint64_t offset, uint64_t length)
{
    return lsm_batch_put_part_at(batch, key, key_size, NULL, src_key, src_key_size, offset, length);
}

int lsm_batch_put_part_at(struct lsm_batch *batch, const void *key, size_t key_size,
                          const struct lsm_snapshot *snapshot, const void *src_key,
                          size_t src_key_size, uint64_t offset, uint64_t length)
{
    int rc = batch_check_key(key_size);
    if (!rc)
        rc = batch_check_key(src_key_size);
    if (!rc)
        rc = batch_check_value(length);
    if (!rc)
        rc = batch_grow(batch, (uint64_t)key_size + src_key_size);
    if (rc)
        return rc;
    uint8_t *p = batch->payload.data + batch->payload.size;
    *p++ = BATCH_PUT_PART;
    p = put_slice(p, slice_of(key, key_size));
    p = put_slice(p, slice_of(src_key, src_key_size));
    p = put_varint64(p, offset);
    p = put_varint64(p, length);
    p = put_fixed64(p, (uint64_t)(uintptr_t)snapshot);
    batch_finish(batch, p);
    batch->unresolved++;
    return LSM_OK;
}

int batch_pin(struct blob_refs *set, const struct blob_refs *pins)
{
    for (size_t i = 0; i < pins->count; i++) {
        struct blob_ref *ref;
        int rc = blob_refs_add(set, pins->refs[i].number, pins->refs[i].bytes, &ref);
        if (rc)
            return rc;
        if (!ref->file) {
            ref->file = pins->refs[i].file;
            blob_file_ref(ref->file);
        }
        assert(ref->file == pins->refs[i].file);
        blob_file_add_mem(ref->file, (int64_t)pins->refs[i].bytes);
    }
    return LSM_OK;
}

int lsm_batch_append(struct lsm_batch *batch, const struct lsm_batch *other)
{
    size_t size = other->payload.size - BATCH_HEADER;
    if (batch->resolved_in && other->resolved_in && batch->resolved_in != other->resolved_in)
        return status_fail(LSM_INVALID, "the batches are staged in different stores");
    int rc = batch_grow(batch, size);
    if (!rc)
        rc = batch_pin(&batch->pins, &other->pins); // a pin too many does no harm
    if (other->resolved_in)
        batch->resolved_in = other->resolved_in;
    if (rc)
        return rc;
    memcpy(batch->payload.data + batch->payload.size, other->payload.data + BATCH_HEADER, size);
    batch->payload.size += size;
    batch->count += other->count;
    put_fixed32(batch->payload.data, batch->count);
    batch->unresolved += other->unresolved;
    if (other->largest > batch->largest)
        batch->largest = other->largest;
    batch->resolved_bytes += other->resolved_bytes;
    batch->resolved_values += other->resolved_values;
    return LSM_OK;
}

const uint8_t *batch_begin(struct slice payload, uint32_t *ret_count)
{
    if (payload.size < BATCH_HEADER)
        return NULL;
    *ret_count = get_fixed32(payload.data);
    return payload.data + BATCH_HEADER;
}

int batch_next(const uint8_t **position, const uint8_t *end, struct batch_op *ret_op)
{
    const uint8_t *p = *position;
    if (p >= end || *p > BATCH_PUT_BLOB)
        return LSM_CORRUPTION;
    ret_op->type = (enum batch_op_type) * p++;
    p = get_slice(p, end, &ret_op->key);
    ret_op->value = (struct slice){NULL, 0};
    if (p && (ret_op->type == BATCH_PUT || ret_op->type == BATCH_PUT_BLOB)) {
        p = get_slice(p, end, &ret_op->value);
    } else if (p && ret_op->type == BATCH_PUT_BORROWED) {
        uint64_t size;
        if (end - p < 8)
            return LSM_CORRUPTION;
        ret_op->value.data = (const uint8_t *)(uintptr_t)get_fixed64(p);
        p = get_varint64(p + 8, end, &size);
        ret_op->value.size = (size_t)size;
    } else if (p && ret_op->type == BATCH_PUT_PART) {
        p = get_slice(p, end, &ret_op->source);
        p = p ? get_varint64(p, end, &ret_op->offset) : NULL;
        p = p ? get_varint64(p, end, &ret_op->length) : NULL;
        if (!p || end - p < 8)
            return LSM_CORRUPTION;
        ret_op->snapshot = (const struct lsm_snapshot *)(uintptr_t)get_fixed64(p);
        p += 8;
    }
    if (!p || ret_op->key.size == 0 || ret_op->key.size > LSM_MAX_KEY)
        return LSM_CORRUPTION;
    *position = p;
    return LSM_OK;
}

bool batch_valid(struct slice payload, bool *ret_blobs)
{
    uint32_t count;
    struct blob_pointer pointer;
    const uint8_t *p = batch_begin(payload, &count), *end = payload.data + payload.size;
    *ret_blobs = false;
    if (!p)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        struct batch_op op;
        if (batch_next(&p, end, &op) || op.type == BATCH_PUT_PART || op.type == BATCH_PUT_BORROWED)
            return false;
        if (op.type != BATCH_PUT_BLOB)
            continue;
        if (blob_pointer_decode(op.value, &pointer))
            return false;
        *ret_blobs = true;
    }
    return p == end;
}
