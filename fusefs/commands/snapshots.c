// The commands about named snapshots: create, list, rename, delete, rollback, prune.
//
// Thread safety: one thread.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/array.h"
#include "commands/command.h"

// Opens the engine to write, does one thing, closes it.
static enum exit_status change(struct ctl *ctl, int (*fn)(struct ctl *ctl))
{
    if (!engine_open(ctl, OPEN_WRITE))
        return EXIT_FAILED;
    int rc = fn(ctl);
    if (rc)
        ctl_store_failed(ctl, rc);
    return ctl_store_close(ctl, rc ? EXIT_FAILED : EXIT_OK);
}

// After a change of the snapshot: tells the daemon, if the command runs in it.
static int changed(struct ctl *ctl, int rc, const char *name)
{
    if (!rc && ctl->live)
        ctl->live->snapshot_changed(ctl->live, name);
    return rc;
}

static int create(struct ctl *ctl)
{
    if (ctl->live)
        ctl->live->snapshot_begin(ctl->live);
    return changed(ctl, lsm_snapshot_create(ctl->engine, ctl->args[0]), ctl->args[0]);
}

enum exit_status command_snapshot_create(struct ctl *ctl)
{
    return change(ctl, create);
}

static int rename_one(struct ctl *ctl)
{
    int rc = lsm_snapshot_rename(ctl->engine, ctl->args[0], ctl->args[1]);
    changed(ctl, rc, ctl->args[0]);
    return changed(ctl, rc, ctl->args[1]);
}

enum exit_status command_snapshot_rename(struct ctl *ctl)
{
    return change(ctl, rename_one);
}

static int delete_all(struct ctl *ctl)
{
    int rc = 0;
    for (int i = 0; i < ctl->arg_count && !rc; i++)
        rc = changed(ctl, lsm_snapshot_delete(ctl->engine, ctl->args[i]), ctl->args[i]);
    return rc;
}

enum exit_status command_snapshot_delete(struct ctl *ctl)
{
    return change(ctl, delete_all);
}

static int rollback(struct ctl *ctl)
{
    return ns_rollback(ctl->engine, ctl->args[0]);
}

enum exit_status command_snapshot_rollback(struct ctl *ctl)
{
    if (!ctl_has(ctl, 'y')) {
        complain_usage(ctl, "needs --yes: what was written after snapshot %s is lost",
                       ctl->args[0]);
        return EXIT_USAGE;
    }
    return change(ctl, rollback);
}

// ------------------------------------------------------------------------------- list

// Prints the time of creation, as a column.
static void print_created(struct ctl *ctl, uint64_t created_us)
{
    ctl->front->ops->print_time(ctl->front, "%Y-%m-%d %H:%M:%S", (time_t)(created_us / 1000000));
}

static int print_usage(void *arg, const struct lsm_snapshot_info *info, uint64_t refers,
                       uint64_t own)
{
    struct ctl *ctl = arg;
    print_created(ctl, info->created_us);
    fprintf(ctl->out, "  %14" PRIu64 "  %14" PRIu64 "  ", refers, own);
    print_name(ctl->front, info->name, strlen(info->name));
    putc('\n', ctl->out);
    return 0;
}

static int print_snapshot_name(void *arg, const struct lsm_snapshot_info *info)
{
    struct ctl *ctl = arg;
    print_name(ctl->front, info->name, strlen(info->name));
    putc('\n', ctl->out);
    return 0;
}

static int show_progress(void *arg, uint64_t done, uint64_t total)
{
    return ctl_progress(arg, done, total);
}

enum exit_status command_snapshot_list(struct ctl *ctl)
{
    if (!engine_open(ctl, OPEN_READ))
        return EXIT_FAILED;
    int rc;
    if (ctl_has(ctl, 'n')) {
        rc = lsm_snapshot_list(ctl->engine, print_snapshot_name, ctl);
    } else {
        fprintf(ctl->out, "%-19s  %14s  %14s  NAME\n", "CREATED", "REFERS", "ONLY");
        rc = lsm_snapshot_usage(ctl->engine, print_usage, show_progress, ctl);
    }
    if (rc)
        ctl_store_failed(ctl, rc);
    return ctl_store_close(ctl, rc ? EXIT_FAILED : EXIT_OK);
}

