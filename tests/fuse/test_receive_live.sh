#!/usr/bin/env bash
# lsmfsctl receive into a mounted store: the mount shows the new tree at once, by names that the
# kernel knew and by new ones; what is open, with and without the write-back cache; watchers; streams
# that are cut off, damaged, for another tree or there already change nothing.
. "$(dirname "$0")/lib.sh"
cd "$work" || exit 1
ctl=$bin/lsmfsctl
db=$work/db src=$work/src copy=$work/copy mnt=$work/mnt

# ---- two trees, and the changes from one to the other
mount_store "$db" "$src" -o noatime
mkdir -p "$src/d/sub/deep" "$src/gone/in" "$src/other" "$src/becomes_file"
head -c 400000 /dev/urandom >"$src/d/large"
for name in same grows shrinks shrinks_closed removed renamed replaced link_a; do
    head -c 5000 /dev/urandom >"$src/$name"
done
ln "$src/link_a" "$src/link_b"
for i in {1..30}; do echo "$i" >"$src/d/sub/$i"; done
echo in >"$src/gone/in/file"
ln -s large "$src/d/symlink"
setfattr -n user.note -v one "$src/same"
check "first" "$ctl" snapshot create "$db" one
check "send" eval '"$ctl" send -q "$db" one | "$ctl" receive -q "$copy"'
head -c 20000 /dev/urandom >>"$src/grows"
head -c 70 /dev/urandom >"$src/shrinks"
head -c 80 /dev/urandom >"$src/shrinks_closed"
head -c 90 /dev/urandom >"$src/link_a"
head -c 5000 /dev/urandom >"$src/replacing" && mv "$src/replacing" "$src/replaced"
printf 'X' | dd of="$src/d/large" bs=1 seek=200000 conv=notrunc 2>/dev/null
rm -r "$src/removed" "$src/gone" "$src/d/sub/7"
mv "$src/renamed" "$src/other/renamed"
mv "$src/d/sub" "$src/other/moved"
rmdir "$src/becomes_file" && echo file >"$src/becomes_file"
mkdir -p "$src/gone/new"
echo new >"$src/gone/new/file"
setfattr -n user.note -v two "$src/same"
chmod 600 "$src/same"
check "second" "$ctl" snapshot create "$db" two
check "changes" eval '"$ctl" send -q --from one "$db" two >two'
echo three >"$src/gone/new/file"
rm "$src/other/renamed"
check "third" "$ctl" snapshot create "$db" three
check "more changes" eval '"$ctl" send -q --from two "$db" three >three'

# What a tree shows: names, types, modes, links, sizes, times, content, attributes.
shown() {
    (cd "$1" && find . -mindepth 1 -printf '%P %y %m %n %s %T@ %l\n' | sort &&
     find . -type f -print0 | sort -z | xargs -0 md5sum && getfattr -dR . 2>/dev/null)
}
numbers() { (cd "$1" && find . -printf '%P %i\n' | sort); }
snapshot() { shown "$src/.snapshots/$1"; }
shows() { # WORDS MOUNT TREE: both show the same
    shown "$2" >"$work/shown.is"
    shown "$3" >"$work/shown.wanted"
    check "$1" diff "$work/shown.is" "$work/shown.wanted"
}

# ---- the kernel knows all of it, and much is open
mount_store "$copy" "$mnt" -o noatime
shows "before" "$mnt" "$src/.snapshots/one"
for i in 1 2 3; do cat "$mnt/gone/new/file" 2>/dev/null; done # known not to be there
exec {same}<"$mnt/same" {grows}<"$mnt/grows" {shrinks}<"$mnt/shrinks" {removed}<"$mnt/removed" \
    {renamed}<"$mnt/renamed" {replaced}<"$mnt/replaced" {large}<"$mnt/d/large"
flock -n $renamed || fail "no lock"
cd "$mnt/d/sub/deep" || exit 1
"$ctl" watch --from one "$copy" >"$work/watched" 2>"$work/watch.err" &
watcher=$!

# ---- what is refused changes nothing
refuses() { # WORDS FILE
    local said
    said=$("$ctl" receive "$copy" <"$work/$2" 2>&1)
    same "status of: $1" $? 1
    matches "$1" "$said" "lsmfsctl: $copy: *$1*"
    shows "unchanged: $1" "$mnt" "$src/.snapshots/one"
}
"$ctl" send -q "$db" two >"$work/whole"
head -c $(($(stat -c %s "$work/two") / 2)) "$work/two" >"$work/cut"
cp "$work/two" "$work/damaged"
printf '\377' | dd of="$work/damaged" bs=1 seek=15000 conv=notrunc 2>/dev/null
refuses "cut off" cut
refuses "nothing is changed" damaged
refuses "exists already" whole
refuses "does not have the snapshot two" three

