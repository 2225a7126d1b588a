#!/usr/bin/env bash
# A store on an ext4 that another program has filled to the last block: opening takes what was left
# for it, no try costs space, deleting and repair work.
. "$(dirname "$0")/lib.sh"

disk=$work/disk db=$work/disk/db mnt=$work/mnt

# A file system of $1 bytes in $disk. All of it may be used: none is kept for root.
make_disk() {
    mkdir -p "$disk"
    truncate -s "$1" "$work/image"
    mke2fs -q -F -t ext4 -m 0 "$work/image" || { fail "mke2fs"; finish; }
    mount -o loop "$work/image" "$disk" || { fail "mounting the image"; finish; }
}

# Takes all that is free on the disk, to the last block.
fill_disk() {
    local step
    for step in 1M 64K 1K; do
        dd if=/dev/zero of="$disk/other" bs=$step oflag=append conv=notrunc status=none 2>/dev/null
    done
    sync -f "$disk"
}
free_kib() { df --output=avail -k "$disk" | tail -1 | tr -d ' '; }
used_kib() { du -sk "$db" | cut -f1; }

put() { lsmfsctl put "$db" "$1" -; }

test_offline() {
    lsmfsctl mkdir --create "$db" /d
    head -c 3000000 /dev/urandom | put /d/big
    for i in {1..20}; do
        echo "content $i" | put "/d/f$i"
    done
    fill_disk
    same "the disk is full" "$(free_kib)" 0
    local before
    before=$(used_kib)
    for i in {1..10}; do
        check "rm $i on a full disk" lsmfsctl rm "$db" "/d/f$i"
        fill_disk
    done
    same "what is read" "$(lsmfsctl get "$db" /d/f11)" "content 11"
    check "the store takes no more than before" test "$(used_kib)" -le "$before"
    check_not "what takes space is refused" put /d/new </dev/null
    check "repair on a full disk" lsmfsctl repair "$db"
    fill_disk
    same "the list after repair" "$(lsmfsctl ls "$db" /d | wc -l)" 11
    check "rm of a large file" lsmfsctl rm "$db" /d/big
    check "check" lsmfsctl check "$db"
}

# Without what was left for it the store may not open; then no attempt takes a block, and a little
# room is enough.
test_without_reserve() {
    local before i status=1
    rm -f "$db"/*.old
    fill_disk
    for ((i = 0; i < 64 && status; i++)); do
        before=$(free_kib)
        [ -s "$db/LOCK" ] || before=$((before - 1)) # who holds it is written there again
        lsmfsctl rm "$db" /d/f12 2>/dev/null
        status=$?
        [ $status -eq 0 ] || check "attempt $i keeps nothing" test "$(free_kib)" -ge "$before"
        truncate -s -1K "$disk/other"
    done
    same "a little room is enough" $status 0
}

# The daemon too.
test_mounted() {
    fill_disk
    mount_store "$db" "$mnt"
    check "unlink" rm "$mnt/d/f13"
    check_not "writing" bash -c "head -c 100000 /dev/urandom >'$mnt/d/new'"
    rm -f "$disk/other"
    check "writing when there is room" eventually bash -c "echo 1 2>/dev/null >'$mnt/d/new'"
    umount_store "$mnt"
    check "check" lsmfsctl check "$db"
}

make_disk 100M
test_offline
test_mounted
test_without_reserve
finish
