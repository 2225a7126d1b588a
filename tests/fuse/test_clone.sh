#!/usr/bin/env bash
# lsmfsctl clone on a mounted store: what was just written is in the copy, and the mount shows it;
# paths of the mount; nobody sees an unfinished copy; a daemon that is killed leaves nothing.
. "$(dirname "$0")/lib.sh"
cd "$work" || exit 1
mnt=$work/mnt db=$work/db ctl=$bin/lsmfsctl

mount_store "$db" "$mnt"
mkdir -p "$mnt/tree/sub"
cp -a /usr/include/linux "$mnt/tree/"
ln "$mnt/tree/linux/fs.h" "$mnt/tree/sub/hard"
setfattr -n user.a -v b "$mnt/tree/sub/hard"
ls "$mnt" >/dev/null # the kernel has the listing
head -c 3000000 /dev/urandom >"$mnt/tree/new"
check "clone" "$ctl" clone "$db" /tree /copy
same "the root" "$(ls -A "$mnt" | tr '\n' ' ')" "copy tree "
check "the copy" diff -r --no-dereference "$mnt/tree" "$mnt/copy"
shown() { (cd "$1" && find . -printf '%p %y %m %U %G %s %n %T@ %l\n' | sort); }
same "attributes" "$(shown "$mnt/copy")" "$(shown "$mnt/tree")"
same "an extended one" "$(getfattr --absolute-names --only-values -n user.a "$mnt/copy/linux/fs.h")" b
check "links" test "$mnt/copy/linux/fs.h" -ef "$mnt/copy/sub/hard"
check_not "a link to the original" test "$mnt/copy/sub/hard" -ef "$mnt/tree/sub/hard"
echo changed >>"$mnt/tree/new"
check_not "they are apart" cmp -s "$mnt/tree/new" "$mnt/copy/new"
check "the store" "$ctl" check -q "$db"

# --- paths of the mount
check "paths of the mount" "$ctl" clone "$mnt/tree" "$mnt/copy/by-path"
check "the copy by path" diff -r --no-dereference "$mnt/tree" "$mnt/copy/by-path"
(cd "$mnt/copy" && "$ctl" clone by-path/sub ./again/) || fail "relative paths"
check "by relative paths" diff -r "$mnt/tree/sub" "$mnt/copy/again"
ln -s "$mnt/copy" link
check "through a symbolic link" "$ctl" clone link/again link/linked
check "it is there" diff -r "$mnt/tree/sub" "$mnt/copy/linked"
ln -s nowhere "$mnt/copy/dangling"
check "a symbolic link itself" "$ctl" clone "$mnt/copy/dangling" "$mnt/copy/dangling2"
same "its target" "$(readlink "$mnt/copy/dangling2")" nowhere
mkdir bound && mount --bind "$mnt/copy" bound
check "a bind mount" "$ctl" clone bound/again bound/bound
umount bound
check "it is there" diff -r "$mnt/tree/sub" "$mnt/copy/bound"
check "all of it" "$ctl" clone "$mnt" "$mnt/whole"
check "the whole" diff -r --no-dereference "$mnt/tree" "$mnt/whole/tree"
check_not "to what is there" "$ctl" clone "$mnt/tree" "$mnt/copy"
check_not "to another file system" "$ctl" clone "$mnt/tree" "$work/elsewhere"
check_not "from another file system" "$ctl" clone "$work" "$mnt/elsewhere"
check_not "what is not there" "$ctl" clone "$mnt/nothing" "$mnt/elsewhere"

# Snapshots, and mounts that are only read: what the paths name is not what a clone would work on.
check "a snapshot" "$ctl" snapshot create "$db" old
out=$("$ctl" clone "$mnt/.snapshots/old/tree" "$mnt/elsewhere" 2>&1)
matches "from a snapshot" "$out" "lsmfsctl: $mnt/.snapshots/old/tree: is of a snapshot: 'cp -a' *"
for to in .snapshots .snapshots/new .snapshots/old/new; do
    out=$("$ctl" clone "$mnt/tree" "$mnt/$to" 2>&1)
    same "to $to: status" $? 1
    same "to $to" "$out" "lsmfsctl: $mnt/$to: Read-only file system"
done
mount_store "$db" "$work/follower" -o ro,follow
out=$("$ctl" clone "$work/follower/tree" "$work/follower/new" 2>&1)
same "in a mount that follows" "$out" "lsmfsctl: $work/follower/new: Read-only file system"
same "nothing was made" "$("$ctl" ls "$db" | tr '\n' ' ')" "copy tree whole "
umount_store "$work/follower"
check "no snapshot" "$ctl" snapshot delete "$db" old
rm -rf "${mnt:?}"/whole "$mnt"/copy/{by-path,again,linked,dangling,dangling2,bound}

# --- an unfinished copy is nowhere to be seen
check "a snapshot to watch from" "$ctl" snapshot create "$db" start
"$ctl" watch --from start "$db" >watched 2>&1 &
watcher=$!
touch "$mnt/begun"
eventually grep -qx '+ /begun' watched || fail "watch: $(cat watched)"
(while [ ! -e stop ]; do find "$mnt" -maxdepth 2 ! -path "$mnt/tree/*" ! -path "$mnt/copy/*"; done >found) &
finder=$!
for i in 1 2 3 4; do
    "$ctl" snapshot create "$db" "s$i" &
    check "clone beside others" "$ctl" clone "$mnt/tree" "$mnt/seen$i"
    wait $!
done
touch "$mnt/done" stop
wait $finder
eventually grep -qx '+ /done' watched || fail "watch lacks the end"
kill $watcher
wait $watcher 2>/dev/null
same "seen by find" "$(grep -c lsmfs-clone found)" 0
same "seen by watch" "$(grep -c lsmfs-clone watched)" 0
for i in 1 2 3 4; do
    same "told by watch, copy $i" "$(sed -n "s:^+ /seen$i/::p" watched | sort)" \
        "$(cd "$mnt/seen$i" && find . -mindepth 1 | sed 's:^\./::' | sort)"
    same "in snapshot $i" "$(ls -A "$mnt/.snapshots/s$i" | grep -c lsmfs-clone)" 0
    same "diff of snapshot $i" "$("$ctl" diff "$db" "s$i" | grep -c lsmfs-clone)" 0
done
check "the store with its snapshots" "$ctl" check -q "$db"
rm -rf "${mnt:?}"/seen? "$mnt/begun" "$mnt/done"

# --- killed in between
mkdir "$mnt/more"
for i in 1 2 3 4 5; do check "more" "$ctl" clone "$db" /tree "/more/$i"; done
for delay in 0 0.005 0.02; do
    "$ctl" clone "$db" / "/killed$delay" >/dev/null 2>&1 &
    client=$!
    sleep "$delay"
    kill -9 "$(daemon_of "$db")"
    wait $client
    umount -l "$mnt"
    eventually not_mounted "$mnt"
    mount_store "$db" "$mnt"
    same "what is left" "$(ls -A "$mnt" | grep -v '^killed' | tr '\n' ' ')" "copy more tree "
    if [ -e "$mnt/killed$delay" ]; then
        check "complete" diff -r --no-dereference "$mnt/tree" "$mnt/killed$delay/tree"
        rm -rf "${mnt:?}/killed$delay"
    fi
done
umount_store "$mnt"
check "the store at the end" "$ctl" check -q "$db"
finish
