// Looking for changes of a store that another process writes. See follower.h.
//
// What a program sees is at most follow_ms older than what the writer had synced: a request is
// served from a state that was looked for at most half of that before, and the kernel keeps
// attributes and entries for the other half. A thread refreshes four times in follow_ms, so
// requests need not wait for it; if it has slept, as after SIGSTOP, or is late, they refresh
// themselves.
//
// The kernel drops by itself what is too old. It is told of inodes that have changed, so that pages
// go whose file has the same size and mtime as before, and mappings show what is new. That may wait
// for requests that are being served. So only the thread does it, and no request waits for the
// thread.
//
// Locks: the mutex, a leaf; not held while the store is read or the kernel is waited for.
#include "mount/follower.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/array.h"
#include "base/clock.h"
#include "base/cond.h"
#include "base/lock_check.h"
#include "common/store_place.h"
#include "mount/fuse_api.h"
#include "mount/messages.h"
#include "mount/transport.h"
#include "ns/changes/follow.h"

#define SLEPT_US 10000000u // after so long without a refresh it is said

extern struct lock_role follower_mutex;
extern struct lock_role follower_refresh; // not a lock: being who has set `refreshing`

struct stale {
    uint64_t *inos;
    size_t count, capacity;
    bool all;
};

struct follower {
    struct lsmfs *fs;
    pthread_t thread;
    bool joined;                 // only follower_stop() uses it
    uint64_t every_us, limit_us; // constant
    dev_t device;                // of the store's directory; constant, as is the next one
    ino_t directory;
    bool said_replaced GUARDED_BY(follower_refresh);
    _Atomic uint64_t fresh_us; // when the last refresh began; stored under the mutex
    pthread_mutex_t mutex;
    pthread_cond_t changed;                          // of anything below
    bool refreshing GUARDED_BY(follower_mutex);      // somebody is reading what is new
    struct stale stale GUARDED_BY(follower_refresh); // what the kernel is to be told
    uint64_t failures GUARDED_BY(follower_mutex);
    bool stopping GUARDED_BY(follower_mutex);
};

LOCK_FUNCTIONS(follower, struct follower, mutex, follower_mutex)

double follower_keep_s(const struct mount_options *options)
{
    return options->follow_ms / 2000.0;
}

static void note_stale(void *arg, uint64_t ino)
{
    struct stale *stale = arg;
    if (!ino || !array_grow(&stale->inos, &stale->capacity, stale->count, sizeof *stale->inos))
        stale->all = true;
    if (!stale->all)
        stale->inos[stale->count++] = ino;
}

// The kernel does not mind numbers that it does not know.
static void drop_one(void *arg, uint64_t ino)
{
    const struct lsmfs *fs = arg;
    assert(!transport_is_serving());
    fuse_lowlevel_notify_inval_inode(fs->session, ino, 0, 0);
}

static void drop(struct lsmfs *fs, const struct stale *stale)
{
    if (stale->all)
        ns_live_numbers(fs->ns, drop_one, fs);
    for (size_t i = 0; i < stale->count && !stale->all; i++) {
        struct ns_inode *inode = ns_inode_find(fs->ns, stale->inos[i]);
        if (!inode)
            continue;
        drop_one(fs, stale->inos[i]);
        ns_inode_put(fs->ns, inode, 1);
    }
}

// Whether another store is in the place of the one that is followed, or `gone` and nothing is.
static bool is_replaced(const struct follower *follower, bool gone)
{
    struct stat st;
    const char *db = follower->fs->options.db;
    if (store_place_is_remote(db))
        return false;
    if (stat(db, &st))
        return gone;
    return st.st_dev != follower->device || st.st_ino != follower->directory;
}

// A store that was moved is followed on; a new one at its path is not, until it is mounted again.
static void say_replaced(struct follower *follower, bool gone) REQUIRES(follower_refresh)
{
    const char *db = follower->fs->options.db;
    if (follower->said_replaced || !is_replaced(follower, gone))
        return;
    follower->said_replaced = true;
    messages_write(
        LOG_ERR, "%s: was removed, or another store is in its place: unmount %s and mount it again",
        db, follower->fs->options.mountpoint);
}

static void say(struct follower *follower, int rc, uint64_t failures, uint64_t slept_us)
    REQUIRES(follower_refresh)
{
    const char *db = follower->fs->options.db;
    if (rc < 0 && failures == 0)
        messages_write(
            LOG_WARNING,
            "%s: cannot be followed, what was read last is shown, as far as it can still "
            "be read: %s",
            db, lsm_error_detail());
    else if (rc >= 0 && failures)
        messages_write(LOG_NOTICE, "%s: is followed again", db);
    say_replaced(follower, rc < 0);
    if (slept_us >= SLEPT_US && rc >= 0)
        messages_write(LOG_NOTICE, "%s: was not followed for %" PRIu64 " s%s", db,
                       slept_us / 1000000, follower->stale.all ? ": read anew" : "");
}

