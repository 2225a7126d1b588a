// What changes in a store that is open, for any number of watchers.
//
// While there is a watcher a thread compares the tree with itself a moment before (ns_diff) and
// puts what differs into a ring, from which each watcher reads at its own pace. Nobody waits for a
// watcher: one that the ring has overtaken has to start over. Memory: the ring, and a part of it
// for each watcher.
//
// Writers are not held up and do nothing for it.
#ifndef NS_WATCH_HUB_H
#define NS_WATCH_HUB_H

#include <pthread.h>
#include <stdbool.h>

#include "base/lock_check.h"
#include "base/slice.h"
#include "ns/changes/diff.h"

struct ns;
struct watch_point;

extern struct lock_role watch_hub_mutex; // a leaf

struct watch_hub {
    struct ns *ns;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    pthread_t thread; // while there are watchers
    unsigned watchers GUARDED_BY(watch_hub_mutex);
    bool stopping GUARDED_BY(watch_hub_mutex); // the thread is to end
    bool busy GUARDED_BY(watch_hub_mutex);     // it is being started or ended
    bool written GUARDED_BY(watch_hub_mutex);  // a commit has told
    uint8_t *ring GUARDED_BY(watch_hub_mutex);
    // Bytes put into the ring so far, and more where some were lost.
    uint64_t head GUARDED_BY(watch_hub_mutex);
    struct watch_point *point GUARDED_BY(watch_hub_mutex); // what has been told leads to here
};

void watch_hub_init(struct watch_hub *hub, struct ns *ns);
void watch_hub_release(struct watch_hub *hub); // there are no watchers
// Any watcher's `cancelled` has been set.
void watch_hub_wake(struct watch_hub *hub);

struct watcher {
    struct watch_hub *hub;
    uint64_t at;      // read so far
    struct buf piece; // of the ring, to be told
};

// Begins to watch. With `from` (may be NULL, not a brief one) `fn` is told first what has changed
// between it and now. Ended by watcher_leave() in any case. 0, what fn returned, or -errno.
int watcher_join(struct watcher *watcher, struct watch_hub *hub, const struct lsm_snapshot *from,
                 ns_change_fn *fn, void *arg);

// Waits until something has changed, and tells `fn` of it. 0; -ECANCELED: `cancelled` was set, of
// which watch_hub_wake() has told; -EOVERFLOW: some has been lost, start over; what fn returned;
// another -errno.
int watcher_next(struct watcher *watcher, const _Atomic bool *cancelled, ns_change_fn *fn,
                 void *arg);
void watcher_leave(struct watcher *watcher);

#endif
