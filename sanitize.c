// SPDX-License-Identifier: GPL-2.0
/*
 * What KASAN and kmemleak are told; see sanitize.h.
 *
 * The kernel exports nothing to modules that poisons memory, so KASAN's shadow is
 * written here: one byte for each 8 bytes of memory.  0: all of them may be
 * accessed; 1..7: so many, from the first on; anything above 127: none, and the
 * value says why.  Blocks begin, and usable sizes end, at multiples of 8.
 *
 * Who owns a block owns its shadow, so nothing here needs a lock.
 *
 * kmemleak knows pools of vmalloc'd memory block by block.  Memory of the
 * caller's stays what it was to kmemleak: an object of its owner's, scanned
 * as a whole; to cut a hole into that would leave parts that nobody removes when
 * the owner frees it, and kmemleak would go on to read these.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/irq_work.h>
#include <linux/kasan.h>
#include <linux/kmemleak.h>
#include <linux/kprobes.h>
#include <linux/preempt.h>
#include <linux/sched.h>
#include <linux/string.h>

#include "engine.h"
#include "grow.h"
#include "pool.h"
#include "sanitize.h"

#if CHAOS_SAN
/* ---------------------------------- KASAN --------------------------------- */

#ifdef CHAOS_SAN_KASAN
/* As in mm/kasan/kasan.h: the names that reports give them. */
#define CHAOS_SHADOW_FREE	0xfb	/* slab-use-after-free */
#define CHAOS_SHADOW_REDZONE	0xfc	/* slab-out-of-bounds */

#define CHAOS_GRANULE		BIT(KASAN_SHADOW_SCALE_SHIFT)

static_assert(CHAOS_GRANULE == CHAOS_MIN_ALIGN);

/* This file is not instrumented: memset() is the plain one. */
static void san_shadow_set(unsigned long start, size_t size, u8 value)
{
	memset(kasan_mem_to_shadow((void *)start), value, size / CHAOS_GRANULE);
}

/* @size of the @usable bytes may be accessed. */
static void san_shadow_open(unsigned long start, size_t size, size_t usable)
{
	size_t whole = ALIGN_DOWN(size, CHAOS_GRANULE);

	san_shadow_set(start, whole, 0);
	if (whole == usable)
		return;
	san_shadow_set(start + whole, usable - whole, CHAOS_SHADOW_REDZONE);
	if (size > whole)
		*(u8 *)kasan_mem_to_shadow((void *)start + whole) = size - whole;
}
#else
#define CHAOS_SHADOW_FREE	0
#define CHAOS_SHADOW_REDZONE	0

static void san_shadow_set(unsigned long start, size_t size, u8 value) { }
static void san_shadow_open(unsigned long start, size_t size, size_t usable) { }
#endif

/* -------------------------------- kmemleak -------------------------------- */

/* A live block's pool stays. */
static bool san_is_listed(const void *p)
{
	return CHAOS_SAN_KMEMLEAK && chaos_pool_of(p)->mem;
}

/*
 * kmemleak_alloc() allocates.  What forbids that: NMIs; and on PREEMPT_RT (or
 * where lockdep watches for what would be wrong there) that the caller cannot be
 * preempted.  Such a block stays unknown: it is not reported when it is lost, and
 * not scanned.
 */
static bool san_may_list(void)
{
	if (in_nmi())
		return false;
	if (IS_ENABLED(CONFIG_PREEMPT_RT) ||
	    IS_ENABLED(CONFIG_PROVE_RAW_LOCK_NESTING))
		return preemptible();
	return true;
}

/* ---------------------------------- blocks -------------------------------- */

static void san_pool_set(struct chaos_pool *pool, u8 value)
{
	size_t margin = pool->mem ? CHAOS_SAN_MARGIN : 0;

	san_shadow_set(pool->start - margin, pool->size + 2 * margin, value);
}

void chaos_san_pool_enter(struct chaos_pool *pool)
{
	if (CHAOS_SAN_KMEMLEAK && pool->mem)
		kmemleak_free(pool->mem);
	san_pool_set(pool, CHAOS_SHADOW_REDZONE);
}

void chaos_san_pool_leave(struct chaos_pool *pool)
{
	san_pool_set(pool, 0);
}

static __kprobes size_t san_usable(struct chaos_heap *heap, const void *p)
{
	struct chaos_block block = { .size = 0 };

	preempt_disable();
	heap->engine->query(heap, chaos_pool_of(p), p, &block);
	preempt_enable();
	return block.size;
}

