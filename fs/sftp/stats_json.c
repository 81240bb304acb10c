/* stats_json: an sftp's counters as JSON; the only file here that includes cJSON. */
#include "sftp/stats.h"

#include <cjson/cJSON.h>
#include <errno.h>

static double load(const atomic_ullong *counter)
{
	return (double)atomic_load_explicit(counter, memory_order_relaxed);
}

static void add_conn(cJSON *array, const struct stats_conn_view *view)
{
	const struct stats_conn *counts = view->counts;
	cJSON *conn = cJSON_CreateObject();

	cJSON_AddStringToObject(conn, "state", view->state);
	cJSON_AddNumberToObject(conn, "rtt_s", (double)atomic_load_explicit(&counts->rtt_ns, memory_order_relaxed) / 1e9);
	cJSON_AddNumberToObject(conn, "bytes_sent", load(&counts->sent_bytes));
	cJSON_AddNumberToObject(conn, "bytes_received", load(&counts->received_bytes));
	cJSON_AddNumberToObject(conn, "requests", load(&counts->requests));
	cJSON_AddNumberToObject(conn, "waiting", view->waiting);
	cJSON_AddNumberToObject(conn, "reconnects", load(&counts->reconnects));
	cJSON_AddNumberToObject(conn, "ignored_answers", load(&counts->ignored));
	cJSON_AddItemToArray(array, conn);
}

static void add_op(cJSON *object, const char *name, const struct stats_op *counts)
{
	cJSON *op = cJSON_CreateObject();

	cJSON_AddNumberToObject(op, "count", load(&counts->count));
	cJSON_AddNumberToObject(op, "errors", load(&counts->errors));
	cJSON_AddNumberToObject(op, "bytes", load(&counts->bytes));
	cJSON_AddNumberToObject(op, "p50_s", stats_percentile(counts, 50));
	cJSON_AddNumberToObject(op, "p99_s", stats_percentile(counts, 99));
	cJSON_AddItemToObject(object, name, op);
}

void stats_json(const struct stats *stats, const struct stats_conn_view *conns, int conn_count, struct buf *ret_json)
{
	cJSON *root = cJSON_CreateObject();
	cJSON *array = cJSON_AddArrayToObject(root, "connections");
	cJSON *object = cJSON_AddObjectToObject(root, "operations");
	char *text;
	int i;

	for (i = 0; i < conn_count; i++)
		add_conn(array, &conns[i]);
	for (i = 0; i < OP_COUNT; i++)
		if (atomic_load_explicit(&stats->ops[i].count, memory_order_relaxed))
			add_op(object, ops[i].name, &stats->ops[i]);
	text = cJSON_PrintUnformatted(root);
	cJSON_Delete(root);
	if (!text) {
		ret_json->error = -ENOMEM;
		return;
	}
	buf_adds(ret_json, text);
	cJSON_free(text);
}
