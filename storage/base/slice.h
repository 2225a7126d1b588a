// Slices: borrowed byte strings; bufs: owned, growable ones. Not synchronised.
#ifndef LSM_BASE_SLICE_H
#define LSM_BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct slice {
    const uint8_t *data;
    size_t size;
};

static inline struct slice slice_of(const void *data, size_t size)
{
    return (struct slice){data, size};
}

static inline struct slice slice_str(const char *text)
{
    return (struct slice){(const uint8_t *)text, strlen(text)};
}

// Looks at the last bytes first: neighbouring keys differ there.
static inline bool slice_equal(struct slice a, struct slice b)
{
    if (a.size != b.size)
        return false;
    if (a.size >= 8) {
        uint64_t x, y;
        memcpy(&x, a.data + a.size - 8, 8);
        memcpy(&y, b.data + b.size - 8, 8);
        if (x != y)
            return false;
    }
    return a.size == 0 || memcmp(a.data, b.data, a.size) == 0;
}

// <0, 0, >0 in memcmp order, the shorter first when one is a prefix of the other.
static inline int slice_compare(struct slice a, struct slice b)
{
    size_t n = a.size < b.size ? a.size : b.size;
    int c = n ? memcmp(a.data, b.data, n) : 0;
    if (c)
        return c;
    return a.size < b.size ? -1 : a.size > b.size;
}

// How many leading bytes are equal, of `n`.
static inline size_t common_prefix(const uint8_t *a, const uint8_t *b, size_t n)
{
    size_t i = 0;
    for (; n - i >= 8; i += 8) {
        uint64_t x, y;
        memcpy(&x, a + i, 8);
        memcpy(&y, b + i, 8);
        if (x != y)
            return i + (size_t)(__builtin_ctzll(x ^ y) >> 3);
    }
    while (i < n && a[i] == b[i])
        i++;
    return i;
}

// Owned bytes. Zero-initialise; buf_release() frees. All growers return 0 or LSM_NO_MEMORY and
// leave the buf as it was on failure.
struct buf {
    uint8_t *data;
    size_t size;
    size_t capacity;
};

int buf_reserve(struct buf *buf, size_t extra); // room for `extra` more bytes
int buf_append(struct buf *buf, const void *data, size_t size);
int buf_assign_slowly(struct buf *buf, const void *data, size_t size);
void buf_release(struct buf *buf);

// Replaces the contents. A short key is two moves, without a call.
static inline int buf_assign(struct buf *buf, const void *data, size_t size)
{
    if (size < 8 || size > 16 || size > buf->capacity)
        return buf_assign_slowly(buf, data, size);
    uint64_t head, tail;
    memcpy(&head, data, 8);
    memcpy(&tail, (const uint8_t *)data + size - 8, 8);
    memcpy(buf->data, &head, 8);
    memcpy(buf->data + size - 8, &tail, 8);
    buf->size = size;
    return 0;
}

static inline struct slice buf_slice(const struct buf *buf)
{
    return (struct slice){buf->data, buf->size};
}

#endif
