#!/usr/bin/env bash
# A store in a Ceph cluster, a real one that the test starts: mounted and used, commands on it,
# kill -9 of the daemon, an object daemon that dies and comes back under load, a writer that was
# stopped while another took its place, one that stands by, a cache on the local disk.
. "$(dirname "$0")/../fuse/lib.sh"
. "$here/../rados/cluster.sh"
. "$here/../rados/takeovers.sh"

matches "a path without a store's name" "$("$lsmfs" rados:test "$work" 2>&1)" "*rados:POOL/NAME*"
mkdir "$work/nowhere"
matches "a cache for a store in a directory is refused" \
    "$("$lsmfs" -o cache_dir="$work/cache" "$work/local" "$work/nowhere" 2>&1)" "*for stores in a cluster only*"
check_not "and nothing is made" test -e "$work/local" -o -e "$work/cache"
if ! grep -q LSMFS_RADOS "${LSMFS_BUILD:-$root/build}/build.ninja" 2>/dev/null; then
    matches "a build without librados says so" "$("$lsmfs" rados:test/a "$work" 2>&1)" "*without librados*"
    check_not "and fails" "$lsmfs" rados:test/a "$work"
    finish
fi
cluster_start || exit 77

store=rados:test/a
mnt=$work/mnt other=$work/other
mkdir -p "$work/src"
head -c 9000000 /dev/urandom >"$work/src/big" # more than two objects
for i in {1..100}; do head -c $((i * 331)) "$work/src/big" >"$work/src/$i"; done
trees_equal() { diff -r "$1" "$2" >/dev/null; }
objects() { rados -p test -N lsmfs/a ls | wc -l; }
no_more_than() { [ "$("$1")" -le "$2" ]; }

# ---- refusals
matches "no such pool" "$("$lsmfs" rados:nowhere/a "$work" 2>&1)" "*no such pool*"
matches "no such store" "$(lsmfsctl ls $store 2>&1)" "*does not exist*"
check_not "'ro' makes no store" "$lsmfs" -o ro $store "$work/src"

# ---- the main story
mount_remote $store "$mnt"
check "copy a tree" cp -r "$work/src" "$mnt/src"
check "it is the same" trees_equal "$work/src" "$mnt/src"
check "rename" mv "$mnt/src/1" "$mnt/src/one"
check "remove" rm "$mnt/src/2"
check "link" ln "$mnt/src/3" "$mnt/three"
check "fsync" sync "$mnt/src/big"
matches "df has figures" "$(df --output=size "$mnt" | tail -n 1)" "*[1-9]*"
matches "a command on the mounted store" "$(lsmfsctl ls $store /src | head -n 1)" "10"
check "a snapshot" lsmfsctl snapshot create $store before
same "the control socket is below the user's directory" \
    "$(find "${XDG_RUNTIME_DIR:-/run}/lsmfs" /run/lsmfs -path "*/$(sed -n 's/^fsid = //p' "$CEPH_CONF"),test,a/control" 2>/dev/null | sort -u | wc -l)" 1
matches "a second writer is refused" "$("$lsmfs" $store "$work/src" 2>&1)" "*in use by process $daemon*mounted on $mnt*"
check "unmount" umount_store "$mnt"
check "the daemon has gone" gone "$daemon"
check "nothing is wrong" lsmfsctl check -q $store

now_ms() { echo $((${EPOCHREALTIME/[.,]/} / 1000)); }
start=$(now_ms)
mount_remote $store "$mnt"
usual=$(($(now_ms) - start))
mv "$work/src/1" "$work/src/one" && rm "$work/src/2"
check "it is there after a remount" trees_equal "$work/src" "$mnt/src"

# ---- kill -9: all that was acknowledged is there
for i in {1..40}; do echo "$i" >"$mnt/ack.$i" || break; done
cp "$work/src/big" "$mnt/ack.big"
check "the daemon is killed" kill -9 "$daemon"
umount -i -l "$mnt"
start=$(now_ms)
mount_remote $store "$mnt"
took=$(($(now_ms) - start))
echo "serving $took ms after a kill -9; a mount took $usual ms"
check "within 10 s of what a mount takes" [ "$took" -lt $((10000 + usual)) ]
same "files that were closed" "$(cat "$mnt"/ack.? "$mnt"/ack.?? | sort -n | tail -n 1)" 40
check "a large one" cmp -s "$work/src/big" "$mnt/ack.big"

