#!/usr/bin/env bats
# tests/check-layers must see what it is there for: each planted include is one that the design forbids.

setup() {
	check=$BATS_TEST_DIRNAME/../check-layers
	tree=$BATS_TEST_TMPDIR
	mkdir -p "$tree"/fs/{base,sftp,cache,queue,tree,fuse} "$tree"/worker "$tree"/tools
	printf '#include <stdio.h>\n#include "base/buf.h"\n#include "tree/tree.h"\n#include "queue/queue.h"\n' >"$tree/fs/fuse/ops.c"
	printf '#include <xxhash.h>\n#include "base/hash.h"\n' >"$tree/fs/base/hash.c"
	printf '#include <libssh2.h>\n' >"$tree/fs/sftp/channel_ssh2.c"
	printf '#include <lmdb.h>\n' >"$tree/fs/cache/db.c"
	printf '#include <fuse_lowlevel.h>\n#include "fuse/ops.h"\n#include "options.h"\n' >"$tree/fs/main.c"
	printf '#include "base/buf.h"\n#include "worker/pool.h"\n' >"$tree/worker/main.c"
	printf '#include "queue/layout.h"\n#include "base/buf.h"\n' >"$tree/tools/main.c"
}

refuses() {	# FILE LINE
	echo "$2" >"$tree/$1"
	run "$check" "$tree"
	rm "$tree/$1"
	if [ "$status" -ne 1 ] || [[ $output != *"$1:1: $2"* ]]; then
		echo "not refused: $1: $2"
		echo "$output"
		return 1
	fi
}

@test "layers: the project's own includes point down" {
	"$check"
}

@test "layers: a tree that keeps the rules passes" {
	"$check" "$tree"
}

@test "layers: an include that points up is refused" {
	refuses fs/base/x.c '#include "queue/queue.h"'
	refuses fs/base/x.h '#include "sftp/client.h"'
	refuses fs/sftp/x.c '#include "queue/store.h"'
	refuses fs/queue/x.c '#include "sftp/client.h"'
	refuses fs/queue/x.c '#include "cache/db.h"'
	refuses fs/cache/x.h '#include "sftp/client.h"'
	refuses fs/queue/x.c '#  include "tree/node.h"'
	refuses fs/tree/x.c '#include "fuse/ops.h"'
	refuses worker/x.c '#include "queue/queue.h"'
	refuses tools/x.c '#include "sftp/client.h"'
	refuses tools/x.c '#include "worker/pool.h"'
}

@test "layers: a library seen from elsewhere is refused" {
	refuses fs/tree/x.c '#include <fuse_lowlevel.h>'
	refuses fs/options.c '#include <fuse3/fuse.h>'
	refuses fs/sftp/conn.c '#include <libssh2.h>'
	refuses fs/cache/x.c '#include <lmdb.h>'
	refuses fs/base/map.c '#include <xxhash.h>'
	refuses worker/x.c '#include <xxh3.h>'
}

@test "layers: a path around the rule is refused" {
	refuses fs/base/x.c '#include "../queue/queue.h"'
	refuses fs/base/x.c '#include "fs/queue/queue.h"'
	refuses fs/base/x.c '#include "./../queue/queue.h"'
}

@test "layers: a folder without a rule is refused" {
	mkdir "$tree/fs/extra"
	echo >"$tree/fs/extra/x.c"
	run "$check" "$tree"
	[ "$status" -eq 1 ]
	[[ $output == *"fs/extra/x.c: a folder that is no layer"* ]]
}
