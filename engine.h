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
 * engine has: a struct chaos_lock for tlsf and evl; mimalloc has none.
 * chaos_pool_map_mutex nests inside heap->mutex.
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
#include "sanitize.h"

/* Why a pointer was refused; see chaos_verdict_text(). */
enum chaos_verdict {
	CHAOS_OK,
	CHAOS_FOREIGN,		/* in no pool of any heap */
	CHAOS_OTHER_HEAP,	/* in a pool of another heap */
	CHAOS_INTERIOR,		/* not the start of a block */
	CHAOS_FREED,		/* the start of a block that is free */
	CHAOS_CORRUPT,		/* the heap's own data was overwritten */
	CHAOS_OVERRUN,		/* the block was written past its end */
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

/*
 * Blocks that a bulk call handles before it lets others have the CPU, and the lock and
 * interrupts of engines that take these: some microseconds.
 */
#define CHAOS_BULK_BATCH	32

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
 * - The others are called in task context and may sleep; quiesce and exit when nobody
 *   uses the heap any longer; check, walk, collect, stats and class_stats under
 *   heap->mutex with CPU hotplug locked out.
 *
 * @name: what allocator= takes
 * @natural: power-of-two sizes are aligned to their size, or to a page
 * @header: bytes in front of each block that are part of it
 * @fast_max: larger requests are none for the fast path
 * @init: set heap->priv up; returns 0 or -errno
 * @quiesce: nobody uses the heap any longer; when this returns, the engine does nothing in
 *	the background either, and nothing is left to be done.  The pools are all there.
 * @exit: free it; the pools have been removed already
 * @add_pool: take the memory of @pool into use; metadata goes to pool->priv and
 *	its size to pool->meta_size; when that is complete, and before any
 *	block can be handed out, the engine calls chaos_pool_publish().
 *	Returns 0 or -errno.  Under heap->mutex.
 * @pool_used: bytes of the pool that are taken; 0: nothing of it is
 * @release_pool: if nothing of the pool is taken, see to it that nothing of it
 *	ever is again, and return true.  Under heap->mutex.
 * @remove_pool: free that metadata, no matter what is still allocated.  The
 *	pool has been released and withdrawn a grace period ago, or nobody
 *	uses the heap any longer.
 * @pool_need: bytes that a new, empty pool must have to be sure to serve this
 *	request; SIZE_MAX if no pool could
 * @alloc: a block of @size > 0 bytes aligned to @align (a power of two from
 *	CHAOS_MIN_ALIGN to CHAOS_MAX_ALIGN), or NULL; @align is
 *	CHAOS_MIN_ALIGN unless the caller asked for more
 * @alloc_bulk: put up to @n <= CHAOS_BULK_BATCH blocks of @size > 0 bytes into @p and
 *	return their number; NULL if the engine has nothing better than a loop
 * @free: take the block at @p back
 * @free_bulk: free @p[0], @p[1], ... and return how many could be; if these are
 *	less than @n <= CHAOS_BULK_BATCH, *@verdict says why the next one could
 *	not.  No entry is NULL or ZERO_SIZE_PTR.  NULL if the engine has nothing
 *	better.
 * @resize: give the block at @p at least @size > 0 bytes without moving it, and
 *	return true, or change nothing and return false
 * @query: describe the block at @p
 * @check: walk every structure; 0, or -EUCLEAN and a report of the first broken
 *	invariant
 * @walk: call @visitor for every live block, or for those of @pool if that is not
 *	NULL; -ECANCELED if that returned false, -EUCLEAN if the heap is damaged.  No
 *	block is visited that would reach out of its pool, or has no room for its trailer.
 * @moves: how often memory has changed hands otherwise than by an allocation; if it has during
 *	a walk, that may have missed blocks, or found them twice.  NULL: it belongs to no CPU.
 * @cell: bytes of a pool that a map shows as one cell, a power of two up to
 *	CHAOS_UNIT_SIZE; NULL: any will do
 * @next_unusable: the first cell at @offset or behind it where no block can be now,
 *	or SIZE_MAX; NULL: blocks can be anywhere
 * @stats: add what the engine knows to @stats: live blocks and bytes,
 *	allocations, frees, pages
 * @class_stats: fill in the first @n size classes; returns how many there are, or 0
 *	if there is no memory to count with.  NULL: blocks of all sizes lie side by side.
 * @collect: what CPUs keep and have not used lately becomes everybody's; with
 *	@force, whatever they keep.  True if something is kept still.
 * @cpu_dead: a CPU has gone: what it kept becomes everybody's.  NULL if CPUs
 *	keep nothing.
 */
struct chaos_engine {
	const char *name;
	bool natural;
	size_t header;
	size_t fast_max;
	int (*init)(struct chaos_heap *heap);
	void (*quiesce)(struct chaos_heap *heap);
	void (*exit)(struct chaos_heap *heap);
	int (*add_pool)(struct chaos_heap *heap, struct chaos_pool *pool);
	size_t (*pool_used)(struct chaos_heap *heap, struct chaos_pool *pool);
	bool (*release_pool)(struct chaos_heap *heap, struct chaos_pool *pool);
	void (*remove_pool)(struct chaos_heap *heap, struct chaos_pool *pool);
	size_t (*pool_need)(struct chaos_heap *heap, size_t size, size_t align);
	void *(*alloc)(struct chaos_heap *heap, size_t size, size_t align);
	size_t (*alloc_bulk)(struct chaos_heap *heap, size_t size, size_t n,
			     void **p);
	enum chaos_verdict (*free)(struct chaos_heap *heap,
				   struct chaos_pool *pool, void *p);
	size_t (*free_bulk)(struct chaos_heap *heap, size_t n, void **p,
			    enum chaos_verdict *verdict);
	bool (*resize)(struct chaos_heap *heap, struct chaos_pool *pool,
		       void *p, size_t size);
	enum chaos_verdict (*query)(struct chaos_heap *heap,
				    struct chaos_pool *pool, const void *p,
				    struct chaos_block *block);
	int (*check)(struct chaos_heap *heap);
	int (*walk)(struct chaos_heap *heap, struct chaos_pool *pool,
		    chaos_visitor visitor, void *arg);
	u64 (*moves)(struct chaos_heap *heap);
	size_t (*cell)(const struct chaos_pool *pool);
	size_t (*next_unusable)(const struct chaos_pool *pool, size_t offset);
	void (*stats)(struct chaos_heap *heap, struct chaos_heap_stats *stats);
	size_t (*class_stats)(struct chaos_heap *heap,
			      struct chaos_class_stats *classes, size_t n);
	bool (*collect)(struct chaos_heap *heap, bool force);
	void (*cpu_dead)(struct chaos_heap *heap, unsigned int cpu);
};

extern const struct chaos_engine chaos_mi_engine;
extern const struct chaos_engine chaos_tlsf_engine;
extern const struct chaos_engine chaos_evl_engine;

#define CHAOS_NAME_LEN	32

/* Larger requests are refused before any arithmetic is done with them. */
#define CHAOS_SIZE_MAX	(SIZE_MAX >> 2)

struct mi_theap;
struct chaos_busy;
struct chaos_latencies;
struct dentry;

/**
 * struct chaos_options - what may be changed while the heap is in use
 * @watermark: percent of the pools; with less free than that, the worker grows
 *	the heap
 * @retire_delay: milliseconds that an empty page, or a page of a context that
 *	is idle, stays where it is
 * @return_delay: milliseconds that a pool stays empty before it is returned
 * @heartbeat: allocations from one call of the client's hook to the next
 * @growth_step: bytes that the heap grows by; 0: it doubles
 *
 * Any field may change at any time: READ_ONCE().
 */
struct chaos_options {
	unsigned int watermark;
	unsigned int retire_delay;
	unsigned int return_delay;
	unsigned long heartbeat;
	size_t growth_step;
};

/**
 * struct chaos_heap - a heap: pools, an engine, and what both need
 * @engine: the algorithm; constant
 * @theaps: mimalloc's per-CPU heaps, here so that its fast path finds them
 *	with one load; constant
 * @fast_max: requests up to this size may take the engine's fast path; 0 when each
 *	allocation has to be seen: a hook is set, blocks have trailers, or @watch
 * @slow_gfp: what else keeps a request off it; beside @fast_max to be loaded with it
 * @main_pool: the largest pool, if blocks may be freed without being looked at
 *	first, else one without memory.  Where most blocks are: to find that a block
 *	is in it takes less than the map does.  Changes under @mutex; a pool that was
 *	it stays for a grace period.
 * @priv: the engine's own state; constant
 * @watch: who has to see each call, see watch.h; changes under @mutex
 * @hardening: 0, 1 or 2; constant
 * @trailer: bytes behind each block that are ours: its canary, its origin; constant
 * @redzone: bytes behind each block that are poisoned in KASAN kernels; constant
 * @secret: what canaries are made with; constant
 * @busy: who is changing blocks with trailers; NULL if blocks have none
 * @track: 0, 1 or 2: what blocks remember of who allocated them; constant
 * @options: see there
 * @held: pool bytes taken; see chaos_hold()
 * @peak_held: the highest @held
 * @low_mark: growth is due when @held exceeds it; follows @pool_bytes
 * @heartbeat: heartbeat intervals that have passed so far
 * @heard: the last of these that a hook was called for; under @in_deferred
 * @ticks: allocations since the hook was set
 * @deferred_free: the client's hook, or NULL; under @in_deferred, but read
 *	without it to see whether there is one
 * @deferred_arg: its argument; under @in_deferred
 * @in_deferred: a lock that is only tried: the hook is running on some CPU, or
 *	being replaced
 * @mutex: serialises what sleeps: growth, new pools, check, walk, collect
 * @pools: the pools, newest last; changed under @mutex
 * @nr_pools: their number
 * @pool_bytes: their usable bytes
 * @max_size: @pool_bytes never exceeds this by growth
 * @node: NUMA node for new pools
 * @need_node: the node of the CPU that woke @grow_work last
 * @grows: pools added on demand
 * @returns: those of them that were given back
 * @failures: requests that ended in NULL
 * @bad_frees: pointers refused
 * @grow_irq: wakes @grow_work from contexts that may not
 * @grow_work: adds a pool in the background
 * @tidy_irq: queues @arm_work from contexts that may not
 * @arm_work: arms @tidy_work
 * @tidy_work: collects what is overdue and returns idle pools, now and then
 * @tidy_armed: @tidy_work is going to run
 * @retry_at: jiffies when growth that failed is due again, or 0; under @mutex
 * @kicked_at: jiffies when the shrinker last asked for @collect_work; under
 *	@mutex
 * @closing: nobody uses the heap any longer: nothing is to be armed any more
 * @collect_work: collects from all CPUs, for callers that found no memory
 * @collect_wait: they wait here, for a while
 * @collects: how often that was done; under @mutex
 * @san: what the sanitizers need
 * @node_in_heaps: in the list of all heaps
 * @latencies: how long its calls took, or NULL: nobody has asked yet
 * @dir: its folder in debugfs, or NULL
 * @name: for reports
 */
struct chaos_heap {
	const struct chaos_engine *engine;
	struct mi_theap __percpu *theaps;
	u32 fast_max;
	gfp_t slow_gfp;
	struct chaos_pool *main_pool;
	void *priv;
	unsigned int watch;
	unsigned int hardening;
	u32 trailer;
	size_t redzone;
	unsigned long secret;
	struct chaos_busy __percpu *busy;
	unsigned int track;
	struct chaos_options options;

