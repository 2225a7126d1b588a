#!/usr/bin/env bash
# lsmfsctl snapshot: making, listing, renaming, deleting, going back, pruning.
. "$(dirname "$0")/lib.sh"

names() { "$ctl" snapshot list -n db | tr '\n' ' '; }

put /a one
expect 0 snapshot create db first
put /a two
put /b new
expect 0 snapshot create db second
expect 1 snapshot create db second
expect 1 snapshot create db a/b
expect 1 snapshot create absent s
[ ! -e absent ] || fail "a store was made for a snapshot"
same "names" "$(names)" "first second "
expect 0 snapshot list db
same "header" "$(head -1 out | tr -s ' ')" "CREATED REFERS ONLY NAME"
same "lines" "$(wc -l <out)" 3
expect 0 snapshot rename db first 'the first'
same "renamed" "$(names)" "the first second "
expect 1 snapshot rename db absent x
expect 1 snapshot rename db second 'the first'
expect 1 snapshot delete db absent

# Going back: the present is what the snapshot shows; the snapshots stay.
expect 2 snapshot rollback db 'the first'
expect 0 snapshot rollback --yes db 'the first'
same "rolled back" "$("$ctl" get db /a)" one
expect 1 get db /b
expect 0 check db
expect 0 snapshot rollback --yes db second
same "forward again" "$("$ctl" get db /a) $("$ctl" get db /b)" "two new"
expect 1 snapshot rollback --yes db absent
# Inode numbers that were given out are not given out again.
ino() { "$ctl" ls -i db "$1" | awk '{ print $1 }'; }
for i in $(seq 20); do put "/x$i" "$i"; done
last=$(ino /x20)
expect 0 snapshot rollback --yes db 'the first'
put /y 1
[ "$(ino /y)" -gt "$last" ] || fail "inode $(ino /y) was given out twice (the last was $last)"
expect 0 check db

# Pruning: the newest of each period; here all are of one hour.
expect 0 snapshot delete db 'the first' second
for i in 1 2 3 4 5; do expect 0 snapshot create db "auto-$i"; done
expect 0 snapshot create db mine
expect 2 snapshot prune db
expect 2 snapshot prune --keep-last x db
same "what it takes" "$(cat err)" \
    "lsmfsctl snapshot prune: option '--keep-last x': takes a number from 0 to 4294967295"
expect 0 snapshot prune -n --keep-last 2 db auto-
same "what would go" "$(tr '\n' ' ' <out)" "deleted auto-1 deleted auto-2 deleted auto-3 "
expect 0 snapshot prune --dry-run --keep-last 4 db auto-
same "what would go, in long" "$(cat out)" "deleted auto-1"
same "nothing went" "$(names)" "auto-1 auto-2 auto-3 auto-4 auto-5 mine "
expect 0 snapshot prune --keep-last 2 --keep-weekly 1 db auto-
same "pruned" "$(names)" "auto-4 auto-5 mine "
expect 0 snapshot prune --keep-weekly 1 db
same "the newest of the week" "$(names)" "mine "
expect 0 check db

finish
