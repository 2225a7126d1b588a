// The lease: who may write, who reads.
//
// Attributes of the index: `epoch`; `holder`, the present writer ("-": none) as
// "NONCE PLACE\nADDRESS\nNOTE"; `beat`, a number that the writer raises all the time; `readers`, a
// number that each new reader raises; `followed`, which each follower changes now and then;
// `identity`, random digits that the store was made with, or has got from its first writer that
// knew of them. Readers are entries "s NONCE" of the map, with a beat each.
//
// No clock is compared with another machine's. Whoever wants the lease looks at the beat again and
// again; if it has not changed for LEASE_US by the watcher's own clock, its owner has let go of the
// lease. A look that took long says nothing, as the owner's beat may have been held up as well:
// then the time begins anew. A process that is known to be gone is not waited for.
//
// That an owner is judged wrongly costs it its mount and does no harm otherwise: who takes the
// lease raises the epoch in the same operation that compares what it has seen.
//
// Thread safety: taking and dropping belong to the thread that opens and closes the store; ticks to
// the store's own thread.
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cond.h"
#include "base/hash.h"
#include "env_rados/remote.h"

#define FORMAT          "lsmfs 1"
#define NOBODY          "-"
#define NUMBER_MAX      24
#define TAKE_TRIES      1000u // each time somebody else was faster
#define LAST_REMOVALS   64u   // objects that are removed before the store is let go of
#define SIGN_AGE_US     (UINT64_C(3600) * 1000000)
#define REMOVALS_A_BEAT 200u // if they take less time than that

struct seen { // the lease, as of one moment
    bool format_ok, newer;
    char epoch[EPOCH_DIGITS + 1];
    char holder[HOLDER_MAX], beat[NUMBER_MAX], readers[NUMBER_MAX], followed[SIGN_MAX];
    char identity[EPOCH_DIGITS + 1];
};

struct reader_list {
    struct remote *store;
    struct buf keys; // each with its length as a byte before it
    struct buf last;
    size_t count;
    uint64_t hash; // of all keys and values
    bool all_gone;
    char some[HOLDER_MAX]; // one that is not known to be gone
    int rc;
};

// A watch over something that changes while its owner is alive.
struct lease_watch {
    uint64_t hash, since_us;
    bool begun;
};

// ------------------------------------------------------------------------------------- looking

static void copy_text(char *text, size_t size, struct slice value)
{
    size_t n = value.size < size - 1 ? value.size : size - 1;
    memcpy(text, value.data, n);
    text[n] = 0;
}

static void see_attribute(void *arg, struct slice name, struct slice value)
{
    struct seen *seen = arg;
    if (slice_equal(name, slice_str("format"))) {
        seen->format_ok = slice_equal(value, slice_str(FORMAT));
        seen->newer = !seen->format_ok;
    } else if (slice_equal(name, slice_str("epoch"))) {
        copy_text(seen->epoch, sizeof seen->epoch, value);
    } else if (slice_equal(name, slice_str("holder"))) {
        copy_text(seen->holder, sizeof seen->holder, value);
    } else if (slice_equal(name, slice_str("beat"))) {
        copy_text(seen->beat, sizeof seen->beat, value);
    } else if (slice_equal(name, slice_str("readers"))) {
        copy_text(seen->readers, sizeof seen->readers, value);
    } else if (slice_equal(name, slice_str("followed"))) {
        copy_text(seen->followed, sizeof seen->followed, value);
    } else if (slice_equal(name, slice_str("identity"))) {
        copy_text(seen->identity, sizeof seen->identity, value);
    }
}

static int look(struct remote *store, struct seen *seen)
{
    *seen = (struct seen){0};
    int answer = store->cluster->ops->attributes(store->cluster, INDEX_OBJECT, see_attribute, seen);
    if (answer == -ENOENT)
        return status_fail(LSM_NOT_FOUND, "%s does not exist", store->path);
    if (answer)
        return status_fail(LSM_IO_ERROR, "%s: reading the lease: %s", store->path,
                           strerror(-answer));
    if (seen->newer)
        return status_fail(LSM_NEWER_FORMAT, "%s: the index is of another format", store->path);
    if (!seen->format_ok || strlen(seen->epoch) != EPOCH_DIGITS || !*seen->holder)
        return status_fail(LSM_CORRUPTION, "%s: the index: the lease is damaged", store->path);
    return 0;
}

