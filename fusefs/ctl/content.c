// get and put: content, in pieces of PIECE bytes, whatever the size of the file.
//
// put reads the first piece before it opens the store: a source that cannot be read changes
// nothing, and the end of a pipe may come from a process that has the store open itself. A new file
// that cannot be stored completely is removed again, also after a signal.
//
// Thread safety: one thread.
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/ctl.h"
#include "ctl/output.h"

#define PIECE (1u << 20)

// -EISDIR or -EINVAL for what has no content.
static int check_regular(uint32_t mode)
{
    return S_ISREG(mode) ? 0 : S_ISDIR(mode) ? -EISDIR : -EINVAL;
}

static enum exit_status content_failed(const char *path, uint32_t mode, int rc)
{
    if (rc != -EINVAL)
        return path_failed(path, rc);
    complain("%s: Not a regular file but a %s", path, type_text(mode));
    return EXIT_FAILED;
}

// ------------------------------------------------------------------------------- get

struct sink {
    const char *file; // NULL: standard output
    int fd;           // -1: the file is opened with the first byte that is due
    uint8_t *piece;
};

static int sink_open(struct sink *sink)
{
    if (sink->fd >= 0)
        return 0;
    sink->fd = open(sink->file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    return sink->fd < 0 ? -errno : 0;
}

static int sink_write(struct sink *sink, const uint8_t *data, size_t size)
{
    while (size) {
        ssize_t n = write(sink->fd, data, size);
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n > 0) {
            data += n;
            size -= (size_t)n;
        }
    }
    return 0;
}

static enum exit_status sink_failed(const struct sink *sink, int rc)
{
    complain("%s: %s", sink->file ? sink->file : "standard output", strerror(-rc));
    return EXIT_FAILED;
}

// `ready`: bytes of the file that are in the piece already.
static enum exit_status copy_out(struct ctl *ctl, struct sink *sink, const char *path,
                                 struct ns_inode *inode, uint64_t size, size_t ready)
{
    int rc = sink_open(sink);
    uint64_t offset = 0;
    while (!rc && ready) {
        rc = sink_write(sink, sink->piece, ready);
        offset += ready;
        progress_add(ready);
        if (rc || offset >= size)
            break;
        ssize_t n = ns_read(ctl->ns, inode, sink->piece, PIECE, offset);
        if (n < 0)
            return path_failed(path, (int)n);
        ready = (size_t)n;
    }
    return rc ? sink_failed(sink, rc) : EXIT_OK;
}

// A short file is one point get.
static enum exit_status get_path(struct ctl *ctl, struct sink *sink, const char *path)
{
    struct ns_inode *inode;
    struct ns_attr attr;
    ssize_t ready = ns_resolve_read(ctl->ns, path, sink->piece, PIECE, &inode, &attr);
    if (ready < 0)
        return path_failed(path, (int)ready);
    int rc = check_regular(attr.mode);
    enum exit_status status = rc ? content_failed(path, attr.mode, rc)
                                 : copy_out(ctl, sink, path, inode, attr.size, (size_t)ready);
    ns_inode_put(ctl->ns, inode, 1);
    return status;
}

enum exit_status command_get(struct ctl *ctl)
{
    struct sink sink = {.file = ctl->options['o'], .fd = ctl_has(ctl, 'o') ? -1 : STDOUT_FILENO};
    enum exit_status status = EXIT_OK;
    if (!tree_open(ctl, OPEN_READ))
        return EXIT_FAILED;
    sink.piece = malloc(PIECE);
    if (!sink.piece) {
        complain("out of memory");
        return store_close(ctl, EXIT_FAILED);
    }
    for (int i = 0; i < ctl->arg_count; i++)
        if (get_path(ctl, &sink, ctl->args[i]) != EXIT_OK)
            status = EXIT_FAILED;
    if (sink.file && sink.fd >= 0 && close(sink.fd))
        status = sink_failed(&sink, -errno);
    free(sink.piece);
    return store_close(ctl, status);
}

// ------------------------------------------------------------------------------- put

struct source {
    const char *name;
    int fd;
    uint8_t *piece;
    size_t size; // bytes in the piece
    bool end;    // nothing comes after it
};

static volatile sig_atomic_t interrupted;

static void on_signal(int signal_number)
{
    (void)signal_number;
    interrupted = 1;
}

// From here on a signal ends the copying in an orderly way.
static void catch_signals(void)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action = {.sa_handler = on_signal}; // without SA_RESTART: ends a read
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        sigaction(signals[i], &action, NULL);
}

// Reads the next piece: as much as there is room for, or the rest.
static int source_fill(struct source *source)
{
    source->size = 0;
    while (source->size < PIECE && !source->end) {
        if (interrupted)
            return -EINTR;
        ssize_t n = read(source->fd, source->piece + source->size, PIECE - source->size);
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n > 0)
            source->size += (size_t)n;
        source->end = n == 0;
    }
    return 0;
}

