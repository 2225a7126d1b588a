// Records of blob files: compression, gathered writes, scattered reads.
//
// A page and its checksum lie side by side in the file, so a write gathers (page, checksum) pairs
// from the value and a small array, and a read scatters them in the same way: the kernel copies
// between page cache and the caller's memory, nobody else does. Only a page of which the caller
// wants a part is read into a buffer here.
//
// Thread safety: no state. Failure: what was written is of no use, `data` of a read is undefined.
#include "blob/blob_record.h"

#include <assert.h>
#include <inttypes.h>
#include <lz4.h>
#include <stdlib.h>
#include <zlib.h>

#include "base/coding.h"
#include "base/hash.h"
#include "base/status.h"

#define PROBE_SIZE    4096
#define ZLIB_LEVEL    1
#define PAGES_AT_ONCE (ENV_PIECES_MAX / 2 - 1)

// ------------------------------------------------------------------------------------ compression

bool blob_probe(struct slice value)
{
    char out[PROBE_SIZE];
    int size = value.size < PROBE_SIZE ? (int)value.size : PROBE_SIZE;
    const uint8_t *sample = value.data + (value.size - (size_t)size) / 2;
    return LZ4_compress_fast((const char *)sample, out, size, size - size / 8, 4) > 0;
}

// The compressed size of a chunk, 0 if it saves less than 1/8.
static size_t compress_chunk(enum lsm_compression codec, struct slice in, uint8_t *out)
{
    size_t most = in.size - in.size / 8 - 1;
    if (codec == LSM_COMPRESSION_LZ4) {
        int n = LZ4_compress_default((const char *)in.data, (char *)out, (int)in.size, (int)most);
        return n > 0 ? (size_t)n : 0;
    }
    uLongf size = most;
    return compress2(out, &size, in.data, in.size, ZLIB_LEVEL) == Z_OK ? size : 0;
}

static int decompress_chunk(enum lsm_compression codec, struct slice in, uint8_t *out, size_t size)
{
    if (codec == LSM_COMPRESSION_LZ4) {
        int n = LZ4_decompress_safe((const char *)in.data, (char *)out, (int)in.size, (int)size);
        return n >= 0 && (size_t)n == size ? LSM_OK : LSM_CORRUPTION;
    }
    uLongf got = size;
    int rc = uncompress(out, &got, in.data, in.size);
    if (rc == Z_MEM_ERROR)
        return status_no_memory(size);
    return rc == Z_OK && got == size ? LSM_OK : LSM_CORRUPTION;
}

// Compresses chunk by chunk into record->compressed; false if the whole does not pay.
static bool compress_value(struct blob_record *record, struct slice value,
                           enum lsm_compression codec)
{
    uint8_t *directory = record->bytes.data + BLOB_RECORD_HEADER;
    struct buf *out = &record->compressed;
    for (size_t at = 0; at < value.size; at += BLOB_CHUNK) {
        size_t left = value.size - at;
        struct slice chunk = slice_of(value.data + at, left < BLOB_CHUNK ? left : BLOB_CHUNK);
        size_t n = compress_chunk(codec, chunk, out->data + out->size);
        if (n == 0) {
            n = chunk.size;
            memcpy(out->data + out->size, chunk.data, n);
        }
        out->size += n;
        directory = put_fixed16(directory, (uint16_t)(n - 1));
    }
    return out->size <= value.size - value.size / 8;
}

int blob_record_init(struct blob_record *record, struct slice value, enum lsm_compression codec)
{
    assert(value.size > 0 && value.size <= LSM_MAX_VALUE);
    struct blob_record r = {.stored = value};
    uint32_t size = (uint32_t)value.size;
    if (codec != LSM_COMPRESSION_NONE &&
        (buf_reserve(&r.bytes, (size_t)blob_head_size(size, codec)) ||
         buf_reserve(&r.compressed, value.size))) {
        blob_record_release(&r);
        return status_no_memory(value.size);
    }
    if (codec != LSM_COMPRESSION_NONE && compress_value(&r, value, codec))
        r.stored = buf_slice(&r.compressed);
    else
        codec = LSM_COMPRESSION_NONE;
    r.head = (struct blob_head){size, (uint32_t)r.stored.size, codec, NULL};
    *record = r;
    return LSM_OK;
}

void blob_record_release(struct blob_record *record)
{
    buf_release(&record->bytes);
    buf_release(&record->compressed);
}

uint64_t blob_record_size(const struct blob_record *record)
{
    const struct blob_head *head = &record->head;
    return blob_head_size(head->value_size, head->codec) + blob_pages_size(head->stored_size);
}

// ---------------------------------------------------------------------------------------- writing