// The parts of a holder's or reader's text, which is changed.
static void take_apart(char *text, char **place, char **address, char **note)
{
    char *lines = text;
    strsep(&lines, " ");
    *place = lines ? lines : text;
    *address = *note = (char *)"";
    if (lines && strsep(&lines, "\n") && lines)
        *address = lines;
    if (lines && strsep(&lines, "\n") && lines)
        *note = lines;
    (*note)[strcspn(*note, "\n")] = 0;
}

static int busy(const struct remote *store, const char *holder)
{
    char text[HOLDER_MAX], host[64] = "?", *place, *address, *note;
    long pid = 0;
    snprintf(text, sizeof text, "%s", holder);
    take_apart(text, &place, &address, &note);
    (void)sscanf(place, "%63s %*s %*s %ld", host, &pid);
    return status_fail(LSM_BUSY, "%s is in use by process %ld on %s%s%s%s", store->path, pid, host,
                       *note ? " (" : "", note, *note ? ")" : "");
}

static bool is_gone(struct remote *store, const char *holder)
{
    char text[HOLDER_MAX], *place, *address, *note;
    snprintf(text, sizeof text, "%s", holder);
    take_apart(text, &place, &address, &note);
    return store->cluster->ops->is_gone(store->cluster, place);
}

// Whether what hashes to `hash` has stood still for long enough; *ret_moved: it has changed since
// the watch began. `took_us`: how long the look took.
static bool watch_over(struct remote *store, struct lease_watch *watch, uint64_t hash,
                       uint64_t took_us, bool *ret_moved)
{
    uint64_t now = store->cluster->ops->now_us(store->cluster);
    *ret_moved = watch->begun && watch->hash != hash;
    if (!watch->begun || watch->hash != hash || took_us > LOOK_US) {
        *watch = (struct lease_watch){hash, now, true};
        return false;
    }
    return now - watch->since_us >= LEASE_US;
}

static void see_reader(void *arg, struct slice key, struct slice value)
{
    struct reader_list *list = arg;
    char text[HOLDER_MAX];
    if (list->rc)
        return;
    list->rc = key.size ? buf_assign(&list->last, key.data, key.size)
                        : status_fail(LSM_CORRUPTION, "%s: the index: an entry without a name",
                                      list->store->path);
    if (list->rc || key.data[0] != 's' || key.size > 255)
        return;
    uint8_t length = (uint8_t)key.size;
    list->rc = buf_append(&list->keys, &length, 1);
    if (!list->rc)
        list->rc = buf_append(&list->keys, key.data, key.size);
    if (list->rc)
        return;
    list->hash = hash64_seeded(key.data, key.size, list->hash);
    list->hash = hash64_seeded(value.data, value.size, list->hash);
    list->count++;
    copy_text(text, sizeof text, value);
    if (!is_gone(list->store, text)) {
        list->all_gone = false;
        snprintf(list->some, sizeof list->some, "%s", text);
    }
}

// The map's entries from "s" on.
static int look_readers(struct remote *store, struct reader_list *list)
{
    *list = (struct reader_list){.store = store, .all_gone = true};
    bool more = true;
    int answer = 0, rc = buf_assign(&list->last, "s", 1);
    if (rc)
        return rc;
    while (!answer && more && !list->rc)
        answer = store->cluster->ops->map(store->cluster, INDEX_OBJECT, buf_slice(&list->last),
                                          see_reader, list, &more);
    if (answer)
        return status_fail(LSM_IO_ERROR, "%s: reading the lease: %s", store->path,
                           strerror(-answer));
    return list->rc;
}

static void release_readers(struct reader_list *list)
{
    buf_release(&list->keys);
    buf_release(&list->last);
}

// ------------------------------------------------------------------------------------- making

static struct cluster_pair attribute(const char *name, const char *value)
{
    return (struct cluster_pair){slice_str(name), slice_str(value)};
}

static struct cluster_guard guard(const char *name, const char *value)
{
    return (struct cluster_guard){name, CLUSTER_IS, slice_str(value)};
}

