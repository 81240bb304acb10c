/* hashed: see hashed.h. */
#include "tree/hashed.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"

struct piece {
	uint64_t end;			/* in the file */
	struct buf bytes;
};

struct hashed_file {
	struct hashed *hashed;
	unsigned int refs;		/* the table's, and who has found it */
	uint64_t size;
	int64_t mtime;
	uint64_t kept;			/* bytes, from its begin on */
	struct piece *pieces;		/* in order, without gaps */
	size_t count;
};

struct hashed {
	pthread_mutex_t lock;		/* guards all, files included */
	struct map files;		/* path → file */
	size_t bytes;			/* of all files alive */
	size_t max;
};

int hashed_new(size_t max, struct hashed **ret_hashed)
{
	struct hashed *hashed = calloc(1, sizeof(*hashed));

	if (!hashed)
		return -ENOMEM;
	pthread_mutex_init(&hashed->lock, NULL);
	map_init(&hashed->files);
	hashed->max = max;
	*ret_hashed = hashed;
	return 0;
}

static void unref_locked(struct hashed_file *file)
{
	size_t i;

	if (!file || --file->refs)
		return;
	file->hashed->bytes -= (size_t)file->kept;
	for (i = 0; i < file->count; i++)
		buf_release(&file->pieces[i].bytes);
	free(file->pieces);
	free(file);
}

void hashed_free(struct hashed *hashed)
{
	struct hashed_file *file;
	size_t cursor = 0;

	if (!hashed)
		return;
	while ((file = map_next(&hashed->files, &cursor, NULL, NULL)))
		unref_locked(file);
	map_release(&hashed->files);
	pthread_mutex_destroy(&hashed->lock);
	free(hashed);
}

/* ---- keeping ---- */

/* In place of what was there. NULL: out of memory. */
static struct hashed_file *begin_locked(struct hashed *hashed, const char *path, uint64_t size, int64_t mtime)
{
	struct hashed_file *file = calloc(1, sizeof(*file));
	void *old = NULL;

	if (!file)
		return NULL;
	file->hashed = hashed;
	file->refs = 1;
	file->size = size;
	file->mtime = mtime;
	if (map_set_str(&hashed->files, path, file, &old) < 0) {
		free(file);
		return NULL;
	}
	unref_locked(old);
	return file;
}

static bool append_locked(struct hashed_file *file, struct buf *bytes)
{
	struct piece *pieces = realloc(file->pieces, (file->count + 1) * sizeof(*pieces));

	if (!pieces)
		return false;
	file->pieces = pieces;
	file->kept += bytes->len;
	file->hashed->bytes += bytes->len;
	pieces[file->count++] = (struct piece){ .end = file->kept, .bytes = *bytes };
	buf_init(bytes);
	return true;
}

bool hashed_add(struct hashed *hashed, const char *path, uint64_t size, int64_t mtime, uint64_t offset, struct buf *bytes)
{
	struct hashed_file *file;
	bool taken = false;

	if (!bytes->len)
		return false;
	pthread_mutex_lock(&hashed->lock);
	if (bytes->len <= hashed->max - (hashed->bytes < hashed->max ? hashed->bytes : hashed->max)) {
		file = offset ? map_get_str(&hashed->files, path) : begin_locked(hashed, path, size, mtime);
		taken = file && file->kept == offset && file->size == size && file->mtime == mtime && append_locked(file, bytes);
	}
	pthread_mutex_unlock(&hashed->lock);
	return taken;
}

void hashed_drop(struct hashed *hashed, const char *path)
{
	pthread_mutex_lock(&hashed->lock);
	unref_locked(map_remove_str(&hashed->files, path));
	pthread_mutex_unlock(&hashed->lock);
}

/* ---- reading ---- */

bool hashed_any(struct hashed *hashed)
{
	bool any;

	pthread_mutex_lock(&hashed->lock);
	any = hashed->files.count > 0;
	pthread_mutex_unlock(&hashed->lock);
	return any;
}

struct hashed_file *hashed_find(struct hashed *hashed, const char *path, const struct sftp_attrs *attrs)
{
	struct hashed_file *file;

	pthread_mutex_lock(&hashed->lock);
	file = map_get_str(&hashed->files, path);
	if (file && (file->size != attrs->size || file->mtime != (int64_t)attrs->mtime))
		file = NULL;
	if (file)
		file->refs++;
	pthread_mutex_unlock(&hashed->lock);
	return file;
}

void hashed_unref(struct hashed_file *file)
{
	struct hashed *hashed;

	if (!file)
		return;
	hashed = file->hashed;
	pthread_mutex_lock(&hashed->lock);
	unref_locked(file);
	pthread_mutex_unlock(&hashed->lock);
}

/* All of it is kept. */
static void copy_locked(const struct hashed_file *file, uint64_t offset, uint8_t *data, size_t len)
{
	size_t i, part;

	for (i = 0; len && i < file->count; i++) {
		const struct piece *piece = &file->pieces[i];

		if (piece->end <= offset)
			continue;
		part = piece->end - offset < len ? (size_t)(piece->end - offset) : len;
		memcpy(data, piece->bytes.data + piece->bytes.len - (piece->end - offset), part);
		data += part;
		offset += part;
		len -= part;
	}
}

bool hashed_read(struct hashed_file *file, uint64_t offset, void *data, size_t len)
{
	bool kept;

	pthread_mutex_lock(&file->hashed->lock);
	kept = len <= file->kept && offset <= file->kept - len;
	if (kept)
		copy_locked(file, offset, data, len);
	pthread_mutex_unlock(&file->hashed->lock);
	return kept;
}
