// See clone.h.
//
// What is copied is read from a snapshot, as a namespace of its own. The copy grows in a directory
// of the root that is made for it (unfinished.h): directory by directory, each filled in batches
// that add names with their extents and attributes, the directory's new size, and the count of
// files; so the store fits together after each of them. At the end the copy is renamed to where it
// belongs.
//
// A file with much content gets its name while it is empty, and its extents afterwards, in pieces
// (ns_copy_range_from).
//
// Locks: the lock of the directory that is being filled, during a batch. Others may look into the
// unfinished copy, and change it; they cannot break it.
#include "ns/changes/clone.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "base/status.h"
#include "ns/names/names.h"
#include "ns/operation/places.h"
#include "ns/operation/unfinished.h"
#include "ns/upkeep/sweep.h"

#define BATCH_NAMES 512u
#define BATCH_BYTES (1u << 20)
#define LARGE_BYTES (UINT64_C(32) << 20) // content that is copied in batches of its own
#define INNER       "tree"

// A directory, or a file with much content, whose name is there already.
struct pending_dir {
    struct pending_dir *next;
    struct ns_inode *from_dir, *to_dir; // a reference each: where it has the name
    uint8_t name_size;
    char name[PATHKEY_NAME_MAX];
};

struct copied_link { // a file with several names
    uint64_t from, to;
    uint32_t names; // made so far
};

struct clone {
    struct ns *ns, *source; // source: the snapshot
    lsm_progress_fn *progress;
    void *arg;
    uint64_t done;
    struct pending_dir *dirs, *files;
    struct lsm_iter *extents;  // over the source's
    struct copied_link *links; // a hash table
    size_t link_count, link_room;
    struct loaded linked; // the record of a file with several names
    struct timespec now;
    bool top_is_large; // what is cloned is a file with much content
};

// What a batch adds to its directory.
struct added {
    struct ns_inode *from_dir, *to_dir; // from_dir NULL: the one name is that of the whole copy
    unsigned names, subdirs, files;
    struct pending_dir *dirs, *large;
};

// ------------------------------------------------------------------------------- links

static struct copied_link *link_slot(struct copied_link *links, size_t room, uint64_t ino)
{
    size_t i = (size_t)(ino * UINT64_C(0x9e3779b97f4a7c15) >> 20) & (room - 1);
    while (links[i].from && links[i].from != ino)
        i = (i + 1) & (room - 1);
    return &links[i];
}

// The entry of the table for that inode, with `from` 0 if it is new. NULL: no memory.
static struct copied_link *link_find(struct clone *clone, uint64_t ino)
{
    if (2 * clone->link_count >= clone->link_room) {
        size_t room = clone->link_room ? 2 * clone->link_room : 64;
        struct copied_link *links = calloc(room, sizeof *links);
        if (!links)
            return NULL;
        for (size_t i = 0; i < clone->link_room; i++)
            if (clone->links[i].from)
                *link_slot(links, room, clone->links[i].from) = clone->links[i];
        free(clone->links);
        clone->links = links;
        clone->link_room = room;
    }
    assert(2 * clone->link_count < clone->link_room); // so that link_slot() ends
    return link_slot(clone->links, clone->link_room, ino);
}

// ------------------------------------------------------------------------------- one file

static struct slice iter_key(const struct lsm_iter *iter)
{
    size_t size;
    const void *key = lsm_iter_key(iter, &size);
    return slice_of(key, size);
}

// Adds the copy's extents to the batch, as parts of the source's. Files are mostly met in the order
// of their numbers, so the iterator is often at the right extent already.
static int copy_extents(struct clone *clone, struct op *op, uint64_t from, const struct record *rec)
{
    struct lsm_iter *iter = clone->extents;
    struct pathkey lower, upper, key;
    int rc = 0;
    pathkey_ino_bounds(KEY_EXTENT, from, &lower, &upper);
    if (!lsm_iter_valid(iter) || slice_compare(iter_key(iter), pathkey_slice(&lower)) != 0)
        lsm_iter_seek(iter, lower.data, lower.size);
    for (; !rc && lsm_iter_valid(iter); lsm_iter_next(iter)) {
        struct slice at = iter_key(iter);
        uint64_t ino, start;
        if (slice_compare(at, pathkey_slice(&upper)) >= 0)
            break;
        if (!pathkey_parse_extent(at, &ino, &start) ||
            start >= rec->size) // malformed, or of a tail
            continue;
        pathkey_extent(&key, rec->ino, start);
        rc = ns_err(lsm_batch_put_part_at(op->batch, key.data, key.size, clone->source->at.snapshot,
                                          at.data, at.size, 0, lsm_iter_value_size(iter)));
    }
    return rc ? rc : lsm_iter_valid(iter) ? 0 : ns_err(lsm_iter_status(iter));
}

