/*
 * log: messages to a person, on standard error or to syslog.
 *
 * A message is one line whatever is in it: names come from servers that nobody trusts, so control bytes are written as
 * %XX, as everywhere else, and no escape sequence reaches a terminal.
 */
#include "base/log.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

#include "base/clock.h"

#define LOG_LINE_MAX 4096
#define LOG_PROGRAM_MAX 32

static const struct {
	const char *prefix;
	int priority;
} log_levels[] = {
	[LOG_LEVEL_ERROR] = { "", LOG_ERR },
	[LOG_LEVEL_WARN] = { "warning: ", LOG_WARNING },
	[LOG_LEVEL_INFO] = { "", LOG_INFO },
	[LOG_LEVEL_DEBUG] = { "debug: ", LOG_DEBUG },
};

/* Written once by log_open(), before there are threads. */
static char log_program[LOG_PROGRAM_MAX] = "claimfs";
static atomic_int log_level = LOG_LEVEL_INFO;
static atomic_bool log_syslog;

void log_open(const char *program, enum log_level level)
{
	snprintf(log_program, sizeof(log_program), "%s", program);
	log_set_level(level);
}

void log_set_level(enum log_level level)
{
	atomic_store_explicit(&log_level, (int)level, memory_order_relaxed);
}

enum log_level log_get_level(void)
{
	return (enum log_level)atomic_load_explicit(&log_level, memory_order_relaxed);
}

void log_to_syslog(void)
{
	openlog(log_program, LOG_PID, LOG_DAEMON);
	atomic_store(&log_syslog, true);
}

/* `text` as one printable line into `line`, which is cut at its end; the length. */
static size_t log_line(char line[LOG_LINE_MAX], const char *text)
{
	size_t used = 0;

	for (; *text && used + 4 < LOG_LINE_MAX; text++) {
		unsigned char c = (unsigned char)*text;

		if (c < 0x20 || c == 0x7f)
			used += (size_t)snprintf(line + used, LOG_LINE_MAX - used, "%%%02X", c);
		else
			line[used++] = (char)c;
	}
	line[used] = '\0';
	return used;
}

static void log_stderr(enum log_level level, const char *line)
{
	char whole[LOG_LINE_MAX + LOG_PROGRAM_MAX + 16];
	ssize_t done;
	int len;

	len = snprintf(whole, sizeof(whole), "%s: %s%s\n", log_program, log_levels[level].prefix, line);
	do {	/* one write a line, so that lines of several processes do not mix */
		done = write(STDERR_FILENO, whole, (size_t)len);
	} while (done < 0 && errno == EINTR);
}

void log_message(enum log_level level, const char *format, va_list args)
{
	char text[LOG_LINE_MAX], line[LOG_LINE_MAX];
	int saved = errno;
	size_t len;

	if (level > log_get_level())
		return;
	vsnprintf(text, sizeof(text), format, args);
	len = strlen(text);
	while (len && text[len - 1] == '\n')
		text[--len] = '\0';
	log_line(line, text);
	if (atomic_load(&log_syslog))
		syslog(log_levels[level].priority, "%s%s", log_levels[level].prefix, line);
	else
		log_stderr(level, line);
	errno = saved;
}

/* What syslog(3) does, without its locks. */
static void raw_syslog(const char *whole, size_t len)
{
	static const struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = "/dev/log" };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return;
	sendto(fd, whole, len, MSG_DONTWAIT | MSG_NOSIGNAL, (const struct sockaddr *)&address, sizeof(address));
	close(fd);
}

void log_raw(const char *line, size_t len)
{
	char whole[LOG_RAW_MAX + LOG_PROGRAM_MAX + 16], *at = whole;
	bool to_syslog = atomic_load(&log_syslog);
	ssize_t done;

	if (to_syslog)
		at = stpcpy(at, "<27>");	/* LOG_DAEMON | LOG_ERR */
	at = stpcpy(stpcpy(at, log_program), ": ");
	at = mempcpy(at, line, len < LOG_RAW_MAX ? len : LOG_RAW_MAX);
	if (to_syslog) {
		raw_syslog(whole, (size_t)(at - whole));
		return;
	}
	*at++ = '\n';
	done = write(STDERR_FILENO, whole, (size_t)(at - whole));
	(void)done;	/* there is nowhere to say it */
}

void log_error(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	log_message(LOG_LEVEL_ERROR, format, args);
	va_end(args);
}

void log_warn(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	log_message(LOG_LEVEL_WARN, format, args);
	va_end(args);
}

void log_info(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	log_message(LOG_LEVEL_INFO, format, args);
	va_end(args);
}

void log_debug(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	log_message(LOG_LEVEL_DEBUG, format, args);
	va_end(args);
}

int log_allowed(long long *last_ns)
{
	long long now = clock_now();
	long long last = __atomic_load_n(last_ns, __ATOMIC_RELAXED);

	if (last && now - last < LOG_LIMITED_S * NS_PER_S)
		return 0;
	if (!now)
		now = 1;	/* 0 stands for never */
	/* Of several threads here at once, one speaks. */
	return __atomic_compare_exchange_n(last_ns, &last, now, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}

const char *log_strerror(int error)
{
	static _Thread_local char text[128];

	/* GNU's strerror_r: may answer with a constant of its own. */
	return strerror_r(abs(error), text, sizeof(text));
}
