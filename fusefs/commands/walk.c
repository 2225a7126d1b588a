// Listings and walks. A walk keeps, for each level between its start and where it is, a reference
// of the directory and its reader, on the heap: trees may be as deep as memory allows.
//
// Thread safety: one thread. Failure: a listing that failed may be asked again or freed.
#include "commands/walk.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "commands/command.h"

#define BATCH_MOST 64u

struct dir_reader {
    struct ns *ns;
    struct ns_inode *dir; // a reference; NULL once the last batch has been read
    bool plus;
    size_t last_size; // of the name to go on behind; 0: from the beginning
    char last[NS_NAME_MAX];
    struct dir_entry *batch;
    size_t at, count, capacity;
    int rc; // of the callback; a negative errno
};

int dir_reader_new(struct ns *ns, struct ns_inode *dir, bool plus, struct dir_reader **ret_reader)
{
    struct dir_reader *reader = calloc(1, sizeof *reader);
    if (!reader)
        return -ENOMEM;
    ns_inode_ref(dir);
    reader->dir = dir;
    reader->ns = ns;
    reader->plus = plus;
    *ret_reader = reader;
    return 0;
}

static void batch_clear(struct dir_reader *reader)
{
    for (size_t i = 0; i < reader->count; i++)
        if (reader->batch[i].inode)
            ns_inode_put(reader->ns, reader->batch[i].inode, 1);
    reader->at = reader->count = 0;
}

static void close_dir(struct dir_reader *reader)
{
    if (reader->dir)
        ns_inode_put(reader->ns, reader->dir, 1);
    reader->dir = NULL;
}

void dir_reader_free(struct dir_reader *reader)
{
    if (!reader)
        return;
    batch_clear(reader);
    close_dir(reader);
    free(reader->batch);
    free(reader);
}

// Room for one more entry in the batch; false: it is full, or there is no memory.
static bool batch_grow(struct dir_reader *reader)
{
    if (reader->count == BATCH_MOST)
        return false;
    if (array_grow(&reader->batch, &reader->capacity, reader->count, sizeof *reader->batch))
        return true;
    reader->rc = -ENOMEM;
    return false;
}

static int batch_add(void *arg, const struct ns_dirent *dirent)
{
    struct dir_reader *reader = arg;
    const char *name = dirent->name;
    size_t size = dirent->name_size;
    assert(size <= NS_NAME_MAX);
    if (!(size == 1 && name[0] == '.') && !(size == 2 && name[0] == '.' && name[1] == '.')) {
        if (!batch_grow(reader))
            return 1;
        struct dir_entry *entry = &reader->batch[reader->count++];
        entry->ino = dirent->ino;
        entry->type = dirent->type;
        entry->inode = dirent->inode;
        if (dirent->attr)
            entry->attr = *dirent->attr;
        entry->name_size = size;
        memcpy(entry->name, name, size);
        entry->name[size] = 0;
        reader->last_size = size;
        memcpy(reader->last, name, size);
    }
    return 0;
}

int dir_reader_more(struct dir_reader *reader)
{
    if (reader->at < reader->count)
        return 0;
    batch_clear(reader);
    if (!reader->dir)
        return 1;
    reader->rc = 0;
    int rc = reader->last_size
                 ? ns_list_behind(reader->ns, reader->dir, reader->last, reader->last_size,
                                  reader->plus, batch_add, reader)
                 : ns_list(reader->ns, reader->dir, 0, reader->plus, batch_add, reader);
    if (!rc)
        rc = reader->rc;
    if (!rc && reader->count < BATCH_MOST) // the directory ended; the batch is not full
        close_dir(reader);
    // What came before a failure is delivered; the next read meets the failure again.
    return reader->count ? 0 : rc ? rc : 1;
}

int dir_reader_next(struct dir_reader *reader, const struct dir_entry **ret_entry)
{
    int rc = dir_reader_more(reader);
    if (!rc)
        *ret_entry = &reader->batch[reader->at++];
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
    assert(size <= path->capacity);
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
        rc = dir_reader_new(walk->ns, dir, false, &level.reader);
    if (rc)
        return rc;
    ns_inode_ref(dir);
    level.path_size = walk->path.size;
    walk->levels[walk->depth++] = level;
    return 0;
}

void walk_leave(struct walk *walk)
{
    assert(walk->depth > 0);
    struct walk_level *top = walk_top(walk);
    dir_reader_free(top->reader);
    ns_inode_put(walk->ns, top->dir, 1);
    walk->depth--;
}

const char *walk_path(struct walk *walk, const char *name, size_t name_size)
{
    if (path_extend(walk, walk_top(walk)->path_size, name, name_size))
        return "";
    return (const char *)walk->path.data;
}

// ------------------------------------------------------------------------------- walks with steps

static enum exit_status failed_at(struct ctl *ctl, struct walk *walk, const char *name,
                                  size_t name_size, int rc)
{
    walk_top(walk)->failed = true;
    return path_failed(ctl, walk_path(walk, name, name_size), rc);
}

enum exit_status walk_tree(struct ctl *ctl, struct ns_inode *dir, const char *path,
                           const struct walk_steps *steps, void *arg)
{
    enum exit_status status = EXIT_OK;
    struct walk walk;
    walk_init(&walk, ctl->ns);
    int rc = walk_enter(&walk, dir, path, strlen(path));
    if (rc)
        status = path_failed(ctl, path, rc);
    while (walk.depth && !is_cancelled(ctl->front)) {
        const struct dir_entry *next;
        rc = dir_reader_next(walk_top(&walk)->reader, &next);
        if (!rc) {
            struct dir_entry entry = *next; // the step may read on in the directory
            rc = steps->visit(arg, &walk, &entry);
            if (rc)
                status = failed_at(ctl, &walk, entry.name, entry.name_size, rc);
            continue;
        }
        if (rc < 0)
            status = failed_at(ctl, &walk, "", 0, rc);
        rc = steps->leave ? steps->leave(arg, &walk) : 0;
        if (rc)
            status = failed_at(ctl, &walk, "", 0, rc);
        bool failed = walk_top(&walk)->failed;
        walk_leave(&walk);
        if (walk.depth && failed)
            walk_top(&walk)->failed = true;
    }
    walk_release(&walk);
    return status;
}
