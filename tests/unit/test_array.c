// Growing arrays and lists of numbers: what is in them stays, whatever their items' size; without
// memory they stay as they were. Numbers in a text.
#include <stddef.h>
#include <stdlib.h>

#include "base/array.h"
#include "base/numbers.h"
#include "quick_check.h"

struct item {
    char bytes[24];
};

START_TEST(test_items_stay)
{
    struct item *items = NULL;
    size_t capacity = 0, moves = 0;
    for (size_t i = 0; i < 1000; i++) {
        size_t before = capacity;
        ck_assert(array_grow(&items, &capacity, i, sizeof *items));
        ck_assert_uint_gt(capacity, i);
        moves += capacity != before;
        memset(&items[i], (int)(i % 251), sizeof items[i]);
    }
    ck_assert_uint_lt(moves, 12); // the room doubles
    for (size_t i = 0; i < 1000; i++)
        for (size_t k = 0; k < sizeof items[i]; k++)
            ck_assert_uint_eq((unsigned char)items[i].bytes[k], i % 251);
    free(items);
}
END_TEST

START_TEST(test_too_large)
{
    char *items = NULL;
    size_t capacity = 0;
    ck_assert(array_grow(&items, &capacity, 0, 1));
    char *before = items;
    size_t huge = SIZE_MAX / 2 + 1;
    ck_assert(!array_grow(&items, &huge, huge, 1));
    ck_assert_ptr_eq(items, before);
    ck_assert_uint_eq(huge, SIZE_MAX / 2 + 1);
    free(items);
}
END_TEST

START_TEST(test_room_for_many)
{
    struct item *items = NULL;
    size_t capacity = 0;
    ck_assert(array_reserve(&items, &capacity, 0, sizeof *items));
    ck_assert_ptr_null(items);
    ck_assert(array_reserve(&items, &capacity, 1000, sizeof *items));
    ck_assert_uint_ge(capacity, 1000);
    memset(items, 7, 1000 * sizeof *items);
    struct item *before = items;
    ck_assert(array_reserve(&items, &capacity, capacity, sizeof *items));
    ck_assert_ptr_eq(items, before);
    size_t huge = SIZE_MAX / 2 + 1; // cannot be doubled
    ck_assert(!array_reserve(&items, &huge, SIZE_MAX, 1));
    ck_assert_ptr_eq(items, before);
    for (size_t i = 0; i < 1000; i++)
        ck_assert_uint_eq((unsigned char)items[i].bytes[i % sizeof items[i]], 7);
    free(items);
}
END_TEST

START_TEST(test_numbers)
{
    struct number_list list = {0};
    ck_assert(!number_list_has(&list, 0));
    for (uint64_t i = 0; i < 500; i++)
        ck_assert_int_eq(number_list_add(&list, 3 * (499 - i)), 0);
    numbers_sort(list.at, list.count);
    for (uint64_t i = 0; i < 1500; i++)
        ck_assert_int_eq(number_list_has(&list, i), i % 3 == 0);
    number_list_release(&list);
    ck_assert_uint_eq(list.count, 0);
    ck_assert_ptr_null(list.at);
}
END_TEST

START_TEST(test_search_by_number)
{
    struct numbered {
        char before[8];
        uint64_t number;
        char after[8];
    } items[9];
    for (size_t count = 0; count <= 9; count++) {
        for (size_t i = 0; i < count; i++) // 10, 10, 20, 20, ...
            items[i].number = 10 * (i / 2 + 1);
        for (uint64_t number = 0; number <= 60; number++) {
            size_t wanted = 0;
            while (wanted < count && items[wanted].number < number)
                wanted++;
            size_t found = numbers_find(items, count, sizeof *items,
                                        offsetof(struct numbered, number), number);
            ck_assert_uint_eq(found, wanted);
        }
    }
    ck_assert_uint_eq(numbers_find(NULL, 0, sizeof *items, 8, 1), 0);
}
END_TEST

// Reads `number`, and `behind` is left.
static void reads(const char *text, unsigned base, uint64_t number, const char *behind)
{
    uint64_t read = 99;
    const char *end = number_read(text, base, &read);
    ck_assert_msg(end, "%s", text);
    ck_assert_uint_eq(read, number);
    ck_assert_str_eq(end, behind);
}

static void refuses(const char *text, unsigned base)
{
    uint64_t read = 99;
    ck_assert_msg(!number_read(text, base, &read), "%s", text);
    ck_assert_uint_eq(read, 99);
}

START_TEST(test_digits)
{
    reads("0", 10, 0, "");
    reads("000012.sst", 10, 12, ".sst");
    reads("18446744073709551615", 10, UINT64_MAX, "");
    reads("018446744073709551615K", 10, UINT64_MAX, "K");
    reads("7778", 8, 0777, "8");
    reads("1777777777777777777777", 8, UINT64_MAX, "");
    static const char *const none[] = {"",
                                       "-1",
                                       "+1",
                                       " 1",
                                       "x",
                                       "K",
                                       ".5",
                                       "/",
                                       ":",
                                       "18446744073709551616",
                                       "18446744073709551620",
                                       "20000000000000000000",
                                       "184467440737095516150"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        refuses(none[i], 10);
    refuses("8", 8);
    refuses("2000000000000000000000", 8);
    refuses("17777777777777777777770", 8);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("array");
    TCase *tc = tcase_create("all");
    tcase_add_test(tc, test_items_stay);
    tcase_add_test(tc, test_too_large);
    tcase_add_test(tc, test_room_for_many);
    tcase_add_test(tc, test_numbers);
    tcase_add_test(tc, test_search_by_number);
    tcase_add_test(tc, test_digits);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
