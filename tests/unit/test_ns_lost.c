// What buffered writes have lost (lost.h): reads of it fail, and nothing that is done with the file
// afterwards turns it into zeros. Cases, and random histories beside a model of each byte.
//   LSM_SEED=n LSM_HISTORIES=1 test_ns_lost    one history again
#include <fcntl.h>
#include <linux/falloc.h>
#include <unistd.h>

#include "ns_util.h"
#include "version_util.h"

#define KEEP  FALLOC_FL_KEEP_SIZE
#define PUNCH (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)

static struct env *env;
static struct ns *ns;
static struct ns_inode *file, *other;
static unsigned inline_max;

static void open_files(void)
{
    struct ns_options options = ns_small_options(env);
    options.inline_max = inline_max;
    int status = ns_open("/fs", &options, &ns);
    ck_assert_msg(status == 0, "ns_open: %d %s", status, lsm_error_detail());
    if (!ns_test_exists(ns, "/f")) {
        ck_assert_int_eq(ns_test_create(ns, "/f"), 0);
        ck_assert_int_eq(ns_test_create(ns, "/g"), 0);
    }
    file = ns_test_get(ns, "/f");
    other = ns_test_get(ns, "/g");
}

static void close_files(void)
{
    ns_inode_put(ns, file, 1);
    ns_inode_put(ns, other, 1);
    ns_expect_clean(ns, "at the end");
    ck_assert_int_eq(ns_close(ns), 0);
}

static void reopen(void)
{
    close_files();
    open_files();
}

static void setup(void)
{
    inline_max = 2048;
    env = env_fault_new();
    open_files();
}

static void teardown(void)
{
    close_files();
    env_fault_free(env);
}

// The kernel forgets the inodes.
static void forget(void)
{
    ns_inode_put(ns, file, 1);
    ns_inode_put(ns, other, 1);
    file = ns_test_get(ns, "/f");
    other = ns_test_get(ns, "/g");
}

static uint64_t size_of(struct ns_inode *inode)
{
    struct ns_attr attr;
    ck_assert_int_eq(ns_getattr(ns, inode, &attr), 0);
    return attr.size;
}

static void write_at(struct ns_inode *inode, uint64_t offset, size_t size, int byte)
{
    char *bytes = malloc(size);
    memset(bytes, byte, size);
    ck_assert_int_eq(ns_write(ns, inode, bytes, size, offset, 0, NULL), (ssize_t)size);
    free(bytes);
}

static int truncate_to(struct ns_inode *inode, uint64_t size)
{
    struct ns_attr attr = {.size = size};
    return ns_setattr(ns, inode, &attr, NS_SET_SIZE, NULL);
}

// The byte there; -1 at the end, or a negative errno.
static int byte_at(struct ns_inode *inode, uint64_t offset)
{
    uint8_t byte;
    ssize_t n = ns_read(ns, inode, &byte, 1, offset);
    return n == 1 ? byte : n == 0 ? -1 : (int)n;
}

static ssize_t read_of(struct ns_inode *inode, uint64_t offset, size_t size)
{
    static char bytes[1 << 20];
    return ns_read(ns, inode, bytes, size, offset);
}

// ------------------------------------------------------------------------------- cases

START_TEST(test_beyond_the_end)
{
    write_at(file, 0, 10000, 'a');
    ck_assert_int_eq(ns_lose(ns, file, 10000, 5000), 0);
    ck_assert_uint_eq(size_of(file), 10000);
    ck_assert_int_eq(byte_at(file, 9999), 'a');
    ck_assert_int_eq(byte_at(file, 10000), -EIO);
    ck_assert_int_eq(byte_at(file, 14999), -EIO);
    ck_assert_int_eq(byte_at(file, 15000), -1);
    ck_assert_int_eq(read_of(file, 0, 10000), 10000);
    ck_assert_int_eq(read_of(file, 0, 10001), -EIO);
    forget(); // nobody believes any more that it is longer
    ck_assert_int_eq(byte_at(file, 10000), -1);
    ck_assert_int_eq(read_of(file, 0, 20000), 10000);
}
END_TEST

