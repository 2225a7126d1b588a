#!/usr/bin/env bash
# MNT/.snapshots: each named snapshot as a directory that shows the tree as it was and cannot be
# changed; what becomes of it when a command makes, renames or deletes one; which are open; a live
# file of that name.
. "$(dirname "$0")/lib.sh"
cd "$work" || exit 1
db=$work/db mnt=$work/mnt
ctl=$bin/lsmfsctl
dir=$mnt/.snapshots
cc -O1 -Wall -Werror -o snapdir "$here/snapdir.c" || { fail "snapdir.c does not compile"; finish; }

property() { "$ctl" stats "$db" "$1"; }
snapshot() { check "snapshot $*" "$ctl" snapshot "$1" "$db" "${@:2}"; }
# What differs between two trees in names, content, times, owners, modes, links, xattrs and ACLs.
differs() { diff -r --no-dereference "$1" "$2" 2>&1; rsync -anicHAX --delete "$1/" "$2/" 2>&1; }

read_only() { # command...
    checks=$((checks + 1))
    local out
    out=$(LC_ALL=C "$@" 2>&1) && fail "$*: succeeds" && return
    [[ $out == *"Read-only file system"* ]] || fail "$*: $out"
}

nothing_changes() {
    local s=$1 line
    while read -r line; do
        # shellcheck disable=SC2086
        read_only $line
    done <<END
touch $s/d/small
touch $s/x
mkdir $s/x
mknod $s/x p
ln -s target $s/x
ln $mnt/d/small $s/x
rm $s/d/small
rmdir $s/d/empty
mv $s/d/small $s/d/x
mv $s/d/small $mnt/x
mv $mnt/d/small $s/x
chmod 700 $s/d/small
chown 1 $s/d/small
truncate -s 1 $s/d/small
setfattr -n user.x -v 1 $s/d/small
setfattr -x user.note $s/d/small
setfacl -m u:9:r $s/d/small
chattr +d $s/d/small
mkdir $dir/x
rmdir $s
mv $s $dir/x
mv $s $mnt/x
rmdir $dir
mv $dir $mnt/x
mv -T $mnt/d $dir
mv $mnt/d $dir
chmod 700 $dir
touch $dir
END
    matches "link into the present" "$(LC_ALL=C ln "$s/d/small" "$mnt/x" 2>&1)" "*cross-device*"
    check "writes" ./snapdir write "$s/d/small"
    check "writes to what is cached" ./snapdir write "$s/d/large"
}

make_tree() {
    mkdir -p "$mnt"/d/empty "$mnt"/moved
    head -c 3000000 /dev/zero | tr '\0' x >"$mnt/d/large"
    head -c 9000 /dev/urandom >"$mnt/d/mapped"
    echo then >"$mnt/d/small"
    ln "$mnt/d/small" "$mnt/d/hard"
    ln -s small "$mnt/d/link"
    setfattr -n user.note -v then "$mnt/d/small"
    setfacl -m u:1:rw,g:2:r "$mnt/d/small"
    setfacl -d -m u:3:rwx "$mnt/d"
    chown 5:6 "$mnt/d/mapped"
    chmod 2750 "$mnt/d"
    touch -d '2001-02-03 04:05:06.789' "$mnt/d/empty" "$mnt/d/small"
    truncate -s 5000000 "$mnt/d/sparse"
    for i in $(seq 1000); do echo "$i" >"$mnt/moved/f$i"; done
}

change_tree() {
    rm -r "$mnt/d/empty" "$mnt/d/large" "$mnt/d/sparse"
    echo now >"$mnt/d/small"
    chmod 700 "$mnt/d"
    setfattr -n user.note -v now "$mnt/d/small"
    mv "$mnt/moved" "$mnt/elsewhere"
}

numbers() { find "$dir/one" -printf '%i %P\n' | sort; }

# ---- as it was, beside the present

