// SPDX-License-Identifier: GPL-2.0
/*
 * Suite chaos_numa: which node a heap's memory is on.  A module of its own:
 * rootfs/numa.sh loads it in a guest that has several nodes.
 */
#include <kunit/test.h>
#include <linux/cpumask.h>
#include <linux/delay.h>
#include <linux/err.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/nodemask.h>
#include <linux/sizes.h>
#include <linux/topology.h>
#include <linux/vmalloc.h>
#include <linux/workqueue.h>

#include "chaos_alloc.h"
#include "engine.h"

#define NUMA_RESERVE	SZ_4M
#define NUMA_MAX	(4 * NUMA_RESERVE)

static const char * const numa_engines[] = { "mimalloc", "tlsf", "evl" };

static void numa_engine_desc(const char * const *engine, char *desc)
{
	strscpy(desc, *engine, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(numa_engine, numa_engines, numa_engine_desc);

/* What is to be done on a CPU of some node. */
struct numa_job {
	struct kunit *test;
	struct chaos_heap *heap;
	int node;
	gfp_t gfp;
	size_t bytes;
};

static void numa_run_on(struct kunit *test, int node, long (*fn)(void *),
			struct numa_job *job)
{
	unsigned int cpu = cpumask_first_and(cpumask_of_node(node),
					     cpu_online_mask);

	KUNIT_ASSERT_LT(test, cpu, nr_cpu_ids);
	job->test = test;
	KUNIT_ASSERT_EQ(test, work_on_cpu(cpu, fn, job), 0);
}

static long numa_create(void *arg)
{
	struct numa_job *job = arg;
	const struct chaos_heap_params params = {
		.name = "numa",
		.allocator = *(const char * const *)job->test->param_value,
		.pool_size = NUMA_RESERVE,
		.max_size = NUMA_MAX,
		.node = job->node,
	};

	job->heap = chaos_heap_create(&params);
	return PTR_ERR_OR_ZERO(job->heap);
}

static void numa_destroy(void *heap)
{
	chaos_heap_destroy(heap);
}

/* A heap for @node, made by a CPU of @maker. */
static struct chaos_heap *numa_heap(struct kunit *test, int maker, int node)
{
	struct numa_job job = { .node = node };

	numa_run_on(test, maker, numa_create, &job);
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, numa_destroy,
							job.heap), 0);
	return job.heap;
}

static long numa_take(void *arg)
{
	struct numa_job *job = arg;
	size_t bytes;

	/* They go with the heap. */
	for (bytes = 0; bytes < job->bytes; bytes += SZ_64K)
		if (!chaos_heap_alloc(job->heap, SZ_64K - 256,
				      job->gfp | __GFP_NOWARN))
			return -ENOMEM;
	return 0;
}

/* CPUs of @node take @bytes. */
static void numa_use(struct kunit *test, struct chaos_heap *heap, int node,
		     gfp_t gfp, size_t bytes)
{
	struct numa_job job = { .heap = heap, .gfp = gfp, .bytes = bytes };

	numa_run_on(test, node, numa_take, &job);
}

/* With the mutex: a pool may be in use before it has been counted. */
static unsigned int numa_pools(struct chaos_heap *heap)
{
	struct chaos_heap_stats stats;

	chaos_heap_stats(heap, &stats);
	return stats.pools;
}

static size_t numa_strangers(const struct chaos_pool *pool, int node)
{
	unsigned long addr;
	size_t n = 0;

	for (addr = pool->start; addr < chaos_pool_end(pool); addr += PAGE_SIZE)
		n += page_to_nid(vmalloc_to_page((void *)addr)) != node;
	return n;
}

/* Every page of the newest @n pools is on @node, and the pools say so. */
static void numa_expect(struct kunit *test, struct chaos_heap *heap, int node,
			unsigned int n)
{
	struct chaos_pool *pool;

	mutex_lock(&heap->mutex);
	KUNIT_EXPECT_GE(test, heap->nr_pools, n);
	list_for_each_entry_reverse(pool, &heap->pools, node) {
		if (!n--)
			break;
		KUNIT_EXPECT_EQ(test, pool->nid, node);
		KUNIT_EXPECT_EQ(test, numa_strangers(pool, node), 0);
	}
	mutex_unlock(&heap->mutex);
}

