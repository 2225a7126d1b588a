#!/usr/bin/env bash
# A named snapshot mounted alone: the tree as it was, read-only, while the present is another. What a
# deleted one held comes back while the store is mounted.
. "$(dirname "$0")/lib.sh"
cd "$work" || exit 1
db=$work/db mnt=$work/mnt
ctl=$bin/lsmfsctl

mount_store "$db" "$mnt"
mkdir -p "$mnt/d/sub" "$mnt/moved"
head -c 3000000 /dev/urandom >"$mnt/d/large"
echo then >"$mnt/d/small"
ln "$mnt/d/small" "$mnt/d/hard"
ln -s small "$mnt/d/link"
setfattr -n user.note -v then "$mnt/d/small"
for i in $(seq 2000); do echo "$i" >"$mnt/moved/f$i"; done
cp -a "$mnt" then
umount_store "$mnt"
for name in . .. a/b ""; do
    matches "no name: '$name'" "$("$ctl" snapshot create "$db" "$name" 2>&1)" \
        "lsmfsctl: $db: a snapshot cannot be called \"$name\": *no '/', *, not '.' or '..'"
done
check "snapshot" "$ctl" snapshot create "$db" "before the change"

mount_store "$db" "$mnt"
rm -r "$mnt/d/sub" "$mnt/d/large"
echo now >"$mnt/d/small"
setfattr -n user.note -v now "$mnt/d/small"
mv "$mnt/moved" "$mnt/elsewhere"
echo new >"$mnt/new"
cp -a "$mnt" now
umount_store "$mnt"

compare() { diff -r --no-dereference "$1" "$mnt" && rsync -anicHX --delete "$1/" "$mnt/"; }
mount_store "$db" "$mnt" -o "ro,snapshot=before the change"
same "as it was" "$(compare then)" ""
same "xattr" "$(getfattr --only-values -n user.note "$mnt/d/small")" then
for change in "touch $mnt/x" "rm $mnt/d/small" "mkdir $mnt/x" "chmod 600 $mnt/d/small" "mv $mnt/d $mnt/e"; do
    matches "$change" "$(LC_ALL=C $change 2>&1)" "*Read-only file system*"
done
umount_store "$mnt"
mount_store "$db" "$mnt"
same "the present" "$(compare now)" ""

# Bytes of tables and blob files; the logs are others'.
stored() { du -sB1 --exclude='*.log' --exclude='*.old' "$db" | cut -f1; }
returned() { [ "$(stored)" -le $((before + 2000000)) ]; }
before=$(stored)
mkdir "$mnt/gone"
head -c 24000000 /dev/urandom >"$mnt/gone/large"
for i in $(seq 1000); do head -c 1000 /dev/urandom >"$mnt/gone/f$i"; done
check "snapshot" "$ctl" snapshot create "$db" holds
rm -r "$mnt/gone"
sleep 1 # what nobody held would be given back meanwhile
held=$(stored)
check "held: $held bytes, $before before" test "$held" -ge 24000000
check "readable" test "$(wc -c <"$mnt/.snapshots/holds/gone/large")" = 24000000
check "delete" "$ctl" snapshot delete "$db" holds
eventually returned || eventually returned || eventually returned ||
    fail "$(stored) bytes after the snapshot was deleted, $held held, $before before"
echo "a deleted snapshot: $held bytes before, $(stored) after"
umount_store "$mnt"
check_not "absent" "$lsmfs" -o ro,snapshot=absent "$db" "$mnt"
check_not "not read-only" "$lsmfs" -o "snapshot=before the change" "$db" "$mnt"
check "clean" "$ctl" check "$db"
finish
