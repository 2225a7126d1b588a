#!/usr/bin/env bash
# kill -9 of the daemon while blocks of three sizes are overwritten and synced: after each remount
# every block is whole and not older than its last successful fsync (blocks.c).
# LSMFS_ROUNDS: how many rounds (4; 40 with LSMFS_LONG). LSMFS_SEED repeats a run's timing.
. "$(dirname "$0")/scenario.sh"

choose_rounds 4 40
cc -O1 -o "$work/blocks" "$here/blocks.c" || die "blocks.c does not compile"
sizes=(4096 16384 131072)

verify() {
    local size
    for size in "${sizes[@]}"; do
        "$work/blocks" verify "$mnt/file.$size" "$work/ledger.$size" "$size" || die "see above"
    done
}

for ((round = 1; round <= rounds; round++)); do
    start
    verify
    writers=()
    for size in "${sizes[@]}"; do
        "$work/blocks" write "$mnt/file.$size" "$work/ledger.$size" "$size" "$RANDOM" &
        writers+=($!)
    done
    delay=$((RANDOM % 2000 + 200))
    sleep "$((delay / 1000)).$(printf %03d $((delay % 1000)))"
    kill_daemon
    wait "${writers[@]}"
    echo "round $round: killed after $delay ms"
    check_store
done
start
verify
stop
check_store
finish
