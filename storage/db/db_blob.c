// Large values in blob files: who keeps the files that pointers name.
//
// References. Each pointer on its way keeps its file: a resolved batch has a reference
// (db_resolve.c); the write leader hands it to the active memtable before the log is written; the
// memtable's table takes over when that is part of a version, before the memtable goes. A set of
// references hangs on each memtable (memtable_owner) and is dropped with it.
//
// Durability. The log syncs blob files before itself (wal_options.before_sync); flushes sync them
// before the manifest says that a table refers to them.
//
// Thread safety: a memtable's set is added to by the write leader alone, and read when the memtable
// is immutable.
#include "db/db_blob.h"

#include <assert.h>
#include <stdlib.h>

#include "db/batch.h"
#include "db/db.h"
#include "env_rados/env_rados.h"

#define INLINE_SIZE 1024u       // shorter parts and moved values are not worth a pointer
#define SYNCED_MIN  (64u << 10) // shorter values, synced at once, are not worth a second flush

struct memtable_blobs {
    struct blob_refs set;
    _Atomic uint64_t written; // bytes appended for it
};

size_t db_blob_inline_size(const struct lsm_options *options)
{
    size_t min = options->blob_min;
    return min && min / 4 < INLINE_SIZE ? min / 4 : INLINE_SIZE;
}

// -------------------------------------------------------------------------------------- memtables

static void memtable_blobs_free(void *owner)
{
    struct memtable_blobs *blobs = owner;
    blob_refs_unref(&blobs->set);
    blob_refs_release(&blobs->set);
    free(blobs);
}

int db_memtable_new(struct lsm *db, struct memtable **ret_memtable)
{
    struct memtable *memtable;
    struct memtable_blobs *blobs = calloc(1, sizeof *blobs);
    if (!blobs)
        return status_no_memory(sizeof *blobs);
    int rc = memtable_new(db->options.write_buffer_size, &db->arenas, &memtable);
    if (rc) {
        free(blobs);
        return rc;
    }
    memtable_set_owner(memtable, blobs, memtable_blobs_free);
    *ret_memtable = memtable;
    return LSM_OK;
}

int db_blob_register(struct memtable *memtable, const struct blob_refs *refs, uint64_t written)
{
    struct memtable_blobs *blobs = memtable_owner(memtable);
    int rc = batch_pin(&blobs->set, refs);
    if (!rc)
        atomic_fetch_add_explicit(&blobs->written, written, memory_order_relaxed);
    return rc;
}

uint64_t db_memtable_blob_bytes(const struct memtable *memtable)
{
    const struct memtable_blobs *blobs = memtable_owner(memtable);
    return blobs ? atomic_load_explicit(&blobs->written, memory_order_relaxed) : 0;
}

// That an entry of a memtable has made an older blob garbage is found out when the memtable is
// flushed and its table compacted. So a memtable may refer to no more than a small share of all
// blobs; and to no more than some files' worth of them, so that recovery has not too much to
// verify. It may refer to much less while blob files cannot be removed before it is flushed
// (flush_soon).
uint64_t db_blob_flush_bytes(struct lsm *db)
{
    uint64_t bytes = blob_store_bytes(db->blobs) / 64, size = db->options.blob_file_size;
    // A flush is some twenty operations one after another, which a stream would soon wait for.
    uint64_t least = env_rados_named(db->dir) ? 2 * size : size / 4;
    bytes = bytes < least ? least : bytes > 4 * size ? 4 * size : bytes;
    return atomic_load_explicit(&db->pace.flush_soon, memory_order_relaxed) ? bytes / 16 : bytes;
}

const struct blob_refs *db_memtable_blobs(const struct memtable *memtable)
{
    const struct memtable_blobs *blobs = memtable_owner(memtable);
    assert(blobs);
    return &blobs->set;
}