# ---- a held log: what was synced is there after a kill -9, and all of it after an unmount
umount_store "$mnt"
mount_remote $store "$mnt" -o wal=held,sync=3600000
for i in {1..100}; do echo "$i" >"$mnt/held.$i" || break; done
check "fsync the last of them" sync "$mnt/held.100"
echo perhaps >"$mnt/perhaps"
check "the daemon is killed" kill -9 "$daemon"
umount -i -l "$mnt"
mount_remote $store "$mnt" -o wal=held,sync=3600000
same "what came before the fsync" "$(cat "$mnt"/held.? "$mnt"/held.?? "$mnt"/held.??? | sort -n | uniq | wc -l)" 100
echo later >"$mnt/later"
check "unmount" umount_store "$mnt"
mount_remote $store "$mnt"
same "nothing is lost by an unmount" "$(cat "$mnt/later")" later

# ---- an object daemon dies under load and comes back
load() { # until the file goes
    local n=0
    while [ -e "$work/go" ]; do
        n=$((n + 1))
        cp "$work/src/$((n % 90 + 5))" "$mnt/load.$n" && sync "$mnt/load.$n" || { echo failed; return; }
        echo "$n" >"$work/loaded.new" && mv "$work/loaded.new" "$work/loaded"
    done
}
loaded() { # how many files
    local n=
    read -r n <"$work/loaded"
    echo "${n:-0}"
}
later() { [ "$(loaded)" -gt $((at + 20)) ]; }
load_begins() {
    rm -f "$work/loaded"
    touch "$work/go"
    load >"$work/load.out" &
    loader=$!
    check "work begins" eventually test -s "$work/loaded"
}
load_ends() {
    local n bad=0
    rm "$work/go"
    wait "$loader"
    same "no write has failed" "$(cat "$work/load.out")" ""
    for ((n = 1; n <= $(loaded); n++)); do
        cmp -s "$work/src/$((n % 90 + 5))" "$mnt/load.$n" || bad=$((bad + 1))
    done
    same "files that are not whole" "$bad" 0
}
load_begins
osd_kill 1
at=$(loaded)
check "it goes on without the daemon" eventually later
osd_start 1
at=$(loaded)
check "and with it" eventually later
load_ends

# ---- no monitor for 20 s, under load. What the object daemons have to agree on needs it.
check "the cluster is healthy again" eventually cluster_is_clean
load_begins
mon_kill
away=$SECONDS
at=$(loaded)
check "it goes on without a monitor" eventually later
while [ $((SECONDS - away)) -lt 20 ]; do sleep 0.5; done
check "df tells the last figures" timeout -s KILL 15 df "$mnt"
check "the monitor starts" mon_start
at=$(loaded)
check "and with one" eventually later
load_ends

# ---- a full pool: a quota, which the cluster learns of some seconds later
echo before >"$mnt/before" && sync "$mnt/before"
pool_quota 1000000 >/dev/null
fill() { head -c 1000000 "$work/src/big" >"$mnt/fill.$1" && sync "$mnt/fill.$1"; }
is_full() {
    filled=$((filled + 1))
    ! fill "$filled" 2>"$work/fill.err"
}
filled=0
check "a full pool refuses writes" eventually is_full
matches "as a full disk does" "$(cat "$work/fill.err")" "*[Nn]o space left*"
same "what is there can be read" "$(cat "$mnt/before")" before
check "removing works" rm "$mnt"/fill.*
pool_quota 0 >/dev/null
again() { { echo again >"$mnt/again" && sync "$mnt/again"; } 2>/dev/null; }
check "with room again it can be written" eventually again
same "all of it" "$(cat "$mnt/again")" again

# ---- takeover: the writer is stopped, another comes, the first wakes
echo old >"$mnt/file" && sync "$mnt/file"
first=$daemon
kill -STOP "$first"
# The second knows that the first is there, and that it does not move.
mount_remote $store "$other"
same "the second reads what the first has synced" "$(cat "$other/file")" old
echo new >"$other/file" && sync "$other/file"
kill -CONT "$first"
check_not "the first cannot write any more" bash -c "echo lost >'$mnt/file2' && sync '$mnt/file2'"
check_not "nor later" touch "$mnt/file3"
same "what the second has written stays" "$(cat "$other/file")" new
check_not "nothing of the first is there" test -e "$other/file2"
umount -i -l "$mnt"
eventually gone "$first" || kill -9 "$first"
check "unmount the second" umount_store "$other"
check "nothing is wrong in the end" lsmfsctl check -q $store

# ---- readers
mount_remote $store "$mnt" -o ro
mount_remote $store "$other" -o ro
check "two readers" trees_equal "$mnt" "$other"
check_not "no reader writes" touch "$mnt/file4"
matches "no writer beside readers" "$(lsmfsctl mkdir $store /d 2>&1)" "*in use by process*mounted on*"
check "unmount a reader" umount_store "$mnt"
check "and the other" umount_store "$other"

