/*
 * crash: see crash.h. What runs in the handler is async-signal-safe (signal-safety(7)): no allocation, no stdio, no lock. backtrace(3) is, once it has
 * loaded what it needs, which is done beforehand; which module lies where is noted beforehand too.
 */
#include "base/crash.h"

#include <errno.h>
#include <execinfo.h>
#include <link.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"

#define STACK_BYTES (64 * 1024)		/* an overflown stack has no room for a handler */
#define MAX_MODULES 48
#define MAX_CALLS 32
#define MAX_NAME 32

struct module {
	char name[MAX_NAME];
	uintptr_t begin, end, base;
};

struct line {
	char text[LOG_RAW_MAX];
	size_t len;
};

/* Those that end a program unless it says otherwise, but for SIGKILL, those that mounts ignore, and those that end one in order. */
static const struct {
	int number;
	const char *name;
	bool fault;			/* si_addr is where */
} signals[] = {
	{ SIGSEGV, "SIGSEGV", true }, { SIGBUS, "SIGBUS", true }, { SIGFPE, "SIGFPE", true }, { SIGILL, "SIGILL", true },
	{ SIGABRT, "SIGABRT", false }, { SIGSYS, "SIGSYS", false }, { SIGTRAP, "SIGTRAP", false }, { SIGQUIT, "SIGQUIT", false },
	{ SIGXCPU, "SIGXCPU", false }, { SIGALRM, "SIGALRM", false }, { SIGVTALRM, "SIGVTALRM", false }, { SIGPROF, "SIGPROF", false },
	{ SIGPOLL, "SIGPOLL", false }, { SIGUSR1, "SIGUSR1", false }, { SIGUSR2, "SIGUSR2", false },
};

/* Written once by crash_watch(), before there are threads. */
static struct module modules[MAX_MODULES];
static size_t module_count;
static char first_stack[STACK_BYTES];

static void add(struct line *line, const char *text)
{
	size_t len = strlen(text), room = sizeof(line->text) - line->len;

	if (len > room)
		len = room;
	memcpy(line->text + line->len, text, len);
	line->len += len;
}

static void add_number(struct line *line, uintptr_t value, unsigned int radix)
{
	char digits[2 * sizeof(value) + sizeof(value)], *at = digits + sizeof(digits) - 1;

	*at = '\0';
	do {
		*--at = "0123456789abcdef"[value % radix];
		value /= radix;
	} while (value);
	add(line, at);
}

static void add_call(struct line *line, uintptr_t address)
{
	size_t i;

	add(line, " ");
	for (i = 0; i < module_count; i++)
		if (address >= modules[i].begin && address < modules[i].end) {
			add(line, modules[i].name);
			add(line, "+");
			address -= modules[i].base;
			break;
		}
	add(line, "0x");
	add_number(line, address, 16);
}

static void crashed(int number, siginfo_t *info, void *context)
{
	void *calls[MAX_CALLS];
	struct line line = { .len = 0 };
	size_t i = 0;
	int count, call;

	(void)context;
	while (signals[i].number != number)
		i++;
	add(&line, "ended by ");
	add(&line, signals[i].name);
	if (info->si_code <= 0 && info->si_pid != getpid()) {
		add(&line, " from process ");
		add_number(&line, (uintptr_t)info->si_pid, 10);
	} else if (info->si_code > 0 && signals[i].fault) {
		add(&line, " at address 0x");
		add_number(&line, (uintptr_t)info->si_addr, 16);
	}
	add(&line, ", thread ");
	add_number(&line, (uintptr_t)syscall(SYS_gettid), 10);
	add(&line, "; calls:");
	count = backtrace(calls, MAX_CALLS);
	for (call = 1; call < count; call++)	/* but for this function */
		add_call(&line, (uintptr_t)calls[call]);
	log_raw(line.text, line.len);
	if (info->si_code <= 0)		/* sent: a fault comes again by itself, where it was */
		raise(number);
}

/* One module that is loaded, as dl_iterate_phdr() shows it. The first, without a name, is the program. */
static int note_module(struct dl_phdr_info *info, size_t size, void *arg)
{
	const char *slash = strrchr(info->dlpi_name, '/');
	struct module *module = &modules[module_count];
	uintptr_t end;
	int i;

	(void)size;
	if (module_count == MAX_MODULES)
		return 1;
	snprintf(module->name, sizeof(module->name), "%s", slash ? slash + 1 : module_count == 0 ? (const char *)arg : info->dlpi_name);
	module->base = info->dlpi_addr;
	module->begin = UINTPTR_MAX;
	for (i = 0; i < info->dlpi_phnum; i++) {
		if (info->dlpi_phdr[i].p_type != PT_LOAD)
			continue;
		if (module->base + info->dlpi_phdr[i].p_vaddr < module->begin)
			module->begin = module->base + info->dlpi_phdr[i].p_vaddr;
		end = module->base + info->dlpi_phdr[i].p_vaddr + info->dlpi_phdr[i].p_memsz;
		if (end > module->end)
			module->end = end;
	}
	module_count++;
	return 0;
}

void crash_watch(void)
{
	const stack_t stack = { .ss_sp = first_stack, .ss_size = sizeof(first_stack) };
	struct sigaction action = { .sa_sigaction = crashed, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESETHAND }, old;
	void *call;
	size_t i;

	module_count = 0;
	backtrace(&call, 1);
	dl_iterate_phdr(note_module, program_invocation_short_name);
	sigaltstack(&stack, NULL);
	sigemptyset(&action.sa_mask);
	for (i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		if (!sigaction(signals[i].number, NULL, &old) && old.sa_handler == SIG_DFL)
			sigaction(signals[i].number, &action, NULL);
}
