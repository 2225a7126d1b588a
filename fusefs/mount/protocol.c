// What libfuse 3.14 neither offers nor passes on of the FUSE protocol. See protocol.h.
//
// The INIT reply is amended on its way out where the kernel offers these, and what comes with them
// in a request is noted, per thread, while that request is being served:
//  - FUSE_HANDLE_KILLPRIV_V2, which a FUSE file system with a write-back cache wants: without it
//    the kernel asks for the file's security.capability attribute before every single write(2), to
//    see whether it has to be removed. With it a request says "clear setuid and setgid".
//  - FUSE_SETXATTR_EXT: whether setting an access control list clears setgid. It makes the request
//    8 bytes longer, which are taken out again before libfuse sees them.
//  - FUSE_PARALLEL_DIROPS: lookups and listings of one directory go side by side. libfuse knows it,
//    but does not pass on that it is wanted.
//  - FUSE_DIRECT_IO_ALLOW_MMAP: files that were opened with O_DIRECT can be direct for the kernel
//    too and still be mapped. Then FOPEN_PARALLEL_DIRECT_WRITES, added to the reply of the OPEN,
//    lets writes that do not extend the file go side by side.
//  - FUSE_ALLOW_IDMAP: the mount may be mounted again with mapped owners. The kernel maps what it
//    sends and gets; requests other than those that create then do not name a user any more.
//  - that a WRITE is of pages of the cache;
//  - the lock owner's flag in READ and WRITE. Only what a program does itself has an owner, so it
//    tells direct requests from those of the page cache; O_DIRECT in the file's flags does not, as
//    such files can be mapped.
//  - FUSE_OVER_IO_URING: requests do not come by the device, but as transport_uring.c says.
// Two requests are passed to libfuse as others that it knows:
//  - TMPFILE is a CREATE without a name;
//  - STATX, by which the kernel asks for the time of birth, is a GETATTR with a longer answer.
#include "mount/protocol.h"

#include <assert.h>
#include <linux/fuse.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#ifndef FUSE_DIRECT_IO_ALLOW_MMAP
#define FUSE_DIRECT_IO_ALLOW_MMAP (1ULL << 36)
#endif
#ifndef FUSE_OVER_IO_URING
#define FUSE_OVER_IO_URING (1ULL << 41)
#endif
#ifndef FUSE_ALLOW_IDMAP
#define FUSE_ALLOW_IDMAP (1ULL << 40)
#endif

// Flags of INIT that libfuse does not pass on; OURS2 are in `flags2`.
#define OURS   (FUSE_HANDLE_KILLPRIV_V2 | FUSE_SETXATTR_EXT | FUSE_PARALLEL_DIROPS)
#define MMAP2  ((uint32_t)(FUSE_DIRECT_IO_ALLOW_MMAP >> 32))
#define IDMAP2 ((uint32_t)(FUSE_ALLOW_IDMAP >> 32))
#define URING2 ((uint32_t)(FUSE_OVER_IO_URING >> 32))

// STATX as of protocol 7.39, which is newer than the headers of some distributions.
#define OPCODE_STATX 52

struct statx_time {
    int64_t sec;
    uint32_t nsec;
    uint32_t zero;
};

struct statx_reply {
    uint64_t valid_s;
    uint32_t valid_ns;
    uint32_t flags;
    uint64_t spare[2];
    uint32_t mask;
    uint32_t blksize;
    uint64_t attributes;
    uint32_t nlink;
    uint32_t uid;
    uint32_t gid;
    uint16_t mode;
    uint16_t spare_mode;
    uint64_t ino;
    uint64_t size;
    uint64_t blocks;
    uint64_t attributes_mask;
    struct statx_time atime, btime, ctime, mtime;
    uint32_t rdev_major, rdev_minor;
    uint32_t dev_major, dev_minor;
    uint64_t spare_end[14];
};
_Static_assert(sizeof(struct statx_reply) == 288, "fuse_statx_out of the protocol");

// The request that this thread is serving.
static _Thread_local struct {
    uint32_t opcode;
    bool init_done; // INIT was answered
    // INIT: those of our flags that the kernel knows.
    uint32_t offers, offers2;
    bool kills_suid;
    bool kills_sgid;
    bool is_direct;
    bool is_written_back;
    bool is_tmpfile;
    bool is_statx;
} request;

// What was agreed; set by INIT, before there are threads.
static uint32_t agreed, agreed2;
static bool want_idmap, want_uring;

bool protocol_init_done(void)
{
    return request.init_done;
}

void protocol_want_idmap(void)
{
    want_idmap = true;
}

void protocol_want_uring(void)
{
    want_uring = true;
}

bool protocol_has_uring(void)
{
    return agreed2 & URING2;
}

bool protocol_kills_suid(void)
{
    return request.kills_suid;
}

bool protocol_kills_sgid(void)
{
    return request.kills_sgid;
}

bool protocol_is_direct(void)
{
    return request.is_direct;
}

bool protocol_is_written_back(void)
{
    return request.is_written_back;
}

bool protocol_is_tmpfile(void)
{
    return request.is_tmpfile;
}

bool protocol_is_statx(void)
{
    return request.is_statx;
}

bool protocol_maps_direct_files(void)
{
    return agreed2 & MMAP2;
}

// ------------------------------------------------------------------------------- replies

