#!/usr/bin/env bats
# claimctl report and claimctl log: what nodes did, and what became of those that were killed. Pages are well-formed XML too: they are read as such.

load ../lib

export LC_ALL=C

# page FILE CODE: the page as `root`; text(id): all text of the section with that id; count(class): the drawn elements of it.
page() {
	python3 - "$@" <<-'PYTHON'
		import sys, xml.etree.ElementTree as tree
		root = tree.parse(sys.argv[1]).getroot()
		def section(name):
		    found = [e for e in root.iter() if e.get("id") == name]
		    assert len(found) == 1, (name, found)
		    return found[0]
		def text(name): return " ".join(section(name).itertext())
		def count(kind): return sum(1 for e in section("lanes").iter() if kind in (e.get("class") or "").split())
		tags = {e.tag.split("}")[-1] for e in root.iter()}
		assert "script" not in tags and "img" not in tags and "link" not in tags, tags
		exec(sys.argv[2])
	PYTHON
}

@test "report: names and words of others are text, not markup" {
	local evil="a'b\"<script>alert(1)<:script>&amp;.jpg"
	on_queue 3
	printf x >"$q/inputs/$evil"
	printf x >"$q/inputs/"$'bad\xff\x1b[31m.jpg'
	wait_until 10 has_entries "$q/todo" 5
	run timeout 60 claim-worker "$q" -- sh -c 'case $1 in a*|b*) echo "<b>no & JPEG</b>" >&2; exit 3;; esac' - '{}'
	[ "$status" -eq 1 ]
	wait_for 10 '[ "$(claimctl log "$q" | wc -l)" -eq 5 ]'
	claimctl report "$q" -o page.html --price 0.5
	not grep -qi '<script\|<b>no' page.html
	page page.html '
assert "a\x27b\"<script>alert(1)<:script>&amp;.jpg" in text("failed"), text("failed")
assert "bad%FF%1B[31m.jpg" in text("failed"), text("failed")
assert "<b>no & JPEG</b>" in text("failed") and "exit status 3" in text("failed")
assert "node hours" in text("cost") and "0001" in text("slowest")
assert count("f") >= 2 and count("gone") == 0'
	# The plain directory tells the same, but for how many units there are.
	claimctl report disk/q >plain.html
	page plain.html 'assert "0001" in text("slowest") and not [e for e in root.iter() if e.get("id") == "cost"]'
	fails_with 2 '*price*' claimctl report --price cheap "$q"
	fails_with 1 '*no queue*' claimctl report "$work/mnt"
	fails_with 1 "*can't write nowhere/page*" claimctl report "$q" -o nowhere/page
}

@test "report: a queue nobody has worked on" {
	on_queue 1
	claimctl report "$q" -o page.html
	page page.html 'assert "Nothing has happened yet" in " ".join(root.itertext())'
}

@test "report, log: a node that was killed, and who took its claim over" {
	on_queue 2 --lease 3s
	mount_claimfs "$work/disk" "$work/other"
	mv "$q/todo/0001" "$q/claims/0001"
	claimctl log disk/q 0001 >story
	[ "$(wc -l <story)" -eq 1 ]
	grep -q 'claims 0001  claim 1,' story
	node=$(awk '{ print $2 }' story)
	claimctl log --json "$q" 0001 | python3 -c 'import json, sys; e = json.load(sys.stdin); assert e["what"] == "claims" and e["claim"] == 1 and e["node"] == sys.argv[1], e' "$node"
	kill_mount "$work/mnt"
	timeout 60 claim-worker --wait "$work/other/q" -- true || timeout 60 claim-worker "$work/other/q" -- true
	wait_until 20 test -e "$work/other/q/done/0001"
	wait_for 10 'claimctl log disk/q 0001 | grep -q done'
	claimctl log disk/q 0001 >story
	[ "$(awk '{ print $3 }' story | tr '\n' ' ')" = "lost done " ]
	other=$(awk '$3 == "done" { print $2 }' story)
	grep -Eq "$node +lost +0001  attempt 1  taken over by $other, silent since 20" story
	grep -Eq "$other +done +0001  attempt 2 .*begun 20" story
	claimctl log --json disk/q | python3 -c '
import json, sys
lost = [e for e in map(json.loads, sys.stdin) if e["what"] == "lost"]
assert len(lost) == 1 and lost[0]["node"] == sys.argv[1] and lost[0]["taken_over_by"] == sys.argv[2] and lost[0]["beat"] > 0, lost' "$node" "$other"
	# Counted for the one that lost it, and marked in its lane.
	claimctl status --json "$work/other/q" | python3 -c '
import json, sys
lost = {n["name"]: n["lost"] for n in json.load(sys.stdin)["nodes"]}
assert lost[sys.argv[1]] == 1 and lost[sys.argv[2]] == 0, lost' "$node" "$other"
	claimctl report disk/q -o page.html
	page page.html 'assert count("gone") == 1 and count("x") == 2 and "1 lost" in text("lanes"), text("lanes")'
}

