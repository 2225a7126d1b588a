// The manifest: recovery of what was written, torn ends, flipped bits, power cuts after every call,
// and what is made of directories that are not a store.
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/status.h"
#include "disk/env_fault.h"
#include "version/manifest.h"
#include "version/manifest_format.h"
#include "version/store_files.h"
#include "version_util.h"
#include "wal/wal_writer.h"

#define DIR       "/db"
#define PATH_SIZE 64

static struct env *env, *at; // the disk; the directory

static void setup(void)
{
    env = env_fault_new();
    ck_assert_ptr_nonnull(env);
    ck_assert_int_eq(env->ops->mkdir(env, DIR), 0);
    ck_assert_int_eq(env->ops->sync_dir(env, "/"), 0);
    ck_assert_int_eq(env->ops->open_dir(env, DIR, &at), 0);
}

static void teardown(void)
{
    env->ops->close_dir(at);
    env_fault_free(env);
}

static struct manifest_state new_state(void)
{
    struct manifest_state state = {.next_file = 1};
    ck_assert_int_eq(version_new(&state.version), 0);
    return state;
}

// The n-th edit of a made-up history: adds table 10+n at level 2, and removes an older one.
static void nth_edit(unsigned n, struct version_edit *edit)
{
    *edit = (struct version_edit){.has_next_file = true,
                                  .next_file = 100 + n,
                                  .has_log_number = n % 2 == 1,
                                  .log_number = n,
                                  .has_last_sequence = true,
                                  .last_sequence = 1000 + n};
    edit_add_new(edit, 2, make_file(10 + n, n * 10, n * 10 + 9, 5, n + 1));
    if (n % 3 == 2)
        ck_assert_int_eq(version_edit_remove(edit, 2, 10 + n - 1), 0);
}

// The state after `edits` edits on an empty one.
static struct manifest_state state_after(unsigned edits)
{
    struct manifest_state state = new_state();
    for (unsigned n = 0; n < edits; n++) {
        struct version_edit edit;
        struct version *next;
        nth_edit(n, &edit);
        ck_assert_int_eq(version_apply(state.version, &edit, &next), 0);
        version_unref(state.version);
        state.version = next;
        state.next_file = edit.next_file;
        if (edit.has_log_number)
            state.log_number = edit.log_number;
        state.last_sequence = edit.last_sequence;
        version_edit_release(&edit);
    }
    return state;
}

static bool state_equal(const struct manifest_state *a, const struct manifest_state *b)
{
    return version_equal(a->version, b->version) && a->log_number == b->log_number &&
           a->last_sequence == b->last_sequence;
}

// Recovers and says after how many edits, of at most `max`, the state is; fails on any other state.
static unsigned recovered_edits(unsigned max, uint64_t number)
{
    struct manifest_state state = {0};
    int rc = manifest_recover(at, &state);
    ck_assert_msg(rc == 0, "%s", lsm_error_detail());
    ck_assert_uint_eq(state.manifest_number, number);
    ck_assert_uint_gt(state.next_file, number);
    unsigned found = UINT_MAX;
    for (unsigned edits = 0; edits <= max && found == UINT_MAX; edits++) {
        struct manifest_state wanted = state_after(edits);
        if (state_equal(&state, &wanted)) {
            found = edits;
            ck_assert(state.next_file == wanted.next_file || state.next_file == number + 1);
        }
        manifest_state_release(&wanted);
    }
    ck_assert_uint_ne(found, UINT_MAX);
    manifest_state_release(&state);
    return found;
}

static int append_nth(struct manifest *manifest, unsigned n)
{
    struct version_edit edit;
    nth_edit(n, &edit);
    int rc = manifest_append(manifest, &edit);
    version_edit_release(&edit);
    return rc;
}

// Manifest `number` from the state after `from` edits, then edits up to `to`. Stops at a failure.
static int write_history(uint64_t number, unsigned from, unsigned to, unsigned *ret_appended)
{
    struct manifest *manifest;
    struct manifest_state state = state_after(from);
    int rc = manifest_create(at, number, &state, &manifest);
    manifest_state_release(&state);
    if (rc)
        return rc;
    for (unsigned n = from; n < to && !rc; n++) {
        rc = append_nth(manifest, n);
        if (!rc && ret_appended)
            *ret_appended = n + 1;
    }
    manifest_free(manifest);
    return rc;
}

