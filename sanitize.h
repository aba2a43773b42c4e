/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What debug kernels are told about blocks: KASAN (generic, with
 * CONFIG_KASAN_VMALLOC) and kmemleak.  In other kernels all of this is nothing.
 *
 * The memory of a pool is poisoned but for the live blocks' requested bytes.  The
 * engines keep links and headers in poisoned memory, so their files, and those
 * that inline them, are not instrumented, as mm/slub.c is not.
 */
#ifndef _CHAOS_SANITIZE_H
#define _CHAOS_SANITIZE_H

#include <linux/irq_work.h>
#include <linux/kasan-checks.h>
#include <linux/preempt.h>
#include <linux/string.h>
#include <linux/types.h>

#include "lock.h"

struct chaos_heap;
struct chaos_pool;

#if defined(CONFIG_KASAN_GENERIC) && defined(CONFIG_KASAN_VMALLOC)
#define CHAOS_SAN_KASAN
#endif

/*
 * A report of KASAN's shows the shadow of what lies around the address, and
 * reading that is an oops where nothing is mapped.  So pools of vmalloc'd memory
 * have a margin on both sides, which is poisoned as well.
 */
#ifdef CHAOS_SAN_KASAN
#define CHAOS_SAN_MARGIN	CHAOS_UNIT_SIZE
#else
#define CHAOS_SAN_MARGIN	0UL
#endif

/*
 * Blocks get this many bytes more than the client asked for, which are poisoned:
 * behind a block that fits exactly may be the first byte of the next one.
 */
#ifdef CHAOS_SAN_KASAN
#define CHAOS_SAN_REDZONE	8UL
#else
#define CHAOS_SAN_REDZONE	0UL
#endif

/*
 * kmemleak takes locks of its own, so an NMI cannot tell it that a block is
 * gone, and a block that it believes in must not go: NMIs leave what they free
 * to an irq_work, in the form that lock.h has for that.
 */
#ifdef CONFIG_DEBUG_KMEMLEAK
#define CHAOS_SAN_KMEMLEAK	1
#define CHAOS_SAN_MIN_SIZE	sizeof(struct chaos_deferred_block)

/**
 * struct chaos_san - blocks that wait for the end of an NMI
 * @lock: its list of blocks and its mark; the lock itself is not used
 * @work: frees them
 * @works: how often it is queued or running: on several CPUs at once, it may be
 * @waiting: their number
 */
struct chaos_san {
	struct chaos_lock lock;
	struct irq_work work;
	atomic_t works;
	atomic_t waiting;
};
#else
#define CHAOS_SAN_KMEMLEAK	0
#define CHAOS_SAN_MIN_SIZE	0UL

struct chaos_san { };
#endif

#if defined(CHAOS_SAN_KASAN) || CHAOS_SAN_KMEMLEAK
#define CHAOS_SAN		1

/* A pool is taken into use, or out of it; task context. */
void chaos_san_pool_enter(struct chaos_pool *pool);
void chaos_san_pool_leave(struct chaos_pool *pool);

/* The first @size bytes of the block at @p belong to the client now. */
void chaos_san_alloc(struct chaos_heap *heap, void *p, size_t size, gfp_t gfp);

/*
 * The live block at @p shall have, or has, @size bytes in place of what it had:
 * before it is made smaller, and after it has been made larger.
 */
void chaos_san_resize(struct chaos_heap *heap, void *p, size_t size, gfp_t gfp);

/* All @size usable bytes of the live block at @p are the client's. */
void chaos_san_expose(struct chaos_heap *heap, const void *p, size_t size);

/*
 * The live block at @p, of @size usable bytes, is being freed: called by the
 * engine when it is sure of that, and before anybody else can have the memory.
 */
void chaos_san_free(struct chaos_heap *heap, void *p, size_t size);
#else
#define CHAOS_SAN		0

static inline void chaos_san_pool_enter(struct chaos_pool *pool) { }
static inline void chaos_san_pool_leave(struct chaos_pool *pool) { }
static inline void chaos_san_alloc(struct chaos_heap *heap, void *p, size_t size,
				   gfp_t gfp) { }
static inline void chaos_san_resize(struct chaos_heap *heap, void *p,
				    size_t size, gfp_t gfp) { }
static inline void chaos_san_expose(struct chaos_heap *heap, const void *p,
				    size_t size) { }
static inline void chaos_san_free(struct chaos_heap *heap, void *p, size_t size) { }
#endif

/* Whoever uses @heap must not have destroyed it.  (Not all files are instrumented.) */
static inline void chaos_san_heap_used(const struct chaos_heap *heap)
{
#ifdef CHAOS_SAN_KASAN
	__kasan_check_read(heap, 1);
#endif
}

#if CHAOS_SAN_KMEMLEAK
void chaos_san_heap_init(struct chaos_heap *heap);
/* Nobody uses the heap any longer: kmemleak forgets the blocks that are left. */
void chaos_san_heap_exit(struct chaos_heap *heap);

/* Nothing that NMIs have freed before waits any longer.  Task context. */
void chaos_san_settle(struct chaos_heap *heap);
void chaos_san_quiesce(struct chaos_heap *heap);

/* Is the live block at @p waiting to be freed? */
bool chaos_san_is_waiting(struct chaos_heap *heap, const void *p);
bool chaos_san_any_waiting(struct chaos_heap *heap);

/*
 * In NMI, have the live block at @p freed later.  False: it is waiting already.
 */
bool chaos_san_defer_free(struct chaos_heap *heap, void *p);

/* Must the block be left alone for now? */
static inline bool chaos_san_must_defer(void)
{
	return in_nmi();
}
#else
static inline void chaos_san_heap_init(struct chaos_heap *heap) { }
static inline void chaos_san_heap_exit(struct chaos_heap *heap) { }
static inline void chaos_san_settle(struct chaos_heap *heap) { }
static inline void chaos_san_quiesce(struct chaos_heap *heap) { }

static inline bool chaos_san_is_waiting(struct chaos_heap *heap, const void *p)
{
	return false;
}

static inline bool chaos_san_any_waiting(struct chaos_heap *heap)
{
	return false;
}

static inline bool chaos_san_defer_free(struct chaos_heap *heap, void *p)
{
	return false;
}

static inline bool chaos_san_must_defer(void)
{
	return false;
}
#endif

/*
 * Is all of the memory @value?  memchr_inv() is the kernel's code: KASAN would
 * take what it reads for a client's mistake.
 */
static inline bool chaos_san_is_all(const u8 *p, u8 value, size_t size)
{
	if (!IS_ENABLED(CONFIG_KASAN))
		return !memchr_inv(p, value, size);
	for (; size && *p == value; size--)
		p++;
	return !size;
}

#endif /* _CHAOS_SANITIZE_H */
