// What the files of the check share: its state, and how problems are told.
#ifndef NS_CHECK_INTERNAL_H
#define NS_CHECK_INTERNAL_H

#include "base/numbers.h"
#include "ns/operation/ns_internal.h"
#include "ns/upkeep/ino_set.h"

struct check {
    struct ns *ns;
    lsm_check_fn *report;
    lsm_progress_fn *progress;
    void *arg;
    int64_t problems;
    uint64_t reserved;        // inode numbers are lower
    int64_t counted;          // files, by the counters
    int64_t files;            // found with a name, the root included
    uint64_t steps;           // records looked at, for `progress`
    unsigned ticks;           // calls of check_tick
    struct ino_set seen;      // numbers of all records
    struct ino_set data;      // files that may have extents
    struct ino_set unwritten; // files that may have unwritten ranges
    struct ino_set lost;      // and lost ones
    struct ino_set xattrs;    // files that may have extended attributes
    struct number_list dirs;  // hashes of the prefixes of all directories of the tree
    struct number_list links; // number << 4 | type, of each entry whose record is at 'I'
    struct lsm_iter *extents; // over all extents
    struct buf line;          // a problem being worded
};

// The walk over the tree (check_tree.c): where it is, and the directories on the way from the root.
struct open_dir {
    uint64_t size; // as its record says
    uint64_t entries, subdirs;
    uint32_t nlink; // as its record says
    uint16_t prefix_size;
    uint8_t name_size;
    uint8_t bytes[]; // prefix, name
};

struct descent {
    struct check *check;
    struct lsm_iter *iter;
    struct open_dir **dirs;
    size_t depth, capacity;
};

static inline struct slice open_dir_prefix(const struct open_dir *dir)
{
    return slice_of(dir->bytes, dir->prefix_size);
}

static inline struct slice open_dir_name(const struct open_dir *dir)
{
    return slice_of(dir->bytes + dir->prefix_size, dir->name_size);
}

// What a problem is about: the entry `name` in the directory where the walk is, or an inode.
struct check_subject {
    const struct descent *descent; // NULL: inode
    struct slice name;             // empty: the directory itself
    uint64_t ino;
};

// Reports one line: the subject, a colon, the text. 0 or -ENOMEM.
__attribute__((format(printf, 3, 4))) int
check_problem(struct check *check, const struct check_subject *subject, const char *format, ...);

// Appends bytes, those that could upset a terminal or a line as \ooo.
int check_print(struct buf *line, struct slice bytes);

// Checks what must be true of every full record: no other record has its number, which is below
// `reserved`, and its content matches its extents (except for an orphan, which may be half
// reclaimed). *ret_new: no other record has its number. 0 or -errno.
int check_record(struct check *check, const struct check_subject *subject, const struct record *rec,
                 bool *ret_new);

int check_tree(struct check *check);    // root and entries, from the root down (check_tree.c)
int check_entries(struct check *check); // all entries belong to the tree (check_tree.c)

// Calls progress() now and then: for every file, and for what else takes time. -ECANCELED: stop.
int check_step(struct check *check);
int check_tick(struct check *check);

// A new iterator over [lower, upper); the bounds may be NULL.
int check_iter(struct check *check, const struct pathkey *lower, const struct pathkey *upper,
               struct lsm_iter **ret_iter);

static inline struct slice check_key(const struct lsm_iter *iter)
{
    size_t size;
    const void *key = lsm_iter_key(iter, &size);
    return slice_of(key, size);
}

// Empty if it cannot be read: then the iterator has the failure.
static inline struct slice check_value(struct lsm_iter *iter)
{
    size_t size;
    const void *value = lsm_iter_value(iter, &size);
    return slice_of(value, value ? size : 0);
}

#endif