// Being who refreshes is the flag `refreshing`; these two are that lock's own functions.
static void refresh_begin(struct follower *follower) REQUIRES(follower_mutex)
    ACQUIRES(follower_refresh) NOT_CHECKED
{
    assert(!follower->refreshing);
    follower->refreshing = true;
}

static void refresh_end(struct follower *follower) REQUIRES(follower_mutex)
    RELEASES(follower_refresh) NOT_CHECKED
{
    assert(follower->refreshing);
    follower->refreshing = false;
    pthread_cond_broadcast(&follower->changed);
}

// Reads what is new. With the mutex, which is not held meanwhile.
static void refresh(struct follower *follower) REQUIRES(follower_mutex)
{
    struct lsmfs *fs = follower->fs;
    uint64_t failures = follower->failures;
    refresh_begin(follower);
    follower_unlock(follower);
    uint64_t begin = clock_us(), slept_us = begin - atomic_load(&follower->fresh_us);
    int rc = ns_refresh(fs->ns, note_stale, &follower->stale);
    say(follower, rc, failures, slept_us);
    follower_lock(follower);
    follower->failures = rc < 0 ? failures + 1 : 0;
    if (rc >= 0)
        atomic_store(&follower->fresh_us, begin);
    refresh_end(follower);
}

static void *follower_run(void *arg)
{
    struct follower *follower = arg;
    follower_lock(follower);
    while (!follower->stopping) {
        if (!follower->refreshing)
            refresh(follower);
        while (follower->refreshing)
            pthread_cond_wait(&follower->changed, &follower->mutex);
        refresh_begin(follower); // with the mutex all along, so nobody waits for it
        struct stale stale = follower->stale;
        follower->stale = (struct stale){0};
        refresh_end(follower);
        follower_unlock(follower);
        drop(follower->fs, &stale);
        free(stale.inos);
        follower_lock(follower);
        uint64_t until = clock_us() + follower->every_us;
        for (uint64_t now; !follower->stopping && (now = clock_us()) < until;)
            cond_wait_us(&follower->changed, &follower->mutex, until - now);
    }
    follower_unlock(follower);
    return NULL;
}

// The thread begins when all is set.
NOT_CHECKED int follower_start(struct lsmfs *fs, struct follower **ret_follower)
{
    struct follower *follower = calloc(1, sizeof *follower);
    if (!follower)
        return -ENOMEM;
    struct stat st;
    if (!stat(fs->options.db, &st)) {
        follower->device = st.st_dev;
        follower->directory = st.st_ino;
    }
    follower->fs = fs;
    follower->every_us = (uint64_t)fs->options.follow_ms * 1000 / 4;
    follower->limit_us = (uint64_t)fs->options.follow_ms * 1000 / 2;
    atomic_store(&follower->fresh_us, clock_us());
    pthread_mutex_init(&follower->mutex, NULL);
    cond_init(&follower->changed);
    int error = pthread_create(&follower->thread, NULL, follower_run, follower);
    if (error) {
        follower->joined = true;
        follower_free(follower);
        return -error;
    }
    pthread_setname_np(follower->thread, "lsmfs-follow");
    *ret_follower = follower;
    return 0;
}

void follower_stop(struct follower *follower)
{
    if (!follower || follower->joined)
        return;
    follower_lock(follower);
    follower->stopping = true;
    pthread_cond_broadcast(&follower->changed);
    follower_unlock(follower);
    pthread_join(follower->thread, NULL);
    follower->joined = true;
}

// The thread has ended.
NOT_CHECKED void follower_free(struct follower *follower)
{
    if (!follower)
        return;
    assert(follower->joined);
    free(follower->stale.inos);
    pthread_cond_destroy(&follower->changed);
    pthread_mutex_destroy(&follower->mutex);
    free(follower);
}

static bool is_fresh(const struct follower *follower, uint64_t now_us)
{
    uint64_t fresh_us = atomic_load_explicit(&follower->fresh_us, memory_order_relaxed);
    return fresh_us + follower->limit_us >= now_us;
}

void follower_wait(struct follower *follower)
{
    if (!follower || is_fresh(follower, clock_us()))
        return;
    uint64_t now = clock_us();
    follower_lock(follower);
    uint64_t failures = follower->failures;
    while (!is_fresh(follower, now) && !follower->stopping && follower->failures == failures) {
        if (follower->refreshing)
            pthread_cond_wait(&follower->changed, &follower->mutex);
        else
            refresh(follower); // the thread may be waiting for this very request
    }
    follower_unlock(follower);
}
