#!/usr/bin/env bash
# What the documents say of the repository, as far as a machine can check it:
#   - links between documents lead to a file, and to a heading of it;
#   - files, folders, tests and identifiers that they name exist (docs/notes/ is dated: links only);
#   - docs/reference.md names every source file, docs/testing.md every test;
#   - tables are whole;
#   - docs/design.md has at most 4,000 words;
#   - the program in docs/embedding.md is docs/example.c;
#   - files that comments in C name exist;
#   - options and commands that the README names are in --help, and what --help names is in the manual.
# One line per problem; exit 1 if there is any.
set -u
cd "$(dirname "$0")/../.." || exit 2
bin=${LSMFS_BIN:-$PWD/build/bin}
max_words=4000

problems=0
problem() {
    printf '%s\n' "$*"
    problems=$((problems + 1))
}

shopt -s nullglob
documents=(README.md docs/*.md docs/notes/*.md bench/results/*.md)
living=(README.md docs/*.md)
sources=(storage fusefs tests bench mount-scripts packaging man .ci CMakeLists.txt cmake)
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT

# Prints "file word" for each `word` between backticks in the documents named, code blocks aside.
quoted() {
    awk 'FNR == 1 { code = 0 }
         /^ *```/ { code = !code; next }
         code { next }
         { line = $0
           while (match(line, /`[^`]+`/)) {
               print FILENAME, substr(line, RSTART + 1, RLENGTH - 2)
               line = substr(line, RSTART + RLENGTH)
           } }' "$@"
}

# Prints the anchors of document $1, one a line.
anchors() {
    sed -nE 's/^#+ +//p' "$1" | tr '[:upper:]' '[:lower:]' | sed -E 's/[^a-z0-9 _-]//g; s/ /-/g'
}

check_links() {
    local document link target anchor
    while IFS= read -r link; do
        document=${link%%:*} link=${link#*:}
        link=${link#*](} link=${link%)}
        case $link in
        http*:* | mailto:*) continue ;;
        esac
        target=${link%%#*} anchor=
        [ "$target" = "$link" ] || anchor=${link#*#}
        [ -z "$target" ] || target=$(dirname "$document")/$target
        target=${target:-$document}
        if [ ! -e "$target" ]; then
            problem "$document: link to $link, which does not exist"
        elif [ -n "$anchor" ] && ! anchors "$target" | grep -qxF -- "$anchor"; then
            problem "$document: link to $link: no such heading"
        fi
    done < <(grep -HoE '\]\([^) ]+\)' "${documents[@]}")
}

# A word that is a path from the root, the name of a source file, a test, or an identifier.
check_names() {
    local document word first
    find "${sources[@]}" docs -type f -printf '%f\n' | sort -u >"$work/files"
    grep -rhoIE '[A-Za-z_][A-Za-z0-9_]*' "${sources[@]}" storage/lsm.h | sort -u >"$work/words"
    quoted "${living[@]}" | sort -u >"$work/quoted"
    while read -r document word; do
        first=${word%% *}
        case $first in
        *'<'* | .[ch] | .sh) ;; # a pattern: test_<name>.c
        storage/* | fusefs/* | tests/* | docs/* | bench/* | mount-scripts/* | man/*)
            compgen -G "$first" >/dev/null || problem "$document: \`$first\` does not exist"
            ;;
        */*) ;;
        *.c | *.h | *.sh | *.py | *.md)
            first=${first//./\\.}
            grep -qxE -- "${first//\*/.*}" "$work/files" ||
                problem "$document: there is no file $word"
            ;;
        esac
    done <"$work/quoted"
    # Identifiers: lower case with an underscore. Those of the kernel begin with fuse_ or are in
    # docs/posix.md.
    sed -nE '/^docs\/posix.md /d; s/^([^ ]+) ([a-z][a-z0-9]*_[a-z0-9_]*[a-z0-9])(\(\))?$/\1 \2/p' "$work/quoted" |
        while read -r document word; do
            case $word in
            fuse_*) continue ;;
            esac
            grep -qxF -- "$word" "$work/words" || grep -qE "^$word\.[a-z]+$" "$work/files" ||
                echo "$document: \`$word\` is in no source"
        done >"$work/missing"
    while IFS= read -r word; do problem "$word"; done <"$work/missing"
    # Tests are named with or without backticks.
    grep -hoE '\btest_[a-z0-9_]+\b' "${living[@]}" | sort -u | while read -r word; do
        grep -qE "^$word\.(c|sh)$" "$work/files" || grep -qxF "$word" "$work/words" ||
            echo "there is no test $word"
    done >"$work/missing"
    while IFS= read -r word; do problem "$word"; done <"$work/missing"
    for word in tests/*/test_*; do
        word=${word##*/}
        grep -qw -- "${word%.*}" docs/testing.md || problem "docs/testing.md lacks ${word%.*}"
    done
}

