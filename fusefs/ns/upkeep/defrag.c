// Merging extents. A file that is overwritten in short pieces at random, or grows by them, ends up
// as very many extents: reading it in order costs an engine lookup and perhaps a seek of the disk
// for each. So when a file has seen many short writes and has then been left alone for a while, its
// extents are looked at, and each cell of the grid that consists of many short ones is rewritten:
// runs of extents that touch become one extent. Holes stay holes.
//
// A cell is read from a snapshot, without a lock, and is being watched meanwhile; then it is
// written as one batch under the inode's exclusive lock, unless its content changed since. The
// record does not change: neither content, size, times nor data_bytes do. A crash leaves a cell
// merged or as it was.
//
// The files are those that fragments.h notes. One that is not live when its turn comes is passed
// over: its record cannot be found by number.
//
// One thread, which rests after each merged cell for as long as the merging took. While others
// write it rests REST_BUSY times as long: they need the disk too, and what was merged is written to
// it later. Failure: the file stays as it is.
#include "ns/upkeep/defrag.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "ns/content/extents.h"
#include "ns/content/fragments.h"
#include "ns/content/tail.h"
#include "ns/operation/ns_internal.h"

#define CELL_EXTENTS_MIN 8u          // a cell with fewer is left alone
#define CELL_AVERAGE_MAX (64u << 10) // as is one whose extents are longer, on average
#define SCAN_EXTENTS     4096u
#define REST_MAX_US      100000u
#define REST_BUSY        20u

struct defrag {
    struct ns *ns;
    struct fragments *fragments;
    pthread_t thread;
};

// ------------------------------------------------------------------------------- one cell

// The end of the run of touching extents that begins at list[i]; *ret_next is the index after it.
static uint64_t run_end(const struct extent_list *list, size_t i, size_t *ret_next)
{
    assert(i < list->count);
    uint64_t end = list->at[i].start + list->at[i].size;
    for (i++; i < list->count && list->at[i].start == end; i++)
        end += list->at[i].size;
    *ret_next = i;
    return end;
}

static bool is_fragmented(size_t extents, uint64_t bytes)
{
    return extents >= CELL_EXTENTS_MIN && bytes / extents < CELL_AVERAGE_MAX;
}

// Adds to the batch the merged extents of the cell as of the snapshot.
static int merge_runs(struct ns *ns, const struct lsm_snapshot *snapshot, struct op *op,
                      uint64_t ino, uint64_t cell)
{
    uint64_t bytes = 0;
    assert(cell % NS_EXTENT_MAX == 0);
    int rc = extents_list_at(ns, snapshot, ino, cell, cell + NS_EXTENT_MAX, SIZE_MAX, &op->extents);
    for (size_t i = 0; i < op->extents.count; i++)
        bytes += op->extents.at[i].size;
    if (rc || !is_fragmented(op->extents.count, bytes))
        return rc;
    op->content.size = 0;
    if (buf_reserve(&op->content, NS_EXTENT_MAX))
        return -ENOMEM;
    for (size_t i = 0, next; i < op->extents.count && !rc; i = next) {
        struct pathkey key;
        uint64_t start = op->extents.at[i].start, end = run_end(&op->extents, i, &next);
        if (next == i + 1)
            continue;
        uint8_t *data = op->content.data + (start - cell);
        rc = extents_read(ns, snapshot, ino, data, start, end);
        for (size_t k = i + 1; k < next && !rc; k++) {
            pathkey_extent(&key, ino, op->extents.at[k].start);
            rc = op_delete(op, &key);
        }
        pathkey_extent(&key, ino, start);
        if (!rc)
            rc = op_put_borrowed(op, &key, slice_of(data, (size_t)(end - start)));
    }
    return rc;
}

// Takes a snapshot of the file, and has changes of the cell noted from then on. Under the inode's
// lock, so that no change is under way.
static int watch_begin(struct defrag *defrag, struct ns_inode *inode, uint64_t cell,
                       const struct lsm_snapshot **ret_snapshot)
{
    struct ns *ns = defrag->ns;
    struct inode_lock lock;
    inode_hold(&ns->table.locks, &lock, inode->ino);
    int rc = inode_is_unlinked(inode) ? -ENOENT : tail_settle(ns, inode);
    if (!rc)
        rc = ns_err(lsm_snapshot_new(ns->db, ret_snapshot));
    if (!rc)
        fragments_watch(defrag->fragments, inode->ino, cell);
    inode_release(&ns->table.locks, &lock);
    return rc;
}