static void path_of(uint64_t number, char path[PATH_SIZE])
{
    char name[STORE_NAME_MAX];
    store_file_name(name, STORE_MANIFEST, number);
    snprintf(path, PATH_SIZE, "%s/%s", DIR, name);
}

static void put_file(const char *path, const void *data, size_t size)
{
    struct env_file *file;
    ck_assert_int_eq(env_open(env, path, ENV_WRITE | ENV_CREATE | ENV_TRUNCATE, &file), 0);
    ck_assert_int_eq(env_pwrite(file, data, size, 0), 0);
    ck_assert_int_eq(env_sync(file), 0);
    ck_assert_int_eq(env_close(file), 0);
    ck_assert_int_eq(env->ops->sync_dir(env, DIR), 0);
}

static void get_file(const char *path, char **ret_data, size_t *ret_size)
{
    ck_assert_int_eq(env_read_file(env, path, 1 << 20, ret_data, ret_size), 0);
}

static int recover_only(void)
{
    struct manifest_state state;
    int rc = manifest_recover(at, &state);
    if (!rc)
        manifest_state_release(&state);
    return rc;
}

// ------------------------------------------------------------------------------------- the basics

START_TEST(test_write_and_recover)
{
    struct manifest *manifest;
    struct manifest_state state = new_state();
    ck_assert_int_eq(recover_only(), LSM_NOT_FOUND);
    ck_assert_int_eq(manifest_create(at, 1, &state, &manifest), 0);
    manifest_state_release(&state);
    ck_assert_uint_eq(manifest_number(manifest), 1);
    ck_assert_uint_eq(recovered_edits(0, 1), 0);
    for (unsigned n = 0; n < 10; n++) {
        uint64_t before = manifest_size(manifest);
        ck_assert_int_eq(append_nth(manifest, n), 0);
        ck_assert_uint_gt(manifest_size(manifest), before);
        ck_assert_uint_eq(recovered_edits(10, 1), n + 1);
    }
    manifest_free(manifest);
    ck_assert_int_eq(write_history(7, 10, 12, NULL), 0);
    ck_assert_uint_eq(recovered_edits(12, 7), 12);
}
END_TEST

START_TEST(test_posix)
{
    char dir[] = "/tmp/lsm_manifest_XXXXXX";
    ck_assert_ptr_nonnull(mkdtemp(dir));
    struct manifest *manifest;
    struct manifest_state state = state_after(3), found;
    struct env *posix, *base = env_posix();
    ck_assert_int_eq(base->ops->open_dir(base, dir, &posix), 0);
    ck_assert_int_eq(manifest_recover(posix, &found), LSM_NOT_FOUND);
    ck_assert_int_eq(manifest_create(posix, 5, &state, &manifest), 0);
    ck_assert_int_eq(append_nth(manifest, 3), 0);
    manifest_free(manifest);
    manifest_state_release(&state);
    state = state_after(4);
    ck_assert_int_eq(manifest_recover(posix, &found), 0);
    base->ops->close_dir(posix);
    ck_assert(state_equal(&state, &found));
    manifest_state_release(&state);
    manifest_state_release(&found);
    char command[64];
    snprintf(command, sizeof(command), "rm -r %s", dir);
    ck_assert_int_eq(system(command), 0);
}
END_TEST

START_TEST(test_golden_bytes)
{
    static const uint8_t wanted[] = {
        't',  'l',  's',  'm',  'M', 'A', 'N', 'I', 1, 0, 0, 0, 0xd5, 0xd2, 0x54, 0x90, //
        3,    0,    0,    0,    0,   0,   0,   0,   0, 0, 0, 0, 0,    0,    0,    0,    //
        9,    0,    0,    0,                                                            // length
        0xb4, 0x8d, 0x50, 0x30,                                                         // payload
        0xa4, 0xf8, 0xf2, 0x9d,                                                         // header
        2,    1,    0,    4,    1,   4,   6,   1,   0,                                  // the edit
        0xe5,
    };
    char path[PATH_SIZE], *data;
    size_t size;
    ck_assert_int_eq(write_history(3, 0, 0, NULL), 0);
    path_of(3, path);
    get_file(path, &data, &size);
    ck_assert_uint_eq(size, sizeof(wanted));
    ck_assert_mem_eq(data, wanted, size);
    free(data);
    get_file(DIR "/CURRENT", &data, &size);
    ck_assert_str_eq(data, "tinylsm 1\nMANIFEST-000003\ncrc32 6ac688d2\n");
    free(data);
}
END_TEST

