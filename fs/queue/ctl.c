/*
 * ctl: a session of a queue's ctl file: lines in, a thread that runs them, answers out.
 *
 *   ctl_write ──▶ `in` (part of a line, or of the data behind it) ──▶ commands ──thread──▶ queue_take / queue_finish ──▶ answers ──▶ ctl_read
 *
 * The thread takes either one command or as many finishing ones as stand one after another, runs them without the lock, and puts
 * their answers on the list in one go. Only the thread looks at `held`, so that it needs no lock.
 */
#include "queue/ctl.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/list.h"
#include "base/map.h"
#include "base/pct.h"
#include "queue/ctl_line.h"
#include "queue/ctl_parse.h"
#include "queue/queue.h"

#define MAX_GROUP 1024		/* finishing commands that are run together */
#define GIVEN_BACK 64		/* units that are given back together */

struct ctl {
	struct queue *queue;
	ctl_notify *notify;
	void *arg;
	struct map held;	/* names taken and not finished; the thread's alone */
	bool cancel;		/* of a waiting take; set with __atomic_store_n */

	pthread_mutex_t lock;	/* guards what follows */
	pthread_cond_t changed;
	struct buf in;
	struct list lines;	/* to be run */
	struct list answers;	/* lines that were */
	size_t pending;		/* bytes in all of them */
	size_t unanswered;	/* lines that are not answered yet */
	bool notifying;
	bool closing;
	bool lose;
	ctl_closed *closed;
	void *closed_arg;
};

/* ---- writing ---- */

/* What is new after the part of a line, or of its data, that is there already. On an error that part stays as it was. */
static int split_more_locked(struct ctl *ctl, const char *data, size_t len, struct list *ret_lines)
{
	size_t used = 0, before = ctl->in.len;
	int error;

	if (before == 0) {
		error = ctl_split(data, len, ret_lines, &used);
		if (!error)
			error = buf_reserve(&ctl->in, len - used + 1);
		if (!error)
			buf_add(&ctl->in, data + used, len - used);
		return error;
	}
	error = buf_reserve(&ctl->in, len + 1);
	if (error)
		return error;
	buf_add(&ctl->in, data, len);
	error = ctl_split(ctl->in.data, ctl->in.len, ret_lines, &used);
	if (error)
		buf_truncate(&ctl->in, before);
	else
		buf_drop(&ctl->in, used);
	return error;
}

static int write_locked(struct ctl *ctl, const char *data, size_t len)
{
	struct list lines, *link;
	int error;

	list_init(&lines);
	if (ctl->closing)
		return -EBADF;
	if (ctl->pending + len > CTL_MAX_PENDING)
		return -ENOMEM;
	error = split_more_locked(ctl, data, len, &lines);
	if (error) {
		ctl_lines_free(&lines);
		return error;
	}
	list_for_each(link, &lines) {
		ctl->unanswered++;
		ctl->pending += ctl_line_bytes(list_entry(link, struct ctl_line, link));
	}
	list_splice(&ctl->lines, &lines);
	pthread_cond_broadcast(&ctl->changed);
	return 0;
}

ssize_t ctl_write(struct ctl *ctl, const void *data, size_t len)
{
	int error;

	pthread_mutex_lock(&ctl->lock);
	error = write_locked(ctl, data, len);
	pthread_mutex_unlock(&ctl->lock);
	return error ? error : (ssize_t)len;
}

/* ---- answers ---- */

static void answer_end(struct ctl *ctl, struct ctl_line *line)
{
	ctl->pending -= line->answer.len;
	list_remove(&line->link);
	ctl_line_free(line);
}

static size_t take_bytes(struct ctl *ctl, struct ctl_line *line, char *data, size_t len)
{
	size_t have = line->answer.len - line->taken;

	if (have > len)
		have = len;
	memcpy(data, line->answer.data + line->taken, have);
	line->taken += have;
	buf_release(&line->names);
	if (line->taken == line->answer.len)
		answer_end(ctl, line);
	return have;
}

static ssize_t read_locked(struct ctl *ctl, char *data, size_t len)
{
	struct ctl_line *line;
	size_t count = 0;

	if (list_empty(&ctl->answers))
		return ctl->unanswered > 0 ? -EAGAIN : 0;
	while (!list_empty(&ctl->answers) && count < len) {
		line = list_entry(ctl->answers.next, struct ctl_line, link);
		if (line->eof) {
			if (count == 0)
				answer_end(ctl, line);
			break;
		}
		count += take_bytes(ctl, line, data + count, len - count);
	}
	return (ssize_t)count;
}

