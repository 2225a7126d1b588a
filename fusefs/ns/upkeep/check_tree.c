// The check of the tree: from the root down, then over all entries for those that were not met.
//
// The walk visits a directory's entries in key order and goes down into each directory it meets,
// with one iterator that is sent to and fro. For each directory on the way from the root it keeps a
// frame: about 50 bytes, the prefix and the name.
//
// The walk ends on any store. It goes into a directory only if the directory's inode number is new
// and it can prove that the prefix is its own: one away from home has the marker, which names one
// number; a fresh one is made of the number; one at home has no marker, and follows from the prefix
// of its parent and its name. So no prefix is walked twice.
//
// What the walk has not met is found by comparing the prefixes of all entries with those walked.
// Hashes stand for prefixes; a collision could only hide a problem.
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/array.h"
#include "base/hash.h"
#include "ns/upkeep/check_internal.h"

// ------------------------------------------------------------------------------- directories

static int push(struct descent *descent, const struct record *rec, struct slice prefix,
                struct slice name)
{
    assert(prefix.size <= PATHKEY_PREFIX_MAX && name.size <= PATHKEY_NAME_MAX);
    if (!array_grow(&descent->dirs, &descent->capacity, descent->depth, sizeof *descent->dirs))
        return -ENOMEM;
    struct open_dir *dir = malloc(sizeof(*dir) + prefix.size + name.size);
    if (!dir)
        return -ENOMEM;
    *dir = (struct open_dir){
        .size = rec->size,
        .nlink = rec->nlink,
        .prefix_size = (uint16_t)prefix.size,
        .name_size = (uint8_t)name.size,
    };
    if (prefix.size)
        memcpy(dir->bytes, prefix.data, prefix.size);
    if (name.size)
        memcpy(dir->bytes + prefix.size, name.data, name.size);
    descent->dirs[descent->depth++] = dir;
    struct pathkey key;
    pathkey_entry(&key, prefix, slice_of(NULL, 0));
    lsm_iter_seek(descent->iter, key.data, key.size);
    return ns_err(number_list_add(&descent->check->dirs, hash64(prefix.data, prefix.size)));
}

// The top directory's entries were all seen: compares their number with its record, and goes on in
// its parent behind it.
static int pop(struct descent *descent)
{
    assert(descent->depth > 0);
    struct check_subject subject = {.descent = descent};
    struct open_dir *dir = descent->dirs[descent->depth - 1];
    int rc = 0;
    if (dir->entries != dir->size)
        rc = check_problem(descent->check, &subject,
                           "the directory says it has %" PRIu64 " entries, but has %" PRIu64,
                           dir->size, dir->entries);
    if (!rc && dir->nlink != dir->subdirs + 2)
        rc = check_problem(descent->check, &subject,
                           "link count %" PRIu32 " of a directory with %" PRIu64 " directories",
                           dir->nlink, dir->subdirs);
    descent->depth--;
    if (descent->depth) {
        struct pathkey key;
        pathkey_entry(&key, open_dir_prefix(descent->dirs[descent->depth - 1]), open_dir_name(dir));
        lsm_iter_seek(descent->iter, key.data, key.size);
        if (lsm_iter_valid(descent->iter) &&
            slice_equal(check_key(descent->iter), pathkey_slice(&key)))
            lsm_iter_next(descent->iter);
    }
    free(dir);
    return rc;
}

// The number in the marker of `prefix`; 0: there is no marker.
static int marker_of(struct ns *ns, struct slice prefix, uint64_t *ret_ino)
{
    struct pathkey key;
    uint8_t value[8] = {0};
    size_t got;
    pathkey_marker(&key, prefix);
    int rc =
        lsm_get_range(ns->db, &ns->at, key.data, key.size, 0, value, sizeof(value), &got, NULL);
    if (rc && rc != LSM_NOT_FOUND)
        return ns_err(rc);
    *ret_ino = rc ? 0 : get_fixed64(value);
    return 0;
}