START_TEST(test_large_snapshot)
{
    struct manifest *manifest;
    struct manifest_state state = new_state(), found;
    struct version_edit edit = {0};
    struct version *version;
    for (unsigned i = 0; i < 20000; i++)
        edit_add_new(&edit, 6, make_file(i + 1, i * 10, i * 10 + 9, 5, 3));
    ck_assert_int_eq(version_apply(state.version, &edit, &version), 0);
    version_edit_release(&edit);
    version_unref(state.version);
    state.version = version;
    state.next_file = 20001;
    state.last_sequence = 3;
    ck_assert_int_eq(manifest_create(at, 20001, &state, &manifest), 0);
    manifest_free(manifest);
    ck_assert_int_eq(manifest_recover(at, &found), 0);
    ck_assert(state_equal(&state, &found));
    ck_assert_uint_eq(found.next_file, 20002);
    manifest_state_release(&state);
    manifest_state_release(&found);
}
END_TEST

// ------------------------------------------------------------------------------ damage and tears

START_TEST(test_torn_tail_at_each_length)
{
    char path[PATH_SIZE], *data;
    size_t whole, before;
    path_of(1, path);
    ck_assert_int_eq(write_history(1, 0, 2, NULL), 0);
    get_file(path, &data, &before);
    free(data);
    ck_assert_int_eq(write_history(1, 0, 3, NULL), 0);
    get_file(path, &data, &whole);
    for (size_t size = MANIFEST_HEADER_SIZE; size < whole; size++) {
        put_file(path, data, size);
        struct manifest_state state;
        int rc = manifest_recover(at, &state);
        if (rc) { // cut within the snapshot
            ck_assert_int_eq(rc, LSM_CORRUPTION);
            ck_assert_ptr_nonnull(strstr(lsm_error_detail(), "no snapshot"));
            continue;
        }
        manifest_state_release(&state);
        if (size >= before)
            ck_assert_uint_eq(recovered_edits(3, 1), 2);
    }
    // A tail whose length arrived but not its bytes.
    for (size_t size = before; size < whole; size++) {
        char *holed = calloc(1, whole);
        ck_assert_ptr_nonnull(holed);
        memcpy(holed, data, before);
        put_file(path, holed, size);
        ck_assert_uint_eq(recovered_edits(3, 1), 2);
        free(holed);
    }
    free(data);
}
END_TEST

START_TEST(test_flipped_bits)
{
    char path[PATH_SIZE], *data;
    size_t size;
    ck_assert_int_eq(write_history(1, 0, 8, NULL), 0);
    path_of(1, path);
    get_file(path, &data, &size);
    free(data);
    for (size_t offset = 0; offset < size; offset++)
        for (unsigned bit = 0; bit < 8; bit++) {
            ck_assert_int_eq(env_fault_flip(env, path, offset, bit), 0);
            ck_assert_msg(recover_only() == LSM_CORRUPTION, "bit %u of byte %zu", bit, offset);
            ck_assert_ptr_nonnull(strstr(lsm_error_detail(), "MANIFEST-000001: at byte "));
            ck_assert_int_eq(env_fault_flip(env, path, offset, bit), 0);
        }
    get_file(DIR "/CURRENT", &data, &size);
    free(data);
    for (size_t offset = 0; offset < size; offset++)
        for (unsigned bit = 0; bit < 8; bit++) {
            ck_assert_int_eq(env_fault_flip(env, DIR "/CURRENT", offset, bit), 0);
            ck_assert_msg(recover_only() == LSM_CORRUPTION, "bit %u of byte %zu", bit, offset);
            ck_assert_ptr_nonnull(strstr(lsm_error_detail(), "CURRENT"));
            ck_assert_int_eq(env_fault_flip(env, DIR "/CURRENT", offset, bit), 0);
        }
    ck_assert_uint_eq(recovered_edits(8, 1), 8);
}
END_TEST