// Copies all keys of the type (lost ranges or attributes) from one inode number to another.
static int copy_keys(struct clone *clone, struct op *op, enum pathkey_type type, uint64_t from,
                     uint64_t to)
{
    struct pathkey lower, upper, key;
    struct lsm_iter *iter;
    pathkey_ino_bounds(type, from, &lower, &upper);
    struct lsm_iter_options options = ns_between(clone->source->at.snapshot, &lower, &upper);
    int rc = ns_err(lsm_iter_new(clone->ns->db, &options, &iter));
    if (rc)
        return rc;
    for (lsm_iter_seek_first(iter); !rc && lsm_iter_valid(iter); lsm_iter_next(iter)) {
        struct slice at = iter_key(iter);
        size_t size;
        const void *value = lsm_iter_value(iter, &size);
        if (!value || at.size > sizeof key.data)
            break;
        pathkey_number(&key, type, to);
        memcpy(key.data + key.size, at.data + key.size, at.size - key.size);
        key.size = at.size;
        rc = op_put(op, &key, slice_of(value, size));
    }
    if (!rc)
        rc = ns_err(lsm_iter_status(iter));
    lsm_iter_free(iter);
    return rc;
}

static int wait_for(struct pending_dir **list, const struct added *added, struct slice name)
{
    struct pending_dir *waiting = malloc(sizeof *waiting);
    if (!waiting)
        return -ENOMEM;
    ns_inode_ref(added->from_dir);
    ns_inode_ref(added->to_dir);
    *waiting = (struct pending_dir){*list, added->from_dir, added->to_dir, (uint8_t)name.size, ""};
    memcpy(waiting->name, name.data, name.size);
    *list = waiting;
    return 0;
}

// Turns the record of a file into the record of its copy. True: the content is copied later.
static bool reshape(const struct clone *clone, struct record *rec, uint64_t ino)
{
    bool is_large = S_ISREG(rec->mode) && !rec->is_inline &&
                    (rec->data_bytes > LARGE_BYTES || rec->lost_bytes > LARGE_BYTES);
    rec->ino = ino;
    rec->ctime = rec->btime = clone->now;
    rec->flags &= ~(uint32_t)(NS_IMMUTABLE | NS_APPEND);
    rec->unwritten_bytes = 0;
    if (is_large)
        rec->size = rec->data_bytes = rec->lost_bytes = 0;
    return is_large;
}

// Turns the record into that of a copy with a new inode number, and adds the copy's attributes and
// content to the batch, unless the content is copied later.
static int copy_inode(struct clone *clone, struct op *op, struct added *added, struct slice name,
                      struct record *rec)
{
    uint64_t from = rec->ino, ino;
    int rc = ns_ino_new(clone->ns, &ino);
    if (rc)
        return rc;
    bool is_large = reshape(clone, rec, ino);
    if (rec->has_xattrs)
        rc = copy_keys(clone, op, KEY_XATTR, from, ino);
    if (!rc && is_large) {
        clone->top_is_large = !added->from_dir;
        return added->from_dir ? wait_for(&added->large, added, name) : 0;
    }
    if (!rc && rec->data_bytes)
        rc = copy_extents(clone, op, from, rec);
    if (!rc && rec->lost_bytes)
        rc = copy_keys(clone, op, KEY_LOST, from, ino);
    return rc;
}

// Turns the record of a file with several names into that of its copy, which has some of its names
// already.
static int load_copy(struct clone *clone, const struct copied_link *link, struct record *rec)
{
    struct pathkey key;
    struct loaded now = {0};
    pathkey_number(&key, KEY_INODE, link->to);
    int rc = op_load_key(clone->ns, &key, &now);
    reshape(clone, rec, link->to);
    if (!rc) { // the copy's content may have been filled in since its first name was made
        rec->size = now.rec.size;
        rec->data_bytes = now.rec.data_bytes;
        rec->lost_bytes = now.rec.lost_bytes;
    }
    lsm_buf_release(&now.raw);
    return rc == -ENOENT ? 0 : rc; // not stored yet: this batch creates it
}

