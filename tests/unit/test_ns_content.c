// Content and attributes, case by case: inline and extents, holes, copies, limits, setuid, times,
// extended attributes, a full disk.
#include <fcntl.h>
#include <linux/falloc.h>
#include <unistd.h>

#include "ns_fixture.h"
#include "version_util.h"

static struct ns_inode *file;

static void setup(void)
{
    ns_setup();
    ck_assert_int_eq(ns_test_create(ns, "/f"), 0);
    file = ns_test_get(ns, "/f");
}

static void teardown(void)
{
    ns_inode_put(ns, file, 1);
    ns_teardown();
}

static struct ns_attr stat_of(struct ns_inode *inode)
{
    struct ns_attr attr;
    ck_assert_int_eq(ns_getattr(ns, inode, &attr), 0);
    return attr;
}

static void write_at(uint64_t offset, size_t size, int byte)
{
    char *bytes = malloc(size);
    memset(bytes, byte, size);
    ck_assert_int_eq(ns_write(ns, file, bytes, size, offset, 0, NULL), (ssize_t)size);
    free(bytes);
}

// The byte there; -1 past the end.
static int byte_at(struct ns_inode *inode, uint64_t offset)
{
    uint8_t byte;
    ssize_t n = ns_read(ns, inode, &byte, 1, offset);
    ck_assert(n == 0 || n == 1);
    return n ? byte : -1;
}

static int truncate_to(uint64_t size)
{
    struct ns_attr attr = {.size = size};
    return ns_setattr(ns, file, &attr, NS_SET_SIZE, NULL);
}

// ------------------------------------------------------------------------------- where content is

START_TEST(test_inline_until_it_is_too_long)
{
    write_at(0, 2048, 'a');
    ck_assert_uint_eq(stat_of(file).blocks, 4);
    write_at(2048, 1, 'b');
    ck_assert_uint_eq(stat_of(file).size, 2049);
    ck_assert_int_eq(byte_at(file, 2047), 'a');
    ck_assert_int_eq(byte_at(file, 2048), 'b');
    ck_assert_int_eq(byte_at(file, 2049), -1);
    ck_assert_int_eq(truncate_to(0), 0);
    ck_assert_uint_eq(stat_of(file).blocks, 0);
    write_at(10, 5, 'c');
    ck_assert_int_eq(byte_at(file, 9), 0);
    ck_assert_int_eq(byte_at(file, 14), 'c');
}
END_TEST

// Closes the store and opens it with another inline_max.
static void reopen_with(unsigned inline_max)
{
    struct ns_options options = ns_small_options(env);
    options.inline_max = inline_max;
    ns_inode_put(ns, file, 1);
    ck_assert_int_eq(ns_close(ns), 0);
    int status = ns_open("/fs", &options, &ns);
    ck_assert_msg(status == 0, "ns_open: %d %s", status, lsm_error_detail());
    file = ns_test_get(ns, "/f");
}

// The file made anew: `size` bytes that differ, inline.
static void make_inline(uint8_t *bytes, size_t size)
{
    reopen_with(65536);
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(1 + i * 7 % 251);
    ck_assert_int_eq(truncate_to(0), 0);
    ck_assert_int_eq(ns_write(ns, file, bytes, size, 0, 0, NULL), (ssize_t)size);
}

static void expect_bytes(const uint8_t *want, size_t size)
{
    static uint8_t got[200000];
    ck_assert_uint_eq(stat_of(file).size, size);
    ck_assert_int_eq(ns_read(ns, file, got, sizeof got, 0), (ssize_t)size);
    for (size_t i = 0; i < size; i++)
        ck_assert_msg(got[i] == want[i], "byte %zu is %02x, not %02x", i, got[i], want[i]);
    ns_expect_clean(ns, "after the write");
}

// A file that is inline stays whole when it is written, cut, punched or copied under a smaller
// limit: where a write lies in it and how long it is must not matter.
START_TEST(test_inline_under_a_smaller_limit)
{
    static const unsigned limits[] = {0, 100, 2048, 65536};
    static const size_t sizes[] = {1, 1000, 4096, 20000, 70000},
                        starts[] = {0, 1, 4096, 59999, 60000, 61000};
    static uint8_t want[200000], data[70000];
    memset(data, 0xee, sizeof data);
    for (size_t l = 0; l < sizeof limits / sizeof limits[0]; l++)
        for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++)
            for (size_t o = 0; o < sizeof starts / sizeof starts[0]; o++) {
                size_t end = starts[o] + sizes[s];
                memset(want, 0, sizeof want);
                make_inline(want, 60000);
                reopen_with(limits[l]);
                ck_assert_int_eq(ns_write(ns, file, data, sizes[s], starts[o], 0, NULL),
                                 (ssize_t)sizes[s]);
                memcpy(want + starts[o], data, sizes[s]);
                expect_bytes(want, end > 60000 ? end : 60000);
            }
}
END_TEST

