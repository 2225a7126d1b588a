#!/usr/bin/env bash
# The order of files within a folder whose files share a state: none calls one above it. Draws the
# order, the highest file first, as far as the linker's symbols tell it, and fails if files call
# each other in a circle. And: the parts of the store's state (struct lsm) are touched by those files
# alone that their headers name.
#
#   tests/source/test_order.sh        (LSMFS_BIN: the programs of a build, build/bin)
set -u
cd "$(dirname "$0")/../.." || exit 2
lib=${LSMFS_BIN:-build/bin}/../lib
problems=0

# "CALLER CALLEE" for each pair of files of folder $1 in the library $2 of which one needs the other.
calls() {
    local file
    for file in "$1"/*.c; do
        file=${file##*/}
        echo "$file"
    done | awk -v library="$2" '
        { ours[$1 ".o"] = $1 }
        END {
            while (("nm " library) | getline line) {
                n = split(line, word, " ")
                if (line ~ /:$/) file = ours[substr(line, 1, length(line) - 1)]
                else if (file == "") continue
                else if (word[1] == "U") need[file, word[2]] = 1
                else if (n == 3 && word[2] ~ /[TDBRVWC]/) home[word[3]] = file
            }
            for (pair in need) {
                split(pair, part, SUBSEP)
                to = home[part[2]]
                if (to != "" && to != part[1]) print part[1], to
            }
        }' | sort -u
}

check() { # folder, library
    local order
    [ -f "$2" ] || { echo "$2: build it first"; exit 2; }
    order=$(calls "$1" "$2" | tsort 2>&1)
    if grep -q '^tsort:' <<<"$order"; then
        echo "$1: these files call each other in a circle:"
        grep '^tsort: [a-z_]*\.c' <<<"$order" | sort -u
        problems=$((problems + 1))
    else
        echo "$1, each file calls only those after it:"
        fold -s -w 90 <<<"${order//$'\n'/ }" | sed 's/^/  /'
    fi
}

# Part $1 of struct lsm, which is a struct $2.
check_part() {
    local header named found
    header=$(grep -l "^struct $2 {" storage/db/*.h)
    named=$(awk '/^#ifndef/ { exit } /^\/\/ Touched by:/ { on = 1; sub(/.*:/, "") }
                 on { sub(/^\/\//, ""); print }' "$header" | tr -s ' ' '\n' | sed '/^$/d' | sort)
    found=$(grep -lE "(->|\.)$1\." storage/db/*.c | sed 's:.*/::; s/\.c$//' | sort)
    [ "$named" = "$found" ] && return
    echo "$header: db->$1 is touched by other files than it names:"
    diff <(echo "$named") <(echo "$found") | sed -n 's/^</  not by/p; s/^>/  also by/p'
    problems=$((problems + 1))
}

check storage/db "$lib/libtinylsm.a"
parts=0
while read -r type part; do
    check_part "$part" "$type"
    parts=$((parts + 1))
done < <(sed -nE '/[/][/] The parts/,/[/][/] Figures/s/^    struct (db_[a-z]+) ([a-z]+);/\1 \2/p' storage/db/db.h)
[ "$parts" -ge 7 ] || { echo "only $parts parts found in storage/db/db.h"; exit 2; }
exit $((problems > 0))
