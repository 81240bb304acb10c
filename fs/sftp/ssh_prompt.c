/*
 * ssh_prompt: reading a line from the terminal without showing it, with a descriptor that cancels; and SSH_ASKPASS.
 */
#include "sftp/ssh_prompt.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <termios.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "sftp/ssh_run.h"

#define ANSWER_MAX 1024
#define PERSON_NS (300 * NS_PER_S)	/* nobody thinks longer; servers hang up sooner (LoginGraceTime) */

struct ssh_prompt {
	pthread_mutex_t lock;	/* held while a question is asked: one at a time */
	atomic_int tty_fd;
	atomic_bool forbidden;
};

/* ---- secrets ---- */

struct ssh_secret *ssh_secret_new(const char *text, size_t len)
{
	struct ssh_secret *secret = malloc(sizeof(*secret));

	if (!secret)
		return NULL;
	secret->len = len;
	/* A page of its own: unlocking it must not unlock a neighbour's. */
	secret->text = mmap(NULL, len + 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (secret->text == MAP_FAILED) {
		free(secret);
		return NULL;
	}
	if (mlock(secret->text, len + 1))
		log_debug("can't lock a password in memory (%s): it might be swapped out", log_strerror(errno));
	madvise(secret->text, len + 1, MADV_DONTDUMP);
	memcpy(secret->text, text, len);
	return secret;
}

void ssh_secret_free(struct ssh_secret *secret)
{
	if (!secret)
		return;
	OPENSSL_cleanse(secret->text, secret->len);
	munmap(secret->text, secret->len + 1);
	free(secret);
}

/* ---- the prompt ---- */

struct ssh_prompt *ssh_prompt_new(int tty_fd)
{
	struct ssh_prompt *prompt = calloc(1, sizeof(*prompt));

