// Records: attributes and short content of a file as bytes.
//
//   version u8 | flags u8 | more u8 (version 2) | ino varint
//   link:  type u8 (S_IFMT bits >> 12)
//   else:  mode, nlink, uid, gid varint | rdev varint (devices only) | size varint
//          | data_bytes varint (regular, not inline) | unwritten_bytes varint (if UNWRITTEN)
//          | mtime | atime, ctime, btime unless SAME | the file's flags varint (if more has FLAGS)
//          | lost_bytes varint (if more has LOST)
//          | prefix slice (if PREFIX) | content: the rest, `size` bytes (if INLINE)
//   time:  seconds zigzag varint | nanoseconds u32
//
// A new file's four times are equal, so they cost one; most records without content are under 40
// bytes. Decoding checks everything that a reader relies on. Thread safety: pure functions.
#include "ns/keys/record.h"

#include <assert.h>

#include "base/coding.h"
#include "base/status.h"
#include "ns/namespace.h"

enum record_flags {
    FLAG_LINK = 0x01,
    FLAG_INLINE = 0x02,
    FLAG_PREFIX = 0x04,
    FLAG_XATTRS = 0x08,
    FLAG_ATIME_SAME = 0x10, // as mtime
    FLAG_CTIME_SAME = 0x20,
    FLAG_BTIME_SAME = 0x40,
    FLAG_UNWRITTEN = 0x80,
};

enum record_more { // in records of version 2
    MORE_FLAGS = 0x01,
    MORE_LOST = 0x02,
};

// version, flags, more, 11 varints of at most 10 bytes, 4 times, the prefix's length
#define FIXED_MAX  (3 + 11 * CODING_VARINT64_MAX + 4 * (CODING_VARINT64_MAX + 4) + 10)
#define PREFIX_MAX 1024

static bool is_device(uint32_t mode)
{
    return S_ISCHR(mode) || S_ISBLK(mode);
}

