// Live inodes: what memory holds about files that somebody has a reference to.
//
// The table maps inode numbers to live inodes. It caches no attributes: every record is read from
// the engine and written through to it. What a live inode adds is where the record is (its
// location), how often the file is open, and, for a directory, its prefix and its parent.
//
// A location changes under the inode's exclusive lock (inode_lock.h), after the commit, and under
// the mutex of its shard: who holds the lock may read it as it is, anybody else takes a copy
// (inode_locate). A change that takes a file away from the entry key where a lookup may have seen
// it also bumps inode_table.moves before the lock is released (see ns_lookup.c).
#ifndef NS_INODE_H
#define NS_INODE_H

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include "base/lock_check.h"
#include "base/slice.h"
#include "ns/inodes/inode_lock.h"
#include "ns/keys/pathkey.h"
#include "ns/namespace.h"

#define INODE_SHARDS 64u

// In open_count: the content goes with the last name, or has gone; whoever opens the file must take
// its lock to learn which (ns_inode_opened).
#define INODE_GOING (UINT32_C(1) << 31)

// An immutable prefix shared by a directory and its live children.
struct prefix {
    uint64_t dir; // number of the directory; 0: it is not live
    _Atomic uint32_t refs;
    _Atomic uint32_t word; // of ns_dir_word
    uint32_t size;
    uint8_t data[];
};
struct prefix *prefix_new(struct slice bytes, uint64_t dir); // one reference; NULL: no memory
struct prefix *prefix_ref(struct prefix *prefix);
void prefix_put(struct prefix *prefix); // NULL is legal

static inline struct slice prefix_slice(const struct prefix *prefix)
{
    return slice_of(prefix->data, prefix->size);
}

// Where an inode's record is.
enum inode_location {
    AT_ROOT,   // key 'R'
    AT_ENTRY,  // key 'E' dir_prefix 0 name
    AT_INODE,  // key 'I' ino
    AT_ORPHAN, // key 'O' ino: no names left
    AT_NONE,   // no names left and nothing in the store: the record is in `ghost`
};

struct inode_lost;

struct inode_name {
    uint8_t size;
    char data[];
};

struct inode_ghost {
    size_t size;
    uint8_t record[];
};

extern struct lock_role inode_shard_mutex;

// "Lock": the inode's own. "Place": written under the exclusive lock and the shard's mutex, read
// under either.
struct ns_inode {
    struct ns_inode *hash_next GUARDED_BY(inode_shard_mutex);
    uint64_t ino;                // constant
    _Atomic uint64_t refs;       // becomes 0 only under the shard's mutex
    struct prefix *own_prefix;   // directories: constant; else NULL
    struct ns_inode *parent;     // directories but the root: one reference held. Changes under the
                                 // rename mutex too; place
    struct prefix *dir_prefix;   // AT_ENTRY; place
    struct inode_name *name;     // AT_ENTRY; place
    struct inode_ghost *ghost;   // AT_NONE; place (see inode_set_ghost)
    struct ns_inode *atime_next; // in a list of atimes.c: under its mutex; once taken, the taker's
    _Atomic(struct inode_lost *) lost; // of lost_note.c; set once, under the exclusive lock
    _Atomic int64_t atime_ns; // time of access that is newer than the record's; 0: it is not
    _Atomic uint64_t names;   // directories: changes before and after every change of a name in
                              // it; never the same again (inode_names_step)
    // Open handles; or INODE_GOING, which is set under the exclusive lock.
    _Atomic uint32_t open_count;
    _Atomic uint32_t writers; // of ns_inode_writers
    _Atomic uint32_t word;    // of ns_inode_word
    uint16_t type;            // S_IFMT bits; constant
    // AT_ORPHAN, never had a name, may get one.
    bool is_nameless GUARDED_BY(inode_held);
    _Atomic uint8_t location; // enum inode_location; place
    _Atomic bool data_gone; // the content was dropped with the last name: reading it is ESTALE. Is
                            // set before the location becomes AT_NONE
    bool no_tail GUARDED_BY(inode_held); // it is known that there is no 'T' key (tail.h)
    _Atomic uint16_t short_pieces;       // notes of fragments.c, modulo 2^16
    _Atomic uint16_t unsynced; // short writes since the last fsync, up to 2^16 - 1; relaxed
    uint64_t stored_at GUARDED_BY(inode_held); // lsm_snapshots_taken() before a write stored the
                                               // record; 0: none has
    _Atomic bool atime_queued;                 // see atimes.c
    _Atomic bool synced_often; // few short writes lay between the last two fsyncs; relaxed
};

struct inode_shard {
    pthread_mutex_t mutex;
    struct ns_inode **buckets GUARDED_BY(inode_shard_mutex);
    size_t bucket_count GUARDED_BY(inode_shard_mutex);
    size_t used GUARDED_BY(inode_shard_mutex);
};

struct inode_table {
    struct inode_shard shards[INODE_SHARDS];
    struct inode_lock_table locks;
    _Atomic uint64_t moves; // counts location changes; pairs acquire loads with release adds
};