// A record of which only the last of several pages reached the disk.
START_TEST(test_holes)
{
    struct manifest *manifest;
    struct manifest_state state = new_state(), found;
    ck_assert_int_eq(manifest_create(at, 1, &state, &manifest), 0);
    size_t start = manifest_size(manifest);
    struct version_edit edit = {0};
    for (unsigned i = 0; i < 300; i++)
        edit_add_new(&edit, 6, make_file(i + 1, i * 10, i * 10 + 9, 5, 3));
    ck_assert_int_eq(manifest_append(manifest, &edit), 0);
    version_edit_release(&edit);
    manifest_free(manifest);
    char path[PATH_SIZE], *data;
    size_t size;
    path_of(1, path);
    get_file(path, &data, &size);
    ck_assert_uint_gt(size, 8192);
    for (size_t hole = 0; hole < size; hole += 4096) {
        char *holed = malloc(size);
        ck_assert_ptr_nonnull(holed);
        memcpy(holed, data, size);
        size_t from = hole < start ? start : hole;
        size_t end = hole + 4096 < size ? hole + 4096 : size;
        memset(holed + from, 0, end - from);
        put_file(path, holed, size);
        ck_assert_int_eq(manifest_recover(at, &found), 0);
        ck_assert_uint_eq(version_files(found.version), 0);
        manifest_state_release(&found);
        free(holed);
    }
    // The same hole with synced records after it is damage.
    put_file(path, data, size);
    free(data);
    ck_assert_int_eq(manifest_recover(at, &found), 0);
    ck_assert_uint_eq(version_files(found.version), 300);
    manifest_state_release(&found);
    manifest_state_release(&state);
}
END_TEST

START_TEST(test_hole_before_a_synced_record)
{
    char path[PATH_SIZE], *data;
    size_t size;
    ck_assert_int_eq(write_history(1, 0, 20, NULL), 0);
    path_of(1, path);
    get_file(path, &data, &size);
    ck_assert_uint_gt(size, 1100);
    memset(data + 512, 0, 512);
    put_file(path, data, size);
    ck_assert_int_eq(recover_only(), LSM_CORRUPTION);
    free(data);
}
END_TEST

// ------------------------------------------------------------------------------------ power cuts

START_TEST(test_power_cut_after_every_call)
{
    unsigned cuts = 0;
    for (uint64_t seed = 0; seed < 8; seed++)
        for (uint64_t call = 1;; call++) {
            unsigned appended = 0;
            teardown();
            setup();
            env_fault_cut_at(env, call);
            int rc = write_history(1, 0, 4, &appended);
            bool created = rc == 0 || appended > 0;
            if (!rc)
                rc = write_history(9, 4, 6, &appended);
            env_fault_power_cut(env, seed);
            struct manifest_state state;
            int found = manifest_recover(at, &state);
            if (found) {
                ck_assert_msg(found == LSM_NOT_FOUND && !created,
                              "call %" PRIu64 ", seed %" PRIu64 ": %s", call, seed,
                              lsm_error_detail());
            } else {
                uint64_t number = state.manifest_number;
                manifest_state_release(&state);
                unsigned edits = recovered_edits(6, number);
                // What was acknowledged is there, and at most one more.
                ck_assert_uint_ge(edits, appended);
                ck_assert_uint_le(edits, appended + 1);
            }
            cuts++;
            if (!rc)
                break;
        }
    ck_assert_uint_gt(cuts, 100);
}
END_TEST

START_TEST(test_failed_calls)
{
    for (uint64_t call = 1;; call++) {
        unsigned appended = 0;
        teardown();
        setup();
        ck_assert_int_eq(write_history(1, 0, 2, &appended), 0);
        env_fault_fail_at(env, call, LSM_IO_ERROR, false);
        int rc = write_history(9, 2, 4, &appended);
        env_fault_fail_at(env, 0, 0, false);
        struct manifest_state state;
        ck_assert_int_eq(manifest_recover(at, &state), 0);
        unsigned edits = recovered_edits(4, state.manifest_number);
        ck_assert_uint_ge(edits, appended);
        ck_assert_uint_le(edits, appended + 1);
        manifest_state_release(&state);
        if (!rc) {
            ck_assert_uint_gt(call, 8);
            break;
        }
        // A new manifest settles what an edit's failure left open.
        ck_assert_int_eq(write_history(10, appended, appended, NULL), 0);
        ck_assert_uint_eq(recovered_edits(4, 10), appended);
    }
}
END_TEST

START_TEST(test_append_failure_is_sticky)
{
    struct manifest *manifest;
    struct manifest_state state = new_state();
    ck_assert_int_eq(manifest_create(at, 1, &state, &manifest), 0);
    manifest_state_release(&state);
    env_fault_fail_at(env, 1, LSM_IO_ERROR, false);
    ck_assert_int_eq(append_nth(manifest, 0), LSM_IO_ERROR);
    ck_assert_int_eq(append_nth(manifest, 1), LSM_IO_ERROR);
    manifest_free(manifest);
    ck_assert_uint_eq(recovered_edits(1, 1), 0);
}
END_TEST

