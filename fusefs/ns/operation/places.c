// See places.h.
//
// A path is put together from its end. From the prefix of a directory follows its name and the
// prefix of its parent; or, if the prefix is marked or fresh, the number of the directory that owns
// it, whose place tells both.
#include "ns/operation/places.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>

#include "base/array.h"
#include "base/numbers.h"
#include "base/status.h"

#define DEPTH_MAX 65536u // steps up to the root; if it takes more the store is damaged

int place_add(struct ns *ns, struct op *op, uint64_t ino, struct slice prefix, struct slice name)
{
    struct pathkey key;
    pathkey_place(&key, ino, prefix, name);
    int rc = ns_err(ns_mark_feature(ns, FEATURE_PLACES));
    return rc ? rc : op_put(op, &key, slice_of(NULL, 0));
}

int place_remove(struct op *op, uint64_t ino, struct slice prefix, struct slice name)
{
    struct pathkey key;
    pathkey_place(&key, ino, prefix, name);
    return op_delete(op, &key);
}

void paths_init(struct paths *paths, struct lsm *db, const struct lsm_snapshot *snapshot)
{
    *paths = (struct paths){.db = db, .snapshot = snapshot};
}

void paths_release(struct paths *paths)
{
    lsm_buf_release(&paths->raw);
    buf_release(&paths->prefix);
    buf_release(&paths->path);
    buf_release(&paths->stray_keys);
    free(paths->strays);
}

// ------------------------------------------------------------------------------- reading

static int damaged(const char *what, uint64_t ino)
{
    return ns_err(status_fail(LSM_CORRUPTION, "inode %llu: %s", (unsigned long long)ino, what));
}

static int range_iter(const struct paths *paths, const struct pathkey *lower,
                      const struct pathkey *upper, struct lsm_iter **ret_iter)
{
    struct lsm_iter_options options = ns_between(paths->snapshot, lower, upper);
    options.no_fill_cache = true;
    int rc = ns_err(lsm_iter_new(paths->db, &options, ret_iter));
    if (!rc)
        lsm_iter_seek_first(*ret_iter);
    return rc;
}

// Whether an entry with this record may have a place: it is one of several names of a file, or a
// directory away from home.
static bool is_stray(const struct record *rec)
{
    return rec->is_link || (S_ISDIR(rec->mode) && rec->prefix.size);
}

// Whether the entry exists, leads to the inode, and may have a place. 1, 0 or -errno.
static int has_entry(struct paths *paths, uint64_t ino, const struct pathkey *key)
{
    struct lsm_read_options options = {.snapshot = paths->snapshot};
    struct record rec;
    int rc = lsm_get(paths->db, &options, key->data, key->size, &paths->raw);
    if (rc == LSM_NOT_FOUND)
        return 0;
    if (!rc)
        rc = record_decode(paths->raw.data, paths->raw.size, &rec);
    return rc ? ns_err(rc) : rec.ino == ino && is_stray(&rec);
}

static int add_stray(struct paths *paths, uint64_t ino, struct slice key)
{
    if (!array_grow(&paths->strays, &paths->stray_capacity, paths->stray_count,
                    sizeof *paths->strays))
        return -ENOMEM;
    paths->strays[paths->stray_count++] =
        (struct stray){ino, paths->stray_keys.size, (uint32_t)key.size};
    return buf_append(&paths->stray_keys, key.data, key.size) ? -ENOMEM : 0;
}

static int compare_strays(const void *a, const void *b)
{
    const struct stray *x = a, *y = b;
    if (x->ino != y->ino)
        return x->ino < y->ino ? -1 : 1;
    return x->key < y->key ? -1 : x->key > y->key;
}

static int read_all(struct paths *paths)
{
    struct pathkey lower, upper;
    struct lsm_iter *iter;
    pathkey_type_bounds(KEY_ENTRY, &lower, &upper);
    int rc = range_iter(paths, &lower, &upper, &iter);
    if (rc)
        return rc;
    for (; !rc && lsm_iter_valid(iter); lsm_iter_next(iter)) {
        size_t size, value_size;
        struct record rec;
        const void *key = lsm_iter_key(iter, &size), *value = lsm_iter_value(iter, &value_size);
        if (!value)
            break;
        rc = ns_err(record_decode(value, value_size, &rec));
        if (!rc && is_stray(&rec))
            rc = add_stray(paths, rec.ino, slice_of(key, size));
    }
    if (!rc)
        rc = ns_err(lsm_iter_status(iter));
    lsm_iter_free(iter);
    if (!rc && paths->stray_count)
        qsort(paths->strays, paths->stray_count, sizeof *paths->strays, compare_strays);
    paths->all_read = !rc;
    return rc;
}

// ------------------------------------------------------------------------------- places

static int for_strays(struct paths *paths, uint64_t ino, place_fn *fn, void *arg)
{
    assert(paths->all_read);
    size_t i = numbers_find(paths->strays, paths->stray_count, sizeof *paths->strays,
                            offsetof(struct stray, ino), ino);
    int rc = 0;
    for (; !rc && i < paths->stray_count && paths->strays[i].ino == ino; i++)
        rc = fn(arg,
                slice_of(paths->stray_keys.data + paths->strays[i].key, paths->strays[i].key_size));
    return rc;
}

