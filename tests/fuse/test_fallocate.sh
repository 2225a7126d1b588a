#!/usr/bin/env bash
# What fallocate promises, on a small disk of its own: refused when there is not that much, counted in
# blocks and df, kept over a remount and when the rest of the disk is full.
. "$(dirname "$0")/lib.sh"
disk=$work/disk mnt=$work/mnt db=$work/disk/db
MiB=1048576

truncate -s 500M "$work/image" && mkdir "$disk"
mkfs.ext4 -qF -m 0 "$work/image" || { fail "mkfs.ext4"; finish; }
mount -o loop "$work/image" "$disk" 2>/dev/null || {
    echo "skipped: this machine cannot mount a disk image, and a small disk is needed"
    exit 77
}

available() { df -B1 --output=avail "$mnt" | tail -1 | tr -d ' '; }
blocks() { stat -c %b "$1"; }
at_most() { [ "$1" -le "$2" ] || { echo "$1 is more than $2"; return 1; }; }
remount() {
    umount_store "$mnt" || fail "umount"
    mount_store "$db" "$mnt"
}

mount_store "$db" "$mnt"
cd "$mnt" || exit 1
before=$(available)

check_not "twice what is free is refused" fallocate -l $((2 * before)) big
matches "as a full disk" "$(fallocate -l $((2 * before)) big 2>&1)" "*No space left*"
same "and nothing is promised" "$(stat -c '%s %b' big)" "0 0"

check "100 MiB" fallocate -l 100M file
same "its size and blocks" "$(stat -c '%s %b' file)" "$((100 * MiB)) $((100 * 2048))"
check "df is without it" at_most "$(available)" $((before - 100 * MiB))
check "two bytes across a block" fallocate -o 4095 -l 2 two
was=$(blocks two)
dd if=/dev/zero of=two bs=1 seek=4095 count=2 conv=notrunc,fsync status=none
same "writing to them does not make it grow" "$(blocks two)" "$was"
: >keep && check "beyond the end" fallocate -n -l 10M keep
same "the size is kept" "$(stat -c '%s %b' keep)" "0 20480"
truncate -s 4M trunc && check "from a hole on" fallocate -o 1M -l 3M trunc && truncate -s 2M trunc
same "a truncation gives back what it cuts off" "$(blocks trunc)" 2048

cd "$work" && remount && cd "$mnt" || exit 1
same "the promises last" "$(blocks file) $(blocks two) $(blocks keep) $(blocks trunc)" "204800 $was 20480 2048"
check "df too" at_most "$(available)" $((before - 100 * MiB))
: >keep
same "emptied" "$(blocks keep)" 0

# Everything else full, by others on the disk below and by us.
fallocate -l $((before - 300 * MiB)) "$disk/others"
check_not "a disk fills up" dd if=/dev/urandom of=filler bs=1M count=400 conv=fsync status=none
head -c 100M /dev/urandom >"$work/content"
check "writing what was promised" dd if="$work/content" of=file bs=1M conv=notrunc,fsync status=none

cd "$work" && remount && cd "$mnt" || exit 1
check "what was promised is written" cmp "$work/content" file
same "and takes no more" "$(blocks file)" 204800
rm filler file
cd "$work" && umount_store "$mnt"
check "the store" lsmfsctl check "$db"
finish