START_TEST(test_full_disk_takes_an_append_back)
{
    struct manifest *manifest;
    struct manifest_state state = new_state();
    ck_assert_int_eq(manifest_create(at, 1, &state, &manifest), 0);
    manifest_state_release(&state);
    ck_assert_int_eq(append_nth(manifest, 0), 0);
    uint64_t size = manifest_size(manifest);
    env_fault_full_at(env, 1, false);
    ck_assert_int_eq(append_nth(manifest, 1), LSM_NO_SPACE);
    ck_assert_uint_eq(manifest_size(manifest), size);
    ck_assert_int_eq(append_nth(manifest, 1), 0);
    env_fault_full_at(env, 1, false);
    ck_assert_int_eq(append_nth(manifest, 2), LSM_NO_SPACE);
    env_fault_fail_at(env, 1, LSM_NO_SPACE, true); // and it cannot be taken back
    ck_assert_int_eq(append_nth(manifest, 2), LSM_IO_ERROR);
    env_fault_fail_at(env, 0, 0, false);
    ck_assert_int_eq(append_nth(manifest, 2), LSM_IO_ERROR);
    manifest_free(manifest);
    ck_assert_uint_eq(recovered_edits(2, 1), 2);
}
END_TEST

// ----------------------------------------------------------------------------- odd directories

static void put_current(const char *head)
{
    char text[128];
    int n = snprintf(text, sizeof(text), "%s", head);
    n += snprintf(text + n, sizeof(text) - (size_t)n, "crc32 %08x\n", crc32_of(head, strlen(head)));
    put_file(DIR "/CURRENT", text, (size_t)n);
}

START_TEST(test_current)
{
    ck_assert_int_eq(write_history(1, 0, 1, NULL), 0);
    put_current("tinylsm 1\nMANIFEST-000001\n");
    ck_assert_int_eq(recover_only(), 0);
    put_current("tinylsm 2\nwhatever that has\nin it\n");
    ck_assert_int_eq(recover_only(), LSM_NEWER_FORMAT);
    static const char *const bad[] = {"tinylsm 0\nMANIFEST-000001\n",
                                      "tinylsm 1\nMANIFEST-1\n",
                                      "tinylsm 1\n000001.sst\n",
                                      "tinylsm 1\nMANIFEST-000001\nMANIFEST-000001\n",
                                      "tinylsm 1\nMANIFEST-000001",
                                      "tinylsm 1\nMANIFEST-000001x\n",
                                      "tinylsm 1\n",
                                      "tinylsm x\nMANIFEST-000001\n",
                                      "tinylsm 1",
                                      "tinylsm 99999999999999999999\nMANIFEST-000001\n",
                                      "",
                                      "MANIFEST-000001\n"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        put_current(bad[i]);
        ck_assert_msg(recover_only() == LSM_CORRUPTION, "%s", bad[i]);
    }
    put_file(DIR "/CURRENT", "", 0);
    ck_assert_int_eq(recover_only(), LSM_CORRUPTION);
    put_file(DIR "/CURRENT", "MANIFEST-000004\n", 16); // LevelDB's
    ck_assert_int_eq(recover_only(), LSM_NOT_A_STORE);
    char large[5000] = {0};
    put_file(DIR "/CURRENT", large, sizeof(large));
    ck_assert_int_eq(recover_only(), LSM_CORRUPTION);
    put_current("tinylsm 1\nMANIFEST-000002\n");
    ck_assert_int_eq(recover_only(), LSM_CORRUPTION);
    ck_assert_ptr_nonnull(strstr(lsm_error_detail(), "missing"));
}
END_TEST

START_TEST(test_newer_manifest)
{
    char path[PATH_SIZE], *data;
    uint8_t covered[MANIFEST_HEADER_SIZE - 4];
    size_t size;
    ck_assert_int_eq(write_history(1, 0, 1, NULL), 0);
    path_of(1, path);
    get_file(path, &data, &size);
    data[8] = MANIFEST_FORMAT + 1;
    memcpy(covered, data, 12);
    memcpy(covered + 12, data + 16, 16);
    put_fixed32((uint8_t *)data + 12, crc32_of(covered, sizeof(covered)));
    put_file(path, data, size);
    ck_assert_int_eq(recover_only(), LSM_NEWER_FORMAT);
    free(data);
    // A manifest under another's name.
    ck_assert_int_eq(write_history(1, 0, 1, NULL), 0);
    ck_assert_int_eq(write_history(2, 0, 1, NULL), 0);
    char other[PATH_SIZE];
    path_of(2, other);
    ck_assert_int_eq(env->ops->rename(env, path, other), 0);
    ck_assert_int_eq(recover_only(), LSM_CORRUPTION);
}
END_TEST

