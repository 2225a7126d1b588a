// ls, tree, stat: what there is, without its content.
//
// Trees are walked without recursion, and names are shown as they come from the store, so memory
// does not grow with the size of a directory.
//
// Thread safety: one thread.
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "commands/command.h"
#include "commands/walk.h"

// ------------------------------------------------------------------------------- parts of lines

static void print_target(struct ctl *ctl, struct ns_inode *inode)
{
    char target[NS_SYMLINK_MAX];
    ssize_t size = ns_readlink(ctl->ns, inode, target, sizeof target);
    if (size >= 0)
        print_name(ctl->front, target, (size_t)size);
    else
        fprintf(ctl->out, "(%s)", strerror((int)-size));
}

static void print_time(struct ctl *ctl, const char *format, struct timespec time)
{
    ctl->front->ops->print_time(ctl->front, format, time.tv_sec);
}

static bool is_device(uint32_t mode)
{
    return S_ISCHR(mode) || S_ISBLK(mode);
}

// ------------------------------------------------------------------------------- ls

struct ls {
    struct ctl *ctl;
    bool is_long, with_ino;
    bool headers; // there is more than one directory to list
    bool printed; // something, so that a directory's header needs an empty line before it
};

static void print_attributes(struct ctl *ctl, const struct ns_attr *attr)
{
    struct front *front = ctl->front;
    char mode[11], device[32];
    mode_text(attr->mode, mode);
    fprintf(ctl->out, "%s %3" PRIu32 " ", mode, attr->nlink);
    front->ops->print_user(front, attr->uid, 8);
    putc(' ', ctl->out);
    front->ops->print_group(front, attr->gid, 8);
    putc(' ', ctl->out);
    snprintf(device, sizeof device, "%u, %u", major(attr->rdev), minor(attr->rdev));
    if (is_device(attr->mode))
        fprintf(ctl->out, "%12s ", device);
    else
        fprintf(ctl->out, "%12" PRIu64 " ", attr->size);
    print_time(ctl, "%Y-%m-%d %H:%M ", attr->mtime);
}

// Prints a line. `inode` and `attr` are needed only for a long one.
static void ls_line(struct ls *ls, const char *name, size_t name_size, uint64_t ino,
                    struct ns_inode *inode, const struct ns_attr *attr)
{
    struct ctl *ctl = ls->ctl;
    if (ls->with_ino)
        fprintf(ctl->out, "%10" PRIu64 " ", ino);
    if (ls->is_long)
        print_attributes(ctl, attr);
    print_name(ctl->front, name, name_size);
    if (ls->is_long && S_ISLNK(attr->mode)) {
        fputs(" -> ", ctl->out);
        print_target(ctl, inode);
    }
    putc('\n', ctl->out);
    ls->printed = true;
    progress_add(ctl->front, 1);
}

static int ls_directory(struct ls *ls, struct ns_inode *dir, const char *path)
{
    struct ctl *ctl = ls->ctl;
    struct dir_reader *reader;
    int rc = dir_reader_new(ctl->ns, dir, ls->is_long, &reader);
    if (rc)
        return rc;
    if (ls->headers) {
        if (ls->printed)
            putc('\n', ctl->out);
        print_name(ctl->front, path, strlen(path));
        fputs(":\n", ctl->out);
        ls->printed = true;
    }
    const struct dir_entry *entry;
    while (!is_cancelled(ctl->front) && (rc = dir_reader_next(reader, &entry)) == 0)
        ls_line(ls, entry->name, entry->name_size, entry->ino, entry->inode, &entry->attr);
    dir_reader_free(reader);
    return rc < 0 ? rc : 0;
}

// Lists an entry that is a directory, and goes down into it.
static int ls_down(void *arg, struct walk *walk, const struct dir_entry *entry)
{
    struct ls *ls = arg;
    struct ns_inode *dir;
    if (entry->type != S_IFDIR)
        return 0;
    int rc = ns_lookup(walk->ns, walk_top(walk)->dir, entry->name, entry->name_size, &dir, NULL);
    if (rc)
        return rc;
    rc = ls_directory(ls, dir, walk_path(walk, entry->name, entry->name_size));
    if (!rc)
        rc = walk_enter(walk, dir, entry->name, entry->name_size);
    ns_inode_put(walk->ns, dir, 1);
    return rc;
}

static enum exit_status ls_path(struct ctl *ctl, struct ls *ls, const char *path)
{
    enum exit_status status = EXIT_OK;
    struct ns_inode *inode;
    struct ns_attr attr;
    int rc = ns_resolve(ctl->ns, path, &inode, &attr);
    if (rc)
        return path_failed(ctl, path, rc);
    if (!S_ISDIR(attr.mode) || ctl_has(ctl, 'd')) {
        ls_line(ls, path, strlen(path), attr.ino, inode, &attr);
    } else {
        rc = ls_directory(ls, inode, path);
        if (rc)
            status = path_failed(ctl, path, rc);
        else if (ctl_has(ctl, 'R'))
            status = walk_tree(ctl, inode, path, &(struct walk_steps){.visit = ls_down}, ls);
    }
    ns_inode_put(ctl->ns, inode, 1);
    return status;
}

