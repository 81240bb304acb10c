/* ahead_guess: one file that is opened and looked at before it is asked for; see ahead_inner.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "tree/ahead_inner.h"

bool guess_is_worth_it(const struct sftp_attrs *attrs)
{
	return S_ISREG(attrs->mode) && (attrs->flags & SFTP_ATTR_SIZE) && attrs->size <= AHEAD_FILE;
}

/* ---- letting go ---- */

void guess_forget_locked(struct guess *guess)
{
	list_remove(&guess->link);
	if (guess->dir) {
		guess->dir->guesses--;
		guess->dir->bytes -= guess->bytes;
	}
	if (guess->expected)
		guess->ahead->expected_count--;
	guess->dir = NULL;
	guess->expected = false;
}

void guess_free(struct guess *guess)
{
	struct tree *tree = guess->ahead->tree;

	if (guess->file)
		sftp_close(guess->file, NULL, NULL);
	if (guess->of)
		open_file_unref(guess->of);
	flight_clear(&guess->flight);
	node_unref(tree, guess->node);
	free(guess);
}

void guess_drop_locked(struct guess *guess, struct list *ret_gone)
{
	guess_forget_locked(guess);
	guess->dropped = true;
	if (guess->landed)
		list_append(ret_gone, &guess->link);
}

void guess_free_all(struct list *gone)
{
	struct list *link;

	while ((link = list_pop(gone)))
		guess_free(list_entry(link, struct guess, link));
}

bool guess_is_old(const struct guess *guess, int64_t now)
{
	return now - guess->sent_ns > guess->lifetime_ns;
}

/* ---- making ---- */

struct guess *guess_find_locked(struct ahead *ahead, const struct node *node)
{
	struct list *link;

	list_for_each(link, &ahead->guesses) {
		struct guess *guess = list_entry(link, struct guess, link);

		if (guess->node == node)
			return guess;
	}
	return NULL;
}

void guess_live_locked(struct guess *guess)
{
	int64_t until = guess->sent_ns + guess->lifetime_ns;

	if (until < guess->ahead->oldest_ns)
		guess->ahead->oldest_ns = until;
}

struct guess *guess_new(struct ahead *ahead, struct node *parent, const char *name, const struct sftp_attrs *attrs, int64_t lifetime_ns)
{
	struct guess *guess = calloc(1, sizeof(*guess));
	int64_t now = clock_now();

	if (!guess)
		return NULL;
	guess->ahead = ahead;
	guess->sent_ns = now;
	/* The other half of its life is for the program to come to it. */
	guess->known = attrs && now - attrs->asked_ns < lifetime_ns / 2 && node_is_new(ahead->tree, parent, name, attrs->asked_ns);
	if (guess->known) {
		guess->attrs = *attrs;
		guess->sent_ns = attrs->asked_ns;
	}
	guess->of = open_file_new(ahead->tree, O_RDONLY);
	guess->node = node_get(ahead->tree, parent, name, &real_ops);
	guess->real = guess->node ? real_get(ahead->tree, guess->node) : NULL;
	if (!guess->of || !guess->real || guess_find_locked(ahead, guess->node)) {
		guess_free(guess);
		return NULL;
	}
	flight_init(&guess->flight);
	guess->lifetime_ns = lifetime_ns;
	guess_live_locked(guess);
	list_append(&ahead->guesses, &guess->link);
	return guess;
}

/* ---- landing ---- */

bool guess_is_fresh(const struct guess *guess)
{
	bool fresh;

	if (guess_is_old(guess, clock_now()))
		return false;
	pthread_mutex_lock(&guess->real->lock);
	fresh = guess->stamp == guess->real->changes && writebehind_idle(&guess->real->wb);
	pthread_mutex_unlock(&guess->real->lock);
	return fresh;
}

