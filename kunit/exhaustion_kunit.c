// SPDX-License-Identifier: GPL-2.0
/*
 * Suite chaos_exhaustion: heaps that are used to the last byte, and how they
 * grow before that.
 */
#include <linux/delay.h>
#include <linux/irqflags.h>
#include <linux/preempt.h>
#include <linux/sched/mm.h>
#include <linux/sort.h>

#include "common.h"

CHAOS_TEST_ENGINE_PARAM();

#define FILL_POOL	SZ_4M

/* Smallest first. */
static const size_t fill_sizes[] = {
	24, 64, 200, 1024, 5000, 65536, 1000000,
};

static size_t shuffled_free(struct chaos_heap *heap, struct llist_head *blocks,
			    struct chaos_test_block **p, size_t n)
{
	struct llist_node *node = llist_del_all(blocks);
	struct chaos_test_block *b, *next;
	struct rnd_state rnd;
	size_t bad = 0, i = 0;

	prandom_seed_state(&rnd, n);
	llist_for_each_entry_safe(b, next, node, node)
		p[i++] = b;
	for (; n; n--) {
		i = chaos_test_below(&rnd, n);
		bad += !chaos_test_unmake(heap, p[i]);
		p[i] = p[n - 1];
	}
	return bad;
}

static void fill_and_recover(struct kunit *test)
{
	struct chaos_heap *heap = chaos_test_heap(test, FILL_POOL, 0);
	struct chaos_heap_stats s, full;
	struct chaos_test_block **p;
	size_t first, again, i, bad;
	LLIST_HEAD(blocks);

	p = chaos_test_buf(test, FILL_POOL / fill_sizes[0], sizeof(*p));
	chaos_test_bind(test);
	/* The smallest are half of all blocks. */
	for (i = CHAOS_TEST_FEWER > 1; i < ARRAY_SIZE(fill_sizes); i++) {
		size_t size = fill_sizes[i];

		chaos_test_collect(heap);
		chaos_heap_stats(heap, &s);
		first = chaos_test_exhaust(heap, size, GFP_KERNEL, &blocks);
		chaos_heap_stats(heap, &full);
		KUNIT_EXPECT_EQ(test, full.failures, s.failures + 1);
		KUNIT_EXPECT_EQ(test, full.live_blocks, first);
		KUNIT_EXPECT_LE(test, full.held_bytes, full.pool_bytes);
		KUNIT_EXPECT_EQ(test, full.pools, 1);
		KUNIT_EXPECT_EQ(test, full.grows, 0);
		/* What engines lose to headers and rounding is less. */
		KUNIT_EXPECT_GE_MSG(test, first * size, FILL_POOL / 2,
				    "%zu blocks of %zu", first, size);
		chaos_test_sound(test, heap);
		bad = shuffled_free(heap, &blocks, p, first);
		KUNIT_EXPECT_EQ(test, bad, 0);
		chaos_test_idle(test, heap, 0);

		again = chaos_test_exhaust(heap, size, GFP_KERNEL, &blocks);
		KUNIT_EXPECT_GE_MSG(test, again, first, "of %zu", size);
		KUNIT_EXPECT_EQ(test, chaos_test_drain(heap, &blocks), 0);
	}
	chaos_test_idle(test, heap, 0);
}

/* Freeing one block of a full heap is enough for one more. */
static void one_more(struct kunit *test)
{
	struct chaos_heap *heap = chaos_test_heap(test, SZ_1M, 0);
	struct chaos_test_block *b;
	size_t i, k, errors = 0;
	LLIST_HEAD(blocks);

	chaos_test_bind(test);
	for (i = 0; i < ARRAY_SIZE(fill_sizes) && fill_sizes[i] < SZ_1M / 4; i++) {
		chaos_test_exhaust(heap, fill_sizes[i], GFP_KERNEL, &blocks);
		for (k = 0; k < 100; k++) {
			b = llist_entry(llist_del_first(&blocks),
					struct chaos_test_block, node);
			errors += !chaos_test_unmake(heap, b);
			b = chaos_test_make(heap, fill_sizes[i], GFP_ATOMIC, k);
			if (b)
				llist_add(&b->node, &blocks);
			else
				errors++;
		}
		KUNIT_EXPECT_EQ_MSG(test, errors, 0, "size %zu", fill_sizes[i]);
		KUNIT_EXPECT_EQ(test, chaos_test_drain(heap, &blocks), 0);
		chaos_test_collect(heap);
	}
	chaos_test_idle(test, heap, 0);
}

