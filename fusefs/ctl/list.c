// ls, tree, stat: what there is, without its content.
//
// Trees are walked without recursion, and names are shown as they come from the store, so memory
// does not grow with the size of a directory.
//
// Thread safety: one thread.
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "ctl/ctl.h"
#include "ctl/output.h"
#include "ctl/walk.h"

// ------------------------------------------------------------------------------- parts of lines

static void print_target(struct ns *ns, struct ns_inode *inode)
{
    char target[NS_SYMLINK_MAX];
    ssize_t size = ns_readlink(ns, inode, target, sizeof target);
    if (size >= 0)
        print_name(stdout, target, (size_t)size);
    else
        printf("(%s)", strerror((int)-size));
}

static void print_time(const char *format, struct timespec time)
{
    char text[64];
    struct tm tm;
    if (localtime_r(&time.tv_sec, &tm) && strftime(text, sizeof text, format, &tm))
        fputs(text, stdout);
    else
        printf("%lld", (long long)time.tv_sec);
}

static bool is_device(uint32_t mode)
{
    return S_ISCHR(mode) || S_ISBLK(mode);
}

// ------------------------------------------------------------------------------- ls

struct ls {
    struct ns *ns;
    bool is_long, with_ino;
    bool headers; // there is more than one directory to list
    bool printed; // something, so that a directory's header needs an empty line before it
};

static void print_attributes(const struct ns_attr *attr)
{
    char mode[11], device[32];
    mode_text(attr->mode, mode);
    printf("%s %3" PRIu32 " %-8s ", mode, attr->nlink, user_text(attr->uid));
    printf("%-8s ", group_text(attr->gid));
    snprintf(device, sizeof device, "%u, %u", major(attr->rdev), minor(attr->rdev));
    if (is_device(attr->mode))
        printf("%12s ", device);
    else
        printf("%12" PRIu64 " ", attr->size);
    print_time("%Y-%m-%d %H:%M ", attr->mtime);
}

// `inode` and `attr` are needed only for a long line.
static void ls_line(struct ls *ls, const char *name, size_t name_size, uint64_t ino,
                    struct ns_inode *inode, const struct ns_attr *attr)
{
    if (ls->with_ino)
        printf("%10" PRIu64 " ", ino);
    if (ls->is_long)
        print_attributes(attr);
    print_name(stdout, name, name_size);
    if (ls->is_long && S_ISLNK(attr->mode)) {
        fputs(" -> ", stdout);
        print_target(ls->ns, inode);
    }
    putchar('\n');
    ls->printed = true;
    progress_add(1);
}

static int ls_directory(struct ls *ls, struct ns_inode *dir, const char *path)
{
    struct listing *listing;
    int rc = listing_new(ls->ns, dir, ls->is_long, &listing);
    if (rc)
        return rc;
    if (ls->headers) {
        if (ls->printed)
            putchar('\n');
        print_name(stdout, path, strlen(path));
        fputs(":\n", stdout);
        ls->printed = true;
    }
    const struct entry *entry;
    while ((rc = listing_next(listing, &entry)) == 0)
        ls_line(ls, entry->name, entry->name_size, entry->ino, entry->inode, &entry->attr);
    listing_free(listing);
    return rc < 0 ? rc : 0;
}

// Lists the subdirectory `entry` of where the walk is, and goes down into it.
static int ls_down(struct ls *ls, struct walk *walk, const struct entry *entry)
{
    struct ns_inode *dir;
    int rc = ns_lookup(ls->ns, walk_top(walk)->dir, entry->name, entry->name_size, &dir, NULL);
    if (rc)
        return rc;
    rc = ls_directory(ls, dir, walk_path(walk, entry->name, entry->name_size));
    if (!rc)
        rc = walk_enter(walk, dir, entry->name, entry->name_size);
    ns_inode_put(ls->ns, dir, 1);
    return rc;
}

// All that is below `dir`, which has been listed itself.
static enum exit_status ls_below(struct ls *ls, struct ns_inode *dir, const char *path)
{
    enum exit_status status = EXIT_OK;
    struct walk walk;
    walk_init(&walk, ls->ns);
    int rc = walk_enter(&walk, dir, path, strlen(path));
    if (rc)
        status = path_failed(path, rc);
    while (walk.depth) {
        const struct entry *entry;
        rc = listing_next(walk_top(&walk)->listing, &entry);
        if (rc < 0)
            status = path_failed(walk_path(&walk, "", 0), rc);
        if (rc) {
            walk_leave(&walk);
            continue;
        }
        if (entry->type != S_IFDIR)
            continue;
        rc = ls_down(ls, &walk, entry);
        if (rc)
            status = path_failed(walk_path(&walk, entry->name, entry->name_size), rc);
    }
    walk_release(&walk);
    return status;
}

