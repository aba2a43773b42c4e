// SPDX-License-Identifier: GPL-2.0
/*
 * chaos_alloc: module parameters, the default heap, and the API.
 *
 * A call checks its arguments, finds the heap, and goes to the heap's engine with
 * preemption disabled.  The engine never sleeps.  When it has no memory, a
 * caller that may block grows the heap and tries again (or, if the heap may not
 * grow, waits a moment for what other CPUs keep); others get NULL, and
 * the heap's own worker, woken when free memory gets low, makes that rare.
 *
 * The default heap's engine is chosen once, at load time.  Static branches make
 * the calls of chaos_alloc() and chaos_free() direct ones.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/cpu.h>
#include <linux/ctype.h>
#include <linux/err.h>
#include <linux/jump_label.h>
#include <linux/kprobes.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/overflow.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "compat.h"
#include "engine.h"
#include "evl_heap.h"
#include "mi_heap.h"
#include "tlsf.h"

#define CHAOS_POOL_MIN		CHAOS_UNIT_SIZE
#define CHAOS_POOL_DEFAULT	(16UL << 20)
#define CHAOS_MAX_DEFAULT	(256UL << 20)

/* Growth is due when less than this share of the pools is free. */
#define CHAOS_LOW_SHIFT		3

/* Allocations off the fast path from one heartbeat to the next. */
#define CHAOS_HEARTBEAT		16

/* How long a caller that may block waits for what other CPUs sit on. */
#define CHAOS_COLLECT_TIMEOUT	(HZ / 10)

/* What no pool can honour: zones, accounting, a promise not to fail. */
#define CHAOS_GFP_REFUSED						\
	(GFP_ZONEMASK | __GFP_NOFAIL | __GFP_ACCOUNT | __GFP_THISNODE)

/* What keeps a request off the fast path. */
#define CHAOS_GFP_SLOW		(CHAOS_GFP_REFUSED | __GFP_ZERO)

static const struct chaos_engine * const chaos_engines[] = {
	&chaos_mi_engine,
	&chaos_tlsf_engine,
	&chaos_evl_engine,
};

static struct chaos_heap *chaos_default __ro_after_init;
static DEFINE_STATIC_KEY_TRUE(chaos_default_is_mi);
static DEFINE_STATIC_KEY_FALSE(chaos_default_is_evl);

/* All heaps, so that none survives the module. */
static LIST_HEAD(chaos_heaps);
static DEFINE_MUTEX(chaos_heaps_mutex);

static struct workqueue_struct *chaos_wq __ro_after_init;

/* --------------------------------- reports -------------------------------- */

static const char *chaos_verdict_text(enum chaos_verdict verdict)
{
	switch (verdict) {
	case CHAOS_FOREIGN:	return "not from any heap";
	case CHAOS_OTHER_HEAP:	return "belongs to another heap";
	case CHAOS_INTERIOR:	return "not the start of a block";
	case CHAOS_FREED:	return "already freed";
	case CHAOS_CORRUPT:	return "memory was overwritten";
	default:		return "fine";
	}
}

void chaos_report(struct chaos_heap *heap, const void *p,
		  enum chaos_verdict verdict, unsigned long caller)
{
	static DEFINE_RATELIMIT_STATE(rs, DEFAULT_RATELIMIT_INTERVAL,
				      DEFAULT_RATELIMIT_BURST);

	atomic_long_inc(&heap->bad_frees);
	if (__ratelimit(&rs))
		pr_err("heap %s: bad pointer %p from %pS: %s\n", heap->name, p,
		       (void *)caller, chaos_verdict_text(verdict));
}

int chaos_unclean(struct chaos_heap *heap, const char *fmt, ...)
{
	struct va_format vaf = { .fmt = fmt };
	va_list args;

	va_start(args, fmt);
	vaf.va = &args;
	pr_err("heap %s (%s): check failed: %pV\n", heap->name,
	       heap->engine->name, &vaf);
	va_end(args);
	return -EUCLEAN;
}

/* --------------------------------- growth --------------------------------- */

/*
 * heap->mutex, and no recursion into the file system or block layer under it:
 * a caller with GFP_NOFS or GFP_NOIO waits for whoever has the mutex, and must
 * not wait for itself.
 */
static unsigned int chaos_heap_lock(struct chaos_heap *heap)
{
	unsigned int noio = memalloc_noio_save();

	mutex_lock(&heap->mutex);
	return noio;
}

static void chaos_heap_unlock(struct chaos_heap *heap, unsigned int noio)
{
	mutex_unlock(&heap->mutex);
	memalloc_noio_restore(noio);
}

/*
 * The same, for what visits all CPUs.  In this order: a CPU hotplug callback
 * may allocate.
 */
static unsigned int chaos_heap_lock_cpus(struct chaos_heap *heap)
{
	cpus_read_lock();
	return chaos_heap_lock(heap);
}

static void chaos_heap_unlock_cpus(struct chaos_heap *heap, unsigned int noio)
{
	chaos_heap_unlock(heap, noio);
	cpus_read_unlock();
}

/* Half of the memory is more than any module should lock away. */
static size_t chaos_pool_limit(void)
{
	return totalram_pages() * PAGE_SIZE / 2;
}

/* Bytes that the heap may still grow by. */
static size_t chaos_room(const struct chaos_heap *heap)
{
	if (heap->pool_bytes >= heap->max_size)
		return 0;
	return ALIGN_DOWN(heap->max_size - heap->pool_bytes, CHAOS_UNIT_SIZE);
}

/*
 * Set when the worker is to be woken.  If it has just @failed to grow the heap,
 * not before half of what is free now is gone: else every allocation would
 * wake it.
 */
static void chaos_update_low_mark(struct chaos_heap *heap, bool failed)
{
	size_t mark = SIZE_MAX, held = READ_ONCE(heap->held);

	lockdep_assert_held(&heap->mutex);
	if (chaos_room(heap))
		mark = heap->pool_bytes - (heap->pool_bytes >> CHAOS_LOW_SHIFT);
	if (failed && held < heap->pool_bytes)
		mark = max(mark, heap->pool_bytes - (heap->pool_bytes - held) / 2);
	WRITE_ONCE(heap->low_mark, mark);
}

