// Listing directories.
//
// A listing goes in key order, without a handle: each call says behind which name to go on. So each
// name that exists throughout appears exactly once, whatever happens meanwhile. The caller gives a
// position, which is the hash of that name (listing.h). The name is found in a piece of a listing
// that was kept, by a bookmark, or by reading the directory until a name has this hash. Only if the
// name was removed, and neither a piece nor a bookmark is left, the position is not known: ESTALE.
//
// A piece shows the names as they were when it was made. No listing may show a state from before it
// began: so it begins with a new piece, or with one that was made since the last change of a name
// in the directory (ns_inode.names). With `plus` a new piece is always made: the scan that makes it
// reads the attributes too, and ends when the caller has enough.
//
// Thread safety: no lock is taken. A directory is marked as unlinked before another one can get its
// prefix. So if it is not marked after the entries were read, it owned its prefix at that moment.
// Failure: the same read may be tried again.
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ns/names/listing.h"
#include "ns/names/names.h"
#include "ns/operation/unfinished.h"

#define COOKIE_DOT  1u
#define COOKIE_DOTS 2u

// An entry on its way to the callback.
struct listed_entry {
    struct slice name;
    uint64_t ino;
    uint32_t type;
    struct record rec; // only if a scan has read the entry
};

// ------------------------------------------------------------------------------- reading entries

static int listing_start(struct ns *ns, const struct ns_inode *dir, struct lsm_iter **ret_iter)
{
    struct pathkey lower, upper;
    pathkey_dir_bounds(prefix_slice(dir->own_prefix), &lower, &upper);
    struct lsm_iter_options options = ns_between(ns->at.snapshot, &lower, &upper);
    return ns_err(lsm_iter_new(ns->db, &options, ret_iter));
}

// The entry the iterator is on, valid until the iterator moves. 0, 1 at the end, -EIO if the entry
// is malformed.
static int listing_entry(struct lsm_iter *iter, struct listed_entry *ret_found)
{
    size_t key_size, value_size;
    struct slice prefix;
    struct record *rec = &ret_found->rec;
    if (!lsm_iter_valid(iter)) {
        int rc = lsm_iter_status(iter);
        return rc ? ns_err(rc) : 1;
    }
    const void *key = lsm_iter_key(iter, &key_size);
    const void *value = lsm_iter_value(iter, &value_size);
    if (!value)
        return ns_err(lsm_iter_status(iter));
    if (!pathkey_parse_entry(slice_of(key, key_size), &prefix, &ret_found->name))
        return -EIO;
    int rc = record_decode(value, value_size, rec);
    if (rc)
        return ns_err(rc);
    ret_found->ino = rec->ino;
    ret_found->type = record_type(rec);
    return 0;
}

// Puts the iterator on the first entry behind `name`; if that is empty, on the first entry.
static void listing_behind(const struct ns_inode *dir, struct lsm_iter *iter, struct slice name)
{
    struct pathkey key;
    size_t size;
    if (!name.size) {
        lsm_iter_seek_first(iter);
        return;
    }
    pathkey_entry(&key, prefix_slice(dir->own_prefix), name);
    lsm_iter_seek(iter, key.data, key.size);
    if (!lsm_iter_valid(iter))
        return;
    const void *at = lsm_iter_key(iter, &size);
    if (size == key.size && memcmp(at, key.data, size) == 0)
        lsm_iter_next(iter);
}

// Puts the iterator on the first entry behind the name of that position. -ESTALE: there is none.
static int listing_to_cookie(struct ns *ns, struct lsm_iter *iter, uint64_t cookie)
{
    struct listed_entry found;
    int rc;
    lsm_iter_seek_first(iter);
    while (!(rc = listing_entry(iter, &found))) {
        bool is_it = listing_cookie(ns->listings, found.name) == cookie;
        lsm_iter_next(iter);
        if (is_it)
            return 0;
    }
    return rc < 0 ? rc : -ESTALE;
}

