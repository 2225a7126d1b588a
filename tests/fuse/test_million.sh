#!/usr/bin/env bash
# One directory of very many files: created, listed, looked at, moved in no time, deleted; the
# daemon's resident memory stays within bounds.
# LSMFS_FILES: how many (20,000; 1,000,000 with LSMFS_LONG). LSMFS_RSS_MB: the bound (500).
. "$(dirname "$0")/scenario.sh"

files=20000
[ -z "${LSMFS_LONG-}" ] || files=1000000
files=${LSMFS_FILES:-$files}
max_rss_mb=${LSMFS_RSS_MB:-500}

now_ms() { echo $((${EPOCHREALTIME/[.,]/} / 1000)); }

timed() { # what, command...
    local start what=$1
    start=$(now_ms)
    shift
    "$@" || die "$what"
    took_ms=$(($(now_ms) - start))
    echo "$what: $took_ms ms"
}

check_rss() { # when
    local rss
    rss=$(resident_mb)
    echo "resident $1: $rss MB"
    [ "$rss" -le "$max_rss_mb" ] || die "$1 the daemon takes $rss MB, more than $max_rss_mb"
}

create() { seq -f "$mnt/parent/many/file%.0f" "$files" | xargs -n 2000 -P 2 touch; }
count() { [ "$(find "$mnt/$1" -mindepth 1 | wc -l)" -eq "$files" ]; }
list() { [ "$(ls "$1" | wc -l)" -eq "$files" ]; }
stat_some() { # directory
    local n=$((files < 20000 ? files : 20000))
    [ "$(shuf -i "1-$files" -n "$n" | sed "s:^:$1/file:" | xargs stat -c %h | grep -c '^1$')" -eq "$n" ]
}

start
mkdir -p "$mnt/parent/many"
timed "create $files files" create
check_rss "after creating"
timed "ls" list "$mnt/parent/many"
timed "random stat" stat_some "$mnt/parent/many"
check_rss "after listing"
for i in {1..20}; do # a process may have to wait for a processor
    timed "rename of the parent" mv "$mnt/parent" "$mnt/moved"
    [ "$took_ms" -gt 250 ] || break
    mv "$mnt/moved" "$mnt/parent"
done
[ "$took_ms" -le 250 ] || die "each of $i renames took longer than 250 ms"
[ ! -e "$mnt/parent/many/file1" ] || die "the old path is still there"
timed "random stat after the rename" stat_some "$mnt/moved/many"
stop

start
timed "ls after a remount" list "$mnt/moved/many"
timed "random stat after a remount" stat_some "$mnt/moved/many"
timed "find" count moved/many
check_rss "after find"
mkdir -p "$mnt/parent/many" # the prefix of the moved directory is in use
echo new >"$mnt/parent/many/file1"
timed "ls beside a new directory of the old name" list "$mnt/moved/many"
rm -r "$mnt/parent"
timed "delete" rm -r "$mnt/moved"
check_rss "after deleting"
[ -z "$(ls -A "$mnt")" ] || die "something is left: $(ls -A "$mnt")"
stop
check_store
finish