int lease_make(struct remote *store)
{
    char identity[EPOCH_DIGITS + 1];
    store->cluster->ops->nonce(store->cluster, identity);
    const struct cluster_pair attributes[] = {
        attribute("format", FORMAT), attribute("epoch", "0000000000000000"),
        attribute("holder", NOBODY), attribute("beat", "0"),
        attribute("readers", "0"),   attribute("identity", identity),
    };
    const struct cluster_write write = {.object = INDEX_OBJECT,
                                        .create = true,
                                        .attributes = attributes,
                                        .attribute_count = sizeof attributes / sizeof *attributes};
    int answer = cluster_write(store->cluster, &write);
    if (answer == -EEXIST)
        return status_fail(LSM_EXISTS, "%s exists", store->path);
    if (answer == -EPERM || answer == -EACCES)
        return status_fail(LSM_PERMISSION, "%s: the cluster denies access", store->path);
    return answer ? remote_failed(store, answer, "making the store") : 0;
}

// Whether nobody holds the lease, or this process does.
static bool is_ours(struct remote *store, const struct seen *seen)
{
    char text[HOLDER_MAX], here[CLUSTER_PLACE_MAX], *place, *address, *note;
    if (strcmp(seen->holder, NOBODY) == 0)
        return true;
    snprintf(text, sizeof text, "%s", seen->holder);
    take_apart(text, &place, &address, &note);
    store->cluster->ops->place(store->cluster, here);
    return strcmp(place, here) == 0;
}

int lease_remove(struct remote *store)
{
    struct seen seen;
    int rc = look(store, &seen);
    if (!rc)
        rc = index_load(store);
    if (!rc && store->names.count)
        rc = status_fail(LSM_EXISTS, "%s: not empty", store->path);
    if (!rc && !is_ours(store, &seen))
        rc = busy(store, seen.holder);
    for (struct trash *trash = store->trash; trash && !rc; trash = trash->next)
        for (bool done = false; !done && !rc;)
            rc = trash_step(store, trash, &done);
    if (rc)
        return rc;
    struct cluster_write write = {.object = INDEX_OBJECT, .remove = true, .force = true};
    write.guards[0] = guard("epoch", seen.epoch);
    write.guard_count = 1;
    int answer = cluster_write(store->cluster, &write);
    return answer && answer != -ENOENT ? remote_failed(store, answer, "removing the store") : 0;
}

// ------------------------------------------------------------------------------------- taking

// What this store says of itself.
static void describe(struct remote *store, char *text, size_t size, const char *head)
{
    char place[CLUSTER_PLACE_MAX];
    store->cluster->ops->place(store->cluster, place);
    remote_lock(store);
    snprintf(text, size, "%s %s\n%s\n%s", head, place, store->cluster->ops->address(store->cluster),
             store->note);
    remote_unlock(store);
}

static void next_epoch(const char *epoch, char next[EPOCH_DIGITS + 1])
{
    snprintf(next, EPOCH_DIGITS + 1, "%016" PRIx64, (uint64_t)strtoull(epoch, NULL, 16) + 1);
}

