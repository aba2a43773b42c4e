// SPDX-License-Identifier: GPL-2.0
/*
 * Suite chaos_retire: what mimalloc's contexts keep is given back after a while,
 * by itself, and not before.
 */
#include <linux/delay.h>
#include <linux/ktime.h>

#include "common.h"

#define RETIRE_POOL	SZ_4M
#define RETIRE_BLOCKS	300
#define RETIRE_DELAY	1500	/* ms */
#define RETIRE_LATEST	(20 * RETIRE_DELAY)

static void set_delay(struct kunit *test, struct chaos_heap *heap, unsigned long ms)
{
	KUNIT_ASSERT_EQ(test, chaos_heap_set_option(heap, CHAOS_OPT_RETIRE_DELAY, ms), 0);
}

/* Nothing is given back before there is another delay. */
static struct chaos_heap *retire_heap(struct kunit *test)
{
	struct chaos_heap *heap = chaos_test_heap_of(test, "mimalloc", RETIRE_POOL, 0);

	chaos_test_never(test, heap, CHAOS_OPT_RETIRE_DELAY);
	return heap;
}

/**
 * struct retiree - blocks of a few size classes at one place
 * @heap: their heap
 * @p: the blocks
 * @keep: how many of each 100 stay live
 */
struct retiree {
	struct chaos_heap *heap;
	void *p[RETIRE_BLOCKS];
	unsigned int keep;
};

static void make_blocks(void *arg)
{
	static const size_t sizes[] = { 40, 592, 3000 };
	struct retiree *r = arg;
	unsigned int i;

	for (i = 0; i < RETIRE_BLOCKS; i++)
		r->p[i] = chaos_heap_alloc(r->heap, sizes[i % ARRAY_SIZE(sizes)],
					   GFP_ATOMIC);
}

static void free_blocks(void *arg)
{
	struct retiree *r = arg;
	unsigned int i;

	for (i = 0; i < RETIRE_BLOCKS; i++) {
		if (i % 100 < r->keep)
			continue;
		chaos_heap_free(r->heap, r->p[i]);
		r->p[i] = NULL;
	}
}

static size_t held(struct chaos_heap *heap)
{
	struct chaos_heap_stats s;

	chaos_heap_stats(heap, &s);
	return s.held_bytes;
}

/*
 * Held now, still held before the delay is over, but not for ever after.  That there is
 * something to give back is seen before there is a delay, however slow the machine is.
 */
static void expect_retired(struct kunit *test, struct chaos_heap *heap,
			   ktime_t freed)
{
	size_t before = held(heap);
	s64 ms;

	KUNIT_EXPECT_GT(test, before, 0);
	set_delay(test, heap, RETIRE_DELAY);
	msleep(RETIRE_DELAY / 4);
	if (held(heap) != before) {
		/* A machine that is very slow, or too early. */
		ms = ktime_ms_delta(ktime_get(), freed);
		KUNIT_EXPECT_GE(test, ms, RETIRE_DELAY);
	}
	do {
		msleep(RETIRE_DELAY / 10);
		ms = ktime_ms_delta(ktime_get(), freed);
	} while (held(heap) && ms < RETIRE_LATEST);
	KUNIT_EXPECT_EQ(test, held(heap), 0);
	kunit_info(test, "%zu KiB were kept; all given back after %lld ms",
		   before / SZ_1K, ms);
	chaos_test_idle(test, heap, 0);
}

static void retire(struct kunit *test, const struct chaos_test_place *from,
		   const struct chaos_test_place *by)
{
	struct retiree *r = chaos_test_buf(test, 1, sizeof(*r));
	ktime_t freed;

	r->heap = retire_heap(test);
	/* The delay of what the blocks are in may begin as soon as they are made. */
	freed = ktime_get();
	KUNIT_ASSERT_EQ(test, chaos_test_at(from, make_blocks, r), 0);
	KUNIT_ASSERT_EQ(test, chaos_test_at(by, free_blocks, r), 0);
	expect_retired(test, r->heap, freed);
}

/* The owner's own empty pages. */
static void own_pages(struct kunit *test)
{
	struct chaos_test_place here = {};

	chaos_test_cpus(test, &here.cpu, 1);
	retire(test, &here, &here);
}

/* Pages of an owner that does not run again, emptied by somebody else. */
static void pages_of_idle_cpu(struct kunit *test)
{
	struct chaos_test_place from = {}, by = {};
	unsigned int cpus[2];

	chaos_test_cpus(test, cpus, 2);
	from.cpu = cpus[1];
	by.cpu = cpus[0];
	retire(test, &from, &by);
}

static void pages_of_idle_hardirq(struct kunit *test)
{
	struct chaos_test_place from = { .hardirq = true }, by = {};

	chaos_test_cpus(test, &from.cpu, 1);
	by.cpu = from.cpu;
	retire(test, &from, &by);
}

