// The context of an operation: records in, one batch out.
//
// Every operation that changes something takes a struct op, loads records into it, changes them,
// adds what changed to the batch and commits the batch once. Memory is changed only after the
// commit has succeeded, so a failure leaves everything as it was. The one exception: a directory's
// count of changes is raised before the commit and after it (op_commit_names).
//
// Contexts are kept on a short list between operations together with their buffers; a buffer that
// grew large is released. Thread safety: a context belongs to one thread; the list has a mutex.
#include "ns/operation/ns_internal.h"

#include <assert.h>
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define IDLE_OPS_MAX    16u
#define KEEP_BUFFER_MAX (256u << 10)
#define PEEK_YIELDS     64u // attempts of op_peek before it sleeps between them, and
#define PEEK_ATTEMPTS   1064u
#define PEEK_SLEEP_US   100u

LOCK_FUNCTIONS(idle_ops, struct ns, op_mutex, ns_op_mutex)

static void op_free(struct op *op)
{
    lsm_batch_free(op->batch);
    lsm_batch_free(op->staged);
    struct loaded *records[] = {&op->file,        &op->entry,        &op->dir,
                                &op->target_file, &op->target_entry, &op->target_dir};
    for (size_t i = 0; i < sizeof records / sizeof records[0]; i++)
        lsm_buf_release(&records[i]->raw);
    lsm_buf_release(&op->acl);
    buf_release(&op->out);
    buf_release(&op->content);
    free(op->extents.at);
    free(op->source.at);
    free(op->unwritten.at);
    free(op->lost.at);
    free(op);
}

// How often this thread is behind the gate. (Of the trees that it uses, one at most can be
// changed.)
static _Thread_local unsigned passes;

// With the mutex.
static void pass(struct ns *ns) REQUIRES(ns_op_mutex)
{
    if (ns->read_only)
        return;
    while (ns->gate_closed && passes == 0)
        pthread_cond_wait(&ns->gate_changed, &ns->op_mutex);
    passes++;
    ns->passed++;
}

static void come_back(struct ns *ns) REQUIRES(ns_op_mutex)
{
    if (ns->read_only)
        return;
    assert(passes > 0 && ns->passed > 0);
    passes--;
    if (--ns->passed == 0 && ns->gate_closed)
        pthread_cond_broadcast(&ns->gate_changed);
}

void op_pass(struct ns *ns)
{
    idle_ops_lock(ns);
    pass(ns);
    idle_ops_unlock(ns);
}

void op_passed(struct ns *ns)
{
    idle_ops_lock(ns);
    come_back(ns);
    idle_ops_unlock(ns);
}

void op_gate_close(struct ns *ns)
{
    assert(passes == 0 && !ns->read_only);
    idle_ops_lock(ns);
    while (ns->gate_closed)
        pthread_cond_wait(&ns->gate_changed, &ns->op_mutex);
    ns->gate_closed = true;
    while (ns->passed)
        pthread_cond_wait(&ns->gate_changed, &ns->op_mutex);
    passes = ns->passed = 1;
    idle_ops_unlock(ns);
}

void op_gate_open(struct ns *ns)
{
    idle_ops_lock(ns);
    assert(ns->gate_closed && passes == 1 && ns->passed == 1);
    passes = ns->passed = 0;
    ns->gate_closed = false;
    pthread_cond_broadcast(&ns->gate_changed);
    idle_ops_unlock(ns);
}

struct op *op_begin(struct ns *ns)
{
    idle_ops_lock(ns);
    pass(ns);
    struct op *op = ns->idle_ops;
    if (op) {
        ns->idle_ops = op->next;
        ns->idle_op_count--;
    }
    idle_ops_unlock(ns);
    if (op) {
        assert(!op->counter && lsm_batch_count(op->batch) == 0);
        return op;
    }
    op = calloc(1, sizeof(*op));
    if (op && (lsm_batch_new(&op->batch) || lsm_batch_new(&op->staged))) {
        op_free(op);
        op = NULL;
    }
    if (!op)
        op_passed(ns);
    return op;
}

