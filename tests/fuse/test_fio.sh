#!/usr/bin/env bash
# fio writes blocks that carry their own checksum, by write and by shared mapping, and reads them
# back, also after a remount. LSMFS_FIO_MB: size of each file in MiB (32; 256 with LSMFS_LONG).
. "$(dirname "$0")/scenario.sh"

size=${LSMFS_FIO_MB:-32}
[ -z "${LSMFS_LONG-}" ] || size=${LSMFS_FIO_MB:-256}

# name, then fio's options
job() {
    local name=$1
    shift
    fio --name="$name" --directory="$mnt" --size="${size}m" --verify=crc32c --verify_fatal=1 \
        --randseed=4711 --group_reporting --output="$work/fio.log" "$@" ||
        die "fio $name $*: $(tail -30 "$work/fio.log")"
}

jobs=(
    'seq --rw=write --bs=1m'
    'seq4k --rw=write --bs=4k --fsync=512'
    'odd --rw=write --bs_unaligned=1 --bsrange=100-70000'
    'rand --rw=randwrite --bs=4k'
    'randodd --rw=randwrite --bsrange=512-64k --bs_unaligned=1'
    'fdatasync --rw=randwrite --bs=16k --fdatasync=64'
    'mmapseq --ioengine=mmap --rw=write --bs=64k'
    'mmaprand --ioengine=mmap --rw=randwrite --bs=4k'
    'two --rw=randwrite --bs=8k --numjobs=2'
)
start
for options in "${jobs[@]}"; do
    # shellcheck disable=SC2086 # name and options
    job $options
done
stop
start
for options in "${jobs[@]}"; do
    # shellcheck disable=SC2086
    job $options --verify_only
done
# What one way of access has written, the other one reads.
job seq --rw=write --bs=1m --verify_only --ioengine=mmap
job mmaprand --rw=randwrite --bs=4k --verify_only --ioengine=psync
stop
check_store
finish
