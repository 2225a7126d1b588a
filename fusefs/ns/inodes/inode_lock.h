// Locks of inodes: shared or exclusive, by inode number.
//
// There is a lock for every number, and none of them takes memory: who holds or awaits one is a
// node on the stack of the operation, in a queue of the bucket its number hashes to. Inodes whose
// numbers share a bucket share its mutex for a few instructions, never each other's locks.
//
// A lock is granted in the order it was asked for, so that nobody starves; who holds one must not
// ask for it again, not even shared.
//
// Who takes them: operations that change an inode, exclusively, from before they read its record
// until after their commit; and whoever has to keep such changes away. Reading takes no lock: see
// op_peek() in ns_internal.h.
#ifndef NS_INODE_LOCK_H
#define NS_INODE_LOCK_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/lock_check.h"

#define INODE_LOCK_BUCKETS 256u
#define INODE_LOCKS_MOST   4u

extern struct lock_role inode_held; // the lock of the inode that is spoken of
extern struct lock_role inode_bucket_mutex;

struct inode_lock {
    uint64_t ino;
    bool exclusive;
    bool granted GUARDED_BY(inode_bucket_mutex);
    struct inode_lock *next GUARDED_BY(inode_bucket_mutex);
    pthread_cond_t wake; // while it waits
};

struct inode_lock_bucket {
    pthread_mutex_t mutex; // a leaf, held for a few instructions
    // Holders and waiters, in the order they came.
    struct inode_lock *first GUARDED_BY(inode_bucket_mutex);
    struct inode_lock **last GUARDED_BY(inode_bucket_mutex);
};

struct inode_lock_table {
    struct inode_lock_bucket buckets[INODE_LOCK_BUCKETS];
};

void inode_lock_table_init(struct inode_lock_table *table);
void inode_lock_table_release(struct inode_lock_table *table); // nobody holds a lock

// The locks an operation takes, all at once and by rising numbers, which is what keeps operations
// from waiting for each other in a circle: no other inode's lock may be held at that moment. One
// inode may be named twice; the stronger mode wins. Starts as {0}.
struct inode_locks {
    unsigned count;
    struct inode_lock at[INODE_LOCKS_MOST];
};
void inode_locks_add(struct inode_locks *locks, uint64_t ino, bool exclusive);
void inode_locks_take(struct inode_lock_table *table, struct inode_locks *locks)
    ACQUIRES(inode_held);
void inode_locks_drop(struct inode_lock_table *table, struct inode_locks *locks)
    RELEASES(inode_held);

// Locks one inode; the functions above are made of these. Operations that change something use
// inode_hold(); inode_share() keeps such operations away.
void inode_lock(struct inode_lock_table *table, struct inode_lock *lock, uint64_t ino,
                bool exclusive);
void inode_unlock(struct inode_lock_table *table, struct inode_lock *lock);

static inline void inode_hold(struct inode_lock_table *table, struct inode_lock *lock, uint64_t ino)
    ACQUIRES(inode_held) NOT_CHECKED
{
    inode_lock(table, lock, ino, true);
}

static inline void inode_release(struct inode_lock_table *table, struct inode_lock *lock)
    RELEASES(inode_held) NOT_CHECKED
{
    inode_unlock(table, lock);
}

static inline void inode_share(struct inode_lock_table *table, struct inode_lock *lock,
                               uint64_t ino) ACQUIRES_SHARED(inode_held) NOT_CHECKED
{
    inode_lock(table, lock, ino, false);
}

static inline void inode_unshare(struct inode_lock_table *table, struct inode_lock *lock)
    RELEASES_SHARED(inode_held) NOT_CHECKED
{
    inode_unlock(table, lock);
}

// Whether somebody holds the inode's lock, exclusively or, without `exclusive`, at all. For
// assertions: clang sees that a lock of this kind is held, this sees that it is the inode's.
bool inode_is_held(struct inode_lock_table *table, uint64_t ino, bool exclusive);

#endif
