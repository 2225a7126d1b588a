#!/usr/bin/env bash
# Runs lsm_bench on tinylsm, LevelDB, RocksDB and LMDB in turn (A B C D A B C D ...), takes medians,
# checks that all engines answered the same, and writes a table and a chart:
#
#   bench/engine/compare.sh [options] [OUT_DIR]     (bench/results)
#     --num=N          keys (1000000)
#     --reads=N        reads (num)
#     --memory=SIZE    write buffer, and cache where it is not to hold everything (64M)
#     --rounds=N       (3)
#     --engines=LIST   (tinylsm,leveldb,rocksdb,lmdb)
#     --before=FILE    lsm_bench of another commit, as the engine "before": tinylsm is measured
#                      against that (engines: before,tinylsm)
#     --groups=LIST    (fillseq,main,cached,delete,plain,mixed,sync); also: kept
#     --bin=FILE       (build/bin/lsm_bench)
#     --db=DIR         where the stores are made: DIR/lsm_compare.* (/tmp)
#     --name=NAME      of the files written: engine-NAME.md, engine-NAME.svg (today's date)
#     --keep=DIR       keep the bench's own output there
#
# Leaves a non-zero status when engines disagree or one fails.
. "$(dirname "$0")/../common.sh"

num=1000000 reads=0 memory=64M rounds=3 engines='' before='' bin=$root/build/bin/lsm_bench db=/tmp
groups=fillseq,main,cached,delete,plain,mixed,sync name=$(date +%F) keep=''
parse_options "num reads memory rounds engines before groups bin db name keep" "$@"
out=${arguments[0]:-$root/bench/results}
[ -x "$bin" ] || die "$bin: build it first (Release)"
[ -z "$before" ] || [ -x "$before" ] || die "$before: there is no such program"
[ -n "$engines" ] || engines=${before:+before,tinylsm}
[ -n "$engines" ] || engines=tinylsm,leveldb,rocksdb,lmdb
IFS=, read -ra engine_list <<<"$engines"
IFS=, read -ra group_list <<<"$groups"

work=$(mktemp -d "$db/lsm_compare.XXXXXX")
logs=${keep:-$work/logs}
mkdir -p "$logs"
trap 'rm -rf "$work"' EXIT

warm=readseq,readrandom,readrandom,readhot,readseq,readreverse,seekrandom,scan100

# The runs of a group, on one engine. "cached" and "delete" use the store that "main" left. "mixed"
# starts with every key present, so that what its readers find does not depend on the writer. "kept"
# overwrites what a snapshot keeps (tinylsm only).
run() { # engine group
  local program=("$bin" --engine="$1")
  [ "$1" != before ] || program=("$before" --engine=tinylsm)
  local b=("${program[@]}" --num="$num" --reads="$reads" --write_buffer_size="$memory"
    --cache_size="$memory" --db="$work/$1.db")
  case $2 in
  fillseq) "${b[@]}" --db="$work/$1.seq" --benchmarks=fillseq,waitidle,readseq,stats ;;
  main)
    "${b[@]}" --benchmarks=fillrandom,overwrite,readrandom,waitidle,compact,readrandom,readmissing,readhot,readseq,readreverse,seekrandom,scan100,stats
    ;;
  cached)
    "${b[@]}" --use_existing_db --cache_size=1G --benchmarks=$warm
    "${b[@]}" --use_existing_db --cache_size=1G --threads=2 --benchmarks=readseq,readrandom,readrandom
    ;;
  plain)
    "${b[@]}" --db="$work/$1.plain" --compression=none --benchmarks=fillrandom,waitidle,compact,$warm,stats
    ;;
  mixed)
    b+=(--db="$work/$1.mixed")
    "${b[@]}" --benchmarks=fillseq,overwrite,waitidle,compact
    "${b[@]}" --use_existing_db --threads=2 --write_rate=20000 --benchmarks=readwhilewriting
    "${b[@]}" --use_existing_db --threads=2 --benchmarks=readwhilewriting
    ;;
  kept)
    b+=(--db="$work/$1.kept")
    "${b[@]}" --benchmarks=fillrandom,compact,snapshot,overwrite,overwrite,overwrite,readrandom,waitidle,compact,readrandom,stats
    ;;
  delete) "${b[@]}" --use_existing_db --benchmarks=deleterandom,readrandom,deleteseq,readrandom ;;
  sync)
    "${b[@]}" --db="$work/$1.sync" --sync_num=4000 --benchmarks=fillsync
    "${b[@]}" --db="$work/$1.sync" --sync_num=4000 --threads=4 --benchmarks=fillsync
    ;;
  *) echo "compare.sh: no such group: $2" >&2; return 2 ;;
  esac
  rm -rf "$work/$1".{seq,plain,mixed,sync,kept}
}

for ((round = 1; round <= rounds; round++)); do
  for group in "${group_list[@]}"; do
    for engine in "${engine_list[@]}"; do
      echo "round $round of $rounds: $group: $engine" >&2
      run "$engine" "$group" >"$logs/$round.$engine.$group.log"
    done
  done
  rm -rf "$work"/*.db
done

mkdir -p "$out"
status=0
python3 "$here/report.py" --logs="$logs" --engines="$engines" --groups="$groups" --rounds="$rounds" \
  --num="$num" --memory="$memory" --db="$db" --markdown="$out/engine-$name.md" \
  --svg="$out/engine-$name.svg" || status=$?
exit $status
