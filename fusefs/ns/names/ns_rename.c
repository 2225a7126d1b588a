// rename: moving, replacing, exchanging names.
//
// A file's entry is rewritten under its new key; a directory's too, and nothing below it: it keeps
// the prefix it was born with, which its entry then carries, and a marker says that this prefix is
// in use away from home. At home again it needs neither. So every rename is one small batch. With
// WHITEOUT the batch puts a whiteout under the old key instead of deleting it; a whiteout is no
// directory, so that the prefix which goes with the name stays where it went.
//
// Locks: first, if a directory changes its parent, the rename mutex, which keeps the tree's shape
// still for the loop check; then both parents and both inodes are locked at once. The inodes'
// numbers are read before, and checked again under the locks.
// Failure: nothing has changed.
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "ns/attributes/attributes.h"
#include "ns/names/names.h"
#include "ns/operation/places.h"

// One of the two names.
struct side {
    struct ns_inode *dir;
    struct slice name;
    struct pathkey key;
    uint64_t ino;          // the inode number behind the name; 0: there is no such name
    struct loaded *entry;  // the entry's record
    struct loaded *parent; // the directory's record (the other side's, if it is the same)
    struct record *full;   // entry's, or that at 'I'
};

// What the moved inode of a side becomes, prepared before the commit.
struct move {
    struct ns_inode *live; // a reference; NULL: no move
    struct inode_name *name;
    struct prefix *dir_prefix;    // a reference
    struct ns_inode *new_parent;  // of a live directory: a reference; after the commit the old one
    struct pathkey_prefix prefix; // of a directory
    bool mark, unmark;
};

struct renaming {
    struct side from, to;
    unsigned flags;
    const struct ns_cred *cred; // of the whiteout
    uint64_t whiteout;          // its inode number; 0: none is left
    bool same_dir;
    bool reshapes;        // a directory may get another parent: the rename mutex is held
    uint64_t sequence;    // of the store before the names were looked up
    struct move moves[2]; // from's inode; with EXCHANGE also to's
    struct removal removal;
};

static int side_init(struct side *side, struct ns_inode *dir, const char *name, size_t name_size)
{
    int rc = ns_name_check(name, name_size);
    if (rc)
        return rc;
    if (!inode_is_dir(dir))
        return -ENOTDIR;
    side->dir = dir;
    side->name = slice_of(name, name_size);
    pathkey_entry(&side->key, prefix_slice(dir->own_prefix), side->name);
    return 0;
}

static int side_load(struct ns *ns, struct side *side)
{
    int rc = op_load_key(ns, &side->key, side->entry);
    side->ino = rc ? 0 : side->entry->rec.ino;
    return rc == -ENOENT ? 0 : rc;
}

static bool side_is_dir(const struct side *side)
{
    return side->ino && S_ISDIR(side->entry->rec.mode);
}

// ------------------------------------------------------------------------------- checks

// Whether `dir` is `top` or below it. Under the rename mutex: parents stay as they are. (Which is
// asserted and not told to clang: a rename that stays in one directory goes without.)
static bool is_within(const struct renaming *r, const struct ns_inode *dir, uint64_t top)
{
    assert(r->reshapes);
    (void)r;
    for (; dir; dir = dir->parent)
        if (dir->ino == top)
            return true;
    return false;
}

static int check_types(const struct renaming *r)
{
    const struct side *from = &r->from, *to = &r->to;
    bool exchange = r->flags & NS_RENAME_EXCHANGE;
    if (!from->ino || (exchange && !to->ino))
        return -ENOENT;
    if (to->ino && r->flags & NS_RENAME_NOREPLACE)
        return -EEXIST;
    if (!r->same_dir && side_is_dir(from) && is_within(r, to->dir, from->ino))
        return -EINVAL;
    if (exchange)
        return !r->same_dir && side_is_dir(to) && is_within(r, from->dir, to->ino) ? -EINVAL : 0;
    if (!to->ino || to->ino == from->ino)
        return 0;
    if (side_is_dir(from) && !side_is_dir(to))
        return -ENOTDIR;
    if (!side_is_dir(from) && side_is_dir(to))
        return -EISDIR;
    return 0;
}