static int commit_unless_changed(struct defrag *defrag, struct op *op, struct ns_inode *inode)
{
    struct ns *ns = defrag->ns;
    struct inode_lock lock;
    inode_hold(&ns->table.locks, &lock, inode->ino);
    bool changed = fragments_watched_changed(defrag->fragments);
    int rc = inode_is_unlinked(inode) ? -ENOENT : changed ? 0 : op_commit(ns, op);
    inode_release(&ns->table.locks, &lock);
    if (changed) // somebody wrote to the cell: it is left for later
        fragments_note(defrag->fragments, inode, FRAGMENTS_NOTES);
    return rc;
}

static int merge_cell(struct defrag *defrag, struct ns_inode *inode, uint64_t cell)
{
    const struct lsm_snapshot *snapshot = NULL;
    struct op *op = op_begin(defrag->ns);
    if (!op)
        return -ENOMEM;
    int rc = watch_begin(defrag, inode, cell, &snapshot);
    if (!rc)
        rc = merge_runs(defrag->ns, snapshot, op, inode->ino, cell);
    if (!rc)
        rc = commit_unless_changed(defrag, op, inode);
    fragments_unwatch(defrag->fragments);
    lsm_snapshot_free(defrag->ns->db, snapshot);
    op_end(defrag->ns, op);
    return rc;
}

// ------------------------------------------------------------------------------- one file

static uint64_t last_sequence(struct defrag *defrag)
{
    uint64_t sequence = 0;
    (void)lsm_property_uint(defrag->ns->db, "last-sequence", &sequence);
    return sequence;
}

// Rests after a cell for as long as its merging took, or REST_BUSY times as long if others write.
static void rest(struct defrag *defrag, uint64_t worked_us)
{
    uint64_t us = worked_us < REST_MAX_US ? worked_us : REST_MAX_US, before = last_sequence(defrag);
    fragments_pause(defrag->fragments, us);
    if (last_sequence(defrag) != before)
        fragments_pause(defrag->fragments, us * (REST_BUSY - 1));
}

// Looks at the cells that begin in the listed extents; *ret_from is where the next listing begins.
static int scan_cells(struct defrag *defrag, struct ns_inode *inode, const struct extent_list *list,
                      uint64_t *ret_from)
{
    bool last = list->count < SCAN_EXTENTS;
    for (size_t i = 0; i < list->count;) {
        uint64_t cell = list->at[i].start - list->at[i].start % NS_EXTENT_MAX, bytes = 0;
        size_t first = i;
        while (i < list->count && list->at[i].start < cell + NS_EXTENT_MAX)
            bytes += list->at[i++].size;
        if (i == list->count && !last && first > 0) {
            *ret_from = cell; // the cell may have been listed only in part
            return 0;
        }
        if (is_fragmented(i - first, bytes)) {
            uint64_t start = clock_us();
            int rc = merge_cell(defrag, inode, cell);
            if (rc)
                return rc;
            rest(defrag, clock_us() - start);
            if (fragments_is_stopping(defrag->fragments))
                return -ESHUTDOWN;
        }
        *ret_from = cell + NS_EXTENT_MAX;
    }
    if (last)
        *ret_from = UINT64_MAX;
    return 0;
}

static void defrag_file(struct defrag *defrag, uint64_t ino)
{
    struct ns *ns = defrag->ns;
    struct ns_inode *inode = inode_find(&ns->table, ino);
    struct extent_list list = {0};
    int rc = inode ? 0 : -ENOENT;
    for (uint64_t from = 0; !rc && from < UINT64_MAX;) {
        rc = inode_is_unlinked(inode)
                 ? -ENOENT
                 : extents_list(ns, ino, from, UINT64_MAX, SCAN_EXTENTS, &list);
        if (!rc)
            rc = scan_cells(defrag, inode, &list, &from);
    }
    free(list.at);
    ns_inode_drop(ns, inode);
}

static void *defrag_thread(void *arg)
{
    struct defrag *defrag = arg;
    uint64_t ino;
    while (fragments_take(defrag->fragments, &ino))
        defrag_file(defrag, ino);
    return NULL;
}

int defrag_start(struct ns *ns, struct defrag **ret_defrag)
{
    struct defrag *defrag = calloc(1, sizeof *defrag);
    if (!defrag)
        return -ENOMEM;
    defrag->ns = ns;
    defrag->fragments = ns->fragments;
    int error = pthread_create(&defrag->thread, NULL, defrag_thread, defrag);
    if (error) {
        free(defrag);
        return -error;
    }
    pthread_setname_np(defrag->thread, "lsmfs-defrag");
    *ret_defrag = defrag;
    return 0;
}

void defrag_stop(struct defrag *defrag)
{
    if (!defrag)
        return;
    fragments_stop(defrag->fragments);
    pthread_join(defrag->thread, NULL);
    free(defrag);
}
