// The lock queues: see inode_lock.h.
//
// A node is granted once no node of the same number before it in the queue conflicts with it: by
// itself when it joins, or by the one that leaves, which wakes it and nobody else. Queues are
// short: as many nodes as threads are at work in a bucket.

#include "ns/inodes/inode_lock.h"

#include <assert.h>
#include <string.h>

#include "base/waits.h"

LOCK_FUNCTIONS(bucket, struct inode_lock_bucket, mutex, inode_bucket_mutex)

static struct inode_lock_bucket *bucket_of(struct inode_lock_table *table, uint64_t ino)
{
    return &table->buckets[ino * UINT64_C(0x9e3779b97f4a7c15) >> 32 & (INODE_LOCK_BUCKETS - 1)];
}

// Nobody else has the table yet, or, in the next function, any more.
NOT_CHECKED void inode_lock_table_init(struct inode_lock_table *table)
{
    for (unsigned i = 0; i < INODE_LOCK_BUCKETS; i++) {
        struct inode_lock_bucket *bucket = &table->buckets[i];
        pthread_mutex_init(&bucket->mutex, NULL);
        bucket->first = NULL;
        bucket->last = &bucket->first;
    }
}

NOT_CHECKED void inode_lock_table_release(struct inode_lock_table *table)
{
    for (unsigned i = 0; i < INODE_LOCK_BUCKETS; i++) {
        assert(!table->buckets[i].first);
        pthread_mutex_destroy(&table->buckets[i].mutex);
    }
}

static bool may_be_granted(const struct inode_lock_bucket *bucket, const struct inode_lock *lock)
    REQUIRES(inode_bucket_mutex)
{
    for (const struct inode_lock *before = bucket->first; before != lock; before = before->next)
        if (before->ino == lock->ino && (before->exclusive || lock->exclusive))
            return false;
    return true;
}

void inode_lock(struct inode_lock_table *table, struct inode_lock *lock, uint64_t ino,
                bool exclusive)
{
    struct inode_lock_bucket *bucket = bucket_of(table, ino);
    *lock = (struct inode_lock){.ino = ino, .exclusive = exclusive};
    bucket_lock(bucket);
    *bucket->last = lock;
    bucket->last = &lock->next;
    lock->granted = may_be_granted(bucket, lock);
    if (!lock->granted) {
        uint64_t began = clock_ns();
        pthread_cond_init(&lock->wake, NULL);
        while (!lock->granted)
            pthread_cond_wait(&lock->wake, &bucket->mutex);
        pthread_cond_destroy(&lock->wake);
        wait_end(WAIT_LOCK, began);
    }
    bucket_unlock(bucket);
}

void inode_unlock(struct inode_lock_table *table, struct inode_lock *lock)
{
    struct inode_lock_bucket *bucket = bucket_of(table, lock->ino);
    bucket_lock(bucket);
    struct inode_lock **link = &bucket->first;
    while (*link != lock)
        link = &(*link)->next;
    *link = lock->next;
    if (!*link)
        bucket->last = link;
    for (struct inode_lock *next = *link; next; next = next->next) {
        if (next->ino == lock->ino && !next->granted && may_be_granted(bucket, next)) {
            next->granted = true;
            pthread_cond_signal(&next->wake);
        }
    }
    bucket_unlock(bucket);
}

void inode_locks_add(struct inode_locks *locks, uint64_t ino, bool exclusive)
{
    unsigned i = 0;
    while (i < locks->count && locks->at[i].ino < ino)
        i++;
    if (i < locks->count && locks->at[i].ino == ino) {
        locks->at[i].exclusive |= exclusive;
        return;
    }
    assert(locks->count < INODE_LOCKS_MOST);
    memmove(&locks->at[i + 1], &locks->at[i], (locks->count - i) * sizeof(locks->at[0]));
    locks->at[i] = (struct inode_lock){.ino = ino, .exclusive = exclusive};
    locks->count++;
}

// How many locks there are clang cannot count; for it they are one.
NOT_CHECKED void inode_locks_take(struct inode_lock_table *table, struct inode_locks *locks)
{
    for (unsigned i = 0; i < locks->count; i++)
        inode_lock(table, &locks->at[i], locks->at[i].ino, locks->at[i].exclusive);
}

NOT_CHECKED void inode_locks_drop(struct inode_lock_table *table, struct inode_locks *locks)
{
    for (unsigned i = locks->count; i-- > 0;)
        inode_unlock(table, &locks->at[i]);
    locks->count = 0;
}

bool inode_is_held(struct inode_lock_table *table, uint64_t ino, bool exclusive)
{
    struct inode_lock_bucket *bucket = bucket_of(table, ino);
    bucket_lock(bucket);
    const struct inode_lock *lock = bucket->first;
    while (lock && !(lock->ino == ino && lock->granted && (lock->exclusive || !exclusive)))
        lock = lock->next;
    bucket_unlock(bucket);
    return lock;
}
