// Taking in changes while the tree is in use. See intake.h.
//
// Operations that change the tree, or look for a file in it, are kept out (op_gate_close) while the
// changes are applied and memory is brought up to date. Memory holds little of a tree: where the
// records of live inodes are. The keys that differ from the base tell which live inodes are
// concerned. If an entry leads to such an inode, that is its new place. If no entry does, and its
// record is not in its old place either, it has no name any more: reading it is ESTALE, as if it
// had been removed while nobody had it open.
//
// If memory or the disk fails after the changes were applied, the records of some live inodes are
// not found (EIO). What is stored is right.
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/coding.h"
#include "base/status.h"
#include "ns/attributes/attributes.h"
#include "ns/changes/follow.h"
#include "ns/changes/intake.h"
#include "ns/content/unwritten.h"
#include "ns/inodes/lost_note.h"
#include "ns/names/names.h"
#include "ns/operation/places.h"
#include "ns/upkeep/reclaim.h"

// The difference of two snapshots, key by key, and the live directories.
struct taking {
    struct ns *ns;
    const struct lsm_snapshot *base, *now;
    struct lsm_diff *diff;
    struct loaded before, after;
    uint64_t *inos; // of live inodes that the keys name; some more than once
    size_t count, capacity;
    struct ns_inode **dirs; // a reference each; sorted by their prefixes
    size_t dir_count;
};

static int by_prefix(const void *a, const void *b)
{
    const struct ns_inode *const *x = a, *const *y = b;
    return slice_compare(prefix_slice((*x)->own_prefix), prefix_slice((*y)->own_prefix));
}

static void list_dirs(struct taking *t)
{
    t->dirs = inode_table_dirs(&t->ns->table, &t->dir_count);
    if (t->dir_count)
        qsort(t->dirs, t->dir_count, sizeof *t->dirs, by_prefix);
}

static void release(struct taking *t)
{
    for (size_t i = 0; i < t->dir_count; i++)
        ns_inode_drop(t->ns, t->dirs[i]);
    free(t->dirs);
    free(t->inos);
    lsm_diff_free(t->diff);
    if (t->base)
        lsm_snapshot_free(t->ns->db, t->base);
    if (t->now)
        lsm_snapshot_free(t->ns->db, t->now);
    lsm_buf_release(&t->before.raw);
    lsm_buf_release(&t->after.raw);
}

// The live directory that has names now and owns the prefix, or NULL.
static struct ns_inode *dir_of(const struct taking *t, struct slice prefix)
{
    size_t low = 0, high = t->dir_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (slice_compare(prefix_slice(t->dirs[middle]->own_prefix), prefix) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < t->dir_count && slice_equal(prefix_slice(t->dirs[low]->own_prefix), prefix); low++)
        if (!inode_is_unlinked(t->dirs[low]))
            return t->dirs[low];
    return NULL;
}

// ------------------------------------------------------------------------------- memory

static int note(struct taking *t, uint64_t ino)
{
    struct ns_inode *inode = ino ? inode_find(&t->ns->table, ino) : NULL;
    if (!inode)
        return 0;
    ns_inode_drop(t->ns, inode);
    if (!array_grow(&t->inos, &t->capacity, t->count, sizeof *t->inos))
        return -ENOMEM;
    t->inos[t->count++] = ino;
    return 0;
}

static int take_key(struct taking *t, struct slice key)
{
    uint64_t ino = 0;
    if (key.data[0] != KEY_ENTRY)
        return note(t, follow_ino_of(key));
    int rc = op_load_at(t->ns->db, t->base, key, &t->before);
    if (!rc)
        rc = note(t, t->before.rec.ino);
    if (!rc || rc == -ENOENT)
        rc = follow_entry(t->ns, key, &t->after, &ino);
    return rc ? rc : note(t, ino);
}

// Makes a ghost for an inode that has no name any more, from its record in the base.
static int make_ghost(const struct taking *t, struct op *op, const struct ns_inode *inode,
                      struct loaded *rec, struct inode_ghost **ret_ghost) REQUIRES(inode_held)
{
    struct pathkey key;
    inode_record_key(inode, &key);
    int rc = op_load_at(t->ns->db, t->base, slice_of(key.data, key.size), rec);
    if (rc == -ENOENT || (!rc && (rec->rec.is_link || rec->rec.ino != inode->ino))) {
        rec->rec = (struct record){.ino = inode->ino, .mode = inode->type};
        rc = 0;
    }
    rec->rec.nlink = 0;
    rec->rec.has_xattrs = false;
    rec->rec.data_bytes = rec->rec.unwritten_bytes = rec->rec.lost_bytes = 0;
    return rc ? rc : ns_ghost_make(op, &rec->rec, ret_ghost);
}