ssize_t ctl_read(struct ctl *ctl, void *data, size_t len)
{
	ssize_t count;

	pthread_mutex_lock(&ctl->lock);
	count = read_locked(ctl, data, len);
	pthread_mutex_unlock(&ctl->lock);
	return count;
}

bool ctl_readable(struct ctl *ctl)
{
	bool readable;

	pthread_mutex_lock(&ctl->lock);
	readable = !list_empty(&ctl->answers) || ctl->unanswered == 0;
	pthread_mutex_unlock(&ctl->lock);
	return readable;
}

/* Memory ran out while an answer was written: it must be a line all the same, and never look like an end of file. */
static void mend_answer(struct ctl_line *line)
{
	if (buf_error(&line->answer) == 0 && (line->eof || line->answer.len > 0))
		return;
	buf_reset(&line->answer);
	buf_adds(&line->answer, "error ENOMEM out of memory\n");
}

/* `lines` have been run: their answers can be read. */
static void publish(struct ctl *ctl, struct list *lines)
{
	struct list *link;
	struct ctl_line *line;
	bool tell;

	pthread_mutex_lock(&ctl->lock);
	list_for_each(link, lines) {
		line = list_entry(link, struct ctl_line, link);
		mend_answer(line);
		ctl->pending -= ctl_line_bytes(line);
		ctl->pending += line->answer.len;
		ctl->unanswered--;
	}
	list_splice(&ctl->answers, lines);
	tell = !ctl->closing;
	ctl->notifying = tell;
	pthread_mutex_unlock(&ctl->lock);
	if (!tell)
		return;
	ctl->notify(ctl->arg);
	pthread_mutex_lock(&ctl->lock);
	ctl->notifying = false;
	pthread_cond_broadcast(&ctl->changed);
	pthread_mutex_unlock(&ctl->lock);
}

/* ---- take ---- */

/* Gives every unit of `names` (NUL-terminated each) back. Not `held` any more, whatever the disk says: there is nothing more to do about it here. */
static void give_back(struct ctl *ctl, const struct buf *names, enum queue_verb verb)
{
	struct queue_finish list[GIVEN_BACK];
	const char *name = buf_text(names), *end = name + names->len;
	size_t count;

	while (name < end) {
		memset(list, 0, sizeof(list));
		for (count = 0; name < end && count < GIVEN_BACK; name += strlen(name) + 1) {
			map_remove_str(&ctl->held, name);
			list[count++] = (struct queue_finish){ .verb = verb, .name = name, .owner = ctl };
		}
		queue_finish(ctl->queue, list, count);
	}
}

/* Remembers what was taken and writes it as the answer. */
static int say_names(struct ctl *ctl, struct ctl_line *line)
{
	const char *name, *end = line->names.data + line->names.len;

	for (name = line->names.data; name < end; name += strlen(name) + 1) {
		if (map_set_str(&ctl->held, name, ctl, NULL) < 0)
			return -ENOMEM;
		if (line->command.verb == CTL_CLAIM) {
			buf_addf(&line->answer, "ok %u", queue_attempt(ctl->queue, name));
			continue;
		}
		if (line->command.verb == CTL_HEDGE)
			buf_adds(&line->answer, "ok ");
		else if (line->answer.len > 0)
			buf_addch(&line->answer, '\t');
		if (line->command.attempt || line->command.verb == CTL_HEDGE)
			buf_addf(&line->answer, "%u ", queue_attempt(ctl->queue, name));
		pct_encode(&line->answer, name, strlen(name));
	}
	buf_addch(&line->answer, '\n');
	return buf_error(&line->answer);
}

static bool is_closing(struct ctl *ctl)
{
	return __atomic_load_n(&ctl->cancel, __ATOMIC_ACQUIRE);
}

static void run_take(struct ctl *ctl, struct ctl_line *line)
{
	int count = -EINTR, error;

	if (!is_closing(ctl) && line->command.verb == CTL_CLAIM)
		count = queue_claim_for(ctl->queue, ctl, line->command.name, &line->names);
	else if (!is_closing(ctl) && line->command.verb == CTL_HEDGE)
		count = queue_hedge_for(ctl->queue, ctl, line->command.name, &line->names);
	else if (!is_closing(ctl))
		count = queue_take(ctl->queue, ctl, line->command.count, line->command.wait, &ctl->cancel, &line->names);
	error = count < 0 ? count : count > 0 ? say_names(ctl, line) : 0;
	line->eof = count == 0;
	if (!error)
		return;
	if (count > 0)		/* what can't be told must not stay claimed */
		give_back(ctl, &line->names, QUEUE_VERB_RELEASE);
	buf_release(&line->names);
	buf_reset(&line->answer);
	ctl_say_error(&line->answer, error);
}

