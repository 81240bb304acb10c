/* fsx_model: see fsx.h: files as they should be, and what is said when they are not. */
#include "tests/soak/fsx.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- random numbers: the same on every machine ---- */

static uint64_t next(struct run *run)
{
	run->state ^= run->state >> 12;
	run->state ^= run->state << 25;
	run->state ^= run->state >> 27;
	return run->state * 0x2545f4914f6cdd1dull;
}

uint32_t run_random(struct run *run, uint32_t below)
{
	return below ? (uint32_t)((next(run) >> 32) * below >> 32) : 0;
}

bool run_chance(struct run *run, uint32_t percent)
{
	return run_random(run, 100) < percent;
}

void run_fill(struct run *run, void *data, size_t len)
{
	uint8_t *at = data;
	uint64_t word;

	for (; len >= sizeof(word); at += sizeof(word), len -= sizeof(word)) {
		word = next(run);
		memcpy(at, &word, sizeof(word));
	}
	word = next(run);
	memcpy(at, &word, len);
}

/* ---- the run ---- */

void run_init(struct run *run)
{
	int i;

	strcpy(run->suspect, "no file");
	run->state = run->seed * 0x9e3779b97f4a7c15ull + 1;
	run->buffer = calloc(1, run->max_size + run->max_len);
	run->log = calloc(LOG_LINES, sizeof(*run->log));
	if (!run->buffer || !run->log)
		run_fail(run, "out of memory");
	for (i = 0; i < OBJECTS; i++) {
		run->objects[i].data = calloc(1, run->max_size);
		if (!run->objects[i].data)
			run_fail(run, "out of memory");
	}
}

void run_end(struct run *run)
{
	int i;

	for (i = 0; i < OBJECTS; i++)
		free(run->objects[i].data);
	free(run->buffer);
	free(run->log);
}

void run_log(struct run *run, const char *format, ...)
{
	char *line = run->log[run->logged++ % LOG_LINES];
	int len = snprintf(line, LOG_LINE, "%ld ", run->op);
	va_list args;

	va_start(args, format);
	vsnprintf(line + len, LOG_LINE - (size_t)len, format, args);
	va_end(args);
}

_Noreturn void run_fail(struct run *run, const char *format, ...)
{
	long oldest = run->logged > LOG_LINES ? run->logged - LOG_LINES : 0, i, of_suspect = 0;
	va_list args;

	fflush(stdout);
	for (i = run->logged; run->log && i > oldest && of_suspect < LOG_SHOWN; i--)
		of_suspect += strstr(run->log[(i - 1) % LOG_LINES], run->suspect) != NULL;
	for (; run->log && i < run->logged; i++)
		if (i >= run->logged - LOG_SHOWN || strstr(run->log[i % LOG_LINES], run->suspect))
			fprintf(stderr, "    %s\n", run->log[i % LOG_LINES]);
	fprintf(stderr, "fsx: seed %llu, operation %ld, %ld cuts: ", (unsigned long long)run->seed, run->op, run->cuts);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(1);
}

bool run_cuts(const struct run *run)
{
	return run->cut_every > 0;
}

/* ---- files ---- */

bool run_may_lose(const struct run *run, const struct object *object)
{
	return run_cuts(run) && object->name < 0;
}

void run_suspect(struct run *run, const struct object *object)
{
	snprintf(run->suspect, sizeof(run->suspect), "file %d ", run_index(run, object));
}

int run_index(const struct run *run, const struct object *object)
{
	return (int)(object - run->objects);
}

struct object *object_named(struct run *run, int name)
{
	int i;

	for (i = 0; i < OBJECTS; i++)
		if (run->objects[i].used && run->objects[i].name == name)
			return &run->objects[i];
	return NULL;
}

struct object *object_new(struct run *run, int name)
{
	int i;

	for (i = 0; i < OBJECTS; i++) {
		struct object *object = &run->objects[i];

		if (object->used)
			continue;
		memset(object->data, 0, run->max_size);
		*object = (struct object){ .used = true, .name = name, .data = object->data };
		return object;
	}
	return NULL;
}

