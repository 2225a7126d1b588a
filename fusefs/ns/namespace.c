// Opening and closing a namespace; what belongs to it as a whole: inode numbers, file counters,
// figures.
//
// A store is a namespace if its superblock says so: an empty store becomes one (superblock, root
// and first inode range in one batch), a store with anything else in it is refused.
//
// Thread safety: ns_open and ns_close by one thread; the rest from any.
#include "ns/namespace.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/coding.h"
#include "base/status.h"
#include "ns/attributes/attributes.h"
#include "ns/content/fragments.h"
#include "ns/content/unwritten.h"
#include "ns/names/listing.h"
#include "ns/operation/ns_internal.h"
#include "ns/upkeep/upkeep.h"

#define NS_BLOCK 4096u // of what statfs counts in

void ns_options_init(struct ns_options *options)
{
    *options = (struct ns_options){
        .inline_max = 2048, .cut_extents = 1024, .merge_delay_ms = 2000, .root_mode = 0755};
    lsm_options_init(&options->engine);
    // No table is mapped, so that an error of the disk is an errno and does not end the daemon, and
    // whoever walks a tree that the kernel does not hold has it read ahead.
    options->engine.map_budget = 0;
    // Overwriting a part of an extent leaves parts of it, so more garbage is not known yet than
    // with whole values. With this ratio blob files stay within 1.5 times the data all the same.
    options->engine.blob_garbage_ratio = 12;
}

// ---- the superblock and a new store

static int create_namespace(struct ns *ns, const struct ns_options *options)
{
    uint8_t super[NS_SUPER_SIZE], number[8];
    super_make(super, 0);
    struct timespec now = ns_now();
    struct record root = {
        .ino = NS_ROOT_INO,
        .mode = S_IFDIR | (options->root_mode & 07777),
        .nlink = 2,
        .uid = options->root_uid,
        .gid = options->root_gid,
        .atime = now,
        .mtime = now,
        .ctime = now,
        .btime = now,
    };
    struct lsm_batch *batch;
    struct buf out = {0};
    int rc = lsm_batch_new(&batch);
    if (rc)
        return rc;
    struct pathkey key;
    pathkey_single(&key, KEY_SUPER);
    rc = lsm_batch_put(batch, key.data, key.size, super, sizeof(super));
    pathkey_single(&key, KEY_RESERVED);
    put_fixed64(number, NS_ROOT_INO + 1);
    if (!rc)
        rc = lsm_batch_put(batch, key.data, key.size, number, sizeof(number));
    pathkey_counter(&key, 0);
    put_fixed64(number, 1);
    if (!rc)
        rc = lsm_batch_put(batch, key.data, key.size, number, sizeof(number));
    pathkey_single(&key, KEY_ROOT);
    if (!rc)
        rc = record_encode(&root, &out);
    if (!rc)
        rc = lsm_batch_put(batch, key.data, key.size, out.data, out.size);
    if (!rc)
        rc = lsm_write(ns->db, NULL, batch);
    lsm_batch_free(batch);
    buf_release(&out);
    return rc;
}

static int store_is_empty(struct ns *ns, bool *ret_empty)
{
    struct lsm_iter *iter;
    int rc = lsm_iter_new(ns->db, NULL, &iter);
    if (rc)
        return rc;
    lsm_iter_seek_first(iter);
    *ret_empty = !lsm_iter_valid(iter);
    rc = lsm_iter_status(iter);
    lsm_iter_free(iter);
    return rc;
}

static int check_super(struct ns *ns, const struct ns_options *options)
{
    int rc = super_read(ns);
    if (rc != LSM_NOT_FOUND)
        return rc;
    bool empty;
    rc = store_is_empty(ns, &empty);
    if (!rc && (!empty || ns->read_only))
        rc = status_fail(LSM_NOT_A_STORE, "%s: a tinylsm store without a file system in it",
                         ns->path);
    return rc ? rc : create_namespace(ns, options);
}

// ---- inode numbers, counters

static int load_numbers(struct ns *ns)
{
    struct pathkey key;
    uint64_t value;
    pathkey_single(&key, KEY_RESERVED);
    int rc = ns_number_read(ns, &key, &value);
    if (rc == LSM_NOT_FOUND || (!rc && value <= NS_ROOT_INO))
        return status_fail(LSM_CORRUPTION, "%s: inode numbers are missing", ns->path);
    if (rc)
        return rc;
    numbers_lock(ns);
    ns->ino_next = ns->ino_reserved = value;
    numbers_unlock(ns);
    return counters_read(ns);
}

