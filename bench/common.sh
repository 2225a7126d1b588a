# What the bench scripts share. Source it first:
#   . "$(dirname "$0")/../common.sh"
# It sets `here`, the script's own directory, and `root`, that of the repository.
# shellcheck shell=bash
set -euo pipefail
script=$(basename "$0")
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)

# The comment at the head of the script is its help.
usage() {
    sed -n '2,/^[^#]/{/^#/s/^# \{0,1\}//p}' "$0" >&2
    exit 2
}

die() {
    echo "$script: $*" >&2
    exit 2
}

# parse_options "NAME NAME ..." ARG...: the value of --NAME=VALUE goes to the variable NAME, which
# holds the default before; `NAME!` takes no value and becomes 1. What is no option goes to the
# array `arguments`.
parse_options() {
    local option_names=" $1 " arg option_name
    shift
    arguments=()
    for arg in "$@"; do
        option_name=${arg#--}
        option_name=${option_name%%=*}
        case $arg in
        --*=*)
            [[ $option_names == *" $option_name "* ]] || usage
            printf -v "$option_name" %s "${arg#*=}"
            ;;
        --*)
            [[ $option_names == *" $option_name! "* ]] || usage
            printf -v "$option_name" 1
            ;;
        -*) usage ;;
        *) arguments+=("$arg") ;;
        esac
    done
}

# need PROGRAM[=PACKAGE]...
need() {
    local program
    for program in "$@"; do
        command -v "${program%=*}" >/dev/null || die "${program%=*} is missing: apt install ${program#*=}"
    done
}

median() {
    sort -n | awk '{v[NR] = $1} END {print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2}'
}
