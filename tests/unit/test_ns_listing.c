// Listings of directories that change meanwhile, and positions in them.
#include "ns_fixture.h"

#define STABLE 1500

struct names {
    unsigned char seen[STABLE];
    unsigned count, budget;
    uint64_t cookie;
    char last[16];
    const char *wanted; // may be NULL
    bool found;
};

static int collect(void *arg, const struct ns_dirent *entry)
{
    struct names *names = arg;
    unsigned number;
    if (names->budget-- == 0)
        return 1;
    if (entry->inode)
        ns_inode_put(ns, entry->inode, 1);
    char name[300];
    snprintf(name, sizeof name, "%.*s", (int)entry->name_size, entry->name);
    if (sscanf(name, "stable%u", &number) == 1)
        names->seen[number]++;
    if (names->wanted && strcmp(name, names->wanted) == 0)
        names->found = true;
    names->count++;
    names->cookie = entry->cookie;
    snprintf(names->last, sizeof names->last, "%.15s", name);
    return 0;
}

// Names come and go between the pieces of a listing; those that stay are listed exactly once.
static void list_while_changing(unsigned stable, bool plus)
{
    char path[64];
    ck_assert_int_eq(ns_test_mkdir(ns, "/d"), 0);
    for (unsigned i = 0; i < stable; i++) {
        snprintf(path, sizeof path, "/d/stable%04u", i);
        ck_assert_int_eq(ns_test_create(ns, path), 0);
        snprintf(path, sizeof path, "/d/stable%04u.goes", i);
        if (i % 3 == 0)
            ck_assert_int_eq(ns_test_create(ns, path), 0);
    }
    struct ns_inode *inode = ns_test_get(ns, "/d");
    static struct names names;
    for (int round = 0; round < 2; round++) {
        memset(&names, 0, sizeof names);
        for (unsigned piece = 0, before = UINT32_MAX; names.count != before; piece++) {
            before = names.count;
            names.budget = stable / 20 + 1;
            ck_assert_int_eq(ns_list(ns, inode, names.cookie, plus, collect, &names), 0);
            for (unsigned i = piece; i < stable; i += 29) {
                char other[64];
                snprintf(path, sizeof path, "/d/stable%04u.goes", i);
                snprintf(other, sizeof other, "/d/new%u.%u.%d", i, piece, round);
                if (ns_test_exists(ns, path))
                    ck_assert_int_eq(piece % 2 ? ns_test_unlink(ns, path)
                                               : ns_test_rename(ns, path, other, 0),
                                     0);
                else
                    ck_assert_int_eq(ns_test_create(ns, other), 0);
            }
        }
        for (unsigned i = 0; i < stable; i++)
            ck_assert_msg(names.seen[i] >= 1 && names.seen[i] <= 1 + (i % 3 == 0),
                          "stable%04u: %u times in round %d", i, names.seen[i], round);
    }
    ns_inode_put(ns, inode, 1);
}

START_TEST(test_listing_of_a_changing_directory)
{
    list_while_changing(300, _i);
}
END_TEST

START_TEST(test_listing_of_a_large_changing_directory)
{
    list_while_changing(STABLE, _i);
}
END_TEST

static bool is_listed(struct ns_inode *dir, const char *name)
{
    struct names names = {.budget = UINT32_MAX, .wanted = name};
    ck_assert_int_eq(ns_list(ns, dir, 0, false, collect, &names), 0);
    return names.found;
}

// What is kept of listings never hides that a name has come or gone.
START_TEST(test_listing_of_what_was_listed)
{
    ck_assert_int_eq(ns_test_mkdir(ns, "/d"), 0);
    ck_assert_int_eq(ns_test_mkdir(ns, "/other"), 0);
    ck_assert_int_eq(ns_test_create(ns, "/file"), 0);
    struct ns_inode *dir = ns_test_get(ns, "/d");
    for (unsigned i = 0; i < 6; i++) {
        ck_assert(!is_listed(dir, "a") && !is_listed(dir, "b"));
        if (i < 3)
            ns_inode_put(ns, dir, 1); // it comes to life for the change, and again to be listed
        int rc = i % 3 == 0   ? ns_test_create(ns, "/d/a")
                 : i % 3 == 1 ? ns_test_mkdir(ns, "/d/a")
                              : ns_test_link(ns, "/file", "/d/a");
        ck_assert_int_eq(rc, 0);
        if (i < 3)
            dir = ns_test_get(ns, "/d");
        ck_assert(is_listed(dir, "a"));
        ck_assert_int_eq(ns_test_rename(ns, "/d/a", "/d/b", 0), 0);
        ck_assert(is_listed(dir, "b") && !is_listed(dir, "a"));
        ck_assert_int_eq(ns_test_rename(ns, "/d/b", "/other/b", 0), 0);
        ck_assert(!is_listed(dir, "b"));
        ck_assert_int_eq(ns_test_rename(ns, "/other/b", "/d/b", 0), 0);
        ck_assert(is_listed(dir, "b"));
        ck_assert_int_eq(i % 3 == 1 ? ns_test_rmdir(ns, "/d/b") : ns_test_unlink(ns, "/d/b"), 0);
    }
    ns_inode_put(ns, dir, 1);
}
END_TEST

// Any cookie may be read from again, in any order, whatever has become of the name before it and of
// the listing that gave it: all that is behind and stays is there once, and nothing of what is
// before.
#define COOKIE_NAMES 5000u

struct behind {
    unsigned char seen[COOKIE_NAMES];
};

static int collect_numbers(void *arg, const struct ns_dirent *entry)
{
    struct behind *behind = arg;
    char name[NS_NAME_MAX + 1];
    snprintf(name, sizeof name, "%.*s", (int)entry->name_size, entry->name);
    if (entry->inode)
        ns_inode_put(ns, entry->inode, 1);
    if (name[0] != '.' && !strchr(name, '.'))
        behind->seen[strtoul(name, NULL, 10)]++;
    return 0;
}

