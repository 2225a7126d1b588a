#!/usr/bin/env bash
# lsmfsctl, every command, on stores of its own.
. "$(dirname "$0")/lib.sh"

# run STATUS WHAT COMMAND...: runs lsmfsctl; its output stays in out and err. A failure has to
# say why in one line.
run() {
    local want=$1 what=$2 got
    shift 2
    "$ctl" "$@" >out 2>err </dev/null
    got=$?
    checks=$((checks + 1))
    [ "$got" -eq "$want" ] || fail "$what: status $got, wanted $want: $(head -3 err)"
    case $want in
    0) [ ! -s err ] || fail "$what: says $(head -3 err)" ;;
    *) grep -q '^lsmfsctl' err || grep -q 'problem' out || fail "$what: does not say why" ;;
    esac
}

says() { # what, shell pattern: the one line on stderr
    checks=$((checks + 1))
    # shellcheck disable=SC2053
    [[ $(cat err) == $2 ]] || fail "$1: says '$(cat err)'"
    [ "$(wc -l <err)" -eq 1 ] || fail "$1: $(wc -l <err) lines"
}

# Every file of the store with its bytes and times. LOCK is not part of what a reader must keep.
fingerprint() { (cd "$1" && find . -type f ! -name LOCK -printf '%p %s %T@ ' -exec cksum {} \;) | sort; }

# --- the command line
run 0 "help" --help
[ "$(wc -l <out)" -le 24 ] || fail "the help does not fit a screen"
[ "$(awk '{ if (length > n) n = length } END { print n }' out)" -le 80 ] || fail "the help is wide"
for command in ls tree stat get put mkdir rm mv ln clone scan stats check repair compact checkpoint \
    backup restore send receive diff watch top metrics destroy; do
    grep -qE "^(  .{38})?  $command " out || fail "the help does not name $command"
done
for command in ls tree stat get put mkdir rm mv ln clone scan stats check repair compact checkpoint \
    backup 'backup list' 'backup verify' 'backup delete' restore send receive diff watch top metrics destroy; do
    # shellcheck disable=SC2086 # two words
    run 0 "$command --help" $command --help
    grep -q "^usage: lsmfsctl $command" out || fail "$command --help has no usage line"
done
for command in create list rename delete rollback prune; do
    run 0 "snapshot $command --help" snapshot "$command" --help
    grep -q "^usage: lsmfsctl snapshot $command" out || fail "snapshot $command --help has no usage line"
done
run 0 "snapshot --help" snapshot --help
run 2 "snapshot" snapshot
run 2 "snapshot nonsense" snapshot nonsense db
run 0 "version" --version
run 2 "no command"
says "no command" "lsmfsctl: no command given*"
run 2 "unknown command" frobnicate db
says "unknown command" "lsmfsctl: unknown command 'frobnicate'*"
run 2 "no store" ls
run 2 "unknown option" ls -z db
says "unknown option" "lsmfsctl ls: unknown option '-z'*"
run 2 "unknown long option" ls --zz db
says "unknown long option" "lsmfsctl ls: unknown option '--zz'*"
run 2 "missing argument" tree db -L
run 2 "not a number" tree -L x db
says "not a number" "lsmfsctl tree: option '-L x': takes a number from 0 to 4294967295"
for bad in '' -1 ' 1' 1x 1K 4294967296 18446744073709551617; do
    run 2 "-L '$bad'" tree -L "$bad" db
    says "-L '$bad'" "lsmfsctl tree: option '-L $bad': takes a number from 0 to 4294967295"
done
run 2 "more than 64 bits" scan -n 18446744073709551616 db
says "more than 64 bits" "lsmfsctl scan: option '-n 18446744073709551616': takes a number"
for bad in 9 89 10000 u+x; do
    run 2 "not octal: $bad" mkdir -m "$bad" db /a
    says "not octal: $bad" "lsmfsctl mkdir: option '-m $bad': takes an octal number from 0 to 7777"
done
run 2 "too few" get db
run 2 "too many" check db x

# --- nothing is created by accident
for command in "ls db" "tree db" "stat db /" "get db /x" "rm db /x" "mv db /a /b" "ln db /a /b" \
    "scan db" "stats db" "check db" "compact db" "checkpoint db other" "put db /x" "mkdir db /x" \
    "repair db" "destroy --yes db"; do
    # shellcheck disable=SC2086
    run 1 "absent store: $command" $command
    [ ! -e db ] && [ ! -e other ] || fail "'$command' has created something"
