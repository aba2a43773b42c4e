// SPDX-License-Identifier: GPL-2.0
/*
 * Heaps, and the slots in which blocks change hands.
 *
 * An arena that comes and goes is protected by a count: torture_enter() counts a
 * user in unless the count is 0, torture_shut() takes the count that torture_open()
 * has set, and waits until there is no user left.  Atomics alone, so it works in NMIs
 * and for users who sleep.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/delay.h>
#include <linux/err.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/string.h>
#include <linux/vmalloc.h>

#include "torture.h"

struct torture_arena torture_arenas[TORTURE_ARENAS];

struct torture_arena *torture_enter(u32 nr)
{
	struct torture_arena *arena = &torture_arenas[nr];

	/* These are there as long as there are actors. */
	if (nr < TORTURE_FIRST_GUEST)
		return arena;
	/* It may well be closed after this look, but the count is what decides. */
	if (READ_ONCE(arena->closing))
		return NULL;
	/* Orders what follows behind what torture_open() has written. */
	return atomic_inc_not_zero(&arena->users) ? arena : NULL;
}

void torture_leave(struct torture_arena *arena)
{
	/* A full barrier: torture_shut() comes after all that was done in it. */
	if (arena >= &torture_arenas[TORTURE_FIRST_GUEST])
		atomic_dec_return(&arena->users);
}

int torture_open(struct torture_arena *arena, const struct chaos_heap_params *params,
		 u32 nr_slots)
{
	struct chaos_heap_stats stats;
	struct chaos_heap *heap = NULL;

	arena->slots = kvcalloc(nr_slots, sizeof(*arena->slots), GFP_KERNEL);
	if (!arena->slots)
		return -ENOMEM;
	if (params) {
		heap = chaos_heap_create(params);
		if (IS_ERR(heap)) {
			kvfree(arena->slots);
			arena->slots = NULL;
			return PTR_ERR(heap);
		}
	}
	chaos_heap_stats(heap, &stats);
	arena->bad_frees = stats.bad_frees;
	arena->live = stats.live_blocks;
	arena->natural = strcmp(stats.allocator, "tlsf");
	arena->heap = heap;
	arena->nr_slots = nr_slots;
	WRITE_ONCE(arena->closing, false);
	atomic_set_release(&arena->users, 1);
	return 0;
}

void torture_shut(struct torture_arena *arena)
{
	WRITE_ONCE(arena->closing, true);
	atomic_dec(&arena->users);
	/* Pairs with torture_leave(). */
	while (atomic_read_acquire(&arena->users))
		usleep_range(50, 200);
}

void torture_expect_sound(struct torture_arena *arena)
{
	struct chaos_heap_stats stats;
	int err = chaos_heap_check(arena->heap);

	/* It needs memory itself. */
	if (err && err != -ENOMEM)
		torture_fail("chaos_heap_check() says %d", err);
	chaos_heap_stats(arena->heap, &stats);
	if (stats.held_bytes > stats.pool_bytes)
		torture_fail("heap %s: %zu bytes of %zu are held", stats.name,
			     stats.held_bytes, stats.pool_bytes);
	if (stats.bad_frees != arena->bad_frees)
		torture_fail("heap %s: %lu pointers were refused", stats.name,
			     stats.bad_frees - arena->bad_frees);
}

void torture_clear(struct torture_arena *arena, struct torture_actor *a)
{
	struct chaos_heap_stats stats;
	struct torture_block *b;
	u32 i;

	for (i = 0; i < arena->nr_slots; i++) {
		b = xchg(&arena->slots[i], NULL);
		if (b)
			torture_free(arena, a, b);
		if (i % 64 == 0)
			cond_resched();
	}
	torture_expect_sound(arena);
	chaos_heap_stats(arena->heap, &stats);
	if (stats.live_blocks != arena->live)
		torture_fail("heap %s: %zu blocks are left", stats.name,
			     stats.live_blocks - arena->live);
}

void torture_abandon(struct torture_arena *arena, struct torture_actor *a)
{
	struct torture_block *b;
	u32 i;

	for (i = 0; i < arena->nr_slots; i++) {
		b = xchg(&arena->slots[i], NULL);
		if (b && torture_block_intact(b))
			a->tally.freed++;
	}
	torture_expect_sound(arena);
}

void torture_destroy(struct torture_arena *arena)
{
	chaos_heap_destroy(arena->heap);
	kvfree(arena->slots);
	vfree(arena->mem);
	arena->heap = NULL;
	arena->slots = NULL;
	arena->nr_slots = 0;
	arena->mem = NULL;
}