START_TEST(test_inline_ranges_under_a_smaller_limit)
{
    static const unsigned limits[] = {0, 100, 2048, 65536};
    static uint8_t want[200000];
    for (size_t l = 0; l < sizeof limits / sizeof limits[0]; l++) {
        memset(want, 0, sizeof want);
        make_inline(want, 60000);
        reopen_with(limits[l]);
        ck_assert_int_eq(ns_test_fallocate(ns, file, FALLOC_FL_ZERO_RANGE, 50000, 20000), 0);
        memset(want + 50000, 0, 20000);
        expect_bytes(want, 70000);

        make_inline(want, 60000);
        reopen_with(limits[l]);
        ck_assert_int_eq(
            ns_test_fallocate(ns, file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 10, 50), 0);
        memset(want + 10, 0, 50);
        expect_bytes(want, 60000);
        ck_assert_int_eq(truncate_to(59000), 0);
        ck_assert_int_eq(truncate_to(61000), 0);
        memset(want + 59000, 0, 2000);
        expect_bytes(want, 61000);

        make_inline(want, 60000);
        reopen_with(limits[l]);
        ck_assert_int_eq(ns_test_copy_range(ns, file, 0, file, 60000, 60000), 60000);
        memcpy(want + 60000, want, 60000);
        expect_bytes(want, 120000);
    }
}
END_TEST

// What a truncation cuts off never comes back.
START_TEST(test_truncated_bytes_are_gone)
{
    static const size_t sizes[] = {100, 3000, 131072, 400000};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        write_at(0, sizes[i], 'x');
        ck_assert_int_eq(truncate_to(sizes[i] / 2), 0);
        ck_assert_int_eq(truncate_to(sizes[i]), 0);
        ck_assert_int_eq(byte_at(file, sizes[i] / 2 - 1), 'x');
        ck_assert_int_eq(byte_at(file, sizes[i] / 2), 0);
        ck_assert_int_eq(byte_at(file, sizes[i] - 1), 0);
        ck_assert_int_eq(truncate_to(0), 0);
    }
}
END_TEST

// Many extents: more than one batch deletes.
START_TEST(test_truncating_very_many_extents)
{
    for (uint64_t i = 0; i < 9000; i++)
        ck_assert_int_eq(ns_write(ns, file, "0123456789", 10, i * 200000, 0, NULL), 10);
    ck_assert_uint_eq(stat_of(file).blocks, (9000 * 10 + 511) / 512);
    ck_assert_int_eq(truncate_to(200000 * 3 + 5), 0);
    ck_assert_uint_eq(stat_of(file).blocks, (35 + 511) / 512);
    ns_expect_clean(ns, "after the truncation");
    ck_assert_int_eq(ns_test_unlink(ns, "/f"), 0);
}
END_TEST

// Writes so many pieces of 8 KiB. How many of them went with the log: what goes to a blob file
// leaves a pointer there.
static unsigned pieces_logged(unsigned count, bool sync)
{
    uint64_t before, after;
    ck_assert(lsm_property_uint(ns_engine(ns), "wal-bytes-written", &before));
    for (unsigned i = 0; i < count; i++) {
        write_at(i * 8192, 8192, 'a' + (int)i % 26);
        if (sync)
            ck_assert_int_eq(ns_test_fsync(ns, file), 0);
    }
    ck_assert(lsm_property_uint(ns_engine(ns), "wal-bytes-written", &after));
    return (unsigned)((after - before) / 8192);
}

// Short writes to a file that is fsynced after every few of them stay with the log.
START_TEST(test_synced_often)
{
    ck_assert_uint_eq(pieces_logged(1, true), 0); // nothing is known of the file yet
    ck_assert_uint_eq(pieces_logged(20, true), 20);
    ck_assert_uint_eq(pieces_logged(16, false), 16);
    ck_assert_uint_eq(pieces_logged(1, false), 0); // too many by now
    ck_assert_int_eq(ns_test_fsync(ns, file), 0);
    ck_assert_uint_eq(pieces_logged(1, true), 0);
    ck_assert_uint_eq(pieces_logged(1, true), 1);
    for (uint64_t i = 0; i < 20; i++)
        ck_assert_int_eq(byte_at(file, i * 8192 + 8191), i ? 'a' + (int)i % 26 : 'a');
}
END_TEST

