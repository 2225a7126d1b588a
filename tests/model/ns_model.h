// A file tree in memory, as plain as can be: what the namespace is compared with.
//
// Nodes are files of any type; directories list entries that point at nodes. A node lives as long
// as it has a name or the test holds it. Times the namespace takes from the clock are unknown to
// the model until they are seen: it knows when the change happened at the earliest.
#ifndef LSM_TESTS_NS_MODEL_H
#define LSM_TESTS_NS_MODEL_H

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "ns/namespace.h"

struct model_time {
    struct timespec at; // exactly, or not before
    bool pending;       // not seen yet
};

struct model_name {
    size_t size;
    char bytes[NS_NAME_MAX];
};

struct model_xattr {
    char name[16];
    size_t size;
    uint8_t *value;
};

enum model_promise {
    PROMISED = 1,         // by fallocate, and not written, cut off or punched since
    PERHAPS_PROMISED = 2, // the rest of such a block
};
#define MODEL_BLOCK 4096u

struct node;

struct model_entry {
    struct model_name name;
    struct node *node;
};

struct node {
    struct node *next; // in model.nodes
    unsigned id;
    uint64_t ino;
    uint32_t mode, nlink, uid, gid;
    uint32_t flags; // enum ns_flags
    uint64_t rdev;
    struct model_time atime, mtime, ctime, btime;
    struct node *parent;         // directories
    struct model_entry *entries; // directories
    size_t entry_count;
    uint8_t *data; // content or target
    size_t size, capacity;
    uint8_t *promised; // of each byte, perhaps beyond the end: enum model_promise
    size_t promised_size;
    struct model_xattr xattrs[4];
    size_t xattr_count;
    struct ns_inode *held; // the test's reference
    bool open;             // and it counts as open
    bool perhaps_gone;     // lost its last name while nobody had it open: content may be ESTALE
};

struct model {
    struct node *nodes, *root;
    unsigned next_id, count; // count: nodes with a name
};

static inline struct node *model_node(struct model *model, uint32_t mode)
{
    struct node *node = calloc(1, sizeof *node);
    assert(node);
    node->id = model->next_id++;
    node->mode = mode;
    node->nlink = S_ISDIR(mode) ? 2 : 1;
    node->next = model->nodes;
    model->nodes = node;
    return node;
}

static inline void model_free_node(struct node *node)
{
    for (size_t i = 0; i < node->xattr_count; i++)
        free(node->xattrs[i].value);
    free(node->entries);
    free(node->data);
    free(node->promised);
    free(node);
}

// Frees what has no name and is not held.
static inline void model_sweep(struct model *model)
{
    for (struct node **link = &model->nodes; *link;) {
        struct node *node = *link;
        if (node->nlink || node->held) {
            link = &node->next;
        } else {
            *link = node->next;
            model_free_node(node);
        }
    }
}

static inline void model_release(struct model *model)
{
    for (struct node *next, *node = model->nodes; node; node = next) {
        next = node->next;
        model_free_node(node);
    }
    model->nodes = model->root = NULL;
}

static inline bool model_name_equal(const struct model_name *a, const struct model_name *b)
{
    return a->size == b->size && memcmp(a->bytes, b->bytes, a->size) == 0;
}

static inline struct model_entry *model_find(const struct node *dir, const struct model_name *name)
{
    for (size_t i = 0; i < dir->entry_count; i++)
        if (model_name_equal(&dir->entries[i].name, name))
            return &dir->entries[i];
    return NULL;
}

static inline void model_add(struct node *dir, const struct model_name *name, struct node *node)
{
    dir->entries = realloc(dir->entries, (dir->entry_count + 1) * sizeof *dir->entries);
    assert(dir->entries);
    dir->entries[dir->entry_count++] = (struct model_entry){*name, node};
    if (S_ISDIR(node->mode)) {
        node->parent = dir;
        dir->nlink++;
    }
}

// Takes the entry away; the node's own link count is the caller's.
static inline void model_take(struct node *dir, struct model_entry *entry)
{
    if (S_ISDIR(entry->node->mode))
        dir->nlink--;
    *entry = dir->entries[--dir->entry_count];
}

// The node loses a name.
static inline void model_unlink(struct model *model, struct node *node)
{
    node->nlink = S_ISDIR(node->mode) ? 0 : node->nlink - 1;
    if (node->nlink == 0) {
        model->count--;
        node->perhaps_gone = !node->open;
    }
}

static inline bool model_is_within(const struct node *dir, const struct node *top)
{
    for (; dir; dir = dir->parent)
        if (dir == top)
            return true;
    return false;
}

static inline void model_resize(struct node *node, size_t size)
{
    if (size > node->capacity) {
        node->capacity = size + size / 2 + 64;
        node->data = realloc(node->data, node->capacity);
        assert(node->data);
    }
    if (size > node->size)
        memset(node->data + node->size, 0, size - node->size);
    node->size = size;
}

