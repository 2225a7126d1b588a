// Opening and closing a namespace; what belongs to it as a whole: superblock, inode numbers, file
// counters, markers, figures.
//
// A store is a namespace if its superblock says so: an empty store becomes one (superblock, root
// and first inode range in one batch), a store with anything else in it is refused.
//
// Markers are counted by hash at ns_open, so that a path without moved directories costs nothing to
// verify; past MARKERS_COUNTED markers every prefix is treated as perhaps marked instead.
//
// Thread safety: ns_open and ns_close by one thread; the rest from any.
#include "ns/namespace.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/coding.h"
#include "base/hash.h"
#include "base/status.h"
#include "ns/names/listing.h"
#include "ns/operation/ns_internal.h"

#define MARKERS_COUNTED 65536u

static const uint8_t super_magic[8] = {'l', 's', 'm', 'f', 's', ' ', 'n', 's'};
#define SUPER_SIZE 20u // magic, format version u32, incompatible features u32, reserved u32

void ns_options_init(struct ns_options *options)
{
    *options = (struct ns_options){
        .inline_max = 2048, .cut_extents = 1024, .merge_delay_ms = 2000, .root_mode = 0755};
    lsm_options_init(&options->engine);
    // No compressed table is mapped, so that an error of the disk is an errno and does not end the
    // daemon.
    options->engine.map_budget = 0;
    // Overwriting makes slices of what it leaves, so more garbage is not known yet than with whole
    // values. With this ratio blob files stay within 1.5 times the data all the same.
    options->engine.blob_garbage_ratio = 12;
}

int ns_errno(int lsm_status)
{
    switch (lsm_status) {
    case LSM_OK:
        return 0;
    case LSM_NOT_FOUND:
        return ENOENT;
    case LSM_INVALID:
        return EINVAL;
    case LSM_NO_SPACE:
        return ENOSPC;
    case LSM_BUSY:
        return EBUSY;
    case LSM_NO_MEMORY:
        return ENOMEM;
    case LSM_READ_ONLY:
        return EROFS;
    case LSM_EXISTS:
        return EEXIST;
    case LSM_PERMISSION:
        return EACCES;
    case LSM_CLOSED:
        return ESHUTDOWN;
    case LSM_NO_FILES: // the daemon has too many files open; to the users of the mount it is the
                       // system that has
        return ENFILE;
    case LSM_TRY_AGAIN:
        return EAGAIN;
    case LSM_CANCELLED:
        return ECANCELED;
    default: // CORRUPTION, IO_ERROR, and what only ns_open can meet
        return EIO;
    }
}

// ---- the superblock and a new store

static void make_super(uint8_t *ret_super, uint32_t features)
{
    memset(ret_super, 0, SUPER_SIZE);
    memcpy(ret_super, super_magic, sizeof(super_magic));
    put_fixed32(ret_super + 8, NS_FORMAT_VERSION);
    put_fixed32(ret_super + 12, features);
}

int ns_mark_feature(struct ns *ns, enum ns_feature feature)
{
    // What is lost is lost on a full disk.
    struct lsm_write_options options = {.use_little = feature == FEATURE_LOST};
    uint8_t super[SUPER_SIZE];
    struct pathkey key;
    int status = 0;
    pathkey_single(&key, KEY_SUPER);
    pthread_mutex_lock(&ns->ino_mutex);
    uint32_t features = ns->features | feature;
    if (features != ns->features) {
        make_super(super, features);
        status = lsm_put(ns->db, &options, key.data, key.size, super, sizeof super);
        if (!status)
            ns->features = features;
    }
    pthread_mutex_unlock(&ns->ino_mutex);
    return status;
}

static int create_namespace(struct ns *ns, const struct ns_options *options)
{
    uint8_t super[SUPER_SIZE], number[8];
    make_super(super, 0);
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
    int status = lsm_batch_new(&batch);
    if (status)
        return status;
    struct pathkey key;
    pathkey_single(&key, KEY_SUPER);
    status = lsm_batch_put(batch, key.data, key.size, super, sizeof(super));
    pathkey_single(&key, KEY_RESERVED);
    put_fixed64(number, NS_ROOT_INO + 1);
    if (!status)
        status = lsm_batch_put(batch, key.data, key.size, number, sizeof(number));
    pathkey_counter(&key, 0);
    put_fixed64(number, 1);
    if (!status)
        status = lsm_batch_put(batch, key.data, key.size, number, sizeof(number));
    pathkey_single(&key, KEY_ROOT);
    if (!status)
        status = record_encode(&root, &out);
    if (!status)
        status = lsm_batch_put(batch, key.data, key.size, out.data, out.size);
    if (!status)
        status = lsm_write(ns->db, NULL, batch);
    lsm_batch_free(batch);
    buf_release(&out);
    return status;
}

static int store_is_empty(struct ns *ns, bool *ret_empty)
{
    struct lsm_iter *iter;
    int status = lsm_iter_new(ns->db, NULL, &iter);
    if (status)
        return status;
    lsm_iter_seek_first(iter);
    *ret_empty = !lsm_iter_valid(iter);
    status = lsm_iter_status(iter);
    lsm_iter_free(iter);
    return status;
}

