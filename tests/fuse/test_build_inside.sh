#!/usr/bin/env bash
# This project is configured, built and unit-tested inside the mount.
. "$(dirname "$0")/scenario.sh"

start
mkdir "$mnt/src" "$mnt/tmp"
tar -C "$root" --exclude='./build*' --exclude=./.git -cf - . | tar -C "$mnt/src" -xf - ||
    die "copy of the source"
cd "$mnt/src" || exit 1
export TMPDIR=$mnt/tmp
cmake -G Ninja -B build -DCMAKE_BUILD_TYPE=Debug -DCMAKE_C_FLAGS=-O1 -DLSMFS_BENCH=OFF \
    -DLSMFS_SHARED=OFF >"$work/log" 2>&1 || die "configure: $(tail -20 "$work/log")"
cmake --build build -j "$(nproc)" >"$work/log" 2>&1 || die "build: $(tail -20 "$work/log")"
cmake --build build 2>&1 | grep -q 'no work to do' || die "ninja builds again what is built"
ctest --test-dir build -L unit -j "$(nproc)" --timeout 300 --output-on-failure >"$work/log" 2>&1 ||
    die "unit tests: $(grep -v Passed "$work/log" | tail -60)"
tail -3 "$work/log"
cd / || exit 1
stop
check_store
finish