mount_store "$db" "$mnt"
same "none yet" "$(ls -A "$dir")" ""
make_tree
cp -a "$mnt" then
echo unsynced >"$mnt/late" # only the kernel has it
cp -a "$mnt/late" then/
touch -r "$mnt" then
snapshot create one
same "as it is" "$(differs then "$dir/one")" ""
change_tree
cp -a "$mnt" now
same "as it was" "$(differs then "$dir/one")" ""
same "the present" "$(differs now "$mnt")" ""
nothing_changes "$dir/one"
same "as it was still" "$(differs then "$dir/one")" ""
same "the present still" "$(differs now "$mnt")" ""
check "df" sh -c "df '$dir/one/d' >/dev/null"
same "the mount of" "$(findmnt -n -o TARGET -T "$dir/one/d")" "$mnt"
same "device" "$(stat -c %d "$dir/one/d")" "$(stat -c %d "$mnt")"
same "upwards" "$(cd "$dir/one/d" && cd -P .. && pwd -P) $(cd "$dir/one" && cd -P .. && pwd -P)" "$dir/one $dir"
same "listed numbers" "$(ls -ai "$dir/one" "$dir" | awk 'NF == 2 && $1 > 0 { print $1, $2 }' | sort -u)" \
    "$( (cd "$dir/one" && stat -c '%i %n' . .. d late moved; cd .. && stat -c '%i %n' . .. one) | sort -u)"
same "no label" "$(getfattr -n security.capability "$dir/one/d/small" 2>&1 | grep -c 'No such attribute')" 1

# ---- numbers

numbers >numbers
snapshot create two
find "$mnt" "$dir" -printf '%i %n %y\n' >all
same "no number twice, but for links" \
    "$(awk '$3 == "d" || $2 == 1 { print $1 }' all | sort | uniq -d)" ""
same "two of each" "$(ls "$dir")" "one
two"

# ---- restoring shares bytes

check "a store in a mapping goes" ./snapdir map "$dir/one/d/mapped"
before=$(property blob-bytes-written)
cp -a "$dir/one/d" "$mnt/back"
sync -f "$mnt/back"
same "restored" "$(differs then/d "$mnt/back" | grep -v '^\.f\.\.t\.\.\.\.\.\. mapped$')" ""
written=$(($(property blob-bytes-written) - before))
check "$written bytes written anew" test "$written" -lt 300000
rm -r "$mnt/back"

# ---- the name in the root

has() { ls -a "$mnt" | grep -c '^\.snapshots$'; }
same "hidden" "$(has)" 0
umount_store "$mnt"
mount_store "$db" "$mnt" -o snapdir=none
check_not "none" ls "$dir"
echo mine >"$mnt/.snapshots"
same "a file of that name" "$(has) $(cat "$dir")" "1 mine"
umount_store "$mnt"
mount_store "$db" "$mnt" -o snapdir=visible
same "visible, once" "$(has) $(ls "$dir")" "1 one
two"
same "the last" "$(find "$mnt" -mindepth 1 -maxdepth 1 | tail -1)" "$dir"
same "same numbers" "$(numbers)" "$(<numbers)"
umount_store "$mnt"
mount_store "$db" "$mnt" # hidden, and hides the file
same "hidden, with the file" "$(has) $(ls "$dir")" "0 one
two"
read_only rm "$mnt/.snapshots/one/d/small"
umount_store "$mnt"
mount_store "$db" "$mnt" -o snapdir=none
same "the file again" "$(cat "$dir")" mine
rm "$mnt/.snapshots"
umount_store "$mnt"
check_not "another word" "$lsmfs" -o snapdir=seen "$db" "$mnt"

# ---- commands on the mounted store

