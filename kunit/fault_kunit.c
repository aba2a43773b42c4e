// SPDX-License-Identifier: GPL-2.0
/*
 * Suite chaos_fault: whatever can fail fails, each in turn, and nothing is lost.
 *
 * The sweeps are those of the kernel's fault injection: with current->fail_nth = n,
 * the n-th of all points that the task passes fails, and of these points there is
 * one for each allocation of the module's; n goes up until nothing has failed.
 * Where the kernel's own points may fail for requests that block (rootfs/fault.sh
 * sees to that), these are swept as well.
 *
 * Meanwhile, blocks that know their contents are live in the heap.
 */
#include <linux/delay.h>
#include <linux/err.h>
#include <linux/jiffies.h>
#include <linux/sched.h>
#include <linux/sizes.h>
#include <linux/slab.h>

#include "common.h"
#include "../engine.h"
#include "../fault.h"

CHAOS_TEST_ENGINE_PARAM();

#define FAULT_POOL	SZ_1M
#define FAULT_MAX	SZ_8M
#define FAULT_BLOCK	3000
#define FAULT_LIVE	40

/* More points than any operation passes, the kernel's included. */
#define FAULT_SWEEP_MAX	20000

/* Milliseconds that something may take that happens in the background. */
#define FAULT_PATIENCE	20000

/* ------------------------------- arming it -------------------------------- */

/* All that a test may change, as it was. */
static int fault_suite_init(struct kunit *test)
{
	struct chaos_faults *was = kunit_kmalloc(test, sizeof(*was), GFP_KERNEL);

	if (!was)
		return -ENOMEM;
	*was = chaos_faults;
	test->priv = was;
	/* A line and a stack for each of thousands helps nobody. */
	chaos_faults.attr.verbose = 0;
	return 0;
}

static void fault_suite_exit(struct kunit *test)
{
	current->fail_nth = 0;
	chaos_faults.attr.probability = 0;
	if (test->priv)
		chaos_faults = *(struct chaos_faults *)test->priv;
}

/* From now on, @fault alone, with this probability in percent, so many times. */
static void fault_arm(enum chaos_fault fault, unsigned int percent, int times)
{
	int i;

	for (i = 0; i < CHAOS_FAULTS; i++)
		chaos_faults.on[i] = i == fault;
	chaos_faults.ignore_gfp_wait = false;
	atomic_set(&chaos_faults.attr.times, times);
	chaos_faults.attr.probability = percent;
}

/* From now on, @fault alone, at the @nth of its own points, whatever else may fail. */
static void fault_arm_nth(enum chaos_fault fault, unsigned int nth)
{
	chaos_faults.attr.count = 0;
	chaos_faults.attr.interval = nth;
	fault_arm(fault, 100, 1);
}

static void fault_disarm(void)
{
	chaos_faults.attr.probability = 0;
}

/**
 * struct fault_sweep - a sweep over the points that an operation passes
 * @nth: the point that is to fail, from 1
 * @hit: it did
 * @hits: how many have
 */
struct fault_sweep {
	unsigned int nth;
	bool hit;
	unsigned int hits;
};

static void fault_begin(struct fault_sweep *sweep)
{
	sweep->nth++;
	chaos_faults.ignore_gfp_wait = false;
	current->fail_nth = sweep->nth;
}

static void fault_end(struct fault_sweep *sweep)
{
	sweep->hit = !current->fail_nth;
	sweep->hits += sweep->hit;
	current->fail_nth = 0;
}

/* Is there more to fail?  Not if the operation got to its end without it. */
static bool fault_goes_on(struct kunit *test, const struct fault_sweep *sweep)
{
	KUNIT_ASSERT_LT(test, sweep->nth, FAULT_SWEEP_MAX);
	return sweep->hit;
}

/* ------------------------------ what must hold ---------------------------- */

/* Blocks that are live while things fail. */
static void fault_populate(struct kunit *test, struct chaos_heap *heap,
			   struct llist_head *blocks)
{
	struct chaos_test_block *b;
	u64 i;

	for (i = 0; i < FAULT_LIVE; i++) {
		b = chaos_test_make(heap, sizeof(*b) + i * i * 7, GFP_KERNEL, i + 1);
		KUNIT_ASSERT_NOT_NULL(test, b);
		llist_add(&b->node, blocks);
	}
}

