// Seeking for data and holes in files that somebody writes to; direct writes to files that somebody
// reads through the page cache.
//
// The kernel asks for SEEK_DATA and SEEK_HOLE without passing on first what it has gathered, so
// that written pages would be taken for holes, and be lost to whoever copies the file by them. So
// where the store has a hole, or the end, at or before the place that was asked for, the store is
// looked at again after a notification that makes the kernel write out, and drop, the pages that
// lie there. Where the store has data there is data: dense files are seeked at the price of their
// last page. A direct WRITE waits for a notification that drops the pages which it has made stale
// (pages.h). Listings are dropped by notifications too (relist.h).
//
// A notification blocks until WRITEs and READs of the pages have been served, which is why no
// serving thread may send one: all of them could be waiting for each other. One extra thread can:
// it serves nothing.
//
// Locks: the mutex, a leaf; not held while the kernel is waited for.
#include "mount/flusher.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/lock_check.h"
#include "mount/pages.h"
#include "mount/request.h"
#include "mount/transport.h"

// A request that waits.
struct flush_waiter {
    struct flush_waiter *next;
    fuse_req_t req;         // NULL: nobody waits for the pages of a listing to be dropped
    struct ns_inode *inode; // one reference
    uint64_t offset;
    size_t written; // WRITE: its size; 0: LSEEK
    int whence;     // LSEEK, as `from`: the first byte whose page matters
    uint64_t from;
};

extern struct lock_role flusher_mutex;

struct flusher {
    struct lsmfs *fs;
    pthread_t thread;
    bool joined; // only flusher_stop() uses it
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    struct flush_waiter *first GUARDED_BY(flusher_mutex);
    struct flush_waiter **last GUARDED_BY(flusher_mutex);
    bool stopping GUARDED_BY(flusher_mutex);
};

LOCK_FUNCTIONS(flusher, struct flusher, mutex, flusher_mutex)

void flusher_reply_seek(fuse_req_t req, int64_t result)
{
    if (result < 0)
        fuse_reply_err(req, (int)-result);
    else
        fuse_reply_lseek(req, result);
}

// Whether pages that only the kernel has could change the answer; if so, *ret_from is where they
// begin.
static bool seek_is_open(int64_t answer, uint64_t offset, int whence, uint64_t *ret_from)
{
    *ret_from = whence == SEEK_HOLE && answer >= 0 ? (uint64_t)answer : offset;
    return (answer >= 0 && !(whence == SEEK_DATA && (uint64_t)answer == offset)) ||
           answer == -ENXIO;
}

// The next request; NULL when the flusher is to end.
static struct flush_waiter *take_next(struct flusher *flusher)
{
    flusher_lock(flusher);
    while (!flusher->first && !flusher->stopping)
        pthread_cond_wait(&flusher->changed, &flusher->mutex);
    struct flush_waiter *waiting = flusher->first;
    if (waiting) {
        assert(flusher->last != &flusher->first);
        flusher->first = waiting->next;
        if (!flusher->first)
            flusher->last = &flusher->first;
    }
    flusher_unlock(flusher);
    return waiting;
}

static void *flusher_run(void *arg)
{
    struct flusher *flusher = arg;
    struct lsmfs *fs = flusher->fs;
    struct flush_waiter *w;
    while ((w = take_next(flusher))) {
        assert(!transport_is_serving());
        if (!w->req) {
            fuse_lowlevel_notify_inval_inode(fs->session, ns_inode_ino(w->inode), 0, 0);
        } else if (w->written) {
            bool all = pages_drop(fs, w->inode, w->offset, w->written);
            fuse_reply_write(w->req, w->written);
            if (all)
                pages_drop_all(fs, w->inode);
        } else {
            fuse_lowlevel_notify_inval_inode(fs->session, ns_inode_ino(w->inode), (off_t)w->from,
                                             0);
            flusher_reply_seek(w->req, ns_seek(fs->ns, w->inode, w->offset, w->whence));
        }
        ns_inode_put(fs->ns, w->inode, 1);
        free(w);
    }
    return NULL;
}

// Nobody else has it yet.
NOT_CHECKED int flusher_start(struct lsmfs *fs, struct flusher **ret_flusher)
{
    struct flusher *flusher = calloc(1, sizeof *flusher);
    if (!flusher)
        return -ENOMEM;
    flusher->fs = fs;
    flusher->last = &flusher->first;
    pthread_mutex_init(&flusher->mutex, NULL);
    pthread_cond_init(&flusher->changed, NULL);
    int error = pthread_create(&flusher->thread, NULL, flusher_run, flusher);
    if (error) {
        flusher->stopping = flusher->joined = true;
        flusher_free(flusher);
        return -error;
    }
    pthread_setname_np(flusher->thread, "lsmfs-flush");
    *ret_flusher = flusher;
    return 0;
}

void flusher_stop(struct flusher *flusher)
{
    if (!flusher || flusher->joined)
        return;
    flusher_lock(flusher);
    flusher->stopping = true;
    pthread_cond_broadcast(&flusher->changed);
    flusher_unlock(flusher);
    pthread_join(flusher->thread, NULL);
    flusher->joined = true;
}

// Nobody else has it any more.
NOT_CHECKED void flusher_free(struct flusher *flusher)
{
    if (!flusher)
        return;
    assert(!flusher->first && flusher->joined);
    pthread_cond_destroy(&flusher->changed);
    pthread_mutex_destroy(&flusher->mutex);
    free(flusher);
}

// Takes a copy of `w`, and a reference.
static void flusher_add(struct flusher *flusher, const struct flush_waiter *w)
{
    struct flush_waiter *copy = malloc(sizeof *copy);
    if (!copy) {
        if (w->req)
            fuse_reply_err(w->req, ENOMEM);
        return;
    }
    *copy = *w;
    ns_inode_ref(copy->inode);
    flusher_lock(flusher);
    bool refused = flusher->stopping;
    if (!refused) {
        *flusher->last = copy;
        flusher->last = &copy->next;
        pthread_cond_signal(&flusher->changed);
    }
    flusher_unlock(flusher);
    if (refused) {
        if (copy->req && copy->written)
            fuse_reply_write(copy->req, copy->written);
        else if (copy->req)
            fuse_reply_err(copy->req, EIO);
        ns_inode_put(flusher->fs->ns, copy->inode, 1);
        free(copy);
    }
}

void flusher_seek(struct flusher *flusher, fuse_req_t req, struct ns_inode *inode, uint64_t offset,
                  int whence)
{
    struct lsmfs *fs = flusher->fs;
    struct flush_waiter w = {.req = req, .inode = inode, .offset = offset, .whence = whence};
    int64_t answer = ns_seek(fs->ns, inode, offset, whence);
    if (!fs->options.read_only && seek_is_open(answer, offset, whence, &w.from))
        flusher_add(flusher, &w);
    else
        flusher_reply_seek(req, answer);
}

void flusher_written(struct flusher *flusher, fuse_req_t req, struct ns_inode *inode,
                     uint64_t offset, size_t size)
{
    const struct flush_waiter w = {.req = req, .inode = inode, .offset = offset, .written = size};
    flusher_add(flusher, &w);
}

void flusher_forget_listing(struct flusher *flusher, struct ns_inode *dir)
{
    const struct flush_waiter w = {.inode = dir};
    flusher_add(flusher, &w);
}
