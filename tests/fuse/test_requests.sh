#!/usr/bin/env bash
# How many requests common jobs cost: counted in the trace of a mount, and never more than now. What
# the kernel insists on is in docs/posix.md (Requests).
. "$(dirname "$0")/lib.sh"
mnt=$work/mnt files=40
cd "$work" || exit 1
mkdir -p "$mnt" tree/d
for ((i = 0; i < files; i++)); do
    head -c 1500 /dev/zero | tr '\0' x >"tree/d/file$i"
done
tar cf tree.tar tree

mount_traced() { # options
    : >trace
    "$lsmfs" -d -o "$1" "$db" "$mnt" 2>>trace &
    eventually mounted "$mnt" || fail "cannot mount with -d"
}
unmount_traced() {
    umount_store "$mnt"
    wait
}

# requests OPCODE...: how many came since `since`, in all if none is named.
requests() {
    local wanted=${*:-[A-Z_?0-9]+}
    tail -c "+$((since + 1))" trace | grep -cE "opcode: (${wanted// /|}) "
}
# measured COMMAND...: runs it; `since` is where its trace begins. RELEASE and FORGET come late.
measured() {
    since=$(stat -c %s trace)
    "$@" >/dev/null
    sleep 0.3
}
# at_most WHAT MOST OPCODE...: for each file, in hundredths.
at_most() {
    local what=$1 most=$2 n
    shift 2
    n=$(($(requests "$@") * 100 / files))
    checks=$((checks + 1))
    [ "$n" -le "$most" ] || fail "$what: $n hundredths of a request for each file, not $most"
    echo "$what: $n (at most $most)"
}

# Somebody else on the machine may make the kernel drop what it keeps; it forgets then, and asks again.
# That is counted, and what failed meanwhile says nothing.
drops() { grep -E '^drop_(pagecache|slab) ' /proc/vmstat; }
# undisturbed FUNCTION: what it finds in a new store, again if something failed and caches were dropped.
undisturbed() {
    local try before failures_before=$failures
    for ((try = 0; try < 10; try++)); do
        db=$work/$1.$try before=$(drops)
        "$1"
        [ "$failures" -gt "$failures_before" ] && [ "$(drops)" != "$before" ] || return
        echo "caches were dropped; what failed since then does not count: again"
        failures=$failures_before
    done
    fail "$1: caches were dropped in each of $try tries"
}

