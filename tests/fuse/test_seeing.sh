#!/usr/bin/env bash
# What a mount shows of itself: stats, metrics, top, and the log of slow requests.
. "$(dirname "$0")/lib.sh"
cd "$work" || exit 1
mnt=$work/mnt\"q db=$work/db
ctl=$bin/lsmfsctl

count_of() { # operation: how many requests of it there were
    "$ctl" metrics "$db" | sed -n "s/^lsmfs_request_duration_seconds_count{operation=\"$1\"} //p"
}

# --- not mounted
"$ctl" mkdir -c "$db" /d
check "metrics of a store" eval '"$ctl" metrics "$db" >out'
check "their format" python3 "$here/exposition.py" <out
check "not mounted" grep -qx 'lsmfs_mounted 0' out
check_not "top without a mount" "$ctl" top "$db"
same "no mount in stats" "$("$ctl" stats "$db" | grep -c '^mount')" 0

# --- counts
mount_store "$db" "$mnt"
for i in {1..50}; do mkdir "$mnt/d/dir$i"; done
head -c 1000000 /dev/urandom >"$mnt/d/file"
sync -f "$mnt/d"
for i in {1..7}; do rmdir "$mnt/d/dir$i"; done
# A request is counted a moment after its answer.
are_counted() { [ "$(count_of mkdir) $(count_of rmdir)" = "50 7" ]; }
check "all are counted" eventually are_counted
check "stats" eval '"$ctl" stats "$db" >out'
check "where it is mounted" grep -qF "mount        $mnt; transport " out
same "mkdir" "$(awk '$1 == "mkdir" { print $2 }' out)" 50
same "rmdir" "$(awk '$1 == "rmdir" { print $2 }' out)" 7
same "rmdir in metrics" "$(count_of rmdir)" 7
same "bytes written" "$(awk '$1 == "content" { print $5 }' out)" 1000000
check "a table of operations" grep -qE '^operation +requests +a second +errors +p50 us +p99 us$' out
check "metrics of a mount" eval '"$ctl" metrics "$db" >out'
check "format of a mount's metrics" python3 "$here/exposition.py" <out
check "mounted" grep -qx 'lsmfs_mounted 1' out
check "a mount point with a quote" grep -qF "mountpoint=\"$work/mnt\\\"q\"" out
umount_store "$mnt"

# The checker itself notices what is wrong.
bad() { check_not "$1" python3 "$here/exposition.py" <<<"$2"; }
help=$'# HELP lsmfs_a A.\n'
check "a sound metric" python3 "$here/exposition.py" <<<"$help"$'# TYPE lsmfs_a gauge\nlsmfs_a 1' >/dev/null
bad "no type" "$help"'lsmfs_a 1'
bad "a counter without _total" "$help"$'# TYPE lsmfs_a counter\nlsmfs_a 1'
bad "twice" "$help"$'# TYPE lsmfs_a gauge\nlsmfs_a 1\nlsmfs_a 2'
bad "a quote in a label" "$help"$'# TYPE lsmfs_a gauge\nlsmfs_a{b="c"d"} 1'
bad "no number" "$help"$'# TYPE lsmfs_a gauge\nlsmfs_a x'
bad "a histogram that falls" "$help"$'# TYPE lsmfs_a histogram\nlsmfs_a_bucket{le="1"} 2
lsmfs_a_bucket{le="+Inf"} 1\nlsmfs_a_sum 1\nlsmfs_a_count 1'

# --- top: blocks where there is no terminal, the whole screen where there is one
mount_store "$db" "$mnt"
(while [ ! -e stop ]; do stat "$mnt/d/dir9" >/dev/null; touch "$mnt/d/file"; done) &
busy=$!
check "top twice" eval '"$ctl" top -n 2 "$db" >out </dev/null'
same "two blocks" "$(grep -c '^mount ' out)" 2
check "operations in it" grep -q '^setattr ' out
check "top on a terminal" python3 - "$ctl" "$db" <<'PY'
import fcntl, os, pty, select, signal, struct, sys, termios, time

def run(end):
    """top on a terminal of 10 lines, 40 columns, until it has drawn; then end(pid, terminal)."""
    pid, terminal = pty.fork()
    if pid == 0:
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 10, 40, 0, 0))
        signal.signal(signal.SIGINT, lambda *_: None)
        before = termios.tcgetattr(0)
        child = os.spawnv(os.P_NOWAIT, sys.argv[1], [sys.argv[1], "top", sys.argv[2]])
        os.write(1, b"PID %d\n" % child)
        status = os.waitpid(child, 0)[1]
        same = termios.tcgetattr(0) == before
        os.write(1, b"\nEND %d %d\n" % (os.waitstatus_to_exitcode(status), same))
        os._exit(0)
    shown, ended, deadline = b"", False, time.monotonic() + 60
    while time.monotonic() < deadline and b"\nEND" not in shown:
        if select.select([terminal], [], [], 0.2)[0]:
            try:
                shown += os.read(terminal, 65536)
            except OSError:
                break
        if b"operation" in shown and shown.rstrip().endswith(b"\033[J") and not ended:
            ended = True
            end(int(shown.split(b"PID ")[1].split()[0]), terminal)
    os.waitpid(pid, 0)
    os.close(terminal)
    assert shown.count(b"\033[?1049h") == 1 and shown.count(b"\033[?1049l") == 1, shown
    assert shown.index(b"\033[?1049h") < shown.index(b"operation") < shown.index(b"\033[?1049l")
    frame = shown.split(b"\033[H")[1].split(b"\033[J")[0].replace(b"\033[K", b"").split(b"\r\n")
    assert len(frame) <= 10 and max(map(len, frame)) <= 40, frame
    status, same = shown.split(b"\nEND ")[1].split()[:2]
    assert same == b"1", "the terminal is not as it was"
    assert status == b"0", status

run(lambda pid, terminal: os.write(terminal, b"q"))
run(lambda pid, terminal: os.write(terminal, b"\003")) # Ctrl-C
run(lambda pid, terminal: os.kill(pid, signal.SIGTERM))
PY
touch stop
wait $busy
umount_store "$mnt"

# --- slow requests: one that is being served while its daemon is stopped for a moment
check_not "slow_ms of no number" "$lsmfs" -o slow_ms=x "$db" "$mnt"
mkdir "$work/slow"
"$lsmfs" -f -o slow_ms=200 "$db" "$work/slow" 2>log &
daemon=$!
eventually mounted "$work/slow" || fail "not mounted in the foreground"
mv "$work/slow/d" "$work/slow/moved"
ln "$work/slow/moved/file" "$work/slow/other" # its record is no longer in its entry
hammer() { # writes, with a request each
    python3 -c 'import os, sys
fd = os.open(sys.argv[1], os.O_WRONLY)
while not os.path.exists(sys.argv[2]): os.pwrite(fd, b"x" * 100000, 0); os.fsync(fd)' \
        "$work/slow/moved/file" "$work/stop2"
}
hammer &
busy=$!
slow='slow: (write|fsync|setattr|getattr) (/moved/file|/other): [0-9]+ ms: ([a-z ]+ [0-9]+ ms, )*other [0-9]+ ms'
for ((i = 0; i < 60; i++)); do # on a busy machine others may be slow first
    grep -qE "$slow" log && break
    kill -STOP $daemon
    sleep 0.3
    kill -CONT $daemon
    sleep 0.05
done
touch stop2
wait $busy
check "a slow request in the log, with its path" grep -qE "$slow" log
umount_store "$work/slow"
wait $daemon
finish
