// Records: golden bytes as in docs/format.md, round trips, and what the decoder refuses.
#include "lsm.h"
#include "ns/keys/record.h"
#include "ns/namespace.h"
#include "version_util.h"

static const struct timespec when = {0x65000000, 500000000}; // 1694498816

static struct record regular(void)
{
    return (struct record){
        .ino = 300,
        .mode = S_IFREG | 0644,
        .nlink = 1,
        .uid = 1000,
        .gid = 100,
        .is_inline = true,
        .atime = when,
        .mtime = when,
        .ctime = when,
        .btime = when,
    };
}

static void expect_bytes(const struct record *rec, const char *want, size_t size)
{
    struct buf out = {0};
    ck_assert_int_eq(record_encode(rec, &out), 0);
    bool same = out.size == size && memcmp(out.data, want, size) == 0;
    for (size_t i = 0; !same && i < out.size; i++)
        fprintf(stderr, "%02x ", out.data[i]);
    ck_assert_msg(same, "%zu bytes, not %zu, or others", out.size, size);
    buf_release(&out);
}
#define EXPECT_BYTES(rec, literal) expect_bytes(rec, literal, sizeof(literal) - 1)

// The time is 2 * 0x65000000 as a varint, then 0x1dcd6500.
#define WHEN "\x80\x80\x80\xd0\x0c\x00\x65\xcd\x1d"

START_TEST(test_golden_regular)
{
    struct record rec = regular();
    EXPECT_BYTES(&rec, "\x01\x72\xac\x02\xa4\x83\x02\x01\xe8\x07\x64\x00" WHEN);
    rec.content = slice_of("hi", 2);
    rec.size = 2;
    EXPECT_BYTES(&rec, "\x01\x72\xac\x02\xa4\x83\x02\x01\xe8\x07\x64\x02" WHEN "hi");
    rec.is_inline = false;
    rec.size = 1 << 20;
    rec.data_bytes = 4096;
    rec.has_xattrs = true;
    EXPECT_BYTES(&rec, "\x01\x78\xac\x02\xa4\x83\x02\x01\xe8\x07\x64\x80\x80\x40\x80\x20" WHEN);
    rec.has_xattrs = false;
    rec.unwritten_bytes = 8192;
    EXPECT_BYTES(&rec,
                 "\x01\xf0\xac\x02\xa4\x83\x02\x01\xe8\x07\x64\x80\x80\x40\x80\x20\x80\x40" WHEN);
}
END_TEST

// A file with flags or lost bytes is of the second version.
START_TEST(test_golden_flags)
{
    struct record rec = regular();
    rec.flags = NS_IMMUTABLE | NS_NOATIME;
    rec.content = slice_of("hi", 2);
    rec.size = 2;
    EXPECT_BYTES(&rec, "\x02\x72\x01\xac\x02\xa4\x83\x02\x01\xe8\x07\x64\x02" WHEN "\x09"
                       "hi");
    rec.is_inline = false;
    rec.content = slice_of(NULL, 0);
    rec.size = 8192;
    rec.data_bytes = rec.lost_bytes = 4096;
    EXPECT_BYTES(&rec, "\x02\x70\x03\xac\x02\xa4\x83\x02\x01\xe8\x07\x64\x80\x40\x80\x20" WHEN
                       "\x09\x80\x20");
    rec.flags = 0;
    EXPECT_BYTES(&rec, "\x02\x70\x02\xac\x02\xa4\x83\x02\x01\xe8\x07\x64\x80\x40\x80\x20" WHEN
                       "\x80\x20");
    rec = (struct record){.ino = 5, .mode = S_IFDIR | 0755, .nlink = 2, .flags = NS_APPEND};
    rec.prefix = slice_str("a\001b");
    EXPECT_BYTES(&rec, "\x02\x74\x01\x05\xed\x83\x01\x02\x00\x00\x00\x00\x00\x00\x00\x00\x02\x03"
                       "a\001b");
}
END_TEST

START_TEST(test_golden_times)
{
    struct record rec = regular();
    rec.atime = (struct timespec){1, 2};
    rec.ctime = (struct timespec){-1, 3};
    rec.btime = (struct timespec){0, 999999999};
    EXPECT_BYTES(&rec,
                 "\x01\x02\xac\x02\xa4\x83\x02\x01\xe8\x07\x64\x00" WHEN "\x02\x02\x00\x00\x00"
                 "\x01\x03\x00\x00\x00"
                 "\x00\xff\xc9\x9a\x3b");
}
END_TEST

