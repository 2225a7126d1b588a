// See sweep.h. Trees are removed by the operations that everybody uses, from the leaves up; a level
// of the tree is a reference to its directory, and its name.
//
// Thread safety: sweep_tree() any thread.
#include "ns/upkeep/sweep.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "ns/names/names.h"
#include "ns/operation/unfinished.h"

#define NAMES 256u // of a directory are gathered at once

struct sweep_level {
    struct sweep_level *up;
    struct ns_inode *dir; // a reference
    size_t name_size;     // in the directory above
    char name[PATHKEY_NAME_MAX];
};

struct gathered {
    unsigned count;
    struct {
        uint8_t size;
        bool is_dir;
        char name[PATHKEY_NAME_MAX];
    } at[NAMES];
};

static int gather(void *arg, const struct ns_dirent *entry)
{
    struct gathered *names = arg;
    if (!pathkey_name_ok(slice_of(entry->name, entry->name_size))) // "." and ".."
        return 0;
    if (names->count == NAMES)
        return 1;
    names->at[names->count].size = (uint8_t)entry->name_size;
    names->at[names->count].is_dir = entry->type == S_IFDIR;
    memcpy(names->at[names->count++].name, entry->name, entry->name_size);
    return 0;
}

static int push(struct ns *ns, struct sweep_level **top, struct ns_inode *dir, const char *name,
                size_t name_size)
{
    assert(name_size > 0 && name_size <= PATHKEY_NAME_MAX);
    struct sweep_level *level = malloc(sizeof *level);
    if (!level)
        return -ENOMEM;
    int rc = ns_lookup_name(ns, dir, slice_of(name, name_size), &level->dir, NULL);
    if (rc) {
        free(level);
        return rc;
    }
    level->up = *top;
    level->name_size = name_size;
    memcpy(level->name, name, name_size);
    *top = level;
    return 0;
}

static void pop(struct ns *ns, struct sweep_level **top)
{
    struct sweep_level *level = *top;
    *top = level->up;
    ns_inode_put(ns, level->dir, 1);
    free(level);
}

// Removes files of the top directory, or goes down into a directory, or removes the emptied one.
static int step(struct ns *ns, struct ns_inode *outer, struct sweep_level **top,
                struct gathered *names)
{
    struct sweep_level *level = *top;
    names->count = 0;
    int rc = ns_list(ns, level->dir, 0, false, gather, names);
    if (rc < 0)
        return rc;
    if (!names->count) {
        rc = ns_rmdir(ns, level->up ? level->up->dir : outer, level->name, level->name_size);
        pop(ns, top);
        return rc;
    }
    for (unsigned i = 0; i < names->count; i++) {
        if (names->at[i].is_dir)
            return push(ns, top, level->dir, names->at[i].name, names->at[i].size);
        rc = ns_unlink(ns, level->dir, names->at[i].name, names->at[i].size);
        if (rc)
            return rc;
    }
    return 0;
}

int sweep_tree(struct ns *ns, struct ns_inode *dir, const char *name, size_t name_size)
{
    struct sweep_level *top = NULL;
    struct gathered *names = malloc(sizeof *names);
    if (!names)
        return -ENOMEM;
    int rc = push(ns, &top, dir, name, name_size);
    while (!rc && top)
        rc = step(ns, dir, &top, names);
    while (top)
        pop(ns, &top);
    free(names);
    return rc;
}

// ------------------------------------------------------------------------------- leftovers

static int note_leftover(void *arg, struct slice name)
{
    struct gathered *names = arg;
    assert(name.size <= PATHKEY_NAME_MAX);
    if (names->count == NAMES)
        return 1;
    names->at[names->count].size = (uint8_t)name.size;
    memcpy(names->at[names->count++].name, name.data, name.size);
    return 0;
}

int sweep_leftovers(struct ns *ns)
{
    struct gathered *names = calloc(1, sizeof *names);
    if (!names)
        return -ENOMEM;
    int rc = unfinished_each(ns->db, NULL, note_leftover, names);
    rc = rc < 0 ? rc : 0;
    for (unsigned i = 0; !rc && i < names->count; i++)
        rc = sweep_tree(ns, ns->root, names->at[i].name, names->at[i].size);
    free(names);
    return rc;
}
