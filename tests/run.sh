#!/usr/bin/env bash
# Installs what the tests need, builds, runs every test, ends with what each step took and one line of
# totals:
#   N passed, N failed[, N skipped]
# Status 0 only if nothing failed.
set -u
cd "$(dirname "$0")/.." || exit 2
. mount-scripts/packages.sh

usage() {
    cat <<'TXT'
usage: tests/run.sh [--asan] [--tsan] [--clang] [--filter RE] [--long]

Without options: the whole test suite on a Release build (build/), then a build with clang, then
the unit and model tests with AddressSanitizer + UBSan and with ThreadSanitizer.

  --asan        only AddressSanitizer + UBSan (build-asan/), all tests, the mount included
  --tsan        only ThreadSanitizer (build-tsan/), all tests, the mount included
  --clang       only a Release build with clang (build-clang/), all tests
  --filter RE   only the tests whose name (ctest -N lists them) matches RE
  --long        the counts of a release: 50 rounds of kill -9, 1,000,000 files, 30 s of dbench
TXT
}

phases=()
filter=()
timeout_s=600
while [ $# -gt 0 ]; do
    case $1 in
    --asan | --tsan | --clang) phases+=("${1#--}") ;;
    --filter)
        [ $# -ge 2 ] || { usage >&2; exit 2; }
        filter=(-R "$2")
        shift
        ;;
    --long)
        export LSMFS_LONG=1
        timeout_s=14400
        ;;
    -h | --help) usage; exit 0 ;;
    *) usage >&2; exit 2 ;;
    esac
    shift
done

jobs=${JOBS:-$(nproc)}
passed=0 failed=0 skipped=0
failures=()
steps=()    # what is done, one line each
step=       # what is going on; none yet
step_at=0   # when it began: seconds since the start
step_cpu=0  # the same of processor time, in clock ticks

# ret_cpu: clock ticks that the processes used that have ended. Daemons do not count.
cpu_used() {
    local stat
    read -ra stat </proc/$$/stat
    ret_cpu=$((stat[15] + stat[16]))
}

# Ends the step that is going on and begins another.
say() {
    local cpu_s
    cpu_used
    if [ -n "$step" ]; then
        cpu_s=$(((ret_cpu - step_cpu) / $(getconf CLK_TCK)))
        steps+=("$(printf '%5d s, %5d s of processor time: %s' $((SECONDS - step_at)) "$cpu_s" "$step")")
    fi
    step=$1 step_at=$SECONDS step_cpu=$ret_cpu
    printf '\n== [%3d s] %s\n' "$SECONDS" "$step"
}

fail() {
    failed=$((failed + 1))
    failures+=("$*")
}

# Configures build directory $1 with the arguments that follow and builds $2 in it.
build() {
    local dir=$1 target=$2 log
    shift 2
    [ -f "$dir/CMakeCache.txt" ] || set -- -G Ninja "$@"
    log=$(mktemp)
    if cmake -S . -B "$dir" -DLSMFS_TESTS=ON "$@" >"$log" 2>&1 &&
        cmake --build "$dir" -j "$jobs" --target "$target" >"$log" 2>&1; then
        rm -f "$log"
        return 0
    fi
    grep -vE '^\[[0-9]+/[0-9]+\] (Building|Linking)' "$log" | tail -n 200
    rm -f "$log"
    fail "build $dir"
    return 1
}