/* ---- done, fail, release, check ---- */

static const enum queue_verb queue_verbs[] = {
	[CTL_DONE] = QUEUE_VERB_DONE,
	[CTL_PUT] = QUEUE_VERB_DONE,
	[CTL_FAIL] = QUEUE_VERB_FAIL,
	[CTL_RELEASE] = QUEUE_VERB_RELEASE,
	[CTL_CHECK] = QUEUE_VERB_CHECK,
};

/* After these there is nothing left to give back. */
static bool is_over(const struct queue_finish *finish)
{
	int error = finish->error;

	return (error == 0 && finish->verb != QUEUE_VERB_CHECK) || error == -EEXIST || error == -ESTALE || error == -EACCES || error == -ENOENT || error == -EAGAIN;
}

static void say_finished(struct ctl *ctl, const struct queue_finish *finish, struct buf *to)
{
	if (is_over(finish))
		map_remove_str(&ctl->held, finish->name);
	if (finish->error == 0) {
		buf_adds(to, "ok\n");
	} else if (finish->error == -EEXIST) {
		buf_adds(to, "already ");
		pct_encode(to, finish->node, strnlen(finish->node, sizeof(finish->node)));
		buf_addch(to, '\n');
	} else {
		ctl_say_error(to, finish->error);
	}
}

/* Runs all `lines`, which finish units, in one call. */
static void run_finish(struct ctl *ctl, struct list *lines, size_t count)
{
	struct queue_finish *list = calloc(count, sizeof(*list));
	struct list *link;
	size_t i = 0;

	if (!list)
		return;		/* publish() says so */
	list_for_each(link, lines) {
		struct ctl_line *line = list_entry(link, struct ctl_line, link);
		const struct ctl_command *command = &line->command;

		line->output.mode = command->mode;
		list[i].verb = queue_verbs[command->verb];
		list[i].name = command->name;
		list[i].output = command->verb == CTL_PUT ? &line->output : NULL;
		list[i++].values = command->values;
	}
	queue_finish(ctl->queue, list, count);
	i = 0;
	list_for_each(link, lines)
		say_finished(ctl, &list[i++], &list_entry(link, struct ctl_line, link)->answer);
	free(list);
}

/* ---- the thread ---- */

struct group {			/* finishing commands that stand one after another, each of another unit */
	struct list lines;
	struct map names;
	size_t count;
};

static void group_run(struct ctl *ctl, struct group *group)
{
	if (group->count > 0) {
		run_finish(ctl, &group->lines, group->count);
		publish(ctl, &group->lines);
	}
	map_release(&group->names);
	group->count = 0;
}

static bool holds(void *arg, const char *name)
{
	struct ctl *ctl = arg;

	return map_get_str(&ctl->held, name) != NULL;
}

static int parse(struct ctl *ctl, struct ctl_line *line)
{
	struct buf why = BUF_INIT;
	int error = -EINVAL;

	if (memchr(line->text, '\0', line->len))
		buf_adds(&why, "a line with a byte of 0 in it");
	else
		error = ctl_parse(line->text, holds, ctl, &line->command, &why);
	if (error)
		buf_addf(&line->answer, "error EINVAL %s\n", buf_text(&why));
	buf_release(&why);
	return error;
}

/* Runs a line that can't be part of a group. */
static void run_alone(struct ctl *ctl, struct ctl_line *line, bool is_good)
{
	struct list lines;

	list_init(&lines);
	list_append(&lines, &line->link);
	if (is_good && line->command.takes)
		run_take(ctl, line);
	else if (is_good)
		run_finish(ctl, &lines, 1);
	publish(ctl, &lines);
}

