// The bytes of a table, and what is made of wrong ones: every bit of a small table flipped, the
// file cut at every length, blocks that are not where they belong, a newer format. Damage is
// reported or does no harm; with checksums on, nothing wrong is ever returned.
#include "unit/sst_util.h"

#include <stdio.h>

#include "base/coding.h"
#include "base/status.h"
#include "sstable/sst_format.h"

#define NUMBER 7

static struct env *env;
static struct block_cache *cache;

static void setup(void)
{
    env = env_fault_new();
    ck_assert_ptr_nonnull(env);
    ck_assert_int_eq(block_cache_new(0, &cache), 0);
}

static void teardown(void)
{
    epoch_barrier();
    block_cache_free(cache);
    env_fault_free(env);
}

static void write_table(const void *bytes, size_t size)
{
    struct env_file *file;
    ck_assert_int_eq(env_open(env, TABLE_PATH, ENV_WRITE | ENV_CREATE | ENV_TRUNCATE, &file), 0);
    ck_assert_int_eq(env_pwrite(file, bytes, size, 0), 0);
    ck_assert_int_eq(env_close(file), 0);
}

static uint8_t *read_table(size_t *ret_size)
{
    char *bytes;
    ck_assert_int_eq(env_read_file(env, TABLE_PATH, 1 << 20, &bytes, ret_size), 0);
    return (uint8_t *)bytes;
}

static int open_table(uint64_t number, uint64_t size, enum lsm_checksums checksums,
                      struct sst_reader **ret_reader)
{
    // Every other table is read through its mapping even where it is compressed.
    static struct sst_map_budget budget;
    static unsigned opened;
    atomic_store(&budget.left, opened++ % 2 ? 1u << 30 : 0);
    struct sst_read_options options = {
        .checksums = checksums, .cache = cache, .map_budget = &budget};
    return sst_open(env, TABLE_PATH, number, size, &options, ret_reader);
}

// A small table with every kind of part: several blocks, versions, deletes.
static struct model small_model(void)
{
    struct model m = {malloc(40 * sizeof(struct entry)), 0};
    for (uint64_t i = 0; i < 40; i++) {
        char key[16], value[64];
        int size = snprintf(key, sizeof(key), "key%02d", (int)(i / 2));
        memset(value, 'a' + (int)(i % 5), sizeof(value));
        m.entries[m.count++] = (struct entry){copy_slice(key, (size_t)size),
                                              tag_make(100 - i, i % 7 ? ENTRY_PUT : ENTRY_DELETE),
                                              copy_slice(value, i % 7 ? 20 + i % 44 : 0)};
    }
    return m;
}

// Uses the table in all ways. Returns whether some call reported corruption; with `strict`, all
// that is returned must be right.
static bool use_table(struct sst_reader *reader, const struct model *m, bool strict)
{
    bool reported = false;
    epoch_pin();
    for (size_t i = 0; i < m->count; i++) {
        const struct entry *e = &m->entries[i];
        uint8_t scratch[8192];
        struct sst_lookup lookup = {.key = e->key,
                                    .hash = hash64(e->key.data, e->key.size),
                                    .sequence = tag_sequence(e->tag),
                                    .scratch = scratch,
                                    .scratch_size = sizeof scratch};
        int status = sst_get(reader, &lookup);
        if (status == LSM_CORRUPTION) {
            reported = true;
            ck_assert_ptr_nonnull(strstr(lsm_error_detail(), TABLE_PATH));
        } else if (strict) {
            ck_assert_int_eq(status, 0);
            ck_assert_uint_eq(lookup.tag, e->tag);
            ck_assert(slice_equal(lookup.value, e->value));
        } else {
            ck_assert(status == 0 || status == LSM_NOT_FOUND);
        }
    }
    epoch_unpin();
    struct iter *it;
    size_t at = 0;
    ck_assert_int_eq(sst_iter_new(reader, &(struct sst_iter_options){true, 0}, &it), 0);
    for (iter_seek_first(it); it->valid; iter_next(it), at++) {
        ck_assert_uint_lt(at, 10000);
        if (strict)
            assert_entry(&it->entry, &m->entries[at]);
    }
    ck_assert(it->status == 0 || it->status == LSM_CORRUPTION);
    reported |= it->status != 0;
    ck_assert(!strict || it->status || at == m->count);
    at = 0;
    for (iter_seek_last(it); it->valid; iter_prev(it)) {
        ck_assert_uint_lt(++at, 10000);
        if (strict)
            assert_entry(&it->entry, &m->entries[m->count - at]);
    }
    ck_assert(it->status == 0 || it->status == LSM_CORRUPTION);
    reported |= it->status != 0;
    iter_free(it);
    return reported;
}

