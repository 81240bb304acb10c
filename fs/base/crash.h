/*
 * crash: a program that a fatal signal ends says so in its log.
 *
 * One line: the signal, the thread, for a fault the address, and the calls that led there as MODULE+0xOFFSET, for addr2line -e MODULE 0xOFFSET. Then the
 * signal does what it would have done, so that a core is written where cores are. SIGKILL, the kernel's when memory is short too, and a stack that
 * overflowed in another thread than the first leave no line: the kernel's log has those.
 */
#ifndef CLAIMFS_BASE_CRASH_H
#define CLAIMFS_BASE_CRASH_H

/*
 * Once, by main(), after log_open() and before there are threads. Signals that somebody handles or ignores already stay theirs (a sanitizer's reports
 * say more), and so do those that are given a handler later.
 */
void crash_watch(void);

#endif
