// See diff.h. In two passes.
//
// The first goes through the keys that differ. For an entry it compares what both snapshots have
// there: a name that is gone, one that has come, or the same file with another record. Of a file
// with several names the record is elsewhere ('I'); that is noted too. Of extents, ranges and
// attributes it notes only whose they are.
//
// The second takes what was noted about one inode together: a name that is gone and one that has
// come are a rename. Where the record differs, all names of the file are changed. What comes out is
// put into the order of keys, and only then made into paths.
//
// Belongs to one thread.
#include "ns/changes/diff.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "base/array.h"
#include "base/status.h"
#include "ns/changes/moved_in.h"
#include "ns/operation/ns_internal.h"
#include "ns/operation/places.h"

enum note_kind { NOTE_GONE, NOTE_COME, NOTE_SAME, NOTE_RECORD };

struct note {
    uint64_t ino;
    size_t key; // in diff.keys: of the entry; not with NOTE_RECORD
    uint16_t key_size;
    uint8_t kind; // enum note_kind
    uint8_t type; // S_IFMT bits >> 12
};

struct touched {
    uint64_t ino;
    bool is_content; // else an extended attribute
};

struct line {
    size_t key, old_key; // in diff.keys
    uint64_t ino;
    uint16_t key_size, old_key_size;
    uint8_t kind; // enum ns_change_kind
    uint8_t what, type;
    bool moved_in; // the root of a tree that has been moved out of an unfinished clone
};

struct list {
    void *at;
    size_t count, capacity, size; // size: of one
};

struct diff {
    struct lsm *db;
    const struct lsm_snapshot *from, *to;
    size_t most;
    struct paths old_paths, new_paths;
    struct loaded old_rec, new_rec;
    struct buf keys;
    struct list notes, touched, lines;
    struct path_set old_unfinished, new_unfinished; // unfinished clones in `from`, and in `to`
    struct path_set moved_in; // where trees are now that were moved out of a clone of the former
};

// ------------------------------------------------------------------------------- lists

static void *list_add(struct list *list)
{
    if (!array_grow(&list->at, &list->capacity, list->count, list->size))
        return NULL;
    return (char *)list->at + list->count++ * list->size;
}

static void list_sort(struct list *list, int (*compare)(const void *a, const void *b))
{
    if (list->count)
        qsort(list->at, list->count, list->size, compare);
}

static int compare_numbers(uint64_t a, uint64_t b)
{
    return a < b ? -1 : a > b;
}

static int compare_notes(const void *a, const void *b)
{
    const struct note *x = a, *y = b;
    int order = compare_numbers(x->ino, y->ino);
    if (!order)
        order = (int)x->kind - (int)y->kind;
    return order ? order : compare_numbers(x->key, y->key);
}

static int compare_touched(const void *a, const void *b)
{
    const struct touched *x = a, *y = b;
    int order = compare_numbers(x->ino, y->ino);
    return order ? order : (int)x->is_content - (int)y->is_content;
}

static int compare_lines(const void *a, const void *b)
{
    const struct line *x = a, *y = b;
    int order = compare_numbers(x->key, y->key);
    return order ? order : (int)x->kind - (int)y->kind;
}

// ------------------------------------------------------------------------------- the first pass

static int add_key(struct diff *diff, struct slice key, size_t *ret_at)
{
    *ret_at = diff->keys.size;
    return buf_append(&diff->keys, key.data, key.size) ? -ENOMEM : 0;
}

static int note(struct diff *diff, enum note_kind kind, const struct record *rec, size_t key,
                size_t key_size)
{
    if (diff->notes.count >= diff->most)
        return -EOVERFLOW;
    assert((kind == NOTE_RECORD) == (key_size == 0) && key + key_size <= diff->keys.size);
    struct note *n = list_add(&diff->notes);
    if (!n)
        return -ENOMEM;
    *n = (struct note){rec->ino, key, (uint16_t)key_size, (uint8_t)kind,
                       (uint8_t)(rec->mode >> 12 & 15)};
    return 0;
}

