// get and put: content, in pieces of PIECE bytes, whatever the size of the file.
//
// put reads the first piece before it opens the store: a source that cannot be read changes
// nothing, and the end of a pipe may come from a process that has the store open itself. A new file
// that cannot be stored completely is removed again, also after a signal.
//
// Thread safety: one thread.
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands/command.h"

#define PIECE (1u << 20)

// -EISDIR or -EINVAL for what has no content.
static int check_regular(uint32_t mode)
{
    return S_ISREG(mode) ? 0 : S_ISDIR(mode) ? -EISDIR : -EINVAL;
}

static enum exit_status content_failed(struct ctl *ctl, const char *path, uint32_t mode, int rc)
{
    if (rc != -EINVAL)
        return path_failed(ctl, path, rc);
    complain(ctl, "%s: Not a regular file but a %s", path, type_text(mode));
    return EXIT_FAILED;
}

// ------------------------------------------------------------------------------- get

static enum exit_status sink_failed(struct ctl *ctl, int rc)
{
    const char *file = ctl->options['o'];
    complain(ctl, "%s: %s", file ? file : "standard output", strerror(-rc));
    return EXIT_FAILED;
}

// Writes the content out. `ready`: bytes of the file that are in the piece already.
static enum exit_status copy_out(struct ctl *ctl, uint8_t *piece, const char *path,
                                 struct ns_inode *inode, uint64_t size, size_t ready)
{
    struct front *front = ctl->front;
    int rc = front->ops->sink_write(front, piece, ready);
    uint64_t offset = 0;
    while (!rc && ready) {
        offset += ready;
        progress_add(front, ready);
        if (offset >= size || is_cancelled(front))
            break;
        ssize_t n = ns_read(ctl->ns, inode, piece, PIECE, offset);
        if (n < 0)
            return path_failed(ctl, path, (int)n);
        ready = (size_t)n;
        assert(ready <= PIECE);
        if (ready)
            rc = front->ops->sink_write(front, piece, ready);
    }
    return rc ? sink_failed(ctl, rc) : EXIT_OK;
}

// The get that finds a short file brings its content too.
static enum exit_status get_path(struct ctl *ctl, uint8_t *piece, const char *path)
{
    struct ns_inode *inode;
    struct ns_attr attr;
    ssize_t ready = ns_resolve_read(ctl->ns, path, piece, PIECE, &inode, &attr);
    if (ready < 0)
        return path_failed(ctl, path, (int)ready);
    int rc = check_regular(attr.mode);
    enum exit_status status = rc ? content_failed(ctl, path, attr.mode, rc)
                                 : copy_out(ctl, piece, path, inode, attr.size, (size_t)ready);
    ns_inode_put(ctl->ns, inode, 1);
    return status;
}

enum exit_status command_get(struct ctl *ctl)
{
    struct front *front = ctl->front;
    enum exit_status status = EXIT_OK;
    if (!tree_open(ctl, OPEN_READ))
        return EXIT_FAILED;
    uint8_t *piece = malloc(PIECE);
    if (!piece) {
        complain(ctl, "out of memory");
        return ctl_store_close(ctl, EXIT_FAILED);
    }
    for (int i = 0; i < ctl->arg_count && !is_cancelled(front); i++)
        if (get_path(ctl, piece, ctl->args[i]) != EXIT_OK)
            status = EXIT_FAILED;
    int rc = front->ops->sink_close(front);
    if (rc)
        status = sink_failed(ctl, rc);
    free(piece);
    return ctl_store_close(ctl, status);
}

// ------------------------------------------------------------------------------- put

struct put_source {
    const char *name;
    uint8_t *piece;
    size_t size; // bytes in the piece; less than PIECE: nothing comes after these
};

static int put_source_fill(struct ctl *ctl, struct put_source *source)
{
    ssize_t n = ctl->front->ops->source_read(ctl->front, source->piece, PIECE);
    source->size = n < 0 ? 0 : (size_t)n;
    assert(source->size <= PIECE);
    return n < 0 ? (int)n : 0;
}

static enum exit_status put_source_failed(struct ctl *ctl, const struct put_source *source, int rc)
{
    complain(ctl, "%s: %s", source->name, rc == -EINTR ? "Interrupted" : strerror(-rc));
    return EXIT_FAILED;
}

struct put_target {
    const char *path;
    struct path_name name;
    struct ns_inode *dir; // a reference, as `inode`; NULL: not found
    struct ns_inode *inode;
    uint32_t mode; // type of what was there
    bool created;
};

