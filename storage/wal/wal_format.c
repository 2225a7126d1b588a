// Encoding and checked decoding of the log's header and records. See wal_format.h for the bytes.
// Thread-safe: no state.
#include "wal/wal_format.h"

#include <assert.h>

#include "base/hash.h"

static uint32_t header_crc(const uint8_t data[WAL_HEADER_SIZE])
{
    uint8_t rest[WAL_HEADER_SIZE - 4];
    memcpy(rest, data, 12);
    memcpy(rest + 12, data + 16, WAL_HEADER_SIZE - 16);
    return crc32_of(rest, sizeof(rest));
}

void wal_header_encode(uint8_t data[WAL_HEADER_SIZE], const struct wal_header *header)
{
    memset(data, 0, WAL_HEADER_SIZE);
    memcpy(data, WAL_MAGIC, 8);
    put_fixed32(data + 8, WAL_FORMAT);
    put_fixed64(data + 16, header->number);
    put_fixed64(data + 24, header->salt);
    put_fixed32(data + 12, header_crc(data));
}

enum wal_header_state wal_header_decode(const uint8_t data[WAL_HEADER_SIZE],
                                        struct wal_header *ret_header)
{
    static const uint8_t zeros[WAL_HEADER_SIZE];
    if (!memcmp(data, zeros, WAL_HEADER_SIZE))
        return WAL_HEADER_ZERO;
    if (memcmp(data, WAL_MAGIC, 8) || get_fixed32(data + 12) != header_crc(data))
        return WAL_HEADER_DAMAGED;
    if (get_fixed32(data + 8) != WAL_FORMAT)
        return WAL_HEADER_NEWER;
    ret_header->number = get_fixed64(data + 16);
    ret_header->salt = get_fixed64(data + 24);
    return WAL_HEADER_VALID;
}

uint32_t wal_tag(const struct wal_header *header)
{
    uint8_t data[16];
    put_fixed64(data, header->number);
    put_fixed64(data + 8, header->salt);
    return (uint32_t)hash64(data, sizeof(data));
}

void wal_record_encode(uint8_t *p, uint32_t tag, uint64_t durable, uint64_t sequence,
                       struct slice payload)
{
    assert(payload.size <= WAL_PAYLOAD_MAX);
    assert(durable % WAL_ALIGN == 0 && durable <= WAL_SIZE_MAX);
    // Zeros the last eight bytes, which hold the padding; the copy of the payload that follows
    // writes over the rest of them.
    put_fixed64(p + wal_record_size(payload.size) - WAL_ALIGN, 0);
    put_fixed32(p + 8, tag);
    put_fixed32(p + 12, (uint32_t)(durable / WAL_ALIGN));
    put_fixed64(p + 16, sequence);
    if (payload.size)
        memcpy(p + WAL_RECORD_HEADER, payload.data, payload.size);
    uint32_t checksum = checksum32(p + 8, WAL_RECORD_HEADER - 8 + payload.size, payload.size);
    put_fixed32(p, (uint32_t)payload.size);
    put_fixed32(p + 4, checksum);
}

struct wal_record_head wal_record_decode(const uint8_t *p)
{
    return (struct wal_record_head){
        .payload_size = get_fixed32(p),
        .checksum = get_fixed32(p + 4),
        .tag = get_fixed32(p + 8),
        .durable = (uint64_t)get_fixed32(p + 12) * WAL_ALIGN,
        .sequence = get_fixed64(p + 16),
    };
}

bool wal_record_verify(const uint8_t *p, const struct wal_record_head *head)
{
    size_t size = (size_t)WAL_RECORD_HEADER - 8 + head->payload_size;
    return checksum32(p + 8, size, head->payload_size) == head->checksum;
}
