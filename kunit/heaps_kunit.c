// SPDX-License-Identifier: GPL-2.0
/*
 * Suite chaos_heaps: many heaps at once, and heaps that come and go.
 */
#include <linux/mm.h>
#include <linux/sort.h>

#include "common.h"

CHAOS_TEST_ENGINE_PARAM();

#define HEAPS		5
#define THREADS		6
#define STEPS		(20000 / CHAOS_TEST_FEWER)
#define SLOTS		300

struct extent {
	unsigned long start;
	unsigned long end;
};

/**
 * struct zoo - heaps that all threads use
 * @mill: one for each heap
 * @tally: one for each thread
 * @extent: of all live blocks
 * @nr_extents: their number
 * @max_extents: room in @extent
 */
struct zoo {
	struct chaos_test_mill mill[HEAPS];
	struct chaos_test_tally tally[THREADS];
	struct extent *extent;
	size_t nr_extents;
	size_t max_extents;
};

static void zoo_thread(struct chaos_test_thread *self)
{
	struct zoo *zoo = self->arg;
	struct chaos_test_tally *tally = &zoo->tally[self->nr];
	u32 i, k;

	prandom_seed_state(&tally->rnd, 10 + self->nr);
	for (i = 0; i < STEPS; i++) {
		k = chaos_test_below(&tally->rnd, HEAPS);
		chaos_test_mill_step(&zoo->mill[k], tally, GFP_KERNEL);
		if (i % 1024 == 0)
			cond_resched();
	}
}

static bool note_extent(struct chaos_heap *heap, void *p, size_t size, void *arg)
{
	struct zoo *zoo = arg;

	if (zoo->nr_extents < zoo->max_extents) {
		zoo->extent[zoo->nr_extents].start = (unsigned long)p;
		zoo->extent[zoo->nr_extents].end = (unsigned long)p + size;
	}
	zoo->nr_extents++;
	return true;
}

static int compare_extent(const void *a, const void *b)
{
	const struct extent *x = a, *y = b;

	return x->start < y->start ? -1 : x->start > y->start;
}

static void expect_disjoint(struct kunit *test, struct zoo *zoo)
{
	size_t i, overlaps = 0;

	zoo->nr_extents = 0;
	for (i = 0; i < HEAPS; i++) {
		KUNIT_EXPECT_EQ(test, chaos_heap_walk(zoo->mill[i].heap,
						      note_extent, zoo), 0);
	}
	KUNIT_ASSERT_LE(test, zoo->nr_extents, zoo->max_extents);
	KUNIT_EXPECT_GT(test, zoo->nr_extents, 0);
	sort(zoo->extent, zoo->nr_extents, sizeof(*zoo->extent), compare_extent,
	     NULL);
	for (i = 1; i < zoo->nr_extents; i++)
		overlaps += zoo->extent[i].start < zoo->extent[i - 1].end;
	KUNIT_EXPECT_EQ(test, overlaps, 0);
}

static void five_heaps(struct kunit *test)
{
	struct zoo *zoo = chaos_test_buf(test, 1, sizeof(*zoo));
	struct chaos_test_thread *threads;
	struct chaos_heap *heap;
	unsigned int i, k;

	zoo->max_extents = HEAPS * SLOTS;
	zoo->extent = chaos_test_buf(test, zoo->max_extents, sizeof(*zoo->extent));
	threads = chaos_test_buf(test, THREADS, sizeof(*threads));
	for (i = 0; i < HEAPS; i++) {
		k = i % CHAOS_TEST_ENGINES;
		heap = chaos_test_heap_of(test, chaos_test_engines[k].name, SZ_4M,
					  SZ_16M);
		chaos_test_mill_init(test, &zoo->mill[i], heap, SLOTS, SZ_8K);
	}
	for (i = 0; i < THREADS; i++) {
		threads[i].fn = zoo_thread;
		threads[i].arg = zoo;
		threads[i].cpu = -1;
	}
	KUNIT_EXPECT_EQ(test, chaos_test_run(threads, THREADS), 0);

	expect_disjoint(test, zoo);
	for (i = 0; i < THREADS; i++) {
		KUNIT_EXPECT_GT(test, zoo->tally[i].made, 0);
		KUNIT_EXPECT_EQ(test, zoo->tally[i].failed, 0);
		KUNIT_EXPECT_EQ(test, zoo->tally[i].bad, 0);
	}
	for (i = 0; i < HEAPS; i++) {
		KUNIT_EXPECT_EQ(test, chaos_test_mill_empty(&zoo->mill[i]), 0);
		chaos_test_idle(test, zoo->mill[i].heap, 0);
	}
}

