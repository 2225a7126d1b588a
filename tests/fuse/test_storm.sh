#!/usr/bin/env bash
# Renames and exchanges of files and directories all over one tree, from four threads: none waits for
# ever, and what is left is a tree.
. "$(dirname "$0")/lib.sh"
db=$work/db mnt=$work/mnt
cd "$work" || exit 1
cc -O1 -o posix "$here/posix.c" -lpthread || { fail "posix.c does not compile"; finish; }
operations=${LSMFS_STORM:-200000}
[ -z "${LSMFS_LONG:-}" ] || operations=${LSMFS_STORM:-2000000}
mount_store "$db" "$mnt"
check "the storm ends" timeout $((60 + operations / 500)) ./posix storm "$mnt/storm" "$operations"
before=$(find "$mnt" -printf '%p %y %i %n\n' | sort)
same "a tree: each directory once" "$(find "$mnt" -type d -printf '%i\n' | sort | uniq -d)" ""
same "link counts of directories" "$(find "$mnt" -type d -printf '%n %p\n' | awk '{
    links[$2] = $1
    sub("/[^/]*$", "", $2)
    inside[$2]++
} END { for (dir in links) if (links[dir] != 2 + inside[dir]) print dir }')" ""
umount_store "$mnt"
check "the store checks clean" lsmfsctl check "$db"
mount_store "$db" "$mnt"
same "all there after a remount" "$(find "$mnt" -printf '%p %y %i %n\n' | sort)" "$before"
umount_store "$mnt"
finish