static void try_flip(const struct model *m, uint64_t size, uint64_t offset, unsigned bit)
{
    struct sst_reader *reader;
    ck_assert_int_eq(env_fault_flip(env, TABLE_PATH, offset, bit), 0);
    for (enum lsm_checksums c = LSM_CHECKSUMS_ONCE; c <= LSM_CHECKSUMS_NEVER; c++) {
        int status = open_table(NUMBER, size, c, &reader);
        if (status) {
            ck_assert_int_eq(status, LSM_CORRUPTION);
            ck_assert_ptr_nonnull(strstr(lsm_error_detail(), TABLE_PATH));
            continue;
        }
        bool reported = use_table(reader, m, c != LSM_CHECKSUMS_NEVER);
        ck_assert_msg(reported || c == LSM_CHECKSUMS_NEVER, "byte %d bit %u goes unseen",
                      (int)offset, bit);
        ck_assert_int_eq(sst_verify(reader), LSM_CORRUPTION);
        sst_reader_unref(reader);
    }
    ck_assert_int_eq(env_fault_flip(env, TABLE_PATH, offset, bit), 0);
}

START_TEST(test_every_bit)
{
    struct model m = small_model();
    for (int c = 0; c < 3; c++) {
        struct sst_build_options options = {512, 4, 10, (enum lsm_compression)c};
        struct sst_info info;
        build_table(env, &m, NUMBER, &options, &info);
        for (uint64_t offset = 0; offset < info.file_size; offset++)
            for (unsigned bit = 0; bit < 8; bit++)
                try_flip(&m, info.file_size, offset, bit);
        sst_info_release(&info);
    }
    model_free(&m);
}
END_TEST

START_TEST(test_every_length)
{
    struct model m = small_model();
    struct sst_build_options options = {512, 4, 10, LSM_COMPRESSION_LZ4};
    struct sst_info info;
    struct sst_reader *reader;
    size_t size;
    build_table(env, &m, NUMBER, &options, &info);
    uint8_t *bytes = read_table(&size);
    ck_assert_uint_eq(size, info.file_size);
    for (size_t n = 0; n <= size + 1; n++) {
        write_table(bytes, n); // one byte more: the terminating zero of read_table()
        int want = n == size ? 0 : LSM_CORRUPTION;
        ck_assert_int_eq(open_table(NUMBER, size, LSM_CHECKSUMS_ONCE, &reader), want);
        if (!want)
            sst_reader_unref(reader);
        else
            ck_assert_int_eq(open_table(NUMBER, n, LSM_CHECKSUMS_ONCE, &reader), want);
    }
    ck_assert_int_eq(open_table(NUMBER + 1, size, LSM_CHECKSUMS_ONCE, &reader), LSM_CORRUPTION);
    ck_assert_int_eq(env->ops->unlink(env, TABLE_PATH), 0);
    ck_assert_int_eq(open_table(NUMBER, size, LSM_CHECKSUMS_ONCE, &reader), LSM_NOT_FOUND);
    free(bytes);
    sst_info_release(&info);
    model_free(&m);
}
END_TEST

