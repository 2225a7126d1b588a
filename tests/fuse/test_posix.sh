#!/usr/bin/env bash
# What a local file system promises beyond the everyday: names, links, limits, times, errors, what
# mount options forbid, and what is left behind when the daemon is killed.
. "$(dirname "$0")/lib.sh"
db=$work/db mnt=$work/mnt
cd "$work" || exit 1
cc -O1 -o posix "$here/posix.c" -lpthread || { fail "posix.c does not compile"; finish; }
links=${LSMFS_LINKS:-1000}
[ -z "${LSMFS_LONG:-}" ] || links=${LSMFS_LINKS:-65000}
as_root=0
[ "$(id -u)" -ne 0 ] || as_root=1
user=(setpriv --reuid=1234 --regid=5678 --clear-groups)

posix() { # mode test [number]
    check "$1: $2" "$work/posix" "$2" "$mnt/$1/$2" "${@:3}"
}

born=
for mode in writeback no_writeback open_requests; do
    mount_store "$db" "$mnt" -o "$mode"
    mkdir "$mnt/$mode"
    # Opening a file counts as reading it only where the daemon hears of it.
    [ "$mode" = writeback ] || posix "$mode" relatime
    for t in names deep offsets seek_unsynced far_times tmpfile xattrs birth errors gone statfs direct_mmap \
        sync_flags process_locks; do
        posix "$mode" "$t"
    done
    [ "$mode" != no_writeback ] || posix "$mode" links "$links"
    touch "$mnt/$mode/born" && born=$(stat -c %W "$mnt/$mode/born")
    umount_store "$mnt"
done
for mode in strictatime noatime nodiratime; do # strictatime by itself asks for OPEN
    mount_store "$db" "$mnt" -o "$mode$([ "$mode" != nodiratime ] || echo ,open_requests)"
    same "$mode: the time of birth after a remount" "$(stat -c %W "$mnt/open_requests/born")" "$born"
    check "$mode" "$work/posix" "$mode" "$mnt/$mode"
    same "$mode: df -i" "$(df --output=iused "$mnt" | tail -n 1 | tr -d " ")" "$(find "$mnt" -printf '%i\n' | sort -u | wc -l)"
    umount_store "$mnt"
done

# What mount options forbid, and that they allow the rest.
mount_store "$db" "$mnt" -o suid,dev
cp "$(command -v id)" "$mnt/id" && chmod 4755 "$mnt/id"
cp /bin/true "$mnt/true"
if [ "$as_root" = 1 ]; then
    chown 1234 "$mnt/id" && chmod 4755 "$mnt/id" && mknod -m 666 "$mnt/null" c 1 3
    same "suid" "$("$mnt/id" -u)" 1234
    check "dev" cat "$mnt/null"
fi
check "exec" "$mnt/true"
umount_store "$mnt"
mount_store "$db" "$mnt" -o nosuid,nodev,noexec
if [ "$as_root" = 1 ]; then
    check_not "nodev" cat "$mnt/null"
fi
check_not "noexec" "$mnt/true"
umount_store "$mnt"
mount_store "$db" "$mnt" -o nosuid
[ "$as_root" = 0 ] || same "nosuid" "$("$mnt/id" -u)" 0
umount_store "$mnt"
mount_store "$db" "$mnt" -o ro
for command in "touch $mnt/true" "mkdir $mnt/new" "rm $mnt/id" "mv $mnt/id $mnt/di" "chmod 600 $mnt/id" \
    "ln $mnt/id $mnt/hard" "ln -s x $mnt/soft" "truncate -s 0 $mnt/id" "setfattr -n user.x -v y $mnt/id"; do
    matches "ro: $command" "$(LC_ALL=C $command 2>&1)" "*Read-only file system*"
done
before=$(stat -c %x "$mnt/id")
cat "$mnt/id" >/dev/null
same "ro: no time of access" "$(stat -c %x "$mnt/id")" "$before"
umount_store "$mnt"
for option in nosymfollow remount atime=1 noatime=1 nosuch; do
    check_not "refused: $option" "$lsmfs" -o "$option" "$db" "$mnt"
done

# A mount of one user's own. fusermount3 wants the user to have a name.
nobody=(setpriv --reuid=65534 --regid=65534 --clear-groups)
if [ "$as_root" = 1 ] && "${nobody[@]}" test -r /dev/fuse -a -w /dev/fuse; then
    mkdir own own/mnt && chown -R 65534:65534 own && cp "$work/posix" own/
    for permissions in default_permissions no_default_permissions; do
        "${nobody[@]}" "$lsmfs" -o "$permissions" "$work/own/db" "$work/own/mnt" || fail "a user's mount"
        "${nobody[@]}" sh -c "cd own/mnt && echo x >$permissions && chmod 0 $permissions"
        if [ "$permissions" = default_permissions ]; then
            check_not "a user's own permissions" "${nobody[@]}" cat "own/mnt/$permissions"
        else
            same "or none" "$("${nobody[@]}" cat "own/mnt/$permissions")" x
        fi
        check_not "nobody else, not even root" ls own/mnt
        umount_store "$work/own/mnt"
    done
fi
if [ "$as_root" = 1 ]; then
    check_not "no permissions for all: refused" "$lsmfs" -o no_default_permissions "$db" "$mnt"
    mount_store "$db" "$mnt" -o no_allow_other,no_default_permissions
    same "nobody checks" "$(grep " $mnt " /proc/mounts | grep -c default_permissions)" 0
    umount_store "$mnt"
fi

# Capabilities go when the file is written to or changes hands.
mount_store "$db" "$mnt"
if [ "$as_root" = 1 ] && command -v setcap >/dev/null; then
    for how in "sh -c 'echo x >>capable'" "truncate -s 3 capable" "chown 1 capable" \
        "sh -c ': >capable'" "dd if=/dev/zero of=capable bs=4096 count=1 oflag=direct" \
        "${user[*]} sh -c 'echo x >>capable'" "fallocate -o 0 -l 10 capable"; do
        (cd "$mnt" && rm -f capable && cp /bin/true capable && chmod 777 capable &&
            setcap cap_net_raw+ep capable && [ -n "$(getcap capable)" ]) || fail "setcap"
        (cd "$mnt" && eval "$how" 2>/dev/null)
        same "$how takes capabilities away" "$(getcap "$mnt/capable")" ""
    done
fi

# A killed daemon: what had no name any more takes no space at the next mount.
head -c 3000000 /dev/urandom >"$mnt/unlinked"
exec 7<"$mnt/unlinked"
rm "$mnt/unlinked" && sync -f "$mnt"
kill -9 "$(daemon_of "$db")"
exec 7<&-
umount -l "$mnt" 2>/dev/null || fusermount3 -uz "$mnt"
mount_store "$db" "$mnt"
umount_store "$mnt"
same "no orphan is left" "$(lsmfsctl scan "$db" O | wc -l)" 0
check "the store checks clean" lsmfsctl check "$db"
finish
