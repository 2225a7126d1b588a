#!/usr/bin/env bash
# How tinylsm does as the store grows: loads N random entries with the default memory (64 MiB write
# buffer, 64 MiB cache), reads, and writes a Markdown table:
#
#   bench/engine/scale.sh [options] [OUT_DIR]     (bench/results)
#     --nums=LIST      numbers of puts (1000000,10000000,50000000)
#     --reads=N        random reads (200000), run twice: the second counts
#     --rounds=N       of reading, the sizes in turn; medians are shown (3)
#     --bin=FILE       (build/bin/lsm_bench)
#     --db=DIR         where the stores are made: DIR/lsm_scale.* (/tmp); these three take 8 GB
#     --name=NAME      of the file written: scale-NAME.md (today's date)
#     --keep=DIR       keep the bench's own output there
#
# Loading is N puts of keys drawn from N, in ten parts; where the slowest put is told, so is how long
# the machine itself paused (as root only). Reading is done by new processes, after all tables were
# read into the page cache; "mapped" with a map_budget for all tables.
. "$(dirname "$0")/../common.sh"

nums=1000000,10000000,50000000 reads=200000 rounds=3 bin=$root/build/bin/lsm_bench db=/tmp
name=$(date +%F) keep=''
parse_options "nums reads rounds bin db name keep" "$@"
out=${arguments[0]:-$root/bench/results}
[ -x "$bin" ] || die "$bin: build it first (Release)"
IFS=, read -ra num_list <<<"$nums"

work=$(mktemp -d "$db/lsm_scale.XXXXXX")
load=fillrandom$(printf ',overwrite%.0s' {1..9})
trap 'rm -rf "$work"' EXIT
for num in "${num_list[@]}"; do
  echo "$num puts" >&2
  "$bin" --pauses --db="$work/$num" --num="$num" --writes=$((num / 10)) --benchmarks="$load,stats,waitidle" >"$work/$num.log"
done
for ((round = 1; round <= rounds; round++)); do
  echo "reading, round $round of $rounds" >&2
  for num in "${num_list[@]}"; do
    find "$work/$num" -name "*.sst" -exec cat {} + >/dev/null # the page cache is warm
    read_store=("$bin" "--db=$work/$num" "--num=$num" "--reads=$reads" --use_existing_db)
    "${read_store[@]}" --benchmarks=waitidle,readrandom,stats,readrandom,stats,readmissing,seekrandom >"$work/$num.read.$round.log"
    "${read_store[@]}" --map_budget=1024G --benchmarks=readrandom,readrandom >"$work/$num.mapped.$round.log"
  done
done

mkdir -p "$out"
if [ -n "$keep" ]; then
  mkdir -p "$keep"
  cp "$work"/*.log "$keep"/
fi
python3 "$here/scale_report.py" --logs="$work" --nums="$nums" --db="$db" --reads="$reads" --rounds="$rounds" >"$out/scale-$name.md"
cat "$out/scale-$name.md"