done
mkdir full && echo x >full/x
run 1 "not a store" ls full
run 1 "not a store, create" put -c full /x
run 1 "not a store, repair" repair full
run 1 "not a store, destroy" destroy --yes full
same "a foreign directory stays" "$(ls full)" x
run 1 "a file" ls full/x

# --- names and content
run 0 "mkdir creates" mkdir -c db /dir
run 0 "mkdir" mkdir -m 0750 db /dir/sub /other
run 1 "mkdir again" mkdir db /dir
says "mkdir again" "lsmfsctl: /dir: File exists"
run 1 "mkdir without parent" mkdir db /no/where
run 0 "mkdir -p" mkdir -p db /p/q/r /dir
run 1 "mkdir of the root" mkdir db /
head -c 3000000 /dev/urandom >big
echo hello | "$ctl" put db /dir/file || fail "put from stdin"
run 0 "put a file" put -m 600 db /dir/big big
run 0 "put nothing" put db /dir/empty
run 0 "get" get db /dir/big
cmp out big || fail "get gives other bytes than put took"
run 0 "get to a file" get -o copy db /dir/big
cmp copy big || fail "get -o gives other bytes"
run 0 "get many" get db /dir/file /dir/empty /dir/file
same "get many" "$(cat out)" $'hello\nhello'
echo shorter | "$ctl" put db /dir/big || fail "put over a file"
run 0 "get after put over" get db /dir/big
same "put replaces all" "$(cat out)" shorter
run 0 "stat" stat db /dir/big
grep -q 'Mode  0600' out || fail "put over a file has changed its mode"
run 1 "put over a directory" put db /dir
says "put over a directory" "lsmfsctl: /dir: Is a directory"
run 1 "put from nowhere" put db /dir/x nofile
run 1 "put into nowhere" put db /nodir/x big
run 1 "put below a file" put db /dir/file/x big
run 1 "a long name" put db "/$(printf 'n%.0s' {1..256})" big
says "a long name" "*File name too long"
run 0 "the longest name" put db "/$(printf 'n%.0s' {1..255})" big
run 0 "rm it" rm db "/$(printf 'n%.0s' {1..255})"
run 1 "get a directory" get db /dir
run 1 "get nothing" get db /nothing
says "get nothing" "lsmfsctl: /nothing: No such file or directory"
odd=$(printf '/odd\1\2\n\t \\*\377')
echo odd | "$ctl" put db "$odd" || fail "put an odd name"
run 0 "get an odd name" get db "$odd"
same "an odd name" "$(cat out)" odd
run 0 "rm an odd name" rm db "$odd"

# --- links, renames
run 0 "ln" ln db /dir/file /other/hard
run 0 "ln -s" ln -s db ../dir/file /other/soft
run 0 "ln into a directory" ln db /dir/file /p
run 0 "stat of links" stat db /p/file
grep -q 'Links  3' out || fail "three links: $(grep Links out)"
run 1 "ln of a directory" ln db /dir /other/d
run 1 "ln to a taken name" ln db /dir/file /other/hard
run 0 "mv" mv db /dir/sub /sub
run 0 "mv into a directory" mv db /sub /other
run 1 "mv -n" mv -n db /dir/file /dir/empty
run 1 "mv into itself" mv db /p /p/q
run 1 "mv of nothing" mv db /nothing /else
run 0 "mv a tree" mv db /dir /moved
run 0 "get below a moved tree" get db /moved/file
same "content below a moved tree" "$(cat out)" hello
run 0 "mkdir at the old place" mkdir db /dir
run 0 "ls of the new one" ls db /dir
same "the new one is empty" "$(cat out)" ""

