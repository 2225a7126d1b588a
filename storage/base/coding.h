// Integers on disk: little-endian fixed width, LEB128 varints; big-endian for use in keys.
//
// Encoders write to memory the caller has sized and return the first byte after what they wrote.
// Decoders of varints and slices are checked: they read from [p, end) and return the first byte
// after the item, or NULL if it is cut short or malformed. No alignment is needed anywhere.
#ifndef LSM_BASE_CODING_H
#define LSM_BASE_CODING_H

#include "base/slice.h"

#define CODING_VARINT32_MAX 5
#define CODING_VARINT64_MAX 10

static inline uint8_t *put_fixed16(uint8_t *p, uint16_t v)
{
    memcpy(p, &v, 2);
    return p + 2;
}

static inline uint8_t *put_fixed32(uint8_t *p, uint32_t v)
{
    memcpy(p, &v, 4);
    return p + 4;
}

static inline uint8_t *put_fixed64(uint8_t *p, uint64_t v)
{
    memcpy(p, &v, 8);
    return p + 8;
}

static inline uint16_t get_fixed16(const uint8_t *p)
{
    uint16_t v;
    memcpy(&v, p, 2);
    return v;
}

static inline uint32_t get_fixed32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, 4);
    return v;
}

static inline uint64_t get_fixed64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, 8);
    return v;
}

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "big-endian hosts need swaps here");

static inline uint8_t *put_big64(uint8_t *p, uint64_t v)
{
    v = __builtin_bswap64(v);
    memcpy(p, &v, 8);
    return p + 8;
}

static inline uint64_t get_big64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, 8);
    return __builtin_bswap64(v);
}

uint8_t *put_varint64_slow(uint8_t *p, uint64_t v);
const uint8_t *get_varint64_slow(const uint8_t *p, const uint8_t *end, uint64_t *ret_value);

static inline uint8_t *put_varint64(uint8_t *p, uint64_t v)
{
    if (v < 0x80) {
        *p = (uint8_t)v;
        return p + 1;
    }
    return put_varint64_slow(p, v);
}

static inline uint8_t *put_varint32(uint8_t *p, uint32_t v)
{
    return put_varint64(p, v);
}

static inline const uint8_t *get_varint64(const uint8_t *p, const uint8_t *end, uint64_t *ret_value)
{
    if (p < end && *p < 0x80) {
        *ret_value = *p;
        return p + 1;
    }
    return get_varint64_slow(p, end, ret_value);
}

// NULL also if the value does not fit 32 bits.
static inline const uint8_t *get_varint32(const uint8_t *p, const uint8_t *end, uint32_t *ret_value)
{
    uint64_t v;
    p = get_varint64(p, end, &v);
    if (!p || v > UINT32_MAX)
        return NULL;
    *ret_value = (uint32_t)v;
    return p;
}

static inline size_t varint_size(uint64_t v)
{
    return v ? (size_t)(70 - __builtin_clzll(v)) / 7 : 1;
}

// A slice as varint length, bytes. The decoded slice points into the input.
uint8_t *put_slice(uint8_t *p, struct slice s);
const uint8_t *get_slice(const uint8_t *p, const uint8_t *end, struct slice *ret_slice);

// The same appended to a buf; 0 or LSM_NO_MEMORY.
int buf_put_fixed32(struct buf *buf, uint32_t v);
int buf_put_fixed64(struct buf *buf, uint64_t v);
int buf_put_varint64(struct buf *buf, uint64_t v);
int buf_put_slice(struct buf *buf, struct slice s);

#endif
