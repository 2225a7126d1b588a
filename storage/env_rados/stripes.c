// A file's bytes: cut into objects of one size.
//
// Each object has an attribute `epoch`, which only grows. A writer's first touch of an object makes
// it, or raises its epoch, together with the bytes; from then on each write asks for exactly that
// epoch. So a write is refused once a later writer has touched the object. After a first touch the
// writer looks whether its epoch is still that of the index: only then was the object made in time
// to be found by the next writer.
//
// A stripe is first written when all of those below are there, but for the STRIPES_AT_ONE less one
// before it, which may be on their way at the same time. remote_file_seal() needs that: it touches
// stripes from the first on until it has made STRIPES_AT_ONE in a row that were missing. Beyond
// them nothing can be written any more. No write returns before all stripes below it are there, so
// a file has no holes below its size, whichever of the writes at work fail.
//
// A stripe is never removed from a file that has a name, only emptied: its epoch must stay.
//
// Small writes are forced into a full pool: the log's records of what is deleted are such writes.
// Tables and large values are refused there, so no more than a log gets into it.
//
// Writes return when they are on the disks: sync has nothing to wait for. What a failed write has
// left is told by its kind (remote.c).
//
// Thread safety: `made` and `high` of a file are under the store's mutex. Two threads do not write
// to one stripe at once (joining.c), but one may make a stripe, since it is missing below its own,
// that another begins to write: the second is told that it exists, and raises its epoch to what it
// is.
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "env_rados/remote.h"

enum touch {
    TOUCH_MAKE,  // there is no object
    TOUCH_RAISE, // there is one, perhaps of an earlier epoch
    TOUCH_NONE,  // it has this epoch
};

struct epoch_seen {
    const struct remote *store;
    bool is_ours;
};

struct stripe_write {
    struct remote *store;
    char object[CLUSTER_NAME_MAX];
    uint32_t stripe;
    enum touch touch;
    struct iovec *pieces; // in struct writing's
    int count;
    uint64_t offset;
    bool force;
    unsigned *waiting; // mutex
    int rc;
};

void stripe_name(char object[CLUSTER_NAME_MAX], uint64_t number, uint32_t stripe)
{
    snprintf(object, CLUSTER_NAME_MAX, "%016" PRIx64 ".%08" PRIx32, number, stripe);
}

// ------------------------------------------------------------------------------------- touching

// Fills in how a write of `touch` is guarded and what else it does. `pair` outlives the write.
static void prepare(struct cluster_write *write, const struct remote *store, enum touch touch,
                    struct cluster_pair *pair)
{
    struct slice epoch = remote_epoch(store);
    *pair = (struct cluster_pair){slice_str("epoch"), epoch};
    if (touch == TOUCH_MAKE) {
        write->create = true;
    } else {
        write->guards[0] = (struct cluster_guard){
            "epoch", touch == TOUCH_RAISE ? CLUSTER_AT_MOST : CLUSTER_IS, epoch};
        write->guard_count = 1;
    }
    if (touch != TOUCH_NONE) {
        write->attributes = pair;
        write->attribute_count = 1;
    }
}

static enum touch touch_of(struct remote *store, const struct remote_file *file, uint32_t stripe)
{
    enum touch touch = TOUCH_MAKE;
    remote_lock(store);
    if (stripe < file->made_count && file->made[stripe] == STRIPE_MADE)
        touch = TOUCH_NONE;
    else if (stripe < file->loaded)
        touch = TOUCH_RAISE;
    remote_unlock(store);
    return touch;
}

// Room to note that the stripes below `count` are there; they may be, from now on.
static int expect_stripes(struct remote *store, struct remote_file *file, uint32_t count)
{
    int rc = 0;
    remote_lock(store);
    size_t before = file->made_count;
    if (!array_reserve(&file->made, &file->made_count, count, sizeof *file->made))
        rc = status_no_memory(count);
    if (file->made_count > before)
        memset(file->made + before, 0, file->made_count - before);
    if (!rc && count > file->high)
        file->high = count;
    remote_unlock(store);
    return rc;
}

