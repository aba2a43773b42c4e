// SPDX-License-Identifier: GPL-2.0
/*
 * Pools, and the map from any address to its pool.
 *
 * A pool is one vmalloc'd range, or a range that the caller provides.  The map
 * is a radix tree of three levels (see pool.h); chaos_pool_of() reads it without
 * a lock from any context.
 *
 * Who may touch what: chaos_pool_map_mutex serialises those who add nodes and
 * leaves, and those who claim units.  A unit that has been claimed is its pool's
 * owner's to clear, without a lock.  A pool's fields are constant from
 * chaos_pool_publish() until a grace period after chaos_pool_withdraw().  Pools
 * come and go while the heap is in use.  Nodes and leaves are added, never
 * removed, until the module goes: their number is bounded by the address space
 * that pools have ever used (one leaf covers 256 MiB).
 *
 * The mutex is held over allocations, which may enter reclaim, and reclaim may
 * withdraw pools: that is why chaos_pool_withdraw() does without it.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/align.h>
#include <linux/export.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/overflow.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "compat.h"
#include "engine.h"
#include "fault.h"
#include "pool.h"
#include "sanitize.h"

/* Pages of a pool that are asked for their NUMA node. */
#define CHAOS_NID_SAMPLES	16

static DEFINE_MUTEX(chaos_pool_map_mutex);

/* Stand-ins for what is not there; never written. */
static struct chaos_map_leaf *chaos_map_no_leaf __ro_after_init;
static struct chaos_map_node *chaos_map_no_node __ro_after_init;

struct chaos_map_node *chaos_map_root[CHAOS_MAP_ROOT_SIZE];
EXPORT_SYMBOL_IF_KUNIT(chaos_map_root);

/**
 * chaos_meta_alloc() - memory for what describes pools, or is needed to look at them
 * @size: bytes
 * @node: NUMA node to take it from as long as that has some, or NUMA_NO_NODE
 *
 * Whoever needs it reports its lack, or can do without: like pools themselves, it is not worth
 * a process's life, nor a wait without end under heap->mutex.
 *
 * Context: task; may sleep.
 * Return: the memory, all zeroes, for kvfree(); or NULL
 */
void *chaos_meta_alloc(size_t size, int node)
{
	gfp_t gfp = GFP_KERNEL | __GFP_ZERO | __GFP_NOWARN | __GFP_RETRY_MAYFAIL;

	if (chaos_fails(CHAOS_FAULT_META, size))
		return NULL;
	/* kvmalloc() refuses sizes of 2 GiB, which a pool of 128 GiB needs. */
	if (size > INT_MAX)
		return vmalloc_huge_node(size, gfp, node);
	return kvmalloc_node(size, gfp, node);
}

static unsigned long map_root_index(unsigned long unit)
{
	return (unit >> (2 * CHAOS_MAP_BITS)) & (CHAOS_MAP_ROOT_SIZE - 1);
}

static unsigned long map_node_index(unsigned long unit)
{
	return (unit >> CHAOS_MAP_BITS) & CHAOS_MAP_MASK;
}

static struct chaos_map_node *map_node_get(unsigned long unit)
{
	struct chaos_map_node **slot = &chaos_map_root[map_root_index(unit)];
	struct chaos_map_node *node = *slot;
	unsigned long i;

	lockdep_assert_held(&chaos_pool_map_mutex);
	if (node != chaos_map_no_node)
		return node;
	node = chaos_meta_alloc(sizeof(*node), NUMA_NO_NODE);
	if (!node)
		return NULL;
	for (i = 0; i < CHAOS_MAP_FANOUT; i++)
		node->leaf[i] = chaos_map_no_leaf;
	/* The node's contents before the pointer; see chaos_pool_of(). */
	smp_store_release(slot, node);
	return node;
}

static struct chaos_map_leaf *map_leaf_get(unsigned long unit)
{
	struct chaos_map_node *node = map_node_get(unit);
	struct chaos_map_leaf **slot, *leaf;

	if (!node)
		return NULL;
	slot = &node->leaf[map_node_index(unit)];
	if (*slot != chaos_map_no_leaf)
		return *slot;
	leaf = chaos_meta_alloc(sizeof(*leaf), NUMA_NO_NODE);
	if (leaf)
		/* The leaf's contents before the pointer. */
		smp_store_release(slot, leaf);
	return leaf;
}

static unsigned long pool_first_unit(const struct chaos_pool *pool)
{
	return pool->start >> CHAOS_UNIT_SHIFT;
}

static unsigned long pool_end_unit(const struct chaos_pool *pool)
{
	return chaos_pool_end(pool) >> CHAOS_UNIT_SHIFT;
}

