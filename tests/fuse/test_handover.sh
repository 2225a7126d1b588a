#!/usr/bin/env bash
# A store that changes hands: a mount or lsmfsctl right after an unmount waits for the daemon that is
# on its way out; one that stays in use is refused, in words that are true.
# In a mount namespace of its own: one that somebody else makes meanwhile would copy the mounts here,
# and keep them.
if [ -z "${HANDOVER_ALONE-}" ] && unshare -m true 2>/dev/null; then
    export HANDOVER_ALONE=1
    exec unshare -m --propagation private bash "$0" "$@"
fi
. "$(dirname "$0")/lib.sh"
[ -z "${HANDOVER_ALONE-}" ] || leave_others
cd "$work" || exit 1
db=$work/db mnt=$work/mnt ctl=$bin/lsmfsctl
mkdir "$mnt"

stopped() { grep -q '^State:.*T' "/proc/$1/status"; }
# umount(8) asks the daemon for this and that first; a stopped one does not answer.
cc -O1 -x c -o detach - <<'C' || { fail "detach does not compile"; finish; }
#include <sys/mount.h>
int main(int argc, char **argv)
{
    return argc != 2 || umount2(argv[1], MNT_DETACH | UMOUNT_NOFOLLOW);
}
C
detach() { ./detach "$1" 2>/dev/null || fusermount3 -uz "$1"; }

# --- again and again, with something to write out each time
failed=0
for ((i = 0; i < 30; i++)); do
    out=$("$lsmfs" "$db" "$mnt" 2>&1) || { failed=$((failed + 1)); echo "$out"; continue; }
    head -c 3000000 /dev/urandom >"$mnt/file.$i"
    umount -i "$mnt" 2>/dev/null || fusermount3 -u "$mnt"
    ((i % 2)) || out=$("$ctl" stat "$db" "/file.$i" 2>&1) || { failed=$((failed + 1)); echo "$out"; }
done
same "mounts and lsmfsctl right after an unmount that fail" "$failed" 0

# --- a daemon that takes long: it is said what is waited for
for next in lsmfsctl lsmfs; do
    mount_store "$db" "$mnt"
    pid=$(daemon_of "$db")
    kill -STOP "$pid"
    eventually stopped "$pid"
    check "unmounted" detach "$mnt"
    rm -f wait.err
    case $next in
    lsmfsctl) "$ctl" ls "$db" >ls.out 2>wait.err & ;;
    lsmfs) "$lsmfs" "$db" "$mnt" 2>wait.err & ;;
    esac
    waiting=$!
    check "$next says what it waits for" eventually grep -qs . wait.err
    kill -CONT "$pid"
    wait "$waiting"
    same "$next has waited" "$?" 0
    check "for the daemon" eventually gone "$pid"
    case $next in
    lsmfsctl) words="lsmfsctl: $db: waiting for the daemon that has it mounted" ;;
    lsmfs) words="lsmfs: $db/LOCK is in use by process $pid (*): waiting until it is free" ;;
    esac
    matches "$next: words" "$(head -n 1 wait.err)" "$words"
done
check "mounted after that" mounted "$mnt"

# --- a mount that stays: what needs the store for itself is refused at once, by its name
out=$("$ctl" repair "$db" 2>&1)
same "mounted: status" $? 1
same "mounted: words" "$out" "lsmfsctl: $db/LOCK is in use by process $(daemon_of "$db") (mounted on $mnt)"
umount_store "$mnt"

# --- detached with somebody inside
mount_store "$db" "$mnt"
pid=$(daemon_of "$db")
echo held >"$mnt/held"
exec 7<"$mnt/held"
detach "$mnt"
check "detached: lsmfsctl still reaches it" "$ctl" ls "$db" >/dev/null
out=$("$ctl" repair "$db" 2>&1)
same "detached: status" $? 1
matches "detached: words" "$out" "*
lsmfsctl: $db/LOCK is in use by process $pid (no longer mounted on $mnt, but serving programs inside)"
exec 7<&-
check "free when they leave" "$ctl" ls "$db" >/dev/null
mount_store "$db" "$mnt"
pid=$(daemon_of "$db")
exec 7<"$mnt/held"
bash "$scripts/umount.lsmfs" -l "$mnt" 2>umount.err 7<&- &
unmounting=$!
check "umount.lsmfs says what it waits for" eventually grep -q . umount.err
exec 7<&-
wait "$unmounting"
same "umount.lsmfs has waited" "$?" 0
check "for the daemon" gone "$pid"
same "in one line" "$(cat umount.err)" "umount.lsmfs: $mnt: unmounted; waiting for the \
daemon, process $pid, which still serves programs that have files open there"

