#!/usr/bin/env bash
# kill -9 of the daemon in the middle of work, again and again, each time remounted and verified.
# While a cp -a runs, a ledger keeps files that are known to be complete: a name is noted only after
# cp has closed the file without error. After the kill
#   - every noted file of this and of all earlier rounds is there and whole, every removed one gone;
#   - what cp -a has left is whole or a prefix, and nothing else is there;
#   - lsmfsctl check finds nothing.
# LSMFS_ROUNDS: how many rounds (5; 50 with LSMFS_LONG). LSMFS_SEED repeats a run's timing.
. "$(dirname "$0")/scenario.sh"

choose_rounds 5 50

src=$work/src
ledger=$work/ledger
: >"$ledger"

# About 30 MB in files of many sizes, one of them big.
make_source() {
    local i
    mkdir -p "$src"/{a,b/c/d,e}
    head -c 12000000 /dev/urandom >"$src/e/big"
    head -c 300000 /dev/urandom >"$work/pool"
    for ((i = 0; i < 400; i++)); do
        tail -c +$((i * 17 + 1)) "$work/pool" | head -c $((i * i * 37 % 130000)) >"$src/a/f$i"
    done
    for ((i = 0; i < 300; i++)); do
        echo "$i" >"$src/b/c/d/small$i"
    done
    ln "$src/a/f7" "$src/b/link" && ln -s ../a/f8 "$src/b/symlink"
}

# Notes "+ name" once a file is complete, "? name" before it is removed and "- name" after that.
keep_ledger() { # round
    local i f
    mkdir "$mnt/ledger.$1" || return
    for ((i = 0; ; i++)); do
        f=ledger.$1/$i
        cp "$src/a/f$((i % 400))" "$mnt/$f.new" 2>/dev/null &&
            mv "$mnt/$f.new" "$mnt/$f" 2>/dev/null || return
        echo "+ $f $((i % 400))"
        if ((i % 9 == 0)); then
            sync "$mnt/$f" 2>/dev/null || return
        fi
        if ((i % 5 == 4)); then
            f=ledger.$1/$((i - 3))
            echo "? $f"
            rm "$mnt/$f" 2>/dev/null || return
            echo "- $f"
        fi
    done >>"$ledger"
}

check_ledger() {
    local state name n
    # The last word on each name.
    while read -r state name n; do
        case $state in
        +) cmp -s "$src/a/f$n" "$mnt/$name" || die "$name was complete and is not" ;;
        -) [ ! -e "$mnt/$name" ] || die "$name was removed and is there" ;;
        esac
    done < <(awk '{ last[$2] = $0 } END { for (name in last) print last[name] }' "$ledger")
}

# What is in $1 is in the source, and whole or a prefix of it.
check_copy() {
    local line a b
    [ -d "$1" ] || return
    while IFS= read -r line; do
        case $line in
        "Only in $src"*) ;;
        "Files "*" differ")
            a=${line#Files } a=${a%% and *}
            b=${line##* and } b=${b% differ}
            cmp -s -n "$(stat -c %s "$b")" "$a" "$b" || die "$b is not a prefix of $a"
            [ "$(stat -c %s "$b")" -le "$(stat -c %s "$a")" ] || die "$b is longer than $a"
            ;;
        *) die "after the kill: $line" ;;
        esac
    done < <(LC_ALL=C diff -rq --no-dereference "$src" "$1" 2>&1)
    return 0
}

make_source
for ((round = 1; round <= rounds; round++)); do
    start
    check_ledger
    check_copy "$mnt/copy.$((round - 1))"
    rm -rf "$mnt/copy.$((round - 1))" || die "rm -rf of what was left"
    [ "$((round % 7))" -ne 0 ] || {
        rm -rf "$mnt"/ledger.*
        : >"$ledger"
    }
    cp -a "$src" "$mnt/copy.$round" 2>/dev/null &
    copy=$!
    keep_ledger "$round" 2>/dev/null &
    keeper=$!
    delay=$((RANDOM % 1500 + 20))
    sleep "$((delay / 1000)).$(printf %03d $((delay % 1000)))"
    kill_daemon
    wait $copy $keeper 2>/dev/null
    echo "round $round: killed after $delay ms, $(grep -c '^+' "$ledger") files noted"
    check_store
done
start
check_ledger
check_copy "$mnt/copy.$rounds"
stop
check_store
finish
