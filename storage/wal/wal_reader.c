// Recovery: replays a log's valid prefix and judges what ends it. And following: hands out what
// comes to a log as it comes.
//
// The file is read with pread through one sliding buffer, not mapped: a bad sector is then an error
// with an offset and not a signal. After the last valid record the rest of the file is searched, at
// every multiple of 8, for a later record of this log. Most positions fail on the 32-bit tag alone,
// so the search costs little more than reading the file.
//
// Whoever follows a log reads it while it is written. A record counts when its checksum holds,
// which covers all of it, in the copy that was read: so a half-written one is not there yet. Before
// each reading the last record that was handed out is compared with what it was: a writer whose
// write failed in part cuts it off again, and a file that is recycled gets a new header and new
// records.
//
// Thread-safe: no shared state. On failure *ret_result is untouched; records found before the
// failure have been handed out.
#include "wal/wal_reader.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/status.h"
#include "wal/wal_format.h"

#define READ_CHUNK ((uint64_t)1 << 20)
#define TAIL_CHUNK ((uint64_t)4 << 10) // while nothing new is known to be there

struct log_reader {
    struct env_file *file;
    uint64_t size;     // of the file
    struct buf buffer; // bytes [at, at + buffer.size) of the file
    uint64_t at;
    uint64_t chunk; // how much is read at a time, at least
    uint32_t tag;
};

// Makes bytes [offset, offset + size) available; the range lies in the file.
static int fetch(struct log_reader *log, uint64_t offset, uint64_t size, const uint8_t **ret_data)
{
    assert(offset <= log->size && size <= log->size - offset);
    if (offset < log->at || offset + size > log->at + log->buffer.size) {
        uint64_t left = log->size - offset;
        uint64_t want = size > log->chunk ? size : log->chunk < left ? log->chunk : left;
        size_t got;
        log->buffer.size = 0;
        int rc = buf_reserve(&log->buffer, (size_t)want);
        if (!rc)
            rc = env_pread(log->file, log->buffer.data, (size_t)want, offset, &got);
        if (rc)
            return rc;
        if (got < size)
            return status_fail(LSM_TRY_AGAIN, "%s: cut short while it was read", log->file->path);
        log->buffer.size = got;
        log->at = offset;
        log->chunk = READ_CHUNK;
    }
    *ret_data = log->buffer.data + (offset - log->at);
    return 0;
}

// Whether the bytes at `offset` are a valid record of this log; if so, *ret_data points to all of
// it.
static int record_at(struct log_reader *log, uint64_t offset, struct wal_record_head *ret_head,
                     const uint8_t **ret_data, bool *ret_valid)
{
    *ret_valid = false;
    if (offset > log->size || log->size - offset < WAL_RECORD_HEADER)
        return 0;
    int rc = fetch(log, offset, WAL_RECORD_HEADER, ret_data);
    if (rc)
        return rc;
    *ret_head = wal_record_decode(*ret_data);
    if (ret_head->tag != log->tag || ret_head->durable > offset ||
        ret_head->payload_size > log->size - offset - WAL_RECORD_HEADER)
        return 0;
    rc = fetch(log, offset, (uint64_t)WAL_RECORD_HEADER + ret_head->payload_size, ret_data);
    if (!rc)
        *ret_valid = wal_record_verify(*ret_data, ret_head);
    return rc;
}

// Whether a record of this log was begun at `offset`.
static int begun_at(struct log_reader *log, uint64_t offset, bool *ret_begun)
{
    const uint8_t *data;
    uint64_t left = offset < log->size ? log->size - offset : 0;
    if (left > WAL_RECORD_HEADER)
        left = WAL_RECORD_HEADER;
    int rc = left ? fetch(log, offset, left, &data) : 0;
    if (rc)
        return rc;
    *ret_begun = left >= 12 ? get_fixed32(data + 8) == log->tag : left > 0;
    return 0;
}

// Moves *offset to the next position, itself included, whose tag is this log's, or past the last
// position that has room for a record.
static int find_tag(struct log_reader *log, uint64_t *offset)
{
    while (*offset < log->size && log->size - *offset >= WAL_RECORD_HEADER) {
        const uint8_t *data;
        int rc = fetch(log, *offset, WAL_RECORD_HEADER, &data);
        if (rc)
            return rc;
        uint64_t end = log->at + log->buffer.size;
        assert(*offset % WAL_ALIGN == 0);
        for (; end - *offset >= WAL_RECORD_HEADER; *offset += WAL_ALIGN, data += WAL_ALIGN) {
            if (get_fixed32(data + 8) == log->tag)
                return 0;
        }
    }
    *offset = log->size;
    return 0;
}

