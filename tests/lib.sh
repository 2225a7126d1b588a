# What the test scripts share. Each folder's lib.sh sources it:
#   . "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
# The directory of the programs, $bin, is $1 or LSMFS_BIN, by default build/bin; that of the build,
# $build, is LSMFS_BUILD. Each test works in $work, a directory of its own, which is removed at the
# end.
# shellcheck shell=bash
set -u

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=${LSMFS_BUILD:-$root/build}
bin=${1:-${LSMFS_BIN:-$root/build/bin}}
bin=$(realpath -e -- "$bin") || exit 1

checks=0 failures=0
work=$(mktemp -d "${TMPDIR:-/tmp}/lsmfs-test.XXXXXX")
cleanup() {
    cd /
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

finish() {
    echo "$checks checks, $failures failed"
    [ "$failures" -eq 0 ]
    exit
}

# A test that cannot go on.
die() {
    fail "$@"
    finish
}