// Finds the prefix of the directory `rec` and whether it is its own. `space` is for the result.
static int own_prefix(struct descent *descent, const struct check_subject *subject,
                      const struct record *rec, struct pathkey_prefix *space, bool *ret_own)
{
    struct pathkey_prefix home, fresh;
    struct slice parent = open_dir_prefix(descent->dirs[descent->depth - 1]), prefix = rec->prefix;
    uint64_t marker = 0;
    bool has_home = pathkey_child_prefix(parent, subject->name, &home);
    *ret_own = false;
    if (!prefix.size && !has_home)
        return check_problem(descent->check, subject, "a directory without a prefix");
    if (!prefix.size)
        prefix = pathkey_prefix_slice(&home);
    memcpy(space->data, prefix.data, prefix.size);
    space->size = prefix.size;
    pathkey_fresh_prefix(rec->ino, &fresh);
    if (pathkey_is_fresh(prefix)) {
        *ret_own = slice_equal(prefix, pathkey_prefix_slice(&fresh));
        return *ret_own ? 0 : check_problem(descent->check, subject, "another directory's prefix");
    }
    int rc = marker_of(descent->check->ns, prefix, &marker);
    if (rc)
        return rc;
    if (rec->prefix.size && has_home && slice_equal(prefix, pathkey_prefix_slice(&home)))
        return check_problem(descent->check, subject, "a directory at home that says it is away");
    if (rec->prefix.size && !marker)
        return check_problem(descent->check, subject,
                             "a directory away from home without a marker");
    if (rec->prefix.size && marker != rec->ino)
        return check_problem(descent->check, subject,
                             "inode %" PRIu64 ", but the marker of its prefix names inode %" PRIu64,
                             rec->ino, marker);
    if (!rec->prefix.size && marker)
        return check_problem(descent->check, subject,
                             "a directory at home whose prefix is marked for inode %" PRIu64,
                             marker);
    *ret_own = true;
    return 0;
}

// ------------------------------------------------------------------------------- entries

static int visit_link(struct descent *descent, const struct check_subject *subject,
                      const struct record *rec)
{
    if (rec->ino >= descent->check->reserved)
        return check_problem(descent->check, subject,
                             "inode number %" PRIu64 " was never handed out", rec->ino);
    return ns_err(number_list_add(&descent->check->links, rec->ino << 4 | rec->mode >> 12));
}

// The entry the iterator is at, in the top directory. Moves the iterator on.
static int visit(struct descent *descent)
{
    struct check *check = descent->check;
    struct open_dir *dir = descent->dirs[descent->depth - 1];
    struct slice key = check_key(descent->iter), value = check_value(descent->iter);
    struct slice name = slice_of(key.data + dir->prefix_size + 2, key.size - dir->prefix_size - 2);
    struct check_subject subject = {.descent = descent, .name = name};
    struct record rec;
    bool descend = false, is_new = false;
    int rc = 0;
    if (!lsm_iter_valid(descent->iter)) // the value cannot be read
        return ns_err(lsm_iter_status(descent->iter));
    rc = check_step(check);
    if (rc)
        return rc;
    dir->entries++;
    if (!pathkey_name_ok(name)) {
        rc = check_problem(check, &subject, "a name of %zu bytes that is none", name.size);
    } else if (record_decode(value.data, value.size, &rec)) {
        rc = check_problem(check, &subject, "%s", lsm_error_detail());
    } else if (rec.is_link) {
        rc = visit_link(descent, &subject, &rec);
    } else {
        rc = check_record(check, &subject, &rec, &is_new);
        check->files += is_new;
        dir->subdirs += S_ISDIR(rec.mode);
        if (!rc && !S_ISDIR(rec.mode) && rec.nlink != 1)
            rc = check_problem(check, &subject, "link count %" PRIu32 " of a file with one name",
                               rec.nlink);
        descend = S_ISDIR(rec.mode) && is_new;
    }
    struct pathkey_prefix prefix;
    if (!rc && descend)
        rc = own_prefix(descent, &subject, &rec, &prefix, &descend);
    if (!rc && descend)
        return push(descent, &rec, pathkey_prefix_slice(&prefix), name);
    lsm_iter_next(descent->iter);
    return rc;
}

static bool in_dir(struct slice key, struct slice prefix)
{
    return key.size >= prefix.size + 2 && key.data[0] == KEY_ENTRY &&
           key.data[prefix.size + 1] == 0 &&
           (prefix.size == 0 || memcmp(key.data + 1, prefix.data, prefix.size) == 0);
}

