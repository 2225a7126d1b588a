// FUSE over io_uring: Linux 6.14 and later, where /sys/module/fuse/parameters/enable_uring is Y.
//
// The kernel has a queue for every processor, and puts a request on the queue of the processor its
// caller runs on. What we register on a queue are entries (uring_entry.h). An entry takes one
// request; one system call hands in its reply, makes it ready for the next request, and waits for
// that one. The caller wakes a thread on its own processor, where its data is warm, and which would
// be idle otherwise. FORGET and INTERRUPT still come by the device, which one thread reads, and
// notifications leave by it.
//
// Workers. An entry belongs to the thread that made it ready last: only that thread, through its
// own ring, learns of the request. So each worker has one entry, and the kernel never gives a
// request to a worker that is busy, however long it may be. When the last idle worker of a queue
// takes a request, it starts another, up to as many as `threads` says: there is always somebody for
// the next request of every processor. The kernel prefers the worker that was ready last, so that
// those for the bad times sleep. Queues of processors that are not there share one worker.
//
// Large requests would take turns on one processor while others are idle: a worker that gets one
// leaves its processor, and is bound to it again after some small ones.
//
// What is answered later (an fsync that another one leads, a seek that waits for pages) keeps its
// entry. Its worker waits for the answer, which another thread gives, and does not count as one
// that serves: another takes its place, whatever the limit, because the answer may depend on
// requests that come after it.
//
// Start: the workers make their rings before INIT is answered, because a kernel that was told of
// io_uring sends nothing until every queue has an entry. If the kernel refuses an entry, it goes
// back to the device by itself, and so do we.
//
// Thread safety: a worker is its thread's, but for `unique`, `entry` and what its mutex guards. The
// list of workers only grows, until all threads have ended.
#include <assert.h>
#include <errno.h>
#include <liburing.h>
#include <linux/fuse.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/clock.h"
#include "mount/counts.h"
#include "mount/cpus.h"
#include "mount/messages.h"
#include "mount/protocol.h"
#include "mount/transport_internal.h"
#include "mount/uring_entry.h"

// As of protocol 7.42, which is newer than the headers of some distributions.
enum { CMD_REGISTER = 1, CMD_COMMIT_AND_FETCH = 2 };

#define NUDGE (UINT64_C(1) << 62) // queue_nudge()'s requests count from here; the kernel's from 2

#define LARGE   (64u << 10) // bytes
#define LONG_US 20000
#define SETTLE  16 // small requests after which a worker is bound to its processor again

struct uring_command { // in the second half of a submission
    uint64_t flags;
    uint64_t commit_id;
    uint16_t qid;
    uint8_t padding[6];
};

struct queue {
    struct crew crew; // the first; `idle`: entries that are ready for a request
    unsigned qid;
    atomic_int entries;  // ready or not
    atomic_uint serving; // workers that were started for it and do not wait for an answer
};

struct worker {
    struct worker *next; // set before it is in the list
    struct transport *transport;
    struct io_uring ring;
    bool roams;          // is not bound to the queue's processor
    unsigned small;      // requests since the last large one, while it roams
    bool late;           // started when the others served already
    bool extra;          // the guard has added it
    atomic_bool spare;   // it could not start; another one that is to start may be it
    struct queue *queue; // NULL: serves those of processors that are not there
    struct uring_entry *entries;
    unsigned count;
    // The request that it serves: `unique` is stored, with release order, after `entry`; 0: there
    // is none, or it has been answered.
    struct uring_entry *entry;
    _Atomic uint64_t unique;
    // While the worker waits for an answer that depends on other requests, which may be in its
    // queue: that queue and the file that the answer is about. Stored before the worker looks at
    // `idle`; who makes an entry ready raises `idle` before looking here. So at least one of the
    // two sees the other.
    _Atomic uint64_t depends;
    _Atomic(const struct queue *) waits_in;
    pthread_mutex_t mutex;   // a leaf: for waiting until somebody else has set `unique` to 0
    pthread_cond_t answered; // with `mutex`: `unique` was set to 0
};

extern struct lock_role uring_mutex, worker_mutex;

enum step { STEP_MADE, STEP_REGISTERED, STEPS };

