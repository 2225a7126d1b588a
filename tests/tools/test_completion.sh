#!/usr/bin/env bash
# Completion in bash: the functions, called as readline calls them; a few lines typed into an
# interactive bash; and that what the file lists by name is what the programs know.
. "$(dirname "$0")/lib.sh"

PATH=$bin:$PATH
export LSMFS_COMPLETION_SECONDS=60 # a test may run beside others
lsmfsctl mkdir --create -p db /home/ann '/home/a b' /etc || exit 1
echo x | lsmfsctl put db /home/file || exit 1
for name in auto-1:30 auto-2 'two words' by@hand; do
    lsmfsctl snapshot create db "$name" || exit 1
done
source "$root/packaging/completions/lsmfs"

# Completes the line made of the arguments, each a word; prints what is offered, one a line.
offered() {
    local word piece function
    COMP_LINE=$* COMP_POINT=${#COMP_LINE} COMP_WORDS=() COMPREPLY=()
    COMP_WORDBREAKS=$' \t\n"\'><=;|&(:@'
    for word; do # readline cuts words at these three too
        [ -n "$word" ] || COMP_WORDS+=("")
        while [ -n "$word" ]; do
            piece=${word%%[=:@]*}
            [ -n "$piece" ] || piece=${word:0:1}
            COMP_WORDS+=("$piece")
            word=${word#"$piece"}
        done
    done
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
    function=$(complete -p "$1" | sed 's/.*-F \([a-z_]*\) .*/\1/')
    "$function"
    [ ${#COMPREPLY[@]} -eq 0 ] || printf '%s\n' "${COMPREPLY[@]}"
}

offers() { # what is offered, as one line -- words of the line
    local want=$1 got
    shift 2
    got=$(offered "$@" | sort | paste -sd' ')
    [ "$got" = "$want" ] || fail "'$*': offered '$got', not '$want'"
}

# ---- lsmfs
if [ -x "$bin/lsmfs" ]; then
    offers "ro,compaction_threads= ro,compression=" -- lsmfs -o ro,comp
    offers "lz4 none zlib" -- lsmfs -o ro,compression=
    offers "lz4" -- lsmfs -f -o compression=l
    offers "-ono_writeback" -- lsmfs -ono_w
    offers "" -- lsmfs -o cache_size=
    offers "" -- lsmfs ''
    offers "--help" -- lsmfs --h
    # Every option of the program but those that mount(8) understands by itself, or that are refused.
    sed -nE '/^static const struct option_spec specs/,/^};/{/OPT_REFUSE/!s/^    \{"([a-z_]+)".*/\1/p}' \
        "$root/fusefs/mount/options.c" | sort >known
    [ "$(wc -l <known)" -gt 30 ] || fail "options.c is read wrongly"
    offered lsmfs -o '' | sed 's/=$//' | sort -u >listed
    # Generic ones that the kernel or libfuse takes.
    sed -nE '/passed_on\[\] = /,/};/p' "$root/fusefs/mount/options.c" | grep -oE '"[a-z_]+"' | tr -d '"' |
        sort >>known
    sort -u -o known known
    diff known listed || fail "options of the program (<) and of the completion (>)"
    for option in $(offered lsmfs -o '' | grep -v =); do
        lsmfs -o "$option,nonsense" db nowhere 2>&1 | grep -q "'nonsense'" || fail "lsmfs does not know $option"
    done
fi

# ---- lsmfsctl
{ lsmfsctl --help | sed -nE 's/^  ([a-z]+) .*/\1/p' && lsmfsctl --help | sed -nE 's/^  .{38}  ([a-z]+)  .*/\1/p'; } | sort >known
offered lsmfsctl '' | grep -v '^--' | sort | diff known - || fail "commands"
offers "scan send snapshot stat stats" -- lsmfsctl s
offers "delete list verify" -- lsmfsctl backup ''
offers "two\\ words" -- lsmfsctl send --from auto-1:30 db tw
offers "--from" -- lsmfsctl send --f
offers "--help create delete list prune rename rollback" -- lsmfsctl snapshot ''
offers "--keep-daily --keep-hourly --keep-last --keep-weekly" -- lsmfsctl snapshot prune --k
offers "--create --help -c -m" -- lsmfsctl put -
offers "--yes" -- lsmfsctl destroy --y
offers "" -- lsmfsctl nonsense ''
offers "flush-bytes-written flushes" -- lsmfsctl stats db flu
offers "get-p99-ns" -- lsmfsctl stats db flushes get-p99-
offers "" -- lsmfsctl stats ''
offers "auto-1:30 auto-2 by@hand two\\ words" -- lsmfsctl snapshot delete db ''
offers "auto-1:30 auto-2" -- lsmfsctl snapshot delete db by@hand a
offers "30" -- lsmfsctl snapshot delete db auto-1:
offers "hand" -- lsmfsctl snapshot rollback --yes db by@
offers "two\\ words" -- lsmfsctl snapshot rename db tw
offers "two\\ words" -- lsmfsctl snapshot rename db 'two\ '
offers "auto-1:30 auto-2" -- lsmfsctl snapshot prune --keep-last 3 db au
offers "" -- lsmfsctl snapshot create db au
offers "" -- lsmfsctl snapshot delete nowhere ''
offers "/etc /home" -- lsmfsctl ls db /
offers "/home/" -- lsmfsctl ls -l db /etc /h
offers "/home/a\\ b /home/ann /home/file" -- lsmfsctl get db /home/
offers "/home/a\\ b/" -- lsmfsctl stat db '/home/a\ '
offers "/home/file" -- lsmfsctl put -m 600 db /home/f
offers "/home/" -- lsmfsctl mv db /etc /ho
mkdir 'a store'
offers "/etc /home" -- lsmfsctl ls ./db /
mv db 'a store/db'
offers "/etc /home" -- lsmfsctl ls 'a\ store/db' /
offers "/etc /home" -- lsmfsctl ls '"a store"/db' /
mv 'a store/db' db

# Properties: what lsm.h names, and each of them has a value.
sed -n '/^\/\/ A property as text/,/lsm_property(/p' "$root/storage/lsm.h" >text
{
    grep -oE '"[a-z0-9-]+"' text | tr -d '"' | grep -vxE 'get|seek|write|sync'
    printf '%s\n' num-tables-at-level{0..6}
    grep -oE '"<op>-[a-z0-9-]+"' text | tr -d '"' | while read -r name; do
        printf '%s\n' {get,seek,write,sync}"${name#<op>}"
    done
} | sort >known
[ "$(wc -l <known)" -gt 60 ] || fail "lsm.h is read wrongly"
offered lsmfsctl stats db '' | sort >listed
diff known listed || fail "properties in lsm.h (<) and in the completion (>)"
mapfile -t properties <listed
lsmfsctl stats db "${properties[@]}" >out 2>&1 || fail "stats of all properties: $(tail -n 1 out)"

# ---- typed: what readline makes of it. One Tab shall complete each line.
cat >rc <<TXT
PS1= PATH=$PATH
bind 'set enable-bracketed-paste off' 2>/dev/null
source $root/packaging/completions/lsmfs
lsmfs() { printf 'ARG:%s\n' "\$@" >>typed; }
TXT
mkdir -p 'mount here'
: >typed
# The line that follows runs only when the one before it has ended, so nothing waits for a time.
TERM=dumb script -qec "bash --noprofile --rcfile rc -i" /dev/null >log 2>&1 <<'TXT'
lsmfs -o ro,compression=l	 mount	
lsmfs -o tabl	1M
exit
TXT
printf 'ARG:%s\n' -o ro,compression=lz4 'mount here/' -o table_size=1M | diff - typed ||
    fail "typed lines: $(cat -A log)"

[ "$failures" -eq 0 ] || exit 1
echo "completion holds"
