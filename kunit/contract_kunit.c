// SPDX-License-Identifier: GPL-2.0
/*
 * Suite chaos_contract: what chaos_alloc.h promises of each function, for every
 * engine, used as it should be, or refused as it should be.
 */
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "common.h"

CHAOS_TEST_ENGINE_PARAM();

/* Sizes around which engines change their mind. */
static const size_t edge_sizes[] = {
	1, 2, 7, 8, 9, 15, 16, 17, 24, 31, 32, 33, 63, 64, 65, 100, 127, 128,
	129, 200, 255, 256, 257, 432, 460, 511, 512, 513, 700, 1023, 1024, 1025,
	1200, 1234, 2047, 2048, 2049, 4095, 4096, 4097, 5000, 8191, 8192, 8193,
	16384, 32768, 65535, 65536, 65537, 100000, 131072, 262144, 262145,
	524288, 1000000, 1048576, 1048577, 2097152, 3000000,
};

static struct chaos_heap *small_heap(struct kunit *test)
{
	return chaos_test_heap(test, SZ_16M, 0);
}

/* A size that the compiler does not know, to ask for the impossible with. */
static size_t hidden(size_t size)
{
	OPTIMIZER_HIDE_VAR(size);
	return size;
}

static void zero_size(struct kunit *test)
{
	struct chaos_heap *heap = small_heap(test);
	void *p;

	KUNIT_EXPECT_PTR_EQ(test, chaos_heap_alloc(heap, hidden(0), GFP_KERNEL),
			    ZERO_SIZE_PTR);
	KUNIT_EXPECT_PTR_EQ(test, chaos_heap_zalloc(heap, hidden(0), GFP_ATOMIC),
			    ZERO_SIZE_PTR);
	p = chaos_heap_alloc_aligned(heap, hidden(0), 64, GFP_KERNEL);
	KUNIT_EXPECT_PTR_EQ(test, p, ZERO_SIZE_PTR);
	p = chaos_heap_realloc(heap, NULL, hidden(0), GFP_KERNEL);
	KUNIT_EXPECT_PTR_EQ(test, p, ZERO_SIZE_PTR);
	KUNIT_EXPECT_EQ(test, chaos_heap_usable_size(heap, ZERO_SIZE_PTR), 0);
	KUNIT_EXPECT_EQ(test, chaos_heap_usable_size(heap, NULL), 0);
	KUNIT_EXPECT_FALSE(test, chaos_heap_owns(heap, ZERO_SIZE_PTR));
	chaos_test_idle(test, heap, 0);
}

static void free_nothing(struct kunit *test)
{
	struct chaos_heap *heap = small_heap(test);
	struct kmsg_dump_iter log;

	chaos_test_log_start(&log);
	chaos_heap_free(heap, NULL);
	chaos_heap_free(heap, ZERO_SIZE_PTR);
	chaos_free(NULL);
	chaos_free(ZERO_SIZE_PTR);
	chaos_free_sensitive(NULL);
	chaos_free_sensitive(ZERO_SIZE_PTR);
	KUNIT_EXPECT_EQ(test, chaos_test_log_lines(&log, "chaos_alloc:"), 0);
	chaos_test_idle(test, heap, 0);
}

static void huge_sizes(struct kunit *test)
{
	struct chaos_heap *heap = chaos_test_heap(test, SZ_1M, SZ_4M);
	static const size_t sizes[] = {
		SIZE_MAX, SIZE_MAX - 1, SIZE_MAX - 7, SIZE_MAX - 8,
		SIZE_MAX - 15, SIZE_MAX - 63, SIZE_MAX - SZ_4K + 1,
		SIZE_MAX - SZ_64K + 1, SIZE_MAX / 2 + 1, SIZE_MAX / 2,
		SIZE_MAX / 2 - 7, SZ_4M + 1,
	};
	void *block = chaos_heap_alloc(heap, 100, GFP_KERNEL);
	unsigned int i;
	void *p;

	KUNIT_ASSERT_NOT_NULL(test, block);
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		size_t size = hidden(sizes[i]);
		gfp_t gfp = GFP_KERNEL | __GFP_NOWARN;

		p = chaos_heap_alloc(heap, size, gfp);
		KUNIT_EXPECT_NULL_MSG(test, p, "alloc %zu", size);
		p = chaos_heap_zalloc(heap, size, gfp);
		KUNIT_EXPECT_NULL_MSG(test, p, "zalloc %zu", size);
		p = chaos_heap_alloc_aligned(heap, size, SZ_4M, gfp);
		KUNIT_EXPECT_NULL_MSG(test, p, "alloc_aligned %zu", size);
		p = chaos_heap_realloc(heap, block, size, gfp);
		KUNIT_EXPECT_NULL_MSG(test, p, "realloc %zu", size);
		p = chaos_heap_alloc(heap, size, GFP_NOWAIT | __GFP_NOWARN);
		KUNIT_EXPECT_NULL_MSG(test, p, "alloc nowait %zu", size);
	}
	chaos_heap_free(heap, block);
	chaos_test_idle(test, heap, 0);
}

/* Sizes that arithmetic on 32 bits, of bytes or of pages, would take for small. */
static void truncated_sizes(struct kunit *test)
{
	struct chaos_heap *heap = chaos_test_heap(test, SZ_1M, SZ_4M);
	gfp_t gfp = GFP_NOWAIT | __GFP_NOWARN;
	unsigned int bit, bad = 0;

	for (bit = 23; bit < BITS_PER_LONG; bit++) {
		bad += !!chaos_heap_alloc(heap, hidden(BIT(bit)), gfp);
		bad += !!chaos_heap_alloc(heap, hidden(BIT(bit) + SZ_4K), gfp);
		bad += !!chaos_heap_alloc(heap, hidden(BIT(bit) + SZ_64K), gfp);
	}
	KUNIT_EXPECT_EQ(test, bad, 0);
	chaos_test_idle(test, heap, 0);
}