static int push_root(struct descent *descent)
{
    struct check *check = descent->check;
    struct check_subject subject = {.ino = NS_ROOT_INO};
    struct loaded root = {0};
    struct pathkey key;
    bool is_new;
    pathkey_single(&key, KEY_ROOT);
    // Ns_open() has read the root's record, so it can be read.
    int rc = op_load_key(check->ns, &key, &root);
    if (!rc)
        rc = check_record(check, &subject, &root.rec, &is_new);
    check->files++;
    if (!rc && root.rec.prefix.size)
        rc = check_problem(check, &subject, "the root has a prefix");
    if (!rc)
        rc = push(descent, &root.rec, slice_of(NULL, 0), slice_of(NULL, 0));
    lsm_buf_release(&root.raw);
    return rc;
}

int check_tree(struct check *check)
{
    struct descent descent = {.check = check};
    struct pathkey lower, upper;
    pathkey_type_bounds(KEY_ENTRY, &lower, &upper);
    int rc = check_iter(check, &lower, &upper, &descent.iter);
    if (!rc)
        rc = push_root(&descent);
    while (!rc && descent.depth) {
        struct slice prefix = open_dir_prefix(descent.dirs[descent.depth - 1]);
        if (lsm_iter_valid(descent.iter) && in_dir(check_key(descent.iter), prefix)) {
            rc = visit(&descent);
            continue;
        }
        if (!lsm_iter_valid(descent.iter))
            rc = ns_err(lsm_iter_status(descent.iter));
        if (!rc)
            rc = pop(&descent);
    }
    while (descent.depth)
        free(descent.dirs[--descent.depth]);
    free(descent.dirs);
    lsm_iter_free(descent.iter);
    numbers_sort(check->dirs.at, check->dirs.count);
    return rc;
}

// ------------------------------------------------------------------------------- the rest

// A run of entries whose prefix belongs to no directory.
struct strays {
    struct buf prefix, name; // of the first
    uint64_t count;
};

static int report_strays(struct check *check, struct strays *strays)
{
    if (!strays->count)
        return 0;
    struct buf text = {0};
    int rc = check_print(&text, buf_slice(&strays->name));
    if (!rc)
        rc = buf_append(&text, "\" under prefix \"", 16);
    if (!rc)
        rc = check_print(&text, buf_slice(&strays->prefix));
    if (!rc)
        rc =
            check_problem(check, NULL, "%" PRIu64 " entries in no directory, the first is \"%.*s\"",
                          strays->count, (int)text.size, (const char *)text.data);
    buf_release(&text);
    strays->count = 0;
    return rc ? -ENOMEM : 0;
}

static int note_stray(struct check *check, struct strays *strays, struct slice prefix,
                      struct slice name)
{
    if (strays->count && slice_equal(prefix, buf_slice(&strays->prefix))) {
        strays->count++;
        return 0;
    }
    int rc = report_strays(check, strays);
    if (!rc && (buf_assign(&strays->prefix, prefix.data, prefix.size) ||
                buf_assign(&strays->name, name.data, name.size)))
        rc = -ENOMEM;
    strays->count = 1;
    return rc;
}

int check_entries(struct check *check)
{
    struct pathkey lower, upper;
    struct lsm_iter *iter;
    struct strays strays = {0};
    struct buf known = {0}; // the prefix of the entry before, a directory's
    bool have_known = false;
    pathkey_type_bounds(KEY_ENTRY, &lower, &upper);
    int rc = check_iter(check, &lower, &upper, &iter);
    if (rc)
        return rc;
    for (lsm_iter_seek_first(iter); !rc && lsm_iter_valid(iter); lsm_iter_next(iter)) {
        struct slice key = check_key(iter);
        const uint8_t *nul = memchr(key.data, 0, key.size);
        size_t prefix_size = nul ? (size_t)(nul - key.data) - 1 : key.size - 1;
        struct slice prefix = slice_of(key.data + 1, prefix_size);
        if (nul && have_known && slice_equal(prefix, buf_slice(&known)))
            continue;
        if (nul && number_list_has(&check->dirs, hash64(prefix.data, prefix.size))) {
            have_known = true;
            rc = buf_assign(&known, prefix.data, prefix.size) ? -ENOMEM : 0;
            continue;
        }
        size_t head = prefix_size + 1 + (nul != NULL);
        rc = note_stray(check, &strays, prefix, slice_of(key.data + head, key.size - head));
    }
    if (!rc)
        rc = ns_err(lsm_iter_status(iter));
    if (!rc)
        rc = report_strays(check, &strays);
    lsm_iter_free(iter);
    buf_release(&known);
    buf_release(&strays.prefix);
    buf_release(&strays.name);
    return rc;
}