// A short file too, which is inline.
START_TEST(test_of_an_empty_file)
{
    ck_assert_int_eq(ns_lose(ns, file, 0, 100), 0);
    ck_assert_int_eq(byte_at(file, 0), -EIO);
    write_at(file, 100, 10, 'b');
    ck_assert_uint_eq(size_of(file), 110);
    ck_assert_int_eq(byte_at(file, 99), -EIO);
    ck_assert_int_eq(byte_at(file, 100), 'b');
    reopen();
    ck_assert_int_eq(byte_at(file, 0), -EIO);
    ck_assert_int_eq(byte_at(file, 100), 'b');
    write_at(file, 0, 100, 'c');
    ck_assert_int_eq(read_of(file, 0, 200), 110);
    ck_assert_int_eq(ns_lose(ns, other, 0, 10), 0);
    ck_assert_int_eq(truncate_to(other, 5), 0);
    ck_assert_int_eq(byte_at(other, 4), -EIO);
    ck_assert_int_eq(byte_at(other, 5), -1);
}
END_TEST

// Whatever makes the file longer keeps it lost; what was overwritten is as it was.
START_TEST(test_growing)
{
    write_at(file, 0, 10000, 'a');
    for (unsigned how = 0; how < 5; how++) {
        ck_assert_int_eq(truncate_to(file, 10000), 0);
        ck_assert_int_eq(ns_lose(ns, file, 9000, 3000), 0);
        if (how == 0)
            write_at(file, 20000, 100, 'b');
        else if (how == 1)
            ck_assert_int_eq(truncate_to(file, 20000), 0);
        else if (how == 2)
            ck_assert_int_eq(ns_test_fallocate(ns, file, 0, 19000, 1000), 0);
        else if (how == 3)
            ck_assert_int_eq(ns_test_fallocate(ns, file, FALLOC_FL_ZERO_RANGE, 15000, 5000), 0);
        else {
            write_at(other, 0, 5000, 'o');
            ck_assert_int_eq(ns_test_copy_range(ns, other, 0, file, 20000, 5000), 5000);
        }
        for (unsigned round = 0; round < 2; round++, reopen()) {
            ck_assert_int_eq(byte_at(file, 9999), 'a');
            ck_assert_int_eq(byte_at(file, 10000), -EIO);
            ck_assert_int_eq(byte_at(file, 11999), -EIO);
            ck_assert_int_eq(byte_at(file, 12000), 0);
            ck_assert_int_eq(read_of(file, 12000, 8000), 8000);
        }
    }
}
END_TEST

START_TEST(test_what_ends_it)
{
    for (unsigned how = 0; how < 6; how++) {
        ck_assert_int_eq(truncate_to(file, 0), 0);
        write_at(file, 50000, 1000, 'a');
        ck_assert_int_eq(ns_lose(ns, file, 10000, 10000), 0);
        ck_assert_int_eq(byte_at(file, 10000), -EIO);
        if (how == 0) // in the middle of it
            write_at(file, 12000, 1000, 'b');
        else if (how == 1)
            ck_assert_int_eq(ns_test_fallocate(ns, file, PUNCH, 12000, 1000), 0);
        else if (how == 2)
            ck_assert_int_eq(ns_test_fallocate(ns, file, FALLOC_FL_ZERO_RANGE, 12000, 1000), 0);
        else if (how == 3) {
            write_at(other, 0, 5000, 'b');
            ck_assert_int_eq(ns_test_copy_range(ns, other, 0, file, 12000, 1000), 1000);
        } else if (how == 4)
            ck_assert_int_eq(truncate_to(file, 12000), 0);
        else // promised, and lost all the same
            ck_assert_int_eq(ns_test_fallocate(ns, file, KEEP, 8192, 16384), 0);
        reopen();
        ck_assert_int_eq(byte_at(file, 9999), 0);
        ck_assert_int_eq(byte_at(file, 11999), -EIO);
        ck_assert_int_eq(byte_at(file, 12000), how == 1 || how == 2 ? 0
                                               : how == 4           ? -1
                                               : how == 5           ? -EIO
                                                                    : 'b');
        ck_assert_int_eq(byte_at(file, 13000), how == 4 ? -1 : -EIO);
        ck_assert_int_eq(byte_at(file, 20000), how == 4 ? -1 : 0);
    }
}
END_TEST

