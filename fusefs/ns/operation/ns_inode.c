// What the users of the namespace hold: references to live inodes, open handles, words.
//
// Thread safety: any thread.
#include <assert.h>
#include <errno.h>

#include "ns/operation/ns_internal.h"

static void orphan_to_reclaim(void *arg, uint64_t ino)
{
    struct ns *ns = arg;
    if (ns->to_reclaim)
        reclaim_queue_add(ns->to_reclaim, (struct reclaim_job){.ino = ino});
}

uint64_t ns_inode_ino(const struct ns_inode *inode)
{
    return inode->ino;
}

uint32_t ns_inode_type(const struct ns_inode *inode)
{
    return inode->type;
}

struct ns_inode *ns_root(struct ns *ns)
{
    return ns->root;
}

struct ns_inode *ns_inode_find(struct ns *ns, uint64_t ino)
{
    return inode_find(&ns->table, ino);
}

uint64_t ns_inode_refs(struct ns_inode *inode)
{
    return atomic_load_explicit(&inode->refs, memory_order_relaxed);
}

void ns_inode_ref(struct ns_inode *inode)
{
    inode_ref(inode);
}

void ns_inode_put(struct ns *ns, struct ns_inode *inode, uint64_t count)
{
    if (count)
        inode_put(&ns->table, inode, count, orphan_to_reclaim, ns);
}

void ns_inode_drop(struct ns *ns, struct ns_inode *inode)
{
    if (inode)
        ns_inode_put(ns, inode, 1);
}

uint64_t ns_live_inodes(struct ns *ns)
{
    return inode_table_count(&ns->table);
}

int ns_inode_opened(struct ns *ns, struct ns_inode *inode)
{
    uint32_t count = atomic_load_explicit(&inode->open_count, memory_order_relaxed);
    while (!(count & INODE_GOING))
        if (atomic_compare_exchange_weak(&inode->open_count, &count, count + 1))
            return 0;
    // The file's last name is going or has gone: the inode's lock decides which.
    struct inode_lock lock;
    inode_share(&ns->table.locks, &lock, inode->ino);
    bool gone = inode_content_is_gone(inode);
    if (!gone)
        atomic_fetch_add(&inode->open_count, 1);
    inode_unshare(&ns->table.locks, &lock);
    return gone ? -ESTALE : 0;
}

void ns_inode_closed(struct ns *ns, struct ns_inode *inode)
{
    uint32_t before = atomic_fetch_sub(&inode->open_count, 1);
    assert(before & ~INODE_GOING);
    (void)ns, (void)before;
}

void ns_keep_unlinked(struct ns *ns)
{
    ns->keep_unlinked = true;
}

uint32_t ns_inode_writers(struct ns_inode *inode, int change)
{
    uint32_t before = atomic_fetch_add(&inode->writers, (uint32_t)change);
    assert(change >= 0 || before >= (uint32_t)-change);
    return before + (uint32_t)change;
}

_Atomic uint32_t *ns_inode_word(struct ns_inode *inode)
{
    return &inode->word;
}

uint32_t ns_dir_word(struct ns *ns, struct ns_inode *inode, ns_word_fn *change, void *arg,
                     uint64_t *ret_dir)
{
    bool is_dir = inode_is_dir(inode);
    struct prefix *prefix =
        is_dir ? prefix_ref(inode->own_prefix) : inode_dir_prefix(&ns->table, inode);
    // If the directory was forgotten and looked up again, it has a new struct prefix; files that
    // were live all the time still refer to the old one.
    struct ns_inode *dir = prefix && !is_dir ? inode_find(&ns->table, prefix->dir) : NULL;
    if (dir) {
        prefix_put(prefix);
        prefix = prefix_ref(dir->own_prefix);
        ns_inode_put(ns, dir, 1);
    }
    *ret_dir = prefix ? prefix->dir : 0;
    if (*ret_dir == 0) {
        prefix_put(prefix);
        return 0;
    }
    uint32_t before = atomic_load_explicit(&prefix->word, memory_order_relaxed), after;
    do
        after = change(arg, before);
    while (after != before && !atomic_compare_exchange_weak(&prefix->word, &before, after));
    prefix_put(prefix);
    return after;
}
