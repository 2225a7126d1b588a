// The stream of send and receive: its bytes, to the last one; and that one which is cut off,
// damaged or put together from others is never taken for a whole one.
#include "quick_check.h"

#include <stdlib.h>

#include "base/coding.h"
#include "base/hash.h"
#include "commands/stream_format.h"

static struct buf stream;
static size_t ends[64], end_count; // of head and frames

static int write_stream(void *arg, const void *data, size_t size)
{
    (void)arg;
    ck_assert_int_eq(buf_append(&stream, data, size), 0);
    ends[end_count++] = stream.size;
    return 0;
}

static const struct stream_begin changes = {.identity = {1, [15] = 2},
                                            .base = {3, [15] = 4},
                                            .created_us = 0x0102030405060708,
                                            .name = "new",
                                            .base_name = "old"};

// Two puts and a delete, one frame each if `large`.
static void make(const struct stream_begin *begin, bool large)
{
    struct stream_writer writer = {.write = write_stream};
    size_t size = large ? STREAM_GATHERED : 2;
    uint8_t *value = calloc(1, size);
    struct slice bytes = slice_of(value, size);
    memcpy(value, "v1", 2);
    stream.size = end_count = 0;
    ck_assert_int_eq(stream_write_begin(&writer, begin), 0);
    ck_assert_int_eq(stream_write_change(&writer, slice_str("a"), &bytes), 0);
    if (!stream_is_whole(begin))
        ck_assert_int_eq(stream_write_change(&writer, slice_str("b"), NULL), 0);
    ck_assert_int_eq(stream_write_change(&writer, slice_str("c"), &bytes), 0);
    ck_assert_int_eq(stream_write_end(&writer), 0);
    stream_writer_release(&writer);
    free(value);
}

struct source {
    const uint8_t *data;
    size_t size, at;
};

static ssize_t read_bytes(void *arg, void *data, size_t size)
{
    struct source *source = arg;
    size_t n = source->size - source->at < size ? source->size - source->at : size;
    memcpy(data, source->data + source->at, n);
    source->at += n;
    return (ssize_t)n;
}

// Reads all: 0, or the failure. *ret_ops: how many changes were seen.
static int read_all(const uint8_t *data, size_t size, unsigned *ret_ops)
{
    struct source source = {data, size, 0};
    struct stream_reader reader = {.read = read_bytes, .arg = &source};
    struct stream_begin begin;
    struct stream_op op;
    *ret_ops = 0;
    int rc = stream_read_begin(&reader, &begin);
    if (!rc)
        rc = 1;
    while (rc > 0 && (rc = stream_read_frame(&reader)) > 0)
        while (stream_next(&reader, &op))
            ++*ret_ops;
    ck_assert(rc == 0 || reader.problem);
    stream_reader_release(&reader);
    return rc;
}

START_TEST(test_golden_bytes)
{
    static const uint8_t head[] = {'l', 's', 'm', 'f', 's', 'S', 'N', 'D', 1, 0, 0, 0};
    static const uint8_t begin_start[] = {48, 0, 0, 0, 1, 0, 0, 0};
    static const uint8_t begin[] = {1, 0, 0, 0, 0, 0, 0, 0, 0, 0,   0,   0,   0, 0,   0,   2,
                                    3, 0, 0, 0, 0, 0, 0, 0, 0, 0,   0,   0,   0, 0,   0,   4,
                                    8, 7, 6, 5, 4, 3, 2, 1, 3, 'n', 'e', 'w', 3, 'o', 'l', 'd'};
    static const uint8_t changes_start[] = {15, 0, 0, 0, 2, 0, 0, 0};
    static const uint8_t ops[] = {1, 1, 'a', 2, 'v', '1', 0, 1, 'b', 1, 1, 'c', 2, 'v', '1'};
    static const uint8_t end_start[] = {16, 0, 0, 0, 3, 0, 0, 0};
    static const uint8_t end[] = {2, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0};
    make(&changes, false);
    const uint8_t *p = stream.data;
    ck_assert_uint_eq(stream.size, 16 + 16 + sizeof begin + 16 + sizeof ops + 16 + sizeof end);
    ck_assert_mem_eq(p, head, sizeof head);
    ck_assert_uint_eq(get_fixed32(p + 12), (uint32_t)hash64(p, 12));
    uint64_t check = hash64(p, 16);
    const struct {
        const uint8_t *start, *payload;
        size_t size;
    } frames[] = {{begin_start, begin, sizeof begin},
                  {changes_start, ops, sizeof ops},
                  {end_start, end, sizeof end}};
    p += 16;
    for (unsigned i = 0; i < 3; i++) {
        ck_assert_mem_eq(p, frames[i].start, 8);
        ck_assert_mem_eq(p + 16, frames[i].payload, frames[i].size);
        check = hash64_seeded(p + 16, frames[i].size, check ^ get_fixed64(p));
        ck_assert_uint_eq(get_fixed64(p + 8), check);
        p += 16 + frames[i].size;
    }
}
END_TEST

