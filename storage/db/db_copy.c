// Copies of the store as of one moment: a checkpoint, which links the files, and the list of them
// for somebody else to copy.
//
// The memtable is flushed, so that the tables hold all that was written before. A reference to the
// version keeps its tables, and these keep their blob files, while writes and compactions go on.
// Current blob files are ended: what is appended later is not part of the copy. A copy has no log,
// and a manifest of its own that begins with the version.
//
// Thread safety: any thread; a struct lsm_files belongs to one.
#include <assert.h>
#include <stdlib.h>

#include "compaction/level_iter.h"
#include "db/db.h"
#include "db/db_blob.h"
#include "db/db_place.h"
#include "env_rados/env_rados.h"

// What a copy consists of. The caller releases both, also after a failure.
struct held {
    struct manifest_state state;
    struct blob_refs blobs;
    uint64_t manifest; // the number of the copy's
};

// The blob files that the tables of a version refer to.
static int blobs_of(const struct version *version, struct blob_refs *refs)
{
    int rc = LSM_OK;
    for (unsigned n = 0; n < VERSION_LEVELS; n++) {
        for (unsigned i = 0; i < version->levels[n].count; i++) {
            const struct file_meta *file = version->levels[n].files[i];
            for (size_t k = 0; k < file->blob_count && !rc; k++)
                rc = blob_refs_add(refs, file->blobs[k].number, 0, NULL);
        }
    }
    return rc;
}

// To be called after a flush.
static int hold(struct lsm *db, struct held *held)
{
    db_lock(db);
    held->state.version = db_version(db);
    version_ref(db_version(db));
    held->state.last_sequence = db_manifest_sequence(db);
    int rc = snapshot_set_copy(db_named(db), &held->state.snapshots);
    db_unlock(db);
    held->manifest = db_new_file_number(db);
    held->state.next_file = held->manifest + 1;
    held->state.log_number = held->manifest + 1;
    if (!rc)
        rc = blobs_of(held->state.version, &held->blobs);
    if (!rc)
        blob_store_seal(db->blobs);
    return rc;
}

static void held_release(struct held *held)
{
    blob_refs_release(&held->blobs);
    manifest_state_release(&held->state);
}

static int write_manifest(const struct held *held, struct env *dir)
{
    struct manifest *manifest = NULL;
    int rc = manifest_create(dir, held->manifest, &held->state, &manifest);
    manifest_free(manifest);
    return rc;
}

// ------------------------------------------------------------------------------------- checkpoint

static int link_file(struct lsm *db, enum store_file kind, uint64_t number, struct env *target)
{
    char name[STORE_NAME_MAX];
    store_file_name(name, kind, number);
    return db->env->ops->link(db->env, name, target, name);
}

static int link_files(struct lsm *db, const struct held *held, struct env *target)
{
    const struct version *version = held->state.version;
    int rc = LSM_OK;
    for (unsigned n = 0; n < VERSION_LEVELS; n++)
        for (unsigned i = 0; i < version->levels[n].count && !rc; i++)
            rc = link_file(db, STORE_TABLE, version->levels[n].files[i]->number, target);
    for (size_t i = 0; i < held->blobs.count && !rc; i++)
        rc = link_file(db, STORE_BLOB, held->blobs.refs[i].number, target);
    return rc;
}

int lsm_checkpoint(struct lsm *db, const char *target)
{
    struct env *dir = NULL;
    struct env_lock *lock = NULL;
    struct held held = {0};
    if (env_rados_named(db->dir) || env_rados_named(target))
        return status_fail(LSM_INVALID,
                           "%s: a checkpoint shares its files with the store, which a cluster "
                           "cannot do: 'lsmfsctl backup' copies them",
                           target);
    int rc = lsm_flush(db);
    if (!rc)
        rc = db_place_make(db->base, target, "checkpoint", &dir, &lock);
    if (rc)
        return rc;
    rc = hold(db, &held);
    if (!rc)
        rc = link_files(db, &held, dir);
    if (!rc)
        rc = write_manifest(&held, dir);
    if (!rc)
        rc = db_place_end(dir);
    if (!rc)
        rc = db_sync_parent(db->base, target);
    db_place_leave(db->base, target, rc != LSM_OK, dir, lock);
    held_release(&held);
    return rc;
}

// ------------------------------------------------------------------------------------- the files

struct lsm_files {
    struct lsm *db;
    struct held held;
    char manifest[STORE_NAME_MAX]; // the copy's
    struct lsm_file_info *infos;
    struct file_meta **tables; // of each file: the version's, NULL: a blob file
    size_t count;
    struct env_file *file; // the one read last, `open`
    size_t open;
};

static int add_file(struct lsm_files *files, enum store_file kind, uint64_t number,
                    struct file_meta *table)
{
    struct lsm_file_info *info = &files->infos[files->count];
    struct env *env = files->db->env;
    struct env_stat stat;
    _Static_assert(sizeof info->name == STORE_NAME_MAX, "names of files fit");
    store_file_name(info->name, kind, number);
    int rc = env->ops->stat(env, info->name, &stat);
    if (rc)
        return rc;
    info->size = stat.size;
    info->modified_ns = stat.modified_ns;
    files->tables[files->count++] = table;
    return LSM_OK;
}

