#!/usr/bin/env bash
# setuid and setgid when somebody else changes a file, in every way there is to change content: as on
# ext4, where setgid of what its group cannot execute stays for members of the group.
. "$(dirname "$0")/lib.sh"
db=$work/db mnt=$work/mnt
[ "$(id -u)" = 0 ] || { echo "needs root, to be somebody else"; exit 77; }

stranger() { setpriv --reuid=1234 --regid=5678 --clear-groups "$@"; }
member() { setpriv --reuid=1234 --regid=5678 --groups 1,4321,99 "$@"; }
primary() { setpriv --reuid=1234 --regid=4321 --clear-groups "$@"; }
owner() { "$@"; }

change() { # who, what, file
    case $2 in
    write) "$1" sh -c 'printf x 1<>"$0"' "$3" ;;
    direct) "$1" dd if=/dev/zero of="$3" bs=4k count=1 conv=notrunc oflag=direct status=none ;;
    truncate) "$1" truncate -s 100 "$3" ;;
    open) "$1" sh -c ': >"$0"' "$3" ;;
    falloc) "$1" fallocate -o 64K -l 64K "$3" ;;
    keep) "$1" fallocate -n -o 300K -l 64K "$3" ;;
    punch) "$1" fallocate -p -o 64K -l 64K "$3" ;;
    zero) "$1" fallocate -z -o 64K -l 64K "$3" ;;
    copy) "$1" "$work/copy" "$3" ;;
    esac
}

# The mode that is left: setuid goes; setgid goes if the group can execute, or for who is not in it.
left() { # who, mode
    local mode=$((8#$2))
    [ "$1" = owner ] && { echo "$2"; return; }
    if ((mode & 8#10)) || [ "$1" = stranger ]; then
        mode=$((mode & ~8#2000))
    fi
    printf '%o\n' $((mode & ~8#4000))
}

run_all() { # directory, what it is
    local who what mode file=$1/file
    for what in write direct truncate open falloc keep punch zero copy; do
        for who in stranger member primary owner; do
            for mode in 6666 6676 2666 2676; do
                rm -f "$file"
                head -c 192K /dev/zero >"$file"
                chown 0:4321 "$file" && chmod "$mode" "$file"
                check "$2: $who $what" change "$who" "$what" "$file"
                same "$2: $mode after $what by $who" "$(stat -c %a "$file")" "$(left "$who" "$mode")"
            done
        done
    done
}

cat >"$work/copy.c" <<'C'
#define _GNU_SOURCE
#include <fcntl.h>
#include <unistd.h>
int main(int argc, char **argv)
{
    int fd = open(argv[argc - 1], O_RDWR);
    off_t from = 0, to = 65536;
    return copy_file_range(fd, &from, fd, &to, 4096, 0) == 4096 ? 0 : 1;
}
C
cc -o "$work/copy" "$work/copy.c" || fail "the helper does not compile"
if [ -n "${LSMFS_COMPARE_DIR:-}" ]; then # to see what another file system does
    run_all "$LSMFS_COMPARE_DIR" "$LSMFS_COMPARE_DIR"
    finish
fi
for options in writeback no_writeback; do
    mount_store "$db" "$mnt" -o "$options"
    chmod 777 "$mnt"
    run_all "$mnt" "$options"
    umount_store "$mnt"
done
finish
