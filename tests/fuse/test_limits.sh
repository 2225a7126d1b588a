#!/usr/bin/env bash
# Limits of the shell that mounts: open files, and the size of a file. They must not end the daemon,
# nor its store.
. "$(dirname "$0")/lib.sh"

which=$(command -v setpriv) || { echo "skipped: there is no setpriv, to give up raising limits"; exit 77; }
without=("$which" --bounding-set=-sys_resource --inh-caps=-sys_resource)
[ "$(id -u)" -eq 0 ] || without=()

# limited OPTION VALUE COMMAND...
limited() (
    ulimit "$1" "$2" && shift 2 && exec "${without[@]}" "$@"
)

# ---- few open files, and caches that would take many
mkdir "$work/m"
check "mount" limited -n 64 "$lsmfs" "$work/db" "$work/m" -o write_buffer=1M,max_open_tables=1000
pid=$(daemon_of "$work/db")
for ((i = 0; i < 40; i++)); do
    mkdir "$work/m/$i" && head -c 1500000 /dev/urandom >"$work/m/$i/large" || fail "write $i"
    for ((k = 0; k < 50; k++)); do
        head -c 700 /dev/urandom >"$work/m/$i/$k" || fail "write $i/$k"
    done
    [ $((i % 10)) -ne 0 ] || sync -f "$work/m" || fail "sync"
done
want=$(cd "$work/m" && find . -type f -print0 | sort -z | xargs -0 sha256sum)
echo 3 >/proc/sys/vm/drop_caches 2>/dev/null
same "content under the limit" "$(cd "$work/m" && find . -type f -print0 | sort -z |
    xargs -0 sha256sum)" "$want"
files=("/proc/$pid/fd/"*)
check "fewer files are open than may be (${#files[@]})" [ "${#files[@]}" -lt 64 ]
check "still writable" touch "$work/m/still"
check "unmount" umount_store "$work/m"
same "check" "$("$bin/lsmfsctl" check -q "$work/db" 2>&1)" "$work/db: no problem found"

# ---- files of 4 MiB at most
check "mount" limited -f 4096 "$lsmfs" "$work/db2" "$work/m"
pid=$(daemon_of "$work/db2")
check "a small file" cp "$root/README.md" "$work/m/small"
check "sync" sync "$work/m/small"
head -c 200000000 /dev/urandom >"$work/m/large" 2>/dev/null
sync -f "$work/m" 2>/dev/null
check "the daemon lives" running "$pid"
same "content" "$(sha256sum <"$work/m/small")" "$(sha256sum <"$root/README.md")"
check "deleting works" rm "$work/m/large"
umount_store "$work/m" || fail "unmount"
mount_store "$work/db2" "$work/m"
same "content without the limit" "$(sha256sum <"$work/m/small")" "$(sha256sum <"$root/README.md")"
check "writable without the limit" cp "$root/README.md" "$work/m/again"
check "unmount" umount_store "$work/m"
same "check" "$("$bin/lsmfsctl" check -q "$work/db2" 2>&1)" "$work/db2: no problem found"

# ---- the tool
check "lsmfsctl" limited -f 64 "$bin/lsmfsctl" put "$work/db2" /x "$root/README.md"
finish
