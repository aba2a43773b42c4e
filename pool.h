/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Pools: ranges of vmalloc'd or caller-provided memory, and the map from any
 * address to the pool that it lies in.
 */
#ifndef _CHAOS_POOL_H
#define _CHAOS_POOL_H

#include <linux/bits.h>
#include <linux/list.h>
#include <linux/types.h>
#include <linux/workqueue.h>

struct chaos_heap;

/*
 * The map knows memory in units of 64 KiB; a unit belongs to one pool at most,
 * so a pool's usable range begins and ends on a unit's border.
 */
#define CHAOS_UNIT_SHIFT	16
#define CHAOS_UNIT_SIZE		BIT(CHAOS_UNIT_SHIFT)

/**
 * struct chaos_pool - one range of memory of one heap
 * @start: first usable address, a multiple of CHAOS_UNIT_SIZE
 * @size: usable bytes, a multiple of CHAOS_UNIT_SIZE
 * @heap: whose it is
 * @priv: the engine's metadata of the pool (mimalloc: its page array)
 * @slice_shift: mimalloc: log2 of the bytes that one page descriptor covers; as wide
 *	as @priv, so that both are loaded at once
 * @meta_size: bytes of metadata, for the statistics
 * @node: in heap->pools
 * @mem: what to vfree() at the end, or NULL if the memory is the caller's
 * @nid: NUMA node that most of it is on, or NUMA_NO_NODE if that is not known
 * @entered: the sanitizers know it
 * @grown: added on demand: may be returned when it is empty
 * @idle_since: jiffies when it was first seen empty, or 0; under heap->mutex
 * @free_work: frees it after a grace period
 *
 * All but @node, @idle_since and @free_work are constant once the pool is in the
 * map.
 */
struct chaos_pool {
	unsigned long start;
	size_t size;
	void *priv;
	unsigned long slice_shift;
	struct chaos_heap *heap;
	size_t meta_size;
	struct list_head node;
	void *mem;
	int nid;
	bool entered;
	bool grown;
	unsigned long idle_since;
	struct rcu_work free_work;
};

static inline unsigned long chaos_pool_end(const struct chaos_pool *pool)
{
	return pool->start + pool->size;
}

static __always_inline bool chaos_pool_has(const struct chaos_pool *pool,
					   const void *p)
{
	return (unsigned long)p - pool->start < pool->size;
}

/*
 * Can a block at @p have that many bytes?  Of one that somebody frees at the same moment, the
 * engine may say anything.
 */
static inline bool chaos_pool_holds(const struct chaos_pool *pool, const void *p, size_t size)
{
	return size <= chaos_pool_end(pool) - (unsigned long)p;
}

/* A pool without memory. */
extern struct chaos_pool chaos_no_pool;

void *chaos_meta_alloc(size_t size, int node);
struct chaos_pool *chaos_pool_create(struct chaos_heap *heap, size_t size,
				     gfp_t gfp, int node);
struct chaos_pool *chaos_pool_adopt(struct chaos_heap *heap, void *mem,
				    size_t size);
void chaos_pool_free(struct chaos_pool *pool);
int chaos_pool_publish(struct chaos_pool *pool);
void chaos_pool_withdraw(struct chaos_pool *pool);

int chaos_pool_map_init(void);
void chaos_pool_map_exit(void);

/*
 * The map: a radix tree of three levels over the unit's number.  Leaves hold
 * pools.  A missing node is stood in for by an empty one, so a look-up is a
 * fixed sequence of loads without branches.
 */
#define CHAOS_MAP_BITS		12
#define CHAOS_MAP_FANOUT	BIT(CHAOS_MAP_BITS)
#define CHAOS_MAP_MASK		(CHAOS_MAP_FANOUT - 1)

struct chaos_map_leaf {
	struct chaos_pool *pool[CHAOS_MAP_FANOUT];
};

struct chaos_map_node {
	struct chaos_map_leaf *leaf[CHAOS_MAP_FANOUT];
};

/* Bits of an address that tell units apart: the rest is a sign extension. */
#ifdef CONFIG_64BIT
#define CHAOS_MAP_ADDR_BITS	52
#define CHAOS_MAP_ROOT_BITS						\
	(CHAOS_MAP_ADDR_BITS - CHAOS_UNIT_SHIFT - 2 * CHAOS_MAP_BITS)
#else
#define CHAOS_MAP_ROOT_BITS	0
#endif
#define CHAOS_MAP_ROOT_SIZE	BIT(CHAOS_MAP_ROOT_BITS)

extern struct chaos_map_node *chaos_map_root[CHAOS_MAP_ROOT_SIZE];

/**
 * chaos_pool_of() - the pool that an address lies in
 * @p: any address whatever
 *
 * Lock-free; three dependent loads.  The nodes are never freed before the
 * module goes.  A pool found stays valid for as long as a block in it
 * is live; for an address that is no block's, for as long as preemption is
 * off (between chaos_pool_withdraw() and its end passes an RCU grace period).
 *
 * Context: any, preemption disabled.
 * Return: the pool, or NULL
 */
static __always_inline struct chaos_pool *chaos_pool_of(const void *p)
{
	unsigned long unit = (unsigned long)p >> CHAOS_UNIT_SHIFT;
	struct chaos_map_node *node;
	struct chaos_map_leaf *leaf;
	struct chaos_pool *pool;

	/* Pairs with the releases in chaos_map_set(); see there. */
	node = READ_ONCE(chaos_map_root[(unit >> (2 * CHAOS_MAP_BITS)) &
					(CHAOS_MAP_ROOT_SIZE - 1)]);
	leaf = READ_ONCE(node->leaf[(unit >> CHAOS_MAP_BITS) & CHAOS_MAP_MASK]);
	pool = READ_ONCE(leaf->pool[unit & CHAOS_MAP_MASK]);

	/* An address that differs only in the ignored bits is not in it. */
	if (unlikely(!pool || !chaos_pool_has(pool, p)))
		return NULL;
	return pool;
}

#endif /* _CHAOS_POOL_H */