void object_unlinked(struct object *object)
{
	object->name = -1;
	object->used = object->handles > 0;
}

void object_write(struct object *object, size_t offset, const void *data, size_t len)
{
	memcpy(object->data + offset, data, len);
	if (len && offset + len > object->size)
		object->size = offset + len;
}

void object_truncate(struct object *object, size_t size)
{
	if (size < object->size)
		memset(object->data + size, 0, object->size - size);
	object->size = size;
}

/* ---- descriptors ---- */

struct open_handle *handle_any(struct run *run)
{
	int first = (int)run_random(run, HANDLES), i;

	for (i = 0; i < HANDLES; i++)
		if (run->handles[(first + i) % HANDLES].object)
			return &run->handles[(first + i) % HANDLES];
	return NULL;
}

struct open_handle *handle_new(struct run *run, struct object *object, int side, int fd, int flags)
{
	int i;

	for (i = 0; i < HANDLES; i++) {
		if (run->handles[i].object)
			continue;
		run->handles[i] = (struct open_handle){ .object = object, .fd = fd, .flags = flags };
		object->handles++;
		object->side = side;
		return &run->handles[i];
	}
	return NULL;
}

void handle_end(struct open_handle *handle)
{
	struct object *object = handle->object;

	handle->object = NULL;
	if (!--object->handles && object->name < 0)
		object->used = false;
}

/* ---- comparing ---- */

static void show(const char *what, const uint8_t *data, size_t len)
{
	size_t i;

	fprintf(stderr, "%s", what);
	for (i = 0; i < len && i < 16; i++)
		fprintf(stderr, " %02x", data[i]);
	fputc('\n', stderr);
}

/* Whose mistake is it? */
static void show_disk(struct run *run, const struct object *object, size_t offset, size_t expected, const uint8_t *got)
{
	uint8_t *there = calloc(1, expected + 1);
	char path[512];
	ssize_t len = -1;
	int fd;

	snprintf(path, sizeof(path), "%s/%c", run->disk ? run->disk : "", 'a' + object->name);
	fd = run->disk && there && object->name >= 0 ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	if (fd >= 0) {
		len = pread(fd, there, expected, (off_t)offset);
		close(fd);
	}
	if (len >= 0)
		fprintf(stderr, "the server has %zd bytes there, %s%s\n", len,
			(size_t)len == expected && !memcmp(there, object->data + offset, expected) ? "which are right" : "which are wrong as well",
			!memcmp(there, got, (size_t)len) ? ", and the same as these" : "");
	free(there);
}

bool run_compare(struct run *run, const struct object *object, size_t offset, size_t asked, const uint8_t *got, ssize_t len, const char *how)
{
	size_t expected = object->size > offset ? object->size - offset : 0, i, wrong = 0;

	if (expected > asked)
		expected = asked;
	if (run_may_lose(run, object) && ((size_t)len != expected || memcmp(got, object->data + offset, expected)))
		return false;
	run_suspect(run, object);
	if (len < 0 || (size_t)len != expected)
		run_fail(run, "%s of file %d at %zu: %zd bytes of %zu asked for, expected %zu (size %zu)", how, run_index(run, object),
			 offset, len, asked, expected, object->size);
	if (!memcmp(got, object->data + offset, expected))
		return true;
	for (i = 0; got[i] == object->data[offset + i]; i++)
		;
	for (size_t k = i; k < expected; k++)
		wrong += got[k] != object->data[offset + k];
	run_suspect(run, object);
	show_disk(run, object, offset, expected, got);
	show("expected:", object->data + offset + i, expected - i);
	show("found:   ", got + i, expected - i);
	run_fail(run, "%s of file %d at %zu, %zu bytes: %zu are wrong from %zu (0x%zx) on (size %zu)", how, run_index(run, object), offset, expected,
		 wrong, offset + i, offset + i, object->size);
}