int blob_record_write(const struct blob_record *record, struct env_file *file, uint64_t number,
                      uint64_t offset)
{
    struct iovec pieces[ENV_PIECES_MAX];
    uint8_t sums[PAGES_AT_ONCE][BLOB_CHECKSUM];
    uint8_t plain[BLOB_RECORD_HEADER], *head = record->bytes.data ? record->bytes.data : plain;
    size_t head_size = (size_t)blob_head_size(record->head.value_size, record->head.codec);
    blob_head_encode(&record->head, number, offset, head);
    pieces[0] = (struct iovec){head, head_size};
    int count = 1;
    uint64_t start = offset, at = offset + head_size; // of this call; of the next page
    size_t done = 0, size = record->stored.size;
    while (done < size) {
        for (unsigned i = 0; i < PAGES_AT_ONCE && done < size; i++) {
            const uint8_t *page = record->stored.data + done;
            size_t n = size - done < BLOB_PAGE ? size - done : BLOB_PAGE;
            put_fixed32(sums[i], checksum32(page, n, blob_seed(number, at)));
            pieces[count++] = (struct iovec){(void *)(uintptr_t)page, n};
            pieces[count++] = (struct iovec){sums[i], BLOB_CHECKSUM};
            at += n + BLOB_CHECKSUM;
            done += n;
        }
        int rc = env_pwritev(file, pieces, count, start);
        if (rc)
            return rc;
        start = at;
        count = 0;
    }
    return LSM_OK;
}

// ---------------------------------------------------------------------------------------- reading

static int damaged(struct env_file *file, uint64_t offset, const char *what)
{
    return status_fail(LSM_CORRUPTION, "%s: at byte %" PRIu64 ": %s", file->path, offset, what);
}

// The stored bytes of a record: where they begin in the file, how many there are.
struct stored {
    struct env_file *file;
    uint64_t number;
    uint64_t start;
    uint64_t size;
};

static uint64_t page_offset(const struct stored *s, uint64_t page)
{
    return s->start + page * (BLOB_PAGE + BLOB_CHECKSUM);
}

static size_t page_size(const struct stored *s, uint64_t page)
{
    uint64_t left = s->size - page * BLOB_PAGE;
    return left < BLOB_PAGE ? (size_t)left : BLOB_PAGE;
}

// Reads bytes [from, to) of what is stored, which lie in at most PAGES_AT_ONCE pages.
static int read_some(const struct stored *s, uint64_t from, uint64_t to, uint8_t *out)
{
    struct iovec pieces[ENV_PIECES_MAX];
    uint8_t sums[PAGES_AT_ONCE][BLOB_CHECKSUM], partial[2][BLOB_PAGE];
    uint64_t first = from / BLOB_PAGE, last = (to - 1) / BLOB_PAGE;
    assert(from < to && last - first < PAGES_AT_ONCE);
    size_t want = 0, got;
    int count = 0;
    for (uint64_t page = first; page <= last; page++) {
        uint64_t begin = page * BLOB_PAGE;
        size_t n = page_size(s, page);
        bool whole = begin >= from && begin + n <= to;
        uint8_t *to_data = whole ? out + (begin - from) : partial[page != first];
        pieces[count++] = (struct iovec){to_data, n};
        pieces[count++] = (struct iovec){sums[page - first], BLOB_CHECKSUM};
        want += n + BLOB_CHECKSUM;
    }
    int rc = env_preadv(s->file, pieces, count, page_offset(s, first), &got);
    if (rc)
        return rc;
    if (got < want)
        return damaged(s->file, page_offset(s, first),
                       "a blob is cut short by the end of the file");
    for (uint64_t page = first; page <= last; page++) {
        const struct iovec *piece = &pieces[2 * (page - first)];
        uint64_t begin = page * BLOB_PAGE, at = page_offset(s, page);
        if (checksum32(piece->iov_base, piece->iov_len, blob_seed(s->number, at)) !=
            get_fixed32(sums[page - first]))
            return damaged(s->file, at, "bad checksum of a blob's page");
        if (piece->iov_base != partial[page != first])
            continue;
        uint64_t low = begin > from ? begin : from;
        uint64_t high = begin + piece->iov_len < to ? begin + piece->iov_len : to;
        memcpy(out + (low - from), (uint8_t *)piece->iov_base + (low - begin), high - low);
    }
    return LSM_OK;
}

static int read_stored(const struct stored *s, uint64_t from, uint64_t size, uint8_t *out)
{
    uint64_t end = from + size;
    while (from < end) {
        uint64_t to = (from / BLOB_PAGE + PAGES_AT_ONCE) * BLOB_PAGE;
        if (to > end)
            to = end;
        int rc = read_some(s, from, to, out);
        if (rc)
            return rc;
        out += to - from;
        from = to;
    }
    return LSM_OK;
}