static bool same_time(struct timespec a, struct timespec b)
{
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static uint8_t *put_time(uint8_t *p, struct timespec t)
{
    uint64_t sec = (uint64_t)t.tv_sec;
    p = put_varint64(p, (sec << 1) ^ (t.tv_sec < 0 ? UINT64_MAX : 0));
    return put_fixed32(p, (uint32_t)t.tv_nsec);
}

static const uint8_t *get_time(const uint8_t *p, const uint8_t *end, struct timespec *ret_time)
{
    uint64_t zigzag;
    p = get_varint64(p, end, &zigzag);
    if (!p || end - p < 4)
        return NULL;
    uint32_t nsec = get_fixed32(p);
    if (nsec >= 1000000000)
        return NULL;
    ret_time->tv_sec = (time_t)((zigzag >> 1) ^ (zigzag & 1 ? UINT64_MAX : 0));
    ret_time->tv_nsec = (long)nsec;
    return p + 4;
}

static uint8_t record_flags(const struct record *r)
{
    if (r->is_link)
        return FLAG_LINK;
    return (uint8_t)((r->is_inline ? FLAG_INLINE : 0) | (r->unwritten_bytes ? FLAG_UNWRITTEN : 0) |
                     (r->prefix.size ? FLAG_PREFIX : 0) | (r->has_xattrs ? FLAG_XATTRS : 0) |
                     (same_time(r->atime, r->mtime) ? FLAG_ATIME_SAME : 0) |
                     (same_time(r->ctime, r->mtime) ? FLAG_CTIME_SAME : 0) |
                     (same_time(r->btime, r->mtime) ? FLAG_BTIME_SAME : 0));
}

static uint8_t record_more(const struct record *r)
{
    if (r->is_link)
        return 0;
    return (uint8_t)((r->flags ? MORE_FLAGS : 0) | (r->lost_bytes ? MORE_LOST : 0));
}

int record_encode(const struct record *record, struct buf *out)
{
    uint8_t fixed[FIXED_MAX], *p = fixed;
    uint8_t flags = record_flags(record);
    uint8_t more = record_more(record);
    *p++ = more ? RECORD_VERSION_MORE : RECORD_VERSION;
    *p++ = flags;
    if (more)
        *p++ = more;
    p = put_varint64(p, record->ino);
    if (record->is_link) {
        *p++ = (uint8_t)(record_type(record) >> 12);
    } else {
        p = put_varint32(p, record->mode);
        p = put_varint32(p, record->nlink);
        p = put_varint32(p, record->uid);
        p = put_varint32(p, record->gid);
        if (is_device(record->mode))
            p = put_varint64(p, record->rdev);
        p = put_varint64(p, record->size);
        if (S_ISREG(record->mode) && !record->is_inline)
            p = put_varint64(p, record->data_bytes);
        if (flags & FLAG_UNWRITTEN)
            p = put_varint64(p, record->unwritten_bytes);
        p = put_time(p, record->mtime);
        if (!(flags & FLAG_ATIME_SAME))
            p = put_time(p, record->atime);
        if (!(flags & FLAG_CTIME_SAME))
            p = put_time(p, record->ctime);
        if (!(flags & FLAG_BTIME_SAME))
            p = put_time(p, record->btime);
        if (more & MORE_FLAGS)
            p = put_varint32(p, record->flags);
        if (more & MORE_LOST)
            p = put_varint64(p, record->lost_bytes);
        if (flags & FLAG_PREFIX)
            p = put_varint64(p, record->prefix.size);
    }
    size_t fixed_size = (size_t)(p - fixed);
    assert(fixed_size <= FIXED_MAX);
    size_t prefix_size = flags & FLAG_PREFIX ? record->prefix.size : 0;
    size_t content_size = flags & FLAG_INLINE ? record->content.size : 0;
    struct buf made = {out->data, 0, out->capacity};
    int rc = buf_reserve(&made, fixed_size + prefix_size + content_size);
    if (rc)
        return rc;
    *out = made;
    rc = buf_append(out, fixed, fixed_size);
    if (!rc && prefix_size)
        rc = buf_append(out, record->prefix.data, prefix_size);
    if (!rc && content_size)
        rc = buf_append(out, record->content.data, content_size);
    assert(rc || out->size == fixed_size + prefix_size + content_size);
    return rc;
}

static const uint8_t *decode_attributes(const uint8_t *p, const uint8_t *end, uint8_t flags,
                                        uint8_t more, struct record *r)
{
    if (!(p = get_varint32(p, end, &r->mode)) || !(p = get_varint32(p, end, &r->nlink)) ||
        !(p = get_varint32(p, end, &r->uid)) || !(p = get_varint32(p, end, &r->gid)))
        return NULL;
    if (is_device(r->mode) && !(p = get_varint64(p, end, &r->rdev)))
        return NULL;
    if (!(p = get_varint64(p, end, &r->size)))
        return NULL;
    if (S_ISREG(r->mode) && !r->is_inline && !(p = get_varint64(p, end, &r->data_bytes)))
        return NULL;
    if (flags & FLAG_UNWRITTEN && !(p = get_varint64(p, end, &r->unwritten_bytes)))
        return NULL;
    if (!(p = get_time(p, end, &r->mtime)))
        return NULL;
    r->atime = r->ctime = r->btime = r->mtime;
    if (!(flags & FLAG_ATIME_SAME) && !(p = get_time(p, end, &r->atime)))
        return NULL;
    if (!(flags & FLAG_CTIME_SAME) && !(p = get_time(p, end, &r->ctime)))
        return NULL;
    if (!(flags & FLAG_BTIME_SAME) && !(p = get_time(p, end, &r->btime)))
        return NULL;
    if (more & MORE_FLAGS && !(p = get_varint32(p, end, &r->flags)))
        return NULL;
    if (more & MORE_LOST && !(p = get_varint64(p, end, &r->lost_bytes)))
        return NULL;
    if (flags & FLAG_PREFIX)
        p = get_slice(p, end, &r->prefix);
    return p;
}

static bool valid_type(uint32_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFREG:
    case S_IFDIR:
    case S_IFLNK:
    case S_IFCHR:
    case S_IFBLK:
    case S_IFIFO:
    case S_IFSOCK:
        return true;
    default:
        return false;
    }
}

