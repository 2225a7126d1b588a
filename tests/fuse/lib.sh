# Helpers for the tests that mount. Source it first:
#   . "$(dirname "$0")/lib.sh"
# The directory of the programs is $1 or LSMFS_BIN, by default build/bin. Each test works in $work,
# a directory of its own; at the end every mount in it is taken away, every daemon that serves a
# store in it is ended by its pid, and the directory is removed.
# shellcheck shell=bash
set -u

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
bin=${1:-${LSMFS_BIN:-$root/build/bin}}
bin=$(realpath -e -- "$bin") || exit 1
scripts=$root/mount-scripts
lsmfs=$bin/lsmfs
PATH=$bin:$PATH
export PATH

if [ ! -e /dev/fuse ]; then
    echo "skipped: this machine has no /dev/fuse, and nothing can be mounted without it"
    exit 77
fi
[ -x "$lsmfs" ] || { echo "no $lsmfs" >&2; exit 1; }

checks=0 failures=0
work=$(mktemp -d "${TMPDIR:-/tmp}/lsmfs-test.XXXXXX")
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
trap cleanup EXIT
trap 'exit 1' INT TERM HUP

fail() {
    failures=$((failures + 1))
    echo "FAIL: $*"
}

# check WHAT COMMAND...: the command must succeed.
check() {
    local what=$1
    shift
    checks=$((checks + 1))
    "$@" || fail "$what ($*: status $?)"
}

# check_not WHAT COMMAND...: the command must fail.
check_not() {
    local what=$1
    shift
    checks=$((checks + 1))
    ! "$@" >/dev/null 2>&1 || fail "$what ($* succeeded)"
}

# same WHAT ACTUAL EXPECTED
same() {
    checks=$((checks + 1))
    [ "$2" = "$3" ] || fail "$1: got '$2', wanted '$3'"
}

# matches WHAT TEXT PATTERN (a shell pattern)
matches() {
    checks=$((checks + 1))
    # shellcheck disable=SC2053 # a pattern is wanted
    [[ $2 == $3 ]] || fail "$1: got '$2', wanted '$3'"
}

# eventually COMMAND...: waits until the command succeeds, 20 s at most.
eventually() {
    local i
    for ((i = 0; i < 400; i++)); do
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

finish() {
    echo "$checks checks, $failures failed"
    [ "$failures" -eq 0 ]
    exit
}
