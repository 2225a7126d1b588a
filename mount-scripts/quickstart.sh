#!/usr/bin/env bash
# From a fresh clone to a mounted store:
#   mount-scripts/quickstart.sh [MOUNTPOINT]
# Installs what is missing, builds, creates a store and mounts it. MOUNTPOINT is ~/lsmfs-demo/mnt
# unless given; LSMFS_DB names another store than ~/lsmfs-demo/db. Running it again mounts what is
# there; nothing is ever overwritten.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$here")
. "$here/packages.sh"

case ${1-} in
-h | --help) sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"; exit 0 ;;
-*) echo "usage: quickstart.sh [MOUNTPOINT]" >&2; exit 2 ;;
esac
[ $# -le 1 ] || { echo "usage: quickstart.sh [MOUNTPOINT]" >&2; exit 2; }
db=${LSMFS_DB:-$HOME/lsmfs-demo/db}
mnt=${1:-$HOME/lsmfs-demo/mnt}

step() { printf '== %s\n' "$*"; }
die() {
    echo "quickstart: $*" >&2
    exit 1
}

step "packages"
packages_install "${packages_build[@]}" || exit 1
[ -e /dev/fuse ] || modprobe fuse 2>/dev/null || true
[ -e /dev/fuse ] || die "there is no /dev/fuse: load the fuse module (in a container: pass the device)"

step "build"
log=$root/build/quickstart.log
mkdir -p "$root/build"
generator=()
[ -f "$root/build/CMakeCache.txt" ] || generator=(-G Ninja -DLSMFS_TESTS=OFF -DLSMFS_BENCH=OFF)
if ! { cmake -S "$root" -B "$root/build" "${generator[@]}" -DCMAKE_BUILD_TYPE=Release &&
    cmake --build "$root/build" -j "$(nproc)" --target lsmfs lsmfsctl; } >"$log" 2>&1; then
    tail -n 30 "$log" >&2
    die "the build failed; all of its output is in $log"
fi

step "mount"
mkdir -p "$mnt" "$(dirname "$db")"
mnt=$(realpath "$mnt")
if [ "$(findmnt -n -o FSTYPE --mountpoint "$mnt")" = fuse.lsmfs ]; then
    echo "$mnt is mounted already"
else
    "$root/build/bin/lsmfs" "$db" "$mnt" || exit 1
fi
db=$(findmnt -n -o SOURCE --mountpoint "$mnt")

cat <<TXT

The store $db is mounted on $mnt. Try it:
  cp -a /usr/include $mnt/
  grep -rl inode $mnt/include | head
  echo hello > $mnt/key && cat $mnt/key
  df -h $mnt

Unmount (returns when everything is on disk):
  $here/umount.lsmfs $mnt
Then, without a mount:
  $root/build/bin/lsmfsctl get $db /key
  $root/build/bin/lsmfsctl check $db
TXT
