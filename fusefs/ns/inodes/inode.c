// The table of live inodes: see inode.h.
//
// Table: 64 shards by hash of the inode number, each a mutex and a chained hash table that doubles
// when it is full and halves when it is an eighth full, so that it shrinks again after a walk over
// a large tree. An inode with a 16-byte name costs about 150 bytes, malloc's and the bucket's share
// included.
//
// References: a count that stays above zero changes without a lock; the step to zero is taken under
// the shard's mutex, where inode_find takes its references, so that an inode found is never one
// being freed.
//
// Shard mutexes are leaves and held for a few instructions.
//
// Failure: functions that allocate return NULL and have changed nothing.
#include "ns/inodes/inode.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "ns/inodes/lost_note.h"

#define SHARD_MIN_BUCKETS 16u

LOCK_FUNCTIONS(shard, struct inode_shard, mutex, inode_shard_mutex)

static uint64_t mix(uint64_t ino)
{
    uint64_t h = ino * UINT64_C(0x9e3779b97f4a7c15);
    return h ^ (h >> 32);
}

// ---- prefixes

struct prefix *prefix_new(struct slice bytes, uint64_t dir)
{
    struct prefix *prefix = malloc(sizeof(*prefix) + bytes.size);
    if (!prefix)
        return NULL;
    prefix->dir = dir;
    atomic_init(&prefix->refs, 1);
    atomic_init(&prefix->word, 0);
    prefix->size = (uint32_t)bytes.size;
    if (bytes.size)
        memcpy(prefix->data, bytes.data, bytes.size);
    return prefix;
}

struct prefix *prefix_ref(struct prefix *prefix)
{
    atomic_fetch_add_explicit(&prefix->refs, 1, memory_order_relaxed);
    return prefix;
}

void prefix_put(struct prefix *prefix)
{
    if (prefix && atomic_fetch_sub_explicit(&prefix->refs, 1, memory_order_acq_rel) == 1)
        free(prefix);
}

// ---- one inode

struct inode_name *inode_name_new(struct slice name)
{
    assert(name.size <= UINT8_MAX);
    struct inode_name *copy = malloc(sizeof(*copy) + name.size);
    if (!copy)
        return NULL;
    copy->size = (uint8_t)name.size;
    if (name.size)
        memcpy(copy->data, name.data, name.size);
    return copy;
}

// Where a directory's `names` begins when it comes to life: nothing of an earlier life matches.
static uint64_t first_names(void)
{
    static _Atomic uint64_t lives;
    return (atomic_fetch_add_explicit(&lives, 1, memory_order_relaxed) + 1) << 32;
}

// Nobody else has the inode yet.
NOT_CHECKED struct ns_inode *inode_new(const struct inode_init *init)
{
    struct ns_inode *inode = calloc(1, sizeof(*inode));
    if (!inode)
        return NULL;
    inode->ino = init->ino;
    if (S_ISDIR(init->type))
        atomic_init(&inode->names, first_names());
    atomic_init(&inode->refs, 1);
    inode->type = (uint16_t)init->type;
    inode->is_nameless = init->is_nameless;
    inode->no_tail = init->no_tail;
    atomic_init(&inode->location, (uint8_t)init->location);
    if (init->location == AT_ENTRY) {
        inode->name = inode_name_new(init->name);
        if (!inode->name) {
            free(inode);
            return NULL;
        }
        inode->dir_prefix = prefix_ref(init->dir_prefix);
    }
    if (init->own_prefix)
        inode->own_prefix = prefix_ref(init->own_prefix);
    if (init->parent) {
        inode_ref(init->parent);
        inode->parent = init->parent;
    }
    return inode;
}

static void inode_free(struct ns_inode *inode)
{
    free(inode->ghost);
    lost_note_free(atomic_load_explicit(&inode->lost, memory_order_relaxed));
    prefix_put(inode->dir_prefix);
    prefix_put(inode->own_prefix);
    free(inode->name);
    free(inode);
}