START_TEST(test_without_current)
{
    char path[PATH_SIZE];
    path_of(1, path);
    put_file(DIR "/LOCK", "1\n\n", 3);
    put_file(DIR "/notes.txt", "hello", 5);
    put_file(DIR "/CURRENT.tmp", "hello", 5);
    ck_assert_int_eq(recover_only(), LSM_NOT_FOUND);

    // A creation that went no further than its first manifest.
    ck_assert_int_eq(write_history(1, 0, 0, NULL), 0);
    ck_assert_int_eq(env->ops->unlink(env, DIR "/CURRENT"), 0);
    ck_assert_int_eq(recover_only(), LSM_NOT_FOUND);
    put_file(path, "tlsm", 4);
    ck_assert_int_eq(recover_only(), LSM_NOT_FOUND);
    put_file(path, "", 0);
    ck_assert_int_eq(recover_only(), LSM_NOT_FOUND);

    // A store that lost its CURRENT.
    ck_assert_int_eq(write_history(1, 0, 2, NULL), 0);
    ck_assert_int_eq(env->ops->unlink(env, DIR "/CURRENT"), 0);
    ck_assert_int_eq(recover_only(), LSM_CORRUPTION);
    ck_assert_ptr_nonnull(strstr(lsm_error_detail(), "CURRENT is missing; run lsmfsctl repair"));
    ck_assert_int_eq(env_fault_flip(env, path, 40, 0), 0);
    ck_assert_int_eq(recover_only(), LSM_CORRUPTION);
    ck_assert_int_eq(env->ops->unlink(env, path), 0);
    ck_assert_int_eq(recover_only(), LSM_NOT_FOUND);
    put_file(DIR "/000012.sst", "", 0);
    ck_assert_int_eq(recover_only(), LSM_CORRUPTION);
    ck_assert_ptr_nonnull(strstr(lsm_error_detail(), "run lsmfsctl repair"));
}
END_TEST

START_TEST(test_logs_without_current)
{
    static const uint8_t payload[] = "payload";
    struct wal_options options = {.env = env, .mode = LSM_WAL_WRITTEN, .capacity = 1 << 16};
    struct wal_record record = {.sequence = 1, .payload = slice_of(payload, sizeof(payload))};
    struct wal_writer *wal;
    uint64_t end;
    // A first open may have made its log before CURRENT.
    ck_assert_int_eq(wal_writer_new(&options, DIR "/000002.log", 2, NULL, &wal), 0);
    ck_assert_int_eq(recover_only(), LSM_NOT_FOUND);
    put_file(DIR "/000001.log", "", 0);
    ck_assert_int_eq(recover_only(), LSM_NOT_FOUND);
    // Writes that are only in a log are not nothing.
    ck_assert_int_eq(wal_append(wal, &record, 1, &end), 0);
    ck_assert_int_eq(recover_only(), LSM_CORRUPTION);
    ck_assert_ptr_nonnull(strstr(lsm_error_detail(), "run lsmfsctl repair"));
    wal_writer_free(wal, true);
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("all");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, test_write_and_recover);
    tcase_add_test(tc, test_posix);
    tcase_add_test(tc, test_golden_bytes);
    tcase_add_test(tc, test_large_snapshot);
    tcase_add_test(tc, test_torn_tail_at_each_length);
    tcase_add_test(tc, test_flipped_bits);
    tcase_add_test(tc, test_holes);
    tcase_add_test(tc, test_hole_before_a_synced_record);
    tcase_add_test(tc, test_power_cut_after_every_call);
    tcase_add_test(tc, test_failed_calls);
    tcase_add_test(tc, test_append_failure_is_sticky);
    tcase_add_test(tc, test_full_disk_takes_an_append_back);
    tcase_add_test(tc, test_current);
    tcase_add_test(tc, test_newer_manifest);
    tcase_add_test(tc, test_without_current);
    tcase_add_test(tc, test_logs_without_current);
    return run_case("manifest", tc, 300);
}