void db_blob_flushed(struct memtable *memtable)
{
    struct memtable_blobs *blobs = memtable_owner(memtable);
    assert(blobs);
    for (size_t i = 0; i < blobs->set.count; i++) {
        blob_file_add_mem(blobs->set.refs[i].file, -(int64_t)blobs->set.refs[i].bytes);
        blobs->set.refs[i].bytes = 0;
    }
}

// ------------------------------------------------------------------------------------- pointers

int db_blob_open(struct lsm *db, struct slice encoded, struct blob_pointer *ret_pointer,
                 struct blob_file **ret_file)
{
    if (blob_pointer_decode(encoded, ret_pointer))
        return status_fail(LSM_CORRUPTION, "%s: a malformed blob pointer", db->dir);
    return blob_store_get(db->blobs, ret_pointer->file, ret_file);
}

size_t db_blob_min(const struct lsm *db, const struct lsm_write_options *wo)
{
    size_t min = db->options.blob_min ? db->options.blob_min : SIZE_MAX;
    return wo && (wo->sync || wo->sync_soon) && min < SYNCED_MIN ? SYNCED_MIN : min;
}

// ------------------------------------------------------------------------------------- versions

int db_blob_adopt(struct lsm *db, struct file_meta *file)
{
    for (size_t i = 0; i < file->blob_count; i++) {
        int rc = blob_store_get(db->blobs, file->blobs[i].number, &file->blobs[i].file);
        if (rc) {
            db_blob_abandon(file);
            return rc;
        }
    }
    return LSM_OK;
}

void db_blob_abandon(struct file_meta *file)
{
    for (size_t i = 0; i < file->blob_count; i++) {
        blob_file_unref(file->blobs[i].file);
        file->blobs[i].file = NULL;
    }
}

static void account_file(const struct file_meta *file, unsigned level, int sign)
{
    for (size_t i = 0; i < file->blob_count; i++) {
        int64_t bytes = sign * (int64_t)file->blobs[i].bytes;
        if (!file->blobs[i].file)
            continue;
        blob_file_add_live(file->blobs[i].file, bytes);
        if (level == 0)
            blob_file_add_level0(file->blobs[i].file, bytes);
    }
}

void db_blob_account_version(const struct version *version)
{
    for (unsigned n = 0; n < VERSION_LEVELS; n++)
        for (unsigned i = 0; i < version->levels[n].count; i++)
            account_file(version->levels[n].files[i], n, 1);
}

void db_blob_account(const struct version *base, const struct version_edit *edit)
{
    for (unsigned i = 0; i < edit->added_count; i++)
        account_file(edit->added[i].file, edit->added[i].level, 1);
    for (unsigned i = 0; i < edit->removed_count; i++) {
        const struct version_level *level = &base->levels[edit->removed[i].level];
        for (unsigned k = 0; k < level->count; k++)
            if (level->files[k]->number == edit->removed[i].number)
                account_file(level->files[k], edit->removed[i].level, -1);
    }
}

static void blob_name(uint64_t number, char name[BLOB_NAME_MAX])
{
    _Static_assert(BLOB_NAME_MAX == STORE_NAME_MAX, "a blob file's name fits");
    store_file_name(name, STORE_BLOB, number);
}

int db_blob_store_new(struct env *env, const struct lsm_options *options, unsigned handles_max,
                      struct logger logger, uint64_t (*new_number)(void *arg), void *arg,
                      struct blob_store **ret_store)
{
    struct blob_store_options o = {.env = env,
                                   .name = blob_name,
                                   .compression = options->blob_compression,
                                   .file_size = options->blob_file_size,
                                   .handles_max = handles_max,
                                   .new_number = new_number,
                                   .arg = arg,
                                   .logger = logger,
                                   .read_only = options->read_only};
    return blob_store_new(&o, ret_store);
}

int db_blob_before_sync(void *arg)
{
    struct lsm *db = arg;
    return blob_store_sync(db->blobs);
}
