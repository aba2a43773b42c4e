// SPDX-License-Identifier: GPL-2.0
/*
 * Suite chaos_grow: how heaps grow, by how much and when, and how they give back
 * what they have grown by.
 */
#include <linux/delay.h>
#include <linux/jiffies.h>
#include <linux/sizes.h>

#include "common.h"
#include "../engine.h"
#include "../sanitize.h"

CHAOS_TEST_ENGINE_PARAM();

#define GROW_RESERVE	SZ_1M
#define GROW_MAX	SZ_8M
#define GROW_BLOCK	30000
#define GROW_TURNS	(CHAOS_TEST_FEWER > 1 ? 2 : 10)

/* So many milliseconds has a test patience. */
#define GROW_PATIENCE	20000

static void grow_option(struct kunit *test, struct chaos_heap *heap,
			enum chaos_option option, unsigned long value)
{
	KUNIT_ASSERT_EQ(test, chaos_heap_set_option(heap, option, value), 0);
}

/* A heap that grows on demand only, and gives back only what it is told to. */
static struct chaos_heap *grow_heap(struct kunit *test, size_t max)
{
	struct chaos_heap *heap = chaos_test_heap(test, GROW_RESERVE, max);

	grow_option(test, heap, CHAOS_OPT_WATERMARK, 0);
	chaos_test_never(test, heap, CHAOS_OPT_RETURN_DELAY);
	return heap;
}

static struct chaos_heap_stats grow_stats(struct chaos_heap *heap)
{
	struct chaos_heap_stats stats;

	chaos_heap_stats(heap, &stats);
	return stats;
}

/* Take all that there is, as far as the heap grows. */
static void grow_full(struct kunit *test, struct chaos_heap *heap,
		      struct llist_head *blocks)
{
	struct chaos_heap_stats s;

	chaos_test_exhaust(heap, GROW_BLOCK, GFP_KERNEL, blocks);
	s = grow_stats(heap);
	KUNIT_ASSERT_EQ(test, s.pool_bytes, s.max_bytes);
	KUNIT_ASSERT_GE(test, s.grows, s.returns + 1);
}

static void grow_and_free(struct kunit *test, struct chaos_heap *heap)
{
	LLIST_HEAD(blocks);

	grow_full(test, heap, &blocks);
	KUNIT_EXPECT_EQ(test, chaos_test_drain(heap, &blocks), 0);
}

/* Only the reserve is there, and nothing but growth has been given back. */
static void grow_expect_small(struct kunit *test, struct chaos_heap *heap)
{
	struct chaos_heap_stats s = grow_stats(heap);

	KUNIT_EXPECT_EQ(test, s.pool_bytes, GROW_RESERVE);
	KUNIT_EXPECT_EQ(test, s.pools, 1);
	KUNIT_EXPECT_GE(test, s.grows, 1);
	KUNIT_EXPECT_EQ(test, s.returns, s.grows);
}

/* Wait until there are @pools; the jiffies when there were, or 0. */
static unsigned long grow_wait_pools(struct chaos_heap *heap, unsigned int pools)
{
	unsigned long end = jiffies + msecs_to_jiffies(GROW_PATIENCE);

	while (grow_stats(heap).pools != pools) {
		if (time_after(jiffies, end))
			return 0;
		usleep_range(5000, 10000);
	}
	return jiffies | 1;
}

/* ---------------------------------- steps --------------------------------- */

static void doubles(struct kunit *test)
{
	struct chaos_heap *heap = grow_heap(test, GROW_MAX);
	size_t want = GROW_RESERVE, now;
	struct chaos_test_block *b;
	LLIST_HEAD(blocks);

	while ((b = chaos_test_make(heap, GROW_BLOCK, GFP_KERNEL | __GFP_NOWARN, 1))) {
		llist_add(&b->node, &blocks);
		now = grow_stats(heap).pool_bytes;
		if (now == want)
			continue;
		want *= 2;
		KUNIT_ASSERT_EQ(test, now, want);
	}
	KUNIT_EXPECT_EQ(test, want, GROW_MAX);
	KUNIT_EXPECT_EQ(test, grow_stats(heap).grows, ilog2(GROW_MAX / GROW_RESERVE));
	KUNIT_EXPECT_EQ(test, chaos_test_drain(heap, &blocks), 0);
	chaos_test_idle(test, heap, 0);
}

