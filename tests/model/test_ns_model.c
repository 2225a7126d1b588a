// Random histories of namespace operations against a tree in memory.
//
// Each history has a store of its own, with small buffers, and a seed: on a simulated disk, or in a
// simulated cluster, where a process may also die at a write. Inodes of some nodes are held for a
// while, as the kernel does, so that what was looked up before a rename, link or unlink is used
// after it. The store is reopened now and then, after a close or the death of the process. All
// results, attributes, times, contents and listings are compared.
//
// LSM_HISTORIES sets how many, of which a twentieth are in a cluster; LSM_SEED replays one.
#include <linux/falloc.h>
#include <signal.h>

#include "model/ns_history.h"

#define LARGE_FILE     1400000
#define HISTORY_S      300 // one that takes longer hangs
#define CLUSTER_ONE_IN 20

// ------------------------------------------------------------------------------- choices

static struct node *pick(struct history *h, bool (*wanted)(const struct node *))
{
    struct node *found = NULL;
    unsigned seen = 0;
    for (struct node *node = h->model.nodes; node; node = node->next)
        if (wanted(node) && one_in(h, ++seen))
            found = node;
    return found;
}

static bool is_any(const struct node *node)
{
    (void)node;
    return true;
}

static bool is_dir(const struct node *node)
{
    return S_ISDIR(node->mode);
}

static bool is_file(const struct node *node)
{
    return S_ISREG(node->mode);
}

// Mostly a directory with a name; in deep histories the newest of three.
static struct node *pick_dir(struct history *h)
{
    struct node *dir = pick(h, is_dir);
    for (int i = 0; i < 2 && (h->deep || !dir->nlink); i++) {
        struct node *other = pick(h, is_dir);
        dir = other->nlink && (other->id > dir->id || !dir->nlink) ? other : dir;
    }
    return dir;
}

static struct model_name pick_name(struct history *h)
{
    static const char *const odd[] = {"\001",     "\002",  "\001\002", "x\001y",
                                      "\002\005", "...",   "\377\376", "\002\0051",
                                      "a\001b",   " \n\t", "\002\003", "a"};
    struct model_name name = {.size = 1};
    if (h->deep && !one_in(h, 4)) {
        name.size = 255 - below(h, 2);
        memset(name.bytes, one_in(h, 3) ? 1 : 'l', name.size);
    } else if (one_in(h, 4)) {
        const char *text = odd[below(h, sizeof odd / sizeof odd[0])];
        name.size = strlen(text);
        memcpy(name.bytes, text, name.size);
    } else {
        name.bytes[0] = (char)('a' + below(h, 5));
    }
    return name;
}

// Mostly a name that is there.
static struct model_name pick_present(struct history *h, const struct node *dir)
{
    if (dir->entry_count == 0 || one_in(h, 6))
        return pick_name(h);
    return dir->entries[below(h, dir->entry_count)].name;
}

static size_t pick_size(struct history *h)
{
    switch (below(h, h->large ? 8 : 6)) {
    case 0:
        return below(h, 8);
    case 1:
    case 2:
        return below(h, 300);
    case 3:
    case 4:
        return below(h, 3000);
    case 5:
        return below(h, one_in(h, 3) ? 66000 : 12000);
    default:
        return below(h, 200000);
    }
}

static size_t pick_offset(struct history *h, const struct node *node)
{
    size_t offset;
    switch (below(h, 5)) {
    case 0:
        offset = 0;
        break;
    case 1:
        offset = node->size;
        break;
    case 2:
        offset = node->size + pick_size(h);
        break;
    case 3:
        offset = (node->size + 1048575) / 1048576 * 1048576 - below(h, 3) * 64;
        offset = h->large ? offset : 0;
        break;
    default:
        offset = below(h, node->size + 1);
        break;
    }
    return offset < LARGE_FILE ? offset : 0;
}

// ------------------------------------------------------------------------------- names

static struct node *add_node(struct history *h, struct node *dir, const struct model_name *name,
                             uint32_t mode, const struct ns_inode *inode)
{
    struct node *node = model_node(&h->model, mode);
    node->ino = ns_inode_ino(inode);
    for (struct node *other = h->model.nodes; other; other = other->next)
        if (other != node && other->ino == node->ino)
            broken(h, "nodes %u and %u have the same number", other->id, node->id);
    pend(h, &node->atime);
    pend(h, &node->btime);
    pend_change(h, node);
    node->uid = test_cred.uid;
    node->gid = test_cred.gid;
    node->flags = dir->flags & (NS_NODUMP | NS_NOATIME);
    if (dir->mode & S_ISGID) {
        node->gid = dir->gid;
        if (S_ISDIR(mode))
            node->mode |= S_ISGID;
    }
    model_add(dir, name, node);
    pend_change(h, dir);
    h->model.count++;
    return node;
}