// Two blocks of the same size change places: both are sound, but not there.
START_TEST(test_exchanged_blocks)
{
    struct model m = {malloc(3 * sizeof(struct entry)), 0};
    static const char *const keys[] = {"a", "b", "c"};
    uint8_t value[400] = {0};
    for (size_t i = 0; i < 3; i++)
        m.entries[m.count++] =
            (struct entry){copy_slice(keys[i], 1), 256, copy_slice(value, sizeof(value))};
    struct sst_build_options options = {512, 4, 10, LSM_COMPRESSION_NONE};
    struct sst_info info;
    build_table(env, &m, NUMBER, &options, &info);
    size_t size, block = 5 + 1 + sizeof(value) + 8 + SST_TRAILER_SIZE + 1;
    uint8_t *bytes = read_table(&size), *other = malloc(block);
    ck_assert_uint_eq(bytes[block - SST_TRAILER_SIZE - 4], 1); // the count of restarts
    memcpy(other, bytes, block);
    memmove(bytes, bytes + block, block);
    memcpy(bytes + block, other, block);
    write_table(bytes, size);
    struct sst_reader *reader;
    ck_assert_int_eq(open_table(NUMBER, size, LSM_CHECKSUMS_ONCE, &reader), 0);
    ck_assert(use_table(reader, &m, true));
    ck_assert_int_eq(sst_verify(reader), LSM_CORRUPTION);
    sst_reader_unref(reader);
    // The same where checksums cannot tell, because they were made for it: order can.
    sst_put_trailer(bytes, block - SST_TRAILER_SIZE, LSM_COMPRESSION_NONE, sst_seed(NUMBER, 0));
    sst_put_trailer(bytes + block, block - SST_TRAILER_SIZE, LSM_COMPRESSION_NONE,
                    sst_seed(NUMBER, block));
    write_table(bytes, size);
    ck_assert_int_eq(open_table(NUMBER, size, LSM_CHECKSUMS_ONCE, &reader), 0);
    ck_assert_int_eq(sst_verify(reader), LSM_CORRUPTION);
    sst_reader_unref(reader);
    free(bytes);
    free(other);
    sst_info_release(&info);
    model_free(&m);
}
END_TEST

START_TEST(test_newer_version)
{
    struct model m = small_model();
    struct sst_build_options options = {512, 4, 10, LSM_COMPRESSION_NONE};
    struct sst_info info;
    build_table(env, &m, NUMBER, &options, &info);
    size_t size;
    uint8_t *bytes = read_table(&size);
    struct sst_reader *reader;
    // As a later version with the same footer, and with one twice as long.
    for (size_t footer = SST_FOOTER_SIZE; footer <= 2 * SST_FOOTER_SIZE;
         footer += SST_FOOTER_SIZE) {
        put_fixed16(bytes + size - 16, SST_VERSION + 1);
        put_fixed16(bytes + size - 14, (uint16_t)footer);
        write_table(bytes, size);
        ck_assert_int_eq(open_table(NUMBER, size, LSM_CHECKSUMS_ONCE, &reader), LSM_CORRUPTION);
        put_fixed32(bytes + size - 4, crc32_of(bytes + size - footer, footer - 4));
        write_table(bytes, size);
        ck_assert_int_eq(open_table(NUMBER, size, LSM_CHECKSUMS_ONCE, &reader), LSM_NEWER_FORMAT);
        ck_assert_ptr_nonnull(strstr(lsm_error_detail(), TABLE_PATH));
    }
    put_fixed16(bytes + size - 16, 0);
    put_fixed16(bytes + size - 14, SST_FOOTER_SIZE);
    put_fixed32(bytes + size - 4, crc32_of(bytes + size - SST_FOOTER_SIZE, SST_FOOTER_SIZE - 4));
    write_table(bytes, size);
    ck_assert_int_eq(open_table(NUMBER, size, LSM_CHECKSUMS_ONCE, &reader), LSM_CORRUPTION);
    free(bytes);
    sst_info_release(&info);
    model_free(&m);
}
END_TEST