/* A heap for any node has its memory where it was made. */
static void numa_creation(struct kunit *test)
{
	int node;

	for_each_online_node(node)
		numa_expect(test, numa_heap(test, node, NUMA_NO_NODE), node, 1);
}

/* It grows where the CPU is that needs more. */
static void numa_growth(struct kunit *test)
{
	int node;

	for_each_online_node(node) {
		int maker = next_online_node(node) < MAX_NUMNODES ?
			    next_online_node(node) : first_online_node;
		struct chaos_heap *heap = numa_heap(test, maker, NUMA_NO_NODE);

		KUNIT_EXPECT_EQ(test, chaos_heap_set_option(heap, CHAOS_OPT_WATERMARK,
							    0), 0);
		numa_expect(test, heap, maker, 1);
		numa_use(test, heap, node, GFP_KERNEL, NUMA_RESERVE + SZ_512K);
		KUNIT_EXPECT_EQ(test, numa_pools(heap), 2);
		numa_expect(test, heap, node, 1);
	}
}

/* The same for the worker, whichever CPU it runs on. */
static void numa_worker(struct kunit *test)
{
	int node;

	for_each_online_node(node) {
		int maker = next_online_node(node) < MAX_NUMNODES ?
			    next_online_node(node) : first_online_node;
		struct chaos_heap *heap = numa_heap(test, maker, NUMA_NO_NODE);
		unsigned int tries;

		numa_use(test, heap, node, GFP_ATOMIC, NUMA_RESERVE / 100 * 92);
		for (tries = 0; numa_pools(heap) < 2 && tries < 1000; tries++)
			msleep(20);
		KUNIT_EXPECT_EQ(test, numa_pools(heap), 2);
		numa_expect(test, heap, node, 1);
	}
}

/* A heap for one node stays there, whoever makes it and wants more of it. */
static void numa_bound(struct kunit *test)
{
	int node, maker;

	for_each_online_node(node) {
		for_each_online_node(maker) {
			struct chaos_heap *heap = numa_heap(test, maker, node);

			numa_use(test, heap, maker, GFP_KERNEL, 2 * NUMA_RESERVE);
			KUNIT_EXPECT_GE(test, numa_pools(heap), 2);
			numa_expect(test, heap, node, numa_pools(heap));
		}
	}
}

/* Memory of the caller's is on the node that it is on. */
static void numa_adopted(struct kunit *test)
{
	struct chaos_heap *heap = numa_heap(test, first_online_node, NUMA_NO_NODE);
	void *mem[MAX_NUMNODES] = {};
	int node;

	for_each_online_node(node) {
		mem[node] = vmalloc_node(SZ_1M, node);
		KUNIT_ASSERT_NOT_NULL(test, mem[node]);
		KUNIT_EXPECT_EQ(test, chaos_heap_add_pool(heap, mem[node], SZ_1M), 0);
		numa_expect(test, heap, node, 1);
	}
	kunit_release_action(test, numa_destroy, heap);
	for_each_online_node(node)
		vfree(mem[node]);
}

static int numa_init(struct kunit *test)
{
	if (num_online_nodes() < 2)
		kunit_skip(test, "there is one node only");
	return 0;
}

#define NUMA_CASE(fn)	KUNIT_CASE_PARAM(fn, numa_engine_gen_params)

static struct kunit_case numa_cases[] = {
	NUMA_CASE(numa_creation),
	NUMA_CASE(numa_growth),
	NUMA_CASE(numa_worker),
	NUMA_CASE(numa_bound),
	NUMA_CASE(numa_adopted),
	{}
};

static struct kunit_suite numa_suite = {
	.name = "chaos_numa",
	.init = numa_init,
	.test_cases = numa_cases,
};

kunit_test_suite(numa_suite);

MODULE_DESCRIPTION("KUnit tests of chaos_alloc on several NUMA nodes");
MODULE_LICENSE("GPL");
