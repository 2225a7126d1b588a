// See unfinished.h. No state.
#include "ns/operation/unfinished.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

static_assert(sizeof UNFINISHED_NAME + 20 <= UNFINISHED_NAME_SIZE, "room for 64 bits, decimal");

void unfinished_name(uint64_t ino, char name[UNFINISHED_NAME_SIZE])
{
    snprintf(name, UNFINISHED_NAME_SIZE, UNFINISHED_NAME "%" PRIu64, ino);
}

void unfinished_key(uint64_t ino, struct pathkey *ret_key)
{
    assert(ino);
    pathkey_xattr(ret_key, ino, slice_str(UNFINISHED_ATTRIBUTE));
}

// The number in the name of an unfinished clone; 0: the name is of another form.
static uint64_t number_in(struct slice name)
{
    const size_t head = sizeof UNFINISHED_NAME - 1;
    char again[UNFINISHED_NAME_SIZE];
    uint64_t ino = 0;
    if (name.size <= head || name.size >= sizeof again ||
        memcmp(name.data, UNFINISHED_NAME, head) != 0)
        return 0;
    for (size_t i = head; i < name.size; i++) {
        if (name.data[i] < '0' || name.data[i] > '9')
            return 0;
        ino = ino * 10 + (uint64_t)(name.data[i] - '0');
    }
    unfinished_name(ino, again); // no leading zeros, and it fits into 64 bits
    return slice_equal(name, slice_str(again)) ? ino : 0;
}

static int has_key(struct lsm *db, const struct lsm_read_options *at, const struct pathkey *key,
                   bool *ret_has)
{
    size_t size;
    int rc = lsm_get_range(db, at, key->data, key->size, 0, NULL, 0, &size, NULL);
    *ret_has = rc == 0;
    return rc == LSM_NOT_FOUND ? 0 : ns_err(rc);
}

int unfinished_is(struct lsm *db, const struct lsm_read_options *at, struct slice name,
                  bool *ret_is)
{
    struct pathkey key;
    uint64_t ino = number_in(name);
    *ret_is = false;
    if (!ino)
        return 0;
    unfinished_key(ino, &key);
    return has_key(db, at, &key, ret_is);
}

int unfinished_hides(struct ns *ns, struct slice name, bool *ret_hides)
{
    struct pathkey key;
    bool is_there;
    int rc = unfinished_is(ns->db, &ns->at, name, ret_hides);
    if (rc || *ret_hides || !number_in(name))
        return rc;
    pathkey_entry(&key, slice_of(NULL, 0), name); // the attribute goes together with the name
    rc = has_key(ns->db, &ns->at, &key, &is_there);
    *ret_hides = !is_there;
    return rc;
}

int unfinished_each(struct lsm *db, const struct lsm_read_options *at, unfinished_fn *fn, void *arg)
{
    struct pathkey lower, upper;
    struct lsm_iter *iter;
    pathkey_entry(&lower, slice_of(NULL, 0), slice_str(UNFINISHED_NAME));
    upper = lower;
    upper.data[upper.size - 1]++;
    struct lsm_iter_options bounds = ns_between(at ? at->snapshot : NULL, &lower, &upper);
    int rc = ns_err(lsm_iter_new(db, &bounds, &iter));
    if (rc)
        return rc;
    for (lsm_iter_seek_first(iter); !rc && lsm_iter_valid(iter); lsm_iter_next(iter)) {
        size_t size;
        bool is_one = false;
        struct slice prefix, name;
        const void *key = lsm_iter_key(iter, &size);
        if (pathkey_parse_entry(slice_of(key, size), &prefix, &name))
            rc = unfinished_is(db, at, name, &is_one);
        if (!rc && is_one)
            rc = fn(arg, name);
    }
    if (!rc)
        rc = ns_err(lsm_iter_status(iter));
    lsm_iter_free(iter);
    return rc;
}
