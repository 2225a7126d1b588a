// Version edits on disk: round trip, the exact bytes, and bytes that are not an edit.
#include "base/status.h"
#include "version/version_edit_format.h"
#include "version_util.h"

static void fill_edit(struct version_edit *edit)
{
    edit->has_log_number = edit->has_next_file = edit->has_last_sequence = true;
    edit->log_number = 4;
    edit->next_file = 300;
    edit->last_sequence = 77;
    ck_assert_int_eq(version_edit_remove(edit, 0, 9), 0);
    ck_assert_int_eq(version_edit_remove(edit, 6, 1 << 20), 0);
    struct file_meta *file = file_meta_new(slice_str("ab"), slice_str("xyz"));
    ck_assert_ptr_nonnull(file);
    file->number = 10;
    file->size = 4096;
    file->entries = 50;
    file->deletes = 3;
    file->raw_bytes = 5000;
    file->max_sequence = 70;
    file->smallest_tag = tag_make(70, ENTRY_PUT);
    file->largest_tag = tag_make(1, ENTRY_DELETE);
    ck_assert_int_eq(file_meta_set_kept(file, &(struct kept_range){3, 5, 100}, 1), 0);
    edit_add_new(edit, 1, file);
    ck_assert_int_eq(version_edit_remove_snapshot(edit, 5), 0);
    ck_assert_int_eq(snapshot_set_add(&edit->snapshots_added, 7, 60, 300, slice_str("daily")), 0);
    const uint8_t identity[LSM_SNAPSHOT_IDENTITY] = {1, 2, 3, [15] = 16};
    ck_assert(snapshot_set_identify(&edit->snapshots_added, 7, identity));
    edit->snapshots_added.next_id = 9;
}

static const uint8_t golden[] = {
    0x02, 0x01, 0x04,                               // log number 4
    0x04, 0x02, 0xac, 0x02,                         // next file 300
    0x06, 0x01, 0x4d,                               // last sequence 77
    0x08, 0x02, 0x00, 0x09,                         // removed: level 0, table 9
    0x08, 0x04, 0x06, 0x80, 0x80, 0x40,             // removed: level 6, table 2^20
    0x0a, 0x1a, 0x01, 0x0a, 0x80, 0x20, 0x32, 0x03, // added: level 1, table 10, 4096 bytes, 50, 3
    0x88, 0x27, 0x46, 0x81, 0x8c, 0x01,             //   5000 raw, sequence 70, smallest tag
    0x02, 'a',  'b',                                //   smallest
    0x80, 0x02, 0x03, 'x',  'y',  'z',              //   largest tag, largest
    0x03, 0x03, 0x03, 0x02, 0x64,                   //   keeps 100 bytes for snapshots 3 to 5
    0x0d, 0x01, 0x09,                               // next snapshot 9
    0x0e, 0x01, 0x05,                               // snapshot 5 removed
    0x10, 0x0a, 0x07, 0x3c, 0xac, 0x02,             // snapshot 7 at sequence 60, of 300 us,
    0x05, 'd',  'a',  'i',  'l',  'y',              //   "daily"
    0x0f, 0x11, 0x07, 0x01, 0x02, 0x03, 0,    0,    // its identity
    0,    0,    0,    0,    0,    0,    0,    0,    0, 0, 0x10,
};

static bool edit_equal(const struct version_edit *a, const struct version_edit *b)
{
    struct buf x = {0}, y = {0};
    ck_assert_int_eq(version_edit_encode(a, &x), 0);
    ck_assert_int_eq(version_edit_encode(b, &y), 0);
    bool equal = slice_equal(buf_slice(&x), buf_slice(&y));
    buf_release(&x);
    buf_release(&y);
    return equal;
}

START_TEST(test_golden_bytes)
{
    struct version_edit edit = {0}, decoded = {0};
    struct buf out = {0};
    fill_edit(&edit);
    ck_assert_int_eq(buf_append(&out, "prefix", 6), 0);
    ck_assert_int_eq(version_edit_encode(&edit, &out), 0);
    ck_assert_uint_eq(out.size, 6 + sizeof(golden));
    ck_assert_mem_eq(out.data, "prefix", 6);
    ck_assert_mem_eq(out.data + 6, golden, sizeof(golden));
    ck_assert_int_eq(version_edit_decode(slice_of(golden, sizeof(golden)), &decoded), 0);
    ck_assert(edit_equal(&edit, &decoded));
    ck_assert_uint_eq(decoded.added_count, 1);
    ck_assert(file_equal(decoded.added[0].file, edit.added[0].file));
    version_edit_release(&edit);
    version_edit_release(&decoded);
    buf_release(&out);
}
END_TEST

