// Integer encodings: golden bytes, limits, cut and malformed input.
#include "quick_check.h"
#include <stdlib.h>

#include "base/coding.h"

START_TEST(test_fixed)
{
    uint8_t data[8];
    ck_assert_ptr_eq(put_fixed16(data, 0x0102), data + 2);
    ck_assert_mem_eq(data, "\x02\x01", 2);
    ck_assert_uint_eq(get_fixed16(data), 0x0102);
    ck_assert_ptr_eq(put_fixed32(data, 0x01020304), data + 4);
    ck_assert_mem_eq(data, "\x04\x03\x02\x01", 4);
    ck_assert_uint_eq(get_fixed32(data), 0x01020304);
    ck_assert_ptr_eq(put_fixed64(data, 0x0102030405060708u), data + 8);
    ck_assert_mem_eq(data, "\x08\x07\x06\x05\x04\x03\x02\x01", 8);
    ck_assert_uint_eq(get_fixed64(data), 0x0102030405060708u);
    ck_assert_ptr_eq(put_big64(data, 0x0102030405060708u), data + 8);
    ck_assert_mem_eq(data, "\x01\x02\x03\x04\x05\x06\x07\x08", 8);
    ck_assert_uint_eq(get_big64(data), 0x0102030405060708u);
}
END_TEST

static void check_varint(uint64_t v)
{
    uint8_t data[CODING_VARINT64_MAX + 1];
    uint64_t back = 1;
    uint32_t back32 = 1;
    const uint8_t *end = put_varint64(data, v);
    size_t size = (size_t)(end - data);
    ck_assert_uint_eq(size, varint_size(v));
    ck_assert_ptr_eq(get_varint64(data, end, &back), end);
    ck_assert_uint_eq(back, v);
    ck_assert_ptr_eq(get_varint32(data, end, &back32), v <= UINT32_MAX ? end : NULL);
    ck_assert_uint_eq(back32, v <= UINT32_MAX ? v : 1);
    for (size_t cut = 0; cut < size; cut++)
        ck_assert_ptr_null(get_varint64(data, data + cut, &back));
}

START_TEST(test_varint)
{
    uint8_t data[16];
    check_varint(0);
    for (unsigned bit = 0; bit < 64; bit++) {
        check_varint(UINT64_C(1) << bit);
        check_varint((UINT64_C(1) << bit) - 1);
        check_varint((UINT64_C(1) << bit) + 1);
    }
    check_varint(UINT64_MAX);
    ck_assert_ptr_eq(put_varint64(data, 300), data + 2);
    ck_assert_mem_eq(data, "\xac\x02", 2);
}
END_TEST

START_TEST(test_varint_malformed)
{
    static const char *const bad[] = {
        "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x02", // 65 bits
        "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01",
    };
    uint64_t v = 77;
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        const uint8_t *p = (const uint8_t *)bad[i];
        ck_assert_ptr_null(get_varint64(p, p + strlen(bad[i]), &v));
    }
    const uint8_t padded[] = {0x81, 0x00};
    ck_assert_ptr_null(get_varint64(padded, padded + 2, &v));
    ck_assert_uint_eq(v, 77);
}
END_TEST

START_TEST(test_slice_coding)
{
    uint8_t data[300];
    char text[200];
    struct slice s, back = {NULL, 9};
    memset(text, 'x', sizeof(text));
    s = slice_of(text, sizeof(text));
    const uint8_t *end = put_slice(data, s);
    ck_assert_uint_eq((size_t)(end - data), 202);
    for (const uint8_t *cut = data; cut < end; cut++)
        ck_assert_ptr_null(get_slice(data, cut, &back));
    ck_assert_uint_eq(back.size, 9);
    ck_assert_ptr_eq(get_slice(data, end, &back), end);
    ck_assert(slice_equal(s, back));
    ck_assert_ptr_eq(back.data, data + 2);
    end = put_slice(data, (struct slice){NULL, 0});
    ck_assert_ptr_eq(get_slice(data, end, &back), end);
    ck_assert_uint_eq(back.size, 0);
    // A length that would wrap the pointer.
    end = put_varint64(data, UINT64_MAX);
    ck_assert_ptr_null(get_slice(data, end, &back));
}
END_TEST

START_TEST(test_into_buf)
{
    struct buf buf = {0};
    ck_assert_int_eq(buf_put_fixed32(&buf, 1), 0);
    ck_assert_int_eq(buf_put_fixed64(&buf, 2), 0);
    ck_assert_int_eq(buf_put_varint64(&buf, 300), 0);
    ck_assert_int_eq(buf_put_slice(&buf, slice_str("abc")), 0);
    ck_assert_uint_eq(buf.size, 4 + 8 + 2 + 4);
    ck_assert_mem_eq(buf.data, "\1\0\0\0\2\0\0\0\0\0\0\0\xac\2\3abc", buf.size);
    size_t size = buf.size;
    ck_assert_int_ne(buf_put_slice(&buf, slice_of(buf.data, SIZE_MAX)), 0);
    ck_assert_int_ne(buf_put_slice(&buf, slice_of(buf.data, SIZE_MAX / 2)), 0);
    ck_assert_uint_eq(buf.size, size);
    buf_release(&buf);
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("all");
    tcase_add_test(tc, test_fixed);
    tcase_add_test(tc, test_varint);
    tcase_add_test(tc, test_varint_malformed);
    tcase_add_test(tc, test_slice_coding);
    tcase_add_test(tc, test_into_buf);
    return run_case("coding", tc, 120);
}