// The operation that makes this store the writer, if nothing has changed since it looked. An
// operation that failed in whatever way may have been done: looking again tells.
static int take_epoch(struct remote *store, const struct seen *seen, const struct reader_list *list,
                      bool *ret_taken)
{
    char holder[HOLDER_MAX], next[EPOCH_DIGITS + 1];
    struct seen after;
    struct slice *gone = calloc(list->count + 1, sizeof *gone);
    if (!gone)
        return status_no_memory(list->count * sizeof *gone);
    const uint8_t *p = list->keys.data;
    for (size_t i = 0; i < list->count; i++, p += 1 + *p)
        gone[i] = slice_of(p + 1, *p);
    store->cluster->ops->nonce(store->cluster, store->nonce);
    describe(store, holder, sizeof holder, store->nonce);
    next_epoch(seen->epoch, next);
    char identity[EPOCH_DIGITS + 1];
    store->cluster->ops->nonce(store->cluster, identity); // for a store that has none
    const struct cluster_pair attributes[] = {attribute("epoch", next), attribute("holder", holder),
                                              attribute("beat", "0"),
                                              attribute("identity", identity)};
    const struct cluster_write write = {
        .object = INDEX_OBJECT,
        .guards = {guard("epoch", seen->epoch), guard("holder", seen->holder),
                   guard("beat", seen->beat), guard("readers", seen->readers)},
        .guard_count = 4,
        .force = true,
        .attributes = attributes,
        .attribute_count = *seen->identity ? 3 : 4,
        .unset = gone,
        .unset_count = list->count,
    };
    int answer = cluster_write(store->cluster, &write);
    free(gone);
    int rc = answer ? look(store, &after) : 0;
    if (rc)
        return rc;
    *ret_taken = !answer || (strcmp(after.epoch, next) == 0 &&
                             strncmp(after.holder, store->nonce, strlen(store->nonce)) == 0);
    if (*ret_taken) {
        memcpy(store->epoch, next, sizeof store->epoch);
        store->identity = strtoull(*seen->identity ? seen->identity : identity, NULL, 16);
    } else if (answer != -ECANCELED)
        return status_fail(answer == -ENOSPC || answer == -EDQUOT ? LSM_NO_SPACE : LSM_IO_ERROR,
                           "%s: taking the lease: %s", store->path, strerror(-answer));
    return 0;
}

// Shuts the last writer out, if it has not let go of the lease by itself. It does no harm if that
// fails, since the last writer's epoch is over: only what it may still write to objects of its own
// is not removed then.
static void block_holder(struct remote *store, const char *holder)
{
    char text[HOLDER_MAX], *place, *address, *note;
    if (strcmp(holder, NOBODY) == 0)
        return;
    snprintf(text, sizeof text, "%s", holder);
    take_apart(text, &place, &address, &note);
    address[strcspn(address, "\n")] = 0;
    if (*address)
        (void)store->cluster->ops->block(store->cluster, address);
}

// After the epoch was raised: all that the last writer was writing.
static int seal_all(struct remote *store)
{
    int rc = index_load(store);
    for (size_t i = 0; i < store->files.size && !rc; i++)
        for (struct hash_node *node = store->files.buckets[i]; node && !rc; node = node->next) {
            struct remote_file *file = (struct remote_file *)node;
            if (file->writing)
                rc = remote_file_seal(store, file);
        }
    return rc;
}

// Waits until nobody is in the way, or says who is.
static int wait_for_turn(struct remote *store, bool shared, struct seen *seen,
                         struct reader_list *list)
{
    struct lease_watch holder_watch = {0}, reader_watch = {0};
    const struct cluster_ops *ops = store->cluster->ops;
    for (;;) {
        uint64_t start = ops->now_us(store->cluster);
        int rc = look(store, seen);
        if (!rc && !shared)
            rc = look_readers(store, list);
        if (rc)
            return rc;
        uint64_t took = ops->now_us(store->cluster) - start;
        uint64_t hash = hash64(seen->beat, strlen(seen->beat));
        hash = hash64_seeded(seen->holder, strlen(seen->holder), hash);
        bool moved, held = strcmp(seen->holder, NOBODY) != 0;
        bool over = watch_over(store, &holder_watch, hash, took, &moved);
        if (held && moved)
            return busy(store, seen->holder);
        bool free = !held || over || is_gone(store, seen->holder);
        if (!shared && list->count && !list->all_gone) {
            over = watch_over(store, &reader_watch, list->hash, took, &moved);
            if (moved)
                return busy(store, list->some);
            free = free && over;
        }
        if (free)
            return 0;
        if (!shared)
            release_readers(list);
        ops->sleep_us(store->cluster, LOOK_AGAIN_US);
    }
}

// *ret_last: whose place it has taken.
static int become_writer(struct remote *store, struct seen *ret_last)
{
    assert(!store->holds && !store->shares && !store->running);
    for (unsigned tries = 0; tries < TAKE_TRIES; tries++) {
        struct reader_list list = {0};
        bool taken = false;
        int rc = wait_for_turn(store, false, ret_last, &list);
        if (!rc)
            rc = take_epoch(store, ret_last, &list, &taken);
        release_readers(&list);
        if (rc)
            return rc;
        if (!taken)
            continue;
        store->holds = true;
        remote_lock(store);
        store->beat = 0;
        store->next_number = (uint64_t)strtoull(store->epoch, NULL, 16) << 32 | 1;
        remote_unlock(store);
        return 0;
    }
    return status_fail(LSM_BUSY, "%s is in use by others all the time", store->path);
}