static void counter_release(struct op *op)
{
    if (!op->counter)
        return;
    assert(op->counter->holder == op);
    op->counter->holder = NULL;
    pthread_mutex_unlock(&op->counter->mutex);
    op->counter = NULL;
}

void op_end(struct ns *ns, struct op *op)
{
    if (!op)
        return;
    counter_release(op);
    bool large = lsm_batch_size(op->batch) > KEEP_BUFFER_MAX || op->batch_was_large ||
                 op->out.capacity > KEEP_BUFFER_MAX || op->content.capacity > KEEP_BUFFER_MAX ||
                 op->extents.capacity > 4096 || op->source.capacity > 4096 ||
                 op->unwritten.capacity > 4096 || op->lost.capacity > 4096;
    op->batch_was_large = op->is_zeroed = op->frees_space = op->small_change = op->sync_soon =
        false;
    op->mode_cleared = 0;
    op->unwritten_change = 0;
    lsm_batch_clear(op->batch);
    lsm_batch_clear(op->staged);
    idle_ops_lock(ns);
    come_back(ns);
    bool keep = !large && ns->idle_op_count < IDLE_OPS_MAX;
    if (keep) {
        op->next = ns->idle_ops;
        ns->idle_ops = op;
        ns->idle_op_count++;
    }
    idle_ops_unlock(ns);
    if (!keep)
        op_free(op);
}

// Nobody else has the namespace any more.
NOT_CHECKED void op_free_idle(struct ns *ns)
{
    while (ns->idle_ops) {
        struct op *op = ns->idle_ops;
        ns->idle_ops = op->next;
        op_free(op);
    }
    ns->idle_op_count = 0;
}

int ns_moment_begin(struct ns *ns, const struct lsm_snapshot **ret_snapshot)
{
    if (!ns->at.snapshot)
        return ns_err(lsm_snapshot_brief(ns->db, ret_snapshot));
    *ret_snapshot = ns->at.snapshot;
    return 0;
}

void ns_moment_end(struct ns *ns, const struct lsm_snapshot *snapshot)
{
    if (snapshot != ns->at.snapshot)
        lsm_snapshot_free(ns->db, snapshot);
}

int op_load_at(struct lsm *db, const struct lsm_snapshot *snapshot, struct slice key,
               struct loaded *ret_rec)
{
    struct lsm_read_options options = {.snapshot = snapshot};
    int rc = lsm_get(db, &options, key.data, key.size, &ret_rec->raw);
    if (!rc)
        rc = record_decode(ret_rec->raw.data, ret_rec->raw.size, &ret_rec->rec);
    return ns_err(rc);
}

int op_load_key(struct ns *ns, const struct pathkey *key, struct loaded *ret_rec)
{
    return op_load_at(ns->db, ns->at.snapshot, pathkey_slice(key), ret_rec);
}

int op_load(struct ns *ns, const struct ns_inode *inode, struct loaded *ret_rec)
{
    assert(inode_is_held(&ns->table.locks, inode->ino, false));
    struct pathkey key;
    int rc;
    if (inode_location(inode) == AT_NONE) {
        rc = ns_err(record_decode(inode->ghost->record, inode->ghost->size, &ret_rec->rec));
    } else {
        inode_record_key(inode, &key);
        rc = op_load_key(ns, &key, ret_rec);
    }
    // A live inode always has a record, and it is its own.
    if (rc == -ENOENT)
        return -EIO;
    if (!rc && (ret_rec->rec.is_link || ret_rec->rec.ino != inode->ino))
        return -EIO;
    if (!rc)
        atimes_apply(inode, &ret_rec->rec);
    return rc;
}

// Decodes the record in the ghost, which *ret_rec owns from now on.
static int load_ghost(struct inode_ghost *ghost, struct loaded *ret_rec)
{
    struct lsm_buf *raw = &ret_rec->raw;
    free(raw->data);
    *raw = (struct lsm_buf){ghost, ghost->size, sizeof *ghost + ghost->size};
    return ns_err(record_decode(ghost->record, ghost->size, &ret_rec->rec));
}

