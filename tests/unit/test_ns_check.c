// ns_check on damaged stores: each kind of damage, done through the engine, is named; nothing else
// is. And the sets it works with.
#include <stdarg.h>

#include "base/coding.h"
#include "ns/keys/pathkey.h"
#include "ns/keys/record.h"
#include "ns/upkeep/ino_set.h"
#include "ns_fixture.h"
#include "version_util.h"

// A tree with one of everything.
static void setup(void)
{
    ns_setup();
    ck_assert_int_eq(ns_test_mkdir(ns, "/a"), 0);
    ck_assert_int_eq(ns_test_mkdir(ns, "/a/sub"), 0);
    ck_assert_int_eq(ns_test_create(ns, "/a/sub/leaf"), 0);
    ck_assert_int_eq(ns_test_create(ns, "/a/small"), 0);
    ck_assert_int_eq(ns_test_write(ns, "/a/small", 0, 100, 's'), 100);
    ck_assert_int_eq(ns_test_create(ns, "/a/big"), 0);
    ck_assert_int_eq(ns_test_write(ns, "/a/big", 0, 300000, 'b'), 300000);
    ck_assert_int_eq(ns_test_write(ns, "/a/big", 500000, 10000, 'b'), 10000);
    ck_assert_int_eq(ns_test_symlink(ns, "small", "/a/symlink"), 0);
    ck_assert_int_eq(ns_test_create(ns, "/a/one"), 0);
    ck_assert_int_eq(ns_test_write(ns, "/a/one", 0, 5000, 'o'), 5000);
    ck_assert_int_eq(ns_test_link(ns, "/a/one", "/two"), 0);
    ck_assert_int_eq(ns_test_link(ns, "/a/one", "/three"), 0);
    ck_assert_int_eq(ns_test_mkdir(ns, "/home"), 0);
    ck_assert_int_eq(ns_test_create(ns, "/home/child"), 0);
    ck_assert_int_eq(ns_test_rename(ns, "/home", "/a/away", 0), 0);
    ck_assert_int_eq(ns_test_mkdir(ns, "/home"), 0);
    ck_assert_int_eq(ns_test_create(ns, "/home/fresh"), 0);
    ck_assert_int_eq(ns_test_mknod(ns, "/pipe", S_IFIFO | 0600), 0);
    ns_expect_clean(ns, "the sound store");
}

static struct pathkey entry_key(const char *prefix, const char *name)
{
    struct pathkey key;
    pathkey_entry(&key, slice_str(prefix), slice_str(name));
    return key;
}

static struct pathkey number_key(enum pathkey_type type, uint64_t ino)
{
    struct pathkey key;
    pathkey_number(&key, type, ino);
    return key;
}

static void put(struct pathkey key, const void *value, size_t size)
{
    ck_assert_int_eq(lsm_put(ns_engine(ns), NULL, key.data, key.size, value, size), 0);
}

static void drop(struct pathkey key)
{
    size_t got;
    ck_assert_int_eq(lsm_get_range(ns_engine(ns), NULL, key.data, key.size, 0, NULL, 0, &got, NULL),
                     0);
    ck_assert_int_eq(lsm_delete(ns_engine(ns), NULL, key.data, key.size), 0);
}

static void load(struct pathkey key, struct lsm_buf *raw, struct record *ret_rec)
{
    ck_assert_int_eq(lsm_get(ns_engine(ns), NULL, key.data, key.size, raw), 0);
    ck_assert_int_eq(record_decode(raw->data, raw->size, ret_rec), 0);
}

static void store(struct pathkey key, const struct record *rec)
{
    struct buf out = {0};
    ck_assert_int_eq(record_encode(rec, &out), 0);
    put(key, out.data, out.size);
    buf_release(&out);
}

// Changes one field of the record at `key`.
#define CHANGE(key, field, new_value)                                                              \
    do {                                                                                           \
        struct lsm_buf raw_ = {0};                                                                 \
        struct record rec_;                                                                        \
        load((key), &raw_, &rec_);                                                                 \
        rec_.field = (new_value);                                                                  \
        store((key), &rec_);                                                                       \
        lsm_buf_release(&raw_);                                                                    \
    } while (0)

