#!/usr/bin/env bash
# lsm_bench's command line: what it refuses, and that what it is told arrives. What it measures is
# not looked at.
. "$(dirname "$0")/../lib.sh"

cd "$work" || exit 1

# run STATUS ARGUMENT...: the output stays in out and err.
run() {
    local want=$1
    shift
    "$bin/lsm_bench" --db="$work/db" "$@" >out 2>err
    same "$*: status" $? "$want"
}

refused() { # option, what it takes
    run 1 "$1"
    same "$1" "$(cat err)" "lsm_bench: option '$1': takes $2"
}

refused --num=0 "a number from 1 to 256T, perhaps with K, M, G or T"
for bad in '' x -1 +1 '1 ' 1x 1KK 1.5K 257T 18446744073709551616 18014398509481985K; do
    refused "--num=$bad" "a number from 1 to 256T, perhaps with K, M, G or T"
done
refused --reads=99999999999999999999 "a number, perhaps with K, M, G or T"
refused --view_ops=0 "a number of at least 1, perhaps with K, M, G or T"
refused --key_size=15 "a number from 16 to 255, perhaps with K, M, G or T"
refused --compression=gzip "one of default, none, lz4, snappy, zlib"
run 2 --unknown
run 2 --num
run 2 --histogram=1
run 0 --help
matches "help" "$(head -1 out)" "usage: lsm_bench *"
check_not "nothing is made" test -e db

run 0 --engine=tinylsm --benchmarks=fillseq,readseq --num=2k --value_size=1K --key_size=20 \
    --threads=2 --write_buffer_size=1m --compression=none --cache_size=3M --bloom_bits=0 --seed=0
matches "what it was told" "$(cat out)" "*
data             : 2048 keys of 20 bytes, values of 1024 bytes, seed 0
memory           : write buffer 1.0 MiB, cache 3.0 MiB, 0 bloom bits
*"
check "made where it was told" test -s db/CURRENT

# Two builds side by side: a table with the rates of both, their ratio, and no aim.
"$root/bench/engine/compare.sh" --bin="$bin/lsm_bench" --before="$bin/lsm_bench" --num=2000 \
    --rounds=1 --groups=fillseq --db="$work" --name=both "$work/results" >out 2>err
same "compare.sh --before: status" $? 0
matches "both builds" "$(cat out)" "| workload | before | tinylsm | ratio | to | wanted |
*
| fillseq | *"
matches "their ratio" "$(grep fillseq out)" "| fillseq | * | * | \*\**\*\** | before | - |"
check "the report" test -s "$work/results/engine-both.md"
check_not "no chart against others" test -e "$work/results/engine-both.svg"
"$root/bench/engine/compare.sh" --bin="$bin/lsm_bench" --before=/nowhere "$work/results" 2>err
same "no such build: status" $? 2
same "no such build" "$(cat err)" "compare.sh: /nowhere: there is no such program"

finish