// Tries once to read the inode's record. *ret_found is false if it was being moved just then: its
// place had changed after it was asked for.
static int peek(struct ns *ns, struct ns_inode *inode, struct loaded *ret_rec,
                const struct lsm_snapshot **ret_snapshot, bool *ret_found)
{
    struct pathkey key;
    struct inode_ghost *ghost;
    int rc = inode_locate(&ns->table, inode, &key, &ghost);
    if (!rc && ret_snapshot) // the snapshot comes after the place was noted, so the place cannot be
                             // newer than the snapshot
        rc = ns_moment_begin(ns, ret_snapshot);
    *ret_found = true;
    if (rc)
        free(ghost);
    else if (ghost)
        rc = load_ghost(ghost, ret_rec);
    else
        rc = op_load_at(ns->db, ret_snapshot ? *ret_snapshot : ns->at.snapshot, pathkey_slice(&key),
                        ret_rec);
    if (rc == -ENOENT || (!rc && (ret_rec->rec.is_link || ret_rec->rec.ino != inode->ino))) {
        *ret_found = false;
        rc = 0;
    } else if (!rc) {
        atimes_apply(inode, &ret_rec->rec);
    }
    if (ret_snapshot && (rc || !*ret_found)) {
        ns_moment_end(ns, *ret_snapshot);
        *ret_snapshot = NULL;
    }
    return rc;
}

int op_peek(struct ns *ns, struct ns_inode *inode, struct loaded *ret_rec,
            const struct lsm_snapshot **ret_snapshot)
{
    bool found = false;
    int rc = 0;
    if (ret_snapshot)
        *ret_snapshot = NULL;
    // Whoever moves the record has committed already, and notes the new place in a moment. So
    // trying again is better than waiting for the inode's lock, which means waiting for all who
    // have asked for it before.
    for (unsigned i = 0; !rc && !found && i < PEEK_ATTEMPTS; i++) {
        if (i > PEEK_YIELDS)
            usleep(PEEK_SLEEP_US);
        else if (i)
            sched_yield();
        rc = peek(ns, inode, ret_rec, ret_snapshot, &found);
        if (!rc && !found && ns->follows &&
            i) { // the writer has moved it, or a refresh is under way
            following_lock(ns);
            following_unlock(ns);
            rc = peek(ns, inode, ret_rec, ret_snapshot, &found);
            return rc || found ? rc : -ESTALE;
        }
    }
    return rc || found ? rc : -EIO;
}

int op_store_key(struct op *op, const struct pathkey *key, const struct record *rec)
{
    assert(rec->is_link || !rec->is_inline || rec->content.size == rec->size);
    int rc = record_encode(rec, &op->out);
    if (!rc)
        rc = lsm_batch_put(op->batch, key->data, key->size, op->out.data, op->out.size);
    return ns_err(rc);
}

int op_store(struct op *op, const struct ns_inode *inode, const struct record *rec)
{
    struct pathkey key;
    inode_record_key(inode, &key);
    return op_store_key(op, &key, rec);
}

void op_stored(struct ns *ns, struct ns_inode *inode)
{
    assert(inode_is_held(&ns->table.locks, inode->ino, true));
    if (inode_location(inode) == AT_NONE)
        inode_set_location(&ns->table, inode, AT_ORPHAN);
}

int ns_ghost_make(struct op *op, const struct record *rec, struct inode_ghost **ret_ghost)
{
    int rc = record_encode(rec, &op->out);
    if (rc)
        return ns_err(rc);
    struct inode_ghost *ghost = malloc(sizeof *ghost + op->out.size);
    if (!ghost)
        return -ENOMEM;
    ghost->size = op->out.size;
    memcpy(ghost->record, op->out.data, op->out.size);
    *ret_ghost = ghost;
    return 0;
}

