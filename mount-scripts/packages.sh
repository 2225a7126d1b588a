# What has to be installed, listed once. Sourced by quickstart.sh and tests/run.sh.
# shellcheck shell=bash disable=SC2034,SC2054
#
# An entry is "debian-package:probe": it counts as installed when the probe holds, wherever it came
# from. Probes: cmd=PROGRAM, pc=PKG-CONFIG-MODULE, link=COMPILER,FLAGS (an empty program links).

# To build and mount.
packages_build=(
    gcc:cmd=gcc
    libc6-dev:link=gcc
    make:cmd=make
    cmake:cmd=cmake
    ninja-build:cmd=ninja
    pkg-config:cmd=pkg-config
    libfuse3-dev:pc=fuse3
    liburing-dev:pc=liburing
    liblz4-dev:pc=liblz4
    libxxhash-dev:pc=libxxhash
    zlib1g-dev:pc=zlib
    fuse3:cmd=fusermount3
)

# To test, beside those.
packages_test=(
    check:pc=check
    clang:cmd=clang
    libclang-rt-14-dev:link=clang,-fsanitize=thread
    git:cmd=git
    rsync:cmd=rsync
    sqlite3:cmd=sqlite3
    fio:cmd=fio
    dbench:cmd=dbench
    attr:cmd=setfattr
    acl:cmd=setfacl
    libcap2-bin:cmd=setcap
    procps:cmd=ps
    e2fsprogs:cmd=mkfs.ext4
    xfsprogs:cmd=mkfs.xfs
    util-linux:cmd=setpriv
)

# To test stores in a Ceph cluster; tests that need these are skipped where they cannot be had.
packages_cluster=(
    librados-dev:link=gcc,-lrados
    ceph-mon:cmd=ceph-mon
    ceph-mgr:cmd=ceph-mgr
    ceph-osd:cmd=ceph-osd
    ceph-common:cmd=ceph
)

# To make Debian packages and check them (docs/hacking.md), beside the first list.
packages_package=(
    dpkg-dev:cmd=dpkg-shlibdeps
    file:cmd=file
    lintian:cmd=lintian
)

packages_probe() { # probe
    local what=${1#*=} flags
    case $1 in
    cmd=*) command -v "$what" >/dev/null 2>&1 ;;
    pc=*) pkg-config --exists "$what" 2>/dev/null ;;
    link=*)
        IFS=, read -ra flags <<<"$what"
        echo 'int main(void) { return 0; }' |
            "${flags[0]}" "${flags[@]:1}" -x c - -o /dev/null >/dev/null 2>&1
        ;;
    *) return 1 ;;
    esac
}

# Prints the packages among the given entries that are missing.
packages_missing() {
    local entry
    for entry in "$@"; do
        packages_probe "${entry#*:}" || printf '%s ' "${entry%%:*}"
    done
}

# Installs what is missing with apt, as root or through sudo; where that cannot be done, names it
# and returns 1.
packages_install() {
    local missing as_root=()
    missing=$(packages_missing "$@")
    [ -n "$missing" ] || return 0
    if [ "$(id -u)" -ne 0 ]; then
        as_root=(sudo)
        [ -t 0 ] || as_root=(sudo -n)
        "${as_root[@]}" true 2>/dev/null || as_root=(false)
    fi
    if ! command -v apt-get >/dev/null || ! "${as_root[@]}" true; then
        echo "missing: $missing" >&2
        echo "These are Debian's names; install them and run this again." >&2
        return 1
    fi
    echo "installing $missing"
    local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300)
    "${as_root[@]}" "${apt[@]}" update >/dev/null || return 1
    # shellcheck disable=SC2086 # a list of names
    if ! "${as_root[@]}" "${apt[@]}" install -y --no-install-recommends $missing >/dev/null; then
        echo "apt-get could not install: $missing" >&2
        return 1
    fi
    missing=$(packages_missing "$@")
    [ -z "$missing" ] || {
        echo "still missing after the installation: $missing" >&2
        return 1
    }
}
