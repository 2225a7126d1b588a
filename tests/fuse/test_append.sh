#!/usr/bin/env bash
# Eight processes append to the same files, through one long-lived descriptor each and by opening
# the file for each line: no line is lost, torn or doubled.
# LSMFS_LINES: lines of each process (1000).
. "$(dirname "$0")/scenario.sh"

lines=${LSMFS_LINES:-1000}
pad=$(printf 'p%.0s' {1..200})

appender() { # number
    local i line
    exec 5>>"$mnt/held"
    for ((i = 0; i < lines; i++)); do
        line="$1 $i ${pad:0:i % 200} end"
        printf '%s\n' "$line" >&5 || exit 1
        printf '%s\n' "$line" >>"$mnt/reopened" || exit 1
    done
}

start
pids=()
for w in 1 2 3 4 5 6 7 8; do
    appender $w &
    pids+=($!)
done
for pid in "${pids[@]}"; do
    wait "$pid" || die "an appender failed"
done

expected() {
    local w i
    for w in 1 2 3 4 5 6 7 8; do
        for ((i = 0; i < lines; i++)); do
            printf '%s\n' "$w $i ${pad:0:i % 200} end"
        done
    done | LC_ALL=C sort
}
expected >"$work/expected"
check_files() { # when
    local file
    for file in held reopened; do
        LC_ALL=C sort "$mnt/$file" | cmp - "$work/expected" || die "$1: $file is not whole"
    done
}
check_files "after the writers"
stop
start
check_files "after a remount"
stop
check_store
finish
