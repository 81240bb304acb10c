/* gap: see gap.h. The slot waited for each of the three in turn, as far as it was free by then. */
#include "worker/gap.h"

#include "base/clock.h"

#define GAP_STARVED_NS NS_PER_S
#define GAP_CLAIM_LOOKS 8

bool gap_is_starved(int64_t waited_ns, int64_t look_ns)
{
	return waited_ns > GAP_STARVED_NS && waited_ns > GAP_CLAIM_LOOKS * look_ns;
}

static int64_t within(int64_t at, int64_t from, int64_t to)
{
	return at < from ? from : at > to ? to : at;
}

void gap_split(const struct gap *gap, struct run_result *to)
{
	int64_t free_ns = within(gap->free_ns, 0, gap->started_ns), claimed_ns = within(gap->claimed_ns, free_ns, gap->started_ns);
	int64_t ready_ns = within(gap->ready_ns, claimed_ns, gap->started_ns);
	int64_t claim = claimed_ns - free_ns, look = ready_ns - claimed_ns, turn = gap->started_ns - ready_ns, idle = 0;

	if (gap->again || gap_is_starved(gap->claimed_ns - gap->asked_ns, gap->look_ns)) {
		idle += claim;
		claim = 0;
	}
	if (gap->again) {
		idle += look;
		look = 0;
	}
	if (gap->held) {
		idle += turn;
		turn = 0;
	}
	to->claim_ns = claim;
	to->look_ns = look;
	to->turn_ns = turn;
	to->idle_ns = idle;
}