static void do_create(struct history *h)
{
    static const uint32_t types[] = {S_IFREG, S_IFREG, S_IFREG, S_IFREG, S_IFDIR,
                                     S_IFDIR, S_IFDIR, S_IFLNK, S_IFIFO, S_IFCHR};
    struct node *dir = pick_dir(h);
    struct model_name name = pick_name(h);
    uint32_t type = types[below(h, sizeof types / sizeof types[0])];
    uint32_t mode = (uint32_t)(one_in(h, 4) ? below(h, 010000) : type == S_IFDIR ? 0755 : 0644);
    struct ns_cred cred = test_cred;
    cred.umask = one_in(h, 3) ? 077 : 0;
    size_t target_size = 1 + below(h, one_in(h, 9) ? 4095 : 30);
    char target[NS_SYMLINK_MAX];
    memset(target, 't', sizeof target);
    int want = !dir->nlink                 ? -ENOENT
               : model_find(dir, &name)    ? -EEXIST
               : model_is_fixed(dir, NULL) ? -EPERM
                                           : 0;
    int rc;
    struct ns_inode *parent = borrow(h, dir), *inode = NULL;
    struct ns_attr attr;
    trace(h, "create %o in %u \"%s\"", type | mode, dir->id, show(&name));
    if (type == S_IFDIR)
        rc = ns_mkdir(h->ns, &cred, parent, name.bytes, name.size, mode, &inode, &attr);
    else if (type == S_IFLNK)
        rc = ns_symlink(h->ns, &cred, parent, name.bytes, name.size, target, target_size, &inode,
                        &attr);
    else
        rc = ns_mknod(h->ns, &cred, parent, name.bytes, name.size, type | mode, 259, &inode, &attr);
    expect_rc(h, rc, want, "create");
    give(h, parent);
    if (rc)
        return;
    mode = type == S_IFLNK ? 0777 : mode & ~cred.umask & 07777;
    struct node *node = add_node(h, dir, &name, type | mode, inode);
    trace(h, "    node %u inode %" PRIu64 "\n", node->id, node->ino);
    node->rdev = type == S_IFCHR ? 259 : 0;
    if (type == S_IFLNK)
        model_write(node, target, target_size, 0);
    check_attr(h, node, &attr);
    if (one_in(h, 4))
        hold(h, node, inode);
    give(h, inode);
}

static void do_link(struct history *h)
{
    struct node *node = pick(h, is_any), *dir = pick_dir(h);
    struct model_name name = pick_name(h);
    int want = is_dir(node)                                                            ? -EPERM
               : !dir->nlink || !node->nlink                                           ? -ENOENT
               : model_find(dir, &name)                                                ? -EEXIST
               : model_is_fixed(dir, NULL) || node->flags & (NS_IMMUTABLE | NS_APPEND) ? -EPERM
                                                                                       : 0;
    struct ns_inode *inode = borrow(h, node), *parent = borrow(h, dir);
    struct ns_attr attr;
    trace(h, "link %u as %u \"%s\"", node->id, dir->id, show(&name));
    int rc = ns_link(h->ns, inode, parent, name.bytes, name.size, &attr);
    expect_rc(h, rc, want, "link");
    if (!rc) {
        node->nlink++;
        pend(h, &node->ctime);
        model_add(dir, &name, node);
        pend_change(h, dir);
        check_attr(h, node, &attr);
    }
    give(h, inode);
    give(h, parent);
}