// ---- open, close

static int make_root(struct ns *ns)
{
    struct loaded root = {0};
    struct pathkey key;
    pathkey_single(&key, KEY_ROOT);
    int rc = lsm_get(ns->db, &ns->at, key.data, key.size, &root.raw);
    if (!rc)
        rc = record_decode(root.raw.data, root.raw.size, &root.rec);
    if (rc == LSM_NOT_FOUND ||
        (!rc && (root.rec.is_link || !S_ISDIR(root.rec.mode) || root.rec.ino != NS_ROOT_INO)))
        rc = status_fail(LSM_CORRUPTION, "%s: the root directory is missing", ns->path);
    lsm_buf_release(&root.raw);
    if (rc)
        return rc;
    struct inode_init init = {.ino = NS_ROOT_INO, .type = S_IFDIR, .location = AT_ROOT};
    init.own_prefix = prefix_new(slice_of(NULL, 0), NS_ROOT_INO);
    struct ns_inode *inode = init.own_prefix ? inode_new(&init) : NULL;
    prefix_put(init.own_prefix);
    if (!inode)
        return status_no_memory(sizeof(*inode));
    ns->root = inode_insert(&ns->table, inode);
    return 0;
}

static struct ns *ns_new(const char *path, const struct ns_options *options)
{
    struct ns *ns = calloc(1, sizeof(*ns));
    if (!ns)
        return NULL;
    ns->path = strdup(path);
    ns->listings = listings_new();
    if (!ns->path || !ns->listings || inode_table_init(&ns->table)) {
        listings_free(ns->listings);
        free(ns->path);
        free(ns);
        return NULL;
    }
    ns->inline_max = options->inline_max;
    ns->cut_extents = options->cut_extents;
    ns->merge_delay_ms = options->merge_delay_ms;
    ns->follows = options->engine.follow;
    ns->read_only = options->engine.read_only || options->snapshot || ns->follows;
    pthread_mutex_init(&ns->follow_mutex, NULL);
    pthread_mutex_init(&ns->rename_mutex, NULL);
    pthread_mutex_init(&ns->ino_mutex, NULL);
    pthread_mutex_init(&ns->op_mutex, NULL);
    pthread_cond_init(&ns->gate_changed, NULL);
    promise_init(ns);
    for (size_t i = 0; i < NS_COUNTER_STRIPES; i++)
        pthread_mutex_init(&ns->counters[i].mutex, NULL);
    return ns;
}

// Fills in what is read once, and starts what runs beside.
static int open_tree(struct ns *ns, const struct ns_options *options)
{
    int rc = check_super(ns, options);
    if (!rc)
        rc = load_numbers(ns);
    if (!rc)
        rc = markers_count(ns);
    if (!rc)
        rc = ns_look_for_labels(ns);
    if (!rc)
        rc = make_root(ns);
    if (!rc && !ns->read_only) {
        uint64_t unwritten = 0;
        if (super_has(ns, FEATURE_UNWRITTEN))
            rc = unwritten_sum(ns, &unwritten);
        if (!rc)
            promise_open(ns, unwritten);
    }
    if (!rc && !ns->read_only) {
        int error = -upkeep_start(ns);
        if (error)
            rc = status_from_errno(error, "starting background work of", ns->path);
    }
    return rc;
}

// The end of opening: hands out or, after the failure `status`, closes.
static int opened(struct ns *ns, int status, struct ns **ret_ns)
{
    if (status) {
        struct status_kept kept; // closing must not replace the reason
        status_keep(&kept);
        ns_discard(ns);
        status_restore(&kept);
        return status;
    }
    assert(ns->read_only == !ns->to_reclaim);
    *ret_ns = ns;
    return 0;
}

int ns_open(const char *path, const struct ns_options *options, struct ns **ret_ns)
{
    if (options->inline_max > RECORD_CONTENT_MAX)
        return status_fail(LSM_INVALID, "inline_max: %u is more than %u", options->inline_max,
                           RECORD_CONTENT_MAX);
    struct ns *ns = ns_new(path, options);
    if (!ns)
        return status_no_memory(sizeof(*ns));
    int rc = lsm_open(path, &options->engine, &ns->db);
    if (!rc && options->snapshot)
        rc = lsm_snapshot_open(ns->db, options->snapshot, &ns->at.snapshot);
    if (!rc)
        rc = open_tree(ns, options);
    return opened(ns, rc, ret_ns);
}

