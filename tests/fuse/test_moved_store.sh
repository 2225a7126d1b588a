#!/usr/bin/env bash
# What happens to the store's directory while it is mounted: it is moved, removed, or the mount that
# it is on is detached. And a store whose files were removed. A moved one goes on; of the others
# umount.lsmfs must not say that all is well.
. "$(dirname "$0")/lib.sh"


# fill MOUNT NAME: enough for several memtables, in blob files and in the tree.
fill() {
    head -c 30000000 /dev/urandom >"$1/$2" || return 1
    mkdir "$1/$2.d" || return 1
    for ((i = 0; i < 2000; i++)); do
        echo "$2 $i" >"$1/$2.d/$i" || return 1
    done
    sync -f "$1/$2"
}
sums() { (cd "$1" && find . -type f -print0 | sort -z | xargs -0 sha256sum); }

# ---- moved, and something else takes its name
mount_store "$work/db" "$work/m" -o write_buffer=1M
pid=$(daemon_of "$work/db")
check "write" fill "$work/m" before
mv "$work/db" "$work/db2"
mkdir "$work/db"
check "write after the move" fill "$work/m" after
check "write again" fill "$work/m" again
want=$(sums "$work/m")
check "unmount" umount_store "$work/m"
check "the daemon is gone" gone "$pid"
same "nothing at the old place" "$(ls -A "$work/db")" ""
mount_store "$work/db2" "$work/m"
same "content at the new place" "$(sums "$work/m")" "$want"
check "unmount" umount_store "$work/m"
same "check" "$("$bin/lsmfsctl" check -q "$work/db2" 2>&1)" "$work/db2: no problem found"

# ---- removed
mount_store "$work/db3" "$work/m"
check "write" fill "$work/m" x
pid=$(daemon_of "$work/db3")
rm -rf "$work/db3"
echo y >"$work/m/y" 2>/dev/null
umount_store "$work/m" 2>"$work/said"
same "status after the store was removed" $? 1
matches "what is said" "$(cat "$work/said")" "*closing the store failed*removed while it was in use*"
check "the daemon is gone" gone "$pid"

# ---- only its files removed
mount_store "$work/db4" "$work/m"
check "write" fill "$work/m" x
rm -f "$work/db4"/*
umount_store "$work/m" 2>"$work/said"
same "status after the files were removed" $? 1
matches "what is said" "$(cat "$work/said")" "*closing the store failed*removed while it was in use*"

# ---- the file system below detached
if [ "$(id -u)" -eq 0 ]; then
    mkdir "$work/t"
    mount -t tmpfs -o size=300m tmpfs "$work/t"
    mount_store "$work/t/db" "$work/m"
    pid=$(daemon_of "$work/t/db")
    check "write" fill "$work/m" x
    umount -l "$work/t"
    check "write after the detaching" fill "$work/m" y
    umount_store "$work/m" 2>"$work/said"
    same "status after the detaching" $? 1
    matches "what is said" "$(cat "$work/said")" "*closing the store failed*detached while it was in use*"
    check "the daemon is gone" gone "$pid"
fi
finish
