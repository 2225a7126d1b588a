#!/usr/bin/env bash
# lsmfsctl backup and restore: generations that share files, what is interrupted, what is damaged.
. "$(dirname "$0")/lib.sh"

damaged() { # verify finds it: its problems are output, not a failure of its own
    "$ctl" backup verify t >out 2>err </dev/null
    same "status of verify" "$? $(cat err)" "1 "
}
copied() { sed -E 's/.*copied ([0-9]+) files.*/\1/' out; }
all_files() { sed -E 's/.*: ([0-9]+) files.*copied.*/\1/' out; }
generations() { "$ctl" backup list t | awk 'NR > 1 { print $1 }' | paste -sd' '; }
# All names and contents of the store $1, as one sum.
content() {
    { "$ctl" ls -R "$1" && "$ctl" get "$1" $("$ctl" ls "$1" | sed 's:^:/:'); } | md5sum
}
# The pool and the generations with inode numbers: what is copied again gets another one.
inodes() { (cd t && find files generations -type f -printf '%i %p\n' | sort -k2); }

for i in 1 2 3 4 5 6; do put_random "/f$i" 300000; done
echo small | "$ctl" put db /small
content db >content.1
expect 0 backup db t
same "all copied" "$(copied)" "$(all_files)"
inodes >inodes.1
expect 0 backup db t
same "nothing is copied again" "$(copied)" 0
same "and nothing was" "$(inodes | head -n "$(grep -c files/ inodes.1)")" "$(grep files/ inodes.1)"
put_random /new 200000
content db >content.3
expect 0 backup db t
[ "$(copied)" -le 2 ] || fail "after one new file $(copied) files were copied"
same "generations" "$(generations)" "1 2 3"
expect 0 backup verify t
same "verified" "$(cat out)" "t: no problem found"
expect 0 backup verify t@2

# A backup whose name ends like the number of a generation.
expect 0 backup db odd@2
expect 0 backup list odd@2
expect 0 backup verify odd@2
expect 0 restore odd@2 r
expect 0 destroy --yes r
expect 0 restore odd@2@1 r
expect 0 destroy --yes r
expect 2 backup delete odd@2
rm -r odd@2

# Restoring: only into a new directory; what comes back is what was.
expect 0 restore t r
expect 0 check r
same "the newest" "$(content r)" "$(cat content.3)"
expect 0 restore t@1 r1
expect 0 check r1
same "the first" "$(content r1)" "$(cat content.1)"
content r1 >before
expect 1 restore t r1
same "what is there stays" "$(content r1)" "$(cat before)"
mkdir empty
expect 1 restore t empty
same "an empty directory too" "$(ls -A empty)" ""
expect 1 restore t@9 r9
expect 1 restore absent r9
[ ! -e r9 ] || fail "a store was made of nothing"
expect 1 restore t db/inside
# A restored store and its first one go different ways, and share a backup all the same.
put_random /apart 100000
head -c 100000 /dev/urandom | "$ctl" put r /apart
content db >content.4
content r >content.5
expect 0 backup db t
expect 0 backup r t
expect 0 restore t@4 r4
expect 0 restore t@5 r5
same "one way" "$(content r4)" "$(cat content.4)"
same "the other" "$(content r5)" "$(cat content.5)"
expect 0 backup verify t

# Another place, another time of change: read, but not copied.
cp -r db moved
expect 0 backup moved t
[ "$(copied)" -le 1 ] || fail "$(copied) files of a moved store were copied"

# Deleting frees what nobody needs, and nothing else.
expect 2 backup delete t
expect 1 backup delete t@77
pool_before=$(ls t/files | wc -l)
expect 0 backup delete t@5
[ "$(ls t/files | wc -l)" -lt "$pool_before" ] || fail "nothing was freed"
same "generations" "$(generations)" "1 2 3 4 6"
expect 0 backup verify t
rm -rf r1
expect 0 restore t@1 r1
same "the first" "$(content r1)" "$(cat content.1)"

