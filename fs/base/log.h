/*
 * log: messages to a person. A message says what was being done, to what, why it failed, and what to do.
 *
 * Goes to standard error with the program's name until log_to_syslog(); thread-safe. The level is one of the two pieces
 * of global state in the program (the other is fault.h).
 */
#ifndef CLAIMFS_BASE_LOG_H
#define CLAIMFS_BASE_LOG_H

#include <stdarg.h>
#include <stddef.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

void log_open(const char *program, enum log_level level);
void log_set_level(enum log_level level);
enum log_level log_get_level(void);
void log_to_syslog(void);	/* after going to the background */

void log_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_warn(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_message(enum log_level level, const char *format, va_list args) __attribute__((format(printf, 2, 0)));

/*
 * A line that is printable as it is, as an error. Async-signal-safe, and for that alone: what is longer than LOG_RAW_MAX is cut, and a syslog that does
 * not take it at once goes without.
 */
#define LOG_RAW_MAX 2048
void log_raw(const char *line, size_t len);

/*
 * The same message at most once in `interval_s` seconds, for what a hostile peer could repeat for ever. `last_ns` is
 * the caller's static variable, 0 at first.
 */
#define LOG_LIMITED_S 10
int log_allowed(long long *last_ns);

/* strerror for a negative or positive errno, in a buffer of the calling thread. */
const char *log_strerror(int error);

#endif
