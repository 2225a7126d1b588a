// lsmfsctl metrics: the figures of a store, and of its mount, in the text format of Prometheus
// (version 0.0.4): for each metric a line of help, one of its type, then its samples.
//
// Thread safety: one thread.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands/mounted.h"

// ------------------------------------------------------------------------------- the format

static void print_label(FILE *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '\n')
            fputs("\\n", out);
        else if (*text == '"' || *text == '\\')
            fprintf(out, "\\%c", *text);
        else
            putc(*text, out);
    }
}

static void print_metric(FILE *out, const char *name, const char *type, const char *help)
{
    fprintf(out, "# HELP lsmfs_%s %s\n# TYPE lsmfs_%s %s\n", name, help, name, type);
}

static void print_single(FILE *out, const char *name, const char *type, const char *help,
                         double value)
{
    print_metric(out, name, type, help);
    fprintf(out, "lsmfs_%s %.17g\n", name, value);
}

// ------------------------------------------------------------------------------- the store

static void print_engine(struct ctl *ctl)
{
    static const struct {
        const char *property, *name, *type, *help;
        double scale;
    } metrics[] = {
        {"disk-bytes", "disk_bytes", "gauge", "Bytes of all files of the store.", 1},
        {"table-bytes", "table_bytes", "gauge", "Bytes of all tables.", 1},
        {"num-tables", "tables", "gauge", "Tables in all levels.", 1},
        {"num-tables-at-level0", "level0_tables", "gauge", "Tables that no level has sorted.", 1},
        {"entries", "entries", "gauge", "Keys, superseded versions included.", 1},
        {"memtable-bytes", "memtable_bytes", "gauge", "Bytes of all memtables.", 1},
        {"wal-bytes", "log_bytes", "gauge", "Bytes of all live logs.", 1},
        {"blob-bytes", "blob_bytes", "gauge", "Bytes of all blob files.", 1},
        {"blob-live-bytes", "blob_live_bytes", "gauge", "Bytes in blob files that are in use.", 1},
        {"snapshots", "snapshots", "gauge", "Snapshots that hold back what was deleted.", 1},
        {"cache-bytes", "cache_bytes", "gauge", "Bytes in the block cache.", 1},
        {"stalled", "stalled", "gauge", "1 while a writer waits for a flush or a compaction.", 1},
        {"disk-full", "disk_full", "gauge", "1 while writes are refused for lack of space.", 1},
        {"writers-waiting", "writers_waiting", "gauge", "Writers in the queue of the store.", 1},
        {"cache-hits", "cache_hits_total", "counter", "Look-ups that the block cache had.", 1},
        {"cache-misses", "cache_misses_total", "counter", "Look-ups that it did not have.", 1},
        {"gets", "gets_total", "counter", "Values looked up by key.", 1},
        {"writes", "batches_total", "counter", "Batches written.", 1},
        {"user-bytes-written", "user_written_bytes_total", "counter", "Keys and values written.",
         1},
        {"wal-bytes-written", "log_written_bytes_total", "counter", "Bytes written to logs.", 1},
        {"flush-bytes-written", "flush_written_bytes_total", "counter",
         "Bytes of tables that flushes wrote.", 1},
        {"compact-bytes-written", "compaction_written_bytes_total", "counter",
         "Bytes of tables that compactions wrote.", 1},
        {"blob-bytes-written", "blob_written_bytes_total", "counter",
         "Bytes that writes put into blob files.", 1},
        {"flushes", "flushes_total", "counter", "Memtables written out.", 1},
        {"compactions", "compactions_total", "counter", "Compactions.", 1},
        {"stall-us", "stall_seconds_total", "counter", "Time that writers were stopped.", 1e-6},
        {"slowdown-us", "slowdown_seconds_total", "counter", "Time that writers were slowed down.",
         1e-6},
        {"disk-cache-bytes", "disk_cache_bytes", "gauge", "Bytes in the cache on the local disk.",
         1},
        {"disk-cache-hits", "disk_cache_hits_total", "counter",
         "Blocks that the cache on the local disk had.", 1},
        {"disk-cache-misses", "disk_cache_misses_total", "counter", "Blocks that it did not have.",
         1},
        {"disk-cache-hit-bytes", "disk_cache_hit_bytes_total", "counter", "Bytes read from it.", 1},
        {"disk-cache-miss-bytes", "disk_cache_miss_bytes_total", "counter",
         "Bytes asked for that it did not have.", 1},
        {"disk-cache-evictions", "disk_cache_evictions_total", "counter",
         "Its files removed for lack of room.", 1},
        {"disk-cache-damaged", "disk_cache_damaged_total", "counter",
         "Its files removed because they were damaged.", 1},
        {"retries", "retries_total", "counter", "Background work that was tried again.", 1},
    };
    for (size_t i = 0; i < sizeof metrics / sizeof *metrics; i++) {
        uint64_t value;
        if (lsm_property_uint(ctl->engine, metrics[i].property, &value))
            print_single(ctl->out, metrics[i].name, metrics[i].type, metrics[i].help,
                         (double)value * metrics[i].scale);
    }
    char *error = lsm_property(ctl->engine, "background-error");
    print_single(ctl->out, "failed", "gauge", "1 after a failure that made the store read-only.",
                 error && *error);
    free(error);
}

