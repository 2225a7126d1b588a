// Generations of backups: the bytes, to the last one, and what is refused.
#include "quick_check.h"

#include <stdlib.h>

#include "commands/backup_format.h"
#include "lsm.h"

static struct generation make(void)
{
    struct generation generation = {.number = 3, .created_us = 0x0102030405060708};
    struct generation_file table = {.name = "000012.sst", .size = 300};
    struct generation_file current = {.name = "CURRENT", .is_here = true};
    for (unsigned i = 0; i < HASH128_SIZE; i++)
        table.hash[i] = (uint8_t)(0xa0 + i);
    current.content = slice_str("text\n");
    current.size = current.content.size;
    ck_assert_int_eq(generation_add(&generation, &table), 0);
    ck_assert_int_eq(generation_add(&generation, &current), 0);
    return generation;
}

START_TEST(test_golden_bytes)
{
    static const uint8_t wanted[] = {
        'l',  's',  'm',  'f',  's',  'G',  'E',  'N',  1,    0,    0,    0,    0,    0,    0,
        0,    3,    0,    0,    0,    0,    0,    0,    0,    8,    7,    6,    5,    4,    3,
        2,    1,    2,    0,    0,    0,    0,    0,    0,    0,    1,    10,   '0',  '0',  '0',
        '0',  '1',  '2',  '.',  's',  's',  't',  0xac, 2,    0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5,
        0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xab, 0xac, 0xad, 0xae, 0xaf, 2,    7,    'C',  'U',  'R',
        'R',  'E',  'N',  'T',  5,    't',  'e',  'x',  't',  '\n'};
    struct generation generation = make(), again;
    struct buf out = {0};
    ck_assert_int_eq(generation_encode(&generation, &out), 0);
    ck_assert_uint_eq(out.size, sizeof wanted + 8);
    ck_assert_mem_eq(out.data, wanted, sizeof wanted);
    ck_assert_int_eq(generation_decode(buf_slice(&out), &again), 0);
    ck_assert_uint_eq(again.number, 3);
    ck_assert_uint_eq(again.count, 2);
    ck_assert_str_eq(again.files[0].name, "000012.sst");
    ck_assert_uint_eq(again.files[0].size, 300);
    ck_assert(!again.files[0].is_here && again.files[1].is_here);
    ck_assert_uint_eq(again.files[1].size, 5);
    ck_assert_mem_eq(again.files[1].content.data, "text\n", 5);
    generation_release(&again);
    generation_release(&generation);
    buf_release(&out);
}
END_TEST

// Each single bit, and each length.
START_TEST(test_damage)
{
    struct generation generation = make(), again;
    struct buf out = {0};
    ck_assert_int_eq(generation_encode(&generation, &out), 0);
    for (size_t i = 0; i < out.size * 8; i++) {
        out.data[i / 8] ^= (uint8_t)(1u << i % 8);
        ck_assert_int_eq(generation_decode(buf_slice(&out), &again), LSM_CORRUPTION);
        out.data[i / 8] ^= (uint8_t)(1u << i % 8);
    }
    for (size_t i = 0; i < out.size; i++)
        ck_assert_int_eq(generation_decode(slice_of(out.data, i), &again), LSM_CORRUPTION);
    generation_release(&generation);
    buf_release(&out);
}
END_TEST

static void seal(struct buf *out)
{
    uint64_t hash = hash64(out->data, out->size - 8);
    memcpy(out->data + out->size - 8, &hash, 8);
}

// With a checksum that is right.
START_TEST(test_refusals)
{
    struct generation generation = make(), again;
    struct buf out = {0};
    ck_assert_int_eq(generation_encode(&generation, &out), 0);
    out.data[8] = 2;
    seal(&out);
    ck_assert_int_eq(generation_decode(buf_slice(&out), &again), LSM_NEWER_FORMAT);
    out.data[8] = 1;
    const struct {
        size_t at;
        uint8_t byte;
    } wrong[] = {{8, 0},  {12, 1},   {16, 0},   {32, 1},  {32, 3}, {40, 3},
                 {41, 9}, {42, '/'}, {42, '.'}, {71, 60}, {79, 4}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        uint8_t right = out.data[wrong[i].at];
        out.data[wrong[i].at] = wrong[i].byte;
        seal(&out);
        ck_assert_int_eq(generation_decode(buf_slice(&out), &again), LSM_CORRUPTION);
        out.data[wrong[i].at] = right;
    }
    seal(&out);
    ck_assert_int_eq(generation_decode(buf_slice(&out), &again), 0);
    generation_release(&again);
    // The same name twice.
    ck_assert_int_eq(generation_add(&generation, &generation.files[0]), 0);
    out.size = 0;
    ck_assert_int_eq(generation_encode(&generation, &out), 0);
    ck_assert_int_eq(generation_decode(buf_slice(&out), &again), LSM_CORRUPTION);
    generation_release(&generation);
    buf_release(&out);
}
END_TEST

START_TEST(test_hash)
{
    static const uint8_t empty[HASH128_SIZE] = {0x99, 0xaa, 0x06, 0xd3, 0x01, 0x47, 0x98, 0xd8,
                                                0x60, 0x01, 0xc3, 0x24, 0x46, 0x8d, 0x49, 0x7f};
    uint8_t whole[HASH128_SIZE], pieces[HASH128_SIZE];
    char text[1000];
    struct hash128 *hash = hash128_new();
    ck_assert_ptr_nonnull(hash);
    hash128_take(hash, whole);
    ck_assert_mem_eq(whole, empty, sizeof empty); // as xxhsum -H2 has it
    memset(text, 'x', sizeof text);
    hash128_add(hash, text, sizeof text);
    hash128_take(hash, whole);
    for (size_t i = 0; i < sizeof text; i += 100)
        hash128_add(hash, text + i, 100);
    hash128_take(hash, pieces);
    ck_assert_mem_eq(whole, pieces, sizeof whole);
    hash128_free(hash);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("backup_format");
    TCase *tc = tcase_create("backup_format");
    tcase_add_test(tc, test_golden_bytes);
    tcase_add_test(tc, test_damage);
    tcase_add_test(tc, test_refusals);
    tcase_add_test(tc, test_hash);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
