#!/usr/bin/env bash
# lsmfsctl backup of a mounted store that is written all the while: each generation is the tree of
# one moment; a full target, a client that goes away and a daemon that is killed harm nothing.
. "$(dirname "$0")/lib.sh"
cd "$work" || exit 1
db=$work/db mnt=$work/mnt ctl=$bin/lsmfsctl

mount_store "$db" "$mnt"
head -c 8000000 /dev/urandom >"$mnt/large"
mkdir "$mnt/d"

# Files 1, 2, 3, ... one after the other: a moment's tree has all up to one of them.
write_files() {
    local i
    for ((i = 1; ; i++)); do
        head -c $((i % 30 * 1000)) "$mnt/large" >"$mnt/d/tmp" && mv "$mnt/d/tmp" "$mnt/d/$i" || exit
        [ -e stop ] && exit
    done
}
has_more() { [ "$(ls "$mnt/d" | wc -l)" -gt "$1" ]; }
write_files &
writer=$!
eventually has_more 20
for g in 1 2 3; do
    check "backup $g" "$ctl" backup "$db" target >"out$g"
    count[g]=$(ls "$mnt/d" | wc -l)
    eventually has_more $((count[g] + 20))
done
touch stop
wait $writer
for g in 1 2 3; do
    check "restore $g" "$ctl" restore "target@$g" "r$g"
    same "check $g" "$("$ctl" check "r$g")" "r$g: no problem found"
    "$ctl" ls "r$g" /d | grep -v tmp | sort -n >names
    same "no gap in $g" "$(wc -l <names)" "$(tail -n 1 names)"
    check "not beyond its end: $g" test "$(wc -l <names)" -le "${count[g]}"
done
check "more in the third" test "$("$ctl" ls r3 /d | wc -l)" -gt "$("$ctl" ls r1 /d | wc -l)"
mkdir restored
mount_store "$work/r3" "$work/restored"
check "large is the same" cmp "$mnt/large" restored/large
last=$(ls restored/d | grep -v tmp | sort -n | tail -n 1)
check "the last is the same" cmp "$mnt/d/$last" "restored/d/$last"
umount_store "$work/restored"
check "all bytes" "$ctl" backup verify target >out

# What has been deleted and compacted since is still in its generation.
rm -r "$mnt/d"
check "compact" "$ctl" compact "$db"
check "another" "$ctl" backup "$db" target >out
check "delete" "$ctl" backup delete target@1
check "all bytes" "$ctl" backup verify target >out
matches "into the mount" "$("$ctl" backup "$db" "$mnt/t" 2>&1)" "*lies in the mount*"
check_not "nothing is made there" test -e "$mnt/t"

# A target that is full: the generation before is whole, and with room the backup goes on.
mkdir small
mount -t tmpfs -o size=12M none small
check "into a small one" "$ctl" backup "$db" small/t >out
head -c 6000000 /dev/urandom >"$mnt/more"
sync -f "$mnt/more"
matches "full" "$("$ctl" backup "$db" small/t 2>&1)" "*No space left on device*"
same "generations" "$("$ctl" backup list small/t | tail -n +2 | wc -l)" 1
check "whole" "$ctl" backup verify small/t >out
mount -o remount,size=40M none small
check "goes on" "$ctl" backup "$db" small/t >out
check "whole" "$ctl" backup verify small/t >out
check "restore" "$ctl" restore small/t rs
same "check" "$("$ctl" check rs)" "rs: no problem found"

# A client that goes away, and a daemon that is killed, in the middle. Whoever is slower than the
# backup tries again with more to copy; without a new process between its beginning and the end.
begun() {
    local files=(target/tmp/*)
    [ -e "${files[0]}" ]
}
interrupt() { # what to kill
    local i had pid
    for i in {1..10}; do
        mountpoint -q "$mnt" || mount_store "$db" "$mnt"
        head -c $((i * 20000000)) /dev/urandom >"$mnt/x$i"
        sync -f "$mnt/x$i"
        had=$("$ctl" backup list target | wc -l)
        pid=$(daemon_of "$db")
        "$ctl" backup "$db" target >/dev/null 2>&1 &
        until begun || ! running $!; do :; done
        if [ "$1" = client ]; then kill -INT $!; else kill -9 "$pid"; fi
        wait $! 2>/dev/null
        [ "$1" = client ] || { umount -l "$mnt" && eventually gone "$pid"; }
        [ "$("$ctl" backup list target | wc -l)" = "$had" ] && return
        rm -f "$mnt/x$i"
    done
    fail "the $1 was not interrupted"
}
set -m # else background jobs ignore SIGINT
interrupt client
check "still mounted" test -e "$mnt/large"
check "whole" "$ctl" backup verify target >out
check "goes on" "$ctl" backup "$db" target >out
interrupt daemon
set +m
check "whole" "$ctl" backup verify target >out
check "a closed store" "$ctl" backup "$db" target >out
check "whole" "$ctl" backup verify target >out
check "restore" "$ctl" restore target last
same "check" "$("$ctl" check last)" "last: no problem found"
finish