// The errno if flags of the files forbid the rename, or the target is a directory that is not
// empty; else 0. All records are loaded.
static int check_files(const struct renaming *r)
{
    const struct side *from = &r->from, *to = &r->to;
    if (ns_name_is_fixed(&from->parent->rec, from->full) ||
        ns_name_is_fixed(&to->parent->rec, to->ino ? to->full : NULL))
        return -EPERM;
    bool replaces = to->ino && !(r->flags & NS_RENAME_EXCHANGE);
    return replaces && side_is_dir(to) && to->full->size ? -ENOTEMPTY : 0;
}

// Loads both entries again under the locks. -EAGAIN: they are not what was locked.
static int load_locked(struct ns *ns, struct renaming *r)
{
    uint64_t from_ino = r->from.ino, to_ino = r->to.ino;
    if (inode_is_unlinked(r->from.dir) || inode_is_unlinked(r->to.dir))
        return -ENOENT;
    if (lsm_sequence(ns->db) == r->sequence)
        return 0;
    int rc = side_load(ns, &r->from);
    if (!rc)
        rc = side_load(ns, &r->to);
    if (!rc && (r->from.ino != from_ino || r->to.ino != to_ino))
        rc = -EAGAIN;
    return rc;
}

// ------------------------------------------------------------------------------- moving one inode

// The record that `side`'s inode has, wherever it is.
static int load_full(struct ns *ns, struct side *side, struct loaded *space)
{
    side->full = &side->entry->rec;
    if (!side->full->is_link)
        return 0;
    struct pathkey key;
    pathkey_number(&key, KEY_INODE, side->ino);
    int rc = op_load_key(ns, &key, space);
    side->full = &space->rec;
    return rc == -ENOENT ? -EIO : rc;
}

// Moves the place (places.h) of from's inode to the name that its entry gets.
static int move_place(struct ns *ns, struct op *op, const struct side *from, const struct side *to,
                      bool had, bool has)
{
    int rc = had ? place_remove(op, from->ino, prefix_slice(from->dir->own_prefix), from->name) : 0;
    if (!rc && has)
        rc = place_add(ns, op, from->ino, prefix_slice(to->dir->own_prefix), to->name);
    return rc;
}

// A directory's prefix after the move: explicit and marked away from home, implied at home.
static int move_prefix(struct ns *ns, struct op *op, const struct side *from, const struct side *to,
                       struct record *rec, struct move *move)
{
    struct pathkey_prefix home;
    struct pathkey key;
    struct slice prefix;
    bool was_explicit = rec->prefix.size > 0;
    int rc =
        ns_prefix_of(rec, prefix_slice(from->dir->own_prefix), from->name, &move->prefix, &prefix);
    if (rc)
        return rc;
    if (was_explicit) {
        memcpy(move->prefix.data, prefix.data, prefix.size);
        move->prefix.size = prefix.size;
    }
    prefix = pathkey_prefix_slice(&move->prefix);
    bool at_home = pathkey_child_prefix(prefix_slice(to->dir->own_prefix), to->name, &home) &&
                   slice_equal(pathkey_prefix_slice(&home), prefix);
    bool is_fresh = pathkey_is_fresh(prefix);
    rec->prefix = at_home ? slice_of(NULL, 0) : prefix;
    pathkey_marker(&key, prefix);
    rc = move_place(ns, op, from, to, was_explicit, !at_home);
    if (rc)
        return rc;
    if (at_home && was_explicit) {
        move->unmark = true;
        return op_delete(op, &key);
    }
    if (!at_home && !was_explicit && !is_fresh) {
        uint8_t value[8];
        put_fixed64(value, rec->ino);
        move->mark = true;
        // Counted before the marker is written, so that nobody overlooks it.
        ns_marker_added(ns, prefix);
        return op_put(op, &key, slice_of(value, sizeof value));
    }
    return 0;
}

static int move_live(struct ns *ns, const struct side *from, const struct side *to,
                     struct move *move) REQUIRES(inode_held)
{
    const struct record *rec = &from->entry->rec;
    int rc = ns_make_live(ns, from->dir, from->name, rec, rec->is_link, &move->live);
    if (rc)
        return rc;
    if (inode_location(move->live) == AT_ENTRY) {
        move->name = inode_name_new(to->name);
        if (!move->name)
            return -ENOMEM;
        move->dir_prefix = prefix_ref(to->dir->own_prefix);
    }
    if (inode_is_dir(move->live) && from->dir != to->dir) {
        ns_inode_ref(to->dir);
        move->new_parent = to->dir;
    }
    return 0;
}