START_TEST(test_a_very_long_file)
{
    const uint64_t max = (uint64_t)NS_FILE_MAX;
    ck_assert_int_eq(ns_write(ns, file, "z", 1, max - 1, 0, NULL), 1);
    ck_assert_uint_eq(stat_of(file).size, max);
    ck_assert_int_eq(byte_at(file, max - 1), 'z');
    ck_assert_int_eq(byte_at(file, max / 2), 0);
    ck_assert_int_eq(byte_at(file, max), -1);
    ck_assert_int_eq(ns_write(ns, file, "z", 1, max, 0, NULL), -EFBIG);
    ck_assert_int_eq(ns_write(ns, file, "zz", 2, max - 1, 0, NULL), -EFBIG);
    ck_assert_int_eq(ns_write(ns, file, "z", 1, UINT64_MAX, 0, NULL), -EFBIG);
    ck_assert_int_eq(truncate_to(max + 1), -EFBIG);
    ck_assert_int_eq(ns_test_fallocate(ns, file, 0, max, 1), -EFBIG);
    ck_assert_int_eq(ns_test_fallocate(ns, file, 0, 1, UINT64_MAX), -EFBIG);
    ck_assert_int_eq(ns_test_copy_range(ns, file, 0, file, max - 1, 2), -EFBIG);
    ck_assert_uint_eq(stat_of(file).size, max);
    ck_assert_int_eq(ns_seek(ns, file, 0, SEEK_DATA), (int64_t)max - 1);
    ck_assert_int_eq(ns_seek(ns, file, 0, SEEK_HOLE), 0);
    ck_assert_int_eq(ns_seek(ns, file, max - 1, SEEK_HOLE), (int64_t)max);
    ck_assert_int_eq(
        ns_test_fallocate(ns, file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, max), 0);
    ck_assert_uint_eq(stat_of(file).blocks, 0);
    ck_assert_int_eq(ns_seek(ns, file, 5, SEEK_DATA), -ENXIO);
    ck_assert_int_eq(truncate_to(max), 0);
}
END_TEST

START_TEST(test_holes)
{
    write_at(0, 10000, 'a');
    write_at(500000, 10000, 'b');
    ck_assert_uint_eq(stat_of(file).blocks, (20000 + 511) / 512);
    ck_assert_int_eq(ns_seek(ns, file, 0, SEEK_HOLE), 10000);
    ck_assert_int_eq(ns_seek(ns, file, 10000, SEEK_DATA), 500000);
    ck_assert_int_eq(ns_seek(ns, file, 505000, SEEK_DATA), 505000);
    ck_assert_int_eq(ns_seek(ns, file, 505000, SEEK_HOLE), 510000);
    ck_assert_int_eq(ns_seek(ns, file, 510000, SEEK_HOLE), -ENXIO);
    ck_assert_int_eq(ns_seek(ns, file, 0, SEEK_SET), -EINVAL);
    int punch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
    ck_assert_int_eq(ns_test_fallocate(ns, file, punch, 2000, 3000), 0);
    ck_assert_uint_eq(stat_of(file).blocks, (17000 + 511) / 512);
    ck_assert_int_eq(ns_seek(ns, file, 0, SEEK_HOLE), 2000);
    ck_assert_int_eq(ns_seek(ns, file, 2000, SEEK_DATA), 5000);
    ck_assert_int_eq(byte_at(file, 1999), 'a');
    ck_assert_int_eq(byte_at(file, 2000), 0);
    ck_assert_int_eq(byte_at(file, 4999), 0);
    ck_assert_int_eq(byte_at(file, 5000), 'a');
    ck_assert_int_eq(ns_test_fallocate(ns, file, FALLOC_FL_ZERO_RANGE, 505000, 10000), 0);
    ck_assert_uint_eq(stat_of(file).size, 515000);
    ck_assert_int_eq(byte_at(file, 504999), 'b');
    ck_assert_int_eq(byte_at(file, 505000), 0);
    ck_assert_int_eq(ns_test_fallocate(ns, file, punch, 600000, 1000), 0);
    ck_assert_uint_eq(stat_of(file).size, 515000);
    ck_assert_int_eq(ns_test_fallocate(ns, file, FALLOC_FL_COLLAPSE_RANGE, 0, 4096), -EOPNOTSUPP);
    ck_assert_int_eq(ns_test_fallocate(ns, file, FALLOC_FL_PUNCH_HOLE, 0, 4096), -EOPNOTSUPP);
    ck_assert_int_eq(ns_test_fallocate(ns, file, 0, 0, 0), -EINVAL);
}
END_TEST

// ------------------------------------------------------------------------------- fallocate

#define KEEP  FALLOC_FL_KEEP_SIZE
#define PUNCH (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)

static uint64_t blocks(void)
{
    return stat_of(file).blocks;
}

static uint64_t available(void)
{
    struct statvfs space;
    ck_assert_int_eq(ns_statfs(ns, &space), 0);
    return space.f_bavail * space.f_frsize;
}

