/*
 * own_log: this mount's own log. Records go into the own index at once and to the disk as soon as the append before them is acknowledged. After
 * an append that may stand there in part or twice, the next begins with a newline, and the log is read again from there like another node's,
 * so that the places of records are known again.
 *
 * A log is named after an incarnation and is its mount's as long as that one's heart beats: after ten leases of silence others may have merged
 * it (merge.h). A new incarnation begins a new log; after a silence the log is looked for behind each append, and where it is gone, what was
 * appended to nothing goes into the next: NODE.1, NODE.2 …
 */
#include "queue/inner.h"

#include <fcntl.h>
#include <string.h>

#include "base/clock.h"

static uint32_t own_log_locked(struct queue *queue)
{
	char name[LAYOUT_MAX_LOG + 1];

	if (queue->log_index)
		return queue->log_index;
	if (!lease_node(queue->lease, queue->log_node, &queue->log_epoch))
		return 0;
	layout_log_name(name, queue->log_node, queue->log_number);
	queue->log_index = logs_get_locked(queue, name);
	if (queue->log_index)
		queue->logs[queue->log_index - 1].own = queue->logs[queue->log_index - 1].mine = true;
	lease_was_silent(queue->lease, &queue->log_lapses);
	return queue->log_index;
}

/* What was written goes on in another log: of the new incarnation, or the next of this one. The old file is the caller's to close. */
static struct store_file *next_log_locked(struct queue *queue)
{
	struct log_state *old = &queue->logs[queue->log_index - 1];
	struct store_file *file = queue->log_file;
	char node[LAYOUT_MAX_NODE + 1];
	uint32_t epoch;

	if (old->own)
		old->consumed = queue->log_size;
	old->own = false;
	if (lease_node(queue->lease, node, &epoch) && epoch != queue->log_epoch)
		queue->log_number = 0;
	else
		queue->log_number++;
	queue->log_file = NULL;
	queue->log_size = 0;
	queue->log_index = 0;
	/* Records that wait were given places in the old one: this one is read like another node's, and they get theirs from that. */
	if (own_log_locked(queue))
		queue->logs[queue->log_index - 1].own = false;
	return file;
}

static bool is_over_locked(struct queue *queue)
{
	char node[LAYOUT_MAX_NODE + 1];
	uint32_t epoch;

	return queue->log_index && !queue->log_sending.len && lease_node(queue->lease, node, &epoch) && epoch != queue->log_epoch;
}

/* After a silence somebody may have merged it, and what was appended is nowhere. */
static bool is_gone(struct queue *queue)
{
	struct flight flight = FLIGHT_INIT;
	char path[LAYOUT_PATH], name[LAYOUT_MAX_LOG + 1];
	uint32_t lapses = queue->log_lapses;
	int error;

	if (!lease_was_silent(queue->lease, &lapses))
		return false;
	layout_log_name(name, queue->log_node, queue->log_number);
	layout_log(path, name);
	flight_lstat(&flight, path);
	flight_run(&flight, queue->store);
	error = flight_error(&flight, 0);
	flight_release(&flight);
	if (!error)
		queue->log_lapses = lapses;
	return error == -ENOENT;
}

void logs_add_locked(struct queue *queue, const struct record *record)
{
	uint32_t log = own_log_locked(queue), node = log ? queue->logs[log - 1].node : 0;
	uint64_t offset = queue->log_size + queue->log_sending.len + queue->log_text.len;
	struct log_place place = { .ref = log ? (uint64_t)log << LOGS_REF_BITS | offset : 0, .node = node };
	struct index_clock clock;

	/* Memory short or no identity: the marker says it, the next claim finds it. */
	if (log && record_format(record, &queue->log_text) < 0)
		buf_truncate(&queue->log_text, (size_t)(offset - queue->log_size - queue->log_sending.len));
	queue_clock(queue, &clock);
	logs_apply_locked(queue, record, &place, &clock);
	queue_changed_locked(queue);
	keeper_wake_locked(queue);
}

