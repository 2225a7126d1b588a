// Version edits: collecting one, and its form on disk (version_edit_format.h).
//
// Decoding trusts nothing: every number is checked for what the rest of the engine relies on (a
// level that exists, keys of legal size in order, counts that fit each other), so that a damaged
// edit whose checksum happens to match ends as LSM_CORRUPTION and not as a broken version.
//
// An edit belongs to one thread. On failure it is as it was before.
#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/array.h"
#include "base/coding.h"
#include "base/status.h"
#include "version/version.h"
#include "version/version_edit_format.h"

void version_edit_release(struct version_edit *edit)
{
    for (unsigned i = 0; i < edit->added_count; i++)
        file_meta_unref(edit->added[i].file);
    free(edit->added);
    free(edit->removed);
    snapshot_set_release(&edit->snapshots_added);
    free(edit->snapshots_removed);
    *edit = (struct version_edit){0};
}

int version_edit_add(struct version_edit *edit, unsigned level, struct file_meta *file)
{
    assert(level < VERSION_LEVELS);
    if (!array_grow(&edit->added, &edit->added_capacity, edit->added_count, sizeof *edit->added))
        return status_no_memory((edit->added_count + 1) * sizeof *edit->added);
    file_meta_ref(file);
    edit->added[edit->added_count++] = (struct version_edit_file){.level = level, .file = file};
    return 0;
}

int version_edit_remove(struct version_edit *edit, unsigned level, uint64_t number)
{
    assert(level < VERSION_LEVELS);
    if (!array_grow(&edit->removed, &edit->removed_capacity, edit->removed_count,
                    sizeof *edit->removed))
        return status_no_memory((edit->removed_count + 1) * sizeof *edit->removed);
    edit->removed[edit->removed_count++] =
        (struct version_edit_removal){.level = level, .number = number};
    return 0;
}

int version_edit_remove_snapshot(struct version_edit *edit, uint64_t id)
{
    if (!array_grow(&edit->snapshots_removed, &edit->snapshots_removed_capacity,
                    edit->snapshots_removed_count, sizeof *edit->snapshots_removed))
        return status_no_memory((edit->snapshots_removed_count + 1) *
                                sizeof *edit->snapshots_removed);
    edit->snapshots_removed[edit->snapshots_removed_count++] = id;
    return 0;
}

int version_edit_apply_snapshots(const struct version_edit *edit, struct snapshot_set *set)
{
    for (unsigned i = 0; i < edit->snapshots_removed_count; i++)
        if (!snapshot_set_remove(set, edit->snapshots_removed[i]))
            return status_fail(LSM_CORRUPTION, "there is no snapshot %" PRIu64 " to remove",
                               edit->snapshots_removed[i]);
    for (size_t i = 0; i < edit->snapshots_added.count; i++) {
        const struct snapshot_record *r = &edit->snapshots_added.at[i];
        int rc = snapshot_set_add(set, r->id, r->sequence, r->created_us, slice_str(r->name));
        snapshot_set_identify(set, r->id, r->identity);
        if (rc)
            return rc == LSM_EXISTS ? status_fail(LSM_CORRUPTION, "%s", lsm_error_detail()) : rc;
    }
    if (set->next_id < edit->snapshots_added.next_id)
        set->next_id = edit->snapshots_added.next_id;
    return 0;
}

// -------------------------------------------------------------------------------------- encoding

static size_t slice_encoded_size(struct slice s)
{
    return varint_size(s.size) + s.size;
}

static size_t blobs_size(const struct file_meta *f)
{
    size_t size = 0;
    for (size_t i = 0; i < f->blob_count; i++)
        size += varint_size(f->blobs[i].number) + varint_size(f->blobs[i].bytes);
    return size;
}

static size_t kept_size(const struct file_meta *f)
{
    size_t size = 0;
    for (size_t i = 0; i < f->kept_count; i++)
        size += varint_size(f->kept[i].first) + varint_size(f->kept[i].last - f->kept[i].first) +
                varint_size(f->kept[i].bytes);
    return size;
}

static size_t subfield_size(size_t count, size_t payload)
{
    return count ? 1 + varint_size(payload) + payload : 0;
}