static size_t fault_damaged(struct llist_head *blocks)
{
	struct chaos_test_block *b;
	size_t bad = 0;

	llist_for_each_entry(b, blocks->first, node)
		bad += !chaos_test_intact(b);
	return bad;
}

/* The heap is sound, and all that was live is, with its contents. */
static void fault_expect_whole(struct kunit *test, struct chaos_heap *heap,
			       struct llist_head *blocks, size_t live)
{
	KUNIT_ASSERT_EQ(test, chaos_heap_check(heap), 0);
	KUNIT_ASSERT_EQ(test, fault_damaged(blocks), 0);
	KUNIT_ASSERT_EQ(test, chaos_test_live(heap), live);
}

static void fault_finish(struct kunit *test, struct chaos_heap *heap,
			 struct llist_head *blocks)
{
	KUNIT_EXPECT_EQ(test, chaos_test_drain(heap, blocks), 0);
	chaos_test_idle(test, heap, 0);
}

/* -------------------------------- the sweeps ------------------------------ */

/*
 * A heap in the same memory each time: if a heap that could not be created kept any of
 * it, the next would get -EEXIST.
 */
static void sweep_create(struct kunit *test)
{
	struct chaos_heap_params params = {
		.name = "fault",
		.allocator = chaos_test_engine(test)->name,
		.mem = chaos_test_vmem(test, SZ_128K),
		.mem_size = SZ_128K,
		.pool_size = SZ_64K,
		.node = NUMA_NO_NODE,
	};
	unsigned int level;

	for (level = 0; level <= 2; level++) {
		struct fault_sweep sweep = {};
		struct chaos_heap *heap;

		params.hardening = CHAOS_HARDENING_0 + level;
		do {
			fault_begin(&sweep);
			heap = chaos_heap_create(&params);
			fault_end(&sweep);
			if (IS_ERR(heap))
				KUNIT_ASSERT_EQ(test, PTR_ERR(heap), -ENOMEM);
			KUNIT_ASSERT_TRUE(test, sweep.hit || !IS_ERR(heap));
			chaos_heap_destroy(heap);
		} while (fault_goes_on(test, &sweep));
		kunit_info(test, "level %u: %u points", level, sweep.hits);
		KUNIT_EXPECT_GE(test, sweep.hits, 5);
	}
}

/* Nothing but this fault, and it is fatal: none of the set-up may be done without. */
static void create_fails(struct kunit *test)
{
	static const enum chaos_fault needed[] = {
		CHAOS_FAULT_SETUP, CHAOS_FAULT_POOL, CHAOS_FAULT_META,
	};
	struct chaos_heap_params params = {
		.allocator = chaos_test_engine(test)->name,
		.pool_size = SZ_128K,
		.node = NUMA_NO_NODE,
		.hardening = CHAOS_HARDENING_1,
	};
	int i;

	for (i = 0; i < ARRAY_SIZE(needed); i++) {
		fault_arm(needed[i], 100, -1);
		KUNIT_EXPECT_EQ(test, PTR_ERR(chaos_heap_create(&params)), -ENOMEM);
	}
	/* Canaries, and mimalloc, want per-CPU memory. */
	params.hardening = chaos_test_mimalloc(test) ? CHAOS_HARDENING_1 : CHAOS_HARDENING_2;
	fault_arm(CHAOS_FAULT_PERCPU, 100, -1);
	KUNIT_EXPECT_EQ(test, PTR_ERR(chaos_heap_create(&params)), -ENOMEM);
}

static void sweep_add_pool(struct kunit *test)
{
	void *mem = chaos_test_vmem(test, SZ_512K);
	struct chaos_heap *heap = chaos_test_heap(test, FAULT_POOL, 0);
	struct fault_sweep sweep = {};
	struct chaos_heap_stats s;
	LLIST_HEAD(blocks);
	int err;

	fault_populate(test, heap, &blocks);
	do {
		fault_begin(&sweep);
		err = chaos_heap_add_pool(heap, mem, SZ_512K);
		fault_end(&sweep);
		chaos_heap_stats(heap, &s);
		KUNIT_ASSERT_TRUE(test, err == 0 || err == -ENOMEM);
		KUNIT_ASSERT_EQ(test, s.pools, err ? 1 : 2);
		KUNIT_ASSERT_TRUE(test, (s.pool_bytes > FAULT_POOL) == !err);
		fault_expect_whole(test, heap, &blocks, FAULT_LIVE);
	} while (err && fault_goes_on(test, &sweep));
	kunit_info(test, "%u points", sweep.hits);
	KUNIT_EXPECT_EQ(test, err, 0);
	KUNIT_EXPECT_GE(test, sweep.hits, 2);
	fault_finish(test, heap, &blocks);
}

