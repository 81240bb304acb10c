#!/usr/bin/env bats
# A short run of `make soak`: random operations compared with a model, on one mount, on two, and with connections that break.

load ../lib

soak() {	# MODE OPERATIONS
	run env OPS="$2" MODES="$1" SEED="${SEED:-1}" EVERY="${EVERY:-100}" "$BATS_TEST_DIRNAME/../soak/run"
	echo "$output"
	[ "$status" -eq 0 ]
}

@test "soak: one mount" {
	soak plain 12000
}

@test "soak: two mounts, from close to open" {
	SEED=100 soak two 6000
}

@test "soak: server processes are killed" {
	SEED=200 soak kill 3000
}

@test "soak: connections are cut at arbitrary bytes" {
	SEED=300 soak pipe 3000
}
