#!/usr/bin/env bash
# dbench: the file operations of four busy file-server clients.
# LSMFS_DBENCH_S: for how many seconds (10; 30 with LSMFS_LONG).
. "$(dirname "$0")/scenario.sh"

seconds=10
[ -z "${LSMFS_LONG-}" ] || seconds=30
seconds=${LSMFS_DBENCH_S:-$seconds}

start
dbench -t "$seconds" -D "$mnt" 4 >"$work/log" 2>&1 || die "dbench: $(tail -20 "$work/log")"
grep -E '^ERROR|^[[(][0-9]+[])] ' "$work/log" | head -5 >"$work/bad"
[ ! -s "$work/bad" ] || die "dbench: $(cat "$work/bad")"
grep '^Throughput' "$work/log" || die "dbench did not finish: $(tail -20 "$work/log")"
stop
check_store
finish
