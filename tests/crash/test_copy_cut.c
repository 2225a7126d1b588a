// Power cuts of the disk that a backup is made on, and of the one with the store that receives a
// stream: at each call that changes or syncs something with nothing that was not synced, at each
// third one with a random part of it. Commands run as lsmfsctl runs them.
//
// Earlier generations are whole, a generation that was acknowledged is there, verify finds nothing,
// and the next backup works. A receive was made whole or not at all, and the next one works.
#include "quick_check.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "command_util.h"
#include "disk/real_disk.h"

// ------------------------------------------------------------------------------- places

static char work[PATH_MAX];
static char disk[PATH_MAX + 8]; // the directory whose power is cut

static void shell(const char *command)
{
    ck_assert_int_eq(system(command), 0);
}

static void set_up(void)
{
    const char *directory = getenv("TMPDIR");
    char *made = NULL;
    ck_assert_int_gt(asprintf(&made, "%s/lsmfs-cut.XXXXXX", directory ? directory : "/tmp"), 0);
    ck_assert_ptr_nonnull(mkdtemp(made));
    ck_assert_ptr_nonnull(realpath(made, work));
    free(made);
    ck_assert_int_eq(chdir(work), 0);
    snprintf(disk, sizeof disk, "%s/disk", work);
    shell("mkdir disk base old");
}

static void tear_down(void)
{
    shell("rm -rf disk base old db");
    ck_assert_int_eq(chdir("/"), 0);
    ck_assert_int_eq(rmdir(work), 0);
}

// The disk is what directory `base` has.
static void reset_disk(const char *base)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf disk && cp -a %s disk", base);
    shell(command);
    real_disk_begin(disk);
}

static void same(const struct buf *a, const struct buf *b, const char *what, uint64_t at)
{
    ck_assert_msg(a->size == b->size && memcmp(a->data, b->data, a->size) == 0, "%s, cut at %lu",
                  what, (unsigned long)at);
}

// ------------------------------------------------------------------------------- backup

static bool has_generation(unsigned number)
{
    struct stat st;
    char path[64];
    snprintf(path, sizeof path, "disk/t/generations/%06u", number);
    return stat(path, &st) == 0;
}

// That the generation is the store that `scan` shows.
static void check_restored(unsigned number, const struct buf *scan, uint64_t at)
{
    char target[32];
    snprintf(target, sizeof target, "disk/t@%u", number);
    must_run("restore", target, "restored");
    struct buf restored = output_of("scan", "restored", NULL);
    same(&restored, scan, target, at);
    buf_release(&restored);
    shell("rm -rf restored");
}

static void verify(const char *when, uint64_t at)
{
    struct buf output, said;
    enum exit_status status =
        run_with((struct slice){0}, &output, &said, "backup verify", "disk/t", NULL, NULL);
    must_append(&output, "", 1);
    ck_assert_msg(status == EXIT_OK, "verify %s, cut at %lu: %s%s", when, (unsigned long)at,
                  (const char *)output.data, (const char *)said.data);
    buf_release(&output);
    buf_release(&said);
}

// What is to be found after a cut, of which `scans` are the generations.
static void check_backup(const struct buf *scans, unsigned whole, unsigned newest, bool is_done,
                         uint64_t at)
{
    bool has_newest = has_generation(newest);
    ck_assert_msg(has_newest || !is_done, "acknowledged, and not there, cut at %lu",
                  (unsigned long)at);
    if (whole || has_newest) // else there may be no backup yet
        verify("after the cut", at);
    for (unsigned i = 1; i <= whole; i++)
        check_restored(i, &scans[i], at);
    if (has_newest)
        check_restored(newest, &scans[newest], at);
    must_run("backup", "db", "disk/t");
    verify("after the next backup", at);
    check_restored(newest + has_newest, &scans[newest], at);
}

// Backups of `db` on the disk of `base`, which has `whole` generations.
static void cut_backups(const char *base, const struct buf *scans, unsigned whole, uint64_t seed)
{
    bool is_done = false;
    for (uint64_t at = 1; !is_done; at += seed ? 3 : 1) {
        reset_disk(base);
        uint64_t before = real_disk_cut_at(at);
        enum exit_status status = run("backup", "db", "disk/t");
        uint64_t calls = real_disk_cut_at(0) - before;
        is_done = calls < at;
        ck_assert(is_done ? status == EXIT_OK : calls >= at);
        real_disk_power_cut(seed ? seed + at : 0);
        check_backup(scans, whole, whole + 1, status == EXIT_OK, at);
        real_disk_end();
    }
}

START_TEST(backups)
{
    struct buf scans[3] = {0};
    put("db", "/small", 100, 1);
    put("db", "/large", 300000, 2);
    scans[1] = output_of("scan", "db", NULL);
    cut_backups("base", scans, 0, 0);
    cut_backups("base", scans, 0, 1000);
    must_run("backup", "db", "base/t");
    put("db", "/large", 200000, 3);
    put("db", "/other", 200000, 4);
    scans[2] = output_of("scan", "db", NULL);
    cut_backups("base", scans, 1, 0);
    cut_backups("base", scans, 1, 2000);
    for (unsigned i = 0; i < 3; i++)
        buf_release(&scans[i]);
}
END_TEST

