// The receive loop.
//
// Every thread blocks in read(2) on the one FUSE descriptor; the kernel wakes one of them for each
// request, which then runs to its reply on that thread. With `spin_us` a thread first looks for
// that long whether a request is there already, which saves the price of a sleep and a wake-up when
// requests follow each other closely.
//
// All traffic goes through the two hooks of fuse_session_custom_io(), because there are things of
// the protocol that libfuse 3.14 neither offers nor passes on. The INIT reply is amended on its way
// out when the kernel offers them, and what comes with them in a request is noted, per thread,
// while that request is being served:
//  - FUSE_HANDLE_KILLPRIV_V2, which a FUSE file system with a write-back cache wants: without it
//  the
//    kernel asks for the file's security.capability attribute before every single write(2), to see
//    whether it has to be removed. With it a request says "clear setuid and setgid".
//  - FUSE_SETXATTR_EXT: whether setting an access control list clears setgid. It makes the request
//    8 bytes longer, which are taken out again before libfuse sees them.
//  - FUSE_TMPFILE, which is a CREATE without a name: it is passed on as one.
//  - FUSE_DIRECT_IO_ALLOW_MMAP: files that were opened with O_DIRECT can be direct for the kernel
//    too and still be mapped. Then FOPEN_PARALLEL_DIRECT_WRITES, added to the reply of the OPEN,
//    lets writes that do not extend the file go side by side.
//
// The end: when the mount goes away, read(2) returns ENODEV in every thread. loop_stop() is for
// ending while the mount still exists: it sets libfuse's exit flag and interrupts the threads with
// a signal whose handler does nothing; loop_join() repeats the signal until they have seen the
// flag, as one that arrives just before read(2) is lost.
#include "mount/loop.h"

#include <errno.h>
#include <linux/fuse.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/cond.h"
#include "mount/log.h"

#define KICK_SIGNAL SIGUSR1

struct loop {
    struct fuse_session *session;
    unsigned threads;
    unsigned spin_us;
    int ended_fd;
    atomic_uint running; // threads that have not ended
    atomic_int error;    // the first failed read's errno, negative
    unsigned started;
    pthread_t *ids;
};

// The request that this thread is serving.
static _Thread_local struct {
    uint32_t opcode;
    bool init_done; // the kernel was told that we agree
    // INIT: those of OURS and OURS2 that the kernel knows.
    uint32_t offers, offers2;
    bool kills_suid;
    bool kills_sgid;
    bool is_tmpfile;
} request;

// Flags of INIT that libfuse does not know.
#define OURS (FUSE_HANDLE_KILLPRIV_V2 | FUSE_SETXATTR_EXT)

#ifndef FUSE_DIRECT_IO_ALLOW_MMAP
#define FUSE_DIRECT_IO_ALLOW_MMAP (1ULL << 36)
#endif
#define OURS2 ((uint32_t)(FUSE_DIRECT_IO_ALLOW_MMAP >> 32)) // in `flags2`

static uint32_t agreed, agreed2; // of OURS, OURS2; set by INIT, before there are threads

bool loop_request_kills_suid(void)
{
    return request.kills_suid;
}

bool loop_request_kills_sgid(void)
{
    return request.kills_sgid;
}

bool loop_request_is_tmpfile(void)
{
    return request.is_tmpfile;
}

bool loop_handles_suid(void)
{
    return agreed & FUSE_HANDLE_KILLPRIV_V2;
}

bool loop_maps_direct_files(void)
{
    return agreed2 & OURS2;
}

// -------------------------------------------------------------------------------- libfuse's hooks

static ssize_t loop_read(int fd, void *data, size_t size, void *userdata)
{
    (void)userdata;
    return read(fd, data, size);
}