# --- mounted in another mount namespace only
if [ "$(id -u)" -eq 0 ] && unshare -m true 2>/dev/null; then
    mkfifo ready go
    unshare -m --propagation private sh -c '"$@" && echo "$$" >ready && read -r _ <go && umount -i "$3"' - \
        "$lsmfs" "$db" "$mnt" &
    inside=$!
    read -r pid <ready
    check "not here" not_mounted "$mnt"
    out=$("$ctl" repair "$db" 2>&1)
    same "elsewhere: status" $? 1
    matches "elsewhere: words" "$out" \
        "lsmfsctl: $db/LOCK is in use by process * (mounted on $mnt in another mount namespace, that of process *)"
    other=${out##*process }
    same "the process is in it" "$(readlink "/proc/${other%)}/ns/mnt")" "$(readlink "/proc/$pid/ns/mnt")"
    echo >go
    wait "$inside"
    check "gone with it" "$ctl" ls "$db" >/dev/null

    # a copy of the mount is left in another namespace, for a moment
    mount_store "$db" "$mnt"
    pid=$(daemon_of "$db")
    unshare -m --propagation private sh -c 'echo >ready && read -r _ <go' &
    copy=$!
    read -r _ <ready
    umount -i "$mnt"
    "$ctl" repair "$db" >/dev/null 2>copy.err &
    listing=$!
    check "waits for a copy" eventually grep -qs . copy.err
    echo >go
    wait "$copy"
    wait "$listing"
    same "and has waited" "$?" 0
    matches "copy: words" "$(cat copy.err)" "lsmfsctl: $db/LOCK is in use by process $pid \
(mounted on $mnt in another mount namespace, that of process *): waiting until it is free"

    # moved where LOCK does not say
    mkdir moved
    mount_store "$db" "$mnt"
    if mount --bind "$mnt" moved 2>/dev/null; then
        umount -i "$mnt"
        out=$("$ctl" repair "$db" 2>&1)
        matches "moved: words" "$out" "* (mounted on $work/moved)"
        pid=$(daemon_of "$db")
        check "umount.lsmfs of it" umount_store moved
        check "has waited" gone "$pid"
    else
        umount_store "$mnt"
    fi
fi

# --- other mounts go while umount.lsmfs looks for its own
if [ "$(id -u)" -eq 0 ] && mkdir others && mkdir others/{1..40}; then
    for ((i = 0; i < 8; i++)); do
        for other in others/*; do
            mount -t tmpfs none "$other"
        done
        mount_store "$db" "$mnt"
        for other in others/*; do
            umount "$other"
        done &
        leaving=$!
        check "found while others leave" bash "$scripts/umount.lsmfs" "$mnt"
        wait "$leaving"
        ! mounted "$mnt" || umount_store "$mnt"
    done
fi

# --- umount(8) with the helper in place waits, but for -l. (Given an absolute path, some of its
# versions ask the mount for its type, get "fuse", and do not find the helper.)
if [ "$(id -u)" -eq 0 ] && unshare -m true 2>/dev/null; then
    cat >"$work/umount8.sh" <<'SH'
. "$LIB" "$BIN"
cd "$1" || exit 1
mkdir -p "$work/sbin"
cp -a /sbin/. "$work/sbin/"
cp "$scripts/umount.lsmfs" "$work/sbin/umount.fuse.lsmfs"
sbin=$(realpath /sbin)
mount --bind "$work/sbin" "$sbin"
for ((i = 0; i < 5; i++)); do
    mount_store "$1/db" mnt
    pid=$(daemon_of db)
    echo "$i" >mnt/umount8
    check "umount" umount mnt
    check "has waited for the daemon" gone "$pid"
done
mount_store "$1/db" mnt
pid=$(daemon_of db)
exec 7<mnt/umount8
check "umount -l of a busy mount" umount -l mnt
check "does not wait" running "$pid"
exec 7<&-
check "ends" eventually gone "$pid"
umount "$sbin"
finish
SH
    check "umount(8)" env LIB="$here/lib.sh" BIN="$bin" unshare -m --propagation private \
        bash "$work/umount8.sh" "$work"
fi
finish