static int copy_link(struct clone *clone, struct op *op, struct added *added, struct slice name,
                     uint64_t ino)
{
    struct pathkey key;
    pathkey_number(&key, KEY_INODE, ino);
    int rc = op_load_key(clone->source, &key, &clone->linked);
    struct record *rec = &clone->linked.rec;
    struct copied_link *link = rc ? NULL : link_find(clone, ino);
    if (!link)
        return rc == -ENOENT ? -EIO : rc ? rc : -ENOMEM;
    if (link->from) {
        rc = load_copy(clone, link, rec);
    } else {
        rc = copy_inode(clone, op, added, name, rec);
        *link = (struct copied_link){ino, rec->ino, 0};
        clone->link_count++;
        added->files++;
    }
    rec->nlink = ++link->names;
    const struct record entry = {.is_link = true, .ino = link->to, .mode = record_type(rec)};
    struct slice prefix = prefix_slice(added->to_dir->own_prefix);
    pathkey_number(&key, KEY_INODE, link->to);
    if (!rc)
        rc = op_store_key(op, &key, rec);
    if (!rc)
        rc = place_add(clone->ns, op, link->to, prefix, name);
    pathkey_entry(&key, prefix, name);
    return rc ? rc : op_store_key(op, &key, &entry);
}

// Adds `name` to the batch as a copy of the file whose record is *rec. Changes *rec.
static int add_name(struct clone *clone, struct op *op, struct added *added, struct slice name,
                    struct record *rec)
{
    struct pathkey key;
    struct pathkey_prefix prefix;
    struct slice dir_prefix = prefix_slice(added->to_dir->own_prefix);
    added->names++;
    if (rec->is_link)
        return copy_link(clone, op, added, name, rec->ino);
    int rc = copy_inode(clone, op, added, name, rec);
    added->files++;
    rec->nlink = 1;
    if (!rc && S_ISDIR(rec->mode)) {
        bool marked = false;
        bool fits = pathkey_child_prefix(dir_prefix, name, &prefix);
        added->subdirs++;
        rec->nlink = 2;
        rec->size = 0;
        rec->prefix = slice_of(NULL, 0);
        if (fits)
            rc = ns_is_marked(clone->ns, pathkey_prefix_slice(&prefix), &marked);
        if (!rc && (!fits || marked)) {
            pathkey_fresh_prefix(rec->ino, &prefix);
            rec->prefix = pathkey_prefix_slice(&prefix);
            rc = place_add(clone->ns, op, rec->ino, dir_prefix, name);
        }
        if (!rc && added->from_dir)
            rc = wait_for(&added->dirs, added, name);
    }
    pathkey_entry(&key, dir_prefix, name);
    return rc ? rc : op_store_key(op, &key, rec);
}

// ------------------------------------------------------------------------------- one directory

static void splice(struct pending_dir **list, struct pending_dir *added)
{
    while (added) {
        struct pending_dir *next = added->next;
        added->next = *list;
        *list = added;
        added = next;
    }
}

static void drop_waiting(struct clone *clone, struct pending_dir *list)
{
    while (list) {
        struct pending_dir *next = list->next;
        ns_inode_drop(clone->source, list->from_dir);
        ns_inode_drop(clone->ns, list->to_dir);
        free(list);
        list = next;
    }
}

// Commits a batch that has added names to a directory, which is locked.
static int commit(struct clone *clone, struct op *op, struct added *added) REQUIRES(inode_held)
{
    assert(inode_is_held(&clone->ns->table.locks, added->to_dir->ino, true));
    int rc =
        inode_is_unlinked(added->to_dir) ? -ENOENT : op_load(clone->ns, added->to_dir, &op->dir);
    if (rc)
        return rc;
    op->dir.rec.size += added->names;
    op->dir.rec.nlink += added->subdirs;
    rc = op_store(op, added->to_dir, &op->dir.rec);
    if (!rc && added->files)
        rc = op_count(clone->ns, op, added->files);
    return rc ? rc : op_commit_names(clone->ns, op, added->to_dir, added->to_dir);
}

// What a batch adds: the names that an iterator gives, or one name.
struct filling {
    struct lsm_iter *iter;
    struct slice name;
    struct record *rec;
};