static void note_made(struct remote *store, struct remote_file *file, uint32_t stripe)
{
    remote_lock(store);
    assert(stripe < file->made_count);
    file->made[stripe] = STRIPE_MADE;
    while (file->touched < file->made_count && file->made[file->touched] == STRIPE_MADE)
        file->touched++;
    remote_unlock(store);
}

// A stripe is there, or is not, against expectation: a write before this one has failed, or has
// been done twice. Whether to try again.
static bool touch_otherwise(int answer, enum touch *touch)
{
    if (answer == -EEXIST && *touch == TOUCH_MAKE)
        *touch = TOUCH_RAISE;
    else if (answer == -ENOENT && *touch == TOUCH_RAISE)
        *touch = TOUCH_MAKE;
    else
        return false;
    return true;
}

static void see_epoch(void *arg, struct slice name, struct slice value)
{
    struct epoch_seen *seen = arg;
    if (slice_equal(name, slice_str("epoch")))
        seen->is_ours = slice_equal(value, remote_epoch(seen->store));
}

// After a first touch: an object that a later writer has removed can be made again, and nobody
// would ever read it. If this epoch is not over yet, that was not so: the next writer will find the
// object.
static int check_epoch(struct remote *store)
{
    struct epoch_seen seen = {.store = store};
    int answer = store->cluster->ops->attributes(store->cluster, INDEX_OBJECT, see_epoch, &seen);
    return answer ? answer : seen.is_ours ? 0 : -ECANCELED;
}

// One operation on a stripe, touching it as it has to be.
static int touch_and(struct remote *store, struct remote_file *file, uint32_t stripe,
                     const struct cluster_write *what)
{
    char object[CLUSTER_NAME_MAX];
    stripe_name(object, file->number, stripe);
    enum touch touch = touch_of(store, file, stripe);
    int answer;
    do {
        struct cluster_write write = *what;
        struct cluster_pair pair;
        write.object = object;
        prepare(&write, store, touch, &pair);
        answer = cluster_write(store->cluster, &write);
    } while (touch_otherwise(answer, &touch));
    if (!answer && touch != TOUCH_NONE)
        answer = check_epoch(store);
    if (!answer)
        note_made(store, file, stripe);
    return answer;
}

// ------------------------------------------------------------------------------------- writing

static void stripe_written(void *arg, int rc)
{
    struct stripe_write *part = arg;
    struct remote *store = part->store;
    remote_lock(store);
    part->rc = rc;
    assert(*part->waiting > 0);
    --*part->waiting;
    pthread_cond_broadcast(&store->changed);
    remote_unlock(store);
}

static void stripe_begin(struct stripe_write *part)
{
    struct cluster_write write = {.object = part->object,
                                  .pieces = part->pieces,
                                  .piece_count = part->count,
                                  .offset = part->offset,
                                  .force = part->force};
    struct cluster_pair pair;
    prepare(&write, part->store, part->touch, &pair);
    part->store->cluster->ops->write_begin(part->store->cluster, &write, stripe_written, part);
}

// A place in a list of pieces.
struct cursor {
    const struct iovec *pieces;
    int count;
    size_t skip;                   // of the first
    const struct write_part *next; // what follows
};

static uint64_t cursor_take(struct cursor *cursor, uint64_t most, struct iovec *pieces, int *count)
{
    uint64_t taken = 0;
    *count = 0;
    while (taken < most) {
        if (!cursor->count) {
            if (!cursor->next)
                break;
            *cursor =
                (struct cursor){cursor->next->pieces, cursor->next->count, 0, cursor->next->next};
            continue;
        }
        size_t left = cursor->pieces->iov_len - cursor->skip;
        size_t n = left < most - taken ? left : (size_t)(most - taken);
        if (n)
            pieces[(*count)++] = (struct iovec){(char *)cursor->pieces->iov_base + cursor->skip, n};
        taken += n;
        cursor->skip += n;
        if (cursor->skip == cursor->pieces->iov_len) {
            cursor->pieces++;
            cursor->count--;
            cursor->skip = 0;
        }
    }
    return taken;
}