static void bad_alignment(struct kunit *test)
{
	static const size_t aligns[] = {
		0, 3, 24, 4095, SZ_4M - 1, SZ_4M + 1, SZ_8M, SIZE_MAX,
		SIZE_MAX / 2 + 1,
	};
	struct chaos_heap *heap = small_heap(test);
	unsigned int i;
	void *p;

	for (i = 0; i < ARRAY_SIZE(aligns); i++) {
		p = chaos_heap_alloc_aligned(heap, 64, aligns[i], GFP_KERNEL);
		KUNIT_EXPECT_NULL_MSG(test, p, "alignment %zu", aligns[i]);
		chaos_heap_free(heap, p);
	}
	chaos_test_idle(test, heap, 0);
}

/* Two blocks of each size, so that the second is not the pool's first. */
static void every_alignment(struct kunit *test)
{
	static const size_t sizes[] = { 1, 8, 100, 512, 5000, 70000 };
	struct chaos_heap *heap = chaos_test_heap(test, SZ_32M, 0);
	size_t align, errors, i, k;
	void *p[2][ARRAY_SIZE(sizes)];

	for (align = 1; align <= CHAOS_MAX_ALIGN; align *= 2) {
		/* Six blocks of the largest alignments are what fits. */
		size_t copies = align < SZ_1M ? 2 : 1;
		size_t n = align < SZ_1M ? ARRAY_SIZE(sizes) : 3;

		errors = 0;
		for (k = 0; k < copies; k++) {
			for (i = 0; i < n; i++) {
				p[k][i] = chaos_heap_alloc_aligned(heap, sizes[i],
								   align, GFP_KERNEL);
				if (!p[k][i] ||
				    !IS_ALIGNED((unsigned long)p[k][i], align) ||
				    chaos_heap_usable_size(heap, p[k][i]) < sizes[i])
					errors++;
				else
					chaos_test_fill(p[k][i], sizes[i], i + k);
			}
		}
		errors += !!chaos_heap_check(heap);
		for (k = 0; k < copies; k++) {
			for (i = 0; i < n; i++) {
				if (p[k][i])
					errors += !chaos_test_filled(p[k][i],
								     sizes[i], i + k);
				chaos_heap_free(heap, p[k][i]);
			}
		}
		KUNIT_EXPECT_EQ_MSG(test, errors, 0, "alignment %zu", align);
	}
	chaos_test_idle(test, heap, 0);
}

static void natural_alignment(struct kunit *test)
{
	struct chaos_heap *heap = small_heap(test);
	bool natural = chaos_test_engine(test)->natural;
	void *p[8];
	size_t size, i, errors = 0;

	for (size = 1; size <= PAGE_SIZE; size *= 2) {
		size_t align = natural ? size : CHAOS_MIN_ALIGN;

		align = max_t(size_t, align, CHAOS_MIN_ALIGN);
		for (i = 0; i < ARRAY_SIZE(p); i++) {
			p[i] = chaos_heap_alloc(heap, size, GFP_KERNEL);
			errors += !p[i] || !IS_ALIGNED((unsigned long)p[i], align);
		}
		for (i = 0; i < ARRAY_SIZE(p); i++)
			chaos_heap_free(heap, p[i]);
	}
	KUNIT_EXPECT_EQ(test, errors, 0);

	errors = 0;
	for (i = 0; i < ARRAY_SIZE(edge_sizes); i++) {
		void *q = chaos_heap_alloc(heap, edge_sizes[i], GFP_KERNEL);

		errors += !q || !IS_ALIGNED((unsigned long)q, CHAOS_MIN_ALIGN);
		chaos_heap_free(heap, q);
	}
	KUNIT_EXPECT_EQ(test, errors, 0);
	chaos_test_idle(test, heap, 0);
}

static void usable_size(struct kunit *test)
{
	struct chaos_heap *heap = chaos_test_heap(test, SZ_32M, 0);
	void *p[ARRAY_SIZE(edge_sizes)];
	size_t usable[ARRAY_SIZE(edge_sizes)];
	struct chaos_heap_stats stats;
	size_t i, sum = 0;

	chaos_test_exact(heap);
	/* All at once: a byte too many would show in a neighbour. */
	for (i = 0; i < ARRAY_SIZE(edge_sizes); i++) {
		p[i] = chaos_heap_alloc(heap, edge_sizes[i], GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, p[i]);
		usable[i] = chaos_heap_usable_size(heap, p[i]);
		KUNIT_EXPECT_GE(test, usable[i], edge_sizes[i]);
		chaos_test_fill(p[i], usable[i], i);
		sum += usable[i];
	}
	chaos_test_sound(test, heap);
	chaos_heap_stats(heap, &stats);
	KUNIT_EXPECT_EQ(test, stats.live_blocks, ARRAY_SIZE(edge_sizes));
	KUNIT_EXPECT_EQ(test, stats.live_bytes, sum);
	for (i = 0; i < ARRAY_SIZE(edge_sizes); i++) {
		KUNIT_EXPECT_TRUE(test, chaos_test_filled(p[i], usable[i], i));
		chaos_heap_free(heap, p[i]);
	}
	chaos_test_idle(test, heap, 0);
}

/* Make the free memory anything but zero. */
static void soil(struct kunit *test, struct chaos_heap *heap, size_t size)
{
	LLIST_HEAD(blocks);

	KUNIT_EXPECT_GT(test, chaos_test_exhaust(heap, size, GFP_KERNEL, &blocks),
			0);
	KUNIT_EXPECT_EQ(test, chaos_test_drain(heap, &blocks), 0);
}

static void zeroed(struct kunit *test)
{
	struct chaos_heap *heap = chaos_test_heap(test, SZ_4M, 0);
	static const size_t sizes[] = { 8, 40, 600, 5000, 70000, 1100000 };
	size_t i, k, errors = 0;

	/* The smallest are most of all blocks. */
	for (i = CHAOS_TEST_FEWER > 1; i < ARRAY_SIZE(sizes); i++) {
		size_t size = sizes[i];

		soil(test, heap, size);
		for (k = 0; k < 3; k++) {
			void *p;

			if (k == 0)
				p = chaos_heap_zalloc(heap, size, GFP_KERNEL);
			else if (k == 1)
				p = chaos_heap_alloc(heap, size,
						     GFP_ATOMIC | __GFP_ZERO);
			else
				p = chaos_heap_alloc_aligned(heap, size, 256,
							     GFP_KERNEL | __GFP_ZERO);
			errors += !p || !chaos_test_zeroed(p, size);
			if (p)
				chaos_test_fill(p, size, -1);
			chaos_heap_free(heap, p);
		}
	}
	KUNIT_EXPECT_EQ(test, errors, 0);
	chaos_test_idle(test, heap, 0);
}