// The inode's lock or the shard's mutex is held.
static void record_key(const struct ns_inode *inode, struct pathkey *ret_key)
{
    switch (inode_location(inode)) {
    case AT_ROOT:
        pathkey_single(ret_key, KEY_ROOT);
        return;
    case AT_ENTRY:
        pathkey_entry(ret_key, prefix_slice(inode->dir_prefix),
                      slice_of(inode->name->data, inode->name->size));
        return;
    case AT_INODE:
        pathkey_number(ret_key, KEY_INODE, inode->ino);
        return;
    case AT_ORPHAN:
    case AT_NONE:
        pathkey_number(ret_key, KEY_ORPHAN, inode->ino);
        return;
    }
}

void inode_record_key(const struct ns_inode *inode, struct pathkey *ret_key)
{
    record_key(inode, ret_key);
}

// ---- the table

static struct inode_shard *shard_of(struct inode_table *table, uint64_t ino)
{
    return &table->shards[mix(ino) >> 58 & (INODE_SHARDS - 1)];
}

static struct ns_inode **bucket_of(const struct inode_shard *shard, uint64_t ino)
    REQUIRES(inode_shard_mutex)
{
    return &shard->buckets[mix(ino) & (shard->bucket_count - 1)];
}

// Best effort: a table that cannot be resized works on, only slower.
static void shard_resize(struct inode_shard *shard, size_t bucket_count) REQUIRES(inode_shard_mutex)
{
    struct ns_inode **old = shard->buckets;
    size_t old_count = shard->bucket_count;
    struct ns_inode **fresh = calloc(bucket_count, sizeof(*fresh));
    if (!fresh)
        return;
    shard->buckets = fresh;
    shard->bucket_count = bucket_count;
    for (size_t i = 0; i < old_count; i++) {
        struct ns_inode *next;
        for (struct ns_inode *inode = old[i]; inode; inode = next) {
            next = inode->hash_next;
            struct ns_inode **bucket = bucket_of(shard, inode->ino);
            inode->hash_next = *bucket;
            *bucket = inode;
        }
    }
    free(old);
}

static struct ns_inode *shard_find(const struct inode_shard *shard, uint64_t ino)
    REQUIRES(inode_shard_mutex)
{
    struct ns_inode *inode = *bucket_of(shard, ino);
    while (inode && inode->ino != ino)
        inode = inode->hash_next;
    return inode;
}

static void shard_remove(struct inode_shard *shard, struct ns_inode *inode)
    REQUIRES(inode_shard_mutex)
{
    struct ns_inode **link = bucket_of(shard, inode->ino);
    while (*link != inode)
        link = &(*link)->hash_next;
    *link = inode->hash_next;
    shard->used--;
    if (shard->bucket_count > SHARD_MIN_BUCKETS && shard->used < shard->bucket_count / 8)
        shard_resize(shard, shard->bucket_count / 2);
}

// Nobody else has the table yet, or, in the next function, any more.
NOT_CHECKED int inode_table_init(struct inode_table *table)
{
    inode_lock_table_init(&table->locks);
    atomic_init(&table->moves, 0);
    bool ok = true;
    for (size_t i = 0; i < INODE_SHARDS; i++) {
        struct inode_shard *shard = &table->shards[i];
        pthread_mutex_init(&shard->mutex, NULL);
        shard->used = 0;
        shard->bucket_count = SHARD_MIN_BUCKETS;
        shard->buckets = calloc(SHARD_MIN_BUCKETS, sizeof(struct ns_inode *));
        ok = ok && shard->buckets;
    }
    if (ok)
        return 0;
    inode_table_release(table);
    return -ENOMEM;
}

NOT_CHECKED void inode_table_release(struct inode_table *table)
{
    for (size_t i = 0; i < INODE_SHARDS; i++) {
        struct inode_shard *shard = &table->shards[i];
        for (size_t b = 0; shard->buckets && b < shard->bucket_count; b++) {
            struct ns_inode *next;
            for (struct ns_inode *inode = shard->buckets[b]; inode; inode = next) {
                next = inode->hash_next;
                inode_free(inode);
            }
        }
        free(shard->buckets);
        shard->buckets = NULL;
        pthread_mutex_destroy(&shard->mutex);
    }
    inode_lock_table_release(&table->locks);
}

uint64_t inode_table_count(struct inode_table *table)
{
    uint64_t count = 0;
    for (size_t i = 0; i < INODE_SHARDS; i++) {
        struct inode_shard *shard = &table->shards[i];
        shard_lock(shard);
        count += shard->used;
        shard_unlock(shard);
    }
    return count;
}

