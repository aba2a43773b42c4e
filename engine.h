/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a heap is to its engine, and what an engine is to its heap.
 *
 * chaos_alloc.c checks arguments, finds the heap of a pointer, grows heaps and
 * reports misuse.  The engine hands out blocks of the heap's pools and takes
 * them back.  Calls only go down: API -> engine -> pool.
 *
 * Locking.  heap->mutex serialises growth: the pool list and everything that
 * may sleep; it nests inside cpus_read_lock().  Below it is whatever lock the
 * engine has: a struct chaos_lock for tlsf and evl, raw spinlocks around the
 * slices and the abandoned lists for mimalloc.  chaos_pool_map_mutex nests
 * inside heap->mutex.
 */
#ifndef _CHAOS_ENGINE_H
#define _CHAOS_ENGINE_H

#include <linux/irq_work.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/types.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "chaos_alloc.h"
#include "pool.h"

/* Why a pointer was refused; see chaos_verdict_text(). */
enum chaos_verdict {
	CHAOS_OK,
	CHAOS_FOREIGN,		/* in no pool of any heap */
	CHAOS_OTHER_HEAP,	/* in a pool of another heap */
	CHAOS_INTERIOR,		/* not the start of a block */
	CHAOS_FREED,		/* the start of a block that is free */
	CHAOS_CORRUPT,		/* the heap's own data was overwritten */
};

/**
 * struct chaos_block - what an engine knows of a live block
 * @size: usable bytes
 * @align: the alignment that the block was promised; a realloc that moves
 *	it must keep it
 */
struct chaos_block {
	size_t size;
	size_t align;
};

/**
 * struct chaos_engine - the operations of one allocation algorithm
 *
 * The invariants that every engine promises:
 *
 * - alloc, free, resize and query are called from any context with preemption
 *   disabled, never sleep, and take a bounded time.
 * - In NMI, alloc may return NULL because something is held; free may not fail:
 *   what cannot be done now is put aside and done by the next call.
 * - free, resize and query accept any address inside a pool of the heap and
 *   return anything but CHAOS_OK, having changed nothing, when it is not the
 *   start of a live block.
 * - Blocks are aligned to CHAOS_MIN_ALIGN at least.
 * - init, exit, add_pool, remove_pool, check, walk and collect are called in
 *   task context and may sleep; exit, remove_pool when nobody uses the heap
 *   any longer; check, walk and collect with CPU hotplug locked out.
 *
 * @name: what allocator= takes
 * @init: set heap->priv up; returns 0 or -errno
 * @exit: free it; the pools have been removed already
 * @add_pool: take the memory of @pool into use; metadata goes to pool->priv and
 *	its size to pool->meta_size; when that is complete, and before any
 *	block can be handed out, the engine calls chaos_pool_publish().
 *	Returns 0 or -errno.  Under heap->mutex.
 * @remove_pool: free that metadata, no matter what is still allocated
 * @pool_need: bytes that a new, empty pool must have to be sure to serve this
 *	request; SIZE_MAX if no pool could
 * @alloc: a block of @size > 0 bytes aligned to @align (a power of two from
 *	CHAOS_MIN_ALIGN to CHAOS_MAX_ALIGN), or NULL; @align is
 *	CHAOS_MIN_ALIGN unless the caller asked for more
 * @free: take the block at @p back
 * @resize: give the block at @p at least @size > 0 bytes without moving it, and
 *	return true, or change nothing and return false
 * @query: describe the block at @p
 * @check: walk every structure; 0, or -EUCLEAN and a report of the first broken
 *	invariant
 * @walk: call @visitor for every live block; -ECANCELED if that returned false
 * @count: set @blocks and @bytes to the live blocks and their usable bytes
 * @collect: tidy up: whatever is deferred is done; with @force, all that is
 *	cached and empty goes back to the pools
 */
struct chaos_engine {
	const char *name;
	int (*init)(struct chaos_heap *heap);
	void (*exit)(struct chaos_heap *heap);
	int (*add_pool)(struct chaos_heap *heap, struct chaos_pool *pool);
	void (*remove_pool)(struct chaos_heap *heap, struct chaos_pool *pool);
	size_t (*pool_need)(struct chaos_heap *heap, size_t size, size_t align);
	void *(*alloc)(struct chaos_heap *heap, size_t size, size_t align);
	enum chaos_verdict (*free)(struct chaos_heap *heap,
				   struct chaos_pool *pool, void *p);
	bool (*resize)(struct chaos_heap *heap, struct chaos_pool *pool,
		       void *p, size_t size);
	enum chaos_verdict (*query)(struct chaos_heap *heap,
				    struct chaos_pool *pool, const void *p,
				    struct chaos_block *block);
	int (*check)(struct chaos_heap *heap);
	int (*walk)(struct chaos_heap *heap, chaos_visitor visitor, void *arg);
	void (*count)(struct chaos_heap *heap, size_t *blocks, size_t *bytes);
	void (*collect)(struct chaos_heap *heap, bool force);
};

