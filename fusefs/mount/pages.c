// What the kernel's page cache may hold of a file that is also written directly. See pages.h.
#include "mount/pages.h"

#include <assert.h>
#include <stdatomic.h>

#include "mount/fuse_api.h"
#include "mount/transport.h"

#define NONE     0u
#define CACHED   1u // CACHED + n: pages may be cached, and n direct writes were served since
#define DROPPING UINT32_MAX
#define LONG_AGO (CACHED + 32)

void pages_cached(struct ns_inode *inode)
{
    _Atomic uint32_t *word = ns_inode_word(inode);
    if (atomic_load_explicit(word, memory_order_acquire) != CACHED)
        atomic_store(word, CACHED);
    atomic_thread_fence(memory_order_seq_cst); // pairs with that of pages_may_be_stale()
}

bool pages_may_be_stale(struct ns_inode *inode)
{
    atomic_thread_fence(memory_order_seq_cst);
    return atomic_load(ns_inode_word(inode)) != NONE;
}

bool pages_drop(struct lsmfs *fs, struct ns_inode *inode, uint64_t offset, uint64_t size)
{
    _Atomic uint32_t *word = ns_inode_word(inode);
    uint32_t seen = atomic_load(word);
    assert(!transport_is_serving());
    fuse_lowlevel_notify_inval_inode(fs->session, ns_inode_ino(inode), (off_t)offset, (off_t)size);
    if (seen == NONE || seen == DROPPING)
        return false;
    return atomic_compare_exchange_strong(word, &seen, seen + 1) && seen + 1 >= LONG_AGO;
}

void pages_drop_all(struct lsmfs *fs, struct ns_inode *inode)
{
    _Atomic uint32_t *word = ns_inode_word(inode);
    uint32_t seen = atomic_load(word);
    assert(!transport_is_serving());
    if (seen < LONG_AGO || seen == DROPPING ||
        !atomic_compare_exchange_strong(word, &seen, DROPPING))
        return;
    fuse_lowlevel_notify_inval_inode(fs->session, ns_inode_ino(inode), 0, 0);
    seen = DROPPING; // otherwise somebody has brought pages back meanwhile
    atomic_compare_exchange_strong(word, &seen, NONE);
}