static int chaos_add_pool(struct chaos_heap *heap, struct chaos_pool *pool)
{
	int err;

	lockdep_assert_held(&heap->mutex);
	if (IS_ERR(pool))
		return PTR_ERR(pool);
	/* Listed and counted first: its blocks may be in use on return. */
	list_add_tail(&pool->node, &heap->pools);
	err = heap->engine->add_pool(heap, pool);
	if (err) {
		list_del(&pool->node);
		chaos_pool_free(pool);
		return err;
	}
	heap->nr_pools++;
	heap->pool_bytes += pool->size;
	return 0;
}

static int chaos_new_pool(struct chaos_heap *heap, size_t size, gfp_t gfp)
{
	return chaos_add_pool(heap, chaos_pool_create(heap, size, gfp));
}

/*
 * Double the heap, or add @need bytes if that is more, as far as max_size
 * allows.  If so much memory is not to be had, @need will do.
 */
static int chaos_grow_locked(struct chaos_heap *heap, size_t need)
{
	gfp_t gfp = GFP_KERNEL | __GFP_NOWARN | __GFP_NORETRY;
	size_t want;
	int err;

	lockdep_assert_held(&heap->mutex);
	want = min(max(need, heap->pool_bytes), chaos_room(heap));
	if (!want || want < need)
		return -ENOSPC;
	err = chaos_new_pool(heap, want, gfp);
	if (err && want > need)
		err = chaos_new_pool(heap, need, gfp);
	if (!err)
		atomic_long_inc(&heap->grows);
	return err;
}

/*
 * Grow for a request that failed when the heap had grown @grows times.  If it
 * has grown since, that may have been enough: try again first.
 */
static bool chaos_grow_for(struct chaos_heap *heap, size_t size, size_t align,
			   long grows)
{
	size_t need = heap->engine->pool_need(heap, size, align);
	unsigned int noio;
	int err = 0;

	if (need > SIZE_MAX - CHAOS_UNIT_SIZE)
		return false;
	noio = chaos_heap_lock(heap);
	if (atomic_long_read(&heap->grows) == grows)
		err = chaos_grow_locked(heap, ALIGN(need, CHAOS_UNIT_SIZE));
	chaos_update_low_mark(heap, err);
	chaos_heap_unlock(heap, noio);
	return !err;
}

static void chaos_grow_work(struct work_struct *work)
{
	struct chaos_heap *heap = container_of(work, struct chaos_heap, grow_work);
	unsigned int noio = chaos_heap_lock(heap);
	int err = chaos_grow_locked(heap, CHAOS_UNIT_SIZE);

	chaos_update_low_mark(heap, err);
	chaos_heap_unlock(heap, noio);
}

static void chaos_grow_irq(struct irq_work *work)
{
	struct chaos_heap *heap = container_of(work, struct chaos_heap, grow_irq);

	queue_work(chaos_wq, &heap->grow_work);
}

/*
 * The mark is lifted out of the way until the worker has set it anew.  irq_work
 * is what may be queued from NMI and under any lock.
 */
void chaos_wake_grower(struct chaos_heap *heap)
{
	WRITE_ONCE(heap->low_mark, SIZE_MAX);
	irq_work_queue(&heap->grow_irq);
}

/* --------------------------------- look-up -------------------------------- */

/* The pool of @p if it is one of @heap's; else NULL, and *verdict says why. */
static __always_inline struct chaos_pool *
chaos_pool_in(struct chaos_heap *heap, const void *p, enum chaos_verdict *verdict)
{
	struct chaos_pool *pool = chaos_pool_of(p);

	if (likely(pool && pool->heap == heap))
		return pool;
	*verdict = pool ? CHAOS_OTHER_HEAP : CHAOS_FOREIGN;
	return NULL;
}

/* What the engine knows of @p, or a report and false. */
static bool chaos_query(struct chaos_heap *heap, const void *p,
			struct chaos_block *block, unsigned long caller)
{
	enum chaos_verdict verdict;
	struct chaos_pool *pool;

	preempt_disable();
	pool = chaos_pool_in(heap, p, &verdict);
	if (pool)
		verdict = heap->engine->query(heap, pool, p, block);
	preempt_enable();
	if (likely(verdict == CHAOS_OK))
		return true;
	chaos_report(heap, p, verdict, caller);
	return false;
}

/* ------------------------------- collection ------------------------------- */

static void chaos_collect_work(struct work_struct *work)
{
	struct chaos_heap *heap = container_of(work, struct chaos_heap,
					       collect_work);
	unsigned int noio = chaos_heap_lock_cpus(heap);

	heap->engine->collect(heap, true);
	WRITE_ONCE(heap->collects, heap->collects + 1);
	chaos_heap_unlock_cpus(heap, noio);
	wake_up_all(&heap->collect_wait);
}

/*
 * Have all CPUs give back what they keep.  This goes through a worker, and with
 * a timeout, because it waits for each CPU in turn: an allocation must not
 * hang where one of them does not schedule, or CPU hotplug is under way,
 * perhaps by the caller itself.
 */
static void chaos_collect_wait(struct chaos_heap *heap)
{
	unsigned long before = READ_ONCE(heap->collects);

	queue_work(chaos_wq, &heap->collect_work);
	wait_event_timeout(heap->collect_wait,
			   READ_ONCE(heap->collects) != before,
			   CHAOS_COLLECT_TIMEOUT);
}

/* ------------------------------- allocation ------------------------------- */

static bool chaos_gfp_refused(struct chaos_heap *heap, gfp_t gfp,
			      unsigned long caller)
{
	if (likely(!(gfp & CHAOS_GFP_REFUSED)))
		return false;
	pr_warn_once("heap %s: %pS: gfp %pGg cannot be honoured\n", heap->name,
		     (void *)caller, &gfp);
	return true;
}

/* Direct calls for the default heap; @heap is that one. */
static __always_inline void *chaos_default_alloc(struct chaos_heap *heap,
						 size_t size, size_t align)
{
	if (static_branch_likely(&chaos_default_is_mi))
		return mi_alloc(heap, size, align);
	if (static_branch_unlikely(&chaos_default_is_evl))
		return evl_alloc(heap, size, align);
	return tlsf_op_alloc(heap, size, align);
}

