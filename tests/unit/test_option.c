// The values of options: what is read, what is refused, and what is said about it.
#include "quick_check.h"
#include <stdlib.h>
#include <string.h>

#include "common/option.h"

struct fields {
    uint64_t size;
    unsigned narrow;
    unsigned after; // stays as it is when `narrow` is set
    bool flag;
    bool after_flag;
    const char *text;
};

static const char *const words[] = {"none", "lz4", "zlib", NULL};
static const char *const no_interval[] = {"none", NULL};

#define FIELD(f) OPTION_FIELD(struct fields, f)
static const struct option_spec specs[] = {
    {"size", OPT_SIZE, FIELD(size), 65536, UINT64_C(4) << 30, NULL},
    {"any", OPT_SIZE, FIELD(size), 0, UINT64_MAX, NULL},
    {"count", OPT_COUNT, FIELD(narrow), 2, 16, NULL},
    {"all", OPT_COUNT, FIELD(narrow), 0, UINT32_MAX, NULL},
    {"wide", OPT_COUNT, FIELD(size), 0, UINT64_MAX, NULL},
    {"some", OPT_COUNT, FIELD(size), 1, UINT64_MAX, NULL},
    {"mode", OPT_OCTAL, FIELD(narrow), 0, 07777, NULL},
    {"wide_mode", OPT_OCTAL, FIELD(size), 0, UINT64_MAX, NULL},
    {"interval", OPT_COUNT, FIELD(narrow), 0, 3600000, no_interval},
    {"word", OPT_CHOICE, FIELD(narrow), 0, 0, words},
    {"text", OPT_STRING, FIELD(text), 0, 0, NULL},
    {"on", OPT_ON, FIELD(flag), 0, 0, NULL},
    {"off", OPT_OFF, FIELD(flag), 0, 0, NULL},
};

static const struct option_spec *find(const char *name)
{
    const struct option_spec *spec =
        option_find(specs, sizeof specs / sizeof *specs, name, strlen(name));
    ck_assert_msg(spec, "%s", name);
    return spec;
}

static void reads(const char *name, const char *value, uint64_t wanted)
{
    char message[OPTION_MESSAGE_SIZE] = "";
    uint64_t number = 99;
    ck_assert_msg(option_read(find(name), value, &number, message), "%s=%s: %s", name, value,
                  message);
    ck_assert_uint_eq(number, wanted);
}

// It is not set, and this is said.
static void refuses(const char *name, const char *value, const char *wanted)
{
    char message[OPTION_MESSAGE_SIZE] = "";
    struct fields before = {.size = 77, .narrow = 78, .text = "before", .flag = true};
    struct fields fields = before;
    ck_assert_msg(!option_set(find(name), &fields, value, message), "%s=%s", name, value);
    ck_assert_str_eq(message, wanted);
    ck_assert(fields.size == before.size && fields.narrow == before.narrow &&
              fields.flag == before.flag && fields.text == before.text);
}

