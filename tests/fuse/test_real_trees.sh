#!/usr/bin/env bash
# Real trees: copied in with cp -a, compared byte for byte and attribute for attribute, before and
# after the store has been closed and opened again.
# LSMFS_TREE_MB bounds each of the two trees (default 40; everything with LSMFS_LONG).
. "$(dirname "$0")/scenario.sh"

limit_mb=${LSMFS_TREE_MB:-40}
[ -z "${LSMFS_LONG-}" ] || limit_mb=1000000

# Copies entries of directory $1 to $2 until there are limit_mb of them.
bounded_copy() {
    local entry total=0 size
    mkdir -p "$2"
    for entry in "$1"/*; do
        size=$(du -sk "$entry" | cut -f1)
        [ $((total + size)) -le $((limit_mb * 1024)) ] || continue
        total=$((total + size))
        cp -a "$entry" "$2/"
    done
}

# What an ordinary tree lacks.
make_specials() {
    mkdir -p "$1/deep" "$1/empty" && cd "$1" || exit 1
    echo one >file && ln file link-to-file && ln file deep/link-too
    ln -s ../nowhere dangling && ln -s "$(printf 'x%.0s' {1..3000})" long-link
    mkfifo fifo && chmod 0620 fifo
    : >empty-file && truncate -s 10000001 holes && printf end >>holes
    printf 'name' >"$(printf 'every\1byte\2\t\n\377\\*?[ ]')"
    printf 'long' >"$(printf 'n%.0s' {1..255})"
    chmod 4711 file && chmod 01777 empty && chmod 2755 deep && chmod 0 empty-file
    touch -h -d '1969-12-31 23:59:58.987654321 UTC' dangling
    touch -d '2106-02-07 06:28:17.000000001 UTC' holes
    if [ "$(id -u)" -eq 0 ]; then
        chown 12345:54321 file && chown -h 1:2 long-link
        mknod null c 1 3 && mknod disk b 259 70000
    fi
    setfattr -n user.colour -v blue deep 2>/dev/null
    setfattr -n user.binary -v 0x00ff01 file 2>/dev/null
    touch -d '2001-02-03 04:05:06.070809010 UTC' deep
    cd - >/dev/null || exit 1
}

# Everything a tree shows of itself but inode numbers of the source.
summary() {
    (cd "$1" && find . | wc -l && find . ! -type d -print0 |
        du --apparent-size -cb --files0-from=- | tail -1 &&
        find . ! -type d -printf '%p %m %n %U:%G %s %T@ %l\n' | LC_ALL=C sort | cksum &&
        find . -type d -printf '%p %m %n %U:%G %T@\n' | LC_ALL=C sort | cksum)
}

same_trees() { # when
    local out
    out=$(diff -r --no-dereference "$ref" "$mnt/tree" 2>&1 | grep -v 'is a fifo while' |
        grep -v 'is a \(character\|block\) special file while' | head -5)
    [ -z "$out" ] || die "$1: diff: $out"
    out=$(rsync -aHXn --delete --itemize-changes "$ref/" "$mnt/tree/" 2>&1 | head -5)
    [ -z "$out" ] || die "$1: rsync: $out"
    [ "$(summary "$ref")" = "$(summary "$mnt/tree")" ] || die "$1: the trees differ:
$(diff <(summary "$ref") <(summary "$mnt/tree"))"
}

ref=$work/ref
bounded_copy /usr/include "$ref/include"
bounded_copy /usr/share/doc "$ref/doc"
make_specials "$ref/specials"
echo "$(find "$ref" | wc -l) files, $(du -sm "$ref" | cut -f1) MiB"

start
cp -a "$ref" "$mnt/tree" || die "cp -a"
same_trees "after the copy"
inodes=$(cd "$mnt" && find . -printf '%i %p\n' | LC_ALL=C sort | cksum)
usage=$(cd "$mnt" && du -s --apparent-size . && du -s .)
stop
start
same_trees "after a remount"
[ "$inodes" = "$(cd "$mnt" && find . -printf '%i %p\n' | LC_ALL=C sort | cksum)" ] ||
    die "inode numbers have changed"
[ "$usage" = "$(cd "$mnt" && du -s --apparent-size . && du -s .)" ] || die "du has changed"

cp -a "$mnt/tree" "$mnt/copy" || die "cp -a inside"
rm -rf "$mnt/tree" || die "rm -rf"
mv "$mnt/copy" "$mnt/tree" || die "mv"
same_trees "after a copy inside"
stop
check_store
finish
