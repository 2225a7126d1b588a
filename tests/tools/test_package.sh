#!/usr/bin/env bash
# cpack makes three Debian packages of the build that is there: lintian finds no error in them, dpkg
# installs them into a root directory of their own, a foreign project is built against them, and
# purging leaves nothing behind.
. "$(dirname "$0")/lib.sh"
set -e -o pipefail

for tool in dpkg dpkg-shlibdeps lintian; do
    command -v $tool >/dev/null ||
        { echo "no $tool here; mount-scripts/packages.sh names the package"; exit 77; }
done

cpack --config "$build/CPackConfig.cmake" -G DEB -B "$work/packages" \
    -D CPACK_PACKAGE_CONTACT="Nobody <nobody@debian.org>" >log 2>&1 || die "cpack: $(cat log)"
packages=(packages/*.deb)
printf '%s\n' "${packages[@]##*/}" | sed 's/_.*//' | sort | paste -sd' ' >names
[ "$(cat names)" = "libtinylsm-dev libtinylsm0 lsmfs" ] || die "packages: $(cat names)"

# ---- lintian: no error. It exits with 2 if there is one; the warnings are shown.
lintian --fail-on error --allow-root "${packages[@]}" >lint 2>&1 || die "lintian: $(cat lint)"
cat lint

# ---- what depends on what
field() { dpkg-deb -f packages/"$1"_*.deb "$2"; }
version=$(field lsmfs Version)
[[ ", $(field libtinylsm-dev Depends), " == *", libtinylsm0 (= $version), "* ]] ||
    die "libtinylsm-dev depends on: $(field libtinylsm-dev Depends)"
[[ $(field lsmfs Depends) == *libc6* ]] || die "lsmfs depends on: $(field lsmfs Depends)"
if [ -x "$build/bin/lsmfs" ]; then
    [[ ", $(field lsmfs Depends)" == *", fuse3,"*libfuse3-3* ]] ||
        die "lsmfs depends on: $(field lsmfs Depends)"
fi
dpkg-deb -I packages/libtinylsm0_*.deb shlibs >shlibs
grep -qx "libtinylsm 0 libtinylsm0 (>= $version)" shlibs || die "shlibs: $(cat shlibs)"

# ---- installed, used, purged
mkdir -p rootfs/var/lib/dpkg/{info,updates} bin
: >rootfs/var/lib/dpkg/status
printf '#!/bin/sh\necho called >>%s\n' "$work/ldconfig-log" >bin/ldconfig # the host's cache is not ours
chmod +x bin/ldconfig
in_root() {
    PATH=$work/bin:$PATH:/usr/sbin:/sbin dpkg --root="$work/rootfs" --log=/dev/null --force-not-root \
        --force-depends --force-script-chrootless "$@" >>dpkg-log 2>&1 || die "dpkg $1: $(cat dpkg-log)"
}
in_root --install "${packages[@]}"
[ -s ldconfig-log ] || die "the loader's cache was not renewed"
in_root --verify lsmfs libtinylsm0 libtinylsm-dev
rootfs/usr/bin/lsmfsctl --version
for page in rootfs/usr/share/man/man8/*.8.gz; do gzip -t "$page"; done
for package in lsmfs libtinylsm0 libtinylsm-dev; do
    doc=rootfs/usr/share/doc/$package
    [ -s "$doc/copyright" ] && [ -s "$doc/changelog.gz" ] || die "no copyright or changelog of $package"
done
if [ -x "$build/bin/lsmfs" ]; then
    rootfs/usr/bin/lsmfs --version
    grep -q '^ExecStart=/usr/bin/lsmfs ' rootfs/usr/lib/systemd/system/lsmfs@.service ||
        die "the unit names another program: $(cat rootfs/usr/lib/systemd/system/lsmfs@.service)"
fi
sanitize=$(sed -n 's/^LSMFS_SANITIZE:STRING=//p' "$build/CMakeCache.txt")
cmake -S "$root/tests/foreign" -B foreign "-DCMAKE_PREFIX_PATH=$work/rootfs/usr" \
    "-DEXAMPLE=$root/docs/example.c" ${sanitize:+"-DCMAKE_C_FLAGS=-fsanitize=$sanitize"} >log 2>&1 ||
    die "$(cat log)"
cmake --build foreign >log 2>&1 || die "$(cat log)"
for kind in tinylsm tinylsm_static; do
    "foreign/with_$kind" "$kind.db" >"$kind.out" || die "the foreign program failed"
done
cmp tinylsm.out tinylsm_static.out

in_root --purge lsmfs libtinylsm-dev libtinylsm0
left=$(find rootfs -mindepth 1 -not -path 'rootfs/var*')
[ -z "$left" ] || die "left after purging: $left"
[ -z "$(dpkg-query --admindir=rootfs/var/lib/dpkg -W 2>/dev/null)" ] || die "dpkg still knows of them"
echo "packed, installed, purged"