// Reads and checks the head into `bytes`.
static int read_head(struct env_file *file, const struct blob_pointer *pointer, struct buf *bytes,
                     struct blob_head *ret_head)
{
    size_t size = (size_t)blob_head_size(pointer->value_size, pointer->codec), got;
    int rc = buf_reserve(bytes, size);
    if (!rc)
        rc = env_pread(file, bytes->data, size, pointer->offset, &got);
    if (rc)
        return rc;
    if (got < size || blob_head_decode(slice_of(bytes->data, size), pointer, ret_head))
        return damaged(file, pointer->offset, "bad head of a blob");
    return LSM_OK;
}

// One chunk: bytes [from, to) of its content into `out`. `scratch` has room for two chunks.
static int read_chunk(const struct stored *s, const struct blob_head *head, uint32_t chunk,
                      uint64_t at, uint32_t from, uint32_t to, uint8_t *scratch, uint8_t *out)
{
    uint32_t left = head->value_size - chunk * BLOB_CHUNK;
    uint32_t size = left < BLOB_CHUNK ? left : BLOB_CHUNK;
    uint32_t stored = blob_chunk_stored(head->directory, chunk);
    if (stored == size)
        return read_stored(s, at + from, to - from, out);
    int rc = read_stored(s, at, stored, scratch);
    if (rc)
        return rc;
    bool whole = from == 0 && to == size;
    uint8_t *content = whole ? out : scratch + BLOB_CHUNK;
    rc = decompress_chunk(head->codec, slice_of(scratch, stored), content, size);
    if (rc == LSM_CORRUPTION)
        return damaged(s->file, page_offset(s, at / BLOB_PAGE), "a blob does not decompress");
    if (!rc && !whole)
        memcpy(out, content + from, to - from);
    return rc;
}

static int read_compressed(const struct stored *s, const struct blob_head *head, uint32_t from,
                           uint32_t size, uint8_t *out)
{
    uint8_t *scratch = malloc(2 * BLOB_CHUNK);
    if (!scratch)
        return status_no_memory(2 * BLOB_CHUNK);
    uint64_t at = 0;
    uint32_t end = from + size, chunks = blob_chunks(head->value_size, head->codec);
    int rc = LSM_OK;
    for (uint32_t i = 0; i < chunks && !rc; i++) {
        uint64_t begin = (uint64_t)i * BLOB_CHUNK;
        if (begin >= end)
            break;
        if (begin + BLOB_CHUNK > from) {
            uint32_t low = from > begin ? (uint32_t)(from - begin) : 0;
            uint32_t high = end - begin < BLOB_CHUNK ? (uint32_t)(end - begin) : BLOB_CHUNK;
            rc = read_chunk(s, head, i, at, low, high, scratch, out);
            out += high - low;
        }
        at += blob_chunk_stored(head->directory, i);
    }
    free(scratch);
    return rc;
}

static struct stored stored_of(struct env_file *file, const struct blob_pointer *pointer)
{
    return (struct stored){file, pointer->file,
                           pointer->offset + blob_head_size(pointer->value_size, pointer->codec),
                           pointer->stored_size};
}

int blob_record_read(struct env_file *file, const struct blob_pointer *pointer, uint32_t offset,
                     void *data, size_t size)
{
    assert(offset <= pointer->length && size <= pointer->length - offset);
    if (size == 0)
        return LSM_OK;
    struct stored s = stored_of(file, pointer);
    uint32_t from = pointer->start + offset;
    if (pointer->codec == LSM_COMPRESSION_NONE)
        return read_stored(&s, from, size, data);
    struct buf bytes = {0};
    struct blob_head head;
    int rc = read_head(file, pointer, &bytes, &head);
    if (!rc)
        rc = read_compressed(&s, &head, from, (uint32_t)size, data);
    buf_release(&bytes);
    return rc;
}

int blob_record_verify_head(struct env_file *file, const struct blob_pointer *pointer)
{
    struct buf bytes = {0};
    struct blob_head head;
    int rc = read_head(file, pointer, &bytes, &head);
    buf_release(&bytes);
    return rc;
}

int blob_record_verify(struct env_file *file, const struct blob_pointer *pointer)
{
    uint8_t *data = malloc(BLOB_CHUNK);
    int rc = data ? blob_record_verify_head(file, pointer) : status_no_memory(BLOB_CHUNK);
    for (uint32_t done = 0; done < pointer->length && !rc;) {
        uint32_t n = BLOB_CHUNK - (pointer->start + done) % BLOB_CHUNK;
        if (n > pointer->length - done)
            n = pointer->length - done;
        rc = blob_record_read(file, pointer, done, data, n);
        done += n;
    }
    free(data);
    return rc;
}