// Looks for the inode's record in its place, as that is known now. If the record is not there, the
// inode has no name any more and gets a ghost.
static int settle_held(const struct taking *t, struct op *op, struct ns_inode *inode)
    REQUIRES(inode_held)
{
    struct inode_ghost *ghost;
    struct pathkey key;
    assert(inode_is_held(&t->ns->table.locks, inode->ino, true));
    inode->no_tail = false;
    inode->stored_at = 0;
    lost_note_cut(inode);
    atomic_store(&inode->atime_ns, 0);
    if (inode_location(inode) == AT_NONE)
        return 0;
    inode_record_key(inode, &key);
    int rc = op_load_key(t->ns, &key, &op->file);
    if (!rc && !op->file.rec.is_link && op->file.rec.ino == inode->ino) {
        atomic_store(&inode->data_gone, false); // earlier changes may have removed the file
        atomic_fetch_and(&inode->open_count, ~INODE_GOING);
        return 0;
    }
    if (rc && rc != -ENOENT)
        return rc;
    rc = make_ghost(t, op, inode, &op->file, &ghost);
    if (rc)
        return rc;
    atomic_fetch_or(&inode->open_count, INODE_GOING);
    atomic_store(&inode->data_gone, true);
    inode_set_ghost(&t->ns->table, inode, ghost);
    return 0;
}

static int settle(const struct taking *t, struct op *op, struct ns_inode *inode)
{
    struct inode_lock lock;
    inode_hold(&t->ns->table.locks, &lock, inode->ino);
    int rc = settle_held(t, op, inode);
    inode_release(&t->ns->table.locks, &lock);
    return rc;
}

// The parent of the directory `name`, with a reference. If the parent is not live it becomes so,
// found by its path.
static int find_parent(const struct taking *t, struct slice prefix, struct slice name,
                       struct ns_inode **ret_parent)
{
    struct paths paths;
    struct buf path = {0};
    *ret_parent = prefix.size ? dir_of(t, prefix) : t->ns->root;
    if (*ret_parent) {
        inode_ref(*ret_parent);
        return 0;
    }
    paths_init(&paths, t->ns->db, t->now);
    int rc = paths_entry(&paths, prefix, name, &path);
    if (!rc) {
        *strrchr((char *)path.data, '/') = 0; // the parent's path is left
        rc = ns_resolve(t->ns, (const char *)path.data, ret_parent, NULL);
    }
    paths_release(&paths);
    buf_release(&path);
    return rc;
}

// Notes the parent that the directory has now.
static int settle_parent(const struct taking *t, struct ns_inode *dir)
{
    struct pathkey key;
    struct inode_ghost *ghost;
    struct ns_inode *parent;
    struct slice prefix, name;
    int rc = inode_locate(&t->ns->table, dir, &key, &ghost);
    if (rc || ghost) {
        free(ghost);
        return rc;
    }
    if (!pathkey_parse_entry(slice_of(key.data, key.size), &prefix, &name))
        return 0;
    rc = find_parent(t, prefix, name, &parent);
    if (!rc) {
        rc = ns_found_at(t->ns, dir, parent, prefix, name, false, NULL);
        ns_inode_drop(t->ns, parent);
    }
    return rc;
}

static int settle_all(struct taking *t)
{
    int rc = 0;
    for (size_t i = 0; !rc && i < t->count; i++) {
        struct ns_inode *inode = inode_find(&t->ns->table, t->inos[i]);
        struct op *op = inode ? op_begin(t->ns) : NULL;
        rc = !inode ? 0 : op ? settle(t, op, inode) : -ENOMEM;
        op_end(t->ns, op);
        ns_inode_drop(t->ns, inode);
    }
    list_dirs(t); // only now is it known which of them have no name any more
    for (size_t i = 0; !rc && i < t->count; i++) {
        struct ns_inode *inode = inode_find(&t->ns->table, t->inos[i]);
        if (inode && inode_is_dir(inode))
            rc = settle_parent(t, inode);
        ns_inode_drop(t->ns, inode);
    }
    return rc;
}

// Listings that were read before must not be used any more: their version is the directory's number
// of that time (ns_inode.names), so each directory gets another number.
static void step_names(struct taking *t)
{
    for (size_t i = 0; i < t->dir_count; i++) {
        struct inode_lock lock;
        inode_hold(&t->ns->table.locks, &lock, t->dirs[i]->ino);
        inode_names_step(t->dirs[i]);
        inode_names_step(t->dirs[i]);
        inode_release(&t->ns->table.locks, &lock);
    }
}

