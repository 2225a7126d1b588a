// lsmfsctl watch: changes of a mounted store as they happen.
//
// Thread safety: one thread.
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "commands/changes.h"
#include "ns/changes/watch_hub.h"

struct watching {
    struct ctl *ctl;
    enum change_format format;
    const char *path; // what is watched, without slashes at its end; "": all
    size_t path_size;
};

static bool is_below(const struct watching *watching, const char *path, size_t size)
{
    return size >= watching->path_size && memcmp(path, watching->path, watching->path_size) == 0 &&
           (size == watching->path_size || path[watching->path_size] == '/');
}

static int print_one(void *arg, const struct ns_change *change)
{
    struct watching *watching = arg;
    if (is_below(watching, change->path, change->path_size) ||
        (change->old_path && is_below(watching, change->old_path, change->old_path_size)))
        change_print(watching->ctl->out, watching->format, change);
    return is_cancelled(watching->ctl->front) ? -ECANCELED : 0;
}

static void print_start_over(const struct watching *watching)
{
    static const char *const lines[] = {[CHANGE_LINES] = "! start over\n",
                                        [CHANGE_NULS] = "! start over",
                                        [CHANGE_JSON] = "{\"change\":\"start over\"}\n"};
    const char *line = lines[watching->format];
    fwrite(line, 1, strlen(line) + (watching->format == CHANGE_NULS), watching->ctl->out);
}

// Prints changes until the command is cancelled, or changes were lost. 0 or -errno.
static int watch(struct watching *watching, const struct lsm_snapshot *from)
{
    struct ctl *ctl = watching->ctl;
    struct watcher watcher;
    assert(ctl->live);
    assert(!watching->path_size || watching->path[watching->path_size - 1] != '/');
    int rc = watcher_join(&watcher, ctl->live->watch, from, print_one, watching);
    while (!rc && !is_cancelled(ctl->front)) {
        ctl->front->ops->print_begin(ctl->front);
        ctl->front->ops->print_end(ctl->front); // brings out what has been printed
        rc = watcher_next(&watcher, &ctl->front->cancelled, print_one, watching);
    }
    watcher_leave(&watcher);
    return rc;
}

static enum exit_status run(struct ctl *ctl, struct watching *watching)
{
    const struct lsm_snapshot *from = NULL;
    const char *name = ctl->options['F'];
    if (name) {
        int rc = lsm_snapshot_open(ctl->engine, name, &from);
        if (rc) {
            ctl_store_failed(ctl, rc);
            return EXIT_FAILED;
        }
    }
    int rc = watch(watching, from);
    if (from)
        lsm_snapshot_free(ctl->engine, from);
    if (rc == -EOVERFLOW)
        print_start_over(watching);
    else if (rc && rc != -ECANCELED)
        path_failed(ctl, ctl->db, rc);
    return EXIT_FAILED; // it has no end of its own
}

enum exit_status command_watch(struct ctl *ctl)
{
    struct watching watching = {.ctl = ctl, .path = ctl->arg_count ? ctl->args[0] : ""};
    if (!change_format_of(ctl, &watching.format))
        return EXIT_USAGE;
    watching.path_size = strlen(watching.path);
    while (watching.path_size && watching.path[watching.path_size - 1] == '/')
        watching.path_size--;
    if (watching.path_size && *watching.path != '/') {
        complain_usage(ctl, "PATH begins with a slash");
        return EXIT_USAGE;
    }
    if (!tree_open(ctl, OPEN_READ))
        return EXIT_FAILED;
    if (!ctl->live) {
        complain(ctl, "%s: not mounted: nothing changes", ctl->db);
        return ctl_store_close(ctl, EXIT_FAILED);
    }
    return ctl_store_close(ctl, run(ctl, &watching));
}
