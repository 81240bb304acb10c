/*
 * index: the order in which a mount shows a directory. The array of entries is cut into segments, each twice as long as the one before
 * (0-63, 64-127, 128-255, …), and every segment has a permutation of its own: so nothing that was shown moves when the array
 * grows. The longest comes first, for a directory that lists in different order on every node from its first name on.
 *
 * A cursor is (segment + 1) << 40 | position in the segment.
 */
#include "queue/index.h"

#define FIRST_BITS 6
#define CURSOR_BITS 40

static uint32_t segment_begin(unsigned int segment)
{
	return segment ? 1u << (FIRST_BITS + segment - 1) : 0;
}

static unsigned int segment_bits(unsigned int segment)
{
	return segment ? FIRST_BITS + segment - 1 : FIRST_BITS;
}

static unsigned int top_segment(uint32_t count)
{
	unsigned int segment = 0;

	while (segment < 31 - FIRST_BITS && segment_begin(segment + 1) < count)
		segment++;
	return segment;
}

/* A bijection of `bits` bits: steps that each can be undone (odd multiplication, xor of the upper half) with a key. */
static uint32_t permute(uint32_t value, unsigned int bits, uint64_t key)
{
	uint32_t mask = (1u << bits) - 1;
	unsigned int i;

	for (i = 0; i < 4; i++) {
		value = (value + (uint32_t)key) & mask;
		value = (value * ((uint32_t)(key >> 32) | 1)) & mask;
		value ^= value >> ((bits + 1) / 2);
		key = key * 6364136223846793005ULL + 1442695040888963407ULL;
	}
	return value;
}

uint32_t index_order(const struct index *index, const struct index_dir *dir, uint64_t *cursor)
{
	unsigned int segment = *cursor >> CURSOR_BITS ? (unsigned int)(*cursor >> CURSOR_BITS) - 1 : top_segment(dir->count);
	uint64_t position = *cursor & ((1ULL << CURSOR_BITS) - 1);
	uint64_t key;
	uint32_t at;

	if (segment > 31 - FIRST_BITS)
		return UNITS_NONE;
	for (;; position = 0, segment--) {
		key = (index->seed ^ ((uint64_t)dir->index << 32 | segment)) * 0x9e3779b97f4a7c15ULL;
		key ^= key >> 29;
		for (; position < 1ULL << segment_bits(segment); position++) {
			at = segment_begin(segment) + permute((uint32_t)position, segment_bits(segment), key);
			if (at < dir->count) {
				*cursor = (uint64_t)(segment + 1) << CURSOR_BITS | (position + 1);
				return dir->entries[at];
			}
		}
		if (segment == 0)
			break;
	}
	/* The end has a cursor too: past everything of the first segment. */
	*cursor = 1ULL << CURSOR_BITS | 1ULL << segment_bits(0);
	return UNITS_NONE;
}
