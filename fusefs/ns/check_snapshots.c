// The check of the present and of all named snapshots.
//
// Each of them is checked as a tree of its own by ns_check(): the present first, then the snapshots
// from the newest to the oldest. A snapshot is left out if no key differs between it and the next
// newer tree. So the check costs a walk over all names for each snapshot that differs from that.
//
// A problem that a newer tree has too is told once.
//
// Thread safety: one thread; the store may be in use meanwhile if `ns` is a snapshot.
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/hash.h"
#include "base/numbers.h"
#include "ns/operation/ns_internal.h"

#define TOLD_MAX 4096u // problems that are remembered; further ones may be told again

struct snapshot_names {
    char **at; // the oldest first
    size_t count, capacity;
};

struct snapshots_check {
    lsm_check_fn *report;
    lsm_progress_fn *progress;
    void *arg;               // for report() and progress()
    const char *snapshot;    // NULL: the present
    struct number_list told; // hashes of the problems so far
    int64_t problems;
    int failed; // 0 or -ENOMEM
};

static void tell(void *arg, const char *problem)
{
    struct snapshots_check *checking = arg;
    uint64_t hash = hash64(problem, strlen(problem));
    char *text = NULL;
    assert(checking->told.count <= TOLD_MAX);
    for (size_t i = 0; i < checking->told.count; i++)
        if (checking->told.at[i] == hash)
            return;
    if ((checking->told.count < TOLD_MAX && number_list_add(&checking->told, hash)) ||
        (checking->snapshot &&
         asprintf(&text, "snapshot %s: %s", checking->snapshot, problem) < 0)) {
        checking->failed = -ENOMEM;
        return;
    }
    checking->problems++;
    if (checking->report)
        checking->report(checking->arg, text ? text : problem);
    free(text);
}

static int go_on(void *arg, uint64_t done, uint64_t total)
{
    struct snapshots_check *checking = arg;
    return checking->progress ? checking->progress(checking->arg, done, total) : 0;
}

// ------------------------------------------------------------------------------- the snapshots

static int add_name(void *arg, const struct lsm_snapshot_info *info)
{
    struct snapshot_names *names = arg;
    if (!array_grow(&names->at, &names->capacity, names->count, sizeof *names->at))
        return LSM_NO_MEMORY;
    char *name = strdup(info->name);
    if (!name)
        return LSM_NO_MEMORY;
    names->at[names->count++] = name;
    return 0;
}

static void names_release(struct snapshot_names *names)
{
    for (size_t i = 0; i < names->count; i++)
        free(names->at[i]);
    free(names->at);
}

// *ret_same: no key differs between a snapshot and a newer one (NULL: the present). A snapshot that
// was deleted meanwhile counts as the same: there is nothing left to check.
static int is_same(struct lsm *db, const char *name, const char *newer, bool *ret_same)
{
    const struct lsm_snapshot *from = NULL, *to = NULL;
    struct lsm_diff *diff;
    *ret_same = false;
    int rc = lsm_snapshot_open(db, name, &from);
    if (!rc)
        rc = newer ? lsm_snapshot_open(db, newer, &to) : lsm_snapshot_new(db, &to);
    if (!rc)
        rc = lsm_diff_new(db, from, to, &diff);
    if (!rc) {
        int more = lsm_diff_next(diff);
        *ret_same = more == 0;
        rc = more < 0 ? more : 0;
        lsm_diff_free(diff);
    }
    if (to)
        lsm_snapshot_free(db, to);
    if (from)
        lsm_snapshot_free(db, from);
    *ret_same = *ret_same || (rc == LSM_NOT_FOUND && !from);
    return rc == LSM_NOT_FOUND ? 0 : ns_err(rc);
}

// Checks one snapshot. If it cannot be read, that is told as a problem. 0, -ECANCELED or -ENOMEM.
static int check_one(struct ns *ns, struct snapshots_check *checking, const char *name)
{
    struct ns *view = NULL;
    char *text = NULL;
    checking->snapshot = name;
    int64_t rc = ns_open_snapshot(ns, name, &view);
    if (rc == LSM_NOT_FOUND)
        return 0; // it was deleted
    assert(rc || view);
    rc = rc ? -ns_errno((int)rc) : ns_check(view, tell, go_on, checking);
    if (rc < 0 && rc != -ECANCELED && rc != -ENOMEM) {
        if (asprintf(&text, "the tree cannot be checked to its end: %s: %s", strerror((int)-rc),
                     lsm_error_detail()) < 0)
            rc = -ENOMEM;
        else
            tell(checking, text);
        free(text);
    }
    if (view)
        (void)!ns_close(view);
    return rc == -ECANCELED || rc == -ENOMEM ? (int)rc : checking->failed;
}

int64_t ns_check_all(struct ns *ns, lsm_check_fn *report, lsm_progress_fn *progress, void *arg)
{
    struct snapshots_check checking = {.report = report, .progress = progress, .arg = arg};
    struct snapshot_names names = {0};
    struct lsm *db = ns_engine(ns);
    int64_t rc = ns_check(ns, tell, go_on, &checking);
    if (rc >= 0)
        rc = checking.failed ? checking.failed : ns_err(lsm_snapshot_list(db, add_name, &names));
    for (size_t i = names.count; !rc && i > 0; i--) {
        bool same;
        rc = is_same(db, names.at[i - 1], i < names.count ? names.at[i] : NULL, &same);
        if (!rc && !same)
            rc = check_one(ns, &checking, names.at[i - 1]);
    }
    names_release(&names);
    number_list_release(&checking.told);
    return rc < 0 ? rc : checking.problems;
}
