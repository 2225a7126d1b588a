// Directories one after the other: listings, and walks down a tree that need no recursion.
#ifndef COMMANDS_WALK_H
#define COMMANDS_WALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"
#include "common/exit_status.h"
#include "ns/namespace.h"

struct dir_entry {
    uint64_t ino;
    uint32_t type;          // S_IFMT bits
    struct ns_inode *inode; // with `plus`: the listing's reference
    struct ns_attr attr;    // with `plus`
    size_t name_size;
    char name[NS_NAME_MAX + 1]; // terminated
};

// The names of a directory but "." and "..". Memory is that of a small batch of entries. A reader
// takes a reference of its own on `dir`. 0 or -ENOMEM.
struct dir_reader;
int dir_reader_new(struct ns *ns, struct ns_inode *dir, bool plus, struct dir_reader **ret_reader);
void dir_reader_free(struct dir_reader *reader);
// 0 and the next entry, valid until the next call; 1 at the end; or a negative errno.
int dir_reader_next(struct dir_reader *reader, const struct dir_entry **ret_entry);
// Whether there is a next entry, without taking it: 0, or 1 or a negative errno as above. The
// present entry is not valid any more.
int dir_reader_more(struct dir_reader *reader);

struct walk_level {
    struct ns_inode *dir; // a reference
    struct dir_reader *reader;
    size_t path_size; // of the path of `dir`
    bool failed;      // walk_tree(): something in it or below it has failed, which has been said
};

// From a directory down to where the walk is.
struct walk {
    struct ns *ns;
    struct walk_level *levels;
    size_t depth, capacity; // levels
    struct buf path;        // of the deepest level, terminated
};
void walk_init(struct walk *walk, struct ns *ns);
void walk_release(struct walk *walk);
// Goes down into `dir`, with a reference of its own. The first `name` is the path to start from. 0
// or -ENOMEM.
int walk_enter(struct walk *walk, struct ns_inode *dir, const char *name, size_t name_size);
void walk_leave(struct walk *walk);

static inline struct walk_level *walk_top(struct walk *walk)
{
    return &walk->levels[walk->depth - 1];
}

// The path of `name` in the deepest level, with an empty name that of the level itself; valid until
// the walk moves or is asked again; "" if there is no memory.
const char *walk_path(struct walk *walk, const char *name, size_t name_size);

// What is done on a walk through a tree; both are called with `arg`.
struct walk_steps {
    // An entry of the deepest level, which may be gone down into (walk_enter). 0 or -errno.
    int (*visit)(void *arg, struct walk *walk, const struct dir_entry *entry);
    // The deepest level has no more entries, or none that can be read, and is left next; NULL:
    // nothing. 0 or -errno.
    int (*leave)(void *arg, struct walk *walk);
};

// Walks through all that is below `dir`, until the command is cancelled. A failure is said with its
// path, and marks its level and those above as failed; the walk goes on behind it. EXIT_FAILED:
// there was one.
struct ctl;
enum exit_status walk_tree(struct ctl *ctl, struct ns_inode *dir, const char *path,
                           const struct walk_steps *steps, void *arg);

#endif