static void do_remove(struct history *h)
{
    struct node *dir = pick_dir(h);
    struct model_name name = pick_present(h, dir);
    struct model_entry *entry = model_find(dir, &name);
    struct node *node = entry ? entry->node : NULL;
    bool as_dir = (node && is_dir(node)) != one_in(h, 8);
    int want = !node                              ? -ENOENT
               : as_dir && !is_dir(node)          ? -ENOTDIR
               : !as_dir && is_dir(node)          ? -EISDIR
               : model_is_fixed(dir, node)        ? -EPERM
               : as_dir && node->entry_count != 0 ? -ENOTEMPTY
                                                  : 0;
    struct ns_inode *parent = borrow(h, dir);
    trace(h, "%s %u \"%s\"", as_dir ? "rmdir" : "unlink", dir->id, show(&name));
    int rc = (as_dir ? ns_rmdir : ns_unlink)(h->ns, parent, name.bytes, name.size);
    expect_rc(h, rc, want, "remove");
    give(h, parent);
    if (rc)
        return;
    model_take(dir, entry);
    pend_change(h, dir);
    pend(h, &node->ctime);
    model_unlink(&h->model, node);
    model_sweep(&h->model);
}

static void add_whiteout(struct history *h, struct node *dir, struct ns_inode *dir_inode,
                         const struct model_name *name)
{
    struct ns_inode *inode;
    struct ns_attr attr;
    int rc = ns_lookup(h->ns, dir_inode, name->bytes, name->size, &inode, &attr);
    if (rc)
        broken(h, "no whiteout: %d", rc);
    check_attr(h, add_node(h, dir, name, S_IFCHR, inode), &attr);
    give(h, inode);
}

static void do_rename(struct history *h)
{
    static const unsigned flags_of[] = {0,
                                        0,
                                        0,
                                        NS_RENAME_NOREPLACE,
                                        NS_RENAME_EXCHANGE,
                                        NS_RENAME_EXCHANGE,
                                        NS_RENAME_WHITEOUT,
                                        NS_RENAME_WHITEOUT | NS_RENAME_NOREPLACE};
    struct node *from_dir = pick_dir(h), *to_dir = one_in(h, 3) ? from_dir : pick_dir(h);
    struct model_name from = pick_present(h, from_dir);
    struct model_name to = one_in(h, 2) ? pick_present(h, to_dir) : pick_name(h);
    unsigned flags = flags_of[below(h, sizeof flags_of / sizeof flags_of[0])];
    struct ns_inode *from_inode = borrow(h, from_dir), *to_inode = borrow(h, to_dir);
    struct node *moved, *replaced;
    trace(h, "rename %u \"%s\" to %u \"%s\" flags %u", from_dir->id, show(&from), to_dir->id,
          show(&to), flags);
    int rc = ns_rename_as(h->ns, &test_cred, from_inode, from.bytes, from.size, to_inode, to.bytes,
                          to.size, flags);
    int want = model_rename(&h->model, from_dir, &from, to_dir, &to, flags, &moved, &replaced);
    expect_rc(h, rc, want, "rename");
    if (moved && flags & NS_RENAME_WHITEOUT)
        add_whiteout(h, from_dir, from_inode, &from);
    give(h, from_inode);
    give(h, to_inode);
    if (!moved)
        return;
    pend_change(h, from_dir);
    pend_change(h, to_dir);
    pend(h, &moved->ctime);
    if (replaced)
        pend(h, &replaced->ctime);
    model_sweep(&h->model);
}

// Renames a directory away, makes a new one in its place, and perhaps brings it back home.
static void do_move_and_return(struct history *h)
{
    struct node *dir = pick_dir(h), *to_dir = pick_dir(h), *moved, *replaced;
    struct model_name from = pick_present(h, dir), to = pick_name(h);
    for (int i = 0; i < 2; i++) {
        struct node *a = i ? to_dir : dir, *b = i ? dir : to_dir;
        const struct model_name *a_name = i ? &to : &from, *b_name = i ? &from : &to;
        struct ns_inode *a_inode = borrow(h, a), *b_inode = borrow(h, b);
        trace(h, "move %u \"%s\" to %u \"%s\"", a->id, show(a_name), b->id, show(b_name));
        int rc = ns_rename(h->ns, a_inode, a_name->bytes, a_name->size, b_inode, b_name->bytes,
                           b_name->size, NS_RENAME_NOREPLACE);
        give(h, a_inode);
        give(h, b_inode);
        int want =
            model_rename(&h->model, a, a_name, b, b_name, NS_RENAME_NOREPLACE, &moved, &replaced);
        expect_rc(h, rc, want, "move");
        if (!moved)
            return;
        pend_change(h, a);
        pend_change(h, b);
        pend(h, &moved->ctime);
        if (i == 0 && one_in(h, 3))
            do_create(h);
    }
}

// ------------------------------------------------------------------------------- content