/* Each time by the step, by less where max_size is near, by more for one block. */
static void steps(struct kunit *test)
{
	const size_t step = SZ_1M + SZ_512K;
	struct chaos_heap *heap = grow_heap(test, GROW_MAX);
	size_t last = GROW_RESERVE, now;
	struct chaos_test_block *b;
	LLIST_HEAD(blocks);

	grow_option(test, heap, CHAOS_OPT_GROWTH_STEP, step);
	while ((b = chaos_test_make(heap, GROW_BLOCK, GFP_KERNEL | __GFP_NOWARN, 1))) {
		llist_add(&b->node, &blocks);
		now = grow_stats(heap).pool_bytes;
		if (now != last)
			KUNIT_ASSERT_EQ(test, now, min(last + step, (size_t)GROW_MAX));
		last = now;
	}
	KUNIT_EXPECT_EQ(test, last, GROW_MAX);
	KUNIT_EXPECT_EQ(test, chaos_test_drain(heap, &blocks), 0);

	chaos_test_collect(heap);
	grow_expect_small(test, heap);
	b = chaos_test_make(heap, 3 * SZ_1M, GFP_KERNEL, 2);
	KUNIT_ASSERT_NOT_NULL(test, b);
	KUNIT_EXPECT_GE(test, grow_stats(heap).pool_bytes, GROW_RESERVE + 3 * SZ_1M);
	KUNIT_EXPECT_TRUE(test, chaos_test_unmake(heap, b));
	chaos_test_idle(test, heap, 0);
}

/* -------------------------------- watermark ------------------------------- */

#define MARK_BLOCK	SZ_16K

/* When less than a quarter is free, the worker is due, or has been. */
static bool mark_wait(struct chaos_heap *heap)
{
	unsigned long end = jiffies + msecs_to_jiffies(GROW_PATIENCE);
	struct chaos_heap_stats s;

	for (s = grow_stats(heap); s.held_bytes > s.pool_bytes / 4 * 3 + MARK_BLOCK &&
	     s.pool_bytes < GROW_MAX; s = grow_stats(heap)) {
		if (time_after(jiffies, end))
			return false;
		usleep_range(2000, 3000);
	}
	return true;
}

/*
 * Atomic callers that leave the worker the time that it needs never see NULL before the heap
 * is as large as it may be.
 */
static void watermark_wakes(struct kunit *test)
{
	struct chaos_heap *heap = grow_heap(test, GROW_MAX);
	struct chaos_heap_stats s;
	struct chaos_test_block *b;
	LLIST_HEAD(blocks);

	grow_option(test, heap, CHAOS_OPT_WATERMARK, 25);
	do {
		b = chaos_test_make(heap, MARK_BLOCK, GFP_ATOMIC, 1);
		s = grow_stats(heap);
		KUNIT_EXPECT_NOT_NULL_MSG(test, b, "%zu of %zu bytes are held",
					  s.held_bytes, s.pool_bytes);
		if (!b)
			break;
		llist_add(&b->node, &blocks);
		KUNIT_ASSERT_TRUE(test, mark_wait(heap));
	} while (s.held_bytes < GROW_MAX / 4 * 3);
	KUNIT_EXPECT_EQ(test, s.pool_bytes, GROW_MAX);
	KUNIT_EXPECT_EQ(test, s.grows, ilog2(GROW_MAX / GROW_RESERVE));
	KUNIT_EXPECT_EQ(test, s.failures, 0);
	KUNIT_EXPECT_EQ(test, chaos_test_drain(heap, &blocks), 0);
	chaos_test_idle(test, heap, 0);
}

