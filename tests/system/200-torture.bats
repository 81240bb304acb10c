#!/usr/bin/env bats
# The promises of claimfs-queue(7) under torture, in short: a fixed seed, every kind of event once (make torture runs longer, and with networks).

load ../lib

@test "torture: every promise is held while mounts, servers and the disk are killed, stopped, cut and filled, and units are redone" {
	SEED=333 HOSTS=mounts NODES=3 CLIENTS=3 WORKERS=0 UNITS=200 WORK_MS=80 EVENTS=6 QUIET=4 HEDGE=30 LIMIT=90 run "$BATS_TEST_DIRNAME/../torture/run"
	echo "$output"
	[ "$status" -eq 0 ]
	[[ $output == *"one commit"*"held"* ]]
	[[ $output == *"200 units"* ]]
	[[ $output =~ [1-9][0-9]*\ units\ hedged ]]
}

@test "torture: and so they are by content, in nested directories, durably, on a disk with few links, with workers" {
	SEED=334 HOSTS=mounts KEY=content NESTED=4 LINKS=12 DURABLE=yes NODES=2 CLIENTS=2 WORKERS=1 UNITS=80 WORK_MS=40 EVENTS=3 QUIET=2 LIMIT=90 \
		run "$BATS_TEST_DIRNAME/../torture/run"
	echo "$output"
	[ "$status" -eq 0 ]
	[[ $output == *"one commit"*"held"* ]]
	[[ $output == *"80 units"* ]]
}
