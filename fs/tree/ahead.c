/* ahead: see ahead.h. */
#include "tree/ahead.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "tree/file_state.h"
#include "tree/flight.h"
#include "tree/listing.h"

#define SURE 2			/* steps in a row that make an order */
#define STEP_MOST 3		/* entries between two that are opened: directories, files that are left alone */

enum order { BY_NAME, BY_PLACE, ORDERS };

struct ahead_dir {
	struct list link;		/* of ahead->dirs, the one used last first */
	struct node *node;		/* held */
	struct listing *listing;	/* held */
	size_t count;
	uint32_t *by_name;		/* places in the listing, sorted by name; NULL: not yet */
	size_t at[ORDERS];		/* where the program is */
	unsigned int steps[ORDERS];	/* it made in a row */
	int proven;			/* the order it took through an earlier listing; -1: none */
	bool begun;
	int64_t opened_ns;
	int64_t pace_ns;		/* between two opens, about */
	size_t next[ORDERS];		/* what comes after the last guess */
	unsigned int guesses;
	uint64_t bytes;			/* of guesses */
};

struct guess {
	struct list link;		/* of ahead->guesses, or of those to be let go */
	struct flight flight;
	struct ahead *ahead;
	struct ahead_dir *dir;		/* NULL: it has been forgotten */
	struct node *node;		/* held */
	struct real *real;
	struct open_file *of;
	struct sftp_file *file;
	struct sftp_attrs attrs;
	uint64_t bytes;
	uint64_t stamp;			/* real->changes when it was sent */
	int64_t sent_ns;
	bool landed;
	bool dropped;
	ahead_claimed *claimed;		/* who waits for it to land */
	void *arg;
};

struct ahead {
	struct tree *tree;
	pthread_mutex_t lock;		/* guards everything here, guesses included */
	struct list dirs;
	struct list guesses;
	bool stopped;
};

int ahead_new(struct tree *tree, struct ahead **ret_ahead)
{
	struct ahead *ahead = calloc(1, sizeof(*ahead));

	if (!ahead)
		return -ENOMEM;
	ahead->tree = tree;
	pthread_mutex_init(&ahead->lock, NULL);
	list_init(&ahead->dirs);
	list_init(&ahead->guesses);
	*ret_ahead = ahead;
	return 0;
}

void ahead_free(struct ahead *ahead)
{
	if (!ahead)
		return;
	pthread_mutex_destroy(&ahead->lock);
	free(ahead);
}

/* ---- letting go ---- */

/* Off the list, and no longer its directory's. */
static void forget_locked(struct guess *guess)
{
	list_remove(&guess->link);
	if (guess->dir) {
		guess->dir->guesses--;
		guess->dir->bytes -= guess->bytes;
	}
	guess->dir = NULL;
}

/* Nothing of it is under way and nobody waits. */
static void guess_free(struct guess *guess)
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

/* Landed ones onto `ret_gone`; those under way follow when they land. */
static void drop_locked(struct guess *guess, struct list *ret_gone)
{
	forget_locked(guess);
	guess->dropped = true;
	if (guess->landed)
		list_append(ret_gone, &guess->link);
}

static void free_all(struct list *gone)
{
	struct list *link;

	while ((link = list_pop(gone)))
		guess_free(list_entry(link, struct guess, link));
}

static int64_t lifetime(const struct ahead *ahead)
{
	return (int64_t)(ahead->tree->options.attr_ttl * NS_PER_S);
}

