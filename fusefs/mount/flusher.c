// Seeking for data and holes in files that somebody writes to.
//
// The kernel asks for SEEK_DATA and SEEK_HOLE without passing on first what it has gathered, so
// that written pages would be taken for holes, and be lost to whoever copies the file by them.
// While a file is open for writing (only then can there be such pages: closing writes them out) the
// answer therefore waits for a notification that makes the kernel write out, and drop, the file's
// pages. That blocks until the WRITEs have been served, which is why no serving thread may do it:
// all of them could be waiting for each other. One extra thread can: it serves nothing.
//
// Locks: the mutex, a leaf; not held while the kernel is waited for.
#include "mount/flusher.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "mount/inode_table.h"

struct seek {
    struct seek *next;
    fuse_req_t req;
    struct ns_inode *inode; // one reference
    uint64_t offset;
    int whence;
};

struct flusher {
    struct lsmfs *fs;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    struct seek *first, **last; // mutex, as all below
    bool stopping, joined;
};

void reply_seek(fuse_req_t req, struct ns_inode *inode, uint64_t offset, int whence)
{
    int64_t result = ns_seek(lsmfs_of(req)->ns, inode, offset, whence);
    if (result < 0)
        fuse_reply_err(req, (int)-result);
    else
        fuse_reply_lseek(req, result);
}

// The next one; NULL when there is none and none will come.
static struct seek *next_seek(struct flusher *flusher)
{
    pthread_mutex_lock(&flusher->mutex);
    while (!flusher->first && !flusher->stopping)
        pthread_cond_wait(&flusher->changed, &flusher->mutex);
    struct seek *seek = flusher->first;
    if (seek) {
        flusher->first = seek->next;
        if (!flusher->first)
            flusher->last = &flusher->first;
    }
    pthread_mutex_unlock(&flusher->mutex);
    return seek;
}

static void *flusher_run(void *arg)
{
    struct flusher *flusher = arg;
    struct lsmfs *fs = flusher->fs;
    struct seek *seek;
    while ((seek = next_seek(flusher))) {
        fuse_lowlevel_notify_inval_inode(fs->session, ns_inode_ino(seek->inode), 0, 0);
        reply_seek(seek->req, seek->inode, seek->offset, seek->whence);
        ns_inode_put(fs->ns, seek->inode, 1);
        free(seek);
    }
    return NULL;
}

int flusher_start(struct lsmfs *fs, struct flusher **ret_flusher)
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
    pthread_mutex_lock(&flusher->mutex);
    flusher->stopping = true;
    pthread_cond_broadcast(&flusher->changed);
    pthread_mutex_unlock(&flusher->mutex);
    pthread_join(flusher->thread, NULL);
    flusher->joined = true;
}

void flusher_free(struct flusher *flusher)
{
    if (!flusher)
        return;
    pthread_cond_destroy(&flusher->changed);
    pthread_mutex_destroy(&flusher->mutex);
    free(flusher);
}

void flusher_seek(struct flusher *flusher, fuse_req_t req, struct ns_inode *inode, uint64_t offset,
                  int whence)
{
    struct seek *seek = malloc(sizeof *seek);
    if (!seek) {
        fuse_reply_err(req, ENOMEM);
        return;
    }
    *seek = (struct seek){.req = req, .inode = inode, .offset = offset, .whence = whence};
    ns_inode_ref(inode);
    pthread_mutex_lock(&flusher->mutex);
    bool refused = flusher->stopping;
    if (!refused) {
        *flusher->last = seek;
        flusher->last = &seek->next;
        pthread_cond_signal(&flusher->changed);
    }
    pthread_mutex_unlock(&flusher->mutex);
    if (refused) {
        fuse_reply_err(req, EIO);
        ns_inode_put(flusher->fs->ns, inode, 1);
        free(seek);
    }
}