static __always_inline void *chaos_engine_alloc(struct chaos_heap *heap,
						size_t size, size_t align)
{
	void *p;

	preempt_disable();
	p = likely(heap == chaos_default) ?
		chaos_default_alloc(heap, size, align) :
		heap->engine->alloc(heap, size, align);
	preempt_enable();
	return p;
}

/*
 * Run the client's hook.  in_deferred is a lock that is only tried: it keeps the
 * hook from being entered from within, or on two CPUs at once, and protects
 * the hook's pointer, argument and count.
 */
static noinline void chaos_heartbeat(struct chaos_heap *heap, bool force)
{
	chaos_deferred_free fn;

	if (in_nmi() || atomic_cmpxchg_acquire(&heap->in_deferred, 0, 1))
		return;
	fn = heap->deferred_free;
	if (fn && (force || !(++heap->ticks % CHAOS_HEARTBEAT)))
		fn(heap, force, ++heap->heartbeat, heap->deferred_arg);
	atomic_set_release(&heap->in_deferred, 0);
}

/* The engine has nothing: may the caller wait for more? */
static void *chaos_alloc_blocking(struct chaos_heap *heap, size_t size,
				  size_t align, gfp_t gfp)
{
	void *p = NULL;
	long grows;

	if (!gfpflags_allow_blocking(gfp))
		return NULL;
	do {
		/* The engine's lock orders what was added before the count. */
		grows = atomic_long_read(&heap->grows);
		p = chaos_engine_alloc(heap, size, align);
	} while (!p && chaos_grow_for(heap, size, align, grows));
	/* Only mimalloc's CPUs keep something. */
	if (p || !heap->theaps)
		return p;
	chaos_collect_wait(heap);
	return chaos_engine_alloc(heap, size, align);
}

static __cold void chaos_failed(struct chaos_heap *heap, size_t size,
				size_t align, gfp_t gfp, unsigned long caller)
{
	atomic_long_inc(&heap->failures);
	if (!(gfp & __GFP_NOWARN))
		pr_warn_ratelimited("heap %s: %pS: no memory for %zu bytes aligned to %zu, gfp %pGg\n",
				    heap->name, (void *)caller, size, align,
				    &gfp);
}

/*
 * Clear a block from byte @from up to its usable end: chaos_realloc() with
 * __GFP_ZERO knows no other end.
 */
static void chaos_clear(struct chaos_heap *heap, void *p, size_t from)
{
	struct chaos_block block;

	if (chaos_query(heap, p, &block, _RET_IP_) && from < block.size)
		memset(p + from, 0, block.size - from);
}

/* Everything but the fast path. */
static noinline void *chaos_alloc_slow(struct chaos_heap *heap, size_t size,
				       size_t align, gfp_t gfp,
				       unsigned long caller)
{
	void *p;

	might_alloc(gfp);
	if (unlikely(chaos_gfp_refused(heap, gfp, caller)))
		return NULL;
	if (unlikely(!size))
		return ZERO_SIZE_PTR;
	if (unlikely(READ_ONCE(heap->deferred_free)))
		chaos_heartbeat(heap, false);
	if (unlikely(size > CHAOS_SIZE_MAX)) {
		chaos_failed(heap, size, align, gfp, caller);
		return NULL;
	}

	p = chaos_engine_alloc(heap, size, align);
	if (unlikely(!p)) {
		if (READ_ONCE(heap->deferred_free))
			chaos_heartbeat(heap, true);
		p = chaos_alloc_blocking(heap, size, align, gfp);
		if (!p) {
			chaos_failed(heap, size, align, gfp, caller);
			return NULL;
		}
	}
	if (gfp & __GFP_ZERO)
		chaos_clear(heap, p, 0);
	return p;
}

/*
 * FAST PATH.  might_alloc() finds callers that would sleep where they must not.
 * Elsewhere than in debug kernels it can still be a call of cond_resched(), so
 * there it is left to the slow path.
 */
static __always_inline void *chaos_alloc_inline(struct chaos_heap *heap,
						size_t size, gfp_t gfp,
						unsigned long caller)
{
	if (IS_ENABLED(CONFIG_DEBUG_ATOMIC_SLEEP) || IS_ENABLED(CONFIG_LOCKDEP))
		might_alloc(gfp);
	if (likely(size <= MI_SMALL_MAX && !(gfp & CHAOS_GFP_SLOW))) {
		void *p = mi_alloc_fast(heap, size);

		if (likely(p))
			return p;
	}
	return chaos_alloc_slow(heap, size, CHAOS_MIN_ALIGN, gfp, caller);
}

static __always_inline void *chaos_alloc_default(size_t size, gfp_t gfp,
						 unsigned long caller)
{
	if (static_branch_likely(&chaos_default_is_mi))
		return chaos_alloc_inline(chaos_default, size, gfp, caller);
	return chaos_alloc_slow(chaos_default, size, CHAOS_MIN_ALIGN, gfp, caller);
}

/**
 * chaos_alloc() - allocate from the default heap
 * @size: bytes; 0 gives ZERO_SIZE_PTR
 * @gfp: GFP_KERNEL where the caller may sleep, else GFP_ATOMIC or GFP_NOWAIT;
 *	__GFP_ZERO and __GFP_NOWARN are honoured; zone modifiers, __GFP_NOFAIL,
 *	__GFP_ACCOUNT and __GFP_THISNODE are refused
 *
 * The block is aligned to CHAOS_MIN_ALIGN; the mimalloc and evl engines align
 * power-of-two sizes naturally up to PAGE_SIZE.
 *
 * Context: any.  Sleeps only if @gfp allows it and there is no memory left.
 * Return: the block, or NULL if there is no memory or @gfp cannot be honoured
 */
__kprobes void *chaos_alloc(size_t size, gfp_t gfp)
{
	return chaos_alloc_default(size, gfp, _RET_IP_);
}
EXPORT_SYMBOL_GPL(chaos_alloc);

/**
 * chaos_zalloc() - allocate zeroed memory from the default heap
 * @size: bytes; 0 gives ZERO_SIZE_PTR
 * @gfp: see chaos_alloc()
 *
 * Context: any.  Sleeps only if @gfp allows it and there is no memory left.
 * Return: the block, or NULL
 */
void *chaos_zalloc(size_t size, gfp_t gfp)
{
	return chaos_alloc_slow(chaos_default, size, CHAOS_MIN_ALIGN,
				gfp | __GFP_ZERO, _RET_IP_);
}
EXPORT_SYMBOL_GPL(chaos_zalloc);

