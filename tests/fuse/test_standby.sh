#!/usr/bin/env bash
# Option standby: a mount that waits while another has the store, and takes its place when that
# unmounts or dies. tests/rados/test_rados.sh has the same for a store in a cluster.
. "$(dirname "$0")/lib.sh"
db=$work/db one=$work/one two=$work/two
mkdir "$one" "$two"
waiting_pid() { # of the daemon whose mount point is $1
    local dir
    for dir in /proc/[0-9]*; do
        [ "$(readlink "$dir/exe" 2>/dev/null)" = "$lsmfs" ] || continue
        tr '\0' '\n' <"$dir/cmdline" 2>/dev/null | grep -qxF -- "$1" && echo "${dir#/proc/}" && return
    done
}
serves() { mounted "$1" && [ "$(cat "$1/file" 2>/dev/null)" = "$2" ]; }

# ---- nobody has the store: it is mounted at once
check "a standby for a store that nobody has" "$lsmfs" -o standby "$db" "$one"
check "is mounted" mounted "$one"
echo first >"$one/file"

# ---- another has it
out=$("$lsmfs" -o standby "$db" "$two" 2>&1)
same "the command succeeds" $? 0
matches "says who has the store" "$out" "*$two: standing by: *in use by process*mounted on $one*"
check "does not mount" not_mounted "$two"
standby=$(waiting_pid "$two")
check "and waits in the background" running "$standby"

# ---- a clean unmount hands over
umount -i "$one" 2>/dev/null || fusermount3 -u "$one"
check "it takes over after an unmount" eventually serves "$two" first
echo second >"$two/file" && sync "$two/file"

# ---- so does kill -9
check "the other way round" "$lsmfs" -o standby "$db" "$one"
kill -9 "$standby"
check "it takes over after a kill -9" eventually serves "$one" second
umount -i -l "$two" 2>/dev/null || fusermount3 -uz "$two"

# ---- a standby that is not needed any more
check "another standby" "$lsmfs" -o standby "$db" "$two"
standby=$(waiting_pid "$two")
kill "$standby"
check "SIGTERM ends it" eventually gone "$standby"
"$lsmfs" -f -o standby "$db" "$two" 2>"$work/foreground.err" &
standby=$!
check "one in the foreground says that it waits" eventually grep -qs "standing by" "$work/foreground.err"
kill "$standby"
wait "$standby"
same "and ends with 0" $? 0
check "nothing was mounted" not_mounted "$two"
check "the writer is not disturbed" serves "$one" second

# ---- a store that cannot be taken over
check_not "a reader does not stand by" "$lsmfs" -o ro,standby "$db" "$two"
"$lsmfs" -f -o standby "$db" "$two" 2>"$work/taking.err" &
standby=$!
check "one more waits" eventually grep -qs "standing by" "$work/taking.err"
umount_store "$one"
check "and takes over" eventually serves "$two" second
check "unmount" umount_store "$two"
wait "$standby"
same "an unmount ends it with 0" $? 0
check "nothing is wrong" lsmfsctl check -q "$db"

# ---- the store is removed meanwhile: no empty one is mounted in its place
mount_store "$work/other" "$one"
"$lsmfs" -f -o standby "$work/other" "$two" 2>"$work/removed.err" &
standby=$!
check "one that is to be disappointed" eventually grep -qs "standing by" "$work/removed.err"
kill -STOP "$standby"
check "unmount before the removal" umount_store "$one"
check "the store is removed" lsmfsctl destroy --yes "$work/other"
kill -CONT "$standby"
eventually gone "$standby" || { fail "it does not end" && kill "$standby"; }
wait "$standby"
same "a removed store: status" $? 1
same "a removed store" "$(tail -n 1 "$work/removed.err")" \
    "lsmfs: $work/other: the store was removed while it was waited for"
check_not "it is not made again" test -e "$work/other"

# ---- the mount point is removed meanwhile: that is said, and another can have the store
mount_store "$db" "$one"
mkdir "$work/three"
"$lsmfs" -f -o standby "$db" "$work/three" 2>"$work/no_place.err" &
standby=$!
check "one that loses its place" eventually grep -qs "standing by" "$work/no_place.err"
rmdir "$work/three"
check "unmount before the loss shows" umount_store "$one"
eventually gone "$standby" || { fail "it does not end without a place" && kill "$standby"; }
wait "$standby"
same "no mount point: status" $? 1
matches "no mount point" "$(tail -n 1 "$work/no_place.err")" "lsmfs: $work/three: cannot be mounted on: *"
mount_store "$db" "$one"
check "the store is free" serves "$one" second
umount_store "$one"
finish
