// The workloads, one function each, run by every worker thread on its share of the operations.
//
// The driver's own cost is the same for every engine: a random number and a key of 16 digits (about
// 5 ns), a call through the engine's table, a look at the first and last 8 bytes of what came back.
#include "workload.h"

#include <time.h>

static inline void meter_begin(struct meter *meter)
{
    if (--meter->countdown)
        return;
    uint64_t now = bench_now_ns();
    meter->countdown = METER_PERIOD;
    histogram_bound(&meter->histogram, now - meter->start_ns);
    meter->start_ns = now;
    meter->timing = true;
}

static inline void meter_end(struct meter *meter)
{
    if (meter->timing) {
        meter->timing = false;
        histogram_add(&meter->histogram, bench_now_ns() - meter->start_ns);
    }
}

static void start(struct worker *w)
{
    w->result.cpu_ns = bench_thread_cpu_ns();
    w->result.begin_ns = bench_now_ns();
    w->meter.start_ns = w->result.begin_ns;
    w->meter.countdown = 1;
}

static void finish(struct worker *w, uint64_t ops)
{
    w->result.end_ns = bench_now_ns();
    w->result.cpu_ns = bench_thread_cpu_ns() - w->result.cpu_ns;
    histogram_bound(&w->meter.histogram, w->result.end_ns - w->meter.start_ns);
    w->result.ops = ops;
}

static inline void set_key(struct worker *w, uint64_t number)
{
    key_format(w->key, w->config->key_size, number);
}

static inline void put(struct worker *w, uint64_t number)
{
    set_key(w, number);
    const char *value = values_next(&w->values);
    meter_begin(&w->meter);
    w->ops->put(w->session, w->key, w->config->key_size, value, w->config->value_size);
    meter_end(&w->meter);
}

static void count_written(struct worker *w)
{
    w->result.bytes = w->count * (w->config->key_size + w->config->value_size);
    finish(w, w->count);
}

static void run_fillseq(struct worker *w)
{
    start(w);
    for (uint64_t i = 0; i < w->count; i++)
        put(w, w->first + i);
    count_written(w);
}

static void run_fillrandom(struct worker *w)
{
    start(w);
    for (uint64_t i = 0; i < w->count; i++)
        put(w, random_below(&w->random, w->config->num));
    count_written(w);
}

static inline void del(struct worker *w, uint64_t number)
{
    set_key(w, number);
    meter_begin(&w->meter);
    w->ops->del(w->session, w->key, w->config->key_size);
    meter_end(&w->meter);
}

static void run_deleteseq(struct worker *w)
{
    start(w);
    for (uint64_t i = 0; i < w->count; i++)
        del(w, w->first + i);
    finish(w, w->count);
}

static void run_deleterandom(struct worker *w)
{
    start(w);
    for (uint64_t i = 0; i < w->count; i++)
        del(w, random_below(&w->random, w->config->num));
    finish(w, w->count);
}

// Gets keys drawn from [0, range). `extra` bytes of the key buffer after the number make a key that
// was never written.
static void get_random(struct worker *w, uint64_t range, size_t extra)
{
    size_t key_size = w->config->key_size + extra;
    struct result *r = &w->result;
    struct seen seen;

    if (extra)
        w->key[w->config->key_size] = '.';
    start(w);
    for (uint64_t i = 0; i < w->count; i++) {
        set_key(w, random_below(&w->random, range));
        meter_begin(&w->meter);
        bool found = w->ops->get(w->session, w->key, key_size, &seen);
        meter_end(&w->meter);
        if (found) {
            r->found++;
            r->bytes += key_size + seen.value_size;
            r->sum += bytes_sum(seen.value, seen.value_size);
        }
    }
    finish(w, w->count);
}

static void run_readrandom(struct worker *w)
{
    get_random(w, w->config->num, 0);
}

static void run_readmissing(struct worker *w)
{
    get_random(w, w->config->num, 1);
}

static void run_readhot(struct worker *w)
{
    get_random(w, (w->config->num + 99) / 100, 0);
}

static inline void count_entry(struct result *r, const struct seen *seen)
{
    r->entries++;
    r->bytes += seen->key_size + seen->value_size;
    r->sum += bytes_sum(seen->key, seen->key_size) * 3 + bytes_sum(seen->value, seen->value_size);
}

