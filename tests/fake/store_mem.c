/*
 * store_mem: see store_mem.h. Inodes are counted; names are a sorted-by-insertion array of (path, inode) found through a map.
 */
#include "tests/fake/store_mem.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/list.h"
#include "base/map.h"

#define FAULTS 16
#define KINDS (STORE_COPY + 1)

struct inode {
	bool dir;
	uint32_t links;
	uint32_t opens;
	int64_t mtime;
	struct buf data;
	struct map names;		/* of a directory: component → struct inode */
};

static _Thread_local uint64_t flights_here;

struct mem_disk {
	pthread_mutex_t lock;
	struct inode *root;
	int64_t offset_ns;		/* the disk's clock less clock_now() */
	uint32_t link_limit;
	bool full;
};

struct late {
	struct list link;
	enum store_kind kind;
	char *path, *path2;
	int64_t mtime;
};

struct mem_store {
	struct store store;
	struct mem_disk *disk;
	pthread_mutex_t lock;		/* guards the faults and counts; taken before the disk's */
	struct mem_fault faults[FAULTS];
	int fault_count;
	struct list late;
	int64_t cut_at;			/* operations left until nothing passes; INT64_MAX */
	bool cancelled;
	mem_hook *hook;
	void *hook_arg;
	uint64_t flights;
	const char *slow_path;		/* listings of it take slow_us */
	unsigned int slow_us;
	uint64_t slowed;
	int64_t slow_began, slow_gap;
	uint64_t counts[KINDS];
};

struct store_file {
	struct inode *inode;
	bool append;
};

/* ---- inodes ---- */

static int64_t disk_time(const struct mem_disk *disk)
{
	return (clock_now() + disk->offset_ns) / NS_PER_S;
}

static struct inode *inode_new(const struct mem_disk *disk, bool dir)
{
	struct inode *inode = calloc(1, sizeof(*inode));

	inode->dir = dir;
	inode->mtime = disk_time(disk);
	return inode;
}

static void inode_put(struct inode *inode)
{
	if (inode->links || inode->opens)
		return;
	buf_release(&inode->data);
	map_release(&inode->names);
	free(inode);
}

static void free_tree(struct inode *inode)
{
	struct inode *child;
	size_t cursor = 0;

	while (inode->dir && (child = map_next(&inode->names, &cursor, NULL, NULL)) != NULL) {
		child->links--;
		free_tree(child);
	}
	inode_put(inode);
}

/* The directory that holds the last component of `path`, which goes to *ret_base (NULL for the root itself). */
static int walk(struct mem_disk *disk, const char *path, struct inode **ret_dir, char ret_base[256])
{
	struct inode *at = disk->root, *next;
	const char *end;
	size_t len;

	ret_base[0] = '\0';
	for (;;) {
		while (*path == '/')
			path++;
		end = strchrnul(path, '/');
		len = (size_t)(end - path);
		if (len == 0 || (len == 1 && path[0] == '.')) {
			if (!*end)
				break;
			path = end;
			continue;
		}
		if (len > 255)
			return -ENAMETOOLONG;
		if (ret_base[0]) {
			next = map_get_str(&at->names, ret_base);
			if (!next)
				return -ENOENT;
			at = next;
		}
		if (!at->dir)
			return -ENOTDIR;
		memcpy(ret_base, path, len);
		ret_base[len] = '\0';
		if (!*end)
			break;
		path = end;
	}
	*ret_dir = at;
	return 0;
}

static int find(struct mem_disk *disk, const char *path, struct inode **ret_inode)
{
	struct inode *dir, *inode;
	char base[256];
	int error = walk(disk, path, &dir, base);

	if (error)
		return error;
	inode = base[0] ? map_get_str(&dir->names, base) : dir;
	/* "file/." is no directory. */
	if (inode && !inode->dir && strlen(path) > 2 && strcmp(path + strlen(path) - 2, "/.") == 0)
		return -ENOTDIR;
	*ret_inode = inode;
	return inode ? 0 : -ENOENT;
}

