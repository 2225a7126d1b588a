// Open directories: listing names.
//
// A listing shows the directory as of one engine snapshot, taken by the read at cookie 0, in key
// order. So each name that was there throughout appears exactly once, whatever happens meanwhile,
// and a position is a number: entry i of the snapshot has cookie i + 3, behind "." (1) and ".."
// (2).
//
// Names are kept in memory, at most DIR_KEPT of them. A directory that has no more is read whole
// when the listing begins and gives the snapshot back at once. For a larger one every stride-th
// name is kept (the stride doubles when the list is full) and the snapshot stays until the handle
// is closed or rewound; any position is reached by a seek to the nearest kept name and at most
// `stride` steps. Where the last read stopped is kept too, so that reading on costs one seek.
//
// With `plus`, the inode and the attributes are those of now, not of the snapshot; names that are
// gone are passed over.
//
// Thread safety: a handle belongs to one thread at a time. No lock is taken: nobody gets the prefix
// of a removed directory before it is marked as unlinked, so one that is not, after the snapshot
// was taken, owned its prefix then. Failure: the position is unchanged; the same read may be tried
// again.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ns/ns_internal.h"

#define DIR_KEPT    1024u
#define COOKIE_DOT  1u
#define COOKIE_DOTS 2u

struct kept_name {
    uint64_t ino;
    uint32_t at; // in names
    uint16_t type_bits;
    uint8_t size;
};

struct dir_position {
    uint64_t index;
    size_t name_size;
    char name[NS_NAME_MAX];
};

struct ns_dir {
    struct ns *ns;
    struct ns_inode *inode; // one reference
    bool started;
    bool complete;                       // all names are kept, there is no snapshot
    const struct lsm_snapshot *snapshot; // of a listing that is not complete
    struct kept_name *kept;              // kept[i] is entry i * stride
    size_t kept_count;
    uint64_t stride;
    struct buf names;
    struct dir_position resume; // the entry the last read stopped before; name_size 0: none
};

// An entry on its way to the callback.
struct found {
    struct slice name;
    uint64_t ino;
    uint32_t type;
};

int ns_dir_open(struct ns *ns, struct ns_inode *inode, struct ns_dir **ret_dir)
{
    if (!inode_is_dir(inode))
        return -ENOTDIR;
    struct ns_dir *dir = calloc(1, sizeof *dir);
    if (!dir)
        return -ENOMEM;
    dir->ns = ns;
    dir->inode = inode;
    ns_inode_ref(inode);
    *ret_dir = dir;
    return 0;
}

static void listing_drop(struct ns_dir *dir)
{
    ns_moment_end(dir->ns, dir->snapshot);
    dir->snapshot = NULL;
    dir->started = dir->complete = false;
    dir->kept_count = 0;
    dir->names.size = 0;
    dir->stride = 1;
    dir->resume.name_size = 0;
}

void ns_dir_close(struct ns_dir *dir)
{
    if (!dir)
        return;
    listing_drop(dir);
    ns_inode_put(dir->ns, dir->inode, 1);
    free(dir->kept);
    buf_release(&dir->names);
    free(dir);
}

// ------------------------------------------------------------------------------- kept names

static struct slice kept_slice(const struct ns_dir *dir, const struct kept_name *kept)
{
    return slice_of(dir->names.data + kept->at, kept->size);
}

// Forgets every second name.
static void kept_thin_out(struct ns_dir *dir)
{
    size_t count = 0, size = 0;
    for (size_t i = 0; i < dir->kept_count; i += 2) {
        struct kept_name kept = dir->kept[i];
        memmove(dir->names.data + size, dir->names.data + kept.at, kept.size);
        kept.at = (uint32_t)size;
        size += kept.size;
        dir->kept[count++] = kept;
    }
    dir->kept_count = count;
    dir->names.size = size;
    dir->stride *= 2;
}

// Called for entries in order; keeps the index-th if it is due.
static int kept_add(struct ns_dir *dir, uint64_t index, const struct found *found)
{
    if (index != dir->kept_count * dir->stride)
        return 0;
    if (dir->kept_count == DIR_KEPT)
        kept_thin_out(dir); // now half as many names are kept, twice as far apart, and `index` is
                            // still the next to keep
    if (!dir->kept) {
        dir->kept = malloc(DIR_KEPT * sizeof *dir->kept);
        if (!dir->kept)
            return -ENOMEM;
    }
    struct kept_name kept = {.ino = found->ino,
                             .at = (uint32_t)dir->names.size,
                             .type_bits = (uint16_t)(found->type >> 12),
                             .size = (uint8_t)found->name.size};
    if (buf_append(&dir->names, found->name.data, found->name.size))
        return -ENOMEM;
    dir->kept[dir->kept_count++] = kept;
    return 0;
}

