#!/usr/bin/env bash
# cmake --install gives programs that run from where they are, units that name them, and a library
# that a foreign project finds through CMake and through pkg-config, linked dynamically and statically.
. "$(dirname "$0")/lib.sh"
set -e -o pipefail
docs=$root/docs
cmake --install "$build" --prefix "$work/usr" >log || die "$(cat log)"

for program in lsmfs lsmfsctl; do
    [ ! -x "$build/bin/$program" ] || usr/bin/$program --version
done
files=(man/man8/lsmfsctl.8 bash-completion/completions/lsmfsctl)
if [ -x "$build/bin/lsmfs" ]; then
    for helper in mount.lsmfs umount.lsmfs umount.fuse.lsmfs; do
        [ -x usr/sbin/$helper ] || { echo "no sbin/$helper"; exit 1; }
        files+=("man/man8/$helper.8")
    done
    files+=(man/man8/lsmfs.8 bash-completion/completions/lsmfs bash-completion/completions/umount.lsmfs
        doc/lsmfs/examples/fstab)
fi
for file in "${files[@]}"; do
    [ -s "usr/share/$file" ] || { echo "no share/$file"; exit 1; }
done

# Units name programs that are there.
if [ -x "$build/bin/lsmfs" ]; then
    units=usr/lib/systemd/system
    for unit in lsmfs@.service lsmfs-snapshots@.service lsmfs-snapshots@.timer; do
        [ -s $units/$unit ] || { echo "no $unit"; exit 1; }
        if grep '@[a-z]*dir@' $units/$unit; then exit 1; fi
    done
    grep -ohE "$work/[^ ]*" $units/* | sort -u >programs
    [ "$(wc -l <programs)" = 3 ] || { echo "programs in units:"; cat programs; exit 1; }
    while IFS= read -r program; do
        [ -x "$program" ] || { echo "a unit names $program"; exit 1; }
    done <programs
    if command -v systemd-analyze >/dev/null; then
        cp $units/lsmfs@.service lsmfs@x.service
        cp $units/lsmfs-snapshots@.service lsmfs-snapshots@x.service
        cp $units/lsmfs-snapshots@.timer lsmfs-snapshots@x.timer
        systemd-analyze verify --man=no ./lsmfs@x.service ./lsmfs-snapshots@x.service \
            ./lsmfs-snapshots@x.timer
    fi
fi

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

# Through CMake, from where the tree lies now.
mv usr moved
cmake -S "$root/tests/foreign" -B foreign "-DCMAKE_PREFIX_PATH=$work/moved" "-DEXAMPLE=$docs/example.c" \
    ${sanitize:+"-DCMAKE_C_FLAGS=-fsanitize=$sanitize"} >log 2>&1 || { cat log; exit 1; }
cmake --build foreign >log 2>&1 || { cat log; exit 1; }
for kind in tinylsm tinylsm_static; do
    "foreign/with_$kind" "$kind.db" | diff - expected
done
ldd foreign/with_tinylsm_static | grep libtinylsm && { echo "not linked statically"; exit 1; }
if cmake -S "$root/tests/foreign" -B other "-DCMAKE_PREFIX_PATH=$work/nowhere" -DEXAMPLE=x >log 2>&1; then
    echo "found where it is not"
    exit 1
fi
echo "installed and linked"
