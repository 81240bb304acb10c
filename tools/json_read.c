/* json_read: see json_read.h. */
#include "tools/json_read.h"

#include <cjson/cJSON.h>

double json_number(const struct cJSON *object, const char *name)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);

	return cJSON_IsNumber(item) ? item->valuedouble : -1;
}

double json_count(const struct cJSON *object, const char *name)
{
	double number = json_number(object, name);

	return number > 0 ? number : 0;
}
