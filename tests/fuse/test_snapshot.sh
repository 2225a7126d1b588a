#!/usr/bin/env bash
# A named snapshot mounted alone: the tree as it was, read-only, while the present is another.
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
umount_store "$mnt"
check_not "absent" "$lsmfs" -o ro,snapshot=absent "$db" "$mnt"
check_not "not read-only" "$lsmfs" -o "snapshot=before the change" "$db" "$mnt"
check "clean" "$ctl" check "$db"
finish