int op_put(struct op *op, const struct pathkey *key, struct slice value)
{
    return ns_err(lsm_batch_put(op->batch, key->data, key->size, value.data, value.size));
}

int op_put_borrowed(struct op *op, const struct pathkey *key, struct slice value)
{
    return ns_err(lsm_batch_put_borrowed(op->batch, key->data, key->size, value.data, value.size));
}

int op_delete(struct op *op, const struct pathkey *key)
{
    return ns_err(lsm_batch_delete(op->batch, key->data, key->size));
}

int op_count(struct ns *ns, struct op *op, int64_t delta)
{
    assert(!op->counter);
    uint64_t self = (uint64_t)(uintptr_t)pthread_self();
    unsigned start = (unsigned)(self * UINT64_C(0x9e3779b97f4a7c15) >> 60), i = 0;
    while (i < NS_COUNTER_STRIPES &&
           pthread_mutex_trylock(&ns->counters[(start + i) % NS_COUNTER_STRIPES].mutex))
        i++;
    unsigned stripe = (start + i) % NS_COUNTER_STRIPES;
    if (i == NS_COUNTER_STRIPES)
        pthread_mutex_lock(&ns->counters[stripe].mutex);
    op->counter = &ns->counters[stripe];
    assert(!op->counter->holder);
    op->counter->holder = op;
    op->counter_delta = delta;
    struct pathkey key;
    uint8_t value[8];
    pathkey_counter(&key, stripe);
    put_fixed64(value, (uint64_t)(op->counter->value + delta));
    return op_put(op, &key, slice_of(value, sizeof(value)));
}

// The fence pairs with that in watch_hub.c: its thread sets `armed` and then looks for commits; it
// sees this one, or this call sees `armed`.
void op_tell_watcher(struct ns *ns)
{
    struct ns_watch *watch = &ns->watch;
    if (!atomic_load_explicit(&watch->wanted, memory_order_acquire))
        return;
    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_load_explicit(&watch->armed, memory_order_relaxed) &&
        atomic_exchange(&watch->armed, false))
        watch->tell(watch->arg);
}

int op_commit(struct ns *ns, struct op *op)
{
    struct lsm_write_options options = {.use_reserve = op->frees_space,
                                        .use_little = op->small_change,
                                        .sync_soon = op->sync_soon,
                                        .pending = op->ends_later ? &op->pending : NULL};
    int rc = ns->at.snapshot ? LSM_READ_ONLY : lsm_write(ns->db, &options, op->batch);
    assert(!op->counter || op->counter->holder == op);
    if (!rc && op->counter)
        op->counter->value += op->counter_delta;
    counter_release(op);
    if (!rc)
        promise_changed(ns, op->unwritten_change);
    op->unwritten_change = 0;
    op->batch_was_large |= lsm_batch_size(op->batch) > KEEP_BUFFER_MAX;
    lsm_batch_clear(op->batch);
    if (!rc)
        op_tell_watcher(ns);
    return ns_err(rc);
}

int op_commit_end(struct ns *ns, struct op *op)
{
    op->ends_later = false;
    return ns_err(lsm_write_end(ns->db, &op->pending));
}

// Both counts are raised before the commit and after it. So whoever has seen the change by a lookup
// is not shown a listing from before it (ns_dir.c), whose version is an earlier count.
int op_commit_names(struct ns *ns, struct op *op, struct ns_inode *dir, struct ns_inode *other)
{
    assert(inode_is_held(&ns->table.locks, dir->ino, true));
    assert(inode_is_held(&ns->table.locks, other->ino, true));
    assert(inode_is_dir(dir) && inode_is_dir(other));
    inode_names_step(dir);
    if (other != dir)
        inode_names_step(other);
    int rc = op_commit(ns, op);
    inode_names_step(dir);
    if (other != dir)
        inode_names_step(other);
    return rc;
}