static size_t file_payload_size(unsigned level, const struct file_meta *f)
{
    return varint_size(level) + varint_size(f->number) + varint_size(f->size) +
           varint_size(f->entries) + varint_size(f->deletes) + varint_size(f->raw_bytes) +
           varint_size(f->max_sequence) + varint_size(f->smallest_tag) +
           slice_encoded_size(f->smallest) + varint_size(f->largest_tag) +
           slice_encoded_size(f->largest) + subfield_size(f->blob_count, blobs_size(f)) +
           subfield_size(f->kept_count, kept_size(f));
}

static uint8_t *put_blobs(uint8_t *p, const struct file_meta *f)
{
    *p++ = EDIT_TABLE_BLOBS;
    p = put_varint64(p, blobs_size(f));
    for (size_t i = 0; i < f->blob_count; i++) {
        p = put_varint64(p, f->blobs[i].number);
        p = put_varint64(p, f->blobs[i].bytes);
    }
    return p;
}

static uint8_t *put_kept(uint8_t *p, const struct file_meta *f)
{
    *p++ = EDIT_TABLE_KEPT;
    p = put_varint64(p, kept_size(f));
    for (size_t i = 0; i < f->kept_count; i++) {
        p = put_varint64(p, f->kept[i].first);
        p = put_varint64(p, f->kept[i].last - f->kept[i].first);
        p = put_varint64(p, f->kept[i].bytes);
    }
    return p;
}

static uint8_t *put_file_payload(uint8_t *p, unsigned level, const struct file_meta *f)
{
    p = put_varint64(p, level);
    p = put_varint64(p, f->number);
    p = put_varint64(p, f->size);
    p = put_varint64(p, f->entries);
    p = put_varint64(p, f->deletes);
    p = put_varint64(p, f->raw_bytes);
    p = put_varint64(p, f->max_sequence);
    p = put_varint64(p, f->smallest_tag);
    p = put_slice(p, f->smallest);
    p = put_varint64(p, f->largest_tag);
    p = put_slice(p, f->largest);
    if (f->blob_count)
        p = put_blobs(p, f);
    return f->kept_count ? put_kept(p, f) : p;
}

// A field's tag and payload size; the caller writes the payload and moves out->size on.
static int begin_field(struct buf *out, enum edit_tag tag, size_t payload, uint8_t **ret_p)
{
    int rc = buf_reserve(out, 2 * CODING_VARINT64_MAX + payload);
    if (rc)
        return rc;
    uint8_t *p = put_varint64(out->data + out->size, (uint64_t)tag);
    *ret_p = put_varint64(p, payload);
    return 0;
}

static void end_field(struct buf *out, const uint8_t *p)
{
    out->size = (size_t)(p - out->data);
}

static int put_scalar(struct buf *out, enum edit_tag tag, uint64_t value)
{
    uint8_t *p;
    int rc = begin_field(out, tag, varint_size(value), &p);
    if (!rc)
        end_field(out, put_varint64(p, value));
    return rc;
}

static int put_removal(struct buf *out, const struct version_edit_removal *removal)
{
    uint8_t *p;
    int rc = begin_field(out, EDIT_REMOVED,
                         varint_size(removal->level) + varint_size(removal->number), &p);
    if (rc)
        return rc;
    p = put_varint64(p, removal->level);
    end_field(out, put_varint64(p, removal->number));
    return 0;
}

static int put_added(struct buf *out, const struct version_edit_file *added)
{
    uint8_t *p;
    int rc = begin_field(out, EDIT_ADDED, file_payload_size(added->level, added->file), &p);
    if (!rc)
        end_field(out, put_file_payload(p, added->level, added->file));
    return rc;
}

static int put_snapshot(struct buf *out, const struct snapshot_record *r)
{
    uint8_t *p;
    struct slice name = slice_str(r->name);
    int rc = begin_field(out, EDIT_SNAPSHOT_ADDED,
                         varint_size(r->id) + varint_size(r->sequence) +
                             varint_size(r->created_us) + slice_encoded_size(name),
                         &p);
    if (rc)
        return rc;
    p = put_varint64(p, r->id);
    p = put_varint64(p, r->sequence);
    p = put_varint64(p, r->created_us);
    end_field(out, put_slice(p, name));
    return 0;
}