static void amend_init(const struct fuse_out_header *header, struct fuse_init_out *reply,
                       size_t size)
{
    if (header->error || size < FUSE_COMPAT_22_INIT_OUT_SIZE || reply->major != FUSE_KERNEL_VERSION)
        return;
    reply->flags |= request.offers;
    agreed = request.offers;
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

static ssize_t loop_writev(int fd, struct iovec *iov, int count, void *userdata)
{
    (void)userdata;
    if (count == 2 && request.opcode == FUSE_INIT)
        amend_init(iov[0].iov_base, iov[1].iov_base, iov[1].iov_len);
    else if (count == 2 && (request.opcode == FUSE_OPEN || request.opcode == FUSE_CREATE))
        amend_open(iov[0].iov_base, iov[1].iov_base, iov[1].iov_len);
    return writev(fd, iov, count);
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

// Notes what libfuse 3.14 does not pass on.
static void request_note(struct fuse_buf *buf)
{
    struct fuse_in_header *header = buf->mem;
    const void *body = header + 1;
    size_t size = buf->size - sizeof *header;
    memset(&request, 0, sizeof request);
    request.opcode = header->opcode;
    switch (header->opcode) {
    case FUSE_INIT:
        if (size >= 16) { // fuse_init_in of protocol 7.6
            const struct fuse_init_in *in = body;
            request.offers = in->flags & OURS;
            if (in->flags & FUSE_INIT_EXT && size >= sizeof *in)
                request.offers2 = in->flags2 & OURS2;
        }
        break;
    case FUSE_WRITE:
        if (size >= sizeof(struct fuse_write_in)) {
            const struct fuse_write_in *in = body;
            request.kills_suid = in->write_flags & FUSE_WRITE_KILL_SUIDGID;
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
    case FUSE_SETXATTR:
        note_setxattr(buf);
        break;
    default:
        break;
    }
}

// ------------------------------------------------------------------------------------ the threads

static uint64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

// Looks for a request for spin_us.
static void spin(const struct loop *loop)
{
    struct pollfd p = {.fd = fuse_session_fd(loop->session), .events = POLLIN};
    uint64_t end = now_us() + loop->spin_us;
    while (poll(&p, 1, 0) == 0 && now_us() < end)
        ;
}

// Serves one request. 0; 1 when the connection has ended; a negative errno.
static int serve_one(struct loop *loop, struct fuse_buf *buf)
{
    if (loop->spin_us)
        spin(loop);
    int n = fuse_session_receive_buf(loop->session, buf);
    if (n == -EINTR || n == -EAGAIN)
        return 0;
    if (n <= 0)
        return n ? n : 1;
    request_note(buf);
    fuse_session_process_buf(loop->session, buf);
    return 0;
}

static void *serve(void *arg)
{
    struct loop *loop = arg;
    struct fuse_buf buf = {0};
    int result = 0;
    while (result == 0 && !fuse_session_exited(loop->session))
        result = serve_one(loop, &buf);
    if (result < 0) {
        int none = 0;
        atomic_compare_exchange_strong(&loop->error, &none, result);
        fuse_session_exit(loop->session);
    }
    free(buf.mem);
    if (atomic_fetch_sub(&loop->running, 1) == 1) {
        uint64_t one = 1;
        if (write(loop->ended_fd, &one, sizeof one) != sizeof one)
            log_message(LOG_ERR, "eventfd: %s", strerror(errno));
    }
    return NULL;
}

static void on_kick(int sig)
{
    (void)sig;
}

int loop_new(struct fuse_session *session, unsigned threads, unsigned spin_us,
             struct loop **ret_loop)
{
    static const struct fuse_custom_io io = {.writev = loop_writev, .read = loop_read};
    struct loop *loop = calloc(1, sizeof *loop);
    int result = -ENOMEM;
    if (!loop)
        return result;
    loop->session = session;
    loop->threads = threads;
    loop->spin_us = spin_us;
    loop->ended_fd = eventfd(0, EFD_CLOEXEC);
    if (loop->ended_fd < 0) {
        result = -errno;
        goto fail;
    }
    loop->ids = calloc(threads, sizeof *loop->ids);
    if (!loop->ids)
        goto fail;
    result = fuse_session_custom_io(session, &io, fuse_session_fd(session));
    if (result < 0)
        goto fail;
    *ret_loop = loop;
    return 0;
fail:
    loop_free(loop);
    return result;
}

void loop_free(struct loop *loop)
{
    if (!loop)
        return;
    if (loop->ended_fd >= 0)
        close(loop->ended_fd);
    free(loop->ids);
    free(loop);
}

int loop_handshake(struct loop *loop)
{
    struct fuse_buf buf = {0};
    int result = 0;
    // A kernel with another major version sends INIT twice.
    while (result == 0 && !request.init_done && !fuse_session_exited(loop->session))
        result = serve_one(loop, &buf);
    free(buf.mem);
    return result > 0 || fuse_session_exited(loop->session) ? -ENODEV : result;
}

int loop_start(struct loop *loop)
{
    struct sigaction action = {.sa_handler = on_kick};
    sigemptyset(&action.sa_mask);
    sigaction(KICK_SIGNAL, &action, NULL);
    atomic_store(&loop->running, loop->threads);
    while (loop->started < loop->threads) {
        int error = pthread_create(&loop->ids[loop->started], NULL, serve, loop);
        if (error) {
            atomic_fetch_sub(&loop->running, loop->threads - loop->started);
            loop_stop(loop);
            loop_join(loop);
            return -error;
        }
        char name[16];
        snprintf(name, sizeof name, "lsmfs-%u", loop->started);
        pthread_setname_np(loop->ids[loop->started], name);
        loop->started++;
    }
    return 0;
}

int loop_ended_fd(const struct loop *loop)
{
    return loop->ended_fd;
}

void loop_stop(struct loop *loop)
{
    fuse_session_exit(loop->session);
    for (unsigned i = 0; i < loop->started; i++)
        pthread_kill(loop->ids[i], KICK_SIGNAL);
}

int loop_join(struct loop *loop)
{
    for (unsigned i = 0; i < loop->started; i++) {
        for (;;) {
            struct timespec until = time_after_us(20000);
            if (pthread_clockjoin_np(loop->ids[i], NULL, CLOCK_MONOTONIC, &until) == 0)
                break;
            if (fuse_session_exited(loop->session))
                pthread_kill(loop->ids[i], KICK_SIGNAL);
        }
    }
    loop->started = 0;
    return atomic_load(&loop->error);
}
