/*
 * claim-worker: takes units of a queue and runs a command for each. See claim-worker(1).
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cgroup.h"
#include "base/fault.h"
#include "base/io.h"
#include "base/log.h"
#include "worker/dry_run.h"
#include "worker/expand.h"
#include "worker/memory.h"
#include "worker/options.h"
#include "worker/order.h"
#include "worker/place.h"
#include "worker/pool.h"
#include "worker/run.h"
#include "worker/session.h"
#include "worker/warden.h"

/* Before anything is claimed. */
static int check_command(struct worker_options *options)
{
	int error;

	if (expand_has_word(options->command[0]))
		return 0;
	error = run_find(options->command[0], &options->command_file);
	if (error)
		log_error("can't run '%s': %s", options->command[0], log_strerror(error));
	return error;
}

static int open_sessions(const struct place *place, int ret_fds[2])
{
	struct buf path = BUF_INIT;
	int i, error;

	place_ctl(place, &path);
	error = buf_error(&path);
	for (i = 0; !error && i < 2; i++) {
		ret_fds[i] = session_open_ctl(buf_text(&path));
		error = ret_fds[i] < 0 ? ret_fds[i] : 0;
	}
	if (error)
		log_error("can't open %s: %s", buf_text(&path), place_advice(error) ? place_advice(error) : log_strerror(error));
	if (error && i > 1)
		io_close(&ret_fds[0]);
	buf_release(&path);
	return error;
}

/* What another try would not change: --logs with a directory that can't be written. */
static bool is_lasting(int error)
{
	return error == -ENOTDIR || error == -EEXIST || error == -EACCES || error == -EPERM || error == -EROFS || error == -ENOENT;
}

/* NULL: by RLIMIT_AS, or not at all. */
static struct memory *limit_memory(const struct worker_options *options)
{
	struct memory *memory = NULL;
	int error;

	if (options->memory == 0)
		return NULL;
	error = memory_new(CGROUP_ROOT, CGROUP_SELF, options->memory, (unsigned int)options->slots, &memory);
	if (options->verbose)
		log_info("--memory holds for %s%s", error ? "each process by itself: " : "each job as a whole, by a cgroup", error ? cgroup_why(error) : "");
	return memory;
}

/* Who sees ctl open knows that the worker has begun (tools/fleet-agent): it is opened when nothing else can go wrong any more. */
static int work(const struct worker_options *options, const struct place *place)
{
	struct memory *memory = NULL;
	struct warden *warden = NULL;
	struct order *order = NULL;
	struct pool *pool = NULL;
	int fds[2] = { -1, -1 }, status = WORKER_EXIT_AGAIN, error;

	error = order_new(place, options->order, &order);
	if (error) {
		log_error("can't list what there is to do: %s", log_strerror(error));
		return WORKER_EXIT_AGAIN;
	}
	memory = limit_memory(options);
	error = warden_new((unsigned int)options->slots, &warden);
	if (!error)
		error = pool_new(options, place, environ, warden, &pool);
	if (error) {
		log_error("can't start: %s", log_strerror(error));
		status = is_lasting(error) ? WORKER_EXIT_USAGE : WORKER_EXIT_AGAIN;
		goto out;
	}
	if (open_sessions(place, fds) < 0)
		goto out;
	pool->memory = memory;
	pool->order = order;
	status = pool_run(pool, fds[0], fds[1]);
out:
	pool_free(pool);
	order_free(order);
	warden_free(warden);
	memory_free(memory);
	return status;
}

/* The mount's trouble, and not that the queue is somewhere else. */
static bool is_passing(int error)
{
	return error == -ENOTCONN || error == -EIO || error == -ETIMEDOUT || error == -EHOSTDOWN || error == -ECONNABORTED;
}

int main(int argc, char **argv)
{
	struct worker_options options;
	struct buf why = BUF_INIT;
	struct place place;
	int status, error;

	log_open("claim-worker", LOG_LEVEL_INFO);
	if (fault_init() < 0)
		return WORKER_EXIT_USAGE;
	if (options_parse(argc, argv, &options, &why) < 0) {
		log_error("%s", buf_text(&why));
		buf_release(&why);
		return WORKER_EXIT_USAGE;
	}
	if (options.help) {
		options_print_help();
		return 0;
	}
	if (options.version) {
		printf("claim-worker " CLAIMFS_VERSION "\n");
		return 0;
	}
	if (check_command(&options) < 0)
		return WORKER_EXIT_USAGE;
	error = place_open(options.queue, &place, &why);
	if (error) {
		log_error("%s", buf_text(&why));
		status = is_passing(error) ? WORKER_EXIT_AGAIN : WORKER_EXIT_USAGE;
	} else {
		status = options.dry_run ? dry_run(&options, &place) : work(&options, &place);
		place_release(&place);
	}
	free(options.command_file);
	buf_release(&why);
	return status;
}