	atomic_long_t held;
	size_t peak_held;
	size_t low_mark;

	atomic64_t heartbeat;
	u64 heard;
	atomic64_t ticks;
	chaos_deferred_free deferred_free;
	void *deferred_arg;
	atomic_t in_deferred;

	struct mutex mutex;	/* growth, new pools, check, walk, collect */
	struct list_head pools;
	unsigned int nr_pools;
	size_t pool_bytes;
	size_t max_size;
	int node;
	int need_node;

	atomic_long_t grows;
	atomic_long_t returns;
	atomic_long_t failures;
	atomic_long_t bad_frees;

	struct irq_work grow_irq;
	struct work_struct grow_work;
	struct irq_work tidy_irq;
	struct work_struct arm_work;
	struct delayed_work tidy_work;
	int tidy_armed;
	unsigned long retry_at;
	unsigned long kicked_at;
	bool closing;
	struct work_struct collect_work;
	wait_queue_head_t collect_wait;
	unsigned long collects;
	struct chaos_san san;
	struct list_head node_in_heaps;
	struct chaos_latencies *latencies;
	struct dentry *dir;
	char name[CHAOS_NAME_LEN];
};

/* Ask for a pool to be added in the background.  Any context. */
void chaos_wake_grower(struct chaos_heap *heap);

/* Something is kept that may become overdue: look after it.  Any context. */
void chaos_arm_tidy(struct chaos_heap *heap);

static inline void chaos_keeps(struct chaos_heap *heap)
{
	if (unlikely(!READ_ONCE(heap->tidy_armed)))
		chaos_arm_tidy(heap);
}

/* So many bytes are held: growth may be due. */
static inline void chaos_held_now(struct chaos_heap *heap, size_t held)
{
	if (unlikely(held > READ_ONCE(heap->low_mark)))
		chaos_wake_grower(heap);
}

/*
 * Account for pool bytes that the engine takes for a block or a page, and return
 * how many it holds.  The caller holds the lock that orders all changes of
 * heap->held: no atomics needed.
 */
static inline size_t chaos_hold_only(struct chaos_heap *heap, size_t bytes)
{
	size_t held = atomic_long_read(&heap->held) + bytes;

	atomic_long_set(&heap->held, held);
	if (held > heap->peak_held)
		WRITE_ONCE(heap->peak_held, held);
	return held;
}

/* The same, and see to growth. */
static inline void chaos_hold(struct chaos_heap *heap, size_t bytes)
{
	chaos_held_now(heap, chaos_hold_only(heap, bytes));
}

/* The reverse of chaos_hold(). */
static inline void chaos_unhold(struct chaos_heap *heap, size_t bytes)
{
	atomic_long_set(&heap->held, atomic_long_read(&heap->held) - bytes);
}

/* The same for an engine without such a lock. */
static inline void chaos_hold_atomic(struct chaos_heap *heap, size_t bytes)
{
	size_t held = atomic_long_add_return(bytes, &heap->held);
	size_t peak = READ_ONCE(heap->peak_held);

	while (held > peak && !try_cmpxchg(&heap->peak_held, &peak, held))
		;
	chaos_held_now(heap, held);
}

static inline void chaos_unhold_atomic(struct chaos_heap *heap, size_t bytes)
{
	atomic_long_sub(bytes, &heap->held);
}

/* The pool of @p if it is one of @heap's; else NULL, and *@verdict says why. */
static __always_inline struct chaos_pool *
chaos_pool_in(struct chaos_heap *heap, const void *p, enum chaos_verdict *verdict)
{
	struct chaos_pool *pool = chaos_pool_of(p);

	if (likely(pool && pool->heap == heap))
		return pool;
	*verdict = pool ? CHAOS_OTHER_HEAP : CHAOS_FOREIGN;
	return NULL;
}

/* The same, where @guess is one of them that may be it, or NULL. */
static __always_inline struct chaos_pool *
chaos_pool_guess(struct chaos_heap *heap, struct chaos_pool *guess,
		 const void *p, enum chaos_verdict *verdict)
{
	if (guess && chaos_pool_has(guess, p))
		return guess;
	return chaos_pool_in(heap, p, verdict);
}

/*
 * Free @p[0], @p[1], ... up to the first that @free, which is inlined, cannot, and return
 * how many could be.
 */
static __always_inline size_t
chaos_free_each(struct chaos_heap *heap, size_t n, void **p,
		enum chaos_verdict *verdict,
		enum chaos_verdict (*free)(struct chaos_heap *heap,
					   struct chaos_pool *pool, void *p))
{
	struct chaos_pool *pool = NULL;
	size_t done;

