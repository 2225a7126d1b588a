#!/usr/bin/env bash
# Mounting and unmounting, every way there is.
. "$(dirname "$0")/lib.sh"
db=$work/db mnt=$work/mnt
cd "$work" || exit 1
mkdir "$mnt"

# --- by hand
check "a new store" "$lsmfs" "$db" "$mnt"
check "mounted on return" mounted "$mnt"
pid=$(daemon_of "$db")
check "the daemon named in LOCK runs" running "$pid"
same "LOCK says where" "$(sed -n 2p "$db/LOCK")" "mounted on $mnt"
same "type and source" "$(findmnt -n -o FSTYPE,SOURCE "$mnt" | tr -s ' ')" "fuse.lsmfs $db"
if [ "$(id -u)" -eq 0 ]; then
    matches "root's default" "$(findmnt -n -o OPTIONS "$mnt")" "*default_permissions*allow_other*"
fi
echo hello >"$mnt/file"
check "umount.lsmfs" umount_store "$mnt"
check "the daemon has gone" gone "$pid"
check "not mounted any more" not_mounted "$mnt"

# --- again, with what was there; relative paths
check "relative paths" "$lsmfs" db mnt
same "content survives" "$(cat "$mnt/file")" hello
(cd / && check "the daemon does not care where it was started" ls "$mnt" >/dev/null)
pid=$(daemon_of "$db")
check "fusermount3 -u or umount" sh -c 'umount -i "$1" 2>/dev/null || fusermount3 -u "$1"' - "$mnt"
check "the daemon ends by itself" eventually gone "$pid"

# --- signals
for signal in TERM INT HUP; do
    mount_store "$db" "$mnt"
    echo "$signal" >"$mnt/signal"
    pid=$(daemon_of "$db")
    kill "-$signal" "$pid"
    check "SIG$signal ends the daemon" eventually gone "$pid"
    check "SIG$signal unmounts" not_mounted "$mnt"
done
mount_store "$db" "$mnt"
same "what was written before a signal" "$(cat "$mnt/signal")" HUP
umount_store "$mnt"

# --- in the foreground
"$lsmfs" -f "$db" "$mnt" 2>"$work/log" &
job=$!
check "-f mounts" eventually mounted "$mnt"
same "-f is the process itself" "$(daemon_of "$db")" "$job"
echo foreground >"$mnt/fg"
kill "$job"
wait "$job"
same "-f ends with status 0" $? 0
same "nothing to complain about" "$(cat "$work/log")" ""

# --- a signal while the mount is in use: detached, served on, over when the user leaves
"$lsmfs" -f "$db" "$mnt" 2>"$work/log" &
job=$!
eventually mounted "$mnt"
exec 7>"$mnt/held"
echo before >&7
kill "$job"
check "detached at once" eventually not_mounted "$mnt"
check "the daemon stays for its user" running "$job"
echo after >&7
exec 7>&-
wait "$job"
same "then it ends with status 0" $? 0
matches "and has said so" "$(cat "$work/log")" "*in use*"
mount_store "$db" "$mnt"
same "nothing of it is lost" "$(cat "$mnt/held")" $'before\nafter'
umount_store "$mnt"

# --- a second signal ends it under its user
"$lsmfs" -f "$db" "$mnt" 2>/dev/null &
job=$!
eventually mounted "$mnt"
exec 7>"$mnt/held2"
kill "$job"
eventually not_mounted "$mnt"
kill "$job"
check "ends though it is in use" eventually gone "$job"
wait "$job"
exec 7>&- 2>/dev/null

# --- lazy unmount
mount_store "$db" "$mnt"
pid=$(daemon_of "$db")
exec 7<"$mnt/file"
check_not "a busy mount is not unmounted" umount_store "$mnt"
check "it is still there" mounted "$mnt"
bash "$scripts/umount.lsmfs" -l -t 1 "$mnt" 2>/dev/null
same "umount.lsmfs -l -t gives up waiting with status 3" $? 3
same "whoever is inside goes on" "$(cat <&7)" hello
exec 7<&-
check "and the daemon ends after them" eventually gone "$pid"

