#!/usr/bin/env bash
# cmake --install gives programs that run from where they are, and a library that a foreign program
# finds through pkg-config, linked dynamically and statically.
set -eu
build=${LSMFS_BUILD:-$(cd "$(dirname "$0")/../.." && pwd)/build}
work=$(mktemp -d "${TMPDIR:-/tmp}/lsmfs-install.XXXXXX")
trap 'rm -rf "$work"' EXIT
cmake --install "$build" --prefix "$work/usr" >"$work/log" || { cat "$work/log"; exit 1; }
cd "$work"

for program in lsmfs lsmfsctl; do
    [ ! -x "$build/bin/$program" ] || usr/bin/$program --version
done
for helper in mount.lsmfs umount.lsmfs; do
    [ -x usr/sbin/$helper ] || { echo "no sbin/$helper"; exit 1; }
done
[ -f usr/share/man/man8/lsmfsctl.8 ] || { echo "no manual page"; exit 1; }

cat >example.c <<'C'
#include <lsm.h>
#include <stdio.h>
#include <string.h>

int main(void)
{
    struct lsm *db;
    struct lsm_buf value = {0};
    if (lsm_open("example.db", NULL, &db) != LSM_OK ||
        lsm_put(db, NULL, "key", 3, "value", 5) != LSM_OK ||
        lsm_get(db, NULL, "key", 3, &value) != LSM_OK || value.size != 5 ||
        memcmp(value.data, "value", 5) != 0) {
        fprintf(stderr, "%s\n", lsm_error_detail());
        return 1;
    }
    lsm_buf_release(&value);
    return lsm_close(db) == LSM_OK ? 0 : 1;
}
C
sanitize=$(sed -n 's/^LSMFS_SANITIZE:STRING=//p' "$build/CMakeCache.txt")
export PKG_CONFIG_PATH
PKG_CONFIG_PATH=$(dirname "$(find "$work/usr" -name tinylsm.pc)")
# shellcheck disable=SC2046
gcc -Wall -Wextra -Werror ${sanitize:+-fsanitize=$sanitize} example.c -o static \
    $(pkg-config --cflags tinylsm) -Wl,-Bstatic -ltinylsm -Wl,-Bdynamic \
    -L"$(pkg-config --variable=libdir tinylsm)" \
    $(pkg-config --libs --static tinylsm | sed 's/-ltinylsm//')
./static
if [ -n "$(find usr -name 'libtinylsm.so')" ]; then
    # shellcheck disable=SC2046
    gcc -Wall -Wextra -Werror ${sanitize:+-fsanitize=$sanitize} example.c -o dynamic \
        $(pkg-config --cflags --libs tinylsm)
    LD_LIBRARY_PATH=$(pkg-config --variable=libdir tinylsm) ./dynamic
    hidden=$(nm -D --defined-only "$(find usr -name 'libtinylsm.so')" | grep -v ' lsm_' || true)
    [ -z "$hidden" ] || { echo "the shared library shows: $hidden"; exit 1; }
fi
echo "installed and linked"