/* With nothing to keep free, nobody grows the heap for those who cannot wait. */
static void watermark_of_none(struct kunit *test)
{
	struct chaos_heap *heap = grow_heap(test, GROW_MAX);
	LLIST_HEAD(blocks);

	chaos_test_exhaust(heap, MARK_BLOCK, GFP_ATOMIC, &blocks);
	msleep(100);
	KUNIT_EXPECT_EQ(test, grow_stats(heap).pools, 1);
	KUNIT_EXPECT_EQ(test, chaos_test_drain(heap, &blocks), 0);
	chaos_test_idle(test, heap, 0);
}

/* A new watermark counts at once, not only when the heap grows next. */
static void watermark_changes(struct kunit *test)
{
	struct chaos_heap *heap = grow_heap(test, GROW_MAX);
	struct chaos_test_block *b, *c;

	b = chaos_test_make(heap, SZ_512K + SZ_128K, GFP_ATOMIC, 1);
	KUNIT_ASSERT_NOT_NULL(test, b);
	msleep(100);
	KUNIT_EXPECT_EQ(test, grow_stats(heap).pools, 1);
	grow_option(test, heap, CHAOS_OPT_WATERMARK, 50);
	c = chaos_test_make(heap, SZ_64K, GFP_ATOMIC, 2);
	KUNIT_ASSERT_NOT_NULL(test, c);
	KUNIT_EXPECT_NE(test, grow_wait_pools(heap, 2), 0);
	KUNIT_EXPECT_TRUE(test, chaos_test_unmake(heap, b));
	KUNIT_EXPECT_TRUE(test, chaos_test_unmake(heap, c));
	chaos_test_idle(test, heap, 0);
}

/*
 * What one CPU has freed and another wants to have, in a heap that may not grow:
 * an atomic caller may have to try again, but not for long.
 */
static void collects_when_full(struct kunit *test)
{
	struct chaos_heap *heap = chaos_test_exact(chaos_test_heap(test, GROW_RESERVE, 0));
	struct chaos_test_place place[2] = {};
	unsigned int cpus[2], round, tries;
	LLIST_HEAD(blocks);
	size_t n;

	chaos_test_never(test, heap, CHAOS_OPT_RETIRE_DELAY);
	chaos_test_cpus(test, cpus, 2);
	place[0].cpu = cpus[0];
	place[1].cpu = cpus[1];
	for (round = 0; round < 6; round++) {
		struct chaos_test_place *here = &place[round % 2];

		for (tries = 0, n = 0; tries < 1000; tries++) {
			n += chaos_test_exhaust_at(here, heap, 64 << round, &blocks);
			if (n * (64 << round) >= GROW_RESERVE / 2)
				break;
			msleep(20);
		}
		KUNIT_EXPECT_GE_MSG(test, n * (64 << round), GROW_RESERVE / 2,
				    "round %u", round);
		KUNIT_EXPECT_EQ(test, chaos_test_drain_at(here, heap, &blocks), 0);
	}
	chaos_test_idle(test, heap, 0);
}

/*
 * The worker sees to that where CPUs keep something, soon, but not each time that
 * the heap is full: the second half of what is free, the quarter after it and so
 * on, and once a second.
 */
static void collects_now_and_then(struct kunit *test)
{
	struct chaos_heap *heap = chaos_test_heap(test, GROW_RESERVE, 0);
	unsigned long end = jiffies + msecs_to_jiffies(GROW_PATIENCE), start;
	unsigned long collects;
	unsigned int seconds;
	LLIST_HEAD(blocks);
	size_t bad = 0;

	while (!READ_ONCE(heap->collects) && heap->theaps &&
	       time_before(jiffies, end)) {
		chaos_test_exhaust(heap, MARK_BLOCK, GFP_ATOMIC, &blocks);
		/* On one CPU without preemption, this is when the worker comes. */
		usleep_range(1000, 2000);
		bad += chaos_test_drain(heap, &blocks);
	}
	collects = READ_ONCE(heap->collects);
	KUNIT_EXPECT_EQ(test, !!collects, !!heap->theaps);

	start = jiffies;
	while (time_before(jiffies, start + 2 * HZ)) {
		chaos_test_exhaust(heap, MARK_BLOCK, GFP_ATOMIC, &blocks);
		cond_resched();
		bad += chaos_test_drain(heap, &blocks);
		cond_resched();
	}
	seconds = jiffies_to_msecs(jiffies - start) / 1000 + 1;
	collects = READ_ONCE(heap->collects) - collects;
	KUNIT_EXPECT_LE(test, collects, seconds * ilog2(GROW_RESERVE));
	KUNIT_EXPECT_EQ(test, bad, 0);
	chaos_test_idle(test, heap, 0);
}

