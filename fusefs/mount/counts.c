// See counts.h.
//
// A thread's counters are a mapping of their own, of which an operation's histogram takes a page
// when it is first used. When the thread ends they stay as they are, and go to the next thread that
// begins. Only their thread writes, with relaxed stores, so readers may be a few requests behind.
//
// Locks: the mutex guards the list, a leaf.
#include "mount/counts.h"

#include <assert.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>

#include "base/lock_check.h"
#include "mount/slow.h"
#include "mount/transport.h"

struct request_counts {
    _Atomic uint64_t count, errors, ns;
    _Atomic uint32_t buckets[BUCKETS];
};

extern struct lock_role counts_mutex;

struct counts {
    struct counts *next; // constant once it is in the list
    bool used GUARDED_BY(counts_mutex);
    _Atomic uint64_t start_ns; // of the request being served; 0: none is
    _Atomic uint64_t read_bytes, written_bytes;
    struct request_counts ops[FIGURES_REQUESTS];
};

static struct all_counts {
    pthread_mutex_t mutex;
    struct counts *first GUARDED_BY(counts_mutex);
    pthread_once_t once;
    pthread_key_t key; // its destructor gives a thread's counters back
    uint64_t began_ns;
    struct lsmfs *fs;
} all = {.mutex = PTHREAD_MUTEX_INITIALIZER, .once = PTHREAD_ONCE_INIT};

LOCK_FUNCTIONS(all, struct all_counts, mutex, counts_mutex)

static _Thread_local struct counts *mine;
static _Thread_local struct counted *current;

// ------------------------------------------------------------------------------- a thread's own

static void give_back(void *arg)
{
    all_lock(&all);
    ((struct counts *)arg)->used = false;
    all_unlock(&all);
}

static void make_key(void)
{
    pthread_key_create(&all.key, give_back);
}

static struct counts *take(void)
{
    pthread_once(&all.once, make_key);
    all_lock(&all);
    struct counts *counts = all.first;
    while (counts && counts->used)
        counts = counts->next;
    if (!counts) {
        counts =
            mmap(NULL, sizeof *counts, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (counts == MAP_FAILED)
            counts = NULL;
        if (counts) {
            counts->next = all.first;
            all.first = counts;
        }
    }
    if (counts)
        counts->used = true;
    all_unlock(&all);
    if (counts)
        pthread_setspecific(all.key, counts);
    return counts;
}

static void add(_Atomic uint64_t *counter, uint64_t value)
{
    uint64_t now = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, now + value, memory_order_relaxed);
}

// ------------------------------------------------------------------------------- one request

// The name in a request, behind the fixed part of its operation.
static void copy_name(struct counted *counted, const struct fuse_buf *buf)
{
    static const struct {
        uint8_t op, fixed;
    } named[] = {{FUSE_LOOKUP, 0},
                 {FUSE_UNLINK, 0},
                 {FUSE_RMDIR, 0},
                 {FUSE_SYMLINK, 0},
                 {FUSE_MKDIR, sizeof(struct fuse_mkdir_in)},
                 {FUSE_MKNOD, sizeof(struct fuse_mknod_in)},
                 {FUSE_CREATE, sizeof(struct fuse_create_in)},
                 {FUSE_LINK, sizeof(struct fuse_link_in)},
                 {FUSE_RENAME, sizeof(struct fuse_rename_in)},
                 {FUSE_RENAME2, sizeof(struct fuse_rename2_in)}};
    counted->name[0] = 0;
    for (size_t i = 0; i < sizeof named / sizeof *named; i++) {
        size_t at = sizeof(struct fuse_in_header) + named[i].fixed;
        if (named[i].op != counted->op || buf->size <= at)
            continue;
        const char *name = (const char *)buf->mem + at;
        size_t size = strnlen(name, buf->size - at);
        size = size < COUNTS_NAME - 1 ? size : COUNTS_NAME - 1;
        memcpy(counted->name, name, size);
        counted->name[size] = 0;
    }
}

