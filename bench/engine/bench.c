// lsm_bench: db_bench's workloads on tinylsm, LevelDB, RocksDB and LMDB.
//
// Reads the options, runs the benchmarks in the order given, prints a line each:
//
//   fillseq      :       1.234 micros/op   810000 ops/sec;  110.6 MB/s  p50 .. p99 .. max .. us
//   (...)
//
// The first part is as db_bench prints it. "cpu" is the CPU time an operation took of the
// workload's own threads: it depends less on what else the machine is doing. All threads of a
// workload share its operations, and the rate is of the whole. Scans count entries. Keys and values
// depend on
// --seed, the workload's name and its place in the list only, so that all engines are given the
// same and must answer the same: what reads saw is counted and summed up in the line's end.
#include "bench.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "pauses.h"
#include "workload.h"

static const struct engine_ops *const engines[] = {
    &engine_tinylsm,
#ifdef BENCH_HAVE_LEVELDB
    &engine_leveldb,
#endif
#ifdef BENCH_HAVE_ROCKSDB
    &engine_rocksdb,
#endif
#ifdef BENCH_HAVE_LMDB
    &engine_lmdb,
#endif
};

#define ENGINES (sizeof(engines) / sizeof(engines[0]))

void bench_fail(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fflush(stdout);
    fputs("lsm_bench: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(1);
}

uint64_t bench_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t bench_thread_cpu_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint64_t cpu_us(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000u +
           (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

void bench_wait_quiet(void)
{
    unsigned quiet = 0;
    uint64_t before = cpu_us();
    while (quiet < 5) {
        usleep(100000);
        uint64_t now = cpu_us();
        quiet = now - before < 3000 ? quiet + 1 : 0;
        before = now;
    }
}

// ------------------------------------------------------------------------------- the store's files

// Bytes on disk of the files in `dir`, one level deep; unlinks them if `remove_all`.
static uint64_t walk_dir(const char *dir, bool remove_all)
{
    DIR *stream = opendir(dir);
    uint64_t bytes = 0;
    if (!stream)
        return 0;
    for (struct dirent *entry; (entry = readdir(stream));) {
        struct stat st;
        char path[PATH_MAX];
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name) >= (int)sizeof(path) ||
            lstat(path, &st) < 0)
            continue;
        bytes += (uint64_t)st.st_blocks * 512;
        if (S_ISDIR(st.st_mode)) {
            bytes += walk_dir(path, remove_all);
            if (remove_all)
                rmdir(path);
        } else if (remove_all) {
            unlink(path);
        }
    }
    closedir(stream);
    return bytes;
}

// Only what a bench made is removed: a directory with files that no engine here makes is refused.
static void remove_store(const char *dir)
{
    static const char *const marks[] = {"CURRENT", "data.mdb"};
    DIR *stream = opendir(dir);
    bool known = false, empty = true;
    if (!stream) {
        if (errno == ENOENT)
            return;
        bench_fail("%s: %s", dir, strerror(errno));
    }
    for (struct dirent *entry; (entry = readdir(stream));) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        empty = false;
        for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++)
            known = known || strcmp(entry->d_name, marks[i]) == 0;
    }
    closedir(stream);
    if (!empty && !known)
        bench_fail("%s is not empty and holds no store: not removed", dir);
    walk_dir(dir, true);
    if (rmdir(dir) < 0)
        bench_fail("cannot remove %s: %s", dir, strerror(errno));
}

// --------------------------------------------------------------------------------------- running a
// workload

struct bench {
    const struct bench_config *config;
    const struct engine_ops *ops;
    struct engine *engine; // NULL: not open
    bool sync;             // how it was opened
    char *pool;
};

struct task {
    struct worker worker;
    void (*run)(struct worker *worker);
    pthread_barrier_t *barrier;
    pthread_t thread;
};

static void *task_main(void *arg)
{
    struct task *task = arg;
    pthread_barrier_wait(task->barrier);
    task->run(&task->worker);
    return NULL;
}

static uint64_t seed_of(const struct bench_config *config, const char *name, unsigned place,
                        unsigned thread)
{
    struct random random = {config->seed * 1000003u + place * 8191u + thread};
    for (; *name; name++)
        random.state = random.state * 31 + (unsigned char)*name;
    return random_next(&random);
}

static void open_store(struct bench *b, bool fresh, bool sync)
{
    if (b->engine && (fresh || sync != b->sync)) {
        b->ops->close(b->engine);
        b->engine = NULL;
    }
    if (fresh)
        remove_store(b->config->dir);
    if (!b->engine)
        b->engine = b->ops->open(b->config, sync);
    b->sync = sync;
}