// Exactly these problems, in any order; NULL ends.
static void expect(const char *first, ...)
{
    struct ns_report report;
    va_list args;
    int64_t count = 0;
    ns_test_check(ns, &report);
    va_start(args, first);
    for (const char *line = first; line; line = va_arg(args, const char *), count++) {
        char whole[1024];
        const char *at = strstr(report.text, line);
        snprintf(whole, sizeof whole, "%s\n", line);
        ck_assert_msg(at && (at == report.text || at[-1] == '\n') &&
                          strncmp(at, whole, strlen(whole)) == 0,
                      "\"%s\" is not in\n%s", line, report.text);
    }
    va_end(args);
    ck_assert_msg(report.problems == count, "%lld problems, not %lld:\n%s",
                  (long long)report.problems, (long long)count, report.text);
}

static uint64_t ino_of(const char *path)
{
    return ns_test_stat(ns, path).ino;
}

static const char *text(const char *format, uint64_t number)
{
    static char space[4][256];
    static unsigned next;
    char *out = space[next++ % 4];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(out, sizeof space[0], format, (unsigned long long)number);
#pragma GCC diagnostic pop
    return out;
}

START_TEST(test_lost_file)
{
    drop(entry_key("a", "small"));
    expect("/a: the directory says it has 6 entries, but has 5",
           "12 files, but the counters say 13", NULL);
}
END_TEST

START_TEST(test_lost_file_with_extents)
{
    uint64_t ino = ino_of("/a/big");
    drop(entry_key("a", "big"));
    expect("/a: the directory says it has 6 entries, but has 5",
           text("inode %llu: extents that belong to no file", ino),
           "12 files, but the counters say 13", NULL);
}
END_TEST

START_TEST(test_lost_directory)
{
    drop(entry_key("a", "sub"));
    expect("/a: the directory says it has 6 entries, but has 5",
           "/a: link count 4 of a directory with 1 directories",
           "1 entries in no directory, the first is \"leaf\" under prefix \"a\\001sub\"",
           "11 files, but the counters say 13", NULL);
}
END_TEST

START_TEST(test_link_counts)
{
    uint64_t ino = ino_of("/two");
    CHANGE(number_key(KEY_INODE, ino), nlink, 4);
    CHANGE(entry_key("a", "small"), nlink, 2);
    CHANGE(entry_key("", "a"), nlink, 3);
    CHANGE(entry_key("", "a"), size, 9);
    expect(text("inode %llu: link count 4, but 3 names", ino),
           "/a/small: link count 2 of a file with one name",
           "/a: link count 3 of a directory with 2 directories",
           "/a: the directory says it has 9 entries, but has 6", NULL);
}
END_TEST

START_TEST(test_root_counts)
{
    struct pathkey key;
    pathkey_single(&key, KEY_ROOT);
    CHANGE(key, nlink, 7);
    expect("/: link count 7 of a directory with 2 directories", NULL);
}
END_TEST

START_TEST(test_lost_name_and_lost_record_of_hard_links)
{
    uint64_t ino = ino_of("/two");
    const char *place =
        text("inode %llu: a place that names an entry which is not the inode's", ino);
    drop(entry_key("", "two"));
    expect("/: the directory says it has 5 entries, but has 4", place,
           text("inode %llu: link count 3, but 2 names", ino), NULL);
    drop(number_key(KEY_INODE, ino));
    expect("/: the directory says it has 5 entries, but has 4",
           text("inode %llu: 2 names, but no record", ino),
           text("inode %llu: extents that belong to no file", ino), place,
           "12 files, but the counters say 13", NULL);
}
END_TEST

START_TEST(test_record_without_names)
{
    struct record rec = {.ino = 40, .mode = S_IFREG | 0644, .nlink = 1, .is_inline = true};
    store(number_key(KEY_INODE, 40), &rec);
    expect("inode 40: a file without a name", "14 files, but the counters say 13", NULL);
    rec.mode = S_IFDIR | 0755;
    rec.is_inline = false;
    store(number_key(KEY_INODE, 40), &rec);
    expect("inode 40: a directory that is not in its entry", "14 files, but the counters say 13",
           NULL);
}
END_TEST

START_TEST(test_type_of_a_name)
{
    uint64_t ino = ino_of("/two");
    CHANGE(entry_key("", "three"), mode, S_IFLNK);
    expect(text("inode %llu: a name of it says it is of another type", ino), NULL);
}
END_TEST

