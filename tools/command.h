/*
 * command: what claimctl's commands share. Each is one cmd_NAME.c with its table of options, its --help and its run function;
 * main.c has the table of them all.
 */
#ifndef CLAIMFS_TOOLS_COMMAND_H
#define CLAIMFS_TOOLS_COMMAND_H

#include <stdbool.h>

#include "base/args.h"
#include "base/buf.h"

#define COMMAND_FAILED 1
#define COMMAND_USAGE 2
#define COMMAND_EXIT_STATUS "0 all well, 1 something could not be done, 2 usage"

struct command {
	const char *name;
	const char *summary;		/* one line */
	const char *usage;		/* what follows "claimctl " */
	const char *description;	/* a paragraph, ends with a newline */
	const char *examples;		/* lines, each indented and ended */
	const char *exit_status;	/* what --help says of it; NULL: COMMAND_EXIT_STATUS */
	const struct args_option *options;
	args_set *set;
	/* `operands` ends with NULL; `target` is what `set` filled. The exit status. */
	int (*run)(char **operands, void *target);
	void *target;			/* the command's options, with their defaults */
	bool operands_optional;
	int (*main)(int argc, char **argv);	/* or NULL: of a command that takes its command line apart itself */
};

extern const struct command cmd_init, cmd_status, cmd_log, cmd_retry, cmd_redo, cmd_release, cmd_adopt, cmd_fsck, cmd_memo, cmd_fleet,
	cmd_report, cmd_top, cmd_doctor;

/* Parses options (they may stand anywhere before "--"), answers --help, runs. The exit status. */
int command_main(const struct command *command, int argc, char **argv);
void command_print_help(const struct command *command);

#endif