// What holds between the fields of a well-formed record; NULL or what does not.
static const char *record_problem(const struct record *r, uint8_t flags, uint8_t more)
{
    if (r->ino == 0)
        return "inode number 0";
    if (!valid_type(r->mode))
        return "unknown file type";
    if (r->is_link)
        return S_ISDIR(r->mode) ? "hard-linked directory" : NULL;
    if (r->mode & ~(uint32_t)(S_IFMT | 07777))
        return "unknown mode bits";
    if (r->flags & ~(uint32_t)NS_FLAGS)
        return "unknown file flags";
    if (flags & FLAG_PREFIX &&
        (!S_ISDIR(r->mode) || r->prefix.size == 0 || r->prefix.size > PREFIX_MAX))
        return "bad prefix";
    if (r->is_inline && !S_ISREG(r->mode) && !S_ISLNK(r->mode))
        return "content in a file that has none";
    if (S_ISLNK(r->mode) && !r->is_inline)
        return "symbolic link without target";
    if (r->is_inline && (r->size > RECORD_CONTENT_MAX || r->content.size != r->size))
        return "content is not as long as the file";
    if (!r->is_inline && r->content.size)
        return "bytes after the end";
    if (flags & FLAG_UNWRITTEN && (r->is_inline || !S_ISREG(r->mode) || !r->unwritten_bytes))
        return "unwritten bytes in a file that has none";
    if (more & MORE_LOST && (r->is_inline || !S_ISREG(r->mode) || !r->lost_bytes))
        return "lost bytes in a file that has none";
    if (r->data_bytes > r->size || r->lost_bytes > r->size - r->data_bytes)
        return "more data than the file is long";
    return NULL;
}

int record_decode(const void *data, size_t size, struct record *ret_record)
{
    const uint8_t *p = data, *end = p + size;
    struct record r = {0};
    if (size < 2)
        return status_fail(LSM_CORRUPTION, "record of %zu bytes is too short", size);
    if (p[0] != RECORD_VERSION && p[0] != RECORD_VERSION_MORE)
        return status_fail(p[0] > RECORD_VERSION_MORE ? LSM_NEWER_FORMAT : LSM_CORRUPTION,
                           "record has unknown version %u", p[0]);
    uint8_t flags = p[1];
    uint8_t more = 0;
    if (p[0] == RECORD_VERSION_MORE) {
        more = size < 3 ? 0 : p[2];
        if (!more || more & ~(MORE_FLAGS | MORE_LOST))
            return status_fail(LSM_CORRUPTION, "record has unknown further fields");
    }
    if (flags & FLAG_LINK && (flags != FLAG_LINK || more))
        return status_fail(LSM_CORRUPTION, "record has unknown flags 0x%x", flags);
    r.is_link = flags & FLAG_LINK;
    r.is_inline = flags & FLAG_INLINE;
    r.has_xattrs = flags & FLAG_XATTRS;
    p = get_varint64(p + (more ? 3 : 2), end, &r.ino);
    if (p && r.is_link) {
        p = p < end && *p < 16 ? (r.mode = (uint32_t)*p << 12, p + 1) : NULL;
        if (p && p != end)
            p = NULL;
    } else if (p) {
        p = decode_attributes(p, end, flags, more, &r);
    }
    if (!p)
        return status_fail(LSM_CORRUPTION, "record of %zu bytes is cut short or malformed", size);
    if (!r.is_link)
        r.content = slice_of(p, (size_t)(end - p));
    const char *problem = record_problem(&r, flags, more);
    if (problem)
        return status_fail(LSM_CORRUPTION, "record of inode %llu: %s", (unsigned long long)r.ino,
                           problem);
    *ret_record = r;
    return 0;
}