START_TEST(test_number_used_twice)
{
    uint64_t ino = ino_of("/a/small");
    CHANGE(entry_key("a\001sub", "leaf"), ino, ino);
    expect(text("/a/sub/leaf: inode number %llu is in use twice", ino),
           "12 files, but the counters say 13", NULL);
}
END_TEST

START_TEST(test_number_out_of_range)
{
    CHANGE(entry_key("a", "small"), ino, UINT64_C(1) << 40);
    CHANGE(entry_key("", "two"), ino, UINT64_C(1) << 41);
    expect(
        "/a/small: inode number 1099511627776 was never handed out",
        "/two: inode number 2199023255552 was never handed out",
        text("inode %llu: link count 3, but 2 names", ino_of("/three")),
        text("inode %llu: a place that names an entry which is not the inode's", ino_of("/three")),
        NULL);
}
END_TEST

START_TEST(test_undecodable_record)
{
    put(entry_key("a", "small"), "\001\200garbage", 9);
    expect("/a/small: record of 9 bytes is cut short or malformed",
           "12 files, but the counters say 13", NULL);
}
END_TEST

START_TEST(test_overlapping_extents)
{
    struct pathkey key;
    char bytes[10] = {0};
    pathkey_extent(&key, ino_of("/a/big"), 131077);
    put(key, bytes, sizeof bytes);
    expect("/a/big: extents overlap at offset 131077",
           "/a/big: extents of 310010 bytes, but the record says 310000", NULL);
}
END_TEST

START_TEST(test_extent_beyond_the_end_and_across_the_grid)
{
    struct pathkey key;
    char bytes[1000] = {0};
    pathkey_extent(&key, ino_of("/a/big"), (1 << 20) - 1);
    put(key, bytes, 10);
    expect("/a/big: an extent of 10 bytes at offset 1048575",
           "/a/big: an extent at offset 1048575 reaches beyond the size 510000",
           "/a/big: extents of 310010 bytes, but the record says 310000", NULL);
}
END_TEST

START_TEST(test_lost_extent)
{
    struct pathkey key;
    pathkey_extent(&key, ino_of("/a/big"), 500000);
    drop(key);
    expect("/a/big: extents of 300000 bytes, but the record says 310000", NULL);
}
END_TEST

START_TEST(test_stray_extents)
{
    struct pathkey key;
    uint64_t small = ino_of("/a/small");
    pathkey_extent(&key, small, 0);
    put(key, "x", 1);
    pathkey_extent(&key, 50, 0);
    put(key, "x", 1);
    pathkey_extent(&key, 50, 10);
    put(key, "x", 1);
    expect(text("inode %llu: extents that belong to no file", small),
           "inode 50: extents that belong to no file", NULL);
}
END_TEST

static void put_unwritten(uint64_t ino, uint64_t start, uint64_t size)
{
    struct pathkey key;
    uint8_t length[8];
    pathkey_range(&key, KEY_UNWRITTEN, ino, start);
    put_big64(length, size);
    put(key, length, sizeof length);
}

START_TEST(test_unwritten_ranges)
{
    uint64_t big = ino_of("/a/big"), small = ino_of("/a/small");
    put_unwritten(big, 600000, 1000);
    CHANGE(entry_key("a", "big"), unwritten_bytes, 1000);
    expect(NULL);
    put_unwritten(big, 600500, 1000);
    put_unwritten(small, 0, 1);
    put_unwritten(50, 4096, 1);
    expect("/a/big: unwritten ranges overlap at offset 600500",
           "/a/big: 2000 bytes are unwritten, but the record says 1000",
           text("inode %llu: unwritten ranges that belong to no file", small),
           "inode 50: unwritten ranges that belong to no file", NULL);
}
END_TEST

START_TEST(test_unwritten_and_written)
{
    uint64_t big = ino_of("/a/big");
    put_unwritten(big, 505000, 5001);
    CHANGE(entry_key("a", "big"), unwritten_bytes, 5001);
    expect("/a/big: what is unwritten at offset 505000 is written", NULL);
    put_unwritten(big, 600000, 0);
    expect("/a/big: an unwritten range that makes no sense", NULL);
}
END_TEST

static void put_lost(uint64_t ino, uint64_t start, uint64_t size)
{
    struct pathkey key;
    uint8_t length[8];
    pathkey_range(&key, KEY_LOST, ino, start);
    put_big64(length, size);
    put(key, length, sizeof length);
}