/*
 * A caller that may block, of a heap that is full.  One fault can be survived: if the
 * heap cannot grow by as much as it would like, it tries with less.
 */
static void sweep_grow(struct kunit *test)
{
	struct chaos_heap *heap = chaos_test_heap(test, FAULT_POOL, FAULT_MAX);
	struct chaos_test_block *b;
	struct fault_sweep sweep = {};
	struct chaos_heap_stats s;
	LLIST_HEAD(blocks);
	size_t live;

	KUNIT_ASSERT_EQ(test, chaos_heap_set_option(heap, CHAOS_OPT_WATERMARK, 0), 0);
	do {
		live = chaos_test_exhaust(heap, FAULT_BLOCK, GFP_NOWAIT, &blocks);
		KUNIT_ASSERT_GT(test, live, 0);
		fault_begin(&sweep);
		b = chaos_test_make(heap, FAULT_BLOCK, GFP_KERNEL | __GFP_NOWARN, 1);
		fault_end(&sweep);
		chaos_heap_stats(heap, &s);
		if (b) {
			KUNIT_ASSERT_GE(test, s.grows, 1);
			llist_add(&b->node, &blocks);
			live++;
		}
		KUNIT_ASSERT_TRUE(test, b || sweep.hit);
		fault_expect_whole(test, heap, &blocks, live);
		KUNIT_ASSERT_EQ(test, chaos_test_drain(heap, &blocks), 0);
		/* Back to the first pool. */
		chaos_test_collect(heap);
		chaos_heap_stats(heap, &s);
		KUNIT_ASSERT_EQ(test, s.pools, 1);
	} while (fault_goes_on(test, &sweep));
	kunit_info(test, "%u points", sweep.hits);
	KUNIT_EXPECT_GE(test, sweep.hits, 4);
	chaos_test_idle(test, heap, 0);
}

/* What looks at a heap says that it could not, or does it; a heap is not changed by it. */
static bool fault_count(struct chaos_heap *heap, void *p, size_t size, void *arg)
{
	++*(size_t *)arg;
	return true;
}

static void sweep_inspect(struct kunit *test)
{
	struct chaos_heap *heap = chaos_test_heap(test, FAULT_POOL, 0);
	struct chaos_class_stats classes[4];
	struct fault_sweep sweep = {};
	LLIST_HEAD(blocks);
	size_t n;
	int err;

	fault_populate(test, heap, &blocks);
	do {
		fault_begin(&sweep);
		err = chaos_heap_check(heap);
		fault_end(&sweep);
		KUNIT_ASSERT_TRUE(test, err == 0 || (err == -ENOMEM && sweep.hit));
	} while (fault_goes_on(test, &sweep));
	sweep.nth = 0;
	do {
		n = 0;
		fault_begin(&sweep);
		err = chaos_heap_walk(heap, fault_count, &n);
		fault_end(&sweep);
		KUNIT_ASSERT_TRUE(test, err == 0 || (err == -ENOMEM && sweep.hit));
		KUNIT_ASSERT_EQ(test, n, err ? 0 : FAULT_LIVE);
	} while (fault_goes_on(test, &sweep));
	sweep.nth = 0;
	do {
		fault_begin(&sweep);
		n = chaos_heap_class_stats(heap, classes, ARRAY_SIZE(classes));
		fault_end(&sweep);
		KUNIT_ASSERT_TRUE(test, n || sweep.hit || !chaos_test_mimalloc(test));
	} while (fault_goes_on(test, &sweep));
	/* Only mimalloc's need memory, and each of them some. */
	KUNIT_EXPECT_GE(test, sweep.hits, chaos_test_mimalloc(test) ? 3 : 0);
	fault_expect_whole(test, heap, &blocks, FAULT_LIVE);
	fault_finish(test, heap, &blocks);
}

/* -------------------------------- requests -------------------------------- */

