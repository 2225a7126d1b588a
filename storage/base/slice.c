// Growable byte buffers.
//
// Capacity at least doubles when it grows, so that appending is amortised O(1). A failed growth
// leaves the buffer as it was. Not synchronised.
#include "base/slice.h"

#include <assert.h>
#include <stdlib.h>

#include "base/status.h"

#define BUF_MIN_CAPACITY 64u

int buf_reserve(struct buf *buf, size_t extra)
{
    assert(buf->size <= buf->capacity);
    if (extra <= buf->capacity - buf->size)
        return 0;
    if (extra > SIZE_MAX / 2 - buf->size)
        return status_no_memory(extra);
    size_t need = buf->size + extra;
    size_t capacity = buf->capacity < SIZE_MAX / 4 ? buf->capacity * 2 : need;
    if (capacity < need)
        capacity = need;
    if (capacity < BUF_MIN_CAPACITY)
        capacity = BUF_MIN_CAPACITY;
    uint8_t *data = realloc(buf->data, capacity);
    if (!data)
        return status_no_memory(capacity);
    assert(capacity - buf->size >= extra);
    buf->data = data;
    buf->capacity = capacity;
    return 0;
}

int buf_append(struct buf *buf, const void *data, size_t size)
{
    if (size == 0)
        return 0;
    int rc = buf_reserve(buf, size);
    if (rc)
        return rc;
    memcpy(buf->data + buf->size, data, size);
    buf->size += size;
    return 0;
}

int buf_assign_slowly(struct buf *buf, const void *data, size_t size)
{
    if (size > buf->capacity) {
        int rc = buf_reserve(buf, size - buf->size);
        if (rc)
            return rc;
    }
    if (size)
        memmove(buf->data, data, size);
    buf->size = size;
    return 0;
}

void buf_release(struct buf *buf)
{
    free(buf->data);
    *buf = (struct buf){0};
}