/**
 * chaos_calloc() - allocate a zeroed array from the default heap
 * @n: number of elements
 * @size: bytes of each
 * @gfp: see chaos_alloc()
 *
 * Context: any.  Sleeps only if @gfp allows it and there is no memory left.
 * Return: the array, or NULL, also if @n * @size overflows
 */
void *chaos_calloc(size_t n, size_t size, gfp_t gfp)
{
	return chaos_alloc_slow(chaos_default, size_mul(n, size),
				CHAOS_MIN_ALIGN, gfp | __GFP_ZERO, _RET_IP_);
}
EXPORT_SYMBOL_GPL(chaos_calloc);

static void *chaos_do_alloc_aligned(struct chaos_heap *heap, size_t size,
				    size_t align, gfp_t gfp,
				    unsigned long caller)
{
	if (!is_power_of_2(align) || align > CHAOS_MAX_ALIGN) {
		pr_warn_ratelimited("heap %s: %pS: %zu is no alignment: a power of two up to %lu is\n",
				    heap->name, (void *)caller, align,
				    CHAOS_MAX_ALIGN);
		return NULL;
	}
	return chaos_alloc_slow(heap, size, max(align, (size_t)CHAOS_MIN_ALIGN),
				gfp, caller);
}

/**
 * chaos_alloc_aligned() - allocate aligned memory from the default heap
 * @size: bytes; 0 gives ZERO_SIZE_PTR
 * @align: a power of two up to CHAOS_MAX_ALIGN, in bytes
 * @gfp: see chaos_alloc()
 *
 * chaos_realloc() keeps the alignment.
 *
 * Context: any.  Sleeps only if @gfp allows it and there is no memory left.
 * Return: the block, or NULL, also if @align is none
 */
void *chaos_alloc_aligned(size_t size, size_t align, gfp_t gfp)
{
	return chaos_do_alloc_aligned(chaos_default, size, align, gfp, _RET_IP_);
}
EXPORT_SYMBOL_GPL(chaos_alloc_aligned);

/**
 * chaos_alloc_bulk() - allocate several blocks of one size from the default heap
 * @size: bytes of each, not 0
 * @gfp: see chaos_alloc()
 * @n: how many
 * @p: where to put the pointers
 *
 * All or nothing, as kmem_cache_alloc_bulk().
 *
 * Context: any.  Sleeps only if @gfp allows it and there is no memory left.
 * Return: @n, or 0 if not all of them could be had
 */
size_t chaos_alloc_bulk(size_t size, gfp_t gfp, size_t n, void **p)
{
	size_t i;

	for (i = 0; i < n; i++) {
		p[i] = chaos_alloc_default(size, gfp, _RET_IP_);
		if (!p[i]) {
			chaos_free_bulk(i, p);
			return 0;
		}
	}
	return n;
}
EXPORT_SYMBOL_GPL(chaos_alloc_bulk);

/* --------------------------------- freeing -------------------------------- */

/* Direct calls for the default heap; @heap is that one. */
static __always_inline enum chaos_verdict
chaos_default_free(struct chaos_heap *heap, struct chaos_pool *pool, void *p)
{
	if (static_branch_likely(&chaos_default_is_mi))
		return mi_free(heap, pool, p);
	if (static_branch_unlikely(&chaos_default_is_evl))
		return evl_free(heap, pool, p);
	return tlsf_op_free(heap, pool, p);
}

static __always_inline void chaos_free_inline(struct chaos_heap *heap,
					      const void *p, bool is_default,
					      unsigned long caller)
{
	enum chaos_verdict verdict;
	struct chaos_pool *pool;

	if (unlikely(ZERO_OR_NULL_PTR(p)))
		return;
	preempt_disable();
	pool = chaos_pool_in(heap, p, &verdict);
	if (likely(pool))
		verdict = is_default ?
			chaos_default_free(heap, pool, (void *)p) :
			heap->engine->free(heap, pool, (void *)p);
	preempt_enable();
	if (unlikely(verdict != CHAOS_OK))
		chaos_report(heap, p, verdict, caller);
}

static noinline void chaos_do_free(struct chaos_heap *heap, const void *p,
				   unsigned long caller)
{
	chaos_free_inline(heap, p, false, caller);
}

/**
 * chaos_free() - free a block of the default heap
 * @p: the block, NULL or ZERO_SIZE_PTR
 *
 * A pointer that is no live block of the default heap is reported, counted and
 * otherwise ignored.
 *
 * Context: any.
 */
__kprobes void chaos_free(const void *p)
{
	chaos_free_inline(chaos_default, p, true, _RET_IP_);
}
EXPORT_SYMBOL_GPL(chaos_free);

/**
 * chaos_free_bulk() - free several blocks of the default heap
 * @n: how many
 * @p: the blocks; NULL and ZERO_SIZE_PTR are skipped
 *
 * Context: any.
 */
void chaos_free_bulk(size_t n, void **p)
{
	while (n--)
		chaos_free_inline(chaos_default, p[n], true, _RET_IP_);
}
EXPORT_SYMBOL_GPL(chaos_free_bulk);

/**
 * chaos_free_sensitive() - clear a block of the default heap and free it
 * @p: the block, NULL or ZERO_SIZE_PTR
 *
 * All of its usable bytes are cleared.
 *
 * Context: any.
 */
void chaos_free_sensitive(const void *p)
{
	struct chaos_block block;

	if (ZERO_OR_NULL_PTR(p) ||
	    !chaos_query(chaos_default, p, &block, _RET_IP_))
		return;
	memzero_explicit((void *)p, block.size);
	chaos_do_free(chaos_default, p, _RET_IP_);
}
EXPORT_SYMBOL_GPL(chaos_free_sensitive);

static size_t chaos_do_usable_size(struct chaos_heap *heap, const void *p,
				   unsigned long caller)
{
	struct chaos_block block;

	if (ZERO_OR_NULL_PTR(p) || !chaos_query(heap, p, &block, caller))
		return 0;
	return block.size;
}

/**
 * chaos_usable_size() - bytes of a block of the default heap that may be used
 * @p: the block, NULL or ZERO_SIZE_PTR
 *
 * Context: any.
 * Return: at least the size that was asked for; 0 for NULL, ZERO_SIZE_PTR and
 * a pointer that is no live block, which is reported
 */
