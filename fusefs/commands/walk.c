// Listings and walks. A walk keeps, for each level between its start and where it is, a reference
// of the directory and its listing, on the heap: trees may be as deep as memory allows.
//
// Thread safety: one thread. Failure: a listing that failed may be asked again or freed.
#include "commands/walk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"

#define BATCH_FIRST 4u
#define BATCH_MOST  64u

struct listing {
    struct ns *ns;
    struct ns_inode *dir; // a reference; NULL once the last batch has been read
    bool plus;
    size_t last_size; // of the name to go on behind; 0: from the beginning
    char last[NS_NAME_MAX];
    struct entry *batch;
    size_t at, count, capacity;
    int error; // of the callback
};

int listing_new(struct ns *ns, struct ns_inode *dir, bool plus, struct listing **ret_listing)
{
    struct listing *listing = calloc(1, sizeof *listing);
    if (!listing)
        return -ENOMEM;
    ns_inode_ref(dir);
    listing->dir = dir;
    listing->ns = ns;
    listing->plus = plus;
    *ret_listing = listing;
    return 0;
}

static void batch_clear(struct listing *listing)
{
    for (size_t i = 0; i < listing->count; i++)
        if (listing->batch[i].inode)
            ns_inode_put(listing->ns, listing->batch[i].inode, 1);
    listing->at = listing->count = 0;
}

static void close_dir(struct listing *listing)
{
    if (listing->dir)
        ns_inode_put(listing->ns, listing->dir, 1);
    listing->dir = NULL;
}

void listing_free(struct listing *listing)
{
    if (!listing)
        return;
    batch_clear(listing);
    close_dir(listing);
    free(listing->batch);
    free(listing);
}

// Room for one more entry in the batch; false: it is full, or there is no memory.
static bool batch_grow(struct listing *listing)
{
    if (listing->count < listing->capacity)
        return true;
    if (listing->capacity == BATCH_MOST)
        return false;
    size_t capacity = listing->capacity ? 2 * listing->capacity : BATCH_FIRST;
    struct entry *batch = realloc(listing->batch, capacity * sizeof *batch);
    if (!batch) {
        listing->error = -ENOMEM;
        return false;
    }
    listing->batch = batch;
    listing->capacity = capacity;
    return true;
}

static int batch_add(void *arg, const struct ns_dirent *dirent)
{
    struct listing *listing = arg;
    const char *name = dirent->name;
    size_t size = dirent->name_size;
    if (!(size == 1 && name[0] == '.') && !(size == 2 && name[0] == '.' && name[1] == '.')) {
        if (!batch_grow(listing))
            return 1;
        struct entry *entry = &listing->batch[listing->count++];
        entry->ino = dirent->ino;
        entry->type = dirent->type;
        entry->inode = dirent->inode;
        if (dirent->attr)
            entry->attr = *dirent->attr;
        entry->name_size = size;
        memcpy(entry->name, name, size);
        entry->name[size] = 0;
        listing->last_size = size;
        memcpy(listing->last, name, size);
    }
    return 0;
}

int listing_more(struct listing *listing)
{
    if (listing->at < listing->count)
        return 0;
    batch_clear(listing);
    if (!listing->dir)
        return 1;
    listing->error = 0;
    int rc = listing->last_size
                 ? ns_list_behind(listing->ns, listing->dir, listing->last, listing->last_size,
                                  listing->plus, batch_add, listing)
                 : ns_list(listing->ns, listing->dir, 0, listing->plus, batch_add, listing);
    if (!rc)
        rc = listing->error;
    if (!rc && listing->count < BATCH_MOST) // the directory ended; the batch is not full
        close_dir(listing);
    // What came before a failure is delivered; the next read meets the failure again.
    return listing->count ? 0 : rc ? rc : 1;
}

int listing_next(struct listing *listing, const struct entry **ret_entry)
{
    int rc = listing_more(listing);
    if (!rc)
        *ret_entry = &listing->batch[listing->at++];
    return rc;
}

// ------------------------------------------------------------------------------- walks

void walk_init(struct walk *walk, struct ns *ns)
{
    *walk = (struct walk){.ns = ns};
}

void walk_release(struct walk *walk)
{
    while (walk->depth)
        walk_leave(walk);
    free(walk->levels);
    buf_release(&walk->path);
}

// Cuts the path to `size` bytes and puts the name behind it.
static int path_extend(struct walk *walk, size_t size, const char *name, size_t name_size)
{
    struct buf *path = &walk->path;
    path->size = size;
    bool needs_slash = size && name_size && path->data[size - 1] != '/';
    if ((needs_slash && buf_append(path, "/", 1)) || buf_append(path, name, name_size) ||
        buf_append(path, "", 1))
        return -ENOMEM;
    path->size--; // the terminator is not counted
    return 0;
}

int walk_enter(struct walk *walk, struct ns_inode *dir, const char *name, size_t name_size)
{
    if (!array_grow(&walk->levels, &walk->capacity, walk->depth, sizeof *walk->levels))
        return -ENOMEM;
    struct walk_level level = {.dir = dir};
    int rc = path_extend(walk, walk->depth ? walk_top(walk)->path_size : 0, name, name_size);
    if (!rc)
        rc = listing_new(walk->ns, dir, false, &level.listing);
    if (rc)
        return rc;
    ns_inode_ref(dir);
    level.path_size = walk->path.size;
    walk->levels[walk->depth++] = level;
    return 0;
}

void walk_leave(struct walk *walk)
{
    struct walk_level *top = walk_top(walk);
    listing_free(top->listing);
    ns_inode_put(walk->ns, top->dir, 1);
    walk->depth--;
}

const char *walk_path(struct walk *walk, const char *name, size_t name_size)
{
    if (path_extend(walk, walk_top(walk)->path_size, name, name_size))
        return "";
    return (const char *)walk->path.data;
}