static void expire_locked(struct ahead *ahead, struct list *ret_gone)
{
	int64_t oldest = clock_now() - lifetime(ahead);
	struct list *link, *next;

	list_for_each_safe(link, next, &ahead->guesses) {
		struct guess *guess = list_entry(link, struct guess, link);

		if (guess->sent_ns < oldest && !guess->claimed)
			drop_locked(guess, ret_gone);
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
	listing_unref(dir->listing);
	node_unref(ahead->tree, dir->node);
	free(dir->by_name);
	free(dir);
}

void ahead_stop(struct ahead *ahead)
{
	struct list gone, dirs, *link, *next;

	if (!ahead)
		return;
	list_init(&gone);
	list_init(&dirs);
	pthread_mutex_lock(&ahead->lock);
	ahead->stopped = true;
	list_for_each_safe(link, next, &ahead->guesses)
		drop_locked(list_entry(link, struct guess, link), &gone);
	list_splice(&dirs, &ahead->dirs);
	pthread_mutex_unlock(&ahead->lock);
	free_all(&gone);
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

static int proven_order(const struct ahead_dir *dir)
{
	int order;

	for (order = 0; order < ORDERS; order++)
		if (dir->steps[order] >= SURE)
			return order;
	return dir->proven;
}

void ahead_listed(struct ahead *ahead, struct node *node, struct listing *listing)
{
	struct ahead_dir *dir, *old;

	if (!ahead || listing_count(listing) < SURE || listing_count(listing) > AHEAD_ENTRIES || lifetime(ahead) <= 0)
		return;
	dir = calloc(1, sizeof(*dir));
	if (!dir)
		return;
	node_ref(ahead->tree, node);
	listing_ref(listing);
	dir->node = node;
	dir->listing = listing;
	dir->count = listing_count(listing);
	dir->proven = -1;
	pthread_mutex_lock(&ahead->lock);
	if (ahead->stopped) {
		old = dir;
	} else {
		old = take_old_locked(ahead, node);
		if (old && old->node == node)
			dir->proven = proven_order(old);
		list_prepend(&ahead->dirs, &dir->link);
	}
	pthread_mutex_unlock(&ahead->lock);
	dir_free(ahead, old);
}

static int compare_names(const void *a, const void *b, void *listing)
{
	return strcmp(listing_entry(listing, *(const uint32_t *)a, NULL), listing_entry(listing, *(const uint32_t *)b, NULL));
}

static bool sort(struct ahead_dir *dir)
{
	size_t i;

	if (dir->by_name)
		return true;
	dir->by_name = calloc(dir->count, sizeof(*dir->by_name));
	if (!dir->by_name)
		return false;
	for (i = 0; i < dir->count; i++)
		dir->by_name[i] = (uint32_t)i;
	qsort_r(dir->by_name, dir->count, sizeof(*dir->by_name), compare_names, dir->listing);
	return true;
}

/* Where the name is in both orders; false: not listed. */
static bool find_name(const struct ahead_dir *dir, const char *name, size_t ret_at[ORDERS])
{
	size_t low = 0, high = dir->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int sign = strcmp(listing_entry(dir->listing, dir->by_name[middle], NULL), name);

		if (!sign) {
			ret_at[BY_NAME] = middle;
			ret_at[BY_PLACE] = dir->by_name[middle];
			return true;
		}
		if (sign < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return false;
}

static size_t place_of(const struct ahead_dir *dir, int order, size_t at)
{
	return order == BY_NAME ? dir->by_name[at] : at;
}

/* ---- guessing ---- */

static void note_open(struct ahead_dir *dir, const size_t at[ORDERS])
{
	int64_t now = clock_now(), since = now - dir->opened_ns;
	int order;

	if (dir->begun && at[BY_NAME] == dir->at[BY_NAME])
		return;		/* the same again */
	for (order = 0; order < ORDERS; order++) {
		bool step = dir->begun && at[order] > dir->at[order] && at[order] - dir->at[order] <= STEP_MOST;

		dir->steps[order] = step ? dir->steps[order] + 1 : 0;
		if (!dir->begun && dir->proven == order && at[order] < STEP_MOST)
			dir->steps[order] = SURE;
		if (!step)
			dir->next[order] = at[order] + 1;
		dir->at[order] = at[order];
		if (dir->next[order] <= at[order])
			dir->next[order] = at[order] + 1;
	}
	dir->pace_ns = dir->begun ? (dir->pace_ns * 3 + since) / 4 : 0;
	dir->opened_ns = now;
	dir->begun = true;
}

/* How many guesses the program will come to before they are too old: half a lifetime, to be safe. */
static unsigned int guesses_wanted(const struct ahead *ahead, const struct ahead_dir *dir, int order)
{
	int64_t most = dir->pace_ns > 0 ? lifetime(ahead) / 2 / dir->pace_ns : AHEAD_MOST;
	unsigned int wanted = dir->steps[order] * 4;

	if (wanted > AHEAD_MOST)
		wanted = AHEAD_MOST;
	return most < (int64_t)wanted ? (unsigned int)most : wanted;
}

static bool is_worth_it(const struct sftp_attrs *attrs)
{
	return S_ISREG(attrs->mode) && (attrs->flags & SFTP_ATTR_SIZE) && attrs->size <= AHEAD_FILE;
}

static struct guess *find_locked(struct ahead *ahead, const struct node *node)
{
	struct list *link;

	list_for_each(link, &ahead->guesses) {
		struct guess *guess = list_entry(link, struct guess, link);

		if (guess->node == node)
			return guess;
	}
	return NULL;
}

/* NULL: it is guessed already, or there is no memory. */
static struct guess *guess_new(struct ahead *ahead, struct ahead_dir *dir, const char *name, uint64_t size)
{
	struct guess *guess = calloc(1, sizeof(*guess));

	if (!guess)
		return NULL;
	guess->ahead = ahead;
	guess->of = open_file_new(ahead->tree, O_RDONLY);
	guess->node = node_get(ahead->tree, dir->node, name, &real_ops);
	guess->real = guess->node ? real_get(ahead->tree, guess->node) : NULL;
	if (!guess->of || !guess->real || find_locked(ahead, guess->node)) {
		guess_free(guess);
		return NULL;
	}
	flight_init(&guess->flight);
	guess->dir = dir;
	guess->bytes = size;
	guess->sent_ns = clock_now();
	dir->guesses++;
	dir->bytes += size;
	list_append(&ahead->guesses, &guess->link);
	return guess;
}

/* Makes guesses, to be sent, into `ret_fresh` (room for AHEAD_MOST). How many. */
static int guess_more_locked(struct ahead *ahead, struct ahead_dir *dir, struct guess **ret_fresh)
{
	int order = dir->steps[BY_NAME] >= dir->steps[BY_PLACE] ? BY_NAME : BY_PLACE, count = 0;
	unsigned int wanted = dir->steps[order] >= SURE ? guesses_wanted(ahead, dir, order) : 0;

	while (dir->guesses < wanted && dir->next[order] < dir->count && dir->next[order] < dir->at[order] + 2 * AHEAD_MOST &&
	       dir->bytes < AHEAD_MOST_BYTES && count < AHEAD_MOST) {
		const struct sftp_attrs *attrs;
		const char *name = listing_entry(dir->listing, place_of(dir, order, dir->next[order]), &attrs);

		dir->next[order]++;
		if (!is_worth_it(attrs))
			continue;
		ret_fresh[count] = guess_new(ahead, dir, name, attrs->size);
		count += ret_fresh[count] != NULL;
	}
	return count;
}

/* ---- landing ---- */

static bool is_fresh(const struct guess *guess)
{
	bool fresh;

	if (clock_now() - guess->sent_ns > lifetime(guess->ahead))
		return false;
	pthread_mutex_lock(&guess->real->lock);
	fresh = guess->stamp == guess->real->changes && writebehind_idle(&guess->real->wb);
	pthread_mutex_unlock(&guess->real->lock);
	return fresh;
}

static bool is_good(const struct guess *guess)
{
	const struct flight_leg *open = &guess->flight.legs[0], *look = &guess->flight.legs[1];

	return !open->error && !look->error && S_ISREG(look->attrs.mode) && is_worth_it(&look->attrs);
}

/* It is the kernel's: the guess goes, its handle stays. */
static void hand_over(struct guess *guess, ahead_claimed *claimed, void *arg)
{
	struct open_file *of = guess->of;
	struct sftp_attrs attrs = guess->attrs;

	guess->of = NULL;
	guess_free(guess);
	claimed(arg, of, &attrs);
}

static void landed(struct flight *flight)
{
	struct guess *guess = container_of(flight, struct guess, flight);
	struct ahead *ahead = guess->ahead;
	bool good = is_good(guess), keep;
	ahead_claimed *claimed;
	void *arg;

	if (good) {
		guess->attrs = flight->legs[1].attrs;
		open_file_attach(guess->of, guess->real, guess->file);
		guess->file = NULL;
		file_fetch_first(guess->of, &guess->attrs);
	}
	pthread_mutex_lock(&ahead->lock);
	claimed = guess->claimed;
	arg = guess->arg;
	if (!good && !guess->dropped)
		forget_locked(guess);
	keep = good && !guess->dropped && !claimed;
	guess->landed = true;
	pthread_mutex_unlock(&ahead->lock);
	if (keep)
		return;
	if (claimed && good && is_fresh(guess)) {
		hand_over(guess, claimed, arg);
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

	guess->file = answer->file;
	readahead_way(&guess->of->ra, answer->received_ns - answer->sent_ns);
	flight_done(leg, answer);
}

static void guess_send(struct guess *guess)
{
	struct tree *tree = guess->ahead->tree;
	struct buf path = BUF_INIT;
	struct flight_leg *leg;
	int error = node_path(tree, guess->node, NULL, &path);

	pthread_mutex_lock(&guess->real->lock);
	guess->stamp = guess->real->changes;
	pthread_mutex_unlock(&guess->real->lock);
	flight_begin(&guess->flight, landed);
	leg = flight_leg(&guess->flight);
	flight_sent(leg, error ? error : sftp_open(tree->sftp, SFTP_DATA, path.data, SFTP_OPEN_READ, NULL, open_done, leg));
	leg = flight_leg(&guess->flight);
	flight_sent(leg, error ? error : sftp_lstat(tree->sftp, SFTP_DATA, path.data, flight_done, leg));
	flight_go(&guess->flight);
	buf_release(&path);
}

/* ---- the kernel asks ---- */

bool ahead_lookup(struct ahead *ahead, struct node *dir, const char *name, struct sftp_attrs *ret_attrs, double *ret_age)
{
	struct node *node;
	struct guess *guess;
	bool found;

	if (!ahead || !(node = node_find(ahead->tree, dir, name)))
		return false;
	pthread_mutex_lock(&ahead->lock);
	guess = find_locked(ahead, node);
	found = guess && guess->landed && is_fresh(guess);
	if (found) {
		*ret_attrs = guess->attrs;
		*ret_age = (double)(clock_now() - guess->sent_ns) / NS_PER_S;
	}
	pthread_mutex_unlock(&ahead->lock);
	node_unref(ahead->tree, node);
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
	guess = find_locked(ahead, node);
	if (guess) {
		now = guess->landed;
		forget_locked(guess);
		if (!now) {
			guess->claimed = claimed;
			guess->arg = arg;
		}
	}
	pthread_mutex_unlock(&ahead->lock);
	free_all(&gone);
	if (guess && now && !is_fresh(guess)) {
		guess_free(guess);
		return false;
	}
	if (guess && now)
		hand_over(guess, claimed, arg);
	return guess;
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

void ahead_opened(struct ahead *ahead, struct node *node)
{
	struct guess *fresh[AHEAD_MOST];
	struct node *parent = NULL;
	size_t at[ORDERS];
	struct ahead_dir *dir;
	struct list gone;
	char name[256];
	int count = 0, i;

	if (!ahead || !(parent = parent_of(ahead->tree, node, name)))
		return;
	list_init(&gone);
	pthread_mutex_lock(&ahead->lock);
	expire_locked(ahead, &gone);
	dir = find_dir_locked(ahead, parent);
	if (dir && sort(dir) && find_name(dir, name, at)) {
		list_remove(&dir->link);
		list_prepend(&ahead->dirs, &dir->link);
		note_open(dir, at);
		count = guess_more_locked(ahead, dir, fresh);
	}
	pthread_mutex_unlock(&ahead->lock);
	for (i = 0; i < count; i++)
		guess_send(fresh[i]);
	free_all(&gone);
	node_unref(ahead->tree, parent);
}
