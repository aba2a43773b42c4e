// SPDX-License-Identifier: GPL-2.0
/*
 * Suite chaos_bulk: many blocks with one call, and misuse within one.
 */
#include "common.h"

CHAOS_TEST_ENGINE_PARAM();

#define BULK_MAX	2000

static const size_t bulk_sizes[] = { 8, 16, 100, 592, 1024, 4096, 20000 };

static struct chaos_heap *bulk_heap(struct kunit *test)
{
	struct chaos_heap *heap = chaos_test_heap(test, SZ_64M, 0);

	chaos_test_bind(test);
	return heap;
}

/* Each is as large as it has to be, aligned, and nobody else's. */
static size_t use_blocks(struct chaos_heap *heap, void **p, size_t n, size_t size)
{
	size_t i, bad = 0;

	for (i = 0; i < n; i++) {
		bad += !IS_ALIGNED((unsigned long)p[i], CHAOS_MIN_ALIGN);
		bad += chaos_heap_usable_size(heap, p[i]) < size;
		chaos_test_fill(p[i], size, (unsigned long)p[i] + i);
	}
	for (i = 0; i < n; i++)
		bad += !chaos_test_filled(p[i], size, (unsigned long)p[i] + i);
	return bad;
}

static void contents(struct kunit *test)
{
	static const size_t numbers[] = { 1, 2, 7, 64, 333, BULK_MAX };
	struct chaos_heap *heap = bulk_heap(test);
	void **p = chaos_test_buf(test, BULK_MAX, sizeof(*p));
	size_t i, k, n;

	for (i = 0; i < ARRAY_SIZE(bulk_sizes); i++) {
		for (k = 0; k < ARRAY_SIZE(numbers); k++) {
			n = chaos_heap_alloc_bulk(heap, bulk_sizes[i], GFP_KERNEL,
						  numbers[k], p);
			KUNIT_ASSERT_EQ(test, n, numbers[k]);
			KUNIT_EXPECT_EQ(test, chaos_test_live(heap), n);
			KUNIT_EXPECT_EQ(test, use_blocks(heap, p, n, bulk_sizes[i]),
					0);
			chaos_heap_free_bulk(heap, n, p);
			chaos_test_idle(test, heap, 0);
		}
	}
	KUNIT_EXPECT_EQ(test, chaos_heap_alloc_bulk(heap, 64, GFP_KERNEL, 0, p), 0);
	chaos_heap_free_bulk(heap, 0, p);
	chaos_test_idle(test, heap, 0);
}

/* Blocks that were used before come back zeroed. */
static void zeroed(struct kunit *test)
{
	struct chaos_heap *heap = bulk_heap(test);
	void **p = chaos_test_buf(test, BULK_MAX, sizeof(*p));
	size_t i, k, n = BULK_MAX / 4, bad = 0;

	for (i = 0; i < ARRAY_SIZE(bulk_sizes); i++) {
		KUNIT_ASSERT_EQ(test, chaos_heap_alloc_bulk(heap, bulk_sizes[i],
							    GFP_KERNEL, n, p), n);
		KUNIT_EXPECT_EQ(test, use_blocks(heap, p, n, bulk_sizes[i]), 0);
		chaos_heap_free_bulk(heap, n, p);
		KUNIT_ASSERT_EQ(test, chaos_heap_alloc_bulk(heap, bulk_sizes[i],
							    GFP_KERNEL | __GFP_ZERO,
							    n, p), n);
		for (k = 0; k < n; k++)
			bad += !chaos_test_zeroed(p[k], bulk_sizes[i]);
		chaos_heap_free_bulk(heap, n, p);
	}
	KUNIT_EXPECT_EQ(test, bad, 0);
	chaos_test_idle(test, heap, 0);
}

/* Sizes and order of what is freed are nobody's business. */
static void any_order(struct kunit *test)
{
	struct chaos_heap *heap = bulk_heap(test);
	void **p = chaos_test_buf(test, BULK_MAX, sizeof(*p));
	struct rnd_state rnd;
	size_t i, k;

	prandom_seed_state(&rnd, 90);
	for (i = 0; i < BULK_MAX; i++) {
		p[i] = chaos_heap_alloc(heap, chaos_test_size(&rnd, SZ_8K), GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, p[i]);
	}
	for (i = BULK_MAX - 1; i > 0; i--) {
		k = chaos_test_below(&rnd, i + 1);
		swap(p[i], p[k]);
	}
	chaos_heap_free_bulk(heap, BULK_MAX / 3, p);
	KUNIT_EXPECT_EQ(test, chaos_test_live(heap), BULK_MAX - BULK_MAX / 3);
	chaos_test_sound(test, heap);
	chaos_heap_free_bulk(heap, BULK_MAX - BULK_MAX / 3, p + BULK_MAX / 3);
	chaos_test_idle(test, heap, 0);
}

/* ------------------------------ all or nothing ----------------------------- */