START_TEST(test_golden_others)
{
    struct record rec = regular();
    rec.is_inline = false;
    rec.mode = S_IFDIR | 0755;
    rec.nlink = 3;
    rec.size = 5;
    rec.prefix = slice_str("usr\001lib");
    EXPECT_BYTES(&rec, "\x01\x74\xac\x02\xed\x83\x01\x03\xe8\x07\x64\x05" WHEN "\x07usr\001lib");
    rec.prefix = slice_of(NULL, 0);
    rec.mode = S_IFCHR | 0600;
    rec.rdev = 259;
    rec.size = 0;
    rec.nlink = 1;
    EXPECT_BYTES(&rec, "\x01\x70\xac\x02\x80\x43\x01\xe8\x07\x64\x83\x02\x00" WHEN);
    rec = regular();
    rec.mode = S_IFLNK | 0777;
    rec.size = 6;
    rec.content = slice_str("target");
    EXPECT_BYTES(&rec, "\x01\x72\xac\x02\xff\xc3\x02\x01\xe8\x07\x64\x06" WHEN "target");
    rec = (struct record){.is_link = true, .ino = 300, .mode = S_IFREG | 0644};
    EXPECT_BYTES(&rec, "\x01\x01\xac\x02\x08");
}
END_TEST

// ------------------------------------------------------------------------------- round trips