// Reads again what memory holds about the store as a whole. An lsm_status.
static int read_whole(struct ns *ns, const struct intake *intake)
{
    uint64_t unwritten = 0;
    numbers_lock(ns);
    if (intake->reserved > ns->ino_next) // the other store may have given out the numbers below
        ns->ino_next = intake->reserved;
    if (intake->reserved > ns->ino_reserved)
        ns->ino_reserved = intake->reserved;
    numbers_unlock(ns);
    int rc = super_read(ns);
    if (!rc)
        rc = counters_read(ns);
    if (!rc)
        rc = markers_count(ns);
    if (!rc)
        rc = ns_look_for_labels(ns);
    if (!rc && super_has(ns, FEATURE_UNWRITTEN))
        rc = unwritten_sum(ns, &unwritten);
    if (!rc)
        promise_open(ns, unwritten);
    return rc;
}

// Opens the two snapshots and their difference. An lsm_status.
static int open_diff(struct taking *t, const char *base, const char *now)
{
    int rc = lsm_snapshot_open(t->ns->db, base, &t->base);
    if (!rc)
        rc = lsm_snapshot_open(t->ns->db, now, &t->now);
    return rc ? rc : lsm_diff_new(t->ns->db, t->base, t->now, &t->diff);
}

// Brings memory up to date with the changes; the gate is closed. An lsm_status or -errno.
static int refresh(struct ns *ns, const struct intake *intake, const char *base, const char *now)
{
    struct taking t = {.ns = ns};
    inode_table_moved(&ns->table); // a lookup that has read an entry before this reads it again
    int rc = read_whole(ns, intake);
    if (!rc)
        rc = open_diff(&t, base, now);
    while (!rc && (rc = lsm_diff_next(t.diff)) > 0) {
        struct slice key;
        key.data = lsm_diff_key(t.diff, &key.size);
        rc = key.size ? take_key(&t, key) : 0;
    }
    if (!rc)
        rc = settle_all(&t);
    else
        list_dirs(&t);
    step_names(&t);
    inode_table_moved(&ns->table);
    release(&t);
    if (!rc)
        rc = reclaim_leftovers(ns);
    return rc;
}

// The base's count of reserved inode numbers: all that it has given out are lower. An lsm_status.
static int base_reserved(struct ns *ns, const char *base, uint64_t *ret_reserved)
{
    struct pathkey key;
    struct lsm_buf value = {0};
    struct lsm_read_options at = {0};
    int rc = lsm_snapshot_open(ns->db, base, &at.snapshot);
    if (rc)
        return rc;
    pathkey_single(&key, KEY_RESERVED);
    rc = lsm_get(ns->db, &at, key.data, key.size, &value);
    if (!rc && value.size != 8)
        rc = status_fail(LSM_CORRUPTION, "inode numbers are missing");
    if (!rc)
        *ret_reserved = get_fixed64(value.data);
    lsm_buf_release(&value);
    lsm_snapshot_free(ns->db, at.snapshot);
    return rc;
}

int intake_apply_live(struct ns *ns, struct intake *intake, struct lsm_ingest *ingest,
                      const char *base, const struct lsm_snapshot_info *origin)
{
    uint64_t reserved;
    assert(!ns->read_only && !ns->at.snapshot);
    int rc = base_reserved(ns, base, &reserved);
    if (!rc)
        rc = lsm_flush(ns->db); // now, while operations still go on, so that they wait for less
    if (rc)
        return rc;
    op_gate_close(ns);
    if (inode_table_nameless(&ns->table, reserved))
        rc = INTAKE_NAMELESS;
    if (!rc)
        rc = intake_apply(ns->db, intake, ingest, base, origin);
    bool is_in = !rc;
    if (!rc)
        rc = refresh(ns, intake, base, origin->name);
    op_gate_open(ns);
    if (is_in)
        op_tell_watcher(ns);
    return is_in && rc ? INTAKE_HALF : rc;
}

// ------------------------------------------------------------------------------- telling

enum named_when { NAMED_ONLY, NAMED_BEFORE, NAMED_AFTER };

// A live inode that is to be told, with the size and mtime of its record before or after the
// changes: the kernel keeps these two itself.
struct named {
    uint64_t ino, size;
    struct timespec mtime;
    enum named_when when;
};

struct intake_telling {
    struct taking t;
    struct paths paths;
    struct named *named;
    size_t count, capacity;
    intake_fn *fn;
    void *arg;
};

static int add_named(struct intake_telling *telling, struct named named)
{
    struct ns *ns = telling->t.ns;
    struct ns_inode *inode = named.ino ? inode_find(&ns->table, named.ino) : NULL;
    if (!inode)
        return 0;
    ns_inode_drop(ns, inode);
    if (!array_grow(&telling->named, &telling->capacity, telling->count, sizeof *telling->named))
        return -ENOMEM;
    telling->named[telling->count++] = named;
    return 0;
}

