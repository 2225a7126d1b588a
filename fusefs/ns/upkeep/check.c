// The check of a namespace: what must hold between its keys.
//
// In this order: the tree from the root down (check_tree.c; each file: check_record.c), which notes
// what it has seen; then each kind of key in key order against these notes: entries, 'I' and 'O'
// records, markers, extents, attributes; then counters, single keys, and keys of no kind.
//
// Memory: 2 to 6 bytes a file (ino_set.h: its number, once more if it has extents, once more if it
// has attributes), 8 bytes a directory, 8 bytes for each name of a file with several, and what
// lies between the root and the place of the walk. Everything else streams. Extents of one file are
// verified by one seek, those of none found by hopping from file to file, so content is not read
// beyond what iterating over its keys does.
//
// Threads: no change may run meanwhile. Failure: -errno if the store cannot be read to the end (it
// may have been reported in part) or memory runs out.
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"
#include "ns/upkeep/check_internal.h"

// ------------------------------------------------------------------------------- ranges

// Looks at the key that the iterator is at, and moves the iterator on: to the next key, or behind
// keys that need not be looked at. 0 or -errno.
typedef int key_fn(struct check *check, void *arg, struct lsm_iter *iter, struct slice key);

// NULL as bounds: all there is.
static int for_keys(struct check *check, const struct pathkey *lower, const struct pathkey *upper,
                    key_fn *fn, void *arg)
{
    struct lsm_iter *iter;
    int rc = check_iter(check, lower, upper, &iter);
    if (rc)
        return rc;
    lsm_iter_seek_first(iter);
    while (!rc && lsm_iter_valid(iter))
        rc = fn(check, arg, iter, check_key(iter));
    if (!rc)
        rc = ns_err(lsm_iter_status(iter));
    lsm_iter_free(iter);
    return rc;
}

// Called with each pair of a range; 0 or -errno.
typedef int pair_fn(struct check *check, void *arg, struct slice key, struct slice value);

struct pair_look {
    pair_fn *fn;
    void *arg;
};

static int look_at_pair(struct check *check, void *arg, struct lsm_iter *iter, struct slice key)
{
    struct pair_look *look = arg;
    struct slice value = check_value(iter);
    if (!lsm_iter_valid(iter)) // the value cannot be read, as the iterator's status says
        return 0;
    int rc = look->fn(check, look->arg, key, value);
    if (!rc)
        rc = check_tick(check);
    lsm_iter_next(iter);
    return rc;
}

static int for_range(struct check *check, enum pathkey_type type, pair_fn *fn, void *arg)
{
    struct pathkey lower, upper;
    struct pair_look look = {fn, arg};
    pathkey_type_bounds(type, &lower, &upper);
    return for_keys(check, &lower, &upper, look_at_pair, &look);
}

static int bad_key(struct check *check, struct slice key)
{
    return check_problem(check, NULL, "a key of type '%c' with %zu bytes that makes no sense",
                         key.data[0] >= 0x20 && key.data[0] < 0x7f ? key.data[0] : '?', key.size);
}

// The record at 'I' or 'O'; *ret_sound: it can be looked at further.
static int load_numbered(struct check *check, enum pathkey_type type, struct slice key,
                         struct slice value, struct check_subject *subject, struct record *rec,
                         bool *ret_sound)
{
    *ret_sound = false;
    if (!pathkey_parse_number(key, type, &subject->ino))
        return bad_key(check, key);
    check->steps++;
    if (record_decode(value.data, value.size, rec))
        return check_problem(check, subject, "%s", lsm_error_detail());
    if (rec->is_link || rec->ino != subject->ino)
        return check_problem(check, subject, "the record there is another's");
    *ret_sound = true;
    return 0;
}

// Reports the names of files before `ino` that have no record. *next goes on to those of `ino`.
static int skip_links(struct check *check, size_t *next, uint64_t ino)
{
    int rc = 0;
    while (!rc && *next < check->links.count && check->links.at[*next] >> 4 < ino) {
        struct check_subject subject = {.ino = check->links.at[*next] >> 4};
        size_t names = 0;
        while (*next < check->links.count && check->links.at[*next] >> 4 == subject.ino) {
            ++*next;
            names++;
        }
        rc = check_problem(check, &subject, "%zu names, but no record", names);
    }
    return rc;
}

static int check_inode_pair(struct check *check, void *arg, struct slice key, struct slice value)
{
    size_t *next = arg, names = 0;
    assert(*next <= check->links.count);
    struct check_subject subject = {0};
    struct record rec;
    bool sound, is_new, same_type = true;
    int rc = load_numbered(check, KEY_INODE, key, value, &subject, &rec, &sound);
    if (!rc)
        rc = skip_links(check, next, subject.ino);
    for (; *next < check->links.count && check->links.at[*next] >> 4 == subject.ino; ++*next) {
        same_type = same_type && (!sound || (check->links.at[*next] & 15) == rec.mode >> 12);
        names++;
    }
    if (rc || !sound)
        return rc;
    if (S_ISDIR(rec.mode))
        rc = check_problem(check, &subject, "a directory that is not in its entry");
    else if (!names)
        rc = check_problem(check, &subject, "a file without a name");
    else if (names != rec.nlink)
        rc = check_problem(check, &subject, "link count %" PRIu32 ", but %zu names", rec.nlink,
                           names);
    if (!rc && !same_type)
        rc = check_problem(check, &subject, "a name of it says it is of another type");
    if (!rc)
        rc = check_record(check, &subject, &rec, &is_new);
    check->files += !rc && is_new;
    return rc;
}

