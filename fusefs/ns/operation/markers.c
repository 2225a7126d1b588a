// Markers: whether a directory that moved away still uses a prefix.
//
// They are counted by hash at ns_open, so that a path without moved directories costs nothing to
// verify; past MARKERS_COUNTED markers every prefix is treated as perhaps marked instead.
//
// Thread safety: any thread; markers_count() while nobody else is behind the gate (op_pass).
#include <assert.h>

#include "base/hash.h"
#include "ns/operation/ns_internal.h"

#define MARKERS_COUNTED 65536u

static _Atomic uint32_t *marker_bucket(struct ns *ns, struct slice prefix)
{
    return &ns->markers[hash64(prefix.data, prefix.size) % NS_MARKER_BUCKETS];
}

bool ns_may_be_marked(struct ns *ns, struct slice prefix)
{
    return ns->all_marked || atomic_load_explicit(marker_bucket(ns, prefix), memory_order_acquire);
}

void ns_marker_added(struct ns *ns, struct slice prefix)
{
    atomic_fetch_add_explicit(marker_bucket(ns, prefix), 1, memory_order_release);
}

void ns_marker_removed(struct ns *ns, struct slice prefix)
{
    uint32_t before = atomic_fetch_sub_explicit(marker_bucket(ns, prefix), 1, memory_order_release);
    assert(before > 0 || ns->all_marked);
    (void)before;
}

int ns_is_marked(struct ns *ns, struct slice prefix, bool *ret_marked)
{
    assert(prefix.size <= PATHKEY_PREFIX_MAX);
    *ret_marked = false;
    if (!ns_may_be_marked(ns, prefix))
        return 0;
    struct pathkey key;
    size_t got;
    pathkey_marker(&key, prefix);
    int rc = lsm_get_range(ns->db, &ns->at, key.data, key.size, 0, NULL, 0, &got, NULL);
    *ret_marked = !rc;
    return rc == LSM_NOT_FOUND ? 0 : ns_err(rc);
}

int markers_count(struct ns *ns)
{
    struct pathkey lower, upper;
    pathkey_type_bounds(KEY_MARKER, &lower, &upper);
    struct lsm_iter_options bounds = ns_between(ns->at.snapshot, &lower, &upper);
    bounds.no_fill_cache = true;
    struct lsm_iter *iter;
    int rc = lsm_iter_new(ns->db, &bounds, &iter);
    if (rc)
        return rc;
    size_t count = 0;
    for (size_t i = 0; i < NS_MARKER_BUCKETS; i++)
        atomic_store_explicit(&ns->markers[i], 0, memory_order_relaxed);
    for (lsm_iter_seek_first(iter); lsm_iter_valid(iter) && count < MARKERS_COUNTED; count++) {
        size_t size;
        const uint8_t *key = lsm_iter_key(iter, &size);
        ns_marker_added(ns, slice_of(key + 1, size - 1));
        lsm_iter_next(iter);
    }
    ns->all_marked = count == MARKERS_COUNTED || ns->follows;
    rc = lsm_iter_status(iter);
    lsm_iter_free(iter);
    return rc;
}