// Registers a reader while nobody writes. *ret_done: false if somebody was faster.
static int become_reader(struct remote *store, bool *ret_done)
{
    struct seen seen;
    char head[NUMBER_MAX * 2], text[HOLDER_MAX], key[24], count[NUMBER_MAX];
    *ret_done = false;
    int rc = look(store, &seen);
    if (rc || strcmp(seen.holder, NOBODY) != 0)
        return rc;
    memcpy(store->epoch, seen.epoch, sizeof store->epoch);
    store->identity = strtoull(seen.identity, NULL, 16);
    store->cluster->ops->nonce(store->cluster, store->nonce);
    snprintf(key, sizeof key, "s%s", store->nonce);
    snprintf(head, sizeof head, "%s.0", store->nonce);
    snprintf(count, sizeof count, "%llu", strtoull(seen.readers, NULL, 10) + 1);
    describe(store, text, sizeof text, head);
    const struct cluster_pair attributes[] = {attribute("readers", count)};
    const struct cluster_pair entry = {slice_str(key), slice_str(text)};
    const struct cluster_write write = {
        .object = INDEX_OBJECT,
        .guards = {guard("epoch", seen.epoch), guard("holder", NOBODY),
                   guard("readers", seen.readers)},
        .guard_count = 3,
        .force = true,
        .attributes = attributes,
        .attribute_count = 1,
        .set = &entry,
        .set_count = 1,
    };
    int answer = cluster_write(store->cluster, &write);
    if (answer == -ECANCELED)
        return 0;
    if (answer)
        return status_fail(LSM_IO_ERROR, "%s: taking the lease: %s", store->path,
                           strerror(-answer));
    store->shares = *ret_done = true;
    return 0;
}

static void *tick_all_the_time(void *arg)
{
    struct remote *store = arg;
    for (;;) {
        remote_lock(store);
        struct timespec until = time_after_us(BEAT_US);
        int error = 0;
        while (!store->stopping && error != ETIMEDOUT)
            error = pthread_cond_timedwait(&store->changed, &store->mutex, &until);
        bool stopping = store->stopping;
        remote_unlock(store);
        if (stopping)
            return NULL;
        lease_tick(store);
    }
}

static int start_thread(struct remote *store)
{
    if (!store->threaded)
        return 0;
    remote_lock(store);
    store->stopping = false;
    remote_unlock(store);
    int error = pthread_create(&store->thread, NULL, tick_all_the_time, store);
    if (error)
        return status_fail(LSM_NO_MEMORY, "%s: no thread for the lease: %s", store->path,
                           strerror(error));
    pthread_setname_np(store->thread, "lsm-lease");
    store->running = true;
    return 0;
}

static void stop_thread(struct remote *store)
{
    if (!store->running)
        return;
    store->running = false;
    remote_lock(store);
    store->stopping = true;
    pthread_cond_broadcast(&store->changed);
    remote_unlock(store);
    pthread_join(store->thread, NULL);
}

// As a writer, with the thread running: seals what the last writer left, makes the lock's name.
static int settle(struct remote *store, const char *lock_name)
{
    struct remote_file *file;
    int rc = seal_all(store);
    remote_lock(store);
    store->settled = !rc;
    bool there = !lock_name || index_find(store, lock_name);
    remote_unlock(store);
    if (rc || there)
        return rc;
    rc = index_create(store, lock_name, false, &file);
    if (rc)
        return rc;
    rc = index_note_file(store, file, false);
    index_release(store, file);
    return rc;
}

static void set_note(struct remote *store, const char *note)
{
    remote_lock(store);
    snprintf(store->note, sizeof store->note, "%.*s", note ? (int)strcspn(note, "\n") : 0,
             note ? note : "");
    remote_unlock(store);
}

// Lets go of the lease; what the thread knows of a failure stays.
static void drop_after(struct remote *store)
{
    struct status_kept kept;
    status_keep(&kept);
    lease_drop(store);
    status_restore(&kept);
}

