#!/usr/bin/env bash
# lsmfsctl watch: nothing is lost, nobody waits for a watcher, who falls behind is told.
. "$(dirname "$0")/lib.sh"
cd "$work" || exit 1
mnt=$work/mnt db=$work/db ctl=$bin/lsmfsctl

"$ctl" mkdir -cp "$db" /kept/sub
same "not mounted" "$("$ctl" watch "$db" 2>&1)" "lsmfsctl: $db: not mounted: nothing changes"
same "no store" "$("$ctl" watch "$db.not" 2>&1)" "lsmfsctl: $db.not does not exist"
mount_store "$db" "$mnt"
check_not "no such snapshot" "$ctl" watch --from nothing "$db"
"$ctl" watch "$db" relative >out 2>&1
same "a path without a slash" $? 2
"$ctl" snapshot create "$db" first
echo 1 >"$mnt/before"

pids=()
watch() { # file, arguments
    local file=$1
    shift
    "$ctl" watch "$@" >"$file" 2>"$file.err" &
    pids+=($!)
}
watch all --from first "$db"
watch below --from first "$db" /kept/
watch nuls -0 --from first "$db"
watch json --json --from first "$db"
eventually grep -qx '+ /before' all || fail "what was before the watcher: $(cat all all.err)"
has() { eventually grep -qxF -- "$2" "$1" || fail "$1 lacks '$2': $(tail -n 3 "$1")"; }
echo 2 >"$mnt/kept/new"
has all '+ /kept/new'
mv "$mnt/kept/sub" "$mnt/moved"
has all 'R /kept/sub -> /moved'
echo 3 >"$mnt/moved/inside"
has all '+ /moved/inside'
rm "$mnt/before"
has all '- /before'
has below '+ /kept/new'
has below 'R /kept/sub -> /moved'
same "only what is below" "$(grep -cE '/before|/moved/inside' below)" 0
eventually grep -q '"old_path":"/kept/sub"' json || fail "JSON: $(cat json)"
same "zero bytes" "$(tr '\0' '\n' <nuls | grep -cxE 'R /kept/sub|/moved')" 2

# --- a storm of changes: the inodes and names that are left are those that were told of
python3 - "$mnt" <<'PY'
import os, random, sys
random.seed(5)
os.chdir(sys.argv[1])
os.mkdir("storm")
dirs, files, n = ["storm"], [], 0
for _ in range(6000):
    n += 1
    what = random.randrange(10)
    if what < 4:
        files.append((random.choice(dirs), "f%d" % n))
        open("/".join(files[-1]), "w").close()
    elif what < 5:
        d = "%s/d%d" % (random.choice(dirs), n)
        if d.count("/") < 6:
            os.mkdir(d)
            dirs.append(d)
    elif files and what < 7:
        os.unlink("/".join(files.pop(random.randrange(len(files)))))
    elif files and what < 9:
        old, new = files.pop(random.randrange(len(files))), (random.choice(dirs), "r%d" % n)
        os.rename("/".join(old), "/".join(new))
        files.append(new)
    elif len(dirs) > 1:
        old = random.choice(dirs[1:])
        new = "storm/m%d" % n
        os.rename(old, new)
        move = lambda d: new + d[len(old):] if d == old or d.startswith(old + "/") else d
        dirs, files = [move(d) for d in dirs], [(move(d), f) for d, f in files]
PY
touch "$mnt/last"
has all '+ /last'

# --- while nothing happens nobody is woken
switches() { # of the watchers' threads
    local task name
    for task in "/proc/$(daemon_of "$db")"/task/*; do
        read -r name <"$task/comm"
        case $name in lsmfs-watch | lsmfs-control) grep ctxt_switches "$task/status" ;; esac
    done
}
rests() { # for half a second
    local before
    before=$(switches)
    sleep 0.5
    [ -n "$before" ] && [ "$(switches)" = "$before" ]
}
check "nobody is woken while nothing happens" eventually rests
touch "$mnt/after"
has all '+ /after'
eventually grep -q '"path":"/after"' json || fail "JSON lacks the last"
check "what was told is what there is" python3 - "$mnt" json <<'PY'
import json, os, sys
told = {}
for line in open(sys.argv[2]):
    change = json.loads(line)
    if change["change"] in ("create", "rename"):
        told[change["inode"]] = os.path.basename(change["path"])
    elif change["change"] == "remove":
        del told[change["inode"]]
there = {}
for top, dirs, files in os.walk(sys.argv[1]):
    for name in dirs + files:
        there[os.lstat(os.path.join(top, name)).st_ino] = name
del there[os.lstat(sys.argv[1] + "/kept").st_ino] # from before the snapshot
told = {ino: name for ino, name in told.items()}
assert told == there, (len(told), len(there), set(told.items()) ^ set(there.items()))
PY

# --- one that does not read is told to start over, and holds up nobody
watch slow "$db"
slow=${pids[-1]}
# It watches once it tells of something.
watched() { touch "$mnt/touched$((++touches))"; grep -q touched slow; }
touches=0
eventually watched || fail "no watcher"
kill -STOP "$slow"
mkdir "$mnt/many"
# More than is kept for watchers; in pieces, since all are told to start over where as much is
# written between two looks.
for piece in {1..8}; do
    python3 - "$mnt/many" "$piece" <<'PY'
import os, sys
os.chdir(sys.argv[1])
for i in range(3000):
    os.mknod("%s.%06d%s" % (sys.argv[2], i, "x" * 220))
PY
    touch "$mnt/behind$piece" "$mnt/kept/behind$piece"
    has all "+ /behind$piece"
    has below "+ /kept/behind$piece"
done
kill -CONT "$slow"
wait "$slow"
same "status of one that has fallen behind" $? 1
same "its last line" "$(tail -n 1 slow)" "! start over"
same "the others go on" "$(grep -c 'start over' all below)" $'all:0\nbelow:0'

# --- the last watcher takes the thread with it; the end of the mount ends watchers
daemon=$(daemon_of "$db")
watches() { cat "/proc/$daemon/task/"*/comm | grep -qx lsmfs-watch; }
check "a thread" watches
kill "${pids[@]:0:4}" 2>/dev/null
no_thread() { ! watches; }
check "no thread without a watcher" eventually no_thread
watch until_the_end --from first "$db"
has until_the_end '+ /last'
umount_store "$mnt"
wait "${pids[-1]}"
same "status at the end of the mount" $? 1
check "the store" "$ctl" check -q "$db"
finish
