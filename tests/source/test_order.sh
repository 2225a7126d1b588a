#!/usr/bin/env bash
# The order of files within a folder whose files share a state: none calls one above it. Draws the
# order, the highest file first, as far as the linker's symbols tell it, and fails if files call
# each other in a circle.
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

check storage/db "$lib/libtinylsm.a"
exit $((problems > 0))