static void gfp_refused(struct kunit *test)
{
	static const gfp_t flags[] = {
		GFP_KERNEL | __GFP_DMA, GFP_KERNEL | __GFP_DMA32,
		GFP_KERNEL | __GFP_HIGHMEM, GFP_KERNEL | __GFP_NOFAIL,
		GFP_KERNEL | __GFP_ACCOUNT, GFP_ATOMIC | __GFP_DMA,
	};
	struct chaos_heap *heap = small_heap(test);
	struct kmsg_dump_iter log;
	unsigned int i, k;
	void *p;

	chaos_test_log_start(&log);
	for (i = 0; i < ARRAY_SIZE(flags); i++) {
		/* Some of them are 0 on some architectures. */
		if (!(flags[i] & ~(GFP_KERNEL | GFP_ATOMIC)))
			continue;
		for (k = 0; k < 100; k++) {
			p = chaos_heap_alloc(heap, 64, flags[i]);
			if (p)
				break;
		}
		KUNIT_EXPECT_NULL_MSG(test, p, "gfp %#x", (__force u32)flags[i]);
		p = chaos_heap_realloc(heap, NULL, 64, flags[i]);
		KUNIT_EXPECT_NULL_MSG(test, p, "gfp %#x", (__force u32)flags[i]);
		p = chaos_heap_alloc_aligned(heap, 64, 64, flags[i]);
		KUNIT_EXPECT_NULL_MSG(test, p, "gfp %#x", (__force u32)flags[i]);
		p = chaos_heap_zalloc(heap, 64, flags[i]);
		KUNIT_EXPECT_NULL_MSG(test, p, "gfp %#x", (__force u32)flags[i]);
	}
	/* Said once, not 600 times; by which of the engines' turns is open. */
	KUNIT_EXPECT_LE(test, chaos_test_log_lines(&log, "honoured"), 1);
	if (IS_ENABLED(CONFIG_PRINTK)) {
		log = (struct kmsg_dump_iter){};
		KUNIT_EXPECT_GE(test, chaos_test_log_lines(&log, "honoured"), 1);
	}
	chaos_test_idle(test, heap, 0);
}

static void gfp_honoured(struct kunit *test)
{
	static const gfp_t flags[] = {
		GFP_KERNEL, GFP_ATOMIC, GFP_NOWAIT, GFP_NOFS, GFP_NOIO,
		GFP_KERNEL | __GFP_NOWARN, GFP_KERNEL | __GFP_NORETRY,
		GFP_KERNEL | __GFP_RETRY_MAYFAIL, GFP_KERNEL | __GFP_ZERO, 0,
	};
	struct chaos_heap *heap = small_heap(test);
	unsigned int i;
	void *p;

	for (i = 0; i < ARRAY_SIZE(flags); i++) {
		p = chaos_heap_alloc(heap, 64, flags[i]);
		KUNIT_EXPECT_NOT_NULL_MSG(test, p, "gfp %#x",
					  (__force u32)flags[i]);
		chaos_heap_free(heap, p);
	}
	chaos_test_idle(test, heap, 0);
}

static void realloc_contents(struct kunit *test)
{
	struct chaos_heap *heap = chaos_test_heap(test, SZ_32M, SZ_64M);
	const size_t n = ARRAY_SIZE(edge_sizes);
	size_t i, k, errors = 0;

	/* From every size to every other, up and down. */
	for (i = 0; i < n; i++) {
		for (k = 0; k < n; k++) {
			size_t from = edge_sizes[i], to = edge_sizes[k];
			void *p = chaos_heap_alloc(heap, from, GFP_KERNEL), *q;

			/* The largest from and to a few only: time. */
			if (from + to > SZ_1M && k % 8) {
				chaos_heap_free(heap, p);
				continue;
			}
			if (!p) {
				errors++;
				continue;
			}
			chaos_test_fill(p, from, i);
			q = chaos_heap_realloc(heap, p, to, GFP_KERNEL);
			errors += !q || !chaos_test_filled(q, min(from, to), i) ||
				  chaos_heap_usable_size(heap, q) < to;
			chaos_heap_free(heap, q ?: p);
		}
		cond_resched();
	}
	KUNIT_EXPECT_EQ(test, errors, 0);
	chaos_test_idle(test, heap, 0);
}

/* With a neighbour behind that is in the way, or was, or never was. */
static void realloc_neighbours(struct kunit *test)
{
	struct chaos_heap *heap = small_heap(test);
	static const size_t sizes[] = { 24, 200, 600, 3000, 20000, 300000 };
	size_t i, k, errors = 0;

	for (i = 0; i < ARRAY_SIZE(sizes) * 4; i++) {
		size_t size = sizes[i / 4];
		void *p[3], *q;

		for (k = 0; k < 3; k++) {
			p[k] = chaos_heap_alloc(heap, size, GFP_KERNEL);
			KUNIT_ASSERT_NOT_NULL(test, p[k]);
			chaos_test_fill(p[k], size, k);
		}
		/* Free none, the one before, the one after, or both. */
		for (k = 0; k < 3; k += 2) {
			if (i & (k ? 2 : 1)) {
				chaos_heap_free(heap, p[k]);
				p[k] = NULL;
			}
		}
		q = chaos_heap_realloc(heap, p[1], size * 2 - 8, GFP_KERNEL);
		errors += !q || !chaos_test_filled(q, size, 1);
		if (q)
			p[1] = q;
		chaos_test_fill(p[1], q ? size * 2 - 8 : size, 1);
		errors += !!chaos_heap_check(heap);
		q = chaos_heap_realloc(heap, p[1], size / 2, GFP_KERNEL);
		errors += !q || !chaos_test_filled(q, size / 2, 1);
		if (q)
			p[1] = q;
		errors += !!chaos_heap_check(heap);
		for (k = 0; k < 3; k++) {
			if (p[k])
				errors += !chaos_test_filled(p[k], k == 1 ?
							     size / 2 : size, k);
			chaos_heap_free(heap, p[k]);
		}
	}
	KUNIT_EXPECT_EQ(test, errors, 0);
	chaos_test_idle(test, heap, 0);
}