static int put_identity(struct buf *out, const struct snapshot_record *r)
{
    static const uint8_t none[LSM_SNAPSHOT_IDENTITY];
    uint8_t *p;
    if (memcmp(r->identity, none, sizeof none) == 0)
        return 0;
    int rc = begin_field(out, EDIT_SNAPSHOT_IDENTITY, varint_size(r->id) + sizeof none, &p);
    if (rc)
        return rc;
    p = put_varint64(p, r->id);
    memcpy(p, r->identity, sizeof none);
    end_field(out, p + sizeof none);
    return 0;
}

static int put_snapshots(struct buf *out, const struct version_edit *edit)
{
    const struct snapshot_set *added = &edit->snapshots_added;
    int rc = added->next_id ? put_scalar(out, EDIT_NEXT_SNAPSHOT, added->next_id) : 0;
    for (unsigned i = 0; i < edit->snapshots_removed_count && !rc; i++)
        rc = put_scalar(out, EDIT_SNAPSHOT_REMOVED, edit->snapshots_removed[i]);
    for (size_t i = 0; i < added->count && !rc; i++)
        rc = put_snapshot(out, &added->at[i]);
    for (size_t i = 0; i < added->count && !rc; i++)
        rc = put_identity(out, &added->at[i]);
    return rc;
}

int version_edit_encode(const struct version_edit *edit, struct buf *out)
{
    size_t before = out->size;
    int rc = 0;
    if (edit->has_log_number)
        rc = put_scalar(out, EDIT_LOG_NUMBER, edit->log_number);
    if (!rc && edit->has_next_file)
        rc = put_scalar(out, EDIT_NEXT_FILE, edit->next_file);
    if (!rc && edit->has_last_sequence)
        rc = put_scalar(out, EDIT_LAST_SEQUENCE, edit->last_sequence);
    for (unsigned i = 0; i < edit->removed_count && !rc; i++)
        rc = put_removal(out, &edit->removed[i]);
    for (unsigned i = 0; i < edit->added_count && !rc; i++)
        rc = put_added(out, &edit->added[i]);
    if (!rc)
        rc = put_snapshots(out, edit);
    if (rc)
        out->size = before;
    return rc;
}

// -------------------------------------------------------------------------------------- decoding

static int corrupt(const char *what)
{
    return status_fail(LSM_CORRUPTION, "version edit: %s", what);
}

// Reads `count` varints from *p on into the outputs, and moves *p on; false: they are not all
// there.
static bool get_numbers(const uint8_t **p, const uint8_t *end, uint64_t *const *outputs,
                        size_t count)
{
    for (size_t i = 0; i < count; i++) {
        *p = get_varint64(*p, end, outputs[i]);
        if (!*p)
            return false;
    }
    return true;
}

static int decode_scalar(struct slice in, const char *name, bool *has, uint64_t *ret_value)
{
    const uint8_t *end = in.data + in.size;
    uint64_t value;
    if (*has)
        return status_fail(LSM_CORRUPTION, "version edit: %s occurs twice", name);
    if (get_varint64(in.data, end, &value) != end)
        return status_fail(LSM_CORRUPTION, "version edit: malformed %s", name);
    *has = true;
    *ret_value = value;
    return 0;
}

static int decode_removal(struct slice in, struct version_edit *edit)
{
    const uint8_t *p = in.data, *end = in.data + in.size;
    uint64_t level, number;
    if (!get_numbers(&p, end, (uint64_t *const[]){&level, &number}, 2) || p != end)
        return corrupt("malformed removal");
    if (level >= VERSION_LEVELS)
        return corrupt("removal from a level that does not exist");
    return version_edit_remove(edit, (unsigned)level, number);
}

static bool legal_key(struct slice key)
{
    return key.size >= 1 && key.size <= LSM_MAX_KEY;
}

// Whether a table with these fields can exist.
static bool plausible(const struct file_meta *f, struct slice smallest, struct slice largest)
{
    return f->number > 0 && f->number < UINT64_MAX && f->entries > 0 && f->deletes <= f->entries &&
           f->max_sequence <= SEQUENCE_MAX && legal_key(smallest) && legal_key(largest) &&
           tag_sequence(f->smallest_tag) <= f->max_sequence &&
           tag_sequence(f->largest_tag) <= f->max_sequence &&
           entry_compare(smallest, f->smallest_tag, largest, f->largest_tag) <= 0;
}