/* Pages that are partly live become everybody's when their owner is idle. */
static void live_pages_of_idle_cpu(struct kunit *test)
{
	struct retiree *r = chaos_test_buf(test, 1, sizeof(*r));
	struct chaos_test_place from = {}, by = {};
	struct chaos_heap_stats s;
	unsigned int cpus[2], tries;
	size_t before;
	void *p;

	chaos_test_cpus(test, cpus, 2);
	from.cpu = cpus[1];
	by.cpu = cpus[0];
	r->heap = retire_heap(test);
	set_delay(test, r->heap, RETIRE_DELAY);
	r->keep = 10;
	KUNIT_ASSERT_EQ(test, chaos_test_at(&from, make_blocks, r), 0);
	KUNIT_ASSERT_EQ(test, chaos_test_at(&from, free_blocks, r), 0);
	for (tries = 0; tries < RETIRE_LATEST / 100; tries++) {
		chaos_heap_stats(r->heap, &s);
		if (s.abandoned_pages == s.pages)
			break;
		msleep(100);
	}
	KUNIT_EXPECT_GT(test, s.pages, 0);
	KUNIT_EXPECT_EQ(test, s.abandoned_pages, s.pages);

	/* One more of each class: no more pages. */
	before = s.held_bytes;
	KUNIT_ASSERT_EQ(test, set_cpus_allowed_ptr(current, cpumask_of(by.cpu)), 0);
	p = chaos_heap_alloc(r->heap, 592, GFP_ATOMIC);
	KUNIT_EXPECT_NOT_NULL(test, p);
	KUNIT_EXPECT_EQ(test, held(r->heap), before);
	chaos_heap_free(r->heap, p);
	r->keep = 0;
	free_blocks(r);
	chaos_test_idle(test, r->heap, 0);
}

/* The longest delay: nothing is given back, until it is asked for. */
static void not_before(struct kunit *test)
{
	struct retiree *r = chaos_test_buf(test, 1, sizeof(*r));
	struct chaos_test_place here = {};
	size_t before;

	chaos_test_cpus(test, &here.cpu, 1);
	r->heap = retire_heap(test);
	chaos_test_at(&here, make_blocks, r);
	chaos_test_at(&here, free_blocks, r);
	before = held(r->heap);
	KUNIT_EXPECT_GT(test, before, 0);
	msleep(2 * RETIRE_DELAY);
	KUNIT_EXPECT_EQ(test, held(r->heap), before);
	chaos_heap_collect(r->heap, false);
	KUNIT_EXPECT_EQ(test, held(r->heap), before);
	chaos_test_collect(r->heap);
	KUNIT_EXPECT_EQ(test, held(r->heap), 0);
	chaos_test_idle(test, r->heap, 0);
}

/* A context that goes on with its work keeps what it works with. */
static void busy_keeps(struct kunit *test)
{
	struct chaos_heap *heap = retire_heap(test);
	struct chaos_heap_stats first, last;
	unsigned int i;
	void *p;

	set_delay(test, heap, 100);
	chaos_test_bind(test);
	chaos_heap_free(heap, chaos_heap_alloc(heap, 592, GFP_KERNEL));
	chaos_heap_stats(heap, &first);
	for (i = 0; i < 100; i++) {
		p = chaos_heap_alloc(heap, 592, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, p);
		chaos_heap_free(heap, p);
		usleep_range(4000, 6000);
	}
	chaos_heap_stats(heap, &last);
	KUNIT_EXPECT_EQ(test, last.held_bytes, first.held_bytes);
	KUNIT_EXPECT_EQ(test, last.peak_held_bytes, first.peak_held_bytes);
	chaos_test_idle(test, heap, 0);
}

/* The delay counts from when it is set: what waits for a longer one need not. */
static void shorter_delay(struct kunit *test)
{
	struct retiree *r = chaos_test_buf(test, 1, sizeof(*r));
	struct chaos_test_place here = {};
	unsigned int tries;

	chaos_test_cpus(test, &here.cpu, 1);
	r->heap = retire_heap(test);
	chaos_test_at(&here, make_blocks, r);
	chaos_test_at(&here, free_blocks, r);
	KUNIT_EXPECT_GT(test, held(r->heap), 0);
	set_delay(test, r->heap, 10);
	for (tries = 0; tries < 100 && held(r->heap); tries++)
		msleep(100);
	KUNIT_EXPECT_EQ(test, held(r->heap), 0);
	chaos_test_idle(test, r->heap, 0);
}

static struct kunit_case retire_cases[] = {
	KUNIT_CASE(own_pages),
	KUNIT_CASE(pages_of_idle_cpu),
	KUNIT_CASE(pages_of_idle_hardirq),
	KUNIT_CASE(live_pages_of_idle_cpu),
	KUNIT_CASE(not_before),
	KUNIT_CASE(busy_keeps),
	KUNIT_CASE(shorter_delay),
	{}
};

static struct kunit_suite retire_suite = {
	.name = "chaos_retire",
	.test_cases = retire_cases,
};

kunit_test_suites(&retire_suite);
