/* ahead: see ahead.h. */
#include "tree/ahead_inner.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

#define STRANGER_ENTRIES 4096	/* of a directory that is listed for a program that does not: no more of it than that */
#define AHEAD_BATCH 4			/* this part of what is wanted may be missing before more is sent */
#define FAR (2 * AHEAD_MOST)	/* guesses are made among so many of the next names */

_Static_assert(EXPECTED_WINDOW >= AHEAD_MOST, "guesses to be sent");

int ahead_new(struct tree *tree, struct ahead **ret_ahead)
{
	struct ahead *ahead = calloc(1, sizeof(*ahead));

	if (!ahead)
		return -ENOMEM;
	ahead->tree = tree;
	pthread_mutex_init(&ahead->lock, NULL);
	list_init(&ahead->dirs);
	list_init(&ahead->guesses);
	expected_init(&ahead->expected);
	*ret_ahead = ahead;
	return 0;
}

void ahead_free(struct ahead *ahead)
{
	if (!ahead)
		return;
	expected_release(&ahead->expected);
	pthread_mutex_destroy(&ahead->lock);
	free(ahead);
}

/* ---- letting go ---- */

/* Attributes may be old by options.attr_ttl; and a file that changes twice in a second shows it only to who looks twice (file.c). */
static int64_t longest_life(const struct ahead *ahead)
{
	double most = ahead->tree->options.attr_ttl < 1 ? ahead->tree->options.attr_ttl : 1;

	return (int64_t)(most * NS_PER_S);
}

static void expire_locked(struct ahead *ahead, struct list *ret_gone)
{
	struct ahead_dir *missed = NULL;
	int64_t now = clock_now();
	struct list *link, *next;

	if (now <= ahead->oldest_ns)
		return;
	ahead->oldest_ns = INT64_MAX;
	list_for_each_safe(link, next, &ahead->guesses) {
		struct guess *guess = list_entry(link, struct guess, link);

		if (!guess_is_old(guess, now)) {
			guess_live_locked(guess);
			continue;
		}
		if (guess->dir && guess->dir != missed)
			ahead_order_missed(&guess->dir->order);
		missed = guess->dir;
		if (guess->expected)
			expected_missed(&ahead->expected);
		guess_drop_locked(guess, ret_gone);
	}
}

/* Takes it out; its guesses stay until they are claimed or too old. */
static void dir_remove_locked(struct ahead *ahead, struct ahead_dir *dir)
{
	struct list *link;

	list_for_each(link, &ahead->guesses) {
		struct guess *guess = list_entry(link, struct guess, link);

		if (guess->dir == dir)
			guess->dir = NULL;
	}
	list_remove(&dir->link);
}

static void dir_free(struct ahead *ahead, struct ahead_dir *dir)
{
	if (!dir)
		return;
	ahead_order_release(&dir->order);
	listing_unref(dir->listing);
	node_unref(ahead->tree, dir->node);
	free(dir);
}

void ahead_stop(struct ahead *ahead)
{
	struct strangers strangers;
	struct list gone, dirs, *link, *next;

	if (!ahead)
		return;
	list_init(&gone);
	list_init(&dirs);
	pthread_mutex_lock(&ahead->lock);
	ahead->stopped = true;
	list_for_each_safe(link, next, &ahead->guesses)
		guess_drop_locked(list_entry(link, struct guess, link), &gone);
	list_splice(&dirs, &ahead->dirs);
	strangers_clear(&ahead->strangers, &strangers);
	pthread_mutex_unlock(&ahead->lock);
	guess_free_all(&gone);
	strangers_release(&strangers, ahead->tree);
	while ((link = list_pop(&dirs)))
		dir_free(ahead, list_entry(link, struct ahead_dir, link));
}

/* ---- directories ---- */

static struct ahead_dir *find_dir_locked(struct ahead *ahead, const struct node *node)
{
	struct list *link;

	list_for_each(link, &ahead->dirs) {
		struct ahead_dir *dir = list_entry(link, struct ahead_dir, link);

		if (dir->node == node)
			return dir;
	}
	return NULL;
}

/* The one that has to make room, or the one that is replaced. */
static struct ahead_dir *take_old_locked(struct ahead *ahead, const struct node *node)
{
	struct ahead_dir *old = find_dir_locked(ahead, node);
	struct list *link;
	int count = 0;

	if (!old) {
		list_for_each(link, &ahead->dirs)
			count++;
		if (count >= AHEAD_DIRS)
			old = list_entry(ahead->dirs.prev, struct ahead_dir, link);
	}
	if (old)
		dir_remove_locked(ahead, old);
	return old;
}

static const char *name_of(const void *listing, size_t place)
{
	return listing_entry(listing, place, NULL);
}

static struct ahead_dir *dir_new(struct ahead *ahead, struct node *node, struct listing *listing)
{
	struct ahead_dir *dir = calloc(1, sizeof(*dir));

