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

finish