# Runs the tests of build directory $1 with the ctest arguments that follow, and counts them.
run_tests() {
    local dir=$1 status report counts n bad skip name
    shift
    report=$PWD/$dir/test-report.xml
    rm -f "$report"
    "${launcher[@]}" ctest --test-dir "$dir" -j "$jobs" --timeout "$timeout_s" \
        --output-on-failure --no-tests=error --output-junit "$report" "${filter[@]}" "$@"
    status=$?
    counts=$(sed -nE '/<testcase/q; s/^\s*tests="([0-9]+)".*/n=\1/p
        s/^\s*failures="([0-9]+)".*/bad=\1/p; s/^\s*skipped="([0-9]+)".*/skip=\1/p' "$report")
    n=0 bad=0 skip=0
    eval "$counts"
    while IFS= read -r name; do
        failures+=("$dir: $name")
    done < <(sed -nE 's/.*<testcase name="([^"]*)".* status="fail".*/\1/p' "$report" 2>/dev/null)
    passed=$((passed + n - bad - skip))
    failed=$((failed + bad))
    skipped=$((skipped + skip))
    [ "$status" -eq 0 ] || [ "$bad" -gt 0 ] || fail "$dir: ctest ended with status $status"
}

packages_install "${packages_build[@]}" "${packages_test[@]}" "${packages_package[@]}" || exit 1
packages_install "${packages_cluster[@]}" || echo "without these the tests in tests/rados are skipped"
# A kernel that has FUSE may only lack the device's name.
[ -e /dev/fuse ] || modprobe fuse 2>/dev/null
[ -e /dev/fuse ] || ! grep -qw fuse /proc/misc || mknod -m 666 /dev/fuse c 10 229
[ -e /dev/fuse ] || echo "this kernel has no FUSE: tests of the mount are skipped"
# Mounts serve over io_uring where the kernel has it. The switch is the machine's: it is put back.
uring=/sys/module/fuse/parameters/enable_uring
if [ -w "$uring" ] && [ "$(cat "$uring")" = N ] && echo Y >"$uring"; then
    trap 'echo N >"$uring"' EXIT
fi
export ASAN_OPTIONS=detect_stack_use_after_return=1:strict_string_checks=1
export CK_DEFAULT_TIMEOUT=300 # seconds a unit test may take that does not say so itself
export UBSAN_OPTIONS=print_stacktrace=1 TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1
launcher=()

phase_release() {
    say "build (Release, gcc)"
    build build all -DCMAKE_BUILD_TYPE=Release || return
    say "all tests"
    run_tests build
}

phase_clang() {
    say "build (clang)"
    build build-clang all -DCMAKE_C_COMPILER=clang -DCMAKE_BUILD_TYPE=Release || return
    if [ "${1-}" = all ]; then
        say "all tests (clang)"
        run_tests build-clang
    else
        passed=$((passed + 1)) # no warning
    fi
}

phase_sanitizer() { # asan or tsan, its LSMFS_SANITIZE, "all" tests or a few
    local few=(-L '^(unit|model)$') histories=${LSM_HISTORIES:-1000}
    local target=unit_and_model compiler=()
    [ "$3" != all ] || few=() histories=${LSM_HISTORIES:-10000} target=all
    if [ "$1" = tsan ]; then
        # gcc 12's takes about three times the processor time of clang 14's.
        compiler=(-DCMAKE_C_COMPILER=clang)
        # CMake does not change the compiler of a directory that it has configured.
        grep -qs '^CMAKE_C_COMPILER:.*clang' build-tsan/CMakeCache.txt || rm -rf build-tsan
        # Its map of memory does not fit the widest address randomisation of new kernels.
        ! setarch -R true 2>/dev/null || launcher=(setarch -R)
    fi
    say "build ($1)"
    if build "build-$1" "$target" -DCMAKE_BUILD_TYPE=Debug -DCMAKE_C_FLAGS=-O1 "-DLSMFS_SANITIZE=$2" \
        "${compiler[@]}"; then
        say "tests ($1)"
        CK_TIMEOUT_MULTIPLIER=6 LSM_HISTORIES=$histories run_tests "build-$1" "${few[@]}"
    fi
    launcher=()
}

if [ ${#phases[@]} -eq 0 ] && [ ${#filter[@]} -gt 0 ]; then
    phases=(release)
fi
if [ ${#phases[@]} -eq 0 ]; then
    phase_release
    phase_clang
    phase_sanitizer asan address,undefined few
    phase_sanitizer tsan thread few
else
    for phase in "${phases[@]}"; do
        case $phase in
        release) phase_release ;;
        clang) phase_clang all ;;
        asan) phase_sanitizer asan address,undefined all ;;
        tsan) phase_sanitizer tsan thread all ;;
        esac
    done
fi

say "done"
printf '%s\n' "${steps[@]}"
[ ${#failures[@]} -eq 0 ] || printf 'failed: %s\n' "${failures[@]}"
totals="$passed passed, $failed failed"
[ "$skipped" -eq 0 ] || totals+=", $skipped skipped"
echo "$totals"
[ "$failed" -eq 0 ]
