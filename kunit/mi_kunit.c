// SPDX-License-Identifier: GPL-2.0
/*
 * White-box tests of the mimalloc engine: size classes, the recognition of
 * pointers, and each transition of a page between its states.
 */
#include <kunit/test.h>
#include <linux/irq_work.h>
#include <linux/smp.h>

#include "common.h"
#include "../mi_internal.h"

#define MI_TEST_POOL	(16UL << 20)
#define MI_TEST_SIZE	64

/* ------------------------------ size classes ------------------------------ */

static void mi_bins(struct kunit *test)
{
	size_t size, bad = 0;

	for (size = 1; size <= MI_BIN_MAX_SIZE; size++) {
		unsigned int bin = mi_bin(size);

		if (!bin || bin >= MI_BINS || mi_bin_size(bin) < size ||
		    mi_bin_size(bin - 1) >= size)
			bad++;
	}
	KUNIT_EXPECT_EQ(test, bad, 0);
	KUNIT_EXPECT_EQ(test, mi_bin(MI_BIN_MAX_SIZE), MI_BINS - 1);
	KUNIT_EXPECT_EQ(test, mi_bin_size(MI_BINS - 1), MI_BIN_MAX_SIZE);
}

/* Above the exact ones, a class is at most 12.5 % larger than the one below. */
static void mi_bin_steps(struct kunit *test)
{
	unsigned int bin;

	for (bin = MI_EXACT_BINS + 1; bin < MI_BINS; bin++) {
		size_t step = mi_bin_size(bin) - mi_bin_size(bin - 1);

		KUNIT_EXPECT_LE(test, step * 8, mi_bin_size(bin - 1));
	}
}

static void mi_bins_aligned(struct kunit *test)
{
	size_t size, align, bad = 0;

	for (align = 8; align <= CHAOS_UNIT_SIZE; align *= 2) {
		for (size = 1; size <= CHAOS_UNIT_SIZE; size += 7) {
			size_t got = mi_bin_size(mi_bin_aligned(size, align));

			bad += got < size || got % align;
		}
	}
	KUNIT_EXPECT_EQ(test, bad, 0);
}

/* ------------------------------ the fixture ------------------------------- */

static struct chaos_heap *mi_test_heap(struct kunit *test)
{
	struct chaos_heap_params params = {
		.name = "mi_test",
		.allocator = "mimalloc",
		.pool_size = MI_TEST_POOL,
		.node = NUMA_NO_NODE,
	};
	struct chaos_heap *heap = chaos_test_create(test, &params);

	/* The background must not tidy up under the tests' eyes. */
	chaos_test_never(test, heap, CHAOS_OPT_RETIRE_DELAY);
	return chaos_test_exact(heap);
}

static struct mi_page *mi_test_page(const void *p)
{
	struct mi_page *page;

	preempt_disable();
	page = mi_page_of(chaos_pool_of(p), p);
	preempt_enable();
	return page;
}

static u64 mi_test_flags(struct mi_page *page)
{
	return atomic64_read(&page->thread_free) & (MI_OWNED | MI_LISTED);
}

static s32 mi_test_count(struct mi_page *page)
{
	return (s32)(atomic64_read(&page->thread_free) >> MI_COUNT_SHIFT);
}

/* Allocate all blocks of one page, and one more, so that it is noticed. */
static unsigned int mi_test_fill(struct kunit *test, struct chaos_heap *heap,
				 void **p, unsigned int max)
{
	struct mi_page *page;
	unsigned int n = 0;

	p[n++] = chaos_heap_alloc(heap, MI_TEST_SIZE, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, p[0]);
	page = mi_test_page(p[0]);
	while (n < max) {
		p[n] = chaos_heap_alloc(heap, MI_TEST_SIZE, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, p[n]);
		if (mi_test_page(p[n++]) != page)
			return n;
	}
	KUNIT_FAIL(test, "a page of more than %u blocks", max);
	return n;
}

#define MI_TEST_MAX	80

/* Two blocks of one page. */
static struct mi_page *mi_test_two(struct kunit *test, struct chaos_heap *heap,
				   void *p[2])
{
	p[0] = chaos_heap_alloc(heap, MI_TEST_SIZE, GFP_KERNEL);
	p[1] = chaos_heap_alloc(heap, MI_TEST_SIZE, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, p[0]);
	KUNIT_ASSERT_NOT_NULL(test, p[1]);
	KUNIT_ASSERT_PTR_EQ(test, mi_test_page(p[0]), mi_test_page(p[1]));
	return mi_test_page(p[0]);
}