static void realloc_alignment(struct kunit *test)
{
	struct chaos_heap *heap = chaos_test_heap(test, SZ_32M, 0);
	size_t align, size, errors = 0;
	LLIST_HEAD(blocks);

	for (align = 16; align <= SZ_1M; align *= 4) {
		void *p = chaos_heap_alloc_aligned(heap, 100, align, GFP_KERNEL);
		void *q;

		KUNIT_ASSERT_NOT_NULL(test, p);
		chaos_test_fill(p, 100, align);
		for (size = 200; size <= SZ_256K; size *= 2) {
			/* Something to be in the way of growing in place. */
			struct chaos_test_block *b =
				chaos_test_make(heap, size, GFP_KERNEL, size);

			if (b)
				llist_add(&b->node, &blocks);
			q = chaos_heap_realloc(heap, p, size, GFP_KERNEL);
			if (!q) {
				errors++;
				break;
			}
			errors += !IS_ALIGNED((unsigned long)q, align);
			errors += !chaos_test_filled(q, size / 2, align);
			chaos_test_fill(q, size, align);
			p = q;
		}
		q = chaos_heap_realloc(heap, p, 10, GFP_KERNEL);
		errors += !q || !IS_ALIGNED((unsigned long)q, align) ||
			  !chaos_test_filled(q, 10, align);
		chaos_heap_free(heap, q ?: p);
		errors += chaos_test_drain(heap, &blocks);
	}
	KUNIT_EXPECT_EQ(test, errors, 0);
	chaos_test_idle(test, heap, 0);
}

static void realloc_edges(struct kunit *test)
{
	struct chaos_heap *heap = chaos_test_heap(test, SZ_1M, 0);
	gfp_t quiet = GFP_KERNEL | __GFP_NOWARN;
	LLIST_HEAD(blocks);
	void *p, *q;

	p = chaos_heap_realloc(heap, NULL, 300, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, p);
	chaos_test_fill(p, 300, 1);
	KUNIT_EXPECT_EQ(test, chaos_test_live(heap), 1);

	/* All that can't be: the block stays as it is. */
	q = chaos_heap_realloc(heap, p, hidden(SIZE_MAX / 2), quiet);
	KUNIT_EXPECT_NULL(test, q);
	q = chaos_heap_realloc(heap, p, SZ_2M, quiet);
	KUNIT_EXPECT_NULL(test, q);
	chaos_test_exhaust(heap, 64, GFP_KERNEL, &blocks);
	q = chaos_heap_realloc(heap, p, SZ_64K, quiet);
	KUNIT_EXPECT_NULL(test, q);
	KUNIT_EXPECT_TRUE(test, chaos_test_filled(p, 300, 1));
	KUNIT_EXPECT_GE(test, chaos_heap_usable_size(heap, p), 300);
	chaos_test_sound(test, heap);
	KUNIT_EXPECT_EQ(test, chaos_test_drain(heap, &blocks), 0);
	KUNIT_EXPECT_EQ(test, chaos_test_live(heap), 1);

	q = chaos_heap_realloc(heap, p, hidden(0), GFP_KERNEL);
	KUNIT_EXPECT_PTR_EQ(test, q, ZERO_SIZE_PTR);
	KUNIT_EXPECT_EQ(test, chaos_test_live(heap), 0);

	p = chaos_heap_realloc(heap, ZERO_SIZE_PTR, 100, GFP_KERNEL);
	KUNIT_EXPECT_NOT_NULL(test, p);
	chaos_heap_free(heap, p);
	chaos_test_idle(test, heap, 0);
}

/* As krealloc(): if all calls have __GFP_ZERO, what is added is 0. */
static void realloc_zero(struct kunit *test)
{
	static const size_t sizes[] = { 100, 5000, 50, 70, SZ_64K, 10, 300 };
	struct chaos_heap *heap = chaos_test_heap(test, SZ_1M, 0);
	size_t size, last = 0;
	unsigned int i;
	void *p = NULL;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		size = sizes[i];
		p = chaos_heap_realloc(heap, p, size, GFP_KERNEL | __GFP_ZERO);
		KUNIT_ASSERT_NOT_NULL(test, p);
		if (size > last)
			KUNIT_EXPECT_TRUE_MSG(test,
					      chaos_test_zeroed(p + last,
								size - last),
					      "%zu to %zu", last, size);
		chaos_test_fill(p, size, ~0ULL);
		last = size;
	}
	chaos_heap_free(heap, p);
	chaos_test_idle(test, heap, 0);
}

/* What fits stays, and so does what would move to a block of the same kind. */
static void realloc_in_place(struct kunit *test)
{
	struct chaos_heap *heap = chaos_test_heap(test, SZ_1M, 0);
	void *p;

	p = chaos_heap_alloc(heap, 8, GFP_KERNEL);
	KUNIT_EXPECT_PTR_EQ(test, chaos_heap_realloc(heap, p, 3, GFP_KERNEL), p);
	chaos_heap_free(heap, p);
	p = chaos_heap_alloc_aligned(heap, 100, SZ_4K, GFP_KERNEL);
	KUNIT_EXPECT_PTR_EQ(test, chaos_heap_realloc(heap, p, 90, GFP_KERNEL), p);
	chaos_heap_free(heap, p);
	chaos_test_idle(test, heap, 0);
}

#define WALK_BLOCKS	500

/**
 * struct walk - what a walk has come across
 * @heap: what is walked
 * @block: the blocks that are live
 * @seen: how often each was shown
 * @stop_after: stop when as many have been shown
 * @calls: of the visitor
 * @wrong: calls with a wrong heap, block or size
 */
struct walk {
	struct chaos_heap *heap;
	struct chaos_test_block *block[WALK_BLOCKS];
	unsigned int seen[WALK_BLOCKS];
	size_t stop_after;
	size_t calls;
	size_t wrong;
};

