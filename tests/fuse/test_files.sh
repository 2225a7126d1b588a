#!/usr/bin/env bash
# What files do, seen by programs through the mount: with the kernel's write-back cache, without
# it, and again after the mount was taken away and put back.
. "$(dirname "$0")/lib.sh"
db=$work/db mnt=$work/mnt
cd "$work" || exit 1
cc -O1 -o "$work/helper" "$here/helper.c" || { fail "the helper does not compile"; finish; }
as_root=0
[ "$(id -u)" -ne 0 ] || as_root=1

remount() {
    umount_store "$mnt" || fail "umount"
    mount_store "$db" "$mnt" -o "$options"
}

# Every test of the helper, in a directory of this mode's.
helper_tests() {
    local t
    mkdir "$mnt/$mode"
    for t in $("$work/helper"); do
        check "$mode: $t" "$work/helper" "$t" "$mnt/$mode/$t"
    done
}

shell_tests() {
    local d=$mnt/$mode/shell i pid
    mkdir "$d" && cd "$d" || return
    # redirection
    echo one >f && echo two >>f && echo three >>f
    same "$mode: redirection" "$(cat f)" $'one\ntwo\nthree'
    : >f
    same "$mode: emptied" "$(stat -c %s f)" 0
    # names
    printf x >"$(printf 'odd \001\002\n name')" && same "$mode: odd names" "$(find . -name 'odd*' | wc -l)" 2
    check_not "$mode: mkdir of what is there" mkdir f
    check_not "$mode: rmdir of a file" rmdir f
    mkdir -p a/b/c && touch a/b/c/file
    check_not "$mode: rmdir of a full directory" rmdir a/b
    check_not "$mode: unlink of a directory" unlink a
    # rename
    mv a z && same "$mode: a directory moves with what is in it" "$(find z | sort | tr '\n' ' ')" \
        "z z/b z/b/c z/b/c/file "
    mkdir a && touch a/other
    same "$mode: its old name is free" "$(ls a)" other
    check_not "$mode: not onto a full directory" mv -T a z
    check_not "$mode: not into itself" mv z z/b
    mkdir empty && mv -T a empty && same "$mode: onto an empty one" "$(ls empty)" other
    check_not "$mode: not a file onto a directory" mv -T f empty
    check_not "$mode: not a directory onto a file" mv -T empty f
    echo 1 >r1 && echo 2 >r2 && mv r1 r2
    same "$mode: replaced" "$(cat r2) $(ls -d r1 2>/dev/null)" "1 "
    # links
    echo linked >l1 && ln l1 l2 && ln l1 z/l3
    same "$mode: link count" "$(stat -c %h l1 l2 z/l3 | tr '\n' ' ')" "3 3 3 "
    same "$mode: one inode" "$(stat -c %i l1 l2 z/l3 | sort -u | wc -l)" 1
    echo more >>l2 && same "$mode: one content" "$(cat z/l3)" $'linked\nmore'
    rm l1 && same "$mode: the rest stays" "$(stat -c %h l2) $(cat l2)" $'2 linked\nmore'
    mv -T l2 z/l3 && check "$mode: renaming one name of a file onto another keeps both" ls l2 z/l3
    check_not "$mode: no links to directories" ln z hard
    ln -s "no such/target" s1 && same "$mode: symlink" "$(readlink s1)" "no such/target"
    ln -s z/b sdir && same "$mode: through a symlink" "$(ls sdir)" c
    target=$(printf 'y%.0s' {1..4000})
    ln -s "$target" s2 && same "$mode: long symlink" "$(readlink s2)" "$target"
    # attributes
    touch m && chmod 4751 m && same "$mode: chmod" "$(stat -c %a m)" 4751
    echo x >>m && [ "$as_root" = 1 ] && same "$mode: root's write keeps setuid" "$(stat -c %a m)" 4751
    touch -d '2001-02-03 04:05:06.123456789 UTC' m
    same "$mode: nanoseconds" "$(TZ=UTC stat -c %y m)" "2001-02-03 04:05:06.123456789 +0000"
    touch -d '1960-01-01 00:00:00.5 UTC' m
    same "$mode: before 1970" "$(TZ=UTC stat -c %y m)" "1960-01-01 00:00:00.500000000 +0000"
    touch -h -d '2005-01-01 UTC' s1 && same "$mode: a symlink's own time" "$(stat -c %Y s1)" 1104537600
    mkfifo p && (echo through >p &) && same "$mode: fifo" "$(cat p)" through
    if [ "$as_root" = 1 ]; then
        chown 1234:5678 m && same "$mode: chown" "$(stat -c %u:%g m)" 1234:5678
        chown -h 99 s1 && same "$mode: chown of a symlink" "$(stat -c %u s1)" 99
        touch su && chmod 6755 su && chown 1 su && same "$mode: chown clears setuid" "$(stat -c %a su)" 755
        mkfifo sp && chmod 6755 sp && chown 1 sp && same "$mode: and of a fifo" "$(stat -c %a sp)" 755
        mkdir sd && chmod 6755 sd && chown 1 sd && same "$mode: not of a directory" "$(stat -c %a sd)" 6755
        mknod c c 1 3 && same "$mode: character device" "$(stat -c '%F %t %T' c)" "character special file 1 3"
        mknod b b 259 70000 && same "$mode: block device" "$(stat -c '%F %t %T' b)" "block special file 103 11170"
        mkdir sg && chgrp 4321 sg && chmod g+s sg && mkdir sg/in && touch sg/file
        same "$mode: setgid directories" "$(stat -c '%g %A' sg/in sg/file | tr '\n' ' ')" \
            "4321 drwxr-sr-x 4321 -rw-r--r-- "
        other_user_tests
    fi
    (umask 077 && touch um && mkdir umd) && same "$mode: umask" "$(stat -c %a um umd | tr '\n' ' ')" "600 700 "
    # xattrs
    if command -v setfattr >/dev/null; then
        setfattr -n user.color -v blue m && setfattr -n user.empty m
        same "$mode: xattr" "$(getfattr --only-values -n user.color m)" blue
        same "$mode: list" "$(getfattr m | grep -c user)" 2
        setfattr -n user.color -v red m && same "$mode: replaced" "$(getfattr --only-values -n user.color m)" red
        setfattr -x user.color m && check_not "$mode: removed" getfattr -n user.color m
        big=$(printf 'v%.0s' {1..30000})
        setfattr -n user.big -v "$big" f && same "$mode: a big one" "$(getfattr --only-values -n user.big f)" "$big"
        check_not "$mode: no ACLs that nobody enforces" setfattr -n system.posix_acl_access -v x f
    fi
    # tail -f
    echo start >t && (timeout 20 tail -n +1 -f t >tail.out & echo $! >tail.pid)
    for i in 1 2 3; do echo "line $i" >>t && sleep 0.05; done
    check "$mode: tail -f" eventually grep -q 'line 3' tail.out
    pid=$(cat tail.pid) && kill "$pid"
    # space
    same "$mode: df's name" "$(df --output=source . | tail -n 1)" "$db"
    check "$mode: df has room" test "$(df --output=avail . | tail -n 1)" -gt 0
    head -c 3000000 /dev/urandom >big && sync big
    check "$mode: du" test "$(du -k big | cut -f 1)" -ge 2900
    same "$mode: du --apparent-size" "$(du -b big | cut -f 1)" 3000000
    same "$mode: dd in place" "$(dd if=big of=big2 bs=12345 2>/dev/null && cmp big big2 && echo same)" same
    cp --reflink=never big big3 && cmp big big3 || fail "$mode: cp"
    truncate -s 1000 big2 && truncate -s 2000 big2
    same "$mode: truncated and extended" "$(cmp -n 1000 big big2 && tail -c 1000 big2 | tr -d '\0' | wc -c)" 0
    cd "$work" || return
}

