// SPDX-License-Identifier: GPL-2.0
/*
 * The allocators, behind one interface.
 *
 * What is timed is one call through a pointer of a function here that hands its
 * arguments on.  Where the compiler makes that a jump, as it does without
 * instrumentation, the function costs each peer the same.
 */
#include <linux/genalloc.h>
#include <linux/log2.h>
#include <linux/mempool.h>
#include <linux/mm.h>		/* vmstat.h, which needs it */
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

/*
 * That the arguments are made use of keeps the compiler from seeing that there is
 * nothing to call them for, and from not handing them on.
 */
static noinline notrace void nothing_free(const void *p)
{
	bench_use(p);
}

static noinline notrace void *nothing_alloc(size_t size, gfp_t gfp)
{
	bench_use(size);
	bench_use(gfp);
	return ZERO_SIZE_PTR;
}

static noinline notrace void *nothing_aligned(size_t size, size_t align, gfp_t gfp)
{
	bench_use(size);
	bench_use(align);
	bench_use(gfp);
	return ZERO_SIZE_PTR;
}

static noinline notrace void *nothing_realloc(void *p, size_t size, gfp_t gfp)
{
	bench_use(p);
	bench_use(size);
	bench_use(gfp);
	return ZERO_SIZE_PTR;
}

static noinline notrace size_t nothing_bulk(size_t size, gfp_t gfp, size_t n)
{
	bench_use(size);
	bench_use(gfp);
	bench_use(n);
	return n;
}

static void *empty_alloc(void *arg, size_t size, gfp_t gfp)
{
	return nothing_alloc(size, gfp);
}

static void empty_free(void *arg, void *p, size_t size)
{
	nothing_free(p);
}

static void *empty_aligned(void *arg, size_t size, size_t align, gfp_t gfp)
{
	return nothing_aligned(size, align, gfp);
}

static void *empty_realloc(void *arg, void *p, size_t size, gfp_t gfp)
{
	return nothing_realloc(p, size, gfp);
}

static size_t empty_alloc_bulk(void *arg, size_t size, gfp_t gfp, size_t n, void **p)
{
	return nothing_bulk(size, gfp, n);
}

static void empty_free_bulk(void *arg, size_t n, void **p)
{
	nothing_free(p);
}

const struct bench_peer bench_empty = {
	.name = "empty",
	.alloc = empty_alloc,
	.free = empty_free,
	.aligned = empty_aligned,
	.realloc = empty_realloc,
	.alloc_bulk = empty_alloc_bulk,
	.free_bulk = empty_free_bulk,
};

/* --------------------------------- kmalloc -------------------------------- */

/* Sizes of kmalloc's caches; larger blocks are pages of their own. */
static const size_t kmalloc_sizes[] = {
	8, 16, 32, 64, 96, 128, 192, 256, 512, SZ_1K, SZ_2K, SZ_4K, SZ_8K
};

/* More than that need not be in the slabs of a cache. */
#define PLUG_LIMIT	(64UL << 10)

/*
 * Pages of slabs, and of kmalloc's large blocks.  The kernel counts up to a
 * hundred or so of them per CPU before it adds them to the sum.
 */
static s64 slab_pages(void)
{
	s64 pages = global_node_page_state_pages(NR_SLAB_RECLAIMABLE_B) +
		    global_node_page_state_pages(NR_SLAB_UNRECLAIMABLE_B);
#ifdef CONFIG_SMP
	struct per_cpu_nodestat *stat;
	int node, cpu;

	for_each_online_node(node) {
		for_each_online_cpu(cpu) {
			stat = per_cpu_ptr(NODE_DATA(node)->per_cpu_nodestats, cpu);
			pages += stat->vm_node_stat_diff[NR_SLAB_RECLAIMABLE_B];
			pages += stat->vm_node_stat_diff[NR_SLAB_UNRECLAIMABLE_B];
		}
	}
#endif
	return pages;
}

