// SPDX-License-Identifier: GPL-2.0
/*
 * chaos_alloc: the API that hands out blocks and takes them back.
 *
 * A call checks its arguments, finds the heap, and goes to the heap's engine with
 * preemption disabled.  The engine never sleeps.  When it has no memory, a
 * caller that may block grows the heap and tries again (or, if the heap may not
 * grow, waits a moment for what other CPUs keep); others get NULL, and
 * the heap's own worker, woken when free memory gets low, makes that rare.
 *
 * Heaps as a whole, and the module, are in heap.c.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/err.h>
#include <linux/jump_label.h>
#include <linux/kprobes.h>
#include <linux/mm.h>
#include <linux/overflow.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "compat.h"
#include "engine.h"
#include "evl_fast.h"
#include "fault.h"
#include "grow.h"
#include "harden.h"
#include "heap.h"
#include "mi_heap.h"
#include "sanitize.h"
#include "tlsf.h"
#include "tlsf_core.h"
#include "trace.h"
#include "track.h"
#include "watch.h"

/* --------------------------------- reports -------------------------------- */

static const char *chaos_verdict_text(enum chaos_verdict verdict)
{
	switch (verdict) {
	case CHAOS_FOREIGN:	return "not from any heap";
	case CHAOS_OTHER_HEAP:	return "belongs to another heap";
	case CHAOS_INTERIOR:	return "not the start of a block";
	case CHAOS_FREED:	return "already freed";
	case CHAOS_CORRUPT:	return "memory was overwritten";
	case CHAOS_OVERRUN:	return "written past its end";
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

/* --------------------------------- look-up -------------------------------- */

/* What the engine knows of @p. */
static enum chaos_verdict chaos_look_into(struct chaos_heap *heap, struct chaos_pool *pool,
					  const void *p, struct chaos_block *block)
{
	enum chaos_verdict verdict = heap->engine->query(heap, pool, p, block);

	if (unlikely(verdict != CHAOS_OK))
		return verdict;
	/* A size that leaves the pool tells that somebody frees it at the same moment. */
	if (!chaos_pool_holds(pool, p, block->size) || chaos_san_is_waiting(heap, p))
		return CHAOS_FREED;
	/* Whoever looks for its canary or its origin would look in front of it. */
	if (unlikely(block->size < heap->trailer))
		return CHAOS_CORRUPT;
	return CHAOS_OK;
}

static enum chaos_verdict chaos_look_up(struct chaos_heap *heap, const void *p,
					struct chaos_block *block)
{
	enum chaos_verdict verdict;
	struct chaos_pool *pool;

	preempt_disable();
	pool = chaos_pool_in(heap, p, &verdict);
	if (pool)
		verdict = chaos_look_into(heap, pool, p, block);
	preempt_enable();
	return verdict;
}

/* The same, or a report and false. */
static bool chaos_query(struct chaos_heap *heap, const void *p,
			struct chaos_block *block, unsigned long caller)
{
	enum chaos_verdict verdict = chaos_look_up(heap, p, block);

	if (likely(verdict == CHAOS_OK))
		return true;
	chaos_report(heap, p, verdict, caller);
	return false;
}

/* The same for those who want to know what the client may use: block->size. */
static bool chaos_query_client(struct chaos_heap *heap, const void *p,
			       struct chaos_block *block, unsigned long caller)
{
	bool intact;

	if (!chaos_query(heap, p, block, caller))
		return false;
	block->size = chaos_client_size(heap, p, block->size, &intact);
	return true;
}

/* ------------------------------- allocation ------------------------------- */

static noinline __cold void chaos_gfp_warn(struct chaos_heap *heap, size_t size,
					   size_t align, gfp_t gfp,
					   unsigned long caller)
{
	trace_fail(caller, size, align, gfp, heap);
	pr_warn_once("heap %s: %pS: gfp %pGg cannot be honoured\n", heap->name,
		     (void *)caller, &gfp);
}

static bool chaos_gfp_refused(struct chaos_heap *heap, size_t size, size_t align,
			      gfp_t gfp, unsigned long caller)
{
	if (likely(!(gfp & CHAOS_GFP_REFUSED)))
		return false;
	chaos_gfp_warn(heap, size, align, gfp, caller);
	return true;
}

/* Direct calls for the default heap; @heap is that one. */
static __always_inline void *chaos_default_alloc(struct chaos_heap *heap,
						 size_t size, size_t align)
{
	if (static_branch_likely(&chaos_default_is_mi))
		return mi_alloc(heap, size, align);
	if (static_branch_unlikely(&chaos_default_is_evl))
		return evl_op_alloc(heap, size, align);
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

/* What the engine is asked for when the client of a heap without trailers wants @size. */
static __always_inline size_t chaos_plain_size(const struct chaos_heap *heap,
					       size_t size)
{
	if (!CHAOS_SAN || !size)
		return size;
	return max(size + chaos_redzone(heap), CHAOS_SAN_MIN_SIZE);
}

/* The same for any heap. */
static __always_inline size_t chaos_engine_size(const struct chaos_heap *heap,
						size_t size)
{
	if (chaos_has_trailer(heap))
		return size + heap->trailer;
	return chaos_plain_size(heap, size);
}

/* With what is added to it, a power of two is none any more. */
static __always_inline bool chaos_loses_align(const struct chaos_heap *heap,
					      size_t size)
{
	return (chaos_redzone(heap) || chaos_has_trailer(heap)) &&
	       heap->engine->natural && is_power_of_2(size);
}

/* The promise stands. */
static __always_inline size_t chaos_engine_align(const struct chaos_heap *heap,
						 size_t size, size_t align)
{
	if (!chaos_loses_align(heap, size))
		return align;
	return max(align, min(size, PAGE_SIZE));
}

/*
 * Does it stand anyway?  The fast path knows no alignment.  (But in kernels with KASAN or
 * kmemleak, nothing is left of this.)
 */
static __always_inline bool chaos_is_plain(const struct chaos_heap *heap,
					   size_t size)
{
	return !chaos_redzone(heap) || !is_power_of_2(size);
}

/*
 * The block at @p has got its size from the engine: write its canary and its origin,
 * if it is to have one.  But see chaos_harden_lay().
 */
static void chaos_lay_trailer(struct chaos_heap *heap, void *p, size_t size, gfp_t gfp,
			      unsigned long caller)
{
	struct chaos_block block;

	if (chaos_look_up(heap, p, &block) != CHAOS_OK || block.size < size + heap->trailer)
		return;
	if (chaos_is_hardened(heap))
		chaos_harden_lay(heap, p, block.size, size);
	if (chaos_is_tracked(heap))
		chaos_track_lay(heap, p, block.size, gfp, caller);
}

static noinline void *chaos_take_trailed(struct chaos_heap *heap, size_t size,
					 size_t align, gfp_t gfp, unsigned long caller)
{
	void *p;

	chaos_harden_begin(heap);
	p = chaos_engine_alloc(heap, chaos_engine_size(heap, size),
			       chaos_engine_align(heap, size, align));
	if (p)
		chaos_lay_trailer(heap, p, size, gfp, caller);
	chaos_harden_end(heap);
	return p;
}

/* A block that the client can have @size bytes of, or NULL. */
static __always_inline void *chaos_take(struct chaos_heap *heap, size_t size,
					size_t align, gfp_t gfp, unsigned long caller)
{
	if (chaos_has_trailer(heap))
		return chaos_take_trailed(heap, size, align, gfp, caller);
	return chaos_engine_alloc(heap, chaos_engine_size(heap, size),
				  chaos_engine_align(heap, size, align));
}

/*
 * Call the client's hook for the heartbeat @beat, unless it has heard of a later
 * one.  in_deferred is a lock that is only tried: it keeps the hook from being
 * entered from within, or on two CPUs at once, and protects the hook's
 * pointer, its argument, and what it has heard.
 */
static void chaos_call_hook(struct chaos_heap *heap, bool force, u64 beat)
{
	chaos_deferred_free fn;

	if (in_nmi() || atomic_cmpxchg_acquire(&heap->in_deferred, 0, 1))
		return;
	fn = heap->deferred_free;
	if (fn && (force || beat > heap->heard)) {
		heap->heard = max(heap->heard, beat);
		fn(heap, force, beat, heap->deferred_arg);
	}
	atomic_set_release(&heap->in_deferred, 0);
}

/* One more allocation while there is a hook. */
static noinline void chaos_heartbeat(struct chaos_heap *heap)
{
	u64 ticks = atomic64_inc_return(&heap->ticks);

	if (!(ticks % READ_ONCE(heap->options.heartbeat)))
		chaos_call_hook(heap, false,
				atomic64_inc_return(&heap->heartbeat));
}

static noinline void chaos_force_hook(struct chaos_heap *heap)
{
	chaos_call_hook(heap, true, atomic64_read(&heap->heartbeat));
}

/*
 * Those who may sleep, but for those who are part of reclaim: who waits for them may have the
 * mutex, and what they are given is the kernel's last.
 */
static bool chaos_may_grow(gfp_t gfp)
{
	return gfpflags_allow_blocking(gfp) && !(current->flags & PF_MEMALLOC);
}

/* The engine has nothing: may the caller wait for more? */
static noinline void *chaos_alloc_blocking(struct chaos_heap *heap, size_t size,
					   size_t align, gfp_t gfp,
					   unsigned long caller)
{
	size_t need = chaos_engine_size(heap, size);
	size_t need_align = chaos_engine_align(heap, size, align);
	void *p = NULL;
	long grows;

	if (!chaos_may_grow(gfp))
		return NULL;
	do {
		/* Pairs with chaos_grow_by(): what was added before is seen. */
		grows = atomic_long_read_acquire(&heap->grows);
		p = chaos_take(heap, size, align, gfp, caller);
	} while (!p && chaos_grow_for(heap, need, need_align, grows));
	if (p || !chaos_collect_wait(heap, need, need_align))
		return p;
	return chaos_take(heap, size, align, gfp, caller);
}

static noinline __cold void chaos_failed(struct chaos_heap *heap, size_t size,
					 size_t align, gfp_t gfp,
					 unsigned long caller)
{
	atomic_long_inc(&heap->failures);
	trace_fail(caller, size, align, gfp, heap);
	if (!(gfp & __GFP_NOWARN))
		pr_warn_ratelimited("heap %s: %pS: no memory for %zu bytes aligned to %zu, gfp %pGg\n",
				    heap->name, (void *)caller, size, align,
				    &gfp);
}

/*
 * Clear a block from byte @from up to its usable end: chaos_realloc() with
 * __GFP_ZERO knows no other end.
 */
static noinline void chaos_clear(struct chaos_heap *heap, void *p, size_t from)
{
	struct chaos_block block;

	if (chaos_query_client(heap, p, &block, _RET_IP_) && from < block.size)
		memset(p + from, 0, block.size - from);
}

/* The engine has nothing at hand. */
static noinline void *chaos_alloc_starved(struct chaos_heap *heap, size_t size,
					  size_t align, gfp_t gfp,
					  unsigned long caller)
{
	void *p = NULL;

	might_alloc(gfp);
	if (READ_ONCE(heap->deferred_free)) {
		chaos_force_hook(heap);
		p = chaos_take(heap, size, align, gfp, caller);
	}
	if (!p)
		p = chaos_alloc_blocking(heap, size, align, gfp, caller);
	if (!p) {
		chaos_failed(heap, size, align, gfp, caller);
		return NULL;
	}
	if (gfp & __GFP_ZERO)
		chaos_clear(heap, p, 0);
	chaos_san_alloc(heap, p, size, gfp);
	return p;
}

/* Everything but the fast path. */
static __always_inline void *chaos_alloc_unseen(struct chaos_heap *heap, size_t size,
						size_t align, gfp_t gfp,
						unsigned long caller)
{
	void *p;

	might_alloc(gfp);
	if (unlikely(chaos_gfp_refused(heap, size, align, gfp, caller)))
		return NULL;
	if (unlikely(!size))
		return ZERO_SIZE_PTR;
	if (unlikely(READ_ONCE(heap->deferred_free)))
		chaos_heartbeat(heap);
	if (unlikely(size > CHAOS_SIZE_MAX) || chaos_request_fails(size, gfp)) {
		chaos_failed(heap, size, align, gfp, caller);
		return NULL;
	}

	p = chaos_take(heap, size, align, gfp, caller);
	if (unlikely(!p))
		return chaos_alloc_starved(heap, size, align, gfp, caller);
	if (gfp & __GFP_ZERO)
		chaos_clear(heap, p, 0);
	chaos_san_alloc(heap, p, size, gfp);
	return p;
}

/* The client has got the block at @p. */
static noinline __cold void chaos_trace_alloc(struct chaos_heap *heap, void *p, size_t size,
					      gfp_t gfp, unsigned long caller)
{
	struct chaos_block block;

	if (trace_alloc_enabled() && chaos_look_up(heap, p, &block) == CHAOS_OK)
		trace_alloc(caller, p, size, block.size, gfp, heap);
}

/* The same, traced and timed; what is no request for a block is neither. */
static noinline __cold void *chaos_alloc_seen(struct chaos_heap *heap, size_t size,
					      size_t align, gfp_t gfp,
					      unsigned long caller)
{
	u64 begun = size ? chaos_latency_begin(heap) : 0;
	void *p = chaos_alloc_unseen(heap, size, align, gfp, caller);

	chaos_latency_end(heap, CHAOS_CALL_ALLOC, begun);
	if (!ZERO_OR_NULL_PTR(p))
		chaos_trace_alloc(heap, p, size, gfp, caller);
	return p;
}

static noinline void *chaos_alloc_slow(struct chaos_heap *heap, size_t size,
				       size_t align, gfp_t gfp,
				       unsigned long caller)
{
	if (chaos_is_seen(heap))
		return chaos_alloc_seen(heap, size, align, gfp, caller);
	return chaos_alloc_unseen(heap, size, align, gfp, caller);
}

/*
 * Is this a request for a fast path that takes up to @max bytes?  might_alloc() finds
 * callers that would sleep where they must not.  Elsewhere than in debug kernels it
 * can still be a call of cond_resched(), so there it is left to the slow path.
 */
static __always_inline bool chaos_is_fast_up_to(const struct chaos_heap *heap,
						size_t max, size_t size, gfp_t gfp)
{
	if (IS_ENABLED(CONFIG_DEBUG_ATOMIC_SLEEP) || IS_ENABLED(CONFIG_LOCKDEP))
		might_alloc(gfp);
	return likely(size <= max && !(gfp & heap->slow_gfp) &&
		      chaos_is_plain(heap, size) && !chaos_faults_armed());
}

static __always_inline bool chaos_is_fast(const struct chaos_heap *heap, size_t size,
					  gfp_t gfp)
{
	/* data_race(): who sets a hook does not wait for who is past this */
	return chaos_is_fast_up_to(heap, data_race(heap->fast_max), size, gfp);
}

/* Likewise up to what mimalloc has size classes for. */
static __always_inline bool chaos_has_class(const struct chaos_heap *heap, size_t size,
					    gfp_t gfp)
{
	size_t max = MI_BIN_MAX_SIZE - chaos_redzone(heap);

	/* data_race(): as above */
	return data_race(heap->fast_max) && chaos_is_fast_up_to(heap, max, size, gfp);
}

/* FAST PATH of mimalloc, for contexts of this level.  False: go the long way. */
static __always_inline bool chaos_alloc_mi(struct chaos_heap *heap,
					   unsigned int level, size_t size,
					   gfp_t gfp, void **p)
{
	bool small = chaos_is_fast(heap, size, gfp), done;
	size_t want = chaos_plain_size(heap, size);

	if (!small && (size <= MI_SMALL_MAX || !chaos_has_class(heap, size, gfp)))
		return false;
	preempt_disable();
	done = small ? mi_alloc_fast(heap, level, want, p) :
		       mi_alloc_medium(heap, level, want, p);
	preempt_enable();
	if (CHAOS_SAN && done)
		chaos_san_alloc(heap, *p, size, gfp);
	return done;
}

/* No block was at hand: have the engine get one. */
static __always_inline bool chaos_alloc_mi_more(struct chaos_heap *heap, size_t size,
						gfp_t gfp, void **p)
{
	/* A task can be preempted here, but its level stays the same. */
	unsigned int level = mi_context_level();

	/* In interrupts, nobody has looked yet. */
	if (level != MI_TASK && chaos_alloc_mi(heap, level, size, gfp, p))
		return true;
	if (unlikely(!size || level == MI_NMI) || !chaos_has_class(heap, size, gfp))
		return false;
	preempt_disable();
	*p = mi_alloc_more(mi_theap(heap, level), chaos_plain_size(heap, size));
	preempt_enable();
	if (CHAOS_SAN && *p)
		chaos_san_alloc(heap, *p, size, gfp);
	return *p;
}

/*
 * FAST PATH of tlsf: no call, and no need of disabled preemption.  False: go the
 * long way.
 */
static __always_inline bool chaos_alloc_tlsf(struct chaos_heap *heap,
					     size_t size, gfp_t gfp, void **p,
					     bool *due)
{
	if (!chaos_is_fast(heap, size, gfp) || unlikely(!size) ||
	    unlikely(!tlsf_alloc_fast(heap, chaos_plain_size(heap, size), p, due)))
		return false;
	if (CHAOS_SAN)
		chaos_san_alloc(heap, *p, size, gfp);
	return true;
}

/* FAST PATH of evl. */
static __always_inline void *chaos_alloc_evl(struct chaos_heap *heap, size_t size,
					     size_t align, gfp_t gfp,
					     unsigned long caller)
{
	void *p;

	if (!chaos_is_fast(heap, size, gfp) || unlikely(!size))
		return chaos_alloc_slow(heap, size, align, gfp, caller);
	preempt_disable();
	p = evl_alloc(heap, chaos_plain_size(heap, size), align);
	preempt_enable();
	if (unlikely(!p))
		return chaos_alloc_starved(heap, size, align, gfp, caller);
	chaos_san_alloc(heap, p, size, gfp);
	return p;
}

/*
 * What follows is called last, by a jump, so that the fast paths before it have no
 * stack frame (see Kbuild).  It finds its caller's caller, which may be reported, in
 * its own return address: to look at that makes the compiler set a frame up.
 * (Should it make a call of the jump, then reports name chaos_alloc() as the caller.)
 */
static __always_inline void *chaos_alloc_other(struct chaos_heap *heap, size_t size,
					       gfp_t gfp, unsigned long caller)
{
	void *p;

	if (chaos_alloc_mi_more(heap, size, gfp, &p))
		return p;
	return chaos_alloc_slow(heap, size, CHAOS_MIN_ALIGN, gfp, caller);
}

static noinline __kprobes void *chaos_alloc_rest(size_t size, gfp_t gfp)
{
	return chaos_alloc_other(chaos_default, size, gfp, _RET_IP_);
}

static noinline __kprobes void *chaos_heap_alloc_rest(struct chaos_heap *heap,
						      size_t size, gfp_t gfp)
{
	return chaos_alloc_other(heap, size, gfp, _RET_IP_);
}

static noinline __kprobes void *chaos_default_alloc_slow(size_t size, gfp_t gfp)
{
	return chaos_alloc_slow(chaos_default, size, CHAOS_MIN_ALIGN, gfp, _RET_IP_);
}

static noinline __kprobes void *
chaos_heap_alloc_slow(struct chaos_heap *heap, size_t size, gfp_t gfp)
{
	return chaos_alloc_slow(heap, size, CHAOS_MIN_ALIGN, gfp, _RET_IP_);
}

static noinline void *chaos_wake_for(struct chaos_heap *heap, void *p)
{
	chaos_wake_grower(heap);
	return p;
}

static noinline void *chaos_default_wake_for(void *p)
{
	return chaos_wake_for(chaos_default, p);
}

static noinline __kprobes void *chaos_default_alloc_tlsf(size_t size, gfp_t gfp)
{
	bool due;
	void *p;

	if (unlikely(!chaos_alloc_tlsf(chaos_default, size, gfp, &p, &due)))
		return chaos_default_alloc_slow(size, gfp);
	return unlikely(due) ? chaos_default_wake_for(p) : p;
}

static noinline __kprobes void *
chaos_heap_alloc_tlsf(struct chaos_heap *heap, size_t size, gfp_t gfp)
{
	struct tlsf *t = heap->priv;
	bool due;
	void *p;

	/* t->heap is @heap, and takes no register until it is needed. */
	if (unlikely(!chaos_alloc_tlsf(heap, size, gfp, &p, &due)))
		return chaos_heap_alloc_slow(t->heap, size, gfp);
	return unlikely(due) ? chaos_wake_for(t->heap, p) : p;
}

static noinline __kprobes void *chaos_default_alloc_evl(size_t size, gfp_t gfp)
{
	return chaos_alloc_evl(chaos_default, size, CHAOS_MIN_ALIGN, gfp, _RET_IP_);
}

static noinline __kprobes void *
chaos_heap_alloc_evl(struct chaos_heap *heap, size_t size, gfp_t gfp)
{
	return chaos_alloc_evl(heap, size, CHAOS_MIN_ALIGN, gfp, _RET_IP_);
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
	void *p;

	if (!static_branch_likely(&chaos_default_is_mi))
		return static_branch_unlikely(&chaos_default_is_evl) ?
			chaos_default_alloc_evl(size, gfp) :
			chaos_default_alloc_tlsf(size, gfp);
	if (mi_in_plain_task() &&
	    likely(chaos_alloc_mi(chaos_default, MI_TASK, size, gfp, &p)))
		return p;
	return chaos_alloc_rest(size, gfp);
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
		trace_fail(caller, size, align, gfp, heap);
		pr_warn_ratelimited("heap %s: %pS: %zu is no alignment: a power of two up to %lu is\n",
				    heap->name, (void *)caller, align,
				    CHAOS_MAX_ALIGN);
		return NULL;
	}
	return chaos_alloc_slow(heap, size, max(align, (size_t)CHAOS_MIN_ALIGN),
				gfp, caller);
}

/* These are called by a jump, too; see chaos_alloc_other(). */
static noinline __kprobes void *
chaos_alloc_aligned_rest(struct chaos_heap *heap, size_t size, size_t align,
			 gfp_t gfp)
{
	return chaos_do_alloc_aligned(heap, size, align, gfp, _RET_IP_);
}

/* FAST PATH of tlsf.  False: the long way. */
static __always_inline bool chaos_alloc_tlsf_aligned(struct chaos_heap *heap, size_t size,
						     size_t align, gfp_t gfp, void **p,
						     bool *due)
{
	if (unlikely(!is_power_of_2(align)) || align <= CHAOS_MIN_ALIGN ||
	    unlikely(align > CHAOS_MAX_ALIGN) ||
	    !chaos_is_fast(heap, size, gfp) || unlikely(!size) ||
	    unlikely(!tlsf_alloc_aligned_fast(heap, chaos_plain_size(heap, size),
					      align, p, due)))
		return false;
	if (CHAOS_SAN)
		chaos_san_alloc(heap, *p, size, gfp);
	return true;
}

static noinline __noclone __kprobes void *
chaos_alloc_aligned_tlsf(struct chaos_heap *heap, size_t size, size_t align,
			 gfp_t gfp)
{
	struct tlsf *t = heap->priv;
	bool due;
	void *p;

	/* As above: t->heap is @heap. */
	if (unlikely(!chaos_alloc_tlsf_aligned(heap, size, align, gfp, &p, &due)))
		return chaos_alloc_aligned_rest(t->heap, size, align, gfp);
	return unlikely(due) ? chaos_wake_for(t->heap, p) : p;
}

/* FAST PATH of evl, which takes any alignment into account. */
static noinline __kprobes void *
chaos_alloc_aligned_evl(struct chaos_heap *heap, size_t size, size_t align, gfp_t gfp)
{
	if (unlikely(!is_power_of_2(align)) || unlikely(align > CHAOS_MAX_ALIGN))
		return chaos_alloc_aligned_rest(heap, size, align, gfp);
	return chaos_alloc_evl(heap, size, max_t(size_t, align, CHAOS_MIN_ALIGN), gfp,
			       _RET_IP_);
}

static __always_inline void *chaos_alloc_aligned_any(struct chaos_heap *heap,
						     size_t size, size_t align,
						     gfp_t gfp)
{
	if (heap->engine == &chaos_tlsf_engine)
		return chaos_alloc_aligned_tlsf(heap, size, align, gfp);
	if (heap->engine == &chaos_evl_engine)
		return chaos_alloc_aligned_evl(heap, size, align, gfp);
	return chaos_alloc_aligned_rest(heap, size, align, gfp);
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
	return chaos_alloc_aligned_any(chaos_default, size, align, gfp);
}
EXPORT_SYMBOL_GPL(chaos_alloc_aligned);

/* --------------------------------- freeing -------------------------------- */

/* How a path finds the engine's free(); evl's is in line. */
typedef enum chaos_verdict (*chaos_free_fn)(struct chaos_heap *heap,
					    struct chaos_pool *pool, void *p);

static __always_inline enum chaos_verdict
chaos_free_any(struct chaos_heap *heap, struct chaos_pool *pool, void *p)
{
	return heap->engine->free(heap, pool, p);
}

/* The engine takes the block at @p back, and decides whether it was live. */
static enum chaos_verdict chaos_engine_free(struct chaos_heap *heap, void *p)
{
	enum chaos_verdict verdict;
	struct chaos_pool *pool;

	if (chaos_san_must_defer())
		return chaos_san_defer_free(heap, p) ? CHAOS_OK : CHAOS_FREED;
	preempt_disable();
	pool = chaos_pool_in(heap, p, &verdict);
	if (pool)
		verdict = heap->engine->free(heap, pool, p);
	preempt_enable();
	return verdict;
}

/* A block that was written past its end is freed, too. */
static enum chaos_verdict chaos_free_hardened(struct chaos_heap *heap, void *p,
					      size_t usable)
{
	enum chaos_verdict verdict, freed = CHAOS_OK;

	chaos_harden_begin(heap);
	verdict = chaos_harden_bury(heap, p, usable);
	if (verdict != CHAOS_FREED)
		freed = chaos_engine_free(heap, p);
	chaos_harden_end(heap);
	return freed == CHAOS_OK ? verdict : freed;
}

/* Look before anything is done; nothing is touched but a live block. */
static noinline void chaos_free_looked(struct chaos_heap *heap, void *p,
				       unsigned long caller)
{
	enum chaos_verdict verdict;
	struct chaos_block block;

	if (!chaos_query(heap, p, &block, caller))
		return;
	if (chaos_is_hardened(heap))
		verdict = chaos_free_hardened(heap, p, block.size);
	else
		verdict = chaos_engine_free(heap, p);
	if (verdict != CHAOS_OK)
		chaos_report(heap, p, verdict, caller);
}

static void chaos_free_blind(struct chaos_heap *heap, void *p, unsigned long caller)
{
	enum chaos_verdict verdict = chaos_engine_free(heap, p);

	if (verdict != CHAOS_OK)
		chaos_report(heap, p, verdict, caller);
}

/* The block at @p is about to be freed: afterwards, it may be somebody else's. */
static void chaos_trace_free(struct chaos_heap *heap, void *p, unsigned long caller)
{
	struct chaos_block block;

	if (trace_free_enabled() && chaos_look_up(heap, p, &block) == CHAOS_OK)
		trace_free(caller, p, block.size, heap);
}

/* Traced and timed; wrong pointers are timed only. */
static noinline __cold void chaos_free_seen(struct chaos_heap *heap, void *p,
					    unsigned long caller)
{
	u64 begun;

	chaos_trace_free(heap, p, caller);
	begun = chaos_latency_begin(heap);
	if (CHAOS_SAN_KMEMLEAK || chaos_is_hardened(heap))
		chaos_free_looked(heap, p, caller);
	else
		chaos_free_blind(heap, p, caller);
	chaos_latency_end(heap, CHAOS_CALL_FREE, begun);
}

/* For somebody who has to see it. */
static noinline void chaos_free_slow(struct chaos_heap *heap, void *p,
				     unsigned long caller)
{
	if (chaos_is_seen(heap))
		chaos_free_seen(heap, p, caller);
	else
		chaos_free_looked(heap, p, caller);
}

/* In whatever pool, by whatever context. */
static __always_inline void chaos_free_inline(struct chaos_heap *heap,
					      const void *p, chaos_free_fn fn,
					      unsigned long caller)
{
	enum chaos_verdict verdict;
	struct chaos_pool *pool;

	if (unlikely(ZERO_OR_NULL_PTR(p)))
		return;
	if (CHAOS_SAN_KMEMLEAK || chaos_is_watched(heap)) {
		chaos_free_slow(heap, (void *)p, caller);
		return;
	}
	preempt_disable();
	/* mimalloc's is the only engine that has a main pool. */
	if (fn == mi_free)
		pool = chaos_pool_guess(heap, READ_ONCE(heap->main_pool), p, &verdict);
	else
		pool = chaos_pool_in(heap, p, &verdict);
	if (likely(pool))
		verdict = fn(heap, pool, (void *)p);
	preempt_enable();
	if (unlikely(verdict != CHAOS_OK))
		chaos_report(heap, p, verdict, caller);
}

static noinline void chaos_do_free(struct chaos_heap *heap, const void *p,
				   unsigned long caller)
{
	chaos_free_inline(heap, p, chaos_free_any, caller);
}

/* These are called by a jump, too; see chaos_alloc_other(). */
static noinline __kprobes void chaos_free_rest(const void *p)
{
	chaos_free_inline(chaos_default, p, mi_free, _RET_IP_);
}

static noinline __kprobes void chaos_heap_free_rest(struct chaos_heap *heap,
						    const void *p)
{
	chaos_free_inline(heap, p, mi_free, _RET_IP_);
}

static noinline __kprobes void chaos_default_free_evl(const void *p)
{
	chaos_free_inline(chaos_default, p, evl_free, _RET_IP_);
}

static noinline __kprobes void chaos_heap_free_evl(struct chaos_heap *heap,
						   const void *p)
{
	chaos_free_inline(heap, p, evl_free, _RET_IP_);
}

static noinline __kprobes void chaos_default_free_slow(const void *p)
{
	chaos_do_free(chaos_default, p, _RET_IP_);
}

static noinline __kprobes void chaos_heap_free_slow(struct chaos_heap *heap,
						    const void *p)
{
	chaos_do_free(heap, p, _RET_IP_);
}

/* FAST PATH of tlsf, which looks the pool up itself.  False: the long way. */
static __always_inline bool chaos_free_tlsf(struct chaos_heap *heap, const void *p)
{
	if (unlikely(ZERO_OR_NULL_PTR(p)))
		return true;
	return !CHAOS_SAN_KMEMLEAK && !chaos_is_watched(heap) &&
	       likely(tlsf_free_fast(heap, (void *)p));
}

static noinline __kprobes void chaos_default_free_tlsf(const void *p)
{
	if (unlikely(!chaos_free_tlsf(chaos_default, p)))
		chaos_default_free_slow(p);
}

static noinline __kprobes void chaos_heap_free_tlsf(struct chaos_heap *heap,
						    const void *p)
{
	struct tlsf *t = heap->priv;

	/* As in chaos_heap_alloc_tlsf(). */
	if (unlikely(!chaos_free_tlsf(heap, p)))
		chaos_heap_free_slow(t->heap, p);
}

/* Entered with preemption disabled. */
static noinline __kprobes void chaos_free_last(struct mi_page *page)
{
	mi_page_retire(page);
	preempt_enable();
}

/* FAST PATH of mimalloc.  False: the long way.  NULL is in no pool, either. */
static __always_inline bool chaos_free_fast(struct chaos_pool **main_pool,
					    struct chaos_heap *heap, const void *p)
{
	struct chaos_pool *pool;
	struct mi_page *page;
	enum mi_freed freed;

	preempt_disable();
	/* Pairs with chaos_choose_main_pool(). */
	pool = READ_ONCE(*main_pool);
	if (likely(chaos_pool_has(pool, p)) && mi_in_plain_task()) {
		freed = mi_free_fast(heap, pool, mi_level_tag(MI_TASK), (void *)p,
				     &page);
		if (unlikely(freed == MI_FREED_LAST)) {
			chaos_free_last(page);
			return true;
		}
		if (likely(freed == MI_FREED)) {
			preempt_enable();
			return true;
		}
	}
	preempt_enable();
	return false;
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
	if (static_branch_likely(&chaos_default_is_mi)) {
		if (unlikely(!chaos_free_fast(&chaos_default_pool, chaos_default, p)))
			chaos_free_rest(p);
	} else if (static_branch_unlikely(&chaos_default_is_evl)) {
		chaos_default_free_evl(p);
	} else {
		chaos_default_free_tlsf(p);
	}
}
EXPORT_SYMBOL_GPL(chaos_free);

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
	    !chaos_query_client(chaos_default, p, &block, _RET_IP_))
		return;
	memzero_explicit((void *)p, block.size);
	chaos_do_free(chaos_default, p, _RET_IP_);
}
EXPORT_SYMBOL_GPL(chaos_free_sensitive);

