/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Changing an engine's own data.
 */
#ifndef _HOST_DAMAGE_H
#define _HOST_DAMAGE_H

#include "engine.h"

#define DAMAGE_WORDS		8

/**
 * struct damage - what may be changed in an engine's data
 * @at: some bytes that check looks at, of which a bit may be flipped
 * @size: how many
 * @word: or these, to be changed together
 * @n: their number
 * @certain: check cannot fail to notice
 * @lasts: it may act on what it finds, so there is no way back
 * @query: a pointer that is refused as long as it is so, or NULL
 */
struct damage {
	void *at;
	size_t size;
	struct damage_word {
		void *at;
		size_t size;
		u64 value;
	} word[DAMAGE_WORDS];
	unsigned int n;
	bool certain;
	bool lasts;
	void *query;
};

/*
 * A place in the data of @heap, whose live blocks include @p, as @n decides: where a bit
 * may be flipped.  False: that one is not there.
 */
bool damage_place(struct chaos_heap *heap, void *p, u64 n, struct damage *d);

/* The same: something that is consistent but for one thing. */
bool damage_forge(struct chaos_heap *heap, void *p, u64 n, struct damage *d);

/* Write the words; what was there takes their places. */
void damage_swap(struct damage *d);

/*
 * A word that the owner of @p, or of what was beside it, may have overwritten: of the
 * engine's data, or NULL if that is elsewhere.  *@value is one that it could take for its
 * own.
 */
u64 *damage_reach(struct chaos_heap *heap, void *p, u64 n, u64 *value);

/* The pages of mimalloc's that nobody owns, and that have room, one by one. */
size_t damage_count_listed(struct chaos_heap *heap);

#endif /* _HOST_DAMAGE_H */