static void grows_to_max(struct kunit *test)
{
	struct chaos_heap *heap = chaos_test_heap(test, SZ_4M, SZ_32M);
	struct chaos_heap_stats s;
	LLIST_HEAD(blocks);
	size_t n;

	n = chaos_test_exhaust(heap, 30000, GFP_KERNEL, &blocks);
	chaos_heap_stats(heap, &s);
	KUNIT_EXPECT_LE(test, s.pool_bytes, SZ_32M);
	KUNIT_EXPECT_GE(test, s.pool_bytes, SZ_32M / 4 * 3);
	KUNIT_EXPECT_EQ(test, s.max_bytes, SZ_32M);
	KUNIT_EXPECT_GE(test, s.grows, 1);
	KUNIT_EXPECT_EQ(test, s.pools, s.grows + 1);
	KUNIT_EXPECT_EQ(test, s.failures, 1);
	KUNIT_EXPECT_GE(test, n * 30000, SZ_32M / 2);
	chaos_test_sound(test, heap);
	KUNIT_EXPECT_EQ(test, chaos_test_drain(heap, &blocks), 0);
	chaos_test_idle(test, heap, 0);
}

/*
 * A caller that is itself part of memory reclaim (GFP_NOIO) may grow the heap:
 * growth must not enter reclaim again, nor wait for someone who does.  Lockdep
 * reports it if it could.
 */
static void grows_in_reclaim(struct kunit *test)
{
	struct chaos_heap *heap = chaos_test_heap(test, SZ_1M, SZ_16M);
	LLIST_HEAD(blocks);
	size_t n;

	fs_reclaim_acquire(GFP_KERNEL);
	n = chaos_test_exhaust(heap, 30000, GFP_NOIO, &blocks);
	fs_reclaim_release(GFP_KERNEL);
	KUNIT_EXPECT_GE(test, n * 30000, SZ_8M);
	KUNIT_EXPECT_EQ(test, chaos_test_drain(heap, &blocks), 0);
	chaos_test_idle(test, heap, 0);
}

/* One who is reclaim takes what the heap has, and nothing of the kernel's. */
static void reclaim_never_grows(struct kunit *test)
{
	struct chaos_heap *heap = chaos_test_heap(test, SZ_1M, SZ_16M);
	struct chaos_heap_stats s;
	LLIST_HEAD(blocks);
	unsigned int flags;
	size_t n;

	/* Nor does the worker. */
	KUNIT_EXPECT_EQ(test, chaos_heap_set_option(heap, CHAOS_OPT_WATERMARK, 0), 0);
	flags = memalloc_noreclaim_save();
	n = chaos_test_exhaust(heap, 30000, GFP_KERNEL, &blocks);
	memalloc_noreclaim_restore(flags);
	chaos_heap_stats(heap, &s);
	KUNIT_EXPECT_GE(test, n * 30000, SZ_512K);
	KUNIT_EXPECT_EQ(test, s.grows, 0);
	KUNIT_EXPECT_EQ(test, chaos_test_drain(heap, &blocks), 0);
	chaos_test_idle(test, heap, 0);
}

/* A request larger than what a pool would be makes a pool that it fits in. */
static void grows_for_large(struct kunit *test)
{
	struct chaos_heap *heap = chaos_test_heap(test, SZ_1M, SZ_64M);
	struct chaos_test_block *b;

	b = chaos_test_make(heap, SZ_16M + 100, GFP_KERNEL, 1);
	KUNIT_EXPECT_NOT_NULL(test, b);
	if (b)
		KUNIT_EXPECT_TRUE(test, chaos_test_unmake(heap, b));
	b = chaos_heap_alloc_aligned(heap, SZ_8M, SZ_4M, GFP_KERNEL);
	KUNIT_EXPECT_NOT_NULL(test, b);
	KUNIT_EXPECT_TRUE(test, IS_ALIGNED((unsigned long)b, SZ_4M));
	chaos_heap_free(heap, b);
	chaos_test_idle(test, heap, 0);
}

/* Lockdep and DEBUG_ATOMIC_SLEEP tell if anything in there would sleep. */
static void atomic_never_grows(struct kunit *test)
{
	static const gfp_t gfps[] = { GFP_ATOMIC, GFP_NOWAIT };
	struct chaos_heap *heap = chaos_test_heap(test, SZ_1M, 0);
	struct chaos_heap_stats s;
	unsigned long flags;
	LLIST_HEAD(blocks);
	unsigned int i;
	size_t n;

	for (i = 0; i < ARRAY_SIZE(gfps); i++) {
		preempt_disable();
		n = chaos_test_exhaust(heap, 3000, gfps[i], &blocks);
		preempt_enable();
		KUNIT_EXPECT_GE(test, n * 3000, SZ_1M / 2);
		KUNIT_EXPECT_EQ(test, chaos_test_drain(heap, &blocks), 0);
		chaos_test_collect(heap);

		local_irq_save(flags);
		n = chaos_test_exhaust(heap, 3000, gfps[i], &blocks);
		local_irq_restore(flags);
		KUNIT_EXPECT_GE(test, n * 3000, SZ_1M / 2);
		KUNIT_EXPECT_EQ(test, chaos_test_drain(heap, &blocks), 0);
		chaos_test_collect(heap);
	}
	chaos_heap_stats(heap, &s);
	KUNIT_EXPECT_EQ(test, s.failures, 2 * ARRAY_SIZE(gfps));
	KUNIT_EXPECT_EQ(test, s.pools, 1);
	chaos_test_idle(test, heap, 0);
}

