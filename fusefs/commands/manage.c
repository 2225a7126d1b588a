// The commands that are about the store: scan, stats, check, repair, compact, checkpoint, destroy.
//
// Thread safety: one thread.
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/slice.h"
#include "commands/mounted.h"

// ------------------------------------------------------------------------------- scan

static int hex_digit(char c)
{
    static const char digits[] = "0123456789abcdef";
    const char *p = c ? strchr(digits, c >= 'A' && c <= 'F' ? c + ('a' - 'A') : c) : NULL;
    return p ? (int)(p - digits) : -1;
}

// Undoes print_escaped. False: not well-formed. `ret_data` has room for strlen(text) bytes.
static bool unescape(const char *text, uint8_t *ret_data, size_t *ret_size)
{
    size_t n = 0;
    while (*text) {
        if (*text != '\\') {
            ret_data[n++] = (uint8_t)*text++;
        } else if (text[1] == '\\') {
            ret_data[n++] = '\\';
            text += 2;
        } else {
            int high = text[1] == 'x' ? hex_digit(text[2]) : -1;
            int low = high >= 0 ? hex_digit(text[3]) : -1;
            if (low < 0)
                return false;
            ret_data[n++] = (uint8_t)(high << 4 | low);
            text += 4;
        }
    }
    *ret_size = n;
    return true;
}

// The first key behind all that begin with the prefix, in place; size 0: there is none.
static size_t prefix_end(uint8_t *data, size_t size)
{
    while (size && data[size - 1] == 0xff)
        size--;
    if (size)
        data[size - 1]++;
    return size;
}

struct scan {
    uint64_t most, width;
    bool backwards;
    uint8_t *lower, *upper; // each with room for the prefix as given
    size_t lower_size, upper_size;
};

// One entry. Of a long value only what is shown is read.
static int scan_line(struct ctl *ctl, struct lsm_iter *iter, uint64_t width)
{
    uint8_t piece[4096];
    size_t key_size, value_size = lsm_iter_value_size(iter), got = 0;
    size_t shown = value_size < width ? value_size : (size_t)width;
    const void *key = lsm_iter_key(iter, &key_size);
    print_escaped(ctl->out, key, key_size);
    fprintf(ctl->out, "\t%zu\t", value_size);
    for (size_t at = 0; at < shown; at += got) {
        size_t n = shown - at < sizeof piece ? shown - at : sizeof piece;
        int rc = lsm_iter_read(iter, at, piece, n, &got);
        if (rc)
            return rc;
        assert(got > 0 && got <= n);
        print_escaped(ctl->out, piece, got);
    }
    putc('\n', ctl->out);
    progress_add(ctl->front, 1);
    return 0;
}

static int scan_run(struct ctl *ctl, const struct scan *scan)
{
    struct lsm_iter_options options = {.lower = scan->lower_size ? scan->lower : NULL,
                                       .lower_size = scan->lower_size,
                                       .upper = scan->upper_size ? scan->upper : NULL,
                                       .upper_size = scan->upper_size,
                                       .no_fill_cache = true};
    struct lsm_iter *iter;
    int rc = lsm_iter_new(ctl->engine, &options, &iter);
    if (rc)
        return rc;
    if (scan->backwards)
        lsm_iter_seek_last(iter);
    else
        lsm_iter_seek_first(iter);
    for (uint64_t n = 0; n < scan->most && lsm_iter_valid(iter) && !is_cancelled(ctl->front); n++) {
        rc = scan_line(ctl, iter, scan->width);
        if (rc)
            break;
        if (scan->backwards)
            lsm_iter_prev(iter);
        else
            lsm_iter_next(iter);
    }
    if (!rc)
        rc = lsm_iter_status(iter);
    lsm_iter_free(iter);
    return rc;
}