static void kmalloc_footprint(void *arg, struct bench_footprint *footprint)
{
	footprint->held = slab_pages() * PAGE_SIZE;
}

/* A block that is held, with the next one's address in it */
struct plug {
	struct plug *next;
};

/* Takes all that is free in the slabs of a cache, and the first of a new slab. */
static struct plug *plug_cache(struct plug *plugs, size_t size)
{
	s64 before = slab_pages();
	struct plug *plug;
	unsigned long i;

	for (i = 0; i < PLUG_LIMIT && slab_pages() <= before; i++) {
		plug = kmalloc(size, GFP_KERNEL);
		if (!plug)
			break;
		plug->next = plugs;
		plugs = plug;
	}
	return plugs;
}

/*
 * What boot has left free in slabs would not be counted as held when we get it.
 * Nor would it have to be got: the heaps start from scratch, too.
 */
static int kmalloc_setup(struct bench_heap *heap, size_t size, size_t align)
{
	struct plug *plugs = NULL;
	unsigned int i;

	if (!size)
		for (i = 0; i < ARRAY_SIZE(kmalloc_sizes); i++)
			plugs = plug_cache(plugs, kmalloc_sizes[i]);
	heap->mem = plugs;
	return 0;
}

static void kmalloc_teardown(struct bench_heap *heap)
{
	struct plug *plug = heap->mem, *next;

	for (; plug; plug = next) {
		next = plug->next;
		kfree(plug);
	}
}

static void *kmalloc_alloc(void *arg, size_t size, gfp_t gfp)
{
	return kmalloc(size, gfp);
}

static void kmalloc_free(void *arg, void *p, size_t size)
{
	kfree(p);
}

/* Powers of two are aligned naturally. */
static void *kmalloc_aligned(void *arg, size_t size, size_t align, gfp_t gfp)
{
	return kmalloc(roundup_pow_of_two(max(size, align)), gfp);
}

static void *kmalloc_realloc(void *arg, void *p, size_t size, gfp_t gfp)
{
	return krealloc(p, size, gfp);
}

static const struct bench_peer peer_kmalloc = {
	.name = "kmalloc",
	.setup = kmalloc_setup,
	.teardown = kmalloc_teardown,
	.alloc = kmalloc_alloc,
	.free = kmalloc_free,
	.aligned = kmalloc_aligned,
	.realloc = kmalloc_realloc,
	.footprint = kmalloc_footprint,
};

/* --------------------------- the kernel's others --------------------------- */

