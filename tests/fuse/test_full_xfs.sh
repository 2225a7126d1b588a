#!/usr/bin/env bash
# A store on an XFS, which allocates up to as much again behind the end of a file that grows: files
# of large values are given their own length only, and nearly all of the disk is used before a
# write is refused.
. "$(dirname "$0")/lib.sh"

disk=$work/disk db=$work/disk/db mnt=$work/mnt

mkdir -p "$disk"
truncate -s 400M "$work/image"
mkfs.xfs -q "$work/image" || { fail "mkfs.xfs"; finish; }
if ! mount -o loop "$work/image" "$disk"; then
    grep -qw xfs /proc/filesystems || { echo "skipped: this kernel has no XFS"; exit 77; }
    fail "mounting the image"
    finish
fi
head -c 1000000 /dev/urandom >"$work/value"

# Files of 1 MB until one is refused. Sets $stored.
fill_store() {
    stored=0
    while [ "$stored" -lt 400 ] &&
        dd if="$work/value" of="$mnt/f$stored" bs=1M conv=fsync status=none 2>"$work/refused"; do
        stored=$((stored + 1))
    done
    matches "why it ends" "$(cat "$work/refused")" "*No space left on device"
}

# KiB allocated behind the ends of blob files.
behind_ends() {
    stat -c '%b %B %s' "$db"/*.blob | awk '{ n += $1 * $2 - $3 } END { print int(n / 1024) }'
}
little_behind() { [ "$(behind_ends)" -lt 2048 ]; }

mount_store "$db" "$mnt"
fill_store
echo "$stored MB stored on 400"
# 320 MiB are free at first. Of these 42 are for the reserve, and as much is not to be used up.
check "how much fits" test "$stored" -ge 215
cat "$mnt"/f* >/dev/null # keeps the files open
check "nothing is kept behind the ends ($(behind_ends) KiB)" eventually little_behind
same "what is read" "$(cmp "$work/value" "$mnt/f$((stored - 1))" && echo equal)" equal
check "unlink" rm "$mnt"/f{0..99}
check "writing when there is room" eventually \
    bash -c "cp '$work/value' '$mnt/new' 2>/dev/null"
umount_store "$mnt"
check "check" lsmfsctl check "$db"
finish