static int decode_blobs(struct slice in, struct blob_refs *blobs)
{
    const uint8_t *p = in.data, *end = in.data + in.size;
    uint64_t last = 0;
    if (blobs->count || in.size == 0)
        return corrupt("blob references of a table twice, or none");
    while (p < end) {
        uint64_t number, bytes;
        if (!get_numbers(&p, end, (uint64_t *const[]){&number, &bytes}, 2))
            return corrupt("malformed blob references of a table");
        if (number <= last || number == UINT64_MAX || bytes == 0 || bytes > INT64_MAX)
            return corrupt("blob references of a table out of range");
        int rc = blob_refs_add(blobs, number, bytes, NULL);
        if (rc)
            return rc;
        last = number;
    }
    return 0;
}

static int decode_kept(struct slice in, struct kept_ranges *kept)
{
    const uint8_t *p = in.data, *end = in.data + in.size;
    if (kept->count)
        return corrupt("what a table keeps twice");
    while (p < end && kept->count < KEPT_RANGES_MAX) {
        uint64_t first, span, bytes;
        if (!get_numbers(&p, end, (uint64_t *const[]){&first, &span, &bytes}, 3))
            return corrupt("malformed ranges of what a table keeps");
        if (span > SEQUENCE_MAX || first > SEQUENCE_MAX - span)
            return corrupt("what a table keeps out of range");
        kept->at[kept->count++] = (struct kept_range){first, first + span, bytes};
    }
    return p == end && kept_legal(kept->at, kept->count)
               ? 0
               : corrupt("impossible: what a table keeps");
}

// The sub-fields after a table's fixed part.
static int decode_subfields(const uint8_t *p, const uint8_t *end, struct blob_refs *blobs,
                            struct kept_ranges *kept)
{
    while (p < end) {
        uint64_t tag;
        struct slice payload;
        int rc = 0;
        p = get_varint64(p, end, &tag);
        if (p)
            p = get_slice(p, end, &payload);
        if (!p)
            return corrupt("malformed field of a table");
        if (tag == EDIT_TABLE_BLOBS)
            rc = decode_blobs(payload, blobs);
        else if (tag == EDIT_TABLE_KEPT)
            rc = decode_kept(payload, kept);
        else if (!(tag & EDIT_SKIPPABLE))
            rc = status_fail(LSM_CORRUPTION, "version edit: unknown field %" PRIu64 " of a table",
                             tag);
        if (rc)
            return rc;
    }
    return 0;
}

static int decode_added(struct slice in, struct version_edit *edit)
{
    const uint8_t *p = in.data, *end = in.data + in.size;
    struct file_meta fixed = {0};
    struct slice smallest, largest;
    uint64_t level;
    uint64_t *const numbers[] = {
        &level,         &fixed.number,    &fixed.size,         &fixed.entries,
        &fixed.deletes, &fixed.raw_bytes, &fixed.max_sequence, &fixed.smallest_tag};
    if (!get_numbers(&p, end, numbers, sizeof(numbers) / sizeof(numbers[0])) ||
        !(p = get_slice(p, end, &smallest)) || !(p = get_varint64(p, end, &fixed.largest_tag)) ||
        !(p = get_slice(p, end, &largest)))
        return corrupt("malformed table");
    if (level >= VERSION_LEVELS)
        return corrupt("table in a level that does not exist");
    if (!plausible(&fixed, smallest, largest))
        return status_fail(LSM_CORRUPTION, "version edit: impossible table %" PRIu64, fixed.number);
    struct blob_refs blobs = {0};
    struct kept_ranges kept = {.count = 0};
    int rc = decode_subfields(p, end, &blobs, &kept);
    struct file_meta *file = rc ? NULL : file_meta_new(smallest, largest);
    if (!rc)
        rc = file ? file_meta_set_blobs(file, blobs.refs, blobs.count) : LSM_NO_MEMORY;
    blob_refs_release(&blobs);
    if (!rc)
        rc = file_meta_set_kept(file, kept.at, kept.count);
    if (rc) {
        if (file)
            file_meta_unref(file);
        return rc;
    }
    file->number = fixed.number;
    file->size = fixed.size;
    file->entries = fixed.entries;
    file->deletes = fixed.deletes;
    file->raw_bytes = fixed.raw_bytes;
    file->max_sequence = fixed.max_sequence;
    file->smallest_tag = fixed.smallest_tag;
    file->largest_tag = fixed.largest_tag;
    rc = version_edit_add(edit, (unsigned)level, file);
    file_meta_unref(file);
    return rc;
}

