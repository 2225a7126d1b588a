#!/usr/bin/env bash
# Every module asserts the invariants that its comments state: a .c file with its header has at
# least two assertions, or is in the list below, with what it has instead of invariants.
set -u
cd "$(dirname "$0")/../.." || exit 2
least=2

without() {
    cat <<'TXT'
fusefs/commands/backup_manage.c   steps of commands, on what others hold
fusefs/commands/clone_tree.c      steps of a command, on what others hold
fusefs/commands/figures.c         a table of names
fusefs/commands/front.c           text for people
fusefs/commands/metrics.c         text for programs
fusefs/commands/snapshots.c       steps of commands, on what others hold
fusefs/common/mounts.c            what the kernel says
fusefs/common/nested.c            what the disk has
fusefs/common/process_limits.c    calls of the system
fusefs/mount/caller.c             what the kernel says
fusefs/mount/cpus.c               what the kernel says
fusefs/mount/holder.c             calls of the system
fusefs/mount/options.c            what the user says
fusefs/mount/serve_attr.c         what the kernel says, passed on
fusefs/mount/uring_switch.c       what the kernel says
fusefs/ns/operation/ns_errno.c    a table
fusefs/ns/operation/ns_getattr.c  what records say
storage/db/db_property.c          text and figures for people
storage/env/logger.c              passes on text
storage/sstable/sst_verify.c      what the disk has
TXT
}

problems=0
problem() {
    echo "$*"
    problems=$((problems + 1))
}

modules=0
listed=$(without | cut -d' ' -f1)
while IFS= read -r file; do
    modules=$((modules + 1))
    header=${file%.c}.h
    [ -f "$header" ] || header=/dev/null
    count=$(cat "$file" "$header" | grep -cE '\b(static_)?assert\(|\b_Static_assert\(')
    [ "$count" -ge "$least" ] || grep -qxF "$file" <<<"$listed" ||
        problem "$file: $count assertions; what do its comments state?"
done < <(find storage fusefs -name '*.c' | sort)
for file in $listed; do
    [ -f "$file" ] || problem "$file: is in the list, and is not there"
done
[ "$modules" -gt 0 ] || problem "no modules"
[ "$problems" -eq 0 ] || exit 1
echo "asserts: $modules modules, no problem"
