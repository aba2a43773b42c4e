// SPDX-License-Identifier: GPL-2.0
/*
 * The operations.  Each begins and ends with all blocks in slots; in between, a block
 * is its actor's.  A NULL is no mistake, for heaps are filled up on purpose and an NMI
 * may not wait; but after it, what was there before must still be there.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/preempt.h>
#include <linux/smp.h>
#include <linux/string.h>

#include "torture.h"

#define BULK_BLOCKS	12
#define BULK_MAX	SZ_1K
#define TINY_BLOCKS	4
#define ALIGN_ORDER_MAX	13	/* 8 KiB */

size_t torture_size(struct rnd_state *rnd, size_t min, size_t max)
{
	unsigned int order = ilog2(min) + torture_below(rnd, ilog2(max / min) + 1);
	size_t size = BIT(order) + (prandom_u32_state(rnd) & (BIT(order) - 1));

	/* Powers of two, and what is close to them, are special to allocators. */
	if (!torture_below(rnd, 8))
		size = BIT(order) + 8 * torture_below(rnd, 3) - 8;
	return clamp(size, min, max);
}

/* ----------------------- the API, of whichever heap it is ------------------ */

static void *api_alloc(struct torture_arena *arena, size_t size, gfp_t gfp)
{
	return arena->heap ? chaos_heap_alloc(arena->heap, size, gfp) :
			     chaos_alloc(size, gfp);
}

static void *api_zalloc(struct torture_arena *arena, size_t size, gfp_t gfp)
{
	return arena->heap ? chaos_heap_zalloc(arena->heap, size, gfp) :
			     chaos_calloc(1, size, gfp);
}

static void *api_alloc_aligned(struct torture_arena *arena, size_t size,
			       size_t align, gfp_t gfp)
{
	return arena->heap ?
		chaos_heap_alloc_aligned(arena->heap, size, align, gfp) :
		chaos_alloc_aligned(size, align, gfp);
}

static void *api_realloc(struct torture_arena *arena, void *p, size_t size,
			 gfp_t gfp)
{
	return arena->heap ? chaos_heap_realloc(arena->heap, p, size, gfp) :
			     chaos_realloc(p, size, gfp);
}

static size_t api_alloc_bulk(struct torture_arena *arena, size_t size, gfp_t gfp,
			     size_t n, void **p)
{
	return arena->heap ? chaos_heap_alloc_bulk(arena->heap, size, gfp, n, p) :
			     chaos_alloc_bulk(size, gfp, n, p);
}

static void api_free(struct torture_arena *arena, void *p)
{
	if (arena->heap)
		chaos_heap_free(arena->heap, p);
	else if ((unsigned long)p & SZ_64)
		chaos_free_sensitive(p);
	else
		chaos_free(p);
}

static void api_free_bulk(struct torture_arena *arena, size_t n, void **p)
{
	if (arena->heap)
		chaos_heap_free_bulk(arena->heap, n, p);
	else
		chaos_free_bulk(n, p);
}

static size_t api_usable_size(struct torture_arena *arena, void *p)
{
	return arena->heap ? chaos_heap_usable_size(arena->heap, p) :
			     chaos_usable_size(p);
}

/* ---------------------------------- steps ---------------------------------- */

/* The alignment that any block of @size has, as a power of two. */
static u8 promised_align(const struct torture_arena *arena, size_t size)
{
	if (arena->natural && is_power_of_2(size))
		return ilog2(clamp_t(size_t, size, CHAOS_MIN_ALIGN, PAGE_SIZE));
	return ilog2(CHAOS_MIN_ALIGN);
}

/*
 * @p is new, or NULL, and was asked for with an alignment of 2^@align.  That stays
 * when it is reallocated; what its size alone promises does not.
 */
static struct torture_block *adopt(struct torture_arena *arena,
				   struct torture_actor *a, void *p, size_t size,
				   u8 align)
{
	u8 promised = max(align, promised_align(arena, size));
	struct torture_block *b;

	if (!p) {
		a->tally.nulls++;
		return NULL;
	}
	a->tally.made++;
	b = torture_block_make(p, size, align, prandom_u32_state(&a->rnd));
	if (!IS_ALIGNED((unsigned long)p, 1UL << promised))
		torture_fail("block %p of %zu bytes is not aligned to %lu", p, size,
			     1UL << promised);
	return b;
}

