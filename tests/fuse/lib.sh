# Helpers for the tests that mount. Source it first:
#   . "$(dirname "$0")/lib.sh"
# At the end every mount in $work is taken away, and every daemon that serves a store in it is ended
# by its pid, before $work is removed (tests/lib.sh).
# shellcheck shell=bash
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

here=$root/tests/fuse
scripts=$root/mount-scripts
lsmfs=$bin/lsmfs
PATH=$bin:$PATH
export PATH

if [ ! -e /dev/fuse ]; then
    echo "skipped: this machine has no /dev/fuse, and nothing can be mounted without it"
    exit 77
fi
[ -x "$lsmfs" ] || { echo "no $lsmfs" >&2; exit 1; }
chmod 755 "$work"

# Mount points below $work, the innermost first.
mounts_in_work() {
    awk -v w="$work/" 'index($5, w) == 1 { print $5 }' /proc/self/mountinfo | sort -r
}

cleanup() {
    local m lock pid i
    cd /
    while read -r m; do
        umount -i "$m" 2>/dev/null || umount -i -l "$m" 2>/dev/null || fusermount3 -uz "$m"
    done < <(mounts_in_work)
    for lock in "$work"/*/LOCK "$work"/*/*/LOCK "$work"/*/FOLLOWERS; do
        [ -r "$lock" ] && read -r pid <"$lock" || continue
        case $pid in '' | *[!0-9]*) continue ;; esac
        for ((i = 0; i < 100; i++)); do
            [ "$(readlink "/proc/$pid/exe" 2>/dev/null)" = "$lsmfs" ] || continue 2
            sleep 0.1
        done
        kill -9 "$pid"
    done
    rm -rf --one-file-system "$work"
}

# eventually COMMAND...: waits until the command succeeds, for a minute at least: a slow machine that
# does other things as well takes its time.
eventually() {
    local i
    for ((i = 0; i < 1200; i++)); do
        "$@" && return 0
        sleep 0.05
    done
    return 1
}

mounted() { [ -n "$(awk -v m="$1" '$5 == m' /proc/self/mountinfo)" ]; }
not_mounted() { ! mounted "$1"; }

# hold_switch -s | -x: whether FUSE over io_uring is on is the machine's, and tests run beside each
# other. Who turns the switch holds it alone (-x), who asks for transport=uring shares it (-s), each
# until the test ends or asks anew.
hold_switch() {
    exec 9>>/tmp/lsmfs-tests.uring-switch
    flock "$1" 9
}

# In a new mount namespace: what other tests have mounted goes from it, or else their daemons would
# not end before the namespace does. Without a request to a daemon, which may be stopped.
leave_others() {
    python3 - <<'PY'
import ctypes, os, re
libc = ctypes.CDLL(None, use_errno=True)
MNT_DETACH, UMOUNT_NOFOLLOW = 2, 8
with open("/proc/self/mountinfo", "rb") as f:
    paths = [line.split()[4] for line in f]
for path in reversed(paths):
    path = re.sub(rb"\\([0-7]{3})", lambda m: bytes([int(m[1], 8)]), path)
    if b"/lsmfs-test." in path and libc.umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW):
        print("umount2", path, os.strerror(ctypes.get_errno()))
PY
}

# The pid of the daemon that serves store $1.
daemon_of() { head -n 1 "$1/LOCK"; }

# Whether a process runs (a zombie does not).
running() {
    local stat
    read -r stat 2>/dev/null <"/proc/$1/stat" || return 1
    [[ $stat != *") Z "* ]]
}
gone() { ! running "$1"; }

# mount_store DB MOUNTPOINT [lsmfs arguments]; a test cannot go on without.
mount_store() {
    mkdir -p "$2"
    "$lsmfs" "$@" || { fail "cannot mount $1"; finish; }
}
umount_store() { bash "$scripts/umount.lsmfs" "$1"; }
