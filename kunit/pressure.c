// SPDX-License-Identifier: GPL-2.0
/*
 * A client with a heap that has grown and is empty again, for rootfs/pressure.sh:
 * nobody but the shrinker gives the memory back.  Shows the heap's figures as
 * module parameters.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/err.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sizes.h>

#include "chaos_alloc.h"

#define PRESSURE_BLOCK	SZ_32K
#define PRESSURE_NEVER	3600000

static char *allocator = "mimalloc";
module_param(allocator, charp, 0444);
MODULE_PARM_DESC(allocator, "the heap's engine");

static unsigned int mib = 32;
module_param(mib, uint, 0444);
MODULE_PARM_DESC(mib, "MiB that the heap grows to");

static struct chaos_heap *heap;

static int pressure_show(char *buffer, const struct kernel_param *kp)
{
	struct chaos_heap_stats stats;
	int n;

	if (IS_ERR_OR_NULL(heap))
		return -ENODEV;
	chaos_heap_stats(heap, &stats);
	n = sysfs_emit(buffer, "pools=%u pool_bytes=%zu grows=%lu returns=%lu ",
		       stats.pools, stats.pool_bytes, stats.grows, stats.returns);
	return n + sysfs_emit_at(buffer, n, "check=%d page_size=%lu\n",
				 chaos_heap_check(heap), PAGE_SIZE);
}

static const struct kernel_param_ops pressure_ops = { .get = pressure_show };

module_param_cb(stats, &pressure_ops, NULL, 0444);
MODULE_PARM_DESC(stats, "the heap's figures");

/* Grow the heap to the full with a list of blocks, and free them. */
static void pressure_swell(void)
{
	void **block, *last = NULL;

	while ((block = chaos_heap_alloc(heap, PRESSURE_BLOCK,
					 GFP_KERNEL | __GFP_NOWARN))) {
		*block = last;
		last = block;
	}
	while ((block = last)) {
		last = *block;
		chaos_heap_free(heap, block);
	}
}

static int __init pressure_init(void)
{
	struct chaos_heap_params params = {
		.name = "pressure",
		.allocator = allocator,
		.pool_size = SZ_1M,
		.max_size = (size_t)mib * SZ_1M,
		.node = NUMA_NO_NODE,
	};
	int err;

	heap = chaos_heap_create(&params);
	if (IS_ERR(heap))
		return PTR_ERR(heap);
	err = chaos_heap_set_option(heap, CHAOS_OPT_RETURN_DELAY, PRESSURE_NEVER);
	if (err) {
		chaos_heap_destroy(heap);
		return err;
	}
	pressure_swell();
	return 0;
}

static void __exit pressure_exit(void)
{
	chaos_heap_destroy(heap);
}

module_init(pressure_init);
module_exit(pressure_exit);

MODULE_DESCRIPTION("Client of chaos_alloc with memory that the shrinker can have");
MODULE_LICENSE("GPL");
