#!/usr/bin/env bash
# What 1,000 named snapshots cost the present, and how long making one takes.
#   bench/fs/snapshots.sh prepare DIR    makes two stores with the same history in DIR, one of which has a
#                                        snapshot after each of its 1,000 steps
#   bench/fs/snapshots.sh measure DIR    three rounds on copies of both: processor time of a read and a write,
#                                        and what compactions write
#   bench/fs/snapshots.sh create DIR     how long `snapshot create` takes with 1,000 and with 100,000 files, and
#                                        in turn how long dd takes to write and sync a page on that disk
#   bench/fs/snapshots.sh diff DIR       how long `diff` takes of 100 changed files among 1,000,000 (which it
#                                        makes first, unless DIR has them): cold, and again
#   bench/fs/snapshots.sh backup DIR     latencies of a process that creates, reads and appends in that store,
#                                        alone and beside a backup of it with a file of 2 GiB
# LSMFS_BIN: the programs of a Release build (build/bin).
set -eu
here=$(cd "$(dirname "$0")" && pwd)
bin=$(realpath -- "${LSMFS_BIN:-$(dirname "$0")/../../build/bin}")
work=$2
files=20000 steps=1000
loops() { "$bin/lsmfs_loops" "$@"; }
up() { mkdir -p "$work/mnt" && "$bin/lsmfs" "$1" "$work/mnt"; }
down() {
    local pid
    pid=$(head -n 1 "$1/LOCK")
    umount "$work/mnt"
    while kill -0 "$pid" 2>/dev/null; do sleep 0.05; done
}

prepare() {
    local kind i j
    for kind in none many; do
        up "$work/$kind"
        mkdir "$work/mnt/base"
        loops create "$work/mnt/base" "$files" 1
        for ((i = 0; i < steps; i++)); do
            for ((j = 0; j < 5; j++)); do echo "$i" >"$work/mnt/step$((i * 7 % 500)).$j"; done
            [ $kind = none ] || "$bin/lsmfsctl" snapshot create "$work/many" "s$i"
        done
        down "$work/$kind"
    done
}

measure() {
    local round kind
    for round in 1 2 3; do
        for kind in none many; do
            cp -a "$work/$kind" "$work/copy"
            "$bin/lsmfs_present" "$work/copy" | sed "s/^/$kind /"
            rm -rf "$work/copy"
        done
    done | sort -k 1,2 -k 3n | awk '{ k = $2 " " $1; all[k] = all[k] " " $3; jobs[$2] = 1
                                       if (++n[k] == 2) middle[k] = $3 }
        END { for (j in jobs) {
                  printf "%s: without%s, with%s: %+.1f %%\n", j, all[j " none"], all[j " many"],
                         100 * middle[j " many"] / middle[j " none"] - 100 } }'
}

create() {
    local count i start
    for count in 1000 100000; do
        up "$work/c$count"
        mkdir "$work/mnt/d"
        loops create "$work/mnt/d" "$count" 1 >/dev/null
        sync -f "$work/mnt"
        for i in 1 2 3 4 5; do
            start=${EPOCHREALTIME/./}
            "$bin/lsmfsctl" snapshot create "$work/c$count" "s$i"
            echo -n "$count files: $((${EPOCHREALTIME/./} - start)) us"
            start=${EPOCHREALTIME/./}
            dd if=/dev/zero of="$work/page" bs=4096 count=1 conv=fdatasync status=none
            echo ", a page: $((${EPOCHREALTIME/./} - start)) us"
            rm "$work/page"
        done
        down "$work/c$count"
        rm -rf "$work/c$count"
    done
}

drop_caches() {
    sync
    echo 3 >/proc/sys/vm/drop_caches
}

million() {
    [ ! -e "$work/million" ] || return 0
    up "$work/million"
    mkdir "$work/mnt/d"
    loops create "$work/mnt/d" 1000000 2 >/dev/null
    down "$work/million"
}

timed() { # WHAT COMMAND...
    local start=${EPOCHREALTIME/./} lines
    lines=$("${@:2}" | wc -l)
    echo "$1: $(((${EPOCHREALTIME/./} - start) / 1000)) ms, $lines lines"
}

diff() {
    local i db=$work/million a=a$$ b=b$$
    million
    up "$db"
    "$bin/lsmfsctl" snapshot create "$db" "$a"
    for ((i = 0; i < 100; i++)); do echo changed >"$work/mnt/d/p$((i % 2))/f$((i * 4999))"; done
    "$bin/lsmfsctl" snapshot create "$db" "$b"
    down "$db"
    for i in 1 2 3; do
        drop_caches
        timed "not mounted, cold" "$bin/lsmfsctl" diff "$db" "$a" "$b"
        drop_caches
        timed "not mounted, cold, to the present" "$bin/lsmfsctl" diff "$db" "$a"
        drop_caches
        up "$db"
        timed "mounted, cold" "$bin/lsmfsctl" diff "$db" "$a" "$b"
        timed "again" "$bin/lsmfsctl" diff "$db" "$a" "$b"
        down "$db"
    done
}

backup() {
    local db=$work/million
    million
    up "$db"
    head -c 2G /dev/urandom >"$work/mnt/big"
    sync -f "$work/mnt"
    for _ in 1 2 3; do
        python3 "$here/latencies.py" "$work/mnt" 4 alone
        rm -rf "$work/backup"
        "$bin/lsmfsctl" backup -q "$db" "$work/backup" &
        python3 "$here/latencies.py" "$work/mnt" 0 "beside backup" $!
        wait
    done
    rm -rf "$work/backup" "$work/mnt/big"
    down "$db"
}

"$1"
