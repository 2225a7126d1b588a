#!/usr/bin/env bash
# The seam between the engine and the programs, as far as tests/floors.sh cannot see it in the
# sources: what the programs call of the engine is lsm_* or in base/, the library has nothing that
# only tests need, and on a machine without libfuse3 everything but the mount is built and installed.
. "$(dirname "$0")/lib.sh"
set -e -o pipefail

# ---- what the archives define and call
defined() { nm --defined-only "$@" 2>/dev/null | awk 'NF == 3 && $2 ~ /[A-Z]/ { print $3 }' | sort -u; }
called() { nm -u "$@" 2>/dev/null | awk '$1 == "U" { print $2 }' | sort -u; }

mapfile -t base < <(find "$build/CMakeFiles/lsmbase.dir" -name '*.o')
[ ${#base[@]} -ge 3 ] || die "no objects of base in $build"
defined "${base[@]}" >base
defined "$build/lib/libtinylsm.a" >library
comm -23 library base | grep -v '^lsm_' >inner || true
[ "$(wc -l <inner)" -gt 100 ] || die "the library defines next to nothing"
programs=("$build"/lib/liblsm*.a)
mapfile -t -O ${#programs[@]} programs < <(find "$build/CMakeFiles/lsmfsctl.dir" "$build/CMakeFiles/lsmfs.dir" \
    -name '*.o' 2>/dev/null)
called "${programs[@]}" >called
grep -qx lsm_open called || die "nobody calls lsm_open"
comm -12 inner called >through
[ ! -s through ] || die "the programs call what is inside the engine: $(tr '\n' ' ' <through)"

ar t "$build/lib/libtinylsm.a" | sed 's/\.o$//' | sort >members
(cd "$root/storage" && find . -name '*.c' -printf '%f\n') | sort | diff - members ||
    die "the library is not what storage/ has"

# ---- without libfuse3 (and without liburing, which only the mount needs)
mkdir bin
cat >bin/pkg-config <<TXT
#!/bin/sh
case " \$* " in *fuse3* | *liburing*) exit 1 ;; esac
exec $(command -v pkg-config) "\$@"
TXT
chmod +x bin/pkg-config
configure() { # directory, more arguments
    PATH=$work/bin:$PATH cmake -S "$root" -B "$1" -DCMAKE_BUILD_TYPE=Debug -DLSMFS_TESTS=OFF \
        -DLSMFS_BENCH=OFF -DLSMFS_SHARED=OFF "${@:2}" >"$1.log" 2>&1
}
! configure on -DLSMFS_FUSE=ON || die "LSMFS_FUSE=ON was satisfied without libfuse3"
! configure odd -DLSMFS_FUSE=perhaps || die "LSMFS_FUSE=perhaps was accepted"
grep -q "LSMFS_FUSE is AUTO, ON or OFF" odd.log || die "$(cat odd.log)"
configure auto -G Ninja -DCMAKE_C_FLAGS=-O0 || die "$(cat auto.log)"
[ "$(grep '^-- Without' auto.log)" = \
    "-- Without libfuse3: left out are lsmfs, its mount helpers and the tests of mounts" ] ||
    die "what is left out is not said in one line: $(cat auto.log)"
cmake --build auto >auto.log 2>&1 || die "$(tail -n 30 auto.log)"
cmake --install auto --prefix "$work/usr" >auto.log || die "$(cat auto.log)"
usr/bin/lsmfsctl put --help >/dev/null
usr/bin/lsmfsctl mkdir --create db /folder
[ "$(usr/bin/lsmfsctl ls db)" = folder ] || die "lsmfsctl does not work"
# What speaks of the mount is not there.
find usr -type f -printf '%P\n' | grep -E 'mount|(^|/)lsmfs(\.8|@.*)?$' && die "the mount was installed"
ldd usr/bin/lsmfsctl | grep fuse && die "lsmfsctl needs libfuse"
echo "the seam holds"
