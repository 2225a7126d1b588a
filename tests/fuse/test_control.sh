#!/usr/bin/env bash
# lsmfsctl on a store that is mounted: the same output and status as on one that is not, nothing
# stale in the mount, and no harm by clients or daemons that go away.
. "$(dirname "$0")/lib.sh"
cd "$work" || exit 1
ctl=$bin/lsmfsctl
live=$work/live still=$work/still # each with the store db: mounted; its copy, not mounted
mnt=$work/mnt db=$live/db
mkdir "$live" "$still"

# --- the same on both
# run DIRECTORY COMMAND...: status, standard output and error of lsmfsctl there.
run() {
    local directory=$1
    shift
    echo "$*" >>"$work/run"
    (cd "$directory" && "$ctl" "$@" </dev/null >"$directory/out" 2>"$directory/err"
     echo "status $?" >"$directory/status")
    cat "$directory/status" "$directory/out" "$directory/err" | sed "s:$directory:HERE:g"
}
both() { same "$*" "$(run "$live" "$@" | tr '\0' '0')" "$(run "$still" "$@" | tr '\0' '0')"; }
# The same, but for times: what was done to the two may have been done in different minutes.
but_times() { run "$@" | sed -E 's/[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}/WHEN/'; }
both_but_times() { same "$*" "$(but_times "$live" "$@")" "$(but_times "$still" "$@")"; }

"$ctl" mkdir -cp "$db" /d/sub/deep /empty
seq 5000 | "$ctl" put "$db" /d/numbers
head -c 3000000 /dev/urandom >random
"$ctl" put "$db" /d/random random
"$ctl" put -m 640 "$db" "/d/with space" random
"$ctl" ln -s "$db" numbers /d/link
"$ctl" ln "$db" /d/numbers /d/hard
"$ctl" snapshot create "$db" first
cp -a "$db" "$still/db"
mount_store "$db" "$mnt"
check "a socket" test -S "$db/control"

both ls db
both ls -l db /d /nothing
both ls -lR db
both ls -d -i db /d/random
both ls
both ls db /d/numbers/x
both tree db
both tree -L 1 db /d
both tree -L x db
both stat db /d/random /d/link /nothing
both get db /d/numbers
both get db /d/random
both get db /d /d/numbers /nothing
both get -o "$work/file" db /d/random
check "a file that get has written" cmp file random
both get -o /nowhere/file db /d/numbers
both scan -n 3 db E
both scan -b -n 1 -w 5 db
both scan db '\q'
both snapshot list db
both mkdir db /d/new /d/new/below /d /absent/x
both mkdir -p -m 700 db /p/q/r /d/numbers
both put db /d/put random
both put db /d/put
both put -m 600 db /d/numbers random
both put db /d/put /nothing
both put db /absent/put random
both put db /d random
both put db / random
both mv db /d/put /d/moved
both mv -n db /d/moved /d/hard
both mv db /d/sub /d/new
both mv db / /x
both ln db /d/moved /d/second
both ln -s db text /d/symbolic
both ln db /d/new /d/no
both rm db /d/second /nothing
both rm -f db /nothing
both rm db /d/new
both rm -r db /d/new /empty
both_but_times ls -lR db
both stats db no-such-property
both check db
both snapshot create db second
both snapshot create db second
both snapshot list -n db
both snapshot rename db second third
both snapshot prune db
both snapshot prune --keep-last 1 -n db
both snapshot delete db third absent
both compact db
both checkpoint db copy
both checkpoint db copy
both checkpoint db db/inside
both checkpoint db /nowhere/copy
both check db
check "the copy of a live store" "$ctl" check "$live/copy"
both diff db first
both diff -0 db first
json=(diff --json db first)
same "JSON, but for inode numbers" "$(run "$live" "${json[@]}" | sed 's/"inode":[0-9]*//')" \
    "$(run "$still" "${json[@]}" | sed 's/"inode":[0-9]*//')"