static bool fill(char *path, size_t path_size, unsigned *ret_count)
{
    static uint64_t noise[2500]; // 20,000 bytes that do not compress
    uint64_t seed = 1;
    for (size_t i = 0; i < sizeof noise / sizeof noise[0]; i++)
        noise[i] = random_next(&seed);
    for (unsigned i = 0; i < 3000; i++) {
        snprintf(path, path_size, "/full%u", i);
        int rc = ns_test_create(ns, path);
        struct ns_inode *inode = rc ? NULL : ns_test_get(ns, path);
        ssize_t n = rc ? rc : ns_write(ns, inode, noise, sizeof noise, 0, 0, NULL);
        if (inode)
            ns_inode_put(ns, inode, 1);
        if (n != 20000) {
            ck_assert_msg(n == -ENOSPC, "%s: %zd", path, n);
            *ret_count = i + !rc;
            return true;
        }
    }
    return false;
}

// What is promised counts, and writing to it adds nothing; it stays over a remount.
START_TEST(test_promised_blocks)
{
    ck_assert_int_eq(ns_test_fallocate(ns, file, 0, 4095, 2), 0); // both blocks
    ck_assert_uint_eq(stat_of(file).size, 4097);
    ck_assert_uint_eq(blocks(), 16);
    ck_assert_int_eq(ns_seek(ns, file, 0, SEEK_DATA), -ENXIO);
    reopen_with(2048);
    ck_assert_uint_eq(blocks(), 16);
    write_at(4095, 2, 'x');
    ck_assert_uint_eq(blocks(), 16);
    ck_assert_int_eq(byte_at(file, 4094), 0);
    ck_assert_int_eq(byte_at(file, 4096), 'x');
    write_at(0, 8192, 'y');
    ck_assert_uint_eq(blocks(), 16);
    ck_assert_int_eq(ns_test_fallocate(ns, file, 0, 0, 8192), 0); // all there
    ck_assert_uint_eq(blocks(), 16);
    ns_expect_clean(ns, "written");
    ck_assert_int_eq(ns_test_fallocate(ns, file, 0, 0, 1 << 20), 0);
    ck_assert_uint_eq(blocks(), 2048);
    write_at(500001, 7, 'z');
    write_at(300000, 250000, 'z');
    ck_assert_uint_eq(blocks(), 2048);
    ck_assert_int_eq(ns_test_copy_range(ns, file, 300000, file, 600000, 200000), 200000);
    ck_assert_uint_eq(blocks(), 2048);
    ns_expect_clean(ns, "written in the middle");
    ck_assert_int_eq(ns_test_fallocate(ns, file, PUNCH, 0, 1 << 20), 0);
    ck_assert_uint_eq(blocks(), 0);
    ck_assert_int_eq(ns_test_fallocate(ns, file, FALLOC_FL_ZERO_RANGE, 0, 65536), 0);
    ck_assert_uint_eq(blocks(), 128);
}
END_TEST

START_TEST(test_promised_beyond_the_end)
{
    write_at(0, 100, 'x');
    ck_assert_int_eq(ns_test_fallocate(ns, file, KEEP, 0, 100), 0); // there already
    ck_assert_uint_eq(blocks(), 1);
    ck_assert_int_eq(ns_test_fallocate(ns, file, KEEP, 0, 1000000), 0);
    ck_assert_uint_eq(stat_of(file).size, 100);
    ck_assert_uint_eq(blocks(), 1003520 / 512);
    ck_assert_int_eq(byte_at(file, 99), 'x');
    reopen_with(65536);
    write_at(100, 50000, 'y');
    ck_assert_uint_eq(blocks(), 1003520 / 512);
    ck_assert_int_eq(truncate_to(200000), 0); // longer: the rest stays
    ck_assert_uint_eq(blocks(), 1003520 / 512);
    ck_assert_int_eq(truncate_to(200000), 0);
    ck_assert_uint_eq(blocks(), (200000 + 511) / 512);
    ck_assert_int_eq(truncate_to(0), 0);
    ck_assert_uint_eq(blocks(), 0);
    ck_assert_int_eq(ns_test_fallocate(ns, file, KEEP, 0, 5000), 0);
    ck_assert_uint_eq(stat_of(file).size, 0);
    ck_assert_uint_eq(blocks(), 16);
    ck_assert_int_eq(ns_test_unlink(ns, "/f"), 0);
    ns_expect_clean(ns, "unlinked");
}
END_TEST

// The space goes with the file, at once or in the background, also if that is much; a remount
// counts the same.
START_TEST(test_promised_space_comes_back)
{
    env_fault_limit(env, 64 << 20);
    uint64_t before = available();
    for (unsigned round = 0; round < 2; round++) {
        ck_assert_int_eq(ns_test_fallocate(ns, file, 0, 0, 16 << 20), 0);
        ck_assert(available() + (16 << 20) <= before);
        for (uint64_t i = 0; round == 1 && i < 1500; i++) // very many ranges
            ck_assert_int_eq(ns_write(ns, file, "x", 1, i * 8192, 0, NULL), 1);
        reopen_with(0);
        ck_assert(available() + (16 << 20) <= before);
        ck_assert_int_eq(ns_test_unlink(ns, "/f"), 0);
        ns_inode_put(ns, file, 1);
        ck_assert_int_eq(ns_wait_idle(ns), 0);
        ck_assert_msg(available() + (4 << 20) > before, "%llu of %llu",
                      (unsigned long long)available(), (unsigned long long)before);
        ck_assert_int_eq(ns_test_create(ns, "/f"), 0);
        file = ns_test_get(ns, "/f");
    }
    env_fault_limit(env, 0);
}
END_TEST