# ---- followers, which need no lease
follow() { # mount point
    mkdir -p "$1"
    check "mount a follower" "$lsmfs" -o ro,follow $store "$1"
}
shows() { [ "$(cat "$other/$1" 2>/dev/null)" = "$2" ]; }
# shown NAME TEXT: within follow_ms of the sync, 1 s, and what a busy machine adds.
shown() {
    local start=${EPOCHREALTIME/./}
    check "the follower shows $1" eventually shows "$1" "$2"
    took=$(((${EPOCHREALTIME/./} - start) / 1000))
    echo "$1 shown after $took ms"
}
mount_remote $store "$mnt"
follow "$other"
check "it shows what is there" trees_equal "$mnt" "$other"
echo 1 >"$mnt/followed" && sync "$mnt/followed"
shown followed 1
echo 2 >"$mnt/followed" && mv "$mnt/followed" "$mnt/followed2" && sync "$mnt/followed2"
shown followed2 2
no_old_name() { [ ! -e "$other/followed" ]; } # the kernel knows it for half of follow_ms
check "the old name has gone" eventually no_old_name
check_not "a follower does not write" touch "$other/file5"
check "tables replaced beneath it" lsmfsctl compact $store
check "it shows the same" trees_equal "$mnt" "$other"
follow "$work/third"
check "a second follower" trees_equal "$mnt" "$work/third"
kill -9 "$daemon"
umount -i -l "$mnt"
same "it goes on without a writer" "$(cat "$other/followed2")" 2
mount_remote $store "$mnt"
echo 3 >"$mnt/followed2" && sync "$mnt/followed2"
shown followed2 3
check "unmount a follower" umount_store "$other"
check "and the other" umount_store "$work/third"
check "and the writer" umount_store "$mnt"
check "nothing is wrong after all that" lsmfsctl check -q $store

# ---- a cache on the local disk
cache=$work/cache
with_cache=rados:test/c # a store of its own, so that all of it went through the cache
cached() { mount_remote $with_cache "$mnt" -o "cache_dir=$cache,cache_disk=256M"; }
figure() { lsmfsctl metrics $with_cache | sed -n "s/^lsmfs_disk_cache_$1 //p"; }
tree_is_right() { trees_equal "$work/src" "$mnt/src" && cmp -s "$work/src/big" "$mnt/written"; }
cached
check "write with a cache" cp -r "$work/src" "$mnt/src"
cp "$work/src/big" "$mnt/written"
check "read with it" tree_is_right
umount_store "$mnt"
cached
check "read once more, the kernel has forgotten all" tree_is_right
umount_store "$mnt"
cached
check "a third time" tree_is_right
same "warm reads do not ask the cluster" "$(figure misses_total)" 0
check "but the cache" [ "$(figure hit_bytes_total)" -gt 18000000 ]
matches "its figures" "$(lsmfsctl stats $with_cache)" "*disk cache *268435456 bytes*100.0 %*"
mkdir -p "$other"
matches "another mount has to have one of its own" \
    "$("$lsmfs" -o cache_dir="$cache" rados:test/b "$other" 2>&1)" "*/cache/LOCK is in use*a directory of its own*"
umount_store "$mnt"
for f in "$cache"/*-*; do # what is damaged is read from the cluster
    printf damaged | dd of="$f" bs=1 seek=$((4096 + 9000)) conv=notrunc status=none
done
cached
check "it is damaged" tree_is_right
check "which is noticed" [ "$(figure damaged_total)" -gt 0 ]
rm -rf "$cache" # in use
check "writing goes on without it" cp "$work/src/big" "$mnt/more"
check "and reading" cmp -s "$work/src/big" "$mnt/more"
umount_store "$mnt"
cached
check "nothing is lost" tree_is_right
check "of what was written last neither" cmp -s "$work/src/big" "$mnt/more"
umount_store "$mnt"
check "destroy it" lsmfsctl destroy --yes $with_cache

# ---- standby
mount_remote $store "$mnt"
stand_by $store "$other" here
kill "$standby"
check "a signal ends a standby" eventually gone "$standby"
stand_by $store "$other" here
matches "a standby says who has the store" "$(cat "$other.err")" "*standing by*mounted on $mnt*"
echo last >"$mnt/file"
start=$(date +%s%N)
umount -i "$mnt"
check "it takes over after an unmount" eventually mounted "$other"
echo "handed over in $((($(date +%s%N) - start) / 1000000)) ms from the unmount on"
same "with all that was written" "$(cat "$other/file")" last
check "unmount the standby" umount_store "$other"
takeovers $store "${LSMFS_TAKEOVERS:-3}"

# ---- the end: nothing is left
check "destroy" lsmfsctl destroy --yes $store
check "no object is left" eventually no_more_than objects 0
finish
