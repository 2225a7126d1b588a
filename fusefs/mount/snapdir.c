// Which snapshots are open, and since when nobody needs them. See snapdir.h.
//
// A snapshot that is open is a namespace of its own, in whose table of inodes the kernel's
// references are counted. A request that needs one counts as its user, so that it stays open until
// the reply. With no user, and nothing live but its root with one reference, its own, it can be
// closed: nobody can name an inode of it without looking up the snapshot first.
//
// One thread closes snapshots, a little later. If too many are open it asks the kernel to forget
// those that were not used for the longest time. This thread serves no requests, so the kernel may
// wait for requests before it answers. The kernel does not forget what is in use. Below a name that
// it was told to forget, it keeps what was in use then, also when that is not in use any more. So
// of a snapshot that is to go the kernel is told every name that it still holds, now and then.
//
// A snapshot that is deleted while it is open stays readable for those who have files of it open:
// the engine keeps what it sees until it is closed.
//
// Locks: the mutex, under which the engine's are taken; not held while a snapshot is opened or
// closed, or the kernel is waited for.
#include "mount/snapdir.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/cond.h"
#include "base/lock_check.h"
#include "mount/messages.h"
#include "mount/transport.h"

#define BUCKETS      64u
#define PUSH_US      250000u   // between two times that the kernel is told all names: at first,
#define PUSH_MOST_US 60000000u // and at last
#define LINGER_US    1000000u  // from the last request until a snapshot that nobody holds is closed

struct written_pages {
    struct written_pages *next;
    uint64_t ino;
};

struct snapdir {
    struct lsmfs *fs;
    pthread_t thread;
    bool joined; // only snapdir_stop() uses it
    pthread_mutex_t mutex;
    pthread_cond_t changed; // of anything below
    struct snapdir_snapshot *buckets[BUCKETS] GUARDED_BY(snapdir_mutex);
    struct written_pages *written GUARDED_BY(snapdir_mutex);
    bool look GUARDED_BY(snapdir_mutex);
    bool stopping GUARDED_BY(snapdir_mutex);
};

LOCK_FUNCTIONS(snapdir, struct snapdir, mutex, snapdir_mutex)

static struct snapdir_snapshot **bucket_of(struct snapdir *snapdir, uint64_t id)
    REQUIRES(snapdir_mutex)
{
    return &snapdir->buckets[id % BUCKETS];
}

static struct snapdir_snapshot *find(struct snapdir *snapdir, uint64_t id) REQUIRES(snapdir_mutex)
{
    struct snapdir_snapshot *shown = *bucket_of(snapdir, id);
    while (shown && shown->id != id)
        shown = shown->next;
    return shown;
}

static void take_out(struct snapdir *snapdir, struct snapdir_snapshot *shown)
    REQUIRES(snapdir_mutex)
{
    struct snapdir_snapshot **link = bucket_of(snapdir, shown->id);
    while (*link != shown)
        link = &(*link)->next;
    *link = shown->next;
}

static void wake(struct snapdir *snapdir) REQUIRES(snapdir_mutex)
{
    snapdir->look = true;
    pthread_cond_broadcast(&snapdir->changed);
}

bool is_snapdir_name(const struct lsmfs *fs, uint64_t parent, const char *name, size_t name_size)
{
    return fs->snapdir && parent == NS_ROOT_INO && name_size == strlen(SNAPDIR_NAME) &&
           memcmp(name, SNAPDIR_NAME, name_size) == 0;
}

// ------------------------------------------------------------------------------- opening

// Opens the namespace of `snapshot`, which is taken over. *ret_shown has one user. The mutex is
// held by the caller, and released while the namespace is opened.
static int open_one(struct snapdir *snapdir, const struct lsm_snapshot *snapshot,
                    struct snapdir_snapshot **ret_shown) REQUIRES(snapdir_mutex)
{
    struct snapdir_snapshot *shown = calloc(1, sizeof *shown);
    struct ns *ns;
    if (!shown) {
        lsm_snapshot_free(ns_engine(snapdir->fs->ns), snapshot);
        return -ENOMEM;
    }
    shown->id = lsm_snapshot_id(snapshot);
    shown->session = snapdir->fs->session;
    shown->users = 1;
    shown->next = *bucket_of(snapdir, shown->id);
    *bucket_of(snapdir, shown->id) = shown;
    snapdir_unlock(snapdir);
    int rc = ns_open_at(snapdir->fs->ns, snapshot, &ns);
    snapdir_lock(snapdir);
    if (rc) {
        take_out(snapdir, shown);
        free(shown);
    } else {
        shown->ns = ns;
        *ret_shown = shown;
    }
    wake(snapdir); // others wait for this one; and there may be too many
    return rc ? -ns_errno(rc) : 0;
}