START_TEST(test_lost_ranges)
{
    uint64_t big = ino_of("/a/big"), small = ino_of("/a/small");
    put_lost(big, 505000, 5001);
    CHANGE(entry_key("a", "big"), size, 600000);
    CHANGE(entry_key("a", "big"), lost_bytes, 5000);
    put_lost(big, 599000, 1001);
    put_lost(small, 0, 1);
    put_lost(50, 4096, 1);
    expect("/a/big: what is lost at offset 505000 is written",
           "/a/big: a lost range beyond the end",
           "/a/big: 6002 bytes are lost, but the record says 5000",
           text("inode %llu: lost ranges that belong to no file", small),
           "inode 50: lost ranges that belong to no file", NULL);
}
END_TEST

START_TEST(test_stray_attributes)
{
    struct pathkey key;
    pathkey_xattr(&key, ino_of("/a/small"), slice_str("user.x"));
    put(key, "x", 1);
    expect(text("inode %llu: attributes that belong to no file", ino_of("/a/small")), NULL);
    CHANGE(entry_key("a", "small"), has_xattrs, true);
    ns_expect_clean(ns, "attributes that the record knows of");
}
END_TEST

START_TEST(test_markers)
{
    struct pathkey key;
    uint64_t away = ino_of("/a/away");
    uint8_t number[8];
    pathkey_marker(&key, slice_str("home"));
    put_fixed64(number, 3);
    put(key, number, 8);
    expect(text("/a/away: inode %llu, but the marker of its prefix names inode 3", away),
           "1 entries in no directory, the first is \"child\" under prefix \"home\"",
           "a marker for inode 3, but no directory has prefix \"home\"",
           "12 files, but the counters say 13", NULL);
}
END_TEST

static struct pathkey place_key(uint64_t ino, const char *prefix, const char *name)
{
    struct pathkey key;
    pathkey_place(&key, ino, slice_str(prefix), slice_str(name));
    return key;
}

// Missing ones are no damage: older versions wrote none.
START_TEST(test_places)
{
    uint64_t away = ns_test_stat(ns, "/a/away").ino, one = ns_test_stat(ns, "/two").ino;
    drop(place_key(away, "a", "away"));
    drop(place_key(one, "", "two"));
    expect(NULL);
    put(place_key(away, "", "home"), "", 0); // that is another directory by now
    put(place_key(one, "a", "absent"), "", 0);
    put(place_key(one, "a", "small"), "", 0);
    expect(text("inode %llu: a place that names an entry which is not the inode's", away),
           text("inode %llu: a place that names an entry which is not the inode's", one),
           text("inode %llu: a place that names an entry which is not the inode's", one), NULL);
    ck_assert_int_eq(lsm_delete(ns_engine(ns), NULL, place_key(one, "a", "absent").data,
                                place_key(one, "a", "absent").size),
                     0);
    put((struct pathkey){.size = 2, .data = "Bx"}, "", 0);
    put(place_key(one, "a", "small"), "x", 1);
    expect(text("inode %llu: a place that names an entry which is not the inode's", away),
           "a key of type 'B' with 2 bytes that makes no sense",
           "a key of type 'B' with 16 bytes that makes no sense", NULL);
}
END_TEST

START_TEST(test_lost_marker)
{
    struct pathkey key;
    pathkey_marker(&key, slice_str("home"));
    drop(key);
    expect("/a/away: a directory away from home without a marker",
           "1 entries in no directory, the first is \"child\" under prefix \"home\"",
           "12 files, but the counters say 13", NULL);
}
END_TEST

START_TEST(test_stray_markers)
{
    struct pathkey key;
    uint8_t number[8];
    put_fixed64(number, 9);
    pathkey_marker(&key, slice_str("nobody"));
    put(key, number, 8);
    pathkey_marker(&key, slice_str("a"));
    put(key, number, 8);
    struct ns_report report;
    ns_test_check(ns, &report);
    ck_assert_ptr_nonnull(strstr(report.text, "/a: a directory at home whose prefix is marked"));
    ck_assert_ptr_nonnull(
        strstr(report.text, "a marker for inode 9, but no directory has prefix \"nobody\""));
}
END_TEST