size_t chaos_usable_size(const void *p)
{
	return chaos_do_usable_size(chaos_default, p, _RET_IP_);
}
EXPORT_SYMBOL_GPL(chaos_usable_size);

/* ------------------------------ reallocation ------------------------------ */

static bool chaos_resize(struct chaos_heap *heap, void *p, size_t size)
{
	bool done;

	preempt_disable();
	done = heap->engine->resize(heap, chaos_pool_of(p), p, size);
	preempt_enable();
	return done;
}

/* To make a block smaller must not fail, and is not worth a wait. */
static void *chaos_move(struct chaos_heap *heap, void *old,
			const struct chaos_block *block, size_t size,
			gfp_t gfp, unsigned long caller)
{
	bool shrinks = size <= block->size;
	void *p;

	if (shrinks)
		p = chaos_engine_alloc(heap, size, block->align);
	else
		p = chaos_alloc_slow(heap, size, block->align, gfp & ~__GFP_ZERO,
				     caller);
	if (!p)
		return shrinks ? old : NULL;
	memcpy(p, old, min(size, block->size));
	chaos_do_free(heap, old, caller);
	return p;
}

static void *chaos_do_realloc(struct chaos_heap *heap, const void *old,
			      size_t size, gfp_t gfp, unsigned long caller)
{
	struct chaos_block block;
	void *p = (void *)old;

	if (ZERO_OR_NULL_PTR(old))
		return chaos_alloc_slow(heap, size, CHAOS_MIN_ALIGN, gfp, caller);
	if (!size) {
		chaos_do_free(heap, old, caller);
		return ZERO_SIZE_PTR;
	}
	might_alloc(gfp);
	if (chaos_gfp_refused(heap, gfp, caller) ||
	    !chaos_query(heap, old, &block, caller))
		return NULL;
	if (size > CHAOS_SIZE_MAX || !chaos_resize(heap, p, size))
		p = chaos_move(heap, p, &block, size, gfp, caller);
	if (p && gfp & __GFP_ZERO)
		chaos_clear(heap, p, min(size, block.size));
	return p;
}

/**
 * chaos_realloc() - change the size of a block of the default heap
 * @p: the block; NULL or ZERO_SIZE_PTR: as chaos_alloc()
 * @size: new bytes; 0 frees the block and gives ZERO_SIZE_PTR
 * @gfp: see chaos_alloc().  __GFP_ZERO: new bytes are 0 if all calls for this
 *	block had it, as with krealloc(): the size that was asked for before
 *	is not known, so what is beyond it must be 0 already.
 *
 * Keeps the contents up to the smaller size, and the alignment that
 * chaos_alloc_aligned() gave.  In place where the engine can.
 *
 * Context: any.  Sleeps only if @gfp allows it and there is no memory left.
 * Return: the block, moved or not; NULL leaves the old one as it was.  To make
 * a block smaller never fails.
 */
void *chaos_realloc(const void *p, size_t size, gfp_t gfp)
{
	return chaos_do_realloc(chaos_default, p, size, gfp, _RET_IP_);
}
EXPORT_SYMBOL_GPL(chaos_realloc);

/* ----------------------------- heaps of one's own ------------------------- */

static struct chaos_heap *chaos_heap_or_default(struct chaos_heap *heap)
{
	return heap ?: chaos_default;
}

/**
 * chaos_heap_alloc() - allocate from a heap
 * @heap: the heap, or NULL for the default heap
 * @size: bytes; 0 gives ZERO_SIZE_PTR
 * @gfp: see chaos_alloc()
 *
 * Context: any.  Sleeps only if @gfp allows it and there is no memory left.
 * Return: the block, or NULL
 */
__kprobes void *chaos_heap_alloc(struct chaos_heap *heap, size_t size, gfp_t gfp)
{
	heap = chaos_heap_or_default(heap);
	if (likely(heap->theaps))
		return chaos_alloc_inline(heap, size, gfp, _RET_IP_);
	return chaos_alloc_slow(heap, size, CHAOS_MIN_ALIGN, gfp, _RET_IP_);
}
EXPORT_SYMBOL_GPL(chaos_heap_alloc);

/**
 * chaos_heap_zalloc() - allocate zeroed memory from a heap
 * @heap: the heap, or NULL for the default heap
 * @size: bytes; 0 gives ZERO_SIZE_PTR
 * @gfp: see chaos_alloc()
 *
 * Context: any.  Sleeps only if @gfp allows it and there is no memory left.
 * Return: the block, or NULL
 */
void *chaos_heap_zalloc(struct chaos_heap *heap, size_t size, gfp_t gfp)
{
	return chaos_alloc_slow(chaos_heap_or_default(heap), size,
				CHAOS_MIN_ALIGN, gfp | __GFP_ZERO, _RET_IP_);
}
EXPORT_SYMBOL_GPL(chaos_heap_zalloc);

/**
 * chaos_heap_alloc_aligned() - allocate aligned memory from a heap
 * @heap: the heap, or NULL for the default heap
 * @size: bytes; 0 gives ZERO_SIZE_PTR
 * @align: a power of two up to CHAOS_MAX_ALIGN, in bytes
 * @gfp: see chaos_alloc()
 *
 * Context: any.  Sleeps only if @gfp allows it and there is no memory left.
 * Return: the block, or NULL, also if @align is none
 */
void *chaos_heap_alloc_aligned(struct chaos_heap *heap, size_t size,
			       size_t align, gfp_t gfp)
{
	return chaos_do_alloc_aligned(chaos_heap_or_default(heap), size, align,
				      gfp, _RET_IP_);
}
EXPORT_SYMBOL_GPL(chaos_heap_alloc_aligned);

/**
 * chaos_heap_realloc() - change the size of a block of a heap
 * @heap: the heap, or NULL for the default heap
 * @p: the block; NULL or ZERO_SIZE_PTR: as chaos_heap_alloc()
 * @size: new bytes; 0 frees the block and gives ZERO_SIZE_PTR
 * @gfp: see chaos_realloc()
 *
 * Context: any.  Sleeps only if @gfp allows it and there is no memory left.
 * Return: the block, moved or not; NULL leaves the old one as it was
 */
