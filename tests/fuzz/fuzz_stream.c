// Arbitrary bytes as a stream: as they are, and with all checksums made right. What is accepted
// comes out the same when it is written again, but for how its changes are cut into frames.
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/coding.h"
#include "base/hash.h"
#include "commands/stream_format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct source {
    struct slice bytes;
    size_t at;
};

static ssize_t read_bytes(void *arg, void *data, size_t size)
{
    struct source *source = arg;
    size_t n = source->bytes.size - source->at;
    n = n < size ? n : size;
    if (n)
        memcpy(data, source->bytes.data + source->at, n);
    source->at += n;
    return (ssize_t)n;
}

static int write_bytes(void *arg, const void *data, size_t size)
{
    return buf_append(arg, data, size);
}

// Reads a stream, and writes what it holds. 0 or why it was refused.
static int rewrite(struct slice bytes, struct buf *out)
{
    struct source source = {bytes, 0};
    struct stream_reader reader = {.read = read_bytes, .arg = &source};
    struct stream_writer writer = {.write = write_bytes, .arg = out};
    struct stream_begin begin;
    struct stream_op op;
    int rc = stream_read_begin(&reader, &begin);
    if (!rc) {
        assert(*begin.name && (stream_is_whole(&begin) || *begin.base_name));
        assert(!stream_write_begin(&writer, &begin));
        rc = 1;
    }
    while (rc > 0 && (rc = stream_read_frame(&reader)) > 0)
        while (stream_next(&reader, &op)) {
            assert(op.key.size && op.key.size <= LSM_MAX_KEY);
            assert(op.change == STREAM_PUT || !stream_is_whole(&begin));
            assert(
                !stream_write_change(&writer, op.key, op.change == STREAM_PUT ? &op.value : NULL));
        }
    assert(rc == 0 || rc == LSM_CORRUPTION || rc == LSM_NEWER_FORMAT);
    assert(rc == 0 || reader.problem);
    if (!rc)
        assert(!stream_write_end(&writer));
    stream_reader_release(&reader);
    stream_writer_release(&writer);
    return rc;
}

static void try_bytes(struct slice bytes)
{
    struct buf out = {0}, again = {0};
    if (rewrite(bytes, &out) == 0) {
        assert(rewrite(buf_slice(&out), &again) == 0);
        assert(slice_equal(buf_slice(&out), buf_slice(&again)));
    }
    buf_release(&out);
    buf_release(&again);
}

static void seal(uint8_t *bytes, size_t size)
{
    if (size < STREAM_HEAD)
        return;
    put_fixed32(bytes + 12, checksum32(bytes, 12, 0));
    uint64_t check = hash64(bytes, STREAM_HEAD);
    for (size_t at = STREAM_HEAD; size - at >= STREAM_FRAME;) {
        size_t n = get_fixed32(bytes + at);
        if (n > size - at - STREAM_FRAME)
            break;
        check = hash64_seeded(bytes + at + STREAM_FRAME, n, check ^ get_fixed64(bytes + at));
        put_fixed64(bytes + at + 8, check);
        at += STREAM_FRAME + n;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *bytes = malloc(size ? size : 1);
    assert(bytes);
    if (size)
        memcpy(bytes, data, size);
    try_bytes(slice_of(bytes, size));
    seal(bytes, size);
    try_bytes(slice_of(bytes, size));
    free(bytes);
    return 0;
}
