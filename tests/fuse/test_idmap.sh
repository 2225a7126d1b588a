#!/usr/bin/env bash
# A mount with mapped owners: each step gives what it gives on tmpfs, and the store keeps the ids of
# the file system, not the mapped ones.
. "$(dirname "$0")/lib.sh"
if [ "$(id -u)" -ne 0 ]; then
    sudo -n true 2>/dev/null || { echo "skipped: needs root, or sudo without a password"; exit 77; }
    rm -rf "$work"
    exec sudo -n env LSMFS_BIN="$bin" TMPDIR="${TMPDIR:-/tmp}" bash "$here/test_idmap.sh"
fi
cd "$work" || exit 1
cc -O1 -o idmap "$here/idmap.c" || { fail "idmap.c does not compile"; finish; }
cc -O1 -o posix "$here/posix.c" -lpthread || { fail "posix.c does not compile"; finish; }
mkdir plain mapped db
IFS=.- read -r major minor _ <<<"$(uname -r)"
if [ "$major" -lt 6 ] || { [ "$major" -eq 6 ] && [ "$minor" -lt 12 ]; }; then
    echo "skipped: FUSE has mapped mounts since Linux 6.12"
    exit 77
fi

as() { setpriv --reuid="$1" --regid="$1" --clear-groups "${@:2}"; }
try() { if LC_ALL=C "$@" 2>&1; then echo done; fi | sed "s|^[a-z/]*: ||"; }

# What is done through the mapped mount, and what both show afterwards.
steps() {
    umask 022
    echo root >plain/root && chmod 600 plain/root
    echo five >plain/five && chown 5:6 plain/five && chmod 660 plain/five
    echo far >plain/far && chown 5000:5000 plain/far
    chmod 777 plain
    ls -ln mapped | awk 'NF > 2 { print $1, $2, $3, $4, $5, $NF }'
    cd mapped || return
    try as 1000 cat root
    try as 1001 cat root
    try as 1005 sh -c 'echo more >>five'
    try as 1006 sh -c 'echo more >>five'
    try as 1007 sh -c 'echo more >>five'
    try as 1007 touch file
    try as 1007 mkdir dir
    try as 1007 ln -s x link
    try as 1007 mkfifo pipe
    try as 1007 ln file hard
    try as 1007 mv file moved
    try as 1007 "$work/posix" tmpfile nameless
    try touch new
    try chown 1009:1010 moved
    try chown 5:5 dir
    try as 1009 chmod 2640 moved
    try as 1009 setfacl -m u:1011:r,g:1012:rw moved
    getfacl -cpn moved
    try as 1011 cat moved
    try as 1005 truncate -s 2 five
    chmod 6777 ../plain/moved
    try as 1013 fallocate -l 100 moved
    stat -c %a moved
    chmod 6777 ../plain/moved
    try fallocate -l 200 moved
    stat -c %a moved
    chmod 1777 ../plain
    try as 1011 rm link
    try as 1007 rm link
    cd ..
    for m in plain mapped; do
        (cd "$m" && find . -not -type d -printf '%p %m %U:%G %s %y\n' | sort)
    done
    getfacl -cpn plain/moved
}

mount -t tmpfs tmpfs plain && ./idmap plain mapped
steps >expected 2>&1
umount mapped plain
[ "$(wc -l <expected)" -gt 50 ] || fail "the steps did not run on tmpfs: $(cat expected)"
for mode in writeback no_writeback; do
    mount_store "$work/db" "$work/plain" -o "$mode"
    check "$mode: mapped" ./idmap plain mapped
    steps >got 2>&1
    check "$mode: as on tmpfs" diff expected got
    umount mapped
    find plain -not -type d -printf '%p %m %U:%G %s %y\n' | sort >before
    umount_store "$work/plain"
    mount_store "$work/db" "$work/plain" -o "$mode"
    find plain -not -type d -printf '%p %m %U:%G %s %y\n' | sort >after
    check "$mode: after a remount" diff before after
    umount_store "$work/plain"
    check "$mode: the store" lsmfsctl check "$work/db"
    rm -rf "$work/db"
done

# Where libfuse or we would have to know the user, mapped mounts stay refused.
for option in allow_root no_allow_other,no_default_permissions; do
    mount_store "$work/db" "$work/plain" -o "$option"
    check_not "$option: not mapped" ./idmap plain mapped
    check "$option: works" touch plain/file
    umount_store "$work/plain"
done
finish
