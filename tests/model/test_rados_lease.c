// Programs that fight for one store in a simulated cluster: at most one writer's work counts.
//
// Each program takes the lease, reads the log that CURRENT names, writes a new one with the same
// records, puts it in CURRENT's place and appends records, each synced, like an engine does. It may
// sleep longer than its lease at any call, die at any write, or wait in vain for an answer. Writes
// arrive late, also those of the dead; some are done twice. In half of the histories nobody may be
// shut out of the cluster, so that only the epochs are left.
//
// What must be true: a record whose sync has succeeded is in what every later program reads, in its
// place; also if its writer hears of the success only after that program has read. Nobody reads
// what nobody wrote, nor a damaged record before a synced one.
//
// LSM_HISTORIES sets the number of histories, LSM_SEED the first one's seed.
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/status.h"
#include "disk/fake_cluster.h"
#include "disk/fake_schedule.h"
#include "env_rados/env_rados_impl.h"
#include "from_env.h"
#include "quick_check.h"

#define PATH         "rados:pool/store"
#define STRIPE       64
#define RECORD       24 // does not divide a stripe
#define PROGRAMS_MAX 3
#define ROUNDS       4
#define RECORDS_MAX  600
#define APPENDS      8
#define SHARES_MAX   8
#define SHARE_MIN    100 // histories that are worth a process

struct record {
    uint64_t number, writer;
};

struct history {
    uint64_t seed;
    struct fake_cluster *cluster;
    struct fake_schedule *schedule;                       // NULL: at the end
    struct record synced[RECORDS_MAX], read[RECORDS_MAX]; // read: by the latest that has read
    size_t synced_count, read_count;
    uint64_t reading; // its epoch
    uint64_t next_number;
    unsigned takeovers, losses;
};

struct program {
    struct history *history;
    struct fake_process *process;
    struct env *base;
    uint64_t epoch;
    struct record log[RECORDS_MAX];
    size_t count;
};

#define CHECK(h, condition, ...)                                                                   \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "seed %" PRIu64 ": %s: ", (h)->seed, #condition);                      \
            fprintf(stderr, __VA_ARGS__);                                                          \
            fprintf(stderr, " (%s)\n", lsm_error_detail());                                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static uint64_t draw(struct program *p, uint64_t below)
{
    return fake_random(p->history->cluster, below);
}

static void encode(const struct record *record, uint8_t bytes[RECORD])
{
    memcpy(bytes, record, 16);
    uint64_t check = hash64(bytes, 16);
    memcpy(bytes + 16, &check, 8);
}

static bool decode(const uint8_t *bytes, struct record *ret_record)
{
    uint64_t check;
    memcpy(&check, bytes + 16, 8);
    memcpy(ret_record, bytes, 16);
    return check == hash64(bytes, 16);
}

static bool has_record(const struct record *records, size_t count, const struct record *wanted)
{
    for (size_t i = 0; i < count; i++)
        if (records[i].number == wanted->number && records[i].writer == wanted->writer)
            return true;
    return false;
}

// What was read holds all records that were synced in earlier epochs, in the same order. Called
// after the program has changed a name: so nobody had taken its place when it read.
static void check_reading(struct program *p, size_t count)
{
    struct history *h = p->history;
    size_t at = 0;
    for (size_t i = 0; i < h->synced_count; i++) {
        if (h->synced[i].writer >= p->epoch)
            continue;
        while (at < count && p->log[at].number != h->synced[i].number)
            at++;
        CHECK(h, at < count, "epoch %" PRIu64 " does not find record %" PRIu64 " of epoch %" PRIu64,
              p->epoch, h->synced[i].number, h->synced[i].writer);
    }
    for (size_t i = 1; i < count; i++)
        CHECK(h, p->log[i - 1].number < p->log[i].number, "records out of order");
    if (p->epoch < h->reading)
        return;
    memcpy(h->read, p->log, count * sizeof *p->log);
    h->read_count = count;
    h->reading = p->epoch;
}

static int read_log(struct program *p, struct env *dir, const char *name)
{
    struct env_file *file;
    uint8_t bytes[RECORD];
    uint64_t size;
    p->count = 0;
    int rc = env_open(dir, name, ENV_READ, &file);
    if (rc)
        return rc;
    rc = file->ops->size(file, &size);
    for (uint64_t at = 0; !rc && at + RECORD <= size && p->count < RECORDS_MAX; at += RECORD) {
        size_t got = 0;
        rc = env_pread(file, bytes, RECORD, at, &got);
        if (rc || got != RECORD || !decode(bytes, &p->log[p->count]))
            break;
        p->count++;
    }
    (void)env_close(file);
    return rc;
}

