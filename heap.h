/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the two halves of the API share: chaos_alloc.c, the blocks, and heap.c, the
 * heaps.
 */
#ifndef _CHAOS_HEAP_H
#define _CHAOS_HEAP_H

#include <linux/jump_label.h>

#include "engine.h"

/* What no pool can honour: zones, accounting, a promise not to fail. */
#define CHAOS_GFP_REFUSED						\
	(GFP_ZONEMASK | __GFP_NOFAIL | __GFP_ACCOUNT | __GFP_THISNODE)

/* Of parameters that are a number of bytes, as in max_size=64M; arg is a size_t. */
extern const struct kernel_param_ops chaos_size_ops;

/*
 * The default heap.  Its engine is chosen once, at load time; static branches
 * make the calls of chaos_alloc() and chaos_free() direct ones.
 */
extern struct chaos_heap *chaos_default;
/* Its main pool. */
extern struct chaos_pool *chaos_default_pool;
DECLARE_STATIC_KEY_TRUE(chaos_default_is_mi);
DECLARE_STATIC_KEY_FALSE(chaos_default_is_evl);

static inline struct chaos_heap *chaos_heap_or_default(struct chaos_heap *heap)
{
	if (!heap)
		return chaos_default;
	chaos_san_heap_used(heap);
	return heap;
}

/* See chaos_heap_alloc_aligned(), chaos_heap_realloc() and chaos_heap_free(). */
void *chaos_heap_alloc_track_caller(struct chaos_heap *heap, size_t size, size_t align,
				    gfp_t gfp, unsigned long caller);
void *chaos_heap_realloc_track_caller(struct chaos_heap *heap, const void *p, size_t size,
				      gfp_t gfp, unsigned long caller);
void chaos_heap_free_track_caller(struct chaos_heap *heap, const void *p,
				  unsigned long caller);

#endif /* _CHAOS_HEAP_H */