	if (!dir)
		return NULL;
	node_ref(ahead->tree, node);
	listing_ref(listing);
	dir->node = node;
	dir->listing = listing;
	ahead_order_init(&dir->order, listing_count(listing), name_of, listing);
	return dir;
}

void ahead_listed(struct ahead *ahead, struct node *node, struct listing *listing)
{
	struct ahead_dir *dir, *old;

	if (!ahead || listing_count(listing) < AHEAD_LEAST || listing_count(listing) > AHEAD_ENTRIES || longest_life(ahead) <= 0)
		return;
	dir = dir_new(ahead, node, listing);
	if (!dir)
		return;
	pthread_mutex_lock(&ahead->lock);
	if (ahead->stopped) {
		old = dir;
	} else {
		old = take_old_locked(ahead, node);
		if (old && old->node == node)
			ahead_order_inherit(&dir->order, &old->order);
		list_prepend(&ahead->dirs, &dir->link);
	}
	pthread_mutex_unlock(&ahead->lock);
	dir_free(ahead, old);
}

/* ---- guessing ---- */

static struct guess *guess_place(struct ahead *ahead, struct ahead_dir *dir, size_t place, const char *name, uint64_t size, int64_t lifetime_ns)
{
	struct guess *guess = guess_new(ahead, dir->node, name, NULL, lifetime_ns);

	if (!guess)
		return NULL;
	guess->dir = dir;
	guess->place = place;
	guess->bytes = size;
	dir->guesses++;
	dir->bytes += size;
	return guess;
}

/* Makes guesses, to be sent, into `ret_fresh` (room for AHEAD_MOST). How many: none, or several, which are sent and answered together. */
static int guess_more_locked(struct ahead *ahead, struct ahead_dir *dir, struct guess **ret_fresh)
{
	int64_t lifetime = ahead_order_lifetime(&dir->order, ahead->way_ns, longest_life(ahead));
	unsigned int wanted = ahead_order_wanted(&dir->order, lifetime, AHEAD_MOST);
	size_t place;
	int count = 0;

	if (dir->guesses > wanted - wanted / AHEAD_BATCH)
		return 0;
	while (dir->guesses < wanted && dir->bytes < AHEAD_MOST_BYTES && count < AHEAD_MOST && ahead_order_next(&dir->order, FAR, &place)) {
		const struct sftp_attrs *attrs;
		const char *name = listing_entry(dir->listing, place, &attrs);

		if (!guess_is_worth_it(attrs))
			continue;
		ret_fresh[count] = guess_place(ahead, dir, place, name, attrs->size, lifetime);
		count += ret_fresh[count] != NULL;
	}
	return count;
}

static unsigned int most_expected(const struct ahead *ahead)
{
	unsigned int handles = sftp_max_handles(ahead->tree->sftp), most = handles ? handles / AHEAD_HANDLES : AHEAD_EXPECTED_LEAST;

	if (most > AHEAD_EXPECTED)
		most = AHEAD_EXPECTED;
	return ahead->expected_count < most ? most - ahead->expected_count : 0;
}

/* The same for those that are expected after `path`, in `parent` like it. False: it was not expected. */
static bool expect_more_locked(struct ahead *ahead, struct node *parent, const char *path, struct guess **ret_fresh, int *ret_count)
{
	unsigned int count, most = most_expected(ahead), i;
	struct expected_next next[EXPECTED_WINDOW];
	int64_t lifetime = longest_life(ahead);

	*ret_count = 0;
	if (ahead->stopped || lifetime <= 0 || !expected_opened(&ahead->expected, path, clock_now(), lifetime, most, next, &count))
		return false;
	for (i = 0; i < count; i++) {
		ret_fresh[*ret_count] = guess_new(ahead, parent, next[i].name, next[i].attrs, lifetime);
		if (!ret_fresh[*ret_count])
			continue;
		ret_fresh[(*ret_count)++]->expected = true;
		ahead->expected_count++;
	}
	return true;
}

void ahead_expect(struct ahead *ahead, const char *path, const struct sftp_attrs *attrs)
{
	if (!ahead || attrs->size > AHEAD_FILE)
		return;
	pthread_mutex_lock(&ahead->lock);
	if (!ahead->stopped)
		expected_add(&ahead->expected, path, attrs);
	pthread_mutex_unlock(&ahead->lock);
}

/* ---- the kernel asks ---- */

/*
 * Only when the program that goes through the directory is just coming to it, or when it was promised to one, is a lookup answered from a guess: any
 * other may be somebody's who must have the truth, such as a create that is exclusive.
 */
static bool is_due(const struct guess *guess)
{
	return !guess->looked && (guess->expected || (guess->dir && ahead_order_coming(&guess->dir->order, guess->place)));
}

