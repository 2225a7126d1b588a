// Losing names: unlink, rmdir, and what becomes of an inode whose last name goes.
//
// The batch deletes the entry and updates the parent. With the last name goes, in the same batch,
// everything the file has in the store, if that is little and nobody has it open (or, where it is
// not known what is open, nobody holds it: ns_keep_unlinked). Otherwise the record moves to 'O'
// ino, which says that there is space to reclaim once the last reference is given back, or at the
// next start. A live inode that has nothing left in the store keeps its record in memory (a ghost),
// so that fstat on it still works.
//
// Locks: the parent and the child exclusively, both taken at once: the child's number is read
// first, and checked again under the locks. Failure: nothing has changed.
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "ns/attributes/attributes.h"
#include "ns/content/content.h"
#include "ns/names/names.h"
#include "ns/operation/places.h"

// Marks the file so that it cannot be opened without its lock any more. False: it is open.
static bool close_for_good(struct ns_inode *inode)
{
    uint32_t count = 0;
    return atomic_compare_exchange_strong(&inode->open_count, &count, INODE_GOING) ||
           count == INODE_GOING;
}

// Whether the content may be deleted together with the last name. Inline content stays in memory as
// long as the inode is live, in its ghost.
static bool may_go(struct ns *ns, struct ns_inode *live, const struct record *rec)
{
    if (ns->keep_unlinked && rec->data_bytes > 0)
        return false;
    return close_for_good(live);
}

static int last_name_goes(struct ns *ns, struct op *op, struct record *rec, bool from_inode_key,
                          struct removal *removal) REQUIRES(inode_held)
{
    struct pathkey key;
    bool done = false;
    bool is_open = !may_go(ns, removal->live, rec);
    rec->nlink = 0;
    int rc = is_open || rec->has_xattrs ? 0 : content_remove(ns, op, rec, &done);
    if (!rc && from_inode_key) {
        pathkey_number(&key, KEY_INODE, rec->ino);
        rc = op_delete(op, &key);
    }
    if (rc)
        return rc;
    removal->unlinked = true;
    removal->orphaned = !done;
    if (removal->orphaned) {
        pathkey_number(&key, KEY_ORPHAN, rec->ino);
        return op_store_key(op, &key, rec);
    }
    removal->data_gone = rec->data_bytes > 0;
    rec->data_bytes = rec->unwritten_bytes = rec->lost_bytes = 0;
    return ns_ghost_make(op, rec, &removal->ghost);
}

int removal_prepare(struct ns *ns, struct op *op, struct record *rec, bool from_inode_key,
                    struct ns_inode *dir, struct slice name, struct timespec now,
                    struct removal *ret_removal)
{
    struct removal *removal = ret_removal;
    assert(inode_is_held(&ns->table.locks, rec->ino, true));
    *removal = (struct removal){.ino = rec->ino, .live = inode_find(&ns->table, rec->ino)};
    op->frees_space = true;
    rec->ctime = now;
    int rc = 0;
    if (from_inode_key || rec->prefix.size)
        rc = place_remove(op, rec->ino, prefix_slice(dir->own_prefix), name);
    if (!rc && !S_ISDIR(rec->mode) && rec->nlink > 1) {
        struct pathkey key;
        rec->nlink--;
        pathkey_number(&key, KEY_INODE, rec->ino);
        return op_store_key(op, &key, rec);
    }
    if (!rc && !removal->live)
        rc = ns_make_live(ns, dir, name, rec, from_inode_key, &removal->live);
    if (!rc && S_ISDIR(rec->mode) && rec->prefix.size && !pathkey_is_fresh(rec->prefix)) {
        struct pathkey key;
        struct slice prefix;
        rc = ns_prefix_of(rec, prefix_slice(dir->own_prefix), name, &removal->prefix, &prefix);
        if (rc)
            return rc;
        memcpy(removal->prefix.data, prefix.data, prefix.size);
        removal->prefix.size = prefix.size;
        removal->is_marked = true;
        pathkey_marker(&key, pathkey_prefix_slice(&removal->prefix));
        rc = op_delete(op, &key);
    }
    return rc ? rc : last_name_goes(ns, op, rec, from_inode_key, removal);
}

void removal_finish(struct ns *ns, struct removal *removal)
{
    assert(!removal->unlinked || removal->live);
    if (removal->orphaned) {
        inode_set_location(&ns->table, removal->live, AT_ORPHAN);
    } else if (removal->unlinked) {
        atomic_store(&removal->live->data_gone, removal->data_gone);
        inode_set_ghost(&ns->table, removal->live, removal->ghost);
        removal->ghost = NULL;
    }
    if (removal->is_marked)
        ns_marker_removed(ns, pathkey_prefix_slice(&removal->prefix));
    inode_table_moved(&ns->table);
}