static int source_open(struct source *source)
{
    bool is_stdin = strcmp(source->name, "-") == 0;
    source->fd = is_stdin ? STDIN_FILENO : open(source->name, O_RDONLY | O_CLOEXEC);
    if (source->fd < 0)
        return -errno;
    if (is_stdin)
        source->name = "standard input";
    source->piece = malloc(PIECE);
    return source->piece ? source_fill(source) : -ENOMEM;
}

static enum exit_status source_failed(const struct source *source, int rc)
{
    complain("%s: %s", source->name, rc == -EINTR ? "Interrupted" : strerror(-rc));
    return EXIT_FAILED;
}

static void source_release(struct source *source)
{
    free(source->piece);
    if (source->fd > STDIN_FILENO)
        close(source->fd);
}

struct target {
    const char *path;
    struct path_name name;
    struct ns_inode *dir; // of what was created; NULL: it was there
    struct ns_inode *inode;
    uint32_t mode; // type of what was there
};

// Opens what is there, made empty, or creates it.
static int target_open(struct ctl *ctl, struct target *target, const struct ns_cred *cred,
                       uint32_t mode)
{
    struct ns_inode *dir;
    struct ns_attr attr = {0};
    const struct path_name *name = &target->name;
    int rc = ns_resolve(ctl->ns, target->path, &target->inode, &attr);
    if (!rc) {
        target->mode = attr.mode;
        rc = check_regular(attr.mode);
        attr.size = 0;
        return rc ? rc : ns_setattr(ctl->ns, target->inode, &attr, NS_SET_SIZE, NULL);
    }
    if (rc != -ENOENT)
        return rc;
    rc = ns_resolve(ctl->ns, name->parent, &dir, NULL);
    if (!rc && name->slash)
        rc = -EISDIR;
    else if (rc)
        return rc;
    if (!rc)
        rc = ns_mknod(ctl->ns, cred, dir, name->name, name->name_size, S_IFREG | mode, 0,
                      &target->inode, NULL);
    if (rc)
        ns_inode_put(ctl->ns, dir, 1);
    else
        target->dir = dir;
    return rc;
}

static enum exit_status copy_in(struct ctl *ctl, struct source *source, struct target *target)
{
    uint64_t offset = 0;
    while (source->size) {
        ssize_t n = ns_write(ctl->ns, target->inode, source->piece, source->size, offset, 0, NULL);
        if (n < 0)
            return path_failed(target->path, (int)n);
        offset += source->size;
        progress_add(source->size);
        int rc = source_fill(source);
        if (rc)
            return source_failed(source, rc);
    }
    return EXIT_OK;
}

static enum exit_status store(struct ctl *ctl, struct source *source, struct target *target,
                              const struct ns_cred *cred, uint32_t mode)
{
    struct ns *ns = ctl->ns;
    int rc = target_open(ctl, target, cred, mode);
    enum exit_status status =
        rc ? content_failed(target->path, target->mode, rc) : copy_in(ctl, source, target);
    if (target->dir && status != EXIT_OK) {
        rc = ns_unlink(ns, target->dir, target->name.name, target->name.name_size);
        if (rc)
            path_failed(target->path, rc);
    }
    if (target->inode)
        ns_inode_put(ns, target->inode, 1);
    if (target->dir)
        ns_inode_put(ns, target->dir, 1);
    return status;
}

static enum exit_status put_source(struct ctl *ctl, struct source *source,
                                   const struct ns_cred *cred, uint32_t mode)
{
    struct target target = {.path = ctl->args[0]};
    int rc = path_name_init(&target.name, target.path);
    if (rc)
        return path_failed(target.path, rc);
    enum exit_status status = EXIT_FAILED;
    if (tree_open(ctl, ctl_has(ctl, 'c') ? OPEN_CREATE : OPEN_WRITE)) {
        catch_signals();
        status = store_close(ctl, store(ctl, source, &target, cred, mode));
    }
    path_name_release(&target.name);
    return status;
}

enum exit_status command_put(struct ctl *ctl)
{
    struct source source = {.name = ctl->arg_count > 1 ? ctl->args[1] : "-"};
    uint64_t mode = 0666;
    if (!ctl_number(ctl, 'm', 8, 07777, &mode))
        return EXIT_USAGE;
    struct ns_cred cred = ctl_cred();
    if (ctl_has(ctl, 'm'))
        cred.umask = 0;
    int rc = source_open(&source);
    enum exit_status status =
        rc ? source_failed(&source, rc) : put_source(ctl, &source, &cred, (uint32_t)mode);
    source_release(&source);
    return status;
}