struct torture_block *torture_new(struct torture_arena *arena,
				  struct torture_actor *a, size_t size, gfp_t gfp)
{
	return adopt(arena, a, api_alloc(arena, size, gfp), size, 0);
}

static struct torture_block *new_zeroed(struct torture_arena *arena,
					struct torture_actor *a, size_t size,
					gfp_t gfp)
{
	void *p = api_zalloc(arena, size, gfp), *dirt;

	dirt = p ? memchr_inv(p, 0, size) : NULL;
	if (dirt)
		torture_fail("block %p of %zu bytes is not zeroed at byte %zu", p,
			     size, (size_t)(dirt - p));
	return adopt(arena, a, p, size, 0);
}

static struct torture_block *new_aligned(struct torture_arena *arena,
					 struct torture_actor *a, size_t size,
					 gfp_t gfp)
{
	u8 order = torture_below(&a->rnd, ALIGN_ORDER_MAX + 1);
	void *p = api_alloc_aligned(arena, size, 1UL << order, gfp);

	return adopt(arena, a, p, size, order);
}

/* The last look at a block, and the account of it. */
static bool part(struct torture_actor *a, struct torture_block *b)
{
	if (!torture_block_intact(b))
		return false;
	a->tally.freed++;
	a->tally.foreign += b->cpu != raw_smp_processor_id() || b->ctx != a->ctx;
	torture_block_kill(b);
	return true;
}

/* A damaged block is left where it is, for whoever looks into the matter. */
void torture_free(struct torture_arena *arena, struct torture_actor *a,
		  struct torture_block *b)
{
	if (part(a, b))
		api_free(arena, b);
}

struct torture_block *torture_take(struct torture_arena *arena, struct rnd_state *rnd)
{
	struct torture_block **slot;

	slot = &arena->slots[torture_below(rnd, arena->nr_slots)];
	/* A look first: not every empty slot is worth an atomic. */
	return READ_ONCE(*slot) ? xchg(slot, NULL) : NULL;
}

void torture_put(struct torture_arena *arena, struct torture_actor *a,
		 struct torture_block *b)
{
	u32 nr = torture_below(&a->rnd, arena->nr_slots);

	b = xchg(&arena->slots[nr], b);
	if (b)
		torture_free(arena, a, b);
}

struct torture_block *torture_resize(struct torture_arena *arena,
				     struct torture_actor *a,
				     struct torture_block *b, size_t size, gfp_t gfp)
{
	unsigned long addr = (unsigned long)b;
	size_t old = b->size;
	u8 align = b->align;
	void *p;

	if (!torture_block_intact(b))
		return NULL;
	p = api_realloc(arena, b, size, gfp);
	if (!p) {
		a->tally.nulls++;
		if (size <= old)
			torture_fail("realloc of %zu bytes to %zu failed", old, size);
		return torture_block_intact((void *)addr) ? (void *)addr : NULL;
	}
	if (!torture_block_kept(p, addr, min(old, size)))
		return NULL;
	return torture_block_make(p, size, align, prandom_u32_state(&a->rnd));
}

/* --------------------------------- operations ------------------------------ */

static void op_new(struct torture_arena *arena, struct torture_actor *a,
		   struct torture_block *b)
{
	if (b)
		torture_put(arena, a, b);
}

static void op_free(struct torture_arena *arena, struct torture_actor *a)
{
	struct torture_block *b = torture_take(arena, &a->rnd);

	if (b)
		torture_free(arena, a, b);
}

static void op_visit(struct torture_arena *arena, struct torture_actor *a)
{
	struct torture_block *b = torture_take(arena, &a->rnd);
	size_t usable;

	if (!b || !torture_block_intact(b))
		return;
	usable = api_usable_size(arena, b);
	if (usable < b->size || !chaos_heap_owns(arena->heap, b))
		torture_fail("block %p of %u bytes has a usable size of %zu", b,
			     b->size, usable);
	torture_put(arena, a, b);
}

static void op_realloc(struct torture_arena *arena, struct torture_actor *a,
		       gfp_t gfp, size_t max)
{
	struct torture_block *b = torture_take(arena, &a->rnd);

	if (!b)
		return;
	b = torture_resize(arena, a, b, torture_size(&a->rnd, TORTURE_MIN, max), gfp);
	if (b)
		torture_put(arena, a, b);
}