static int check_super(struct ns *ns, const struct ns_options *options)
{
    struct lsm_buf value = {0};
    struct pathkey key;
    pathkey_single(&key, KEY_SUPER);
    int status = lsm_get(ns->db, &ns->at, key.data, key.size, &value);
    if (status == LSM_NOT_FOUND) {
        bool empty;
        status = store_is_empty(ns, &empty);
        if (!status && (!empty || ns->read_only))
            status = status_fail(LSM_NOT_A_STORE, "%s: a tinylsm store without a file system in it",
                                 ns->path);
        if (!status)
            status = create_namespace(ns, options);
        return status;
    }
    const uint8_t *p = value.data;
    if (status) {
        // the failure of reading the superblock is returned as it is
    } else if (value.size < 12 || memcmp(p, super_magic, sizeof(super_magic)) != 0) {
        status = status_fail(LSM_NOT_A_STORE, "%s: a tinylsm store of something else", ns->path);
    } else if (get_fixed32(p + 8) > NS_FORMAT_VERSION) {
        status = status_fail(LSM_NEWER_FORMAT, "%s: file system format %u, this program knows %u",
                             ns->path, get_fixed32(p + 8), NS_FORMAT_VERSION);
    } else if (value.size != SUPER_SIZE) {
        status = status_fail(LSM_CORRUPTION, "%s: superblock of %zu bytes", ns->path, value.size);
    } else if (get_fixed32(p + 12) & ~(uint32_t)FEATURES_KNOWN) {
        status = status_fail(LSM_NEWER_FORMAT, "%s: unknown file system features 0x%x", ns->path,
                             get_fixed32(p + 12));
    } else {
        ns->features = get_fixed32(p + 12);
        ns->promise.is_marked = ns->features & FEATURE_UNWRITTEN;
    }
    lsm_buf_release(&value);
    return status;
}

// ---- inode numbers, counters, markers

static int load_number(struct ns *ns, const struct pathkey *key, uint64_t *ret_value)
{
    uint8_t bytes[8];
    size_t got;
    uint64_t size;
    int status =
        lsm_get_range(ns->db, &ns->at, key->data, key->size, 0, bytes, sizeof(bytes), &got, &size);
    if (status)
        return status;
    if (size != sizeof(bytes) || got != sizeof(bytes))
        return status_fail(LSM_CORRUPTION, "%s: key '%c': a number of %llu bytes", ns->path,
                           key->data[0], (unsigned long long)size);
    *ret_value = get_fixed64(bytes);
    return 0;
}

static int load_numbers(struct ns *ns)
{
    struct pathkey key;
    uint64_t value;
    pathkey_single(&key, KEY_RESERVED);
    int status = load_number(ns, &key, &value);
    if (status == LSM_NOT_FOUND || (!status && value <= NS_ROOT_INO))
        return status_fail(LSM_CORRUPTION, "%s: inode numbers are missing", ns->path);
    if (status)
        return status;
    ns->ino_next = ns->ino_reserved = value;
    for (unsigned i = 0; i < NS_COUNTER_STRIPES; i++) {
        pathkey_counter(&key, i);
        status = load_number(ns, &key, &value);
        if (status && status != LSM_NOT_FOUND)
            return status;
        ns->counters[i].value = status ? 0 : (int64_t)value;
    }
    return 0;
}

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
    atomic_fetch_sub_explicit(marker_bucket(ns, prefix), 1, memory_order_release);
}

int ns_is_marked(struct ns *ns, struct slice prefix, bool *ret_marked)
{
    *ret_marked = false;
    if (!ns_may_be_marked(ns, prefix))
        return 0;
    struct pathkey key;
    size_t got;
    pathkey_marker(&key, prefix);
    int status = lsm_get_range(ns->db, &ns->at, key.data, key.size, 0, NULL, 0, &got, NULL);
    *ret_marked = !status;
    return status == LSM_NOT_FOUND ? 0 : ns_err(status);
}

static int count_markers(struct ns *ns)
{
    struct pathkey lower, upper;
    pathkey_type_bounds(KEY_MARKER, &lower, &upper);
    struct lsm_iter_options bounds = {.snapshot = ns->at.snapshot,
                                      .lower = lower.data,
                                      .lower_size = lower.size,
                                      .upper = upper.data,
                                      .upper_size = upper.size,
                                      .no_fill_cache = true};
    struct lsm_iter *iter;
    int status = lsm_iter_new(ns->db, &bounds, &iter);
    if (status)
        return status;
    size_t count = 0;
    for (lsm_iter_seek_first(iter); lsm_iter_valid(iter) && count < MARKERS_COUNTED; count++) {
        size_t size;
        const uint8_t *key = lsm_iter_key(iter, &size);
        ns_marker_added(ns, slice_of(key + 1, size - 1));
        lsm_iter_next(iter);
    }
    ns->all_marked = count == MARKERS_COUNTED;
    status = lsm_iter_status(iter);
    lsm_iter_free(iter);
    return status;
}