// Searches beyond `end` for records of this log. *ret_found if there is one; LSM_CORRUPTION if one
// says that bytes beyond `end` were synced.
static int search_tail(struct log_reader *log, uint64_t end, bool *ret_found)
{
    uint64_t offset = end + WAL_ALIGN;
    for (;;) {
        struct wal_record_head head;
        const uint8_t *data;
        bool valid;
        int rc = find_tag(log, &offset);
        if (!rc)
            rc = record_at(log, offset, &head, &data, &valid);
        if (rc || offset >= log->size)
            return rc;
        if (!valid) {
            offset += WAL_ALIGN;
            continue;
        }
        if (head.durable > end)
            return status_fail(LSM_CORRUPTION,
                               "%s: record at %" PRIu64 " is damaged; the log was synced up to at "
                               "least %" PRIu64,
                               log->file->path, end, head.durable);
        *ret_found = true;
        offset += wal_record_size(head.payload_size);
    }
}

static int replay(struct log_reader *log, wal_record_fn *fn, void *arg,
                  struct wal_read_result *result)
{
    uint64_t offset = WAL_HEADER_SIZE;
    for (;;) {
        struct wal_record_head head;
        const uint8_t *data;
        bool valid;
        int rc = record_at(log, offset, &head, &data, &valid);
        if (rc)
            return rc;
        if (!valid)
            break;
        rc = fn(arg, head.sequence, slice_of(data + WAL_RECORD_HEADER, head.payload_size), offset);
        if (rc)
            return rc;
        offset += wal_record_size(head.payload_size);
        result->records++;
        if (head.durable > result->max_durable)
            result->max_durable = head.durable;
    }
    result->end = offset;
    int rc = begun_at(log, offset, &result->torn);
    return rc ? rc : search_tail(log, offset, &result->torn);
}

// Whether the file is zeros from `offset` on.
static int all_zero(struct log_reader *log, uint64_t offset, bool *ret_zero)
{
    while (offset < log->size) {
        const uint8_t *data;
        uint64_t part = log->size - offset < READ_CHUNK ? log->size - offset : READ_CHUNK;
        int rc = fetch(log, offset, part, &data);
        if (rc)
            return rc;
        if (data[0] || memcmp(data, data + 1, (size_t)part - 1)) {
            *ret_zero = false;
            return 0;
        }
        offset += part;
    }
    *ret_zero = true;
    return 0;
}

// Reads the header. *ret_used is false if this log never got as far as holding records.
static int read_header(struct log_reader *log, uint64_t number, bool *ret_used)
{
    const uint8_t *data;
    const char *path = log->file->path;
    struct wal_header header;
    bool zero;
    *ret_used = false;
    if (log->size < WAL_HEADER_SIZE)
        return 0;
    int rc = fetch(log, 0, WAL_HEADER_SIZE, &data);
    if (rc)
        return rc;
    switch (wal_header_decode(data, &header)) {
    case WAL_HEADER_VALID:
        *ret_used = header.number == number;
        log->tag = wal_tag(&header);
        return 0;
    case WAL_HEADER_NEWER:
        return status_fail(LSM_NEWER_FORMAT, "%s: log format %" PRIu32 ", %u is known", path,
                           get_fixed32(data + 8), WAL_FORMAT);
    case WAL_HEADER_ZERO:
        rc = all_zero(log, 0, &zero);
        if (rc || zero)
            return rc;
        break;
    case WAL_HEADER_DAMAGED:
        break;
    }
    return status_fail(LSM_CORRUPTION, "%s: the log's header at 0 is damaged", path);
}

int wal_read(struct env *env, const char *path, uint64_t number, wal_record_fn *fn, void *arg,
             struct wal_read_result *ret_result)
{
    struct log_reader log = {.chunk = READ_CHUNK};
    struct wal_read_result result = {0};
    bool used;
    int rc = env_open(env, path, ENV_READ, &log.file);
    if (rc)
        return rc;
    rc = log.file->ops->size(log.file, &log.size);
    if (!rc) {
        log.file->ops->advise(log.file, 0, log.size, ENV_ADVISE_SEQUENTIAL);
        rc = read_header(&log, number, &used);
    }
    if (!rc && used)
        rc = replay(&log, fn, arg, &result);
    else
        result.torn = true;
    if (!rc)
        *ret_result = result;
    buf_release(&log.buffer);
    (void)env_close(log.file);
    return rc;
}

// ------------------------------------------------------------------------------------- following

struct wal_tail {
    struct log_reader log;
    uint64_t number;
    bool used;     // the header is this log's
    uint64_t last; // offset of the last record that was handed out; 0: there is none
    uint64_t next; // ... and behind it
    uint64_t durable;
    uint8_t head[WAL_RECORD_HEADER]; // of the last record
};