static int write_log(struct program *p, struct env *dir, const char *name,
                     struct env_file **ret_file)
{
    uint8_t *bytes = malloc(p->count * RECORD + 1);
    struct env_file *file;
    for (size_t i = 0; i < p->count; i++)
        encode(&p->log[i], bytes + i * RECORD);
    int rc = env_open(dir, name, ENV_WRITE | ENV_CREATE | ENV_EXCL, &file);
    if (!rc) {
        if (p->count)
            rc = env_pwrite(file, bytes, p->count * RECORD, 0);
        if (!rc)
            rc = env_sync(file);
        if (rc)
            (void)env_close(file);
        else
            *ret_file = file;
    }
    free(bytes);
    return rc;
}

struct dropping {
    struct env *dir;
    const char *keep;
};

static int drop_name(void *arg, const char *name)
{
    const struct dropping *dropping = arg;
    if (strncmp(name, "log-", 4) == 0 && strcmp(name, dropping->keep) != 0)
        return dropping->dir->ops->unlink(dropping->dir, name);
    return 0;
}

static int drop_other_logs(struct env *dir, const char *name)
{
    struct dropping dropping = {dir, name};
    return dir->ops->list(dir, ENV_HERE, drop_name, &dropping);
}

// A record whose sync has succeeded. Whoever has read since must have found it.
static void note_synced(struct program *p, const struct record *record)
{
    struct history *h = p->history;
    CHECK(h, h->synced_count < RECORDS_MAX, "too many records");
    CHECK(h, h->reading <= p->epoch || has_record(h->read, h->read_count, record),
          "epoch %" PRIu64 " has read without record %" PRIu64 ", which epoch %" PRIu64
          " heard was synced",
          h->reading, record->number, p->epoch);
    size_t at = h->synced_count++;
    for (; at > 0 && h->synced[at - 1].number > record->number; at--)
        h->synced[at] = h->synced[at - 1];
    h->synced[at] = *record;
}

static int append(struct program *p, struct env *dir, struct env_file *file)
{
    struct history *h = p->history;
    int rc = 0;
    for (uint64_t i = draw(p, APPENDS); i && !rc && p->count < RECORDS_MAX; i--) {
        uint8_t bytes[RECORD];
        struct record record = {++h->next_number, p->epoch};
        encode(&record, bytes);
        rc = env_pwrite(file, bytes, RECORD, p->count * RECORD);
        if (!rc)
            rc = env_sync(file);
        if (rc)
            break;
        p->log[p->count++] = record;
        note_synced(p, &record);
        if (draw(p, 3) == 0)
            env_rados_tick(dir);
        if (h->schedule && draw(p, 10) == 0)
            schedule_sleep(h->schedule, draw(p, 9000000)); // without a beat
    }
    return rc;
}

// From taking the lease to letting go of it.
static int work(struct program *p, struct env *dir)
{
    struct history *h = p->history;
    char name[32], *old = NULL;
    size_t size;
    struct env_file *file = NULL;
    int rc = env_read_file(dir, "CURRENT", 64, &old, &size);
    p->count = 0;
    if (!rc)
        rc = read_log(p, dir, old);
    else if (rc == LSM_NOT_FOUND)
        rc = 0;
    free(old);
    if (rc)
        return rc;
    size_t found = p->count;
    snprintf(name, sizeof name, "log-%" PRIu64, p->epoch);
    rc = write_log(p, dir, name, &file);
    if (!rc)
        rc = env_write_file_atomic(dir, "CURRENT", name, strlen(name));
    if (!rc)
        check_reading(p, found);
    if (!rc)
        rc = drop_other_logs(dir, name);
    if (!rc)
        rc = append(p, dir, file);
    h->losses += rc != 0;
    int close_rc = env_close(file);
    return rc ? rc : close_rc;
}

static int round_of(struct program *p)
{
    struct history *h = p->history;
    struct env *dir;
    struct env_lock *lock;
    int rc = p->base->ops->open_dir(p->base, PATH, &dir);
    if (rc == LSM_NOT_FOUND) {
        rc = p->base->ops->mkdir(p->base, PATH);
        if (!rc || rc == LSM_EXISTS)
            rc = p->base->ops->open_dir(p->base, PATH, &dir);
    }
    if (rc)
        return rc;
    rc = dir->ops->lock(dir, "LOCK", false, "a test", &lock);
    if (!rc) {
        p->epoch = env_rados_epoch(dir);
        h->takeovers++;
        rc = work(p, dir);
        dir->ops->unlock(dir, lock);
    }
    dir->ops->close_dir(dir);
    return rc;
}

