#!/usr/bin/env bash
# A git repository lives in the mount: commits, gc, fsck, clones, all of it again after a remount.
# LSMFS_COMMITS: how many commits (200).
. "$(dirname "$0")/scenario.sh"

commits=${LSMFS_COMMITS:-200}
export GIT_AUTHOR_NAME=t GIT_AUTHOR_EMAIL=t@example.org GIT_COMMITTER_NAME=t \
    GIT_COMMITTER_EMAIL=t@example.org GIT_CONFIG_NOSYSTEM=1 HOME=$work

make_history() {
    local i
    git init -q -b trunk . && mkdir -p src/deep doc || return 1
    for ((i = 1; i <= commits; i++)); do
        printf '%s\n' "line $i" >>doc/log
        printf 'int f%d(void);\n' "$i" >"src/f$((i % 37)).h"
        seq "$i" "$((i + 300))" >"src/deep/data$((i % 11))"
        git add -A || return 1
        ((i % 10)) || git mv -f "src/f$((i % 37)).h" "src/deep/moved$i.h" || return 1
        git commit -q -m "Change $i" || return 1
        ((i % 50)) || { git checkout -q -b "side$i" && git checkout -q trunk; } || return 1
    done
}

start
mkdir "$mnt/repo" && cd "$mnt/repo" || die "mkdir"
make_history || die "commits"
[ "$(git rev-list --count HEAD)" -eq "$commits" ] || die "commits are missing"
[ -z "$(git status --porcelain)" ] || die "git sees changes: $(git status --porcelain | head -3)"
git gc -q --aggressive --prune=now || die "gc"
git fsck --full --strict || die "fsck"
git repack -q -a -d || die "repack"
git clone -q "$mnt/repo" "$mnt/clone" || die "clone with links"
git clone -q --no-hardlinks "$mnt/repo" "$mnt/clone2" || die "clone without links"
git clone -q "file://$mnt/repo" "$mnt/clone3" || die "clone over a pipe"
head=$(git rev-parse HEAD)
cd / || exit 1

stop
start
for repo in repo clone clone2 clone3; do
    [ "$(git -C "$mnt/$repo" rev-parse HEAD)" = "$head" ] || die "$repo: another HEAD"
    git -C "$mnt/$repo" fsck --full --strict || die "$repo: fsck"
    [ -z "$(git -C "$mnt/$repo" status --porcelain)" ] || die "$repo: changes"
done
diff -r -x .git "$mnt/repo" "$mnt/clone" || die "the clone differs"
stop
check_store
finish
