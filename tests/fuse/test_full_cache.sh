#!/usr/bin/env bash
# A full disk below the kernel's write-back cache: write(2) has succeeded when it shows. Whoever
# wrote is told, and what was never stored never reads as zeros: each page of the file is what was
# written, or cannot be read, or the file is shorter; now, after the kernel has dropped pages and
# inodes, and after a remount.
. "$(dirname "$0")/lib.sh"

disk=$work/disk db=$work/disk/db mnt=$work/mnt lost=$work/lost ref=$work/ref
[ "$(id -u)" = 0 ] || { echo "skipped: mounting a small disk needs root"; exit 77; }

${CC:-cc} -O1 -Wall -Werror -o "$lost" "$here/lost.c" || exit 1
mkdir "$disk"
mount -t tmpfs -o size=64M none "$disk" || { fail "mounting a small disk"; finish; }
head -c 3000000 /dev/urandom >"$ref"

# Fills the disk but for about $1.
fill_but() {
    dd if=/dev/zero of="$disk/other" bs=64K oflag=append conv=notrunc status=none 2>/dev/null
    truncate -s "-$1" "$disk/other"
}
drop_caches() { sync -f "$mnt" 2>/dev/null; echo 3 >/proc/sys/vm/drop_caches; }
remount() {
    umount_store "$mnt"
    check "check" lsmfsctl check "$db" >/dev/null
    mount_store "$db" "$mnt" "$@"
}
# Space for all that a test has left behind; writing works again.
make_room() {
    rm -f "$disk/other" "$mnt"/*
    eventually cp "$ref" "$mnt/room" 2>/dev/null || fail "no room after deleting"
    rm "$mnt/room"
}

# What is left of file $2, written from $ref in the way $1.
judge() {
    local what=$1 file=$2 now dropped inodes later
    now=$("$lost" check "$file" "$ref") || fail "$what: $now"
    "$lost" drop "$file"
    dropped=$("$lost" check "$file" "$ref") || fail "$what, pages dropped: $dropped"
    drop_caches
    inodes=$("$lost" check "$file" "$ref") || fail "$what, inodes dropped: $inodes"
    remount
    later=$("$lost" check "$file" "$ref") || fail "$what, after a remount: $later"
    same "$what: after a remount as before" "$later" "$inodes"
    checks=$((checks + 3))
    echo "$what: $now; pages dropped $dropped; inodes dropped $inodes"
}

test_ways_to_write() {
    fill_but 2M
    check_not "cp fails" cp "$ref" "$mnt/cp"
    judge cp "$mnt/cp"
    make_room
    fill_but 2M
    check_not "dd fails" dd if="$ref" of="$mnt/dd" bs=64k conv=fsync status=none
    judge dd "$mnt/dd"
    make_room
    fill_but 2M
    same "writing in random order" "$("$lost" random "$mnt/random" "$ref" 1)" \
        "No space left on device"
    judge random "$mnt/random"
}

# A file that is as long as it will be, whose holes are filled: what is lost stays an error, for
# whoever reads or copies it.
test_mapped() {
    make_room
    fill_but 2M
    same "msync" "$("$lost" map "$mnt/map" "$ref")" "No space left on device"
    judge map "$mnt/map"
    same "its size" "$(stat -c %s "$mnt/map")" 3000000
    check_not "cat" cat "$mnt/map"
    check_not "cp" cp "$mnt/map" "$work/copy"
    check_not "cp within the mount" cp "$mnt/map" "$mnt/copy"
    umount_store "$mnt"
    check_not "lsmfsctl get" lsmfsctl get "$db" /map
    mount_store "$db" "$mnt"
}

# With room again, the same file can be written whole: in place, or anew.
test_again() {
    rm -f "$disk/other"
    check "in place" eventually dd if="$ref" of="$mnt/map" bs=64k conv=notrunc,fsync status=none 2>/dev/null
    drop_caches
    check "what is read" cmp "$ref" "$mnt/map"
    make_room
    fill_but 2M
    cp "$ref" "$mnt/f" 2>/dev/null
    rm -f "$disk/other"
    check "anew" eventually cp "$ref" "$mnt/f" 2>/dev/null
    remount
    check "what is read" cmp "$ref" "$mnt/f"
}

# What was overwritten is as it was.
test_overwriting() {
    local old=$work/old got
    make_room
    head -c 3000000 /dev/urandom >"$old"
    cp "$old" "$mnt/over"
    sync "$mnt/over"
    fill_but 1M
    check_not "dd fails" dd if="$ref" of="$mnt/over" bs=64k conv=notrunc,fsync status=none
    "$lost" drop "$mnt/over"
    got=$("$lost" check "$mnt/over" "$ref" "$old") || fail "overwriting: $got"
    remount
    same "nothing is lost" "$("$lost" check "$mnt/over" "$ref" "$old")" "3000000 0"
}

# Many at once: who was told that all is well has all of it.
test_many() {
    local i pids=()
    make_room
    fill_but 8M
    for i in {1..8}; do
        dd if="$ref" of="$mnt/m$i" bs=64k conv=fsync status=none 2>/dev/null &
        pids+=($!)
    done
    for i in {1..8}; do
        wait "${pids[i - 1]}"
        echo $? >"$work/status$i"
    done
    check "not all went well" grep -q 1 "$work"/status*
    remount
    for i in {1..8}; do
        local got
        [ ! -e "$mnt/m$i" ] || got=$("$lost" check "$mnt/m$i" "$ref") || fail "file $i: $got"
        [ "$(cat "$work/status$i")" -ne 0 ] || check "file $i" cmp "$ref" "$mnt/m$i"
        checks=$((checks + 1))
    done
}

# Who goes on writing is told, by write(2) itself.
test_endless() {
    make_room
    fill_but 2M
    timeout 100 dd if=/dev/urandom of="$mnt/endless" bs=64k 2>"$work/said"
    same "dd's status" $? 1
    check "what it says" grep -q "error writing.*No space left" "$work/said"
}

# A log that stays open: when there is room again, it goes on.
test_log() {
    make_room
    fill_but 1M
    exec 5>>"$mnt/log"
    for i in {1..40}; do
        head -c 60000 "$ref" | base64 -w 99 >&5
        sync -d "$mnt/log"
    done 2>/dev/null
    rm -f "$disk/other"
    check "the log goes on" eventually bash -c "echo later >&5 && sync -d '$mnt/log'" 2>/dev/null
    exec 5>&-
    remount
    same "its last line" "$(tail -c 6 "$mnt/log")" "later"
    same "no zeros" "$(dd if="$mnt/log" bs=4k conv=noerror status=none 2>/dev/null |
        tr -dc '\0' | wc -c)" 0
}

# Without the cache write(2) itself fails, and what it took is there.
test_without_cache() {
    local got
    make_room
    remount -o no_writeback
    fill_but 2M
    check_not "dd fails" dd if="$ref" of="$mnt/plain" bs=64k status=none
    got=$(stat -c %s "$mnt/plain")
    check "a part was written" test "$got" -gt 0 -a "$got" -lt 3000000
    check "that part" cmp -n "$got" "$ref" "$mnt/plain"
    remount
    same "after a remount" "$("$lost" check "$mnt/plain" "$ref")" "$got 0"
    make_room
    fill_but 2M
    check_not "dd fails" dd if="$ref" of="$mnt/direct" bs=64k oflag=direct status=none
    got=$(stat -c %s "$mnt/direct")
    drop_caches
    same "direct" "$("$lost" check "$mnt/direct" "$ref")" "$got 0"
}

mount_store "$db" "$mnt"
for t in ways_to_write mapped again overwriting many endless log without_cache; do
    echo "--- $t"
    "test_$t" 2>/dev/null
done
umount_store "$mnt"
check "check" lsmfsctl check "$db" >/dev/null
finish
