#!/usr/bin/env bash
# lsmfsctl clone: a tree with links, attributes and content of all sizes, copied; refusals.
. "$(dirname "$0")/lib.sh"

# What `ls -lR` shows of a tree, without the name of its root.
listing() { "$ctl" ls -lR db "$1" | sed "s:^$1:TREE:; s: $1\$: TREE:"; }

expect 0 mkdir -cp db /tree/dir/deep /tree/empty
head -c 4000000 /dev/urandom >random
expect 0 put -m 640 db /tree/random random
seq 100 | "$ctl" put db /tree/dir/numbers || fail put
expect 0 ln -s db numbers /tree/dir/link
expect 0 ln db /tree/dir/numbers /tree/dir/deep/hard
expect 0 mv db /tree/dir /tree/moved
before=$("$ctl" stats db blob-live-bytes)
expect 0 clone db /tree /copy
same "the copy" "$(listing /copy)" "$(listing /tree)"
"$ctl" get db /copy/random | cmp - random || fail "content"
same "numbers" "$("$ctl" get db /copy/moved/deep/hard)" "$(seq 100)"
same "links in the copy" "$("$ctl" ls -i db /copy/moved/deep | awk '{ print $1 }')" \
    "$("$ctl" ls -i db /copy/moved | awk '$2 == "numbers" { print $1 }')"
after=$("$ctl" stats db blob-live-bytes)
[ $((after - before)) -lt 1000 ] || fail "$((after - before)) bytes of blob files more: content is not shared"
expect 0 check db
expect 0 clone db /tree/random /tree/empty/again
"$ctl" get db /tree/empty/again | cmp - random || fail "content of one file"
expect 0 clone db / /all
expect 1 clone db /tree /copy
expect 1 clone db /absent /x
expect 1 clone db /tree /absent/x
expect 1 clone db /tree /
expect 2 clone db
expect 1 clone db /tree
expect 0 rm -r db /tree
"$ctl" get db /copy/random | cmp - random || fail "content without the original"
same "nothing is left over" "$("$ctl" ls db / | tr '\n' ' ')" "all copy "
expect 0 check db

finish