int wal_tail_open(struct env *env, const char *path, uint64_t number, struct wal_tail **ret_tail)
{
    struct wal_tail *tail = calloc(1, sizeof *tail);
    if (!tail)
        return status_no_memory(sizeof *tail);
    tail->number = number;
    tail->next = WAL_HEADER_SIZE;
    int rc = env_open(env, path, ENV_READ, &tail->log.file);
    if (rc) {
        free(tail);
        return rc;
    }
    *ret_tail = tail;
    return 0;
}

void wal_tail_free(struct wal_tail *tail)
{
    if (!tail)
        return;
    buf_release(&tail->log.buffer);
    (void)env_close(tail->log.file);
    free(tail);
}

uint64_t wal_tail_number(const struct wal_tail *tail)
{
    return tail->number;
}

// Whether the header is that of this log by now. One that is none, or another log's, is that of a
// file that is being made, or of one that is about to be recycled.
static int tail_header(struct wal_tail *tail)
{
    const uint8_t *data;
    struct wal_header header;
    if (tail->log.size < WAL_HEADER_SIZE)
        return 0;
    int rc = fetch(&tail->log, 0, WAL_HEADER_SIZE, &data);
    if (rc)
        return rc;
    enum wal_header_state state = wal_header_decode(data, &header);
    if (state == WAL_HEADER_NEWER)
        return status_fail(LSM_NEWER_FORMAT, "%s: log format %" PRIu32 ", %u is known",
                           tail->log.file->path, get_fixed32(data + 8), WAL_FORMAT);
    tail->used = state == WAL_HEADER_VALID && header.number == tail->number;
    if (tail->used)
        tail->log.tag = wal_tag(&header);
    return 0;
}

// Whether the last record is still there.
static int tail_verify(struct wal_tail *tail)
{
    const uint8_t *data;
    bool same = tail->log.size >= tail->next;
    int rc = 0;
    if (same && tail->last)
        rc = fetch(&tail->log, tail->last, WAL_RECORD_HEADER, &data);
    if (same && tail->last && !rc)
        same = memcmp(data, tail->head, WAL_RECORD_HEADER) == 0;
    if (!rc && !same)
        rc = status_fail(LSM_NOT_FOUND, "%s: was cut or has become another log",
                         tail->log.file->path);
    return rc;
}

static int tail_records(struct wal_tail *tail, wal_record_fn *fn, void *arg, uint64_t *count)
{
    for (;;) {
        struct wal_record_head head;
        const uint8_t *data;
        bool valid;
        int rc = record_at(&tail->log, tail->next, &head, &data, &valid);
        if (rc || !valid)
            return rc;
        uint8_t bytes[WAL_RECORD_HEADER];
        memcpy(bytes, data, sizeof bytes);
        rc = fn(arg, head.sequence, slice_of(data + WAL_RECORD_HEADER, head.payload_size),
                tail->next);
        if (rc)
            return rc;
        memcpy(tail->head, bytes, sizeof bytes);
        if (head.durable > tail->durable)
            tail->durable = head.durable;
        tail->last = tail->next;
        tail->next += wal_record_size(head.payload_size);
        (*count)++;
    }
}

int wal_tail_read(struct wal_tail *tail, wal_record_fn *fn, void *arg, uint64_t *ret_count)
{
    struct log_reader *log = &tail->log;
    uint64_t count = 0;
    log->buffer.size = 0; // what was read before may have changed
    log->chunk = TAIL_CHUNK;
    int rc = log->file->ops->size(log->file, &log->size);
    if (!rc && !tail->used)
        rc = tail_header(tail);
    if (!rc && tail->used)
        rc = tail_verify(tail);
    if (!rc && tail->used)
        rc = tail_records(tail, fn, arg, &count);
    if (rc >= 0)
        *ret_count = count;
    if (log->buffer.capacity > 2 * READ_CHUNK)
        buf_release(&log->buffer);
    return rc;
}

static int pass_over(void *arg, uint64_t sequence, struct slice payload, uint64_t offset)
{
    (void)arg, (void)sequence, (void)payload, (void)offset;
    return 0;
}

int wal_tail_ahead(struct wal_tail *tail, uint64_t *ret_durable)
{
    const uint64_t last = tail->last, next = tail->next, durable = tail->durable;
    uint8_t head[WAL_RECORD_HEADER];
    uint64_t count;
    memcpy(head, tail->head, sizeof head);
    int rc = wal_tail_read(tail, pass_over, NULL, &count);
    if (!rc)
        *ret_durable = tail->durable;
    tail->last = last;
    tail->next = next;
    tail->durable = durable;
    memcpy(tail->head, head, sizeof head);
    return rc;
}