bool ahead_lookup(struct ahead *ahead, struct node *dir, const char *name, ahead_looked *looked, void *arg)
{
	struct sftp_attrs attrs = { 0 };
	struct guess *guess;
	struct node *node;
	bool found, now = false;
	int64_t sent_ns = 0;

	if (!ahead || !(node = node_find(ahead->tree, dir, name)))
		return false;
	pthread_mutex_lock(&ahead->lock);
	guess = guess_find_locked(ahead, node);
	found = guess && is_due(guess) && (!guess->landed || guess_is_fresh(guess));
	if (found) {
		guess->looked = true;
		now = guess->landed;
		if (now)
			attrs = guess->attrs;
		sent_ns = guess->sent_ns;
		guess->lookup = now ? NULL : looked;
		guess->lookup_arg = arg;
	}
	pthread_mutex_unlock(&ahead->lock);
	node_unref(ahead->tree, node);
	if (now)
		guess_answer_lookup(looked, arg, &attrs, sent_ns);
	return found;
}

bool ahead_claim(struct ahead *ahead, struct node *node, ahead_claimed *claimed, void *arg)
{
	struct guess *guess;
	struct list gone;
	bool now = false;

	if (!ahead)
		return false;
	list_init(&gone);
	pthread_mutex_lock(&ahead->lock);
	expire_locked(ahead, &gone);
	guess = guess_find_locked(ahead, node);
	if (guess) {
		now = guess->landed;
		if (guess->dir)
			ahead_order_kept(&guess->dir->order, now);
		guess_forget_locked(guess);
		if (!now) {
			guess->claimed = claimed;
			guess->arg = arg;
		}
	}
	pthread_mutex_unlock(&ahead->lock);
	guess_free_all(&gone);
	if (guess && now && !guess_is_fresh(guess)) {
		guess_free(guess);
		return false;
	}
	if (guess && now)
		guess_hand_over(guess, claimed, arg);
	return guess;
}

void ahead_forget(struct ahead *ahead, struct node *node)
{
	struct guess *guess;
	struct list gone;

	if (!ahead)
		return;
	list_init(&gone);
	pthread_mutex_lock(&ahead->lock);
	guess = guess_find_locked(ahead, node);
	if (guess)
		guess_drop_locked(guess, &gone);
	pthread_mutex_unlock(&ahead->lock);
	guess_free_all(&gone);
}

/* The directory and the name of a node: a ref and a copy, or NULL. */
static struct node *parent_of(struct tree *tree, struct node *node, char ret_name[256])
{
	struct node *dir;

	pthread_mutex_lock(&tree->lock);
	dir = node->parent;
	if (dir && strlen(node->name) < 256)
		strcpy(ret_name, node->name);
	else
		dir = NULL;
	if (dir)
		dir->refs++;
	pthread_mutex_unlock(&tree->lock);
	return dir;
}

/* True: the directory should be listed. */
static bool opened_locked(struct ahead *ahead, struct node *parent, const char *name, const char *path, struct guess **ret_fresh, int *ret_count,
			  struct node **ret_old)
{
	struct ahead_dir *dir = find_dir_locked(ahead, parent);

	*ret_old = NULL;
	if (expect_more_locked(ahead, parent, path, ret_fresh, ret_count))
		return false;
	if (!dir || !ahead_order_opened(&dir->order, name, clock_now()))
		return !ahead->stopped && longest_life(ahead) > 0 && strangers_opened(&ahead->strangers, ahead->tree, parent, ret_old);
	list_remove(&dir->link);
	list_prepend(&ahead->dirs, &dir->link);
	*ret_count = guess_more_locked(ahead, dir, ret_fresh);
	return false;
}

/* Has any session been promised anything? Else no open needs its path. */
static bool expects(struct ahead *ahead)
{
	bool any;

	pthread_mutex_lock(&ahead->lock);
	any = ahead->expected.ring != NULL;
	pthread_mutex_unlock(&ahead->lock);
	return any;
}

void ahead_opened(struct ahead *ahead, struct node *node)
{
	struct node *parent = NULL, *old;
	struct guess *fresh[EXPECTED_WINDOW];
	struct buf path = BUF_INIT;
	struct list gone;
	char name[256];
	bool strange;
	int count, i;

	if (!ahead || !(parent = parent_of(ahead->tree, node, name)))
		return;
	list_init(&gone);
	if (expects(ahead))
		(void)node_path(ahead->tree, node, NULL, &path);	/* out of memory: then it was not expected */
	pthread_mutex_lock(&ahead->lock);
	expire_locked(ahead, &gone);
	strange = opened_locked(ahead, parent, name, buf_text(&path), fresh, &count, &old);
	pthread_mutex_unlock(&ahead->lock);
	buf_release(&path);
	sftp_hold(ahead->tree->sftp);
	for (i = 0; i < count; i++)
		guess_send(fresh[i]);
	sftp_go(ahead->tree->sftp);
	if (strange)
		listing_start(ahead->tree, parent, STRANGER_ENTRIES);
	guess_free_all(&gone);
	node_unref(ahead->tree, old);
	node_unref(ahead->tree, parent);
}