/* ------------------------------- giving back ------------------------------ */

/* Not before the delay has passed since the blocks went, and soon after. */
static void returns_after_delay(struct kunit *test)
{
	const unsigned int delay = 1000;
	struct chaos_heap *heap = grow_heap(test, GROW_MAX);
	unsigned long freed, seen, early, late;
	LLIST_HEAD(blocks);

	grow_full(test, heap, &blocks);
	grow_option(test, heap, CHAOS_OPT_RETURN_DELAY, delay);
	/* Longer than the delay: blocks keep their pools. */
	msleep(2 * delay);
	KUNIT_EXPECT_EQ(test, grow_stats(heap).returns, 0);

	/* Pools may be empty before the last block goes, but not before this. */
	freed = jiffies;
	KUNIT_EXPECT_EQ(test, chaos_test_drain(heap, &blocks), 0);
	early = freed + msecs_to_jiffies(delay);
	late = freed + msecs_to_jiffies(GROW_PATIENCE);
	while (!grow_stats(heap).returns && time_before(jiffies, late))
		usleep_range(5000, 10000);
	seen = jiffies;
	KUNIT_EXPECT_TRUE_MSG(test, time_after_eq(seen, early), "after %u ms",
			      jiffies_to_msecs(seen - freed));
	KUNIT_EXPECT_NE(test, grow_wait_pools(heap, 1), 0);
	grow_expect_small(test, heap);
	chaos_test_idle(test, heap, 0);
}

static void returns_without_delay(struct kunit *test)
{
	struct chaos_heap *heap = grow_heap(test, GROW_MAX);

	grow_option(test, heap, CHAOS_OPT_RETURN_DELAY, 0);
	grow_and_free(test, heap);
	KUNIT_EXPECT_NE(test, grow_wait_pools(heap, 1), 0);
	grow_expect_small(test, heap);
	chaos_test_idle(test, heap, 0);
}

/* One block keeps its pool, and that one alone. */
static void keeps_used_pool(struct kunit *test)
{
	struct chaos_heap *heap = grow_heap(test, GROW_MAX);
	struct chaos_test_block *kept;
	struct llist_node *first;
	LLIST_HEAD(blocks);

	grow_full(test, heap, &blocks);
	/* The last that was made: in a pool that growth has added. */
	first = llist_del_first(&blocks);
	kept = llist_entry(first, struct chaos_test_block, node);
	KUNIT_EXPECT_EQ(test, chaos_test_drain(heap, &blocks), 0);
	grow_option(test, heap, CHAOS_OPT_RETURN_DELAY, 0);
	KUNIT_EXPECT_NE(test, grow_wait_pools(heap, 2), 0);
	msleep(300);
	KUNIT_EXPECT_EQ(test, grow_stats(heap).pools, 2);
	KUNIT_EXPECT_TRUE(test, chaos_heap_owns(heap, kept));
	KUNIT_EXPECT_TRUE(test, chaos_test_unmake(heap, kept));
	KUNIT_EXPECT_NE(test, grow_wait_pools(heap, 1), 0);
	grow_expect_small(test, heap);
	chaos_test_idle(test, heap, 0);
}

static void collect_returns(struct kunit *test)
{
	struct chaos_heap *heap = grow_heap(test, GROW_MAX);

	grow_and_free(test, heap);
	chaos_heap_collect(heap, false);
	KUNIT_EXPECT_EQ(test, grow_stats(heap).returns, 0);
	chaos_test_collect(heap);
	grow_expect_small(test, heap);
	chaos_test_idle(test, heap, 0);
}

