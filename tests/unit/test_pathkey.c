// Keys of the namespace: golden bytes as in docs/format.md, order, escapes, limits, damage.
#include "ns/keys/pathkey.h"
#include "version_util.h"

static struct slice bytes(const char *text, size_t size)
{
    return slice_of(text, size);
}
#define BYTES(literal) bytes(literal, sizeof(literal) - 1)

static void expect_key(const struct pathkey *key, struct slice want)
{
    ck_assert_msg(slice_equal(pathkey_slice(key), want), "%zu bytes, not %zu, or others", key->size,
                  want.size);
}

static void expect_prefix(const struct pathkey_prefix *prefix, struct slice want)
{
    ck_assert_msg(slice_equal(pathkey_prefix_slice(prefix), want), "\"%.*s\"", (int)prefix->size,
                  (const char *)prefix->data);
}

START_TEST(test_golden_keys)
{
    struct pathkey key;
    pathkey_entry(&key, BYTES(""), BYTES("etc"));
    expect_key(&key, BYTES("E\0etc"));
    pathkey_entry(&key, BYTES("usr\001lib"), BYTES("libc.so"));
    expect_key(&key, BYTES("Eusr\001lib\0libc.so"));
    pathkey_marker(&key, BYTES("usr\001lib"));
    expect_key(&key, BYTES("Pusr\001lib"));
    pathkey_number(&key, KEY_INODE, 0x1234);
    expect_key(&key, BYTES("I\0\0\0\0\0\0\x12\x34"));
    pathkey_number(&key, KEY_ORPHAN, UINT64_MAX);
    expect_key(&key, BYTES("O\xff\xff\xff\xff\xff\xff\xff\xff"));
    pathkey_extent(&key, 5, 0x20000);
    expect_key(&key, BYTES("D\0\0\0\0\0\0\0\5\0\0\0\0\0\2\0\0"));
    pathkey_xattr(&key, 5, BYTES("user.a"));
    expect_key(&key, BYTES("X\0\0\0\0\0\0\0\5user.a"));
    pathkey_place(&key, 5, BYTES("usr\001lib"), BYTES("libc.so"));
    expect_key(&key, BYTES("B\0\0\0\0\0\0\0\5usr\001lib\0libc.so"));
    pathkey_counter(&key, 15);
    expect_key(&key, BYTES("C\x0f"));
    pathkey_single(&key, KEY_RESERVED);
    expect_key(&key, BYTES("N"));
    pathkey_single(&key, KEY_ROOT);
    expect_key(&key, BYTES("R"));
    pathkey_single(&key, KEY_SUPER);
    expect_key(&key, BYTES("S"));
}
END_TEST

START_TEST(test_places)
{
    uint64_t ino;
    struct slice prefix, name;
    ck_assert(pathkey_parse_place(BYTES("B\0\0\0\0\0\0\0\5a\001b\0c"), &ino, &prefix, &name));
    ck_assert(ino == 5 && slice_equal(prefix, BYTES("a\001b")) && slice_equal(name, BYTES("c")));
    ck_assert(pathkey_parse_place(BYTES("B\0\0\0\0\0\0\0\5\0c"), &ino, &prefix, &name));
    ck_assert(prefix.size == 0);
    ck_assert(!pathkey_parse_place(BYTES("B\0\0\0\0\0\0\0\5\0"), &ino, &prefix, &name));
    ck_assert(!pathkey_parse_place(BYTES("B\0\0\0\0\0\0\0\5abc"), &ino, &prefix, &name));
    ck_assert(!pathkey_parse_place(BYTES("B\0\0\0\0\0\0\0"), &ino, &prefix, &name));
    ck_assert(!pathkey_parse_place(BYTES("E\0\0\0\0\0\0\0\5\0c"), &ino, &prefix, &name));
}
END_TEST