static int take_writer(struct remote *store, const char *lock_name)
{
    struct seen last;
    int rc = become_writer(store, &last);
    if (rc)
        return rc;
    rc = start_thread(store);
    if (rc) {
        store->holds = false;
        return rc;
    }
    block_holder(store, last.holder); // waits for monitors that are away, so the lease must be kept
    rc = settle(store, lock_name);
    if (rc)
        drop_after(store);
    return rc;
}

static bool anything_unsettled(struct remote *store)
{
    for (size_t i = 0; i < store->files.size; i++)
        for (struct hash_node *node = store->files.buckets[i]; node; node = node->next)
            if (((struct remote_file *)node)->writing)
                return true;
    return false;
}

// A writer that has died leaves files whose lengths only its objects tell, and its name in the
// lease. A reader becomes the writer for a moment, which notes the lengths and clears the lease.
static int take_reader(struct remote *store)
{
    for (unsigned tries = 0; tries < TAKE_TRIES; tries++) {
        struct seen seen;
        struct reader_list none = {0};
        bool done = false;
        int rc = wait_for_turn(store, true, &seen, &none);
        bool dead = !rc && strcmp(seen.holder, NOBODY) != 0;
        if (!rc && !dead)
            rc = become_reader(store, &done);
        if (!rc && done)
            rc = start_thread(store); // before the index, which may be long, is read
        if (!rc && done)
            rc = index_load(store);
        if (!rc && done && !anything_unsettled(store))
            return 0;
        if (done)
            drop_after(store);
        if (rc)
            return rc;
        if (done || dead)
            rc = take_writer(store, NULL);
        if (rc)
            return rc;
        if (store->holds)
            lease_drop(store);
    }
    return status_fail(LSM_BUSY, "%s is in use by others all the time", store->path);
}

int lease_take(struct remote *store, bool shared, const char *lock_name, const char *note)
{
    set_note(store, note);
    return shared ? take_reader(store) : take_writer(store, lock_name);
}

// ------------------------------------------------------------------------------------- holding

static void beat_writer(struct remote *store)
{
    char number[NUMBER_MAX], holder[HOLDER_MAX];
    assert(store->holds);
    describe(store, holder, sizeof holder, store->nonce);
    remote_lock(store);
    snprintf(number, sizeof number, "%" PRIu64, ++store->beat);
    remote_unlock(store);
    const struct cluster_pair attributes[] = {attribute("beat", number),
                                              attribute("holder", holder)};
    struct cluster_write write = {
        .object = INDEX_OBJECT, .force = true, .attributes = attributes, .attribute_count = 2};
    write.guards[0] = guard("epoch", store->epoch);
    write.guard_count = 1;
    int answer = cluster_write(store->cluster, &write);
    // A beat that was missed does no harm; that the epoch is over does.
    if (answer == -ECANCELED || answer == -ESHUTDOWN)
        (void)!remote_failed(store, answer, "the lease");
}

static void beat_reader(struct remote *store)
{
    char head[NUMBER_MAX * 2], text[HOLDER_MAX], key[24];
    assert(store->shares && !store->holds);
    remote_lock(store);
    snprintf(head, sizeof head, "%s.%" PRIu64, store->nonce, ++store->beat);
    remote_unlock(store);
    describe(store, text, sizeof text, head);
    snprintf(key, sizeof key, "s%s", store->nonce);
    const struct cluster_pair entry = {slice_str(key), slice_str(text)};
    struct cluster_write write = {
        .object = INDEX_OBJECT, .force = true, .set = &entry, .set_count = 1};
    write.guards[0] = guard("epoch", store->epoch);
    write.guard_count = 1;
    (void)cluster_write(store->cluster, &write); // fails if a writer has taken over: no harm
}

// Removes the next object; false: there is none, or it cannot be done now.
static bool remove_one(struct remote *store)
{
    bool done = false;
    remote_lock(store);
    struct trash *trash = store->settled ? store->trash : NULL;
    remote_unlock(store);
    if (!trash || remote_check(store))
        return false;
    int rc = trash_step(store, trash, &done);
    if (!rc && done)
        rc = index_forget_trash(store, trash->number);
    if (rc)
        return false;
    if (!done)
        return true;
    remote_lock(store);
    struct trash **link = &store->trash;
    while (*link != trash)
        link = &(*link)->next;
    *link = trash->next;
    remote_unlock(store);
    free(trash);
    return true;
}