static int open_log(struct queue *queue)
{
	struct flight flight = FLIGHT_INIT;
	char path[LAYOUT_PATH], name[LAYOUT_MAX_LOG + 1];
	int error, tries;

	layout_log_name(name, queue->log_node, queue->log_number);
	layout_log(path, name);
	/* The name is this node's alone, so a second try needs no O_EXCL. */
	for (tries = 0; tries < 2; tries++) {
		error = store_open(queue->store, path, O_WRONLY | O_APPEND | O_CREAT, &queue->log_file);
		if (error != -ENOENT)
			break;
		flight_mkdir(&flight, LAYOUT_LOG);
		flight_run(&flight, queue->store);
		flight_reset(&flight);
	}
	flight_release(&flight);
	return error;
}

/* Appends what is in log_sending. The caller has log_busy. *ret_size is the log's size then; 0: not known. */
static int send_log(struct queue *queue, uint64_t *ret_size)
{
	struct flight flight = FLIGHT_INIT;
	size_t append, stat;
	int error = 0;

	if (!queue->log_file)
		error = open_log(queue);
	if (error)
		return error;
	append = flight_append(&flight, queue->log_file, queue->log_sending.data, queue->log_sending.len);
	stat = flight_fstat(&flight, queue->log_file);
	flight_run(&flight, queue->store);
	error = flight_error(&flight, append);
	*ret_size = flight_error(&flight, stat) ? 0 : flight_op(&flight, stat)->attrs.size;
	flight_release(&flight);
	if (error == -ENOENT || error == -ESTALE) {
		/* The file was removed: a new one at the next try. */
		store_close(queue->store, queue->log_file);
		queue->log_file = NULL;
	}
	return error;
}

/* What is to be sent next goes to log_sending: what could not be sent before, else all that has come since. */
static int fill_sending_locked(struct queue *queue)
{
	struct buf text = BUF_INIT;

	if (queue->log_sending.len) {
		if (!queue->log_unsure || queue->log_sending.data[0] == '\n')
			return 0;
		buf_addch(&text, '\n');
		buf_add(&text, queue->log_sending.data, queue->log_sending.len);
		if (buf_error(&text)) {
			buf_release(&text);
			return -ENOMEM;
		}
		buf_release(&queue->log_sending);
		queue->log_sending = text;
		return 0;
	}
	text = queue->log_sending;
	queue->log_sending = queue->log_text;
	queue->log_text = text;
	return 0;
}

static void sent_locked(struct queue *queue, uint64_t size)
{
	struct log_state *log = &queue->logs[queue->log_index - 1];
	uint64_t expected = queue->log_size + queue->log_sending.len;

	if (queue->log_unsure || (size && size != expected)) {
		/* Records do not stand where they were thought to: from here on it is read like another node's log. */
		if (log->own)
			log->consumed = queue->log_size;
		log->own = false;
		queue->log_unsure = false;
		queue->log_size = size ? size : expected;
	} else {
		queue->log_size = expected;
	}
	buf_reset(&queue->log_sending);
}

/* Has log_busy. 0; -EAGAIN: the log is another one now, and nothing was written; -errno. */
static int send_or_move(struct queue *queue, uint64_t *ret_size)
{
	struct store_file *old;
	int error = send_log(queue, ret_size);

	if (error || !is_gone(queue))
		return error;
	pthread_mutex_lock(&queue->lock);
	old = next_log_locked(queue);
	pthread_mutex_unlock(&queue->lock);
	store_close(queue->store, old);
	return -EAGAIN;
}

int logs_flush(struct queue *queue)
{
	struct store_file *old = NULL;
	uint64_t size = 0;
	bool idle;
	int error;

	pthread_mutex_lock(&queue->lock);
	while (queue->log_busy)
		pthread_cond_wait(&queue->changed, &queue->lock);
	if (is_over_locked(queue) && queue->log_text.len)
		old = next_log_locked(queue);
	error = fill_sending_locked(queue);
	idle = error || !queue->log_sending.len || !queue->log_index;
	queue->log_busy = !idle;
	pthread_mutex_unlock(&queue->lock);
	if (old)
		store_close(queue->store, old);
	if (idle)
		return error;
	error = send_or_move(queue, &size);
	if (error == -EAGAIN)
		error = send_or_move(queue, &size);
	pthread_mutex_lock(&queue->lock);
	queue->log_busy = false;
	if (error)
		queue->log_unsure = true;
	else
		sent_locked(queue, size);
	pthread_cond_broadcast(&queue->changed);
	pthread_mutex_unlock(&queue->lock);
	return error;
}