// Two directories that hold each other: in no tree, and the walk ends.
START_TEST(test_cycle)
{
    ck_assert_int_eq(ns_test_mkdir(ns, "/x"), 0);
    ck_assert_int_eq(ns_test_mkdir(ns, "/x/y"), 0);
    struct lsm_buf raw = {0};
    struct record rec;
    load(entry_key("", "x"), &raw, &rec);
    drop(entry_key("", "x"));
    rec.prefix = slice_str("x");
    store(entry_key("x\001y", "x"), &rec);
    lsm_buf_release(&raw);
    struct ns_report report;
    ns_test_check(ns, &report);
    ck_assert_ptr_nonnull(strstr(report.text, "in no directory, the first is \"x\" under prefix"));
    ck_assert_ptr_nonnull(strstr(report.text, "in no directory, the first is \"y\" under prefix"));
}
END_TEST

// A directory whose record claims the prefix of one of its ancestors.
START_TEST(test_borrowed_prefix)
{
    CHANGE(entry_key("a", "sub"), prefix, slice_str("a"));
    struct ns_report report;
    ns_test_check(ns, &report);
    ck_assert_ptr_nonnull(
        strstr(report.text, "/a/sub: a directory away from home without a marker"));
    struct pathkey_prefix fresh;
    pathkey_fresh_prefix(ino_of("/home"), &fresh);
    CHANGE(entry_key("a", "sub"), prefix, pathkey_prefix_slice(&fresh));
    ns_test_check(ns, &report);
    ck_assert_ptr_nonnull(strstr(report.text, "/a/sub: another directory's prefix"));
}
END_TEST

START_TEST(test_orphans)
{
    struct record rec = {.ino = 60, .mode = S_IFREG | 0644, .is_inline = true};
    store(number_key(KEY_ORPHAN, 60), &rec);
    expect("inode 60: an orphan nobody holds or reclaims", NULL);
    rec.nlink = 1;
    store(number_key(KEY_ORPHAN, 60), &rec);
    expect("inode 60: an orphan with link count 1", NULL);
    rec.ino = 61;
    store(number_key(KEY_ORPHAN, 60), &rec);
    expect("inode 60: the record there is another's", NULL);
}
END_TEST

// One that is held is none of this check's business; nor is one a later start reclaims.
START_TEST(test_held_orphan)
{
    struct ns_inode *inode = ns_test_get(ns, "/a/big");
    ns_inode_opened(ns, inode);
    ck_assert_int_eq(ns_test_unlink(ns, "/a/big"), 0);
    ns_expect_clean(ns, "an open file without a name");
    ns_inode_closed(ns, inode);
    ns_inode_put(ns, inode, 1);
    ns_expect_clean(ns, "after it was closed");
}
END_TEST

START_TEST(test_counters)
{
    struct pathkey key;
    uint8_t number[8];
    pathkey_counter(&key, 15);
    put_fixed64(number, (uint64_t)-3);
    put(key, number, 8);
    struct ns_report report;
    ns_test_check(ns, &report);
    ck_assert_int_eq(report.problems, 1);
    ck_assert_ptr_nonnull(strstr(report.text, "13 files, but the counters say "));
}
END_TEST

START_TEST(test_keys_that_make_no_sense)
{
    static const char *const keys[] = {"Zebra", "Nonsense", "Rxx", "Superman", "Ishort",
                                       "Odd",   "Dxx",      "Xy",  "C\xff"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        struct pathkey key = {.size = strlen(keys[i])};
        memcpy(key.data, keys[i], key.size);
        put(key, "v", 1);
        struct ns_report report;
        ns_test_check(ns, &report);
        ck_assert_msg(report.problems == 1 && strstr(report.text, "makes no sense"), "%s: %s",
                      keys[i], report.text);
        drop(key);
    }
    ns_expect_clean(ns, "all of them gone");
}
END_TEST

START_TEST(test_names_that_are_none)
{
    put(entry_key("a", "with/slash"), "v", 1);
    expect("/a/with/slash: a name of 10 bytes that is none",
           "/a: the directory says it has 6 entries, but has 7", NULL);
}
END_TEST

// A line for each problem, whatever is in the name.
START_TEST(test_names_with_control_bytes)
{
    ck_assert_int_eq(ns_test_create(ns, "/new\nline\001\\"), 0);
    CHANGE(entry_key("", "new\nline\001\\"), nlink, 5);
    expect("/new\\012line\\001\\134: link count 5 of a file with one name", NULL);
}
END_TEST

