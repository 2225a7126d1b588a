// Frames of a stream: written and read (commands/stream_format.h).
#include "commands/stream_format.h"

#include <assert.h>

#include "base/coding.h"
#include "base/hash.h"

static const char magic[8] = {'l', 's', 'm', 'f', 's', 'S', 'N', 'D'};

static_assert(STREAM_HEAD == sizeof magic + 4 + 4, "docs/format.md");

static uint64_t check_of(uint64_t before, const uint8_t *start, struct slice payload)
{
    return hash64_seeded(payload.data, payload.size, before ^ get_fixed64(start));
}

bool stream_is_whole(const struct stream_begin *begin)
{
    static const uint8_t none[LSM_SNAPSHOT_IDENTITY];
    return memcmp(begin->base, none, sizeof none) == 0;
}

// ------------------------------------------------------------------------------- writing

static int start_frame(struct stream_writer *writer)
{
    static const uint8_t start[STREAM_FRAME];
    writer->frame.size = 0;
    return buf_append(&writer->frame, start, sizeof start);
}

static int finish_frame(struct stream_writer *writer, enum stream_frame type)
{
    assert(writer->frame.size >= STREAM_FRAME);
    uint8_t *start = writer->frame.data;
    size_t size = writer->frame.size - STREAM_FRAME;
    assert(size <= STREAM_PAYLOAD);
    put_fixed32(start, (uint32_t)size);
    put_fixed32(start + 4, type);
    writer->check = check_of(writer->check, start, slice_of(start + STREAM_FRAME, size));
    put_fixed64(start + 8, writer->check);
    int rc = writer->write(writer->arg, start, writer->frame.size);
    return rc ? rc : start_frame(writer);
}

int stream_write_begin(struct stream_writer *writer, const struct stream_begin *begin)
{
    uint8_t head[STREAM_HEAD];
    memcpy(head, magic, sizeof magic);
    put_fixed32(head + 8, STREAM_VERSION);
    put_fixed32(head + 12, checksum32(head, 12, 0));
    writer->check = hash64(head, sizeof head);
    int rc = writer->write(writer->arg, head, sizeof head);
    struct buf *frame = &writer->frame;
    if (!rc)
        rc = start_frame(writer);
    if (!rc)
        rc = buf_append(frame, begin->identity, LSM_SNAPSHOT_IDENTITY);
    if (!rc)
        rc = buf_append(frame, begin->base, LSM_SNAPSHOT_IDENTITY);
    if (!rc)
        rc = buf_put_fixed64(frame, begin->created_us);
    if (!rc)
        rc = buf_put_slice(frame, slice_str(begin->name));
    if (!rc)
        rc = buf_put_slice(frame, slice_str(begin->base_name));
    return rc ? rc : finish_frame(writer, STREAM_BEGIN);
}

int stream_write_change(struct stream_writer *writer, struct slice key, const struct slice *value)
{
    struct buf *frame = &writer->frame;
    uint8_t change = value ? STREAM_PUT : STREAM_DELETE;
    // 32: the change and two lengths.
    if (frame->size + key.size + (value ? value->size : 0) + 32 > STREAM_PAYLOAD)
        return LSM_INVALID;
    int rc = buf_append(frame, &change, 1);
    if (!rc)
        rc = buf_put_slice(frame, key);
    if (!rc && value)
        rc = buf_put_slice(frame, *value);
    if (rc)
        return rc;
    *(value ? &writer->puts : &writer->deletes) += 1;
    return frame->size < STREAM_GATHERED ? LSM_OK : finish_frame(writer, STREAM_CHANGES);
}

int stream_write_end(struct stream_writer *writer)
{
    int rc = LSM_OK;
    if (writer->frame.size > STREAM_FRAME)
        rc = finish_frame(writer, STREAM_CHANGES);
    if (!rc)
        rc = buf_put_fixed64(&writer->frame, writer->puts);
    if (!rc)
        rc = buf_put_fixed64(&writer->frame, writer->deletes);
    return rc ? rc : finish_frame(writer, STREAM_END);
}

void stream_writer_release(struct stream_writer *writer)
{
    buf_release(&writer->frame);
}

// ------------------------------------------------------------------------------- reading

static int wrong(struct stream_reader *reader, const char *problem)
{
    reader->problem = problem;
    return LSM_CORRUPTION;
}

static int read_exactly(struct stream_reader *reader, void *data, size_t size)
{
    ssize_t n = reader->read(reader->arg, data, size);
    if (n < 0)
        return LSM_IO_ERROR;
    reader->bytes += (uint64_t)n;
    return (size_t)n == size ? LSM_OK : wrong(reader, "the stream is cut off");
}

// Reads a frame into the payload.
static int read_any(struct stream_reader *reader, enum stream_frame *ret_type)
{
    uint8_t start[STREAM_FRAME];
    int rc = read_exactly(reader, start, sizeof start);
    if (rc)
        return rc;
    uint32_t size = get_fixed32(start), type = get_fixed32(start + 4);
    if (size > STREAM_PAYLOAD || type < STREAM_BEGIN || type > STREAM_END)
        return wrong(reader, "the stream is damaged");
    reader->payload.size = 0;
    if (buf_reserve(&reader->payload, size ? size : 1))
        return LSM_NO_MEMORY;
    rc = read_exactly(reader, reader->payload.data, size);
    if (rc)
        return rc;
    reader->payload.size = size;
    uint64_t check = check_of(reader->check, start, buf_slice(&reader->payload));
    if (check != get_fixed64(start + 8))
        return wrong(reader, "the stream is damaged");
    reader->check = check;
    *ret_type = (enum stream_frame)type;
    return LSM_OK;
}