// More than there is is refused, and changes nothing. What was promised can be written when all the
// rest is full.
START_TEST(test_promises_are_kept)
{
    char path[32];
    unsigned count;
    env_fault_limit(env, 16 << 20);
    ck_assert_int_eq(ns_test_fallocate(ns, file, 0, 0, available() * 2), -ENOSPC);
    ck_assert_int_eq(ns_test_fallocate(ns, file, 0, 0, INT64_MAX), -ENOSPC);
    ck_assert_uint_eq(stat_of(file).size, 0);
    ck_assert_uint_eq(blocks(), 0);
    ck_assert_int_eq(ns_test_fallocate(ns, file, 0, 0, 4 << 20), 0);
    ck_assert(fill(path, sizeof path, &count));
    ck_assert_int_eq(ns_test_fallocate(ns, file, KEEP, 4 << 20, 4 << 20), -ENOSPC);
    for (uint64_t at = 0; at < 4 << 20; at += 65536)
        write_at(at, 65536, 'p');
    ck_assert_uint_eq(blocks(), 8192);
    reopen_with(2048);
    for (uint64_t at = 0; at < 4 << 20; at += 4096)
        ck_assert_int_eq(byte_at(file, at), 'p');
    env_fault_limit(env, 0);
}
END_TEST

START_TEST(test_punching_very_many_extents)
{
    for (uint64_t i = 0; i < 3000; i++)
        ck_assert_int_eq(ns_write(ns, file, "0123456789", 10, i * 200000, 0, NULL), 10);
    ck_assert_int_eq(
        ns_test_fallocate(ns, file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 5, 2998 * 200000),
        0);
    ck_assert_uint_eq(stat_of(file).blocks, (5 + 5 + 10 + 511) / 512);
    ck_assert_int_eq(byte_at(file, 4), '4');
    ck_assert_int_eq(byte_at(file, 5), 0);
    ck_assert_int_eq(byte_at(file, 2998 * 200000 + 5), '5');
}
END_TEST

// A file built of small appends does not end up as as many extents.
START_TEST(test_small_appends_are_merged)
{
    for (uint64_t i = 0; i < 3000; i++)
        ck_assert_int_eq(
            ns_write(ns, file, "a line of a log file, 32 bytes.\n", 32, i * 32, 0, NULL), 32);
    unsigned extents = 0;
    struct lsm_iter *iter;
    struct lsm_iter_options options = {
        .lower = "D", .lower_size = 1, .upper = "E", .upper_size = 1};
    ck_assert_int_eq(lsm_iter_new(ns_engine(ns), &options, &iter), 0);
    for (lsm_iter_seek_first(iter); lsm_iter_valid(iter); lsm_iter_next(iter))
        extents++;
    lsm_iter_free(iter);
    ck_assert_uint_le(extents, 30);
    ck_assert_int_eq(byte_at(file, 2999 * 32 + 31), '\n');
    ck_assert_int_eq(byte_at(file, 1000 * 32), 'a');
}
END_TEST

// Writes go to blob files before the file is locked.
START_TEST(test_long_writes)
{
    write_at(0, 1000, 'i'); // inline, and then moved out of the way
    write_at(5000, 100000, 'a');
    ck_assert_int_eq(byte_at(file, 999), 'i');
    ck_assert_int_eq(byte_at(file, 1000), 0);
    ck_assert_int_eq(byte_at(file, 5000), 'a');
    ck_assert_uint_eq(stat_of(file).size, 105000);
    ck_assert_uint_eq(stat_of(file).blocks, (1000 + 100000 + 511) / 512);
    write_at(5000, 100000, 'b'); // the same extent again
    write_at(105000, 65536, 'c');
    write_at(60000, 2000000, 'd'); // over two and beyond, cut at 1 MiB
    ck_assert_int_eq(byte_at(file, 59999), 'b');
    ck_assert_int_eq(byte_at(file, 60000), 'd');
    ck_assert_int_eq(byte_at(file, 1048576), 'd');
    ck_assert_int_eq(byte_at(file, 2059999), 'd');
    ck_assert_int_eq(byte_at(file, 2060000), -1);
    ck_assert_uint_eq(stat_of(file).blocks, (1000 + 2055000 + 511) / 512);
    ck_assert_int_eq(truncate_to(0), 0);
    write_at(0, 700, 'i');
    write_at(300, 70000, 'e'); // over the end of inline content
    ck_assert_int_eq(byte_at(file, 299), 'i');
    ck_assert_int_eq(byte_at(file, 300), 'e');
    ck_assert_int_eq(byte_at(file, 70299), 'e');
    ck_assert_uint_eq(stat_of(file).size, 70300);
}
END_TEST