static int add_name(struct mem_disk *disk, const char *path, struct inode *inode)
{
	struct inode *dir;
	char base[256];
	int error = walk(disk, path, &dir, base);

	if (error)
		return error;
	if (!base[0] || map_get_str(&dir->names, base))
		return STORE_FAILURE;
	error = map_set_str(&dir->names, base, inode, NULL);
	if (!error) {
		inode->links++;
		dir->mtime = disk_time(disk);
	}
	return error;
}

static int drop_name(struct mem_disk *disk, const char *path)
{
	struct inode *dir, *inode;
	char base[256];
	int error = walk(disk, path, &dir, base);

	if (error)
		return error;
	inode = base[0] ? map_remove_str(&dir->names, base) : NULL;
	if (!inode)
		return -ENOENT;
	inode->links--;
	dir->mtime = disk_time(disk);
	inode_put(inode);
	return 0;
}

/* ---- operations on the disk, under its lock ---- */

static int do_link(struct mem_disk *disk, const char *from, const char *to)
{
	struct inode *inode;
	int error = find(disk, from, &inode);

	if (error)
		return error;
	if (inode->dir)
		return -EPERM;
	if (disk->link_limit && inode->links >= disk->link_limit)
		return STORE_FAILURE;
	return add_name(disk, to, inode);
}

static int do_rename(struct mem_disk *disk, const char *from, const char *to)
{
	struct inode *inode, *old = NULL;
	int error = find(disk, from, &inode);

	if (error)
		return error;
	error = find(disk, to, &old);
	if (error && error != -ENOENT)
		return error;
	if (!error) {
		if (old == inode)
			return 0;	/* two names of one inode: both stay */
		if (old->dir != inode->dir || (old->dir && old->names.count))
			return STORE_FAILURE;
		drop_name(disk, to);
	}
	inode->links++;			/* keep it while it has no name */
	error = add_name(disk, to, inode);
	if (!error)
		error = drop_name(disk, from);
	inode->links--;
	return error;
}

static int do_remove(struct mem_disk *disk, const char *path, bool dir)
{
	struct inode *inode;
	int error = find(disk, path, &inode);

	if (error)
		return error;
	if (inode->dir != dir || (dir && inode->names.count))
		return STORE_FAILURE;
	return drop_name(disk, path);
}

/* Memory can be made to fail (base/fault.h): to whoever writes it is a disk that does. */
static int add_data(struct inode *inode, const void *data, size_t len)
{
	bool failed;

	buf_add(&inode->data, data, len);
	failed = buf_error(&inode->data);
	inode->data.error = 0;
	return failed ? STORE_FAILURE : 0;
}

static int do_create(struct mem_disk *disk, const char *path, const void *data, size_t len, bool dir)
{
	struct inode *inode;
	int error;

	if (disk->full)
		return STORE_FAILURE;
	inode = inode_new(disk, dir);
	error = add_data(inode, data, len);
	if (!error)
		error = add_name(disk, path, inode);
	inode_put(inode);
	return error;
}

static int do_copy(struct mem_disk *disk, const char *from, const char *to)
{
	struct inode *inode;
	int error = find(disk, from, &inode);

	if (error)
		return error;
	return inode->dir ? STORE_FAILURE : do_create(disk, to, inode->data.data, inode->data.len, false);
}

static void fill_attrs(const struct inode *inode, struct store_attrs *ret)
{
	ret->size = inode->data.len;
	ret->mode = inode->dir ? S_IFDIR | 0755 : S_IFREG | 0644;
	ret->mtime = inode->mtime;
}

static int do_read(struct mem_disk *disk, struct store_op *op)
{
	struct inode *inode;
	size_t len;
	int error = find(disk, op->path, &inode);

	if (error)
		return error;
	if (inode->dir)
		return STORE_FAILURE;
	op->attrs.size = inode->data.len;
	len = op->offset < inode->data.len ? inode->data.len - (size_t)op->offset : 0;
	buf_add(op->data, inode->data.data + (len ? op->offset : 0), len < op->max ? len : op->max);
	return buf_error(op->data);
}