struct uring {
    unsigned queue_count;
    struct queue *queues;
    _Atomic(struct worker *) workers; // the last one first
    unsigned started;                 // workers at the beginning; constant when they are
    pthread_mutex_t mutex;            // a leaf
    pthread_cond_t changed;
    bool go GUARDED_BY(uring_mutex);   // INIT was answered: the entries can be registered
    bool over GUARDED_BY(uring_mutex); // the entries are not needed, or not any more
    // So many of those at the beginning have their ring, have registered their entries, or failed.
    unsigned reached[STEPS] GUARDED_BY(uring_mutex);
    int rc GUARDED_BY(uring_mutex); // the first failure, a negative errno
};

LOCK_FUNCTIONS(uring, struct uring, mutex, uring_mutex)
LOCK_FUNCTIONS(worker, struct worker, mutex, worker_mutex)

static _Thread_local struct worker *this_worker;

static struct uring *uring_of(const struct transport *transport)
{
    return transport->state;
}

// ------------------------------------------------------------------------------------- the worker

static void worker_free(struct worker *worker)
{
    for (unsigned i = 0; i < worker->count; i++)
        uring_entry_release(&worker->entries[i]);
    free(worker->entries);
    pthread_cond_destroy(&worker->answered);
    pthread_mutex_destroy(&worker->mutex);
    free(worker);
}

// With one entry on `queue`, or one on the queue of every processor that is not there.
static struct worker *worker_new(struct transport *transport, struct queue *queue)
{
    struct uring *uring = uring_of(transport);
    struct worker *worker = calloc(1, sizeof *worker);
    if (!worker)
        return NULL;
    worker->transport = transport;
    worker->queue = queue;
    pthread_mutex_init(&worker->mutex, NULL);
    pthread_cond_init(&worker->answered, NULL);
    worker->entries = calloc(queue ? 1 : uring->queue_count, sizeof *worker->entries);
    bool ok = worker->entries;
    for (unsigned i = 0; ok && i < uring->queue_count; i++) {
        if (queue ? queue->qid != i : cpu_online(i))
            continue;
        ok = uring_entry_init(&worker->entries[worker->count], i) == 0;
        worker->count += ok;
    }
    if (!ok) {
        worker_free(worker);
        return NULL;
    }
    return worker;
}

static int worker_ring(struct worker *worker)
{
    struct io_uring_params params = {.flags = IORING_SETUP_SQE128 | IORING_SETUP_SINGLE_ISSUER |
                                              IORING_SETUP_DEFER_TASKRUN};
    int rc = io_uring_queue_init_params(worker->count, &worker->ring, &params);
    if (rc == 0)
        io_uring_register_ring_fd(&worker->ring); // spares a look-up; it may be refused
    return rc;
}

// Puts a command for an entry into the ring, which has room for one of each.
static void worker_command(struct worker *worker, struct uring_entry *entry, uint32_t number)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&worker->ring);
    if (!sqe)
        abort();
    memset(sqe, 0, 2 * sizeof *sqe);
    sqe->opcode = IORING_OP_URING_CMD;
    sqe->fd = fuse_session_fd(worker->transport->session);
    sqe->user_data = (uintptr_t)entry;
    sqe->addr = (uintptr_t)entry->iov;
    sqe->len = 2;
    sqe->cmd_op = number;
    const struct uring_command command = {.commit_id = entry->commit_id, .qid = entry->qid};
    memcpy(sqe->cmd, &command, sizeof command);
}

// 0 or a negative errno. What the kernel refuses it says at once.
static int worker_register(struct worker *worker)
{
    struct uring *uring = uring_of(worker->transport);
    for (unsigned i = 0; i < worker->count; i++) {
        struct queue *queue = &uring->queues[worker->entries[i].qid];
        atomic_fetch_add(&queue->entries, 1);
        atomic_fetch_add(&queue->crew.idle, 1);
        worker_command(worker, &worker->entries[i], CMD_REGISTER);
    }
    int rc = io_uring_submit(&worker->ring);
    struct io_uring_cqe *cqe;
    unsigned head;
    // A completion that is no error brings a request.
    io_uring_for_each_cqe(&worker->ring, head, cqe) rc = cqe->res < 0 ? cqe->res : rc;
    for (unsigned i = 0; rc < 0 && i < worker->count; i++) {
        struct queue *queue = &uring->queues[worker->entries[i].qid];
        atomic_fetch_sub(&queue->crew.idle, 1);
        atomic_fetch_sub(&queue->entries, 1);
    }
    return rc < 0 ? rc : 0;
}

