/*
 * background: a program that goes to the background once it works. The process that was started waits until the one behind it says so, and ends with
 * its verdict; that one keeps the terminal until then, for questions and messages.
 */
#ifndef CLAIMFS_BACKGROUND_H
#define CLAIMFS_BACKGROUND_H

struct background {
	int pipe;		/* to the waiting process, or -1: there is none */
};

/* Forks. Returns in the new process (before any thread is started): 0 or -errno; the old one never returns but ends. */
int background_begin(struct background *background);

/* It works: leaves terminal, session and working directory, and lets the waiting process end with 0. Logs go to syslog from here. */
void background_ready(struct background *background);

#endif
