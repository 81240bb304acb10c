/*
 * command: options and help of one command.
 */
#include "tools/command.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

void command_print_help(const struct command *command)
{
	printf("Usage: claimctl %s\n%s\n", command->usage, command->description);
	if (command->options && command->options[0].key) {
		printf("Options:\n");
		args_print_options(stdout, command->options);
		printf("\n");
	}
	printf("Examples:\n%s", command->examples);
	printf("\nExit status: %s.\n", command->exit_status ? command->exit_status : COMMAND_EXIT_STATUS);
}

/* "--help" and "-h" mean the same in every command, so that they need no line in every table. */
static bool wants_help(int argc, char **argv)
{
	int i;

	for (i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
			return true;
	return false;
}

/*
 * args_parse() stops at the first operand: `claimctl init DIR --lease 30s` goes on behind it. Operands are collected in `operands`, which has
 * room for all of argv.
 */
static int parse_all(const struct command *command, int argc, char **argv, char **operands, struct buf *why)
{
	int first, count = 0, at = 0, error;

	while (at < argc) {
		error = args_parse(argc - at, argv + at, command->options, command->set, command->target, &first, why);
		if (error)
			return error;
		at += first;
		if (at > 0 && strcmp(argv[at - 1], "--") == 0 && first > 1) {
			while (at < argc)
				operands[count++] = argv[at++];
			break;
		}
		if (at < argc)
			operands[count++] = argv[at];	/* and it stands for the program's name in the next round */
	}
	operands[count] = NULL;
	return 0;
}

int command_main(const struct command *command, int argc, char **argv)
{
	struct buf why = BUF_INIT;
	char **operands;
	int status;

	if (command->main)
		return command->main(argc, argv);
	if (wants_help(argc, argv)) {
		command_print_help(command);
		return 0;
	}
	operands = calloc((size_t)argc + 1, sizeof(*operands));
	if (!operands) {
		log_error("%s", log_strerror(ENOMEM));
		return COMMAND_FAILED;
	}
	if (parse_all(command, argc, argv, operands, &why) < 0) {
		log_error("%s: %s (claimctl %s --help)", command->name, buf_text(&why), command->name);
		status = COMMAND_USAGE;
	} else if (!operands[0] && !command->operands_optional) {
		log_error("%s: something is missing. Usage: claimctl %s", command->name, command->usage);
		status = COMMAND_USAGE;
	} else {
		status = command->run(operands, command->target);
	}
	buf_release(&why);
	free(operands);
	return status;
}