# --- kill -9: what the daemon had acknowledged is there; the dead mount is said and taken away
mount_store "$db" "$mnt" -o no_writeback
echo survives >"$mnt/killed"
pid=$(daemon_of "$db")
kill -9 "$pid"
check "the daemon is dead" eventually gone "$pid"
out=$("$lsmfs" "$db" "$mnt" 2>&1)
same "a dead mount is refused" $? 1
matches "and named" "$out" "*$mnt*unmount it first*"
umount -i -l "$mnt" 2>/dev/null || fusermount3 -uz "$mnt"
mount_store "$db" "$mnt"
same "acknowledged writes survive kill -9" "$(cat "$mnt/killed")" survives
umount_store "$mnt"

# --- how many dirty pages the kernel may gather
dirty_ratio() { cat "/sys/class/bdi/$(mountpoint -d "$mnt")/max_ratio"; }
if [ "$(id -u)" -eq 0 ] && [ -w /sys/class/bdi ]; then
    mount_store "$db" "$mnt"
    same "root's mount may gather half of the dirty pages" "$(dirty_ratio)" 50
    umount_store "$mnt"
    mount_store "$db" "$mnt" -o dirty_ratio=7
    same "or what dirty_ratio says" "$(dirty_ratio)" 7
    umount_store "$mnt"
fi
"$lsmfs" -o dirty_ratio=101 "$db" "$mnt" 2>/dev/null
same "more than all is refused" $? 2

# --- read only
mount_store "$db" "$mnt" -o ro
same "ro reads" "$(cat "$mnt/file")" hello
check_not "ro does not write" sh -c 'echo x >"$1/new"' - "$mnt"
check_not "ro does not remove" rm "$mnt/file"
matches "ro is shown" "$(findmnt -n -o OPTIONS "$mnt")" "ro,*"
umount_store "$mnt"

# --- every option of ours, and the generic ones
mount_store "$db" "$mnt" -o cache_size=16M,write_buffer=1M,compression=zlib,sync=100,inline_max=4K \
    -o threads=3,spin=20,max_open_tables=64,bottom_compression=none,checksums=always,wal=written
echo options >"$mnt/options"
umount_store "$mnt"
mount_store "$db" "$mnt" -o rw,auto,nofail,user,_netdev,x-a.b=c,nosuid,nodev,noexec,noatime,relatime
same "written with other options" "$(cat "$mnt/options")" options
umount_store "$mnt"
mount_store "$db" "$mnt" -o defaults,dirsync,nodiratime,comment=x
mkdir "$mnt/dir" && umount_store "$mnt"

# --- strange names
odd="$work/a b,c\\d"
mkdir "$odd" "$odd/m p"
check "spaces, commas and backslashes" "$lsmfs" "$odd/d b" "$odd/m p"
echo odd >"$odd/m p/x"
check "umount.lsmfs finds them" umount_store "$odd/m p"
check "again" "$lsmfs" "$odd/d b" "$odd/m p"
same "in the right store" "$(cat "$odd/m p/x")" odd
umount_store "$odd/m p"
ln -s "$mnt" "$work/link"
check "a symlink as mount point" "$lsmfs" "$db" "$work/link"
check "umount.lsmfs through it" umount_store "$work/link"

# --- mount(8): its helpers in a private place, seen by nobody else
if [ "$(id -u)" -eq 0 ] && unshare -m true 2>/dev/null; then
    cat >"$work/mount8.sh" <<'SH'
. "$LIB" "$BIN"
leave_others
db=$1 mnt=$2
mkdir -p "$work/etc" "$work/sbin"
cp /etc/fstab "$work/etc/fstab" 2>/dev/null || : >"$work/etc/fstab"
echo "$db $mnt fuse.lsmfs defaults,noauto,nofail,cache_size=32M 0 0" >>"$work/etc/fstab"
[ -e /etc/fstab ] || : >/etc/fstab
mount --bind "$work/etc/fstab" /etc/fstab
# mount.fuse3 calls "lsmfs" through PATH; mount(8) finds mount.lsmfs and umount.lsmfs in /sbin.
cp -a /sbin/. "$work/sbin/"
cp "$scripts/mount.lsmfs" "$scripts/umount.lsmfs" "$work/sbin/"
ln -s "$lsmfs" "$work/sbin/lsmfs"
sbin=$(realpath /sbin)
mount --bind "$work/sbin" "$sbin"
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
check "mount -t fuse.lsmfs" mount -t fuse.lsmfs "$db" "$mnt"
echo mount8 >"$mnt/m8"
matches "suid and dev as for any file system root mounts" "$(findmnt -n -o OPTIONS "$mnt")" \
    "rw,relatime,*"