static bool walk_visit(struct chaos_heap *heap, void *p, size_t size, void *arg)
{
	struct chaos_test_block *b = p;
	struct walk *w = arg;
	size_t i;

	w->calls++;
	for (i = 0; i < WALK_BLOCKS && w->block[i] != b; i++)
		;
	if (i == WALK_BLOCKS || heap != w->heap || size < b->size)
		w->wrong++;
	else
		w->seen[i]++;
	return w->calls != w->stop_after;
}

static void walk(struct kunit *test)
{
	struct chaos_heap *heap = chaos_test_heap(test, SZ_32M, SZ_64M);
	struct walk *w = chaos_test_buf(test, 1, sizeof(*w));
	size_t i, size, live = 0, errors = 0;
	struct rnd_state rnd;

	w->heap = heap;
	KUNIT_EXPECT_EQ(test, chaos_heap_walk(heap, walk_visit, w), 0);
	KUNIT_EXPECT_EQ(test, w->calls, 0);

	prandom_seed_state(&rnd, 4);
	for (i = 0; i < WALK_BLOCKS; i++) {
		size = chaos_test_size(&rnd, SZ_128K);
		w->block[i] = chaos_test_make(heap, size, GFP_KERNEL, i);
		errors += !w->block[i];
	}
	for (i = 0; i < WALK_BLOCKS; i += 3) {
		if (w->block[i])
			errors += !chaos_test_unmake(heap, w->block[i]);
		w->block[i] = NULL;
	}
	KUNIT_EXPECT_EQ(test, chaos_heap_walk(heap, walk_visit, w), 0);
	for (i = 0; i < WALK_BLOCKS; i++) {
		errors += w->seen[i] != !!w->block[i];
		live += !!w->block[i];
	}
	KUNIT_EXPECT_EQ(test, errors, 0);
	KUNIT_EXPECT_EQ(test, w->wrong, 0);
	KUNIT_EXPECT_EQ(test, w->calls, live);
	KUNIT_EXPECT_EQ(test, chaos_test_live(heap), live);

	w->calls = 0;
	w->stop_after = 5;
	KUNIT_EXPECT_EQ(test, chaos_heap_walk(heap, walk_visit, w), -ECANCELED);
	KUNIT_EXPECT_EQ(test, w->calls, 5);

	for (i = 0; i < WALK_BLOCKS; i++) {
		if (w->block[i])
			errors += !chaos_test_unmake(heap, w->block[i]);
	}
	KUNIT_EXPECT_EQ(test, errors, 0);
	chaos_test_idle(test, heap, 0);
}

static void owns(struct kunit *test)
{
	struct chaos_heap *heap = small_heap(test), *other = small_heap(test);
	static const size_t sizes[] = { 8, 1000, 70000, 2000000 };
	struct chaos_test_block *b;
	unsigned int i;
	void *p, *k;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		p = chaos_heap_alloc(heap, sizes[i], GFP_KERNEL);
		KUNIT_EXPECT_NOT_NULL(test, p);
		KUNIT_EXPECT_TRUE(test, chaos_heap_owns(heap, p));
		KUNIT_EXPECT_FALSE(test, chaos_heap_owns(other, p));
		chaos_heap_free(heap, p);
	}
	k = kmalloc(64, GFP_KERNEL);
	KUNIT_EXPECT_FALSE(test, chaos_heap_owns(heap, k));
	kfree(k);
	KUNIT_EXPECT_FALSE(test, chaos_heap_owns(heap, &b));
	KUNIT_EXPECT_FALSE(test, chaos_heap_owns(heap, edge_sizes));
	KUNIT_EXPECT_FALSE(test, chaos_heap_owns(heap, NULL));
	KUNIT_EXPECT_FALSE(test, chaos_heap_owns(heap, (void *)8));
	KUNIT_EXPECT_FALSE(test, chaos_heap_owns(heap, (void *)-8L));
	KUNIT_EXPECT_FALSE(test, chaos_heap_owns(heap, heap));
	chaos_test_idle(test, heap, 0);
	chaos_test_idle(test, other, 0);
}

static void stats(struct kunit *test)
{
	struct chaos_heap *heap = chaos_test_heap(test, SZ_2M, SZ_8M);
	struct chaos_heap_stats s, before;
	size_t peak;
	void *p, *q;

	chaos_test_exact(heap);
	chaos_heap_stats(heap, &before);
	KUNIT_EXPECT_STREQ(test, before.name, "kunit");
	KUNIT_EXPECT_STREQ(test, before.allocator, chaos_test_engine(test)->name);
	KUNIT_EXPECT_EQ(test, before.pools, 1);
	KUNIT_EXPECT_GE(test, before.pool_bytes, SZ_2M);
	KUNIT_EXPECT_LT(test, before.pool_bytes, SZ_2M + SZ_128K);
	KUNIT_EXPECT_EQ(test, before.max_bytes, SZ_8M);
	KUNIT_EXPECT_EQ(test, before.live_blocks, 0);
	KUNIT_EXPECT_EQ(test, before.live_bytes, 0);
	KUNIT_EXPECT_EQ(test, before.failures, 0);
	KUNIT_EXPECT_EQ(test, before.grows, 0);
	KUNIT_EXPECT_GT(test, before.meta_bytes, 0);
	KUNIT_EXPECT_LT(test, before.meta_bytes, SZ_2M / 4);

	p = chaos_heap_alloc(heap, 1000, GFP_KERNEL);
	q = chaos_heap_alloc(heap, 100000, GFP_KERNEL);
	KUNIT_EXPECT_NOT_NULL(test, p);
	KUNIT_EXPECT_NOT_NULL(test, q);
	chaos_heap_stats(heap, &s);
	KUNIT_EXPECT_EQ(test, s.live_blocks, 2);
	KUNIT_EXPECT_EQ(test, s.live_bytes, chaos_heap_usable_size(heap, p) +
			chaos_heap_usable_size(heap, q));
	KUNIT_EXPECT_GE(test, s.held_bytes, s.live_bytes);
	KUNIT_EXPECT_GE(test, s.peak_held_bytes, s.held_bytes);
	KUNIT_EXPECT_LE(test, s.held_bytes, s.pool_bytes);
	peak = s.peak_held_bytes;

	chaos_heap_free(heap, p);
	chaos_heap_free(heap, q);
	chaos_test_collect(heap);
	chaos_heap_stats(heap, &s);
	KUNIT_EXPECT_EQ(test, s.live_blocks, 0);
	KUNIT_EXPECT_EQ(test, s.held_bytes, before.held_bytes);
	KUNIT_EXPECT_GE(test, s.peak_held_bytes, peak);

	p = chaos_heap_alloc(heap, SZ_16M, GFP_KERNEL | __GFP_NOWARN);
	KUNIT_EXPECT_NULL(test, p);
	chaos_heap_stats(heap, &s);
	KUNIT_EXPECT_EQ(test, s.failures, 1);
	chaos_test_idle(test, heap, 0);
}

