// Hashes against their published values: they are part of the disk formats.
#include "quick_check.h"
#include <stdlib.h>
#include <xxhash.h>

#include "base/hash.h"

START_TEST(test_known_values)
{
    ck_assert_uint_eq(hash64("", 0), 0x2d06800538d394c2u);
    ck_assert_uint_eq(hash64("a", 1), 0xe6c632b61e964e1fu);
    ck_assert_uint_eq(crc32_of("123456789", 9), 0xcbf43926u);
    ck_assert_uint_eq(crc32_of("", 0), 0);
}
END_TEST

// What is compiled in agrees with the shared library, at every length that takes another path.
START_TEST(test_all_lengths)
{
    uint8_t data[2048];
    for (unsigned i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(i * i + i / 3);
    for (size_t size = 0; size < sizeof(data) - 8; size += size < 300 ? 1 : 37) {
        ck_assert_uint_eq(hash64(data, size), XXH3_64bits(data, size));
        ck_assert_uint_eq(hash64(data + 3, size), XXH3_64bits(data + 3, size));
        ck_assert_uint_eq(checksum32(data, size, 0), (uint32_t)XXH3_64bits(data, size));
        ck_assert_uint_eq(checksum32(data, size, size + 9),
                          (uint32_t)XXH3_64bits_withSeed(data, size, size + 9));
    }
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("all");
    tcase_add_test(tc, test_known_values);
    tcase_add_test(tc, test_all_lengths);
    return run_case("hash", tc, 120);
}
