#!/usr/bin/env bash
# The options of a mount may differ from those of the mount before: what files hold must not.
. "$(dirname "$0")/lib.sh"
db=$work/db mnt=$work/mnt
limits="64K 2K 0 4097"

head -c 60000 /dev/urandom >"$work/before"
for now in $limits; do
    rm -rf "$db"
    mount_store "$db" "$mnt" -o inline_max=64K
    for name in first middle last cut longer; do
        cp "$work/before" "$mnt/$name"
    done
    umount_store "$mnt"
    mount_store "$db" "$mnt" -o "inline_max=$now"
    for target in "$work/now" "$mnt"; do
        mkdir -p "$work/now"
        [ "$target" = "$mnt" ] || for name in first middle last cut longer; do
            cp "$work/before" "$work/now/$name"
        done
        printf Z | dd of="$target/first" bs=1 conv=notrunc status=none
        printf Z | dd of="$target/middle" bs=1 seek=30000 conv=notrunc status=none
        printf Z | dd of="$target/last" bs=1 seek=59999 conv=notrunc status=none
        truncate -s 50000 "$target/cut" && truncate -s 60000 "$target/cut"
        printf Z | dd of="$target/longer" bs=1 seek=70000 conv=notrunc status=none
    done
    umount_store "$mnt"
    mount_store "$db" "$mnt"
    check "inline_max=$now: the files are as they were written" diff -r "$work/now" "$mnt"
    umount_store "$mnt"
    check "inline_max=$now: the store checks clean" lsmfsctl check "$db"
    rm -rf "$work/now"
done
finish
