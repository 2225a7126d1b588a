// Writes of one file by several threads at once.
//
// The cluster does the guarded writes of an object one after another, and each takes as long as the
// disks of all replicas need. So while one of a stripe is on its way, others wait here, and those
// that touch each other go as one when it has ended: sixteen threads that append are a few
// operations of whole objects, on the way at once, and not sixteen in a row.
//
// Whoever finds its stripes free leads: it takes those with it that begin where its own bytes end,
// or end where they begin, writes them all, and gives each its result, which is the same for all.
// One thread alone waits for nothing. Writes that are forced into a full pool and others do not go
// together.
//
// Thread safety: the list is under the store's mutex. Who has not led touches its own entry again
// only when it is ENDED.
#include <assert.h>

#include "env_rados/remote.h"

#define FORCED_MAX (64u << 10) // bytes of a small write

struct joined_write {
    struct joined_write *next; // of the file's
    struct write_part part;    // linked with those that go together, in their order
    uint64_t offset, size;
    bool force;
    enum { WAITS, GOES, ENDED } state;
    const struct joined_write *leader; // of one that goes
    int rc;                            // of one that has ended
    struct status_kept kept;           // its detail
};

static bool share_stripes(const struct remote *store, const struct joined_write *a,
                          const struct joined_write *b)
{
    return a->offset / store->stripe <= (b->offset + b->size - 1) / store->stripe &&
           b->offset / store->stripe <= (a->offset + a->size - 1) / store->stripe;
}

// Whether others than those that `leader` takes are writing to the same stripes.
static bool is_held_up(const struct remote *store, const struct remote_file *file,
                       const struct joined_write *write, const struct joined_write *leader)
    REQUIRES(remote_mutex)
{
    for (const struct joined_write *w = file->writes; w; w = w->next)
        if (w->state == GOES && w->leader != leader && share_stripes(store, w, write))
            return true;
    return false;
}

// What goes as one.
struct joined_run {
    struct write_part *first, *last;
    uint64_t offset, size;
};

static void run_add(struct joined_run *run, struct joined_write *write,
                    const struct joined_write *leader)
{
    if (!run->size) {
        run->first = run->last = &write->part;
        run->offset = write->offset;
    } else if (write->offset == run->offset + run->size) {
        run->last->next = &write->part;
        run->last = &write->part;
    } else {
        assert(write->offset + write->size == run->offset);
        write->part.next = run->first;
        run->first = &write->part;
        run->offset = write->offset;
    }
    run->size += write->size;
    write->state = GOES;
    write->leader = leader;
}

static struct joined_run take_run(const struct remote *store, const struct remote_file *file,
                                  struct joined_write *leader) REQUIRES(remote_mutex)
{
    struct joined_run run = {0};
    run_add(&run, leader, leader);
    for (struct joined_write *w = file->writes, *next; w; w = next) {
        next = w->next;
        bool touches = w->offset == run.offset + run.size || w->offset + w->size == run.offset;
        if (w->state == WAITS && touches && w->force == leader->force &&
            run.size + w->size <= store->stripe && !is_held_up(store, file, w, leader)) {
            run_add(&run, w, leader);
            next = file->writes; // others may touch what has grown
        }
    }
    return run;
}

// Gives those that have gone their result and takes them off the list.
static void end_run(struct remote_file *file, const struct joined_write *leader, int rc)
    REQUIRES(remote_mutex)
{
    for (struct joined_write **link = &file->writes; *link;) {
        struct joined_write *w = *link;
        if (w->leader != leader) {
            link = &w->next;
            continue;
        }
        assert(w->state == GOES);
        *link = w->next;
        w->rc = rc;
        if (rc && w != leader)
            status_keep(&w->kept);
        w->state = ENDED;
    }
}

int remote_file_write(struct remote *store, struct remote_file *file, const struct iovec *pieces,
                      int count, uint64_t offset)
{
    struct joined_write self = {.part = {pieces, count, NULL}, .offset = offset};
    for (int i = 0; i < count; i++)
        self.size += pieces[i].iov_len;
    if (offset + self.size < offset ||
        (offset + self.size) / store->stripe > UINT32_MAX - 2 * STRIPES_AT_ONE)
        return status_fail(LSM_INVALID, "%s: offset out of range", store->path);
    if (!self.size)
        return remote_check(store);
    self.force = self.size <= FORCED_MAX;
    remote_lock(store);
    self.next = file->writes;
    file->writes = &self;
    while (self.state == GOES || (self.state == WAITS && is_held_up(store, file, &self, NULL)))
        store->cluster->ops->wait(store->cluster, &store->changed, &store->mutex);
    if (self.state == ENDED) {
        assert(self.leader && self.leader != &self);
        remote_unlock(store);
        if (self.rc)
            status_restore(&self.kept);
        return self.rc;
    }
    struct joined_run run = take_run(store, file, &self);
    remote_unlock(store);
    int rc = stripes_write(store, file, run.first, run.offset, run.size, self.force);
    remote_lock(store);
    end_run(file, &self, rc);
    pthread_cond_broadcast(&store->changed);
    remote_unlock(store);
    return rc;
}