// ------------------------------------------------------------------------------- delivering

struct dir_reading {
    struct ns *ns;
    struct ns_inode *dir;
    bool plus;
    ns_dirent_fn *fn;
    void *arg;
    size_t last_size; // of the last name that was passed on; 0: none
    char last[NS_NAME_MAX];
};

// Passes one entry to the callback. Returns 0, 1 if the callback stopped before it, or -errno. The
// caller's reference to `inode` is used up. `inode` and `attr` may be NULL.
static int deliver(struct dir_reading *reading, const struct listed_entry *found, uint64_t cookie,
                   struct ns_inode *inode, const struct ns_attr *attr)
{
    struct ns_dirent entry = {.name = (const char *)found->name.data,
                              .name_size = found->name.size,
                              .ino = found->ino,
                              .type = found->type,
                              .cookie = cookie,
                              .inode = inode,
                              .attr = attr};
    if (attr) {
        entry.ino = attr->ino;
        entry.type = attr->mode & S_IFMT;
    }
    bool hides = false;
    int rc =
        reading->dir == reading->ns->root ? unfinished_hides(reading->ns, found->name, &hides) : 0;
    if (!rc && !hides)
        rc = reading->fn(reading->arg, &entry) ? 1 : 0;
    if (rc || hides)
        ns_inode_drop(reading->ns, entry.inode);
    if (rc || hides)
        return rc;
    if (cookie > COOKIE_DOTS) {
        assert(found->name.size > 0 && found->name.size <= sizeof reading->last);
        reading->last_size = found->name.size;
        memcpy(reading->last, found->name.data, found->name.size);
    }
    return 0;
}

static int deliver_dots(struct dir_reading *reading, uint64_t cookie)
{
    struct ns_inode *parent;
    struct listed_entry found = {
        .name = slice_of(".", 1), .ino = reading->dir->ino, .type = S_IFDIR};
    int rc = cookie < COOKIE_DOT ? deliver(reading, &found, COOKIE_DOT, NULL, NULL) : 0;
    if (rc || cookie >= COOKIE_DOTS)
        return rc;
    rc = ns_parent(reading->ns, reading->dir, &parent);
    if (rc)
        return rc;
    found.name = slice_of("..", 2);
    found.ino = parent->ino;
    ns_inode_put(reading->ns, parent, 1);
    return deliver(reading, &found, COOKIE_DOTS, NULL, NULL);
}

// Passes on the entry that a scan is at, with inode and attributes; returns the same.
static int deliver_scanned(struct dir_reading *reading, struct listed_entry *found, uint64_t cookie,
                           uint64_t moves)
{
    struct ns_inode *inode;
    struct ns_attr attr;
    int rc = ns_lookup_scanned(reading->ns, reading->dir, found->name, &found->rec, moves, &inode,
                               &attr);
    if (rc)
        return rc == -ENOENT ? 0 : rc;
    return deliver(reading, found, cookie, inode, &attr);
}

// ------------------------------------------------------------------------------- pieces

// Takes entries from the iterator into the piece. With `reading`, passes them on too; 1: the
// callback has stopped. `moves` was table.moves before the iterator was made.
static int piece_fill(struct ns *ns, struct lsm_iter *iter, struct listing_piece *piece,
                      struct dir_reading *reading, uint64_t moves)
{
    struct listed_entry found;
    int rc;
    while (!(rc = listing_entry(iter, &found)) && piece->count < LISTING_PIECE) {
        rc = listing_piece_add(piece, ns->listings, found.name, found.ino, found.type);
        if (!rc && reading)
            rc = deliver_scanned(reading, &found, piece->names[piece->count - 1].cookie, moves);
        if (rc)
            return rc;
        lsm_iter_next(iter);
    }
    piece->is_end = rc == 1;
    assert(rc || piece->count == LISTING_PIECE);
    return rc < 0 ? rc : 0;
}