# As somebody else, with default_permissions.
other_user_tests() {
    local user=(setpriv --reuid=1234 --regid=5678 --clear-groups)
    command -v setpriv >/dev/null || return
    chmod 755 "$mnt" "$mnt/$mode" "$mnt/$mode/shell"
    echo secret >secret && chmod 600 secret
    check_not "$mode: others may not read" "${user[@]}" cat secret
    check_not "$mode: others may not create" "${user[@]}" touch "$PWD/mine"
    mkdir -m 1777 sticky && "${user[@]}" touch sticky/theirs && touch sticky/roots
    same "$mode: created by" "$(stat -c %u:%g sticky/theirs)" 1234:5678
    check_not "$mode: sticky" "${user[@]}" rm -f sticky/roots
    check "$mode: their own" "${user[@]}" rm sticky/theirs
    echo x >suid && chown 1234 suid && chmod 6777 suid
    "${user[@]}" sh -c 'echo y >>suid'
    same "$mode: a user's write clears setuid" "$(stat -c %a suid)" 777
    chmod 6777 suid && "${user[@]}" sh -c ': >suid'
    same "$mode: a user's O_TRUNC clears setuid" "$(stat -c %a suid)" 777
    chmod 6777 suid && "${user[@]}" truncate -s 5 suid
    same "$mode: a user's truncate clears setuid" "$(stat -c %a suid)" 777
}

# What a program sees of everything in $mnt: type, mode, links, owner, size, times, inode, target.
picture() {
    (cd "$mnt" && find . -printf '%p %y %m %n %U:%G %s %T@ %C@ %i %l\n' | sort)
    (cd "$mnt" && find . -type f -print0 | sort -z | xargs -0 cksum)
}

for mode in writeback no_writeback; do
    options=$mode
    mount_store "$db" "$mnt" -o "$options"
    helper_tests
    shell_tests
    picture >"$work/before"
    cp "$work/before" "$work/first"
    remount
    picture >"$work/after"
    check "$mode: all as before after a remount" diff "$work/before" "$work/after"
    # The kernel drops what it holds: what comes back is the store's.
    [ "$as_root" = 0 ] || echo 2 >/proc/sys/vm/drop_caches
    picture >"$work/after"
    check "$mode: all as before without the kernel's caches" diff "$work/before" "$work/after"
    rm -rf "${mnt:?}/$mode/shell/z"
    umount_store "$mnt"
done

# sync options
mount_store "$db" "$mnt" -o sync,dirsync
echo durable >"$mnt/durable" && mkdir "$mnt/durable.d" && mv "$mnt/durable" "$mnt/durable.d/x"
same "sync, dirsync" "$(cat "$mnt/durable.d/x")" durable
umount_store "$mnt"

check "the store checks clean" lsmfsctl check "$db"
finish