static void mi_test_done(struct kunit *test, struct chaos_heap *heap)
{
	KUNIT_EXPECT_EQ(test, chaos_heap_check(heap), 0);
	chaos_test_destroy(test, heap);
}

/* Free, or allocate, as another context level would: in hardirq. */
struct mi_hardirq {
	struct irq_work work;
	struct chaos_heap *heap;
	void *p;
};

static void mi_hardirq_free(struct irq_work *work)
{
	struct mi_hardirq *h = container_of(work, struct mi_hardirq, work);

	chaos_heap_free(h->heap, h->p);
}

static void mi_hardirq_alloc(struct irq_work *work)
{
	struct mi_hardirq *h = container_of(work, struct mi_hardirq, work);

	h->p = chaos_heap_alloc(h->heap, MI_TEST_SIZE, GFP_ATOMIC);
}

static void mi_in_hardirq(struct mi_hardirq *h, void (*fn)(struct irq_work *))
{
	h->work = IRQ_WORK_INIT_HARD(fn);
	irq_work_queue(&h->work);
	irq_work_sync(&h->work);
}

static void mi_free_in_hardirq(struct chaos_heap *heap, void *p)
{
	struct mi_hardirq h = { .heap = heap, .p = p };

	mi_in_hardirq(&h, mi_hardirq_free);
}

static void *mi_alloc_in_hardirq(struct chaos_heap *heap)
{
	struct mi_hardirq h = { .heap = heap };

	mi_in_hardirq(&h, mi_hardirq_alloc);
	return h.p;
}

/*
 * ----------------------------- states of a page ---------------------------
 *
 * migrate_disable() keeps a test on one CPU, whose theaps it looks at.
 */

static void mi_owned_by_level(struct kunit *test)
{
	struct chaos_heap *heap = mi_test_heap(test);
	void *task, *hardirq;

	migrate_disable();
	task = chaos_heap_alloc(heap, MI_TEST_SIZE, GFP_KERNEL);
	hardirq = mi_alloc_in_hardirq(heap);
	KUNIT_ASSERT_NOT_NULL(test, task);
	KUNIT_ASSERT_NOT_NULL(test, hardirq);
	KUNIT_EXPECT_EQ(test, (int)mi_test_page(task)->theap->level, (int)MI_TASK);
	KUNIT_EXPECT_EQ(test, (int)mi_test_page(hardirq)->theap->level,
			(int)MI_HARDIRQ);
	migrate_enable();
	mi_test_done(test, heap);
}

/* A local free goes to the front of the free list, without touching thread_free. */
static void mi_local_free(struct kunit *test)
{
	struct chaos_heap *heap = mi_test_heap(test);
	struct mi_page *page;
	void *p[2];

	migrate_disable();
	page = mi_test_two(test, heap, p);
	KUNIT_EXPECT_EQ(test, mi_page_used(page), 2);
	chaos_heap_free(heap, p[0]);
	KUNIT_EXPECT_EQ(test, mi_page_used(page), 1);
	KUNIT_EXPECT_EQ(test, page->base + page->free, (unsigned long)p[0]);
	KUNIT_EXPECT_EQ(test, (u64)atomic64_read(&page->thread_free), MI_OWNED);
	migrate_enable();
	mi_test_done(test, heap);
}

/* A foreign free goes to thread_free and is counted there. */
static void mi_foreign_free(struct kunit *test)
{
	struct chaos_heap *heap = mi_test_heap(test);
	struct mi_page *page;
	void *p[2];

	migrate_disable();
	page = mi_test_two(test, heap, p);
	mi_free_in_hardirq(heap, p[0]);
	KUNIT_EXPECT_EQ(test, mi_page_used(page), 2);
	KUNIT_EXPECT_NE(test, page->base + page->free, (unsigned long)p[0]);
	KUNIT_EXPECT_EQ(test, mi_test_flags(page), MI_OWNED);
	KUNIT_EXPECT_EQ(test, mi_test_count(page), -1);
	KUNIT_EXPECT_EQ(test, chaos_heap_check(heap), 0);
	migrate_enable();
	mi_test_done(test, heap);
}