/*
 * Atomic callers take most of the heap; the worker adds to it in the
 * background; and they can go on without ever having seen NULL.
 */
static void grows_in_background(struct kunit *test)
{
	struct chaos_heap *heap = chaos_test_heap(test, SZ_4M, SZ_16M);
	struct chaos_heap_stats s, before;
	unsigned int i, tries;
	struct chaos_test_block *b;
	LLIST_HEAD(blocks);
	size_t failed = 0;

	for (i = 0; i < 3; i++) {
		chaos_heap_stats(heap, &before);
		do {
			b = chaos_test_make(heap, 4000, GFP_ATOMIC, i);
			if (!b) {
				failed++;
				break;
			}
			llist_add(&b->node, &blocks);
			chaos_heap_stats(heap, &s);
		} while (s.pool_bytes == before.pool_bytes &&
			 s.held_bytes < before.pool_bytes / 10 * 9);

		for (tries = 0; tries < 2000; tries++) {
			chaos_heap_stats(heap, &s);
			if (s.pool_bytes > before.pool_bytes)
				break;
			usleep_range(5000, 10000);
		}
		if (before.pool_bytes < s.max_bytes)
			KUNIT_EXPECT_GT(test, s.pool_bytes, before.pool_bytes);
		KUNIT_EXPECT_LE(test, s.pool_bytes, SZ_16M);
		if (s.pool_bytes >= s.max_bytes)
			break;
	}
	KUNIT_EXPECT_EQ(test, failed, 0);
	KUNIT_EXPECT_GE(test, s.grows, 1);
	KUNIT_EXPECT_EQ(test, chaos_test_drain(heap, &blocks), 0);
	chaos_test_idle(test, heap, 0);
}

/* Growth by several at once, and a heap that goes while its worker is due. */
static void greedy_thread(struct chaos_test_thread *self)
{
	struct chaos_heap *heap = self->arg;
	LLIST_HEAD(blocks);

	chaos_test_exhaust(heap, 20000, GFP_KERNEL, &blocks);
	self->arg = NULL;
	if (!chaos_test_drain(heap, &blocks))
		self->arg = heap;
}

static void grows_at_once(struct kunit *test)
{
	struct chaos_test_thread *threads;
	struct chaos_heap_stats s;
	unsigned int i, turn;

	threads = chaos_test_buf(test, 4, sizeof(*threads));
	for (turn = 0; turn < 5; turn++) {
		struct chaos_heap *heap = chaos_test_heap(test, SZ_1M, SZ_16M);

		/* Or some of it is returned before the last thread has ended. */
		chaos_test_never(test, heap, CHAOS_OPT_RETURN_DELAY);
		for (i = 0; i < 4; i++) {
			threads[i].fn = greedy_thread;
			threads[i].arg = heap;
			threads[i].cpu = -1;
		}
		KUNIT_EXPECT_EQ(test, chaos_test_run(threads, 4), 0);
		for (i = 0; i < 4; i++)
			KUNIT_EXPECT_PTR_EQ(test, threads[i].arg, heap);
		chaos_heap_stats(heap, &s);
		KUNIT_EXPECT_LE(test, s.pool_bytes, SZ_16M);
		KUNIT_EXPECT_GE(test, s.pool_bytes, SZ_8M);
		chaos_test_idle(test, heap, 0);
		chaos_test_destroy(test, heap);
	}
}

static void destroy_while_growing(struct kunit *test)
{
	unsigned int turn;

	for (turn = 0; turn < 30; turn++) {
		struct chaos_heap *heap = chaos_test_heap(test, SZ_1M, SZ_8M);
		LLIST_HEAD(blocks);

		chaos_test_exhaust(heap, 10000, GFP_ATOMIC, &blocks);
		chaos_test_destroy(test, heap);
	}
}

static struct kunit_case exhaustion_cases[] = {
	CHAOS_CASE(fill_and_recover),
	CHAOS_CASE(one_more),
	CHAOS_CASE(grows_to_max),
	CHAOS_CASE(grows_in_reclaim),
	CHAOS_CASE(reclaim_never_grows),
	CHAOS_CASE(grows_for_large),
	CHAOS_CASE(atomic_never_grows),
	CHAOS_CASE(grows_in_background),
	CHAOS_CASE(grows_at_once),
	CHAOS_CASE(destroy_while_growing),
	{}
};

static struct kunit_suite exhaustion_suite = {
	.name = "chaos_exhaustion",
	.test_cases = exhaustion_cases,
};

kunit_test_suites(&exhaustion_suite);