/* Bytes of the pool that frees look into first; 0 if they look blocks up anyway. */
static void grow_expect_main(struct kunit *test, struct chaos_heap *heap, size_t size)
{
	const struct chaos_pool *pool = READ_ONCE(heap->main_pool);

	if (!chaos_test_mimalloc(test) || CHAOS_SAN_KMEMLEAK)
		size = 0;
	KUNIT_EXPECT_EQ(test, pool->size, size);
}

/* It is the largest pool, also after another one has come, or it has gone. */
static void main_pool(struct kunit *test)
{
	struct chaos_heap *heap = grow_heap(test, GROW_MAX);
	LLIST_HEAD(blocks);

	grow_expect_main(test, heap, GROW_RESERVE);
	grow_full(test, heap, &blocks);
	grow_expect_main(test, heap, GROW_MAX / 2);
	KUNIT_EXPECT_EQ(test, chaos_test_drain(heap, &blocks), 0);
	chaos_test_collect(heap);
	grow_expect_small(test, heap);
	grow_expect_main(test, heap, GROW_RESERVE);
	chaos_test_idle(test, heap, 0);
}

/* Memory of the reserve and of the caller stays, however idle it is. */
static void keeps_reserve(struct kunit *test)
{
	void *mem = chaos_test_vmem(test, 3 * SZ_64K);
	struct chaos_heap *heap = grow_heap(test, GROW_MAX);
	void *unit = PTR_ALIGN(mem, SZ_64K);
	struct chaos_heap_stats s;

	KUNIT_ASSERT_EQ(test, chaos_heap_add_pool(heap, mem, 3 * SZ_64K), 0);
	grow_option(test, heap, CHAOS_OPT_RETURN_DELAY, 0);
	grow_and_free(test, heap);
	KUNIT_EXPECT_NE(test, grow_wait_pools(heap, 2), 0);
	chaos_test_collect(heap);
	msleep(300);
	s = grow_stats(heap);
	KUNIT_EXPECT_EQ(test, s.pools, 2);
	KUNIT_EXPECT_EQ(test, s.returns, s.grows);
	KUNIT_EXPECT_TRUE(test, chaos_heap_owns(heap, unit));
	chaos_test_idle(test, heap, 0);
	/* Before the memory goes. */
	chaos_test_destroy(test, heap);
}

/* What would have to come back at once is not given away. */
static void keeps_watermark(struct kunit *test)
{
	struct chaos_heap *heap = grow_heap(test, GROW_MAX);
	struct chaos_test_block *low, *high;

	low = chaos_test_make(heap, SZ_512K + SZ_256K, GFP_KERNEL, 1);
	high = chaos_test_make(heap, SZ_512K, GFP_KERNEL, 2);
	KUNIT_ASSERT_NOT_NULL(test, low);
	KUNIT_ASSERT_NOT_NULL(test, high);
	KUNIT_ASSERT_EQ(test, grow_stats(heap).pools, 2);
	KUNIT_EXPECT_TRUE(test, chaos_test_unmake(heap, high));

	grow_option(test, heap, CHAOS_OPT_WATERMARK, 20);
	chaos_test_collect(heap);
	KUNIT_EXPECT_EQ(test, grow_stats(heap).pools, 2);
	grow_option(test, heap, CHAOS_OPT_WATERMARK, 5);
	chaos_test_collect(heap);
	grow_expect_small(test, heap);
	KUNIT_EXPECT_TRUE(test, chaos_test_unmake(heap, low));
	chaos_test_idle(test, heap, 0);
}

/* --------------------------- after it was given back ----------------------- */

static void stale_pointer(struct kunit *test)
{
	struct chaos_heap *heap = grow_heap(test, GROW_MAX);
	struct chaos_test_block *b;
	LLIST_HEAD(blocks);
	void *stale;

	grow_full(test, heap, &blocks);
	b = llist_entry(llist_del_first(&blocks), struct chaos_test_block, node);
	stale = b;
	KUNIT_EXPECT_TRUE(test, chaos_test_unmake(heap, b));
	KUNIT_EXPECT_EQ(test, chaos_test_drain(heap, &blocks), 0);
	chaos_test_collect(heap);
	grow_expect_small(test, heap);

	KUNIT_EXPECT_FALSE(test, chaos_heap_owns(heap, stale));
	chaos_heap_free(heap, stale);
	KUNIT_EXPECT_EQ(test, chaos_heap_usable_size(heap, stale), 0);
	chaos_test_idle(test, heap, 2);
}

