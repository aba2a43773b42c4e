// SPDX-License-Identifier: GPL-2.0
/*
 * Suite chaos_sizes: every size from a byte to the heap's limit, every alignment,
 * and what realloc does between them.
 */
#include <linux/align.h>
#include <linux/log2.h>

#include "common.h"
#include "sanitize.h"

CHAOS_TEST_ENGINE_PARAM();

#define SIZES_POOL	SZ_64M
#define SIZES_MAX	(96UL << 20)
#define SIZES_CLASSES	256
#define SIZES_CLASS_MAX	SZ_4M
/* What a byte gets: kernels with kmemleak have no smaller blocks. */
#define SIZES_LEAST	max(8UL, CHAOS_SAN_MIN_SIZE)

/* -------------------------- mimalloc's size classes ------------------------ */

/**
 * struct sizes - a heap and its size classes
 * @heap: the heap
 * @n: number of classes, without the last one, which is for larger blocks
 * @size: bytes of each, ascending
 */
struct sizes {
	struct chaos_heap *heap;
	size_t n;
	size_t size[SIZES_CLASSES];
};

static struct sizes *sizes_of_mimalloc(struct kunit *test)
{
	struct chaos_heap *heap = chaos_test_heap_of(test, "mimalloc", SIZES_POOL, 0);
	struct sizes *s = chaos_test_buf(test, 1, sizeof(*s));
	struct chaos_class_stats *c;
	size_t i, n;

	c = chaos_test_buf(test, SIZES_CLASSES, sizeof(*c));
	n = chaos_heap_class_stats(heap, c, SIZES_CLASSES);
	KUNIT_ASSERT_GT(test, n, 1);
	KUNIT_ASSERT_LE(test, n, SIZES_CLASSES);
	KUNIT_EXPECT_EQ(test, c[n - 1].block_size, 0);
	s->heap = chaos_test_exact(heap);
	s->n = n - 1;
	for (i = 0; i < s->n; i++)
		s->size[i] = c[i].block_size;
	return s;
}

static void classes_go_to_4m(struct kunit *test)
{
	struct sizes *s = sizes_of_mimalloc(test);
	size_t i;

	KUNIT_EXPECT_EQ(test, s->size[0], 8);
	KUNIT_EXPECT_EQ(test, s->size[s->n - 1], SIZES_CLASS_MAX);
	for (i = 1; i < s->n; i++) {
		KUNIT_EXPECT_GT(test, s->size[i], s->size[i - 1]);
		/* Steps of 12.5 %. */
		KUNIT_EXPECT_LE(test, s->size[i] - s->size[i - 1],
				max(s->size[i - 1] / 8, 8UL));
	}
}

/* A block of @size is one of @class, all of which can be used. */
static void *class_block(struct kunit *test, struct sizes *s, size_t size,
			 size_t class)
{
	void *p = chaos_heap_alloc(s->heap, size, GFP_KERNEL);
	size_t usable = chaos_heap_usable_size(s->heap, p);

	KUNIT_ASSERT_NOT_NULL_MSG(test, p, "%zu bytes", size);
	if (class < s->n)
		KUNIT_EXPECT_EQ(test, usable, s->size[class]);
	else
		KUNIT_EXPECT_GE(test, usable, size);
	chaos_test_fill(p, usable, size);
	return p;
}

