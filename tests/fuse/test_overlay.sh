#!/usr/bin/env bash
# overlayfs with its upper layer and work directory on the mount, as containers have it: each step
# gives what it gives with a tmpfs, in the overlay and in the upper layer.
. "$(dirname "$0")/lib.sh"
if [ "$(id -u)" -ne 0 ]; then
    sudo -n true 2>/dev/null || { echo "skipped: needs root, or sudo without a password"; exit 77; }
    rm -rf "$work"
    exec sudo -n env LSMFS_BIN="$bin" TMPDIR="${TMPDIR:-/tmp}" bash "$here/test_overlay.sh"
fi
if ! grep -qw overlay /proc/filesystems && ! modprobe overlay 2>/dev/null; then
    echo "skipped: this kernel has no overlayfs"
    exit 77
fi
cd "$work" || exit 1
mkdir base upper over db
mount -t tmpfs -o mode=755 tmpfs base
mkdir -p base/lower
(
    cd base/lower && umask 022
    mkdir -p dir/sub keep gone redo moved/deep attr
    for f in a b dir/c dir/sub/d keep/e gone/f redo/g moved/deep/h; do echo "lower $f" >$f; done
    ln a hard
    ln -s dir/c link
    mkfifo pipe
    cp /bin/true run
    chmod 4755 run
    head -c 300000 /dev/zero | tr '\0' z >large
    setfattr -n user.note -v lower attr
    chown -R 12:34 keep
    touch -d '2001-02-03 04:05:06.7 UTC' b dir keep
)

try() { LC_ALL=C "$@" 2>&1 && echo done; }

# What is done in the overlay.
steps() {
    umask 022
    cd "$work/over" || return
    try ./run                                    # exec, from below
    echo more >>a                                # copy-up of a file with two names
    cat a hard
    try truncate -s 5 large && cat large && echo
    try chmod 600 keep/e                         # copy-up for its attributes, with those of the directory
    try chown 5:6 b
    try rm dir/c                                 # a whiteout
    try cat link
    try rm -r gone                               # of a directory
    try mkdir gone && ls -A gone                 # opaque
    echo new >gone/f
    try mv a dir/a2                              # a whiteout left where it was
    try mv dir/sub dir/sub2                      # EXDEV inside, or a redirect
    try mv moved moved2
    cat moved2/deep/h dir/sub2/d
    try rm -rf redo && echo file >redo           # a file where a directory was
    try rm hard && mkdir hard && echo in >hard/x # and the other way
    try mv hard hard2
    try ln b b2
    echo to-both >>b2 && cat b
    mkdir own && echo own >own/f && mv own/f own/g && mv own own2 && rm own2/g
    try setfattr -n user.note -v upper attr && getfattr --only-values -n user.note attr && echo
    try cp /bin/true run2 && try ./run2
    try chmod 755 run && try ./run
    try mkfifo pipe2 && rm pipe
    try mknod device c 1 3
    try ln -s nowhere link2
    try cp -a keep keep2 && rm -r keep && mkdir keep
    for i in 1 2 3 4 5; do echo "$i" >name && mv name "name$i" && rm "name$i"; done
    # Not the name of a file that was there first, while it has others: see docs/posix.md.
    echo third >b3 && mv b3 b2 && cat b b2
    exec 9<dir/a2 && rm dir/a2 && cat <&9 && exec 9<&-
    cd "$work" || return
}

picture() {
    (cd "$1" && find . -printf '%p %y %m %U:%G %l %n\n' | LC_ALL=C sort &&
        find . -type f -print0 | LC_ALL=C sort -z | xargs -0 cksum)
}

overlay() { # OPTIONS
    mount -t overlay -o "lowerdir=$work/base/lower,upperdir=$work/upper/u,workdir=$work/upper/w,$1" overlay over
}

# The upper layer itself: whiteouts are devices 0:0, opaque directories and redirects have attributes.
layer() {
    (cd upper/u && find . -printf '%p %y %m\n' | LC_ALL=C sort &&
        find . -type c -exec stat -c '%n %t:%T' {} + | LC_ALL=C sort &&
        find . -print0 | LC_ALL=C sort -z |
        xargs -0 getfattr -h -d -m "^$1.overlay.(opaque|redirect)" 2>/dev/null)
}

run() { # OPTIONS ATTRIBUTES
    mkdir -p upper/u upper/w
    overlay "$1" || return
    steps
    picture over
    umount over
    layer "$2"
    overlay "$1" || return
    picture over
    cp /bin/true over/late && over/late && rm over/late
    umount over
}

for options in "xino=off trusted" "redirect_dir=on,metacopy=on trusted" "userxattr user"; do
    read -r option attributes <<<"$options"
    mount -t tmpfs -o mode=755 tmpfs upper
    run "$option" "$attributes" >expected 2>&1
    umount upper
    [ "$(wc -l <expected)" -gt 150 ] || fail "$option: the steps did not run on tmpfs: $(cat expected)"
    check "$option: whiteouts" grep -q "^./dir/c 0:0" expected
    for mode in writeback no_writeback; do
        mount_store "$work/db" "$work/upper" -o "$mode,suid,dev"
        run "$option" "$attributes" >got 2>&1
        check "$option, $mode: as on tmpfs" diff expected got
        layer "$attributes" >before
        umount_store "$work/upper"
        mount_store "$work/db" "$work/upper" -o "$mode,suid,dev"
        layer "$attributes" >after
        check "$option, $mode: the layer after a remount" diff before after
        overlay "$option" || fail "$option, $mode: overlay after a remount"
        picture over >again
        umount over
        check "$option, $mode: the overlay after a remount" diff <(tail -n "$(wc -l <again)" expected) again
        umount_store "$work/upper"
        check "$option, $mode: the store" lsmfsctl check "$work/db"
        rm -rf "$work/db"
    done
done
finish