static struct chaos_pool **map_entry(unsigned long unit)
{
	struct chaos_map_node *node = READ_ONCE(chaos_map_root[map_root_index(unit)]);
	struct chaos_map_leaf *leaf = READ_ONCE(node->leaf[map_node_index(unit)]);

	return &leaf->pool[unit & CHAOS_MAP_MASK];
}

/*
 * Enter @pool, or NULL, for every unit of @range.  All leaves exist.
 *
 * The release orders the pool's fields, and the engine's metadata behind them,
 * before the pointer; the reader's address dependency does the rest.
 */
static void map_set(const struct chaos_pool *range, struct chaos_pool *pool)
{
	unsigned long unit;

	for (unit = pool_first_unit(range); unit < pool_end_unit(range); unit++)
		/* Pairs with chaos_pool_of(). */
		smp_store_release(map_entry(unit), pool);
}

/* Make all leaves of the range and see that nobody has a unit of it yet. */
static int map_prepare(const struct chaos_pool *range)
{
	unsigned long unit;

	for (unit = pool_first_unit(range); unit < pool_end_unit(range); unit++) {
		struct chaos_map_leaf *leaf = map_leaf_get(unit);

		if (!leaf)
			return -ENOMEM;
		if (READ_ONCE(leaf->pool[unit & CHAOS_MAP_MASK]))
			return -EEXIST;
	}
	return 0;
}

struct chaos_pool chaos_no_pool __ro_after_init;

/**
 * chaos_pool_publish() - enter a pool into the map
 * @pool: its metadata is complete: any address in it may be asked for at once
 *
 * Context: task; may sleep.
 * Return: 0, -ENOMEM, or -EEXIST if memory of it belongs to another pool
 */
int chaos_pool_publish(struct chaos_pool *pool)
{
	int err;

	mutex_lock(&chaos_pool_map_mutex);
	err = map_prepare(pool);
	if (!err) {
		/* Not before it is known that no other pool has this memory. */
		chaos_san_pool_enter(pool);
		pool->entered = true;
		map_set(pool, pool);
	}
	mutex_unlock(&chaos_pool_map_mutex);
	return err;
}

/**
 * chaos_pool_withdraw() - take a pool out of the map
 * @pool: a published pool, nothing of which can be allocated any more
 *
 * Somebody who frees a wrong pointer may have found the pool just before:
 * the caller waits for a grace period before it frees anything of the pool.
 *
 * Context: any; called from memory reclaim, too.
 */
void chaos_pool_withdraw(struct chaos_pool *pool)
{
	map_set(pool, NULL);
}
EXPORT_SYMBOL_IF_KUNIT(chaos_pool_withdraw);

/* The node that has the page at @addr, or NUMA_NO_NODE if that cannot be told. */
static int nid_at(unsigned long addr)
{
	struct page *page = NULL;

	if (is_vmalloc_addr((void *)addr))
		page = vmalloc_to_page((void *)addr);
	else if (virt_addr_valid((void *)addr))
		page = virt_to_page((void *)addr);
	/* The caller's memory need not be RAM. */
	if (!page || !pfn_valid(page_to_pfn(page)))
		return NUMA_NO_NODE;
	return page_to_nid(page);
}

/*
 * The node that most of the range is on.  The page allocator goes on to other
 * nodes when the one it was asked for is full, so see where the pages are.
 */
static int range_nid(unsigned long start, size_t size)
{
	int nid = nid_at(start), here = 0, i;

	for (i = 0; i < CHAOS_NID_SAMPLES; i++)
		here += nid_at(start + size / CHAOS_NID_SAMPLES * i) == nid;
	return here > CHAOS_NID_SAMPLES / 2 ? nid : NUMA_NO_NODE;
}

static struct chaos_pool *pool_new(struct chaos_heap *heap, void *mem,
				   size_t size)
{
	unsigned long start = ALIGN((unsigned long)mem, CHAOS_UNIT_SIZE);
	unsigned long end = ALIGN_DOWN((unsigned long)mem + size,
				       CHAOS_UNIT_SIZE);
	struct chaos_pool *pool;

	/* The first comparison: so near to the end that ALIGN() wrapped. */
	if (start < (unsigned long)mem || start >= end)
		return ERR_PTR(-EINVAL);
	pool = chaos_meta_alloc(sizeof(*pool), NUMA_NO_NODE);
	if (!pool)
		return ERR_PTR(-ENOMEM);
	pool->start = start;
	pool->size = end - start;
	pool->heap = heap;
	pool->nid = range_nid(start, pool->size);
	INIT_LIST_HEAD(&pool->node);
	return pool;
}