int inode_table_init(struct inode_table *table); // 0 or -errno
// Drops every inode that is left.
void inode_table_release(struct inode_table *table);
uint64_t inode_table_count(struct inode_table *table);
// All live directories, a reference each, in a malloc'd array. NULL, and *ret_count is 0: there is
// no live directory, or no memory.
struct ns_inode **inode_table_dirs(struct inode_table *table, size_t *ret_count);

// Whether a live inode has no name, and either something in the store or a number of at least
// `from`.
bool inode_table_nameless(struct inode_table *table, uint64_t from);

// The numbers of all live inodes in a malloc'd array; NULL as above.
uint64_t *inode_table_numbers(struct inode_table *table, size_t *ret_count);

// A new inode with one reference, not yet in the table. For AT_ENTRY it takes a reference on
// dir_prefix and copies `name`; for a directory one on own_prefix and parent. NULL: no memory.
struct inode_init {
    uint64_t ino;
    uint32_t type;
    enum inode_location location;
    struct prefix *dir_prefix;
    struct slice name;
    struct prefix *own_prefix;
    struct ns_inode *parent;
    bool is_nameless, no_tail;
};
struct ns_inode *inode_new(const struct inode_init *init);

// Puts `inode` into the table unless its number is there already. Returns the one in the table
// with a reference for the caller; if that is another one, `inode` was freed.
struct ns_inode *inode_insert(struct inode_table *table, struct ns_inode *inode);
// The same for a caller that has found the location without the inode's lock, when table->moves was
// `moves`. If the inode is not in the table and table->moves has changed since, `inode` is freed
// and the result is NULL.
struct ns_inode *inode_insert_unmoved(struct inode_table *table, struct ns_inode *inode,
                                      uint64_t moves);
struct ns_inode *inode_find(struct inode_table *table, uint64_t ino);

// Gives back references; inodes whose last one goes leave the table. The numbers of those that
// were orphans are passed to `orphan`. Walks up through parents without recursion.
typedef void inode_orphan_fn(void *arg, uint64_t ino);
void inode_put(struct inode_table *table, struct ns_inode *inode, uint64_t count,
               inode_orphan_fn *orphan, void *arg);

struct inode_name *inode_name_new(struct slice name); // malloc'd; NULL: no memory

static inline enum inode_location inode_location(const struct ns_inode *inode)
{
    return (enum inode_location)atomic_load_explicit(&inode->location, memory_order_acquire);
}

static inline bool inode_is_unlinked(const struct ns_inode *inode)
{
    return inode_location(inode) >= AT_ORPHAN;
}

static inline bool inode_is_dir(const struct ns_inode *inode)
{
    return S_ISDIR(inode->type);
}

// Whether the content went with the last name, when nobody had the file open.
static inline bool inode_content_is_gone(const struct ns_inode *inode)
{
    return inode->data_gone;
}

// One more reference, for who has one.
static inline void inode_ref(struct ns_inode *inode)
{
    uint64_t before = atomic_fetch_add_explicit(&inode->refs, 1, memory_order_relaxed);
    assert(before > 0);
    (void)before;
}

// Before and after the commit by which a name comes to, or goes from, the directory, or leads to
// something else. In between the number is odd. Exclusive lock.
static inline void inode_names_step(struct ns_inode *dir) REQUIRES(inode_held)
{
    atomic_fetch_add(&dir->names, 1);
}

static inline bool inode_is_regular(const struct ns_inode *inode)
{
    return S_ISREG(inode->type);
}

// The key of the inode's record; for AT_NONE the one that it gets if it is stored. Lock held.
void inode_record_key(const struct ns_inode *inode, struct pathkey *ret_key)
    REQUIRES_SHARED(inode_held);

// What can be said of that key without the lock: the key under which the record was a moment ago,
// or for AT_NONE a copy of the ghost, malloc'd (else NULL). 0 or -ENOMEM.
int inode_locate(struct inode_table *table, const struct ns_inode *inode, struct pathkey *ret_key,
                 struct inode_ghost **ret_ghost);

// The prefix of the directory in which the file has its only name, with a reference; NULL: it has
// more than one, or none. No lock needed.
struct prefix *inode_dir_prefix(struct inode_table *table, const struct ns_inode *inode);

// All four need the exclusive lock. inode_move takes over `name` and one reference on `dir_prefix`;
// inode_set_ghost takes over `ghost`; inode_swap_parent swaps the references.
void inode_move(struct inode_table *table, struct ns_inode *inode, struct prefix *dir_prefix,
                struct inode_name *name) REQUIRES(inode_held);
void inode_set_location(struct inode_table *table, struct ns_inode *inode,
                        enum inode_location location) // not AT_NONE
    REQUIRES(inode_held);
void inode_set_ghost(struct inode_table *table, struct ns_inode *inode, struct inode_ghost *ghost)
    REQUIRES(inode_held);
void inode_swap_parent(struct inode_table *table, struct ns_inode *dir, struct ns_inode **parent)
    REQUIRES(inode_held);

// The parent with a reference; NULL: the root has none. No lock needed.
struct ns_inode *inode_parent(struct inode_table *table, const struct ns_inode *dir);

static inline void inode_table_moved(struct inode_table *table)
{
    atomic_fetch_add_explicit(&table->moves, 1, memory_order_release);
}

#endif
