// lsmfsctl diff, and how a change is printed.
//
// Thread safety: one thread.
#include "commands/changes.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

bool change_format_of(const struct ctl *ctl, enum change_format *ret_format)
{
    if (ctl_has(ctl, '0') && ctl_has(ctl, 'j')) {
        complain_usage(ctl, "-0 and --json exclude each other");
        return false;
    }
    *ret_format = ctl_has(ctl, '0') ? CHANGE_NULS : ctl_has(ctl, 'j') ? CHANGE_JSON : CHANGE_LINES;
    return true;
}

// ------------------------------------------------------------------------------- one change

static const char *letters_of(const struct ns_change *change)
{
    switch (change->kind) {
    case NS_REMOVED:
        return "-";
    case NS_CREATED:
        return "+";
    case NS_RENAMED:
        return "R";
    default:
        return change->what & NS_CHANGED_CONTENT ? "M" : "A";
    }
}

// Control characters as \xNN and a backslash doubled; all other bytes as they are.
static void print_line_name(FILE *out, const char *name, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)name[i];
        if (c < 0x20 || c == 0x7f)
            fprintf(out, "\\x%02x", c);
        else if (c == '\\')
            fputs("\\\\", out);
        else
            putc(c, out);
    }
}

// The length of the UTF-8 sequence at the beginning, 1 to 4; 0: there is none. No surrogates, no
// overlong ones.
static size_t utf8_size(const unsigned char *p, size_t size)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t n = p[0] < 0x80 ? 1 : p[0] >> 5 == 6 ? 2 : p[0] >> 4 == 14 ? 3 : p[0] >> 3 == 30 ? 4 : 0;
    if (n <= 1)
        return n;
    if (n > size)
        return 0;
    uint32_t code = p[0] & (0xffu >> (n + 1));
    for (size_t i = 1; i < n; i++) {
        if (p[i] >> 6 != 2)
            return 0;
        code = code << 6 | (p[i] & 0x3fu);
    }
    return code < least[n] || code > 0x10ffff || code >> 11 == 0x1b ? 0 : n;
}

// A byte that is no UTF-8 is \udcXX, a lone surrogate, as Python's surrogateescape has it.
static void print_json_string(FILE *out, const char *text, size_t size)
{
    const unsigned char *p = (const unsigned char *)text;
    putc('"', out);
    for (size_t i = 0; i < size;) {
        size_t n = utf8_size(p + i, size - i);
        if (!n)
            fprintf(out, "\\udc%02x", p[i]);
        else if (p[i] < 0x20 || p[i] == 0x7f)
            fprintf(out, "\\u%04x", p[i]);
        else if (p[i] == '"' || p[i] == '\\')
            fprintf(out, "\\%c", p[i]);
        else
            fwrite(p + i, 1, n, out);
        i += n ? n : 1;
    }
    putc('"', out);
}

static void print_json(FILE *out, const struct ns_change *change)
{
    static const char *const names[] = {[NS_REMOVED] = "remove",
                                        [NS_RENAMED] = "rename",
                                        [NS_CREATED] = "create",
                                        [NS_CHANGED] = "change"};
    assert(change->kind < sizeof names / sizeof *names && names[change->kind]);
    fprintf(out, "{\"change\":\"%s\",\"path\":", names[change->kind]);
    print_json_string(out, change->path, change->path_size);
    if (change->kind == NS_RENAMED) {
        fputs(",\"old_path\":", out);
        print_json_string(out, change->old_path, change->old_path_size);
    }
    if (change->kind == NS_CHANGED)
        fprintf(out, ",\"content\":%s,\"attributes\":%s",
                change->what & NS_CHANGED_CONTENT ? "true" : "false",
                change->what & NS_CHANGED_ATTRIBUTES ? "true" : "false");
    fprintf(out, ",\"type\":\"%s\",\"inode\":%" PRIu64 "}\n", type_text(change->type), change->ino);
}

void change_print(FILE *out, enum change_format format, const struct ns_change *change)
{
    if (format == CHANGE_JSON) {
        print_json(out, change);
        return;
    }
    bool renamed = change->kind == NS_RENAMED;
    assert(change->path[change->path_size] == 0 && !renamed == !change->old_path);
    fprintf(out, "%s ", letters_of(change));
    if (format == CHANGE_NULS) { // the terminators are part of it
        if (renamed)
            fwrite(change->old_path, 1, change->old_path_size + 1, out);
        fwrite(change->path, 1, change->path_size + 1, out);
        return;
    }
    if (renamed) {
        print_line_name(out, change->old_path, change->old_path_size);
        fputs(" -> ", out);
    }
    print_line_name(out, change->path, change->path_size);
    putc('\n', out);
}

// ------------------------------------------------------------------------------- diff

struct printing {
    struct ctl *ctl;
    enum change_format format;
};

static int print_one(void *arg, const struct ns_change *change)
{
    struct printing *printing = arg;
    change_print(printing->ctl->out, printing->format, change);
    return is_cancelled(printing->ctl->front) ? -ECANCELED : 0;
}

// From one snapshot to another, or to the present.
static int diff(struct ctl *ctl, const char *from_name, const char *to_name, int *ret_rc,
                enum change_format format)
{
    const struct lsm_snapshot *from = NULL, *to = NULL;
    struct printing printing = {ctl, format};
    int rc = lsm_snapshot_open(ctl->engine, from_name, &from);
    if (!rc)
        rc = to_name ? lsm_snapshot_open(ctl->engine, to_name, &to)
                     : lsm_snapshot_new(ctl->engine, &to);
    *ret_rc = rc ? 0 : ns_diff(ctl->engine, from, to, SIZE_MAX, print_one, &printing);
    if (to)
        lsm_snapshot_free(ctl->engine, to);
    if (from)
        lsm_snapshot_free(ctl->engine, from);
    return rc;
}

enum exit_status command_diff(struct ctl *ctl)
{
    enum change_format format;
    int rc;
    const char *to = ctl->arg_count > 1 ? ctl->args[1] : NULL;
    if (!change_format_of(ctl, &format))
        return EXIT_USAGE;
    if (!tree_open(ctl, OPEN_READ))
        return EXIT_FAILED;
    int engine_rc = diff(ctl, ctl->args[0], to, &rc, format);
    if (engine_rc)
        ctl_store_failed(ctl, engine_rc);
    else if (rc == -EINVAL)
        complain(ctl, "snapshot %s is newer than %s", ctl->args[0], to);
    else if (rc && rc != -ECANCELED)
        return ctl_store_close(ctl, path_failed(ctl, ctl->db, rc));
    return ctl_store_close(ctl, engine_rc || rc ? EXIT_FAILED : EXIT_OK);
}