static void collect(struct kunit *test)
{
	struct chaos_heap *heap = chaos_test_heap(test, SZ_4M, 0);
	struct chaos_heap_stats s;
	struct chaos_test_block *keep;
	LLIST_HEAD(blocks);
	size_t size, empty;

	chaos_heap_stats(heap, &s);
	empty = s.held_bytes;
	keep = chaos_test_make(heap, 1000, GFP_KERNEL, 1);
	KUNIT_ASSERT_NOT_NULL(test, keep);
	for (size = 16 * CHAOS_TEST_FEWER; size < SZ_1M; size *= 3) {
		chaos_test_exhaust(heap, size, GFP_KERNEL, &blocks);
		KUNIT_EXPECT_EQ(test, chaos_test_drain(heap, &blocks), 0);
		chaos_heap_collect(heap, false);
		chaos_test_sound(test, heap);
	}
	chaos_test_collect(heap);
	chaos_test_sound(test, heap);
	chaos_heap_stats(heap, &s);
	/* One block: a page at most, of the size that has one for 1000 bytes. */
	KUNIT_EXPECT_LE(test, s.held_bytes - empty, SZ_64K);
	KUNIT_EXPECT_TRUE(test, chaos_test_unmake(heap, keep));
	chaos_test_idle(test, heap, 0);
}

static bool within(const void *p, const void *mem, size_t size)
{
	return p >= mem && p < mem + size;
}

static void add_pool(struct kunit *test)
{
	size_t before, after, in_vmem = 0, in_kmem = 0;
	struct chaos_test_block *b;
	struct chaos_heap_stats s;
	struct chaos_heap *heap;
	LLIST_HEAD(blocks);
	void *vmem, *kmem;

	/* Before the heap, so that they go after it. */
	vmem = chaos_test_vmem(test, SZ_1M);
	kmem = kunit_kmalloc(test, SZ_512K, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, kmem);
	heap = chaos_test_heap(test, SZ_256K, 0);
	chaos_test_bind(test);
	before = chaos_test_capacity(test, heap, 4000);
	KUNIT_EXPECT_EQ(test, chaos_heap_add_pool(heap, vmem, SZ_1M), 0);
	KUNIT_EXPECT_EQ(test, chaos_heap_add_pool(heap, kmem, SZ_512K), 0);
	chaos_heap_stats(heap, &s);
	KUNIT_EXPECT_EQ(test, s.pools, 3);
	chaos_test_sound(test, heap);

	after = chaos_test_exhaust(heap, 4000, GFP_KERNEL, &blocks);
	/* Up to two units of each are lost to alignment. */
	KUNIT_EXPECT_GE(test, (after - before) * 4096,
			(SZ_1M + SZ_512K - 4 * SZ_64K) * 3 / 4);
	chaos_test_sound(test, heap);
	llist_for_each_entry(b, blocks.first, node) {
		in_vmem += within(b, vmem, SZ_1M);
		in_kmem += within(b, kmem, SZ_512K);
	}
	KUNIT_EXPECT_GT(test, in_vmem, 0);
	KUNIT_EXPECT_GT(test, in_kmem, 0);
	KUNIT_EXPECT_EQ(test, chaos_test_drain(heap, &blocks), 0);
	chaos_test_idle(test, heap, 0);
}

static void add_pool_refused(struct kunit *test)
{
	void *mem = chaos_test_vmem(test, SZ_1M), *p;
	struct chaos_heap *heap = small_heap(test), *other = small_heap(test);
	int err;

	KUNIT_EXPECT_EQ(test, chaos_heap_add_pool(heap, NULL, SZ_1M), -EINVAL);
	KUNIT_EXPECT_EQ(test, chaos_heap_add_pool(heap, mem, 0), -EINVAL);
	KUNIT_EXPECT_EQ(test, chaos_heap_add_pool(heap, mem, 4096), -EINVAL);
	KUNIT_EXPECT_EQ(test, chaos_heap_add_pool(heap, mem + 1, SZ_64K), -EINVAL);
	KUNIT_EXPECT_EQ(test, chaos_heap_add_pool(heap, mem, SIZE_MAX), -EINVAL);
	KUNIT_EXPECT_EQ(test, chaos_heap_add_pool(heap, (void *)SZ_1M, SZ_1M),
			-EINVAL);

	/* What a heap has, neither it nor another may get again. */
	p = chaos_heap_alloc(other, 100, GFP_KERNEL);
	KUNIT_EXPECT_NOT_NULL(test, p);
	KUNIT_EXPECT_EQ(test, chaos_heap_add_pool(heap, mem, SZ_1M), 0);
	err = chaos_heap_add_pool(heap, mem, SZ_1M);
	KUNIT_EXPECT_TRUE(test, err == -EBUSY || err == -EEXIST);
	err = chaos_heap_add_pool(other, mem + SZ_256K, SZ_512K);
	KUNIT_EXPECT_TRUE(test, err == -EBUSY || err == -EEXIST);
	err = chaos_heap_add_pool(heap, PTR_ALIGN_DOWN(p, SZ_64K), SZ_64K);
	KUNIT_EXPECT_TRUE(test, err == -EBUSY || err == -EEXIST);
	chaos_heap_free(other, p);
	chaos_test_idle(test, other, 0);
	chaos_test_idle(test, heap, 0);
	chaos_test_destroy(test, heap);

	/* And once the heap is gone, anybody may. */
	KUNIT_EXPECT_EQ(test, chaos_heap_add_pool(other, mem, SZ_1M), 0);
	chaos_test_idle(test, other, 0);
}

