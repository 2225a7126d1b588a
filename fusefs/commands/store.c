// What the commands share: messages, numbers, opening and closing the store, paths.
//
// Thread safety: one thread.
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "commands/command.h"
#include "common/nested.h"
#include "common/open_hint.h"
#include "common/option.h"
#include "common/store_place.h"

// A command runs for a short time. With a small buffer the log is made quickly, and takes less
// memory.
#define WRITE_BUFFER (16u << 20)
// Clone writes much, and would wait for flushes with a small buffer.
#define CLONE_BUFFER (64u << 20)

// ------------------------------------------------------------------------------- messages

__attribute__((format(printf, 3, 0))) static void
complain_args(const struct ctl *ctl, const char *program, const char *format, va_list args)
{
    char *text = NULL;
    if (vasprintf(&text, format, args) < 0)
        text = NULL;
    ctl->front->ops->complain(ctl->front, program, text ? text : "out of memory");
    free(text);
}

void complain(const struct ctl *ctl, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    complain_args(ctl, "lsmfsctl", format, args);
    va_end(args);
}

void complain_usage(const struct ctl *ctl, const char *format, ...)
{
    char program[64];
    va_list args;
    snprintf(program, sizeof program, "lsmfsctl %s", ctl->command->name);
    va_start(args, format);
    complain_args(ctl, program, format, args);
    va_end(args);
}

int ctl_progress(struct ctl *ctl, uint64_t done, uint64_t total)
{
    progress_set(ctl->front, done, total);
    return is_cancelled(ctl->front);
}

bool ctl_number(const struct ctl *ctl, char letter, int base, uint64_t most, uint64_t *ret_value)
{
    const char *value = ctl->options[(unsigned char)letter];
    char name[COMMAND_OPTION_NAME_SIZE];
    command_option_name(letter, name);
    const struct option_spec spec = {
        .name = name, .kind = base == 8 ? OPT_OCTAL : OPT_COUNT, .max = most};
    char message[OPTION_MESSAGE_SIZE];
    if (!value || option_read(&spec, value, ret_value, message))
        return true;
    complain_usage(ctl, "option '%s %s': %s", spec.name, value, message);
    return false;
}

// ------------------------------------------------------------------------------- the store

// If *text begins with `inside`, appends `shown` to ctl->words in its place, and goes on behind it.
// False: it does not.
static bool put_words(struct ctl *ctl, size_t *at, const char **text, const char *inside,
                      const char *shown)
{
    size_t inside_size = strlen(inside), size = strlen(shown);
    if (strncmp(*text, inside, inside_size) != 0 || *at + size >= sizeof ctl->words)
        return false;
    memcpy(ctl->words + *at, shown, size);
    *at += size;
    *text += inside_size;
    return true;
}

const char *ctl_store_words(struct ctl *ctl, const char *text)
{
    size_t n = 0;
    const char *directory = ctl->live ? ctl->live->directory : ctl->db;
    if (!ctl->live || (!strstr(text, directory) && !(ctl->target && strstr(text, ctl->target))))
        return text;
    while (*text && n + 1 < sizeof ctl->words)
        if (!(ctl->target && put_words(ctl, &n, &text, ctl->target, ctl->args[0])) &&
            !put_words(ctl, &n, &text, directory, ctl->db))
            ctl->words[n++] = *text++;
    ctl->words[n] = 0;
    return ctl->words;
}

void ctl_store_failed(struct ctl *ctl, int status)
{
    const char *detail = status == LSM_BUSY ? ctl->busy.text : lsm_error_detail();
    const char *what = ctl_store_words(ctl, *detail ? detail : lsm_strerror(status));
    bool named = strncmp(what, ctl->db, strlen(ctl->db)) == 0;
    bool could_create = strchr(ctl->command->options, 'c') && !ctl_has(ctl, 'c');
    const struct open_hints hints = {
        .not_a_store = could_create ? ": --create makes one where there is nothing" : "",
        .damaged = ": try 'lsmfsctl repair' on a copy",
        .read_only = ": it can only be read there",
        .busy = "",
    };
    complain(ctl, "%s%s%s%s", named ? "" : ctl->db, named ? "" : ": ", what,
             open_hint(&hints, status, what));
}

bool ctl_store_retry(struct ctl *ctl, int status)
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
    options->engine.write_buffer_size =
        ctl->command->run == command_clone ? CLONE_BUFFER : WRITE_BUFFER;
}

bool ctl_store_may_create(struct ctl *ctl, const char *path)
{
    char outer[PATH_MAX];
    if (store_place_is_remote(path) || !is_nested_store(ctl->target ? ctl->target : path, outer))
        return true;
    complain(ctl, "%s: lies inside the store %s: a store needs a directory of its own", path,
             outer);
    return false;
}

