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

#define INODE_LOCK_BUCKETS 256u
#define INODE_LOCKS_MOST   4u

struct inode_lock {
    uint64_t ino;
    bool exclusive;
    bool granted; // bucket's mutex, as all below
    struct inode_lock *next;
    pthread_cond_t wake; // while it waits
};

struct inode_lock_bucket {
    pthread_mutex_t mutex;            // a leaf, held for a few instructions
    struct inode_lock *first, **last; // holders and waiters, in the order they came
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
void inode_locks_take(struct inode_lock_table *table, struct inode_locks *locks);
void inode_locks_drop(struct inode_lock_table *table, struct inode_locks *locks);

// The same for one inode.
void inode_lock(struct inode_lock_table *table, struct inode_lock *lock, uint64_t ino,
                bool exclusive);
void inode_unlock(struct inode_lock_table *table, struct inode_lock *lock);

#endif