// ------------------------------------------------------------------------------- the snapshot

static int walk_open(struct ns_dir *dir, struct lsm_iter **ret_iter)
{
    struct pathkey lower, upper;
    pathkey_dir_bounds(prefix_slice(dir->inode->own_prefix), &lower, &upper);
    struct lsm_iter_options options = {.snapshot = dir->snapshot,
                                       .lower = lower.data,
                                       .lower_size = lower.size,
                                       .upper = upper.data,
                                       .upper_size = upper.size};
    return ns_err(lsm_iter_new(dir->ns->db, &options, ret_iter));
}

// The entry the iterator is on; -EIO if it is malformed.
static int walk_entry(struct lsm_iter *iter, struct found *ret_found)
{
    size_t key_size, value_size;
    const void *key = lsm_iter_key(iter, &key_size);
    const void *value = lsm_iter_value(iter, &value_size);
    struct slice prefix;
    struct record rec;
    if (!value)
        return ns_err(lsm_iter_status(iter));
    if (!pathkey_parse_entry(slice_of(key, key_size), &prefix, &ret_found->name))
        return -EIO;
    int status = record_decode(value, value_size, &rec);
    if (status)
        return ns_err(status);
    ret_found->ino = rec.ino;
    ret_found->type = record_type(&rec);
    return 0;
}

static void walk_seek(struct ns_dir *dir, struct lsm_iter *iter, struct slice name)
{
    struct pathkey key;
    pathkey_entry(&key, prefix_slice(dir->inode->own_prefix), name);
    lsm_iter_seek(iter, key.data, key.size);
}

// Puts the iterator on entry `index` or at the end. What is passed on the way is kept if due.
static int walk_to(struct ns_dir *dir, struct lsm_iter *iter, uint64_t index)
{
    uint64_t at = 0;
    if (dir->resume.name_size && dir->resume.index == index) {
        walk_seek(dir, iter, slice_of(dir->resume.name, dir->resume.name_size));
        return ns_err(lsm_iter_status(iter));
    }
    size_t nearest = (size_t)(index / dir->stride);
    if (dir->kept_count == 0) {
        lsm_iter_seek_first(iter);
    } else {
        if (nearest >= dir->kept_count)
            nearest = dir->kept_count - 1;
        at = nearest * dir->stride;
        walk_seek(dir, iter, kept_slice(dir, &dir->kept[nearest]));
    }
    for (; at < index && lsm_iter_valid(iter); at++) {
        struct found found;
        int rc = walk_entry(iter, &found);
        if (!rc)
            rc = kept_add(dir, at, &found);
        if (rc)
            return rc;
        lsm_iter_next(iter);
    }
    return ns_err(lsm_iter_status(iter));
}

// Keeps up to DIR_KEPT names of the snapshot; *ret_end: there are no more.
static int listing_fill(struct ns_dir *dir, bool *ret_end)
{
    struct lsm_iter *iter;
    bool end = false;
    int rc = walk_open(dir, &iter);
    if (rc)
        return rc;
    lsm_iter_seek_first(iter);
    for (uint64_t i = 0; !rc && !end && i <= DIR_KEPT; i++) {
        struct found found;
        end = !lsm_iter_valid(iter);
        if (end)
            rc = ns_err(lsm_iter_status(iter));
        else if (i < DIR_KEPT)
            rc = walk_entry(iter, &found);
        if (!rc && !end && i < DIR_KEPT) {
            rc = kept_add(dir, i, &found);
            lsm_iter_next(iter);
        }
    }
    lsm_iter_free(iter);
    *ret_end = end;
    return rc;
}

// Begins a listing with the names in the beginning, which is all there are in most directories. A
// snapshot that is to stay is another one than that for a few reads.
static int listing_try(struct ns_dir *dir, bool is_large, bool *ret_end)
{
    struct ns *ns = dir->ns;
    listing_drop(dir);
    int rc = is_large && !ns->at.snapshot ? ns_err(lsm_snapshot_new(ns->db, &dir->snapshot))
                                          : ns_moment_begin(ns, &dir->snapshot);
    *ret_end = !rc && inode_is_unlinked(dir->inode);
    if (!rc && !*ret_end)
        rc = listing_fill(dir, ret_end);
    if (rc)
        listing_drop(dir);
    return rc;
}