# The first column of each table below "### folder, folder" names the files of these folders.
check_file_tables() {
    awk '/^##/ { n = 0 }
         /^### (storage|fusefs)/ { n = split(substr($0, 5), folders, /, */) }
         n && /^\| `/ { cell = $0
             sub(/^\| /, "", cell); sub(/ \|.*/, "", cell); gsub(/[`,]/, "", cell)
             count = split(cell, names, " ")
             for (i = 1; i <= count; i++) {
                 list = ""
                 for (f = 1; f <= n; f++) list = list " " folders[f]
                 print names[i] list
             } }' docs/reference.md >"$work/rows"
    local name folders folder matches
    : >"$work/named"
    while read -r name folders; do
        matches=()
        for folder in $folders; do
            case $name in
            *.[ch]) matches+=("$folder"/$name) ;;
            *) matches+=("$folder"/$name.[ch]) ;;
            esac
        done
        local found=0 file
        for file in "${matches[@]}"; do
            [ ! -f "$file" ] || { found=1; echo "$file" >>"$work/named"; }
        done
        [ "$found" = 1 ] || problem "docs/reference.md: no file \`$name\` in $folders"
    done <"$work/rows"
    local missing
    missing=$(find storage fusefs -mindepth 2 -name '*.c' | sort | comm -23 - <(sort -u "$work/named"))
    for file in $missing; do
        problem "docs/reference.md: its tables of files lack $file"
    done
}

# A table begins with a head and a line of dashes; a blank line in it would make text of the rest.
check_tables() {
    local place
    while read -r place; do
        problem "$place: a row of a table without its head"
    done < <(awk 'FNR == 1 { before = ""; head = ""; code = 0 }
        /^ *```/ { code = !code }
        code { next }
        head && !/^\|[-:| ]+\|$/ { print head }
        { head = /^\|/ && before !~ /^\|/ ? FILENAME ":" FNR : ""; before = $0 }' "${documents[@]}")
}

check_length() {
    local words
    words=$(wc -w <docs/design.md)
    [ "$words" -le "$max_words" ] ||
        problem "docs/design.md: $words words, more than $max_words; details go to docs/notes/"
}

check_example() {
    sed -n '/^```c$/,/^```$/p' docs/embedding.md | sed '1d;$d' | cmp -s - docs/example.c ||
        problem "docs/embedding.md: its program is not docs/example.c"
}

check_comments() {
    local place name
    while read -r place name; do
        problem "$place: there is no file $name"
    done < <(grep -rnoE '//.*' --include='*.[ch]' storage fusefs tests bench |
        awk -v files="$work/files" '
            BEGIN { while ((getline name <files) > 0) known[name] = 1 }
            { text = $0; sub(/^[^:]*:[^:]*:/, "", text); split($0, place, ":")
              while (match(text, /[A-Za-z0-9_-]+\.(c|h|md|sh|py)([^A-Za-z0-9_(]|$)/)) {
                  name = substr(text, RSTART, RLENGTH); sub(/[^a-z]$/, "", name)
                  if (!(name in known)) print place[1] ":" place[2], name
                  text = substr(text, RSTART + RLENGTH)
              } }')
}

# Options are in the first column of the README's table under "## Mounting".
check_options() {
    check_ctl_commands
    if [ -x "$bin/lsmfs" ]; then
        check_mount_options
    else
        echo "note: lsmfs is not built; its options are not compared"
    fi
}

check_mount_options() {
    local word
    "$bin/lsmfs" --help >"$work/lsmfs" || problem "lsmfs --help failed"
    while read -r word; do
        grep -qE "(^|[^a-z_])$word([^a-z_]|$)" "$work/lsmfs" ||
            problem "README.md: option $word is not in lsmfs --help"
    done < <(awk '/^## / { on = /Mounting/ } on && /^\| `/ { split($0, c, "|"); print c[2] }' README.md |
        grep -oE '`[^`]+`' | tr -d '`' | tr ',' '\n' | sed -E 's/=.*//' | sort -u)
    for word in $(sed -nE '/^Options/,/^More/s/^  ([a-z_]+).*/\1/p' "$work/lsmfs"); do
        grep -qwF -- "$word" man/lsmfs.8 || problem "man/lsmfs.8 lacks the option $word"
    done
}

check_ctl_commands() {
    local word
    "$bin/lsmfsctl" --help >"$work/ctl" || problem "lsmfsctl --help failed"
    for word in $(grep -hoE 'lsmfsctl [a-z|]+' "${living[@]}" | sed 's/^lsmfsctl //' | tr '|' '\n' |
        sort -u); do
        grep -qE "^(  .{38})?  $word( |$)" "$work/ctl" || problem "there is no lsmfsctl command $word"
    done
    for word in $(sed -nE 's/^  ([a-z]+) .*/\1/p' "$work/ctl") \
        $(sed -nE 's/^  .{38}  ([a-z]+) .*/\1/p' "$work/ctl"); do
        grep -qwF -- "$word" man/lsmfsctl.8 || problem "man/lsmfsctl.8 lacks the command $word"
    done
}

check_links
check_names
check_file_tables
check_tables
check_length
check_example
check_comments
check_options
if [ "$problems" -gt 0 ]; then
    echo "docs: $problems problem(s)"
    exit 1
fi
echo "docs: ${#documents[@]} documents, no problem"
