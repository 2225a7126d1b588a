#!/usr/bin/env bash
# A mount that follows beside the one that writes: whoever looks for the store's mount means the one
# that writes.
. "$(dirname "$0")/lib.sh"
cd "$work" || exit 1
db=$work/db w=$work/w f=$work/f

mount_store "$db" "$w"
echo one >"$w/file"
mkdir "$w/backups"
mount_store "$db" "$f" -o ro,follow,follow_ms=200

# A file that is open is emptied through the mount.
exec 7>>"$w/file"
check "put into an open file" "$bin/lsmfsctl" put "$db" /file <<<two
same "its content" "$(cat "$w/file")" two
exec 7>&-

out=$("$bin/lsmfsctl" backup "$db" "$w/backups" 2>&1)
same "a backup into the mount: status" $? 1
same "a backup into the mount" "$out" "lsmfsctl: $w/backups: lies in the mount of the store itself"

mkdir "$work/another"
out=$("$lsmfs" "$db" "$work/another" 2>&1)
matches "who has the store" "$out" "lsmfs: $db/LOCK is in use by process $(daemon_of "$db") (mounted on $w)*"

# Unmounted, and still serving: others wait for a while, whatever follows.
exec 7<"$w/file"
umount -i -l "$w" 2>/dev/null || fusermount3 -uz "$w"
out=$("$bin/lsmfsctl" repair "$db" 2>&1)
# Another test's new mount namespace may have a copy of the mount for a moment.
matches "nobody is mounted any more" "$out" "*is in use by process * [(]*mounted on $w[, ]*"
"$bin/lsmfsctl" get "$db" /file >got &
reader=$!
exec 7<&-
wait $reader
same "a reader that came before the end" "$(cat got)" two
umount_store "$f"
check "the store" "$bin/lsmfsctl" check -q "$db"

# A store that is moved is followed on; the end of the mount is waited for.
"$bin/lsmfsctl" snapshot create "$db" base
"$bin/lsmfsctl" send -q "$db" base | "$bin/lsmfsctl" receive -q "$work/copy"
"$bin/lsmfsctl" put "$db" /file <<<three
"$bin/lsmfsctl" snapshot create "$db" next
mount_store "$db" "$f" -o ro,follow,follow_ms=200
pid=$(head -n 1 "$db/FOLLOWERS")
mv "$db" "$work/moved"
"$bin/lsmfsctl" put "$work/moved" /file <<<four
is() { [ "$(cat "$f/file")" = "$1" ]; }
check "a store that was moved" eventually is four
check "unmount" umount_store "$f"
check "its end is waited for" gone "$pid"
db=$work/moved

# What is received is followed.
"$lsmfs" -f -o ro,follow,follow_ms=20 "$work/copy" "$f" 2>said &
pid=$!
check "a copy" eventually is two
"$bin/lsmfsctl" send -q --from base "$db" next | "$bin/lsmfsctl" receive -q "$work/copy"
check "received changes" eventually is three
same "nothing is said" "$(cat said)" ""

# Another store is put in its place: what to do is said, once. The one that was moved is shown.
"$bin/lsmfsctl" send -q "$db" base | "$bin/lsmfsctl" receive -q "$work/other"
mv "$work/copy" "$work/aside"
mv "$work/other" "$work/copy"
replaced="lsmfs: $work/copy: was removed, or another store is in its place: unmount $f and mount it again"
check "it says that it was replaced" eventually grep -qxF "$replaced" said
check "and shows what it did" is three
# The same if it is removed.
check "removed" "$bin/lsmfsctl" destroy --yes "$work/aside"
check "it cannot be followed" eventually grep -q 'cannot be followed' said
umount_store "$f"
wait "$pid"
same "its status" $? 0
same "it says so once" "$(grep -cF 'another store is in its place' said)" 1
mount_store "$work/copy" "$f" -o ro,follow
check "mounted again" is two
umount_store "$f"
finish