// The kernel gives what had to wait for an entry to whoever hands in a reply next on that queue,
// and not to an entry that is new. If all who could do so wait for an answer that depends on what
// is in the queue (a seek, on the pages that are to be written first), or are at requests that do
// not end, nothing would ever move. So the calling thread, on the queue's processor, has the kernel
// send a request there that says nothing (the outcome of a retrieval of no bytes): an idle worker
// answers it, and gets the next. The kernel wants a regular file for that which it knows: the one
// in which somebody waits, or any that it has asked for lately. False: there is none.
static bool queue_nudge(struct transport *transport, const struct queue *queue)
{
    static _Atomic uint64_t nudges;
    struct {
        struct fuse_out_header header;
        struct fuse_notify_retrieve_out retrieve;
    } notification = {
        .header = {.len = sizeof notification, .error = FUSE_NOTIFY_RETRIEVE},
        // The kernel finds by it whose reply is handed in: two of a queue must not share a number.
        .retrieve = {.notify_unique = NUDGE + 2 * atomic_fetch_add(&nudges, 1)},
    };
    struct worker *worker = atomic_load(&uring_of(transport)->workers);
    const int fd = fuse_session_fd(transport->session);
    if (!cpu_pin(queue->qid))
        return false;
    if (this_worker)
        this_worker->roams = false;
    for (; worker; worker = worker->next) {
        if (atomic_load(&worker->waits_in) != queue)
            continue;
        notification.retrieve.nodeid = atomic_load(&worker->depends);
        if (write(fd, &notification, sizeof notification) > 0)
            return true;
    }
    for (unsigned i = 0; i < TRANSPORT_FILES; i++) {
        notification.retrieve.nodeid =
            atomic_load_explicit(&transport_files[i], memory_order_relaxed);
        if (notification.retrieve.nodeid && write(fd, &notification, sizeof notification) > 0)
            return true;
    }
    return false;
}

// A statfs(2) of the mount by this process itself, on processor `cpu`: a request comes of it.
struct errand {
    unsigned cpu;
    char path[];
};

// When the process is killed, the kernel ends this request only once the device is closed, and the
// thread only once the request has ended: so it must not have the device open.
static void *errand_run(void *arg)
{
    struct errand *errand = arg;
    struct statfs fs;
    if (close_range(0, ~0u, CLOSE_RANGE_UNSHARE) == 0 && cpu_pin(errand->cpu))
        (void)!statfs(errand->path, &fs);
    free(errand);
    return NULL;
}

// Has the kernel send a request on the queue, by a system call of a new thread. Nobody waits for
// that thread, since its call may take as long as other requests do. The call keeps the mount in
// use meanwhile, so this is done only where nothing else helps.
static bool queue_request(struct transport *transport, const struct queue *queue)
{
    size_t size = strlen(transport->mountpoint) + 1;
    struct errand *errand = malloc(sizeof *errand + size);
    pthread_t thread;
    if (!errand)
        return false;
    errand->cpu = queue->qid;
    memcpy(errand->path, transport->mountpoint, size);
    if (pthread_create(&thread, NULL, errand_run, errand)) {
        free(errand);
        return false;
    }
    pthread_detach(thread);
    return true;
}

// For the guard: has a request sent on the queue where a worker could not. Not needed if all
// workers are idle: who ends a request takes the next one, so nothing waits in the queue then.
static bool uring_urge(struct transport *transport, struct crew *crew)
{
    struct queue *queue = (struct queue *)crew;
    if (atomic_load(&crew->idle) >= atomic_load(&queue->entries))
        return true;
    bool sent = queue_nudge(transport, queue);
    cpu_unpin();
    return sent || queue_request(transport, queue);
}

static int worker_run(struct transport *transport, void *arg);

