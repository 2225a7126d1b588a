// One random history of a namespace: the store, its model, a trace of what was done, and the
// comparison of both.
#ifndef LSM_TESTS_NS_HISTORY_H
#define LSM_TESTS_NS_HISTORY_H

#include <inttypes.h>
#include <stdarg.h>
#include <unistd.h>

#include "base/slice.h"
#include "disk/cluster_store.h"
#include "model/ns_model.h"
#include "ns_util.h"
#include "version_util.h"

struct history {
    uint64_t seed, rng;
    struct env *env; // a simulated disk, or
    struct cluster_store cluster;
    bool in_cluster;
    struct ns *ns;
    struct ns_options options;
    struct model model;
    struct timespec now; // before the operation
    bool deep;           // long names, deep trees
    bool large;          // large files
    bool flagged;        // files get flags
    struct buf trace;
};

__attribute__((format(printf, 2, 3))) static inline void trace(struct history *h,
                                                               const char *format, ...)
{
    char line[1024];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    size_t size = (size_t)n < sizeof line ? (size_t)n : sizeof line - 1;
    if (buf_append(&h->trace, line, size))
        abort();
}

__attribute__((format(printf, 2, 3), noreturn)) static inline void broken(struct history *h,
                                                                          const char *format, ...)
{
    char line[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    fprintf(stderr, "%.*s\nLSM_SEED=%" PRIu64 ": %s\n", (int)h->trace.size, (char *)h->trace.data,
            h->seed, line);
    ck_abort_msg("LSM_SEED=%" PRIu64 ": %s", h->seed, line);
    abort();
}

static inline void expect_rc(struct history *h, int64_t got, int64_t want, const char *what)
{
    trace(h, " = %" PRId64 "\n", got);
    if (got != want)
        broken(h, "%s: %" PRId64 ", not %" PRId64, what, got, want);
}

static inline uint64_t below(struct history *h, uint64_t n)
{
    return random_below(&h->rng, n);
}

static inline bool one_in(struct history *h, uint64_t n)
{
    return below(h, n) == 0;
}

// A name for the trace: printable, short.
static inline const char *show(const struct model_name *name)
{
    static char space[4][200];
    static unsigned next;
    char *out = space[next++ % 4], *p = out;
    for (size_t i = 0; i < name->size && i < 30; i++) {
        uint8_t c = (uint8_t)name->bytes[i];
        p += sprintf(p, c < 32 || c > 126 ? "\\%03o" : "%c", c);
    }
    if (name->size > 30)
        sprintf(p, "..(%zu)", name->size);
    else
        *p = 0;
    return out;
}

// ------------------------------------------------------------------------------- inodes

// A random name of a node that has one: the directory and the name in it.
static inline struct node *name_of(struct history *h, const struct node *node,
                                   struct model_name *ret_name)
{
    struct node *found = NULL;
    unsigned seen = 0;
    for (struct node *dir = h->model.nodes; dir; dir = dir->next)
        for (size_t i = 0; i < dir->entry_count; i++)
            if (dir->entries[i].node == node && one_in(h, ++seen)) {
                found = dir;
                *ret_name = dir->entries[i].name;
            }
    if (!found)
        broken(h, "node %u has no name", node->id);
    return found;
}

static inline struct ns_inode *borrow(struct history *h, struct node *node);

static inline struct ns_inode *borrow_by_lookup(struct history *h, const struct node *node)
{
    struct model_name name;
    struct node *dir = name_of(h, node, &name);
    struct ns_inode *dir_inode = borrow(h, dir), *inode = NULL;
    int rc = ns_lookup(h->ns, dir_inode, name.bytes, name.size, &inode, NULL);
    ns_inode_put(h->ns, dir_inode, 1);
    if (rc)
        broken(h, "lookup of \"%s\" in node %u: %d", show(&name), dir->id, rc);
    return inode;
}

static inline struct ns_inode *borrow_by_path(struct history *h, const struct node *node)
{
    static struct model_name names[64];
    unsigned count = 0;
    struct buf path = {0};
    struct ns_inode *inode = NULL;
    for (const struct node *at = node; at != h->model.root; count++) {
        if (count == 64)
            broken(h, "a path of more than 64 names");
        at = name_of(h, at, &names[count]);
    }
    while (count-- > 0)
        if (buf_append(&path, "/", 1) || buf_append(&path, names[count].bytes, names[count].size))
            abort();
    bool slash = S_ISDIR(node->mode) && one_in(h, 4);
    if (buf_append(&path, "/.", slash ? 2 : 0) || buf_append(&path, "", 1))
        abort();
    int rc = ns_resolve(h->ns, (char *)path.data, &inode, NULL);
    buf_release(&path);
    if (rc)
        broken(h, "resolving the path of node %u: %d", node->id, rc);
    return inode;
}

static inline void hold(struct history *h, struct node *node, struct ns_inode *inode)
{
    ns_inode_ref(inode);
    node->held = inode;
    if (S_ISREG(node->mode) && one_in(h, 2)) {
        ns_inode_opened(h->ns, inode);
        node->open = true;
    }
}

// A reference to the node's inode: the held one, or looked up one way or another. May keep it.
static inline struct ns_inode *borrow(struct history *h, struct node *node)
{
    struct ns_inode *inode;
    if (node->held || node == h->model.root) {
        inode = node->held ? node->held : ns_root(h->ns);
        ns_inode_ref(inode);
        return inode;
    }
    inode = one_in(h, 3) ? borrow_by_path(h, node) : borrow_by_lookup(h, node);
    if (ns_inode_ino(inode) != node->ino || ns_inode_type(inode) != (node->mode & S_IFMT))
        broken(h, "node %u has inode %" PRIu64 ", not %" PRIu64, node->id, ns_inode_ino(inode),
               node->ino);
    if (one_in(h, 6))
        hold(h, node, inode);
    return inode;
}

static inline void give(struct history *h, struct ns_inode *inode)
{
    ns_inode_put(h->ns, inode, 1);
}

static inline void let_go(struct history *h, struct node *node)
{
    if (node->open)
        ns_inode_closed(h->ns, node->held);
    if (node->held)
        ns_inode_put(h->ns, node->held, 1);
    node->held = NULL;
    node->open = false;
}

static inline void let_all_go(struct history *h)
{
    for (struct node *node = h->model.nodes; node; node = node->next)
        let_go(h, node);
    model_sweep(&h->model);
}

// ------------------------------------------------------------------------------- attributes

static inline void pend(struct history *h, struct model_time *time)
{
    *time = (struct model_time){h->now, true};
}

static inline void pend_change(struct history *h, struct node *node)
{
    pend(h, &node->mtime);
    pend(h, &node->ctime);
}

static inline int compare_times(struct timespec a, struct timespec b)
{
    if (a.tv_sec != b.tv_sec)
        return a.tv_sec < b.tv_sec ? -1 : 1;
    return a.tv_nsec < b.tv_nsec ? -1 : a.tv_nsec > b.tv_nsec;
}

static inline void check_time(struct history *h, const struct node *node, struct model_time *time,
                              struct timespec got, const char *what)
{
    int c = compare_times(got, time->at);
    struct timespec now;
    clock_gettime(CLOCK_REALTIME_COARSE, &now);
    if (time->pending ? c < 0 || compare_times(got, now) > 0 : c != 0)
        broken(h, "node %u: %s %" PRId64 ".%09ld, model%s %" PRId64 ".%09ld", node->id, what,
               (int64_t)got.tv_sec, got.tv_nsec, time->pending ? " from" : "",
               (int64_t)time->at.tv_sec, time->at.tv_nsec);
    *time = (struct model_time){got, false};
}

static inline void check_attr(struct history *h, struct node *node, const struct ns_attr *attr)
{
    uint64_t size = S_ISDIR(node->mode) ? node->entry_count : node->size;
    if (attr->ino != node->ino || attr->mode != node->mode || attr->nlink != node->nlink ||
        attr->uid != node->uid || attr->gid != node->gid || attr->rdev != node->rdev ||
        attr->flags != node->flags)
        broken(h,
               "node %u: inode %" PRIu64 " mode %o nlink %u owner %u:%u rdev %" PRIu64
               " flags %u, model: %" PRIu64 " %o %u %u:%u %" PRIu64 " %u",
               node->id, attr->ino, attr->mode, attr->nlink, attr->uid, attr->gid, attr->rdev,
               attr->flags, node->ino, node->mode, node->nlink, node->uid, node->gid, node->rdev,
               node->flags);
    if (attr->size != size)
        broken(h, "node %u: size %" PRIu64 ", model %" PRIu64, node->id, attr->size, size);
    uint64_t most = size + model_promised(node, 0, SIZE_MAX, PROMISED | PERHAPS_PROMISED);
    if (attr->blocks > (S_ISREG(node->mode) ? (most + 511) / 512 : 0))
        broken(h, "node %u: %" PRIu64 " blocks for size %" PRIu64, node->id, attr->blocks, size);
    check_time(h, node, &node->atime, attr->atime, "atime");
    check_time(h, node, &node->mtime, attr->mtime, "mtime");
    check_time(h, node, &node->ctime, attr->ctime, "ctime");
    check_time(h, node, &node->btime, attr->btime, "btime");
}

// ------------------------------------------------------------------------------- content

// Content of a file that may be gone: ESTALE is right, and nothing else need be looked at.
static inline bool is_gone(const struct node *node, int64_t rc)
{
    return node->perhaps_gone && rc == -ESTALE;
}

static inline void check_bytes(struct history *h, const struct node *node, const uint8_t *data,
                               size_t offset, size_t size)
{
    if (memcmp(data, node->data + offset, size) == 0)
        return;
    for (size_t i = 0; i < size; i++)
        if (data[i] != node->data[offset + i])
            broken(h, "node %u: byte %zu is %02x, not %02x", node->id, offset + i, data[i],
                   node->data[offset + i]);
}

static inline void check_read(struct history *h, struct node *node, struct ns_inode *inode,
                              size_t offset, size_t size)
{
    static uint8_t bytes[1 << 21];
    size_t left = offset < node->size ? node->size - offset : 0;
    ssize_t want = (ssize_t)(left < size ? left : size);
    memset(bytes, 0xee, (size_t)want);
    ssize_t got = ns_read(h->ns, inode, bytes, size, offset);
    if (is_gone(node, got))
        return;
    if (got != want)
        broken(h, "node %u: read of %zu at %zu: %zd, not %zd", node->id, size, offset, got, want);
    if (got > 0)
        check_bytes(h, node, bytes, offset, (size_t)got);
}

// Walks data and holes: what is called a hole is zero, and the data and what is promised of the
// holes add up to the blocks.
static inline void check_holes(struct history *h, struct node *node, struct ns_inode *inode,
                               uint64_t blocks)
{
    uint64_t at = 0, least = 0, most = 0;
    while (at < node->size) {
        int64_t data = ns_seek(h->ns, inode, at, SEEK_DATA);
        if (is_gone(node, data))
            return;
        uint64_t end = data == -ENXIO ? node->size : (uint64_t)data;
        if ((data < 0 && data != -ENXIO) || end < at || end > node->size)
            broken(h, "node %u: SEEK_DATA from %" PRIu64 ": %" PRId64, node->id, at, data);
        for (uint64_t i = at; i < end; i++)
            if (node->data[i])
                broken(h, "node %u: data at %" PRIu64 " where SEEK_DATA from %" PRIu64 " sees none",
                       node->id, i, at);
        least += model_promised(node, at, end, PROMISED);
        most += model_promised(node, at, end, PROMISED | PERHAPS_PROMISED);
        if (data == -ENXIO)
            break;
        int64_t hole = ns_seek(h->ns, inode, end, SEEK_HOLE);
        if (hole <= data || (uint64_t)hole > node->size)
            broken(h, "node %u: SEEK_HOLE from %" PRIu64 ": %" PRId64, node->id, end, hole);
        least += (uint64_t)hole - end;
        most += (uint64_t)hole - end;
        at = (uint64_t)hole;
    }
    if (node->perhaps_gone) // with what was promised
        return;
    least += model_promised(node, node->size, SIZE_MAX, PROMISED);
    most += model_promised(node, node->size, SIZE_MAX, PROMISED | PERHAPS_PROMISED);
    if (blocks < (least + 511) / 512 || blocks > (most + 511) / 512)
        broken(h, "node %u: %" PRIu64 " blocks, but %" PRIu64 " to %" PRIu64 " bytes", node->id,
               blocks, least, most);
}

// ------------------------------------------------------------------------------- directories

struct listing {
    struct history *h;
    struct node *dir;
    bool plus;
    unsigned budget; // entries taken before it stops
    uint64_t cookie, cookies[256];
    unsigned count; // entries seen, dots included
    bool dots[2];
    bool seen[256]; // by index in dir->entries
};

static inline int list_entry(void *arg, const struct ns_dirent *entry)
{
    struct listing *list = arg;
    struct history *h = list->h;
    if (list->budget-- == 0)
        return 1;
    struct model_name name = {.size = entry->name_size};
    memcpy(name.bytes, entry->name, name.size);
    bool is_dot = name.size <= 2 && !memcmp(name.bytes, "..", name.size);
    struct model_entry *found = is_dot ? NULL : model_find(list->dir, &name);
    struct node *node = found ? found->node : name.size == 1 ? list->dir : NULL;
    if (!is_dot && !found)
        broken(h, "node %u: \"%s\" is listed, but not there", list->dir->id, show(&name));
    bool *seen = is_dot ? &list->dots[name.size - 1] : &list->seen[found - list->dir->entries];
    if (*seen)
        broken(h, "node %u: \"%s\" is listed twice", list->dir->id, show(&name));
    *seen = true;
    if (node && (entry->ino != node->ino || entry->type != (node->mode & S_IFMT)))
        broken(h, "node %u: \"%s\" is listed as another file", list->dir->id, show(&name));
    if ((entry->inode != NULL) != (list->plus && !is_dot))
        broken(h, "node %u: \"%s\": inode or not", list->dir->id, show(&name));
    if (entry->inode) {
        check_attr(h, node, entry->attr);
        if (ns_inode_ino(entry->inode) != node->ino)
            broken(h, "\"%s\" is listed with another inode", show(&name));
        ns_inode_put(h->ns, entry->inode, 1);
    }
    if (list->count < 256)
        list->cookies[list->count] = entry->cookie;
    list->count++;
    list->cookie = entry->cookie;
    return 0;
}

// Lists in pieces and compares; then reads once more from somewhere in between.
static inline void check_listing(struct history *h, struct node *node, struct ns_inode *inode)
{
    struct listing list = {.h = h, .dir = node, .plus = one_in(h, 2)};
    unsigned before;
    int rc;
    do {
        before = list.count;
        list.budget = 1 + (unsigned)below(h, 8);
        rc = ns_list(h->ns, inode, list.cookie, list.plus, list_entry, &list);
    } while (!rc && list.count > before);
    unsigned count = list.count;
    if (rc || count != node->entry_count + 2)
        broken(h, "node %u: listing: %d, %u of %zu names", node->id, rc, count,
               node->entry_count + 2);
    unsigned from = (unsigned)below(h, count);
    struct listing again = {.h = h, .dir = node, .plus = list.plus, .budget = UINT32_MAX};
    rc = ns_list(h->ns, inode, list.cookies[from], list.plus, list_entry, &again);
    if (rc || again.count != count - from - 1)
        broken(h, "node %u: listing again from %u: %d, %u names", node->id, from, rc, again.count);
}

// ------------------------------------------------------------------------------- everything

static inline void check_xattrs(struct history *h, struct node *node, struct ns_inode *inode)
{
    char list[256];
    uint8_t value[4096];
    size_t want = 0;
    for (size_t i = 0; i < node->xattr_count; i++)
        want += strlen(node->xattrs[i].name) + 1;
    ssize_t size = ns_listxattr(h->ns, inode, list, sizeof list);
    if (size != (ssize_t)want)
        broken(h, "node %u: attribute names take %zd, not %zu", node->id, size, want);
    for (ssize_t at = 0; at < size; at += (ssize_t)strlen(list + at) + 1) {
        struct model_xattr *xattr = model_xattr(node, list + at);
        ssize_t n = ns_getxattr(h->ns, inode, list + at, value, sizeof value);
        if (!xattr || n != (ssize_t)xattr->size || memcmp(value, xattr->value, xattr->size))
            broken(h, "node %u: attribute %s: %zd", node->id, list + at, n);
    }
}

static inline void check_node(struct history *h, struct node *node)
{
    struct ns_attr attr;
    struct ns_inode *inode = borrow(h, node);
    int rc = ns_getattr(h->ns, inode, &attr);
    if (rc)
        broken(h, "node %u: getattr: %d", node->id, rc);
    check_attr(h, node, &attr);
    check_xattrs(h, node, inode);
    if (S_ISDIR(node->mode))
        check_listing(h, node, inode);
    if (S_ISREG(node->mode)) {
        check_read(h, node, inode, 0, node->size + 10);
        check_holes(h, node, inode, attr.blocks);
    }
    if (S_ISLNK(node->mode)) {
        char target[NS_SYMLINK_MAX];
        ssize_t n = ns_readlink(h->ns, inode, target, sizeof target);
        if (n != (ssize_t)node->size || memcmp(target, node->data, node->size))
            broken(h, "node %u: target of %zd bytes", node->id, n);
    }
    give(h, inode);
}

static inline void check_everything(struct history *h)
{
    struct statvfs stat;
    for (struct node *node = h->model.nodes; node; node = node->next)
        check_node(h, node);
    int rc = ns_statfs(h->ns, &stat);
    if (rc || stat.f_files - stat.f_ffree != h->model.count)
        broken(h, "statfs: %d, %llu files, model %u", rc,
               (unsigned long long)(stat.f_files - stat.f_ffree), h->model.count);
}

static inline void check_structure(struct history *h)
{
    struct ns_report report;
    ns_test_check(h->ns, &report);
    if (report.problems)
        broken(h, "ns_check: %" PRId64 "\n%.800s", report.problems, report.text);
}

#endif