// Nobody copies a hole instead, neither by SEEK_DATA nor by copy_file_range.
START_TEST(test_copying)
{
    write_at(file, 0, 1000, 'a');
    write_at(file, 50000, 1000, 'a');
    ck_assert_int_eq(ns_lose(ns, file, 10000, 10000), 0);
    ck_assert_int_eq(ns_lose(ns, file, 51000, 1000), 0);
    ck_assert_int_eq(ns_seek(ns, file, 5000, SEEK_DATA), 10000);
    ck_assert_int_eq(ns_seek(ns, file, 10000, SEEK_HOLE), 20000);
    ck_assert_int_eq(ns_seek(ns, file, 0, SEEK_HOLE), 1000);
    ck_assert_int_eq(ns_seek(ns, file, 20000, SEEK_DATA), 50000);
    ck_assert_int_eq(ns_seek(ns, file, 50500, SEEK_HOLE), 52000);
    ck_assert_int_eq(ns_seek(ns, file, 51500, SEEK_DATA), 51500);
    ck_assert_int_eq(ns_seek(ns, file, 52000, SEEK_DATA), -ENXIO);
    ck_assert_int_eq(ns_test_copy_range(ns, file, 0, other, 0, 60000), 10000);
    ck_assert_int_eq(ns_test_copy_range(ns, file, 10000, other, 10000, 50000), -EIO);
    ck_assert_int_eq(ns_test_copy_range(ns, file, 20000, other, 20000, 60000), 31000);
    ck_assert_int_eq(ns_test_copy_range(ns, file, 51000, other, 51000, 60000), -EIO);
    ck_assert_int_eq(byte_at(other, 50999), 'a');
}
END_TEST

START_TEST(test_very_many)
{
    write_at(file, 3000 * 10000, 1, 'z');
    for (uint64_t i = 0; i < 3000; i++)
        ck_assert_int_eq(ns_lose(ns, file, i * 10000, 5000), 0);
    ck_assert_int_eq(ns_test_fallocate(ns, file, PUNCH, 0, 1500 * 10000), 0);
    ck_assert_int_eq(byte_at(file, 1499 * 10000), 0);
    ck_assert_int_eq(byte_at(file, 1500 * 10000), -EIO);
    ck_assert_int_eq(truncate_to(file, 2800 * 10000), 0);
    ck_assert_int_eq(byte_at(file, 2799 * 10000), -EIO);
    ck_assert_int_eq(truncate_to(file, 100), 0);
    ck_assert_int_eq(byte_at(file, 99), 0);
    for (uint64_t i = 0; i < 3000; i++)
        ck_assert_int_eq(ns_lose(ns, file, 100 + i * 10, 10), 0);
    ck_assert_int_eq(truncate_to(file, 30000), 0);
    ck_assert_int_eq(read_of(file, 100, 29900), -EIO);
    ck_assert_int_eq(ns_test_unlink(ns, "/f"), 0); // as an orphan
    ck_assert_int_eq(ns_test_create(ns, "/f"), 0);
}
END_TEST

// Late writes beyond what has just been lost are not stored behind it; others are.
START_TEST(test_what_comes_just_after)
{
    write_at(file, 0, 10000, 'a');
    ck_assert_int_eq(ns_lose(ns, file, 10000, 5000), 0);
    ck_assert_int_eq(ns_write(ns, file, "late", 4, 15000, NS_WRITE_LATE, NULL), -ENOSPC);
    ck_assert_int_eq(ns_write(ns, file, "late", 4, 5000, NS_WRITE_LATE, NULL), 4);
    ck_assert_int_eq(ns_write(ns, file, "late", 4, 10000, NS_WRITE_LATE, NULL), 4);
    ck_assert_int_eq(ns_write(ns, file, "now", 3, 15000, 0, NULL), 3);
    ck_assert(ns_loss_to_tell(file));
    ck_assert(!ns_loss_to_tell(file));
    ck_assert(!ns_loss_to_tell(other));
}
END_TEST