static enum exit_status ls_path(struct ctl *ctl, struct ls *ls, const char *path)
{
    enum exit_status status = EXIT_OK;
    struct ns_inode *inode;
    struct ns_attr attr;
    int rc = ns_resolve(ctl->ns, path, &inode, &attr);
    if (rc)
        return path_failed(path, rc);
    if (!S_ISDIR(attr.mode) || ctl_has(ctl, 'd')) {
        ls_line(ls, path, strlen(path), attr.ino, inode, &attr);
    } else {
        rc = ls_directory(ls, inode, path);
        if (rc)
            status = path_failed(path, rc);
        else if (ctl_has(ctl, 'R'))
            status = ls_below(ls, inode, path);
    }
    ns_inode_put(ctl->ns, inode, 1);
    return status;
}

enum exit_status command_ls(struct ctl *ctl)
{
    enum exit_status status = EXIT_OK;
    if (!tree_open(ctl, OPEN_READ))
        return EXIT_FAILED;
    progress_unit(PROGRESS_NAMES);
    struct ls ls = {.ns = ctl->ns,
                    .is_long = ctl_has(ctl, 'l'),
                    .with_ino = ctl_has(ctl, 'i'),
                    .headers = ctl_has(ctl, 'R') || ctl->arg_count > 1};
    if (ctl->arg_count == 0)
        status = ls_path(ctl, &ls, "/");
    for (int i = 0; i < ctl->arg_count; i++)
        if (ls_path(ctl, &ls, *ctl->args[i] ? ctl->args[i] : "/") != EXIT_OK)
            status = EXIT_FAILED;
    return store_close(ctl, status);
}

// ------------------------------------------------------------------------------- tree

struct tree {
    struct walk walk;
    struct buf indent; // of the deepest level's entries
    uint64_t directories, files;
    uint64_t depth; // most levels
};

static const char bar[] = "│   ", blank[] = "    ";

// The indent of a level is that of the one above and a bar or a blank, which differ in bytes.
static void indent_cut(struct buf *indent)
{
    size_t n = sizeof bar - 1;
    if (indent->size >= n && memcmp(indent->data + indent->size - n, bar, n) == 0)
        indent->size -= n;
    else
        indent->size -= sizeof blank - 1;
}

static int tree_line(struct tree *tree, const struct entry *entry, bool is_last)
{
    struct ns *ns = tree->walk.ns;
    struct ns_inode *dir = walk_top(&tree->walk)->dir, *inode;
    if (tree->indent.size)
        fwrite(tree->indent.data, 1, tree->indent.size, stdout);
    fputs(is_last ? "└── " : "├── ", stdout);
    print_name(stdout, entry->name, entry->name_size);
    progress_add(1);
    if (entry->type == S_IFLNK) {
        int rc = ns_lookup(ns, dir, entry->name, entry->name_size, &inode, NULL);
        if (rc) {
            putchar('\n');
            return rc;
        }
        fputs(" -> ", stdout);
        print_target(ns, inode);
        ns_inode_put(ns, inode, 1);
    }
    putchar('\n');
    return 0;
}

static int tree_down(struct tree *tree, const struct entry *entry, bool is_last)
{
    struct ns *ns = tree->walk.ns;
    struct ns_inode *dir;
    int rc = ns_lookup(ns, walk_top(&tree->walk)->dir, entry->name, entry->name_size, &dir, NULL);
    if (rc)
        return rc;
    if (buf_append(&tree->indent, is_last ? blank : bar, strlen(is_last ? blank : bar)))
        rc = -ENOMEM;
    if (!rc) {
        rc = walk_enter(&tree->walk, dir, entry->name, entry->name_size);
        if (rc)
            indent_cut(&tree->indent);
    }
    ns_inode_put(ns, dir, 1);
    return rc;
}

// One step of the walk: a line, or back up.
static int tree_step(struct tree *tree)
{
    struct walk *walk = &tree->walk;
    struct listing *listing = walk_top(walk)->listing;
    const struct entry *next;
    int rc = listing_next(listing, &next);
    if (rc) {
        walk_leave(walk);
        if (walk->depth)
            indent_cut(&tree->indent);
        return rc < 0 ? rc : 0;
    }
    struct entry entry = *next;
    entry.inode = NULL;
    bool is_last = listing_more(listing) != 0; // a failure shows at the next step
    rc = tree_line(tree, &entry, is_last);
    if (entry.type != S_IFDIR) {
        tree->files++;
        return rc;
    }
    tree->directories++;
    return rc || walk->depth >= tree->depth ? rc : tree_down(tree, &entry, is_last);
}