void *chaos_heap_realloc(struct chaos_heap *heap, const void *p, size_t size,
			 gfp_t gfp)
{
	return chaos_do_realloc(chaos_heap_or_default(heap), p, size, gfp,
				_RET_IP_);
}
EXPORT_SYMBOL_GPL(chaos_heap_realloc);

/**
 * chaos_heap_free() - free a block of a heap
 * @heap: the heap, or NULL for the default heap
 * @p: the block, NULL or ZERO_SIZE_PTR
 *
 * A pointer that is no live block of this heap is reported, counted and otherwise
 * ignored.
 *
 * Context: any.
 */
__kprobes void chaos_heap_free(struct chaos_heap *heap, const void *p)
{
	chaos_free_inline(chaos_heap_or_default(heap), p, false, _RET_IP_);
}
EXPORT_SYMBOL_GPL(chaos_heap_free);

/**
 * chaos_heap_usable_size() - bytes of a block that may be used
 * @heap: the heap, or NULL for the default heap
 * @p: the block, NULL or ZERO_SIZE_PTR
 *
 * Context: any.
 * Return: at least the size that was asked for; 0 for NULL, ZERO_SIZE_PTR and
 * a pointer that is no live block of the heap, which is reported
 */
size_t chaos_heap_usable_size(struct chaos_heap *heap, const void *p)
{
	return chaos_do_usable_size(chaos_heap_or_default(heap), p, _RET_IP_);
}
EXPORT_SYMBOL_GPL(chaos_heap_usable_size);

/**
 * chaos_heap_owns() - does an address lie in a pool of the heap?
 * @heap: the heap, or NULL for the default heap
 * @p: any address
 *
 * Context: any.
 * Return: true if it does, whether or not a block is live there
 */
bool chaos_heap_owns(struct chaos_heap *heap, const void *p)
{
	struct chaos_pool *pool;
	bool owns;

	heap = chaos_heap_or_default(heap);
	preempt_disable();
	pool = chaos_pool_of(p);
	owns = pool && pool->heap == heap;
	preempt_enable();
	return owns;
}
EXPORT_SYMBOL_GPL(chaos_heap_owns);

/**
 * chaos_heap_add_pool() - give a heap memory of the caller's
 * @heap: the heap, or NULL for the default heap
 * @mem: any kernel memory; it must stay valid until the heap is destroyed
 * @size: its bytes.  Only whole 64 KiB units that are aligned to 64 KiB are
 *	used.
 *
 * Not limited by max_size.
 *
 * Context: task; may sleep.
 * Return: 0; -EINVAL if no whole unit is in the range or it is not the kernel's;
 * -EEXIST if part of it is in a pool already; -ENOMEM
 */
int chaos_heap_add_pool(struct chaos_heap *heap, void *mem, size_t size)
{
	unsigned int noio;
	int err;

	heap = chaos_heap_or_default(heap);
	noio = chaos_heap_lock(heap);
	err = chaos_add_pool(heap, chaos_pool_adopt(heap, mem, size));
	chaos_update_low_mark(heap, false);
	chaos_heap_unlock(heap, noio);
	return err;
}
EXPORT_SYMBOL_GPL(chaos_heap_add_pool);

/**
 * chaos_heap_check() - walk every structure of a heap
 * @heap: the heap, or NULL for the default heap
 *
 * The heap may be in use meanwhile.
 *
 * Context: task; may sleep.
 * Return: 0; -EUCLEAN and a report of the first broken invariant; -ENOMEM
 */
int chaos_heap_check(struct chaos_heap *heap)
{
	unsigned int noio;
	int err;

	heap = chaos_heap_or_default(heap);
	noio = chaos_heap_lock_cpus(heap);
	err = heap->engine->check(heap);
	chaos_heap_unlock_cpus(heap, noio);
	return err;
}
EXPORT_SYMBOL_GPL(chaos_heap_check);

/**
 * chaos_heap_walk() - visit every live block
 * @heap: the heap, or NULL for the default heap
 * @visitor: called for each
 * @arg: passed on
 *
 * If the heap is in use meanwhile, blocks that come or go may be missed, and those
 * whose page changes hands may be visited twice.
 *
 * Context: task; may sleep.
 * Return: 0; -ECANCELED if the visitor returned false; -EUCLEAN if the heap is
 * damaged; -ENOMEM
 */
int chaos_heap_walk(struct chaos_heap *heap, chaos_visitor visitor, void *arg)
{
	unsigned int noio;
	int err;

	heap = chaos_heap_or_default(heap);
	noio = chaos_heap_lock_cpus(heap);
	err = heap->engine->walk(heap, visitor, arg);
	chaos_heap_unlock_cpus(heap, noio);
	return err;
}
EXPORT_SYMBOL_GPL(chaos_heap_walk);

static size_t chaos_meta_bytes(struct chaos_heap *heap)
{
	struct chaos_pool *pool;
	size_t bytes = 0;

	lockdep_assert_held(&heap->mutex);
	list_for_each_entry(pool, &heap->pools, node)
		bytes += pool->meta_size;
	return bytes;
}

/**
 * chaos_heap_stats() - a snapshot of a heap's figures
 * @heap: the heap, or NULL for the default heap
 * @stats: filled in
 *
 * Context: task; may sleep.
 */
void chaos_heap_stats(struct chaos_heap *heap, struct chaos_heap_stats *stats)
{
	unsigned int noio;

	heap = chaos_heap_or_default(heap);
	noio = chaos_heap_lock(heap);
	*stats = (struct chaos_heap_stats){
		.name		 = heap->name,
		.allocator	 = heap->engine->name,
		.pools		 = heap->nr_pools,
		.pool_bytes	 = heap->pool_bytes,
		.meta_bytes	 = chaos_meta_bytes(heap),
		.max_bytes	 = max(heap->max_size, heap->pool_bytes),
		.held_bytes	 = READ_ONCE(heap->held),
		.peak_held_bytes = READ_ONCE(heap->peak_held),
		.grows		 = atomic_long_read(&heap->grows),
		.failures	 = atomic_long_read(&heap->failures),
		.bad_frees	 = atomic_long_read(&heap->bad_frees),
	};
	heap->engine->count(heap, &stats->live_blocks, &stats->live_bytes);
	chaos_heap_unlock(heap, noio);
}
EXPORT_SYMBOL_GPL(chaos_heap_stats);