// Whether the stripe is on its way with another thread's write. Without `may_be` that is waited
// for.
static bool is_begun(struct remote *store, const struct remote_file *file, uint32_t stripe,
                     bool may_be)
{
    remote_lock(store);
    while (file->made[stripe] == STRIPE_BEGUN && !may_be)
        store->cluster->ops->wait(store->cluster, &store->changed, &store->mutex);
    bool begun = file->made[stripe] == STRIPE_BEGUN;
    remote_unlock(store);
    return begun;
}

// Touches the stripes below `stripe`, so that they are there. Those from `may_be_begun` on may be
// on their way instead.
static int fill_below(struct remote *store, struct remote_file *file, uint32_t stripe,
                      uint32_t may_be_begun)
{
    static const struct cluster_write nothing;
    remote_lock(store);
    uint32_t i = file->touched;
    remote_unlock(store);
    int rc = i < stripe ? expect_stripes(store, file, stripe) : 0;
    for (; i < stripe && !rc; i++) {
        if (is_begun(store, file, i, i >= may_be_begun) || touch_of(store, file, i) == TOUCH_NONE)
            continue;
        int answer = touch_and(store, file, i, &nothing);
        if (answer)
            rc = remote_failed(store, answer, "making an object");
    }
    return rc;
}

// Ends the writes of these stripes. One that did not find the object as expected is tried again.
static int end_parts(struct remote *store, struct remote_file *file, struct stripe_write *parts,
                     unsigned count)
{
    bool touched = false;
    int rc = 0;
    for (unsigned i = 0; i < count; i++) {
        struct stripe_write *part = &parts[i];
        if (touch_otherwise(part->rc, &part->touch))
            part->rc = touch_and(store, file, part->stripe,
                                 &(struct cluster_write){.pieces = part->pieces,
                                                         .piece_count = part->count,
                                                         .offset = part->offset,
                                                         .force = part->force});
        if (part->rc && !rc)
            rc = remote_failed(store, part->rc, "writing");
        touched = touched || part->touch != TOUCH_NONE;
    }
    int answer = touched ? check_epoch(store) : 0;
    for (unsigned i = 0; i < count && !answer; i++)
        if (!parts[i].rc)
            note_made(store, file, parts[i].stripe);
    return rc || !answer ? rc : remote_failed(store, answer, "writing");
}

// One run of bytes on its way.
struct writing {
    struct remote *store;
    struct remote_file *file;
    bool force;
    struct cursor cursor;
    struct iovec *pieces; // room for what is left at the cursor, and one more for each part
    struct stripe_write parts[STRIPES_AT_ONE];
};

// Says that the stripes are on their way, or are not any more and may not be there.
static void note_begun(struct writing *writing, unsigned count, bool begun)
{
    struct remote_file *file = writing->file;
    remote_lock(writing->store);
    for (unsigned i = 0; i < count; i++) {
        uint8_t *state = &file->made[writing->parts[i].stripe];
        if (*state != STRIPE_MADE)
            *state = begun ? STRIPE_BEGUN : STRIPE_OTHER;
    }
    if (!begun)
        pthread_cond_broadcast(&writing->store->changed);
    remote_unlock(writing->store);
}

// Begins a write for each of the stripes from `offset` on. Returns how many bytes are on their way.
static uint64_t begin_parts(struct writing *writing, unsigned count, uint64_t offset,
                            unsigned *waiting)
{
    struct remote *store = writing->store;
    struct iovec *room = writing->pieces;
    uint64_t size = 0;
    for (unsigned i = 0; i < count; i++) {
        struct stripe_write *part = &writing->parts[i];
        uint64_t at = (offset + size) % store->stripe;
        *part = (struct stripe_write){.store = store,
                                      .stripe = (uint32_t)((offset + size) / store->stripe),
                                      .pieces = room,
                                      .offset = at,
                                      .force = writing->force,
                                      .waiting = waiting};
        stripe_name(part->object, writing->file->number, part->stripe);
        part->touch = touch_of(store, writing->file, part->stripe);
        size += cursor_take(&writing->cursor, store->stripe - at, room, &part->count);
        room += part->count;
    }
    *waiting = count;
    note_begun(writing, count, true);
    for (unsigned i = 0; i < count; i++)
        stripe_begin(&writing->parts[i]);
    return size;
}

