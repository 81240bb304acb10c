/*
 * utf8: as the table of well-formed byte sequences in the Unicode standard has it.
 */
#include "base/utf8.h"

size_t utf8_sequence(const char *text, size_t len)
{
	const unsigned char *bytes = (const unsigned char *)text;
	unsigned char low = 0x80, high = 0xbf;
	size_t need, i;

	if (bytes[0] < 0x80)
		return 1;
	if (bytes[0] < 0xc2 || bytes[0] > 0xf4)
		return 0;
	need = bytes[0] < 0xe0 ? 2 : bytes[0] < 0xf0 ? 3 : 4;
	if (bytes[0] == 0xe0)
		low = 0xa0;	/* shorter forms exist */
	else if (bytes[0] == 0xed)
		high = 0x9f;	/* surrogates */
	else if (bytes[0] == 0xf0)
		low = 0x90;
	else if (bytes[0] == 0xf4)
		high = 0x8f;
	if (len < need || bytes[1] < low || bytes[1] > high)
		return 0;
	for (i = 2; i < need; i++)
		if (bytes[i] < 0x80 || bytes[i] > 0xbf)
			return 0;
	return need;
}