struct ns_inode **inode_table_dirs(struct inode_table *table, size_t *ret_count)
{
    struct ns_inode **dirs = NULL;
    size_t count = 0, capacity = 0;
    bool room = true;
    for (size_t i = 0; i < INODE_SHARDS && room; i++) {
        struct inode_shard *shard = &table->shards[i];
        shard_lock(shard);
        room = array_reserve(&dirs, &capacity, count + shard->used, sizeof *dirs);
        for (size_t b = 0; room && b < shard->bucket_count; b++)
            for (struct ns_inode *inode = shard->buckets[b]; inode; inode = inode->hash_next)
                if (inode_is_dir(inode)) {
                    atomic_fetch_add_explicit(&inode->refs, 1, memory_order_relaxed);
                    dirs[count++] = inode;
                }
        shard_unlock(shard);
    }
    *ret_count = count;
    return dirs;
}

bool inode_table_nameless(struct inode_table *table, uint64_t from)
{
    bool found = false;
    for (size_t i = 0; i < INODE_SHARDS && !found; i++) {
        struct inode_shard *shard = &table->shards[i];
        shard_lock(shard);
        for (size_t b = 0; b < shard->bucket_count; b++)
            for (const struct ns_inode *inode = shard->buckets[b]; inode; inode = inode->hash_next)
                found = found || inode_location(inode) == AT_ORPHAN ||
                        (inode_is_unlinked(inode) && inode->ino >= from);
        shard_unlock(shard);
    }
    return found;
}

uint64_t *inode_table_numbers(struct inode_table *table, size_t *ret_count)
{
    uint64_t *numbers = NULL;
    size_t count = 0, capacity = 0;
    bool room = true;
    for (size_t i = 0; i < INODE_SHARDS && room; i++) {
        struct inode_shard *shard = &table->shards[i];
        shard_lock(shard);
        room = array_reserve(&numbers, &capacity, count + shard->used, sizeof *numbers);
        for (size_t b = 0; room && b < shard->bucket_count; b++)
            for (const struct ns_inode *inode = shard->buckets[b]; inode; inode = inode->hash_next)
                numbers[count++] = inode->ino;
        shard_unlock(shard);
    }
    *ret_count = count;
    return numbers;
}

// `moves` NULL: its location is certain.
static struct ns_inode *insert(struct inode_table *table, struct ns_inode *inode,
                               const uint64_t *moves)
{
    struct inode_shard *shard = shard_of(table, inode->ino);
    shard_lock(shard);
    struct ns_inode *found = shard_find(shard, inode->ino);
    if (found) {
        inode_ref(found);
    } else if (!moves || atomic_load_explicit(&table->moves, memory_order_acquire) == *moves) {
        if (shard->used >= shard->bucket_count)
            shard_resize(shard, shard->bucket_count * 2);
        struct ns_inode **bucket = bucket_of(shard, inode->ino);
        inode->hash_next = *bucket;
        *bucket = inode;
        shard->used++;
        found = inode;
    }
    shard_unlock(shard);
    if (found == inode)
        return inode;
    // The parent is held by the caller too, so this reference is never its last.
    if (inode->parent)
        atomic_fetch_sub_explicit(&inode->parent->refs, 1, memory_order_release);
    inode_free(inode);
    return found;
}

struct ns_inode *inode_insert(struct inode_table *table, struct ns_inode *inode)
{
    return insert(table, inode, NULL);
}

struct ns_inode *inode_insert_unmoved(struct inode_table *table, struct ns_inode *inode,
                                      uint64_t moves)
{
    return insert(table, inode, &moves);
}

struct ns_inode *inode_find(struct inode_table *table, uint64_t ino)
{
    struct inode_shard *shard = shard_of(table, ino);
    shard_lock(shard);
    struct ns_inode *inode = shard_find(shard, ino);
    if (inode)
        inode_ref(inode);
    shard_unlock(shard);
    return inode;
}