	*verdict = CHAOS_OK;
	for (done = 0; done < n; done++) {
		pool = chaos_pool_guess(heap, pool, p[done], verdict);
		if (likely(pool))
			*verdict = free(heap, pool, p[done]);
		if (unlikely(*verdict != CHAOS_OK))
			break;
	}
	return done;
}

/*
 * Report misuse or corruption: one rate-limited message with the pointer, the
 * heap and the caller, and a count in heap->bad_frees.  Any context.
 */
void chaos_report(struct chaos_heap *heap, const void *p,
		  enum chaos_verdict verdict, unsigned long caller);

/*
 * @free everything that NMIs have deferred to a lock of @heap's.  Engines call this first
 * thing with the lock held.  What is found behind a block that is not as it was left
 * cannot be known, and is lost.
 */
static inline void chaos_drain_deferred(struct chaos_lock *l, struct chaos_heap *heap,
					void (*free)(struct chaos_heap *heap,
						     struct chaos_pool *pool, void *p))
{
	struct chaos_deferred_block *b;
	struct chaos_pool *pool;
	struct llist_node *node;

	if (likely(llist_empty(&l->deferred)))
		return;
	node = llist_del_all(&l->deferred);
	while (node) {
		b = llist_entry(node, struct chaos_deferred_block, node);
		pool = chaos_pool_of_deferred(l, heap, b);
		if (unlikely(!pool)) {
			chaos_report(heap, b, CHAOS_CORRUPT, _RET_IP_);
			break;
		}
		node = node->next;
		WRITE_ONCE(b->mark, 0);
		free(heap, pool, b);
	}
}

/* One line for a broken invariant that check() found; returns -EUCLEAN. */
__printf(2, 3)
int chaos_unclean(struct chaos_heap *heap, const char *fmt, ...);

#endif /* _CHAOS_ENGINE_H */