both diff db first absent
both clone db /d /cloned
both clone db /d /cloned
both clone db /absent /x
both rm -r db /cloned
both snapshot create db third
both snapshot prune --keep-last 2 db
# Times and identities are not the same.
but_bytes() { run "$@" >/dev/null; cat "$1/status" "$1/err"; }
both_but_bytes() { same "$*" "$(but_bytes "$live" "$@")" "$(but_bytes "$still" "$@")"; }
both_but_bytes send db third
both_but_bytes send --from first db third
both send db absent
both receive db
# A backup has the store's files, which are not the same.
but_numbers() { run "$@" | sed -E 's/[0-9]+/N/g'; }
same "backup" "$(but_numbers "$live" backup db copies)" "$(but_numbers "$still" backup db copies)"
both_but_times backup list copies/absent
same "backup list" "$(but_numbers "$live" backup list copies)" "$(but_numbers "$still" backup list copies)"
both backup verify copies
both restore copies again
both check again
both backup delete copies@1
both backup db /nowhere/copies
both_but_bytes metrics db
figures() { run "$1" stats db | sed '/^latency/,$d; s/[0-9].*//; /^ *$/d'; }
same "figures" "$(figures "$live")" "$(figures "$still")"
(cd "$live" && TZ=Asia/Tokyo "$ctl" ls -l db /d/random) >here
(cd "$still" && TZ=Asia/Tokyo "$ctl" ls -l db /d/random) >there
check "times are the client's" cmp here there
check_not "a full disk behind the output" sh -c "'$ctl' ls -lR '$db' >/dev/full"
for command in "destroy --yes" repair "snapshot rollback --yes"; do
    # shellcheck disable=SC2086 # words
    run "$live" $command db first >/dev/null
    matches "$command: status" "$(cat "$live/status")" "status [12]"
    run "$live" ${command% first} db >/dev/null
    same "$command: lines" "$(wc -l <"$live/err")" 1
done
matches "repair says why" "$("$ctl" repair "$db" 2>&1)" "*in use by process*mounted on $mnt*"

# What a mount has, and a store that is not mounted has not.
for command in "top -n 1" "watch --from absent"; do
    # shellcheck disable=SC2086 # words
    run "$still" $command db >/dev/null
    same "$command: without a mount" "$(cat "$still/status")" "status 1"
    same "$command: lines" "$(wc -l <"$still/err")" 1
    # shellcheck disable=SC2086
    run "$live" $command db >/dev/null
done
while read -r command; do
    check "$command is tried here" grep -q "^$command" "$work/run"
done < <("$ctl" --help | grep '^  [a-z]' | grep -v '^  snapshot ' | cut --output-delimiter $'\n' -c 3-12,43-52 |
    tr -d ' ' | grep .
    "$ctl" snapshot --help | awk '/^  [a-z]/ { print "snapshot", $1 }')

# --- what the mount shows
cd "$mnt" || exit 1
echo first >file
exec 7<>file
same "absent" "$(cat absent 2>&1)" "cat: absent: No such file or directory"
echo made | "$ctl" put "$db" /absent
same "a name that was known to be absent" "$(cat absent)" made
stat absent >/dev/null
seq 100000 | "$ctl" put "$db" /absent
same "longer" "$(wc -c <absent)" "$(seq 100000 | wc -c)"
echo 1 | "$ctl" put "$db" /absent
same "shorter" "$(cat absent; stat -c %s absent)" $'1\n2'
seq 10000 >&7
seq 20000 | "$ctl" put "$db" /file
same "an open file, longer" "$(cat file)" "$(seq 20000)"
same "its open handle" "$(wc -c </proc/self/fd/7)" "$(seq 20000 | wc -c)"
echo short | "$ctl" put "$db" /file
same "an open file, shorter" "$(cat file; stat -c %s file)" $'short\n6'
ln file alias
stat alias >/dev/null
seq 3 | "$ctl" put "$db" /file
same "by another name" "$(cat alias; stat -c %s alias)" $'1\n2\n3\n6'
exec 7>&-
"$ctl" ln "$db" /absent /third
same "links" "$(stat -c %h absent third | tr '\n' ' ')" "2 2 "
ls >/dev/null
"$ctl" mv "$db" /absent /present
same "moved" "$(cat absent present 2>/dev/null)" 1
"$ctl" rm "$db" /third
same "links left" "$(stat -c %h present)" 1
check_not "removed" test -e third
mkdir -p tree/{a,b}/{c,d}
touch tree/{a,b}/{c,d}/{1..50}
find tree >/dev/null
"$ctl" mv "$db" /tree /wood
same "a moved tree" "$(find wood | wc -l)" 207
check_not "its old name" test -e tree/a/c/1
"$ctl" rm -r "$db" /wood/a
same "a removed tree" "$(find wood | wc -l)" 104
same "links of its parent" "$(stat -c %h wood)" 3
cd "$work" || exit 1
echo dirty >"$mnt/present"
same "what was just written" "$("$ctl" get "$db" /present)" dirty