static void all_or_nothing(struct kunit *test)
{
	static const gfp_t gfps[] = { GFP_ATOMIC, GFP_KERNEL };
	struct chaos_heap *heap = chaos_test_heap(test, SZ_1M, 0);
	void **p = chaos_test_buf(test, SZ_1M / 64, sizeof(*p));
	struct chaos_heap_stats s;
	size_t fit, i;

	chaos_test_bind(test);
	/* How the last blocks fit in depends on the order of things. */
	fit = chaos_test_capacity(test, heap, 592) / 100 * 98;
	KUNIT_ASSERT_LT(test, 2 * fit, SZ_1M / 64);
	for (i = 0; i < ARRAY_SIZE(gfps); i++) {
		gfp_t gfp = gfps[i] | __GFP_NOWARN;

		chaos_heap_stats(heap, &s);
		KUNIT_EXPECT_EQ(test, chaos_heap_alloc_bulk(heap, 592, gfp,
							    2 * fit, p), 0);
		chaos_test_idle(test, heap, 0);
		KUNIT_ASSERT_EQ(test, chaos_heap_alloc_bulk(heap, 592, gfp, fit, p),
				fit);
		KUNIT_EXPECT_EQ(test, chaos_test_live(heap), fit);
		KUNIT_EXPECT_EQ(test, use_blocks(heap, p, fit, 592), 0);
		/* Not as many again, and nothing happens to what is live. */
		KUNIT_EXPECT_EQ(test, chaos_heap_alloc_bulk(heap, 592, gfp, fit,
							    p + fit), 0);
		KUNIT_EXPECT_EQ(test, use_blocks(heap, p, fit, 592), 0);
		KUNIT_EXPECT_EQ(test, chaos_test_live(heap), fit);
		chaos_heap_free_bulk(heap, fit, p);
		chaos_test_idle(test, heap, 0);
	}
	chaos_heap_stats(heap, &s);
	KUNIT_EXPECT_EQ(test, s.allocs, s.local_frees + s.foreign_frees);
}

/* -------------------------------- elsewhere -------------------------------- */

struct bulk_call {
	struct chaos_heap *heap;
	size_t size;
	size_t n;
	void **p;
	size_t bad;
};

static void bulk_alloc_here(void *arg)
{
	struct bulk_call *b = arg;

	b->n = chaos_heap_alloc_bulk(b->heap, b->size, GFP_ATOMIC, b->n, b->p);
	b->bad += use_blocks(b->heap, b->p, b->n, b->size);
}

static void bulk_free_here(void *arg)
{
	struct bulk_call *b = arg;
	size_t i;

	for (i = 0; i < b->n; i++)
		b->bad += !chaos_test_filled(b->p[i], b->size,
					     (unsigned long)b->p[i] + i);
	chaos_heap_free_bulk(b->heap, b->n, b->p);
}

static void bulk_from_to(struct kunit *test, const struct chaos_test_place *from,
			 const struct chaos_test_place *to)
{
	struct chaos_heap *heap = chaos_test_heap(test, SZ_16M, 0);
	struct bulk_call b = { .heap = heap };
	size_t i, turn, n = BULK_MAX / 4;

	b.p = chaos_test_buf(test, n, sizeof(*b.p));
	for (turn = 0; turn < 4; turn++) {
		for (i = 0; i < ARRAY_SIZE(bulk_sizes); i++) {
			b.size = bulk_sizes[i];
			b.n = n;
			KUNIT_ASSERT_EQ(test, chaos_test_at(from, bulk_alloc_here, &b),
					0);
			KUNIT_EXPECT_EQ(test, b.n, n);
			KUNIT_ASSERT_EQ(test, chaos_test_at(to, bulk_free_here, &b),
					0);
		}
		chaos_test_idle(test, heap, 0);
	}
	KUNIT_EXPECT_EQ(test, b.bad, 0);
	chaos_test_destroy(test, heap);
}

static void other_cpu_frees(struct kunit *test)
{
	struct chaos_test_place here = {}, there = {};
	unsigned int cpus[2];

	chaos_test_cpus(test, cpus, 2);
	here.cpu = cpus[0];
	there.cpu = cpus[1];
	bulk_from_to(test, &here, &there);
}

static void other_level_frees(struct kunit *test)
{
	struct chaos_test_place task = {}, irq = { .hardirq = true };

	chaos_test_cpus(test, &task.cpu, 1);
	irq.cpu = task.cpu;
	bulk_from_to(test, &task, &irq);
	bulk_from_to(test, &irq, &task);
}

/* ---------------------------------- misuse --------------------------------- */

#define MISUSE_BLOCKS	40

static void misuse_alloc(struct kunit *test, struct chaos_heap *heap, void **p)
{
	KUNIT_ASSERT_EQ(test, chaos_heap_alloc_bulk(heap, 592, GFP_KERNEL,
						    MISUSE_BLOCKS, p),
			MISUSE_BLOCKS);
}

