// Blob files on disk, and the pointers to what is in them. Integers are little-endian.
//
// A file starts with a header
//
//   offset  size  field
//   0       8     magic "tlsmBLOB"
//   8       4     format version (1)
//   12      4     CRC-32 of the other 28 bytes
//   16      8     file number, as in the name
//   24      8     zero
//
// and goes on with records, at any offset; between them may be gaps of any content, where a write
// failed or was cut off by a crash. A record holds one value:
//
//   0       4     checksum32 of bytes 4 .. 16+2c, seeded with blob_seed() of the record's offset
//   4       4     size of the value, 1 .. LSM_MAX_VALUE
//   8       4     stored size
//   12      1     codec (enum lsm_compression)
//   13      3     zero
//   16      2c    directory: the stored size of each chunk, less one; c = 0 without a codec
//   16+2c         pages
//
// Without a codec the stored bytes are the value. With one, the value is cut into chunks of
// BLOB_CHUNK bytes (the last may be shorter), each compressed by itself: an LZ4 block or a zlib
// stream. A chunk whose stored size is its own size is stored as it is.
//
// Pages: each BLOB_PAGE bytes of what is stored (the last may be shorter), followed by 4 bytes of
// checksum32, seeded with blob_seed() of the page's own offset in the file. So a part of a value is
// read with a single read of a contiguous range, and verified without the rest.
//
// A pointer is what the tree and the log hold instead of the value (entry type ENTRY_BLOB): a byte
// range of the value in one record.
//
//   byte codec, varints: file number, record offset, size of the value in the record, stored size
//   (only with a codec), start of the range, length of the range
#ifndef LSM_BLOB_FORMAT_H
#define LSM_BLOB_FORMAT_H

#include "base/slice.h"
#include "lsm.h"

#define BLOB_MAGIC         "tlsmBLOB"
#define BLOB_FORMAT        1u
#define BLOB_FILE_HEADER   32u
#define BLOB_RECORD_HEADER 16u
#define BLOB_PAGE          4096u
#define BLOB_CHECKSUM      4u
#define BLOB_CHUNK         65536u
#define BLOB_POINTER_MAX   64u // bytes of an encoded pointer

struct blob_pointer {
    uint64_t file;
    uint64_t offset;      // of the record in the file
    uint32_t value_size;  // of the record
    uint32_t stored_size; // of the record
    uint32_t start;       // the range in the value
    uint32_t length;      // at least 1
    enum lsm_compression codec;
};

// Ties bytes to their place: sound bytes of another file or offset do not verify.
static inline uint64_t blob_seed(uint64_t file, uint64_t offset)
{
    return file * UINT64_C(0x9E3779B97F4A7C15) ^ offset;
}

static inline uint32_t blob_chunks(uint32_t value_size, enum lsm_compression codec)
{
    return codec == LSM_COMPRESSION_NONE ? 0 : (value_size + BLOB_CHUNK - 1) / BLOB_CHUNK;
}

// Bytes of a record before its pages.
static inline uint64_t blob_head_size(uint32_t value_size, enum lsm_compression codec)
{
    return BLOB_RECORD_HEADER + 2 * (uint64_t)blob_chunks(value_size, codec);
}

// Bytes of the pages that hold `stored` bytes.
static inline uint64_t blob_pages_size(uint64_t stored)
{
    return stored + (stored + BLOB_PAGE - 1) / BLOB_PAGE * BLOB_CHECKSUM;
}

// Bytes of the file that a pointer keeps in use: its share of the record.
uint64_t blob_pointer_bytes(const struct blob_pointer *pointer);

// Writes at most BLOB_POINTER_MAX bytes; returns how many.
size_t blob_pointer_encode(const struct blob_pointer *pointer, uint8_t *out);

// The whole of `in`. LSM_CORRUPTION, without a detail, if it is no pointer that encode makes.
int blob_pointer_decode(struct slice in, struct blob_pointer *ret_pointer);

// What a record says of itself; `directory` points into the bytes it was decoded from.
struct blob_head {
    uint32_t value_size, stored_size;
    enum lsm_compression codec;
    const uint8_t *directory;
};

// `out` has room for blob_head_size() bytes, the directory in place already.
void blob_head_encode(const struct blob_head *head, uint64_t file, uint64_t offset, uint8_t *out);

// `in` is the head of a record as a pointer describes it; LSM_CORRUPTION, without a detail, unless
// it verifies and says the same. Checks that the chunks add up.
int blob_head_decode(struct slice in, const struct blob_pointer *pointer,
                     struct blob_head *ret_head);

static inline uint32_t blob_chunk_stored(const uint8_t *directory, uint32_t chunk)
{
    uint16_t less_one;
    memcpy(&less_one, directory + 2 * (size_t)chunk, 2);
    return (uint32_t)less_one + 1;
}

void blob_file_header_encode(uint64_t number, uint8_t out[BLOB_FILE_HEADER]);

// LSM_CORRUPTION or LSM_NEWER_FORMAT, with `path` in the detail.
int blob_file_header_decode(const uint8_t in[BLOB_FILE_HEADER], uint64_t number, const char *path);

#endif
