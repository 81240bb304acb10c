/* figures: see figures.h; the only file of tree/ that includes cJSON. */
#include "tree/figures.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/uio.h>

#include "base/clock.h"
#include "tree/queues.h"
#include "tree/tree.h"
#include "tree/work.h"

#define ROOM_TO_GROW 1024	/* between being asked how long it is and being read */

void figures_count(struct figures *figures, enum figures_cache cache, bool hit)
{
	atomic_fetch_add_explicit(&figures->caches[cache].asked, 1, memory_order_relaxed);
	if (hit)
		atomic_fetch_add_explicit(&figures->caches[cache].hits, 1, memory_order_relaxed);
}

void figures_count_request(struct figures *figures)
{
	atomic_fetch_add_explicit(&figures->kernel_requests, 1, memory_order_relaxed);
}

static double load(const atomic_ullong *counter)
{
	return (double)atomic_load_explicit(counter, memory_order_relaxed);
}

static void add_caches(cJSON *root, const struct figures *figures)
{
	static const char *const names[FIGURES_CACHES] = { "lookups", "opens", "reads" };
	cJSON *caches = cJSON_AddObjectToObject(root, "caches"), *cache;
	int i;

	for (i = 0; i < FIGURES_CACHES; i++) {
		cache = cJSON_AddObjectToObject(caches, names[i]);
		cJSON_AddNumberToObject(cache, "asked", load(&figures->caches[i].asked));
		cJSON_AddNumberToObject(cache, "hits", load(&figures->caches[i].hits));
	}
}

static void add_queues(cJSON *root, struct queues *queues)
{
	int64_t oldest = -1;
	unsigned int open = queues ? queues_heartbeats(queues, &oldest) : 0;

	cJSON_AddNumberToObject(root, "queues", open);
	if (oldest < 0)
		cJSON_AddNullToObject(root, "heartbeat_age_s");
	else
		cJSON_AddNumberToObject(root, "heartbeat_age_s", (double)oldest / NS_PER_S);
}

static int print(struct tree *tree, struct buf *ret_json)
{
	cJSON *root;
	char *text;

	sftp_stats(tree->sftp, ret_json);
	root = buf_error(ret_json) ? NULL : cJSON_Parse(buf_text(ret_json));
	if (!root)
		return -ENOMEM;
	cJSON_AddNumberToObject(root, "kernel_requests", load(&tree->figures.kernel_requests));
	add_caches(root, &tree->figures);
	add_queues(root, tree->queues);
	text = cJSON_PrintUnformatted(root);
	cJSON_Delete(root);
	if (!text)
		return -ENOMEM;
	buf_reset(ret_json);
	buf_adds(ret_json, text);
	cJSON_free(text);
	return buf_error(ret_json);
}

struct figures_job {
	struct work_job job;
	struct tree *tree;
	struct reply *reply;
	size_t size;		/* the caller's room; 0: how much is needed? */
};

static void run(struct work_job *work_job)
{
	struct figures_job *job = container_of(work_job, struct figures_job, job);
	struct queues *queues = job->tree->queues;
	struct reply *reply = job->reply;
	struct buf json = BUF_INIT;
	size_t size = job->size;
	int error = print(job->tree, &json);

	free(job);
	if (queues)
		queues_end_job(queues);
	if (error)
		reply->ops->error(reply, error);
	else if (!size)
		reply->ops->written(reply, json.len + ROOM_TO_GROW);
	else if (size < json.len)
		reply->ops->error(reply, -ERANGE);
	else
		reply->ops->data(reply, &(struct iovec){ .iov_base = json.data, .iov_len = json.len }, 1);
	buf_release(&json);
}

void figures_answer(struct tree *tree, size_t size, struct reply *reply)
{
	struct figures_job *job = malloc(sizeof(*job));

	if (!job) {
		reply->ops->error(reply, -ENOMEM);
		return;
	}
	*job = (struct figures_job){ .job.run = run, .tree = tree, .reply = reply, .size = size };
	if (tree->queues)
		queues_begin_job(tree->queues);
	work_submit(tree->work, &job->job);
}