# --- listings
run 0 "ls" ls db
same "ls" "$(tr '\n' ' ' <out)" "dir moved other p "
run 0 "ls two" ls db /other /moved
same "ls two" "$(tr '\n' ' ' <out)" "/other: hard soft sub  /moved: big empty file "
run 0 "ls -l" ls -l db /other
grep -Eq '^lrwxrwxrwx .* soft -> ../dir/file$' out || fail "ls -l: $(cat out)"
grep -Eq '^drwxr-x--- .* sub$' out || fail "ls -l: $(cat out)"
grep -Eq '^-rw-r--r--   3 .* 6 .* hard$' out || fail "ls -l: $(cat out)"
run 0 "ls -d" ls -d db /other
same "ls -d" "$(cat out)" /other
run 0 "ls -R" ls -R db
same "ls -R" "$(grep -c . out)" 21
run 0 "ls -i" ls -i db /p
run 1 "ls of nothing" ls db /nothing /p
grep -q '^file' out || fail "ls stops at the first failure"
run 0 "tree" tree db
same "tree" "$(tail -1 out)" "7 directories, 6 files"
grep -q '^│   └── soft\|^│   ├── soft -> ../dir/file' out || fail "tree: $(cat out)"
run 0 "tree -L" tree -L 1 db
same "tree -L" "$(tail -1 out)" "4 directories, 0 files"
for i in {1..300}; do printf 'd/'; done >deep
run 0 "a deep tree" mkdir -p db "/$(cat deep)"
run 0 "ls of it" ls -R db /d
same "its depth" "$(grep -c : out)" 300
run 0 "rm of it" rm -r db /d

# --- removal
run 1 "rm of a directory" rm db /moved
run 1 "rm of nothing" rm db /nothing
run 0 "rm -f of nothing" rm -f db /nothing
run 1 "rm of the root" rm -r db /
run 1 "rm of .." rm -r db /moved/..
run 0 "rm -r" rm -r db /moved /other /p
run 0 "ls after rm -r" ls db
same "what is left" "$(cat out)" dir

# --- the store
for i in {1..200}; do echo "value $i"; done >values
run 0 "put" put db /dir/values values
run 0 "scan" scan db
grep -q 'values' out || fail "scan does not show the key"
grep -qP '[^\x20-\x7e\t]' out && fail "scan prints raw bytes"
all=$(wc -l <out)
run 0 "scan -b" scan -b db
same "scan backwards" "$(tac out | cksum)" "$("$ctl" scan db | cksum)"
run 0 "scan -n" scan -n 2 db
same "scan -n" "$(wc -l <out)" $((all < 2 ? all : 2))
run 0 "scan a prefix" scan db E
[ "$(wc -l <out)" -le "$all" ] && [ "$(grep -vc '^E' out)" -eq 0 ] || fail "scan E: $(head -3 out)"
run 0 "scan an escaped prefix" scan db '\x45'
run 0 "scan nothing" scan db '\xff\xff'
same "scan nothing" "$(cat out)" ""
run 2 "a bad escape" scan db '\q'
run 0 "stats" stats db
grep -q '^files ' out || fail "stats does not count files"
run 0 "stats of one" stats db disk-bytes
[[ $(cat out) =~ ^[0-9]+$ ]] || fail "stats disk-bytes: $(cat out)"
run 1 "stats of an unknown one" stats db nonsense
run 0 "check" check db
same "check" "$(tail -1 out)" "db: no problem found"

# Readers leave no trace.
before=$(fingerprint db)
for command in "ls -lR db" "tree db" "stat db /dir" "get db /dir/values" "scan db" "stats db" \
    "check db"; do
    # shellcheck disable=SC2086
    run 0 "reader: $command" $command
    same "$command changes nothing" "$(fingerprint db)" "$before"
done

run 0 "compact" compact db
run 0 "get after compact" get db /dir/values
cmp -s out values || fail "compact has changed a file"
run 0 "checkpoint" checkpoint db copy.db
run 1 "checkpoint over something" checkpoint db copy.db
run 0 "change the original" put db /dir/new values
run 0 "check the copy" check copy.db
run 0 "read the copy" get copy.db /dir/values
cmp -s out values || fail "the checkpoint has another content"
run 1 "the copy is of then" get copy.db /dir/new

# --- a store in use: put has it open once it has taken more than its first piece
mkfifo hold
"$ctl" put db /held hold >held.out 2>&1 &
holder=$!
exec 7>hold
head -c 3000000 big >&7
before=$(fingerprint copy.db)
for command in "ls db" "put db /x" "check db" "repair db" "destroy --yes db" "compact db"; do
    # shellcheck disable=SC2086
    run 1 "in use: $command" $command
    says "in use: $command" "lsmfsctl: db/LOCK is in use by process $holder (lsmfsctl put)"
