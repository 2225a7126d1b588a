#!/usr/bin/env bash
# The same fio jobs on ext4 (or whatever DIR is on), on a passthrough FUSE server over it, and on
# lsmfs with its store there, in turn (A B C A B C ...); takes medians and writes a table and a
# chart:
#
#   bench/fs/fio.sh [options] DIR [OUT_DIR]      (bench/results)
#     --rounds=N       (3)
#     --size=MB        of the file (1024)
#     --seconds=N      of each job that runs for a time (8)
#     --systems=LIST   (ext4,passthrough,lsmfs)
#     --jobs=LIST      (all; names as in the table below)
#     --bin=DIR        of lsmfs (build/bin)
#     --before=DIR     of another build of it, for the system `before`: --systems=before,lsmfs
#     --options=LIST   mount options of lsmfs
#     --name=NAME      of the files written: fio-NAME.md, fio-NAME.svg (today's date)
#     --keep=DIR       keep fio's own output there
#
# The passthrough server is $PASSTHROUGH if set (libfuse's passthrough_hp: SOURCE MOUNTPOINT), else
# bindfs (apt). Caches are dropped before the jobs called cold; that needs root.
. "$(dirname "$0")/../common.sh"
. "$(dirname "$0")/systems.sh"

rounds=3 size=1024 seconds=8 systems=ext4,passthrough,lsmfs bin=$root/build/bin
before='' jobs=all name=$(date +%F) keep='' options=''
parse_options "rounds size seconds systems jobs bin before options name keep" "$@"
[ ${#arguments[@]} -gt 0 ] || usage
dir=${arguments[0]} out=${arguments[1]:-$root/bench/results}
systems_check "$systems" "$dir"
need fio python3
systems_start "$dir"
logs=$work/logs
mkdir "$logs"

# One job: name, then fio's arguments. The file is kept from job to job. Several jobs at once have
# a file each, which together are as large.
job() {
    local name=$1 files=(--filename="$target/file" --size="${size}M")
    shift
    [[ $jobs == all || ,$jobs, == *,$name,* ]] || return 0
    if [[ $* =~ --numjobs=([0-9]+) ]]; then
        files=(--directory="$target" --filename_format='part.$jobnum'
            --size="$((size / BASH_REMATCH[1]))M")
    fi
    fio --name="$name" "${files[@]}" --ioengine=psync \
        --thread --randrepeat=0 --group_reporting --fallocate=none --invalidate=0 \
        --output-format=json --output="$logs/$round.$system.$name.json" "$@" >/dev/null
}
timed() { local n=$1; shift; job "$n" --time_based --runtime="$seconds" "$@"; }

fill_parts() {
    fio --name=fill --directory="$target" --filename_format='part.$jobnum' --numjobs="$1" \
        --size="$((size / $1))M" --rw=write --bs=1M --refill_buffers --end_fsync=1 \
        --fallocate=none --output=/dev/null
}

run_jobs() {
    rm -f "$target/file"
    job write-1m --rw=write --bs=1M --end_fsync=1 --refill_buffers
    rm -f "$target/file"
    job write-1m-half --rw=write --bs=1M --end_fsync=1 --refill_buffers \
        --buffer_compress_percentage=50
    rm -f "$target/file"
    job write-4k --rw=write --bs=4k --end_fsync=1 --refill_buffers
    [ -e "$target/file" ] || fio --name=fill --filename="$target/file" --size="${size}M" --rw=write \
        --bs=1M --refill_buffers --end_fsync=1 --output=/dev/null
    drop_caches
    job read-1m --rw=read --bs=1M
    drop_caches
    timed randread-4k --rw=randread --bs=4k
    fill_parts 8
    drop_caches
    timed randread-4k-8 --rw=randread --bs=4k --numjobs=8
    job randwrite-4k --rw=randwrite --bs=4k --io_size="$((size / 4))M" --end_fsync=1 --refill_buffers
    timed randwrite-4k-sync --rw=randwrite --bs=4k --fsync=1 --refill_buffers
    timed randwrite-4k-sync-8 --rw=randwrite --bs=4k --fsync=1 --numjobs=8 --refill_buffers
    rm -f "$target"/part.*
    fill_parts 4
    timed mixed-16k-4 --rw=randrw --rwmixread=70 --bs=16k --numjobs=4 --end_fsync=1 --refill_buffers
}

IFS=, read -ra system_list <<<"$systems"
for ((round = 1; round <= rounds; round++)); do
    for system in "${system_list[@]}"; do
        echo "round $round of $rounds: $system" >&2
        place "$system"
        run_jobs
        rm -f "$target/file" "$target"/part.*
        [ "$target" = "$work/plain" ] || unmount
    done
done
[ -z "$keep" ] || { mkdir -p "$keep" && cp "$logs"/* "$keep"; }
mkdir -p "$out"
python3 "$here/fio_report.py" --logs "$logs" --systems "$systems" --rounds "$rounds" --dir "$dir" \
    --size "$size" --options "$options" --markdown "$out/fio-$name.md" --svg "$out/fio-$name.svg"
