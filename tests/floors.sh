#!/usr/bin/env bash
# The house rules that a compiler does not check:
#   - floors: a file includes only its own folder or one below it (docs/design.md, "The whole");
#   - the seam: of storage/, fusefs/ includes only lsm.h and base/, and bench/ only lsm.h; lsm.h
#     includes only headers of C; neither storage/ nor fusefs/ includes anything of tests/;
#   - nothing but fusefs/mount knows of <fuse*.h>;
#   - every header compiles alone, with every warning an error, in gcc and in clang;
#   - no source file is longer than 1,000 lines;
#   - one word is one thing: no two files and no two types of the same name, and what the latest call
#     returned is called `rc`; `error` is a positive errno;
#   - scripts read a list in /proc whole: a loop that forks goes back to an offset that has moved, if
#     somebody mounts meanwhile, and misses lines.
# One line per problem; exit 1 if there is any.
set -u
cd "$(dirname "$0")/.." || exit 2

# Lowest first. lsm.h lies below them all. mount and ctl share a floor and may not see each other.
floors=(base entry memory env env_rados env_cache memtable wal cache sstable blob version compaction db ns common
        commands mount/ctl)
max_lines=1000
warnings=(-std=gnu11 -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -Wall -Wextra -Wshadow -Wconversion
          -Wstrict-prototypes -Wmissing-prototypes -Wvla -Werror)

problems=0
problem() {
    printf '%s\n' "$*"
    problems=$((problems + 1))
}

# ret_floor: the floor of folder $1, -1 if it has none.
floor_of() {
    local i
    ret_floor=-1
    for i in "${!floors[@]}"; do
        case "/${floors[i]}/" in
        */"$1"/*) ret_floor=$i ;;
        esac
    done
}

check_include() { # file, its folder, its floor, what it includes
    local file=$1 folder=$2 floor=$3 header=$4 target
    [ "$header" = lsm.h ] && return
    case $header in
    *..*)
        problem "$file: includes \"$header\": name headers from storage/ or fusefs/, without '..'"
        return
        ;;
    */*) target=${header%%/*} ;;
    *) target=$folder ;;
    esac
    if [ ! -f "storage/$header" ] && [ ! -f "fusefs/$header" ] && [ ! -f "${file%/*}/$header" ]; then
        problem "$file: includes \"$header\", which does not exist"
        return
    fi
    if [[ $file == fusefs/* && $target != base && -d storage/$target ]]; then
        problem "$file: includes \"$header\"; of the engine fusefs sees only lsm.h and base/"
        return
    fi
    floor_of "$target"
    if [ "$target" != "$folder" ] && { [ "$ret_floor" -lt 0 ] || [ "$ret_floor" -ge "$floor" ]; }; then
        problem "$file: includes \"$header\" of a floor that is not below $folder"
    fi
}

check_floors() {
    local file folder rest header
    while IFS=: read -r file rest; do
        header=${rest#*[\"<]}
        header=${header%%[\">]*}
        folder=${file#*/}
        folder=${folder%%/*}
        case $rest in
        *'<'*)
            case $file:$header in
            storage/lsm.h:stdbool.h | storage/lsm.h:stddef.h | storage/lsm.h:stdint.h) ;;
            storage/lsm.h:*) problem "$file: includes <$header>; the public header needs only C" ;;
            fusefs/mount/*) ;;
            *:fuse*.h | *:*/fuse*.h) problem "$file: includes <$header>; only fusefs/mount may" ;;
            esac
            continue
            ;;
        esac
        if [ "$file" = storage/lsm.h ]; then
            problem "$file: includes \"$header\"; the public header stands alone"
            continue
        fi
        floor_of "$folder"
        if [ "$ret_floor" -lt 0 ]; then
            problem "$file: folder '$folder' has no floor; add it to tests/floors.sh"
            continue
        fi
        check_include "$file" "$folder" "$ret_floor" "$header"
    done < <(grep -rHE '^[[:space:]]*#[[:space:]]*include' --include='*.[ch]' storage fusefs)
}

check_bench() {
    local file rest header
    while IFS=: read -r file rest; do
        header=${rest#*\"}
        header=${header%%\"*}
        [[ $header != */* || ! -d storage/${header%%/*} ]] ||
            problem "$file: includes \"$header\"; of the engine bench sees only lsm.h"
    done < <(grep -rHE '^[[:space:]]*#[[:space:]]*include[[:space:]]*"' --include='*.[ch]' bench)
}

check_headers() {
    local compiler header fuse_flags left_out=()
    if pkg-config --exists fuse3; then
        read -ra fuse_flags <<<"$(pkg-config --cflags fuse3)"
    else
        echo "note: no libfuse3 here; headers of fusefs/mount not tried"
        left_out=(-not -path 'fusefs/mount/*')
    fi
    for compiler in gcc clang; do
        if ! command -v "$compiler" >/dev/null; then
            echo "note: no $compiler here; headers not tried with it"
            continue
        fi
        while IFS= read -r header; do
            printf '#include "%s"\nextern int not_empty;\n' "$PWD/$header" |
                "$compiler" "${warnings[@]}" -Istorage -Ifusefs -I"${header%/*}" \
                    "${fuse_flags[@]}" -fsyntax-only -x c - ||
                problem "$header: does not compile alone with $compiler"
        done < <(find storage fusefs -name '*.h' "${left_out[@]}" | sort)
    done
}

check_lengths() {
    local file lines
    while IFS= read -r file; do
        lines=$(wc -l <"$file")
        [ "$lines" -le "$max_lines" ] || problem "$file: $lines lines, more than $max_lines"
    done < <(find storage fusefs tests bench mount-scripts -type f \
        \( -name '*.[ch]' -o -name '*.sh' -o -name '*.py' \) 2>/dev/null | sort)
}

# What env.h leaves to each environment is one thing: env_lock.
check_words() {
    local name line
    while IFS= read -r name; do
        problem "$name: two files of that name"
    done < <(find storage fusefs -name '*.[ch]' ! -name main.c -printf '%f\n' | sort | uniq -d)
    while IFS= read -r name; do
        problem "$name: two types of that name: $(grep -rlE "^$name \{" storage fusefs | paste -sd' ')"
    done < <(grep -rhoE '^(struct|enum|union) [a-z0-9_]+ \{' --include='*.[ch]' storage fusefs |
        sed 's/ {//' | grep -vx 'struct env_lock' | sort | uniq -d)
    while IFS= read -r line; do
        problem "${line%%:*}: ${line##*:}: what a call returned is called rc"
    done < <(grep -rnE '^[[:space:]]+int ((status|result) =|(ret|err|res|retval|rv)( =|;|,))' \
        --include='*.[ch]' storage fusefs bench)
    while IFS= read -r line; do
        problem "${line%%:*}: ${line##*:}: an errno that is negative is not called error"
    done < <(grep -rnE '\<error (==|!=) -E|strerror\(-error\)' --include='*.[ch]' storage fusefs bench)
}

check_lists() {
    local line
    while IFS= read -r line; do
        problem "${line%%:*}: reads a list in /proc line by line"
    done < <(grep -rnE "^[[:space:]]*done <[\"']?/proc/[^ ]*(mounts|mountinfo)" mount-scripts packaging tests bench)
}

check_floors
check_lists
check_words
check_bench
check_headers
check_lengths
if [ "$problems" -gt 0 ]; then
    echo "floors: $problems problem(s)"
    exit 1
fi
echo "floors: $(find storage fusefs -name '*.[ch]' | wc -l) files, no problem"