static void prepare(struct bench *b, struct task *task, const char *name, unsigned place,
                    unsigned id, unsigned threads, uint64_t total)
{
    struct worker *w = &task->worker;
    uint64_t seed = seed_of(b->config, name, place, id);
    w->config = b->config;
    w->ops = b->ops;
    w->session = b->ops->session_new(b->engine);
    w->id = id;
    w->first = total * id / threads;
    w->count = total * (id + 1) / threads - w->first;
    w->random.state = seed;
    w->values.pool = b->pool;
    w->values.size = b->config->value_size;
    w->values.position = (size_t)(seed % VALUE_POOL);
    key_init(w->key, b->config->key_size);
}

static void print_line(const struct bench_config *config, const char *name,
                       const struct workload *workload, unsigned threads, const struct result *r,
                       const struct histogram *h, const struct result *writer)
{
    double seconds = (double)(r->end_ns - r->begin_ns) * 1e-9;
    uint64_t ops = workload->flags & WORKLOAD_ENTRIES ? r->entries : r->ops;
    // micros/op is what one thread waits, as in db_bench
    printf("%-16s : %11.3f micros/op %10.0f ops/sec;", name,
           ops ? seconds * 1e6 * threads / (double)ops : 0.0, (double)ops / seconds);
    if (r->bytes)
        printf(" %7.1f MB/s", (double)r->bytes / 1048576.0 / seconds);
    printf("  p50 %.2f p99 %.2f p99.9 %.2f max %.2f us", (double)histogram_percentile(h, 50) / 1000,
           (double)histogram_percentile(h, 99) / 1000, (double)histogram_percentile(h, 99.9) / 1000,
           (double)h->max_ns / 1000);
    printf("  cpu %.3f us", ops ? (double)r->cpu_ns / 1000 / (double)ops : 0.0);
    printf("  (%u thread%s", threads, threads == 1 ? "" : "s");
    if (workload->flags & WORKLOAD_SHOW_FOUND)
        printf(", found %llu of %llu", (unsigned long long)r->found, (unsigned long long)r->ops);
    if (r->entries)
        printf(", %llu entries", (unsigned long long)r->entries);
    if (r->sum && !(workload->flags & WORKLOAD_RACY))
        printf(", sum %016llx", (unsigned long long)r->sum);
    if (writer)
        printf(", writer %.0f ops/sec",
               (double)writer->ops / ((double)(writer->end_ns - writer->begin_ns) * 1e-9));
    if (config->pauses)
        printf(", paused %.1f ms", pauses_take_ms());
    puts(")");
    if (config->histogram)
        histogram_print(h, stdout);
    fflush(stdout);
}

static void merge(struct result *to, const struct result *from)
{
    if (to->begin_ns == 0 || from->begin_ns < to->begin_ns)
        to->begin_ns = from->begin_ns;
    if (from->end_ns > to->end_ns)
        to->end_ns = from->end_ns;
    to->cpu_ns += from->cpu_ns;
    to->ops += from->ops;
    to->bytes += from->bytes;
    to->found += from->found;
    to->entries += from->entries;
    to->sum += from->sum;
}

static uint64_t operations(const struct bench_config *config, const struct workload *workload)
{
    if (workload->flags & WORKLOAD_SYNC)
        return config->sync_num ? config->sync_num : (config->num + 999) / 1000;
    uint64_t wanted = workload->flags & WORKLOAD_WRITES ? config->writes : config->reads;
    return wanted ? wanted : config->num;
}

static void run_workload(struct bench *b, const struct workload *workload, unsigned place)
{
    const struct bench_config *config = b->config;
    unsigned threads = workload->flags & WORKLOAD_ONE_THREAD ? 1 : config->threads;
    unsigned all = threads + (workload->flags & WORKLOAD_ADD_WRITER ? 1 : 0);
    struct task *tasks = calloc(all, sizeof(*tasks));
    struct histogram *histogram = calloc(1, sizeof(*histogram));
    struct result result = {0};
    atomic_bool stop = false;
    pthread_barrier_t barrier;

    if (!tasks || !histogram || pthread_barrier_init(&barrier, NULL, all))
        bench_fail("out of memory");
    open_store(b, workload->flags & WORKLOAD_FRESH && !config->use_existing_db,
               workload->flags & WORKLOAD_SYNC);
    for (unsigned i = 0; i < all; i++) {
        prepare(b, &tasks[i], workload->name, place, i, threads, operations(config, workload));
        tasks[i].run = i < threads ? workload->run : workload_background_writer;
        tasks[i].barrier = &barrier;
        tasks[i].worker.stop = &stop;
        if (pthread_create(&tasks[i].thread, NULL, task_main, &tasks[i]))
            bench_fail("cannot start a thread");
    }
    (void)pauses_take_ms(); // of before
    for (unsigned i = 0; i < all; i++) {
        if (i == threads)
            atomic_store(&stop, true);
        pthread_join(tasks[i].thread, NULL);
        b->ops->session_free(tasks[i].worker.session);
        if (i < threads) {
            merge(&result, &tasks[i].worker.result);
            histogram_merge(histogram, &tasks[i].worker.meter.histogram);
        }
    }
    print_line(config, workload->name, workload, threads, &result, histogram,
               all > threads ? &tasks[threads].worker.result : NULL);
    pthread_barrier_destroy(&barrier);
    free(histogram);
    free(tasks);
}