static int do_write(struct mem_disk *disk, struct store_op *op)
{
	struct inode *inode = op->file->inode;
	size_t offset = op->kind == STORE_APPEND ? inode->data.len : (size_t)op->offset;
	int error = 0;

	if (disk->full && offset + op->input_len > inode->data.len)
		return STORE_FAILURE;
	while (inode->data.len < offset)
		buf_addch(&inode->data, 0);
	if (offset + op->input_len > inode->data.len) {
		buf_truncate(&inode->data, offset);
		error = add_data(inode, op->input, op->input_len);
	} else {
		memcpy(inode->data.data + offset, op->input, op->input_len);
	}
	inode->mtime = disk_time(disk);
	return error;
}

static int carry_out(struct mem_disk *disk, struct store_op *op)
{
	struct inode *inode;
	int error = 0;

	switch (op->kind) {
	case STORE_LINK:
		return do_link(disk, op->path, op->path2);
	case STORE_RENAME:
		return do_rename(disk, op->path, op->path2);
	case STORE_REMOVE:
		return do_remove(disk, op->path, false);
	case STORE_RMDIR:
		return do_remove(disk, op->path, true);
	case STORE_MKDIR:
		return do_create(disk, op->path, NULL, 0, true);
	case STORE_CREATE:
	case STORE_PUT:
		return do_create(disk, op->path, op->input, op->input_len, false);
	case STORE_COPY:
		return do_copy(disk, op->path, op->path2);
	case STORE_READ:
		return do_read(disk, op);
	case STORE_WRITE:
	case STORE_APPEND:
		return do_write(disk, op);
	case STORE_FSTAT:
		fill_attrs(op->file->inode, &op->attrs);
		return 0;
	case STORE_LSTAT:
	case STORE_UTIME:
	case STORE_FSYNC:
		error = find(disk, op->path, &inode);
		if (!error && op->kind == STORE_UTIME)
			inode->mtime = op->mtime;
		if (!error && op->kind == STORE_LSTAT)
			fill_attrs(inode, &op->attrs);
		return error;
	}
	return -ENOSYS;
}

/* ---- faults ---- */

static bool is_idempotent(enum store_kind kind)
{
	return kind == STORE_LSTAT || kind == STORE_READ || kind == STORE_UTIME || kind == STORE_WRITE || kind == STORE_FSTAT ||
	       kind == STORE_FSYNC;
}

static bool matches(struct mem_fault *fault, const struct store_op *op)
{
	if (fault->kind != op->kind || fault->count <= 0)
		return false;
	if (fault->part && !(op->path && strstr(op->path, fault->part)) && !(op->path2 && strstr(op->path2, fault->part)))
		return false;
	if (fault->skip > 0) {
		fault->skip--;
		return false;
	}
	fault->count--;
	return true;
}

static void keep_late(struct mem_store *mem, const struct store_op *op)
{
	struct late *late = calloc(1, sizeof(*late));

	late->kind = op->kind;
	late->path = op->path ? strdup(op->path) : NULL;
	late->path2 = op->path2 ? strdup(op->path2) : NULL;
	late->mtime = op->mtime;
	list_append(&mem->late, &late->link);
}

static void carry_out_locked(struct mem_store *mem, struct store_op *op)
{
	pthread_mutex_lock(&mem->disk->lock);
	op->error = carry_out(mem->disk, op);
	pthread_mutex_unlock(&mem->disk->lock);
}

static void run_op(struct mem_store *mem, struct store_op *op)
{
	struct mem_fault fault = { .count = -1 };
	mem_hook *hook;
	bool cut;
	int i;

	pthread_mutex_lock(&mem->lock);
	hook = mem->hook;
	pthread_mutex_unlock(&mem->lock);
	if (hook)
		hook(mem->hook_arg, op);
	op->sent_ns = clock_now();
	pthread_mutex_lock(&mem->lock);
	mem->counts[op->kind]++;
	cut = mem->cut_at != INT64_MAX && mem->cut_at-- <= 0;
	if (cut)
		mem->cut_at = 0;
	for (i = 0; i < mem->fault_count && !cut; i++)
		if (matches(&mem->faults[i], op)) {
			fault = mem->faults[i];
			break;
		}
	if (!cut && fault.count >= 0 && fault.fault == MEM_LATE)
		keep_late(mem, op);
	pthread_mutex_unlock(&mem->lock);
	if (cut || (fault.count >= 0 && (fault.fault == MEM_LOSE_REQUEST || fault.fault == MEM_LATE))) {
		op->error = is_idempotent(op->kind) ? -ETIMEDOUT : STORE_UNKNOWN;
	} else if (fault.count >= 0 && fault.fault == MEM_FAIL) {
		op->error = fault.error;
	} else {
		carry_out_locked(mem, op);
		if (fault.count >= 0 && fault.fault == MEM_LOSE_ANSWER)
			op->error = is_idempotent(op->kind) ? -ETIMEDOUT : STORE_UNKNOWN;
		if (fault.count >= 0 && fault.fault == MEM_SLOW)
			fault.advance(fault.arg);
	}
	op->received_ns = clock_now();
}