// Parts that overlap, leave gaps or reach past the end, with a footer that verifies.
START_TEST(test_footer_geometry)
{
    struct model m = small_model();
    struct sst_build_options options = {512, 4, 10, LSM_COMPRESSION_NONE};
    struct sst_info info;
    build_table(env, &m, NUMBER, &options, &info);
    size_t size;
    uint8_t *bytes = read_table(&size);
    uint8_t *footer = bytes + size - SST_FOOTER_SIZE;
    static const uint64_t changes[] = {1, UINT64_MAX, 5, 1 << 20, UINT64_C(1) << 63};
    for (size_t field = 0; field < 7; field++) {
        for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
            uint64_t good = get_fixed64(footer + 8 * field);
            put_fixed64(footer + 8 * field, good + changes[i]);
            put_fixed32(bytes + size - 4, crc32_of(footer, SST_FOOTER_SIZE - 4));
            write_table(bytes, size);
            struct sst_reader *reader;
            ck_assert_int_eq(open_table(NUMBER, size, LSM_CHECKSUMS_ONCE, &reader), LSM_CORRUPTION);
            put_fixed64(footer + 8 * field, good);
        }
    }
    free(bytes);
    sst_info_release(&info);
    model_free(&m);
}
END_TEST

START_TEST(test_golden)
{
    // clang-format off
    static const uint8_t golden[] = {
        // data block: "a1" tag 0x201 "x"; "a2" tag 0x100, deleted; one restart point
        0, 2, 1, 0x81, 0x04, 'a', '1', 'x',  1, 1, 0, 0x80, 0x02, '2',  0, 0, 0, 0,  1, 0, 0, 0,
        0, 0xec, 0xf6, 0xd9, 0x51, // stored as it is, checksum
        // filter: a line of 12 bits set, probes
        0x00, 0x00, 0x00, 0x20, 0x00, 0x00, 0x80, 0x20, 0x40, 0x00, 0x00, 0xc0, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x20, 0x00, 0x00, 0x00, 0x00, 0x00, 0x0c, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x80, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x40, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x04, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        6, 0, 0, 0,
        0, 0xa7, 0xf6, 0x7a, 0x5e,
        // index: "a2" tag 0x100: 22 bytes, not compressed
        0, 2, 2, 0x80, 0x02, 'a', '2', 22, 0,  0, 0, 0, 0,  1, 0, 0, 0,
        0, 0xe6, 0x71, 0x3b, 0xf8,
        // properties
        1, 2,  2, 1,  3, 5,  4, 1,  5, 27,  6, 17,  7, 68,  8, 1,  9, 2,
        0, 0xde, 0xa0, 0x2e, 0x1a,
        // footer
        0x34, 0x12, 0, 0, 0, 0, 0, 0,
        27, 0, 0, 0, 0, 0, 0, 0,  68, 0, 0, 0, 0, 0, 0, 0,
        100, 0, 0, 0, 0, 0, 0, 0,  17, 0, 0, 0, 0, 0, 0, 0,
        122, 0, 0, 0, 0, 0, 0, 0,  18, 0, 0, 0, 0, 0, 0, 0,
        1, 0, 72, 0,  't', 'l', 's', 'm', 'T', 'A', 'B', 'L',  0xaf, 0x05, 0x13, 0x18,
    };
    // clang-format on
    struct model m = {malloc(2 * sizeof(struct entry)), 2};
    m.entries[0] = (struct entry){copy_slice("a1", 2), 0x201, copy_slice("x", 1)};
    m.entries[1] = (struct entry){copy_slice("a2", 2), 0x100, copy_slice("", 0)};
    struct sst_build_options options = {4096, 16, 10, LSM_COMPRESSION_LZ4};
    struct sst_info info;
    build_table(env, &m, 0x1234, &options, &info);
    size_t size;
    uint8_t *bytes = read_table(&size);
    if (size != sizeof(golden) || memcmp(bytes, golden, size) != 0) {
        for (size_t i = 0; i < size; i++)
            printf("0x%02x,%c", bytes[i], i % 16 == 15 ? '\n' : ' ');
        ck_abort_msg("the bytes of a table have changed");
    }
    free(bytes);
    sst_info_release(&info);
    model_free(&m);
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("all");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, test_every_bit);
    tcase_add_test(tc, test_every_length);
    tcase_add_test(tc, test_exchanged_blocks);
    tcase_add_test(tc, test_newer_version);
    tcase_add_test(tc, test_footer_geometry);
    tcase_add_test(tc, test_golden);
    return run_case("sst_damage", tc, 300);
}