static int check_inodes(struct check *check)
{
    size_t next = 0;
    numbers_sort(check->links.at, check->links.count);
    int rc = for_range(check, KEY_INODE, check_inode_pair, &next);
    if (!rc)
        rc = skip_links(check, &next, UINT64_MAX);
    assert(rc || next == check->links.count);
    return rc;
}

// An orphan is either held by somebody or being reclaimed; a store opened for reading only keeps
// those it found.
static int check_orphan_pair(struct check *check, void *arg, struct slice key, struct slice value)
{
    (void)arg;
    struct check_subject subject = {0};
    struct record rec;
    bool sound, is_new;
    int rc = load_numbered(check, KEY_ORPHAN, key, value, &subject, &rec, &sound);
    if (rc || !sound)
        return rc;
    if (rec.nlink)
        return check_problem(check, &subject, "an orphan with link count %" PRIu32, rec.nlink);
    struct ns_inode *live = ns_inode_find(check->ns, subject.ino);
    if (!live && check->ns->to_reclaim)
        rc = check_problem(check, &subject, "an orphan nobody holds or reclaims");
    ns_inode_drop(check->ns, live);
    return rc ? rc : check_record(check, &subject, &rec, &is_new);
}

// A tail is being deleted; a store opened for reading only keeps those it found, perhaps of files
// that are gone by now.
static int check_tail_pair(struct check *check, void *arg, struct slice key, struct slice value)
{
    (void)arg;
    struct check_subject subject = {0};
    bool added;
    if (!pathkey_parse_number(key, KEY_TAIL, &subject.ino) || value.size != 8)
        return bad_key(check, key);
    if (check->ns->to_reclaim)
        return check_problem(check, &subject, "a tail that nobody deletes");
    return ino_set_add(&check->data, subject.ino, &added);
}

static int check_marker_pair(struct check *check, void *arg, struct slice key, struct slice value)
{
    (void)arg;
    struct slice prefix = slice_of(key.data + 1, key.size - 1);
    if (prefix.size == 0 || prefix.size > PATHKEY_PREFIX_MAX || value.size != 8)
        return bad_key(check, key);
    if (number_list_has(&check->dirs, hash64(prefix.data, prefix.size)))
        return 0;
    struct buf text = {0};
    int rc = check_print(&text, prefix);
    if (!rc)
        rc = check_problem(check, NULL,
                           "a marker for inode %" PRIu64 ", but no directory has prefix \"%.*s\"",
                           get_fixed64(value.data), (int)text.size, (const char *)text.data);
    buf_release(&text);
    return rc;
}

// A place must lead to an entry that exists and is the inode's. A missing place is no problem:
// older versions wrote none.
static int check_place_pair(struct check *check, void *arg, struct slice key, struct slice value)
{
    struct loaded *entry = arg;
    struct check_subject subject = {0};
    struct slice prefix, name;
    struct pathkey entry_key;
    if (!pathkey_parse_place(key, &subject.ino, &prefix, &name) || value.size)
        return bad_key(check, key);
    pathkey_entry(&entry_key, prefix, name);
    int rc = op_load_key(check->ns, &entry_key, entry);
    if (rc && rc != -ENOENT)
        return rc;
    if (!rc && entry->rec.ino == subject.ino &&
        (entry->rec.is_link || (S_ISDIR(entry->rec.mode) && entry->rec.prefix.size)))
        return 0;
    return check_problem(check, &subject, "a place that names an entry which is not the inode's");
}

static int check_places(struct check *check)
{
    struct loaded entry = {0};
    int rc = for_range(check, KEY_PLACE, check_place_pair, &entry);
    lsm_buf_release(&entry.raw);
    return rc;
}

static int check_counter_pair(struct check *check, void *arg, struct slice key, struct slice value)
{
    int64_t *counted = arg;
    if (key.size != 2 || key.data[1] >= NS_COUNTER_STRIPES || value.size != 8)
        return bad_key(check, key);
    *counted += (int64_t)get_fixed64(value.data);
    return 0;
}

static int check_single_pair(struct check *check, void *arg, struct slice key, struct slice value)
{
    (void)arg;
    (void)value;
    return key.size == 1 ? 0 : bad_key(check, key);
}

struct owned_look {
    enum pathkey_type type;
    const struct ino_set *owners;
    const char *what;
};