static void own_memory_only(struct kunit *test)
{
	struct chaos_heap_params params = {
		.name = "kunit-mem",
		.allocator = chaos_test_engine(test)->name,
		.node = NUMA_NO_NODE,
		.mem_size = SZ_512K,
	};
	struct chaos_heap *heap;
	struct chaos_heap_stats s;
	size_t outside = 0, n;
	struct chaos_test_block *b;
	LLIST_HEAD(blocks);

	params.mem = chaos_test_vmem(test, params.mem_size);
	heap = chaos_heap_create(&params);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, heap);
	chaos_heap_stats(heap, &s);
	KUNIT_EXPECT_EQ(test, s.pools, 1);
	KUNIT_EXPECT_LE(test, s.pool_bytes, SZ_512K);
	n = chaos_test_exhaust(heap, 1000, GFP_KERNEL, &blocks);
	KUNIT_EXPECT_GE(test, n * 1024, (SZ_512K - 2 * SZ_64K) / 2);
	llist_for_each_entry(b, blocks.first, node)
		outside += !within(b, params.mem, params.mem_size);
	KUNIT_EXPECT_EQ(test, outside, 0);
	KUNIT_EXPECT_EQ(test, chaos_test_drain(heap, &blocks), 0);
	chaos_test_idle(test, heap, 0);
	chaos_heap_destroy(heap);
}

/* Not an error, whatever is still allocated; nothing of it is owned after. */
static void destroy_live(struct kunit *test)
{
	struct chaos_heap *witness = small_heap(test);
	size_t size = 10 * CHAOS_TEST_FEWER;
	struct kmsg_dump_iter log;
	unsigned int i;

	chaos_test_log_start(&log);
	for (i = 0; i < 10; i++) {
		struct chaos_heap *heap = chaos_test_heap(test, SZ_1M, SZ_4M);
		LLIST_HEAD(blocks);

		KUNIT_EXPECT_GT(test, chaos_test_exhaust(heap, size << i,
							 GFP_KERNEL, &blocks), 0);
		chaos_test_destroy(test, heap);
	}
	/* A client that drops its heap on purpose has done nothing wrong. */
	KUNIT_EXPECT_EQ(test, chaos_test_log_lines(&log, "chaos_alloc:"), 0);
	chaos_test_idle(test, witness, 0);
}

#define HEART_ALLOCS	(100000 / CHAOS_TEST_FEWER)

static void exercise(struct chaos_heap *heap)
{
	size_t i;

	for (i = 0; i < HEART_ALLOCS; i++)
		chaos_heap_free(heap, chaos_heap_alloc(heap, 64, GFP_KERNEL));
}

struct heart {
	struct chaos_heap *heap;
	u64 last;
	size_t calls;
	size_t wrong;
};

static void beat(struct chaos_heap *heap, bool force, u64 heartbeat, void *arg)
{
	struct heart *h = arg;

	h->wrong += heap != h->heap || heartbeat <= h->last || in_nmi();
	h->last = heartbeat;
	h->calls++;
	/* Allowed here, and does not come here again. */
	if (h->calls < 100)
		chaos_heap_free(heap, chaos_heap_alloc(heap, 100, GFP_ATOMIC));
}

static void deferred_free(struct kunit *test)
{
	struct chaos_heap *heap = small_heap(test);
	struct heart a = { .heap = heap }, b = { .heap = heap };
	size_t calls;

	KUNIT_EXPECT_EQ(test, chaos_register_deferred_free(heap, beat, &a), 0);
	exercise(heap);
	KUNIT_EXPECT_GE(test, a.calls, 2);
	KUNIT_EXPECT_EQ(test, a.wrong, 0);

	/* The second replaces the first. */
	calls = a.calls;
	KUNIT_EXPECT_EQ(test, chaos_register_deferred_free(heap, beat, &b), 0);
	exercise(heap);
	KUNIT_EXPECT_EQ(test, a.calls, calls);
	KUNIT_EXPECT_GE(test, b.calls, 2);
	KUNIT_EXPECT_EQ(test, b.wrong, 0);
	KUNIT_EXPECT_GT(test, b.last, a.last);

	calls = b.calls;
	KUNIT_EXPECT_EQ(test, chaos_register_deferred_free(heap, NULL, NULL), 0);
	exercise(heap);
	KUNIT_EXPECT_EQ(test, b.calls, calls);
	chaos_test_idle(test, heap, 0);
}