// ------------------------------------------------------------------------------- prune

struct kept_one {
    char *name;
    time_t created;
    bool keep;
};

struct pruning {
    const char *prefix;
    struct kept_one *at; // in the order of creation
    size_t count, capacity;
};

static int gather(void *arg, const struct lsm_snapshot_info *info)
{
    struct pruning *pruning = arg;
    if (strncmp(info->name, pruning->prefix, strlen(pruning->prefix)) != 0)
        return 0;
    if (!array_grow(&pruning->at, &pruning->capacity, pruning->count, sizeof *pruning->at))
        return LSM_NO_MEMORY;
    char *name = strdup(info->name);
    if (!name)
        return LSM_NO_MEMORY;
    pruning->at[pruning->count++] =
        (struct kept_one){name, (time_t)(info->created_us / 1000000), false};
    return 0;
}

static void release(struct pruning *pruning)
{
    for (size_t i = 0; i < pruning->count; i++)
        free(pruning->at[i].name);
    free(pruning->at);
}

// A number that is the same for all times in one hour, day or week, by local time.
static long period_of(struct ctl *ctl, time_t when, char rule)
{
    struct tm tm;
    if (!ctl->front->ops->local_time(ctl->front, when, &tm))
        return (long)when;
    long day = (tm.tm_year * 366L) + tm.tm_yday;
    if (rule == 'D')
        return day;
    if (rule == 'H')
        return day * 24 + tm.tm_hour;
    char text[16]; // the year and the week in it as ISO 8601 has them
    return strftime(text, sizeof text, "%G%V", &tm) ? strtol(text, NULL, 10) : day;
}

// Keeps the newest snapshot of each of the last `most` periods that have one.
static void keep(struct ctl *ctl, struct pruning *pruning, char rule, uint64_t most)
{
    long last = 0;
    bool any = false;
    for (size_t i = pruning->count; i-- > 0 && most;) {
        long period = rule == 'A' ? (long)i : period_of(ctl, pruning->at[i].created, rule);
        if (any && period == last)
            continue;
        any = true;
        last = period;
        pruning->at[i].keep = true;
        most--;
    }
}

static enum exit_status prune(struct ctl *ctl, struct pruning *pruning)
{
    for (size_t i = 0; i < pruning->count; i++) {
        struct kept_one *one = &pruning->at[i];
        if (one->keep)
            continue;
        int rc = 0;
        if (!ctl_has(ctl, 'n'))
            rc = changed(ctl, lsm_snapshot_delete(ctl->engine, one->name), one->name);
        if (rc) {
            ctl_store_failed(ctl, rc);
            return EXIT_FAILED;
        }
        fputs("deleted ", ctl->out);
        print_name(ctl->front, one->name, strlen(one->name));
        putc('\n', ctl->out);
    }
    return EXIT_OK;
}

enum exit_status command_snapshot_prune(struct ctl *ctl)
{
    static const char rules[] = "AHDW";
    uint64_t counts[4] = {0}, all = 0;
    struct pruning pruning = {.prefix = ctl->arg_count ? ctl->args[0] : ""};
    for (unsigned i = 0; i < 4; i++) {
        if (!ctl_number(ctl, rules[i], 10, UINT32_MAX, &counts[i]))
            return EXIT_USAGE;
        all += counts[i];
    }
    if (!all) {
        complain_usage(ctl, "says nothing to keep: give at least one --keep option "
                            "above 0");
        return EXIT_USAGE;
    }
    if (!engine_open(ctl, ctl_has(ctl, 'n') ? OPEN_READ : OPEN_WRITE))
        return EXIT_FAILED;
    enum exit_status status = EXIT_FAILED;
    int rc = lsm_snapshot_list(ctl->engine, gather, &pruning);
    if (rc) {
        ctl_store_failed(ctl, rc);
    } else {
        for (unsigned i = 0; i < 4; i++)
            keep(ctl, &pruning, rules[i], counts[i]);
        status = prune(ctl, &pruning);
    }
    release(&pruning);
    return ctl_store_close(ctl, status);
}