static void do_write(struct history *h)
{
    static uint8_t bytes[200000];
    struct node *node = pick(h, is_file);
    if (!node)
        return;
    size_t offset = pick_offset(h, node), size = pick_size(h);
    unsigned flags = (unsigned)below(h, 8);
    bool refused = size && node->flags & NS_IMMUTABLE && !(flags & NS_WRITE_EARLIER);
    for (size_t i = 0; i < size; i += 8)
        memcpy(bytes + i, &(uint64_t){random_next(&h->rng)}, size - i < 8 ? size - i : 8);
    struct ns_inode *inode = borrow(h, node);
    struct ns_attr attr;
    trace(h, "write %u: %zu at %zu, flags %u", node->id, size, offset, flags);
    ssize_t rc = ns_write(h->ns, inode, bytes, size, offset, flags, &attr);
    give(h, inode);
    if (is_gone(node, rc)) {
        trace(h, ": gone\n");
        return;
    }
    expect_rc(h, rc, refused ? -EPERM : (int64_t)size, "write");
    if (refused)
        return;
    if (size) {
        model_write(node, bytes, size, offset);
        if (!(flags & NS_WRITE_KEEP_TIMES))
            pend_change(h, node);
        if (!(flags & NS_WRITE_KEEP_SUID))
            model_kill_suid(node);
    }
    check_attr(h, node, &attr);
}

static void do_read(struct history *h)
{
    struct node *node = pick(h, is_file);
    if (!node)
        return;
    size_t offset = pick_offset(h, node), size = pick_size(h);
    struct ns_inode *inode = borrow(h, node);
    trace(h, "read %u: %zu at %zu\n", node->id, size, offset);
    check_read(h, node, inode, offset, size);
    give(h, inode);
}

