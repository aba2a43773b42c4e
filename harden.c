// SPDX-License-Identifier: GPL-2.0
/*
 * Canaries and poison: hardening level 2, for all engines.
 *
 * A block's usable bytes, as the engine knows them, are:
 *
 *   0          size                        usable - 16            usable
 *   | client's | CHAOS_SLACK, CHAOS_SLACK, ... | slack | canary |
 *
 * (In a heap with tracking, a block's origin is behind that: see track.c.)
 *
 * slack = usable - size tells the size that was asked for, so nothing outside of
 * the block has to remember it.  The canary is a keyed hash of the address and
 * the slack: an overrun that reaches the slack does not get away with it, and
 * to know the canary of one block is to know nothing of another's.
 *
 * A block that is freed is claimed first: its canary is replaced with the
 * complement by one cmpxchg.  Of two who free a block at once, only one may fill
 * it with poison; the engine might have given the memory away already.
 *
 * The check of a heap in use must not take a block for damaged that the engine
 * has handed out but that has no canary yet.  So who changes a block counts
 * himself in and out (struct chaos_busy), and the check believes only what
 * it has seen while nobody was in.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/atomic.h>
#include <linux/cache.h>
#include <linux/export.h>
#include <linux/kprobes.h>
#include <linux/mm.h>
#include <linux/percpu.h>
#include <linux/poison.h>
#include <linux/random.h>
#include <linux/sched.h>
#include <linux/siphash.h>
#include <linux/string.h>

#include "busy.h"
#include "compat.h"
#include "fault.h"
#include "harden.h"
#include "pool.h"
#include "sanitize.h"
#include "track.h"

/* What lies between the client's bytes and the trailer. */
#define CHAOS_SLACK		SLUB_RED_ACTIVE

/* Blocks that one check has doubts about at most; looks at each of them. */
#define CHAOS_SUSPECTS		32
#define CHAOS_LOOKS		1000

/**
 * struct chaos_trailer - the last bytes of a block
 * @slack: usable bytes that are not the client's; at least sizeof(*this)
 * @canary: see chaos_canary()
 */
struct chaos_trailer {
	unsigned long slack;
	unsigned long canary;
};

int chaos_harden_init(struct chaos_heap *heap)
{
	heap->secret = get_random_long();
	if (chaos_is_hardened(heap))
		heap->trailer += sizeof(struct chaos_trailer);
	if (!chaos_has_trailer(heap))
		return 0;
	heap->busy = chaos_unless_fails(CHAOS_FAULT_PERCPU, alloc_percpu(struct chaos_busy));
	return heap->busy ? 0 : -ENOMEM;
}

void chaos_harden_exit(struct chaos_heap *heap)
{
	free_percpu(heap->busy);
}

/* ---------------------------------- blocks -------------------------------- */

/* Of all usable bytes, those that are before the block's origin. */
static size_t chaos_guarded(const struct chaos_heap *heap, size_t usable)
{
	return usable - chaos_track_size(heap);
}

static struct chaos_trailer *chaos_trailer(const void *p, size_t usable)
{
	return (struct chaos_trailer *)(p + usable) - 1;
}

static unsigned long chaos_canary(const struct chaos_heap *heap, const void *p,
				  size_t slack)
{
	const siphash_key_t key = {{ heap->secret, (unsigned long)heap }};

	return siphash_2u64((unsigned long)p, slack, &key);
}

void chaos_harden_begin(struct chaos_heap *heap)
{
	if (heap->busy)
		chaos_busy_begin(heap->busy);
}
EXPORT_SYMBOL_IF_KUNIT(chaos_harden_begin);

void chaos_harden_end(struct chaos_heap *heap)
{
	if (heap->busy)
		chaos_busy_end(heap->busy);
}
EXPORT_SYMBOL_IF_KUNIT(chaos_harden_end);

void chaos_harden_lay(struct chaos_heap *heap, void *p, size_t usable,
		      size_t size)
{
	size_t end = chaos_guarded(heap, usable), slack = end - size;
	struct chaos_trailer *trailer = chaos_trailer(p, end);

	/*
	 * A stale pointer has freed it since it was allocated, and what is there now is
	 * another one: it is not ours to write to.
	 */
	if (unlikely(usable < size + heap->trailer))
		return;
	memset(p + size, CHAOS_SLACK, slack - sizeof(*trailer));
	trailer->slack = slack;
	trailer->canary = chaos_canary(heap, p, slack);
}
EXPORT_SYMBOL_IF_KUNIT(chaos_harden_lay);

static bool chaos_slack_intact(const void *p, size_t usable, size_t slack)
{
	return slack >= sizeof(struct chaos_trailer) && slack <= usable &&
	       chaos_san_is_all(p + usable - slack, CHAOS_SLACK,
				slack - sizeof(struct chaos_trailer));
}

