// From names and paths to live inodes, and from live inodes to attributes.
//
// A lookup must never make an inode live with an outdated location. It should cost one get and no
// lock, so that it does not wait for operations that change the file. It reads the entry, which
// tells the inode number. If that inode is live, its own location is right, and the inode had the
// name at the moment of the read. If it is not live, the lookup makes it live, unless something has
// moved since before the read: then the lookup reads again. An operation that takes an inode away
// from an entry key (unlink, rename, link) holds the inode's lock exclusively, keeps the inode live
// from before the write until after it, and raises table.moves after the write. So a lookup finds
// the inode live, with its old or its new place, or finds that something has moved; it looks for
// both under the mutex of the inode's shard.
//
// The prefix of a removed directory may have a new owner. The old directory's live inode can be
// told from it: its location changes before another directory can get the prefix.
//
// Thread safety: any thread. Failure: nothing is changed, no reference is kept.
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ns/names/names.h"
#include "ns/operation/unfinished.h"

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

// Makes an inode for the entry (dir_prefix, name), which is not yet in the table. `rec` is the
// entry's record: the file's own, or a link to it. `dir` is the parent; NULL is allowed if the file
// is no directory.
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
    assert(inode_is_held(&ns->table.locks, rec->ino, true));
    assert(inode_is_dir(dir));
    if (!inode) {
        rc = make_inode(dir, dir->own_prefix, name, rec, at_inode_key, &inode);
        if (!rc)
            inode = inode_insert(&ns->table, inode);
    }
    if (!rc)
        *ret_inode = inode;
    return rc;
}

static bool moved_since(struct ns *ns, uint64_t moves)
{
    return atomic_load_explicit(&ns->table.moves, memory_order_acquire) != moves;
}

static bool is_there(const struct ns_inode *inode, struct slice prefix, struct slice name,
                     bool is_link) REQUIRES(inode_held)
{
    if (is_link)
        return inode_location(inode) == AT_INODE;
    return inode_location(inode) == AT_ENTRY &&
           slice_equal(prefix_slice(inode->dir_prefix), prefix) &&
           slice_equal(slice_of(inode->name->data, inode->name->size), name);
}

static int move_to(struct ns *ns, struct ns_inode *inode, struct ns_inode *dir, struct slice prefix,
                   struct slice name) REQUIRES(inode_held)
{
    struct inode_name *copy = inode_name_new(name);
    struct prefix *place = dir ? prefix_ref(dir->own_prefix) : prefix_new(prefix, 0);
    if (!copy || !place) {
        free(copy);
        prefix_put(place);
        return -ENOMEM;
    }
    inode_move(&ns->table, inode, place, copy);
    return 0;
}

int ns_found_at(struct ns *ns, struct ns_inode *inode, struct ns_inode *dir, struct slice prefix,
                struct slice name, bool is_link, const uint64_t *moves)
{
    struct inode_lock lock;
    struct ns_inode *parent = NULL;
    inode_hold(&ns->table.locks, &lock, inode->ino);
    int rc = moves && moved_since(ns, *moves) ? -EAGAIN : 0;
    if (!rc && inode != ns->root && !is_there(inode, prefix, name, is_link)) {
        if (is_link)
            inode_set_location(&ns->table, inode, AT_INODE);
        else
            rc = move_to(ns, inode, dir, prefix, name);
        inode_table_moved(&ns->table);
    }
    if (!rc && dir && inode_is_dir(inode) && inode != ns->root && inode->parent != dir) {
        inode_ref(dir);
        parent = dir;
        inode_swap_parent(&ns->table, inode, &parent);
    }
    inode_release(&ns->table.locks, &lock);
    ns_inode_drop(ns, parent);
    return rc;
}

// For a tree that another process changes: whether the directory still exists there. If it does
// not, its prefix may have another owner.
static int check_dir(struct ns *ns, struct ns_inode *dir, struct loaded *rec)
{
    return ns->follows && dir != ns->root ? op_peek(ns, dir, rec, NULL) : 0;
}

struct lookup {
    struct ns_inode *dir; // NULL when a path is resolved by its key
    struct prefix *dir_prefix;
    struct slice name;
    struct pathkey key;
    uint64_t moves;              // as of before rec was read
    struct lookup_content *head; // may be NULL
};

static void lookup_content_fill(struct lookup_content *head, const struct record *rec)
{
    if (!S_ISREG(rec->mode) || !rec->is_inline)
        return;
    head->got = rec->content.size < head->size ? rec->content.size : head->size;
    if (head->got)
        memcpy(head->data, rec->content.data, head->got);
    head->found = true;
}

// Whether the entry that was read is in the directory, or at the path, that was asked for.
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
    int rc = lookup->dir ? check_dir(ns, lookup->dir, rec) : 0;
    if (!rc)
        rc = op_load_key(ns, &lookup->key, rec);
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
    if (inode && ns->follows && lookup->dir) {
        rc = ns_found_at(ns, inode, lookup->dir, prefix_slice(lookup->dir_prefix), lookup->name,
                         rec->rec.is_link, &lookup->moves);
        if (rc) {
            ns_inode_drop(ns, inode);
            return rc;
        }
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
        lookup_content_fill(lookup->head, &rec->rec);
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

int ns_lookup_scanned(struct ns *ns, struct ns_inode *dir, struct slice name, struct record *rec,
                      uint64_t moves, struct ns_inode **ret_inode, struct ns_attr *ret_attr)
{
    struct ns_inode *inode = NULL;
    int rc = 0;
    if (ns->follows) // the place of a live inode may have changed
        return ns_lookup_name(ns, dir, name, ret_inode, ret_attr);
    if (!rec->is_link)
        inode = inode_find(&ns->table, rec->ino);
    if (!rec->is_link && !inode) {
        rc = make_inode(dir, dir->own_prefix, name, rec, false, &inode);
        if (!rc)
            inode = inode_insert_unmoved(&ns->table, inode, moves);
    }
    if (rc)
        return rc;
    if (!inode)
        return ns_lookup_name(ns, dir, name, ret_inode, ret_attr);
    atimes_apply(inode, rec);
    ns_attr_from(rec, ret_attr);
    *ret_inode = inode;
    return 0;
}

int ns_lookup_key(struct ns *ns, struct prefix *dir_prefix, struct slice name, uint64_t moves,
                  struct ns_inode **ret_inode, struct ns_attr *ret_attr,
                  struct lookup_content *head)
{
    struct lookup lookup = {.dir_prefix = dir_prefix, .name = name, .moves = moves, .head = head};
    pathkey_entry(&lookup.key, prefix_slice(dir_prefix), name);
    return lookup_run(ns, &lookup, ret_inode, ret_attr);
}

int ns_lookup(struct ns *ns, struct ns_inode *dir, const char *name, size_t name_size,
              struct ns_inode **ret_inode, struct ns_attr *ret_attr)
{
    bool is_unfinished = false;
    int rc = ns_name_check(name, name_size);
    if (!rc && dir == ns->root)
        rc = unfinished_is(ns->db, &ns->at, slice_of(name, name_size), &is_unfinished);
    if (rc || is_unfinished)
        return rc ? rc : -ENOENT;
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