extern const struct chaos_engine chaos_mi_engine;
extern const struct chaos_engine chaos_tlsf_engine;
extern const struct chaos_engine chaos_evl_engine;

#define CHAOS_NAME_LEN	32

/* Larger requests are refused before any arithmetic is done with them. */
#define CHAOS_SIZE_MAX	(SIZE_MAX >> 2)

struct mi_theap;

/**
 * struct chaos_heap - a heap: pools, an engine, and what both need
 * @engine: the algorithm; constant
 * @theaps: mimalloc's per-CPU heaps, here so that its fast path finds them
 *	with one load; constant
 * @priv: the engine's own state; constant
 * @held: pool bytes taken; written under the engine's lock, see chaos_hold()
 * @peak_held: the highest @held
 * @low_mark: growth is due when @held exceeds it; follows @pool_bytes
 * @heartbeat: calls of @deferred_free so far
 * @ticks: allocations seen while a hook was set, for engines without a
 *	generic path; this and @heartbeat under @in_deferred
 * @deferred_free: the client's hook, or NULL; under @in_deferred, but read
 *	without it to see whether there is one
 * @deferred_arg: its argument; under @in_deferred
 * @in_deferred: a lock that is only tried: the hook is running on some CPU, or
 *	being replaced
 * @mutex: serialises what sleeps: growth, new pools, check, walk, collect
 * @pools: the pools, newest last; changed under @mutex, and only appended to
 *	while the heap is in use
 * @nr_pools: their number
 * @pool_bytes: their usable bytes
 * @max_size: @pool_bytes never exceeds this by growth
 * @node: NUMA node for new pools
 * @grows: pools added on demand
 * @failures: requests that ended in NULL
 * @bad_frees: pointers refused
 * @grow_irq: wakes @grow_work from contexts that may not
 * @grow_work: adds a pool in the background
 * @collect_work: collects from all CPUs, for callers that found no memory
 * @collect_wait: they wait here, for a while
 * @collects: how often that was done; under @mutex
 * @node_in_heaps: in the list of all heaps
 * @name: for reports
 */
struct chaos_heap {
	const struct chaos_engine *engine;
	struct mi_theap __percpu *theaps;
	void *priv;

	size_t held;
	size_t peak_held;
	size_t low_mark;

	u64 heartbeat;
	u64 ticks;
	chaos_deferred_free deferred_free;
	void *deferred_arg;
	atomic_t in_deferred;

	struct mutex mutex;	/* growth, new pools, check, walk, collect */
	struct list_head pools;
	unsigned int nr_pools;
	size_t pool_bytes;
	size_t max_size;
	int node;

	atomic_long_t grows;
	atomic_long_t failures;
	atomic_long_t bad_frees;

	struct irq_work grow_irq;
	struct work_struct grow_work;
	struct work_struct collect_work;
	wait_queue_head_t collect_wait;
	unsigned long collects;
	struct list_head node_in_heaps;
	char name[CHAOS_NAME_LEN];
};

/* Ask for a pool to be added in the background.  Any context. */
void chaos_wake_grower(struct chaos_heap *heap);

/*
 * Account for pool bytes that the engine takes for a block or a page.  The
 * caller holds the lock that orders all changes of heap->held.
 */
static inline void chaos_hold(struct chaos_heap *heap, size_t bytes)
{
	size_t held = heap->held + bytes;

	WRITE_ONCE(heap->held, held);
	if (held > heap->peak_held)
		WRITE_ONCE(heap->peak_held, held);
	if (unlikely(held > READ_ONCE(heap->low_mark)))
		chaos_wake_grower(heap);
}

/* The reverse of chaos_hold(). */
static inline void chaos_unhold(struct chaos_heap *heap, size_t bytes)
{
	WRITE_ONCE(heap->held, heap->held - bytes);
}

/*
 * Report misuse or corruption: one rate-limited message with the pointer, the
 * heap and the caller, and a count in heap->bad_frees.  Any context.
 */
void chaos_report(struct chaos_heap *heap, const void *p,
		  enum chaos_verdict verdict, unsigned long caller);

/* One line for a broken invariant that check() found; returns -EUCLEAN. */
__printf(2, 3)
int chaos_unclean(struct chaos_heap *heap, const char *fmt, ...);

#endif /* _CHAOS_ENGINE_H */