__kprobes void chaos_san_alloc(struct chaos_heap *heap, void *p, size_t size,
			       gfp_t gfp)
{
	if (IS_ENABLED(CONFIG_KASAN))
		san_shadow_open((unsigned long)p, size, san_usable(heap, p));
	if (san_is_listed(p) && san_may_list())
		kmemleak_alloc(p, size, 1, gfp);
}

void chaos_san_resize(struct chaos_heap *heap, void *p, size_t size, gfp_t gfp)
{
	if (san_is_listed(p))
		kmemleak_free(p);
	chaos_san_alloc(heap, p, size, gfp);
}

void chaos_san_expose(struct chaos_heap *heap, const void *p, size_t size)
{
	san_shadow_open((unsigned long)p, size, size);
}

__kprobes void chaos_san_free(struct chaos_heap *heap, void *p, size_t size)
{
	san_shadow_set((unsigned long)p, size, CHAOS_SHADOW_FREE);
	if (san_is_listed(p))
		kmemleak_free(p);
}
#endif /* CHAOS_SAN */

/* --------------------------- what NMIs have freed ------------------------- */

#if CHAOS_SAN_KMEMLEAK
static void san_free_waiting(struct chaos_heap *heap, struct chaos_pool *pool, void *p)
{
	enum chaos_verdict verdict;

	preempt_disable();
	verdict = heap->engine->free(heap, pool, p);
	preempt_enable();
	atomic_dec(&heap->san.waiting);
	if (verdict != CHAOS_OK)
		chaos_report(heap, p, verdict, _THIS_IP_);
}

static void san_work(struct irq_work *work)
{
	struct chaos_heap *heap = container_of(work, struct chaos_heap, san.work);

	chaos_drain_deferred(&heap->san.lock, heap, san_free_waiting);
	/* Pairs with chaos_san_quiesce(). */
	atomic_dec_return_release(&heap->san.works);
}

void chaos_san_heap_init(struct chaos_heap *heap)
{
	chaos_lock_init(&heap->san.lock);
	init_irq_work(&heap->san.work, san_work);
}

bool chaos_san_defer_free(struct chaos_heap *heap, void *p)
{
	if (!chaos_defer_free(&heap->san.lock, p))
		return false;
	atomic_inc(&heap->san.waiting);
	atomic_inc(&heap->san.works);
	/* Pending already: that one is going to find the block. */
	if (!irq_work_queue(&heap->san.work))
		atomic_dec(&heap->san.works);
	return true;
}

bool chaos_san_is_waiting(struct chaos_heap *heap, const void *p)
{
	return chaos_is_waiting(&heap->san.lock, p);
}

bool chaos_san_any_waiting(struct chaos_heap *heap)
{
	return atomic_read(&heap->san.waiting);
}

void chaos_san_settle(struct chaos_heap *heap)
{
	irq_work_sync(&heap->san.work);
}

/*
 * Nobody uses the heap any longer.  An irq_work that was queued by another CPU while it ran on
 * this one runs on both, and the first that ends looks like the last to irq_work_sync().
 */
void chaos_san_quiesce(struct chaos_heap *heap)
{
	irq_work_sync(&heap->san.work);
	/* Pairs with san_work(). */
	while (atomic_read_acquire(&heap->san.works))
		schedule_timeout_uninterruptible(1);
}

static bool san_unlist(struct chaos_heap *heap, void *p, size_t size, void *arg)
{
	if (san_is_listed(p))
		kmemleak_free(p);
	return true;
}

/* The engine cannot tell what is live: look for a block at every address. */
static void san_unlist_pool(struct chaos_pool *pool)
{
	unsigned long addr;

	if (!pool->mem)
		return;
	for (addr = pool->start; addr < chaos_pool_end(pool);
	     addr += CHAOS_MIN_ALIGN) {
		kmemleak_free((void *)addr);
		cond_resched();
	}
}

void chaos_san_heap_exit(struct chaos_heap *heap)
{
	struct chaos_pool *pool;
	unsigned int noio;

	/* chaos_kmalloc could not make it, perhaps in a callback of CPU hotplug. */
	if (list_empty(&heap->pools))
		return;
	noio = chaos_heap_lock_cpus(heap);
	if (heap->engine->walk(heap, NULL, san_unlist, NULL))
		list_for_each_entry(pool, &heap->pools, node)
			san_unlist_pool(pool);
	chaos_heap_unlock_cpus(heap, noio);
}
#endif