// One that could not start before, or else a new one. NULL: there is no memory.
static struct worker *worker_take(struct transport *transport, struct queue *queue)
{
    struct uring *uring = uring_of(transport);
    struct worker *worker = atomic_load(&uring->workers);
    for (; worker; worker = worker->next) {
        bool spare = true;
        if (worker->queue == queue && atomic_compare_exchange_strong(&worker->spare, &spare, false))
            return worker;
    }
    worker = worker_new(transport, queue);
    if (!worker)
        return NULL;
    worker->next = atomic_load(&uring->workers);
    while (!atomic_compare_exchange_weak(&uring->workers, &worker->next, worker))
        ;
    return worker;
}

enum when { AT_FIRST, LATE, EXTRA };

// Starts a worker: when the transport starts; when the others serve already; or for the guard. 0 or
// a negative errno.
static int worker_start(struct transport *transport, struct queue *queue, enum when when)
{
    struct worker *worker = worker_take(transport, queue);
    if (!worker)
        return -ENOMEM;
    worker->late = when != AT_FIRST;
    worker->extra = when == EXTRA;
    if (queue)
        atomic_fetch_add(&queue->serving, 1);
    int rc = transport_thread(transport, worker_run, worker);
    if (rc < 0) {
        if (queue)
            atomic_fetch_sub(&queue->serving, 1);
        atomic_store(&worker->spare, true);
    }
    return rc;
}

// Starts another worker for the queue, unless as many as there may be are at work: then the guard
// sees to it, as it does if none could be started.
static void queue_grow(struct transport *transport, struct queue *queue)
{
    if (transport_ends(transport))
        return;
    if (atomic_load(&queue->serving) >= transport->threads ||
        worker_start(transport, queue, LATE) < 0)
        crew_watch(transport);
}

static int uring_reinforce(struct transport *transport, struct crew *crew)
{
    return worker_start(transport, (struct queue *)crew, EXTRA);
}

static struct crew *uring_crew(struct transport *transport, unsigned i)
{
    struct uring *uring = uring_of(transport);
    return i < uring->queue_count ? &uring->queues[i].crew : NULL;
}

// ------------------------------------------------------------------------------------ one request

// Waits for somebody else to answer the request, which is about file `depends` if that is not 0.
static void worker_wait(struct worker *worker, struct queue *queue, uint64_t depends)
{
    atomic_store(&worker->depends, depends);
    atomic_store(&worker->waits_in, depends ? queue : NULL);
    atomic_fetch_sub(&queue->serving, 1);
    if (atomic_load(&queue->crew.idle) == 0)
        queue_grow(worker->transport, queue);
    else if (depends)
        queue_nudge(worker->transport, queue);
    worker_lock(worker);
    while (atomic_load_explicit(&worker->unique, memory_order_relaxed))
        pthread_cond_wait(&worker->answered, &worker->mutex);
    worker_unlock(worker);
    atomic_store(&worker->waits_in, NULL);
    atomic_fetch_add(&queue->serving, 1);
}

// Whether the request carries, or asks for, so much that it is worth another processor.
static bool is_large(const struct uring_entry *entry, const struct fuse_buf *buf)
{
    const struct fuse_in_header *header = buf->mem;
    const struct fuse_read_in *read = (const void *)(header + 1);
    if (header->opcode == FUSE_READ && buf->size >= sizeof *header + sizeof *read)
        return read->size >= LARGE;
    return entry->taken >= LARGE;
}

// Leaves the queue's processor for large requests, of which the kernel sends several at a time, and
// comes back when there have been none for a while.
static void worker_place(struct worker *worker, bool large)
{
    if (large) {
        worker->small = 0;
        if (!worker->roams)
            cpu_unpin();
        worker->roams = true;
    } else if (worker->roams && worker->queue && ++worker->small >= SETTLE) {
        worker->roams = !cpu_pin(worker->queue->qid);
        worker->small = 0;
    }
}

// Has libfuse serve the request that has come.
static void worker_process(struct worker *worker, struct uring_entry *entry)
{
    struct transport *transport = worker->transport;
    struct fuse_buf buf;
    if (uring_entry_request(entry, &buf)) {
        uring_entry_fail(entry, EPROTO);
        return;
    }
    const struct fuse_in_header *header = buf.mem;
    if (header->opcode == FUSE_NOTIFY_REPLY) { // queue_nudge()
        uring_entry_fail(entry, 0);
        return;
    }
    worker_place(worker, is_large(entry, &buf));
    // An fsync waits only for the disk, so its answer does not depend on other requests.
    bool syncs = header->opcode == FUSE_FSYNC || header->opcode == FUSE_FSYNCDIR;
    const uint64_t depends = syncs ? 0 : header->nodeid;
    worker->entry = entry;
    atomic_store_explicit(&worker->unique, header->unique, memory_order_release);
    transport_entry = entry;
    struct counted counted;
    counts_begin(&counted, &buf);
    transport_handle(transport, &buf);
    transport_entry = NULL;
    if (atomic_load_explicit(&worker->unique, memory_order_acquire))
        worker_wait(worker, &uring_of(transport)->queues[entry->qid], depends);
    counts_end(&counted);
}