static size_t chaos_do_usable_size(struct chaos_heap *heap, const void *p,
				   unsigned long caller)
{
	struct chaos_block block;

	if (ZERO_OR_NULL_PTR(p) || !chaos_query_client(heap, p, &block, caller))
		return 0;
	chaos_san_expose(heap, p, block.size);
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

/* False also if somebody frees the block at the same moment, and the pool is returned. */
static bool chaos_engine_resize(struct chaos_heap *heap, void *p, size_t size)
{
	struct chaos_pool *pool;
	bool done;

	preempt_disable();
	pool = chaos_pool_of(p);
	done = pool && heap->engine->resize(heap, pool, p, chaos_engine_size(heap, size));
	preempt_enable();
	return done;
}

static noinline bool chaos_resize_trailed(struct chaos_heap *heap, void *p, size_t size,
					  gfp_t gfp, unsigned long caller)
{
	bool done;

	chaos_harden_begin(heap);
	done = chaos_engine_resize(heap, p, size);
	if (done)
		chaos_lay_trailer(heap, p, size, gfp, caller);
	chaos_harden_end(heap);
	return done;
}

/* In place; of the block's bytes, the client has had @old_size. */
static bool chaos_resize(struct chaos_heap *heap, void *p, size_t size,
			 size_t old_size, gfp_t gfp, unsigned long caller)
{
	bool done;

	if (size > CHAOS_SIZE_MAX || chaos_san_must_defer())
		return false;
	/* What is cut off may be somebody else's at once. */
	if (size <= old_size)
		chaos_san_resize(heap, p, size, gfp);
	done = chaos_has_trailer(heap) ? chaos_resize_trailed(heap, p, size, gfp, caller) :
					 chaos_engine_resize(heap, p, size);
	if (done && size > old_size)
		chaos_san_resize(heap, p, size, gfp);
	return done;
}

/*
 * There is no memory to move a block to that shall have less: it stays.  Less than its
 * usable bytes may still be more than was asked for before, and in NMIs nobody has told
 * KASAN yet.
 */
static void *chaos_keep(struct chaos_heap *heap, void *p, size_t size, gfp_t gfp,
			unsigned long caller)
{
	chaos_san_expose(heap, p, size);
	if (chaos_has_trailer(heap)) {
		chaos_harden_begin(heap);
		chaos_lay_trailer(heap, p, size, gfp, caller);
		chaos_harden_end(heap);
	}
	return p;
}

/* To make a block smaller must not fail, and is not worth a wait. */
static void *chaos_move(struct chaos_heap *heap, void *old,
			const struct chaos_block *block, size_t size,
			gfp_t gfp, unsigned long caller)
{
	u64 begun;
	void *p;

	if (size <= block->size) {
		if (READ_ONCE(heap->deferred_free))
			chaos_heartbeat(heap);
		begun = chaos_latency_begin(heap);
		p = chaos_take(heap, size, block->align, gfp, caller);
		if (!p)
			return chaos_keep(heap, old, size, gfp, caller);
		chaos_latency_end(heap, CHAOS_CALL_ALLOC, begun);
		chaos_san_alloc(heap, p, size, gfp);
		if (chaos_is_traced(heap))
			chaos_trace_alloc(heap, p, size, gfp, caller);
	} else {
		p = chaos_alloc_slow(heap, size, block->align, gfp & ~__GFP_ZERO,
				     caller);
		if (!p)
			return NULL;
	}
	memcpy(p, old, min(size, block->size));
	chaos_do_free(heap, old, caller);
	return p;
}

/* A block that was written past its end gets one report, and a new canary. */
static void chaos_mend(struct chaos_heap *heap, void *p,
		       struct chaos_block *block, unsigned long caller)
{
	size_t usable = block->size;
	bool intact;

	block->size = chaos_client_size(heap, p, usable, &intact);
	if (intact)
		return;
	chaos_report(heap, p, CHAOS_OVERRUN, caller);
	chaos_harden_begin(heap);
	chaos_harden_lay(heap, p, usable, block->size);
	chaos_harden_end(heap);
}

/* The block at @p has got another size where it is: who keeps accounts sees a new one. */
static noinline __cold void chaos_trace_resize(struct chaos_heap *heap, void *p,
					       size_t usable, size_t size, gfp_t gfp,
					       unsigned long caller)
{
	trace_free(caller, p, usable, heap);
	chaos_trace_alloc(heap, p, size, gfp, caller);
}

static void *chaos_do_realloc(struct chaos_heap *heap, const void *old,
			      size_t size, gfp_t gfp, unsigned long caller)
{
	struct chaos_block block;
	void *p = (void *)old;
	size_t usable;

	if (ZERO_OR_NULL_PTR(old))
		return chaos_alloc_slow(heap, size, CHAOS_MIN_ALIGN, gfp, caller);
	if (!size) {
		chaos_do_free(heap, old, caller);
		return ZERO_SIZE_PTR;
	}
	might_alloc(gfp);
	if (chaos_gfp_refused(heap, size, CHAOS_MIN_ALIGN, gfp, caller) ||
	    !chaos_query(heap, old, &block, caller))
		return NULL;
	usable = block.size;
	chaos_mend(heap, p, &block, caller);
	if (!chaos_resize(heap, p, size, block.size, gfp, caller))
		p = chaos_move(heap, p, &block, size, gfp, caller);
	if (p == old && chaos_is_traced(heap))
		chaos_trace_resize(heap, p, usable, size, gfp, caller);
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

/* ----------------------------------- bulk --------------------------------- */

/* Several blocks by one call of the engine; as many as it has at hand. */
static size_t chaos_take_bulk(struct chaos_heap *heap, size_t size, gfp_t gfp,
			      size_t n, void **p)
{
	size_t got, i;

	if (!heap->engine->alloc_bulk || chaos_is_watched(heap) || chaos_has_trailer(heap) ||
	    chaos_loses_align(heap, size) || READ_ONCE(heap->deferred_free) ||
	    chaos_faults_armed() ||
	    gfp & CHAOS_GFP_REFUSED || !size || size > CHAOS_SIZE_MAX)
		return 0;
	preempt_disable();
	got = heap->engine->alloc_bulk(heap, chaos_plain_size(heap, size),
				       min_t(size_t, n, CHAOS_BULK_BATCH), p);
	preempt_enable();
	for (i = 0; i < got && (CHAOS_SAN || gfp & __GFP_ZERO); i++) {
		if (gfp & __GFP_ZERO)
			chaos_clear(heap, p[i], 0);
		chaos_san_alloc(heap, p[i], size, gfp);
	}
	return got;
}

/* Those before @p[n] that are none of NULL and ZERO_SIZE_PTR. */
static size_t chaos_bulk_run(size_t n, void **p)
{
	size_t i = 0;

	while (i < n && !ZERO_OR_NULL_PTR(p[i]))
		i++;
	return i;
}

/* Free the first of @p that one call of the engine can; how many were dealt with. */
static size_t chaos_free_run(struct chaos_heap *heap, size_t n, void **p,
			     unsigned long caller)
{
	enum chaos_verdict verdict;
	size_t run, done;

	run = chaos_bulk_run(min_t(size_t, n, CHAOS_BULK_BATCH), p);
	if (!run)
		return 1;
	preempt_disable();
	done = heap->engine->free_bulk(heap, run, p, &verdict);
	preempt_enable();
	if (likely(done == run))
		return run;
	chaos_report(heap, p[done], verdict, caller);
	return done + 1;
}

static void chaos_do_free_bulk(struct chaos_heap *heap, size_t n, void **p,
			       unsigned long caller)
{
	size_t i = 0;

	while (i < n) {
		if (!heap->engine->free_bulk || chaos_is_watched(heap) ||
		    chaos_san_must_defer() || chaos_san_any_waiting(heap))
			chaos_do_free(heap, p[i++], caller);
		else
			i += chaos_free_run(heap, n - i, p + i, caller);
	}
}

static size_t chaos_do_alloc_bulk(struct chaos_heap *heap, size_t size,
				  gfp_t gfp, size_t n, void **p,
				  unsigned long caller)
{
	size_t i = 0, got;

	might_alloc(gfp);
	while (i < n) {
		got = chaos_take_bulk(heap, size, gfp, n - i, p + i);
		i += got;
		if (got)
			continue;
		/* One by one, with all that can be done to get it. */
		p[i] = chaos_alloc_slow(heap, size, CHAOS_MIN_ALIGN, gfp, caller);
		if (!p[i]) {
			chaos_do_free_bulk(heap, i, p, caller);
			return 0;
		}
		i++;
	}
	return n;
}

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
	return chaos_do_alloc_bulk(chaos_default, size, gfp, n, p, _RET_IP_);
}
EXPORT_SYMBOL_GPL(chaos_alloc_bulk);

/**
 * chaos_free_bulk() - free several blocks of the default heap
 * @n: how many
 * @p: the blocks; NULL and ZERO_SIZE_PTR are skipped
 *
 * Each that is no live block of the default heap is reported as by chaos_free();
 * the others are freed.
 *
 * Context: any.
 */
void chaos_free_bulk(size_t n, void **p)
{
	chaos_do_free_bulk(chaos_default, n, p, _RET_IP_);
}
EXPORT_SYMBOL_GPL(chaos_free_bulk);

/* ----------------------------- heaps of one's own ------------------------- */

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
	void *p;

	heap = chaos_heap_or_default(heap);
	if (unlikely(!heap->theaps))
		return heap->engine == &chaos_evl_engine ?
			chaos_heap_alloc_evl(heap, size, gfp) :
			chaos_heap_alloc_tlsf(heap, size, gfp);
	if (mi_in_plain_task() &&
	    likely(chaos_alloc_mi(heap, MI_TASK, size, gfp, &p)))
		return p;
	return chaos_heap_alloc_rest(heap, size, gfp);
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
	return chaos_alloc_aligned_any(chaos_heap_or_default(heap), size, align,
				       gfp);
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
	heap = chaos_heap_or_default(heap);
	if (likely(heap->theaps)) {
		if (unlikely(!chaos_free_fast(&heap->main_pool, heap, p)))
			chaos_heap_free_rest(heap, p);
	} else if (heap->engine == &chaos_evl_engine) {
		chaos_heap_free_evl(heap, p);
	} else {
		chaos_heap_free_tlsf(heap, p);
	}
}
EXPORT_SYMBOL_GPL(chaos_heap_free);

