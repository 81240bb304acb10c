/*
 * fleet_call: the agent, on many machines at once, over plain ssh.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "base/log.h"
#include "tools/fleet.h"

#define AGENT_MAX_BYTES (64u << 10)

/* No question is asked: it would be asked by all machines at once. */
static char *const ssh_head[] = { "ssh", "-T", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "-o", "ServerAliveInterval=15", NULL };

/* The agent's text and what it is to do are words of one sh; what it is sent through the login shell of the machine is all quoted. */
static char *const agent_head[] = { "sh", "-c", "agent=$1; shift; eval \"$agent\"", "fleet-agent", NULL };

int fleet_agent_text(struct buf *ret_text)
{
	struct buf path = BUF_INIT;
	int error = fleet_helper("fleet-agent", &path);

	if (!error)
		error = io_read_file(buf_text(&path), AGENT_MAX_BYTES, ret_text);
	if (error)
		log_error("fleet: can't read libexec/claimctl/fleet-agent, which belongs to claimctl: %s", log_strerror(error));
	buf_release(&path);
	return error;
}

int fleet_call_words(const struct words *ssh, const char *agent, char *const *words, struct words *ret_argv)
{
	struct words remote = WORDS_INIT;
	struct buf line = BUF_INIT;
	int error;

	words_add_all(&remote, agent_head);
	words_add(&remote, agent);
	words_add_all(&remote, words);
	quote_words(&line, remote.word);
	words_add_all(ret_argv, ssh_head);
	words_add_all(ret_argv, ssh->word);
	words_add(ret_argv, buf_text(&line));
	error = words_error(&remote) ? words_error(&remote) : buf_error(&line) ? buf_error(&line) : words_error(ret_argv);
	words_release(&remote);
	buf_release(&line);
	return error;
}

static bool called(const struct fleet_options *options, const struct fleet_machine *machine)
{
	return machine->ssh.count > 0 && fleet_meant(options, machine->name);
}

static int fill_tasks(const struct fleet *fleet, const struct fleet_options *options, char *const *words, const char *agent, struct run *run)
{
	size_t i, n = 0;
	int error = 0, width;

	for (i = 0; !error && i < fleet->count; i++) {
		if (!called(options, &fleet->machines[i]))
			continue;
		run->tasks[n].name = fleet->machines[i].name;
		width = (int)strlen(fleet->machines[i].name);
		if (width > run->name_width)
			run->name_width = width;
		error = fleet_call_words(&fleet->machines[i].ssh, agent, words, &run->tasks[n++].argv);
	}
	return error;
}

int fleet_call(const struct fleet *fleet, const struct fleet_options *options, char *const *words, struct run *ret_run)
{
	struct buf agent = BUF_INIT;
	size_t i, count = 0;
	int error;

	for (i = 0; i < fleet->count; i++)
		count += called(options, &fleet->machines[i]);
	if (count == 0) {
		log_error("fleet: %s", options->only.count ? "no machine has such a name" : "no machine is up: claimctl fleet up");
		return -ENOENT;
	}
	error = fleet_agent_text(&agent);
	if (error) {
		buf_release(&agent);
		return error;
	}
	error = run_init(ret_run, count);
	if (!error) {
		error = fill_tasks(fleet, options, words, buf_text(&agent), ret_run);
		if (error)
			run_release(ret_run);
	}
	if (error)
		log_error("fleet: %s", log_strerror(error));
	buf_release(&agent);
	ret_run->colour = isatty(STDOUT_FILENO);
	return error;
}

static const char *status_words(int status, char *text, size_t size)
{
	if (status == RUN_TIMED_OUT)
		return "took too long";
	if (status == RUN_SSH_FAILED)
		return "no connection";
	if (status == RUN_NOT_STARTED)
		return "not found";
	snprintf(text, size, "exit status %d", status);
	return text;
}

int fleet_call_report(const struct run *run, const struct fleet_options *options, const char *what)
{
	struct buf line = BUF_INIT;
	size_t i, failed = 0;
	char text[32];

	if (options->json)
		return fleet_json_run(run);
	fflush(stdout);
	for (i = 0; i < run->count; i++)
		failed += run->tasks[i].status != 0;
	if (failed > 0)
		log_error("%s failed on %zu of %zu machines:", what, failed, run->count);
	for (i = 0; i < run->count; i++) {
		if (run->tasks[i].status == 0)
			continue;
		buf_reset(&line);
		run_last_line(&run->tasks[i].err, &line);
		fprintf(stderr, "  %-*s  %-16s  %s\n", run->name_width, run->tasks[i].name, status_words(run->tasks[i].status, text, sizeof(text)),
			buf_text(&line));
	}
	buf_release(&line);
	return run_worst(run);
}

int fleet_call_shown(const struct fleet *fleet, const struct fleet_options *options, char *const *words, const char *what)
{
	struct run run;
	int status = 1;

	if (fleet_call(fleet, options, words, &run) < 0)
		return status;
	run.show = !options->json;
	if (run_all(&run) == 0)
		status = fleet_call_report(&run, options, what);
	run_release(&run);
	return status;
}