static int count_progress(void *arg, uint64_t done, uint64_t total)
{
    ck_assert_uint_le(done, total);
    ++*(unsigned *)arg;
    return 0;
}

static int stop_at_once(void *arg, uint64_t done, uint64_t total)
{
    (void)done;
    (void)total;
    ++*(unsigned *)arg;
    return 1;
}

// Deep and wide, across a reopen and a compaction.
START_TEST(test_large_sound_tree)
{
    char path[2048] = "";
    for (int depth = 0; depth < 40; depth++) {
        snprintf(path + strlen(path), sizeof path - strlen(path), "/%040d", depth);
        ck_assert_int_eq(ns_test_mkdir(ns, path), 0);
        for (int i = 0; i < 250; i++) {
            char file[2100];
            snprintf(file, sizeof file, "%s/f%d", path, i);
            ck_assert_int_eq(ns_test_create(ns, file), 0);
        }
    }
    ck_assert_int_eq(ns_close(ns), 0);
    ns = ns_test_open(env);
    ck_assert_int_eq(lsm_compact_range(ns_engine(ns), NULL, 0, NULL, 0), 0);
    unsigned calls = 0;
    ck_assert_int_eq(ns_check(ns, NULL, count_progress, &calls), 0);
    ck_assert_uint_ge(calls, 2);
    calls = 0;
    ck_assert_int_eq(ns_check(ns, NULL, stop_at_once, &calls), -ECANCELED);
    ck_assert_uint_eq(calls, 1);
}
END_TEST

// ------------------------------------------------------------------------------- sets

START_TEST(test_ino_set)
{
    uint64_t seed = test_seed("ino_set", 1), ino;
    struct ino_set set = {0};
    size_t members = 0;
    bool added;
    static uint8_t model[1 << 18];
    for (uint64_t i = 0; i < 400000; i++) {
        ino = i % 5 ? random_next(&seed) % (i % 3 ? sizeof model : 70000) : i / 5;
        int rc = ino_set_add(&set, ino, &added);
        if (rc || added == model[ino])
            ck_abort_msg("%d, added %d, number %d", rc, added, (int)ino);
        members += added;
        model[ino] = 1;
    }
    for (ino = 0; ino < sizeof model; ino++)
        if (ino_set_has(&set, ino) != model[ino])
            ck_abort_msg("number %d", (int)ino);
    ck_assert(!ino_set_has(&set, UINT64_MAX));
    ck_assert_int_eq(ino_set_add(&set, UINT64_MAX, &added), 0);
    ck_assert(added && ino_set_has(&set, UINT64_MAX) && members > 100000);
    ino_set_release(&set);
    ck_assert(!ino_set_has(&set, 1));
}
END_TEST

// ------------------------------------------------------------------------------- snapshots

static void note_problem(void *arg, const char *problem)
{
    struct buf *lines = arg;
    ck_assert(!buf_append(lines, problem, strlen(problem)) && !buf_append(lines, "\n", 1));
}

// Checks the present and all snapshots: these problems, one a line, in this order.
static void expect_of_all(const char *wanted)
{
    struct buf lines = {0};
    int64_t count = 0;
    for (const char *p = wanted; *p; p++)
        count += *p == '\n';
    ck_assert_int_eq(ns_check_all(ns, note_problem, NULL, &lines), count);
    ck_assert(!buf_append(&lines, "", 1));
    ck_assert_str_eq((const char *)lines.data, wanted);
    buf_release(&lines);
}

static void snapshot(const char *name)
{
    ck_assert_int_eq(lsm_snapshot_create(ns_engine(ns), name), 0);
}

