// From names and paths to live inodes, and from live inodes to attributes.
//
// A lookup must never bring a stale location to life, and should cost one get and no lock: it is
// not to wait for whoever changes the file. It reads the entry, which tells the inode number. If
// that inode is live already, its own location is right by construction, and the name was its at
// the moment of the read. If not, the lookup brings it to life, unless anything has moved since
// before the read: then it reads again. Whoever takes an inode away from an entry key (unlink,
// rename, link) holds its lock exclusively, has it live from before the write until after it, and
// bumps table.moves after the write. So the lookup finds it live, with the place of before or
// after, or finds that something has moved; both under the mutex of the inode's shard.
//
// A removed directory's prefix may have a new owner; its location, which changes before anyone else
// can take the prefix, tells the old live inode from it.
//
// Thread safety: any thread. Failure: nothing is changed, no reference is kept.
#include <errno.h>
#include <string.h>

#include "ns/content/content.h"
#include "ns/operation/ns_internal.h"

static void orphan_to_reclaim(void *arg, uint64_t ino)
{
    struct ns *ns = arg;
    if (ns->reclaim)
        reclaim_queue(ns->reclaim, ino);
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
    atomic_fetch_add_explicit(&inode->refs, 1, memory_order_relaxed);
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
    inode_lock(&ns->table.locks, &lock, inode->ino, false);
    bool gone = content_is_gone(inode);
    if (!gone)
        atomic_fetch_add(&inode->open_count, 1);
    inode_unlock(&ns->table.locks, &lock);
    return gone ? -ESTALE : 0;
}

void ns_inode_closed(struct ns *ns, struct ns_inode *inode)
{
    (void)ns;
    atomic_fetch_sub(&inode->open_count, 1);
}

void ns_keep_unlinked(struct ns *ns)
{
    ns->keep_unlinked = true;
}

uint32_t ns_inode_writers(struct ns_inode *inode, int change)
{
    return atomic_fetch_add(&inode->writers, (uint32_t)change) + (uint32_t)change;
}

_Atomic uint32_t *ns_inode_word(struct ns_inode *inode)
{
    return &inode->word;
}

