// The manifest, reading side: CURRENT, the manifest it names, and what to make of a directory
// without CURRENT.
//
// The whole file is read at once and its edits are applied one after another to an empty version.
// manifest_format.h says what is a torn end and what is damage.
//
// Without CURRENT a directory is new only if nothing of value can be in it. Tables mean that a
// store has lost its CURRENT. A manifest or a log may also be what a first open that died before
// its first CURRENT left behind: then the manifest has no tables or is incomplete, and the log has
// no records.
//
// Thread-safe: no state. Nothing is written. Outputs are untouched on failure.
#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/coding.h"
#include "base/hash.h"
#include "base/numbers.h"
#include "base/status.h"
#include "version/manifest.h"
#include "version/manifest_format.h"
#include "version/store_files.h"
#include "wal/wal_reader.h"

// Puts the file and the offset before the detail of the failure.
static int fail_at(int status, const char *path, size_t offset)
{
    return status_fail(status, "%s: at byte %zu: %s", path, offset, lsm_error_detail());
}

// --------------------------------------------------------------------------------------- records

enum record_state { RECORD_VALID, RECORD_CUT_SHORT, RECORD_BAD };

// Whether a record begins at data + offset, and its payload.
static enum record_state examine(const uint8_t *data, size_t size, size_t offset,
                                 struct slice *ret_payload)
{
    const uint8_t *p = data + offset;
    size_t rest = size - offset;
    if (rest < MANIFEST_RECORD_HEADER)
        return RECORD_CUT_SHORT;
    if (get_fixed32(p + 8) != crc32_of(p, 8))
        return RECORD_BAD;
    size_t length = get_fixed32(p);
    if (length >= rest - MANIFEST_RECORD_HEADER)
        return RECORD_CUT_SHORT;
    const uint8_t *payload = p + MANIFEST_RECORD_HEADER;
    if (payload[length] != MANIFEST_END_MARK || get_fixed32(p + 4) != crc32_of(payload, length))
        return RECORD_BAD;
    *ret_payload = slice_of(payload, length);
    return RECORD_VALID;
}

// Whether in [offset, size) the bytes of some sector are all zeros.
static bool has_hole(const uint8_t *data, size_t size, size_t offset)
{
    while (offset < size) {
        size_t end = (offset / MANIFEST_SECTOR + 1) * MANIFEST_SECTOR;
        if (end > size)
            end = size;
        size_t i = offset;
        while (i < end && data[i] == 0)
            i++;
        if (i == end)
            return true;
        offset = end;
    }
    return false;
}

// Whether the bad record at `offset` is the end that a power cut tore.
static bool is_torn_end(const uint8_t *data, size_t size, size_t offset)
{
    struct slice payload;
    if (!has_hole(data, size, offset))
        return false;
    for (size_t i = offset + 1; i + MANIFEST_RECORD_HEADER < size; i++)
        if (examine(data, size, i, &payload) == RECORD_VALID)
            return false;
    return true;
}

// -------------------------------------------------------------------------------------- replaying

static_assert(MANIFEST_HEADER_SIZE == 8 + 4 + 4 + 8 + 8, "manifest_format.h");
static_assert(CURRENT_CRC_LINE == sizeof "crc32 01234567\n" - 1, "manifest_format.h");

static int check_header(const char *path, const uint8_t *data, size_t size, uint64_t number)
{
    uint8_t covered[MANIFEST_HEADER_SIZE - 4];
    if (size < MANIFEST_HEADER_SIZE)
        return status_fail(LSM_CORRUPTION, "%s: %zu bytes are no manifest", path, size);
    memcpy(covered, data, 12);
    memcpy(covered + 12, data + 16, MANIFEST_HEADER_SIZE - 16);
    if (memcmp(data, MANIFEST_MAGIC, 8) != 0)
        return status_fail(LSM_CORRUPTION, "%s: at byte 0: not a manifest (bad magic)", path);
    if (get_fixed32(data + 12) != crc32_of(covered, sizeof(covered)))
        return status_fail(LSM_CORRUPTION, "%s: at byte 12: bad header checksum", path);
    if (get_fixed32(data + 8) > MANIFEST_FORMAT)
        return status_fail(LSM_NEWER_FORMAT, "%s: manifest format %" PRIu32 ", %u is known", path,
                           get_fixed32(data + 8), MANIFEST_FORMAT);
    if (get_fixed32(data + 8) < MANIFEST_FORMAT_PLAIN)
        return status_fail(LSM_CORRUPTION, "%s: at byte 8: bad format version", path);
    if (get_fixed64(data + 16) != number)
        return status_fail(LSM_CORRUPTION, "%s: at byte 16: this is manifest %" PRIu64, path,
                           get_fixed64(data + 16));
    return 0;
}

