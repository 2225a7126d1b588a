// What a mount shows of itself: the second part of stats, and top.
//
// Thread safety: one thread.
#include "commands/mounted.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/waits.h"

#define TOP_REQUESTS 12u // shown at most

struct mount_figures *mounted_figures_get(struct ctl *ctl)
{
    if (!ctl->live) {
        complain(ctl, "%s: not mounted", ctl->db);
        return NULL;
    }
    struct mount_figures *figures = malloc(sizeof *figures);
    if (!figures)
        complain(ctl, "%s", strerror(ENOMEM));
    else
        ctl->live->figures(ctl->live, figures);
    return figures;
}

double mounted_quantile_us(const struct request_figures *op, unsigned per_mille)
{
    uint64_t total = 0;
    for (unsigned i = 0; i < BUCKETS; i++)
        total += op->buckets[i];
    return (double)buckets_quantile(op->buckets, total, per_mille) / 1000;
}

static uint64_t property(struct ctl *ctl, const char *name)
{
    uint64_t value = 0;
    lsm_property_uint(ctl->engine, name, &value);
    return value;
}

// The numbers of the operations that were requested, the most frequent first. Returns how many.
static unsigned by_count(const struct mount_figures *figures, unsigned ops[FIGURES_REQUESTS])
{
    unsigned n = 0;
    for (unsigned op = 0; op < FIGURES_REQUESTS; op++) {
        if (!figures->ops[op].count)
            continue;
        unsigned i = n++;
        for (; i && figures->ops[ops[i - 1]].count < figures->ops[op].count; i--)
            ops[i] = ops[i - 1];
        ops[i] = op;
    }
    return n;
}

static void print_name_of(FILE *out, unsigned op)
{
    const char *name = figures_request_name(op);
    if (name)
        fprintf(out, "%-16s", name);
    else
        fprintf(out, "%-16u", op);
}

// A table of operations; `figures` counts those of so many seconds.
static void print_requests(FILE *out, const struct mount_figures *figures, double seconds,
                           unsigned most)
{
    unsigned ops[FIGURES_REQUESTS], n = by_count(figures, ops);
    fprintf(out, "%-16s %12s %12s %10s %10s %10s\n", "operation", "requests", "a second", "errors",
            "p50 us", "p99 us");
    for (unsigned i = 0; i < n && i < most; i++) {
        const struct request_figures *op = &figures->ops[ops[i]];
        print_name_of(out, ops[i]);
        fprintf(out, " %12" PRIu64 " %12.1f %10" PRIu64 " %10.1f %10.1f\n", op->count,
                (double)op->count / seconds, op->errors, mounted_quantile_us(op, 500),
                mounted_quantile_us(op, 990));
    }
}

static void print_head(struct ctl *ctl, const struct mount_figures *figures)
{
    fputs("mount        ", ctl->out);
    print_name(ctl->front, figures->mountpoint, strlen(figures->mountpoint));
    fprintf(ctl->out, "; transport %s, up %" PRIu64 " s, %" PRIu64 " live inodes\n",
            figures->transport, figures->up_ns / 1000000000, figures->live_inodes);
    fprintf(ctl->out, "queue        %u of %u threads serve, the oldest request for %.1f ms\n",
            figures->serving, figures->threads, (double)figures->oldest_ns / 1e6);
}

enum exit_status print_mounted(struct ctl *ctl)
{
    if (!ctl->live)
        return EXIT_OK;
    struct mount_figures *figures = mounted_figures_get(ctl);
    if (!figures)
        return EXIT_FAILED;
    print_head(ctl, figures);
    fprintf(ctl->out, "content      %" PRIu64 " bytes read, %" PRIu64 " written\n",
            figures->read_bytes, figures->written_bytes);
    double seconds = (double)figures->up_ns / 1e9;
    print_requests(ctl->out, figures, seconds > 0 ? seconds : 1, FIGURES_REQUESTS);
    free(figures);
    return EXIT_OK;
}

// ------------------------------------------------------------------------------- top

struct sample { // figures of the engine that only grow
    uint64_t hits, misses, written, moved, stalled_us;
};

