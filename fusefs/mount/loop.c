// The receive loop.
//
// Every thread blocks in read(2) on the one FUSE descriptor; the kernel wakes one of them for each
// request, which then runs to its reply on that thread. With `spin_us` a thread first looks for
// that long whether a request is there already, which saves the price of a sleep and a wake-up when
// requests follow each other closely.
//
// All traffic goes through the two hooks of fuse_session_custom_io(), and past protocol.h, which
// knows what libfuse does not.
//
// The end: when the mount goes away, read(2) returns ENODEV in every thread. loop_stop() is for
// ending while the mount still exists: it sets libfuse's exit flag and interrupts the threads with
// a signal whose handler does nothing; loop_join() repeats the signal until they have seen the
// flag, as one that arrives just before read(2) is lost.
#include "mount/loop.h"

#include <errno.h>
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
#include "mount/protocol.h"

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

// -------------------------------------------------------------------------------- libfuse's hooks

static ssize_t loop_read(int fd, void *data, size_t size, void *userdata)
{
    (void)userdata;
    return read(fd, data, size);
}

static ssize_t loop_writev(int fd, struct iovec *iov, int count, void *userdata)
{
    (void)userdata;
    protocol_reply(iov, count);
    return writev(fd, iov, count);
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
    protocol_request(buf);
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
    while (result == 0 && !protocol_init_done() && !fuse_session_exited(loop->session))
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
