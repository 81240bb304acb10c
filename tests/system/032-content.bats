# key = content: what hashing an input costs, beside the job that reads it anyway.

load ../lib

# reads_of KEY [OPTION...]: READ requests that a mount sent while each unit of a queue was taken (all in one batch) and its input read by a job once.
# The inputs are $work/inputs/*. Also sees that the job got the bytes.
reads_of() {
	local key=$1 dir
	dir=$(mktemp -d "$work/XXXXXX")
	shift
	mkdir -p "$dir/disk/q"
	cp -r "$work/inputs" "$dir/disk/q/inputs"
	find "$dir/disk/q/inputs" -type f -exec touch -d '1 hour ago' {} +
	claimctl init "$dir/disk/q" --key "$key" >/dev/null
	mount_claimfs "$dir/disk" "$dir/mnt" "$@"
	python3 - "$dir/mnt/q" "$work/inputs" <<-'PYTHON'
		import hashlib, json, os, sys
		queue, inputs = sys.argv[1:]
		def reads():
		    return json.loads(os.getxattr(queue + "/..", "user.claimfs.stats"))["operations"]["read"]["count"]
		def digest(path):
		    with open(path, "rb") as file:
		        return hashlib.file_digest(file, "md5").hexdigest()
		count = len(os.listdir(inputs))
		with open(queue + "/ctl", "r+b", 0) as ctl:
		    assert len(os.listdir(queue + "/todo")) == count
		    before = reads()
		    ctl.write(b"take %d\n" % count)
		    names = ctl.readline().decode().rstrip("\n").split("\t")
		    assert len(names) == count, names
		    for name in names:
		        assert digest(queue + "/inputs/" + name) == digest(inputs + "/" + name), name
		    after = reads()
		    for name in names:
		        ctl.write(b"done %s\n" % name.encode())
		        assert ctl.readline().startswith(b"ok"), name
		print(after - before)
	PYTHON
	unmount "$dir/mnt"
}

# About as many as with key = name: there is slack for the queue's own (logs, owners), and for where a read of the kernel's ends.
as_few_reads() {	# SLACK
	local named hashed
	named=$(reads_of name)
	hashed=$(reads_of content)
	echo "READs: key=name $named, key=content $hashed"
	[ "$named" -gt 0 ] && [ "$hashed" -le $((named + $1)) ]
}

@test "key = content: a batch of small inputs is read once, for the hash and for the jobs" {
	local i
	mkdir inputs
	for i in {1..128}; do printf 'bytes of input %d\n' "$i" >"inputs/$i"; done
	as_few_reads 20
}

@test "key = content: an input larger than the read-ahead window is read once" {
	mkdir inputs
	head -c 24M /dev/urandom >inputs/large
	head -c 300000 /dev/urandom >inputs/middling
	as_few_reads 20
}

@test "key = content: what hash_cache has no room for is read again by the job" {
	local all some none
	mkdir inputs
	head -c 24M /dev/urandom >inputs/large
	all=$(reads_of content)
	some=$(reads_of content -o hash_cache=12M)
	none=$(reads_of content -o hash_cache=0)
	echo "READs: $all, with half the room $some, with none $none"
	[ "$all" -lt "$some" ]
	[ "$some" -lt "$none" ]
}

# changes_are_seen [OPTION...]: of inputs that were hashed when they were taken.
changes_are_seen() {
	local answer
	make_queue "$work/disk/q" --key content
	echo old >"$work/disk/q/inputs/x"
	echo same >"$work/disk/q/inputs/y"
	touch -d '1 hour ago' "$work/disk/q/inputs/"*
	mount_claimfs "$work/disk" "$work/mnt" "$@"
	cd mnt/q
	wait_until 10 has_entries todo 2
	exec 9<>ctl
	echo "take 2" >&9
	read -r -t 20 answer <&9
	echo new >"$work/disk/q/inputs/x"
	[ "$(cat inputs/x)" = new ]
	[ "$(cat inputs/y)" = same ]
	# Changed through this mount, under a handle that is open.
	exec 8<inputs/y
	echo diff >inputs/y
	[ "$(cat <&8)" = diff ]
	exec 8<&- 9>&-
}

@test "key = content: an input that changes after the claim is read as it is" {
	changes_are_seen
}

@test "key = content: an input that changes after the claim is read as it is, without the kernel's cache too" {
	changes_are_seen -o direct_io
}
