# Takeovers under load. Sourced by test_rados.sh after cluster.sh; run by itself it starts a cluster
# and makes as many as it is told:
#   bash tests/rados/takeovers.sh [BIN] [N]
#
# Three programs write files into the store, each with fsync, and note what was acknowledged. One
# daemon serves the store, another stands by. The first is stopped, or killed, or killed while the
# other cannot see that its process is gone (as from another machine), in turn. The other takes over.
# A daemon that was stopped wakes then, and must not write any more. After each takeover all that was
# acknowledged meanwhile is there, at the end all of it.
# shellcheck shell=bash disable=SC2154 # lib.sh's and cluster.sh's
if [ "${BASH_SOURCE[0]}" = "$0" ]; then
    . "$(dirname "$0")/../fuse/lib.sh"
    . "$here/../rados/cluster.sh"
    takeovers_alone=1
fi

writers=3

# The content of file N of writer ID: 10 bytes to 300 KB, from takeover_source.
takeover_bytes() { head -c $((10 + $2 * 7919 % 300000)) "$work/noise.$1"; }

# Writes until $work/writing goes, on the mount that $work/turn names. A file that failed is left, and
# the next one has another number.
takeover_writer() {
    local id=$1 n=0 dir
    while [ -e "$work/writing" ]; do
        n=$((n + 1))
        read -r dir <"$work/turn"
        if takeover_bytes "$id" "$n" 2>/dev/null >"$dir/w$id.$n" && sync "$dir/w$id.$n" &&
            echo "$n" >>"$dir/log.$id" && sync "$dir/log.$id"; then
            echo "$n" >>"$work/acknowledged.$id"
        else
            sleep 0.2
        fi
    done 2>/dev/null
}

acknowledged() { cat "$work"/acknowledged.* | wc -l; }
acknowledged_each() { local id; for ((id = 0; id < writers; id++)); do wc -l <"$work/acknowledged.$id"; done; }

# takeover_lost DIR [LINES...]: how many files are not there as they were acknowledged; of each writer's
# list without its first LINES.
takeover_lost() {
    local dir=$1 id n bad=0
    shift
    for ((id = 0; id < writers; id++)); do
        while read -r n; do
            takeover_bytes "$id" "$n" | cmp -s - "$dir/w$id.$n" && grep -qx "$n" "$dir/log.$id" || {
                bad=$((bad + 1))
                echo "lost: w$id.$n" >&2
            }
        done < <(tail -n +$((${1:-0} + 1)) "$work/acknowledged.$id")
        [ $# -eq 0 ] || shift
    done
    echo "$bad"
}

# stand_by STORE MOUNTPOINT here|away: sets $standby. "away": in a namespace of processes of its own.
stand_by() {
    local command=("$lsmfs" -f -o standby "$1" "$2")
    [ "$3" = here ] || command=(unshare -p -f "${command[@]}")
    mkdir -p "$2"
    : >"$2.err"
    "${command[@]}" 2>"$2.err" &
    disown
    check "a standby waits" eventually grep -qE "standing by|mounted" "$2.err"
    standby=$(daemon_at "$2")
    daemons+=("$standby")
}

# takeovers STORE N: the store must not be mounted.
takeovers() {
    local store=$1 count=$2 at=$work/turn.a next=$work/turn.b id i how serving took start mark
    local marks pids=() modes=(stop kill away)
    for ((id = 0; id < writers; id++)); do
        head -c 300010 /dev/urandom >"$work/noise.$id"
        : >"$work/acknowledged.$id"
    done
    mount_remote "$store" "$at"
    serving=$daemon
    echo "$at" >"$work/turn"
    touch "$work/writing"
    for ((id = 0; id < writers; id++)); do
        takeover_writer "$id" &
        pids+=($!)
    done
    for ((i = 0; i < count; i++)); do
        how=${modes[i % 3]}
        mark=$(acknowledged)
        mapfile -t marks < <(acknowledged_each)
        [ "$how" = away ] && stand_by "$store" "$next" away || stand_by "$store" "$next" here
        more() { [ "$(acknowledged)" -gt $((mark + 10)) ]; }
        check "work goes on" eventually more
        start=$(date +%s%N)
        [ "$how" = stop ] && kill -STOP "$serving" || kill -9 "$serving"
        check "takeover $i ($how)" eventually mounted "$next"
        took=$((($(date +%s%N) - start) / 1000000))
        echo "takeover $i ($how): serving after $took ms, $(acknowledged) files acknowledged"
        echo "mine $i" >"$next/mine.$i" && sync "$next/mine.$i" || fail "takeover $i: no write"
        echo "$next" >"$work/turn.new" && mv "$work/turn.new" "$work/turn"
        if [ "$how" = stop ]; then
            kill -CONT "$serving"
            check_not "the one that was stopped writes no more" \
                bash -c "echo theirs >'$at/mine.$i' && sync '$at/mine.$i'"
        fi
        umount -i -l "$at"
        eventually gone "$serving" || kill -9 "$serving"
        same "files lost in takeover $i" "$(takeover_lost "$next" "${marks[@]}")" 0
        same "what the new one has written" "$(cat "$next/mine.$i")" "mine $i"
        serving=$standby
        start=$at at=$next next=$start
    done
    rm "$work/writing"
    wait "${pids[@]}"
    check "there was work" [ "$(acknowledged)" -ge $((count * 10)) ]
    same "files lost in the end" "$(takeover_lost "$at")" 0
    echo "$count takeovers, $(acknowledged) files acknowledged"
    check "unmount the last" umount_store "$at"
    check "nothing is wrong after the takeovers" lsmfsctl check -q "$store"
}

if [ -n "${takeovers_alone-}" ]; then
    cluster_start || exit 77
    takeovers rados:test/turns "${2:-50}"
    finish
fi
