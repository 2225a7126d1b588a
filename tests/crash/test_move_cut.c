// Stores that are moved into a simulated cluster and out of it: each operation that writes to the
// cluster in turn fails, is done without an answer, or is the last one before the process dies.
// Commands run as lsmfsctl runs them.
//
// A restored store is there, whole, or it is not there; after a death there may be one that cannot
// be opened, only removed. The same holds for a received one. Changes are received or they are not:
// the store shows what it did before, or what it is to show. The next try succeeds.
#include <errno.h>
#include <limits.h>
#include <unistd.h>

#include "command_util.h"
#include "disk/fake_cluster.h"

#define STORE "rados:pool/store"

// ------------------------------------------------------------------------------- the cluster

static struct fake_cluster *cluster;
static struct fake_process *process; // the one that runs

// The linker puts this in the real one's place.
int __wrap_cluster_open_librados(void *arg, const char *pool, const char *name,
                                 struct cluster **ret_cluster, const char **ret_text);
int __wrap_cluster_open_librados(void *arg, const char *pool, const char *name,
                                 struct cluster **ret_cluster, const char **ret_text)
{
    (void)arg;
    return fake_process_open(process, pool, name, ret_cluster, ret_text);
}

static void next_process(void)
{
    fake_process_free(process);
    process = fake_process_new(cluster);
}

static void new_cluster(void)
{
    cluster = fake_cluster_new(1);
    process = fake_process_new(cluster);
}

static void free_cluster(void)
{
    fake_process_free(process);
    fake_cluster_free(cluster);
}

enum fate { FATE_FAILS, FATE_NO_ANSWER, FATE_DEATH, FATES };

static void set_fate(enum fate fate, uint64_t at)
{
    if (fate == FATE_DEATH)
        fake_process_kill_at(process, at);
    else
        fake_process_fail_at(process, at, -ETIMEDOUT, fate == FATE_NO_ANSWER);
}

// ------------------------------------------------------------------------------- places

static char work[PATH_MAX];
static struct buf old_scan, new_scan; // of the store as of its snapshots
static struct buf whole, changes;     // streams

static void set_up(void)
{
    const char *directory = getenv("TMPDIR");
    snprintf(work, sizeof work, "%s/lsmfs-move.XXXXXX", directory ? directory : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(work));
    ck_assert_int_eq(chdir(work), 0);
    put("db", "/small", 100, 1);
    put("db", "/large", 300000, 2);
    must_run("snapshot create", "db", "first");
    old_scan = output_of("scan", "db", NULL);
    whole = output_of("send", "db", "first");
    put("db", "/large", 200000, 3);
    put("db", "/other", 100000, 4);
    must_run("rm", "db", "/small");
    must_run("snapshot create", "db", "second");
    new_scan = output_of("scan", "db", NULL);
    ck_assert_int_eq(run_with((struct slice){0}, &changes, NULL, "send", "db", "second", "first"),
                     EXIT_OK);
    must_run("backup", "db", "t");
}

static void tear_down(void)
{
    char command[PATH_MAX + 16];
    buf_release(&old_scan);
    buf_release(&new_scan);
    buf_release(&whole);
    buf_release(&changes);
    ck_assert_int_eq(chdir("/"), 0);
    snprintf(command, sizeof command, "rm -rf '%s'", work);
    ck_assert_int_eq(system(command), 0);
}

// What the store shows; false: it does not open.
static bool scan_store(struct buf *ret_scan)
{
    struct buf said;
    bool done = run_with((struct slice){0}, ret_scan, &said, "scan", STORE, NULL, NULL) == EXIT_OK;
    bool no_store = strstr((char *)said.data, "does not exist") ||
                    strstr((char *)said.data, "empty, not a store") ||
                    strstr((char *)said.data, "lsmfsctl destroy");
    ck_assert_msg(done || no_store, "%s", (char *)said.data);
    buf_release(&said);
    return done;
}

static void expect_store(const struct buf *wanted, uint64_t at)
{
    struct buf scan = {0};
    ck_assert_msg(scan_store(&scan) && same_bytes(&scan, wanted), "another store, at %lu",
                  (unsigned long)at);
    buf_release(&scan);
    must_run("check", STORE, NULL);
}

// ------------------------------------------------------------------------------- a new store

static enum exit_status make_restored(void)
{
    return run("restore", "t", STORE);
}

static enum exit_status make_received(void)
{
    return receive(&whole, STORE);
}

// After a try: all or nothing, and the next one makes all.
static void expect_all_or_nothing(enum exit_status (*make)(void), const struct buf *wanted,
                                  enum exit_status status, enum fate fate, uint64_t at)
{
    struct buf scan = {0};
    if (scan_store(&scan)) {
        ck_assert_msg(same_bytes(&scan, wanted), "half of it, at %lu", (unsigned long)at);
        buf_release(&scan);
        expect_store(wanted, at);
        return;
    }
    buf_release(&scan);
    ck_assert_int_ne(status, EXIT_OK);
    status = make();
    if (status != EXIT_OK && fate == FATE_DEATH) {
        must_run("destroy", STORE, NULL);
        status = make();
    }
    ck_assert_msg(status == EXIT_OK, "not made again, fate %d at %lu", (int)fate,
                  (unsigned long)at);
    expect_store(wanted, at);
}

