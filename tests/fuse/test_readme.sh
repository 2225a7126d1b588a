#!/usr/bin/env bash
# The README's session, line by line: each command succeeds and prints what stands below it.
. "$(dirname "$0")/lib.sh"
session=$(sed -n '/^## A session/,/^## How fast/s/^    //p' "$root/README.md" |
    sed "s|/tmp/|$work/|g; s|build/bin/||g; s|mount-scripts/|$scripts/|g")
check "there is a session" test "$(grep -c '^\$ ' <<<"$session")" -ge 8

command='' expected=''
run_one() {
    [ -n "$command" ] || return
    out=$(eval "$command" 2>&1)
    same "$command: status" $? 0
    same "$command" "$out" "$expected"
}
while IFS= read -r line; do
    case $line in
    '$ '*)
        run_one
        command=${line#'$ '} expected=''
        ;;
    *) expected+=${expected:+$'\n'}$line ;;
    esac
done <<<"$session"
run_one
finish