// -------------------------------------------------------------- compact, snapshot, waitidle, stats

static uint64_t proc_number(const char *path, const char *name)
{
    char line[256];
    uint64_t value = 0;
    FILE *file = fopen(path, "r");
    if (!file)
        return 0;
    while (fgets(line, sizeof(line), file))
        if (strncmp(line, name, strlen(name)) == 0)
            value = strtoull(line + strlen(name), NULL, 10);
    fclose(file);
    return value;
}

static void run_stats(struct bench *b)
{
    const double mib = 1048576.0;
    b->ops->stats(b->engine);
    printf(
        "resources        : %.1f MiB on disk, %.1f MiB written by the process, %.1f MiB read, peak "
        "memory %.1f MiB (anonymous now %.1f), CPU %.2f s\n",
        (double)walk_dir(b->config->dir, false) / mib,
        (double)proc_number("/proc/self/io", "write_bytes:") / mib,
        (double)proc_number("/proc/self/io", "rchar:") / mib,
        (double)proc_number("/proc/self/status", "VmHWM:") / 1024,
        (double)proc_number("/proc/self/status", "RssAnon:") / 1024, (double)cpu_us() * 1e-6);
    fflush(stdout);
}

static void run_timed(struct bench *b, const char *name, void (*run)(struct engine *engine))
{
    if (!run) {
        printf("%-16s : not applicable\n", name);
        return;
    }
    uint64_t begin = bench_now_ns();
    run(b->engine);
    printf("%-16s : %11.0f micros\n", name, (double)(bench_now_ns() - begin) / 1000);
    fflush(stdout);
}

static void run_benchmark(struct bench *b, const char *name, unsigned place)
{
    const struct workload *workload = workload_find(name);
    if (workload) {
        run_workload(b, workload, place);
        return;
    }
    open_store(b, false, b->sync);
    if (strcmp(name, "compact") == 0)
        run_timed(b, name, b->ops->compact);
    else if (strcmp(name, "snapshot") == 0)
        run_timed(b, name, b->ops->snapshot);
    else if (strcmp(name, "waitidle") == 0)
        run_timed(b, name, b->ops->wait_idle);
    else if (strcmp(name, "stats") == 0)
        run_stats(b);
    else
        bench_fail("no such benchmark: %s", name);
}

static const struct engine_ops *find_engine(const char *name)
{
    for (size_t i = 0; i < ENGINES; i++)
        if (strcmp(engines[i]->name, name) == 0)
            return engines[i];
    bench_fail("--engine=%s: not built in", name);
}

static void run_all(struct bench *b)
{
    char *list = strdup(b->config->benchmarks), *rest = list;
    unsigned place = 0;
    if (!list)
        bench_fail("out of memory");
    for (char *name; (name = strsep(&rest, ","));)
        if (*name)
            run_benchmark(b, name, place++);
    free(list);
}

int main(int argc, char **argv)
{
    struct bench_config config = {
        .engine = "tinylsm",
        .benchmarks = "fillseq,fillrandom,overwrite,readrandom,compact,readrandom,readmissing,"
                      "readhot,readseq,readreverse,seekrandom,scan100,stats",
        .dir = "/tmp/lsm_bench.db",
        .num = 1000000,
        .seed = 301,
        .view_ops = 1000,
        .threads = 1,
        .bloom_bits = 10,
        .key_size = 16,
        .value_size = 100,
        .write_buffer = 64u << 20,
        .cache_size = 64u << 20,
        .block_size = 4096,
        .map_budget = 128u << 20,
    };
    struct bench b = {.config = &config};
    char description[256];

    bench_parse_options(argc, argv, &config);
    config.pauses = config.pauses && pauses_start();
    b.ops = find_engine(config.engine);
    b.pool = values_pool_new(config.seed, config.value_size);
    if (!b.pool)
        bench_fail("out of memory");
    b.ops->describe(&config, description, sizeof(description));
    printf("engine           : %s\n", description);
    printf("data             : %llu keys of %zu bytes, values of %zu bytes, seed %llu\n",
           (unsigned long long)config.num, config.key_size, config.value_size,
           (unsigned long long)config.seed);
    printf("memory           : write buffer %.1f MiB, cache %.1f MiB, %u bloom bits\n",
           (double)config.write_buffer / 1048576.0, (double)config.cache_size / 1048576.0,
           config.bloom_bits);
    fflush(stdout);
    run_all(&b);
    if (b.engine)
        b.ops->close(b.engine);
    free(b.pool);
    return 0;
}
