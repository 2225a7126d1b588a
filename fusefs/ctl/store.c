// Opening and closing the store, and paths.
//
// Thread safety: one thread.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/nested.h"
#include "ctl/ctl.h"
#include "ctl/output.h"

// A run is short: a small log is quickly made ready, and a few tables less are kept in memory.
#define WRITE_BUFFER (16u << 20)

// ------------------------------------------------------------------------------- the store

// What to do about a store that does not open; `what` has been said already.
static const char *open_hint(const struct ctl *ctl, int status, const char *what)
{
    if (strstr(what, "lsmfsctl"))
        return "";
    switch (status) {
    case LSM_NOT_A_STORE:
        return strchr(ctl->command->options, 'c') && !ctl_has(ctl, 'c')
                   ? ": --create makes one where there is nothing"
                   : "";
    case LSM_NEWER_FORMAT:
        return ": a newer lsmfs is needed";
    case LSM_CORRUPTION:
        return ": try 'lsmfsctl repair' on a copy";
    case LSM_READ_ONLY:
        return ": it can only be read there";
    default:
        return "";
    }
}

void store_failed(const struct ctl *ctl, int status)
{
    const char *detail = status == LSM_BUSY ? ctl->busy.text : lsm_error_detail();
    const char *what = *detail ? detail : lsm_strerror(status);
    bool named = strncmp(what, ctl->db, strlen(ctl->db)) == 0;
    complain("%s%s%s%s", named ? "" : ctl->db, named ? "" : ": ", what,
             open_hint(ctl, status, what));
}

bool store_retry(struct ctl *ctl, int status)
{
    if (!ctl->busy.program)
        ctl->busy = (struct busy){.program = "lsmfsctl", .stop_fd = -1};
    return status == LSM_BUSY && busy_wait(&ctl->busy, ctl->db);
}

// `note` has to stay until the store is open.
static void set_options(const struct ctl *ctl, enum open_mode mode, struct ns_options *options,
                        char *note, size_t note_size)
{
    ns_options_init(options);
    options->root_uid = getuid();
    options->root_gid = getgid();
    snprintf(note, note_size, "lsmfsctl %s", ctl->command->name);
    options->engine.lock_note = note;
    options->engine.read_only = mode == OPEN_READ;
    options->engine.create_if_missing = mode == OPEN_CREATE;
    options->engine.write_buffer_size = WRITE_BUFFER;
}

bool store_may_create(const char *path)
{
    char outer[PATH_MAX];
    if (!is_nested_store(path, outer))
        return true;
    complain("%s: lies inside the store %s: a store needs a directory of its own", path, outer);
    return false;
}

static int tree_open_status(struct ctl *ctl, enum open_mode mode)
{
    char note[64];
    struct ns_options options;
    set_options(ctl, mode, &options, note, sizeof note);
    int status;
    do {
        status = ns_open(ctl->db, &options, &ctl->ns);
    } while (store_retry(ctl, status));
    if (!status)
        ctl->engine = ns_engine(ctl->ns);
    return status;
}

bool tree_open(struct ctl *ctl, enum open_mode mode)
{
    if (mode == OPEN_CREATE && !store_may_create(ctl->db))
        return false;
    int status = tree_open_status(ctl, mode);
    if (status)
        store_failed(ctl, status);
    return !status;
}

int tree_try(struct ctl *ctl)
{
    return tree_open_status(ctl, OPEN_READ);
}

bool engine_open(struct ctl *ctl, enum open_mode mode)
{
    char note[64];
    struct ns_options options;
    set_options(ctl, mode, &options, note, sizeof note);
    int status;
    do {
        status = lsm_open(ctl->db, &options.engine, &ctl->engine);
    } while (store_retry(ctl, status));
    if (status)
        store_failed(ctl, status);
    return !status;
}

enum exit_status store_close(struct ctl *ctl, enum exit_status status)
{
    int result = ctl->ns ? ns_close(ctl->ns) : lsm_close(ctl->engine);
    ctl->ns = NULL;
    ctl->engine = NULL;
    if (!result)
        return status;
    store_failed(ctl, result);
    return EXIT_FAILED;
}

// ------------------------------------------------------------------------------- paths

int path_name_init(struct path_name *path, const char *text)
{
    size_t end = strlen(text);
    while (end && text[end - 1] == '/')
        end--;
    size_t start = end;
    while (start && text[start - 1] != '/')
        start--;
    size_t size = end - start;
    const char *name = text + start;
    if ((size == 1 && name[0] == '.') || (size == 2 && name[0] == '.' && name[1] == '.'))
        return -EINVAL;
    char *parent = strndup(text, start);
    if (!parent)
        return -ENOMEM;
    *path = (struct path_name){parent, name, size, text[end] == '/'};
    return 0;
}

void path_name_release(struct path_name *path)
{
    free(path->parent);
}

struct ns_cred ctl_cred(void)
{
    mode_t mask = umask(0);
    umask(mask);
    return (struct ns_cred){.uid = geteuid(), .gid = getegid(), .umask = mask};
}

// The engine's words, if they say more than the errno does.
static const char *error_detail(int rc)
{
    return rc == -EIO || rc == -ENOSPC || rc == -EROFS ? lsm_error_detail() : "";
}

enum exit_status path_failed(const char *path, int rc)
{
    const char *detail = error_detail(rc);
    complain("%s: %s%s%s", *path ? path : "/", strerror(-rc), *detail ? ": " : "", detail);
    return EXIT_FAILED;
}

enum exit_status paths_failed(const char *from, const char *to, int rc)
{
    const char *detail = error_detail(rc);
    complain("%s to %s: %s%s%s", from, to, strerror(-rc), *detail ? ": " : "", detail);
    return EXIT_FAILED;
}

enum exit_status for_each_path(struct ctl *ctl,
                               enum exit_status (*fn)(struct ctl *ctl, const char *path))
{
    enum exit_status status = EXIT_OK;
    for (int i = 0; i < ctl->arg_count; i++)
        if (fn(ctl, ctl->args[i]) != EXIT_OK)
            status = EXIT_FAILED;
    return status;
}
