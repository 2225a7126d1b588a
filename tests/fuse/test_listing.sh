#!/usr/bin/env bash
# Listings while names come and go, where the kernel keeps them and where it asks each time: a name
# that stays is listed exactly once, one that has come or gone is or is not listed at once.
. "$(dirname "$0")/lib.sh"
db=$work/db mnt=$work/mnt
cd "$work" || exit 1
cc -O1 -o listing "$here/listing.c" || { fail "listing.c does not compile"; finish; }

for mode in writeback open_requests; do
    mount_store "$db" "$mnt" -o "$mode"
    mkdir "$mnt/$mode"
    for t in small large at_once removed emptied; do
        check "$mode: $t" timeout 100 "$work/listing" "$t" "$mnt/$mode/$t"
    done
    # a directory that is read in several pieces, each of which takes long to remove
    mkdir "$mnt/deep"
    seq -f "$mnt/deep/directory-with-a-long-name-%.0f" 1200 | xargs mkdir
    for d in "$mnt"/deep/*; do : >"$d/file"; done
    check "$mode: rm -r" rm -r "$mnt/deep"
    umount_store "$mnt"
done
check "the store is whole" lsmfsctl check "$db"
finish
