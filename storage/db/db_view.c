// Read views: how readers get at a consistent set of memtables and tables without a lock.
//
// The current view is one atomic pointer. A reader pins an epoch, loads it, and may use everything
// it refers to until it unpins; an iterator takes a reference while pinned. A replaced view is
// retired: its own reference is dropped once no reader can be looking at it any more.
#include "db/db_view.h"

#include <assert.h>
#include <stdlib.h>

#include "db/db.h"

int db_view_new(struct read_view **ret_view)
{
    struct read_view *view = calloc(1, sizeof *view);
    if (!view)
        return status_no_memory(sizeof *view);
    atomic_init(&view->refs, 1);
    *ret_view = view;
    return LSM_OK;
}

void db_view_unref(struct read_view *view)
{
    if (!view)
        return;
    uint32_t before = atomic_fetch_sub_explicit(&view->refs, 1, memory_order_acq_rel);
    assert(before > 0);
    if (before != 1)
        return;
    if (view->active)
        memtable_unref(view->active);
    for (unsigned i = 0; i < view->immutable_count; i++)
        memtable_unref(view->immutables[i]);
    if (view->version)
        version_unref(view->version);
    free(view);
}

static void view_retired(struct epoch_node *node)
{
    db_view_unref((struct read_view *)((char *)node - offsetof(struct read_view, retire)));
}

void db_view_install(struct lsm *db, struct read_view *view)
{
    assert(!view->active && !view->version && view->immutable_count == 0);
    view->active = db_active(db);
    memtable_ref(view->active);
    for (unsigned i = db_immutables(db); i-- > 0;) {
        view->immutables[view->immutable_count++] = db_immutable(db, i);
        memtable_ref(db_immutable(db, i));
    }
    view->version = db_version(db);
    version_ref(view->version);
    struct read_view *old = atomic_exchange_explicit(&db->readers.view, view, memory_order_acq_rel);
    if (old)
        epoch_retire(&old->retire, view_retired);
}

struct read_view *db_view_ref(struct lsm *db, const struct lsm_snapshot *snapshot)
{
    if (snapshot && snapshot->view) {
        atomic_fetch_add_explicit(&snapshot->view->refs, 1, memory_order_relaxed);
        return snapshot->view;
    }
    epoch_pin();
    struct read_view *view = atomic_load_explicit(&db->readers.view, memory_order_acquire);
    atomic_fetch_add_explicit(&view->refs, 1, memory_order_relaxed);
    epoch_unpin();
    return view;
}

uint64_t db_read_sequence(struct lsm *db, const struct read_view *view,
                          const struct lsm_snapshot *snapshot)
{
    if (!snapshot && view->sequence)
        return view->sequence;
    // After the view: a view holds nothing newer than what was visible when it was replaced, and
    // what compaction drops is hidden by something visible before the view was made.
    return snapshot ? snapshot->sequence
                    : atomic_load_explicit(&db->readers.visible, memory_order_acquire);
}