check "umount" umount "$mnt"
check "mount -t lsmfs, at once: umount has waited or mount does" \
    eventually mount -t lsmfs -o cache_size=8M "$db" "$mnt"
same "the same store" "$(cat "$mnt/m8")" mount8
pid=$(daemon_of "$db")
check "umount of type lsmfs" umount.lsmfs "$mnt"
check "has waited" gone "$pid"
check "fstab, by mount point" mount "$mnt"
same "from fstab" "$(cat "$mnt/m8")" mount8
check "umount" umount.lsmfs "$mnt"
check_not "mount -o with nonsense" mount -t lsmfs -o nonsense "$db" "$mnt"
check "mount -s skips it" mount -s -t lsmfs -o nonsense "$db" "$mnt"
check "umount" umount.lsmfs "$mnt"
check "mount -f mounts nothing" mount -f -t lsmfs "$db" "$mnt"
check "nothing is mounted" not_mounted "$mnt"
umount "$sbin" /etc/fstab
finish
SH
    check "mount(8) and fstab" env LIB="$here/lib.sh" BIN="$bin" unshare -m --propagation private \
        bash "$work/mount8.sh" "$db" "$mnt"
fi

# --- an ordinary user, who may open /dev/fuse here
if [ "$(id -u)" -eq 0 ] && unshare -m true 2>/dev/null && command -v setpriv >/dev/null; then
    cat >"$work/user.sh" <<'SH'
. "$LIB" "$BIN"
leave_others
umask 022
mknod "$work/fuse" c 10 229 && chmod 666 "$work/fuse" && mount --bind "$work/fuse" /dev/fuse
home=$work/home
mkdir "$home"
cp "$lsmfs" "$work/lsmfs"
lsmfs=$work/lsmfs
chown nobody "$home"
cd "$home" || exit 1
user=(setpriv --reuid=nobody --regid="$(id -g nobody)" --clear-groups env HOME="$home")
"${user[@]}" mkdir mnt
check "a user mounts" "${user[@]}" "$lsmfs" db mnt
check "and writes" "${user[@]}" sh -c 'echo mine >mnt/file'
same "files are theirs" "$("${user[@]}" stat -c %U mnt/file)" nobody
same "the store is theirs" "$(stat -c %U db)" nobody
check_not "root is kept out" ls mnt
pid=$(daemon_of db)
check "a user unmounts" "${user[@]}" bash "$scripts/umount.lsmfs" mnt
check "and the daemon has gone" gone "$pid"
"${user[@]}" "$lsmfs" -f db mnt 2>"$work/log" &
eventually mounted "$home/mnt"
pid=$(daemon_of db)
kill "$pid"
wait $!
same "SIGTERM unmounts a user's mount" $? 0
check "it is gone" not_mounted "$home/mnt"
out=$("${user[@]}" "$lsmfs" db "$work" 2>&1)
same "not on somebody else's directory" $? 1
matches "in words" "$out" "lsmfs: $work: no permission*"
if ! grep -q '^user_allow_other' /etc/fuse.conf 2>/dev/null; then
    out=$("${user[@]}" "$lsmfs" -o allow_other new mnt 2>&1)
    same "allow_other needs fuse.conf" $? 1
    matches "in words" "$out" "lsmfs: option 'allow_other'*user_allow_other*"
    check_not "no store was made" test -e new
fi
conf=$work/fuse.conf
echo user_allow_other >"$conf"
[ -e /etc/fuse.conf ] && mount --bind "$conf" /etc/fuse.conf
check "allow_other with it" "${user[@]}" "$lsmfs" -o allow_other db mnt
same "root may look" "$(cat mnt/file)" mine
check "umount" umount_store mnt
umount /etc/fuse.conf /dev/fuse
finish
SH
    check "an ordinary user" env LIB="$here/lib.sh" BIN="$bin" unshare -m --propagation private \
        bash "$work/user.sh"
fi

"$lsmfs" --help >"$work/help"
same "--help" $? 0
check "it fits a screen" test "$(wc -l <"$work/help")" -le 24
check "it fits a line" test "$(wc -L <"$work/help")" -le 82
matches "--version" "$("$lsmfs" --version)" "lsmfs [0-9]*"
finish