// Changes what is known of [from, to) to (old & keep) | set.
static inline void model_promise(struct node *node, size_t from, size_t to, uint8_t keep,
                                 uint8_t set)
{
    if (set && to > node->promised_size) {
        node->promised = realloc(node->promised, to);
        assert(node->promised);
        memset(node->promised + node->promised_size, 0, to - node->promised_size);
        node->promised_size = to;
    }
    for (size_t i = from; i < to && i < node->promised_size; i++)
        node->promised[i] = (uint8_t)((node->promised[i] & keep) | set);
}

static inline void model_fallocate(struct node *node, size_t from, size_t to)
{
    size_t low = from / MODEL_BLOCK * MODEL_BLOCK;
    size_t high = (to + MODEL_BLOCK - 1) / MODEL_BLOCK * MODEL_BLOCK;
    model_promise(node, low, high, PROMISED | PERHAPS_PROMISED, PERHAPS_PROMISED);
    model_promise(node, from, to, PROMISED, PROMISED);
}

// Bytes of [from, to) with one of the bits.
static inline size_t model_promised(const struct node *node, size_t from, size_t to, uint8_t bits)
{
    size_t count = 0;
    for (size_t i = from; i < to && i < node->promised_size; i++)
        count += (node->promised[i] & bits) != 0;
    return count;
}

static inline void model_write(struct node *node, const void *data, size_t size, size_t offset)
{
    if (offset + size > node->size)
        model_resize(node, offset + size);
    memcpy(node->data + offset, data, size);
    model_promise(node, offset, offset + size, 0, 0);
}

static inline void model_zero(struct node *node, size_t offset, size_t end)
{
    if (end > node->size)
        end = node->size;
    if (offset < end)
        memset(node->data + offset, 0, end - offset);
}

static inline void model_kill_suid(struct node *node)
{
    if (S_ISDIR(node->mode))
        return;
    node->mode &= ~(uint32_t)S_ISUID;
    if (node->mode & S_IXGRP)
        node->mode &= ~(uint32_t)S_ISGID;
}

static inline struct model_xattr *model_xattr(struct node *node, const char *name)
{
    for (size_t i = 0; i < node->xattr_count; i++)
        if (!strcmp(node->xattrs[i].name, name))
            return &node->xattrs[i];
    return NULL;
}

// Whether flags keep a name of `node` in `dir`, or, with `node` NULL, keep it out.
static inline bool model_is_fixed(const struct node *dir, const struct node *node)
{
    uint32_t flags = node ? dir->flags | node->flags : dir->flags & NS_IMMUTABLE;
    return flags & (NS_IMMUTABLE | NS_APPEND);
}

// What rename(2) does or says, given both directories and names. Changes the model if it is 0;
// *ret_replaced: the node whose name was taken over.
static inline int model_rename(struct model *model, struct node *from_dir,
                               const struct model_name *from, struct node *to_dir,
                               const struct model_name *to, unsigned flags, struct node **ret_moved,
                               struct node **ret_replaced)
{
    struct model_entry *source = model_find(from_dir, from), *target = model_find(to_dir, to);
    bool exchange = flags & NS_RENAME_EXCHANGE;
    *ret_moved = *ret_replaced = NULL;
    if (!source || !from_dir->nlink || !to_dir->nlink || (exchange && !target))
        return -ENOENT;
    struct node *moved = source->node, *replaced = target ? target->node : NULL;
    bool moved_dir = S_ISDIR(moved->mode), replaced_dir = replaced && S_ISDIR(replaced->mode);
    if (replaced && flags & NS_RENAME_NOREPLACE)
        return -EEXIST;
    if (from_dir != to_dir && moved_dir && model_is_within(to_dir, moved))
        return -EINVAL;
    if (exchange && from_dir != to_dir && replaced_dir && model_is_within(from_dir, replaced))
        return -EINVAL;
    if (replaced && !exchange && moved_dir != replaced_dir)
        return moved_dir ? -ENOTDIR : -EISDIR;
    if (moved == replaced)
        return 0;
    if (model_is_fixed(from_dir, moved) || model_is_fixed(to_dir, replaced))
        return -EPERM;
    if (replaced_dir && !exchange && replaced->entry_count)
        return -ENOTEMPTY;
    *ret_moved = moved;
    *ret_replaced = replaced;
    if (target)
        model_take(to_dir, target);
    model_take(from_dir, model_find(from_dir, from));
    model_add(to_dir, to, moved);
    if (exchange)
        model_add(from_dir, from, replaced);
    else if (replaced)
        model_unlink(model, replaced);
    return 0;
}

#endif