int ns_delete_keys(struct ns *ns, struct lsm_batch *batch, const struct pathkey *lower,
                   const struct pathkey *upper, unsigned most, unsigned *ret_count)
{
    struct lsm_iter_options options = ns_between(NULL, lower, upper);
    options.no_fill_cache = true;
    struct lsm_iter *iter;
    int rc = lsm_iter_new(ns->db, &options, &iter);
    unsigned count = 0;
    *ret_count = 0;
    if (rc)
        return rc;
    for (lsm_iter_seek_first(iter); !rc && count < most && lsm_iter_valid(iter);
         lsm_iter_next(iter)) {
        size_t size;
        const void *key = lsm_iter_key(iter, &size);
        rc = lsm_batch_delete(batch, key, size);
        count++;
    }
    if (!rc && !lsm_iter_valid(iter))
        rc = lsm_iter_status(iter);
    lsm_iter_free(iter);
    *ret_count = count;
    return rc;
}

struct timespec ns_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME_COARSE, &now);
    return now;
}

int ns_ino_new(struct ns *ns, uint64_t *ret_ino)
{
    int rc = 0;
    if (ns->at.snapshot)
        return -EROFS;
    numbers_lock(ns);
    if (ns->ino_next >= NS_INO_LAST)
        rc = LSM_NO_SPACE;
    if (!rc && ns->ino_next == ns->ino_reserved) {
        struct pathkey key;
        uint8_t value[8];
        pathkey_single(&key, KEY_RESERVED);
        put_fixed64(value, ns->ino_reserved + NS_INO_RANGE);
        rc = lsm_put(ns->db, NULL, key.data, key.size, value, sizeof(value));
        if (!rc)
            ns->ino_reserved += NS_INO_RANGE;
    }
    if (!rc)
        *ret_ino = ns->ino_next++;
    numbers_unlock(ns);
    return ns_err(rc);
}

void ns_attr_from(const struct record *rec, struct ns_attr *ret_attr)
{
    uint64_t bytes =
        rec->is_inline && S_ISREG(rec->mode) ? rec->size : rec->data_bytes + rec->unwritten_bytes;
    *ret_attr = (struct ns_attr){
        .ino = rec->ino,
        .mode = rec->mode,
        .nlink = rec->nlink,
        .uid = rec->uid,
        .gid = rec->gid,
        .rdev = rec->rdev,
        .size = rec->size,
        .blocks = (bytes + 511) / 512,
        .atime = rec->atime,
        .mtime = rec->mtime,
        .ctime = rec->ctime,
        .btime = rec->btime,
        .flags = rec->flags,
    };
}

int ns_name_check(const char *name, size_t name_size)
{
    if (name_size > NS_NAME_MAX)
        return -ENAMETOOLONG;
    return pathkey_name_ok(slice_of(name, name_size)) ? 0 : -EINVAL;
}

void ns_kill_suid(struct record *rec)
{
    if (S_ISDIR(rec->mode))
        return;
    rec->mode &= ~(uint32_t)S_ISUID;
    if (rec->mode & S_IXGRP)
        rec->mode &= ~(uint32_t)S_ISGID;
}

void ns_content_changed(struct op *op, struct record *rec, unsigned flags)
{
    uint32_t mode = rec->mode;
    if (!(flags & NS_WRITE_KEEP_TIMES))
        rec->mtime = rec->ctime = ns_now();
    if (!(flags & NS_WRITE_KEEP_SUID))
        ns_kill_suid(rec);
    op->mode_cleared |= mode & ~rec->mode;
}

void ns_changed_attr(const struct op *op, const struct record *rec, struct ns_attr *ret_attr)
{
    if (!ret_attr)
        return;
    ns_attr_from(rec, ret_attr);
    ret_attr->mode_cleared = op->mode_cleared;
}

void ns_touch_parent(struct record *dir, struct timespec now, int entries, int subdirs)
{
    dir->mtime = dir->ctime = now;
    dir->size += (uint64_t)(int64_t)entries;
    dir->nlink += (uint32_t)subdirs;
}
