#!/usr/bin/env bash
# lsmfsctl clone on a mounted store: what was just written is in the copy, and the mount shows it; a
# daemon that is killed leaves nothing.
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
