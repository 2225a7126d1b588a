#!/usr/bin/env bash
# What must hold of open files, on mounts whose kernel opens them by itself and on such that ask the
# daemon: content without a name, O_TRUNC, setuid, O_DIRECT, running programs, leases, locks.
. "$(dirname "$0")/lib.sh"
db=$work/db mnt=$work/mnt
cd "$work" || exit 1
cc -O1 -o opened "$here/opened.c" -lpthread || { fail "opened.c does not compile"; finish; }
user=()
[ "$(id -u)" -ne 0 ] || user=(setpriv --reuid=1234 --regid=5678 --clear-groups)

for mode in writeback open_requests no_writeback; do
    mount_store "$db" "$mnt" -o "$mode"
    mkdir "$mnt/$mode"
    used=$(df --output=iused "$mnt" | tail -n 1)
    for t in unlinked truncated setuid direct busy leases locks accessed; do
        check "$mode: $t" timeout 60 "$work/opened" "$t" "$mnt/$mode/$t"
    done
    # also for somebody who may not do everything, where FUSE lets him in
    if [ ${#user[@]} -gt 0 ]; then
        chmod 777 "$mnt/$mode"
        check "$mode: truncated, a user" "${user[@]}" "$work/opened" truncated "$mnt/$mode/user"
    fi
    # what is open when it loses its name goes with its last user
    head -c 500000 /dev/urandom >"$mnt/$mode/held"
    exec 7<"$mnt/$mode/held"
    sum=$(md5sum <"$mnt/$mode/held")
    rm -r "${mnt:?}/$mode"
    same "$mode: it is all there" "$(md5sum <&7)" "$sum"
    exec 7<&-
    mkdir "$mnt/$mode"
    same "$mode: no file is counted that is gone" "$(df --output=iused "$mnt" | tail -n 1)" "$used"
    echo cut >"$mnt/cut" && umount_store "$mnt"
    mount_store "$db" "$mnt" -o "$mode"
    : >"$mnt/cut"
    umount_store "$mnt"
    mount_store "$db" "$mnt" -o "$mode"
    same "$mode: O_TRUNC reaches the store" "$(stat -c %s "$mnt/cut")" 0
    umount_store "$mnt"
    check "$mode: the store checks clean" lsmfsctl check "$db"
done
finish