static void do_fallocate(struct history *h)
{
    static const int modes[] = {0,
                                FALLOC_FL_KEEP_SIZE,
                                FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                FALLOC_FL_ZERO_RANGE,
                                FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
                                FALLOC_FL_COLLAPSE_RANGE};
    struct node *node = pick(h, is_any);
    int mode = modes[below(h, sizeof modes / sizeof modes[0])];
    size_t offset = pick_offset(h, node), length = pick_size(h);
    int want = mode == FALLOC_FL_COLLAPSE_RANGE                         ? -EOPNOTSUPP
               : is_dir(node)                                           ? -EISDIR
               : !is_file(node)                                         ? -ENODEV
               : length == 0                                            ? -EINVAL
               : node->flags & NS_IMMUTABLE                             ? -EPERM
               : node->flags & NS_APPEND && mode & ~FALLOC_FL_KEEP_SIZE ? -EPERM
                                                                        : 0;
    struct ns_inode *inode = borrow(h, node);
    trace(h, "fallocate %u: mode %d, %zu at %zu", node->id, mode, length, offset);
    int rc = ns_test_fallocate(h->ns, inode, mode, offset, length);
    give(h, inode);
    if (is_gone(node, rc)) {
        trace(h, ": gone\n");
        return;
    }
    expect_rc(h, rc, want, "fallocate");
    if (rc)
        return;
    if (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
        model_zero(node, offset, offset + length);
    if (mode & FALLOC_FL_PUNCH_HOLE)
        model_promise(node, offset, offset + length, 0, 0);
    else
        model_fallocate(node, offset, offset + length);
    if (!(mode & FALLOC_FL_KEEP_SIZE) && offset + length > node->size)
        model_resize(node, offset + length);
    pend_change(h, node);
    model_kill_suid(node);
}

static void do_copy(struct history *h)
{
    struct node *from = pick(h, is_file), *to = pick(h, is_file);
    if (!from)
        return;
    size_t from_offset = pick_offset(h, from), to_offset = pick_offset(h, to), size = pick_size(h);
    size_t left = from_offset < from->size ? from->size - from_offset : 0;
    int64_t n = (int64_t)(left < size ? left : size);
    int64_t want = n;
    if (from == to && n && from_offset < to_offset + (size_t)n &&
        to_offset < from_offset + (size_t)n)
        want = -EINVAL;
    else if (n && to->flags & NS_IMMUTABLE)
        want = -EPERM;
    struct ns_inode *from_inode = borrow(h, from), *to_inode = borrow(h, to);
    trace(h, "copy %zu from %u at %zu to %u at %zu", size, from->id, from_offset, to->id,
          to_offset);
    ssize_t rc = ns_test_copy_range(h->ns, from_inode, from_offset, to_inode, to_offset, size);
    give(h, from_inode);
    give(h, to_inode);
    if (is_gone(from, rc) || is_gone(to, rc)) {
        trace(h, ": gone\n");
        return;
    }
    expect_rc(h, rc, want, "copy");
    if (rc <= 0)
        return;
    uint8_t *bytes = malloc((size_t)n);
    memcpy(bytes, from->data + from_offset, (size_t)n);
    model_write(to, bytes, (size_t)n, to_offset);
    free(bytes);
    pend_change(h, to);
    model_kill_suid(to);
}

static void do_seek(struct history *h)
{
    struct node *node = pick(h, is_file);
    if (!node)
        return;
    struct ns_attr attr;
    struct ns_inode *inode = borrow(h, node);
    trace(h, "seek %u\n", node->id);
    int rc = ns_getattr(h->ns, inode, &attr);
    if (rc)
        broken(h, "getattr: %d", rc);
    check_holes(h, node, inode, attr.blocks);
    int64_t beyond = ns_seek(h->ns, inode, node->size, SEEK_DATA);
    if (beyond != -ENXIO && !is_gone(node, beyond))
        broken(h, "SEEK_DATA at the end: %" PRId64, beyond);
    give(h, inode);
}

// ------------------------------------------------------------------------------- attributes

static void apply_times(struct history *h, struct node *node, const struct ns_attr *attr,
                        unsigned mask)
{
    if (mask & NS_SET_ATIME)
        node->atime = (struct model_time){attr->atime, false};
    if (mask & NS_SET_MTIME)
        node->mtime = (struct model_time){attr->mtime, false};
    if (mask & NS_SET_ATIME_NOW)
        pend(h, &node->atime);
    if (mask & NS_SET_MTIME_NOW)
        pend(h, &node->mtime);
    if (mask & NS_SET_CTIME)
        node->ctime = (struct model_time){attr->ctime, false};
    else
        pend(h, &node->ctime);
}

static void apply_setattr(struct history *h, struct node *node, const struct ns_attr *attr,
                          unsigned mask)
{
    if (mask & NS_SET_SIZE) {
        if (attr->size != node->size && !(mask & (NS_SET_MTIME | NS_SET_MTIME_NOW)))
            pend(h, &node->mtime);
        if (attr->size <= node->size)
            model_promise(node, attr->size, SIZE_MAX, 0, 0);
        model_resize(node, attr->size);
    }
    if (mask & NS_SET_MODE)
        node->mode = (node->mode & S_IFMT) | (attr->mode & 07777);
    if (mask & NS_SET_UID)
        node->uid = attr->uid;
    if (mask & NS_SET_GID)
        node->gid = attr->gid;
    if ((mask & (NS_SET_UID | NS_SET_GID) && !(mask & NS_SET_MODE)) || mask & NS_SET_KILL_SUID)
        model_kill_suid(node);
    apply_times(h, node, attr, mask);
}

static bool setattr_is_refused(const struct node *node, unsigned mask)
{
    const unsigned others = NS_SET_ATIME | NS_SET_MODE | NS_SET_UID | NS_SET_GID | NS_SET_SIZE;
    if (mask & NS_SET_EARLIER)
        return false;
    if (node->flags & NS_IMMUTABLE)
        return true;
    bool old_mtime = mask & NS_SET_MTIME && !(mask & NS_SET_ATIME_NOW);
    return node->flags & NS_APPEND && (mask & others || old_mtime);
}

static void do_set_flags(struct history *h)
{
    struct node *node = pick(h, is_any);
    uint32_t flags = h->flagged && one_in(h, 2) ? (uint32_t)below(h, NS_FLAGS + 1) : 0;
    bool keep_times = one_in(h, 2);
    struct ns_inode *inode = borrow(h, node);
    trace(h, "flags of %u: %u", node->id, flags);
    expect_rc(h, ns_set_flags(h->ns, inode, flags, keep_times), 0, "set_flags");
    give(h, inode);
    node->flags = flags;
    if (!keep_times)
        pend(h, &node->ctime);
}

static void do_setattr(struct history *h)
{
    struct node *node = pick(h, is_any);
    unsigned mask = (unsigned)(below(h, 1024) & below(h, 1024));
    bool bad = one_in(h, 30);
    if (is_file(node) && one_in(h, 2))
        mask |= NS_SET_SIZE;
    if (one_in(h, 4))
        mask |= NS_SET_EARLIER;
    struct timespec when = {(time_t)below(h, 1u << 31) - (1 << 30), (long)below(h, 1000000000)};
    struct ns_attr got, attr = {.mode = (uint32_t)below(h, 010000),
                                .uid = (uint32_t)below(h, 5),
                                .gid = (uint32_t)random_next(&h->rng),
                                .size = pick_offset(h, node),
                                .atime = when,
                                .mtime = {when.tv_sec - 1000, bad ? 1000000000 : 7},
                                .ctime = {when.tv_sec + 1, 0}};
    int want = mask & NS_SET_SIZE && !is_file(node) ? is_dir(node) ? -EISDIR : -EINVAL
               : bad && mask & NS_SET_MTIME         ? -EINVAL
               : setattr_is_refused(node, mask)     ? -EPERM
                                                    : 0;
    struct ns_inode *inode = borrow(h, node);
    trace(h, "setattr %u: mask %x, size %" PRIu64, node->id, mask, attr.size);
    int rc = ns_setattr(h->ns, inode, &attr, mask, &got);
    give(h, inode);
    if (is_gone(node, rc)) {
        trace(h, ": gone\n");
        return;
    }
    expect_rc(h, rc, want, "setattr");
    if (rc)
        return;
    apply_setattr(h, node, &attr, mask);
    check_attr(h, node, &got);
}

static void do_getattr(struct history *h)
{
    struct node *node = pick(h, is_any);
    trace(h, "look at %u\n", node->id);
    check_node(h, node);
}

static void apply_xattr(struct history *h, struct node *node, const char *name,
                        const uint8_t *value, size_t size)
{
    struct model_xattr *xattr = model_xattr(node, name);
    if (!xattr) {
        xattr = &node->xattrs[node->xattr_count++];
        *xattr = (struct model_xattr){0};
        strcpy(xattr->name, name);
    }
    xattr->value = realloc(xattr->value, size + 1);
    memcpy(xattr->value, value, size);
    xattr->size = size;
    pend(h, &node->ctime);
}

static void do_xattr(struct history *h)
{
    static const char *const names[] = {"user.a", "user.b", "user.longer", "security.x"};
    struct node *node = pick(h, is_any);
    const char *name = names[below(h, 4)];
    struct model_xattr *xattr = model_xattr(node, name);
    struct ns_inode *inode = borrow(h, node);
    uint8_t value[4000];
    size_t size = below(h, one_in(h, 4) ? sizeof value : 20);
    bool refused = node->flags & (NS_IMMUTABLE | NS_APPEND);
    memset(value, (int)below(h, 256), sizeof value);
    if (one_in(h, 3)) {
        trace(h, "removexattr %u %s", node->id, name);
        int rc = ns_removexattr(h->ns, inode, name);
        expect_rc(h, rc, refused ? -EPERM : xattr ? 0 : -ENODATA, "removexattr");
        if (!rc) {
            free(xattr->value);
            *xattr = node->xattrs[--node->xattr_count];
            pend(h, &node->ctime);
        }
    } else {
        unsigned flags = (unsigned)below(h, 3);
        int want = refused                               ? -EPERM
                   : flags == NS_XATTR_CREATE && xattr   ? -EEXIST
                   : flags == NS_XATTR_REPLACE && !xattr ? -ENODATA
                                                         : 0;
        trace(h, "setxattr %u %s: %zu bytes, flags %u", node->id, name, size, flags);
        int rc = ns_setxattr(h->ns, inode, name, value, size, flags);
        expect_rc(h, rc, want, "setxattr");
        if (!rc)
            apply_xattr(h, node, name, value, size);
    }
    check_xattrs(h, node, inode);
    give(h, inode);
}

// ------------------------------------------------------------------------------- the store

static void do_lookup_missing(struct history *h)
{
    struct node *dir = pick_dir(h);
    struct model_name name = pick_name(h);
    struct model_entry *entry = model_find(dir, &name);
    struct ns_inode *parent = borrow(h, dir), *inode = NULL;
    struct ns_attr attr;
    trace(h, "lookup %u \"%s\"", dir->id, show(&name));
    int rc = ns_lookup(h->ns, parent, name.bytes, name.size, &inode, &attr);
    expect_rc(h, rc, entry ? 0 : -ENOENT, "lookup");
    if (!rc) {
        check_attr(h, entry->node, &attr);
        give(h, inode);
    }
    if (dir->nlink && dir != h->model.root) {
        rc = ns_parent(h->ns, parent, &inode);
        if (rc || ns_inode_ino(inode) != dir->parent->ino)
            broken(h, "the parent of %u: %d", dir->id, rc);
        give(h, inode);
    }
    give(h, parent);
}

static void do_hold(struct history *h)
{
    struct node *node = pick(h, is_any);
    if (node->held) {
        trace(h, "let go of %u\n", node->id);
        let_go(h, node);
        model_sweep(&h->model);
    } else if (node != h->model.root) {
        trace(h, "borrow %u\n", node->id);
        give(h, borrow(h, node));
    }
}

// Every option anew, at each opening: nothing that is in the store depends on those of an earlier
// one.
static void draw_options(struct history *h)
{
    static const unsigned inline_max[] = {2048, 2048, 0, 50, 300, 4096, 20000, 65536};
    static const size_t blob_min[] = {0, 0, 1, 4096, 65536};
    static const unsigned blooms[] = {0, 1, 10, 32};
    struct lsm_options *engine = &h->options.engine;
    h->options = ns_small_options(h->in_cluster ? h->cluster.env : h->env);
    h->options.inline_max = inline_max[below(h, 8)];
    h->options.cut_extents = one_in(h, 2) ? (unsigned)below(h, 4) : 1024;
    h->options.merge_delay_ms = one_in(h, 4) ? 0 : 2000;
    if (h->model.root) { // of a new store; now they change nothing
        h->options.root_uid = h->options.root_gid = 77;
        h->options.root_mode = 0700;
    }
    engine->wal_mode = one_in(h, 2) ? LSM_WAL_MAPPED : LSM_WAL_WRITTEN;
    if (h->in_cluster) // which cannot map
        engine->wal_mode = one_in(h, 2) ? LSM_WAL_AUTO : LSM_WAL_WRITTEN;
    engine->blob_min = one_in(h, 2) ? blob_min[below(h, 5)] : 1 + (size_t)below(h, 4000);
    engine->blob_file_size = one_in(h, 4) ? 4 << 10 : 64 << 10;
    engine->blob_compression = below(h, 3);
    engine->blob_garbage_ratio = 5 + (unsigned)below(h, 60);
    engine->compression = below(h, 3);
    engine->bottom_compression = below(h, 3);
    engine->checksums = below(h, 3);
    engine->block_size = 512u << below(h, 8);
    engine->restart_interval = 1u << below(h, 11);
    engine->bloom_bits_per_key = blooms[below(h, 4)];
    engine->block_cache_size = one_in(h, 3) ? 0 : 1 << 20;
    engine->map_budget = one_in(h, 2) ? 0 : 1 << 20;
    engine->write_buffer_size = one_in(h, 4) ? 1 << 20 : 64 << 10;
    engine->max_write_buffers = 2 + (unsigned)below(h, 3);
    engine->compaction_threads = 1 + (unsigned)below(h, 2);
    engine->level_ratio = 2 + (unsigned)below(h, 9);
    engine->sync_interval_ms = one_in(h, 4) ? 1 + (unsigned)below(h, 1000) : 0;
}

static void open_store(struct history *h)
{
    draw_options(h);
    const char *path = h->in_cluster ? CLUSTER_STORE_PATH : "/fs";
    int status = ns_open(path, &h->options, &h->ns);
    if (status)
        broken(h, "ns_open: %d %s", status, lsm_error_detail());
}

// Now; in a cluster perhaps at one of the next writes, which are those of the store's closing.
static void kill_process(struct history *h)
{
    if (!h->in_cluster)
        env_fault_kill(h->env);
    else if (one_in(h, 2))
        fake_process_kill(h->cluster.process);
    else
        fake_process_kill_at(h->cluster.process, 1 + below(h, 10));
}

static void do_reopen(struct history *h)
{
    bool killed = one_in(h, 2), held = one_in(h, 2);
    trace(h, "%s%s\n", killed ? "kill" : "reopen", held ? ", files held" : "");
    if (!held)
        let_all_go(h);
    if (killed)
        kill_process(h);
    for (struct node *node = h->model.nodes; node; node = node->next) {
        node->held = NULL; // gone with the store
        node->open = false;
    }
    model_sweep(&h->model);
    int status = ns_close(h->ns);
    if (status && !killed)
        broken(h, "ns_close: %d %s", status, lsm_error_detail());
    if (h->in_cluster && killed) {
        fake_process_kill(h->cluster.process);
        cluster_store_end(&h->cluster);
        cluster_store_start(&h->cluster);
    }
    open_store(h);
    if (one_in(h, 3))
        check_structure(h);
}

static void do_flush(struct history *h)
{
    bool compact = one_in(h, 3);
    trace(h, "%s\n", compact ? "compact" : "flush");
    int status = compact ? lsm_compact_range(ns_engine(h->ns), NULL, 0, NULL, 0)
                         : lsm_flush(ns_engine(h->ns));
    if (status)
        broken(h, "flush: %d %s", status, lsm_error_detail());
}

// ------------------------------------------------------------------------------- histories

static const struct {
    unsigned weight;
    void (*run)(struct history *);
} operations[] = {
    {24, do_create}, {8, do_link},      {14, do_remove},   {20, do_rename}, {6, do_move_and_return},
    {14, do_write},  {5, do_read},      {8, do_fallocate}, {6, do_copy},    {3, do_seek},
    {8, do_setattr}, {4, do_set_flags}, {6, do_getattr},   {6, do_xattr},   {8, do_lookup_missing},
    {8, do_hold},    {3, do_reopen},    {1, do_flush},
};

static void step(struct history *h)
{
    unsigned total = 0;
    for (size_t i = 0; i < sizeof operations / sizeof operations[0]; i++)
        total += operations[i].weight;
    unsigned at = (unsigned)below(h, total);
    size_t i = 0;
    while (at >= operations[i].weight)
        at -= operations[i++].weight;
    clock_gettime(CLOCK_REALTIME_COARSE, &h->now);
    operations[i].run(h);
}

static void start(struct history *h, uint64_t seed, bool in_cluster)
{
    h->seed = h->rng = seed;
    h->in_cluster = in_cluster;
    if (in_cluster)
        cluster_store_init(&h->cluster, seed);
    else
        h->env = env_fault_new();
    h->deep = one_in(h, 8);
    h->large = one_in(h, 8);
    h->flagged = one_in(h, 3);
    clock_gettime(CLOCK_REALTIME_COARSE, &h->now);
    open_store(h);
    h->model.root = model_node(&h->model, S_IFDIR | 0755);
    h->model.root->ino = NS_ROOT_INO;
    h->model.count = 1;
    pend(h, &h->model.root->atime);
    pend(h, &h->model.root->btime);
    pend_change(h, h->model.root);
}

static void run_history(uint64_t seed, bool in_cluster)
{
    struct history h = {0};
    start(&h, seed, in_cluster);
    unsigned steps = 30 + (unsigned)below(&h, 50);
    for (unsigned i = 0; i < steps; i++)
        step(&h);
    check_everything(&h);
    if (one_in(&h, 2))
        check_structure(&h);
    let_all_go(&h);
    if (one_in(&h, 2))
        check_structure(&h);
    if (ns_live_inodes(h.ns) != 1)
        broken(&h, "%" PRIu64 " live inodes are left", ns_live_inodes(h.ns));
    if (ns_close(h.ns))
        broken(&h, "ns_close: %s", lsm_error_detail());
    if (in_cluster)
        cluster_store_release(&h.cluster);
    else
        env_fault_free(h.env);
    model_release(&h.model);
    buf_release(&h.trace);
}

static char hanging[64];

static void tell_hanging(int signal)
{
    (void)!write(STDERR_FILENO, hanging, strlen(hanging));
    _exit(128 + signal);
}

// On a simulated disk (0), in a simulated cluster (1).
START_TEST(test_random_histories)
{
    uint64_t count = histories_from_env(getenv("LSMFS_LONG") ? 200000 : 10000);
    uint64_t first = test_seed("ns_model", 1);
    bool in_cluster = _i == 1;
    if (in_cluster && count > 1)
        count = count / CLUSTER_ONE_IN + 1;
    signal(SIGALRM, tell_hanging);
    for (uint64_t i = 0; i < count; i++) {
        snprintf(hanging, sizeof hanging, "hangs: LSM_SEED=%" PRIu64 "\n", first + i);
        alarm(HISTORY_S);
        run_history(first + i, in_cluster);
    }
    printf("ns_model: %" PRIu64 " histories%s\n", count, in_cluster ? " in a cluster" : "");
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("histories");
    tcase_add_loop_test(tc, test_random_histories, 0, 2);
    return run_case("namespace model", tc, 0);
}