static int decode_next_snapshot(struct slice in, struct version_edit *edit)
{
    bool has = edit->snapshots_added.next_id > 0;
    uint64_t id;
    int rc = decode_scalar(in, "next snapshot", &has, &id);
    if (!rc && (id == 0 || id > LSM_SNAPSHOT_ID_MAX))
        return corrupt("next snapshot out of range");
    if (!rc)
        edit->snapshots_added.next_id = id;
    return rc;
}

static int decode_snapshot_removal(struct slice in, struct version_edit *edit)
{
    bool has = false;
    uint64_t id;
    int rc = decode_scalar(in, "snapshot to remove", &has, &id);
    return rc ? rc : version_edit_remove_snapshot(edit, id);
}

static int decode_snapshot(struct slice in, struct version_edit *edit)
{
    const uint8_t *p = in.data, *end = in.data + in.size;
    uint64_t id, sequence, created_us, next = edit->snapshots_added.next_id;
    struct slice name;
    if (!get_numbers(&p, end, (uint64_t *const[]){&id, &sequence, &created_us}, 3) ||
        get_slice(p, end, &name) != end)
        return corrupt("malformed snapshot");
    int rc = snapshot_set_add(&edit->snapshots_added, id, sequence, created_us, name);
    // Adding records has raised next_id; the edit's own next id is what counts.
    edit->snapshots_added.next_id = next;
    return rc == LSM_EXISTS ? corrupt("a snapshot twice") : rc;
}

static int decode_identity(struct slice in, struct version_edit *edit)
{
    const uint8_t *p = in.data, *end = in.data + in.size;
    uint64_t id;
    if (!get_numbers(&p, end, (uint64_t *const[]){&id}, 1) || end - p != LSM_SNAPSHOT_IDENTITY ||
        !snapshot_set_identify(&edit->snapshots_added, id, p))
        return corrupt("malformed identity of a snapshot");
    return 0;
}

static int decode_field(uint64_t tag, struct slice payload, struct version_edit *edit)
{
    switch (tag) {
    case EDIT_LOG_NUMBER:
        return decode_scalar(payload, "log number", &edit->has_log_number, &edit->log_number);
    case EDIT_NEXT_FILE:
        return decode_scalar(payload, "next file number", &edit->has_next_file, &edit->next_file);
    case EDIT_LAST_SEQUENCE:
        return decode_scalar(payload, "last sequence", &edit->has_last_sequence,
                             &edit->last_sequence);
    case EDIT_REMOVED:
        return decode_removal(payload, edit);
    case EDIT_ADDED:
        return decode_added(payload, edit);
    case EDIT_NEXT_SNAPSHOT:
        return decode_next_snapshot(payload, edit);
    case EDIT_SNAPSHOT_REMOVED:
        return decode_snapshot_removal(payload, edit);
    case EDIT_SNAPSHOT_ADDED:
        return decode_snapshot(payload, edit);
    case EDIT_SNAPSHOT_IDENTITY:
        return decode_identity(payload, edit);
    default:
        if (tag & EDIT_SKIPPABLE)
            return 0;
        return status_fail(LSM_CORRUPTION, "version edit: unknown field %" PRIu64, tag);
    }
}

int version_edit_decode(struct slice in, struct version_edit *ret_edit)
{
    struct version_edit edit = {0};
    const uint8_t *p = in.data, *end = in.size ? in.data + in.size : in.data;
    int rc = 0;
    while (p < end && !rc) {
        uint64_t tag;
        struct slice payload;
        const uint8_t *start = p;
        p = get_varint64(p, end, &tag);
        if (p)
            p = get_slice(p, end, &payload);
        if (!p)
            rc = status_fail(LSM_CORRUPTION, "version edit: cut short at byte %zu",
                             (size_t)(start - in.data));
        else
            rc = decode_field(tag, payload, &edit);
    }
    if (!rc && edit.has_last_sequence && edit.last_sequence > SEQUENCE_MAX)
        rc = corrupt("last sequence out of range");
    if (rc) {
        version_edit_release(&edit);
        return rc;
    }
    *ret_edit = edit;
    return 0;
}
