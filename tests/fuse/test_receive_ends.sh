#!/usr/bin/env bash
# lsmfsctl receive into a mounted store that does not come to its end: a client that is interrupted
# or killed, two at once, a daemon that is killed, a full disk; what is refused: a tree that was
# changed, a file without a name, a mount that only reads. Each leaves the tree as it was, or as the
# stream makes it.
. "$(dirname "$0")/lib.sh"
cd "$work" || exit 1
ctl=$bin/lsmfsctl
db=$work/db src=$work/src copy=$work/copy mnt=$work/mnt

mount_store "$db" "$src" -o noatime
mkdir "$src/d"
for i in {1..40}; do echo "$i" >"$src/d/$i"; done
check "first" "$ctl" snapshot create "$db" one
check "send" eval '"$ctl" send -q "$db" one >one'
rm "$src"/d/1*
head -c 3000000 /dev/urandom >"$src/new"
mv "$src/d" "$src/moved"
check "second" "$ctl" snapshot create "$db" two
check "changes" eval '"$ctl" send -q --from one "$db" two >two'
check "copy" "$ctl" receive -q pristine <one

shown() { (cd "$1" && find . -mindepth 1 -printf '%P %y %m %n %s %T@\n' | sort && find . -type f -print0 | sort -z | xargs -0 md5sum); }
shown "$src/.snapshots/one" >one.tree
shown "$src/.snapshots/two" >two.tree
shows() { # WORDS TREE
    shown "$mnt" >shown
    check "$1" diff shown "$2"
}
fresh() { # another copy, mounted
    rm -rf "$copy"
    cp -a pristine "$copy"
    mount_store "$copy" "$mnt" -o noatime
}

# ---- a client that is interrupted, or killed
fresh
mkfifo pipe
begin() { # a receive that has read a part: $client, and 6, what feeds it
    env --default-signal=INT "$ctl" receive "$copy" <pipe >said 2>&1 &
    client=$!
    exec 6>pipe
    head -c 500000 two >&6
}
begin
kill -INT $client
wait $client
same "interrupted" $? 130
exec 6>&-
matches "it says so" "$(cat said)" "*cancelled, and unchanged*"
shows "nothing is changed by an interrupt" one.tree
begin
kill -9 $client
wait $client 2>/dev/null
exec 6>&-
shows "nor by a killed client" one.tree
same "no snapshot" "$("$ctl" snapshot list -n "$copy")" one

# ---- a file without a name, and a tree that was changed
cat >nameless.py <<'PY'
import os, sys
fd = os.open(sys.argv[1], os.O_TMPFILE | os.O_RDWR)
os.write(fd, b"kept")
print("open", flush=True)
sys.stdin.read()
sys.exit(os.pread(fd, 10, 0) != b"kept")
PY
mkfifo hold told
python3 nameless.py "$mnt" <hold >told &
nameless=$!
exec 7>hold
read -r _ <told
matches "a file without a name" "$("$ctl" receive "$copy" <two 2>&1)" "lsmfsctl: $copy: a file without a name is open*"
shows "nothing is changed beside it" one.tree
exec 7>&-
wait $nameless
same "it has its content" $? 0
touch "$mnt/mine"
"$ctl" receive "$copy" <two >live 2>&1
same "a tree that was changed" $? 1
umount_store "$mnt"
"$ctl" receive "$copy" <two >unmounted 2>&1
same "the same status when it is not mounted" $? 1
check "and the same words" cmp live unmounted

# ---- two at once: one has done it
fresh
"$ctl" receive "$copy" <two >first.said 2>&1 &
first=$!
"$ctl" receive "$copy" <two >second.said 2>&1
second=$?
wait $first
same "one of two" $(($? + second)) 1
check "the other is refused" grep -Eq "already|was changed" first.said second.said
shows "the new tree" two.tree

# ---- what is made afterwards has a number of its own
for i in {1..50}; do echo mine >"$mnt/moved/mine$i"; done
same "no number twice" "$(find "$mnt" -mindepth 1 -links 1 -printf '%i\n' | sort | uniq -d)" ""
check "nothing is wrong" "$ctl" check -q "$copy"
umount_store "$mnt"

# ---- a daemon that is killed: before or after
for round in 1 2 3 4 5 6; do
    fresh
    if [ $round -eq 1 ]; then
        begin
    else
        "$ctl" receive "$copy" <two >said 2>&1 &
        client=$!
        sleep 0.0$((RANDOM % 10))
    fi
    kill -9 "$(daemon_of "$copy")"
    wait $client
    status=$?
    exec 6>&-
    umount -l "$mnt"
    mount_store "$copy" "$mnt" -o noatime
    if [ "$("$ctl" snapshot list -n "$copy" | wc -l)" -eq 2 ]; then
        shows "killed after" two.tree
    else
        shows "killed before" one.tree
        [ $status -ne 0 ] || fail "it was done, and is lost"
        check "and again" "$ctl" receive "$copy" <two
        shows "done the next time" two.tree
    fi
    check "nothing is wrong in round $round" "$ctl" check -q "$copy"
    umount_store "$mnt"
done

# ---- a full disk
head -c 30000000 /dev/urandom >"$src/large"
check "third" "$ctl" snapshot create "$db" three
"$ctl" send -q --from two "$db" three >three
mkdir disk
mount -t tmpfs -o size=64m tmpfs disk || { echo "skipped: no tmpfs"; exit 77; }
copy=$work/disk/copy
cp -a pristine "$copy"
mount_store "$copy" "$mnt" -o noatime
check "there is room for these" "$ctl" receive "$copy" <two
head -c 40000000 /dev/urandom >disk/other
matches "no room" "$("$ctl" receive "$copy" <three 2>&1)" "*No space left*"
shows "a full disk changes nothing" two.tree
rm disk/other
check "with room" "$ctl" receive "$copy" <three
check "the large file" cmp "$mnt/large" "$src/large"
check "nothing is wrong after it" "$ctl" check -q "$copy"
umount_store "$mnt"

# ---- a mount that only reads
mount_store "$copy" "$mnt" -o ro
matches "mounted to be read" "$("$ctl" receive "$copy" <two 2>&1)" "*mounted on $mnt*"
umount_store "$mnt"
umount "$work/disk"
finish