static void raise_to(uint64_t *value, uint64_t at_least)
{
    if (*value < at_least)
        *value = at_least;
}

static int apply_edit(struct manifest_state *state, const struct version_edit *edit)
{
    struct version *next;
    int rc = version_edit_apply_snapshots(edit, &state->snapshots);
    if (!rc)
        rc = version_apply(state->version, edit, &next);
    if (rc)
        return rc;
    version_unref(state->version);
    state->version = next;
    if (edit->has_log_number)
        state->log_number = edit->log_number;
    if (edit->has_next_file)
        raise_to(&state->next_file, edit->next_file);
    if (edit->has_last_sequence)
        raise_to(&state->last_sequence, edit->last_sequence);
    for (unsigned i = 0; i < edit->added_count; i++) {
        raise_to(&state->next_file, edit->added[i].file->number + 1);
        raise_to(&state->last_sequence, edit->added[i].file->max_sequence);
        if (edit->added[i].file->blob_count) // ascending
            raise_to(&state->next_file,
                     edit->added[i].file->blobs[edit->added[i].file->blob_count - 1].number + 1);
    }
    return 0;
}

static int apply_record(struct manifest_state *state, struct slice payload, bool first)
{
    struct version_edit edit = {0};
    int rc = version_edit_decode(payload, &edit);
    if (rc)
        return rc;
    if (first && !(edit.has_log_number && edit.has_next_file && edit.has_last_sequence))
        rc = status_fail(LSM_CORRUPTION, "the first record is not a snapshot");
    else
        rc = apply_edit(state, &edit);
    version_edit_release(&edit);
    return rc;
}

static int replay(const char *path, const uint8_t *data, size_t size, struct manifest_state *state,
                  bool *ret_incomplete)
{
    size_t offset = MANIFEST_HEADER_SIZE;
    while (offset < size) {
        struct slice payload;
        enum record_state found = examine(data, size, offset, &payload);
        if (found == RECORD_CUT_SHORT || (found == RECORD_BAD && is_torn_end(data, size, offset)))
            break;
        if (found == RECORD_BAD)
            return status_fail(LSM_CORRUPTION, "%s: at byte %zu: bad record", path, offset);
        int rc = apply_record(state, payload, offset == MANIFEST_HEADER_SIZE);
        if (rc)
            return rc == LSM_CORRUPTION ? fail_at(rc, path, offset) : rc;
        offset += MANIFEST_RECORD_HEADER + payload.size + 1;
        assert(offset <= size);
        state->manifest_end = offset;
    }
    if (offset == MANIFEST_HEADER_SIZE) {
        *ret_incomplete = true;
        return status_fail(LSM_CORRUPTION, "%s: at byte %zu: no snapshot", path, offset);
    }
    return 0;
}

int manifest_read(struct env *env, uint64_t number, struct manifest_state *ret_state,
                  bool *ret_incomplete)
{
    char name[STORE_NAME_MAX], path[STATUS_DETAIL_MAX];
    char *data = NULL;
    size_t size;
    bool incomplete = false;
    struct manifest_state state = {0};
    store_file_name(name, STORE_MANIFEST, number);
    env_full_name(env, name, path, sizeof(path));
    int rc = env_read_file(env, name, MANIFEST_MAX_SIZE, &data, &size);
    if (rc)
        return rc == LSM_INVALID ? status_fail(LSM_CORRUPTION, "%s", lsm_error_detail()) : rc;
    rc = check_header(path, (const uint8_t *)data, size, number);
    if (rc)
        incomplete = rc == LSM_CORRUPTION &&
                     (size < MANIFEST_HEADER_SIZE || has_hole((const uint8_t *)data, size, 0));
    else
        rc = version_new(&state.version);
    if (!rc)
        rc = replay(path, (const uint8_t *)data, size, &state, &incomplete);
    free(data);
    if (rc) {
        manifest_state_release(&state);
        if (ret_incomplete)
            *ret_incomplete = incomplete;
        return rc;
    }
    state.manifest_number = number;
    raise_to(&state.next_file, number + 1);
    *ret_state = state;
    return 0;
}

// Applies the whole records from the beginning of `data`; *ret_used is where they end.
static int apply_records(struct manifest_state *state, const char *path, const uint8_t *data,
                         size_t size, size_t *ret_used)
{
    size_t offset = 0;
    struct slice payload;
    while (offset < size && examine(data, size, offset, &payload) == RECORD_VALID) {
        int rc = apply_record(state, payload, false);
        if (rc)
            return rc == LSM_CORRUPTION ? fail_at(rc, path, state->manifest_end + offset) : rc;
        offset += MANIFEST_RECORD_HEADER + payload.size + 1;
    }
    *ret_used = offset;
    return 0;
}

