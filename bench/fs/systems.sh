# The systems that the benches of the file system compare, and how they are mounted. Sourced after
# ../common.sh; the script sets `bin`, where lsmfs is, and `options`, its mount options.
#   ext4         a directory in DIR (whatever file system that is)
#   passthrough  a FUSE server that passes everything on to a directory in DIR: $PASSTHROUGH if set
#                (libfuse's passthrough_hp: SOURCE MOUNTPOINT), else bindfs
#   lsmfs        its store in DIR
#   before       the same of another build, which is in $before (--before=DIR)
#   floor        a FUSE server that does nothing (floor.c), over the same transport and, as lsmfs,
#                without OPEN: what the requests alone cost
# shellcheck shell=bash
# shellcheck disable=SC2154 # bin, options, root: see above

systems_check() { # SYSTEMS DIR
    [ -d "$2" ] || die "$2: no such directory"
    [ -x "$bin/lsmfs" ] || die "$bin/lsmfs: build it first (Release)"
    [ "$(id -u)" -eq 0 ] || die "run it as root: it drops caches and mounts"
    [[ $1 != *before* || -x ${before-}/lsmfs ]] || die "no lsmfs in '${before-}': give --before=DIR"
    [[ $1 != *floor* ]] || [ -x "$bin/lsmfs_floor" ] || die "$bin/lsmfs_floor: build it first"
    if [[ $1 == *passthrough* ]] && [ -z "${PASSTHROUGH-}" ] && ! command -v bindfs >/dev/null; then
        die "no passthrough server: apt install bindfs, or set PASSTHROUGH"
    fi
}

# A directory `work` in DIR, which goes at the end of the script with all that is mounted in it.
systems_start() { # DIR
    work=$(mktemp -d "$1/lsmfs_${script%.sh}.XXXXXX")
    mkdir "$work/plain" "$work/below" "$work/mnt"
    trap systems_end EXIT
    trap 'exit 1' INT TERM HUP
}
systems_end() {
    cd /
    unmount 2>/dev/null || umount -l "$work/mnt" 2>/dev/null || true
    rm -rf --one-file-system "$work"
}

unmount() {
    mountpoint -q "$work/mnt" || return 0
    if [ "$(findmnt -n -o FSTYPE "$work/mnt")" = fuse.lsmfs ]; then
        "$root/mount-scripts/umount.lsmfs" "$work/mnt"
    else
        umount "$work/mnt"
    fi
}

# Mounts a system unless it is; its files go to `target`.
place() { # SYSTEM
    target=$work/mnt
    [ "$1" != ext4 ] || target=$work/plain
    [ "$1" != ext4 ] && ! mountpoint -q "$target" || return 0
    case $1 in
    passthrough)
        if [ -n "${PASSTHROUGH-}" ]; then
            # shellcheck disable=SC2086 # may carry options
            $PASSTHROUGH "$work/below" "$work/mnt"
        else
            bindfs --no-allow-other "$work/below" "$work/mnt"
        fi
        ;;
    lsmfs) PATH=$bin:$PATH lsmfs ${options:+-o "$options"} "$work/db" "$work/mnt" ;;
    before) PATH=$before:$PATH lsmfs ${options:+-o "$options"} "$work/before" "$work/mnt" ;;
    floor) "$bin/lsmfs_floor" --no-open ${options:+-o "$options"} "$work/mnt" ;;
    *) die "no such system: $1" ;;
    esac
}

drop_caches() {
    sync
    echo 3 >/proc/sys/vm/drop_caches
}

# Nothing of the system is left in a cache: unmounted, caches dropped, mounted again. DIR itself stays
# mounted, and so does the floor, which has nothing but its memory.
cold() { # SYSTEM
    case $1 in passthrough | lsmfs | before) unmount ;; esac
    drop_caches
    place "$1"
}
