// lsm_bench's command line: one table, of which getopt_long(3) gets the names.
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench.h"
#include "common/option.h"
#include "data.h"

static const char usage[] =
    "usage: lsm_bench [options]         (N and BYTES take K, M, G, T)\n"
    "  --engine=NAME        tinylsm (default), leveldb, rocksdb, lmdb: those built in\n"
    "  --benchmarks=LIST    of fillseq fillrandom overwrite fillsync deleteseq deleterandom\n"
    "                       readrandom readmissing readhot readseq readreverse seekrandom scan100\n"
    "                       readwhilewriting compact snapshot waitidle stats, separated by\n"
    "                       commas\n"
    "  --db=DIR             where the store is made; fill* removes the one that is there\n"
    "  --use_existing_db    fill* writes to the store that is there\n"
    "  --num=N              keys (1000000)\n"
    "  --writes=N           writes (num)\n"
    "  --reads=N            reads (num)\n"
    "  --sync_num=N         writes of fillsync (num / 1000)\n"
    "  --threads=N          threads that share the operations (1)\n"
    "  --key_size=BYTES     at least 16 (16)\n"
    "  --value_size=BYTES   (100)\n"
    "  --write_buffer_size=BYTES --cache_size=BYTES   (64M, 64M)\n"
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

static const char *const compressions[] = {"default", "none", "lz4", "snappy", "zlib", NULL};

#define FIELD(f) OPTION_FIELD(struct bench_config, f)
#define MAX_KEYS (UINT64_C(1) << 48)

static const struct option_spec specs[] = {
    {"engine", OPT_STRING, FIELD(engine), 0, 0, NULL},
    {"benchmarks", OPT_STRING, FIELD(benchmarks), 0, 0, NULL},
    {"db", OPT_STRING, FIELD(dir), 0, 0, NULL},
    {"use_existing_db", OPT_ON, FIELD(use_existing_db), 0, 0, NULL},
    {"num", OPT_SIZE, FIELD(num), 1, MAX_KEYS, NULL},
    {"writes", OPT_SIZE, FIELD(writes), 0, UINT64_MAX, NULL},
    {"reads", OPT_SIZE, FIELD(reads), 0, UINT64_MAX, NULL},
    {"sync_num", OPT_SIZE, FIELD(sync_num), 0, UINT64_MAX, NULL},
    {"threads", OPT_SIZE, FIELD(threads), 1, 1024, NULL},
    {"key_size", OPT_SIZE, FIELD(key_size), 16, BENCH_KEY_MAX - 1, NULL},
    {"value_size", OPT_SIZE, FIELD(value_size), 0, VALUE_POOL, NULL},
    {"write_buffer_size", OPT_SIZE, FIELD(write_buffer), 0, SIZE_MAX, NULL},
    {"cache_size", OPT_SIZE, FIELD(cache_size), 0, SIZE_MAX, NULL},
    {"block_size", OPT_SIZE, FIELD(block_size), 0, SIZE_MAX, NULL},
    {"bloom_bits", OPT_SIZE, FIELD(bloom_bits), 0, 32, NULL},
    {"compression", OPT_CHOICE, FIELD(compression), 0, 0, compressions},
    {"write_rate", OPT_SIZE, FIELD(write_rate), 0, UINT64_MAX, NULL},
    {"view_ops", OPT_SIZE, FIELD(view_ops), 1, UINT64_MAX, NULL},
    {"lmdb_writemap", OPT_ON, FIELD(lmdb_writemap), 0, 0, NULL},
    {"map_budget", OPT_SIZE, FIELD(map_budget), 0, UINT64_MAX, NULL},
    {"seed", OPT_SIZE, FIELD(seed), 0, UINT64_MAX, NULL},
    {"histogram", OPT_ON, FIELD(histogram), 0, 0, NULL},
    {"pauses", OPT_ON, FIELD(pauses), 0, 0, NULL},
};

#define SPECS ((int)(sizeof specs / sizeof *specs))
// What getopt_long() returns: this and a row's index, or this and their number for --help.
#define FIRST_ID 256

void bench_parse_options(int argc, char **argv, struct bench_config *config)
{
    struct option names[SPECS + 2] = {[SPECS] = {"help", no_argument, NULL, FIRST_ID + SPECS}};
    for (int i = 0; i < SPECS; i++)
        names[i] = (struct option){specs[i].name,
                                   option_takes_value(&specs[i]) ? required_argument : no_argument,
                                   NULL, FIRST_ID + i};
    for (int id; (id = getopt_long(argc, argv, "", names, NULL)) != -1;) {
        char message[OPTION_MESSAGE_SIZE];
        bool asks_help = id == FIRST_ID + SPECS;
        if (asks_help || id < FIRST_ID) { // or it is one that getopt_long() has refused
            fputs(usage, asks_help ? stdout : stderr);
            exit(asks_help ? 0 : 2);
        }
        const struct option_spec *spec = &specs[id - FIRST_ID];
        if (!option_set(spec, config, optarg, message))
            bench_fail("option '--%s=%s': %s", spec->name, optarg, message);
    }
    if (optind != argc)
        bench_fail("unexpected argument: %s", argv[optind]);
}