void counts_begin(struct counted *counted, const struct fuse_buf *buf)
{
    const struct fuse_in_header *in = buf->mem;
    assert(buf->size >= sizeof *in);
    if (!mine)
        mine = take();
    counted->outer = current;
    counted->counts = mine;
    counted->op = in->opcode < FIGURES_REQUESTS ? in->opcode : 0;
    counted->nodeid = in->nodeid;
    counted->start_ns = clock_ns();
    current = counted;
    if (mine) {
        atomic_store_explicit(&mine->start_ns, counted->start_ns, memory_order_relaxed);
        if (counted->op == FUSE_WRITE && in->len > sizeof *in + sizeof(struct fuse_write_in))
            add(&mine->written_bytes, in->len - sizeof *in - sizeof(struct fuse_write_in));
    }
    if (all.fs && all.fs->options.slow_ms) {
        memcpy(counted->waits, wait_ns, sizeof counted->waits);
        copy_name(counted, buf);
    }
}

void counts_end(struct counted *counted)
{
    uint64_t ns = clock_ns() - counted->start_ns;
    struct counts *counts = counted->counts;
    assert(current == counted);
    current = counted->outer;
    if (counts) {
        struct request_counts *op = &counts->ops[counted->op];
        _Atomic uint32_t *bucket = &op->buckets[bucket_of(ns)];
        add(&op->count, 1);
        add(&op->ns, ns);
        atomic_store_explicit(bucket, atomic_load_explicit(bucket, memory_order_relaxed) + 1,
                              memory_order_relaxed);
        atomic_store_explicit(&counts->start_ns, current ? current->start_ns : 0,
                              memory_order_relaxed);
    }
    if (all.fs && all.fs->options.slow_ms && ns / 1000000 >= all.fs->options.slow_ms)
        slow_note(all.fs, counted, ns);
}

void counts_reply(const struct iovec *iov)
{
    const struct fuse_out_header *out = iov[0].iov_base;
    if (!current || !current->counts || !out->unique)
        return;
    if (out->error)
        add(&current->counts->ops[current->op].errors, 1);
    else if (current->op == FUSE_READ)
        add(&current->counts->read_bytes, out->len - sizeof *out);
}

// ------------------------------------------------------------------------------- all of them

void counts_start(struct lsmfs *fs)
{
    all.fs = fs;
    all.began_ns = clock_ns();
}

static uint64_t load(_Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static void sum_op(struct request_figures *sum, struct request_counts *op)
{
    uint64_t count = load(&op->count);
    if (!count)
        return;
    sum->count += count;
    sum->errors += load(&op->errors);
    sum->ns += load(&op->ns);
    for (unsigned i = 0; i < BUCKETS; i++)
        sum->buckets[i] += atomic_load_explicit(&op->buckets[i], memory_order_relaxed);
}

void counts_figures(struct lsmfs *fs, struct mount_figures *ret_figures)
{
    memset(ret_figures, 0, sizeof *ret_figures);
    ret_figures->mountpoint = fs->options.mountpoint;
    ret_figures->transport = transport_name(fs->transport);
    ret_figures->live_inodes = ns_live_inodes(fs->ns);
    all_lock(&all);
    struct counts *first = all.first;
    for (struct counts *c = first; c; c = c->next)
        ret_figures->threads += c->used;
    all_unlock(&all);
    uint64_t now = clock_ns();
    for (struct counts *c = first; c; c = c->next) {
        uint64_t start = load(&c->start_ns);
        ret_figures->read_bytes += load(&c->read_bytes);
        ret_figures->written_bytes += load(&c->written_bytes);
        ret_figures->serving += start != 0;
        if (start && start < now && now - start > ret_figures->oldest_ns)
            ret_figures->oldest_ns = now - start;
        for (unsigned i = 0; i < FIGURES_REQUESTS; i++)
            sum_op(&ret_figures->ops[i], &c->ops[i]);
    }
    ret_figures->now_ns = now;
    ret_figures->up_ns = now - all.began_ns;
}
