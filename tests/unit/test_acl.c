// Access control lists as bytes: what is a list, and how lists and modes change each other.
#include "quick_check.h"
#include <string.h>

#include "ns/keys/acl.h"

enum { OWNER = 1, USER = 2, GROUP_OWNER = 4, GROUP = 8, MASK = 16, OTHER = 32 };

struct list {
    size_t size;
    uint8_t data[128];
};

// A list from pairs of tag and permissions, ended by a tag 0.
static struct list list_of(const unsigned *pairs)
{
    struct list list = {4, {2}};
    for (; pairs[0]; pairs += 2) {
        uint8_t *p = list.data + list.size;
        p[0] = (uint8_t)pairs[0], p[2] = (uint8_t)pairs[1], p[4] = 7;
        list.size += 8;
    }
    return list;
}
#define LIST(...) list_of((const unsigned[]){__VA_ARGS__, 0})

static struct slice bytes(const struct list *list)
{
    return slice_of(list->data, list->size);
}

static unsigned perm_of(const struct list *list, unsigned tag)
{
    for (size_t at = 4; at < list->size; at += 8)
        if (list->data[at] == tag)
            return list->data[at + 2];
    return 99;
}

START_TEST(test_valid)
{
    struct list minimal = LIST(OWNER, 6, GROUP_OWNER, 4, OTHER, 0);
    struct list full =
        LIST(OWNER, 6, USER, 7, USER, 1, GROUP_OWNER, 4, GROUP, 2, MASK, 7, OTHER, 0);
    ck_assert(acl_is_valid(bytes(&minimal)) && acl_is_valid(bytes(&full)));
    const struct list wrong[] = {
        LIST(OWNER, 6, GROUP_OWNER, 4),                        // nothing for others
        LIST(OWNER, 6, OWNER, 6, GROUP_OWNER, 4, OTHER, 0),    // two owners
        LIST(OWNER, 6, USER, 7, GROUP_OWNER, 4, OTHER, 0),     // names without a mask
        LIST(OWNER, 8, GROUP_OWNER, 4, OTHER, 0),              // no such permission
        LIST(OWNER, 6, GROUP_OWNER, 4, OTHER, 0, 64, 0),       // no such tag
        LIST(OWNER, 6, GROUP_OWNER, 4, OTHER, 0, USER | 1, 0), // two in one
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        ck_assert(!acl_is_valid(bytes(&wrong[i])));
    for (size_t size = 0; size < full.size; size++)
        ck_assert(!acl_is_valid(slice_of(full.data, size)));
    ck_assert(acl_is_empty(slice_of(full.data, 4)) && !acl_is_empty(slice_of(full.data, 3)));
    ck_assert(!acl_is_empty(bytes(&full)));
    full.data[0] = 3; // version
    ck_assert(!acl_is_valid(bytes(&full)) && !acl_is_empty(slice_of(full.data, 4)));
}
END_TEST

START_TEST(test_to_mode)
{
    bool minimal;
    struct list list = LIST(OWNER, 7, GROUP_OWNER, 5, OTHER, 1);
    ck_assert_uint_eq(acl_to_mode(bytes(&list), 0102000, &minimal), 0102751);
    ck_assert(minimal);
    list = LIST(OWNER, 6, USER, 7, GROUP_OWNER, 5, MASK, 3, OTHER, 4);
    ck_assert_uint_eq(acl_to_mode(bytes(&list), 0777, &minimal), 0634); // the mask is the group's
    ck_assert(!minimal);
}
END_TEST

START_TEST(test_chmod)
{
    struct list list = LIST(OWNER, 7, GROUP_OWNER, 5, OTHER, 1);
    acl_chmod(list.data, list.size, 0100624);
    ck_assert_uint_eq(perm_of(&list, OWNER), 6);
    ck_assert_uint_eq(perm_of(&list, GROUP_OWNER), 2);
    ck_assert_uint_eq(perm_of(&list, OTHER), 4);
    list = LIST(OWNER, 7, USER, 7, GROUP_OWNER, 5, MASK, 7, OTHER, 1);
    acl_chmod(list.data, list.size, 0640);
    ck_assert_uint_eq(perm_of(&list, USER), 7);
    ck_assert_uint_eq(perm_of(&list, GROUP_OWNER), 5);
    ck_assert_uint_eq(perm_of(&list, MASK), 4);
    ck_assert_uint_eq(perm_of(&list, OTHER), 0);
}
END_TEST

START_TEST(test_restrict)
{
    struct list list = LIST(OWNER, 7, USER, 7, GROUP_OWNER, 5, MASK, 7, OTHER, 5);
    ck_assert_uint_eq(acl_restrict(list.data, list.size, 0100664), 0100664);
    ck_assert_uint_eq(perm_of(&list, OWNER), 6);
    ck_assert_uint_eq(perm_of(&list, USER), 7);
    ck_assert_uint_eq(perm_of(&list, GROUP_OWNER), 5);
    ck_assert_uint_eq(perm_of(&list, MASK), 6);
    ck_assert_uint_eq(perm_of(&list, OTHER), 4);
    list = LIST(OWNER, 5, GROUP_OWNER, 1, OTHER, 2);
    ck_assert_uint_eq(acl_restrict(list.data, list.size, 06777), 06512); // the list gives less
    ck_assert_uint_eq(perm_of(&list, GROUP_OWNER), 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("acl");
    TCase *tcase = tcase_create("acl");
    tcase_add_test(tcase, test_valid);
    tcase_add_test(tcase, test_to_mode);
    tcase_add_test(tcase, test_chmod);
    tcase_add_test(tcase, test_restrict);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
