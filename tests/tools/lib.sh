# Helpers for the tests of lsmfsctl. Source it first:
#   . "$(dirname "$0")/lib.sh"
# The test is in $work then (tests/lib.sh).
# shellcheck shell=bash
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

ctl=$bin/lsmfsctl
cd "$work" || exit 1

# expect STATUS ARGUMENT...: runs lsmfsctl; its input is the file $in, by default none; its output
# stays in out and err. A failure is one line.
expect() {
    local want=$1 got
    shift
    "$ctl" "$@" >out 2>err <"${in:-/dev/null}"
    got=$?
    checks=$((checks + 1))
    [ "$got" -eq "$want" ] || fail "$*: status $got, wanted $want: $(head -3 err)"
    [ "$want" -eq 0 ] || [ "$(wc -l <err)" -eq 1 ] || fail "$*: says $(cat err)"
}

# put PATH TEXT, put_random PATH BYTES: a file of the store db, which is made if there is none.
put() { printf %s "$2" | "$ctl" put -c db "$1" || fail "put $1"; }
put_random() { head -c "$2" /dev/urandom | "$ctl" put -c db "$1" || fail "put $1"; }
