#!/usr/bin/env bash
# How requests come from the kernel: each transport by itself, what it costs when nothing happens,
# and that slow requests keep nobody waiting. Those that the machine does not offer are refused.
. "$(dirname "$0")/lib.sh"
unset LSMFS_TRANSPORT
db=$work/db mnt=$work/mnt
switch=/sys/module/fuse/parameters/enable_uring
mkdir "$mnt"

# The line of the log that names the transport; it may come a moment after the mount.
named() {
    eventually grep -qa 'transport ' "$work/trace"
    grep -a 'transport ' "$work/trace"
}

# serve TRANSPORT [options]: mounts in the foreground, with a trace in $work/trace; $pid.
serve() {
    "$lsmfs" -d -o "transport=$1${2:+,$2}" "$db" "$mnt" 2>"$work/trace" &
    pid=$!
    eventually mounted "$mnt" || { fail "cannot mount with transport=$1"; cat "$work/trace"; finish; }
}

# Ends it; the daemon must end by itself, with status 0.
unserve() {
    umount -i "$mnt" 2>/dev/null || fusermount3 -u "$mnt"
    wait "$pid"
    same "$1 ends with status 0" $? 0
}

# Nanoseconds that the daemon's threads have run for.
cpu_ns() { cat "/proc/$1"/task/*/schedstat | awk '{ sum += $1 } END { print sum }'; }

# Many that sync at once, and one that seeks in what it has just written, on one processor, while a
# single thread may serve: each takes its turn, nobody waits for ever.
crowd() {
    local i jobs=()
    for ((i = 0; i < 6; i++)); do
        taskset -c 0 sh -c 'for n in 1 2 3; do echo $n >"$1"; sync "$1" || exit 1; done' - \
            "$mnt/crowd$i" &
        jobs+=($!)
    done
    for ((i = 0; i < 6; i++)); do
        taskset -c 0 timeout 180 "$work/seek" "$mnt/seek$i" &
        jobs+=($!)
    done
    for i in "${jobs[@]}"; do
        wait "$i" || return 1
    done
}

cat >"$work/seek.c" <<'C'
// Writes a page behind a hole and asks where the data is while only the kernel has it.
#define _GNU_SOURCE
#include <fcntl.h>
#include <unistd.h>
int main(int argc, char **argv)
{
    char page[4096] = {1};
    int fd = argc == 2 ? open(argv[1], O_CREAT | O_TRUNC | O_RDWR, 0600) : -1;
    for (int i = 1; i <= 10; i++)
        if (pwrite(fd, page, sizeof page, i * 65536) != sizeof page ||
            lseek(fd, i * 65536 - 4096, SEEK_DATA) != i * 65536)
            return 1;
    return 0;
}
C
"${CC:-cc}" -o "$work/seek" "$work/seek.c" || exit 1

one_transport() {
    local t=$1 i before after data=$work/data
    serve "$t"
    matches "$t is named in the log" "$(named)" "*transport $t"
    head -c 5000000 /dev/urandom >"$data"
    cp "$data" "$mnt/big"
    check "$t: a large file" cmp "$data" "$mnt/big"
    mkdir "$mnt/$t"
    (cd "$mnt/$t" && seq 500 | xargs touch)
    same "$t: a directory" "$(ls "$mnt/$t" | wc -l)" 500
    setfattr -n user.long -v "$(printf 'v%.0s' {1..3000})" "$mnt/big"
    same "$t: a long attribute" "$(getfattr --only-values -n user.long "$mnt/big" | wc -c)" 3000
    if [ "$(id -u)" -eq 0 ]; then # FORGETs
        echo 2 >/proc/sys/vm/drop_caches
        check "$t: FORGETs come" eventually grep -qa 'FORGET' "$work/trace"
    fi
    check "$t: cached pages are from it" cmp "$data" "$mnt/big"
    rm -r "${mnt:?}/$t" "$mnt/big"
    unserve "$t"

    serve "$t" threads=1
    check "$t: a crowd on one processor, one thread to serve" crowd
    unserve "$t"

    mount_store "$db" "$mnt" -o "transport=$t"
    pid=$(daemon_of "$db")
    (cd "$mnt" && for i in 1 2 3 4; do seq "$i"000 "$i"300 | xargs touch & done; wait)
    # A store that is not written to any more has things to do for some seconds; then it rests.
    for _ in {1..15}; do
        before=$(cpu_ns "$pid")
        sleep 3
        used=$(($(cpu_ns "$pid") - before))
        [ "$used" -ge 3000000 ] || break
    done
    check "$t: an idle mount uses under 0.1 % of a processor, not $used ns in 3 s" \
        test "$used" -lt 3000000
    umount_store "$mnt"
    check "$t: the daemon has gone with all its threads" gone "$pid"

    mount_store "$db" "$mnt" -o "transport=$t,no_writeback"
    pid=$(daemon_of "$db")
    echo "$t" >"$mnt/killed"
    exec 7>"$mnt/open"
    kill -9 "$pid"
    check "$t: kill -9" eventually gone "$pid"
    check_not "$t: users of a killed daemon get errors" ls "$mnt"
    exec 7>&-
    umount -i -l "$mnt" 2>/dev/null || fusermount3 -uz "$mnt"
    mount_store "$db" "$mnt" -o "transport=$t"
    same "$t: what was acknowledged before kill -9" "$(cat "$mnt/killed")" "$t"
    umount_store "$mnt"
}

for transport in plain poll; do
    one_transport "$transport"
done

built=1
ldd "$lsmfs" | grep -q liburing || built=
if [ -z "$built" ] || [ ! -e "$switch" ]; then
    out=$("$lsmfs" -o transport=uring "$db" "$mnt" 2>&1)
    same "what is not there is refused" $? 1
    matches "in words" "$out" "lsmfs: option 'transport=uring': *"
elif [ -w "$switch" ]; then
    hold_switch -x
    before=$(cat "$switch")
    trap 'echo "$before" >"$switch"; cleanup' EXIT
    echo N >"$switch"
    out=$("$lsmfs" -o transport=uring "$db" "$mnt" 2>&1)
    same "what is turned off is refused" $? 1
    matches "in words" "$out" "lsmfs: option 'transport=uring': *turned off*$switch*enable_uring*"
    serve auto
    matches "auto takes another one" "$(named)" "*transport p*"
    unserve "a mount without it"
    serve auto enable_uring
    matches "enable_uring turns it on and says so" "$(cat "$work/trace")" "*was turned on*$switch*"
    same "it is on" "$(cat "$switch")" Y
    matches "auto takes it" "$(named)" "*transport uring"
    unserve "a mount with it"
    hold_switch -s # on, and nobody turns it off
    one_transport uring
    hold_switch -x
elif hold_switch -s && [ "$(cat "$switch")" = Y ]; then
    one_transport uring
fi
finish
