// lsm_bench's command line.
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "data.h"

static const char usage[] =
    "usage: lsm_bench [options]\n"
    "  --engine=NAME        tinylsm (default), leveldb, rocksdb, lmdb: those built in\n"
    "  --benchmarks=LIST    of fillseq fillrandom overwrite fillsync deleteseq deleterandom\n"
    "                       readrandom readmissing readhot readseq readreverse seekrandom scan100\n"
    "                       readwhilewriting compact waitidle stats, separated by commas\n"
    "  --db=DIR             where the store is made; fill* removes the one that is there\n"
    "  --use_existing_db    fill* writes to the store that is there\n"
    "  --num=N              keys (1000000)\n"
    "  --writes=N           writes (num)\n"
    "  --reads=N            reads (num)\n"
    "  --sync_num=N         writes of fillsync (num / 1000)\n"
    "  --threads=N          threads that share the operations (1)\n"
    "  --key_size=BYTES     at least 16 (16)\n"
    "  --value_size=BYTES   (100)\n"
    "  --write_buffer_size= --cache_size=   bytes, K, M, G (64M, 64M)\n"
    "  --block_size=BYTES   (4096)\n"
    "  --bloom_bits=N       (10)\n"
    "  --compression=       default (LZ4; LevelDB: Snappy), none, lz4, snappy, zlib\n"
    "  --write_rate=N       writes/s of readwhilewriting's writer (0: as many as it can)\n"
    "  --view_ops=N         seeks with one iterator; LMDB: gets in one transaction (1000)\n"
    "  --lmdb_writemap      LMDB with MDB_WRITEMAP\n"
    "  --map_budget=BYTES   of tinylsm's compressed tables, read through mappings (128M)\n"
    "  --seed=N             (301)\n"
    "  --histogram          print the latencies\n"
    "  --pauses             print how long the machine kept all programs waiting at most (root)\n";

static uint64_t parse_number(const char *option, const char *text)
{
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    unsigned shift = 0;
    if (end != text && *end) {
        const char *units = "KMG", *unit = strchr(units, toupper((unsigned char)*end));
        if (unit) {
            shift = 10 * (unsigned)(unit - units + 1);
            end++;
        }
    }
    if (end == text || *end || errno || !isdigit((unsigned char)*text) ||
        value << shift >> shift != value)
        bench_fail("--%s=%s: not a number", option, text);
    return value << shift;
}

static uint64_t parse_range(const char *option, const char *text, uint64_t low, uint64_t high)
{
    uint64_t value = parse_number(option, text);
    if (value < low || value > high)
        bench_fail("--%s=%s: must be %llu to %llu", option, text, (unsigned long long)low,
                   (unsigned long long)high);
    return value;
}

static enum bench_compression parse_compression(const char *text)
{
    static const char *const names[] = {"default", "none", "lz4", "snappy", "zlib"};
    for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(text, names[i]) == 0)
            return (enum bench_compression)i;
    bench_fail("--compression=%s: must be default, none, lz4, snappy or zlib", text);
}

enum option_id {
    OPT_ENGINE = 256,
    OPT_BENCHMARKS,
    OPT_DB,
    OPT_EXISTING,
    OPT_NUM,
    OPT_WRITES,
    OPT_READS,
    OPT_SYNC_NUM,
    OPT_THREADS,
    OPT_KEY_SIZE,
    OPT_VALUE_SIZE,
    OPT_WRITE_BUFFER,
    OPT_CACHE,
    OPT_BLOCK,
    OPT_BLOOM,
    OPT_COMPRESSION,
    OPT_WRITE_RATE,
    OPT_VIEW_OPS,
    OPT_WRITEMAP,
    OPT_MAP_BUDGET,
    OPT_SEED,
    OPT_HISTOGRAM,
    OPT_PAUSES,
    OPT_HELP
};

