# A Ceph cluster of one machine for the tests in this folder: a monitor, a manager and three object
# daemons on loopback, each with a file of 4 GiB (sparse), with a pool named "test". Source it after
# fuse/lib.sh (cluster_on_disk=1: the files are on the disk in any case):
#   cluster_start    in $work/ceph; sets CEPH_CONF. Status 1, with words, where it cannot be had
#   osd_kill ID      kill -9 of an object daemon
#   osd_start ID     starts it again
#   mon_kill, mon_start: the same for the monitor
# At the end of the test its processes are ended by their pids, before $work is removed.
# shellcheck shell=bash disable=SC2154 # $work is lib.sh's
cluster=$work/ceph
disks=$cluster # where the object daemons keep their files
osds=3

# An object daemon syncs each write, which on a busy disk is most of what the tests wait for, and what a
# tmpfs keeps survives kill -9. They write about 1 GiB; where memory has not several times as much, or
# the tmpfs cannot be opened with O_DIRECT (before Linux 6.6), they stay on the disk.
disks_in_memory() {
    local free
    free=$(sed -n 's/^MemAvailable: *\([0-9]*\) kB/\1/p' /proc/meminfo)
    [ "${free:-0}" -gt $((8 << 20)) ] && [ "$(df --output=avail /dev/shm 2>/dev/null | tail -n 1)" -gt $((6 << 20)) ] ||
        return 0
    disks=$(mktemp -d /dev/shm/lsmfs-test.XXXXXX) || { disks=$cluster; return; }
    dd if=/dev/zero of="$disks/probe" bs=4096 count=1 oflag=direct 2>/dev/null && rm "$disks/probe" && return
    rm -rf "$disks"
    disks=$cluster
}

cluster_programs() {
    local program missing=
    for program in ceph-mon ceph-mgr ceph-osd ceph rados monmaptool; do
        command -v "$program" >/dev/null || missing+=" $program"
    done
    [ -z "$missing" ] && return 0
    echo "skipped: no Ceph here to start a cluster from; missing:$missing"
    return 1
}

# The pids that its daemons have written down and that are theirs still.
cluster_pids() {
    local file pid
    for file in "$cluster"/run/*.pid; do
        [ -s "$file" ] && read -r pid <"$file" || continue
        case $(readlink "/proc/$pid/exe" 2>/dev/null) in */ceph-*) echo "$pid" ;; esac
    done
}

cluster_stop() {
    local pids
    pids=$(cluster_pids)
    # shellcheck disable=SC2086 # a list of numbers
    [ -z "$pids" ] || kill -9 $pids
}