static void restart(struct program *p)
{
    struct history *h = p->history;
    p->process = fake_process_new(h->cluster);
    p->base = env_rados_new(fake_process_open, p->process, STRIPE, false);
}

static void program_main(void *arg)
{
    struct program *p = arg;
    for (unsigned i = 0; i < ROUNDS; i++) {
        if (draw(p, 3) == 0)
            fake_process_kill_at(p->process, 1 + draw(p, 40));
        (void)!round_of(p);
        if (fake_process_is_dead(p->process))
            return;
    }
}

static void run_history(uint64_t seed, struct history *h)
{
    *h = (struct history){.seed = seed, .cluster = fake_cluster_new(seed)};
    struct program programs[PROGRAMS_MAX * 2] = {0};
    struct fake_schedule *schedule = schedule_new(h->cluster);
    unsigned count = 2 + (unsigned)(seed % 2);
    h->schedule = schedule;
    if (seed & 2)
        fake_cluster_forbid_blocking(h->cluster);
    if (seed & 4)
        fake_cluster_trouble(h->cluster, 50);
    if (seed & 8)
        schedule_timeouts(schedule, 50);
    for (unsigned i = 0; i < 2 * count; i++) { // those of the second half come when others die
        programs[i].history = h;
        restart(&programs[i]);
        schedule_add_task(schedule, programs[i].process, program_main, &programs[i]);
    }
    schedule_run(schedule);
    schedule_free(schedule);
    h->schedule = NULL;
    fake_cluster_trouble(h->cluster, 0);
    struct program *last = calloc(1, sizeof *last);
    last->history = h;
    restart(last);
    int rc = round_of(last);
    CHECK(h, rc == 0, "the last one cannot open the store");
    env_rados_free(last->base);
    fake_process_free(last->process);
    free(last);
    for (unsigned i = 0; i < 2 * count; i++) {
        env_rados_free(programs[i].base);
        fake_process_free(programs[i].process);
    }
    fake_cluster_free(h->cluster);
}

// Histories of which one thread runs at a time are fastest when all threads are on one processor.
static void stay_on(int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    (void)!sched_setaffinity(0, sizeof set, &set);
}

static void run_histories(uint64_t seed, uint64_t count)
{
    uint64_t synced = 0, taken = 0, lost = 0;
    struct history *h = malloc(sizeof *h);
    for (uint64_t i = 0; i < count; i++) {
        run_history(seed + i, h);
        synced += h->synced_count;
        taken += h->takeovers;
        lost += h->losses;
    }
    printf("%" PRIu64 " histories from seed %" PRIu64 ": the lease was taken %" PRIu64
           " times and lost at work %" PRIu64 " times, %" PRIu64 " records were synced\n",
           count, seed, taken, lost, synced);
    fflush(stdout);
    free(h);
    // The simulation must meet what it is for.
    ck_assert(count < SHARE_MIN || (taken > count && lost > count / 20 && synced > count));
}

// A share of the histories for each processor, in a process of its own.
START_TEST(test_contenders)
{
    uint64_t count = from_env("LSM_HISTORIES", 1000), seed = from_env("LSM_SEED", 1);
    pid_t children[SHARES_MAX];
    unsigned shares = 0;
    cpu_set_t set;
    ck_assert_int_eq(sched_getaffinity(0, sizeof set, &set), 0);
    unsigned most = (unsigned)CPU_COUNT(&set) < SHARES_MAX ? (unsigned)CPU_COUNT(&set) : SHARES_MAX;
    while (most > 1 && count / most < SHARE_MIN)
        most--;
    if (most == 1) {
        run_histories(seed, count);
        return;
    }
    for (int cpu = 0; cpu < CPU_SETSIZE && shares < most; cpu++) {
        if (!CPU_ISSET(cpu, &set))
            continue;
        uint64_t from = count * shares / most, to = count * (shares + 1) / most;
        children[shares] = fork();
        ck_assert_int_ge(children[shares], 0);
        if (!children[shares]) {
            stay_on(cpu);
            run_histories(seed + from, to - from);
            _exit(0);
        }
        shares++;
    }
    for (unsigned i = 0; i < shares; i++) {
        int status;
        ck_assert_int_eq(waitpid(children[i], &status, 0), children[i]);
        ck_assert_msg(WIFEXITED(status) && !WEXITSTATUS(status), "share %u: status %d", i, status);
    }
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("contenders");
    tcase_add_test(tc, test_contenders);
    return run_case("rados lease", tc, 36000);
}
