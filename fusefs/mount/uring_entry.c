// Layout of an entry: one page, and after it the payload.
//
//     page:     what the kernel calls headers (struct uring_headers), at its beginning
//               ... room ...
//               the request for libfuse: fuse_in_header, the fixed part of its arguments
//     payload:  the rest of the request (names, data), the end of what libfuse gets; then the reply
//
// The kernel keeps the fixed part apart from the rest. libfuse wants one piece: the two small ones
// are copied to just before the payload, which stays where the kernel has put it. The same memory
// takes the payload of the reply. What a handler reads for its reply into uring_entry_room() is
// there already.
#include "mount/uring_entry.h"

#include <errno.h>
#include <linux/fuse.h>
#include <string.h>
#include <sys/mman.h>

#define PAGE 4096

// As of protocol 7.42, which is newer than the headers of some distributions.
struct uring_headers {
    uint8_t in_out[128]; // fuse_in_header; the reply's fuse_out_header
    uint8_t op_in[128];  // the fixed part of the arguments
    struct {
        uint64_t flags;
        uint64_t commit_id;
        uint32_t payload_size;
        uint32_t padding;
        uint64_t reserved;
    } ent;
};
_Static_assert(sizeof(struct uring_headers) == 288, "fuse_uring_req_header of the protocol");
_Static_assert(sizeof(struct uring_headers) + sizeof(struct fuse_in_header) + 128 <= PAGE,
               "the headers and a request's fixed part share a page");

int uring_entry_init(struct uring_entry *entry, unsigned qid)
{
    // Pages come when they are touched: an entry that has seen no large request is small.
    void *memory = mmap(NULL, PAGE + URING_PAYLOAD_MAX, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        return -ENOMEM;
    entry->headers = memory;
    entry->payload = (uint8_t *)memory + PAGE;
    entry->iov[0] = (struct iovec){entry->headers, sizeof *entry->headers};
    entry->iov[1] = (struct iovec){entry->payload, URING_PAYLOAD_MAX};
    entry->qid = (uint16_t)qid;
    return 0;
}

void uring_entry_release(struct uring_entry *entry)
{
    if (entry->headers)
        munmap(entry->headers, PAGE + URING_PAYLOAD_MAX);
    entry->headers = NULL;
}

int uring_entry_request(struct uring_entry *entry, struct fuse_buf *ret_buf)
{
    const struct uring_headers *headers = entry->headers;
    struct fuse_in_header in;
    memcpy(&in, headers->in_out, sizeof in);
    size_t taken = headers->ent.payload_size;
    entry->commit_id = headers->ent.commit_id;
    entry->taken = 0;
    // The fixed part is a multiple of 8 bytes in every request, so libfuse finds it aligned.
    if (taken > URING_PAYLOAD_MAX || in.len < sizeof in + taken)
        return -EPROTO;
    size_t fixed = in.len - sizeof in - taken;
    if (fixed > sizeof headers->op_in || fixed % 8)
        return -EPROTO;
    uint8_t *start = entry->payload - fixed - sizeof in;
    memcpy(start, &in, sizeof in);
    memcpy(start + sizeof in, headers->op_in, fixed);
    entry->taken = taken;
    *ret_buf = (struct fuse_buf){.mem = start, .size = in.len};
    return 0;
}

void uring_entry_reply(struct uring_entry *entry, const struct iovec *iov, int count)
{
    struct fuse_out_header out = *(const struct fuse_out_header *)iov[0].iov_base;
    size_t size = 0;
    for (int i = 1; i < count; i++) {
        if (iov[i].iov_len > URING_PAYLOAD_MAX - size) {
            uring_entry_fail(entry, EIO);
            return;
        }
        // The bytes are not yet where they have to be.
        if (iov[i].iov_base != entry->payload + size)
            memmove(entry->payload + size, iov[i].iov_base, iov[i].iov_len);
        size += iov[i].iov_len;
    }
    memcpy(entry->headers->in_out, &out, sizeof out);
    entry->headers->ent.payload_size = (uint32_t)size;
}

void uring_entry_fail(struct uring_entry *entry, int error)
{
    struct fuse_out_header out = {.len = sizeof out, .error = -error, .unique = entry->commit_id};
    memcpy(entry->headers->in_out, &out, sizeof out);
    entry->headers->ent.payload_size = 0;
}

void uring_entry_shrink(struct uring_entry *entry)
{
    size_t kept = (entry->headers->ent.payload_size + PAGE - 1) / PAGE * PAGE;
    madvise(entry->payload + kept, URING_PAYLOAD_MAX - kept, MADV_DONTNEED);
}

void *uring_entry_room(struct uring_entry *entry, size_t size)
{
    size_t from = (entry->taken + 7) & ~(size_t)7;
    return size <= URING_PAYLOAD_MAX && from <= URING_PAYLOAD_MAX - size ? entry->payload + from
                                                                         : NULL;
}
