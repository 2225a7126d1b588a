#!/usr/bin/env bash
# lsmfsctl diff: what came, went, was renamed and changed, in its three formats.
. "$(dirname "$0")/lib.sh"

put /gone one
put /kept one
put /changed one
put /file one
put /linked one
put $'/line\nfeed\\' one
put $'/\377\303\244"' one
"$ctl" mkdir -p db /dir/sub /away
put /dir/sub/inside one
put /dir/sub/deleted one
"$ctl" ln db /linked /link
expect 0 snapshot create db first
expect 0 diff db first
same "nothing" "$(cat out)" ""

expect 0 rm db /gone /dir/sub/deleted
put /changed two
put /linked two
put /new one
expect 0 mv db /file /renamed
expect 0 mv db /dir /away/moved
put /away/moved/sub/inside two
put /away/moved/sub/young one
expect 0 mkdir db /dir
expect 0 ln db /linked /third
put $'/line\nfeed\\' two
put $'/\377\303\244"' two
expect 0 snapshot create db second
expect 0 diff db first second
sort >wanted <<TXT
- /gone
- /dir/sub/deleted
M /changed
M /linked
M /link
+ /third
+ /new
R /file -> /renamed
R /dir -> /away/moved
M /away/moved/sub/inside
+ /away/moved/sub/young
+ /dir
M /line\\x0afeed\\\\
M $(printf '/\377\303\244"')
TXT
sort out | diff - wanted || fail "lines (<) and what was done (>)"
expect 0 diff db first
sort out | diff - wanted || fail "lines to the present"
expect 0 rm db /new
expect 0 diff db second
same "what changed since" "$(cat out)" "- /new"

# With zero bytes: all names as they are, both of a rename.
expect 0 diff -0 db first second
same "zero bytes" "$(tr -cd '\0' <out | wc -c)" 16
tr '\0' '|' <out | grep -qF $'M /line\nfeed\\|' || fail "-0: a name with a line feed"
tr '\0' '|' <out | grep -qF 'R /dir|/away/moved|' || fail "-0: a rename"

# As JSON: every line is an object, and the names come back byte by byte.
expect 0 diff --json db first second
python3 - <<'PY' || fail "JSON"
import json, os
lines = [json.loads(line) for line in open("out", encoding="utf-8")]
assert len(lines) == 14, len(lines)
paths = {os.fsencode(line["path"]): line for line in lines}
assert paths[b'/\xff\xc3\xa4"']["content"] is True
assert paths[b"/line\nfeed\\"]["change"] == "change"
assert paths[b"/away/moved"]["old_path"] == "/dir" and paths[b"/away/moved"]["type"] == "directory"
assert paths[b"/gone"]["change"] == "remove" and paths[b"/new"]["change"] == "create"
assert paths[b"/linked"]["inode"] == paths[b"/third"]["inode"]
PY

expect 1 diff db absent
expect 1 diff db second first
expect 1 diff nowhere first
expect 2 diff db
expect 2 diff -0 --json db first
expect 0 check db

finish