static void grows_again(struct kunit *test)
{
	struct chaos_heap *heap = grow_heap(test, GROW_MAX);
	unsigned int turn;

	for (turn = 0; turn < GROW_TURNS; turn++) {
		grow_and_free(test, heap);
		chaos_test_sound(test, heap);
		chaos_test_collect(heap);
		grow_expect_small(test, heap);
		chaos_test_sound(test, heap);
	}
	chaos_test_idle(test, heap, 0);
}

/* The pools of a heap that goes may still wait for their grace period. */
static void destroy_after_return(struct kunit *test)
{
	unsigned int turn;

	for (turn = 0; turn < GROW_TURNS; turn++) {
		struct chaos_heap *heap = grow_heap(test, GROW_MAX);

		grow_option(test, heap, CHAOS_OPT_RETURN_DELAY, 0);
		grow_and_free(test, heap);
		chaos_heap_collect(heap, turn % 2);
		chaos_test_destroy(test, heap);
	}
}

/* ---------------------------------- at once -------------------------------- */

#define STORM_THREADS	4
#define STORM_STEPS	(CHAOS_TEST_FEWER > 1 ? 2500 : 20000)
#define STORM_BLOCKS	64
/* Pools that have to be returned: fewer, and it was no storm. */
#define STORM_RETURNS	10
/* How often the collector looks until so many are. */
#define STORM_PATIENCE	10000
/* So large is the heap before a lull. */
#define STORM_POOLS	3

/**
 * struct storm - threads that use a heap while pools of it are returned
 * @heap: this one
 * @running: threads that still do
 * @bad: blocks that had other contents
 * @lull: nobody allocates
 * @enough: pools were returned, or the collector has no patience left
 */
struct storm {
	struct chaos_heap *heap;
	atomic_t running;
	atomic_long_t bad;
	bool lull;
	bool enough;
};

/*
 * Hold a lot, then little; blocks from everywhere, so that pools empty often.  That all
 * threads hold little at once depends on how they run, but in a lull they do.
 */
static void storm_thread(struct chaos_test_thread *self)
{
	struct chaos_test_block *held[STORM_BLOCKS] = {};
	struct storm *storm = self->arg;
	struct rnd_state rnd;
	unsigned int i, step;

	prandom_seed_state(&rnd, self->nr);
	for (step = 0; step < STORM_STEPS || !READ_ONCE(storm->enough); step++) {
		i = chaos_test_below(&rnd, STORM_BLOCKS);
		if (held[i]) {
			if (!chaos_test_unmake(storm->heap, held[i]))
				atomic_long_inc(&storm->bad);
			held[i] = NULL;
		} else if (step % 2048 < 1024 && !READ_ONCE(storm->lull)) {
			held[i] = chaos_test_make(storm->heap,
						  chaos_test_size(&rnd, SZ_64K),
						  GFP_KERNEL | __GFP_NOWARN, step);
		}
		cond_resched();
	}
	for (i = 0; i < STORM_BLOCKS; i++)
		if (held[i] && !chaos_test_unmake(storm->heap, held[i]))
			atomic_long_inc(&storm->bad);
	atomic_dec(&storm->running);
}

static void storm_collector(struct chaos_test_thread *self)
{
	struct storm *storm = self->arg;
	unsigned int looks = 0;
	bool enough, lull = false;

	while (atomic_read(&storm->running)) {
		struct chaos_heap_stats s = grow_stats(storm->heap);

		/* A lull ends when this has found nothing in use. */
		chaos_heap_collect(storm->heap, true);
		enough = s.returns >= STORM_RETURNS || looks++ >= STORM_PATIENCE;
		lull = !enough && (lull ? s.live_blocks > 0 : s.pools >= STORM_POOLS);
		WRITE_ONCE(storm->lull, lull);
		if (enough)
			WRITE_ONCE(storm->enough, true);
		usleep_range(500, 1000);
	}
}