#define COMINGS		(100 / min(CHAOS_TEST_FEWER, 4))

/* Were the pools not given back, so much less memory would be available. */
static void come_and_go(struct kunit *test)
{
	struct chaos_test_mill mill;
	struct chaos_test_tally tally = {};
	struct chaos_heap *heap;
	unsigned int i, k;
	long before, lost;

	prandom_seed_state(&tally.rnd, 6);
	chaos_test_mill_init(test, &mill, NULL, 64, SZ_64K);
	before = si_mem_available();
	for (i = 0; i < COMINGS; i++) {
		heap = chaos_test_heap(test, SZ_2M, SZ_16M);
		mill.heap = heap;
		for (k = 0; k < 200; k++)
			chaos_test_mill_step(&mill, &tally, GFP_KERNEL);
		chaos_test_sound(test, heap);
		/* With what is in the slots. */
		memset(mill.slots, 0, mill.nr_slots * sizeof(*mill.slots));
		chaos_test_destroy(test, heap);
	}
	lost = (before - si_mem_available()) << (PAGE_SHIFT - 10);
	KUNIT_EXPECT_LT(test, lost, COMINGS * (SZ_2M >> 10) / 2);
	KUNIT_EXPECT_EQ(test, tally.failed, 0);
	KUNIT_EXPECT_EQ(test, tally.bad, 0);
}

static void visit_heaps(struct chaos_test_thread *self)
{
	const struct chaos_heap_params params = {
		.name = "kunit-visit",
		.allocator = chaos_test_engines[self->nr % CHAOS_TEST_ENGINES].name,
		.pool_size = SZ_256K,
		.node = NUMA_NO_NODE,
	};
	struct chaos_test_tally *tally = self->arg;
	unsigned int i, k;

	for (i = 0; i < COMINGS; i++) {
		struct chaos_heap *heap = chaos_heap_create(&params);
		struct chaos_test_block *b[16] = {};

		if (IS_ERR_OR_NULL(heap)) {
			tally->failed++;
			continue;
		}
		for (k = 0; k < ARRAY_SIZE(b); k++) {
			b[k] = chaos_test_make(heap, 100 << k % 4, GFP_KERNEL, k);
			tally->failed += !b[k];
		}
		for (k = 0; k < ARRAY_SIZE(b); k++)
			tally->bad += b[k] && !chaos_test_unmake(heap, b[k]);
		tally->bad += !!chaos_heap_check(heap) + chaos_test_live(heap);
		chaos_heap_destroy(heap);
	}
}

/* Several at once, while another heap is in use. */
static void come_and_go_at_once(struct kunit *test)
{
	struct chaos_test_thread *threads;
	struct chaos_test_tally *tally;
	unsigned int i;

	threads = chaos_test_buf(test, THREADS, sizeof(*threads));
	tally = chaos_test_buf(test, THREADS, sizeof(*tally));
	for (i = 0; i < THREADS; i++) {
		threads[i].fn = visit_heaps;
		threads[i].arg = &tally[i];
		threads[i].cpu = -1;
	}
	KUNIT_EXPECT_EQ(test, chaos_test_run(threads, THREADS), 0);
	for (i = 0; i < THREADS; i++) {
		KUNIT_EXPECT_EQ(test, tally[i].failed, 0);
		KUNIT_EXPECT_EQ(test, tally[i].bad, 0);
	}
}

static struct kunit_case heaps_cases[] = {
	KUNIT_CASE(five_heaps),
	CHAOS_CASE(come_and_go),
	KUNIT_CASE(come_and_go_at_once),
	{}
};

static struct kunit_suite heaps_suite = {
	.name = "chaos_heaps",
	.test_cases = heaps_cases,
};

kunit_test_suites(&heaps_suite);