# ---- received while others read all of it
touch "$work/reading"
read_on() { while [ -e "$work/reading" ]; do shown "$mnt" >"$work/seen.$1" 2>&1; done; }
read_on 1 &
readers=$!
check "received" "$ctl" receive "$copy" <"$work/two" >"$work/said" 2>&1
same "nothing is said" "$(cat "$work/said")" ""
shows "the new tree" "$mnt" "$src/.snapshots/two"
rm "$work/reading"
wait $readers
shows "the new tree, once more" "$mnt" "$src/.snapshots/two"
shows "the snapshot" "$mnt/.snapshots/two" "$src/.snapshots/two"
shows "the base" "$mnt/.snapshots/one" "$src/.snapshots/one"
refuses_twice=$("$ctl" receive "$copy" <"$work/two" 2>&1)
matches "twice" "$refuses_twice" "*has this snapshot already*"

# ---- what was open
then=$src/.snapshots/two
can_read() { same "$1" "$(md5sum <&"$2")" "$(md5sum <"$3")"; }
cannot_read() { check_not "$1" cat <&"$2"; }
can_read "content that was not changed" $same "$then/same"
can_read "what was moved" $renamed "$then/other/renamed"
check_not "its lock is held" flock -n "$mnt/other/renamed" true
cannot_read "what grew" $grows
cannot_read "what shrank" $shrinks
cannot_read "what was changed in the middle" $large
cannot_read "what was removed" $removed
cannot_read "what was replaced" $replaced
check "a directory that was moved is there" test -d .
same "above it" "$(stat -c %i ..)" "$(stat -c %i "$mnt/other/moved")"
same "and further up" "$(stat -c %i ../..)" "$(stat -c %i "$mnt/other")"
cd "$work" || exit 1
for fd in $same $grows $shrinks $removed $renamed $replaced $large; do
    { exec {fd}<&-; } 2>/dev/null # closing what is gone fails
done
for line in 'M /grows' '- /removed' 'R /d/sub -> /other/moved' 'R /renamed -> /other/renamed' '+ /gone/new/file'; do
    check "the watcher is told: $line" eventually grep -qxF -- "$line" "$work/watched"
done

# ---- it goes on: more changes, then changes of its own, which more changes are not for
check "more" "$ctl" receive "$copy" <"$work/three"
shows "more changes" "$mnt" "$src"
same "the same numbers" "$(numbers "$mnt")" "$(numbers "$src")"
check "nothing is wrong" "$ctl" check -q "$copy"
for i in {1..20}; do echo "$i" >"$mnt/other/moved/new$i"; done
mv "$mnt/gone" "$mnt/other/moved/deep/gone"
rm "$mnt/same"
check "still nothing" "$ctl" check -q "$copy"
check "fourth" "$ctl" snapshot create "$db" four
"$ctl" send -q --from three "$db" four >"$work/four"
matches "changed here" "$("$ctl" receive "$copy" <"$work/four" 2>&1)" "*was changed after snapshot three*"
kill $watcher 2>/dev/null
wait $watcher
shown "$mnt" >before
umount_store "$mnt"
check "nothing is wrong on disk" "$ctl" check -q "$copy"
mount_store "$copy" "$mnt"
shown "$mnt" >after
check "mounted again" diff after before
umount_store "$mnt"

# ---- without the write-back cache what is open shows what is new
"$ctl" send -q "$db" one | "$ctl" receive -q through || fail "no copy"
mount_store "$work/through" "$mnt" -o noatime,no_writeback
exec {grows}<"$mnt/grows" {shrinks}<"$mnt/shrinks" {removed}<"$mnt/removed" {large}<"$mnt/d/large"
shown "$mnt" >before
check "received" "$ctl" receive "$work/through" <two
shows "the new tree without the cache" "$mnt" "$then"
can_read "what grew" $grows "$then/grows"
can_read "what shrank" $shrinks "$then/shrinks"
can_read "what was changed in the middle" $large "$then/d/large"
cannot_read "what was removed" $removed
for fd in $grows $shrinks $removed $large; do { exec {fd}<&-; } 2>/dev/null; done
umount_store "$mnt"
finish
