#!/usr/bin/env bash
# The disk below the store is frozen, and more requests that change something wait for it than there
# are threads to serve: who only reads goes on, on each transport. After it everything that waited
# is done, and the threads that were added have gone. A daemon that is ended meanwhile has ended when
# the disk goes on, and leaves a whole store.
. "$(dirname "$0")/lib.sh"
unset LSMFS_TRANSPORT

disk=$work/disk db=$work/disk/db mnt=$work/mnt frozen=$work/frozen
writers=24 # 4 threads serve, with io_uring for each processor
jobs=()

# However this script ends, the disk is thawed: by the other process where it was killed.
freeze() {
    touch "$frozen"
    # shellcheck disable=SC2016 # expanded there
    setsid -f bash -c 'for ((i = 0; i < 300; i++)); do
            [ -e "$1" ] || exit 0
            kill -0 "$2" || break
            sleep 0.2
        done
        fsfreeze -u "$3"' _ "$frozen" $$ "$disk" >/dev/null 2>&1 </dev/null
    fsfreeze -f "$disk" || { fail "fsfreeze"; finish; }
}
thaw() {
    [ ! -e "$frozen" ] || fsfreeze -u "$disk"
    rm -f "$frozen"
}
trap 'thaw 2>/dev/null; wait; cleanup' EXIT

mkdir "$disk" "$mnt"
truncate -s 300M "$work/image"
mkfs.ext4 -qF "$work/image" || { fail "mkfs.ext4"; finish; }
mount -o loop "$work/image" "$disk" || { fail "mounting the image"; finish; }

# One of several ways to change something. In directories of their own: the kernel lets nobody look
# into one that somebody else changes.
change() {
    local dir=$mnt/p$1
    case $(($1 % 7)) in
    0) mkdir "$dir/d" ;;
    1) dd if=/dev/zero of="$dir/g" bs=256k count=4 oflag=direct status=none ;;
    2) chmod 700 "$dir" ;;
    3) mv "$dir/f" "$dir/h" ;;
    4) echo "$1" >"$dir/e" && sync "$dir/e" ;;
    5) truncate -s 1 "$dir/f" ;;
    6) rm "$dir/f" ;;
    esac
}

threads() { ls "/proc/$1/task" | wc -l; }
few_threads() { [ "$(threads "$1")" -le "$2" ]; }
quiet_check() { lsmfsctl check -q "$db" >/dev/null; }

# stall OPTIONS: mounts, freezes the disk, and has so many wait for it.
stall() {
    local i
    mount_store "$db" "$mnt" -o "threads=4,$1"
    pid=$(daemon_of "$db")
    mkdir "$mnt/read"
    seq 1000 >"$mnt/read/a"
    echo x >"$mnt/read/b"
    ln -s a "$mnt/read/link"
    for ((i = 0; i < writers; i++)); do
        mkdir "$mnt/p$i"
        echo "$i" >"$mnt/p$i/f"
    done
    sync -f "$mnt"
    before=$(threads "$pid")
    echo 3 >/proc/sys/vm/drop_caches # so that reading is asking the daemon
    jobs=()
    freeze
    for ((i = 0; i < writers; i++)); do
        change "$i" 2>/dev/null &
        jobs+=($!)
    done
    sleep 0.5 # all of them wait now, or else what follows is easier
}

# reads WHAT COMMAND...: it ends in time.
reads() {
    local what=$1
    shift
    checks=$((checks + 1))
    timeout -s KILL 10 "$@" >/dev/null && return
    fail "$what"
    return 1
}
is_absent() { ! stat "$1" 2>/dev/null; }
export -f is_absent

# Stops at the first that does not end, for the disk is not to be frozen for long.
read_all() {
    local t=$1 n
    for ((n = 0; n < 3; n++)); do
        reads "$t: df" df "$mnt" &&
            reads "$t: ls" ls -l "$mnt/read" &&
            reads "$t: stat" stat "$mnt/read/b" &&
            reads "$t: cat" cat "$mnt/read/a" &&
            reads "$t: readlink" readlink "$mnt/read/link" &&
            reads "$t: ls of the root" ls "$mnt" &&
            reads "$t: stat of what is not there" bash -c 'is_absent "$1"' _ "$mnt/none$n" || return 1
        echo 2 >/proc/sys/vm/drop_caches
    done
    same "$t: nothing was changed meanwhile" "$(jobs -rp | wc -l)" "$writers"
}

one_transport() {
    local t=$1 before pid i n
    stall "transport=$t$2"
    read_all "$t" || finish
    thaw
    for i in "${jobs[@]}"; do
        wait "$i" || fail "$t: a change failed"
    done
    # With io_uring they cannot leave; they are few.
    [ "$t" = uring ] && n=40 || n=8
    check "$t: threads that were added leave" eventually few_threads "$pid" $((before + n))
    same "$t: what was read" "$(tail -n 1 "$mnt/read/a")" 1000
    for ((i = 0; i < writers; i += 7)); do
        check "$t: mkdir was done" test -d "$mnt/p$i/d"
    done
    rm -r "${mnt:?}"/*
    umount_store "$mnt"
    check "$t: the daemon has gone with all its threads" eventually gone "$pid"
    check "$t: check" quiet_check
}

# ended_stalled TRANSPORT HOW COMMAND...: the daemon is ended while all that wait for the disk.
ended_stalled() {
    local t=$1 how=$2 before pid
    shift 2
    stall "transport=$t"
    "${@//PID/$pid}" 2>/dev/null # of a mount that is in use umount says so
    thaw
    wait "${jobs[@]}"
    check "$t, $how: the daemon has gone" eventually gone "$pid"
    ! mounted "$mnt" || umount "$mnt" || fail "$t, $how: umount"
    check "$t, $how: check" quiet_check
    mount_store "$db" "$mnt" -o "transport=$t"
    same "$t, $how: what was there" "$(tail -n 1 "$mnt/read/a")" 1000
    rm -r "${mnt:?}"/*
    umount_store "$mnt"
}

hold_switch -s
transports=(plain poll)
! "$lsmfs" --fake -o transport=uring "$db" "$mnt" 2>/dev/null || transports+=(uring)
for transport in "${transports[@]}"; do
    one_transport "$transport" ""
    [ "$transport" = plain ] || one_transport "$transport" ,no_writeback
    ended_stalled "$transport" "kill -9" kill -9 PID
    ended_stalled "$transport" "abort" umount -f "$mnt"
done
finish