static int read_appended(struct manifest_state *state, struct env_file *file, bool *ret_changed)
{
    uint64_t size;
    size_t got, used = 0;
    int rc = file->ops->size(file, &size);
    if (rc || size <= state->manifest_end)
        return rc;
    if (size > MANIFEST_MAX_SIZE)
        return status_fail(LSM_CORRUPTION, "%s: too large", file->path);
    size -= state->manifest_end;
    uint8_t *data = malloc((size_t)size);
    if (!data)
        return status_no_memory((size_t)size);
    rc = env_pread(file, data, (size_t)size, state->manifest_end, &got);
    if (!rc)
        rc = apply_records(state, file->path, data, got, &used);
    free(data);
    state->manifest_end += used;
    *ret_changed = used > 0;
    return rc;
}

// --------------------------------------------------------------------------------------- CURRENT

// Reads the number at *p and the `stop` behind it, and moves *p on. False: there is no number,
// something else follows it, or it is above `max`.
static bool take_number(const char **p, char stop, uint64_t max, uint64_t *ret_number)
{
    uint64_t number;
    const char *end = number_read(*p, 10, &number);
    if (!end || *end != stop || number > max)
        return false;
    *p = end + 1;
    *ret_number = number;
    return true;
}

static bool crc_line_holds(const char *text, size_t size)
{
    static const char digits[] = "0123456789abcdef";
    if (size < CURRENT_CRC_LINE)
        return false;
    size_t covered = size - CURRENT_CRC_LINE;
    const char *line = text + covered;
    uint32_t crc = crc32_of(text, covered);
    char wanted[CURRENT_CRC_LINE] = "crc32 ";
    for (unsigned i = 0; i < 8; i++)
        wanted[6 + i] = digits[crc >> (28 - 4 * i) & 15];
    wanted[14] = '\n';
    return memcmp(line, wanted, sizeof(wanted)) == 0;
}

// Whether CURRENT was written by LevelDB or a descendant of it: their CURRENT is only the
// manifest's name.
static bool is_foreign_current(const char *text, size_t size)
{
    static const char prefix[] = "MANIFEST-";
    size_t n = sizeof(prefix) - 1;
    if (size <= n + 1 || memcmp(text, prefix, n) != 0 || text[size - 1] != '\n')
        return false;
    for (size_t i = n; i < size - 1; i++)
        if (text[i] < '0' || text[i] > '9')
            return false;
    return true;
}

static int parse_current(const char *path, const char *text, size_t size, uint64_t *ret_number)
{
    uint64_t format, number;
    const char *p = text + sizeof(CURRENT_MAGIC) - 1;
    if (is_foreign_current(text, size))
        return status_fail(LSM_NOT_A_STORE, "%s: a store of another engine", path);
    if (!crc_line_holds(text, size) ||
        memcmp(text, CURRENT_MAGIC, sizeof(CURRENT_MAGIC) - 1) != 0 ||
        !take_number(&p, '\n', UINT32_MAX, &format))
        return status_fail(LSM_CORRUPTION, "%s: damaged; run lsmfsctl repair", path);
    if (format > CURRENT_FORMAT)
        return status_fail(LSM_NEWER_FORMAT, "%s: store format %" PRIu64 ", %u is known", path,
                           format, CURRENT_FORMAT);
    const char *name = p;
    const char *newline = strchr(name, '\n');
    char copy[64];
    size_t length = newline ? (size_t)(newline - name) : sizeof(copy);
    if (format != CURRENT_FORMAT || length >= sizeof(copy) ||
        newline + 1 != text + size - CURRENT_CRC_LINE)
        return status_fail(LSM_CORRUPTION, "%s: malformed", path);
    memcpy(copy, name, length);
    copy[length] = 0;
    if (store_file_parse(copy, &number) != STORE_MANIFEST)
        return status_fail(LSM_CORRUPTION, "%s: names no manifest", path);
    *ret_number = number;
    return 0;
}

// ------------------------------------------------------------------------------- without CURRENT

// What a directory without CURRENT holds. The names are collected first and the files examined
// after that: while a directory is listed, locks may be held that reading a file takes.
struct remains {
    bool table;                 // there is a table or a blob file
    struct buf manifests, logs; // numbers, 8 bytes each
};

static int note_file(void *arg, const char *name)
{
    struct remains *remains = arg;
    uint64_t number;
    switch (store_file_parse(name, &number)) {
    case STORE_TABLE:
    case STORE_BLOB:
        remains->table = true;
        return 0;
    case STORE_MANIFEST:
        return buf_put_fixed64(&remains->manifests, number);
    case STORE_LOG:
        return buf_put_fixed64(&remains->logs, number);
    default:
        return 0;
    }
}