static void mi_full_is_disowned(struct kunit *test)
{
	struct chaos_heap *heap = mi_test_heap(test);
	struct mi_page *page;
	void *p[MI_TEST_MAX];
	unsigned int n;
	u64 moves;

	migrate_disable();
	n = mi_test_fill(test, heap, p, MI_TEST_MAX);
	page = mi_test_page(p[0]);
	KUNIT_EXPECT_NULL(test, page->theap);
	KUNIT_EXPECT_EQ(test, mi_test_flags(page), 0);
	KUNIT_EXPECT_EQ(test, mi_test_count(page), (s32)n - 1);
	KUNIT_EXPECT_EQ(test, page->reserved, n - 1);

	/* Who filled it takes it back with the first free; a walk may have missed it then. */
	moves = heap->engine->moves(heap);
	chaos_heap_free(heap, p[0]);
	KUNIT_EXPECT_EQ(test, heap->engine->moves(heap), moves + 1);
	KUNIT_EXPECT_PTR_EQ(test, page->theap, page->home);
	KUNIT_EXPECT_NOT_NULL(test, page->theap);
	KUNIT_EXPECT_EQ(test, mi_test_flags(page), MI_OWNED);
	KUNIT_EXPECT_EQ(test, mi_page_used(page), n - 2);
	migrate_enable();
	mi_test_done(test, heap);
}

/* Fill a page here and let the hardirq level free its first block: LISTED. */
static struct mi_page *mi_test_listed(struct kunit *test,
				      struct chaos_heap *heap, void **p,
				      unsigned int *n)
{
	struct mi_page *page;

	*n = mi_test_fill(test, heap, p, MI_TEST_MAX);
	page = mi_test_page(p[0]);
	mi_free_in_hardirq(heap, p[0]);
	KUNIT_ASSERT_EQ(test, mi_test_flags(page), MI_LISTED);
	KUNIT_ASSERT_EQ(test, mi_test_count(page), (s32)*n - 2);
	KUNIT_ASSERT_EQ(test, chaos_heap_check(heap), 0);
	return page;
}

static void mi_listed_is_adopted(struct kunit *test)
{
	struct chaos_heap *heap = mi_test_heap(test);
	struct mi_page *page;
	void *p[MI_TEST_MAX], *q;
	unsigned int n;

	migrate_disable();
	page = mi_test_listed(test, heap, p, &n);
	/* More frees while listed only count down. */
	chaos_heap_free(heap, p[1]);
	KUNIT_EXPECT_EQ(test, mi_test_flags(page), MI_LISTED);
	KUNIT_EXPECT_EQ(test, mi_test_count(page), (s32)n - 3);

	/* The hardirq level needs a page, and takes this one. */
	q = mi_alloc_in_hardirq(heap);
	KUNIT_EXPECT_PTR_EQ(test, mi_test_page(q), page);
	KUNIT_EXPECT_EQ(test, mi_test_flags(page), MI_OWNED);
	KUNIT_EXPECT_EQ(test, (int)page->theap->level, (int)MI_HARDIRQ);
	migrate_enable();
	mi_test_done(test, heap);
}

/*
 * The last free of a LISTED page gives it back, whoever frees, its former owner
 * included.
 */
static void mi_listed_is_freed(struct kunit *test)
{
	struct chaos_heap *heap = mi_test_heap(test);
	struct mi_page *page;
	void *p[MI_TEST_MAX];
	unsigned int n, i;

	migrate_disable();
	page = mi_test_listed(test, heap, p, &n);
	for (i = 1; i < n - 2; i++)
		chaos_heap_free(heap, p[i]);
	KUNIT_EXPECT_EQ(test, mi_test_count(page), 1);
	chaos_heap_free(heap, p[n - 2]);
	KUNIT_EXPECT_EQ(test, (u64)atomic64_read(&page->thread_free), 0);
	KUNIT_EXPECT_EQ(test, page->slices, 0);
	KUNIT_EXPECT_EQ(test, page->capacity, 0);
	migrate_enable();
	mi_test_done(test, heap);
}

static int mi_remote_alloc(void *arg)
{
	struct mi_hardirq *h = arg;

	h->p = chaos_heap_alloc(h->heap, MI_TEST_SIZE, GFP_KERNEL);
	return 0;
}

/* Another CPU adopts what this one has abandoned. */
static void mi_adopted_by_other_cpu(struct kunit *test)
{
	unsigned int here, there;
	struct chaos_heap *heap;
	struct mi_hardirq h = {};
	struct mi_page *page;
	void *p[MI_TEST_MAX];
	unsigned int n;

	heap = mi_test_heap(test);
	migrate_disable();
	here = smp_processor_id();
	there = cpumask_any_but(cpu_online_mask, here);
	if (there >= nr_cpu_ids) {
		migrate_enable();
		chaos_test_destroy(test, heap);
		kunit_skip(test, "one CPU only");
	}
	page = mi_test_listed(test, heap, p, &n);
	h.heap = heap;
	KUNIT_EXPECT_EQ(test, smp_call_on_cpu(there, mi_remote_alloc, &h, false),
			0);
	KUNIT_EXPECT_PTR_EQ(test, mi_test_page(h.p), page);
	KUNIT_EXPECT_EQ(test, mi_test_flags(page), MI_OWNED);
	migrate_enable();
	mi_test_done(test, heap);
}

