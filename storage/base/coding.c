// The longer forms of the integer encodings: varints of two bytes and more, slices, and encoding
// straight into a buf.
//
// A varint is accepted in its shortest form only: one value has one encoding, so that equal
// content is equal bytes and a decoder cannot be fed padding. Thread-safe: no state.
#include "base/coding.h"

#include <assert.h>

uint8_t *put_varint64_slow(uint8_t *p, uint64_t v)
{
    assert(v >= 0x80); // the inline function writes those of one byte
    while (v >= 0x80) {
        *p++ = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    *p++ = (uint8_t)v;
    return p;
}

const uint8_t *get_varint64_slow(const uint8_t *p, const uint8_t *end, uint64_t *ret_value)
{
    uint64_t v = 0;
    for (unsigned shift = 0; p < end && shift < 64; shift += 7) {
        uint8_t byte = *p++;
        // The tenth byte has room for one bit.
        if (shift == 63 && byte > 1)
            return NULL;
        v |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            if (byte == 0 && shift > 0)
                return NULL;
            *ret_value = v;
            return p;
        }
    }
    return NULL;
}

uint8_t *put_slice(uint8_t *p, struct slice s)
{
    p = put_varint64(p, s.size);
    if (s.size)
        memcpy(p, s.data, s.size);
    return p + s.size;
}

const uint8_t *get_slice(const uint8_t *p, const uint8_t *end, struct slice *ret_slice)
{
    uint64_t size;
    p = get_varint64(p, end, &size);
    if (!p || size > (uint64_t)(end - p))
        return NULL;
    *ret_slice = slice_of(p, (size_t)size);
    return p + size;
}

int buf_put_fixed32(struct buf *buf, uint32_t v)
{
    return buf_append(buf, &v, sizeof(v));
}

int buf_put_fixed64(struct buf *buf, uint64_t v)
{
    return buf_append(buf, &v, sizeof(v));
}

int buf_put_varint64(struct buf *buf, uint64_t v)
{
    uint8_t bytes[CODING_VARINT64_MAX];
    size_t size = (size_t)(put_varint64(bytes, v) - bytes);
    assert(size == varint_size(v));
    return buf_append(buf, bytes, size);
}

int buf_put_slice(struct buf *buf, struct slice s)
{
    if (s.size > SIZE_MAX - CODING_VARINT64_MAX)
        return buf_reserve(buf, s.size);
    // Either the length and the bytes are appended, or nothing is.
    int rc = buf_reserve(buf, s.size + CODING_VARINT64_MAX);
    if (rc)
        return rc;
    buf->size = (size_t)(put_slice(buf->data + buf->size, s) - buf->data);
    assert(buf->size <= buf->capacity);
    return 0;
}
