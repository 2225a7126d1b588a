#!/usr/bin/env bash
# Stores that are moved between directories and a real cluster, which the test starts: backup (of a
# store that is mounted, and of one that is not), restore, send and receive; what is refused, and
# what is interrupted.
. "$(dirname "$0")/../fuse/lib.sh"
. "$here/../rados/cluster.sh"

if ! grep -q LSMFS_RADOS "${LSMFS_BUILD:-$root/build}/build.ninja" 2>/dev/null; then
    echo "skipped: this build is one without librados"
    exit 77
fi
cluster_start || exit 77

store=rados:test/a
mnt=$work/mnt
cd "$work" || exit 1
mkdir src
head -c 9000000 /dev/urandom >src/big # more than two objects
for i in {1..40}; do head -c $((i * 331)) src/big >"src/$i"; done
trees_equal() { diff -r "$1" "$2" >/dev/null; }
objects() { rados -p test -N "lsmfs/$1" ls | wc -l; }
no_objects() { [ "$(objects "$1")" -eq 0 ]; }
# refuses WORDS COMMAND...: it fails, and says these words in one line.
refuses() {
    local words=$1 said
    shift
    said=$(lsmfsctl "$@" 2>&1 </dev/null)
    [ $? -eq 1 ] && [ "$(wc -l <<<"$said")" -eq 1 ] && [[ $said == *"$words"* ]] && return
    echo "$* says '$said'"
    return 1
}
# Everything in a store, as one sum.
content() { { lsmfsctl scan -w 100000000 "$1" && lsmfsctl snapshot list -n "$1"; } | md5sum; }

# ---- a backup of a store that is mounted, and of it afterwards
mount_remote $store "$mnt"
cp -r src "$mnt/src"
check "a snapshot" lsmfsctl snapshot create $store one
check "the whole as a stream, from the mounted store" bash -c "lsmfsctl send $store one >one.stream"
check "a backup of the mounted store" lsmfsctl backup -q $store to
echo more >"$mnt/more"
check "another snapshot" lsmfsctl snapshot create $store two
check "unmount" umount_store "$mnt"
check "a backup of the store" lsmfsctl backup -q $store to
check "it is whole" lsmfsctl backup verify -q to
check "changes as a stream" bash -c "lsmfsctl send --from one $store two >changes.stream"
content $store >there

# ---- into a directory, and back
check "restore into a directory" lsmfsctl restore -q to here
same "it is the same" "$(content here)" "$(cat there)"
check "nothing is wrong with it" lsmfsctl check -q here
check "restore into the cluster" lsmfsctl restore -q to@2 rados:test/b
same "it is the same there" "$(content rados:test/b)" "$(cat there)"
check "nothing is wrong with that" lsmfsctl check -q rados:test/b
check "a backup of the directory" lsmfsctl backup -q here to
matches "shares the files of the others" "$(lsmfsctl backup list to | tail -n 1 | awk '{ print $NF < 100000 }')" 1
mount_remote rados:test/b "$mnt"
check "it can be mounted" trees_equal src "$mnt/src"
check "unmount it" umount_store "$mnt"

# ---- streams
check "a whole one into the cluster" bash -c "lsmfsctl receive rados:test/c <one.stream"
check "changes into the cluster" bash -c "lsmfsctl receive rados:test/c <changes.stream"
check "nothing is wrong" lsmfsctl check -q rados:test/c
same "the same files" "$(lsmfsctl ls -R rados:test/c)" "$(lsmfsctl ls -R $store)"
same "the same content" "$(lsmfsctl get rados:test/c /src/big | md5sum)" "$(md5sum <src/big)"
check "from the cluster into a directory" bash -c "lsmfsctl send rados:test/c two | lsmfsctl receive away"
same "the same there" "$(lsmfsctl get away /src/big /more | md5sum)" "$(cat src/big <(echo more) | md5sum)"

# ---- what is refused
check "restore: it is there" refuses "exists already" restore to $store
check "receive: it is there" bash -c "! lsmfsctl receive $store <one.stream 2>words"
matches "and says so" "$(cat words)" "*a store already*"
check "no such pool" refuses "no such pool" restore to rados:nowhere/a
check "no such store" refuses "does not exist" backup rados:test/none out
check "a backup in the cluster" refuses "a backup is in a directory" backup here rados:test/to
check "a checkpoint from there" refuses "cannot share files" checkpoint $store out
check "a checkpoint into it" refuses "cannot share files" checkpoint here rados:test/d
[ ! -e out ]
check "nothing was made" no_objects none

# ---- one that somebody has mounted on another machine: here one whose socket cannot be seen
mount_remote $store "$mnt"
check "its user is told who has it" env XDG_RUNTIME_DIR="$work" unshare -m bash -c "
    mount -t tmpfs none /run && lsmfsctl backup -q $store out 2>words; [ \$? -eq 1 ]"
matches "in one line" "$(cat words)" "*in use by process $daemon*mounted on $mnt*"
same "one" "$(wc -l <words)" 1
check "unmount it again" umount_store "$mnt"

# ---- interrupted: absent, or complete
for signal in INT TERM; do
    # --foreground: the signal comes once; with a second one the command ends at once.
    timeout --foreground -s $signal 0.5 lsmfsctl restore -q to rados:test/e 2>words
    if lsmfsctl ls rados:test/e >/dev/null 2>&1; then # it was faster
        same "complete after SIG$signal" "$(content rados:test/e)" "$(cat there)"
        check "and removed" lsmfsctl destroy --yes rados:test/e
    fi
    check "nothing is left after SIG$signal" eventually no_objects e
done
mkfifo pipe
lsmfsctl receive rados:test/f <pipe 2>words &
pid=$!
exec 6>pipe
head -c 3000000 one.stream >&6
has_objects() { ! no_objects f; }
check "it has begun" eventually has_objects
check "nobody can open it" bash -c '! lsmfsctl ls rados:test/f 2>/dev/null'
kill -TERM $pid
wait $pid
same "a signal ends it" $? 143
exec 6>&-
check "and nothing is left of a stream" eventually no_objects f
lsmfsctl receive rados:test/f <pipe 2>words &
pid=$!
exec 6>pipe
head -c 3000000 one.stream >&6
check "it has begun again" eventually has_objects
kill -9 $pid
exec 6>&-
wait $pid 2>/dev/null
check "what a death leaves cannot be opened" refuses "lsmfsctl destroy" ls rados:test/f
check "but removed" lsmfsctl destroy --yes rados:test/f
check "and made" bash -c "lsmfsctl receive rados:test/f <one.stream"

# ---- a full pool
pool_quota 1000000 >/dev/null
is_full() { refuses "pool is full" restore -q to rados:test/g || { lsmfsctl destroy --yes rados:test/g; false; }; }
check "a full pool refuses a new store" eventually is_full
check "and nothing is left" eventually no_objects g
pool_quota 0 >/dev/null
finish