// The names are listed[0 .. total + 2), cookies[i] is behind listed[i].
static void check_behind(struct ns_inode *dir, uint64_t cookie, const char (*listed)[16],
                         unsigned at, unsigned total)
{
    static struct behind behind;
    memset(&behind, 0, sizeof behind);
    ck_assert_int_eq(ns_list(ns, dir, cookie, true, collect_numbers, &behind), 0);
    for (unsigned i = 2; i < total + 2; i++) {
        char path[64];
        snprintf(path, sizeof path, "/d/%s", listed[i]);
        ck_assert_msg(behind.seen[strtoul(listed[i], NULL, 10)] ==
                          (i > at && ns_test_exists(ns, path)),
                      "%s, behind %s", path, listed[at]);
    }
}

// Lists so many other directories that nothing of others' listings is kept.
static void list_much_else(void)
{
    struct ns_inode *other = ns_test_get(ns, "/other");
    for (unsigned i = 0; i < 200; i++) {
        struct names names = {.budget = UINT32_MAX};
        ns_inode_put(ns, other, 1);
        other = ns_test_get(ns, "/other");
        ck_assert_int_eq(ns_list(ns, other, 0, false, collect, &names), 0);
    }
    ns_inode_put(ns, other, 1);
}

START_TEST(test_cookies)
{
    static uint64_t cookies[COOKIE_NAMES + 2];
    static char listed[COOKIE_NAMES + 2][16];
    char path[64];
    unsigned total = _i ? COOKIE_NAMES : 50;
    ck_assert_int_eq(ns_test_mkdir(ns, "/d"), 0);
    ck_assert_int_eq(ns_test_mkdir(ns, "/other"), 0);
    for (unsigned i = 0; i < total; i++) {
        snprintf(path, sizeof path, "/d/%u", i);
        ck_assert_int_eq(ns_test_create(ns, path), 0);
    }
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(path, sizeof path, "/other/%u", i);
        ck_assert_int_eq(ns_test_create(ns, path), 0);
    }
    struct ns_inode *inode = ns_test_get(ns, "/d");
    struct names names = {0};
    for (unsigned i = 0; i < total + 2; i++) {
        names.budget = 1;
        ck_assert_int_eq(ns_list(ns, inode, names.cookie, false, collect, &names), 0);
        cookies[i] = names.cookie;
        memcpy(listed[i], names.last, sizeof listed[i]);
    }
    ck_assert_uint_eq(names.count, total + 2);
    for (unsigned i = 0; i < 40; i++) {
        unsigned at = i * 7919 % (total + 1);
        if (i % 10 == 9)
            list_much_else();
        check_behind(inode, cookies[at], listed, at, total);
        for (unsigned j = 0; j < 10; j++) {
            snprintf(path, sizeof path, "/d/%u", (i * 10 + j) * 4 % total);
            ck_assert_int_eq(ns_test_exists(ns, path) ? ns_test_unlink(ns, path) : 0, 0);
        }
        snprintf(path, sizeof path, "/d/%u.new", i);
        ck_assert_int_eq(ns_test_create(ns, path), 0);
    }
    struct ns_inode *file = ns_test_get(ns, "/d/1.new");
    ck_assert_int_eq(ns_list(ns, file, 0, false, collect, &names), -ENOTDIR);
    ns_inode_put(ns, file, 1);
    ns_inode_put(ns, inode, 1);
}
END_TEST

static uint32_t plus_one(void *arg, uint32_t before)
{
    (void)arg;
    return before + 1;
}

// The word of the directory after one more; *ret_dir: the directory's number.
static uint32_t one_more(struct ns_inode *inode, uint64_t *ret_dir)
{
    return ns_dir_word(ns, inode, plus_one, NULL, ret_dir);
}

// A directory and its files share a word, also when the directory was forgotten and looked up again
// while a file was held.
START_TEST(test_word_of_a_directory)
{
    uint64_t of_dir, of_file;
    ck_assert_int_eq(ns_test_mkdir(ns, "/d"), 0);
    ck_assert_int_eq(ns_test_create(ns, "/d/f"), 0);
    struct ns_inode *dir = ns_test_get(ns, "/d"), *file;
    ck_assert_int_eq(ns_lookup(ns, dir, "f", 1, &file, NULL), 0);
    uint64_t ino = ns_inode_ino(dir);
    for (unsigned round = 0; round < 2; round++) {
        uint32_t first = one_more(dir, &of_dir), second = one_more(file, &of_file);
        uint32_t third = one_more(dir, &of_dir);
        ck_assert_uint_eq(second, first + 1);
        ck_assert_uint_eq(third, first + 2);
        ck_assert_uint_eq(of_dir, ino);
        ck_assert_uint_eq(of_file, ino);
        ns_inode_put(ns, dir, 1);
        ck_assert_ptr_null(ns_inode_find(ns, ino)); // nobody holds it
        dir = ns_test_get(ns, "/d");
    }
    ns_inode_put(ns, dir, 1);
    ns_inode_put(ns, file, 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ns_listing");
    TCase *tc = tcase_create("ns_listing");
    tcase_add_checked_fixture(tc, ns_setup, ns_teardown);
    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, test_listing_of_a_changing_directory, 0, 2);
    tcase_add_loop_test(tc, test_listing_of_a_large_changing_directory, 0, 2);
    tcase_add_test(tc, test_listing_of_what_was_listed);
    tcase_add_loop_test(tc, test_cookies, 0, 2);
    tcase_add_test(tc, test_word_of_a_directory);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