static int fill(struct clone *clone, struct op *op, struct added *added, struct filling *filling)
{
    if (!filling->iter)
        return add_name(clone, op, added, filling->name, filling->rec);
    struct lsm_iter *iter = filling->iter;
    int rc = 0;
    for (; !rc && lsm_iter_valid(iter) && added->names < BATCH_NAMES &&
           lsm_batch_size(op->batch) < BATCH_BYTES;
         lsm_iter_next(iter)) {
        size_t size;
        struct record rec;
        struct slice prefix, name;
        const void *value = lsm_iter_value(iter, &size);
        if (!value)
            break;
        rc = ns_err(record_decode(value, size, &rec));
        if (!rc && !pathkey_parse_entry(iter_key(iter), &prefix, &name))
            rc = ns_err(status_fail(LSM_CORRUPTION, "an entry with a key that makes no sense"));
        bool is_unfinished = false;
        if (!rc && added->from_dir->ino == NS_ROOT_INO)
            rc = unfinished_is(clone->ns->db, &clone->source->at, name, &is_unfinished);
        if (!rc && !is_unfinished)
            rc = add_name(clone, op, added, name, &rec);
    }
    return rc || lsm_iter_valid(iter) ? rc : ns_err(lsm_iter_status(iter));
}

// Makes and commits one batch.
static int add_batch(struct clone *clone, struct ns_inode *from_dir, struct ns_inode *to_dir,
                     struct filling *filling)
{
    struct added added = {.from_dir = from_dir, .to_dir = to_dir};
    struct inode_lock lock;
    struct op *op = op_begin(clone->ns);
    if (!op)
        return -ENOMEM;
    clone->now = ns_now();
    inode_hold(&clone->ns->table.locks, &lock, to_dir->ino);
    int rc = fill(clone, op, &added, filling);
    if (!rc && added.names)
        rc = commit(clone, op, &added);
    inode_release(&clone->ns->table.locks, &lock);
    op_end(clone->ns, op);
    if (rc) {
        drop_waiting(clone, added.dirs);
        drop_waiting(clone, added.large);
        return rc;
    }
    splice(&clone->dirs, added.dirs);
    splice(&clone->files, added.large);
    clone->done += added.names;
    return clone->progress && clone->progress(clone->arg, clone->done, 0) ? -ECANCELED : 0;
}

static int fill_dir(struct clone *clone, struct ns_inode *from, struct ns_inode *to)
{
    struct pathkey lower, upper;
    struct filling filling = {0};
    pathkey_dir_bounds(prefix_slice(from->own_prefix), &lower, &upper);
    struct lsm_iter_options options = ns_between(clone->source->at.snapshot, &lower, &upper);
    int rc = ns_err(lsm_iter_new(clone->ns->db, &options, &filling.iter));
    if (rc)
        return rc;
    lsm_iter_seek_first(filling.iter);
    while (!rc && lsm_iter_valid(filling.iter))
        rc = add_batch(clone, from, to, &filling);
    lsm_iter_free(filling.iter);
    return rc;
}

// Copies the content of a file. At the end the size is set, since a hole at the end is not copied.
static int fill_file(struct clone *clone, struct ns_inode *from, struct ns_inode *to)
{
    const unsigned flags = NS_WRITE_KEEP_SUID | NS_WRITE_KEEP_TIMES;
    struct ns_attr attr;
    int rc = ns_getattr(clone->source, from, &attr);
    for (uint64_t at = 0; !rc && at < attr.size;) {
        ssize_t n = ns_copy_range_from(clone->ns, clone->source, from, at, to, at, attr.size - at,
                                       flags, NULL);
        if (n <= 0)
            rc = n ? (int)n : -EIO;
        else
            at += (uint64_t)n;
        if (!rc && clone->progress && clone->progress(clone->arg, clone->done, 0))
            rc = -ECANCELED;
    }
    if (!rc)
        rc = ns_setattr(clone->ns, to, &attr, NS_SET_SIZE | NS_SET_KEEP_TIMES, NULL);
    return rc;
}

// Takes the first directory or file off the list, and fills its copy.
static int fill_next(struct clone *clone, struct pending_dir **list,
                     int (*fn)(struct clone *clone, struct ns_inode *from, struct ns_inode *to))
{
    struct pending_dir *waiting = *list;
    struct ns_inode *from = NULL, *to = NULL;
    struct slice name = slice_of(waiting->name, waiting->name_size);
    *list = waiting->next;
    waiting->next = NULL;
    int rc = ns_lookup_name(clone->source, waiting->from_dir, name, &from, NULL);
    if (!rc)
        rc = ns_lookup_name(clone->ns, waiting->to_dir, name, &to, NULL);
    if (!rc)
        rc = fn(clone, from, to);
    ns_inode_drop(clone->source, from);
    ns_inode_drop(clone->ns, to);
    drop_waiting(clone, waiting);
    return rc;
}

