// Recovery: replays a log's valid prefix and judges what ends it.
//
// The file is read with pread through one sliding buffer, not mapped: a bad sector is then an error
// with an offset and not a signal. After the last valid record the rest of the file is searched, at
// every multiple of 8, for a later record of this log. Most positions fail on the 32-bit tag alone,
// so the search costs little more than reading the file.
//
// Thread-safe: no shared state. On failure *ret_result is untouched; records found before the
// failure have been handed out.
#include "wal/wal_reader.h"

#include <inttypes.h>

#include "base/status.h"
#include "wal/wal_format.h"

#define READ_CHUNK ((uint64_t)1 << 20)

struct log_reader {
    struct env_file *file;
    uint64_t size;     // of the file
    struct buf buffer; // bytes [at, at + buffer.size) of the file
    uint64_t at;
    uint32_t tag;
};

// Makes bytes [offset, offset + size) available; the range lies in the file.
static int fetch(struct log_reader *log, uint64_t offset, uint64_t size, const uint8_t **ret_data)
{
    if (offset < log->at || offset + size > log->at + log->buffer.size) {
        uint64_t left = log->size - offset;
        uint64_t want = size > READ_CHUNK ? size : READ_CHUNK < left ? READ_CHUNK : left;
        size_t got;
        log->buffer.size = 0;
        int rc = buf_reserve(&log->buffer, (size_t)want);
        if (!rc)
            rc = env_pread(log->file, log->buffer.data, (size_t)want, offset, &got);
        if (rc)
            return rc;
        if (got < size)
            return status_fail(LSM_IO_ERROR, "%s: cut short while it was read", log->file->path);
        log->buffer.size = got;
        log->at = offset;
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
    struct log_reader log = {0};
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