// On a full disk, where it happens, it is stored with the reserve.
START_TEST(test_full_disk)
{
    static uint64_t noise[2500]; // 20,000 bytes that do not compress
    uint64_t seed = 1;
    char path[32];
    for (size_t i = 0; i < sizeof noise / sizeof *noise; i++)
        noise[i] = random_next(&seed);
    write_at(file, 1000000, 100, 'a');
    env_fault_limit(env, 16 << 20);
    ssize_t n = 0;
    for (unsigned i = 0; i < 3000 && n >= 0; i++) {
        snprintf(path, sizeof path, "/full%u", i);
        n = ns_test_create(ns, path);
        struct ns_inode *inode = n ? NULL : ns_test_get(ns, path);
        if (inode) {
            n = ns_write(ns, inode, noise, sizeof noise, 0, 0, NULL);
            ns_inode_put(ns, inode, 1);
        }
    }
    ck_assert_int_eq(n, -ENOSPC);
    ck_assert_int_eq(ns_lose(ns, file, 5000, 10000), 0);
    reopen();
    ck_assert_int_eq(byte_at(file, 5000), -EIO);
    ck_assert_int_eq(byte_at(file, 4999), 0);
    env_fault_limit(env, 0);
}
END_TEST

// A store that takes nothing any more: it is known as long as the inode lives.
START_TEST(test_broken_store)
{
    write_at(file, 0, 1000, 'a');
    write_at(file, 100000, 1000, 'a');
    ck_assert_int_eq(ns_test_fsync(ns, file), 0);
    env_fault_fail_at(env, 1, LSM_IO_ERROR, true);
    write_at(other, 0, 1, 'b');
    ck_assert_int_lt(ns_test_fsync(ns, other), 0);
    ck_assert_int_lt(ns_write(ns, file, "lost", 4, 50000, NS_WRITE_LATE, NULL), 0);
    ck_assert_int_eq(ns_lose(ns, file, 50000, 4), 0);
    ck_assert_int_eq(byte_at(file, 50000), -EIO);
    ck_assert_int_eq(byte_at(file, 50003), -EIO);
    ck_assert_int_eq(ns_seek(ns, file, 1000, SEEK_DATA), 50000);
    ck_assert_int_eq(byte_at(file, 50004), 0);
    ck_assert_int_eq(byte_at(file, 100), 'a');
    env_fault_fail_at(env, 0, 0, false);
    ns_inode_put(ns, file, 1);
    ns_inode_put(ns, other, 1);
    (void)!ns_close(ns);
    open_files();
}
END_TEST

// ------------------------------------------------------------------------------- histories

#define SIZE_MOST 60000u

#define SANITIZED_MOST 5

enum kind { HOLE, DATA, LOST };

struct model {
    uint8_t kind[2 * SIZE_MOST], byte[2 * SIZE_MOST];
    size_t size;
    size_t from, to; // noted beyond the end
};
static struct model models[2];
static uint64_t rnd;

static struct ns_inode *inode_of(unsigned i)
{
    return i ? other : file;
}

static void model_set(struct model *m, size_t from, size_t to, enum kind kind, int byte)
{
    for (size_t i = from; i < to; i++) {
        m->kind[i] = (uint8_t)kind;
        m->byte[i] = (uint8_t)byte;
    }
}

static void model_grow(struct model *m, size_t size)
{
    for (size_t i = m->size; i < size; i++)
        model_set(m, i, i + 1, i >= m->from && i < m->to ? LOST : HOLE, 0);
    if (size > m->size)
        m->size = size;
    if (m->from < m->size)
        m->from = m->size;
}