/* Every function that hands out a block has a point, and NULL changes nothing. */
static void requests_fail(struct kunit *test)
{
	struct chaos_heap *heap = chaos_test_heap(test, FAULT_POOL, FAULT_MAX);
	const gfp_t gfp = GFP_NOWAIT | __GFP_NOWARN;
	struct chaos_heap_stats before, after;
	void *old, *bulk[3];
	LLIST_HEAD(blocks);

	fault_populate(test, heap, &blocks);
	old = chaos_heap_alloc(heap, 100, gfp);
	KUNIT_ASSERT_NOT_NULL(test, old);
	/* So that it cannot be made larger where it is. */
	KUNIT_ASSERT_NOT_NULL(test, chaos_heap_alloc(heap, 100, gfp));
	chaos_test_fill(old, 100, 7);
	chaos_heap_stats(heap, &before);

	fault_arm(CHAOS_FAULT_REQUEST, 100, -1);
	KUNIT_EXPECT_NULL(test, chaos_heap_alloc(heap, 64, gfp));
	KUNIT_EXPECT_NULL(test, chaos_heap_alloc(heap, 64, GFP_KERNEL | __GFP_NOWARN));
	KUNIT_EXPECT_NULL(test, chaos_heap_zalloc(heap, 64, gfp));
	KUNIT_EXPECT_NULL(test, chaos_heap_alloc(heap, 5000, gfp));
	KUNIT_EXPECT_NULL(test, chaos_heap_alloc_aligned(heap, 64, 256, gfp));
	KUNIT_EXPECT_EQ(test, chaos_heap_alloc_bulk(heap, 64, gfp, 3, bulk), 0);
	KUNIT_EXPECT_NULL(test, chaos_heap_realloc(heap, old, SZ_64K, gfp));
	KUNIT_EXPECT_NULL(test, chaos_heap_realloc(heap, NULL, 64, gfp));
	KUNIT_EXPECT_NULL(test, chaos_alloc(64, gfp));
	KUNIT_EXPECT_NULL(test, chaos_zalloc(64, gfp));
	KUNIT_EXPECT_NULL(test, chaos_calloc(4, 16, gfp));
	KUNIT_EXPECT_NULL(test, chaos_alloc_aligned(64, 256, gfp));
	KUNIT_EXPECT_EQ(test, chaos_alloc_bulk(64, gfp, 3, bulk), 0);
	/* Nothing is asked for here, so nothing can fail. */
	KUNIT_EXPECT_PTR_EQ(test, chaos_heap_alloc(heap, 0, gfp), ZERO_SIZE_PTR);
	old = chaos_heap_realloc(heap, old, 50, gfp);
	fault_disarm();
	KUNIT_ASSERT_NOT_NULL(test, old);

	chaos_heap_stats(heap, &after);
	KUNIT_EXPECT_EQ(test, after.failures, before.failures + 8);
	KUNIT_EXPECT_EQ(test, after.grows, before.grows);
	KUNIT_EXPECT_TRUE(test, chaos_test_filled(old, 48, 7));
	fault_expect_whole(test, heap, &blocks, FAULT_LIVE + 2);
	KUNIT_EXPECT_EQ(test, chaos_test_drain(heap, &blocks), 0);
}

/* A bulk is all or nothing, whichever of its blocks cannot be had. */
static void sweep_bulk(struct kunit *test)
{
	struct chaos_heap *heap = chaos_test_heap(test, FAULT_POOL, 0);
	LLIST_HEAD(blocks);
	void *bulk[40];
	size_t nth, n;

	fault_populate(test, heap, &blocks);
	/* And one more: nothing fails. */
	for (nth = 1; nth <= ARRAY_SIZE(bulk) + 1; nth++) {
		fault_arm_nth(CHAOS_FAULT_REQUEST, nth);
		n = chaos_heap_alloc_bulk(heap, 200, GFP_NOWAIT | __GFP_NOWARN,
					  ARRAY_SIZE(bulk), bulk);
		fault_disarm();
		KUNIT_ASSERT_EQ(test, n, nth <= ARRAY_SIZE(bulk) ? 0 : ARRAY_SIZE(bulk));
		fault_expect_whole(test, heap, &blocks, FAULT_LIVE + n);
		chaos_heap_free_bulk(heap, n, bulk);
	}
	fault_finish(test, heap, &blocks);
}