static void mem_run(struct store *store, struct store_op *ops, size_t count)
{
	struct mem_store *mem = container_of(store, struct mem_store, store);
	size_t i;

	pthread_mutex_lock(&mem->lock);
	mem->flights++;
	flights_here++;
	pthread_mutex_unlock(&mem->lock);
	for (i = 0; i < count; i++)
		run_op(mem, &ops[i]);
}

/* ---- listings and files ---- */

struct listed {
	char *name;
	struct store_attrs attrs;
};

static int snapshot(struct mem_disk *disk, const char *path, struct listed **ret_list, size_t *ret_count)
{
	struct inode *dir, *child;
	struct listed *list;
	size_t cursor = 0, count = 0, len;
	const void *name;
	int error = find(disk, path, &dir);

	if (error)
		return error;
	if (!dir->dir)
		return -ENOTDIR;
	list = calloc(dir->names.count + 1, sizeof(*list));
	while ((child = map_next(&dir->names, &cursor, &name, &len)) != NULL) {
		list[count].name = strndup(name, len);
		fill_attrs(child, &list[count++].attrs);
	}
	*ret_list = list;
	*ret_count = count;
	return 0;
}

static bool is_slow(const struct mem_store *mem, const char *path)
{
	size_t len = mem->slow_path ? strlen(mem->slow_path) : 0;

	if (len && mem->slow_path[len - 1] == '/')
		return strncmp(path, mem->slow_path, len) == 0;
	return len && strcmp(path, mem->slow_path) == 0;
}

static void count_slowed(struct mem_store *mem)
{
	int64_t now = clock_now();

	if (mem->slowed++ > 0 && now - mem->slow_began < mem->slow_gap)
		mem->slow_gap = now - mem->slow_began;
	mem->slow_began = now;
}

/* `alone`: it is a round trip of its own. */
static int list_now(struct store *store, const char *path, bool alone, store_entry *entry, void *arg)
{
	struct mem_store *mem = container_of(store, struct mem_store, store);
	struct listed *list = NULL;
	size_t count = 0, i;
	bool cut, more = true;
	unsigned int us;
	int error;

	pthread_mutex_lock(&mem->lock);
	mem->flights += alone;
	flights_here += alone;
	us = is_slow(mem, path) ? mem->slow_us : 0;
	if (us)
		count_slowed(mem);
	cut = mem->cut_at != INT64_MAX && mem->cut_at <= 0;
	pthread_mutex_unlock(&mem->lock);
	if (cut)
		return -ETIMEDOUT;
	if (us)
		usleep(us);
	pthread_mutex_lock(&mem->disk->lock);
	error = snapshot(mem->disk, path, &list, &count);
	pthread_mutex_unlock(&mem->disk->lock);
	for (i = 0; i < count; i++) {
		struct store_name name = { .name = list[i].name, .len = strlen(list[i].name), .attrs = list[i].attrs };

		if (more)
			more = entry(arg, &name);
		free(list[i].name);
	}
	free(list);
	return error;
}

static int mem_list(struct store *store, const char *path, store_entry *entry, void *arg)
{
	return list_now(store, path, true, entry, arg);
}

/* It goes along with the first flight that follows, if one does before its end. */
static void mem_list_begin(struct store *store, struct store_listing *listing)
{
	(void)store;
	listing->begun = (void *)(uintptr_t)(flights_here + 1);
}