common_jobs() {
    mount_traced rw
    measured tar -C "$mnt" -xf tree.tar
    at_most "untar: LOOKUP" 110 LOOKUP
    at_most "untar: MKNOD" 100 MKNOD
    at_most "untar: CREATE, OPEN" 10 CREATE OPEN
    at_most "untar: WRITE" 100 WRITE
    at_most "untar: SETATTR" 420 SETATTR
    at_most "untar: GETATTR, of the directory" 115 GETATTR
    at_most "untar: GETXATTR, security.capability" 200 GETXATTR
    at_most "untar: RELEASE" 0 RELEASE
    at_most "untar" 1050

    measured cp -a "$mnt/tree" "$mnt/copy"
    at_most "cp -a: OPEN, CREATE, RELEASE" 0 OPEN CREATE RELEASE
    at_most "cp -a: LISTXATTR" 210 LISTXATTR
    at_most "cp -a: GETXATTR" 215 GETXATTR
    at_most "cp -a" 1350

    # warm MOST COMMAND...: as measured, of the first run that costs no more, of 20. Those before may: what
    # was read or closed is asked for again, and somebody else may drop the caches just then.
    warm() {
        local i most=$1
        shift
        for ((i = 0; i < 20; i++)); do
            measured "$@"
            [ "$(requests)" -gt "$most" ] || break
        done
    }

    # ls asks for labels until it hears that there are none; the kernel remembers that there are no lists.
    measured ls -lR "$mnt/tree"
    at_most "ls -lR: GETXATTR" 10 GETXATTR
    warm 2 ls -lR "$mnt/tree"
    at_most "ls -lR, warm" 5

    # The attributes of what was closed come with the listing.
    warm 5 grep -r nothing "$mnt/tree"
    at_most "grep -r, warm: OPEN, READ, RELEASE" 0 OPEN READ RELEASE
    at_most "grep -r, warm, listings aside" 5 LOOKUP GETATTR GETXATTR SETATTR LSEEK FLUSH
    at_most "grep -r, warm, listings" 15 OPENDIR READDIR READDIRPLUS RELEASEDIR
    # Where nothing is opened nothing is asked for again, nor are listings.
    warm 1 find "$mnt/tree" -type f -newer "$work/tree.tar"
    at_most "find, warm, but for one STATFS" 3
    warm 0 ls -R "$mnt/tree"
    at_most "ls -R, warm" 0
    : >"$mnt/tree/d/new"
    measured ls -R "$mnt/tree"
    at_most "ls -R of a directory that has changed" 10
    rm "$mnt/tree/d/new"

    measured rm -rf "$mnt/copy"
    at_most "rm -rf: UNLINK" 100 UNLINK
    at_most "rm -rf: SETATTR" 100 SETATTR
    at_most "rm -rf: GETATTR, of the directory" 110 GETATTR
    at_most "rm -rf, FORGET aside" 330 UNLINK SETATTR GETATTR LOOKUP RELEASE OPEN
    unmount_traced

    mount_traced rw
    measured grep -r nothing "$mnt/tree"
    at_most "grep -r, cold: OPEN, RELEASE" 3 OPEN RELEASE
    at_most "grep -r, cold: READ" 100 READ
    at_most "grep -r, cold, with listings" 130
    # One listing, after the kernel was told to forget the one before, brings the attributes of what
    # was read; the next one is the kernel's own.
    lists_again() {
        measured find "$mnt/tree" -type f -newer "$work/tree.tar"
        [ "$(requests READDIRPLUS)" -gt 0 ]
    }
    eventually lists_again
    at_most "find after reading: listings" 15 READDIR READDIRPLUS
    at_most "find after reading: attributes" 5 LOOKUP GETATTR
    measured find "$mnt/tree" -type f -newer "$work/tree.tar"
    at_most "find after that: listings" 0 READDIR READDIRPLUS
    at_most "find after that: attributes of directories" 5 LOOKUP GETATTR
    unmount_traced
}
undisturbed common_jobs

db=$work/db
mount_traced rw
tar -C "$mnt" -xf tree.tar
unmount_traced

# Lookups in one directory do not wait for each other: some begin while another has no answer yet. On a
# busy machine not in every round.
look_up() { for ((j = 0; j < 300; j++)); do [ ! -e "$mnt/tree/d/none$1.$round.$j" ] || fail "$1.$j is there"; done; }
overlaps() { # in the trace from `since` on
    tail -c "+$((since + 1))" trace | awk '
        /opcode: LOOKUP/ { if (open > 0) n++; open++; is[$2 + 0] = 1 }
        / unique: [0-9]+, (success|error)/ { if (is[$2 + 0]) { open--; delete is[$2 + 0] } }
        END { print n + 0 }'
}
mount_traced rw
for ((round = 0; round < 30; round++)); do
    since=$(stat -c %s trace)
    for p in 1 2 3 4; do look_up $p & pids[p]=$!; done
    wait "${pids[@]}"
    [ "$(overlaps)" -eq 0 ] || break
done
checks=$((checks + 1))
[ "$round" -lt 30 ] || fail "no lookup in one directory began before another had ended"
unmount_traced

# A label that is set is there, also after a mount, and then others are told truly that they have none.
label() { getfattr --absolute-names --only-values -n security.selinux "$mnt/tree/d/file$1" 2>&1; }
mount_traced rw
matches "no labels" "$(label 1)" "*not supported*"
check "setting one" setfattr -n security.selinux -v some "$mnt/tree/d/file1"
same "a label" "$(label 1)" some
matches "a file without one" "$(label 2)" "*No such attribute*"
unmount_traced
mount_traced rw
matches "a file without one, after a mount" "$(label 2)" "*No such attribute*"
same "the label, after a mount" "$(label 1)" some
setfattr -x security.selinux "$mnt/tree/d/file1"
unmount_traced

# Where OPEN is wanted it comes.
mount_traced open_requests
measured grep -r nothing "$mnt/tree"
same "open_requests" "$(requests OPEN)" "$files"
released() { [ "$(requests RELEASE)" -ge "$files" ]; }
eventually released
same "as many RELEASEs" "$(requests RELEASE)" "$files"
unmount_traced
finish
