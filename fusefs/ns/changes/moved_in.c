// See moved_in.h. A tree is walked with a stack of directories whose entries are still to be told:
// for each directory its prefix and its path.
#include "ns/changes/moved_in.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "base/status.h"
#include "ns/operation/unfinished.h"

// ------------------------------------------------------------------------------- sets of paths

int path_set_add(struct path_set *set, const char *path, size_t size)
{
    assert(size > 0 && path[0] == '/');
    if (buf_append(&set->paths, &size, sizeof size) || buf_append(&set->paths, path, size))
        return -ENOMEM;
    set->count++;
    return 0;
}

bool path_set_covers(const struct path_set *set, const char *path, size_t size)
{
    size_t at = 0, one;
    for (unsigned i = 0; i < set->count; i++, at += one) {
        memcpy(&one, set->paths.data + at, sizeof one);
        at += sizeof one;
        if (size >= one && memcmp(path, set->paths.data + at, one) == 0 &&
            (size == one || path[one] == '/'))
            return true;
    }
    return false;
}

bool path_set_made(const struct path_set *set, struct slice prefix)
{
    size_t at = 0, one;
    for (unsigned i = 0; i < set->count; i++, at += one) {
        memcpy(&one, set->paths.data + at, sizeof one);
        at += sizeof one;
        // The default prefix of /NAME is NAME; the prefixes of directories below it go on with 01.
        if (prefix.size >= one && prefix.data[one - 1] == 1 &&
            memcmp(prefix.data, set->paths.data + at + 1, one - 1) == 0)
            return true;
    }
    return false;
}

bool path_set_owns(const struct path_set *set, struct slice entry_key)
{
    assert(entry_key.size > 0);
    return path_set_made(set, slice_of(entry_key.data + 1, entry_key.size - 1));
}

static int add_unfinished(void *arg, struct slice name)
{
    char path[UNFINISHED_NAME_SIZE + 1] = "/";
    assert(name.size < UNFINISHED_NAME_SIZE); // unfinished_is() knows no longer names
    memcpy(path + 1, name.data, name.size);
    return path_set_add(arg, path, name.size + 1);
}

int path_set_add_unfinished(struct lsm *db, const struct lsm_snapshot *snapshot,
                            struct path_set *set)
{
    const struct lsm_read_options at = {.snapshot = snapshot};
    return unfinished_each(db, &at, add_unfinished, set);
}

// ------------------------------------------------------------------------------- trees

struct untold_dir {
    struct untold_dir *up;
    size_t prefix_size, path_size;
    char bytes[]; // the prefix, the path
};

struct telling {
    struct untold_dir *top; // directories whose entries are still to be told
    struct buf path;        // terminated
    ns_change_fn *fn;
    void *arg;
};

static int push(struct telling *telling, struct slice prefix)
{
    struct untold_dir *level = malloc(sizeof *level + prefix.size + telling->path.size);
    if (!level)
        return -ENOMEM;
    *level = (struct untold_dir){telling->top, prefix.size, telling->path.size};
    if (prefix.size)
        memcpy(level->bytes, prefix.data, prefix.size);
    memcpy(level->bytes + prefix.size, telling->path.data, telling->path.size);
    telling->top = level;
    return 0;
}

static void pop(struct telling *telling)
{
    struct untold_dir *level = telling->top;
    telling->top = level->up;
    free(level);
}

// Tells one entry, whose path is telling->path. If it is a directory, it is put on the stack.
static int tell_entry(struct telling *telling, struct slice key, struct slice value)
{
    struct pathkey_prefix space;
    struct slice prefix, name, own;
    struct record rec;
    int rc = ns_err(record_decode(value.data, value.size, &rec));
    if (!rc && !pathkey_parse_entry(key, &prefix, &name))
        rc = ns_err(status_fail(LSM_CORRUPTION, "an entry with a key that makes no sense"));
    if (!rc && buf_append(&telling->path, "", 1))
        rc = -ENOMEM;
    if (rc)
        return rc;
    telling->path.size--;
    const struct ns_change change = {.kind = NS_CREATED,
                                     .ino = rec.ino,
                                     .type = record_type(&rec),
                                     .path = (const char *)telling->path.data,
                                     .path_size = telling->path.size};
    rc = telling->fn(telling->arg, &change);
    if (rc || rec.is_link || !S_ISDIR(rec.mode))
        return rc;
    own = rec.prefix;
    if (!own.size && !pathkey_child_prefix(prefix, name, &space))
        return ns_err(status_fail(LSM_CORRUPTION, "a directory without a prefix"));
    return push(telling, own.size ? own : pathkey_prefix_slice(&space));
}

// Tells the entries of the directory `level`, which was taken off the stack.
static int tell_dir(struct telling *telling, struct lsm *db, const struct lsm_snapshot *snapshot,
                    const struct untold_dir *level)
{
    struct pathkey lower, upper;
    struct lsm_iter *iter;
    pathkey_dir_bounds(slice_of(level->bytes, level->prefix_size), &lower, &upper);
    struct lsm_iter_options bounds = ns_between(snapshot, &lower, &upper);
    int rc = ns_err(lsm_iter_new(db, &bounds, &iter));
    if (rc)
        return rc;
    for (lsm_iter_seek_first(iter); !rc && lsm_iter_valid(iter); lsm_iter_next(iter)) {
        size_t key_size, size;
        const uint8_t *key = lsm_iter_key(iter, &key_size);
        const void *value = lsm_iter_value(iter, &size);
        if (!value)
            break;
        size_t head = level->prefix_size + 2;
        telling->path.size = 0;
        if (buf_append(&telling->path, level->bytes + level->prefix_size, level->path_size) ||
            buf_append(&telling->path, "/", 1) ||
            buf_append(&telling->path, key + head, key_size - head))
            rc = -ENOMEM;
        if (!rc)
            rc = tell_entry(telling, slice_of(key, key_size), slice_of(value, size));
    }
    if (!rc)
        rc = ns_err(lsm_iter_status(iter));
    lsm_iter_free(iter);
    return rc;
}

int tell_created(struct lsm *db, const struct lsm_snapshot *snapshot, struct slice entry_key,
                 struct slice path, ns_change_fn *fn, void *arg)
{
    struct telling telling = {.fn = fn, .arg = arg};
    struct lsm_read_options at = {.snapshot = snapshot};
    struct lsm_buf value = {0};
    int rc = ns_err(lsm_get(db, &at, entry_key.data, entry_key.size, &value));
    if (!rc && buf_assign(&telling.path, path.data, path.size))
        rc = -ENOMEM;
    if (!rc)
        rc = tell_entry(&telling, entry_key, slice_of(value.data, value.size));
    while (!rc && telling.top) {
        struct untold_dir *level = telling.top;
        telling.top = level->up;
        rc = tell_dir(&telling, db, snapshot, level);
        free(level);
    }
    while (telling.top)
        pop(&telling);
    buf_release(&telling.path);
    lsm_buf_release(&value);
    return rc;
}