int snapdir_open(struct snapdir *snapdir, const char *name, struct snapdir_snapshot **ret_shown)
{
    struct lsm *db = ns_engine(snapdir->fs->ns);
    const struct lsm_snapshot *snapshot;
    int rc = lsm_snapshot_open(db, name, &snapshot);
    if (rc)
        return -ns_errno(rc);
    uint64_t id = lsm_snapshot_id(snapshot);
    struct snapdir_snapshot *shown;
    snapdir_lock(snapdir);
    while ((shown = find(snapdir, id)) && !shown->ns)
        pthread_cond_wait(&snapdir->changed, &snapdir->mutex);
    if (shown) {
        shown->users++;
        shown->is_sent_away = false;
        shown->push_us = shown->push_wait_us = 0;
        *ret_shown = shown;
    } else {
        rc = open_one(snapdir, snapshot, ret_shown);
    }
    snapdir_unlock(snapdir);
    if (shown)
        lsm_snapshot_free(db, snapshot);
    return rc;
}

struct snapdir_snapshot *snapdir_use(struct snapdir *snapdir, uint64_t id)
{
    if (!snapdir)
        return NULL;
    snapdir_lock(snapdir);
    struct snapdir_snapshot *shown = find(snapdir, id);
    if (shown && shown->ns)
        shown->users++;
    else
        shown = NULL;
    snapdir_unlock(snapdir);
    return shown;
}

// Whether the kernel seems to hold nothing of the snapshot; is_free() finds out for sure.
static bool may_be_free(const struct snapdir_snapshot *shown) REQUIRES(snapdir_mutex)
{
    return shown->ns && !shown->users && ns_inode_refs(ns_root(shown->ns)) == 1;
}

static bool is_free(const struct snapdir_snapshot *shown) REQUIRES(snapdir_mutex)
{
    return may_be_free(shown) && ns_live_inodes(shown->ns) == 1;
}

void snapdir_done(struct snapdir *snapdir, struct snapdir_snapshot *shown)
{
    snapdir_lock(snapdir);
    assert(shown->users > 0);
    shown->users--;
    shown->used_us = clock_us();
    if (may_be_free(shown))
        wake(snapdir);
    snapdir_unlock(snapdir);
}

// ------------------------------------------------------------------------------- what has changed

// Makes the kernel forget an entry that it may have of the directory. The kernel takes the
// directory's lock for that, so requests that it had under way there have been answered then.
static void forget_name(struct snapdir *snapdir, const char *name)
{
    assert(!transport_is_serving());
    fuse_lowlevel_notify_inval_entry(snapdir->fs->session, SNAPDIR_INO, name, strlen(name));
}

static int still_there(void *arg, const struct lsm_snapshot_info *info) REQUIRES(snapdir_mutex)
{
    struct snapdir_snapshot *shown = find(arg, info->id);
    if (shown)
        shown->is_gone = false;
    return 0;
}

// Finds out which of the open ones were deleted. Mutex held.
static void mark_gone(struct snapdir *snapdir) REQUIRES(snapdir_mutex)
{
    for (unsigned i = 0; i < BUCKETS; i++)
        for (struct snapdir_snapshot *shown = snapdir->buckets[i]; shown; shown = shown->next)
            shown->is_gone = true;
    int rc = lsm_snapshot_list(ns_engine(snapdir->fs->ns), still_there, snapdir);
    if (rc) // harmless: snapshots that were not deleted are closed a little early
        messages_write(LOG_WARNING, "snapshots cannot be listed: %s", lsm_error_detail());
}

void snapdir_changed(struct snapdir *snapdir, const char *name)
{
    if (!snapdir)
        return;
    forget_name(snapdir, name);
    fuse_lowlevel_notify_inval_inode(snapdir->fs->session, SNAPDIR_INO, 0, 0); // listing, times
    snapdir_lock(snapdir);
    mark_gone(snapdir);
    wake(snapdir);
    snapdir_unlock(snapdir);
}