/* One wrong field */
#define EXPECT_REFUSED(test, field, value)				\
do {									\
	struct kunit *__test = (test);					\
	struct chaos_heap_params __params = good_params(__test);	\
									\
	__params.field = (value);					\
	expect_refused(__test, &__params, #field " = " #value);		\
} while (0)

static struct chaos_heap_params good_params(struct kunit *test)
{
	return (struct chaos_heap_params){
		.name = "kunit-params",
		.allocator = chaos_test_engine(test)->name,
		.pool_size = SZ_1M,
		.node = NUMA_NO_NODE,
	};
}

static void expect_refused(struct kunit *test,
			   const struct chaos_heap_params *params,
			   const char *what)
{
	struct chaos_heap *heap = chaos_heap_create(params);

	KUNIT_EXPECT_EQ_MSG(test, PTR_ERR_OR_ZERO(heap), -EINVAL, "%s", what);
	chaos_heap_destroy(heap);
}

static void create_refused(struct kunit *test)
{
	struct chaos_heap_params params;
	struct chaos_heap *heap;

	expect_refused(test, NULL, "NULL");
	EXPECT_REFUSED(test, allocator, "slob");
	EXPECT_REFUSED(test, allocator, "");
	EXPECT_REFUSED(test, pool_size, 0);
	EXPECT_REFUSED(test, pool_size, SZ_64K - 1);
	EXPECT_REFUSED(test, pool_size, totalram_pages() * PAGE_SIZE / 2 + 1);
	EXPECT_REFUSED(test, pool_size, SIZE_MAX / 2);
	EXPECT_REFUSED(test, pool_size, SIZE_MAX);
	EXPECT_REFUSED(test, max_size, SZ_1M - 1);
	EXPECT_REFUSED(test, max_size, SIZE_MAX);
	EXPECT_REFUSED(test, node, MAX_NUMNODES + 1);
	EXPECT_REFUSED(test, mem, (void *)SZ_1M);
	EXPECT_REFUSED(test, mem_size, SZ_1M);
	EXPECT_REFUSED(test, hardening, CHAOS_HARDENING_2 + 1);
	EXPECT_REFUSED(test, track, CHAOS_TRACK_STACK + 1);

	params = good_params(test);
	heap = chaos_heap_create(&params);
	KUNIT_EXPECT_NOT_ERR_OR_NULL(test, heap);
	chaos_heap_destroy(heap);

	/* No engine named: the default heap's.  No name: still has one. */
	params.allocator = NULL;
	params.name = NULL;
	heap = chaos_heap_create(&params);
	KUNIT_EXPECT_NOT_ERR_OR_NULL(test, heap);
	chaos_heap_destroy(heap);
}

/* A name longer than what fits is cut, and not the caller's string. */
static void heap_name(struct kunit *test)
{
	char name[] = "a name of more than thirty-one characters";
	struct chaos_heap_params params = {
		.name = name,
		.allocator = chaos_test_engine(test)->name,
		.pool_size = SZ_1M,
		.node = NUMA_NO_NODE,
	};
	struct chaos_heap *heap = chaos_heap_create(&params);
	struct chaos_heap_stats s;

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, heap);
	name[0] = 'X';
	chaos_heap_stats(heap, &s);
	KUNIT_EXPECT_STREQ(test, s.name, "a name of more than thirty-one ");
	chaos_heap_destroy(heap);
}

/* A name is for people: heaps that have the same are as good as any. */
static void same_name(struct kunit *test)
{
	struct chaos_heap_params params = {
		.name = "twin",
		.allocator = chaos_test_engine(test)->name,
		.pool_size = SZ_256K,
		.node = NUMA_NO_NODE,
	};
	struct chaos_heap *a = chaos_test_create(test, &params);
	struct chaos_heap *b = chaos_test_create(test, &params);
	void *p = chaos_heap_alloc(a, 100, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, p);
	KUNIT_EXPECT_TRUE(test, chaos_heap_owns(a, p));
	KUNIT_EXPECT_FALSE(test, chaos_heap_owns(b, p));
	chaos_heap_free(b, p);
	KUNIT_EXPECT_EQ(test, chaos_test_live(a), 1);
	chaos_test_idle(test, b, 1);
	chaos_test_destroy(test, b);
	chaos_heap_free(a, p);
	chaos_test_idle(test, a, 0);
}

static void expect_no_heap(struct kunit *test, void *p)
{
	struct kmsg_dump_iter log;

	chaos_test_log_start(&log);
	chaos_heap_destroy(p);
	if (IS_ENABLED(CONFIG_PRINTK))
		KUNIT_EXPECT_EQ(test, chaos_test_log_lines(&log, "which is no heap"), 1);
}

/* What is no heap is not even looked at. */
static void destroy_no_heap(struct kunit *test)
{
	struct chaos_heap *heap = chaos_test_heap(test, SZ_256K, 0);
	struct chaos_heap_params params = {
		.allocator = chaos_test_engine(test)->name,
		.pool_size = SZ_256K,
		.node = NUMA_NO_NODE,
	};
	struct chaos_heap *gone = chaos_heap_create(&params);
	struct chaos_heap_stats before, after;
	void *p = chaos_heap_alloc(heap, 100, GFP_KERNEL);

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, gone);
	KUNIT_ASSERT_NOT_NULL(test, p);
	chaos_heap_destroy(gone);
	/* Twice; a block; the heap's neighbourhood; nothing at all. */
	expect_no_heap(test, gone);
	expect_no_heap(test, p);
	expect_no_heap(test, (void *)heap + 8);
	expect_no_heap(test, (void *)8);
	/* These are nothing to talk about. */
	chaos_heap_stats(NULL, &before);
	chaos_heap_destroy(NULL);
	chaos_heap_destroy(ERR_PTR(-ENOMEM));
	chaos_heap_stats(NULL, &after);
	KUNIT_EXPECT_EQ(test, after.pools, before.pools);
	chaos_heap_free(heap, p);
	chaos_test_idle(test, heap, 0);
}

static struct kunit_case contract_cases[] = {
	CHAOS_CASE(zero_size),
	CHAOS_CASE(free_nothing),
	CHAOS_CASE(huge_sizes),
	CHAOS_CASE(truncated_sizes),
	CHAOS_CASE(bad_alignment),
	CHAOS_CASE(every_alignment),
	CHAOS_CASE(natural_alignment),
	CHAOS_CASE(usable_size),
	CHAOS_CASE(zeroed),
	CHAOS_CASE(gfp_refused),
	CHAOS_CASE(gfp_honoured),
	CHAOS_CASE(realloc_contents),
	CHAOS_CASE(realloc_neighbours),
	CHAOS_CASE(realloc_alignment),
	CHAOS_CASE(realloc_edges),
	CHAOS_CASE(realloc_zero),
	CHAOS_CASE(realloc_in_place),
	CHAOS_CASE(walk),
	CHAOS_CASE(owns),
	CHAOS_CASE(stats),
	CHAOS_CASE(collect),
	CHAOS_CASE(add_pool),
	CHAOS_CASE(add_pool_refused),
	CHAOS_CASE(own_memory_only),
	CHAOS_CASE(destroy_live),
	CHAOS_CASE(deferred_free),
	CHAOS_CASE(create_refused),
	CHAOS_CASE(heap_name),
	CHAOS_CASE(same_name),
	CHAOS_CASE(destroy_no_heap),
	{}
};

static struct kunit_suite contract_suite = {
	.name = "chaos_contract",
	.test_cases = contract_cases,
};

kunit_test_suites(&contract_suite);