void inode_put(struct inode_table *table, struct ns_inode *inode, uint64_t count,
               inode_orphan_fn *orphan, void *arg)
{
    while (inode) {
        uint64_t refs = atomic_load_explicit(&inode->refs, memory_order_relaxed);
        while (refs > count)
            if (atomic_compare_exchange_weak_explicit(&inode->refs, &refs, refs - count,
                                                      memory_order_release, memory_order_relaxed))
                return;
        struct inode_shard *shard = shard_of(table, inode->ino);
        shard_lock(shard);
        refs = atomic_fetch_sub_explicit(&inode->refs, count, memory_order_acq_rel);
        assert(refs >= count);
        if (refs == count)
            shard_remove(shard, inode);
        shard_unlock(shard);
        if (refs != count)
            return;
        if (inode_location(inode) == AT_ORPHAN)
            orphan(arg, inode->ino);
        struct ns_inode *parent = inode->parent;
        inode_free(inode);
        inode = parent;
        count = 1;
    }
}

// ---- where the record is

int inode_locate(struct inode_table *table, const struct ns_inode *inode, struct pathkey *ret_key,
                 struct inode_ghost **ret_ghost)
{
    struct inode_shard *shard = shard_of(table, inode->ino);
    struct inode_ghost *copy = NULL;
    shard_lock(shard);
    bool is_ghost = inode_location(inode) == AT_NONE;
    if (is_ghost) {
        size_t size = sizeof *copy + inode->ghost->size;
        copy = malloc(size);
        if (copy)
            memcpy(copy, inode->ghost, size);
    } else {
        record_key(inode, ret_key);
    }
    shard_unlock(shard);
    *ret_ghost = copy;
    return is_ghost && !copy ? -ENOMEM : 0;
}

struct prefix *inode_dir_prefix(struct inode_table *table, const struct ns_inode *inode)
{
    struct inode_shard *shard = shard_of(table, inode->ino);
    shard_lock(shard);
    struct prefix *prefix =
        inode_location(inode) == AT_ENTRY ? prefix_ref(inode->dir_prefix) : NULL;
    shard_unlock(shard);
    return prefix;
}

// The location and what belongs to it; what belonged to the one before is freed.
static void set_place(struct inode_table *table, struct ns_inode *inode,
                      enum inode_location location, struct prefix *dir_prefix,
                      struct inode_name *name, struct inode_ghost *ghost)
{
    struct inode_shard *shard = shard_of(table, inode->ino);
    assert(inode_is_held(&table->locks, inode->ino, true));
    assert((location == AT_ENTRY) == (dir_prefix && name));
    assert((location == AT_NONE) == (ghost != NULL));
    struct prefix *old_prefix = inode->dir_prefix;
    struct inode_name *old_name = inode->name;
    struct inode_ghost *old_ghost = inode->ghost;
    shard_lock(shard);
    inode->dir_prefix = dir_prefix;
    inode->name = name;
    inode->ghost = ghost;
    atomic_store_explicit(&inode->location, (uint8_t)location, memory_order_release);
    shard_unlock(shard);
    prefix_put(old_prefix);
    free(old_name);
    free(old_ghost);
}

void inode_move(struct inode_table *table, struct ns_inode *inode, struct prefix *dir_prefix,
                struct inode_name *name)
{
    set_place(table, inode, AT_ENTRY, dir_prefix, name, NULL);
}

void inode_set_location(struct inode_table *table, struct ns_inode *inode,
                        enum inode_location location)
{
    set_place(table, inode, location, NULL, NULL, NULL);
}

void inode_set_ghost(struct inode_table *table, struct ns_inode *inode, struct inode_ghost *ghost)
{
    set_place(table, inode, AT_NONE, NULL, NULL, ghost);
}

void inode_swap_parent(struct inode_table *table, struct ns_inode *dir, struct ns_inode **parent)
{
    struct inode_shard *shard = shard_of(table, dir->ino);
    assert(inode_is_held(&table->locks, dir->ino, true));
    struct ns_inode *old = dir->parent;
    shard_lock(shard);
    dir->parent = *parent;
    shard_unlock(shard);
    *parent = old;
}

struct ns_inode *inode_parent(struct inode_table *table, const struct ns_inode *dir)
{
    struct inode_shard *shard = shard_of(table, dir->ino);
    shard_lock(shard);
    struct ns_inode *parent = dir->parent;
    if (parent)
        inode_ref(parent);
    shard_unlock(shard);
    return parent;
}
