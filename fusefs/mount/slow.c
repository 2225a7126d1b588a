// See slow.h. What a request has waited for is known by kind of wait (base/waits.h); for how long
// the kernel has held it before a thread took it is not: requests carry no time.
//
// Locks: a mutex around the figures of the limit, a leaf.
#include "mount/slow.h"

#include <assert.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <syslog.h>

#include "base/lock_check.h"
#include "mount/messages.h"
#include "ns/changes/path.h"

#define LINES_A_SECOND 10u

extern struct lock_role slow_mutex;

static struct slow_limit {
    pthread_mutex_t mutex;
    uint64_t second GUARDED_BY(slow_mutex);
    unsigned lines GUARDED_BY(slow_mutex); // logged in it
    uint64_t left_out GUARDED_BY(slow_mutex);
} limit = {.mutex = PTHREAD_MUTEX_INITIALIZER};

LOCK_FUNCTIONS(limit, struct slow_limit, mutex, slow_mutex)

// Counts a line. False: too many, it is left out. *ret_left_out: how many were not logged before.
static bool count_line(uint64_t now_ns, uint64_t *ret_left_out)
{
    uint64_t second = now_ns / 1000000000;
    limit_lock(&limit);
    if (limit.second != second) {
        limit.second = second;
        limit.lines = 0;
    }
    bool may = limit.lines < LINES_A_SECOND;
    *ret_left_out = limit.left_out;
    limit.lines += may;
    assert(limit.lines <= LINES_A_SECOND);
    limit.left_out = may ? 0 : limit.left_out + 1;
    limit_unlock(&limit);
    return may;
}

// "lock 120 ms, other 3 ms" of what lasted a millisecond.
static void where_it_went(const struct counted *counted, uint64_t ns, char *text, size_t size)
{
    static const char *const names[WAITS] = {
        [WAIT_LOCK] = "lock",      [WAIT_QUEUE] = "other writes", [WAIT_STALL] = "stall",
        [WAIT_READ] = "disk read", [WAIT_SYNC] = "disk sync",     [WAIT_KERNEL] = "kernel"};
    uint64_t known = 0;
    size_t at = 0;
    *text = 0;
    for (unsigned i = 0; i < WAITS; i++) {
        assert(wait_ns[i] >= counted->waits[i]);
        uint64_t part = wait_ns[i] - counted->waits[i];
        known += part;
        if (part >= 1000000 && at < size)
            at += (size_t)snprintf(text + at, size - at, "%s %" PRIu64 " ms, ", names[i],
                                   part / 1000000);
    }
    if (at < size)
        snprintf(text + at, size - at, "other %" PRIu64 " ms",
                 ns > known ? (ns - known) / 1000000 : 0);
}

void slow_note(struct lsmfs *fs, const struct counted *counted, uint64_t ns)
{
    uint64_t left_out;
    char where[256], number[40];
    char *path = NULL;
    if (!count_line(counted->start_ns + ns, &left_out))
        return;
    where_it_went(counted, ns, where, sizeof where);
    struct ns_inode *inode = ns_inode_find(fs->ns, counted->nodeid);
    if (inode) {
        if (ns_path(fs->ns, inode, &path))
            path = NULL;
        ns_inode_put(fs->ns, inode, 1);
    }
    snprintf(number, sizeof number, "inode %" PRIu64, counted->nodeid);
    const char *op = figures_request_name(counted->op);
    const char *slash = *counted->name && path && path[1] ? "/" : "";
    if (left_out)
        messages_write(LOG_WARNING, "%" PRIu64 " slow requests before were not logged", left_out);
    messages_write(LOG_WARNING, "slow: %s %s%s%s: %" PRIu64 " ms: %s", op ? op : "request",
                   path ? path : number, slash, counted->name, ns / 1000000, where);
    free(path);
}
