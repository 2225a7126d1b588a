// Following a tree that another process changes. See follow.h.
//
// Memory holds little of a tree: where the records of live inodes are. The keys that the writer has
// changed tell which of these places have changed: if a changed entry leads to a live inode, the
// inode's record is there now, or the entry is one of its names. If it is not known which keys have
// changed, no place is changed; a record that has moved is then not found (ESTALE) until a lookup
// finds it (ns_found_at, in ns_lookup.c).
//
// A reader that does not find a record in its place waits for a refresh that is under way, since
// that may not have noted the new place yet (op_peek).
//
// Locks: follow_mutex, before inode locks. Readers take it only when they have found nothing.
#include "ns/changes/follow.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "ns/names/names.h"

struct changes {
    struct buf keys; // for each: its size, 4 bytes, and its bytes
    bool unknown;
};

static void note_change(void *arg, const void *key, size_t size)
{
    struct changes *changes = arg;
    uint8_t bytes[4];
    assert(key || !size);
    put_fixed32(bytes, (uint32_t)size);
    changes->unknown = changes->unknown || !key || buf_append(&changes->keys, bytes, 4) ||
                       buf_append(&changes->keys, key, size);
}

int follow_entry(struct ns *ns, struct slice key, struct loaded *rec, uint64_t *ret_ino)
{
    *ret_ino = 0;
    if (key.size > PATHKEY_MAX)
        return 0;
    int rc = op_load_at(ns->db, NULL, key, rec);
    if (rc)
        return rc == -ENOENT ? 0 : rc;
    *ret_ino = rec->rec.ino;
    struct slice prefix, name;
    struct ns_inode *inode = inode_find(&ns->table, rec->rec.ino);
    if (inode && pathkey_parse_entry(key, &prefix, &name))
        rc = ns_found_at(ns, inode, NULL, prefix, name, rec->rec.is_link, NULL);
    ns_inode_drop(ns, inode);
    return rc;
}

uint64_t follow_ino_of(struct slice key)
{
    switch (key.data[0]) {
    case KEY_EXTENT:
    case KEY_INODE:
    case KEY_LOST:
    case KEY_ORPHAN:
    case KEY_TAIL:
    case KEY_UNWRITTEN:
    case KEY_XATTR:
        return key.size >= 9 ? get_big64(key.data + 1) : 0;
    case KEY_ROOT:
        return NS_ROOT_INO;
    default:
        return 0;
    }
}

static int take_in(struct ns *ns, const struct changes *changes, uint64_t **inos, size_t *count)
    REQUIRES(ns_follow_mutex)
{
    const uint8_t *p = changes->keys.data, *end = p + changes->keys.size;
    struct loaded rec = {0};
    size_t most = 0;
    int rc = 0;
    for (const uint8_t *k = p; k < end; k += 4 + get_fixed32(k))
        most++;
    *count = 0;
    *inos = malloc((most ? most : 1) * sizeof **inos);
    if (!*inos)
        return -ENOMEM;
    for (; !rc && p < end; p += 4 + get_fixed32(p)) {
        struct slice key = slice_of(p + 4, get_fixed32(p));
        uint64_t ino = 0;
        if (key.size && key.data[0] == KEY_ENTRY)
            rc = follow_entry(ns, key, &rec, &ino);
        else if (key.size)
            ino = follow_ino_of(key);
        assert(*count < most);
        if (ino && (*count == 0 || (*inos)[*count - 1] != ino))
            (*inos)[(*count)++] = ino;
    }
    lsm_buf_release(&rec.raw);
    return rc;
}

int ns_refresh(struct ns *ns, ns_stale_fn *fn, void *arg)
{
    struct changes changes = {0};
    uint64_t *inos = NULL;
    size_t count = 0;
    following_lock(ns);
    int rc = lsm_refresh(ns->db, note_change, &changes);
    // Where a place could not be noted, a lookup will find it.
    if (rc > 0 && !changes.unknown)
        changes.unknown = take_in(ns, &changes, &inos, &count) != 0;
    following_unlock(ns);
    if (rc > 0 && changes.unknown)
        fn(arg, 0);
    for (size_t i = 0; rc > 0 && !changes.unknown && i < count; i++)
        fn(arg, inos[i]);
    free(inos);
    buf_release(&changes.keys);
    return rc < 0 ? ns_err(rc) : rc;
}

void ns_live_numbers(struct ns *ns, ns_stale_fn *fn, void *arg)
{
    size_t count;
    uint64_t *inos = inode_table_numbers(&ns->table, &count);
    for (size_t i = 0; i < count; i++)
        fn(arg, inos[i]);
    free(inos);
}
