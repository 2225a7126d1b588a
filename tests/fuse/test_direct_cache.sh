#!/usr/bin/env bash
# Direct asynchronous writes to a file that others read through the page cache: once a write is
# complete, they read what was written.
. "$(dirname "$0")/lib.sh"
db=$work/db mnt=$work/mnt
cd "$work" || exit 1
cc -O1 -o direct_cache "$here/direct_cache.c" || { fail "direct_cache.c does not compile"; finish; }
for mode in writeback no_writeback; do
    mount_store "$db" "$mnt" -o "$mode"
    check "$mode: 0 stale" ./direct_cache "$mnt/file" "${LSMFS_DIRECT_LOOPS:-1500}"
    umount_store "$mnt"
    check "$mode: the store" lsmfsctl check "$db"
done
finish
