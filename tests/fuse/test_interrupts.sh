#!/usr/bin/env bash
# Ctrl-C and SIGTERM of every command of lsmfsctl that may take long, on a mounted store and on one
# that is not: one line, the status of the signal, nothing is harmed, and the next run works.
. "$(dirname "$0")/lib.sh"
cd "$work" || exit 1
db=$work/db mnt=$work/mnt ctl=$bin/lsmfsctl

mount_store "$db" "$mnt"
head -c 6000000 /dev/urandom >"$mnt/large"
for d in {1..40}; do
    mkdir -p "$mnt/tree/a-directory-with-a-long-name-$d"
    (cd "$mnt/tree/a-directory-with-a-long-name-$d" && touch a-file-with-a-long-name-{1..60})
done
for i in {1..30}; do cp "$mnt/large" "$mnt/copy$i"; done # shared: each is verified by check
sync -f "$mnt"
check "first" "$ctl" snapshot create "$db" one
rm -r "$mnt/tree/a-directory-with-a-long-name-"[12]*
check "second" "$ctl" snapshot create "$db" two
head -c 30000 /dev/zero >part
"$ctl" send --from one "$db" two >changes
head -c 30000 changes >cut

# interrupt SIGNAL:DELAY,... COMMAND...: $ends: how often it was ended by the signal.
interrupt() {
    local status lines said signal signals
    ends=0
    IFS=, read -ra signals <<<"$1"
    while read -r status lines said; do
        signal=${signals[0]%:*}
        signals=("${signals[@]:1}")
        if [ "$status" = 0 ]; then # it was quicker
            same "${*:2}: quicker, and says nothing ($said)" "$lines" 0
        else
            ends=$((ends + 1))
            same "SIG$signal: ${*:2}: status" "$status" $((128 + $(kill -l "$signal")))
            same "SIG$signal: ${*:2}: one line ($said)" "$lines" 1
        fi
    done < <(python3 "$here/interrupt.py" "$1" "$ctl" "${@:2}")
    same "${*:2}: was run for each" "${#signals[@]}" 0
}

# Commands that take long because of work: interrupted at several moments, at one at least. Where
# they are quicker it is tried again.
works() {
    local i
    for i in {1..20}; do
        interrupt INT:0,TERM:0.01,INT:0.04 "$@"
        rm -rf "$work"/target*
        [ $ends -eq 0 ] || break
    done
    check "$*: was interrupted" test $ends -gt 0
    check "after it: $*" "$ctl" "${@//@/last}" >/dev/null
}
# Commands that wait for input, which does not end, or output, which nobody takes.
waits() {
    interrupt INT:0.1,TERM:0.1 "$@"
    same "$*: was interrupted" "$ends" 2
}

on_both() { # what is made of copies is called by $1
    works check "$db"
    works compact "$db"
    rm -rf "$work/backup"
    works backup "$db" "$work/backup"
    check "the backup" "$ctl" backup verify "$work/backup" >/dev/null
    works snapshot list "$db"
    works clone "$db" /tree "/clone$1@"
    works checkpoint "$db" target@
    check "the checkpoint" "$ctl" check targetlast >/dev/null
    rm -rf targetlast
    waits scan "$db"
    waits get "$db" /large
    waits ls -lR "$db"
    waits tree "$db"
    waits send "$db" two
    waits diff "$db" one two
    GIVEN=part waits put "$db" /put
    check_not "nothing is left of put" "$ctl" stat "$db" /put
    check "rm" "$ctl" rm -r "$db" "/clone$1last"
    check "after all" "$ctl" check "$db" >/dev/null
}

on_both mounted
# One that has no end says nothing.
for command in "watch $db" "top $db"; do
    # shellcheck disable=SC2086 # words
    same "$command" "$(python3 "$here/interrupt.py" INT:0.1 "$ctl" $command)" "130 0 "
done
# A daemon that does not answer.
(cd / && kill -STOP "$(daemon_of "$db")")
matches "a stopped daemon" "$(python3 "$here/interrupt.py" INT:0.1 "$ctl" ls -lR "$db")" \
    "130 *: interrupted*"
kill -CONT "$(daemon_of "$db")"
check "goes on" "$ctl" ls "$db" >/dev/null
umount_store "$mnt"
on_both still
works backup verify "$work/backup"
works restore "$work/backup" target@
check "what was restored" "$ctl" check targetlast >/dev/null
"$ctl" send "$db" one | "$ctl" receive base || fail "receive"
GIVEN=cut waits receive base
check "receive" "$ctl" receive base <changes
check "what was received" "$ctl" check base >/dev/null
finish