# What is damaged or gone is found, and named; the next backup heals it.
victim=$(ls -S t/files | head -n 1)
cp -p "t/files/$victim" victim
printf X | dd of="t/files/$victim" bs=1 seek=100 conv=notrunc status=none
damaged
grep -q "t/files/$victim is damaged" out || fail "damage is not found: $(cat out)"
tail -n 1 out | grep -q "^t: 1 problem found" || fail "the sum is '$(tail -n 1 out)'"
expect 1 restore t@1 r7
grep -q damaged err || fail "restoring what is damaged says '$(cat err)'"
[ ! -e r7 ] || fail "half a store was left"
rm "t/files/$victim"
damaged
grep -q "$victim is missing" out || fail "a missing file is not found: $(cat out)"
expect 0 backup db t
expect 0 backup verify t
cmp "t/files/$victim" victim || fail "the backup has not healed"
cp t/generations/000002 two
printf X | dd of=t/generations/000002 bs=1 seek=50 conv=notrunc status=none
expect 1 backup verify t
expect 1 backup list t
[ "$(wc -l <out)" -eq 6 ] || fail "the others are not listed: $(cat out)"
expect 1 restore t@2 r7
pool_before=$(ls t/files | wc -l)
expect 1 backup delete t@3 # nobody knows what the damaged one needs
same "nothing is freed" "$(ls t/files | wc -l)" "$pool_before"
cp two t/generations/000002
expect 0 backup verify t
truncate -s 100 t/generations/000002
expect 1 backup verify t
expect 0 backup delete t@2
expect 0 backup verify t

# Killed in the middle: the generations before are whole, what was copied is not copied again.
# (Blob files: tables may be merged between the two.)
blobs() { (cd t/files && stat -c '%i %n' -- *.blob-* | sort); }
has_copied() { # COUNT: without a new process, which would be slower than the backup
    local files=(t/files/*.blob-*)
    [ ${#files[@]} -ge "$1" ]
}
killed=no
for round in 1 2 3 4 5 6 7 8 9 10; do # with more to copy each time
    for ((i = 0; i < 6 * round; i++)); do put_random "/big$round-$i" 4000000; done
    blobs >blobs.before
    list=$(generations)
    enough=$(($(wc -l <blobs.before) + 2))
    "$ctl" backup db t >/dev/null 2>&1 &
    until has_copied $enough || [ ! -d "/proc/$!" ]; do :; done
    kill -9 $! 2>/dev/null
    wait $! 2>/dev/null
    [ "$(generations)" = "$list" ] || continue # it was faster
    killed=yes
    expect 0 backup verify t
    blobs >blobs.killed
    expect 0 backup db t
    blobs >blobs.after
    same "what was copied stays" "$(comm -23 blobs.killed blobs.after)" ""
    [ "$(comm -13 blobs.before blobs.killed | wc -l)" -ge 2 ] || fail "killed too early"
    break
done
same "a backup was killed" "$killed" yes
[ -z "$(ls t/tmp)" ] || fail "left in tmp: $(ls t/tmp)"
expect 0 backup verify t
rm -rf r
expect 0 restore t r
expect 0 check r
same "after the kill" "$(content r)" "$(content db)"

# Half a restored store cannot be opened, only removed.
for round in {1..20}; do
    "$ctl" restore t half >/dev/null 2>&1 &
    until [ -e half/UNFINISHED ] || [ ! -d "/proc/$!" ]; do :; done
    kill -9 $! 2>/dev/null
    wait $! 2>/dev/null
    [ ! -e half/UNFINISHED ] || break
    rm -rf half # it was faster
done
expect 1 ls half
grep -q "lsmfsctl destroy" err || fail "half a store: $(cat err)"
expect 0 destroy --yes half
[ ! -e half ] || fail "half a store is still there"

# A store that is damaged: said, and copied with all that is not.
mkdir damage && cp -r r damage/db
expect 0 backup damage/db damage/t
for kind in sst blob; do
    cp -r damage/db "damage/$kind"
    victim=$(ls -S "damage/$kind/"*.$kind | head -n 1)
    printf XYZ | dd of="$victim" bs=1 seek=200 conv=notrunc status=none
    expect 1 backup "damage/$kind" "damage/t-$kind"
    grep -q "the store is damaged" err || fail "damage of a $kind is not said: $(cat err)"
    expect 0 backup verify "damage/t-$kind@1"
done

# What is no backup is left alone.
mkdir other && echo mine >other/file
expect 1 backup db other
same "the rest of it" "$(ls other)" file
expect 1 backup list other
expect 1 backup db r
expect 1 backup db db/inside
expect 1 backup absent t2
[ ! -e t2 ] || [ -z "$(ls t2/generations 2>/dev/null)" ] || fail "a backup of nothing"
echo 'lsmfs backup 2' >t/BACKUP
expect 1 backup db t
grep -q newer err || fail "another version: $(cat err)"
echo 'lsmfs backup 1' >t/BACKUP

# Two at once: one is told.
exec 5>t/LOCK
flock -x 5
expect 1 backup db t
grep -q "another command" err || fail "in use: $(cat err)"
expect 1 backup verify t
exec 5>&-

# A store of the name of a command.
cp -r r list
expect 0 backup ./list t9
expect 0 backup verify t9

finish