START_TEST(test_empty_edit)
{
    struct version_edit edit = {0};
    struct buf out = {0};
    ck_assert_int_eq(version_edit_encode(&edit, &out), 0);
    ck_assert_uint_eq(out.size, 0);
    ck_assert_int_eq(version_edit_decode(slice_of(golden, 0), &edit), 0);
    ck_assert(!edit.has_log_number && !edit.added_count && !edit.removed_count);
}
END_TEST

// A copy on the heap of just that size, so that ASan sees a read beyond it.
static int decode_exact(const uint8_t *data, size_t size, struct version_edit *ret_edit)
{
    uint8_t *copy = malloc(size ? size : 1);
    ck_assert_ptr_nonnull(copy);
    if (size)
        memcpy(copy, data, size);
    int rc = version_edit_decode(slice_of(copy, size), ret_edit);
    free(copy);
    return rc;
}

// The tags are at these offsets; only there may an edit be cut without harm.
static bool is_field_start(size_t offset)
{
    static const size_t starts[] = {0, 3, 7, 10, 14, 20, 48, 51, 54, 66, sizeof(golden)};
    for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++)
        if (starts[i] == offset)
            return true;
    return false;
}

START_TEST(test_every_truncation)
{
    for (size_t size = 0; size < sizeof(golden); size++) {
        struct version_edit edit = {.log_number = 12345};
        int rc = decode_exact(golden, size, &edit);
        if (is_field_start(size)) {
            ck_assert_int_eq(rc, 0);
            version_edit_release(&edit);
        } else {
            ck_assert_int_eq(rc, LSM_CORRUPTION);
            ck_assert_uint_eq(edit.log_number, 12345);
            ck_assert_str_ne(lsm_error_detail(), "");
        }
    }
}
END_TEST

static int decode_field_bytes(const char *bytes, size_t size)
{
    struct version_edit edit = {0};
    int rc = decode_exact((const uint8_t *)bytes, size, &edit);
    if (!rc)
        version_edit_release(&edit);
    return rc;
}
#define DECODE(literal) decode_field_bytes(literal, sizeof(literal) - 1)

START_TEST(test_unknown_fields)
{
    ck_assert_int_eq(DECODE("\x1d\x03zzz\x02\x01\x04"), 0);              // skippable
    ck_assert_int_eq(DECODE("\x1e\x03zzz\x02\x01\x04"), LSM_CORRUPTION); // not
    ck_assert_int_eq(DECODE("\x00\x00"), LSM_CORRUPTION);
    ck_assert_int_eq(DECODE("\x1d\x04zzz"), LSM_CORRUPTION); // skippable but cut short
    // A table with sub-fields.
    ck_assert_int_eq(DECODE("\x0a\x10\x01\x0a\x01\x01\x00\x01\x01\x80\x02\x01"
                            "a\x80\x02\x01"
                            "b\x01\x00"),
                     LSM_CORRUPTION); // payload longer than stated
    ck_assert_int_eq(DECODE("\x0a\x12\x01\x0a\x01\x01\x00\x01\x01\x80\x02\x01"
                            "a\x80\x02\x01"
                            "b\x01\x01!"),
                     0);
    ck_assert_int_eq(DECODE("\x0a\x12\x01\x0a\x01\x01\x00\x01\x01\x80\x02\x01"
                            "a\x80\x02\x01"
                            "b\x02\x01!"),
                     LSM_CORRUPTION);
}
END_TEST

