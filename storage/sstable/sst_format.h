// The bytes of a table file. Integers are little-endian.
//
//   data block, trailer          one or more, back to back from offset 0
//   filter block, trailer        absent if the table has no filter
//   index block, trailer
//   properties block, trailer
//   footer                       SST_FOOTER_SIZE bytes, the last of the file
//
// Nothing lies between the parts, so that every byte of the file is covered by a checksum.
//
// Trailer (SST_TRAILER_SIZE bytes)
//   0  1  compression (enum lsm_compression); always NONE but for data blocks
//   1  4  checksum32 of the stored block and the byte above, seeded with sst_seed()
//
// A compressed block is stored as fixed32 uncompressed size (at most SST_COMPRESS_MAX), then the
// codec's bytes: an LZ4 block, or a raw deflate stream.
//
// Data block: see block.h. Entries of one block do not pass block_size, unless there is only one.
//
// Index block: a block (as in block.h) with one entry a data block. Key and tag are a separator:
// at or after the last entry of the data block, before the first of the next. The tag is 0 unless
// both entries have the same key; then key and tag are those of the last entry. The last block's
// separator is its last key. Value: varint stored size of the data block (without trailer), one
// byte compression. A block's offset is the sum of what lies before it.
//
// Filter block: see filter.h. Properties block: pairs of varint id (enum sst_property), varint
// value; ids ascend; unknown ones are skipped, all known ones are there.
//
// Footer
//    0  8  file number
//    8  8  filter offset (= end of the data), 16  8  filter size without trailer, 0: none
//   24  8  index offset,                      32  8  index size without trailer
//   40  8  properties offset,                 48  8  properties size without trailer
//   56  2  format version
//   58  2  footer size
//   60  8  magic
//   68  4  CRC-32 of the bytes before it
// In every version the last 16 bytes mean this and the CRC covers the whole footer, so that a newer
// table is told from a damaged one.
#ifndef LSM_SSTABLE_FORMAT_H
#define LSM_SSTABLE_FORMAT_H

#include "base/slice.h"
#include "lsm.h"
#include "sstable/sst_reader.h"

#define SST_VERSION      2 // the newest; a table is written in the oldest version that can hold it
#define SST_VERSION_BLOB 2 // the first with entries of type ENTRY_BLOB
#define SST_MAGIC        "tlsmTABL"
#define SST_FOOTER_SIZE  72
#define SST_FOOTER_MAX   4096 // a footer of any version is no larger
#define SST_TRAILER_SIZE 5

// A block larger than this is stored as it is: what must be held in memory to read it stays small,
// and a damaged size cannot ask for much.
#define SST_COMPRESS_MAX (16u << 20)

// No block has more entries between two restart points.
#define SST_RESTART_MAX 1024

enum sst_property {
    SST_PROPERTY_ENTRIES = 1,
    SST_PROPERTY_DELETES = 2,
    SST_PROPERTY_RAW_BYTES = 3,
    SST_PROPERTY_DATA_BLOCKS = 4,
    SST_PROPERTY_DATA_BYTES = 5, // trailers included
    SST_PROPERTY_INDEX_BYTES = 6,
    SST_PROPERTY_FILTER_BYTES = 7,
    SST_PROPERTY_MIN_SEQUENCE = 8,
    SST_PROPERTY_MAX_SEQUENCE = 9,
};

struct sst_footer {
    unsigned version;
    uint64_t number;
    uint64_t filter_offset, filter_size;
    uint64_t index_offset, index_size;
    uint64_t properties_offset, properties_size;
};

// Ties a block to its place: a block of another file or offset does not verify.
static inline uint64_t sst_seed(uint64_t number, uint64_t offset)
{
    return number * UINT64_C(0x9E3779B97F4A7C15) ^ offset;
}

// Writes the trailer of a block of `size` bytes right behind it (room is the caller's).
void sst_put_trailer(uint8_t *block, size_t size, enum lsm_compression compression, uint64_t seed);

// Whether the trailer right behind the block fits it.
bool sst_trailer_ok(const uint8_t *block, size_t size, uint64_t seed);

void sst_footer_encode(const struct sst_footer *footer, uint8_t out[SST_FOOTER_SIZE]);

// `tail` is the end of a file of `file_size` bytes: SST_FOOTER_MAX of them or all. Checks that the
// parts fill the file exactly. Returns LSM_CORRUPTION or LSM_NEWER_FORMAT with `path` in the
// detail.
int sst_footer_decode(struct slice tail, uint64_t file_size, uint64_t number, const char *path,
                      struct sst_footer *ret_footer);

int sst_properties_encode(const struct sst_properties *properties, struct buf *out); // appends

// LSM_CORRUPTION without a detail.
int sst_properties_decode(struct slice in, struct sst_properties *ret_properties);

#endif