static int look_at_entry(struct diff *diff, struct slice key)
{
    struct record *old_rec = &diff->old_rec.rec, *new_rec = &diff->new_rec.rec;
    size_t at;
    int was = op_load_at(diff->db, diff->from, key, &diff->old_rec);
    int is = op_load_at(diff->db, diff->to, key, &diff->new_rec);
    if ((was && was != -ENOENT) || (is && is != -ENOENT))
        return was && was != -ENOENT ? was : is;
    if (was && is) // in neither snapshot: it was made and removed between them
        return 0;
    bool same = !was && !is && old_rec->ino == new_rec->ino;
    if (same && old_rec->is_link && new_rec->is_link)
        return 0;
    int rc = add_key(diff, key, &at);
    if (!rc && same)
        return note(diff, NOTE_SAME, new_rec, at, key.size);
    if (!rc && !was)
        rc = note(diff, NOTE_GONE, old_rec, at, key.size);
    if (!rc && !is)
        rc = note(diff, NOTE_COME, new_rec, at, key.size);
    return rc;
}

static int touch(struct diff *diff, struct slice key, bool is_content)
{
    if (key.size < 9)
        return 0;
    struct touched *last = diff->touched.at, now = {get_big64(key.data + 1), is_content};
    size_t count = diff->touched.count;
    if (count && compare_touched(&last[count - 1], &now) == 0)
        return 0;
    if (count >= diff->most)
        return -EOVERFLOW;
    struct touched *t = list_add(&diff->touched);
    if (!t)
        return -ENOMEM;
    *t = now;
    return 0;
}

static int look_at(struct diff *diff, struct slice key)
{
    struct record rec = {0};
    switch (key.data[0]) {
    case KEY_ENTRY:
        // What is inside an unfinished clone is not told, so these entries need not be compared.
        if (path_set_owns(&diff->old_unfinished, key) || path_set_owns(&diff->new_unfinished, key))
            return 0;
        return look_at_entry(diff, key);
    case KEY_INODE:
        return pathkey_parse_number(key, KEY_INODE, &rec.ino) ? note(diff, NOTE_RECORD, &rec, 0, 0)
                                                              : 0;
    case KEY_ROOT:
        rec = (struct record){.ino = NS_ROOT_INO, .mode = S_IFDIR};
        return note(diff, NOTE_RECORD, &rec, 0, 0);
    case KEY_EXTENT:
    case KEY_LOST:
    case KEY_TAIL:
    case KEY_UNWRITTEN:
        return touch(diff, key, true);
    case KEY_XATTR:
        return touch(diff, key, false);
    default:
        return 0;
    }
}

static int first_pass(struct diff *diff)
{
    struct lsm_diff *keys;
    int more, rc = ns_err(lsm_diff_new(diff->db, diff->from, diff->to, &keys));
    if (rc)
        return rc;
    while (!rc && (more = lsm_diff_next(keys)) != 0) {
        size_t size;
        const void *key = more > 0 ? lsm_diff_key(keys, &size) : NULL;
        rc = key ? look_at(diff, slice_of(key, size)) : ns_err(more);
    }
    lsm_diff_free(keys);
    list_sort(&diff->notes, compare_notes);
    list_sort(&diff->touched, compare_touched);
    return rc;
}

// ------------------------------------------------------------------------------- comparing records