static bool mi_count_visit(struct chaos_heap *heap, void *p, size_t size,
			   void *arg)
{
	unsigned int *n = arg;

	++*n;
	return true;
}

/* A walk finds the blocks of a FULL, a LISTED, an owned and a single page. */
static void mi_walk_states(struct kunit *test)
{
	struct chaos_heap *heap = mi_test_heap(test);
	unsigned int first, second, walked = 0;
	void *p[MI_TEST_MAX], *q[MI_TEST_MAX];

	migrate_disable();
	first = mi_test_fill(test, heap, p, MI_TEST_MAX);
	second = mi_test_fill(test, heap, q, MI_TEST_MAX);
	KUNIT_ASSERT_NOT_NULL(test, chaos_heap_alloc(heap, MI_BIN_MAX_SIZE + 1,
						     GFP_KERNEL));
	/* The first page, LISTED, and the last one, owned, get a hole each. */
	mi_free_in_hardirq(heap, p[0]);
	KUNIT_EXPECT_EQ(test, mi_test_flags(mi_test_page(p[1])), MI_LISTED);
	KUNIT_EXPECT_EQ(test, mi_test_flags(mi_test_page(q[0])), 0);
	chaos_heap_free(heap, q[second - 1]);
	KUNIT_EXPECT_EQ(test, chaos_heap_walk(heap, mi_count_visit, &walked), 0);
	KUNIT_EXPECT_EQ(test, walked, first - 1 + second - 1 + 1);
	migrate_enable();
	mi_test_done(test, heap);
}

/* A block larger than the largest class has a page of its own. */
static void mi_single(struct kunit *test)
{
	struct chaos_heap *heap = mi_test_heap(test);
	struct mi_page *page;
	void *p;

	p = chaos_heap_alloc(heap, MI_BIN_MAX_SIZE + 1, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, p);
	page = mi_test_page(p);
	KUNIT_EXPECT_EQ(test, page->bin, 0);
	KUNIT_EXPECT_EQ(test, page->reserved, 1);
	KUNIT_EXPECT_EQ(test, mi_test_flags(page), 0);
	KUNIT_EXPECT_EQ(test, mi_test_count(page), 1);
	chaos_heap_free(heap, p);
	KUNIT_EXPECT_EQ(test, page->slices, 0);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&heap->held), 0);
	mi_test_done(test, heap);
}

/* ------------------------------- what is checked -------------------------- */

/* Of all addresses of a page, exactly the blocks' starts are accepted. */
static void mi_exact_pointers(struct kunit *test)
{
	const size_t sizes[] = { max(8UL, CHAOS_SAN_MIN_SIZE), 24, 144, 1024, 7168 };
	unsigned int i, bad = 0, refused = 0;
	struct chaos_heap *heap = mi_test_heap(test);
	struct chaos_heap_stats stats;
	size_t offset;

	migrate_disable();
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		char *p = chaos_heap_alloc(heap, sizes[i], GFP_KERNEL);
		char *q = chaos_heap_alloc(heap, sizes[i], GFP_KERNEL);

		KUNIT_ASSERT_NOT_NULL(test, p);
		KUNIT_ASSERT_NOT_NULL(test, q);
		for (offset = 1; offset < sizes[i]; offset++) {
			bad += chaos_heap_usable_size(heap, p + offset) != 0;
			refused++;
		}
		bad += chaos_heap_usable_size(heap, p) != sizes[i];
		bad += chaos_heap_usable_size(heap, q) != sizes[i];
	}
	migrate_enable();
	KUNIT_EXPECT_EQ(test, bad, 0);
	chaos_heap_stats(heap, &stats);
	KUNIT_EXPECT_EQ(test, stats.bad_frees, refused);
	mi_test_done(test, heap);
}

/*
 * A write to a freed block destroys the free list.  That is noticed before the
 * link is followed, and costs no more than that block and those behind it.
 * @victim is the second block of the list, 1, or the first one, 2.
 */
