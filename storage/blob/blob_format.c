// Encoding and decoding what blob files and pointers are made of. Layout: blob_format.h.
//
// Decoders take bytes from disk: everything is checked for what readers rely on (ranges inside the
// record, chunks that add up), so that damage whose checksum happens to match cannot lead out of
// bounds. Thread-safe: no state.
#include "blob/blob_format.h"

#include <assert.h>
#include <inttypes.h>

#include "base/coding.h"
#include "base/hash.h"
#include "base/status.h"

uint64_t blob_pointer_bytes(const struct blob_pointer *p)
{
    uint64_t all = blob_head_size(p->value_size, p->codec) + blob_pages_size(p->stored_size);
    if (p->length == p->value_size)
        return all;
    return (all * p->length + p->value_size - 1) / p->value_size;
}

size_t blob_pointer_encode(const struct blob_pointer *pointer, uint8_t *out)
{
    uint8_t *p = out;
    assert(pointer->length > 0 && pointer->start <= pointer->value_size &&
           pointer->length <= pointer->value_size - pointer->start);
    *p++ = (uint8_t)pointer->codec;
    p = put_varint64(p, pointer->file);
    p = put_varint64(p, pointer->offset);
    p = put_varint64(p, pointer->value_size);
    if (pointer->codec != LSM_COMPRESSION_NONE)
        p = put_varint64(p, pointer->stored_size);
    p = put_varint64(p, pointer->start);
    p = put_varint64(p, pointer->length);
    assert(p - out <= BLOB_POINTER_MAX);
    return (size_t)(p - out);
}

int blob_pointer_decode(struct slice in, struct blob_pointer *ret_pointer)
{
    const uint8_t *p = in.data, *end = in.data + in.size;
    struct blob_pointer d;
    if (in.size == 0 || *p > LSM_COMPRESSION_ZLIB)
        return LSM_CORRUPTION;
    d.codec = (enum lsm_compression) * p++;
    if (!(p = get_varint64(p, end, &d.file)) || !(p = get_varint64(p, end, &d.offset)) ||
        !(p = get_varint32(p, end, &d.value_size)))
        return LSM_CORRUPTION;
    d.stored_size = d.value_size;
    if (d.codec != LSM_COMPRESSION_NONE && !(p = get_varint32(p, end, &d.stored_size)))
        return LSM_CORRUPTION;
    if (!(p = get_varint32(p, end, &d.start)) || get_varint32(p, end, &d.length) != end)
        return LSM_CORRUPTION;
    if (d.file == 0 || d.offset < BLOB_FILE_HEADER || d.offset > INT64_MAX / 2 ||
        d.value_size == 0 || d.value_size > LSM_MAX_VALUE || d.stored_size == 0 ||
        d.stored_size > d.value_size || d.length == 0 || d.start > d.value_size ||
        d.length > d.value_size - d.start)
        return LSM_CORRUPTION;
    *ret_pointer = d;
    return LSM_OK;
}

void blob_head_encode(const struct blob_head *head, uint64_t file, uint64_t offset, uint8_t *out)
{
    uint64_t size = blob_head_size(head->value_size, head->codec);
    assert(head->stored_size > 0 && head->stored_size <= head->value_size);
    put_fixed32(out + 4, head->value_size);
    put_fixed32(out + 8, head->stored_size);
    put_fixed32(out + 12, (uint32_t)head->codec);
    put_fixed32(out, checksum32(out + 4, (size_t)size - 4, blob_seed(file, offset)));
}

int blob_head_decode(struct slice in, const struct blob_pointer *pointer,
                     struct blob_head *ret_head)
{
    struct blob_head head = {pointer->value_size, pointer->stored_size, pointer->codec, NULL};
    if (in.size != blob_head_size(head.value_size, head.codec) ||
        get_fixed32(in.data) !=
            checksum32(in.data + 4, in.size - 4, blob_seed(pointer->file, pointer->offset)) ||
        get_fixed32(in.data + 4) != head.value_size ||
        get_fixed32(in.data + 8) != head.stored_size ||
        get_fixed32(in.data + 12) != (uint32_t)head.codec)
        return LSM_CORRUPTION;
    head.directory = in.data + BLOB_RECORD_HEADER;
    uint32_t chunks = blob_chunks(head.value_size, head.codec);
    uint64_t sum = 0;
    for (uint32_t i = 0; i < chunks; i++) {
        uint64_t left = head.value_size - (uint64_t)i * BLOB_CHUNK;
        uint32_t stored = blob_chunk_stored(head.directory, i);
        if (stored > left)
            return LSM_CORRUPTION;
        sum += stored;
    }
    if (chunks && sum != head.stored_size)
        return LSM_CORRUPTION;
    *ret_head = head;
    return LSM_OK;
}

static uint32_t header_crc(const uint8_t header[BLOB_FILE_HEADER])
{
    uint8_t covered[BLOB_FILE_HEADER - 4];
    memcpy(covered, header, 12);
    memcpy(covered + 12, header + 16, BLOB_FILE_HEADER - 16);
    return crc32_of(covered, sizeof covered);
}

void blob_file_header_encode(uint64_t number, uint8_t out[BLOB_FILE_HEADER])
{
    memset(out, 0, BLOB_FILE_HEADER);
    memcpy(out, BLOB_MAGIC, 8);
    put_fixed32(out + 8, BLOB_FORMAT);
    put_fixed64(out + 16, number);
    put_fixed32(out + 12, header_crc(out));
}

int blob_file_header_decode(const uint8_t in[BLOB_FILE_HEADER], uint64_t number, const char *path)
{
    if (memcmp(in, BLOB_MAGIC, 8) != 0 || get_fixed32(in + 12) != header_crc(in))
        return status_fail(LSM_CORRUPTION, "%s: bad header of a blob file", path);
    if (get_fixed32(in + 8) > BLOB_FORMAT)
        return status_fail(LSM_NEWER_FORMAT, "%s: blob format %" PRIu32 ", %u is known", path,
                           get_fixed32(in + 8), BLOB_FORMAT);
    if (get_fixed32(in + 8) != BLOB_FORMAT || get_fixed64(in + 16) != number)
        return status_fail(LSM_CORRUPTION, "%s: the header is of blob file %" PRIu64, path,
                           get_fixed64(in + 16));
    return LSM_OK;
}