START_TEST(test_reading)
{
    make(&changes, true);
    ck_assert_uint_eq(end_count, 5); // head, begin, a, b and c, end
    struct source source = {stream.data, stream.size, 0};
    struct stream_reader reader = {.read = read_bytes, .arg = &source};
    struct stream_begin begin;
    struct stream_op op;
    ck_assert_int_eq(stream_read_begin(&reader, &begin), 0);
    ck_assert_mem_eq(&begin, &changes, sizeof begin);
    ck_assert_int_eq(stream_read_frame(&reader), 1);
    ck_assert(stream_next(&reader, &op));
    ck_assert(op.change == STREAM_PUT && slice_equal(op.key, slice_str("a")));
    ck_assert_uint_eq(op.value.size, STREAM_GATHERED);
    ck_assert(!stream_next(&reader, &op));
    ck_assert_int_eq(stream_read_frame(&reader), 1);
    ck_assert(stream_next(&reader, &op));
    ck_assert(op.change == STREAM_DELETE && slice_equal(op.key, slice_str("b")));
    ck_assert(stream_next(&reader, &op));
    ck_assert(op.change == STREAM_PUT && slice_equal(op.key, slice_str("c")));
    ck_assert(!stream_next(&reader, &op));
    ck_assert_int_eq(stream_read_frame(&reader), 0);
    ck_assert_uint_eq(reader.puts, 2);
    ck_assert_uint_eq(reader.deletes, 1);
    stream_reader_release(&reader);
}
END_TEST

// Every length, every bit; frames left out, repeated, exchanged, and of another stream.
START_TEST(test_damage)
{
    unsigned ops;
    make(&changes, false);
    ck_assert_int_eq(read_all(stream.data, stream.size, &ops), 0);
    ck_assert_uint_eq(ops, 3);
    for (size_t size = 0; size < stream.size; size++)
        ck_assert_int_eq(read_all(stream.data, size, &ops), LSM_CORRUPTION);
    for (size_t i = 0; i < stream.size * 8; i++) {
        stream.data[i / 8] ^= (uint8_t)(1u << i % 8);
        ck_assert_int_eq(read_all(stream.data, stream.size, &ops), LSM_CORRUPTION);
        stream.data[i / 8] ^= (uint8_t)(1u << i % 8);
    }
    ck_assert_int_eq(buf_append(&stream, "x", 1), 0);
    ck_assert_int_eq(read_all(stream.data, stream.size, &ops), LSM_CORRUPTION);
}
END_TEST

static void join(struct buf *out, const struct buf *from, size_t start, size_t end)
{
    ck_assert_int_eq(buf_append(out, from->data + start, end - start), 0);
}

START_TEST(test_other_frames)
{
    unsigned ops;
    struct stream_begin other = changes;
    struct buf first = {0}, out = {0};
    other.created_us++;
    make(&other, true);
    first = stream;
    stream = (struct buf){0};
    make(&changes, true);
    ck_assert_uint_eq(first.size, stream.size);
    for (size_t i = 0; i + 1 < end_count; i++) {
        size_t start = ends[i], end = ends[i + 1];
        out.size = 0; // left out
        join(&out, &stream, 0, start);
        join(&out, &stream, end, stream.size);
        ck_assert_int_eq(read_all(out.data, out.size, &ops), LSM_CORRUPTION);
        out.size = 0; // repeated
        join(&out, &stream, 0, end);
        join(&out, &stream, start, stream.size);
        ck_assert_int_eq(read_all(out.data, out.size, &ops), LSM_CORRUPTION);
        out.size = 0; // of another
        join(&out, &stream, 0, start);
        join(&out, &first, start, end);
        join(&out, &stream, end, stream.size);
        ck_assert_int_eq(read_all(out.data, out.size, &ops), LSM_CORRUPTION);
    }
    buf_release(&first);
    buf_release(&out);
}
END_TEST

// Makes the frames' checksums right.
static void seal(void)
{
    uint64_t check = hash64(stream.data, 16);
    put_fixed32(stream.data + 12, (uint32_t)hash64(stream.data, 12));
    check = hash64(stream.data, 16);
    for (size_t at = 16; at < stream.size;) {
        uint8_t *p = stream.data + at;
        size_t size = get_fixed32(p);
        check = hash64_seeded(p + 16, size, check ^ get_fixed64(p));
        put_fixed64(p + 8, check);
        at += 16 + size;
    }
}

// Sense, where the checksums are right.
START_TEST(test_refusals)
{
    unsigned ops;
    const struct {
        size_t at;
        uint8_t byte;
    } wrong[] = {
        {20, 2},   // no beginning
        {72, 0},   // no name
        {72, 4},   // a name beyond its end
        {74, 0},   // a zero in it
        {84, 3},   // the end in the middle
        {84, 1},   // a second beginning
        {96, 2},   // an unknown change
        {97, 0},   // an empty key
        {98, 'b'}, // keys that do not ascend
        {99, 99},  // a value beyond its end
        {127, 3},  // another number of puts
        {135, 2},  // of deletes
    };
    make(&changes, false);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct buf kept = {0};
        ck_assert_int_eq(buf_assign(&kept, stream.data, stream.size), 0);
        stream.data[wrong[i].at] = wrong[i].byte;
        seal();
        ck_assert_msg(read_all(stream.data, stream.size, &ops) == LSM_CORRUPTION, "%zu", i);
        buf_release(&stream);
        stream = kept;
    }
    stream.data[8] = 2;
    seal();
    ck_assert_int_eq(read_all(stream.data, stream.size, &ops), LSM_NEWER_FORMAT);
    // A whole one deletes nothing.
    struct stream_begin whole = changes;
    memset(whole.base, 0, sizeof whole.base);
    make(&whole, false);
    ck_assert_int_eq(read_all(stream.data, stream.size, &ops), 0);
    make(&changes, false);
    memset(stream.data + 48, 0, sizeof whole.base);
    seal();
    ck_assert_int_eq(read_all(stream.data, stream.size, &ops), LSM_CORRUPTION);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("stream");
    TCase *tc = tcase_create("stream");
    tcase_add_test(tc, test_golden_bytes);
    tcase_add_test(tc, test_reading);
    tcase_add_test(tc, test_damage);
    tcase_add_test(tc, test_other_frames);
    tcase_add_test(tc, test_refusals);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