/* Reported as often as it is freed again; the others are freed. */
static void double_free(struct kunit *test)
{
	struct chaos_heap *heap = bulk_heap(test);
	void *p[MISUSE_BLOCKS], *lost[3];
	unsigned long before;

	/* Next to each other, far apart, and the very last one. */
	misuse_alloc(test, heap, p);
	lost[0] = p[4];
	lost[1] = p[30];
	lost[2] = p[MISUSE_BLOCKS - 1];
	p[4] = p[3];
	p[30] = p[10];
	p[MISUSE_BLOCKS - 1] = p[0];
	before = chaos_test_bad_frees(heap);
	chaos_heap_free_bulk(heap, MISUSE_BLOCKS, p);
	KUNIT_EXPECT_EQ(test, chaos_test_bad_frees(heap), before + 3);
	KUNIT_EXPECT_EQ(test, chaos_test_live(heap), 3);
	chaos_test_sound(test, heap);
	chaos_heap_free_bulk(heap, 3, lost);
	chaos_test_idle(test, heap, 3);
	/* All of them once more. */
	chaos_heap_free_bulk(heap, 3, lost);
	chaos_test_idle(test, heap, 6);
}

static void foreign_free_twice(struct kunit *test)
{
	struct chaos_heap *heap = chaos_test_heap(test, SZ_16M, 0);
	struct chaos_test_place here = {}, there = {};
	struct bulk_call b = { .heap = heap, .size = 592, .n = MISUSE_BLOCKS };
	unsigned int cpus[2];
	void *lost;

	chaos_test_cpus(test, cpus, 2);
	here.cpu = cpus[0];
	there.cpu = cpus[1];
	b.p = chaos_test_buf(test, b.n, sizeof(*b.p));
	KUNIT_ASSERT_EQ(test, chaos_test_at(&here, bulk_alloc_here, &b), 0);
	KUNIT_ASSERT_EQ(test, b.n, MISUSE_BLOCKS);
	lost = b.p[7];
	b.p[7] = b.p[20];
	KUNIT_ASSERT_EQ(test, chaos_test_at(&there, bulk_free_here, &b), 0);
	chaos_test_sound(test, heap);
	KUNIT_EXPECT_EQ(test, chaos_test_bad_frees(heap), 1);
	KUNIT_EXPECT_EQ(test, chaos_test_live(heap), 1);
	chaos_heap_free(heap, lost);
	chaos_test_idle(test, heap, 1);
}

static void nulls_are_skipped(struct kunit *test)
{
	struct chaos_heap *heap = bulk_heap(test);
	void *p[MISUSE_BLOCKS], *kept[3];

	misuse_alloc(test, heap, p);
	kept[0] = p[0];
	kept[1] = p[17];
	kept[2] = p[MISUSE_BLOCKS - 1];
	p[0] = NULL;
	p[17] = ZERO_SIZE_PTR;
	p[MISUSE_BLOCKS - 1] = NULL;
	chaos_heap_free_bulk(heap, MISUSE_BLOCKS, p);
	KUNIT_EXPECT_EQ(test, chaos_test_live(heap), 3);
	chaos_heap_free_bulk(heap, 3, kept);
	chaos_test_idle(test, heap, 0);
}

/* Pointers that are no block, among some that are. */
static void wrong_pointers(struct kunit *test)
{
	struct chaos_heap *heap = bulk_heap(test);
	struct chaos_heap *other = chaos_test_heap(test, SZ_1M, 0);
	void *p[MISUSE_BLOCKS], *kept[3], *theirs;

	theirs = chaos_heap_alloc(other, 592, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, theirs);
	misuse_alloc(test, heap, p);
	kept[0] = p[1];
	kept[1] = p[2];
	kept[2] = p[30];
	p[1] = theirs;
	p[2] += 8;
	p[30] = kept;
	chaos_heap_free_bulk(heap, MISUSE_BLOCKS, p);
	KUNIT_EXPECT_EQ(test, chaos_test_bad_frees(heap), 3);
	KUNIT_EXPECT_EQ(test, chaos_test_live(heap), 3);
	KUNIT_EXPECT_EQ(test, chaos_test_live(other), 1);
	chaos_heap_free_bulk(heap, 3, kept);
	chaos_test_idle(test, heap, 3);
	chaos_heap_free(other, theirs);
	chaos_test_idle(test, other, 0);
}

static struct kunit_case bulk_cases[] = {
	CHAOS_CASE(contents),
	CHAOS_CASE(zeroed),
	CHAOS_CASE(any_order),
	CHAOS_CASE(all_or_nothing),
	CHAOS_CASE(other_cpu_frees),
	CHAOS_CASE(other_level_frees),
	CHAOS_CASE(double_free),
	CHAOS_CASE(foreign_free_twice),
	CHAOS_CASE(nulls_are_skipped),
	CHAOS_CASE(wrong_pointers),
	{}
};

static struct kunit_suite bulk_suite = {
	.name = "chaos_bulk",
	.test_cases = bulk_cases,
};

kunit_test_suites(&bulk_suite);