// ------------------------------------------------------------------------------- the whole

// Makes the directory in which the copy grows, with the attribute that says what it is.
static int make_outer(struct clone *clone, char name[UNFINISHED_NAME_SIZE],
                      struct ns_inode **ret_outer)
{
    struct record rec = {.mode = S_IFDIR | 0700, .has_xattrs = true, .nlink = 2};
    struct pathkey key;
    struct ns *ns = clone->ns;
    struct inode_lock lock;
    struct added added = {.to_dir = ns->root, .names = 1, .subdirs = 1, .files = 1};
    struct op *op = op_begin(ns);
    if (!op)
        return -ENOMEM;
    int rc = ns_ino_new(ns, &rec.ino);
    rec.atime = rec.mtime = rec.ctime = rec.btime = ns_now();
    unfinished_name(rec.ino, name);
    unfinished_key(rec.ino, &key);
    inode_hold(&ns->table.locks, &lock, ns->root->ino);
    if (!rc)
        rc = op_put(op, &key, slice_of(NULL, 0));
    pathkey_entry(&key, slice_of(NULL, 0), slice_str(name));
    if (!rc)
        rc = op_store_key(op, &key, &rec);
    if (!rc)
        rc = commit(clone, op, &added);
    inode_release(&ns->table.locks, &lock);
    op_end(ns, op);
    return rc ? rc : ns_lookup_name(ns, ns->root, slice_str(name), ret_outer, NULL);
}

// Fills `outer` with the copy, as INNER.
static int make_copy(struct clone *clone, struct ns_inode *from, struct ns_inode *outer)
{
    struct loaded loaded = {0};
    struct ns_inode *inner = NULL;
    struct filling filling = {.name = slice_str(INNER), .rec = &loaded.rec};
    int rc = op_peek(clone->source, from, &loaded, NULL);
    if (!rc)
        rc = add_batch(clone, NULL, outer, &filling);
    lsm_buf_release(&loaded.raw);
    if (!rc)
        rc = ns_lookup_name(clone->ns, outer, slice_str(INNER), &inner, NULL);
    if (!rc && inode_is_dir(inner))
        rc = fill_dir(clone, from, inner);
    else if (!rc && clone->top_is_large)
        rc = fill_file(clone, from, inner);
    ns_inode_drop(clone->ns, inner);
    while (!rc && (clone->dirs || clone->files))
        rc = clone->files ? fill_next(clone, &clone->files, fill_file)
                          : fill_next(clone, &clone->dirs, fill_dir);
    return rc;
}

static int clone_into(struct clone *clone, struct ns_inode *from, struct ns_inode *dir,
                      const char *name, size_t name_size)
{
    struct ns *ns = clone->ns;
    char outer_name[UNFINISHED_NAME_SIZE];
    struct ns_inode *outer;
    int rc = make_outer(clone, outer_name, &outer);
    if (rc)
        return rc;
    rc = make_copy(clone, from, outer);
    if (!rc)
        rc = ns_rename(ns, outer, INNER, strlen(INNER), dir, name, name_size, NS_RENAME_NOREPLACE);
    ns_inode_put(ns, outer, 1);
    int swept = sweep_tree(ns, ns->root, outer_name, strlen(outer_name));
    return rc ? rc : swept;
}

int ns_clone(struct ns *ns, struct ns *source, const char *from, struct ns_inode *dir,
             const char *name, size_t name_size, lsm_progress_fn *progress, void *arg)
{
    struct clone clone = {.ns = ns, .source = source, .progress = progress, .arg = arg};
    struct pathkey lower, upper;
    struct ns_inode *inode = NULL;
    int rc = ns_name_check(name, name_size);
    if (!rc)
        rc = ns_resolve(source, from, &inode, NULL);
    if (rc)
        return rc;
    pathkey_type_bounds(KEY_EXTENT, &lower, &upper);
    struct lsm_iter_options options = ns_between(source->at.snapshot, &lower, &upper);
    rc = ns_err(lsm_iter_new(ns->db, &options, &clone.extents));
    if (!rc)
        rc = clone_into(&clone, inode, dir, name, name_size);
    drop_waiting(&clone, clone.dirs);
    drop_waiting(&clone, clone.files);
    ns_inode_drop(source, inode);
    lsm_iter_free(clone.extents);
    lsm_buf_release(&clone.linked.raw);
    free(clone.links);
    return rc;
}