# --- many at once, beside users of the mount
worker() { # number
    local i
    for ((i = 0; i < 8; i++)); do
        seq $((i * 100)) | "$ctl" put "$db" "/many/$1" &&
            "$ctl" mkdir "$db" "/many/dir$1.$i" &&
            [ "$("$ctl" get "$db" "/many/$1" | wc -l)" = $((i * 100)) ] &&
            [ "$(wc -l <"$mnt/many/$1")" = $((i * 100)) ] &&
            "$ctl" mv "$db" "/many/dir$1.$i" "/many/moved$1.$i" &&
            touch "$mnt/many/moved$1.$i/x" &&
            { "$ctl" ls -lR "$db" /many >/dev/null 2>&1 || [ $? = 1 ]; } && # others' names go
            { [ $((i % 2)) = 0 ] || "$ctl" rm -r "$db" "/many/moved$1.$i"; } || return 1
    done
}
files_open() { find "/proc/$(daemon_of "$db")/fd" -lname 'socket:*' | wc -l; }
sockets=$(files_open)
for i in {1..20}; do # of a command that has just ended one may still be open
    now=$(files_open)
    [ "$now" -ge "$sockets" ] || sockets=$now
    sleep 0.05
done
mkdir "$mnt/many"
(while [ ! -e stop ]; do find "$mnt/many" -ls >/dev/null 2>&1; done) &
finder=$!
workers=()
for n in {1..20}; do worker "$n" & workers+=($!); done
for n in "${!workers[@]}"; do check "client $n of twenty" wait "${workers[n]}"; done
touch stop
wait "$finder"
same "both see the same" "$(cd "$mnt" && find many | sort)" \
    "$("$ctl" ls -R "$db" /many | awk '/:$/ { d = substr($0, 2, length($0) - 2); print d; next } NF { print d "/" $0 }' | sort -u)"
same "all is there" "$(find "$mnt/many" -name x | wc -l)" 80
check "no socket stays open" eventually test "$(files_open)" = "$sockets"
check "check while it is written to" sh -c "
    (while [ ! -e '$work/written' ]; do cp -r '$mnt/d' '$mnt/copy' && rm -r '$mnt/copy'; done) &
    for i in 1 2 3 4 5; do '$ctl' check '$db' >/dev/null || exit 1; done
    touch '$work/written'; wait"

# --- a check that takes long: all copies share their bytes, and each is verified
commands_running() { [ "$(cat "/proc/$(daemon_of "$db")"/task/*/comm 2>/dev/null | grep -c lsmfs-control)" -gt 1 ]; }
idle() { ! commands_running; }
# Long before a check would end by itself.
soon() {
    local i
    for ((i = 0; i < 200; i++)); do "$@" && return; sleep 0.05; done
    return 1
}
mkdir "$mnt/big"
head -c 60000000 /dev/urandom >"$mnt/big/0"
for i in {1..200}; do cp "$mnt/big/0" "$mnt/big/$i"; done
sync -f "$mnt"
for i in {1..4}; do check "more copies" "$ctl" clone "$mnt/big" "$mnt/big$i"; done
check "all have begun and ended" eventually idle
begin=$(date +%s%N)
for i in {1..20}; do touch "$mnt/touched$i"; done
alone=$(($(date +%s%N) - begin))
slow_check() { # starts one; its pid in $slow
    "$ctl" check "$db" >slow.out 2>slow.err &
    slow=$!
    check "a check has begun" eventually commands_running
}
for signal in INT KILL; do
    # A program in the background of a shell ignores SIGINT.
    python3 -c 'import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execv(sys.argv[1], sys.argv[1:])' "$ctl" check "$db" >slow.out 2>slow.err &
    slow=$!
    check "a check has begun" eventually commands_running
    begin=$(date +%s%N)
    for i in {1..20}; do touch "$mnt/touched$i"; done
    took=$(($(date +%s%N) - begin))
    check "a check holds up nobody: $took ns, $alone without" test $took -lt $((3000000000 + 20 * alone))
    check "still checking" commands_running
    kill -"$signal" "$slow"
    wait "$slow"
    same "killed by the signal" "$?" $((128 + $([ $signal = INT ] && echo 2 || echo 9)))
    check "SIG$signal ends the check" soon idle
done
mkfifo endless
"$ctl" put "$db" /unfinished <endless &
put=$!
exec 8>endless
head -c 30000000 /dev/urandom >&8
check "put has begun" eventually test -e "$mnt/unfinished"
kill -9 "$put"
exec 8>&-
check "the unfinished file goes" eventually test ! -e "$mnt/unfinished"