// What only a snapshot has: a name that is missing, an extent, a record that cannot be read. What
// two have is told of the newer one.
START_TEST(test_snapshots)
{
    struct pathkey name = entry_key("a", "small"), extent, record = entry_key("a", "symlink");
    struct lsm_buf name_raw = {0}, extent_raw = {0}, record_raw = {0};
    pathkey_extent(&extent, ino_of("/a/big"), 500000);
    snapshot("sound");
    snapshot("same");
    expect_of_all("");
    ck_assert_int_eq(lsm_get(ns_engine(ns), NULL, name.data, name.size, &name_raw), 0);
    ck_assert_int_eq(lsm_get(ns_engine(ns), NULL, extent.data, extent.size, &extent_raw), 0);
    ck_assert_int_eq(lsm_get(ns_engine(ns), NULL, record.data, record.size, &record_raw), 0);
    drop(name);
    snapshot("first");
    drop(extent);
    snapshot("second");
    snapshot("second again");
    put(extent, extent_raw.data, extent_raw.size);
    put(record, "nonsense", 8);
    put(name, name_raw.data, name_raw.size);
    snapshot("third");
    put(record, record_raw.data, record_raw.size);
    ns_expect_clean(ns, "the present");
    struct ns_report report;
    ns_test_check(ns, &report);
    ck_assert_int_eq(report.problems, 0);
    struct buf lines = {0};
    int64_t problems = ns_check_all(ns, note_problem, NULL, &lines);
    ck_assert(!buf_append(&lines, "", 1));
    const char *text = (const char *)lines.data;
    ck_assert_msg(problems == 4, "%s", text);
    ck_assert_msg(strstr(text, "snapshot third: /a/symlink: "), "%s", text);
    ck_assert_msg(strstr(text, "snapshot second again: /a/big: extents of 300000 bytes, but the "
                               "record says 310000\n"),
                  "%s", text);
    ck_assert_msg(strstr(text, "snapshot second again: /a: the directory says it has 6 entries, "
                               "but has 5\n"),
                  "%s", text);
    ck_assert_msg(!strstr(text, "snapshot first: "), "%s", text);
    ck_assert_msg(!strstr(text, "snapshot sa") && !strstr(text, "snapshot so"), "%s", text);
    buf_release(&lines);
    static const char *const damaged[] = {"first", "second", "second again", "third"};
    for (size_t i = 0; i < 4; i++)
        ck_assert_int_eq(lsm_snapshot_delete(ns_engine(ns), damaged[i]), 0);
    expect_of_all("");
    lsm_buf_release(&name_raw);
    lsm_buf_release(&extent_raw);
    lsm_buf_release(&record_raw);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ns_check");
    TCase *damage = tcase_create("damage"), *sets = tcase_create("sets");
    tcase_add_checked_fixture(damage, setup, ns_end);
    tcase_set_timeout(damage, 120);
    tcase_add_test(damage, test_lost_file);
    tcase_add_test(damage, test_lost_file_with_extents);
    tcase_add_test(damage, test_lost_directory);
    tcase_add_test(damage, test_link_counts);
    tcase_add_test(damage, test_root_counts);
    tcase_add_test(damage, test_lost_name_and_lost_record_of_hard_links);
    tcase_add_test(damage, test_record_without_names);
    tcase_add_test(damage, test_type_of_a_name);
    tcase_add_test(damage, test_number_used_twice);
    tcase_add_test(damage, test_number_out_of_range);
    tcase_add_test(damage, test_undecodable_record);
    tcase_add_test(damage, test_overlapping_extents);
    tcase_add_test(damage, test_extent_beyond_the_end_and_across_the_grid);
    tcase_add_test(damage, test_lost_extent);
    tcase_add_test(damage, test_stray_extents);
    tcase_add_test(damage, test_unwritten_ranges);
    tcase_add_test(damage, test_unwritten_and_written);
    tcase_add_test(damage, test_lost_ranges);
    tcase_add_test(damage, test_stray_attributes);
    tcase_add_test(damage, test_markers);
    tcase_add_test(damage, test_lost_marker);
    tcase_add_test(damage, test_places);
    tcase_add_test(damage, test_stray_markers);
    tcase_add_test(damage, test_cycle);
    tcase_add_test(damage, test_borrowed_prefix);
    tcase_add_test(damage, test_orphans);
    tcase_add_test(damage, test_held_orphan);
    tcase_add_test(damage, test_counters);
    tcase_add_test(damage, test_keys_that_make_no_sense);
    tcase_add_test(damage, test_names_that_are_none);
    tcase_add_test(damage, test_names_with_control_bytes);
    tcase_add_test(damage, test_large_sound_tree);
    tcase_add_test(damage, test_snapshots);
    tcase_add_test(sets, test_ino_set);
    suite_add_tcase(suite, damage);
    suite_add_tcase(suite, sets);
    return run_suite(suite);
}
