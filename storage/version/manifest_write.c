// The manifest, writing side: creating one, switching CURRENT to it, appending edits.
//
// A new manifest takes effect in an order in which each step is durable before the next begins:
// header and snapshot in one write, sync, the directory entry, CURRENT by rename. Until the rename
// the old manifest is in force and complete; after it the new one is.
//
// An append is one write at the known end and one sync. One that a full disk refuses, or that fails
// for a reason that passes, is cut off again. Any other failure is kept: bytes of unknown extent
// may be in the file, and writing after them could turn a torn end into damage in the middle.
//
// The first append that adds snapshots raises the format in the header, within one sector, and its
// sync covers both. If the power goes before that, either may be there without the other: a program
// that knows snapshots reads both, and one that does not refuses both the format and the edit.
//
// One thread at a time.
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/coding.h"
#include "base/hash.h"
#include "base/status.h"
#include "version/manifest.h"
#include "version/manifest_format.h"
#include "version/store_files.h"

struct manifest {
    struct env_file *file;
    uint64_t number;
    uint64_t size; // where the next record goes
    uint32_t format;
    int status; // the first failure; sticky
    struct buf record;
};

void manifest_state_release(struct manifest_state *state)
{
    if (state->version)
        version_unref(state->version);
    snapshot_set_release(&state->snapshots);
    *state = (struct manifest_state){0};
}

static void encode_header(uint8_t header[MANIFEST_HEADER_SIZE], uint32_t format, uint64_t number)
{
    memset(header, 0, MANIFEST_HEADER_SIZE);
    memcpy(header, MANIFEST_MAGIC, 8);
    put_fixed32(header + 8, format);
    put_fixed64(header + 16, number);
    // The checksum is taken over the header without its own field.
    uint8_t covered[MANIFEST_HEADER_SIZE - 4];
    memcpy(covered, header, 12);
    memcpy(covered + 12, header + 16, MANIFEST_HEADER_SIZE - 16);
    put_fixed32(header + 12, crc32_of(covered, sizeof(covered)));
}

static int append_record(struct buf *out, const struct version_edit *edit)
{
    static const uint8_t end_mark = MANIFEST_END_MARK;
    static const uint8_t no_header[MANIFEST_RECORD_HEADER];
    size_t start = out->size;
    int rc = buf_append(out, no_header, sizeof(no_header));
    if (!rc)
        rc = version_edit_encode(edit, out);
    if (!rc)
        rc = buf_append(out, &end_mark, 1);
    if (rc)
        return rc;
    uint8_t *header = out->data + start;
    size_t size = out->size - start - MANIFEST_RECORD_HEADER - 1;
    if (size > MANIFEST_MAX_SIZE / 2)
        return status_fail(LSM_INVALID, "a version edit of %zu bytes", size);
    put_fixed32(header, (uint32_t)size);
    put_fixed32(header + 4, crc32_of(header + MANIFEST_RECORD_HEADER, size));
    put_fixed32(header + 8, crc32_of(header, 8));
    return 0;
}

// An edit that makes `state` from nothing.
static int snapshot_edit(const struct manifest_state *state, uint64_t number,
                         struct version_edit *edit)
{
    edit->has_log_number = edit->has_next_file = edit->has_last_sequence = true;
    edit->log_number = state->log_number;
    edit->next_file = state->next_file > number ? state->next_file : number + 1;
    edit->last_sequence = state->last_sequence;
    int rc = snapshot_set_copy(&state->snapshots, &edit->snapshots_added);
    for (unsigned level = 0; level < VERSION_LEVELS && !rc; level++) {
        const struct version_level *l = &state->version->levels[level];
        for (unsigned i = 0; i < l->count && !rc; i++)
            rc = version_edit_add(edit, level, l->files[i]);
    }
    return rc;
}

// The bytes of a new manifest.
static int build_snapshot(const struct manifest_state *state, uint32_t format, uint64_t number,
                          struct buf *out)
{
    struct version_edit edit = {0};
    uint8_t header[MANIFEST_HEADER_SIZE];
    int rc = snapshot_edit(state, number, &edit);
    encode_header(header, format, number);
    if (!rc)
        rc = buf_append(out, header, sizeof(header));
    assert(rc || out->size == MANIFEST_HEADER_SIZE); // records begin behind it
    if (!rc)
        rc = append_record(out, &edit);
    version_edit_release(&edit);
    return rc;
}