// What makes a prefix, taken apart.
START_TEST(test_prefixes_apart)
{
    struct pathkey_prefix prefix;
    struct slice parent;
    uint8_t name[PATHKEY_NAME_MAX];
    size_t size;
    uint64_t ino;
    ck_assert(pathkey_child_prefix(BYTES("a\001b"), BYTES("x\001y\002z"), &prefix));
    ck_assert(pathkey_prefix_split(pathkey_prefix_slice(&prefix), &parent, name, &size));
    ck_assert(slice_equal(parent, BYTES("a\001b")));
    ck_assert(slice_equal(slice_of(name, size), BYTES("x\001y\002z")));
    ck_assert(pathkey_prefix_split(BYTES("a"), &parent, name, &size) && parent.size == 0);
    ck_assert(!pathkey_prefix_split(BYTES(""), &parent, name, &size));
    ck_assert(!pathkey_prefix_split(BYTES("a\001"), &parent, name, &size));
    ck_assert(!pathkey_prefix_split(BYTES("a\002"), &parent, name, &size));
    ck_assert(!pathkey_prefix_split(BYTES("\002\0051"), &parent, name, &size));
    for (uint64_t number = 1; number; number *= 37) {
        pathkey_fresh_prefix(number, &prefix);
        ck_assert(pathkey_fresh_ino(pathkey_prefix_slice(&prefix), &ino) && ino == number);
        if (number > UINT64_MAX / 37)
            break;
    }
    ck_assert(!pathkey_fresh_ino(BYTES("\002\005"), &ino));
    ck_assert(!pathkey_fresh_ino(BYTES("\002\005w"), &ino));
    ck_assert(!pathkey_fresh_ino(BYTES("usr"), &ino));
}
END_TEST

START_TEST(test_golden_prefixes)
{
    struct pathkey_prefix prefix;
    ck_assert(pathkey_child_prefix(BYTES(""), BYTES("usr"), &prefix));
    expect_prefix(&prefix, BYTES("usr"));
    ck_assert(pathkey_child_prefix(BYTES("usr"), BYTES("lib"), &prefix));
    expect_prefix(&prefix, BYTES("usr\001lib"));
    ck_assert(pathkey_child_prefix(BYTES("a"), BYTES("x\001y\002z"), &prefix));
    expect_prefix(&prefix, BYTES("a\001x\002\003y\002\004z"));
    ck_assert(pathkey_child_prefix(BYTES(""), BYTES("\002\005"), &prefix));
    expect_prefix(&prefix, BYTES("\002\004\005"));
    pathkey_fresh_prefix(1, &prefix);
    expect_prefix(&prefix, BYTES("\002\0051"));
    pathkey_fresh_prefix(31, &prefix);
    expect_prefix(&prefix, BYTES("\002\005v"));
    pathkey_fresh_prefix(32, &prefix);
    expect_prefix(&prefix, BYTES("\002\00510"));
    pathkey_fresh_prefix(UINT64_MAX, &prefix);
    expect_prefix(&prefix, BYTES("\002\005fvvvvvvvvvvvv"));
}
END_TEST

START_TEST(test_fresh_or_not)
{
    struct pathkey_prefix prefix;
    pathkey_fresh_prefix(77, &prefix);
    ck_assert(pathkey_is_fresh(pathkey_prefix_slice(&prefix)));
    struct pathkey_prefix child;
    ck_assert(pathkey_child_prefix(pathkey_prefix_slice(&prefix), BYTES("x"), &child));
    ck_assert(!pathkey_is_fresh(pathkey_prefix_slice(&child)));
    ck_assert(!pathkey_is_fresh(BYTES("")));
    ck_assert(!pathkey_is_fresh(BYTES("a\002\005")));
}
END_TEST

START_TEST(test_bounds)
{
    struct pathkey lower, upper;
    pathkey_dir_bounds(BYTES("usr"), &lower, &upper);
    expect_key(&lower, BYTES("Eusr\0"));
    expect_key(&upper, BYTES("Eusr\001"));
    pathkey_ino_bounds(KEY_EXTENT, 7, &lower, &upper);
    expect_key(&lower, BYTES("D\0\0\0\0\0\0\0\7"));
    expect_key(&upper, BYTES("D\0\0\0\0\0\0\0\10"));
    pathkey_ino_bounds(KEY_XATTR, UINT64_MAX, &lower, &upper);
    expect_key(&lower, BYTES("X\xff\xff\xff\xff\xff\xff\xff\xff"));
    expect_key(&upper, BYTES("Y"));
    pathkey_type_bounds(KEY_MARKER, &lower, &upper);
    expect_key(&lower, BYTES("P"));
    expect_key(&upper, BYTES("Q"));
}
END_TEST