static int mem_list_end(struct store *store, struct store_listing *listing, store_entry *entry, void *arg)
{
	bool alone = (uintptr_t)listing->begun == flights_here + 1;

	return entry ? list_now(store, listing->path, alone, entry, arg) : 0;
}

static int mem_open(struct store *store, const char *path, int flags, struct store_file **ret_file)
{
	struct mem_store *mem = container_of(store, struct mem_store, store);
	struct mem_disk *disk = mem->disk;
	struct store_file *file;
	struct inode *inode;
	bool cut;
	int error;

	pthread_mutex_lock(&mem->lock);
	cut = mem->cut_at != INT64_MAX && mem->cut_at <= 0;
	pthread_mutex_unlock(&mem->lock);
	if (cut)
		return STORE_UNKNOWN;
	pthread_mutex_lock(&disk->lock);
	error = find(disk, path, &inode);
	if (!error && (flags & O_EXCL))
		error = STORE_FAILURE;
	if (error == -ENOENT && (flags & O_CREAT)) {
		error = do_create(disk, path, NULL, 0, false);
		if (!error)
			error = find(disk, path, &inode);
	}
	if (!error) {
		file = calloc(1, sizeof(*file));
		file->inode = inode;
		file->append = flags & O_APPEND;
		inode->opens++;
		*ret_file = file;
	}
	pthread_mutex_unlock(&disk->lock);
	return error;
}

static void mem_close(struct store *store, struct store_file *file)
{
	struct mem_store *mem = container_of(store, struct mem_store, store);

	pthread_mutex_lock(&mem->disk->lock);
	file->inode->opens--;
	inode_put(file->inode);
	pthread_mutex_unlock(&mem->disk->lock);
	free(file);
}

static bool mem_cancelled(struct store *store)
{
	struct mem_store *mem = container_of(store, struct mem_store, store);
	bool cancelled;

	pthread_mutex_lock(&mem->lock);
	cancelled = mem->cancelled;
	pthread_mutex_unlock(&mem->lock);
	return cancelled;
}

static const struct store_ops mem_ops = {
	.run = mem_run, .list = mem_list, .list_begin = mem_list_begin, .list_end = mem_list_end, .open = mem_open, .close = mem_close, .cancelled = mem_cancelled,
};

/* ---- mounts ---- */

struct store *mem_mount(struct mem_disk *disk)
{
	struct mem_store *mem = calloc(1, sizeof(*mem));

	mem->store.ops = &mem_ops;
	mem->disk = disk;
	mem->cut_at = INT64_MAX;
	list_init(&mem->late);
	pthread_mutex_init(&mem->lock, NULL);
	return &mem->store;
}

static void free_late(struct late *late)
{
	free(late->path);
	free(late->path2);
	free(late);
}

void mem_unmount(struct store *store)
{
	struct mem_store *mem = container_of(store, struct mem_store, store);
	struct list *at;

	while ((at = list_pop(&mem->late)) != NULL)
		free_late(list_entry(at, struct late, link));
	pthread_mutex_destroy(&mem->lock);
	free(mem);
}

void mem_cancel(struct store *store)
{
	struct mem_store *mem = container_of(store, struct mem_store, store);

	pthread_mutex_lock(&mem->lock);
	mem->cancelled = true;
	pthread_mutex_unlock(&mem->lock);
}

void mem_fault(struct store *store, const struct mem_fault *fault)
{
	struct mem_store *mem = container_of(store, struct mem_store, store);

	pthread_mutex_lock(&mem->lock);
	if (mem->fault_count < FAULTS)
		mem->faults[mem->fault_count++] = *fault;
	pthread_mutex_unlock(&mem->lock);
}

void mem_clear_faults(struct store *store)
{
	struct mem_store *mem = container_of(store, struct mem_store, store);

	pthread_mutex_lock(&mem->lock);
	mem->fault_count = 0;
	pthread_mutex_unlock(&mem->lock);
}

