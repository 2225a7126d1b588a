#!/usr/bin/env bash
# The order of files within a folder whose files share a state: none calls one above it. Draws the
# order, the highest file first, as far as the linker's symbols tell it, and fails if files call
# each other in a circle. fusefs/ns has rooms, which have an order of their own: no file calls, or
# includes, one of a room above it. And: the parts of the store's state (struct lsm) are touched by
# those files alone that their headers name.
#
#   tests/source/test_order.sh        (LSMFS_BIN: the programs of a build, build/bin)
set -u
cd "$(dirname "$0")/../.." || exit 2
lib=${LSMFS_BIN:-build/bin}/../lib
rooms=(changes upkeep names attributes content operation inodes keys) # of fusefs/ns, the highest first
problems=0

# "CALLER CALLEE" for each pair of files below folder $1 in the library $2 of which one needs the
# other.
calls() {
    find "$1" -name '*.c' -printf '%f\n' | awk -v library="$2" '
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

# Draws the order of the calls on stdin, of folder $1. False: they go in a circle.
draw() {
    local order
    order=$(tsort 2>&1)
    if grep -q '^tsort:' <<<"$order"; then
        echo "$1: these files call each other in a circle:"
        grep '^tsort: [a-z_]*\.c' <<<"$order" | sort -u
        return 1
    fi
    echo "$1, each file calls only those after it:"
    fold -s -w 90 <<<"${order//$'\n'/ }" | sed 's/^/  /'
}

# The height of the room of file $1, which is a path in fusefs/ns; what is in no room is on top.
height() {
    local room=${1%/*} i
    ret_height=100
    for i in "${!rooms[@]}"; do
        [ "fusefs/ns/${rooms[i]}" != "$room" ] || ret_height=$((${#rooms[@]} - i))
    done
}

# Of the lines "FROM TO", two paths in fusefs/ns, on stdin: those that lead up. False: there are any.
climbs() {
    local from to height found=0
    while read -r from to; do
        height "$from"; height=$ret_height
        height "$to"
        [ "$ret_height" -gt "$height" ] || continue
        echo "  $from needs $to, which is in a room above it"
        found=1
    done
    return $found
}

# "FROM TO", as paths, for the calls and the includes in fusefs/ns. namespace.h is the interface: it
# is below all rooms.
needs() {
    local path from to
    declare -A path
    while read -r to; do path[${to##*/}]=$to; done < <(find fusefs/ns -name '*.c')
    while read -r from to; do echo "${path[$from]} ${path[$to]}"; done
    grep -rHE '^#include "ns/' fusefs/ns | sed -nE 's/^([^:]*):#include "(ns[^"]*)"$/\1 fusefs\/\2/p' |
        grep -v ' fusefs/ns/namespace.h$'
}

check_rooms() {
    local room twice
    twice=$(find fusefs/ns -name '*.c' -printf '%f\n' | sort | uniq -d)
    [ -z "$twice" ] || { echo "fusefs/ns: two files of the name $twice"; exit 2; }
    for room in fusefs/ns/*/; do
        height "${room}x"
        [ "$ret_height" -lt 100 ] || { echo "$room: no room that ${BASH_SOURCE[0]} knows"; exit 2; }
    done
    # This has to find what it looks for.
    ! echo record.c ns_rename.c | needs | climbs >/dev/null || { echo "a call upwards is not found"; exit 2; }
    ! printf '%s\n' 'ns_read.c ns_write.c' 'ns_write.c ns_read.c' | draw made-up >/dev/null ||
        { echo "a circle is not found"; exit 2; }
    calls fusefs/ns "$lib/liblsmns.a" | needs | climbs || problems=$((problems + 1))
}

check() { # folder, library
    [ -f "$2" ] || { echo "$2: build it first"; exit 2; }
    calls "$1" "$2" | draw "$1" || problems=$((problems + 1))
}

# Part $1 of struct lsm, which is a struct $2.
check_part() {
    local header named found
    header=$(grep -l "^struct $2 {" storage/db/*.h)
    named=$(awk '/^#ifndef/ { exit } /^\/\/ Touched by:/ { on = 1; sub(/.*:/, "") }
                 on { sub(/^\/\//, ""); print }' "$header" | tr -s ' ' '\n' | sed '/^$/d' | sort)
    found=$(grep -lE "\<db->$1\." storage/db/*.c | sed 's:.*/::; s/\.c$//' | sort)
    [ "$named" = "$found" ] && return
    echo "$header: db->$1 is touched by other files than it names:"
    diff <(echo "$named") <(echo "$found") | sed -n 's/^</  not by/p; s/^>/  also by/p'
    problems=$((problems + 1))
}

check storage/db "$lib/libtinylsm.a"
check fusefs/ns "$lib/liblsmns.a"
echo "  in these rooms, the highest first: ${rooms[*]}"
check_rooms
parts=0
while read -r type part; do
    check_part "$part" "$type"
    parts=$((parts + 1))
done < <(sed -nE '/[/][/] The parts/,/[/][/] Figures/s/^    struct (db_[a-z]+) ([a-z]+);/\1 \2/p' storage/db/db.h)
[ "$parts" -ge 12 ] || { echo "only $parts parts found in storage/db/db.h"; exit 2; }
exit $((problems > 0))