static void scan(struct worker *w, bool (*begin)(struct cursor *, struct seen *),
                 bool (*step)(struct cursor *, struct seen *))
{
    struct cursor *cursor = w->ops->cursor_new(w->session);
    struct seen seen;
    uint64_t n = 0;

    start(w);
    for (bool valid = begin(cursor, &seen); valid && n < w->count; n++) {
        count_entry(&w->result, &seen);
        meter_begin(&w->meter);
        valid = step(cursor, &seen);
        meter_end(&w->meter);
    }
    finish(w, n);
    w->ops->cursor_free(cursor);
}

static void run_readseq(struct worker *w)
{
    scan(w, w->ops->first, w->ops->next);
}

static void run_readreverse(struct worker *w)
{
    scan(w, w->ops->last, w->ops->prev);
}

// Seeks to random keys and takes up to `steps` entries; a new cursor every view_ops seeks.
static void seek_random(struct worker *w, unsigned steps)
{
    struct result *r = &w->result;
    struct cursor *cursor = NULL;
    uint64_t left = 0;
    struct seen seen;

    start(w);
    for (uint64_t i = 0; i < w->count; i++) {
        set_key(w, random_below(&w->random, w->config->num));
        meter_begin(&w->meter);
        if (left-- == 0) {
            if (cursor)
                w->ops->cursor_free(cursor);
            cursor = w->ops->cursor_new(w->session);
            left = w->config->view_ops - 1;
        }
        bool valid = w->ops->seek(cursor, w->key, w->config->key_size, &seen);
        if (valid && seen.key_size == w->config->key_size &&
            memcmp(seen.key, w->key, seen.key_size) == 0)
            r->found++;
        if (valid)
            count_entry(r, &seen);
        for (unsigned n = 1; valid && n < steps; n++) {
            valid = w->ops->next(cursor, &seen);
            if (valid)
                count_entry(r, &seen);
        }
        meter_end(&w->meter);
    }
    if (cursor)
        w->ops->cursor_free(cursor);
    finish(w, w->count);
}

static void run_seekrandom(struct worker *w)
{
    seek_random(w, 1);
}

static void run_scan100(struct worker *w)
{
    seek_random(w, 100);
}

// With a rate, a thousandth of a second's writes are done at a time, then the thread sleeps until
// the next are due.
void workload_background_writer(struct worker *w)
{
    uint64_t rate = w->config->write_rate, done = 0;

    start(w);
    while (!atomic_load_explicit(w->stop, memory_order_relaxed)) {
        uint64_t elapsed_ns = bench_now_ns() - w->result.begin_ns;
        uint64_t due = rate ? (uint64_t)((double)elapsed_ns * 1e-9 * (double)rate) : done + 64;
        for (; done < due; done++)
            put(w, random_below(&w->random, w->config->num));
        if (rate)
            nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    finish(w, done);
}

static const struct workload workloads[] = {
    {"fillseq", WORKLOAD_FRESH | WORKLOAD_WRITES, run_fillseq},
    {"fillrandom", WORKLOAD_FRESH | WORKLOAD_WRITES, run_fillrandom},
    {"overwrite", WORKLOAD_WRITES, run_fillrandom},
    {"fillsync", WORKLOAD_FRESH | WORKLOAD_WRITES | WORKLOAD_SYNC, run_fillrandom},
    {"deleteseq", WORKLOAD_WRITES, run_deleteseq},
    {"deleterandom", WORKLOAD_WRITES, run_deleterandom},
    {"readrandom", WORKLOAD_SHOW_FOUND, run_readrandom},
    {"readmissing", WORKLOAD_SHOW_FOUND, run_readmissing},
    {"readhot", WORKLOAD_SHOW_FOUND, run_readhot},
    {"readseq", WORKLOAD_ENTRIES | WORKLOAD_ONE_THREAD, run_readseq},
    {"readreverse", WORKLOAD_ENTRIES | WORKLOAD_ONE_THREAD, run_readreverse},
    {"seekrandom", WORKLOAD_SHOW_FOUND, run_seekrandom},
    {"scan100", WORKLOAD_ENTRIES, run_scan100},
    {"readwhilewriting", WORKLOAD_SHOW_FOUND | WORKLOAD_ADD_WRITER | WORKLOAD_RACY, run_readrandom},
};

const struct workload *workload_find(const char *name)
{
    for (size_t i = 0; i < sizeof(workloads) / sizeof(workloads[0]); i++)
        if (strcmp(workloads[i].name, name) == 0)
            return &workloads[i];
    return NULL;
}
