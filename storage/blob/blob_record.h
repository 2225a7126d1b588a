// Writing and reading one record of a blob file (blob_format.h has the bytes).
#ifndef LSM_BLOB_RECORD_H
#define LSM_BLOB_RECORD_H

#include "blob/blob_format.h"
#include "env/env.h"

// A value made ready to be written: compressed where that pays, its size in the file known.
struct blob_record {
    struct blob_head head;
    struct slice stored; // the value itself, or `compressed`
    struct buf bytes;    // for the head, if it has a directory of compressed chunks
    struct buf compressed;
};

// Borrows `value` (1 .. LSM_MAX_VALUE bytes) until release. With a codec each chunk is compressed
// if that saves at least 1/8; if all of them together do not, the value is stored as it is.
int blob_record_init(struct blob_record *record, struct slice value, enum lsm_compression codec);
void blob_record_release(struct blob_record *record);

// Bytes it takes in the file.
uint64_t blob_record_size(const struct blob_record *record);

// Whether compressing `value` is likely to pay: tries a sample of it.
bool blob_probe(struct slice value);

// Writes the record at `offset` of blob file `number`. The data goes from where it is to the page
// cache, without a copy in between. Thread-safe on distinct ranges.
int blob_record_write(const struct blob_record *record, struct env_file *file, uint64_t number,
                      uint64_t offset);

// Reads `size` bytes from `offset` of the pointer's range into `data`; the caller sees to the
// bounds. Reads and verifies only the pages (with a codec, the chunks) that hold them; whole pages
// go straight into `data`. LSM_CORRUPTION with path and offset. Thread-safe.
int blob_record_read(struct env_file *file, const struct blob_pointer *pointer, uint32_t offset,
                     void *data, size_t size);

int blob_record_verify_head(struct env_file *file, const struct blob_pointer *pointer);
// Verifies the head, and every page that the pointer's range needs.
int blob_record_verify(struct env_file *file, const struct blob_pointer *pointer);

#endif
