/*
 * claimctl: makes queues and changes the state of units. See claimctl(1).
 */
#include <stdio.h>
#include <string.h>

#include "base/args.h"
#include "base/fault.h"
#include "base/log.h"
#include "tools/command.h"

static const struct command *const commands[] = {
	&cmd_init, &cmd_status, &cmd_top, &cmd_doctor, &cmd_report, &cmd_log, &cmd_retry, &cmd_redo, &cmd_release, &cmd_adopt, &cmd_fsck,
	&cmd_memo, &cmd_fleet,
};
#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static const struct command *find_command(const char *name)
{
	size_t i;

	for (i = 0; i < COMMANDS; i++)
		if (strcmp(commands[i]->name, name) == 0)
			return commands[i];
	return NULL;
}

static void print_help(FILE *out)
{
	size_t i;

	fprintf(out, "Usage: claimctl COMMAND [OPTIONS] QUEUE [UNIT...]\n\nCommands:\n");
	for (i = 0; i < COMMANDS; i++)
		fprintf(out, "  %-10s %s\n", commands[i]->name, commands[i]->summary);
	fprintf(out, "  %-10s %s\n", "help", "help [COMMAND]: this, or about a command");
	fprintf(out, "\nExamples:\n"
		"  claimctl init --mkdir --output 'features/{.}.npy' /mnt/disk/queue\n"
		"  claimctl status /mnt/disk/queue\n"
		"\nExit status: " COMMAND_EXIT_STATUS ".\n");
}

static int unknown_command(const char *name)
{
	const char *names[COMMANDS + 2], *nearest;
	size_t i;

	for (i = 0; i < COMMANDS; i++)
		names[i] = commands[i]->name;
	names[i++] = "help";
	names[i] = NULL;
	nearest = args_nearest(name, names);
	if (nearest)
		log_error("there is no command '%s'; did you mean '%s'?", name, nearest);
	else
		log_error("there is no command '%s': `claimctl help' lists them", name);
	return COMMAND_USAGE;
}

static int help(const char *name)
{
	const struct command *command;

	if (!name) {
		print_help(stdout);
		return 0;
	}
	command = find_command(name);
	if (!command)
		return unknown_command(name);
	command_print_help(command);
	return 0;
}

int main(int argc, char **argv)
{
	const struct command *command;

	log_open("claimctl", LOG_LEVEL_INFO);
	if (fault_init() < 0)
		return COMMAND_USAGE;
	if (argc < 2) {
		print_help(stderr);
		return COMMAND_USAGE;
	}
	if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
		printf("claimctl " CLAIMFS_VERSION "\n");
		return 0;
	}
	if (strcmp(argv[1], "help") == 0 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
		return help(argc > 2 ? argv[2] : NULL);
	command = find_command(argv[1]);
	if (!command)
		return unknown_command(argv[1]);
	return command_main(command, argc - 1, argv + 1);
}