# --- strangers
chmod 711 "$work" "$live" "$db"
chmod 666 "$db/control"
matches "another user" "$(setpriv --reuid=65534 --regid=65534 --clear-groups "$ctl" ls "$db" 2>&1)" \
    "lsmfsctl: $db: the store is mounted, and only its owner and root may use it"
chmod 700 "$db"
python3 - "$db" "$ctl" <<'P' || fail "bytes that make no sense, too many clients"
import os, socket, subprocess, sys
os.chdir(sys.argv[1])
def connect():
    s = socket.socket(socket.AF_UNIX)
    s.connect("control")
    return s
for junk in (b"", b"\0" * 8, b"\xff" * 100, b"\4\0\0\0\1\0\0\0abcd", b"\0\0\0\1\1\0\0\0", b"\1\0\0\0\xff\0\0\0x"):
    s = connect()
    s.sendall(junk)
    s.shutdown(socket.SHUT_WR)
    try:
        while s.recv(4096):
            pass
    except ConnectionResetError: # something was left unread
        pass
crowd = [connect() for i in range(64)]
said = None
for attempt in range(100): # until all have been accepted
    r = subprocess.run([sys.argv[2], "ls", "."], capture_output=True, text=True)
    if r.returncode:
        said = r.stderr
        break
if said != "lsmfsctl: .: too many commands are running on the mounted store\n":
    sys.exit("said: %r" % said)
for s in crowd:
    s.close()
for attempt in range(1000):
    if subprocess.run([sys.argv[2], "ls", "."], capture_output=True).returncode == 0:
        sys.exit(0)
sys.exit("refused for good")
P
checks=$((checks + 1))

# --- unmounting, and a daemon that dies, in the middle of a command
for i in {1..10}; do # the check may end before the unmount has begun
    mountpoint -q "$mnt" || mount_store "$db" "$mnt"
    slow_check
    check "unmount" umount_store "$mnt"
    wait "$slow"
    status=$?
    [ "$status" -ne 0 ] && break
done
same "the status of what was cancelled" "$status" 1
same "what it says" "$(cat slow.err)" "lsmfsctl: cancelled: the store is being unmounted"
check_not "the socket goes" test -e "$db/control"
mount_store "$db" "$mnt"
slow_check
daemon=$(daemon_of "$db")
kill -9 "$daemon"
wait "$slow"
same "the status without a daemon" "$?" 1
same "what it says" "$(cat slow.err)" \
    "lsmfsctl: $db: its daemon has ended: whether all was done is not known"
eventually gone "$daemon"
umount -l "$mnt"
check "a socket without a daemon" test -S "$db/control"
check "reading beside it" "$ctl" get -o /dev/null "$db" /present
mount_store "$db" "$mnt"
same "a new daemon" "$("$ctl" get "$db" /present)" dirty
rm -r "$mnt"/big*
umount_store "$mnt"
check "clean" "$ctl" check "$db"

# --- read-only, long paths
mount_store "$db" "$mnt" -o ro
same "read-only: reading" "$("$ctl" get "$db" /present)" dirty
matches "read-only: writing" "$("$ctl" rm "$db" /present 2>&1)" "*in use by process*mounted on $mnt*"
umount_store "$mnt"
chmod 711 "$live"
chown 65534 "$db"
mount_store "$db" "$mnt"
as_owner() { setpriv --reuid=65534 --regid=65534 --clear-groups "$ctl" "$@" 2>&1; }
same "the store's owner" "$(echo theirs | as_owner put "$db" /theirs; as_owner get "$db" /theirs)" theirs
same "whose files are" "$(stat -c %u "$mnt/theirs")" 65534
mkdir -m 777 "$work/open"
matches "a path that the daemon would open for another user" "$(as_owner checkpoint "$db" "$work/open/copy")" \
    "*mounted by user 0: only they and root can make one"
check_not "no copy" test -e "$work/open/copy"
umount_store "$mnt"

long=$live/$(printf 'x%.0s' {1..200})/$(printf 'y%.0s' {1..200})
mkdir -p "$long"
mount_store "$long/db" "$mnt"
echo far | "$ctl" put "$long/db" /f
same "a long path" "$(cat "$mnt/f"; cd "$long" && "$ctl" get db /f)" $'far\nfar'
umount_store "$mnt"
check "destroy" "$ctl" destroy --yes "$db"
check_not "nothing is left" test -e "$db"
finish