START_TEST(test_parse)
{
    struct pathkey key;
    struct slice prefix, name;
    uint64_t ino, offset;
    pathkey_entry(&key, BYTES("usr\001lib"), BYTES("x\001y"));
    ck_assert(pathkey_parse_entry(pathkey_slice(&key), &prefix, &name));
    ck_assert(slice_equal(prefix, BYTES("usr\001lib")) && slice_equal(name, BYTES("x\001y")));
    pathkey_number(&key, KEY_ORPHAN, 99);
    ck_assert(pathkey_parse_number(pathkey_slice(&key), KEY_ORPHAN, &ino) && ino == 99);
    ck_assert(!pathkey_parse_number(pathkey_slice(&key), KEY_INODE, &ino));
    pathkey_extent(&key, 99, UINT64_C(1) << 59);
    ck_assert(pathkey_parse_extent(pathkey_slice(&key), &ino, &offset));
    ck_assert(ino == 99 && offset == UINT64_C(1) << 59);
    pathkey_xattr(&key, 3, BYTES("user.n"));
    ck_assert(pathkey_parse_xattr(pathkey_slice(&key), &ino, &name));
    ck_assert(ino == 3 && slice_equal(name, BYTES("user.n")));
}
END_TEST

START_TEST(test_parse_refuses)
{
    static char long_key[2000] = "E";
    struct slice a, b;
    uint64_t n, m;
    ck_assert(!pathkey_parse_entry(BYTES("E"), &a, &b));
    ck_assert(!pathkey_parse_entry(BYTES("E\0"), &a, &b));
    ck_assert(!pathkey_parse_entry(BYTES("Eabc"), &a, &b));
    ck_assert(!pathkey_parse_entry(BYTES("Ea\0b/c"), &a, &b));
    ck_assert(!pathkey_parse_entry(BYTES("Ea\0b\0"), &a, &b));
    ck_assert(!pathkey_parse_entry(BYTES("Ea\0.."), &a, &b));
    ck_assert(!pathkey_parse_entry(BYTES("Pa\0b"), &a, &b));
    memset(long_key + 1, 'p', PATHKEY_PREFIX_MAX);
    long_key[1 + PATHKEY_PREFIX_MAX + 1] = 'n';
    ck_assert(pathkey_parse_entry(bytes(long_key, PATHKEY_PREFIX_MAX + 3), &a, &b));
    memset(long_key + 1, 'p', PATHKEY_PREFIX_MAX + 1);
    long_key[PATHKEY_PREFIX_MAX + 2] = 0;
    long_key[PATHKEY_PREFIX_MAX + 3] = 'n';
    ck_assert(!pathkey_parse_entry(bytes(long_key, PATHKEY_PREFIX_MAX + 4), &a, &b));
    ck_assert(!pathkey_parse_number(BYTES("I1234567"), KEY_INODE, &n));
    ck_assert(!pathkey_parse_number(BYTES("I123456789"), KEY_INODE, &n));
    ck_assert(!pathkey_parse_extent(BYTES("D123456781234567"), &n, &m));
    ck_assert(!pathkey_parse_xattr(BYTES("X12345678"), &n, &a));
    ck_assert(!pathkey_parse_xattr(bytes(long_key, 9 + 256), &n, &a));
}
END_TEST

START_TEST(test_names)
{
    char name[256];
    memset(name, 'n', sizeof name);
    ck_assert(pathkey_name_ok(bytes(name, 255)));
    ck_assert(!pathkey_name_ok(bytes(name, 256)));
    ck_assert(!pathkey_name_ok(BYTES("")));
    ck_assert(!pathkey_name_ok(BYTES(".")));
    ck_assert(!pathkey_name_ok(BYTES("..")));
    ck_assert(!pathkey_name_ok(BYTES("a/b")));
    ck_assert(!pathkey_name_ok(BYTES("a\0b")));
    ck_assert(pathkey_name_ok(BYTES("...")));
    ck_assert(pathkey_name_ok(BYTES(".x")));
    ck_assert(pathkey_name_ok(BYTES("\001\002\377")));
}
END_TEST

START_TEST(test_prefix_limit)
{
    static char parent[PATHKEY_PREFIX_MAX + 1];
    struct pathkey_prefix prefix;
    memset(parent, 'p', sizeof parent);
    ck_assert(pathkey_child_prefix(bytes(parent, 1020), BYTES("xyz"), &prefix));
    ck_assert_uint_eq(prefix.size, 1024);
    ck_assert(!pathkey_child_prefix(bytes(parent, 1021), BYTES("xyz"), &prefix));
    ck_assert(!pathkey_child_prefix(bytes(parent, 1020), BYTES("xy\001"), &prefix));
    ck_assert(!pathkey_child_prefix(bytes(parent, 1020), BYTES("\001yz"), &prefix));
    ck_assert(pathkey_child_prefix(bytes(parent, 1020), BYTES("\001y"), &prefix));
    ck_assert_uint_eq(prefix.size, 1024);
    struct pathkey key;
    pathkey_entry(&key, pathkey_prefix_slice(&prefix), bytes(parent, 255));
    ck_assert_uint_eq(key.size, PATHKEY_MAX - 8);
    pathkey_place(&key, 5, pathkey_prefix_slice(&prefix), bytes(parent, 255));
    ck_assert_uint_eq(key.size, PATHKEY_MAX);
}
END_TEST