	if (!prompt)
		return NULL;
	pthread_mutex_init(&prompt->lock, NULL);
	atomic_init(&prompt->tty_fd, tty_fd);
	atomic_init(&prompt->forbidden, false);
	return prompt;
}

void ssh_prompt_free(struct ssh_prompt *prompt)
{
	if (!prompt)
		return;
	pthread_mutex_destroy(&prompt->lock);
	free(prompt);
}

void ssh_prompt_detach(struct ssh_prompt *prompt)
{
	atomic_store(&prompt->tty_fd, -1);
}

void ssh_prompt_forbid(struct ssh_prompt *prompt)
{
	atomic_store(&prompt->forbidden, true);
}

/*
 * The program to ask with, or NULL. SSH_ASKPASS_REQUIRE: never; force puts it before the terminal, and prefer does where there is a display for
 * it to show itself on.
 */
static const char *askpass(bool has_tty)
{
	const char *program = getenv("SSH_ASKPASS");
	const char *require = getenv("SSH_ASKPASS_REQUIRE");
	bool display = getenv("DISPLAY") || getenv("WAYLAND_DISPLAY");

	if (!program || !*program || (require && !strcmp(require, "never")))
		return NULL;
	if (has_tty && !(require && ((!strcmp(require, "prefer") && display) || !strcmp(require, "force"))))
		return NULL;
	return program;
}

bool ssh_prompt_can_ask(struct ssh_prompt *prompt)
{
	return !atomic_load(&prompt->forbidden) && (atomic_load(&prompt->tty_fd) >= 0 || askpass(false));
}

static int ask_program(const char *program, const char *question, const struct ssh_limit *limit, struct ssh_secret **ret_answer)
{
	char *argv[] = { (char *)(uintptr_t)program, (char *)(uintptr_t)question, NULL };
	struct buf output = BUF_INIT;
	int status = 0;
	int error;

	output.max = ANSWER_MAX;
	buf_reserve(&output, ANSWER_MAX - 1);
	error = ssh_run(argv, NULL, limit->deadline_ns, limit->cancel_fd, &output, NULL, &status);
	if (error == -ENOENT || error == -EACCES) {
		log_warn("can't run SSH_ASKPASS (%s): %s", program, log_strerror(error));
		error = -ENOTTY;
	} else if (!error && status) {
		error = -EINTR;
	}
	if (!error) {
		size_t len = strcspn(buf_text(&output), "\r\n");

		*ret_answer = ssh_secret_new(buf_text(&output), len);
		error = *ret_answer ? 0 : -ENOMEM;
	}
	if (output.data)
		OPENSSL_cleanse(output.data, output.cap);
	buf_release(&output);
	return error;
}

/* One key of the keyboard: 1 the line is complete, 0 more is wanted, -EINTR given up. */
static int take_key(char key, char *line, size_t *len)
{
	switch (key) {
	case '\r':
	case '\n':
		return 1;
	case 3:			/* ^C: the terminal makes no signal of it here */
	case 28:
		return -EINTR;
	case 4:			/* ^D */
		return *len ? 1 : -EINTR;
	case 8:
	case 127:
		*len -= *len > 0;
		return 0;
	case 21:		/* ^U */
		*len = 0;
		return 0;
	default:
		if (*len < ANSWER_MAX - 1)
			line[(*len)++] = key;
		return 0;
	}
}

static int read_line(int fd, bool echo, const struct ssh_limit *limit, char *line, size_t *ret_len)
{
	int done = 0;

	while (!done) {
		char key;
		ssize_t got;
		int error = ssh_wait_fd(fd, POLLIN, limit);

		if (error)
			return error;
		got = read(fd, &key, 1);
		if (got < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (got <= 0)
			return got ? -errno : -EINTR;
		done = take_key(key, line, ret_len);
		if (echo && !done && (unsigned char)key >= ' ' && key != 127)
			io_write_all(fd, &key, 1);
	}
	return done < 0 ? done : 0;
}

static int ask_tty(int fd, const char *question, bool echo, const struct ssh_limit *limit, struct ssh_secret **ret_answer)
{
	struct termios before;
	struct termios raw;
	char line[ANSWER_MAX];
	size_t len = 0;
	int error;

	if (tcgetattr(fd, &before))
		return -errno;
	/* No echo, and keys one by one: a ^C must not end the program with the terminal left mute. */
	raw = before;
	raw.c_lflag &= ~(tcflag_t)(ECHO | ICANON | ISIG);
	raw.c_cc[VMIN] = 1;
	raw.c_cc[VTIME] = 0;
	if (tcsetattr(fd, TCSAFLUSH, &raw))
		return -errno;
	error = io_write_all(fd, question, strlen(question));
	if (!error)
		error = read_line(fd, echo, limit, line, &len);
	io_write_all(fd, "\n", 1);
	tcsetattr(fd, TCSAFLUSH, &before);
	if (!error) {
		*ret_answer = ssh_secret_new(line, len);
		error = *ret_answer ? 0 : -ENOMEM;
	}
	OPENSSL_cleanse(line, sizeof(line));
	return error;
}

int ssh_prompt_ask(struct ssh_prompt *prompt, const char *question, bool echo, struct ssh_limit *limit, struct ssh_secret **ret_answer)
{
	int64_t begun = clock_now();
	struct ssh_limit patient = { .deadline_ns = begun + PERSON_NS, .cancel_fd = limit->cancel_fd };
	const char *program;
	int tty_fd;
	int error = -ENOTTY;

	pthread_mutex_lock(&prompt->lock);
	tty_fd = atomic_load(&prompt->tty_fd);
	program = askpass(tty_fd >= 0);
	if (atomic_load(&prompt->forbidden))
		error = -ENOTTY;
	else if (program)
		error = ask_program(program, question, &patient, ret_answer);
	else if (tty_fd >= 0)
		error = ask_tty(tty_fd, question, echo, &patient, ret_answer);
	pthread_mutex_unlock(&prompt->lock);
	if (limit->deadline_ns != INT64_MAX)
		limit->deadline_ns += clock_now() - begun;
	return error;
}