size_t chaos_harden_client_size(struct chaos_heap *heap, const void *p,
				size_t usable, bool *intact)
{
	size_t end = chaos_guarded(heap, usable);
	struct chaos_trailer *trailer = chaos_trailer(p, end);
	unsigned long expected, canary;
	size_t slack;

	/* The engine's own data was overwritten. */
	if (unlikely(usable < heap->trailer)) {
		*intact = false;
		return 0;
	}
	slack = READ_ONCE(trailer->slack);
	expected = chaos_canary(heap, p, slack);
	canary = READ_ONCE(trailer->canary);
	/* Only a good canary says that the slack may be believed. */
	if (canary != expected) {
		*intact = canary == ~expected;	/* it is being freed */
		return end - sizeof(*trailer);
	}
	*intact = chaos_slack_intact(p, end, slack);
	return end - slack;
}

enum chaos_verdict chaos_harden_bury(struct chaos_heap *heap, void *p,
				     size_t usable)
{
	size_t end = chaos_guarded(heap, usable);
	struct chaos_trailer *trailer = chaos_trailer(p, end);
	size_t slack = READ_ONCE(trailer->slack);
	unsigned long canary = chaos_canary(heap, p, slack), old = canary;

	if (!try_cmpxchg(&trailer->canary, &old, ~canary))
		return old == ~canary ? CHAOS_FREED : CHAOS_OVERRUN;
	if (!chaos_slack_intact(p, end, slack))
		return CHAOS_OVERRUN;
	memset(p, POISON_FREE, end - sizeof(*trailer));
	return CHAOS_OK;
}

/* ---------------------------------- checking ------------------------------ */

static bool chaos_is_damaged(struct chaos_heap *heap, const void *p)
{
	struct chaos_pool *pool = chaos_pool_of(p);
	struct chaos_block block;
	bool intact;

	if (!pool || pool->heap != heap ||
	    heap->engine->query(heap, pool, p, &block) != CHAOS_OK)
		return false;
	/* Freed just now, see chaos_look_up(): no block, so no damaged one. */
	if (!chaos_pool_holds(pool, p, block.size) || block.size < heap->trailer)
		return false;
	chaos_harden_client_size(heap, p, block.size, &intact);
	return !intact;
}

/* Is the block at @p damaged?  *@sure: nobody was changing any block meanwhile. */
static bool chaos_look(struct chaos_heap *heap, const void *p, bool *sure)
{
	unsigned long begun;
	bool damaged, quiet;

	preempt_disable();
	quiet = chaos_busy_none(heap->busy, &begun);
	damaged = chaos_is_damaged(heap, p);
	*sure = quiet && chaos_busy_none_since(heap->busy, begun);
	preempt_enable();
	return damaged;
}

/* On a busy heap it may take some looks until nobody interferes. */
static bool chaos_convict(struct chaos_heap *heap, const void *p)
{
	unsigned int i;
	bool sure;

	for (i = 0; i < CHAOS_LOOKS; i++) {
		if (!chaos_look(heap, p, &sure))
			return false;
		if (sure)
			return true;
		cond_resched();
	}
	return false;
}

/**
 * struct chaos_inquiry - what a walk over all blocks has found
 * @suspects: blocks that did not look intact
 * @n: their number
 */
struct chaos_inquiry {
	const void *suspects[CHAOS_SUSPECTS];
	unsigned int n;
};

/* Under the engine's lock, perhaps: those who are busy may wait for it. */
static bool chaos_suspect(struct chaos_heap *heap, void *p, size_t usable,
			  void *arg)
{
	struct chaos_inquiry *inquiry = arg;
	bool intact;

	chaos_harden_client_size(heap, p, usable, &intact);
	if (!intact)
		inquiry->suspects[inquiry->n++] = p;
	return inquiry->n < CHAOS_SUSPECTS;
}

int chaos_harden_check(struct chaos_heap *heap)
{
	struct chaos_inquiry inquiry = { .n = 0 };
	unsigned int i;
	int err;

	err = heap->engine->walk(heap, NULL, chaos_suspect, &inquiry);
	if (err && err != -ECANCELED)
		return err;
	for (i = 0; i < inquiry.n; i++)
		if (chaos_convict(heap, inquiry.suspects[i]))
			return chaos_unclean(heap, "block %p was written past its end",
					     inquiry.suspects[i]);
	return 0;
}

/* A visitor that wants to know clients' sizes, and its argument. */
struct chaos_visit {
	chaos_visitor visitor;
	void *arg;
};

static bool chaos_visit_client(struct chaos_heap *heap, void *p, size_t usable,
			       void *arg)
{
	const struct chaos_visit *visit = arg;
	bool intact;

	return visit->visitor(heap, p,
			      chaos_client_size(heap, p, usable, &intact),
			      visit->arg);
}

int chaos_harden_walk(struct chaos_heap *heap, chaos_visitor visitor, void *arg)
{
	struct chaos_visit visit = { .visitor = visitor, .arg = arg };

	return heap->engine->walk(heap, NULL, chaos_visit_client, &visit);
}
