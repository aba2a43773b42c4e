// SPDX-License-Identifier: GPL-2.0
/*
 * White-box tests of the pools and of the map from addresses to pools.
 */
#include <kunit/test.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "common.h"
#include "../engine.h"
#include "../pool.h"

static struct chaos_heap *pool_test_heap(struct kunit *test, size_t size,
					 size_t max)
{
	struct chaos_heap_params params = {
		.name = "pool_test",
		.allocator = "tlsf",
		.pool_size = size,
		.max_size = max,
		.node = NUMA_NO_NODE,
	};

	return chaos_test_create(test, &params);
}

static struct chaos_pool *pool_of(unsigned long addr)
{
	struct chaos_pool *pool;

	preempt_disable();
	pool = chaos_pool_of((void *)addr);
	preempt_enable();
	return pool;
}

/* Inside, on both borders, and one byte beyond. */
static void pool_borders(struct kunit *test)
{
	struct chaos_heap *heap = pool_test_heap(test, SZ_1M, 0);
	struct chaos_pool *pool = list_first_entry(&heap->pools,
						   struct chaos_pool, node);
	unsigned long end = chaos_pool_end(pool);

	KUNIT_EXPECT_EQ(test, pool->size, SZ_1M);
	KUNIT_EXPECT_EQ(test, pool->start % CHAOS_UNIT_SIZE, 0);
	KUNIT_EXPECT_PTR_EQ(test, pool_of(pool->start), pool);
	KUNIT_EXPECT_PTR_EQ(test, pool_of(pool->start + SZ_1M / 2), pool);
	KUNIT_EXPECT_PTR_EQ(test, pool_of(end - 1), pool);
	KUNIT_EXPECT_PTR_NE(test, pool_of(pool->start - 1), pool);
	KUNIT_EXPECT_PTR_NE(test, pool_of(end), pool);
	chaos_test_destroy(test, heap);
}

static void pool_foreign(struct kunit *test)
{
	unsigned int shift;
	int on_stack;

	KUNIT_EXPECT_NULL(test, pool_of(0));
	KUNIT_EXPECT_NULL(test, pool_of(1));
	KUNIT_EXPECT_NULL(test, pool_of(~0UL));
	KUNIT_EXPECT_NULL(test, pool_of((unsigned long)&on_stack));
	KUNIT_EXPECT_NULL(test, pool_of((unsigned long)pool_foreign));
	KUNIT_EXPECT_NULL(test, pool_of((unsigned long)test));
	for (shift = 0; shift < BITS_PER_LONG; shift++)
		KUNIT_EXPECT_NULL(test, pool_of(1UL << shift));
}

/*
 * The map ignores the bits above those that tell units apart; an address that
 * differs from a pool's in these only is still not in it.
 */
static void pool_aliases(struct kunit *test)
{
	struct chaos_heap *heap = pool_test_heap(test, SZ_1M, 0);
	struct chaos_pool *pool = list_first_entry(&heap->pools,
						   struct chaos_pool, node);
	unsigned int bit;

	for (bit = CHAOS_UNIT_SHIFT + 4; bit < BITS_PER_LONG; bit++)
		KUNIT_EXPECT_PTR_NE(test, pool_of(pool->start ^ (1UL << bit)),
				    pool);
	chaos_test_destroy(test, heap);
}

static void pool_gone_after_destroy(struct kunit *test)
{
	struct chaos_heap *heap = pool_test_heap(test, SZ_1M, 0);
	struct chaos_pool *pool = list_first_entry(&heap->pools,
						   struct chaos_pool, node);
	unsigned long start = pool->start;

	chaos_test_destroy(test, heap);
	KUNIT_EXPECT_NULL(test, pool_of(start));
}

/* Growth doubles, and stops at max_size. */
static void pool_growth(struct kunit *test)
{
	struct chaos_heap *heap = pool_test_heap(test, SZ_1M, 4 * SZ_1M);
	struct chaos_heap_stats stats;
	size_t last = SZ_1M;
	unsigned int n;

	for (n = 0; chaos_heap_alloc(heap, SZ_64K - 64, GFP_KERNEL | __GFP_NOWARN);
	     n++) {
		chaos_heap_stats(heap, &stats);
		KUNIT_ASSERT_TRUE(test, stats.pool_bytes == last ||
				  stats.pool_bytes == 2 * last);
		last = stats.pool_bytes;
	}
	chaos_heap_stats(heap, &stats);
	KUNIT_EXPECT_EQ(test, stats.pool_bytes, 4 * SZ_1M);
	KUNIT_EXPECT_EQ(test, stats.pools, 3);
	KUNIT_EXPECT_EQ(test, stats.grows, 2);
	KUNIT_EXPECT_GE(test, n, 4 * SZ_1M / SZ_64K - 4);
	chaos_test_destroy(test, heap);
}

/* Memory of the caller's: only whole aligned units, and nobody's else. */
static void pool_adopted(struct kunit *test)
{
	struct chaos_heap *heap = pool_test_heap(test, SZ_64K, 0);
	char *mem = vmalloc(3 * SZ_64K);
	unsigned long start;

	KUNIT_ASSERT_NOT_NULL(test, mem);
	start = ALIGN((unsigned long)mem, SZ_64K);
	KUNIT_EXPECT_EQ(test, chaos_heap_add_pool(heap, NULL, SZ_1M), -EINVAL);
	KUNIT_EXPECT_EQ(test, chaos_heap_add_pool(heap, (void *)start, SZ_64K - 1),
			-EINVAL);
	KUNIT_EXPECT_EQ(test, chaos_heap_add_pool(heap, (void *)start, SIZE_MAX),
			-EINVAL);
	KUNIT_EXPECT_EQ(test, chaos_heap_add_pool(heap, ERR_PTR(-EINVAL), 16),
			-EINVAL);
	KUNIT_EXPECT_EQ(test, chaos_heap_add_pool(heap, mem, 3 * SZ_64K), 0);
	KUNIT_EXPECT_TRUE(test, chaos_heap_owns(heap, (void *)start));
	KUNIT_EXPECT_EQ(test, chaos_heap_add_pool(heap, (void *)start, SZ_64K),
			-EEXIST);
	KUNIT_EXPECT_EQ(test, chaos_heap_add_pool(NULL, (void *)start, SZ_64K),
			-EEXIST);
	chaos_test_destroy(test, heap);
	KUNIT_EXPECT_NULL(test, pool_of(start));
	vfree(mem);
}

/* A heap that has no room for another pool does not wake the worker. */
static void pool_no_room(struct kunit *test)
{
	struct chaos_heap *heap = pool_test_heap(test, SZ_1M, SZ_1M + SZ_4K);

	KUNIT_EXPECT_EQ(test, heap->low_mark, SIZE_MAX);
	chaos_test_destroy(test, heap);
	heap = pool_test_heap(test, SZ_1M, SZ_1M + SZ_64K);
	KUNIT_EXPECT_EQ(test, heap->low_mark, SZ_1M - SZ_1M * 12 / 100);
	chaos_test_destroy(test, heap);
}

static struct kunit_case pool_cases[] = {
	KUNIT_CASE(pool_no_room),
	KUNIT_CASE(pool_borders),
	KUNIT_CASE(pool_foreign),
	KUNIT_CASE(pool_aliases),
	KUNIT_CASE(pool_gone_after_destroy),
	KUNIT_CASE(pool_growth),
	KUNIT_CASE(pool_adopted),
	{}
};

static struct kunit_suite pool_suite = {
	.name = "chaos_pool",
	.test_cases = pool_cases,
};

kunit_test_suite(pool_suite);