static const struct option options[] = {
    {"engine", required_argument, NULL, OPT_ENGINE},
    {"benchmarks", required_argument, NULL, OPT_BENCHMARKS},
    {"db", required_argument, NULL, OPT_DB},
    {"use_existing_db", no_argument, NULL, OPT_EXISTING},
    {"num", required_argument, NULL, OPT_NUM},
    {"writes", required_argument, NULL, OPT_WRITES},
    {"reads", required_argument, NULL, OPT_READS},
    {"sync_num", required_argument, NULL, OPT_SYNC_NUM},
    {"threads", required_argument, NULL, OPT_THREADS},
    {"key_size", required_argument, NULL, OPT_KEY_SIZE},
    {"value_size", required_argument, NULL, OPT_VALUE_SIZE},
    {"write_buffer_size", required_argument, NULL, OPT_WRITE_BUFFER},
    {"cache_size", required_argument, NULL, OPT_CACHE},
    {"block_size", required_argument, NULL, OPT_BLOCK},
    {"bloom_bits", required_argument, NULL, OPT_BLOOM},
    {"compression", required_argument, NULL, OPT_COMPRESSION},
    {"write_rate", required_argument, NULL, OPT_WRITE_RATE},
    {"view_ops", required_argument, NULL, OPT_VIEW_OPS},
    {"lmdb_writemap", no_argument, NULL, OPT_WRITEMAP},
    {"map_budget", required_argument, NULL, OPT_MAP_BUDGET},
    {"seed", required_argument, NULL, OPT_SEED},
    {"histogram", no_argument, NULL, OPT_HISTOGRAM},
    {"pauses", no_argument, NULL, OPT_PAUSES},
    {"help", no_argument, NULL, OPT_HELP},
    {NULL, 0, NULL, 0},
};

static void set_option(struct bench_config *config, int id, const char *name, const char *value)
{
    switch (id) {
    case OPT_ENGINE:
        config->engine = value;
        break;
    case OPT_BENCHMARKS:
        config->benchmarks = value;
        break;
    case OPT_DB:
        config->dir = value;
        break;
    case OPT_EXISTING:
        config->use_existing_db = true;
        break;
    case OPT_NUM:
        config->num = parse_range(name, value, 1, UINT64_C(1) << 48);
        break;
    case OPT_WRITES:
        config->writes = parse_number(name, value);
        break;
    case OPT_READS:
        config->reads = parse_number(name, value);
        break;
    case OPT_SYNC_NUM:
        config->sync_num = parse_number(name, value);
        break;
    case OPT_THREADS:
        config->threads = (unsigned)parse_range(name, value, 1, 1024);
        break;
    case OPT_KEY_SIZE:
        config->key_size = parse_range(name, value, 16, BENCH_KEY_MAX - 1);
        break;
    case OPT_VALUE_SIZE:
        config->value_size = parse_range(name, value, 0, VALUE_POOL);
        break;
    case OPT_WRITE_BUFFER:
        config->write_buffer = parse_number(name, value);
        break;
    case OPT_CACHE:
        config->cache_size = parse_number(name, value);
        break;
    case OPT_BLOCK:
        config->block_size = parse_number(name, value);
        break;
    case OPT_BLOOM:
        config->bloom_bits = (unsigned)parse_range(name, value, 0, 32);
        break;
    case OPT_COMPRESSION:
        config->compression = parse_compression(value);
        break;
    case OPT_WRITE_RATE:
        config->write_rate = parse_number(name, value);
        break;
    case OPT_VIEW_OPS:
        config->view_ops = parse_range(name, value, 1, UINT64_MAX);
        break;
    case OPT_WRITEMAP:
        config->lmdb_writemap = true;
        break;
    case OPT_MAP_BUDGET:
        config->map_budget = parse_number(name, value);
        break;
    case OPT_SEED:
        config->seed = parse_number(name, value);
        break;
    case OPT_HISTOGRAM:
        config->histogram = true;
        break;
    case OPT_PAUSES:
        config->pauses = true;
        break;
    default:
        fputs(usage, id == OPT_HELP ? stdout : stderr);
        exit(id == OPT_HELP ? 0 : 2);
    }
}

void bench_parse_options(int argc, char **argv, struct bench_config *config)
{
    int id, index = 0;
    while ((id = getopt_long(argc, argv, "", options, &index)) != -1)
        set_option(config, id, id == '?' ? "" : options[index].name, optarg);
    if (optind != argc)
        bench_fail("unexpected argument: %s", argv[optind]);
}
