#!/usr/bin/env bash
# lsmfsctl send and receive: whole snapshots and changes; a stream that is cut off, damaged or for
# another store changes nothing.
. "$(dirname "$0")/lib.sh"

# All keys and values of the store $1, with its snapshots, as one sum.
state() { { "$ctl" scan -w 100000000 "$1" && "$ctl" snapshot list -n "$1"; } | md5sum; }

put_random /large 3000000
for i in 1 2 3; do put_random "/f$i" 20000; done
"$ctl" mkdir -p db /dir/sub
for i in $(seq 20); do echo "$i" | "$ctl" put db "/dir/sub/$i"; done
expect 0 snapshot create db one
state db >state.one
"$ctl" rm db /f2
"$ctl" mv db /dir /moved
put_random /new 100000
echo again | "$ctl" put db /f1
expect 0 snapshot create db two
state db >state.two
put_random /later 1000
expect 0 snapshot create db three
state db >state.three

# ---- whole, then the changes
"$ctl" send db one >one || fail "send one"
"$ctl" send --from one db two >two || fail "send two"
"$ctl" send -F two db three >three || fail "send three"
[ "$(stat -c %s two)" -lt 150000 ] || fail "changes take $(stat -c %s two) bytes"
in=one expect 0 receive copy
same "the whole" "$(state copy)" "$(cat state.one)"
in=two expect 0 receive copy
same "the changes" "$(state copy)" "$(cat state.two)"
expect 0 check copy
in=three expect 0 receive copy
same "more changes" "$(state copy)" "$(cat state.three)"
[ ! -e copy.receiving ] || fail "copy.receiving is left"
"$ctl" send db three | "$ctl" receive piped || fail "through a pipe"
same "a snapshot alone" "$("$ctl" snapshot list -n piped)" three
expect 0 check piped
# Received snapshots are as good as the first ones, by another name too.
expect 0 snapshot rename copy two renamed
"$ctl" send --from renamed copy three >three.copy || fail "send from a copy"
in=one expect 0 receive second
in=two expect 0 receive second
in=three.copy expect 0 receive second
same "from a copy" "$("$ctl" scan -w 100000000 second)" "$("$ctl" scan -w 100000000 db)"

# ---- refusals: nothing changes
in=one expect 1 receive copy
in=three expect 1 receive copy
grep -q "already" err || fail "received twice: $(cat err)"
in=three expect 1 receive piped
in=one expect 0 receive plain
in=three expect 1 receive plain # two is missing
grep -q "does not have the snapshot two" err || fail "base missing: $(cat err)"
in=two expect 1 receive absent
[ ! -e absent ] || fail "a store was made of changes"
# A snapshot of the same name is not the same snapshot.
cp -r plain same
expect 0 snapshot delete same one
expect 0 snapshot create same one
in=two expect 1 receive same
# A store that was changed since; going back makes it fit again.
echo mine | "$ctl" put plain /mine
state plain >state.plain
in=two expect 1 receive plain
grep -q "was changed after snapshot one" err || fail "changed: $(cat err)"
same "nothing happened" "$(state plain)" "$(cat state.plain)"
expect 0 snapshot rollback --yes plain one
in=two expect 0 receive plain
same "gone back and on" "$("$ctl" ls -R plain)" "$("$ctl" ls -R second | grep -v later)"
expect 0 check plain
mkdir empty
in=one expect 1 receive empty
in=one expect 1 receive db/inside
expect 1 receive none
grep -q "cut off" err || fail "no stream at all: $(cat err)"
in=$root/README.md expect 1 receive none
grep -q "no stream" err || fail "another file: $(cat err)"
[ ! -e none ] || fail "a store was made of nothing"
expect 1 send db absent
expect 1 send --from absent db one
expect 1 send --from two db one
same "nothing is written" "$(stat -c %s out)" 0
script -qec "'$ctl' send db one" /dev/null >out </dev/null
same "to a terminal" "$?" 2
[ "$(stat -c %s out)" -lt 500 ] || fail "a stream was written to a terminal"