static bool same_time(struct timespec a, struct timespec b)
{
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static bool same_record(const struct record *a, const struct record *b)
{
    if (a->is_link)
        return b->is_link && a->ino == b->ino && record_type(a) == record_type(b);
    return !b->is_link && a->is_inline == b->is_inline && a->has_xattrs == b->has_xattrs &&
           a->ino == b->ino && a->mode == b->mode && a->nlink == b->nlink && a->uid == b->uid &&
           a->gid == b->gid && a->flags == b->flags && a->rdev == b->rdev && a->size == b->size &&
           a->data_bytes == b->data_bytes && a->lost_bytes == b->lost_bytes &&
           same_time(a->atime, b->atime) && same_time(a->mtime, b->mtime) &&
           same_time(a->ctime, b->ctime) && same_time(a->btime, b->btime) &&
           slice_equal(a->prefix, b->prefix) && slice_equal(a->content, b->content);
}

static uint64_t random_bits(uint64_t *seed)
{
    return random_next(seed) >> random_below(seed, 64);
}

static struct timespec random_time(uint64_t *seed)
{
    if (random_below(seed, 3) == 0)
        return when;
    int64_t sec = (int64_t)(random_bits(seed) >> 1);
    return (struct timespec){random_below(seed, 2) ? sec : -sec,
                             (long)random_below(seed, 1000000000)};
}

static struct record random_record(uint64_t *seed)
{
    static const uint32_t types[] = {S_IFREG, S_IFREG, S_IFDIR, S_IFLNK,
                                     S_IFCHR, S_IFBLK, S_IFIFO, S_IFSOCK};
    static uint8_t content[RECORD_CONTENT_MAX];
    uint32_t type = types[random_below(seed, 8)];
    struct record rec = {.ino = random_bits(seed) | 1, .mode = type};
    rec.is_link = type != S_IFDIR && random_below(seed, 5) == 0;
    if (rec.is_link)
        return rec;
    rec.mode |= (uint32_t)random_below(seed, 010000);
    rec.nlink = (uint32_t)random_bits(seed);
    rec.uid = (uint32_t)random_bits(seed);
    rec.gid = (uint32_t)random_bits(seed);
    rec.flags = random_below(seed, 3) ? 0 : (uint32_t)random_below(seed, NS_FLAGS + 1);
    rec.has_xattrs = random_below(seed, 2);
    rec.size = random_bits(seed);
    rec.is_inline = type == S_IFLNK || (type == S_IFREG && random_below(seed, 2));
    if (rec.is_inline) {
        rec.size = random_below(seed, 10) ? random_below(seed, 200) : RECORD_CONTENT_MAX;
        rec.content = slice_of(content, rec.size);
    } else if (type == S_IFREG) {
        rec.data_bytes = random_bits(seed) % (rec.size + 1);
        if (random_below(seed, 2))
            rec.lost_bytes = random_bits(seed) % (rec.size - rec.data_bytes + 1);
    }
    if (type == S_IFDIR && random_below(seed, 2))
        rec.prefix = slice_of(content, 1 + random_below(seed, 1024));
    if (type == S_IFCHR || type == S_IFBLK)
        rec.rdev = random_bits(seed);
    rec.mtime = random_time(seed);
    rec.atime = random_time(seed);
    rec.ctime = random_time(seed);
    rec.btime = random_time(seed);
    return rec;
}

// Every record comes back; no proper prefix of its bytes is a record.
START_TEST(test_round_trip)
{
    uint64_t seed = test_seed("record", 1);
    struct buf out = {0};
    for (int i = 0; i < 50000; i++) {
        struct record rec = random_record(&seed), got;
        if (record_encode(&rec, &out) || record_decode(out.data, out.size, &got) ||
            !same_record(&rec, &got))
            ck_abort_msg("record %d: %s", i, lsm_error_detail());
        for (size_t cut = out.size < 100 ? 0 : out.size - 100; cut < out.size; cut++)
            if (record_decode(out.data, cut, &got) != LSM_CORRUPTION)
                ck_abort_msg("record %d of %zu bytes: %zu of them are taken for one", i, out.size,
                             cut);
    }
    buf_release(&out);
}
END_TEST

START_TEST(test_encode_reuses_its_buffer)
{
    struct record rec = regular();
    struct buf out = {0};
    ck_assert_int_eq(record_encode(&rec, &out), 0);
    uint8_t *data = out.data;
    size_t size = out.size;
    ck_assert_int_eq(record_encode(&rec, &out), 0);
    ck_assert(out.data == data && out.size == size);
    buf_release(&out);
}
END_TEST

// ------------------------------------------------------------------------------- refusals

// The record with one thing wrong must not decode.
#define REFUSED(rec_, ...)                                                                         \
    do {                                                                                           \
        struct record wrong_ = (rec_), got_;                                                       \
        struct buf out_ = {0};                                                                     \
        __VA_ARGS__;                                                                               \
        ck_assert_int_eq(record_encode(&wrong_, &out_), 0);                                        \
        ck_assert_int_eq(record_decode(out_.data, out_.size, &got_), LSM_CORRUPTION);              \
        buf_release(&out_);                                                                        \
    } while (0)

START_TEST(test_refused_fields)
{
    static const uint8_t zeros[2000];
    REFUSED(regular(), wrong_.ino = 0);
    REFUSED(regular(), wrong_.mode = 0644);
    REFUSED(regular(), wrong_.mode = 0170000);
    REFUSED(regular(), wrong_.mode |= 0200000);
    REFUSED(regular(), wrong_.flags = NS_FLAGS + 1);
    REFUSED(regular(), wrong_.size = 1);
    REFUSED(regular(), wrong_.content = slice_str("x"));
    REFUSED(regular(), wrong_.prefix = slice_str("x"));
    REFUSED(regular(), wrong_.mode = S_IFDIR | 0755);
    REFUSED(regular(), wrong_.is_inline = false; wrong_.data_bytes = 1);
    REFUSED(regular(), wrong_.is_inline = false; wrong_.mode = S_IFLNK | 0777);
    REFUSED(regular(), wrong_.unwritten_bytes = 1);
    REFUSED(regular(), wrong_.lost_bytes = 1);
    REFUSED(regular(), wrong_.is_inline = false; wrong_.size = 9; wrong_.data_bytes = 5;
            wrong_.lost_bytes = 5);
    REFUSED(regular(), wrong_.is_inline = false; wrong_.lost_bytes = 1; wrong_.size = 1;
            wrong_.mode = S_IFDIR | 0755);
    REFUSED(regular(), wrong_.mtime.tv_nsec = 1000000000);
    REFUSED(regular(), wrong_.btime.tv_nsec = -1);
    REFUSED(regular(), wrong_.is_inline = false; wrong_.mode = S_IFDIR | 0755;
            wrong_.prefix = slice_of(zeros, 1025));
    REFUSED(((struct record){.is_link = true, .ino = 3, .mode = S_IFDIR}), (void)0);
    REFUSED(((struct record){.is_link = true, .ino = 3}), (void)0);
}
END_TEST

START_TEST(test_refused_bytes)
{
    struct record rec = regular(), got;
    struct buf out = {0};
    ck_assert_int_eq(record_encode(&rec, &out), 0);
    out.data[0] = 3;
    ck_assert_int_eq(record_decode(out.data, out.size, &got), LSM_NEWER_FORMAT);
    out.data[0] = 2; // the inode number is taken for further fields
    ck_assert_int_eq(record_decode(out.data, out.size, &got), LSM_CORRUPTION);
    out.data[0] = 0;
    ck_assert_int_eq(record_decode(out.data, out.size, &got), LSM_CORRUPTION);
    out.data[0] = 1;
    out.data[1] |= 0x80; // unwritten, and inline
    ck_assert_int_eq(record_decode(out.data, out.size, &got), LSM_CORRUPTION);
    out.data[1] = 0x03; // a link with content
    ck_assert_int_eq(record_decode(out.data, out.size, &got), LSM_CORRUPTION);
    buf_release(&out);
    ck_assert_int_eq(record_decode("\x01\x01\x05\x08\x00", 5, &got), LSM_CORRUPTION);
    ck_assert_int_eq(record_decode("\x01\x01\x05\x18", 4, &got), LSM_CORRUPTION);
    ck_assert_int_eq(record_decode("\x02\x01\x01\x05\x08", 5, &got), LSM_CORRUPTION);
    ck_assert_int_eq(record_decode("\x02\x72", 2, &got), LSM_CORRUPTION);
    ck_assert_int_eq(record_decode("\x02\x72\x04\x05", 4, &got), LSM_CORRUPTION);
    ck_assert_int_eq(record_decode("\x02\x72\x00\x05", 4, &got), LSM_CORRUPTION);
    ck_assert_int_eq(record_decode("", 0, &got), LSM_CORRUPTION);
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("record");
    tcase_add_test(tc, test_golden_regular);
    tcase_add_test(tc, test_golden_flags);
    tcase_add_test(tc, test_golden_times);
    tcase_add_test(tc, test_golden_others);
    tcase_add_test(tc, test_round_trip);
    tcase_add_test(tc, test_encode_reuses_its_buffer);
    tcase_add_test(tc, test_refused_fields);
    tcase_add_test(tc, test_refused_bytes);
    return run_case("record", tc, 60);
}