static void class_boundaries(struct kunit *test)
{
	struct sizes *s = sizes_of_mimalloc(test);
	struct chaos_class_stats *c;
	size_t i, k;

	c = chaos_test_buf(test, SIZES_CLASSES, sizeof(*c));
	for (i = 0; s->size[i] < SIZES_LEAST; i++)
		;
	for (; i < s->n; i++) {
		const size_t size[] = {
			i ? s->size[i - 1] + 1 : 1, s->size[i], s->size[i] + 1,
		};
		void *p[ARRAY_SIZE(size)];

		for (k = 0; k < ARRAY_SIZE(size); k++)
			p[k] = class_block(test, s, size[k],
					   size[k] > s->size[i] ? i + 1 : i);
		KUNIT_ASSERT_EQ(test, chaos_heap_class_stats(s->heap, c, SIZES_CLASSES),
				s->n + 1);
		KUNIT_EXPECT_EQ(test, c[i].live_blocks, 2);
		KUNIT_EXPECT_EQ(test, c[i + 1].live_blocks, 1);
		for (k = 0; k < ARRAY_SIZE(size); k++) {
			KUNIT_EXPECT_TRUE(test, chaos_test_filled(p[k], size[k],
								  size[k]));
			chaos_heap_free(s->heap, p[k]);
		}
	}
	chaos_test_idle(test, s->heap, 0);
}

/* In place where the class allows it and half of it would not be wasted. */
static void realloc_in_class(struct kunit *test)
{
	struct sizes *s = sizes_of_mimalloc(test);
	size_t i, low, high, waste;
	void *p, *q;

	for (i = 1; i < s->n; i++) {
		low = s->size[i - 1] + 1;
		high = s->size[i];
		p = chaos_heap_alloc(s->heap, low, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, p);
		chaos_test_fill(p, low, i);

		q = chaos_heap_realloc(s->heap, p, high, GFP_KERNEL);
		KUNIT_ASSERT_PTR_EQ(test, q, p);
		q = chaos_heap_realloc(s->heap, p, high / 2 + 1, GFP_KERNEL);
		KUNIT_ASSERT_PTR_EQ(test, q, p);
		q = chaos_heap_realloc(s->heap, p, low, GFP_KERNEL);
		KUNIT_ASSERT_PTR_EQ(test, q, p);
		KUNIT_EXPECT_TRUE(test, chaos_test_filled(p, high / 2 + 1, i));

		/* The next class, then back to where most of that would be waste. */
		chaos_test_fill(p, low, i);
		q = chaos_heap_realloc(s->heap, p, high + 1, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, q);
		KUNIT_EXPECT_TRUE(test, chaos_test_filled(q, low, i));
		p = chaos_heap_realloc(s->heap, q, high / 4, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, p);
		KUNIT_EXPECT_TRUE(test, chaos_test_filled(p, high / 4, i));
		waste = max(high / 2, 2 * SIZES_LEAST + 1);
		if (high / 4)
			KUNIT_EXPECT_LT(test, chaos_heap_usable_size(s->heap, p), waste);
		chaos_heap_free(s->heap, p);
	}
	chaos_test_idle(test, s->heap, 0);
}

/* --------------------------------- any engine ------------------------------ */

#define SIZES_ALIVE	4	/* blocks that are live at once */

/**
 * struct alive - the blocks that were allocated last
 * @heap: where
 * @p: the blocks
 * @size: sizes asked for
 * @n: how many there have been
 * @bad: how many had wrong contents
 */
struct alive {
	struct chaos_heap *heap;
	void *p[SIZES_ALIVE];
	size_t size[SIZES_ALIVE];
	size_t n;
	size_t bad;
};

/* Takes the place of the one that is @p's eldest. */
static void keep_alive(struct alive *a, void *p, size_t size)
{
	size_t i = a->n % SIZES_ALIVE;

	a->bad += a->p[i] && !chaos_test_filled(a->p[i], a->size[i],
						a->n - SIZES_ALIVE);
	chaos_heap_free(a->heap, a->p[i]);
	a->p[i] = p;
	a->size[i] = size;
	if (p)
		chaos_test_fill(p, size, a->n);
	a->n++;
}

static void expect_alive(struct kunit *test, struct alive *a)
{
	unsigned int i;

	for (i = 0; i < SIZES_ALIVE; i++)
		keep_alive(a, NULL, 0);
	KUNIT_EXPECT_EQ(test, a->bad, 0);
	chaos_test_idle(test, a->heap, 0);
}