static void model_note(struct model *m, size_t from, size_t to)
{
    from = from > m->size ? from : m->size;
    if (from >= to)
        return;
    if (m->from >= m->to)
        m->from = from, m->to = to;
    m->from = from < m->from ? from : m->from;
    m->to = to > m->to ? to : m->to;
}

static bool model_lost(const struct model *m, size_t at)
{
    return at < m->size ? m->kind[at] == LOST : at >= m->from && at < m->to;
}

static void step_write(unsigned i, size_t offset, size_t size)
{
    struct model *m = &models[i];
    int byte = 1 + (int)random_below(&rnd, 250);
    write_at(inode_of(i), offset, size, byte);
    model_grow(m, offset);
    size_t end = offset + size;
    if (end > m->size)
        m->size = end;
    if (m->from < m->size)
        m->from = m->size;
    model_set(m, offset, end, DATA, byte);
}

static void step_lose(unsigned i, size_t offset, size_t size)
{
    struct model *m = &models[i];
    ck_assert_int_eq(ns_lose(ns, inode_of(i), offset, size), 0);
    for (size_t at = offset; at < offset + size && at < m->size; at++)
        if (m->kind[at] == HOLE)
            m->kind[at] = LOST;
    model_note(m, offset, offset + size);
}

static void step_truncate(unsigned i, size_t size)
{
    struct model *m = &models[i];
    ck_assert_int_eq(truncate_to(inode_of(i), size), 0);
    model_grow(m, size);
    m->size = size;
    m->from = m->to = 0;
}

static void step_fallocate(unsigned i, size_t offset, size_t size)
{
    static const int modes[] = {0, KEEP, PUNCH, FALLOC_FL_ZERO_RANGE, FALLOC_FL_ZERO_RANGE | KEEP};
    struct model *m = &models[i];
    int mode = modes[random_below(&rnd, 5)];
    size_t end = offset + size;
    ck_assert_int_eq(ns_test_fallocate(ns, inode_of(i), mode, offset, size), 0);
    if (mode & FALLOC_FL_ZERO_RANGE && !(mode & KEEP) && end > m->size) {
        model_grow(m, offset);
        model_set(m, m->size, end, HOLE, 0);
        m->size = end;
        m->from = m->from > end ? m->from : end;
    } else if (mode == 0) {
        model_grow(m, end);
    }
    if (mode & (FALLOC_FL_ZERO_RANGE | FALLOC_FL_PUNCH_HOLE))
        model_set(m, offset, end < m->size ? end : m->size, HOLE, 0);
}

static void step_copy(unsigned i, unsigned k, size_t offset, size_t size)
{
    struct model *from = &models[i], *to = &models[k];
    size_t target = random_below(&rnd, SIZE_MOST - size);
    ssize_t n = 0, want = 0;
    size_t left = from->size > offset ? from->size - offset : 0;
    left = left < size ? left : size;
    while ((size_t)want < left && !model_lost(from, offset + (size_t)want))
        want++;
    if (i == k && offset < target + left && target < offset + left)
        return;
    if (!want && model_lost(from, offset))
        want = -EIO;
    n = ns_test_copy_range(ns, inode_of(i), offset, inode_of(k), target, size);
    ck_assert_msg(n == want, "copied %zd of %zu at %zu, not %zd", n, size, offset, want);
    if (n <= 0)
        return;
    model_grow(to, target);
    memmove(to->kind + target, from->kind + offset, (size_t)n);
    memmove(to->byte + target, from->byte + offset, (size_t)n);
    if (target + (size_t)n > to->size)
        to->size = target + (size_t)n;
    if (to->from < to->size)
        to->from = to->size;
}