// Adds the inode of a record. `rc` is what reading the record has returned.
static int add_record(struct intake_telling *telling, int rc, const struct record *rec,
                      enum named_when when)
{
    if (rc)
        return rc == -ENOENT ? 0 : rc;
    struct named named = {.ino = rec->ino};
    if (!rec->is_link)
        named = (struct named){rec->ino, rec->size, rec->mtime, when};
    return add_named(telling, named);
}

// Adds the live inodes that the key belongs to, or leads to.
static int find_inodes(struct intake_telling *telling, struct slice key)
{
    struct taking *t = &telling->t;
    if (key.data[0] != KEY_ENTRY && key.data[0] != KEY_INODE)
        return add_named(telling, (struct named){.ino = follow_ino_of(key)});
    int rc = add_record(telling, op_load_at(t->ns->db, t->base, key, &t->before), &t->before.rec,
                        NAMED_BEFORE);
    return rc ? rc
              : add_record(telling, op_load_at(t->ns->db, t->now, key, &t->after), &t->after.rec,
                           NAMED_AFTER);
}

static int tell_name(void *arg, struct slice entry_key)
{
    struct intake_telling *telling = arg;
    struct slice prefix, name;
    struct ns_inode *dir = NULL;
    if (pathkey_parse_entry(entry_key, &prefix, &name))
        dir = prefix.size ? dir_of(&telling->t, prefix) : telling->t.ns->root;
    if (dir)
        telling->fn(telling->arg, dir, name.data, name.size, NULL, false);
    return 0;
}

// Tells the names that a changed key concerns. Key 'I', the record of a file with several names:
// all its names. An entry: its name, unless it leads to the same directory in both snapshots.
static int tell_names(struct intake_telling *telling, struct slice key)
{
    struct taking *t = &telling->t;
    bool is_entry = key.data[0] == KEY_ENTRY;
    if (!is_entry && key.data[0] != KEY_INODE)
        return 0;
    int was = op_load_at(t->ns->db, t->base, key, &t->before),
        is = op_load_at(t->ns->db, t->now, key, &t->after);
    if (is && is != -ENOENT)
        return is;
    if (is_entry)
        return !was && !is && t->before.rec.ino == t->after.rec.ino && S_ISDIR(t->after.rec.mode)
                   ? 0
                   : tell_name(telling, key);
    return is ? 0
              : paths_places(&telling->paths, t->after.rec.ino, t->after.rec.nlink, tell_name,
                             telling);
}

static int by_ino(const void *a, const void *b)
{
    const struct named *x = a, *y = b;
    return x->ino < y->ino ? -1 : x->ino > y->ino;
}

static bool is_other(const struct named *before, const struct named *after)
{
    return before && after &&
           (before->size != after->size || before->mtime.tv_sec != after->mtime.tv_sec ||
            before->mtime.tv_nsec != after->mtime.tv_nsec);
}

static void tell_inodes(struct intake_telling *telling)
{
    struct ns *ns = telling->t.ns;
    if (telling->count)
        qsort(telling->named, telling->count, sizeof *telling->named, by_ino);
    for (size_t i = 0, end; i < telling->count; i = end) {
        uint64_t ino = telling->named[i].ino;
        const struct named *before = NULL, *after = NULL;
        for (end = i; end < telling->count && telling->named[end].ino == ino; end++) {
            const struct named *named = &telling->named[end];
            before = named->when == NAMED_BEFORE ? named : before;
            after = named->when == NAMED_AFTER ? named : after;
        }
        struct ns_inode *inode = inode_find(&ns->table, ino);
        if (inode)
            telling->fn(telling->arg, NULL, NULL, 0, inode, is_other(before, after));
        ns_inode_drop(ns, inode);
    }
}

static int each_key(struct intake_telling *telling,
                    int (*fn)(struct intake_telling *telling, struct slice key))
{
    struct taking *t = &telling->t;
    lsm_diff_free(t->diff);
    t->diff = NULL;
    int rc = lsm_diff_new(t->ns->db, t->base, t->now, &t->diff);
    while (!rc && (rc = lsm_diff_next(t->diff)) > 0) {
        struct slice key;
        key.data = lsm_diff_key(t->diff, &key.size);
        rc = key.size ? fn(telling, key) : 0;
    }
    return rc;
}

int intake_tell(struct ns *ns, const char *base, const char *snapshot, intake_fn *fn, void *arg)
{
    struct intake_telling telling = {.t.ns = ns, .fn = fn, .arg = arg};
    list_dirs(&telling.t);
    int rc = open_diff(&telling.t, base, snapshot);
    paths_init(&telling.paths, ns->db, telling.t.now);
    if (!rc)
        rc = each_key(&telling, find_inodes);
    if (!rc)
        rc = each_key(&telling, tell_names);
    if (!rc)
        tell_inodes(&telling);
    paths_release(&telling.paths);
    free(telling.named);
    release(&telling.t);
    return rc;
}