void snapdir_drop_pages(struct snapdir *snapdir, uint64_t ino)
{
    struct written_pages *written = malloc(sizeof *written);
    if (!written)
        return; // they stay until the kernel needs the memory
    written->ino = ino;
    snapdir_lock(snapdir);
    written->next = snapdir->written;
    snapdir->written = written;
    wake(snapdir);
    snapdir_unlock(snapdir);
}

// ------------------------------------------------------------------------------- the thread

// All of these with the mutex, which is not held while they wait.

static void drop_written(struct snapdir *snapdir) REQUIRES(snapdir_mutex)
{
    while (snapdir->written) {
        struct written_pages *written = snapdir->written;
        snapdir->written = written->next;
        snapdir_unlock(snapdir);
        fuse_lowlevel_notify_inval_inode(snapdir->fs->session, written->ino, 0, 0);
        free(written);
        snapdir_lock(snapdir);
    }
}

// A snapshot that can be closed now. *ret_wait_us: how long until there is one, if that is known.
static struct snapdir_snapshot *find_free(struct snapdir *snapdir, uint64_t *ret_wait_us)
    REQUIRES(snapdir_mutex)
{
    uint64_t now = clock_us();
    for (unsigned i = 0; i < BUCKETS; i++) {
        for (struct snapdir_snapshot *shown = snapdir->buckets[i]; shown; shown = shown->next) {
            uint64_t age = now - shown->used_us;
            if (!is_free(shown))
                continue;
            if (shown->is_gone || shown->is_sent_away || age >= LINGER_US)
                return shown;
            if (LINGER_US - age < *ret_wait_us)
                *ret_wait_us = LINGER_US - age;
        }
    }
    return NULL;
}

static void close_free(struct snapdir *snapdir, uint64_t *ret_wait_us) REQUIRES(snapdir_mutex)
{
    struct snapdir_snapshot *shown;
    while ((shown = find_free(snapdir, ret_wait_us))) {
        assert(!shown->users);
        take_out(snapdir, shown);
        snapdir_unlock(snapdir);
        (void)!ns_close(shown->ns);
        free(shown);
        snapdir_lock(snapdir);
    }
}

// If too many are open, the one that was not used for the longest time, to be sent away.
static struct snapdir_snapshot *find_surplus(struct snapdir *snapdir) REQUIRES(snapdir_mutex)
{
    struct snapdir_snapshot *oldest = NULL;
    unsigned staying = 0;
    for (unsigned i = 0; i < BUCKETS; i++) {
        for (struct snapdir_snapshot *shown = snapdir->buckets[i]; shown; shown = shown->next) {
            if (shown->is_sent_away)
                continue;
            staying++;
            if (shown->ns && !shown->users && (!oldest || shown->used_us < oldest->used_us))
                oldest = shown;
        }
    }
    return staying > SNAPDIR_MOST ? oldest : NULL;
}

struct shown_name {
    uint64_t id;
    char name[LSM_SNAPSHOT_NAME_MAX + 1];
};

static int find_name(void *arg, const struct lsm_snapshot_info *info)
{
    struct shown_name *found = arg;
    if (info->id != found->id)
        return 0;
    memcpy(found->name, info->name, strlen(info->name) + 1);
    return 1;
}

static void send_away(struct snapdir *snapdir) REQUIRES(snapdir_mutex)
{
    struct snapdir_snapshot *shown;
    while ((shown = find_surplus(snapdir)) && !snapdir->stopping) {
        struct shown_name found = {.id = shown->id};
        shown->is_sent_away = true;
        snapdir_unlock(snapdir);
        if (lsm_snapshot_list(ns_engine(snapdir->fs->ns), find_name, &found) == 1)
            forget_name(snapdir, found.name);
        snapdir_lock(snapdir);
    }
}

static void push_name(void *arg, struct ns_inode *dir, const char *name, size_t name_size)
{
    const struct snapdir_snapshot *shown = arg;
    char text[NS_NAME_MAX + 1];
    memcpy(text, name, name_size);
    text[name_size] = 0;
    fuse_lowlevel_notify_inval_entry(shown->session, (shown->id << NS_INO_BITS) + ns_inode_ino(dir),
                                     text, name_size);
}

