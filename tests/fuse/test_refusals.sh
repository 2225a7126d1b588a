#!/usr/bin/env bash
# What lsmfs refuses: one line on stderr that says what is wrong, a status, nothing changed.
. "$(dirname "$0")/lib.sh"
cd "$work" || exit 1
mkdir mnt
echo content >file

# Everything in $work but the test's own notes and LOCK (who tried last), with times of change.
snapshot() { find . -not -path ./notes -not -path . -not -name LOCK -printf '%p %s %C@ %m\n' | sort; }

# refused WHAT STATUS PATTERN ARGUMENTS...: lsmfs must end with STATUS and one line like PATTERN,
# and leave everything as it was.
refused() {
    local what=$1 status=$2 pattern=$3 before out got
    shift 3
    before=$(snapshot)
    out=$("$lsmfs" "$@" 2>&1 </dev/null)
    got=$?
    same "$what: status" "$got" "$status"
    matches "$what: message" "$out" "$pattern"
    same "$what: one line" "$(wc -l <<<"$out")" 1
    same "$what: nothing changed" "$(snapshot)" "$before"
    check "$what: nothing mounted" not_mounted "$work/mnt"
}

# --- usage
refused "no arguments" 2 "lsmfs: DB and MOUNTPOINT are missing*"
refused "no mount point" 2 "lsmfs: MOUNTPOINT is missing*" db
refused "too many arguments" 2 "lsmfs: one argument too many: x*" db mnt x
refused "unknown flag" 2 "lsmfs: unknown flag -q*" -q db mnt
refused "unknown long flag" 2 "lsmfs: unknown flag --quick*" --quick db mnt
refused "empty name" 2 "lsmfs: an empty name for MOUNTPOINT*" db ""
refused "unknown option" 2 "lsmfs: option 'foo': unknown*" db mnt -o rw,foo
refused "unknown option with a value" 2 "lsmfs: option 'foo=1': unknown*" db mnt -o foo=1,rw
refused "remount" 2 "lsmfs: option 'remount':*unmount it*" db mnt -o remount,ro
for bad in cache_size=abc cache_size=-1 cache_size=1X cache_size= cache_size=2T write_buffer=1K \
    cache_size=99999999999999999999 write_buffer=5G threads=0 threads=65 threads=2K sync=x \
    sync=3600001 compression=gzip inline_max=65K inline_max=1.5K max_open_tables=15 spin=-3 \
    wal=maybe checksums=sometimes compaction_threads=17; do
    refused "$bad" 2 "lsmfs: option '$bad': *" db mnt -o "ro,$bad"
done
refused "a size out of range" 2 \
    "lsmfs: option 'write_buffer=1K': takes a number from 64K to 4G, perhaps with K, M, G or T" \
    db mnt -o write_buffer=1K
refused "a number out of range" 2 "lsmfs: option 'threads=65': takes a number from 1 to 64" \
    db mnt -o threads=65
refused "no interval" 2 "lsmfs: option 'sync=x': takes none, or a number from 0 to 3600000" \
    db mnt -o sync=x
refused "none of the words" 2 "lsmfs: option 'compression=gzip': takes one of none, lz4, zlib" \
    db mnt -o compression=gzip
refused "a value is missing" 2 "lsmfs: option 'cache_size': needs a value" db mnt -o cache_size
refused "a value too many" 2 "lsmfs: option 'ro=1': takes no value" db mnt -o ro=1
refused "-o without options" 2 "lsmfs: -o needs options*" db mnt -o

# --- the mount point
refused "mount point missing" 1 "lsmfs: nowhere: no such directory*" db nowhere
refused "mount point's parent missing" 1 "lsmfs: no/where: no such directory*" db no/where
refused "mount point a file" 1 "lsmfs: *file: not a directory*" db file
refused "mount point below a file" 1 "lsmfs: file/x: not a directory*" db file/x
mkdir full && echo kept >full/x
mount_store over full
check "a mount point may be full" mounted "$work/full"
before=$(snapshot)
out=$("$lsmfs" over2 full 2>&1)
same "already mounted: status" $? 1
matches "already mounted: message" "$out" "lsmfs: $work/full: already mounted by lsmfs*$work/over*"
check_not "already mounted: no store made" test -e over2

# --- a store in use
out=$("$lsmfs" over mnt 2>&1)
same "in use: status" $? 1
matches "in use: by whom and where" "$out" "lsmfs: $work/over*$(daemon_of over)*mounted on $work/full*'-o ro,follow'*"
same "in use: one line" "$(wc -l <<<"$out")" 1
check "in use: nothing mounted" not_mounted "$work/mnt"
umount_store full
same "what was there before is back" "$(cat full/x)" kept

# --- the store
refused "DB a file" 1 "lsmfs: *file: not a directory*" file mnt
refused "DB's parent missing" 1 "lsmfs: no/db: *does not exist*" no/db mnt
mkdir other && echo precious >other/data
refused "DB not a store" 1 "lsmfs: $work/other: *not a*store*" other mnt
refused "DB below the mount point" 1 "lsmfs: $work/mnt/db: *under its own mount point*" mnt/db mnt
mkdir other/in
refused "mount point inside the store" 1 "lsmfs: $work/other/in: *inside the store*" \
    other/in/.. other/in
mkdir over/in
refused "mount point inside an existing store" 1 "lsmfs: $work/over/in: *inside the store*" \
    over over/in