// Adds to the batch the entry of from's inode under to's name.
static int move_prepare(struct ns *ns, struct op *op, struct side *from, const struct side *to,
                        struct timespec now, struct move *move) REQUIRES(inode_held)
{
    struct record *rec = from->full;
    int rc = move_live(ns, from, to, move);
    rec->ctime = now;
    if (!rc && S_ISDIR(rec->mode))
        rc = move_prefix(ns, op, from, to, rec, move);
    if (!rc && from->entry->rec.is_link) {
        struct pathkey key;
        pathkey_number(&key, KEY_INODE, from->ino);
        rc = op_store_key(op, &key, rec);
        if (!rc)
            rc = move_place(ns, op, from, to, true, true);
    }
    return rc ? rc : op_store_key(op, &to->key, &from->entry->rec);
}

static void move_finish(struct ns *ns, struct move *move) REQUIRES(inode_held)
{
    if (move->unmark)
        ns_marker_removed(ns, pathkey_prefix_slice(&move->prefix));
    move->mark = move->unmark = false;
    if (!move->live)
        return;
    if (move->name) {
        inode_move(&ns->table, move->live, move->dir_prefix, move->name);
        move->name = NULL;
        move->dir_prefix = NULL;
    }
    if (move->new_parent)
        inode_swap_parent(&ns->table, move->live, &move->new_parent);
}

static void move_release(struct ns *ns, struct move *move)
{
    if (move->mark)
        ns_marker_removed(ns, pathkey_prefix_slice(&move->prefix));
    free(move->name);
    prefix_put(move->dir_prefix);
    ns_inode_drop(ns, move->new_parent);
    ns_inode_drop(ns, move->live);
    *move = (struct move){0};
}

// ------------------------------------------------------------------------------- the batch

static int load_parents(struct ns *ns, struct op *op, struct renaming *r)
    REQUIRES_SHARED(inode_held)
{
    r->from.parent = &op->dir;
    r->to.parent = r->same_dir ? r->from.parent : &op->target_dir;
    int rc = op_load(ns, r->from.dir, r->from.parent);
    if (!rc && !r->same_dir)
        rc = op_load(ns, r->to.dir, r->to.parent);
    return rc;
}

static int store_parents(struct op *op, struct renaming *r, struct timespec now, bool exchange)
    REQUIRES(inode_held)
{
    int from_dir = side_is_dir(&r->from), to_dir = side_is_dir(&r->to), replaced = r->to.ino != 0;
    ns_touch_parent(&r->from.parent->rec, now, exchange || r->whiteout ? 0 : -1,
                    (exchange ? to_dir : 0) - from_dir);
    ns_touch_parent(&r->to.parent->rec, now, exchange || replaced ? 0 : 1, from_dir - to_dir);
    int rc = op_store(op, r->from.dir, &r->from.parent->rec);
    if (!rc && !r->same_dir)
        rc = op_store(op, r->to.dir, &r->to.parent->rec);
    return rc;
}

// Adds to the batch what becomes of the old name: it is deleted, or becomes a whiteout.
static int leave(struct op *op, const struct renaming *r, struct timespec now)
{
    if (!r->whiteout)
        return op_delete(op, &r->from.key);
    struct record rec = {.ino = r->whiteout, .mode = S_IFCHR};
    ns_new_record(&rec, r->cred, &r->from.parent->rec, now);
    return op_store_key(op, &r->from.key, &rec);
}

