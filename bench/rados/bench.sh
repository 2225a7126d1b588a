#!/usr/bin/env bash
# A store in a Ceph cluster of one machine, which the script starts, beside `rados bench` in the same
# cluster and a store in a local directory, in turn; takes medians and writes a Markdown table:
#
#   bench/rados/bench.sh [options] [OUT_DIR]      (bench/results)
#     --rounds=N     (3)
#     --size=MB      of the file that is streamed (512)
#     --seconds=N    of `rados bench` writing, and of each job of small writes (6)
#     --files=N      in the archive (10000), of 200 to 3,000 bytes each; a tenth of it where each change waits
#     --bin=DIR      of lsmfs (build/bin)
#     --name=NAME    of the file written: rados-NAME.md (today's date)
#
# All of them with the default log and with wal=held (lsmfs(8)).
# Streams are of objects of 4 MiB, 16 at a time for `rados bench`; reads of both are after a remount,
# with the kernel's caches dropped. What the object daemons have in their memory stays. Needs root.
. "$(dirname "$0")/../common.sh"

rounds=3 size=512 seconds=6 files=10000 bin=$root/build/bin name=$(date +%F)
parse_options "rounds size seconds files bin name" "$@"
out=${arguments[0]:-$root/bench/results}
[ "$(id -u)" -eq 0 ] || die "run it as root: it drops caches and mounts"
need fio ceph=ceph-common rados=ceph-common
set +e -- "$bin" # the tests' library takes its programs from here
. "$root/tests/fuse/lib.sh"
. "$root/tests/rados/cluster.sh"
cluster_on_disk=1
cluster_start || die "no cluster"
figures=$work/figures mnt=$work/mnt archive=$work/files.tar
store=rados:test/bench

up() { mount_remote "$1" "$mnt" ${2:+-o "$2"}; } # STORE [OPTIONS]
down() { umount_store "$mnt" 2>/dev/null || die "cannot unmount"; }
drop_caches() { sync -f "$work" && echo 3 >/proc/sys/vm/drop_caches; }
note() { echo "$1 $2" | tee -a "$figures" >&2; } # WHAT FIGURE

# MB/s that `rados bench` says it has moved on the average.
pool() { # write|seq
    rados -p test bench "$seconds" "$1" -t 16 --run-name stream ${2-} |
        awk '/^Bandwidth \(MB\/sec\)/ { print $NF }'
}

# What fio moves: $1 "bw" in MB/s, or "iops".
job() {
    local what=$1
    shift
    fio --name=job --ioengine=psync --thread --group_reporting --fallocate=none --invalidate=0 \
        --randrepeat=0 --refill_buffers --output-format=json "$@" |
        /usr/bin/python3 -c '
import json, sys
job = json.load(sys.stdin)["jobs"][0]
what = sys.argv[1]
value = max(job[kind][what + ("_bytes" if what == "bw" else "")] for kind in ("read", "write"))
print("%.1f" % (value / 1e6 if what == "bw" else value))' "$what"
}

pool_streams() {
    note pool_write "$(pool write --no-cleanup)"
    drop_caches
    note pool_read "$(pool seq)"
    rados -p test cleanup --run-name stream >/dev/null
}

stream() { # WHAT [OPTIONS]
    up $store "${2-}"
    note "write_$1" "$(job bw --filename="$mnt/file" --size="${size}M" --bs=1M --rw=write --end_fsync=1)"
    down
    drop_caches
    up $store "${2-}"
    note "read_$1" "$(job bw --filename="$mnt/file" --size="${size}M" --bs=1M --rw=read)"
    rm "$mnt/file"
    down
}

# 4 KiB each, into a file of its own for each job, each followed by fdatasync.
small() { # JOBS WHAT [OPTIONS]
    up $store "${3-}"
    note "sync_$2_$1" "$(job iops --directory="$mnt" --filename_format='small.$jobnum' --size=16M --bs=4k \
        --rw=randwrite --fdatasync=1 --numjobs="$1" --time_based --runtime="$seconds")"
    rm "$mnt"/small.*
    down
}

# untar WHAT STORE FILES [OPTIONS]: files a second, as tar sees it: nothing is synced.
untar() {
    local start took
    up "$2" "${4-}"
    drop_caches
    start=${EPOCHREALTIME/./}
    tar -xf "$archive.$3" -C "$mnt" || die "tar"
    took=$((${EPOCHREALTIME/./} - start))
    note "untar_$1" $(($3 * 1000000 / took))
    rm -r "$mnt"/tree
    down
}

few=$((files / 10))
for count in $few "$files"; do
    /usr/bin/python3 - "$archive.$count" "$count" <<'PY'
import io, random, sys, tarfile
draw = random.Random(1)
with tarfile.open(sys.argv[1], "w") as tar:
    for i in range(int(sys.argv[2])):
        entry = tarfile.TarInfo("tree/d%03d/f%05d" % (i // 100, i))
        entry.size = draw.randrange(200, 3000)
        tar.addfile(entry, io.BytesIO(draw.randbytes(entry.size)))
PY
done
for ((round = 1; round <= rounds; round++)); do
    pool_streams
    stream default
    stream held wal=held
    for jobs in 1 8; do
        small $jobs default
        small $jobs held wal=held
    done
    untar local "$work/plain" "$files"
    untar held $store "$files" wal=held
    untar default $store $few
done

middle() { sed -n "s/^$1 //p" "$figures" | median; }
all() { sed -n "s/^$1 //p" "$figures" | paste -sd ' '; }
ratio() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.2f", a / b }'; }
row() { # WHAT OURS OTHER WANTED
    echo "| $1 | $(all "$2") | $(all "$3") | $(ratio "$(middle "$2")" "$(middle "$3")") | $4 |"
}
{
    echo "# A store in a cluster, $name"
    echo
    echo "bench/rados/bench.sh: $(nproc) processors, Ceph $(ceph --version | cut -d ' ' -f 3), three object"
    echo "daemons on one machine and one disk, a pool of three replicas; lsmfs of $(git -C "$root" rev-parse --short HEAD)."
    echo "All rounds; the ratio is of their medians."
    echo
    echo "| | lsmfs in the cluster | compared with | ratio | wanted |"
    echo "|---|---|---|---|---|"
    row "stream of $size MB written and synced, MB/s; \`rados bench\` 16 at a time" write_default pool_write 0.8
    row "the same with wal=held" write_held pool_write 0.8
    row "the same read, MB/s" read_default pool_read 0.8
    row "writes of 4 KiB, each synced, a second: 8 jobs; one job" sync_default_8 sync_default_1 4
    row "the same with wal=held" sync_held_8 sync_held_1 4
    row "untar of $files small files, files a second, wal=held; a store in a directory" untar_held untar_local 0.7
    row "untar of $few, the default log" untar_default untar_local 0.7
} >"$out/rados-$name.md"
cat "$out/rados-$name.md"
finish