/* What the answers say; sets guess->attrs. */
static bool is_good(struct guess *guess)
{
	const struct flight_leg *open = &guess->flight.legs[0], *look = &guess->flight.legs[1];

	if (open->error || (!guess->known && look->error))
		return false;
	if (!guess->known)
		guess->attrs = look->attrs;
	return guess_is_worth_it(&guess->attrs);
}

void guess_hand_over(struct guess *guess, ahead_claimed *claimed, void *arg)
{
	struct open_file *of = guess->of;
	struct sftp_attrs attrs = guess->attrs;

	guess->of = NULL;
	guess_free(guess);
	claimed(arg, of, &attrs);
}

void guess_answer_lookup(ahead_looked *lookup, void *arg, const struct sftp_attrs *attrs, int64_t sent_ns)
{
	if (lookup)
		lookup(arg, attrs, attrs ? (double)(clock_now() - sent_ns) / NS_PER_S : 0);
}

static void landed(struct flight *flight)
{
	struct guess *guess = container_of(flight, struct guess, flight);
	struct ahead *ahead = guess->ahead;
	bool good = is_good(guess), keep, fresh;
	int64_t sent_ns = guess->sent_ns;
	struct sftp_attrs attrs = { 0 };
	ahead_claimed *claimed;
	ahead_looked *lookup;
	void *arg, *lookup_arg;

	if (good) {
		attrs = guess->attrs;
		guess->of->guessed = true;
		open_file_attach(guess->of, guess->real, guess->file);
		guess->file = NULL;
		file_fetch_first(guess->of, &guess->attrs);
	}
	pthread_mutex_lock(&ahead->lock);
	claimed = guess->claimed;
	arg = guess->arg;
	lookup = guess->lookup;
	lookup_arg = guess->lookup_arg;
	fresh = good && !guess->dropped && guess_is_fresh(guess);
	if (!good && !guess->dropped)
		guess_forget_locked(guess);
	keep = good && !guess->dropped && !claimed;
	guess->landed = true;
	pthread_mutex_unlock(&ahead->lock);
	guess_answer_lookup(lookup, lookup_arg, fresh ? &attrs : NULL, sent_ns);	/* with `keep` the guess may be gone by now */
	if (keep)
		return;
	if (claimed && good && guess_is_fresh(guess)) {
		guess_hand_over(guess, claimed, arg);
		return;
	}
	guess_free(guess);
	if (claimed)
		claimed(arg, NULL, NULL);
}

static void open_done(void *arg, const struct sftp_reply *answer)
{
	struct flight_leg *leg = arg;
	struct guess *guess = container_of(leg->flight, struct guess, flight);
	struct ahead *ahead = guess->ahead;
	int64_t way = answer->received_ns - answer->sent_ns;

	guess->file = answer->file;
	readahead_way(&guess->of->ra, way);
	pthread_mutex_lock(&ahead->lock);
	ahead->way_ns = ahead->way_ns && way > 0 ? (ahead->way_ns * 7 + way) / 8 : way;
	pthread_mutex_unlock(&ahead->lock);
	flight_done(leg, answer);
}

void guess_send(struct guess *guess)
{
	struct tree *tree = guess->ahead->tree;
	struct buf path = BUF_INIT;
	struct flight_leg *leg;
	int error = node_path(tree, guess->node, NULL, &path);

	pthread_mutex_lock(&guess->real->lock);
	if (!guess->known)	/* else it knows of no change at all: node_is_new() */
		guess->stamp = guess->real->changes;
	pthread_mutex_unlock(&guess->real->lock);
	flight_begin(&guess->flight, landed);
	leg = flight_leg(&guess->flight);
	flight_sent(leg, error ? error : sftp_open(tree->sftp, SFTP_DATA, path.data, SFTP_OPEN_READ, NULL, open_done, leg));
	if (!guess->known) {
		leg = flight_leg(&guess->flight);
		flight_sent(leg, error ? error : sftp_lstat(tree->sftp, SFTP_DATA, path.data, flight_done, leg));
	}
	flight_go(&guess->flight);
	buf_release(&path);
}