// Writes up to STRIPES_AT_ONE stripes from `offset` on, at once. *ret_size: the bytes written, if
// all succeed.
static int write_some(struct writing *writing, uint64_t offset, uint64_t left, uint64_t *ret_size)
{
    struct remote *store = writing->store;
    unsigned waiting;
    uint32_t first = (uint32_t)(offset / store->stripe);
    uint32_t count = (uint32_t)((offset + left - 1) / store->stripe) - first + 1;
    if (count > STRIPES_AT_ONE)
        count = STRIPES_AT_ONE;
    uint32_t end = first + count;
    int rc =
        fill_below(store, writing->file, first, end < STRIPES_AT_ONE ? 0 : end - STRIPES_AT_ONE);
    if (!rc)
        rc = expect_stripes(store, writing->file, end);
    if (rc)
        return rc;
    *ret_size = begin_parts(writing, count, offset, &waiting);
    remote_lock(store);
    while (waiting)
        store->cluster->ops->wait(store->cluster, &store->changed, &store->mutex);
    remote_unlock(store);
    rc = end_parts(store, writing->file, writing->parts, count);
    note_begun(writing, count, false);
    return rc ? rc : fill_below(store, writing->file, first, UINT32_MAX);
}

static void grow_to(struct remote_file *file, uint64_t size)
{
    uint64_t old = atomic_load(&file->size);
    while (old < size && !atomic_compare_exchange_weak(&file->size, &old, size))
        ;
}

int stripes_write(struct remote *store, struct remote_file *file, const struct write_part *parts,
                  uint64_t offset, uint64_t size, bool force)
{
    size_t room = STRIPES_AT_ONE;
    for (const struct write_part *part = parts; part; part = part->next)
        room += (size_t)part->count;
    int rc = remote_check(store);
    if (!rc)
        rc = index_note_file(store, file, true);
    if (rc)
        return rc;
    struct writing *writing = malloc(sizeof *writing + room * sizeof(struct iovec));
    if (!writing)
        return status_no_memory(sizeof *writing + room * sizeof(struct iovec));
    *writing = (struct writing){.store = store,
                                .file = file,
                                .force = force,
                                .cursor = {.next = parts},
                                .pieces = (struct iovec *)(writing + 1)};
    while (!rc && size) {
        uint64_t done;
        rc = write_some(writing, offset, size, &done);
        if (rc)
            break;
        offset += done;
        size -= done;
        grow_to(file, offset);
    }
    free(writing);
    return rc;
}

// Empties the stripes above and cuts the last one, from the end on: whatever interrupts it, what is
// there is the file as it was up to some place.
int remote_file_truncate(struct remote *store, struct remote_file *file, uint64_t size)
{
    int rc = remote_check(store);
    if (rc || (size / store->stripe) > UINT32_MAX - 2 * STRIPES_AT_ONE)
        return rc ? rc : status_fail(LSM_INVALID, "%s: offset out of range", store->path);
    uint32_t keep = (uint32_t)(size / store->stripe);
    remote_lock(store);
    uint32_t high = file->high;
    remote_unlock(store);
    if (high || size)
        rc = index_note_file(store, file, true);
    if (!rc)
        rc = expect_stripes(store, file, high > keep + 1 ? high : keep + 1);
    for (uint32_t i = high; i-- > keep && !rc;) {
        enum touch touch = touch_of(store, file, i);
        uint64_t left = i == keep ? size % store->stripe : 0;
        if (touch == TOUCH_MAKE)
            continue; // was never written
        int answer = touch_and(
            store, file, i, &(struct cluster_write){.truncate = true, .size = left, .force = true});
        if (answer)
            rc = status_final(remote_failed(store, answer, "cutting a file"));
    }
    if (!rc && size > atomic_load(&file->size)) // so that it reads as zeros
        rc = fill_below(store, file, keep + (size % store->stripe != 0), UINT32_MAX);
    if (!rc)
        atomic_store(&file->size, size);
    return rc;
}

// ------------------------------------------------------------------------------------- reading