START_TEST(test_impossible_values)
{
    ck_assert_int_eq(DECODE("\x02\x01\x04\x02\x01\x04"), LSM_CORRUPTION);  // twice
    ck_assert_int_eq(DECODE("\x02\x02\x04\x04"), LSM_CORRUPTION);          // bytes left over
    ck_assert_int_eq(DECODE("\x08\x02\x07\x01"), LSM_CORRUPTION);          // level 7
    ck_assert_int_eq(DECODE("\x0d\x01\x00"), LSM_CORRUPTION);              // next snapshot 0
    ck_assert_int_eq(DECODE("\x0d\x01\x02\x0d\x01\x02"), LSM_CORRUPTION);  // twice
    ck_assert_int_eq(DECODE("\x0e\x00"), LSM_CORRUPTION);                  // removes none
    ck_assert_int_eq(DECODE("\x10\x05\x00\x01\x01\x01s"), LSM_CORRUPTION); // snapshot 0
    ck_assert_int_eq(DECODE("\x10\x05\x01\x01\x01\x01/"), LSM_CORRUPTION); // its name
    ck_assert_int_eq(DECODE("\x10\x04\x01\x01\x01\x00"), LSM_CORRUPTION);  // none
    ck_assert_int_eq(DECODE("\x06\x09\xff\xff\xff\xff\xff\xff\xff\xff\x7f"), LSM_CORRUPTION);

    struct version_edit good = {0};
    fill_edit(&good);
    struct file_meta *file = good.added[0].file;
    uint64_t *const fields[] = {&file->number,  &file->entries,      &file->deletes,
                                &file->deletes, &file->max_sequence, &file->max_sequence,
                                &file->number};
    static const uint64_t values[] = {0, 0, 51, UINT64_MAX, 69, SEQUENCE_MAX + 1, UINT64_MAX};
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        struct version_edit edit;
        struct buf out = {0};
        uint64_t kept = *fields[i];
        *fields[i] = values[i];
        ck_assert_int_eq(version_edit_encode(&good, &out), 0);
        *fields[i] = kept;
        ck_assert_int_eq(decode_exact(out.data, out.size, &edit), LSM_CORRUPTION);
        buf_release(&out);
    }
    struct slice swapped = file->smallest;
    file->smallest = file->largest;
    file->largest = swapped;
    struct buf out = {0};
    struct version_edit edit;
    ck_assert_int_eq(version_edit_encode(&good, &out), 0);
    ck_assert_int_eq(decode_exact(out.data, out.size, &edit), LSM_CORRUPTION);
    buf_release(&out);
    version_edit_release(&good);
}
END_TEST

// Whatever decodes must encode to something that decodes to the same.
static void check_bytes(const uint8_t *data, size_t size)
{
    struct version_edit edit, again;
    struct buf out = {0};
    int rc = decode_exact(data, size, &edit);
    ck_assert(rc == 0 || rc == LSM_CORRUPTION);
    if (rc)
        return;
    ck_assert_int_eq(version_edit_encode(&edit, &out), 0);
    ck_assert_int_eq(decode_exact(out.data, out.size, &again), 0);
    ck_assert(edit_equal(&edit, &again));
    version_edit_release(&edit);
    version_edit_release(&again);
    buf_release(&out);
}

START_TEST(test_mutations)
{
    uint64_t seed = test_seed("version_edit mutations", 2);
    uint8_t data[sizeof(golden) * 2];
    for (size_t i = 0; i < sizeof(golden); i++)
        for (unsigned value = 0; value < 256; value++) {
            memcpy(data, golden, sizeof(golden));
            data[i] = (uint8_t)value;
            check_bytes(data, sizeof(golden));
        }
    for (unsigned i = 0; i < 100000; i++) {
        memcpy(data, golden, sizeof(golden));
        size_t size = sizeof(golden);
        for (uint64_t n = random_below(&seed, 4); n > 0; n--)
            data[random_below(&seed, size)] = (uint8_t)random_next(&seed);
        size_t from = random_below(&seed, size), to = random_below(&seed, size);
        size_t length = random_below(&seed, size - from + 1);
        if (random_below(&seed, 2)) { // insert a piece of itself
            memmove(data + to + length, data + to, size - to);
            memcpy(data + to, golden + from, length);
            size += length;
        } else { // drop a piece
            memmove(data + from, data + from + length, size - from - length);
            size -= length;
        }
        check_bytes(data, size);
    }
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("all");
    tcase_add_test(tc, test_golden_bytes);
    tcase_add_test(tc, test_empty_edit);
    tcase_add_test(tc, test_every_truncation);
    tcase_add_test(tc, test_unknown_fields);
    tcase_add_test(tc, test_impossible_values);
    tcase_add_test(tc, test_mutations);
    return run_case("version_edit", tc, 300);
}