static struct sample sample_of(struct ctl *ctl)
{
    return (struct sample){.hits = property(ctl, "cache-hits"),
                           .misses = property(ctl, "cache-misses"),
                           .written = property(ctl, "user-bytes-written"),
                           .moved = property(ctl, "flush-bytes-written") +
                                    property(ctl, "compact-bytes-written") +
                                    property(ctl, "blob-bytes-written"),
                           .stalled_us = property(ctl, "stall-us") + property(ctl, "slowdown-us")};
}

// Subtracts `then` from the counts in `now`.
static void subtract(struct mount_figures *now, const struct mount_figures *then)
{
    assert(now->read_bytes >= then->read_bytes && now->written_bytes >= then->written_bytes);
    now->read_bytes -= then->read_bytes;
    now->written_bytes -= then->written_bytes;
    for (unsigned op = 0; op < FIGURES_REQUESTS; op++) {
        struct request_figures *a = &now->ops[op];
        const struct request_figures *b = &then->ops[op];
        assert(a->count >= b->count);
        a->count -= b->count;
        a->errors -= b->errors;
        a->ns -= b->ns;
        for (unsigned i = 0; i < BUCKETS; i++)
            a->buckets[i] -= b->buckets[i];
    }
}

// Prints one moment. `more` counts what was done since the moment before.
static void print_block(struct ctl *ctl, const struct mount_figures *more, double seconds,
                        const struct sample *then, const struct sample *now)
{
    uint64_t hits = now->hits - then->hits, lookups = hits + now->misses - then->misses;
    print_head(ctl, more);
    fprintf(ctl->out, "content      %.1f MB/s read, %.1f MB/s written\n",
            (double)more->read_bytes / 1e6 / seconds, (double)more->written_bytes / 1e6 / seconds);
    fprintf(ctl->out,
            "store        %.1f MB/s in, %.1f MB/s to tables; %" PRIu64 " MB in memtables, %" PRIu64
            " tables in level 0\n",
            (double)(now->written - then->written) / 1e6 / seconds,
            (double)(now->moved - then->moved) / 1e6 / seconds,
            property(ctl, "memtable-bytes") >> 20, property(ctl, "num-tables-at-level0"));
    fprintf(ctl->out,
            "cache        %.1f %% of %" PRIu64 " look-ups hit; writers waited %" PRIu64 " ms%s\n",
            lookups ? 100.0 * (double)hits / (double)lookups : 100.0, lookups,
            (now->stalled_us - then->stalled_us) / 1000,
            property(ctl, "stalled") ? ", and one waits" : "");
    print_requests(ctl->out, more, seconds, TOP_REQUESTS);
    putc('\n', ctl->out); // ends the block
}

// Until the next second of the clock, or until the command is cancelled.
static void wait_until(struct ctl *ctl, uint64_t until_ns)
{
    const struct timespec moment = {.tv_nsec = 50000000};
    while (clock_ns() < until_ns && !is_cancelled(ctl->front))
        nanosleep(&moment, NULL);
}

enum exit_status command_top(struct ctl *ctl)
{
    uint64_t most = UINT64_MAX;
    if (!ctl_number(ctl, 'n', 10, UINT32_MAX, &most))
        return EXIT_USAGE;
    struct mount_figures *then = mounted_figures_get(ctl);
    struct mount_figures *now = then ? mounted_figures_get(ctl) : NULL;
    struct mount_figures *more = now ? mounted_figures_get(ctl) : NULL;
    if (!more || !engine_open(ctl, OPEN_READ)) {
        free(then);
        free(now);
        free(more);
        return EXIT_FAILED;
    }
    struct sample before = sample_of(ctl);
    for (uint64_t n = 0; n < most && !is_cancelled(ctl->front); n++) {
        wait_until(ctl, then->now_ns + 1000000000);
        if (is_cancelled(ctl->front))
            break;
        ctl->live->figures(ctl->live, now);
        struct sample after = sample_of(ctl);
        *more = *now;
        subtract(more, then);
        ctl->front->ops->print_begin(ctl->front);
        print_block(ctl, more, (double)(now->now_ns - then->now_ns) / 1e9, &before, &after);
        ctl->front->ops->print_end(ctl->front);
        before = after;
        struct mount_figures *old = then;
        then = now;
        now = old;
    }
    free(then);
    free(now);
    free(more);
    return ctl_store_close(ctl, EXIT_OK);
}