START_TEST(test_copies)
{
    write_at(0, 300000, 'a');
    write_at(400000, 1000, 'b');
    ck_assert_int_eq(ns_test_create(ns, "/g"), 0);
    struct ns_inode *copy = ns_test_get(ns, "/g");
    ck_assert_int_eq(ns_test_copy_range(ns, file, 100, copy, 1000, 1 << 30), 400900);
    ck_assert_uint_eq(stat_of(copy).size, 401900);
    ck_assert_uint_eq(stat_of(copy).blocks, (300000 - 100 + 1000 + 511) / 512);
    ck_assert_int_eq(byte_at(copy, 999), 0);
    ck_assert_int_eq(byte_at(copy, 1000), 'a');
    ck_assert_int_eq(byte_at(copy, 300900), 0);
    ck_assert_int_eq(byte_at(copy, 400900), 'b');
    // What is shared is not tied together.
    write_at(0, 300000, 'c');
    ck_assert_int_eq(byte_at(copy, 200000), 'a');
    ck_assert_int_eq(ns_test_unlink(ns, "/f"), 0);
    ck_assert_int_eq(byte_at(copy, 200000), 'a');
    ck_assert_int_eq(ns_test_copy_range(ns, copy, 401900, copy, 0, 10), 0);
    ck_assert_int_eq(ns_test_copy_range(ns, copy, 0, copy, 10, 11), -EINVAL);
    ck_assert_int_eq(ns_test_copy_range(ns, copy, 0, copy, 10, 10), 10);
    ck_assert_int_eq(ns_test_copy_range(ns, ns_root(ns), 0, copy, 10, 10), -EISDIR);
    ns_inode_put(ns, copy, 1);
}
END_TEST

START_TEST(test_what_has_no_content)
{
    char bytes[10];
    ck_assert_int_eq(ns_read(ns, ns_root(ns), bytes, 1, 0), -EISDIR);
    ck_assert_int_eq(ns_write(ns, ns_root(ns), bytes, 1, 0, 0, NULL), -EISDIR);
    ck_assert_int_eq(ns_test_fallocate(ns, ns_root(ns), 0, 0, 1), -EISDIR);
    ck_assert_int_eq(ns_test_mknod(ns, "/pipe", S_IFIFO | 0600), 0);
    struct ns_inode *pipe = ns_test_get(ns, "/pipe");
    struct ns_attr attr = {.size = 1};
    ck_assert_int_eq(ns_read(ns, pipe, bytes, 1, 0), -EINVAL);
    ck_assert_int_eq(ns_setattr(ns, pipe, &attr, NS_SET_SIZE, NULL), -EINVAL);
    ck_assert_int_eq(ns_setattr(ns, ns_root(ns), &attr, NS_SET_SIZE, NULL), -EISDIR);
    ck_assert_int_eq(ns_readlink(ns, pipe, bytes, 10), -EINVAL);
    ns_inode_put(ns, pipe, 1);
    ck_assert_int_eq(ns_test_mknod(ns, "/odd", S_IFMT | 0600), -EINVAL);
    ck_assert_int_eq(ns_write(ns, file, bytes, 0, 5, 0, NULL), 0);
    ck_assert_uint_eq(stat_of(file).size, 0);
}
END_TEST

START_TEST(test_symlinks)
{
    static char target[NS_SYMLINK_MAX + 2], got[NS_SYMLINK_MAX];
    memset(target, 't', NS_SYMLINK_MAX + 1);
    ck_assert_int_eq(ns_test_symlink(ns, target, "/s"), -ENAMETOOLONG);
    ck_assert_int_eq(ns_test_symlink(ns, "", "/s"), -ENOENT);
    target[NS_SYMLINK_MAX] = 0;
    ck_assert_int_eq(ns_test_symlink(ns, target, "/s"), 0);
    struct ns_inode *link = ns_test_get(ns, "/s");
    ck_assert_int_eq(ns_readlink(ns, link, got, NS_SYMLINK_MAX - 1), -ERANGE);
    ck_assert_int_eq(ns_readlink(ns, link, got, NS_SYMLINK_MAX), NS_SYMLINK_MAX);
    ck_assert_mem_eq(got, target, NS_SYMLINK_MAX);
    ck_assert_uint_eq(stat_of(link).mode, S_IFLNK | 0777);
    ck_assert_uint_eq(stat_of(link).size, NS_SYMLINK_MAX);
    ns_inode_put(ns, link, 1);
}
END_TEST

// ------------------------------------------------------------------------------- attributes