static __always_inline void *chaos_track_caller_tlsf(struct chaos_heap *heap, size_t size,
						     size_t align, gfp_t gfp,
						     unsigned long caller)
{
	bool due;
	void *p;

	if (unlikely(align > CHAOS_MIN_ALIGN ?
		     !chaos_alloc_tlsf_aligned(heap, size, align, gfp, &p, &due) :
		     !chaos_alloc_tlsf(heap, size, gfp, &p, &due)))
		return chaos_alloc_slow(heap, size, align, gfp, caller);
	return unlikely(due) ? chaos_wake_for(heap, p) : p;
}

/*
 * For those who allocate and free for others, as chaos_kmalloc.ko does: reports, tracking and
 * tracepoints name @caller.  @align: a power of two, from CHAOS_MIN_ALIGN to CHAOS_MAX_ALIGN.
 */
void *chaos_heap_alloc_track_caller(struct chaos_heap *heap, size_t size, size_t align,
				    gfp_t gfp, unsigned long caller)
{
	void *p;

	heap = chaos_heap_or_default(heap);
	if (heap->engine == &chaos_tlsf_engine)
		return chaos_track_caller_tlsf(heap, size, align, gfp, caller);
	if (heap->engine == &chaos_evl_engine)
		return chaos_alloc_evl(heap, size, align, gfp, caller);
	if (align > CHAOS_MIN_ALIGN)
		return chaos_alloc_slow(heap, size, align, gfp, caller);
	if (mi_in_plain_task() && likely(chaos_alloc_mi(heap, MI_TASK, size, gfp, &p)))
		return p;
	return chaos_alloc_other(heap, size, gfp, caller);
}
EXPORT_SYMBOL_GPL(chaos_heap_alloc_track_caller);

