/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The lock of the engines that have one: a raw spinlock with interrupts off that
 * NMIs can live with.
 *
 * A raw spinlock does not sleep on PREEMPT_RT.  With interrupts off, the only
 * thing that can find the lock held by its own CPU is an NMI (or a debug
 * exception inside one), so there it is only tried.  An NMI that finds it held
 * cannot allocate, but must be able to free: it leaves the block on @deferred,
 * whose link is in the block itself, and whoever takes the lock next frees it
 * first.  Thus the number of blocks to drain is bounded by what NMIs freed
 * while one critical section lasted, and nothing is pending once the lock has
 * been taken and left.
 *
 * A deferred block carries a mark in its second word, so that it is recognised
 * when an NMI frees it again before it has been drained.
 */
#ifndef _CHAOS_LOCK_H
#define _CHAOS_LOCK_H

#include <linux/align.h>
#include <linux/llist.h>
#include <linux/preempt.h>
#include <linux/random.h>
#include <linux/spinlock.h>

#include "compat.h"
#include "pool.h"

struct chaos_lock {
	raw_spinlock_t raw;
	struct llist_head deferred;
	unsigned long mark;
};

/* The form of a block that waits on chaos_lock.deferred. */
struct chaos_deferred_block {
	struct llist_node node;
	unsigned long mark;
};

/* A macro, for each user to have a lockdep class of its own. */
#define chaos_lock_init(l)					\
do {								\
	struct chaos_lock *__l = (l);				\
								\
	raw_spin_lock_init(&__l->raw);				\
	init_llist_head(&__l->deferred);			\
	__l->mark = get_random_long();				\
} while (0)

static __always_inline bool __chaos_raw_lock(raw_spinlock_t *raw,
					     unsigned long *flags)
{
	if (likely(!in_nmi()))
		raw_spin_lock_irqsave(raw, *flags);
	else if (!IS_ENABLED(CONFIG_SMP))
		return false;	/* there, spinlocks do not know if they are held */
	else if (!raw_spin_trylock_irqsave(raw, *flags))
		return false;
	__release(raw);		/* for sparse: chaos_raw_lock() acquires it */
	return true;
}

/* Take a raw spinlock with interrupts off, wherever we are.  False only in NMI. */
#define chaos_raw_lock(raw, flags)					\
({									\
	raw_spinlock_t *__raw = (raw);					\
									\
	__cond_lock(__raw, __chaos_raw_lock(__raw, flags));		\
})

/* The same; the caller drains @l->deferred before anything else. */
#define chaos_lock(l, flags)		chaos_raw_lock(&(l)->raw, flags)

/*
 * The same for those who have something else to do if it is held: false in any
 * context.  It takes no call, and NMIs are no case of their own, for which
 * chaos_lock() has to look first.  Lockdep learns nothing from locks that are
 * only tried.
 */
static __always_inline bool __chaos_trylock(struct chaos_lock *l,
					    unsigned long *flags)
{
	if (IS_ENABLED(CONFIG_LOCKDEP) || !IS_ENABLED(CONFIG_SMP))
		return __chaos_raw_lock(&l->raw, flags);
	if (!raw_spin_trylock_irqsave(&l->raw, *flags))
		return false;
	__release(&l->raw);	/* as above */
	return true;
}

#ifdef __CHECKER__
/* Sparse does not follow what becomes of the lock in two functions at once. */
#define chaos_trylock(l, flags)		chaos_lock(l, flags)
#else
#define chaos_trylock(l, flags)						\
({									\
	struct chaos_lock *__l = (l);					\
									\
	__cond_lock(&__l->raw, __chaos_trylock(__l, flags));		\
})
#endif

static __always_inline void chaos_unlock(struct chaos_lock *l, unsigned long flags)
{
	raw_spin_unlock_irqrestore(&l->raw, flags);
}

/*
 * Leave the block at @p, known to be a live one of at least 16 bytes, to the
 * next holder of the lock.  False: it is waiting already.
 *
 * The cmpxchg decides between NMIs of two CPUs that free the same block.  It is
 * llist_add() that follows, but not by a call: KASAN would see code of the
 * kernel's write to the block past its requested size.
 */
static inline bool chaos_defer_free(struct chaos_lock *l, void *p)
{
	struct chaos_deferred_block *b = p;
	unsigned long old = READ_ONCE(b->mark);
	struct llist_node *first;

	if (old == l->mark || cmpxchg(&b->mark, old, l->mark) != old)
		return false;
	first = READ_ONCE(l->deferred.first);
	do {
		b->node.next = first;
	} while (!try_cmpxchg(&l->deferred.first, &first, &b->node));
	return true;
}

/* Has the block at @p, of at least 16 bytes, been left to the next holder of the lock? */
static __always_inline bool chaos_is_waiting(const struct chaos_lock *l, const void *p)
{
	const struct chaos_deferred_block *b = p;

	return READ_ONCE(b->mark) == l->mark;
}

/*
 * The pool of @heap's in which @b is as chaos_defer_free() has left it, or NULL.  If it
 * was freed twice at once, or by somebody whose it was not any more, it may hold anything
 * by now: links of free blocks, or what its owner has written.
 */
static inline struct chaos_pool *chaos_pool_of_deferred(const struct chaos_lock *l,
							const struct chaos_heap *heap,
							const struct chaos_deferred_block *b)
{
	struct chaos_pool *pool = chaos_pool_of(b);

	if (!pool || pool->heap != heap || !IS_ALIGNED((unsigned long)b, sizeof(b->mark)) ||
	    !chaos_pool_has(pool, &b->mark) || !chaos_is_waiting(l, b))
		return NULL;
	return pool;
}

#endif /* _CHAOS_LOCK_H */