static void set_mode(struct ns_inode *inode, uint32_t mode)
{
    struct ns_attr attr = {.mode = mode};
    ck_assert_int_eq(ns_setattr(ns, inode, &attr, NS_SET_MODE, NULL), 0);
}

START_TEST(test_setuid_goes)
{
    struct ns_attr attr = {.uid = 3};
    set_mode(file, 06755);
    ck_assert_int_eq(ns_write(ns, file, "x", 1, 0, NS_WRITE_KEEP_SUID, NULL), 1);
    ck_assert_uint_eq(stat_of(file).mode, S_IFREG | 06755);
    ck_assert_int_eq(ns_write(ns, file, "x", 1, 0, 0, NULL), 1);
    ck_assert_uint_eq(stat_of(file).mode, S_IFREG | 0755);
    set_mode(file, 06744); // setgid without group execution is no setgid
    ck_assert_int_eq(ns_setattr(ns, file, &attr, NS_SET_UID, NULL), 0);
    ck_assert_uint_eq(stat_of(file).mode, S_IFREG | 02744);
    set_mode(file, 04755);
    ck_assert_int_eq(ns_setattr(ns, file, &attr, NS_SET_KILL_SUID, NULL), 0);
    ck_assert_uint_eq(stat_of(file).mode, S_IFREG | 0755);
    set_mode(file, 04755);
    ck_assert_int_eq(ns_test_fallocate(ns, file, 0, 0, 100), 0);
    ck_assert_uint_eq(stat_of(file).mode, S_IFREG | 0755);
}
END_TEST

START_TEST(test_setgid_directories)
{
    struct ns_attr attr = {.gid = 55};
    ck_assert_int_eq(ns_test_mkdir(ns, "/d"), 0);
    struct ns_inode *dir = ns_test_get(ns, "/d");
    ck_assert_int_eq(ns_setattr(ns, dir, &attr, NS_SET_GID, NULL), 0);
    set_mode(dir, 02775);
    ns_inode_put(ns, dir, 1);
    ck_assert_int_eq(ns_test_create(ns, "/d/f"), 0);
    ck_assert_int_eq(ns_test_mkdir(ns, "/d/sub"), 0);
    ck_assert_uint_eq(ns_test_stat(ns, "/d/f").gid, 55);
    ck_assert_uint_eq(ns_test_stat(ns, "/d/f").mode, S_IFREG | 0644);
    ck_assert_uint_eq(ns_test_stat(ns, "/d/sub").gid, 55);
    ck_assert_uint_eq(ns_test_stat(ns, "/d/sub").mode, S_IFDIR | 02755);
}
END_TEST

START_TEST(test_times)
{
    struct timespec past = {-5000000000, 123456789}, far = {50000000000, 999999999};
    struct ns_attr got, attr = {.atime = past, .mtime = far, .ctime = past};
    struct ns_attr before = stat_of(file);
    ck_assert_int_eq(ns_setattr(ns, file, &attr, NS_SET_ATIME | NS_SET_MTIME | NS_SET_CTIME, &got),
                     0);
    ck_assert(got.atime.tv_sec == past.tv_sec && got.atime.tv_nsec == past.tv_nsec);
    ck_assert(got.mtime.tv_sec == far.tv_sec && got.mtime.tv_nsec == far.tv_nsec);
    ck_assert(got.ctime.tv_sec == past.tv_sec);
    ck_assert(got.btime.tv_sec == before.btime.tv_sec && got.btime.tv_nsec == before.btime.tv_nsec);
    ck_assert_int_eq(ns_write(ns, file, "x", 1, 0, NS_WRITE_KEEP_TIMES, &got), 1);
    ck_assert(got.mtime.tv_sec == far.tv_sec && got.ctime.tv_sec == past.tv_sec);
    ck_assert_int_eq(ns_write(ns, file, "x", 1, 0, 0, &got), 1);
    ck_assert(got.mtime.tv_sec >= before.mtime.tv_sec && got.mtime.tv_sec != far.tv_sec);
    attr.atime.tv_nsec = 1000000000;
    ck_assert_int_eq(ns_setattr(ns, file, &attr, NS_SET_ATIME, NULL), -EINVAL);
    attr.atime.tv_nsec = -1;
    ck_assert_int_eq(ns_setattr(ns, file, &attr, NS_SET_ATIME, NULL), -EINVAL);
}
END_TEST