// False, with a message: wrong usage or no memory.
static bool scan_parse(struct ctl *ctl, struct scan *scan)
{
    const char *prefix = ctl->arg_count ? ctl->args[0] : "";
    if (!ctl_number(ctl, 'n', 10, UINT64_MAX, &scan->most) ||
        !ctl_number(ctl, 'w', 10, UINT64_MAX, &scan->width))
        return false;
    scan->backwards = ctl_has(ctl, 'b');
    scan->lower = malloc(strlen(prefix) + 1);
    scan->upper = malloc(strlen(prefix) + 1);
    if (!scan->lower || !scan->upper) {
        complain(ctl, "out of memory");
        return false;
    }
    if (!unescape(prefix, scan->lower, &scan->lower_size) || scan->lower_size > LSM_MAX_KEY) {
        complain_usage(ctl, "not a prefix of a key: '%s' (a backslash is \\\\, a byte \\xNN)",
                       prefix);
        return false;
    }
    assert(scan->lower_size <= strlen(prefix)); // there is room for no more
    memcpy(scan->upper, scan->lower, scan->lower_size);
    scan->upper_size = prefix_end(scan->upper, scan->lower_size);
    return true;
}

enum exit_status command_scan(struct ctl *ctl)
{
    struct scan scan = {.most = UINT64_MAX, .width = 32};
    enum exit_status status = EXIT_USAGE;
    if (scan_parse(ctl, &scan)) {
        status = EXIT_FAILED;
        if (engine_open(ctl, OPEN_READ)) {
            progress_unit(ctl->front, PROGRESS_NAMES);
            int rc = scan_run(ctl, &scan);
            if (rc)
                ctl_store_failed(ctl, rc);
            status = ctl_store_close(ctl, rc ? EXIT_FAILED : EXIT_OK);
        }
    }
    free(scan.lower);
    free(scan.upper);
    return status;
}

// ------------------------------------------------------------------------------- stats

static enum exit_status print_property(struct ctl *ctl, const char *name)
{
    char *text = lsm_property(ctl->engine, name);
    if (!text) {
        complain(ctl, "%s: no such property", name);
        return EXIT_FAILED;
    }
    size_t size = strlen(text);
    fprintf(ctl->out, "%s%s", text, size && text[size - 1] == '\n' ? "" : "\n");
    free(text);
    return EXIT_OK;
}

static enum exit_status print_stats(struct ctl *ctl)
{
    struct statvfs fs;
    uint64_t entries = 0;
    int rc = ns_statfs(ctl->ns, &fs);
    if (rc)
        return path_failed(ctl, ctl->db, rc);
    lsm_property_uint(ctl->engine, "entries", &entries);
    fprintf(ctl->out, "files        %" PRIu64 "\n", (uint64_t)(fs.f_files - fs.f_ffree));
    fprintf(ctl->out, "entries      %" PRIu64 " keys, superseded ones included\n", entries);
    enum exit_status status = print_property(ctl, "stats");
    return status == EXIT_OK ? print_mounted(ctl) : status;
}

enum exit_status command_stats(struct ctl *ctl)
{
    if (!tree_open(ctl, OPEN_READ))
        return EXIT_FAILED;
    return ctl_store_close(ctl,
                           ctl->arg_count ? for_each_path(ctl, print_property) : print_stats(ctl));
}

// ------------------------------------------------------------------------------- check

struct checking {
    struct ctl *ctl;
    uint64_t problems;
};

static void print_problem(void *arg, const char *problem)
{
    struct checking *checking = arg;
    struct ctl *ctl = checking->ctl;
    checking->problems++;
    ctl->front->ops->print_begin(ctl->front);
    problem = ctl_store_words(ctl, problem);
    print_name(ctl->front, problem, strlen(problem));
    putc('\n', ctl->out);
    ctl->front->ops->print_end(ctl->front);
}

static int check_progress(void *arg, uint64_t done, uint64_t total)
{
    struct checking *checking = arg;
    return ctl_progress(checking->ctl, done, total);
}

// Checks the bytes. False: the store cannot be opened.
static bool check_bytes(struct ctl *ctl, struct checking *checking, enum exit_status *status)
{
    if (!engine_open(ctl, OPEN_READ))
        return false;
    progress_unit(ctl->front, PROGRESS_BYTES);
    int rc = lsm_check(ctl->engine, print_problem, check_progress, checking);
    if (rc && !checking->problems && !is_cancelled(ctl->front))
        print_problem(checking, lsm_error_detail());
    *status = ctl_store_close(ctl, *status);
    return true;
}