// Deleting the first of two generations: the second one is whole, the first is there or is not.
static void cut_deletion(const struct buf *scans, uint64_t seed)
{
    bool is_done = false;
    for (uint64_t at = 1; !is_done; at += seed ? 3 : 1) {
        reset_disk("base");
        uint64_t before = real_disk_cut_at(at);
        enum exit_status status = run("backup delete", "disk/t@1", NULL);
        is_done = real_disk_cut_at(0) - before < at;
        real_disk_power_cut(seed ? seed + at : 0);
        ck_assert(!has_generation(1) || status != EXIT_OK);
        verify("after the cut", at);
        check_restored(2, &scans[2], at);
        if (has_generation(1))
            check_restored(1, &scans[1], at);
        must_run("backup", "db", "disk/t");
        verify("after the next backup", at);
        check_restored(3, &scans[2], at);
        real_disk_end();
    }
}

START_TEST(deletions)
{
    struct buf scans[3] = {0};
    for (unsigned i = 1; i <= 2; i++) {
        put("db", "/large", 300000, i);
        scans[i] = output_of("scan", "db", NULL);
        must_run("backup", "db", "base/t");
    }
    cut_deletion(scans, 0);
    cut_deletion(scans, 3000);
    for (unsigned i = 0; i < 3; i++)
        buf_release(&scans[i]);
}
END_TEST

// ------------------------------------------------------------------------------- receive

// A receive of `stream`, by which the store of `base` (or none: `old` is NULL) becomes `new`.
static void cut_receive(const char *base, const struct buf *stream, const struct buf *old,
                        const struct buf *new, const char *snapshot, uint64_t seed)
{
    bool is_done = false;
    struct stat st;
    for (uint64_t at = 1; !is_done; at += seed ? 3 : 1) {
        reset_disk(base);
        uint64_t before = real_disk_cut_at(at);
        enum exit_status status = receive(stream, "disk/copy");
        is_done = real_disk_cut_at(0) - before < at;
        real_disk_power_cut(seed ? seed + at : 0);
        bool is_there = stat("disk/copy", &st) == 0, is_new = false;
        ck_assert_msg(is_there || (!old && status != EXIT_OK), "gone, cut at %lu",
                      (unsigned long)at);
        if (is_there) {
            must_run("check", "disk/copy", NULL);
            struct buf scan = output_of("scan", "disk/copy", NULL);
            is_new = same_bytes(&scan, new);
            ck_assert_msg(is_new || (old && same_bytes(&scan, old)), "half of it, cut at %lu",
                          (unsigned long)at);
            ck_assert(is_new || status != EXIT_OK);
            buf_release(&scan);
            struct buf names = output_of("snapshot list", "disk/copy", NULL);
            must_append(&names, "", 1);
            ck_assert_int_eq(strstr((char *)names.data, snapshot) != NULL, is_new);
            buf_release(&names);
        }
        struct buf said;
        status = run_with(buf_slice(stream), NULL, &said, "receive", "disk/copy", NULL, NULL);
        ck_assert_msg(status == (is_new ? EXIT_FAILED : EXIT_OK),
                      "received again: %d, cut at %lu: %s", (int)status, (unsigned long)at,
                      (const char *)said.data);
        buf_release(&said);
        struct buf scan = output_of("scan", "disk/copy", NULL);
        same(&scan, new, "received again", at);
        buf_release(&scan);
        real_disk_end();
    }
}

START_TEST(receives)
{
    put("db", "/small", 100, 1);
    put("db", "/large", 300000, 2);
    must_run("snapshot create", "db", "first");
    struct buf whole = output_of("send", "db", "first");
    put("db", "/large", 200000, 3);
    put("db", "/other", 100000, 4);
    must_run("rm", "db", "/small");
    must_run("snapshot create", "db", "second");
    struct buf changes;
    ck_assert_int_eq(run_with((struct slice){0}, &changes, NULL, "send", "db", "second", "first"),
                     EXIT_OK);
    ck_assert_int_eq(receive(&whole, "old/copy"), EXIT_OK);
    struct buf first = output_of("scan", "old/copy", NULL);
    shell("cp -a old new");
    ck_assert_int_eq(receive(&changes, "new/copy"), EXIT_OK);
    struct buf second = output_of("scan", "new/copy", NULL);
    shell("rm -rf new");
    cut_receive("base", &whole, NULL, &first, "first", 0);
    cut_receive("base", &whole, NULL, &first, "first", 4000);
    cut_receive("old", &changes, &first, &second, "second", 0);
    cut_receive("old", &changes, &first, &second, "second", 5000);
    buf_release(&whole);
    buf_release(&first);
    buf_release(&changes);
    buf_release(&second);
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("copy_cut");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, backups);
    tcase_add_test(tc, deletions);
    tcase_add_test(tc, receives);
    return run_case("copy_cut", tc, 300);
}