static int set_current(struct env *env, uint64_t number)
{
    char text[128];
    int n = snprintf(text, sizeof(text), "%s%u\nMANIFEST-%06" PRIu64 "\n", CURRENT_MAGIC,
                     CURRENT_FORMAT, number);
    uint32_t crc = crc32_of(text, (size_t)n);
    n += snprintf(text + n, sizeof(text) - (size_t)n, "crc32 %08" PRIx32 "\n", crc);
    return env_write_file_atomic(env, "CURRENT", text, (size_t)n);
}

int manifest_create(struct env *env, uint64_t number, const struct manifest_state *state,
                    struct manifest **ret_manifest)
{
    char name[STORE_NAME_MAX];
    struct manifest *manifest = calloc(1, sizeof(*manifest));
    if (!manifest)
        return status_no_memory(sizeof(*manifest));
    manifest->number = number;
    store_file_name(name, STORE_MANIFEST, number);
    manifest->format = state->snapshots.count ? MANIFEST_FORMAT : MANIFEST_FORMAT_PLAIN;
    int rc = build_snapshot(state, manifest->format, number, &manifest->record);
    // A file of this name can only be left from a creation that failed before CURRENT named it.
    if (!rc)
        rc = env_open(env, name, ENV_WRITE | ENV_CREATE | ENV_TRUNCATE, &manifest->file);
    if (!rc)
        rc = env_pwrite(manifest->file, manifest->record.data, manifest->record.size, 0);
    if (!rc)
        rc = env_sync(manifest->file);
    if (!rc)
        rc = env->ops->sync_dir(env, ENV_HERE);
    bool named = !rc; // CURRENT may name the new manifest: then the file stays
    if (!rc) {
        rc = set_current(env, number);
        named = !status_is_clean(rc);
    }
    if (rc) {
        struct status_kept kept;
        status_keep(&kept);
        if (manifest->file && !named)
            (void)!env->ops->unlink(env, name);
        manifest_free(manifest);
        status_restore(&kept);
        return rc;
    }
    manifest->size = manifest->record.size;
    *ret_manifest = manifest;
    return 0;
}

// Cuts off what a write that failed with `status` has put into the file.
static int undo_append(struct manifest *manifest, int status)
{
    struct status_kept kept;
    status_keep(&kept);
    if (manifest->file->ops->truncate(manifest->file, manifest->size))
        manifest->status = LSM_IO_ERROR;
    status_restore(&kept);
    return manifest->status ? manifest->status : status;
}

// For a record with snapshots, which older programs would drop: the header's format and checksum.
static int raise_format(struct manifest *manifest)
{
    static_assert(MANIFEST_HEADER_SIZE <= MANIFEST_SECTOR, "a disk tears no sector");
    uint8_t header[MANIFEST_HEADER_SIZE];
    if (manifest->format == MANIFEST_FORMAT)
        return 0;
    encode_header(header, MANIFEST_FORMAT, manifest->number);
    int rc = env_pwrite(manifest->file, header + 8, 8, 8);
    if (rc && !status_is_clean(rc))
        manifest->status = rc = status_final(rc);
    if (!rc)
        manifest->format = MANIFEST_FORMAT;
    return rc;
}

int manifest_append(struct manifest *manifest, const struct version_edit *edit)
{
    if (manifest->status)
        return status_fail(manifest->status, "%s: an earlier write failed (%s)",
                           manifest->file->path, lsm_strerror(manifest->status));
    struct buf *record = &manifest->record;
    record->size = 0;
    int rc = append_record(record, edit);
    if (!rc && edit->snapshots_added.count)
        rc = raise_format(manifest);
    if (rc)
        return rc; // no part of the record was written
    rc = env_pwrite(manifest->file, record->data, record->size, manifest->size);
    if (status_is_clean(rc))
        return undo_append(manifest, rc);
    if (!rc)
        rc = env_sync(manifest->file);
    if (rc) {
        manifest->status = status_final(rc);
        return manifest->status;
    }
    manifest->size += record->size;
    return 0;
}

uint64_t manifest_size(const struct manifest *manifest)
{
    return manifest->size;
}

uint64_t manifest_number(const struct manifest *manifest)
{
    return manifest->number;
}

void manifest_free(struct manifest *manifest)
{
    if (!manifest)
        return;
    // A failed close loses nothing: all edits that count were synced.
    (void)env_close(manifest->file);
    buf_release(&manifest->record);
    free(manifest);
}
