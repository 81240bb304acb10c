/*
 * file_append: writes to files opened with O_APPEND: the server puts them at the end, wherever other nodes have moved it. One at a time, so
 * that they keep their order.
 *
 *   FSTAT, WRITE ──▶ acknowledged                                  the end was at least there before
 *                └─▶ the answer never came: is it behind that end? ─▶ yes: done      no: send it again
 *
 * An append that is repeated blindly might be there twice. A server process that was killed may have written the first part of it: then the rest is sent.
 * Where the FSTAT's answer is lost too, that end is the last one the server told or acknowledged. What can't be told apart: the same bytes, appended by
 * another node meanwhile, are taken for these.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tree/file_state.h"
#include "tree/flight.h"

#define SEARCH_MOST (8u * 1024 * 1024)	/* appended by others meanwhile; more is not looked through */

struct append {
	struct flight flight;
	struct real *real;
	struct writebehind_item *item;
	int64_t size_sent_ns;
	int64_t write_sent_ns;
	bool sized;			/* `floor` is where the file ended before */
	uint64_t floor;			/* it was at least this long when this was sent: what is looked for lies behind */
	size_t done;			/* bytes that are there already */
	struct sftp_file *reader;	/* of its own, when the handle can't read */
	uint8_t *tail;			/* from `floor` on */
	size_t tail_len;
	size_t tail_got;
};

enum { LEG_SIZE, LEG_WRITE };

static void append_end(struct append *append, int error)
{
	struct real *real = append->real;
	struct writebehind_item *item = append->item;
	uint64_t end = append->floor + item->len - append->done;
	bool sized = append->sized;

	if (append->reader)
		sftp_close(append->reader, NULL, NULL);
	free(append->tail);
	flight_clear(&append->flight);
	free(append);
	if (error) {
		file_write_failed(real, item, error);
		return;
	}
	pthread_mutex_lock(&real->lock);
	real_grew_locked(real, end);
	if (!sized)
		real_size_unknown_locked(real);
	pthread_mutex_unlock(&real->lock);
	real_acked(real, item);
}

static void append_send(struct append *append);

/* ---- the answer never came ---- */

static void search(struct append *append)
{
	const struct writebehind_item *item = append->item;
	const uint8_t *data = item->data + append->done;
	size_t len = item->len - append->done;

	if (append->tail_got >= len && memmem(append->tail, append->tail_got, data, len)) {
		append_end(append, 0);
		return;
	}
	if (append->tail_got < len && !memcmp(append->tail, data, append->tail_got)) {
		append->done += append->tail_got;
		pthread_mutex_lock(&append->real->lock);
		real_grew_locked(append->real, append->floor + append->tail_got);
		pthread_mutex_unlock(&append->real->lock);
	}
	free(append->tail);
	append->tail = NULL;
	append_send(append);
}

static void read_tail(struct append *append);

static void tail_read(void *arg, const struct sftp_reply *answer)
{
	struct append *append = arg;

	if (answer->error) {
		append_end(append, answer->error);
		return;
	}
	append->tail_got += answer->len;
	if (!answer->len || append->tail_got == append->tail_len)
		search(append);
	else
		read_tail(append);
}

static void read_tail(struct append *append)
{
	struct open_file *of = append->item->owner;
	struct sftp_file *file = append->reader ? append->reader : of->file;
	size_t most = sftp_max_read(of->handle.tree->sftp), left = append->tail_len - append->tail_got;
	int error = sftp_read(file, append->floor + append->tail_got, append->tail + append->tail_got, left < most ? left : most,
			      tail_read, append);

	if (error)
		append_end(append, error);
}

static void reader_opened(void *arg, const struct sftp_reply *answer)
{
	struct append *append = arg;

	if (answer->error) {
		append_end(append, -EIO);
		return;
	}
	append->reader = answer->file;
	read_tail(append);
}

/* A handle that may only write: by its path, while it has one. */
static void open_reader(struct append *append)
{
	struct real *real = append->real;
	struct buf path = BUF_INIT;
	int error = node_path(real->tree, real->node, NULL, &path);

	if (!error)
		error = sftp_open(real->tree->sftp, SFTP_CONTROL, path.data, SFTP_OPEN_READ, NULL, reader_opened, append);
	buf_release(&path);
	if (error)
		append_end(append, -EIO);
}

static void sized(void *arg, const struct sftp_reply *answer)
{
	struct append *append = arg;
	struct open_file *of = append->item->owner;

	if (answer->error) {
		append_end(append, answer->error);
		return;
	}
	if (answer->attrs.size < append->floor) {	/* another node has cut it, before or after */
		append->floor = 0;
		append->sized = false;
	}
	if (answer->attrs.size <= append->floor) {
		append_send(append);
		return;
	}
	append->tail_len = (size_t)(answer->attrs.size - append->floor);
	append->tail_got = 0;
	append->tail = append->tail_len <= SEARCH_MOST ? malloc(append->tail_len) : NULL;
	if (!append->tail)
		append_end(append, -EIO);	/* it may be there or not: nothing may be claimed of it */
	else if (of->readable || append->reader)
		read_tail(append);
	else
		open_reader(append);
}

static void look(struct append *append)
{
	struct open_file *of = append->item->owner;
	int error = sftp_fstat(of->file, sized, append);

	if (error)
		append_end(append, error);
}

/* ---- sending ---- */

static void append_landed(struct flight *flight)
{
	struct append *append = container_of(flight, struct append, flight);
	const struct flight_leg *size = &flight->legs[LEG_SIZE];
	int error = flight->legs[LEG_WRITE].error;

	/* An FSTAT that was sent again, after a break, may have seen the write. */
	append->sized = !size->error && append->size_sent_ns <= append->write_sent_ns;
	if (append->sized)
		append->floor = size->attrs.size;
	if (error == SFTP_UNKNOWN)
		look(append);
	else
		append_end(append, error);
}

static void size_done(void *arg, const struct sftp_reply *answer)
{
	struct append *append = container_of((struct flight_leg *)arg, struct append, flight.legs[LEG_SIZE]);

	append->size_sent_ns = answer->sent_ns;
	flight_done(arg, answer);
}

static void write_done(void *arg, const struct sftp_reply *answer)
{
	struct append *append = container_of((struct flight_leg *)arg, struct append, flight.legs[LEG_WRITE]);

	append->write_sent_ns = answer->sent_ns;
	flight_done(arg, answer);
}

static void append_send(struct append *append)
{
	struct writebehind_item *item = append->item;
	struct open_file *of = item->owner;
	struct flight_leg *leg;

	pthread_mutex_lock(&append->real->lock);
	append->floor = append->real->known_end;
	pthread_mutex_unlock(&append->real->lock);
	flight_begin(&append->flight, append_landed);
	leg = flight_leg(&append->flight);
	flight_sent(leg, sftp_fstat(of->file, size_done, leg));
	leg = flight_leg(&append->flight);
	flight_sent(leg, sftp_write(of->file, item->offset, item->data + append->done, item->len - append->done, write_done, leg));
	flight_go(&append->flight);
}

void file_append_send(struct real *real, struct writebehind_item *item)
{
	struct append *append = calloc(1, sizeof(*append));

	if (!append) {
		file_write_failed(real, item, -ENOMEM);
		return;
	}
	flight_init(&append->flight);
	append->real = real;
	append->item = item;
	append_send(append);
}