@test "report, log: a record that stands there twice is told once, and a merged one is its first node's" {
	mkdir -p q/inputs
	claimctl init q --settle 0
	mkdir -p q/.claimfs/log
	line="1 done $(printf x | md5sum | cut -c1-32) 0 $(date +%s) 1 - x wall=2.5 user=1 rwait=1.2 claim=0.5"
	printf '%s\n\n%s\n' "$line" "$line" >q/.claimfs/log/a.00000001
	printf '%s from=a.00000001:0:%d\n' "$line" "$((${#line} + 1))" >q/.claimfs/log/b.00000002
	[ "$(claimctl log q | awk '{ print $2, $3, $4 }')" = "a.00000001 done x" ]
	claimctl report q -o page.html
	page page.html 'assert "1 done" in text("lanes") and "b.00000002" not in text("nodes"), text("lanes")
split = text("split")
assert "computing 1 s" in split and "reading 1.2 s" in split and "claiming 500 ms" in split and "something else 300 ms" in split and "limited by round trips" in split, split'
}

@test "report, log: second attempts are counted, and none of them is a claim that was lost" {
	mkdir -p q/inputs q/.claimfs/log
	claimctl init q --settle 0
	at="0 $(date +%s)"
	unit() { printf %s "$1" | md5sum | cut -c1-32; }
	printf '1 done %s %s 1 - x wall=2\n1 done %s %s 1 - y by=b.00000002 wasted=30\n' "$(unit x)" "$at" "$(unit y)" "$at" >q/.claimfs/log/a.00000001
	printf '1 lost %s %s 2 - x wasted=12 hedge=lost\n1 done %s %s 2 - y wall=3 hedge=won\n' "$(unit x)" "$at" "$(unit y)" "$at" >q/.claimfs/log/b.00000002
	claimctl report q -o page.html
	page page.html '
tiles = [" ".join(e.itertext()) for e in root.iter() if e.get("class") == "tiles"][0].split("\n")
for tile in ("2 units done", "0 attempts lost", "2 second attempts", "1 of them came first", "42 s of work in vain"):
    assert any(tile == " ".join(t.split()) for t in tiles), (tile, tiles)'
	claimctl log q x | grep -q 'second attempt: lost'
}

@test "report: a hundred thousand units on eighty nodes make a small page, and times out of this world no dot of it" {
	mkdir -p q/inputs
	claimctl init q --settle 0
	mkdir -p q/.claimfs/log
	python3 - <<-'PYTHON'
		import time
		start = int(time.time()) - 4000
		for node in range(80):
		    with open("q/.claimfs/log/n%d.%08x" % (node, node), "w") as log:
		        for i in range(1250):
		            what = "failed" if i % 100 == 0 else "done"
		            log.write("1 %s %032x 0 %d 1 - %d/%d wall=%d.%d stderr=no\n" % (what, node * 1250 + i + 1, start + node + 2 * i, node, i, 1 + i % 7, i % 10))
		with open("q/.claimfs/log/evil.0000ffff", "w") as log:
		    log.write("1 done %032x 0 9223372036854775807 1 - evil wall=1e308\n1 done %032x 0 %d 1 - odd wall=-1\n" % (1 << 100, 1 << 101, start + 9))
	PYTHON
	claimctl report q -o page.html
	[ "$(stat -c %s page.html)" -lt 400000 ]
	page page.html '
assert "99" in " ".join(root.itertext()) and "more" in text("failed") and "18 more nodes" in text("lanes"), text("lanes")
assert "9223372036854775807" not in " ".join(root.itertext())'
}