// Makes the piece that begins behind `name`; if that is empty, behind the position `cookie`; if
// that is 0, at the beginning. With `reading`, passes the entries on too; 1: the callback has
// stopped.
static int piece_make(struct ns *ns, struct ns_inode *dir, struct slice name, uint64_t cookie,
                      struct dir_reading *reading, struct listing_piece **ret_piece)
{
    struct lsm_iter *iter;
    uint64_t moves = atomic_load_explicit(&ns->table.moves, memory_order_acquire);
    struct listing_piece *piece = listing_piece_new(dir->ino, atomic_load(&dir->names));
    if (!piece)
        return -ENOMEM;
    int rc = listing_start(ns, dir, &iter);
    if (rc) {
        listing_piece_put(piece);
        return rc;
    }
    piece->is_beginning = !name.size && !cookie;
    if (inode_is_unlinked(dir)) {
        piece->is_end = true;
    } else {
        if (cookie && !name.size)
            rc = listing_to_cookie(ns, iter, cookie);
        else
            listing_behind(dir, iter, name);
        if (!rc)
            rc = piece_fill(ns, iter, piece, reading, moves);
    }
    lsm_iter_free(iter);
    if (rc < 0) {
        listing_piece_put(piece);
        return rc;
    }
    listings_keep(ns->listings, piece);
    *ret_piece = piece;
    return rc;
}

static int deliver_piece(struct dir_reading *reading, const struct listing_piece *piece,
                         size_t index)
{
    int rc = 0;
    for (; !rc && index < piece->count; index++) {
        const struct listed_name *name = &piece->names[index];
        struct listed_entry found = {.name = listing_piece_name(piece, index),
                                     .ino = name->ino,
                                     .type = (uint32_t)name->type_bits << 12};
        rc = deliver(reading, &found, name->cookie, NULL, NULL);
    }
    return rc;
}

// Finds or makes the piece in which the listing goes on, and the index in it. `name` is the name of
// the position, or empty if it is not known.
static int find_piece(struct ns *ns, struct ns_inode *dir, uint64_t cookie, struct slice name,
                      struct listing_piece **ret_piece, size_t *ret_index)
{
    char marked[NS_NAME_MAX];
    bool begins = cookie <= COOKIE_DOTS;
    *ret_index = 0;
    uint64_t version = atomic_load(&dir->names);
    if (!begins)
        *ret_piece = listings_find(ns->listings, dir->ino, cookie, ret_index);
    else if (version % 2 == 0 && !ns->follows) // else a change may just be becoming visible
        *ret_piece = listings_beginning(ns->listings, dir->ino, version);
    else
        *ret_piece = NULL;
    if (*ret_piece)
        return 0;
    if (!begins && !name.size)
        name = slice_of(marked, listings_marked(ns->listings, dir->ino, cookie, marked));
    return piece_make(ns, dir, name, begins ? 0 : cookie, NULL, ret_piece);
}

// Lists from the position on, without inodes.
static int list_names(struct dir_reading *reading, uint64_t cookie, struct slice name)
{
    struct ns *ns = reading->ns;
    struct listing_piece *piece, *next;
    size_t index;
    int rc = find_piece(ns, reading->dir, cookie, name, &piece, &index);
    if (rc)
        return rc;
    while (!(rc = deliver_piece(reading, piece, index)) && !piece->is_end) {
        rc = piece_make(ns, reading->dir, listing_piece_name(piece, piece->count - 1), 0, NULL,
                        &next);
        if (rc)
            break;
        listing_piece_put(piece);
        piece = next;
        index = 0;
    }
    listing_piece_put(piece);
    return rc;
}