static int rename_locked(struct ns *ns, struct op *op, struct renaming *r) REQUIRES(inode_held)
{
    bool exchange = r->flags & NS_RENAME_EXCHANGE;
    int rc = load_locked(ns, r);
    if (!rc)
        rc = check_types(r);
    if (rc || r->from.ino == r->to.ino)
        return rc; // two names of one file: nothing to do
    rc = load_full(ns, &r->from, &op->file);
    if (!rc && r->to.ino)
        rc = load_full(ns, &r->to, &op->target_file);
    if (!rc)
        rc = load_parents(ns, op, r);
    if (!rc)
        rc = check_files(r);
    if (rc)
        return rc;
    struct timespec now = ns_now();
    rc = store_parents(op, r, now, exchange);
    if (!rc && r->to.ino && !exchange)
        rc = removal_prepare(ns, op, r->to.full, r->to.entry->rec.is_link, r->to.dir, r->to.name,
                             now, &r->removal);
    op->small_change = true;
    if (!rc && !exchange)
        rc = leave(op, r, now);
    if (!rc)
        rc = move_prepare(ns, op, &r->from, &r->to, now, &r->moves[0]);
    if (!rc && exchange)
        rc = move_prepare(ns, op, &r->to, &r->from, now, &r->moves[1]);
    int files = (r->whiteout ? 1 : 0) - (r->removal.unlinked ? 1 : 0);
    if (!rc && files)
        rc = op_count(ns, op, files);
    if (!rc)
        rc = op_commit_names(ns, op, r->from.dir, r->to.dir);
    if (rc) {
        removal_cancel(&r->removal);
        return rc;
    }
    move_finish(ns, &r->moves[0]);
    move_finish(ns, &r->moves[1]);
    if (r->removal.ino)
        removal_finish(ns, &r->removal);
    assert(!r->moves[0].name && !r->moves[1].name);
    inode_table_moved(&ns->table);
    return 0;
}

// The batch, with all four inodes locked.
static int rename_locking(struct ns *ns, struct op *op, struct renaming *r)
{
    struct inode_locks locks = {0};
    inode_locks_add(&locks, r->from.dir->ino, true);
    inode_locks_add(&locks, r->to.dir->ino, true);
    inode_locks_add(&locks, r->from.ino, true);
    if (r->to.ino)
        inode_locks_add(&locks, r->to.ino, true);
    inode_locks_take(&ns->table.locks, &locks);
    int rc = rename_locked(ns, op, r);
    inode_locks_drop(&ns->table.locks, &locks);
    return rc;
}

// One attempt. -EAGAIN: something changed between looking and locking.
static int rename_try(struct ns *ns, struct op *op, struct renaming *r)
{
    r->from.entry = &op->entry;
    r->to.entry = &op->target_entry;
    r->sequence = lsm_sequence(ns->db);
    int rc = side_load(ns, &r->from);
    if (!rc)
        rc = side_load(ns, &r->to);
    if (!rc && !r->from.ino)
        rc = -ENOENT;
    if (rc)
        return rc;
    r->reshapes = !r->same_dir &&
                  (side_is_dir(&r->from) || (r->flags & NS_RENAME_EXCHANGE && side_is_dir(&r->to)));
    if (r->reshapes) {
        tree_shape_lock(ns);
        rc = rename_locking(ns, op, r);
        tree_shape_unlock(ns);
    } else {
        rc = rename_locking(ns, op, r);
    }
    move_release(ns, &r->moves[0]);
    move_release(ns, &r->moves[1]);
    removal_release(ns, &r->removal);
    return rc;
}

int ns_rename_as(struct ns *ns, const struct ns_cred *cred, struct ns_inode *from_dir,
                 const char *from, size_t from_size, struct ns_inode *to_dir, const char *to,
                 size_t to_size, unsigned flags)
{
    struct renaming r = {.flags = flags, .cred = cred, .same_dir = from_dir == to_dir};
    const unsigned others = NS_RENAME_NOREPLACE | NS_RENAME_WHITEOUT;
    bool whiteout = flags & NS_RENAME_WHITEOUT;
    if (flags & ~(others | NS_RENAME_EXCHANGE) || (flags & NS_RENAME_EXCHANGE && flags & others) ||
        (whiteout && !cred))
        return -EINVAL;
    int rc = side_init(&r.from, from_dir, from, from_size);
    if (!rc)
        rc = side_init(&r.to, to_dir, to, to_size);
    while (!rc) {
        struct op *op = op_begin(ns);
        if (!op)
            return -ENOMEM;
        if (whiteout)
            rc = ns_ino_new(ns, &r.whiteout);
        if (!rc)
            rc = rename_try(ns, op, &r);
        op_end(ns, op);
        if (rc != -EAGAIN)
            break;
        rc = 0;
    }
    return rc;
}
