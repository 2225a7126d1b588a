// See path.h. Thread safety: any thread; takes no lock but for a moment.
#include "ns/changes/path.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "ns/operation/places.h"

static int keep_first(void *arg, struct slice key)
{
    struct pathkey *kept = arg;
    assert(key.size <= sizeof kept->data);
    if (!kept->size) {
        memcpy(kept->data, key.data, key.size);
        kept->size = key.size;
    }
    return 0;
}

int ns_path(struct ns *ns, struct ns_inode *inode, char **ret_path)
{
    struct pathkey key, entry = {0};
    struct inode_ghost *ghost;
    struct paths paths;
    struct slice prefix, name;
    struct buf out = {0};
    int rc = inode_locate(&ns->table, inode, &key, &ghost);
    if (rc)
        return rc;
    free(ghost);
    if (ghost || key.data[0] == KEY_ORPHAN)
        return -ENOENT;
    if (key.data[0] == KEY_ROOT) {
        *ret_path = strdup("/");
        return *ret_path ? 0 : -ENOMEM;
    }
    paths_init(&paths, ns->db, ns->at.snapshot);
    if (key.data[0] == KEY_INODE)
        rc = paths_places(&paths, ns_inode_ino(inode), 1, keep_first, &entry);
    else
        entry = key;
    if (!rc)
        rc = pathkey_parse_entry(pathkey_slice(&entry), &prefix, &name)
                 ? paths_entry(&paths, prefix, name, &out)
                 : -ENOENT;
    paths_release(&paths);
    if (rc)
        buf_release(&out);
    assert(rc || (out.data[0] == '/' && out.data[out.size] == 0));
    if (!rc)
        *ret_path = (char *)out.data;
    return rc;
}
