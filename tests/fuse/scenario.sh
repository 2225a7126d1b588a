# For tests that live through one long story on one store: $db, mounted on $mnt. The first failure
# ends the story. Everything outside the mount goes to $work.
# shellcheck shell=bash
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

db=$work/db
mnt=$work/mnt

# Sets $rounds: LSMFS_ROUNDS, or $1, with LSMFS_LONG $2. Seeds RANDOM; LSMFS_SEED repeats a run's
# timing.
choose_rounds() {
    rounds=$1
    [ -z "${LSMFS_LONG-}" ] || rounds=$2
    rounds=${LSMFS_ROUNDS:-$rounds}
    RANDOM=${LSMFS_SEED:=$((RANDOM + $$))}
    echo "seed $LSMFS_SEED"
}

start() { mount_store "$db" "$mnt"; }
stop() { umount_store "$mnt" || die "cannot unmount"; }

# lsmfsctl check has nothing to say. The store must not be mounted.
check_store() {
    local out
    out=$("$bin/lsmfsctl" check -q "$db" 2>&1) || die "lsmfsctl check: $(tail -n 20 <<<"$out")"
}

# kill -9, and away with the dead mount.
kill_daemon() {
    local pid
    pid=$(daemon_of "$db")
    [ "$(readlink "/proc/$pid/exe")" = "$lsmfs" ] || die "process $pid is not our daemon"
    kill -9 "$pid"
    eventually gone "$pid" || die "the daemon does not die"
    umount -i -l "$mnt" 2>/dev/null || fusermount3 -uz "$mnt" || die "cannot unmount after the kill"
}

# Resident memory of the daemon in MiB.
resident_mb() { awk '/^VmRSS:/ { print int($2 / 1024) }' "/proc/$(daemon_of "$db")/status"; }