int mem_do_late(struct store *store)
{
	struct mem_store *mem = container_of(store, struct mem_store, store);
	struct list late, *at;
	int count = 0;

	list_init(&late);
	pthread_mutex_lock(&mem->lock);
	list_splice(&late, &mem->late);
	pthread_mutex_unlock(&mem->lock);
	while ((at = list_pop(&late)) != NULL) {
		struct late *one = list_entry(at, struct late, link);
		struct store_op op = { .kind = one->kind, .path = one->path, .path2 = one->path2, .mtime = one->mtime };

		carry_out_locked(mem, &op);
		free_late(one);
		count++;
	}
	return count;
}

void mem_cut(struct store *store, int64_t at)
{
	struct mem_store *mem = container_of(store, struct mem_store, store);

	pthread_mutex_lock(&mem->lock);
	mem->cut_at = at;
	pthread_mutex_unlock(&mem->lock);
}

void mem_uncut(struct store *store)
{
	mem_cut(store, INT64_MAX);
}

bool mem_is_cut(struct store *store)
{
	struct mem_store *mem = container_of(store, struct mem_store, store);
	bool cut;

	pthread_mutex_lock(&mem->lock);
	cut = mem->cut_at <= 0;
	pthread_mutex_unlock(&mem->lock);
	return cut;
}

void mem_set_hook(struct store *store, mem_hook *hook, void *arg)
{
	struct mem_store *mem = container_of(store, struct mem_store, store);

	pthread_mutex_lock(&mem->lock);
	mem->hook_arg = arg;
	mem->hook = hook;
	pthread_mutex_unlock(&mem->lock);
}

uint64_t mem_flights_here(void)
{
	return flights_here;
}

uint64_t mem_flights(struct store *store)
{
	struct mem_store *mem = container_of(store, struct mem_store, store);
	uint64_t flights;

	pthread_mutex_lock(&mem->lock);
	flights = mem->flights;
	pthread_mutex_unlock(&mem->lock);
	return flights;
}

void mem_slow_listings(struct store *store, const char *path, unsigned int us)
{
	struct mem_store *mem = container_of(store, struct mem_store, store);

	pthread_mutex_lock(&mem->lock);
	mem->slow_path = path;
	mem->slow_us = us;
	mem->slowed = 0;
	mem->slow_gap = INT64_MAX;
	pthread_mutex_unlock(&mem->lock);
}

int64_t mem_slowed_gap(struct store *store)
{
	struct mem_store *mem = container_of(store, struct mem_store, store);
	int64_t gap;

	pthread_mutex_lock(&mem->lock);
	gap = mem->slow_gap;
	pthread_mutex_unlock(&mem->lock);
	return gap;
}

uint64_t mem_slowed(struct store *store)
{
	struct mem_store *mem = container_of(store, struct mem_store, store);
	uint64_t slowed;

	pthread_mutex_lock(&mem->lock);
	slowed = mem->slowed;
	pthread_mutex_unlock(&mem->lock);
	return slowed;
}

uint64_t mem_count(struct store *store, enum store_kind kind)
{
	struct mem_store *mem = container_of(store, struct mem_store, store);
	uint64_t count;

	pthread_mutex_lock(&mem->lock);
	count = mem->counts[kind];
	pthread_mutex_unlock(&mem->lock);
	return count;
}

/* ---- the disk behind everybody's back ---- */

struct mem_disk *mem_disk_new(void)
{
	struct mem_disk *disk = calloc(1, sizeof(*disk));

	pthread_mutex_init(&disk->lock, NULL);
	disk->offset_ns = 1700000000LL * NS_PER_S - clock_now();
	disk->root = inode_new(disk, true);
	disk->root->links = 1;
	return disk;
}

void mem_disk_free(struct mem_disk *disk)
{
	disk->root->links = 0;
	free_tree(disk->root);
	pthread_mutex_destroy(&disk->lock);
	free(disk);
}

int64_t mem_disk_time(struct mem_disk *disk)
{
	int64_t time;

	pthread_mutex_lock(&disk->lock);
	time = disk_time(disk);
	pthread_mutex_unlock(&disk->lock);
	return time;
}

void mem_disk_shift(struct mem_disk *disk, int64_t seconds)
{
	pthread_mutex_lock(&disk->lock);
	disk->offset_ns += seconds * NS_PER_S;
	pthread_mutex_unlock(&disk->lock);
}

