/*
 * pipe_command: the lines on the control socket; see pipe.c for what they mean.
 */
#include "tests/fault/pipe.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/conf.h"
#include "base/io.h"

#define MAX_WORDS 8

struct command {
	const char *name;
	void (*run)(struct pipe *pipe, int ways, char **words, struct buf *answer);
	int least_words;		/* after the name and the way */
};

#define WAY_BIT(way) (1 << (way))
#define BOTH_WAYS (WAY_BIT(UP) | WAY_BIT(DOWN))

#define for_each_way(way, ways) \
	for (int way = 0; way < WAYS; way++) \
		if ((ways) & WAY_BIT(way))

static void command_delay(struct pipe *pipe, int ways, char **words, struct buf *answer)
{
	int64_t delay;

	if (conf_parse_duration(words[0], &delay)) {
		buf_adds(answer, "error no time\n");
		return;
	}
	for_each_way(way, ways)
		pipe->rule[way].delay_ns = delay;
}

static void command_rate(struct pipe *pipe, int ways, char **words, struct buf *answer)
{
	int64_t rate;

	if (conf_parse_size(words[0], &rate)) {
		buf_adds(answer, "error no number of bytes\n");
		return;
	}
	for_each_way(way, ways)
		pipe->rule[way].rate = rate;
}

static void command_stall(struct pipe *pipe, int ways, char **words, struct buf *answer)
{
	(void)words;
	(void)answer;
	for_each_way(way, ways)
		pipe->rule[way].stalled = true;
}

static void command_resume(struct pipe *pipe, int ways, char **words, struct buf *answer)
{
	(void)words;
	(void)answer;
	for_each_way(way, ways)
		pipe->rule[way].stalled = false;
}

static void cut_all(struct pipe *pipe, bool reset)
{
	struct list *entry, *next;

	list_for_each_safe(entry, next, &pipe->relays) {
		relay_end(list_entry(entry, struct relay, link), reset);
		pipe->cut++;
	}
}

static void command_cut(struct pipe *pipe, int ways, char **words, struct buf *answer)
{
	bool reset = !words[1] || strcmp(words[1], "fin");
	int64_t after;

	if (!strcmp(words[0], "now")) {
		cut_all(pipe, reset);
		return;
	}
	if (conf_parse_size(words[0], &after) || after < 1) {
		buf_adds(answer, "error neither now nor a number of bytes\n");
		return;
	}
	for_each_way(way, ways) {
		pipe->rule[way].cut_after = after;
		pipe->rule[way].cut_reset = reset;
	}
}

static void command_flip(struct pipe *pipe, int ways, char **words, struct buf *answer)
{
	int64_t after;

	if (conf_parse_size(words[0], &after)) {
		buf_adds(answer, "error no number of bytes\n");
		return;
	}
	for_each_way(way, ways)
		pipe->rule[way].flip_after = after;
}

static void command_refuse(struct pipe *pipe, int ways, char **words, struct buf *answer)
{
	int64_t time;

	(void)ways;
	if (conf_parse_duration(words[0], &time)) {
		buf_adds(answer, "error no time\n");
		return;
	}
	io_close(&pipe->listen_fd);
	pipe->relisten_ns = clock_now() + time;
}

static void command_stats(struct pipe *pipe, int ways, char **words, struct buf *answer)
{
	struct list *entry;
	int open = 0;

	(void)ways;
	(void)words;
	list_for_each(entry, &pipe->relays)
		open++;
	buf_addf(answer, "ok up=%" PRIu64 " down=%" PRIu64 " open=%d accepted=%" PRIu64 " cut=%" PRIu64 " flipped=%" PRIu64 "\n",
		 pipe->rule[UP].passed, pipe->rule[DOWN].passed, open, pipe->accepted, pipe->cut, pipe->flipped);
}

static const struct command commands[] = {
	{ "delay", command_delay, 1 }, { "rate", command_rate, 1 }, { "stall", command_stall, 0 }, { "resume", command_resume, 0 },
	{ "cut", command_cut, 1 }, { "flip", command_flip, 1 }, { "refuse", command_refuse, 1 }, { "stats", command_stats, 0 },
};

static void command_run(struct pipe *pipe, char *line, struct buf *answer)
{
	char *words[MAX_WORDS + 1] = { NULL }, **rest = words + 1;
	int count = 0, ways = BOTH_WAYS;

	for (char *word = strtok(line, " \t\r"); word && count < MAX_WORDS; word = strtok(NULL, " \t\r"))
		words[count++] = word;
	if (!count)
		return;
	count--;
	if (count && (!strcmp(words[1], "up") || !strcmp(words[1], "down"))) {
		ways = WAY_BIT(!strcmp(words[1], "up") ? UP : DOWN);
		rest++;
		count--;
	}
	for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++) {
		size_t before = answer->len;

		if (strcmp(commands[i].name, words[0]))
			continue;
		if (count < commands[i].least_words)
			buf_addf(answer, "error %s what?\n", words[0]);
		else
			commands[i].run(pipe, ways, rest, answer);
		if (answer->len == before)
			buf_adds(answer, "ok\n");
		return;
	}
	buf_addf(answer, "error no such command: %s\n", words[0]);
}

static void control_end(struct control *control)
{
	io_close(&control->fd);
	buf_release(&control->in);
	list_remove(&control->link);
	free(control);
}

void control_service(struct pipe *pipe, struct control *control)
{
	struct buf answer = BUF_INIT;
	char data[1024], *end;
	ssize_t len = read(control->fd, data, sizeof(data));

	if (len <= 0) {
		if (!len || (errno != EAGAIN && errno != EINTR))
			control_end(control);
		return;
	}
	buf_add(&control->in, data, (size_t)len);
	while (control->in.len && (end = memchr(control->in.data, '\n', control->in.len)) != NULL) {
		*end = '\0';
		len = end - control->in.data + 1;
		command_run(pipe, control->in.data, &answer);
		buf_drop(&control->in, (size_t)len);
	}
	if (answer.len && io_write_all(control->fd, answer.data, answer.len))
		control_end(control);
	buf_release(&answer);
}

int control_new(struct pipe *pipe, int fd)
{
	struct control *control = calloc(1, sizeof(*control));

	if (!control)
		return -ENOMEM;
	control->fd = fd;
	list_append(&pipe->controls, &control->link);
	return 0;
}