static void verify_read(unsigned i, size_t offset, size_t size)
{
    static uint8_t got[2 * SIZE_MOST];
    const struct model *m = &models[i];
    ssize_t want = 0;
    for (size_t at = offset; at < offset + size && want >= 0; at++)
        want = model_lost(m, at) ? -EIO : want + (at < m->size);
    ssize_t n = ns_read(ns, inode_of(i), got, size, offset);
    ck_assert_msg(n == want, "read %zd of %zu at %zu, not %zd", n, size, offset, want);
    for (ssize_t b = 0; b < n; b++)
        ck_assert_msg(got[b] == m->byte[offset + (size_t)b], "byte %zu", offset + (size_t)b);
}

static void verify_seek(unsigned i, size_t offset)
{
    const struct model *m = &models[i];
    size_t end = m->to > m->from && m->to > m->size ? m->to : m->size, data = offset, hole = offset;
    while (data < end && !(data < m->size ? m->kind[data] != HOLE : model_lost(m, data)))
        data++;
    while (hole < end && (hole < m->size ? m->kind[hole] != HOLE : model_lost(m, hole)))
        hole++;
    int64_t got = ns_seek(ns, inode_of(i), offset, SEEK_DATA);
    ck_assert_msg(got == (data < end ? (int64_t)data : -ENXIO), "data at %lld, not %zu of %zu",
                  (long long)got, data, end);
    got = ns_seek(ns, inode_of(i), offset, SEEK_HOLE);
    ck_assert_msg(got == (offset < end ? (int64_t)hole : -ENXIO), "hole at %lld, not %zu of %zu",
                  (long long)got, hole, end);
}

static void history(void)
{
    memset(models, 0, sizeof models);
    for (unsigned step = 0; step < 120; step++) {
        unsigned i = random_below(&rnd, 2);
        size_t offset = random_below(&rnd, SIZE_MOST);
        size_t size = 1 + random_below(&rnd, !random_below(&rnd, 4) ? 20000 : 3000);
        if (offset + size > SIZE_MOST)
            size = SIZE_MOST - offset;
        switch ((int)random_below(&rnd, 8)) {
        case 0:
        case 1:
            step_write(i, offset, size);
            break;
        case 2:
        case 3:
            step_lose(i, offset, size);
            break;
        case 4:
            step_truncate(i, offset);
            break;
        case 5:
            step_fallocate(i, offset, size);
            break;
        case 6:
            step_copy(i, random_below(&rnd, 2), offset, size);
            break;
        default:
            if (!random_below(&rnd, 2))
                forget();
            else
                reopen();
            models[0].from = models[0].to = models[1].from = models[1].to = 0;
        }
        for (unsigned k = 0; k < 2; k++) {
            ck_assert_uint_eq(size_of(inode_of(k)), models[k].size);
            for (unsigned r = 0; r < 4; r++)
                verify_read(k, random_below(&rnd, SIZE_MOST), 1 + random_below(&rnd, 10000));
            verify_seek(k, random_below(&rnd, SIZE_MOST));
        }
    }
}

START_TEST(test_histories)
{
    unsigned count = (unsigned)from_env("LSM_HISTORIES", 100);
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
    count = count < SANITIZED_MOST ? count : SANITIZED_MOST; // each takes a hundred times as long
#endif
    uint64_t seed = test_seed("test_histories", (uint64_t)time(NULL) * 1000);
    for (unsigned i = 0; i < count; i++, seed++) {
        rnd = seed;
        close_files();
        inline_max = 0; // so that each byte has one place
        open_files();
        ck_assert_int_eq(truncate_to(file, 0), 0);
        ck_assert_int_eq(truncate_to(other, 0), 0);
        history();
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ns_lost");
    TCase *tc = tcase_create("lost");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, test_beyond_the_end);
    tcase_add_test(tc, test_of_an_empty_file);
    tcase_add_test(tc, test_growing);
    tcase_add_test(tc, test_what_ends_it);
    tcase_add_test(tc, test_copying);
    tcase_add_test(tc, test_very_many);
    tcase_add_test(tc, test_what_comes_just_after);
    tcase_add_test(tc, test_full_disk);
    tcase_add_test(tc, test_broken_store);
    tcase_add_test(tc, test_histories);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