bool mem_disk_exists(struct mem_disk *disk, const char *path)
{
	struct inode *inode;
	bool exists;

	pthread_mutex_lock(&disk->lock);
	exists = find(disk, path, &inode) == 0;
	pthread_mutex_unlock(&disk->lock);
	return exists;
}

static void mkdirs_locked(struct mem_disk *disk, const char *path)
{
	char *copy = strdup(path), *slash;

	for (slash = strchr(copy, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		do_create(disk, copy, NULL, 0, true);
		*slash = '/';
	}
	free(copy);
}

int mem_disk_mkdirs(struct mem_disk *disk, const char *path)
{
	int error;

	pthread_mutex_lock(&disk->lock);
	mkdirs_locked(disk, path);
	error = do_create(disk, path, NULL, 0, true);
	pthread_mutex_unlock(&disk->lock);
	return error;
}

int mem_disk_write(struct mem_disk *disk, const char *path, const void *data, size_t len)
{
	struct inode *inode;
	int error;

	pthread_mutex_lock(&disk->lock);
	mkdirs_locked(disk, path);
	error = find(disk, path, &inode);
	if (error == -ENOENT) {
		error = do_create(disk, path, data, len, false);
	} else if (!error) {
		buf_reset(&inode->data);
		buf_add(&inode->data, data, len);
		inode->mtime = disk_time(disk);
	}
	pthread_mutex_unlock(&disk->lock);
	return error;
}

int mem_disk_puts(struct mem_disk *disk, const char *path, const char *text)
{
	return mem_disk_write(disk, path, text, strlen(text));
}

int mem_disk_read(struct mem_disk *disk, const char *path, struct buf *ret)
{
	struct store_op op = { .kind = STORE_READ, .path = path, .max = SIZE_MAX, .data = ret };
	int error;

	pthread_mutex_lock(&disk->lock);
	error = do_read(disk, &op);
	pthread_mutex_unlock(&disk->lock);
	return error;
}

int mem_disk_link(struct mem_disk *disk, const char *from, const char *to)
{
	int error;

	pthread_mutex_lock(&disk->lock);
	error = do_link(disk, from, to);
	pthread_mutex_unlock(&disk->lock);
	return error;
}

int mem_disk_remove(struct mem_disk *disk, const char *path)
{
	int error;

	pthread_mutex_lock(&disk->lock);
	error = drop_name(disk, path);
	pthread_mutex_unlock(&disk->lock);
	return error;
}

int mem_disk_set_mtime(struct mem_disk *disk, const char *path, int64_t mtime)
{
	struct inode *inode;
	int error;

	pthread_mutex_lock(&disk->lock);
	error = find(disk, path, &inode);
	if (!error)
		inode->mtime = mtime;
	pthread_mutex_unlock(&disk->lock);
	return error;
}

int mem_disk_mtime(struct mem_disk *disk, const char *path, int64_t *ret_mtime)
{
	struct inode *inode;
	int error;

	pthread_mutex_lock(&disk->lock);
	error = find(disk, path, &inode);
	if (!error)
		*ret_mtime = inode->mtime;
	pthread_mutex_unlock(&disk->lock);
	return error;
}

int mem_disk_list(struct mem_disk *disk, const char *path, struct buf *ret_names)
{
	struct listed *list = NULL;
	size_t count = 0, i;
	int error;

	pthread_mutex_lock(&disk->lock);
	error = snapshot(disk, path, &list, &count);
	pthread_mutex_unlock(&disk->lock);
	for (i = 0; i < count; i++) {
		buf_add(ret_names, list[i].name, strlen(list[i].name) + 1);
		free(list[i].name);
	}
	free(list);
	return error ? error : (int)count;
}

void mem_disk_set_link_limit(struct mem_disk *disk, uint32_t links)
{
	pthread_mutex_lock(&disk->lock);
	disk->link_limit = links;
	pthread_mutex_unlock(&disk->lock);
}

void mem_disk_set_full(struct mem_disk *disk, bool full)
{
	pthread_mutex_lock(&disk->lock);
	disk->full = full;
	pthread_mutex_unlock(&disk->lock);
}