static bool same_time(struct timespec a, struct timespec b)
{
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static bool is_touched(const struct diff *diff, uint64_t ino, bool is_content)
{
    const struct touched wanted = {ino, is_content};
    return diff->touched.count &&
           bsearch(&wanted, diff->touched.at, diff->touched.count, sizeof wanted, compare_touched);
}

static bool content_differs(const struct diff *diff, const struct record *a, const struct record *b)
{
    if (!S_ISREG(b->mode))
        return false;
    return a->size != b->size || a->lost_bytes != b->lost_bytes || !same_time(a->mtime, b->mtime) ||
           (a->is_inline && b->is_inline && !slice_equal(a->content, b->content)) ||
           is_touched(diff, b->ino, true);
}

static bool attributes_differ(const struct diff *diff, const struct record *a,
                              const struct record *b)
{
    bool time = !same_time(a->mtime, b->mtime) && !S_ISREG(b->mode) &&
                (!S_ISDIR(b->mode) || !same_time(b->mtime, b->ctime));
    return time || a->mode != b->mode || a->uid != b->uid || a->gid != b->gid ||
           a->rdev != b->rdev || a->flags != b->flags || is_touched(diff, b->ino, false);
}

// ------------------------------------------------------------------------------- the second pass

static int add_line(struct diff *diff, enum ns_change_kind kind, const struct note *n,
                    const struct note *old, unsigned what)
{
    assert((kind == NS_RENAMED) == (old != NULL));
    struct line *line = list_add(&diff->lines);
    if (!line)
        return -ENOMEM;
    *line = (struct line){.key = n->key,
                          .key_size = n->key_size,
                          .old_key = old ? old->key : 0,
                          .old_key_size = old ? old->key_size : 0,
                          .ino = n->ino,
                          .kind = (uint8_t)kind,
                          .what = (uint8_t)what,
                          .type = n->type};
    return 0;
}

struct inode_notes { // notes about one inode
    const struct note *gone, *come, *same;
    size_t gone_count, come_count, same_count;
    bool record;
};

// Loads the record that the inode has in a snapshot. `entry`: one of its entries there; NULL: none
// is known.
static int load_full(struct diff *diff, const struct lsm_snapshot *snapshot, uint64_t ino,
                     const struct note *entry, struct loaded *ret_rec)
{
    struct pathkey key;
    int rc = -ENOENT;
    if (entry)
        rc = op_load_at(diff->db, snapshot, slice_of(diff->keys.data + entry->key, entry->key_size),
                        ret_rec);
    if (entry && (rc || !ret_rec->rec.is_link))
        return rc;
    if (ino == NS_ROOT_INO)
        pathkey_single(&key, KEY_ROOT);
    else
        pathkey_number(&key, KEY_INODE, ino);
    return op_load_at(diff->db, snapshot, pathkey_slice(&key), ret_rec);
}

// Tells what differs between the inode's two records: *ret_what is 0 if nothing does, or if only
// one of the snapshots has the inode.
static int compare_inode(struct diff *diff, uint64_t ino, const struct inode_notes *group,
                         unsigned *ret_what)
{
    const struct note *same = group->same_count ? group->same : NULL;
    const struct note *was = group->gone_count ? group->gone : same;
    const struct note *is = group->come_count ? group->come : same;
    *ret_what = 0;
    bool only_old = group->gone_count && !is && !group->record;
    bool only_new = group->come_count && !was && !group->record;
    if (only_old || only_new)
        return 0;
    int rc = load_full(diff, diff->from, ino, was, &diff->old_rec);
    if (!rc)
        rc = load_full(diff, diff->to, ino, is, &diff->new_rec);
    if (rc)
        return rc == -ENOENT ? 0 : rc;
    const struct record *a = &diff->old_rec.rec, *b = &diff->new_rec.rec;
    *ret_what = (content_differs(diff, a, b) ? NS_CHANGED_CONTENT : 0u) |
                (attributes_differ(diff, a, b) ? NS_CHANGED_ATTRIBUTES : 0u);
    return 0;
}

struct names_of {
    struct diff *diff;
    const struct inode_notes *group;
    uint64_t ino;
    uint8_t type;
    unsigned what;
};

// Adds a line for one of the names of a changed file with several names. A name that is new is left
// out: it is told as created.
static int add_changed_name(void *arg, struct slice key)
{
    struct names_of *names = arg;
    const struct inode_notes *group = names->group;
    for (size_t i = group->gone_count; i < group->come_count; i++) {
        const struct note *n = &group->come[i];
        if (slice_equal(slice_of(names->diff->keys.data + n->key, n->key_size), key))
            return 0;
    }
    struct note n = {.ino = names->ino, .key_size = (uint16_t)key.size, .type = names->type};
    int rc = add_key(names->diff, key, &n.key);
    return rc ? rc : add_line(names->diff, NS_CHANGED, &n, NULL, names->what);
}

static int add_changed(struct diff *diff, uint64_t ino, const struct inode_notes *group,
                       unsigned what)
{
    const struct record *rec = &diff->new_rec.rec;
    if (ino == NS_ROOT_INO) {
        const struct note root = {.ino = ino, .type = S_IFDIR >> 12};
        return add_line(diff, NS_CHANGED, &root, NULL, what);
    }
    bool many = group->record && !S_ISDIR(rec->mode);
    if (many) {
        struct names_of names = {diff, group, ino, (uint8_t)(rec->mode >> 12 & 15), what};
        return paths_places(&diff->new_paths, ino, rec->nlink, add_changed_name, &names);
    }
    // The file's only name: it is still the same, or the file was renamed to it.
    const struct note *n = group->same_count ? group->same : group->come;
    return add_line(diff, NS_CHANGED, n, NULL, what);
}

static int add_inode(struct diff *diff, uint64_t ino, const struct inode_notes *group)
{
    size_t renamed = group->gone_count < group->come_count ? group->gone_count : group->come_count;
    unsigned what;
    int rc = 0;
    for (size_t i = 0; i < renamed && !rc; i++)
        rc = add_line(diff, NS_RENAMED, &group->come[i], &group->gone[i], 0);
    for (size_t i = renamed; i < group->gone_count && !rc; i++)
        rc = add_line(diff, NS_REMOVED, &group->gone[i], NULL, 0);
    for (size_t i = renamed; i < group->come_count && !rc; i++)
        rc = add_line(diff, NS_CREATED, &group->come[i], NULL, 0);
    if (!rc)
        rc = compare_inode(diff, ino, group, &what);
    return rc || !what ? rc : add_changed(diff, ino, group, what);
}

static int second_pass(struct diff *diff)
{
    const struct note *notes = diff->notes.at;
    int rc = 0;
    for (size_t i = 0; i < diff->notes.count && !rc;) {
        uint64_t ino = notes[i].ino;
        struct inode_notes group = {.gone = &notes[i]};
        for (; i < diff->notes.count && notes[i].ino == ino && notes[i].kind == NOTE_GONE; i++)
            group.gone_count++;
        group.come = &notes[i];
        for (; i < diff->notes.count && notes[i].ino == ino && notes[i].kind == NOTE_COME; i++)
            group.come_count++;
        group.same = &notes[i];
        for (; i < diff->notes.count && notes[i].ino == ino && notes[i].kind == NOTE_SAME; i++)
            group.same_count++;
        for (; i < diff->notes.count && notes[i].ino == ino; i++)
            group.record = true;
        rc = add_inode(diff, ino, &group);
    }
    list_sort(&diff->lines, compare_lines);
    return rc;
}

// ------------------------------------------------------------------------------- telling

static int path_of(const struct diff *diff, struct paths *paths, size_t at, size_t size,
                   struct buf *out)
{
    struct slice prefix, name;
    if (!size) { // no entry leads to the root
        out->size = 0;
        if (buf_append(out, "/", 2))
            return -ENOMEM;
        out->size = 1;
        return 0;
    }
    if (!pathkey_parse_entry(slice_of(diff->keys.data + at, size), &prefix, &name))
        return ns_err(status_fail(LSM_CORRUPTION, "an entry with a key of %zu bytes", size));
    return paths_entry(paths, prefix, name, out);
}

// Finds the path of a line, and the old path if the line is a rename.
static int paths_of(struct diff *diff, const struct line *line, struct buf *path,
                    struct buf *old_path)
{
    struct paths *paths = line->kind == NS_REMOVED ? &diff->old_paths : &diff->new_paths;
    int rc = path_of(diff, paths, line->key, line->key_size, path);
    if (!rc && line->kind == NS_RENAMED)
        rc = path_of(diff, &diff->old_paths, line->old_key, line->old_key_size, old_path);
    return rc;
}

static bool covers(const struct path_set *set, const struct buf *path)
{
    return set->count && path_set_covers(set, (const char *)path->data, path->size);
}

static bool is_below(const struct path_set *set, const struct buf *path)
{
    const char *slash = memrchr(path->data, '/', path->size);
    return set->count && slash &&
           path_set_covers(set, (const char *)path->data,
                           (size_t)(slash - (const char *)path->data));
}

// Whether the line's name is the root of a tree that was inside an unfinished clone before. There
// are two cases. If the older snapshot has the tree inside the clone, the line is a rename. If the
// tree's directory was made in the clone after that snapshot, the line says that it was created;
// then its prefix shows that it was made there, and the keys of what is in it were left out
// (look_at).
static int has_moved_in(struct diff *diff, const struct line *line, const struct buf *old_path,
                        bool *ret_has)
{
    *ret_has = line->kind == NS_RENAMED && covers(&diff->old_unfinished, old_path);
    if (line->kind != NS_CREATED || line->type != S_IFDIR >> 12)
        return 0;
    struct slice key = slice_of(diff->keys.data + line->key, line->key_size);
    int rc = op_load_at(diff->db, diff->to, key, &diff->new_rec);
    if (!rc)
        *ret_has = path_set_made(&diff->old_unfinished, diff->new_rec.rec.prefix);
    return rc;
}

// Finds all trees that were moved out of unfinished clones between the snapshots.
static int find_moved_in(struct diff *diff)
{
    struct line *lines = diff->lines.at;
    struct buf path = {0}, old_path = {0};
    int rc = 0;
    for (size_t i = 0; !rc && diff->old_unfinished.count && i < diff->lines.count; i++) {
        if (lines[i].kind != NS_RENAMED && lines[i].kind != NS_CREATED)
            continue;
        rc = paths_of(diff, &lines[i], &path, &old_path);
        if (!rc)
            rc = has_moved_in(diff, &lines[i], &old_path, &lines[i].moved_in);
        if (!rc && lines[i].moved_in)
            rc = path_set_add(&diff->moved_in, (const char *)path.data, path.size);
    }
    buf_release(&path);
    buf_release(&old_path);
    return rc;
}

static int tell(struct diff *diff, ns_change_fn *fn, void *arg)
{
    const struct line *lines = diff->lines.at;
    struct buf path = {0}, old_path = {0};
    int rc = find_moved_in(diff);
    for (size_t i = 0; i < diff->lines.count && !rc; i++) {
        const struct line *line = &lines[i];
        rc = paths_of(diff, line, &path, &old_path);
        if (rc)
            break;
        if (line->moved_in) {
            if (is_below(&diff->moved_in, &path)) // it is told with the tree around it
                continue;
            struct slice key = slice_of(diff->keys.data + line->key, line->key_size);
            rc = tell_created(diff->db, diff->to, key, buf_slice(&path), fn, arg);
            continue;
        }
        if (line->kind == NS_REMOVED
                ? covers(&diff->old_unfinished, &path)
                : covers(&diff->new_unfinished, &path) || covers(&diff->moved_in, &path))
            continue;
        const struct ns_change change = {
            .kind = (enum ns_change_kind)line->kind,
            .what = line->what,
            .ino = line->ino,
            .type = (uint32_t)line->type << 12,
            .path = (const char *)path.data,
            .path_size = path.size,
            .old_path = line->kind == NS_RENAMED ? (const char *)old_path.data : NULL,
            .old_path_size = line->kind == NS_RENAMED ? old_path.size : 0,
        };
        rc = fn(arg, &change);
    }
    buf_release(&path);
    buf_release(&old_path);
    return rc;
}

int ns_diff(struct lsm *db, const struct lsm_snapshot *from, const struct lsm_snapshot *to,
            size_t most, ns_change_fn *fn, void *arg)
{
    struct diff diff = {.db = db,
                        .from = from,
                        .to = to,
                        .most = most,
                        .notes.size = sizeof(struct note),
                        .touched.size = sizeof(struct touched),
                        .lines.size = sizeof(struct line)};
    paths_init(&diff.old_paths, db, from);
    paths_init(&diff.new_paths, db, to);
    int rc = path_set_add_unfinished(db, from, &diff.old_unfinished);
    if (!rc)
        rc = path_set_add_unfinished(db, to, &diff.new_unfinished);
    if (!rc)
        rc = first_pass(&diff);
    if (!rc)
        rc = second_pass(&diff);
    if (!rc)
        rc = tell(&diff, fn, arg);
    paths_release(&diff.old_paths);
    paths_release(&diff.new_paths);
    lsm_buf_release(&diff.old_rec.raw);
    lsm_buf_release(&diff.new_rec.raw);
    buf_release(&diff.keys);
    path_set_release(&diff.old_unfinished);
    path_set_release(&diff.new_unfinished);
    path_set_release(&diff.moved_in);
    free(diff.notes.at);
    free(diff.touched.at);
    free(diff.lines.at);
    return rc;
}