// A snapshot that is to go, of which the kernel still holds something and was not told the names
// for a while.
static struct snapdir_snapshot *find_staying(struct snapdir *snapdir, uint64_t *ret_wait_us)
    REQUIRES(snapdir_mutex)
{
    uint64_t now = clock_us();
    for (unsigned i = 0; i < BUCKETS; i++) {
        for (struct snapdir_snapshot *shown = snapdir->buckets[i]; shown; shown = shown->next) {
            if (!shown->ns || !(shown->is_gone || shown->is_sent_away) || may_be_free(shown))
                continue;
            if (shown->push_us <= now)
                return shown;
            if (shown->push_us - now < *ret_wait_us)
                *ret_wait_us = shown->push_us - now;
        }
    }
    return NULL;
}

static void push(struct snapdir *snapdir, uint64_t *ret_wait_us) REQUIRES(snapdir_mutex)
{
    struct snapdir_snapshot *shown;
    while (!snapdir->stopping && (shown = find_staying(snapdir, ret_wait_us))) {
        uint64_t wait_us = shown->push_wait_us ? 2 * shown->push_wait_us : PUSH_US;
        shown->push_wait_us = wait_us < PUSH_MOST_US ? wait_us : PUSH_MOST_US;
        shown->push_us = clock_us() + shown->push_wait_us;
        shown->users++;
        snapdir_unlock(snapdir);
        ns_live_names(shown->ns, push_name, shown);
        snapdir_lock(snapdir);
        shown->users--;
    }
}

static void *snapdir_run(void *arg)
{
    struct snapdir *snapdir = arg;
    snapdir_lock(snapdir);
    while (!snapdir->stopping) {
        uint64_t wait_us = UINT64_MAX;
        snapdir->look = false;
        drop_written(snapdir);
        send_away(snapdir);
        push(snapdir, &wait_us);
        close_free(snapdir, &wait_us);
        if (snapdir->look || snapdir->stopping)
            continue;
        if (wait_us == UINT64_MAX) {
            pthread_cond_wait(&snapdir->changed, &snapdir->mutex);
        } else {
            struct timespec until = time_after_us(wait_us);
            pthread_cond_timedwait(&snapdir->changed, &snapdir->mutex, &until);
        }
    }
    snapdir_unlock(snapdir);
    return NULL;
}

// ------------------------------------------------------------------------------- start, stop

int snapdir_start(struct lsmfs *fs, struct snapdir **ret_snapdir)
{
    if (fs->options.snapdir == SNAPDIR_NONE || fs->options.snapshot || fs->options.follow)
        return 0;
    struct snapdir *snapdir = calloc(1, sizeof *snapdir);
    if (!snapdir)
        return -ENOMEM;
    snapdir->fs = fs;
    pthread_mutex_init(&snapdir->mutex, NULL);
    cond_init(&snapdir->changed);
    int error = pthread_create(&snapdir->thread, NULL, snapdir_run, snapdir);
    if (error) {
        snapdir->joined = true;
        snapdir_free(snapdir);
        return -error;
    }
    pthread_setname_np(snapdir->thread, "lsmfs-snapshot");
    *ret_snapdir = snapdir;
    return 0;
}

void snapdir_stop(struct snapdir *snapdir)
{
    if (!snapdir || snapdir->joined)
        return;
    snapdir_lock(snapdir);
    snapdir->stopping = true;
    wake(snapdir);
    snapdir_unlock(snapdir);
    pthread_join(snapdir->thread, NULL);
    snapdir->joined = true;
}

// Nobody else has it any more.
NOT_CHECKED void snapdir_free(struct snapdir *snapdir)
{
    if (!snapdir)
        return;
    for (unsigned i = 0; i < BUCKETS; i++) {
        while (snapdir->buckets[i]) {
            struct snapdir_snapshot *shown = snapdir->buckets[i];
            take_out(snapdir, shown);
            (void)!ns_close(shown->ns);
            free(shown);
        }
    }
    while (snapdir->written) {
        struct written_pages *written = snapdir->written;
        snapdir->written = written->next;
        free(written);
    }
    pthread_cond_destroy(&snapdir->changed);
    pthread_mutex_destroy(&snapdir->mutex);
    free(snapdir);
}
