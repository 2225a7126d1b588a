// Defaults and validation of options. A refused option is named, with its range.
#include <assert.h>
#include <inttypes.h>

#include "base/status.h"
#include "db/db.h"

void lsm_options_init(struct lsm_options *options)
{
    *options = (struct lsm_options){
        .create_if_missing = true,
        .write_buffer_size = 64u << 20,
        .max_write_buffers = 2,
        .block_cache_size = 64u << 20,
        .map_budget = 128u << 20,
        .max_open_tables = 1000,
        .block_size = 4096,
        .restart_interval = 16,
        .bloom_bits_per_key = 10,
        .compression = LSM_COMPRESSION_LZ4,
        .bottom_compression = LSM_COMPRESSION_LZ4,
        .table_size = 32u << 20,
        .level_base_size = 256u << 20,
        .level_ratio = 10,
        .l0_compact = 4,
        .l0_slowdown = 12,
        .l0_stop = 24,
        .compaction_threads = 1,
        .blob_min = 4096,
        .blob_compression = LSM_COMPRESSION_LZ4,
        .blob_file_size = 64u << 20,
        .blob_garbage_ratio = 25,
        .follow_keep_ms = 60000,
        .disk_cache_size = UINT64_C(10) << 30,
    };
    assert(db_options_check(options) == LSM_OK);
}

static int check(const char *name, uint64_t value, uint64_t low, uint64_t high)
{
    assert(low <= high);
    if (value < low || value > high)
        return status_fail(LSM_INVALID, "option %s is %" PRIu64 ": must be %" PRIu64 " to %" PRIu64,
                           name, value, low, high);
    return LSM_OK;
}

int db_options_check(const struct lsm_options *o)
{
    const uint64_t kib = 1024, gib = UINT64_C(1) << 30, tib = UINT64_C(1) << 40;
    const struct {
        const char *name;
        uint64_t value, low, high;
    } ranges[] = {
        {"write_buffer_size", o->write_buffer_size, 64 * kib, 4 * gib},
        {"max_write_buffers", o->max_write_buffers, 2, 16},
        {"block_cache_size", o->block_cache_size, 0, tib},
        {"map_budget", o->map_budget, 0, 1024 * tib},
        {"max_open_tables", o->max_open_tables, 16, 1000000},
        {"block_size", o->block_size, 512, kib * kib},
        {"restart_interval", o->restart_interval, 1, 1024},
        {"bloom_bits_per_key", o->bloom_bits_per_key, 0, 32},
        {"compression", (uint64_t)o->compression, 0, LSM_COMPRESSION_ZLIB},
        {"bottom_compression", (uint64_t)o->bottom_compression, 0, LSM_COMPRESSION_ZLIB},
        {"checksums", (uint64_t)o->checksums, 0, LSM_CHECKSUMS_NEVER},
        {"table_size", o->table_size, 64 * kib, 4 * gib},
        {"level_base_size", o->level_base_size, 128 * kib, tib},
        {"level_ratio", o->level_ratio, 2, 100},
        {"l0_compact", o->l0_compact, 1, 1000},
        {"l0_slowdown", o->l0_slowdown, 2, 1000},
        {"l0_stop", o->l0_stop, 3, 1000},
        {"compaction_threads", o->compaction_threads, 1, DB_COMPACTION_THREADS_MAX},
        {"wal_mode", (uint64_t)o->wal_mode, 0, LSM_WAL_HELD},
        {"blob_min", o->blob_min, 0, gib},
        {"blob_compression", (uint64_t)o->blob_compression, 0, LSM_COMPRESSION_ZLIB},
        {"blob_file_size", o->blob_file_size, 4 * kib, gib},
        {"blob_garbage_ratio", o->blob_garbage_ratio, 5, 95},
        {"sync_interval_ms", o->sync_interval_ms, 0, 3600000},
        {"follow_keep_ms", o->follow_keep_ms, 0, 3600000},
        {"disk_cache_size", o->disk_cache_size, DISK_CACHE_LEAST, 1024 * tib},
    };
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
        int rc = check(ranges[i].name, ranges[i].value, ranges[i].low, ranges[i].high);
        if (rc)
            return rc;
    }
    if (o->l0_slowdown < o->l0_compact || o->l0_stop <= o->l0_slowdown)
        return status_fail(LSM_INVALID,
                           "options l0_compact %u, l0_slowdown %u, l0_stop %u: must ascend",
                           o->l0_compact, o->l0_slowdown, o->l0_stop);
    return LSM_OK;
}
