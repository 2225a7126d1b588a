// The log on disk. A log file holds records one after another; each starts at a multiple of 8:
//
//   offset  size  field
//   0       4     payload length in bytes (n)
//   4       4     checksum32 of bytes 8 .. 24+n, seed = length
//   8       4     log tag, see below: records of a recycled file's former life do not match
//   12      4     durable offset / 8 when the record was appended: everything before it was synced
//   16      8     sequence number of the first operation
//   24      n     payload: the batch's operations (db/batch.h)
//
// padded with zeros to a multiple of 8. A file starts with a 64-byte header:
//
//   0       8     magic "tlsmWAL1"
//   8       4     format version (1)
//   12      4     crc32 of the other 60 bytes
//   16      8     log number
//   24      8     salt: random
//   32      32    zero
//
// The log tag is the low half of hash64 of bytes 16 .. 32 (number and salt) of the header. A value
// in the store may itself be a piece of some log, of this number even; the salt keeps such bytes
// from being taken for records of this log.
//
// The log ends at the first position that is no valid record of this log. If a valid record of this
// log whose durable offset is beyond that position follows, synced bytes were lost: corruption.
// Otherwise it is the torn tail of an unsynced end, which is normal.
//
// The header is durable before the first record is appended. A header that is missing (the file is
// shorter, or zero all over) or valid but of another log (a recycled file) is therefore that of a
// log that was never used; any other damage to it is corruption.
#ifndef LSM_WAL_FORMAT_H
#define LSM_WAL_FORMAT_H

#include <stdbool.h>

#include "base/coding.h"

#define WAL_MAGIC         "tlsmWAL1"
#define WAL_FORMAT        1u
#define WAL_HEADER_SIZE   64u
#define WAL_RECORD_HEADER 24u
#define WAL_ALIGN         8u

// Offsets are kept divided by 8 in 32 bits.
#define WAL_SIZE_MAX    ((UINT64_C(1) << 32) * WAL_ALIGN - WAL_ALIGN)
#define WAL_PAYLOAD_MAX (UINT32_MAX - 64u)

// Bytes of a record with `payload_size` bytes of payload, padding included.
static inline uint64_t wal_record_size(uint64_t payload_size)
{
    return (WAL_RECORD_HEADER + payload_size + WAL_ALIGN - 1) & ~(uint64_t)(WAL_ALIGN - 1);
}

struct wal_header {
    uint64_t number;
    uint64_t salt;
};

void wal_header_encode(uint8_t data[WAL_HEADER_SIZE], const struct wal_header *header);

enum wal_header_state {
    WAL_HEADER_VALID,
    WAL_HEADER_ZERO,
    WAL_HEADER_DAMAGED,
    WAL_HEADER_NEWER, // whole, of a later format version
};

// *ret_header is set if the header is valid.
enum wal_header_state wal_header_decode(const uint8_t data[WAL_HEADER_SIZE],
                                        struct wal_header *ret_header);

uint32_t wal_tag(const struct wal_header *header);

// Writes a whole record (wal_record_size() bytes) to `p`.
void wal_record_encode(uint8_t *p, uint32_t tag, uint64_t durable, uint64_t sequence,
                       struct slice payload);

struct wal_record_head {
    uint32_t payload_size;
    uint32_t checksum;
    uint32_t tag;
    uint64_t durable;
    uint64_t sequence;
};

// Decodes WAL_RECORD_HEADER bytes; says nothing about their validity.
struct wal_record_head wal_record_decode(const uint8_t *p);

// Whether the checksum of the record at `p`, all of which is there, holds.
bool wal_record_verify(const uint8_t *p, const struct wal_record_head *head);

#endif
