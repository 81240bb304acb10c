#!/usr/bin/env bats
# The promises of claimfs-queue(7) under torture, in short: a fixed seed, mounts killed, stopped and cut (make torture runs longer).

load ../lib

@test "torture: every promise is held while mounts are killed, stopped and cut" {
	SEED=7 NODES=3 CLIENTS=3 UNITS=600 WORK_MS=80 EVENTS=6 LIMIT=90 run "$BATS_TEST_DIRNAME/../torture/run"
	echo "$output"
	[ "$status" -eq 0 ]
	[[ $output == *"one commit"*"held"* ]]
	[[ $output == *"600 units"* ]]
}
