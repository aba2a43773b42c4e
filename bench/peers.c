// SPDX-License-Identifier: GPL-2.0
/*
 * The allocators, behind one interface.
 *
 * What is timed is one call through a pointer of a function here that hands its
 * arguments on.  Where the compiler makes that a jump, as it does without
 * instrumentation, the function costs each peer the same.
 */
#include <linux/genalloc.h>
#include <linux/mempool.h>
#include <linux/numa.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "bench.h"
#include "chaos_alloc.h"

/* Blocks that a mempool keeps back */
#define MEMPOOL_RESERVE		256
/* 16 bytes, in gen_pool's terms */
#define GEN_POOL_ORDER		4

/* ---------------------------------- empty --------------------------------- */

static noinline notrace void *nothing_alloc(size_t size, gfp_t gfp)
{
	barrier();	/* or the compiler knows that there is nothing */
	return ZERO_SIZE_PTR;
}

static noinline notrace void nothing_free(const void *p)
{
	barrier();
}

static void *empty_alloc(void *arg, size_t size, gfp_t gfp)
{
	return nothing_alloc(size, gfp);
}

static void empty_free(void *arg, void *p, size_t size)
{
	nothing_free(p);
}

const struct bench_peer bench_empty = {
	.name = "empty",
	.alloc = empty_alloc,
	.free = empty_free,
};

/* --------------------------- the kernel's own ------------------------------ */

static void *kmalloc_alloc(void *arg, size_t size, gfp_t gfp)
{
	return kmalloc(size, gfp);
}

static void kmalloc_free(void *arg, void *p, size_t size)
{
	kfree(p);
}

static const struct bench_peer peer_kmalloc = {
	.name = "kmalloc",
	.alloc = kmalloc_alloc,
	.free = kmalloc_free,
};

static int cache_setup(struct bench_heap *heap, size_t size)
{
	heap->arg = kmem_cache_create("chaos_bench", size, 0, 0, NULL);
	return heap->arg ? 0 : -ENOMEM;
}

static void cache_teardown(struct bench_heap *heap)
{
	kmem_cache_destroy(heap->arg);
}

static void *cache_alloc(void *arg, size_t size, gfp_t gfp)
{
	return kmem_cache_alloc(arg, gfp);
}

static void cache_free(void *arg, void *p, size_t size)
{
	kmem_cache_free(arg, p);
}

static const struct bench_peer peer_cache = {
	.name = "kmem_cache",
	.fixed = true,
	.setup = cache_setup,
	.teardown = cache_teardown,
	.alloc = cache_alloc,
	.free = cache_free,
};

static int mempool_setup(struct bench_heap *heap, size_t size)
{
	heap->arg = mempool_create_kmalloc_pool(MEMPOOL_RESERVE, size);
	return heap->arg ? 0 : -ENOMEM;
}

static void mempool_teardown(struct bench_heap *heap)
{
	mempool_destroy(heap->arg);
}

static void *bench_mempool_alloc(void *arg, size_t size, gfp_t gfp)
{
	return mempool_alloc(arg, gfp);
}

static void bench_mempool_free(void *arg, void *p, size_t size)
{
	mempool_free(p, arg);
}

static const struct bench_peer peer_mempool = {
	.name = "mempool",
	.fixed = true,
	.setup = mempool_setup,
	.teardown = mempool_teardown,
	.alloc = bench_mempool_alloc,
	.free = bench_mempool_free,
};

static int genpool_setup(struct bench_heap *heap, size_t size)
{
	struct gen_pool *pool = gen_pool_create(GEN_POOL_ORDER, NUMA_NO_NODE);
	int err = -ENOMEM;

	heap->mem = vmalloc(BENCH_POOL);
	if (pool && heap->mem)
		err = gen_pool_add(pool, (unsigned long)heap->mem, BENCH_POOL,
				   NUMA_NO_NODE);
	if (err) {
		if (pool)
			gen_pool_destroy(pool);
		vfree(heap->mem);
	}
	heap->arg = pool;
	return err;
}

static void genpool_teardown(struct bench_heap *heap)
{
	gen_pool_destroy(heap->arg);
	vfree(heap->mem);
}

static void *genpool_alloc(void *arg, size_t size, gfp_t gfp)
{
	return (void *)gen_pool_alloc(arg, size);
}

static void genpool_free(void *arg, void *p, size_t size)
{
	gen_pool_free(arg, (unsigned long)p, size);
}

static size_t genpool_held(void *arg)
{
	return gen_pool_size(arg) - gen_pool_avail(arg);
}

static const struct bench_peer peer_genpool = {
	.name = "gen_pool",
	.setup = genpool_setup,
	.teardown = genpool_teardown,
	.alloc = genpool_alloc,
	.free = genpool_free,
	.held = genpool_held,
};

static void *vmalloc_alloc(void *arg, size_t size, gfp_t gfp)
{
	return vmalloc(size);
}

static void vmalloc_free(void *arg, void *p, size_t size)
{
	vfree(p);
}

static const struct bench_peer peer_vmalloc = {
	.name = "vmalloc",
	.sleeps = true,
	.least = PAGE_SIZE,
	.alloc = vmalloc_alloc,
	.free = vmalloc_free,
};

/* ------------------------------- chaos_alloc ------------------------------- */

static void *default_alloc(void *arg, size_t size, gfp_t gfp)
{
	return chaos_alloc(size, gfp);
}

static void default_free(void *arg, void *p, size_t size)
{
	chaos_free(p);
}

static size_t heap_held(void *arg)
{
	struct chaos_heap_stats stats;

	chaos_heap_stats(arg, &stats);
	return stats.held_bytes;
}

/* Pages that the work before has left behind shall not matter. */
static int default_setup(struct bench_heap *heap, size_t size)
{
	chaos_heap_collect(NULL, true);
	return 0;
}

static const struct bench_peer peer_default = {
	.name = "default",
	.setup = default_setup,
	.alloc = default_alloc,
	.free = default_free,
	.held = heap_held,
};

static int heap_setup(struct bench_heap *heap, size_t size)
{
	const struct chaos_heap_params params = {
		.name = "bench",
		.allocator = heap->peer->name,
		.pool_size = BENCH_POOL,
		.node = NUMA_NO_NODE,
	};
	struct chaos_heap *created = chaos_heap_create(&params);

	heap->arg = created;
	return PTR_ERR_OR_ZERO(created);
}

static void heap_teardown(struct bench_heap *heap)
{
	chaos_heap_destroy(heap->arg);
}

static void *heap_alloc(void *arg, size_t size, gfp_t gfp)
{
	return chaos_heap_alloc(arg, size, gfp);
}

static void heap_free(void *arg, void *p, size_t size)
{
	chaos_heap_free(arg, p);
}

#define PEER_HEAP(engine) {		\
	.name = engine,			\
	.setup = heap_setup,		\
	.teardown = heap_teardown,	\
	.alloc = heap_alloc,		\
	.free = heap_free,		\
	.held = heap_held,		\
}

static const struct bench_peer peer_mimalloc = PEER_HEAP("mimalloc");
static const struct bench_peer peer_tlsf = PEER_HEAP("tlsf");
static const struct bench_peer peer_evl = PEER_HEAP("evl");

const struct bench_peer *const bench_peers[] = {
	&peer_kmalloc,
	&peer_default,
	&peer_mimalloc,
	&peer_tlsf,
	&peer_evl,
	&peer_cache,
	&peer_mempool,
	&peer_genpool,
	&peer_vmalloc,
	NULL
};