static void amend_init(const struct fuse_out_header *header, struct fuse_init_out *reply,
                       size_t size)
{
    if (header->error || size < FUSE_COMPAT_22_INIT_OUT_SIZE || reply->major != FUSE_KERNEL_VERSION)
        return;
    reply->flags |= request.offers;
    agreed = request.offers;
    if (!want_idmap)
        request.offers2 &= ~IDMAP2;
    if (!want_uring)
        request.offers2 &= ~URING2;
    if (request.offers2 && size >= sizeof *reply) {
        reply->flags |= FUSE_INIT_EXT;
        reply->flags2 |= request.offers2;
        agreed2 = request.offers2;
    }
    request.init_done = true;
}

// `reply` ends with a fuse_open_out.
static void amend_open(const struct fuse_out_header *header, void *reply, size_t size)
{
    struct fuse_open_out *open = (void *)((char *)reply + size - sizeof *open);
    if (!header->error && size >= sizeof *open && open->open_flags & FOPEN_DIRECT_IO)
        open->open_flags |= FOPEN_PARALLEL_DIRECT_WRITES;
}

void protocol_reply(const struct iovec *iov, int count)
{
    if (count == 2 && request.opcode == FUSE_INIT)
        amend_init(iov[0].iov_base, iov[1].iov_base, iov[1].iov_len);
    else if (count == 2 && (request.opcode == FUSE_OPEN || request.opcode == FUSE_CREATE))
        amend_open(iov[0].iov_base, iov[1].iov_base, iov[1].iov_len);
}

static struct statx_time statx_time(struct timespec t)
{
    return (struct statx_time){.sec = t.tv_sec, .nsec = (uint32_t)t.tv_nsec};
}

void protocol_reply_statx(fuse_req_t req, const struct ns_attr *attr, double timeout_s)
{
    assert(request.is_statx);
    const struct statx_reply reply = {
        .valid_s = (uint64_t)timeout_s,
        .mask = STATX_BASIC_STATS | STATX_BTIME,
        .blksize = 4096,
        .nlink = attr->nlink,
        .uid = attr->uid,
        .gid = attr->gid,
        .mode = (uint16_t)attr->mode,
        .ino = attr->ino,
        .size = attr->size,
        .blocks = attr->blocks,
        .atime = statx_time(attr->atime),
        .btime = statx_time(attr->btime),
        .ctime = statx_time(attr->ctime),
        .mtime = statx_time(attr->mtime),
        .rdev_major = major(attr->rdev),
        .rdev_minor = minor(attr->rdev),
    };
    fuse_reply_buf(req, (const char *)&reply, sizeof reply);
}

// ------------------------------------------------------------------------------- requests

static void note_init(const struct fuse_init_in *in, size_t size)
{
    if (size < 16) // fuse_init_in of protocol 7.6
        return;
    request.offers = in->flags & OURS;
    if (in->flags & FUSE_INIT_EXT && size >= sizeof *in)
        request.offers2 = in->flags2 & (MMAP2 | IDMAP2 | URING2);
}

// Notes and removes what FUSE_SETXATTR_EXT has added.
static void note_setxattr(struct fuse_buf *buf)
{
    struct fuse_in_header *header = buf->mem;
    uint8_t *body = (uint8_t *)(header + 1);
    const size_t added = sizeof(struct fuse_setxattr_in) - FUSE_COMPAT_SETXATTR_IN_SIZE;
    size_t size = buf->size - sizeof *header;
    if (!(agreed & FUSE_SETXATTR_EXT) || size < sizeof(struct fuse_setxattr_in))
        return;
    const struct fuse_setxattr_in *in = (const void *)body;
    request.kills_sgid = in->setxattr_flags & FUSE_SETXATTR_ACL_KILL_SGID;
    memmove(body + FUSE_COMPAT_SETXATTR_IN_SIZE, body + sizeof *in, size - sizeof *in);
    buf->size -= added;
    header->len -= (uint32_t)added;
}

void protocol_request(struct fuse_buf *buf)
{
    struct fuse_in_header *header = buf->mem;
    const void *body = header + 1;
    size_t size = buf->size - sizeof *header;
    memset(&request, 0, sizeof request);
    request.opcode = header->opcode;
    switch (header->opcode) {
    case FUSE_INIT:
        note_init(body, size);
        break;
    case FUSE_WRITE:
        if (size >= sizeof(struct fuse_write_in)) {
            const struct fuse_write_in *in = body;
            request.kills_suid = in->write_flags & FUSE_WRITE_KILL_SUIDGID;
            request.is_direct = in->write_flags & FUSE_WRITE_LOCKOWNER;
            request.is_written_back = in->write_flags & FUSE_WRITE_CACHE;
        }
        break;
    case FUSE_READ:
        if (size >= sizeof(struct fuse_read_in)) {
            const struct fuse_read_in *in = body;
            request.is_direct = in->read_flags & FUSE_READ_LOCKOWNER;
        }
        break;
    case FUSE_OPEN:
        if (size >= sizeof(struct fuse_open_in)) {
            const struct fuse_open_in *in = body;
            request.kills_suid = in->open_flags & FUSE_OPEN_KILL_SUIDGID;
        }
        break;
    case FUSE_TMPFILE:
        request.is_tmpfile = true;
        request.opcode = header->opcode = FUSE_CREATE;
        break;
    case OPCODE_STATX: // begins as fuse_getattr_in does
        request.is_statx = true;
        request.opcode = header->opcode = FUSE_GETATTR;
        break;
    case FUSE_SETXATTR:
        note_setxattr(buf);
        break;
    default:
        break;
    }
}
