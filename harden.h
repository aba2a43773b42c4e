/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Hardening level 2, the part that is the same for all engines: canaries behind
 * what the client asked for, and poison over what it has freed.
 */
#ifndef _CHAOS_HARDEN_H
#define _CHAOS_HARDEN_H

#include <linux/minmax.h>
#include <linux/types.h>

#include "engine.h"

/*
 * Beside what a call loads anyway.  A static key would spare frees that load: but then to
 * create or to destroy a heap would change code, and interrupt each CPU for that.
 */
static __always_inline bool chaos_is_hardened(const struct chaos_heap *heap)
{
	return unlikely(heap->hardening > 1);
}

/* Is something behind the client's bytes that is ours?  See harden.c, track.c. */
static __always_inline bool chaos_has_trailer(const struct chaos_heap *heap)
{
	return unlikely(heap->trailer);
}

/* Bytes behind the client's that are KASAN's. */
static __always_inline size_t chaos_redzone(const struct chaos_heap *heap)
{
	return CHAOS_SAN_REDZONE ? heap->redzone : 0;
}

int chaos_harden_init(struct chaos_heap *heap);
void chaos_harden_exit(struct chaos_heap *heap);

/*
 * Around whatever makes a block live or dead, or moves its end: in between, what
 * is found at the end of a block means nothing.  Nothing if blocks have no trailers;
 * below level 2, an origin is believed as long as the block is live.
 */
void chaos_harden_begin(struct chaos_heap *heap);
void chaos_harden_end(struct chaos_heap *heap);

/* Of the block at @p, whose usable bytes are @usable, @size are the client's. */
void chaos_harden_lay(struct chaos_heap *heap, void *p, size_t usable,
		      size_t size);

/*
 * How many of the @usable bytes of the live block at @p are the client's.  If it
 * was written past its end, *@intact is false, and these are as many as there
 * can be.
 */
size_t chaos_harden_client_size(struct chaos_heap *heap, const void *p,
				size_t usable, bool *intact);

/* The same at any level; below 2, all but the trailer or KASAN's red zone is the client's. */
static inline size_t chaos_client_size(struct chaos_heap *heap, const void *p,
				       size_t usable, bool *intact)
{
	size_t ours = chaos_has_trailer(heap) ? heap->trailer : chaos_redzone(heap);

	if (chaos_is_hardened(heap))
		return chaos_harden_client_size(heap, p, usable, intact);
	*intact = true;
	return usable - min(usable, ours);
}

/*
 * The live block at @p is going to be freed: fill it with poison.  CHAOS_OVERRUN:
 * it was written past its end; it is left as it is, to be freed all the same.
 * CHAOS_FREED: somebody else is freeing it already.
 */
enum chaos_verdict chaos_harden_bury(struct chaos_heap *heap, void *p,
				     size_t usable);

/* After the engine's: every live block is intact; 0 or -EUCLEAN.  For check(). */
int chaos_harden_check(struct chaos_heap *heap);
/* The engine's walk(), with the sizes that the clients know. */
int chaos_harden_walk(struct chaos_heap *heap, chaos_visitor visitor, void *arg);

#endif /* _CHAOS_HARDEN_H */