uint32_t ns_dir_word(struct ns *ns, struct ns_inode *inode, ns_word_fn *change, void *arg,
                     uint64_t *ret_dir)
{
    struct prefix *prefix =
        inode_is_dir(inode) ? prefix_ref(inode->own_prefix) : inode_dir_prefix(&ns->table, inode);
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

int ns_prefix_of(const struct record *rec, struct slice dir_prefix, struct slice name,
                 struct pathkey_prefix *space, struct slice *ret_prefix)
{
    if (rec->prefix.size) {
        *ret_prefix = rec->prefix;
        return 0;
    }
    // mkdir has given a directory whose default prefix is too long an explicit one.
    if (!pathkey_child_prefix(dir_prefix, name, space))
        return -EIO;
    *ret_prefix = pathkey_prefix_slice(space);
    return 0;
}

// A new inode for the entry at (dir_prefix, name), not yet in the table. `rec` is the file's record
// or that of a name that leads to it; `dir` is its parent and may be NULL if it is not a directory.
static int make_inode(struct ns_inode *dir, struct prefix *dir_prefix, struct slice name,
                      const struct record *rec, bool at_inode_key, struct ns_inode **ret_inode)
{
    struct inode_init init = {
        .ino = rec->ino,
        .type = record_type(rec),
        .location = at_inode_key ? AT_INODE : AT_ENTRY,
        .dir_prefix = dir_prefix,
        .name = name,
    };
    if (S_ISDIR(rec->mode)) {
        struct pathkey_prefix space;
        struct slice prefix;
        int rc = ns_prefix_of(rec, prefix_slice(dir_prefix), name, &space, &prefix);
        if (rc)
            return rc;
        init.own_prefix = prefix_new(prefix, rec->ino);
        if (!init.own_prefix)
            return -ENOMEM;
        init.parent = dir;
    }
    *ret_inode = inode_new(&init);
    prefix_put(init.own_prefix);
    return *ret_inode ? 0 : -ENOMEM;
}

int ns_make_live(struct ns *ns, struct ns_inode *dir, struct slice name, const struct record *rec,
                 bool at_inode_key, struct ns_inode **ret_inode)
{
    struct ns_inode *inode = inode_find(&ns->table, rec->ino);
    int rc = 0;
    if (!inode) {
        rc = make_inode(dir, dir->own_prefix, name, rec, at_inode_key, &inode);
        if (!rc)
            inode = inode_insert(&ns->table, inode);
    }
    if (!rc)
        *ret_inode = inode;
    return rc;
}

struct lookup {
    struct ns_inode *dir; // NULL when a path is resolved by its key
    struct prefix *dir_prefix;
    struct slice name;
    struct pathkey key;
    uint64_t moves;    // as of before rec was read
    struct head *head; // may be NULL
};

static void head_fill(struct head *head, const struct record *rec)
{
    if (!S_ISREG(rec->mode) || !rec->is_inline)
        return;
    head->got = rec->content.size < head->size ? rec->content.size : head->size;
    if (head->got)
        memcpy(head->data, rec->content.data, head->got);
    head->found = true;
}

static bool moved_since(struct ns *ns, uint64_t moves)
{
    return atomic_load_explicit(&ns->table.moves, memory_order_acquire) != moves;
}

// Whether the entry that was read is that of the directory, or of the path, that was asked for.
static int check_place(struct ns *ns, const struct lookup *lookup, const struct record *rec)
{
    if (lookup->dir)
        return inode_is_unlinked(lookup->dir) ? -ENOENT : 0;
    return S_ISDIR(rec->mode) || moved_since(ns, lookup->moves) ? -ESTALE : 0;
}

// One attempt. -EAGAIN: something has moved meanwhile.
static int lookup_try(struct ns *ns, struct lookup *lookup, struct loaded *rec,
                      struct ns_inode **ret_inode)
{
    struct ns_inode *inode;
    if (lookup->dir)
        lookup->moves = atomic_load_explicit(&ns->table.moves, memory_order_acquire);
    int rc = op_load_key(ns, &lookup->key, rec);
    if (!rc)
        rc = check_place(ns, lookup, &rec->rec);
    if (rc)
        return rc;
    inode = inode_find(&ns->table, rec->rec.ino);
    if (!inode) {
        rc = make_inode(lookup->dir, lookup->dir_prefix, lookup->name, &rec->rec, rec->rec.is_link,
                        &inode);
        if (rc)
            return rc;
        inode = inode_insert_unmoved(&ns->table, inode, lookup->moves);
    }
    *ret_inode = inode;
    return inode ? 0 : lookup->dir ? -EAGAIN : -ESTALE;
}

static int lookup_run(struct ns *ns, struct lookup *lookup, struct ns_inode **ret_inode,
                      struct ns_attr *ret_attr)
{
    struct op *op = op_begin(ns);
    struct ns_inode *inode = NULL;
    int rc;
    if (!op)
        return -ENOMEM;
    struct loaded *rec = &op->entry;
    do
        rc = lookup_try(ns, lookup, rec, &inode);
    while (rc == -EAGAIN);
    if (!rc && rec->rec.is_link) {
        rec = &op->file;
        rc = op_peek(ns, inode, rec, NULL);
    } else if (!rc)
        atimes_apply(inode, &rec->rec);
    if (!rc && lookup->head)
        head_fill(lookup->head, &rec->rec);
    if (!rc && ret_attr)
        ns_attr_from(&rec->rec, ret_attr);
    if (rc)
        ns_inode_drop(ns, inode);
    else
        *ret_inode = inode;
    op_end(ns, op);
    return rc;
}

int ns_lookup_name(struct ns *ns, struct ns_inode *dir, struct slice name,
                   struct ns_inode **ret_inode, struct ns_attr *ret_attr)
{
    if (!inode_is_dir(dir))
        return -ENOTDIR;
    struct lookup lookup = {.dir = dir, .dir_prefix = dir->own_prefix, .name = name};
    pathkey_entry(&lookup.key, prefix_slice(dir->own_prefix), name);
    return lookup_run(ns, &lookup, ret_inode, ret_attr);
}

int ns_lookup_key(struct ns *ns, struct prefix *dir_prefix, struct slice name, uint64_t moves,
                  struct ns_inode **ret_inode, struct ns_attr *ret_attr, struct head *head)
{
    struct lookup lookup = {.dir_prefix = dir_prefix, .name = name, .moves = moves, .head = head};
    pathkey_entry(&lookup.key, prefix_slice(dir_prefix), name);
    return lookup_run(ns, &lookup, ret_inode, ret_attr);
}

int ns_lookup(struct ns *ns, struct ns_inode *dir, const char *name, size_t name_size,
              struct ns_inode **ret_inode, struct ns_attr *ret_attr)
{
    int rc = ns_name_check(name, name_size);
    if (rc)
        return rc;
    return ns_lookup_name(ns, dir, slice_of(name, name_size), ret_inode, ret_attr);
}

int ns_parent(struct ns *ns, struct ns_inode *dir, struct ns_inode **ret_inode)
{
    if (!inode_is_dir(dir))
        return -ENOTDIR;
    struct ns_inode *parent = inode_parent(&ns->table, dir);
    if (!parent) {
        parent = ns->root;
        ns_inode_ref(parent);
    }
    *ret_inode = parent;
    return 0;
}

int ns_getattr(struct ns *ns, struct ns_inode *inode, struct ns_attr *ret_attr)
{
    struct op *op = op_begin(ns);
    if (!op)
        return -ENOMEM;
    int rc = op_peek(ns, inode, &op->file, NULL);
    if (!rc)
        ns_attr_from(&op->file.rec, ret_attr);
    op_end(ns, op);
    return rc;
}

ssize_t ns_readlink_with(struct ns *ns, struct ns_inode *inode, char *target, size_t size,
                         enum ns_access access)
{
    if (!S_ISLNK(inode->type))
        return -EINVAL;
    struct op *op = op_begin(ns);
    if (!op)
        return -ENOMEM;
    ssize_t rc = op_peek(ns, inode, &op->file, NULL);
    if (!rc) {
        struct slice content = op->file.rec.content;
        if (content.size > size)
            rc = -ERANGE;
        else if (content.size)
            memcpy(target, content.data, content.size);
        if (!rc) {
            ns_note_access(ns, inode, &op->file.rec, access);
            rc = (ssize_t)content.size;
        }
    }
    op_end(ns, op);
    return rc;
}
