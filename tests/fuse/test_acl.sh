#!/usr/bin/env bash
# POSIX access control lists: kept, enforced, inherited, in step with the mode.
. "$(dirname "$0")/lib.sh"
# Other users have to be let in and impersonated: that is root's.
if [ "$(id -u)" -ne 0 ]; then
    sudo -n true 2>/dev/null || { echo "skipped: needs root, or sudo without a password"; exit 77; }
    rm -rf "$work"
    exec sudo -n env LSMFS_BIN="$bin" TMPDIR="${TMPDIR:-/tmp}" bash "$here/test_acl.sh"
fi
for program in setfacl setpriv; do
    command -v $program >/dev/null || { echo "FAIL: $program is missing"; exit 1; }
done
db=$work/db mnt=$work/mnt
as() { setpriv --reuid="$1" --regid="$2" --clear-groups "${@:3}"; }
acl() { getfacl -cpn "$1" | grep -v '^$' | sed 's/[[:space:]].*//' | tr '\n' ' '; }
mode() { stat -c %a "$1"; }
mount_store "$db" "$mnt"
cd "$mnt" || exit 1
umask 022

echo secret >f && chmod 600 f
check_not "without a list" as 1000 1000 cat f
setfacl -m u:1000:r,g:2000:rw f
same "the list" "$(acl f)" "user::rw- user:1000:r-- group::--- group:2000:rw- mask::rw- other::--- "
same "the mask is the group's mode" "$(mode f)" 660
check "a named user" as 1000 1000 cat f
check_not "may read only" as 1000 1000 sh -c 'echo >>f'
check "a named group" as 1001 2000 sh -c 'echo more >>f'
check_not "others may not" as 1001 1001 cat f
chmod 640 f
same "chmod changes the mask" "$(acl f)" "user::rw- user:1000:r-- group::--- group:2000:rw- mask::r-- other::--- "
check_not "which limits" as 1001 2000 sh -c 'echo more >>f'
chmod 614 f
same "chmod changes others" "$(acl f)" "user::rw- user:1000:r-- group::--- group:2000:rw- mask::--x other::r-- "
check_not "before others, of whom the user is none" as 1000 1000 cat f
setfacl -b f
same "without a list the mode is all" "$(acl f)" "user::rw- group::--- other::r-- "
setfacl -m u::rwx,g::rx,o::- f
same "a minimal list is a mode" "$(mode f) $(getfattr -m 'system' f 2>/dev/null)" "750 "

# inheritance
mkdir d && setfacl -d -m u:1000:rwx,g::rx,o::- d
touch d/file && mkdir d/dir
(umask 077 && touch d/masked)
same "a file's list from the default" "$(acl d/file)" \
    "user::rw- user:1000:rwx group::r-x mask::rw- other::--- "
same "the umask has no say" "$(acl d/masked)" "$(acl d/file)"
same "a directory hands it on" "$(acl d/dir)" \
    "user::rwx user:1000:rwx group::r-x mask::rwx other::--- default:user::rwx default:user:1000:rwx default:group::r-x default:mask::rwx default:other::--- "
mkdir d/dir/below && touch d/dir/below/file
same "all the way down" "$(acl d/dir/below/file)" "$(acl d/file)"
ln -s x d/link && mkfifo d/fifo
same "a fifo's" "$(acl d/fifo)" "$(acl d/file)"
check_not "no default lists for files" setfacl -d -m u:1:r d/file
setfacl -k d && touch d/plain
same "after it was removed" "$(mode d/plain)" 644
check "removing it again" setfacl -k d
mkdir e && setfacl -d -m u::rwx,g::r,o::- e && touch e/file
same "a minimal default" "$(mode e/file) $(acl e/file)" "640 user::rw- group::r-- other::--- "

# setgid goes when somebody outside of the group sets a list
touch sg && chown 1000:3000 sg && chmod 2775 sg
as 1000 1000 setfacl -m u:5:r sg
same "setgid" "$(mode sg)" 775
chmod 2775 sg && as 1000 3000 setfacl -m u:6:r sg
same "setgid of a member's" "$(mode sg)" 2775

# copies, and what a remount finds
cp -a d copy
same "cp -a" "$(acl copy/dir)" "$(acl d/dir)"
before=$(getfacl -Rnp . | cksum)
cd "$work" || exit 1
umount_store "$mnt"
mount_store "$db" "$mnt"
same "after a remount" "$(cd "$mnt" && getfacl -Rnp . | cksum)" "$before"
umount_store "$mnt"

mount_store "$db" "$mnt" -o noacl
check_not "noacl: refused" setfacl -m u:1:r "$mnt/f"
(umask 077 && touch "$mnt/e/x")
same "noacl: the umask counts" "$(mode "$mnt/e/x")" 600
umount_store "$mnt"
check "the store checks clean" lsmfsctl check "$db"
finish
