#!/usr/bin/env bash
# tar unpacks into the mount, compares, packs again, unpacks over what is there.
. "$(dirname "$0")/scenario.sh"

mkdir "$work/src"
cp -a "$root/storage" "$root/fusefs" "$root/docs" "$work/src/"
if [ -d /usr/include/linux ]; then
    cp -a /usr/include/linux "$work/src/"
fi
ln "$work/src/storage/lsm.h" "$work/src/hard"
ln -s storage/lsm.h "$work/src/soft"
truncate -s 20M "$work/src/sparse" && printf x >>"$work/src/sparse"
tar -C "$work" -cSf "$work/a.tar" src || die "tar outside"

start
tar -C "$mnt" -xSpf "$work/a.tar" || die "untar"
tar -C "$mnt" -df "$work/a.tar" || die "what was unpacked differs"
tar -C "$mnt" -czSf "$mnt/b.tar.gz" src || die "tar inside"
mkdir "$mnt/again"
tar -C "$mnt/again" -xzSpf "$mnt/b.tar.gz" || die "untar inside"
tar -C "$mnt/again" -df "$work/a.tar" || die "the second generation differs"
tar -C "$mnt/again" -xSpf "$work/a.tar" || die "untar over what is there"
tar -C "$mnt/again" -df "$work/a.tar" || die "unpacked over: differs"
[ "$(du -k "$mnt/src/sparse" | cut -f1)" -lt 1024 ] || die "holes have become data"
stop
start
tar -C "$mnt" -df "$work/a.tar" || die "after a remount: differs"
stop
check_store
finish