int ns_open_at(struct ns *live, const struct lsm_snapshot *snapshot, struct ns **ret_ns)
{
    struct ns_options options;
    ns_options_init(&options);
    options.engine.read_only = true;
    struct ns *ns = ns_new(live->path, &options);
    if (!ns) {
        lsm_snapshot_free(live->db, snapshot);
        return status_no_memory(sizeof(*ns));
    }
    ns->db = live->db;
    ns->shares_db = true;
    ns->at.snapshot = snapshot;
    return opened(ns, open_tree(ns, &options), ret_ns);
}

int ns_open_snapshot(struct ns *live, const char *name, struct ns **ret_ns)
{
    const struct lsm_snapshot *snapshot;
    int rc =
        name ? lsm_snapshot_open(live->db, name, &snapshot) : lsm_snapshot_new(live->db, &snapshot);
    return rc ? rc : ns_open_at(live, snapshot, ret_ns);
}

static bool is_reserved_key(void *arg, const void *key, size_t size)
{
    struct pathkey reserved;
    (void)arg;
    pathkey_single(&reserved, KEY_RESERVED);
    return size == reserved.size && memcmp(key, reserved.data, size) == 0;
}

int ns_rollback(struct lsm *db, const char *name)
{
    return lsm_snapshot_rollback(db, name, is_reserved_key, NULL);
}

static int close_with(struct ns *ns, int (*close_engine)(struct lsm *db))
{
    if (!ns)
        return 0;
    assert(ns->read_only || !ns->shares_db);
    upkeep_stop(ns);
    inode_table_release(&ns->table);
    reclaim_queue_free(ns->to_reclaim);
    fragments_free(ns->fragments);
    atimes_free(ns->atimes);
    listings_free(ns->listings);
    op_free_idle(ns);
    if (ns->db)
        lsm_snapshot_free(ns->db, ns->at.snapshot);
    int rc = ns->shares_db ? 0 : close_engine(ns->db);
    pthread_mutex_destroy(&ns->rename_mutex);
    pthread_mutex_destroy(&ns->ino_mutex);
    pthread_cond_destroy(&ns->gate_changed);
    pthread_mutex_destroy(&ns->op_mutex);
    pthread_mutex_destroy(&ns->follow_mutex);
    promise_release(ns);
    for (size_t i = 0; i < NS_COUNTER_STRIPES; i++)
        pthread_mutex_destroy(&ns->counters[i].mutex);
    free(ns->path);
    free(ns);
    return rc;
}

int ns_close(struct ns *ns)
{
    return close_with(ns, lsm_close);
}

int ns_discard(struct ns *ns)
{
    return close_with(ns, lsm_discard);
}

// ---- the whole

struct lsm *ns_engine(struct ns *ns)
{
    return ns->db;
}

int ns_sync(struct ns *ns)
{
    return ns_err(lsm_sync(ns->db));
}

int ns_statfs(struct ns *ns, struct statvfs *ret_stat)
{
    uint64_t free_bytes, available_bytes, total_bytes;
    int rc = promise_space(ns, &free_bytes, &available_bytes, &total_bytes);
    if (rc)
        return ns_err(rc);
    int64_t used = 0;
    for (unsigned i = 0; i < NS_COUNTER_STRIPES; i++)
        used += ns->counters[i].value;
    uint64_t free_blocks = free_bytes / NS_BLOCK, available_blocks = available_bytes / NS_BLOCK;
    *ret_stat = (struct statvfs){
        .f_bsize = NS_BLOCK,
        .f_frsize = NS_BLOCK,
        .f_blocks = total_bytes / NS_BLOCK,
        .f_bfree = free_blocks,
        .f_bavail = available_blocks, // without what is kept for deleting
        // Every free block could become a file.
        .f_files = (uint64_t)(used > 0 ? used : 0) + free_blocks,
        .f_ffree = free_blocks,
        .f_favail = available_blocks,
        .f_namemax = NS_NAME_MAX,
    };
    return 0;
}