static int tree_open_status(struct ctl *ctl, enum open_mode mode)
{
    char note[64];
    struct ns_options options;
    set_options(ctl, mode, &options, note, sizeof note);
    int rc;
    do {
        rc = ns_open(ctl->db, &options, &ctl->ns);
    } while (ctl_store_retry(ctl, rc));
    if (!rc)
        ctl->engine = ns_engine(ctl->ns);
    return rc;
}

// Uses the daemon's store, which is open.
static void borrow(struct ctl *ctl, enum open_mode mode, struct ns *ns)
{
    assert(!ctl->borrowed && !ctl->ns && !ctl->engine);
    ctl->borrowed = true;
    ctl->to_write = mode != OPEN_READ;
    ctl->ns = ns;
    ctl->engine = ns_engine(ctl->live->ns);
}

bool tree_open(struct ctl *ctl, enum open_mode mode)
{
    if (ctl->live) {
        borrow(ctl, mode, ctl->live->ns);
        return true;
    }
    if (mode == OPEN_CREATE && !ctl_store_may_create(ctl, ctl->db))
        return false;
    int rc = tree_open_status(ctl, mode);
    if (rc)
        ctl_store_failed(ctl, rc);
    return !rc;
}

int tree_open_still(struct ctl *ctl)
{
    if (!ctl->live)
        return tree_open_status(ctl, OPEN_READ);
    int rc = ns_open_snapshot(ctl->live->ns, NULL, &ctl->ns);
    if (!rc)
        ctl->engine = ns_engine(ctl->ns);
    return rc;
}

bool engine_open(struct ctl *ctl, enum open_mode mode)
{
    char note[64];
    struct ns_options options;
    if (ctl->live) {
        borrow(ctl, mode, NULL);
        return true;
    }
    set_options(ctl, mode, &options, note, sizeof note);
    int rc;
    do {
        rc = lsm_open(ctl->db, &options.engine, &ctl->engine);
    } while (ctl_store_retry(ctl, rc));
    if (rc)
        ctl_store_failed(ctl, rc);
    return !rc;
}

// What a command has changed is durable when it ends.
enum exit_status ctl_store_close(struct ctl *ctl, enum exit_status status)
{
    int rc = 0;
    assert(ctl->engine && (ctl->live || !ctl->borrowed));
    if (!ctl->borrowed)
        rc = ctl->ns ? ns_close(ctl->ns) : lsm_close(ctl->engine);
    else if (ctl->to_write && ctl->ns) // commands on the engine alone change it durably
        rc = lsm_sync(ctl->engine);
    ctl->borrowed = false;
    ctl->ns = NULL;
    ctl->engine = NULL;
    if (!rc)
        return status;
    ctl_store_failed(ctl, rc);
    return EXIT_FAILED;
}

void ctl_name_changed(struct ctl *ctl, struct ns_inode *dir, const char *name, size_t name_size)
{
    if (ctl->live)
        ctl->live->name_changed(ctl->live, dir, name, name_size);
}

void ctl_inode_changed(struct ctl *ctl, struct ns_inode *inode)
{
    if (ctl->live)
        ctl->live->inode_changed(ctl->live, inode);
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

// The engine's words, if they say more than the errno does.
static const char *error_detail(struct ctl *ctl, int rc)
{
    return rc == -EIO || rc == -ENOSPC || rc == -EROFS ? ctl_store_words(ctl, lsm_error_detail())
                                                       : "";
}

enum exit_status path_failed(struct ctl *ctl, const char *path, int rc)
{
    const char *detail = error_detail(ctl, rc);
    complain(ctl, "%s: %s%s%s", *path ? path : "/", strerror(-rc), *detail ? ": " : "", detail);
    return EXIT_FAILED;
}

enum exit_status paths_failed(struct ctl *ctl, const char *from, const char *to, int rc)
{
    const char *detail = error_detail(ctl, rc);
    complain(ctl, "%s to %s: %s%s%s", from, to, strerror(-rc), *detail ? ": " : "", detail);
    return EXIT_FAILED;
}

enum exit_status for_each_path(struct ctl *ctl,
                               enum exit_status (*fn)(struct ctl *ctl, const char *path))
{
    enum exit_status status = EXIT_OK;
    for (int i = 0; i < ctl->arg_count && !is_cancelled(ctl->front); i++)
        if (fn(ctl, ctl->args[i]) != EXIT_OK)
            status = EXIT_FAILED;
    return status;
}