/**
 * chaos_heap_collect() - tidy a heap up
 * @heap: the heap, or NULL for the default heap
 * @force: give back to the pools whatever is empty and kept for reuse;
 *	otherwise only what is overdue
 *
 * Context: task; may sleep.
 */
void chaos_heap_collect(struct chaos_heap *heap, bool force)
{
	unsigned int noio;

	heap = chaos_heap_or_default(heap);
	noio = chaos_heap_lock_cpus(heap);
	heap->engine->collect(heap, force);
	chaos_heap_unlock_cpus(heap, noio);
}
EXPORT_SYMBOL_GPL(chaos_heap_collect);

static bool chaos_try_hook(struct chaos_heap *heap, chaos_deferred_free fn,
			   void *arg)
{
	if (atomic_cmpxchg_acquire(&heap->in_deferred, 0, 1))
		return false;
	WRITE_ONCE(heap->deferred_free, fn);
	heap->deferred_arg = arg;
	atomic_set_release(&heap->in_deferred, 0);
	return true;
}

/**
 * chaos_register_deferred_free() - have a hook called now and then
 * @heap: the heap, or NULL for the default heap
 * @fn: the hook, in place of the one before; NULL for none
 * @arg: passed to it
 *
 * Called at a bounded interval of allocations, and before the heap grows or
 * fails.  When this returns, the old hook runs no longer.
 *
 * Context: task; may sleep.  Not from the hook.
 * Return: 0
 */
int chaos_register_deferred_free(struct chaos_heap *heap,
				 chaos_deferred_free fn, void *arg)
{
	heap = chaos_heap_or_default(heap);
	/* Not under a spinlock: the hook may run for long. */
	while (!chaos_try_hook(heap, fn, arg))
		schedule_timeout_uninterruptible(1);
	return 0;
}
EXPORT_SYMBOL_GPL(chaos_register_deferred_free);

/* ------------------------- creation and destruction ------------------------ */

static const struct chaos_engine *chaos_engine_find(const char *name)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(chaos_engines); i++)
		if (!strcmp(chaos_engines[i]->name, name))
			return chaos_engines[i];
	return NULL;
}

static bool chaos_pool_size_ok(size_t size)
{
	return size >= CHAOS_POOL_MIN && size <= chaos_pool_limit();
}

static int chaos_params_check(const struct chaos_heap_params *params)
{
	size_t first;

	if (!params->mem != !params->mem_size ||
	    (!params->pool_size && !params->mem))
		return -EINVAL;
	if (params->pool_size && !chaos_pool_size_ok(params->pool_size))
		return -EINVAL;
	if (check_add_overflow(params->pool_size, params->mem_size, &first))
		return -EINVAL;
	if (params->max_size && (params->max_size < first ||
				 params->max_size > CHAOS_SIZE_MAX))
		return -EINVAL;
	if (params->node != NUMA_NO_NODE &&
	    (params->node < 0 || params->node >= MAX_NUMNODES ||
	     !node_online(params->node)))
		return -EINVAL;
	return 0;
}

static int chaos_first_pools(struct chaos_heap *heap,
			     const struct chaos_heap_params *params)
{
	unsigned int noio = chaos_heap_lock(heap);
	int err = 0;

	if (params->mem)
		err = chaos_add_pool(heap, chaos_pool_adopt(heap, params->mem,
							    params->mem_size));
	if (!err && params->pool_size)
		err = chaos_new_pool(heap, params->pool_size,
				     GFP_KERNEL | __GFP_NOWARN);
	chaos_update_low_mark(heap, false);
	chaos_heap_unlock(heap, noio);
	return err;
}

static struct chaos_heap *chaos_heap_new(const struct chaos_heap_params *params,
					 const struct chaos_engine *engine)
{
	struct chaos_heap *heap = kzalloc(sizeof(*heap), GFP_KERNEL);

	if (!heap)
		return NULL;
	heap->engine = engine;
	heap->low_mark = SIZE_MAX;
	heap->max_size = params->max_size;
	heap->node = params->node;
	mutex_init(&heap->mutex);
	INIT_LIST_HEAD(&heap->pools);
	INIT_LIST_HEAD(&heap->node_in_heaps);
	init_irq_work(&heap->grow_irq, chaos_grow_irq);
	INIT_WORK(&heap->grow_work, chaos_grow_work);
	INIT_WORK(&heap->collect_work, chaos_collect_work);
	init_waitqueue_head(&heap->collect_wait);
	strscpy(heap->name, params->name ?: "unnamed", sizeof(heap->name));
	return heap;
}

/*
 * The heap is not in use any longer.  What a wrong free may be looking at goes
 * after a grace period.
 */
static void chaos_heap_release(struct chaos_heap *heap)
{
	struct chaos_pool *pool, *next;

	irq_work_sync(&heap->grow_irq);
	cancel_work_sync(&heap->grow_work);
	cancel_work_sync(&heap->collect_work);
	list_for_each_entry(pool, &heap->pools, node)
		chaos_pool_withdraw(pool);
	synchronize_rcu();
	list_for_each_entry_safe(pool, next, &heap->pools, node) {
		heap->engine->remove_pool(heap, pool);
		chaos_pool_free(pool);
	}
	heap->engine->exit(heap);
	mutex_destroy(&heap->mutex);
	kfree(heap);
}

/**
 * chaos_heap_create() - create a heap
 * @params: what it shall be
 *
 * Context: task; may sleep.
 * Return: the heap, or ERR_PTR(): -EINVAL if a parameter is out of range or no
 * engine has that name, -EEXIST if the memory given is in a pool already,
 * -ENOMEM
 */
struct chaos_heap *chaos_heap_create(const struct chaos_heap_params *params)
{
	const struct chaos_engine *engine;
	struct chaos_heap *heap;
	int err;

	if (!params)
		return ERR_PTR(-EINVAL);
	engine = params->allocator ? chaos_engine_find(params->allocator) :
				     chaos_default->engine;
	if (!engine)
		return ERR_PTR(-EINVAL);
	err = chaos_params_check(params);
	if (err)
		return ERR_PTR(err);

