#!/usr/bin/env bash
# What overwriting does to lsmfs, in space, memory and later reads, and what compression costs where
# there is nothing to compress; writes a Markdown table:
#
#   bench/fs/overwrite.sh [options] DIR [OUT_DIR]      (bench/results)
#     --rounds=N       of overwriting, and of each stream (10, 15)
#     --size=MB        of the file (1024); a round overwrites four times as much
#     --bs=SIZE        of the random overwrites (16k)
#     --bin=DIR        of lsmfs (build/bin)
#     --name=NAME      of the file written: overwrite-NAME.md (today's date)
#
# The store is made in DIR. Sizes are of its files as `du` sees them, the preallocated logs and the
# reserve for a full disk included, sampled ten times a second. The rounds are with dirty_ratio=1, so
# that what is overwritten does not stay with the kernel but reaches the store. Needs root: it drops
# caches.
. "$(dirname "$0")/../common.sh"
. "$(dirname "$0")/systems.sh"

rounds='' size=1024 bs=16k bin=$root/build/bin name=$(date +%F)
parse_options "rounds size bs bin name" "$@"
[ ${#arguments[@]} -gt 0 ] || usage
dir=${arguments[0]} out=${arguments[1]:-$root/bench/results}
systems_check lsmfs "$dir"
need fio
systems_start "$dir"
mnt=$work/mnt sampler=''
trap '[ -z "$sampler" ] || kill "$sampler" 2>/dev/null || true; systems_end' EXIT
start() {
    options=${1-}
    place lsmfs
}
stop() { unmount; }

say() { printf '%s\n' "$*" >>"$work/table"; }
used_mb() { du -sm "$work/db" | cut -f1; }
# MB/s of one fio run on the file.
run_fio() {
    fio --name=job --filename="$mnt/file" --size="${size}M" --ioengine=psync --fallocate=none \
        --invalidate=0 --randrepeat=0 --refill_buffers --output-format=terse --terse-version=3 "$@" |
        awk -F';' '{printf "%.0f\n", ($7 + $48) / 1000}'
}
read_cold() { drop_caches; run_fio --rw=read --bs=1M; }

# The store is quiet once nothing in it has changed for three seconds.
settle() {
    local before='' now same=0
    for ((i = 0; i < 120 && same < 3; i++)); do
        sleep 1
        now=$(find "$work/db" -type f -printf '%f %s %b\n' | sort | md5sum)
        [ "$now" = "$before" ] && same=$((same + 1)) || same=0
        before=$now
    done
}

# Bytes that the daemon has sent to the disk.
written() { awk '/^write_bytes/ {print $2}' "/proc/$(daemon_pid)/io"; }
daemon_pid() { sed -n 1p "$work/db/LOCK"; }
# Samples the store's size and the daemon's memory until it is killed.
sample() {
    local most=0 resident=0 now pid
    pid=$(daemon_pid)
    trap 'echo "$most $((resident / 1024))" >"$work/peak"; exit' TERM
    while :; do
        now=$(used_mb 2>/dev/null) || true # files go while it looks
        [ "${now:-0}" -le "$most" ] || most=$now
        now=$(awk '/^VmRSS/ {print $2}' "/proc/$pid/status" 2>/dev/null) || true
        [ "${now:-0}" -le "$resident" ] || resident=$now
        sleep 0.1
    done
}

say "# Overwriting: a file of $size MiB"
say
say "\`bench/fs/overwrite.sh ${*@Q}\` makes this table. lsmfs at commit $(git -C "$root" rev-parse --short HEAD 2>/dev/null || echo unknown), $(nproc) CPUs, Linux $(uname -r)."
say
say "| what | seen | wanted |"
say "|---|---:|---:|"

echo "fragments: 100,000 random 4 KiB overwrites" >&2
start
run_fio --rw=write --bs=1M --end_fsync=1 >/dev/null
settle
fresh=$(for _ in 1 2 3; do read_cold; done | median)
run_fio --rw=randwrite --bs=4k --io_size=400000k --end_fsync=1 >/dev/null
busy=$(read_cold)
settle
after=$(for _ in 1 2 3; do read_cold; done | median)
say "| sequential read, cold, of a fresh file | $fresh MB/s | |"
say "| right after 100,000 random 4 KiB overwrites | $busy MB/s | |"
say "| once the store is quiet again | $after MB/s: $(awk "BEGIN {printf \"%.0f %%\", 100 * $after / $fresh}") | 50 % |"

n=${rounds:-10}
echo "space: $n rounds of $((4 * size)) MiB" >&2
stop
start dirty_ratio=1
sample &
sampler=$!
before=$(written)
rates=$(for ((i = 1; i <= n; i++)); do
    echo "round $i of $n" >&2
    run_fio --rw=randwrite --bs="$bs" --io_size="$((4 * size))M" --norandommap --end_fsync=1
done | median)
amplification=$(awk "BEGIN {printf \"%.2f\", ($(written) - $before) / ($n * $size * 4194304)}")
kill "$sampler" && wait "$sampler" || true
sampler=''
read -r most resident <"$work/peak"
settle
say "| $n rounds of $((4 * size)) MiB of random overwrites of $bs (\`dirty_ratio=1\`): rate | $rates MB/s | |"
say "| bytes written to the disk for each | $amplification | |"
say "| most space while they went on | $most MiB | $((size * 3 / 2)) MiB |"
say "| space once quiet | $(used_mb) MiB | |"
say "| most memory of the daemon | $resident MiB | |"
stop

echo "deleting: a file and its copy" >&2
rm -rf "$work/db"
start
run_fio --rw=write --bs=1M --end_fsync=1 >/dev/null
cp "$mnt/file" "$mnt/copy"
sync "$mnt/copy"
most=$(used_mb)
rm "$mnt/file" "$mnt/copy"
sleep 30
left=$(used_mb)
stop
say "| a file written, copied, both deleted: space 30 s later | $left MiB: $(awk "BEGIN {printf \"%.1f %%\", 100 * $left / $most}") of $most MiB | 5 % |"

n=${rounds:-15}
echo "incompressible streams: $n rounds" >&2
: >"$work/none"
: >"$work/lz4"
for ((i = 1; i <= n; i++)); do
    ((i % 2)) && codecs='none lz4' || codecs='lz4 none'
    for codec in $codecs; do
        rm -rf "$work/db"
        start "blob_compression=$codec"
        pid=$(daemon_pid)
        rate=$(run_fio --rw=write --bs=1M --end_fsync=1)
        echo "$rate $(awk '{print $14 + $15}' "/proc/$pid/stat")" >>"$work/$codec"
        stop
    done
done
rate() { cut -d' ' -f1 "$work/$1" | median; }
cpu_ms() { cut -d' ' -f2 "$work/$1" | median | awk '{print 10 * $1}'; }
say "| incompressible stream, not compressed | $(rate none) MB/s, $(cpu_ms none) ms of CPU | |"
say "| the same with the probe for LZ4 | $(rate lz4) MB/s, $(cpu_ms lz4) ms of CPU: $(awk "BEGIN {printf \"%+.1f %%\", 100 * ($(rate lz4) / $(rate none) - 1)}") of rate, $(awk "BEGIN {printf \"%+.1f %%\", 100 * ($(cpu_ms lz4) / $(cpu_ms none) - 1)}") of CPU | -3 % |"

mkdir -p "$out"
cp "$work/table" "$out/overwrite-$name.md"
cat "$out/overwrite-$name.md"
