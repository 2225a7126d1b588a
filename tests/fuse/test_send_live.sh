#!/usr/bin/env bash
# lsmfsctl send of a mounted store that is written all the while, received into another; receive into
# a mounted one is refused.
. "$(dirname "$0")/lib.sh"
cd "$work" || exit 1
db=$work/db mnt=$work/mnt ctl=$bin/lsmfsctl

mount_store "$db" "$mnt"
mkdir "$mnt/d"
head -c 5000000 /dev/urandom >"$mnt/large"
ln -s large "$mnt/link"
setfattr -n user.note -v one "$mnt/large"
write_files() {
    local i
    for ((i = 1; ; i++)); do
        head -c $((i % 30 * 1000)) "$mnt/large" >"$mnt/d/$((i % 50))" || exit
        [ -e stop ] && exit
    done
}
write_files &
writer=$!
check "first" "$ctl" snapshot create "$db" one
check "send" "$ctl" send "$db" one >one
check "receive" "$ctl" receive copy <one
rm "$mnt/link"
mv "$mnt/d" "$mnt/moved" && mkdir "$mnt/d"
check "second" "$ctl" snapshot create "$db" two
check "send through a pipe" eval '"$ctl" send --from one "$db" two | "$ctl" receive copy'
check "a deleted snapshot's name" "$ctl" snapshot delete "$db" one
touch stop
wait $writer

# Both snapshots of the copy are those of the store.
check "the same keys" cmp <("$ctl" send "$db" two | md5sum) <("$ctl" send copy two | md5sum)
check "clean" "$ctl" check copy >out
mkdir seen
mount_store "$work/copy" "$work/seen" -o ro
check "content" cmp "$mnt/large" seen/large
same "attribute" "$(getfattr --only-values -n user.note seen/large)" one
check_not "removed" test -e seen/link
check "moved" test -d seen/moved
check "third" "$ctl" snapshot create "$db" three
"$ctl" send --from two "$db" three >three
matches "mounted" "$("$ctl" receive copy <three 2>&1)" "*mounted on $work/seen*"
umount_store "$work/seen"
check "not mounted" "$ctl" receive copy <three

# A pipe that closes, and a store that is unmounted, end it without harm to either.
check "fourth" "$ctl" snapshot create "$db" four
"$ctl" send "$db" four | head -c 1000 >part
check "still mounted" test -e "$mnt/large"
mkfifo pipe
"$ctl" send "$db" four >pipe 2>err &
sender=$!
exec 5<pipe
head -c 1000 <&5 >part
umount_store "$mnt"
cat <&5 >rest
exec 5<&-
wait $sender
same "the sender fails" "$?" 1
cat part rest >cut
matches "and what it sent is not taken" "$("$ctl" receive new <cut 2>&1)" "*cut off*"
check_not "nothing is made" test -e new
finish