void removal_cancel(struct removal *removal)
{
    if (removal->live)
        atomic_fetch_and(&removal->live->open_count, ~INODE_GOING);
}

void removal_release(struct ns *ns, struct removal *removal)
{
    free(removal->ghost);
    ns_inode_drop(ns, removal->live);
    *removal = (struct removal){0};
}

// ------------------------------------------------------------------------------- unlink, rmdir

struct unlinking {
    struct ns_inode *dir;
    struct slice name;
    bool want_dir;
    uint64_t ino;      // expected under the name
    uint64_t sequence; // of the store before the name was looked up
    struct pathkey key;
    struct removal removal;
};

static int unlink_check(const struct unlinking *u, const struct record *rec)
{
    if (rec->ino != u->ino)
        return -EAGAIN;
    if (u->want_dir && !S_ISDIR(rec->mode))
        return -ENOTDIR;
    if (!u->want_dir && S_ISDIR(rec->mode))
        return -EISDIR;
    return 0;
}

static int unlink_locked(struct ns *ns, struct op *op, struct unlinking *u) REQUIRES(inode_held)
{
    struct record *rec = &op->entry.rec, *parent = &op->dir.rec;
    if (inode_is_unlinked(u->dir))
        return -ENOENT;
    // Usually nothing at all was written since the name was looked up; then the answer is still
    // right.
    int rc = lsm_sequence(ns->db) == u->sequence ? 0 : op_load_key(ns, &u->key, &op->entry);
    if (!rc)
        rc = unlink_check(u, rec);
    bool is_link = !rc && rec->is_link;
    if (is_link) {
        struct pathkey inode_key;
        pathkey_number(&inode_key, KEY_INODE, u->ino);
        rc = op_load_key(ns, &inode_key, &op->file);
        if (rc == -ENOENT)
            rc = -EIO;
        rec = &op->file.rec;
    }
    if (!rc)
        rc = op_load(ns, u->dir, &op->dir);
    if (!rc && ns_name_is_fixed(parent, rec))
        rc = -EPERM;
    if (!rc && u->want_dir && rec->size)
        rc = -ENOTEMPTY;
    if (!rc)
        rc = op_delete(op, &u->key);
    if (rc)
        return rc;
    struct timespec now = ns_now();
    ns_touch_parent(parent, now, -1, u->want_dir ? -1 : 0);
    rc = removal_prepare(ns, op, rec, is_link, u->dir, u->name, now, &u->removal);
    if (!rc)
        rc = op_store(op, u->dir, parent);
    if (!rc && u->removal.unlinked)
        rc = op_count(ns, op, -1);
    if (!rc)
        rc = op_commit_names(ns, op, u->dir, u->dir);
    if (rc) {
        removal_cancel(&u->removal);
        return rc;
    }
    removal_finish(ns, &u->removal);
    return 0;
}

static int unlink_name(struct ns *ns, struct ns_inode *dir, const char *name, size_t name_size,
                       bool want_dir)
{
    int rc = ns_name_check(name, name_size);
    if (rc)
        return rc;
    if (!inode_is_dir(dir))
        return -ENOTDIR;
    struct unlinking u = {.dir = dir, .name = slice_of(name, name_size), .want_dir = want_dir};
    pathkey_entry(&u.key, prefix_slice(dir->own_prefix), u.name);
    do {
        struct op *op = op_begin(ns);
        if (!op)
            return -ENOMEM;
        u.sequence = lsm_sequence(ns->db);
        rc = op_load_key(ns, &u.key, &op->entry);
        if (!rc) {
            struct inode_locks locks = {0};
            u.ino = op->entry.rec.ino;
            inode_locks_add(&locks, dir->ino, true);
            inode_locks_add(&locks, u.ino, true);
            inode_locks_take(&ns->table.locks, &locks);
            rc = unlink_locked(ns, op, &u);
            inode_locks_drop(&ns->table.locks, &locks);
            removal_release(ns, &u.removal);
        }
        op_end(ns, op);
    } while (rc == -EAGAIN);
    return rc;
}

int ns_unlink(struct ns *ns, struct ns_inode *dir, const char *name, size_t name_size)
{
    return unlink_name(ns, dir, name, name_size, false);
}

int ns_rmdir(struct ns *ns, struct ns_inode *dir, const char *name, size_t name_size)
{
    return unlink_name(ns, dir, name, name_size, true);
}