/* Pools come and go while others allocate, free, and look pointers up. */
static void storm(struct kunit *test)
{
	struct storm *storm = chaos_test_buf(test, 1, sizeof(*storm));
	struct chaos_test_thread *threads;
	struct chaos_heap_stats s;
	unsigned int i;

	storm->heap = chaos_test_heap(test, SZ_64K * 4, GROW_MAX);
	grow_option(test, storm->heap, CHAOS_OPT_RETURN_DELAY, 0);
	grow_option(test, storm->heap, CHAOS_OPT_GROWTH_STEP, SZ_256K);
	atomic_set(&storm->running, STORM_THREADS);
	threads = chaos_test_buf(test, STORM_THREADS + 1, sizeof(*threads));
	for (i = 0; i <= STORM_THREADS; i++) {
		threads[i].fn = i < STORM_THREADS ? storm_thread : storm_collector;
		threads[i].arg = storm;
		threads[i].cpu = -1;
	}
	KUNIT_EXPECT_EQ(test, chaos_test_run(threads, STORM_THREADS + 1), 0);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&storm->bad), 0);
	chaos_test_collect(storm->heap);
	s = grow_stats(storm->heap);
	KUNIT_EXPECT_GE(test, s.returns, STORM_RETURNS);
	KUNIT_EXPECT_EQ(test, s.returns, s.grows);
	KUNIT_EXPECT_EQ(test, s.pools, 1);
	chaos_test_idle(test, storm->heap, 0);
}

/* Who wants more than there can be does not keep the worker from growing the heap. */
static void too_much_changes_nothing(struct kunit *test)
{
	struct chaos_heap *heap = chaos_test_heap(test, SZ_1M, SZ_16M);
	unsigned long before = READ_ONCE(heap->low_mark);
	LLIST_HEAD(blocks);
	void *p;

	/* So full that half of what is free is less than the watermark */
	while (atomic_long_read(&heap->held) < SZ_1M / 100 * 80) {
		struct chaos_test_block *b = chaos_test_make(heap, 4000, GFP_ATOMIC, 1);

		KUNIT_ASSERT_NOT_NULL(test, b);
		llist_add(&b->node, &blocks);
	}
	p = chaos_heap_alloc(heap, SZ_64M, GFP_KERNEL | __GFP_NOWARN);
	KUNIT_EXPECT_NULL(test, p);
	KUNIT_EXPECT_EQ(test, READ_ONCE(heap->low_mark), before);
	KUNIT_EXPECT_EQ(test, READ_ONCE(heap->collects), 0);
	KUNIT_EXPECT_EQ(test, chaos_test_drain(heap, &blocks), 0);
	chaos_test_idle(test, heap, 0);
}

static struct kunit_case grow_cases[] = {
	CHAOS_CASE(doubles),
	CHAOS_CASE(steps),
	CHAOS_CASE(watermark_wakes),
	CHAOS_CASE(watermark_of_none),
	CHAOS_CASE(watermark_changes),
	CHAOS_CASE(collects_when_full),
	CHAOS_CASE_SLOW(collects_now_and_then),
	CHAOS_CASE_SLOW(returns_after_delay),
	CHAOS_CASE(returns_without_delay),
	CHAOS_CASE(keeps_used_pool),
	CHAOS_CASE(collect_returns),
	CHAOS_CASE(main_pool),
	CHAOS_CASE(keeps_reserve),
	CHAOS_CASE(keeps_watermark),
	CHAOS_CASE(stale_pointer),
	CHAOS_CASE(grows_again),
	CHAOS_CASE(destroy_after_return),
	CHAOS_CASE_SLOW(storm),
	CHAOS_CASE(too_much_changes_nothing),
	{}
};

static struct kunit_suite grow_suite = {
	.name = "chaos_grow",
	.test_cases = grow_cases,
};

kunit_test_suites(&grow_suite);
