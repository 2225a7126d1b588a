// Building a block: entries whose keys drop what they share with the one before, a restart point
// every `restart_interval` entries, the restart array at the end.
//
// Invariants: the first entry of the block and of every restart interval has shared = 0; `restarts`
// holds the offsets of those entries. On failure nothing has been added.
#include "sstable/block_builder.h"

#include <assert.h>
#include <stdlib.h>

#include "base/coding.h"
#include "lsm.h"
#include "sstable/block.h"

// shared, unshared, value size, tag.
#define HEADER_MAX (3 * CODING_VARINT32_MAX + CODING_VARINT64_MAX)

void block_builder_init(struct block_builder *builder, unsigned restart_interval)
{
    *builder = (struct block_builder){.restart_interval = restart_interval};
}

void block_builder_release(struct block_builder *builder)
{
    buf_release(&builder->data);
    buf_release(&builder->restarts);
    buf_release(&builder->last_key);
}

int block_builder_add(struct block_builder *builder, struct slice key, uint64_t tag,
                      struct slice value)
{
    bool restart = builder->entries == 0 || builder->since_restart >= builder->restart_interval;
    size_t shared = 0;
    assert(key.size <= LSM_MAX_KEY && value.size <= LSM_MAX_VALUE);
    if (!restart) {
        size_t n = key.size < builder->last_key.size ? key.size : builder->last_key.size;
        shared = common_prefix(key.data, builder->last_key.data, n);
    }
    size_t unshared = key.size - shared;
    int rc = buf_reserve(&builder->data, HEADER_MAX + unshared + value.size);
    if (!rc && key.size > builder->last_key.size)
        rc = buf_reserve(&builder->last_key, key.size - builder->last_key.size);
    if (!rc && restart)
        rc = buf_put_fixed32(&builder->restarts, (uint32_t)builder->data.size);
    if (rc)
        return rc;

    uint8_t *p = builder->data.data + builder->data.size;
    p = put_varint64(p, shared);
    p = put_varint64(p, unshared);
    p = put_varint64(p, value.size);
    p = put_varint64(p, tag);
    if (unshared) {
        memcpy(p, key.data + shared, unshared);
        memcpy(builder->last_key.data + shared, key.data + shared, unshared);
    }
    p += unshared;
    if (value.size)
        memcpy(p, value.data, value.size);
    p += value.size;
    builder->data.size = (size_t)(p - builder->data.data);
    builder->last_key.size = key.size;
    builder->since_restart = restart ? 1 : builder->since_restart + 1;
    builder->entries++;
    return LSM_OK;
}

size_t block_builder_size(const struct block_builder *builder)
{
    return builder->data.size + builder->restarts.size + 4;
}

size_t block_builder_size_with(const struct block_builder *builder, size_t key_size,
                               size_t value_size)
{
    return block_builder_size(builder) + HEADER_MAX + 4 + key_size + value_size;
}

int block_builder_finish(struct block_builder *builder, size_t extra)
{
    assert(builder->entries && builder->restarts.size >= 4);
    int rc = buf_reserve(&builder->data, builder->restarts.size + 4 + extra);
    if (rc)
        return rc;
    uint8_t *p = builder->data.data + builder->data.size;
    memcpy(p, builder->restarts.data, builder->restarts.size);
    put_fixed32(p + builder->restarts.size, (uint32_t)(builder->restarts.size / 4));
    builder->data.size += builder->restarts.size + 4;
    return LSM_OK;
}

void block_builder_reset(struct block_builder *builder, size_t keep_capacity)
{
    builder->data.size = 0;
    builder->restarts.size = 0;
    builder->since_restart = 0;
    builder->entries = 0;
    if (builder->data.capacity > keep_capacity)
        buf_release(&builder->data);
}
