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
    # A little may fit into what the store had for opening; not as much as the store is large.
    check_not "writing" bash -c "head -c 8000000 /dev/urandom >'$mnt/d/new' && sync '$mnt/d/new'"
    rm -f "$disk/other"
    check "writing when there is room" eventually bash -c "echo 1 2>/dev/null >'$mnt/d/new'"
    umount_store "$mnt"
    check "check" lsmfsctl check "$db"
}

is_full() { ! bash -c "echo x >'$mnt/byte.$RANDOM'" 2>/dev/null; }

# Fills the mounted store until even a byte is refused, and still is when nothing is under way.
fill_store() {
    local i refused round
    for ((round = 0; round < 20; round++)); do
        refused=0
        # It ends when it is told of the first loss, and there may be room after that.
        for ((i = 0; i < 6; i++)); do
            dd if=/dev/urandom bs=1M count=90 oflag=append conv=notrunc,fsync of="$mnt/fill" \
                status=none
        done 2>/dev/null
        for ((i = 0; i < 20000 && refused < 5; i++)); do
            if head -c 4000 /dev/urandom 2>/dev/null >"$mnt/fill.$round.$i" &&
                sync -f "$mnt/fill.$round.$i"; then
                refused=0
            else
                refused=$((refused + 1))
            fi
        done 2>/dev/null
        check "the store fills up" test $refused -eq 5
        sleep 1
        is_full && return
    done
}

# On a store that has filled its disk all works that frees space, or changes a record.
test_full_store() {
    local i
    mount_store "$db" "$mnt"
    mkdir "$mnt/dir"
    for i in {1..40}; do
        head -c 300000 /dev/urandom >"$mnt/dir/f$i"
    done
    setfattr -n user.note -v text "$mnt/dir/f1"
    exec 9>>"$mnt/dir/log"
    head -c 300000 /dev/urandom >&9
    fill_store
    check "a byte is refused" is_full
    check "df shows next to nothing" test "$(df --output=avail -k "$mnt" | tail -1)" -le 64
    check "emptied by the shell" bash -c ": >'$mnt/dir/f1'"
    check "truncate -s 0" truncate -s 0 "$mnt/dir/f2"
    check "truncate to less" truncate -s 100000 "$mnt/dir/f3"
    check "truncate to more" truncate -s 1000000 "$mnt/dir/f3"
    check "a hole" fallocate -p -o 0 -l 200000 "$mnt/dir/f4"
    check "mv" mv "$mnt/dir/f5" "$mnt/dir/moved"
    check "mv over another" mv "$mnt/dir/f6" "$mnt/dir/f7"
    check "mv of a directory" mv "$mnt/dir" "$mnt/dir2"
    check "mv back" mv "$mnt/dir2" "$mnt/dir"
    check "chmod" chmod 600 "$mnt/dir/f8"
    check "chown" chown 1:1 "$mnt/dir/f8"
    check "touch" touch -d 2001-01-01 "$mnt/dir/f8"
    check "ln" ln "$mnt/dir/f9" "$mnt/dir/linked"
    check "setting a small attribute" setfattr -n user.note2 -v text "$mnt/dir/f9"
    check "removing an attribute" setfattr -x user.note "$mnt/dir/f1"
    check "setfacl" setfacl -m u:1:r "$mnt/dir/f8"
    check "chattr" chattr +d "$mnt/dir/f8"
    check "emptying an open log" truncate -s 0 "$mnt/dir/log"
    exec 9>&-
    same "mode" "$(stat -c %a "$mnt/dir/f8")" 640
    same "size" "$(stat -c %s "$mnt/dir/f1" "$mnt/dir/f2" "$mnt/dir/f3" | paste -sd,)" 0,0,1000000
    for ((i = 0; i < 200; i++)); do # a refusal would be honest; deleting must work after it
        chmod $((600 + i % 2)) "$mnt/dir/f8" && mv "$mnt/dir/f10" "$mnt/dir/x" &&
            mv "$mnt/dir/x" "$mnt/dir/f10" || break
    done 2>/dev/null
    echo "$i rounds of chmod and mv"
    check "deleting after that" rm "$mnt/dir/f9" "$mnt/fill"
    check "writing when that is freed" eventually bash -c "echo 1 2>/dev/null >'$mnt/new'"
    check "df shows space" eventually bash -c \
        "test \$(df --output=avail -k '$mnt' | tail -1) -ge 1000"
    umount_store "$mnt"
    check "check" lsmfsctl check "$db"
}

make_disk 100M
test_full_store
rm -rf "$db"
test_offline
test_mounted
test_without_reserve
finish