void *chaos_heap_realloc_track_caller(struct chaos_heap *heap, const void *p, size_t size,
				      gfp_t gfp, unsigned long caller)
{
	return chaos_do_realloc(chaos_heap_or_default(heap), p, size, gfp, caller);
}
EXPORT_SYMBOL_GPL(chaos_heap_realloc_track_caller);

__kprobes void chaos_heap_free_track_caller(struct chaos_heap *heap, const void *p,
					    unsigned long caller)
{
	heap = chaos_heap_or_default(heap);
	if (heap->theaps ? chaos_free_fast(&heap->main_pool, heap, p) :
			   heap->engine == &chaos_tlsf_engine && chaos_free_tlsf(heap, p))
		return;
	chaos_do_free(heap, p, caller);
}
EXPORT_SYMBOL_GPL(chaos_heap_free_track_caller);

/**
 * chaos_heap_alloc_bulk() - allocate several blocks of one size from a heap
 * @heap: the heap, or NULL for the default heap
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
size_t chaos_heap_alloc_bulk(struct chaos_heap *heap, size_t size, gfp_t gfp,
			     size_t n, void **p)
{
	return chaos_do_alloc_bulk(chaos_heap_or_default(heap), size, gfp, n, p,
				   _RET_IP_);
}
EXPORT_SYMBOL_GPL(chaos_heap_alloc_bulk);

/**
 * chaos_heap_free_bulk() - free several blocks of a heap
 * @heap: the heap, or NULL for the default heap
 * @n: how many
 * @p: the blocks; NULL and ZERO_SIZE_PTR are skipped
 *
 * Each that is no live block of this heap is reported as by chaos_heap_free();
 * the others are freed.
 *
 * Context: any.
 */
void chaos_heap_free_bulk(struct chaos_heap *heap, size_t n, void **p)
{
	chaos_do_free_bulk(chaos_heap_or_default(heap), n, p, _RET_IP_);
}
EXPORT_SYMBOL_GPL(chaos_heap_free_bulk);

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
 * chaos_heap_of() - the heap that an address lies in
 * @p: any address
 *
 * Valid for as long as a block of the heap at that address is live.
 *
 * Context: any.
 * Return: the heap one of whose pools it is in, whether or not a block is live there; NULL
 * if there is none
 */
struct chaos_heap *chaos_heap_of(const void *p)
{
	struct chaos_pool *pool;
	struct chaos_heap *heap;

	preempt_disable();
	pool = chaos_pool_of(p);
	heap = pool ? pool->heap : NULL;
	preempt_enable();
	return heap;
}
EXPORT_SYMBOL_GPL(chaos_heap_of);