static int stop_at_record(void *arg, uint64_t sequence, struct slice payload, uint64_t offset)
{
    (void)sequence, (void)payload, (void)offset;
    *(bool *)arg = true;
    return LSM_CLOSED;
}

// Whether a log may hold acknowledged writes; a damaged one may.
static int log_has_records(struct env *env, uint64_t number, bool *ret_has)
{
    char name[STORE_NAME_MAX];
    struct wal_read_result result;
    bool seen = false;
    store_file_name(name, STORE_LOG, number);
    int rc = wal_read(env, name, number, stop_at_record, &seen, &result);
    if (rc == LSM_CORRUPTION || rc == LSM_NEWER_FORMAT)
        seen = true;
    else if (rc && !seen)
        return rc;
    *ret_has = seen;
    return 0;
}

// Whether the store of a manifest may have had tables; that of a damaged one may.
static int manifest_has_tables(struct env *env, uint64_t number, bool *ret_has)
{
    struct manifest_state state;
    bool incomplete = false;
    int rc = manifest_read(env, number, &state, &incomplete);
    if (!rc) {
        *ret_has = version_files(state.version) > 0;
        manifest_state_release(&state);
        return 0;
    }
    if (rc != LSM_CORRUPTION && rc != LSM_NEWER_FORMAT)
        return rc;
    *ret_has = !incomplete;
    return 0;
}

static int examine_remains(struct env *env, const struct remains *remains, bool *ret_lost)
{
    bool lost = remains->table;
    int rc = 0;
    for (size_t i = 0; i < remains->manifests.size && !rc && !lost; i += 8)
        rc = manifest_has_tables(env, get_fixed64(remains->manifests.data + i), &lost);
    for (size_t i = 0; i < remains->logs.size && !rc && !lost; i += 8)
        rc = log_has_records(env, get_fixed64(remains->logs.data + i), &lost);
    if (!rc)
        *ret_lost = lost;
    return rc;
}

static int without_current(struct env *env)
{
    struct remains remains = {0};
    const char *here = env->path ? env->path : ENV_HERE;
    bool lost = false;
    int rc = env->ops->list(env, ENV_HERE, note_file, &remains);
    if (!rc)
        rc = examine_remains(env, &remains, &lost);
    buf_release(&remains.manifests);
    buf_release(&remains.logs);
    if (rc)
        return rc;
    if (lost)
        return status_fail(LSM_CORRUPTION, "%s: CURRENT is missing; run lsmfsctl repair", here);
    return status_fail(LSM_NOT_FOUND, "%s: no store here", here);
}

// The number of the manifest that CURRENT names. LSM_NOT_FOUND: there is no CURRENT.
static int read_current(struct env *env, uint64_t *ret_number)
{
    char name[STORE_NAME_MAX], path[STATUS_DETAIL_MAX];
    char *text = NULL;
    size_t size;
    store_file_name(name, STORE_CURRENT, 0);
    env_full_name(env, name, path, sizeof(path));
    int rc = env_read_file(env, name, CURRENT_MAX_SIZE, &text, &size);
    if (rc == LSM_INVALID)
        return status_fail(LSM_CORRUPTION, "%s", lsm_error_detail());
    if (!rc)
        rc = parse_current(path, text, size, ret_number);
    free(text);
    return rc;
}

int manifest_recover(struct env *env, struct manifest_state *ret_state)
{
    char name[STORE_NAME_MAX], path[STATUS_DETAIL_MAX];
    uint64_t number = 0;
    int rc = read_current(env, &number);
    if (rc == LSM_NOT_FOUND)
        return without_current(env);
    if (rc)
        return rc;
    rc = manifest_read(env, number, ret_state, NULL);
    store_file_name(name, STORE_CURRENT, 0);
    env_full_name(env, name, path, sizeof(path));
    if (rc == LSM_NOT_FOUND)
        return status_fail(LSM_CORRUPTION,
                           "%s: names MANIFEST-%06" PRIu64
                           ", which is missing; run lsmfsctl repair",
                           path, number);
    return rc;
}

int manifest_follow(struct env *env, struct manifest_state *state, bool *ret_changed)
{
    char name[STORE_NAME_MAX];
    struct env_file *file;
    uint64_t number;
    *ret_changed = false;
    int rc = read_current(env, &number);
    if (rc)
        return rc;
    store_file_name(name, STORE_MANIFEST, state->manifest_number);
    if (number != state->manifest_number)
        return status_fail(LSM_NOT_FOUND, "%s is not in force any more", name);
    rc = env_open(env, name, ENV_READ, &file);
    if (rc)
        return rc;
    rc = read_appended(state, file, ret_changed);
    (void)env_close(file);
    return rc;
}