// ---- open, close

static int make_root(struct ns *ns)
{
    struct loaded root = {0};
    struct pathkey key;
    pathkey_single(&key, KEY_ROOT);
    int status = lsm_get(ns->db, &ns->at, key.data, key.size, &root.raw);
    if (!status)
        status = record_decode(root.raw.data, root.raw.size, &root.rec);
    if (status == LSM_NOT_FOUND ||
        (!status && (root.rec.is_link || !S_ISDIR(root.rec.mode) || root.rec.ino != NS_ROOT_INO)))
        status = status_fail(LSM_CORRUPTION, "%s: the root directory is missing", ns->path);
    lsm_buf_release(&root.raw);
    if (status)
        return status;
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
    ns->read_only = options->engine.read_only || options->snapshot;
    pthread_mutex_init(&ns->rename_mutex, NULL);
    pthread_mutex_init(&ns->ino_mutex, NULL);
    pthread_mutex_init(&ns->op_mutex, NULL);
    promise_init(ns);
    for (size_t i = 0; i < NS_COUNTER_STRIPES; i++)
        pthread_mutex_init(&ns->counters[i].mutex, NULL);
    return ns;
}

// Fills in what is read once, and starts what runs beside.
static int open_tree(struct ns *ns, const struct ns_options *options)
{
    int status = check_super(ns, options);
    if (!status)
        status = load_numbers(ns);
    if (!status)
        status = count_markers(ns);
    if (!status)
        status = ns_look_for_labels(ns);
    if (!status)
        status = make_root(ns);
    if (!status)
        status = promise_open(ns);
    if (!status && !ns->read_only) {
        int rc = reclaim_start(ns, &ns->reclaim);
        if (!rc)
            rc = defrag_start(ns, &ns->defrag);
        if (!rc)
            rc = atimes_start(ns, &ns->atimes);
        if (rc)
            status = status_from_errno(-rc, "starting background work of", ns->path);
    }
    return status;
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
    int status = lsm_open(path, &options->engine, &ns->db);
    if (!status && options->snapshot)
        status = lsm_snapshot_open(ns->db, options->snapshot, &ns->at.snapshot);
    if (!status)
        status = open_tree(ns, options);
    return opened(ns, status, ret_ns);
}

int ns_open_snapshot(struct ns *live, const char *name, struct ns **ret_ns)
{
    struct ns_options options;
    ns_options_init(&options);
    options.engine.read_only = true;
    struct ns *ns = ns_new(live->path, &options);
    if (!ns)
        return status_no_memory(sizeof(*ns));
    ns->db = live->db;
    ns->shares_db = true;
    int status = name ? lsm_snapshot_open(ns->db, name, &ns->at.snapshot)
                      : lsm_snapshot_new(ns->db, &ns->at.snapshot);
    if (!status)
        status = open_tree(ns, &options);
    return opened(ns, status, ret_ns);
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
    // Before reclaim is stopped: atimes and defrag may give back a last reference.
    atimes_stop(ns->atimes);
    defrag_stop(ns->defrag);
    reclaim_stop(ns->reclaim);
    inode_table_release(&ns->table);
    listings_free(ns->listings);
    op_free_idle(ns);
    if (ns->db)
        lsm_snapshot_free(ns->db, ns->at.snapshot);
    int status = ns->shares_db ? 0 : close_engine(ns->db);
    pthread_mutex_destroy(&ns->rename_mutex);
    pthread_mutex_destroy(&ns->ino_mutex);
    pthread_mutex_destroy(&ns->op_mutex);
    promise_release(ns);
    for (size_t i = 0; i < NS_COUNTER_STRIPES; i++)
        pthread_mutex_destroy(&ns->counters[i].mutex);
    free(ns->path);
    free(ns);
    return status;
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

int ns_wait_idle(struct ns *ns)
{
    atimes_wait(ns->atimes);
    int rc = defrag_wait(ns->defrag);
    return rc || !ns->reclaim ? rc : reclaim_wait(ns->reclaim);
}

int ns_statfs(struct ns *ns, struct statvfs *ret_stat)
{
    uint64_t free_bytes, available_bytes, total_bytes;
    int status = lsm_space(ns->db, &free_bytes, &available_bytes, &total_bytes);
    if (status)
        return ns_err(status);
    int64_t used = 0;
    for (unsigned i = 0; i < NS_COUNTER_STRIPES; i++)
        used += ns->counters[i].value;
    uint64_t promised = promise_not_held(ns); // the disk below shows it as free
    uint64_t free_blocks = (free_bytes > promised ? free_bytes - promised : 0) / 4096;
    uint64_t available_blocks =
        (available_bytes > promised ? available_bytes - promised : 0) / 4096;
    *ret_stat = (struct statvfs){
        .f_bsize = 4096,
        .f_frsize = 4096,
        .f_blocks = total_bytes / 4096,
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