static enum exit_status print_files(struct ctl *ctl)
{
    struct statvfs fs;
    int rc = ns_statfs(ctl->ns, &fs);
    if (rc)
        return path_failed(ctl, ctl->db, rc);
    print_single(ctl->out, "files", "gauge", "Files and directories.",
                 (double)(fs.f_files - fs.f_ffree));
    print_single(ctl->out, "available_bytes", "gauge", "Bytes that can still be written.",
                 (double)fs.f_bavail * (double)fs.f_frsize);
    return EXIT_OK;
}

// ------------------------------------------------------------------------------- the mount

// The buckets that are printed: a factor of four apart, from 4 us to 17 s. Each ends where one of
// those that the daemon counts in does.
#define FIRST_LE 12u // 2^12 ns
#define LAST_LE  34u

static void print_durations(FILE *out, const char *name, const struct request_figures *op)
{
    uint64_t seen = 0, total = 0;
    unsigned at = 0;
    for (unsigned i = 0; i < BUCKETS; i++)
        total += op->buckets[i];
    for (unsigned power = FIRST_LE; power <= LAST_LE; power += 2) {
        uint64_t end = (uint64_t)1 << power;
        for (; at < BUCKETS && bucket_end(at) < end; at++)
            seen += op->buckets[at];
        fprintf(out,
                "lsmfs_request_duration_seconds_bucket{operation=\"%s\",le=\"%.9g\"} %" PRIu64 "\n",
                name, (double)end / 1e9, seen);
    }
    fprintf(out,
            "lsmfs_request_duration_seconds_bucket{operation=\"%s\",le=\"+Inf\"} %" PRIu64 "\n"
            "lsmfs_request_duration_seconds_sum{operation=\"%s\"} %.9g\n"
            "lsmfs_request_duration_seconds_count{operation=\"%s\"} %" PRIu64 "\n",
            name, total, name, (double)op->ns / 1e9, name, total);
}

static void print_requests(FILE *out, const struct mount_figures *figures)
{
    print_metric(out, "request_errors_total", "counter",
                 "Requests answered with an error, a name that is not there included.");
    for (unsigned i = 0; i < FIGURES_REQUESTS; i++)
        if (figures->ops[i].count && figures_request_name(i))
            fprintf(out, "lsmfs_request_errors_total{operation=\"%s\"} %" PRIu64 "\n",
                    figures_request_name(i), figures->ops[i].errors);
    print_metric(out, "request_duration_seconds", "histogram",
                 "How long requests of the kernel took, from their receipt to the reply.");
    for (unsigned i = 0; i < FIGURES_REQUESTS; i++)
        if (figures->ops[i].count && figures_request_name(i))
            print_durations(out, figures_request_name(i), &figures->ops[i]);
}

static enum exit_status print_mount(struct ctl *ctl)
{
    FILE *out = ctl->out;
    print_single(out, "mounted", "gauge", "1 while the store is mounted.", ctl->live != NULL);
    if (!ctl->live)
        return EXIT_OK;
    struct mount_figures *figures = mounted_figures_get(ctl);
    if (!figures)
        return EXIT_FAILED;
    print_metric(out, "mount_info", "gauge", "Where the store is mounted, and how.");
    fputs("lsmfs_mount_info{mountpoint=\"", out);
    print_label(out, figures->mountpoint);
    fprintf(out, "\",transport=\"%s\",version=\"%s\"} 1\n", figures->transport, LSMFS_VERSION);
    print_single(out, "mount_uptime_seconds", "gauge", "Since the mount began.",
                 (double)figures->up_ns / 1e9);
    print_single(out, "live_inodes", "gauge", "Files that somebody has a reference to.",
                 (double)figures->live_inodes);
    print_single(out, "threads", "gauge", "Threads that have served requests.", figures->threads);
    print_single(out, "requests_serving", "gauge", "Requests being served.", figures->serving);
    print_single(out, "oldest_request_seconds", "gauge",
                 "For how long the oldest of them has been served.",
                 (double)figures->oldest_ns / 1e9);
    print_single(out, "read_bytes_total", "counter", "Bytes of content in replies.",
                 (double)figures->read_bytes);
    print_single(out, "written_bytes_total", "counter", "Bytes of content in requests.",
                 (double)figures->written_bytes);
    print_requests(out, figures);
    free(figures);
    return EXIT_OK;
}

enum exit_status command_metrics(struct ctl *ctl)
{
    if (!tree_open(ctl, OPEN_READ))
        return EXIT_FAILED;
    enum exit_status status = print_files(ctl);
    if (status == EXIT_OK) {
        print_engine(ctl);
        status = print_mount(ctl);
    }
    return ctl_store_close(ctl, status);
}