mount_store "$db" "$mnt"
check "listed" sh -c "ls -lR '$dir' >/dev/null"
check_not "not there yet" test -e "$dir/three"
snapshot create three
same "at once" "$(ls "$dir" | tr '\n' ' ')$(cat "$dir/three/d/small")" "one three two now"
snapshot rename three 3
check_not "no more" test -e "$dir/three"
same "renamed" "$(ls "$dir" | tr '\n' ' ')$(cat "$dir/3/d/small")" "3 one two now"
snapshot delete 3
check_not "deleted" test -e "$dir/3/d/small"
echo later >"$mnt/d/small"
snapshot create 3
same "another of that name" "$(cat "$dir/3/d/small")" later
same "times" "$(stat -c %Y "$dir")" "$(date -d "$("$ctl" snapshot list "$db" | awk 'END { print $1, $2 }')" +%s)"

# A deleted one stays for those who have files open, or stand in it; then its space comes back.
head -c 30000000 /dev/urandom >big && cp big "$mnt/big" && rm "$mnt/d/small"
snapshot create large
rm "$mnt/big"
sync -f "$mnt"
exec 3<"$dir/large/big"
before=$(property blob-bytes)
(
    cd "$dir/large/d" || exit
    "$ctl" snapshot delete "$db" large || exit
    "$ctl" compact "$db" || exit
    cat mapped
) >mapped
same "where somebody stood" "$(cmp mapped now/d/mapped)" ""
check_not "gone for others" test -e "$dir/large"
check "read after the deletion" cmp big - <&3
exec 3<&-
less() { [ "$(property blob-bytes)" -lt $((before - 25000000)) ]; }
check "space comes back" eventually less

# ---- how many are open; all references come back

for i in $(seq 80); do snapshot create "s$i"; done
check "all looked at" sh -c "ls -lR '$dir' >/dev/null"
few() { [ "$(property snapshots)" -le 64 ]; }
check "64 stay open" eventually few
same "and all can be read" "$(cat "$dir"/s*/late | sort -u)" unsynced
for d in "$dir"/s*; do diff -r --no-dereference "$dir/s1" "$d" || fail "$d is another"; done
check "prune" sh -c "'$ctl' snapshot prune --keep-last 1 '$db' s >/dev/null"
none() { [ "$(property snapshots)" -eq "$1" ]; }
same "pruned" "$(ls "$dir" | tr '\n' ' ')" "3 one s80 two "
check "the rest deleted" "$ctl" snapshot delete "$db" s80 one two 3
same "empty" "$(ls -A "$dir")" ""
check "the kernel has given back all" eventually none 0
umount_store "$mnt"
check "clean" "$ctl" check "$db"

# ---- other mounts

mount_store "$db" "$mnt" -o open_requests
echo now >"$mnt/d/small"
snapshot create s
read_only dd if=/dev/zero "of=$dir/s/d/small" conv=notrunc
check "writes" ./snapdir write "$dir/s/d/small"
same "read" "$(cat "$dir/s/d/small")" now
umount_store "$mnt"
mount_store "$db" "$mnt" -o ro
same "read-only" "$(ls "$dir") $(cat "$dir/s/d/small")" "s now"
read_only touch "$dir/s/x"
umount_store "$mnt"
mount_store "$db" "$mnt" -o ro,snapshot=s
check_not "none in one that is mounted alone" ls "$dir"
umount_store "$mnt"

for transport in plain poll uring; do
    mkdir -p "$mnt"
    "$lsmfs" -o "transport=$transport" "$db" "$mnt" 2>/dev/null || continue
    same "$transport" "$(differs "$mnt/elsewhere" "$dir/s/elsewhere")" ""
    read_only touch "$dir/s/elsewhere/f1"
    check "$transport: writes" ./snapdir write "$dir/s/elsewhere/f2"
    umount_store "$mnt"
done

# ---- kill -9

mount_store "$db" "$mnt"
cp -a "$dir/s" killed
snapshot create k
echo lost >"$mnt/d/small"
kill -9 "$(daemon_of "$db")"
umount -l "$mnt"
mount_store "$db" "$mnt"
same "after kill -9" "$(differs killed "$dir/k")$(differs killed "$dir/s")" ""
umount_store "$mnt"
check "clean after all" "$ctl" check "$db"
finish