static int add_files(struct lsm_files *files)
{
    const struct version *version = files->held.state.version;
    const struct blob_refs *blobs = &files->held.blobs;
    size_t most = version_files(version) + blobs->count;
    files->infos = malloc((most ? most : 1) * sizeof *files->infos);
    files->tables = malloc((most ? most : 1) * sizeof(struct file_meta *));
    if (!files->infos || !files->tables)
        return status_no_memory(most * sizeof *files->infos);
    int rc = LSM_OK;
    for (unsigned n = 0; n < VERSION_LEVELS; n++)
        for (unsigned i = 0; i < version->levels[n].count && !rc; i++)
            rc = add_file(files, STORE_TABLE, version->levels[n].files[i]->number,
                          version->levels[n].files[i]);
    for (size_t i = 0; i < blobs->count && !rc; i++)
        rc = add_file(files, STORE_BLOB, blobs->refs[i].number, NULL);
    assert(files->count <= most);
    return rc;
}

int lsm_files_new(struct lsm *db, struct lsm_files **ret_files)
{
    int rc = lsm_flush(db);
    if (rc)
        return rc;
    struct lsm_files *files = calloc(1, sizeof *files);
    if (!files)
        return status_no_memory(sizeof *files);
    files->db = db;
    rc = hold(db, &files->held);
    if (!rc)
        rc = add_files(files);
    store_file_name(files->manifest, STORE_MANIFEST, files->held.manifest);
    if (rc) {
        struct status_kept kept;
        status_keep(&kept);
        lsm_files_free(files);
        status_restore(&kept);
        return rc;
    }
    *ret_files = files;
    return LSM_OK;
}

size_t lsm_files_count(const struct lsm_files *files)
{
    return files->count;
}

const struct lsm_file_info *lsm_files_info(const struct lsm_files *files, size_t index)
{
    assert(index < files->count);
    return &files->infos[index];
}

int lsm_files_read(struct lsm_files *files, size_t index, uint64_t offset, void *data, size_t size,
                   size_t *ret_size)
{
    if (files->file && files->open != index) {
        (void)env_close(files->file);
        files->file = NULL;
    }
    if (!files->file) {
        int rc = env_open(files->db->env, files->infos[index].name, ENV_READ, &files->file);
        if (rc)
            return rc;
        files->open = index;
        files->file->ops->advise(files->file, 0, files->infos[index].size, ENV_ADVISE_SEQUENTIAL);
    }
    return env_pread(files->file, data, size, offset, ret_size);
}

// Whether any blob file of the table is wanted.
static bool points_to_wanted(const struct file_meta *file, lsm_files_wanted_fn *wanted, void *arg)
{
    char name[STORE_NAME_MAX];
    for (size_t i = 0; i < file->blob_count; i++) {
        store_file_name(name, STORE_BLOB, file->blobs[i].number);
        if (wanted(arg, name))
            return true;
    }
    return false;
}

static int check_value(struct lsm *db, struct slice value, lsm_files_wanted_fn *wanted, void *arg)
{
    char name[STORE_NAME_MAX];
    struct blob_pointer pointer;
    struct blob_file *file;
    int rc = db_blob_open(db, value, &pointer, &file);
    if (rc)
        return rc;
    store_file_name(name, STORE_BLOB, pointer.file);
    if (wanted(arg, name))
        rc = blob_file_verify(file, &pointer);
    blob_file_unref(file);
    return rc;
}

static int check_values(struct lsm *db, struct file_meta *table, lsm_files_wanted_fn *wanted,
                        void *arg)
{
    struct iter *it;
    const struct sst_iter_options options = {.fill_cache = false};
    int rc = level_iter_of_table(db->table_cache, table, &options, &it);
    if (rc)
        return rc;
    for (iter_seek_first(it); it->valid && !rc; iter_next(it))
        if (tag_type(it->entry.tag) == ENTRY_BLOB)
            rc = check_value(db, it->entry.value, wanted, arg);
    if (!rc)
        rc = it->status;
    iter_free(it);
    return rc;
}

int lsm_files_check(struct lsm_files *files, size_t index, lsm_files_wanted_fn *wanted, void *arg)
{
    struct file_meta *table = files->tables[index];
    if (!table)
        return LSM_OK;
    int rc = db_check_table(files->db, table);
    if (!rc && points_to_wanted(table, wanted, arg))
        rc = check_values(files->db, table, wanted, arg);
    return rc;
}

int lsm_files_finish(const struct lsm_files *files, const char *directory)
{
    struct env *base = db_env_for(files->db, directory), *dir;
    int rc = base->ops->open_dir(base, directory, &dir);
    if (rc)
        return rc;
    rc = write_manifest(&files->held, dir);
    base->ops->close_dir(dir);
    return rc;
}

const char *lsm_files_manifest(const struct lsm_files *files)
{
    return files->manifest;
}

void lsm_files_free(struct lsm_files *files)
{
    if (!files)
        return;
    (void)env_close(files->file);
    held_release(&files->held);
    db_remove_obsolete(files->db); // what was kept for this alone
    free(files->infos);
    free(files->tables);
    free(files);
}
