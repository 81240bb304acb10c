/* meminfo: see meminfo.h. */
#include "base/meminfo.h"

#include "base/buf.h"
#include "base/io.h"
#include "base/keyed.h"

#define MAX_BYTES 65536

int64_t meminfo_bytes(const char *key)
{
	struct buf text = BUF_INIT;
	int64_t kib = -1;

	if (io_read_file("/proc/meminfo", MAX_BYTES, &text) == 0)
		kib = keyed_number(buf_text(&text), key);
	buf_release(&text);
	return kib < 0 || kib > INT64_MAX / 1024 ? -1 : kib * 1024;
}
