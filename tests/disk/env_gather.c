// Gathered calls of a file through one piece of memory, by its own pread and pwrite: one call, that
// fails or tears as a whole. For files that have nothing better. No state.
#include "disk/env_gather.h"

#include <stdlib.h>
#include <string.h>

#include "base/status.h"

static size_t pieces_size(const struct iovec *pieces, int count)
{
    size_t size = 0;
    for (int i = 0; i < count; i++)
        size += pieces[i].iov_len;
    return size;
}

int env_gather_preadv(struct env_file *base, const struct iovec *pieces, int count, uint64_t offset,
                      size_t *ret_size)
{
    size_t size = pieces_size(pieces, count), got, at = 0;
    char *data = malloc(size ? size : 1);
    if (!data)
        return status_no_memory(size);
    int rc = base->ops->pread(base, data, size, offset, &got);
    for (int i = 0; i < count && !rc && at < got; at += pieces[i++].iov_len) {
        size_t n = got - at < pieces[i].iov_len ? got - at : pieces[i].iov_len;
        memcpy(pieces[i].iov_base, data + at, n);
    }
    if (!rc)
        *ret_size = got;
    free(data);
    return rc;
}

int env_gather_pwritev(struct env_file *base, const struct iovec *pieces, int count,
                       uint64_t offset)
{
    size_t size = pieces_size(pieces, count), at = 0;
    char *data = malloc(size ? size : 1);
    if (!data)
        return status_no_memory(size);
    for (int i = 0; i < count; at += pieces[i++].iov_len)
        memcpy(data + at, pieces[i].iov_base, pieces[i].iov_len);
    int rc = base->ops->pwrite(base, data, size, offset);
    free(data);
    return rc;
}