// Finds the name of the position, which is put into `space` (NS_NAME_MAX bytes); *ret_name is empty
// if it is not known. True: no name is behind it.
static bool find_name(struct ns *ns, const struct ns_inode *dir, uint64_t cookie, char *space,
                      struct slice *ret_name)
{
    size_t next;
    struct listing_piece *piece = listings_find(ns->listings, dir->ino, cookie, &next);
    if (!piece) {
        *ret_name = slice_of(space, listings_marked(ns->listings, dir->ino, cookie, space));
        return false;
    }
    struct slice name = listing_piece_name(piece, next - 1);
    memcpy(space, name.data, name.size);
    *ret_name = slice_of(space, name.size);
    assert(next > 0 && next <= piece->count);
    bool is_end = piece->is_end && next == piece->count;
    listing_piece_put(piece);
    return is_end;
}

// Lists from the position on, with inodes.
static int list_files(struct dir_reading *reading, uint64_t cookie, struct slice name)
{
    struct ns *ns = reading->ns;
    struct listing_piece *piece = NULL, *next;
    char space[NS_NAME_MAX];
    if (cookie <= COOKIE_DOTS)
        cookie = 0;
    else if (!name.size && find_name(ns, reading->dir, cookie, space, &name))
        return 0;
    for (;;) {
        int rc = piece_make(ns, reading->dir, name, cookie, reading, &next);
        listing_piece_put(piece);
        if (rc < 0)
            return rc;
        piece = next;
        if (rc || piece->is_end) {
            listing_piece_put(piece);
            return rc;
        }
        name = listing_piece_name(piece, piece->count - 1);
        cookie = 0;
    }
}

static int list_from(struct dir_reading *reading, uint64_t cookie, struct slice name)
{
    int rc = cookie < COOKIE_DOTS ? deliver_dots(reading, cookie) : 0;
    if (!rc)
        rc = reading->plus ? list_files(reading, cookie, name) : list_names(reading, cookie, name);
    if (rc == 1 && reading->last_size)
        listings_mark(reading->ns->listings, reading->dir->ino,
                      slice_of(reading->last, reading->last_size));
    return rc < 0 ? rc : 0;
}

int ns_list(struct ns *ns, struct ns_inode *dir, uint64_t cookie, bool plus, ns_dirent_fn *fn,
            void *arg)
{
    if (!inode_is_dir(dir))
        return -ENOTDIR;
    struct dir_reading reading = {.ns = ns, .dir = dir, .plus = plus, .fn = fn, .arg = arg};
    struct ns_attr attr;
    int rc = ns->follows ? ns_getattr(ns, dir, &attr) : 0; // its prefix may be another's by now
    return rc ? rc : list_from(&reading, cookie, slice_of(NULL, 0));
}

struct naming {
    struct ns *ns;
    struct ns_inode *dir;
    ns_live_fn *fn;
    void *arg;
};

static int name_if_live(void *arg, const struct ns_dirent *entry)
{
    struct naming *naming = arg;
    struct ns_inode *inode =
        entry->cookie > COOKIE_DOTS ? ns_inode_find(naming->ns, entry->ino) : NULL;
    if (inode) {
        naming->fn(naming->arg, naming->dir, entry->name, entry->name_size);
        ns_inode_put(naming->ns, inode, 1);
    }
    return 0;
}

void ns_live_names(struct ns *ns, ns_live_fn *fn, void *arg)
{
    size_t count;
    struct ns_inode **dirs = inode_table_dirs(&ns->table, &count);
    for (size_t i = 0; i < count; i++) {
        struct naming naming = {ns, dirs[i], fn, arg};
        (void)!ns_list(ns, dirs[i], 0, false, name_if_live, &naming);
        ns_inode_put(ns, dirs[i], 1);
    }
    free(dirs);
}

int ns_list_behind(struct ns *ns, struct ns_inode *dir, const char *name, size_t name_size,
                   bool plus, ns_dirent_fn *fn, void *arg)
{
    if (!inode_is_dir(dir))
        return -ENOTDIR;
    struct dir_reading reading = {.ns = ns, .dir = dir, .plus = plus, .fn = fn, .arg = arg};
    struct slice behind = slice_of(name, name_size);
    return list_from(&reading, listing_cookie(ns->listings, behind), behind);
}