START_TEST(test_xattrs)
{
    static char big[NS_XATTR_SIZE_MAX + 1], got[NS_XATTR_SIZE_MAX];
    char name[257];
    memset(name, 'n', 256);
    name[256] = 0;
    ck_assert_int_eq(ns_setxattr(ns, file, name, "", 0, 0), -ERANGE);
    ck_assert_int_eq(ns_setxattr(ns, file, "", "", 0, 0), -ERANGE);
    name[255] = 0;
    ck_assert_int_eq(ns_setxattr(ns, file, name, "", 0, 0), 0);
    ck_assert_int_eq(ns_getxattr(ns, file, name, NULL, 0), 0);
    ck_assert_int_eq(ns_setxattr(ns, file, "user.big", big, sizeof big, 0), -E2BIG);
    ck_assert_int_eq(ns_setxattr(ns, file, "user.big", big, NS_XATTR_SIZE_MAX, 0), 0);
    ck_assert_int_eq(ns_getxattr(ns, file, "user.big", NULL, 0), NS_XATTR_SIZE_MAX);
    ck_assert_int_eq(ns_getxattr(ns, file, "user.big", got, 10), -ERANGE);
    ck_assert_int_eq(ns_getxattr(ns, file, "user.big", got, sizeof got), NS_XATTR_SIZE_MAX);
    ck_assert_int_eq(ns_setxattr(ns, file, "user.big", "", 0, NS_XATTR_CREATE), -EEXIST);
    ck_assert_int_eq(ns_setxattr(ns, file, "user.new", "", 0, NS_XATTR_REPLACE), -ENODATA);
    ck_assert_int_eq(ns_setxattr(ns, file, "user.new", "", 0, 3), -EINVAL);
    ck_assert_int_eq(ns_setxattr(ns, file, "user.new", "", 0, 4), -EINVAL);
    ck_assert_int_eq(ns_listxattr(ns, file, NULL, 0), 256 + 9);
    ck_assert_int_eq(ns_listxattr(ns, file, got, 256), -ERANGE);
    ck_assert_int_eq(ns_listxattr(ns, file, got, 256 + 9), 256 + 9);
    ck_assert_int_eq(ns_removexattr(ns, file, "user.none"), -ENODATA);
    ck_assert_int_eq(ns_removexattr(ns, file, "user.big"), 0);
    ck_assert_int_eq(ns_getxattr(ns, file, "user.big", got, sizeof got), -ENODATA);
    ck_assert_int_eq(ns_removexattr(ns, file, name), 0);
    ck_assert_int_eq(ns_listxattr(ns, file, got, sizeof got), 0);
    // They follow the file, not the name.
    ck_assert_int_eq(ns_setxattr(ns, file, "user.a", "1", 1, 0), 0);
    ck_assert_int_eq(ns_test_link(ns, "/f", "/g"), 0);
    ck_assert_int_eq(ns_test_unlink(ns, "/f"), 0);
    struct ns_inode *other = ns_test_get(ns, "/g");
    ck_assert_int_eq(ns_getxattr(ns, other, "user.a", got, sizeof got), 1);
    ns_inode_put(ns, other, 1);
}
END_TEST

// ------------------------------------------------------------------------------- a full disk

// What fails has changed nothing; with room everything works again.
START_TEST(test_a_full_disk)
{
    char path[32];
    unsigned count;
    env_fault_limit(env, 8 << 20);
    ck_assert(fill(path, sizeof path, &count));
    if (ns_test_exists(ns, path))
        ck_assert_uint_eq(ns_test_stat(ns, path).size, 0);
    ns_expect_clean(ns, "full");
    env_fault_limit(env, 0);
    ns_inode_put(ns, file, 1);
    ck_assert_int_eq(ns_close(ns), 0);
    ns = ns_test_open(env);
    for (unsigned i = 0; i < count; i++) {
        snprintf(path, sizeof path, "/full%u", i);
        ck_assert_int_eq(ns_test_unlink(ns, path), 0);
    }
    file = ns_test_get(ns, "/f");
    write_at(0, 100000, 'x');
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("content");
    TCase *tc = tcase_create("content");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, test_inline_until_it_is_too_long);
    tcase_add_test(tc, test_inline_under_a_smaller_limit);
    tcase_add_test(tc, test_inline_ranges_under_a_smaller_limit);
    tcase_add_test(tc, test_truncated_bytes_are_gone);
    tcase_add_test(tc, test_truncating_very_many_extents);
    tcase_add_test(tc, test_synced_often);
    tcase_add_test(tc, test_a_very_long_file);
    tcase_add_test(tc, test_holes);
    tcase_add_test(tc, test_promised_blocks);
    tcase_add_test(tc, test_promised_beyond_the_end);
    tcase_add_test(tc, test_promised_space_comes_back);
    tcase_add_test(tc, test_promises_are_kept);
    tcase_add_test(tc, test_punching_very_many_extents);
    tcase_add_test(tc, test_small_appends_are_merged);
    tcase_add_test(tc, test_long_writes);
    tcase_add_test(tc, test_copies);
    tcase_add_test(tc, test_what_has_no_content);
    tcase_add_test(tc, test_symlinks);
    tcase_add_test(tc, test_setuid_goes);
    tcase_add_test(tc, test_setgid_directories);
    tcase_add_test(tc, test_times);
    tcase_add_test(tc, test_xattrs);
    tcase_add_test(tc, test_a_full_disk);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
