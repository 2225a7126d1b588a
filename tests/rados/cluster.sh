# A Ceph cluster of one machine for the tests in this folder: a monitor, a manager and three object
# daemons on loopback, each with a file of 4 GiB (sparse), with a pool named "test". Source it after
# fuse/lib.sh:
#   cluster_start    in $work/ceph; sets CEPH_CONF. Status 1, with words, where it cannot be had
#   osd_kill ID      kill -9 of an object daemon
#   osd_start ID     starts it again
# At the end of the test its processes are ended by their pids, before $work is removed.
# shellcheck shell=bash disable=SC2154 # $work is lib.sh's
cluster=$work/ceph
osds=3

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

# A port that nobody listens on.
free_port() {
    local port
    for ((port = 21000 + RANDOM % 20000; ; port++)); do
        (exec 9<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || break
    done
    echo "$port"
}

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
[mgr]
mgr data = $cluster/mgr
[osd]
osd data = $cluster/osd.\$id
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

cluster_is_clean() { ceph pg stat 2>/dev/null | grep -qE '^([0-9]+) pgs: \1 active\+clean;'; }

cluster_make() {
    local fsid id uuid
    fsid=$(sed -n 's/^fsid = //p' "$CEPH_CONF")
    monmaptool --create --fsid "$fsid" --addv a "[$(sed -n 's/^mon host = //p' "$CEPH_CONF")]" \
        "$cluster/monmap" || return
    ceph-mon -i a --mkfs --monmap "$cluster/monmap" --keyring /dev/null -c "$CEPH_CONF" || return
    touch "$cluster/mon/keyring"
    ceph-mon -i a -c "$CEPH_CONF" || return
    ceph-mgr -i x -c "$CEPH_CONF" || return
    for ((id = 0; id < osds; id++)); do
        mkdir -p "$cluster/osd.$id"
        uuid=$(cat /proc/sys/kernel/random/uuid)
        ceph osd new "$uuid" "$id" || return
        ceph-osd -i "$id" --mkfs --osd-uuid "$uuid" -c "$CEPH_CONF" || return
        ceph osd crush add "osd.$id" 1.0 root=default || return
        osd_start "$id" || return
    done
    ceph osd pool create test 8 && ceph osd pool application enable test lsmfs
}

cluster_start() {
    cluster_programs || return
    mkdir -p "$cluster"/{mon,mgr,log,run}
    export CEPH_CONF=$cluster/ceph.conf
    trap 'cleanup_mounts_first' EXIT
    write_conf
    if ! cluster_make >>"$cluster/log/start" 2>&1 || ! eventually cluster_is_clean; then
        echo "the cluster does not start; what its programs said last:"
        tail -n 5 "$cluster/log/start"
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
    local dir pid
    for dir in /proc/[0-9]*; do
        pid=${dir#/proc/}
        [ "$(readlink "$dir/exe" 2>/dev/null)" = "$lsmfs" ] || continue
        tr '\0' '\n' <"$dir/cmdline" 2>/dev/null | grep -qxF -- "$1" && echo "$pid" && return
    done
}