static int listing_start(struct ns_dir *dir)
{
    bool end;
    int rc = listing_try(dir, false, &end);
    if (!rc && !end)
        rc = listing_try(dir, true, &end);
    if (rc)
        return rc;
    dir->started = true;
    dir->complete = end;
    if (end) {
        ns_moment_end(dir->ns, dir->snapshot);
        dir->snapshot = NULL;
    }
    return 0;
}

// ------------------------------------------------------------------------------- reading

struct reading {
    struct ns_dir *dir;
    bool plus;
    ns_dirent_fn *fn;
    void *arg;
};

// Passes one entry on: 0, 1 if the callback stopped before it, or -errno.
static int deliver(const struct reading *reading, const struct found *found, uint64_t cookie)
{
    struct ns_dirent entry = {.name = (const char *)found->name.data,
                              .name_size = found->name.size,
                              .ino = found->ino,
                              .type = found->type,
                              .cookie = cookie};
    struct ns_attr attr;
    if (reading->plus && cookie > COOKIE_DOTS) {
        struct ns_dir *dir = reading->dir;
        int rc = ns_lookup_name(dir->ns, dir->inode, found->name, &entry.inode, &attr);
        if (rc == -ENOENT)
            return 0;
        if (rc)
            return rc;
        entry.ino = attr.ino;
        entry.type = attr.mode & S_IFMT;
        entry.attr = &attr;
    }
    if (!reading->fn(reading->arg, &entry))
        return 0;
    ns_inode_drop(reading->dir->ns, entry.inode);
    return 1;
}

static int deliver_dots(const struct reading *reading, uint64_t cookie)
{
    struct ns_dir *dir = reading->dir;
    struct ns_inode *parent;
    struct found found = {.name = slice_of(".", 1), .ino = dir->inode->ino, .type = S_IFDIR};
    int rc = cookie < COOKIE_DOT ? deliver(reading, &found, COOKIE_DOT) : 0;
    if (rc || cookie >= COOKIE_DOTS)
        return rc;
    rc = ns_parent(dir->ns, dir->inode, &parent);
    if (rc)
        return rc;
    found.name = slice_of("..", 2);
    found.ino = parent->ino;
    ns_inode_put(dir->ns, parent, 1);
    return deliver(reading, &found, COOKIE_DOTS);
}

static int read_kept(const struct reading *reading, uint64_t index)
{
    struct ns_dir *dir = reading->dir;
    int rc = 0;
    for (; !rc && index < dir->kept_count; index++) {
        const struct kept_name *kept = &dir->kept[index];
        struct found found = {.name = kept_slice(dir, kept),
                              .ino = kept->ino,
                              .type = (uint32_t)kept->type_bits << 12};
        rc = deliver(reading, &found, index + COOKIE_DOTS + 1);
    }
    return rc;
}

static int read_snapshot(const struct reading *reading, uint64_t index)
{
    struct ns_dir *dir = reading->dir;
    struct lsm_iter *iter;
    int rc = walk_open(dir, &iter);
    if (rc)
        return rc;
    rc = walk_to(dir, iter, index);
    for (; !rc && lsm_iter_valid(iter); index++) {
        struct found found;
        rc = walk_entry(iter, &found);
        if (!rc)
            rc = kept_add(dir, index, &found);
        if (!rc)
            rc = deliver(reading, &found, index + COOKIE_DOTS + 1);
        if (rc == 1) {
            dir->resume.index = index;
            dir->resume.name_size = found.name.size;
            memcpy(dir->resume.name, found.name.data, found.name.size);
        } else if (!rc) {
            lsm_iter_next(iter);
        }
    }
    if (!rc)
        rc = ns_err(lsm_iter_status(iter));
    lsm_iter_free(iter);
    return rc;
}

int ns_dir_read(struct ns_dir *dir, uint64_t cookie, bool plus, ns_dirent_fn *fn, void *arg)
{
    struct reading reading = {.dir = dir, .plus = plus, .fn = fn, .arg = arg};
    int rc = cookie == 0 || !dir->started ? listing_start(dir) : 0;
    if (!rc && cookie < COOKIE_DOTS)
        rc = deliver_dots(&reading, cookie);
    if (rc)
        return rc < 0 ? rc : 0;
    uint64_t index = cookie > COOKIE_DOTS ? cookie - COOKIE_DOTS : 0;
    rc = dir->complete ? read_kept(&reading, index) : read_snapshot(&reading, index);
    return rc < 0 ? rc : 0;
}
