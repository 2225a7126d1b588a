// What the parts of the check use: telling problems and progress, iterators.
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "ns/upkeep/check_internal.h"

#define TICKS_PER_PROGRESS 4096u

int check_print(struct buf *line, struct slice bytes)
{
    for (size_t i = 0; i < bytes.size; i++) {
        char text[5];
        uint8_t c = bytes.data[i];
        int n = c < 0x20 || c == 0x7f || c == '\\' ? snprintf(text, sizeof(text), "\\%03o", c)
                                                   : snprintf(text, sizeof(text), "%c", c);
        if (buf_append(line, text, (size_t)n))
            return -ENOMEM;
    }
    return 0;
}

static int print_path(struct buf *line, const struct descent *descent, struct slice name)
{
    int rc = 0;
    assert(descent->depth > 0);
    for (size_t i = 1; i < descent->depth && !rc; i++) {
        rc = buf_append(line, "/", 1);
        if (!rc)
            rc = check_print(line, open_dir_name(descent->dirs[i]));
    }
    if (!rc && (name.size || descent->depth == 1))
        rc = buf_append(line, "/", 1);
    return rc ? rc : check_print(line, name);
}

static int print_subject(struct buf *line, const struct check_subject *subject)
{
    if (!subject)
        return 0;
    char text[40];
    int n = snprintf(text, sizeof(text), "inode %" PRIu64, subject->ino);
    assert(n > 0 && (size_t)n < sizeof text);
    int rc = subject->descent ? print_path(line, subject->descent, subject->name)
                              : buf_append(line, text, (size_t)n);
    return rc || buf_append(line, ": ", 2) ? -ENOMEM : 0;
}

int check_problem(struct check *check, const struct check_subject *subject, const char *format, ...)
{
    struct buf *line = &check->line;
    va_list args;
    check->problems++;
    if (!check->report)
        return 0;
    line->size = 0;
    int rc = print_subject(line, subject);
    if (rc)
        return rc;
    va_start(args, format);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (buf_reserve(line, (size_t)n + 1))
        return -ENOMEM;
    va_start(args, format);
    vsnprintf((char *)line->data + line->size, (size_t)n + 1, format, args);
    va_end(args);
    check->report(check->arg, (const char *)line->data);
    return 0;
}

int check_tick(struct check *check)
{
    if (!check->progress || ++check->ticks % TICKS_PER_PROGRESS)
        return 0;
    uint64_t total = check->counted > 0 ? (uint64_t)check->counted : 0, steps = check->steps;
    return check->progress(check->arg, steps, total > steps ? total : steps) ? -ECANCELED : 0;
}

int check_step(struct check *check)
{
    check->steps++;
    return check_tick(check);
}

int check_iter(struct check *check, const struct pathkey *lower, const struct pathkey *upper,
               struct lsm_iter **ret_iter)
{
    struct lsm_iter_options options = {.snapshot = check->ns->at.snapshot, .no_fill_cache = true};
    if (lower) {
        options.lower = lower->data;
        options.lower_size = lower->size;
    }
    if (upper) {
        options.upper = upper->data;
        options.upper_size = upper->size;
    }
    return ns_err(lsm_iter_new(check->ns->db, &options, ret_iter));
}
