// SPDX-License-Identifier: GPL-2.0
/*
 * Suite chaos_race, on kernels with KCSAN: does it see what the engines do without
 * locks, or is it silent because it does not look?
 *
 * A plain read of a word that frees on another CPU change, as if somebody had
 * forgotten to mark it, has to be reported.  It is announced in the log, where
 * tools/expected.awk takes what has been announced for granted, once.
 */
#include <linux/sizes.h>
#include <linux/workqueue.h>

#include "common.h"
#include "../mi_internal.h"

#define RACE_SIZE	64
#define RACE_BLOCKS	256
#define RACE_ROUNDS	1000	/* a handful, as a rule */

/**
 * struct race - frees on one CPU, reads on another
 * @heap: of mimalloc
 * @page: where the last of the blocks is
 * @blocks: what the other CPU frees
 * @work: does so
 * @freed: all of them
 */
struct race {
	struct chaos_heap *heap;
	struct mi_page *page;
	void *blocks[RACE_BLOCKS];
	struct work_struct work;
	bool freed;
};

static void race_free(struct work_struct *work)
{
	struct race *race = container_of(work, struct race, work);
	unsigned int i;

	for (i = 0; i < RACE_BLOCKS; i++)
		chaos_heap_free(race->heap, race->blocks[i]);
	/* After the last block; pairs with race_round(). */
	smp_store_release(&race->freed, true);
}

/* For the compiler not to drop the read */
static s64 race_sink;

/* Of a block that is live.  The struct stays, whatever becomes of the page. */
static struct mi_page *race_page(const void *p)
{
	struct mi_page *page;

	preempt_disable();
	page = mi_page_of(chaos_pool_of(p), p);
	preempt_enable();
	return page;
}

/* The report names it. */
static noinline void race_round(struct kunit *test, struct race *race, unsigned int cpu)
{
	unsigned int i;

	for (i = 0; i < RACE_BLOCKS; i++) {
		race->blocks[i] = chaos_heap_alloc(race->heap, RACE_SIZE, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, race->blocks[i]);
	}
	race->page = race_page(race->blocks[RACE_BLOCKS - 1]);
	race->freed = false;
	schedule_work_on(cpu, &race->work);
	/* Before the blocks are other ones; pairs with race_free(). */
	while (!smp_load_acquire(&race->freed)) {
		/* Plain, as if the mark had been forgotten */
		WRITE_ONCE(race_sink, race->page->thread_free.counter);
		cond_resched();
	}
	flush_work(&race->work);
}

static void unmarked_read(struct kunit *test)
{
	struct chaos_heap *heap = chaos_test_heap_of(test, "mimalloc", SZ_4M, 0);
	struct race *race = chaos_test_buf(test, 1, sizeof(*race));
	unsigned int cpus[2], round;
	struct kmsg_dump_iter log;
	size_t reports = 0;

	chaos_test_cpus(test, cpus, ARRAY_SIZE(cpus));
	KUNIT_ASSERT_EQ(test, set_cpus_allowed_ptr(current, cpumask_of(cpus[0])), 0);
	race->heap = heap;
	INIT_WORK(&race->work, race_free);
	chaos_test_log_start(&log);
	pr_info("chaos_provoke: expect 1: BUG: KCSAN: data-race in * race_round\n");
	for (round = 0; !reports && round < RACE_ROUNDS; round++) {
		race_round(test, race, cpus[1]);
		reports = chaos_test_log_lines(&log, "/ race_round");
	}
	pr_info("chaos_provoke: expect end\n");
	kunit_info(test, "%u rounds\n", round);
	KUNIT_EXPECT_EQ(test, reports, 1);
	chaos_test_idle(test, heap, 0);
}

static struct kunit_case race_cases[] = {
	KUNIT_CASE_SLOW(unmarked_read),
	{}
};

static struct kunit_suite race_suite = {
	.name = "chaos_race",
	.test_cases = race_cases,
};

kunit_test_suites(&race_suite);