static int cache_setup(struct bench_heap *heap, size_t size, size_t align)
{
	if (align)
		size += size / 2;
	heap->arg = kmem_cache_create("chaos_bench", size, align, 0, NULL);
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

static void *cache_aligned(void *arg, size_t size, size_t align, gfp_t gfp)
{
	return kmem_cache_alloc(arg, gfp);
}

static size_t cache_alloc_bulk(void *arg, size_t size, gfp_t gfp, size_t n, void **p)
{
	return kmem_cache_alloc_bulk(arg, gfp, n, p);
}

static void cache_free_bulk(void *arg, size_t n, void **p)
{
	kmem_cache_free_bulk(arg, n, p);
}

static const struct bench_peer peer_cache = {
	.name = "kmem_cache",
	.fixed = true,
	.setup = cache_setup,
	.teardown = cache_teardown,
	.alloc = cache_alloc,
	.free = cache_free,
	.aligned = cache_aligned,
	.alloc_bulk = cache_alloc_bulk,
	.free_bulk = cache_free_bulk,
};

static int mempool_setup(struct bench_heap *heap, size_t size, size_t align)
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

#ifdef CONFIG_GENERIC_ALLOCATOR
static int genpool_setup(struct bench_heap *heap, size_t size, size_t align)
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

/* Its bitmap has a bit for each 16 bytes. */
static void genpool_footprint(void *arg, struct bench_footprint *footprint)
{
	footprint->held = gen_pool_size(arg) - gen_pool_avail(arg);
	footprint->meta = gen_pool_size(arg) >> GEN_POOL_ORDER >> 3;
}

static const struct bench_peer peer_genpool = {
	.name = "gen_pool",
	.linear = true,
	.setup = genpool_setup,
	.teardown = genpool_teardown,
	.alloc = genpool_alloc,
	.free = genpool_free,
	.footprint = genpool_footprint,
};
#endif

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

static void *default_aligned(void *arg, size_t size, size_t align, gfp_t gfp)
{
	return chaos_alloc_aligned(size, align, gfp);
}

static void *default_realloc(void *arg, void *p, size_t size, gfp_t gfp)
{
	return chaos_realloc(p, size, gfp);
}

static size_t default_alloc_bulk(void *arg, size_t size, gfp_t gfp, size_t n, void **p)
{
	return chaos_alloc_bulk(size, gfp, n, p);
}

static void default_free_bulk(void *arg, size_t n, void **p)
{
	chaos_free_bulk(n, p);
}

/* Of NULL as well: the default heap */
static void heap_footprint(void *arg, struct bench_footprint *footprint)
{
	struct chaos_heap_stats stats;

	chaos_heap_stats(arg, &stats);
	footprint->held = stats.held_bytes;
	footprint->meta = stats.meta_bytes;
}

/* Pages that the work before has left behind shall not matter. */
static int default_setup(struct bench_heap *heap, size_t size, size_t align)
{
	chaos_heap_collect(NULL, true);
	return 0;
}

static const struct bench_peer peer_default = {
	.name = "default",
	.setup = default_setup,
	.alloc = default_alloc,
	.free = default_free,
	.aligned = default_aligned,
	.realloc = default_realloc,
	.alloc_bulk = default_alloc_bulk,
	.free_bulk = default_free_bulk,
	.footprint = heap_footprint,
};

static int heap_setup(struct bench_heap *heap, size_t size, size_t align)
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

static void *heap_aligned(void *arg, size_t size, size_t align, gfp_t gfp)
{
	return chaos_heap_alloc_aligned(arg, size, align, gfp);
}

static void *heap_realloc(void *arg, void *p, size_t size, gfp_t gfp)
{
	return chaos_heap_realloc(arg, p, size, gfp);
}

static size_t heap_alloc_bulk(void *arg, size_t size, gfp_t gfp, size_t n, void **p)
{
	return chaos_heap_alloc_bulk(arg, size, gfp, n, p);
}

static void heap_free_bulk(void *arg, size_t n, void **p)
{
	chaos_heap_free_bulk(arg, n, p);
}

#define PEER_HEAP(engine) {			\
	.name = engine,				\
	.setup = heap_setup,			\
	.teardown = heap_teardown,		\
	.alloc = heap_alloc,			\
	.free = heap_free,			\
	.aligned = heap_aligned,		\
	.realloc = heap_realloc,		\
	.alloc_bulk = heap_alloc_bulk,		\
	.free_bulk = heap_free_bulk,		\
	.footprint = heap_footprint,		\
}

static const struct bench_peer peer_mimalloc = PEER_HEAP("mimalloc");
static const struct bench_peer peer_tlsf = PEER_HEAP("tlsf");
static const struct bench_peer peer_evl = PEER_HEAP("evl");

int bench_heap_setup(struct bench_heap *heap, const struct bench_peer *peer,
		     size_t size, size_t align)
{
	*heap = (struct bench_heap) { .peer = peer };
	return peer->setup ? peer->setup(heap, size, align) : 0;
}

void bench_heap_teardown(struct bench_heap *heap)
{
	if (heap->peer->teardown)
		heap->peer->teardown(heap);
}

const struct bench_peer *const bench_peers[] = {
	&bench_empty,
	&peer_kmalloc,
	&peer_default,
	&peer_mimalloc,
	&peer_tlsf,
	&peer_evl,
	&peer_cache,
	&peer_mempool,
#ifdef CONFIG_GENERIC_ALLOCATOR
	&peer_genpool,
#endif
	&peer_vmalloc,
	NULL
};