	heap = chaos_heap_new(params, engine);
	if (!heap)
		return ERR_PTR(-ENOMEM);
	err = engine->init(heap);
	if (err) {
		kfree(heap);
		return ERR_PTR(err);
	}
	err = chaos_first_pools(heap, params);
	if (err) {
		chaos_heap_release(heap);
		return ERR_PTR(err);
	}
	mutex_lock(&chaos_heaps_mutex);
	list_add_tail(&heap->node_in_heaps, &chaos_heaps);
	mutex_unlock(&chaos_heaps_mutex);
	return heap;
}
EXPORT_SYMBOL_GPL(chaos_heap_create);

/**
 * chaos_heap_destroy() - destroy a heap, and with it all of its blocks
 * @heap: the heap, of which no function is running or will be called; NULL and
 *	error pointers are ignored.  The default heap cannot be destroyed.
 *
 * Context: task; may sleep.
 */
void chaos_heap_destroy(struct chaos_heap *heap)
{
	if (IS_ERR_OR_NULL(heap) || heap == chaos_default)
		return;
	mutex_lock(&chaos_heaps_mutex);
	list_del(&heap->node_in_heaps);
	mutex_unlock(&chaos_heaps_mutex);
	chaos_heap_release(heap);
}
EXPORT_SYMBOL_GPL(chaos_heap_destroy);

/* -------------------------------- the module ------------------------------ */

static char *allocator = "mimalloc";
module_param(allocator, charp, 0444);
MODULE_PARM_DESC(allocator, "engine of the default heap: mimalloc, tlsf or evl (default mimalloc)");

/* A number of bytes; K, M, G, ... may follow. */
static int chaos_size_set(const char *val, const struct kernel_param *kp)
{
	unsigned long long size;
	char *end;

	size = memparse(val, &end);
	if (end == val || (*end && *end != '\n') || size > SIZE_MAX) {
		pr_err("%s=%s is no size: a number of bytes is, with K, M or G if you like\n",
		       kp->name, val);
		return -EINVAL;
	}
	*(size_t *)kp->arg = size;
	return 0;
}

static int chaos_size_get(char *buffer, const struct kernel_param *kp)
{
	return sysfs_emit(buffer, "%zu\n", *(size_t *)kp->arg);
}

static const struct kernel_param_ops chaos_size_ops = {
	.set = chaos_size_set,
	.get = chaos_size_get,
};

static size_t pool_size = CHAOS_POOL_DEFAULT;
module_param_cb(pool_size, &chaos_size_ops, &pool_size, 0444);
MODULE_PARM_DESC(pool_size, "bytes that the default heap reserves (default 16M)");

static size_t max_size = CHAOS_MAX_DEFAULT;
module_param_cb(max_size, &chaos_size_ops, &max_size, 0444);
MODULE_PARM_DESC(max_size, "bytes that the default heap may grow to; 0: it never grows (default 256M)");

static int __init chaos_check_module_params(void)
{
	if (!chaos_engine_find(allocator)) {
		pr_err("allocator=%s is unknown: mimalloc, tlsf and evl are valid\n",
		       allocator);
		return -EINVAL;
	}
	if (!chaos_pool_size_ok(pool_size)) {
		pr_err("pool_size=%zu is out of range: %lu (64K) to %zu (half of the memory) are valid\n",
		       pool_size, CHAOS_POOL_MIN, chaos_pool_limit());
		return -EINVAL;
	}
	if (max_size && (max_size < pool_size || max_size > CHAOS_SIZE_MAX)) {
		pr_err("max_size=%zu is out of range: 0 (no growth) and %zu (pool_size) to %zu are valid\n",
		       max_size, pool_size, CHAOS_SIZE_MAX);
		return -EINVAL;
	}
	return 0;
}

static void __init chaos_select_default(const struct chaos_engine *engine)
{
	if (engine != &chaos_mi_engine)
		static_branch_disable(&chaos_default_is_mi);
	if (engine == &chaos_evl_engine)
		static_branch_enable(&chaos_default_is_evl);
}

static int __init chaos_create_default(void)
{
	struct chaos_heap_params params = {
		.name = "default",
		.allocator = allocator,
		.pool_size = pool_size,
		.max_size = max_size,
		.node = NUMA_NO_NODE,
	};
	struct chaos_heap *heap = chaos_heap_create(&params);

	if (IS_ERR(heap)) {
		pr_err("no default heap: %pe for pool_size=%zu\n", heap,
		       pool_size);
		return PTR_ERR(heap);
	}
	chaos_default = heap;
	chaos_select_default(heap->engine);
	return 0;
}

static int __init chaos_init(void)
{
	int err;

	err = chaos_check_module_params();
	if (err)
		return err;
	err = chaos_pool_map_init();
	if (err)
		return err;
	chaos_wq = alloc_workqueue("chaos_alloc", WQ_UNBOUND, 0);
	err = chaos_wq ? 0 : -ENOMEM;
	if (err)
		goto exit_map;
	err = chaos_create_default();
	if (err)
		goto exit_wq;
	pr_info("default heap: %s, %zu KiB, grows to %zu KiB\n", allocator,
		pool_size >> 10, max_size >> 10);
	return 0;

exit_wq:
	destroy_workqueue(chaos_wq);
exit_map:
	chaos_pool_map_exit();
	return err;
}

/* A heap that goes with the module: say what its users have left. */
static void __exit chaos_report_leaks(struct chaos_heap *heap)
{
	struct chaos_heap_stats stats;

	chaos_heap_stats(heap, &stats);
	if (heap != chaos_default)
		pr_warn("heap %s was never destroyed\n", heap->name);
	if (stats.live_blocks)
		pr_warn("heap %s: %zu blocks, %zu bytes are still allocated\n",
			heap->name, stats.live_blocks, stats.live_bytes);
}

static void __exit chaos_exit(void)
{
	struct chaos_heap *heap, *next;

	/* Its users are gone: nobody else can have the list. */
	list_for_each_entry_safe_reverse(heap, next, &chaos_heaps, node_in_heaps) {
		chaos_report_leaks(heap);
		chaos_heap_release(heap);
	}
	destroy_workqueue(chaos_wq);
	chaos_pool_map_exit();
}

module_init(chaos_init);
module_exit(chaos_exit);

MODULE_DESCRIPTION("Private heaps for kernel modules, callable from any context");
MODULE_LICENSE("GPL");