// Checks the tree and those of all snapshots, as far as they can be read. What keeps them from
// being read counts as a problem.
static bool check_tree(struct ctl *ctl, struct checking *checking, enum exit_status *status)
{
    char *text = NULL;
    int rc = tree_open_still(ctl);
    if (rc && rc != LSM_CORRUPTION) {
        ctl_store_failed(ctl, rc);
        return false;
    }
    if (rc) {
        print_problem(checking, lsm_error_detail());
        return true;
    }
    progress_unit(ctl->front, PROGRESS_NAMES);
    int64_t result = ns_check_all(ctl->ns, print_problem, check_progress, checking);
    if (result < 0 && !is_cancelled(ctl->front) &&
        asprintf(&text, "the tree cannot be checked to its end: %s: %s", strerror((int)-result),
                 lsm_error_detail()) >= 0)
        print_problem(checking, text);
    free(text);
    *status = ctl_store_close(ctl, result < 0 ? EXIT_FAILED : *status);
    return true;
}

enum exit_status command_check(struct ctl *ctl)
{
    struct checking checking = {.ctl = ctl};
    enum exit_status status = EXIT_OK;
    if (!check_bytes(ctl, &checking, &status) || is_cancelled(ctl->front) ||
        !check_tree(ctl, &checking, &status) || is_cancelled(ctl->front))
        return EXIT_FAILED;
    uint64_t problems = checking.problems;
    ctl->front->ops->print_begin(ctl->front);
    print_name(ctl->front, ctl->db, strlen(ctl->db));
    if (problems)
        fprintf(ctl->out, ": %" PRIu64 " problem%s found\n", problems, problems == 1 ? "" : "s");
    else
        fprintf(ctl->out, "%s\n", ": no problem found");
    ctl->front->ops->print_end(ctl->front);
    return problems ? EXIT_FAILED : status;
}

// ------------------------------------------------------------------------------- the rest

static void print_log(void *arg, enum lsm_log_level level, const char *message)
{
    struct ctl *ctl = arg;
    if (level > LSM_LOG_INFO)
        return;
    ctl->front->ops->print_begin(ctl->front);
    print_name(ctl->front, message, strlen(message));
    putc('\n', ctl->out);
    ctl->front->ops->print_end(ctl->front);
}

enum exit_status command_repair(struct ctl *ctl)
{
    struct lsm_options options;
    lsm_options_init(&options);
    options.log = print_log;
    options.log_arg = ctl;
    int rc;
    do {
        rc = lsm_repair(ctl->db, &options);
    } while (ctl_store_retry(ctl, rc));
    if (rc)
        ctl_store_failed(ctl, rc);
    return rc ? EXIT_FAILED : EXIT_OK;
}

static int compact_progress(void *arg, uint64_t done, uint64_t total)
{
    return ctl_progress(arg, done, total);
}

enum exit_status command_compact(struct ctl *ctl)
{
    if (!engine_open(ctl, OPEN_WRITE))
        return EXIT_FAILED;
    progress_unit(ctl->front, PROGRESS_NAMES);
    int rc = lsm_compact_range_with(ctl->engine, NULL, 0, NULL, 0, compact_progress, ctl);
    if (rc)
        ctl_store_failed(ctl, rc);
    return ctl_store_close(ctl, rc ? EXIT_FAILED : EXIT_OK);
}

static enum exit_status checkpoint(struct ctl *ctl)
{
    const char *target = ctl->target ? ctl->target : ctl->args[0];
    if (!ctl_store_may_create(ctl, ctl->args[0]) || !engine_open(ctl, OPEN_WRITE))
        return EXIT_FAILED;
    int rc = lsm_checkpoint(ctl->engine, target);
    if (rc)
        complain(ctl, "%s", ctl_store_words(ctl, lsm_error_detail()));
    return ctl_store_close(ctl, rc ? EXIT_FAILED : EXIT_OK);
}

enum exit_status command_checkpoint(struct ctl *ctl)
{
    enum exit_status status = EXIT_FAILED;
    if (!ctl->live || target_find(ctl))
        status = checkpoint(ctl);
    target_release(ctl);
    return status;
}

enum exit_status command_destroy(struct ctl *ctl)
{
    if (!ctl_has(ctl, 'y')) {
        complain_usage(ctl, "needs --yes: it deletes %s for good", ctl->db);
        return EXIT_USAGE;
    }
    int rc;
    do {
        rc = lsm_destroy(ctl->db, NULL);
    } while (ctl_store_retry(ctl, rc));
    if (rc)
        ctl_store_failed(ctl, rc);
    return rc ? EXIT_FAILED : EXIT_OK;
}