# A port that nobody listens on, below those that the kernel gives to whoever connects. Another program
# may take it before the monitor does: monitor_start tries others then.
free_port() {
    local port first last
    read -r last _ </proc/sys/net/ipv4/ip_local_port_range
    [ "$last" -gt 12000 ] || last=32768
    first=$((last - 10000))
    for ((port = first + RANDOM % 9000; ; port++)); do
        (exec 9<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || break
    done
    echo "$port"
}

# Of the manager only its figures are used: without its modules it starts in a tenth of the time. The
# monitor gathers changes for a second, unless it is told not to.
write_conf() {
    local port
    port=$(free_port)
    cat >"$cluster/ceph.conf" <<CONF
[global]
fsid = $(cat /proc/sys/kernel/random/uuid)
mon host = v1:127.0.0.1:$port
public addr = 127.0.0.1
ms bind msgr2 = false
auth cluster required = none
auth service required = none
auth client required = none
run dir = $cluster/run
log file = $cluster/log/\$name.log
osd pool default size = $osds
osd pool default min size = 1
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool delete = true
mon osd down out interval = 600
[mon]
mon data = $cluster/mon
mon data avail crit = 0
mon data avail warn = 0
paxos propose interval = 0.05
[mgr]
mgr data = $cluster/mgr
mgr disabled modules = $(cd /usr/share/ceph/mgr 2>/dev/null && printf '%s,' *)
[osd]
osd data = $disks/osd.\$id
osd objectstore = bluestore
bluestore block size = 4294967296
bluestore block create = true
osd memory target = 939524096
osd op num shards = 2
osd class update on start = false
osd crush update on start = false
osd heartbeat interval = 1
osd heartbeat grace = 5
mon osd min down reporters = 1
[client]
log file =
admin socket =
pid file =
CONF
    # After [client], which has none: only daemons have these.
    sed -i "s|^\[mon\]|&\npid file = $cluster/run/\$name.pid\nadmin socket = $cluster/run/\$name.asok|
            s|^\[mgr\]|&\npid file = $cluster/run/\$name.pid\nadmin socket = $cluster/run/\$name.asok|
            s|^\[osd\]|&\npid file = $cluster/run/\$name.pid\nadmin socket = $cluster/run/\$name.asok|" \
        "$cluster/ceph.conf"
}

osd_start() { ceph-osd -i "$1" -c "$CEPH_CONF" >>"$cluster/log/start" 2>&1; }
osd_kill() { kill -9 "$(cat "$cluster/run/osd.$1.pid")"; }
mon_start() { ceph-mon -i a -c "$CEPH_CONF" >>"$cluster/log/start" 2>&1; }
mon_kill() { kill -9 "$(cat "$cluster/run/mon.a.pid")"; }

# ask COMMAND...: what the monitor is asked, each as JSON, and its answers. They must do no harm when they
# are done twice. Ceph's own `ceph` takes a second of processor time for each command. A client (16.2)
# can send its first one before the monitor's answer has told it which cluster this is; the monitor refuses
# that ("wrong fsid", EPERM), so each is tried five times. The interpreter is the one of Ceph's package.
ask() {
    /usr/bin/python3 - "$CEPH_CONF" "$@" <<'PY'
import rados, sys, time

def ask(command):
    for _ in range(5):
        try:
            with rados.Rados(conffile=sys.argv[1]) as cluster:
                status, answer, words = cluster.mon_command(command, b"")
            if not status:
                return answer.decode()
        except rados.Error as error:
            status, words = error, ""
        print("failed:", command, status, words, file=sys.stderr)
        time.sleep(0.5)
    sys.exit(1)

for command in sys.argv[2:]:
    print(ask(command))
PY
}

cluster_is_clean() { ask '{"prefix": "pg stat"}' 2>/dev/null | grep -qE '^([0-9]+) pgs: \1 active\+clean;'; }

# pool_quota BYTES: what the pool can hold; 0: anything. The cluster learns of it some seconds later.
pool_quota() {
    ask '{"prefix": "osd pool set-quota", "pool": "test", "field": "max_bytes", "val": "'"$1"'"}'
}

# A monitor of a new cluster, with another port if it could not start.
monitor_start() {
    local fsid try
    for try in 1 2 3; do
        rm -rf "${cluster:?}/mon" "$cluster/monmap"
        mkdir "$cluster/mon"
        write_conf
        fsid=$(sed -n 's/^fsid = //p' "$CEPH_CONF")
        monmaptool --create --fsid "$fsid" --addv a "[$(sed -n 's/^mon host = //p' "$CEPH_CONF")]" \
            "$cluster/monmap" &&
            ceph-mon -i a --mkfs --monmap "$cluster/monmap" --keyring /dev/null -c "$CEPH_CONF" &&
            touch "$cluster/mon/keyring" && ceph-mon -i a -c "$CEPH_CONF" && return
        echo "try $try of starting a monitor failed"
    done
    return 1
}

# osd_make ID UUID: an object daemon that the monitor knows of.
osd_make() {
    ceph-osd -i "$1" --mkfs --osd-uuid "$2" -c "$CEPH_CONF" && osd_start "$1"
}

cluster_make() {
    local id uuid commands=() making=() status=0
    monitor_start || return
    ceph-mgr -i x -c "$CEPH_CONF" &
    making=($!)
    for ((id = 0; id < osds; id++)); do
        read -r uuid </proc/sys/kernel/random/uuid
        commands+=('{"prefix": "osd new", "uuid": "'"$uuid"'", "id": '"$id"'}')
        commands+=('{"prefix": "osd crush add", "id": '"$id"', "weight": 1.0, "args": ["root=default"]}')
        mkdir -p "$disks/osd.$id"
        echo "$uuid" >"$cluster/uuid.$id"
    done
    ask "${commands[@]}" '{"prefix": "osd pool create", "pool": "test", "pg_num": 8}' \
        '{"prefix": "osd pool application enable", "pool": "test", "app": "lsmfs"}' || return
    for ((id = 0; id < osds; id++)); do
        osd_make "$id" "$(cat "$cluster/uuid.$id")" &
        making+=($!)
    done
    for id in "${making[@]}"; do
        wait "$id" || status=1
    done
    return $status
}

# What there is to read when a cluster does not start.
cluster_words() {
    local log
    for log in "$cluster/log/start" "$cluster"/log/*.log; do
        [ -s "$log" ] || continue
        echo "--- the end of ${log##*/}:"
        tail -n 15 "$log" | cut -c 1-300
    done
    echo "--- ceph -s:"
    timeout 20 ceph -s 2>&1 | head -n 30
}

cluster_start() {
    cluster_programs || return
    mkdir -p "$cluster"/{mgr,log,run}
    export CEPH_CONF=$cluster/ceph.conf
    trap 'cleanup_mounts_first' EXIT
    [ -n "${cluster_on_disk-}" ] || disks_in_memory
    if ! cluster_make >>"$cluster/log/start" 2>&1 || ! eventually cluster_is_clean; then
        echo "the cluster does not start; what its programs said last:"
        cluster_words
        fail "cluster_start"
        finish
    fi
}

# Mounts go before the cluster that they need, else their daemons wait for it.
cleanup_mounts_first() {
    local m pid
    cd /
    while read -r m; do
        umount -i -l "$m" 2>/dev/null
    done < <(mounts_in_work)
    for pid in "${daemons[@]}"; do
        [ "$(readlink "/proc/$pid/exe" 2>/dev/null)" = "$lsmfs" ] && kill -9 "$pid"
    done
    cluster_stop
    [ "$disks" = "$cluster" ] || rm -rf --one-file-system "$disks"
    cleanup
}

daemons=()

# mount_remote STORE MOUNTPOINT [lsmfs arguments]; sets $daemon to the pid.
mount_remote() {
    mount_store "$@"
    daemon=$(daemon_at "$2")
    daemons+=("$daemon")
}

# The daemon that serves a mount, by its command line.
daemon_at() {
    local dir comm
    for dir in /proc/[0-9]*; do
        { read -r comm <"$dir/comm"; } 2>/dev/null && [ "$comm" = lsmfs ] || continue # no fork for the rest
        [ "$(readlink "$dir/exe" 2>/dev/null)" = "$lsmfs" ] || continue
        tr '\0' '\n' <"$dir/cmdline" 2>/dev/null | grep -qxF -- "$1" && echo "${dir#/proc/}" && return
    done
}