/* Some of them change hands, and what was in their place goes with the rest. */
static void op_bulk(struct torture_arena *arena, struct torture_actor *a, gfp_t gfp)
{
	size_t size = torture_size(&a->rnd, TORTURE_MIN, BULK_MAX);
	u32 n = 1 + torture_below(&a->rnd, BULK_BLOCKS), i;
	void *p[BULK_BLOCKS];

	if (api_alloc_bulk(arena, size, gfp, n, p) != n) {
		a->tally.nulls++;
		return;
	}
	for (i = 0; i < n; i++)
		adopt(arena, a, p[i], size, 0);
	for (i = 0; i < n; i++) {
		u32 nr = torture_below(&a->rnd, arena->nr_slots);

		if (i % 2)
			p[i] = xchg(&arena->slots[nr], p[i]);
		if (p[i] && !part(a, p[i]))
			p[i] = NULL;
	}
	api_free_bulk(arena, n, p);
}

/* Blocks that are too small for a header. */
static void op_tiny(struct torture_arena *arena, struct torture_actor *a, gfp_t gfp)
{
	size_t size[TINY_BLOCKS];
	void *p[TINY_BLOCKS];
	u32 i;

	for (i = 0; i < TINY_BLOCKS; i++) {
		size[i] = torture_below(&a->rnd, TORTURE_MIN);
		p[i] = api_alloc(arena, size[i], gfp);
		if (!p[i])
			a->tally.nulls++;
		else if (!size[i] != (p[i] == ZERO_SIZE_PTR))
			torture_fail("block %p of %zu bytes", p[i], size[i]);
		else if (size[i])
			memset(p[i], 0x10 + i, size[i]);
	}
	for (i = 0; i < TINY_BLOCKS; i++) {
		if (p[i] && size[i] && memchr_inv(p[i], 0x10 + i, size[i]))
			torture_fail("block %p of %zu bytes has wrong contents", p[i],
				     size[i]);
		api_free(arena, p[i]);
	}
}

/* A slot that is full frees its block when it is filled again: half of them are. */
static enum torture_op choose_op(struct rnd_state *rnd)
{
	static const u8 ops[] = {
		TORTURE_ALLOC, TORTURE_ALLOC, TORTURE_ALLOC, TORTURE_ALLOC,
		TORTURE_ZALLOC, TORTURE_ALIGNED,
		TORTURE_FREE, TORTURE_FREE, TORTURE_FREE, TORTURE_FREE,
		TORTURE_FREE, TORTURE_VISIT, TORTURE_REALLOC, TORTURE_REALLOC,
		TORTURE_BULK, TORTURE_TINY,
	};

	return ops[torture_below(rnd, ARRAY_SIZE(ops))];
}

static void perform(struct torture_arena *arena, struct torture_actor *a,
		    enum torture_op op, gfp_t gfp, size_t max)
{
	size_t size = torture_size(&a->rnd, TORTURE_MIN, max);

	switch (op) {
	case TORTURE_ALLOC:
		op_new(arena, a, torture_new(arena, a, size, gfp));
		break;
	case TORTURE_ZALLOC:
		op_new(arena, a, new_zeroed(arena, a, size, gfp));
		break;
	case TORTURE_ALIGNED:
		op_new(arena, a, new_aligned(arena, a, size, gfp));
		break;
	case TORTURE_FREE:
		op_free(arena, a);
		break;
	case TORTURE_VISIT:
		op_visit(arena, a);
		break;
	case TORTURE_REALLOC:
		op_realloc(arena, a, gfp, max);
		break;
	case TORTURE_BULK:
		op_bulk(arena, a, gfp);
		break;
	case TORTURE_TINY:
		op_tiny(arena, a, gfp);
		break;
	case TORTURE_OPS:
		break;
	}
	a->tally.ops[op]++;
}

/* The heap under test gets more than half of it. */
static u32 choose_arena(struct rnd_state *rnd)
{
	u32 nr = torture_below(rnd, 2 * TORTURE_ARENAS);

	return nr < TORTURE_ARENAS ? nr : TORTURE_MAIN;
}

void torture_step(struct torture_actor *a, gfp_t gfp, size_t max)
{
	struct torture_arena *arena = torture_enter(choose_arena(&a->rnd));

	if (!arena)
		return;
	perform(arena, a, choose_op(&a->rnd), gfp | __GFP_NOWARN, max);
	torture_leave(arena);
}
