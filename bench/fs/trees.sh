#!/usr/bin/env bash
# What people do with trees of many small files, on ext4 (or whatever DIR is on), on a passthrough
# FUSE server over it, and on lsmfs with its store there, in turn (A B C A B C ...); takes medians and
# writes a table and a chart. A FUSE server that does nothing runs what it can, as the floor.
#
#   bench/fs/trees.sh [options] DIR [OUT_DIR]      (bench/results)
#     --rounds=N       (3)
#     --files=N        of the generated tree (10000)
#     --loop=N         files of each loop of system calls (20000)
#     --tree=DIR       a tree of your own, beside the generated one
#     --quick          one round, 2,000 files, loops of 4,000: for development
#     --systems=LIST   (ext4,passthrough,lsmfs,floor)
#     --bin=DIR        of lsmfs (build/bin)
#     --before=DIR     of another build of it, for the system `before`: --systems=before,lsmfs
#     --options=LIST   mount options of lsmfs
#     --name=NAME      of the files written: trees-NAME.md, trees-NAME.svg (today's date)
#     --keep=DIR       keep the times there
#
# Cold means: unmounted, caches dropped, mounted again. What is said to be with sync ends when
# everything is on the disk (sync(2), then fsync of the directory). Needs root.
. "$(dirname "$0")/../common.sh"
. "$(dirname "$0")/systems.sh"

rounds='' files='' loop='' tree='' quick='' systems=ext4,passthrough,lsmfs,floor bin=$root/build/bin
before='' options='' name=$(date +%F) keep=''
parse_options "rounds files loop tree quick! systems bin before options name keep" "$@"
[ ${#arguments[@]} -gt 0 ] || usage
dir=${arguments[0]} out=${arguments[1]:-$root/bench/results}
rounds=${rounds:-${quick:-3}} files=${files:-$((quick ? 2000 : 10000))} loop=${loop:-$((quick ? 4000 : 20000))}
systems_check "$systems" "$dir"
need git rsync python3 tar
[ -x "$bin/lsmfs_loops" ] || die "$bin/lsmfs_loops: build it first"
systems_start "$dir"
logs=$work/logs
mkdir "$logs"

# git without anybody's settings; nothing in the background.
export HOME=$work GIT_CONFIG_NOSYSTEM=1 GIT_AUTHOR_NAME=bench GIT_COMMITTER_NAME=bench \
    GIT_AUTHOR_EMAIL=bench@localhost GIT_COMMITTER_EMAIL=bench@localhost LC_ALL=C
git config --global gc.auto 0
git config --global maintenance.auto false
git config --global safe.directory '*'

durable() {
    sync
    sync "$target"
}

# timed NAME COMMAND...: how many seconds it takes. The floor has no content and is not asked for it.
timed() {
    local job=$1 start end
    shift
    start=${EPOCHREALTIME/[.,]/}
    "$@" >/dev/null
    end=${EPOCHREALTIME/[.,]/}
    printf '%d.%06d\n' $(((end - start) / 1000000)) $(((end - start) % 1000000)) \
        >"$logs/$round.$system.$kind.$job"
}
with_content() { [ "$system" = floor ] || "$@"; }

# cold_and_warm NAME COMMAND...
cold_and_warm() {
    cold "$system"
    timed "$1-cold" "${@:2}"
    timed "$1-warm" "${@:2}"
}

untar() { mkdir "$target/t" && tar -C "$target/t" -xf "$work/$kind.tar" && durable; }
copy() { cp -a "$target/t" "$target/c" && durable; }
remove() { rm -rf "${target:?}/$1" && durable; }
# Through a pipe: GNU tar reads no content when it writes to /dev/null.
tar_out() { tar -C "$target" -cf - t | cat; }
git_add() { git -C "$target/c" init -q && git -C "$target/c" add . && durable; }
git_commit() { git -C "$target/c" commit -qm x && durable; }

# The jobs on a tree; $work/$kind.tar has it.
run_tree() {
    cat "$work/$kind.tar" >/dev/null
    timed untar untar
    timed copy copy
    cold_and_warm find find "$target/t"
    timed find-time find "$target/t" -mtime -3650
    cold_and_warm ls ls -lR "$target/t"
    cold_and_warm du du -s "$target/t"
    with_content cold_and_warm grep grep -r qqxqq "$target/t" || true # finds nothing, which is status 1
    cold "$system"
    with_content timed tar tar_out
    with_content timed rsync rsync -a "$target/t/" "$target/c/"
    with_content timed git-add git_add
    with_content timed git-commit git_commit
    with_content git -C "$target/c" status -s # so that it has noted all times
    with_content timed git-status-warm git -C "$target/c" status -s
    cold "$system"
    with_content timed git-status-cold git -C "$target/c" status -s
    find "$target/t" >/dev/null
    timed chmod chmod -R go-r "$target/t"
    timed touch find "$target/t" -type f -exec touch {} +
    timed rm-warm remove t
    cold "$system"
    timed rm-cold remove c
}

loops() { # JOB PROCESSES COUNT
    "$bin/lsmfs_loops" "$1" "$target/loops" "$3" "$2" >"$logs/$round.$system.loops.$1-$2"
}

run_loops() {
    local job n
    for n in 1 4; do
        mkdir "$target/loops"
        for job in create stat stat read read append unlink; do # warm: the second time counts
            loops "$job" "$n" "$loop"
        done
        [ "$n" = 4 ] || loops rename 1 2000
        rm -rf "$target/loops"
    done
}

make_tars() {
    python3 "$here/make_tree.py" "$work/generated" "$files"
    tar -C "$work/generated" --sort=name -cf "$work/generated.tar" .
    rm -rf "$work/generated"
    [ -z "$tree" ] || tar -C "$tree" -cf "$work/real.tar" .
    sync
}

make_tars
IFS=, read -ra system_list <<<"$systems"
for ((round = 1; round <= rounds; round++)); do
    for system in "${system_list[@]}"; do
        echo "round $round of $rounds: $system" >&2
        rm -rf "$work/db" "$work/before"
        place "$system"
        for kind in generated ${tree:+real}; do
            run_tree
        done
        run_loops
        unmount
    done
done
[ -z "$keep" ] || { mkdir -p "$keep" && cp "$logs"/* "$keep"; }
mkdir -p "$out"
python3 "$here/trees_report.py" --logs "$logs" --systems "$systems" --rounds "$rounds" --dir "$dir" \
    --files "$files" --loop "$loop" --tree "$tree" --options "$options" \
    --markdown "$out/trees-$name.md" --svg "$out/trees-$name.svg"