static const uint8_t *get_name(const uint8_t *p, const uint8_t *end, size_t least,
                               char ret_name[LSM_SNAPSHOT_NAME_MAX + 1])
{
    struct slice name;
    p = get_slice(p, end, &name);
    if (!p || name.size < least || name.size > LSM_SNAPSHOT_NAME_MAX ||
        (name.size && memchr(name.data, 0, name.size)))
        return NULL;
    if (name.size)
        memcpy(ret_name, name.data, name.size);
    ret_name[name.size] = 0;
    return p;
}

static int decode_begin(struct stream_reader *reader, struct stream_begin *ret_begin)
{
    struct stream_begin begin = {0};
    const size_t fixed = 2 * LSM_SNAPSHOT_IDENTITY + 8;
    const uint8_t *p = reader->payload.data, *end = p + reader->payload.size;
    if (reader->payload.size < fixed)
        return wrong(reader, "the stream's beginning makes no sense");
    memcpy(begin.identity, p, LSM_SNAPSHOT_IDENTITY);
    memcpy(begin.base, p + LSM_SNAPSHOT_IDENTITY, LSM_SNAPSHOT_IDENTITY);
    begin.created_us = get_fixed64(p + fixed - 8);
    p = get_name(p + fixed, end, 1, begin.name);
    if (p)
        p = get_name(p, end, stream_is_whole(&begin) ? 0 : 1, begin.base_name);
    if (p != end)
        return wrong(reader, "the stream's beginning makes no sense");
    reader->is_whole = stream_is_whole(&begin);
    *ret_begin = begin;
    return LSM_OK;
}

int stream_read_begin(struct stream_reader *reader, struct stream_begin *ret_begin)
{
    uint8_t head[STREAM_HEAD];
    enum stream_frame type;
    int rc = read_exactly(reader, head, sizeof head);
    if (rc)
        return rc;
    if (memcmp(head, magic, sizeof magic) != 0)
        return wrong(reader, "that is no stream of lsmfsctl send");
    if (get_fixed32(head + 12) != checksum32(head, 12, 0))
        return wrong(reader, "the stream is damaged");
    if (get_fixed32(head + 8) != STREAM_VERSION) {
        reader->problem = "the stream is of another version: another lsmfs is needed";
        return LSM_NEWER_FORMAT;
    }
    reader->check = hash64(head, sizeof head);
    rc = read_any(reader, &type);
    if (!rc && type != STREAM_BEGIN)
        rc = wrong(reader, "the stream's beginning makes no sense");
    return rc ? rc : decode_begin(reader, ret_begin);
}

// NULL: not well-formed.
static const uint8_t *get_op(const uint8_t *p, const uint8_t *end, struct stream_op *op)
{
    if (p == end || (*p != STREAM_DELETE && *p != STREAM_PUT))
        return NULL;
    *op = (struct stream_op){.change = *p == STREAM_PUT ? STREAM_PUT : STREAM_DELETE};
    p = get_slice(p + 1, end, &op->key);
    if (!p || op->key.size == 0 || op->key.size > LSM_MAX_KEY)
        return NULL;
    return op->change == STREAM_PUT ? get_slice(p, end, &op->value) : p;
}

// All of the payload: well-formed, keys ascending from frame to frame.
static int check_changes(struct stream_reader *reader)
{
    const uint8_t *p = reader->payload.data, *end = p + reader->payload.size;
    struct slice last = buf_slice(&reader->last);
    struct stream_op op = {0};
    if (p == end)
        return wrong(reader, "the stream has changes that make no sense");
    while (p < end) {
        p = get_op(p, end, &op);
        if (!p || slice_compare(op.key, last) <= 0 ||
            (reader->is_whole && op.change == STREAM_DELETE))
            return wrong(reader, "the stream has changes that make no sense");
        last = op.key;
        *(op.change == STREAM_PUT ? &reader->puts : &reader->deletes) += 1;
    }
    reader->next = reader->payload.data;
    return buf_assign(&reader->last, last.data, last.size) ? LSM_NO_MEMORY : LSM_OK;
}

static int check_end(struct stream_reader *reader)
{
    uint8_t more;
    const uint8_t *p = reader->payload.data;
    if (reader->payload.size != 16 || get_fixed64(p) != reader->puts ||
        get_fixed64(p + 8) != reader->deletes)
        return wrong(reader, "the stream's end makes no sense");
    ssize_t n = reader->read(reader->arg, &more, 1);
    if (n < 0)
        return LSM_IO_ERROR;
    return n == 0 ? LSM_OK : wrong(reader, "the stream goes on behind its end");
}

int stream_read_frame(struct stream_reader *reader)
{
    enum stream_frame type;
    reader->next = NULL;
    int rc = read_any(reader, &type);
    if (rc)
        return rc;
    if (type == STREAM_CHANGES) {
        rc = check_changes(reader);
        return rc ? rc : 1;
    }
    return type == STREAM_END ? check_end(reader) : wrong(reader, "the stream begins twice");
}

bool stream_next(struct stream_reader *reader, struct stream_op *ret_op)
{
    const uint8_t *end = reader->payload.data + reader->payload.size;
    if (!reader->next || reader->next == end)
        return false;
    reader->next = get_op(reader->next, end, ret_op);
    return reader->next != NULL;
}

void stream_reader_release(struct stream_reader *reader)
{
    buf_release(&reader->payload);
    buf_release(&reader->last);
}