static void cut_new_store(enum exit_status (*make)(void), const struct buf *wanted, enum fate fate)
{
    bool is_done = false;
    for (uint64_t at = 1; !is_done; at++) {
        new_cluster();
        set_fate(fate, at);
        enum exit_status status = make();
        is_done = fake_process_writes(process) < at;
        ck_assert(!is_done || status == EXIT_OK);
        next_process();
        expect_all_or_nothing(make, wanted, status, fate, at);
        ck_assert_int_eq(make(), EXIT_FAILED); // it is there
        must_run("destroy", STORE, NULL);
        ck_assert_uint_eq(fake_cluster_objects(cluster), 0);
        free_cluster();
    }
}

START_TEST(test_restore)
{
    cut_new_store(make_restored, &new_scan, (enum fate)_i);
}
END_TEST

START_TEST(test_receive)
{
    cut_new_store(make_received, &old_scan, (enum fate)_i);
}
END_TEST

// ------------------------------------------------------------------------------- changes

static void expect_old_or_new(enum exit_status status, uint64_t at)
{
    struct buf scan = {0};
    ck_assert_msg(scan_store(&scan), "gone, at %lu", (unsigned long)at);
    bool is_new = same_bytes(&scan, &new_scan);
    ck_assert_msg(is_new || same_bytes(&scan, &old_scan), "half of it, at %lu", (unsigned long)at);
    ck_assert(is_new || status != EXIT_OK);
    buf_release(&scan);
    struct buf names = output_of("snapshot list", STORE, NULL);
    must_append(&names, "", 1);
    ck_assert_int_eq(strstr((char *)names.data, "second") != NULL, is_new);
    buf_release(&names);
    must_run("check", STORE, NULL);
    ck_assert_int_eq(receive(&changes, STORE), is_new ? EXIT_FAILED : EXIT_OK);
    expect_store(&new_scan, at);
}

START_TEST(test_changes)
{
    bool is_done = false;
    for (uint64_t at = 1; !is_done; at++) {
        new_cluster();
        ck_assert_int_eq(make_received(), EXIT_OK);
        next_process();
        set_fate((enum fate)_i, at);
        enum exit_status status = receive(&changes, STORE);
        is_done = fake_process_writes(process) < at;
        ck_assert(!is_done || status == EXIT_OK);
        next_process();
        expect_old_or_new(status, at);
        free_cluster();
    }
}
END_TEST

// A stream of changes that is cut off anywhere changes nothing, nor does one of changes that the
// store has.
START_TEST(test_cut_off)
{
    new_cluster();
    ck_assert_int_eq(make_received(), EXIT_OK);
    for (size_t size = 0; size < changes.size; size += changes.size / 23 + 1) {
        const struct buf part = {.data = changes.data, .size = size};
        ck_assert_int_eq(receive(&part, STORE), EXIT_FAILED);
        expect_store(&old_scan, size);
    }
    ck_assert_int_eq(receive(&changes, STORE), EXIT_OK);
    ck_assert_int_eq(receive(&changes, STORE), EXIT_FAILED);
    expect_store(&new_scan, 0);
    struct buf again;
    ck_assert_int_eq(run_with((struct slice){0}, &again, NULL, "send", STORE, "second", "first"),
                     EXIT_OK);
    ck_assert(same_bytes(&again, &changes));
    buf_release(&again);
    free_cluster();
}
END_TEST

// ------------------------------------------------------------------------------- and out of it

// A backup of a store in the cluster is whole, whatever became of the one before.
START_TEST(test_backup)
{
    bool is_done = false;
    for (uint64_t at = 1; !is_done; at++) {
        new_cluster();
        ck_assert_int_eq(make_restored(), EXIT_OK);
        next_process();
        set_fate((enum fate)_i, at);
        enum exit_status status = run("backup", STORE, "out");
        is_done = fake_process_writes(process) < at;
        ck_assert(!is_done || status == EXIT_OK);
        next_process();
        must_run("backup", STORE, "out");
        must_run("backup verify", "out", NULL);
        must_run("restore", "out", "back");
        struct buf scan = output_of("scan", "back", NULL);
        ck_assert(same_bytes(&scan, &new_scan));
        buf_release(&scan);
        ck_assert_int_eq(system("rm -rf out back"), 0);
        free_cluster();
    }
}
END_TEST

START_TEST(test_full_pool)
{
    new_cluster();
    fake_cluster_fill(cluster, true);
    for (unsigned i = 0; i < 2; i++) {
        ck_assert_int_eq(i ? make_received() : make_restored(), EXIT_FAILED);
        ck_assert_uint_eq(fake_cluster_objects(cluster), 0);
    }
    fake_cluster_fill(cluster, false);
    ck_assert_int_eq(make_received(), EXIT_OK);
    fake_cluster_fill(cluster, true);
    ck_assert_int_eq(receive(&changes, STORE), EXIT_FAILED);
    expect_store(&old_scan, 0);
    fake_cluster_fill(cluster, false);
    ck_assert_int_eq(receive(&changes, STORE), EXIT_OK);
    expect_store(&new_scan, 0);
    free_cluster();
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("move_cut");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_loop_test(tc, test_restore, 0, FATES);
    tcase_add_loop_test(tc, test_receive, 0, FATES);
    tcase_add_loop_test(tc, test_changes, 0, FATES);
    tcase_add_test(tc, test_cut_off);
    tcase_add_loop_test(tc, test_backup, 0, FATES);
    tcase_add_test(tc, test_full_pool);
    return run_case("move_cut", tc, 300);
}
