#!/usr/bin/env bash
# Mounts beside the one that writes (ro,follow): files appear, change and vanish; renames; the writer
# killed and started again; a follower that was stopped; nothing the writer waits for.
. "$(dirname "$0")/lib.sh"
cd "$work" || exit 1
db=$work/db w=$work/w f1=$work/f1 f2=$work/f2

mount_store "$db" "$w" -o follow_keep_ms=3000
mkdir "$w/d"
echo one >"$w/d/a"
mount_store "$db" "$f1" -o ro,follow,follow_ms=200
mount_store "$db" "$f2" -o ro,follow,follow_ms=1000
followers() { grep -c "^mounted on $work/f[12]$" "$db/FOLLOWERS"; }
same "they say who they are" "$(followers)" 2

# What is not there yet comes; the kernel keeps nothing for longer than it may.
is() { [ "$(cat "$1" 2>/dev/null)" = "$2" ]; }
both() { # WHAT NAME CONTENT
    check "$1, first" eventually is "$f1/$2" "$3"
    check "$1, second" eventually is "$f2/$2" "$3"
}
gone_in_both() {
    check "$1, first" eventually [ ! -e "$f1/$2" ]
    check "$1, second" eventually [ ! -e "$f2/$2" ]
}
both "what was there" d/a one
gone_in_both "not there yet" d/b
echo two >"$w/d/b"
sync -f "$w"
both "a new file" d/b two
echo TWO >"$w/d/b"
sync -f "$w"
both "another content of the same size" d/b TWO
head -c 3000000 /dev/urandom >"$w/large"
sync -f "$w"
sum=$(md5sum <"$w/large")
large_is() { [ "$({ md5sum <"$1/large"; } 2>/dev/null)" = "$sum" ]; }
check "a large file" eventually large_is "$f1"
check "a large file, second" eventually large_is "$f2"
# In place, with the size and the times that it had.
touch -r "$w/large" "$work/times"
printf changed | dd of="$w/large" bs=1 seek=1000000 conv=notrunc status=none
touch -r "$work/times" "$w/large"
sync -f "$w"
sum=$(md5sum <"$w/large")
check "changed in place" eventually large_is "$f1"
check "changed in place, second" eventually large_is "$f2"
ln "$w/d/a" "$w/d/hard"
mv "$w/d" "$w/moved"
mkdir "$w/d"
echo other >"$w/d/a"
sync -f "$w"
both "in a directory that was moved" moved/hard one
both "in the directory in its place" d/a other
rm -r "$w/moved"
sync -f "$w"
gone_in_both "a removed directory" moved

# What is open: renamed, it goes on; removed, it ends.
echo log1 >"$w/log"
sync -f "$w"
both "a log" log log1
exec 7<"$f1/log"
mv "$w/log" "$w/log.1"
echo log2 >"$w/log"
sync -f "$w"
both "the next log" log log2
same "the log that is open" "$(cat <&7)" log1
same "and its size" "$(stat -L -c %s /dev/fd/7)" 5
exec 7<&-

for change in "touch $f1/x" "rm $f1/log" "mkdir $f1/x" "chmod 600 $f1/log" "mv $f1/log $f1/y"; do
    matches "$change" "$(LC_ALL=C $change 2>&1)" "*Read-only file system*"
done

# A storm of renames; what is seen of a file is its own.
echo 1 >"$w/p1"
echo 2 >"$w/p2"
sync -f "$w"
both "a pair" p2 2
for i in $(seq 60); do
    mv "$w/p1" "$w/t" && mv "$w/p2" "$w/p1" && mv "$w/t" "$w/p2"
    mkdir "$w/s$i" && echo "$i" >"$w/s$i/f" && mv "$w/s$i" "$w/r$i"
done &
storm=$!
wrong=0
while running "$storm"; do
    for n in "$f1"/r*/f "$f2"/r*/f; do
        [ -e "$n" ] || continue
        i=${n#*/r*/r}
        read -r content <"$n" 2>/dev/null || continue
        dir=$(basename "$(dirname "$n")")
        [ "r$content" = "$dir" ] || wrong=$((wrong + 1))
    done
done
wait "$storm"
same "a file in another's place" "$wrong" 0
sync -f "$w"
tree() { (cd "$1" && find . -printf '%p %y %s %i\n' | sort && find . -type f -exec md5sum {} + | sort); }
wanted=$(tree "$w")
tree_is() { [ "$(tree "$1" 2>/dev/null)" = "$wanted" ]; }
check "all the same after a storm" eventually tree_is "$f1"
check "all the same after a storm, second" eventually tree_is "$f2"

# The writer dies and comes again.
echo before >"$w/killed"
sync -f "$w"
kill -9 "$(daemon_of "$db")"
check "the writer is gone" eventually gone "$(daemon_of "$db")"
umount -l "$w"
both "while nobody writes" killed before
mount_store "$db" "$w" -o follow_keep_ms=3000
echo after >"$w/killed"
sync -f "$w"
both "by the next writer" killed after

# One that sleeps for longer than files are kept, while everything is rewritten.
pid=$(awk -v m="$f1" '/^[0-9]+$/ { pid = $1 } $0 == "mounted on " m { print pid }' "$db/FOLLOWERS")
check "its pid" [ -n "$pid" ]
trap 'kill -CONT "$pid" 2>/dev/null; cleanup' EXIT
kill -STOP "$pid"
for i in 1 2 3; do
    head -c 3000000 /dev/urandom >"$w/large"
    echo "$i" >"$w/slept"
    sync -f "$w"
    "$bin/lsmfsctl" compact "$db" >/dev/null
    [ "$i" -gt 1 ] || old=$(echo "$db"/*.sst) # the next compaction replaces them
done
rm -r "$w"/r1*
sync -f "$w"
sum=$(md5sum <"$w/large")
check "the other one went on" eventually large_is "$f2"
removed() {
    local table
    for table in $old; do
        [ ! -e "$table" ] || return 1
    done
}
check "files are not kept for ever" eventually removed
kill -CONT "$pid"
check "after a sleep" eventually is "$f1/slept" 3
check "after a sleep, content" eventually large_is "$f1"
wanted=$(tree "$w")
check "after a sleep, all" eventually tree_is "$f1"

umount_store "$f1"
check "its end is waited for" gone "$pid"
umount_store "$f2"
umount_store "$w"
check "clean" "$bin/lsmfsctl" check "$db"
check_not "without ro" "$lsmfs" -o follow "$db" "$f1"
check_not "with a snapshot" "$lsmfs" -o ro,follow,snapshot=x "$db" "$f1"
check_not "no store" "$lsmfs" -o ro,follow "$work/absent" "$f1"
finish