// ------------------------------------------------------------------------------- random paths

#define DEPTH 5

struct path {
    unsigned depth;
    char names[DEPTH][4];
    size_t sizes[DEPTH];
};

static void random_path(uint64_t *seed, struct path *ret_path)
{
    static const char alphabet[] = "\001\002\003\004\005az";
    ret_path->depth = 1 + (unsigned)random_below(seed, DEPTH);
    for (unsigned i = 0; i < ret_path->depth; i++) {
        ret_path->sizes[i] = 1 + random_below(seed, 3);
        for (size_t j = 0; j < ret_path->sizes[i]; j++)
            ret_path->names[i][j] = alphabet[random_below(seed, sizeof alphabet - 1)];
    }
}

static struct pathkey_prefix prefix_of(const struct path *path, unsigned depth)
{
    struct pathkey_prefix prefix = {0}, child;
    for (unsigned i = 0; i < depth; i++) {
        if (!pathkey_child_prefix(pathkey_prefix_slice(&prefix),
                                  bytes(path->names[i], path->sizes[i]), &child))
            ck_abort_msg("too long");
        prefix = child;
    }
    return prefix;
}

static bool same_names(const struct path *a, const struct path *b, unsigned depth)
{
    for (unsigned i = 0; i < depth; i++)
        if (a->sizes[i] != b->sizes[i] || memcmp(a->names[i], b->names[i], a->sizes[i]))
            return false;
    return true;
}

// Equal prefixes mean equal paths; an entry is in a directory's range, or in its subtree's range,
// exactly if it is there by its path.
START_TEST(test_random_paths)
{
    uint64_t seed = test_seed("pathkey", 1);
    for (int i = 0; i < 300000; i++) {
        struct path a, b;
        random_path(&seed, &a);
        random_path(&seed, &b);
        if (i % 2)
            memcpy(&b, &a, offsetof(struct path, names) + 4 * random_below(&seed, DEPTH));
        struct pathkey_prefix dir = prefix_of(&a, a.depth), other = prefix_of(&b, b.depth);
        bool same = a.depth == b.depth && same_names(&a, &b, a.depth);
        if (slice_equal(pathkey_prefix_slice(&dir), pathkey_prefix_slice(&other)) != same)
            ck_abort_msg("step %d: equal prefixes of different paths", i);
        if (dir.data[0] == 2 && dir.data[1] == 5)
            ck_abort_msg("step %d: a default prefix that looks fresh", i);
        struct pathkey lower, upper, key, end;
        struct pathkey_prefix parent = prefix_of(&b, b.depth - 1);
        pathkey_dir_bounds(pathkey_prefix_slice(&dir), &lower, &upper);
        pathkey_entry(&key, pathkey_prefix_slice(&parent),
                      bytes(b.names[b.depth - 1], b.sizes[b.depth - 1]));
        end = upper;
        end.data[end.size - 1] = 2;
        struct slice at = pathkey_slice(&key);
        bool in_dir = slice_compare(at, pathkey_slice(&lower)) >= 0 &&
                      slice_compare(at, pathkey_slice(&upper)) < 0;
        bool in_tree = slice_compare(at, pathkey_slice(&lower)) >= 0 &&
                       slice_compare(at, pathkey_slice(&end)) < 0;
        bool below = b.depth > a.depth && same_names(&a, &b, a.depth);
        if (in_dir != (below && b.depth == a.depth + 1))
            ck_abort_msg("step %d: a name in the range of another directory, or not in its own", i);
        if (in_tree != below)
            ck_abort_msg("step %d: a name in another subtree, or not in its own", i);
    }
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("pathkey");
    tcase_add_test(tc, test_golden_keys);
    tcase_add_test(tc, test_golden_prefixes);
    tcase_add_test(tc, test_places);
    tcase_add_test(tc, test_prefixes_apart);
    tcase_add_test(tc, test_fresh_or_not);
    tcase_add_test(tc, test_bounds);
    tcase_add_test(tc, test_parse);
    tcase_add_test(tc, test_parse_refuses);
    tcase_add_test(tc, test_names);
    tcase_add_test(tc, test_prefix_limit);
    tcase_add_test(tc, test_random_paths);
    return run_case("pathkey", tc, 60);
}