enum exit_status command_ls(struct ctl *ctl)
{
    enum exit_status status = EXIT_OK;
    if (!tree_open(ctl, OPEN_READ))
        return EXIT_FAILED;
    progress_unit(ctl->front, PROGRESS_NAMES);
    struct ls ls = {.ctl = ctl,
                    .is_long = ctl_has(ctl, 'l'),
                    .with_ino = ctl_has(ctl, 'i'),
                    .headers = ctl_has(ctl, 'R') || ctl->arg_count > 1};
    if (ctl->arg_count == 0)
        status = ls_path(ctl, &ls, "/");
    for (int i = 0; i < ctl->arg_count; i++)
        if (ls_path(ctl, &ls, *ctl->args[i] ? ctl->args[i] : "/") != EXIT_OK)
            status = EXIT_FAILED;
    return ctl_store_close(ctl, status);
}

// ------------------------------------------------------------------------------- tree

struct tree {
    struct ctl *ctl;
    struct buf indent; // of the deepest level's entries
    uint64_t directories, files;
    uint64_t depth; // levels at most
};

static const char bar[] = "│   ", blank[] = "    ";
static_assert(sizeof bar > sizeof blank, "indent_cut() tells them apart");

// The indent of a level is that of the one above and a bar or a blank, which differ in bytes.
static void indent_cut(struct buf *indent)
{
    size_t n = sizeof bar - 1;
    if (indent->size >= n && memcmp(indent->data + indent->size - n, bar, n) == 0)
        indent->size -= n;
    else
        indent->size -= sizeof blank - 1;
    assert(indent->size < indent->capacity); // a level had been added
}

static int tree_line(struct tree *tree, struct ns_inode *dir, const struct dir_entry *entry,
                     bool is_last)
{
    struct ctl *ctl = tree->ctl;
    struct ns *ns = ctl->ns;
    struct ns_inode *inode;
    if (tree->indent.size)
        fwrite(tree->indent.data, 1, tree->indent.size, ctl->out);
    fputs(is_last ? "└── " : "├── ", ctl->out);
    print_name(ctl->front, entry->name, entry->name_size);
    progress_add(ctl->front, 1);
    if (entry->type == S_IFLNK) {
        int rc = ns_lookup(ns, dir, entry->name, entry->name_size, &inode, NULL);
        if (rc) {
            putc('\n', ctl->out);
            return rc;
        }
        fputs(" -> ", ctl->out);
        print_target(ctl, inode);
        ns_inode_put(ns, inode, 1);
    }
    putc('\n', ctl->out);
    return 0;
}

static int tree_down(struct tree *tree, struct walk *walk, const struct dir_entry *entry,
                     bool is_last)
{
    struct ns_inode *dir;
    int rc = ns_lookup(walk->ns, walk_top(walk)->dir, entry->name, entry->name_size, &dir, NULL);
    if (rc)
        return rc;
    if (buf_append(&tree->indent, is_last ? blank : bar, strlen(is_last ? blank : bar)))
        rc = -ENOMEM;
    if (!rc) {
        rc = walk_enter(walk, dir, entry->name, entry->name_size);
        if (rc)
            indent_cut(&tree->indent);
    }
    ns_inode_put(walk->ns, dir, 1);
    return rc;
}

static int tree_visit(void *arg, struct walk *walk, const struct dir_entry *entry)
{
    struct tree *tree = arg;
    // A failure to read on is met again at the next step.
    bool is_last = dir_reader_more(walk_top(walk)->reader) != 0;
    int rc = tree_line(tree, walk_top(walk)->dir, entry, is_last);
    if (entry->type != S_IFDIR) {
        tree->files++;
        return rc;
    }
    tree->directories++;
    return rc || walk->depth >= tree->depth ? rc : tree_down(tree, walk, entry, is_last);
}

static int tree_up(void *arg, struct walk *walk)
{
    struct tree *tree = arg;
    if (walk->depth > 1)
        indent_cut(&tree->indent);
    return 0;
}

static enum exit_status tree_show(struct tree *tree, struct ns_inode *root, const char *path)
{
    static const struct walk_steps steps = {tree_visit, tree_up};
    struct ctl *ctl = tree->ctl;
    print_name(ctl->front, path, strlen(path));
    putc('\n', ctl->out);
    enum exit_status status = tree->depth ? walk_tree(ctl, root, path, &steps, tree) : EXIT_OK;
    fprintf(ctl->out, "\n%" PRIu64 " director%s, %" PRIu64 " file%s\n", tree->directories,
            tree->directories == 1 ? "y" : "ies", tree->files, tree->files == 1 ? "" : "s");
    return status;
}