static void worker_serve(struct worker *worker, struct uring_entry *entry)
{
    struct queue *queue = &uring_of(worker->transport)->queues[entry->qid];
    int idle = atomic_fetch_sub(&queue->crew.idle, 1);
    assert(idle > 0);
    if (idle == 1)
        queue_grow(worker->transport, queue);
    uint64_t since = worker->extra ? clock_us() : 0;
    worker_process(worker, entry);
    if (worker->extra && entry->taken >= LARGE && clock_us() - since > LONG_US)
        uring_entry_shrink(entry); // it was started for such times, and may sleep from now on
    crew_end(&queue->crew);
    worker_command(worker, entry, CMD_COMMIT_AND_FETCH);
}

static bool uring_reply(struct transport *transport, const struct iovec *iov, int count)
{
    const struct fuse_out_header *out = iov[0].iov_base;
    struct worker *worker = this_worker;
    if (out->unique == 0) // a notification
        return false;
    if (!worker || atomic_load_explicit(&worker->unique, memory_order_relaxed) != out->unique)
        for (worker = atomic_load(&uring_of(transport)->workers); worker; worker = worker->next)
            if (atomic_load_explicit(&worker->unique, memory_order_acquire) == out->unique)
                break;
    if (!worker) // the request came by the device
        return false;
    assert(worker->entry);
    uring_entry_reply(worker->entry, iov, count);
    if (worker == this_worker) {
        atomic_store_explicit(&worker->unique, 0, memory_order_relaxed);
        return true;
    }
    worker_lock(worker);
    atomic_store_explicit(&worker->unique, 0, memory_order_release);
    pthread_cond_signal(&worker->answered);
    worker_unlock(worker);
    return true;
}

// Serves until the end. 0 or a negative errno.
static int worker_loop(struct worker *worker)
{
    while (!transport_ends(worker->transport)) {
        int rc = io_uring_submit_and_wait(&worker->ring, 1);
        if (rc < 0 && rc != -EINTR && rc != -EAGAIN)
            return rc;
        while (io_uring_cq_ready(&worker->ring)) {
            struct io_uring_cqe *cqe;
            io_uring_peek_cqe(&worker->ring, &cqe);
            struct uring_entry *entry = (void *)(uintptr_t)cqe->user_data;
            rc = cqe->res;
            io_uring_cqe_seen(&worker->ring, cqe);
            if (rc == -ENOTCONN || rc == -ECONNABORTED || rc == -ECANCELED)
                return 0;
            if (rc < 0)
                return rc;
            worker_serve(worker, entry);
            if (io_uring_cq_ready(&worker->ring))
                io_uring_submit(&worker->ring);
        }
    }
    return 0;
}

// Counts that the worker has got so far or, if `rc` is not 0, that it has not. Waits until the next
// step may be made; false: there is none.
static bool worker_report(struct worker *worker, enum step step, int rc)
{
    struct uring *uring = uring_of(worker->transport);
    uring_lock(uring);
    uring->reached[step]++;
    if (rc && !uring->rc)
        uring->rc = rc;
    pthread_cond_broadcast(&uring->changed);
    while (!rc && !uring->go && !uring->over)
        pthread_cond_wait(&uring->changed, &uring->mutex);
    bool goes_on = !rc && !uring->over;
    uring_unlock(uring);
    return goes_on;
}

// Of a worker that could not start. The others go on without it.
static void worker_failed(struct worker *worker, int rc)
{
    messages_write(LOG_INFO, "a thread for io_uring could not start: %s", strerror(-rc));
    if (worker->queue)
        atomic_fetch_sub(&worker->queue->serving, 1);
    if (worker->extra) {
        atomic_fetch_sub(&worker->transport->guard.extra, 1);
        atomic_store(&worker->queue->crew.failed, true);
    }
    atomic_store(&worker->spare, true); // from now on it may be another thread's
}