static void expect_block(struct kunit *test, struct alive *a, size_t size)
{
	void *p = chaos_heap_alloc(a->heap, size, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL_MSG(test, p, "%zu bytes", size);
	KUNIT_EXPECT_TRUE(test, IS_ALIGNED((unsigned long)p, CHAOS_MIN_ALIGN));
	KUNIT_EXPECT_GE(test, chaos_heap_usable_size(a->heap, p), size);
	keep_alive(a, p, size);
}

/* Each size where one engine's rounding or another's might step. */
static void every_size(struct kunit *test)
{
	struct alive a = { .heap = chaos_test_heap(test, SZ_1M, SIZES_MAX) };
	size_t size, step;

	for (size = 1; size < 1100; size++)
		expect_block(test, &a, size);
	for (size = 1024; size <= SZ_8M; size += step) {
		step = rounddown_pow_of_two(size) / 8;
		expect_block(test, &a, size - 1);
		expect_block(test, &a, size);
		expect_block(test, &a, size + 1);
	}
	expect_alive(test, &a);
}

/* Blocks as large as the heap may get. */
static void up_to_max_size(struct kunit *test)
{
	struct alive a = { .heap = chaos_test_heap(test, SZ_64K, SZ_32M) };
	struct chaos_heap_stats s;
	size_t size = SZ_32M - SZ_64K;

	chaos_test_exact(a.heap);
	/* The others have data of their own in a pool, and tlsf's search rounds up. */
	if (!chaos_test_mimalloc(test))
		size -= SZ_2M;
	expect_block(test, &a, size);
	chaos_heap_stats(a.heap, &s);
	KUNIT_EXPECT_LE(test, s.pool_bytes, SZ_32M);
	KUNIT_EXPECT_NULL(test, chaos_heap_alloc(a.heap, size, GFP_KERNEL | __GFP_NOWARN));
	expect_alive(test, &a);
	expect_block(test, &a, size);
	expect_alive(test, &a);
}

static void every_alignment(struct kunit *test)
{
	static const size_t sizes[] = {
		1, 8, 24, 100, 592, 4096, 5000, SZ_64K, 100000, SZ_512K + 8, SZ_1M,
		3000000, SZ_4M, SZ_4M + 1, 5000000,
	};
	struct alive a = { .heap = chaos_test_heap(test, SIZES_POOL, 0) };
	size_t align, i;
	void *p;

	for (align = 1; align <= CHAOS_MAX_ALIGN; align *= 2) {
		for (i = 0; i < ARRAY_SIZE(sizes); i++) {
			p = chaos_heap_alloc_aligned(a.heap, sizes[i], align,
						     GFP_KERNEL);
			KUNIT_ASSERT_NOT_NULL_MSG(test, p, "%zu aligned to %zu",
						  sizes[i], align);
			KUNIT_EXPECT_TRUE(test, IS_ALIGNED((unsigned long)p, align));
			KUNIT_EXPECT_GE(test, chaos_heap_usable_size(a.heap, p),
					sizes[i]);
			keep_alive(&a, p, sizes[i]);
		}
	}
	expect_alive(test, &a);
}

#define ALIGNED_LIVE	64

/* Many at once, in no order; and freed as any other block. */
static void mixed_alignments(struct kunit *test)
{
	struct chaos_heap *heap = chaos_test_heap(test, SIZES_POOL, 0);
	size_t size[ALIGNED_LIVE], bad = 0, failed = 0;
	void *p[ALIGNED_LIVE] = {};
	struct rnd_state rnd;
	unsigned int i, k;

	prandom_seed_state(&rnd, 70);
	for (i = 0; i < 4000 / CHAOS_TEST_FEWER; i++) {
		size_t align = 8UL << chaos_test_below(&rnd, 16);

		k = chaos_test_below(&rnd, ALIGNED_LIVE);
		bad += p[k] && !chaos_test_filled(p[k], size[k], k);
		chaos_heap_free(heap, p[k]);
		size[k] = chaos_test_size(&rnd, SZ_256K);
		p[k] = chaos_heap_alloc_aligned(heap, size[k], align, GFP_KERNEL);
		failed += !p[k];
		bad += !IS_ALIGNED((unsigned long)p[k], align);
		if (p[k])
			chaos_test_fill(p[k], size[k], k);
	}
	chaos_test_sound(test, heap);
	for (k = 0; k < ALIGNED_LIVE; k++) {
		bad += p[k] && !chaos_test_filled(p[k], size[k], k);
		chaos_heap_free(heap, p[k]);
	}
	KUNIT_EXPECT_EQ(test, bad, 0);
	KUNIT_EXPECT_EQ(test, failed, 0);
	chaos_test_idle(test, heap, 0);
}

#define NATURAL_BLOCKS	20

/* What kmalloc() promises: powers of two are aligned to themselves. */
static void natural_alignment(struct kunit *test)
{
	struct chaos_heap *heap = chaos_test_heap(test, SZ_4M, 0);
	void *p[NATURAL_BLOCKS];
	size_t size, bad;
	unsigned int i;

	if (!chaos_test_engine(test)->natural)
		kunit_skip(test, "not promised by this engine");
	for (size = 8; size <= PAGE_SIZE; size *= 2) {
		bad = 0;
		for (i = 0; i < NATURAL_BLOCKS; i++) {
			p[i] = chaos_heap_alloc(heap, size, GFP_KERNEL);
			KUNIT_ASSERT_NOT_NULL(test, p[i]);
			bad += !IS_ALIGNED((unsigned long)p[i], size);
		}
		KUNIT_EXPECT_EQ_MSG(test, bad, 0, "of %zu bytes", size);
		while (i--)
			chaos_heap_free(heap, p[i]);
	}
	chaos_test_idle(test, heap, 0);
}

/* All usable bytes can be had without moving; contents stay when it moves. */
static void realloc_in_place(struct kunit *test)
{
	struct chaos_heap *heap = chaos_test_heap(test, SIZES_POOL, 0);
	size_t size, usable;
	void *p, *q;

	for (size = 1; size <= 6000000; size += size / 3 + 1) {
		p = chaos_heap_alloc(heap, size, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, p);
		usable = chaos_heap_usable_size(heap, p);
		chaos_test_fill(p, usable, size);
		q = chaos_heap_realloc(heap, p, usable, GFP_KERNEL);
		KUNIT_ASSERT_PTR_EQ(test, q, p);
		q = chaos_heap_realloc(heap, p, usable / 2 + 1, GFP_KERNEL);
		KUNIT_ASSERT_PTR_EQ(test, q, p);
		p = chaos_heap_realloc(heap, p, 2 * usable + 100, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, p);
		KUNIT_EXPECT_TRUE(test, chaos_test_filled(p, usable / 2 + 1, size));
		KUNIT_EXPECT_GE(test, chaos_heap_usable_size(heap, p),
				2 * usable + 100);
		p = chaos_heap_realloc(heap, p, 1 + size / 5, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, p);
		KUNIT_EXPECT_TRUE(test, chaos_test_filled(p, 1 + size / 5, size));
		chaos_heap_free(heap, p);
	}
	chaos_test_idle(test, heap, 0);
}

static struct kunit_case sizes_cases[] = {
	KUNIT_CASE(classes_go_to_4m),
	KUNIT_CASE(class_boundaries),
	KUNIT_CASE(realloc_in_class),
	CHAOS_CASE(every_size),
	CHAOS_CASE(up_to_max_size),
	CHAOS_CASE(every_alignment),
	CHAOS_CASE(mixed_alignments),
	CHAOS_CASE(natural_alignment),
	CHAOS_CASE(realloc_in_place),
	{}
};

static struct kunit_suite sizes_suite = {
	.name = "chaos_sizes",
	.test_cases = sizes_cases,
};

kunit_test_suites(&sizes_suite);