// Makes a file empty that the kernel knows of, in this order: it writes out what it has of the
// file, and forgets it; the file is cut; the kernel forgets it again, in case it came back in
// between.
static int cut_live(struct ctl *ctl, struct put_target *target, const struct ns_attr *attr)
{
    struct live *live = ctl->live;
    const struct path_name *name = &target->name;
    struct front *front = ctl->front;
    int rc = 0;
    if (!live->content_begin(live, target->dir, name->name, name->name_size, target->inode))
        rc = front->ops->truncate_mounted(front, target->path);
    if (!rc)
        rc = ns_setattr(ctl->ns, target->inode, attr, NS_SET_SIZE, NULL);
    if (!rc && !live->content_begin(live, target->dir, name->name, name->name_size, target->inode))
        rc = front->ops->truncate_mounted(front, target->path);
    return rc;
}

// Opens what is there, made empty, or creates it.
static int put_target_open(struct ctl *ctl, struct put_target *target, const struct ns_cred *cred,
                           uint32_t mode)
{
    struct ns_attr attr = {0};
    const struct path_name *name = &target->name;
    int rc = ns_resolve(ctl->ns, target->path, &target->inode, &attr);
    if (!rc) {
        target->mode = attr.mode;
        rc = check_regular(attr.mode);
        attr.size = 0;
        if (!rc)
            rc = ns_resolve(ctl->ns, name->parent, &target->dir, NULL);
        if (rc)
            return rc;
        return ctl->live ? cut_live(ctl, target, &attr)
                         : ns_setattr(ctl->ns, target->inode, &attr, NS_SET_SIZE, NULL);
    }
    if (rc != -ENOENT)
        return rc;
    rc = ns_resolve(ctl->ns, name->parent, &target->dir, NULL);
    if (!rc && name->slash)
        rc = -EISDIR;
    if (!rc)
        rc = ns_mknod(ctl->ns, cred, target->dir, name->name, name->name_size, S_IFREG | mode, 0,
                      &target->inode, NULL);
    if (!rc) {
        target->created = true;
        ctl_name_changed(ctl, target->dir, name->name, name->name_size);
    }
    return rc;
}

static enum exit_status copy_in(struct ctl *ctl, struct put_source *source,
                                struct put_target *target)
{
    uint64_t offset = 0;
    for (bool more = true; more && source->size;) {
        ssize_t n = ns_write(ctl->ns, target->inode, source->piece, source->size, offset, 0, NULL);
        if (n < 0)
            return path_failed(ctl, target->path, (int)n);
        offset += source->size;
        progress_add(ctl->front, source->size);
        more = source->size == PIECE;
        int rc = more ? put_source_fill(ctl, source) : 0;
        if (rc)
            return put_source_failed(ctl, source, rc);
    }
    return EXIT_OK;
}

static enum exit_status store(struct ctl *ctl, struct put_source *source, struct put_target *target,
                              const struct ns_cred *cred, uint32_t mode)
{
    struct ns *ns = ctl->ns;
    const struct path_name *name = &target->name;
    int rc = put_target_open(ctl, target, cred, mode);
    enum exit_status status =
        rc ? content_failed(ctl, target->path, target->mode, rc) : copy_in(ctl, source, target);
    if (!rc && ctl->live)
        ctl->live->content_end(ctl->live, target->dir, name->name, name->name_size, target->inode);
    if (target->created && status != EXIT_OK) {
        rc = ns_unlink(ns, target->dir, name->name, name->name_size);
        if (rc)
            path_failed(ctl, target->path, rc);
        else
            ctl_name_changed(ctl, target->dir, name->name, name->name_size);
    }
    if (target->inode)
        ns_inode_put(ns, target->inode, 1);
    if (target->dir)
        ns_inode_put(ns, target->dir, 1);
    return status;
}

static enum exit_status put_source(struct ctl *ctl, struct put_source *source,
                                   const struct ns_cred *cred, uint32_t mode)
{
    struct put_target target = {.path = ctl->args[0]};
    int rc = path_name_init(&target.name, target.path);
    if (rc)
        return path_failed(ctl, target.path, rc);
    enum exit_status status = EXIT_FAILED;
    if (tree_open(ctl, ctl_has(ctl, 'c') ? OPEN_CREATE : OPEN_WRITE)) {
        ctl->front->ops->hold_signals(ctl->front);
        status = ctl_store_close(ctl, store(ctl, source, &target, cred, mode));
    }
    path_name_release(&target.name);
    return status;
}

enum exit_status command_put(struct ctl *ctl)
{
    const char *file = ctl->arg_count > 1 ? ctl->args[1] : "-";
    struct put_source source = {.name = strcmp(file, "-") == 0 ? "standard input" : file};
    uint64_t mode = 0666;
    if (!ctl_number(ctl, 'm', 8, 07777, &mode))
        return EXIT_USAGE;
    struct ns_cred cred = ctl->front->cred;
    if (ctl_has(ctl, 'm'))
        cred.umask = 0;
    source.piece = malloc(PIECE);
    int rc = source.piece ? put_source_fill(ctl, &source) : -ENOMEM;
    enum exit_status status =
        rc ? put_source_failed(ctl, &source, rc) : put_source(ctl, &source, &cred, (uint32_t)mode);
    free(source.piece);
    return status;
}