rmdir over/in
refused "read only, no store" 1 "lsmfs: $work/db: no such store*ro*" -o ro db mnt
mkdir empty
refused "read only, empty directory" 1 "lsmfs: $work/empty: *ro*" -o ro empty mnt
check_not "no store was made in passing" test -e db

# --- a store inside another one
refused "a store inside a store" 1 "lsmfs: $work/over/inner: lies inside the store $work/over: *" \
    over/inner mnt
mkdir -p over/lost/deep
refused "deep inside a store" 1 "lsmfs: $work/over/lost/deep: lies inside the store $work/over: *" \
    over/lost/deep mnt
rm -r over/lost

# --- what an interrupted removal leaves
cp -a over unfinished
mv unfinished/CURRENT unfinished/UNFINISHED
refused "an unfinished store" 1 \
    "lsmfs: $work/unfinished: *not copied or removed to the end: 'lsmfsctl destroy' removes what is there" \
    unfinished mnt
check "which it does" "$bin/lsmfsctl" destroy --yes unfinished
check_not "to the end" test -e unfinished

# --- a store on a read-only file system: what can be done is said, and can be done
if [ "$(id -u)" -eq 0 ] && unshare -m true 2>/dev/null; then
    mkdir frozen
    mount --bind over frozen && mount -o remount,bind,ro frozen
    refused "read-only media" 1 "lsmfs: $work/frozen: *Read-only file system: '-o ro' *" \
        frozen mnt
    for lock in kept gone; do
        [ "$lock" = kept ] || rm over/LOCK
        check "read-only media with -o ro (LOCK $lock)" "$lsmfs" -o ro frozen mnt
        check "can be read" ls mnt >/dev/null
        umount -i mnt
        check "and closed" eventually "$bin/lsmfsctl" ls over >/dev/null
    done
    eventually umount frozen
    rmdir frozen
fi

# --- damage: manifest, format
cp -a over newer
current=$(ls newer | grep -x CURRENT)
if [ -n "$current" ]; then
    cp -a over damaged
    manifest=$(ls damaged | grep -i manifest | head -n 1)
    printf '\xff\xff\xff\xff' | dd of="damaged/$manifest" bs=1 seek=8 conv=notrunc status=none
    refused "a damaged manifest" 1 "lsmfs: $work/damaged/$manifest*repair*" damaged mnt
    rm "damaged/$manifest"
    refused "advice comes once" 1 "lsmfs: $work/damaged/CURRENT: *missing; run lsmfsctl repair" \
        damaged mnt
    cp -a over nocurrent
    rm nocurrent/CURRENT
    refused "CURRENT missing" 1 "lsmfs: $work/nocurrent*" nocurrent mnt
fi

# --- permissions and the system, for an ordinary user in a mount namespace of their own
if [ "$(id -u)" -eq 0 ] && unshare -m true 2>/dev/null && command -v setpriv >/dev/null; then
    cp "$lsmfs" "$work/lsmfs"
    cat >"$work/as-user.sh" <<'SH'
# MODE COMMAND...: as nobody; /dev/fuse has that mode; "gone" hides it, "nofm" hides fusermount3
mode=$1
shift
case $mode in
gone)
    mkdir -p "$W/empty-dev" && mount --bind "$W/empty-dev" /dev
    exec "$@"
    ;;
nofm)
    mount --bind /dev/null "$(command -v fusermount3)"
    mode=666
    ;;
esac
mknod "$W/fuse-$mode" c 10 229 2>/dev/null
chmod "$mode" "$W/fuse-$mode" && mount --bind "$W/fuse-$mode" /dev/fuse
exec setpriv --reuid=nobody --regid="$(id -g nobody)" --clear-groups "$@"
SH
    mkdir users && chown nobody users && mkdir users/mnt && chown nobody users/mnt
    as() { W=$work unshare -m --propagation private bash "$work/as-user.sh" "$@"; }
    # user_refused WHAT MODE PATTERN ARGUMENTS...
    user_refused() {
        local what=$1 mode=$2 pattern=$3 out
        shift 3
        out=$(as "$mode" "$work/lsmfs" "$@" 2>&1)
        same "$what: status" $? 1
        matches "$what: message" "$out" "$pattern"
        same "$what: one line" "$(wc -l <<<"$out")" 1
        check_not "$what: no store made" test -e users/db
    }
    user_refused "no /dev/fuse" gone "lsmfs: /dev/fuse: *modprobe fuse*" users/db users/mnt
    user_refused "/dev/fuse not for users" 600 "lsmfs: /dev/fuse: permission denied*" \
        users/db users/mnt
    user_refused "no fusermount3" nofm "lsmfs: fusermount3 not found*" users/db users/mnt
    user_refused "another's mount point" 666 "lsmfs: $work/mnt: no permission*" users/db mnt
    user_refused "no room for the store" 666 "lsmfs: $work/db: *ermission denied*" db users/mnt
    mkdir closed && chmod 700 closed && cp -a over closed/db
    user_refused "a store behind a closed door" 666 "lsmfs: *closed/db: *ermission denied*" \
        closed/db users/mnt
    user_refused "another's store" 666 "lsmfs: *$work/over*ermission denied*" over users/mnt
fi

# --- names
mount_store over mnt
long=$(printf 'x%.0s' {1..255})
check "a name of 255 bytes" touch "mnt/$long"
out=$(LC_ALL=C touch "mnt/${long}x" 2>&1)
matches "a name of 256 bytes" "$out" "*File name too long"
umount_store mnt
finish
