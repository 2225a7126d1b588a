#!/usr/bin/env bash
# cmake --install gives programs that run from where they are, and a library that a foreign program
# finds through pkg-config, linked dynamically and statically.
set -eu -o pipefail
build=${LSMFS_BUILD:-$(cd "$(dirname "$0")/../.." && pwd)/build}
docs=$(cd "$(dirname "$0")/../.." && pwd)/docs
work=$(mktemp -d "${TMPDIR:-/tmp}/lsmfs-install.XXXXXX")
trap 'rm -rf "$work"' EXIT
cmake --install "$build" --prefix "$work/usr" >"$work/log" || { cat "$work/log"; exit 1; }
cd "$work"

for program in lsmfs lsmfsctl; do
    [ ! -x "$build/bin/$program" ] || usr/bin/$program --version
done
for helper in mount.lsmfs umount.lsmfs umount.fuse.lsmfs; do
    [ -x usr/sbin/$helper ] || { echo "no sbin/$helper"; exit 1; }
done
[ -f usr/share/man/man8/lsmfsctl.8 ] || { echo "no manual page"; exit 1; }

# The program of docs/embedding.md, which shows it whole.
cp "$docs/example.c" example.c
sed -n '/^```c$/,/^```$/{/^```/!p}' "$docs/embedding.md" | diff - example.c
sed -n '/^```text$/,/^```$/{/^```/!p}' "$docs/embedding.md" >expected
sanitize=$(sed -n 's/^LSMFS_SANITIZE:STRING=//p' "$build/CMakeCache.txt")
export PKG_CONFIG_PATH
PKG_CONFIG_PATH=$(dirname "$(find "$work/usr" -name tinylsm.pc)")
# shellcheck disable=SC2046
gcc -Wall -Wextra -Werror ${sanitize:+-fsanitize=$sanitize} example.c -o static \
    $(pkg-config --cflags tinylsm) -Wl,-Bstatic -ltinylsm -Wl,-Bdynamic \
    -L"$(pkg-config --variable=libdir tinylsm)" \
    $(pkg-config --libs --static tinylsm | sed 's/-ltinylsm//')
./static static.db | diff - expected
if [ -n "$(find usr -name 'libtinylsm.so')" ]; then
    # shellcheck disable=SC2046
    gcc -Wall -Wextra -Werror ${sanitize:+-fsanitize=$sanitize} example.c -o dynamic \
        $(pkg-config --cflags --libs tinylsm)
    LD_LIBRARY_PATH=$(pkg-config --variable=libdir tinylsm) ./dynamic dynamic.db | diff - expected
    hidden=$(nm -D --defined-only "$(find usr -name 'libtinylsm.so')" | grep -v ' lsm_' || true)
    [ -z "$hidden" ] || { echo "the shared library shows: $hidden"; exit 1; }
fi
echo "installed and linked"