START_TEST(test_numbers)
{
    reads("count", "2", 2); // both ends of the range
    reads("count", "16", 16);
    reads("count", "007", 7);
    reads("all", "4294967295", UINT32_MAX);
    reads("wide", "0", 0);
    reads("wide", "18446744073709551615", UINT64_MAX);
    static const char *const wrong[] = {
        "",
        "1",
        "17",
        "-3",
        "+3",
        " 3",
        "3 ",
        "3x",
        "x",
        "0x3",
        "3.0",
        "3K",
        "three",
        "3,4",
        "3\n",
        "18446744073709551616", // one more than 64 bits
        "18446744073709551619", // 3, if what does not fit were dropped
        "184467440737095516180"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        refuses("count", wrong[i], "takes a number from 2 to 16");
    refuses("all", "4294967296", "takes a number from 0 to 4294967295");
    refuses("wide", "18446744073709551616", "takes a number");
    refuses("some", "0", "takes a number of at least 1");
}
END_TEST

START_TEST(test_sizes)
{
    static const char said[] = "takes a number from 64K to 4G, perhaps with K, M, G or T";
    reads("size", "65536", 65536);
    reads("size", "64K", 65536);
    reads("size", "64k", 65536);
    reads("size", "1m", 1 << 20);
    reads("size", "4G", UINT64_C(4) << 30);
    reads("any", "0T", 0);
    reads("any", "16777215T", UINT64_C(16777215) << 40);
    reads("any", "18446744073709551615", UINT64_MAX);
    static const char *const wrong[] = {"", "K", "63K", "65535", "4097M", "5G", "4294967297",
                                        "64KB", "64KK", "64 K", "-64K", "1.5M", "64E", "64\xc2\xb5",
                                        "99999999999999999999",
                                        // 64K, 1M and 4G, if the bits that do not fit were dropped
                                        "18014398509482048K", "17592186044417M", "17179869188G"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        refuses("size", wrong[i], said);
    refuses("any", "16777216T", "takes a number, perhaps with K, M, G or T");
    refuses("any", "18014398509481984K", "takes a number, perhaps with K, M, G or T");
}
END_TEST

START_TEST(test_octal_numbers)
{
    reads("mode", "0", 0);
    reads("mode", "644", 0644);
    reads("mode", "07777", 07777);
    reads("wide_mode", "1777777777777777777777", UINT64_MAX);
    static const char *const wrong[] = {"", "8", "649", "10000", "-1", "0x7", "u+x", "7K"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        refuses("mode", wrong[i], "takes an octal number from 0 to 7777");
    refuses("wide_mode", "2000000000000000000000", "takes an octal number");
}
END_TEST

START_TEST(test_words)
{
    reads("word", "none", 0);
    reads("word", "zlib", 2);
    static const char *const wrong[] = {"", "lz", "lz44", "LZ4", "1", "none,lz4"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        refuses("word", wrong[i], "takes one of none, lz4, zlib");
    reads("interval", "none", 0);
    reads("interval", "250", 250);
    refuses("interval", "no", "takes none, or a number from 0 to 3600000");
    refuses("interval", "3600001", "takes none, or a number from 0 to 3600000");
}
END_TEST

START_TEST(test_fields)
{
    char message[OPTION_MESSAGE_SIZE];
    struct fields fields = {.after = 5};
    ck_assert(option_set(find("size"), &fields, "1G", message));
    ck_assert(option_set(find("all"), &fields, "4294967295", message));
    ck_assert(option_set(find("on"), &fields, NULL, message));
    ck_assert_uint_eq(fields.size, 1 << 30);
    ck_assert_uint_eq(fields.narrow, UINT32_MAX);
    ck_assert_uint_eq(fields.after, 5);
    ck_assert(fields.flag && !fields.after_flag);
    ck_assert(option_set(find("off"), &fields, NULL, message));
    ck_assert(!fields.flag);
    ck_assert(option_set(find("word"), &fields, "lz4", message));
    ck_assert_uint_eq(fields.narrow, 1);
    ck_assert(option_set(find("text"), &fields, "", message));
    ck_assert_str_eq(fields.text, "");
    refuses("size", NULL, "needs a value");
    refuses("word", NULL, "needs a value");
    refuses("text", NULL, "needs a value");
    refuses("on", "1", "takes no value");
    refuses("off", "", "takes no value");
}
END_TEST

START_TEST(test_names)
{
    ck_assert_ptr_eq(option_find(specs, 3, "count=3", 5), &specs[2]);
    ck_assert_ptr_null(option_find(specs, 3, "coun", 4));
    ck_assert_ptr_null(option_find(specs, 3, "counts", 6));
    ck_assert_ptr_null(option_find(specs, 3, "", 0));
    ck_assert_ptr_null(option_find(specs, 3, "all", 3)); // behind the third
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("option");
    TCase *tc = tcase_create("option");
    tcase_add_test(tc, test_numbers);
    tcase_add_test(tc, test_sizes);
    tcase_add_test(tc, test_octal_numbers);
    tcase_add_test(tc, test_words);
    tcase_add_test(tc, test_fields);
    tcase_add_test(tc, test_names);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