done
kill -TERM $holder
wait $holder
same "put after a signal" "$?" 143
exec 7>&-
same "it says why" "$(cat held.out)" "lsmfsctl: hold: Interrupted"
run 1 "nothing is left of it" stat db /held
run 0 "check after it" check db
"$ctl" get copy.db /dir/values | "$ctl" put copy.db /dir/again ||
    fail "put from a get of the same store"
run 0 "get of it" get copy.db /dir/again
cmp -s out values || fail "put from a get of the same store gives other bytes"

# --- readers share a store: get waits for a reader of the pipe with the store open
mkfifo drain
"$ctl" get -o drain copy.db /dir/values 2>drain.err &
reader=$!
for i in {1..500}; do
    grep -qsx "$reader" copy.db/LOCK && break
    sleep 0.02
done
for command in "ls copy.db" "stat copy.db /dir" "scan copy.db" "check copy.db"; do
    # shellcheck disable=SC2086
    run 0 "beside a reader: $command" $command
done
for command in "put copy.db /x" "compact copy.db" "repair copy.db" "destroy --yes copy.db"; do
    # shellcheck disable=SC2086
    run 1 "beside a reader: $command" $command
    says "beside a reader: $command" "lsmfsctl: copy.db/LOCK is in use by process $reader (lsmfsctl get)"
done
cat drain >drained
wait $reader
same "the first reader" "$? $(cat drain.err)" "0 "
cmp -s drained values || fail "the first reader has got other bytes"
run 0 "a writer after the readers" mkdir copy.db /after
run 0 "rm" rm -r copy.db /after

# --- a store that was killed, its log to be replayed, read by several at once
"$ctl" put db /held hold >held.out 2>&1 &
holder=$!
exec 7>hold
head -c 3000000 big >&7
for i in {1..500}; do
    grep -qsx "$holder" db/LOCK && break
    sleep 0.02
done
kill -9 $holder
wait $holder 2>/dev/null
exec 7>&-
before=$(fingerprint db)
readers=()
for i in 1 2 3 4; do
    { "$ctl" ls -lR db && "$ctl" check db; } >"killed.$i" 2>&1 </dev/null &
    readers+=($!)
done
for i in 1 2 3 4; do
    wait "${readers[i - 1]}"
    same "reader $i of a killed store" "$? $(tail -1 "killed.$i")" "0 db: no problem found"
    cmp killed.1 "killed.$i" || fail "two readers of a killed store see different things"
done
same "readers of a killed store change nothing" "$(fingerprint db)" "$before"
run 0 "rm -f what was put" rm -f db /held

# --- one store inside another
run 1 "a store inside a store" mkdir -c copy.db/inner /x
says "a store inside a store" "lsmfsctl: copy.db/inner: lies inside the store $work/copy.db: *"
run 1 "a checkpoint inside a store" checkpoint db copy.db/backup
run 1 "a checkpoint inside itself" checkpoint db db/backup

# --- two processes at once on a store that is not there yet, and one that removes it
for i in {1..20}; do
    "$ctl" put -c race /a values 2>/dev/null & a=$!
    "$ctl" put -c race /b values 2>/dev/null & b=$!
    wait $a; a=$?
    wait $b; b=$?
    [ $a -ne 0 ] || "$ctl" stat race /a >/dev/null || fail "race $i: /a is lost"
    [ $b -ne 0 ] || "$ctl" stat race /b >/dev/null || fail "race $i: /b is lost"
    [ $a -eq 0 ] || [ $b -eq 0 ] || fail "race $i: none of them wins"
    "$ctl" destroy --yes race & d=$!
    "$ctl" put -c race /c values 2>/dev/null & c=$!
    wait $d; d=$?
    wait $c; c=$?
    if [ -e race/CURRENT ]; then
        "$ctl" check race >/dev/null || fail "race $i: damaged"
        "$ctl" destroy --yes race || fail "race $i: cannot be removed"
    fi
    rm -rf race
done 2>race.err