enum exit_status command_tree(struct ctl *ctl)
{
    const char *path = ctl->arg_count && *ctl->args[0] ? ctl->args[0] : "/";
    struct tree tree = {.ctl = ctl, .depth = UINT64_MAX};
    struct ns_inode *inode;
    if (!ctl_number(ctl, 'L', 10, UINT32_MAX, &tree.depth))
        return EXIT_USAGE;
    if (!tree_open(ctl, OPEN_READ))
        return EXIT_FAILED;
    progress_unit(ctl->front, PROGRESS_NAMES);
    enum exit_status status;
    int rc = ns_resolve(ctl->ns, path, &inode, NULL);
    if (rc) {
        status = path_failed(ctl, path, rc);
    } else {
        status = tree_show(&tree, inode, path);
        ns_inode_put(ctl->ns, inode, 1);
    }
    buf_release(&tree.indent);
    return ctl_store_close(ctl, status);
}

// ------------------------------------------------------------------------------- stat

static void stat_label(struct ctl *ctl, const char *label)
{
    fprintf(ctl->out, "%7s  ", label);
}

static void stat_time(struct ctl *ctl, const char *label, struct timespec time)
{
    stat_label(ctl, label);
    print_time(ctl, "%Y-%m-%d %H:%M:%S", time);
    fprintf(ctl->out, ".%09ld", time.tv_nsec);
    print_time(ctl, " %z\n", time);
}

static int stat_xattrs(struct ctl *ctl, struct ns_inode *inode)
{
    struct ns *ns = ctl->ns;
    ssize_t size = ns_listxattr(ns, inode, NULL, 0);
    if (size <= 0)
        return (int)size;
    char *list = malloc((size_t)size);
    if (!list)
        return -ENOMEM;
    size = ns_listxattr(ns, inode, list, (size_t)size);
    for (const char *name = list; size > 0 && name < list + size; name += strlen(name) + 1) {
        stat_label(ctl, "Xattr");
        print_name(ctl->front, name, strlen(name));
        putc('\n', ctl->out);
    }
    free(list);
    return size < 0 ? (int)size : 0;
}

static void stat_print(struct ctl *ctl, const char *path, struct ns_inode *inode,
                       const struct ns_attr *attr)
{
    struct front *front = ctl->front;
    char mode[11];
    mode_text(attr->mode, mode);
    stat_label(ctl, "Path");
    print_name(ctl->front, path, strlen(path));
    putc('\n', ctl->out);
    stat_label(ctl, "Type");
    fprintf(ctl->out, "%s\n", type_text(attr->mode));
    if (S_ISLNK(attr->mode)) {
        stat_label(ctl, "Target");
        print_target(ctl, inode);
        putc('\n', ctl->out);
    }
    if (is_device(attr->mode)) {
        stat_label(ctl, "Device");
        fprintf(ctl->out, "%u, %u\n", major(attr->rdev), minor(attr->rdev));
    }
    stat_label(ctl, "Mode");
    fprintf(ctl->out, "%04" PRIo32 " (%s)\n", attr->mode & 07777, mode);
    stat_label(ctl, "Links");
    fprintf(ctl->out, "%" PRIu32 "\n", attr->nlink);
    stat_label(ctl, "Owner");
    fprintf(ctl->out, "%" PRIu32 " (", attr->uid);
    front->ops->print_user(front, attr->uid, 0);
    fputs(")\n", ctl->out);
    stat_label(ctl, "Group");
    fprintf(ctl->out, "%" PRIu32 " (", attr->gid);
    front->ops->print_group(front, attr->gid, 0);
    fputs(")\n", ctl->out);
    stat_label(ctl, "Size");
    fprintf(ctl->out, "%" PRIu64 "\n", attr->size);
    stat_label(ctl, "Blocks");
    fprintf(ctl->out, "%" PRIu64 "\n", attr->blocks);
    stat_label(ctl, "Inode");
    fprintf(ctl->out, "%" PRIu64 "\n", attr->ino);
    stat_time(ctl, "Access", attr->atime);
    stat_time(ctl, "Modify", attr->mtime);
    stat_time(ctl, "Change", attr->ctime);
    stat_time(ctl, "Birth", attr->btime);
}

static enum exit_status stat_path(struct ctl *ctl, const char *path)
{
    struct ns_inode *inode;
    struct ns_attr attr;
    int rc = ns_resolve(ctl->ns, path, &inode, &attr);
    if (rc)
        return path_failed(ctl, path, rc);
    if (path != ctl->args[0])
        putc('\n', ctl->out);
    stat_print(ctl, path, inode, &attr);
    rc = stat_xattrs(ctl, inode);
    ns_inode_put(ctl->ns, inode, 1);
    return rc ? path_failed(ctl, path, rc) : EXIT_OK;
}

enum exit_status command_stat(struct ctl *ctl)
{
    if (!tree_open(ctl, OPEN_READ))
        return EXIT_FAILED;
    return ctl_store_close(ctl, for_each_path(ctl, stat_path));
}