# ---- cut off at each frame, and one byte on; single bytes changed
for stream in one two; do
    size=$(stat -c %s $stream) at=16 cuts=(8 16)
    while [ "$at" -lt "$size" ]; do
        n=$(od -An -tu4 -j "$at" -N 4 $stream)
        cuts+=($((at + 7)) $((at + 17)))
        at=$((at + 16 + n))
        [ "$at" -eq "$size" ] || cuts+=("$at")
    done
    same "$stream ends with a frame" "$at" "$size"
    rm -rf target
    [ $stream = one ] || in=one expect 0 receive target
    for cut in "${cuts[@]}"; do
        head -c "$cut" $stream >cut
        in=cut expect 1 receive target
        grep -q "cut off" err || fail "$stream cut at $cut says '$(cat err)'"
    done
    for at in 9 20 40 100 $((size / 2)) $((size - 40)) $((size - 1)); do
        cp $stream bad
        byte=$(od -An -tu1 -j "$at" -N 1 bad)
        printf "\\x$(printf %x $((byte ^ 64)))" | dd of=bad bs=1 seek="$at" conv=notrunc status=none
        in=bad expect 1 receive target
    done
    cat $stream >bad
    echo >>bad
    in=bad expect 1 receive target
    if [ $stream = one ]; then
        [ ! -e target ] || fail "a store was made of a broken stream"
    else
        same "unchanged" "$(state target)" "$(cat state.one)"
        expect 0 check target
    fi
    [ ! -e target.receiving ] || fail "target.receiving is left"
done

# ---- killed in the middle: unchanged; what is left goes with the next one
# Waits until process $1 has the store open.
has_begun() {
    local i
    for ((i = 0; i < 600; i++)); do
        find "/proc/$1/fd" -lname '*/target/MANIFEST*' 2>/dev/null | grep -q . && return
        sleep 0.05
    done
    fail "it does not open the store"
}
head -c 100000 two >part
mkfifo pipe
"$ctl" receive target <pipe >/dev/null 2>&1 &
exec 6>pipe
cat part >&6
has_begun $!
# A signal ends it cleanly, a second receive does not get the store.
in=two expect 1 receive target
kill -TERM $!
wait $!
same "ended by a signal" "$?" 143
exec 6>&-
same "unchanged by a signal" "$(state target)" "$(cat state.one)"
"$ctl" receive target <pipe >/dev/null 2>&1 &
exec 6>pipe
cat part >&6
has_begun $!
kill -9 $!
wait $! 2>/dev/null
exec 6>&-
same "unchanged" "$(state target)" "$(cat state.one)"
in=two expect 0 receive target
same "and received" "$(state target)" "$(cat state.two)"
expect 0 check target
# So does what is left beside a new store.
"$ctl" receive fresh <pipe >/dev/null 2>&1 &
exec 6>pipe
head -c 100000 one >&6
for ((i = 0; i < 600; i++)); do [ ! -e fresh.receiving/CURRENT ] || break; sleep 0.05; done
[ -e fresh.receiving/CURRENT ] || fail "nothing is prepared beside the store"
kill -9 $!
wait $! 2>/dev/null
exec 6>&-
[ ! -e fresh ] || fail "a store was made of a part"
in=one expect 0 receive fresh
same "a new one" "$(state fresh)" "$(cat state.one)"
[ ! -e fresh.receiving ] || fail "fresh.receiving is left"

# ---- what is beside the store's files in its directory stays
rm -rf target
in=one expect 0 receive target
mkdir target/lost && echo aside >target/lost/000001.sst
in=two expect 0 receive target
same "put aside by a repair" "$(cat target/lost/000001.sst)" aside
[ ! -e target.receiving ] || fail "target.receiving is left"
same "received" "$(state target)" "$(cat state.two)"

# ---- owner and mode stay
if [ "$(id -u)" -eq 0 ]; then
    rm -rf target
    in=one expect 0 receive target
    chown -R 1234:1234 target
    chmod 750 target
    in=two expect 0 receive target
    same "owner and mode" "$(stat -c '%u %g %a' target)" "1234 1234 750"
    same "files of others" "$(find target ! -uid 1234)" ""
fi

finish
