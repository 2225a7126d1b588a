#!/usr/bin/env bash
# SQLite with a rollback journal and with a write-ahead log (shared mappings, locks): concurrent
# writers, a writer killed in the middle of a transaction, integrity after each and after a remount.
. "$(dirname "$0")/scenario.sh"

rows=${LSMFS_ROWS:-20000}

integrity() { # database
    local out
    out=$(sqlite3 "$1" 'PRAGMA integrity_check') || die "$1: cannot be read"
    [ "$out" = ok ] || die "$1: $out"
}

fill() { # database, journal mode
    sqlite3 "$1" >/dev/null <<SQL || die "$2: fill"
.timeout 60000
PRAGMA journal_mode=$2;
CREATE TABLE t(id INTEGER PRIMARY KEY, k TEXT, v BLOB);
CREATE INDEX t_k ON t(k);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < $rows)
INSERT INTO t SELECT i, hex(i * 2654435761 % 4294967296), zeroblob(i % 700) FROM n;
UPDATE t SET v = 'x' || id WHERE id % 3 = 0;
DELETE FROM t WHERE id % 7 = 0;
VACUUM;
SQL
}

# Transactions of one row each.
one_by_one() { # database, first id, count
    local i
    for ((i = 0; i < $3; i++)); do
        echo "INSERT INTO t VALUES($(($2 + i)), 'w$2', 'value $i');"
    done | sqlite3 -cmd '.timeout 60000' -bail "$1"
}

concurrent() { # database
    local pids=() w pid
    for w in 1 2 3 4; do
        one_by_one "$1" $((w * 10000000)) 50 &
        pids+=($!)
    done
    for pid in "${pids[@]}"; do
        wait "$pid" || die "$1: a concurrent writer failed"
    done
    [ "$(sqlite3 "$1" 'SELECT count(*) FROM t WHERE id >= 10000000')" -eq 200 ] ||
        die "$1: rows of concurrent writers are missing"
}

# A transaction is open and has spilled to disk when its process dies.
killed_writer() { # database
    local before after feed
    before=$(sqlite3 "$1" 'SELECT count(*), sum(length(v)) FROM t')
    feed=$work/feed
    mkfifo "$feed"
    rm -f "$work/said"
    sqlite3 "$1" <"$feed" >"$work/said" &
    local writer=$!
    exec 7>"$feed"
    echo "PRAGMA cache_size=10; BEGIN; UPDATE t SET v = zeroblob(500); SELECT 'spilled';" >&7
    until grep -q spilled "$work/said" || ! kill -0 $writer 2>/dev/null; do sleep 0.05; done
    kill -9 $writer
    wait $writer 2>/dev/null
    exec 7>&-
    rm "$feed"
    integrity "$1"
    after=$(sqlite3 "$1" 'SELECT count(*), sum(length(v)) FROM t')
    [ "$before" = "$after" ] || die "$1: half a transaction is visible"
}

start
for mode in delete truncate persist wal; do
    fill "$mnt/$mode.db" $mode
    integrity "$mnt/$mode.db"
    concurrent "$mnt/$mode.db"
    killed_writer "$mnt/$mode.db"
done
sums() {
    local mode
    for mode in delete truncate persist wal; do
        integrity "$mnt/$mode.db"
        sqlite3 "$mnt/$mode.db" 'SELECT id, k, v FROM t ORDER BY id' | cksum
    done
}
before=$(sums)
[ "$(sort -u <<<"$before" | wc -l)" -eq 1 ] || die "the journal modes disagree"
stop
start
[ "$before" = "$(sums)" ] || die "a database has changed over a remount"
stop
check_store
finish