void lease_tick(struct remote *store)
{
    if (store->shares) {
        beat_reader(store);
        return;
    }
    if (remote_check(store))
        return;
    const struct cluster_ops *ops = store->cluster->ops;
    uint64_t start = ops->now_us(store->cluster);
    beat_writer(store);
    for (unsigned i = 0; i < REMOVALS_A_BEAT && remove_one(store); i++)
        if (ops->now_us(store->cluster) - start >= BEAT_US)
            break; // the next beat is due
}

void lease_drop(struct remote *store)
{
    char key[24];
    if (!store->holds && !store->shares)
        return;
    stop_thread(store);
    const struct cluster_pair nobody = attribute("holder", NOBODY);
    struct cluster_write write = {.object = INDEX_OBJECT, .force = true};
    write.guards[0] = guard("epoch", store->epoch);
    write.guard_count = 1;
    snprintf(key, sizeof key, "s%s", store->nonce);
    const struct slice entry = slice_str(key);
    if (store->holds) {
        for (unsigned i = 0; i < LAST_REMOVALS && remove_one(store); i++)
            ;
        write.attributes = &nobody;
        write.attribute_count = 1;
    } else {
        write.unset = &entry;
        write.unset_count = 1;
    }
    // If it fails, others wait until the lease is over.
    (void)cluster_write(store->cluster, &write);
    store->holds = store->shares = false;
    remote_lock(store);
    store->settled = false;
    remote_unlock(store);
}

void lease_note(struct remote *store, const char *note)
{
    set_note(store, note);
    if (store->holds && !remote_check(store))
        beat_writer(store);
}

int lease_check(struct remote *store)
{
    struct seen seen;
    int rc = look(store, &seen);
    if (!rc && strcmp(seen.epoch, store->epoch) != 0)
        rc = remote_failed(store, -ECANCELED, "the lease");
    return rc;
}

// ------------------------------------------------------------------------------------- followers

static uint64_t wall_clock_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

// The sign is the time: so it is always another one. Without the right to write it stays unsaid.
void lease_say_follower(struct remote *store)
{
    char text[EPOCH_DIGITS + 1];
    snprintf(text, sizeof text, "%016" PRIx64, wall_clock_us());
    const struct cluster_pair sign = attribute("followed", text);
    struct cluster_write write = {
        .object = INDEX_OBJECT, .force = true, .attributes = &sign, .attribute_count = 1};
    write.guards[0] = guard("format", FORMAT);
    write.guard_count = 1;
    (void)cluster_write(store->cluster, &write);
}

// Whether a sign is of a follower that has long gone, even if clocks differ much. Nothing but the
// time at which files are removed depends on it.
static bool is_old_sign(const char *sign)
{
    uint64_t then = strtoull(sign, NULL, 16), now = wall_clock_us();
    return then > now ? then - now > SIGN_AGE_US : now - then > SIGN_AGE_US;
}

// Where it cannot be found out, files had better stay.
bool lease_is_followed(struct remote *store)
{
    struct seen seen;
    uint64_t now = store->cluster->ops->now_us(store->cluster);
    if (look(store, &seen))
        return true;
    if (!*seen.followed)
        return false;
    remote_lock(store);
    bool first = !*store->sign, fresh = strcmp(store->sign, seen.followed) != 0;
    if (fresh) {
        memcpy(store->sign, seen.followed, sizeof store->sign);
        store->sign_us = now;
    }
    bool followed = now - store->sign_us < FOLLOWED_US;
    if (fresh && first && is_old_sign(seen.followed)) {
        store->sign_us = now - FOLLOWED_US;
        followed = false;
    }
    remote_unlock(store);
    return followed;
}

int lease_look(struct remote *store, char ret_identity[EPOCH_DIGITS + 1])
{
    struct seen seen;
    int rc = look(store, &seen);
    memcpy(ret_identity, seen.identity, sizeof seen.identity);
    return rc;
}