/* As with failslab: unless told otherwise, who may wait gets what he asked for. */
static void waiters_ignored(struct kunit *test)
{
	struct chaos_heap *heap = chaos_test_heap(test, FAULT_POOL, 0);
	void *p;

	fault_arm(CHAOS_FAULT_REQUEST, 100, -1);
	chaos_faults.ignore_gfp_wait = true;
	p = chaos_heap_alloc(heap, 64, GFP_KERNEL);
	KUNIT_EXPECT_NOT_NULL(test, p);
	KUNIT_EXPECT_NULL(test, chaos_heap_alloc(heap, 64, GFP_ATOMIC | __GFP_NOWARN));
	fault_disarm();
	chaos_heap_free(heap, p);
	chaos_test_idle(test, heap, 0);
}

/* -------------------------------- the worker ------------------------------ */

/* Free memory is low: the worker cannot grow the heap, but will try again. */
static void worker_tries_again(struct kunit *test)
{
	struct chaos_heap *heap = chaos_test_heap(test, FAULT_POOL, FAULT_MAX);
	unsigned long end = jiffies + msecs_to_jiffies(FAULT_PATIENCE);
	struct chaos_heap_stats s;
	LLIST_HEAD(blocks);
	size_t live;

	fault_arm(CHAOS_FAULT_WORKER, 100, 2);
	live = chaos_test_exhaust(heap, FAULT_BLOCK, GFP_NOWAIT, &blocks);
	do {
		msleep(20);
		chaos_heap_stats(heap, &s);
		if (atomic_read(&chaos_faults.attr.times))
			KUNIT_ASSERT_EQ(test, s.grows, 0);
	} while (!s.grows && time_before(jiffies, end));
	KUNIT_EXPECT_EQ(test, atomic_read(&chaos_faults.attr.times), 0);
	KUNIT_EXPECT_GE(test, s.grows, 1);
	fault_disarm();
	fault_expect_whole(test, heap, &blocks, live);
	fault_finish(test, heap, &blocks);
}

/* ------------------------------- all at once ------------------------------ */

/* A third of everything fails, for a while; the heap grows, shrinks and is looked at. */
static void at_random(struct kunit *test)
{
	struct chaos_heap *heap = chaos_test_heap(test, SZ_256K, SZ_4M);
	struct chaos_test_tally tally = {};
	struct chaos_test_mill mill;
	int i, err, unknown = 0;

	chaos_test_mill_init(test, &mill, heap, 700, 12000);
	prandom_seed_state(&tally.rnd, 99);
	fault_arm(CHAOS_FAULT_REQUEST, 33, -1);
	for (i = 0; i < CHAOS_FAULTS; i++)
		chaos_faults.on[i] = true;
	for (i = 1; i <= 20000; i++) {
		chaos_test_mill_step(&mill, &tally, i % 3 ? GFP_KERNEL : GFP_NOWAIT);
		if (i % 500)
			continue;
		err = chaos_heap_check(heap);
		unknown += err == -ENOMEM;
		KUNIT_ASSERT_TRUE(test, err == 0 || err == -ENOMEM);
		chaos_heap_collect(heap, i % 1000);
	}
	fault_disarm();
	KUNIT_EXPECT_GT(test, tally.failed, 1000);
	KUNIT_EXPECT_GT(test, tally.made, 1000);
	KUNIT_EXPECT_LT(test, unknown, 40);
	KUNIT_EXPECT_EQ(test, tally.bad, 0);
	KUNIT_EXPECT_EQ(test, chaos_test_mill_empty(&mill), 0);
	chaos_test_idle(test, heap, 0);
}

static struct kunit_case fault_cases[] = {
	CHAOS_CASE_SLOW(sweep_create),
	CHAOS_CASE(create_fails),
	CHAOS_CASE_SLOW(sweep_add_pool),
	CHAOS_CASE_SLOW(sweep_grow),
	CHAOS_CASE(sweep_inspect),
	CHAOS_CASE(requests_fail),
	CHAOS_CASE(sweep_bulk),
	CHAOS_CASE(waiters_ignored),
	CHAOS_CASE_SLOW(worker_tries_again),
	CHAOS_CASE_SLOW(at_random),
	{}
};

static struct kunit_suite fault_suite = {
	.name = "chaos_fault",
	.init = fault_suite_init,
	.exit = fault_suite_exit,
	.test_cases = fault_cases,
};

kunit_test_suites(&fault_suite);