// What is not written in a stripe that is there reads as zeros.
static void zero_behind(const struct iovec *pieces, int count, size_t got)
{
    for (int i = 0; i < count; i++) {
        size_t n = pieces[i].iov_len, filled = got < n ? got : n;
        memset((char *)pieces[i].iov_base + filled, 0, n - filled);
        got -= filled;
    }
}

int remote_file_read(struct remote *store, struct remote_file *file, const struct iovec *pieces,
                     int count, uint64_t offset, size_t *ret_size)
{
    struct iovec part[ENV_PIECES_MAX + 1];
    char object[CLUSTER_NAME_MAX];
    uint64_t end = atomic_load(&file->size), left = 0, done = 0;
    for (int i = 0; i < count; i++)
        left += pieces[i].iov_len;
    if (offset >= end)
        left = 0;
    else if (left > end - offset)
        left = end - offset;
    for (struct cursor cursor = {pieces, count, 0, NULL}; left;) {
        uint64_t at = (offset + done) % store->stripe;
        uint64_t most = left < store->stripe - at ? left : store->stripe - at;
        int part_count;
        size_t got = 0;
        (void)cursor_take(&cursor, most, part, &part_count);
        stripe_name(object, file->number, (uint32_t)((offset + done) / store->stripe));
        int answer = store->cluster->ops->read(store->cluster, object, at, part, part_count, &got);
        if (answer == -ENOENT)
            return status_fail(LSM_CORRUPTION, "%s: object %s is gone", store->path, object);
        if (answer)
            return status_fail(LSM_IO_ERROR, "%s: reading object %s: %s", store->path, object,
                               strerror(-answer));
        zero_behind(part, part_count, got);
        done += most;
        left -= most;
    }
    *ret_size = (size_t)done;
    return 0;
}

// ------------------------------------------------------------------------------------- sealing

// Raises the stripe's epoch, making it if it is missing.
static int seal_stripe(struct remote *store, const char *object, bool *ret_missing)
{
    for (;;) {
        struct cluster_pair pair;
        struct cluster_write raise = {.object = object, .force = true};
        struct cluster_write make = {.object = object, .force = true};
        prepare(&raise, store, TOUCH_RAISE, &pair);
        int answer = cluster_write(store->cluster, &raise);
        *ret_missing = answer == -ENOENT;
        if (answer != -ENOENT)
            return answer;
        prepare(&make, store, TOUCH_MAKE, &pair);
        answer = cluster_write(store->cluster, &make);
        if (answer != -EEXIST) // else the earlier writer has just made it
            return answer;
    }
}

int remote_file_seal(struct remote *store, struct remote_file *file)
{
    char object[CLUSTER_NAME_MAX];
    uint64_t size = 0;
    uint32_t stripe = 0;
    int answer = 0;
    for (unsigned missing = 0; missing < STRIPES_AT_ONE && !answer; stripe++) {
        bool was_missing;
        uint64_t bytes = 0;
        stripe_name(object, file->number, stripe);
        answer = seal_stripe(store, object, &was_missing);
        if (!answer && !was_missing)
            answer = store->cluster->ops->size(store->cluster, object, &bytes);
        if (bytes)
            size = stripe * store->stripe + bytes;
        missing = was_missing ? missing + 1 : 0;
    }
    if (answer)
        return remote_failed(store, answer, "sealing what the last writer was writing");
    atomic_store(&file->size, size);
    file->high = file->loaded = stripe;
    return index_note_file(store, file, false);
}

// ------------------------------------------------------------------------------------- removing

int trash_step(struct remote *store, struct trash *trash, bool *ret_done)
{
    char object[CLUSTER_NAME_MAX];
    assert(trash->done <= trash->high);
    if (trash->done < trash->high) {
        stripe_name(object, trash->number, trash->done);
        int answer =
            cluster_write(store->cluster,
                          &(struct cluster_write){.object = object, .remove = true, .force = true});
        if (answer && answer != -ENOENT)
            return status_fail(LSM_IO_ERROR, "%s: removing an object: %s", store->path,
                               strerror(-answer));
        trash->done++;
    }
    *ret_done = trash->done == trash->high;
    return 0;
}