/*
 * vmalloc promises page alignment only.  Huge mappings, which also save TLB
 * misses, are aligned far enough; otherwise ask for some more and align within.
 */
static void *pool_vmalloc(size_t size, size_t *got, gfp_t gfp, int node)
{
	void *mem;

	*got = size;
	if (size >= PMD_SIZE) {
		mem = vmalloc_huge_node(size, gfp, node);
		if (!mem || IS_ALIGNED((unsigned long)mem, CHAOS_UNIT_SIZE))
			return mem;
		vfree(mem);
	}
	if (PAGE_SIZE < CHAOS_UNIT_SIZE)
		*got = size + CHAOS_UNIT_SIZE - PAGE_SIZE;
	return vmalloc_huge_node(*got, gfp, node);
}

/**
 * chaos_pool_create() - a pool of vmalloc'd memory
 * @heap: whose it will be
 * @size: usable bytes, rounded up to whole units
 * @gfp: must allow blocking
 * @node: NUMA node to take it from as long as that has some, or NUMA_NO_NODE
 *
 * Context: task; may sleep.
 * Return: the pool, not in the map yet, or ERR_PTR(-ENOMEM)
 */
struct chaos_pool *chaos_pool_create(struct chaos_heap *heap, size_t size,
				     gfp_t gfp, int node)
{
	size_t margin = CHAOS_SAN_MARGIN, got;
	struct chaos_pool *pool;
	void *mem;

	size = ALIGN(size, CHAOS_UNIT_SIZE);
	mem = chaos_unless_fails(CHAOS_FAULT_POOL,
				 pool_vmalloc(size + 2 * margin, &got, gfp, node));
	if (!mem)
		return ERR_PTR(-ENOMEM);
	pool = pool_new(heap, mem + margin, got - 2 * margin);
	if (IS_ERR(pool)) {
		vfree(mem);
		return pool;
	}
	pool->mem = mem;
	return pool;
}

/**
 * chaos_pool_adopt() - a pool of memory that the caller provides
 * @heap: whose it will be
 * @mem: the memory; the kernel's, not a user's
 * @size: its bytes; what lies outside of whole, aligned units is not used
 *
 * Context: task; may sleep.
 * Return: the pool, not in the map yet, or ERR_PTR(-EINVAL) if there is no
 * whole unit in the range or it is not the kernel's, ERR_PTR(-ENOMEM)
 */
struct chaos_pool *chaos_pool_adopt(struct chaos_heap *heap, void *mem,
				    size_t size)
{
	unsigned long end;

	/* On arm64 and amd64 all of the kernel's memory is above PAGE_OFFSET. */
	if ((unsigned long)mem < PAGE_OFFSET ||
	    check_add_overflow((unsigned long)mem, size, &end))
		return ERR_PTR(-EINVAL);
	return pool_new(heap, mem, size);
}

/**
 * chaos_pool_free() - free a pool that is not in the map (any longer)
 * @pool: its metadata is gone already
 *
 * Context: task; may sleep.
 */
void chaos_pool_free(struct chaos_pool *pool)
{
	if (pool->entered)
		chaos_san_pool_leave(pool);
	vfree(pool->mem);
	kvfree(pool);
}

int __init chaos_pool_map_init(void)
{
	unsigned long i;

	chaos_map_no_leaf = chaos_meta_alloc(sizeof(*chaos_map_no_leaf), NUMA_NO_NODE);
	chaos_map_no_node = chaos_meta_alloc(sizeof(*chaos_map_no_node), NUMA_NO_NODE);
	if (!chaos_map_no_leaf || !chaos_map_no_node) {
		kvfree(chaos_map_no_leaf);
		kvfree(chaos_map_no_node);
		return -ENOMEM;
	}
	for (i = 0; i < CHAOS_MAP_FANOUT; i++)
		chaos_map_no_node->leaf[i] = chaos_map_no_leaf;
	for (i = 0; i < CHAOS_MAP_ROOT_SIZE; i++)
		chaos_map_root[i] = chaos_map_no_node;
	return 0;
}

static void map_node_free(struct chaos_map_node *node)
{
	unsigned long i;

	if (node == chaos_map_no_node)
		return;
	for (i = 0; i < CHAOS_MAP_FANOUT; i++)
		if (node->leaf[i] != chaos_map_no_leaf)
			kvfree(node->leaf[i]);
	kvfree(node);
}

void chaos_pool_map_exit(void)
{
	unsigned long i;

	for (i = 0; i < CHAOS_MAP_ROOT_SIZE; i++)
		map_node_free(chaos_map_root[i]);
	kvfree(chaos_map_no_node);
	kvfree(chaos_map_no_leaf);
}