static int look_at_owned(struct check *check, void *arg, struct lsm_iter *iter, struct slice key)
{
    const struct owned_look *look = arg;
    if (key.size < 9) {
        int rc = look->type == KEY_XATTR ? 0 : bad_key(check, key);
        lsm_iter_next(iter);
        return rc;
    }
    int rc = 0;
    struct pathkey lower, upper;
    struct check_subject subject = {.ino = get_big64(key.data + 1)};
    if (!ino_set_has(look->owners, subject.ino))
        rc = check_problem(check, &subject, "%s that belong to no file", look->what);
    pathkey_ino_bounds(look->type, subject.ino, &lower, &upper);
    lsm_iter_seek(iter, upper.data, upper.size);
    return rc;
}

// Extents ('D') or attributes ('X') of files that are not in `owners`: looks at one key a file. Of
// attributes every key is looked at later (check_xattr_pair).
static int check_owned(struct check *check, enum pathkey_type type, const struct ino_set *owners,
                       const char *what)
{
    struct pathkey lower, upper;
    struct owned_look look = {type, owners, what};
    pathkey_type_bounds(type, &lower, &upper);
    return for_keys(check, &lower, &upper, look_at_owned, &look);
}

static int check_xattr_pair(struct check *check, void *arg, struct slice key, struct slice value)
{
    (void)arg;
    struct slice name;
    struct check_subject subject = {0};
    if (!pathkey_parse_xattr(key, &subject.ino, &name))
        return bad_key(check, key);
    if (value.size > NS_XATTR_SIZE_MAX)
        return check_problem(check, &subject, "an attribute of %zu bytes", value.size);
    return 0;
}

static int look_at_type(struct check *check, void *arg, struct lsm_iter *iter, struct slice key)
{
    static const char types[] = {KEY_COUNTER,   KEY_EXTENT, KEY_ENTRY, KEY_INODE, KEY_RESERVED,
                                 KEY_ORPHAN,    KEY_MARKER, KEY_ROOT,  KEY_SUPER, KEY_TAIL,
                                 KEY_UNWRITTEN, KEY_XATTR,  KEY_LOST,  KEY_PLACE};
    (void)arg;
    uint8_t next = (uint8_t)(key.data[0] + 1);
    if (memchr(types, key.data[0], sizeof(types))) {
        lsm_iter_seek(iter, &next, 1);
        return 0;
    }
    int rc = bad_key(check, key);
    lsm_iter_next(iter);
    return rc;
}

// Keys whose first byte is no type.
static int check_unknown(struct check *check)
{
    return for_keys(check, NULL, NULL, look_at_type, NULL);
}

// ------------------------------------------------------------------------------- the whole

static int check_all(struct check *check)
{
    struct pathkey lower, upper;
    pathkey_type_bounds(KEY_EXTENT, &lower, &upper);
    int rc = check_iter(check, &lower, &upper, &check->extents);
    if (!rc)
        rc = for_range(check, KEY_COUNTER, check_counter_pair, &check->counted);
    if (!rc)
        rc = check_tree(check);
    if (!rc)
        rc = check_entries(check);
    if (!rc)
        rc = check_inodes(check);
    if (!rc)
        rc = for_range(check, KEY_ORPHAN, check_orphan_pair, NULL);
    if (!rc)
        rc = for_range(check, KEY_MARKER, check_marker_pair, NULL);
    if (!rc)
        rc = check_places(check);
    if (!rc)
        rc = for_range(check, KEY_TAIL, check_tail_pair, NULL);
    if (!rc)
        rc = check_owned(check, KEY_EXTENT, &check->data, "extents");
    if (!rc)
        rc = check_owned(check, KEY_UNWRITTEN, &check->unwritten, "unwritten ranges");
    if (!rc)
        rc = check_owned(check, KEY_LOST, &check->lost, "lost ranges");
    if (!rc)
        rc = check_owned(check, KEY_XATTR, &check->xattrs, "attributes");
    if (!rc)
        rc = for_range(check, KEY_XATTR, check_xattr_pair, NULL);
    static const enum pathkey_type singles[] = {KEY_RESERVED, KEY_ROOT, KEY_SUPER};
    for (size_t i = 0; !rc && i < sizeof(singles) / sizeof(singles[0]); i++)
        rc = for_range(check, singles[i], check_single_pair, NULL);
    if (!rc)
        rc = check_unknown(check);
    if (!rc && check->counted != check->files)
        rc = check_problem(check, NULL, "%" PRId64 " files, but the counters say %" PRId64,
                           check->files, check->counted);
    return rc;
}

int64_t ns_check(struct ns *ns, lsm_check_fn *report, lsm_progress_fn *progress, void *arg)
{
    struct check check = {.ns = ns, .report = report, .progress = progress, .arg = arg};
    int rc = ns_wait_idle(ns);
    if (rc)
        return rc;
    numbers_lock(ns);
    check.reserved = ns->ino_reserved;
    numbers_unlock(ns);
    rc = check_all(&check);
    lsm_iter_free(check.extents);
    ino_set_release(&check.seen);
    ino_set_release(&check.data);
    ino_set_release(&check.xattrs);
    ino_set_release(&check.unwritten);
    ino_set_release(&check.lost);
    number_list_release(&check.dirs);
    number_list_release(&check.links);
    buf_release(&check.line);
    return rc ? rc : check.problems;
}
