/*
 * expand: what a job gets to see of its unit: the command's words replaced, and the environment CLAIM_*.
 *
 *   {in} {out} {name}   absolute paths of input and staged output, the unit's name
 *   {} {.} {/} {//} {/.}  GNU Parallel's, of the unit's name
 *   {in...}             a word by itself: the inputs of many units, a word each
 */
#ifndef CLAIMFS_WORKER_EXPAND_H
#define CLAIMFS_WORKER_EXPAND_H

#include <stdbool.h>

#define EXPAND_INPUTS "{in...}"

struct expand_unit {		/* a NULL stands for nothing: not replaced, not in the environment */
	const char *name;
	const char *in;
	const char *out;
	char *const *inputs;	/* ends with NULL */
	unsigned int attempt;	/* 0: not known, CLAIM_ATTEMPT is not set */
	const char *resume;	/* CLAIM_RESUME: what an attempt before left */
	const char *queue;	/* CLAIM_QUEUE: where claimctl memo keeps results */
	const char *job;	/* CLAIM_JOB: how the worker knows its children's children again */
};

/* Allocated, ends with NULL. 0 or -ENOMEM. */
int expand_command(char *const *command, const struct expand_unit *unit, char ***ret_argv);
int expand_environment(char *const *environment, const struct expand_unit *unit, char ***ret_envp);
void expand_free(char **strings);

/* Does this word change with the unit? */
bool expand_has_word(const char *word);

#endif