static void mi_corrupt(struct kunit *test, unsigned int victim)
{
	struct chaos_heap *heap = mi_test_heap(test);
	struct chaos_heap_stats stats;
	void *p[MI_TEST_MAX], *q;
	unsigned int n, i, lost = 0;

	migrate_disable();
	n = mi_test_fill(test, heap, p, MI_TEST_MAX);
	for (i = 0; i < 3; i++)
		chaos_heap_free(heap, p[i]);
	/* p[0] has claimed the page; p[2] leads to p[1]. */
	memset(p[victim], 0x41, 8);
	/* Use up the page that is allocated from, then the damaged one. */
	for (i = 0; i < 2 * n; i++) {
		q = chaos_heap_alloc(heap, MI_TEST_SIZE, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, q);
		lost += q == p[1] || (victim == 2 && q == p[2]);
		memset(q, 0x42, MI_TEST_SIZE);
	}
	migrate_enable();
	KUNIT_EXPECT_EQ(test, lost, 0);
	chaos_heap_stats(heap, &stats);
	KUNIT_EXPECT_EQ(test, stats.bad_frees, 1);
	mi_test_done(test, heap);
}

static void mi_corrupt_first(struct kunit *test)
{
	mi_corrupt(test, 2);
}

static void mi_corrupt_second(struct kunit *test)
{
	mi_corrupt(test, 1);
}

/*
 * Two frees of one block at once: one has found it live, then the other one gives
 * its page back.  Forge what the first one saw; it must not claim the page.
 */
static void mi_push_to_free_page(struct kunit *test)
{
	struct chaos_heap *heap = mi_test_heap(test);
	struct chaos_heap_stats stats;
	struct mi_page *page;
	void *p;

	p = chaos_heap_alloc(heap, MI_BIN_MAX_SIZE + 1, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, p);
	page = mi_test_page(p);
	chaos_heap_free(heap, p);
	KUNIT_EXPECT_EQ(test, (u64)atomic64_read(&page->thread_free), 0);

	page->capacity = 1;
	*(unsigned long *)p = 0;
	chaos_heap_free(heap, p);
	page->capacity = 0;
	KUNIT_EXPECT_EQ(test, (u64)atomic64_read(&page->thread_free), 0);
	chaos_heap_stats(heap, &stats);
	KUNIT_EXPECT_EQ(test, stats.bad_frees, 1);
	mi_test_done(test, heap);
}

/* chaos_heap_check() sees what it is meant to see. */
static void mi_check_finds(struct kunit *test)
{
	struct chaos_heap *heap = mi_test_heap(test);
	struct mi_page *page;
	void *p;

	migrate_disable();
	p = chaos_heap_alloc(heap, MI_TEST_SIZE, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, p);
	page = mi_test_page(p);

	page->allocs++;
	KUNIT_EXPECT_EQ(test, chaos_heap_check(heap), -EUCLEAN);
	page->allocs--;
	page->bin++;
	KUNIT_EXPECT_EQ(test, chaos_heap_check(heap), -EUCLEAN);
	page->bin--;
	atomic64_andnot(MI_OWNED, &page->thread_free);
	KUNIT_EXPECT_EQ(test, chaos_heap_check(heap), -EUCLEAN);
	atomic64_or(MI_OWNED, &page->thread_free);
	atomic_long_inc(&heap->held);
	KUNIT_EXPECT_EQ(test, chaos_heap_check(heap), -EUCLEAN);
	atomic_long_dec(&heap->held);
	migrate_enable();
	mi_test_done(test, heap);
}

static struct kunit_case mi_cases[] = {
	KUNIT_CASE(mi_bins),
	KUNIT_CASE(mi_bin_steps),
	KUNIT_CASE(mi_bins_aligned),
	KUNIT_CASE(mi_owned_by_level),
	KUNIT_CASE(mi_local_free),
	KUNIT_CASE(mi_foreign_free),
	KUNIT_CASE(mi_full_is_disowned),
	KUNIT_CASE(mi_listed_is_adopted),
	KUNIT_CASE(mi_listed_is_freed),
	KUNIT_CASE(mi_adopted_by_other_cpu),
	KUNIT_CASE(mi_walk_states),
	KUNIT_CASE(mi_single),
	KUNIT_CASE(mi_exact_pointers),
	KUNIT_CASE(mi_corrupt_first),
	KUNIT_CASE(mi_corrupt_second),
	KUNIT_CASE(mi_push_to_free_page),
	KUNIT_CASE(mi_check_finds),
	{}
};

static struct kunit_suite mi_suite = {
	.name = "chaos_mimalloc",
	.test_cases = mi_cases,
};

kunit_test_suite(mi_suite);