static int worker_run(struct transport *transport, void *arg)
{
    struct worker *worker = arg;
    this_worker = worker;
    // queue_nudge() works only on the queue's processor.
    int rc = worker->queue && !cpu_pin(worker->queue->qid) ? -EPERM : worker_ring(worker);
    bool has_ring = rc == 0;
    bool goes_on = worker_report(worker, STEP_MADE, rc);
    if (goes_on) {
        rc = worker_register(worker);
        // For the requests that came while nobody was idle.
        if (rc == 0 && worker->late && !queue_nudge(transport, worker->queue)) {
            atomic_fetch_add(&worker->queue->crew.overlooked, 1);
            crew_watch(transport);
        }
        goes_on = worker_report(worker, STEP_REGISTERED, rc);
    }
    int failure = goes_on ? 0 : rc; // 0 too of one that is not needed any more
    rc = goes_on ? worker_loop(worker) : 0;
    if (has_ring)
        io_uring_queue_exit(&worker->ring);
    if (failure)
        worker_failed(worker, failure);
    return rc;
}

// ---------------------------------------------------------------------------------- start and end

static void uring_release(struct transport *transport)
{
    struct uring *uring = uring_of(transport);
    if (!uring)
        return;
    uring_lock(uring);
    uring->over = true;
    pthread_cond_broadcast(&uring->changed);
    uring_unlock(uring);
    transport_retreat(transport);
    for (struct worker *worker = atomic_load(&uring->workers), *next; worker; worker = next) {
        next = worker->next;
        worker_free(worker);
    }
    pthread_cond_destroy(&uring->changed);
    pthread_mutex_destroy(&uring->mutex);
    free(uring->queues);
    free(uring);
    transport->state = NULL;
}

// Waits until as many as were started are counted. 0 or the first failure.
static int wait_for_all(struct uring *uring, enum step step)
{
    uring_lock(uring);
    while (uring->reached[step] < uring->started)
        pthread_cond_wait(&uring->changed, &uring->mutex);
    int rc = uring->rc;
    uring_unlock(uring);
    return rc;
}

static int uring_prepare(struct transport *transport)
{
    struct uring *uring = calloc(1, sizeof *uring);
    if (!uring)
        return -ENOMEM;
    transport->state = uring;
    pthread_mutex_init(&uring->mutex, NULL);
    pthread_cond_init(&uring->changed, NULL);
    unsigned count = cpus_possible(), absent = 0;
    uring->queues = calloc(count, sizeof *uring->queues);
    if (!uring->queues)
        return -ENOMEM;
    uring->queue_count = count;
    for (unsigned i = 0; i < count; i++)
        uring->queues[i].qid = i;
    int rc = 0;
    for (unsigned i = 0; rc == 0 && i < count; i++) {
        if (cpu_online(i)) {
            uring->started++;
            rc = worker_start(transport, &uring->queues[i], AT_FIRST);
        } else {
            absent++;
        }
    }
    if (rc == 0 && absent) {
        uring->started++;
        rc = worker_start(transport, NULL, AT_FIRST);
    }
    if (rc == 0)
        rc = wait_for_all(uring, STEP_MADE);
    if (rc == 0)
        protocol_want_uring();
    return rc;
}

static int uring_start(struct transport *transport)
{
    struct uring *uring = uring_of(transport);
    if (!protocol_has_uring())
        return 1;
    // The kernel sends nothing from now on until it has all entries, or has refused one.
    int rc = transport_thread(transport, transport_serve_device, NULL);
    if (rc < 0)
        return rc;
    uring_lock(uring);
    uring->go = true;
    pthread_cond_broadcast(&uring->changed);
    uring_unlock(uring);
    return wait_for_all(uring, STEP_REGISTERED) ? 1 : 0;
}

const struct transport_kind transport_uring = {
    .name = "uring",
    .prepare = uring_prepare,
    .start = uring_start,
    .crew = uring_crew,
    .reinforce = uring_reinforce,
    .urge = uring_urge,
    .reply = uring_reply,
    .release = uring_release,
};
