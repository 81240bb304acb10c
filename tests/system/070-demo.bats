#!/usr/bin/env bats
# make demo, with fewer files: what a new user sees first must not fail.

load ../lib

@test "demo: runs through, and leaves nothing behind" {
	export TMPDIR=$work
	timeout 110 "$BATS_TEST_DIRNAME/../demo" 150 </dev/null
	[ -z "$(ls -d "$work"/claimfs-demo.* 2>/dev/null)" ]
	not grep -q "$work" /proc/self/mounts
}