static void run_lines(struct ctl *ctl, struct list *lines)
{
	struct group group = { .names = MAP_INIT };
	struct list *link;
	struct ctl_line *line;
	bool is_good;

	list_init(&group.lines);
	while ((link = list_pop(lines))) {
		line = list_entry(link, struct ctl_line, link);
		is_good = parse(ctl, line) == 0;
		if (!is_good || line->command.takes || group.count == MAX_GROUP || map_get_str(&group.names, line->command.name))
			group_run(ctl, &group);
		if (!is_good || line->command.takes || map_set_str(&group.names, line->command.name, ctl, NULL) < 0) {
			group_run(ctl, &group);
			run_alone(ctl, line, is_good);
			continue;
		}
		list_append(&group.lines, &line->link);
		group.count++;
	}
	group_run(ctl, &group);
}

/* Waits for lines; false when the session was closed and all of them have been run. */
static bool next_lines(struct ctl *ctl, struct list *lines)
{
	bool any;

	pthread_mutex_lock(&ctl->lock);
	while (list_empty(&ctl->lines) && !ctl->closing)
		pthread_cond_wait(&ctl->changed, &ctl->lock);
	any = !list_empty(&ctl->lines);
	list_splice(lines, &ctl->lines);
	pthread_mutex_unlock(&ctl->lock);
	return any;
}

/* What was taken but never read was never worked on; the rest may have been what ended the worker. */
static void give_all_back(struct ctl *ctl)
{
	struct queue_finish list[GIVEN_BACK];
	struct list *link;
	const void *name;
	size_t count, cursor = 0;

	list_for_each(link, &ctl->answers)
		give_back(ctl, &list_entry(link, struct ctl_line, link)->names, QUEUE_VERB_RELEASE);
	do {
		for (count = 0; count < GIVEN_BACK && map_next(&ctl->held, &cursor, &name, NULL); count++)
			list[count] = (struct queue_finish){ .verb = QUEUE_VERB_LOSE, .name = name, .owner = ctl };
		queue_finish(ctl->queue, list, count);
	} while (count == GIVEN_BACK);
}

static void ctl_free(struct ctl *ctl)
{
	ctl_lines_free(&ctl->lines);
	ctl_lines_free(&ctl->answers);
	buf_release(&ctl->in);
	map_release(&ctl->held);
	pthread_cond_destroy(&ctl->changed);
	pthread_mutex_destroy(&ctl->lock);
	free(ctl);
}

static void *ctl_main(void *arg)
{
	struct ctl *ctl = arg;
	struct list lines;
	ctl_closed *closed;
	void *closed_arg;

	list_init(&lines);
	while (next_lines(ctl, &lines))
		run_lines(ctl, &lines);
	/* Closed: nobody else looks at it any more once the closing thread has let go of the lock. */
	pthread_mutex_lock(&ctl->lock);
	closed = ctl->closed;
	closed_arg = ctl->closed_arg;
	pthread_mutex_unlock(&ctl->lock);
	if (ctl->lose)
		give_all_back(ctl);
	ctl_free(ctl);
	if (closed)
		closed(closed_arg);
	return NULL;
}

static int start_thread(struct ctl *ctl)
{
	sigset_t all, before;
	pthread_t thread;
	int error;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&thread, NULL, ctl_main, ctl);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (error)
		return -error;
	pthread_detach(thread);
	return 0;
}

int ctl_open(struct queue *queue, ctl_notify *notify, void *arg, struct ctl **ret_ctl)
{
	struct ctl *ctl = calloc(1, sizeof(*ctl));
	int error;

	if (!ctl)
		return -ENOMEM;
	ctl->queue = queue;
	ctl->notify = notify;
	ctl->arg = arg;
	map_init(&ctl->held);
	buf_init(&ctl->in);
	list_init(&ctl->lines);
	list_init(&ctl->answers);
	pthread_mutex_init(&ctl->lock, NULL);
	pthread_cond_init(&ctl->changed, NULL);
	error = start_thread(ctl);
	if (error) {
		ctl_free(ctl);
		return error;
	}
	*ret_ctl = ctl;
	return 0;
}

void ctl_close(struct ctl *ctl, bool lose, ctl_closed *closed, void *arg)
{
	struct queue *queue = ctl->queue;

	__atomic_store_n(&ctl->cancel, true, __ATOMIC_RELEASE);
	queue_wake(queue);
	pthread_mutex_lock(&ctl->lock);
	while (ctl->notifying)
		pthread_cond_wait(&ctl->changed, &ctl->lock);
	ctl->closing = true;
	ctl->lose = lose;
	ctl->closed = closed;
	ctl->closed_arg = arg;
	pthread_cond_broadcast(&ctl->changed);
	pthread_mutex_unlock(&ctl->lock);
}
