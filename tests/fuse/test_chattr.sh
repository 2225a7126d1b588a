#!/usr/bin/env bash
# The flags of chattr: kept, shown, and enforced against everybody as on disk file systems.
. "$(dirname "$0")/lib.sh"
if [ "$(id -u)" -ne 0 ]; then
    sudo -n true 2>/dev/null || { echo "skipped: needs root, or sudo without a password"; exit 77; }
    rm -rf "$work"
    exec sudo -n env LSMFS_BIN="$bin" TMPDIR="${TMPDIR:-/tmp}" bash "$here/test_chattr.sh"
fi
cd "$work" || exit 1
cc -O1 -o chattr "$here/chattr.c" || { fail "chattr.c does not compile"; finish; }
db=$work/db mnt=$work/mnt
flags() { lsattr -d "$@" | awk '{ gsub("-", "", $1); print $1 }' | tr '\n' ' '; }
refused() { matches "$mode: EPERM: $*" "$(LC_ALL=C "$@" 2>&1)" "*Operation not permitted*"; }

for mode in open_requests no_writeback; do
    mount_store "$db" "$mnt" -o "$mode"
    mkdir "$mnt/$mode" && cd "$mnt/$mode" || exit 1
    # Kept and shown.
    touch i a d A none && mkdir di da dA
    chattr +i i && chattr +a a && chattr +d d && chattr +A A && chattr +dA dA && chattr +a da
    same "$mode: lsattr" "$(flags i a d A none dA da)" "i a d A  dA a "
    touch dA/f && mkdir dA/sub && ln -s x dA/link
    same "$mode: inherited" "$(flags dA/f dA/sub)" "dA dA "
    check "$mode: flags as fsxattr" "$work/chattr" forms "$mnt/$mode/forms"
    check_not "$mode: unknown flags" chattr +C none
    check_not "$mode: project" chattr -p 5 none
    check_not "$mode: others may not" setpriv --reuid=1234 --clear-groups chattr +d none
    chown 1234 none
    check "$mode: the owner may" setpriv --reuid=1234 --clear-groups chattr +d none
    check_not "$mode: but not this" setpriv --reuid=1234 --clear-groups chattr +i none
    # Immutable.
    echo content >f && ln f f2 && chattr +i f
    for command in "truncate -s 1 f" "rm f" "rm f2" "mv f g" "mv none f" "ln f g" "chmod 600 f" "chown 1 f" \
        "touch f" "touch -m -d 2001-01-01 f" "touch -a f" "setfattr -n user.x -v y f" "setfacl -m u:1:r f" \
        "fallocate -l 100 f" "fallocate -p -l 1 f" "dd if=/dev/zero of=f count=1" "mv --exchange f none"; do
        [[ $command = *--exchange* ]] && command="$work/chattr exchange f none"
        refused $command
    done
    refused bash -c 'echo more >>f'
    same "$mode: unchanged" "$(cat f f2; stat -c %h f)" "content
content
2"
    chattr -i f2
    check "$mode: mutable again" rm f
    # An immutable directory.
    touch di/f && mkdir di/sub && chattr +i di
    for command in "touch di/new" "mkdir di/new" "ln -s x di/new" "mkfifo di/new" "rm di/f" "rmdir di/sub" \
        "mv di/f g" "mv none di/new" "mv -T none di/f" "ln none di/new" "chmod 700 di" "mv di dj" "rmdir di"; do
        refused $command
    done
    refused "$work/chattr" tmpfile di
    check "$mode: its files are not" bash -c 'echo x >di/f'
    check "$mode: nor directories" touch di/sub/f
    chattr -i di && rm -r di
    # Append-only.
    refused bash -c 'echo one >a'
    check "$mode: appending" bash -c 'echo one >>a && echo two >>a'
    same "$mode: appended" "$(cat a)" "one
two"
    for command in "truncate -s 1 a" "rm a" "mv a g" "ln a g" "chmod 600 a" "chown 1 a" "touch -d 2001-01-01 a" \
        "setfattr -n user.x -v y a" "fallocate -p -l 1 a" "dd if=/dev/zero of=a conv=notrunc count=1"; do
        refused $command
    done
    check "$mode: its times are set to now" touch a
    touch da/f
    for command in "rm da/f" "mv da/f g" "mv da/f da/g" "mv -T none da/f"; do
        refused $command
    done
    check "$mode: names are added" bash -c 'mkdir da/sub && ln none da/g && echo x >da/f'
    # What was open, or changed, before it became immutable is not lost.
    check "$mode: what was written before" "$work/chattr" earlier "$mnt/$mode/earlier"
    cksum <earlier >"$work/sum"
    touch late && chmod 640 late && setfattr -n user.k -v v late && chattr +i late
    touch -a -d '2000-01-01' A none
    cat A none >/dev/null
    same "$mode: noatime" "$(stat -c %X A)" "$(date -d 2000-01-01 +%s)"
    check_not "$mode: and others'" [ "$(stat -c %X none)" = "$(date -d 2000-01-01 +%s)" ]
    sync -f . || fail "$mode: sync"
    stat -c '%n %a %z' late f2 >"$work/before" && lsattr -R . 2>/dev/null | sort >>"$work/before"
    cd "$work" && umount_store "$mnt" && mount_store "$db" "$mnt" -o "$mode" && cd "$mnt/$mode" || exit 1
    stat -c '%n %a %z' late f2 >"$work/after" && lsattr -R . 2>/dev/null | sort >>"$work/after"
    check "$mode: after a remount" diff "$work/before" "$work/after"
    same "$mode: flags after a remount" "$(flags i a d A dA da)" "i a d A dA a "
    refused rm i
    same "$mode: what was written before" "$(cksum <earlier)" "$(cat "$work/sum")"
    cd "$work" && umount_store "$mnt"
    check "$mode: the store" lsmfsctl check "$db"
    check_not "$mode: without a mount" lsmfsctl rm "$db" "/$mode/i"
done

# Where the kernel opens files by itself nobody could be refused in time: such files are not made, and
# those that there are do not change.
mode=default
mount_store "$db" "$mnt"
cd "$mnt/open_requests" || exit 1
touch plain && mkdir plaindir
for flag in +i +a; do
    matches "chattr $flag" "$(LC_ALL=C chattr $flag plain 2>&1)" "*Operation not supported*"
    check "directories may" chattr $flag plaindir
    chattr "-${flag#+}" plaindir
done
check "other flags" chattr +dA plain
before=$(cat a && stat -c %s late)
check_not "a write to an immutable file fails" dd if=/dev/zero of=late count=1 conv=notrunc,fsync
check_not "and one to an append-only one" dd if=/dev/zero of=a count=1 conv=notrunc,fsync
check_not "it is not cut" truncate -s 1 a
refused bash -c ': >late'
check "flags can be taken away" chattr -i late
cd "$work" && umount_store "$mnt" && mount_store "$db" "$mnt" -o open_requests
same "nothing has changed" "$(cd "$mnt/open_requests" && cat a && stat -c %s late)" "$before"
umount_store "$mnt"
finish