static enum exit_status tree_show(struct tree *tree, struct ns_inode *root, const char *path)
{
    enum exit_status status = EXIT_OK;
    print_name(stdout, path, strlen(path));
    putchar('\n');
    int rc = tree->depth ? walk_enter(&tree->walk, root, path, strlen(path)) : 0;
    if (rc)
        return path_failed(path, rc);
    while (tree->walk.depth) {
        rc = tree_step(tree);
        if (rc)
            status = path_failed(tree->walk.depth ? walk_path(&tree->walk, "", 0) : path, rc);
    }
    printf("\n%" PRIu64 " director%s, %" PRIu64 " file%s\n", tree->directories,
           tree->directories == 1 ? "y" : "ies", tree->files, tree->files == 1 ? "" : "s");
    return status;
}

enum exit_status command_tree(struct ctl *ctl)
{
    const char *path = ctl->arg_count && *ctl->args[0] ? ctl->args[0] : "/";
    struct tree tree = {.depth = UINT64_MAX};
    struct ns_inode *inode;
    if (!ctl_number(ctl, 'L', 10, UINT32_MAX, &tree.depth))
        return EXIT_USAGE;
    if (!tree_open(ctl, OPEN_READ))
        return EXIT_FAILED;
    progress_unit(PROGRESS_NAMES);
    walk_init(&tree.walk, ctl->ns);
    enum exit_status status;
    int rc = ns_resolve(ctl->ns, path, &inode, NULL);
    if (rc) {
        status = path_failed(path, rc);
    } else {
        status = tree_show(&tree, inode, path);
        ns_inode_put(ctl->ns, inode, 1);
    }
    walk_release(&tree.walk);
    buf_release(&tree.indent);
    return store_close(ctl, status);
}

// ------------------------------------------------------------------------------- stat

static void stat_label(const char *label)
{
    printf("%7s  ", label);
}

static void stat_time(const char *label, struct timespec time)
{
    stat_label(label);
    print_time("%Y-%m-%d %H:%M:%S", time);
    printf(".%09ld", time.tv_nsec);
    print_time(" %z\n", time);
}

static int stat_xattrs(struct ns *ns, struct ns_inode *inode)
{
    ssize_t size = ns_listxattr(ns, inode, NULL, 0);
    if (size <= 0)
        return (int)size;
    char *list = malloc((size_t)size);
    if (!list)
        return -ENOMEM;
    size = ns_listxattr(ns, inode, list, (size_t)size);
    for (const char *name = list; size > 0 && name < list + size; name += strlen(name) + 1) {
        stat_label("Xattr");
        print_name(stdout, name, strlen(name));
        putchar('\n');
    }
    free(list);
    return size < 0 ? (int)size : 0;
}

static void stat_print(struct ns *ns, const char *path, struct ns_inode *inode,
                       const struct ns_attr *attr)
{
    char mode[11];
    mode_text(attr->mode, mode);
    stat_label("Path");
    print_name(stdout, path, strlen(path));
    putchar('\n');
    stat_label("Type");
    puts(type_text(attr->mode));
    if (S_ISLNK(attr->mode)) {
        stat_label("Target");
        print_target(ns, inode);
        putchar('\n');
    }
    if (is_device(attr->mode)) {
        stat_label("Device");
        printf("%u, %u\n", major(attr->rdev), minor(attr->rdev));
    }
    stat_label("Mode");
    printf("%04" PRIo32 " (%s)\n", attr->mode & 07777, mode);
    stat_label("Links");
    printf("%" PRIu32 "\n", attr->nlink);
    stat_label("Owner");
    printf("%" PRIu32 " (%s)\n", attr->uid, user_text(attr->uid));
    stat_label("Group");
    printf("%" PRIu32 " (%s)\n", attr->gid, group_text(attr->gid));
    stat_label("Size");
    printf("%" PRIu64 "\n", attr->size);
    stat_label("Blocks");
    printf("%" PRIu64 "\n", attr->blocks);
    stat_label("Inode");
    printf("%" PRIu64 "\n", attr->ino);
    stat_time("Access", attr->atime);
    stat_time("Modify", attr->mtime);
    stat_time("Change", attr->ctime);
    stat_time("Birth", attr->btime);
}

static enum exit_status stat_path(struct ctl *ctl, const char *path)
{
    struct ns_inode *inode;
    struct ns_attr attr;
    int rc = ns_resolve(ctl->ns, path, &inode, &attr);
    if (rc)
        return path_failed(path, rc);
    if (path != ctl->args[0])
        putchar('\n');
    stat_print(ctl->ns, path, inode, &attr);
    rc = stat_xattrs(ctl->ns, inode);
    ns_inode_put(ctl->ns, inode, 1);
    return rc ? path_failed(path, rc) : EXIT_OK;
}

enum exit_status command_stat(struct ctl *ctl)
{
    if (!tree_open(ctl, OPEN_READ))
        return EXIT_FAILED;
    return store_close(ctl, for_each_path(ctl, stat_path));
}