// Collects the keys of the inode's entries as its places tell them; each key with its size, 4
// bytes, before it.
static int gather_places(struct paths *paths, uint64_t ino, struct buf *ret_keys,
                         uint32_t *ret_count)
{
    struct pathkey lower, upper, entry;
    struct lsm_iter *iter;
    pathkey_ino_bounds(KEY_PLACE, ino, &lower, &upper);
    int rc = range_iter(paths, &lower, &upper, &iter);
    if (rc)
        return rc;
    for (; rc >= 0 && lsm_iter_valid(iter); lsm_iter_next(iter)) {
        size_t size;
        uint64_t number;
        struct slice prefix, name;
        const void *key = lsm_iter_key(iter, &size);
        if (!pathkey_parse_place(slice_of(key, size), &number, &prefix, &name))
            continue;
        pathkey_entry(&entry, prefix, name);
        rc = has_entry(paths, ino, &entry);
        if (rc != 1)
            continue;
        uint32_t entry_size = (uint32_t)entry.size;
        if (buf_append(ret_keys, &entry_size, sizeof entry_size) ||
            buf_append(ret_keys, entry.data, entry.size))
            rc = -ENOMEM;
        ++*ret_count;
    }
    if (rc >= 0)
        rc = ns_err(lsm_iter_status(iter));
    lsm_iter_free(iter);
    return rc;
}

int paths_places(struct paths *paths, uint64_t ino, uint32_t count, place_fn *fn, void *arg)
{
    struct buf keys = {0};
    uint32_t found = 0, size;
    int rc = 0;
    if (!paths->all_read)
        rc = gather_places(paths, ino, &keys, &found);
    if (!rc && found < count && !paths->all_read)
        rc = read_all(paths);
    if (!rc && paths->all_read)
        rc = for_strays(paths, ino, fn, arg);
    else
        for (size_t at = 0; !rc && at < keys.size; at += sizeof size + size) {
            memcpy(&size, keys.data + at, sizeof size);
            rc = fn(arg, slice_of(keys.data + at + sizeof size, size));
        }
    buf_release(&keys);
    return rc;
}

// ------------------------------------------------------------------------------- paths

static int keep_key(void *arg, struct slice key)
{
    struct buf *kept = arg;
    return buf_assign(kept, key.data, key.size) ? -ENOMEM : 0;
}

// *ret_ino: the number of the directory that owns the prefix, if that is marked or fresh; else 0.
static int owner_of(struct paths *paths, struct slice prefix, uint64_t *ret_ino)
{
    struct lsm_read_options options = {.snapshot = paths->snapshot};
    struct pathkey key;
    uint8_t value[8] = {0};
    size_t got;
    *ret_ino = 0;
    if (pathkey_is_fresh(prefix))
        return pathkey_fresh_ino(prefix, ret_ino) ? 0 : damaged("a prefix that makes no sense", 0);
    pathkey_marker(&key, prefix);
    int rc =
        lsm_get_range(paths->db, &options, key.data, key.size, 0, value, sizeof value, &got, NULL);
    if (!rc)
        *ret_ino = get_fixed64(value);
    return rc == LSM_NOT_FOUND ? 0 : ns_err(rc);
}

static int put_name(struct buf *names, struct slice name)
{
    assert(name.size <= PATHKEY_NAME_MAX);
    uint8_t size = (uint8_t)name.size; // names are read from the end
    return buf_append(names, name.data, name.size) || buf_append(names, &size, 1) ? -ENOMEM : 0;
}

// Goes up one step: appends the name of the directory with this prefix to `names`, and replaces the
// prefix by the parent's.
static int step_up(struct paths *paths, struct buf *prefix, struct buf *names)
{
    uint64_t ino;
    struct slice parent, name;
    uint8_t space[PATHKEY_NAME_MAX];
    struct buf key = {0};
    int rc = owner_of(paths, buf_slice(prefix), &ino);
    if (!rc && ino) {
        rc = paths_places(paths, ino, 1, keep_key, &key);
        if (!rc && !pathkey_parse_entry(buf_slice(&key), &parent, &name))
            rc = damaged("a directory that is in none", ino);
    } else if (!rc) {
        size_t size;
        if (pathkey_prefix_split(buf_slice(prefix), &parent, space, &size))
            name = slice_of(space, size);
        else
            rc = damaged("a prefix that makes no sense", 0);
    }
    if (!rc)
        rc = put_name(names, name);
    if (!rc && ino)
        rc = buf_assign(prefix, parent.data, parent.size) ? -ENOMEM : 0;
    else if (!rc)
        prefix->size = parent.size; // the parent's prefix is the beginning of this one
    buf_release(&key);
    return rc;
}

// Finds the path of the directory that owns the prefix: fills in paths->prefix and paths->path.
static int dir_path(struct paths *paths, struct slice prefix)
{
    struct buf names = {0}, at = {0};
    if (paths->known && slice_equal(prefix, buf_slice(&paths->prefix)))
        return 0;
    paths->known = false;
    int rc = buf_assign(&paths->prefix, prefix.data, prefix.size) ||
                     buf_assign(&at, prefix.data, prefix.size)
                 ? -ENOMEM
                 : 0;
    for (unsigned steps = 0; !rc && at.size; steps++)
        rc = steps == DEPTH_MAX ? damaged("directories in a circle", 0)
                                : step_up(paths, &at, &names);
    paths->path.size = 0;
    for (size_t end = names.size; !rc && end;) {
        size_t size = names.data[end - 1];
        end -= size + 1;
        if (buf_append(&paths->path, "/", 1) || buf_append(&paths->path, names.data + end, size))
            rc = -ENOMEM;
    }
    paths->known = !rc;
    buf_release(&names);
    buf_release(&at);
    return rc;
}

int paths_entry(struct paths *paths, struct slice prefix, struct slice name, struct buf *out)
{
    int rc = dir_path(paths, prefix);
    out->size = 0;
    if (!rc && ((paths->path.size && buf_append(out, paths->path.data, paths->path.size)) ||
                buf_append(out, "/", 1) || buf_append(out, name.data, name.size) ||
                buf_append(out, "", 1)))
        rc = -ENOMEM;
    if (!rc)
        out->size--; // the terminator is not counted
    return rc;
}