# --- refusals change nothing
refuse() { # what, shell pattern: of store bad
    local before
    before=$(fingerprint bad)
    for command in "ls bad" "put bad /x" "check bad" "scan bad" "compact bad"; do
        # shellcheck disable=SC2086
        run 1 "$1: $command" $command
        says "$1: $command" "$2"
        same "$1: $command changes nothing" "$(fingerprint bad)" "$before"
    done
}
current() { # version: writes bad/CURRENT anew
    local crc
    crc=$({ echo "tinylsm $1" && sed -n 2p bad/CURRENT; } | tee text | gzip -c | tail -c 8 |
        od -An -N4 -tx4 --endian=little)
    { cat text && echo "crc32 ${crc# }"; } >bad/CURRENT
}
cp -a copy.db bad
current 1
run 0 "CURRENT can be written here" ls bad
current 2
refuse "a newer format" "lsmfsctl: bad/CURRENT: *: a newer lsmfs is needed"
current 1
manifest=$(sed -n 2p bad/CURRENT)
printf '\xff\xff\xff\xff' | dd of="bad/$manifest" bs=1 seek=40 conv=notrunc status=none
refuse "a damaged manifest" "lsmfsctl: bad/$manifest: *repair*"
run 0 "repair of a damaged manifest" repair bad
run 0 "check after repair of a damaged manifest" check bad
run 0 "get after repair of a damaged manifest" get bad /dir/values
cmp -s out values || fail "repair of a damaged manifest has lost a file"

# --- damage
table=$(find copy.db -name '*.sst' -size +0 | head -1)
if [ -n "$table" ]; then
    cp --remove-destination "$table" saved && cp --remove-destination saved "$table"
    printf '\xff\xfe\xfd' | dd of="$table" bs=1 seek=30 conv=notrunc status=none
    "$ctl" check copy.db >out 2>err </dev/null
    same "check of damage" $? 1
    grep -q "$(basename "$table")" out || fail "check does not name the file: $(cat out)"
    [[ $(tail -1 out) == *" problem"* ]] || fail "the last line is not the sum: $(tail -1 out)"
    cp saved "$table"
else
    fail "a compacted store has no table"
fi
rm copy.db/CURRENT
run 1 "a store without CURRENT" ls copy.db
run 0 "repair" repair copy.db
grep -qx 'repaired: all [0-9]* entries kept' out || fail "repair says: $(cat out)"
run 0 "check after repair" check copy.db
run 0 "get after repair" get copy.db /dir/values
cmp -s out values || fail "repair has lost a file"

# --- a store on a read-only file system: it can be read
# Each command has a mount namespace of its own, where db is mounted read-only on `frozen`.
mkdir frozen
cat >frozen-ctl <<TXT
#!/bin/sh
exec unshare -m$([ "$(id -u)" -eq 0 ] || echo r) sh -c 'mount --bind db frozen &&
    mount -o remount,bind,ro frozen && exec "\$@"' sh $(realpath "$ctl") "\$@"
TXT
chmod +x frozen-ctl
program=$ctl
ctl=./frozen-ctl
run 0 "read-only file system: ls" ls frozen
run 0 "read-only file system: get" get frozen /dir/values
cmp -s out values || fail "read-only file system: get differs"
run 0 "read-only file system: check" check frozen
run 1 "read-only file system: mkdir" mkdir frozen /new
says "read-only file system: mkdir" "lsmfsctl: *Read-only file system*"
ctl=$program

# Where a directory has to be named, a store in a cluster is refused.
while IFS='|' read -r words said; do
    # shellcheck disable=SC2086
    run 1 "$words" $words
    says "$words" "lsmfsctl: rados:p/s*: $said"
done <<WORDS
checkpoint rados:p/s to|a cluster cannot share files*
checkpoint db rados:p/s|a cluster cannot share files*
backup db rados:p/s|a backup is in a directory
restore rados:p/s to|a backup is in a directory
backup list rados:p/s|a backup is in a directory
backup verify rados:p/s|a backup is in a directory
backup delete rados:p/s@1|a backup is in a directory
WORDS
[ ! -e to ] || fail "a refused command makes its target"

run 2 "destroy without --yes" destroy db
run 0 "nothing destroyed" ls db
run 0 "destroy" destroy --yes db
[ ! -e db ] || fail "destroy leaves: $(ls db)"

finish
