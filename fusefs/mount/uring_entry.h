// One entry of a queue of FUSE over io_uring: memory that the kernel writes a request to and reads
// the reply from. See uring_entry.c for its layout.
//
// Thread safety: an entry belongs to the thread that serves its request. Another thread may answer
// in its place, once: uring_entry_reply() on the entry that it has found by `unique`.
#ifndef LSMFS_MOUNT_URING_ENTRY_H
#define LSMFS_MOUNT_URING_ENTRY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "mount/fuse_api.h"

struct uring_headers;

struct uring_entry {
    struct uring_headers *headers;
    uint8_t *payload;
    struct iovec iov[2]; // headers and payload, as the kernel wants to be told of them
    uint64_t commit_id;  // names the request that is being answered
    size_t taken;        // bytes of the payload that belong to the request
    uint16_t qid;
};

// The most that the payload of a request or reply may have.
#define URING_PAYLOAD_MAX (1u << 20)

// Allocates. 0 or -ENOMEM.
int uring_entry_init(struct uring_entry *entry, unsigned qid);
void uring_entry_release(struct uring_entry *entry);

// Makes of the request that has come one piece, as libfuse wants it. It lies in the entry and is
// good until the reply. 0; -EPROTO if its lengths do not fit, which nothing but uring_entry_fail()
// may follow.
int uring_entry_request(struct uring_entry *entry, struct fuse_buf *ret_buf);

// Puts the reply in: a fuse_out_header and what belongs to it. One that is too long becomes EIO.
void uring_entry_reply(struct uring_entry *entry, const struct iovec *iov, int count);

// Puts a reply in that says only that the request has failed, with a positive errno.
void uring_entry_fail(struct uring_entry *entry, int error);

// Gives the memory behind the reply back to the system, after a large request that may be long the
// last one here.
void uring_entry_shrink(struct uring_entry *entry);

// Memory in the entry for up to `size` bytes of the reply, which then need not be copied; NULL: it
// has not so much.
void *uring_entry_room(struct uring_entry *entry, size_t size);

#endif
